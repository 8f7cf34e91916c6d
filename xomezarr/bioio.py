"""Whatever BioIO reads by the readers that are installed for it: CZI, ND2, LIF and others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import xarray as xr

from xomezarr.channels import assign_channels, rgb_channels
from xomezarr.coords import assign_grid
from xomezarr.errors import (
    AxisError,
    MissingDependencyError,
    OmeZarrError,
    OtherImagesWarning,
    warn,
)
from xomezarr.filearray import dimensions
from xomezarr.model import Channel

__all__ = ["open_by_bioio"]

READERS: Mapping[str, str] = {
    ".czi": "bioio-czi",
    ".nd2": "bioio-nd2",
    ".lif": "bioio-lif",
    ".dv": "bioio-dv",
    ".r3d": "bioio-dv",
    ".sldy": "bioio-sldy",
    ".emd": "bioio-emd",
    ".qptiff": "bioio-qptiff",
    ".imzml": "bioio-imzml",
    ".mp4": "bioio-imageio",
    **dict.fromkeys(
        (".vsi", ".oib", ".oif", ".oir", ".lsm", ".ims", ".zvi", ".flex", ".scn", ".svs"), "bioio-bioformats"
    ),
}
"""Which package reads a file for BioIO, by its suffix; Bio-Formats reads most others, and needs Java."""

LETTERS: Mapping[str, str] = {"T": "t", "C": "c", "Z": "z", "Y": "y", "X": "x", "S": "c"}
"""Dimensions by BioIO's letters; the samples of a colour (S) are channels."""


def open_by_bioio(path: str, dims: str | Sequence[str] | None, series: int | None, *, known: str) -> xr.DataArray:
    """Open an image by BioIO; see `convert.open_image`.

    Parameters
    ----------
    known
        What can be read without it, for the error.
    """
    image = _opened(path, known)
    scene = _scene(image, series, path)
    data, letters = _data(image, dims, path)
    named = dimensions(dims, data.shape, path, tuple(LETTERS.get(letter, letter.lower()) for letter in letters))
    array = xr.DataArray(data, dims=named, name=Path(path).stem if len(image.scenes) == 1 else scene)
    return _calibrated(array, image, dict(zip(letters, named, strict=True)))


def _opened(path: str, known: str) -> Any:
    suffix = Path(path).suffix.lower()
    reader = READERS.get(suffix)
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
        raise MissingDependencyError(
            f'"{path}" is read by BioIO with {reader}, which is not installed, or does not know the file; '
            f"install it: pip install {reader}"
        ) from error
    except Exception as error:  # whatever its readers raise
        raise OmeZarrError(f'"{path}" cannot be read by BioIO ({error}); copy it again if it is damaged') from error


def _scene(image: Any, series: int | None, path: str) -> str:
    """Choose a scene, which is what series are here, and return its name."""
    scenes = tuple(map(str, image.scenes))
    if series is None and len(scenes) > 1:
        warn(
            f'"{path}" holds {len(scenes)} images, of which the first is read; choose one by its number: series=1',
            OtherImagesWarning,
        )
    index = 0 if series is None else series
    if not 0 <= index < len(scenes):
        raise OmeZarrError(
            f'"{path}" holds {len(scenes)} images, and series={series} is none of them; '
            f"give series=0{f' to {len(scenes) - 1}' if len(scenes) > 1 else ''}"
        )
    image.set_scene(index)
    return scenes[index]


def _data(image: Any, dims: str | Sequence[str] | None, path: str) -> tuple[Any, str]:
    """Return the pixels, for dask, and BioIO's letters of their dimensions, without those that the file does not have.

    Raises
    ------
    AxisError
        If the file has dimensions of other kinds, such as phases or angles, and nobody names them.
    """
    own = image.reader.dims
    # of a mosaic that BioIO has put together, tiles are no dimension any more
    joined = "M" in own.order and (own.Y, own.X) != (image.dims.Y, image.dims.X)
    others = [letter for letter in own.order if letter not in LETTERS and own[letter][0] > 1]
    if others == ["M"] and joined:
        others = []
    if others:
        if dims is None:
            raise AxisError(
                f'"{path}" has dimensions of which OME-Zarr has no kind ({", ".join(others)}; all are '
                f"{own.order}, of shape {tuple(own.shape)}); name them, and select one of each: "
                f"open_image(path, dims={own.order.lower()!r}).isel({others[0].lower()}=0)"
            )
        return image.reader.dask_data, own.order
    data = image.xarray_dask_data
    # BioIO adds dimensions of one pixel that the file does not have
    added = [letter for letter in data.dims if letter not in own.order and data.sizes[letter] == 1]
    if "S" in data.dims and data.sizes["C"] == 1:
        added.append("C")
    data = data.isel(dict.fromkeys({*added}, 0), drop=True)
    if dims is None and {"C", "S"} <= {*data.dims}:
        letters = "".join(data.dims)
        raise AxisError(
            f'"{path}" has channels and, in each, red, green and blue samples, of shape {data.shape} ({letters}), and '
            f"an image has one dimension of channels; select one: open_image(path, dims={letters.lower()!r}).isel(s=0)"
        )
    return data.data, "".join(data.dims)


def _calibrated(array: xr.DataArray, image: Any, named: Mapping[str, str]) -> xr.DataArray:
    """Put on pixel sizes, units and channel names."""
    scale = {letter: size for letter in "TZYX" if letter in named and (size := _size(image, letter)) is not None}
    units = {named[letter]: unit for letter in scale if (unit := _unit(image, letter)) is not None}
    array = assign_grid(array, scale={named[letter]: size for letter, size in scale.items()}, units=units)
    if "S" in named:
        size = array.sizes[named["S"]]
        alpha = (Channel("alpha", None),) * (size - 3)
        return assign_channels(array, (*rgb_channels(array.dtype), *alpha), dim=named["S"]) if size in (3, 4) else array
    names = [str(name) for name in image.channel_names or ()]
    if "C" in named and len(names) == array.sizes[named["C"]]:
        return assign_channels(array, names, dim=named["C"])
    return array


def _size(image: Any, letter: str) -> float | None:
    """Return the step along a dimension; None where the file does not say one."""
    found = getattr(image, "time_interval", None) if letter == "T" else getattr(image.physical_pixel_sizes, letter)
    if isinstance(found, timedelta):
        found = found.total_seconds()
    return float(found) if found is not None and 0 < found < float("inf") else None


def _unit(image: Any, letter: str) -> str | None:
    """Return the unit of a step; BioIO before 3 tells none, and has micrometres and, of durations, seconds."""
    known = getattr(getattr(image, "dimension_properties", None), letter, None)
    unit = getattr(known, "unit", None)
    if unit:
        return str(unit)
    timed = isinstance(getattr(image, "time_interval", None), timedelta)
    return ("s" if timed else None) if letter == "T" else "µm"
