"""The values of downsampling: a method, its kernel, and what a filter smooths with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from xomezarr.downsample.sections import Section
from xomezarr.errors import MethodError

__all__ = ["Kernel", "Method", "Smoothing", "centre", "chained"]


def centre(factor: int) -> float:
    """Index of the centre of a block, between two pixels for even factors."""
    return (factor - 1) / 2


def no_halo(factor: int) -> int:
    """Return 0: nothing beyond the block is needed, whatever its factor."""
    return 0


class Reduction(Protocol):
    """How a carry, or the pixels of level 0, become the carry of the next level."""

    def __call__(self, block: NDArray[Any], sections: Sequence[Section], /) -> NDArray[Any]: ...


@dataclass(frozen=True, slots=True)
class Kernel:
    """The arithmetic of one method for one dtype: functions of numpy arrays without state.

    Arrays have their dimensions in canonical order (`canonical_order`). A carry has one dimension more, the first,
    along which its components lie. Blocks begin at multiples of the factors; a block cut by the array's edge is
    reduced over the pixels that it has. Each function is given a block and one `Section` for each axis, which says
    where in the level it lies; the block holds the pixels `Section.read`. Nobody writes into what they are given, nor
    into what they return, which may be a view; neither need be in C order.

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
        Of a carry, in the machine's byte order.
    halo
        Pixels that `start` and `step` read beyond their blocks, by factor.
    finish_halo
        Pixels that `finish` reads beyond its own, by the factor that made the level.
    of_pixels
        Whether a carry holds the very pixels of its level, so that `start` makes each level of those of the one above.
    """

    start: Reduction
    step: Reduction
    finish: Reduction
    components: int
    dtype: np.dtype[Any]
    halo: Callable[[int], int] = no_halo
    finish_halo: Callable[[int], int] = no_halo
    of_pixels: bool = False


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
    return Kernel(link.start, link.step, link.finish, 1, dtype.newbyteorder("="), halo, of_pixels=True)


@dataclass(frozen=True, slots=True)
class _Link:
    """A reduction of pixels as one of carries, which have their one component."""

    reduce: Reduction
    dtype: np.dtype[Any]

    def start(self, pixels: NDArray[Any], sections: Sequence[Section]) -> NDArray[Any]:
        return self.reduce(pixels.astype(self.dtype.newbyteorder("="), copy=False), sections)[None]

    def step(self, carry: NDArray[Any], sections: Sequence[Section]) -> NDArray[Any]:
        return self.reduce(carry[0], sections)[None]

    def finish(self, carry: NDArray[Any], sections: Sequence[Section]) -> NDArray[Any]:
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

    def __post_init__(self) -> None:
        if self.edge not in ("reflect", "mirror"):
            raise MethodError(f'edge={self.edge!r} is not known; give edge="reflect" or edge="mirror"')

    def sigma(self, factor: int) -> float:
        """Return the standard deviation, in pixels of the finer level."""
        return self.width(factor) if factor > 1 else 0.0

    def radius(self, factor: int) -> int:
        """Return how many pixels on either side have a weight: those within four standard deviations."""
        return int(TRUNCATE * self.sigma(factor) + 0.5)

    def weights(self, factor: int) -> NDArray[np.float64]:
        """Return the weight of the pixel itself, then of its neighbours outwards; both sides together make 1."""
        return _bell(self.sigma(factor), self.radius(factor))


@cache
def _bell(sigma: float, radius: int) -> NDArray[np.float64]:
    bell = [math.exp(-0.5 * (offset / sigma) ** 2) if sigma else 1.0 for offset in range(radius + 1)]
    weights = np.array(bell) / (bell[0] + 2 * math.fsum(bell[1:]))
    weights.flags.writeable = False
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
        any level covers more than `pixels` of them. Those that smooth are given the row's ``smoothing=`` too.
    sample
        Index within a block of `f` pixels that a result pixel stands for, for `Grid.coarsen`.
    kinds
        Kinds of dtype (`numpy.dtype.kind`) that the method takes.
    sampled
        Whether a pixel is one of the block's own, that at `sample`, rather than a value for the whole block.
    keeps_values
        Whether every value of a level occurs in the level above: what labels need.
    skipna
        False where NaN is never left out, True where it always is, None where the user chooses (by default it is).
    smoothing
        What the level is filtered with before it is sampled; None for methods that see their block alone.
    default_for
        Kinds of dtype whose images get the method where the user names none.
    carries
        What goes from level to level, for people.
    source
        The function's full name, for the OME metadata; left out, that of the method here.
    arguments
        What the function is called with, for the OME metadata.

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
    kernel: Callable[..., Kernel]
    sample: Callable[[int], float] = centre
    kinds: str = "biufc"
    sampled: bool = False
    keeps_values: bool = False
    skipna: bool | None = False
    smoothing: Smoothing | None = None
    default_for: str = ""
    carries: str = "the pixels of the level above"
    source: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def make(self, dtype: np.dtype[Any], *, skipna: bool, pixels: int) -> Kernel:
        """Return the kernel for level-0 pixels of a dtype, where no pixel of any level covers more than so many."""
        if self.smoothing is None:
            return self.kernel(dtype, skipna, pixels)
        return self.kernel(dtype, skipna, pixels, smoothing=self.smoothing)

    @property
    def exact_integers(self) -> bool:
        """Whether 64-bit integers beyond 2**53 are taken: filters compute in float64, which cannot hold them."""
        return self.smoothing is None

    @property
    def called(self) -> str:
        """The full name of what makes the levels."""
        return self.source or f"xomezarr.{self.name}"
