"""A packed root as a sequence of samples: members are read at known places, and no others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
from isal.isal_zlib import crc32
from numpy.typing import NDArray

from humanverse.errors import DataError, UsageError
from humanverse.load.decode import MEMBERS, STORED, Decoder, checked
from humanverse.load.hugging_face import hf_of
from humanverse.load.index import Filters, Group, Numbers
from humanverse.load.neighbours import webdataset_of
from humanverse.load.opening import DEPTH, Opening
from humanverse.load.people import People
from humanverse.load.samples import Choose, Room, Samples
from humanverse.load.subset import numbers_of
from humanverse.load.view import Sample

CACHE_BYTES: Final = 100 << 30


class Dataset(Samples):
    """Samples by number or key. Reading is safe from several threads and after a fork.

    A sample is a dict with `key` and, of those asked for: `image` (H, W, 3) uint8 sRGB; `caption`
    str; `poses` (people, 133, 3) float32, x and y in pixels and confidence; `boxes` (people, 4)
    float32, xyxy in pixels; `pose_map` (H, W, 3) uint8, the people's skeletons; `depth` (H, W)
    float32 with `depth_kind`; `normals` (H, W, 3) float32 unit vectors; `meta`, everything else
    known; `latents` and `text` as `Decoder` gives them. What it has no member for is not in it.
    """

    def __init__(self, opening: Opening, rows: Numbers | None = None) -> None:
        """See `open`. `rows` of the index are the samples, ascending; all if None."""
        self._opening = opening
        self._index, self._members = opening.index, opening.members
        self.rows = rows

    def __len__(self) -> int:
        return len(self._index) if self.rows is None else len(self.rows)

    @property
    def root(self) -> Path | str:
        """The folder, or the address of an object store."""
        return self._opening.root

    @property
    def columns(self) -> tuple[str, ...]:
        """What samples hold, apart from their keys."""
        return self._opening.columns

    @property
    def encoded(self) -> dict[str, Any]:
        """Of `latents` and `text`, if there are any: see `humanverse.pack.encoded`."""
        return {n: told for n, told in self._opening.listed.items() if n in ("latents", "text")}

    @property
    def splits(self) -> dict[str, int]:
        """The root's splits, by name, and how many samples each has; empty if there are none."""
        return dict(self._opening.listed.get("splits", {}))

    @property
    def table(self) -> pads.Dataset:
        """The whole root's index as an Arrow dataset, a row a sample: for DuckDB and others."""
        return self._index.table

    def to_table(self, columns: Sequence[str]) -> pa.Table:
        """Columns of the index, a row for each sample here, in the order of their numbers.

        Raises:
            UsageError: there is no such column.
        """
        return self._index.columns(columns, self.rows)

    def where(self, filters: Filters = None, split: str | None = None) -> Dataset:
        """Those of its samples that a filter keeps, or that are of a split: see `open`.

        Raises:
            UsageError: a filter or the split is unknown.
        """
        rows = self.rows
        for told in (filters, None if split is None else self._split(split)):
            if told is not None and not (isinstance(told, list) and not told):
                kept = self._index.select(told)
                rows = kept if rows is None else np.intersect1d(rows, kept, assume_unique=True)
        return Dataset(self._opening, rows)

    def only(self, columns: Sequence[str], *, decode: bool = True) -> Dataset:
        """The same samples, holding other columns or, not decoded, the bytes of their members.

        Raises:
            UsageError: a column is unknown.
        """
        return Dataset(self._opening.holding(checked(columns), decode), self.rows)

    def subset(self, named: Iterable[str] | Iterable[int]) -> Dataset:
        """Those of its samples that are named by keys or by numbers, in the order they have here.

        Raises:
            UsageError: one is unknown.
        """
        numbers = numbers_of(self, named)
        return Dataset(self._opening, numbers if self.rows is None else self.rows[numbers])

    def people(self, *, margin: float = 0.1, aspect: float | None = None) -> People:
        """Its people one by one, as samples of their own.

        Such a sample has what this one has, cut to the surroundings of one person, and `person`,
        the number in the picture, and `box` (4,) float32, xyxy, in pixels of the cut. `poses`
        (1, 133, 3) and `boxes` (1, 4) are that person's alone; a `pose_map` shows all who are seen.
        The key is `KEY/PERSON`.

        Args:
            margin: what is added on each side, as a share of the box's width or height.
            aspect: width by height of the cut: it is made wider or taller than the box until it
                has it, as far as the picture reaches. That of the box with its margin if None.

        Raises:
            UsageError: no cut has such a margin or aspect, or nothing is decoded here.
        """
        if not self._opening.decode:
            raise UsageError("people are cut out of what is decoded: open with decode=True")
        return People(self, margin=margin, aspect=aspect)

    def to_webdataset(self, *, decode: bool = True, **how: Any) -> Any:
        """A `webdataset.WebDataset` over the tars that hold these samples, and of them alone.

        Samples are under their members' extensions, as webdataset has it: `jpg`, `txt`, `json`,
        `pose.json`, `depth.png`, `normal.png`. Decoded they are what they are here. Tars are shared
        out among nodes and workers, and none shuffled if nothing is said.

        Args:
            decode: False leaves members the bytes that they are.
            how: what else `webdataset.WebDataset` takes, such as `shardshuffle=100`.

        Raises:
            UsageError: there are no samples, the root is not on this machine, or webdataset is not
                installed.
        """
        return webdataset_of(self, decode=decode, **how)

    def to_hf(self, *, streaming: bool = True, **how: Any) -> Any:
        """These samples as a dataset of Hugging Face's: columns as its own reader of tars has them.

        Those are `jpg`, `txt`, `json`, `pose.json`, `depth.png` and `normal.png`, as far as asked
        for, with `__key__` and `__url__`. Pictures are PIL's; depth's are codes, of which `json`
        tells kind, scale and offset.

        Args:
            streaming: an `IterableDataset`, cut by tars, that copies nothing. Else a `Dataset`,
                for which all samples are copied into Hugging Face's cache.
            how: what else their `from_generator` takes, such as `cache_dir` and `num_proc`.

        Raises:
            UsageError: there are no samples, or datasets is not installed.
        """
        return hf_of(self, streaming=streaming, **how)

    def key(self, number: int) -> str:
        """The key of a sample."""
        group, row = self._at(number)
        return group.key(row)

    def __getitem__(self, which: int | str) -> Sample:
        """A sample by its number, negative ones from the end, or by its key."""
        return self.look(self._number(which) if isinstance(which, str) else self._inside(which))

    def look(self, number: int, choose: Choose | None = None, out: Room | None = None) -> Sample:
        """A sample, or a view of it: see `Samples.look`."""
        if choose and not self._opening.decode:
            raise UsageError("bytes cannot be cropped or scaled: open with decode=True")
        group, row = self._at(number)
        sample: Sample = {"key": group.key(row)}
        members = self._members.read(group, row)
        if not self._opening.decode:
            named = ((column, members.get(MEMBERS[column])) for column in self.columns)
            return sample | {name: bytes(data) for name, data in named if data is not None}
        told = _told(group, row)
        view = choose(told["size"]) if choose else None
        if view is not None:
            view = view.aligned(view.reduction())
            sample["view"] = view
        decoder = Decoder(members, told, view, out or {})
        for column in self.columns:
            if MEMBERS[column] in members:
                sample |= self._decoded(decoder, column, group, row)
        return sample

    def sizes(self) -> NDArray[np.integer[Any]]:
        """Height and width of each sample's picture, (n, 2)."""
        table = self.to_table(["height", "width"])
        return np.stack([column.to_numpy() for column in table.columns], axis=1)

    def fingerprint(self) -> str:
        """Of the index, and of the rows that are samples here."""
        rows = "all" if self.rows is None else f"{crc32(self.rows.tobytes()):08x}"
        return f"{self._opening.listed.get('index_sha256')}:{len(self)}:{rows}"

    def close(self) -> None:
        """Close the files it holds open."""
        self._opening.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """For workers that are spawned: they open files of their own."""
        return Dataset, (self._opening, self.rows)

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _at(self, number: int) -> tuple[Group, int]:
        return self._index.at(number if self.rows is None else int(self.rows[number]))

    def _number(self, key: str) -> int:
        row = self._index.find(key)
        number = row if row is None or self.rows is None else _where(self.rows, row)
        if number is None:
            raise KeyError(f"no sample {key} in {self.root}")
        return number

    def _decoded(self, decoder: Decoder, column: str, group: Group, row: int) -> Sample:
        try:
            return decoder.column(column)
        except (DataError, ValueError, LookupError, TypeError) as error:
            raise DataError(
                f"{self._members.name(group, row, MEMBERS[column])} cannot be read "
                f"({str(error).splitlines()[0]}): run `humanverse verify`"
            ) from error

    def _split(self, split: str) -> list[tuple[str, str, str]]:
        known = self.splits
        if not known:
            raise UsageError(
                f"{self.root} has no splits: pack it with a recipe that selects "
                "(docs/duplicates.md)"
            )
        if split not in known:
            raise UsageError(f"no split {split} in {self.root}: choose of {', '.join(known)}")
        return [("split", "==", split)]


def open(
    root: str | Path,
    columns: Sequence[str] | None = None,
    filters: Filters = None,
    split: str | None = None,
    *,
    decode: bool = True,
    verify: bool = True,
    cache: str | Path | None = None,
    cache_bytes: int = CACHE_BYTES,
) -> Dataset:
    """A packed root for reading.

    Args:
        root: the folder, or the address in an object store, that `build` or `pack` filled.
        columns: what samples shall hold, of `MEMBERS`; of all members if None.
        filters: on the index: pyarrow's tuples, such as `[("person_count", "<=", 2)]`, an Arrow
            expression, or an SQL condition (DuckDB's), such as `"aesthetic > 5.5"`.
        split: the samples of one split alone, such as `train`.
        decode: False leaves members the bytes that they are.
        verify: compare each member that is read with its checksum.
        cache: a folder where what comes from an object store is kept.
        cache_bytes: how much of it, for all datasets together.

    Raises:
        UsageError: the root is not packed, or a column, a filter or the split is unknown.
    """
    wanted = checked(STORED if columns is None else columns)
    # What is read later is read there too, wherever the process has gone meanwhile.
    place = root if "://" in str(root) else Path(root).absolute()
    folder = None if cache is None else Path(cache).absolute()
    opening = Opening(place, wanted, decode, verify, folder, cache_bytes)
    assert opening.listed  # before its index, so that what is no dataset is told as such
    return Dataset(opening).where(filters, split)


def _told(group: Group, row: int) -> dict[str, Any]:
    """What the index says of a sample that its members do not."""
    size = group.numbers["height"].item(row), group.numbers["width"].item(row)
    if "depth_kind" not in group.words:
        return {"size": size}
    numbers = {name: group.numbers[name].item(row) for name in DEPTH[1:]}
    return {"size": size, "depth_kind": group.words["depth_kind"][row].as_py()} | numbers


def _where(rows: Numbers, row: int) -> int | None:
    """The number of a row among ascending ones."""
    number = int(rows.searchsorted(row))
    return number if number < len(rows) and rows[number] == row else None
