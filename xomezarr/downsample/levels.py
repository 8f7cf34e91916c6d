"""The levels of a pyramid as lazy dask arrays: kernels run over chunks, each given the halo that it reads."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xomezarr.downsample.method import Kernel, Method, Reduction, Section
from xomezarr.downsample.table import METHODS, check_dtype, check_skipna
from xomezarr.errors import (
    AxisError,
    ChunkError,
    EmptyDimensionError,
    FactorError,
    MethodError,
    OmeZarrError,
    collecting,
    raise_all,
)
from xomezarr.grid import Boundary, block_count, step_factor

if TYPE_CHECKING:
    import dask.array

__all__ = ["canonical_order", "downsample", "lazy_blocks"]

BLOCK_BYTES = 16 * 2**20
"""Size of the blocks that an array without chunks is read in.

A hundred times what dask spends on a task, and yet a block with its carry for each worker fits any memory.
"""


def _dask() -> Any:
    """Import dask's arrays where they are needed first; Any, for dask types few of its functions."""
    import dask.array

    return dask.array


def canonical_order(dims: Sequence[str]) -> list[int]:
    """Sort axes: time, channel, others by their names, z, y, x.

    Sums of floats depend on the order in which the pixels of a block are added; they are added in C order of this,
    so that the order in which an array happens to have its dimensions does not show.

    >>> canonical_order(["x", "y", "C", "lifetime"])
    [2, 3, 1, 0]
    """
    ranks = {"t": 0, "time": 0, "c": 1, "channel": 1, "z": 3, "y": 4, "x": 5}
    return sorted(range(len(dims)), key=lambda axis: (ranks.get(str(dims[axis]).lower(), 2), str(dims[axis])))


def downsample(
    data: Any,
    dims: Sequence[str],
    steps: Sequence[Mapping[str, int]],
    method: Method,
    *,
    boundary: Boundary = "pad",
    skipna: bool | None = None,
) -> list[dask.array.Array]:
    """Make the levels of a pyramid, lazily.

    Parameters
    ----------
    data
        Level 0: a dask array, a numpy array (it is not copied), or anything with ``shape``, ``dtype`` and basic
        indexing, which is read when a level is computed.
    dims
        Names of its dimensions.
    steps
        For each level but the first, the integer factors from the level above by dimension; 1 where left out.
        A dimension of one pixel shrinks no further.
    method
        A row of `METHODS`.
    boundary
        ``"pad"``: a block cut by the edge is reduced over the pixels that it has. ``"trim"``: it is left
        out, though the first block never is.
    skipna
        Whether NaN is left out, by default it is; a block of NaN gives NaN.

    Returns
    -------
    list
        One dask array for each step, of the dtype of `data`; bit-identical for every chunking and memory layout.

    Raises
    ------
    AxisError, FactorError, EmptyDimensionError, ChunkError, DtypeError, MethodError
        If the array, its dimensions and the factors do not go together.
    """
    if not (hasattr(data, "shape") and hasattr(data, "dtype")):
        data = np.asarray(data)
    raise_all(_faults(data, dims, steps, method, boundary, skipna), "the array cannot be downsampled")
    order = canonical_order(dims)
    names = [dims[axis] for axis in order]
    factors = _step_factors([data.shape[axis] for axis in order], names, steps, boundary)
    level0: Any = _as_dask(data, order, factors).transpose(order)
    pixels = math.prod(min(n, math.prod(along)) for n, *along in zip(level0.shape, *factors, strict=True))
    kernel = method.kernel(np.dtype(data.dtype), method.skipna is not False and skipna is not False, pixels)
    if method not in METHODS.values() and factors:
        _try(kernel, factors[0], np.dtype(data.dtype))
    back = [order.index(axis) for axis in range(len(order))]
    return [level.transpose(back) for level in _levels(level0, kernel, factors, boundary)]


def _try(kernel: Kernel, factors: Sequence[int], dtype: np.dtype[Any]) -> None:
    """Run a method that somebody brought on one block, so that what is wrong with it shows before anything is made."""
    carry = kernel.start(np.ones(factors, dtype), [Section(0, f, f, f, kernel.halo(f)) for f in factors])
    expected = (kernel.components, *[1] * len(factors))
    if carry.shape != expected or carry.dtype != kernel.dtype:
        raise MethodError(
            f"the kernel's start made a carry of shape {carry.shape} and dtype {carry.dtype} of one block, where the "
            f"kernel promises {expected} and {kernel.dtype}; mend it, or make it of a function: reducing"
        )


def _faults(
    data: Any,
    dims: Sequence[str],
    steps: Sequence[Mapping[str, int]],
    method: Method,
    boundary: str,
    skipna: bool | None,
) -> Iterator[OmeZarrError]:
    """Yield what keeps the array from being downsampled."""
    faults: list[OmeZarrError] = []
    with collecting(faults):
        check_dtype(data.dtype, method)
    with collecting(faults):
        check_skipna(skipna, method)
    yield from faults
    if len(dims) != len(data.shape) or len(set(dims)) != len(dims):
        yield AxisError(f"dims={tuple(dims)} do not name {len(data.shape)} dimensions; give each its own name")
    for dim, size in zip(dims, data.shape, strict=False):
        if size == 0:
            yield EmptyDimensionError(
                f"dimension {dim!r} has no pixels; select at least one, or drop the dimension with isel({dim}=0)"
            )
        elif size != size:  # dask's unknown sizes are NaN
            yield ChunkError(
                f"the size of dimension {dim!r} is not known; call compute_chunk_sizes() on the dask array"
            )
    for number, step in enumerate(steps):
        for dim, factor in step.items():
            if dim not in dims:
                yield FactorError(
                    f"step {number} has a factor for dimension {dim!r}, which the array lacks; "
                    f"its dimensions are {tuple(dims)}: give factors={{{str(dims[-1]) if dims else 'x'!r}: 2}}, say"
                )
            elif isinstance(factor, bool) or not hasattr(factor, "__index__") or factor < 1:
                yield FactorError(
                    f"the factor of dimension {dim!r} in step {number} is {factor!r}, not an integer of at least 1; "
                    f"give factors={{{dim!r}: 2}}, say"
                )
    if boundary not in ("pad", "trim"):
        yield FactorError(f"boundary={boundary!r} is neither 'pad' nor 'trim'; give boundary='pad'")


def _step_factors(
    sizes: Sequence[int], dims: Sequence[str], steps: Sequence[Mapping[str, int]], boundary: Boundary
) -> list[tuple[int, ...]]:
    """Return by how much each dimension really shrinks at each step."""
    factors = []
    for step in steps:
        factors.append(tuple(step_factor(n, int(step.get(dim, 1))) for n, dim in zip(sizes, dims, strict=True)))
        sizes = [block_count(n, f, boundary) for n, f in zip(sizes, factors[-1], strict=True)]
    return factors


def _levels(level0: Any, kernel: Kernel, factors: Sequence[tuple[int, ...]], boundary: Boundary) -> list[Any]:
    """Run a kernel from level to level; dimensions in canonical order."""
    levels: list[Any] = []
    carry = level0
    given = 0
    extents = list(level0.shape)
    total = [1] * level0.ndim
    chunk_extents = [0] * level0.ndim
    for step in factors:
        shape = carry.shape[carry.ndim - len(step) :]
        sizes = [block_count(n, f, boundary) for n, f in zip(shape, step, strict=True)]
        chunks = aligned(carry, step, chunk_extents, kernel.halo)
        sections = [
            # pixels that are trimmed away make no block, though filters see them
            _sections(along, f, kernel.halo(f), min(n, f * count))
            for along, f, n, count in zip(chunks, step, shape, sizes, strict=True)
        ]
        counts = [[section.count for section in along] for along in sections]
        run = kernel.step if given else kernel.start
        components = (given, kernel.components)
        carry = _run(run, rechunked(carry, chunks), sections, counts, kernel.dtype, components=components)
        total = [f * g for f, g in zip(total, step, strict=True)]
        extents = [min(extent, n * f) for extent, n, f in zip(extents, sizes, total, strict=True)]
        levels.append(_finished(carry, kernel, step, total, extents, level0.dtype))
        if not given:
            # coarse chunks grow back to the extent of fine ones, so that their number shrinks with the level
            chunk_extents = [max(along) * f for along, f in zip(carry.chunks[1:], step, strict=True)]
        given = kernel.components
    return levels


def _finished(
    carry: Any,
    kernel: Kernel,
    step: Sequence[int],
    total: Sequence[int],
    extents: Sequence[int],
    dtype: np.dtype[Any],
) -> Any:
    """Make a level of a carry."""
    halos = [kernel.finish_halo(f) for f in step]
    chunks = [at_least(along, halo) for along, halo in zip(carry.chunks[1:], halos, strict=True)]
    sections = [
        _sections(along, factor, halo, sum(along), reach, extent)
        for along, factor, halo, reach, extent in zip(chunks, step, halos, total, extents, strict=True)
    ]
    components = (kernel.components, 0)
    return _run(kernel.finish, rechunked(carry, chunks), sections, chunks, dtype, components=components)


def _sections(
    chunks: Sequence[int], factor: int, halo: int, kept: int, reach: int = 1, extent: int = 0
) -> list[Section]:
    """Return the section of each chunk along an axis, of which `kept` pixels belong to blocks."""
    borders = [0, *itertools.accumulate(chunks)]
    return [
        Section(start, min(stop, kept), borders[-1], factor, halo, reach, extent)
        for start, stop in itertools.pairwise(borders)
    ]


def _run(
    run: Reduction,
    array: Any,
    sections: Sequence[Sequence[Section]],
    lengths: Sequence[Sequence[int]],
    dtype: np.dtype[Any],
    *,
    components: tuple[int, int],
) -> Any:
    """Run a function of a kernel chunk by chunk.

    Parameters
    ----------
    array
        Whose chunks are the sections.
    lengths
        Of the chunks of the result.
    components
        Of what is given and of the result; 0 for pixels, which have no dimension for them.
    """
    da = _dask()
    first = array.ndim - len(sections)
    halos = {first + axis: along[0].halo for axis, along in enumerate(sections) if len(along) > 1 and along[0].halo}
    if halos:
        array = da.overlap.overlap(array, halos, boundary="none", allow_rechunk=False)
    given, made = components
    axes = tuple(range(1, 1 + len(sections)))
    along: list[Any] = []
    for axis, of_axis in zip(axes, sections, strict=True):
        listed = np.empty(len(of_axis), object)
        listed[:] = of_axis
        along += [da.from_array(listed, chunks=1), (axis,)]
    return da.blockwise(
        partial(_run_block, run=run),
        (0, *axes) if made else axes,
        array,
        (0, *axes) if given else axes,
        *along,
        new_axes={0: made} if made and not given else None,
        adjust_chunks={axis: tuple(sizes) for axis, sizes in zip(axes, lengths, strict=True)},
        align_arrays=False,
        dtype=dtype,
        meta=np.empty((0,) * (len(axes) + bool(made)), dtype),
        token="downsample",
    )


def _run_block(block: Any, *along: NDArray[Any], run: Reduction) -> NDArray[Any]:
    # dask hands over the chunks along the components as a list where the result has none; there is always one
    whole = block[0] if isinstance(block, list) else block
    sections = [listed[0] for listed in along]
    # what the halo brings from beyond the last block that is kept, and no more
    given = (..., *(slice(section.read.stop - section.read.start) for section in sections))
    return run(whole[given], sections)


def aligned(
    array: Any, factors: Sequence[int], extents: Sequence[int], halo: Callable[[int], int]
) -> list[tuple[int, ...]]:
    """Return chunks whose borders no block crosses, and which hold the halo of their neighbours.

    They change as little as that allows: neighbours exchange less than one block.
    """
    chunks = array.chunks[array.ndim - len(factors) :]
    return [
        at_least(aligned_chunks(sizes, factor, extent), max(halo(factor), factor))
        for sizes, factor, extent in zip(chunks, factors, extents, strict=True)
    ]


def rechunked(array: Any, chunks: Sequence[tuple[int, ...]]) -> Any:
    """Give the last axes these chunks."""
    wanted = (*array.chunks[: array.ndim - len(chunks)], *chunks)
    # the tasks are local, so that no barrier of a distributed shuffle is called for
    return array if wanted == array.chunks else array.rechunk(wanted, method="tasks")


def at_least(chunks: Sequence[int], minimum: int) -> tuple[int, ...]:
    """Join chunks that are smaller than a halo with their neighbours.

    >>> at_least((1, 1, 1, 4, 1), 3)
    (3, 5)
    """
    joined: list[int] = []
    for size in chunks:
        if joined and joined[-1] < minimum:
            joined[-1] += size
        else:
            joined.append(size)
    if len(joined) > 1 and joined[-1] < minimum:
        joined[-2:] = [sum(joined[-2:])]
    return tuple(joined)


def aligned_chunks(chunks: Sequence[int], factor: int, extent: int) -> tuple[int, ...]:
    """Move the borders of chunks down to multiples of `factor`, then join neighbours within `extent` pixels.

    >>> aligned_chunks((33, 33, 33, 1), 2, 0)
    (32, 34, 32, 2)
    >>> aligned_chunks((16, 16, 16, 16), 2, 32)
    (32, 32)
    """
    size = sum(chunks)
    borders = {border // factor * factor for border in itertools.accumulate(chunks[:-1])} - {0, size}
    joined: list[int] = []
    for start, stop in itertools.pairwise([0, *sorted(borders), size]):
        if joined and joined[-1] + stop - start <= extent:
            joined[-1] += stop - start
        else:
            joined.append(stop - start)
    return tuple(joined)


class _Source:
    """An array that only gives blocks away: dask copies, hashes and looks into what it knows to be an array."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.shape = tuple(array.shape)
        self.ndim = len(self.shape)
        self.dtype = np.dtype(array.dtype)

    def __getitem__(self, index: tuple[slice, ...]) -> Any:
        return self.array[index]


def _as_dask(data: Any, order: Sequence[int], factors: Sequence[tuple[int, ...]]) -> Any:
    """Cut an array without dask chunks into blocks, lazily and without a copy."""
    da = _dask()
    if isinstance(data, da.Array):
        return data
    given = [tuple(step[order.index(axis)] for axis in range(data.ndim)) for step in factors]
    shape, itemsize = tuple(data.shape), np.dtype(data.dtype).itemsize
    return lazy_blocks(data, source_blocks(shape, itemsize, given, stored_chunks(data), memory_order(data)))


def lazy_blocks(data: Any, chunks: Sequence[int]) -> Any:
    """Return a dask array that takes blocks out of an array when they are computed; nothing is copied before.

    Parameters
    ----------
    data
        NumPy, or anything that slices like it.
    chunks
        Sizes of the blocks, by axis.
    """
    source = _Source(data)
    return _dask().from_array(
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
