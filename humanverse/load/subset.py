"""Some samples of a dataset, named by key or number."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from humanverse.errors import UsageError

if TYPE_CHECKING:
    from humanverse.load.dataset import Dataset


def numbers_of(dataset: Dataset, named: Iterable[str] | Iterable[int]) -> NDArray[np.int64]:
    """The numbers (n,) of the samples that are named, each once and in the dataset's order.

    Raises:
        UsageError: a name is neither key nor number, or no sample here has it.
    """
    values = _together(named)
    if len(values) == 0:
        return np.empty(0, np.int64)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return _by_key(dataset, values.cast(pa.string()))
    if not pa.types.is_integer(values.type):
        raise UsageError(
            f"a subset is named by keys or numbers, and these are {values.type}: "
            "for a mask say numpy.flatnonzero(mask)"
        )
    numbers = np.unique(values.to_numpy(zero_copy_only=False).astype(np.int64))
    outside = numbers[(numbers < 0) | (numbers >= len(dataset))]
    if len(outside):
        raise UsageError(
            f"{len(outside)} numbers of a subset, {outside[0]} the first, are none of "
            f"{len(dataset)} samples: from 0 they count"
        )
    return numbers


def _together(named: Iterable[Any]) -> pa.Array:
    if isinstance(named, str | bytes):
        raise UsageError(f"a subset is named by several keys, and {named!r} is one: put it in []")
    if isinstance(named, pa.ChunkedArray):
        return named.combine_chunks()
    try:
        return pa.array(named if isinstance(named, pa.Array | np.ndarray) else list(named))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise UsageError(f"a subset is named by keys or by numbers, not both: {error}") from None


def _by_key(dataset: Dataset, keys: pa.Array) -> NDArray[np.int64]:
    keys = pc.unique(keys)
    here = dataset.to_table(["key"])["key"]
    numbers = np.flatnonzero(pc.is_in(here, keys).to_numpy())
    if len(numbers) < len(keys):
        unknown = keys.filter(pc.invert(pc.is_in(keys, here.combine_chunks())))
        raise UsageError(
            f"{len(unknown)} of {len(keys)} keys, {unknown[0]} the first, are none of "
            f"{len(dataset)} samples of {dataset.root}"
        )
    return numbers.astype(np.int64)
