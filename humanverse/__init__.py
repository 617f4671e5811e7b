"""HumanVerse builder: a table of image URLs in, a verified dataset of people out.

`build` makes a dataset, `open` reads one, `concat` and `mix` put several together, `ledger` tells
what became of every row, `takedown` removes what its owners ask for.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from humanverse.errors import DataError, HumanverseError, UsageError, WeightsMissing

if TYPE_CHECKING:
    import pyarrow as pa

    from humanverse.load import Dataset, concat, mix, open
    from humanverse.run.build import Outcome
    from humanverse.run.takedown import TakenDown

__version__ = "0.1.0"

__all__ = [
    "DataError",
    "Dataset",
    "HumanverseError",
    "UsageError",
    "WeightsMissing",
    "build",
    "concat",
    "ledger",
    "mix",
    "open",
    "takedown",
]


def build(*args: Any, **kwargs: Any) -> "Outcome":
    """Make or go on with a dataset: see `humanverse.run.build.build`."""
    from humanverse.run.build import build as run

    return run(*args, **kwargs)


def ledger(root: str | Path) -> "pa.Table":
    """One row for every input row of a root: key, url, status, reason, person_count, ...

    Raises:
        UsageError: the folder is no root.
    """
    from humanverse.layers.ledger import ledger as read
    from humanverse.layers.store import Store

    return read(Store(root))


def takedown(root: str | Path, file: str | Path, dry_run: bool = False) -> "TakenDown":
    """Remove what a list names from a root, for good: see `humanverse.run.takedown.takedown`."""
    from humanverse.run.takedown import takedown as remove

    return remove(root, file, dry_run=dry_run)


def __getattr__(name: str) -> Any:
    # Late, because a child that decodes one picture after the other needs no reader of datasets.
    if name in ("Dataset", "concat", "mix", "open"):
        from humanverse import load

        return getattr(load, name)
    raise AttributeError(name)
