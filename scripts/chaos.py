"""Builds that are killed again and again, and whether anything was lost, doubled or changed.

    python scripts/chaos.py        # 450 kills on the local runner, 50 on Ray, 10 nodes
    python scripts/chaos.py --local 100 --ray 0 --nodes 0
    python scripts/chaos.py --local 50 --ray 0 --nodes 0 --bucket      # on a local S3

Drivers are killed at moments drawn at random over the time that a build takes, and at failpoints
drawn at random; on Ray workers are killed, too, and nodes of a cluster of three, one after the
other. After ten kills a build may go on to its end, and its ledger and shards are compared with
those of an undisturbed one. The seed decides what is drawn, but not what the machine is doing at
that moment: a failure is told with the root, which is kept.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from humanverse.layers.failpoints import Armed
from humanverse.layers.ledger import ledger
from humanverse.layers.store import Store
from humanverse.layers.verify import verify
from humanverse.testing.chaos import Job, contents, fail, passages, run
from humanverse.testing.photos import Photo
from humanverse.testing.web import picture_web

RECIPE = Path(__file__).with_name("chaos_recipe.py")
PICTURES = 48
KILLS_A_ROOT = 10
BETWEEN = (3.0, 12.0)
"""Seconds between two kills of a Ray worker."""


@dataclass
class Tally:
    """What came of it."""

    wanted: dict[str, str]
    keys: Counter
    kills: int = 0
    lost: int = 0
    doubled: int = 0
    different: int = 0
    roots: int = 0
    kept: list[str] = field(default_factory=list)

    def judge(self, root: str) -> None:
        """Compare a finished root with the undisturbed one."""
        self.roots += 1
        keys = keys_of(root)
        lost, doubled = (self.keys - keys).total(), (keys - self.keys).total()
        found = contents(root)
        different = sum(found.get(n) != self.wanted.get(n) for n in found.keys() | self.wanted)
        findings = verify(Store(root))
        self.lost, self.doubled = self.lost + lost, self.doubled + doubled
        self.different += different + len(findings)
        if lost or doubled or different or findings:
            self.kept.append(root)
            print(f"{root}: {lost} lost, {doubled} doubled, {different} different", *findings[:3])
        elif "://" not in root:
            shutil.rmtree(root)


def keys_of(root: str) -> Counter:
    """How often each input row stands in a ledger."""
    table = ledger(Store(root))
    return Counter(zip(table["file"].to_pylist(), table["row"].to_pylist(), strict=True))


def pictures() -> list[Photo]:
    """Pictures of noise, quick to make and to decode."""
    draw = np.random.default_rng(0)
    size = (48, 64, 3)
    return [
        Photo(f"p{n}", f"picture {n}", draw.integers(0, 256, size, np.uint8))
        for n in range(PICTURES)
    ]


def killed_in_time(job: Job, after: float) -> bool:
    """Do a job in another process, and kill that after so many seconds; False if it was done."""
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=run, args=(job,))
    process.start()
    process.join(after)
    process.kill()
    process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"the build ended with {process.exitcode}")
    return process.exitcode != 0


def chaos_local(tally: Tally, table: Path, where, kills: int, seed: int) -> None:
    """Kill drivers of the local runner."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        job = Job(RECIPE, (table,), f"{folder}/counted")
        began = time.monotonic()
        passed = passages(job)
        seconds = time.monotonic() - began
    points = [Armed(p, n, "kill") for p, times in passed.items() for n in range(1, times + 1)]
    number = 0
    while tally.kills < kills:
        job, number = Job(RECIPE, (table,), where(f"local-{number}")), number + 1
        for _ in range(min(KILLS_A_ROOT, kills - tally.kills)):
            if draw.random() < 0.5:
                killed = fail(job, draw.choice(points))
            else:
                killed = killed_in_time(job, draw.uniform(0.1, 1.5) * seconds)
            tally.kills += killed
            if not killed:
                break
        run(job)
        tally.judge(job.root)
        print(f"{tally.kills} kills, {tally.roots} roots", flush=True)


def chaos_ray(tally: Tally, table: Path, where, kills: int, seed: int) -> None:
    """Kill workers, and every fifth time the driver, while a build runs on Ray."""
    draw, done, number = random.Random(seed), 0, 0
    while done < kills:
        root, number = where(f"ray-{number}"), number + 1
        mine = 0
        while True:
            process, cluster = driver(table, root), set()
            while process.poll() is None and mine < KILLS_A_ROOT and done < kills:
                time.sleep(draw.uniform(*BETWEEN))
                cluster |= begotten(process)
                if process.poll() is None and strike(process, cluster, draw, done % 5 == 4):
                    mine, done, tally.kills = mine + 1, done + 1, tally.kills + 1
            if process.wait() == 0:
                break
            end(cluster)
        tally.judge(root)
        print(f"{tally.kills} kills, {tally.roots} roots", flush=True)


def driver(table: Path, root: str) -> subprocess.Popen:
    """A build on Ray, as a user would start it."""
    command = [sys.executable, "-m", "humanverse", "build", str(RECIPE), "--runner", "ray"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([*command, "--input", str(table), "--out", root], **quiet)


def begotten(process: subprocess.Popen) -> set[psutil.Process]:
    """A driver's cluster: what it started, and what that started."""
    try:
        return set(psutil.Process(process.pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return set()


def strike(
    process: subprocess.Popen,
    cluster: set[psutil.Process],
    draw: random.Random,
    the_driver: bool,
) -> bool:
    """Kill the driver, or one of its workers; False where there is none yet."""
    if the_driver:
        process.kill()
        return True
    workers = sorted((p for p in cluster if is_worker(p)), key=lambda worker: worker.pid)
    if not workers:
        return False
    try:
        draw.choice(workers).kill()
    except psutil.NoSuchProcess:
        return False
    return True


def is_worker(process: psutil.Process) -> bool:
    """Whether a process does the work of some stages, and lives."""
    try:
        return any("MapWorker" in part for part in process.cmdline())
    except psutil.Error:
        return False


def chaos_nodes(tally: Tally, table: Path, where, kills: int, seed: int) -> None:
    """Kill one of three nodes every few seconds, and put another in its place."""
    import ray
    from ray.cluster_utils import Cluster

    draw, number, done = random.Random(seed), 0, 0
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    nodes = [cluster.add_node(num_cpus=2) for _ in range(2)]
    os.environ["RAY_ADDRESS"] = cluster.address
    try:
        while done < kills:
            job, number, ended = (
                Job(RECIPE, (table,), where(f"nodes-{number}"), "ray"),
                number + 1,
                [],
            )
            building = threading.Thread(target=lambda job=job, ended=ended: ended.append(run(job)))
            building.start()
            while building.is_alive() and done < kills:
                building.join(draw.uniform(*BETWEEN))
                if building.is_alive():
                    cluster.remove_node(nodes.pop(draw.randrange(2)), allow_graceful=False)
                    nodes.append(cluster.add_node(num_cpus=2))
                    tally.kills, done = tally.kills + 1, done + 1
            building.join()
            if not ended:
                raise SystemExit(f"{job.root} broke off")
            tally.judge(job.root)
            print(f"{tally.kills} nodes killed, {tally.roots} roots", flush=True)
    finally:
        os.environ.pop("RAY_ADDRESS")
        ray.shutdown()
        cluster.shutdown()


def end(cluster: set[psutil.Process]) -> None:
    """End what a killed driver has left of its own cluster, and nobody else's."""
    _, alive = psutil.wait_procs(cluster, timeout=2)  # most of it ends by itself
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--local", type=int, default=450, help="kills on the local runner")
    parser.add_argument("--ray", type=int, default=50, help="kills on Ray")
    parser.add_argument("--nodes", type=int, default=10, help="kills of nodes of a Ray cluster")
    parser.add_argument("--bucket", action="store_true", help="roots in a local S3")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    with ExitStack() as stack:
        web = stack.enter_context(picture_web(pictures()))
        table = folder / "urls.parquet"
        web.write_table(table)
        where = lambda name: str(folder / name)  # noqa: E731
        if options.bucket:
            from humanverse.testing.objects import bucket

            where = stack.enter_context(bucket(os.environ.__setitem__)).url
        run(Job(RECIPE, (table,), str(folder / "undisturbed")))
        wanted = str(folder / "undisturbed")
        tallies = [Tally(contents(wanted), keys_of(wanted)) for _ in range(3)]
        if options.local:
            chaos_local(tallies[0], table, where, options.local, options.seed)
        if options.ray:
            chaos_ray(tallies[1], table, where, options.ray, options.seed)
        if options.nodes:
            chaos_nodes(tallies[2], table, where, options.nodes, options.seed)
    ends = {n: sum(getattr(t, n) for t in tallies) for n in ("lost", "doubled", "different")}
    kept = [root for tally in tallies for root in tally.kept]
    print(f"{tallies[0].kills} kills on the local runner, {tallies[1].kills} on Ray,", end=" ")
    print(f"{tallies[2].kills} of nodes,", end=" ")
    print(f"{sum(tally.roots for tally in tallies)} roots", *kept)
    if not kept:
        shutil.rmtree(folder)
    print(" ".join(f"{name} {number}" for name, number in ends.items()))
    sys.exit(bool(any(ends.values())))


if __name__ == "__main__":
    main()
