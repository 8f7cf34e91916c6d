"""The same tiles as tasks of dask: where dask computes the pixels, or where a cluster is at hand.

A tile's task writes it and returns its carry, which is what the task of the next level's tile starts from: nothing is
computed twice, and nothing waits for a level to be complete.
"""

from __future__ import annotations

import math
import pickle
import sys
import time
import uuid
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xomezarr.aside import step_aside, waiting
from xomezarr.chunks import reach, reachable_elsewhere
from xomezarr.downsample import lazy_blocks
from xomezarr.engine import OnTile, Watch, Work, keep_freed_memory, stop
from xomezarr.errors import ChunkError, DtypeError, OmeZarrError
from xomezarr.source import Source, read_here
from xomezarr.tiling import Tile, Tiling

__all__ = ["active_client", "can_be_shared", "run_by_dask", "run_on_cluster"]

TASKS_PER_THREAD = 4
"""Subtrees for each thread of a cluster: enough that none is idle for long while the last ones are made."""

SUBTREE_BYTES = 2**29
"""Pixels of level 0, in bytes, that a task of a cluster makes at most: seconds of work, so that little is done again
where a worker is lost, and a thousand times what handing over a task costs."""

LIKELY_THREADS = 16
"""Of a cluster whose workers are still to come; waiting tasks cost next to nothing, and make it grow."""

IN_FLIGHT = 2
"""Tasks that each thread of a cluster has been given: one to work on, and the next."""


# --- one graph -------------------------------------------------------------------------------------------------------


def run_by_dask(work: Work, data: Sequence[Any], workers: int, on_tile: OnTile | None = None) -> None:
    """Make all tiles in one graph, on the scheduler that dask is set to.

    Parameters
    ----------
    work
        What is to be made.
    data
        Level 0, or all levels where they are not made from each other, as dask's or NumPy's arrays in file order; of a
        part of an image, what is to be made of them. Each task of dask is computed once for all levels.
    workers
        Threads or processes, where dask's scheduler is none of a cluster; no more of them than there is work for.
    on_tile
        Called with the bytes of each tile that is written in this process; of all of them in the end, where other
        processes write.

    Raises
    ------
    OmeZarrError
        If other processes would have to write into the memory of this one.
    """
    import dask.array
    import dask.base
    from dask.highlevelgraph import HighLevelGraph

    if not _in_this_process() and not can_be_shared(work):
        raise OmeZarrError(
            "the store is in the memory of this process, where the processes of dask's scheduler cannot write; "
            'give a path, or compute here: dask.config.set(scheduler="threads")'
        )
    leaves = [_blocks(array, work.tiling.extents(level)) for level, array in enumerate(data)]
    watch = Watch(on_tile, name=f"pyramid-{uuid.uuid4().hex}")
    shared = _Shared(work, watch, dtypes=[array.dtype for array in data], reached=True)
    tasks, ends = _tasks(shared, [array.name for array in leaves])
    graph = HighLevelGraph.from_collections(watch.name, tasks, dependencies=leaves)
    # blocks may be smaller than leaves, and take longer
    most = max(work.tiling.leaf_count, *(getattr(array, "npartitions", 1) for array in data))
    try:
        limits = {"num_workers": min(workers, most)} if _takes_limits() else {}
        dask.base.compute_as_if_collection(dask.array.Array, graph, ends, **limits)
    except BaseException:
        # threads run on after an error or an interruption: what they would still write is not wanted
        watch.stop()
        if (client := active_client()) is not None:
            _stop_on(client, watch)
        raise
    if on_tile is not None and (elsewhere := work.nbytes - work.done_bytes - watch.told) > 0:
        on_tile(elsewhere)


def _blocks(data: Any, sizes: tuple[tuple[int, ...], ...]) -> Any:
    """Return an array as one of dask, in blocks of these sizes along each axis."""
    if isinstance(data, np.ndarray):
        return lazy_blocks(data, sizes)
    # the tasks are local, so that no barrier of a distributed shuffle is called for
    return read_here(data).rechunk(sizes, method="tasks")


def _tasks(shared: _Shared, leaves: Sequence[str]) -> tuple[dict[Any, Any], list[Any]]:
    """Return a task for each leaf and for each tile that is made of several, and the keys that nobody else asks for.

    What is made of a single tile is made in that one's task.
    """
    work, tiling = shared.work, shared.work.tiling
    # `shared` itself and no key of it: where all tasks wait for one, dask orders them so that blocks pile up
    tasks: dict[Any, Any] = {}
    ends: set[Any] = set()
    for level in range(tiling.top + 1):
        firsts = [span.start for span in tiling.spans(level)]
        for tile in tiling.tiles(level):
            if work.skips(tile) or (work.done(tile) and not tiling.linked):
                continue
            last = _last_of_chain(tiling, tile)
            key = _key(shared.watch.name, last)
            if work.done(tile):
                tasks[key] = (_make_again, shared, tile)
            elif level == 0 or not tiling.linked:
                place = [i - first for i, first in zip(tile.index, firsts, strict=True)]
                tasks[key] = (_make_leaf, shared, tile, (leaves[level], *place))
            elif tiling.parts(tile) > 1:
                pieces = [child for child in tiling.children(tile) if tiling.gives(child)]
                keys = [_key(shared.watch.name, child) for child in pieces]
                tasks[key] = (_make_node, shared, tile, pieces, keys)
                ends.difference_update(keys)
            else:
                continue
            ends.add(key)
    return tasks, sorted(ends)


def _key(name: str, tile: Tile) -> tuple[Any, ...]:
    return (name, tile.level, *tile.index)


def _last_of_chain(tiling: Tiling, tile: Tile) -> Tile:
    """Return the last tile that is made of this one alone."""
    while (parent := tiling.parent(tile)) is not None and tiling.gives(tile) and tiling.parts(parent) == 1:
        tile = parent
    return tile


class _Shared:
    """What all tasks need; dtypes are those of the pixels that dask computes.

    Each task brings it to another process, where all of them share what the first one has brought.
    """

    def __init__(
        self,
        work: Work,
        watch: Watch,
        sources: Sequence[Source] = (),
        dtypes: Sequence[np.dtype[Any]] = (),
        reached: bool = False,
    ) -> None:
        self.work, self.watch, self.sources, self.dtypes = work, watch, sources, dtypes
        self._reached = reached
        self._sent: bytes | None = None

    def __reduce__(self) -> Any:
        if self._sent is None:
            import cloudpickle  # which dask needs, and uses for the functions that users bring

            self._sent = cloudpickle.dumps((self.work, self.watch, self.sources, self.dtypes))
        return (_received, (self.watch.name, self._sent))

    def check(self) -> None:
        """Make sure, once in each process but that which opened it, that what is read and written is there."""
        if not self._reached:
            for array in (*self.sources, *self.work.targets, *self.work.carries):
                if array is not None:
                    reach(array)
            self._reached = True
            keep_freed_memory()


_RECEIVED: weakref.WeakValueDictionary[str, _Shared] = weakref.WeakValueDictionary()
"""What has come from other processes and is in use, by the name of its watch."""


def _received(name: str, sent: bytes) -> _Shared:
    found = _RECEIVED.get(name)
    if found is None:
        # two threads that come at once may have one each for a while
        found = _RECEIVED[name] = _Shared(*pickle.loads(sent))
    return found


def _make_leaf(shared: _Shared, tile: Tile, pixels: Any) -> NDArray[Any] | None:
    if np.ma.isMaskedArray(pixels) or not isinstance(pixels, np.ndarray):
        raise DtypeError(
            f"dask computed a block that is a {type(pixels).__name__}, where one of numpy.ndarray was promised; give "
            "what is masked a value, and make other arrays NumPy's: map_blocks(np.asarray)"
        )
    shape = tuple(where.stop - where.start for where in shared.work.tiling.box(tile))
    promised, found = np.dtype(shared.dtypes[tile.level]), np.dtype(pixels.dtype)
    if pixels.shape != shape or (found.kind, found.itemsize) != (promised.kind, promised.itemsize):
        raise ChunkError(
            f"dask computed a block of shape {pixels.shape} and dtype {found} where shape {shape} and dtype {promised} "
            "were promised; tell map_blocks and its like what they make: chunks=…, dtype=…"
        )
    shared.check()
    return _along_chain(shared, tile, shared.work.leaf(tile, pixels, shared.watch))


def _make_again(shared: _Shared, tile: Tile) -> NDArray[Any] | None:
    shared.check()
    return _along_chain(shared, tile, shared.work.again(tile))


def _make_node(
    shared: _Shared, tile: Tile, pieces: Sequence[Tile], carries: Sequence[NDArray[Any]]
) -> NDArray[Any] | None:
    return _along_chain(shared, tile, _joined(shared, tile, pieces, carries))


def _joined(
    shared: _Shared, tile: Tile, pieces: Sequence[Tile], carries: Sequence[NDArray[Any]]
) -> NDArray[Any] | None:
    """Make a tile of what others have returned."""
    shared.check()
    carry = shared.work.joined(tile, zip(pieces, carries, strict=True))
    return shared.work.node(tile, carry, shared.watch)


def _along_chain(shared: _Shared, tile: Tile, carry: NDArray[Any] | None) -> NDArray[Any] | None:
    """Make what is made of this tile alone."""
    tiling = shared.work.tiling
    while carry is not None and (parent := tiling.parent(tile)) is not None and tiling.parts(parent) == 1:
        tile, carry = parent, shared.work.node(parent, carry, shared.watch)
    return carry


# --- a cluster -------------------------------------------------------------------------------------------------------


def active_client() -> Any:
    """Return the client of ``dask.distributed`` that computes by default; None where there is none."""
    import dask.base

    client = getattr(dask.base.get_scheduler(), "__self__", None)
    distributed = sys.modules.get("distributed")
    if distributed is None or not isinstance(client, distributed.Client):
        return None
    # nobody waits for the answers of an asynchronous one
    return None if client.asynchronous else client


def _in_this_process() -> bool:
    """Whether dask's scheduler computes in threads of this process."""
    import dask.base
    import dask.local
    import dask.threaded

    get = dask.base.get_scheduler()
    executor = getattr(next(iter(getattr(get, "args", ())), None), "__self__", None)
    return get in (None, dask.threaded.get, dask.local.get_sync) or isinstance(executor, ThreadPoolExecutor)


def _takes_limits() -> bool:
    """Whether dask's scheduler takes a number of workers; clusters, and executors that a user gives, have their own."""
    import dask.base
    import dask.multiprocessing
    import dask.threaded

    return dask.base.get_scheduler() in (None, dask.threaded.get, dask.multiprocessing.get)


def can_be_shared(work: Work) -> bool:
    """Whether other processes can write what is to be made."""
    stores = [written.array.store for written in (*work.targets, *work.carries) if written is not None]
    return all(map(reachable_elsewhere, stores))


def run_on_cluster(work: Work, sources: Sequence[Source], client: Any, on_tile: OnTile | None = None) -> None:
    """Make all tiles on a cluster whose workers read and write by themselves.

    Tasks are submitted as others end, so that a plan of millions of tiles takes no more memory here than a small one.
    A task makes all tiles under one; those above are made of what they return. A worker that is lost costs its tasks,
    which the cluster gives to others: a tile that is written twice is written the same.

    Parameters
    ----------
    work, sources
        As in `engine.run_in_threads`; stores that the workers can reach.
    client
        Of ``dask.distributed``.
    on_tile
        Called with the bytes of all tiles that a task has written.
    """
    from distributed import as_completed

    tiling = work.tiling
    threads = _Threads(client)
    nbytes = math.prod(tiling.shapes[0]) * sources[0].dtype.itemsize
    level = _task_level(tiling, max(TASKS_PER_THREAD * threads.count, nbytes // SUBTREE_BYTES))
    # a task of the cluster rather than a message to it: it can be made again where a worker is lost
    watch = Watch()
    shared = client.submit(_Shared, work, watch, tuple(sources), pure=False)
    roots = work.starts(level)
    arrived: dict[Tile, list[tuple[Tile, Any]]] = {}
    tiles: dict[Any, Tile] = {}
    done: Any = as_completed(loop=client.loop)  # type: ignore[no-untyped-call]

    def submit(task: Any, tile: Tile, *arguments: Any) -> None:
        future = client.submit(task, shared, tile, *arguments, pure=False, key=f"tile-{uuid.uuid4().hex}")
        tiles[future.key] = tile
        done.add(future)

    def fill() -> None:
        while len(tiles) < IN_FLIGHT * threads.count and (root := next(roots, None)) is not None:
            submit(_make_whole, root)

    with waiting():
        step_aside()
        try:
            fill()
            for future in done:
                tile = tiles.pop(future.key)
                if future.status != "finished":
                    future.result()
                parent = tiling.parent(tile)
                if on_tile is not None:
                    made = work.new_bytes if tile.level <= level else work.written
                    on_tile(0 if work.done(tile) else made(tile))
                if parent is not None and tiling.gives(tile):
                    pieces = arrived.setdefault(parent, [])
                    pieces.append((tile, future))
                    if len(pieces) == tiling.parts(parent):
                        del arrived[parent]
                        submit(_joined, parent, [piece for piece, _ in pieces], [carry for _, carry in pieces])
                fill()
        except BaseException:
            with suppress(Exception):  # of a cluster that is lost
                client.cancel([future for pieces in arrived.values() for _, future in pieces])
                client.cancel(list(done.futures))
            _stop_on(client, watch)
            raise


def _stop_on(client: Any, watch: Watch) -> None:
    """Stop tasks that a cluster is running: to cancel them is to let go of what they return."""
    with suppress(Exception):
        client.run(stop, watch.name, on_error="ignore")


class _Threads:
    """The threads of a cluster, of which more may come, or go; as many as are likely while there are few."""

    def __init__(self, client: Any) -> None:
        self._client, self._asked, self._count = client, -math.inf, LIKELY_THREADS

    @property
    def count(self) -> int:
        """Their number, at most a second old."""
        if time.monotonic() - self._asked > 1:
            self._count = max(sum(self._client.nthreads().values()), LIKELY_THREADS)
            self._asked = time.monotonic()
        return self._count


def _task_level(tiling: Tiling, wanted: int) -> int:
    """Return the coarsest level that has at least so many tiles; the finest where none has."""
    if not tiling.linked:
        return 0
    return max((level for level in range(tiling.top + 1) if tiling.count(level) >= wanted), default=0)


def _make_whole(shared: _Shared, tile: Tile) -> NDArray[Any] | None:
    shared.check()
    return shared.work.whole(tile, shared.sources, shared.watch)
