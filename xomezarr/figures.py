"""Images drawn by matplotlib: channels in their colours, in physical coordinates, with a scale bar and labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr.coords import infer_axis_type
from xomezarr.errors import LabelError, MissingDependencyError, UnitError
from xomezarr.model import Channel
from xomezarr.pictures import (
    FromAbove,
    Looks,
    composed,
    label_colors,
    nearest,
    numbers,
    plane,
    proportions,
    shown_dims,
    step,
    sufficient,
)
from xomezarr.units import convert, ome_unit, symbol

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

__all__ = ["Outlined", "draw", "draw_plate"]

PLAIN_PIXELS = 1000
"""Pixels of the longer side where matplotlib does not tell how large its axes will be."""

LEAST_PIXELS = 256
"""Of a plate: its wells are told apart in small axes too."""

NEARLY = 1e-6
"""Of a pixel: coordinates that are computed differ by as much."""


AS_IT_IS: Mapping[str, Any] = {"parse_math": False, "usetex": False}
"""Names come of stores, and are no formulas."""


@dataclass(frozen=True, slots=True)
class Outlined:
    """Labels that are drawn over an image.

    Parameters
    ----------
    levels
        Finest first.
    colors
        ``"#rrggbbaa"`` by label value; for others a colour is chosen by the value.
    """

    levels: Sequence[xr.DataArray]
    colors: Mapping[int, str]


def draw(
    levels: Sequence[xr.DataArray],
    looks: Looks,
    labels: Mapping[str, Outlined],
    *,
    ax: Axes | None = None,
    scale_bar: bool = True,
    legend: bool = True,
) -> AxesImage:
    """Draw an image; see `OmeZarrTreeAccessor.plot`.

    Parameters
    ----------
    levels
        Finest first. The coarsest is read that has a pixel for each of the screen's; of a stack the middle plane, of a
        time series the first image.
    looks
        See `pictures.composed`.
    labels
        By name, drawn as outlines where their coordinates say.
    ax
        Where to draw; left out, the current axes of matplotlib.
    scale_bar
        Whether a bar shows a round length, in the unit of the columns.
    legend
        Whether channels that have names are named, beside their colours.

    Raises
    ------
    MissingDependencyError
        If matplotlib, or matplotlib-scalebar, is not installed.
    """
    plt = _pyplot()
    axes = plt.gca() if ax is None else ax
    shown = sufficient(levels, _pixels_across(axes, proportions(levels[0])))
    frame = _Frame.of(plane(shown))
    picture, channels = composed(shown, looks)
    drawn = axes.imshow(picture, extent=frame.extent, origin="upper", interpolation="nearest")
    for of_labels in labels.values():
        outlines = _outlines(_under(plane(shown), of_labels.levels), of_labels.colors)
        axes.imshow(outlines, extent=frame.extent, origin="upper", interpolation="nearest")
    axes.set_xlabel(frame.labels[1], **AS_IT_IS)
    axes.set_ylabel(frame.labels[0], **AS_IT_IS)
    axes.set_title(_told(shown, levels[0]), **AS_IT_IS)
    axes.set_aspect(frame.aspect)
    if scale_bar and frame.metres is not None:
        axes.add_artist(_bar(frame.metres))
    if legend:
        _name_channels(axes, channels)
    return drawn


def draw_plate(from_above: Callable[[int], FromAbove], *, ax: Axes | None = None, legend: bool = True) -> AxesImage:
    """Draw a plate with the names of its rows and columns.

    Parameters
    ----------
    from_above
        Returns its picture, of so many pixels at most along the longer side: those that the axes have on the screen,
        so that what stands between the wells is seen.
    ax, legend
        As in `draw`.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    axes = _pyplot().gca() if ax is None else ax
    box = axes.get_window_extent()
    plate = from_above(max(int(max(box.width, box.height)), LEAST_PIXELS))
    drawn = axes.imshow(plate.picture, origin="upper", interpolation="antialiased", aspect="equal")
    for axis, names in ((axes.yaxis, plate.rows), (axes.xaxis, plate.columns)):
        axis.set_ticks([*names.values()], labels=[*names], **AS_IT_IS)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    if legend:
        _name_channels(axes, plate.channels)
    return drawn


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise MissingDependencyError('plot() draws by matplotlib; install it: pip install "xomezarr[view]"') from None
    return plt


def _bar(metres: float) -> Any:
    try:
        from matplotlib_scalebar.scalebar import ScaleBar
    except ImportError:
        raise MissingDependencyError(
            'the scale bar is drawn by matplotlib-scalebar; install it: pip install "xomezarr[view]", or leave it out: '
            "plot(scale_bar=False)"
        ) from None
    # along the columns' axis, whatever the aspect: square pixels too may be off by a last digit, of which it would warn
    rotation = "horizontal-only"
    return ScaleBar(
        metres, "m", location="lower right", rotation=rotation, color="white", box_color="black", box_alpha=0.4
    )


def _pixels_across(axes: Axes, sides: tuple[float, float]) -> int:
    """Return how many pixels of the screen the longer side of a picture takes in some axes."""
    box = axes.get_window_extent()
    height, width = sides
    if not (box.width > 0 and box.height > 0 and height > 0 and width > 0):
        return PLAIN_PIXELS
    return max(round(max(height, width) * min(box.width / width, box.height / height)), 1)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where a picture lies in its axes.

    Parameters
    ----------
    extent
        Its edges, those of its outer pixels: left, right, bottom, top.
    labels
        Of the rows' axis, and of the columns'.
    aspect
        Height of a unit of the rows' axis by the width of one of the columns'.
    metres
        Of a unit of the columns' axis; None where that is no length.
    """

    extent: tuple[float, float, float, float]
    labels: tuple[str, str]
    aspect: float
    metres: float | None

    @classmethod
    def of(cls, image: xr.DataArray) -> _Frame:
        """Find out where an image lies by its coordinates; rows are said in the unit of columns where they can be."""
        dims = shown_dims(image)
        units = [_unit(image, dim) for dim in dims]
        bottom, left = (_edges(image, dim) for dim in dims)
        factor = _factor(units[0], units[1])
        if factor is not None:
            rows, units[0] = (bottom[0] * factor, bottom[1] * factor), units[1]
        else:
            rows = bottom
        height, width = proportions(image)
        spans = abs(rows[1] - rows[0]), abs(left[1] - left[0])
        aspect = (height / spans[0]) / (width / spans[1])
        labels = tuple(f"{dim} [{symbol(unit)}]" if unit else dim for dim, unit in zip(dims, units, strict=True))
        return cls((*left, rows[1], rows[0]), (labels[0], labels[1]), aspect, _factor(units[1], "meter"))


def _unit(image: xr.DataArray, dim: str) -> str | None:
    unit = image.coords[dim].attrs.get("units") if dim in image.coords else None
    return unit if isinstance(unit, str) and unit.strip() else None


def _factor(unit: str | None, target: str | None) -> float | None:
    """Return the number of target units in a unit; None where they do not compare."""
    if unit is None or target is None:
        return 1.0 if unit == target else None
    if ome_unit(unit) is None or ome_unit(target) is None:
        return 1.0 if unit == target else None
    try:
        return convert(unit, target)
    except UnitError:
        return None


def _edges(image: xr.DataArray, dim: str) -> tuple[float, float]:
    """Return the outer edges of the first and the last pixel."""
    values, size = _numbers(image, dim), image.sizes[dim]
    if values is None:
        return -0.5, size - 0.5
    half = _step(image, dim) / 2
    return float(values[0] - half), float(values[-1] + half)


def _step(image: xr.DataArray, dim: str) -> float:
    """Return how far neighbouring pixels are apart, in the mean; less than 0 where coordinates fall."""
    return 1.0 if _numbers(image, dim) is None else step(image.coords[dim])


def _told(level: xr.DataArray, finest: xr.DataArray) -> str:
    """Say where the plane lies that is shown of a level, along the dimensions of which there is more."""
    shown = plane(level)
    left_out = [str(dim) for dim in finest.dims if dim not in shown.dims and finest.sizes[dim] > 1]
    return ", ".join(f"{dim} = {_value(shown, finest, dim)}" for dim in left_out)


def _value(shown: xr.DataArray, finest: xr.DataArray, dim: str) -> str:
    if dim not in shown.coords:  # what `pictures.plane` takes
        return "first" if infer_axis_type(finest, dim, {}) == "time" else "middle"
    value, unit = shown.coords[dim].values[()], _unit(shown, dim)
    kind = shown.coords[dim].dtype.kind
    if kind == "M":
        return str(np.datetime_as_string(value, unit="auto"))
    if kind == "m":
        return f"{value / np.timedelta64(1, 's'):.6g} s"
    text = f"{value:.6g}" if kind in "iuf" else str(value)
    return f"{text} {symbol(unit)}" if unit else text


def _name_channels(axes: Axes, channels: Sequence[Channel]) -> None:
    """Name channels beside their colours, where they have any."""
    named = [channel for channel in channels if channel.label and channel.color and channel.active is not False]
    if not named:
        return
    from matplotlib.patches import Patch

    # names stand in white: a dark colour is not read on black, nor is a bright one on a page; a swatch shows either.
    # They come later: one that begins with an underscore would be left out
    entries = [Patch(facecolor=f"#{channel.color}", edgecolor="white", linewidth=0.5, label=" ") for channel in named]
    drawn = axes.legend(
        handles=entries,
        labelcolor="white",
        loc="upper right",
        facecolor="black",
        framealpha=0.7,
        handlelength=1,
        handleheight=1,
        fontsize="small",
        borderaxespad=0,
        edgecolor="none",
    )
    for text, channel in zip(drawn.get_texts(), named, strict=True):
        text.set(text=channel.label, **AS_IT_IS)


# --- labels ----------------------------------------------------------------------------------------------------------


def _under(shown: xr.DataArray, labels: Sequence[xr.DataArray]) -> NDArray[Any]:
    """Return the labels under the pixels of a plane, by their coordinates, shape (y, x); 0 where none lie.

    Parameters
    ----------
    shown
        What is seen of an image, with the coordinates of dimensions of which a single place is seen.
    labels
        Finest first. The coarsest is read that is as fine as what is shown.

    Raises
    ------
    LabelError
        If they do not lie along rows and columns of the image.
    """
    rows, columns = shown_dims(shown)
    if not {rows, columns} <= {*labels[0].dims}:
        raise LabelError(
            f"labels along {', '.join(map(str, labels[0].dims))} cannot be drawn on an image along {rows} and "
            f"{columns}; call their dimensions so: rename({{…: {rows!r}, …: {columns!r}}})"
        )
    chosen = next((level for level in reversed(labels) if _is_as_fine(level, shown)), labels[0])
    dims = [*(str(dim) for dim in chosen.dims if dim not in (rows, columns)), rows, columns]
    index = {dim: _places(shown, chosen, dim) for dim in dims}
    seen = np.zeros([shown.sizes[rows], shown.sizes[columns]], chosen.dtype)
    inside = {dim: np.flatnonzero(found >= 0) for dim, found in index.items()}
    if not all(map(len, inside.values())):
        return seen
    picked = {dim: found[inside[dim]] for dim, found in index.items()}
    # what lies around them is read, and no more
    around = {dim: slice(int(found.min()), int(found.max()) + 1) for dim, found in picked.items()}
    read = chosen.isel(around).transpose(*index).values
    read = read[np.ix_(*(found - found.min() for found in picked.values()))]
    seen[np.ix_(inside[rows], inside[columns])] = read.reshape(len(inside[rows]), len(inside[columns]))
    return seen


def _is_as_fine(labels: xr.DataArray, shown: xr.DataArray) -> bool:
    """Whether labels have a pixel for each that is shown of an image, of which they may show another part."""
    return all(
        abs(_step(labels, dim)) * _between(labels, shown, dim) <= abs(_step(shown, dim)) * (1 + NEARLY)
        for dim in shown_dims(shown)
    )


def _between(labels: xr.DataArray, shown: xr.DataArray, dim: str) -> float:
    """Return the units of an image in a unit of labels; those that do not compare are taken for the same."""
    return _factor(_unit(labels, dim), _unit(shown, dim)) or 1.0


def _places(shown: xr.DataArray, labels: xr.DataArray, dim: str) -> NDArray[np.intp]:
    """Return the index of the labels' pixel under each place along a dimension that is seen; -1 where none is."""
    size, along = labels.sizes[dim], shown.sizes.get(dim, 1)
    if (there := _numbers(shown, dim)) is None or (own := _numbers(labels, dim)) is None or not size:
        # pixels that do not say where they lie are those of the image
        return nearest(size, along) if dim in shown.dims else np.array([size // 2])
    if dim not in shown.dims and infer_axis_type(labels, dim, {}) == "channel":
        return np.array([0])
    # in the unit of the image, and rising
    factor = _between(labels, shown, dim) * (-1.0 if size > 1 and own[-1] < own[0] else 1.0)
    own, there = own * factor, there * np.sign(factor)
    half = abs(_step(labels, dim) * factor) / 2 * (1 + NEARLY)
    outside = (there < own[0] - half) | (there > own[-1] + half)
    return np.where(outside, -1, np.searchsorted((own[1:] + own[:-1]) / 2, there))


def _numbers(image: xr.DataArray, dim: str) -> NDArray[np.float64] | None:
    """Return where an image lies along a dimension, also where it has a single place; None if it does not say."""
    return None if dim not in image.coords or image.coords[dim].ndim > 1 else numbers(image.coords[dim])


def _outlines(labels: NDArray[Any], colors: Mapping[int, str]) -> NDArray[np.uint8]:
    """Return a picture of the outer pixels of each object, shape (y, x, 4), clear elsewhere."""
    from skimage.segmentation import find_boundaries

    # by their order: values of 64 bits are none that a filter tells apart
    values, order = np.unique(labels, return_inverse=True)
    order = np.where(labels == 0, 0, order.reshape(labels.shape) + 1)
    edges = find_boundaries(order, mode="inner") & (labels != 0)  # type: ignore[no-untyped-call]
    picture = np.zeros((*labels.shape, 4), np.uint8)
    if edges.any():
        picture[edges] = np.array([*label_colors(values.tolist(), colors)], np.uint8)[order[edges] - 1]
    return picture
