"""A cluster of three nodes builds what one machine builds, each stage where it belongs."""

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import pytest
from shared import HERE, url_table

from humanverse.layers.store import Store
from humanverse.layers.timings import read_timings
from humanverse.testing.chaos import Job, contents, run
from humanverse.testing.objects import bucket

RECIPES = HERE / "recipes" / "cluster"
PLACED, HEAVY = RECIPES / "placed.py", RECIPES / "heavy.py"
PLACE = ["--place", "network=cpu_node", "--place", "model=gpu_node"]
SWAPPED = ["--place", "network=gpu_node", "--place", "model=cpu_node"]
"""The other way round: whatever Ray would do by itself, it cannot be both."""
MANY = 160
"""Units of half a megabyte: more than the object store of the collector's node holds."""
FIT = 80
"""Of these units, in half of it: what may wait there."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("ray", "opencensus", "aiohttp_cors")),
        reason="no job server: pip install 'ray[data,default]'",
    ),
    # moto and flask, in a thread of their own here, are not ours to keep tidy.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


LISTENING = (
    "import signal, sys; from humanverse.cli import main;"
    "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main())"
)
"""The command, deaf to no Ctrl-C: what a job in the background starts would be."""


class Submitted:
    """A command that submits, and what it said so far."""

    started: ClassVar[list] = []

    def __init__(self, arguments, **environment):
        self.process = subprocess.Popen(
            [sys.executable, "-c", LISTENING, "build", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
            text=True,
        )
        self._lines, self._more, self._over = [], threading.Condition(), False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.started.append(self)

    def _read(self):
        for line in self.process.stdout:
            with self._more:
                self._lines.append(line)
                self._more.notify_all()
        with self._more:
            self._over = True
            self._more.notify_all()

    def says(self, pattern, seconds=120):
        """The first line that matches."""
        with self._more:
            self._more.wait_for(lambda: self._over or self._match(pattern), seconds)
            assert self._match(pattern), "".join(self._lines)
            return self._match(pattern)

    def _match(self, pattern):
        return next((m for m in (re.search(pattern, line) for line in self._lines) if m), None)

    def ends(self, code, seconds=240):
        """That it does, and how."""
        self.process.wait(seconds)
        self._reader.join(10)
        self.process.stdout.close()
        assert self.process.returncode == code, "".join(self._lines)


@pytest.fixture(autouse=True)
def ended():
    """Of a test that fails nothing goes on."""
    yield
    while Submitted.started:
        left = Submitted.started.pop()
        left.process.kill()
        left.process.wait(60)
        left._reader.join(10)
        left.process.stdout.close()


@pytest.fixture(scope="module")
def s3():
    with pytest.MonkeyPatch.context() as patch, bucket(patch.setenv) as made:
        yield made


@pytest.fixture(scope="module")
def cluster(s3):
    """What `three_nodes.py` prints. Its processes are its own, and so is its token."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        with _running([sys.executable, str(HERE / "run" / "three_nodes.py")]) as process:
            yield json.loads(process.stdout.readline())


@contextmanager
def _running(command):
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


def nodes_of(root, cluster):
    """Of each stage: its workers, by the name of their node."""
    names = {node[:12]: name for name, node in cluster["nodes"].items()}
    out = {}
    for timing in (timing for unit in read_timings(Store(root)) for timing in unit):
        worker, _, node = timing.worker.partition("@")
        out.setdefault(timing.stage, {}).setdefault(names[node], set()).add(worker)
    return out


def rows_told(cluster, stage, least, seconds=60):
    """Rows that Prometheus finds of a stage's workers, as soon as they are so many."""
    pattern = re.compile(rf'^ray_humanverse_rows_total{{.*stage="{stage}".*}} (\S+)$', re.MULTILINE)
    until, found = time.monotonic() + seconds, 0.0
    while found < least and time.monotonic() < until:
        found = 0.0
        for port in cluster["metrics"].values():
            address = f"http://127.0.0.1:{port}/metrics"
            with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
                found += sum(map(float, pattern.findall(answer.read().decode())))
        time.sleep(0.2)
    return found


def test_units_between_a_fast_collector_and_slow_labels_are_bounded(cluster, tmp_path):
    table, root = url_table(tmp_path, 4 * MANY), tmp_path / "root"
    heavy = Submitted(
        [HEAVY, "--input", table, "--out", root, "--submit", cluster["address"], *SWAPPED]
    )
    heavy.ends(0)
    units = [{t.stage: t for t in unit} for unit in read_timings(Store(root))]
    assert len(units) == MANY
    moves = [(unit["collect"].begun + unit["collect"].seconds, 1) for unit in units]
    moves += [(unit["detect"].begun, -1) for unit in units]
    between = most = 0
    for _, step in sorted(moves):
        between += step
        most = max(most, between)
    assert 1 < most < FIT
    assert {stage: set(places) for stage, places in nodes_of(root, cluster).items()} == {
        "collect": {"gpu_node"},
        **{stage: {"cpu_node"} for stage in ("detect", "people", "slow")},
    }
    assert rows_told(cluster, "collect", 4 * MANY) >= 4 * MANY


def test_a_job_is_joined_left_and_taken_up_and_gives_what_one_machine_gives(cluster, s3, tmp_path):
    table, root, guests = url_table(tmp_path, 80), s3.url("root"), tmp_path / "guests"
    guests.mkdir()
    arguments = [PLACED, "--input", table, "--out", root, "--submit", cluster["address"], *PLACE]
    wrong = Submitted([*arguments, "--set", "meet.nothing=1"])
    name = wrong.says(r"submitted (humanverse-[0-9a-f]{12})-1:")[1]
    wrong.ends(2)
    wrong.says("meet has no")

    waiting = ["--set", f"meet.folder={guests}", "--set", "meet.guests=3"]
    first = Submitted([*arguments, *waiting])
    first.says(f"submitted {name}-2:")
    second = Submitted([*arguments, *waiting])
    second.says(f"{name}-2 builds this root already: following it")
    second.says('"event": "start"')
    second.process.send_signal(signal.SIGINT)
    second.ends(130)
    second.says(f"the job goes on.*ray job stop {name}-2 --address {cluster['address']}")
    (guests / "third").touch()  # with two workers that makes three: a pool that does not grow waits
    first.ends(0)
    first.says('"event": "commit"')

    undisturbed = tmp_path / "undisturbed"
    run(Job(PLACED, (table,), str(undisturbed)))
    assert contents(root) == contents(undisturbed)
    nodes = nodes_of(root, cluster)
    assert {stage: set(places) for stage, places in nodes.items()} == {
        "collect": {"cpu_node"},
        **{stage: {"gpu_node"} for stage in ("detect", "people", "meet", "labels")},
    }
    assert len(nodes["labels"]["gpu_node"]) == 2


def test_who_has_no_token_is_told_so(cluster, tmp_path):
    arguments = [PLACED, "--out", tmp_path, "--submit", cluster["address"]]
    stranger = Submitted(arguments, RAY_AUTH_MODE="disabled")
    stranger.ends(2)
    stranger.says("lets nobody in without its token: set RAY_AUTH_MODE=token")
