"""Decoding in children that may die: one picture at a time, within bounds of time and memory.

A picture that crashes, hangs or overstrains its child is asked of a fresh one once more, since a
child may also be killed by chance; the second death condemns the picture and nothing else.

Whoever takes a child over by a hole in a reader speaks for it: of what it says only numbers within
bounds are believed, and no longer than an honest child would need.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import queue
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from humanverse.collect import jpeg
from humanverse.collect.picture import BadPicture, Bounds, Picture, normalise
from humanverse.errors import HumanverseError

MEMORY_PER_PIXEL = 24
"""Bytes: RGBA pictures are four; WebP's reader holds two, their bytes, ours, and a copy."""
MEMORY_BASE = 256 << 20
GRACE = 5.0
"""Seconds beyond its own time after which a silent child is killed: it may have been stopped."""
START = 60.0
"""Seconds for a child's imports, on a busy machine too."""
LIVES = 2
"""Children that a picture may cost."""
STARTS = 3
"""Children that may be killed while they start, for one that does."""
REASONS = ("", "not_image", "broken_image", "too_many_pixels", "too_small")
"""By the number that stands for them; the first one for none. `poison` is never said: a child that
ran out of memory may have been short of it before, so it ends, and a fresh one judges."""

_LENGTH = struct.Struct(">I")
_ANSWER = struct.Struct(">B4I8s8sI")
"""Reason, width, height, the same two as served, format, perceptual hash, bytes of JPEG."""
_READY = b"r"

Work = Callable[[bytes, Bounds], Picture]


class Died(Exception):
    """The child ended, was silent for too long, or answered what no sound child would."""


class Decoders:
    """Some children, each answering one picture at a time. Children start when first needed.

    Threads may call it at a time, and wait where there are more of them than children.
    """

    def __init__(
        self,
        bounds: Bounds,
        children: int,
        *,
        seconds: float = 20.0,
        module: str = "humanverse.collect.decoder",
    ) -> None:
        self.deaths = 0
        """Children that had to be replaced."""
        self._counting = threading.Lock()
        self._settings = (bounds, seconds, module)
        self._idle: queue.SimpleQueue[_Child | None] = queue.SimpleQueue()
        for _ in range(children):
            self._idle.put(None)

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
            if _receive(self._socket, 1, time.monotonic() + START) == _READY:
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
            self._socket.sendall(_LENGTH.pack(len(data)))
            self._socket.sendall(data)
            head = _ANSWER.unpack(_receive(self._socket, _ANSWER.size, until))
            if head[0]:
                return _reason(head)
            if not 0 < head[-1] <= _most_bytes(self._bounds, data):
                raise Died
            return _picture(head, _receive(self._socket, head[-1], until), self._bounds)
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


def serve(work: Work) -> None:
    """The child's side: answer until the parent is gone. Its settings are its first argument."""
    import cv2

    settings = json.loads(sys.argv[1])
    bounds, seconds = Bounds(**settings["bounds"]), settings["seconds"]
    cv2.setNumThreads(1)
    connection = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # readers complain there of what they read
    _bound(MEMORY_BASE + bounds.max_pixels * MEMORY_PER_PIXEL)
    try:
        connection.sendall(_READY)
        while True:
            (length,) = _LENGTH.unpack(_receive(connection, _LENGTH.size))
            data = _receive(connection, length)
            signal.setitimer(signal.ITIMER_REAL, seconds)
            head, stored = _answer(work, data, bounds)
            signal.setitimer(signal.ITIMER_REAL, 0)
            connection.sendall(head)
            connection.sendall(stored)
    except OSError:
        return  # the parent has no more questions


def _answer(work: Work, data: bytes, bounds: Bounds) -> tuple[bytes, bytes]:
    try:
        picture = work(data, bounds)
    except BadPicture as bad:
        if bad.reason not in REASONS:
            raise
        return _ANSWER.pack(REASONS.index(bad.reason), 0, 0, 0, 0, b"", b"", 0), b""
    served = picture.original_width, picture.original_height
    sizes = picture.width, picture.height, *served
    hashed, kind = bytes.fromhex(picture.phash), picture.format.encode()
    return _ANSWER.pack(0, *sizes, kind, hashed, len(picture.jpeg)), picture.jpeg


def _receive(connection: socket.socket, size: int, until: float = math.inf) -> bytes:
    """Exactly so many bytes, all of them by a time of the monotonic clock.

    Raises:
        OSError: the other side is gone, or late.
    """
    out = bytearray(size)
    view, have = memoryview(out), 0
    while have < size:
        if until < math.inf:
            connection.settimeout(max(until - time.monotonic(), 1e-3))
        got = connection.recv_into(view[have:])
        if not got:
            raise OSError("the other side is gone")
        have += got
    return bytes(out)


def _bound(memory: int) -> None:
    """Let this process map so many bytes more than it does, where the system can tell and hold;
    let the alarm end it, whatever it inherited, in whatever C code it is; and let it leave no core.
    """
    import resource

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        mapped = pages * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + memory, mapped + memory))
    except (OSError, ValueError):
        return


if __name__ == "__main__":
    serve(normalise)
