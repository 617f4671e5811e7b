"""A child that asks a stage about single rows, so that a row which kills it kills nothing else.

Run as a module it is the child: the stage comes first, then rows, each answered. Parent and child
are one program: what passes between them, pickled as between all workers, is no data of others.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from multiprocessing.connection import Pipe as pipe
from pathlib import Path

import pyarrow as pa

from humanverse.errors import DataError
from humanverse.run.answers import checked
from humanverse.stage import Stage, unopened

LIVES = 2
"""Children that a row may cost: one may also be killed by chance."""
ERROR = b"error"
LOOK = 0.2
"""Seconds between two looks at a silent child."""
PAGE = os.sysconf("SC_PAGE_SIZE")


class Judge:
    """The parent's side. Children start when needed."""

    def __init__(self, stage: Stage, seconds: float) -> None:
        self._stage = stage
        self._seconds = seconds
        self._child: _Child | None = None
        self.errors = 0

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def answer(self, row: pa.Table) -> pa.Table | None:
        """The stage's answer about one row; None if two children died of it, or it raised, which
        `errors` counts.

        Raises:
            DataError: the stage cannot be opened in a child.
        """
        for _ in range(LIVES):
            self._child = self._child or _Child(self._stage)
            told = self._child.ask(row, self._seconds)
            if told == ERROR:
                self.errors += 1
                return None
            if told is not None:
                with pa.ipc.open_stream(told) as reader:
                    return reader.read_all()
            self._end()
        return None

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


class _Child:
    def __init__(self, stage: Stage) -> None:
        self._pipe, theirs = pipe()
        paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "humanverse.run.judge", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        # Half of what is free now, for model and row.
        self._most = os.sysconf("SC_AVPHYS_PAGES") * PAGE // 2
        try:
            self._pipe.send(unopened([stage])[0])
            ready = self._pipe.recv_bytes()
        except (EOFError, OSError):
            ready = b""
        if ready != b"ready":
            self.end()
            raise DataError(f"stage {stage.name} cannot be opened in a child: see the lines above")

    def ask(self, row: pa.Table, seconds: float) -> bytes | None:
        """The answer as an Arrow stream, `ERROR`, or None if the child died or was too slow."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, row.schema) as writer:
            writer.write_table(row)
        until = time.monotonic() + seconds
        try:
            self._pipe.send_bytes(sink.getvalue())
            while not self._pipe.poll(LOOK):
                if time.monotonic() > until or self._eats():
                    return None
            return self._pipe.recv_bytes()
        except (EOFError, OSError):
            return None

    def _eats(self) -> bool:
        """Whether it takes more memory than it may; the whole machine would go down with it."""
        try:
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):  # it has just died, or there is no such place here
            return False
        return pages * PAGE > self._most

    def end(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.wait()


def serve(connection: Connection) -> None:
    """Answer until the parent is gone."""
    stage: Stage = connection.recv()
    stage.open()
    pa.array([0])  # pyarrow imports pandas, if it is there, with its first values
    connection.send_bytes(b"ready")
    while True:
        try:
            with pa.ipc.open_stream(connection.recv_bytes()) as reader:
                row = reader.read_all()
        except EOFError:
            return
        connection.send_bytes(_answered(stage, row))


def _answered(stage: Stage, row: pa.Table) -> bytes:
    try:
        answer = checked(stage, row, stage(row))
    except Exception:  # noqa: BLE001 - whatever a library raises at its input
        return ERROR
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, answer.schema) as writer:
        writer.write_table(answer)
    return bytes(sink.getvalue())


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
