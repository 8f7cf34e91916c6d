"""Whether two places are one, or one of them lies in the other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xomezarr import archive
from xomezarr.errors import (
    StoreExistsError,
)
from xomezarr.lazy import zarr
from xomezarr.store.opening import exists
from xomezarr.store.places import StoreArgument, elsewhere, resolve, shown, whole_store

if TYPE_CHECKING:
    from zarr.storage import StoreLike

__all__ = [
    "address",
    "apart",
    "check_apart",
    "overlap",
]


REMOTE = frozenset({"memory", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl"})
"""File systems of fsspec that hold no file of this machine's."""


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
            f"{shown(store)} and {shown(origin)} are one, or lie in each other, or nothing tells that they do not; "
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
    (one, path), (other, other_path) = elsewhere(target, storage_options), elsewhere(read, None)
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
    whole = target if isinstance(target, Path) else _asked(whole_store(target))
    if isinstance(whole, zarr.storage.FsspecStore):
        return _is_remote(whole)
    return type(whole) in (zarr.storage.MemoryStore, zarr.storage.ZipStore)


def _is_remote(store: zarr.storage.FsspecStore) -> bool:
    """Whether a file system of fsspec certainly has no file of this machine's."""
    named = getattr(store.fs, "sync_fs", store.fs).protocol
    return {named} <= REMOTE if isinstance(named, str) else {*named} <= REMOTE
