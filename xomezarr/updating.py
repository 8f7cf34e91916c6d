"""Write a part of an image that is stored: its pixels, and just what is made of them in every level.

The chunks around it are read and written again where the part cuts them. Who writes whole chunks of all levels shares
the image with others who do so; whoever else changes or replaces it has it alone. What is written is planned of the
image as it is then.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from xomezarr import sidecar, spec
from xomezarr.alignment import steps_between
from xomezarr.aside import waited_for
from xomezarr.chunks import Chunks, of_shape, reachable_elsewhere
from xomezarr.coords import dequantify
from xomezarr.downsample import METHODS, Method, MethodLike, Recipe, check_values, get_method, lazy_blocks, recipe
from xomezarr.errors import (
    UNREADABLE_MEMBER,
    DtypeError,
    IncompleteStoreError,
    LabelError,
    LevelError,
    MetadataError,
    MethodError,
    MultipleErrors,
    OmeZarrError,
    RegionError,
    StoreExistsError,
    StoreNotFoundError,
    VersionError,
    collecting,
    raise_all,
    told_where_full,
)
from xomezarr.grid import Boundary, Grid, block_count, step_factor
from xomezarr.journal import folder_of
from xomezarr.labels import Labels
from xomezarr.lazy import zarr
from xomezarr.model import Image, Multiscale
from xomezarr.notes import noted_in
from xomezarr.pixels import Pixels
from xomezarr.plan import COMPRESSORS, LevelPlan, Plan
from xomezarr.planning import as_integers
from xomezarr.presence import Folder, arrays_behind, check_there, presences, reopened
from xomezarr.progress import OnTile, progress_of
from xomezarr.pyramid import lazy_data
from xomezarr.read import open_tree, tree_of
from xomezarr.regions import Region, placed
from xomezarr.resources import Resources
from xomezarr.source import Patched, Source, check_assumed, direct_source, stored
from xomezarr.store import (
    StoreArgument,
    apart,
    below,
    changing,
    check_changeable,
    check_inside,
    check_not_between,
    check_not_read_only,
    labels_of,
    listed_labels,
    open_array,
    open_group,
    writable_group,
)
from xomezarr.tree import level
from xomezarr.windows import Box, affected, is_aligned, parts_of
from xomezarr.write import deferred, told_of_sources, write_pixels

__all__ = ["Change", "Part", "StoredImage", "check_labelled", "looked_again", "options_of_region", "write_region"]

_IN_MEMORY = threading.Lock()
"""What stands for the locks of stores that no other process reaches."""


def write_region(
    da: xr.DataArray,
    store: StoreArgument,
    region: Region,
    *,
    method: MethodLike | None = None,
    labels: Mapping[str, xr.DataArray | Labels] | None = None,
    storage_options: Mapping[str, Any] | None = None,
    max_memory: int | str | None = None,
    workers: int | None = None,
    lock: bool = True,
    progress: bool | OnTile | None = None,
    compute: bool = True,
) -> xr.DataTree | Any:
    """Write an array into a part of an image; all levels become what they were had all of it been written so.

    Parameters are those of `OmeZarrArrayAccessor.to_zarr`.

    Returns
    -------
    xarray.DataTree or dask.delayed.Delayed
        The image, opened lazily.

    Raises
    ------
    RegionError, CoordinateError
        If the array is no part of the image, as `regions.placed` says; or if others may write the same chunks at the
        same time, in a store that has no locks.
    DtypeError
        If its pixels are of another dtype.
    MethodError
        If it is not known how the levels are made of each other, or in another way than is asked for.
    """
    if not isinstance(lock, bool | np.bool_):
        raise RegionError(f"lock={lock!r} is neither True nor False; give lock=False where no other process writes")
    shown = progress_of(progress, store)
    resources = Resources.asked(max_memory, workers)

    def planned() -> Change:
        return _planned(da, store, region, method, labels, storage_options, resources)

    change = looked_again(planned)
    if lock:
        change.check_lockable()

    def write_change() -> xr.DataTree:
        full = "the region is written in part; make room, and write it again"
        with (
            change.held(planned) if lock else nullcontext(change) as now,
            told_where_full(store, full),
            shown(now.nbytes) as on_tile,
        ):
            now.write(on_tile)
        return open_tree(store, storage_options=storage_options, cache=True)

    return deferred(write_change, store, compute=compute)


ALLOWED = frozenset({"method", "labels", "storage_options", "max_memory", "workers", "progress", "compute"})
"""Options of `to_zarr` that a part of an image can have."""

USUAL: Mapping[str, Any] = {"boundary": "pad", "mode": "w-", "compressors": COMPRESSORS, "irregular": "raise"}
"""Those of the others that are neither None nor False where nobody gives them."""


def looked_again[T](planned: Callable[[], T]) -> T:
    """Return what is planned of an image; anew, where others may have changed it between two looks at its parts."""
    for _ in range(LOOKS - 1):
        try:
            return planned()
        except UNREADABLE_MEMBER as error:
            if isinstance(error, OmeZarrError) and not isinstance(error, MAY_PASS):
                raise
        time.sleep(LOOK_WAIT)
    return planned()


MAY_PASS = (LevelError, MetadataError, IncompleteStoreError, StoreNotFoundError, MultipleErrors)
"""Errors that an image gives while others change it."""

LOOKS, LOOK_WAIT = 3, 0.05
"""What changes meanwhile does so once or twice, in some milliseconds: it is whole before and after."""


def options_of_region(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of `to_zarr` that a part of an image can have.

    Raises
    ------
    RegionError
        If another one is given.
    """
    given = [
        f"{name}={value!r}"
        for name, value in options.items()
        if name not in ALLOWED
        and not (value is None or value is False or (isinstance(value, str) and value == USUAL.get(name)))
        and not (name == "mode" and value in ("r+", "a"))  # what xarray's own writer asks for
    ]
    if given:
        raise RegionError(f"a region is written as the image is stored, without {', '.join(given)}; leave that out")
    return {name: value for name, value in options.items() if name in ALLOWED}


def _planned(
    da: xr.DataArray,
    store: StoreArgument,
    region: Region,
    method: MethodLike | None,
    labels: Mapping[str, xr.DataArray | Labels] | None,
    storage_options: Mapping[str, Any] | None,
    resources: Resources,
) -> Change:
    """Return what is to be written of an image and its labels; all that is wrong is told together."""
    faults: list[OmeZarrError] = []
    parts: dict[str, Part] = {}
    image = StoredImage.open(store, storage_options)
    with collecting(faults):
        parts[""] = image.part(da, region, method, resources)
    there = image.labels
    if labels:
        with collecting(faults):
            check_inside(image.group, "labels", *(f"labels/{name}" for name in labels if name in there))
    seen = {str(dim): size for dim, size in image.base.sizes.items()}
    for name, array in (labels or {}).items():
        with collecting(faults):
            check_labelled(name, there)
            asked = Labels.of(array, name)
            own = StoredImage.open(below(store, f"labels/{name}"), storage_options, seen=seen)
            where = own.known_dims(region)
            if "" in parts and own.lies_as(image):  # labels need no coordinates, and those that they have are looked at
                shown = parts[""].shown
                where = own.known_dims({dim: slice(*shown[dim]) for dim in own.dims})
            parts[name] = own.part(as_integers(asked.image), where, asked.method, resources)
    if len(parts) > 1:
        with collecting(faults):
            for written, read in itertools.permutations(parts.values(), 2):
                for pixels in read.pixels.stored:
                    written.image.check_not_read(pixels.array)
    raise_all(faults, "the region cannot be written")
    return Change(tuple(parts.values()), frozenset(parts) - {""})


def check_labelled(name: str, there: Collection[str]) -> None:
    """Make sure that an image has labels of a name among those that are there.

    Raises
    ------
    LabelError
        If it has none.
    """
    if name not in there:
        raise LabelError(
            f"the image has no labels {name!r}, but {there}; add them as a whole first: "
            f"labels.omezarr.to_labels(store, {name!r})"
        )


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image that is stored, to be changed in a part.

    Parameters
    ----------
    store, storage_options
        Where it is.
    group
        Its group, to be written.
    known
        What its metadata say.
    base
        Level 0, lazily.
    arrays
        Of the levels, as far as they are seen.
    folder
        In which it lies; None if it is in none, or nothing tells that from others.
    """

    store: StoreArgument
    storage_options: Mapping[str, Any] | None
    group: zarr.Group
    known: Image
    base: xr.DataArray
    arrays: tuple[zarr.Array[Any], ...]
    folder: Folder | None

    @classmethod
    def open(
        cls, store: StoreArgument, storage_options: Mapping[str, Any] | None, *, seen: Mapping[str, int] | None = None
    ) -> StoredImage:
        """Open an image.

        Parameters
        ----------
        seen
            As in `read.tree_of`.

        Raises
        ------
        OmeZarrError
            If there is none that can be changed.
        """
        check_changeable(store)
        check_not_read_only(store)
        opened = open_group(store, storage_options=storage_options)
        folder = Folder.of(opened)
        tree = tree_of(opened, labels=False, seen=seen)
        group = writable_group(store, storage_options)
        if not group.store.supports_deletes:
            raise RegionError(
                f"{store} is a store in which nothing can be written again; write a part of one that is a folder, or "
                "in an object store"
            )
        known = spec.parse(group.attrs.asdict())
        if not known.multiscale.placed:
            raise VersionError(
                f"{store} is of OME-Zarr {known.version}, which does not say where levels lie; upgrade it first: "
                "xomezarr.upgrade(store)"
            )
        arrays = []
        for index, of_level in enumerate(known.multiscale.levels):
            array = open_array(group, of_level.path, "r+")
            sizes = level(tree, index).sizes
            arrays.append(of_shape(array, [sizes[dim] for dim in known.multiscale.dims]))
        return cls(store, storage_options, group, known, level(tree, 0), tuple(arrays), folder)

    @property
    def growing(self) -> str | None:
        """The dimension along which the image is appended to; None where nobody does that."""
        found = sidecar.growing(self.group.attrs.asdict().get(sidecar.KEY))
        return None if found is None else found[0]

    @contextmanager
    def held(self, *, wholly: bool, labels: Sequence[StoredImage] = ()) -> Iterator[None]:
        """Keep others from changing or replacing the image and labels meanwhile, where that is possible.

        Raises
        ------
        StoreNotFoundError, StoreExistsError
            If it is gone, or another one is there.
        """
        folder = folder_of(self.group)
        if folder is not None:
            folders = [own for one in labels if (own := folder_of(one.group)) is not None]
            with changing(folder, wholly=wholly, labels=folders):
                for one in (self, *labels):
                    one.check_there()
                yield
        elif reachable_elsewhere(self.group.store):
            yield
        else:
            with waited_for(_IN_MEMORY):
                yield

    @contextmanager
    def described(self) -> Iterator[None]:
        """Keep others from changing the metadata of the image meanwhile, of which nothing is listed anywhere."""
        from xomezarr import stage

        folder = folder_of(self.group)
        with nullcontext() if folder is None else stage.locked(folder):
            self.check_there()
            yield

    def check_there(self) -> None:
        """Make sure that it is the image that was opened.

        Raises
        ------
        StoreExistsError
            If it is not.
        """
        if self.folder is not None and not self.folder.is_there():
            raise StoreExistsError(
                f"the image at {self.store} was replaced by another process meanwhile; open it, and write again what "
                "belongs there"
            )

    @property
    def labels(self) -> list[str]:
        """Names of its labels, those that are listed."""
        group = labels_of(self.group)
        return [] if group is None else [*listed_labels(group)]

    def check_not_between(self, *others: str) -> None:
        """Make sure that no upgrade has left its documents in both Zarr formats, of which one alone would change.

        Parameters
        ----------
        others
            Paths of other groups in it that are looked at.

        Raises
        ------
        IncompleteStoreError
            If one has.
        """
        check_not_between(self.group, *(one.path for one in self.multiscale.levels), *others)

    def is_current(self) -> bool:
        """Whether the image is as it was when it was opened, but for pixels."""
        try:
            if writable_group(self.store, self.storage_options).attrs.asdict() != self.group.attrs.asdict():
                return False
            for array in self.arrays:
                check_there(array)
        except (OmeZarrError, *UNREADABLE_MEMBER):
            return False
        return True

    @property
    def multiscale(self) -> Multiscale:
        """The image, of those that the group holds."""
        return self.known.multiscale

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions in file order."""
        return self.multiscale.dims

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of the levels."""
        return tuple(tuple(array.shape) for array in self.arrays)

    @property
    def grids(self) -> tuple[dict[str, Grid], ...]:
        """Pixel centres of the levels, by dimension."""
        levels = zip(self.multiscale.levels, self.shapes, strict=True)
        return tuple(one.grid(dict(zip(self.dims, shape, strict=True))) for one, shape in levels)

    def lies_as(self, image: StoredImage) -> bool:
        """Whether labels have the pixels of their image, or one for all, along each dimension."""
        return all(self.base.sizes[dim] in (1, image.base.sizes.get(dim)) for dim in self.dims)

    def known_dims(self, region: Region) -> Region:
        """Return what a region says of the dimensions that the image has, with more than one pixel."""
        if not isinstance(region, Mapping):
            return region
        return {dim: part for dim, part in region.items() if dim in self.dims and self.base.sizes[dim] > 1}

    def part(self, da: xr.DataArray, region: Region, method: MethodLike | None, resources: Resources) -> Part:
        """Return the part of the image that an array is, and all that is made of it.

        Raises
        ------
        OmeZarrError
            As `write_region` says.
        """
        da = dequantify(da)
        check_assumed(da)
        self.check_dtype(da)
        self.check_not_read_from(da)
        da, where = placed(da, self.base, region)
        return self.part_at(da, tuple(where[dim] for dim in self.dims), method, resources)

    def check_dtype(self, da: xr.DataArray) -> None:
        """Make sure that pixels are of the image's dtype; the order of their bytes is no matter.

        Raises
        ------
        DtypeError
            If they are not.
        """
        own, theirs = np.dtype(da.dtype).newbyteorder("="), np.dtype(self.arrays[0].dtype).newbyteorder("=")
        if own != theirs:
            raise DtypeError(
                f"the array is of dtype {own}, and the image of {theirs}; convert it: astype({str(theirs)!r})"
            )

    def check_not_read_from(self, da: xr.DataArray) -> None:
        """Refuse pixels that have to be read from the image while that changes.

        Raises
        ------
        StoreExistsError
            If they may have to.
        """
        for read in arrays_behind(da.variable._data):
            self.check_not_read(read)

    def check_not_read(self, read: zarr.Array[Any]) -> None:
        """Refuse an array of the image's own pixels, as `check_not_read_from` says."""
        if not self._is_apart(read):
            raise StoreExistsError(
                f"the array is read from {self.store} while that changes, so that what it reads would be old in part "
                "and new in part; read it first: da.load()"
            )

    def _is_apart(self, read: zarr.Array[Any]) -> bool:
        """Whether an array is none of the levels."""
        folder, found = folder_of(self.group), reopened(read)
        if folder is None:
            places = [below(self.store, array.path) for array in self.multiscale.levels]
            return all(apart(place, found.store_path, self.storage_options) for place in places)
        if not isinstance(found.store, zarr.storage.LocalStore):
            return True
        place = (found.store.root / found.path).resolve()
        return place not in [(folder / one.path).resolve() for one in self.multiscale.levels]

    def part_at(self, da: xr.DataArray, box: Box, method: MethodLike | None, resources: Resources) -> Part:
        """Return the part of the image at known pixels."""
        made = self.recipe(method, np.dtype(da.dtype))
        if made is not None:
            check_values(da.variable._data, made[1])
        levels = tuple(
            LevelPlan(
                of_level.path,
                grids,
                dict(zip(self.dims, array.chunks, strict=True)),
                np.dtype(array.dtype),
                None if array.shards is None else dict(zip(self.dims, array.shards, strict=True)),
            )
            for of_level, grids, array in zip(self.multiscale.levels, self.grids, self.arrays, strict=True)
        )
        base, source = stored(Chunks(self.arrays[0])), direct_source(da, self.dims)
        found = None if made is None else made[0]
        patched = None if source is None else Patched(base, source, box)
        pixels = Pixels(self.dims, (da,), found, (patched,), presences(da.variable._data))
        passes = pixels.passes(
            self.shapes,
            [tuple(one.chunks.values()) for one in levels],
            [one.unit for one in levels],
            workers=resources.workers,
            max_memory=resources.max_memory,
        )
        passes = parts_of(passes, found, self.shapes, box, keeps_carries=pixels.keeps_carries)
        if source is None:
            window = passes[0].tiling.window(0)
            pixels = replace(pixels, levels=(_around(da, self.dims, base, box, window),))
        version = spec.written_as(self.known.version)
        empty = spec.zarr_format(version) == 2 or levels[0].dtype.kind == "c"
        plan = Plan(
            self.store,
            "r+",
            version,
            self.known,
            levels,
            {},
            {},
            COMPRESSORS,
            self.storage_options,
            passes,
            empty,
        )
        growing = None if self.growing is None else self.dims.index(self.growing)
        return Part(self, plan, pixels, box, affected(found, self.shapes, box), growing)

    def recipe(self, asked: MethodLike | None, dtype: np.dtype[Any]) -> tuple[Recipe, Method] | None:
        """Return how the levels are made of each other; None where there is level 0 alone.

        Raises
        ------
        MethodError
            If that is not known, or another method is asked for.
        LevelError
            If they are not made of whole blocks.
        """
        if len(self.arrays) == 1:
            return None
        told = self._told
        row = None if asked is None else get_method(asked)
        known = METHODS.get(self.multiscale.type or "")
        ours = known is not None and told.get("method") == known.called
        if row is None and not ours:
            by = f" by {told['method']!r}" if isinstance(told.get("method"), str) else ""
            raise MethodError(
                f"the levels of {self.store} were made{by}, and not by a method of xomezarr; say by which pixels of "
                'coarser levels are to be made: method="local_mean", say'
            )
        if row is not None and isinstance(told.get("method"), str) and ours and row.called != told["method"]:
            raise MethodError(
                f"method {row.name!r} is asked for, and the levels of {self.store} were made by "
                f"{self.multiscale.type!r}; leave method out"
            )
        chosen = row or known
        assert chosen is not None
        steps, boundary = self.steps()
        skipna = self._arguments.get("skipna") if ours else None
        room = np.broadcast_to(np.zeros((), dtype), self.shapes[0])
        return recipe(room, self.dims, steps, chosen, boundary=boundary, skipna=skipna), chosen

    @property
    def _told(self) -> Mapping[str, Any]:
        """What the metadata tell of how the levels were made."""
        return self.multiscale.metadata if isinstance(self.multiscale.metadata, Mapping) else {}

    @property
    def _arguments(self) -> Mapping[str, Any]:
        """With what it was called that made the levels."""
        kwargs = self._told.get("kwargs")
        return kwargs if isinstance(kwargs, Mapping) else {}

    def steps(self) -> tuple[list[dict[str, int]], Boundary]:
        """Return the factors from level to level: those that the metadata tell, else those that sizes and scales do.

        Raises
        ------
        LevelError
            If no whole factors make the levels.
        """
        told, boundary = self._arguments.get("factors"), self._arguments.get("boundary")
        if isinstance(told, Sequence) and boundary in ("pad", "trim"):
            with suppress(TypeError, ValueError, AttributeError):
                steps = [{dim: int(step.get(dim, 1)) for dim in self.dims} for step in told]
                if self._made_by(steps, boundary, self.shapes[0]) == self.shapes:
                    return steps, boundary
        try:
            return steps_between(self.grids, self.dims, self.multiscale.name or "image")
        except LabelError:
            sizes = " → ".join("×".join(map(str, shape)) for shape in self.shapes)
            raise LevelError(
                f"the levels of {self.store} have {sizes} pixels, which come about by no whole factors, so that a part "
                "of one is none of the next; write the image anew: tree.omezarr.level(0).omezarr.to_zarr(…)"
            ) from None

    def shapes_of(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """Return those that the levels would have where level 0 had this one."""
        return self._made_by(*self.steps(), shape) if len(self.arrays) > 1 else (shape,)

    def _made_by(
        self, steps: Sequence[Mapping[str, int]], boundary: Boundary, shape: tuple[int, ...]
    ) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of the levels that factors make of one of level 0."""
        found = [shape]
        for step in steps:
            along = zip(self.dims, found[-1], strict=True)
            found.append(tuple(block_count(n, step_factor(n, step[dim]), boundary) for dim, n in along))
        return tuple(found)


def _around(da: xr.DataArray, dims: Sequence[str], base: Source, box: Box, window: Box) -> xr.DataArray:
    """Return an array that dask computes, with the stored pixels around it that coarser ones are made of too."""
    import dask.array

    data = lazy_data(da).transpose([da.dims.index(dim) for dim in dims])
    whole = list(box)
    for axis, (own, wanted) in enumerate(zip(box, window, strict=True)):
        rims = []
        for rim in (slice(wanted.start, own.start), slice(own.stop, wanted.stop)):
            cut = [*whole[:axis], rim, *whole[axis + 1 :]]
            shape = tuple(part.stop - part.start for part in cut)
            rims.append(lazy_blocks(_Cut(base, tuple(cut)), shape) if rim.start < rim.stop else None)
        whole[axis] = wanted
        pieces = [piece for piece in (rims[0], data, rims[1]) if piece is not None]
        data = pieces[0] if len(pieces) == 1 else dask.array.concatenate(pieces, axis)
    return xr.DataArray(data, dims=tuple(dims))


class _Cut:
    """A box of a source, which is read where slices of it are taken."""

    def __init__(self, source: Source, box: Box) -> None:
        self._source, self._box = source, box
        self.shape, self.dtype = tuple(part.stop - part.start for part in box), source.dtype
        self.ndim = len(box)

    def __getitem__(self, key: tuple[slice, ...]) -> Any:
        parts = [part.indices(n) for part, n in zip(key, self.shape, strict=True)]
        return self._source.read(
            tuple(
                slice(own.start + start, own.start + stop)
                for own, (start, stop, _) in zip(self._box, parts, strict=True)
            )
        )


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an image that is to be written, with all that is made of it.

    Parameters
    ----------
    image
        The image.
    plan, pixels
        How, and from what.
    box
        Its pixels of level 0, in file order.
    areas
        The pixels of each level that change.
    growing
        The axis along which the image is appended to; None where nobody does that.
    """

    image: StoredImage
    plan: Plan
    pixels: Pixels
    box: Box
    areas: tuple[Box, ...]
    growing: int | None = None

    @property
    def nbytes(self) -> int:
        """Decoded bytes that are written."""
        pixels = (math.prod(part.stop - part.start for part in area) for area in self.areas)
        return sum(count * level.dtype.itemsize for count, level in zip(pixels, self.plan.levels, strict=True))

    @property
    def aligned(self) -> bool:
        """Whether it is made of whole chunks, so that those who write other such parts share none with it."""
        units = [one.unit for one in self.plan.levels]
        return is_aligned(units, self.pixels.recipe, self.image.shapes, self.box, growing=self.growing)

    def check_lockable(self) -> None:
        """Make sure that nobody else writes the same chunks meanwhile.

        Raises
        ------
        RegionError
            If that cannot be prevented.
        """
        group = self.image.group
        if self.aligned or folder_of(group) is not None or not reachable_elsewhere(group.store):
            return
        dims = self.image.dims
        units = dict(zip(dims, self.plan.levels[0].unit, strict=True))
        raise RegionError(
            f"the region {self.shown} shares chunks, of {units} pixels in level 0, with the pixels around it in some "
            f"level, and {self.image.store} has no locks to keep other processes from writing these at the same time; "
            "give whole chunks of all levels, or whole dimensions, or, where no other process writes, lock=False"
        )

    @property
    def shown(self) -> dict[str, tuple[int, int]]:
        """Its pixels of level 0, by dimension: the first one, and the one after the last."""
        return {dim: (part.start, part.stop) for dim, part in zip(self.image.dims, self.box, strict=True)}

    def write(self, on_tile: OnTile | None) -> None:
        """Write it."""
        self.pixels.check()
        arrays = [
            array.with_config({"write_empty_chunks": self.plan.write_empty_chunks}) for array in self.image.arrays
        ]
        with told_of_sources(self.pixels):
            write_pixels(self.plan, self.pixels, arrays, self.image.group, on_tile, areas=self.areas)
            self.pixels.check()
            self.image.check_there()


@dataclass(frozen=True, slots=True)
class Change:
    """Parts of an image and of its labels that are written as one.

    Parameters
    ----------
    parts
        The image's, then those of its labels.
    labels
        Names of these.
    """

    parts: tuple[Part, ...]
    labels: frozenset[str]

    @property
    def image(self) -> StoredImage:
        """The image, to which the labels belong."""
        return self.parts[0].image

    @property
    def nbytes(self) -> int:
        """Decoded bytes that are written."""
        return sum(part.nbytes for part in self.parts)

    @property
    def aligned(self) -> bool:
        """Whether all parts are."""
        return all(part.aligned for part in self.parts)

    def check_lockable(self) -> None:
        """Make sure of each that nobody else writes the same chunks meanwhile; as `Part.check_lockable`."""
        for part in self.parts:
            part.check_lockable()

    @contextmanager
    def held(self, planned: Callable[[], Change]) -> Iterator[Change]:
        """Keep others out, as far as that is needed, and yield what is written of the image that is there then.

        Parameters
        ----------
        planned
            Plans it anew.
        """
        change = self
        while True:
            wholly = not change.aligned
            with change.image.held(wholly=wholly, labels=[part.image for part in change.parts[1:]]):
                if not all(part.image.is_current() for part in change.parts):
                    change = planned()
                if wholly or change.aligned:
                    yield change
                    return

    def write(self, on_tile: OnTile | None) -> None:
        """Write it; a note in the store tells of it until that is done."""
        with noted_in(self.image.group, self.parts[0].shown, self.labels):
            for part in self.parts:
                part.write(on_tile)
