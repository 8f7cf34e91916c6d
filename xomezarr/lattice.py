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

__all__ = ["nearest"]

type Floats = NDArray[np.float64]

SLACK = 1e-9
"""What rounding may add to a distance, as a fraction: no candidate is lost by it."""

AT_ONCE = 4096
"""Points that are looked at together: each has a few candidates, and their arrays stay small."""


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
    found = [_nearest(basis, points[first : first + AT_ONCE], sizes) for first in range(0, len(points), AT_ONCE)]
    return np.concatenate(found) if found else np.empty((0, basis.shape[1]), np.int64)


def _nearest(basis: Floats, points: Floats, sizes: Sequence[int]) -> NDArray[np.int64]:
    """Look through all pixels that may be nearest.

    Where x is the point of the image nearest to a position, and r the pixel to which x rounds, the nearest pixel lies
    no farther from x than r does: beyond the edges that x lies on, only pixels across the others come into question.
    """
    last = np.asarray(sizes) - 1
    inside = _projected(basis, points, last)
    rounded = np.round(inside)
    reach = np.linalg.norm((inside - rounded) @ basis.T, axis=1) * (1 + SLACK) + SLACK * np.abs(basis).max()
    which, candidates = _within(basis, inside, reach, last)
    which = np.concatenate([np.arange(len(points)), which])
    candidates = np.concatenate([rounded, candidates])
    distances = np.linalg.norm(candidates @ basis.T - points[which], axis=1)
    # of equal distances the first counts, which is the rounded one
    order = np.lexsort((distances, which))
    first = np.searchsorted(which[order], np.arange(len(points)))
    return candidates[order][first].astype(np.int64)


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


def _within(basis: Floats, centres: Floats, reach: Floats, last: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
    """Return all pixels no farther from their centre than the reach: of which centre each is, and its indices.

    The dimensions are gone through from the one with the longest steps on: what these leave of the reach bounds the
    next (Fincke and Pohst, 1985).
    """
    count = basis.shape[1]
    order = np.argsort(np.linalg.norm(basis, axis=0), kind="stable")
    triangle = np.linalg.qr(basis[:, order], mode="r")
    which = np.arange(len(centres))
    offsets = np.zeros((len(centres), count))  # from the centre, in the order of the triangle
    left = reach**2
    for row in reversed(range(count)):
        step = triangle[row, row]
        shift = offsets[:, row + 1 :] @ triangle[row, row + 1 :] / step
        centre, span = centres[which, order[row]] - shift, np.sqrt(np.maximum(left, 0)) / abs(step)
        low = np.maximum(np.ceil(centre - span), 0)
        high = np.minimum(np.floor(centre + span), last[order[row]])
        counts = np.maximum(high - low + 1, 0).astype(np.int64)
        parents = np.repeat(np.arange(len(which)), counts)
        nth = np.arange(len(parents)) - np.repeat(np.cumsum(counts) - counts, counts)
        index = low[parents] + nth
        which, offsets = which[parents], offsets[parents]
        offsets[:, row] = index - centres[which, order[row]]
        left = left[parents] - ((index - centre[parents]) * step) ** 2
    found = np.empty_like(offsets)
    found[:, order] = offsets
    return which, np.round(found + centres[which])
