"""JSON that carries the sha256 of the rest of itself: one flipped bit is found when it is read."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from humanverse.errors import DataError

SEAL = "sha256"


def sealed(body: dict[str, Any]) -> bytes:
    """The bytes of a file. `body` has no field `sha256`, and nothing that JSON does not know."""
    seal = hashlib.sha256(_text(body).encode()).hexdigest()
    return _text(body | {SEAL: seal}).encode()


def unsealed(data: bytes | str, name: str) -> dict[str, Any]:
    """What was sealed.

    Args:
        data: the file.
        name: what it is called, for the error.

    Raises:
        DataError: it is not what was written.
    """
    try:
        body: dict[str, Any] = json.loads(data)
        body.pop(SEAL)
        text = data if isinstance(data, str) else data.decode()
        whole = sealed(body).decode() == text
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise DataError(f"{name} is not what was written: restore it from a copy")
    return body


def _text(body: dict[str, Any]) -> str:
    return json.dumps(body, indent=1, sort_keys=True) + "\n"
