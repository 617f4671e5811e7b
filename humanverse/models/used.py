"""Which weights a recipe's stages use: for the record beside the data, and the card."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from humanverse.models import store
from humanverse.models.lite import WEIGHTS

NAMES = ("model", "detector", "autoencoder")
"""Settings of a stage that name a network."""
HASH = "sha256:"
OURS = "Apache-2.0"


def used(stage: str, settings: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """A line a file of weights: stage, name, sha256 and, where it is known, licence.

    Args:
        stage: its name.
        settings: resolved, in which files that a user brought stand as their hashes.
    """
    named = next((settings[name] for name in NAMES if settings.get(name)), None)
    brought = {k: v for k, v in settings.items() if isinstance(v, str) and v.startswith(HASH)}
    for field, value in brought.items():
        name = named if named and field == "weights" else field
        yield {"stage": stage, "name": str(name), "sha256": value.removeprefix(HASH)}
    if named is None or "weights" in brought:
        return
    if named == "lite":
        digest = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
        yield {"stage": stage, "name": WEIGHTS.name, "sha256": digest, "licence": OURS}
    for weight in store.listed().values():
        if weight.name.split("/")[0].split("_")[0] == named:
            told = {"sha256": weight.sha256, "licence": weight.licence}
            yield {"stage": stage, "name": weight.name} | told
