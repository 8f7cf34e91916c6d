"""The layers that napari shows of an image, as tuples of what makes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr.channels import called, with_colors
from xomezarr.errors import CoordinateSystemError, InterchangeError
from xomezarr.interchange.napari.layer import OWN, PIXEL
from xomezarr.interchange.parts import Given, affines, beside, dates, given, lazy_pixels, relative, tell_lost
from xomezarr.labels import check_label_dtype, colors_of
from xomezarr.model import Channel
from xomezarr.units import axis_type

__all__ = ["layers_of", "to_napari", "uneven"]

type LayerTuple = tuple[Any, dict[str, Any], str]
"""Data, options of `Viewer.add_image` or `add_labels`, and ``"image"`` or ``"labels"``."""


def to_napari(
    image: xr.DataArray | xr.DataTree,
    *,
    name: str | None = None,
    labels: bool = True,
    coordinate_system: str | None = None,
    as_labels: bool | None = None,
) -> list[LayerTuple]:
    """Return what napari shows of an image: layer data tuples, as its plugins give them. napari is not needed.

    Each is added to a viewer by ``getattr(viewer, f"add_{kind}")(data, **options)``. Layers do not hold
    dates, irregular coordinates, coordinates beside those of dimensions, more than one coordinate system, properties of
    labels, and of windows the least and the most that may be shown.

    Parameters
    ----------
    image
        An array, or a tree with its levels.
    name
        What the image is called there; left out, its own name. Layers of channels have the names of these.
    labels
        Whether the labels of a tree come along.
    coordinate_system
        A system in which the image lies askew, in which napari is to show it; left out, that of its dimensions.
    as_labels
        Whether an array is one of labels; left out, it is if it was read as one.

    Returns
    -------
    list of tuple
        Data, options and kind; of an image with channels, ``channel_axis`` makes a layer of each. Lazy; nothing is
        read: where no windows are said, napari chooses.

    Raises
    ------
    CoordinateSystemError
        If the image does not lie askew in a system of that name, or its axes are not those of the image.
    DtypeError
        If labels are no integers.

    Warns
    -----
    InterchangeWarning
        Where coordinates are irregular or dates, and napari places pixels by their mean step, or in seconds; and of
        further coordinates, for which it has no place.

    Examples
    --------
    >>> da = xr.DataArray(np.zeros((4, 6)), dims=("y", "x"), name="cells")
    >>> ((data, options, kind),) = to_napari(da.omezarr.assign_grid(scale={"y": 0.5, "x": 0.5}, units="um"))
    >>> kind, options["name"], options["scale"], options["units"]
    ('image', 'cells', [0.5, 0.5], ['micrometer', 'micrometer'])
    """
    one = given(image, name=name, labels=labels, as_labels=as_labels)
    made = layers_of(one, one.channels, coordinate_system)
    tell_lost("napari", [*_unplaced(one, coordinate_system), *uneven(one)], "the image itself still has it")
    return made


def layers_of(one: Given, channels: Sequence[Channel], coordinate_system: str | None = None) -> list[LayerTuple]:
    """Return the layers of an image whose channels look as is said.

    Parameters
    ----------
    one
        The image.
    channels
        One for each; where none has a window, napari chooses.
    coordinate_system
        As in `to_napari`.
    """
    for name, part in {**one.labels, **({one.name or "labels": one} if one.label is not None else {})}.items():
        check_label_dtype(part.base.dtype, name)
        if part.channel is not None:
            raise InterchangeError(
                f"labels of napari have no channels, and {name!r} has the dimension {part.channel!r}; take one: "
                f"isel({part.channel}=0)"
            )
    if one.label is not None:
        return [_label_layer(one, one.name or "labels", one, coordinate_system)]
    of_labels = [_label_layer(part, name, one, coordinate_system) for name, part in one.labels.items()]
    return [_image_layer(one, channels, coordinate_system), *of_labels]


def _unplaced(one: Given, system: str | None) -> Iterator[str]:
    """Yield what of an image has no place in layers, wherever its pixels lie."""
    yield from beside(one)
    matrices, others = affines(one)
    if systems := [name for name in (*matrices, *others) if name != system]:
        cure = f", but for one: coordinate_system={next(iter(matrices))!r}" if matrices and system is None else ""
        yield f"the coordinate systems {', '.join(map(repr, systems))}{cure}"
    if any(part.label is not None and part.label.rows for part in (one, *one.labels.values())):
        yield "properties of labels"


def uneven(one: Given) -> list[str]:
    """Return what of an image's coordinates napari has no place for, as it knows but a scale and a translation."""
    lost = []
    for name, dimension in one.dimensions[0].items():
        if not dimension.regular:
            step = f"{dimension.grid.scale:.6g}"
            lost.append(f"the irregular coordinate {name!r}, and places pixels by its mean step, {step}")
    return [*lost, *dates(one)]


def _image_layer(one: Given, channels: Sequence[Channel], system: str | None) -> LayerTuple:
    shown = with_colors(channels or [Channel()])
    of_each: dict[str, Any] = {
        "name": [called(channel, index) for index, channel in enumerate(shown)],
        "colormap": [f"#{channel.color}" for channel in shown],
        "visible": [channel.active is not False for channel in shown],
        "blending": "additive",
    }
    windows = [channel.window for channel in shown]
    if any(windows):
        of_each["contrast_limits"] = [window and [window.start, window.end] for window in windows]
    if one.channel is None:
        of_each = {key: value if isinstance(value, str) else value[0] for key, value in of_each.items()}
        of_each["name"] = shown[0].label or one.name or "image"
    else:
        of_each["channel_axis"] = one.base.dims.index(one.channel)
    return _data(one), {**_placed(one, one, system, of_each["name"]), **of_each}, "image"


def _label_layer(one: Given, name: str, image: Given, system: str | None) -> LayerTuple:
    options = {**_placed(one, image, system, name), "name": name}
    if one.label is not None and (colors := colors_of(one.label)):
        # of None are all others
        options["colormap"] = {0: "transparent", **colors, None: "gray"}
    return _data(one), options, "labels"


def _data(one: Given) -> Any:
    pixels = [lazy_pixels(level) for level in one.levels]
    return pixels if len(pixels) > 1 else pixels[0]


def _placed(one: Given, image: Given, system: str | None, layer: Any) -> dict[str, Any]:
    """Return where the pixels of level 0 lie, as napari takes it: by dimension, without that of the channels.

    In a system in which labels are not said to lie themselves they lie as their image does.
    """
    dims = [str(dim) for dim in one.base.dims if dim != one.channel]
    grids = one.grids()
    levels = []
    for index in range(1, len(one.levels)):
        factors, firsts = relative(one, index)
        levels.append({"factors": [factors[dim] for dim in dims], "firsts": [firsts[dim] for dim in dims]})
    own = {
        "dims": [str(dim) for dim in one.base.dims],
        "name": one.name,
        "layer": layer,
        "levels": levels,
        "units": one.spelled,
        "attrs": dict(one.base.attrs),
        "orientations": one.orientations,
    }
    leading = {}
    if system is not None:
        own["system"] = system
        leading["affine"] = _leading(one if system in affines(one)[0] else image, system, dims)
    return {
        "scale": [grids[dim].scale for dim in dims],
        "translate": [grids[dim].translation for dim in dims],
        "units": [_known(one.units.get(dim)) for dim in dims],
        "axis_labels": dims,
        "multiscale": len(one.levels) > 1,
        "metadata": {OWN: own},
        **leading,
    }


def _known(unit: str | None) -> str:
    """Return a unit under a name that napari, which asks pint, knows."""
    return unit if unit is not None and axis_type(unit) is not None else PIXEL


def _leading(one: Given, system: str, dims: Sequence[str]) -> NDArray[np.float64]:
    """Return what leads to a system as napari takes it: square, over all dimensions of a layer."""
    found, others = affines(one)
    if system not in found:
        where = ", ".join(map(repr, found)) or "none"
        why = "has other axes than the image" if system in others else "is none in which the image lies askew"
        raise CoordinateSystemError(
            f"the coordinate system {system!r} {why}, and napari shows it in those that have its axes: {where}; see it "
            f"there first, tree.omezarr.in_system({system!r}), or leave coordinate_system out"
        )
    matrix = np.eye(len(dims) + 1)
    places = [dims.index(dim) for dim in one.spatial]
    matrix[np.ix_(places, [*places, -1])] = found[system]
    return matrix
