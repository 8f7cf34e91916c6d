"""Read and write the chunks of Zarr arrays in the thread that calls.

zarr hands each chunk to an event loop and a pool of threads of its own: for many small chunks, by threads that are busy
already, that costs more than the chunks. From 3.4 on zarr has the same codecs as plain functions, with stores that
answer at once; they are used here, for the engine's own reads and writes only. Where they are missing, or a codec or
store has no such function, the array is asked as anybody would ask it.
"""

from __future__ import annotations

import itertools
import lzma
import math
import socket
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xomezarr.archive import file_of
from xomezarr.direct import answers_at_once
from xomezarr.errors import OmeZarrError
from xomezarr.lazy import zarr
from xomezarr.presence import check_there

__all__ = ["Chunks", "grid_of", "reach", "reachable_elsewhere", "within"]


def grid_of(array: zarr.Array[Any]) -> tuple[int, ...]:
    """Return the pixels of what an array is written in: its shards, else its chunks."""
    return tuple(array.shards or array.chunks)


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


class Chunks:
    """The chunks of an array, or its shards: whatever is one object of the store.

    Parameters
    ----------
    array
        Of Zarr v2 or v3.
    """

    def __init__(self, array: zarr.Array[Any]) -> None:
        self.array = array
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype = np.dtype(array.dtype)
        self.grid = grid_of(array)
        self._direct = _Direct.of(array)

    def __reduce__(self) -> Any:
        return (Chunks, (self.array,))

    def check(self) -> None:
        """Make sure that the array is there, as `presence.check_there` does."""
        check_there(self.array)

    def boxes(self, box: Sequence[slice]) -> Iterator[tuple[slice, ...]]:
        """Yield the pixels of each chunk that a box of whole chunks holds.

        Parameters
        ----------
        box
            Begins at the border of a chunk along each axis, and ends at one or at the array's edge.
        """
        return itertools.product(*self._along(box))

    def ends(self) -> list[tuple[slice, ...]]:
        """Return the pixels of the first and of the last chunk; none of an array without pixels."""
        along = self._along([slice(0, n) for n in self.shape])
        return [tuple(parts[end] for parts in along) for end in (0, -1)] if all(along) else []

    def _along(self, box: Sequence[slice]) -> list[list[slice]]:
        """Cut the sides of a box into chunks."""
        return [
            # chunks of arrays without pixels may have none either
            [slice(start, min(start + chunk, where.stop)) for start in range(where.start, where.stop, max(chunk, 1))]
            for where, chunk in zip(box, self.grid, strict=True)
        ]

    def write(self, box: tuple[slice, ...], pixels: NDArray[Any]) -> None:
        """Write one whole chunk; what an edge cuts off of it is filled with the fill value."""
        if self._direct is None:
            self.array[box] = pixels
            return
        index = tuple(where.start // chunk for where, chunk in zip(box, self.grid, strict=True))
        if pixels.shape != self.grid:
            padded = np.full(self.grid, self._direct.fill, self.dtype)
            padded[tuple(map(slice, pixels.shape))] = pixels
            pixels = padded
        self._direct.write(index, np.ascontiguousarray(pixels, self.dtype))

    def read(self, box: tuple[slice, ...]) -> NDArray[Any]:
        """Read any box."""
        shape = tuple(where.stop - where.start for where in box)
        if self._direct is None or not math.prod(shape):
            try:
                return np.asarray(self.array[box])
            except (RuntimeError, ValueError, EOFError, zlib.error, lzma.LZMAError) as error:  # of codecs, mostly
                if isinstance(error, zarr.errors.BaseZarrError):
                    raise
                raise _undecodable("a chunk", str(self.array.store_path), error) from error
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
        self._where = str(array.store_path)
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
            except Exception as error:
                if isinstance(error, OSError) and error.filename is not None:  # of the system, and not of a codec
                    raise
                raise _undecodable(f"chunk {index}", self._where, error) from error
            return None if found is None else np.asarray(found.as_ndarray_like())
        encoded = place.get_sync(prototype=self._prototype)
        if encoded is None:
            return None
        try:
            decoded = self._transform.decode_chunk(encoded, self._spec)
        except Exception as error:  # codecs have no common one
            raise _undecodable(f"chunk {index}", self._where, error) from error
        whole: NDArray[Any] = np.asarray(decoded.as_ndarray_like())
        return whole[part]


def _undecodable(what: str, where: str, error: Exception) -> OmeZarrError:
    return OmeZarrError(f"{what} of {where!r} cannot be decoded ({error}); copy the store again")


def _is_all(pixels: NDArray[Any], fill: Any) -> bool:
    """Whether a chunk has the fill value alone, bit by bit: -0.0 is not 0.0."""
    bits = np.dtype(f"V{pixels.itemsize}")
    wanted = np.asarray(fill, pixels.dtype).view(bits)
    # most chunks tell by their first pixel
    return bool(pixels.view(bits).flat[0] == wanted) and bool((pixels.view(bits) == wanted).all())
