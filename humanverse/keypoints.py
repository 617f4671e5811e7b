"""The 133 keypoints of COCO-WholeBody: their names, groups, bones and mirror images.

The order is 17 body points, 6 foot points, 68 face points (the iBUG numbering, whose first point
lies beside the person's right ear), then 21 points of the left and 21 of the right hand. Left and
right are the person's own.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

BODY: Final = slice(0, 17)
FEET: Final = slice(17, 23)
FACE: Final = slice(23, 91)
LEFT_HAND: Final = slice(91, 112)
RIGHT_HAND: Final = slice(112, 133)

COUNT: Final = 133

BODY_NAMES: Final[tuple[str, ...]] = (
    "nose",
    *(f"{side}_{part}" for part in ("eye", "ear", "shoulder") for side in ("left", "right")),
    *(f"{side}_{part}" for part in ("elbow", "wrist", "hip") for side in ("left", "right")),
    *(f"{side}_{part}" for part in ("knee", "ankle") for side in ("left", "right")),
)
FOOT_NAMES: Final[tuple[str, ...]] = tuple(
    f"{side}_{part}" for side in ("left", "right") for part in ("big_toe", "small_toe", "heel")
)
HAND_NAMES: Final[tuple[str, ...]] = (
    "wrist",
    *(
        f"{finger}_{joint}"
        for finger in ("thumb", "index", "middle", "ring", "little")
        for joint in range(1, 5)
    ),
)
NAMES: Final[tuple[str, ...]] = (
    *BODY_NAMES,
    *FOOT_NAMES,
    *(f"face_{point}" for point in range(68)),
    *(f"left_hand_{name}" for name in HAND_NAMES),
    *(f"right_hand_{name}" for name in HAND_NAMES),
)
"""One name a keypoint, in order."""

BODY_EDGES: Final[tuple[tuple[int, int], ...]] = (
    *((0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7), (6, 8)),
    *((7, 9), (8, 10), (5, 11), (6, 12), (11, 13), (12, 14), (13, 15), (14, 16)),
)
"""The 16 bones of the COCO-17 skeleton that HyperHuman draws (arXiv 2310.08579)."""

# Each row runs along the face; the mirrored face runs along the same row backwards.
_FACE_ROWS: Final[tuple[tuple[int, ...], ...]] = (
    tuple(range(17)),  # jaw
    tuple(range(17, 27)),  # brows
    *((point,) for point in range(27, 31)),  # bridge of the nose
    tuple(range(31, 36)),  # nostrils
    (36, 37, 38, 39, 42, 43, 44, 45),  # upper eyelids
    (41, 40, 47, 46),  # lower eyelids
    tuple(range(48, 55)),  # outer lips, above
    tuple(range(59, 54, -1)),  # outer lips, below
    tuple(range(60, 65)),  # inner lips, above
    tuple(range(67, 64, -1)),  # inner lips, below
)


def _mirror_table() -> NDArray[np.int64]:
    table = np.arange(COUNT)
    by_name = {name: index for index, name in enumerate(NAMES)}
    for name, index in by_name.items():
        if name.startswith("left_"):
            other = by_name["right_" + name.removeprefix("left_")]
            table[[index, other]] = other, index
    for row in _FACE_ROWS:
        points = np.array(row) + FACE.start
        table[points] = points[::-1]
    table.flags.writeable = False
    return table


FLIP: Final[NDArray[np.int64]] = _mirror_table()
"""(133,), a permutation: keypoint `i` of the mirrored picture was keypoint `FLIP[i]`."""


def mirror(keypoints: NDArray[np.float32], width: float) -> NDArray[np.float32]:
    """Keypoints (..., 133, 2 or more: x, y, ...) as they lie in the picture flipped sideways.

    `width` is the picture's, in pixels, with the origin at the outer corner of the first pixel.
    """
    flipped = keypoints[..., FLIP, :].copy()
    flipped[..., 0] = width - flipped[..., 0]
    return flipped
