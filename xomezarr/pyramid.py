"""From one DataArray to a pyramid of levels: which factors, which grids, and the lazy levels themselves."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xomezarr.chunking import chunk_shape, default_chunks, fits
from xomezarr.coords import Dimension, Irregular, coordinate, dequantify, describe
from xomezarr.downsample import (
    Method,
    MethodLike,
    check_dtype,
    default_method,
    downsample,
    get_method,
    resolve_skipna,
)
from xomezarr.errors import (
    AxisError,
    CoordinateError,
    FactorError,
    FactorWarning,
    OmeZarrError,
    collecting,
    raise_all,
    warn,
)
from xomezarr.grid import Boundary, Grid, block_count, is_factor, step_factor
from xomezarr.indexes import attached, kept_of, skews_of
from xomezarr.labels import LABEL_METHOD, LABELED
from xomezarr.layout import VARIABLE
from xomezarr.lazy import installed_version
from xomezarr.model import Axis
from xomezarr.units import convert

__all__ = [
    "EMPTY",
    "VARIABLE",
    "Factors",
    "Pyramid",
    "attach",
    "choose_chunks",
    "design",
    "name_of",
    "own_attrs",
    "pyramid",
    "to_tree",
    "with_name",
]

type Factors = int | Mapping[str, int] | Sequence[int | Mapping[str, int]]
"""The step from one level to the next: for all dimensions of space, by dimension, or a list with one entry a step."""

EMPTY = xr.Dataset()
"""What nodes without data are copies of: a new one takes several times as long."""

NAME_ATTR = "__xarray_dataarray_name__"
NO_NAME = "__xarray_dataarray_variable__"
"""How xarray's own writers keep the name of a DataArray in a Dataset, and that it has none."""

SPACING_RATIO = math.sqrt(2)
"""Dimensions whose spacing is less than this times the finest are halved: spacings converge, none overtakes."""

READ_BYTES = 32 * 2**20
"""Decoded bytes that are read at once from a source that is opened lazily without dask."""


@dataclass(frozen=True, slots=True)
class Pyramid:
    """How an array becomes a pyramid: values only.

    Parameters
    ----------
    dimensions
        Of level 0, in file order.
    method
        Row of the table of methods.
    steps
        Factors from each level to the next, by dimension.
    boundary, skipna
        As in `pyramid`.
    chunks
        By dimension, in file order.
    """

    dimensions: tuple[Dimension, ...]
    method: Method
    steps: tuple[Mapping[str, int], ...]
    boundary: Boundary
    skipna: bool | None
    chunks: Mapping[str, int]

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimension names in file order."""
        return tuple(dimension.name for dimension in self.dimensions)

    @property
    def method_metadata(self) -> dict[str, Any]:
        """How the levels are made, as OME-Zarr recommends to tell: what is called, and with what."""
        asked = {"factors": [dict(step) for step in self.steps], "boundary": self.boundary, "skipna": self.skipna}
        return {
            "description": self.method.description,
            "method": self.method.called,
            "version": installed_version(),
            "args": [],
            "kwargs": {**self.method.arguments, **{key: value for key, value in asked.items() if value is not None}},
        }

    @property
    def factors(self) -> tuple[dict[str, int], ...]:
        """Factors of each level against level 0, by dimension: products of the steps that were really taken."""
        levels = [dict.fromkeys(self.dims, 1)]
        sizes = {dimension.name: dimension.grid.size for dimension in self.dimensions}
        for step in self.steps:
            taken = {dim: step_factor(sizes[dim], step.get(dim, 1)) for dim in self.dims}
            levels.append({dim: levels[-1][dim] * taken[dim] for dim in self.dims})
            sizes = {dim: block_count(sizes[dim], taken[dim], self.boundary) for dim in self.dims}
        return tuple(levels)

    @property
    def grids(self) -> tuple[dict[str, Grid], ...]:
        """Pixel centres of each level, by dimension; level 0 first.

        Scale and translation come from level 0 in one multiplication, so that rounding does not add up.
        """
        levels = []
        samples = dict.fromkeys(self.dims, 0.0)
        previous = self.factors[0]
        sizes = {dimension.name: dimension.grid.size for dimension in self.dimensions}
        for factors in self.factors:
            for dim in self.dims:
                step = factors[dim] // previous[dim]
                samples[dim] += previous[dim] * self.method.sample(step) if step > 1 else 0.0
                sizes[dim] = block_count(sizes[dim], step, self.boundary)
            level = {}
            for dimension in self.dimensions:
                dim, grid = dimension.name, dimension.grid
                translation = grid.position(samples[dim]) if samples[dim] else grid.translation
                level[dim] = Grid(grid.scale * factors[dim], translation, sizes[dim])
            levels.append(level)
            previous = factors
        return tuple(levels)


def design(
    da: xr.DataArray,
    *,
    method: MethodLike | None = None,
    factors: Factors | None = None,
    levels: int | None = None,
    boundary: Boundary = "pad",
    skipna: bool | None = None,
    axes: Mapping[str, str] | None = None,
    irregular: Irregular = "raise",
    chunks: Mapping[str, int] | Sequence[int] | None = None,
) -> Pyramid:
    """Decide levels, factors, grids and chunks; nothing is computed.

    Parameters are those of `pyramid`, `coords.describe` and `chunking.chunk_shape`.
    """
    faults: list[OmeZarrError] = []
    row = get_method(LABEL_METHOD) if da.encoding.get(LABELED) else default_method(da.dtype)
    with collecting(faults):
        row = get_method(method) if method is not None else row
    with collecting(faults):
        check_dtype(da.dtype, row)
    if boundary not in ("pad", "trim"):
        faults.append(FactorError(f'boundary={boundary!r} is not known; give boundary="pad" or boundary="trim"'))
    dimensions: tuple[Dimension, ...] = ()
    with collecting(faults):
        dimensions = describe(da, axes=axes, irregular=irregular)
    with collecting(faults):
        left_out = resolve_skipna(skipna, row)
        # what nobody asked for is not told in the file
        skipna = None if skipna is None else left_out
    made: Pyramid | None = None
    with collecting(faults):
        if dimensions:
            made = plan_levels(da, dimensions, row, factors, levels, boundary, skipna, chunks)
        else:  # what can be told without them
            named = [Dimension(Axis(str(dim)), Grid(1.0, 0.0, size), "index") for dim, size in da.sizes.items()]
            _asked_steps(factors, levels, named)
    raise_all(faults, "the array cannot be written as OME-Zarr")
    assert made is not None
    return made


def plan_levels(
    da: xr.DataArray,
    dimensions: tuple[Dimension, ...],
    method: Method,
    factors: Factors | None,
    levels: int | None,
    boundary: Boundary,
    skipna: bool | None,
    chunks: Mapping[str, int] | Sequence[int] | None,
) -> Pyramid:
    """Choose the steps from level to level, and the chunks."""
    sizes = {dimension.name: dimension.grid.size for dimension in dimensions}
    listed = _asked_steps(factors, levels, dimensions)
    shrinking = [dim for dim in sizes if sizes[dim] > 1 and _may_shrink(dim, listed, dimensions)]
    chosen = choose_chunks(da, dimensions, shrinking, chunks)
    steps = _steps(dimensions, listed, levels, boundary, chosen, shrinking)
    return Pyramid(dimensions, method, tuple(steps), boundary, skipna, chosen)


def choose_chunks(
    da: xr.DataArray,
    dimensions: Sequence[Dimension],
    shrinking: Sequence[str],
    chunks: Mapping[str, int] | Sequence[int] | None,
) -> dict[str, int]:
    """Return the chunks by dimension in file order: those asked for, and the default where none are.

    Parameters
    ----------
    da
        The array.
    dimensions
        What `coords.describe` says of it.
    shrinking
        Dimensions that shrink from level to level.
    chunks
        As in `chunking.chunk_shape`.
    """
    sizes = {dimension.name: dimension.grid.size for dimension in dimensions}
    spatial = [dimension.name for dimension in dimensions if dimension.axis.type == "space"]
    # one dimension of space that shrinks by itself would make lines of pixels: all of space shares a chunk then
    cubic = shrinking if len(set(shrinking).intersection(spatial)) > 1 else list(dict.fromkeys((*shrinking, *spatial)))
    default = default_chunks(sizes, da.dtype.itemsize, cubic)
    order = tuple(map(str, da.dims))
    chosen = default if chunks is None else chunk_shape(chunks, order, default)
    return {dim: sizes[dim] if chosen[dim] == -1 else min(chosen[dim], sizes[dim]) for dim in sizes}


def pyramid(
    da: xr.DataArray,
    *,
    method: MethodLike | None = None,
    factors: Factors | None = None,
    levels: int | None = None,
    boundary: Boundary = "pad",
    skipna: bool | None = None,
    axes: Mapping[str, str] | None = None,
) -> xr.DataTree:
    """Make a lazy multi-resolution pyramid; nothing is computed and nothing is written.

    Parameters
    ----------
    da
        Image of 2 to 5 dimensions, of bool or any integer, float or complex dtype.
    method
        Name of a method (`METHODS`), a row of one's own, or a function ``f(blocks, axis)`` that reduces blocks. Left
        out, ``"local_mean"``, the exact mean of the level-0 pixels that a pixel covers, rounded once; for bool, and
        for labels as they were read from a store, ``"mode"``.
    factors
        Step from one level to the next: an int for all dimensions of space, a dict by dimension, or a list of either,
        one per step. Left out, each step halves the dimensions of space whose spacing is less than √2 × the finest.
    levels
        Number of levels, level 0 included; left out, it stops when a level fits in one chunk.
    boundary
        ``"pad"``: sizes are ``ceil(n / factor)``, and a block cut by the edge is reduced over the pixels that it has;
        ``"trim"``: ``floor(n / factor)``.
    skipna
        Whether NaN is left out; left out, it is. An error where the method always does otherwise.
    axes
        Axis types of dimensions whose name and coordinate do not tell, such as ``{"row": "space"}``.

    Returns
    -------
    xarray.DataTree
        Children ``"0"``, ``"1"``, …: Datasets with one variable, ``image``, of the dtype of level 0, and the
        coordinates of its pixel centres.

    Raises
    ------
    OmeZarrError
        If dimensions, coordinates, dtype, method or factors do not allow it.

    Examples
    --------
    >>> da = xr.DataArray(np.arange(16.0).reshape(4, 4), dims=("y", "x"))
    >>> pyramid(da, levels=2)["1/image"].values
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """
    da = dequantify(da)
    _check_names(da)
    made = design(da, method=method, factors=factors, levels=levels, boundary=boundary, skipna=skipna, axes=axes)
    remembered = {"method": made.method.name, "metadata": made.method_metadata}
    return to_tree(list(lazy_levels(da, made)), encoding=remembered)


def lazy_levels(da: xr.DataArray, made: Pyramid) -> Iterator[xr.DataArray]:
    """Yield the levels as lazy DataArrays, in the array's own order of dimensions; level 0 is the array itself."""
    check_dims(da, made)
    yield da
    if not made.steps:
        return
    dims = tuple(map(str, da.dims))
    arrays = downsample(lazy_data(da), dims, made.steps, made.method, boundary=made.boundary, skipna=made.skipna)
    by_name = {dimension.name: dimension for dimension in made.dimensions}
    skews, kept = [skew.told_by(made.grids[0]) for skew in skews_of(da)], kept_of(da)
    for array, grids, factors in zip(arrays, made.grids[1:], made.factors[1:], strict=True):
        coords = level_coords(da, by_name, grids, factors, sampled=made.method.sampled)
        # named afterwards: a DataArray without a name takes that of its dask array
        level = xr.DataArray(array, dims=dims, coords=coords, attrs=da.attrs).rename(da.name)
        for name in da.xindexes.keys() & coords.keys() - by_name.keys():
            level = level.set_xindex(str(name))
        level = attached(level, [skew.on(grids) for skew in skews], kept)
        level.encoding = {key: value for key, value in da.encoding.items() if key == "axes"}
        yield level


def check_dims(da: xr.DataArray, made: Pyramid) -> None:
    """Refuse names that the levels, as Datasets of a tree, have no room for."""
    if VARIABLE in (*da.coords, *da.dims):
        raise CoordinateError(
            f"the array has a coordinate or dimension {VARIABLE!r}, which is the name of a level's variable; "
            f'give it another: rename({{{VARIABLE!r}: "{VARIABLE}_"}})'
        )
    for dim in made.dims:
        if "/" in dim:
            raise AxisError(
                f"dimension {dim!r} has a / in its name, which stands between the groups of a tree; "
                f"rename({{{dim!r}: {dim.replace('/', '_')!r}}})"
            )


def level_coords(
    da: xr.DataArray,
    dimensions: Mapping[str, Dimension],
    grids: Mapping[str, Grid],
    factors: Mapping[str, int],
    *,
    sampled: bool,
) -> dict[Any, xr.Variable]:
    """Return the coordinates of a coarser level: those of dimensions, and others whose dimensions do not shrink."""
    shrunk = {dim for dim, factor in factors.items() if factor > 1}
    askew = kept_of(da)
    coords: dict[Any, xr.Variable] = {
        name: coord.variable
        for name, coord in da.coords.items()
        if name not in dimensions and name not in askew and not shrunk.intersection(map(str, coord.dims))
    }
    for dim, dimension in dimensions.items():
        made = coordinate(dimension, grids[dim], sampled=sampled)
        if made is not None:
            coords[dim] = made
    return coords


def lazy_data(da: xr.DataArray) -> Any:
    """Return the array's pixels without reading them: NumPy's or dask's as they are, other lazy ones through dask."""
    data = da.variable._data
    if isinstance(data, np.ndarray) or hasattr(data, "dask"):
        return data
    preferred = da.encoding.get("preferred_chunks", {})
    chunks = read_chunks(da, {str(dim): int(preferred.get(dim, 1)) for dim in da.dims})
    return da.variable.chunk(chunks).data


def read_chunks(da: xr.DataArray, stored: Mapping[str, int]) -> dict[str, int]:
    """Return multiples of the stored chunks that make reads of about `READ_BYTES`, nearly cubic in chunks."""
    chunks = {dim: min(max(stored[dim], 1), max(da.sizes[dim], 1)) for dim in stored}
    while True:
        growing = [dim for dim in chunks if chunks[dim] < da.sizes[dim]]
        if not growing or math.prod(chunks.values()) * da.dtype.itemsize * 2 > READ_BYTES:
            return chunks
        dim = min(growing, key=lambda dim: (chunks[dim] // stored[dim], -da.sizes[dim]))
        chunks[dim] = min(chunks[dim] * 2, da.sizes[dim])


def to_tree(
    levels: Sequence[xr.DataArray],
    *,
    attrs: Mapping[Any, Any] | None = None,
    encoding: Mapping[str, Any] | None = None,
    variable: str = VARIABLE,
) -> xr.DataTree:
    """Make the tree of a pyramid: children ``"0" … "n"``, each a Dataset with one variable."""
    tree = xr.DataTree(EMPTY)
    attach(tree, {str(index): xr.DataTree(with_name(level, variable)) for index, level in enumerate(levels)})
    tree.attrs = dict(attrs or {})
    tree.encoding = dict(encoding or {})
    return tree


def attach(tree: xr.DataTree, children: Mapping[str, xr.DataTree]) -> None:
    """Put children under a node without coordinates, with which nothing has to agree.

    xarray makes sure of that for each node below, each time: for the 17 000 levels of a plate of 384 wells, 9 fields
    and 5 levels that takes several times as long as all else together.
    """
    if not all(hasattr(xr.DataTree, name) for name in ("_name", "_parent", "_children")):
        tree.children = {**tree.children, **children}
        return
    for name, child in children.items():
        child._name, child._parent = name, tree
        tree._children[name] = child


def with_name(level: xr.DataArray, variable: str = VARIABLE) -> xr.Dataset:
    """Turn a level into a Dataset that remembers the array's name as xarray's own files do."""
    ds = level.to_dataset(name=variable)
    ds.attrs[NAME_ATTR] = NO_NAME if level.name is None else level.name
    return ds


def name_of(ds: xr.Dataset, variable: str = VARIABLE) -> Any:
    """Return the name that `with_name` keeps; that of the variable for a Dataset that another hand made."""
    name = ds.attrs.get(NAME_ATTR, variable)
    return None if name == NO_NAME else name


def own_attrs(ds: xr.Dataset) -> dict[Any, Any]:
    """Return the attributes of a Dataset, without the one by which it remembers the name of an array."""
    return {key: value for key, value in ds.attrs.items() if key != NAME_ATTR}


def _check_names(da: xr.DataArray) -> None:
    """Refuse names that a tree has no room for: with the sign that stands between its groups."""
    for name in da.coords:
        if "/" in str(name):
            raise CoordinateError(
                f"coordinate {name!r} has a / in its name, which stands between the groups of a tree; "
                f"rename({{{name!r}: {str(name).replace('/', '_')!r}}})"
            )


def _check_levels(levels: int | None) -> None:
    if levels is not None and (isinstance(levels, bool) or not hasattr(levels, "__index__") or levels < 1):
        raise FactorError(
            f"levels={levels!r} is not an integer of at least 1; levels counts level 0: levels=1 is the image"
        )


def _asked_steps(
    factors: Factors | None, levels: int | None, dimensions: Sequence[Dimension]
) -> list[dict[str, int]] | dict[str, int] | None:
    """Check factors and number of levels, and return what `_listed_steps` does."""
    faults: list[OmeZarrError] = []
    listed = None
    with collecting(faults):
        _check_levels(levels)
    with collecting(faults):
        listed = _listed_steps(factors, dimensions)
    raise_all(faults, "the levels cannot be made")
    return listed


def _listed_steps(
    factors: Factors | None, dimensions: Sequence[Dimension]
) -> list[dict[str, int]] | dict[str, int] | None:
    """Check the user's factors: a list with one dict a step, one dict for every step, or None for the default rule."""
    if factors is None:
        return None
    if hasattr(factors, "tolist"):  # of NumPy
        factors = factors.tolist()
    if isinstance(factors, str | bytes) or not (
        isinstance(factors, Mapping | Sequence) or hasattr(factors, "__index__")
    ):
        raise FactorError(
            f"factors={factors!r} is not understood; give an int, a dict by dimension, or a list of either"
        )
    if not isinstance(factors, Sequence):
        return _one_step(factors, dimensions, "factors")
    if not factors:
        raise FactorError(f"factors={factors!r} names no step; give factors=2, say, or levels=1 for the image alone")
    steps: list[dict[str, int]] = []
    faults: list[OmeZarrError] = []
    for index, step in enumerate(factors):
        with collecting(faults):
            steps.append(_one_step(step, dimensions, f"factors[{index}]"))
    raise_all(faults, "the factors cannot be used")
    numbers = [step for step in factors if not isinstance(step, Mapping)]
    powers = [numbers[0] ** (index + 1) for index in range(len(numbers))] if numbers else []
    if len(numbers) == len(steps) > 1 and numbers[0] > 1 and numbers == powers:
        warn(
            f"factors={list(factors)} is taken as steps from level to level, so that the last level is "
            f"{math.prod(numbers)} times coarser; if it was meant against level 0, as in other libraries, "
            f"give factors={numbers[0]}, levels={len(numbers) + 1}",
            FactorWarning,
        )
    return steps


def _one_step(step: int | Mapping[str, int], dimensions: Sequence[Dimension], where: str) -> dict[str, int]:
    """Check one step, and give it a factor for every dimension."""
    by_name = {dimension.name: dimension for dimension in dimensions}
    if isinstance(step, Mapping):
        faults: list[OmeZarrError] = []
        for dim, factor in step.items():
            if dim not in by_name:
                faults.append(
                    FactorError(
                        f"{where} names dimension {dim!r}, which the array lacks; its dimensions are {tuple(by_name)}: "
                        f"give factors={{{next(reversed(by_name), 'x')!r}: 2}}, say"
                    )
                )
            elif not is_factor(factor):
                faults.append(FactorError(f"{where}[{dim!r}] is {factor!r}; give an integer of at least 1, such as 2"))
            elif factor > 1 and by_name[dim].kind == "label":
                faults.append(
                    FactorError(
                        f"{where}[{dim!r}] is {factor}, but its coordinate names its indices one by one, and names "
                        f"have no mean; leave it out, or reset_index({dim!r}, drop=True)"
                    )
                )
        raise_all(faults, "the factors cannot be used")
        if all(factor == 1 for factor in step.values()):
            raise FactorError(
                f"{where} is {dict(step)}, and nothing shrinks; give factors=2, say, or levels=1 for the image alone"
            )
        return {dim: operator.index(step.get(dim, 1)) for dim in by_name}
    if not is_factor(step):
        raise FactorError(f"{where} is {step!r}; give an integer of at least 1, such as 2")
    if step == 1:
        raise FactorError(f"{where} is 1, and nothing shrinks; give factors=2, say, or levels=1 for the image alone")
    return {dimension.name: operator.index(step) if dimension.axis.type == "space" else 1 for dimension in dimensions}


def _may_shrink(
    dim: str, listed: list[dict[str, int]] | dict[str, int] | None, dimensions: Sequence[Dimension]
) -> bool:
    if listed is None:
        return any(dimension.name == dim and dimension.axis.type == "space" for dimension in dimensions)
    steps = listed if isinstance(listed, list) else [listed]
    return any(step[dim] > 1 for step in steps)


def _steps(
    dimensions: Sequence[Dimension],
    listed: list[dict[str, int]] | dict[str, int] | None,
    levels: int | None,
    boundary: Boundary,
    chunks: Mapping[str, int],
    shrinking: Sequence[str],
) -> list[Mapping[str, int]]:
    """Return the steps until a level fits in one chunk, or until there are as many levels as asked."""
    if isinstance(listed, list):
        if levels is not None and levels != len(listed) + 1:
            raise FactorError(
                f"levels={levels} and {len(listed)} factors contradict each other: each factor makes one level more; "
                f"leave levels out, or give levels={len(listed) + 1}"
            )
        levels = len(listed) + 1
    sizes = {dimension.name: dimension.grid.size for dimension in dimensions}
    spacings = _spacings(dimensions)
    # a dimension of which each chunk holds one plane does not decide: it would never fit
    decisive = [dim for dim in shrinking if chunks[dim] > 1] or list(shrinking)
    steps: list[Mapping[str, int]] = []
    while levels is None or len(steps) < levels - 1:
        # a step that was asked for is taken at least once
        if levels is None and fits(sizes, chunks, decisive) and (steps or listed is None):
            break
        if isinstance(listed, list):
            step = listed[len(steps)]
        else:
            step = listed if listed is not None else _default_step(sizes, spacings)
        taken = {dim: step_factor(sizes[dim], step[dim]) for dim in sizes}
        if all(factor == 1 for factor in taken.values()):
            if levels is None:
                break
            raise FactorError(
                f"level {len(steps) + 1} would be the same as level {len(steps)}, of sizes {sizes}: nothing is left to "
                f"shrink by {dict(step)}; give levels={len(steps) + 1} or other factors"
            )
        steps.append(step)
        sizes = {dim: block_count(sizes[dim], taken[dim], boundary) for dim in sizes}
        spacings = {dim: spacings[dim] * taken[dim] for dim in spacings}
    return steps


def _default_step(sizes: Mapping[str, int], spacings: Mapping[str, float]) -> dict[str, int]:
    """Halve the dimensions of space whose spacing is less than √2 × the finest of those that can shrink."""
    able = {dim: spacing for dim, spacing in spacings.items() if sizes[dim] > 1}
    finest = min(able.values(), default=0.0)
    return {dim: 2 if dim in able and able[dim] < SPACING_RATIO * finest else 1 for dim in sizes}


def _spacings(dimensions: Sequence[Dimension]) -> dict[str, float]:
    """Return the spacing of each dimension of space, in the unit of the first where units can be converted."""
    spatial = [dimension for dimension in dimensions if dimension.axis.type == "space"]
    reference = next((dimension.axis.unit for dimension in spatial if dimension.axis.unit), None)
    spacings = {}
    for dimension in spatial:
        unit = dimension.axis.unit
        try:
            factor = convert(unit, reference) if unit and reference else 1.0
        except OmeZarrError:
            factor = 1.0
        spacings[dimension.name] = dimension.grid.scale * factor
    return spacings
