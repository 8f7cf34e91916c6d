"""``nearest``: one pixel of each block, as it is: the middle one, or the first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xomezarr.downsample.method import Kernel, chained
from xomezarr.downsample.sections import Section

__all__ = ["first", "lower_middle", "nearest"]


def lower_middle(factor: int) -> int:
    """Index of the middle pixel of a block, of the lower one of two."""
    return (factor - 1) // 2


def first(factor: int) -> int:
    """Index of the first pixel of a block, which stride slicing takes."""
    return 0


def nearest(dtype: np.dtype[Any], skipna: bool, pixels: int, *, sample: Callable[[int], int] = lower_middle) -> Kernel:
    """Values as they are, those at `sample` of each block; `skipna` and `pixels` play no part."""
    return chained(partial(_take_samples, sample), dtype)


def _take_samples(sample: Callable[[int], int], block: NDArray[Any], sections: Sequence[Section]) -> NDArray[Any]:
    """Take the same pixel of each block, the level's last pixel where a cut block ends before it."""
    for axis, section in enumerate(sections):
        start, last = sample(section.factor), section.stop - section.start - 1
        where: list[Any] = [slice(None)] * block.ndim
        where[axis] = slice(start, None, section.factor)
        if start + (section.count - 1) * section.factor > last:
            where[axis] = np.minimum(start + section.factor * np.arange(section.count), last)
        block = block[tuple(where)]
    # a copy lets go of the pixels that were not taken
    return block.copy()
