"""A regular 1-D grid of pixel centres: the value under coordinates, transforms and pyramids.

>>> Grid(0.5, 0.0, 512).coarsen(2)
Grid(scale=1.0, translation=0.25, size=256)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xomezarr.errors import (
    CoordinateNaNError,
    DescendingCoordinateError,
    DuplicateCoordinateError,
    EmptyDimensionError,
    FactorError,
    IrregularCoordinateError,
)

__all__ = ["REGULAR_WITHIN", "Boundary", "Grid", "block_count", "step_factor"]

Boundary = Literal["pad", "trim"]

REGULAR_WITHIN = 0.01
"""Samples may lie this fraction of a pixel off the grid and still count as regular.

float32 stage positions need it: at 50 000 µm two neighbouring float32 numbers are 0.004 µm apart, which
is 0.6 % of a 0.325 µm pixel once rounded. Jitter that can be seen in an image is far larger.
"""

NOISE_ULPS = 8
"""Rounding noise of coordinates that were computed, in units in the last place of the largest value.

``linspace``, ``arange`` with a step, and sums of products stay within 4.
"""

MAX_DIGITS = 17
"""Significant decimal digits that tell any two float64 numbers apart."""


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
        """The pixel centres, float64, shape ``(size,)``."""
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
        if factor < 1 or factor != int(factor):
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
    def fit(cls, coordinates: ArrayLike, *, dim: str = "coordinate") -> Grid:
        """Find the grid whose pixel centres are these coordinates.

        Among the grids that reproduce the coordinates bit for bit, or else to within their own rounding
        noise, the one with the fewest decimal digits is taken, so that 0.325 stays 0.325.

        Parameters
        ----------
        coordinates
            At least two ascending numbers, shape ``(n,)``, of any integer or float dtype.
        dim
            Name of the dimension, for the messages.

        Raises
        ------
        EmptyDimensionError, CoordinateNaNError, DescendingCoordinateError, DuplicateCoordinateError
            If the coordinates are not ascending finite numbers.
        IrregularCoordinateError
            If a sample lies more than `REGULAR_WITHIN` of a pixel off; it names the first that does.

        Examples
        --------
        >>> Grid.fit([10.0, 10.325, 10.65])
        Grid(scale=0.325, translation=10.0, size=3)
        """
        values = np.asarray(coordinates)
        check_ascending(values, dim)
        centres = values.astype(np.float64)
        noise = rounding_noise(values, centres)
        fallback: Grid | None = None
        for grid in _decimal_grids(centres, noise):
            if np.array_equal(grid.coordinates, centres):
                return grid
            fallback = fallback or grid
        if fallback is not None:
            return fallback
        return _nearest_grid(centres, dim)


def block_count(size: int, factor: int, boundary: Boundary) -> int:
    """Count the blocks of `factor` pixels that `size` pixels make, at least one."""
    return -(-size // factor) if boundary == "pad" else max(size // factor, 1)


def step_factor(size: int, factor: int) -> int:
    """Return the factor by which a dimension really shrinks: a single pixel shrinks no further."""
    return factor if size > 1 else 1


def check_ascending(values: NDArray[np.generic], dim: str) -> None:
    """Raise the error that names the first sample which is not an ascending finite number."""
    if values.size == 0:
        raise EmptyDimensionError(
            f"dimension {dim!r} has no samples; select at least one pixel, or drop it with isel({dim}=0)"
        )
    numbers = values.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        raise CoordinateNaNError(
            f"coordinate {dim!r} is {values[bad[0]]} at index {bad[0]}; give every pixel a position: "
            f"assign_coords({dim}=…), or dropna({dim!r}) to leave such pixels out"
        )
    # integers are compared as they are: float64 would take 2**60 and 2**60 + 1 for equal
    steps = np.sign(numbers[1:] - numbers[:-1])
    if values.dtype.kind in "iu":
        steps = np.where(values[1:] > values[:-1], 1.0, np.where(values[1:] < values[:-1], -1.0, 0.0))
    if steps.size and bool(np.all(steps < 0)):
        raise DescendingCoordinateError(
            f"coordinate {dim!r} descends from {values[0]} to {values[-1]}; "
            f"OME-Zarr scales are positive: sortby({dim!r}) turns the image round"
        )
    for wrong in np.flatnonzero(steps <= 0)[:1]:
        index = int(wrong) + 1
        if steps[wrong] == 0:
            raise DuplicateCoordinateError(
                f"coordinate {dim!r} is {values[index]} at index {index - 1} and at index {index}; "
                f"drop_duplicates({dim!r}) keeps one of them"
            )
        raise IrregularCoordinateError(
            f"coordinate {dim!r} goes back from {values[index - 1]} to {values[index]} at index {index}; "
            f"sortby({dim!r}) puts the pixels in order"
        )


def rounding_noise(values: NDArray[np.generic], centres: NDArray[np.float64]) -> float:
    """Return how far rounding alone may have moved a coordinate, by the precision that the values really have."""
    dtype = values.dtype if values.dtype.kind == "f" else np.dtype(np.float64)
    if dtype == np.float64 and not np.array_equal(centres, np.round(centres * 1024) / 1024):
        # float64 that came from float32; whole numbers and short binary fractions fit both, and are not noisy
        with np.errstate(over="ignore"):
            if np.array_equal(centres.astype(np.float32), centres):
                dtype = np.dtype(np.float32)
    return NOISE_ULPS * float(np.finfo(dtype).eps) * float(np.abs(centres).max())


def _decimal_grids(centres: NDArray[np.float64], noise: float) -> Iterator[Grid]:
    """Yield grids that stay within `noise` of the coordinates, the fewest digits first."""
    size = centres.size
    steps = size - 1
    index = np.arange(size, dtype=np.float64)
    step = (centres[-1] - centres[0]) / steps
    if not np.isfinite(step):
        return
    noise = min(noise, step * REGULAR_WITHIN)
    exact = {step, float(centres[1] - centres[0])}
    seen: set[float] = set()
    for scale in [*_simpler_decimals(step, 2 * noise / steps), *exact]:
        if scale in seen or scale <= 0:
            continue
        seen.add(scale)
        origin = centres - scale * index
        low, high = float(origin.max() - noise), float(origin.min() + noise)
        if low > high:
            continue
        middle = (low + high) / 2
        for translation in (*_simpler_decimals(middle, (high - low) / 2), float(centres[0])):
            grid = Grid(scale, translation, size)
            if np.abs(grid.coordinates - centres).max() <= noise:
                yield grid


def _simpler_decimals(value: float, within: float) -> Iterator[float]:
    """Yield the decimals nearest to `value` that differ from it by no more than `within`, fewest digits first.

    >>> list(_simpler_decimals(0.32500000000000007, 1e-15))[0]
    0.325
    """
    if value == 0 or abs(value) <= within:
        yield 0.0
        if value == 0:
            return
    last: float | None = None
    for digits in range(1, MAX_DIGITS + 1):
        decimal = float(f"{value:.{digits - 1}e}")
        if abs(decimal - value) <= within and decimal != last:
            last = decimal
            yield decimal


def _nearest_grid(centres: NDArray[np.float64], dim: str) -> Grid:
    """Return the grid through coordinates that are noisier than rounding explains, or name the first that is off it."""
    size = centres.size
    scale = float((centres[-1] - centres[0]) / (size - 1))
    origin = centres - scale * np.arange(size)
    grid = Grid(scale, float((origin.max() + origin.min()) / 2), size)
    if np.abs(grid.coordinates - centres).max() <= REGULAR_WITHIN * scale:
        return grid
    steps = np.diff(centres)
    usual = float(np.median(steps))
    off = np.flatnonzero(np.abs(steps - usual) > REGULAR_WITHIN * usual)
    # a slow drift has no single step that stands out: name the sample farthest from the grid
    index = int(off[0]) + 1 if off.size else int(np.abs(grid.coordinates - centres).argmax())
    raise IrregularCoordinateError(
        f"coordinate {dim!r} is irregular at index {index}: {centres[index]:.9g} follows {centres[index - 1]:.9g}, "
        f"where the step is {usual:.9g}; give it a regular grid with interp or assign_grid, "
        f'or write it by index and keep the true positions with irregular="keep"'
    )
