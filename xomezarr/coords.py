"""Axes and grids ⇄ xarray's coordinates: the only truth about where pixels lie.

`describe` reads the dimensions of a DataArray as OME-Zarr sees them; `coordinate` makes the coordinate of a
dimension at any level. Writing, reading and `pyramid` all go through these two.
"""

from __future__ import annotations

import json
import keyword
import math
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from xomezarr.errors import (
    AxisError,
    CoordinateError,
    EmptyDimensionError,
    IrregularCoordinateError,
    MissingDependencyError,
    OmeZarrError,
    PixelSizeWarning,
    UnitError,
    UnitWarning,
    collecting,
    raise_all,
    warn,
)
from xomezarr.grid import REGULAR_WITHIN, ROUNDING_ULPS, Grid, check_ascending
from xomezarr.model import Axis
from xomezarr.orientation import LINE_OF, ORIENTATIONS
from xomezarr.units import axis_type as unit_type
from xomezarr.units import convert, meant, measures_something_else, ome_unit, reference_date, same_unit

__all__ = [
    "AXIS_TYPES",
    "Dimension",
    "Irregular",
    "as_said",
    "assign_grid",
    "axes_of",
    "coordinate",
    "dequantify",
    "describe",
    "describe_coarser",
    "file_order",
    "infer_axis_type",
    "states_spacing",
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

SPATIAL_ORDER = ("z", "y", "x")

KNOWN_TYPES = ("time", "channel", "space")
"""Axis types that OME-Zarr knows; all others are custom."""

CF_AXES: Mapping[str, str] = {"T": "time", "Z": "space", "Y": "space", "X": "space"}

KINDS: Mapping[str, Kind] = {"i": "number", "u": "number", "f": "number", "M": "datetime", "m": "timedelta"}
"""What a coordinate that places pixels holds, by the kind of its dtype."""

TIME_UNIT = "second"
"""Unit in which datetime64 and timedelta64 coordinates are written."""

USUAL_UNITS: Mapping[str, str] = {"space": "micrometer", "time": TIME_UNIT}
"""Units that messages propose, by axis type."""

MEASURED: Mapping[str, str] = {"space": "length", "time": "time"}
"""What axes of a type measure."""

SECOND = np.timedelta64(1, "s")

NANOSECONDS_HOLD = 9.2e9
"""Seconds, 292 years, that 64 bits hold as nanoseconds."""

EXACT_INTEGERS = 2.0**53
"""Factors beyond which float64 does not hold every whole number."""

MAX_AXES, MAX_SPATIAL = 5, 3

_PLAIN_NAME = re.compile(r"[^A-Za-z0-9_-]")
"""What is left out of a dimension's name where it becomes part of the name of a group."""


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
        Coordinate of level 0; None for a dimension without one. It is left out when dimensions are compared.
    regular
        False where the grid holds the mean step only, and `coordinate` the true positions.
    """

    axis: Axis
    grid: Grid
    kind: Kind
    coordinate: xr.Variable | None = field(default=None, compare=False)  # Variables have no one truth value
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
    unusable = [*_name_faults(da), *_size_faults(da), *_not_by_dimension(AxisError, "space", axes=axes)]
    raise_all(unusable, "the array cannot be written as OME-Zarr")
    faults = _axes_faults(da, axes or {})
    found = {dim: infer_axis_type(da, dim, axes or {}) for dim in map(str, da.dims)}
    types = {dim: kind for dim, kind in found.items() if kind is not None}
    unknown = [dim for dim in found if dim not in types]
    # what becomes of those that are too many needs no type
    faults += [_unknown_type(dim) for dim in unknown if dim not in _surplus_of_unknown(types, unknown)]
    faults += _layout_faults(list(found), types)
    dimensions: dict[str, Dimension] = {}
    for dim, kind in types.items():
        try:
            dimensions[dim] = _describe_one(da, dim, kind, irregular)
        except OmeZarrError as error:
            faults.append(error)
    faults += _orientation_faults(dimension.axis for dimension in dimensions.values())
    raise_all(faults, "the array cannot be written as OME-Zarr")
    _warn_of_units(dimension.axis for dimension in dimensions.values())
    return tuple(dimensions[dim] for dim in file_order(types))


def describe_coarser(
    da: xr.DataArray,
    level0: Sequence[Dimension],
    *,
    sampled: bool = False,
    hints: Mapping[str, Grid] | None = None,
    irregular: Irregular = "raise",
) -> tuple[Dimension, ...]:
    """Read the dimensions of a coarser level of an image, in the order of those of level 0.

    Each grid is that of level 0 with blocks of a whole number of pixels joined, wherever that reproduces the level's
    coordinate within rounding: scales are then exact products. Elsewhere it is fitted to the level alone; dates
    count from the first of level 0 all the same.

    Parameters
    ----------
    da
        The level, with the dimensions of level 0.
    level0
        What `describe` says of level 0.
    sampled
        Whether pixels of the level are samples of level 0 rather than means of blocks.
    hints
        Grids that may be those of the level, by dimension; they count only where they reproduce its coordinates.
    irregular
        As in `describe`.

    Raises
    ------
    CoordinateError
        If a coordinate is irregular, descending, or holds a value twice or none; several faults are raised together.
    """
    faults: list[OmeZarrError] = []
    dimensions = []
    for dimension in level0:
        try:
            dimensions.append(
                _describe_coarser_one(da, dimension, sampled, (hints or {}).get(dimension.name), irregular)
            )
        except OmeZarrError as error:
            faults.append(error)
    raise_all(faults, "the level cannot be written as OME-Zarr")
    _warn_of_units(own.axis for own, first in zip(dimensions, level0, strict=True) if own.axis.unit != first.axis.unit)
    return tuple(dimensions)


def states_spacing(attrs: Mapping[Any, Any]) -> bool:
    """Whether the attribute ``scale`` of a coordinate is free for its spacing: missing, or a number.

    >>> states_spacing({"scale": 0.5}), states_spacing({"scale": "log"})
    (True, False)
    """
    return "scale" not in attrs or _is_number(attrs["scale"])


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
        axis = Axis(dim, known[dim])
        if variable is not None:
            unit = _ome_unit(variable, _kind(variable, known[dim], dim), dim)
            axis = replace(axis, unit=unit, orientation=_orientation(variable.attrs, dim, known[dim]))
        found.append(axis)
    _warn_of_units(found)
    return tuple(found)


def file_order(types: Mapping[str, str]) -> tuple[str, ...]:
    """Return the dimensions in the order of the file: time, channel or custom, space (z, y, x).

    >>> file_order({"x": "space", "y": "space", "t": "time"})
    ('t', 'y', 'x')
    """
    spatial = [dim for dim, kind in types.items() if kind == "space"]
    if {dim.lower() for dim in spatial} <= set(SPATIAL_ORDER):
        spatial.sort(key=lambda dim: SPATIAL_ORDER.index(dim.lower()))
    temporal = [dim for dim, kind in types.items() if kind == "time"]
    others = [dim for dim, kind in types.items() if kind not in ("space", "time")]
    return (*temporal, *others, *spatial)


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
    if axes.get(dim) is not None:
        asked = str(axes[dim])
        return asked.lower() if asked.lower() in KNOWN_TYPES else asked
    if dim.lower() in AXIS_TYPES:
        return AXIS_TYPES[dim.lower()]
    if dim in da.coords:
        coord = da.coords[dim]
        unit, cf_axis = coord.attrs.get("units"), coord.attrs.get("axis")
        if coord.dtype.kind in "mM":
            return "time"
        if _holds_text(coord.variable):
            return "channel"
        found = (unit_type(unit) if isinstance(unit, str) else None) or CF_AXES.get(str(cf_axis).upper())
        if found is not None:
            return found
    remembered = da.encoding.get("axes")
    known = remembered.get(dim) if isinstance(remembered, Mapping) else None
    return str(known) if known else None


def coordinate(dimension: Dimension, grid: Grid, *, sampled: bool = False) -> xr.Variable | None:
    """Make the coordinate of a dimension at a level.

    Parameters
    ----------
    dimension
        The dimension at level 0.
    grid
        Its pixel centres at the level; where they are those of level 0, its own coordinate is returned. An irregular
        dimension that has no such blocks of pixels lies as the grid says.
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
    if not dimension.regular and level0 is not None and _has_blocks(dimension, grid, sampled=sampled):
        return xr.Variable(dimension.name, _coarsen_irregular(dimension, grid, sampled=sampled), attrs)
    attrs["scale"] = grid.scale
    if level0 is not None and dimension.kind == "datetime":
        return xr.Variable(dimension.name, _later(level0.values[:1], grid.coordinates), attrs)
    if level0 is not None and dimension.kind == "timedelta":
        return xr.Variable(dimension.name, _later(np.zeros(1, "m8[s]"), grid.coordinates), attrs)
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
        By dimension; one string serves all dimensions of space. Of one that is much like a known unit, or measures
        something else, a warning tells.

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
    da = dequantify(da)
    unusable = _not_by_dimension(CoordinateError, 1.0, scale=scale, translation=translation)
    raise_all(unusable, "the grid cannot be assigned")
    scale, translation, asked = scale or {}, translation or {}, _units_by_dimension(da, units)
    named = list(dict.fromkeys([*scale, *translation, *asked]))
    faults = _missing_dims(da, named, "assign_grid")
    faults += [
        CoordinateError(f"scale[{dim!r}] is {value!r}; give units per pixel, above zero: scale={{{dim!r}: 0.5}}")
        for dim, value in scale.items()
        if not _is_positive(value)
    ]
    faults += [
        CoordinateError(f"translation[{dim!r}] is {value!r}; give a finite number: translation={{{dim!r}: 0.0}}")
        for dim, value in translation.items()
        if not _is_number(value) or not math.isfinite(value)
    ]
    faults += [
        UnitError(f"units[{dim!r}] is {value!r}; give the name of a unit: units={{{dim!r}: 'micrometer'}}")
        for dim, value in asked.items()
        if not isinstance(value, str) or not value.strip()
    ]
    for dim in named:
        only_scale = dim not in translation and dim not in asked
        if dim in da.dims and dim in da.coords:
            with collecting(faults):
                variable = _row(da, dim)
                faults += [] if only_scale and da.sizes[dim] == 1 else _not_numbers(variable, dim)
    raise_all(faults, "the grid cannot be assigned")
    _warn_of_mistakes(da, asked)
    assigned = {dim: _assigned(da, dim, scale.get(dim), translation.get(dim), asked.get(dim)) for dim in named}
    return da.assign_coords(assigned)


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
    da = dequantify(da)
    asked = _units_by_dimension(da, units)
    faults = _missing_dims(da, list(asked), "to_units")
    converted: dict[str, xr.Variable] = {}
    for dim, target in asked.items():
        if dim in da.dims:
            try:
                converted[dim] = _converted(da.coords[dim] if dim in da.coords else None, dim, target)
            except OmeZarrError as error:
                faults.append(error)
    raise_all(faults, "the units cannot be converted")
    return da.assign_coords(converted)


def dequantify(da: xr.DataArray) -> xr.DataArray:
    """Turn pint quantities, of the pixels and of coordinates, into numbers with ``units`` attributes.

    Arrays without quantities are returned as they are.
    """
    if not isinstance(da, xr.DataArray):
        raise OmeZarrError(f"{type(da).__name__} is not a DataArray; make one: xr.DataArray(image, dims=('y', 'x'))")
    variables = [da.variable, *da.coords.variables.values()]
    quantified = any(hasattr(variable._data, "magnitude") for variable in variables)
    if not quantified and all(type(index).__name__ != "PintIndex" for index in da.xindexes.values()):
        return da
    try:
        import pint_xarray  # noqa: F401 - registers the accessor
    except ImportError:
        raise MissingDependencyError("the array holds pint quantities; pip install pint-xarray") from None
    plain: xr.DataArray = da.pint.dequantify()
    return plain


def _row(da: xr.DataArray, dim: str) -> xr.Variable:
    """Return the coordinate of a dimension, which lies along that alone.

    Raises
    ------
    CoordinateError
        If it lies along others too, as where several images that lie apart are one array.
    """
    variable: xr.Variable = da.coords[dim].variable
    if others := [str(other) for other in variable.dims if other != dim]:
        raise CoordinateError(
            f"coordinate {dim!r} lies along {' and '.join(map(repr, others))} too, so that pixels of an index lie "
            f"apart; take what lies in one place: isel({', '.join(f'{other}=0' for other in others)})"
        )
    return variable


def _describe_one(da: xr.DataArray, dim: str, axis_type: str, irregular: Irregular) -> Dimension:
    size = da.sizes[dim]
    by_index = Grid(1.0, 0.0, size)
    if dim not in da.coords:
        check_ascending(np.arange(size), dim)
        return Dimension(Axis(dim, axis_type), by_index, "index")
    variable = _row(da, dim)
    kind = _kind(variable, axis_type, dim)
    axis = Axis(dim, axis_type, _ome_unit(variable, kind, dim), _orientation(variable.attrs, dim, axis_type))
    check_ascending(np.arange(size) if kind == "label" else variable.values, dim)
    if kind == "label":
        return Dimension(axis, by_index, kind, variable)
    values = _numbers(variable, kind)
    if size == 1:
        return Dimension(axis, Grid(_remembered_scale(variable, dim), float(values[0]), 1), kind, variable)
    return _fitted(axis, values, kind, variable, irregular)


def _fitted(axis: Axis, values: NDArray[Any], kind: Kind, variable: xr.Variable, irregular: Irregular) -> Dimension:
    """Find the grid of two or more pixels from their positions alone."""
    try:
        return Dimension(axis, Grid.fit(values, dim=axis.name, shown=variable.values), kind, variable)
    except IrregularCoordinateError:
        if irregular == "raise":
            raise
    first, last = float(values[0]), float(values[-1])
    mean_step = Grid((last - first) / (values.size - 1), first, values.size)
    return Dimension(axis, mean_step, kind, variable, regular=False)


def _describe_coarser_one(
    da: xr.DataArray, level0: Dimension, sampled: bool, hint: Grid | None, irregular: Irregular
) -> Dimension:
    dim, size = level0.name, da.sizes[level0.name]
    if dim not in da.coords:
        check_ascending(np.arange(size), dim)
        return Dimension(Axis(dim, level0.axis.type), Grid(1.0, 0.0, size), "index")
    variable = _row(da, dim)
    kind = _kind(variable, level0.axis.type or "", dim)
    axis = level0.axis
    before = level0.coordinate
    if before is None or kind != level0.kind or before.attrs.get("units") != variable.attrs.get("units"):
        axis = replace(axis, unit=_ome_unit(variable, kind, dim))
    check_ascending(np.arange(size) if kind == "label" else variable.values, dim)
    if kind == "label":
        return Dimension(axis, Grid(1.0, 0.0, size), kind, variable)
    dates = kind == level0.kind == "datetime" and before is not None
    values = _numbers(variable, kind, before.values[0] if dates and before is not None else None)
    if kind == level0.kind or (kind, level0.kind) == ("number", "index"):
        for grid in _coarser_grids(level0, variable, values, hint, sampled=sampled):
            if _reproduces(level0, grid, variable, sampled=sampled):
                return Dimension(axis, grid, kind, variable, regular=level0.regular)
    if size == 1:
        # of an irregular coordinate the attribute is the user's own
        remembered = variable.attrs.get("scale") if level0.regular else None
        # one pixel that says nothing covers what level 0 does
        scale = level0.grid.scale * level0.grid.size if remembered is None else _remembered_scale(variable, dim)
        return Dimension(axis, Grid(scale, float(values[0]), 1), kind, variable)
    return _fitted(axis, values, kind, variable, irregular)


def _coarser_grids(
    level0: Dimension, variable: xr.Variable, values: NDArray[Any], hint: Grid | None, *, sampled: bool
) -> Iterator[Grid]:
    """Yield the grids that whole blocks of level 0 may have, the likeliest first.

    `values` are the level's positions as numbers that count from where those of level 0 do.
    """
    grid, size, first = level0.grid, values.size, float(values[0])
    if size == grid.size:
        yield grid
    remembered: Any = variable.attrs.get("scale")
    scales = [hint.scale] if hint is not None and _is_positive(hint.scale) else []
    if size > 1:
        scales.append((float(values[-1]) - first) / (size - 1))
    elif level0.regular and _is_positive(remembered):
        scales = [float(remembered)]  # nothing else says how far a single pixel reaches
    factors = [max(round(scale / grid.scale), 1) for scale in scales if scale / grid.scale < EXACT_INTEGERS]
    # the mean step of an irregular level is no multiple of that of level 0, and a bare pixel has none: sizes tell
    if not level0.regular or not scales:
        factors += [*_block_sizes(grid.size, size)]
    offsets: Sequence[float] = ()
    if level0.regular:
        index = grid.index(first)
        offsets = [round(2 * index) / 2] if abs(index) < EXACT_INTEGERS else []
    elif sampled and level0.coordinate is not None:
        found = np.flatnonzero(level0.coordinate.values == variable.values[0]).tolist()
        # a sample beyond the last pixel is the last pixel: only the store says that it was meant to lie beyond
        beyond = None if hint is None else grid.index(hint.translation)
        offsets = [round(beyond), *found] if beyond is not None and abs(beyond) < EXACT_INTEGERS else found
    for factor in dict.fromkeys(factors):
        for offset in dict.fromkeys((*offsets, (factor - 1) / 2)):
            # as pyramids are made: one rounding, and none where the first pixel stays
            yield Grid(grid.scale * factor, grid.position(offset) if offset else grid.translation, size)


def _block_sizes(fine: int, coarse: int) -> Iterable[int]:
    """Return the numbers of pixels that make `coarse` blocks of `fine`, whether a block cut by the edge counts or not.

    >>> _block_sizes(5, 3), _block_sizes(5, 2), _block_sizes(5, 1)
    (range(2, 3), range(2, 5), range(5, 6))
    """
    if coarse == 1:
        return range(fine, fine + 1)
    smallest = fine // (coarse + 1) + 1
    return range(smallest, max(-(-fine // (coarse - 1)), smallest + 1))


def _reproduces(level0: Dimension, grid: Grid, variable: xr.Variable, *, sampled: bool) -> bool:
    """Whether blocks of level 0 on this grid lie where a level's coordinate says, but for rounding."""
    remembered: Any = variable.attrs.get("scale")
    if grid.size == 1 and level0.regular and _is_positive(remembered) and not _near(remembered, grid.scale):
        return False
    if not level0.regular and not _has_blocks(level0, grid, sampled=sampled):
        return False
    made = coordinate(level0, grid, sampled=sampled)
    expected, found = grid.coordinates if made is None else made.values, variable.values
    if level0.kind in ("datetime", "timedelta"):
        return bool((np.abs((found - expected).astype(np.int64)) <= 1).all())
    precision = found.dtype if found.dtype.kind == "f" else np.dtype(np.float64)
    rounding = ROUNDING_ULPS[-1] * float(np.finfo(precision).eps) * float(np.abs(expected).max())
    return bool((np.abs(found - expected) <= min(rounding, REGULAR_WITHIN * grid.scale)).all())


def _near(value: float, other: float) -> bool:
    return math.isclose(value, other, rel_tol=ROUNDING_ULPS[-1] * float(np.finfo(np.float64).eps))


def _kind(variable: xr.Variable, axis_type: str, dim: str) -> Kind:
    """Tell what a coordinate holds, or say why it cannot place pixels."""
    if isinstance(variable, xr.IndexVariable) and isinstance(variable.to_index(), pd.MultiIndex):
        raise CoordinateError(
            f"coordinate {dim!r} is a MultiIndex, which OME-Zarr cannot hold; "
            f"turn its levels into coordinates along the dimension: reset_index({dim!r})"
        )
    if axis_type == "channel" or (axis_type not in ("space", "time") and _holds_text(variable)):
        return "label"
    if isinstance(variable.dtype, pd.DatetimeTZDtype):
        raise CoordinateError(
            f"coordinate {dim!r} has the time zone {variable.dtype.tz}, which cannot be kept; "
            f"convert it to UTC without one: assign_coords({dim}=da.indexes[{dim!r}].tz_convert(None))"
        )
    kind = KINDS.get(variable.dtype.kind)
    if kind is None:
        first = variable.values[0] if variable.size else None
        raise CoordinateError(
            f"coordinate {dim!r} of dtype {variable.dtype} cannot place pixels along an axis of {axis_type} "
            f"(index 0 is {first!r}); give it numbers: {_to_numbers(variable, first, dim)}"
        )
    return kind


def _to_numbers(variable: xr.Variable, first: object, dim: str) -> str:
    """Name the call that turns a coordinate into one that places pixels."""
    if hasattr(first, "calendar"):  # a date of cftime
        return 'convert_calendar("standard", use_cftime=False)'
    if variable.dtype.kind == "b" or _is_number(first):
        return f"assign_coords({dim}=da[{dim!r}].astype(float))"
    return f"assign_coords({dim}=range({variable.size}))"


def _holds_text(variable: xr.Variable) -> bool:
    if variable.dtype.kind == "O":
        return variable.size > 0 and all(isinstance(value, str) for value in variable.values.ravel())
    return variable.dtype.kind in "UST"


def _numbers(variable: xr.Variable, kind: Kind, origin: Any = None) -> NDArray[Any]:
    """Return a coordinate as numbers: dates in seconds since `origin` or the first one, durations in seconds."""
    values: NDArray[Any] = variable.values
    if kind == "number":
        return values
    since = values[0] if origin is None else origin
    seconds: NDArray[np.float64] = (values - since if kind == "datetime" else values) / SECOND
    return seconds


def _later(start: NDArray[Any], seconds: NDArray[np.float64]) -> NDArray[Any]:
    """Add seconds to dates or durations, to the nanosecond, or to the microsecond where 64 bits do not hold those."""
    kind = start.dtype.kind
    farthest = float(np.abs(start.astype(f"{kind}8[s]").astype(np.int64)).max() + np.abs(seconds).max())
    unit, per_second = ("ns", 1e9) if farthest < NANOSECONDS_HOLD else ("us", 1e6)
    later: NDArray[Any] = start.astype(f"{kind}8[{unit}]") + np.round(seconds * per_second).astype(f"m8[{unit}]")
    return later


def _ome_unit(variable: xr.Variable, kind: Kind, dim: str) -> str | None:
    """Return the unit of an axis by its OME name, or as it is spelled where it has none."""
    if kind in ("datetime", "timedelta"):
        return TIME_UNIT
    unit = variable.attrs.get("units")
    if unit is None or unit == "" or kind == "label":
        return None
    if not isinstance(unit, str):
        raise UnitError(
            f"coords[{dim!r}].attrs['units'] is {unit!r}; give the name of a unit: assign_grid(units={{{dim!r}: 'um'}})"
        )
    name = ome_unit(unit)
    if name is not None:
        return name
    since = reference_date(unit)
    return since[0] if since else unit


def _warn_of_units(axes: Iterable[Axis]) -> None:
    """Warn of units that OME-Zarr does not recommend for such an axis; once of all axes of the same unit."""
    unusual: dict[tuple[str, str], list[str]] = {}
    for axis in axes:
        unit, kind = axis.unit or "", axis.type or ""
        if unit and kind in USUAL_UNITS and (ome_unit(unit) is None or measures_something_else(unit, kind)):
            unusual.setdefault((unit, kind), []).append(axis.name)
    for (unit, kind), dims in unusual.items():
        are = "dimension {} is" if len(dims) == 1 else "dimensions {} are"
        cure = (
            f"convert it: to_units({dict.fromkeys(dims, USUAL_UNITS[kind])})"
            if unit_type(unit) == kind
            else _other_unit(unit, kind, dims)
        )
        warn(
            f"{are.format(', '.join(map(repr, dims)))} written with the unit {unit!r}, which "
            f"{_mistake(unit, kind) or 'OME-Zarr does not recommend and viewers may not know'}; {cure}",
            UnitWarning,
        )


def _warn_of_mistakes(da: xr.DataArray, units: Mapping[str, str]) -> None:
    """Warn of units that are given to dimensions and are likely meant otherwise."""
    mistaken: dict[tuple[str, str], list[str]] = {}
    for dim, unit in units.items():
        kind = infer_axis_type(da, dim, {}) or ""
        if _mistake(unit, kind):
            mistaken.setdefault((unit, kind), []).append(dim)
    for (unit, kind), dims in mistaken.items():
        of = ", ".join(map(repr, dims))
        warn(f"the unit {unit!r} of {of} {_mistake(unit, kind)}; {_other_unit(unit, kind, dims)}", UnitWarning)


def _mistake(unit: str, kind: str) -> str | None:
    """Say why a unit is likely meant otherwise; None where it is not."""
    if measures_something_else(unit, kind):
        return f"is no {MEASURED[kind]}"
    return "is not known" if meant(unit, kind) else None


def _other_unit(unit: str, kind: str, dims: Iterable[str]) -> str:
    """Name the call that gives dimensions another unit."""
    guess = meant(unit, kind)
    call = f"assign_grid(units={dict.fromkeys(dims, guess or USUAL_UNITS[kind])})"
    return f"did you mean {guess!r}? {call}" if guess else f"name another: {call}"


def as_said(axis: Axis, name: str, attrs: Mapping[Any, Any]) -> Axis:
    """Return an axis of a coordinate system with the unit and the orientation that its coordinate says.

    Parameters
    ----------
    axis
        As it was.
    name
        Of the coordinate.
    attrs
        Of the coordinate.

    Raises
    ------
    UnitError, AxisError
        If these are none.
    """
    unit = attrs.get("units")
    if unit is not None and not isinstance(unit, str):
        raise UnitError(
            f"coords[{name!r}].attrs['units'] is {unit!r}; give the name of a unit: "
            f"da.coords[{name!r}].attrs['units'] = 'micrometer'"
        )
    said = (ome_unit(unit) or unit) if unit else None
    orientation = _orientation(attrs, name, axis.type or "other things")
    return replace(axis, unit=axis.unit if same_unit(axis.unit, said) else said, orientation=orientation)


def _orientation(attrs: Mapping[Any, Any], dim: str, axis_type: str) -> str | None:
    """Return which way the axis runs through a body; an attribute that is no text is the user's own."""
    given = attrs.get("orientation")
    if isinstance(given, Mapping) and isinstance(value := given.get("value"), str):
        raise AxisError(
            f"coords[{dim!r}].attrs['orientation'] is the object that the file has; give its value alone: "
            f"da.coords[{dim!r}].attrs['orientation'] = {value!r}"
        )
    if not isinstance(given, str):
        return None
    if axis_type != "space":
        raise AxisError(
            f"coords[{dim!r}].attrs['orientation'] is {given!r}, and {dim!r} is an axis of {axis_type}, where only "
            f"those of space have one; leave it out: del da.coords[{dim!r}].attrs['orientation']"
        )
    if given not in ORIENTATIONS:
        raise AxisError(
            f"coords[{dim!r}].attrs['orientation'] is {given!r}, which is none that OME-Zarr has; give one of "
            f"{', '.join(ORIENTATIONS)}: da.coords[{dim!r}].attrs['orientation'] = {ORIENTATIONS[0]!r}"
        )
    return given


def _orientation_faults(axes: Iterable[Axis]) -> Iterator[OmeZarrError]:
    """Two axes do not run along one line of a body."""
    lines: dict[tuple[str, str], Axis] = {}
    for axis in axes:
        if axis.orientation is None:
            continue
        other = lines.setdefault(LINE_OF[axis.orientation], axis)
        if other is not axis:
            yield AxisError(
                f"dimensions {other.name!r} ({other.orientation}) and {axis.name!r} ({axis.orientation}) run along the "
                f"same line of a body; give one another orientation: da.coords[{axis.name!r}].attrs['orientation'] = …"
            )


def _remembered_scale(variable: xr.Variable, dim: str) -> float:
    """Return the scale of a single pixel, which has no neighbour to measure it by."""
    remembered = variable.attrs.get("scale")
    if remembered is None:
        warn(
            f"dimension {dim!r} has one pixel and no scale: 1.0 is written; "
            f"give it its own, such as 0.5: assign_grid(scale={{{dim!r}: 0.5}})",
            PixelSizeWarning,
        )
        return 1.0
    if not _is_positive(remembered):
        raise CoordinateError(
            f"coords[{dim!r}].attrs['scale'] is {remembered!r}, which is not a positive number; "
            f"give it one: assign_grid(scale={{{dim!r}: 1.0}})"
        )
    return float(remembered)


def _block_size(dimension: Dimension, grid: Grid) -> int:
    """Count the pixels of level 0 that a pixel of a level joins."""
    return max(round(grid.scale / dimension.grid.scale), 1)


def _has_blocks(dimension: Dimension, grid: Grid, *, sampled: bool) -> bool:
    """Whether every pixel of a level covers some of level 0; metadata that another tool changed may say otherwise."""
    offset = round(dimension.grid.index(grid.translation)) if sampled else 0
    factor, pixels = _block_size(dimension, grid), dimension.grid.size
    # the sample of the last block alone may lie beyond the edge
    samples_within = offset >= 0 and (grid.size - 2) * factor + offset < pixels
    return samples_within and (grid.size - 1) * factor < pixels


def _coarsen_irregular(dimension: Dimension, grid: Grid, *, sampled: bool) -> NDArray[Any]:
    """Return the true positions of a coarser level's pixels: of the sample, or the mean over the block."""
    assert dimension.coordinate is not None
    values: NDArray[Any] = dimension.coordinate.values
    factor = _block_size(dimension, grid)
    starts = np.arange(grid.size) * factor
    if sampled:
        offset = round(dimension.grid.index(grid.translation))
        return values[np.minimum(starts + offset, values.size - 1)]
    covered = values[: grid.size * factor]  # a block that was trimmed does not count
    counts = np.diff(np.append(starts, covered.size))
    # from the start of each block: dates cannot be added, and large numbers lose digits
    within = _seconds_or_numbers(covered - np.repeat(covered[starts], counts))
    means = np.add.reduceat(within, starts) / counts
    if dimension.kind == "number":
        return np.asarray(covered[starts] + means)
    return _later(covered[starts], means)


def _seconds_or_numbers(values: NDArray[Any]) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = values / SECOND if values.dtype.kind == "m" else values.astype(np.float64)
    return numbers


def _name_faults(da: xr.DataArray) -> list[OmeZarrError]:
    """Axis names are strings, not empty, each there once (rules 7 and 8)."""
    faults: list[OmeZarrError] = [
        AxisError(f"dimension {dim!r} is not named by a string; give it a name: rename({{{dim!r}: 'x'}})")
        for dim in da.dims
        if not isinstance(dim, str) or not dim
    ]
    if len(set(da.dims)) < da.ndim:
        names = tuple(dict.fromkeys((*SPATIAL_ORDER[-da.ndim :], *AXIS_TYPES)))[: da.ndim]
        faults.append(
            AxisError(
                f"the dimensions {da.dims} hold a name twice; "
                f"name each differently: xr.DataArray(da.data, dims={names})"
            )
        )
    return faults


def _size_faults(da: xr.DataArray) -> list[OmeZarrError]:
    """Dask knows the sizes of some arrays only when they are computed."""
    return [
        EmptyDimensionError(
            f"the size of dimension {dim!r} is not known before its pixels are computed; "
            "compute the sizes: da.copy(data=da.data.compute_chunk_sizes())"
        )
        for dim, size in zip(da.dims, da.shape, strict=True)
        if size != size  # NaN
    ]


def _axes_faults(da: xr.DataArray, axes: Mapping[str, str]) -> list[OmeZarrError]:
    return _missing_dims(da, list(axes), "axes") + [
        AxisError(f"axes[{dim!r}] is {kind!r}; give an axis type: axes={{{dim!r}: 'space'}}")
        for dim, kind in axes.items()
        if not isinstance(kind, str) or not kind
    ]


def _unknown_type(dim: str) -> AxisError:
    return AxisError(
        f"dimension {dim!r} is of no known axis type: its name is none of {', '.join(AXIS_TYPES)}, "
        f'and its coordinate has no unit of length or time; say what it is: axes={{"{dim}": "space"}}'
    )


def _missing_dims(da: xr.DataArray, named: Iterable[Hashable], where: str) -> list[OmeZarrError]:
    return [
        AxisError.mended(
            f"{where} names dimension {dim!r}, which the array lacks, whose dimensions are {tuple(da.dims)}",
            python=f"leave {dim!r} out, or add it with expand_dims({dim!r})",
            command=f"leave {dim!r} out, or name the dimensions in their order",
        )
        for dim in dict.fromkeys(named)
        if dim not in da.dims
    ]


def _layout_faults(dims: Sequence[str], types: Mapping[str, str]) -> list[OmeZarrError]:
    """Rules 15 to 18: two to five axes, two or three of space, at most one of time, one of channels or custom.

    Any dimension whose type is not known may be the one that is missing.
    """
    unknown = [dim for dim in dims if dim not in types]
    spatial = [dim for dim, kind in types.items() if kind == "space"]
    counted = f"the array has {len(dims)} dimensions"
    told: list[tuple[str, list[str]]] = []
    for what, alike, limit in _limited(types):
        if len(alike) > limit:
            surplus = alike[:-limit] if what == "of space" else alike[limit:]
            limits = f"OME-Zarr holds at most {MAX_AXES}, and {limit} {what}"
            told.append((f"{counted}, {len(alike)} of them {what}, {tuple(alike)}; {limits}", surplus))
    if beyond := _surplus_of_unknown(types, unknown):
        told.append((f"{counted}, {tuple(dims)}; OME-Zarr holds at most {MAX_AXES}", beyond))
    call = _as_collection([dim for _, surplus in told for dim in surplus])
    faults: list[OmeZarrError] = [
        AxisError(f"{cause}: write one image for each index of {_listed(surplus)}, all in one store: {call}")
        for cause, surplus in told
    ]
    if len(spatial) + len(unknown) < 2:
        new = [dim for dim in ("y", "x", "z") if dim not in types][: 2 - len(spatial)]
        faults.append(
            AxisError(
                f"of the dimensions {tuple(types)}, {len(spatial)} are of space, and OME-Zarr needs 2 or 3; "
                f'say which others are, such as axes={{…: "space"}}, or add what is missing: expand_dims({new})'
            )
        )
    return faults


def _limited(types: Mapping[str, str]) -> tuple[tuple[str, list[str], int], ...]:
    """Return of what an image has a limited number of dimensions, those that an array has, and the limit."""
    spatial = [dim for dim, kind in types.items() if kind == "space"]
    temporal = [dim for dim, kind in types.items() if kind == "time"]
    # of several, the one that is called a channel is kept
    others = sorted((d for d in types if types[d] not in ("space", "time")), key=lambda d: types[d] != "channel")
    return (
        ("of space", spatial, MAX_SPATIAL),
        ("of time", temporal, 1),
        ("of channels or of a custom type", others, 1),
    )


def _surplus_of_unknown(types: Mapping[str, str], unknown: Sequence[str]) -> list[str]:
    """Return the dimensions of unknown type for which no image has room, whatever their type: the first of them."""
    room = MAX_AXES - sum(min(len(dims), limit) for _, dims, limit in _limited(types))
    return list(unknown[: max(len(unknown) - room, 0)])


def _listed(dims: Sequence[str]) -> str:
    return " and ".join(map(repr, dims))


def _as_collection(dims: Sequence[str]) -> str:
    """Name the call that writes one image for each index of some dimensions of ``da``.

    >>> _as_collection(["view"])
    'xomezarr.write_collection({f"view {view}": da.isel(view=view) for view in range(da.sizes["view"])}, store)'
    """
    own = {dim: dim if _is_free_name(dim) else f"index{number}" for number, dim in enumerate(dims)}
    key = " ".join(f"{_PLAIN_NAME.sub('', dim).strip('_') or 'image'} {{{name}}}" for dim, name in own.items())
    if all(dim == name for dim, name in own.items()):
        chosen = ", ".join(f"{dim}={name}" for dim, name in own.items())
    else:
        chosen = "{" + ", ".join(f"{dim!r}: {name}" for dim, name in own.items()) + "}"
    loops = " ".join(
        f"for {name} in range(da.sizes[{json.dumps(dim, ensure_ascii=False)}])" for dim, name in own.items()
    )
    return f'xomezarr.write_collection({{f"{key}": da.isel({chosen}) {loops}}}, store)'


def _is_free_name(dim: str) -> bool:
    """Whether a dimension's name can name a variable in the call that `_as_collection` names."""
    return dim.isidentifier() and not keyword.iskeyword(dim) and dim not in ("da", "range", "store", "xomezarr")


def _not_by_dimension(error: type[OmeZarrError], example: object, **arguments: object) -> list[OmeZarrError]:
    return [
        error(f"{name} is {value!r}; give it by dimension: {name}={ {'y': example, 'x': example} }")
        for name, value in arguments.items()
        if value is not None and not isinstance(value, Mapping)
    ]


def _units_by_dimension(da: xr.DataArray, asked: Mapping[str, str] | str | None) -> dict[str, str]:
    """Return the units asked for, by dimension; one string is meant for the dimensions of space."""
    if asked is None:
        return {}
    if isinstance(asked, Mapping):
        return dict(asked)
    if not isinstance(asked, str):
        raise UnitError(f"units is {asked!r}; give the name of a unit: units='micrometer'")
    spatial = {str(dim): asked for dim in da.dims if infer_axis_type(da, str(dim), {}) == "space"}
    if not spatial:
        raise UnitError(
            f"none of the dimensions {tuple(da.dims)} is known to be of space; "
            f"name those that {asked!r} is meant for: units={ {str(dim): asked for dim in da.dims} }"
        )
    return spatial


def _not_numbers(variable: xr.Variable, dim: str) -> list[OmeZarrError]:
    """Say why a coordinate is not replaced or converted: dates and names would be lost."""
    if variable.dtype.kind in "iufb":
        return []
    if variable.dtype.kind in "mM":
        since = f" - da[{dim!r}][0]" if variable.dtype.kind == "M" else ""
        return [
            CoordinateError(
                f"coordinate {dim!r} holds {variable.dtype}, which is written in seconds as it is; "
                f"for numbers of another unit, count seconds: assign_coords({dim}=(da[{dim!r}]{since}) / "
                f"np.timedelta64(1, 's'))"
            )
        ]
    return [
        CoordinateError(
            f"coordinate {dim!r} holds {variable.dtype} and no numbers, and would be lost; "
            f"if it may be, drop it first: drop_vars({dim!r})"
        )
    ]


def _assigned(
    da: xr.DataArray, dim: str, scale: float | None, translation: float | None, unit: str | None
) -> xr.Variable:
    """Make the coordinate that `assign_grid` gives to a dimension; what is None stays as it is."""
    size = da.sizes[dim]
    old = da.coords[dim].variable if dim in da.coords else None
    attrs = dict(old.attrs) if old is not None else {}
    if unit is not None:
        attrs["units"] = unit
    if old is not None and translation is None and (scale is None or size == 1):
        return xr.Variable(dim, old.values, attrs | ({} if scale is None else {"scale": float(scale)}))
    if old is not None and scale is None:
        remembered = attrs.get("scale")
        scale = Grid.fit(old.values, dim=dim).scale if size > 1 else remembered if _is_positive(remembered) else None
    if old is not None and translation is None and size and np.isfinite(old.values[0]):
        translation = old.values[0]
    grid = Grid(1.0 if scale is None else float(scale), float(translation or 0.0), size)
    return xr.Variable(dim, grid.coordinates, attrs | {"scale": grid.scale})


def _converted(coord: xr.DataArray | None, dim: str, target: str) -> xr.Variable:
    """Make the coordinate that `to_units` gives to a dimension."""
    unit = None if coord is None else coord.attrs.get("units")
    raise_all([] if coord is None else _not_numbers(coord.variable, dim), "")
    if coord is None or not isinstance(unit, str) or not unit:
        raise UnitError(
            f"dimension {dim!r} has no unit to convert from; give it one: assign_grid(units={{{dim!r}: 'um'}})"
        )
    try:
        factor = convert(unit, target)
    except UnitError as error:
        raise UnitError(f"dimension {dim!r}: {error}") from None
    since = reference_date(unit)
    if since and not reference_date(target):
        target = f"{target} since {since[1]}"
    attrs = dict(coord.attrs) | {"units": target}
    if _is_positive(attrs.get("scale")):
        attrs["scale"] = _tidy_product(float(attrs["scale"]), factor)
    # of images that lie apart, each has a row of its own
    multiplied = np.apply_along_axis(_multiplied, coord.dims.index(dim), coord.values, factor)
    return xr.Variable(coord.dims, multiplied, attrs)


def _multiplied(values: NDArray[Any], factor: float) -> NDArray[Any]:
    """Multiply positions by a factor; a grid of short decimals stays one, to the bit."""
    dtype = values.dtype if values.dtype.kind == "f" else np.dtype(np.float64)
    try:
        grid = Grid.fit(values)
    except CoordinateError:
        pass
    else:
        if np.allclose(grid.coordinates, values, rtol=4 * float(np.finfo(dtype).eps), atol=0.0):
            scale, translation = _tidy_product(grid.scale, factor), _tidy_product(grid.translation, factor)
            return Grid(scale, translation, grid.size).coordinates.astype(dtype)
    return np.array([_tidy_product(float(value), factor) for value in values], dtype=dtype)


def _tidy_product(value: float, factor: float) -> float:
    """Multiply as on paper: 0.1 µm is 100 nm, not 100.00000000000001.

    >>> _tidy_product(0.325, 1000.0)
    325.0
    """
    product = value * factor
    short = float(f"{product:.15g}")
    return short if abs(short - product) <= 4 * np.spacing(abs(product)) else product


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_positive(value: Any) -> bool:
    return _is_number(value) and 0 < float(value) < math.inf
