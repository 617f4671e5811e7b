"""Torch networks in batches: on which device, in which numbers, and when memory is full."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from humanverse.errors import UsageError

if TYPE_CHECKING:
    import torch

    Found = tuple[torch.Tensor | list[torch.Tensor], ...]
    """What a step gives: tensors (n, ...), or lists of n of them."""

Precision = Literal["auto", "fp32", "bf16"]
"""auto: bf16 on a GPU, fp32 on the CPU. Sums, softmaxes and what is decoded stay fp32."""

TOLERANCE: Final = 1e-3
"""How far a result in fp32 may move with its neighbours in a batch, relative to the largest one.

Libraries choose other algorithms for other batch sizes, which sum in another order: 1e-5 is usual,
and an element that two sums decide, such as the larger of two peaks, may change.
"""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class How:
    """How a network is run."""

    device: str = "auto"
    """auto (a GPU where there is one), cpu, cuda, or cuda:1."""
    batch: int = 16
    """Most inputs of one forward pass; less where they do not fit the device."""
    precision: Precision = "auto"
    channels_last: bool = False
    """Keep channels innermost in memory, which convolutions on a GPU like."""
    compiled: bool = False
    """Compile the network at its first batch: minutes, for a tenth to a half of each later one."""

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise UsageError(f"a batch of {self.batch} is none: 1 or more is wanted")
        if self.precision not in get_args(Precision):
            raise UsageError(f"precision {self.precision!r} is none of {get_args(Precision)}")
        kind, _, number = self.device.partition(":")
        if kind not in ("auto", "cpu", "cuda") or (number and not number.isdecimal()):
            raise UsageError(f"device {self.device!r} is none of auto, cpu, cuda, cuda:1, ...")


def is_half(how: How) -> bool:
    """Whether bf16 is meant, on this machine."""
    return how.precision == "bf16" or (how.precision == "auto" and device_of(how).type == "cuda")


def device_of(how: How) -> torch.device:
    """The device that is meant, on this machine.

    Raises:
        UsageError: it is not there.
    """
    import torch

    have = torch.cuda.device_count()
    if how.device == "auto":
        return torch.device("cuda" if have else "cpu")
    device = torch.device(how.device)
    if device.type == "cuda" and (device.index or 0) >= have:
        raise UsageError(f"device {how.device} is not here: this machine has {have} GPUs")
    return device


class Engine:
    """A network on its device, ready for batches."""

    def __init__(self, network: torch.nn.Module, how: How | None = None) -> None:
        """Move a network to its device, for inference alone."""
        import torch

        how = how or How()
        self.device = device_of(how)
        self.batch = how.batch
        """Inputs of the next forward pass: `how.batch`, or what fitted."""
        self._half = is_half(how)
        if self.device.type == "cpu":
            # As the ONNX models: the same input gives the same bytes, whoever runs it.
            torch.set_num_threads(1)
        network = network.eval().requires_grad_(False).to(self.device)
        if how.channels_last:
            network = network.to(memory_format=torch.channels_last)
        self._network: Callable[..., Any] = torch.compile(network) if how.compiled else network

    def __call__(self, *inputs: torch.Tensor | None, **named: Any) -> Any:
        """What the network gives, in the precision that is wanted."""
        with self.numbers():
            return self._network(*inputs, **named)

    def upload(self, array: NDArray[Any]) -> torch.Tensor:
        """An array on the device. The copy runs beside what the device is doing."""
        import torch

        tensor = torch.from_numpy(array)
        if self.device.type != "cuda":
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def in_batches(
        self,
        items: Sequence[Item],
        step: Callable[[Sequence[Item]], Found],
    ) -> list[tuple[NDArray[Any], ...]]:
        """One row of each of the tensors (n, ...) that `step` gives for n items, for every item.

        In place of a tensor it may give a list of n tensors, where their shapes differ.

        Where the device's memory is full the batch is halved, now and from now on, and its items
        are tried again. Results stay on the device until the last batch is under way, so that it
        never waits for us.

        Raises:
            torch.OutOfMemoryError: one item alone does not fit.
        """
        import torch

        done: list[Found] = []
        start = 0
        with torch.inference_mode():
            while start < len(items):
                chunk = items[start : start + self.batch]
                found = self._attempt(step, chunk)
                if found is not None:
                    done.append(found)
                    start += len(chunk)
        return [row for found in done for row in _rows(found)]

    def _attempt(
        self, step: Callable[[Sequence[Item]], Found], chunk: Sequence[Item]
    ) -> Found | None:
        """What a step gives, or None after the batch was halved."""
        import torch

        try:
            return step(chunk)
        except torch.OutOfMemoryError:
            if len(chunk) == 1:
                raise
        # Outside the handler: until here the error held the step's tensors.
        self.batch = max(1, len(chunk) // 2)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def numbers(self) -> AbstractContextManager[Any]:
        """Within it torch reckons in the precision that is wanted."""
        import torch

        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._half)


def _rows(found: Found) -> list[tuple[NDArray[Any], ...]]:
    columns = [
        [row.cpu().numpy() for row in column] if isinstance(column, list) else column.cpu().numpy()
        for column in found
    ]
    return list(zip(*columns, strict=True))


def stacked(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures of one size (H, W, 3) as (n, H, W, 3)."""
    return np.stack(pictures)


def normalised(
    pixels: torch.Tensor, mean: Sequence[float], deviation: Sequence[float]
) -> torch.Tensor:
    """Pixels (n, H, W, 3), 0 to 255, as a network's input (n, 3, H, W): less mean, by deviation.

    Both are in the unit of the pixels.
    """
    values = (pixels.float() - _like(pixels, mean)) / _like(pixels, deviation)
    return values.permute(0, 3, 1, 2)


def _like(pixels: torch.Tensor, values: Sequence[float]) -> torch.Tensor:
    import torch

    return torch.tensor(values, dtype=torch.float32, device=pixels.device)
