"""A dataset in the hands of Hugging Face's `datasets`.

Columns are those that its own reader of tars gives: a member each, under its extension.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from humanverse.errors import UsageError
from humanverse.load.neighbours import ARRAYS, COLUMN_OF, extensions_of, spans, tar_of

if TYPE_CHECKING:
    from humanverse.load.dataset import Dataset

TEXT: Final = ("txt", "json", "pose.json")
META: Final = ("__key__", "__url__")
"""What the reader of tars adds to each sample."""

PERSON: Final = (("box", pa.list_(pa.float64())), ("score", pa.float64()))
NUMBERS: Final = pa.list_(pa.list_(pa.float64()))
POSE: Final = pa.struct(
    [
        ("schema", pa.string()),
        ("order", pa.string()),
        ("people", pa.list_(pa.struct([*PERSON, ("keypoints", NUMBERS)]))),
    ]
)
DEPTH: Final = pa.struct(
    [
        ("kind", pa.string()),
        ("scale", pa.float64()),
        ("offset", pa.float64()),
        ("code", pa.string()),
    ]
)
DESCRIBED: Final = {"people": pa.list_(pa.struct(PERSON)), "depth": DEPTH, "schema": pa.string()}
"""What `{key}.json` has beside fields of the index."""


def hf_features(dataset: Dataset) -> Any:
    """`datasets.Features` for `load_dataset("webdataset", data_files=..., features=...)`.

    Without them it takes types from the first five samples and fails at the first one in which a
    field is not null that was null in those. Depth is the codes of its PNG: kind, scale and offset
    are in `json`.

    Raises:
        UsageError: the dataset is empty, or datasets is not installed.
    """
    datasets = _datasets()
    if not len(dataset):
        raise UsageError(f"no sample of {dataset.root} is chosen: none tells what fields it has")
    index = {field.name: _as_json(field.type) for field in dataset.table.schema}
    names = dataset.only(["meta"])[0]["meta"]
    described = pa.struct([(name, (DESCRIBED | index)[name]) for name in names])
    text = pa.schema([("txt", pa.string()), ("json", described), ("pose.json", POSE)])
    return _features(datasets.Features.from_arrow_schema(text), extensions_of(dataset))


def hf_of(dataset: Dataset, *, streaming: bool = True, **how: Any) -> Any:
    """A `datasets.IterableDataset` or `datasets.Dataset`: see `Dataset.to_hf`."""
    datasets = _datasets()
    extensions = extensions_of(dataset)
    raw = dataset.only([COLUMN_OF[extension] for extension in extensions], decode=False)
    # Only lists are shared out among workers. What is copied is called after all of these words:
    # of other samples, or of a root that was packed anew, there is another copy.
    words = {"dataset": raw, "extensions": tuple(extensions), "fingerprint": raw.fingerprint()}
    # As text, JSON keeps all its digits: what `Json` is given as numbers it cuts to ten decimals.
    text = {"txt": datasets.Value("string"), "json": datasets.Json(), "pose.json": datasets.Json()}
    kind = datasets.IterableDataset if streaming else datasets.Dataset
    return kind.from_generator(
        _examples,
        features=_features(text, extensions),
        gen_kwargs=words | {"parts": spans(raw)},
        **how,
    )


def _features(text: Mapping[str, Any], extensions: Sequence[str]) -> Any:
    """Features of members: of text as told, all others are pictures."""
    datasets = _datasets()
    known = dict(text) | dict.fromkeys(ARRAYS, datasets.Value("binary"))
    features = {name: known.get(name) or datasets.Image() for name in extensions}
    return datasets.Features(features | dict.fromkeys(META, datasets.Value("string")))


def _examples(
    dataset: Dataset,
    extensions: Sequence[str],
    parts: Sequence[tuple[int, int, int]],
    fingerprint: str,  # noqa: ARG001 - a part of the copy's name
) -> Iterator[dict[str, Any]]:
    """Samples of some tars as Hugging Face's reader of tars gives them."""
    for shard, start, stop in parts:
        for number in range(start, stop):
            sample = dataset.look(number)
            columns = {
                extension: _value(sample["key"], extension, sample.get(COLUMN_OF[extension]))
                for extension in extensions
            }
            yield columns | {"__key__": sample["key"], "__url__": tar_of(dataset, shard)}


def _value(key: str, extension: str, data: bytes | None) -> Any:
    if data is None or extension in TEXT:
        return data if data is None else data.decode()
    if extension in ARRAYS:
        return data
    return {"path": f"{key}.{extension}", "bytes": data}


def _as_json(kind: pa.DataType) -> pa.DataType:
    """What numbers are when they come out of JSON."""
    return pa.float64() if pa.types.is_floating(kind) else kind


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise UsageError(
            "to_hf needs Hugging Face's datasets: pip install 'humanverse[neighbours]'"
        ) from error
    return datasets
