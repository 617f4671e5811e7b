"""Which sizes of units, waves and pools suit which cluster; what a dataset like the paper's needs.

    python scripts/simulate_clusters.py --plots docs/simulated.png

Prints the tables of docs/estimating.md. Nothing here was run on such a cluster: every number that
goes in stands below, with where it is from.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from humanverse.run.ray import WAVE
from humanverse.run.work import OVERLAP
from humanverse.simulate.cluster import HOP, START, Cluster, Workers, cluster, dealt
from humanverse.simulate.run import Simulated

URLS = 2.8e9
"""Re-LAION-2B-en has 2.1 B rows, COYO-700M 0.7 B."""
HOUR, DAY = 3600.0, 86400.0
OUTPAINT = 80e12 / 790e12
"""GPU seconds a picture at the ceiling: 50 steps of Stable Diffusion 2's U-Net at 512, twice for
guidance, 0.8 TFLOP each (the network's size, not measured here). The paper outpaints; our recipe
only if it is told to.
"""
PAPER = 640 * 14 * 24.0
"""V100-hours of the paper."""


@dataclass(frozen=True)
class Scenario:
    """What a row costs, and the machines."""

    answers: float = 0.6
    """Links that still answer: 50 to 60 % in 2025. With fewer, so many pictures are not there."""
    kept: float = 0.20
    """Of the pictures that are there: the paper kept 20.8 % of LAION and 18.1 % of COYO."""
    fetch_cpu: float = 0.010
    """CPU seconds a picture of 1 to 2 megapixels: 4 ms measured for 87 KB, and its decoding."""
    dead_cpu: float = 0.002
    """CPU seconds of a link that gives none. A guess."""
    look_gpu: float = 1 / 11_000
    """GPU seconds a picture at the ceiling: YOLO11m at 640."""
    look_cpu: float = 0.003
    """To decode it for that: 815 (512 pixels) to 316 (1 megapixel) a second and core."""
    label_gpu: float = 2 / 3_095 + 1 / 1_530 + 1.4 / 22_000
    """DPT-Hybrid twice (depth, normals), DPT-Large (MiDaS' depth), RTMW-l for 1.4 people."""
    label_cpu: float = 0.045
    """To decode it three times, and to write 16-bit depth and normals as PNG: 52 to 65 a second."""
    used: float = 0.3
    """Of the ceiling of a GPU. Trunks alone reach 0.55."""
    rows: int = 1000
    """Of a unit."""
    wave: int = WAVE
    hop: float = HOP
    nodes: int = 1
    cpus: int = 64
    gpus: int = 8
    slow: float = 0.01
    """Of all units, that take 5 times as long."""
    lost: float = 0.05
    """Nodes lost, of each a day."""
    collectors: float | None = None
    """Share of a node's CPUs that fetch; as it suits the work if None."""

    def seconds(self) -> list[float]:
        """A unit in each pool: collectors have one CPU, lookers 4 and a quarter of a GPU, labellers
        8 and a GPU.
        """
        there = self.rows * self.answers
        # A collector has some units in hand at a time, so each is there for as many times longer.
        fetch = there * self.fetch_cpu + (self.rows - there) * self.dead_cpu
        look = there * max(self.look_cpu / 4, 4 * self.look_gpu / self.used)
        label = there * self.kept * max(self.label_cpu / 8, self.label_gpu / self.used)
        return [OVERLAP * fetch, look + 0.1, label + 0.1]  # each unit is read, handed on, committed

    def cluster(self) -> Cluster:
        """Workers of each pool on all nodes."""
        fetch, look, label = self.seconds()
        needs = [(1.0, 0.0), (4.0, 0.25), (8.0, 1.0)]
        have = (float(self.nodes * self.cpus), float(self.nodes * self.gpus))
        if self.collectors is None:
            counts = dealt([fetch / OVERLAP, look, label], needs, have)
        else:
            own = max(1, round(self.collectors * have[0]))
            rest = (have[0] - own, have[1])
            counts = [own, *dealt([look, label], needs[1:], rest)]
        slots = (OVERLAP, 1, 1)
        names = ("collect", "look", "label")
        pools = tuple(map(Workers, names, counts, slots))
        return Cluster(
            pools, self.nodes, self.wave, START, hop=self.hop, requests=30, request_rate=3500,
            lost=self.lost, back=600.0,
        )  # fmt: skip

    def run(self, seed: int = 0, most: int = 60_000) -> Simulated:
        """A few waves, or enough units to keep all workers at work for a while."""
        on, random = self.cluster(), np.random.default_rng(seed)
        hand = sum(pool.count * pool.slots for pool in on.pools)
        units = min(max(3 * self.wave, 6 * hand), max(most, 3 * hand))
        times = np.array(self.seconds()) * random.lognormal(-0.045, 0.3, (units, 3))
        times[:, 0] = np.maximum(times[:, 0], 30.0)  # in nearly every unit some host never answers
        times[random.random(units) < self.slow] *= 5
        return cluster(times, on, seed)

    def days(self, run: Simulated) -> float:
        """For all URLs, at the rate of this run, its waves' starts and ends included."""
        return URLS / self.rows / run.units_a_second / DAY


def work(scenario: Scenario) -> Iterator[str]:
    """Hours of it all, whatever the cluster."""
    there = URLS * scenario.answers
    kept = there * scenario.kept
    fetch = there * scenario.fetch_cpu + (URLS - there) * scenario.dead_cpu
    rows = {
        "collect, CPU-hours": fetch,
        "look for people, CPU-hours": there * scenario.look_cpu,
        "labels, CPU-hours": kept * scenario.label_cpu,
        "look for people, GPU-hours": there * scenario.look_gpu / scenario.used,
        "labels, GPU-hours": kept * scenario.label_gpu / scenario.used,
        "outpainting besides, GPU-hours": kept * OUTPAINT / scenario.used,
        "the paper, V100-hours": PAPER * HOUR,
    }
    yield f"{URLS / 1e9:.1f} B URLs, {there / 1e9:.2f} B pictures, {kept / 1e6:.0f} M kept\n"
    yield "| of | hours |\n|---|---|"
    yield from (f"| {name} | {seconds / HOUR:,.0f} |" for name, seconds in rows.items())


def told(scenario: Scenario, name: str) -> str:
    """A line of a table."""
    run, on = scenario.run(), scenario.cluster()
    pools = " + ".join(str(pool.count) for pool in on.pools)
    busy = ", ".join(f"{share:.0%}" for share in list(run.busy.values())[:4])
    rate, days = run.units_a_second * scenario.rows, scenario.days(run)
    waves = f"{run.between:.0%}, {run.draining:.0%}"
    return f"| {name} | {pools} | {rate:,.0f} | {days:,.1f} | {busy} | {waves} | {run.limit} |"


def tables() -> Iterator[str]:
    """What docs/estimating.md shows."""
    head = "workers | URLs/s | days | busy: collect, look, label, driver | "
    head += "waves begin, end | waits for"
    rule = "|---" * 7 + "|"
    base = Scenario()
    yield from work(base)
    yield f"\n| nodes, units of 1,000 and waves of {WAVE:,} | {head} |\n{rule}"
    for nodes in (1, 3, 10, 100, 1000):
        yield told(replace(base, nodes=nodes), str(nodes))
    yield f"\n| nodes, units of 4,000 and waves of 16,000 | {head} |\n{rule}"
    for nodes in (1, 3, 10, 30):
        yield told(replace(base, nodes=nodes, rows=4000, wave=16_000), str(nodes))
    yield f"\n| rows of a unit, 10 nodes | {head} |\n{rule}"
    for rows in (250, 1000, 4000):
        yield told(replace(base, nodes=10, rows=rows), f"{rows:,}")
    yield f"\n| units of a wave, 10 nodes | {head} |\n{rule}"
    for wave in (500, 2000, 8000, 32_000):
        yield told(replace(base, nodes=10, wave=wave), f"{wave:,}")
    yield f"\n| share of CPUs that fetch, 10 nodes, waves of 16,000 | {head} |\n{rule}"
    for share in (0.2, 0.4, 0.6, 0.8):
        yield told(replace(base, nodes=10, wave=16_000, collectors=share), f"{share:.0%}")
    yield f"\n| how well it goes, 10 nodes, units of 4,000, waves of 16,000 | {head} |\n{rule}"
    wide = replace(base, nodes=10, rows=4000, wave=16_000)
    yield told(wide, "as above")
    yield told(replace(wide, used=0.1), "GPUs at 10 % of their ceiling")
    yield told(replace(wide, slow=0.0), "no unit slower than the rest")
    yield told(replace(wide, lost=2.0), "each node lost twice a day")
    yield told(replace(wide, fetch_cpu=0.02), "20 ms of CPU a picture")
    yield told(replace(wide, hop=0.0), "a driver that costs nothing")


def plot(path: Path) -> None:
    """Throughput by nodes, rows of a unit, units of a wave, and share of collectors."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(8, 5.6), constrained_layout=True)
    base = Scenario()

    def line(axis, xs, made, label):
        ys = [(s := made(x)).run(most=20_000).units_a_second * s.rows for x in xs]
        axis.plot(xs, ys, marker="o", markersize=3, label=label)

    nodes = (1, 3, 10, 30, 100)
    for rows, wave in ((1000, 2000), (4000, 2000), (4000, 16_000)):
        line(
            axes[0, 0], nodes, lambda n, r=rows, w=wave: replace(base, nodes=n, rows=r, wave=w),
            f"{rows:,} rows, waves of {wave:,}",
        )  # fmt: skip
    for count in (3, 10, 30):
        line(
            axes[0, 1], (250, 500, 1000, 2000, 4000, 10_000),
            lambda r, n=count: replace(base, nodes=n, rows=r), f"{count} nodes",
        )  # fmt: skip
        line(
            axes[1, 0], (500, 1000, 2000, 4000, 8000, 16_000),
            lambda w, n=count: replace(base, nodes=n, wave=w), f"{count} nodes",
        )  # fmt: skip
    for used in (0.1, 0.3):
        line(
            axes[1, 1], (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
            lambda s, u=used: replace(base, nodes=10, wave=16_000, rows=4000, collectors=s, used=u),
            f"GPUs at {used:.0%}",
        )  # fmt: skip
    names = ("nodes", "rows of a unit", "units of a wave", "share of CPUs that fetch, 10 nodes")
    for axis, name in zip(axes.flat, names, strict=True):
        axis.set_xlabel(name)
        axis.set_ylabel("URLs a second")
        axis.legend(fontsize=7)
        if axis is not axes[0, 0]:
            axis.set_ylim(bottom=0)
    for axis in axes.flat[:3]:
        axis.set_xscale("log")
    axes[0, 0].set_yscale("log")
    figure.savefig(path, dpi=80)


def main() -> None:
    """Print the tables, and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plots", type=Path)
    args = parser.parse_args()
    for line in tables():
        print(line, flush=True)
    if args.plots:
        plot(args.plots)


if __name__ == "__main__":
    main()
