"""Small heads on CLIP's image embeddings: LAION's for aesthetics, and those for what is not safe.

They were learnt on embeddings of length 1 by one tower of CLIP, and say nothing of another's. Each
published file keeps its layers under names of its own, by which it is known here; what has other
names is refused, since a head that is read wrongly still gives numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from humanverse.errors import UsageError
from humanverse.models.weight_files import check_weights, load_weights

Array = NDArray[np.float32]
Weights = Mapping[str, Array]
Norm = tuple[NDArray[Any], NDArray[Any]]
"""Scale and mean (width,) of what a head sees: `(embedding - mean) * scale`."""

V2_LAYERS: Final = ("0", "2", "4", "6", "7")
"""Places of the linear layers in the aesthetic head V2. Dropout alone lies between them: were there
ReLU too, they would have other places."""
H14_LAYERS: Final = ("0", "3", "6", "9", "12", "15", "16")
"""The same of LAION's NSFW head for H/14: ReLU and dropout, but none before the last."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A linear layer, after ReLU or not."""

    weight: Array
    """(out, in)."""
    bias: Array
    """(out,)."""
    relu: bool = False
    """Whether what comes in is cut at zero first."""


@dataclass(frozen=True, slots=True)
class Head:
    """A chain of layers from an embedding to one number."""

    layers: tuple[Layer, ...]
    squash: Callable[[Array], Array] | None = None
    """What the last sum goes through."""

    @property
    def width(self) -> int:
        """Numbers of the embeddings it takes."""
        return int(self.layers[0].weight.shape[1])

    def __call__(self, embeddings: Array) -> Array:
        """A score (n,) for each of the embeddings (n, width), of length 1."""
        values = embeddings
        for layer in self.layers:
            values = np.maximum(values, 0) if layer.relu else values
            values = values @ layer.weight.T + layer.bias
        values = values[:, 0]
        return self.squash(values) if self.squash else values


def aesthetic_head(file: Path) -> Head:
    """LAION's head V1, one linear layer, or V2, five without activations between them.

    Both were learnt on ratings of 1 to 10 and may fall outside.

    Raises:
        UsageError: the file is none of them.
    """
    found = _arrays(file)
    if set(found) == {"weight", "bias"}:
        return _checked(file, (_layer(found, ""),), None)
    if _is_chain(found, "layers.", V2_LAYERS):
        layers = tuple(_layer(found, f"layers.{at}.") for at in V2_LAYERS)
        return _checked(file, layers, None)
    raise UsageError(
        f"{file} is no aesthetic head of LAION's: neither V1 (weight, bias) nor V2 "
        f"(layers.{', '.join(V2_LAYERS)})"
    )


def nsfw_head(file: Path) -> Head:
    """A head that gives the probability of being unsafe, of three published kinds.

    LAION's for L/14 and B/32 (`norm`, `linear_1`, ...) and DataComp's for L/14 (`norm`, `dense`,
    `dense1`, ...) end in a sigmoid. LAION's for H/14 (`layers`) was learnt by least squares:
    it is cut at 0 and 1.

    Raises:
        UsageError: the file is none of them.
    """
    found = _arrays(file)
    numbers = [name.split(".")[0] for name in found if re.fullmatch(r"linear_\d+\.weight", name)]
    if {"norm.mean", "norm.variance"} <= set(found) and len(numbers) > 1:
        names = [f"linear_{n + 1}." for n in range(len(numbers))]
        norm: Norm = 1 / (np.sqrt(found["norm.variance"]) + 1e-10), found["norm.mean"]
        return _checked(file, _after_norm(file, found, names, norm), _sigmoid)
    if {"norm.running_mean", "norm.running_var", "dense.weight"} <= set(found):
        count = len([name for name in found if re.fullmatch(r"dense\d*\.weight", name)])
        names = [f"dense{n or ''}." for n in range(count)]
        scale = found["norm.weight"] / np.sqrt(found["norm.running_var"])
        norm = scale, found["norm.running_mean"] - found["norm.bias"] / scale
        return _checked(file, _after_norm(file, found, names, norm), _sigmoid)
    if _is_chain(found, "layers.", H14_LAYERS):
        layers = tuple(
            _layer(found, f"layers.{at}.", relu=at not in ("0", "16")) for at in H14_LAYERS
        )
        return _checked(file, layers, _bounded)
    raise UsageError(
        f"{file} is no NSFW head that is known here: docs/models.md lists the names that one has"
    )


def _after_norm(file: Path, found: Weights, names: list[str], norm: Norm) -> tuple[Layer, ...]:
    """Layers with ReLU between them, the first of which sees what a `Norm` makes."""
    if lost := [f"{n}{p}" for n in names for p in ("weight", "bias") if f"{n}{p}" not in found]:
        raise UsageError(f"{file} has no {lost[0]}")
    first, *rest = (_layer(found, name, relu=at > 0) for at, name in enumerate(names))
    scale, mean = norm
    if scale.shape != first.weight.shape[1:]:
        raise UsageError(f"{file} normalises {scale.shape} numbers of {first.weight.shape[1:]}")
    weight = (first.weight * scale).astype(np.float32)
    bias = (first.bias - (first.weight * scale) @ mean).astype(np.float32)
    return (Layer(weight, bias), *rest)


def _layer(found: Weights, prefix: str, *, relu: bool = False) -> Layer:
    return Layer(found[f"{prefix}weight"], found[f"{prefix}bias"], relu)


def _is_chain(found: Weights, prefix: str, places: tuple[str, ...]) -> bool:
    return set(found) == {f"{prefix}{at}.{part}" for at in places for part in ("weight", "bias")}


def _checked(
    file: Path, layers: tuple[Layer, ...], squash: Callable[[Array], Array] | None
) -> Head:
    """A head whose layers fit each other and end in one number.

    Raises:
        UsageError: they do not.
    """
    widths = [layer.weight.shape for layer in layers]
    fits = all(len(w) == 2 and w[0] == len(x.bias) for w, x in zip(widths, layers, strict=True))
    if not fits or widths[-1][0] != 1 or any(a[0] != b[1] for a, b in pairwise(widths)):
        raise UsageError(f"{file} is no head: its layers {widths} make no chain to one number")
    return Head(layers, squash)


def _arrays(file: Path) -> dict[str, Array]:
    check_weights(file, "a head on CLIP")
    return {name: value.float().numpy() for name, value in load_weights(file).items()}


def _sigmoid(values: Array) -> Array:
    # By tanh, which does not overflow.
    return np.asarray(0.5 * (1 + np.tanh(0.5 * values)), np.float32)


def _bounded(values: Array) -> Array:
    return np.clip(values, 0, 1)
