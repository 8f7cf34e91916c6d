"""Coordinates that pixels have by several dimensions at once: xarray's indexes of affine transformations.

An image that lies askew in a coordinate system keeps the coordinates of its dimensions, which say where its pixels lie
along its own sides. Beside them it has those of the system, one for each axis, which are computed when they are asked
for. What leads to them is in their index, and goes where the array goes: it is cut, transposed and renamed with it.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, override

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from xarray.core.indexes import Index
from xarray.core.indexing import (
    CoordinateTransformIndexingAdapter,
    ExplicitIndexer,
    IndexSelResult,
    OuterIndexer,
    expanded_indexer,
)
from xarray.indexes import CoordinateTransform, CoordinateTransformIndex

from xomezarr.coords import as_said
from xomezarr.errors import CoordinateError, EmptyDimensionError, OmeZarrError, TransformError
from xomezarr.grid import ROUNDING_ULPS, Grid
from xomezarr.lattice import nearest
from xomezarr.model import Axis, CoordinateSystem
from xomezarr.transforms import rank

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "AffineTransform",
    "Askew",
    "Row",
    "Skew",
    "SystemIndex",
    "askew",
    "attached",
    "check_rank",
    "coordinate_names",
    "kept_of",
    "rows_beside",
    "skews_of",
    "split",
    "systems_of",
    "without",
]

type Matrix = NDArray[np.float64]

LOOKED_AT = 32
"""Pixels along each dimension, by which a coordinate is held against its index: images may be large."""

type Kept = Mapping[str, tuple[tuple[str, ...], Mapping[Any, Any]]]
"""Dimensions and attributes of coordinates, by name."""


@dataclass(frozen=True, slots=True)
class Row:
    """What gives a coordinate to the last bit.

    Parameters
    ----------
    places
        Name, scale and translation of each dimension.
    factors
        By which these places are multiplied, and what is added.
    """

    places: tuple[tuple[str, float, float], ...]
    factors: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Skew:
    """Some axes of a coordinate system, and the dimensions of an image that they come from.

    Parameters
    ----------
    system
        With all its axes, of which those that are not in `names` are the image's own dimensions of these names.
    names
        What the coordinates are called, by the axis that each stands for.
    grids
        Where pixels lie along the dimensions.
    matrix
        Shape (axes, dimensions + 1): from there to the axes, the last column a translation.
    apart
        Dimensions of the image that the system knows nothing of.
    """

    system: CoordinateSystem
    names: Mapping[str, str]
    grids: Mapping[str, Grid]
    matrix: Matrix
    apart: frozenset[str] = field(default=frozenset())

    @property
    def sizes(self) -> dict[str, int]:
        """How many pixels there are along each dimension."""
        return {dim: grid.size for dim, grid in self.grids.items()}

    def same(self, other: Skew, exclude: Collection[Hashable] = ()) -> bool:
        """Whether another one gives the same coordinates of the same system, but for rounding.

        What counts is where pixels lie, however it is told: by which grids, in which order of dimensions, and beside
        which other axes of the system. Of dimensions that are left out, what counts is where they lead, and not how
        far: so those along which parts of one image follow each other.
        """
        sizes, theirs = ({dim: size for dim, size in one.sizes.items() if dim not in exclude} for one in (self, other))
        if (self.system.name, self.names, sizes) != (other.system.name, other.names, theirs):
            return False
        if {*self.grids} != {*other.grids}:
            return False
        order = [[*other.names].index(axis) for axis in self.names]
        here, there = self._beside(exclude), other._beside(exclude)
        number, of_theirs = ([[*one.grids].index(dim) for dim in sizes] for one in (self, other))
        spans = (self.basis[:, number] - other.basis[order][:, of_theirs]) * [size - 1 for size in sizes.values()]
        first = here - there[order]
        # the corners that are farthest apart, one way and the other
        off = np.maximum(first + spans.clip(min=0).sum(axis=1), -(first + spans.clip(max=0).sum(axis=1)))
        for dim in {*self.grids} - {*sizes}:
            factors = self._factors(dim) - other._factors(dim)[order]
            off = off + np.abs(factors) * max(self._farthest(dim), other._farthest(dim))
        return bool((off <= np.maximum(self._rounding, other._rounding[order])).all())

    def _beside(self, left_out: Collection[Hashable]) -> Matrix:
        """Where pixel 0 lies, by the axes, as if it lay at 0 along some dimensions."""
        made = self.origin
        for dim in self.grids:
            if dim in left_out:
                made = made - self._factors(dim) * self.grids[dim].translation
        return made

    def _factors(self, dim: str) -> Matrix:
        """By which positions along a dimension are multiplied, by the axes."""
        factors: Matrix = self.matrix[:, [*self.grids].index(dim)]
        return factors

    def _farthest(self, dim: str) -> float:
        grid = self.grids[dim]
        return max(abs(grid.position(0)), abs(grid.position(grid.size - 1)))

    @property
    def _rounding(self) -> Matrix:
        """How far rounding may move a coordinate, by the axes."""
        largest: Matrix = np.abs(self.matrix) @ [*map(self._farthest, self.grids), 1.0]
        # each of two grids may be off by as much from the coordinates that it was found by
        return 4 * ROUNDING_ULPS[-1] * np.finfo(np.float64).eps * largest

    def cut(self, kept: Mapping[str, slice | int]) -> Skew:
        """Return what is left of it where pixels are taken out of dimensions; one of a single pixel goes."""
        grids: dict[str, Grid] = {}
        fixed: dict[str, float] = {}
        for dim, grid in self.grids.items():
            taken = kept.get(dim, slice(None))
            if isinstance(taken, slice):
                grids[dim] = _cut(grid, taken)
            else:
                fixed[dim] = grid.position(range(grid.size)[taken])
        matrix = self.matrix[:, [dim in grids for dim in self.grids] + [True]].copy()
        for number, dim in enumerate(self.grids):
            matrix[:, -1] += self.matrix[:, number] * fixed.get(dim, 0.0)
        return replace(self, grids=grids, matrix=matrix)

    def on(self, grids: Mapping[str, Grid]) -> Skew:
        """Return it for other pixels, such as those of a coarser level, that lie along the same sides of the image."""
        return replace(self, grids={dim: grids[dim] for dim in self.grids})

    def told_by(self, grids: Mapping[str, Grid]) -> Skew:
        """Return it with its pixels where other grids of the same sizes have them, in their order; coordinates stay.

        Where the grids differ by rounding alone, what leads from them stays too.
        """
        matrix = self.matrix.copy()
        for number, (dim, grid) in enumerate(self.grids.items()):
            if not _alike(grid, grids[dim]):
                ratio = grid.scale / grids[dim].scale
                matrix[:, -1] += self.matrix[:, number] * (grid.translation - ratio * grids[dim].translation)
                matrix[:, number] *= ratio
        dims = [dim for dim in grids if dim in self.grids]
        order = [*([*self.grids].index(dim) for dim in dims), -1]
        return replace(self, matrix=matrix[:, order], grids={dim: grids[dim] for dim in dims})

    def rows_beside(self, grids: Mapping[str, Grid]) -> dict[str, Row]:
        """Return what gives its coordinates to the last bit, by name; none where it is what these grids give too."""
        told = self.told_by(grids)
        if [*told.grids.items()] == [*self.grids.items()] and np.array_equal(told.matrix, self.matrix):
            return {}
        places = tuple((dim, grid.scale, grid.translation) for dim, grid in self.grids.items())
        return {
            name: Row(places, tuple(map(float, row)))
            for name, row in zip(self.names.values(), self.matrix, strict=True)
        }

    def with_rows(self, rows: Mapping[str, Row]) -> Skew:
        """Return it as rows tell it that were kept of its coordinates, if they are the same but for rounding."""
        kept = [rows[name] for name in self.names.values() if name in rows]
        places = kept[0].places if kept else ()
        together = len(kept) == len(self.names) and all(row.places == places for row in kept)
        if not together or sorted(dim for dim, _, _ in places) != sorted(self.grids):
            return self
        grids = {dim: Grid(scale, first, self.grids[dim].size) for dim, scale, first in places}
        told = replace(self, grids=grids, matrix=np.array([row.factors for row in kept]))
        return told if told.same(self) else self

    @property
    def basis(self) -> Matrix:
        """Shape (axes, dimensions): the step from one pixel to the next along each dimension."""
        return self.matrix[:, :-1] * [grid.scale for grid in self.grids.values()]

    @property
    def origin(self) -> Matrix:
        """Where pixel 0 lies, by the axes."""
        return self.matrix[:, :-1] @ [grid.translation for grid in self.grids.values()] + self.matrix[:, -1]


def _cut(grid: Grid, taken: slice) -> Grid:
    """Return the grid of some pixels, as it would be found by their positions alone."""
    pixels = range(grid.size)[taken]
    if pixels == range(grid.size):
        return grid
    if pixels.step > 0 and len(pixels) > 1 and grid.scale > 0:
        return Grid.fit(grid.coordinates[taken])
    # a single pixel is as wide as it was
    step = pixels.step if len(pixels) > 1 else 1
    return Grid(grid.scale * step, grid.position(pixels.start), len(pixels))


def _row(places: Matrix, dim: str) -> Grid:
    """Return the grid of pixels at some places, which may descend."""
    if places[-1] > places[0]:
        return Grid.fit(places, dim=dim)
    ascending = Grid.fit(places[::-1], dim=dim)
    return Grid(-ascending.scale, ascending.position(ascending.size - 1), ascending.size)


def _positions(grid: Grid, indices: ArrayLike) -> Matrix:
    made: Matrix = grid.translation + grid.scale * np.asarray(indices, np.float64)
    return made


def _alike(one: Grid, other: Grid) -> bool:
    """Whether pixels of two grids lie at the same places, but for rounding."""
    ends = np.array([[grid.position(0), grid.position(grid.size - 1)] for grid in (one, other)])
    within = ROUNDING_ULPS[-1] * float(np.spacing(np.abs(ends).max()))
    return one.size == other.size and bool((np.abs(ends[0] - ends[1]) <= within).all())


@dataclass(frozen=True, slots=True)
class Askew:
    """How an array has the coordinates of a system in which it lies askew.

    Parameters
    ----------
    names
        What they are called, by the axis that each stands for.
    kept
        By these names, the dimensions in their order, and the attributes; empty where they are those of a new one.
    rows
        By these names, what gives them to the last bit where what the OME metadata say does so but for rounding.
    """

    names: Mapping[str, str]
    kept: Kept = field(default_factory=dict)
    rows: Mapping[str, Row] = field(default_factory=dict)

    @property
    def groups(self) -> list[tuple[list[str], tuple[str, ...]]]:
        """Axes that go together, and the dimensions that they come from; empty where the matrix is to tell."""
        found: dict[frozenset[str], list[str]] = {}
        for axis, name in self.names.items():
            if name in self.kept:
                found.setdefault(frozenset(self.kept[name][0]), []).append(axis)
        return [(axes, tuple(dims)) for dims, axes in found.items()]


class Positions(CoordinateTransformIndexingAdapter):
    """Where pixels lie along one axis of a system, computed for those that are asked for.

    xarray's own, as of 2025.9, loses the order of dimensions, and those of one pixel.
    """

    @property
    @override
    def shape(self) -> tuple[int, ...]:
        sizes: Mapping[str, int] = self._transform.dim_size
        return tuple(sizes[dim] for dim in self._dims)

    @override
    def get_duck_array(self) -> NDArray[Any]:
        return self._picked((slice(None),) * len(self._dims))

    @override
    def _oindex_get(self, indexer: OuterIndexer) -> NDArray[Any]:
        return self._picked(expanded_indexer(indexer.tuple, len(self._dims)))

    @override
    def __getitem__(self, indexer: ExplicitIndexer) -> NDArray[Any]:
        self._check_and_raise_if_non_basic_indexer(indexer)
        return self._picked(expanded_indexer(indexer.tuple, len(self._dims)))

    def _picked(self, keys: Sequence[Any]) -> NDArray[Any]:
        along = [np.arange(size)[key] for size, key in zip(self.shape, keys, strict=True)]
        places = np.ix_(*(np.atleast_1d(one) for one in along))
        made = self._transform.forward(dict(zip(self._dims, places, strict=True)))[self._coord_name]
        return np.asarray(made).reshape([one.size for one in along if one.ndim])


class AffineTransform(CoordinateTransform):
    """Leads from indices of pixels to the axes of a coordinate system, and back."""

    def __init__(self, skew: Skew) -> None:
        super().__init__(skew.names.values(), skew.sizes)
        self.skew = skew

    @override
    def forward(self, dim_positions: Mapping[str, Any]) -> dict[Hashable, Any]:
        """Return the coordinates of pixels, by name; term by term, so that one is as many have it."""
        skew = self.skew
        along = {dim: _positions(grid, dim_positions[dim]) for dim, grid in skew.grids.items()}
        shape = np.broadcast_shapes(*(np.shape(one) for one in along.values()))
        made: dict[Hashable, Any] = {}
        for name, row in zip(skew.names.values(), skew.matrix, strict=True):
            total = np.full(shape, row[-1])
            for factor, positions in zip(row, along.values(), strict=False):
                total += factor * positions
            made[name] = total
        return made

    @override
    def reverse(self, coord_labels: Mapping[Hashable, Any]) -> dict[str, Any]:
        """Return the fractional indices of positions."""
        points = np.stack([np.asarray(coord_labels[name], np.float64) for name in self.coord_names], axis=-1)
        indices = (points - self.skew.origin) @ np.linalg.pinv(self.skew.basis).T
        return {dim: indices[..., number] for number, dim in enumerate(self.dims)}

    @override
    def equals(self, other: CoordinateTransform, *, exclude: frozenset[Hashable] | None = None) -> bool:
        """Whether both give the same coordinates, but for rounding."""
        return isinstance(other, AffineTransform) and self.skew.same(other.skew, exclude or ())


class SystemIndex(CoordinateTransformIndex):
    """Finds pixels by where they lie in a coordinate system in which the image lies askew.

    ``sel(…, method="nearest")`` takes a position along each of its coordinates, and finds the pixel whose centre is
    nearest to it, of all pixels of the image.
    """

    transform: AffineTransform

    def __init__(self, transform: AffineTransform, before: Skew | None = None) -> None:
        super().__init__(transform)
        # xarray makes the index of a part first, and asks for its coordinates with those of the whole
        self._before = before

    @property
    def skew(self) -> Skew:
        """What it is made of."""
        return self.transform.skew

    @classmethod
    def of(cls, skew: Skew, before: Skew | None = None) -> Self:
        """Make the index; `before` is what that was made of which it comes from."""
        return cls(AffineTransform(skew), before)

    @override
    def create_variables(self, variables: Mapping[Any, xr.Variable] | None = None) -> dict[Any, xr.Variable]:
        """Return its coordinates, with the attributes and the order of dimensions of those that are there.

        Raises
        ------
        CoordinateError
            If those that are there come from elsewhere, as after ``interp``, which xarray does not tell it of.
        """
        made: dict[Any, xr.Variable] = {}
        for name, held in (variables or {}).items():
            if not any(_gives(skew, name, held) for skew in (self.skew, self._before) if skew is not None):
                raise self._stale(name)
        self._before = None
        for axis, name in self.skew.names.items():
            known = (variables or {}).get(name)
            left = [str(dim) for dim in known.dims if dim in self.transform.dims] if known is not None else []
            dims = tuple(left) if {*left} == {*self.transform.dims} else self.transform.dims
            attrs = _attrs(self.skew.system, axis) if known is None else known.attrs
            made[name] = xr.Variable(dims, Positions(self.transform, name, dims), attrs)
        return made

    @override
    def isel(self, indexers: Mapping[Any, Any]) -> Self | None:
        """Return the index of a part of the image; None where what is left are no rows of pixels."""
        kept: dict[str, slice | int] = {}
        for dim, indexer in indexers.items():
            taken = _as_slice(indexer, dim, self.transform.dim_size[dim])
            if taken is None:
                return None
            kept[dim] = taken
        skew = self.skew.cut(kept)
        return self.of(skew, self.skew) if skew.grids else None

    @override
    def sel(self, labels: dict[Any, Any], method: Any = None, tolerance: Any = None) -> IndexSelResult:
        """Return the pixels that are nearest to positions.

        Raises
        ------
        CoordinateError
            If a coordinate is left out, or something else than the nearest pixel is asked for, or what is given is no
            position or distance.
        KeyError
            If no pixel is within the tolerance, in the unit of the coordinates.
        """
        names = self.transform.coord_names
        missing = [name for name in names if name not in labels]
        asked = ", ".join(f"{name}=…" for name in names)
        if missing or method != "nearest" or any(isinstance(label, slice) for label in labels.values()):
            what = f"{', '.join(map(repr, missing))} is missing" if missing else "only the nearest pixel can be found"
            raise CoordinateError(
                f"{self._told} come from the dimensions {', '.join(self.transform.dims)} together, and {what}; give a "
                f'position: sel({asked}, method="nearest")'
            )
        if empty := [dim for dim, size in self.transform.dim_size.items() if not size]:
            raise EmptyDimensionError(
                f"dimension {empty[0]!r} has no pixels, of which none is nearest; select some first, such as "
                f"isel({empty[0]}=slice(0, 1))"
            )
        given = xr.broadcast(*(_points(labels[name], str(name)) for name in names))
        points = np.stack([one.values.astype(np.float64) for one in given], axis=-1)
        flat = points.reshape(-1, len(names))
        if not np.isfinite(flat).all():
            wrong = flat[~np.isfinite(flat).all(axis=1)][0]
            raise CoordinateError(f"the position {wrong.tolist()} is not finite; give one of numbers: sel({asked})")
        with np.errstate(over="ignore"):
            far = ~np.isfinite(np.square(flat)).all(axis=1)
        if far.any():
            raise CoordinateError(
                f"the position {flat[far][0].tolist()} is too far away to be reckoned with; give one near the image: "
                f"sel({asked})"
            )
        if tolerance is not None and not _is_distance(tolerance):
            raise CoordinateError(
                f"tolerance={tolerance!r} is no distance; give one in the unit of the coordinates: tolerance=1.0"
            )
        relative, sizes = flat - self.skew.origin, [*self.skew.sizes.values()]
        found = nearest(self.skew.basis, relative, sizes)
        if tolerance is not None:
            off = np.linalg.norm(found @ self.skew.basis.T - relative, axis=1)
            if (beyond := np.flatnonzero(off > tolerance)).size:
                where = flat[beyond[0]].tolist()
                raise KeyError(
                    f"the nearest pixel is {off[beyond[0]]:.6g} away from {where}, and the tolerance is {tolerance}; "
                    "give a position within the image"
                )
        indices = found.reshape(*points.shape[:-1], len(sizes))
        return IndexSelResult(
            {dim: xr.Variable(given[0].dims, indices[..., number]) for number, dim in enumerate(self.transform.dims)}
        )

    @classmethod
    @override
    def concat(cls, indexes: Sequence[Self], dim: Hashable, positions: Iterable[Iterable[int]] | None = None) -> Self:
        """Return the index of parts of one image that follow each other along a dimension.

        Raises
        ------
        CoordinateError
            If together they make no row of pixels at one distance.
        """
        skew = indexes[0].skew
        places = np.concatenate([index.skew.grids[str(dim)].coordinates for index in indexes])
        if positions is not None:
            places = places[np.argsort(np.concatenate([[*part] for part in positions]))]
        try:
            grid = _row(places, str(dim)) if len(places) > 1 else skew.grids[str(dim)]
        except OmeZarrError as error:
            raise CoordinateError(
                f"the parts make no row of pixels in the coordinate system {skew.system.name!r}: "
                f"{str(error).partition(';')[0]}; put them together as they lie, or without its coordinates: "
                f"drop_vars({[*skew.names.values()]})"
            ) from error
        return cls.of(replace(skew, grids={**skew.grids, str(dim): grid}), skew)

    @override
    def join(self, other: Self, how: Any = "inner") -> Self:
        """Refuse to align arrays that lie differently: pixels of one lie between those of the other.

        Raises
        ------
        CoordinateError
            Always; xarray asks where the two differ.
        """
        raise self._cannot("be aligned with others there")

    @override
    def reindex_like(self, other: Self, **_: Any) -> dict[Hashable, Any]:
        """Refuse as `join` does: where xarray takes one array's pixels for all, and where it is asked to.

        Raises
        ------
        CoordinateError
            Always.
        """
        raise self._cannot("be reindexed there")

    @override
    def to_pandas_index(self) -> pd.Index:
        """Refuse to be an index of one dimension.

        Raises
        ------
        TypeError
            Always, which is what xarray asks for.
        """
        raise TypeError(
            f"{self._told} come from several dimensions, which no pandas.Index has; take xindexes, or do without them "
            f"what asks for one, such as map_blocks: drop_vars({[*self.skew.names.values()]})"
        )

    @property
    def _told(self) -> str:
        return f"the coordinates {', '.join(map(repr, self.transform.coord_names))}"

    def _stale(self, name: Hashable) -> CoordinateError:
        return CoordinateError(
            f"the coordinate {name!r} is not what its index gives: somebody has changed one without the other, as "
            "interp does; leave out both before, and say anew afterwards where the image lies: "
            f"drop_vars({[*self.skew.names.values()]}), then assign_affine(…)"
        )

    def _cannot(self, what: str) -> CoordinateError:
        return CoordinateError(
            f"the arrays have different pixels in the coordinate system {self.skew.system.name!r}, and cannot {what}; "
            f"take the same pixels of both, by isel or sel, or leave its coordinates out of one: "
            f"drop_vars({[*self.skew.names.values()]})"
        )

    @override
    def rename(self, name_dict: Mapping[Any, Hashable], dims_dict: Mapping[Any, Hashable]) -> Self:
        """Return it under other names of coordinates and dimensions."""
        skew = self.skew
        names = {axis: str(name_dict.get(name, name)) for axis, name in skew.names.items()}
        grids = {str(dims_dict.get(dim, dim)): grid for dim, grid in skew.grids.items()}
        named = replace(skew, names=names)
        return self.of(replace(named, grids=grids), named)

    @override
    def equals(self, other: Index, *, exclude: frozenset[Hashable] | None = None) -> bool:
        """Whether both give the same coordinates, but for rounding."""
        return isinstance(other, SystemIndex) and self.transform.equals(other.transform, exclude=exclude)

    def _repr_inline_(self, max_width: int) -> str:
        return f"SystemIndex ({self.skew.system.name!r})"


def _is_distance(value: Any) -> bool:
    return np.ndim(value) == 0 and np.asarray(value).dtype.kind in "iuf" and value >= 0


def _attrs(system: CoordinateSystem, axis: str) -> dict[str, Any]:
    known = next(one for one in system.axes if one.name == axis)
    said = {"units": known.unit, "orientation": known.orientation}
    return {key: value for key, value in said.items() if value is not None}


def _points(label: Any, name: str) -> xr.DataArray:
    """Return positions along a coordinate: one, or those of points along a dimension that has a name."""
    if isinstance(label, xr.DataArray | xr.Variable):
        return xr.DataArray(label.variable if isinstance(label, xr.DataArray) else label)
    values = np.asarray(label)
    if values.ndim or values.dtype.kind not in "iuf":
        raise CoordinateError(
            f"{name}={label!r} is no position; give a number, or for many points name their dimension: "
            f"sel({name}=xr.DataArray([…], dims='point'), …)"
        )
    return xr.DataArray(values)


def _as_slice(indexer: Any, dim: Hashable, size: int) -> slice | int | None:
    """Return what is taken of a dimension as a slice or an index; None where it is no row at one distance."""
    if isinstance(indexer, slice):
        return indexer
    if isinstance(indexer, xr.Variable) and indexer.dims not in ((), (dim,)):
        return None
    numbers = np.asarray(indexer.values if isinstance(indexer, xr.Variable) else indexer)
    if numbers.ndim == 0:
        return int(numbers)
    if numbers.dtype.kind == "b":
        numbers = np.flatnonzero(numbers)
    numbers = np.where(numbers < 0, numbers + size, numbers)
    steps = np.unique(np.diff(numbers))
    if not numbers.size or len(steps) > 1 or 0 in steps:
        return None
    step = int(steps[0]) if len(steps) else 1
    stop = int(numbers[-1]) + (1 if step > 0 else -1)
    return slice(int(numbers[0]), None if stop < 0 else stop, step)


# -- from a matrix to indexes, and back --------------------------------------------------------------------


def coordinate_names(system: CoordinateSystem, axes: Sequence[str], dims: Collection[str]) -> dict[str, str]:
    """Return what coordinates of axes are called: as these, or with the system's name before them all if one is taken.

    >>> system = CoordinateSystem("world", (Axis("y"), Axis("x")))
    >>> coordinate_names(system, ["y", "x"], {"y", "x"}), coordinate_names(system, ["y", "x"], {"r", "s"})
    ({'y': 'world_y', 'x': 'world_x'}, {'y': 'y', 'x': 'x'})
    """
    taken = not {*axes}.isdisjoint(dims)
    return {axis: f"{system.name}_{axis}" if taken else axis for axis in axes}


def askew(system: CoordinateSystem, matrix: Matrix, axes: Sequence[Axis]) -> list[str]:
    """Return the names of a system's axes, but for those that are dimensions of the image by all that is said of them.

    Parameters
    ----------
    system
        The system.
    matrix
        Shape (axes of the system, dimensions + 1), from where pixels lie along the dimensions of the image.
    axes
        Of the image, in the order of the columns.
    """
    found = []
    for row, axis in zip(matrix, system.axes, strict=True):
        column = next((number for number, own in enumerate(axes) if own.name == axis.name), None)
        passes = (
            column is not None
            and np.array_equal(row, np.eye(1, len(row), column)[0])
            and np.count_nonzero(matrix[:, column]) == 1
            and all(getattr(axis, said) == getattr(axes[column], said) for said in ("type", "unit", "orientation"))
        )
        found += [] if passes else [axis.name]
    # something that does not move with the image lies beside all of it
    stuck = found and not matrix[[axis.name in found for axis in system.axes], :-1].any()
    return [axis.name for axis in system.axes] if stuck else found


def split(
    system: CoordinateSystem,
    matrix: Matrix,
    grids: Mapping[str, Grid],
    names: Mapping[str, str],
    groups: Iterable[tuple[Sequence[str], Collection[str]]] | None = None,
) -> list[Skew]:
    """Return what indexes are made of, one for the axes and dimensions that mix.

    Parameters
    ----------
    system
        The system.
    matrix
        As in `askew`.
    grids
        Where pixels lie, by dimension, in the order of the columns.
    names
        What coordinates are called, by the axis of the system; other axes are dimensions of the image.
    groups
        Axes and dimensions that are to go together, where the matrix allows it.

    Raises
    ------
    TransformError
        If different pixels would have the same coordinates.
    """
    places = {axis.name: number for number, axis in enumerate(system.axes)}
    dims = [*grids]
    passing = {name for name in places if name not in names}
    own = matrix[[places[name] for name in names], :-1]
    apart = frozenset(dim for number, dim in enumerate(dims) if dim not in passing and not own[:, number].any())
    kept = [({*axes}, {*along}) for axes, along in groups or ()]
    if not kept or not _hold(kept, own, [*names], dims):
        kept = _mixed(own, [*names], dims)
    made = []
    for axes, along in kept:
        rows = [name for name in names if name in axes]
        columns = [number for number, dim in enumerate(dims) if dim in along]
        linear = matrix[np.ix_([places[name] for name in rows], [*columns, len(dims)])]
        check_rank(linear, [dims[number] for number in columns], rows, system.name)
        own_grids = {dims[number]: grids[dims[number]] for number in columns}
        made.append(Skew(system, {name: names[name] for name in rows}, own_grids, linear, apart))
    return made


def check_rank(matrix: Matrix, dims: Sequence[str], axes: Sequence[str], system: str) -> None:
    """Make sure that different pixels have different coordinates.

    Parameters
    ----------
    matrix
        Shape (axes, dims + 1), the last column a translation.

    Raises
    ------
    TransformError
        If they have not.
    """
    linear = matrix[:, :-1]
    if rank(linear) == len(dims):
        return
    still = [dim for dim, moves in zip(dims, linear.any(axis=0), strict=True) if not moves] or dims
    raise TransformError(
        f"pixels at different places along {', '.join(still)} have the same coordinates {', '.join(axes)} in the"
        f" system {system!r}: its matrix {matrix.tolist()} is of lower rank; give one that can be undone"
    )


def _hold(groups: Iterable[tuple[set[str], set[str]]], own: Matrix, names: Sequence[str], dims: Sequence[str]) -> bool:
    """Whether no axis comes from a dimension outside its group, and each is in one."""
    home = {axis: along for axes, along in groups for axis in axes}
    return home.keys() == {*names} and all(
        dims[column] in home[names[row]] for row, column in np.argwhere(own).tolist()
    )


def _mixed(own: Matrix, names: Sequence[str], dims: Sequence[str]) -> list[tuple[set[str], set[str]]]:
    """Return axes and dimensions that mix; axes that come from none go with the first."""
    groups: list[tuple[set[str], set[str]]] = []
    for row, name in zip(own, names, strict=True):
        along = {dims[column] for column in np.flatnonzero(row).tolist()}
        met = [group for group in groups if along & group[1]]
        axes = {name}.union(*(group[0] for group in met)) if along else {name}
        groups = [group for group in groups if group not in met] + [(axes, along.union(*(group[1] for group in met)))]
    still = {name for axes, along in groups if not along for name in axes}
    moving = [group for group in groups if group[1]]
    return [(axes | still if not number else axes, along) for number, (axes, along) in enumerate(moving)]


def attached(da: xr.DataArray, skews: Iterable[Skew], kept: Kept | None = None) -> xr.DataArray:
    """Return an array with the coordinates that indexes give.

    Parameters
    ----------
    da
        The array.
    skews
        What they are made of.
    kept
        Dimensions and attributes of the coordinates; left out, they have the order of the index, and their units.

    Raises
    ------
    CoordinateError
        If it has something else of such a name.
    """
    skews = [*skews]
    systems = {skew.system.name for skew in skews}
    held = [index.skew for index in da.xindexes.values() if isinstance(index, SystemIndex)]
    da = without(da, [name for skew in held if skew.system.name in systems for name in skew.names.values()])
    for skew in skews:
        for name in skew.names.values():
            if name in da.dims or name in da.coords:
                raise CoordinateError(
                    f"the array has a coordinate or dimension {name!r} already, and that of the system "
                    f"{skew.system.name!r} is to be called so; give the other another name: "
                    f"rename({{{name!r}: {name + '_'!r}}}), or leave it out: drop_vars({name!r})"
                )
        index = SystemIndex.of(skew)
        variables = index.create_variables()
        for name, (dims, attrs) in (kept or {}).items():
            if name in variables and {*dims} == {*variables[name].dims}:
                variables[name] = variables[name].transpose(*dims)
                variables[name].attrs = dict(attrs)
        da = da.assign_coords(xr.Coordinates(variables, dict.fromkeys(variables, index)))
    return da


def _whole(da: xr.DataArray, names: Collection[Hashable]) -> list[Hashable]:
    """Return coordinates together with all that share an index with them, without which it cannot be."""
    indexes = [index for name in names if isinstance(index := da.xindexes.get(name), SystemIndex)]
    shared = [name for index in indexes for name in index.transform.coord_names]
    return [*dict.fromkeys([*names, *shared])]


def without(da: xr.DataArray, names: Collection[Hashable]) -> xr.DataArray:
    """Leave coordinates out, together with all that share an index with them."""
    return da.drop_vars(_whole(da, names), errors="ignore")


def skews_of(da: xr.DataArray) -> list[Skew]:
    """Return what the indexes of an array are made of.

    Raises
    ------
    CoordinateError
        If coordinates are not what their index gives, as after ``interp``, which xarray does not tell it of.
    """
    found = [index for index, _ in da.xindexes.group_by_index() if isinstance(index, SystemIndex)]
    for index in found:
        for name in index.transform.coord_names:
            if not _gives(index.skew, name, da.coords[name].variable):
                raise index._stale(name)
    return [index.skew for index in found]


def rows_beside(da: xr.DataArray, grids: Mapping[str, Grid]) -> dict[str, Row]:
    """Return what gives such coordinates to the last bit, by name, where what leads there from grids does not."""
    found = (index.skew for index, _ in da.xindexes.group_by_index() if isinstance(index, SystemIndex))
    return {name: row for skew in found for name, row in skew.rows_beside(grids).items()}


def _gives(skew: Skew, name: Hashable, held: xr.Variable) -> bool:
    """Whether a coordinate is what an index gives: at the last pixel, and at some along each dimension."""
    transform = AffineTransform(skew)
    sizes = transform.dim_size
    if {*held.dims} != {*sizes} or any(held.sizes[dim] != size for dim, size in sizes.items()):
        return False
    if not held.size:
        return True
    near = float(np.abs(skew.basis).max()) * 1e-6
    first: dict[str, Any] = dict.fromkeys(sizes, 0)
    some = {dim: np.linspace(0, size - 1, min(size, LOOKED_AT)).astype(int) for dim, size in sizes.items()}
    for place in (
        {dim: size - 1 for dim, size in sizes.items()},
        *(first | {dim: along} for dim, along in some.items()),
    ):
        expected = transform.forward(place)[name]
        off = np.abs(held.isel(place).values - expected)
        if not (off <= np.maximum(near, 8 * np.spacing(np.abs(expected)))).all():
            return False
    return True


def kept_of(da: xr.DataArray) -> Kept:
    """Return the dimensions and attributes of the coordinates that such indexes give, by name."""
    names = [name for skew in skews_of(da) for name in skew.names.values()]
    return {name: (tuple(map(str, da.coords[name].dims)), da.coords[name].attrs) for name in names}


def systems_of(
    da: xr.DataArray, axes: Sequence[Axis], grids: Mapping[str, Grid]
) -> list[tuple[CoordinateSystem, Matrix]]:
    """Return the coordinate systems in which an array lies askew, and what leads there from its dimensions.

    A system has the axes of its indexes, with the units that their coordinates say, and those that are dimensions of
    the array. Dimensions that came to the array later are axes of it too.

    Parameters
    ----------
    da
        The array.
    axes
        Of the array, in the order of the file.
    grids
        Where its pixels lie along them.

    Raises
    ------
    CoordinateError
        If two indexes say different things of one system.
    """
    by_name: dict[str, list[Skew]] = {}
    for skew in skews_of(da):
        by_name.setdefault(skew.system.name, []).append(skew)
    return [_system_of(da, skews, axes, grids) for skews in by_name.values()]


def _system_of(
    da: xr.DataArray, skews: Sequence[Skew], axes: Sequence[Axis], grids: Mapping[str, Grid]
) -> tuple[CoordinateSystem, Matrix]:
    system, apart = skews[0].system, skews[0].apart
    for skew in skews:
        if (skew.system, skew.apart) != (system, apart):
            raise CoordinateError(
                f"two indexes of the array tell different axes of the coordinate system {system.name!r}; drop the "
                f"coordinates of one: drop_vars({[*skew.names.values()]})"
            )
    columns = {axis.name: number for number, axis in enumerate(axes)}
    rows: dict[str, Matrix] = {}
    called = {axis: name for skew in skews for axis, name in skew.names.items()}
    for skew in (one.told_by(grids) for one in skews):
        places = [*(columns[dim] for dim in skew.grids), len(axes)]
        for name, values in zip(skew.names, skew.matrix, strict=True):
            rows[name] = np.zeros(len(axes) + 1)
            rows[name][places] = values
    mixed = {dim for skew in skews for dim in skew.grids}
    known = {axis.name: axis for axis in system.axes}
    found: list[tuple[Axis, Matrix]] = []
    for name, axis in known.items():
        if name in rows:
            found.append((as_said(axis, called[name], da.coords[called[name]].attrs), rows[name]))
        elif name in columns and name not in mixed:
            own = replace(axes[columns[name]], extra=axis.extra)
            found.append((own, np.eye(1, len(axes) + 1, columns[name])[0]))
    for axis in axes:
        if axis.name not in {*known, *mixed, *apart}:
            later = (_file_order(other, columns) > _file_order(axis, columns) for other, _ in found)
            place = next((number for number, is_later in enumerate(later) if is_later), len(found))
            found.insert(place, (axis, np.eye(1, len(axes) + 1, columns[axis.name])[0]))
    return replace(system, axes=tuple(axis for axis, _ in found)), np.array([row for _, row in found])


def _file_order(axis: Axis, columns: Mapping[str, int]) -> tuple[int, int]:
    """Return what sorts axes as the file does: time, channel or custom, space; within each as the image has them."""
    return {"time": 0, "space": 2}.get(axis.type or "", 1), columns.get(axis.name, len(columns))
