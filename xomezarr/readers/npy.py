"""NumPy's own files: one array, memory-mapped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr.errors import OmeZarrError
from xomezarr.readers.filearray import FileArray, chunks_in_memory_order, dimensions, lazy_image, nothing_to_close

__all__ = ["open_npy"]


def open_npy(path: str, dims: str | Sequence[str] | None, series: int | None) -> xr.DataArray:
    """Open an array; see `opening.open_image`."""
    opener = partial(_map_npy, path)
    pixels, _ = opener()
    array = FileArray(opener, pixels.shape, pixels.dtype, path)
    chunks = chunks_in_memory_order(pixels)
    return lazy_image(array, dimensions(dims, pixels.shape, path, None), chunks=chunks, mapped=True)


def _map_npy(path: str) -> tuple[NDArray[Any], Callable[[], None]]:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False), nothing_to_close
    except OSError:
        raise
    except Exception as error:  # whatever its parser meets
        raise OmeZarrError(
            f'"{path}" cannot be memory-mapped ({error}); copy it again if it is cut off, or write it again with '
            "numpy.save"
        ) from error
