"""The coordinates of each level of an image, from its OME metadata and from what is kept beside them.

Reading goes through here, and so does the writing of coordinates for other readers: they are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from xomezarr.coords import Dimension, Kind, coordinate, states_spacing
from xomezarr.downsample import is_sampled
from xomezarr.grid import Grid
from xomezarr.model import Axis, Image
from xomezarr.sidecar import Sidecar

__all__ = ["dimensions_of", "level_variables"]

_KINDS: Mapping[str, Kind] = {"M": "datetime", "m": "timedelta"}


def dimensions_of(image: Image, kept: Sidecar, sizes: Mapping[str, int]) -> tuple[Dimension, ...]:
    """Say what is known of the dimensions at level 0, in file order; `sizes` are those of level 0."""
    grids = image.multiscale.levels[0].grid(sizes)
    return tuple(_dimension(axis, grids[axis.name], kept) for axis in image.multiscale.axes)


def _dimension(axis: Axis, grid: Grid, kept: Sidecar) -> Dimension:
    saved = kept.coords.get(axis.name)
    if saved is None:
        return Dimension(axis, grid, "index")
    if axis.type == "channel" or saved.dtype.kind in "OUST":
        return Dimension(axis, grid, "label", saved)
    kind = _KINDS.get(saved.dtype.kind, "number")
    if axis.name in kept.irregular:
        return Dimension(axis, grid, kind, saved, regular=False)
    attrs = {**saved.attrs, "scale": grid.scale} if states_spacing(saved.attrs) else saved.attrs
    return Dimension(axis, grid, kind, xr.Variable(saved.dims, saved.values, attrs))


def level_variables(
    image: Image, kept: Sidecar, dimensions: tuple[Dimension, ...], index: int, sizes: Mapping[str, int]
) -> dict[str, xr.Variable]:
    """Return the coordinates of a level, by name.

    Parameters
    ----------
    image, kept
        The OME metadata, and what is kept beside them.
    dimensions
        What `dimensions_of` says.
    index
        Of the level.
    sizes
        Those of the level, by dimension.
    """
    multiscale = image.multiscale
    grids = multiscale.levels[index].grid(sizes)
    shrunk = {dimension.name for dimension in dimensions if grids[dimension.name] != dimension.grid}
    coords: dict[str, xr.Variable] = {}
    for dimension in dimensions:
        made = coordinate(dimension, grids[dimension.name], sampled=is_sampled(multiscale.type))
        if made is not None:
            coords[dimension.name] = _as_kept(made, kept, index)
    return coords | {
        name: variable
        for name, variable in kept.coords.items()
        if name not in grids and not shrunk.intersection(map(str, variable.dims))
    }


def _as_kept(made: xr.Variable, kept: Sidecar, index: int) -> xr.Variable:
    """Return a coordinate of a level with the values that it was written with, where the grid gives others."""
    held: Any = kept.coarser[index - 1].get(str(made.dims[0])) if 0 < index <= len(kept.coarser) else None
    return made if held is None or held.shape != made.shape else xr.Variable(made.dims, held._data, made.attrs)
