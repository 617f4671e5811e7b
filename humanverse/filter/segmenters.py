"""The segmenters of people that a recipe can name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from humanverse.errors import UsageError
from humanverse.models.base import PersonSegmenter
from humanverse.models.torched import How

Segmenter = Literal["blazepose", "ultralytics", "sam2"]
"""ultralytics is under AGPL-3.0, which binds what is built on it; the others under Apache-2.0."""


def check_segmenter(name: Segmenter, weights: Path | None, trust: bool, how: How) -> None:
    """Refuse what cannot work, before anything is written; large weights are not loaded.

    Raises:
        UsageError: a file or a package is missing, or a file is of another kind.
    """
    if name == "sam2":
        from humanverse.models import sam2

        sam2.check(weights)
    elif name == "ultralytics" and weights is not None and weights.suffix == ".pt":
        from humanverse.models import ultralytics

        ultralytics.check(weights, trust, how)
    else:
        make_segmenter(name, weights, trust, how)


def make_segmenter(
    name: Segmenter, weights: Path | None, trust: bool = False, how: How | None = None
) -> PersonSegmenter:
    """A segmenter by name, with its file or folder of weights, or those of the store.

    Raises:
        UsageError: as `check_segmenter`, or the weights are others.
    """
    how = how or How()
    if name == "sam2":
        from humanverse.models.sam2 import Sam2Segmenter, check

        check(weights)
        assert weights is not None
        return Sam2Segmenter(weights, how)
    if name == "ultralytics":
        if weights is None:
            raise UsageError(
                "people.segmenter=ultralytics needs a file: "
                "--set people.segmenter_weights=FILE.onnx"
            )
        from humanverse.models.ultralytics_masks import UltralyticsSegmenter

        return UltralyticsSegmenter(weights, trust, how)
    if weights is not None:
        raise UsageError(
            "people.segmenter_weights is for the other segmenters; blazepose has its own"
        )
    if how.device.startswith("cuda"):
        raise UsageError("people.segmenter=blazepose runs on the CPU: leave people.device as it is")
    from humanverse.models.blaze.masks import BlazePoseSegmenter

    return BlazePoseSegmenter()
