"""``local_mean``: sums and counts of level-0 pixels, carried from level to level and divided once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xomezarr.downsample.blocks import carried, reduce_blocks, within
from xomezarr.downsample.method import Kernel
from xomezarr.downsample.sections import Section
from xomezarr.errors import FactorError

__all__ = ["local_mean"]

LIMB_BITS = 32
"""A 64-bit integer is summed as two numbers, the upper and the lower half of its bits."""

BIGGEST_BLOCK = 2**31
"""Level-0 pixels in one block whose two-limb sums, and their division, provably stay within 64 bits."""


def _uniform(sections: Sequence[Section]) -> Iterator[tuple[tuple[slice, ...], int]]:
    """Yield the regions within which every pixel covers the same number of level-0 pixels, and that number."""
    runs = []
    for section in sections:
        counts = section.counts
        borders = [0, *(np.flatnonzero(np.diff(counts)) + 1).tolist(), counts.size]
        runs.append([(slice(a, b), int(counts[a])) for a, b in itertools.pairwise(borders) if b > a])
    for run in itertools.product(*runs):
        yield tuple(region for region, _ in run), math.prod(count for _, count in run)


def _covered(sections: Sequence[Section]) -> NDArray[np.int64]:
    """Count the level-0 pixels that each pixel covers, in the shape of the level."""
    covered = np.ones((), np.int64)
    for section in sections:
        covered = np.multiply.outer(covered, section.counts)
    return covered


# --- local_mean of integers --------------------------------------------------------------------------------------


def _paired_sums(block: NDArray[Any], factors: Sequence[int]) -> NDArray[Any] | None:
    """Sum blocks of integers of 8 or 16 bits, neighbours in memory first: two of them are read as one wider integer.

    The sum of its halves takes three steps over memory in order, where pixels taken one by one would be converted on
    the way. Integer sums are the same in any order.

    Returns
    -------
    numpy.ndarray or None
        Sums, in integers of twice the width; None for other dtypes, unless neighbours in memory are pairs of one axis,
        and for blocks whose sums might need more.
    """
    dtype = block.dtype
    bits = 8 * dtype.itemsize
    if dtype.kind not in "iub" or bits > 16 or not dtype.isnative or math.prod(factors) > 2**bits:
        return None
    axis = next((a for a, f in enumerate(factors) if f == 2 and block.strides[a] == dtype.itemsize), None)
    if axis is None or block.shape[axis] < 2:
        return None
    pixels = np.moveaxis(block.view("u1") if dtype.kind == "b" else block, axis, -1)
    pairs, odd = divmod(pixels.shape[-1], 2)
    wide = pixels[..., : 2 * pairs].view(f"{'i' if dtype.kind == 'i' else 'u'}{2 * dtype.itemsize}")
    if not wide.flags.aligned:
        return None
    sums: NDArray[Any] = (wide << bits) >> bits if dtype.kind == "i" else wide & (2**bits - 1)
    sums += wide >> bits
    if odd:
        sums = np.concatenate([sums, pixels[..., -1:].astype(sums.dtype)], axis=-1)
    sums = np.moveaxis(sums, -1, axis)
    for other, factor in enumerate(factors):
        if factor > 1 and other != axis:
            sums = np.moveaxis(sums, other, 0)
            total, *others = (sums[offset::factor] for offset in range(min(factor, len(sums))))
            for part in others:
                total[: len(part)] += part
            sums = np.moveaxis(total, 0, other)
    return sums


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
        if not shift:
            return sums
        quotient: NDArray[Any] = sums >> shift
        quotient &= 1  # whether it is odd
        quotient += sums
        quotient += half - 1
        quotient >>= shift
        return quotient
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


def _finish_integers(carry: NDArray[Any], sections: Sequence[Section], *, dtype: np.dtype[Any]) -> NDArray[Any]:
    level = np.empty_like(carry[0], dtype)
    for region, count in _uniform(sections):
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
        sums = partial(reduce_blocks, joins=(np.add,), dtype=wide)
        start = partial(sums, lift=_whole, at_once=_paired_sums)
        return Kernel(start, partial(sums, lift=carried), finish, 1, wide)
    if pixels > BIGGEST_BLOCK:
        raise FactorError(
            f"one pixel of the last level would cover {pixels} pixels, and sums of {dtype} are exact only up to "
            f"{BIGGEST_BLOCK}; ask for fewer levels, or astype('float64') first"
        )
    wide = np.dtype(np.int64 if dtype.kind == "i" else np.uint64)
    sums = partial(reduce_blocks, joins=(np.add, np.add), dtype=wide, settle=_settle_limbs)
    return Kernel(partial(sums, lift=_limbs), partial(sums, lift=carried), finish, 2, wide)


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
        # where NaN is not left out, the bounds know of it too
        bounds = (np.fmin, np.fmax) if self.skipna else (np.minimum, np.maximum)
        part = (np.add, *bounds) if self.bounded else (np.add,)
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

    def finish(self, carry: NDArray[Any], sections: Sequence[Section], *, dtype: np.dtype[Any]) -> NDArray[Any]:
        pixels = carry[0] if self.skipna else _covered(sections)
        level = np.empty_like(carry[0], dtype)
        width = 3 if self.bounded else 1
        with np.errstate(all="ignore"):
            for part in range(self.parts):
                begin = self.skipna + part * width
                total, *bounds = carry[begin : begin + width]
                # the ellipsis keeps arrays without dimensions arrays
                mean = np.divide(total, pixels)[...]
                if bounds:
                    mean = within(mean, *bounds)
                # one NaN for all: sign and payload of a computed NaN depend on the order of the operands
                np.copyto(mean, np.nan, where=np.isnan(mean))
                target = level if self.parts == 1 else (level.real, level.imag)[part]
                target[...] = mean
        return level


def _float_means(dtype: np.dtype[Any], skipna: bool) -> Kernel:
    parts = 2 if dtype.kind == "c" else 1
    layout = _FloatCarry(parts, skipna, bounded=dtype.itemsize == 8 * parts)
    wide = np.dtype(np.float64)
    sums = partial(reduce_blocks, joins=layout.joins, dtype=wide)
    return Kernel(
        partial(sums, lift=layout.lift),
        partial(sums, lift=carried),
        partial(layout.finish, dtype=dtype),
        len(layout.joins),
        wide,
    )


def local_mean(dtype: np.dtype[Any], skipna: bool, pixels: int) -> Kernel:
    """Exact means of the level-0 pixels, rounded once.

    Integers and bool are summed in integers that provably hold the sum, and rounded half to even. Floats are summed in
    float64, in C order of a block's pixels; the means are within the bounds of their values. Finite
    float64 values whose sum overflows give the middle of those bounds, where `numpy.mean` gives infinity.
    """
    return _float_means(dtype, skipna) if dtype.kind in "fc" else _integer_means(dtype, pixels)
