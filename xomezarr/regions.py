"""Where an array belongs among the pixels of a stored image: by its coordinates, or by slices that the user gives."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr.coords import to_units
from xomezarr.errors import (
    CoordinateError,
    DescendingCoordinateError,
    EmptyDimensionError,
    OmeZarrError,
    RegionError,
    UnitError,
    collecting,
    raise_all,
)
from xomezarr.grid import REGULAR_WITHIN

__all__ = ["AUTO", "Region", "check_grid", "placed"]

type Region = str | Mapping[str, Any]
"""``"auto"``, or by dimension a slice of level-0 pixels, one index, or ``"auto"``."""

AUTO = "auto"

SHOWN = 3
"""Positions of the store's pixels that an error shows around one that is none of them."""


def placed(da: xr.DataArray, base: xr.DataArray, region: Region) -> tuple[xr.DataArray, dict[str, slice]]:
    """Find the pixels of an image that an array is to replace.

    Parameters
    ----------
    da
        Its dimensions are those of the image; such as are missing are given by an index, or a scalar coordinate.
    base
        Level 0 of the image; no pixel is read.
    region
        ``"auto"``: pixels lie where the coordinates are the same; a dimension without coordinates is as long as that
        of the image. By dimension: a slice, or one index, of level-0 pixels; those left out are whole.

    Returns
    -------
    xarray.DataArray
        With all dimensions of the image.
    dict
        The pixels, by dimension in the order of the image.

    Raises
    ------
    RegionError
        If dimensions, sizes or slices do not fit.
    CoordinateError
        If coordinates are not those of the image at that place; the error shows the nearest ones.
    """
    asked = _asked(region, base)
    surplus = [str(dim) for dim in da.dims if dim not in base.dims]
    if surplus:
        raise RegionError(
            f"the array has the dimensions {da.dims}, and the image {base.dims}; select along {surplus[0]!r}: "
            f"isel({surplus[0]}=0), or rename it: rename({{{surplus[0]!r}: …}})"
        )
    da = _with_all_dims(da, base, asked)
    found: dict[str, slice] = {}
    faults: list[OmeZarrError] = []
    for dim in map(str, base.dims):
        with collecting(faults):
            given = asked.get(dim)
            if given == AUTO or (given is None and region == AUTO):
                found[dim] = _by_coordinate(da, base, dim)
                continue
            found[dim] = slice(0, base.sizes[dim]) if given is None else _of_pixels(given, dim, base.sizes[dim])
            _check_size(da, base, dim, found[dim], whole=given is None)
            check_grid(da, base, dim, found[dim].start)
    raise_all(faults, "the region is not one of the image")
    return da, found


def _asked(region: Region, base: xr.DataArray) -> dict[str, Any]:
    """Return what is asked for, by dimension."""
    if isinstance(region, str) and region == AUTO:
        return {}
    if not isinstance(region, Mapping):
        dim = str(base.dims[-1])
        raise RegionError(f'region={region!r} is not known; give region="auto", or slices: {{{dim!r}: slice(0, 256)}}')
    unknown = [dim for dim in region if dim not in base.dims]
    if unknown:
        raise RegionError(f"region names {unknown[0]!r}, which the image lacks; its dimensions are {base.dims}")
    return {str(dim): part for dim, part in region.items()}


def _with_all_dims(da: xr.DataArray, base: xr.DataArray, asked: Mapping[str, Any]) -> xr.DataArray:
    """Give an array the dimensions of the image that it was cut out of, with one pixel each."""
    missing = [str(dim) for dim in base.dims if dim not in da.dims]
    for dim in missing:
        is_one = isinstance(asked.get(dim), slice) or hasattr(asked.get(dim), "__index__")
        if dim not in da.coords and not is_one and base.sizes[dim] > 1:
            raise RegionError(
                f"the array lacks the dimension {dim!r} of the image, and has no coordinate that tells at which of its "
                f"{base.sizes[dim]} pixels it belongs; give region={{{dim!r}: 0}}, say, or expand_dims({dim!r})"
            )
    return da.expand_dims(missing) if missing else da


def _of_pixels(part: Any, dim: str, size: int) -> slice:
    """Return a slice of a dimension's pixels."""
    told = f"give slice(start, stop) with 0 <= start < stop <= {size}"
    if isinstance(part, slice):
        try:
            start, stop, step = part.indices(size)
            last = stop if part.stop is None else operator.index(part.stop)
        except TypeError:
            raise RegionError(f"region[{dim!r}] is {part!r}, whose bounds are no integers; {told}") from None
        if step != 1:
            raise RegionError(f"region[{dim!r}] is {part!r}, which leaves pixels out; {told}")
        if last > size or start >= stop:
            raise RegionError(f"region[{dim!r}] is {part!r}, and the image has {size} pixels along {dim!r}; {told}")
        return slice(start, stop)
    if isinstance(part, bool | np.bool_) or not hasattr(part, "__index__"):
        raise RegionError(f"region[{dim!r}] is {part!r}, and neither a slice nor an index; {told}")
    index = operator.index(part)
    if not -size <= index < size:
        raise RegionError(f"region[{dim!r}] is {index}, and the image has {size} pixels along {dim!r}; {told}")
    return slice(index % size, index % size + 1)


def _check_size(da: xr.DataArray, base: xr.DataArray, dim: str, part: slice, *, whole: bool) -> None:
    if da.sizes[dim] == part.stop - part.start:
        return
    n = da.sizes[dim]
    if whole:
        raise RegionError(
            f"the array has {n} pixels along {dim!r}, and the image {base.sizes[dim]}; say which of them they are: "
            f'region={{{dim!r}: slice(0, {n})}}, or "auto" to find them by their coordinates'
        )
    raise RegionError(
        f"region[{dim!r}] is {part.stop - part.start} pixels long, and the array has {n} along {dim!r}; "
        f"give slice({part.start}, {part.start + n})"
    )


def _by_coordinate(da: xr.DataArray, base: xr.DataArray, dim: str) -> slice:
    """Find the pixels that have the positions, or names, of an array's."""
    n, size = da.sizes[dim], base.sizes[dim]
    if not n:
        raise EmptyDimensionError(f"the array has no pixels along {dim!r}; select at least one")
    if dim not in da.coords or dim not in base.coords:
        if n == size:
            return slice(0, size)
        lacking = "the array" if dim not in da.coords else "the image"
        raise RegionError(
            f"{lacking} has no coordinate {dim!r}, which would tell where the {n} pixels of the array are among the "
            f"{size} of the image; say it: region={{{dim!r}: slice(0, {n})}}"
        )
    own, theirs = _comparable(da, base, dim)
    if own.dtype.kind in "iufmM" and own.size > 1 and own[1] < own[0]:
        raise DescendingCoordinateError(
            f"coordinate {dim!r} descends from {_shown(own, 0)} to {_shown(own, -1)}, and that of the image ascends; "
            f"turn the array round: sortby({dim!r})"
        )
    start = _first(own, theirs, dim)
    part = slice(start, start + n)
    if part.stop > size:
        raise CoordinateError(
            f"coordinate {dim!r} goes on to {_shown(own, -1)} at index {n - 1}, beyond the last pixel of the image, at "
            f"{_shown(theirs, -1)}; crop the array: isel({dim}=slice(0, {size - start})), or add it: append_dim={dim!r}"
        )
    check_grid(da, base, dim, start)
    return part


def _first(own: NDArray[Any], theirs: NDArray[Any], dim: str) -> int:
    """Return the index at which an image has the first position, or name, of an array."""
    if own.dtype.kind not in "iufmM":
        places = [
            int(index)
            for index in np.flatnonzero(theirs == own[0])
            if np.array_equal(theirs[index : index + own.size], own)
        ]
        if not places:
            raise CoordinateError(
                f"coordinate {dim!r} is {own.tolist()}, and the image has {theirs.tolist()} along it, where these are "
                f"not neighbours in this order; write them one by one, or say where: region={{{dim!r}: slice(…)}}"
            )
        if len(places) > 1:
            raise CoordinateError(
                f"coordinate {dim!r} is {own.tolist()}, which the image has at the indices {places}; say which it is: "
                f"region={{{dim!r}: slice({places[0]}, {places[0] + own.size})}}"
            )
        return places[0]
    return int(np.argmin(np.abs(theirs - own[0])))


def check_grid(da: xr.DataArray, base: xr.DataArray, dim: str, start: int) -> None:
    """Make sure that an array lies where the pixels of an image from an index on do, if it says where it lies.

    Raises
    ------
    CoordinateError
        If it does not.
    """
    if dim not in da.coords or dim not in base.coords:
        return
    own, theirs = _comparable(da, base, dim)
    wanted = theirs[start : start + own.size]
    measured = own.dtype.kind in "iufmM"
    differs = ~(np.abs(own - wanted) <= _tolerance(theirs, dim, base)) if measured else own != wanted
    if not differs.any():
        return
    index = int(np.argmax(differs))
    nearest = int(np.argmin(np.abs(theirs - own[index]))) if measured else start + index
    first = max(min(nearest - SHOWN // 2, theirs.size - SHOWN), 0)
    around = ", ".join(_shown(theirs, i) for i in range(first, min(first + SHOWN, theirs.size)))
    raise CoordinateError(
        f"coordinate {dim!r} is {_shown(own, index)} at index {index}, where the image has a pixel at "
        f"{_shown(wanted, index)}; its pixels next to that lie at {around}: put the array on its grid, interp({dim}=…) "
        f"or reindex({dim}=…, method='nearest'), or say where it belongs, without its coordinate: "
        f"drop_vars({dim!r}) and region={{{dim!r}: slice({start}, {start + own.size})}}"
    )


def _comparable(da: xr.DataArray, base: xr.DataArray, dim: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the coordinates of both in the unit of the image, as values that can be told apart.

    Raises
    ------
    CoordinateError
        If they are of different kinds.
    UnitError
        If their units measure different things.
    """
    units = [coord.coords[dim].attrs.get("units") for coord in (da, base)]
    kinds = [_kind(coord.coords[dim].dtype) for coord in (da, base)]
    if kinds[0] != kinds[1]:
        raise CoordinateError(
            f"coordinate {dim!r} holds {kinds[0]}, and that of the image {kinds[1]}; take the image's, or say where "
            f"the array belongs: drop_vars({dim!r}) and region={{{dim!r}: slice(…)}}"
        )
    if None not in units and units[0] != units[1] and kinds[0] == "numbers":
        try:
            da = to_units(da, {dim: str(units[1])})
        except UnitError as error:
            raise UnitError(
                f"coordinate {dim!r} is in {units[0]!r}, and that of the image in {units[1]!r}: {error}"
            ) from (error)
    own, theirs = da.coords[dim].values, base.coords[dim].values
    if kinds[0] == "numbers":
        return own.astype(np.float64), theirs.astype(np.float64)
    if kinds[0] == "names":
        return own.astype(object), theirs.astype(object)
    finer = np.promote_types(own.dtype, theirs.dtype)
    return own.astype(finer), theirs.astype(finer)


def _kind(dtype: np.dtype[Any]) -> str:
    return {"M": "dates", "m": "durations"}.get(dtype.kind, "numbers" if dtype.kind in "iuf" else "names")


def _tolerance(positions: NDArray[Any], dim: str, base: xr.DataArray) -> Any:
    """Return how far from a pixel a position may lie that is meant for it."""
    if positions.size > 1:
        return np.abs(np.diff(positions)).min() * REGULAR_WITHIN
    spacing = base.coords[dim].attrs.get("scale", 0)
    number = float(spacing) if isinstance(spacing, int | float) else 0.0
    return number * REGULAR_WITHIN if positions.dtype.kind == "f" else positions.dtype.type(0) - positions.dtype.type(0)


def _shown(values: NDArray[Any], index: int) -> str:
    value = values[index]
    return f"{value:.10g}" if isinstance(value, float) else repr(value) if isinstance(value, str) else str(value)
