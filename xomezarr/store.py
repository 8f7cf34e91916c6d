"""Open, find and publish Zarr groups: local, remote, in memory, in a single file.

A store is a path, a URL that fsspec knows, or a store object of zarr or obstore.
"""

from __future__ import annotations

import difflib
import errno
import itertools
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from xomezarr import archive, direct, documents, journal, links, spec
from xomezarr.aside import waiting
from xomezarr.direct import names_below, update_attributes, wait
from xomezarr.errors import (
    FULL,
    UNREADABLE,
    UNREADABLE_MEMBER,
    ArchiveError,
    IncompleteStoreError,
    MetadataError,
    MissingDependencyError,
    NotOmeZarrError,
    OmeZarrError,
    OtherImagesWarning,
    ResumeError,
    StoreAccessError,
    StoreExistsError,
    StoreNotFoundError,
    warn,
)
from xomezarr.journal import NOTHING, Made
from xomezarr.lazy import installed_version, zarr
from xomezarr.resources import machine_memory
from xomezarr.suffixes import how_to_convert, kind_of_file, own_store

if TYPE_CHECKING:
    from zarr.storage import StoreLike

    from xomezarr.stage import Stage

__all__ = [
    "ALL_DOCUMENTS",
    "DOCUMENTS",
    "LEFT_OVER",
    "SUFFIXES",
    "Building",
    "StoreArgument",
    "Unfinished",
    "address",
    "alone",
    "apart",
    "arrays_in",
    "begin_anew",
    "begun",
    "below",
    "building",
    "changing",
    "check_apart",
    "check_array",
    "check_changeable",
    "check_complete",
    "check_free",
    "check_inside",
    "check_no_file_name",
    "check_not_read_only",
    "default_name",
    "delete_documents",
    "erase",
    "exists",
    "find_array",
    "find_member",
    "groups_around",
    "held_in",
    "is_bare",
    "is_begun",
    "is_local",
    "is_single_file",
    "label_names",
    "labels_of",
    "listed_labels",
    "member_path",
    "names_in",
    "not_a_store",
    "open_array",
    "open_group",
    "open_member",
    "opened_store",
    "overlap",
    "parents",
    "publish",
    "read_mode",
    "resolve",
    "tidy_beside",
    "unfinished_beside",
    "unmarked",
    "warn_of_others",
    "withheld",
    "withhold",
    "writable_group",
]

type StoreArgument = Any
"""A path, a URL, or a store object of zarr or obstore."""

SUFFIXES = (".ome.zarr", ".zarr", archive.SUFFIX)
"""How the names of OME-Zarr stores end, the longest first."""

REMOTE = frozenset({"memory", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl"})
"""File systems of fsspec that hold no file of this machine's."""

ZIP = ".zip"
"""How the names of zip files end, which are written and read as `zarr.storage.ZipStore`."""

DOCUMENTS: Mapping[int, tuple[str, ...]] = {2: (".zattrs", ".zgroup"), 3: ("zarr.json",)}
"""Where the metadata of a group lie, by Zarr format; those that make it a group go last where they are deleted."""

ALL_DOCUMENTS = frozenset(name for names in DOCUMENTS.values() for name in names)
"""Where the metadata of a group lie, of whichever format."""

LEFT_OVER = re.compile(r"(zarr|\.zattrs|\.zgroup|\.zarray|(c|\d+)(\.\d+)*)\.[0-9a-f]{32}\.partial")
"""Documents and chunks whose writing in a local folder was cut off, as zarr names them."""

WITHHELD = "withheld"
"""What a group said before that is in the making again, beside the mark."""

COORDINATE = 8
"""Bytes of a coordinate of one pixel."""

INCOMPLETE = "incomplete"
"""The mark of a group that is being written, in xomezarr's own attribute, which the last write of all replaces."""


def resolve(store: StoreArgument) -> StoreLike:
    """Return what zarr takes: paths made absolute and without "..", ``file:`` URLs made paths, obstore stores wrapped.

    Raises
    ------
    OmeZarrError
        If `store` is no path, URL or store.
    StoreExistsError
        If it is a zip file that would be empty once it is opened.
    """
    if isinstance(store, str) and store.startswith("file:"):
        from urllib.parse import urlsplit
        from urllib.request import url2pathname

        store = url2pathname(urlsplit(store).path)
    if isinstance(store, str) and "://" in store:
        return store
    if isinstance(store, str | os.PathLike):
        text = os.fspath(store)
        if not isinstance(text, str) or not text or "\0" in text:
            raise OmeZarrError(f'{store!r} is not a path; give the store a path, such as "cells.ome.zarr"')
        path = Path(text)
        with suppress(RuntimeError):  # a name that begins so, and is none of a user
            path = path.expanduser()
        path = path.absolute()
        # the folder before ".." may be a link, or may not be there
        return path.resolve() if ".." in path.parts else path
    whole, inside = (store.store, store.path) if isinstance(store, zarr.storage.StorePath) else (store, "")
    if type(whole) is zarr.storage.LocalStore and not whole.read_only:
        return Path(whole.root, inside).absolute()  # a folder, however it is named
    if isinstance(store, zarr.abc.store.Store | zarr.storage.StorePath):
        _check_not_emptied(whole)
        known = _patient(whole)
        return store if known is whole else zarr.storage.StorePath(known, inside) if inside else known
    if type(store).__module__.partition(".")[0] == "obstore":
        return _patient(zarr.storage.ObjectStore(store))
    raise OmeZarrError(
        f"a store of type {type(store).__name__} is not known; "
        "give a path, a URL, or a store of zarr or obstore, such as zarr.storage.MemoryStore()"
    )


def _patient(store: Any) -> Any:
    """Return a store of zarr as one that is asked patiently, if it is on other machines."""
    if not isinstance(store, zarr.storage.FsspecStore | zarr.storage.ObjectStore):
        return store
    from xomezarr import remote  # it derives a class from one of zarr's, which is loaded late

    return remote.patient(store)


def opened_store(target: StoreLike, storage_options: Mapping[str, Any] | None = None, *, read_only: bool) -> StoreLike:
    """Return what zarr takes for a place and options; of a URL, the store.

    Parameters
    ----------
    target
        As `resolve` returns it.
    storage_options
        For URLs, as fsspec takes them.
    read_only
        Whether a URL is opened to be read.
    """
    if not isinstance(target, str) or target.startswith("memory:"):  # which zarr keeps itself
        return target
    if target.startswith("local:"):  # fsspec makes no folder there unless it is asked to
        options = {"auto_mkdir": True, **(storage_options or {})}
        return zarr.storage.FsspecStore.from_url(target, storage_options=options, read_only=read_only)
    from xomezarr import remote

    return remote.opened(target, storage_options, read_only=read_only)


def _check_not_emptied(store: Any) -> None:
    """Refuse a zip file that holds something, and that zarr empties when anybody asks what."""
    if isinstance(store, zarr.storage.ZipStore) and getattr(store, "_zmode", None) == "w" and not store._is_open:
        path = Path(store.path or "")
        if path.is_file() and path.stat().st_size:
            raise StoreExistsError(
                f'{path} exists already, and ZipStore(…, mode="w") empties it when it is opened, before anything else '
                'is looked at; delete it first, give another path, or open it for reading: ZipStore(…, mode="r")'
            )


def below(store: StoreArgument, path: str) -> StoreArgument:
    """Return the place below a store that a path leads to, as a store of its own.

    >>> below("s3://bucket/cells.zarr", "labels/nuclei")
    's3://bucket/cells.zarr/labels/nuclei'
    """
    target = resolve(store)
    if isinstance(target, str):
        return f"{target.rstrip('/')}/{path}"
    return (
        target / path
        if isinstance(target, Path | zarr.storage.StorePath)
        else zarr.storage.StorePath(_store(target), path)
    )


def address(place: str | os.PathLike[str]) -> str:
    """Return a path or URL as one string, without links, by which places can be compared."""
    target = resolve(place)
    return target.resolve().as_posix() if isinstance(target, Path) else str(target).rstrip("/")


def overlap(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether two places are the same, or one of them lies in the other."""
    return _around(address(one), address(other))


def _around(one: str, other: str) -> bool:
    """Whether of two paths one is the other, or leads to what lies in it.

    >>> _around("/data/a.zarr", "/data/a.zarr/0"), _around("/data/a", "/data/ab"), _around("", "a")
    (True, False, True)
    """
    first, second = ("".join(f"{name}/" for name in path.split("/") if name) for path in (one, other))
    return first.startswith(second) or second.startswith(first)


def check_apart(store: StoreArgument, origin: Any, storage_options: Mapping[str, Any] | None = None) -> None:
    """Refuse to write to a store what is read from it, from what lies in it, or from what it lies in.

    Parameters
    ----------
    store, storage_options
        What is written.
    origin
        The path, the URL or the store that is read.

    Raises
    ------
    StoreExistsError
        If that may be so.
    """
    target, read = resolve(store), resolve(origin)
    local = isinstance(target, Path), isinstance(read, Path)
    both_urls = isinstance(target, str) and isinstance(read, str) and target.split("://")[0] == read.split("://")[0]
    if all(local) or both_urls:
        lies_there = overlap(target, read)  # type: ignore[arg-type]
    else:
        lies_there = not apart(store, origin, storage_options) and exists(store, storage_options=storage_options)
    if lies_there:
        raise StoreExistsError(
            f"{_shown(store)} and {_shown(origin)} are one, or lie in each other, or nothing tells that they do not; "
            "give another path"
        )


def apart(store: StoreArgument, origin: Any, storage_options: Mapping[str, Any] | None = None) -> bool:
    """Whether what is read certainly does not lie in a store that is no local folder.

    Parameters
    ----------
    origin
        A path, a URL or a place in a store; None where that is not known.
    """
    if origin is None:
        return False
    target, read = resolve(store), resolve(origin)
    if isinstance(read, zarr.storage.StorePath) and isinstance(read.store, zarr.storage.LocalStore):
        read = Path(read.store.root, read.path)
    if isinstance(read, zarr.storage.StorePath) and (file := archive.file_of(read.store)) is not None:
        read = file
    if isinstance(read, Path):
        return _holds_no_file(target)
    (one, path), (other, other_path) = _elsewhere(target, storage_options), _elsewhere(read, None)
    one, other = _asked(one), _asked(other)
    if (shared := _is_shared(one, other)) is not None:
        return not shared or not _around(path, other_path)
    if not isinstance(one, zarr.storage.FsspecStore) or not isinstance(other, zarr.storage.FsspecStore):
        return False
    if not _is_remote(one):  # files may be there under several names
        return False
    # of two file systems that differ nobody knows whether they are two ways to one
    return _opened_by(one.fs) == _opened_by(other.fs) and not _around(
        f"{one.path}/{path}", f"{other.path}/{other_path}"
    )


def _asked(store: zarr.abc.store.Store) -> zarr.abc.store.Store:
    """Return the store that a patient one asks; any other as it is."""
    from xomezarr import remote

    return remote.inside(store)


def _is_shared(one: zarr.abc.store.Store, other: zarr.abc.store.Store) -> bool | None:
    """Whether two stores that hold no files keep the same objects; None where that is not known."""
    if type(one) is type(other) is zarr.storage.MemoryStore:
        return one._store_dict is other._store_dict
    if isinstance(one, zarr.storage.ObjectStore) and isinstance(other, zarr.storage.ObjectStore):
        # another way to the same bucket is another object
        return True if one.store is other.store and type(one.store).__name__ != "LocalStore" else None
    return None


def _opened_by(file_system: Any) -> tuple[Any, ...]:
    """Return what opens a file system of fsspec, whose instances differ by thread."""
    waiting = getattr(file_system, "sync_fs", file_system)
    ours = ("asynchronous", "loop", "use_listings_cache")
    options = {key: value for key, value in waiting.storage_options.items() if key not in ours}
    return type(waiting), waiting.storage_args, options


def _holds_no_file(target: StoreLike) -> bool:
    """Whether a store certainly has nothing in a local folder."""
    if isinstance(target, str):
        return target.partition("://")[0] in REMOTE
    whole = target if isinstance(target, Path) else _asked(_store(target))
    if isinstance(whole, zarr.storage.FsspecStore):
        return _is_remote(whole)
    return type(whole) in (zarr.storage.MemoryStore, zarr.storage.ZipStore)


def _is_remote(store: zarr.storage.FsspecStore) -> bool:
    """Whether a file system of fsspec certainly has no file of this machine's."""
    named = getattr(store.fs, "sync_fs", store.fs).protocol
    return {named} <= REMOTE if isinstance(named, str) else {*named} <= REMOTE


def parents(address: str) -> Iterator[str]:
    """Yield the places above an address, the nearest first.

    >>> list(parents("s3://bucket/plate.zarr/A")), list(parents("/data/plate.zarr"))
    (['s3://bucket/plate.zarr', 's3://bucket'], ['/data'])
    """
    while True:
        address, _, _ = address.rpartition("/")
        if not address or address.endswith(("/", ":")):
            return
        yield address


def member_path(group: zarr.Group, path: str) -> str:
    """Return the path in the store of what lies below a group."""
    return f"{group.path}/{path}" if group.path else path


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
            if (refusal := _refusal(group.store, place)) is not None:
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
        if place is None or not place.parent.is_dir() or not (place.exists() or _recovered(place)):
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
    if not isinstance(target, Path) or not _is_array(target):
        return
    try:
        zarr.open_array(archive.opened(target), mode="r")
    except Exception as error:  # whatever zarr's parsers meet
        raise MetadataError(
            f"the metadata of the array {os.fspath(place)!r} cannot be read ({type(error).__name__}: {error}); "
            "mend .zarray or zarr.json, or copy the array again"
        ) from None


def is_local(store: StoreArgument) -> bool:
    """Whether the store is a folder of this machine that is named by its path."""
    return isinstance(resolve(store), Path)


def is_single_file(store: StoreArgument) -> bool:
    """Whether the store is a single file, by its name: it is written whole, in Zarr v3."""
    try:
        found = archive.named(resolve(store))
    except OmeZarrError:  # it is none that is known
        return False
    return found is not None and not found.path


def default_name(store: StoreArgument) -> str:
    """Return the name that an image takes from its store: ``"cells"`` for ``…/cells.ome.zarr``; else ``"image"``."""
    if not isinstance(store, str | os.PathLike):
        path = store.path if isinstance(store, zarr.storage.StorePath) else ""
        return path.rpartition("/")[2] or "image"
    target = resolve(store)
    last = (
        Path(os.path.normpath(target)).name if isinstance(target, Path) else str(target).rstrip("/").rpartition("/")[2]
    )
    for suffix in SUFFIXES:
        last = last.removesuffix(suffix)
    return last or "image"


def exists(store: StoreArgument, *, storage_options: Mapping[str, Any] | None = None) -> bool:
    """Whether anything at all is at that place: a folder that is not empty, a file or a device, or objects."""
    target = resolve(store)
    if isinstance(target, Path):
        return bool(held_in(target)) if target.is_dir() else target.exists()
    if _opens(target, storage_options):
        return True
    place, path = _elsewhere(target, storage_options, read_only=True)
    return not wait(place.is_empty(path))


def held_in(folder: Path) -> list[Path]:
    """Return all that is in a folder, but for locks."""
    from xomezarr.stage import is_lock

    try:
        return [path for path in folder.iterdir() if not is_lock(path.name)]
    except FileNotFoundError:  # another process has put it away
        return []


def _elsewhere(
    target: StoreLike, storage_options: Mapping[str, Any] | None, *, read_only: bool = False
) -> tuple[zarr.abc.store.Store, str]:
    """Return the store in which a place is that is no local folder, and the place's path in it."""
    if isinstance(target, str):
        if target.startswith("memory:"):
            return zarr.storage.FsspecStore.from_url(target, read_only=read_only), ""
        return _store(opened_store(target, storage_options, read_only=read_only)), ""
    return _store(target), target.path if isinstance(target, zarr.storage.StorePath) else ""


def _store(target: StoreLike) -> zarr.abc.store.Store:
    """Return the store itself, of one or of a place in one."""
    found = target.store if isinstance(target, zarr.storage.StorePath) else target
    assert isinstance(found, zarr.abc.store.Store)
    return found


def is_bare(store: StoreArgument, storage_options: Mapping[str, Any] | None = None) -> bool:
    """Whether at a place there is nothing, but for the metadata of a group, and for what helps to write them."""
    target = resolve(store)
    if isinstance(target, Path):
        if not target.is_dir():
            return not target.exists()
        names = [path.name for path in held_in(target)]
    else:
        place, path = _elsewhere(target, storage_options, read_only=True)
        names = names_below(place, path)
    return all(name in ALL_DOCUMENTS or LEFT_OVER.fullmatch(name) for name in names)


def open_group(
    store: StoreArgument, *, group: str | None = None, storage_options: Mapping[str, Any] | None = None
) -> zarr.Group:
    """Open a group for reading.

    A local store that is missing because its writer was killed while replacing it is put in place first, new and
    whole.

    Parameters
    ----------
    store
        A path, a URL, or a store of zarr or obstore.
    group
        Path of a group inside the store; left out, its root.
    storage_options
        For URLs, as fsspec takes them.

    Raises
    ------
    StoreNotFoundError
        If there is nothing at that place; it names an unfinished write that lies beside it.
    NotOmeZarrError
        If there is something else than a Zarr group.
    """
    target = resolve(store)
    _check_options(target, storage_options)
    try:
        return _open_recovered(target, storage_options, group)
    except (StoreNotFoundError, ArchiveError):  # it says what could not be recovered, or read
        raise
    except (zarr.errors.ContainsArrayError, zarr.errors.NodeTypeValidationError):
        raise NotOmeZarrError(
            f"{_shown(store, group)} is a single Zarr array, not an OME-Zarr image; "
            'xarray.open_zarr or zarr.open_array reads it, and "xomezarr convert" makes an image of it'
        ) from None
    except (zarr.errors.GroupNotFoundError, FileNotFoundError):
        if (inside := archive.leads_into(target)) is not None:
            path = "/".join(filter(None, (inside.path, group)))
            if (lacking := archive.lacking(replace(inside, path=path), storage_options)) is not None:
                raise lacking from None
        if isinstance(target, Path) and (target / (group or "")).exists():
            if target.is_file():
                raise not_a_store(store) from None
            with suppress(zarr.errors.GroupNotFoundError, FileNotFoundError):  # it may have come in this moment
                return _open_recovered(target, storage_options, group)
            raise NotOmeZarrError(
                f"{_shown(store, group)} is not a Zarr group; give the folder that holds zarr.json or .zgroup"
            ) from None
        raise _nothing_at(store, group, target) from None
    except json.JSONDecodeError as error:
        raise MetadataError(
            f"the metadata of {_shown(store, group)} are not JSON ({error}); "
            "mend .zattrs, .zgroup or zarr.json, or copy the store again"
        ) from None
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        if not isinstance(target, Path):  # a URL or a store that cannot be opened
            raise
        raise MetadataError(
            f"{_shown(store, group)} cannot be opened: {error}; check the path, "
            "mend .zattrs, .zgroup or zarr.json, or copy the store again"
        ) from error
    except ImportError as error:
        raise MissingDependencyError(
            f"{_shown(store, group)} cannot be opened: {error}; install the remote back ends: "
            'pip install "xomezarr[remote]"'
        ) from error


def not_a_store(file: StoreArgument) -> NotOmeZarrError:
    """Return the error of a file where a store is meant: what it is, and how to make a store of it."""
    kind = kind_of_file(os.fspath(file)) if isinstance(file, str | os.PathLike) else None
    python, command = (f"make an image of it: {call}" for call in how_to_convert(str(file)))
    return NotOmeZarrError.mended(f"{_shown(file)} is {kind or 'a file'}, not OME-Zarr", python=python, command=command)


def _nothing_at(store: StoreArgument, group: str | None, target: StoreLike) -> StoreNotFoundError:
    """Return the error of a place where nothing is: where it was looked for, and what is called much as it is."""
    shown = _shown(store, group)
    if unfinished := unfinished_beside(target):
        return StoreNotFoundError(f"there is nothing at {shown}; {unfinished}")
    if not isinstance(target, Path) or target.exists():
        return StoreNotFoundError(f"there is nothing at {shown}; check the path")
    folder = next(parent for parent in target.parents if parent.exists())
    lacking = target.relative_to(folder).parts[0]
    names: list[str] = []
    with suppress(OSError), os.scandir(folder) as found:
        names = [one.name for one in itertools.islice(found, MANY_NAMES) if not one.name.startswith(".")]
    # what all names end in makes none alike
    called = {default_name(folder / name): name for name in names}
    alike = difflib.get_close_matches(default_name(folder / lacking), called, n=1)
    there = [folder / called[name] / target.relative_to(folder / lacking) for name in alike]
    meant = f"did you mean {str(there[0])!r}?" if there else "check the path"
    return StoreNotFoundError(f"there is nothing at {shown}: the folder {str(folder)!r} has no {lacking!r}; {meant}")


MANY_NAMES = 10_000
"""Of what is in a folder so many are compared with a name that is not there."""


class Building(Protocol):
    """A group in the making."""

    @property
    def group(self) -> zarr.Group:
        """The group, to be filled."""
        ...

    @property
    def made(self) -> Made:
        """What is made of it already, where an interrupted write is gone on with."""
        ...

    def place(self, *, alone: bool = False) -> None:
        """Put it where it is to be; elsewhere than in a local folder it is there already.

        Parameters
        ----------
        alone
            Whether the caller keeps others from changing the pixels of what it replaces.
        """

    def take_back(self) -> None:
        """Take it away again, and put what was there before back, if that was a local folder."""


@contextmanager
def publish(
    store: StoreArgument,
    *,
    zarr_format: int,
    mode: str,
    storage_options: Mapping[str, Any] | None = None,
    fits: Callable[[], None] | None = None,
) -> Iterator[zarr.Group]:
    """Create a group that becomes visible whole, or not at all where the place is a local folder or a single file.

    A local store is built in a hidden folder beside its place and renamed when the block ends, or packed to a single
    file that is; if the block fails, the folder is removed and what was there before is untouched. A link stays, and
    what it points to is made or replaced. Elsewhere the group is made in place: the caller writes its metadata last.
    Until then the group bears a mark, which `check_complete` knows.

    A process that is killed leaves the old store or the new one, whole, and at most a hidden folder (`stage` says
    which there are), which the next write of the store removes. If the kill leaves the name missing, because the
    system cannot exchange two names, whoever opens or writes the store next puts the new one there.

    Who holds arrays of a store open while it is replaced asks for each chunk by its path: from the old store before
    the exchange, from the new one after it. Chunks that the new store does not have, or that were asked for between
    two renames, read as the fill value. What we have opened makes sure of its folder (`presence.Folder`), and says so.

    Parameters
    ----------
    store, storage_options
        As in `open_group`.
    zarr_format
        2 or 3.
    mode
        ``"w-"``: an error if something is there; ``"w"``: an existing Zarr store is replaced.
    fits
        As in `building`.

    Raises
    ------
    StoreExistsError
        As `check_free` does; and where another process has made the store meanwhile, or something else that is not
        to be replaced.
    """
    with building(store, zarr_format=zarr_format, mode=mode, storage_options=storage_options, fits=fits) as made:
        yield made.group
        made.place()


@dataclass(frozen=True, slots=True)
class Unfinished:
    """That a write whose journal is kept can be gone on with when it is interrupted, and whether one that was is.

    What failed in a local folder is kept if anything is noted of it, unless by an error of the user's input, which
    another try would meet again.

    Parameters
    ----------
    check
        Called with the group of an interrupted write that is to be gone on with, and what of it is made; raises where
        it is another. None where all is to be written anew.
    """

    check: Callable[[zarr.Group, Made], None] | None = None


def _made_in(folder: Path) -> Made:
    """Find out how much of a folder is made, as `journal.made` does; nothing where it is no group."""
    try:
        return journal.made(zarr.open_group(folder, mode="r", use_consolidated=False))
    except UNREADABLE_MEMBER:
        return NOTHING


@contextmanager
def building(
    store: StoreArgument,
    *,
    zarr_format: int,
    mode: str,
    storage_options: Mapping[str, Any] | None = None,
    unfinished: Unfinished | None = None,
    fits: Callable[[], None] | None = None,
) -> Iterator[Building]:
    """Create a group as `publish` does, of which the caller says when it is to be put in its place.

    Parameters
    ----------
    store, zarr_format, mode, storage_options
        As in `publish`.
    unfinished
        What can be gone on with; None where every write begins anew.
    fits
        Called when it is about to be put in its place as a local folder, and nobody changes what is around that; raises
        where what it was planned for is not there any more. None where the caller looks.

    Raises
    ------
    ResumeError
        If an unfinished write is to be gone on with that still goes on.
    """
    resume = unfinished is not None and unfinished.check is not None
    check_free(store, mode=mode, storage_options=storage_options, resume=resume)
    target = resolve(store)
    if isinstance(target, Path):
        single = archive.named(target) is not None
        place = target.resolve()
        with _building_in_a_folder(place, zarr_format, mode, single=single, unfinished=unfinished, fits=fits) as made:
            yield made
        return
    if zarr_format == 2 and not isinstance(target, str) and direct.takes_zarr_alone(_store(target)):
        raise OmeZarrError(f'{_shown(store)} is of Icechunk, which takes Zarr v3 alone; give version="0.5"')
    try:
        found, made_before = _gone_on_with(target, storage_options, unfinished) or (None, NOTHING)
        anew = "w" if resume and _begun(target, storage_options) else mode
        begun = found or _begin(target, zarr_format, anew, storage_options)
    except (zarr.errors.ContainsGroupError, zarr.errors.ContainsArrayError):  # by another process, meanwhile
        raise
    except BaseException:
        if mode == "w-":
            with suppress(Exception):  # the error that led here counts
                erase(store, storage_options)
        raise
    mark = _token_of(begun.attrs.asdict())
    _UNDER_WAY.add(mark)
    try:
        yield _InPlace(begun, store, storage_options, made_before)
    except BaseException as error:
        if unfinished is not None and (much := journal.made(begun)):
            error.add_note(_to_go_on(store, much))
        raise
    finally:
        _UNDER_WAY.discard(mark)


_UNDER_WAY: set[str] = set()
"""Marks of the groups that this process is writing in their places."""


def _to_go_on(store: StoreArgument, much: Made) -> str:
    return f"{_shown(store)} is unfinished: {much}; go on with resume=True"


def _token_of(attrs: Mapping[str, Any]) -> str:
    """Return the mark of who writes, or wrote, a group; empty where there is none."""
    kept = attrs.get(spec.SIDECAR)
    mark = kept.get(INCOMPLETE) if isinstance(kept, Mapping) else None
    return str(mark.get("by", "")) if isinstance(mark, Mapping) else ""


def _gone_on_with(
    target: StoreLike, storage_options: Mapping[str, Any] | None, unfinished: Unfinished | None
) -> tuple[zarr.Group, Made] | None:
    """Open the group of an interrupted write, in its place, which is to be gone on with, and find out what is made.

    None if there is none.
    """
    from xomezarr import stage

    if unfinished is None or unfinished.check is None or not _begun(target, storage_options):
        return None
    group = writable_group(target, storage_options)
    attrs = group.attrs.asdict()
    mark = _token_of(attrs)
    if mark in _UNDER_WAY or (stage.writer(mark) == "alive" and not stage.is_own(mark)):
        raise ResumeError(f"{_shown(target)} is still being written; wait until that ends, or stop it")
    if withheld(attrs) is not None or not (much := journal.made(group)):
        return None
    unfinished.check(group, much)
    update_attributes(group, _mark())
    return group, much


def writable_group(
    store: StoreArgument, storage_options: Mapping[str, Any] | None = None, *, zarr_format: int | None = None
) -> zarr.Group:
    """Open a group as it is now, to be written; consolidated metadata are not asked."""
    from xomezarr.files import Files  # it derives a class from one of zarr's, which is loaded late

    target = resolve(store)
    return zarr.open_group(
        Files(target) if isinstance(target, Path) else opened_store(target, storage_options, read_only=False),
        mode="r+",
        zarr_format=zarr_format,  # type: ignore[arg-type]
        use_consolidated=False,
    )


@dataclass(frozen=True, slots=True)
class _InPlace:
    """A group that is made where it is to be."""

    group: zarr.Group
    store: StoreArgument
    storage_options: Mapping[str, Any] | None
    made: Made

    def place(self, *, alone: bool = False) -> None:
        """Do nothing: it is there."""

    def take_back(self) -> None:
        """Delete it."""
        erase(self.store, self.storage_options)


@dataclass(frozen=True, slots=True)
class _InAFolder:
    """A group that is made in a hidden folder.

    Parameters
    ----------
    group
        The group.
    folder
        Where it is made.
    target, mode
        Where it is to be.
    single
        Whether it is to be a single file.
    made
        What was made of it before.
    fits
        As in `building`.
    placed
        Holds where what it has replaced is now, None if that was nothing, once it is in its place.
    """

    group: zarr.Group
    folder: Path
    target: Path
    mode: str
    single: bool = False
    made: Made = NOTHING
    fits: Callable[[], None] | None = None
    placed: list[Path | None] = field(default_factory=list)

    def place(self, *, alone: bool = False) -> None:
        """Give it its name. Who changes the one that it replaces, its pixels or what it lists, is waited for."""
        from xomezarr import stage

        if self.single:
            self._place_file()
            return
        if self.target.is_dir() and not held_in(self.target):
            # which removes what a killed process has left of its locks, if nobody else does
            for name in (stage.GATE, stage.PIXELS, stage.LOCK):
                with suppress(FileNotFoundError), stage.locked(self.target, name=name):
                    pass
        if self.mode == "w-":
            with nullcontext() if alone else _locks([self.target], lists=self.target, replaces=True):
                self._check()
                stage.create(self.folder, self.target)
            self.placed.append(None)
            return
        if _is_zarr(self.target):
            with suppress(OSError):  # the old one goes next
                journal.put_on_disk(self.folder)
        with nullcontext() if alone else _locks([self.target], lists=self.target, replaces=True):
            self._check()
            self.placed.append(stage.replace(self.folder, self.target, _may_go))

    def _check(self) -> None:
        if self.fits is not None:
            self.fits()

    def _place_file(self) -> None:
        """Pack it, and give the file its name."""
        from xomezarr import stage

        self._check()
        file = stage.beside(self.target, "partial")
        archive.pack(self.folder, file, left_out=stage.is_lock)
        try:
            if self.mode == "w-":
                stage.create(file, self.target)
                self.placed.append(None)
            else:
                with suppress(OSError):  # who may read the file is as before
                    shutil.copymode(self.target, file)
                self.placed.append(stage.replace(file, self.target, archive.is_whole))
        except BaseException:
            stage.remove(file)
            raise
        archive.sync_name(self.target.parent)
        stage.remove(self.folder)

    def take_back(self) -> None:
        """Give what it has replaced its name again."""
        from xomezarr import stage

        while self.placed:
            stage.put_back(self.placed[-1], self.target)
            self.placed.pop()

    def stay(self) -> None:
        """Remove what it has replaced."""
        from xomezarr import stage

        while self.placed:
            if (old := self.placed.pop()) is not None:
                stage.remove(old)


def _adopted(target: Path, unfinished: Unfinished | None) -> tuple[Path, Made] | None:
    """Take over what an interrupted write of a store has left that is to be gone on with; None if there is nothing.

    Returns
    -------
    Path, Made
        The folder, and what of it is made.

    Raises
    ------
    ResumeError
        If it still goes on.
    """
    from xomezarr import stage

    if unfinished is None or unfinished.check is None:
        return None
    for folder in stage.interrupted(target):
        if stage.is_under_way(folder):
            raise ResumeError(f"{str(target)!r} is still being written, in {str(folder)!r}; wait until that ends")
        taken = ResumeError(f"{str(target)!r} is still being written: another process goes on with it; wait for that")
        try:
            _mend(folder)
            if much := _made_in(folder):
                unfinished.check(zarr.open_group(folder, mode="r", use_consolidated=False), much)
                if (own := stage.adopted(folder, target)) is not None:
                    return own, much
        except Exception:
            if folder.exists():
                raise
            raise taken from None
        if not folder.exists():
            raise taken
    return None


def _mend(folder: Path) -> None:
    """Make the document of an unfinished group anew, where a machine that lost its power has cut it off."""
    try:
        zarr.open_group(folder, mode="r", use_consolidated=False)
    except UNREADABLE_MEMBER:
        version = journal.version_in(folder)
        if version in spec.VERSIONS:
            direct.put_group(zarr.storage.LocalStore(folder), "", spec.zarr_format(version), _mark())


@contextmanager
def _building_in_a_folder(
    target: Path,
    zarr_format: int,
    mode: str,
    *,
    single: bool,
    unfinished: Unfinished | None = None,
    fits: Callable[[], None] | None = None,
) -> Iterator[Building]:
    from xomezarr import stage  # it derives a class from one of zarr's, which is loaded late

    try:
        begun, made_before = _adopted(target, unfinished) or (None, NOTHING)
        folder = stage.Stage(begun or stage.beside(target, "partial"))
        stage.sweep(target)
        if begun is None:
            stage.make(folder.root)
    except OSError as error:
        if isinstance(error, OmeZarrError):
            raise
        raise _not_writable(error, target) from None
    made: _InAFolder | None = None
    try:
        group = None if begun is None else zarr.open_group(folder, mode="r+", use_consolidated=False)
        if group is None:
            group = direct.created_group(folder, zarr_format, _mark())
        if group is None:
            group = zarr.create_group(folder, zarr_format=zarr_format, attributes=_mark())  # type: ignore[arg-type]
        made = _InAFolder(group, folder.root, target, mode, single, made_before, fits)
        yield made
    except BaseException as error:
        folder.abandoned = True  # at once: threads write on
        gone = not folder.root.exists() and not (made and made.placed)
        much = _kept(folder, unfinished, error)
        if much:
            error.add_note(_to_go_on(target, much))
        else:
            folder.abandon()
        # the second is what workers of a cluster say of arrays that they do not find
        if (isinstance(error, FileNotFoundError) or type(error) is OmeZarrError) and gone:
            raise StoreNotFoundError(
                f"what was written of {str(target)!r} is gone: another process has replaced or removed it, or the "
                "store that it belongs to; write it again"
            ) from error
        if isinstance(error, OSError) and error.errno in FULL:
            removed = f"kept, {much}; make room and go on with resume=True" if much else "removed again"
            told = f"{error.strerror}: what was written of the store is {removed}; `plan` tells how large it is"
            raise OSError(error.errno, told, str(target)) from error
        raise
    finally:
        if made is not None:
            made.stay()


def _kept(folder: Stage, unfinished: Unfinished | None, error: BaseException) -> Made:
    """Keep what was written for another to go on with, if that is of use; say how much it is."""
    if unfinished is None or isinstance(error, OmeZarrError) or not folder.root.exists():
        return NOTHING
    much = _made_in(folder.root)
    try:
        if much:
            folder.keep()
    except OSError:
        return NOTHING
    return much


READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
"""What systems say where nothing may be written."""


def _not_writable(error: OSError, target: Path) -> OSError:
    """Say that nothing can be written at a place: names of hidden folders, and of locks, say nothing to anybody."""
    told = f"{error.strerror}; nothing can be written there, give another path"
    return OSError(error.errno, told, str(target))


def begin_anew(
    root: StoreArgument,
    zarr_format: int,
    storage_options: Mapping[str, Any] | None,
    attributes: Mapping[str, Any] | None,
) -> None:
    """Make a marked group beside what is there; of an empty group the mark keeps the attributes, None where is none."""
    target = resolve(root)
    place, path = (
        (zarr.storage.LocalStore(target), "") if isinstance(target, Path) else _elsewhere(target, storage_options)
    )
    direct.put_group(place, path, zarr_format, _mark() if attributes is None else withhold(attributes))


def check_free(
    store: StoreArgument, *, mode: str, storage_options: Mapping[str, Any] | None = None, resume: bool = False
) -> None:
    """Refuse to write where that would destroy something.

    With `resume` what is there may be an image, whole or not.

    Raises
    ------
    StoreExistsError
        If something is there and `mode` is ``"w-"``; if it is no Zarr store, or a file system is mounted in it, and
        `mode` is ``"w"``; if it is inside an array.
    OmeZarrError
        If `mode` is neither; if a path is that of a zip file, and a folder would be made there.
    ArchiveError
        If it is in a single file, or is one that is not on this machine.
    """
    if mode not in ("w-", "w"):
        into = (
            "; to write into an image that is there, leave mode out, and say where: append_dim='t' makes it longer, "
            "region='auto' changes a part of it"
        )
        raise OmeZarrError(
            f'mode {mode!r} is not known; give mode="w-" to create a store or mode="w" to replace one'
            + (into if mode in ADDING else "")
        )
    target = resolve(store)
    _check_options(target, storage_options)
    check_not_read_only(store)
    _check_not_inside(target)
    check_no_file_name(store)
    if isinstance(target, Path) and target.suffix.lower() == archive.SUFFIX and target.is_dir():
        raise StoreExistsError(
            f"{_shown(store)} is a folder, and called like a single file; rename it, or give another path"
        )
    if isinstance(target, Path):
        blocking = next((parent for parent in target.parents if parent.exists()), None)
        if blocking is not None and not blocking.is_dir():
            raise StoreExistsError(f"{blocking} is no folder, so that {target} cannot be made; give another path")
        _recovered(target)
        _check_no_zip_file(target)
        if target.is_symlink():
            try:
                target.resolve(strict=True)
            except FileNotFoundError:  # where the store is to be
                pass
            except (OSError, RuntimeError) as error:
                raise StoreExistsError(f"{target} cannot be followed ({error}); give another path") from None
        if os.path.ismount(target.resolve()):
            raise StoreExistsError(
                f"{target} is where a file system is mounted, which no store can replace; give a path inside it: "
                f"{str(target / 'image.ome.zarr')!r}"
            )
    if (array := _array_around(target)) is not None:
        raise StoreExistsError(
            f"{_shown(store)} is inside the array {str(array)!r}, which holds nothing but its chunks; give another path"
        )
    if not exists(store, storage_options=storage_options):
        return
    if mode == "w-":
        begun = _begun(target, storage_options)
        if resume and not (begun and isinstance(target, Path)):
            return
        if begun:
            raise StoreExistsError(
                f"{_shown(store)} is an unfinished write, {begun}; finish it with resume=True, or give "
                'mode="w" to write it again'
            )
        raise StoreExistsError(f'{_shown(store)} exists already; give another path, or mode="w" to replace it')
    if isinstance(target, Path) and _is_array(target) and _is_zarr(target.parent):
        raise StoreExistsError(
            f"{_shown(store)} is an array of the store {str(target.parent)!r}, which would break without it; "
            "give another path, or replace the whole store"
        )
    if isinstance(target, Path) and (mounted := _mounted_in(target)) is not None:
        raise StoreExistsError(
            f"{_shown(store)} holds {str(mounted)!r}, where a file system is mounted, which would be emptied; "
            f"give another path, or take it away first: umount {str(mounted)!r}"
        )
    if _in_the_way(target, storage_options):
        raise StoreExistsError(
            f"{_shown(store)} holds something that is not a Zarr store, and is not replaced; give another path"
        )


def _check_not_inside(target: StoreLike) -> None:
    """Refuse to write into a zip file, and a single file elsewhere than on this machine, or into another store.

    Raises
    ------
    ArchiveError
        If that is what a place is.
    """
    inside = archive.named(target) or (archive.leads_into(target) if isinstance(target, Path) else None)
    if inside is None:
        return
    if inside.path:
        check_changeable(inside.file)
    if isinstance(target, Path) and (around := next(filter(_is_zarr, target.parents), None)) is not None:
        raise ArchiveError(
            f"{str(target)!r} lies in the store {str(around)!r}, and no single file is a part of another store; "
            "write it beside that"
        )
    if isinstance(target, str):
        raise ArchiveError(
            f"{target!r} is a single file, and is made on this machine before it can be there; write it to a path, "
            f'such as "cells{archive.SUFFIX}", and upload that: fsspec.filesystem(…).put("cells{archive.SUFFIX}", …)'
        )


def check_changeable(store: StoreArgument) -> None:
    """Refuse to change a store in place that is a zip file, or lies in one.

    Raises
    ------
    ArchiveError
        If it is or does.
    """
    target = resolve(store)
    inside = archive.named(target) or archive.leads_into(target)
    if inside is not None:
        file = str(inside.file)
        copied = f"xr.open_datatree({file!r}, engine='omezarr').omezarr.to_zarr('copy.ome.zarr')"
        if isinstance(inside.file, Path) and not inside.file.exists():
            copied = f"xr.open_datatree('folder.ome.zarr', engine='omezarr').omezarr.to_zarr({file!r})"
        raise ArchiveError(
            f"{file!r} is a single file, which is written as a whole: nothing is added to it, taken from it or changed "
            f"in it; write a folder, change that, and write the file of it: {copied}"
        )


def _in_the_way(target: StoreLike, storage_options: Mapping[str, Any] | None) -> bool:
    """Whether something is there that is no Zarr store."""
    if not isinstance(target, Path):
        return not _is_zarr_elsewhere(target, storage_options)
    from xomezarr import stage

    return stage.in_the_way(target, _is_zarr if archive.named(target) is None else archive.is_whole)


ADDING = ("a", "a-", "r+")
"""Modes of xarray and zarr that add to what is there."""


def check_no_file_name(store: StoreArgument) -> None:
    """Refuse to make a folder that is called as image files are; one that is there is as good as any.

    Raises
    ------
    OmeZarrError
        If that would be made.
    """
    target = resolve(store)
    if not isinstance(target, str | Path) or (isinstance(target, Path) and target.is_dir()):
        return
    if (kind := kind_of_file(str(target))) is not None:
        called = str(store) if isinstance(store, str | os.PathLike) else str(target)
        raise OmeZarrError.mended(
            f"{called!r} is the name of a file, {kind}, and OME-Zarr is a folder",
            python=f"call it {own_store(called)!r}, or, of those that are written, PNG and TIFF, write the file: "
            "xomezarr.export(image, path)",
            command=f"call it {shlex.quote(own_store(called))}, or, of those that are written, PNG and TIFF, write the "
            f"file: xomezarr export SRC {shlex.quote(called)}",
        )


def _check_no_zip_file(target: Path) -> None:
    """Refuse to make a folder that is called as zip files are; one that is there is as good as any.

    Raises
    ------
    OmeZarrError
        If that would be made, at the place or above it.
    """
    for place in (target, *target.parents):
        if place.suffix.lower() == ZIP and not place.exists():
            raise OmeZarrError(
                f"{str(place)!r} is called as zip files are, and would be a folder; give another path, or a zip file "
                f"that is opened for writing: zarr.storage.ZipStore({str(place)!r}, mode='w')"
            )


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


def warn_of_others(
    store: StoreArgument,
    storage_options: Mapping[str, Any] | None = None,
    *,
    but: Collection[str] = (),
    like: str | None = None,
) -> None:
    """Say what goes with what is replaced.

    Parameters
    ----------
    store, storage_options
        As in `open_group`.
    but
        Names of labels in whose place there are new ones; all other labels, and other images, go.
    like
        The kind of what is written, by the key of the specification: nothing is said of one that it replaces.
    """
    names: list[str] = []
    told: list[str] = []
    with suppress(Exception):  # what cannot be read may be replaced
        group = open_group(store, storage_options=storage_options)
        attrs = group.attrs.asdict()
        parts: tuple[str, ...] = ()
        with suppress(*UNREADABLE_MEMBER):
            parts = _parts(group, attrs)
        # plates, scenes and most collections name what they hold, so that what else is there is known
        if (like in spec.kinds(attrs) and not parts) or (begun(attrs) and withheld(attrs) is None):
            return
        names = [name for name in label_names(labels_of(group)) if name not in but]
        told = [f"is {what}" for kind, what in COLLECTIONS.items() if kind in spec.kinds(attrs) and kind != like]
        if others := [path for path in _other_images(group) if path not in parts]:
            more = ", …" if len(others) > SHOWN else ""
            told.append(f"holds other images ({', '.join(others[:SHOWN])}{more})")
    if names:
        told.append(f"has labels ({', '.join(names)})")
    if told:
        warn(
            f"{_shown(store)} {' and '.join(told)}, which are replaced by what is written; "
            f"write to another path to keep them{', or give the labels too' if names else ''}",
            OtherImagesWarning,
        )


COLLECTIONS = {
    "plate": "a plate with its wells",
    "well": "a well with its fields",
    "bioformats2raw.layout": "a collection with its images",
    "scene": "a scene with its images",
}
"""Groups that stand for more than an image, by the key of the specification."""


def _parts(group: zarr.Group, attrs: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the paths of what belongs to a group, as it names it: images of a scene or a collection, wells of a plate.

    Fields of transformations are such too. None are named by a collection without a list.
    """
    if spec.is_image(attrs):
        return spec.stored_paths(spec.parse(attrs).multiscale)
    if "plate" in spec.kinds(attrs):
        return ("OME", *(well.path for well in spec.parse_plate(attrs).wells))
    if "bioformats2raw.layout" in spec.kinds(attrs):
        listing = find_member(group, "OME")
        named = () if listing is None else spec.parse_series(listing.attrs.asdict())
        return ("OME", *named) if named else ()
    if "scene" not in spec.kinds(attrs):
        return ()
    scene = spec.parse_scene(attrs)
    return (*scene.paths, *spec.scene_paths(scene))


SEARCHED, SHOWN = 100, 5
"""Groups that are opened in search of other images at most, and names of these that are told."""


def _other_images(group: zarr.Group) -> list[str]:
    """Return the paths of groups below a group that have OME metadata, but for its labels; of many, not all."""
    found: list[str] = []
    searched, queue = 0, [""]
    while queue and searched < SEARCHED:
        above = queue.pop(0)
        names = [name for name in names_in(group, above) if not name.startswith(".") and name not in ALL_DOCUMENTS]
        for path in sorted(f"{above}/{name}".strip("/") for name in names):
            searched += 1
            attrs = None if path == "labels" else _attributes_of_group(group, path)
            if attrs is not None and spec.is_ome(attrs):
                found.append(path)
            elif attrs is not None:
                queue.append(path)
    return found


def _attributes_of_group(group: zarr.Group, path: str) -> Mapping[str, Any] | None:
    """Return the attributes of a group of any format below a group; none of a mere folder; None for an array."""
    store, place = group.store, member_path(group, path)
    if isinstance(store, zarr.storage.LocalStore):
        if not (store.root / place).is_dir() or _is_array(store.root / place):
            return None
        if (opened := direct.opened_group(store.root, place)) is not None:
            return opened.attrs.asdict()
    try:
        found = zarr.open(store, path=place, mode=read_mode(store), use_consolidated=False)
    except (zarr.errors.BaseZarrError, FileNotFoundError):
        return {}
    return found.attrs.asdict() if isinstance(found, zarr.Group) else None


def is_begun(group: zarr.Group) -> bool:
    """Whether the writing of a group was begun and has not ended: it bears the mark, and no OME metadata yet."""
    return bool(begun(group.attrs.asdict()))


def check_complete(group: zarr.Group) -> None:
    """Refuse a group whose writing was begun and has not ended: that bears the mark, and no OME metadata yet.

    Raises
    ------
    IncompleteStoreError
        If it is such a group.
    """
    if since := begun(group.attrs.asdict()):
        advice = 'write it again with mode="w"' if group.store.supports_deletes else "write it again to a new file"
        with suppress(*UNREADABLE_MEMBER):
            if much := journal.made(group):
                advice = f"{much}; finish it with resume=True, or {advice}"
        raise IncompleteStoreError(
            f"{str(group.store_path)!r} is incomplete: its writing, {since}, was interrupted, or is still under way; "
            f"{advice}"
        )


def _mark() -> dict[str, Any]:
    """Return the attributes of a group that is being written."""
    from xomezarr import stage

    since = datetime.now(UTC).isoformat(timespec="seconds")
    return {spec.SIDECAR: {INCOMPLETE: {"since": since, "version": installed_version(), "by": stage.token()}}}


def withhold(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a group that is in the making again, in which those that it had are kept."""
    mark = _mark()
    return {spec.SIDECAR: {**mark[spec.SIDECAR], WITHHELD: dict(attrs)}}


def withheld(attrs: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the attributes that a group had which is in the making again; None for any other group."""
    kept = attrs.get(spec.SIDECAR)
    return kept.get(WITHHELD) if isinstance(kept, Mapping) and not spec.is_ome(attrs) else None


def unmarked(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a group without the mark."""
    kept = attrs.get(spec.SIDECAR)
    if not isinstance(kept, Mapping) or INCOMPLETE not in kept:
        return dict(attrs)
    left = {key: value for key, value in kept.items() if key not in (INCOMPLETE, WITHHELD)}
    others = {key: value for key, value in attrs.items() if key != spec.SIDECAR}
    return others | ({spec.SIDECAR: left} if left else {})


def begun(attrs: Mapping[str, Any]) -> str:
    """Say when and by what the writing was begun of which the attributes bear the mark; empty if they do not."""
    kept = attrs.get(spec.SIDECAR)
    if not isinstance(kept, Mapping) or INCOMPLETE not in kept or spec.is_ome(attrs):
        return ""
    mark = kept[INCOMPLETE] if isinstance(kept[INCOMPLETE], Mapping) else {}
    return f"begun at {mark.get('since', '?')} by xomezarr {mark.get('version', '?')}"


def _begun(target: StoreLike, storage_options: Mapping[str, Any] | None) -> str:
    """Say of a store what `begun` says of its attributes; empty if there is no group, or none that can be read."""
    try:
        return begun(_open(target, storage_options).attrs.asdict())
    except UNREADABLE:
        return ""


def _begin(target: StoreLike, zarr_format: int, mode: str, storage_options: Mapping[str, Any] | None) -> zarr.Group:
    """Make a marked group in place, with nothing in it.

    In a zip file, whose entries cannot be replaced, the mark costs nothing: the attributes that follow are a second
    entry of their name with or without it.
    """
    old = _emptied(target, storage_options) if mode == "w" else None
    if old is None:
        return _created(target, zarr_format, overwrite=mode == "w", storage_options=storage_options)
    if old.metadata.zarr_format == zarr_format:
        return old
    group = _created(zarr.storage.StorePath(old.store, old.path), zarr_format)
    _delete(old, DOCUMENTS[old.metadata.zarr_format])
    return group


def _created(
    target: StoreLike,
    zarr_format: int,
    *,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> zarr.Group:
    """Make a marked group."""
    made = zarr.api.asynchronous.create_group(
        store=opened_store(target, storage_options, read_only=False),
        zarr_format=zarr_format,  # type: ignore[arg-type]
        overwrite=overwrite,
        attributes=_mark(),
    )
    return zarr.Group(wait(made))


def _emptied(target: StoreLike, storage_options: Mapping[str, Any] | None) -> zarr.Group | None:
    """Delete all that lies in an old group but the documents of its metadata; None if there is none.

    The mark takes the place of its attributes before: whatever remains of the old image when the process is killed is
    no image any more. Where nothing may be deleted, all is as it was.
    """
    try:
        group = writable_group(target, storage_options)
    except (ValueError, FileNotFoundError):  # an array, or nothing
        return None
    if not group.store.supports_deletes:
        raise StoreExistsError(
            f"nothing in {str(group.store_path)!r} can be replaced; give a new file, or another path"
        )
    store, documents = group.store, DOCUMENTS[group.metadata.zarr_format]
    places = [member_path(group, name) for name in documents]
    before = {place: wait(store.get(place, zarr.core.buffer.default_buffer_prototype())) for place in places}
    names = [name for name in names_in(group) if name not in documents]
    first = _an_object(group, names)
    direct.put_attributes(group, _mark())
    if first is not None:
        try:  # at once or not at all, unlike what lies below a name
            wait(store.delete(member_path(group, first)))
        except BaseException:
            is_gone = False
            with suppress(Exception):
                is_gone = not _is_there(group, first)
            if not is_gone:
                for place, document in before.items():
                    if document is not None:
                        wait(store.set(place, document))
            raise
    _delete(group, names)
    return group


def _an_object(group: zarr.Group, names: Iterable[str], path: str = "") -> str | None:
    """Return the path of one of the objects under some names in a group, or below it at a path; None if there is none.

    What has something below it is none, though file systems with folders say that it exists.
    """
    for name in sorted(names, key=lambda name: (name not in ALL_DOCUMENTS, name)):
        place = f"{path}/{name}".strip("/")
        below: list[str] = []
        with suppress(OSError):  # it is an object, where there are folders
            below = [] if name in ALL_DOCUMENTS else [other for other in names_in(group, place) if "/" not in other]
        found = _an_object(group, below, place) if below else place
        if found is not None and (below or _is_there(group, found)):
            return found
    return None


def _is_there(group: zarr.Group, name: str) -> bool:
    """Whether an object lies in a group."""
    return wait(group.store.exists(member_path(group, name)))


def names_in(group: zarr.Group, path: str = "") -> list[str]:
    """Return the names of all that lies in a group, or below it at a path."""
    return names_below(group.store, member_path(group, path).rstrip("/"))


def _delete(group: zarr.Group, names: Iterable[str]) -> None:
    """Delete what lies in a group: objects, and all below a name."""
    for name in names:
        with suppress(ValueError):  # a local file
            wait(group.store.delete_dir(member_path(group, name)))
        if name not in ALL_DOCUMENTS and direct.takes_zarr_alone(group.store):
            continue
        try:
            wait(group.store.delete(member_path(group, name)))
        except Exception:
            if _is_there(group, name):  # else an empty folder is, which obstore leaves and is no object
                raise


def delete_documents(group: zarr.Group, path: str) -> None:
    """Delete the metadata of a group below another, which is none then; what lies in it stays."""
    for name in DOCUMENTS[group.metadata.zarr_format]:
        wait(group.store.delete(member_path(group, f"{path}/{name}")))


def _open_recovered(target: StoreLike, storage_options: Mapping[str, Any] | None, group: str | None) -> zarr.Group:
    """Open a group for reading, once more if a killed writer has left its store to be put in place."""
    try:
        return _open(target, storage_options, group)
    except (zarr.errors.GroupNotFoundError, FileNotFoundError):
        if not isinstance(target, Path) or not _recovered(target):
            raise
    return _open(target, storage_options, group)


def _recovered(path: Path) -> bool:
    """Whether something is at a path; a store there, or above it, whose replacing was cut off is put in place."""
    path = path.resolve()
    if path.exists():
        return True
    from xomezarr import stage  # it derives a class from one of zarr's, which is loaded late

    missing = next((place for place in [*reversed(path.parents), path] if not place.exists()), None)
    # none is missing where another reader has come first
    return missing is None or (stage.recover(missing) and path.exists())


def unfinished_beside(store: StoreArgument) -> str:
    """Say which unfinished writes of a store lie beside it, and how much is made; empty where there are none."""
    from xomezarr import stage

    target = resolve(store)
    return stage.unfinished(target.resolve(), lambda folder: str(_made_in(folder))) if isinstance(target, Path) else ""


def tidy_beside(store: StoreArgument) -> None:
    """Remove what killed writers of a store that is whole have left beside it, and what could not be gone on with."""
    from xomezarr import stage

    target = resolve(store)
    if isinstance(target, Path):
        place = target.resolve()
        stage.sweep(place, but=lambda folder: bool(_made_in(folder)))


def _open(target: StoreLike, storage_options: Mapping[str, Any] | None, group: str | None = None) -> zarr.Group:
    """Open a group for reading, of whichever Zarr format.

    Consolidated metadata are not asked: other tools that add a label or a level leave them stale, and the OME
    metadata name every array, so that they save no listing.
    """
    if (inside := archive.leads_into(target)) is not None:
        found = zarr.open_group(archive.opened(target, storage_options), mode="r", path=group, use_consolidated=False)
        archive.check_format(found, inside.file)
        return found
    if isinstance(target, Path) and (opened := direct.opened_group(target, group)) is not None:
        return opened
    if isinstance(target, Path):  # zarr says what is wrong
        return zarr.open_group(archive.opened(target), mode="r", path=group, use_consolidated=False)
    place, mode = opened_store(target, storage_options, read_only=True), read_mode(target)
    try:
        return zarr.open_group(place, mode=mode, path=group, use_consolidated=False)
    except (zarr.errors.GroupNotFoundError, FileNotFoundError):
        if (refusal := _refusal(place, group or "")) is not None:
            raise refusal from None
        raise


def _refusal(place: StoreLike, path: str) -> StoreAccessError | None:
    """Return what a server has said of documents below a place that it does not let be read; None if nothing."""
    if isinstance(place, str | Path):
        return None
    from xomezarr import remote

    whole = place.path if isinstance(place, zarr.storage.StorePath) else ""
    return remote.refusal(_store(place), f"{whole}/{path}")


def erase(place: StoreArgument, storage_options: Mapping[str, Any] | None = None) -> None:
    """Delete all that is at a place which is no local folder. What is left of a group meanwhile bears the mark.

    Where nothing may be deleted, all is as it was.
    """
    target = resolve(place)
    _emptied(target, storage_options)
    store, path = _elsewhere(target, storage_options)
    wait(store.delete_dir(path))


@contextmanager
def alone(target: StoreLike, *, make: bool = False, pixels: StoreArgument | None = None) -> Iterator[None]:
    """Keep other processes from changing what a group lists meanwhile, where that is possible: in a local folder.

    Groups around it are kept too: whoever replaces one of them, or deletes it, waits.

    Parameters
    ----------
    target
        Of the group.
    make
        Whether its folder is made if there is none.
    pixels
        An image in the group, or the group itself, whose pixels nobody may change meanwhile either; it need not be
        there yet.

    Raises
    ------
    StoreNotFoundError
        If there is no folder.
    """
    if not isinstance(target, Path):
        yield
        return
    image = None if pixels is None else resolve(pixels)
    with _locks([image] if isinstance(image, Path) else [], lists=target, make=make):
        yield


@contextmanager
def changing(target: StoreLike, *, wholly: bool, labels: Sequence[Path] = ()) -> Iterator[None]:
    """Keep other processes from changing the same pixels meanwhile, where that is possible: in a local folder.

    So are those who would replace the image, or a group around it.

    Parameters
    ----------
    target
        Of the image.
    wholly
        Whether nobody else may change any pixel of it; else those may who do the same, in other chunks.
    labels
        The folders of its labels that are changed too, which others may do by their own path.

    Raises
    ------
    StoreNotFoundError
        If there is no folder.
    """
    if not isinstance(target, Path):
        yield
        return
    with _locks([target, *labels], shared=not wholly, needed=True):
        yield


@contextmanager
def _locks(
    pixels: Iterable[Path],
    *,
    shared: bool = False,
    lists: Path | None = None,
    make: bool = False,
    needed: bool = False,
    replaces: bool = False,
) -> Iterator[None]:
    """Take all locks that something needs, in the one order in which all take them, so that nobody waits for ever.

    First those of pixels, then those of what groups list; each time a group before what is in it.

    Parameters
    ----------
    pixels
        Groups whose pixels nobody else may change. What comes to one of their places while locks are waited for is
        locked too. Those of groups around them are shared.
    shared
        Whether others may change them who share them.
    lists
        The folder of a group; groups around it are locked too.
    make
        Whether it is made if there is none.
    needed
        Whether those with pixels have to be there, and to be this user's.
    replaces
        Whether `lists` is replaced: it may not be there, or be another user's.

    Raises
    ------
    StoreNotFoundError
        If one that has to be there is not.
    """
    from xomezarr import stage

    pixels = [path.resolve() for path in pixels]
    lists = None if lists is None else lists.resolve()
    places = [*pixels, *([] if lists is None else [lists])]
    while True:
        around = {path: groups_around(path) for path in places}
        own = {path: stage.identity(path) for path in pixels if needed or _is_zarr(path)}
        asked = {group: True for path in pixels for group in around[path]} | dict.fromkeys(own, shared)
        with waiting(), ExitStack() as held:
            for path in sorted(asked):
                lock = stage.locked(path, name=stage.PIXELS, shared=asked[path])
                _enter(held, lock, path, needed=needed and path in own)
            for path in [] if lists is None else around[lists]:
                _enter(held, stage.locked(path), path)
            if lists is not None and (lists in own or not replaces):
                _enter(held, stage.locked(lists, make=make), lists, needed=not replaces)
            same = all(stage.identity(path) in (own.get(path), None) or not _is_zarr(path) for path in pixels)
            if same and around == {path: groups_around(path) for path in places}:
                yield
                return


def groups_around(target: Path) -> list[Path]:
    """Return the groups around a folder, the outermost first; folders in between need be none."""
    return [folder for folder in target.parents if _is_zarr(folder)][::-1]


def _enter(held: ExitStack, lock: AbstractContextManager[None], target: Path, *, needed: bool = False) -> None:
    """Take a lock of a group, which may be gone, or another user's, if it is not `needed`."""
    try:
        held.enter_context(lock)
    except StoreNotFoundError:  # which says more
        raise
    except FileNotFoundError:
        if needed:
            raise _gone(target) from None
    except OSError as error:
        if error.errno in FULL:
            told = f"{error.strerror}: nothing is changed there; make room, and try again"
            raise OSError(error.errno, told, str(target)) from None
        if error.errno not in READ_ONLY:
            raise
        if needed:
            raise _not_writable(error, target) from None


def _gone(target: Path) -> StoreNotFoundError:
    return StoreNotFoundError(f"{str(target)!r} is gone; another process has removed it")


def check_not_read_only(store: StoreArgument) -> None:
    """Make sure that a store of zarr's, where one is given, can be written to.

    Raises
    ------
    StoreExistsError
        If it cannot.
    """
    target = resolve(store)
    if not isinstance(target, str | Path) and getattr(_store(target), "read_only", False):
        raise StoreExistsError(f"{_shown(store)} is opened for reading only; open it for writing, or give another path")


def read_mode(store: StoreLike) -> Literal["r", "r+"]:
    """Return the mode in which zarr reads a store: a zip file that is being written has no read-only view."""
    store = store.store if isinstance(store, zarr.storage.StorePath) else store
    if isinstance(store, zarr.abc.store.Store) and not store.read_only:
        try:
            store.with_read_only(read_only=True)
        except NotImplementedError:
            return "r+"
    return "r"


def _shown(store: StoreArgument, group: str | None = None) -> str:
    """Return the store as the messages show it."""
    named = isinstance(store, (str, os.PathLike, zarr.storage.StorePath))
    place = str(store) if named else f"<{type(store).__name__}>"
    return f"{place!r}" if not group else f"{place!r}, group {group!r}"


def _check_options(target: StoreLike, storage_options: Mapping[str, Any] | None) -> None:
    """Refuse options that nobody would look at, and URLs of a kind that fsspec does not know."""
    if isinstance(target, str):
        with suppress(ImportError):  # what is to be installed is told by who opens it
            from fsspec import available_protocols

            unknown = {*target.partition("://")[0].split("::")} - {*available_protocols()}
            if unknown:
                raise OmeZarrError(
                    f"{target!r} begins with {', '.join(map(repr, sorted(unknown)))}, which fsspec does not know; give "
                    "a path, or a URL such as s3://… or https://…"
                )
    if storage_options is None:
        return
    if not isinstance(storage_options, Mapping):
        raise OmeZarrError(
            f'storage_options is {storage_options!r}; give a dict, such as storage_options={{"anon": True}}'
        )
    # zarr itself keeps what is at memory:// and takes no options for it
    if storage_options and (not isinstance(target, str) or target.startswith("memory:")):
        raise OmeZarrError(
            f"storage_options are for URLs of other machines, and {str(target)!r} is none; leave them out, or give a "
            "URL such as s3://…"
        )


def _is_array(path: Path) -> bool:
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


def _opens(target: StoreLike, storage_options: Mapping[str, Any] | None) -> bool:
    """Whether a store that is no local folder is a Zarr hierarchy."""
    try:
        _open(target, storage_options)
    except (zarr.errors.ContainsArrayError, zarr.errors.NodeTypeValidationError):
        return True
    except (zarr.errors.GroupNotFoundError, FileNotFoundError):
        return False
    return True


def _is_zarr_elsewhere(target: StoreLike, storage_options: Mapping[str, Any] | None) -> bool:
    """Whether a place that is no local folder holds a group or an array, or what is left of one: metadata alone."""
    if _opens(target, storage_options):
        return True
    place, path = _elsewhere(target, storage_options, read_only=True)

    return ALL_DOCUMENTS.issuperset(names_below(place, path))


def _array_around(target: StoreLike) -> StoreLike | None:
    """Return the array that a place is inside of; None if there is none, and for URLs, of which all would be asked."""
    if isinstance(target, Path):
        return next(filter(_is_array, target.resolve().parents), None)
    if isinstance(target, zarr.storage.StorePath):
        for parent in [*parents(target.path), ""] if target.path else []:
            place = zarr.storage.StorePath(target.store, parent)
            with suppress(zarr.errors.BaseZarrError, FileNotFoundError):
                zarr.open_array(place, mode=read_mode(place))
                return place
    return None


MOUNTS = Path("/proc/self/mountinfo")
"""Where Linux tells what is mounted: on each line, as the fifth word, with spaces and the like as octal numbers."""


def _mounted_in(folder: Path) -> Path | None:
    """Return a place in a folder where a file system is mounted, or a single file; None where that is not told."""
    try:
        lines = MOUNTS.read_bytes().splitlines()
    except OSError:
        return None
    folder = folder.resolve()
    places = (re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), line.split()[4]) for line in lines)
    return next((found for place in places if folder in (found := Path(os.fsdecode(place))).parents), None)


def _may_go(path: Path) -> bool:
    """Whether ``mode="w"`` may replace what is at a path: a Zarr store, or an empty folder."""
    return not path.is_symlink() and (_is_zarr(path) or (path.is_dir() and not held_in(path)))


def _is_zarr(path: Path) -> bool:
    """Whether a folder is the root of a Zarr hierarchy."""
    return path.is_dir() and any((path / name).is_file() for name in (*ALL_DOCUMENTS, ".zarray"))
