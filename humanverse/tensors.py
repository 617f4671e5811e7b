"""Arrays with names as bytes, in the layout of safetensors, without its library.

The library orders what it is told beside the tensors by chance; here equal arrays are equal bytes.
Of the types that a file may hold those are known that are written here, and bf16 comes as float32.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from humanverse.errors import DataError

Arrays = dict[str, NDArray[Any]]

TYPES: Final[dict[str, np.dtype[Any]]] = {
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "BOOL": np.dtype("?"),
    "U16": np.dtype("<u2"),
}
BF16: Final = "BF16"
TOLD: Final = "__metadata__"
ALIGNED: Final = 8


def dumped(
    arrays: Mapping[str, NDArray[Any]], told: Mapping[str, str], bf16: bool = False
) -> bytes:
    """Arrays of float16, float32 or bool as bytes.

    Args:
        arrays: by name.
        told: words beside them.
        bf16: keep those of float32 as bf16, rounded to even.

    Raises:
        KeyError: an array is of another type.
    """
    kinds = {kind: name for name, kind in TYPES.items()}
    header: dict[str, Any] = {TOLD: dict(sorted(told.items()))} if told else {}
    parts, place = [], 0
    for name in sorted(arrays):
        array, kind = arrays[name], kinds[arrays[name].dtype]
        if bf16 and kind == "F32":
            array, kind = _shortened(array), BF16
        data = array.tobytes()
        places = [place, place + len(data)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": places}
        parts.append(data)
        place = places[1]
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNED)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def loaded(data: bytes | memoryview) -> tuple[Arrays, dict[str, str]]:
    """The arrays, copies each, and the words beside them.

    Raises:
        DataError: it is no such file, or one of other types.
    """
    try:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(bytes(data[8 : 8 + length]))
        told = header.pop(TOLD, {})
        body = memoryview(data)[8 + length :]
        return {name: _array(body, **entry) for name, entry in header.items()}, told
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"stored arrays cannot be read: {error}") from error


def _array(body: memoryview, dtype: str, shape: list[int], data_offsets: list[int]) -> NDArray[Any]:
    start, stop = data_offsets
    part = body[start:stop]
    kind = TYPES["U16"] if dtype == BF16 else TYPES[dtype]
    if len(part) != prod(shape) * kind.itemsize:
        raise ValueError(f"{len(part)} bytes are no {dtype} of shape {shape}")
    array = np.frombuffer(part, kind).reshape(shape)
    if dtype != BF16:
        return array.copy()
    wide: NDArray[np.float32] = (array.astype(np.uint32) << 16).view(np.float32)
    return wide


def _shortened(array: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The upper halves of finite numbers' bits, rounded to even."""
    bits = np.ascontiguousarray(array).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")
