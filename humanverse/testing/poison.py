"""A decoder that some pictures kill: `Decoders(..., module="humanverse.testing.poison")`.

Bytes that begin with one of `MARKS` crash the child, hang it, eat its memory, or make it answer as
one that was taken over might; all others are decoded as ever.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
import time

from humanverse.collect.child import serve
from humanverse.collect.picture import Bounds, Picture, normalise

CRASH = b"poison: crash"
ABORT = b"poison: abort"
HANG = b"poison: hang"
EAT = b"poison: eat"
RAISE = b"poison: raise"
GARBAGE = b"poison: garbage"
"""Answers with the bytes that follow the mark and a line feed, then with silence."""
TRICKLE = b"poison: trickle"
"""Answers with a byte every tenth of a second, for ever."""
FATAL = (CRASH, ABORT, HANG, EAT)
MARKS = (*FATAL, RAISE, GARBAGE, TRICKLE)


def work(data: bytes, bounds: Bounds) -> Picture:
    """What the mark asks for, or the picture."""
    if data.startswith(CRASH):
        os.kill(os.getpid(), signal.SIGSEGV)
    elif data.startswith(ABORT):
        os.abort()
    elif data.startswith(HANG):
        while True:
            pass
    elif data.startswith(EAT):
        eaten = []
        while True:
            eaten.append(bytearray(1 << 24))
    elif data.startswith(RAISE):
        raise KeyError("no reader should raise this")
    elif data.startswith((GARBAGE, TRICKLE)):
        _say(data)
    return normalise(data, bounds)


def header(
    reason: int = 0, size: int = 0, sides: tuple[int, int, int, int] = (0, 0, 0, 0)
) -> bytes:
    """The beginning of an answer, with whatever it claims."""
    return struct.pack(">B4I8s8sI", reason, *sides, b"JPEG", bytes(8), size)


def _say(data: bytes) -> None:
    connection = socket.socket(fileno=os.dup(sys.stdin.fileno()))
    if data.startswith(GARBAGE):
        connection.sendall(data.partition(b"\n")[2])
        time.sleep(3600)
    while True:
        connection.sendall(b"\0")
        time.sleep(0.1)


if __name__ == "__main__":
    serve(work)
