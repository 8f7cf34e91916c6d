"""What a folder or a store holds, without opening it: groups, arrays, and the documents that make them such."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from xomezarr import direct
from xomezarr.direct import names_below, wait
from xomezarr.lazy import zarr

__all__ = [
    "ALL_DOCUMENTS",
    "DOCUMENTS",
    "LEFT_OVER",
    "delete_documents",
    "groups_around",
    "held_in",
    "is_array",
    "is_zarr",
    "member_path",
    "names_in",
]


DOCUMENTS: Mapping[int, tuple[str, ...]] = {2: (".zattrs", ".zgroup"), 3: ("zarr.json",)}
"""Where the metadata of a group lie, by Zarr format; those that make it a group go last where they are deleted."""

ALL_DOCUMENTS = frozenset(name for names in DOCUMENTS.values() for name in names)
"""Where the metadata of a group lie, of whichever format."""

LEFT_OVER = re.compile(r"(zarr|\.zattrs|\.zgroup|\.zarray|(c|\d+)(\.\d+)*)\.[0-9a-f]{32}\.partial")
"""Documents and chunks whose writing in a local folder was cut off, as zarr names them."""


def member_path(group: zarr.Group, path: str) -> str:
    """Return the path in the store of what lies below a group."""
    return f"{group.path}/{path}" if group.path else path


def held_in(folder: Path) -> list[Path]:
    """Return all that is in a folder, but for locks."""
    from xomezarr.stage import is_lock

    try:
        return [path for path in folder.iterdir() if not is_lock(path.name)]
    except FileNotFoundError:  # another process has put it away
        return []


def names_in(group: zarr.Group, path: str = "") -> list[str]:
    """Return the names of all that lies in a group, or below it at a path."""
    return names_below(group.store, member_path(group, path).rstrip("/"))


def delete_documents(group: zarr.Group, path: str) -> None:
    """Delete the metadata of a group below another, which is none then; what lies in it stays."""
    for name in DOCUMENTS[group.metadata.zarr_format]:
        wait(group.store.delete(member_path(group, f"{path}/{name}")))


def groups_around(target: Path) -> list[Path]:
    """Return the groups around a folder, the outermost first; folders in between need be none."""
    return [folder for folder in target.parents if is_zarr(folder)][::-1]


def is_array(path: Path) -> bool:
    """Whether a folder is a Zarr array."""
    if (path / ".zarray").is_file():
        return True
    from xomezarr.files import Files  # it derives a class from one of zarr's, which is loaded late

    try:
        content = direct.get_document(Files(path, read_only=True), "zarr.json")
        found = None if content is None else json.loads(content)
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("node_type") == "array"


def is_zarr(path: Path) -> bool:
    """Whether a folder is the root of a Zarr hierarchy."""
    return path.is_dir() and any((path / name).is_file() for name in (*ALL_DOCUMENTS, ".zarray"))
