"""Decoding in children that may die: one picture at a time, within bounds of time and memory.

A picture that crashes, hangs or overstrains its child is asked of a fresh one once more, since a
child may also be killed by chance; the second death condemns the picture and nothing else.

Whoever takes a child over by a hole in a reader speaks for it: of what it says only numbers within
bounds are believed, and no longer than an honest child would need.
"""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from humanverse.collect import jpeg
from humanverse.collect.child import ANSWER, LENGTH, READY, REASONS, receive
from humanverse.collect.picture import BadPicture, Bounds, Picture
from humanverse.errors import HumanverseError

GRACE = 5.0
"""Seconds beyond its own time after which a silent child is killed: it may have been stopped."""
START = 60.0
"""Seconds for a child's imports, on a busy machine too."""
LIVES = 2
"""Children that a picture may cost."""
STARTS = 3
"""Children that may be killed while they start, for one that does."""


class Died(Exception):
    """The child ended, was silent for too long, or answered what no sound child would."""


class Decoders:
    """Some children, each answering one picture at a time. Children start when first needed,
    or by `start`.

    Threads may call it at a time, and wait where there are more of them than children.
    """

    def __init__(
        self,
        bounds: Bounds,
        children: int,
        *,
        seconds: float = 20.0,
        module: str = "humanverse.collect.child",
    ) -> None:
        self.deaths = 0
        """Children that had to be replaced."""
        self._counting = threading.Lock()
        self._settings = (bounds, seconds, module)
        self._idle: queue.SimpleQueue[_Child | None] = queue.SimpleQueue()
        for _ in range(children):
            self._idle.put(None)

    def start(self) -> None:
        """Start all children at once, before the first picture.

        Raises:
            HumanverseError: children do not start here.
        """
        with ThreadPoolExecutor(max(1, self._idle.qsize())) as pool:
            starting = [pool.submit(self._start_one) for _ in range(self._idle.qsize())]
        try:
            for started in starting:
                started.result()
        except HumanverseError:
            self.close()
            raise

    def _start_one(self) -> None:
        child = self._idle.get()
        try:
            child = child or _started(*self._settings)
        finally:
            self._idle.put(child)

    def decode(self, data: bytes) -> Picture:
        """The picture of some bytes.

        Raises:
            BadPicture: as `normalise`; with `poison` if two children died of it.
            HumanverseError: children do not start here.
        """
        answer: Picture | str | None = None
        child = self._idle.get()
        try:
            for _ in range(LIVES):
                child = child or _started(*self._settings)
                try:
                    answer = child.ask(data)
                    break
                except Died:
                    child.end()
                    child = None
                    with self._counting:
                        self.deaths += 1
        finally:
            if answer is None and child is not None:
                # Interrupted: its answer, when it comes, would be taken for the next picture's.
                child.end()
                child = None
            self._idle.put(child)
        if isinstance(answer, Picture):
            return answer
        raise BadPicture(answer or "poison")

    def close(self) -> None:
        """End the children; nobody may be waiting for them."""
        while not self._idle.empty():
            child = self._idle.get()
            if child is not None:
                child.end()


class _Child:
    """The parent's side of one child."""

    def __init__(self, bounds: Bounds, seconds: float, module: str) -> None:
        self._bounds, self._seconds = bounds, seconds
        self._socket, theirs = socket.socketpair()
        for end in (self._socket, theirs):  # a usual picture goes over in one piece
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        settings = json.dumps({"bounds": dataclasses.asdict(bounds), "seconds": seconds})
        quiet = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
        # Its modules are the parent's. Left to itself it would look into the working folder first.
        quiet["PYTHONPATH"] = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, settings],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={**os.environ, **quiet},
                # A signal to the parent's group is the parent's: it says when its children end.
                start_new_session=True,
            )

    def starts(self) -> bool:
        """Whether it got ready, or else may do so another time: it was killed.

        Raises:
            HumanverseError: it would fail again.
        """
        try:
            if receive(self._socket, 1, time.monotonic() + START) == READY:
                return True
        except TimeoutError:
            self.end()
            raise HumanverseError(f"a decoder did not start within {START:.0f} s") from None
        except OSError:
            pass
        ended = self._process.wait(GRACE)
        self.end()
        if ended >= 0:
            raise HumanverseError("a decoder did not start: see the lines above")
        return False

    def ask(self, data: bytes) -> Picture | str:
        """A picture, or the reason why there is none.

        Raises:
            Died: no answer that can be believed came in time.
        """
        until = time.monotonic() + self._seconds + GRACE
        try:
            self._socket.settimeout(until - time.monotonic())
            self._socket.sendall(LENGTH.pack(len(data)) + data)
            head = ANSWER.unpack(receive(self._socket, ANSWER.size, until))
            if head[0]:
                return _reason(head)
            if not 0 < head[-1] <= _most_bytes(self._bounds, data):
                raise Died
            return _picture(head, receive(self._socket, head[-1], until), self._bounds)
        except OSError as error:  # a time-out is one, too
            raise Died from error

    def end(self) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()


def _started(bounds: Bounds, seconds: float, module: str) -> _Child:
    for _ in range(STARTS):
        child = _Child(bounds, seconds, module)
        if child.starts():
            return child
    raise HumanverseError(f"{STARTS} decoders were killed while they started: is memory short?")


def _most_bytes(bounds: Bounds, data: bytes) -> int:
    """The longest JPEG that may come of some bytes: as they came, or encoded anew."""
    encoded = jpeg.MOST_BYTES_PER_PIXEL * min(bounds.max_side**2, bounds.max_pixels)
    return max(len(data), encoded) + (1 << 16)


def _reason(head: tuple[int, ...]) -> str:
    if head[0] >= len(REASONS) or any(head[1:5]) or head[-1]:
        raise Died
    return REASONS[head[0]]


def _picture(head: tuple[int | bytes, ...], stored: bytes, bounds: Bounds) -> Picture:
    _, *sizes, kind, phash, _ = head
    width, height, served_width, served_height = (int(size) for size in sizes)
    right = (
        min(width, height) > 0
        and max(width, height) <= bounds.max_side
        and min(served_width, served_height) >= bounds.min_side
        and served_width * served_height <= bounds.max_pixels
        and stored.startswith(jpeg.SOI)
        and stored.endswith(jpeg.EOI)
    )
    if not right:
        raise Died
    name = bytes(kind).rstrip(b"\0").decode("ascii", "replace")
    hashed = bytes(phash).hex()
    return Picture(stored, width, height, served_width, served_height, name, hashed)
