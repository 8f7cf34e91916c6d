"""Arrays in files: opened when they are first read, opened anew by every copy."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from xomezarr import source
from xomezarr.errors import UNREADABLE_MEMBER, AxisError, OmeZarrError

__all__ = ["PLACED", "REVERSED", "FileArray", "chunks_in_memory_order", "dimensions", "lazy_image", "nothing_to_close"]

PREFERRED_BYTES = 4 * 2**20
"""Strips of a TIFF are joined to about this many bytes where a reader asks for chunks: most hold a few rows."""

PLACED = "placed"
"""Key of the encoding of images whose file says where their pixels lie, and not only how large they are."""

REVERSED = "reversed"
"""Key of the encoding of images: the dimensions along which the file has the pixels in reverse."""

MOST_OPEN = 128
"""Files that stay open for their next reading; a process may hold some hundreds, and a plate has thousands."""


class FileArray(BackendArray):
    """An array in a file: opened when first read, opened anew by every copy.

    Parameters
    ----------
    opener
        Returns what can be indexed by integers and slices, and what is to be called when it is no longer needed.
        It is pickled in place of the open file.
    shape, dtype
        Of the array, `dtype` in native byte order.
    origin
        Path or URL of the file.
    dear
        Whether opening takes long, so that it stays open however many others are.
    """

    def __init__(
        self,
        opener: Callable[[], tuple[Any, Callable[[], None]]],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        origin: str,
        *,
        dear: bool = False,
    ):
        self.opener = opener
        self.origin = origin
        self.dear = dear
        self.shape = shape
        self.dtype = dtype.newbyteorder("=")
        self._lock = threading.Lock()
        self._opened: Any = None

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    async def async_getitem(self, key: indexing.ExplicitIndexer) -> Any:
        """Read in a thread, as xarray's ``load_async`` asks."""
        return await asyncio.to_thread(self.__getitem__, key)

    def check(self) -> None:
        """Make sure that the file is there, in whatever process this is.

        Raises
        ------
        OmeZarrError
            If it cannot be opened.
        """
        try:
            with self._held():
                pass
        except OmeZarrError:
            raise
        except UNREADABLE_MEMBER as error:
            raise OmeZarrError(f"{self.origin!r} cannot be opened ({error}); make sure that it is there") from error

    def _read(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        with self._held() as array:
            # a copy: what is loaded must not change when the file does
            return np.array(array[key], dtype=self.dtype)

    @contextmanager
    def _held(self) -> Iterator[Any]:
        """Yield what can be indexed: open from then on, or, where many others are, for this once."""
        with self._lock:
            if self._opened is None and (self.dear or len(OPEN) < MOST_OPEN):
                self._opened, close = self.opener()
                weakref.finalize(self, close)
                OPEN.add(self)
            opened = self._opened
        if opened is not None:
            yield opened
            return
        opened, close = self.opener()
        try:
            yield opened
        finally:
            close()

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), dear=self.dear), (self.opener, self.shape, self.dtype, self.origin)


OPEN: weakref.WeakSet[FileArray] = weakref.WeakSet()
"""The arrays whose files are open."""


def lazy_image(
    array: FileArray,
    dims: Sequence[str],
    *,
    name: str | None,
    chunks: Sequence[int] | None = None,
    attrs: Mapping[str, Any] | None = None,
    mapped: bool = False,
) -> xr.DataArray:
    """Return an array in a file as an image whose pixels are not read yet.

    Parameters
    ----------
    array, dims, name, attrs
        What it is made of.
    chunks
        Shape of what is best read at once; left out, nothing is said.
    mapped
        Whether any part of it costs what it brings.
    """
    encoding: dict[str, Any] = {source.MAPPED: True} if mapped else {}
    if chunks is not None:
        encoding["preferred_chunks"] = dict(zip(dims, map(int, chunks), strict=True))
    lazy: Any = indexing.LazilyIndexedArray(array)
    variable = xr.Variable(tuple(dims), indexing.CopyOnWriteArray(lazy), attrs, encoding)
    return xr.Dataset({"image": variable})["image"].rename(name)


def dimensions(
    dims: str | Sequence[str] | None, shape: tuple[int, ...], path: str, named: Sequence[str] | None
) -> tuple[str, ...]:
    """Return the dimensions that the user names, or else the file; two without names are y and x.

    Raises
    ------
    AxisError
        If the user does not name as many as there are, or nobody names them.
    """
    if dims is not None:
        asked = tuple(dims)
        if len(asked) != len(shape) or len(set(asked)) != len(asked):
            raise AxisError(
                f'dims={dims!r} does not name the {len(shape)} dimensions of "{path}", whose shape is {shape}; '
                f"give {len(shape)} different names: open_image(path, dims={'tczyx'[-len(shape) :]!r})"
            )
        return asked
    if named is not None:
        return tuple(named)
    if len(shape) == 2:
        return ("y", "x")
    raise AxisError(
        f'"{path}" does not say what its {len(shape)} dimensions are, of shape {shape}; '
        f"name them in the file's order: open_image(path, dims={'tczyx'[-len(shape) :]!r})"
    )


def chunks_in_memory_order(pixels: NDArray[Any]) -> tuple[int, ...]:
    """Return about `PREFERRED_BYTES` that lie together in the file, or in memory.

    >>> chunks_in_memory_order(np.broadcast_to(np.uint16(0), (8, 4096, 4096)))
    (1, 512, 4096)
    """
    pixels_left = PREFERRED_BYTES // max(pixels.dtype.itemsize, 1)
    chunks = [1] * pixels.ndim
    for axis in sorted(range(pixels.ndim), key=lambda axis: (abs(pixels.strides[axis]), -axis)):
        chunks[axis] = max(min(pixels.shape[axis], pixels_left), 1)
        pixels_left //= chunks[axis]
    return tuple(chunks)


def nothing_to_close() -> None:
    """Memory maps are closed with the last array that needs them."""
