"""Write the coarser levels of an image beside level 0, which stays where it is; safe at every moment."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from xomezarr import spec
from xomezarr.direct import update_attributes, wait
from xomezarr.errors import OmeZarrWarning, StoreExistsError, warn
from xomezarr.layout import level_group
from xomezarr.lazy import zarr
from xomezarr.pixels import Pixels
from xomezarr.plan import Plan, final_image, group_attributes
from xomezarr.store import (
    StoreArgument,
    address,
    alone,
    changing,
    member_path,
    open_array,
    opened_store,
    parents,
    resolve,
    writable_group,
)
from xomezarr.write import (
    OnArray,
    OnTile,
    consolidate,
    create_array,
    create_coordinates,
    put_documents,
    unnoticed,
    with_windows,
    write_pixels,
)

__all__ = ["add_levels", "consolidated", "gather", "renew"]


def add_levels(
    plan: Plan,
    pixels: Pixels,
    said: Mapping[str, Any],
    *,
    obsolete: Callable[[zarr.Group], Collection[str]] = lambda _: (),
    on_tile: OnTile | None = None,
) -> None:
    """Write the coarser levels of an image beside level 0, which is in the group already.

    Whatever happens, and were the process killed, the group holds the old image or the new one, whole. The new arrays
    come under paths that the metadata do not name yet. One write of the metadata names them, unless somebody else has
    changed these meanwhile. What only the old metadata named is deleted last. An error before that write takes the new
    arrays away again; so does an error of that write, unless it is done all the same. Consolidated metadata list the
    arrays of both meanwhile. Who would change the image's pixels, or replace it, waits until all is done.

    Parameters
    ----------
    plan
        What the group is to hold; nothing may be at the paths of its arrays but level 0. `store` is a path or a URL.
    pixels
        Those of level 0, and how the others are made of them.
    said
        What the group said of the image, as `spec.ome_part` finds it, when that was planned.
    obsolete
        Returns the paths of arrays to delete in the end.
    on_tile
        Called after each part is written.

    Raises
    ------
    StoreExistsError
        If another process has written levels, or changed the image, meanwhile.
    """
    with changing(resolve(plan.store), wholly=True):
        _add_levels(plan, pixels, said, obsolete, on_tile)


def _add_levels(
    plan: Plan,
    pixels: Pixels,
    said: Mapping[str, Any],
    obsolete: Callable[[zarr.Group], Collection[str]],
    on_tile: OnTile | None,
) -> None:
    """Do what `add_levels` does, while nobody else changes the image."""
    group = reopened(plan)
    check_unchanged(group, said)
    check_there(group, replace(plan, levels=plan.levels[:1]))
    surplus = obsolete(group)
    listings = consolidated(plan.store, plan.storage_options)
    arrived: list[str] = []
    try:
        with arriving(group, plan, arrived) as (place, made):
            arrays = [made(home(level.path), create_array(place, plan, level)) for level in plan.levels[1:]]
            put_documents(place, plan.nest.documents)
            write_pixels(plan, pixels, [None, *arrays], place, on_tile)
            create_coordinates(place, plan, made)
            coarsest = arrays[-1] if arrays else open_array(group, plan.levels[0].path, "r+")
            plan = with_windows(plan, coarsest)
        check_unchanged(reopened(plan), said)
        gather(listings)
        name_dimensions(open_array(group, plan.levels[0].path, "r+"), plan.dims)
    except BaseException as error:
        take_away(group, arrived, listings)
        if isinstance(error, zarr.errors.ContainsArrayError):
            raise StoreExistsError(f"{error}: another process has written it; scale the image again") from error
        raise
    naming = False
    try:
        with alone(resolve(plan.store)):
            # what other tools have written meanwhile stays
            group = reopened(plan)
            check_unchanged(group, said)
            check_there(group, plan)
            naming = True
            update_attributes(group, group_attributes(plan, final_image(plan)))
    except BaseException:
        # the write may be done though the caller is told that it was interrupted: then the arrays stay
        with suppress(Exception):  # the error that led here counts
            if not naming or spec.ome_part(reopened(plan).attrs.asdict()) == said:
                take_away(group, arrived, listings)
        raise
    renew(listings)
    if surplus:
        take_away(group, surplus, listings)


def home(path: str) -> str:
    """Return what comes and goes with a level: the group that is its own, else its array."""
    return level_group(path) or path


def check_unchanged(group: zarr.Group, said: Mapping[str, Any]) -> None:
    """Make sure that an image's metadata are what they were.

    Raises
    ------
    StoreExistsError
        If another process has changed them.
    """
    if spec.ome_part(group.attrs.asdict()) != said:
        raise StoreExistsError(f"the image at {group.store_path} was changed by another process; scale it again")


def check_there(group: zarr.Group, plan: Plan) -> None:
    """Make sure that the levels are in the group still, and as they were planned.

    Raises
    ------
    StoreExistsError
        If another process has replaced the image by one that says the same, or has appended to it.
    """
    try:
        changed = [level.path for level in plan.levels if open_array(group, level.path).shape != level.shape]
    except (zarr.errors.ArrayNotFoundError, zarr.errors.NodeNotFoundError, FileNotFoundError, KeyError):
        raise StoreExistsError(
            f"the image at {group.store_path} was replaced by another process; scale it again"
        ) from None
    if changed:
        raise StoreExistsError(f"the image at {group.store_path} was changed by another process; scale it again")


def reopened(plan: Plan) -> zarr.Group:
    """Open the group of a plan as it is now."""
    return writable_group(plan.store, plan.storage_options)


def take_away(group: zarr.Group, paths: Collection[str], listings: Sequence[zarr.Group]) -> None:
    """Delete arrays that no metadata name; what cannot be deleted harms nobody, and is told."""
    for path in paths:
        try:
            delete(group, path)
        except Exception as error:  # each kind of server's own way of refusing
            warn(f"{path!r}, which is not of the image, could not be removed ({error}); remove it", OmeZarrWarning)
    renew(listings)


@contextmanager
def arriving(group: zarr.Group, plan: Plan, arrived: list[str]) -> Iterator[tuple[zarr.Group, OnArray]]:
    """Yield a group to make the new arrays in; they are in `group` when the block ends.

    In a local folder they are made in a hidden one, from which they are moved: a failure leaves nothing, and a
    process that is killed nothing that looks like a level. Elsewhere they are made where they belong.

    Parameters
    ----------
    group, plan
        As in `add_levels`.
    arrived
        Takes the paths of what has come into the group, and of nothing else.

    Yields
    ------
    place : zarr.Group
    made : callable
        To be told of each array that is made.
    """

    def noted(path: str, array: zarr.Array[Any]) -> zarr.Array[Any]:
        arrived.append(path)
        return array

    target = resolve(plan.store)
    if not isinstance(target, Path):
        yield group, noted
        return
    from xomezarr import stage  # it derives a class from one of zarr's, which is loaded late

    target = target.resolve()
    stage.sweep(target / "levels")
    folder = stage.Stage(stage.beside(target / "levels", "partial"))
    try:
        folder.root.mkdir()
        yield zarr.create_group(folder, zarr_format=plan.zarr_format), unnoticed  # type: ignore[arg-type]
        for path in [*(level.path for level in plan.levels[1:]), *plan.arrays]:
            arrived += move(folder.root, target, path)
    finally:
        folder.abandon()


def move(source: Path, target: Path, path: str) -> list[str]:
    """Move an array from one folder to another, together with the groups above it that are not there yet.

    Returns
    -------
    list of str
        The path of what was moved; none if it has come with a group already.
    """
    from xomezarr import stage

    if not (source / path).exists():
        return []
    whole = [*reversed(PurePosixPath(path).parents[:-1]), PurePosixPath(path)]
    moved = next((part for part in whole if not (target / part).exists()), whole[-1])
    stage.create(source / moved, target / moved)
    return [str(moved)]


def delete(group: zarr.Group, path: str) -> None:
    """Delete all that is at a path below a group."""
    wait(group.store.delete_dir(member_path(group, path)))


def name_dimensions(array: zarr.Array[Any], dims: Sequence[str]) -> None:
    """Name the dimensions of an array of Zarr v3 that has no names yet, in one write of its metadata.

    zarr gives names only to arrays that it creates.
    """
    if array.metadata.zarr_format == 2 or array.metadata.dimension_names is not None:
        return
    from zarr.core.buffer import default_buffer_prototype

    key, prototype = f"{array.path}/zarr.json", default_buffer_prototype()
    document = wait(array.store.get(key, prototype))
    assert document is not None
    named = json.loads(document.to_bytes()) | {"dimension_names": list(dims)}
    wait(array.store.set(key, prototype.buffer.from_bytes(json.dumps(named, indent=2).encode())))


def consolidated(store: StoreArgument, storage_options: Mapping[str, Any] | None = None) -> list[zarr.Group]:
    """Return the groups whose consolidated metadata hold those of a group: itself, and those above it."""
    found = []
    for place in _here_and_above(store):
        try:
            group = zarr.open_group(opened_store(resolve(place), storage_options, read_only=False), mode="r+")
        except Exception:  # no group, or each kind of server's own way of refusing what lies above a public store
            break
        if group.metadata.consolidated_metadata is not None:
            found.append(group)
    return found


def gather(groups: Iterable[zarr.Group]) -> None:
    """Gather the metadata of groups anew, each while nobody else changes what it says: they are written with it."""
    for group in groups:
        store = group.store
        place = store.root / member_path(group, "") if isinstance(store, zarr.storage.LocalStore) else store
        with alone(place):
            consolidate(group, group.metadata.zarr_format)


def renew(stale: Iterable[zarr.Group]) -> None:
    """Gather metadata anew that do not know of a change; the change is made, whether or not this is possible."""
    for group in stale:
        try:
            gather([group])
        except Exception as error:  # each kind of server's own way of refusing what lies above
            place = str(group.store_path)
            warn(
                f"the metadata that are gathered in {place!r} cannot be renewed ({error}), and their readers do not "
                f"see the change; gather them again: zarr.consolidate_metadata({place!r})",
                OmeZarrWarning,
            )


def _here_and_above(store: StoreArgument) -> list[Any]:
    """Return a place and all places above it, the nearest first; in a store, no further than its root."""
    target = resolve(store)
    if isinstance(target, str | Path):
        whole = address(target)
        return [whole, *parents(whole)]
    place: Any = target if isinstance(target, zarr.storage.StorePath) else zarr.storage.StorePath(target)  # type: ignore[arg-type]
    parts = place.path.split("/") if place.path else []
    return [zarr.storage.StorePath(place.store, "/".join(parts[:count])) for count in range(len(parts), -1, -1)]
