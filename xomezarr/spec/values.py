"""Values of JSON: taken out of objects, and put together again."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from xomezarr.spec.notes import Notes, kind_of

__all__ = ["infinite_numbers", "integer", "kept", "number", "optional", "present", "unread", "with_extra", "with_kept"]

_TOLD = {str: "a string", bool: "true or false", int: "an integer"}


def number(value: Any) -> float | None:
    """Return a JSON number as a float, None if it is none; one too large for a float is infinite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def integer(value: Any) -> int | None:
    """Return a JSON number without a fraction as an integer, None for anything else; 1.0 is one in JSON."""
    if type(value) is int:  # asked first: tables of labels hold many
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if isinstance(value, int) or value.is_integer() else None


def infinite_numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a JSON object that JSON does not have, NaN and infinite ones, each with its place.

    >>> [*infinite_numbers({"a": [{"b": float("nan")}, 1e400]})]
    [('a[0].b', nan), ('a[1]', inf)]
    """
    try:
        json.dumps(values, allow_nan=False)  # which is fast: tables of labels hold many
        return
    except ValueError:
        pass
    left: list[tuple[str, Any]] = [("", values)]
    while left:
        place, value = left.pop()
        if isinstance(value, float) and not math.isfinite(value):
            yield place, value
        elif isinstance(value, Mapping):
            left += [(f"{place}.{key}" if place else key, one) for key, one in [*value.items()][::-1]]
        elif isinstance(value, list | tuple):
            left += [(f"{place}[{index}]", one) for index, one in [*enumerate(value)][::-1]]


def optional[T](raw: Mapping[str, Any], key: str, kind: type[T], rule: str, where: str, notes: Notes) -> T | None:
    """Return the value of a key that may be missing; None, with a note, where it is of another type."""
    if key not in raw:
        return None
    value = integer(raw[key]) if kind is int else raw[key]
    if isinstance(value, kind):
        return value
    notes.error(rule, f"{where}.{key}", f"it is {kind_of(raw[key])}", f"it must be {_TOLD.get(kind, kind.__name__)}")
    return None


def present(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are there: OME-Zarr says "unknown" by leaving a key out."""
    return {key: value for key, value in values.items() if value is not None}


def unread(raw: Mapping[str, Any], read: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a JSON object is kept as it is: unknown keys, and those whose value could not be read."""
    return {key: value for key, value in raw.items() if read.get(key) is None}


def kept(key: str, entries: list[Any]) -> dict[str, list[Any]]:
    """Return those entries of a list that could not be read, to be kept beside what `unread` keeps."""
    return {key: entries} if entries else {}


def with_kept(known: Mapping[str, Any], key: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object whose list has the entries again that could not be read; they follow the others."""
    entries = extra.get(key)
    return {**known, key: [*known.get(key, ()), *entries]} if isinstance(entries, list) else dict(known)


def with_extra(known: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object of the known keys, then the unknown ones; a known key is never replaced."""
    if not extra:
        return dict(known)
    return {**known, **{key: value for key, value in extra.items() if key not in known}}
