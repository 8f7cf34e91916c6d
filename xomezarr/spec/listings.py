"""The JSON of groups that hold images: ``labels``, ``series`` and ``bioformats2raw.layout``, alike in 0.4 and 0.5."""

from __future__ import annotations

from typing import Any

from xomezarr import checks
from xomezarr.spec.notes import Notes, kind_of
from xomezarr.spec.values import integer

__all__ = ["LAYOUT", "path_inside", "read_layout", "read_paths"]

LAYOUT = 3
"""The one value of ``bioformats2raw.layout``."""


def read_paths(raw: Any, rule: str, where: str, notes: Notes) -> tuple[str, ...] | None:
    """Read a list of paths: 47 (MUST) of label images, or 87 (MUST) of the images of a collection, all strings.

    None if `notes` names something that prevents reading.
    """
    if not isinstance(raw, list):
        notes.stop(rule, where, f"it is {kind_of(raw)}", "it must be a list of paths, which are strings")
        return None
    found = []
    for index, path in enumerate(raw):
        place = f"{where}[{index}]"
        if not isinstance(path, str):
            notes.stop(rule, place, f"the path is {kind_of(path)}", "it must be a string")
        elif path_inside(path, place, notes):
            found.append(path)
    return tuple(found) if len(found) == len(raw) else None


def path_inside(path: str, where: str, notes: Notes) -> bool:
    """92 (own): paths are relative, not empty, and do not leave the group."""
    inside = checks.leads_below(path)
    if not inside:
        notes.stop(
            "92", where, f"the path {path!r} does not lead to a group below this one", "give a relative path, such as 0"
        )
    return inside


def read_layout(raw: Any, where: str, notes: Notes) -> int | None:
    """83 (MUST): the value of ``bioformats2raw.layout`` is 3. None if it is no integer."""
    value = integer(raw)
    note = notes.stop if value is None else notes.error
    if value != LAYOUT:
        note("83", where, f"it is {kind_of(raw)}", f"the layout that is known is {LAYOUT}")
    return value
