"""What a write takes its pixels from: an image whose levels are made as it is read, or all levels as they stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from xomezarr import tiling
from xomezarr.downsample import Recipe, check_values, recipe
from xomezarr.pyramid import Pyramid, check_dims, lazy_levels
from xomezarr.source import Source, direct_source
from xomezarr.tiling import Costs, Fitted, fit, fit_apart

__all__ = ["Pixels", "of_array", "of_levels"]


@dataclass(frozen=True)
class Pixels:
    """The pixels of an image that is to be written.

    Parameters
    ----------
    dims
        Dimensions in file order.
    levels
        All levels, or level 0 alone, in their own order of dimensions.
    recipe
        How the other levels are made of level 0; axes in file order. None where all levels are given.
    sources
        What each of the levels can be read from; None where dask has to compute it.
    """

    dims: tuple[str, ...]
    levels: tuple[xr.DataArray, ...]
    recipe: Recipe | None
    sources: tuple[Source | None, ...]

    def fit(
        self,
        shapes: Sequence[tuple[int, ...]],
        steps: Sequence[tuple[int, ...]],
        units: Sequence[tuple[int, ...]],
        *,
        workers: int,
        max_memory: int,
    ) -> Fitted:
        """Choose the tiles; parameters are those of `tiling.fit`."""
        costs = [self._costs(level) for level in range(len(self.levels))]
        if self.recipe is None:
            return fit_apart(shapes, units, costs, workers=workers, max_memory=max_memory)
        return fit(shapes, steps, units, costs[0], workers=workers, max_memory=max_memory)

    def _costs(self, level: int) -> Costs:
        da, source = self.levels[level], self.sources[level]
        kernel = None if self.recipe is None else self.recipe.kernel
        carry = 0 if kernel is None else kernel.components * kernel.dtype.itemsize
        in_memory = isinstance(da.variable._data, np.ndarray)
        if source is not None:
            return Costs(da.dtype.itemsize, carry, source.chunks, in_memory, tiling.LEAF_BYTES)
        # dask computes each of its blocks once, whatever is made of it
        return Costs(da.dtype.itemsize, carry, (1,) * da.ndim, in_memory, tiling.TASK_BYTES)


def of_array(da: xr.DataArray, made: Pyramid) -> Pixels:
    """Return the pixels of an array and of the pyramid that is to be made of it; none is looked at but in memory.

    Raises
    ------
    OmeZarrError
        If the array cannot be downsampled so.
    """
    check_dims(da, made)
    if not made.steps:
        return of_levels([da], made.dims)
    data = da.variable._data
    check_values(data, made.method)
    dims = tuple(map(str, da.dims))
    found = recipe(data, dims, made.steps, made.method, boundary=made.boundary, skipna=made.skipna)
    if not found.is_local:
        return of_levels(lazy_levels(da, made), made.dims)
    found = replace(found, order=tuple(made.dims.index(dims[axis]) for axis in found.order))
    return Pixels(made.dims, (da,), found, (direct_source(da, made.dims),))


def of_levels(levels: Iterable[xr.DataArray], dims: tuple[str, ...]) -> Pixels:
    """Return the pixels of levels that are written as they stand."""
    levels = tuple(levels)
    return Pixels(dims, levels, None, tuple(direct_source(level, dims) for level in levels))
