"""``mode``: the most frequent value of each block, for labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xomezarr.downsample.blocks import equal_blocks
from xomezarr.downsample.method import Kernel, chained
from xomezarr.downsample.sections import Section, block_shape

__all__ = ["mode"]


PAIRS_PIXELS = 128
"""Pixels of a block up to which comparing all pairs, whole arrays at a time, beats sorting each block."""


def mode(dtype: np.dtype[Any], skipna: bool, pixels: int) -> Kernel:
    """Most frequent values of the pixels of the level above. NaN does not count; a block of NaN gives NaN.

    Of values that are equally frequent, that one wins whose pixel comes first when the block is read, in C order,
    from its preferred corner. Along each axis that is the last pixel for blocks of even index and the first one for
    those of odd index: of two blocks that the next level joins, the pixels where they meet. So no value wins by what
    it is, and no side by where it is; what the levels keep lies about the middle of the pixels that they cover; and a
    straight edge along an axis stays straight, as all blocks along it agree.
    """
    return chained(_modes, dtype)


def _modes(block: NDArray[Any], sections: Sequence[Section]) -> NDArray[Any]:
    level = np.empty(block_shape(sections), block.dtype)
    for target, pieces, parts in equal_blocks(block, sections):
        result = pieces[0].copy()
        mixed = np.zeros(result.shape, bool)
        for piece in pieces[1:]:
            mixed |= piece != pieces[0]
        if mixed.any():
            values = np.stack([piece[mixed] for piece in pieces])
            result[mixed] = _most_frequent(values, _preferences(parts), _corners(parts)[mixed])
        level[target] = result
    return level


def _most_frequent(values: NDArray[Any], preferences: NDArray[Any], corners: NDArray[np.intp]) -> NDArray[Any]:
    """Return the winner of each block.

    Parameters
    ----------
    values
        Shape ``(pixels in a block, blocks)``.
    preferences
        How early each pixel is read, by corner: shape ``(corners, pixels in a block)``; the first has the largest.
    corners
        Of each block.
    """
    size = len(values)
    # room for a count times the pixels of a block
    wide = np.min_scalar_type(size * (size + 1))
    counts = _counts_by_pairs(values) if size <= PAIRS_PIXELS else _counts_by_order(values)
    winners: NDArray[Any] = values[0].copy()
    best = np.zeros(winners.shape, wide)
    for index, value in enumerate(values):
        score = counts[index].astype(wide) * wide.type(size) + preferences[:, index].astype(wide)[corners]
        better = score >= best
        np.copyto(winners, value, where=better)
        np.copyto(best, score, where=better)
    return winners


def _counts_by_pairs(values: NDArray[Any]) -> NDArray[Any]:
    """Count for each pixel how many of its block have its value: every one is compared with every other."""
    size = len(values)
    counts: NDArray[Any] = np.zeros(values.shape, np.min_scalar_type(size))
    for index in range(size):
        # NaN is not even itself, and counts nothing
        same = values[index:] == values[index]
        counts[index:] += same
        counts[index] += same[1:].sum(axis=0, dtype=counts.dtype)
    return counts


def _counts_by_order(values: NDArray[Any]) -> NDArray[Any]:
    """Count the same in another way, whose time does not grow with the square of a block's pixels."""
    order = values.argsort(axis=0, kind="stable")
    ranked = np.take_along_axis(values, order, axis=0)
    runs = (ranked == ranked).astype(np.intp)
    for index in range(1, len(runs)):
        runs[index] += np.where(ranked[index] == ranked[index - 1], runs[index - 1], 0)
    for index in range(len(runs) - 1, 0, -1):
        np.copyto(runs[index - 1], runs[index], where=ranked[index] == ranked[index - 1])
    counts: NDArray[Any] = np.empty_like(runs)
    np.put_along_axis(counts, order, runs, axis=0)
    return counts


def _preferences(sections: Sequence[Section]) -> NDArray[np.int64]:
    """Return how early each pixel of a block is read, by corner."""
    sizes = [min(section.factor, section.stop - section.start) for section in sections]
    order = np.arange(math.prod(sizes))[::-1].reshape(sizes)
    corners = product(*[(1, -1)] * len(sizes))
    return np.stack([order[tuple(slice(None, None, step) for step in corner)].ravel() for corner in corners])


def _corners(sections: Sequence[Section]) -> NDArray[np.intp]:
    """Return the number of the corner that each block prefers: by axis, 1 for its last pixel and 0 for its first."""
    corner = np.zeros((), np.intp)
    for section in sections:
        odd = (section.first_block + np.arange(section.count)) & 1
        corner = np.add.outer(2 * corner, 1 - odd)
    return corner
