"""Draw docs/normals.png: a sphere in the colours of its normals, with the axes named.

    python scripts/normals_sphere.py

The same bytes come out each time.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

SIDE, MARGIN = 240, 70
INK = (40, 40, 40)


def sphere() -> np.ndarray:
    """(SIDE, SIDE, 3): RGB = (n + 1) / 2 on a ball, white around it."""
    y, x = np.mgrid[1 : -1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    inside = x * x + y * y < 1
    z = np.sqrt(np.where(inside, 1 - x * x - y * y, 0))
    colours = np.rint((np.stack([x, y, z], axis=-1) + 1) * 127.5)
    return np.where(inside[..., None], colours, 255).astype(np.uint8)


def drawn() -> np.ndarray:
    """The sphere with arrows along +X and +Y and a dot for +Z; RGB."""
    whole = SIDE + 2 * MARGIN
    canvas = np.full((whole, whole, 3), 255, np.uint8)
    canvas[MARGIN:-MARGIN, MARGIN:-MARGIN] = sphere()
    middle, edge = whole // 2, whole - MARGIN
    cv2.arrowedLine(canvas, (edge + 6, middle), (whole - 8, middle), INK, 2, cv2.LINE_8)
    cv2.arrowedLine(canvas, (middle, MARGIN - 6), (middle, 8), INK, 2, cv2.LINE_8)
    cv2.circle(canvas, (middle, middle), 4, INK, -1, cv2.LINE_8)
    for text, place in (
        ("+X right", (edge + 4, middle + 24)),
        ("+Y up", (middle + 14, 24)),
        ("+Z to you", (middle + 10, middle + 5)),
        ("(1, 0, 0)", (edge + 4, middle + 42)),
        ("(0, 1, 0)", (middle + 14, 42)),
        ("(0, 0, 1)", (middle + 10, middle + 23)),
    ):
        cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, INK, 1, cv2.LINE_8)
    return canvas


def main() -> None:
    path = Path(__file__).parent.parent / "docs" / "normals.png"
    _, data = cv2.imencode(".png", drawn()[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    path.write_bytes(data.tobytes())
    print(f"{path}: {len(data)} bytes")


if __name__ == "__main__":
    main()
