"""The values of downsampling: a method, its kernel, and the section of an axis that a kernel works on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from xomezarr.grid import block_count

__all__ = ["Kernel", "Method", "Section", "Smoothing", "block_shape", "centre", "chained", "tiles"]


def centre(factor: int) -> float:
    """Index of the centre of a block, between two pixels for even factors."""
    return (factor - 1) / 2


def no_halo(factor: int) -> int:
    """Return 0: nothing beyond the block is needed, whatever its factor."""
    return 0


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of one axis of a level, whole blocks of it, that a kernel works on.

    Parameters
    ----------
    start, stop
        Its pixels; `start` is a multiple of `factor`.
    size
        Pixels of the whole level along the axis.
    factor
        Pixels of this level in one of the next; for `Kernel.finish`, pixels of the level above in one of this.
    halo
        Further pixels that the kernel is given on either side, as far as the level has them.
    reach
        Level-0 pixels in one pixel of this level.
    extent
        Level-0 pixels that the level covers.

    Examples
    --------
    >>> section = Section(4, 8, 9, 2, halo=3)
    >>> section.read, section.count
    (slice(1, 9, None), 2)
    """

    start: int
    stop: int
    size: int
    factor: int
    halo: int = 0
    reach: int = 1
    extent: int = 0

    @property
    def read(self) -> slice:
        """The pixels of the level that the kernel is given."""
        return slice(max(self.start - self.halo, 0), min(self.stop + self.halo, self.size))

    @property
    def count(self) -> int:
        """The blocks, of which the last may be cut by the edge."""
        return block_count(self.stop - self.start, self.factor, "pad")

    @property
    def first_block(self) -> int:
        """Index of the first block among those of the whole level."""
        return self.start // self.factor

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many level-0 pixels each pixel covers along the axis: `reach`, fewer where the edge cuts the block.

        >>> Section(0, 3, 3, 1, reach=4, extent=10).counts
        array([4, 4, 2])
        """
        pixels = np.arange(self.start, self.stop, dtype=np.int64)
        return np.minimum(self.reach, self.extent - self.reach * pixels)

    def part(self, first: int, last: int) -> Section:
        """Return the section of the blocks ``first … last - 1`` of this one."""
        start = self.start + first * self.factor
        return replace(self, start=start, stop=min(self.start + last * self.factor, self.stop))


def block_shape(sections: Sequence[Section]) -> tuple[int, ...]:
    """Return the shape of the result: how many blocks there are along each axis."""
    return tuple(section.count for section in sections)


def tiles(
    sections: Sequence[Section], pixels: int, *, equal: bool = False
) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...], tuple[Section, ...]]]:
    """Cut the work of a kernel into tiles of about so many pixels, so that what it needs meanwhile stays in a cache.

    Parameters
    ----------
    sections
        One for each axis.
    pixels
        That a tile is given at most, unless it is a single block.
    equal
        Whether all blocks of a tile have the same shape: those that the edge cuts get a tile of their own.

    Yields
    ------
    target, source : tuple
        Where the tile lies in the result, and in what the kernel was given; both index the last axes.
    sections : tuple of Section
        Those of the tile.
    """
    whole = tuple(sections)
    ranges = [[(0, section.count)] for section in whole]
    for axis, section in enumerate(whole):
        full = (section.stop - section.start) // section.factor
        if equal and 0 < full < section.count:
            ranges[axis] = [(0, full), (full, section.count)]
    for chosen in itertools.product(*ranges):
        yield from _split(whole, chosen, pixels)


def _split(
    whole: tuple[Section, ...], chosen: tuple[tuple[int, int], ...], pixels: int
) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...], tuple[Section, ...]]]:
    parts = tuple(section.part(*blocks) for section, blocks in zip(whole, chosen, strict=True))
    able = [axis for axis, (first, last) in enumerate(chosen) if last - first > 1]
    if able and math.prod(part.read.stop - part.read.start for part in parts) > pixels:
        # where halos are read twice, tiles had better be cubes; else lines are left as long as they are
        halos = any(part.halo for part in parts)
        axis = max(able, key=lambda axis: parts[axis].stop - parts[axis].start) if halos else able[0]
        first, last = chosen[axis]
        middle = (first + last) // 2
        for half in ((first, middle), (middle, last)):
            yield from _split(whole, (*chosen[:axis], half, *chosen[axis + 1 :]), pixels)
        return
    target: tuple[Any, ...] = (..., *(slice(first, last) for first, last in chosen))
    source: tuple[Any, ...] = (
        ...,
        *(
            slice(part.read.start - section.read.start, part.read.stop - section.read.start)
            for part, section in zip(parts, whole, strict=True)
        ),
    )
    yield target, source, parts


class Reduction(Protocol):
    """How a carry, or the pixels of level 0, become the carry of the next level."""

    def __call__(self, block: NDArray[Any], sections: Sequence[Section], /) -> NDArray[Any]: ...


@dataclass(frozen=True, slots=True)
class Kernel:
    """The arithmetic of one method for one dtype: functions of numpy arrays without state.

    Arrays have their dimensions in canonical order (`canonical_order`). A carry has one dimension more, the first,
    along which its components lie. Blocks begin at multiples of the factors; a block cut by the array's edge is
    reduced over the pixels that it has. Each function is given a block and one `Section` for each axis, which says
    where in the level it lies; the block holds the pixels `Section.read`.

    Parameters
    ----------
    start
        ``start(pixels, sections)``: the carry of level 1.
    step
        ``step(carry, sections)``: the carry of the next level.
    finish
        ``finish(carry, sections)``: the pixels of the carry's level, in the dtype of level 0.
    components
        Length of a carry's first dimension.
    dtype
        Of a carry.
    halo
        Pixels that `start` and `step` read beyond their blocks, by factor.
    finish_halo
        Pixels that `finish` reads beyond its own, by the factor that made the level.
    """

    start: Reduction
    step: Reduction
    finish: Reduction
    components: int
    dtype: np.dtype[Any]
    halo: Callable[[int], int] = no_halo
    finish_halo: Callable[[int], int] = no_halo


def chained(reduce: Reduction, dtype: np.dtype[Any], *, halo: Callable[[int], int] = no_halo) -> Kernel:
    """Return the kernel of a method that makes each level from the pixels of the level above.

    Parameters
    ----------
    reduce
        ``reduce(pixels, sections)``: the pixels of the next level.
    dtype
        Of the pixels.
    halo
        Pixels that are read beyond the blocks, by factor.
    """
    link = _Link(reduce, dtype)
    return Kernel(link.start, link.step, link.finish, 1, dtype, halo)


@dataclass(frozen=True, slots=True)
class _Link:
    """A reduction of pixels as one of carries, which have their one component."""

    reduce: Reduction
    dtype: np.dtype[Any]

    def start(self, pixels: NDArray[Any], sections: Sequence[Section]) -> NDArray[Any]:
        return self.reduce(pixels, sections)[None]

    def step(self, carry: NDArray[Any], sections: Sequence[Section]) -> NDArray[Any]:
        return self.reduce(carry[0], sections)[None]

    def finish(self, carry: NDArray[Any], sections: Sequence[Section]) -> NDArray[Any]:
        # where chunks were joined on the way, they came out in the machine's own byte order
        level: NDArray[Any] = carry[0].astype(self.dtype, copy=False)
        return level


@dataclass(frozen=True, slots=True)
class Smoothing:
    """A Gaussian that goes before sampling: its width, and what it sees beyond the edge of a level.

    Parameters
    ----------
    width
        Standard deviation in pixels of the finer level, by factor. A dimension that does not shrink is not smoothed.
    edge
        As in `scipy.ndimage`: ``"reflect"`` repeats the outermost pixel (``d c b a | a b c d``), ``"mirror"`` does not
        (``d c b | a b c d``).
    """

    width: Callable[[int], float]
    edge: Literal["reflect", "mirror"]

    def sigma(self, factor: int) -> float:
        """Return the standard deviation, in pixels of the finer level."""
        return self.width(factor) if factor > 1 else 0.0

    def radius(self, factor: int) -> int:
        """Return how many pixels on either side have a weight: those within four standard deviations."""
        return int(TRUNCATE * self.sigma(factor) + 0.5)

    def weights(self, factor: int) -> NDArray[np.float64]:
        """Return the weight of the pixel itself, then of its neighbours outwards; both sides together make 1."""
        offsets = np.arange(self.radius(factor) + 1, dtype=np.float64)
        sigma = self.sigma(factor)
        bell = np.exp(-0.5 * (offsets / sigma) ** 2) if sigma else np.ones(1)
        weights: NDArray[np.float64] = bell / (bell[0] + 2 * bell[1:].sum())
        return weights


TRUNCATE = 4.0
"""Standard deviations after which a Gaussian ends, as in `scipy.ndimage` and scikit-image."""


@dataclass(frozen=True)
class Method:
    """One row of the table of downsampling methods: all that the rest of the library knows of a method.

    Parameters
    ----------
    name
        What the user calls it; also OME-Zarr's ``type`` of a multiscale.
    description
        A sentence for the OME metadata.
    kernel
        ``kernel(dtype, skipna, pixels)``: the arithmetic for level-0 pixels of `dtype`, where no pixel of
        any level covers more than `pixels` of them.
    sample
        Index within a block of `f` pixels that a result pixel stands for, for `Grid.coarsen`.
    kinds
        Kinds of dtype (`numpy.dtype.kind`) that the method takes.
    sampled
        Whether a pixel is one of the block's own, that at `sample`, rather than a value for the whole block.
    keeps_values
        Whether every value of a level occurs in the level above: what labels need.
    exact_integers
        Whether 64-bit integers beyond 2**53, which float64 cannot hold, are taken.
    skipna
        None where the user chooses whether NaN is left out (by default it is), True where it always is, False where
        it never is.
    smoothing
        What the level is filtered with before it is sampled; None for methods that see their block alone.
    carries
        What goes from level to level, for people.
    source
        The function's full name, for the OME metadata; left out, that of the method here.

    Examples
    --------
    A method of one's own is a row; what it does to the pixels of equal blocks is a function of NumPy arrays.

    >>> from functools import partial
    >>> import xarray as xr
    >>> from xomezarr import pyramid
    >>> from xomezarr.downsample import reducing
    >>> spread = Method("spread", "largest less smallest value", partial(reducing, function=np.ptp), kinds="iuf")
    >>> da = xr.DataArray(np.arange(16).reshape(4, 4), dims=("y", "x"))
    >>> pyramid(da, method=spread, levels=2)["1/image"].values
    array([[5, 5],
           [5, 5]])
    """

    name: str
    description: str
    kernel: Callable[[np.dtype[Any], bool, int], Kernel]
    sample: Callable[[int], float] = centre
    kinds: str = "biufc"
    sampled: bool = False
    keeps_values: bool = False
    exact_integers: bool = True
    skipna: bool | None = None
    smoothing: Smoothing | None = None
    carries: str = "the pixels of the level above"
    source: str = ""

    @property
    def called(self) -> str:
        """The full name of what makes the levels."""
        return self.source or f"xomezarr.{self.name}"
