"""Exports as they are called, and what they leave."""

import hashlib
from pathlib import Path

from humanverse.cli import main


def keys(number):
    """Those that `pack_scenes` gives, in order."""
    return sorted(hashlib.sha256(str(n).encode()).hexdigest()[:32] for n in range(number))


def exported(root, layout, folder, *options):
    return main(["export", str(root), "--as", layout, "--to", str(folder), *options])


def contents(folder):
    """Every file's bytes, by name."""
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
