"""Where the pixels of a coarser level really lie, told by the pixels alone.

A level is made of the one before it by a kernel: each of its pixels is a mean of finer ones with certain weights, as
of a block, of a single pixel or of a bell. The kernel is found by least squares, and where its centre of mass lies is
where the pixel lies, whatever its form. This is done in windows that are spread over the image: an offset that grows
from one window to the next is a factor.

Methods that are no means (`min`, `max`, `median`, `mode`) move edges by the side on which they are bright. What one of
them explains exactly at the stated place is not held against that place.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["NOTABLE", "STILL", "TOO_FEW", "UNEXPLAINED", "Measured", "Piece", "Relation", "measure"]

MARGIN = 2
"""Pixels of the finer level beyond a block, on each side, that the kernel may have weights for."""

NOTABLE = 0.25
"""Displacement from which on one is told, in pixels of the finer level."""

WIDEST = {1: 64, 2: 16, 3: 10}
"""Pixels of the coarser level along each side of a window, by the number of dimensions: enough to find a kernel."""

NARROWEST = 4
"""Pixels along each side of a window of a small level."""

PLANES = 5
"""Planes of a coarser stack up to which kernels have no margin along them."""

MOST_ALONG = {1: 9, 2: 5, 3: 3}
"""Windows along each dimension of a level that is looked at as a whole, by the number of dimensions."""

SEARCHED = 6
"""How far around the expected place a window is looked for that is not there, in pixels of the finer level."""

PRIOR = 0.5
"""How far weights of a kernel may be from those of a plain mean, as one standard deviation, where no pixel tells."""

EXPLAINED = 0.8
"""Part of the variance of a window that its kernel must explain to be believed."""

FEW_STRAYS = 0.2
"""Part of the pixels of a window that may be strays."""

CERTAIN = 0.06
"""Standard deviation of a measured place, in pixels of the finer level, up to which it is believed."""

PIXELS_PER_WEIGHT = 3
"""Pixels, in a window, that a kernel needs for each of its weights: fewer are explained by a wrong one as well."""

ROWS_PER_WEIGHT = 6
"""Unlike places for each weight along one dimension."""

ROUNDS = 12
"""Rounds in which the kernels of all dimensions are fitted one after the other; most need three."""

MADE_BY = 0.995
"""Part of the pixels that a statistic of blocks must give for a level to be made by it."""

CLEARLY = 0.4
"""Part of what is left at the expected place that another factor may leave at most."""

BETTER = 2.0
"""How many times less the found kernels must leave unexplained than even ones at the stated place."""

TOO_FEW = "its pixels are constant, or too few"
UNEXPLAINED = "its pixels are no means of those of the level before"
VAGUE = "its pixels tell no place: they have too little structure, or repeat themselves"
EXTREMES = "the minimum, maximum, median or mode of blocks where the metadata have them gives the same pixels"
AMBIGUOUS = "other methods would give much the same pixels where the metadata have them"


@dataclass(frozen=True, slots=True)
class Relation:
    """Along one dimension, pixel ``j`` of a level lies at ``offset + scale * j`` in pixels of the level before.

    `still` is said of a dimension of which nothing else is thought of: that has the same pixels in both levels.
    """

    scale: float
    offset: float
    still: bool = False

    def at(self, index: float) -> float:
        """Return the place of a pixel."""
        return self.offset + self.scale * index

    def after(self, before: Relation) -> Relation:
        """Return the relation to the level before the one before."""
        return Relation(before.scale * self.scale, before.at(self.offset))


STILL = Relation(1.0, 0.0, still=True)
"""Of a dimension that does not shrink."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of two levels that lies at about the same place.

    Parameters
    ----------
    fine, coarse
        Pixels of each, of the same number of dimensions.
    fine_start, coarse_start
        Index of their first pixels.
    """

    fine: NDArray[np.generic]
    coarse: NDArray[np.generic]
    fine_start: tuple[int, ...]
    coarse_start: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """What pixels tell of one dimension.

    Parameters
    ----------
    relation
        Where the pixels really lie; None if that cannot be told.
    sigma_scale, sigma_offset
        Standard deviations of both, `sigma_offset` that of pixel 0, in pixels of the finer level.
    reason
        Why it cannot be told.
    """

    relation: Relation | None
    sigma_scale: float = math.inf
    sigma_offset: float = math.inf
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Window:
    """The pixels of a window, and the finer ones around the place of each, dimension by dimension.

    `values` has the shape ``(n, m, …)``, `around` ``(n, m, …, k, l, …)``; `index` holds the indices of the pixels,
    `offsets` those of the finer ones from the place.
    """

    values: NDArray[np.float64]
    around: NDArray[np.float64]
    index: tuple[NDArray[np.intp], ...]
    offsets: tuple[NDArray[np.float64], ...]

    @property
    def centre(self) -> tuple[float, ...]:
        return tuple(float(index.mean()) for index in self.index)


@dataclass(frozen=True, slots=True)
class _Fit:
    """A kernel: for each dimension the centre of mass from the expected place, and its standard deviation."""

    displaced: tuple[float, ...]
    sigma: tuple[float, ...]
    left: float
    variance: float
    centre: tuple[float, ...]

    @property
    def explained(self) -> float:
        return 1 - self.left / self.variance


@dataclass(frozen=True, slots=True)
class _Even:
    """A piece whose numbers are around zero and of about one; NaN where there are none.

    `noise` is the variance that rounding alone gives, `step` the smallest difference that is not rounding.
    """

    piece: Piece
    fine: NDArray[np.float64]
    coarse: NDArray[np.float64]
    noise: float
    step: float


type Box = tuple[slice, ...]


def measure(
    pieces: Sequence[Piece],
    stated: Sequence[Relation],
    sizes: Sequence[tuple[int, int]],
    *,
    labels: bool = False,
) -> tuple[Measured, ...]:
    """Find where the pixels of a level lie in the level before it.

    Parameters
    ----------
    pieces
        Parts of both levels, by which they are judged.
    stated
        For each dimension, what the metadata say; `STILL` for one that does not shrink, which is not measured.
    sizes
        For each dimension, the number of pixels of the finer and of the coarser level.
    labels
        Whether values are names, of which none is larger than another.

    Returns
    -------
    tuple of Measured
        For each dimension.
    """
    even = [_even(piece, labels) for piece in pieces]
    windows = [(one, box) for one in even if one is not None for box in _boxes(one, len(even), stated)]
    if not windows:
        return tuple(Measured(None, reason=TOO_FEW) for _ in stated)
    expected = _best(windows, stated, sizes)
    fits, found = _measured(windows, expected)
    closer = [_closest(*one) for one in zip(found, expected, stated, sizes, strict=True)]
    if closer != expected:  # the windows themselves tell another of the factors
        fits, found = _measured(windows, closer)
    differing = [_differs(*one) for one in zip(found, stated, sizes, strict=True)]
    if any(differing) and (doubt := _doubt(windows, fits, stated, labels)):
        found = [Measured(None, reason=doubt) if far else one for one, far in zip(found, differing, strict=True)]
    return tuple(found)


def _measured(
    windows: Sequence[tuple[_Even, Box]], expected: Sequence[Relation]
) -> tuple[list[_Fit | None], list[Measured]]:
    """Fit kernels about the expected places, and say what the windows tell together of each dimension."""
    fits = [_fit_near(one, box, expected) for one, box in windows]
    usable = [fit for fit in fits if fit is not None]
    return fits, [_line(usable, dim, relation) for dim, relation in enumerate(expected)]


def _closest(found: Measured, expected: Relation, stated: Relation, sizes: tuple[int, int]) -> Relation:
    """Return that of the likely relations whose factor was measured, to within a pixel; the expected one if none was.

    Of several the last counts: they are whole numbers, after the ratio of the sizes.
    """
    if found.relation is None or abs(found.relation.scale - expected.scale) * sizes[1] < NOTABLE:
        return expected
    factor = found.relation.scale
    near = [one for one in _candidates(stated, sizes) if abs(one.scale - factor) * sizes[1] < 1]
    return near[-1] if near else expected


def _differs(found: Measured, stated: Relation, sizes: tuple[int, int]) -> bool:
    relation = found.relation
    return relation is not None and any(
        abs(relation.at(index) - stated.at(index)) > NOTABLE / 2 for index in (0, sizes[1] - 1)
    )


# --- windows ---------------------------------------------------------------------------------------------------------


def _even(piece: Piece, labels: bool) -> _Even | None:
    """Return a piece in numbers of about one; None if the finer pixels are constant.

    Labels get random numbers, each value its own: so each edge counts alike.
    """
    fine, coarse = (_named(one) if labels else _real(one) for one in (piece.fine, piece.coarse))
    known = fine[np.isfinite(fine)]
    if known.size == 0 or (spread := float(known.std())) == 0 or not math.isfinite(spread):
        return None
    middle = float(np.median(known))
    step = (1e-9 if labels else _rounding(piece.coarse.dtype, float(np.abs(known).max()))) / spread
    return _Even(piece, (fine - middle) / spread, (coarse - middle) / spread, max(step**2 / 12, 1e-9), step)


def _rounding(dtype: np.dtype[np.generic], largest: float) -> float:
    """Return the step between values that are as large, of floats a few of them."""
    return 1.0 if dtype.kind in "iub" else 8 * float(np.finfo(dtype.type(0).real.dtype).eps) * largest


def _real(values: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return numbers in float64, of complex ones the real part; what is not finite as NaN."""
    found = np.array(values.real if values.dtype.kind == "c" else values, np.float64)
    found[~np.isfinite(found)] = np.nan
    return found


def _named(values: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return for each value a number between 0 and 1 that is always the same and tells nothing of the value."""
    mixed = np.asarray(values).astype(np.int64).astype(np.uint64)
    for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):  # the finaliser of splitmix64
        mixed = (mixed ^ (mixed >> np.uint64(30)) ^ np.uint64(0x9E3779B97F4A7C15)) * np.uint64(factor)
    return (mixed >> np.uint64(11)).astype(np.float64) / 2**53


def _boxes(one: _Even, pieces: int, stated: Sequence[Relation]) -> Iterator[Box]:
    """Yield boxes of the coarser pixels, spread over a piece, which overlap where there is little room."""
    along = []
    shape = one.coarse.shape
    most = MOST_ALONG[min(len(shape), 3)] if pieces == 1 else 2
    for size in shape:
        width = min(size, max(NARROWEST, min(WIDEST[min(len(shape), 3)], size // 3)))
        count = min(most, max(1, 2 * size // width - 1))
        starts = np.unique(np.linspace(0, size - width, count).astype(int))
        along.append([slice(int(start), int(start) + width) for start in starts])
    for box in itertools.product(*along):
        values = one.coarse[box]
        known = values[np.isfinite(values)]
        if known.size >= values.size // 2 and known.size and float(known.var()) > one.noise:
            yield box


def _window(one: _Even, box: Box, relations: Sequence[Relation], taps: Sequence[int]) -> _Window | None:
    """Take a window with the finer pixels around it; None if too little of it lies where finer ones are."""
    around, kept = one.fine, []
    for dim, (part, relation, count) in enumerate(zip(box, relations, taps, strict=True)):
        index = np.arange(part.start, part.stop)
        first = relation.offset + relation.scale * (index + one.piece.coarse_start[dim]) - (count - 1) / 2
        first = first - one.piece.fine_start[dim]
        base = np.floor(first + 1e-6).astype(int)
        between = np.where(np.abs(first - base) < 2e-6, 0.0, first - base)
        size = one.fine.shape[dim]
        inside = (base >= 0) & (base + count - (between == 0) < size)
        if inside.sum() < min(3, part.stop - part.start):
            return None
        kept.append(index[inside])
        around = _interpolated(around, 2 * dim, base[inside], between[inside], count)
    ndim = len(kept)
    around = np.moveaxis(around, range(1, 2 * ndim, 2), range(ndim, 2 * ndim))
    indices = tuple(part + start for part, start in zip(kept, one.piece.coarse_start, strict=True))
    offsets = tuple(np.arange(count, dtype=np.float64) - (count - 1) / 2 for count in taps)
    return _Window(one.coarse[np.ix_(*kept)], around, indices, offsets)


def _interpolated(
    values: NDArray[np.float64], axis: int, base: NDArray[np.intp], between: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """Take `count` neighbours from each of some places on along an axis, which becomes two."""
    index = base[:, None] + np.arange(count)
    shape = (*values.shape[:axis], *index.shape, *values.shape[axis + 1 :])
    taken = np.take(values, index.ravel(), axis).reshape(shape)
    if not between.any():
        return taken
    beyond = np.take(values, np.minimum(index + 1, values.shape[axis] - 1).ravel(), axis).reshape(shape)
    part = between.reshape((-1,) + (1,) * (values.ndim - axis))
    return np.where(part == 0, taken, (1 - part) * taken + part * beyond)


# --- kernels ---------------------------------------------------------------------------------------------------------


def _taps(one: _Even, relations: Sequence[Relation], dim: int) -> int:
    """Return for how many finer pixels a kernel has weights: so many that they lie where pixels do.

    Of a stack of few planes, a margin would leave none.
    """
    relation = relations[dim]
    if relation.still:
        return 1
    halfway = abs(relation.offset % 1 - 0.5) < 0.25
    shape = one.piece.coarse.shape
    few = len(shape) == 3 and NARROWEST <= shape[dim] <= PLANES < sorted(shape)[1]
    count = max(round(relation.scale), 1) + (0 if few else 2 * MARGIN)
    return count + int(halfway == bool(count % 2))


def _fit_at(one: _Even, box: Box, relations: Sequence[Relation], *, even: bool = False) -> _Fit | None:
    """Find the kernel of a window about the expected place; with `even`, one that is the same on both sides of it."""
    window = _window(one, box, relations, [_taps(one, relations, dim) for dim in range(len(relations))])
    if window is None:
        return None
    ndim = window.values.ndim
    axes = tuple(range(ndim, 2 * ndim))
    # where the finer pixels do not differ (or are NaN) any kernel gives the same
    rows = np.isfinite(window.values) & (np.ptp(window.around, axis=axes) > 1e-3 * math.sqrt(one.noise))
    target, around = window.values[rows], window.around[rows]
    free = sum(len(offsets) - 1 for offsets in window.offsets)
    if target.size < PIXELS_PER_WEIGHT * max(free, 1) or float(target.var()) <= one.noise:
        return None
    start = [_mean(relation.scale, offsets) for relation, offsets in zip(relations, window.offsets, strict=True)]
    bases = [_directions(len(weights), even) for weights in start]
    kernel = _kernel(around, target, start, bases, one.noise)
    if kernel.explained(target) < EXPLAINED:
        kept = _without_strays(kernel.left, one.noise)
        if float(target[kept].var()) > one.noise:
            around, target = around[kept], target[kept]
            kernel = _kernel(around, target, start, bases, one.noise)
    changes = [_contracted(around, kernel.weights, dim) @ basis for dim, basis in enumerate(bases)]
    unlike = _unlike(changes, one.noise)
    if unlike < max(ROWS_PER_WEIGHT * max(basis.shape[1] for basis in bases), 1):
        return None
    moments = [u @ basis for u, basis in zip(window.offsets, bases, strict=True)]
    return _Fit(
        tuple(float(weights @ u) for weights, u in zip(kernel.weights, window.offsets, strict=True)),
        _sigmas(changes, moments, kernel.noise * target.size / unlike),
        float(np.square(kernel.left).sum()) + 1e-6 * one.noise * target.size,
        float(target.var()) * target.size,
        window.centre,
    )


@dataclass(frozen=True, slots=True)
class _Kernel:
    """Weights along each dimension, what they leave of the pixels, and the variance of that for each pixel."""

    weights: Sequence[NDArray[np.float64]]
    left: NDArray[np.float64]
    noise: float

    def explained(self, target: NDArray[np.float64]) -> float:
        return 1 - float(np.square(self.left).mean()) / max(float(target.var()), 1e-300)


def _kernel(
    around: NDArray[np.float64],
    target: NDArray[np.float64],
    start: Sequence[NDArray[np.float64]],
    bases: Sequence[NDArray[np.float64]],
    floor: float,
) -> _Kernel:
    """Fit the weights along each dimension, one after the other, until they leave no less.

    Parameters
    ----------
    around
        Finer pixels of each pixel, shape ``(n, k, l, …)``.
    target
        The pixels, shape ``(n,)``.
    start
        Weights to begin with, which are those where pixels tell nothing.
    bases
        In which directions they may change.
    floor
        Least variance of what is left.
    """
    weights = list(start)
    free = max(target.size - sum(basis.shape[1] for basis in bases), 1)
    noise, before, left = 1.0, math.inf, target
    for _ in range(ROUNDS):
        for dim, basis in enumerate(bases):
            given = _contracted(around, weights, dim)
            weights[dim] = _solved(given, target, start[dim], basis, noise)
            left = target - given @ weights[dim]
            noise = max(float(np.square(left).sum()) / free, floor)
        if noise > 0.999 * before:
            break
        before = noise
    return _Kernel(weights, left, noise)


def _unlike(changes: Sequence[NDArray[np.float64]], noise: float) -> int:
    """Return how many places are unlike each other: along stripes and edges the same few rows come again and again."""
    step = max(math.sqrt(noise), 1e-3)
    rows = [len(np.unique(np.round(one / step + 0.1234), axis=0)) for one in changes if one.shape[1]]
    return min(rows, default=0)


def _sigmas(
    changes: Sequence[NDArray[np.float64]], moments: Sequence[NDArray[np.float64]], noise: float
) -> tuple[float, ...]:
    """Return how well the centre of mass along each dimension is known, where those along the others are not either.

    Along a slope, say, a displacement along one dimension looks as one along the other.

    Parameters
    ----------
    changes
        For each dimension, by how much each weight changes each pixel.
    moments
        By how much it changes the centre of mass.
    noise
        Variance of each pixel.
    """
    reduced = np.concatenate(changes, axis=1)
    covariance = np.linalg.inv(reduced.T @ reduced / noise + np.eye(reduced.shape[1]) / PRIOR**2)
    result, first = [], 0
    for moment in moments:
        part = covariance[first : first + len(moment), first : first + len(moment)]
        result.append(math.sqrt(max(float(moment @ part @ moment), 0.0)))
        first += len(moment)
    return tuple(result)


def _without_strays(left: NDArray[np.float64], noise: float) -> NDArray[np.bool_]:
    """Leave pixels out that have nothing to do with those around them, such as seams; none where they are too many."""
    far = np.abs(left) > 6 * max(float(np.median(np.abs(left))), math.sqrt(noise))
    return ~far if far.mean() <= FEW_STRAYS else np.ones(len(left), bool)


def _mean(scale: float, offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights of a plain mean over a block."""
    weights = np.clip((scale + 1) / 2 - np.abs(offsets), 0, 1)
    return weights / weights.sum() if weights.sum() else np.full(len(offsets), 1 / len(offsets))


def _directions(count: int, even: bool) -> NDArray[np.float64]:
    """Return an orthonormal basis of changes to the weights that leave their sum as it is, shape (count, …)."""
    changes = np.eye(count) + (np.eye(count)[::-1] if even else 0) - (2 if even else 1) / count
    left, size, _ = np.linalg.svd(changes)
    return np.asarray(left[:, size > 1e-9], np.float64)


def _contracted(around: NDArray[np.float64], weights: Sequence[NDArray[np.float64]], dim: int) -> NDArray[np.float64]:
    """Apply the kernels of all dimensions but one; shape (pixels, weights of that one)."""
    result = np.moveaxis(around, dim + 1, 1)
    for other in reversed([w for index, w in enumerate(weights) if index != dim]):
        result = result @ other
    return result


def _solved(
    given: NDArray[np.float64],
    target: NDArray[np.float64],
    start: NDArray[np.float64],
    basis: NDArray[np.float64],
    noise: float,
) -> NDArray[np.float64]:
    """Return the likeliest weights, whose sum is one."""
    reduced = given @ basis
    precision = reduced.T @ reduced / noise + np.eye(basis.shape[1]) / PRIOR**2
    change = np.linalg.solve(precision, reduced.T @ (target - given @ start) / noise)
    return np.asarray(start + basis @ change, np.float64)


# --- places ----------------------------------------------------------------------------------------------------------


def _moved(relations: Sequence[Relation], by: Sequence[float]) -> list[Relation]:
    return [
        one if one.still else replace(one, offset=one.offset + step) for one, step in zip(relations, by, strict=True)
    ]


def _fit_near(one: _Even, box: Box, expected: Sequence[Relation]) -> _Fit | None:
    """Find the kernel of a window, looking around the expected place where it is not there."""
    fit = _fit_at(one, box, expected)
    shift = [0.0] * len(expected)
    if fit is not None and fit.explained < EXPLAINED and (found := _search(one, box, expected)) is not None:
        other = _fit_at(one, box, _moved(expected, found))
        if other is not None and other.left / other.variance < fit.left / fit.variance:
            fit, shift = other, found
    if fit is not None and max(map(abs, fit.displaced)) > MARGIN / 2:
        closer = [before + round(by) for before, by in zip(shift, fit.displaced, strict=True)]
        other = _fit_at(one, box, _moved(expected, closer))
        if other is not None and other.left / other.variance <= fit.left / fit.variance:
            fit, shift = other, closer
    if fit is None:
        return None
    return replace(fit, displaced=tuple(a + b for a, b in zip(shift, fit.displaced, strict=True)))


def _search(one: _Even, box: Box, expected: Sequence[Relation]) -> list[float] | None:
    """Find by how many whole pixels a window is displaced: where means of blocks are most like it."""
    fine = np.nan_to_num(one.fine)
    placed = list(expected)
    for dim, relation in enumerate(expected):
        if (width := max(round(relation.scale), 1)) > 1:
            fine = _running_mean(fine, dim, width)
            placed[dim] = replace(relation, offset=relation.offset - (width - 1) / 2)
    taps = [1 if relation.still else 2 * SEARCHED + 1 for relation in expected]
    window = _window(replace(one, fine=fine), box, placed, taps)
    if window is None:
        return None
    around = window.around.reshape(window.values.size, -1)
    values = np.nan_to_num(window.values).ravel()
    values = values - values.mean()
    around = around - around.mean(axis=0)
    norms = np.sqrt(np.square(around).sum(axis=0))
    likeness = np.where(norms > 1e-6, values @ around / np.where(norms > 1e-6, norms, 1), -1.0)
    best = np.unravel_index(int(np.argmax(likeness)), taps)
    return [float(index - count // 2) for index, count in zip(best, taps, strict=True)]


def _running_mean(values: NDArray[np.float64], axis: int, width: int) -> NDArray[np.float64]:
    """Return the means of `width` neighbours, of which the first is at the index."""
    sums = np.cumsum(np.insert(values, 0, 0, axis), axis)
    length = values.shape[axis] + 1
    ends = np.take(sums, range(width, length), axis) - np.take(sums, range(length - width), axis)
    return np.asarray(ends / width, np.float64)


def _best(
    windows: Sequence[tuple[_Even, Box]], stated: Sequence[Relation], sizes: Sequence[tuple[int, int]]
) -> list[Relation]:
    """Choose for each dimension the factor by which the pixels are explained best; what is stated, if it is as good."""
    some = windows[:: max(1, len(windows) // 9)]
    candidates = [_candidates(*pair) for pair in zip(stated, sizes, strict=True)]
    best, fits = list(stated), [_fit_at(one, box, stated) for one, box in some]
    most = max(map(len, candidates))
    trials = [[one[min(index, len(one) - 1)] for one in candidates] for index in range(1, most)]
    for trial in trials:
        others = [_fit_at(one, box, trial) for one, box in some]
        if _explain_more(others, fits):
            best, fits = trial, others
    for dim, choices in enumerate(candidates):
        for choice in choices:
            trial = [choice if index == dim else one for index, one in enumerate(best)]
            others = [_fit_at(one, box, trial) for one, box in some] if choice != best[dim] else fits
            if _explain_more(others, fits):
                best, fits = trial, others
    # what was better along one dimension may have brought another along
    for dim, choices in enumerate(candidates):
        for choice in _simplest_first(choices, stated[dim]):
            if choice == best[dim]:
                break
            trial = [choice if index == dim else one for index, one in enumerate(best)]
            others = [_fit_at(one, box, trial) for one, box in some]
            if 2 * sum(one is not None for one in others) > len(some) and not _explain_more(fits, others):
                best, fits = trial, others
                break
    return best


def _simplest_first(choices: Sequence[Relation], stated: Relation) -> list[Relation]:
    """Return relations in the order of trust: what is stated, whole factors, ratios of sizes."""
    return sorted(choices, key=lambda one: (one != stated, one.scale != round(one.scale)))


def _explain_more(others: Sequence[_Fit | None], fits: Sequence[_Fit | None]) -> bool:
    """Whether kernels at other places leave clearly less, in the windows in which both are found."""
    both = [(other, fit) for other, fit in zip(others, fits, strict=True) if other is not None and fit is not None]
    left, before = (sum(min(pair[index].left / pair[index].variance, 1) for pair in both) for index in (0, 1))
    return left < CLEARLY * before


def _candidates(stated: Relation, sizes: tuple[int, int]) -> list[Relation]:
    """Return what the relation may be: what is stated, else blocks that begin at the first pixel."""
    if stated.still:
        return [stated]
    ratio = sizes[0] / sizes[1]
    factors = [ratio, round(ratio), math.floor(ratio), math.ceil(ratio), round(stated.scale)]
    covering = [Relation(float(factor), (factor - 1) / 2) for factor in factors if factor >= 1]
    return list(dict.fromkeys([stated, *covering]))


# --- what the windows say together -----------------------------------------------------------------------------------


def _line(fits: Sequence[_Fit], dim: int, expected: Relation) -> Measured:
    """Join what the windows say of one dimension: offsets that lie along a line, whose slope changes the factor."""
    if expected.still:
        return Measured(expected, 0.0, 0.0)
    explained = [fit for fit in fits if fit.explained >= EXPLAINED]
    if len(explained) < max(2, len(fits) // 4):
        return Measured(None, reason=(VAGUE if len(explained) == len(fits) else UNEXPLAINED) if fits else TOO_FEW)
    # what no pixel of a window tells, those of others like it do not tell either: means make it no better
    good = [fit for fit in explained if fit.sigma[dim] < 2 * CERTAIN]
    if len(good) < max(2, len(explained) // 4):
        return Measured(None, reason=VAGUE)
    index = np.array([fit.centre[dim] for fit in good])
    offsets = np.array([fit.displaced[dim] for fit in good])
    sigmas = np.maximum([fit.sigma[dim] for fit in good], 1e-3)
    sloped = len(np.unique(index)) > 2
    (offset, slope), spread = _robust_line(index, offsets, sigmas, sloped)
    if abs(slope) < max(4 * math.sqrt(spread[1, 1]), CERTAIN / float(np.ptp(index) or 1)):  # the factor is as expected
        (offset, slope), spread = _robust_line(index, offsets, sigmas, False)
    middle = float(index.mean())
    at_middle = math.sqrt(spread[0, 0] + 2 * middle * spread[0, 1] + middle**2 * spread[1, 1])
    if at_middle > CERTAIN:
        return Measured(None, reason=VAGUE)
    relation = _plain(Relation(expected.scale + slope, expected.offset + offset), at_middle)
    return Measured(relation, math.sqrt(spread[1, 1]), math.sqrt(spread[0, 0]))


def _plain(relation: Relation, sigma: float) -> Relation:
    """Return where blocks of whole pixels, or samples of them, lie, if that is what was measured."""
    nearest = round(2 * relation.offset) / 2
    near = abs(relation.offset - nearest) < min(max(3 * sigma, 0.01), CERTAIN)
    return replace(relation, offset=nearest) if near and relation.scale == round(relation.scale) else relation


def _robust_line(
    index: NDArray[np.float64], offsets: NDArray[np.float64], sigmas: NDArray[np.float64], sloped: bool
) -> tuple[tuple[float, float], NDArray[np.float64]]:
    """Fit a line of which far points count less; return offset and slope, and their covariance."""
    columns = np.stack([np.ones_like(index), index], axis=1)[:, : 1 + sloped]
    line = np.array([np.median(offsets), 0.0])[: 1 + sloped]
    weights, covariance = 1 / sigmas**2, np.eye(1 + sloped)
    for _ in range(20):
        left = offsets - columns @ line
        scale = max(1.5 * float(np.median(np.abs(left))), 0.01)
        total = sigmas**2 + scale**2
        weights = np.where(np.square(left) < 16 * total, 1 / total, 1e-9)
        covariance = np.linalg.pinv(columns.T * weights @ columns)
        line = covariance @ (columns.T @ (weights * offsets))
    whole = np.zeros((2, 2))
    whole[: 1 + sloped, : 1 + sloped] = covariance
    return (float(line[0]), float(line[1]) if sloped else 0.0), whole


def _doubt(
    windows: Sequence[tuple[_Even, Box]], fits: Sequence[_Fit | None], stated: Sequence[Relation], labels: bool
) -> str:
    """Return why the pixels may lie where they are stated to lie after all; empty if nothing speaks for it."""
    raw = {id(one): _even(one.piece, False) for one, _ in windows} if labels else {}
    plain = [(raw.get(id(one), one), box) for one, box in windows]
    if _is_block_statistic([(one, box) for one, box in plain if one is not None], stated):
        return EXTREMES
    left = even = 0.0
    for (one, box), fit in zip(windows, fits, strict=True):
        other = _fit_at(one, box, stated, even=True) if fit is not None and fit.explained >= EXPLAINED else None
        if fit is not None and other is not None:
            left += fit.left / fit.variance
            even += other.left / other.variance
    return AMBIGUOUS if 0 < even <= BETTER * left else ""


def _is_block_statistic(windows: Sequence[tuple[_Even, Box]], stated: Sequence[Relation]) -> bool:
    """Whether the minimum, maximum, median or mode of the blocks at the stated places gives the level."""
    factors = [round(relation.scale) for relation in stated]
    for relation, factor in zip(stated, factors, strict=True):
        start = relation.offset - (factor - 1) / 2
        if factor < 1 or abs(relation.scale - factor) > 1e-6 or abs(start - round(start)) > 1e-6:
            return False
    blocks = [_blocks(one, box, stated, factors) for one, box in windows]
    taken = [one for one in blocks if one is not None]
    return bool(taken) and any(
        sum(int(statistic(one).sum()) for one in taken) >= MADE_BY * sum(one.values.size for one in taken)
        for statistic in (_is_minimum, _is_maximum, _is_median, _is_mode)
    )


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Pixels, shape ``(n,)``, with the finer ones of the block of each, ``(n, pixels)``, as `mode` prefers them."""

    values: NDArray[np.float64]
    pixels: NDArray[np.float64]
    step: float


def _blocks(one: _Even, box: Box, stated: Sequence[Relation], factors: Sequence[int]) -> _Blocks | None:
    window = _window(one, box, stated, factors)
    if window is None:
        return None
    ndim, pixels = window.values.ndim, window.around
    for dim, index in enumerate(window.index):
        even = (index % 2 == 0).reshape([-1 if axis == dim else 1 for axis in range(2 * ndim)])
        pixels = np.where(even, np.flip(pixels, ndim + dim), pixels)
    pixels = pixels.reshape(window.values.size, -1)
    known = np.isfinite(window.values.ravel()) & np.isfinite(pixels).all(axis=1)
    return _Blocks(window.values.ravel()[known], pixels[known], one.step)


def _is_minimum(blocks: _Blocks) -> NDArray[np.bool_]:
    return np.asarray(np.abs(blocks.values - blocks.pixels.min(axis=1)) < 1e-9)


def _is_maximum(blocks: _Blocks) -> NDArray[np.bool_]:
    return np.asarray(np.abs(blocks.values - blocks.pixels.max(axis=1)) < 1e-9)


def _is_median(blocks: _Blocks) -> NDArray[np.bool_]:
    return np.asarray(np.abs(blocks.values - np.median(blocks.pixels, axis=1)) <= 0.501 * blocks.step + 1e-9)


def _is_mode(blocks: _Blocks) -> NDArray[np.bool_]:
    """Of values that are equally frequent, the one counts that `downsample.mode` takes."""
    pixels = blocks.pixels
    counts = np.zeros(pixels.shape, int)
    for other in pixels.T:
        counts += pixels == other[:, None]
    first = np.argmax(counts, axis=1)
    return np.asarray(np.abs(blocks.values - pixels[np.arange(len(first)), first]) < 1e-9)
