"""Arrays in files: opened when they are first read, opened anew by every copy."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from xomezarr import source
from xomezarr.errors import UNREADABLE_MEMBER, AxisError, OmeZarrError, OmeZarrWarning, OtherImagesWarning, warn

__all__ = [
    "COARSEST_PIXEL_UM",
    "PLACED",
    "REVERSED",
    "FileArray",
    "WithSingles",
    "chosen_series",
    "chunks_in_memory_order",
    "dimensions",
    "guessed",
    "lazy_image",
    "nothing_to_close",
    "renamed",
    "with_place",
    "with_singles",
]

PREFERRED_BYTES = 4 * 2**20
"""Strips of a TIFF are joined to about this many bytes where a reader asks for chunks: most hold a few rows."""

PLACED = "placed"
"""Key of the encoding of images whose file says where their pixels lie, and not only how large they are."""

REVERSED = "reversed"
"""Key of the encoding of images: the dimensions along which the file has the pixels in reverse."""

COARSEST_PIXEL_UM = 20.0
"""A resolution tag in inches or centimetres counts as a pixel size below this many micrometres.

Software that knows no pixel size writes a resolution for print: 72 to 1200 dots per inch, which is 353 to 21 µm.
"""

MOST_OPEN = 128
"""Files that stay open for their next reading; a process may hold some hundreds, and a plate has thousands."""

MOST_BYTES = 2**28
"""What they hold in memory, all together, but for the one that was read last."""


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
    held_bytes
        What it holds in memory while it is open, such as a picture that was decoded.
    """

    def __init__(
        self,
        opener: Callable[[], tuple[Any, Callable[[], None]]],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        origin: str,
        *,
        held_bytes: int = 0,
    ):
        self.opener = opener
        self.origin = origin
        self.held_bytes = held_bytes
        self.shape = shape
        # by its name: of two kinds of 64-bit integers that C has, Zarr knows one
        self.dtype = (dtype if dtype.names else np.dtype(dtype.str)).newbyteorder("=")
        self._lock = threading.Lock()
        self._opened: Any = None
        self._users = 0
        self._closing: weakref.finalize[Any, Any] | None = None

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

    def close(self) -> bool:
        """Close the file, unless somebody reads it; whoever reads it later opens it again. Whether it is closed."""
        with self._lock:
            if self._users:
                return False
            self._opened, closing, self._closing = None, self._closing, None
        if closing is not None:
            closing()
        return True

    def _read(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        try:
            with self._held() as array:
                # a copy: what is loaded must not change when the file does
                return np.array(array[key], dtype=self.dtype)
        except (OmeZarrError, OSError, MemoryError, Warning):
            raise
        except Exception as error:  # whatever codecs and parsers meet
            raise OmeZarrError(
                f"{self.origin!r} is damaged ({type(error).__name__}: {error}); copy the file again"
            ) from error

    @contextmanager
    def _held(self) -> Iterator[Any]:
        """Yield what can be indexed: it stays open for the next reading, as long as not too many others are."""
        with self._lock:
            if is_new := self._opened is None:
                self._opened, close = self.opener()
                self._closing = weakref.finalize(self, close)
            opened = self._opened
            self._users += 1
        OPEN.use(self)
        if is_new:
            OPEN.trim()
        try:
            yield opened
        finally:
            with self._lock:
                self._users -= 1

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), held_bytes=self.held_bytes), (self.opener, self.shape, self.dtype, self.origin)


class _Open:
    """The arrays whose files are open, those that were read last at the end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._arrays: OrderedDict[int, weakref.ref[FileArray]] = OrderedDict()

    def __len__(self) -> int:
        return len(self.arrays())

    def use(self, array: FileArray) -> None:
        """Note that an array is read."""
        with self._lock:
            self._arrays[id(array)] = weakref.ref(array)
            self._arrays.move_to_end(id(array))

    def trim(self) -> None:
        """Close those that were not read for the longest time, where more are open than may be."""
        alive = self.arrays()
        count, held = len(alive), sum(array.held_bytes for array in alive)
        # closed without the lock: one that is being opened keeps nobody but this thread waiting
        for array in alive[:-1]:
            of_use = count > MOST_OPEN or (held > MOST_BYTES and array.held_bytes)
            if of_use and array.close():
                count, held = count - 1, held - array.held_bytes

    def arrays(self) -> list[FileArray]:
        """Return them; what is closed, or gone, is forgotten."""
        with self._lock:
            found = {key: one() for key, one in self._arrays.items()}
            alive = {key: array for key, array in found.items() if array is not None and array._opened is not None}
            self._arrays = OrderedDict((key, self._arrays[key]) for key in alive)
        return [*alive.values()]


OPEN = _Open()


def lazy_image(
    array: FileArray,
    dims: Sequence[str],
    *,
    name: str | None = None,
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


@dataclass(frozen=True, slots=True)
class WithSingles:
    """An array with dimensions of one index more than what it is read from has.

    >>> one = WithSingles(np.arange(6).reshape(2, 3), (1,))
    >>> one[:, :, 1:].shape, one[1, :, 2], one[:, 0, 0].tolist()
    ((2, 1, 2), array([5]), [0, 3])

    Parameters
    ----------
    array
        What it is read from.
    axes
        Its further ones, ascending.
    """

    array: Any
    axes: tuple[int, ...]

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        """Return a part, by an integer or a slice for each dimension."""
        read = np.asarray(self.array[tuple(one for axis, one in enumerate(key) if axis not in self.axes)])
        kept = [(axis in self.axes, one) for axis, one in enumerate(key) if isinstance(one, slice)]
        part = read[tuple(None if single else slice(None) for single, _ in kept)]
        return part[tuple(one if single else slice(None) for single, one in kept)]


def with_singles(image: xr.DataArray, dims: Sequence[str]) -> xr.DataArray:
    """Return an image with further dimensions of one index, the first ones; `expand_dims` would read its pixels.

    >>> with_singles(xr.DataArray(np.zeros((2, 3)), dims=("y", "x")), ["z"]).shape
    (1, 2, 3)
    """
    if not dims:
        return image
    variable = image.variable
    chunks = variable.encoding.get("preferred_chunks")
    opener = partial(_nothing_to_open, WithSingles(variable, tuple(range(len(dims)))))
    shape = (1,) * len(dims) + variable.shape
    array = FileArray(opener, shape, variable.dtype, getattr(source.file_behind(variable._data), "origin", ""))
    opened = lazy_image(
        array,
        (*dims, *map(str, variable.dims)),
        chunks=None if chunks is None else (*(1 for _ in dims), *(chunks[dim] for dim in variable.dims)),
        attrs=variable.attrs,
        mapped=bool(variable.encoding.get(source.MAPPED)),
    )
    found = opened.assign_coords(image.coords).rename(image.name)
    found.encoding = {**image.encoding, **found.encoding}
    return found


def _nothing_to_open(array: WithSingles) -> tuple[WithSingles, Callable[[], None]]:
    """Return what is lazy by itself, and nothing to call."""
    return array, nothing_to_close


def with_place(
    image: xr.DataArray, name: str, place: float, path: str, *, unit: str | None = None, **attrs: Any
) -> xr.DataArray:
    """Keep where an image lies along an axis that it does not have, as a scalar coordinate.

    Parameters
    ----------
    name, place, unit, attrs
        Of the coordinate.
    path
        Of the file, for the warning where a dimension has that name already.
    """
    if name in image.dims:
        if place:
            warn(
                f'"{path}" lies at {name} = {place:g}{f" {unit}" if unit else ""} as a whole, and a dimension is '
                f"called {name!r} too: that place is left out; to keep it, name the dimension otherwise: dims=…",
                OmeZarrWarning,
            )
        return image
    kept = {key: value for key, value in {"units": unit, **attrs}.items() if value is not None}
    return image.assign_coords({name: ((), place, kept)})


def dimensions(
    dims: str | Sequence[str] | None, shape: tuple[int, ...], path: str, named: Sequence[str] | None
) -> tuple[str, ...]:
    """Return the dimensions that the user names, or else the file; two without names are y and x.

    Raises
    ------
    AxisError
        If the user does not name as many as there are, or nobody names them.
    """
    if dims is not None and shape:
        asked = tuple(dims)
        if len(asked) != len(shape) or len(set(asked)) != len(asked):
            raise AxisError(
                f'dims={dims!r} does not name the {len(shape)} dimensions of "{path}", whose shape is {shape}; '
                f"give {len(shape)} different names, or, if the file has names of its own, leave them out: "
                f"open_image(path, dims={guessed(len(shape))!r})"
            )
        return asked
    if not shape:
        raise AxisError(
            f'"{path}" holds one number, and no image; give it dimensions: xr.DataArray(number).expand_dims(["y", "x"])'
        )
    if named is not None:
        return tuple(named)
    if len(shape) == 2:
        return ("y", "x")
    raise AxisError(
        f'"{path}" does not say what its {len(shape)} dimensions are, of shape {shape}; '
        f"name them in the file's order: open_image(path, dims={guessed(len(shape))!r})"
    )


def guessed(count: int) -> str:
    """Return names for so many dimensions; what goes beyond the five of an image is to be selected from.

    >>> guessed(3), guessed(6)
    ('zyx', 'utczyx')
    """
    return "abdefghijklmnopqrsvwutczyx"[-count:]


def renamed(image: xr.DataArray, dims: str | Sequence[str] | None, path: str) -> xr.DataArray:
    """Return an image whose dimensions have names of its file's own, by those that the user gives them."""
    if dims is None:
        return image
    new = dimensions(dims, image.shape, path, None)
    return image.rename({old: name for old, name in zip(image.dims, new, strict=True) if old != name})


def chosen_series(series: int | None, count: int, path: str) -> int:
    """Return which of several images in a file is meant; left out, the first, and a warning says that there are more.

    Raises
    ------
    OmeZarrError
        If it is none of them.
    """
    if series is None and count > 1:
        warn(
            f'"{path}" holds {count} images, of which the first is read; choose one by its number: series=1',
            OtherImagesWarning,
        )
    if not count:
        raise OmeZarrError(f'"{path}" holds no image, or is cut off; copy it again, or see whether writing it ended')
    index = 0 if series is None else series
    if not 0 <= index < count:
        raise OmeZarrError(
            f'"{path}" holds {count} images, and series={series} is none of them; '
            f"give series=0{f' to {count - 1}' if count > 1 else ''}"
        )
    return index


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
