"""Decoding in children that may die: one picture at a time, within bounds of time and memory.

A picture that crashes, hangs or overstrains its child is asked of a fresh one once more, since a
child may also be killed by chance; the second death condemns the picture and nothing else.
"""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from humanverse.collect.picture import BadPicture, Bounds, Picture, normalise
from humanverse.errors import HumanverseError

MEMORY_PER_PIXEL = 16
"""Bytes: an RGBA picture, a copy of it, the white that it is laid on, and some."""
MEMORY_BASE = 256 << 20
GRACE = 5.0
"""Seconds beyond its own time after which a silent child is killed: it may have been stopped."""

_LENGTHS = struct.Struct(">II")
_READY = b"r"

Work = Callable[[bytes, Bounds], Picture]


class Died(Exception):
    """The child ended, or was silent for too long, before it answered."""


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
        self._start = (bounds, seconds, module)
        self._idle: queue.SimpleQueue[_Child | None] = queue.SimpleQueue()
        for _ in range(children):
            self._idle.put(None)

    def decode(self, data: bytes) -> Picture:
        """The picture of some bytes.

        Raises:
            BadPicture: as `normalise`; with `poison` if two children died of it.
        """
        child = self._idle.get()
        try:
            for _ in range(2):
                if child is None:
                    child = _Child(*self._start)
                try:
                    return child.ask(data)
                except Died:
                    child.end()
                    child = None
            raise BadPicture("poison")
        finally:
            self._idle.put(child)

    def close(self) -> None:
        """End the children; nobody may be waiting for them."""
        while not self._idle.empty():
            child = self._idle.get()
            if child is not None:
                child.end()


class _Child:
    """The parent's side of one child."""

    def __init__(self, bounds: Bounds, seconds: float, module: str) -> None:
        self._socket, theirs = socket.socketpair()
        settings = json.dumps({"bounds": dataclasses.asdict(bounds), "seconds": seconds})
        quiet = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
        quiet["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, settings],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={**os.environ, **quiet},
            )
        self._socket.settimeout(60.0)
        try:
            ready = self._socket.recv(1)
        except OSError:
            ready = b""
        if ready != _READY:
            self.end()
            raise HumanverseError("a decoder did not start: see the lines above")
        self._socket.settimeout(seconds + GRACE)

    def ask(self, data: bytes) -> Picture:
        try:
            self._socket.sendall(_LENGTHS.pack(len(data), 0))
            self._socket.sendall(data)
            fields, jpeg = _LENGTHS.unpack(_receive(self._socket, _LENGTHS.size))
            answer = json.loads(_receive(self._socket, fields))
            data = _receive(self._socket, jpeg)
        except OSError as error:  # a time-out is one, too
            raise Died from error
        if "reason" in answer:
            raise BadPicture(answer["reason"])
        return Picture(data, **answer)

    def end(self) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()


def serve(work: Work) -> None:
    """The child's side: answer until the parent is gone. Its settings are its first argument."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: the parent will say when
    settings = json.loads(sys.argv[1])
    bounds, seconds = Bounds(**settings["bounds"]), settings["seconds"]
    cv2.setNumThreads(1)
    connection = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # readers complain there of what they read
    _limit_memory(MEMORY_BASE + bounds.max_pixels * MEMORY_PER_PIXEL)
    try:
        connection.sendall(_READY)
        while True:
            length, _ = _LENGTHS.unpack(_receive(connection, _LENGTHS.size))
            data = _receive(connection, length)
            # Its default action ends the process, whatever C code it is in; also an orphan's.
            signal.setitimer(signal.ITIMER_REAL, seconds)
            fields, jpeg = _answer(work, data, bounds)
            signal.setitimer(signal.ITIMER_REAL, 0)
            connection.sendall(_LENGTHS.pack(len(fields), len(jpeg)) + fields)
            connection.sendall(jpeg)
    except OSError:
        return  # the parent has no more questions


def _answer(work: Work, data: bytes, bounds: Bounds) -> tuple[bytes, bytes]:
    try:
        picture = work(data, bounds)
    except BadPicture as bad:
        return json.dumps({"reason": bad.reason}).encode(), b""
    fields = {name: getattr(picture, name) for name in Picture.__slots__ if name != "jpeg"}
    return json.dumps(fields).encode(), picture.jpeg


def _receive(connection: socket.socket, size: int) -> bytes:
    """Exactly so many bytes.

    Raises:
        OSError: the other side is gone, or silent.
    """
    out = bytearray(size)
    view, have = memoryview(out), 0
    while have < size:
        got = connection.recv_into(view[have:])
        if not got:
            raise OSError("the other side is gone")
        have += got
    return bytes(out)


def _limit_memory(extra: int) -> None:
    """Let this process map so many bytes more than it does, where the system can tell and hold."""
    import resource

    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        mapped = pages * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + extra, mapped + extra))
    except (OSError, ValueError):
        return


if __name__ == "__main__":
    serve(normalise)
