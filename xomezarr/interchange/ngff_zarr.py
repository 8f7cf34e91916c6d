"""Images as multiscales of ngff-zarr, and back.

Scale and translation there are those of OME-Zarr: the translation is where the centre of pixel 0 lies.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

import xarray as xr

from xomezarr.channels import assign_channels, with_colors
from xomezarr.errors import InterchangeError, InterchangeWarning, warn
from xomezarr.grid import Grid
from xomezarr.interchange.parts import (
    NAMES,
    Given,
    affines,
    beside,
    check_names,
    check_regular,
    dates,
    given,
    image_tree,
    imported,
    in_order,
    placed,
    tell_lost,
)
from xomezarr.model import Axis, Channel, Window

__all__ = ["from_ngff_zarr", "to_ngff_zarr"]

LIBRARY = "ngff-zarr"


def to_ngff_zarr(
    image: xr.DataArray | xr.DataTree,
    *,
    name: str | None = None,
    labels: bool = True,
    as_labels: bool | None = None,
) -> Any:
    """Return an image as ngff-zarr has it: an array as an NgffImage, a tree as Multiscales.

    Neither holds labels beside an image, that pixels are labels, attributes, dates, irregular coordinates, coordinates
    beside those of dimensions, coordinate systems, and which channels are shown.

    Parameters
    ----------
    image
        Dimensions are any of t, c, z, y and x; they are put into this order.
    name
        What the image is called there; left out, its own name, else ``"image"``.
    labels
        Whether labels of a tree, which have no place there, are told of.
    as_labels
        Whether an array is one of labels, which is told of; left out, it is if it was read as one.

    Returns
    -------
    ngff_zarr.NgffImage or ngff_zarr.Multiscales
        Lazy; nothing is read. Multiscales say of channels all that OME-Zarr does, where each has a window; without, and
        in an NgffImage, there are names and colours.

    Raises
    ------
    MissingDependencyError
        If ngff-zarr is not installed.
    AxisError
        If a dimension has another name; the message names the call that gives it one.
    IrregularCoordinateError
        If coordinates are not evenly spaced.

    Warns
    -----
    InterchangeWarning
        Of what has no place there: labels, attributes, further coordinates and coordinate systems, dates.
    """
    library = imported("ngff_zarr", "the image")
    one = given(image, name=name, labels=labels, as_labels=as_labels)
    check_names(one, NAMES, LIBRARY)
    check_regular(one, LIBRARY)
    whole = isinstance(image, xr.DataTree)
    known = {field.name for field in fields(library.NgffImage)}
    tell_lost(LIBRARY, _lost(one, known, whole=whole), "to_zarr(…) keeps all of it in a store")
    images = [_image(library, one, index) for index in range(len(one.levels))]
    return library.Multiscales(images=images, metadata=_metadata(library, one, images)) if whole else images[0]


def _lost(one: Given, known: Collection[str], *, whole: bool) -> list[str]:
    """Return what ngff-zarr has no place for, whose images have the fields that are `known`."""
    lost = [*beside(one)]
    if one.base.attrs:
        lost.append(f"the attributes {', '.join(map(repr, one.base.attrs))}")
    if one.labels:
        lost.append(f"labels beside an image ({', '.join(map(repr, one.labels))})")
    if one.label is not None:
        more = ", and their colours and properties" if one.label.colors or one.label.rows else ""
        lost.append(f"what makes pixels labels (their coarser levels are made by method='mode'){more}")
    matrices, others = affines(one)
    if systems := [*matrices, *others]:
        lost.append(f"the coordinate systems {', '.join(map(repr, systems))}")
    lost += dates(one)
    if not whole and "channel_names" not in known and any(channel.label or channel.color for channel in one.channels):
        lost.append("names and colours of channels, which this version has for a Multiscales alone: give a tree")
    windows = [channel.window for channel in one.channels]
    if any(windows) and not (whole and all(windows)):
        lost.append("windows of channels, which it has for all of a Multiscales or for none")
    if any(channel.extra or channel.active is False for channel in one.channels):
        lost.append("which channels are active, and what other tools say of them")
    return lost


def _image(library: Any, one: Given, index: int) -> Any:
    dims = tuple(dim for dim in NAMES if dim in one.dimensions[0])
    grids = one.grids(index)
    said: dict[str, Any] = {"axes_units": one.units or None}
    known = {field.name for field in fields(library.NgffImage)}
    if one.orientations and "axes_orientations" in known:
        values = library.AnatomicalOrientationValues
        said["axes_orientations"] = {
            dim: library.AnatomicalOrientation(type="anatomical", value=values(value))
            for dim, value in one.orientations.items()
        }
    if one.channels and "channel_names" in known:
        labels = [channel.label for channel in one.channels]
        said["channel_names"] = [label or "" for label in labels] if any(labels) else None
        said["channel_colors"] = [str(channel.color) for channel in with_colors(one.channels)]
    return library.NgffImage(
        data=in_order(one.levels[index], dims).variable.data,
        dims=dims,
        scale={dim: grids[dim].scale for dim in dims},
        translation={dim: grids[dim].translation for dim in dims},
        name=one.name or "image",
        **said,
    )


def _metadata(library: Any, one: Given, images: Sequence[Any]) -> Any:
    """Return the metadata of OME-Zarr 0.4, which ngff-zarr turns into those of the version that it writes."""
    dims = images[0].dims
    axes = []
    for dim in dims:
        axis = library.Axis(name=dim, type=NAMES[dim], unit=one.units.get(dim))
        orientation = (getattr(images[0], "axes_orientations", None) or {}).get(dim)
        if orientation is not None:
            axis.orientation = orientation
        axes.append(axis)
    datasets = [
        library.Dataset(
            path=f"scale{index}/{image.name}",
            coordinateTransformations=[
                library.Scale(scale=[image.scale[dim] for dim in dims]),
                library.Translation(translation=[image.translation[dim] for dim in dims]),
            ],
        )
        for index, image in enumerate(images)
    ]
    return library.Metadata(
        axes=axes,
        datasets=datasets,
        coordinateTransformations=None,
        omero=_omero(library, one),
        name=images[0].name,
    )


def _omero(library: Any, one: Given) -> Any:
    """Return how channels are shown, which ngff-zarr has for all of them or for none."""
    channels = []
    for channel in with_colors(one.channels):
        if (window := channel.window) is None:
            return None
        made = library.OmeroWindow(min=window.min, max=window.max, start=window.start, end=window.end)
        channels.append(library.OmeroChannel(color=channel.color, window=made, label=channel.label))
    return library.Omero(channels=channels) if channels else None


# --- and back ----------------------------------------------------------------------------------------------


def from_ngff_zarr(source: Any) -> xr.DataTree:
    """Return Multiscales of ngff-zarr, or an NgffImage, as an image.

    They hold neither labels nor attributes, and times as numbers alone.

    Parameters
    ----------
    source
        Multiscales, as `ngff_zarr.from_ngff_zarr` or `to_multiscales` give them; or an NgffImage.

    Returns
    -------
    xarray.DataTree
        Of an image, as `open_datatree` gives it; of one level for an NgffImage. Lazy. What leads from all
        levels to where they lie (``coordinateTransformations`` of the multiscales) is in their coordinates.

    Raises
    ------
    InterchangeError
        If it is neither.

    Warns
    -----
    InterchangeWarning
        Of coordinate systems of OME-Zarr 0.6 beside that of the levels, which are left out.
    """
    if hasattr(source, "data") and hasattr(source, "scale"):
        return image_tree([_taken(source, source.name, _channels(source, None), _axes(source, None), {}, {})])
    images, metadata = getattr(source, "images", None), getattr(source, "metadata", None)
    if not images or metadata is None:
        raise InterchangeError(
            f"{type(source).__name__} is neither Multiscales nor an NgffImage; give what "
            "ngff_zarr.to_multiscales(…) or ngff_zarr.from_ngff_zarr(…) returns"
        )
    scale, translation = _common(metadata, images[0].dims)
    channels = _channels(images[0], metadata)
    name = getattr(metadata, "name", None) or images[0].name
    axes = _axes(images[0], metadata)
    return image_tree([_taken(image, name, channels, axes, scale, translation) for image in images])


def _axes(image: Any, metadata: Any) -> dict[str, Axis]:
    """Return the axes: units and orientations that the image says, else those of the metadata.

    Of the images of a multiscales only the first need say them.
    """
    systems = getattr(metadata, "coordinateSystems", None) or [None]
    said = {axis.name: axis for axis in getattr(metadata, "axes", None) or getattr(systems[0], "axes", [])}
    units, types = image.axes_units or {}, getattr(image, "axes_types", None) or {}
    orientations = getattr(image, "axes_orientations", None) or {}
    axes = {}
    for dim in map(str, image.dims):
        orientation = orientations.get(dim) or getattr(said.get(dim), "orientation", None)
        axes[dim] = Axis(
            dim,
            str(types.get(dim) or getattr(said.get(dim), "type", None) or NAMES.get(dim) or "space"),
            units.get(dim) or getattr(said.get(dim), "unit", None),
            None if orientation is None else str(getattr(orientation, "value", orientation)),
        )
    return axes


def _common(metadata: Any, dims: Sequence[str]) -> tuple[dict[str, float], dict[str, float]]:
    """Return the scale and the translation that all levels have beside their own."""
    transforms = getattr(metadata, "coordinateTransformations", None) or []
    if hasattr(metadata, "coordinateSystems"):
        if transforms:
            warn(
                "coordinate systems beside that of the levels are left out; open the store itself, which keeps them: "
                'xr.open_datatree(store, engine="omezarr")',
                InterchangeWarning,
            )
        return {}, {}
    scale, translation = dict.fromkeys(dims, 1.0), dict.fromkeys(dims, 0.0)
    for one in transforms:
        said = one if isinstance(one, Mapping) else vars(one)
        if said.get("type") == "scale":
            by_dim = dict(zip(dims, map(float, said["scale"]), strict=True))
            scale = {dim: scale[dim] * by_dim[dim] for dim in dims}
            translation = {dim: translation[dim] * by_dim[dim] for dim in dims}
        elif said.get("type") == "translation":
            translation = {
                dim: translation[dim] + moved for dim, moved in zip(dims, map(float, said["translation"]), strict=True)
            }
        elif said.get("type") != "identity":
            raise InterchangeError(
                f"the multiscales have a transformation {said.get('type')!r} for all levels, which is none of OME-Zarr "
                "0.4 and 0.5; give a scale and a translation: metadata.coordinateTransformations = […]"
            )
    return scale, translation


def _channels(image: Any, metadata: Any) -> list[Channel]:
    """Return what is said of channels: by the metadata, else by the image."""
    omero = getattr(metadata, "omero", None)
    if omero is not None and omero.channels:
        return [
            Channel(
                channel.label,
                channel.color,
                Window(channel.window.min, channel.window.max, channel.window.start, channel.window.end),
            )
            for channel in omero.channels
        ]
    names = getattr(image, "channel_names", None) or []
    colors = getattr(image, "channel_colors", None) or []
    count = dict(zip(image.dims, image.data.shape, strict=True)).get("c", 0)
    found = [
        Channel((names[index] or None) if index < len(names) else None, colors[index] if index < len(colors) else None)
        for index in range(count)
    ]
    return found if any(channel != Channel() for channel in found) else []


def _taken(
    image: Any,
    name: str,
    channels: Sequence[Channel],
    axes: Mapping[str, Axis],
    scale: Mapping[str, float],
    translation: Mapping[str, float],
) -> xr.DataArray:
    """Return one level, scaled and moved by what all have in common."""
    dims = tuple(map(str, image.dims))
    sizes = dict(zip(dims, image.data.shape, strict=True))
    grids = {
        dim: Grid(float(image.scale.get(dim, 1.0)), float(image.translation.get(dim, 0.0)), sizes[dim]).compose(
            scale.get(dim, 1.0), translation.get(dim, 0.0)
        )
        for dim in dims
        if axes[dim].type != "channel"
    }
    units = {dim: axis.unit for dim, axis in axes.items() if axis.unit}
    level = placed(image.data, dims, grids, units=units, name=name)
    for dim in grids:
        if axes[dim].orientation is not None:
            level.coords[dim].attrs["orientation"] = axes[dim].orientation
    if channels and "c" in dims and len(channels) == sizes["c"]:
        return assign_channels(level, channels)
    if channels:
        warn(
            f"the metadata of ngff-zarr describe {len(channels)} channels, and the image {name!r} has "
            f"{sizes.get('c', 'none')}; what they say of them is left out: mend multiscales.metadata.omero",
            InterchangeWarning,
        )
    return level
