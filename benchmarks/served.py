"""A web of photographs for benchmarks: server processes that do next to nothing, pinned to a core.

    with Served(bodies, tls=ca) as served: served.url(7)

Each request gets one of a few bodies, by the number in its path; the answer lies ready in memory.
"""

import asyncio
import mmap
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np

from humanverse.testing.photos import WITH_PEOPLE, WITHOUT_PEOPLE, photograph

PROCESSES = 2
BODIES = 40


def photos(width: int, height: int, quality: int, number: int = BODIES) -> list[bytes]:
    """JPEGs of real photographs, each mirrored, moved and grained differently."""
    random = np.random.default_rng(0)
    names = [*WITH_PEOPLE, *(n for n in WITHOUT_PEOPLE if n not in ("galaxies", "retina"))]
    out = []
    for index in range(number):
        source = photograph(names[index % len(names)]).pixels
        source = source[:, ::-1] if index % 2 else source
        scale = max(width / source.shape[1], height / source.shape[0]) * random.uniform(1, 1.3)
        size = round(source.shape[1] * scale) + 1, round(source.shape[0] * scale) + 1
        large = cv2.resize(source, size, interpolation=cv2.INTER_CUBIC)
        x, y = (random.integers(0, s - w) for s, w in zip(size, (width, height), strict=True))
        picture = large[y : y + height, x : x + width].astype(np.float32)
        picture += random.normal(0, 3, picture.shape[:2])[..., None]  # what cameras add
        picture = np.clip(picture, 0, 255).astype(np.uint8)[..., ::-1]
        flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
        out.append(cv2.imencode(".jpg", np.ascontiguousarray(picture), flags)[1].tobytes())
    return out


@dataclass
class Authority:
    """A private certificate authority, and a bundle of it and the system's."""

    folder: Path

    def __post_init__(self) -> None:
        run = subprocess.run
        quiet = {"check": True, "capture_output": True, "cwd": self.folder}
        new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj"]
        root = ["-x509", "-days", "2", "-keyout", "ca.key", "-out", "ca.pem"]
        run([*new, "/CN=benchmark authority", *root], **quiet)
        run([*new, "/CN=localhost", "-keyout", "key.pem", "-out", "request.pem"], **quiet)
        (self.folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        sign = [
            "openssl",
            "x509",
            "-req",
            "-in",
            "request.pem",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
        ]
        run([*sign, "-days", "2", "-extfile", "names", "-out", "cert.pem"], **quiet)
        system = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
        ours = (self.folder / "ca.pem").read_text()
        self.bundle = self.folder / "bundle.pem"
        self.bundle.write_text(Path(system).read_text() + ours)
        self.count = self.bundle.read_text().count("BEGIN CERTIFICATE")


@dataclass
class Served:
    """Some processes that share a port of localhost."""

    bodies: list[bytes]
    tls: Authority | None = None
    core: int | None = None
    processes: int = PROCESSES
    _running: list = field(default_factory=list)

    def url(self, number: int) -> str:
        return f"{'https' if self.tls else 'http'}://localhost:{self.port}/{number}.jpg"

    def count(self) -> int:
        """Pictures sent so far."""
        return sum(
            int.from_bytes(self._counts[n * 8 : n * 8 + 8], "little") for n in range(self.processes)
        )

    def __enter__(self) -> "Served":
        self._folder = tempfile.TemporaryDirectory(prefix="served-")
        for number, body in enumerate(self.bodies):
            (Path(self._folder.name) / f"{number}.jpg").write_bytes(body)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        certificate = str(self.tls.folder) if self.tls else ""
        self._file = tempfile.NamedTemporaryFile()
        self._file.truncate(8 * self.processes)
        self._counts = mmap.mmap(self._file.fileno(), 8 * self.processes)
        arguments = [self._folder.name, str(self.port), certificate, self._file.name]
        for number in range(self.processes):
            process = subprocess.Popen(
                [sys.executable, __file__, *arguments, str(number)],
                stdout=subprocess.PIPE,
                text=True,
            )
            if self.core is not None:
                os.sched_setaffinity(process.pid, {self.core})
            process.stdout.readline()
            self._running.append(process)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            process.kill()
            process.wait()
        self._counts.close()
        self._file.close()
        self._folder.cleanup()


class _Connection(asyncio.Protocol):
    answers: ClassVar[list[bytes]] = []
    sent: ClassVar[int] = 0
    counted: ClassVar[mmap.mmap]
    place: ClassVar[int]
    """Where the number of pictures sent is told, in eight bytes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.pending = transport, b""

    def data_received(self, data: bytes) -> None:
        self.pending += data
        while (end := self.pending.find(b"\r\n\r\n")) >= 0:
            head, self.pending = self.pending[:end], self.pending[end + 4 :]
            found = re.match(rb"GET /(\d+)\.jpg", head)
            self.transport.write(
                self.answers[int(found[1]) % len(self.answers)]
                if found
                else b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
            )
            if found:
                _Connection.sent += 1
                self.counted[self.place : self.place + 8] = self.sent.to_bytes(8, "little")
            if b"connection: close" in head.lower():
                self.transport.close()


async def _serve(folder: Path, port: int, certificate: str) -> None:
    for number in range(len(list(folder.iterdir()))):
        body = (folder / f"{number}.jpg").read_bytes()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
        _Connection.answers.append(head.encode() + body)
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{certificate}/cert.pem", f"{certificate}/key.pem")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        _Connection, "127.0.0.1", port, ssl=context, reuse_port=True, backlog=1024
    )
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with Path(sys.argv[4]).open("r+b") as f:
        _Connection.counted = mmap.mmap(f.fileno(), 0)
    _Connection.place = 8 * int(sys.argv[5])
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
