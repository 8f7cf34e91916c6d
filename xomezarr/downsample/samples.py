"""``nearest``: one pixel of each block, as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xomezarr.downsample.method import Kernel, chained
from xomezarr.downsample.sections import Section

__all__ = ["lower_middle", "nearest"]


def lower_middle(factor: int) -> int:
    """Index of the middle pixel of a block, of the lower one of two."""
    return (factor - 1) // 2


def nearest(dtype: np.dtype[Any], skipna: bool, pixels: int) -> Kernel:
    """Values as they are; `skipna` and `pixels` play no part."""
    return chained(_take_samples, dtype)


def _take_samples(block: NDArray[Any], sections: Sequence[Section]) -> NDArray[Any]:
    """Take the lower middle pixel of each block, the level's last pixel where a cut block ends before it."""
    for axis, section in enumerate(sections):
        first, last = lower_middle(section.factor), section.stop - section.start - 1
        where: list[Any] = [slice(None)] * block.ndim
        where[axis] = slice(first, None, section.factor)
        if first + (section.count - 1) * section.factor > last:
            where[axis] = np.minimum(first + section.factor * np.arange(section.count), last)
        block = block[tuple(where)]
    # a copy lets go of the pixels that were not taken
    return block.copy()
