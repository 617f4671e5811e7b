"""A sample's members out of its shard: neighbours at once, and each as it was packed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from isal.isal_zlib import crc32

from humanverse.errors import DataError
from humanverse.load.decode import Bytes
from humanverse.load.index import Group, Place
from humanverse.load.ranges import Ranges


class Members:
    """Reads the bytes of some kinds of members."""

    def __init__(
        self, ranges: Ranges, root: Path | str, extensions: Sequence[str], *, verify: bool
    ) -> None:
        self._ranges, self._root, self._verify = ranges, root, verify
        self._columns = {extension: extension.replace(".", "_") for extension in extensions}

    def read(self, group: Group, row: int) -> dict[str, Bytes]:
        """Bytes by extension; what a sample has no member of is left out.

        Raises:
            DataError: the shard is missing or cut, or a member is not as it was packed.
        """
        places = {
            extension: place
            for extension, column in self._columns.items()
            if (place := group.place(column, row)) is not None
        }
        shard, members = group.numbers["shard"].item(row), dict[str, Bytes]()
        for part in _together(places, self._ranges.gap):
            start, stop = part[0][1].offset, part[-1][1].offset + part[-1][1].length
            data = self._range(shard, start, stop)
            for extension, place in part:
                # One that was read alone is handed on as it is, others are not copied apart.
                found = data if len(part) == 1 else memoryview(data)[place.offset - start :]
                found = found[: place.length]
                if len(found) != place.length:
                    raise DataError(f"{self.name(group, row, extension)}: the shard ends before")
                if self._verify and place.crc32 and crc32(found) != place.crc32:
                    raise DataError(
                        f"{self.name(group, row, extension)} has another checksum than it was "
                        "packed with: run `humanverse verify`"
                    )
                members[extension] = found
        return members

    def name(self, group: Group, row: int, extension: str) -> str:
        """A member, for people."""
        shard = group.numbers["shard"].item(row)
        return f"{group.key(row)}.{extension} of shard {shard:05d} in {self._root}"

    def _range(self, shard: int, start: int, stop: int) -> bytes:
        name = f"shards/{shard:05d}.tar"
        try:
            return self._ranges.read(name, start, stop)
        except FileNotFoundError:
            raise DataError(f"{self._root}/{name} is missing: run `humanverse verify`") from None


def _together(places: Mapping[str, Place], gap: int) -> list[list[tuple[str, Place]]]:
    """Places, ascending, in parts that are each cheaper to read as one."""
    if len(places) == 1:
        return [list(places.items())]
    parts: list[list[tuple[str, Place]]] = []
    end = -gap - 1
    for extension, place in sorted(places.items(), key=lambda item: item[1].offset):
        if place.offset - end <= gap:
            parts[-1].append((extension, place))
        else:
            parts.append([(extension, place)])
        end = place.offset + place.length
    return parts
