"""Images at hand: pictures in a folder, tars of webdataset or img2dataset, Parquet with bytes, and
what COCO's annotation files tell of.

They become a table like any other whose rows say where the bytes lie. Bytes are read once here,
for the key of images that came without a URL, and again when they are collected.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from humanverse.errors import UsageError
from humanverse.sources import coco

PICTURES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jfif", ".mpo"}
)
BYTES_COLUMNS = ("image", "bytes", "jpg", "image_bytes")

AT_HAND = pa.schema(
    [
        ("source", pa.string()),
        ("file", pa.string()),
        ("row", pa.int64()),
        ("url", pa.string()),
        ("location", pa.string()),
        ("sha256", pa.string()),
        ("caption", pa.string()),
        ("width_hint", pa.int32()),
        ("height_hint", pa.int32()),
        ("similarity", pa.float32()),
        ("punsafe", pa.float32()),
        ("pwatermark", pa.float32()),
        ("license", pa.string()),
    ]
)


def holds_images(path: Path) -> bool:
    """True for a folder, a file of COCO's, and a Parquet file with a column of bytes."""
    if coco.is_coco(path):
        return True
    if path.is_dir() or path.suffix.lower() != ".parquet":
        return path.is_dir()
    try:
        return _bytes_column(pq.read_schema(path)) is not None
    except pa.ArrowInvalid as error:
        raise UsageError(f"{path} cannot be read as Parquet: {error}") from error


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """One row for every image under `path`, in a fixed order.

    Raises:
        UsageError: there is none.
    """
    if coco.is_coco(path):
        found = coco.rows(path)
    else:
        found = _parquet_rows(path) if path.is_file() else _folder_rows(path)
    first = next(found, None)
    if first is None:
        raise UsageError(f"{path} holds no images: give pictures, tars or Parquet with bytes")
    yield first
    yield from found


def tables(path: Path, batch: int = 1000) -> Iterator[pa.Table]:
    """`rows` as Arrow tables of at most `batch` rows."""
    pending: list[dict[str, Any]] = []
    for row in rows(path):
        pending.append(row)
        if len(pending) == batch:
            yield pa.Table.from_pylist(pending, AT_HAND)
            pending = []
    if pending:
        yield pa.Table.from_pylist(pending, AT_HAND)


def read(location: str) -> bytes:
    """The bytes at a location that `rows` gave: `file:`, `tar:` or `parquet:`."""
    kind, _, rest = location.partition(":")
    if kind == "file":
        return Path(rest).read_bytes()
    path, _, place = rest.rpartition("#")
    if kind == "tar":
        offset, length = map(int, place.split("+"))
        with Path(path).open("rb") as f:
            f.seek(offset)
            return f.read(length)
    group, row, column = place.split(",")
    table = pq.ParquetFile(path).read_row_group(int(group), columns=[column])
    value = table.column(0)[int(row)].as_py()
    return bytes(value["bytes"] if isinstance(value, dict) else value)


def _folder_rows(root: Path) -> Iterator[dict[str, Any]]:
    files = sorted(p for p in root.rglob("*") if p.is_file())
    tars = [p for p in files if p.suffix == ".tar"]
    for tar in tars:
        try:
            yield from _tar_rows(tar, root)
        except (tarfile.TarError, EOFError) as error:
            reason = str(error).splitlines()[0]
            raise UsageError(f"{tar} cannot be read as a tar: {reason}") from error
    pictures = [p for p in files if p.suffix.lower() in PICTURES]
    for number, path in enumerate(pictures):
        if str(path) != _text(str(path)):
            raise UsageError(f"{str(path)!a}: the name is no UTF-8; rename the file")
        caption = path.with_suffix(".txt")
        yield {
            "source": "folder",
            "file": str(path.relative_to(root)),
            "row": number,
            "location": f"file:{path.resolve()}",
            "sha256": _sha256(path.read_bytes()),
            "caption": caption.read_text(errors="replace").strip() if caption.is_file() else None,
        }


def _tar_rows(path: Path, root: Path) -> Iterator[dict[str, Any]]:
    """Samples of a tar, then rows of an img2dataset table beside it that brought no image."""
    name = str(path.relative_to(root))
    stats = path.with_suffix(".parquet")
    source = "img2dataset" if stats.is_file() else "webdataset"
    keys = set()
    number = 0
    with tarfile.open(path) as tar:
        for key, members in _samples(tar):
            for picture in _pictures(members):
                keys.add(key)
                yield {
                    "source": source,
                    "file": name,
                    "row": number,
                    "location": f"tar:{path.resolve()}#{picture.offset_data}+{picture.size}",
                    "sha256": _sha256(_member(tar, picture)),
                    **_sidecars(tar, members),
                }
                number += 1
    if source == "img2dataset":
        yield from _without_image(stats, name, keys, number)


def _pictures(members: dict[str, tarfile.TarInfo]) -> list[tarfile.TarInfo]:
    """A sample's picture; where none has a plain ending, all that end as one (`two.dots.jpg`).

    So no picture is passed over, and `x.depth.png` beside `x.jpg` stays a part of its sample.
    """
    plain = [member for end, member in members.items() if f".{end}" in PICTURES]
    dotted = [m for end, m in members.items() if f".{end.rpartition('.')[2]}" in PICTURES]
    return plain[:1] or dotted


def _samples(tar: tarfile.TarFile) -> Iterator[tuple[str, dict[str, tarfile.TarInfo]]]:
    """Consecutive members with one base name: the part before the first dot of the file name."""
    key, members = None, dict[str, tarfile.TarInfo]()
    for info in tar:
        if not info.isfile():
            continue
        folder, slash, base = info.name.rpartition("/")
        stem, _, extension = base.partition(".")
        if folder + slash + stem != key or extension.lower() in members:
            if key is not None:
                yield key, members
            key, members = folder + slash + stem, {}
        members[extension.lower()] = info
    if key is not None:
        yield key, members


def _sidecars(tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if "json" in members:
        try:
            out = _from_json(json.loads(_member(tar, members["json"])))
        except ValueError:
            out = {}
    if "txt" in members:
        out["caption"] = _member(tar, members["txt"]).decode(errors="replace").strip()
    return out


def _from_json(meta: Any) -> dict[str, Any]:
    if not isinstance(meta, dict):
        return {}
    return {
        "url": _text(meta.get("url")),
        "caption": _text(meta.get("caption")),
        "width_hint": _number(meta.get("original_width"), int),
        "height_hint": _number(meta.get("original_height"), int),
        "similarity": _number(meta.get("similarity"), float),
        "punsafe": _number(meta.get("punsafe"), float),
        "pwatermark": _number(meta.get("pwatermark"), float),
        "license": _text(meta.get("license", meta.get("LICENSE"))),
    }


def _without_image(
    path: Path, name: str, keys: Iterable[str], number: int
) -> Iterator[dict[str, Any]]:
    have = set(keys)
    wanted = [c for c in ("key", "url", "caption") if c in pq.read_schema(path).names]
    for row in pq.read_table(path, columns=wanted).to_pylist():
        if row.get("key") not in have:
            yield {
                "source": "img2dataset",
                "file": name,
                "row": number,
                "url": _text(row.get("url")),
                "caption": _text(row.get("caption")),
            }
            number += 1


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    file = pq.ParquetFile(path)
    column = _bytes_column(file.schema_arrow)
    extra = [c for c in ("url", "caption", "text") if c in file.schema_arrow.names]
    number = 0
    for group in range(file.num_row_groups):
        table = file.read_row_group(group, columns=[column, *extra])
        for place, row in enumerate(table.to_pylist()):
            value = row[column]
            data = value.get("bytes") if isinstance(value, dict) else value
            yield {
                "source": "parquet",
                "file": path.name,
                "row": number,
                "location": f"parquet:{path.resolve()}#{group},{place},{column}" if data else None,
                "sha256": _sha256(data) if data else None,
                "url": _text(row.get("url")),
                "caption": _text(row.get("caption", row.get("text"))),
            }
            number += 1


def _bytes_column(schema: pa.Schema) -> str | None:
    for name in BYTES_COLUMNS:
        if name in schema.names:
            kind = schema.field(name).type
            inner = kind.field("bytes").type if _is_picture_struct(kind) else kind
            if pa.types.is_binary(inner) or pa.types.is_large_binary(inner):
                return name
    return None


def _is_picture_struct(kind: pa.DataType) -> bool:
    return bool(pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0)


def _member(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info)
    return file.read() if file else b""


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _text(value: Any) -> str | None:
    """Text that can be stored: JSON and file names may bring halves of characters."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else None


def _number(value: Any, kind: type) -> Any:
    return kind(value) if isinstance(value, int | float) and abs(value) < 1 << 31 else None
