"""What a dataset holds encoded already, and whether a recipe can be trained on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from humanverse.load.dataset import Dataset
from humanverse.train.examples import Examples
from humanverse.train.latents import LEAST, Levels


def preferring(examples: Examples, dataset: Dataset) -> tuple[Examples, list[str]]:
    """Examples that read what the dataset holds, as far as they can; and why not the rest."""
    frozen = {"latents": examples.autoencoder, "text": examples.text}
    held, cached, why = dataset.encoded, set[str](), list[str]()
    for name, encoder in frozen.items():
        identity = getattr(encoder, "identity", None)
        if name not in held or identity is None:
            continue  # nothing is there, or it is pixels and bytes that are learned
        wanted = identity
        if name == "latents":
            wanted = f"{identity} {examples.training.data.image_size}"
            why += _of_others(examples)
        if held[name]["of"] != wanted:
            why.append(f"{name} there are of {held[name]['of']}, and {wanted} is wanted")
        elif name == "text" or not why:
            cached.add(name)
    return replace(examples, cached=frozenset(cached)), why


def levels_of(examples: Examples, dataset: Dataset) -> Levels | None:
    """The levels of latents that are read, over the whole dataset; None if none are."""
    if "latents" not in examples.cached:
        return None
    told, names = dataset.encoded["latents"], examples.training.network.branches
    mean, std = (torch.tensor([told[part][name] for name in names]) for part in ("mean", "std"))
    return Levels(mean, std.clamp(min=LEAST))


def _of_others(examples: Examples) -> Iterator[str]:
    """Why no latents of centred squares will do."""
    data = examples.training.data
    if data.crop != "centre":
        yield f"latents there are of the middle, and data.crop={data.crop} takes other parts"
    if data.widest > 1:
        yield f"latents there are of squares, and data.widest={data.widest} wants other shapes"
