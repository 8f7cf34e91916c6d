"""RGB pictures of images: channels added up in their colours, labels each in its own."""

from __future__ import annotations

import colorsys
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr.channels import channel_dim, complete
from xomezarr.coords import infer_axis_type
from xomezarr.errors import AxisError, ChannelError, DtypeError, LevelError
from xomezarr.labels import colors_of
from xomezarr.model import Channel
from xomezarr.planning import rendering, stored_metadata
from xomezarr.tree import label_metadata, levels
from xomezarr.units import convert, ome_unit

__all__ = [
    "FromAbove",
    "Looks",
    "completed",
    "composed",
    "composite",
    "label_colors",
    "looks_of",
    "nearest",
    "numbers",
    "plane",
    "proportions",
    "shown_dims",
    "step",
    "sufficient",
    "thumbnail",
]


@dataclasses.dataclass(frozen=True, slots=True)
class FromAbove:
    """A plate as it is seen from above.

    Parameters
    ----------
    picture
        uint8, shape (height, width, 3).
    rows, columns
        Where the middle of each row and column of wells lies in it, in pixels from its first one, by name.
    channels
        That are seen, each with a colour and a window.
    """

    picture: NDArray[np.uint8]
    rows: Mapping[str, float]
    columns: Mapping[str, float]
    channels: Sequence[Channel]


type Looks = Sequence[Channel] | Mapping[int, str]
"""How an image is shown: by its channels, or, if it holds labels, by colours ``"#rrggbbaa"`` by label value."""

GOLDEN = 0x9E3779B97F4A7C15
"""Of 2**64, by the golden ratio: hues that are so far apart on their circle are well apart, however many follow."""

BAND_PIXELS = 2**20
"""Of a picture: so many are added up at once, in float64."""


def composite(image: xr.DataArray, channels: Sequence[Channel]) -> NDArray[np.uint8]:
    """Add up an image's channels in their colours.

    Parameters
    ----------
    image
        With two or more dimensions of space, of which the last two are shown. Of a stack the middle plane is
        taken, of a time series the first image: a projection would have to read all of it.
    channels
        One for each index of the channel dimension, or one for an image without; none to choose all. Channels that
        are not `active` are left out. A colour that is missing is chosen by
        the number of channels; a window that is missing spans the percentiles 0.5 to 99.8 of the plane's own pixels.

    Returns
    -------
    numpy.ndarray
        uint8, shape ``(y, x, 3)``. Each channel runs from black at its window's start to its full colour at the end;
        values beyond, and sums above 255, are clipped. NaN is black.

    Raises
    ------
    AxisError
        If the image has fewer than two dimensions of space, or no pixels.
    ChannelError
        If the number of channels is not that of the image.
    DtypeError
        If its pixels are no real numbers.
    """
    return composed(image, channels)[0]


def composed(image: xr.DataArray, looks: Looks) -> tuple[NDArray[np.uint8], tuple[Channel, ...]]:
    """Return a picture of an image, and the channels that are seen in it, each with a colour and a window.

    Of an image it is the `composite`; of labels each has its color, or one by its value, and where there is none it is
    black.
    """
    if isinstance(looks, Mapping):
        return _colored(image, looks), ()
    channels, shown = looks, plane(image)
    dim = channel_dim(shown)
    given = _one_for_each(channels, 1 if dim is None else shown.sizes[dim])
    seen = [index for index, channel in enumerate(given) if channel.active is not False]
    if dim is not None and len(seen) < len(given):  # those that are not seen are not read
        shown = shown.isel({dim: seen})
    read = dict(zip(seen, _by_channel(shown), strict=True)) if seen else {}
    nothing = np.empty(0, image.dtype)
    every = _complete(given, [read.get(index, nothing) for index in range(len(given))], image.dtype)
    drawn = [(every[index], values) for index, values in read.items()]
    height, width = (shown.sizes[dim] for dim in shown_dims(image))
    picture = np.empty((height, width, 3), np.uint8)
    rows = max(BAND_PIXELS // max(width, 1), 1)
    for top in range(0, height, rows):
        band = picture[top : top + rows]
        sums = np.zeros(band.shape)
        for channel, values in drawn:
            sums += _brightness(values[top : top + rows], channel)[..., np.newaxis] * _rgb(channel)
        band[...] = np.round(np.clip(sums, 0, 255))
    return picture, tuple(channel for channel, _ in drawn)


def looks_of(tree: xr.DataTree) -> Looks:
    """Return how an image in a tree is shown: labels in their colours, others by what is known of their channels."""
    image = stored_metadata(tree)
    if image is not None and image.label is not None:
        return colors_of(label_metadata(tree))
    return rendering(levels(tree)[0], image)


def _colored(labels: xr.DataArray, colors: Mapping[int, str]) -> NDArray[np.uint8]:
    """Return a picture of labels, shape ``(y, x, 3)``."""
    values, order = np.unique(_by_channel(plane(labels))[0], return_inverse=True)
    table = np.array([*label_colors(values.tolist(), colors)], float).reshape(-1, 4)
    if 0 not in colors:
        table[values == 0] = 0
    shades: NDArray[np.uint8] = np.round(table[:, :3] * (table[:, 3:] / 255)).astype(np.uint8)
    height, width = (labels.sizes[dim] for dim in shown_dims(labels))
    return shades[order.reshape(height, width)]


def label_colors(values: Iterable[int], colors: Mapping[int, str]) -> Iterator[tuple[int, ...]]:
    """Yield red, green, blue and opacity of each label; one that has no colour is given one by its value.

    >>> [*label_colors([1, 2], {1: "#ff000080"})]
    [(255, 0, 0, 128), (180, 255, 76, 255)]
    """
    for value in values:
        if (color := colors.get(value)) is not None:
            yield tuple(bytes.fromhex(f"{color.removeprefix('#')}ff"[:8]))
        else:
            hue = int(value) * GOLDEN % 2**64 / 2**64
            yield (*(int(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.7, 1.0)), 255)


def completed(images: Sequence[xr.DataArray], channels: Sequence[Channel]) -> tuple[Channel, ...]:
    """Return channels that have a colour and a window, by which several images are shown in the same way.

    Parameters
    ----------
    images
        At least one, all with as many channels. Windows that are missing span percentiles of the pixels of them all,
        which are read for that alone.
    channels
        See `composite`, which also says what is raised.
    """
    first = images[0]
    dim = channel_dim(first)
    given = _one_for_each(channels, 1 if dim is None else first.sizes[dim])
    if all(channel.window is not None for channel in given):
        return _complete(given, [np.empty(0, first.dtype)] * len(given), first.dtype)
    planes = [_by_channel(plane(image)) for image in images]
    joined = planes[0] if len(planes) == 1 else np.concatenate([one.reshape(len(one), -1) for one in planes], axis=1)
    return _complete(given, joined, joined.dtype)


def _one_for_each(channels: Sequence[Channel], count: int) -> Sequence[Channel]:
    """Return the channels that are given for an image of so many, or that nothing is known of them."""
    given = channels or [Channel()] * count
    if len(given) != count:
        raise ChannelError(
            f"{len(given)} channels are given for an image of {count}; "
            "give one for each: composite(image, image.omezarr.channels)"
        )
    return given


def _complete(
    channels: Sequence[Channel], pixels: Sequence[NDArray[Any]] | NDArray[Any], dtype: np.dtype[Any]
) -> tuple[Channel, ...]:
    """Complete channels by some pixels of each; of those that have a window none are looked at."""
    named = [dataclasses.replace(channel, label=channel.label or "") for channel in channels]
    return tuple(complete(named, pixels, dtype))


def thumbnail(pyramid: Sequence[xr.DataArray], looks: Looks, *, max_size: int = 256) -> NDArray[np.uint8]:
    """Draw a small picture of a pyramid, true to its physical proportions.

    Parameters
    ----------
    pyramid
        Finest first. The coarsest is read whose longer side has `max_size` pixels or more; if none has, the finest.
    looks
        See `composed`.
    max_size
        Pixels of the picture's longer side, unless the finest level has fewer.

    Returns
    -------
    numpy.ndarray
        uint8, shape ``(y, x, 3)``, by the nearest pixel.

    Raises
    ------
    LevelError
        If there is no level, or `max_size` is less than 1.
    """
    asked: Any = max_size
    if not pyramid:
        raise LevelError("a thumbnail shows a level, and there is none; give one at least")
    if isinstance(asked, bool) or not isinstance(asked, Integral) or max_size < 1:
        raise LevelError(
            f"max_size={max_size!r} is no number of pixels along the longer side of a picture; give max_size=256, say"
        )
    chosen = sufficient(pyramid, max_size)
    picture, _ = composed(chosen, looks)
    height, width = proportions(chosen)
    side = min(max_size, max(picture.shape[:2])) / max(height, width)
    rows = nearest(picture.shape[0], max(round(height * side), 1))
    columns = nearest(picture.shape[1], max(round(width * side), 1))
    return picture[rows[:, np.newaxis], columns]


def sufficient(pyramid: Sequence[xr.DataArray], max_size: int) -> xr.DataArray:
    """Return the coarsest level whose longer side has so many pixels or more; if none has, the finest."""
    # only dimensions that are shown decide
    return next((level for level in reversed(pyramid) if max(_sizes(level)) >= max_size), pyramid[0])


def plane(image: xr.DataArray) -> xr.DataArray:
    """Return what a picture shows of an image, unread: the middle of a stack, the first of a time series.

    Raises
    ------
    AxisError
        If there is nothing to be shown.
    """
    rows, columns = shown_dims(image)
    if none := [str(dim) for dim, size in image.sizes.items() if not size]:
        raise AxisError(f"the image has no pixels along {none[0]!r}, and a picture shows some; select others: sel(…)")
    channel = channel_dim(image)
    index = {
        dim: 0 if infer_axis_type(image, str(dim), {}) == "time" else image.sizes[dim] // 2
        for dim in image.dims
        if dim not in (rows, columns, channel)
    }
    return image.isel(index).transpose(*([channel] if channel else []), rows, columns)


def _by_channel(shown: xr.DataArray) -> NDArray[Any]:
    """Load a `plane`, shape ``(channel, y, x)``."""
    if shown.dtype.kind not in "biuf":
        cure = "abs(da), or da.real" if shown.dtype.kind == "c" else "astype(…)"
        raise DtypeError(f"pixels of dtype {shown.dtype} are neither dark nor bright; convert them: {cure}")
    values: NDArray[Any] = shown.values
    return values if values.ndim == 3 else values[np.newaxis]


def shown_dims(image: xr.DataArray) -> tuple[str, str]:
    """Return the dimensions of a picture's rows and columns: y and x, else the last two of space."""
    spatial = [str(dim) for dim in image.dims if infer_axis_type(image, str(dim), {}) == "space"]
    named = {dim.lower(): dim for dim in spatial}
    if {"y", "x"} <= named.keys():
        return named["y"], named["x"]
    if len(spatial) < 2:
        raise AxisError(
            f"the image has {len(spatial)} dimensions of space among {tuple(image.dims)}, and a picture needs two; "
            'name them y and x: rename(row="y", col="x")'
        )
    return spatial[-2], spatial[-1]


def _sizes(image: xr.DataArray) -> tuple[int, int]:
    rows, columns = shown_dims(image)
    return image.sizes[rows], image.sizes[columns]


def proportions(image: xr.DataArray) -> tuple[float, float]:
    """Return height and width in the unit of the columns; pixels count as square where units do not compare."""
    (rows, columns), (height, width) = shown_dims(image), _sizes(image)
    units = [image.coords[dim].attrs.get("units") if dim in image.coords else None for dim in (rows, columns)]
    factor = 1.0
    if units[0] != units[1]:
        if not all(isinstance(unit, str) and ome_unit(unit) for unit in units):
            return float(height), float(width)
        factor = convert(str(units[0]), str(units[1]))
    return height * _spacing(image, rows) * factor, width * _spacing(image, columns)


def _spacing(image: xr.DataArray, dim: str) -> float:
    """Return the mean distance of pixel centres, or what a single pixel remembers."""
    if dim not in image.coords:
        return 1.0
    coordinate = image.coords[dim]
    # of images that lie apart, each has a row of its own
    coordinate = coordinate.isel(dict.fromkeys(set(coordinate.dims) - {dim}, 0))
    return abs(step(coordinate))


def step(coordinate: xr.DataArray) -> float:
    """Return how far neighbouring pixels are apart, in the mean, or what a single one remembers; 1 if neither says.

    It is less than 0 where a coordinate falls.
    """
    values = numbers(coordinate)
    if values is None:
        return 1.0
    alone = float(coordinate.attrs.get("scale", 1.0))
    return float((values[-1] - values[0]) / (len(values) - 1) if len(values) > 1 else alone) or 1.0


def numbers(coordinate: xr.DataArray) -> NDArray[np.float64] | None:
    """Return where pixels lie along one dimension, also where it has a single place; None where no numbers say it."""
    values = np.atleast_1d(coordinate.values)
    if values.dtype.kind in "mM":
        values = values.astype("m8[ns]" if values.dtype.kind == "m" else "M8[ns]").astype(np.int64)
    return values.astype(float) if values.dtype.kind in "iuf" and np.isfinite(values).all() else None


def _brightness(values: NDArray[Any], channel: Channel) -> NDArray[np.float64]:
    """Scale a channel's window to 0 … 1."""
    assert channel.window is not None
    start, end = channel.window.start, channel.window.end
    scaled = np.clip((values.astype(np.float64) - start) / (end - start or 1.0), 0.0, 1.0)
    return np.nan_to_num(scaled)


def _rgb(channel: Channel) -> NDArray[np.float64]:
    """Return a channel's colour, three numbers from 0 to 255."""
    return np.frombuffer(bytes.fromhex(channel.color or "FFFFFF"), np.uint8).astype(np.float64)


def nearest(size: int, new: int) -> NDArray[np.intp]:
    """Return the index of the pixel under the centre of each pixel of a row resampled to `new` pixels.

    >>> nearest(4, 2), nearest(2, 4)
    (array([1, 3]), array([0, 0, 1, 1]))
    """
    return np.minimum(((np.arange(new) + 0.5) * size / new).astype(np.intp), size - 1)
