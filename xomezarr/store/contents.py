"""Open what lies in a group: arrays, groups, labels."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from xomezarr import archive, direct, documents, links, spec
from xomezarr.errors import (
    UNREADABLE,
    UNREADABLE_MEMBER,
    IncompleteStoreError,
    MetadataError,
    OmeZarrError,
)
from xomezarr.lazy import zarr
from xomezarr.resources import machine_memory
from xomezarr.store.nodes import ALL_DOCUMENTS, is_array, member_path, names_in
from xomezarr.store.opening import recovered, refusal_of
from xomezarr.store.places import read_mode, resolve

__all__ = [
    "arrays_in",
    "check_array",
    "check_inside",
    "find_array",
    "find_member",
    "label_names",
    "labels_of",
    "listed_labels",
    "open_array",
    "open_member",
]


COORDINATE = 8
"""Bytes of a coordinate of one pixel."""


def open_array(group: zarr.Group, path: str, mode: Literal["r", "r+"] | None = None) -> zarr.Array[Any]:
    """Open an array below a group; for reading, unless `mode` says otherwise.

    Raises
    ------
    MetadataError
        If its sizes, or those of its chunks, cannot be those of an array.
    StoreExistsError
        If it is to be written, and a link leads out of the store.
    """
    mode = mode or read_mode(group.store)
    if mode == "r+" and not group.store.read_only:
        check_inside(group, path)
    opened = direct.opened_array(group, path) if (mode == "r") == group.store.read_only else None
    if opened is None:
        # unlike group[path], it asks for no group of that name first
        place = member_path(group, path)
        try:
            opened = zarr.open_array(group.store, path=place, mode=mode, zarr_format=group.metadata.zarr_format)
        except (zarr.errors.BaseZarrError, FileNotFoundError):
            if (refusal := refusal_of(group.store, place)) is not None:
                raise refusal from None
            raise
    _check_sizes(opened)
    return opened


def _check_sizes(array: zarr.Array[Any]) -> None:
    """Refuse an array along which not even coordinates could be made, or whose chunks cannot be addressed."""
    longest = max(array.shape, default=0)
    if longest * COORDINATE > machine_memory():
        raise MetadataError(
            f"the shape of {str(array.store_path)!r} is {array.shape}, and coordinates along {longest} pixels take "
            "more than this machine has memory; mend the metadata of the array, or open it with zarr"
        )
    try:
        chunks = _stored_chunks(array)
    except NotImplementedError:
        raise MetadataError(
            f"the chunks of {str(array.store_path)!r} are not all of one shape; write the array anew in chunks that are"
        ) from None
    if max(chunks, default=0) > sys.maxsize:
        raise MetadataError(
            f"the chunks of {str(array.store_path)!r} are {chunks}, which no machine can address; mend the metadata of "
            "the array"
        )
    if 0 in chunks and 0 not in array.shape:
        raise MetadataError(
            f"the chunks of {str(array.store_path)!r} are {chunks}, which hold no pixels; mend the metadata of the "
            "array, or write it anew"
        )
    if array.dtype.itemsize > machine_memory() // LEAST_PIXELS:
        raise MetadataError(
            f"a pixel of {str(array.store_path)!r}, of {array.dtype}, has {array.dtype.itemsize} bytes, and this "
            "machine has no memory for even a few of them; mend the metadata of the array"
        )


LEAST_PIXELS = 10**6
"""How many pixels have to fit the memory at the least: numbers have some bytes each, but text may say any number."""


def _stored_chunks(array: zarr.Array[Any]) -> tuple[int, ...]:
    """Return the sizes of chunks, or of shards, as they are stored: zarr from 3.4 on reads 0 as 1."""
    document: Mapping[str, Any] | None = getattr(array.metadata, "_stored_document", None)
    found = array.shards or array.chunks
    return found if document is None else tuple(documents.chunk_shape(document))


def find_array(group: zarr.Group, path: str) -> zarr.Array[Any] | None:
    """Open an array below a group as `open_array` does, for writing where the store may be written; None if none."""
    with suppress(*UNREADABLE_MEMBER):
        return open_array(group, path, "r" if group.store.read_only else "r+")
    return None


def open_member(group: zarr.Group, path: str, *, alike: bool = False) -> zarr.Group:
    """Open a group below a group, as that is opened; of either format, or of the same only, which is asked sooner.

    One that is missing because its writer was killed while replacing it is put in place first, as `open_group` does.

    Raises
    ------
    KeyError
        If there is nothing, or an array.
    StoreNotFoundError
        If it is missing so, and cannot be put in place here.
    """
    try:
        return _open_member(group, path, alike)
    except KeyError:
        root = group.store.root if isinstance(group.store, zarr.storage.LocalStore) else None
        place = None if root is None else root / member_path(group, path)
        # it may be there by now: another process has put it there
        if place is None or not place.parent.is_dir() or not (place.exists() or recovered(place)):
            raise
    return _open_member(group, path, alike)


def _open_member(group: zarr.Group, path: str, alike: bool) -> zarr.Group:
    if (opened := direct.opened_member(group, path)) is not None:
        return opened
    try:
        place, wanted = member_path(group, path), group.metadata.zarr_format if alike else None
        mode = read_mode(group.store)
        return zarr.open_group(group.store, path=place, mode=mode, zarr_format=wanted, use_consolidated=False)
    except (zarr.errors.GroupNotFoundError, zarr.errors.ContainsArrayError, FileNotFoundError):
        raise KeyError(path) from None


def find_member(group: zarr.Group, path: str, *, alike: bool = False) -> zarr.Group | None:
    """Open a group below a group as `open_member` does; None where there is none."""
    try:
        return open_member(group, path, alike=alike)
    except KeyError:
        return None


def check_inside(group: zarr.Group, *paths: str) -> None:
    """Refuse to change what links lead to out of a local store: it is others' too.

    Raises
    ------
    StoreExistsError
        If one of the paths below the group leads out.
    """
    if not isinstance(group.store, zarr.storage.LocalStore):
        return
    for path in paths:
        links.check_inside(group.store.root, member_path(group, path))


def check_not_between(group: zarr.Group, *paths: str) -> None:
    """Refuse to change a group, or what lies in it, that an upgrade which was stopped has left in both Zarr formats.

    What is said of them in one format would be lost, or be another thing than the other says.

    Raises
    ------
    IncompleteStoreError
        If one of them is.
    """
    old = group.metadata.zarr_format == 2
    for path, name in itertools.product(("", *paths), ("zarr.json",) if old else (".zgroup", ".zarray")):
        other = direct.get_document(group.store, member_path(group, f"{path}/{name}".removeprefix("/")))
        if other is None:
            continue
        version = None
        with suppress(ValueError, AttributeError):
            version = spec.detect(json.loads(other).get("attributes", {}) if old else group.attrs.asdict())
        place = str(group.store_path).removeprefix("file://")
        raise IncompleteStoreError(
            f"{path or '/'!r} of {place!r} is described in both Zarr formats, as where bringing the store to another "
            "version was interrupted; finish that first: "
            f"xomezarr upgrade {shlex.quote(place)} --version {version or '0.5'}"
        )


def check_array(place: str | os.PathLike[str]) -> None:
    """Say what is wrong with an array, if there is one at a place, that zarr could not open.

    Raises
    ------
    MetadataError
        If there is one.
    """
    target = resolve(place)
    if not isinstance(target, Path) or not is_array(target):
        return
    try:
        zarr.open_array(archive.opened(target), mode="r")
    except Exception as error:  # whatever zarr's parsers meet
        raise MetadataError(
            f"the metadata of the array {os.fspath(place)!r} cannot be read ({type(error).__name__}: {error}); "
            "mend .zarray or zarr.json, or copy the array again"
        ) from None


def labels_of(image: zarr.Group) -> zarr.Group | None:
    """Return the group of an image's labels; None where it has none.

    Raises
    ------
    MetadataError
        If it cannot be read.
    """
    try:
        return find_member(image, "labels", alike=True)
    except UNREADABLE as error:
        if isinstance(error, OmeZarrError):
            raise
        raise MetadataError(
            f"what the group 'labels' of {str(image.store_path)!r} says cannot be read ({error}); mend it, or remove "
            "its document and list its labels again: to_labels(…, mode='w')"
        ) from error


def label_names(labels: zarr.Group | None) -> list[str]:
    """Return the names of labels: those that their group lists, and those that are there, whether or not they open."""
    if labels is None:
        return []
    names: list[str] = []
    with suppress(NotImplementedError, OSError):  # a store that does not list
        names = [name for name in names_in(labels) if not name.startswith(".") and name not in ALL_DOCUMENTS]
    kind = "zarr.json" if labels.metadata.zarr_format == 3 else ".zgroup"
    there = [name for name, document in _described(labels, names, kind) if _node_type(document) != "array"]
    return sorted({*listed_labels(labels), *there})


def arrays_in(group: zarr.Group) -> dict[str, zarr.Array[Any]]:
    """Open the arrays that lie in a group, by name.

    Raises
    ------
    MetadataError
        If one cannot be opened.
    """
    names = sorted(name for name in names_in(group) if not name.startswith(".") and name not in ALL_DOCUMENTS)
    kind = "zarr.json" if group.metadata.zarr_format == 3 else ".zarray"
    found = {}
    for name, document in _described(group, names, kind):
        if _node_type(document) == "group":
            continue
        try:
            found[name] = open_array(group, name)
            if not isinstance(found[name].metadata.attributes, dict):  # which zarr 3.1 does not look at
                raise ValueError("its attributes are no object")
        except UNREADABLE_MEMBER as error:
            if isinstance(error, OmeZarrError | OSError):
                raise
            raise MetadataError(
                f"the array {name!r} of {str(group.store_path)!r} cannot be opened: {error}; mend its document, or "
                "remove it"
            ) from error
    return found


def _described(group: zarr.Group, names: Sequence[str], kind: str) -> Iterator[tuple[str, bytes]]:
    """Yield those of some names in a group under which there is a document of a kind, and that."""
    found = direct.get_documents(group.store, [member_path(group, f"{name}/{kind}") for name in names])
    yield from ((name, document) for name, document in zip(names, found, strict=True) if document is not None)


def _node_type(document: bytes) -> Any:
    """Return what a document says that it describes; None where it does not, or cannot be read."""
    with suppress(ValueError, AttributeError, RecursionError):
        return json.loads(document).get("node_type")
    return None


def listed_labels(labels: zarr.Group) -> tuple[str, ...]:
    """Return the paths that a group of labels lists, as far as they are text."""
    attrs = labels.attrs.asdict()
    listed = spec.ome_part(attrs).get("labels", attrs.get("labels"))
    return tuple(path for path in listed if isinstance(path, str)) if isinstance(listed, list) else ()
