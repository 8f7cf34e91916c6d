"""A regular 1-D grid of pixel centres: the value under coordinates, transforms and pyramids.

>>> Grid(0.5, 0.0, 512).coarsen(2)
Grid(scale=1.0, translation=0.25, size=256)
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xomezarr.errors import (
    CoordinateError,
    CoordinateNaNError,
    DescendingCoordinateError,
    DuplicateCoordinateError,
    EmptyDimensionError,
    FactorError,
    IrregularCoordinateError,
)

__all__ = ["LARGEST_FACTOR", "REGULAR_WITHIN", "Boundary", "Grid", "block_count", "is_factor", "step_factor"]

Boundary = Literal["pad", "trim"]

LARGEST_FACTOR = 2**31
"""No dimension of an image has more pixels: a larger factor is a slip, and its arithmetic would overflow."""

REGULAR_WITHIN = 0.01
"""Samples may lie this fraction of a pixel off the grid and still count as regular.

float32 stage positions need it: at 50 000 µm two neighbouring float32 numbers are 0.004 µm apart, which
is 0.6 % of a 0.325 µm pixel once rounded. Jitter that can be seen in an image is far larger.
"""

ROUNDING_ULPS = (2, 8)
"""Rounding noise of coordinates that were computed, in units in the last place of the largest value.

The samples of a grid, and any slice of them, stay within 2; ``linspace`` and sums of products within 8.
"""

SHORT_DIGITS = 9
"""Significant digits of a pixel size that somebody may have typed in, or that a microscope reports."""

MAX_DIGITS = 17
"""Significant decimal digits that tell any two float64 numbers apart."""


type Precision = type[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Grid:
    """Evenly spaced pixel centres at ``translation + scale * i`` for ``i`` in ``0 … size - 1``.

    Parameters
    ----------
    scale
        Distance between neighbouring pixel centres, in the unit of the dimension.
    translation
        Position of the centre of pixel 0, in the same unit.
    size
        Number of pixels.
    """

    scale: float
    translation: float
    size: int

    @property
    def coordinates(self) -> NDArray[np.float64]:
        """The pixel centres, float64, shape ``(size,)``; infinite or NaN where they are beyond float64."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self.translation + self.scale * np.arange(self.size, dtype=np.float64)

    @property
    def bounds(self) -> tuple[float, float]:
        """The outer edges of the first and the last pixel."""
        return self.translation - self.scale / 2, self.translation + self.scale * (self.size - 0.5)

    def position(self, index: float) -> float:
        """Physical position of an index, which may be fractional: ``translation + scale * index``."""
        return self.translation + self.scale * index

    def index(self, position: float) -> float:
        """Fractional index of a physical position; the inverse of `position`."""
        return (position - self.translation) / self.scale

    def coarsen(self, factor: int, *, sample: float | None = None, boundary: Boundary = "pad") -> Grid:
        """Join every `factor` pixels into one.

        Parameters
        ----------
        factor
            Pixels of this grid in one of the result. The result's scale is the exact product, rounded once.
        sample
            Index within a block that a result pixel stands for; left out, the block's centre, ``(factor - 1) / 2``.
        boundary
            ``"pad"``: a block cut by the edge counts, and the size is ``ceil(size / factor)``;
            ``"trim"``: it does not, and the size is ``floor(size / factor)``, though never less than 1.

        Raises
        ------
        FactorError
            If `factor` is not an integer of at least 1.
        """
        if not is_factor(factor):
            raise FactorError(f"factor {factor!r} is not an integer of at least 1; give factors=2, say")
        offset = (factor - 1) / 2 if sample is None else sample
        return Grid(self.scale * factor, self.position(offset), block_count(self.size, factor, boundary))

    def crop(self, start: int, stop: int) -> Grid:
        """Return the grid of pixels ``start … stop - 1``."""
        return Grid(self.scale, self.position(start), stop - start)

    def compose(self, scale: float, translation: float) -> Grid:
        """Apply a further scale, then a translation: ``scale * position + translation``."""
        return Grid(self.scale * scale, self.translation * scale + translation, self.size)

    @classmethod
    def fit(cls, coordinates: ArrayLike, *, dim: str = "coordinate", shown: ArrayLike | None = None) -> Grid:
        """Find the grid whose pixel centres are these coordinates.

        The grid with the shortest decimal scale is taken that explains the coordinates by rounding alone, so that
        0.325 stays 0.325 in a slice of a slice; where one of its neighbours reproduces them bit for bit, that one.
        A scale that is no short decimal, such as 1/3, is found by its bits.

        Parameters
        ----------
        coordinates
            At least two ascending numbers, shape ``(n,)``, of any integer or float dtype.
        dim
            Name of the dimension, for the messages.
        shown
            What the messages call the samples, shape ``(n,)``; left out, the coordinates themselves.

        Raises
        ------
        EmptyDimensionError, CoordinateNaNError, DescendingCoordinateError, DuplicateCoordinateError
            If the coordinates are not ascending finite numbers.
        IrregularCoordinateError
            If a sample lies more than `REGULAR_WITHIN` of a pixel off the line through all of them; the message names
            the first that does not follow its neighbour by a whole step.
        CoordinateError
            If float64, which is what JSON holds, cannot tell the samples apart.

        Examples
        --------
        >>> Grid.fit([10.0, 10.325, 10.65])
        Grid(scale=0.325, translation=10.0, size=3)
        """
        values = np.asarray(coordinates)
        _check_can_be_fitted(values, dim)
        centres = values.astype(np.float64)
        precisions = _precisions(values, centres)
        return (
            _short_grid(centres, precisions, ROUNDING_ULPS)
            or _grid_by_bits(centres)
            # cumulative sums err by half a unit at every step
            or _short_grid(centres, precisions, (centres.size / 2,))
            or _nearest_grid(centres, dim, values if shown is None else np.asarray(shown))
        )


def is_factor(factor: object) -> bool:
    """Whether this is a step from one level to the next: an integer from 1 to `LARGEST_FACTOR`, and no bool."""
    if isinstance(factor, bool | np.bool_) or not isinstance(factor, SupportsIndex):
        return False
    return 1 <= operator.index(factor) <= LARGEST_FACTOR


def block_count(size: int, factor: int, boundary: Boundary) -> int:
    """Count the blocks of `factor` pixels that `size` pixels make, at least one."""
    return -(-size // factor) if boundary == "pad" else max(size // factor, 1)


def step_factor(size: int, factor: int) -> int:
    """Return the factor by which a dimension really shrinks: a single pixel shrinks no further."""
    return factor if size > 1 else 1


def check_ascending(values: NDArray[Any], dim: str) -> None:
    """Raise the error that names the first sample which is not an ascending finite number, date or duration.

    Integers are compared as they are: float64 would take 2**60 and 2**60 + 1 for equal.
    """
    if values.size == 0:
        raise EmptyDimensionError(
            f"dimension {dim!r} has no samples: what selected them matched nothing; "
            f"select at least one pixel, such as isel({dim}=slice(0, 1))"
        )
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        cure = f"give every pixel a position: assign_grid(scale={{{dim!r}: 1.0}}, translation={{{dim!r}: 0.0}})"
        if values.dtype.kind in "mM":
            cure = f"leave such pixels out: isel({dim}=np.isfinite(da[{dim!r}]))"
        raise CoordinateNaNError(f"coordinate {dim!r} is {values[bad[0]]} at index {bad[0]}; {cure}")
    rises, falls = values[1:] > values[:-1], values[1:] < values[:-1]
    if rises.all():
        return
    if falls.all():
        raise DescendingCoordinateError(
            f"coordinate {dim!r} descends from {values[0]} to {values[-1]}, and OME-Zarr scales are positive; "
            f"turn the image round: sortby({dim!r})"
        )
    index = int(np.argmin(rises)) + 1
    if falls[index - 1]:
        raise IrregularCoordinateError(
            f"coordinate {dim!r} goes back from {values[index - 1]} to {values[index]} at index {index}; "
            f"put the pixels in order: sortby({dim!r})"
        )
    raise DuplicateCoordinateError(
        f"coordinate {dim!r} is {values[index]} at index {index - 1} and at index {index}; "
        f"keep one of them: drop_duplicates({dim!r})"
    )


def _check_can_be_fitted(values: NDArray[Any], dim: str) -> None:
    """Raise unless the values are two or more ascending numbers that float64 can tell apart."""
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        raise CoordinateError(
            f"coordinate {dim!r} of dtype {values.dtype} and shape {values.shape} is no row of numbers; "
            "give one number for each pixel: Grid.fit([0.0, 0.5])"
        )
    check_ascending(values, dim)
    if values.size == 1:
        raise CoordinateError(
            f"coordinate {dim!r} has one sample, which has no spacing; "
            f"say it: Grid(scale=1.0, translation={float(values[0])!r}, size=1)"
        )
    first, last = values[0].item(), values[-1].item()
    if not np.isfinite(float(last) - float(first)):
        raise CoordinateError(
            f"coordinate {dim!r} spans more than float64 can hold, from {first} to {last}; "
            f"give it a grid: assign_grid(scale={{{dim!r}: 1.0}}, translation={{{dim!r}: 0.0}})"
        )
    magnitude = max(abs(first), abs(last))
    step = (last - first) / (values.size - 1)
    if values.dtype.kind in "iu" and magnitude > 2**53 and np.spacing(float(magnitude)) / 2 > REGULAR_WITHIN * step:
        raise CoordinateError(
            f"coordinate {dim!r} starts at {first} with steps of {step:g}, which float64 cannot tell apart there; "
            f"count from the first: assign_coords({dim}=da[{dim!r}] - da[{dim!r}][0])"
        )


def _precisions(values: NDArray[Any], centres: NDArray[np.float64]) -> tuple[Precision, ...]:
    """Return the precisions that the coordinates may have been computed in, the finest first."""
    if values.dtype.kind == "f" and values.dtype.itemsize < 8:
        return (values.dtype.type,)
    with np.errstate(over="ignore", under="ignore"):
        came_from_float32 = values.dtype.kind == "f" and np.array_equal(centres.astype(np.float32), centres)
    return (np.float64, np.float32) if came_from_float32 else (np.float64,)


def _short_grid(
    centres: NDArray[np.float64], precisions: Sequence[Precision], tolerances: Sequence[float]
) -> Grid | None:
    """Find a grid with a short decimal scale that explains the coordinates by rounding alone."""
    step = _mean_step(centres)
    for precision in precisions:
        ulp = float(np.finfo(precision).eps) * float(np.abs(centres).max())
        for ulps in tolerances:
            found = _simplest_grid(centres, step, min(ulps * ulp, REGULAR_WITHIN * step), SHORT_DIGITS)
            if found is not None:
                return _first_with_bits(_neighbours(found, centres, precision), centres, precision) or found
    return None


def _neighbours(grid: Grid, centres: NDArray[np.float64], precision: Precision) -> Iterator[Grid]:
    """Yield grids that differ from a short one by rounding: 3 × 0.1 is 0.30000000000000004 in float64."""
    yield grid
    first = float(str(precision(centres[0])))
    for scale in (grid.scale, np.nextafter(grid.scale, np.inf), np.nextafter(grid.scale, 0.0)):
        yield Grid(float(scale), first, grid.size)


def _grid_by_bits(centres: NDArray[np.float64]) -> Grid | None:
    """Find a grid that reproduces the coordinates bit for bit, whatever its scale."""
    step, first = _mean_step(centres), float(centres[0])
    within = 2 * ROUNDING_ULPS[-1] * float(np.spacing(np.abs(centres).max())) / (centres.size - 1)
    scales = [*_simpler_decimals(step, within, MAX_DIGITS), float(centres[1] - centres[0]), step]
    return _first_with_bits((Grid(scale, first, centres.size) for scale in scales), centres, np.float64)


def _first_with_bits(grids: Iterable[Grid], centres: NDArray[np.float64], precision: Precision) -> Grid | None:
    """Return the first grid whose samples, in this precision, are the coordinates."""
    for grid in grids:
        # the last sample shows almost every difference, at no cost
        if precision(grid.position(grid.size - 1)) == centres[-1] and np.array_equal(
            grid.coordinates.astype(precision), centres
        ):
            return grid
    return None


def _simplest_grid(centres: NDArray[np.float64], step: float, noise: float, digits: int) -> Grid | None:
    """Return the grid within `noise` of the coordinates whose scale, then translation, has the fewest digits."""
    index = np.arange(centres.size, dtype=np.float64)
    for scale in _simpler_decimals(step, 2 * noise / (centres.size - 1), digits):
        origin = centres - scale * index
        low, high = float(origin.max()) - noise, float(origin.min()) + noise
        if low > high or scale <= 0:
            continue
        for translation in _simpler_decimals((low + high) / 2, (high - low) / 2, MAX_DIGITS):
            grid = Grid(scale, translation, centres.size)
            if np.abs(grid.coordinates - centres).max() <= noise:
                return grid
    return None


def _simpler_decimals(value: float, within: float, digits: int) -> Iterator[float]:
    """Yield the decimals of up to so many digits that differ from `value` by no more than `within`, shortest first.

    >>> list(_simpler_decimals(0.32500000000000007, 1e-15, 9))
    [0.325]
    """
    if abs(value) <= within:
        yield 0.0
    last = 0.0
    for count in range(1, digits + 1):
        decimal = float(f"{value:.{count - 1}e}")
        if abs(decimal - value) <= within and decimal != last:
            last = decimal
            yield decimal


def _nearest_grid(centres: NDArray[np.float64], dim: str, shown: NDArray[Any]) -> Grid:
    """Return the grid along the line through the coordinates, or name the first sample that is off it."""
    size = centres.size
    index = np.arange(size, dtype=np.float64)
    centred = index - (size - 1) / 2
    scale = float((centred * (centres - centres[0])).sum() / (centred**2).sum())
    origin = centres - scale * index
    jitter = float(origin.max() - origin.min()) / 2
    allowed = REGULAR_WITHIN * scale
    if jitter <= allowed:
        rounding = ROUNDING_ULPS[-1] * float(np.spacing(np.abs(centres).max()))
        noise = min(max(2 * jitter, rounding), allowed)
        line = Grid(scale, float(origin.max() + origin.min()) / 2, size)
        return _simplest_grid(centres, scale, noise, MAX_DIGITS) or line
    steps = np.diff(centres)
    usual = float(np.sort(steps)[(steps.size - 1) // 2])  # a step that occurs, where a median of two would not
    leaps = np.flatnonzero(np.abs(steps - usual) > 2 * REGULAR_WITHIN * usual)
    dates = shown.dtype.kind in "mM"
    if leaps.size:
        first = int(leaps[0]) + 1
        found = f"at index {first}: {shown[first]} follows {shown[first - 1]}, where the step is {usual:.9g}"
        found += " s" if dates else ""
    else:  # a slow drift, without a step that stands out
        off = np.abs(origin - origin.mean()) / scale
        first = int(np.argmax(off > REGULAR_WITHIN))
        found = f"at index {first}: {shown[first]} lies {off[first]:.2g} of a pixel off the nearest regular grid"
    raise IrregularCoordinateError(
        f"coordinate {dim!r} is irregular {found}; "
        + ("" if dates else f"give it a regular grid, assign_grid(scale={{{dim!r}: {usual:.6g}}}), or ")
        + 'write it by index and keep the true positions beside it: irregular="keep"'
    )


def _mean_step(centres: NDArray[np.float64]) -> float:
    return float(centres[-1] - centres[0]) / (centres.size - 1)
