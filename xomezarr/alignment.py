"""Put labels on the pixels of their image: whose coordinates they take, and by which steps and method they shrink.

Each level of the labels has to meet a level of the image, pixel for pixel, whoever has written that.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xomezarr.coords import EXACT_INTEGERS, dequantify, describe, to_units
from xomezarr.downsample import FIRST, METHODS, Method, MethodLike
from xomezarr.errors import LabelError, LabelWarning, MethodError, OmeZarrError, collecting, raise_all, warn
from xomezarr.grid import REGULAR_WITHIN, Boundary, Grid, block_count, step_factor
from xomezarr.indexes import skews_of
from xomezarr.labels import LABEL_METHOD, label_method
from xomezarr.model import Axis
from xomezarr.pyramid import VARIABLE, Pyramid, choose_chunks

__all__ = ["MEETS_WITHIN", "Frame", "aligned", "check_names_apart", "steps_between"]

MEETS_WITHIN = 0.1
"""Levels meet where no pixel of one is further than this part of its size from that of the other.

Tools write scales of rounded decimals; the places that a block may stand for are half a pixel apart.
"""


@dataclass(frozen=True, slots=True)
class Frame:
    """The image that labels lie on.

    Parameters
    ----------
    image
        Its level 0, for the coordinates; no pixel is read.
    axes
        In file order.
    grids
        Pixel centres of each level by dimension, finest first.
    sampled
        Whether pixels of its levels are samples.
    coarser
        Its further levels, where these have been read, for their coordinates.
    """

    image: xr.DataArray
    axes: tuple[Axis, ...]
    grids: tuple[Mapping[str, Grid], ...]
    sampled: bool = False
    coarser: tuple[xr.DataArray, ...] = ()

    @property
    def sizes(self) -> dict[str, int]:
        """Pixels of level 0, by dimension."""
        return {dim: grid.size for dim, grid in self.grids[0].items()}


def aligned(
    da: xr.DataArray,
    name: str,
    frame: Frame,
    *,
    method: MethodLike | None = None,
    chunks: Mapping[str, int] | Sequence[int] | None = None,
) -> tuple[xr.DataArray, Pyramid, tuple[dict[str, Grid], ...]]:
    """Say how labels become a pyramid whose levels lie on those of an image; nothing is computed.

    Parameters
    ----------
    da
        Integers or bool.
    name
        Of the labels.
    frame
        The image.
    method
        How coarser levels are made; left out, the one whose pixels lie where the image's do.
    chunks
        As in `to_zarr`.

    Returns
    -------
    xarray.DataArray
        The labels by that name, with the coordinates of the image.
    Pyramid
        How its levels are made.
    tuple of dict
        Pixel centres of each level, by dimension in file order: those of the image.

    Raises
    ------
    LabelError
        If the labels do not lie on the pixels of the image.
    MethodError
        If the pixels of the method lie elsewhere than those of the image's levels.
    """
    faults: list[OmeZarrError] = []
    with collecting(faults):
        label_method(method, da.dtype, name)
    with collecting(faults):
        da = adopted(da, name, frame)
    raise_all(faults, f"the labels {name!r} cannot be written")
    shared = [str(dim) for dim in da.dims if da.sizes[dim] == frame.sizes[str(dim)]]
    steps, boundary = steps_between(frame.grids, shared, name)
    row = fitting_method(method, da, name, frame, steps)
    types = {axis.name: axis.type for axis in frame.axes if axis.type and axis.name in da.dims}
    dimensions = describe(da, axes=types, irregular="keep")
    shrinking = [dim for dim in shared if any(step[dim] > 1 for step in steps)]
    made = Pyramid(dimensions, row, tuple(steps), boundary, None, choose_chunks(da, dimensions, shrinking, chunks))
    if not meets(row, frame, steps, shared):
        return da, made, made.grids
    grids = tuple(
        {dim: theirs[dim] if dim in shared else own[dim] for dim in own}
        for own, theirs in zip(made.grids, frame.grids, strict=True)
    )
    return da, made, grids


def adopted(da: xr.DataArray, name: str, frame: Frame) -> xr.DataArray:
    """Return labels with the coordinates of their image, once it is sure that they lie on its pixels.

    Raises
    ------
    LabelError
        If they do not: the message names the dimension, and the first pixel that lies elsewhere.
    """
    da = dequantify(da).rename(name)
    faults: list[OmeZarrError] = []
    types = {axis.name: axis.type for axis in frame.axes}
    unknown = [dim for dim in map(str, da.dims) if dim not in types]
    lacking = [dim for dim in map(str, frame.image.dims) if dim not in da.dims and types[dim] == "space"]
    if unknown and lacking:
        faults.append(
            LabelError(
                f"the labels {name!r} have the dimensions {da.dims}, and the image {frame.image.dims}; "
                f"rename({dict(zip(unknown, lacking, strict=False))})"
            )
        )
        raise_all(faults, f"the labels {name!r} do not lie on the pixels of the image")
    faults += [
        LabelError(
            f"the labels {name!r} lack the dimension {dim!r} of the image, whose dimensions are {frame.image.dims}; "
            f"add it with one pixel: expand_dims({dim!r})"
        )
        for dim in lacking
    ]
    coords: dict[Any, xr.Variable] = {}
    dropped: list[str] = []
    for dim in map(str, da.dims):
        with collecting(faults):
            if dim not in types:
                raise LabelError(
                    f"the labels {name!r} have a dimension {dim!r}, which the image lacks; its dimensions are "
                    f"{frame.image.dims}: rename({{{dim!r}: …}}), or select: isel({dim}=0)"
                )
            if da.sizes[dim] != frame.sizes[dim]:
                _check_single(da, name, dim, frame)
                if types[dim] == "space" and dim in frame.image.coords:
                    coords[dim] = _single(da, dim, frame)
                continue
            _check_same_place(da, name, dim, frame)
            if dim in frame.image.coords:
                coords[dim] = frame.image.coords[dim].variable
            else:
                dropped.append(dim)
    with collecting(faults):
        askew, apart = _askew(da, name, frame)
        dropped += apart
    raise_all(faults, f"the labels {name!r} do not lie on the pixels of the image")
    # what is said under a name of the image's is the image's to say: labels of a channel are none of it
    others = [own for own in da.coords if own not in da.dims and own not in askew]
    dropped += [str(own) for own in others if _contradicts(da.coords[own], frame.image)]
    return da.drop_vars(dropped, errors="ignore").assign_coords(coords)


def _askew(da: xr.DataArray, name: str, frame: Frame) -> tuple[set[str], list[str]]:
    """Return the coordinates by which labels and image lie askew in one system, and those that labels do not keep.

    These are of labels with a single pixel where the image has many. By their indexes: as arrays they may be large.
    """
    theirs = {called: skew for skew in skews_of(frame.image) for called in skew.names.values()}
    found: set[str] = set()
    dropped: list[str] = []
    for own in skews_of(da):
        called = [*own.names.values()]
        met = next((theirs[one] for one in called if one in theirs), None)
        if met is None:
            continue
        found.update(called)
        if own.sizes != met.sizes:
            dropped += called
        elif not own.same(met):
            raise LabelError(
                f"the labels {name!r} lie elsewhere in the coordinate system {own.system.name!r} than the image, whose "
                f"coordinates {', '.join(map(repr, called))} are others; take the image's: labels.drop_vars({called}), "
                "or give the system another name: assign_affine(…, system=…)"
            )
    return found, dropped


def _contradicts(coord: xr.DataArray, image: xr.DataArray) -> bool:
    """Whether a coordinate says something else than the image does under the same name."""
    if coord.name in image.coords:
        return not coord.variable.identical(image.coords[coord.name].variable)
    return coord.name in image.dims


def check_names_apart(name: str, frame: Frame) -> None:
    """Make sure that labels and image can stand side by side in a Dataset.

    Raises
    ------
    LabelError
        If a dimension or coordinate of the image has the name of the labels.
    """
    if name in frame.image.dims or name in frame.image.coords or name in (VARIABLE, frame.image.name):
        raise LabelError(
            f"labels cannot be named {name!r}, which is the name of the image, or of a dimension or coordinate of it; "
            f"give another name, such as {f'{name}_labels'!r}"
        )


def _check_single(da: xr.DataArray, name: str, dim: str, frame: Frame) -> None:
    """49: each dimension of labels is as long as that of the image, or has one pixel."""
    if da.sizes[dim] == 1:
        return
    cure = f"labels have the image's pixels, or a single one: isel({dim}=slice(0, {frame.sizes[dim]}))"
    if da.sizes[dim] < frame.sizes[dim]:
        cure = "put them among its pixels: by coordinates that both have, labels.reindex_like(image, fill_value=0)"
    raise LabelError(
        f"the labels {name!r} have {da.sizes[dim]} pixels along {dim!r}, and the image has {frame.sizes[dim]}; {cure}"
    )


def _single(da: xr.DataArray, dim: str, frame: Frame) -> xr.Variable:
    """Return the coordinate of the one pixel that labels have along a dimension: it stands for all pixels of the image.

    Where it has a position of its own, it is a pixel of the image at that place.
    """
    grid = frame.grids[0][dim]
    theirs = frame.image.coords[dim].attrs
    if dim in da.coords:
        own = da.coords[dim].variable
        return xr.Variable(dim, own.values, {**theirs, "scale": grid.scale, **own.attrs})
    whole = Grid(grid.scale * grid.size, grid.position((grid.size - 1) / 2), 1)
    return xr.Variable(dim, whole.coordinates, {**theirs, "scale": whole.scale})


def _check_same_place(da: xr.DataArray, name: str, dim: str, frame: Frame) -> None:
    """Make sure that a coordinate of the labels, if they have one, is that of the image."""
    if dim not in da.coords:
        return
    theirs = frame.image.coords[dim] if dim in frame.image.coords else None
    own = da.coords[dim]
    grid = frame.grids[0][dim]
    if theirs is not None and own.dtype.kind in "iuf" and theirs.dtype.kind in "iuf":
        units = [coord.attrs.get("units") for coord in (own, theirs)]
        if None not in units and units[0] != units[1]:
            own = to_units(da, {dim: units[1]}).coords[dim]
    wanted = xr.DataArray(grid.coordinates, dims=dim) if theirs is None else theirs
    differs = _differs(own, wanted, grid)
    if differs.any():
        index = int(np.argmax(differs))
        raise LabelError(
            f"coordinate {dim!r} of the labels {name!r} is {own.values[index]} at index {index}, and that of the image "
            f"{wanted.values[index]}; take the image's: labels.drop_vars({dim!r}), "
            "or put the labels in their place: labels.reindex_like(image, fill_value=0)"
        )


def _differs(own: xr.DataArray, wanted: xr.DataArray, grid: Grid) -> Any:
    """Tell for each pixel whether two coordinates place it differently."""
    if own.dtype.kind in "iuf" and wanted.dtype.kind in "iuf":
        return ~(np.abs(own.values - wanted.values.astype(np.float64)) <= REGULAR_WITHIN * grid.scale)
    return own.values != wanted.values


def steps_between(
    levels: Sequence[Mapping[str, Grid]], dims: Sequence[str], name: str
) -> tuple[list[dict[str, int]], Boundary]:
    """Return by which whole factors, and with which boundary, the sizes of an image's levels come about.

    Raises
    ------
    LabelError
        If there are none.
    """
    reached = 0
    boundaries: tuple[Boundary, ...] = ("pad", "trim")
    # sizes alone allow for several factors: those that the scales tell come first
    for factors, boundary in itertools.product((_told_factor, _possible_factor), boundaries):
        steps: list[dict[str, int]] = []
        for fine, coarse in itertools.pairwise(levels):
            step = {dim: factors(fine[dim], coarse[dim], boundary) for dim in dims}
            if not all(step.values()):
                break
            steps.append(step)
        if len(steps) == len(levels) - 1:
            return steps, boundary
        reached = max(reached, len(steps))
    level = reached + 1
    sizes = [{dim: grids[dim].size for dim in dims} for grids in levels[level - 1 : level + 1]]
    raise LabelError(
        f"no whole factors make level {level} of the image, of sizes {sizes[1]}, from the level above, of sizes "
        f"{sizes[0]}, so that no level of the labels {name!r} can lie on it; write the image anew: "
        "tree.omezarr.level(0).omezarr.to_zarr(…)"
    )


def _told_factor(fine: Grid, coarse: Grid, boundary: Boundary) -> int:
    """Return the factor that the scales of two levels tell, if their sizes agree with it; else 0."""
    ratio = coarse.scale / fine.scale if fine.scale else math.inf
    if not ratio < EXACT_INTEGERS:  # nor NaN
        return 0
    factor = step_factor(fine.size, max(round(ratio), 1))
    return factor if block_count(fine.size, factor, boundary) == coarse.size else 0


def _possible_factor(fine: Grid, coarse: Grid, boundary: Boundary) -> int:
    """Return the factor by which the sizes of two levels come about that is nearest to their scales; 0 for none."""
    quotients = range(max(fine.size // (coarse.size + 1), 1), fine.size // coarse.size + 2)
    fitting = [factor for factor in quotients if block_count(fine.size, factor, boundary) == coarse.size]
    ratio = coarse.scale / fine.scale if fine.scale else math.inf
    return min(fitting, key=lambda factor: abs(factor - ratio), default=0)


def fitting_method(
    asked: MethodLike | None, da: xr.DataArray, name: str, frame: Frame, steps: Sequence[Mapping[str, int]]
) -> Method:
    """Return the method whose pixels lie where those of the image's levels do.

    Raises
    ------
    MethodError
        If another is asked for.
    """
    dims = list(steps[0]) if steps else []
    usual = METHODS["nearest" if frame.sampled else LABEL_METHOD]
    row: Method = label_method(usual if asked is None else asked, da.dtype)
    if meets(row, frame, steps, dims):
        return row
    fitting = [
        known for known in (METHODS[LABEL_METHOD], METHODS["nearest"], FIRST) if meets(known, frame, steps, dims)
    ]
    if fitting and asked is None:
        return fitting[0]
    if fitting and asked != fitting[0].name:
        level, dim, factor, place = next(_misses(row, frame, steps, dims))
        raise MethodError(
            f"method {row.name!r} makes labels that stand for index {row.sample(factor):g} of each block of {factor}, "
            f"and along {dim!r} the pixels of level {level} of the image lie at {place:g}; "
            f"give the labels {name!r} method={fitting[0].name!r}, or leave it out"
        )
    if fitting:
        return fitting[0]
    level, dim, factor, place = next(_misses(row, frame, steps, dims))
    warn(
        f"the pixels of level {level} of the image lie at index {place:g} of each block of {factor} along {dim!r} by "
        f"its metadata, where no method has labels; those of {name!r} lie at {row.sample(factor):g}, as their own "
        "metadata say. Write the image anew to have both alike: tree.omezarr.level(0).omezarr.to_zarr(…)",
        LabelWarning,
    )
    return row


def meets(method: Method, frame: Frame, steps: Sequence[Mapping[str, int]], dims: Sequence[str]) -> bool:
    """Whether the pixels that a method makes lie where those of the image's levels do."""
    return next(_misses(method, frame, steps, dims), None) is None


def _misses(
    method: Method, frame: Frame, steps: Sequence[Mapping[str, int]], dims: Sequence[str]
) -> Iterator[tuple[int, str, int, float]]:
    """Yield where they do not: level, dimension, factor, and the index in a block at which the image's pixels lie."""
    for level, step in enumerate(steps, 1):
        for dim in dims:
            fine, coarse, factor = frame.grids[level - 1][dim], frame.grids[level][dim], step[dim]
            if factor == 1 and fine == coarse:
                continue
            place = fine.index(coarse.translation)
            drift = abs(coarse.scale / (fine.scale * factor) - 1) * (coarse.size - 1)
            if abs(place - method.sample(factor)) > MEETS_WITHIN or drift > MEETS_WITHIN:
                yield level, dim, factor, place
