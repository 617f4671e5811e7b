"""A recipe's file: where it lies, and the names that it defines."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

from humanverse.errors import HumanverseError, UsageError


def located(path: str | Path, shelf: str = "pipelines") -> Path:
    """A recipe's file. The shipped ones lie in the package, or beside it in a checkout.

    Raises:
        UsageError: there is none of that name on the shelf, a folder there.
    """
    path = Path(path)
    if path.is_file():
        return path
    package = Path(__file__).parent
    folders = [f for f in (package / shelf, package.parent / shelf) if f.is_dir()]
    shipped = {file.stem: file for folder in folders for file in folder.glob("*.py")}
    if path.parent in (Path(), Path(shelf)) and path.stem in shipped:
        return shipped[path.stem]
    names = ", ".join(sorted(shipped))
    raise UsageError(f"no recipe {path}: give a file, or the name of a shipped one ({names})")


def names_in(path: Path) -> dict[str, Any]:
    """What a recipe's file defines, by name.

    Raises:
        UsageError: it ends in an error.
    """
    folder = str(path.parent.resolve())
    if folder not in sys.path:
        # Last, so that no recipe hides a package by its name; for good, so that workers, which
        # inherit the path, find a recipe's own stages too.
        sys.path.append(folder)
    try:
        return runpy.run_path(str(path))
    except HumanverseError:
        raise
    except (Exception, SystemExit) as error:  # it is a program, so it may end in any way
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"recipe {path} cannot be read: {told}") from error
