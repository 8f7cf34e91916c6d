"""TIFF, OME-TIFF and ImageJ's TIFF: pixels chunk by chunk, pixel sizes, units and channels by tifffile."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xomezarr.channels import RGB, assign_channels, rgb_channels
from xomezarr.coords import assign_grid
from xomezarr.errors import (
    AxisError,
    MissingDependencyError,
    OmeZarrError,
    OmeZarrWarning,
    warn,
)
from xomezarr.lazy import zarr
from xomezarr.model import Channel
from xomezarr.omexml import Calibration
from xomezarr.readers.filearray import (
    PREFERRED_BYTES,
    FileArray,
    WithSingles,
    chosen_series,
    chunks_in_memory_order,
    dimensions,
    lazy_image,
)
from xomezarr.readers.raw import Raw
from xomezarr.readers.tiff_calibration import calibration_of

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

__all__ = ["open_tiff"]

TIFF_DIMENSIONS = {"T": "t", "C": "c", "Z": "z", "Y": "y", "X": "x"}
"""Dimensions by tifffile's letters. Others, such as Q and I, say that the file does not tell."""

TIFF_LETTERS = {dim: letter for letter, dim in TIFF_DIMENSIONS.items()}

ORDER = "".join(TIFF_DIMENSIONS)
"""Of dimensions: where one comes in that the file does not place."""

BY_OME_XML = ("ome", "mmstack")
"""What tifffile calls images that OME-XML describes: planes of Micro-Manager are known by its own index."""

ALPHA = ("ASSOCALPHA", "UNASSALPHA")
"""Samples of a pixel that say how much of what is behind it is to be seen."""

UNPACKED_BITS = (1, 8, 16, 32, 64, 128)
"""Bits of a sample that NumPy has a dtype for, or unpacks; all others take imagecodecs."""

JPEG = ("JPEG", "OJPEG", "ALT_JPEG", "JPEG_LOSSY")
"""Compressions whose brightness and differences of colour tifffile decodes to red, green and blue."""

OTHER_COLORS: Mapping[str, str] = {
    "YCBCR": "brightness and two differences of colour (YCbCr)",
    "SEPARATED": "the inks of a print (CMYK)",
}
"""Samples of colours that are none of red, green and blue, and that Pillow converts to these."""

IMAGEJ_LINE, IMAGEJ_NONE = 0, 20
"""Functions by which ImageJ calibrates values: a straight line; none. The others are curves."""


DESCRIPTIONS = (270, 282, 283, 50838, 50839)
"""Tags that say what pixels are: OME-XML and the like, resolution, and what ImageJ keeps of its own."""


def open_tiff(path: str, dims: str | Sequence[str] | None, series: int | None) -> xr.DataArray:
    """Open a series of a TIFF; see `opening.open_image`."""
    with _tiff_file(path) as tiff:
        series = chosen_series(series, len(tiff.series), path)
        image = tiff.series[series]
        _check_codec(image, path)
        _warn_of_missing_planes(image, path)
        _warn_of_colors(image, path)
        _warn_of_turn(image, path)
        _warn_of_calibrated_values(tiff, image, path)
        said = calibration_of(tiff, image, series, path)
        letters, shape, singles = _with_singles(image, said, None if dims is None else len(dims))
        named = dimensions(dims, shape, path, _tiff_dimensions(letters, shape, path) if dims is None else None)
        calibration = _tiff_calibration(image, said, dict(zip(named, letters, strict=True)), path)
        chunks, mapped = _tiff_chunks(image), _mapped(image)
        for axis in singles:
            chunks = (*chunks[:axis], 1, *chunks[axis:])
        dtype = np.dtype(image.dtype).newbyteorder(tiff.byteorder)
        offset = image.dataoffset
    opener: Any = partial(_open_tiff_pixels, path, series, singles)
    if mapped:
        opener = Raw(path, dtype, offset or 0, shape)
        opener.check()
    array = FileArray(opener, shape, dtype, path)
    lazy = lazy_image(array, named, name=calibration.name or None, chunks=chunks, mapped=mapped)
    return _calibrated(lazy, calibration)


@contextmanager
def _tiff_file(path: str) -> Iterator[TiffFile]:
    """Open a TIFF; what tifffile cannot read is an error that names the file."""
    try:
        import tifffile
    except ImportError as error:
        raise MissingDependencyError(
            f'"{path}" is a TIFF, and tifffile, which reads them, is not installed; '
            'install it: pip install "xomezarr[cli]"'
        ) from error
    try:
        with _heard() as said, tifffile.TiffFile(path) as tiff:
            len(tiff.pages)  # which goes along the chain of them to its end
            _check_whole(said, path)
            yield tiff
    except (OmeZarrError, OSError, MemoryError, Warning):
        raise
    except Exception as error:  # whatever its parser meets
        if isinstance(error.__cause__, ImportError):
            raise MissingDependencyError(
                f'"{path}" cannot be read by the tifffile that is installed ({error}); install a newer one: '
                "pip install --upgrade tifffile"
            ) from error
        told = f"{type(error).__name__}: {error}"
        raise OmeZarrError(f'"{path}" is damaged, or no TIFF ({told}); copy it again, or write it again') from error


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Yield what tifffile logs in this thread: it reads what there is of a file that is cut off, and says so there."""
    said: list[str] = []
    thread = threading.get_ident()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                said.append(record.getMessage())

    listener = Listener()
    logger = logging.getLogger("tifffile")
    logger.addHandler(listener)
    try:
        yield said
    finally:
        logger.removeHandler(listener)


def _check_whole(said: Sequence[str], path: str) -> None:
    """Refuse a file whose chain of planes leads beyond its end, or what is said there of all of them."""
    size = Path(path).stat().st_size
    for line in said:
        described = re.search(rf"TiffTag ({'|'.join(map(str, DESCRIPTIONS))}) .*invalid value offset (\d+)", line)
        if described is not None:
            raise OmeZarrError(
                f'"{path}" is cut off, or damaged: what it says of its pixels (tag {described[1]}) is to lie from byte '
                f"{described[2]} on, and the file ends at byte {size}; copy the file again, or take the pixels alone: "
                f"tifffile.imwrite('pixels.tif', tifffile.imread({path!r}, is_ome=False))"
            )
        found = re.search(r"invalid page offset (\d+)", line)
        if found is not None and int(found[1]) >= size:
            raise OmeZarrError(
                f'"{path}" is cut off: it ends at byte {size}, and the next of its planes lies at '
                f"byte {found[1]}; copy the file again"
            )


def _check_codec(image: TiffPageSeries, path: str) -> None:
    """Find out before the first pixel is read whether the samples can be unpacked."""
    from tifffile import TIFF

    page = image.keyframe
    needs = [
        f"is compressed with {getattr(needed, 'name', needed)}"
        for table, needed in ((TIFF.DECOMPRESSORS, page.compression), (TIFF.UNPREDICTORS, page.predictor))
        if needed not in table
    ]
    bits = page.bitspersample
    if isinstance(bits, int) and bits not in UNPACKED_BITS and find_spec("imagecodecs") is None:
        needs.append(f"holds samples of {bits} bits without gaps")
    if needs:
        raise MissingDependencyError(
            f'"{path}" {needs[0]}, which needs the package imagecodecs; install it: pip install "xomezarr[io]"'
        )


def _warn_of_missing_planes(image: TiffPageSeries, path: str) -> None:
    """OME-XML, or the index of Micro-Manager, may name planes that no file holds; they read as zeros."""
    if image.kind in BY_OME_XML:
        missing = sum(page is None or not any(page.databytecounts) for page in image.pages)
        if missing:
            warn(
                f'{missing} of {len(image.pages)} planes of "{path}" are missing, and read as 0; '
                "put the files that belong to it beside it, or select the planes that exist with isel",
                OmeZarrWarning,
            )


def _warn_of_colors(image: TiffPageSeries, path: str) -> None:
    """Pixels may be numbers of colours, which a table has, or may be the darker the higher they are."""
    photometric = getattr(image.keyframe.photometric, "name", "")
    colors = f'PIL.Image.open({path!r}).convert("RGB").save("colours.png")'
    if photometric == "MINISWHITE" and image.dtype.kind != "b":  # masks are often so, and nobody shows them
        warn(
            f'"{path}" says that 0 is to be shown white, and is read as it is stored; to have dark what is shown dark, '
            "turn the values over before: image.max() - image",
            OmeZarrWarning,
        )
    if photometric == "PALETTE":
        warn(
            f'"{path}" has the colours of its pixels in a palette, which is left out: pixels are their numbers there; '
            f"for the colours, {colors}",
            OmeZarrWarning,
        )
    if photometric in OTHER_COLORS and not _is_rgb(image):
        warn(
            f'"{path}" has pixels of {OTHER_COLORS[photometric]}, which are read as they are stored; for red, green '
            f"and blue, {colors}",
            OmeZarrWarning,
        )


def _warn_of_turn(image: TiffPageSeries, path: str) -> None:
    """Warn where rows are not to be shown from the top, or columns not from the left."""
    tag = image.keyframe.tags.get("Orientation")
    if tag is not None and tag.value != 1:
        warn(
            f'"{path}" says that it is to be turned or mirrored when it is shown (Orientation '
            f"{getattr(tag.value, 'name', tag.value)}), and is read as it is stored; turn it before, by NumPy: "
            "numpy.flip, numpy.rot90",
            OmeZarrWarning,
        )


def _is_rgb(image: TiffPageSeries) -> bool:
    """Whether the first samples of a pixel are red, green and blue when they are decoded."""
    page = image.keyframe
    photometric, compression = (getattr(of, "name", "") for of in (page.photometric, page.compression))
    return photometric == "RGB" or (photometric == "YCBCR" and compression in JPEG)


def _warn_of_calibrated_values(tiff: TiffFile, image: TiffPageSeries, path: str) -> None:
    """ImageJ may show other values than it stores: it has no signed integers, and moves those that it reads."""
    metadata = (tiff.imagej_metadata or {}) if image.kind == "imagej" else {}
    function = metadata.get("cf", IMAGEJ_NONE)
    found = [metadata[key] for key in ("c0", "c1", "c2", "c3", "c4") if key in metadata]
    if function == IMAGEJ_NONE or (function == IMAGEJ_LINE and found in ([], [0, 1])):
        return
    unit = f", in {metadata['vunit']}" if metadata.get("vunit") else ""
    told = f"function {function} of ImageJ, by the numbers {', '.join(f'{one:g}' for one in found)}"
    how, cure = f"by a curve ({told}{unit})", "have ImageJ write them, as 32-bit: Image › Type › 32-bit"
    if function == IMAGEJ_LINE and len(found) == 2:
        how = f"value = {found[0]:g} + {found[1]:g} · stored{unit}"
        cure = f"image.astype('float64') * {found[1]!r} + {found[0]!r}"
    warn(
        f'"{path}" has values that ImageJ calibrates ({how}), and they are read as they are stored; for those that it '
        f"shows: {cure}",
        OmeZarrWarning,
    )


def _tiff_dimensions(letters: str, shape: tuple[int, ...], path: str) -> tuple[str, ...]:
    """Name the dimensions of tifffile's letters; samples of a pixel (S: RGB) are channels."""
    if "C" in letters and "S" in letters:
        names = letters.lower()
        raise AxisError(
            f'"{path}" has channels and, in each, red, green and blue samples, of shape {shape} ({letters}), and an '
            f"image has one dimension of channels; select one: open_image(path, dims={names!r}).isel(s=0)"
        )
    table = TIFF_DIMENSIONS | {"S": "c"}
    unknown = [letter for letter in letters if letter not in table]
    if unknown:
        guess = "".join(table.get(letter, "?") for letter in letters)
        spare = [dim for dim in "ztc" if dim not in guess][: len(unknown)]
        for dim in sorted(spare, key="tcz".index):  # the slowest first
            guess = guess.replace("?", dim, 1)
        raise AxisError(
            f'"{path}" does not say what dimension {letters.index(unknown[0])} of {len(letters)} is, '
            f"of size {shape[letters.index(unknown[0])]} in {shape} (tifffile's axes are {letters!r}); "
            f"name all of them in the file's order: open_image(path, dims={guess!r})"
        )
    return tuple(table[letter] for letter in letters)


def _tiff_chunks(image: TiffPageSeries) -> tuple[int, ...]:
    """Return the chunks to read at once: tiles, or whole strips up to `PREFERRED_BYTES`."""
    if _mapped(image):
        return chunks_in_memory_order(np.broadcast_to(np.zeros((), image.dtype), image.shape))
    store = image.aszarr(level=0)
    try:
        chunks = list(zarr.open_array(store, mode="r").chunks)
    finally:
        store.close()
    row = image.axes.find("Y")
    if row >= 0 and not image.keyframe.is_tiled:
        nbytes = int(np.prod(chunks)) * image.dtype.itemsize
        chunks[row] = min(chunks[row] * max(PREFERRED_BYTES // max(nbytes, 1), 1), int(image.shape[row]))
    return tuple(chunks)


def _is_miscut(image: TiffPageSeries, chunks: tuple[int, ...]) -> bool:
    """Whether tifffile's store has tiles of another shape than the file: so it is with one row or column, until 2026.

    Such images are read whole: with so few pixels in a row, or a column, they are small.
    """
    tile = tuple(image.keyframe.chunks)
    return image.keyframe.is_tiled and 1 in image.keyframe.shape and tuple(chunks[-len(tile) :]) != tile


def _mapped(image: TiffPageSeries) -> bool:
    """Whether the pixels lie in the file as they do in memory, one plane after the other."""
    return image.dataoffset is not None and image.keyframe.parent.filehandle.is_file and not image.is_multifile


def _open_tiff_pixels(path: str, series: int, singles: tuple[int, ...]) -> tuple[Any, Callable[[], None]]:
    from tifffile import TiffFile

    # what is logged was told when the image was opened
    with _heard(), ExitStack() as opened:
        tiff = opened.enter_context(TiffFile(path))
        image = tiff.series[chosen_series(series, len(tiff.series), path)]
        array: Any = zarr.open_array(image.aszarr(level=0), mode="r")
        if _is_miscut(image, array.chunks):
            array = image.asarray()
        opened.pop_all()
    return WithSingles(array, singles) if singles else array, tiff.close


# --- what TIFF files say of their pixels -------------------------------------


def _calibrated(image: xr.DataArray, calibration: Calibration) -> xr.DataArray:
    """Put scale, units and channels where xomezarr looks for them: on the coordinates."""
    image = assign_grid(image, scale=calibration.scale, units=calibration.units)
    if len(calibration.channels) != image.sizes.get("c"):
        return image
    return assign_channels(image, calibration.channels)


def _with_singles(
    image: TiffPageSeries, said: Calibration, asked: int | None
) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """Return the letters and the shape of an image with dimensions of one index of which the file says something.

    tifffile leaves them out; a channel has its name by the dimension of channels, and a section its thickness.

    Parameters
    ----------
    image, said
        The image, and what its OME-XML says of it.
    asked
        How many dimensions the user names; None if they are the file's.

    Returns
    -------
    letters, shape
        Of what is opened.
    singles
        Which of these tifffile leaves out.
    """
    letters, shape = image.axes, tuple(map(int, image.shape))
    if image.kind not in BY_OME_XML or asked == len(shape):
        return letters, shape, ()
    told = {TIFF_LETTERS[dim] for dim in said.scale}
    if len(said.channels) == 1 and "S" not in letters and not _is_nameless(said.channels[0]):
        told.add("C")
    whole = letters
    for letter in sorted(told - {*letters}, key=ORDER.index):
        place = next((i for i, other in enumerate(whole) if other in ORDER[ORDER.index(letter) :]), len(whole))
        whole = whole[:place] + letter + whole[place:]
    if asked not in (None, len(whole)):
        return letters, shape, ()
    singles = tuple(axis for axis, letter in enumerate(whole) if letter not in letters)
    sizes = dict(zip(letters, shape, strict=True))
    return whole, tuple(sizes.get(letter, 1) for letter in whole), singles


def _is_nameless(channel: Channel) -> bool:
    """Whether all that is known of a channel is the number that any has in OME-XML."""
    return channel == Channel(channel.label) and re.fullmatch(r"Channel:\d+(:\d+)?", channel.label or "") is not None


def _tiff_calibration(image: TiffPageSeries, found: Calibration, letters: Mapping[str, str], path: str) -> Calibration:
    """Return what a file says of an image, by the dimensions that this has, as far as it can be."""
    samples = "S" in image.axes and letters.get("c") == "S"
    channels = _sample_channels(image) if samples else found.channels
    told = {dim: value for dim, value in found.scale.items() if dim in letters}
    scale = {dim: value for dim, value in told.items() if np.isfinite(value) and value > 0}
    if wrong := {dim: value for dim, value in told.items() if dim not in scale}:
        said = ", ".join(f"{dim} = {value:g}" for dim, value in wrong.items())
        warn(
            f'"{path}" has pixel sizes that are none ({said}), and they are left out; give them: scale={{…}}',
            OmeZarrWarning,
        )
    return Calibration(scale, {dim: unit for dim, unit in found.units.items() if dim in scale}, channels, found.name)


def _sample_channels(image: TiffPageSeries) -> tuple[Channel, ...]:
    """Red, green and blue, where the samples of a pixel are these."""
    size = int(image.shape[image.axes.index("S")])
    others = [getattr(sample, "name", "") for sample in image.keyframe.extrasamples]
    if not _is_rgb(image) or size != len(RGB) + len(others) or {*others} - {*ALPHA} or others[1:]:
        return ()
    return rgb_channels(np.dtype(image.dtype), size)
