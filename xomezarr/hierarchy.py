"""All that lies in a hierarchy of Zarr, with the documents that describe it: groups, arrays, and files of others."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from xomezarr import documents
from xomezarr.direct import get_documents, wait
from xomezarr.documents import CONSOLIDATED
from xomezarr.errors import IncompleteStoreError, MetadataError, OmeZarrError
from xomezarr.lazy import zarr
from xomezarr.store import LEFT_OVER, begun, member_path, names_in

__all__ = ["Hierarchy", "Node", "inside", "key_below", "walk", "with_files_of_arrays"]

GROUP, ARRAY, ATTRIBUTES, BOTH = ".zgroup", ".zarray", ".zattrs", "zarr.json"


@dataclass(frozen=True, slots=True)
class Node:
    """A group or an array.

    Parameters
    ----------
    path
        Below the root; empty for that.
    document
        What describes it, but for the attributes: ``.zgroup``, ``.zarray`` or ``zarr.json``.
    attrs
        Its attributes.
    there
        Names of all documents that lie there, those that no reader asks for included.
    aside
        What those say that do not count, where it is described in the other format too.
    """

    path: str
    document: Mapping[str, Any] = field(hash=False)
    attrs: Mapping[str, Any] = field(hash=False)
    there: tuple[str, ...]
    aside: Node | None = None

    @property
    def zarr_format(self) -> int:
        """2 or 3."""
        return int(self.document["zarr_format"])

    @property
    def is_array(self) -> bool:
        """Whether it is an array, and not a group."""
        return "shape" in self.document

    @property
    def is_consolidated(self) -> bool:
        """Whether the documents of all below it are gathered in it."""
        return CONSOLIDATED in self.there or bool(self.document.get("consolidated_metadata"))

    def key(self, name: str) -> str:
        """Return the key, below the root, of what lies in it."""
        return key_below(self.path, name)


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """What lies in a group.

    Parameters
    ----------
    root
        The group.
    nodes
        Groups and arrays, itself first; each after the group that it lies in.
    files
        Keys of all else, but for chunks and locks.
    links
        Paths of the links that lead to groups and arrays out of it.
    """

    root: zarr.Group
    nodes: tuple[Node, ...]
    files: tuple[str, ...]
    links: tuple[str, ...] = ()


def key_below(path: str, name: str) -> str:
    """Return the key of a name below a path."""
    return f"{path}/{name}" if path else name


def walk(group: zarr.Group) -> Hierarchy:
    """Find all that lies in a group. Arrays are not looked into.

    Where a node is described in both formats that of the group above it counts, as it does for readers.

    Raises
    ------
    IncompleteStoreError
        If something in it is being written, or its writing was interrupted.
    MetadataError
        If a document cannot be read.
    OmeZarrError
        If the store does not list what it holds.
    """
    found = _Found()
    _visit(group, "", group.metadata.zarr_format, found, ())
    return Hierarchy(group, tuple(found.nodes), tuple(found.files), tuple(found.links))


@dataclass(slots=True)
class _Found:
    """What was found so far."""

    nodes: list[Node] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


def inside(group: zarr.Group, array: Node, *, chunks: bool) -> tuple[str, ...]:
    """Return the keys, below a group, of the chunks of an array in it; or of all else in its folder but its documents.

    All that lies there is listed, and none of it read.
    """
    place = documents.chunk_place(array.document)
    begin = f"{member_path(group, array.path)}/"

    async def listed() -> list[str]:
        return [key.removeprefix(begin) async for key in group.store.list_prefix(begin)]

    names = (name for name in wait(listed()) if (place(name) is not None) is chunks and name not in array.there)
    return tuple(sorted(key for key in map(array.key, names) if chunks or not _is_left_over(group, key)))


def with_files_of_arrays(found: Hierarchy) -> Hierarchy:
    """Return a hierarchy with what others have put into the folders of arrays among its files."""
    others = (inside(found.root, node, chunks=False) for node in found.nodes if node.is_array)
    return replace(found, files=(*found.files, *itertools.chain.from_iterable(others)))


def _visit(group: zarr.Group, path: str, above: int, found: _Found, around: tuple[Path, ...]) -> None:
    """Find what lies at a path; `around` are the folders that it lies in, where they are folders of this machine."""
    real, known = _folder(group, path, around), len(found.nodes)
    node = _node(group, path, above)
    if node is None and _is_file(group, path):
        found.files.append(path)
        return
    if node is not None:
        found.nodes.append(node)
    if node is None or not node.is_array:
        _visit_members(group, path, above if node is None else node.zarr_format, found, (*around, *real), node)
    leads_out = [one for one in real if around and not one.is_relative_to(around[0])]
    if leads_out and around[-1].is_relative_to(around[0]) and len(found.nodes) > known:
        found.links.append(path)


def _visit_members(
    group: zarr.Group, path: str, above: int, found: _Found, around: tuple[Path, ...], node: Node | None
) -> None:
    described = {GROUP, ARRAY, ATTRIBUTES, BOTH, CONSOLIDATED} if node is not None else set()
    for name in sorted(_names(group, path)):
        place = key_below(path, name)
        if name in described or _is_left_over(group, place):
            continue
        _visit(group, place, above, found, around)


def _folder(group: zarr.Group, path: str, around: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the folder of this machine to which a path leads, whatever links there are; nothing elsewhere.

    Raises
    ------
    MetadataError
        If it leads to a folder that it lies in: there would be no end.
    """
    if not isinstance(group.store, zarr.storage.LocalStore):
        return ()
    real = Path(os.path.realpath(group.store.root / member_path(group, path)))
    if any(one.is_relative_to(real) for one in around):
        raise MetadataError(
            f"{path!r} of {str(group.store_path)!r} is a link to {str(real)!r}, in which it lies; remove the link"
        )
    return (real,)


def _names(group: zarr.Group, path: str) -> list[str]:
    if isinstance(group.store, zarr.storage.LocalStore):
        from xomezarr import stage  # it derives a class from one of zarr's, which is loaded late

        stage.recover_all(group.store.root / member_path(group, path))
    try:
        names = names_in(group, path)
    except (NotImplementedError, OSError) as error:
        raise _unlisted(group, str(error)) from error
    if not names and not path:
        raise _unlisted(group, "it tells of nothing")
    return names


def _unlisted(group: zarr.Group, why: str) -> OmeZarrError:
    place = str(group.store_path)
    return OmeZarrError(
        f"{place!r} does not list what it holds ({why}), so that not all of it can be found; write what its metadata "
        f"name: xr.open_datatree({place!r}, engine='omezarr').omezarr.to_zarr('new.ome.zarr')"
    )


def _is_left_over(group: zarr.Group, place: str) -> bool:
    """Whether a hidden name is a lock, or what a killed writer has left.

    Raises
    ------
    IncompleteStoreError
        If it is what a writer is making.
    """
    path = Path(place)
    if LEFT_OVER.fullmatch(path.name):
        return True
    if not path.name.startswith("."):
        return False
    from xomezarr import stage

    if stage.in_the_making(path):
        raise IncompleteStoreError(
            f"{place!r} in {str(group.store_path)!r} is being written, or is to replace something, by another process; "
            "wait until that has ended, or open what it is of, which finishes it"
        )
    return stage.is_lock(path.name) or stage.is_hidden(path.name)


def _is_file(group: zarr.Group, place: str) -> bool:
    """Whether an object lies at a place that is neither a group nor an array, and not a folder."""
    store, key = group.store, member_path(group, place)
    if isinstance(store, zarr.storage.LocalStore):
        return (store.root / key).is_file()
    return wait(store.exists(key)) and not names_in(group, place)


def _node(group: zarr.Group, path: str, above: int) -> Node | None:
    """Read what describes a node; None for a mere folder."""
    found = _documents(group, path, (BOTH, GROUP, ARRAY))
    new, old = found.get(BOTH), found.get(GROUP) or found.get(ARRAY)
    if new is None and old is None:
        return None
    found |= _documents(group, path, (ATTRIBUTES,) if ARRAY in found else (ATTRIBUTES, CONSOLIDATED))
    attributes, names = found.get(ATTRIBUTES), [*found]
    described: list[Node] = []
    if old is not None:
        described.append(Node(path, old, attributes or {}, tuple(names)))
    if new is not None:
        document = {key: value for key, value in new.items() if key != "attributes"}
        described.insert(0 if above == 3 else 1, Node(path, document, new.get("attributes") or {}, tuple(names)))
    node = replace(described[0], aside=described[1] if len(described) > 1 else None)
    if told := begun(node.attrs):
        raise IncompleteStoreError(
            f"{path or str(group.store_path)!r} is incomplete: its writing, {told}, was interrupted, or is still under "
            "way; write it again"
        )
    return node


def _documents(group: zarr.Group, path: str, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read documents at a path by their names, as far as they are there."""
    keys = [key_below(path, name) for name in names]
    contents = get_documents(group.store, [member_path(group, key) for key in keys])
    found = zip(names, keys, contents, strict=True)
    return {name: _document(group, key, content) for name, key, content in found if content is not None}


def _document(group: zarr.Group, key: str, content: bytes) -> dict[str, Any]:
    if key.endswith(CONSOLIDATED):  # its own documents are read, and not what it says of them
        return {}
    try:
        document = json.loads(content)
        if not isinstance(document, dict):
            raise ValueError("it is no object")
        if key.endswith(ATTRIBUTES):
            return document
        wanted = 3 if key.endswith(BOTH) else 2
        if document.get("zarr_format") != wanted:
            raise ValueError(f"its zarr_format is not {wanted}")
        if not isinstance(document.get("attributes") or {}, dict):
            raise ValueError("its attributes are no object")
        if wanted == 3 and document.get("node_type") not in ("group", "array"):
            raise ValueError(f"its node_type is {document.get('node_type')!r}")
        is_array = key.endswith(ARRAY) or document.get("node_type") == "array"
        shape = document.get("shape", None if is_array else [])
        if not isinstance(shape, list) or not all(isinstance(size, int) and size >= 0 for size in shape):
            raise ValueError(f"its shape is {shape!r}")
    except (ValueError, RecursionError) as error:
        raise MetadataError(
            f"{key!r} of {str(group.store_path)!r} cannot be read ({error}); mend it, or copy the store again"
        ) from None
    return document
