"""Arrays that are read block by block: what has no dask chunks is cut into blocks, lazily and without a copy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["as_dask", "lazy_blocks"]

BLOCK_BYTES = 16 * 2**20
"""Size of the blocks that an array without chunks is read in.

A hundred times what dask spends on a task, and yet a block with its carry for each worker fits any memory.
"""


class _Source:
    """An array that only gives blocks away: dask copies, hashes and looks into what it knows to be an array."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.shape = tuple(array.shape)
        self.ndim = len(self.shape)
        self.dtype = np.dtype(array.dtype)

    def __getitem__(self, index: tuple[slice, ...]) -> Any:
        return self.array[index]


def as_dask(data: Any, factors: Sequence[Sequence[int]]) -> Any:
    """Return a dask array as it is, and another as one of blocks that suit the factors of each step, by axis."""
    import dask.array

    if isinstance(data, dask.array.Array):
        return data
    shape, itemsize = tuple(data.shape), np.dtype(data.dtype).itemsize
    return lazy_blocks(data, source_blocks(shape, itemsize, factors, stored_chunks(data), memory_order(data)))


def lazy_blocks(data: Any, chunks: Sequence[int | Sequence[int]]) -> Any:
    """Return a dask array that takes blocks out of an array when they are computed; nothing is copied before.

    Parameters
    ----------
    data
        NumPy, or anything that slices like it.
    chunks
        Sizes of the blocks, by axis; one number for all along an axis, or one for each.
    """
    import dask.array

    source = _Source(data)
    return dask.array.from_array(
        source,
        chunks=tuple(chunks),
        # a name of its own: the alternative is to hash all pixels
        name=False,
        asarray=True,
        fancy=False,
        meta=np.empty((0,) * source.ndim, source.dtype),
    )


def memory_order(data: Any) -> list[int]:
    """Sort axes by their distance in memory, the nearest neighbours first."""
    strides = data.strides if isinstance(data, np.ndarray) else range(len(data.shape), 0, -1)
    return sorted(range(len(data.shape)), key=lambda axis: (abs(strides[axis]), -axis))


def stored_chunks(data: Any) -> tuple[int, ...]:
    """Return the chunks, or shards, that an array is stored in; all 1 where it does not say."""
    for found in (getattr(data, "shards", None), getattr(data, "chunks", None)):
        if isinstance(found, tuple) and len(found) == len(data.shape) and all(isinstance(n, int) for n in found):
            return found
    return (1,) * len(data.shape)


def source_blocks(
    shape: Sequence[int],
    itemsize: int,
    factors: Sequence[Sequence[int]],
    stored: Sequence[int],
    order: Sequence[int],
) -> tuple[int, ...]:
    """Choose blocks of about `BLOCK_BYTES` to read an array in.

    Parameters
    ----------
    shape
        Of the array.
    itemsize
        Bytes of a pixel.
    factors
        For each step; the blocks are multiples of the product of as many as fit.
    stored
        Chunks that the blocks are multiples of.
    order
        Axes, from the one along which neighbours are nearest in memory.

    Examples
    --------
    >>> source_blocks((512, 1024, 1024), 2, [(2, 2, 2)] * 3, (1, 1, 1), (2, 1, 0))
    (8, 1024, 1024)
    """
    budget = BLOCK_BYTES // itemsize
    unit = [min(pair) for pair in zip(shape, stored, strict=True)]
    total = [1] * len(shape)
    for step in factors:
        total = [f * g for f, g in zip(total, step, strict=True)]
        aligned = [min(n, math.lcm(chunk, f)) for n, chunk, f in zip(shape, stored, total, strict=True)]
        if math.prod(aligned) > budget:
            break
        unit = aligned
    block = list(unit)
    for axis in order:
        room = budget // math.prod(block[:axis] + block[axis + 1 :])
        block[axis] = min(shape[axis], max(room // unit[axis], 1) * unit[axis])
    return tuple(block)
