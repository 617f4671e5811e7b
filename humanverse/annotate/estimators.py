"""The pose estimators that a recipe can name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from humanverse.errors import UsageError
from humanverse.models.base import PoseEstimator
from humanverse.models.torched import How

Model = Literal["blazepose", "mmpose", "vitpose"]


@dataclass(frozen=True, slots=True)
class Choice:
    """A pose model and what belongs to it, as a recipe names it."""

    model: Model = "blazepose"
    weights: Path | None = None
    config: Path | None = None
    expert: int | None = None
    flip: bool | None = None


def check_estimator(choice: Choice, how: How) -> None:
    """Refuse what cannot work, before anything is written; large weights are not loaded.

    Raises:
        UsageError: a file or a package is missing, or a setting is for another model.
    """
    _refuse_strangers(choice)
    if choice.model == "mmpose":
        from humanverse.models.mmpose import check

        check(choice.config, choice.weights)
    elif choice.model == "vitpose":
        from humanverse.models import vitpose

        vitpose.check(choice.weights)
    else:
        make_estimator(choice, how)


def make_estimator(choice: Choice, how: How) -> PoseEstimator:
    """A pose model with its weights loaded."""
    _refuse_strangers(choice)
    if choice.model == "mmpose":
        from humanverse.models.mmpose import MmposeWholeBody, check

        check(choice.config, choice.weights)
        assert choice.config is not None
        assert choice.weights is not None
        return MmposeWholeBody(choice.config, choice.weights, choice.flip, how)
    if choice.model == "vitpose":
        from humanverse.models import vitpose

        vitpose.check(choice.weights)
        assert choice.weights is not None
        return vitpose.VitPose(choice.weights, choice.expert, bool(choice.flip), how)
    if how.device.startswith("cuda"):
        raise UsageError("pose.model=blazepose runs on the CPU: leave pose.device as it is")
    from humanverse.models.blaze.wholebody import BlazePoseWholeBody

    return BlazePoseWholeBody()


def _refuse_strangers(choice: Choice) -> None:
    """Refuse settings that the model has no use for: somebody meant another one."""
    takes = {
        "blazepose": set[str](),
        "mmpose": {"weights", "config", "flip"},
        "vitpose": {"weights", "expert", "flip"},
    }[choice.model]
    for name in ("weights", "config", "expert", "flip"):
        if name not in takes and getattr(choice, name) is not None:
            raise UsageError(f"pose.{name} is not for pose.model={choice.model}")
