"""Append to an image along one dimension, as a time-lapse while it is acquired.

Readers see whole time points only. Their chunks are written where no array reaches yet; then the arrays are made
longer, coarse levels first; the attributes of the group, one document, come last. They say how many pixels there are
of each level (`sidecar.GROWING`): who opens the image at any moment sees those before, or those after. What an
interrupted call has left is seen by nobody, and is written over by the next one.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from xomezarr import sidecar, spec
from xomezarr.channels import describe_channels
from xomezarr.chunks import of_shape
from xomezarr.coords import Dimension, Irregular, dequantify, describe, to_units
from xomezarr.direct import takes_zarr_alone, update_attributes
from xomezarr.downsample import Method, MethodLike
from xomezarr.errors import (
    ArchiveError,
    AxisError,
    CoordinateError,
    DuplicateCoordinateError,
    EmptyDimensionError,
    IrregularCoordinateError,
    LabelError,
    LayoutError,
    OmeZarrError,
    PixelSizeWarning,
    RegionError,
    StoreExistsError,
    VersionError,
    collecting,
    raise_all,
    told_where_full,
)
from xomezarr.grid import Grid
from xomezarr.in_place import consolidated, renew
from xomezarr.labels import Labels
from xomezarr.layout import FLAT, layout_of
from xomezarr.lazy import zarr
from xomezarr.model import Image, Level
from xomezarr.notes import noted_in
from xomezarr.plan import final_image
from xomezarr.planning import as_integers, check_resume, plan_array
from xomezarr.progress import OnTile, progress_of
from xomezarr.pyramid import Pyramid
from xomezarr.read import open_tree
from xomezarr.regions import Region, check_grid
from xomezarr.resources import Resources
from xomezarr.store import (
    StoreArgument,
    below,
    check_inside,
    exists,
    is_begun,
    is_single_file,
    open_array,
    open_group,
    writable_group,
)
from xomezarr.updating import Part, StoredImage, check_labelled, looked_again, options_of_region, write_region
from xomezarr.write import create_coordinates, deferred, with_windows, write_array, write_plan

__all__ = ["AppendDim", "append", "write"]

type AppendDim = str | Mapping[str, int]
"""A dimension, or a dimension and how many pixels it will have in the end, of which room is made at once."""


def write(
    da: xr.DataArray,
    store: StoreArgument,
    *,
    region: Region | None = None,
    append_dim: AppendDim | None = None,
    lock: bool = True,
    extra: Mapping[Any, Any] | None = None,
    **options: Any,
) -> xr.DataTree | Any:
    """Write an array as an image, into a part of one, or to its end; as `OmeZarrArrayAccessor.to_zarr` says.

    `extra` are attributes of a new image's group.
    """
    if region is not None and append_dim is not None:
        raise RegionError("region writes what is there, and append_dim makes it longer; give one of them")
    if region is not None:
        return write_region(da, store, region, lock=lock, **options_of_region(options))
    if append_dim is not None:
        return append(da, store, append_dim, extra=extra, **options)
    return write_array(da, store, extra=extra, **options)


def append(
    da: xr.DataArray,
    store: StoreArgument,
    along: AppendDim,
    *,
    method: MethodLike | None = None,
    labels: Mapping[str, xr.DataArray | Labels] | None = None,
    irregular: Irregular = "raise",
    storage_options: Mapping[str, Any] | None = None,
    max_memory: int | str | None = None,
    workers: int | None = None,
    progress: bool | OnTile | None = None,
    compute: bool = True,
    mode: str = "w-",
    version: str | None = None,
    **creating: Any,
) -> xr.DataTree | Any:
    """Append an array to an image, or write the image if there is none.

    Parameters are those of `OmeZarrArrayAccessor.to_zarr`.

    Parameters
    ----------
    along
        `append_dim` of `to_zarr`.
    mode, version, **creating
        What is asked of an image that is made; one that is there decides about it.

    Returns
    -------
    xarray.DataTree or dask.delayed.Delayed
        The image, opened lazily.
    """
    dim, total = _asked(along)
    if is_single_file(store):
        raise ArchiveError(
            f"{store} is a single file, which is written as a whole, and nothing is appended to it; write a folder, "
            "and the file of it in the end: tree.omezarr.to_zarr(…)"
        )
    common: dict[str, Any] = {"method": method, "labels": labels, "irregular": irregular}
    machine: dict[str, Any] = {"storage_options": storage_options, "max_memory": max_memory, "workers": workers}
    if mode not in ("w-", "a"):  # which xarray's own writer asks for
        raise RegionError(
            f"mode={mode!r} replaces what is there, and append_dim makes it longer; leave mode out, and write the "
            "first time without append_dim to replace an image"
        )
    resume = creating.get("resume", False)
    check_resume(resume)
    there = exists(store, storage_options=storage_options)
    if there and resume:
        with suppress(OmeZarrError):  # whatever else is wrong is told below
            there = not is_begun(open_group(store, storage_options=storage_options))
    if not there:
        _check_room(dim, 0, da.sizes.get(dim, 1), total)
        creating |= {"version": version, "growing": (dim, total)}
        with warnings.catch_warnings():
            # how far time points are apart is known with the second one
            warnings.filterwarnings("ignore", f"dimension {re.escape(repr(dim))} has one pixel", PixelSizeWarning)
            made = plan_array(da, store, **common, **machine, **creating)
        return write_plan(*made, progress=progress, compute=compute)
    shown, resources = progress_of(progress, store), Resources.asked(max_memory, workers)
    image = looked_again(lambda: StoredImage.open(store, storage_options))
    if version not in (None, image.known.version):
        known = image.known.version
        raise VersionError(f"{store} is of OME-Zarr {known}, which what is appended has too; leave version out")

    def planned() -> _Growth:
        return _planned(da, store, dim, total, method, labels, irregular, storage_options, resources)

    def write_longer() -> xr.DataTree:
        listings: list[zarr.Group] = []
        try:
            with image.held(wholly=True):
                growth = planned()  # others may have appended before
                listings = growth.gathered()
                full = "the image is as it was, for all who read it; make room, and append it again"
                with told_where_full(store, full), shown(growth.nbytes) as on_tile:
                    growth.write(on_tile)
        finally:
            renew(listings)
        return open_tree(store, storage_options=storage_options, cache=True)

    if not compute:
        looked_again(planned)
    return deferred(write_longer, store, compute=compute)


def _asked(along: AppendDim) -> tuple[str, int | None]:
    """Return the dimension, and how long it will be in the end if that is known."""
    if isinstance(along, str):
        return along, None
    if isinstance(along, Mapping) and len(along) == 1:
        ((dim, total),) = along.items()
        whole = hasattr(total, "__index__") and not isinstance(total, bool)
        if isinstance(dim, str) and whole:
            return dim, int(total)
    raise RegionError(
        f'append_dim={along!r} is not known; give the dimension, append_dim="t", or with it how many pixels it will '
        'have in the end, no fewer than there are: append_dim={"t": 500}'
    )


def _check_room(dim: str, there: int, more: int, total: int | None) -> None:
    """Raise where more pixels are appended to those that are there than there are to be in the end."""
    if total is None or there + more <= total:
        return
    room = f"append_dim={{{dim!r}: {total}}} makes room for {total} pixels along {dim!r}"
    if not there:
        raise RegionError(f"{room}, and the array has {more}; give append_dim={{{dim!r}: {more}}}, or more")
    left = max(total - there, 0)
    full = f"of which {left} {'is' if left == 1 else 'are'} left" if left else "all of which are there"
    raise RegionError(
        f"{room}, {full}, and the array has {more}; leave the number out, and the arrays become longer: "
        f"append_dim={dim!r}"
    )


def _planned(
    da: xr.DataArray,
    store: StoreArgument,
    dim: str,
    total: int | None,
    method: MethodLike | None,
    labels: Mapping[str, xr.DataArray | Labels] | None,
    irregular: Irregular,
    storage_options: Mapping[str, Any] | None,
    resources: Resources,
) -> _Growth:
    """Return what is to be written of labels and image; all that is wrong is told together."""
    faults: list[OmeZarrError] = []
    image = StoredImage.open(store, storage_options)
    given = labels or {}
    longer: list[_Longer] = []
    with collecting(faults):
        longer.append(_longer(image, da, dim, total, method, irregular, resources))
    seen = {dim: image.base.sizes.get(dim, 1)}
    there = image.labels
    of_labels = ["labels", *(f"labels/{name}" for name in there)]
    with collecting(faults):
        image.check_not_between(*of_labels)
        check_inside(image.group, *of_labels)
    raise_all(faults, "the array cannot be appended")
    for name in there:
        with collecting(faults):
            own = StoredImage.open(below(store, f"labels/{name}"), storage_options, seen=seen)
            if own.base.sizes.get(dim, 1) == 1 and image.base.sizes.get(dim, 1) > 1:
                continue  # they stand for all pixels along it
            if dim not in own.dims:
                continue
            own.check_not_between()
            if name not in given:
                raise LabelError(
                    f"the image has the labels {name!r} along {dim!r}, which would be shorter than it; append to them "
                    f"too: labels={{{name!r}: …}}, or delete them: xomezarr.delete_labels(store, {name!r})"
                )
            asked = Labels.of(given[name], name)
            if asked.image.sizes.get(dim, 1) != da.sizes.get(dim, 1):
                raise LabelError(
                    f"the labels {name!r} have {asked.image.sizes.get(dim, 1)} pixels along {dim!r}, and the image has "
                    f"{da.sizes.get(dim, 1)}; give as many"
                )
            found = as_integers(asked.image)
            if dim not in found.coords and dim in da.coords:
                found = found.assign_coords({dim: da.coords[dim]})
            longer.insert(0, _longer(own, found, dim, total, asked.method, irregular, resources))
    for name in given:
        with collecting(faults):
            check_labelled(name, there)
    raise_all(faults, "the array cannot be appended")
    return _Growth(tuple(longer))


@dataclass(frozen=True, slots=True)
class _Longer:
    """An image with what is to be appended to it.

    Parameters
    ----------
    part
        What is written: pixels that no array reaches yet.
    axis
        Along which.
    before
        How many pixels of each level there are along it.
    image
        What the metadata will say.
    kept
        What the attribute of xomezarr will say.
    arrays
        Long coordinates, by path below the group.
    """

    part: Part
    axis: int
    before: tuple[int, ...]
    image: Image
    kept: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray[Any, Any]]

    @property
    def after(self) -> tuple[int, ...]:
        """How many pixels of each level there will be."""
        return tuple(array.shape[self.axis] for array in self.part.image.arrays)

    @property
    def dim(self) -> str:
        """Along which."""
        return self.part.image.dims[self.axis]

    def count(self) -> None:
        """Let the metadata say how many pixels there are, by which who opens the image from now on goes.

        Raises
        ------
        RegionError
            If its arrays are longer along another dimension than anybody sees.
        """
        stored = self.part.image
        with stored.described():
            self._count(stored)

    def _count(self, stored: StoredImage) -> None:
        group = writable_group(stored.store, stored.storage_options)
        known: Any = group.attrs.asdict().get(sidecar.KEY)
        told = sidecar.growing(known)
        if told == (self.dim, self.before):
            return
        if told is not None and told[0] != self.dim and told[0] in stored.dims:
            other, axis = told[0], stored.dims.index(told[0])
            there = tuple(open_array(stored.group, one.path).shape[axis] for one in stored.multiscale.levels)
            if there != told[1]:
                raise RegionError(
                    f"the image has {told[1][0]} pixels along {other!r}, and room for {there[0]}, made in advance or "
                    f"by what was interrupted; append along {other!r} until that is full, or write the image anew"
                )
        now = {**(known if isinstance(known, Mapping) else {}), sidecar.GROWING: sidecar.grown(self.dim, self.before)}
        update_attributes(group, {sidecar.KEY: now})

    def lengthen(self) -> None:
        """Make the arrays as long as they are to be, coarse levels first."""
        stored = self.part.image
        for index in reversed(range(len(stored.arrays))):
            array = open_array(stored.group, stored.multiscale.levels[index].path, "r+")
            if array.shape[self.axis] < self.after[index]:
                array.resize(stored.arrays[index].shape)

    def publish(self) -> None:
        """Write the metadata: those of the group come last.

        Raises
        ------
        StoreExistsError
            If another process has changed them meanwhile.
        """
        stored = self.part.image
        plan = replace(self.part.plan, image=self.image, arrays=self.arrays)
        for path in plan.arrays:  # of times before the last ones, or left by an interrupted call
            if path in stored.group:
                del stored.group[path]
        create_coordinates(stored.group, plan)
        image = final_image(with_windows(plan, stored.arrays[-1]))
        growing = sidecar.grown(self.dim, self.after, self.before)
        kept = {**self.kept, "written": sidecar.fingerprint(image), sidecar.GROWING: growing}
        with stored.described():
            group = writable_group(stored.store, stored.storage_options)
            attrs = group.attrs.asdict()
            if sidecar.growing(attrs.get(sidecar.KEY)) != (self.dim, self.before):
                raise StoreExistsError(
                    f"another process has appended to {stored.store} meanwhile; append again what is missing"
                )
            if spec.ome_part(attrs) != spec.ome_part(stored.group.attrs.asdict()):
                raise StoreExistsError(
                    f"the metadata of {stored.store} were changed by another process meanwhile; append again"
                )
            update_attributes(group, spec.dump(image, plan.version) | {sidecar.KEY: kept})


@dataclass(frozen=True, slots=True)
class _Growth:
    """An image and its labels with what is to be appended to them.

    Parameters
    ----------
    longer
        The labels, then the image, whose metadata come last: labels that are ahead of it are seen as before.
    """

    longer: tuple[_Longer, ...]

    @property
    def nbytes(self) -> int:
        """Decoded bytes that are written."""
        return sum(one.part.nbytes for one in self.longer)

    def gathered(self) -> list[zarr.Group]:
        """Return the groups in which metadata are gathered, which are to be gathered anew when they have changed."""
        stored = [one.part.image for one in self.longer]
        return [group for one in stored for group in consolidated(one.store, one.storage_options)]

    def write(self, on_tile: OnTile | None) -> None:
        """Write all pixels, then make all arrays longer, then say so."""
        image = self.longer[-1]
        for one in reversed(self.longer):
            one.count()
        with self._noted(image) if any(one.after[-1] != one.after[0] for one in self.longer) else nullcontext():
            # Icechunk takes no chunks beyond an array, and shows nobody what is not committed
            at_once = takes_zarr_alone(image.part.image.group.store)
            if at_once:
                self._lengthen()
            for one in self.longer:
                one.part.write(on_tile)
            if not at_once:
                self._lengthen()
            for one in self.longer:
                one.publish()

    def _lengthen(self) -> None:
        for one in self.longer:
            one.lengthen()

    def _noted(self, image: _Longer) -> AbstractContextManager[None]:
        """Tell of it: along what shrinks, the last pixel of a coarse level is made of new ones too, and is seen."""
        start, stop = image.part.shown[image.dim]
        last, labels = max(start - 1, 0), [one.part.image.group.basename for one in self.longer[:-1]]
        region = {**image.part.shown, image.dim: (last, start)}
        return noted_in(image.part.image.group, region, labels, covers={**region, image.dim: (last, stop)})


def _longer(
    stored: StoredImage,
    da: xr.DataArray,
    dim: str,
    total: int | None,
    method: MethodLike | None,
    irregular: Irregular,
    resources: Resources,
) -> _Longer:
    """Work out how an array is appended to an image.

    Raises
    ------
    OmeZarrError
        If it is no continuation of the image.
    """
    da, base = _like(dequantify(da), stored, dim), stored.base
    stored.check_dtype(da)
    stored.check_not_read_from(da)
    if layout_of([one.path for one in stored.multiscale.levels]) != FLAT:
        raise LayoutError(
            f"{stored.store} has the layout 'xarray', whose coordinates are arrays beside each level, which do not "
            'become longer at one moment; write the image with layout="ome" to append to it'
        )
    size, more, axis = base.sizes[dim], da.sizes[dim], stored.dims.index(dim)
    if not more:
        raise EmptyDimensionError(f"the array has no pixels along {dim!r}; select at least one")
    _check_room(dim, size, more, total)
    extended = _extended(base, da, dim)
    dimensions = _described(extended, stored)
    own = next(one for one in dimensions if one.name == dim)
    if not own.regular and irregular != "keep" and _is_regular(base, stored, dim):
        values = own.coordinate.values if own.coordinate is not None else np.empty(0)
        raise IrregularCoordinateError(
            f"coordinate {dim!r} goes on with {_shown(values[size : size + 3])} after {_shown(values[:size][-3:])}, "
            f'and is not regular any more; keep the true values: irregular="keep", or give it regular ones: '
            f"assign_coords({dim}=…)"
        )
    recipe = stored.recipe(method, np.dtype(da.dtype))
    sizes = zip(stored.dims, stored.shapes[0], strict=True)
    shapes = stored.shapes_of(tuple(size + more if name == dim else n for name, n in sizes))
    image = _image(stored, own, extended, None if recipe is None else recipe[1])
    view = replace(
        stored,
        arrays=tuple(of_shape(array, shape) for array, shape in zip(stored.arrays, shapes, strict=True)),
        known=image,
    )
    box = tuple(slice(size, size + more) if name == dim else slice(0, base.sizes[name]) for name in stored.dims)
    part = view.part_at(da, box, method, resources)
    kept, arrays = _kept(stored, extended, dimensions, image, dim)
    return _Longer(part, axis, tuple(array.shape[axis] for array in stored.arrays), image, kept, arrays)


def _like(da: xr.DataArray, stored: StoredImage, dim: str) -> xr.DataArray:
    """Return an array with the dimensions of the image, once it is sure that it lies on its pixels but for one."""
    base = stored.base
    if dim not in base.dims:
        raise AxisError(
            f"append_dim={dim!r} is no dimension of the image, which has {base.dims}; give one of these: an image that "
            f"is to grow along {dim!r} is written with it from the start, expand_dims({dim!r})"
        )
    if dim not in da.dims:
        da = da.expand_dims(dim)
    if set(da.dims) != set(base.dims):
        raise RegionError(
            f"the array has the dimensions {da.dims}, and the image {base.dims}; give it the same, with isel(…) or "
            "expand_dims(…)"
        )
    faults: list[OmeZarrError] = []
    for other in map(str, base.dims):
        if other == dim:
            continue
        with collecting(faults):
            if da.sizes[other] != base.sizes[other]:
                raise RegionError(
                    f"the array has {da.sizes[other]} pixels along {other!r}, and the image {base.sizes[other]}; "
                    f"only along {dim!r} may it have others"
                )
            check_grid(da, base, other, 0)
    raise_all(faults, "the array does not lie on the pixels of the image")
    return da


def _extended(base: xr.DataArray, da: xr.DataArray, dim: str) -> xr.DataArray:
    """Return an image with what is appended, as far as its coordinates go; it has no pixels."""
    coords: dict[Any, xr.Variable] = {}
    along = {name for name in base.coords if dim in base.coords[name].dims}
    own = {name for name in da.coords if dim in da.coords[name].dims}
    if lacking := sorted(map(str, along - own)):
        raise CoordinateError(
            f"the array has no coordinate {lacking[0]!r}, and the image has it along {dim!r}; give the appended pixels "
            f"theirs: assign_coords({lacking[0]}=({dim!r}, …))"
        )
    if surplus := sorted(map(str, own - along)):
        raise CoordinateError(
            f"the array has a coordinate {surplus[0]!r} along {dim!r}, and the image has none for the pixels that are "
            f"there; leave it out: drop_vars({surplus[0]!r})"
        )
    units = [one.coords[dim].attrs.get("units") if dim in one.coords else None for one in (base, da)]
    if None not in units and units[0] != units[1] and da.coords[dim].dtype.kind in "iuf":
        da = to_units(da, {dim: str(units[0])})
    for name, coord in base.coords.items():
        variable = coord.variable
        if name not in along:
            if name in base.dims:
                coords[name] = variable
            continue
        if variable.ndim > 1:
            raise CoordinateError(
                f"the image has a coordinate {name!r} along {variable.dims}, which cannot be appended to; leave it out "
                f"of the image: drop_vars({name!r})"
            )
        attrs = {key: value for key, value in variable.attrs.items() if key != "scale" or isinstance(value, str)}
        kinds = [one.coords[name].dtype.kind for one in (base, da)]
        if ("M" in kinds or "m" in kinds) and kinds[0] != kinds[1]:
            raise CoordinateError(
                f"coordinate {name!r} of the array is {da.coords[name].dtype}, and that of the image {variable.dtype}; "
                "give it the same kind"
            )
        coords[name] = xr.Variable(dim, np.concatenate([variable.values, da.coords[name].values]), attrs)
    if dim in coords:
        _check_after(base.coords[dim].values, da.coords[dim].values, dim)
    shape = [base.sizes[name] + (da.sizes[dim] if name == dim else 0) for name in base.dims]
    room = np.broadcast_to(np.zeros((), base.dtype), shape)
    result = xr.DataArray(room, coords, base.dims, name=base.name, attrs=base.attrs)
    result.encoding = {key: value for key, value in base.encoding.items() if key == "axes"}
    return result


def _check_after(there: Any, appended: Any, dim: str) -> None:
    """Make sure that what is appended comes after what there is, or has other names."""
    if appended.dtype.kind not in "iufmM":
        if again := [name for name in appended.tolist() if name in set(there.tolist())]:
            raise DuplicateCoordinateError(
                f"coordinate {dim!r} has {again[0]!r}, which the image has already; append others, or replace it: "
                'region="auto"'
            )
        return
    if appended[0] > there[-1]:
        return
    if appended[0] in there:
        raise DuplicateCoordinateError(
            f"coordinate {dim!r} begins with {appended[0]}, which the image has already; append what comes after "
            f'{there[-1]}, or replace it: region="auto"'
        )
    raise CoordinateError(
        f"coordinate {dim!r} begins with {appended[0]}, before the last one of the image, {there[-1]}; append in "
        "ascending order"
    )


def _is_regular(base: xr.DataArray, stored: StoredImage, dim: str) -> bool:
    """Whether the pixels that there are lie at equal distances along a dimension, as far as they tell."""
    return base.sizes[dim] < 3 or next(one.regular for one in _described(base, stored) if one.name == dim)


def _described(da: xr.DataArray, stored: StoredImage) -> tuple[Dimension, ...]:
    types = {axis.name: axis.type for axis in stored.multiscale.axes if axis.type}
    return describe(da, axes=types, irregular="keep")


def _image(stored: StoredImage, own: Dimension, extended: xr.DataArray, method: Method | None) -> Image:
    """Return what the metadata of the longer image say: all that was said, with where its pixels lie along one axis."""
    dim, known, multiscale = own.name, stored.known, stored.multiscale
    levels = list(multiscale.levels)
    if own.coordinate is not None and own.kind != "label":
        grids = [own.grid]
        if method is not None:
            steps, boundary = stored.steps()
            made = Pyramid((own,), method, tuple({dim: step[dim]} for step in steps), boundary, None, {})
            grids = [one[dim] for one in made.grids]
        levels = [_moved(one, dim, grid) for one, grid in zip(levels, grids, strict=True)]
    axes = tuple(replace(axis, unit=own.axis.unit) if axis.name == dim else axis for axis in multiscale.axes)
    longer = replace(multiscale, levels=tuple(levels), axes=axes)
    channels = known.channels
    if channels is not None and own.axis.type == "channel":
        described = describe_channels(extended, dim) or ()
        channels = (*channels, *(described[len(channels) :] or ()))
    return replace(known, multiscales=(longer, *known.multiscales[1:]), channels=channels)


def _moved(one: Level, dim: str, grid: Grid) -> Level:
    return replace(one, scale={**one.scale, dim: grid.scale}, translation={**one.translation, dim: grid.translation})


def _kept(
    stored: StoredImage, extended: xr.DataArray, dimensions: tuple[Dimension, ...], image: Image, dim: str
) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """Return what the attribute of xomezarr will say, and the long coordinates along the dimension."""
    known: Any = stored.group.attrs.asdict().get(sidecar.KEY)
    if not isinstance(known, Mapping) or not known.get("coords"):
        known = {}
        beside = {name: coord for name, coord in stored.base.coords.items() if name not in extended.coords}
        extended = extended.assign_coords(beside)
    made, arrays = sidecar.dump(extended, dimensions, image)
    before = known.get("coords", {})
    coords: dict[str, Any] = {}
    for name in [*before, *(name for name in made["coords"] if name not in before)]:
        stays = name in before and dim not in before[name].get("dims", ())
        coords[name] = before[name] if stays else made["coords"][name]
    taken = sidecar.arrays_in(known)
    moved: dict[str, Any] = {}
    for name, entry in coords.items():
        path = entry.get("array")
        if entry is not made["coords"].get(name) or path is None:
            continue
        free = next(place for n in range(len(taken) + len(moved) + 1) if (place := f"{sidecar.KEY}/{n}") not in taken)
        taken, moved[free] = taken | {free}, arrays[path]
        coords[name] = {**entry, "array": free}
    kept = {**known, **made, "coords": coords}
    if "levels" in known:
        kept["levels"] = [{name: entry for name, entry in one.items() if name != dim} for one in known["levels"]]
    return kept, moved


def _shown(values: Any) -> str:
    return ", ".join(f"{value:.10g}" if isinstance(value, float) else str(value) for value in values)
