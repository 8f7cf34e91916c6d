"""The image, and its labels, that layers of napari are: several may be the channels of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import xarray as xr

from xomezarr.channels import assign_channels, rgb_channels
from xomezarr.errors import InterchangeError, LabelError
from xomezarr.interchange.napari.layer import Layer, channel_place, is_tuple
from xomezarr.interchange.napari.looks import channel_of, label_colors, of_channel
from xomezarr.interchange.parts import image_tree, label_tree
from xomezarr.labels import check_label_name

__all__ = ["from_napari"]


def from_napari(source: Any, *, labels: bool = True, dims: Sequence[str] | None = None) -> xr.DataTree:
    """Return layers of napari as an image, with labels if there are some among them.

    Layers do not hold dates, irregular coordinates and coordinates beside those of their dimensions, and of windows
    neither the least nor the most that may be shown.

    Parameters
    ----------
    source
        A layer, a layer data tuple ``(data, options, kind)``, or several of either, such as ``viewer.layers``: image
        layers on the same pixels are the channels of one image.
    labels
        Whether the labels beside an image come along.
    dims
        Names of the dimensions of a layer; left out, its axis labels, else the last of t, z, y and x.

    Returns
    -------
    xarray.DataTree
        Of an image and its labels, or of labels alone, as `open_datatree` gives them. Lazy.

    Raises
    ------
    InterchangeError
        If there are layers of other kinds, images on different pixels, or several that cannot be told apart; if
        options do not fit the pixels, such as fewer names than channels.
    DtypeError
        If pixels are no numbers, or labels no integers.
    TransformError
        If a layer is rotated by angles in more than two dimensions, and is none of napari's own that knows its matrix.

    Warns
    -----
    InterchangeWarning
        Of colormaps that are no single colour.
    PlacementWarning
        Of levels that were not made here, where their sizes do not tell for sure where they lie.

    Notes
    -----
    Where a layer is rotated, sheared, mirrored or has an affine, its levels lie where its scale puts them, and have
    what napari calls the world as coordinates beside these (`assign_affine`). Levels lie where the tuple says that was
    made here; of others where blocks do whose factors their sizes tell.

    Examples
    --------
    >>> import numpy as np
    >>> layer = (np.zeros((2, 4, 6)), {"channel_axis": 0, "name": ["DAPI", "GFP"], "scale": [0.5, 0.5]}, "image")
    >>> da = from_napari(layer).omezarr.level(0)
    >>> da.dims, da.c.values.tolist(), da.omezarr.scale["x"]
    (('c', 'y', 'x'), ['DAPI', 'GFP'], 0.5)
    """
    found = [Layer.of(one, dims) for one in _listed(source)]
    images = [layer for layer in found if layer.kind == "image"]
    of_labels = [layer for layer in found if layer.kind == "labels"]
    if not found:
        raise InterchangeError("there are no layers; give some, such as from_napari(viewer.layers)")
    if not images and len(of_labels) > 1:
        raise InterchangeError(
            f"there are {len(of_labels)} layers of labels and no image; take one: from_napari(layers[0])"
        )
    trees = {
        name: label_tree(one.levels(), name, label_colors(one.options))
        for name, one in (_by_name(of_labels) if labels or not images else ())
    }
    return image_tree(_joined(images), trees) if images else next(iter(trees.values()))


def _by_name(labels: Iterable[Layer]) -> list[tuple[str, Layer]]:
    named = [(layer.name or "labels", layer) for layer in labels]
    names = [name for name, _ in named]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InterchangeError(
            f"two layers of labels are called {twice[0]!r}; rename one: layer.name = {twice[0] + ' 2'!r}"
        )
    for name in names:
        try:
            check_label_name(name, names)
        except LabelError as error:
            raise InterchangeError(f"{error}: layer.name = 'nuclei'") from None
    return named


def _listed(layers: Any) -> list[Any]:
    """Return layers as a list: a tuple of data, options and kind is one."""
    if hasattr(layers, "as_layer_data_tuple") or is_tuple(layers):
        return [layers]
    try:
        return [*layers]
    except TypeError:
        raise InterchangeError(
            f"{type(layers).__name__} is no layer of napari; give one, or a tuple of data, options and kind: "
            'from_napari((data, {"scale": [0.5, 0.5]}, "image"))'
        ) from None


def _joined(images: Sequence[Layer]) -> list[xr.DataArray]:
    """Return the levels of one image, of which several layers are the channels."""
    first = images[0]
    if len(images) == 1 and first.channel is not None:
        return _with_channels(first)
    if len(images) == 1 and len(first.own.get("dims", [])) <= len(first.bare):
        return first.levels()
    for layer in images[1:]:
        if layer.channel is not None or first.channel is not None:
            raise InterchangeError(
                f"the layer {(layer if layer.channel else first).name!r} has several channels or colours, and is an "
                "image of its own; give each by itself: from_napari(layer)"
            )
        if [data.shape for data in layer.data] != [data.shape for data in first.data] or not _alike(layer, first):
            raise InterchangeError(
                f"the layers {first.name!r} and {layer.name!r} do not lie on the same pixels; give those of one image: "
                "from_napari([layer, …])"
            )
        if [data.dtype for data in layer.data] != [data.dtype for data in first.data]:
            kinds = f"{first.data[0].dtype} and {layer.data[0].dtype}"
            raise InterchangeError(
                f"the layers {first.name!r} and {layer.name!r} have pixels of {kinds}, and the channels of an image "
                "are of one kind; convert one: layer.data = layer.data.astype(…)"
            )
    import dask.array

    channel, place = channel_place(first.own, first.bare)
    stacks = tuple(
        dask.array.stack([dask.array.asarray(data) for data in of_level], axis=place)
        for of_level in zip(*(layer.data for layer in images), strict=True)
    )
    dims = (*first.bare[:place], channel, *first.bare[place:])
    whole = replace(first, data=stacks, dims=dims, channel=channel, options={**first.options, "name": None})
    channels = [channel_of(layer.options) for layer in images]
    return [assign_channels(level, channels, channel) for level in whole.levels()]


def _alike(one: Layer, other: Layer) -> bool:
    """Whether two layers lie in one place."""
    (grids, leading), (others, further) = one.place(), other.place()
    same = leading is None if further is None else leading is not None and bool((leading == further).all())
    return same and grids == others and one.bare == other.bare and one.units() == other.units()


def _with_channels(layer: Layer) -> list[xr.DataArray]:
    """Return levels of a layer that has several channels, or colours."""
    levels, dim = layer.levels(), str(layer.channel)
    count = levels[0].sizes[dim]
    if not layer.options.get("rgb"):
        options = [
            {key: of_channel(key, value, number, count) for key, value in layer.options.items()}
            for number in range(count)
        ]
        return [assign_channels(level, [*map(channel_of, options)], dim) for level in levels]
    return [assign_channels(level, rgb_channels(level.dtype, count), dim) for level in levels]
