"""Images drawn by matplotlib: channels in their colours, in physical coordinates, with a scale bar and labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr.channels import channel_dim
from xomezarr.errors import MissingDependencyError, UnitError
from xomezarr.model import Channel
from xomezarr.pictures import composed, nearest, plane, proportions, shown_dims, sufficient
from xomezarr.units import convert, ome_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

__all__ = ["Outlined", "draw"]

PLAIN_PIXELS = 1000
"""Pixels of the longer side where matplotlib does not tell how large its axes will be."""

GOLDEN = 0x9E3779B97F4A7C15
"""Of 2**64, by the golden ratio: hues that are so far apart on their circle are well apart, however many follow."""


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
    channels: Sequence[Channel],
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
    channels
        See `pictures.composite`.
    labels
        By name, drawn as outlines.
    ax
        Where to draw; left out, the current axes of matplotlib.
    scale_bar
        Whether a bar shows a round length, in the unit of the columns.
    legend
        Whether channels that have names are named, in their colours.

    Raises
    ------
    MissingDependencyError
        If matplotlib, or matplotlib-scalebar, is not installed.
    """
    plt = _pyplot()
    axes = plt.gca() if ax is None else ax
    shown = sufficient(levels, _pixels_across(axes, proportions(levels[0])))
    frame = _Frame.of(shown)
    picture, channels = composed(shown, channels)
    drawn = axes.imshow(picture, extent=frame.extent, origin="upper", interpolation="nearest")
    for of_labels in labels.values():
        outlines = _outlines(_beside(of_labels.levels, levels, shown), of_labels.colors)
        axes.imshow(outlines, extent=frame.extent, origin="upper", interpolation="nearest")
    axes.set(xlabel=frame.labels[1], ylabel=frame.labels[0], title=_told(shown, levels[0]), aspect=frame.aspect)
    if scale_bar and frame.metres is not None:
        axes.add_artist(_bar(frame.metres))
    if legend:
        _name_channels(axes, channels)
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
        labels = tuple(f"{dim} [{unit}]" if unit else dim for dim, unit in zip(dims, units, strict=True))
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
    size = image.sizes[dim]
    coordinate = image.coords.get(dim)
    if coordinate is None or coordinate.dtype.kind not in "iuf":
        return -0.5, size - 0.5
    values = coordinate.values.astype(float)
    step = (values[-1] - values[0]) / (size - 1) if size > 1 else float(coordinate.attrs.get("scale", 1.0))
    step = step or 1.0
    return float(values[0] - step / 2), float(values[-1] + step / 2)


def _told(level: xr.DataArray, finest: xr.DataArray) -> str:
    """Say where the plane lies that is shown of a level, along the dimensions of which there is more."""
    shown = plane(level)
    left_out = [str(dim) for dim in finest.dims if dim not in shown.dims and finest.sizes[dim] > 1]
    return ", ".join(f"{dim} = {_value(shown, dim)}" for dim in left_out)


def _value(shown: xr.DataArray, dim: str) -> str:
    if dim not in shown.coords:
        return "middle"
    value, unit = shown.coords[dim].values[()], _unit(shown, dim)
    text = f"{value:.6g}" if shown.coords[dim].dtype.kind in "iuf" else str(value)
    return f"{text} {unit}" if unit else text


def _name_channels(axes: Axes, channels: Sequence[Channel]) -> None:
    """Name channels in their colours, where they have any."""
    named = [channel for channel in channels if channel.label and channel.color and channel.active is not False]
    if not named:
        return
    from matplotlib.lines import Line2D

    entries = [Line2D([], [], linestyle="none", label=channel.label) for channel in named]
    colors = [f"#{channel.color}" for channel in named]
    axes.legend(
        handles=entries,
        labelcolor=colors,
        loc="upper right",
        facecolor="black",
        framealpha=0.4,
        handlelength=0,
        handletextpad=0,
        edgecolor="none",
    )


# --- labels ----------------------------------------------------------------------------------------------------------


def _beside(labels: Sequence[xr.DataArray], image: Sequence[xr.DataArray], shown: xr.DataArray) -> NDArray[Any]:
    """Return the labels of the pixels that are shown of an image, shape (y, x)."""
    rows, columns = shown_dims(shown)
    sizes = shown.sizes[rows], shown.sizes[columns]
    alike = [of for of in labels if (of.sizes.get(rows), of.sizes.get(columns)) == sizes]
    chosen = alike[0] if alike else labels[0]
    flat = plane(chosen)
    if (dim := channel_dim(flat)) is not None:
        flat = flat.isel({dim: 0})
    values: NDArray[Any] = flat.transpose(rows, columns).values
    if alike:
        return values
    picked = [nearest(old, new) for new, old in zip(sizes, values.shape, strict=True)]
    seen: NDArray[Any] = values[picked[0][:, np.newaxis], picked[1]]
    return seen


def _outlines(labels: NDArray[Any], colors: Mapping[int, str]) -> NDArray[np.uint8]:
    """Return a picture of the outer pixels of each object, shape (y, x, 4), clear elsewhere."""
    from skimage.segmentation import find_boundaries

    # by their order: values of 64 bits are none that a filter tells apart
    values, order = np.unique(labels, return_inverse=True)
    order = np.where(labels == 0, 0, order.reshape(labels.shape) + 1)
    edges = find_boundaries(order, mode="inner") & (labels != 0)  # type: ignore[no-untyped-call]
    picture = np.zeros((*labels.shape, 4), np.uint8)
    if edges.any():
        picture[edges] = np.array([*_colors(values.tolist(), colors)], np.uint8)[order[edges] - 1]
    return picture


def _colors(values: Iterable[int], colors: Mapping[int, str]) -> Iterator[tuple[int, ...]]:
    """Yield red, green, blue and opacity of each label; who has no colour is given one."""
    from matplotlib.colors import hsv_to_rgb

    for value in values:
        if (color := colors.get(value)) is not None:
            yield tuple(bytes.fromhex(f"{color.removeprefix('#')}ff"[:8]))
        else:
            hue = int(value) * GOLDEN % 2**64 / 2**64
            yield (*(int(255 * part) for part in hsv_to_rgb((hue, 0.7, 1.0))), 255)
