"""Scale what is in Zarr already: an array, or level 0 of an OME-Zarr image, becomes a pyramid."""

from __future__ import annotations

import math
import os
import shlex
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import xarray as xr

from xomezarr import archive, sidecar, spec
from xomezarr.alignment import MEETS_WITHIN, steps_between
from xomezarr.besides import coordinates_beside
from xomezarr.checks import leads_below
from xomezarr.coords import Irregular, assign_grid
from xomezarr.downsample import get_method, is_sampled
from xomezarr.errors import (
    UNREADABLE_ARRAY,
    UNREADABLE_MEMBER,
    AxisError,
    CoordinateError,
    DtypeError,
    FactorError,
    LabelError,
    LabelWarning,
    LayoutError,
    LevelError,
    MethodError,
    OmeZarrError,
    OmeZarrWarning,
    OtherImagesWarning,
    ResumeError,
    StoreExistsError,
    VersionError,
    collecting,
    raise_all,
    told,
    told_where_full,
    warn,
)
from xomezarr.extents import place_in
from xomezarr.grid import Boundary, Grid
from xomezarr.in_place import add_levels
from xomezarr.labels import SOURCE, label_method
from xomezarr.layout import FLAT, array_name, layout_of, level_group
from xomezarr.lazy import zarr
from xomezarr.model import Image
from xomezarr.pixels import Pixels
from xomezarr.plan import Plan, Shards, final_image, group_attributes
from xomezarr.planning import beside, chosen_version, plan_array, plan_label_image
from xomezarr.progress import OnTile, progress_of
from xomezarr.pyramid import Factors, design
from xomezarr.read import level_at, listing_of
from xomezarr.readers import open_image
from xomezarr.readers.filearray import guessed
from xomezarr.report import Finding
from xomezarr.store import (
    ALL_DOCUMENTS,
    address,
    arrays_in,
    check_array,
    check_changeable,
    check_complete,
    check_not_between,
    default_name,
    groups_above,
    label_names,
    names_in,
    not_a_store,
    open_array,
    open_group,
    open_member,
    opened_store,
    overlap,
    resolve,
)
from xomezarr.systems import held_by
from xomezarr.validate import StoredArray, check_arrays
from xomezarr.write import write_plan

__all__ = ["Scaled", "Scaling", "Source", "open_source", "plan_scaling"]

OWNED = frozenset(
    {
        # OME-Zarr
        *("multiscales", "omero", "ome", "labels", "image-label", "plate", "well", "bioformats2raw.layout", "series"),
        # xarray
        *("_ARRAY_DIMENSIONS", "_FillValue", "coordinates", "__xarray_dataarray_name__"),
        sidecar.KEY,
    }
)
"""Attributes that describe how an image is stored: a copy of them would speak of another store."""

MAX_LAYER = 4
"""Coarser levels, unless another number is asked for."""

type Grids = Sequence[Mapping[str, Grid]]
"""Pixel centres of each level by dimension, finest first."""

AS_LEVEL_0 = "leave out --in-place, and give another path to write to"


@dataclass(frozen=True, slots=True)
class Source:
    """A Zarr array that is to become level 0 of a pyramid.

    Parameters
    ----------
    place
        Path or URL as it was given.
    image
        The array, lazily, with all that is known of it.
    array
        As it is stored; None for a variable of xarray's among others.
    group, path
        Path or URL of the group that holds the array, and the array's path in it; None for an array in no group.
    known, level
        What the group says, if it is an OME-Zarr image, and the array's place among its levels.
    properties
        What it keeps of the properties of labels.
    """

    place: str
    image: xr.DataArray
    array: zarr.Array[Any] | None
    group: str | None = None
    path: str = ""
    known: Image | None = None
    level: int = 0
    properties: Any = None

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions in the order of the stored array."""
        return self.known.multiscale.dims if self.known is not None else tuple(map(str, self.image.dims))

    @property
    def layout(self) -> str:
        """The layout of the image, or that of an array by itself."""
        return layout_of([] if self.known is None else [level.path for level in self.known.multiscale.levels])


@dataclass(frozen=True, slots=True)
class Scaling:
    """What is to become of an array; nothing has been written.

    Parameters
    ----------
    source
        The array.
    plan, pixels
        What is to be written, where, and of what.
    copied
        Attributes of the source that are to be copied.
    said
        What its group says of it, where it stays there.
    """

    source: Source
    plan: Plan
    pixels: Pixels
    copied: Mapping[str, Any]
    said: Mapping[str, Any] = field(default_factory=dict)

    def write(self, progress: bool | OnTile | None = None) -> Scaled:
        """Write as planned: beside level 0 if the plan's mode is ``"r+"``; `progress` is that of `to_zarr`."""
        store = os.fspath(self.plan.store)
        copied = tuple(self.copied)
        if self.plan.mode != "r+":
            return Scaled(store, write_plan(self.plan, self.pixels, progress=progress), copied)
        written = sum(level.nbytes for level in self.plan.levels[1:])
        full = "the image is as it was; make room, and scale it again"
        with told_where_full(store, full), progress_of(progress, store)(written) as on_tile:
            add_levels(self.plan, self.pixels, self.said, obsolete=self._obsolete, on_tile=on_tile)
        return Scaled(store, xr.open_datatree(store, engine="omezarr"), copied)

    def _obsolete(self, group: zarr.Group) -> list[str]:
        """Return the arrays that the image names, and will no longer."""
        return _obsolete(group, self.source, self.plan)


@dataclass(frozen=True, slots=True)
class Scaled:
    """What `Scaling.write` has written.

    Parameters
    ----------
    store
        Path or URL of the image.
    tree
        The image, opened lazily.
    copied
        Attributes of the source that were copied.
    """

    store: str
    tree: xr.DataTree
    copied: tuple[str, ...]


def plan_scaling(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str] | None = None,
    *,
    axes: str | Sequence[str] | None = None,
    method: str | None = None,
    downscale: Factors | None = None,
    max_layer: int = MAX_LAYER,
    labeled: bool = False,
    copy_metadata: bool = False,
    in_place: bool = False,
    scale: Mapping[str, float] | None = None,
    units: Mapping[str, str] | str | None = None,
    version: str | None = None,
    layout: str | None = None,
    mode: str = "w-",
    chunks: Mapping[str, int] | Sequence[int] | None = None,
    boundary: Boundary = "pad",
    name: str | None = None,
    shards: Shards = None,
    max_memory: int | str | None = None,
    workers: int | None = None,
    resume: bool = False,
) -> Scaling:
    """Work out how to make a pyramid of what is in Zarr already; everything is checked, and nothing is written.

    Parameters
    ----------
    src
        Path or URL of a Zarr array, or of an OME-Zarr image, whose level 0 is taken with its axes, pixel sizes and
        channels.
    dst
        Store to write; None with `in_place`.
    axes
        Names of the dimensions in the array's order, where the store does not name them.
    method
        Row of the table of methods; left out, that of `to_zarr`, and ``"mode"`` for labels.
    downscale
        Step from level to level, as `factors` of `to_zarr`.
    max_layer
        Number of coarser levels at most; they are fewer where nothing is left to shrink.
    labeled
        Whether pixels are labels: no level may hold a value that level 0 does not have.
    copy_metadata
        Whether attributes of the array, and those of its image that belong to other tools, become attributes of the
        new image's group.
    in_place
        Whether the array stays where it is: the coarser levels are written beside it, and replace those that its
        image had. See `in_place.add_levels` for what an interruption leaves.
    scale, units
        Pixel sizes and units that count instead of the store's; see `assign_grid`.
    version
        Of OME-Zarr; left out, that of the image, else 0.4. In place, the array's Zarr format decides.
    layout
        See `to_zarr`; left out, that of the image. In place it stays as it is.
    mode, chunks, boundary, name, shards, max_memory, workers, resume
        See `to_zarr`; a write in place is not gone on with, as level 0 is there.

    Raises
    ------
    OmeZarrError
        Of the type that names the cause; independent faults are raised together.
    """
    faults: list[OmeZarrError] = []
    layers = 0
    with collecting(faults):
        _check_max_layer(max_layer)
        layers = max_layer
    if in_place and mode != "w-":
        faults.append(
            LevelError(f"mode={mode!r} replaces an image, and in place only its coarser levels are; leave mode out")
        )
    if in_place and resume:
        faults.append(ResumeError("resume=True goes on with a new image, and in place there is none; leave it out"))
    asked, method = method, None
    with collecting(faults):
        method = get_method(asked).name if asked is not None else None
    try:
        _check_places(src, dst, in_place=in_place)
    except OmeZarrError as error:
        raise_all([error, *faults], "the image cannot be scaled")
    source = open_source(src, axes)
    image = source.image
    if source.known is None and (image.name is None or str(image.name).isdecimal()):
        # a number says nothing
        image = image.rename(default_name(source.group if in_place else dst))
    if scale or units:
        image = assign_grid(image, scale=scale, units=units)
    with collecting(faults):
        if labeled or (method is None and _holds_labels(source)):
            method = _label_method(method, image.dtype)
    with collecting(faults):
        if in_place:
            version = _version_in_place(source, dst, version)
    if in_place and layout not in (None, source.layout):
        faults.append(
            LayoutError(
                f"layout={layout!r} is not that of level 0, {source.layout!r}, which stays where it is; leave layout "
                f"out, or {AS_LEVEL_0}"
            )
        )
    # an image that keeps irregular coordinates was written so on request
    irregular: Irregular = "keep" if source.known is not None else "raise"
    levels = 1
    with collecting(faults):
        levels = 1 + min(layers, most_steps(image, downscale, boundary, irregular))
    raise_all(faults, "the image cannot be scaled")
    _warn_of_averaged_labels(source, method)
    options: dict[str, Any] = {
        "method": method,
        "factors": downscale,
        "levels": levels,
        "boundary": boundary,
        "irregular": irregular,
        "chunks": chunks,
        "shards": shards,
        "name": name,
        "max_memory": max_memory,
        "workers": workers,
    }
    copied = copied_attributes(source) if copy_metadata else {}
    if in_place:
        return _plan_in_place(source, image, version or "", copied, options)
    assert dst is not None
    version = chosen_version(dst, version, source.known.version if source.known is not None else None)
    image, brought = held_by(version, image)
    _warn_of_labels(source)
    _warn_of_systems(source, brought)
    options |= {"version": version, "layout": layout or source.layout, "mode": mode, "resume": resume}
    label = source.known.label if source.known is not None else None
    if label is not None and method is not None and get_method(method).keeps_values:
        planned, pixels = plan_label_image(image, label, dst, properties=source.properties, **options)
    else:
        planned, pixels = plan_array(image, dst, **options)
    return Scaling(source, replace(planned, image=replace(planned.image, extra=copied)), pixels, copied)


# --- what is asked -----------------------------------------------------------


def most_steps(image: xr.DataArray, downscale: Factors | None, boundary: Boundary, irregular: Irregular) -> int:
    """Return how many coarser levels there can be: until every dimension that shrinks has one pixel."""
    # a level that fits in one chunk is the last, and no chunk is smaller than these
    chunks = {str(dim): 1 for dim in image.dims}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OmeZarrWarning)  # the plan gives the same ones
        return len(design(image, factors=downscale, chunks=chunks, boundary=boundary, irregular=irregular).steps)


def _label_method(method: str | None, dtype: np.dtype[Any]) -> str:
    """Return the method for labels, as `labels.label_method` does; its errors name the option too."""
    try:
        name: str = label_method(method, dtype).name
    except DtypeError as error:
        raise DtypeError(f"{error}, or scale them as an image, without labeled=True") from None
    except MethodError as error:
        raise MethodError(f"{error}, or leave labeled=True out") from None
    return name


def copied_attributes(source: Source) -> dict[str, Any]:
    """Return the attributes of an array, and of its image, that a copy of the image takes along.

    Those that describe how it is stored are left out, and so are those that JSON does not give back as they are, which
    only the attribute of xomezarr holds.
    """
    found = {str(key): value for key, value in source.image.attrs.items()}
    if source.known is not None:
        found |= source.known.extra
    return {key: value for key, value in found.items() if key not in OWNED and sidecar.is_plain(value)}


def _check_max_layer(max_layer: int) -> None:
    if isinstance(max_layer, bool) or not hasattr(max_layer, "__index__") or max_layer < 0:
        raise FactorError(
            f"max_layer is {max_layer!r}, and counts the coarser levels; give 0 for the image alone, or more"
        )


def _check_places(src: str | os.PathLike[str], dst: str | os.PathLike[str] | None, *, in_place: bool) -> None:
    """Refuse to write where that would destroy what is being read."""
    if in_place:
        check_changeable(src)
        if dst is not None and not f"{address(src)}/".startswith(f"{address(dst)}/"):
            raise _elsewhere(os.fspath(dst))
        return
    if dst is None:
        raise StoreExistsError(f"{str(src)!r} is not written over; give a path to write to, or in_place=True")
    if overlap(src, dst):
        raise StoreExistsError(
            f"{str(dst)!r} is the array that is being read, or in it, or holds it; "
            "write to another path, or beside the array: in_place=True"
        )


def _elsewhere(dst: str) -> LevelError:
    return LevelError(
        f"in place, the image is the group that holds the array, and {dst!r} is another place; leave it out "
        "(names of dimensions have an option of their own there: --axes zyx)"
    )


# --- opening -----------------------------------------------------------------


def open_source(src: str | os.PathLike[str], axes: str | Sequence[str] | None = None) -> Source:
    """Open a Zarr array, or level 0 of an OME-Zarr image; metadata are read, pixels are not.

    Parameters
    ----------
    src
        Path or URL. An array that is a level of an OME-Zarr image comes with what that says of it, one beside which
        xarray has written coordinates with these.
    axes
        Names of the dimensions in the array's order.

    Raises
    ------
    AxisError
        If `axes` contradict what the store says, or neither says what the dimensions are.
    OmeZarrError
        If there is no Zarr array or OME-Zarr image.
    """
    place = os.fspath(src)
    target = resolve(place)
    if isinstance(target, Path) and target.is_file() and archive.leads_into(target) is None:
        raise not_a_store(place)
    try:
        node = zarr.open(opened_store(archive.opened(target), read_only=True), mode="r")
    except (*UNREADABLE_MEMBER, ImportError):
        check_array(place)
        # which says what is at that place, or that nothing is; metadata that are gathered are not asked
        node = open_group(place)
    source = _of_array(place, node, axes) if isinstance(node, zarr.Array) else _of_group(place, axes)
    _check_axes(source, axes)
    return source


def _of_group(place: str, axes: str | Sequence[str] | None) -> Source:
    """Open level 0 of an image, or the one array or variable of a group."""
    group = open_group(place)
    attrs = group.attrs.asdict()
    if spec.is_ome(attrs):
        image = open_image(place)
        known = spec.parse(attrs)
        path = known.multiscale.levels[0].path
        return Source(
            place, image, open_array(group, path), place, path, known, properties=sidecar.properties_in(attrs)
        )
    check_complete(group)
    arrays = arrays_in(group)
    if len(arrays) != 1:
        return Source(place, open_image(place), None)
    (array,) = arrays.values()
    named = _names(array)
    image = open_image(place, dims=axes if named is None or None in named else None)
    return Source(place, image, array)


def _of_array(place: str, array: zarr.Array[Any], axes: str | Sequence[str] | None) -> Source:
    """Open an array as what the groups above it say that it is."""
    if (level := level_at(place)) is not None:
        image = xr.open_dataarray(level.image, engine="omezarr", level=level.number)
        kept, group = sidecar.properties_in(level.attrs), _as_given(place, level.image, level.path)
        return Source(place, image, array, group, level.path, level.known, level.number, kept)
    nearest = next(groups_above(address(place)), None)
    named = _names(array)
    if nearest is not None and named is not None and _has_coordinates(nearest[2], named):
        if nearest[1] in named:
            raise OmeZarrError(
                f"{place!r} is one of the coordinates of {_as_given(place, *nearest[:2])!r}; "
                "give the group that holds the image"
            )
        return Source(place, open_image(place), None)
    image = open_image(place, dims=axes if named is None or None in named else None)
    if nearest is None:
        return Source(place, image, array)
    # a number says nothing of the image: it gets the name of its store
    return Source(
        place,
        image.rename(None) if str(image.name).isdecimal() else image,
        array,
        _as_given(place, *nearest[:2]),
        nearest[1],
    )


def _as_given(place: str, above: str, path: str) -> str:
    """Return the group above a place as the user would write it."""
    given = place.rstrip("/")
    return given.removesuffix(f"/{path}") if given.endswith(f"/{path}") else above


def _names(array: zarr.Array[Any]) -> tuple[str | None, ...] | None:
    """Return what the store calls an array's dimensions, each of which may have no name."""
    return StoredArray.of(array, array.path).names


def _has_coordinates(group: zarr.Group, dims: Sequence[str | None]) -> bool:
    """Whether a group holds coordinates of these dimensions, as xarray writes them."""
    for dim in dims:
        found = group.get(dim) if dim else None
        if isinstance(found, zarr.Array) and _names(found) == (dim,):
            return True
    return False


def _check_axes(source: Source, axes: str | Sequence[str] | None) -> None:
    """Refuse names that contradict those of the store."""
    if axes is None:
        return
    asked = tuple(axes)
    stated: Sequence[str | None] | None = source.dims
    if source.known is None and source.array is not None:
        stated = _names(source.array)
    if len(asked) != source.image.ndim:
        shape = tuple(source.image.sizes.values())
        raise AxisError(
            f"axes={axes!r} name {len(asked)} dimensions, and {source.place!r} has {source.image.ndim}, of shape "
            f"{shape}; name each in the array's order: axes={guessed(len(shape))!r}"
        )
    if stated is not None and any(name not in (None, said) for name, said in zip(stated, asked, strict=True)):
        raise AxisError(
            f"axes={axes!r} contradict {source.place!r}, whose dimensions are {tuple(stated)}; "
            "leave axes out, or give these names: axes="
            f"{[name or said for name, said in zip(stated, asked, strict=True)]!r}"
        )


def _holds_labels(source: Source) -> bool:
    return source.known is not None and source.known.label is not None


def _warn_of_averaged_labels(source: Source, method: str | None) -> None:
    """Say that an image of labels is about to get values that are no labels of it."""
    if method is not None and _holds_labels(source) and not (row := get_method(method)).keeps_values:
        warn(
            f"{source.place!r} is an image of labels, and method {row.name!r} makes values that are none of them; "
            "scale it with --labeled",
            OmeZarrWarning,
        )


def _warn_of_labels(source: Source) -> None:
    """Say that labels stay behind."""
    if source.group is not None and (names := label_names(_label_group(source))):
        warn(
            f"{source.group!r} has labels ({', '.join(names)}), which are not copied; {_to_keep(source.group)}",
            OtherImagesWarning,
        )


def _warn_of_systems(source: Source, brought: Collection[str]) -> None:
    """Say that coordinate systems stay behind, but for those that the image brings along."""
    known = source.known.multiscale.other_systems if source.known is not None else ()
    others = [name for name in known if name not in brought]
    if source.group is not None and others:
        warn(
            f"{source.group!r} has the coordinate systems {', '.join(map(repr, others))}, which are not copied; "
            f"{_to_keep(source.group)}",
            OmeZarrWarning,
        )


def _to_keep(place: str) -> str:
    """Say how labels and coordinate systems of an image are kept: where it is, unless that is in a zip file."""
    if archive.leads_into(resolve(place)) is None:
        return f"scale the image where it is to keep them: xomezarr scale {shlex.quote(place)} --in-place"
    version = spec.written_as(spec.detect(open_group(place).attrs.asdict()))
    return (
        "make a folder of it, and scale that where it is, to keep them: "
        f"xomezarr upgrade {shlex.quote(place)} copy.ome.zarr --version {version} && "
        "xomezarr scale copy.ome.zarr --in-place"
    )


def _label_group(source: Source) -> zarr.Group | None:
    if source.group is None or source.known is None:
        return None
    return listing_of(open_group(source.group))


def _labels(source: Source) -> Iterator[tuple[str, Grids]]:
    """Yield the label images of an image: name, and grids of the levels. Broken ones are passed over."""
    found = _label_group(source)
    for name in label_names(found):
        with suppress(*UNREADABLE_MEMBER):
            group = open_member(found, name)  # type: ignore[arg-type] # there are names of a group alone
            yield name, _grids(group, spec.parse(group.attrs.asdict()))


def _grids(group: zarr.Group, image: Image) -> Grids:
    """Return the pixel centres of each level that is in a group."""
    image = place_in(group, image)
    dims = image.multiscale.dims
    shapes = [open_array(group, level.path).shape for level in image.multiscale.levels]
    sizes = [dict(zip(dims, shape, strict=True)) for shape in shapes]
    return [level.grid(size) for level, size in zip(image.multiscale.levels, sizes, strict=True)]


# --- in place ----------------------------------------------------------------


def _plan_in_place(
    source: Source, image: xr.DataArray, version: str, copied: Mapping[str, Any], options: dict[str, Any]
) -> Scaling:
    """Work out how to write the coarser levels beside level 0."""
    assert source.array is not None
    assert source.group is not None
    group = open_group(source.group)
    said = spec.ome_part(group.attrs.asdict())
    # what the group says already counts more
    copied = {key: value for key, value in copied.items() if key not in group.attrs}
    name = options["name"] or image.name
    if name is None:
        name = (source.known.multiscale.name if source.known is not None else None) or default_name(source.group)
    # planned as if it were written anew, to see that it can be; then put where level 0 is
    options["layout"] = source.layout
    planned, pixels = plan_array(image, zarr.storage.MemoryStore(), version=version, **options)
    _check_coordinates(group, source, planned)
    planned = replace(planned, store=source.group, mode="r+")
    multiscale = replace(planned.image.multiscale, name=str(name))
    planned = replace(planned, image=replace(planned.image, multiscales=(multiscale,), extra=copied))
    planned = beside(planned, source.path, _taken(group), source.known)
    # in the dtype of the array that stays, byte order included
    finest, *coarser = (replace(level, dtype=source.array.dtype) for level in planned.levels)
    chunks = dict(zip(planned.dims, source.array.chunks, strict=True))
    shards = source.array.shards and dict(zip(planned.dims, source.array.shards, strict=True))
    planned = replace(planned, levels=(replace(finest, chunks=chunks, shards=shards or None), *coarser))
    attributes = group_attributes(planned, final_image(planned))
    spec.check(attributes, version)
    _check_beside(source, planned)
    for dim, stored, size in zip(planned.dims, source.array.shape, planned.levels[0].shape, strict=True):
        if stored != size:
            raise LevelError(
                f"{source.place!r} has room for {stored} pixels along {dim!r}, of which {size} are there, and would "
                f"show all of them; append the others first, or give another path to write to, where they are left out"
            )
    _warn_of_disagreeing_labels(source, planned)
    _warn_of_disagreeing_image(source, planned)
    return Scaling(source, planned, pixels, copied, said)


def _check_coordinates(group: zarr.Group, source: Source, planned: Plan) -> None:
    """Make sure that the coordinates that lie beside level 0 are true of it still.

    Raises
    ------
    CoordinateError
        If they are not.
    LayoutError
        If they cannot be read.
    """
    if planned.layout == FLAT:
        return
    stored = coordinates_beside(group, source.path)
    if others := planned.nest.other_coordinates(level_group(planned.levels[0].path), stored):
        where = f"{source.group}/{level_group(source.path)}"
        raise CoordinateError(
            f"the coordinates {told([*map(repr, others)])} lie beside level 0, in {where!r}, and would not be those of "
            f"the image any more; {AS_LEVEL_0}"
        )


def _version_in_place(source: Source, dst: str | os.PathLike[str] | None, version: str | None) -> str:
    """Return the version that the group gets; refuse what cannot be an image where it is."""
    if source.array is None:
        raise OmeZarrError(
            f"{source.place!r} cannot be scaled in place: coordinates or other variables of xarray's lie beside the "
            f"array, and a Dataset with levels of other sizes among them cannot be opened; {AS_LEVEL_0}"
        )
    if source.group is None and source.array.path:
        raise OmeZarrError(
            f"{source.place!r} is no image yet; name the array that is to be level 0 of it: "
            f"{source.place.rstrip('/')}/{source.array.path}"
        )
    if source.group is None:
        raise OmeZarrError(
            f"{source.place!r} cannot be scaled in place: there is no group around the array, which the metadata of an "
            f"image need; {AS_LEVEL_0}"
        )
    levels = [] if source.known is None else [level.path for level in source.known.multiscale.levels]
    check_not_between(open_group(source.group), *levels)
    packed = [key for key in ("scale_factor", "add_offset", "_FillValue") if key in source.array.attrs]
    if packed:
        raise DtypeError(
            f"the pixels of {source.place!r} are packed by its attributes {', '.join(packed)}, of which the levels of "
            f"an image know nothing; {AS_LEVEL_0}"
        )
    fitting = spec.of_format(source.array.metadata.zarr_format)
    stated = source.known.version if source.known is not None else version
    found = stated if stated in fitting else fitting[0]
    faults: list[OmeZarrError] = []
    if dst is not None and address(dst) != address(source.group):
        faults.append(_elsewhere(os.fspath(dst)))
    if version is not None and version != found:
        faults.append(
            VersionError(
                f"version {version!r} cannot be kept with an array of Zarr v{source.array.metadata.zarr_format}, which "
                f"is in place; leave version out for {found}, or {AS_LEVEL_0}"
            )
        )
    if source.level:
        faults.append(
            LevelError(
                f"{source.place!r} is level {source.level} of the image {source.group!r}, and stays that in place; "
                f"give the image, or {AS_LEVEL_0}"
            )
        )
    if source.known is None and spec.is_ome(open_group(source.group).attrs.asdict()):
        faults.append(
            OmeZarrError(
                f"{source.group!r} has OME metadata already, of which {source.place!r} is no level; {AS_LEVEL_0}"
            )
        )
    if source.known is not None and spec.written_as(source.known.version) != source.known.version:
        faults.append(
            VersionError(
                f"{source.group!r} is of OME-Zarr {source.known.version}, which xomezarr reads and does not write; "
                f"{AS_LEVEL_0}"
            )
        )
    elif source.known is not None and source.known.version != found:
        faults.append(
            VersionError(
                f"{source.group!r} is of OME-Zarr {source.known.version} in Zarr "
                f"v{source.array.metadata.zarr_format}, which is {found}; {AS_LEVEL_0}"
            )
        )
    raise_all(faults, f"{source.place!r} cannot be scaled in place")
    return found


def _check_beside(source: Source, planned: Plan) -> None:
    """Let the rules look at the image before anything is written: at level 0 as it is, and the others as planned."""
    array = source.array
    assert array is not None
    if planned.dims != source.dims:
        raise AxisError(
            f"the dimensions of {source.place!r} are in the order {source.dims}, and those of an image in the order "
            f"{planned.dims}; {AS_LEVEL_0}"
        )
    stored = StoredArray.of(array, source.path)
    if array.metadata.zarr_format == 3 and stored.names is None:
        stored = replace(stored, names=planned.dims)  # which it will be given
    others = [StoredArray(level.path, level.shape, stored.zarr_format, planned.dims) for level in planned.levels[1:]]
    _refuse(source, check_arrays(planned.image.multiscale, [stored, *others]))


def _refuse(source: Source, findings: Iterator[Finding]) -> None:
    # nested chunks are only recommended where an image exists; a new one is not made without
    faults = [finding for finding in findings if finding.severity == "error" or finding.rule == "2"]
    raise_all(
        [
            OmeZarrError(
                f"{source.place!r} cannot be level 0 where it is: {finding.message} (rule {finding.rule}); {AS_LEVEL_0}"
            )
            for finding in faults
        ],
        f"{source.place!r} cannot be scaled in place",
    )


def _taken(group: zarr.Group) -> frozenset[str]:
    """Return the paths at which something is: in the group, and in that of long coordinates."""
    return frozenset(names_in(group)) | {f"{sidecar.KEY}/{name}" for name in names_in(group, sidecar.KEY)}


def _obsolete(group: zarr.Group, source: Source, planned: Plan) -> list[str]:
    """Return the arrays that the image has named so far, and will no longer."""
    if source.known is None:
        return []
    named = {level.path.strip("/") for multiscale in planned.image.multiscales for level in multiscale.levels}
    levels = [level.path.strip("/") for level in source.known.multiscale.levels]
    kept = named | planned.arrays.keys()

    def gone(paths: Sequence[str]) -> list[str]:
        return [path for path in paths if path not in kept and _is_array_below(group, path)]

    return [_home(group, path, planned) for path in gone(levels)] + gone(_coordinates(group.attrs.get(sidecar.KEY)))


def _home(group: zarr.Group, path: str, planned: Plan) -> str:
    """Return the path of what goes with a level: of its own group, if nothing else is in that, or of its array."""
    own = level_group(path)
    known = {array_name(path), *planned.dims, *planned.attributes[sidecar.KEY]["coords"]}
    return own if planned.layout != FLAT and {*names_in(group, own)} <= known | ALL_DOCUMENTS else path


def _coordinates(attribute: Any) -> list[str]:
    """Return the arrays of long coordinates that the attribute of xomezarr names; any JSON may stand there."""
    coords = attribute.get("coords") if isinstance(attribute, Mapping) else None
    entries = coords.values() if isinstance(coords, Mapping) else []
    paths = [entry.get("array") for entry in entries if isinstance(entry, Mapping)]
    return [path for path in paths if isinstance(path, str) and path.startswith(f"{sidecar.KEY}/")]


def _is_array_below(group: zarr.Group, path: str) -> bool:
    """Whether a path leads to an array in the group, and not out of it, nor through a link."""
    if not leads_below(path):
        return False
    root = getattr(group.store, "root", None)
    if isinstance(root, Path) and (root / group.path / path).resolve() != (root / group.path).resolve() / path:
        return False
    try:
        open_array(group, path)
    except (OSError, *UNREADABLE_ARRAY):
        return False
    return True


def _warn_of_disagreeing_labels(source: Source, planned: Plan) -> None:
    """Say which labels lay on the levels of their image, and no longer do."""
    if source.known is None or source.group is None:
        return
    group = open_group(source.group)
    if not all(_is_array_below(group, level.path) for level in source.known.multiscale.levels):
        return
    before, after = _grids(group, source.known), [level.grids for level in planned.levels]
    sampled = is_sampled(planned.image.multiscale.type)
    for name, own in _labels(source):
        for differs in (_other_sizes, _other_places):
            if not differs(own, before) and (told := differs(own, after)):
                warn(
                    f"the labels {name!r} no longer lie on the levels of their image: {told}; scale them alike: "
                    f"{_alike(f'{source.group}/labels/{name}', own, after, sampled=sampled)}",
                    LabelWarning,
                )
                break


def _warn_of_disagreeing_image(source: Source, planned: Plan) -> None:
    """Say that labels are about to lie on other levels than those of the image beside them."""
    found = _labelled(source)
    if found is None or source.group is None:
        return
    group, image = found
    try:
        theirs, own = _grids(group, image), [level.grids for level in planned.levels]
    except (OmeZarrError, OSError, ValueError):
        return
    if told := _other_sizes(own, theirs) or _other_places(own, theirs):
        sampled = is_sampled(image.multiscale.type)
        warn(
            f"{source.group!r} holds labels, which are to lie on the levels of their image, and will not: {told}; "
            f"scale them alike: {_alike(source.group, own, theirs, sampled=sampled)}",
            LabelWarning,
        )


def _labelled(source: Source) -> tuple[zarr.Group, Image] | None:
    """Return the image that the labels of a source are made for, if that is in a group above them."""
    if source.group is None or source.known is None or source.known.label is None:
        return None
    steps = PurePosixPath(source.known.label.source or SOURCE).parts
    for _, path, group in groups_above(address(source.group)):
        attrs = group.attrs.asdict()
        if steps == ("..",) * len(PurePosixPath(path).parts) and spec.is_image(attrs):
            return group, spec.parse(attrs)
    return None


def _alike(place: str, own: Grids, image: Grids, *, sampled: bool) -> str:
    """Return the command that scales labels as their image is scaled."""
    shared = [dim for dim, grid in own[0].items() if dim in image[0] and grid.size == image[0][dim].size]
    command = f"xomezarr scale {shlex.quote(place)} --in-place --labeled --max-layer {len(image) - 1}"
    steps, boundary = list[dict[str, int]](), "pad"
    with suppress(LabelError):
        steps, boundary = steps_between(image, shared, place)
    factors = {dim: max((step[dim] for step in steps), default=1) for dim in shared}
    # a dimension of one pixel shrinks no further
    regular = all(
        step[dim] == factors[dim] or level[dim].size == 1
        for step, level in zip(steps, image, strict=False)
        for dim in shared
    )
    if regular and max(factors.values(), default=1) > 1:
        command += f" --downscale {shlex.quote(','.join(f'{dim}={factor}' for dim, factor in factors.items()))}"
    if boundary == "trim":
        command += " --boundary trim"
    return f"{command} --method nearest" if sampled else command


def _other_sizes(own: Grids, image: Grids) -> str:
    """Say how the levels of labels differ in number or size from those of an image; empty if they do not."""
    same = len(own) == len(image) and all(
        level[dim].size in (1, other[dim].size)
        for level, other in zip(own, image, strict=True)
        for dim in level.keys() & other.keys()
    )
    return "" if same else f"they have {_told(own)}, and the image has {_told(image)}"


def _other_places(own: Grids, image: Grids) -> str:
    """Say where the pixels of labels lie elsewhere than those of an image; empty if they do not."""
    for number, (level, other) in enumerate(zip(own, image, strict=False)):
        for dim in level:
            if dim not in other or level[dim].size != other[dim].size:
                continue
            for index in (0, level[dim].size - 1):
                at, wanted = level[dim].position(index), other[dim].position(index)
                if abs(at - wanted) > MEETS_WITHIN * other[dim].scale:
                    place = f"pixel {index} of level {number} along {dim!r}"
                    return f"{place} is at {at:g}, and that of the image at {wanted:g}"
    return ""


def _told(levels: Grids) -> str:
    count = f"{len(levels)} level{'s' if len(levels) > 1 else ''}"
    return f"{count}, {_times([grid.size for grid in levels[-1].values()])} at the coarsest"


def _times(sizes: Collection[int]) -> str:
    return " × ".join(map(str, sizes)) if math.prod(sizes) else "nothing"
