"""Execute a tiling: every source chunk is read once, every chunk of the file written once, by its only writer.

A leaf's pixels are read, written and reduced; what the reduction gives is put into the tile of the next level that it
belongs to. The worker that brings the last piece makes that tile, and so goes on upwards. Nothing waits for a level to
be complete, and what is in memory at a time are a few tiles of each level.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xomezarr.chunks import Chunks, within
from xomezarr.downsample import Origin, Recipe, Section, as_promised, block_shape, check_result, tiles
from xomezarr.downsample.method import Reduction
from xomezarr.journal import Ledger
from xomezarr.source import Source
from xomezarr.tiling import Tile, Tiling

__all__ = ["OnTile", "Watch", "Work", "keep_freed_memory", "run_in_threads", "stop"]

type OnTile = Callable[[int], None]
"""Called with the number of decoded bytes each time that a part of a level has been written."""

FINISHED_PIXELS = 2**19
"""Pixels that a kernel finishes in one go, for what it needs meanwhile to stay small beside a tile."""


KEPT_BYTES = 8 * 2**20
"""More than any array that comes and goes with each tile of the usual sizes."""


def keep_freed_memory() -> None:
    """Let the C library keep the memory of tiles that are done, for the next ones.

    glibc keeps what is no larger than the largest block that was ever freed, and returns the rest to the system, which
    takes longer to clear pages for the next tile than its pixels take to be added up. This block is not touched, and so
    costs nothing.
    """
    np.empty(KEPT_BYTES, np.uint8)


class Stopped(BaseException):
    """Another worker has failed, or the user has interrupted: nothing more is wanted."""


_STOPPED: set[str] = set()
"""Names of watches that stopped elsewhere."""


def stop(name: str) -> None:
    """Stop all that has a watch of this name in this process, or will have."""
    _STOPPED.add(name)


class Watch:
    """Told of tiles that are written in this process, and asked whether to go on.

    In another process it has the same name, by which `stop` stops it there, and tells nobody. `told` counts the bytes
    that were written in this one.

    Parameters
    ----------
    on_tile
        Called with the bytes of each tile, by several threads at once.
    """

    def __init__(self, on_tile: OnTile | None = None, name: str = "") -> None:
        self._on_tile, self._stopped = on_tile, False
        self._lock = threading.Lock()
        self.name = name or uuid.uuid4().hex
        self.told = 0

    def __reduce__(self) -> Any:
        return (Watch, (None, self.name))

    @property
    def stopped(self) -> bool:
        """Whether nothing more is wanted."""
        return self._stopped or self.name in _STOPPED

    def stop(self) -> None:
        """Stop what is under way in this process."""
        self._stopped = True

    def go_on(self) -> None:
        """Raise `Stopped` where nothing more is wanted."""
        if self.stopped:
            raise Stopped

    def tell(self, nbytes: int) -> None:
        """Tell of a tile that has been written."""
        with self._lock:
            self.told += nbytes
        if self._on_tile is not None:
            self._on_tile(nbytes)


@dataclass(frozen=True)
class Work:
    """All that is needed to make any tile, and that can be sent to another process.

    Parameters
    ----------
    tiling
        What is made of what.
    recipe
        How; None where levels are not made from each other.
    targets
        Where the levels are written, by level of the tiling; None for a level that is there already, or comes later.
    origins
        What the levels are made of; empty where they are not made from each other.
    carries
        Where carries are written, by level of the tiling, for another walk to start from; empty where none is.
    from_carry
        Whether leaves are given such a carry, rather than pixels.
    reach
        Pixels beyond itself that a leaf is given on either side, by axis in file order; empty for none.
    ledger
        Knows which tiles were made before, and is told of those that are made; None where nothing is noted.
    """

    tiling: Tiling
    recipe: Recipe | None
    targets: tuple[Chunks | None, ...]
    origins: tuple[Origin, ...] = ()
    carries: tuple[Chunks | None, ...] = ()
    from_carry: bool = False
    reach: tuple[int, ...] = ()
    ledger: Ledger | None = None

    def done(self, tile: Tile) -> bool:
        """Whether a tile was made before, with all that it is made of."""
        return self.ledger is not None and tile in self.ledger.done

    def skips(self, tile: Tile) -> bool:
        """Whether a tile need not be made, as one that is done is made of it."""
        if self.ledger is None or not self.ledger.done:
            return False
        while (over := self.tiling.parent(tile)) is not None and self.tiling.gives(tile):
            if self.done(over):
                return True
            tile = over
        return False

    def starts(self, level: int = 0) -> Iterator[Tile]:
        """Yield the tiles to begin with, of a level; where one above them is done, that one."""
        return self.tiling.starts(level, self.done)

    def again(self, tile: Tile) -> NDArray[Any] | None:
        """Return the carry of a tile that is done; None where there is none."""
        assert self.ledger is not None
        if self.recipe is None or self.tiling.parent(tile) is None or not self.tiling.gives(tile):
            return None
        kernel = self.recipe.kernel
        shape = (kernel.components, *(section.count for section in self._sections(tile)))
        return self.ledger.carry(tile, shape, kernel.dtype)

    def _noted(self, tile: Tile, carry: NDArray[Any] | None) -> NDArray[Any] | None:
        """Return the carry of a tile that is made now, which is noted where that is due."""
        if self.ledger is not None and self.ledger.notes(tile):
            self.ledger.note(tile, carry, self.tiling.covers(tile.level) * self.ledger.itemsize)
        return carry

    def read(self, tile: Tile, source: Source) -> NDArray[Any]:
        """Read what a leaf is made of: its pixels, or its carry, and the halo around it that its level has."""
        box = self._given(tile)
        if self.from_carry:
            assert self.recipe is not None
            return source.read((slice(0, self.recipe.kernel.components), *box))
        return source.read(box)

    def leaf(self, tile: Tile, given: NDArray[Any], watch: Watch) -> NDArray[Any] | None:
        """Write a tile, and return its carry, of the next level; None where there is none.

        Parameters
        ----------
        given
            What `read` returns, in file order.
        """
        whole = self._given(tile)
        carry = self._in_order(given) if self.from_carry else given
        target = self.targets[tile.level]
        if target is not None:
            for box in target.boxes(self.tiling.box(tile)):
                watch.go_on()
                pixels = self._finished(tile.level, carry, whole, box) if self.from_carry else given[within(whole, box)]
                target.write(box, pixels)
            watch.tell(self.written(tile))
        if self.recipe is None or self.tiling.parent(tile) is None:
            return self._noted(tile, None)
        kernel = self.recipe.kernel
        if self.from_carry:
            return self._noted(tile, self._reduced(tile, carry, whole, kernel.step))
        return self._noted(tile, self._reduced(tile, given.transpose(self.recipe.order), whole, kernel.start))

    def node(self, tile: Tile, carry: NDArray[Any], watch: Watch) -> NDArray[Any] | None:
        """Write a tile that is made of others, and return its carry as `leaf` does.

        Parameters
        ----------
        carry
            The tile's own, axes in the kernel's order.
        """
        assert self.recipe is not None
        whole, target = self.tiling.box(tile), self.targets[tile.level]
        if target is not None:
            for box in target.boxes(whole):
                watch.go_on()
                target.write(box, self._finished(tile.level, carry, whole, box))
            watch.tell(self.written(tile))
        kept = self.carries[tile.level] if self.carries else None
        if kept is not None:
            in_file_order = carry.transpose((0, *(1 + axis for axis in self.recipe.back)))
            for box in kept.boxes((slice(0, len(carry)), *whole)):
                watch.go_on()
                kept.write(box, in_file_order[(slice(None), *within(whole, box[1:]))])
        if self.tiling.parent(tile) is None:
            return self._noted(tile, None)
        return self._noted(tile, self._reduced(tile, carry, whole, self.recipe.kernel.step))

    def whole(self, tile: Tile, sources: Sequence[Source], watch: Watch) -> NDArray[Any] | None:
        """Make all tiles that come under one and are not done, and that one; return its carry."""
        if self.done(tile):
            return self.again(tile)
        if tile.level == 0 or not self.tiling.linked:
            return self.leaf(tile, self.read(tile, sources[tile.level]), watch)
        pieces = ((child, self._under(child, sources, watch)) for child in self.tiling.children(tile))
        return self.node(tile, self.joined(tile, pieces), watch)

    def _under(self, tile: Tile, sources: Sequence[Source], watch: Watch) -> NDArray[Any] | None:
        """Do as `whole`; of a tile that is done, what it did not wait for is made too."""
        if self.done(tile):
            for stray in self.tiling.astray(tile):
                self.whole(stray, sources, watch)
        return self.whole(tile, sources, watch)

    def joined(self, tile: Tile, pieces: Iterable[tuple[Tile, NDArray[Any] | None]]) -> NDArray[Any]:
        """Return the carry of a tile, put together from those of the tiles that it is made of."""
        carry = self.empty_carry(tile)
        for piece, part in pieces:
            if part is not None:
                carry[(slice(None), *self.place(piece, tile))] = part
        return carry

    @property
    def nbytes(self) -> int:
        """Decoded bytes that all tiles write."""
        return sum(target.written(target.area) for target in self.targets if target is not None)

    @property
    def done_bytes(self) -> int:
        """Decoded bytes that were written before."""
        if self.ledger is None:
            return 0
        return sum(map(self._done_under, self.ledger.done))

    def _done_under(self, tile: Tile) -> int:
        children = filter(self.tiling.gives, self.tiling.children(tile)) if self.tiling.linked else ()
        return self.written(tile) + sum(map(self._done_under, children))

    def new_bytes(self, tile: Tile) -> int:
        """Return the decoded bytes that are written where a tile is made, and all under it that is not done."""
        if not self.tiling.linked:
            return 0 if self.done(tile) else self.written(tile)
        if self.done(tile):
            return sum(map(self.new_bytes, self.tiling.astray(tile)))
        return self.written(tile) + sum(map(self.new_bytes, self.tiling.children(tile)))

    def written(self, tile: Tile) -> int:
        """Return the decoded bytes that a tile writes."""
        target = self.targets[tile.level]
        return 0 if target is None else target.written(self.tiling.box(tile))

    def place(self, tile: Tile, parent: Tile) -> tuple[slice, ...]:
        """Return where a tile's carry lies in that of its parent, axes in the kernel's order."""
        assert self.recipe is not None
        own, of_parent = self._sections(tile), self.tiling.box(parent)
        return tuple(
            slice(start := section.first_block - of_parent[axis].start, start + section.count)
            for section, axis in zip(own, self.recipe.order, strict=True)
        )

    def empty_carry(self, tile: Tile) -> NDArray[Any]:
        """Return room for a tile's carry."""
        assert self.recipe is not None
        box = self.tiling.box(tile)
        shape = tuple(box[axis].stop - box[axis].start for axis in self.recipe.order)
        return np.empty((self.recipe.kernel.components, *shape), self.recipe.kernel.dtype)

    def _in_order(self, carry: NDArray[Any]) -> NDArray[Any]:
        """Return a carry that was kept in file order, axes in the kernel's order."""
        assert self.recipe is not None
        return carry.transpose((0, *(1 + axis for axis in self.recipe.order)))

    def _given(self, tile: Tile) -> tuple[slice, ...]:
        """Return the pixels of its level that a leaf is given: its own, and the halo that is asked for."""
        box = self.tiling.box(tile)
        return tuple(
            slice(max(where.start - halo, 0), min(where.stop + halo, n))
            for where, halo, n in zip(box, self.reach or (0,) * len(box), self.tiling.shapes[tile.level], strict=True)
        )

    def _sections(self, tile: Tile) -> list[Section]:
        """Return what a tile gives to the next level, by axis in the kernel's order."""
        assert self.recipe is not None
        box, kept = self.tiling.box(tile), self.tiling.kept(tile.level)
        factors = self.tiling.steps[tile.level]
        return [
            Section(
                min(box[axis].start, kept[axis]),
                min(box[axis].stop, kept[axis]),
                self.tiling.shapes[tile.level][axis],
                factors[axis],
                self.recipe.kernel.halo(factors[axis]),
            )
            for axis in self.recipe.order
        ]

    def _finished(self, level: int, carry: NDArray[Any], whole: Sequence[slice], box: Sequence[slice]) -> NDArray[Any]:
        """Make the pixels of a box, in file order, of a carry that holds the pixels `whole` of the level."""
        assert self.recipe is not None
        target = self.targets[level]
        assert target is not None
        order, kernel, origin = self.recipe.order, self.recipe.kernel, self.origins[level]
        sections = [
            Section(
                box[axis].start,
                box[axis].stop,
                self.tiling.shapes[level][axis],
                1,
                kernel.finish_halo(origin.above[axis]),
                origin.above[axis],
                origin.covers[axis],
                origin.covered[axis],
            )
            for axis in order
        ]
        read = within([whole[axis] for axis in order], [section.read for section in sections])
        pixels = np.empty(tuple(where.stop - where.start for where in box), target.dtype)
        canonical, local = pixels.transpose(order), carry[(slice(None), *read)]
        for place, source, parts in tiles(sections, FINISHED_PIXELS):
            made = kernel.finish(local[source], parts)
            check_result(made, block_shape(parts), target.dtype)
            canonical[place] = made
        return pixels

    def _reduced(
        self, tile: Tile, given: NDArray[Any], whole: Sequence[slice], reduce: Reduction
    ) -> NDArray[Any] | None:
        """Make a tile's carry, of the next level, of what it has itself; None where all of it is trimmed.

        Parameters
        ----------
        given
            Pixels or carry, axes in the kernel's order.
        whole
            The pixels of the level that it holds, in file order.
        """
        assert self.recipe is not None
        kernel, sections = self.recipe.kernel, self._sections(tile)
        if not all(section.count for section in sections):
            return None
        read = within([whole[axis] for axis in self.recipe.order], [section.read for section in sections])
        where: tuple[Any, ...] = (..., *read)
        shape = (kernel.components, *block_shape(sections))
        return as_promised(reduce(given[where], sections), shape, kernel.dtype)


# --- threads ---------------------------------------------------------------------------------------------------------


def run_in_threads(work: Work, sources: Sequence[Source], workers: int, on_tile: OnTile | None = None) -> None:
    """Make all tiles in threads of this process.

    Parameters
    ----------
    work
        What is to be made.
    sources
        Level 0, or all levels where they are not made from each other.
    workers
        Number of threads.
    on_tile
        Called with the bytes of each tile that has been written, by several threads at once.
    """
    watch = Watch(on_tile)
    trees = _Trees(work, sources, watch)
    workers = min(workers, work.tiling.leaf_count)
    if workers == 1:
        trees.grow()
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="xomezarr") as pool:
        running: list[Future[None]] = []
        try:
            running += (pool.submit(trees.grow) for _ in range(workers))
            wait(running, return_when=FIRST_EXCEPTION)
        finally:
            # after an error, or an interruption of this thread, the others end with the chunk that they are at
            done = len(running) == workers and all(thread.done() and thread.exception() is None for thread in running)
            if not done:
                watch.stop()
    failures = [failure for thread in running if (failure := thread.exception()) is not None]
    for failure in failures:
        if not isinstance(failure, Stopped):
            raise failure


class _Trees:
    """All tiles, those that are being made, and who does it."""

    def __init__(self, work: Work, sources: Sequence[Source], watch: Watch) -> None:
        self._work, self._sources, self._watch = work, sources, watch
        self._starts: Iterator[Tile] = work.starts()
        self._open: dict[Tile, _Open] = {}
        self._lock = threading.Lock()

    def grow(self) -> None:
        """Take leaf after leaf, and what was made of others before, and make what becomes whole with it."""
        try:
            while (start := self._next()) is not None:
                tile, carry = start, self._work.again(start) if self._work.done(start) else self._leaf(start)
                while carry is not None and (whole := self._deliver(tile, carry)) is not None:
                    tile, carry = whole
                    carry = self._work.node(tile, carry, self._watch)
        except BaseException:
            self._watch.stop()
            raise

    def _leaf(self, tile: Tile) -> NDArray[Any] | None:
        # in a call of its own, which lets go of the pixels before the next tiles are made
        return self._work.leaf(tile, self._work.read(tile, self._sources[tile.level]), self._watch)

    def _next(self) -> Tile | None:
        with self._lock:
            return None if self._watch.stopped else next(self._starts, None)

    def _deliver(self, tile: Tile, carry: NDArray[Any]) -> tuple[Tile, NDArray[Any]] | None:
        """Put a carry where it belongs; return the tile that has become whole by it, and its carry."""
        parent = self._work.tiling.parent(tile)
        if parent is None:
            return None
        parts = self._work.tiling.parts(parent)
        if parts == 1:
            return parent, carry
        with self._lock:
            waiting = self._open.get(parent)
            if waiting is None:
                waiting = self._open[parent] = _Open(self._work.empty_carry(parent), parts)
        waiting.carry[(slice(None), *self._work.place(tile, parent))] = carry
        with self._lock:
            waiting.missing -= 1
            if waiting.missing:
                return None
            del self._open[parent]
        return parent, waiting.carry


@dataclass(slots=True)
class _Open:
    """The carry of a tile of which pieces are missing."""

    carry: NDArray[Any]
    missing: int
