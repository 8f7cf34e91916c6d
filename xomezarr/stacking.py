"""See the images of a plate together: as one array that is read when it is asked for, and as a picture."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends.common import BackendArray
from xarray.core import indexing

from xomezarr import pictures, sidecar, spec
from xomezarr.channels import ACTIVE, LABEL, channel_dim
from xomezarr.errors import LevelError, OmeZarrError, PlateError, PlateWarning, collecting, raise_all, told, warn
from xomezarr.model import Plate
from xomezarr.planning import group_attrs, rendering, stored_metadata
from xomezarr.plate import node_at
from xomezarr.pyramid import VARIABLE
from xomezarr.read import OPEN_AT_ONCE, asked_at_once, is_remote
from xomezarr.resources import Resources
from xomezarr.source import ASSUMED, direct_source, opened_array
from xomezarr.tree import level as level_of
from xomezarr.tree import levels
from xomezarr.wells import NO_ACQUISITION, PLACES, is_number, located, run_of

__all__ = ["from_above", "is_plate", "overview", "stack"]

ABSENT, GAP, GAP_WIDTH = 128, 255, 1
"""Grey of wells that are not there, and of what stands between wells; pixels of the latter."""


def stack(tree: xr.DataTree, level: int = 0, *, fill_value: Any = None, acquisition: int | None = None) -> xr.DataArray:
    """See one level of all images of a plate as one array; it is read when it is asked for, and only what is asked for.

    Parameters
    ----------
    tree
        A plate, as `open_plate` opens it.
    level
        0 is the finest, -1 the coarsest.
    fill_value
        What stands where a well or a field is not there; left out, 0 for integers, False, and NaN for floats.
    acquisition
        Id of the run whose images are taken; left out, all are.

    Returns
    -------
    xarray.DataArray
        With the dimensions ``row``, ``column``, ``field`` before those of the images; rows and columns are all that
        the plate lists, and after them such as wells alone name. The coordinate `acquisition` lies along ``field`` if
        all wells agree, else along the three; -1 stands where no run is named. Channels are in the order of the first
        image, by their names. Coordinates in which images differ lie along ``field``, or ``row`` and ``column``, or
        all three too, as ``y`` and ``x`` do where fields lie apart, so that what is taken out lies where it was; to
        select by them ask for an index: ``stack[0, 0, 1].set_xindex("y")``. NaN, NaT or an empty text
        stands where no image is, or one without such a coordinate. Name and attributes are those of the first image.
        ``chunk(row=1, column=1, field=1)`` makes a dask array of it.

    Raises
    ------
    PlateError
        If the tree is no plate, or its images differ in shape, dtype or the names of their channels.
    LevelError
        If there is no such level.

    Warns
    -----
    PlateWarning
        If images differ in the units of their coordinates, so that one cannot tell where all of them lie; if other
        coordinates cannot be those of all; if some have names of channels, and some not.
    """
    plate, places = located(_plate_of(tree, "stack(…)"))
    images = [image for image in _images(tree, places) if acquisition in (None, image.acquisition)]
    if not images:
        runs = sorted({image.acquisition for image in _images(tree, places) if image.acquisition is not None})
        raise PlateError(
            f"the plate has no image of acquisition {acquisition!r}; "
            f"give {'one of ' + ', '.join(map(str, runs)) if runs else 'none, as its images name no run'}"
            if acquisition is not None
            else "the tree has no image of a plate; open it again: xomezarr.open_plate(store)"
        )
    first = level_of(images[0].node, level)
    number = level % len(levels(images[0].node))
    alike = _alike(images, number)
    names, fields = _fields(images)
    shape = (len(plate.rows), len(plate.columns), len(names))
    filled = _fill_value(fill_value, first.dtype)
    placed: dict[tuple[int, ...], Variables] = {
        (*image.index, names.index(image.field)): one for image, one in zip(images, alike, strict=True)
    }
    pixels = {place: variables[VARIABLE] for place, variables in placed.items()}
    data = indexing.LazilyIndexedArray(_Stacked(pixels, (*shape, *first.shape), filled))
    lines: tuple[list[Any], ...] = ([row.name for row in plate.rows], [column.name for column in plate.columns], fields)
    coords: dict[Hashable, Any] = {dim: xr.Variable(dim, line) for dim, line in zip(PLACES, lines, strict=False)}
    coords |= _coords(first, placed, shape)
    checks = {
        tuple(line[index] for line, index in zip(lines, place, strict=True)): check
        for place, of in placed.items()
        if (check := _assumed(of)) is not None
    }
    if checks:
        of_each = _OfEach(checks, lines)
        for name, coord in coords.items():
            placed_by = {PLACED: of_each} if name in PLACES else {}
            coord.encoding = {**coord.encoding, ASSUMED: of_each, **placed_by}
    if (runs_along := _acquisitions(images, shape, names)) is not None:
        coords["acquisition"] = runs_along
    dims = (*PLACES[:3], *first.dims)
    result = xr.DataArray(xr.Variable(dims, data, first.attrs), coords=coords, name=first.name)
    preferred = first.encoding.get("preferred_chunks", dict(zip(first.dims, first.shape, strict=True)))
    result.encoding = {"preferred_chunks": {**dict.fromkeys(PLACES[:3], 1), **preferred}}
    return result


def overview(tree: xr.DataTree, *, field: int | str = 0, max_size: int = 1024) -> NDArray[np.uint8]:
    """Draw a plate as it is seen from above: the same field of each well, in the same colours and brightness.

    Parameters
    ----------
    tree
        A plate, as `open_plate` opens it.
    field
        Which field of each well is shown.
    max_size
        Pixels of the picture's longer side at most. Of each image the coarsest level is read that suffices.

    Returns
    -------
    numpy.ndarray
        uint8, shape (height, width, 3). Channels, by their names, have the colours and windows of the first image;
        where it has no windows, those of all that is shown. Wells that are not there, or lack the field, are grey.

    Raises
    ------
    PlateError
        If the tree is no plate, no well has that field, or images differ in the number or names of their channels.
    LevelError
        If the picture has not a pixel for each well, or `max_size` is no number.
    """
    return from_above(tree, field=field, max_size=max_size).picture


def from_above(tree: xr.DataTree, *, field: int | str = 0, max_size: int = 1024) -> pictures.FromAbove:
    """Draw a plate as `overview` does, and say where its wells lie in the picture."""
    plate, places = located(_plate_of(tree, "overview()"))
    images = [image for image in _images(tree, places) if image.field == str(field)]
    if not images:
        names, _ = _fields(list(_images(tree, places)))
        raise PlateError(f"no well has a field {field!r}; give one of {told(list(map(repr, names)), 10)}")
    counts = (len(plate.rows), len(plate.columns))
    finest = levels(images[0].node)
    side = _tile_side(pictures.proportions(finest[0]), counts, max_size)
    _check_channels(images)
    dim = _channel_dim(images[0])
    orders = _channel_orders(images, dim)

    def shown(image: _PlateImage, order: Sequence[int] | None) -> xr.DataArray:
        plane = pictures.plane(pictures.sufficient(levels(image.node), side)).load()
        return plane if order is None else plane.isel({dim: list(order)})

    with ThreadPoolExecutor(_threads(images[0].node)) as pool:
        planes = list(pool.map(shown, images, orders))
    channels = pictures.completed(planes, rendering(finest[0], stored_metadata(images[0].node)))
    tiles = [pictures.thumbnail([plane], channels, max_size=side) for plane in planes]
    height, width = (max(tile.shape[axis] for tile in tiles) for axis in (0, 1))
    picture = np.full((*_extent((height, width), counts), 3), GAP, np.uint8)
    for row, column in np.ndindex(counts):
        _tile(picture, row, column, (height, width))[...] = ABSENT
    for image, tile in zip(images, tiles, strict=True):
        place = _tile(picture, *image.index, (height, width))
        place[...] = 0
        place[: tile.shape[0], : tile.shape[1]] = tile
    rows, columns = (
        {str(line.name): index * (side + GAP_WIDTH) + (side - 1) / 2 for index, line in enumerate(lines)}
        for lines, side in ((plate.rows, height), (plate.columns, width))
    )
    seen = [channel for channel in channels if channel.active is not False]
    return pictures.FromAbove(picture, rows, columns, seen)


def is_plate(tree: object) -> bool:
    """Whether a tree is that of a plate."""
    return isinstance(tree, xr.DataTree) and "plate" in spec.kinds(group_attrs(tree))


# -- the images of a tree ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _PlateImage:
    """An image of a plate's tree, and where it is."""

    node: xr.DataTree
    well: str
    index: tuple[int, int]
    field: str
    acquisition: int | None

    def __str__(self) -> str:
        return f"well {self.well}, field {self.field}"


def _plate_of(tree: xr.DataTree, asked: str) -> Plate:
    attrs = group_attrs(tree) if isinstance(tree, xr.DataTree) else {}
    if "plate" in spec.kinds(attrs):
        return spec.parse_plate(attrs)
    raise PlateError(
        f"{asked} is asked of a plate, and this is {'an image' if spec.is_image(attrs) else 'none'}; "
        f"open the whole plate: xomezarr.open_plate(store).omezarr.{asked}"
    )


def _images(tree: xr.DataTree, places: Mapping[str, tuple[int, int]]) -> Iterator[_PlateImage]:
    """Yield the images of a plate that its tree still has, well by well, given the places of wells."""
    for well, index in places.items():
        if (node := node_at(tree, well)) is None:
            continue
        attrs = group_attrs(node)
        listed = {field.path: field for field in spec.parse_well(attrs).fields} if "well" in spec.kinds(attrs) else {}
        for name, child in node.children.items():
            variables = child.children["0"].dataset.variables if "0" in child.children else {}
            if VARIABLE in variables:
                yield _PlateImage(child, well, index, name, run_of(variables, listed.get(name)))


type Variables = Mapping[Hashable, xr.Variable]
"""Of a level, by name."""


def _alike(images: Sequence[_PlateImage], number: int) -> list[Variables]:
    """Return a level of each image, once it is sure that they can be one array; channels in the order of the first.

    Raises
    ------
    PlateError
        If they cannot.
    """
    faults: list[OmeZarrError] = []
    found: list[Variables] = []
    for image in images:
        with collecting(faults):
            variables = _variables(image, number)
            variable = variables.get(VARIABLE)
            if variable is None:
                raise PlateError(f"{image}: there is no level {number}; leave it out: tree.filter(…)")
            model = found[0][VARIABLE] if found else variable
            if (variable.dims, variable.shape, variable.dtype) != (model.dims, model.shape, model.dtype):
                raise PlateError(
                    f"{image}: level {number} has the dimensions {dict(variable.sizes)} of {variable.dtype}, and that "
                    f"of {images[0]} {dict(model.sizes)} of {model.dtype}; stack those that are alike: tree.filter(…)"
                )
            found.append(variables)
    if found and (taken := [dim for dim in PLACES if dim in found[0][VARIABLE].dims]):
        faults.append(
            PlateError(
                f"the images have dimensions {taken} of their own, which name places on the plate; rename them: "
                f"tree.map_over_datasets(lambda ds: ds.rename({taken[0]}='{taken[0][0]}'))"
            )
        )
    raise_all(faults, "the images of the plate cannot be stacked")
    dim = _channel_dim(images[0])
    orders = _channel_orders(images, dim)
    return [
        variables if order is None else {name: _reordered(one, dim, order) for name, one in variables.items()}
        for variables, order in zip(found, orders, strict=True)
    ]


def _variables(image: _PlateImage, number: int) -> Variables:
    level = image.node.children.get(str(number))
    return {} if level is None else level.dataset.variables


def _reordered(variable: xr.Variable, dim: str | None, order: Sequence[int]) -> xr.Variable:
    return variable.isel({dim: list(order)}) if dim in variable.dims else variable


def _channel_dim(image: _PlateImage) -> str | None:
    return channel_dim(levels(image.node)[0])


def _channel_orders(images: Sequence[_PlateImage], dim: str | None) -> list[tuple[int, ...] | None]:
    """Return where each image has the channels of the first that has names; None if in that order, or without names.

    Raises
    ------
    PlateError
        If one has others.

    Warns
    -----
    PlateWarning
        If some have names, and some not.
    """
    names = [_channel_names(image, dim) for image in images]
    named = next((index for index, own in enumerate(names) if own is not None), None)
    if dim is None or named is None:
        return [None] * len(images)
    first, faults, orders = names[named] or (), list[OmeZarrError](), list[tuple[int, ...] | None]()
    if unnamed := [str(image) for image, own in zip(images, names, strict=True) if own is None]:
        warn(
            f"{len(unnamed)} of the {len(images)} images say nothing of their channels, and are taken to have those of "
            f"{images[named]}, {list(first)}, in that order: {told(unnamed, between='; ')}; where that is not so, "
            "leave them out: tree.filter(…)",
            PlateWarning,
        )
    for image, own in zip(images, names, strict=True):
        if own is None or own == first:
            orders.append(None)
        elif set(own) == set(first) and len(set(own)) == len(own) == len(first):
            orders.append(tuple(own.index(name) for name in first))
        else:
            faults.append(_other_channels(image, own, images[named], first, dim))
    raise_all(faults, "the images of the plate do not have the same channels")
    return orders


def _channel_names(image: _PlateImage, dim: str | None) -> tuple[Any, ...] | None:
    """Return what tells the channels of an image apart: their labels, else what stands along their dimension."""
    variables = _variables(image, 0)
    coord = variables.get(LABEL, variables.get(dim))
    return None if coord is None or coord.dims != (dim,) else tuple(coord.values.tolist())


def _other_channels(
    image: _PlateImage, own: tuple[Any, ...], other: _PlateImage, others: tuple[Any, ...], dim: str
) -> PlateError:
    shared = [name for name in others if name in own]
    by_name = LABEL not in _variables(image, 0) and LABEL not in _variables(other, 0)
    cure = f"take what they share: tree.sel({dim}={shared!r})" if shared and by_name else "leave it out: tree.filter(…)"
    return PlateError(f"{image}: the image has the channels {list(own)}, and that of {other} {list(others)}; {cure}")


def _check_channels(images: Sequence[_PlateImage]) -> None:
    """Make sure that images can be shown in the same colours.

    Raises
    ------
    PlateError
        If they differ in the number of their channels.
    """
    counted = [_channels(image) for image in images]
    faults = [
        PlateError(
            f"{image}: the image has {count} channels, and that of {images[0]} {counted[0]}; draw those that are "
            "alike: tree.filter(…).omezarr.overview()"
        )
        for image, count in zip(images, counted, strict=True)
        if count != counted[0]
    ]
    raise_all(faults, "the images of the plate cannot be shown together")


def _channels(image: _PlateImage) -> int:
    finest = levels(image.node)[0]
    dim = channel_dim(finest)
    return 1 if dim is None else finest.sizes[dim]


def _fields(images: Sequence[_PlateImage]) -> tuple[list[str], list[Any]]:
    """Return the names of all fields in their order, and what stands for them: numbers if all of them are."""
    names = list(dict.fromkeys(image.field for image in images))
    if all(map(is_number, names)):
        names.sort(key=int)
        return names, [int(name) for name in names]
    return names, list(names)


ALONG: tuple[tuple[int, ...], ...] = ((), (2,), (0, 1), (0, 1, 2))
"""By what coordinates may differ, as positions in row, column and field: by nothing, by field, by well, by image."""


GAPS: Mapping[str, Any] = {**dict.fromkeys("iufc", np.nan), **dict.fromkeys("mM", "NaT"), "U": "", "b": None}
"""What stands in a coordinate where no image is, by the kind of its dtype; None where nothing can."""


def _coords(
    first: xr.DataArray, placed: Mapping[tuple[int, ...], Variables], shape: tuple[int, ...]
) -> dict[Hashable, xr.Variable]:
    """Return the coordinates of images, each along what it differs by.

    Parameters
    ----------
    first
        The image whose dimensions they have.
    placed
        The variables of each image, by its position in rows, columns and fields.
    shape
        How many there are of those.

    Warns
    -----
    PlateWarning
        If there are some that no coordinate of the stack can tell, such as positions in several units.
    """
    coords: dict[Hashable, xr.Variable] = {}
    channels, lost = channel_dim(first), list[Hashable]()
    names = {name: None for variables in placed.values() for name in variables if name != VARIABLE}
    for name in names.keys() - {*PLACES}:
        own = {place: variables[name] for place, variables in placed.items() if name in variables}
        lacking: Collection[tuple[int, ...]] = placed.keys() - own.keys()
        if any(_assumed(placed[place]) is not None for place in lacking):
            continue  # nothing is known of it there
        if name == channels:  # those without names are taken to have these
            lacking = ()
        # a channel of which nothing is said is shown
        found = (_along(own, by, shape, lacking, gap=True if name == ACTIVE else None) for by in ALONG)
        if (coord := next((coord for coord in found if coord is not None), None)) is not None:
            coords[name] = coord
        else:
            lost.append(name)
    _tell_of_lost(lost, first)
    return {name: coords[name] for name in names if name in coords}


def _tell_of_lost(lost: Sequence[Hashable], first: xr.DataArray) -> None:
    """Warn of coordinates of images that are not those of their stack."""
    positions = sorted(str(name) for name in lost if name in first.dims and name != channel_dim(first))
    others = sorted(str(name) for name in lost if str(name) not in positions)
    if positions:
        warn(
            f"the coordinates {', '.join(map(repr, positions))} of the images are of other units, dtypes or "
            "attributes, and not those of the stack: what is taken out of it has none; take such images from the tree, "
            f"or convert them first: tree.map_over_datasets(lambda ds: ds.assign_coords({positions[0]}=…))",
            PlateWarning,
        )
    if others:
        warn(
            f"the coordinates {', '.join(map(repr, others))} of the images are left out of the stack: they are of "
            "several dimensions, dtypes or attributes, or there is no value for where there is none, as of bool; "
            f"convert them first: tree.map_over_datasets(lambda ds: ds.assign_coords({others[0]}=…))",
            PlateWarning,
        )


def _along(
    own: Mapping[tuple[int, ...], xr.Variable],
    by: tuple[int, ...],
    shape: tuple[int, ...],
    lacking: Collection[tuple[int, ...]],
    gap: Any = None,
) -> xr.Variable | None:
    """Return a coordinate of images along some of row, column and field; None if these do not tell it.

    Where no image is, and where images are `lacking` it, stands `gap`, or NaN, NaT, or an empty text: integers become
    floats.
    Spacings that differ are told by the positions alone.
    """
    differing: dict[tuple[int, ...], xr.Variable] = {}
    for place, variable in own.items():
        known = differing.setdefault(tuple([place[axis] for axis in by]), variable)
        if known is not variable and not known.identical(variable):
            return None
    first = next(iter(differing.values()))
    if any(tuple([place[axis] for axis in by]) in differing for place in lacking):
        return None
    if not by:
        return first.copy(deep=False)
    if any(one.dims != first.dims for one in differing.values()):
        return None
    attrs = [dict(one.attrs) for one in differing.values()]
    if not all(sidecar.same({"scale": of_one.get("scale")}, {"scale": attrs[0].get("scale")}) for of_one in attrs):
        attrs = [{key: value for key, value in of_one.items() if key != "scale"} for of_one in attrs]
    rows = {place: _plain(one) for place, one in differing.items()}
    kinds = {row.dtype.kind for row in rows.values()}
    if len(kinds) > 1 or not kinds <= GAPS.keys() or not all(sidecar.same(of_one, attrs[0]) for of_one in attrs):
        return None
    dtype = np.result_type(*(row.dtype for row in rows.values()))
    gap = GAPS[kinds.pop()] if gap is None else gap
    counts = [shape[axis] for axis in by]
    values = np.empty((*counts, *first.shape), dtype)
    if len(rows) < math.prod(counts):
        if gap is None or (dtype.kind in "iu" and not all(_are_exact(row) for row in rows.values())):
            return None
        values = np.full(values.shape, gap, np.float64 if dtype.kind in "iu" else dtype)
    for place, row in rows.items():
        values[place] = row
    return xr.Variable((*(PLACES[axis] for axis in by), *first.dims), values, attrs[0])


def _plain(variable: xr.Variable) -> NDArray[Any]:
    """Return the values of a coordinate, texts as texts of a width."""
    values = np.asarray(variable.values)
    if values.dtype.kind in "OT" and all(isinstance(text, str) for text in values.ravel().tolist()):
        return values.astype(str)
    return values


def _are_exact(integers: NDArray[Any]) -> bool:
    """Whether floats hold them all."""
    return bool((integers.astype(np.float64).astype(integers.dtype) == integers).all())


def _assumed(variables: Variables) -> Any:
    """Return what makes sure of what was taken for granted of an image; None where nothing was."""
    return next((check for one in variables.values() if (check := one.encoding.get(ASSUMED)) is not None), None)


PLACED = "placed"
"""Key of the encoding of coordinates that say of which images of a stack pixels are; those that users give say less."""


@dataclass(frozen=True, slots=True)
class _OfEach:
    """Makes sure of what was taken for granted of the images of a stack, by row, column and field."""

    checks: Mapping[tuple[Any, ...], Any]
    lines: tuple[Sequence[Any], ...]

    def __deepcopy__(self, memo: Any) -> _OfEach:
        return self

    def __call__(self, da: xr.DataArray) -> None:
        """Ask the images that an array has pixels of; all of them where it does not say which."""
        left = self.checks
        for axis, dim in enumerate(PLACES[:3]):
            coord = da.coords.get(dim)
            if coord is not None and coord.encoding.get(PLACED) is self:
                named = set(np.ravel(coord.values).tolist())
                if not named <= {*self.lines[axis]}:  # a user's own names, which do not tell
                    continue
                left = {place: check for place, check in left.items() if place[axis] in named}
        remote = any(check.is_remote for check in left.values())
        with asked_at_once([partial(check, da) for check in left.values()], remote=remote) as answers:
            for answer in answers:
                answer()


def _acquisitions(images: Sequence[_PlateImage], shape: tuple[int, ...], names: Sequence[str]) -> xr.Variable | None:
    """Return the runs that took the images, along what they differ by; None where no image names one."""
    if all(image.acquisition is None for image in images):
        return None
    runs = np.full(shape, NO_ACQUISITION)
    by_field: dict[str, set[int]] = {}
    for image in images:
        run = NO_ACQUISITION if image.acquisition is None else image.acquisition
        runs[(*image.index, names.index(image.field))] = run
        by_field.setdefault(image.field, set()).add(run)
    if all(len(found) == 1 for found in by_field.values()):
        return xr.Variable("field", np.array([by_field[name].pop() for name in names]))
    return xr.Variable(PLACES[:3], runs)


def _fill_value(asked: Any, dtype: np.dtype[Any]) -> Any:
    """Return what stands where nothing is, as a scalar of the images' dtype.

    Raises
    ------
    PlateError
        If the dtype does not hold what is asked.
    """
    if asked is None:
        return np.full((), np.nan if dtype.kind in "fc" else 0).astype(dtype)[()]
    with np.errstate(all="ignore"):
        try:
            given = np.asarray(asked)
            filled = given.astype(dtype)
            fits = given.ndim == 0 and (filled == given or (filled != filled and given != given))
        except (TypeError, ValueError, OverflowError):
            fits = False
    if not fits:
        raise PlateError(
            f"fill_value={asked!r} is no value of {dtype}, which the images are of; give another, or convert first: "
            "tree.map_over_datasets(lambda ds: ds.astype(float))"
        )
    return filled[()]


# -- reading many images -----------------------------------------------------------------------------------


class _Stacked(BackendArray):
    """The images of a plate as one array: rows, columns and fields before the images' own axes."""

    __slots__ = ("dtype", "fill_value", "images", "shape")

    def __init__(self, images: Mapping[tuple[int, ...], xr.Variable], shape: tuple[int, ...], fill_value: Any) -> None:
        self.images, self.shape, self.fill_value = images, shape, fill_value
        self.dtype = np.asarray(fill_value).dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """Read the images that are touched, each by a thread."""
        where, inner = key[:3], key[3:]
        numbers = [np.atleast_1d(np.arange(n)[part]) for part, n in zip(where, self.shape, strict=False)]
        sizes = [np.arange(n)[part] for part, n in zip(inner, self.shape[3:], strict=True)]
        pixels = np.full(
            [*map(len, numbers), *(len(picked) for picked in sizes if picked.ndim)], self.fill_value, self.dtype
        )
        rows, columns, fields = numbers
        asked = {}
        for i, j, k in np.ndindex(len(rows), len(columns), len(fields)):
            image = self.images.get((int(rows[i]), int(columns[j]), int(fields[k])))
            if image is not None:
                asked[i, j, k] = image

        def read(place: tuple[int, int, int]) -> None:
            pixels[place] = _pixels(asked[place], inner)

        if len(asked) == 1:  # as for each task of dask, which has threads of its own
            read(next(iter(asked)))
        elif asked:
            with ThreadPoolExecutor(_threads_for(next(iter(asked.values())))) as pool:
                list(pool.map(read, asked))
        found: NDArray[Any] = pixels[
            tuple(slice(None) if isinstance(part, slice | np.ndarray) else 0 for part in where)
        ]
        return found


def _pixels(image: xr.Variable, key: tuple[Any, ...]) -> NDArray[Any]:
    """Read a part of an image in this thread, where that is possible: by chunks, and without zarr's event loop."""
    box = [_stretch(part, size) for part, size in zip(key, image.shape, strict=True)]
    stretches = [part for part in box if part is not None]
    source = None
    if len(stretches) == len(key):
        source = direct_source(xr.DataArray(image), [str(dim) for dim in image.dims])
    if source is None:
        found: NDArray[Any] = image[key].values
        return found
    pixels = source.read(tuple(stretches))[tuple(slice(None) if isinstance(part, slice) else 0 for part in key)]
    if (opened := opened_array(image._data)) is not None:
        opened.presence.check_folder()
    return pixels


def _stretch(part: Any, size: int) -> slice | None:
    """Return what a part of an axis is as a stretch of neighbours, at least one; None if it is none."""
    if isinstance(part, int | np.integer):
        return slice(int(part), int(part) + 1)
    if not isinstance(part, slice):
        return None
    start, stop, step = part.indices(size)
    return slice(start, stop) if step == 1 and start < stop else None


def _threads(image: xr.DataTree) -> int:
    """Return by how many threads images of a tree are read."""
    return _threads_for(image.children["0"].dataset.variables[VARIABLE])


def _threads_for(image: xr.Variable) -> int:
    """Return by how many threads images like this one are read: one a core, or as many as a remote store answers."""
    return max(OPEN_AT_ONCE if _comes_from_afar(image._data) else 1, Resources.asked(None, None).workers)


def _comes_from_afar(data: Any) -> bool:
    """Whether what is lazily indexed comes from a store that is neither on this machine's disks nor in memory."""
    opened = opened_array(data)
    return opened is not None and is_remote(opened._array.store)


# -- the picture -------------------------------------------------------------------------------------------


def _tile_side(proportions: tuple[float, float], counts: tuple[int, int], max_size: int) -> int:
    """Return the pixels of the longer side of each image.

    Raises
    ------
    LevelError
        If that is less than one.
    """
    if isinstance(max_size, bool) or not isinstance(max_size, int | np.integer):
        raise LevelError(f"max_size is {max_size!r}; give a number of pixels: overview(max_size=1024)")
    longer = max(proportions)
    sides = [
        int((max_size - GAP_WIDTH * (count - 1)) / count * longer / length)
        for count, length in zip(counts, proportions, strict=True)
    ]
    if min(sides) < 1:
        raise LevelError(
            f"a picture of {max_size} pixels has not one for each of {counts[0]} × {counts[1]} wells; "
            f"give max_size={2 * max(counts)} or more"
        )
    return min(sides)


def _extent(tile: tuple[int, int], counts: tuple[int, int]) -> tuple[int, int]:
    height, width = (n * count + GAP_WIDTH * (count - 1) for n, count in zip(tile, counts, strict=True))
    return height, width


def _tile(picture: NDArray[np.uint8], row: int, column: int, tile: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the part of the picture that shows a well."""
    top, left = row * (tile[0] + GAP_WIDTH), column * (tile[1] + GAP_WIDTH)
    return picture[top : top + tile[0], left : left + tile[1]]
