"""Levels of a tree: found, chosen by resolution or size, and cropped together so that they stay nested."""

from __future__ import annotations

import difflib
import math
import shlex
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr import spec
from xomezarr.errors import (
    AxisError,
    CoordinateSystemError,
    LabelError,
    LabelWarning,
    LevelError,
    OmeZarrError,
    OmeZarrWarning,
    collecting,
    raise_all,
    told,
    warn,
)
from xomezarr.fields import KEPT, Kept
from xomezarr.grid import Grid
from xomezarr.indexes import Askew, SystemIndex, kept_of, rows_beside, skews_of, without
from xomezarr.indexes import systems_of as matrices_of
from xomezarr.lazy import zarr
from xomezarr.model import Axis, Image, LabelImage, Level
from xomezarr.plan import readable_bytes
from xomezarr.planning import group_attrs, stored_metadata
from xomezarr.pyramid import VARIABLE, name_of, own_attrs, to_tree
from xomezarr.resources import bytes_asked
from xomezarr.systems import CoordinateSystems, View, adopted, check_place, coordinate_systems, transform_to, view
from xomezarr.transforms import Transform
from xomezarr.units import symbol
from xomezarr.wells import is_number

__all__ = [
    "at",
    "check_image",
    "images",
    "in_system",
    "isel",
    "label_metadata",
    "labels",
    "level",
    "levels",
    "sel",
    "systems_of",
    "transform",
    "without_place",
]

ROUNDING = 1e-6
"""Ratios of scales that are this near to a whole number of pixels are one."""


def levels(tree: xr.DataTree) -> tuple[xr.DataArray, ...]:
    """Return the resolution levels of an image, finest first, each with the image's own name.

    Raises
    ------
    LevelError
        If the tree has no children ``"0"``, ``"1"``, … with a variable ``image``; where it is that of a plate or a
        collection, the message names one of its images.
    """
    if not isinstance(tree, xr.DataTree):
        raise LevelError(f"{type(tree).__name__} is not a DataTree; make one of an array: da.omezarr.pyramid()")
    found = []
    for node, variable in _level_nodes(tree):
        ds = node.to_dataset()
        found.append(ds[variable].rename(name_of(ds, variable)))
    if not found:
        if below := images(tree):
            many = f"{len(below)} images" if len(below) > 1 else "an image"
            raise LevelError.mended(
                f"the tree has no levels of an image of its own, and holds {many}",
                python=f"take one of them: tree[{below[0]!r}]",
                command=f"give the path of one of them: {shlex.quote(f'STORE/{below[0]}')}",
            )
        raise LevelError(
            f"the tree has no levels of an image: its children are {tuple(tree.children)}; "
            'open one with xr.open_datatree(store, engine="omezarr"), or make one with da.omezarr.pyramid()'
        )
    return tuple(found)


def _level_nodes(tree: xr.DataTree) -> list[tuple[xr.DataTree, str]]:
    """Return the nodes of an image's levels, finest first, each with its variable; none where these are no image's."""
    numbers = sorted(int(name) for name in tree.children if is_number(name))
    found: list[tuple[xr.DataTree, str]] = []
    for number in numbers:
        node = tree.children[str(number)]
        if (variable := variable_of(node.dataset)) is None:
            break
        found.append((node, variable))
    return found if numbers[: len(found)] == list(range(len(found))) else []


def images(tree: xr.DataTree) -> list[str]:
    """Return the paths of the images that a tree holds below itself, and not of their labels.

    The tree of an image holds none.
    """
    paths = []
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        first = node.children.get("0")
        if first is not None and variable_of(first.dataset) is not None:
            paths.append(node.path.removeprefix(tree.path).strip("/"))
        else:
            nodes += [*node.children.values()][::-1]
    return [path for path in paths if path]


def check_image(image: xr.DataTree) -> None:
    """Make sure that an image's tree holds nothing that is not written: it has levels, labels, and their levels.

    Raises
    ------
    LevelError
        If there is something else in it: variables beside those of levels, attributes that no group has, other nodes.
    """
    faults: list[OmeZarrError] = []
    of_labels = {f"labels/{name}": node for name, node in labels(image).items()}
    levels = {
        f"{path}/{node.name}".strip("/"): variable
        for path, own in {"": image, **of_labels}.items()
        for node, variable in _level_nodes(own)
    }
    known = {"", "labels", *of_labels, *levels}
    nodes = [("", image)]
    while nodes:
        path, node = nodes.pop()
        if path not in known and not any(other.startswith(f"{path}/") for other in known):
            if any(below.variables or below.attrs for below in node.subtree):
                above, _, name = path.rpartition("/")
                faults.append(
                    LevelError(
                        f"the node {path!r} belongs to no level and to no labels of the image, and there is no place "
                        f"for it in the store; take it out: del {_shown('image', above)}[{name!r}]"
                    )
                )
            continue
        ds = node.to_dataset(inherit=False)
        if path in levels:
            variables, attrs = [*_beside(ds, levels[path])], [*own_attrs(ds)]
        else:
            # an index of a node is that of all below it
            below = f"{path}/" if path else ""
            held_by = [image[place].dataset[name] for place, name in levels.items() if place.startswith(below)]
            dims = {dim for level in held_by for dim in level.dims}
            variables = [
                name for name, held in ds.variables.items() if not (name in ds.xindexes and dims >= {*held.dims})
            ]
            attrs = [] if path == "" or path in of_labels else [*_attrs_between(node, path, of_labels)]
        beside = "its pixels" if path in levels else "its levels"
        faults += without_place("image", path, beside, variables, attrs)
        nodes += [(f"{path}/{child.name}".strip("/"), child) for child in node.children.values()][::-1]
    raise_all(faults, "the tree cannot be written as it is")


def _beside(ds: xr.Dataset, variable: str) -> Iterator[Hashable]:
    """Yield the variables of a level that are neither its pixels nor coordinates of these."""
    dims = {*ds.variables[variable].dims}
    for name, held in ds.variables.items():
        if name != variable and not (name in ds.coords and dims.issuperset(held.dims)):
            yield name


def _attrs_between(node: xr.DataTree, path: str, of_labels: Mapping[str, xr.DataTree]) -> Iterator[Hashable]:
    """Yield the attributes that are not written of a node between an image and its labels: but of ``labels``, all."""
    if path != "labels":
        yield from node.attrs
    elif not of_labels:
        yield from spec.others(group_attrs(node), "labels")


def without_place(
    tree: str, path: str, beside: str, variables: Sequence[Hashable], attrs: Sequence[Hashable]
) -> list[OmeZarrError]:
    """Return what is wrong with a node that holds what is not written.

    Parameters
    ----------
    tree
        What the tree is called in the call that helps.
    path
        Of the node.
    beside
        What it holds that is written.
    variables, attrs
        Names of what is not.
    """
    where, node = (f"the node {path!r}" if path else f"the {tree}"), _shown(tree, path)
    cures = {
        "variables": f"{node}.dataset = {node}.to_dataset().drop_vars({list(variables)!r})",
        "attributes": f"[{node}.attrs.pop(name) for name in {list(attrs)!r}]",
    }
    return [
        LevelError(
            f"{where} has the {what} {', '.join(map(repr, held))} beside {beside}, and there is no place for them in "
            f"the store; take them out: {cures[what]}"
        )
        for what, held in {"variables": variables, "attributes": attrs}.items()
        if held
    ]


def _shown(tree: str, path: str) -> str:
    return f"{tree}[{path!r}]" if path else tree


def variable_of(ds: xr.Dataset) -> str | None:
    """Return the name of the variable that holds a level's pixels: ``image``, or the only one, as that of labels."""
    if VARIABLE in ds:
        return VARIABLE
    return str(next(iter(ds.data_vars))) if len(ds.data_vars) == 1 else None


def labels(tree: xr.DataTree) -> dict[str, xr.DataTree]:
    """Return the labels of an image by name, each a tree of levels like the image's own.

    Names are paths below ``labels``.
    """
    if not isinstance(tree, xr.DataTree):
        raise LevelError(
            f"{type(tree).__name__} is not a DataTree; open one: xr.open_datatree(store, engine='omezarr')"
        )
    group = tree.children.get("labels")
    if group is None:
        return {}
    return {
        node.path.removeprefix(group.path).strip("/"): node
        for node in group.subtree
        if node is not group and "0" in node.children and variable_of(node.children["0"].to_dataset()) is not None
    }


def level(tree: xr.DataTree, index: int) -> xr.DataArray:
    """Return one resolution level; 0 is the finest, -1 the coarsest.

    Raises
    ------
    LevelError
        If there is no such level.
    """
    return _level(tree, index)


def _level(tree: xr.DataTree, index: int) -> xr.DataArray:
    found = levels(tree)
    if isinstance(index, bool) or not hasattr(index, "__index__"):
        number = str(index) if str(index) in map(str, range(len(found))) else 0
        raise LevelError(f"{index!r} is no number of a level; give one: level({number})")
    if not -len(found) <= index < len(found):
        last = len(found) - 1
        there = f"{len(found)}, 0 to {last}" if last else "1"
        raise LevelError(f"there is no level {index!r}; the image has {there}: level({last if index > 0 else 0})")
    return found[index]


def at(
    tree: xr.DataTree, *, scale: Mapping[str, float] | None = None, max_bytes: int | str | None = None
) -> xr.DataArray:
    """Choose a level by resolution or by size.

    Parameters
    ----------
    tree
        The image.
    scale
        The coarsest level at least as fine as this along each named dimension is returned, in the coordinates' unit.
        Where none is as fine, it is level 0, with a warning that names its scale.
    max_bytes
        The finest level of no more decoded bytes is returned: a number, or a text such as ``"256 MiB"``. With `scale`,
        the coarser of the two.

    Raises
    ------
    LevelError
        If neither is given, a dimension has no scale, or no level is small enough.

    Warns
    -----
    OmeZarrWarning
        If no level is as fine as `scale`.
    """
    found = levels(tree)
    if scale is None and max_bytes is None:
        raise LevelError('nothing is asked of the level; give at(scale={"x": 2.0}) or at(max_bytes="256 MiB")')
    chosen = 0 if scale is None else _fine_enough(found, scale)
    if max_bytes is not None:
        most = _most_bytes(max_bytes)
        small = [index for index, da in enumerate(found) if da.nbytes <= most]
        if not small:
            raise LevelError(
                f"no level has at most {readable_bytes(most)}: the coarsest, {len(found) - 1}, has "
                f"{readable_bytes(found[-1].nbytes)}; take it, level(-1), or crop the image first: tree.omezarr.sel(…)"
            )
        chosen = max(chosen, min(small))
    return found[chosen]


def _most_bytes(asked: object) -> float:
    # a number may have been computed, and be no whole one
    if isinstance(asked, float | np.floating) and asked > 0:
        return float(asked)
    try:
        return bytes_asked(asked)
    except ValueError:
        raise LevelError(f'max_bytes is {asked!r}; give bytes, or a text: at(max_bytes="256 MiB")') from None


def _fine_enough(found: Sequence[xr.DataArray], scale: Mapping[str, float]) -> int:
    """Return which level is the coarsest at least as fine as asked; the finest, with a warning, where none is."""
    base = found[0]
    if not isinstance(scale, Mapping):
        raise LevelError(f'scale is {scale!r}; say of which dimension: at(scale={{"x": {scale!r}}})')
    for dim, asked in scale.items():
        if dim not in base.dims:
            raise LevelError(
                f"scale names dimension {dim!r}, which the image lacks; it has {base.dims}: "
                f"at(scale={{{str(base.dims[-1])!r}: …}})"
            )
        if not isinstance(asked, int | float | np.number) or not asked > 0:
            raise LevelError(f"scale[{dim!r}] is {asked!r}; give a positive number of units per pixel")
    fine = [
        index
        for index, da in enumerate(found)
        if all(_scale(da, dim, base) <= asked * (1 + ROUNDING) for dim, asked in scale.items())
    ]
    if not fine:
        finest = {dim: f"{_scale(base, dim, base):.10g}" for dim in scale}
        there = ", ".join(f"{number}{_unit_beside(base, dim)} along {dim!r}" for dim, number in finest.items())
        text = ", ".join(f"{dim!r}: {number}" for dim, number in finest.items())
        warn(
            f"no level is as fine as {dict(scale)!r}; level 0, the finest, has a scale of {there}, and is returned: "
            f"ask for no finer one, at(scale={{{text}}}), or take it: level(0)",
            OmeZarrWarning,
        )
    return max(fine, default=0)


def _unit_beside(base: xr.DataArray, dim: Hashable) -> str:
    """Return the unit of a dimension's coordinate, as it stands behind a number."""
    unit = base[dim].attrs.get("units") if dim in base.coords else None
    return f" {symbol(unit)}" if isinstance(unit, str) and unit.strip() else ""


def sel(
    tree: xr.DataTree,
    indexers: Mapping[Hashable, Any] | None = None,
    *,
    method: str | None = None,
    **indexers_kwargs: Any,
) -> xr.DataTree:
    """Crop all levels to the same physical box.

    Parameters
    ----------
    tree
        The image.
    indexers, **indexers_kwargs
        By dimension, as for `xarray.DataArray.sel`, in coordinates of level 0. In dimensions that shrink from level to
        level: a slice, which is widened to whole pixels of the coarsest level so that the levels stay nested, or one
        position, which picks the pixel of each level that contains it. In others: whatever `sel` takes. A position in a
        system in which the image lies askew, by all its coordinates, picks what contains the nearest pixel of level 0.
    method
        As for `xarray.DataArray.sel`: ``"nearest"`` for positions that lie between pixels.

    Raises
    ------
    AxisError
        If the image has no such dimension.
    LevelError
        If nothing lies in the box, or a list is given for a dimension that shrinks.
    """
    asked = dict([*(indexers or {}).items(), *indexers_kwargs.items()])
    base = levels(tree)[0]
    positions: dict[Hashable, Any] = {}
    faults: list[OmeZarrError] = []
    askew = {name: index for name in asked if isinstance(index := base.xindexes.get(name), SystemIndex)}
    for index in dict.fromkeys(askew.values()):
        with collecting(faults):
            found = index.sel({name: asked[name] for name, own in askew.items() if own is index}, method=method)
            if many := [str(name) for name, own in askew.items() if own is index and np.ndim(asked[name])]:
                raise LevelError(f"{many[0]} is more than one position; give a number, or take them from a level")
            positions |= {dim: pixel.values for dim, pixel in found.dim_indexers.items()}
    for dim, indexer in asked.items():
        if dim in askew:
            continue
        if dim not in base.dims:
            faults.append(_no_dimension("sel", dim, base))
            continue
        with collecting(faults):
            positions[dim] = _selected(base, dim, indexer, method)
    raise_all(faults, "the tree cannot be cropped")
    return _crop(tree, positions, asked)


def isel(tree: xr.DataTree, indexers: Mapping[Hashable, Any] | None = None, **indexers_kwargs: Any) -> xr.DataTree:
    """Crop all levels to the same box of level-0 pixels; see `sel`.

    Parameters
    ----------
    tree
        The image.
    indexers, **indexers_kwargs
        By dimension, as for `xarray.DataArray.isel`, in pixels of level 0.

    Raises
    ------
    AxisError
        If the image has no such dimension.
    LevelError
        If nothing lies in the box, an index is out of range, or a list is given for a dimension that shrinks.
    """
    asked = dict([*(indexers or {}).items(), *indexers_kwargs.items()])
    base = levels(tree)[0]
    positions = {}
    faults: list[OmeZarrError] = []
    for dim, indexer in asked.items():
        if dim not in base.dims:
            faults.append(_no_dimension("isel", dim, base))
            continue
        there = f"dimension {dim!r} has the indices 0 … {base.sizes[dim] - 1}"
        try:
            positions[dim] = np.arange(base.sizes[dim])[indexer]
        except IndexError:
            named = isinstance(indexer, str)
            cure = (
                f"what has a name is selected by it: sel({dim}={indexer!r})"
                if named
                else f"give some of them: isel({dim}=0)"
            )
            wrong = "is no number" if named else "is outside"
            faults.append(LevelError(f"index {indexer!r} {wrong}: {there}; {cure}"))
            continue
        if np.size(positions[dim]) == 0:
            whole = f"isel({dim}=slice(0, {base.sizes[dim]}))"
            faults.append(LevelError(f"nothing lies at {indexer!r}: {there}, all of which are {whole}"))
    raise_all(faults, "the tree cannot be cropped")
    return _crop(tree, positions, asked)


def _no_dimension(call: str, dim: Hashable, base: xr.DataArray) -> AxisError:
    dims = [str(one) for one in base.dims]
    alike = [one for one in dims if one.lower() == str(dim).lower()] or difflib.get_close_matches(str(dim), dims, n=1)
    return AxisError(
        f"{call} names dimension {dim!r}, which the image lacks; it has {base.dims}: "
        + (f"did you mean {call}({alike[0]}=…)?" if alike else f"{call}({dims[-1]}=…)")
    )


def _selected(base: xr.DataArray, dim: Hashable, indexer: Any, method: str | None) -> NDArray[Any]:
    """Return the numbers of the pixels of level 0 that `sel` asks for along a dimension, which are some.

    Raises
    ------
    LevelError
        If there are none, or a name that several have is asked for.
    """
    coords = {dim: base[dim]} if dim in base.coords else {}
    numbers = xr.DataArray(np.arange(base.sizes[dim]), dims=(dim,), coords=coords)
    names = base[dim].values if dim in base.coords and base[dim].dtype.kind in "OUST" else None
    if names is not None:
        _check_names(dim, [*map(str, names)], indexer)
    how = None if isinstance(indexer, slice) or names is not None else method
    try:
        found: NDArray[Any] = numbers.sel({dim: indexer}, method=how).values
    except (KeyError, IndexError, TypeError, ValueError):
        raise LevelError(
            f"dimension {dim!r} has no coordinate {_shown_indexer(indexer)}; {_extent(base, dim)}; give "
            + ("one of them" if names is not None else f"such values, sel({_around(base, dim)})")
            + ("" if isinstance(indexer, slice) or names is not None else ', or sel(…, method="nearest")')
        ) from None
    if found.size == 0:
        start, stop = (indexer.start, indexer.stop) if isinstance(indexer, slice) else (None, None)
        if _runs_backwards(start, stop):
            raise LevelError(
                f"nothing lies at {_shown_indexer(indexer)} along dimension {dim!r}, which ascends: "
                f"{_extent(base, dim)}; give the lower end first: sel({dim}=slice({stop}, {start}))"
            )
        raise LevelError(
            f"nothing lies at {_shown_indexer(indexer)} along dimension {dim!r}: {_extent(base, dim)}; give a slice "
            f"that meets this: sel({_around(base, dim)})"
        )
    return found


def _check_names(dim: Hashable, names: Sequence[str], indexer: Any) -> None:
    """Raise where a name is asked for that there is not, or that several have."""
    asked = [indexer] if isinstance(indexer, str | np.str_) else np.asarray(indexer).ravel().tolist()
    if isinstance(indexer, slice) or not all(isinstance(name, str) for name in asked):
        return
    for name in map(str, asked):
        where = [index for index, held in enumerate(names) if held == name]
        if not where:
            there = told([*dict.fromkeys(map(repr, names))], MOST_NAMES)
            raise LevelError(f"dimension {dim!r} has no {name!r}; it has {there}: sel({dim}={names[0]!r})")
        if len(where) > 1:
            raise LevelError(
                f"dimension {dim!r} has {name!r} at the indices {', '.join(map(str, where))}; say which: "
                f"isel({dim}={where[0]}), or name each by itself: assign_channels(…)"
            )


MOST_NAMES = 20
"""Names, as of channels, that a message tells where one is asked for that there is not."""


def _runs_backwards(start: Any, stop: Any) -> bool:
    try:
        return bool(start is not None and stop is not None and start > stop)
    except TypeError:
        return False


def _shown_indexer(indexer: Any) -> str:
    """Return what was asked for as it was written.

    >>> _shown_indexer(slice(5, 1)), _shown_indexer(0.25)
    ('slice(5, 1)', '0.25')
    """
    if isinstance(indexer, slice):
        ends = [indexer.start, indexer.stop, *([] if indexer.step is None else [indexer.step])]
        return f"slice({', '.join(map(_shown_indexer, ends))})"
    return str(indexer) if isinstance(indexer, np.generic) else repr(indexer)


def _around(base: xr.DataArray, dim: Hashable) -> str:
    """Return a call's part that asks for all of a dimension."""
    first, last = (0, base.sizes[dim] - 1) if dim not in base.coords else (base[dim].values[0], base[dim].values[-1])
    quoted = (f"{str(end)!r}" if base[dim].dtype.kind in "mMOUST" else f"{end}" for end in (first, last))
    return f"{dim}=slice({', '.join(quoted)})"


def in_system(tree: xr.DataTree, name: str) -> xr.DataTree:
    """Return an image, with its labels, as it lies in another of its coordinate systems; see `systems.view`.

    Parameters
    ----------
    tree
        The image, as it was opened, or cropped.
    name
        Of the system: one of `coordinate_systems`.

    Raises
    ------
    CoordinateSystemError
        If there is no such system, nothing leads there, or it is no affine transformation that does; or if the
        coordinates of levels are not what they were.
    """
    image = _known(tree)
    result = _seen(tree, image, view(image, name, _held(tree, name), group=_arrays(tree)))
    for label, node in labels(tree).items():
        known = own = _known(node)
        if borrowed := name not in coordinate_systems(own.multiscale):
            own = adopted(own, image) or own
        try:
            arrays = _arrays(tree if borrowed else node)
            result[f"labels/{label}"] = _seen(node, known, view(own, name, _held(node, name), group=arrays))
        except OmeZarrError as error:
            warn(f"the labels {label!r} cannot be seen there, and are left out: {error}", LabelWarning)
    if "labels" in result.children:
        result["labels"].attrs = dict(tree["labels"].attrs)
    return result


def systems_of(tree: xr.DataTree) -> CoordinateSystems:
    """Return the coordinate systems of an image, by name; `CoordinateSystems.intrinsic` is that of its levels.

    Raises
    ------
    CoordinateSystemError
        If the tree was not read from a store.
    """
    return coordinate_systems(_known(tree).multiscale)


def transform(tree: xr.DataTree, system: str, *, source: str | None = None, level: int | None = None) -> Transform:
    """Return what leads to a coordinate system of an image; see `systems.transform_to`.

    Raises
    ------
    CoordinateSystemError
        If there is no such system, or nothing leads there; or if the level does not lie any more where it did.
    LevelError
        If the level is gone.
    """
    multiscale = _known(tree).multiscale
    found = transform_to(multiscale, system, source=source, level=level, group=_arrays(tree))
    if level is not None:
        number = range(len(multiscale.levels))[level]
        check_place(_level(tree, number), multiscale, number)
    return found


def _arrays(tree: xr.DataTree) -> zarr.Group | None:
    """Return the group in which arrays of an image's transformations lie, if it is known."""
    kept: Kept | None = tree.encoding.get(KEPT)
    return None if kept is None else kept.group


def _known(tree: xr.DataTree) -> Image:
    """Return what is said of an image that was read from a store."""
    levels(tree)
    if (image := stored_metadata(tree)) is None:
        raise CoordinateSystemError(
            "the tree was not read from a store, which names its coordinate systems; write it first, and take what "
            'that returns: tree.omezarr.to_zarr(store, version="0.6")'
        )
    return image


def _held(tree: xr.DataTree, system: str) -> dict[str, Askew]:
    """Return how an image has the coordinates of a system, if it has any."""
    base = level(tree, 0)
    names = {axis: name for skew in skews_of(base) if skew.system.name == system for axis, name in skew.names.items()}
    if not names:
        return {}
    kept = kept_of(base)
    rows = rows_beside(base, _known(tree).multiscale.levels[0].grid({str(dim): n for dim, n in base.sizes.items()}))
    own = {name: kept[name] for name in names.values()}
    return {system: Askew(names, own, {name: row for name, row in rows.items() if name in own})}


def _seen(tree: xr.DataTree, known: Image, one: View) -> xr.DataTree:
    """Return an image, of which something is known, as it is viewed."""
    # coordinates of other systems go, as where the image is opened in this one
    made = [one.level(without(da, [*kept_of(da)]), index) for index, da in enumerate(levels(tree))]
    attrs = group_attrs(tree) if one.image == known else spec.dump(one.image, spec.written_as(one.image.version))
    variable = variable_of(tree.children["0"].to_dataset()) or VARIABLE
    return to_tree(made, attrs=attrs, encoding=dict(tree.encoding), variable=variable)


def _crop(tree: xr.DataTree, positions: Mapping[Hashable, Any], asked: Mapping[Hashable, Any]) -> xr.DataTree:
    """Cut level-0 pixel numbers out of every level."""
    found = levels(tree)
    base, coarsest = found[0], found[-1]
    shrinking = {dim for dim in base.dims if any(da.sizes[dim] != base.sizes[dim] for da in found)}
    cropped, cuts = [], []
    for da in found:
        indexers: dict[Hashable, Any] = {}
        for dim, pixels in positions.items():
            numbers = np.asarray(pixels)
            if dim not in shrinking:
                indexers[dim] = numbers.item() if numbers.ndim == 0 else _compact(numbers)
                continue
            factor, coarse = _factor(base, da, dim), _factor(base, coarsest, dim)
            if numbers.ndim == 0:
                indexers[dim] = min(int(numbers / factor + ROUNDING), da.sizes[dim] - 1)
                continue
            if not isinstance(asked[dim], slice) or (numbers.size > 1 and (np.diff(numbers) != 1).any()):
                raise LevelError(
                    f"{asked[dim]!r} does not pick neighbouring pixels of dimension {dim!r}, which shrinks from level "
                    f"to level; give a slice without a step, such as {dim}=slice(a, b)"
                )
            # out to whole pixels of the coarsest level, from there to pixels of this one
            start = math.floor(numbers[0] / coarse + ROUNDING) * coarse
            stop = math.ceil((numbers[-1] + 1) / coarse - ROUNDING) * coarse
            first = min(math.floor(start / factor + ROUNDING), da.sizes[dim] - 1)
            indexers[dim] = slice(first, max(min(math.ceil(stop / factor - ROUNDING), da.sizes[dim]), first + 1))
        cropped.append(da.isel(indexers))
        cuts.append(indexers)
    result = to_tree(cropped, attrs=_restated(tree, cuts, cropped[0]), encoding=_kept_encoding(tree))
    for name, node in labels(tree).items():
        if (made := _cropped_labels(node, name, found, cuts)) is not None:
            result[f"labels/{name}"] = made
    return result


def _cropped_labels(
    node: xr.DataTree, name: str, image: Sequence[xr.DataArray], cuts: Sequence[Mapping[Hashable, Any]]
) -> xr.DataTree | None:
    """Cut labels as their image was; None, with a warning, for labels whose levels are not those of the image."""
    own = levels(node)
    shared = [dim for dim in own[0].dims if dim in image[0].dims and own[0].sizes[dim] == image[0].sizes[dim]]
    if len(own) != len(image) or any(
        label.sizes[dim] != level.sizes[dim] for label, level in zip(own, image, strict=False) for dim in shared
    ):
        warn(
            f"the labels {name!r} do not have the levels of their image, and are left out of what is cropped; "
            f"crop them by themselves: tree['labels/{name}'].omezarr.sel(…)",
            LabelWarning,
        )
        return None
    own_cuts = [{dim: part for dim, part in cut.items() if dim in shared} for cut in cuts]
    cropped = [level.isel(cut) for level, cut in zip(own, own_cuts, strict=True)]
    variable = variable_of(node.children["0"].to_dataset()) or VARIABLE
    return to_tree(
        cropped, attrs=_restated(node, own_cuts, cropped[0]), encoding=_kept_encoding(node), variable=variable
    )


def label_metadata(tree: xr.DataTree) -> LabelImage:
    """Return what the store says of an image of labels beside its pixels; nothing, where it lists it and says no more.

    Raises
    ------
    LabelError
        If the tree is none that was opened from a store.
    """
    known = stored_metadata(tree) if isinstance(tree, xr.DataTree) else None
    if known is not None and known.label is not None:
        return known.label
    if known is not None and tree.parent is not None and tree.parent.name == "labels":
        return LabelImage()
    names = list(labels(tree))
    cure = f"take tree[{f'labels/{names[0]}'!r}]" if names else "open labels: xr.open_datatree(store, group='labels/…')"
    raise LabelError(f"the tree holds no labels that were read from a store; {cure}")


def _restated(tree: xr.DataTree, cuts: Sequence[Mapping[Hashable, Any]], base: xr.DataArray) -> dict[str, Any]:
    """Return the group's attributes with OME metadata that are true of the cropped levels, of which `base` is one."""
    attrs, image = group_attrs(tree), stored_metadata(tree)
    if image is None:
        return attrs
    if len(image.multiscale.levels) != len(cuts):
        return spec.without_image(attrs)
    multiscale = image.multiscale
    taken = {axis.name: cut for axis in multiscale.axes if isinstance(cut := cuts[0].get(axis.name), int)}
    axes = tuple(axis for axis in multiscale.axes if axis.name not in taken)
    systems, left_out = spec.without_axes(multiscale, taken)
    levels = tuple(_cut(level, axes, cut) for level, cut in zip(multiscale.levels, cuts, strict=True))
    cropped = replace(multiscale, axes=axes, levels=levels, systems=systems)
    if systems is not None and (carried := [skew for skew in skews_of(base) if skew.system.name in left_out]):
        # what is left of them is in the coordinates
        grids = levels[0].grid({str(dim): size for dim, size in base.sizes.items()})
        for system, matrix in matrices_of(base, axes, grids):
            with suppress(CoordinateSystemError):
                cropped = spec.with_system(cropped, system, matrix)
        left_out = tuple(name for name in left_out if name not in {skew.system.name for skew in carried})
    if left_out:
        slices = ", ".join(f"{dim}=slice({number}, {number + 1})" for dim, number in taken.items())
        warn(
            f"what leads to the coordinate systems {told(list(map(repr, left_out)))} of the image"
            f"{f' {multiscale.name!r}' if multiscale.name else ''} cannot do without {told(list(map(repr, taken)))}, "
            f"and they are left out of what is cropped; keep the dimension to keep them: isel({slices})",
            OmeZarrWarning,
        )
    channels = image.channels
    channel = next((axis.name for axis in multiscale.axes if axis.type == "channel"), None)
    if channels is not None and channel in cuts[0]:
        numbers = np.arange(len(channels))[cuts[0][channel]]
        channels = tuple(channels[number] for number in numbers) if numbers.ndim else None
    return spec.dump(replace(image, multiscales=(cropped,), channels=channels), spec.written_as(image.version))


def _cut(level: Level, axes: Sequence[Axis], cut: Mapping[Hashable, Any]) -> Level:
    """Move a level's origin to the first pixel that is left."""
    scale = {axis.name: level.scale[axis.name] for axis in axes}
    translation = {}
    for dim, kind in ((axis.name, axis.type) for axis in axes):
        # channels have no place, and are counted anew
        first = cut[dim].start if isinstance(cut.get(dim), slice) and kind != "channel" else 0
        origin = level.translation[dim]
        translation[dim] = Grid(level.scale[dim], origin, 1).position(first) if first else origin
    return replace(level, scale=scale, translation=translation)


def _kept_encoding(tree: xr.DataTree) -> dict[str, Any]:
    """Return how the tree was made, but not from where: the store holds other pixels than these."""
    return {key: value for key, value in tree.encoding.items() if key != "source"}


def _compact(numbers: Any) -> Any:
    """Return neighbouring pixels as a slice, which stays lazy."""
    if numbers.size == 1 or (np.diff(numbers) == 1).all():
        return slice(int(numbers[0]), int(numbers[-1]) + 1)
    return numbers


def _factor(base: xr.DataArray, da: xr.DataArray, dim: Hashable) -> float:
    """Return how many level-0 pixels one pixel of a level spans."""
    if da.sizes[dim] == base.sizes[dim]:
        return 1.0
    return _scale(da, dim, base) / _scale(base, dim, base)


def _scale(da: xr.DataArray, dim: Hashable, base: xr.DataArray) -> float:
    """Return the spacing of a level's pixels along a dimension."""
    if dim not in da.coords:
        return 1.0 if da.sizes[dim] == base.sizes[dim] else base.sizes[dim] / da.sizes[dim]
    remembered = da[dim].attrs.get("scale")
    if da.sizes[dim] > 1 and da[dim].dtype.kind in "iuf":
        return float(da[dim][-1] - da[dim][0]) / (da.sizes[dim] - 1)
    if isinstance(remembered, int | float):
        return float(remembered)
    if da.sizes[dim] > 1 and da[dim].dtype.kind in "mM":
        return float((da[dim].values[-1] - da[dim].values[0]) / np.timedelta64(1, "ns")) / 1e9 / (da.sizes[dim] - 1)
    raise LevelError(f"dimension {dim!r} has no scale; give it one: assign_grid(scale={{{dim!r}: 1.0}})")


def _extent(base: xr.DataArray, dim: Hashable) -> str:
    """Say which coordinates a dimension has."""
    if dim not in base.coords:
        return f"it has the indices 0 … {base.sizes[dim] - 1}"
    values = base[dim].values
    if values.dtype.kind in "OUST":
        return f"it has {told([*dict.fromkeys(map(repr, values.tolist()))], MOST_NAMES)}"
    return f"it runs from {values[0]} to {values[-1]}{_unit_beside(base, dim)}"
