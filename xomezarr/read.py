"""Open an OME-Zarr image as xarray objects: metadata only, pixels lazily, with or without dask."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
import zarr
from xarray.backends.zarr import ZarrArrayWrapper
from xarray.core import indexing

from xomezarr import sidecar, spec
from xomezarr.channels import coordinates as channel_coords
from xomezarr.coords import AXIS_TYPES, Dimension, coordinate
from xomezarr.errors import LevelError, MetadataError, NotOmeZarrError
from xomezarr.grid import REGULAR_WITHIN, Grid
from xomezarr.model import Axis, Image
from xomezarr.pyramid import is_sampled, to_tree, with_name
from xomezarr.sidecar import Sidecar
from xomezarr.store import StoreArgument, open_group

__all__ = ["open_image", "open_level", "open_tree"]


def open_tree(
    store: StoreArgument, *, group: str | None = None, storage_options: Mapping[str, Any] | None = None
) -> xr.DataTree:
    """Open an image as a tree of its levels; only metadata are read.

    Parameters
    ----------
    store
        A path, a URL, or a store of zarr or obstore.
    group
        Path of the image's group inside the store; left out, its root.
    storage_options
        For URLs, as fsspec takes them.

    Returns
    -------
    xarray.DataTree
        Children ``"0"``, ``"1"``, …: Datasets with the variable ``image``, lazily indexed. The tree's attributes are
        those of the group.
    """
    found = open_group(store, group=group, storage_options=storage_options)
    image, kept, levels = _levels(found, None)
    attrs = {key: value for key, value in found.attrs.asdict().items() if key != sidecar.KEY}
    tree = to_tree([_level(found, image, kept, levels[0], *level) for level in levels], attrs=attrs)
    if isinstance(store, str | os.PathLike):
        tree.encoding["source"] = "/".join(filter(None, (os.fspath(store).rstrip("/"), group)))
    tree.set_close(found.store.close)
    return tree


def open_level(
    store: StoreArgument,
    *,
    level: int = 0,
    group: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    drop_variables: str | Iterable[str] | None = None,
) -> xr.Dataset:
    """Open one resolution level as a Dataset with the variable ``image``; only metadata are read.

    Raises
    ------
    LevelError
        If the image has no such level.
    """
    found = open_group(store, group=group, storage_options=storage_options)
    image, kept, levels = _levels(found, level)
    ds = with_name(_level(found, image, kept, levels[0], *levels[-1]))
    ds.set_close(found.store.close)
    dropped = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables or [])
    return ds.drop_vars(dropped, errors="ignore")


def open_image(group: zarr.Group) -> Image:
    """Read the OME metadata of a group.

    Raises
    ------
    NotOmeZarrError
        If the group holds no image.
    VersionError, MetadataError
        If they cannot be read.
    """
    attrs = group.attrs.asdict()
    if spec.is_image(attrs):
        return spec.parse(attrs)
    where = f"{str(group.store_path)!r}"
    if spec.detect(attrs) is not None or {"plate", "well", "bioformats2raw.layout"} & {*attrs, *attrs.get("ome", {})}:
        raise NotOmeZarrError(
            f'{where} holds OME-Zarr metadata, but no image; name the group of an image inside it: group="0"'
        )
    raise NotOmeZarrError(
        f"{where} has no OME-Zarr metadata; open plain Zarr with xarray.open_zarr, or make an image of it with to_zarr"
    )


type OpenedLevel = tuple[int, zarr.Array[Any]]


def _levels(group: zarr.Group, wanted: int | None) -> tuple[Image, Sidecar | None, list[OpenedLevel]]:
    """Open the arrays: of all levels, or of level 0 and the one that is wanted."""
    image = open_image(group)
    count = len(image.multiscale.levels)
    if wanted is not None and not 0 <= wanted < count:
        raise LevelError(f"there is no level {wanted}; the image has {count}: give level=0 … {count - 1}")
    indices = range(count) if wanted is None else dict.fromkeys((0, wanted))
    levels = [(index, _array(group, image, index)) for index in indices]
    attribute = group.attrs.get(sidecar.KEY)
    kept = None
    if isinstance(attribute, Mapping):
        sizes = dict(zip(image.multiscale.dims, levels[0][1].shape, strict=True))
        kept = sidecar.load(attribute, image, sizes, lambda path: _lazy(_member(group, path)))
    return image, kept, levels


def _array(group: zarr.Group, image: Image, index: int) -> zarr.Array[Any]:
    """Open the array of a level, and make sure that it fits the metadata."""
    path = image.multiscale.levels[index].path
    try:
        array = _member(group, path)
    except (KeyError, FileNotFoundError):
        raise MetadataError(
            f"level {index} of {str(group.store_path)!r} is at {path!r} by the metadata, and there is no array; "
            "the store is incomplete: copy or write it again"
        ) from None
    dims = image.multiscale.dims
    if array.ndim != len(dims):
        raise MetadataError(
            f"level {index} at {path!r} has {array.ndim} dimensions, and the metadata name {len(dims)} axes {dims}; "
            "xomezarr.validate(store) lists all that is wrong"
        )
    return array


def _member(group: zarr.Group, path: str) -> zarr.Array[Any]:
    """Open an array below the group; a path that leaves it is refused."""
    parts = path.split("/")
    if not path or path.startswith("/") or ".." in parts or "\\" in path:
        raise MetadataError(f"the path {path!r} leaves the image's group and is not followed; mend the metadata")
    member = group[path]
    if not isinstance(member, zarr.Array):
        raise KeyError(path)
    return member


def _lazy(array: zarr.Array[Any]) -> Any:
    return indexing.LazilyIndexedArray(ZarrArrayWrapper(array))


def _level(
    group: zarr.Group, image: Image, kept: Sidecar | None, base: OpenedLevel, index: int, array: zarr.Array[Any]
) -> xr.DataArray:
    """Make the DataArray of a level: its pixels lazily, its coordinates from its grids and what was kept of level 0."""
    multiscale = image.multiscale
    dims = multiscale.dims
    sizes = dict(zip(dims, base[1].shape, strict=True))
    own_sizes = dict(zip(dims, array.shape, strict=True))
    grids0 = multiscale.levels[0].grid(sizes)
    grids = multiscale.levels[index].grid(own_sizes)
    dimensions = [_dimension(axis, grids0[axis.name], image, kept) for axis in multiscale.axes]
    coords: dict[Any, xr.Variable] = {}
    for dimension in dimensions:
        made = coordinate(dimension, grids[dimension.name], sampled=is_sampled(multiscale.type))
        if made is not None:
            coords[dimension.name] = made
    shrunk = {dim for dim in dims if own_sizes[dim] != sizes[dim] or grids[dim] != grids0[dim]}
    coords |= {
        name: variable
        for name, variable in (kept.coords if kept is not None else {}).items()
        if name not in dims and not shrunk.intersection(map(str, variable.dims))
    }
    channel = next((axis.name for axis in multiscale.axes if axis.type == "channel"), None)
    overtaken = kept is None or "channels" in kept.changed
    if channel is not None and overtaken and len(image.channels or ()) == own_sizes[channel]:
        coords |= channel_coords(image.channels or (), channel)
    attrs = kept.attrs if kept is not None else _foreign_attrs(array)
    name = kept.name if kept is not None else multiscale.name
    result = xr.DataArray(
        xr.Variable(dims, _lazy(array), attrs, _encoding(array, image, dims)), coords=coords, name=name
    )
    order = kept.dims if kept is not None else dims
    return result if order == dims else result.transpose(*order)


def _dimension(axis: Axis, grid: Grid, image: Image, kept: Sidecar | None) -> Dimension:
    """Say what is known of a dimension of level 0: the coordinate that was kept, else the one of its grid."""
    dim = axis.name
    saved = kept.coords.get(dim) if kept is not None else None
    if saved is not None:
        if saved.dtype.kind in "OUST" or axis.type == "channel":
            return Dimension(axis, grid, "label", saved)
        kinds = {"M": "datetime", "m": "timedelta"}
        kind: Any = kinds.get(saved.dtype.kind, "number")
        regular = kind != "number" or _is_regular(saved, grid)
        if kind != "number":
            elapsed = (saved.values - saved.values[0] if kind == "datetime" else saved.values).astype("timedelta64[ns]")
            regular = _is_regular(xr.Variable(dim, elapsed.astype(np.int64) / 1e9), grid)
        if regular:
            saved = xr.Variable(dim, saved.data, {**saved.attrs, "scale": grid.scale})
        return Dimension(axis, grid, kind, saved, regular)
    without = kept is not None and dim not in kept.changed
    unplaced = axis.type == "channel" and (grid.scale, grid.translation) == (1.0, 0.0)
    if without or unplaced:
        return Dimension(axis, grid, "index")
    attrs: dict[str, Any] = {} if axis.unit is None else {"units": axis.unit}
    attrs["scale"] = grid.scale
    return Dimension(axis, grid, "number", xr.Variable(dim, grid.coordinates, attrs))


def _is_regular(saved: xr.Variable, grid: Grid) -> bool:
    return bool(np.abs(saved.values - grid.coordinates).max(initial=0.0) <= REGULAR_WITHIN * grid.scale)


def _foreign_attrs(array: zarr.Array[Any]) -> dict[str, Any]:
    """Return the attributes that another tool gave to a level's array."""
    return {key: value for key, value in array.attrs.asdict().items() if key not in ("_ARRAY_DIMENSIONS", "_FillValue")}


def _encoding(array: zarr.Array[Any], image: Image, dims: tuple[str, ...]) -> dict[str, Any]:
    """Say how the array is stored; `preferred_chunks` are the units that a reader decodes at once."""
    blocks = array.shards or array.chunks
    unusual = {
        axis.name: axis.type
        for axis in image.multiscale.axes
        if axis.type and AXIS_TYPES.get(axis.name.lower()) != axis.type
    }
    encoding: dict[str, Any] = {
        "chunks": array.chunks,
        "preferred_chunks": dict(zip(dims, blocks, strict=True)),
        "compressors": array.compressors,
        "dtype": array.dtype,
    }
    return encoding | ({"axes": unusual} if unusual else {})
