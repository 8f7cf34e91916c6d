"""``min``, ``max`` and ``median``: values found by their rank in the block.

Floats are compared by the integers that order as they do: unlike the comparisons of a processor, these tell -0.0
from 0.0 and give NaN a place, so that no result depends on which of two pixels came first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xomezarr.downsample.blocks import carried, equal_blocks, reduce_blocks
from xomezarr.downsample.method import Kernel, chained
from xomezarr.downsample.sections import Section, block_shape

__all__ = ["maximum", "median", "minimum"]

NETWORK_PIXELS = 32
"""Pixels of a block up to which a sorting network, whole arrays at a time, beats sorting each block."""


# --- order -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Order:
    """Integers in place of the values of a dtype, in the same order.

    Parameters
    ----------
    dtype
        Of the values: bool, integer or float, in native byte order.
    nan_first
        Whether NaN comes before all numbers, or after them.
    """

    dtype: np.dtype[Any]
    nan_first: bool = False

    @property
    def keys(self) -> np.dtype[Any]:
        """The dtype of the keys."""
        return np.dtype(f"i{self.dtype.itemsize}") if self.dtype.kind == "f" else self.dtype

    @property
    def nan(self) -> int:
        """The key of NaN."""
        info = np.iinfo(self.keys)
        return int(info.min if self.nan_first else info.max)

    def encode(self, values: NDArray[Any]) -> NDArray[Any]:
        """Turn values, in any byte order, into keys."""
        values = values.astype(self.dtype, copy=False)
        if self.dtype.kind != "f":
            return values
        # the ellipsis keeps arrays without dimensions arrays
        keys = _flip(values.view(self.keys))[...]
        np.copyto(keys, self.nan, where=np.isnan(values))
        return keys

    def decode(self, keys: NDArray[Any]) -> NDArray[Any]:
        """Turn keys into values; there is one NaN, whatever its bits were."""
        if self.dtype.kind != "f":
            return keys
        values = _flip(keys)[...].view(self.dtype)
        np.copyto(values, np.nan, where=np.isnan(values))
        return values


def _flip(bits: NDArray[Any]) -> NDArray[Any]:
    """Turn sign and magnitude into two's complement, and back."""
    flipped: NDArray[Any] = bits ^ ((bits >> (8 * bits.itemsize - 1)) & np.iinfo(bits.dtype).max)
    return flipped


# --- min and max -------------------------------------------------------------------------------------------------


def minimum(dtype: np.dtype[Any], skipna: bool, pixels: int) -> Kernel:
    """Smallest values; they compose exactly from level to level."""
    return _extremes(dtype, np.minimum, nan_first=not skipna)


def maximum(dtype: np.dtype[Any], skipna: bool, pixels: int) -> Kernel:
    """Largest values; they compose exactly from level to level."""
    return _extremes(dtype, np.maximum, nan_first=skipna)


def _extremes(dtype: np.dtype[Any], join: np.ufunc, *, nan_first: bool) -> Kernel:
    order = Order(dtype.newbyteorder("="), nan_first)
    keep = partial(reduce_blocks, joins=(join,), dtype=order.keys)
    finish = partial(_decoded, order=order, dtype=dtype)
    return Kernel(
        partial(keep, lift=partial(_encoded, order=order)), partial(keep, lift=carried), finish, 1, order.keys
    )


def _encoded(piece: NDArray[Any], order: Order) -> tuple[NDArray[Any]]:
    return (order.encode(piece),)


def _decoded(carry: NDArray[Any], sections: Sequence[Section], *, order: Order, dtype: np.dtype[Any]) -> NDArray[Any]:
    return order.decode(carry[0]).astype(dtype, copy=False)


# --- median ------------------------------------------------------------------------------------------------------


def median(dtype: np.dtype[Any], skipna: bool, pixels: int) -> Kernel:
    """Middle values of the pixels of the level above; of an even number, the mean of the two middle ones.

    That mean is rounded half to even for integers and bool, and passes through no float.
    """
    return chained(partial(_medians, order=Order(dtype.newbyteorder("=")), skipna=skipna), dtype)


def _medians(block: NDArray[Any], sections: Sequence[Section], *, order: Order, skipna: bool) -> NDArray[Any]:
    level = np.empty(block_shape(sections), block.dtype)
    for target, pieces, _ in equal_blocks(block, sections):
        ranked = _sorted([order.encode(piece) for piece in pieces])
        missing = ranked == order.nan if order.dtype.kind == "f" else None
        if missing is None or not missing.any():
            lower, upper = ranked[(len(ranked) - 1) // 2], ranked[len(ranked) // 2]
        else:
            valid = len(ranked) - missing.sum(axis=0)
            lower = _pick(ranked, np.maximum(valid - 1, 0) // 2)
            # where nothing is valid, NaN is all there is
            upper = _pick(ranked, np.minimum(valid // 2, len(ranked) - 1))
            if not skipna:
                lower = np.where(missing[-1], order.nan, lower)
        level[target] = _middle(order.decode(lower), order.decode(upper))
    return level


def _pick(ranked: NDArray[Any], rank: NDArray[np.intp]) -> NDArray[Any]:
    picked: NDArray[Any] = np.take_along_axis(ranked, rank[None], axis=0)[0]
    return picked


def _sorted(pieces: list[NDArray[Any]]) -> NDArray[Any]:
    """Sort pixel by pixel; shape ``(number of pieces, …)``."""
    if len(pieces) > NETWORK_PIXELS:
        return np.sort(np.stack(pieces), axis=0)
    for low, high in _network(len(pieces)):
        pieces[low], pieces[high] = np.minimum(pieces[low], pieces[high]), np.maximum(pieces[low], pieces[high])
    return np.stack(pieces)


@cache
def _network(size: int) -> tuple[tuple[int, int], ...]:
    """Return the comparisons that sort `size` values: Batcher's odd-even merge exchange.

    References
    ----------
    D. E. Knuth, "The Art of Computer Programming", volume 3, section 5.2.2, algorithm M.

    Examples
    --------
    >>> _network(3)
    ((0, 2), (0, 1), (1, 2))
    """
    comparisons = []
    top = 1 << max(size - 1, 1).bit_length() - 1
    stride = top
    while stride > 0:
        reach, remainder, distance = top, 0, stride
        while True:
            comparisons += [(i, i + distance) for i in range(size - distance) if i & stride == remainder]
            if reach == stride:
                break
            distance, reach, remainder = reach - stride, reach // 2, stride
        stride //= 2
    return tuple(comparisons)


def _middle(lower: NDArray[Any], upper: NDArray[Any]) -> NDArray[Any]:
    """Return the mean of two ordered values, integers rounded half to even."""
    kind = lower.dtype.kind
    if kind == "b":  # half, to even: False
        both: NDArray[Any] = lower & upper
        return both
    if kind in "iu":
        unsigned = np.dtype(f"u{lower.itemsize}")
        first = lower.view(unsigned)
        difference = upper.view(unsigned) - first
        middle = first + (difference >> 1)
        middle += difference & middle & 1
        signed: NDArray[Any] = middle.view(lower.dtype)
        return signed
    with np.errstate(all="ignore"):
        wide = np.dtype(np.float64)
        low, high = lower.astype(wide), upper.astype(wide)
        # the ellipsis keeps arrays without dimensions arrays
        middle = np.divide(low + high, 2)[...]
        # of the largest numbers the sum overflows, of none of them the halves underflow
        np.copyto(middle, low / 2 + high / 2, where=np.isinf(middle))
        np.copyto(middle, low, where=low == high)
        np.copyto(middle, np.nan, where=np.isnan(middle))
        rounded: NDArray[Any] = middle.astype(lower.dtype)
        return rounded
