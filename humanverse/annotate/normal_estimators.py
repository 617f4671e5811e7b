"""The normal estimators that a recipe can name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from humanverse.errors import UsageError
from humanverse.models.base import NormalEstimator
from humanverse.models.torched import How

Model = Literal["lite", "omnidata", "sapiens2", "from_depth"]
"""from_depth takes no picture, but the metric depth that a stage before it wrote."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A normal model and what belongs to it, as a recipe names it."""

    model: Model = "lite"
    weights: Path | None = None
    fov: float | None = None


def check_estimator(choice: Choice, how: How) -> None:
    """Refuse what cannot work, before anything is written; large weights are not loaded.

    Raises:
        UsageError: a file or a package is missing, or a setting is for another model.
    """
    _refuse_strangers(choice, how)
    if choice.model == "omnidata":
        from humanverse.models import omnidata

        omnidata.check("normals.model=omnidata", choice.weights)
    elif choice.model == "sapiens2":
        from humanverse.models import sapiens

        sapiens.check(choice.weights)
    elif choice.model == "from_depth" and (choice.fov is None or not 0 < choice.fov < 180):
        raise UsageError(
            "normals.model=from_depth needs normals.fov: degrees of view along the longer side"
        )


def make_estimator(choice: Choice, how: How) -> NormalEstimator | None:
    """A normal model with its weights loaded; None for from_depth, which is none.

    Raises:
        UsageError: as `check_estimator`, or the weights are others.
    """
    check_estimator(choice, how)
    if choice.model == "from_depth":
        return None
    if choice.model == "lite":
        from humanverse.models.lite import LiteNormals

        return LiteNormals()
    assert choice.weights is not None
    if choice.model == "omnidata":
        from humanverse.models.omnidata import OmnidataNormals

        return OmnidataNormals(choice.weights, how)
    from humanverse.models.sapiens import SapiensNormals

    return SapiensNormals(choice.weights, how)


def _refuse_strangers(choice: Choice, how: How) -> None:
    """Refuse settings that the model has no use for: somebody meant another one."""
    alone = choice.model in ("lite", "from_depth")
    if alone and choice.weights is not None:
        raise UsageError(f"normals.weights is not for normals.model={choice.model}")
    if choice.model != "from_depth" and choice.fov is not None:
        raise UsageError(f"normals.fov is not for normals.model={choice.model}")
    if alone and how.device.startswith("cuda"):
        raise UsageError(
            f"normals.model={choice.model} runs on the CPU: leave normals.device as it is"
        )
