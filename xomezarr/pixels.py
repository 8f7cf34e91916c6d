"""What a write takes its pixels from: an image whose levels are made as it is read, or all levels as they stand."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from xomezarr import tiling
from xomezarr.downsample import Recipe, check_values, recipe
from xomezarr.presence import Presence, check_all, presences
from xomezarr.pyramid import Pyramid, check_dims
from xomezarr.source import Source, direct_source
from xomezarr.tiling import Costs, Pass, fit, fit_apart

__all__ = ["Pixels", "of_array", "of_levels", "with_labels"]


CARRY_BYTES = 2**18
"""Of what a carry is kept in: a file of so many bytes is read as fast as a larger one."""


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
    stored
        The stored arrays that all of it is read from, by whatever way.
    labels
        The pixels of its labels, by name.
    """

    dims: tuple[str, ...]
    levels: tuple[xr.DataArray, ...]
    recipe: Recipe | None
    sources: tuple[Source | None, ...]
    stored: tuple[Presence, ...]
    labels: Mapping[str, Pixels] = field(default_factory=dict)

    @property
    def keeps_carries(self) -> bool:
        """Whether levels are made of carries that have to be written for it, as they are read with a halo."""
        return self.recipe is not None and not self.recipe.is_local and not self.recipe.kernel.of_pixels

    def check(self) -> None:
        """Make sure that what pixels are read from is there as it was: zarr takes missing chunks for empty ones.

        Raises
        ------
        OmeZarrError
            If it is not.
        """
        check_all(self.stored)
        for pixels in self.labels.values():
            pixels.check()

    def passes(
        self,
        shapes: Sequence[tuple[int, ...]],
        chunks: Sequence[tuple[int, ...]],
        units: Sequence[tuple[int, ...]],
        *,
        workers: int,
        max_memory: int,
    ) -> tuple[Pass, ...]:
        """Choose the tiles, and how often they are walked over.

        All levels are made in one pass, unless the method reads beyond its blocks. Then each level is made of the one
        above when that is written, by tiles that read it with a halo; so that neighbours wait for nothing.

        Parameters
        ----------
        shapes
            Of the levels, in file order.
        chunks, units
            Chunks of the levels, and shards where they have these.
        workers, max_memory
            As in `tiling.fit`.
        """
        limits = {"workers": workers, "max_memory": max_memory}
        if self.recipe is None:
            each = [self._costs(level) for level in range(len(self.levels))]
            return (fit_apart(shapes, units, each, **limits),)
        steps = self.recipe.steps
        if self.recipe.is_local:
            return (fit(shapes, steps, units, self._costs(0), **limits),)
        found = []
        written = -1
        if self.sources[0] is None:
            found.append(fit_apart(shapes[:1], units[:1], [self._costs(0)], **limits))
            written = 0
        for level in range(len(shapes) - 1 + self.keeps_carries):
            both = slice(level, level + 2)
            made = fit(
                shapes[both],
                steps[level : level + 1],
                units[both],
                self._costs_of_reading(level, chunks[level], units[level]),
                **limits,
            )
            last = level if self.keeps_carries else level + 1
            found.append(replace(made, first=level, writes=tuple(range(written + 1, last + 1))))
            written = last
        return tuple(found)

    def _costs(self, level: int) -> Costs:
        da, source = self.levels[level], self.sources[level]
        copies = 0 if isinstance(da.variable._data, np.ndarray) else 1
        if source is not None:
            return Costs(
                da.dtype.itemsize,
                self.carry_bytes,
                source.chunks,
                copies,
                tiling.LEAF_BYTES,
                self._halo(level),
                objects=source.objects,
            )
        # dask computes each of its blocks once, whatever is made of it
        ones, leaf = (1,) * da.ndim, tiling.TASK_BYTES
        if self.recipe is None:
            # what blocks of several levels share is in memory until all of them are made
            leaf = tiling.LEAF_BYTES
        blocks = tuple(max(da.variable.chunksizes[dim]) for dim in self.dims)
        return Costs(da.dtype.itemsize, self.carry_bytes, ones, 3, leaf, (0,) * da.ndim, blocks)

    def _costs_of_reading(self, level: int, chunk: tuple[int, ...], unit: tuple[int, ...]) -> Costs:
        """Return the costs of making the next level of one that is written, or of a source."""
        if level == 0 and self.sources[0] is not None:
            return self._costs(0)
        if self.keeps_carries and level:
            stored = self.carry_chunks(unit)
            return Costs(self.carry_bytes, self.carry_bytes, stored, 1, tiling.LEAF_BYTES, self._halo(level))
        itemsize, halo = self.levels[0].dtype.itemsize, self._halo(level)
        return Costs(itemsize, self.carry_bytes, chunk, 1, tiling.LEAF_BYTES, halo, objects=unit)

    def carry_chunks(self, unit: tuple[int, ...]) -> tuple[int, ...]:
        """Return the pixels that a carry is kept in: small parts of a chunk or shard, for halos are read of them.

        Parameters
        ----------
        unit
            The chunk or shard of the level.
        """
        chunks = list(unit)
        while math.prod(chunks) * self.carry_bytes > CARRY_BYTES:
            even = [axis for axis, n in enumerate(chunks) if n % 2 == 0]
            if not even:
                break
            axis = max(even, key=lambda axis: chunks[axis])
            chunks[axis] //= 2
        return tuple(chunks)

    @property
    def carry_bytes(self) -> int:
        """Bytes of a pixel of what the next level is made of."""
        return 0 if self.recipe is None else self.recipe.kernel.components * self.recipe.kernel.dtype.itemsize

    def _halo(self, level: int) -> tuple[int, ...]:
        """Return the pixels of a level beyond themselves that tiles read, along each axis in file order."""
        if self.recipe is None:
            return (0,) * len(self.dims)
        return self.recipe.reach(level)


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
    found = replace(found, order=tuple(made.dims.index(dims[axis]) for axis in found.order))
    return Pixels(made.dims, (da,), found, (direct_source(da, made.dims),), presences(data))


def of_levels(levels: Iterable[xr.DataArray], dims: tuple[str, ...]) -> Pixels:
    """Return the pixels of levels that are written as they stand."""
    levels = tuple(levels)
    sources = tuple(direct_source(level, dims) for level in levels)
    return Pixels(dims, levels, None, sources, presences([level.variable._data for level in levels]))


def with_labels(pixels: Pixels, labels: Mapping[str, tuple[Any, Pixels]]) -> Pixels:
    """Return the pixels of an image together with those of its labels, each after the plan to write them."""
    return replace(pixels, labels={name: of_label for name, (_, of_label) in labels.items()})
