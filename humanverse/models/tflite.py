"""A TFLite network whose outputs are asked for by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tensor = NDArray[np.float32]

Weights = Callable[[str], Path]
"""Gives the file of a network by its name in the store."""


def stored(name: str) -> Path:
    """The file of a network, from the project's store."""
    from humanverse.models.store import weight_path

    return weight_path(name)


class TfliteModel:
    """One network on one thread, so that the same input gives the same bytes on every run."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter: Any = Interpreter(str(path), num_threads=1)
        self._interpreter.allocate_tensors()
        self._input: int = self._interpreter.get_input_details()[0]["index"]
        self._outputs: dict[str, int] = {
            detail["name"]: detail["index"] for detail in self._interpreter.get_output_details()
        }

    def run(self, picture: Tensor, *names: str) -> list[Tensor]:
        """The named outputs for one picture (H, W, 3), without their leading axis of one."""
        self._interpreter.set_tensor(self._input, picture[None])
        self._interpreter.invoke()
        # get_tensor copies, so the arrays stay good when the network runs again.
        return [self._interpreter.get_tensor(self._outputs[name])[0] for name in names]


def sigmoid(logits: Tensor) -> Tensor:
    """Logistic function, without overflow for the large logits these networks give."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -80, 80))), np.float32)
