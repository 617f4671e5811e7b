"""`--set section.field=value`: text to the value of a data class's field, checked by its type."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from humanverse.errors import UsageError


def assigned(sections: Mapping[str, Any], assignment: str) -> tuple[str, Any]:
    """The name of the section that `section.field=value` means, and the section so changed.

    Raises:
        UsageError: there is no such section or field, or the value is not of its type.
    """
    path, equals, text = assignment.partition("=")
    section_name, dot, field_name = path.partition(".")
    if not (equals and dot):
        raise UsageError(f"--set {assignment}: write it as section.field=value")
    section = _find(section_name, sections, f"--set {path}: no section {section_name!r}")
    # The names of a recipe's own module are gone once it was run, but its functions know them.
    names = getattr(vars(type(section)).get("__call__"), "__globals__", {})
    hints = typing.get_type_hints(type(section), localns=names)
    known = {f.name: hints[f.name] for f in dataclasses.fields(section) if f.init}
    kind = _find(field_name, known, f"--set {path}: {section_name} has no field {field_name!r}")
    return section_name, _replaced(section_name, section, field_name, _parse(text, kind, path))


def _find(name: str, known: Mapping[str, Any], message: str) -> Any:
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(sorted(known))}"
    raise UsageError(f"{message} ({hint})")


def _replaced(name: str, section: Any, field_name: str, value: Any) -> Any:
    try:
        return dataclasses.replace(section, **{field_name: value})
    except ValueError as error:
        raise UsageError(f"{name}.{field_name}: {error}") from error


def _parse(text: str, kind: Any, path: str) -> Any:
    """Text to the type of a field: bool, int, float, str, Path, Literal, tuple, or None."""
    if get_origin(kind) in (types.UnionType, typing.Union):
        options = get_args(kind)
        if type(None) in options and text.lower() in ("none", ""):
            return None
        return _parse(text, next(o for o in options if o is not type(None)), path)
    if get_origin(kind) is tuple:
        return tuple(_parse(part, get_args(kind)[0], path) for part in text.split(",") if part)
    if get_origin(kind) is typing.Literal:
        choices = get_args(kind)
        if text not in choices:
            raise UsageError(f"--set {path}={text}: choose one of {', '.join(choices)}")
        return text
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0"):
            raise UsageError(f"--set {path}={text}: true or false is wanted")
        return text.lower() in ("true", "1")
    try:
        value = kind(text)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError
        return value
    except ValueError:
        raise UsageError(f"--set {path}={text}: {kind.__name__} is wanted") from None
