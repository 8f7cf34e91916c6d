"""Images as trees of multiscale-spatial-image, and back.

Coordinates there are those of pixel centres, as here, so that they go along as they are; what differs is what nodes,
variables and dimensions are called, and that each dimension has a coordinate.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
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
    only,
    tell_lost,
)

__all__ = ["from_multiscale_spatial_image", "to_multiscale_spatial_image"]

FIRST, LAST = ("t", "c", "z", "y", "x"), ("t", "z", "y", "x", "c")
"""The two orders that its images have them in."""

LIBRARY = "multiscale-spatial-image"

NODE = "scale"
"""What the nodes of levels begin with; their number follows."""


def to_multiscale_spatial_image(image: xr.DataArray | xr.DataTree) -> xr.DataTree:
    """Return an image as a tree of multiscale-spatial-image, which does not need to be installed.

    Parameters
    ----------
    image
        Dimensions are any of t, c, z, y and x.

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
        Of labels, whose trees are made by themselves, and of coordinate systems in which the image lies askew.

    Examples
    --------
    >>> da = xr.DataArray(np.zeros((64, 64)), dims=("y", "x"), name="cells")
    >>> da = da.omezarr.assign_grid(scale={"y": 0.5, "x": 0.5}, units="um")
    >>> tree = to_multiscale_spatial_image(da.omezarr.pyramid())
    >>> list(tree), tree["scale0/cells"].x.attrs["units"]
    (['scale0'], 'micrometer')
    """
    one = given(image)
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
    tell_lost(LIBRARY, lost, cure)
    variable = (one.name or "image").replace("/", "_")
    if variable in one.base.coords or variable in one.base.dims:
        variable = "image"
    levels = {f"{NODE}{index}": _level(one, index).to_dataset(name=variable) for index in range(len(one.levels))}
    return xr.DataTree.from_dict(levels)


def _level(one: Given, index: int) -> xr.DataArray:
    """Return a level with a coordinate for each dimension, in their order, by which the writer there goes."""
    level = one.levels[index]
    dims = tuple(map(str, level.dims))
    order = next((o for o in (_of(FIRST, dims), _of(LAST, dims)) if o == dims), _of(FIRST, dims))
    level = in_order(without(level, [*kept_of(level)]), order)
    coords = {dim: _coordinate(one, level, index, dim) for dim in order}
    others = {name: coord.variable for name, coord in level.coords.items() if name not in coords}
    bare = xr.DataArray(level.variable.data, dims=order, attrs=level.attrs)
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


def from_multiscale_spatial_image(tree: Any, *, name: str | None = None) -> xr.DataArray | xr.DataTree:
    """Return a tree of multiscale-spatial-image, or a spatial image, as an image.

    Parameters
    ----------
    tree
        With nodes ``scale0``, ``scale1``, …; or a single image of spatial-image.
    name
        Which image, where a node holds several; left out, the only one.

    Returns
    -------
    xarray.DataTree or xarray.DataArray
        A tree of levels for a tree, an array for an array. Coordinates are what they were, with the spacing as
        ``attrs["scale"]``, and without empty units.

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
    if isinstance(tree, xr.DataArray):
        return _taken(tree)
    nodes = _nodes(tree)
    names = list(map(str, nodes[0].data_vars))
    chosen = name if name is not None else only(names, "image", "the tree", "name")
    if missing := [node.name for node in nodes if chosen not in node.data_vars]:
        raise InterchangeError(
            f"the node {missing[0]!r} has no image {chosen!r}; give one that all have: name={names[0]!r}"
        )
    return image_tree([_taken(node.to_dataset()[chosen]) for node in nodes])


def _nodes(tree: Any) -> list[xr.DataTree]:
    numbers = []
    if isinstance(tree, xr.DataTree):
        for key, node in tree.children.items():
            number = key.removeprefix(NODE)
            if key.startswith(NODE) and number.isdecimal() and number == str(int(number)) and len(node.data_vars):
                numbers.append(int(number))
    if sorted(numbers) != list(range(len(numbers))) or not numbers:
        held = f"its nodes are {', '.join(map(repr, tree.children))}" if isinstance(tree, xr.DataTree) else "no tree"
        raise InterchangeError(
            f"{type(tree).__name__} is no tree of levels {NODE}0, {NODE}1, … ({held}); make one: "
            "multiscale_spatial_image.to_multiscale(…)"
        )
    return [tree.children[f"{NODE}{number}"] for number in sorted(numbers)]


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
    taken.encoding = {key: value for key, value in level.encoding.items() if key == "preferred_chunks"}
    return taken
