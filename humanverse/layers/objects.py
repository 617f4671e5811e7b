"""Objects in a bucket, under an address such as `s3://bucket/folder`: S3 and its like, GCS, Azure.

An object appears whole or not at all, which is what a name is given by elsewhere; `create` is a put
that fails where something lies already. Credentials and endpoints come by the ways usual for each
(`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, a machine's role, `GOOGLE_APPLICATION_CREDENTIALS`, ...).
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import from_url

from humanverse.errors import UsageError
from humanverse.layers import failpoints

T = TypeVar("T")
DENIED = (PermissionDeniedError, UnauthenticatedError)

SCHEMES = ("s3", "s3a", "gs", "az", "abfs", "abfss")
READ_AHEAD = 4 << 20
"""Bytes that are asked for at a time."""
RETRIES: Any = {"max_retries": 6, "retry_timeout": timedelta(seconds=60)}
"""Of requests that the library repeats by itself: reads, and whatever was answered by a 5xx."""
TRIES = 4
"""Of a put, which it does not repeat when the answer was lost. Ours can be: what is put under a
name is the same each time, and `create` looks at what lies there."""
KINDS = {"html": "text/html; charset=utf-8", "jpg": "image/jpeg", "svg": "image/svg+xml"}
BACK_OFF = 0.5
"""Seconds before the second try; twice as many before each further one."""


class ObjectFiles:
    """What `Store` needs of an object store. What each method does is told at `LocalFiles`."""

    def __init__(self, root: str) -> None:
        scheme, bucket, *_ = urlsplit(root)
        if scheme not in SCHEMES or not bucket:
            known = ", ".join(f"{name}://" for name in SCHEMES)
            raise UsageError(f"{root}: a root is a folder, or an address that begins with {known}")
        self.root = root.rstrip("/")
        try:
            self._store: Any = from_url(
                self.root, credential_provider=_profile(scheme), retry_config=RETRIES
            )
        except (BaseError, ValueError) as error:
            raise UsageError(f"{root}: {_first_line(error)}") from error

    def __reduce__(self) -> tuple[Any, ...]:
        return ObjectFiles, (self.root,)

    def prepare(self) -> None:
        """Refuse a store that cannot be written, or that does not know how not to overwrite."""
        probe = f".probe-{uuid.uuid4().hex}"
        try:
            obstore.put(self._store, probe, b"1", mode="create")
            try:
                obstore.put(self._store, probe, b"2", mode="create")
            except AlreadyExistsError:
                return
            finally:
                obstore.delete(self._store, probe)
        except (BaseError, OSError) as error:
            raise UsageError(f"cannot write to {self.root}: {_first_line(error)}") from error
        raise UsageError(
            f"{self.root} overwrites where it was told not to (If-None-Match): two runs at a time "
            "could lose rows there, so it cannot be a root"
        )

    def exists(self, name: str) -> bool:
        try:
            self.size(name)
        except FileNotFoundError:
            return False
        return True

    def names(self, folder: str) -> list[str]:
        return [name for name, _ in self.dated(folder)]

    def dated(self, folder: str) -> list[tuple[str, float]]:
        with self._as_os_errors(folder):
            found = obstore.list_with_delimiter(self._store, folder)["objects"]
        dated = ((o["path"].rpartition("/")[2], o["last_modified"].timestamp()) for o in found)
        return [(name, time) for name, time in dated if not name.startswith(".")]

    def open(self, name: str) -> BinaryIO:
        raw = _Reader(self, name, self.size(name))
        return cast(BinaryIO, io.BufferedReader(raw, READ_AHEAD))

    def read(self, name: str) -> bytes:
        with self._as_os_errors(name):
            return bytes(obstore.get(self._store, name).bytes())

    def read_range(self, name: str, start: int, end: int) -> bytes:
        if end <= start:
            return b""
        with self._as_os_errors(name):
            return bytes(obstore.get_range(self._store, name, start=start, end=end))

    def size(self, name: str) -> int:
        with self._as_os_errors(name):
            return int(obstore.head(self._store, name)["size"])

    def remove(self, name: str) -> None:
        with self._as_os_errors(name), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, name)

    def fetched(self, name: str, scratch: Path) -> Path:
        target = scratch / f"fetched-{uuid.uuid4().hex}{Path(name).suffix}"
        with self._as_os_errors(name), target.open("wb") as file:
            for chunk in obstore.get(self._store, name).stream(READ_AHEAD):
                file.write(chunk)
        return target

    @contextlib.contextmanager
    def attempt(self, folder: str) -> Iterator[BinaryIO]:  # noqa: ARG002 - it lies on this machine
        with tempfile.TemporaryFile() as file:
            yield cast(BinaryIO, file)

    def name(self, file: BinaryIO, name: str) -> None:
        failpoints.here("written")

        def put() -> None:
            file.seek(0)
            obstore.put(self._store, name, cast(Any, file), attributes=_shown_as(name))

        with self._as_os_errors(name):
            _tried(put)

    def create(self, file: BinaryIO, name: str) -> bool:
        failpoints.here("written")
        file.seek(0)
        data = file.read()

        def put() -> bool:
            try:
                obstore.put(self._store, name, data, mode="create")
            except AlreadyExistsError:
                return False
            return True

        with self._as_os_errors(name):
            return _tried(put)

    def note(self, name: str, data: bytes) -> None:
        with self._as_os_errors(name):
            _tried(lambda: obstore.put(self._store, name, data))

    def attempts(self) -> list[str]:
        """None: an upload that broke off has no name. Buckets expire the parts of it by rule."""
        return []

    @contextlib.contextmanager
    def _as_os_errors(self, name: str) -> Iterator[None]:
        """Errors as those of local files are, in one line.

        Raises:
            UsageError: there is no such bucket, or it must not be used with these credentials.
        """
        try:
            yield
        except FileNotFoundError:
            raise FileNotFoundError(errno.ENOENT, f"{self.root}/{name} is not there") from None
        except BaseError as error:
            line = _first_line(error)
            if isinstance(error, DENIED) or "NoSuchBucket" in str(error):
                raise UsageError(f"{self.root} cannot be used: {line}") from error
            raise OSError(errno.EIO, f"{self.root}/{name}: {line}") from error


class _Reader(io.RawIOBase):
    """An object as a file: each read is a request, so it is read through a buffer."""

    def __init__(self, files: ObjectFiles, name: str, size: int) -> None:
        super().__init__()
        self._files, self._name, self._size = files, name, size
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        end = min(self._place + len(view), self._size)
        if end <= self._place:
            return 0
        data = self._files.read_range(self._name, self._place, end)
        view[: len(data)] = data
        self._place += len(data)
        return len(data)


def _shown_as(name: str) -> Any:
    """What a browser that opens a report out of a bucket must be told."""
    kind = KINDS.get(name.rpartition(".")[2])
    return {"Content-Type": kind} if kind else None


def _tried(put: Callable[[], T]) -> T:
    for wait in [BACK_OFF * 2**n for n in range(TRIES - 1)]:
        try:
            return put()
        except (*DENIED, NotFoundError):
            raise
        except BaseError:
            time.sleep(wait)
    return put()


def _profile(scheme: str) -> Any:
    """Credentials out of AWS's own files, where only boto3 can read them and it is installed."""
    if not scheme.startswith("s3") or os.environ.get("AWS_ACCESS_KEY_ID"):
        return None
    if not os.environ.get("AWS_PROFILE") and not Path("~/.aws/credentials").expanduser().exists():
        return None
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        return None
    return Boto3CredentialProvider()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
