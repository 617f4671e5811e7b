"""Children that decode may crash, hang, eat memory, be stopped or killed, and lie: only the picture
that killed two of them is condemned."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from malformed import encoded, scene

from humanverse.collect import decoder
from humanverse.collect.decoder import Decoders
from humanverse.collect.picture import BadPicture, Bounds, normalise
from humanverse.errors import HumanverseError
from humanverse.testing import poison

BOUNDS = Bounds(max_side=256, min_side=16, max_pixels=2_000_000, quality=95)
POISON = "humanverse.testing.poison"
GOOD = [encoded(scene((90 + n, 80), seed=n), quality=80) for n in range(200)]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(autouse=True, scope="module")
def compiled(tmp_path_factory):
    """Where no bytecode is kept, a child takes seconds to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("bytecode")))
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        yield


@contextlib.contextmanager
def decoding(children=2, module=POISON, seconds=1.0):
    made = Decoders(BOUNDS, children, seconds=seconds, module=module)
    try:
        yield made
    finally:
        made.close()


def children_of(pid):
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread that has ended
            found |= {int(child) for child in (task / "children").read_text().split()}
    return found


def reason_of(decoders, data):
    with pytest.raises(BadPicture) as caught:
        decoders.decode(data)
    return caught.value.reason


def answer_of(decoders, data):
    try:
        return decoders.decode(data)
    except BadPicture as bad:
        return bad.reason


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def eventually(what, seconds=15.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if what():
            return True
        time.sleep(0.02)
    return False


def test_poison_condemns_itself_alone_and_nothing_is_left_behind():
    before, open_before = children_of(os.getpid()), len(list(Path("/proc/self/fd").iterdir()))
    marks = [mark + b" %d" % n for n in range(5) for mark in poison.FATAL]
    mixed = [*GOOD, *marks]
    random.Random(0).shuffle(mixed)
    with decoding() as decoders, ThreadPoolExecutor(5) as threads:
        answers = list(threads.map(lambda data: answer_of(decoders, data), mixed))
        assert decoders.deaths == 2 * len(marks)
    for data, answer in zip(mixed, answers, strict=True):
        assert answer == ("poison" if data in marks else normalise(data, BOUNDS))
    assert children_of(os.getpid()) == before
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


def test_children_killed_at_random_condemn_nobody():
    before = children_of(os.getpid())
    stop = threading.Event()

    def kill():
        dice = random.Random(1)
        # As many at most as may be killed while they start, and one more.
        for seconds in (0.05, 0.3, 0.6):
            if stop.wait(seconds):
                return
            mine = sorted(children_of(os.getpid()) - before)
            if mine:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(dice.choice(mine), signal.SIGKILL)

    with decoding(seconds=10.0) as decoders, ThreadPoolExecutor(3) as threads:
        decoders.decode(GOOD[0])
        killer = threading.Thread(target=kill)
        killer.start()
        answers = list(threads.map(lambda data: answer_of(decoders, data), GOOD * 3))
        stop.set()
        killer.join()
        assert decoders.deaths >= 1
    assert answers == [normalise(data, BOUNDS) for data in GOOD] * 3


def test_a_child_that_was_stopped_is_replaced_after_its_grace(monkeypatch):
    monkeypatch.setattr(decoder, "GRACE", 0.5)
    before = children_of(os.getpid())
    with decoding(1) as decoders:
        decoders.decode(GOOD[0])
        (child,) = children_of(os.getpid()) - before
        os.kill(child, signal.SIGSTOP)
        assert decoders.decode(GOOD[1]) == normalise(GOOD[1], BOUNDS)
        assert decoders.deaths == 1
        assert gone(child)


def test_a_child_that_cannot_start_is_one_clear_error_each_time():
    before = len(list(Path("/proc/self/fd").iterdir()))
    with decoding(1, module="humanverse.testing.no_such_module") as decoders:
        for _ in range(2):
            with pytest.raises(HumanverseError, match="did not start"):
                decoders.decode(GOOD[0])
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_child_that_is_killed_while_it_starts_is_started_anew(tmp_path, monkeypatch):
    (tmp_path / "killed_once.py").write_text(
        "import os, pathlib, signal\n"
        "from humanverse.collect.child import serve\n"
        "from humanverse.collect.picture import normalise\n"
        f"mark = pathlib.Path({str(tmp_path / 'mark')!r})\n"
        "if not mark.exists():\n"
        "    mark.touch()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "serve(normalise)\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with decoding(1, module="killed_once") as decoders:
        assert decoders.decode(GOOD[0]) == normalise(GOOD[0], BOUNDS)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\xff" * 60,
        poison.header(size=2**32 - 1, sides=(64, 64, 64, 64)),
        poison.header(size=0, sides=(64, 64, 64, 64)),
        poison.header(reason=200),
        poison.header(reason=1, size=5) + b"bytes",
        poison.header(reason=1, sides=(1, 0, 0, 0)),
        poison.header(size=4, sides=(257, 64, 64, 64)) + b"\xff\xd8\xff\xd9",
        poison.header(size=4, sides=(64, 64, 2**32 - 1, 64)) + b"\xff\xd8\xff\xd9",
        poison.header(size=4, sides=(64, 64, 64, 3)) + b"\xff\xd8\xff\xd9",
        poison.header(size=4, sides=(64, 64, 64, 64)) + b"\xff\xd8\xff\xd0",
        poison.header(size=100, sides=(64, 64, 64, 64)) + b"\xff\xd8",
    ],
)
def test_a_child_that_lies_is_a_dead_one(said, monkeypatch):
    monkeypatch.setattr(decoder, "GRACE", 0.1)
    monkeypatch.setattr(decoder, "LIVES", 1)
    asked = []
    receive = decoder.receive
    monkeypatch.setattr(
        decoder,
        "receive",
        lambda connection, size, *more: asked.append(size) or receive(connection, size, *more),
    )
    with decoding(1, seconds=0.2) as decoders:
        assert reason_of(decoders, poison.GARBAGE + b"\n" + said) == "poison"
        assert max(asked) < 1 << 23


def test_a_child_that_trickles_its_answer_has_no_more_time_than_others(monkeypatch):
    monkeypatch.setattr(decoder, "GRACE", 0.2)
    monkeypatch.setattr(decoder, "LIVES", 1)
    with decoding(1, seconds=0.5) as decoders:
        decoders.decode(GOOD[0])
        began = time.monotonic()
        assert reason_of(decoders, poison.TRICKLE) == "poison"
        assert time.monotonic() - began < 5


def test_an_error_that_no_reader_should_raise_is_poison():
    with decoding(1) as decoders:
        assert reason_of(decoders, poison.RAISE) == "poison"
        assert decoders.decode(GOOD[0]) == normalise(GOOD[0], BOUNDS)


def test_who_is_interrupted_leaves_no_answer_for_the_next_picture(monkeypatch):
    with decoding(1) as decoders:
        decoders.decode(GOOD[0])

        def interrupted(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(decoder, "receive", interrupted)
            with pytest.raises(KeyboardInterrupt):
                decoders.decode(GOOD[1])
        assert decoders.decode(GOOD[2]) == normalise(GOOD[2], BOUNDS)


def test_children_end_by_themselves_when_their_parent_is_killed():
    script = (
        "import sys, threading\n"
        "from humanverse.collect.decoder import Decoders\n"
        "from humanverse.collect.picture import Bounds\n"
        "from humanverse.testing import poison\n"
        f"made = Decoders(Bounds(256, 16, 10**6, 95), 2, seconds=2.0, module={POISON!r})\n"
        "good = sys.stdin.buffer.read()\n"
        "threading.Thread(target=made.decode, args=[poison.HANG], daemon=True).start()\n"
        "made.decode(good)\n"
        "print('ready', flush=True)\n"
        "threading.Event().wait()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with parent:
        parent.stdin.write(GOOD[0])
        parent.stdin.close()
        assert parent.stdout.readline() == b"ready\n"
        children = children_of(parent.pid)
        assert len(children) == 2
        parent.kill()
    assert eventually(lambda: all(gone(child) for child in children))


def test_the_terminals_signals_are_the_parents_business():
    before = children_of(os.getpid())
    with decoding(1) as decoders:
        decoders.decode(GOOD[0])
        (child,) = children_of(os.getpid()) - before
        assert os.getsid(child) == child
        limits = Path(f"/proc/{child}/limits").read_text()
        assert [line.split()[4] for line in limits.splitlines() if "core" in line] == ["0"]


def test_a_module_in_the_working_folder_is_not_taken_for_a_library(tmp_path, monkeypatch):
    (tmp_path / "cv2.py").write_text("raise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    with decoding(1) as decoders:
        assert decoders.decode(GOOD[0]) == normalise(GOOD[0], BOUNDS)


def test_no_two_pictures_are_mixed_up_when_many_ask():
    with (
        decoding(2, module="humanverse.collect.child") as decoders,
        ThreadPoolExecutor(8) as threads,
    ):
        answers = list(threads.map(decoders.decode, GOOD))
    assert answers == [normalise(data, BOUNDS) for data in GOOD]
