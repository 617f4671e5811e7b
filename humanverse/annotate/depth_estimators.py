"""The depth estimators that a recipe can name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from humanverse.errors import UsageError
from humanverse.models.base import DepthEstimator, DepthKind
from humanverse.models.torched import How

Model = Literal["lite", "dpt", "depth_anything", "zoedepth", "depth_pro", "omnidata"]


@dataclass(frozen=True, slots=True)
class Choice:
    """A depth model and what belongs to it, as a recipe names it."""

    model: Model = "lite"
    weights: Path | None = None
    kind: DepthKind | None = None


def check_estimator(choice: Choice, how: How) -> None:
    """Refuse what cannot work, before anything is written; large weights are not loaded.

    Raises:
        UsageError: a file or a package is missing, or a setting is for another model.
    """
    _refuse_strangers(choice, how)
    if choice.model == "omnidata":
        from humanverse.models import omnidata

        omnidata.check("depth.model=omnidata", choice.weights)
    elif choice.model != "lite":
        from humanverse.models import hub_depth

        hub_depth.check(choice.model, choice.weights, choice.kind)


def make_estimator(choice: Choice, how: How) -> DepthEstimator:
    """A depth model with its weights loaded.

    Raises:
        UsageError: as `check_estimator`, or the weights are others.
    """
    check_estimator(choice, how)
    if choice.model == "lite":
        from humanverse.models.lite import LiteDepth

        return LiteDepth()
    assert choice.weights is not None
    if choice.model == "omnidata":
        from humanverse.models.omnidata import OmnidataDepth

        return OmnidataDepth(choice.weights, how)
    from humanverse.models.hub_depth import HubDepth

    return HubDepth(choice.weights, choice.kind, how)


def _refuse_strangers(choice: Choice, how: How) -> None:
    """Refuse settings that the model has no use for: somebody meant another one."""
    if choice.model in ("lite", "omnidata") and choice.kind is not None:
        raise UsageError(f"depth.kind is not for depth.model={choice.model}, whose kind is known")
    if choice.model == "lite" and choice.weights is not None:
        raise UsageError("depth.weights is not for depth.model=lite")
    if choice.model == "lite" and how.device.startswith("cuda"):
        raise UsageError("depth.model=lite runs on the CPU: leave depth.device as it is")
