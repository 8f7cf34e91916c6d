"""Open an OME-Zarr image as xarray objects: metadata only, pixels lazily, with or without dask."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial, reduce
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends.common import BackendArray
from xarray.core import indexing

from xomezarr import omexml, sidecar, spec
from xomezarr.archive import file_of
from xomezarr.besides import adopted_from, coordinates_beside
from xomezarr.checks import leads_below
from xomezarr.chunks import of_shape, whole
from xomezarr.completion import Complete, completing
from xomezarr.coords import AXIS_TYPES, Dimension
from xomezarr.errors import (
    UNREADABLE,
    UNREADABLE_ARRAY,
    UNREADABLE_MEMBER,
    CoordinateSystemError,
    LabelWarning,
    LayoutError,
    LevelError,
    MetadataChangedWarning,
    MetadataError,
    NotOmeZarrError,
    OmeZarrError,
    OtherImagesWarning,
    PlacementWarning,
    UnfinishedWarning,
    collecting,
    raise_all,
    warn,
)
from xomezarr.extents import place
from xomezarr.fields import KEPT, Kept
from xomezarr.holders import called, first_image
from xomezarr.indexes import kept_of, without
from xomezarr.journal import folder_of
from xomezarr.labels import LABELED
from xomezarr.layout import FLAT, layout_of, level_group
from xomezarr.lazy import zarr
from xomezarr.model import Image
from xomezarr.notes import UNFINISHED, unfinished_in
from xomezarr.placement import dimensions_of, level_variables
from xomezarr.planning import VERSION
from xomezarr.presence import Folder
from xomezarr.pyramid import VARIABLE, to_tree, with_name
from xomezarr.sidecar import Sidecar
from xomezarr.source import LazyArray, OrderedArray
from xomezarr.store import (
    StoreArgument,
    address,
    check_complete,
    groups_above,
    labels_of,
    listed_labels,
    open_array,
    open_group,
    open_member,
    resolve,
)
from xomezarr.systems import View, adopted, coordinate_systems, kept_in, view
from xomezarr.wells import ADDED

__all__ = [
    "OPEN_AT_ONCE",
    "LevelAt",
    "asked_at_once",
    "closer",
    "is_remote",
    "left_out",
    "level_at",
    "listing_of",
    "made_of",
    "open_image",
    "open_level",
    "open_tree",
    "source_of",
    "tree_of",
    "with_own",
]

OPEN_AT_ONCE = 16
"""Arrays whose metadata are asked for at the same time: more than a pyramid has levels."""

OPEN_TRIES = 5
"""A store that is opened is replaced once meanwhile, if at all: writing one takes longer than to open it."""


def open_tree(
    store: StoreArgument,
    *,
    group: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    drop_variables: str | Iterable[str] | None = None,
    cache: bool = False,
    labels: bool = True,
    finest: bool = False,
    coordinate_system: str | None = None,
) -> xr.DataTree:
    """Open an image as a tree of its levels and those of its labels; only metadata are read.

    What it lacks is looked for in the OME-XML of the collection that it is in, as `open_collection` does.

    Parameters
    ----------
    store
        A path, a URL, or a store of zarr or obstore.
    group
        Path of the image's group inside the store; left out, its root.
    storage_options
        For URLs, as fsspec takes them.
    drop_variables
        Coordinates to leave out.
    cache
        Whether what has been read stays in memory, as xarray has it for what it opens.
    labels
        Whether its labels are opened too.
    finest
        Whether level 0 alone is opened, of the labels too: what is wrong with others is not found then.
    coordinate_system
        Name of the one in which the image is to lie, as `systems.view` has it; left out, that of its levels, with the
        coordinates of others that it was written with.

    Returns
    -------
    xarray.DataTree
        Children ``"0"``, ``"1"``, …: Datasets with the variable ``image``, lazily indexed. The tree's attributes are
        those of the group, in which OME metadata say all that is known, were it from elsewhere or in a later version.
        Labels are under ``labels``, by their names, which are those of their variables too.

    Raises
    ------
    StoreNotFoundError, NotOmeZarrError
        If there is no image at that place.
    IncompleteStoreError
        If its writing was interrupted, or goes on still.
    VersionError, MetadataError
        If its metadata are not understood, or an array is not what they say.
    CoordinateSystemError
        If it has no such coordinate system, or cannot be seen in it.

    Warns
    -----
    PlacementWarning
        If its version does not say where levels lie, and their sizes do not tell either.
    """

    def tree(opened: zarr.Group) -> xr.DataTree:
        return tree_of(
            opened,
            source=source_of(store, group),
            drop_variables=drop_variables,
            cache=cache,
            labels=labels,
            finest=finest,
            complete=completing(store, opened, storage_options),
            coordinate_system=coordinate_system,
        )

    return made_of(tree, store, group=group, storage_options=storage_options)


def made_of[T: xr.DataTree | xr.Dataset](
    make: Callable[[zarr.Group], T],
    store: StoreArgument,
    *,
    group: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> T:
    """Open a group and make something of it: of one store, also where another process replaces that meanwhile.

    Parameters
    ----------
    make
        Reads what it needs of the group, such as metadata of its arrays.
    store, group, storage_options
        As in `store.open_group`, which also says what is raised.
    """
    target = resolve(store)
    place = target / (group or "") if isinstance(target, Path) else None
    for left in reversed(range(OPEN_TRIES)):
        before = None if place is None else Folder.at(place)
        try:
            opened = open_group(store, group=group, storage_options=storage_options)
            made = make(opened)
        except UNREADABLE_MEMBER:
            if before is None or before.is_there() or not left:
                raise
            continue
        if before is None or before.is_there():
            break
    else:
        raise OmeZarrError(
            f"{os.fspath(store)!r} is replaced again and again by another process while it is opened; "
            "open it when that is done"
        )
    made.set_close(closer(store, opened))
    warn_of_unfinished(opened)
    return made


def warn_of_unfinished(group: zarr.Group) -> None:
    """Say so where a part of an image was being written when its writer was stopped; on this machine's disks alone.

    Elsewhere that would take a request more. What is being written still is no fault.
    """
    folder = folder_of(group)
    if folder is None or not (folder / UNFINISHED).is_dir():
        return
    for one in unfinished_in(group):
        if not one.goes_on:
            warn(f"{str(group.store_path)!r} is not whole: {one}", UnfinishedWarning)


def source_of(store: StoreArgument, group: str | None) -> str:
    """Return where a tree says that it is from: an address; empty for what is no path or URL."""
    if not isinstance(store, str | os.PathLike):
        return ""
    return "/".join(filter(None, (os.fspath(store).rstrip("/"), group)))


def left_out(drop_variables: str | Iterable[str] | None) -> frozenset[str]:
    """Return the names of variables that are to be left out."""
    return frozenset({drop_variables} if isinstance(drop_variables, str) else drop_variables or ())


def tree_of(
    group: zarr.Group,
    *,
    source: str = "",
    drop_variables: str | Iterable[str] | None = None,
    cache: bool = False,
    labels: bool = True,
    finest: bool = False,
    complete: Complete | None = None,
    place: Mapping[str, Any] | None = None,
    coordinate_system: str | None = None,
    seen: Mapping[str, int] | None = None,
) -> xr.DataTree:
    """Make the tree of an image whose group has been opened.

    Parameters
    ----------
    group
        Of the image.
    source
        Path or URL of the group; empty where it has none.
    drop_variables, cache, labels, finest, coordinate_system
        As in `open_tree`, which also says what is raised.
    complete
        What adds to what its metadata say.
    place
        Scalar coordinates that say where the image belongs; they win over those of the same names that it has itself.
    seen
        Of labels, how many pixels their image has along the dimension along which both are appended to.
    """
    wanted = 0 if finest else None
    opened = _opened(group, wanted, complete, seen=seen).placed(place or {}).seen_in(coordinate_system)
    tree = opened.tree(drop_variables, source, cache=cache)
    if labels:
        options: Any = {"place": place or {}, "coordinate_system": coordinate_system}
        _add_labels(tree, opened, wanted, drop_variables, source, cache=cache, **options)
    return tree


def with_own(
    tree: xr.DataTree,
    group: zarr.Group,
    rendering: Collection[str],
    *,
    drop_variables: Iterable[str],
    place: Mapping[str, Any],
) -> xr.DataTree:
    """Return an image's tree with all that the image says, and the pixels and coordinates along them that it has.

    Parameters
    ----------
    tree
        Of the image, without labels.
    group
        Of the image.
    rendering
        Names of coordinates along pixels that are to be the image's own too.
    drop_variables, place
        As in `tree_of`.

    Raises
    ------
    LevelError
        If the image has another number of levels.
    """
    opened = _opened(group, 0)
    if not opened.stored.multiscale.placed:  # the sizes of all levels tell where they lie
        opened = _opened(group)
    opened = opened.placed(place)
    kept, nodes = opened.kept, tree.children
    if (count := len(opened.image.multiscale.levels)) != len(nodes):
        raise LevelError(
            f"the image {str(group.store_path)!r} has {count} levels, and its tree {len(nodes)}; open it again, with "
            "all that it says"
        )
    own = {name: coord for name, coord in kept.coords.items() if not coord.ndim or name in rendering}
    levels = []
    for node in nodes.values():
        ds, indexes = node.dataset, node.dataset.xindexes
        along = {name: coord for name, coord in ds.coords.variables.items() if coord.ndim and name not in rendering}
        coords = xr.Coordinates({**along, **own}, {name: index for name, index in indexes.items() if name in along})
        pixels = ds.variables[opened.variable].transpose(*kept.dims)
        level = xr.DataArray(xr.Variable(pixels.dims, pixels._data, kept.attrs), coords, name=kept.name)
        level.encoding = pixels.encoding
        levels.append(opened.without(level, drop_variables))
    source = tree.encoding.get("source", "")
    result = opened.tree_of(levels, source)
    _add_labels(result, opened, None, drop_variables, source, cache=False, place=place)
    return result


def _add_labels(
    tree: xr.DataTree,
    image: _Opened,
    wanted: int | None,
    drop_variables: str | Iterable[str] | None,
    source: str,
    *,
    cache: bool,
    place: Mapping[str, Any],
    coordinate_system: str | None = None,
) -> None:
    """Put the labels of an image into its tree; those that cannot be opened are told and left out.

    Nothing is told of an image that another process replaces meanwhile, and which is opened again, or not read.
    """
    folder = Folder.of(image.group)
    if (listing := listing_of(image.group)) is None:
        return

    def told(where: str, why: object) -> None:
        if folder is None or folder.is_there():
            warn(f"the labels {where!r} cannot be opened, and are left out: {why}", LabelWarning)

    dropped = left_out(drop_variables)
    growing = sidecar.growing(image.group.attrs.get(sidecar.KEY))
    grown = None if growing is None else {growing[0]: growing[1][0]}

    def opened(path: str) -> xr.DataTree:
        member = open_member(listing, path, alike=True)
        found = _opened(member, wanted, image.completing_labels(), seen=grown).placed(place)
        found = found.seen_with(image.image, coordinate_system)
        return found.tree(drop_variables, source and f"{source}/labels/{path}", cache=cache)

    for path in dict.fromkeys(listed_labels(listing)):
        where = f"{listing.store_path!s}/{path}"
        if path.rpartition("/")[2] in dropped:
            continue
        try:
            if not leads_below(path):
                raise MetadataError(f"the path {path!r} leaves the group and is not followed; mend the list")
            tree[f"labels/{path}"] = _looked_for(opened, path, image.group, again=folder is not None)
        except _NotListedError:
            continue
        except KeyError:
            told(where, f"there is no such group; take it from the list: xomezarr.delete_labels(store, {path!r})")
        except UNREADABLE as error:  # the image is there all the same
            told(where, error)
    if "labels" in tree.children:
        tree["labels"].attrs = listing.attrs.asdict()


class _NotListedError(Exception):
    """Labels that another process has deleted while they were opened."""


def _looked_for(opened: Callable[[str], xr.DataTree], path: str, image: zarr.Group, *, again: bool) -> xr.DataTree:
    """Open labels; once more, where that fails, as another process may have replaced or deleted them meanwhile.

    Raises
    ------
    _NotListedError
        If they are not listed any more.
    """
    try:
        return opened(path)
    except (KeyError, *UNREADABLE):
        if not again:
            raise
    with suppress(*UNREADABLE):
        listing = labels_of(image)
        if listing is None or path not in listed_labels(listing):
            raise _NotListedError
    return opened(path)


def listing_of(image: zarr.Group) -> zarr.Group | None:
    """Return the group of an image's labels, if it has one that can be read; a warning tells of one that cannot."""
    try:
        return labels_of(image)
    except UNREADABLE as error:
        warn(f"the labels of {str(image.store_path)!r} cannot be read, and are left out: {error}", LabelWarning)
        return None


def open_level(
    store: StoreArgument,
    *,
    level: int = 0,
    group: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    drop_variables: str | Iterable[str] | None = None,
    coordinate_system: str | None = None,
) -> xr.Dataset:
    """Open one resolution level as a Dataset with the variable ``image``; only metadata are read.

    Parameters
    ----------
    level
        0 is the finest.
    store, group, storage_options, drop_variables, coordinate_system
        As in `open_tree`, which also says what is raised.

    Raises
    ------
    LevelError
        If the image has no such level.
    """

    def of_level(found: zarr.Group) -> xr.Dataset:
        opened = _opened(found, level, completing(store, found, storage_options)).seen_in(coordinate_system)
        return with_name(opened.level(level, drop_variables), opened.variable)

    return made_of(of_level, store, group=group, storage_options=storage_options)


@dataclass(frozen=True, slots=True)
class LevelAt:
    """An array that an image lists as one of its levels.

    Parameters
    ----------
    image
        Address of the image's group.
    path
        Of the array, from there.
    number
        Of the level; 0 is the finest.
    attrs
        Of the image's group.
    known
        What they say.
    """

    image: str
    path: str
    number: int
    attrs: Mapping[str, Any]
    known: Image


def level_at(place: str, storage_options: Mapping[str, Any] | None = None) -> LevelAt | None:
    """Find the image that lists an array as one of its levels, in the groups above it; None if none does.

    Parameters
    ----------
    place, storage_options
        Path or URL of the array.
    """
    for above, path, group in groups_above(address(place), storage_options):
        attrs = group.attrs.asdict()
        if spec.is_image(attrs):
            known = spec.parse(attrs)
            paths = [level.path.strip("/") for level in known.multiscale.levels]
            if path in paths:
                return LevelAt(above, path, paths.index(path), attrs, known)
    return None


def open_image(group: zarr.Group) -> Image:
    """Read the OME metadata of a group.

    Raises
    ------
    NotOmeZarrError
        If the group holds no image.
    IncompleteStoreError
        If its writing has not ended.
    VersionError, MetadataError
        If they cannot be read.
    """
    attrs = group.attrs.asdict()
    if spec.is_image(attrs):
        return spec.parse(attrs)
    where = f"{str(group.store_path)!r}"
    if not spec.is_ome(attrs):
        check_complete(group)
        raise NotOmeZarrError(
            f"{where} has no OME-Zarr metadata; open plain Zarr with xarray.open_zarr, or, where levels are groups, "
            'xarray.open_datatree(store, engine="zarr"), or make an image of it with to_zarr'
        )
    try:
        spec.parse(attrs)
    except NotOmeZarrError as error:
        below = "" if called(group) is None else f", such as that at {first_image(group)!r} below it"
        raise NotOmeZarrError(f"{where}: {error}{below}") from None
    raise AssertionError


@dataclass(frozen=True, slots=True)
class _Opened:
    """An image whose metadata have been read, and its arrays opened: all of them, or level 0 and another."""

    group: zarr.Group
    image: Image
    arrays: Mapping[int, zarr.Array[Any]]
    kept: Sidecar
    dimensions: tuple[Dimension, ...]
    stored: Image
    """What its metadata say; `image` is that with what was added to it."""
    views: tuple[View, ...] = ()
    """How the levels lie in other coordinate systems than that of the image."""

    @property
    def variable(self) -> str:
        """The name of the levels' variable: that of labels is their own, unless a coordinate or dimension has it."""
        own = str(self.group.store_path).rpartition("/")[2]
        taken = own in self.kept.coords or own in self.image.multiscale.dims
        return VARIABLE if self.image.label is None or taken else own

    def tree(self, drop_variables: str | Iterable[str] | None, source: str, *, cache: bool) -> xr.DataTree:
        """Make the tree of the levels."""
        levels = [self.level(index, drop_variables) for index in self.arrays]
        if cache:
            levels = [_cached(level) for level in levels]
        return self.tree_of(levels, source)

    def tree_of(self, levels: Sequence[xr.DataArray], source: str) -> xr.DataTree:
        """Make a tree of levels, with what its group says."""
        image = self.views[0].image if self.views else self.image
        as_stored = image is self.stored
        written = spec.written_as(image.version)
        attrs = self.group.attrs.asdict() if as_stored else spec.dump(image, written)
        properties = sidecar.properties_in(attrs)
        attrs.pop(sidecar.KEY, None)
        tree = to_tree(levels, attrs=attrs, variable=self.variable)
        if source:
            tree.encoding["source"] = source
        if not as_stored and written != self.image.version:
            tree.encoding[VERSION] = self.image.version
        if properties is not None:
            tree.encoding[sidecar.PROPERTIES] = properties
        if spec.stored_paths(self.image.multiscale):
            tree.encoding[KEPT] = Kept(self.group)
        return tree

    def completing_labels(self) -> Complete | None:
        """Return what adds to the metadata of labels what was added to those of the image."""
        if self.image is self.stored:
            return None
        sizes = _sizes(self.image, self.arrays[0])
        return lambda labels, own: omexml.complete_labels(labels, own, self.stored, sizes, self.image)

    def placed(self, place: Mapping[str, Any]) -> _Opened:
        """Add scalar coordinates; what lies along pixels under the same name stays."""
        known, dims = self.kept.coords, self.image.multiscale.dims
        free = [name for name in place if name not in dims and (name not in known or not known[name].ndim)]
        if not free:
            return self
        # those that the image has itself are written with it again
        added = {name: xr.Variable((), place[name], encoding={} if name in known else {ADDED: True}) for name in free}
        coords = {**known, **added}
        return replace(self, kept=replace(self.kept, coords=coords))

    def without(self, level: xr.DataArray, drop_variables: str | Iterable[str] | None) -> xr.DataArray:
        """Leave coordinates out."""
        return without(level, self._dropped(drop_variables))

    def _dropped(self, drop_variables: str | Iterable[str] | None) -> frozenset[str]:
        dropped = left_out(drop_variables)
        if self.variable in dropped:
            raise OmeZarrError(f"drop_variables names {self.variable!r}, which is the image itself; leave it out")
        return dropped

    def seen_in(self, coordinate_system: str | None) -> _Opened:
        """Return it as it lies in a coordinate system; left out, in those that it was written with."""
        if coordinate_system is not None:
            if self.image.label is not None and coordinate_system not in coordinate_systems(self.image.multiscale):
                raise CoordinateSystemError(
                    f"the labels {self.variable!r} name no coordinate system {coordinate_system!r}; if their image has "
                    f"it, open them with that: xr.open_datatree(…, engine='omezarr', coordinate_system="
                    f"{coordinate_system!r})['labels/{self.variable}']"
                )
            return replace(self, views=(view(self.image, coordinate_system, self.kept.systems, group=self.group),))
        views = []
        for name, kept in self.kept.systems.items():
            try:
                views.append(kept_in(self.image, name, kept, group=self.group))
            except CoordinateSystemError as error:
                told_of = (
                    f"the coordinates {', '.join(map(repr, kept.names.values()))} of {str(self.group.store_path)!r}"
                )
                warn(
                    f"another tool has changed the OME metadata since xomezarr wrote the image, and {told_of} are left "
                    f"out: {error}",
                    MetadataChangedWarning,
                )
        return replace(self, views=tuple(views))

    def seen_with(self, image: Image, coordinate_system: str | None) -> _Opened:
        """Return labels as their image lies in a coordinate system: by what they say of it, else by what that says."""
        if coordinate_system is None or coordinate_system in coordinate_systems(self.image.multiscale):
            return self.seen_in(coordinate_system)
        made = adopted(self.image, image)
        if made is None or coordinate_system not in coordinate_systems(made.multiscale):
            raise CoordinateSystemError(
                f"nothing leads from their axes to the coordinate system {coordinate_system!r} of the image; open them "
                "without it, by group="
            )
        return replace(self, image=made).seen_in(coordinate_system)

    def level(self, index: int, drop_variables: str | Iterable[str] | None = None) -> xr.DataArray:
        """Make the DataArray of a level: its pixels lazily, its coordinates from its grids and those of level 0.

        Coordinates beside its dimensions that are to be left out make place for axes of their names.
        """
        dropped = self._dropped(drop_variables)
        multiscale, array = self.image.multiscale, self.arrays[index]
        coords = level_variables(self.image, self.kept, self.dimensions, index, _sizes(self.image, array))
        pixels = xr.Variable(
            multiscale.dims, _lazy(array, self.kept.dtype, labels=self.image.label is not None), self.kept.attrs
        )
        # labels that other tools give no name have that of their group
        unnamed = self.kept.name is None and self.image.label is not None
        result = xr.DataArray(pixels, coords=coords, name=self.variable if unnamed else self.kept.name)
        result.encoding = _encoding(array, self.image)  # the constructor drops that of a variable
        for name in self.kept.indexed.intersection(map(str, coords)):
            result = result.set_xindex(name)
        # coordinates of several dimensions keep an order of their own
        result = result.transpose(*self.kept.dims, transpose_coords=False)
        beside = dropped & {*self.kept.coords} - {*multiscale.dims}
        result, dropped = result.drop_vars(beside, errors="ignore"), dropped - beside
        return without(reduce(lambda level, one: one.level(level, index, dropped), self.views, result), dropped)


def _opened(
    group: zarr.Group,
    wanted: int | None = None,
    complete: Complete | None = None,
    *,
    seen: Mapping[str, int] | None = None,
) -> _Opened:
    """Open the arrays of an image: of all levels, or of level 0 and the one that is wanted."""
    image = open_image(group)
    count = len(image.multiscale.levels)
    if wanted is not None and (isinstance(wanted, bool) or wanted not in range(count)):
        raise LevelError(f"there is no level {wanted!r}; the image has {count}: give level=0 … {count - 1}")
    _check_names(image)
    if len(image.multiscales) > 1:
        others = ", ".join(repr(multiscale.name) for multiscale in image.multiscales[1:])
        warn(
            f"{str(group.store_path)!r} holds {len(image.multiscales)} multiscale images, of which the first is "
            f"opened; the others, {others}, are at the paths of their own datasets: read those with xarray.open_zarr",
            OtherImagesWarning,
        )
    # where only sizes tell where coarser levels lie, all of them tell it
    every = wanted is None or (wanted > 0 and not image.multiscale.placed)
    arrays = _open_arrays(group, image, range(count) if every else sorted({0, wanted or 0}))
    arrays = _seen(group, image, arrays, seen)
    stored, image = image, _placed(group, image, arrays)
    arrays = {index: array for index, array in arrays.items() if wanted is None or index in (0, wanted)}
    if complete is not None and not sidecar.is_told(group.attrs):
        image = complete(image, _sizes(image, arrays[0]))
    kept = _kept(group, image, arrays[0])
    dimensions = dimensions_of(image, kept, _sizes(image, arrays[0]))
    return _Opened(group, image, arrays, kept, dimensions, stored)


def _seen(
    group: zarr.Group, image: Image, arrays: dict[int, zarr.Array[Any]], seen: Mapping[str, int] | None
) -> dict[int, zarr.Array[Any]]:
    """Return arrays as long as they are by the metadata, where they are appended to: what is longer is not whole."""
    found = sidecar.growing(group.attrs.get(sidecar.KEY), seen)
    dims = image.multiscale.dims
    if found is None or found[0] not in dims or len(found[1]) != len(image.multiscale.levels):
        return arrays
    axis = dims.index(found[0])
    cut = {}
    for index, array in arrays.items():
        size = found[1][index]
        longer = array.shape[axis] > size
        cut[index] = of_shape(array, (*array.shape[:axis], size, *array.shape[axis + 1 :])) if longer else array
    return cut


def _placed(group: zarr.Group, image: Image, arrays: Mapping[int, zarr.Array[Any]]) -> Image:
    """Return an image whose levels lie somewhere, which up to OME-Zarr 0.3 is told by their sizes alone."""
    if image.multiscale.placed:
        return image
    # of level 0 alone no other is known
    multiscale = replace(image.multiscale, levels=image.multiscale.levels[: len(arrays)])
    sizes = [_sizes(image, array) for array in arrays.values()]
    found, doubts = place(replace(image, multiscales=(multiscale,)), sizes)
    where = f"{str(group.store_path)!r} is of OME-Zarr {image.version}, which does not say where levels lie"
    if doubts:
        warn(
            f"{where}, and not all of their sizes tell it: {'; '.join(doubts)}. Level 0 is not in question: write it "
            "anew to have levels that are not either: tree.omezarr.level(0).omezarr.to_zarr(…)",
            PlacementWarning,
        )
    if any("coordinateTransformations" in level.extra for level in image.multiscale.levels):
        warn(
            f"{where}: coordinateTransformations are there all the same, and are not read. If they are meant, assign "
            "what they say: assign_grid(…), or name the version 0.4 in the metadata",
            PlacementWarning,
        )
    return found


def _check_names(image: Image) -> None:
    """Refuse axes whose names xarray cannot give to dimensions of a tree."""
    for name in image.multiscale.dims:
        if "/" in name or name == VARIABLE:
            raise MetadataError(
                f"the axis name {name!r} cannot be a dimension's: {VARIABLE!r} names the pixels, and / stands between "
                "the groups of a tree; rename the axis in the OME metadata"
            )


def is_remote(store: Any) -> bool:
    """Whether requests take longer than to read what they bring: neither on this machine's disks nor in memory."""
    is_local = isinstance(store, zarr.storage.LocalStore | zarr.storage.MemoryStore)
    return not is_local and not isinstance(file_of(store), Path)


@contextmanager
def asked_at_once[T](asked: Iterable[Callable[[], T]], *, remote: bool) -> Iterator[list[Callable[[], T]]]:
    """Yield what returns the answer of each call; a remote store gives all of them in the time of one."""
    with ThreadPoolExecutor(OPEN_AT_ONCE) if remote else nullcontext() as pool:
        yield list(asked) if pool is None else [pool.submit(one).result for one in asked]


def _open_arrays(group: zarr.Group, image: Image, indices: Iterable[int]) -> dict[int, zarr.Array[Any]]:
    """Open the arrays of levels, and make sure that they fit the metadata; all faults are reported together."""
    faults: list[OmeZarrError] = []
    arrays = {}
    opening: dict[int, Callable[[], zarr.Array[Any]]] = {
        index: partial(_open_array, group, image, index) for index in indices
    }
    with asked_at_once(opening.values(), remote=is_remote(group.store)) as answers:
        for index, opened in zip(opening, answers, strict=True):
            with collecting(faults):
                arrays[index] = opened()
    raise_all(faults, "the image cannot be opened")
    return arrays


def _open_array(group: zarr.Group, image: Image, index: int) -> zarr.Array[Any]:
    path, dims = image.multiscale.levels[index].path, image.multiscale.dims
    where = f"level {index} of {str(group.store_path)!r}, at {path!r} by the metadata,"
    try:
        array = _member(group, path)
    except (FileNotFoundError, KeyError):
        raise MetadataError(f"{where} has no array; the store is incomplete: copy or write it again") from None
    except OmeZarrError:
        raise
    except UNREADABLE_ARRAY as error:
        raise MetadataError(f"{where} cannot be opened: {error}; copy or write it again") from error
    if array.ndim != len(dims):
        raise MetadataError(
            f"{where} has {array.ndim} dimensions, and the image {len(dims)} axes {dims} by OME-Zarr {image.version}; "
            "xomezarr.validate(store) lists all that is wrong"
        )
    return array


def _member(group: zarr.Group, path: str) -> zarr.Array[Any]:
    """Open an array below the group; a path that leaves it is refused."""
    if not leads_below(path):
        raise MetadataError(f"the path {path!r} leaves the image's group and is not followed; mend the metadata")
    return open_array(group, path)


def _kept(group: zarr.Group, image: Image, array: zarr.Array[Any]) -> Sidecar:
    """Return what level 0 is beside its pixels: what was kept of it, else what the OME metadata say."""
    sizes = _sizes(image, array)
    kept = None
    if sidecar.is_told(group.attrs):

        def read_array(path: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Any:
            return _lazy_coordinate(_member(group, path), dtype, shape)

        kept = sidecar.load(group.attrs[sidecar.KEY], image, sizes, read_array)
    return kept or _foreign(group, image, array, sizes)


def _foreign(group: zarr.Group, image: Image, array: zarr.Array[Any], sizes: Mapping[str, int]) -> Sidecar:
    """Return what another tool says of an image: in the OME metadata, and by coordinates beside the pixels."""
    said = sidecar.foreign(image, sizes, _foreign_attrs(array))
    levels = image.multiscale.levels
    if layout_of([level.path for level in levels]) == FLAT:
        return said
    try:
        found, left = adopted_from(coordinates_beside(group, levels[0].path), said, image, sizes)
    except LayoutError as error:
        warn(f"{error}; until then they are left out", MetadataChangedWarning)
        return said
    if left:
        warn(
            f"coordinates beside level 0 of {str(group.store_path)!r} are left out, as the OME metadata count: "
            f"{'; '.join(left)}. xarray.open_dataset(…, group={level_group(levels[0].path)!r}) reads them",
            MetadataChangedWarning,
        )
    return found


def _sizes(image: Image, array: zarr.Array[Any]) -> dict[str, int]:
    return dict(zip(image.multiscale.dims, array.shape, strict=True))


def _lazy(
    array: zarr.Array[Any], dtype: np.dtype[Any] | None = None, *, labels: bool = False
) -> indexing.LazilyIndexedArray:
    """Wrap an array so that it is read when it is asked for; `dtype` may ask for the other byte order.

    Masks are stored as labels 0 and 1.
    """
    mask = labels and dtype == np.bool_ and array.dtype == np.uint8
    if dtype is None or not (mask or _same_values(dtype, array.dtype)):
        dtype = array.dtype
    return LazyArray(OrderedArray(array, tuple(range(array.ndim)), np.dtype(dtype)))


def _cached(level: xr.DataArray) -> xr.DataArray:
    """Keep in memory what is read of a level, and of its coordinates, for those who read it again."""
    askew = kept_of(level)
    for variable in (level.variable, *(coord.variable for name, coord in level.coords.items() if name not in askew)):
        if isinstance(variable._data, indexing.ExplicitlyIndexed) and not isinstance(variable, xr.IndexVariable):
            lazily: Any = variable._data
            variable.data = indexing.MemoryCachedArray(indexing.CopyOnWriteArray(lazily))
    return level


def _lazy_coordinate(array: zarr.Array[Any], dtype: np.dtype[Any], shape: tuple[int, ...]) -> Any:
    """Open a long coordinate without reading it."""
    if not _same_values(dtype, array.dtype):
        return indexing.LazilyIndexedArray(_PackedArray(array, dtype, shape))
    if array.shape != shape:
        raise ValueError(f"it has the shape {array.shape}, and the image's sizes ask for {shape}")
    return _lazy(array, dtype)


def _same_values(dtype: np.dtype[Any], stored: np.dtype[Any]) -> bool:
    """Whether two dtypes differ in their byte order at most."""
    return (dtype.kind, dtype.itemsize) == (stored.kind, stored.itemsize)


class _PackedArray(BackendArray):
    """A long coordinate of a dtype that Zarr does not hold; it is read as a whole when any of it is asked for."""

    __slots__ = ("array", "dtype", "shape")

    def __init__(self, array: zarr.Array[Any], dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self.array, self.dtype, self.shape = array, dtype, shape

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return self._pick(whole(self.array), key)

    async def async_getitem(self, key: indexing.ExplicitIndexer) -> Any:
        return self._pick(await asyncio.to_thread(whole, self.array), key)

    def _pick(self, stored: Any, key: indexing.ExplicitIndexer) -> Any:
        values = sidecar.unpack(np.asarray(stored), self.dtype, self.shape)
        return indexing.apply_indexer(indexing.NumpyIndexingAdapter(values), key)


def closer(store: StoreArgument, group: zarr.Group) -> Callable[[], None] | None:
    """Return what closes a store that was opened here; one that the user opened stays open."""
    return group.store.close if isinstance(store, str | os.PathLike) else None


def _foreign_attrs(array: zarr.Array[Any]) -> dict[str, Any]:
    """Return the attributes that another tool gave to a level's array."""
    return {key: value for key, value in array.attrs.asdict().items() if key not in OF_XARRAY}


OF_XARRAY = frozenset({"_ARRAY_DIMENSIONS", "_FillValue", "coordinates"})
"""Attributes of arrays by which xarray's own writer says how it stores them."""


def _encoding(array: zarr.Array[Any], image: Image) -> dict[str, Any]:
    """Say how the array is stored; `preferred_chunks` are the units that a reader decodes at once."""
    axes = image.multiscale.axes
    unusual = {axis.name: axis.type for axis in axes if axis.type and AXIS_TYPES.get(axis.name.lower()) != axis.type}
    encoding: dict[str, Any] = {
        "chunks": array.chunks,
        "preferred_chunks": dict(zip(image.multiscale.dims, array.shards or array.chunks, strict=True)),
        "compressors": array.compressors,
        "dtype": array.dtype,
    }
    labeled = {LABELED: True} if image.label is not None else {}
    return encoding | ({"axes": unusual} if unusual else {}) | labeled
