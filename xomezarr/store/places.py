"""What a store is: a path, a URL that fsspec knows, or a store object of zarr or obstore."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xomezarr import archive
from xomezarr.errors import (
    OmeZarrError,
    StoreExistsError,
)
from xomezarr.lazy import zarr

if TYPE_CHECKING:
    from zarr.storage import StoreLike

__all__ = [
    "SUFFIXES",
    "StoreArgument",
    "below",
    "check_not_read_only",
    "check_options",
    "default_name",
    "elsewhere",
    "is_local",
    "is_single_file",
    "opened_store",
    "parents",
    "read_mode",
    "resolve",
    "shown",
    "whole_store",
]


type StoreArgument = Any
"""A path, a URL, or a store object of zarr or obstore."""

SUFFIXES = (".ome.zarr", ".zarr", archive.SUFFIX)
"""How the names of OME-Zarr stores end, the longest first."""


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
        else zarr.storage.StorePath(whole_store(target), path)
    )


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


def elsewhere(
    target: StoreLike, storage_options: Mapping[str, Any] | None, *, read_only: bool = False
) -> tuple[zarr.abc.store.Store, str]:
    """Return the store in which a place is that is no local folder, and the place's path in it."""
    if isinstance(target, str):
        if target.startswith("memory:"):
            return zarr.storage.FsspecStore.from_url(target, read_only=read_only), ""
        return whole_store(opened_store(target, storage_options, read_only=read_only)), ""
    return whole_store(target), target.path if isinstance(target, zarr.storage.StorePath) else ""


def whole_store(target: StoreLike) -> zarr.abc.store.Store:
    """Return the store itself, of one or of a place in one."""
    found = target.store if isinstance(target, zarr.storage.StorePath) else target
    assert isinstance(found, zarr.abc.store.Store)
    return found


def check_not_read_only(store: StoreArgument) -> None:
    """Make sure that a store of zarr's, where one is given, can be written to.

    Raises
    ------
    StoreExistsError
        If it cannot.
    """
    target = resolve(store)
    if not isinstance(target, str | Path) and getattr(whole_store(target), "read_only", False):
        raise StoreExistsError(f"{shown(store)} is opened for reading only; open it for writing, or give another path")


def read_mode(store: StoreLike) -> Literal["r", "r+"]:
    """Return the mode in which zarr reads a store: a zip file that is being written has no read-only view."""
    store = store.store if isinstance(store, zarr.storage.StorePath) else store
    if isinstance(store, zarr.abc.store.Store) and not store.read_only:
        try:
            store.with_read_only(read_only=True)
        except NotImplementedError:
            return "r+"
    return "r"


def shown(store: StoreArgument, group: str | None = None) -> str:
    """Return the store as the messages show it."""
    named = isinstance(store, (str, os.PathLike, zarr.storage.StorePath))
    place = str(store) if named else f"<{type(store).__name__}>"
    return f"{place!r}" if not group else f"{place!r}, group {group!r}"


def check_options(target: StoreLike, storage_options: Mapping[str, Any] | None) -> None:
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
