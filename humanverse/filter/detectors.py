"""The person detectors that a recipe can name."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from humanverse.errors import UsageError
from humanverse.models.base import PersonDetector
from humanverse.models.torched import How

Detector = Literal["blazepose", "yolox", "ultralytics", "rfdetr", "dfine"]
"""ultralytics is under AGPL-3.0, which binds what is built on it; the others under Apache-2.0."""

MIN_SCORES: Final[dict[str, float]] = {
    "blazepose": 0.65,
    "yolox": 0.35,
    "ultralytics": 0.4,
    "rfdetr": 0.5,
    "dfine": 0.5,
}
"""The score from which a box counts as a person: tuned on real photographs for the first three,
the threshold of their publishers' examples for the last two."""


def check_detector(name: Detector, weights: Path | None, trust: bool, how: How) -> None:
    """Refuse what cannot work, before anything is written; large weights are not loaded.

    Raises:
        UsageError: a file or a package is missing, or a file is of another kind.
    """
    if name in ("rfdetr", "dfine"):
        from humanverse.models.detr import check

        check(name, weights)
    elif name == "ultralytics" and weights is not None and weights.suffix == ".pt":
        from humanverse.models import ultralytics

        ultralytics.check(weights, trust, how)
    else:
        make_detector(name, weights, trust, how)


def make_detector(
    name: str, weights: Path | None, trust: bool = False, how: How | None = None
) -> PersonDetector:
    """A detector by name, with its file or folder of weights, or those of the store."""
    how = how or How()
    if name in ("rfdetr", "dfine"):
        from humanverse.models.detr import DetrDetector, check

        check(name, weights)
        assert weights is not None
        return DetrDetector(weights, how=how)
    if name == "ultralytics":
        if weights is None:
            raise UsageError(
                "people.detector=ultralytics needs a file: --set people.weights=FILE.onnx"
            )
        from humanverse.models.ultralytics import UltralyticsDetector

        return UltralyticsDetector(weights, trust, how=how)
    return _small(name, weights, how)


def _small(name: str, weights: Path | None, how: How) -> PersonDetector:
    """A detector that runs on the CPU, from a file of the store."""
    if how.device.startswith("cuda"):
        raise UsageError(f"people.detector={name} runs on the CPU: leave people.device as it is")
    if name == "blazepose":
        if weights is not None:
            raise UsageError(
                "people.weights is for the other detectors; people.detector=blazepose has its own"
            )
        from humanverse.models.blaze.people import BlazePoseDetector

        return BlazePoseDetector()
    from humanverse.models.store import weight_path
    from humanverse.models.yolox import YoloxDetector

    return YoloxDetector(weights or weight_path("yolox_nano"))
