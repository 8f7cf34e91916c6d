"""Images as elements of SpatialData, and back.

There, a pixel is a square: pixel *i* reaches from *i* to *i + 1* in the intrinsic coordinates, and its centre lies at
*i + 0.5*. A transformation leads from there to a coordinate system, so that the scale is ours, and the translation that
of the pixel's edge: half a pixel less. Each level has intrinsic coordinates of its own, which lead to those of level 0
first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from xomezarr import spec
from xomezarr.channels import LABEL
from xomezarr.coords import assign_grid
from xomezarr.errors import CoordinateSystemError, InterchangeError, InterchangeWarning, warn
from xomezarr.grid import Grid
from xomezarr.indexes import kept_of, without
from xomezarr.interchange.parts import (
    Affine,
    Given,
    affines,
    aligned,
    as_labels,
    askew,
    check_names,
    check_regular,
    given,
    image_tree,
    imported,
    in_order,
    is_straight,
    label_tree,
    on_grid,
    only,
    relative,
    scale_name,
    scales,
    tell_lost,
)
from xomezarr.labels import LABELED, check_label_dtype, colors_of

__all__ = ["from_spatialdata", "to_spatialdata"]

NAMES = {"c": "channel", "z": "space", "y": "space", "x": "space"}
"""The dimensions that elements have, in their order."""

TRANSFORM = "transform"
"""Attribute under which an element holds what leads to its coordinate systems, by name."""

OWN = "xomezarr"
"""Attribute under which an element holds what spatialdata has no place for."""

BEFORE = "c_before"
"""Coordinate along channels that holds what their own was, where that is names there."""

GLOBAL = "global"
"""The coordinate system that spatialdata takes where none is named."""

LIBRARY = "spatialdata"

OFF = 0.01
"""Parts of a level's pixel that the ratio of shapes may put it off without a word."""


def to_spatialdata(
    image: xr.DataArray | xr.DataTree,
    *,
    name: str | None = None,
    labels: bool = True,
    coordinate_system: str | None = None,
    as_labels: bool | None = None,
) -> Any:
    """Return an image as spatialdata has it: an array as an element, a tree as a SpatialData with its labels.

    Elements do not hold times, irregular coordinates, coordinates along space beside those of dimensions, properties of
    labels, and systems whose axes are none of the image's.

    Parameters
    ----------
    image
        Dimensions are any of c, z, y and x; a dimension of channels is added where there is none.
    name
        What the image is called there; left out, its own name. What spatialdata does not take in that of an element of
        a SpatialData becomes ``_`` there.
    labels
        Whether the labels of a tree come along.
    coordinate_system
        What the system is called there in which the coordinates are those of the image; left out, ``"global"``, or
        ``"physical"`` for an image that lies askew in the former. Systems in which it lies askew are there under their
        own names.
    as_labels
        Whether an array is one of labels; left out, it is if it was read as one.

    Returns
    -------
    xarray.DataArray or spatialdata.SpatialData
        Lazy; nothing is read.

    Raises
    ------
    MissingDependencyError
        If spatialdata is not installed.
    AxisError
        If there is a dimension of another kind, such as time.
    IrregularCoordinateError
        If coordinates of space are not evenly spaced.
    CoordinateSystemError
        If the image lies askew in a system of the name that is asked for.

    Warns
    -----
    InterchangeWarning
        Of what has no place there. Units, names, and colours and windows of channels stay in the object, from which
        `from_spatialdata` takes them; SpatialData's `write` leaves them out.
    """
    library = _Library()
    one = given(image, name=name, labels=labels, as_labels=as_labels)
    for part in (one, *one.labels.values()):
        check_names(part, NAMES, LIBRARY)
        check_regular(part, LIBRARY)
        _check_attrs(part)
    system = _system((one, *one.labels.values()), coordinate_system)
    lost = dict.fromkeys(what for part in (one, *one.labels.values()) for what in _lost(part))
    tell_lost(LIBRARY, [*lost], "to_zarr(…) keeps all of it in a store, from_spatialdata(…) what stayed in the object")
    if isinstance(image, xr.DataArray):
        return library.element(one, system, is_label=one.label is not None)
    elements: dict[str, Given] = {}
    for own, part in one.labels.items():
        if (called := _named(own, "labels")) in elements:
            raise InterchangeError(
                f"the labels {own!r} would be called {called!r} in spatialdata, and so would others; leave them out, "
                f"and add them under another name: to_spatialdata(labels=False)"
            )
        elements[called] = part
    key = _named(one.name, "labels" if one.label is not None else "image")
    if one.label is not None:
        elements[key] = one
    elif key in elements:
        raise InterchangeError(
            f"the image and its labels are both called {key!r}, and spatialdata has one name for one element; give the "
            f"image another: to_spatialdata(name={key + '_image'!r})"
        )
    made = {own: library.element(part, system, is_label=True) for own, part in elements.items()}
    images = {} if one.label is not None else {key: library.element(one, system, is_label=False)}
    return library.spatialdata.SpatialData(images=images, labels=made)


class _Library:
    """What of spatialdata makes elements, imported when it is wanted."""

    def __init__(self) -> None:
        self.spatialdata = imported(LIBRARY, "an element")
        self.models = imported(f"{LIBRARY}.models", "an element")
        self.transformations = imported(f"{LIBRARY}.transformations", "an element")

    def element(self, one: Given, system: str, *, is_label: bool) -> Any:
        """Return an image as an element: an array where it has one level, else a tree."""
        if is_label:
            check_label_dtype(one.base.dtype, one.name or "")
            if one.channel is not None:
                raise InterchangeError(
                    f"labels of spatialdata have no channels, and these have dimension {one.channel!r}; "
                    f"take one: isel({one.channel}=0)"
                )
        levels = [self._level(one, index, system, is_label=is_label) for index in range(len(one.levels))]
        model = getattr(self.models, f"{'Labels' if is_label else 'Image'}{len(one.spatial)}DModel")
        made: Any
        if len(levels) == 1:
            (made,) = levels
        else:
            made = xr.DataTree.from_dict(
                {scale_name(index): level.to_dataset(name="image") for index, level in enumerate(levels)}
            )
        model.validate(made)
        return made

    def _level(self, one: Given, index: int, system: str, *, is_label: bool) -> xr.DataArray:
        level = one.levels[index]
        own: dict[str, Any] = {"dims": [str(dim) for dim in level.dims], "units": one.spelled}
        own |= {"name": one.name or "", "system": system, "orientations": one.orientations}
        if one.channel is not None and one.channel not in level.coords:
            own["numbered"] = True
        if one.label is not None and (colors := colors_of(one.label)):
            own["colors"] = colors
        level = without(level, [*kept_of(level)])
        # coordinates along space are those of pixels there
        level = level.drop_vars([name for name, coord in level.coords.items() if set(coord.dims) & {*one.spatial}])
        if not is_label and one.channel is None:
            # of one that was selected, its name is there still
            own |= {"selected": True} if "c" in level.coords else {}
            level = level.expand_dims("c") if "c" in level.coords else level.expand_dims(c=[0])
        dims = [dim for dim in NAMES if dim in level.dims]
        level = in_order(level, dims)
        level = level.assign_coords(self._channels(one, level, is_label=is_label))
        factors, firsts = relative(one, index)
        intrinsic = {
            dim: (np.arange(level.sizes[dim]) + 0.5) * factors[dim] + _shift(factors[dim], firsts[dim])
            for dim in one.spatial
        }
        level = level.assign_coords(intrinsic)
        level.attrs = {**one.levels[index].attrs, TRANSFORM: self._transformations(one, index, system), OWN: own}
        level.encoding = {}
        return level.rename("image")

    def _channels(self, one: Given, level: xr.DataArray, *, is_label: bool) -> dict[str, Any]:
        """Return the names of channels, which are the coordinate there, and what it was before."""
        if is_label or (dim := one.channel) is None:
            return {}
        names = [channel.label for channel in one.channels]
        if dim in level.coords and LABEL not in level.coords:
            return {}
        said = all(names) and len(set(names)) == len(names)
        before = {BEFORE: (dim, level.coords[dim].values, level.coords[dim].attrs)} if dim in level.coords else {}
        return {dim: names, **before} if said else {dim: level.coords[dim] if before else np.arange(level.sizes[dim])}

    def _transformations(self, one: Given, index: int, system: str) -> dict[str, Any]:
        """Return what leads from the intrinsic coordinates of a level to each system, by name."""
        space = one.spatial
        grids = one.grids()
        base = [
            self.transformations.Scale([grids[dim].scale for dim in space], axes=space),
            self.transformations.Translation(
                [grids[dim].translation - grids[dim].scale / 2 for dim in space], axes=space
            ),
        ]
        found = {system: self.transformations.Sequence(base)}
        square = np.zeros(len(space) + 1)
        square[-1] = 1
        for name, matrix in affines(one)[0].items():
            leading = self.transformations.Affine(np.vstack([matrix, square]), input_axes=space, output_axes=space)
            found[name] = self.transformations.Sequence([*base, leading])
        if not index:
            return found
        factors, firsts = relative(one, index)
        first = [self.transformations.Scale([factors[dim] for dim in space], axes=space)]
        shifts = [_shift(factors[dim], firsts[dim]) for dim in space]
        if any(shifts):  # a level whose pixels are samples
            first.append(self.transformations.Translation(shifts, axes=space))
        # spatialdata takes the scale of a level to be the first of a sequence
        return {name: self.transformations.Sequence([*first, one]) for name, one in found.items()}


def _system(parts: Sequence[Given], asked: str | None) -> str:
    """Return what the system of own coordinates is called, of an image and its labels: none in which one lies askew."""
    known = {name for part in parts for name in affines(part)[0]}
    name = asked if asked is not None else GLOBAL if GLOBAL not in known else spec.INTRINSIC
    if name in known:
        raise CoordinateSystemError(
            f"the image lies askew in a coordinate system {name!r}, which cannot be that of its own coordinates too; "
            f"give that another name: to_spatialdata(coordinate_system={name + '_straight'!r})"
        )
    return name


def _shift(factor: float, first: float) -> float:
    """Return how far a level's pixels lie from where blocks would, in pixels of level 0.

    >>> _shift(4, 1.5), _shift(4, 1)
    (0.0, -0.5)
    """
    return first + 0.5 - factor / 2


def _lost(one: Given) -> Iterator[str]:
    """Yield what of an image spatialdata has no place for."""
    if one.units:
        by_unit: dict[str, list[str]] = {}
        for dim, unit in one.units.items():
            by_unit.setdefault(unit, []).append(dim)
        yield f"units ({', '.join(f'{unit} of {" and ".join(dims)}' for unit, dims in by_unit.items())})"
    if one.orientations:
        yield f"orientations (of {' and '.join(one.orientations)})"
    if any(channel.color or channel.window for channel in one.channels):
        yield "colours and windows of channels"
    if one.label is not None and one.label.colors:
        yield "colours of labels"
    if one.label is not None and one.label.rows:
        yield "properties of labels, which are a table there (TableModel.parse(…)), and are left out"
    others = [
        str(name)
        for name, coord in one.base.coords.items()
        if name not in one.base.dims and name not in kept_of(one.base) and set(coord.dims) & {*one.spatial}
    ]
    if others:
        yield f"the coordinates {', '.join(map(repr, others))}"
    if systems := affines(one)[1]:
        yield f"the coordinate systems {', '.join(map(repr, systems))}, whose axes are no dimensions of the image"
    off = {index: _off_by_ratio(one, index) for index in range(1, len(one.levels))}
    worst = max(off, key=lambda index: off[index], default=0)
    if worst and off[worst] > OFF:
        whole = {dim: _whole(one, dim) for dim in one.spatial}
        cut = [f"{dim}=slice({size})" for dim, size in whole.items() if size and size != one.base.sizes[dim]]
        yield (
            f"where level {worst} lies, which write and queries put up to {off[worst]:.2g} of its pixels off, as they "
            f"go by the ratio of shapes{f', unless it is cropped first: isel({", ".join(cut)})' if cut else ''}"
        )


def _off_by_ratio(one: Given, index: int) -> float:
    """Return how far the ratio of shapes puts pixels of a level off, in pixels of that level."""
    factors, firsts = relative(one, index)
    ends = {dim: np.array([0, one.levels[index].sizes[dim] - 1]) for dim in one.spatial}
    ratios = {dim: one.base.sizes[dim] / one.levels[index].sizes[dim] for dim in ends}
    off = [
        ((pixels + 0.5) * ratios[dim] - 0.5 - firsts[dim] - pixels * factors[dim]) / factors[dim]
        for dim, pixels in ends.items()
    ]
    return float(np.abs(off).max())


def _whole(one: Given, dim: str) -> int:
    """Return the most pixels of level 0 that are whole pixels of the coarsest level; 0 where there are none."""
    factor = relative(one, len(one.levels) - 1)[0][dim]
    return int(one.base.sizes[dim] // factor * factor)


def _check_attrs(one: Given) -> None:
    for name in (TRANSFORM, OWN):
        if name in one.base.attrs:
            raise InterchangeError(
                f"the attribute {name!r} is where spatialdata, or what is kept beside it, has its own; rename it: "
                f"da.attrs[{name + '_'!r}] = da.attrs.pop({name!r})"
            )


def _named(name: str | None, other: str) -> str:
    """Return a name as spatialdata takes it.

    >>> _named("my cells/1", "image"), _named(None, "image")
    ('my_cells_1', 'image')
    """
    kept = "".join(char if char.isalnum() or char in "_-." else "_" for char in name or "").strip(".")
    return kept.removeprefix("__") or other


# --- and back ----------------------------------------------------------------------------------------------


def from_spatialdata(
    source: Any,
    *,
    name: str | None = None,
    labels: bool = True,
    coordinate_system: str | None = None,
    units: Mapping[str, str] | str | None = None,
) -> xr.DataTree:
    """Return an image of spatialdata, or labels, with the coordinates that it has in one of its coordinate systems.

    Units, colours and windows of channels, and colours of labels, are not what spatialdata writes; they come of objects
    that `to_spatialdata` has made. Shapes, points and tables of a SpatialData are left where they are.

    Where the transformation to the system turns, shears or mirrors it, the levels lie in the intrinsic coordinates,
    and have the system's as coordinates beside these (`assign_affine`). So do all others that it leads to.

    Parameters
    ----------
    source
        An element: an image or labels, of one scale or several; or a SpatialData.
    name
        Which image of a SpatialData; left out, the only one. Its labels are those on the same pixels. Of one that has
        no images, the only labels are taken.
    labels
        Whether the labels on the image's pixels come along.
    coordinate_system
        Left out, the one that `to_spatialdata` made for the image's coordinates, else the only one, or ``"global"``.
    units
        Of the system: by axis, or one for all; left out, those that `to_spatialdata` kept in the element.

    Returns
    -------
    xarray.DataTree
        Of an image and its labels, or of labels alone, as `open_datatree` gives them. Lazy.

    Raises
    ------
    InterchangeError
        If it is no element of pixels; if a SpatialData has several images, and none is chosen.
    CoordinateSystemError
        If it has no such coordinate system, or no transformation that makes coordinates.

    Warns
    -----
    InterchangeWarning
        Of labels of a SpatialData that do not lie on the pixels of the image, and are left out.
    """
    if hasattr(source, "images") and hasattr(source, "labels") and not isinstance(source, xr.DataTree | xr.DataArray):
        return _from_whole(source, name, coordinate_system, units, labels=labels)
    if name is not None:
        raise InterchangeError(
            f"name={name!r} chooses from a SpatialData, and {type(source).__name__} is none; leave it out, or give the "
            f"SpatialData: from_spatialdata(sdata, name={name!r})"
        )
    levels = _levels(source, coordinate_system, units)
    if _is_label(levels[0]):
        return label_tree(levels, str(levels[0].name or "labels"), _colors(source))
    return image_tree(levels)


def _from_whole(sdata: Any, image: str | None, system: str | None, units: Any, *, labels: bool) -> xr.DataTree:
    """Return an image of a SpatialData, and the labels that lie on its pixels."""
    images, of_labels = dict(sdata.images), dict(sdata.labels)
    if image is not None and image not in images:
        raise InterchangeError(
            f"the SpatialData has no image {image!r}; it has {', '.join(map(repr, images)) or 'none'}: "
            + (f"from_spatialdata(sdata, name={next(iter(images))!r})" if images else "take its labels: sdata['…']")
        )
    if not images and len(of_labels) == 1:
        ((name, element),) = of_labels.items()
        return label_tree(_levels(element, system, units, name=name), name, _colors(element))
    chosen = image or only([*images], "image", "the SpatialData", "name")
    levels = _levels(images[chosen], system, units, name=chosen)
    own, left_out = {}, []
    for name, element in of_labels.items() if labels else ():
        try:
            found = _levels(element, system, units, name=name)
        except CoordinateSystemError:
            left_out.append(name)
            continue
        if _on_pixels(found, levels):
            own[str(found[0].name)] = label_tree(found, str(found[0].name), _colors(element))
        else:
            left_out.append(name)
    if left_out:
        warn(
            f"the labels {', '.join(map(repr, left_out))} do not lie on the levels of the image {chosen!r}, and are "
            f"left out; take them by themselves: from_spatialdata(sdata[{left_out[0]!r}])",
            InterchangeWarning,
        )
    return image_tree(levels, own)


def _on_pixels(labels: Sequence[xr.DataArray], levels: Sequence[xr.DataArray]) -> bool:
    """Whether labels have the levels of an image."""
    return len(labels) == len(levels) and all(
        dim in level.dims
        and label.sizes[dim] == level.sizes[dim]
        and np.allclose(label[dim], level[dim], rtol=0, atol=OFF * float(level[dim].attrs.get("scale", 1.0)))
        for label, level in zip(labels, levels, strict=True)
        for dim in label.dims
    )


def _is_label(level: xr.DataArray) -> bool:
    return bool(level.encoding.get(LABELED, False))


def _colors(element: Any) -> Mapping[int, str]:
    """Return the colours of labels that were kept in an element."""
    colors: Mapping[int, str] = _arrays(element)[0].attrs.get(OWN, {}).get("colors", {})
    return colors


def _arrays(element: Any) -> list[xr.DataArray]:
    """Return the pixels of an element at each of its scales."""
    if isinstance(element, xr.DataArray):
        return [element]
    if nodes := scales(element):
        return [node.dataset[next(iter(node.data_vars))] for node in nodes]
    raise InterchangeError(
        f"{type(element).__name__} is no image and no labels of spatialdata; give one: from_spatialdata(sdata['…'])"
    )


def _levels(element: Any, system: str | None, units: Any, *, name: str | None = None) -> list[xr.DataArray]:
    """Return the levels of an element with the coordinates of a system."""
    arrays = _arrays(element)
    dims = [dim for dim in ("z", "y", "x") if dim in arrays[0].dims]
    for array in arrays:
        _check_element(array, dims)
    own: Mapping[str, Any] = arrays[0].attrs.get(OWN, {})
    chosen = _chosen(arrays[0].attrs[TRANSFORM], system, own.get("system"))
    leading = [_leading(array, chosen, scale_name(index), dims) for index, array in enumerate(arrays)]
    wanted = leading[0]
    said = units if units is not None else own.get("units", {})
    said = dict.fromkeys(dims, said) if isinstance(said, str) else {dim: said[dim] for dim in dims if dim in said}
    straight = is_straight(wanted[:, :-1])
    found = {other: _matrix(one, dims) for other, one in arrays[0].attrs[TRANSFORM].items()}
    beside = _beside(found, chosen if straight else None)
    made: list[xr.DataArray] = []
    base: dict[str, Grid] = {}
    for array, matrix in zip(arrays, leading, strict=True):
        # of a level, to where the levels lie: the system itself, or the intrinsic coordinates of level 0
        grids = _grids(array, matrix if straight else _compose(_inverse(wanted), matrix), dims)
        base = base or grids
        grids = {dim: aligned(grid, base[dim]) for dim, grid in grids.items()}
        level = _placed(array, grids, said if straight else {}, str(own.get("name", name or "")) or None)
        for dim, orientation in own.get("orientations", {}).items() if straight else ():
            level.coords[dim].attrs["orientation"] = orientation
        for other, to_other in beside.items():
            further = _compose(to_other, _inverse(wanted)) if straight else to_other
            level = askew(level, further, other, dims, said if other == chosen else None)
        made.append(_as_it_was(level, own))
    return made


def _check_element(array: xr.DataArray, dims: Sequence[str]) -> None:
    """Refuse an array that is none of an element of pixels along dimensions of space."""
    if set(array.dims) - set(NAMES) or len(dims) < 2 or not {*dims} <= {*array.dims} or TRANSFORM not in array.attrs:
        raise InterchangeError(
            f"an array of dimensions {tuple(map(str, array.dims))} "
            f"{'without' if TRANSFORM not in array.attrs else 'with'} attrs[{TRANSFORM!r}] is no element of "
            "spatialdata; make one: Image2DModel.parse(…)"
        )


def _leading(array: xr.DataArray, system: str, level: str, dims: Sequence[str]) -> Affine:
    """Return what leads from the intrinsic coordinates of a level to a system."""
    transformations = array.attrs[TRANSFORM]
    if (matrix := _matrix(transformations.get(system), dims)) is not None:
        return matrix
    raise CoordinateSystemError(
        f"what leads from {level!r} to the coordinate system {system!r} is no matrix of {', '.join(dims)}: "
        f"{transformations.get(system)!r}; choose another: coordinate_system=…, or give the element another "
        "transformation: spatialdata.transformations.set_transformation(…)"
    )


def _beside(found: Mapping[str, Affine | None], chosen: str | None) -> dict[str, Affine]:
    """Return what leads to the systems in which an image lies askew, and warn of those that are left out."""
    known = {name: one for name, one in found.items() if one is not None and name != chosen and name != spec.INTRINSIC}
    if left_out := [name for name in found if name not in known and name != chosen]:
        warn(
            f"the coordinate systems {', '.join(map(repr, left_out))} are left out, as what leads there is no matrix "
            f"of the element's own axes, or as levels lie in {spec.INTRINSIC!r} themselves; take the image in one of "
            f"them, under another name, if need be: coordinate_system={left_out[0]!r}",
            InterchangeWarning,
        )
    return known


def _chosen(transformations: Mapping[str, Any], system: str | None, own: str | None) -> str:
    """Return the name of the system that is asked for; left out, our own, that of the only one, or spatialdata's."""
    names = [*transformations]
    if system is None:
        if own in names:
            return str(own)
        if GLOBAL in names:
            return GLOBAL
        return only(names, "coordinate system", "the element", "coordinate_system")
    if system not in names:
        raise CoordinateSystemError(
            f"the element has no coordinate system {system!r}; give one of these: {', '.join(map(repr, names))}"
        )
    return system


def _matrix(transformation: Any, dims: Sequence[str]) -> Affine | None:
    """Return what leads from the intrinsic coordinates to a system, along its dimensions; None where none does."""
    # what is flat may lie in space, which a matrix of its own axes does not say
    axes = ("z", *dims) if "z" not in dims else tuple(dims)
    try:
        whole = np.asarray(transformation.to_affine_matrix(input_axes=tuple(dims), output_axes=axes), dtype=float)
    except (ValueError, AssertionError, AttributeError, IndexError):
        return None
    if whole.shape != (len(axes) + 1, len(dims) + 1) or not np.isfinite(whole).all():
        return None
    beyond, own = whole[: len(axes) - len(dims)], whole[len(axes) - len(dims) : -1]
    return own if not beyond.any() and np.linalg.matrix_rank(own[:, :-1]) == len(dims) else None


def _inverse(matrix: Affine) -> Affine:
    linear = np.linalg.inv(matrix[:, :-1])
    return np.column_stack([linear, -linear @ matrix[:, -1]])


def _compose(later: Affine, first: Affine) -> Affine:
    return np.column_stack([later[:, :-1] @ first[:, :-1], later[:, :-1] @ first[:, -1] + later[:, -1]])


def _grids(array: xr.DataArray, matrix: Affine, dims: Sequence[str]) -> dict[str, Grid]:
    """Return where pixels lie whose *i + 0.5* a matrix leads on."""
    if not is_straight(matrix[:, :-1]):
        raise CoordinateSystemError(
            "the scales of the element do not lie straight to each other, so that they are no levels of one image; "
            "take one: from_spatialdata(tree['scale0/image'])"
        )
    scales = dict(zip(dims, np.diag(matrix).tolist(), strict=True))
    edges = dict(zip(dims, matrix[:, -1].tolist(), strict=True))
    return {dim: on_grid(scales[dim], edges[dim] + scales[dim] / 2, array.sizes[dim]) for dim in dims}


def _placed(array: xr.DataArray, grids: Mapping[str, Grid], units: Mapping[str, str], name: str | None) -> xr.DataArray:
    """Return a level with the coordinates of its grids."""
    # a copy, whose attributes are not those of the element
    bare = array.drop_vars([dim for dim in grids if dim in array.coords]).copy(deep=False)
    bare.attrs = {key: value for key, value in array.attrs.items() if key not in (TRANSFORM, OWN)}
    made = assign_grid(
        bare,
        scale={dim: grid.scale for dim, grid in grids.items()},
        translation={dim: grid.translation for dim, grid in grids.items()},
        units=dict(units),
    )
    made = made.rename(name)
    if "c" not in array.dims:
        check_label_dtype(array.dtype, name or "")
        return as_labels(made)
    return made


def _as_it_was(level: xr.DataArray, own: Mapping[str, Any]) -> xr.DataArray:
    """Return a level with the dimensions that it had before it was an element."""
    if BEFORE in level.coords:
        held = level.coords[BEFORE].variable
        level = level.drop_vars([BEFORE, "c"]).assign_coords(c=xr.Variable("c", held.values, held.attrs))
    if own.get("numbered") and "c" in level.coords and level.c.dtype.kind in "iu":
        level = level.drop_vars("c")
    dims = own.get("dims")
    if not dims:
        return level
    if "c" in level.dims and "c" not in dims and level.sizes["c"] == 1:
        level = level.isel(c=0, drop=not own.get("selected"))
    return level.transpose(*dims) if set(dims) == set(level.dims) else level
