"""Blocks as arrays of their first pixels, their second ones and so on, in C order of their place within the block."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xomezarr.downsample.sections import Section, block_shape, tiles

__all__ = ["carried", "equal_blocks", "reduce_blocks", "within"]

type AtOnce = Callable[[NDArray[Any], Sequence[int]], NDArray[Any] | None]
"""Joins the pixels of blocks in a quicker way, given their factors; None where the array does not allow it."""

CACHE_BYTES = 512 * 2**10
"""Pixels that a kernel takes in one go: they are passed over once for each pixel of a block, and stay in a core's
second-level cache meanwhile."""


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


def reduce_blocks(
    block: NDArray[Any],
    sections: Sequence[Section],
    *,
    lift: Callable[[NDArray[Any]], Iterable[Any]],
    joins: Sequence[np.ufunc],
    dtype: np.dtype[Any],
    settle: Callable[[NDArray[Any]], None] | None = None,
    at_once: AtOnce | None = None,
) -> NDArray[Any]:
    """Join the pieces of each block into one pixel of a carry, strictly in C order.

    Parameters
    ----------
    block
        Pixels, or a carry.
    sections
        Without a halo.
    lift
        Makes a carry's components of a piece.
    joins
        How each component of two pieces becomes one.
    settle
        Normalises the result in place.
    at_once
        Tried first; its result is the only component.
    """
    ndim = len(sections)
    factors = [section.factor for section in sections]
    strides = block.strides[block.ndim - ndim :]
    # the memory layout of the input makes every pass run along memory; it has no influence on any sum
    layout = sorted(range(ndim), key=lambda axis: -abs(strides[axis]))
    shape = block_shape(sections)
    empty = np.empty((len(joins), *(shape[axis] for axis in layout)), dtype)
    carry = empty.transpose(0, *(1 + layout.index(axis) for axis in range(ndim)))
    # infinities and overflow give what IEEE 754 says, and no warning
    with np.errstate(all="ignore"):
        _fill(carry, block, factors, lift, joins, layout, at_once)
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
    at_once: AtOnce | None,
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
            _fill(carry[_along(axis, ndim, slice(start, stop))], source, factors, lift, joins, layout, at_once)
        return
    if at_once is not None and (joined := at_once(block, factors)) is not None:
        carry[0, ...] = joined
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


def within(values: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hold means between the lowest and the highest of the values that they are made of, where rounding has led out.

    A sum of finite values beyond float64 says no more of their mean: it is taken to be midway between the two.
    """
    with np.errstate(all="ignore"):
        lost = ~np.isfinite(values) & np.isfinite(low) & np.isfinite(high)
        means = np.where(lost, low / 2 + high / 2, values)
        return np.where(means < low, low, np.where(means > high, high, means))


def carried(piece: NDArray[Any]) -> Iterable[NDArray[Any]]:
    """Take the components of a carry as they are."""
    return piece


def equal_blocks(
    block: NDArray[Any], sections: Sequence[Section]
) -> Iterator[tuple[tuple[Any, ...], list[NDArray[Any]], tuple[Section, ...]]]:
    """Yield tiles of blocks of one shape as the arrays of their first pixels, their second ones and so on.

    Yields
    ------
    target : tuple
        Where the tile lies in the result.
    pieces : list of numpy.ndarray
        In C order of their place within the block; each in the shape of the tile.
    sections : tuple of Section
        Those of the tile.
    """
    for target, source, parts in tiles(sections, CACHE_BYTES // block.itemsize, equal=True):
        pixels = block[source]
        # a block that is cut along an axis is the only one along it, and all that there is
        sizes = [min(part.factor, part.stop - part.start) for part in parts]
        pieces = [
            pixels[(..., *(slice(offset, None, size) for offset, size in zip(offsets, sizes, strict=True)))]
            for offsets in itertools.product(*map(range, sizes))
        ]
        yield target, pieces, parts
