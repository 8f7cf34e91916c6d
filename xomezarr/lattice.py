"""The nearest point of a lattice: which pixel lies nearest where rows and columns are not at right angles.

Rounding the indices of a position finds the cell that it lies in, which in sheared images is not that of the nearest
centre. Nor is the nearest pixel of an image that of the endless lattice, cut off at the edge.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["nearest", "shortening"]

type Floats = NDArray[np.float64]
type Integers = NDArray[np.int64]

AT_ONCE = 1 << 16
"""Points that are looked at together: enough to make up for the many small steps, and their arrays stay small."""

LOVASZ = 0.75
"""How much shorter a step must become for two to be exchanged; any fraction from 1/4 to 1 ends (Lenstra et al.)."""

MOST_EXCHANGES = 1000
"""More than any basis of a few dimensions takes whose steps float64 tells apart."""


def nearest(basis: Floats, points: Floats, sizes: Sequence[int]) -> NDArray[np.int64]:
    """Find the pixels whose centres are nearest to points.

    Parameters
    ----------
    basis
        Shape (m, n), of rank n: column j is the step from one pixel to the next along dimension j. Pixel 0 lies at 0.
    points
        Shape (k, m).
    sizes
        Pixels along each of the n dimensions.

    Returns
    -------
    numpy.ndarray
        Indices, shape (k, n): of all pixels no other is nearer. Of several, any one.

    Examples
    --------
    >>> sheared = np.array([[1.0, 3.0], [0.0, 1.0]])
    >>> nearest(sheared, np.array([[4.4, 1.4], [9.0, -5.0]]), (6, 3))
    array([[1, 1],
           [5, 1]])
    """
    unimodular, last = shortening(basis), np.asarray(sizes, np.int64) - 1
    parts = (points[first : first + AT_ONCE] for first in range(0, len(points), AT_ONCE))
    found = [_nearest(basis, unimodular, part, last) for part in parts]
    return np.concatenate(found) if found else np.empty((0, basis.shape[1]), np.int64)


def _nearest(basis: Floats, unimodular: Integers, points: Floats, last: Integers) -> Integers:
    """Look for the nearest of the endless lattice, and where that is no pixel, for the nearest pixel.

    Seen from x, the point of the image nearest to a position p, a pixel q is off by ``|q - x|² + 2 (x - p)·(q - x)``
    more than x. Neither is below zero: what an edge adds counts as what a step does.
    """
    short = basis @ unimodular
    everywhere = np.full(len(last), np.inf)
    centres = points @ np.linalg.pinv(short).T
    found = _closest(short, centres, -everywhere, everywhere, np.zeros_like(centres)) @ unimodular.T
    inside = _projected(basis, points, last)
    others = ((found < 0) | (found > last)).any(axis=1)
    foot = inside[others]
    slopes = 2 * (foot @ basis.T - points[others]) @ basis
    slopes = np.clip(slopes, np.where(foot >= last, -np.inf, 0), np.where(foot <= 0, np.inf, 0))
    found[others] = _closest(basis, foot, np.zeros(len(last)), last.astype(np.float64), slopes)
    # of equal distances that of the rounded indices counts
    rounded = np.round(inside)
    off, rounded_off = (np.linalg.norm(pixels @ basis.T - points, axis=1) for pixels in (found, rounded))
    return np.where((rounded_off <= off)[:, np.newaxis], rounded, found).astype(np.int64)


def shortening(basis: Floats) -> Integers:
    """Return what makes the steps of a basis short and nearly at right angles: Lenstra, Lenstra and Lovász, 1982.

    Returns
    -------
    numpy.ndarray
        Shape (n, n), of determinant 1 or -1: times the basis, it is another one of the same lattice.

    Examples
    --------
    >>> basis = np.array([[1000.0, 1001.0], [1.0, 1.0]])
    >>> abs(basis @ shortening(basis))
    array([[1., 0.],
           [0., 1.]])
    """
    made = np.eye(basis.shape[1], dtype=np.int64)
    column = 1
    for _ in range(MOST_EXCHANGES):
        if column >= len(made):
            break
        triangle = np.linalg.qr(basis @ made, mode="r")
        for row in reversed(range(column)):
            times = np.round(triangle[row, column] / triangle[row, row])
            triangle[:, column] -= times * triangle[:, row]
            made[:, column] -= int(times) * made[:, row]
        pair = [column - 1, column]
        if np.sum(triangle[pair, column] ** 2) >= LOVASZ * triangle[column - 1, column - 1] ** 2:
            column += 1
        else:
            made[:, pair] = made[:, pair[::-1]]
            column = max(column - 1, 1)
    return made


def _projected(basis: Floats, points: Floats, last: NDArray[np.int64]) -> Floats:
    """Return the fractional indices of what of the image, from its first centres to its last, is nearest to points.

    That lies on one of its faces, or within: on each, the foot of the perpendicular is looked at.
    """
    found = points @ np.linalg.pinv(basis).T
    outside = np.flatnonzero(((found < 0) | (found > last)).any(axis=1))
    if not outside.size:
        return found
    far, best = points[outside], np.full(outside.size, np.inf)
    for face in itertools.product((math.nan, 0.0, 1.0), repeat=len(last)):
        free = np.isnan(face)
        place = np.tile(np.where(free, 0.0, face) * last, (outside.size, 1))
        if free.any():
            foot = (far - place @ basis.T) @ np.linalg.pinv(basis[:, free]).T
            within = ((foot >= 0) & (foot <= last[free])).all(axis=1)
            place[:, free] = foot
        else:
            within = np.ones(outside.size, bool)
        distance = np.where(within, np.linalg.norm(place @ basis.T - far, axis=1), np.inf)
        nearer = distance < best
        best[nearer] = distance[nearer]
        found[outside[nearer]] = place[nearer]
    return found


def _closest(basis: Floats, centres: Floats, low: Floats, high: Floats, slopes: Floats) -> Floats:
    """Return the points of a lattice that are nearest to centres, all told by indices, within bounds.

    To the squared distance comes a slope along each dimension, which is nowhere below zero within the bounds.

    All centres are gone through together, each as Schnorr and Euchner (1994) do: the index of a dimension is chosen
    from the best on, then that of the next, until no choice that is left can be better than the best point so far.
    """
    order = _widest_last(basis)
    triangle = np.linalg.qr(basis[:, order], mode="r")
    weights, coupling = np.diag(triangle) ** 2, np.triu(triangle / np.diag(triangle)[:, np.newaxis], 1)
    centres, slopes, low, high = (one[..., order] for one in (centres, slopes, low, high))
    found, best = np.zeros_like(centres), np.full(len(centres), np.inf)
    which: Integers = np.arange(len(centres))
    level: Integers = np.full(len(centres), len(order) - 1)
    chosen, nth = np.zeros_like(centres), np.zeros_like(centres)
    spent: Floats = np.zeros((len(centres), len(order) + 1))
    while which.size:
        each = np.arange(len(which))
        middle = centres[which, level] - (coupling[level] * (chosen - centres[which])).sum(axis=1)
        slope, weight = slopes[which, level], weights[level]
        index, there = _in_turn(middle - slope / (2 * weight), low[level], high[level], nth[each, level])
        cost = spent[each, level + 1] + weight * (index - middle) ** 2 + slope * (index - centres[which, level])
        better = there & (cost < best[which])
        chosen[each[better], level[better]] = index[better]
        spent[each[better], level[better]] = cost[better]
        complete = better & (level == 0)
        best[which[complete]], found[which[complete]] = cost[complete], chosen[complete]
        # the choices that follow one that is complete, or too far, are farther
        deeper = better & (level > 0)
        level = np.where(deeper, level - 1, level + 1)
        on = level < len(order)
        nth[each[on], level[on]] = np.where(deeper[on], 0, nth[each[on], level[on]] + 1)
        which, level = which[on], level[on]
        chosen, nth, spent = chosen[on], nth[on], spent[on]
    result = np.empty_like(found)
    result[:, order] = found
    return result


def _in_turn(wanted: Floats, low: Floats, high: Floats, nth: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the nth of the integers within bounds, from the nearest to a number on, and whether there is one."""
    first = np.minimum(np.maximum(np.round(wanted), low), high)
    below, above = first - low, high - first
    pairs, side = np.minimum(below, above), np.where(wanted < first, -1, 1)
    to_and_fro = np.ceil(nth / 2) * np.where(nth % 2, side, -side)
    straight = (nth - pairs) * np.where(above > below, 1, -1)
    return first + np.where(nth <= 2 * pairs, to_and_fro, straight), nth <= below + above


def _widest_last(basis: Floats) -> list[int]:
    """Return the dimensions, last the one whose steps lead farthest from what the others span, and so on before it."""
    order: list[int] = []
    left = [*range(basis.shape[1])]
    while left:
        away = 1 / np.linalg.norm(np.linalg.pinv(basis[:, left]), axis=1)
        order.insert(0, left.pop(int(away.argmax())))
    return order
