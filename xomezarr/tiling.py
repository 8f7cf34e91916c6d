"""The tiles of a pyramid: which boxes of which level are made from which, as plain numbers.

A tile is a box of one level, of whole chunks or shards, that one worker makes and writes at once. Its pixels are made
of the tiles of the level above that lie in it: so all tiles form trees, whose leaves are the tiles of level 0. Walked
leaf by leaf, with every tile made as soon as all that it is made of is there, a few tiles of each level are in memory
at a time, however large the image.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

__all__ = [
    "ENOUGH_READS",
    "LEAF_BYTES",
    "TASK_BYTES",
    "Costs",
    "Pass",
    "Tile",
    "Tiling",
    "fit",
    "fit_apart",
    "repeated_reads",
]

LEAF_BYTES = 4 * 2**20
"""Pixels of a leaf, in bytes, where chunks are smaller: a hundred times what handing over a leaf costs, and small
beside the memory of any machine."""

TASK_BYTES = 32 * 2**20
"""The same where a leaf is a task of dask, which costs ten times as much and is planned before the first one runs."""

ENOUGH_READS = 1.25
"""Reading stored chunks again costs a fifth of the time then at most; avoiding that, where chunks do not fit each
other, many times the memory."""

OTHER_WORK = 3
"""What is done with a chunk, in times of reading it: it is reduced, encoded and written."""

SHARED_BYTES = 2**20
"""Leaves of fewer bytes are not made smaller for more workers to have one: to start these takes as long."""

MANY_TILES = 2**10
"""Along one axis: so many are counted one by one."""

WORTHWHILE = 0.8
"""Leaves that read halos are doubled only for a fifth of the reads: these are a tenth of a filter's work."""

THREAD_BYTES = 8 * 2**20
"""What a worker needs beside its arrays: the scratch memory of kernels, of codecs, and of the allocator."""


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """A tile, by its level and its place among the tiles of that level.

    Examples
    --------
    >>> tile = Tile(1, (0, 3, 2))
    >>> tile.id
    '1/0.3.2'
    """

    level: int
    index: tuple[int, ...]

    @property
    def id(self) -> str:
        """Name of the tile, which depends on the plan alone."""
        return f"{self.level}/{'.'.join(map(str, self.index))}"


@dataclass(frozen=True, slots=True)
class Tiling:
    """How the levels of a pyramid are cut into tiles; all sequences are by level, then by axis.

    Parameters
    ----------
    shapes
        Of the levels.
    steps
        Factors from each level to the next, as they are really taken.
    sizes
        Of a tile that no edge cuts; a multiple of the chunk or shard, and of the next factor. Tiles of the next level
        are made of whole ones.
    linked
        Whether levels are made from each other. Otherwise each is written from pixels of its own, and all tiles are
        leaves.
    windows
        The pixels of each level that are to be made, of a part of an image; None for all. Tiles are those of the whole,
        cut to it, and those that it does not touch are left out.

    Examples
    --------
    >>> tiling = Tiling(((100, 100), (50, 50)), ((2, 2),), ((64, 64), (32, 32)))
    >>> tiling.box(Tile(0, (1, 0)))
    (slice(64, 100, None), slice(0, 64, None))
    >>> tiling.parent(Tile(0, (1, 0))).id
    '1/1.0'
    """

    shapes: tuple[tuple[int, ...], ...]
    steps: tuple[tuple[int, ...], ...]
    sizes: tuple[tuple[int, ...], ...]
    linked: bool = True
    windows: tuple[tuple[slice, ...], ...] | None = None

    def __post_init__(self) -> None:
        if not self.linked:
            return
        assert len(self.shapes) == len(self.sizes) == len(self.steps) + 1, "a step lies between two levels"
        pairs = itertools.pairwise(self.sizes)
        for (upper, lower), step, shape in zip(pairs, self.steps, self.shapes[1:], strict=True):
            whole = all(low >= n or low * f % up == 0 for up, low, f, n in zip(upper, lower, step, shape, strict=True))
            assert whole, "tiles are made of whole ones"

    @classmethod
    def growing(
        cls,
        shapes: Sequence[tuple[int, ...]],
        steps: Sequence[tuple[int, ...]],
        units: Sequence[tuple[int, ...]],
        leaf: tuple[int, ...],
    ) -> Tiling:
        """Choose the smallest tiles above those of level 0.

        Parameters
        ----------
        units
            Chunks or shards that tiles are multiples of.
        leaf
            Tile of level 0.

        Examples
        --------
        >>> Tiling.growing(((512,), (256,), (128,)), ((2,), (2,)), ((64,), (64,), (64,)), (256,)).sizes
        ((256,), (128,), (64,))
        """
        sizes = [leaf]
        for level in range(1, len(shapes)):
            after = steps[level] if level < len(steps) else (1,) * len(leaf)
            sizes.append(
                tuple(
                    math.lcm(unit, next_factor, below // math.gcd(below, factor))
                    for unit, next_factor, below, factor in zip(
                        units[level], after, sizes[-1], steps[level - 1], strict=True
                    )
                )
            )
        return cls(tuple(shapes), tuple(steps), tuple(sizes))

    @property
    def top(self) -> int:
        """The coarsest level."""
        return len(self.shapes) - 1

    def within(self, windows: Sequence[tuple[slice, ...]]) -> Tiling:
        """Return the tiles of a part of the image; parameters are those of the class."""
        return replace(self, windows=tuple(windows))

    def window(self, level: int) -> tuple[slice, ...]:
        """Return the pixels of a level that are to be made."""
        return tuple(slice(0, n) for n in self.shapes[level]) if self.windows is None else self.windows[level]

    def counts(self, level: int) -> tuple[int, ...]:
        """Count the tiles of a whole level along each axis."""
        return tuple(-(-n // size) for n, size in zip(self.shapes[level], self.sizes[level], strict=True))

    def spans(self, level: int) -> list[range]:
        """Return the indices along each axis of the tiles of a level that are to be made.

        >>> Tiling(((100,),), (), ((25,),)).within([(slice(30, 70),)]).spans(0)
        [range(1, 3)]
        """
        return [
            range(where.start // size, -(-where.stop // size))
            for where, size in zip(self.window(level), self.sizes[level], strict=True)
        ]

    def count(self, level: int) -> int:
        """Count the tiles of a level."""
        return math.prod(map(len, self.spans(level)))

    def tiles(self, level: int) -> Iterator[Tile]:
        """Yield the tiles of a level in C order."""
        return (Tile(level, index) for index in itertools.product(*self.spans(level)))

    def box(self, tile: Tile) -> tuple[slice, ...]:
        """Return the pixels of its level that a tile holds."""
        return tuple(
            slice(max(i * size, where.start), min((i + 1) * size, where.stop))
            for i, size, where in zip(tile.index, self.sizes[tile.level], self.window(tile.level), strict=True)
        )

    def extents(self, level: int) -> tuple[tuple[int, ...], ...]:
        """Return how many pixels the tiles of a level have along each axis, one after the other.

        >>> Tiling(((100,),), (), ((25,),)).within([(slice(30, 70),)]).extents(0)
        ((20, 20),)
        """
        return tuple(
            tuple(min((i + 1) * size, where.stop) - max(i * size, where.start) for i in span)
            for span, size, where in zip(self.spans(level), self.sizes[level], self.window(level), strict=True)
        )

    def kept(self, level: int) -> tuple[int, ...]:
        """Count the pixels along each axis that the next level is made of: all but those that are trimmed."""
        return tuple(
            min(n, f * m) for n, f, m in zip(self.shapes[level], self.steps[level], self.shapes[level + 1], strict=True)
        )

    def parent(self, tile: Tile) -> Tile | None:
        """Return the tile of the next level under which a tile is made: that which is made of it, if any.

        Pixels that are trimmed are made into nothing; a tile of such alone comes with its last neighbours.
        """
        level = tile.level
        if level == self.top or not self.linked:
            return None
        return Tile(
            level + 1,
            tuple(
                min(i * size // (f * below), count - 1)
                for i, size, f, below, count in zip(
                    tile.index,
                    self.sizes[level],
                    self.steps[level],
                    self.sizes[level + 1],
                    self.counts(level + 1),
                    strict=True,
                )
            ),
        )

    def _ranges(self, tile: Tile) -> list[range]:
        """Return the indices along each axis of the tiles that come under a tile of the next level."""
        level = tile.level - 1
        ranges = []
        for i, size, f, below, count, span in zip(
            tile.index,
            self.sizes[level],
            self.steps[level],
            self.sizes[tile.level],
            self.counts(tile.level),
            self.spans(level),
            strict=True,
        ):
            each = max(f * below // size, 1)
            first, last = i * each, span.stop if i == count - 1 else (i + 1) * each
            ranges.append(range(max(first, span.start), max(min(last, span.stop), first, span.start)))
        return ranges

    def children(self, tile: Tile) -> Iterator[Tile]:
        """Yield the tiles of the level above that come under a tile; empty for level 0."""
        if tile.level == 0:
            return iter(())
        return (Tile(tile.level - 1, index) for index in itertools.product(*self._ranges(tile)))

    def parts(self, tile: Tile) -> int:
        """Count the tiles of the level above that a tile is made of."""
        level = tile.level - 1
        return math.prod(
            sum(i * size < kept for i in indices)
            for indices, size, kept in zip(self._ranges(tile), self.sizes[level], self.kept(level), strict=True)
        )

    def gives(self, tile: Tile) -> bool:
        """Whether the tile of the next level is made of this one: unless all of it is trimmed."""
        kept = self.kept(tile.level)
        return all(i * size < n for i, size, n in zip(tile.index, self.sizes[tile.level], kept, strict=True))

    def subtree(self, tile: Tile) -> Iterator[Tile]:
        """Yield all tiles that come under a tile, each after those that it is made of, and the tile last."""
        if self.linked:
            for child in self.children(tile):
                yield from self.subtree(child)
        yield tile

    def made(self) -> Iterator[Tile]:
        """Yield all tiles, each after those that it is made of, and tree by tree."""
        for level in (self.top,) if self.linked else range(self.top + 1):
            for tile in self.tiles(level):
                yield from self.subtree(tile)

    def astray(self, tile: Tile) -> Iterator[Tile]:
        """Yield the tiles under a tile of which all is trimmed, so that it does not wait for them."""
        if self.linked:
            for child in self.children(tile):
                if self.gives(child):
                    yield from self.astray(child)
                else:
                    yield child

    def starts(self, level: int, done: Callable[[Tile], bool]) -> Iterator[Tile]:
        """Yield the tiles from which all others are made that are not done, neighbours after each other.

        Parameters
        ----------
        level
            Of those that are made from nothing that is done; levels that are not made from each other have only such.
        done
            Whether a tile is done, and all under it but those that it does not wait for.

        Examples
        --------
        >>> tiling = Tiling(((100,), (50,)), ((2,),), ((25,), (25,)))
        >>> [tile.id for tile in tiling.starts(0, lambda tile: tile.id == "1/0")]
        ['1/0', '0/2', '0/3']
        """
        if not self.linked:
            yield from (tile for tile in self.made() if not done(tile))
            return

        def under(tile: Tile) -> Iterator[Tile]:
            if done(tile):
                for stray in self.astray(tile):
                    yield from under(stray)
                yield tile
            elif tile.level <= level:
                yield tile
            else:
                for child in self.children(tile):
                    yield from under(child)

        for tile in self.tiles(self.top):
            yield from under(tile)

    def covers(self, level: int) -> int:
        """Count the pixels that a tile stands for: of level 0 if it is made of that, no more than there are."""
        if not self.linked:
            return _pixels(self.sizes[level], self.shapes[level])
        sizes = self.sizes[level]
        for step in reversed(self.steps[:level]):
            sizes = tuple(size * factor for size, factor in zip(sizes, step, strict=True))
        return _pixels(sizes, self.shapes[0])

    def cut(self, level: int) -> tuple[int, ...]:
        """Return the pixels of a tile, no more than the level has."""
        return tuple(map(min, self.sizes[level], self.shapes[level]))

    @property
    def leaf_count(self) -> int:
        """Number of leaves."""
        return self.count(0) if self.linked else self.total

    @property
    def total(self) -> int:
        """Number of all tiles."""
        return sum(self.count(level) for level in range(self.top + 1))


def repeated_reads(size: int, tile: int, stored: int, halo: int = 0) -> float:
    """Return how many times a stored chunk is read on average, by tiles of which each reads what it touches.

    Parameters
    ----------
    size
        Pixels along the axis.
    tile, stored
        Pixels of a tile and of a stored chunk.
    halo
        Pixels that a tile reads beyond itself on either side.

    Examples
    --------
    >>> repeated_reads(1000, 100, 50), repeated_reads(1000, 50, 100), repeated_reads(300, 100, 150)
    (1.0, 2.0, 2.0)
    >>> repeated_reads(400, 100, 50, halo=4)
    1.75
    """
    if halo:
        size = min(size, MANY_TILES * tile)  # the others are like these
    chunks = -(-size // stored)
    if not halo:
        borders = -(-size // tile) - 1
        on_a_border = borders // (stored // math.gcd(tile, stored))
        return (chunks + borders - on_a_border) / chunks
    touched = sum(
        -(-min(start + tile + halo, size) // stored) - max(start - halo, 0) // stored for start in range(0, size, tile)
    )
    return touched / chunks


@dataclass(frozen=True, slots=True)
class Costs:
    """What pixels cost in memory.

    Parameters
    ----------
    itemsize
        Bytes of a pixel.
    carry
        Bytes of a pixel of a carry; 0 where levels are not made from each other.
    stored
        Pixels of the source along each axis that are decoded together; 1 where a read costs what it brings.
    copies
        How many times the pixels of a leaf are in memory: 0 where they are there already, 1 where they are read, 3
        where dask computes blocks, and joins and cuts them.
    leaf
        Bytes of a leaf's pixels where chunks are smaller.
    halo
        Pixels along each axis that a leaf reads beyond itself, on either side.
    blocks
        Pixels along each axis of what dask computes at once, where it does.
    objects
        Pixels of the source along each axis that lie in one object: shards, of which a leaf reads its part at once.
    """

    itemsize: int
    carry: int
    stored: tuple[int, ...]
    copies: int
    leaf: int
    halo: tuple[int, ...]
    blocks: tuple[int, ...] = ()
    objects: tuple[int, ...] = ()

    def reads(self, shape: Sequence[int], leaf: Sequence[int]) -> float:
        """Return how many times each stored chunk is read, on average."""
        return math.prod(itertools.starmap(repeated_reads, zip(shape, leaf, self.stored, self.halo, strict=True)))

    def time(self, tiling: Tiling, workers: int) -> float:
        """Return about how long it takes, in times of one worker that reads each stored chunk once."""
        return (self.reads(tiling.shapes[0], tiling.sizes[0]) + OTHER_WORK) / min(workers, tiling.leaf_count)

    def memory(self, tiling: Tiling, units: Sequence[tuple[int, ...]], workers: int) -> int:
        """Predict the bytes that are in use at most, beyond those of an image in memory.

        Parameters
        ----------
        units
            Chunks or shards, by level.
        """
        workers = self.busy(tiling, workers)
        shape = tiling.shapes[0]
        read = [size + 2 * halo for size, halo in zip(tiling.sizes[0], self.halo, strict=True)]
        leaf = _pixels(read, shape)
        # a chunk is copied out of its tile, or encoded: both are seldom there at the same time
        unit = max(_pixels(unit, size) for unit, size in zip(units, tiling.shapes, strict=True))
        reading, held = 0, 0
        if self.copies:
            objects = self.objects or self.stored
            decoded = _pixels(list(map(max, self.stored, map(min, objects, read))), shape)
            # what is decoded of one object is the leaf itself
            within = all(not pixels % size for pixels, size in zip(objects, read, strict=True))
            held = decoded if within else self.copies * leaf
            # with what it is decoded from, which may be as large
            reading = held + (1 if within else 2) * decoded
        own = THREAD_BYTES + max(reading, held + unit) * self.itemsize
        shared = self._waiting(tiling)
        if tiling.linked:
            for level in range(1, tiling.top + 1):
                pixels = _pixels(tiling.sizes[level], tiling.shapes[level])
                parts = max(tiling.count(level - 1) // tiling.count(level), 1)
                if parts == 1:
                    own += pixels * self.carry
                else:
                    # those that neighbouring leaves belong to, and one that is being made
                    shared += min(tiling.count(level), 1 + -(-workers // parts)) * pixels * self.carry
        return workers * own + shared

    def busy(self, tiling: Tiling, workers: int) -> int:
        """Return how many workers have something to do: no more than there are leaves, unless dask computes them."""
        return workers if self.blocks else min(workers, tiling.leaf_count)

    def _waiting(self, tiling: Tiling) -> int:
        """Return the bytes of leaves that wait for each other, as a block that dask computes belongs to several."""
        shape, leaf = tiling.shapes[0], tiling.sizes[0]
        if not self.blocks:
            return 0
        together = []
        for size, block in zip(leaf, self.blocks, strict=True):
            beyond = min(block, size) if max(block, size) % min(block, size) else 0
            together.append(-(-block // size) * size + beyond)
        waiting = _pixels(together, shape)
        return waiting * self.itemsize if waiting > _pixels(leaf, shape) else 0


def _pixels(box: Sequence[int], shape: Sequence[int]) -> int:
    return math.prod(map(min, box, shape))


@dataclass(frozen=True, slots=True)
class Pass:
    """One walk over tiles: what it makes, how many work on it, and what that takes.

    Parameters
    ----------
    tiling
        Its levels are those of the image from `first` on.
    workers
        As many as asked, or fewer to stay within the memory.
    memory
        Bytes in use at most, predicted.
    reads
        How many times each stored chunk of what it reads is read, on average.
    first
        The level that its leaves are of.
    writes
        Levels of the image that it writes.
    """

    tiling: Tiling
    workers: int
    memory: int
    reads: float
    first: int
    writes: tuple[int, ...]

    @property
    def levels(self) -> range:
        """Levels of the image that its tiles are of."""
        return range(self.first, self.first + self.tiling.top + 1)

    def tiles(self) -> Iterator[Tile]:
        """Yield the tiles that it writes, by level of the image; in order, where one worker makes them all."""
        for tile in self.tiling.made():
            if (level := self.levels[tile.level]) in self.writes:
                yield Tile(level, tile.index)

    def box(self, tile: Tile) -> tuple[slice, ...]:
        """Return the pixels of a tile that it writes."""
        return self.tiling.box(Tile(tile.level - self.first, tile.index))


def fit(
    shapes: Sequence[tuple[int, ...]],
    steps: Sequence[tuple[int, ...]],
    units: Sequence[tuple[int, ...]],
    costs: Costs,
    *,
    workers: int,
    max_memory: int,
) -> Pass:
    """Choose tiles of which each reads whole stored chunks, if that fits into the memory and leaves work for all.

    Returns
    -------
    Pass
        With the fewest workers, and the smallest tiles, even where these exceed the memory.

    Examples
    --------
    Single planes, as of a TIFF file, into cubes: a leaf takes whole planes.

    >>> costs = Costs(2, 4, (1, 512, 512), copies=1, leaf=LEAF_BYTES, halo=(0, 0, 0))
    >>> shapes, steps, units = [(128, 512, 512), (64, 256, 256)], [(2, 2, 2)], [(64,) * 3, (32, 64, 64)]
    >>> fitted = fit(shapes, steps, units, costs, workers=2, max_memory=2**30)
    >>> fitted.tiling.sizes[0], fitted.reads
    ((64, 512, 512), 1.0)
    """
    tiling, workers = _chosen(shapes, steps, units, costs, workers, max_memory)
    return _pass(tiling, [(tiling, units, costs)], workers)


def fit_apart(
    shapes: Sequence[tuple[int, ...]],
    units: Sequence[tuple[int, ...]],
    costs: Sequence[Costs],
    *,
    workers: int,
    max_memory: int,
) -> Pass:
    """Choose tiles for levels that are not made from each other; parameters are those of `fit`, costs by level."""
    alone = list(zip(shapes, units, costs, strict=True))
    chosen = [_chosen([shape], [], [unit], cost, workers, max_memory) for shape, unit, cost in alone]
    tiling = Tiling(tuple(shapes), (), tuple(of_level.sizes[0] for of_level, _ in chosen), linked=False)
    parts = [(of_level, [unit], cost) for (_, unit, cost), (of_level, _) in zip(alone, chosen, strict=True)]
    return _pass(tiling, parts, min(fewest for _, fewest in chosen))


def _pass(tiling: Tiling, parts: Sequence[tuple[Tiling, Sequence[tuple[int, ...]], Costs]], workers: int) -> Pass:
    """Return the walk over a tiling; `parts` are what is made from each other in it, with its units and costs."""
    return Pass(
        tiling,
        max(costs.busy(tiling, workers) for _, _, costs in parts),
        max(costs.memory(part, units, workers) for part, units, costs in parts),
        max(costs.reads(part.shapes[0], part.sizes[0]) for part, _, costs in parts),
        0,
        tuple(range(len(tiling.shapes))),
    )


def _chosen(
    shapes: Sequence[tuple[int, ...]],
    steps: Sequence[tuple[int, ...]],
    units: Sequence[tuple[int, ...]],
    costs: Costs,
    workers: int,
    max_memory: int,
) -> tuple[Tiling, int]:
    """Return the tiles, and as many of the workers as the memory allows, and as make it faster.

    Fewer workers have larger tiles in the same memory, and read chunks that lie across these less often.
    """
    best = tiling, fewer = _grown(shapes, steps, units, costs, workers, max_memory)
    while fewer > 1 and costs.reads(shapes[0], tiling.sizes[0]) > ENOUGH_READS:
        tiling, fewer = _grown(shapes, steps, units, costs, 2 ** ((fewer - 1).bit_length() - 1), max_memory)
        best = min(best, (tiling, fewer), key=lambda chosen: costs.time(*chosen))
    return best


def _grown(
    shapes: Sequence[tuple[int, ...]],
    steps: Sequence[tuple[int, ...]],
    units: Sequence[tuple[int, ...]],
    costs: Costs,
    workers: int,
    max_memory: int,
) -> tuple[Tiling, int]:
    """Return tiles that are as large as the memory allows to so many workers, or to those that it has room for."""
    shape = shapes[0]
    after = steps[0] if steps else (1,) * len(shape)

    def made(leaf: tuple[int, ...]) -> Tiling:
        return Tiling.growing(shapes, steps, units, leaf)

    def fits(leaf: tuple[int, ...], workers: int) -> bool:
        return costs.memory(made(leaf), units, workers) <= max_memory

    def count(leaf: tuple[int, ...]) -> int:
        return made(leaf).leaf_count

    def time(leaf: tuple[int, ...]) -> float:
        return costs.time(made(leaf), workers)

    leaf = tuple(map(math.lcm, units[0], after))
    if not fits(leaf, workers):
        too_many, workers = workers, 1
        while too_many - workers > 1:
            middle = (workers + too_many) // 2
            workers, too_many = (middle, too_many) if fits(leaf, middle) else (workers, middle)
    while _pixels(leaf, shape) * costs.itemsize * 2 <= costs.leaf:
        growing = [axis for axis, n in enumerate(shape) if leaf[axis] < n]
        if not growing:
            break
        # where stored chunks are not whole yet; then the last axes first: there the neighbours in memory are
        axis = min(growing, key=lambda axis: (leaf[axis] >= costs.stored[axis], leaf[axis] // units[0][axis], -axis))
        doubled = _with(leaf, axis, 2 * leaf[axis])
        scarce = workers > 1 and count(doubled) < 2 * workers
        if not fits(doubled, workers) or (scarce and _pixels(leaf, shape) * costs.itemsize >= SHARED_BYTES):
            break
        leaf = doubled
    while (reads := costs.reads(shape, leaf)) > ENOUGH_READS:
        larger = [
            _with(leaf, axis, size)
            for axis, n in enumerate(shape)
            if leaf[axis] < n
            for size in {2 * leaf[axis], math.lcm(leaf[axis], costs.stored[axis])}
        ]
        # a halo touches further chunks however large the leaf is
        enough = WORTHWHILE * reads if any(costs.halo) else reads
        better = [
            candidate
            for candidate in larger
            if costs.reads(shape, candidate) < enough and time(candidate) < time(leaf) and fits(candidate, workers)
        ]
        if not better:
            break
        leaf = min(better, key=lambda candidate: (costs.reads(shape, candidate) * _pixels(candidate, shape), candidate))
    return made(leaf), workers


def _with(sizes: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    return (*sizes[:axis], size, *sizes[axis + 1 :])
