"""PNG, JPEG, GIF, BMP and WebP by Pillow: pixels are decoded all at once, of moving ones frame by frame."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr.channels import assign_channels, rgb_channels
from xomezarr.coords import assign_grid
from xomezarr.errors import MissingDependencyError, OmeZarrError, OmeZarrWarning, warn
from xomezarr.model import Channel
from xomezarr.readers.filearray import COARSEST_PIXEL_UM, FileArray, dimensions, lazy_image, nothing_to_close

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["open_photo"]

PNG = b"\x89PNG\r\n\x1a\n"

EXIF_ORIENTATION = 0x0112

MICROMETRES_PER_INCH = 25400.0

GREY, RED_GREEN_BLUE = ("grey",), ("red", "green", "blue")
ALPHA = ("alpha",)


@dataclass(frozen=True, slots=True)
class Mode:
    """What the pixels of one of Pillow's modes become.

    Parameters
    ----------
    decoded
        The mode that they are converted to.
    dtype
        Of the pixels then.
    samples
        What a pixel holds; one sample needs no name.
    """

    decoded: str
    dtype: str
    samples: tuple[str, ...] = GREY


COLORS = Mode("RGB", "uint8", RED_GREEN_BLUE)
COLORS_ALPHA = Mode("RGBA", "uint8", RED_GREEN_BLUE + ALPHA)

MODES: Mapping[str, Mode] = {
    "1": Mode("1", "bool"),
    "L": Mode("L", "uint8"),
    "I;16": Mode("I;16", "uint16"),
    "I;16B": Mode("I;16", "uint16"),
    "I": Mode("I", "int32"),
    "F": Mode("F", "float32"),
    "LA": Mode("LA", "uint8", GREY + ALPHA),
    "PA": COLORS_ALPHA,
    "P": COLORS,
    "RGB": COLORS,
    "RGBA": COLORS_ALPHA,
    "CMYK": COLORS,
    "YCbCr": COLORS,
}
"""By Pillow's name; palettes become the colours that they stand for."""

TRANSPARENT: Mapping[str, Mode] = {
    "P": COLORS_ALPHA,
    "RGB": COLORS_ALPHA,
    "L": Mode("LA", "uint8", GREY + ALPHA),
}
"""By Pillow's name, what pictures become of which a colour is to be seen through."""

DEEP: Mapping[int, tuple[str, ...]] = {2: RED_GREEN_BLUE, 4: GREY + ALPHA, 6: RED_GREEN_BLUE + ALPHA}
"""By the type of a PNG, colours that may have 16 bits, of which Pillow would drop 8."""


def open_photo(path: str, dims: str | Sequence[str] | None, series: int | None) -> xr.DataArray:
    """Open a picture; see `opening.open_image`."""
    with _opened(path) as picture:
        mode, frames = _mode(picture, path), _frames(picture)
        seen_through = "transparency" in picture.info
        width, height = picture.size
        spacing = _spacing(picture)
        _tell_of_turn(picture, path)
    opener: Any = _Decoded(path, mode.decoded)
    if (deep := _deep(path, seen_through=seen_through)) is not None:
        _check_deep(path)
        mode, frames, opener = deep, 1, _Deep(path)
    sizes = {"t": frames, "y": height, "x": width, "c": len(mode.samples)}
    named = tuple(dim for dim, size in sizes.items() if dim in "yx" or size > 1)
    shape = tuple(sizes[dim] for dim in named)
    held = math.prod(shape) * np.dtype(mode.dtype).itemsize
    image = lazy_image(
        FileArray(opener, shape, np.dtype(mode.dtype), path, held_bytes=held if frames == 1 else 0),
        dimensions(dims, shape, path, named),
        chunks=tuple(1 if dim == "t" else sizes[dim] for dim in named),
        mapped=frames == 1,  # decoded once, it stays in memory
    )
    if spacing and not {"y", "x"} - {*image.dims}:
        image = assign_grid(image, scale=spacing, units=dict.fromkeys(spacing, "µm"))
    return image if named[-1] != "c" else assign_channels(image, _channels(mode), dim=str(image.dims[-1]))


def _opened(path: str) -> Image:
    from PIL import Image

    try:
        return Image.open(path)
    except Image.DecompressionBombError as error:
        raise OmeZarrError(
            f'"{path}" is larger than what Pillow takes for harmless ({error}); if you trust it, say so before: '
            "PIL.Image.MAX_IMAGE_PIXELS = None"
        ) from error
    except OSError as error:
        raise OmeZarrError(f'"{path}" cannot be read by Pillow ({error}); copy it again if it is damaged') from error


def _spacing(picture: Image) -> dict[str, float]:
    """Return the pixel sizes in micrometres by the resolution, where that is none for print."""
    found = picture.info.get("dpi")
    if picture.format != "PNG" or not found or min(found) <= 0:
        return {}
    x, y = (float(f"{MICROMETRES_PER_INCH / value:.7g}") for value in found)
    return {"y": y, "x": x} if max(x, y) <= COARSEST_PIXEL_UM else {}


def _tell_of_turn(picture: Image, path: str) -> None:
    """Warn where a camera says that its picture is to be turned, or mirrored, when it is shown."""
    # of others, such as PNG, Pillow decodes all pixels to find it
    if picture.format in ("JPEG", "MPO") and picture.getexif().get(EXIF_ORIENTATION, 1) != 1:
        warn(
            f'"{path}" says that it is to be turned when it is shown, and is read as it is stored; '
            f"turn it before: PIL.ImageOps.exif_transpose(PIL.Image.open({path!r})).save(…)",
            OmeZarrWarning,
        )


def _frames(picture: Image) -> int:
    """Return the number of frames; in a photo of several pictures (MPO), the others are previews of the first."""
    return 1 if picture.format == "MPO" else int(getattr(picture, "n_frames", 1))


def _mode(picture: Image, path: str) -> Mode:
    mode = MODES.get(picture.mode)
    if mode is None:
        raise OmeZarrError(
            f'"{path}" has pixels of the mode {picture.mode}; convert them: '
            f'PIL.Image.open({path!r}).convert("RGB").save("converted.png")'
        )
    if picture.mode == "CMYK":
        warn(
            f'"{path}" has pixels of the inks of a print (CMYK), and is read as the red, green and blue that Pillow '
            f"makes of them; for the inks, numpy.asarray(PIL.Image.open({path!r}))",
            OmeZarrWarning,
        )
    if "transparency" not in picture.info:
        return mode
    if picture.mode not in TRANSPARENT and mode.samples == GREY:
        warn(
            f'"{path}" has a grey value that is to be seen through, which is left out: its pixels have that value',
            OmeZarrWarning,
        )
    return TRANSPARENT.get(picture.mode, mode)


def _channels(mode: Mode) -> tuple[Channel, ...]:
    if mode.samples[:3] != RED_GREEN_BLUE:
        return tuple(Channel(sample, None) for sample in mode.samples)
    return rgb_channels(np.dtype(mode.dtype), len(mode.samples))


# --- pixels ------------------------------------------------------------------


def _steps(picture: Image) -> int:
    """Return by what Pillow multiplies grey values of 2 or 4 bits, so that the brightest is 255."""
    tiles: Any = getattr(picture, "tile", ())
    kinds = [tile[3] for tile in tiles]
    packed = {kind[0] if isinstance(kind, tuple) else kind for kind in kinds}
    return next((255 // (2**bits - 1) for bits in (2, 4) if packed == {f"L;{bits}"}), 1)


@dataclass(frozen=True)
class _Decoded:
    """Opener of a picture whose pixels become those of a mode; they are divided by what Pillow multiplies them by."""

    path: str
    mode: str

    def __call__(self) -> tuple[Any, Callable[[], None]]:
        picture = _opened(self.path)
        if _frames(picture) > 1:
            frames = _Frames(picture, self)
            return frames, frames.close
        with picture:
            return self.pixels(picture), nothing_to_close

    def pixels(self, picture: Image) -> NDArray[Any]:
        try:
            steps = _steps(picture)
            picture.load()  # which may change the mode, and forgets how samples were packed
            if steps == 1:
                return np.asarray(picture if picture.mode == self.mode else picture.convert(self.mode))
            grey = np.asarray(picture.convert("L")) // steps
            if self.mode == "L":
                return grey
            # by the value of the file: Pillow compares it with what it has multiplied
            seen = np.where(grey == picture.info["transparency"], 0, 255)
            return np.stack([grey, seen], axis=-1).astype("uint8")
        except (OSError, SyntaxError, EOFError) as error:  # what Pillow raises where a file ends too soon
            raise OmeZarrError(f'"{self.path}" is cut off, or damaged ({error}); copy the file again') from error


class _Frames:
    """The frames of a moving picture, one decoded at a time: each may be made of the one before."""

    def __init__(self, picture: Image, decoded: _Decoded) -> None:
        self._picture, self._decoded, self._lock = picture, decoded, threading.Lock()

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        first, rest = key[0], key[1:]
        if not isinstance(first, slice):
            return self._frame(int(first))[rest]
        frames = [self._frame(index)[rest] for index in range(*first.indices(_frames(self._picture)))]
        return np.stack(frames) if frames else self._frame(0)[rest][np.newaxis][:0]

    def _frame(self, index: int) -> NDArray[Any]:
        with self._lock:
            if index < self._picture.tell():
                # Pillow does not find its way back in every file
                self._picture.close()
                self._picture = _opened(self._decoded.path)
            self._picture.seek(index)
            return self._decoded.pixels(self._picture)

    def close(self) -> None:
        self._picture.close()


def _deep(path: str, *, seen_through: bool) -> Mode | None:
    """Return what the pixels are of a PNG of several samples with 16 bits; None of any other picture.

    Parameters
    ----------
    path
        Of the picture.
    seen_through
        Whether one of its colours is to be seen through: its pixels have that as a further sample.
    """
    with Path(path).open("rb") as file:
        head = file.read(26)
    if not head.startswith(PNG) or head[24] != 16 or head[25] not in DEEP:
        return None
    samples = DEEP[head[25]]
    return Mode("", "uint16", samples + ALPHA if seen_through and ALPHA[0] not in samples else samples)


def _check_deep(path: str) -> None:
    try:
        import imagecodecs  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f'"{path}" has colours of 16 bits, of which Pillow would keep 8, and imagecodecs, which reads them, is not '
            'installed; install it: pip install "xomezarr[io]"'
        ) from error


@dataclass(frozen=True)
class _Deep:
    """Opener of a PNG with colours of 16 bits."""

    path: str

    def __call__(self) -> tuple[NDArray[Any], Callable[[], None]]:
        from imagecodecs import PngError, png_decode

        try:
            return png_decode(Path(self.path).read_bytes()), nothing_to_close
        except PngError as error:
            raise OmeZarrError(f'"{self.path}" is cut off, or damaged ({error}); copy the file again') from error
