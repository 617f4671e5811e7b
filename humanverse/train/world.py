"""One process or several: who this one is, and how a network is spread over them.

Under `torchrun` each process is a rank, with a GPU of its own where there are any (NCCL,
else Gloo).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from humanverse.errors import UsageError
from humanverse.train.blocks import Block


@dataclass(frozen=True)
class World:
    """This process among all."""

    rank: int
    size: int
    device: torch.device

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over all ranks."""
        if self.size > 1:
            dist.all_reduce(value)
            value /= self.size
        return value

    def any(self, said: bool) -> bool:
        """Whether one rank says so; all must ask."""
        if self.size == 1:
            return said
        votes = torch.tensor(float(said), device=self.device)
        dist.all_reduce(votes)
        return votes.item() > 0

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def joined(device: str) -> Iterator[World]:
    """This process as a rank, if torchrun started it, or alone.

    Raises:
        UsageError: there is no such device.
    """
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    chosen = device_of(device)
    if size == 1:
        yield World(0, 1, chosen)
        return
    if chosen.type == "cuda":
        chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield World(rank, size, chosen)
    finally:
        dist.destroy_process_group()


def spread(network: nn.Module, world: World, how: Literal["ddp", "fsdp"]) -> nn.Module:
    """The network on its device, for all ranks. With fsdp it is changed in place."""
    network.to(world.device)
    if world.size == 1:
        return network
    if how == "ddp":
        devices = [world.device] if world.device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=devices)
    mesh = init_device_mesh(world.device.type, (world.size,))
    for module in network.modules():
        if isinstance(module, Block):
            fully_shard(module, mesh=mesh)
    # After sampling, too, only its own part of each weight may lie on a rank.
    fully_shard(network, mesh=mesh, reshard_after_forward=True)
    return network


def core(network: nn.Module) -> nn.Module:
    """The network that was spread."""
    inner = network.module if isinstance(network, DistributedDataParallel) else network
    assert isinstance(inner, nn.Module)
    return inner


@contextmanager
def summing(network: nn.Module, last: bool) -> Iterator[None]:
    """Gradients go to the other ranks with the last part of a step alone."""
    if isinstance(network, FSDPModule):
        network.set_requires_gradient_sync(last)
    if isinstance(network, DistributedDataParallel) and not last:
        with network.no_sync():
            yield
    else:
        yield


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor that may be spread over ranks, on the CPU. All ranks must ask."""
    full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return full.detach().cpu()


def like(tensor: Tensor, other: Tensor) -> Tensor:
    """A whole tensor, spread and placed as another one is."""
    if isinstance(other, DTensor):
        there = tensor.to(other.device)
        return distribute_tensor(there, other.device_mesh, other.placements)
    return tensor.to(other.device)


def device_of(name: str) -> torch.device:
    """A device by its name; auto is a GPU where there is one.

    Raises:
        UsageError: there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind = name.partition(":")[0]
    if kind not in ("cpu", "cuda") or (kind == "cuda" and not torch.cuda.is_available()):
        raise UsageError(f"run.device={name}: there is none here; take auto, cpu or cuda")
    return torch.device(name)
