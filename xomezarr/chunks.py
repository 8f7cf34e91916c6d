"""Read and write the chunks of Zarr arrays in the thread that calls.

zarr hands each chunk to an event loop and a pool of threads of its own: for many small chunks, by threads that are busy
already, that costs more than the chunks. From 3.4 on zarr has the same codecs as plain functions, with stores that
answer at once; they are used here, for the engine's own reads and writes only. Where they are missing, or a codec or
store has no such function, the array is asked as anybody would ask it.
"""

from __future__ import annotations

import gzip
import itertools
import lzma
import math
import socket
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xomezarr.archive import file_of
from xomezarr.direct import answers_at_once
from xomezarr.errors import DamagedChunkError, OmeZarrError
from xomezarr.lazy import zarr
from xomezarr.presence import check_there

__all__ = [
    "Chunks",
    "damaged",
    "grid_of",
    "guarded",
    "of_shape",
    "reach",
    "reachable_elsewhere",
    "shared",
    "touched",
    "whole",
    "within",
]

UNDECODABLE = (
    RuntimeError,
    ValueError,
    TypeError,
    EOFError,
    LookupError,
    AssertionError,
    OverflowError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    struct.error,
    zlib.error,
    ExceptionGroup,
)
"""What codecs raise, and zarr where they made something else than a chunk: they have no common class.

zarr reads parts of a shard at the same time, and raises a group.
"""


def guarded(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """Return an array that refuses chunks that are not what they should be, as `guards.guarded` does."""
    from xomezarr import guards  # it derives a class from one of zarr's, which is loaded late

    return guards.guarded(array)


def grid_of(array: zarr.Array[Any]) -> tuple[int, ...]:
    """Return the pixels of what an array is written in: its shards, else its chunks."""
    return tuple(array.shards or array.chunks)


def of_shape(array: zarr.Array[Any], shape: Sequence[int]) -> zarr.Array[Any]:
    """Return an array as if it had another shape, which nobody else sees: more pixels, or fewer, in the same chunks."""
    metadata = array.metadata.update_shape(tuple(shape))
    seen: Any = zarr.AsyncArray(metadata, array.store_path, array.async_array.config)
    return zarr.Array(seen)


def reachable_elsewhere(store: Any) -> bool:
    """Whether other processes can read and write a store: files and object stores, and nothing else.

    Parameters
    ----------
    store
        A store of zarr; or a path or URL, as `store.resolve` returns them.
    """
    if isinstance(store, str):
        return not store.startswith("memory:")
    if isinstance(store, zarr.storage.StorePath):
        return reachable_elsewhere(store.store)
    if isinstance(store, Path | zarr.storage.LocalStore):
        return True
    if isinstance(store, zarr.storage.FsspecStore):
        system = getattr(store.fs, "sync_fs", store.fs)
        return type(system).__name__ != "MemoryFileSystem"
    if isinstance(store, zarr.storage.ObjectStore):
        return type(store.store).__name__ != "MemoryStore"
    if (file := file_of(store)) is not None:
        return reachable_elsewhere(file)
    return isinstance(store, zarr.storage.WrapperStore) and reachable_elsewhere(getattr(store, "_store", None))


def reach(array: Any) -> None:
    """Make sure, in a process that did not open them, that the chunks of an array, or a source, are there.

    Raises
    ------
    OmeZarrError
        If they are not.
    """
    try:
        array.check()
        return
    except OmeZarrError as error:
        told = str(error).rpartition(";")[0]
    raise OmeZarrError(
        f"a worker on {socket.gethostname()} does not reach an array: {told}; use a file system or an object store "
        'that all workers share, or write here: dask.config.set(scheduler="threads")'
    )


def whole(array: zarr.Array[Any]) -> NDArray[Any]:
    """Read all of an array."""
    return Chunks(array).read(tuple(slice(0, n) for n in array.shape))


class Chunks:
    """The chunks of an array, or its shards: whatever is one object of the store.

    Parameters
    ----------
    array
        Of Zarr v2 or v3.
    area
        The pixels that may be written; None for all. Of chunks that are only partly in it the rest stays.
    """

    def __init__(self, array: zarr.Array[Any], area: Sequence[slice] | None = None) -> None:
        self.array = array = guarded(array)
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.area = tuple(slice(0, n) for n in self.shape) if area is None else tuple(area)
        self.dtype = np.dtype(array.dtype)
        self.grid = grid_of(array)
        self._direct = _Direct.of(array)

    def __reduce__(self) -> Any:
        return (Chunks, (self.array, self.area))

    def check(self) -> None:
        """Make sure that the array is there, as `presence.check_there` does."""
        check_there(self.array, longer=self.area is not None)

    def boxes(self, box: Sequence[slice]) -> Iterator[tuple[slice, ...]]:
        """Yield the pixels of each chunk that a box touches, as far as they are in it and may be written."""
        return itertools.product(*self._along(box))

    def ends(self) -> list[tuple[slice, ...]]:
        """Return the pixels of the first and of the last chunk; none of an array without pixels."""
        along = self._along([slice(0, n) for n in self.shape])
        return [tuple(parts[end] for parts in along) for end in (0, -1)] if all(along) else []

    def _along(self, box: Sequence[slice]) -> list[list[slice]]:
        """Cut the sides of a box into chunks, as far as they may be written."""
        along = []
        for part, size in zip(shared(box, self.area), self.grid, strict=True):
            chunk = max(size, 1)  # chunks of arrays without pixels may have none either
            starts = range(part.start // chunk * chunk, part.stop, chunk) if part.start < part.stop else ()
            along.append([slice(max(start, part.start), min(start + chunk, part.stop)) for start in starts])
        return along

    def written(self, box: Sequence[slice]) -> int:
        """Return the decoded bytes of those pixels."""
        pixels: int = math.prod(max(part.stop - part.start, 0) for part in shared(box, self.area))
        return pixels * self.dtype.itemsize

    def write(self, box: tuple[slice, ...], pixels: NDArray[Any]) -> None:
        """Write pixels of one chunk: all that the array has of it, or a part, to which the rest is read.

        What an edge cuts off is filled with the fill value.
        """
        if self._direct is None:
            self.array[box] = pixels
            return
        index = tuple(where.start // chunk for where, chunk in zip(box, self.grid, strict=True))
        if pixels.shape != self.grid:
            begins = [i * chunk for i, chunk in zip(index, self.grid, strict=True)]
            padded = np.full(self.grid, self._direct.fill, self.dtype)
            whole = tuple(
                slice(0, min(chunk, n - begin)) for begin, chunk, n in zip(begins, self.grid, self.shape, strict=True)
            )
            part = tuple(
                slice(where.start - begin, where.stop - begin) for where, begin in zip(box, begins, strict=True)
            )
            if part != whole and (known := self._direct.read(index, whole)) is not None:
                padded[whole] = known
            padded[part] = pixels
            pixels = padded
        self._direct.write(index, np.ascontiguousarray(pixels, self.dtype))

    def read(self, box: tuple[slice, ...]) -> NDArray[Any]:
        """Read any box."""
        shape = tuple(where.stop - where.start for where in box)
        if self._direct is None or not math.prod(shape):
            try:
                return np.asarray(self.array[box])
            except UNDECODABLE as error:
                if (told := damaged(self.array, touched(box, self.shape, self.grid), error)) is None:
                    raise
                raise told from error
        pixels: NDArray[Any] | None = None
        for index in itertools.product(
            *(range(where.start // chunk, -(-where.stop // chunk)) for where, chunk in zip(box, self.grid, strict=True))
        ):
            begins = [i * chunk for i, chunk in zip(index, self.grid, strict=True)]
            part = tuple(
                slice(max(where.start - begin, 0), min(where.stop - begin, chunk))
                for where, begin, chunk in zip(box, begins, self.grid, strict=True)
            )
            found = self._direct.read(index, part)
            if found is not None and pixels is None and found.shape == shape:
                return found
            if pixels is None:
                pixels = np.empty(shape, self.dtype)
            target = tuple(
                slice(begin + of_chunk.start - where.start, begin + of_chunk.stop - where.start)
                for where, begin, of_chunk in zip(box, begins, part, strict=True)
            )
            pixels[target] = self._direct.fill if found is None else found
        assert pixels is not None
        return pixels

    def take(self, indices: Sequence[NDArray[np.intp]]) -> NDArray[Any]:
        """Read the pixels where chosen indices of all axes cross; each chunk once.

        Parameters
        ----------
        indices
            For each axis, ascending.
        """
        pixels = np.empty(tuple(map(len, indices)), self.dtype)
        # of each axis: where the indices of a chunk stand among those that are asked for, and which pixels they are
        along: list[list[tuple[slice, slice, NDArray[np.intp]]]] = []
        for asked, chunk, size in zip(indices, self.grid, self.shape, strict=True):
            borders = [0, *(np.flatnonzero(np.diff(asked // chunk)) + 1).tolist(), len(asked)]
            along.append([])
            for first, last in itertools.pairwise(borders):
                begin = int(asked[first]) // chunk * chunk
                box = slice(begin, min(begin + chunk, size))
                along[-1].append((slice(first, last), box, asked[first:last] - begin))
        for parts in itertools.product(*along):
            where, box, picked = zip(*parts, strict=True)
            pixels[where] = self.read(box)[np.ix_(*picked)]
        return pixels


def touched(
    key: Sequence[Any], shape: Sequence[int], grid: Sequence[int], *, pointwise: bool = False
) -> Iterable[tuple[int, ...]]:
    """Return the chunks from which pixels are read, by their numbers along each axis.

    Parameters
    ----------
    key
        For each axis indices, a slice or one index.
    shape, grid
        Of the array, and of its chunks.
    pointwise
        Whether indices are those of single pixels, and not of lines that cross.
    """
    if pointwise:
        lines = [np.arange(n)[part] if isinstance(part, slice) else part for part, n in zip(key, shape, strict=True)]
        each = zip(np.broadcast_arrays(*lines), shape, grid, strict=True)
        found = np.stack([np.ravel(np.asarray(line) % n // c) for line, n, c in each])
        return map(tuple, np.unique(found, axis=1).T.tolist())
    along: list[Iterable[int]] = []
    for part, n, c in zip(key, shape, grid, strict=True):
        if isinstance(part, slice):
            asked = range(n)[part]
            first, last = (min(asked[0], asked[-1]), max(asked[0], asked[-1])) if asked else (0, -1)
            along.append(range(first // c, last // c + 1))
        else:
            along.append(np.unique(np.asarray(part) % n // c).tolist())
    return itertools.product(*along)


def damaged(array: zarr.Array[Any], chunks: Iterable[tuple[int, ...]], error: BaseException) -> BaseException | None:
    """Return an error that names the first chunk that cannot be decoded, after some could not; None if all can be.

    Of a group, in which an error of another kind was raised, that.

    Parameters
    ----------
    array
        Whose pixels were read.
    chunks
        From which they were, by their numbers along each axis; or shards.
    error
        What was raised.
    """
    cause = _cause(error)
    if isinstance(cause, OmeZarrError | zarr.errors.BaseZarrError) or not isinstance(cause, UNDECODABLE):
        return None if cause is error else cause
    grid = grid_of(array)
    for index in chunks:
        begins = [i * size for i, size in zip(index, grid, strict=True)]
        if any(begin >= n for begin, n in zip(begins, array.shape, strict=True)):
            continue
        box = tuple(
            slice(begin, min(begin + size, n)) for begin, size, n in zip(begins, grid, array.shape, strict=True)
        )
        try:
            array[box]
        except UNDECODABLE as found:
            again = _cause(found)
            return None if isinstance(again, OmeZarrError) else _damaged(array, index, again)
    return None


def _cause(error: BaseException) -> BaseException:
    """Return an error, or the first one of a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def shared(one: Sequence[slice], other: Sequence[slice]) -> tuple[slice, ...]:
    """Return the pixels that two boxes have in common; along an axis where they have none it ends before it begins."""
    return tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True))


def within(whole: Sequence[slice], box: Sequence[slice]) -> tuple[slice, ...]:
    """Return where a box lies in an array that holds the pixels `whole`."""
    return tuple(
        slice(part.start - where.start, part.stop - where.start) for part, where in zip(box, whole, strict=True)
    )


class _Direct:
    """zarr's codecs as functions, and its store's synchronous answers: names that zarr may change."""

    def __init__(self, array: zarr.Array[Any]) -> None:
        from zarr.core.array_spec import ArraySpec
        from zarr.core.buffer import default_buffer_prototype
        from zarr.core.chunk_utils import ChunkTransform

        inner = array.async_array
        metadata = inner.metadata
        if not getattr(inner.config, "read_missing_chunks", True):
            raise TypeError("missing chunks are asked to be errors")
        self._store: Any = array.store  # whose type does not tell of the synchronous answers
        if not answers_at_once(self._store):
            raise TypeError("the store answers by an event loop alone")
        self._path = f"{array.path}/" if array.path else ""
        self._array = array
        self._key = metadata.encode_chunk_key
        self._prototype = default_buffer_prototype()
        codecs: tuple[Any, ...] = tuple(inner.codec_pipeline)  # type: ignore[arg-type]
        self._transform = ChunkTransform(codecs=codecs)
        self._of_shard = codecs[0]._decode_partial_sync if array.shards is not None else None
        self._spec = ArraySpec(
            shape=grid_of(array),
            dtype=metadata.dtype,
            fill_value=metadata.fill_value,
            # v2 says how the pixels of a chunk lie; in v3 it is a codec that does
            config=replace(inner.config, order=getattr(metadata, "order", inner.config.order)),
            prototype=self._prototype,
        )
        fill = metadata.fill_value
        self.fill = np.zeros((), array.dtype)[()] if fill is None else fill
        self._elides = fill is not None and not inner.config.write_empty_chunks

    @classmethod
    def of(cls, array: zarr.Array[Any]) -> _Direct | None:
        """Return the direct way to an array; None where zarr or the array has none."""
        if np.dtype(array.dtype).kind not in "biufc" or not array.ndim:
            return None
        try:
            return cls(array)
        except (ImportError, AttributeError, TypeError, NotImplementedError):
            return None

    def write(self, index: tuple[int, ...], pixels: NDArray[Any]) -> None:
        key = self._path + self._key(index)
        if self._elides and _is_all(pixels, self.fill):
            if self._store.get_sync(key) is not None:
                self._store.delete_sync(key)
            return
        encoded = self._transform.encode_chunk(self._prototype.nd_buffer.from_ndarray_like(pixels), self._spec)
        assert encoded is not None
        self._store.set_sync(key, encoded)

    def read(self, index: tuple[int, ...], part: tuple[slice, ...]) -> NDArray[Any] | None:
        """Read a part of a chunk, or of a shard, of which no more is read than the chunks that it touches."""
        place = zarr.storage.StorePath(self._store, self._path + self._key(index))
        if self._of_shard is not None:
            try:
                found = self._of_shard(place, part, self._spec)
            except (*UNDECODABLE, OSError) as error:
                # of the store, or of the system and not of an index that points nowhere
                if isinstance(error, OmeZarrError) or (isinstance(error, OSError) and error.filename is not None):
                    raise
                raise _damaged(self._array, index, error) from error
            return None if found is None else np.asarray(found.as_ndarray_like())
        encoded = place.get_sync(prototype=self._prototype)
        if encoded is None:
            return None
        try:
            decoded = self._transform.decode_chunk(encoded, self._spec)
        except (*UNDECODABLE, MemoryError) as error:
            raise _damaged(self._array, index, error) from error
        whole: NDArray[Any] = np.asarray(decoded.as_ndarray_like())
        return whole[part]


def _damaged(array: zarr.Array[Any], index: tuple[int, ...], error: BaseException) -> DamagedChunkError:
    """Return the error of a chunk, or shard, that cannot be decoded."""
    what = "chunk" if array.shards is None else "shard"
    key = array.async_array.metadata.encode_chunk_key(index)
    told = str(error) or type(error).__name__
    return DamagedChunkError(
        f"{what} {index} of {str(array.store_path)!r}, {key!r} there, cannot be decoded ({told}); copy the store "
        "again, or write the image anew"
    )


def _is_all(pixels: NDArray[Any], fill: Any) -> bool:
    """Whether a chunk has the fill value alone, bit by bit: -0.0 is not 0.0."""
    bits = np.dtype(f"V{pixels.itemsize}")
    wanted = np.asarray(fill, pixels.dtype).view(bits)
    # most chunks tell by their first pixel
    return bool(pixels.view(bits).flat[0] == wanted) and bool((pixels.view(bits) == wanted).all())
