"""The levels of a pyramid as lazy dask arrays: kernels run over chunks, each given the halo that it reads."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xomezarr.downsample.method import Kernel, Method, Reduction
from xomezarr.downsample.sections import Origin, Section, block_shape, origins
from xomezarr.downsample.sources import as_dask
from xomezarr.downsample.table import METHODS, check_dtype, resolve_skipna
from xomezarr.errors import (
    AxisError,
    ChunkError,
    DtypeError,
    EmptyDimensionError,
    FactorError,
    MethodError,
    OmeZarrError,
    collecting,
    raise_all,
)
from xomezarr.grid import LARGEST_FACTOR, Boundary, block_count, is_factor, step_factor

if TYPE_CHECKING:
    import dask.array

__all__ = ["Recipe", "as_promised", "canonical_order", "check_result", "downsample", "recipe"]


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
    made = recipe(data, dims, steps, method, boundary=boundary, skipna=skipna)
    back = made.back
    level0: Any = as_dask(data, [[step[place] for place in back] for step in made.factors]).transpose(made.order)
    return [level.transpose(back) for level in _levels(level0, made, boundary)]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the levels of one array are made: a kernel, and the factors that it runs with.

    Parameters
    ----------
    kernel
        Made for the array's dtype and number of pixels.
    order
        The array's axes in the order in which the kernel sees them (`canonical_order`).
    factors
        From each level to the next as they are really taken, by axis in that order.
    """

    kernel: Kernel
    order: tuple[int, ...]
    factors: tuple[tuple[int, ...], ...]

    @property
    def back(self) -> tuple[int, ...]:
        """Where each axis of the array is in the kernel's order."""
        return tuple(self.order.index(axis) for axis in range(len(self.order)))

    @property
    def is_local(self) -> bool:
        """Whether the kernel sees no pixel beyond the block that it makes one of."""
        kernel = self.kernel
        return not any(kernel.halo(f) or kernel.finish_halo(f) for step in self.factors for f in step)

    @property
    def steps(self) -> tuple[tuple[int, ...], ...]:
        """The factors, by axis of the array."""
        return tuple(tuple(step[place] for place in self.back) for step in self.factors)

    def reach(self, level: int) -> tuple[int, ...]:
        """Return how far beyond a tile of a level its pixels, or its carry, have to be known, by axis of the array."""
        reach = [0] * len(self.order)
        if level < len(self.steps):
            reach = [self.kernel.halo(f) for f in self.steps[level]]
        if level and not self.kernel.of_pixels:
            own = [self.kernel.finish_halo(f) for f in self.steps[level - 1]]
            reach = list(map(max, reach, own))
        return tuple(reach)


def recipe(
    data: Any,
    dims: Sequence[str],
    steps: Sequence[Mapping[str, int]],
    method: Method,
    *,
    boundary: Boundary = "pad",
    skipna: bool | None = None,
) -> Recipe:
    """Check that an array can be downsampled, and make the kernel that does it.

    Parameters are those of `downsample`, which also says what is raised; no pixel is looked at.
    """
    raise_all(_faults(data, dims, steps, method, boundary, skipna), "the array cannot be downsampled")
    order = canonical_order(dims)
    names = [dims[axis] for axis in order]
    shape = [data.shape[axis] for axis in order]
    factors = _step_factors(shape, names, steps, boundary)
    pixels = math.prod(min(n, math.prod(along)) for n, *along in zip(shape, *factors, strict=True))
    dtype = np.dtype(data.dtype)
    make = partial(method.make, dtype, skipna=resolve_skipna(skipna, method), pixels=pixels)
    kernel = make() if method in METHODS.values() else _tried(method, make, factors, dtype)
    return Recipe(kernel, tuple(order), tuple(factors))


def _tried(
    method: Method, make: Callable[[], Kernel], factors: Sequence[Sequence[int]], dtype: np.dtype[Any]
) -> Kernel:
    """Return the kernel of a method that somebody brought, once it has been run on one small block of ones.

    So a wrong signature or shape shows early. What it makes of the values is judged when they are known.
    """
    try:
        kernel = make()
        for step in factors[:1]:
            _try(kernel, [min(f, TRIAL_PIXELS) for f in step], dtype)
    except OmeZarrError as error:
        about_values = isinstance(error, DtypeError) or not isinstance(error.__cause__, TypeError | None)
        if about_values:
            return make()
        raise
    except Exception as error:
        raise MethodError(
            f"the kernel of method {method.name!r} failed with {type(error).__name__}: {error}; mend it, or make it "
            "of a function: functools.partial(reducing, function=np.ptp)"
        ) from error
    return kernel


def _try(kernel: Kernel, sizes: Sequence[int], dtype: np.dtype[Any]) -> None:
    """Check what a kernel makes of one block of ones."""
    ones = (1,) * len(sizes)
    carry = kernel.start(np.ones(sizes, dtype), [Section(0, n, n, n, kernel.halo(n)) for n in sizes])
    check_result(carry, (kernel.components, *ones), kernel.dtype)
    finish = [Section(0, 1, 1, 1, kernel.finish_halo(n), n, n, n) for n in sizes]
    check_result(kernel.finish(carry, finish), ones, dtype)


TRIAL_PIXELS = 4
"""Pixels along each axis of the block that a method is tried on."""


def check_result(result: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise where a kernel does not make what it promises; the byte order may be either."""
    is_array = isinstance(result, np.ndarray)
    if not is_array or result.shape != shape or result.dtype.newbyteorder("=") != dtype.newbyteorder("="):
        found = f"an array of shape {result.shape} and dtype {result.dtype}" if is_array else type(result).__name__
        raise MethodError(
            f"a kernel made {found}, where an array of shape {shape} and dtype {dtype} is promised; mend it, or make "
            "it of a function: functools.partial(reducing, function=np.ptp)"
        )


def as_promised(result: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return what a function of a kernel has made, checked; NumPy makes scalars of arrays without dimensions."""
    whole: NDArray[Any] = np.asarray(result) if isinstance(result, np.generic) else result
    check_result(whole, shape, dtype)
    return whole


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
        resolve_skipna(skipna, method)
    yield from faults
    if np.ma.isMaskedArray(getattr(data, "_meta", data)):
        yield DtypeError(
            "the array is a masked one, and a file has no mask; give what is masked a value: filled(np.nan), or "
            "dask.array.ma.filled(array, np.nan)"
        )
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
                    f"its dimensions are {tuple(dims)}; give factors={{{str(dims[-1]) if dims else 'x'!r}: 2}}, say"
                )
            elif not is_factor(factor):
                yield FactorError(
                    f"the factor of dimension {dim!r} in step {number} is {factor!r}, not an integer from 1 to "
                    f"{LARGEST_FACTOR}; give factors={{{dim!r}: 2}}, say"
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


def _levels(level0: Any, made: Recipe, boundary: Boundary) -> list[Any]:
    """Run a kernel from level to level; dimensions in canonical order."""
    kernel = made.kernel
    shapes = [tuple(level0.shape)]
    for step in made.factors:
        shapes.append(tuple(block_count(n, f, boundary) for n, f in zip(shapes[-1], step, strict=True)))
    levels: list[Any] = []
    carry = level0
    given = 0
    chunk_extents = [0] * level0.ndim
    stand_for = origins(shapes, made.factors)[1:]
    for step, (shape, sizes), origin in zip(made.factors, itertools.pairwise(shapes), stand_for, strict=True):
        chunks = aligned(carry, step, chunk_extents, kernel.halo)
        sections = [
            # pixels that are trimmed away make no block, though filters see them
            _sections(along, f, kernel.halo(f), min(n, f * count))
            for along, f, n, count in zip(chunks, step, shape, sizes, strict=True)
        ]
        run = kernel.step if given else kernel.start
        components = (given, kernel.components)
        carry = _run(run, rechunked(carry, chunks), sections, kernel.dtype, components=components)
        levels.append(_finished(carry, kernel, origin, level0.dtype))
        if not given:
            # coarse chunks grow back to the extent of fine ones, so that their number shrinks with the level
            chunk_extents = [max(along) * f for along, f in zip(carry.chunks[1:], step, strict=True)]
        given = kernel.components
    return levels


def _finished(carry: Any, kernel: Kernel, origin: Origin, dtype: np.dtype[Any]) -> Any:
    """Make a level of a carry."""
    halos = [kernel.finish_halo(f) for f in origin.above]
    chunks = [at_least(along, halo) for along, halo in zip(carry.chunks[1:], halos, strict=True)]
    sections = [
        [replace(section, above=f, covers=pixels, covered=extent) for section in _sections(along, 1, halo, sum(along))]
        for along, halo, f, pixels, extent in zip(
            chunks, halos, origin.above, origin.covers, origin.covered, strict=True
        )
    ]
    return _run(kernel.finish, rechunked(carry, chunks), sections, dtype, components=(kernel.components, 0))


def _sections(chunks: Sequence[int], factor: int, halo: int, kept: int) -> list[Section]:
    """Return the section of each chunk along an axis, of which `kept` pixels belong to blocks."""
    borders = [0, *itertools.accumulate(chunks)]
    return [Section(start, min(stop, kept), borders[-1], factor, halo) for start, stop in itertools.pairwise(borders)]


def _run(
    run: Reduction,
    array: Any,
    sections: Sequence[Sequence[Section]],
    dtype: np.dtype[Any],
    *,
    components: tuple[int, int],
) -> Any:
    """Run a function of a kernel chunk by chunk.

    Parameters
    ----------
    array
        Whose chunks are the sections.
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
        partial(_run_block, run=run, components=made, made=dtype),
        (0, *axes) if made else axes,
        array,
        (0, *axes) if given else axes,
        *along,
        new_axes={0: made} if made and not given else None,
        adjust_chunks={axis: block_shape(of_axis) for axis, of_axis in zip(axes, sections, strict=True)},
        align_arrays=False,
        dtype=dtype,
        meta=np.empty((0,) * (len(axes) + bool(made)), dtype),
        token="downsample",
    )


def _run_block(block: Any, *along: NDArray[Any], run: Reduction, components: int, made: np.dtype[Any]) -> NDArray[Any]:
    # dask hands over the chunks along the components as a list where the result has none; there is always one
    whole = block[0] if isinstance(block, list) else block
    sections = [listed[0] for listed in along]
    # what the halo brings from beyond the last block that is kept, and no more
    given = (..., *(slice(section.read.stop - section.read.start) for section in sections))
    return as_promised(run(whole[given], sections), (components,) * bool(components) + block_shape(sections), made)


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
