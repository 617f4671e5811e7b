"""The child that decodes: it answers one picture after the other until its parent is gone.

Its settings are its first argument, its parent is at the other end of its standard input. The
answer is numbers and a JPEG: nothing in it has to be parsed, whoever may have written it.
"""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

from humanverse.collect.picture import BadPicture, Bounds, Picture, normalise

MEMORY_PER_PIXEL = 24
"""Bytes: RGBA pictures are four; WebP's reader holds two, their bytes, ours, and a copy."""
MEMORY_BASE = 256 << 20
REASONS = ("", "not_image", "broken_image", "too_many_pixels", "too_small")
"""By the number that stands for them; the first one for none. `poison` is never said: a child that
ran out of memory may have been short of it before, so it ends, and a fresh one judges."""

LENGTH = struct.Struct(">I")
ANSWER = struct.Struct(">B4I8s8sI")
"""Reason, width, height, the same two as served, format, perceptual hash, bytes of JPEG."""
READY = b"r"

Work = Callable[[bytes, Bounds], Picture]


def serve(work: Work) -> None:
    """Answer until the parent is gone."""
    import cv2

    settings = json.loads(sys.argv[1])
    bounds, seconds = Bounds(**settings["bounds"]), settings["seconds"]
    cv2.setNumThreads(1)
    connection = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # readers complain there of what they read
    _bound(MEMORY_BASE + bounds.max_pixels * MEMORY_PER_PIXEL)
    try:
        connection.sendall(READY)
        while True:
            (length,) = LENGTH.unpack(receive(connection, LENGTH.size))
            data = receive(connection, length)
            signal.setitimer(signal.ITIMER_REAL, seconds)
            head, stored = _answer(work, data, bounds)
            signal.setitimer(signal.ITIMER_REAL, 0)
            connection.sendall(head + stored)  # at once: the parent wakes up once
    except OSError:
        return  # the parent has no more questions


def _answer(work: Work, data: bytes, bounds: Bounds) -> tuple[bytes, bytes]:
    try:
        picture = work(data, bounds)
    except BadPicture as bad:
        if bad.reason not in REASONS:
            raise
        return ANSWER.pack(REASONS.index(bad.reason), 0, 0, 0, 0, b"", b"", 0), b""
    served = picture.original_width, picture.original_height
    sizes = picture.width, picture.height, *served
    hashed, kind = bytes.fromhex(picture.phash), picture.format.encode()
    return ANSWER.pack(0, *sizes, kind, hashed, len(picture.jpeg)), picture.jpeg


def receive(connection: socket.socket, size: int, until: float = math.inf) -> bytes:
    """Exactly so many bytes, all of them by a time of the monotonic clock.

    Raises:
        OSError: the other side is gone, or late.
    """
    out = bytearray(size)
    view, have = memoryview(out), 0
    while have < size:
        if until < math.inf:
            connection.settimeout(max(until - time.monotonic(), 1e-3))
        got = connection.recv_into(view[have:], flags=socket.MSG_WAITALL)
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
