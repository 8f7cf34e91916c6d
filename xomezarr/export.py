"""Write an image as other programs read it: a picture (PNG), a TIFF for ImageJ, or an OME-TIFF with its levels."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr import accessor  # noqa: F401 - registers the accessor
from xomezarr.coords import dequantify, describe, infer_axis_type
from xomezarr.errors import (
    AxisError,
    DtypeError,
    LevelError,
    MissingDependencyError,
    OmeZarrError,
    OmeZarrWarning,
    StoreExistsError,
    UnitError,
    warn,
)
from xomezarr.model import Channel
from xomezarr.pictures import composite, shown_dims
from xomezarr.progress import OnTile, progress_of
from xomezarr.units import convert

__all__ = ["export"]

TILE = 512
"""Pixels along the sides of the tiles of an OME-TIFF: what viewers of whole slides ask for at once."""

AT_ONCE = 128 * 2**20
"""Bytes of pixels that are read at once: some planes of a stack, whose chunks hold several, or some rows of tiles."""

MOST_PIXELS = 2**27
"""Of a picture: as many take about 6 GB to draw, and few programs show more."""

IMAGEJ_DTYPES = ("uint8", "uint16", "float32")
IMAGEJ_BYTES = 2**32 - 2**20
"""ImageJ reads pixels in one piece, from a file whose offsets have 32 bits."""

OME_DTYPES = (
    *("int8", "int16", "int32", "uint8", "uint16", "uint32"),
    *("float32", "float64", "complex64", "complex128"),
)
"""Types of pixels in OME-XML."""

METRES_PER_INCH = 0.0254


def export(
    image: xr.DataArray | xr.DataTree,
    path: str | os.PathLike[str],
    *,
    level: int = 0,
    mode: str = "w-",
    progress: bool | OnTile | None = None,
) -> Path:
    """Write an image to a file that other programs read; its name says what kind.

    ============================ =====================================================================
    ``.png``                     channels added up in their colours; the plane that `plot` shows
    ``.tif``, ``.tiff``          a hyperstack of ImageJ: all pixels, uint8, uint16 or float32, below 4 GiB
    ``.ome.tif``, ``.ome.tiff``  OME-TIFF: all pixels, in tiles, of any size, with those coarser levels
                                 that have as many planes, which are all of an image without depth
    ============================ =====================================================================

    Pixel sizes are written with all of them, names and colours of channels with TIFFs. What none has a place for is
    told in a warning: where the first pixel lies, times that are not regular. OME-Zarr keeps all of it. Of a TIFF
    `AT_ONCE` bytes are read at once, or a plane of a hyperstack that is larger.

    Parameters
    ----------
    image
        An array, or a tree of levels.
    path
        Of the file.
    level
        The finest level that is written, of a tree.
    mode
        ``"w-"``: an error if the file exists; ``"w"``: replace it.
    progress
        True for a progress bar, or a callable that is told the bytes of each part written.

    Returns
    -------
    pathlib.Path
        The file, which appears whole or not at all.

    Raises
    ------
    StoreExistsError
        If something is there.
    DtypeError
        If the file has no such pixels.
    LevelError
        If the image has no such level, or is too large for the file.
    OmeZarrError
        If the name says no kind of file that is known.
    MissingDependencyError
        If tifffile is not installed.

    Examples
    --------
    >>> import tempfile
    >>> da = xr.DataArray(np.eye(64, dtype="uint8"), dims=("y", "x"))
    >>> export(da, tempfile.mkdtemp() + "/eye.png").name
    'eye.png'
    """
    target = Path(path)
    write = _writer(target)
    if mode not in ("w-", "w"):
        raise OmeZarrError(f'mode {mode!r} is not known; give mode="w-" to create a file or mode="w" to replace one')
    if target.is_dir() or (target.exists() and mode == "w-"):
        cure = "give another path" if target.is_dir() else 'give another path, or mode="w" to replace it'
        raise StoreExistsError(f"{str(target)!r} exists already; {cure}")
    if not target.absolute().parent.is_dir():
        raise OmeZarrError(f"there is no folder {str(target.absolute().parent)!r}; make it, or give another path")
    levels, channels = _levels(image, level)
    from xomezarr import stage  # it derives a class from one of zarr's, which is loaded late

    partial = stage.beside(target, "partial")
    try:
        with progress_of(progress, target)(sum(one.nbytes for one in levels)) as on_tile:
            write(partial, levels, channels, on_tile or (lambda nbytes: None))
        if mode == "w-":
            stage.create(partial, target)
        else:
            partial.replace(target)
    finally:
        with suppress(OSError):
            partial.unlink()
    return target


type _Write = Callable[[Path, Sequence[xr.DataArray], Sequence[Channel], OnTile], None]


def _writer(path: Path) -> _Write:
    """Return what writes a kind of file, by its name."""
    name = path.name.lower()
    for suffix, write in _WRITERS.items():
        if name.endswith(suffix) and name != suffix:
            return write
    raise OmeZarrError(
        f"{str(path)!r} says no kind of file that is known; give one that ends in {', '.join(_WRITERS)}, or write "
        "OME-Zarr: to_zarr(…)"
    )


def _levels(image: xr.DataArray | xr.DataTree, level: int) -> tuple[list[xr.DataArray], Sequence[Channel]]:
    """Return the levels to be written, finest first, and the channels."""
    seen: Any = image.omezarr
    found = [dequantify(image)] if isinstance(image, xr.DataArray) else list(seen.levels)
    if not -len(found) <= level < len(found):
        raise LevelError(f"level={level} is none of {len(found)} levels; give one from 0 to {len(found) - 1}")
    return found[level:] if level >= 0 else found[len(found) + level :], seen.channels


# --- pictures --------------------------------------------------------------------------------------------------------


def _write_png(path: Path, levels: Sequence[xr.DataArray], channels: Sequence[Channel], on_tile: OnTile) -> None:
    from PIL import Image

    finest = levels[0]
    height, width = (finest.sizes[dim] for dim in shown_dims(finest))
    if height * width > MOST_PIXELS:
        raise LevelError(
            f"a picture of {height} × {width} pixels is more than most programs show; give a coarser level=…, or "
            'write an OME-TIFF: "image.ome.tif"'
        )
    rows, columns = (_spacing(finest, dim, "meter") for dim in shown_dims(finest))
    resolution = {"dpi": (METRES_PER_INCH / columns, METRES_PER_INCH / rows)} if rows and columns else {}
    with path.open("wb") as file:
        Image.fromarray(composite(finest, channels)).save(file, "PNG", **resolution)
    on_tile(finest.nbytes)


def _spacing(image: xr.DataArray, dim: str, unit: str) -> float | None:
    """Return how far pixel centres are apart along a dimension, in a unit; None where that is not known."""
    if dim not in image.coords:
        return None
    try:
        (found,) = (one for one in describe(_alone(image, dim)) if one.name == dim)
        return found.grid.scale * convert(found.axis.unit, unit) if found.axis.unit else None
    except (OmeZarrError, UnitError):
        return None


def _alone(image: xr.DataArray, dim: str) -> xr.DataArray:
    """Return an image that is regular along all dimensions but one, where it is as it is."""
    rows, columns = shown_dims(image)
    kept = {dim, rows, columns}
    flat = image.isel({other: 0 for other in image.dims if other not in kept}, drop=True)
    return flat.drop_vars([other for other in kept - {dim} if other in flat.coords])


# --- TIFF ------------------------------------------------------------------------------------------------------------

ORDERS = {"time": "T", "channel": "C", "space": "Z"}
"""Letters of tifffile for the dimensions that a picture does not show, by the type of their axis."""


@dataclass(frozen=True, slots=True)
class _Stack:
    """An image as TIFF has it: planes, in the order of three other dimensions.

    Parameters
    ----------
    image
        The image.
    dims
        Its dimensions by tifffile's letters; None for one that it does not have.
    """

    image: xr.DataArray
    dims: Mapping[str, str | None]

    @classmethod
    def of(cls, image: xr.DataArray, order: str) -> _Stack:
        """See an image as a stack of planes.

        Parameters
        ----------
        order
            Letters of the dimensions that come before those of a plane, such as ``"TZC"``.

        Raises
        ------
        AxisError
            If it has a dimension for which TIFF has no letter.
        """
        rows, columns = shown_dims(image)
        dims: dict[str, str | None] = dict.fromkeys(order)
        for dim in map(str, image.dims):
            if dim in (rows, columns):
                continue
            letter = ORDERS.get(infer_axis_type(image, dim, {}) or "channel", "C")
            if dims[letter] is not None:
                raise AxisError(
                    f"TIFF has no place for {dim!r} beside {dims[letter]!r}; select one: isel({dim}=0, drop=True)"
                )
            dims[letter] = dim
        return cls(image, dims | {"Y": rows, "X": columns})

    @property
    def axes(self) -> str:
        """The letters."""
        return "".join(self.dims)

    @property
    def shape(self) -> tuple[int, ...]:
        """By the letters; 1 for dimensions that the image does not have."""
        return tuple(1 if dim is None else self.image.sizes[dim] for dim in self.dims.values())

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels, in native byte order."""
        return np.dtype(self.image.dtype).newbyteorder("=")

    def planes(self, on_tile: OnTile) -> Iterator[NDArray[Any]]:
        """Yield one plane after the other."""
        for block in self._blocks():
            for one in block:
                yield np.ascontiguousarray(one)
                on_tile(one.nbytes)

    def tiles(self, on_tile: OnTile) -> Iterator[NDArray[Any]]:
        """Yield the tiles of one plane after the other; those that the edge cuts are filled with zeros."""
        *_, height, width = self.shape
        band = max(AT_ONCE // (TILE * width * self.dtype.itemsize), 1) * TILE
        if band >= height:
            for one in self.planes(on_tile):
                yield from _tiles_of(one)
            return
        for place in itertools.product(*(map(range, self.shape[:-2]))):
            for top in range(0, height, band):
                (rows,) = self._read([slice(n, n + 1) for n in place], slice(top, min(top + band, height)))
                yield from _tiles_of(rows)
                on_tile(rows.nbytes)

    def _blocks(self) -> Iterator[NDArray[Any]]:
        """Read as many planes at once as `AT_ONCE` allows, in their order, as chunks hold several."""
        *above, height, width = self.shape
        steps = at_once(above, AT_ONCE // max(height * width * self.dtype.itemsize, 1))
        for starts in itertools.product(*(range(0, n, step) for n, step in zip(above, steps, strict=True))):
            parts = zip(starts, steps, above, strict=True)
            yield self._read([slice(start, min(start + step, n)) for start, step, n in parts], slice(0, height))

    def _read(self, place: Sequence[slice], rows: slice) -> NDArray[Any]:
        """Read a block of planes, shape (planes, rows, columns)."""
        where = dict(zip(self.dims, [*place, rows, slice(None)], strict=True))
        named = {letter: dim for letter, dim in self.dims.items() if dim is not None}
        selected = {dim: where[letter] for letter, dim in named.items()}
        read: NDArray[Any] = self.image.isel(selected).transpose(*named.values()).values
        return read.astype(self.dtype, copy=False).reshape((-1, *read.shape[-2:]))


def at_once(sizes: Sequence[int], most: int) -> list[int]:
    """Return how many indices are taken at once along each axis, of at most so many places, and at least one.

    >>> at_once([5, 2, 10], 25), at_once([5, 2, 10], 4), at_once([5, 2, 10], 0)
    ([1, 2, 10], [1, 1, 4], [1, 1, 1])
    """
    steps: list[int] = []
    for size in reversed(sizes):
        steps.insert(0, min(size, max(most, 1)))
        most = most // size
    return steps


def _tiles_of(band: NDArray[Any]) -> Iterator[NDArray[Any]]:
    height, width = band.shape
    for top, left in itertools.product(range(0, height, TILE), range(0, width, TILE)):
        part = band[top : top + TILE, left : left + TILE]
        if part.shape == (TILE, TILE):
            yield np.ascontiguousarray(part)
        else:
            tile = np.zeros((TILE, TILE), band.dtype)
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile


def _described(stack: _Stack, units: Mapping[str, str]) -> dict[str, float]:
    """Return how far pixels are apart, by tifffile's letters, in these units; tell of what TIFF has no place for."""
    found = {}
    for letter, unit in units.items():
        dim = stack.dims[letter]
        if dim is None or stack.image.sizes[dim] < 1:
            continue
        spacing = _spacing(stack.image, dim, unit)
        if spacing is not None:
            found[letter] = spacing
        elif dim in stack.image.coords:
            warn(
                f"the coordinates of {dim!r} are not regular, or have no unit that TIFF knows, and are left out; "
                "OME-Zarr keeps them: to_zarr(…, irregular='keep')",
                OmeZarrWarning,
            )
    return found


def _tell_of_origin(image: xr.DataArray) -> None:
    """Warn where the first pixel does not cover zero, of which TIFF says nothing that all readers understand."""
    away = {}
    for dim in [str(dim) for dim in image.dims if dim in image.coords]:
        if infer_axis_type(image, dim, {}) == "space" and image.sizes[dim] and image.coords[dim].dtype.kind in "iuf":
            first, *others = image.coords[dim].values[:2].tolist()
            half = abs(others[0] - first) / 2 if others else float(image.coords[dim].attrs.get("scale", 1.0)) / 2
            if abs(first) > half:
                away[dim] = first
    if away:
        told = ", ".join(f"{dim} = {value:g}" for dim, value in away.items())
        warn(f"the first pixel lies at {told}, which TIFF does not say; OME-Zarr does: to_zarr(…)", OmeZarrWarning)


def _writes_tiff() -> Any:
    try:
        import tifffile
    except ImportError:
        raise MissingDependencyError('TIFF is written by tifffile; install it: pip install "xomezarr[io]"') from None
    return tifffile


def _write_ome_tiff(path: Path, levels: Sequence[xr.DataArray], channels: Sequence[Channel], on_tile: OnTile) -> None:
    """Write the levels that have as many planes as the finest, of which TIFF has smaller copies, plane by plane."""
    tifffile = _writes_tiff()
    finest, *coarser = (_Stack.of(one, "TCZ") for one in levels)
    stacks = [finest, *(stack for stack in coarser if stack.shape[:-2] == finest.shape[:-2])]
    if finest.dtype.name not in OME_DTYPES:
        raise DtypeError(
            f"OME-TIFF has no pixels of dtype {finest.dtype}, but {', '.join(OME_DTYPES)}; convert them: astype(…)"
        )
    _tell_of_origin(finest.image)
    options = {"tile": (TILE, TILE), "compression": "zlib", "photometric": "minisblack"}
    whole = math.prod(finest.shape) * finest.dtype.itemsize
    with tifffile.TiffWriter(path, ome=True, bigtiff=2 * whole > IMAGEJ_BYTES) as file:
        for number, stack in enumerate(stacks):
            first = {"metadata": _ome_metadata(finest, channels), "subifds": len(stacks) - 1}
            file.write(
                stack.tiles(on_tile),
                shape=stack.shape,
                dtype=stack.dtype,
                **options,
                **(first if not number else {"subfiletype": 1, "metadata": None}),
            )


def _ome_metadata(stack: _Stack, channels: Sequence[Channel]) -> dict[str, Any]:
    """Return what tifffile writes as OME-XML."""
    sizes = _described(stack, {"X": "um", "Y": "um", "Z": "um", "T": "s"})
    found: dict[str, Any] = {"axes": stack.axes}
    if stack.image.name is not None:
        found["Name"] = str(stack.image.name)
    for letter in "XYZ":
        if letter in sizes:
            found |= {f"PhysicalSize{letter}": sizes[letter], f"PhysicalSize{letter}Unit": "µm"}
    if "T" in sizes:
        found |= {"TimeIncrement": sizes["T"], "TimeIncrementUnit": "s"}
    if channels and len(channels) == stack.shape[stack.axes.index("C")]:
        found["Channel"] = {"Name": [channel.label or f"channel {n}" for n, channel in enumerate(channels)]}
        if all(channel.color for channel in channels):
            found["Channel"]["Color"] = [_ome_color(str(channel.color)) for channel in channels]
    return found


def _ome_color(color: str) -> int:
    """Return a colour as OME-XML writes it: red, green, blue and opacity as a signed number of 32 bits.

    >>> _ome_color("00FF00")
    16711935
    """
    return int.from_bytes([*bytes.fromhex(color[:6]), 255], "big", signed=True)


def _write_tiff(path: Path, levels: Sequence[xr.DataArray], channels: Sequence[Channel], on_tile: OnTile) -> None:
    """Write the finest level as a hyperstack of ImageJ."""
    tifffile = _writes_tiff()
    stack = _Stack.of(levels[0], "TZC")
    if stack.dtype.name not in IMAGEJ_DTYPES:
        raise DtypeError(
            f"ImageJ has no pixels of dtype {stack.dtype}, but {', '.join(IMAGEJ_DTYPES)}; convert them: astype(…), or "
            'write an OME-TIFF: "image.ome.tif"'
        )
    if (nbytes := math.prod(stack.shape) * stack.dtype.itemsize) > IMAGEJ_BYTES:
        raise LevelError(
            f"ImageJ reads no TIFF of {nbytes} bytes, which is more than 4 GiB; give a coarser level=…, or write an "
            'OME-TIFF: "image.ome.tif"'
        )
    _tell_of_origin(stack.image)
    sizes = _described(stack, {"X": "um", "Y": "um", "Z": "um", "T": "s"})
    metadata: dict[str, Any] = {"axes": stack.axes}
    if sizes.keys() & set("XYZ"):
        metadata["unit"] = "um"
    if "Z" in sizes:
        metadata["spacing"] = sizes["Z"]
    if "T" in sizes:
        metadata["finterval"] = sizes["T"]
    if len(channels) == stack.shape[stack.axes.index("C")] and channels:
        metadata |= _imagej_channels(channels, stack)
    resolution = {"resolution": (1 / sizes["X"], 1 / sizes["Y"])} if sizes.keys() >= {"X", "Y"} else {}
    tifffile.imwrite(
        path,
        stack.planes(on_tile),
        shape=stack.shape,
        dtype=stack.dtype,
        imagej=True,
        photometric="minisblack",
        metadata=metadata,
        **resolution,
    )


def _imagej_channels(channels: Sequence[Channel], stack: _Stack) -> dict[str, Any]:
    """Return the names of channels as labels of slices, and their colours as lookup tables."""
    found: dict[str, Any] = {}
    if all(channel.label for channel in channels):
        others = math.prod(stack.shape[: stack.axes.index("C")])
        found["Labels"] = [str(channel.label) for channel in channels] * others
    if all(channel.color for channel in channels):
        ramp = np.arange(256)
        tables = [[ramp * part // 255 for part in bytes.fromhex(str(channel.color))] for channel in channels]
        found |= {"LUTs": [np.array(table, np.uint8) for table in tables], "mode": "composite"}
    return found


_WRITERS: Mapping[str, _Write] = {
    ".ome.tif": _write_ome_tiff,
    ".ome.tiff": _write_ome_tiff,
    ".tif": _write_tiff,
    ".tiff": _write_tiff,
    ".png": _write_png,
}
"""By how names end; the first that fits counts."""
