"""A training recipe: a Python file that defines `training = Training(...)`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from humanverse.errors import UsageError
from humanverse.overrides import assigned
from humanverse.recipe_file import located, names_in
from humanverse.train.settings import Training

SHELF = "pipelines/train"


def load_training(
    path: str | Path, assignments: Iterable[str] = (), stage: Literal["base", "refiner"] = "base"
) -> Training:
    """Read a recipe, by its file or the name of a shipped one, and apply `section.field=value`.

    Raises:
        UsageError: there is none, it is for the other stage, or no network can be trained so.
    """
    path = located(path, SHELF)
    training = names_in(path).get("training")
    if not isinstance(training, Training):
        raise UsageError(f"recipe {path} must define `training = Training(...)`")
    if training.stage != stage:
        verb = "train" if training.stage == "base" else "refine"
        raise UsageError(f"recipe {path} is for `humanverse {verb}`")
    for assignment in assignments:
        training = training.with_section(*assigned(training.sections(), assignment))
    training.check()
    return training
