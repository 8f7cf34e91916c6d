"""Whatever BioIO reads by the readers that are installed for it: CZI, ND2, LIF and others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xomezarr.channels import assign_channels, rgb_channels
from xomezarr.coords import assign_grid
from xomezarr.errors import (
    AxisError,
    MissingDependencyError,
    OmeZarrError,
)
from xomezarr.readers.filearray import chosen_series, dimensions

__all__ = ["open_by_bioio"]

PACKAGES: Mapping[str, str] = {
    ".czi": "bioio-czi",
    ".nd2": "bioio-nd2",
    ".lif": "bioio-lif",
    ".dv": "bioio-dv",
    ".r3d": "bioio-dv",
    ".sldy": "bioio-sldy",
    ".emd": "bioio-emd",
    ".imzml": "bioio-imzml",
    ".mp4": "bioio-imageio",
    **dict.fromkeys((".vsi", ".oib", ".oif", ".oir", ".ims", ".zvi"), "bioio-bioformats"),
}
"""Which package reads a file for BioIO, by its suffix; Bio-Formats reads most others, and needs Java."""

READ_WHOLE: Mapping[str, str] = {"bioio_czi": "S", "bioio_dv": "X"}
"""By the reader, a dimension of images that are read as a whole, as its lazy arrays cannot be.

That of CZI (3.0.1) has one sample of a colour three times, that of DeltaVision (1.2.0) a file that is closed. Colours
of CZI are blue, green and red, in this order.
"""

LETTERS: Mapping[str, str] = {"T": "t", "C": "c", "Z": "z", "Y": "y", "X": "x", "S": "c"}
"""Dimensions by BioIO's letters; the samples of a colour (S) are channels."""


def open_by_bioio(path: str, dims: str | Sequence[str] | None, series: int | None, *, known: str) -> xr.DataArray:
    """Open an image by BioIO; see `opening.open_image`.

    Parameters
    ----------
    known
        What can be read without it, for the error.
    """
    image = _opened(path, known)
    scene = _scene(image, series, path)
    data, letters = _data(image, 0 if series is None else series, dims, path)
    named = dimensions(dims, data.shape, path, tuple(LETTERS.get(letter, letter.lower()) for letter in letters))
    array = xr.DataArray(data, dims=named, name=Path(path).stem if len(image.scenes) == 1 else scene)
    return _calibrated(array, image, dict(zip(letters, named, strict=True)))


def _opened(path: str, known: str) -> Any:
    suffix = Path(path).suffix.lower()
    reader = PACKAGES.get(suffix)
    try:
        from bioio import BioImage
        from bioio_base.exceptions import UnsupportedFileFormatError
    except ImportError as error:
        if reader is None:
            raise OmeZarrError(
                f'"{path}" begins as no file that can be read: these are {known}, and what BioIO reads, which is not '
                "installed (pip install bioio, and a reader); copy it again if it is damaged, or read it with another "
                "library and write the array: xr.DataArray(pixels, dims=…).omezarr.to_zarr(…)"
            ) from error
        raise MissingDependencyError(
            f'"{path}" is read by BioIO, which is not installed; install it with the reader of such files: '
            f"pip install bioio {reader}"
        ) from error
    try:
        return BioImage(path)
    except UnsupportedFileFormatError as error:
        if reader is None:
            raise OmeZarrError(
                f'"{path}" begins as no file that can be read: these are {known}, and what BioIO reads; none of the '
                "readers that are installed for it does: pip install bioio-bioformats reads most, or read it with "
                "another library and write the array: xr.DataArray(pixels, dims=…).omezarr.to_zarr(…)"
            ) from error
        if find_spec(reader.replace("-", "_")) is None:
            raise MissingDependencyError(
                f'"{path}" is read by BioIO with {reader}, which is not installed; install it: pip install {reader}'
            ) from error
        raise _unreadable(path, f"{reader} is installed, and cannot open it") from error
    except Exception as error:  # whatever its readers raise
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: object) -> OmeZarrError:
    return OmeZarrError(f'"{path}" cannot be read by BioIO ({error}); copy it again if it is damaged')


def _scene(image: Any, series: int | None, path: str) -> str:
    """Choose a scene, which is what series are here, and return its name."""
    scenes = tuple(map(str, image.scenes))
    index = chosen_series(series, len(scenes), path)
    image.set_scene(index)
    return scenes[index]


def _whole(path: str, series: int) -> Any:
    """Return all pixels of a scene."""
    from bioio import BioImage

    image = BioImage(path)
    image.set_scene(series)
    pixels = image.reader.data
    return pixels[..., ::-1] if _package(image.reader) == "bioio_czi" and image.reader.dims.order[-1] == "S" else pixels


def _package(reader: Any) -> str:
    return type(reader).__module__.partition(".")[0]


def _pixels(image: Any, series: int, path: str) -> tuple[Any, str]:
    """Return the pixels of a scene, for dask, and BioIO's letters of their dimensions."""
    reader = image.reader
    letters = str(reader.dims.order)
    if READ_WHOLE.get(_package(reader), "-") in letters:
        import dask.array
        from dask.delayed import delayed

        return dask.array.from_delayed(delayed(_whole)(path, series), tuple(reader.dims.shape), reader.dtype), letters
    if "M" in letters:
        with suppress(NotImplementedError):  # by readers that cannot put tiles together
            return reader.mosaic_dask_data, "".join(map(str, reader.mosaic_xarray_dask_data.dims))
    return reader.dask_data, letters


def _data(image: Any, series: int, dims: str | Sequence[str] | None, path: str) -> tuple[Any, str]:
    """Return the pixels, for dask, and BioIO's letters of their dimensions, as the file has them.

    Raises
    ------
    AxisError
        If the file has dimensions of other kinds, such as phases or angles, and nobody names them.
    """
    data, letters = _pixels(image, series, path)
    sizes = dict(zip(letters, data.shape, strict=True))
    # dimensions of one pixel of which nothing is said are there for the format's sake
    dropped = [
        letter
        for letter, size in sizes.items()
        if size == 1 and letter not in "CYXS" and (letter not in "TZ" or _size(image, letter) is None)
    ]
    if "S" in sizes and sizes.get("C") == 1:
        dropped.append("C")
    data = data[tuple(0 if letter in dropped else slice(None) for letter in letters)]
    left = "".join(letter for letter in letters if letter not in dropped)
    others = [letter for letter in left if letter not in LETTERS]
    if "C" in left and "S" in left:
        others.append("S")
    if others and dims is None:
        raise AxisError(
            f'"{path}" has the dimensions {left}, of shape {data.shape}, of which OME-Zarr has no place for '
            f"{', '.join(others)}; name them, and select one of each: "
            f"open_image(path, dims={left.lower()!r}).isel({', '.join(f'{other.lower()}=0' for other in others)})"
        )
    return data, left


def _calibrated(array: xr.DataArray, image: Any, named: Mapping[str, str]) -> xr.DataArray:
    """Put on pixel sizes, units and channel names."""
    scale = {letter: size for letter in "TZYX" if letter in named and (size := _size(image, letter)) is not None}
    units = {named[letter]: unit for letter in scale if (unit := _unit(image, letter)) is not None}
    array = assign_grid(array, scale={named[letter]: size for letter, size in scale.items()}, units=units)
    if "S" in named:
        size = array.sizes[named["S"]]
        return assign_channels(array, rgb_channels(array.dtype, size), dim=named["S"]) if size in (3, 4) else array
    names = [str(name) for name in image.channel_names or ()]
    if "C" in named and len(names) == array.sizes[named["C"]]:
        return assign_channels(array, names, dim=named["C"])
    return array


def _size(image: Any, letter: str) -> float | None:
    """Return the step along a dimension; None where the file does not say one."""
    found = getattr(image, "time_interval", None) if letter == "T" else getattr(image.physical_pixel_sizes, letter)
    if isinstance(found, timedelta):
        found = found.total_seconds()
    if found is None or not 0 < found < math.inf:
        return None
    # numbers of single precision, as DeltaVision has them, stand for those with the fewest digits
    short = np.float32(found)
    return float(str(short)) if float(short) == found else float(found)


def _unit(image: Any, letter: str) -> str | None:
    """Return the unit of a step; BioIO before 3 tells none, and has micrometres and, of durations, seconds."""
    known = getattr(getattr(image, "dimension_properties", None), letter, None)
    unit = getattr(known, "unit", None)
    if unit:
        return str(unit)
    timed = isinstance(getattr(image, "time_interval", None), timedelta)
    return ("s" if timed else None) if letter == "T" else "µm"
