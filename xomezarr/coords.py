"""Axes and grids ⇄ xarray's coordinates: the only truth about where pixels lie.

`describe` reads the dimensions of a DataArray as OME-Zarr sees them; `coordinate` makes the coordinate of a
dimension at any level. Writing, reading and `pyramid` all go through these two.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr.errors import (
    AxisError,
    CoordinateError,
    CoordinateNaNError,
    IrregularCoordinateError,
    OmeZarrError,
    PixelSizeWarning,
    UnitError,
    UnitWarning,
    raise_all,
    warn,
)
from xomezarr.grid import Grid, check_ascending
from xomezarr.model import Axis
from xomezarr.units import axis_type as unit_type
from xomezarr.units import convert, ome_unit, reference_date

__all__ = [
    "AXIS_TYPES",
    "Dimension",
    "Irregular",
    "assign_grid",
    "axes_of",
    "coordinate",
    "dequantify",
    "describe",
    "file_order",
    "infer_axis_type",
    "to_units",
]

Irregular = Literal["raise", "keep"]

Kind = Literal["index", "number", "datetime", "timedelta", "label"]

AXIS_TYPES: Mapping[str, str] = {
    "t": "time",
    "time": "time",
    "c": "channel",
    "channel": "channel",
    "z": "space",
    "y": "space",
    "x": "space",
}
"""Axis types by the dimension's name, upper or lower case."""

CF_AXES: Mapping[str, str] = {"T": "time", "Z": "space", "Y": "space", "X": "space"}

TIME_UNIT = "second"
"""Unit in which datetime64 and timedelta64 coordinates are written."""

MAX_AXES = 5


@dataclass(frozen=True, slots=True)
class Dimension:
    """One dimension of an image: its axis, where its pixels lie, and the coordinate that says so.

    Parameters
    ----------
    axis
        Name, type and unit as OME-Zarr writes them.
    grid
        Pixel centres of level 0.
    kind
        What the coordinate holds: nothing (``"index"``), numbers, dates, durations, or names of the indices.
    coordinate
        Coordinate of level 0; None for a dimension without one.
    regular
        False where the grid holds the mean step only, and `coordinate` the true positions.
    """

    axis: Axis
    grid: Grid
    kind: Kind
    coordinate: xr.Variable | None = None
    regular: bool = True

    @property
    def name(self) -> str:
        """Name of the dimension."""
        return self.axis.name


def describe(
    da: xr.DataArray, *, axes: Mapping[str, str] | None = None, irregular: Irregular = "raise"
) -> tuple[Dimension, ...]:
    """Read an array's dimensions as OME-Zarr sees them, in the order of the file.

    Parameters
    ----------
    da
        With 2 or 3 spatial dimensions, at most one of time, and at most one channel or custom dimension.
        Regular coordinates give scale, translation and unit; a dimension without a coordinate has scale 1
        and translation 0.
    axes
        Axis types of dimensions whose name and coordinate do not tell, such as ``{"row": "space"}``.
    irregular
        ``"raise"``, or ``"keep"`` to describe irregular coordinates by index, with the mean step.

    Raises
    ------
    AxisError
        If the dimensions do not make legal axes.
    CoordinateError
        If a coordinate is irregular, descending, or holds a value twice or none; several faults are raised together.
    """
    if irregular not in ("raise", "keep"):
        raise CoordinateError(f'irregular={irregular!r} is not known; give irregular="raise" or irregular="keep"')
    faults: list[OmeZarrError] = [*_dimension_name_faults(da), *_unknown_dims(da, axes or {})]
    types: dict[str, str] = {}
    for dim in map(str, da.dims):
        found = infer_axis_type(da, dim, axes or {})
        if found is None:
            faults.append(_unknown_type(dim))
        else:
            types[dim] = found
    if len(types) == da.ndim:
        faults.extend(_layout_faults(types, da.sizes))
    dimensions: dict[str, Dimension] = {}
    for dim, kind in types.items():
        try:
            dimensions[dim] = _describe_one(da, dim, kind, irregular)
        except OmeZarrError as error:
            faults.append(error)
    raise_all(faults, "the array cannot be written as OME-Zarr")
    return tuple(dimensions[dim] for dim in file_order(types))


def axes_of(da: xr.DataArray, axes: Mapping[str, str] | None = None) -> tuple[Axis, ...]:
    """Return name, type and unit of each axis, in file order; coordinates need not be regular.

    Raises
    ------
    AxisError
        If the type of a dimension is not known.
    """
    types = {str(dim): infer_axis_type(da, str(dim), axes or {}) for dim in da.dims}
    raise_all([_unknown_type(dim) for dim, kind in types.items() if kind is None], "the axes are not known")
    known = {dim: kind for dim, kind in types.items() if kind is not None}
    found = []
    for dim in file_order(known):
        variable = da.coords[dim].variable if dim in da.coords else None
        unit = None
        if variable is not None:
            unit = _ome_unit(variable, _kind(variable, known[dim], dim), dim, known[dim])
        found.append(Axis(dim, known[dim], unit))
    return tuple(found)


def file_order(types: Mapping[str, str]) -> tuple[str, ...]:
    """Return the dimensions in the order of the file: time, channel or custom, space (z, y, x).

    >>> file_order({"x": "space", "y": "space", "t": "time"})
    ('t', 'y', 'x')
    """
    rank = {"time": 0, "space": 2}
    spatial = [dim for dim, kind in types.items() if kind == "space"]
    if all(dim.lower() in "zyx" for dim in spatial):
        spatial.sort(key=lambda dim: "zyx".index(dim.lower()))
    return (*sorted((d for d in types if types[d] != "space"), key=lambda d: rank.get(types[d], 1)), *spatial)


def infer_axis_type(da: xr.DataArray, dim: str, axes: Mapping[str, str]) -> str | None:
    """Tell the axis type of a dimension: as asked, else by its name, else by its coordinate.

    Parameters
    ----------
    da
        The array.
    dim
        Name of the dimension.
    axes
        What the user says, by dimension; it decides.

    Returns
    -------
    str or None
        ``"time"``, ``"channel"``, ``"space"``, or what `axes` says; None if nothing tells.
    """
    remembered = da.encoding.get("axes", {})
    for known in (axes.get(dim), AXIS_TYPES.get(dim.lower())):
        if known is not None:
            return str(known)
    if dim in da.coords:
        coord = da.coords[dim]
        by_dtype = {"M": "time", "m": "time", "U": "channel", "S": "channel", "O": "channel", "T": "channel"}
        if coord.dtype.kind in by_dtype:
            return by_dtype[coord.dtype.kind]
        unit = coord.attrs.get("units")
        by_unit = unit_type(unit) if isinstance(unit, str) else None
        by_axis = CF_AXES.get(str(coord.attrs.get("axis", "")).upper())
        if by_unit or by_axis:
            return by_unit or by_axis
    found = remembered.get(dim) if isinstance(remembered, Mapping) else None
    return str(found) if found else None


def coordinate(dimension: Dimension, grid: Grid, *, sampled: bool = False) -> xr.Variable | None:
    """Make the coordinate of a dimension at a level.

    Parameters
    ----------
    dimension
        The dimension at level 0.
    grid
        Its pixel centres at the level; where they are those of level 0, its own coordinate is returned.
    sampled
        Whether pixels of the level are samples of level 0 rather than means of blocks. It decides
        where an irregular dimension has them.

    Returns
    -------
    xarray.Variable or None
        With the attributes of level 0 and the level's own ``scale``; None for a dimension without a coordinate
        that does not shrink.
    """
    level0 = dimension.coordinate
    if grid == dimension.grid:
        return level0
    attrs = dict(level0.attrs) if level0 is not None else {}
    if not dimension.regular and level0 is not None:
        return xr.Variable(dimension.name, _coarsen_irregular(dimension, grid, sampled=sampled), attrs)
    attrs["scale"] = grid.scale
    if level0 is not None and dimension.kind == "datetime":
        start = level0.values.astype("datetime64[ns]")[0]
        return xr.Variable(dimension.name, start + _nanoseconds(grid.coordinates), attrs)
    if level0 is not None and dimension.kind == "timedelta":
        return xr.Variable(dimension.name, _nanoseconds(grid.coordinates), attrs)
    return xr.Variable(dimension.name, grid.coordinates, attrs)


def assign_grid(
    da: xr.DataArray,
    *,
    scale: Mapping[str, float] | None = None,
    translation: Mapping[str, float] | None = None,
    units: Mapping[str, str] | str | None = None,
) -> xr.DataArray:
    """Return a copy with regular coordinates.

    Parameters
    ----------
    da
        Any array. Coordinates of dimensions that are not named are kept.
    scale
        Distance of neighbouring pixel centres, by dimension. A named dimension whose scale is left out keeps the
        one that it has, else 1.
    translation
        Position of the centre of pixel 0, by dimension. A named dimension whose translation is left out keeps the
        one that it has, else 0.
    units
        By dimension; one string serves all dimensions of space.

    Raises
    ------
    AxisError
        If a named dimension does not exist.
    CoordinateError
        If a scale is not a positive number, or a translation not a finite one.

    Examples
    --------
    >>> da = xr.DataArray(np.zeros((2, 3)), dims=("y", "x"))
    >>> assign_grid(da, scale={"x": 0.5}, units="um").x.values
    array([0. , 0.5, 1. ])
    """
    asked_units = _units_by_dimension(da, units)
    named = [*(scale or {}), *(translation or {}), *asked_units]
    faults = [*_missing_dims(da, named, "assign_grid")]
    faults += [
        CoordinateError(f"scale[{dim!r}] is {value!r}; give a positive number of units per pixel, such as 0.5")
        for dim, value in (scale or {}).items()
        if not _is_number(value) or not 0 < float(value) < np.inf
    ]
    faults += [
        CoordinateError(f"translation[{dim!r}] is {value!r}; give a finite number, such as 0.0")
        for dim, value in (translation or {}).items()
        if not _is_number(value) or not np.isfinite(float(value))
    ]
    faults += [
        UnitError(f'units[{dim!r}] is {value!r}; give the name of a unit, such as "micrometer"')
        for dim, value in asked_units.items()
        if not isinstance(value, str) or not value
    ]
    raise_all(faults, "the grid cannot be assigned")
    result = da.copy(deep=False)
    for dim in dict.fromkeys(named):
        old = da.coords.get(dim)
        current = _current_grid(da, dim, needed=dim not in (scale or {}) or dim not in (translation or {}))
        grid = Grid(
            float((scale or {}).get(dim, current.scale)),
            float((translation or {}).get(dim, current.translation)),
            da.sizes[dim],
        )
        attrs = dict(old.attrs) if old is not None else {}
        if dim in asked_units:
            attrs["units"] = asked_units[dim]
        values = grid.coordinates
        if old is not None and dim not in (scale or {}) and dim not in (translation or {}):
            values = old.values  # only the unit is new
        result = result.assign_coords({dim: (dim, values, attrs | {"scale": grid.scale})})
    return result


def to_units(da: xr.DataArray, units: Mapping[str, str] | str) -> xr.DataArray:
    """Return a copy whose coordinates are converted to other units.

    Parameters
    ----------
    da
        With ``units`` on the coordinates to convert.
    units
        By dimension; one string serves all dimensions of space.

    Raises
    ------
    UnitError
        If a coordinate has no unit, or its unit measures something else.
    """
    asked = _units_by_dimension(da, units)
    if not asked:
        raise UnitError("no dimension of space is to be converted; name one: to_units({'z': \"um\"})")
    faults: list[OmeZarrError] = [*_missing_dims(da, list(asked), "to_units")]
    factors: dict[str, float] = {}
    for dim, target in asked.items():
        unit = da.coords[dim].attrs.get("units") if dim in da.coords else None
        if dim not in da.dims:
            continue
        if not isinstance(unit, str):
            faults.append(
                UnitError(
                    f"dimension {dim!r} has no unit to convert from; give it one: assign_grid(units={{{dim!r}: 'um'}})"
                )
            )
            continue
        try:
            factors[dim] = convert(unit, target)
        except UnitError as error:
            faults.append(UnitError(f"dimension {dim!r}: {error}"))
    raise_all(faults, "the units cannot be converted")
    result = da
    for dim, factor in factors.items():
        old = da.coords[dim].variable
        attrs = dict(old.attrs) | {"units": asked[dim]}
        if _is_number(attrs.get("scale")):
            attrs["scale"] = _tidy_product(float(attrs["scale"]), factor)
        result = result.assign_coords({dim: (dim, _converted(old.values, factor), attrs)})
    return result


def dequantify(da: xr.DataArray) -> xr.DataArray:
    """Turn pint quantities, of the pixels and of coordinates, into numbers with ``units`` attributes.

    Arrays without quantities are returned as they are.
    """
    quantified = hasattr(da.variable._data, "magnitude") or any(
        type(index).__name__ == "PintIndex" for index in da.xindexes.values()
    )
    quantified = quantified or any(hasattr(coord.variable._data, "magnitude") for coord in da.coords.values())
    if not quantified:
        return da
    import pint_xarray  # noqa: F401 - registers the accessor

    plain: xr.DataArray = da.pint.dequantify()
    return plain


def _describe_one(da: xr.DataArray, dim: str, axis_type: str, irregular: Irregular) -> Dimension:
    size = da.sizes[dim]
    if dim not in da.coords:
        check_ascending(np.arange(size), dim)
        return Dimension(Axis(dim, axis_type), Grid(1.0, 0.0, size), "index")
    variable = da.coords[dim].variable
    kind = _kind(variable, axis_type, dim)
    unit = _ome_unit(variable, kind, dim, axis_type)
    axis = Axis(dim, axis_type, unit)
    if kind == "label":
        check_ascending(np.arange(size), dim)
        return Dimension(axis, Grid(1.0, 0.0, size), kind, variable)
    values = _numbers(variable, kind, dim)
    if size == 1:
        check_ascending(values, dim)
        return Dimension(axis, Grid(_remembered_scale(variable, dim), float(values[0]), 1), kind, variable)
    try:
        return Dimension(axis, Grid.fit(values, dim=dim), kind, variable)
    except IrregularCoordinateError:
        if irregular == "raise" or np.any(np.diff(values) < 0):
            raise
    mean_step = float(values[-1] - values[0]) / (size - 1)
    return Dimension(axis, Grid(mean_step, float(values[0]), size), kind, variable, regular=False)


def _kind(variable: xr.Variable, axis_type: str, dim: str) -> Kind:
    """Tell what a coordinate holds, or say why it cannot place pixels."""
    if axis_type == "channel" or (axis_type not in ("space", "time") and variable.dtype.kind in "OUST"):
        return "label"
    by_dtype: dict[str, Kind] = {"i": "number", "u": "number", "f": "number", "M": "datetime", "m": "timedelta"}
    found = by_dtype.get(variable.dtype.kind)
    if found is None:
        first = variable.values.ravel()[0] if variable.size else None
        raise CoordinateError(
            f"coordinate {dim!r} of dtype {variable.dtype} cannot place pixels (index 0 is {first!r}); "
            f"give it numbers or datetime64: assign_coords({dim}=…), or reset_index({dim!r}) if it is a MultiIndex"
        )
    return found


def _numbers(variable: xr.Variable, kind: Kind, dim: str) -> NDArray[Any]:
    """Return a coordinate as numbers: dates in seconds since the first one, durations in seconds."""
    values = variable.values
    if kind == "number":
        return values
    missing = np.flatnonzero(np.isnat(values))
    if missing.size:
        raise CoordinateNaNError(
            f"coordinate {dim!r} is NaT at index {missing[0]}; give every pixel a time: "
            f"assign_coords({dim}=…), or dropna({dim!r}) to leave such pixels out"
        )
    if kind == "datetime" and values.size:
        values = values - values[0]
    # whole nanoseconds first: a float of seconds keeps 15 digits, which is 1 ns in 11 days
    return values.astype("timedelta64[ns]").astype(np.int64) / 1e9


def _nanoseconds(seconds: NDArray[np.float64]) -> NDArray[np.timedelta64]:
    return np.round(seconds * 1e9).astype(np.int64).astype("timedelta64[ns]")


def _ome_unit(variable: xr.Variable, kind: Kind, dim: str, axis_type: str) -> str | None:
    """Return the unit of an axis by its OME name, or as it is spelled, with a warning, where it has none."""
    if kind in ("datetime", "timedelta"):
        return TIME_UNIT
    unit = variable.attrs.get("units")
    if unit is None or kind == "label":
        return None
    if not isinstance(unit, str):
        raise UnitError(
            f"coords[{dim!r}].attrs['units'] is {unit!r}; give the name of a unit: assign_grid(units={{{dim!r}: 'um'}})"
        )
    name = ome_unit(unit)
    if name is None:
        since = reference_date(unit)
        name = since[0] if since else unit
        if axis_type in ("space", "time"):
            warn(
                f"dimension {dim!r} is written with the unit {name!r}, which OME-Zarr does not recommend; "
                f'convert it to one that viewers know: to_units({{{dim!r}: "micrometer"}})',
                UnitWarning,
            )
    return name


def _remembered_scale(variable: xr.Variable, dim: str) -> float:
    """Return the scale of a single pixel, which has no neighbour to measure it by."""
    remembered = variable.attrs.get("scale")
    if remembered is None:
        warn(
            f"dimension {dim!r} has one pixel and no scale: 1.0 is written; "
            f"give it one with assign_grid(scale={{{dim!r}: …}})",
            PixelSizeWarning,
        )
        return 1.0
    if not _is_number(remembered) or not 0 < float(remembered) < np.inf:
        raise CoordinateError(
            f"coords[{dim!r}].attrs['scale'] is {remembered!r}, which is not a positive number; "
            f"give it one with assign_grid(scale={{{dim!r}: 1.0}})"
        )
    return float(remembered)


def _coarsen_irregular(dimension: Dimension, grid: Grid, *, sampled: bool) -> NDArray[Any]:
    """Return the true positions of a coarser level's pixels: of the sample, or the mean over the block."""
    assert dimension.coordinate is not None
    values = dimension.coordinate.values
    factor = max(round(grid.scale / dimension.grid.scale), 1)
    if sampled:
        offset = round(dimension.grid.index(grid.translation))
        return values[np.minimum(np.arange(grid.size) * factor + offset, values.size - 1)]
    start = values[:1]
    elapsed = values - start
    timed = dimension.kind in ("datetime", "timedelta")
    whole = elapsed.astype("timedelta64[ns]").astype(np.int64) if timed else elapsed
    starts = np.arange(grid.size) * factor
    sums = np.add.reduceat(whole.astype(np.float64), starts)
    counts = np.diff(np.append(starts, values.size))
    counts[-1] = min(counts[-1], factor)
    if whole.size > starts[-1] + factor:  # trimmed
        sums[-1] = whole[starts[-1] : starts[-1] + factor].sum(dtype=np.float64)
    means = sums / counts
    if timed:
        return start.astype(f"{'datetime64' if dimension.kind == 'datetime' else 'timedelta64'}[ns]") + _nanoseconds(
            means / 1e9
        )
    result: NDArray[Any] = start + means
    return result


def _dimension_name_faults(da: xr.DataArray) -> list[OmeZarrError]:
    """Axis names are strings that are not empty."""
    return [
        AxisError(f"dimension {dim!r} is not named by a string; give it a name: rename({{{dim!r}: 'x'}})")
        for dim in da.dims
        if not isinstance(dim, str) or not dim
    ]


def _unknown_dims(da: xr.DataArray, axes: Mapping[str, str]) -> list[OmeZarrError]:
    faults = list(_missing_dims(da, list(axes), "axes"))
    faults += [
        AxisError(f'axes[{dim!r}] is {kind!r}; give an axis type, such as "space", "time" or "channel"')
        for dim, kind in axes.items()
        if not isinstance(kind, str) or not kind
    ]
    return faults


def _unknown_type(dim: str) -> AxisError:
    return AxisError(
        f"dimension {dim!r} is of no known axis type: its name is none of {', '.join(AXIS_TYPES)}, "
        f'and its coordinate has no unit of length or time; say what it is: axes={{"{dim}": "space"}}'
    )


def _missing_dims(da: xr.DataArray, named: Iterable[Hashable], where: str) -> list[OmeZarrError]:
    return [
        AxisError(f"{where} names dimension {dim!r}, which the array lacks; its dimensions are {tuple(da.dims)}")
        for dim in dict.fromkeys(named)
        if dim not in da.dims
    ]


def _layout_faults(types: Mapping[str, str], sizes: Mapping[Hashable, int]) -> list[OmeZarrError]:
    """Rules 15 to 18: two to five axes, two or three of space, at most one of time, one of channels or custom."""
    faults: list[OmeZarrError] = []
    spatial = [dim for dim, kind in types.items() if kind == "space"]
    temporal = [dim for dim, kind in types.items() if kind == "time"]
    others = [dim for dim, kind in types.items() if kind not in ("space", "time")]
    if len(types) > MAX_AXES:
        extra = (others or temporal or spatial)[-1]
        faults.append(
            AxisError(
                f"the array has {len(types)} dimensions {tuple(types)}, and OME-Zarr at most {MAX_AXES}; "
                f"write one image for each index of one of them: isel({extra}=0)"
            )
        )
    if len(spatial) < 2:
        new = "y" if "y" not in types else "z"
        faults.append(
            AxisError(
                f"the array has {len(spatial)} spatial dimensions {tuple(spatial)}, and OME-Zarr needs 2 or 3; "
                f'add one of length 1: expand_dims({new!r}), or say which are: axes={{…: "space"}}'
            )
        )
    if len(spatial) > 3:
        faults.append(
            AxisError(
                f"the array has {len(spatial)} spatial dimensions {tuple(spatial)}, and OME-Zarr at most 3; "
                f"select one index of one of them: isel({spatial[0]}=0)"
            )
        )
    for what, dims in (("of time", temporal), ("of channels or of a custom type", others)):
        if len(dims) > 1:
            faults.append(
                AxisError(
                    f"the array has {len(dims)} dimensions {what}, {tuple(dims)}, and OME-Zarr allows one; "
                    f"write one image for each index of one of them: isel({dims[0]}=0)"
                )
            )
    return faults


def _units_by_dimension(da: xr.DataArray, asked: Mapping[str, str] | str | None) -> dict[str, str]:
    if asked is None:
        return {}
    if not isinstance(asked, str):
        return dict(asked)
    return {str(dim): asked for dim in da.dims if infer_axis_type(da, str(dim), {}) == "space"}


def _current_grid(da: xr.DataArray, dim: str, *, needed: bool) -> Grid:
    """Return the grid that a dimension has, as far as `assign_grid` falls back on it."""
    size = da.sizes[dim]
    if dim not in da.coords or not needed:
        return Grid(1.0, 0.0, size)
    variable = da.coords[dim].variable
    if variable.dtype.kind not in "iuf":
        return Grid(1.0, 0.0, size)
    if size == 1:
        remembered = variable.attrs.get("scale", 1.0)
        return Grid(float(remembered) if _is_number(remembered) else 1.0, float(variable.values[0]), 1)
    return Grid.fit(variable.values, dim=dim)


def _converted(values: NDArray[Any], factor: float) -> NDArray[Any]:
    """Multiply positions by a factor; a regular grid stays one of short decimals."""
    if values.dtype.kind not in "iuf":
        raise UnitError(f"a coordinate of dtype {values.dtype} has no unit to convert; convert numbers only")
    if values.size > 1:
        try:
            grid = Grid.fit(values)
        except CoordinateError:
            return values * factor
        scaled = Grid(_tidy_product(grid.scale, factor), _tidy_product(grid.translation, factor), grid.size).coordinates
        return scaled.astype(values.dtype) if values.dtype.kind == "f" else scaled
    return np.array([_tidy_product(float(value), factor) for value in values])


def _tidy_product(value: float, factor: float) -> float:
    """Multiply as on paper: 0.1 µm is 100 nm, not 100.00000000000001.

    >>> _tidy_product(0.325, 1000.0)
    325.0
    """
    product = value * factor
    short = float(f"{product:.15g}")
    return short if abs(short - product) <= 4 * np.spacing(abs(product)) else product


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
