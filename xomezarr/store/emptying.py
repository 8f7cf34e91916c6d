"""Make groups in place where no folder can be put there, and delete what was there before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xomezarr import direct
from xomezarr.direct import wait
from xomezarr.errors import (
    StoreExistsError,
)
from xomezarr.lazy import zarr
from xomezarr.store.marks import new_mark, withhold
from xomezarr.store.nodes import ALL_DOCUMENTS, DOCUMENTS, member_path, names_in
from xomezarr.store.opening import writable_group
from xomezarr.store.places import StoreArgument, elsewhere, opened_store, resolve

if TYPE_CHECKING:
    from zarr.storage import StoreLike

__all__ = [
    "begin",
    "begin_anew",
    "erase",
]


def begin_anew(
    root: StoreArgument,
    zarr_format: int,
    storage_options: Mapping[str, Any] | None,
    attributes: Mapping[str, Any] | None,
) -> None:
    """Make a marked group beside what is there; of an empty group the mark keeps the attributes, None where is none."""
    target = resolve(root)
    place, path = (
        (zarr.storage.LocalStore(target), "") if isinstance(target, Path) else elsewhere(target, storage_options)
    )
    direct.put_group(place, path, zarr_format, new_mark() if attributes is None else withhold(attributes))


def begin(target: StoreLike, zarr_format: int, mode: str, storage_options: Mapping[str, Any] | None) -> zarr.Group:
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
        attributes=new_mark(),
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
    direct.put_attributes(group, new_mark())
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


def erase(place: StoreArgument, storage_options: Mapping[str, Any] | None = None) -> None:
    """Delete all that is at a place which is no local folder. What is left of a group meanwhile bears the mark.

    Where nothing may be deleted, all is as it was.
    """
    target = resolve(place)
    _emptied(target, storage_options)
    store, path = elsewhere(target, storage_options)
    wait(store.delete_dir(path))
