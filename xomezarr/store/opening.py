"""Open groups, put in place what killed writers have left, and say what is wrong where there is none."""

from __future__ import annotations

import difflib
import itertools
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xomezarr import archive, direct, journal
from xomezarr.direct import names_below, wait
from xomezarr.errors import (
    UNREADABLE,
    UNREADABLE_MEMBER,
    ArchiveError,
    MetadataError,
    MissingDependencyError,
    NotOmeZarrError,
    StoreAccessError,
    StoreNotFoundError,
)
from xomezarr.journal import NOTHING, Made
from xomezarr.lazy import zarr
from xomezarr.store.marks import begun
from xomezarr.store.nodes import ALL_DOCUMENTS, LEFT_OVER, held_in
from xomezarr.store.places import (
    StoreArgument,
    check_options,
    default_name,
    elsewhere,
    is_local,
    opened_store,
    parents,
    read_mode,
    resolve,
    shown,
    whole_store,
)
from xomezarr.suffixes import how_to_convert, kind_of_file

if TYPE_CHECKING:
    from zarr.storage import StoreLike

__all__ = [
    "begun_at",
    "exists",
    "groups_above",
    "is_bare",
    "made_in",
    "not_a_store",
    "open_group",
    "opens",
    "recovered",
    "refusal_of",
    "tidy_beside",
    "unfinished_beside",
    "writable_group",
]


def exists(store: StoreArgument, *, storage_options: Mapping[str, Any] | None = None) -> bool:
    """Whether anything at all is at that place: a folder that is not empty, a file or a device, or objects."""
    target = resolve(store)
    if isinstance(target, Path):
        return bool(held_in(target)) if target.is_dir() else target.exists()
    if opens(target, storage_options):
        return True
    place, path = elsewhere(target, storage_options, read_only=True)
    return not wait(place.is_empty(path))


def is_bare(store: StoreArgument, storage_options: Mapping[str, Any] | None = None) -> bool:
    """Whether at a place there is nothing, but for the metadata of a group, and for what helps to write them."""
    target = resolve(store)
    if isinstance(target, Path):
        if not target.is_dir():
            return not target.exists()
        names = [path.name for path in held_in(target)]
    else:
        place, path = elsewhere(target, storage_options, read_only=True)
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
    check_options(target, storage_options)
    try:
        return _open_recovered(target, storage_options, group)
    except (StoreNotFoundError, ArchiveError):  # it says what could not be recovered, or read
        raise
    except (zarr.errors.ContainsArrayError, zarr.errors.NodeTypeValidationError):
        raise NotOmeZarrError(
            f"{shown(store, group)} is a single Zarr array, not an OME-Zarr image; "
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
                f"{shown(store, group)} is not a Zarr group; give the folder that holds zarr.json or .zgroup"
            ) from None
        raise _nothing_at(store, group, target) from None
    except json.JSONDecodeError as error:
        raise MetadataError(
            f"the metadata of {shown(store, group)} are not JSON ({error}); "
            "mend .zattrs, .zgroup or zarr.json, or copy the store again"
        ) from None
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        if not isinstance(target, Path):  # a URL or a store that cannot be opened
            raise
        raise MetadataError(
            f"{shown(store, group)} cannot be opened: {error}; check the path, "
            "mend .zattrs, .zgroup or zarr.json, or copy the store again"
        ) from error
    except ImportError as error:
        raise MissingDependencyError(
            f"{shown(store, group)} cannot be opened: {error}; install the remote back ends: "
            'pip install "xomezarr[remote]"'
        ) from error


def groups_above(whole: str, storage_options: Mapping[str, Any] | None = None) -> Iterator[tuple[str, str, zarr.Group]]:
    """Yield the Zarr groups above an address, the nearest first: address, path from there, group."""
    for above in parents(whole):
        try:
            group = open_group(above, storage_options=storage_options)
        except Exception as error:  # each kind of server refuses in its own way what lies above a public store
            if isinstance(error, MetadataError) and is_local(above):
                raise
            return
        yield above, whole[len(above) + 1 :], group


def not_a_store(file: StoreArgument) -> NotOmeZarrError:
    """Return the error of a file where a store is meant: what it is, and how to make a store of it."""
    kind = kind_of_file(os.fspath(file)) if isinstance(file, str | os.PathLike) else None
    python, command = (f"make an image of it: {call}" for call in how_to_convert(str(file)))
    return NotOmeZarrError.mended(f"{shown(file)} is {kind or 'a file'}, not OME-Zarr", python=python, command=command)


def _nothing_at(store: StoreArgument, group: str | None, target: StoreLike) -> StoreNotFoundError:
    """Return the error of a place where nothing is: where it was looked for, and what is called much as it is."""
    place = shown(store, group)
    if unfinished := unfinished_beside(target):
        return StoreNotFoundError(f"there is nothing at {place}; {unfinished}")
    if not isinstance(target, Path) or target.exists():
        return StoreNotFoundError(f"there is nothing at {place}; check the path")
    if target.is_symlink():
        leads = f"a link to {str(target.readlink())!r}, where nothing is"
        return StoreNotFoundError(f"there is nothing at {place}, which is {leads}; make the link anew, or remove it")
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
    return StoreNotFoundError(f"there is nothing at {place}: the folder {str(folder)!r} has no {lacking!r}; {meant}")


MANY_NAMES = 10_000
"""Of what is in a folder so many are compared with a name that is not there."""


def made_in(folder: Path) -> Made:
    """Find out how much of a folder is made, as `journal.made` does; nothing where it is no group."""
    try:
        return journal.made(zarr.open_group(folder, mode="r", use_consolidated=False))
    except UNREADABLE_MEMBER:
        return NOTHING


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


def begun_at(target: StoreLike, storage_options: Mapping[str, Any] | None) -> str:
    """Say of a store what `begun` says of its attributes; empty if there is no group, or none that can be read."""
    try:
        return begun(_open(target, storage_options).attrs.asdict())
    except UNREADABLE:
        return ""


def _open_recovered(target: StoreLike, storage_options: Mapping[str, Any] | None, group: str | None) -> zarr.Group:
    """Open a group for reading, once more if a killed writer has left its store to be put in place."""
    try:
        return _open(target, storage_options, group)
    except (zarr.errors.GroupNotFoundError, FileNotFoundError):
        if not isinstance(target, Path) or not recovered(target):
            raise
    return _open(target, storage_options, group)


def recovered(path: Path) -> bool:
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
    return stage.unfinished(target.resolve(), lambda folder: str(made_in(folder))) if isinstance(target, Path) else ""


def tidy_beside(store: StoreArgument) -> None:
    """Remove what killed writers of a store that is whole have left beside it, and what could not be gone on with."""
    from xomezarr import stage

    target = resolve(store)
    if isinstance(target, Path):
        place = target.resolve()
        stage.sweep(place, but=lambda folder: bool(made_in(folder)))


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
        if (refusal := refusal_of(place, group or "")) is not None:
            raise refusal from None
        raise


def refusal_of(place: StoreLike, path: str) -> StoreAccessError | None:
    """Return what a server has said of documents below a place that it does not let be read; None if nothing."""
    if isinstance(place, str | Path):
        return None
    from xomezarr import remote

    whole = place.path if isinstance(place, zarr.storage.StorePath) else ""
    return remote.refusal(whole_store(place), f"{whole}/{path}")


def opens(target: StoreLike, storage_options: Mapping[str, Any] | None) -> bool:
    """Whether a store that is no local folder is a Zarr hierarchy."""
    try:
        _open(target, storage_options)
    except (zarr.errors.ContainsArrayError, zarr.errors.NodeTypeValidationError):
        return True
    except (zarr.errors.GroupNotFoundError, FileNotFoundError):
        return False
    return True
