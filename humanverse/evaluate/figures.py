"""What is measured, under which names, and what HyperHuman's table says (arXiv 2310.08579)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

METRICS: Final = ("kid", "fid", "fid_clip", "cmmd", "clip", "pose", "depth", "normals")
"""What can be asked for, in the order of the table."""
BY_INCEPTION: Final = ("kid", "fid")
BY_CLIP: Final = ("fid_clip", "cmmd", "clip")
PAPER_SET: Final = (
    "8,236 pictures of people of COCO 2014 val, 50 steps of DDIM, guidance 7.5, first stage, 512 "
    "pixels"
)


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    label: str
    better: str
    """↑ or ↓"""
    digits: int
    paper: float | None = None


def _accuracy() -> dict[str, Row]:
    """Lines of pose accuracy: the paper's are the body's."""
    paper, rows = {"pose_ap": 30.38, "pose_ar": 37.84}, dict[str, Row]()
    for begins, part in (("pose", "body"), ("wholebody", "whole body")):
        for ends, variant in (("", ""), ("_clean", ", clean")):
            for kind in ("ap", "ar"):
                name = f"{begins}_{kind}{ends}"
                label = f"pose {kind.upper()}, {part}{variant}"
                rows[name] = Row(label, "↑", 2, paper.get(name))
    return rows


ROWS: Final[Mapping[str, Row]] = {
    "kid_x1000": Row("KID x 1000", "↓", 3, 4.11),
    "fid": Row("FID", "↓", 2, 17.18),
    "fid_clip": Row("FID_CLIP", "↓", 2, 7.82),
    "cmmd": Row("CMMD", "↓", 4),
    "clip_score": Row("CLIP score", "↑", 2, 32.17),
    **_accuracy(),
    "depth_l2": Row("depth L2", "↓", 5),
    "normals_l2": Row("normals L2", "↓", 5),
    "normals_degrees": Row("normals, degrees", "↓", 2),
}
"""By the name of a figure."""


@dataclass(frozen=True)
class Figure:
    """A number that was measured."""

    value: float | None
    """None where there was nothing to be right or wrong about."""
    how: str
    """In a few words."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    deviation: float | None = None
    compares: bool = True
    """Whether it may be held against anybody else's."""


@dataclass(frozen=True)
class Evaluation:
    """Everything measured, and what could not be."""

    figures: Mapping[str, Figure]
    """By names of `ROWS`, in their order."""
    missing: Mapping[str, str]
    """Metrics, and what they want."""
    settings: Mapping[str, Any]
    """What holds for all figures."""
