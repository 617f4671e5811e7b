"""Which nodes of a cluster a pool's workers run on, and how many of them fit there.

A node says what it is for by a resource of its own (`ray start --resources='{"collectors": 1}'`),
and `--place network=collectors` ties workers to the nodes that have it. Results do not depend on
it: it belongs to a run, not to a recipe. `--place network=collectors:16` lets a pool grow to so
many workers, whatever is there now: for clusters that add nodes where workers wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from humanverse.errors import UsageError
from humanverse.stage import Stage

KINDS: Final = ("network", "gpu", "model")
"""Of workers: those that ask the web, those that want GPUs, and those that do not ask the web.
`gpu` goes before `model`, which then stands for what runs on CPUs."""
SHARE: Final = 0.001
"""What a worker takes of a node's resource: it marks the node, and is not what bounds workers."""
MOST: Final = 10_000
"""Workers of a pool, where nothing else bounds them."""

STORE: Final = "object_store_memory"
"""What Ray calls the memory in which blocks lie between two workers."""
HALF: Final = 0.5
"""Of that memory: the other half is for what is being read and written."""


class Spot(NamedTuple):
    """Where the workers of a kind run."""

    resource: str
    """Of the nodes."""
    workers: int | None = None
    """Most of a pool; None for as many as fit the nodes that are there."""


Places = Mapping[str, Spot]
"""By kind."""
Node = Mapping[str, float]
"""What a node has: `CPU`, `GPU`, `object_store_memory` in bytes, and its own resources."""


def parsed(words: Iterable[str]) -> dict[str, Spot]:
    """`KIND=RESOURCE` or `KIND=RESOURCE:WORKERS` each, as a command line says them.

    Raises:
        UsageError: one of them is no such thing.
    """
    place = {}
    for word in words:
        kind, _, told = word.partition("=")
        resource, colon, workers = told.partition(":")
        number = int(workers) if workers.isdecimal() else 0
        if (
            kind not in KINDS
            or not resource
            or resource in ("CPU", "GPU")
            or (colon and not number)
        ):
            raise UsageError(
                f"--place {word}: say KIND=RESOURCE or KIND=RESOURCE:WORKERS, where KIND is one of "
                f"{', '.join(KINDS)} and RESOURCE is one that nodes were given by "
                "`ray start --resources`"
            )
        place[kind] = Spot(resource, number or None)
    return place


def spot_of(pool: Sequence[Stage], place: Places) -> Spot | None:
    """Where this pool's workers run; None for wherever there are CPUs and GPUs."""
    wants = pool[0].resources
    if wants.network:
        return place.get("network")
    return (place.get("gpu") if wants.gpus else None) or place.get("model")


def refuse_nowhere(pools: Sequence[Sequence[Stage]], nodes: Sequence[Node], place: Places) -> None:
    """A worker for which there is no node, and never will be, is waited for for ever."""
    for pool in pools:
        spot = spot_of(pool, place)
        if spot and not spot.workers and not any(node.get(spot.resource) for node in nodes):
            names = ", ".join(stage.name for stage in pool)
            raise UsageError(
                f"{names} are to run on nodes with {spot.resource}, and no node has it: start some "
                f"with `ray start --resources='{{\"{spot.resource}\": 1}}'`, or say "
                f"{spot.resource}:WORKERS if they come once they are wanted"
            )


def pool_sizes(pools: Sequence[Sequence[Stage]], nodes: Sequence[Node], place: Places) -> list[int]:
    """Workers a pool may grow to: each keeps room for one of every pool that shares its nodes."""
    where = [_allowed(pool, nodes, place) for pool in pools]
    out = []
    for pool, mine in zip(pools, where, strict=True):
        wants = pool[0].resources
        others = sum(
            other[0].resources.cpus
            for other, theirs in zip(pools, where, strict=True)
            if other is not pool and mine & theirs
        )
        have = [nodes[number] for number in mine]
        cpus = sum(node.get("CPU", 0) for node in have) - others
        fits = cpus / wants.cpus if wants.cpus else MOST
        if wants.gpus:
            fits = min(fits, sum(node.get("GPU", 0) for node in have) / wants.gpus)
        spot = spot_of(pool, place)
        out.append((spot and spot.workers) or max(1, min(MOST, int(fits))))
    return out


def store_share(pools: Sequence[Sequence[Stage]], nodes: Sequence[Node], place: Places) -> float:
    """Share of all nodes' object stores that may be filled with what waits between pools.

    A block lies on the node that made it. Half of all memory, as Ray Data has it, may be more than
    the collectors' nodes have, and what does not fit goes to their disks. Half of what the pool
    with the least memory has always fits.
    """
    every = sum(node.get(STORE, 0) for node in nodes)
    mine = [
        sum(nodes[number].get(STORE, 0) for number in _allowed(pool, nodes, place))
        for pool in pools[:-1]  # the last one only commits
    ]
    least = min((size for size in mine if size), default=every)
    return HALF * least / every if every else HALF


def _allowed(pool: Sequence[Stage], nodes: Sequence[Node], place: Places) -> set[int]:
    """The nodes, by number, on which a worker of this pool may run."""
    wants, spot = pool[0].resources, spot_of(pool, place)
    return {
        number
        for number, node in enumerate(nodes)
        if (not spot or node.get(spot.resource)) and (not wants.gpus or node.get("GPU"))
    }
