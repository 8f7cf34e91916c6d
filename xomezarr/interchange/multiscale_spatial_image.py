"""Images as trees of multiscale-spatial-image, and back.

Coordinates there are those of pixel centres, as here, so that they go along as they are; what differs is what nodes,
variables and dimensions are called, and that each dimension has a coordinate.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import chain, count
from typing import Any

import numpy as np
import xarray as xr

from xomezarr.errors import CoordinateError, InterchangeError
from xomezarr.grid import Grid
from xomezarr.indexes import kept_of, without
from xomezarr.interchange.parts import (
    NAMES,
    Given,
    affines,
    check_names,
    check_regular,
    given,
    image_tree,
    in_order,
    label_tree,
    only,
    scale_name,
    scales,
    tell_lost,
)
from xomezarr.labels import LABELED
from xomezarr.pyramid import name_of, with_name

__all__ = ["from_multiscale_spatial_image", "to_multiscale_spatial_image"]

FIRST, LAST = ("t", "c", "z", "y", "x"), ("t", "z", "y", "x", "c")
"""The two orders that its images have them in."""

LIBRARY = "multiscale-spatial-image"


def to_multiscale_spatial_image(
    image: xr.DataArray | xr.DataTree,
    *,
    name: str | None = None,
    labels: bool = True,
    as_labels: bool | None = None,
) -> xr.DataTree:
    """Return an image as a tree of multiscale-spatial-image, which does not need to be installed.

    The tree holds one image: neither labels beside it nor colours and properties of labels, and no coordinate systems
    in which it lies askew.

    Parameters
    ----------
    image
        Dimensions are any of t, c, z, y and x.
    name
        What the image is called there; left out, its own name, else ``"image"``.
    labels
        Whether labels of a tree, which have no place there, are told of.
    as_labels
        Whether an array is one of labels; left out, it is if it was read as one. It is known when it comes back.

    Returns
    -------
    xarray.DataTree
        With a node for each level, ``scale0``, ``scale1``, …, of a variable with the name of the image. Lazy; nothing
        is read. Units have their OME names, under which ``tree.msi.to_zarr`` writes them.

    Raises
    ------
    AxisError
        If a dimension has another name; the message names the call that gives it one.
    IrregularCoordinateError
        If coordinates of space are not evenly spaced.

    Warns
    -----
    InterchangeWarning
        Of labels, whose trees are made by themselves; of coordinate systems in which the image lies askew; of a name
        that no variable can have there, which `from_multiscale_spatial_image` gives back.

    Examples
    --------
    >>> da = xr.DataArray(np.zeros((64, 64)), dims=("y", "x"), name="cells")
    >>> da = da.omezarr.assign_grid(scale={"y": 0.5, "x": 0.5}, units="um")
    >>> tree = to_multiscale_spatial_image(da.omezarr.pyramid())
    >>> list(tree), tree["scale0/cells"].x.attrs["units"]
    (['scale0'], 'micrometer')
    """
    one = given(image, name=name, labels=labels, as_labels=as_labels)
    check_names(one, NAMES, LIBRARY)
    check_regular(one, LIBRARY, types=["space"])  # times may be so
    lost = []
    if one.labels:
        names = ", ".join(map(repr, one.labels))
        lost.append(f"labels beside an image ({names})")
    if one.label is not None and (one.label.colors or one.label.rows):
        lost.append("colours and properties of labels")
    matrices, others = affines(one)
    if systems := [*matrices, *others]:
        lost.append(f"the coordinate systems {', '.join(map(repr, systems))}")
    cure = "to_zarr(…) keeps all of it in a store"
    if one.labels:
        name = next(iter(one.labels))
        cure += f"; labels make a tree of their own: tree['labels/{name}'].omezarr.to_multiscale_spatial_image()"
    variable = _variable(one)
    if variable != (one.name or "image"):
        lost.append(f"the name {one.name!r}, and calls the image {variable!r}")
        cure += "; give it a name of its own: to_multiscale_spatial_image(name='image')"
    tell_lost(LIBRARY, lost, cure)
    return xr.DataTree.from_dict({scale_name(index): _node(one, index, variable) for index in range(len(one.levels))})


def _variable(one: Given) -> str:
    """Return what the variable of an image is called: no path, and no dimension or coordinate."""
    plain = (one.name or "image").replace("/", "_")
    taken = {*map(str, one.base.coords), *map(str, one.base.dims)}
    return next(name for name in chain((plain, "image"), (f"image_{n}" for n in count(1))) if name not in taken)


def _node(one: Given, index: int, variable: str) -> xr.Dataset:
    """Return the Dataset of a level, which knows the image's own name where that of the variable is another."""
    level = _level(one, index).rename(one.name)
    # labels are called as their variable is: their own name may be none that labels can have
    is_known = one.name == variable or one.label is not None
    return level.to_dataset(name=variable) if is_known else with_name(level, variable)


def _level(one: Given, index: int) -> xr.DataArray:
    """Return a level with a coordinate for each dimension, in their order, by which the writer there goes."""
    level = one.levels[index]
    dims = tuple(map(str, level.dims))
    order = next((o for o in (_of(FIRST, dims), _of(LAST, dims)) if o == dims), _of(FIRST, dims))
    level = in_order(without(level, [*kept_of(level)]), order)
    coords = {dim: _coordinate(one, level, index, dim) for dim in order}
    others = {name: coord.variable for name, coord in level.coords.items() if name not in coords}
    bare = xr.DataArray(level.variable.data, dims=order, attrs=level.attrs)
    if one.label is not None:
        bare.encoding[LABELED] = True
    return bare.assign_coords(coords).assign_coords(others)


def _of(order: Sequence[str], dims: Sequence[str]) -> tuple[str, ...]:
    return tuple(dim for dim in order if dim in dims)


def _coordinate(one: Given, level: xr.DataArray, index: int, dim: str) -> xr.Variable:
    dimension = one.dimensions[index][dim]
    held = level.coords[dim].variable if dim in level.coords else None
    if dimension.axis.type == "channel":
        names = [channel.label for channel in one.channels]
        if held is None:
            return xr.Variable(dim, names if all(names) and names else np.arange(level.sizes[dim]))
        return xr.Variable(dim, held.values, held.attrs)
    values = dimension.grid.coordinates if held is None else held.values
    attrs = {} if held is None else dict(held.attrs)
    attrs.pop("units", None)
    if dimension.axis.unit and values.dtype.kind not in "mM":
        attrs["units"] = dimension.axis.unit
    return xr.Variable(dim, values if dimension.axis.type == "time" else values.astype(np.float64), attrs)


def from_multiscale_spatial_image(source: Any, *, name: str | None = None) -> xr.DataTree:
    """Return a tree of multiscale-spatial-image, or a spatial image, as an image.

    What it has read from a store of its own does not say whether it was labels; their colours and properties, and
    labels beside an image, are none of what it holds.

    Parameters
    ----------
    source
        With nodes ``scale0``, ``scale1``, …; or a single image of spatial-image.
    name
        Which image, where a node holds several; left out, the only one.

    Returns
    -------
    xarray.DataTree
        Of an image, as `open_datatree` gives it; of labels, if `to_multiscale_spatial_image` was given such.
        Coordinates are what they were, with the spacing as ``attrs["scale"]``, and without empty units.

    Raises
    ------
    InterchangeError
        If it is none of these, or holds several images, and none is chosen.

    Examples
    --------
    >>> places = {"y": np.arange(4) * 0.5, "x": np.arange(4) * 0.5}
    >>> level = xr.Dataset({"cells": (("y", "x"), np.zeros((4, 4)))}, places)
    >>> from_multiscale_spatial_image(xr.DataTree.from_dict({"scale0": level})).omezarr.level(0).omezarr.scale
    {'y': 0.5, 'x': 0.5}
    """
    if isinstance(source, xr.DataArray):
        return _tree([_taken(source)])
    nodes = _nodes(source)
    names = list(map(str, nodes[0].data_vars))
    chosen = name if name is not None else only(names, "image", "the tree", "name")
    if missing := [node.name for node in nodes if chosen not in node.data_vars]:
        raise InterchangeError(
            f"the node {missing[0]!r} has no image {chosen!r}; give one that all have: name={names[0]!r}"
        )
    return _tree([_taken(node.to_dataset()[chosen]).rename(name_of(node.to_dataset(), chosen)) for node in nodes])


def _tree(levels: Sequence[xr.DataArray]) -> xr.DataTree:
    if levels[0].encoding.get(LABELED):
        return label_tree(levels, str(levels[0].name or "labels"))
    return image_tree(levels)


def _nodes(tree: Any) -> list[xr.DataTree]:
    if not (nodes := scales(tree)):
        held = f"its nodes are {', '.join(map(repr, tree.children))}" if isinstance(tree, xr.DataTree) else "no tree"
        raise InterchangeError(
            f"{type(tree).__name__} is no tree of levels {scale_name(0)}, {scale_name(1)}, … ({held}); make one: "
            "multiscale_spatial_image.to_multiscale(…)"
        )
    return nodes


def _taken(level: xr.DataArray) -> xr.DataArray:
    """Return a level with the attributes of its coordinates as they are here."""
    coords = {}
    for dim in map(str, level.dims):
        if dim not in level.coords:
            continue
        held = level.coords[dim].variable
        attrs = {
            key: value
            for key, value in held.attrs.items()
            if not (key == "units" and value == "") and not (key == "long_name" and value == dim)
        }
        if held.size > 1 and held.dtype.kind in "iuf" and dim != "c":
            with suppress(CoordinateError):  # told where it is of weight: when it is written
                attrs["scale"] = Grid.fit(held.values, dim=dim).scale
        if attrs != held.attrs:
            coords[dim] = xr.Variable(dim, held.values, attrs)
    taken = level.assign_coords(coords)
    # what says to xarray how it was stored is not how it will be
    taken.encoding = {key: value for key, value in level.encoding.items() if key in ("preferred_chunks", LABELED)}
    return taken
