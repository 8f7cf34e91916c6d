"""Sections: the stretch of each axis of a level that a kernel works on, and its division into tiles."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xomezarr.grid import block_count

__all__ = ["Origin", "Section", "block_shape", "origins", "tiles"]

HALOS_ACROSS = 8
"""A tile is this many halos wide at least, so that reading them twice is a small part of the work.

Along the first axis, where a filter makes few pixels of many before it goes on to the others, a quarter will do.
"""


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
        Pixels of this level in one of the result: of the next level, or 1 for `Kernel.finish`, which stays on its own.
    halo
        Further pixels that the kernel is given on either side, as far as the level has them.
    above
        For `Kernel.finish`: pixels of the level above in one of this.
    covers
        For `Kernel.finish`: level-0 pixels in one pixel of this level, unless the edge cuts it.
    covered
        For `Kernel.finish`: level-0 pixels that the whole level covers.

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
    above: int = 1
    covers: int = 1
    covered: int | None = None

    def __post_init__(self) -> None:
        whole = self.stop % self.factor == 0 or self.stop == self.size
        assert 0 <= self.start <= self.stop <= self.size, "a section lies within its level"
        assert self.start % self.factor == 0, "a section begins with a block"
        assert whole, "a section ends with a block, or at the edge"

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
        """How many level-0 pixels each pixel covers along the axis: `covers`, fewer where the edge cuts the block.

        >>> Section(0, 3, 3, 1, covers=4, covered=10).counts
        array([4, 4, 2])
        """
        pixels = np.arange(self.start, self.stop, dtype=np.int64)
        covered = self.covers * self.size if self.covered is None else self.covered
        return np.minimum(self.covers, covered - self.covers * pixels)

    def part(self, first: int, last: int) -> Section:
        """Return the section of the blocks ``first … last - 1`` of this one."""
        start = self.start + first * self.factor
        return replace(self, start=start, stop=min(self.start + last * self.factor, self.stop))


@dataclass(frozen=True, slots=True)
class Origin:
    """What the pixels of a level stand for, by axis; names are those of `Section`.

    Parameters
    ----------
    above
        Pixels of the level above in one of this; 1 for level 0.
    covers, covered
        Pixels of level 0 that one pixel covers unless the edge cuts it, and that the whole level covers.
    """

    above: tuple[int, ...]
    covers: tuple[int, ...]
    covered: tuple[int, ...]


def origins(shapes: Sequence[tuple[int, ...]], steps: Sequence[tuple[int, ...]]) -> tuple[Origin, ...]:
    """Return what the pixels of each level stand for.

    Parameters
    ----------
    shapes
        Of the levels.
    steps
        Factors from each level to the next.

    Examples
    --------
    >>> origins([(10,), (5,), (3,)], [(2,), (2,)])[2]
    Origin(above=(2,), covers=(4,), covered=(10,))
    """
    found = [Origin((1,) * len(shapes[0]), (1,) * len(shapes[0]), shapes[0])]
    for step, shape in zip(steps, shapes[1:], strict=True):
        covers = tuple(pixels * f for pixels, f in zip(found[-1].covers, step, strict=True))
        covered = tuple(min(n * f, known) for n, f, known in zip(shape, covers, found[-1].covered, strict=True))
        found.append(Origin(step, covers, covered))
    return tuple(found)


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
    lengths = [part.stop - part.start for part in parts]
    least = [part.halo * HALOS_ACROSS // (1 if axis else 4) for axis, part in enumerate(parts)]
    able = [axis for axis, part in enumerate(parts) if part.count > 1 and lengths[axis] >= 2 * least[axis]]
    if able and math.prod(part.read.stop - part.read.start for part in parts) > pixels:
        # where halos are read twice, tiles had better be cubes; else lines are left as long as they are
        axis = max(able, key=lambda axis: lengths[axis]) if any(least) else able[0]
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
