"""Whether a coarser level shows the level before it elsewhere than `drift` looks: mirrored, turned or moved.

Windows of the finer level are looked for all over the coarser one, in each orientation, by the correlation of their
pixels. One is found where one place alone is like it; a level is turned or moved where most windows are found in one
orientation and at one distance from where they should be, which other images and other methods do not bring about.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xomezarr.drift import Piece

__all__ = ["Turn", "find", "unwritten"]

WIDTHS = {1: 96, 2: 24, 3: 10}
"""Pixels along each side of a window, by the number of dimensions: enough to be like nothing else."""

NARROWEST = 6
"""Pixels along each side of a window of a small level."""

WINDOWS = 8
"""Windows that are looked for, those with most contrast."""

LARGEST = 1 << 18
"""Pixels of a level in which windows are looked for: of a larger one means are taken first."""

LIKE = 0.7
"""Correlation from which on a window is found."""

ALONE = 0.1
"""By how much it must be more than at any other place."""

NEAR = 1.5
"""Pixels by which places of windows may differ from each other."""

LOST = 3
"""Windows of them that need not be found at one distance with the others, of which there are three at least."""

BLOCKS = 16
"""Blocks that are not constant themselves by which a level of zeros is judged, at least."""

OUTSIDE = 0.5
"""Part of these that must be all below or above it, for it to be no level of the image."""


@dataclass(frozen=True, slots=True)
class Turn:
    """How a level lies to the one before it.

    Parameters
    ----------
    order
        Of the finer level's dimensions, those that the coarser one has in their place.
    mirrored
        For each dimension of the coarser level, whether it runs the other way.
    moved
        For each of these, by how many pixels it lies behind where it would if it covered the finer one.
    """

    order: tuple[int, ...]
    mirrored: tuple[bool, ...]
    moved: tuple[float, ...]

    @property
    def is_upright(self) -> bool:
        """Whether the level is neither mirrored nor turned."""
        return self.order == tuple(range(len(self.order))) and not any(self.mirrored)


def find(pieces: Sequence[Piece], sizes: Sequence[tuple[int, int]], coarse: NDArray[np.generic]) -> Turn | None:
    """Look for a finer level all over a coarser one.

    Parameters
    ----------
    pieces
        Parts of the finer level; what they hold of the coarser one is not looked at.
    sizes
        For each dimension, the number of pixels of the finer and of the coarser level.
    coarse
        All of the coarser level.

    Returns
    -------
    Turn or None
        None if it is not found, or lies where it should.
    """
    factors = [max(round(fine / size), 1) for fine, size in sizes]
    more = max(math.ceil((coarse.size / LARGEST) ** (1 / coarse.ndim)), 1)
    steps = [more if size > more * NARROWEST else 1 for size in coarse.shape]
    image = _means(_numbers(coarse), steps)
    windows = list(_windows(pieces, [f * s for f, s in zip(factors, steps, strict=True)], sizes, image.shape))
    if len(windows) < 3:
        return None
    found = []
    searched = _Searched.of(image)
    for order, mirrored in _orientations(factors, image.ndim):
        turn = _most(windows, searched, order, mirrored)
        if turn is not None:
            count, moved = turn
            found.append(
                (count, Turn(order, mirrored, tuple(by * step for by, step in zip(moved, steps, strict=True))))
            )
    if not found or any(turn.is_upright and max(map(abs, turn.moved)) <= NEAR * more for _, turn in found):
        return None
    return max(found, key=lambda one: one[0])[1]


def unwritten(pieces: Sequence[Piece], sizes: Sequence[tuple[int, int]]) -> bool:
    """Whether a level is 0 all over where no mean of the finer pixels is, as chunks are that were never written."""
    factors = [max(round(fine / size), 1) for fine, size in sizes]
    if any(piece.coarse.any() for piece in pieces):
        return False
    beyond = total = 0
    for piece in pieces:
        blocks = _blocks(_numbers(piece.fine), factors)
        axes = tuple(range(1, blocks.ndim, 2))
        low, high = blocks.min(axes), blocks.max(axes)
        vary = low < high
        beyond += int(np.count_nonzero(vary & ((low > 0) | (high < 0))))
        total += int(np.count_nonzero(vary))
    return total >= BLOCKS and beyond > OUTSIDE * total


# --- windows ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Window:
    """Means of finer pixels, as large as those of the coarser level, and where they would begin in it."""

    values: NDArray[np.float64]
    start: tuple[float, ...]


def _windows(
    pieces: Sequence[Piece], factors: Sequence[int], sizes: Sequence[tuple[int, int]], shape: Sequence[int]
) -> Iterator[_Window]:
    """Yield the windows with most contrast, which do not overlap."""
    found = []
    for piece in pieces:
        means = _means(_numbers(piece.fine), factors)
        widths = [min(max(NARROWEST, min(WIDTHS[min(means.ndim, 3)], size // 3)), size) for size in means.shape]
        if min(widths) == 0:
            continue
        starts = [range(0, size - width + 1, width) for size, width in zip(means.shape, widths, strict=True)]
        for start in itertools.product(*starts):
            box = tuple(slice(begin, begin + width) for begin, width in zip(start, widths, strict=True))
            values = means[box]
            if np.isfinite(values).all() and values.std() > 0:
                placed = tuple(
                    ((begin + index * factor) / fine) * size
                    for begin, index, factor, (fine, _), size in zip(
                        piece.fine_start, start, factors, sizes, shape, strict=True
                    )
                )
                found.append(_Window(values, placed))
    yield from sorted(found, key=lambda one: -float(one.values.std()))[:WINDOWS]


def _numbers(values: NDArray[np.generic]) -> NDArray[np.float64]:
    found = np.array(values.real if values.dtype.kind == "c" else values, np.float64)
    found[~np.isfinite(found)] = np.nan
    return found


def _blocks(values: NDArray[np.float64], factors: Sequence[int]) -> NDArray[np.float64]:
    """Return whole blocks, of shape ``(n, factor, m, factor, …)``."""
    counts = [size // factor for size, factor in zip(values.shape, factors, strict=True)]
    whole = values[tuple(slice(0, n * factor) for n, factor in zip(counts, factors, strict=True))]
    return whole.reshape([one for pair in zip(counts, factors, strict=True) for one in pair])


def _means(values: NDArray[np.float64], factors: Sequence[int]) -> NDArray[np.float64]:
    return np.asarray(_blocks(values, factors).mean(tuple(range(1, 2 * values.ndim, 2))), np.float64)


def _orientations(factors: Sequence[int], ndim: int) -> Iterator[tuple[tuple[int, ...], tuple[bool, ...]]]:
    """Yield the orders in which two dimensions that shrink alike are exchanged, or none, with how each is mirrored."""
    for order in itertools.permutations(range(ndim)):
        alike = all(factors[axis] == factors[dim] for axis, dim in enumerate(order))
        if alike and sum(axis != dim for axis, dim in enumerate(order)) <= 2:
            for mirrored in itertools.product((False, True), repeat=ndim):
                yield order, mirrored


# --- likeness --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Searched:
    """A level in which windows are looked for: its pixels around zero, their transform, and how they spread in each."""

    pixels: NDArray[np.float64]
    transform: NDArray[np.complex128]
    spreads: dict[tuple[int, ...], NDArray[np.float64]]

    @classmethod
    def of(cls, pixels: NDArray[np.float64]) -> _Searched:
        around = np.nan_to_num(pixels - np.nanmean(pixels)) if np.isfinite(pixels).any() else np.zeros(pixels.shape)
        return cls(around, np.asarray(np.fft.rfftn(around), np.complex128), {})

    def like(self, window: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the correlation of a window with the pixels from each place on."""
        axes = tuple(range(window.ndim))
        template = window - window.mean()
        other = np.fft.rfftn(template, self.pixels.shape, axes)
        products = np.fft.irfftn(self.transform * other.conj(), self.pixels.shape, axes)
        inside = tuple(slice(0, size - width + 1) for size, width in zip(products.shape, window.shape, strict=True))
        spread = self.spreads.get(window.shape)
        if spread is None:
            sums, squares = (_sums(one, window.shape) for one in (self.pixels, np.square(self.pixels)))
            spread = self.spreads[window.shape] = np.sqrt(np.maximum(squares - sums**2 / window.size, 0))
        least = 1e-6 * float(self.pixels.std()) * math.sqrt(window.size)
        scaled = products[inside] / np.where(spread > least, spread * np.linalg.norm(template), np.inf)
        return np.asarray(scaled, np.float64)


def _sums(values: NDArray[np.float64], widths: Sequence[int]) -> NDArray[np.float64]:
    """Return the sums over a window from each place on."""
    for axis, width in enumerate(widths):
        total = np.insert(np.cumsum(values, axis), 0, 0, axis)
        ends = [np.take(total, range(first, first + values.shape[axis] - width + 1), axis) for first in (width, 0)]
        values = ends[0] - ends[1]
    return values


def _most(
    windows: Sequence[_Window], searched: _Searched, order: tuple[int, ...], mirrored: tuple[bool, ...]
) -> tuple[int, tuple[float, ...]] | None:
    """Return how many windows are found in an orientation at one distance, and that; None if they are too few."""
    size = searched.pixels.shape
    away: list[list[float]] = []
    for count, window in enumerate(windows):
        if count - len(away) > LOST:
            return None
        values = np.transpose(window.values, order)
        start = [window.start[dim] * size[axis] / size[dim] for axis, dim in enumerate(order)]
        for axis in [axis for axis, other in enumerate(mirrored) if other]:
            values = np.flip(values, axis)
            start[axis] = size[axis] - values.shape[axis] - start[axis]
        if all(width <= whole for width, whole in zip(values.shape, size, strict=True)):
            place = _alone(searched.like(values))
            if place is not None:
                away.append([at - begin for at, begin in zip(place, start, strict=True)])
    least = max(3, len(windows) - LOST)
    if len(away) < least:
        return None
    moved = np.median(away, axis=0)
    count = int(np.count_nonzero((np.abs(np.array(away) - moved) <= NEAR).all(axis=1)))
    return (count, tuple(map(float, moved))) if count >= least else None


def _alone(likeness: NDArray[np.float64]) -> tuple[int, ...] | None:
    """Return where a window is found; None if that is nowhere, or at several places."""
    place = tuple(int(one) for one in np.unravel_index(int(np.argmax(likeness)), likeness.shape))
    best = float(likeness[place])
    if best < LIKE:
        return None
    others = likeness.copy()
    others[tuple(slice(max(one - 2, 0), one + 3) for one in place)] = -1
    return place if float(others.max()) < best - ALONE else None
