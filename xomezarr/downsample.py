"""The methods that make one resolution level from the level above.

A method is a row of `METHODS`. Its kernel is plain numpy: it starts a carry from pixels, steps the carry
from level to level, and finishes a level from it. What a carry holds (sums and counts, say) is the kernel's
own business, so that a coarse level is as exact as if it had been computed from level 0. `downsample`
runs kernels over dask arrays and computes nothing.

>>> import numpy as np
>>> level1, level2 = downsample(np.arange(8, dtype="uint16"), ["x"], [{"x": 2}, {"x": 2}], get_method("local_mean"))
>>> level1.compute(), level2.compute()
(array([0, 2, 4, 6], dtype=uint16), array([2, 6], dtype=uint16))
"""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from xomezarr.errors import (
    AxisError,
    ChunkError,
    DtypeError,
    EmptyDimensionError,
    FactorError,
    MethodError,
    OmeZarrError,
    raise_all,
)
from xomezarr.grid import Boundary, block_count, step_factor

if TYPE_CHECKING:
    import dask.array

__all__ = ["METHODS", "Kernel", "Method", "check_dtype", "default_method", "downsample", "get_method", "pixel_counts"]

BLOCK_BYTES = 16 * 2**20
"""Size of the blocks that an array without chunks is read in.

A hundred times what dask spends on a task, and yet a block with its carry for each worker fits any memory.
"""

CACHE_BYTES = 512 * 2**10
"""Pixels that a kernel takes in one go: they are passed over once for each pixel of a block, and stay in a core's
second-level cache meanwhile."""

LIMB_BITS = 32
"""A 64-bit integer is summed as two numbers, the upper and the lower half of its bits."""

BIGGEST_BLOCK = 2**31
"""Level-0 pixels in one block whose two-limb sums, and their division, provably stay within 64 bits."""


class _Reduction(Protocol):
    def __call__(self, block: NDArray[Any], factors: Sequence[int], /) -> NDArray[Any]: ...


class _Finish(Protocol):
    def __call__(self, carry: NDArray[Any], counts: Sequence[NDArray[np.int64]], /) -> NDArray[Any]: ...


@dataclass(frozen=True, slots=True)
class Kernel:
    """The arithmetic of one method for one dtype: functions of numpy arrays without state.

    Arrays have their dimensions in canonical order (`canonical_order`). A carry has one dimension more, the first,
    along which its components lie. Blocks begin at multiples of the factors; a block cut by the array's edge is
    reduced over the pixels that it has.

    Parameters
    ----------
    start
        ``start(pixels, factors)``: the carry of level 1.
    step
        ``step(carry, factors)``: the carry of the next level.
    finish
        ``finish(carry, counts)``: the pixels of the carry's level, in the dtype of level 0. `counts` holds one array
        for each dimension, how many level-0 pixels a pixel covers along it (`pixel_counts`).
    components
        Length of a carry's first dimension.
    dtype
        Of a carry.
    indexing
        `start`, `step` and `finish` only select values, so that a lazy array of any chunks does as well as a block.
    """

    start: _Reduction
    step: _Reduction
    finish: _Finish
    components: int
    dtype: np.dtype[Any]
    indexing: bool = False


@dataclass(frozen=True)
class Method:
    """One row of the table of downsampling methods.

    Parameters
    ----------
    name
        What the user calls it; also OME-Zarr's ``type`` of a multiscale.
    sample
        Index within a block of `f` pixels that a result pixel stands for, for `Grid.coarsen`.
    description
        A sentence for the OME metadata.
    kernel
        ``kernel(dtype, skipna, pixels)``: the arithmetic for level-0 pixels of `dtype`, where no pixel of
        any level covers more than `pixels` of them.
    kinds
        Kinds of dtype (`numpy.dtype.kind`) that the method takes.
    """

    name: str
    sample: Callable[[int], float]
    description: str
    kernel: Callable[[np.dtype[Any], bool, int], Kernel]
    kinds: str = "biufc"


# --- kernels: parts that they share ------------------------------------------------------------------------------


def pixel_counts(extent: int, factor: int, size: int) -> NDArray[np.int64]:
    """Count the level-0 pixels that each pixel of a level covers along one dimension.

    Parameters
    ----------
    extent
        Level-0 pixels that the level covers altogether.
    factor
        From level 0 to the level.
    size
        Of the level.

    Examples
    --------
    >>> pixel_counts(10, 4, 3)
    array([4, 4, 2])
    """
    return np.minimum(factor, extent - factor * np.arange(size, dtype=np.int64))


def _along(axis: int, ndim: int, selected: slice) -> tuple[Any, ...]:
    """Index one of the last `ndim` axes, whatever axes precede them."""
    return (..., selected, *[slice(None)] * (ndim - 1 - axis))


def _pieces(block: NDArray[Any], factors: Sequence[int]) -> Iterator[tuple[NDArray[Any], tuple[Any, ...]]]:
    """Yield the pixels at each offset within a block, in C order of the offsets, and where they go in the result.

    The first piece fills the result; at a cut edge, the others may be shorter.
    """
    ndim = len(factors)
    sizes = block.shape[block.ndim - ndim :]
    for offsets in itertools.product(*(range(min(pair)) for pair in zip(factors, sizes, strict=True))):
        taken: tuple[Any, ...] = (..., *(slice(offset, None, f) for offset, f in zip(offsets, factors, strict=True)))
        piece = block[taken]
        where: tuple[Any, ...] = (..., *(slice(n) for n in piece.shape[block.ndim - ndim :]))
        yield piece, where


def _reduce_blocks(
    block: NDArray[Any],
    factors: Sequence[int],
    *,
    lift: Callable[[NDArray[Any]], Iterable[Any]],
    joins: Sequence[np.ufunc],
    dtype: np.dtype[Any],
    settle: Callable[[NDArray[Any]], None] | None = None,
) -> NDArray[Any]:
    """Join the pieces of each block into one pixel of a carry, strictly in C order.

    Parameters
    ----------
    block
        Pixels, or a carry.
    lift
        Makes a carry's components of a piece.
    joins
        How each component of two pieces becomes one.
    settle
        Normalises the result in place.
    """
    ndim = len(factors)
    sizes = block.shape[block.ndim - ndim :]
    strides = block.strides[block.ndim - ndim :]
    # the memory layout of the input makes every pass run along memory; it has no influence on any sum
    layout = sorted(range(ndim), key=lambda axis: -abs(strides[axis]))
    shape = [block_count(n, f, "pad") for n, f in zip(sizes, factors, strict=True)]
    empty = np.empty((len(joins), *(shape[axis] for axis in layout)), dtype)
    carry = empty.transpose(0, *(1 + layout.index(axis) for axis in range(ndim)))
    # infinities and overflow give what IEEE 754 says, and no warning
    with np.errstate(all="ignore"):
        _fill(carry, block, factors, lift, joins, layout)
        if settle is not None:
            settle(carry)
    return carry


def _fill(
    carry: NDArray[Any],
    block: NDArray[Any],
    factors: Sequence[int],
    lift: Callable[[NDArray[Any]], Iterable[Any]],
    joins: Sequence[np.ufunc],
    layout: Sequence[int],
) -> None:
    """Reduce into `carry`, slab by slab of the outermost axis in memory."""
    ndim = len(factors)
    axis = next((axis for axis in layout if carry.shape[1 + axis] > 1), None)
    if block.nbytes > CACHE_BYTES and axis is not None:
        size = carry.shape[1 + axis]
        slab = max(size * CACHE_BYTES // block.nbytes, 1)
        for start in range(0, size, slab):
            stop = start + slab
            source = block[_along(axis, ndim, slice(start * factors[axis], stop * factors[axis]))]
            _fill(carry[_along(axis, ndim, slice(start, stop))], source, factors, lift, joins, layout)
        return
    pieces = _pieces(block, factors)
    piece, _ = next(pieces)
    # whole-array indices keep the components of arrays without dimensions arrays
    targets = [carry[number, ...] for number in range(len(joins))]
    for target, component in zip(targets, lift(piece), strict=True):
        target[...] = component
    for piece, where in pieces:
        for target, component, join in zip(targets, lift(piece), joins, strict=True):
            join(target[where], component, out=target[where])


def _carried(piece: NDArray[Any]) -> Iterable[NDArray[Any]]:
    """Take the components of a carry as they are."""
    return piece


def _uniform(counts: Sequence[NDArray[np.int64]]) -> Iterator[tuple[tuple[slice, ...], int]]:
    """Yield the regions within which every pixel covers the same number of level-0 pixels, and that number."""
    runs = []
    for along in counts:
        borders = [0, *(np.flatnonzero(np.diff(along)) + 1).tolist(), along.size]
        runs.append([(slice(a, b), int(along[a])) for a, b in itertools.pairwise(borders) if b > a])
    for run in itertools.product(*runs):
        yield tuple(region for region, _ in run), math.prod(count for _, count in run)


def _covered(counts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Count the level-0 pixels that each pixel covers, in the shape of the level."""
    covered = np.ones((), np.int64)
    for along in counts:
        covered = np.multiply.outer(covered, along)
    return covered


# --- local_mean of integers --------------------------------------------------------------------------------------


def _whole(piece: NDArray[Any]) -> tuple[NDArray[Any]]:
    return (piece,)


def _limbs(piece: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Split 64-bit integers: ``upper * 2**32 + lower``, where ``0 <= lower < 2**32`` for negative ones too."""
    return piece >> LIMB_BITS, piece & (2**LIMB_BITS - 1)


def _settle_limbs(carry: NDArray[Any]) -> None:
    upper, lower = carry
    upper += lower >> LIMB_BITS
    lower &= 2**LIMB_BITS - 1


def _divide(sums: NDArray[Any], count: int) -> NDArray[Any]:
    """Divide by `count`, rounding half to even; the sums leave room for adding half of it."""
    half = count // 2
    if count & (count - 1) == 0:
        shift = count.bit_length() - 1
        return (sums + (half - 1) + ((sums >> shift) & 1)) >> shift if shift else sums
    raised = sums + half
    rounded: NDArray[Any] = raised // count
    if count % 2 == 0:
        rounded -= (raised == rounded * count) & (rounded & 1 == 1)
    return rounded


def _divide_limbs(upper: NDArray[Any], lower: NDArray[Any], count: int) -> NDArray[Any]:
    """Divide ``upper * 2**32 + lower`` by `count` as by hand, rounding half to even."""
    high, rest = np.divmod(upper, count)
    low, rest = np.divmod((rest << LIMB_BITS) + lower, count)
    rounded: NDArray[Any] = (high << LIMB_BITS) + low
    twice = 2 * rest
    rounded += (twice > count) | ((twice == count) & (rounded & 1 == 1))
    return rounded


def _finish_integers(carry: NDArray[Any], counts: Sequence[NDArray[np.int64]], *, dtype: np.dtype[Any]) -> NDArray[Any]:
    level = np.empty_like(carry[0], dtype)
    for region, count in _uniform(counts):
        sums = carry[(slice(None), *region)]
        level[region] = _divide(sums[0], count) if len(sums) == 1 else _divide_limbs(sums[0], sums[1], count)
    return level


def _sum_dtype(dtype: np.dtype[Any], pixels: int) -> np.dtype[Any] | None:
    """Return the narrowest integer that holds the sum of `pixels` values, and half a count more; None if none does."""
    biggest: int = 1 if dtype.kind == "b" else max(int(np.iinfo(dtype).max), -int(np.iinfo(dtype).min))
    for bits in (32, 64):
        wide: np.dtype[Any] = np.dtype(f"{'int' if dtype.kind == 'i' else 'uint'}{bits}")
        if (biggest + 1) * pixels <= np.iinfo(wide).max:
            return wide
    return None


def _integer_means(dtype: np.dtype[Any], pixels: int) -> Kernel:
    finish = partial(_finish_integers, dtype=dtype)
    wide = _sum_dtype(dtype, pixels)
    if wide is not None:
        sums = partial(_reduce_blocks, joins=(np.add,), dtype=wide)
        return Kernel(partial(sums, lift=_whole), partial(sums, lift=_carried), finish, 1, wide)
    if pixels > BIGGEST_BLOCK:
        raise FactorError(
            f"one pixel of the last level would cover {pixels} pixels, and sums of {dtype} are exact only up to "
            f"{BIGGEST_BLOCK}; ask for fewer levels, or astype('float64') first"
        )
    wide = np.dtype(np.int64 if dtype.kind == "i" else np.uint64)
    sums = partial(_reduce_blocks, joins=(np.add, np.add), dtype=wide, settle=_settle_limbs)
    return Kernel(partial(sums, lift=_limbs), partial(sums, lift=_carried), finish, 2, wide)


# --- local_mean of floats and complex numbers --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _FloatCarry:
    """What a carry of floats holds, always float64: a count where NaN is skipped, then for each part its components.

    Parameters
    ----------
    parts
        1 for real, 2 for complex numbers.
    skipna
        Whether valid pixels are counted; otherwise all pixels are, which geometry knows.
    bounded
        Whether each sum is accompanied by the lowest and the highest value. float64 sums of float64 values round,
        and can overflow; a mean held between the two stays what it is where all values are one.
        Narrower floats do not need it: what their sums lose is too little to show once rounded.
    """

    parts: int
    skipna: bool
    bounded: bool

    @property
    def joins(self) -> tuple[np.ufunc, ...]:
        part = (np.add, np.fmin, np.fmax) if self.bounded else (np.add,)
        return (np.add,) * self.skipna + part * self.parts

    def lift(self, piece: NDArray[Any]) -> list[Any]:
        values = [piece] if self.parts == 1 else [piece.real, piece.imag]
        missing = np.isnan(piece) if self.skipna else None
        if missing is not None and missing.any():
            # -0.0 is what changes no number when it is added, not even -0.0
            summands = [np.where(missing, -0.0, value) for value in values]
            values = [np.where(missing, np.nan, value) for value in values]
            components: list[Any] = [~missing]
        else:
            summands = values
            components = [1.0] * self.skipna
        for summand, value in zip(summands, values, strict=True):
            components += [summand, value, value] if self.bounded else [summand]
        return components

    def finish(self, carry: NDArray[Any], counts: Sequence[NDArray[np.int64]], *, dtype: np.dtype[Any]) -> NDArray[Any]:
        pixels = carry[0] if self.skipna else _covered(counts)
        level = np.empty_like(carry[0], dtype)
        width = 3 if self.bounded else 1
        with np.errstate(all="ignore"):
            for part in range(self.parts):
                begin = self.skipna + part * width
                total, *bounds = carry[begin : begin + width]
                # the ellipsis keeps arrays without dimensions arrays
                mean = np.divide(total, pixels)[...]
                if bounds:
                    low, high = bounds
                    np.copyto(mean, low, where=mean < low)
                    np.copyto(mean, high, where=mean > high)
                # one NaN for all: sign and payload of a computed NaN depend on the order of the operands
                np.copyto(mean, np.nan, where=np.isnan(mean))
                target = level if self.parts == 1 else (level.real, level.imag)[part]
                target[...] = mean
        return level


def _float_means(dtype: np.dtype[Any], skipna: bool) -> Kernel:
    parts = 2 if dtype.kind == "c" else 1
    layout = _FloatCarry(parts, skipna, bounded=dtype.itemsize == 8 * parts)
    wide = np.dtype(np.float64)
    sums = partial(_reduce_blocks, joins=layout.joins, dtype=wide)
    return Kernel(
        partial(sums, lift=layout.lift),
        partial(sums, lift=_carried),
        partial(layout.finish, dtype=dtype),
        len(layout.joins),
        wide,
    )


def local_mean_kernel(dtype: np.dtype[Any], skipna: bool, pixels: int) -> Kernel:
    """Exact means of the level-0 pixels, rounded once.

    Integers and bool are summed in integers that provably hold the sum, and rounded half to even. Floats are summed in
    float64, in C order of a block's pixels; the means are within the bounds of their values. Finite
    float64 values whose sum overflows give the nearer of those bounds, where `numpy.mean` gives infinity.
    """
    return _float_means(dtype, skipna) if dtype.kind in "fc" else _integer_means(dtype, pixels)


# --- nearest -----------------------------------------------------------------------------------------------------


def lower_middle(factor: int) -> int:
    """Index of the middle pixel of a block, of the lower one of two."""
    return (factor - 1) // 2


def _take_samples(carry: Any, factors: Sequence[int]) -> Any:
    """Select the lower middle pixel of each block, the array's last pixel where a cut block ends before it."""
    ndim = len(factors)
    for axis, factor in enumerate(factors):
        size = carry.shape[carry.ndim - ndim + axis]
        if factor == 1:
            continue
        taken = carry[_along(axis, ndim, slice(lower_middle(factor), None, factor))]
        count = taken.shape[carry.ndim - ndim + axis]
        if count < block_count(size, factor, "pad"):
            edge = carry[_along(axis, ndim, slice(size - 1, size))]
            taken = np.concatenate([taken, edge], axis=carry.ndim - ndim + axis) if count else edge
        carry = taken
    return carry


def _start_samples(pixels: Any, factors: Sequence[int]) -> Any:
    return _take_samples(pixels[None], factors)


def _finish_samples(carry: Any, counts: Sequence[NDArray[np.int64]], *, dtype: np.dtype[Any]) -> Any:
    # concatenation gives the machine's own byte order
    return carry[0].astype(dtype, copy=False)


def nearest_kernel(dtype: np.dtype[Any], skipna: bool, pixels: int) -> Kernel:
    """Values as they are; `skipna` and `pixels` play no part."""
    return Kernel(_start_samples, _take_samples, partial(_finish_samples, dtype=dtype), 1, dtype, indexing=True)


# --- the table ---------------------------------------------------------------------------------------------------


def centre(factor: int) -> float:
    """Index of the centre of a block, between two pixels for even factors."""
    return (factor - 1) / 2


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        method.name: method
        for method in [
            Method(
                "local_mean",
                centre,
                "exact mean of the full-resolution pixels that a pixel covers, rounded once",
                local_mean_kernel,
            ),
            Method(
                "nearest", lower_middle, "the pixel at index (f - 1) // 2 of each block of f pixels", nearest_kernel
            ),
        ]
    }
)
"""The downsampling methods, by name."""


def get_method(name: str) -> Method:
    """Return the row of `METHODS` with this name.

    Raises
    ------
    MethodError
        If there is none.
    """
    if isinstance(name, str) and name in METHODS:
        return METHODS[name]
    close = difflib.get_close_matches(str(name).lower().replace("-", "_"), METHODS, n=1, cutoff=0.5)
    meant = close[0] if close else "local_mean"
    guess = f"did you mean method={meant!r}?" if close else f"give method={meant!r}, say"
    raise MethodError(f"there is no downsampling method {name!r}, only {', '.join(METHODS)}; {guess}")


def default_method(dtype: DTypeLike) -> Method:
    """Return the method that an image of this dtype gets when the user names none."""
    # for bool, too: the mean rounded to even is the majority, and a tie is False
    return METHODS["local_mean"]


def check_dtype(dtype: DTypeLike, method: Method) -> None:
    """Check that pixels of a dtype can be downsampled, in any byte order.

    Raises
    ------
    DtypeError
        If `dtype` is not bool, an integer, float16, float32, float64, complex64 or complex128, or not for this method.
    """
    try:
        known = np.dtype(dtype)
    except TypeError:
        raise DtypeError(f"dtype {dtype!r} is not one of numpy's; convert it: astype('float64')") from None
    if known.kind == "V" and known.names:
        raise DtypeError(
            f"dtype {known} is structured, and a pixel is one number; "
            f"take one field and say what it is: array[{known.names[0]!r}].astype('float64')"
        )
    size = known.itemsize // 2 if known.kind == "c" else known.itemsize
    if known.kind not in "biufc" or size > 8:
        cure = {"m": "int64", "M": "int64", "f": "float64", "c": "complex128"}.get(known.kind, "float64")
        raise DtypeError(f"pixels of dtype {known} cannot be downsampled; convert them: astype({cure!r})")
    if known.kind not in method.kinds:
        raise DtypeError(f"method {method.name!r} does not take dtype {known}; convert the pixels: astype('float64')")


# --- over dask arrays --------------------------------------------------------------------------------------------


def _dask() -> Any:
    """Import dask's arrays where they are needed first; Any, for dask types few of its functions."""
    import dask.array

    return dask.array


def canonical_order(dims: Sequence[str]) -> list[int]:
    """Sort axes: time, channel, others as they are given, z, y, x.

    Sums of floats depend on the order in which the pixels of a block are added; they are added in C order of this,
    so that the order in which an array happens to have its dimensions does not show.

    >>> canonical_order(["x", "y", "C", "lifetime"])
    [2, 3, 1, 0]
    """
    ranks = {"t": 0, "time": 0, "c": 1, "channel": 1, "z": 3, "y": 4, "x": 5}
    return sorted(range(len(dims)), key=lambda axis: ranks.get(str(dims[axis]).lower(), 2))


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
        Whether means leave NaN out, by default they do; a block of NaN gives NaN.

    Returns
    -------
    list
        One dask array for each step, of the dtype of `data`; bit-identical for every chunking and memory layout.

    Raises
    ------
    AxisError, FactorError, EmptyDimensionError, ChunkError, DtypeError
        If the array, its dimensions and the factors do not go together.
    """
    if not (hasattr(data, "shape") and hasattr(data, "dtype")):
        data = np.asarray(data)
    raise_all(_faults(data, dims, steps, method, boundary), "the array cannot be downsampled")
    order = canonical_order(dims)
    names = [dims[axis] for axis in order]
    factors = _step_factors([data.shape[axis] for axis in order], names, steps, boundary)
    level0: Any = _as_dask(data, order, factors).transpose(order)
    pixels = math.prod(min(n, math.prod(along)) for n, *along in zip(level0.shape, *factors, strict=True))
    kernel = method.kernel(np.dtype(data.dtype), skipna is not False, pixels)
    back = [order.index(axis) for axis in range(len(order))]
    return [level.transpose(back) for level in _levels(level0, kernel, factors, boundary)]


def _faults(
    data: Any, dims: Sequence[str], steps: Sequence[Mapping[str, int]], method: Method, boundary: str
) -> Iterator[OmeZarrError]:
    """Yield what keeps the array from being downsampled."""
    try:
        check_dtype(data.dtype, method)
    except DtypeError as error:
        yield error
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
    levels = []
    carry = level0
    extents = list(level0.shape)
    total = [1] * level0.ndim
    chunk_extents = [0] * level0.ndim
    for number, step in enumerate(factors):
        sizes = [block_count(n, f, boundary) for n, f in zip(carry.shape[carry.ndim - len(step) :], step, strict=True)]
        # what is trimmed away goes before the step; a block that is larger than the array keeps what there is
        carry = carry[(..., *(slice(n * f) for n, f in zip(sizes, step, strict=True)))]
        total = [f * g for f, g in zip(total, step, strict=True)]
        extents = [min(extent, n * f) for extent, n, f in zip(extents, sizes, total, strict=True)]
        if not kernel.indexing:
            carry = _align(carry, step, chunk_extents)
        carry = _step(carry, kernel, step, first=number == 0)
        counts = [pixel_counts(*along) for along in zip(extents, total, sizes, strict=True)]
        levels.append(_finish(carry, kernel, counts, level0.dtype))
        if number == 0:
            # coarse chunks grow back to the extent of fine ones, so that their number shrinks with the level
            chunk_extents = [max(chunks) * f for chunks, f in zip(carry.chunks[1:], step, strict=True)]
    return levels


def _step(carry: Any, kernel: Kernel, factors: tuple[int, ...], *, first: bool) -> Any:
    """Start (from pixels) or step a carry, chunk by chunk."""
    da = _dask()
    run = kernel.start if first else kernel.step
    if kernel.indexing:
        return run(carry, factors)
    along = carry.chunks[carry.ndim - len(factors) :]
    chunks = [tuple(block_count(n, f, "pad") for n in sizes) for sizes, f in zip(along, factors, strict=True)]
    return da.map_blocks(
        run,
        carry,
        factors,
        dtype=kernel.dtype,
        chunks=((kernel.components,), *chunks),
        new_axis=0 if first else None,
        meta=np.empty((0,) * (len(factors) + 1), kernel.dtype),
        token="downsample",
    )


def _finish(carry: Any, kernel: Kernel, counts: Sequence[NDArray[np.int64]], dtype: np.dtype[Any]) -> Any:
    """Make a level of a carry, chunk by chunk."""
    da = _dask()
    if kernel.indexing:
        return kernel.finish(carry, counts)
    axes = tuple(range(1, carry.ndim))
    along: list[Any] = []
    for axis, covered in zip(axes, counts, strict=True):
        along += [da.from_array(covered, chunks=(carry.chunks[axis],)), (axis,)]
    return da.blockwise(
        _finish_block,
        axes,
        carry,
        (0, *axes),
        *along,
        finish=kernel.finish,
        dtype=dtype,
        meta=np.empty((0,) * len(axes), dtype),
        token="level",
    )


def _finish_block(carry: list[NDArray[Any]], *counts: NDArray[np.int64], finish: _Finish) -> NDArray[Any]:
    # dask hands over the chunks along the components as a list, and there is always one
    (whole,) = carry
    return finish(whole, counts)


def _align(carry: Any, factors: Sequence[int], extents: Sequence[int]) -> Any:
    """Rechunk so that no block crosses a chunk border: neighbours exchange less than one block."""
    fixed = carry.ndim - len(factors)
    chunks = [
        aligned_chunks(sizes, factor, extent)
        for sizes, factor, extent in zip(carry.chunks[fixed:], factors, extents, strict=True)
    ]
    wanted = (*carry.chunks[:fixed], *chunks)
    # the tasks are local, so that no barrier of a distributed shuffle is called for
    return carry if wanted == carry.chunks else carry.rechunk(wanted, method="tasks")


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
