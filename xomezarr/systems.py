"""The coordinate systems of an image: which there are, what leads to them, and the image as it lies in one of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, override

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from xomezarr import spec
from xomezarr.coords import AXIS_TYPES, Dimension, dequantify, describe, file_order
from xomezarr.errors import CoordinateSystemError, OmeZarrError, TransformError, UnitError, raise_all
from xomezarr.fields import reading
from xomezarr.grid import REGULAR_WITHIN, Grid
from xomezarr.indexes import Askew, askew, attached, check_rank, coordinate_names, kept_of, skews_of, split, without
from xomezarr.lazy import zarr
from xomezarr.model import Axis, CoordinateSystem, Image, Multiscale
from xomezarr.pyramid import VARIABLE
from xomezarr.routes import Routes
from xomezarr.transforms import Affine, Scale, Transform, Translation, chain, stored
from xomezarr.units import ome_unit, same_unit, symbol

__all__ = [
    "CoordinateSystems",
    "View",
    "adopted",
    "assign_affine",
    "check_place",
    "coordinate_systems",
    "described_axes",
    "held_by",
    "kept_in",
    "transform_to",
    "view",
]


class CoordinateSystems(Mapping[str, CoordinateSystem]):
    """The coordinate systems of an image, by name, in the order of the store.

    >>> yx = (Axis("y", "space", "micrometer"), Axis("x", "space", "micrometer"))
    >>> CoordinateSystems((CoordinateSystem("world", yx), CoordinateSystem("physical", yx)), "physical")
    world: y, x (µm)
    physical: y, x (µm), in which the levels lie
    """

    def __init__(self, systems: Collection[CoordinateSystem], intrinsic: str) -> None:
        self._systems = {system.name: system for system in systems}
        self.intrinsic = intrinsic
        """Name of that in which the levels lie."""

    @override
    def __getitem__(self, name: str) -> CoordinateSystem:
        return self._systems[name]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._systems)

    @override
    def __len__(self) -> int:
        return len(self._systems)

    @override
    def __repr__(self) -> str:
        return "\n".join(
            f"{name}: {described_axes(system.axes)}{', in which the levels lie' * (name == self.intrinsic)}"
            for name, system in self.items()
        )

    def check(self, name: object) -> None:
        """Make sure that there is a system of a name.

        Raises
        ------
        CoordinateSystemError
            If there is not.
        """
        if not isinstance(name, str) or name not in self._systems:
            cure = f"give one of these: {', '.join(map(repr, self))}"
            only = f"give {self.intrinsic!r}, or leave it out: the levels lie in it, and there is no other"
            raise CoordinateSystemError(
                f"the image has no coordinate system {name!r}; {cure if len(self) > 1 else only}"
            )


def described_axes(axes: Collection[Axis]) -> str:
    """Return the names of axes, each with its unit unless the next has the same.

    >>> described_axes([Axis("t", unit="second"), Axis("y", unit="micrometer"), Axis("x", unit="micrometer")])
    't (s), y, x (µm)'
    """
    units = [axis.unit for axis in axes]
    last = [unit != following for unit, following in zip(units, [*units[1:], None], strict=True)]
    return ", ".join(
        f"{axis.name} ({symbol(axis.unit)})" if axis.unit and told else axis.name
        for axis, told in zip(axes, last, strict=True)
    )


def coordinate_systems(multiscale: Multiscale) -> CoordinateSystems:
    """Return the coordinate systems of an image; up to OME-Zarr 0.5 that of its levels alone, called ``"physical"``."""
    found = spec.listed(multiscale)
    levels = multiscale.systems.name if multiscale.systems is not None else found[0].name
    return CoordinateSystems(found, levels)


def transform_to(
    multiscale: Multiscale,
    system: str,
    *,
    source: str | None = None,
    level: int | None = None,
    group: zarr.Group | None = None,
) -> Transform:
    """Return what leads to a coordinate system.

    It may lead through others, and backward along transformations that can be undone.

    Parameters
    ----------
    multiscale
        The image.
    system
        Where it leads to.
    source
        The coordinate system that it leads from; left out, that of the levels.
    level
        A level from whose pixels it leads instead, by their indices in the order of the file.
    group
        Of the image: arrays of transformations are read there when they are needed.

    Raises
    ------
    CoordinateSystemError
        If there is no such system or level, nothing leads there, or two ways do and lead to different places.
    """
    systems = coordinate_systems(multiscale)
    for name in (system, *([source] if source is not None else [])):
        systems.check(name)
    if source is not None and level is not None:
        raise CoordinateSystemError(f"level={level} and source={source!r} are two beginnings; leave one of them out")
    first = [] if level is None else _to_levels_system(multiscale, level)
    return chain([*first, _way(multiscale, systems, source or systems.intrinsic, system, group)])


def _to_levels_system(multiscale: Multiscale, level: int) -> list[Transform]:
    count = len(multiscale.levels)
    if isinstance(level, bool) or not hasattr(level, "__index__") or not -count <= level < count:
        raise CoordinateSystemError(f"there is no level {level!r}; the image has {count}: give 0 … {count - 1}")
    found = multiscale.levels[level]
    scale, translation = (tuple(said[dim] for dim in multiscale.dims) for said in (found.scale, found.translation))
    return [Scale(scale), *([Translation(translation)] if any(translation) else [])]


def _way(
    multiscale: Multiscale, systems: CoordinateSystems, source: str, target: str, group: zarr.Group | None
) -> Transform:
    edges = spec.edges(multiscale)
    if group is not None:
        axes = spec.axes_by_system(multiscale)
        edges = tuple(reading(edge, axes, group) for edge in edges)
    routes = Routes({name: len(system.axes) for name, system in systems.items()}, edges)
    try:
        return routes.transform(source, target)
    except TransformError as error:
        faults = [] if routes.loops else [str(finding) for finding in spec.unread(multiscale)]
        also = f"; what cannot be read does not lead on: {'; '.join(faults)}" if faults else ""
        raise CoordinateSystemError(f"{error}{also}") from None


# -- an image in one of them -------------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """An image as it lies in one of its coordinate systems.

    Parameters
    ----------
    image
        What is said of it there.
    before
        What was said of it.
    placed
        For each dimension that lies elsewhere, or is called otherwise: the axis that it becomes, and by which scale and
        translation.
    askew
        The system, if the image lies askew in it, what leads there, and how its coordinates are called and attributed.
    """

    image: Image
    before: Image
    placed: Mapping[str, tuple[Axis, float, float]] = field(default_factory=dict)
    askew: tuple[CoordinateSystem, NDArray[np.float64], Askew] | None = None

    def level(self, da: xr.DataArray, index: int, dropped: frozenset[str] = frozenset()) -> xr.DataArray:
        """Return a level with the coordinates that it has in the system, but for those that are to be left out.

        Raises
        ------
        CoordinateSystemError
            If the level does not lie where the image was said to.
        """
        grids = check_place(da, self.before.multiscale, index)
        if self.askew is not None:
            system, matrix, kept = self.askew
            skews = [
                one
                for one in split(system, matrix, grids, kept.names, kept.groups)
                if dropped.isdisjoint(one.names.values())
            ]
            _check_free([name for one in skews for name in one.names.values()], da)
            if not kept.kept:  # what was written with an array holds of its pixels, wherever its sides were said to lie
                _check_regular(da, grids, {dim for skew in skews for dim in skew.grids}, system.name)
            if not index:
                skews = [one.with_rows(kept.rows) for one in skews]
            return attached(da, skews, kept.kept)
        return _placed(da, grids, self.placed)


def view(image: Image, name: str, kept: Mapping[str, Askew] | None = None, *, group: zarr.Group | None = None) -> View:
    """Return an image as it lies in one of its coordinate systems.

    Where each axis of that comes from one dimension alone, by a scale above zero and a translation, the levels lie in
    it. Else they lie askew: they stay where they are, and have further coordinates.

    Parameters
    ----------
    image
        The image.
    name
        Of the system.
    kept
        By system, what its coordinates were called and how they went together when the image was written.
    group
        As in `transform_to`.

    Raises
    ------
    CoordinateSystemError
        If there is no such system, nothing leads there, or it is no affine transformation that does.
    """
    multiscale = image.multiscale
    systems = coordinate_systems(multiscale)
    systems.check(name)
    if name == systems.intrinsic:
        return View(image, image)
    system, matrix = systems[name], _matrix(multiscale, name, group)
    if len(matrix) != len(system.axes):
        raise CoordinateSystemError(
            f"what leads to the coordinate system {name!r} gives {len(matrix)} coordinates, and it has "
            f"{len(system.axes)} axes; mend the metadata: xomezarr.validate(store) tells what is wrong"
        )
    linear, offsets = matrix[:, :-1], matrix[:, -1]
    used = linear != 0
    if (
        len(matrix) == len(multiscale.axes)
        and (used.sum(0) == 1).all()
        and (used.sum(1) == 1).all()
        and linear.min() >= 0
    ):
        by_axis = {
            system.axes[row].name: spec.Side(column, row, float(linear[row, column]), float(offsets[row]))
            for column, row in enumerate(used.argmax(0).tolist())
        }
        types = {axis: system.axes[side.row].type or "" for axis, side in by_axis.items()}
        seen = spec.seen_in(multiscale, name, [by_axis[axis] for axis in file_order(types)])
        placed = {
            multiscale.dims[side.column]: (system.axes[side.row], side.scale, side.translation)
            for side in by_axis.values()
        }
        return View(replace(image, multiscales=(seen, *image.multiscales[1:])), image, placed)
    own = askew(system, matrix, multiscale.axes)
    known = (kept or {}).get(name) or Askew(coordinate_names(system, own, multiscale.dims))
    return _lying_askew(image, system, matrix, known)


def kept_in(image: Image, name: str, kept: Askew, *, group: zarr.Group | None = None) -> View:
    """Return an image with the coordinates of a system that it was written with, whether it lies askew there or not.

    Raises
    ------
    CoordinateSystemError
        As for `view`; or if the system has not the axes that it had.
    """
    systems = coordinate_systems(image.multiscale)
    systems.check(name)
    system, matrix = systems[name], _matrix(image.multiscale, name, group)
    names = [axis.name for axis in system.axes]
    if len(matrix) != len(names) or not {*kept.names} <= {*names}:
        raise CoordinateSystemError(
            f"the coordinate system {name!r} has the axes {tuple(names)}, and coordinates were kept of "
            f"{tuple(kept.names)}; write the image anew with to_zarr"
        )
    ordered = {axis: kept.names[axis] for axis in names if axis in kept.names}
    if taken := {*kept.names.values()} & {*image.multiscale.dims}:
        raise CoordinateSystemError(
            f"the dimension {min(taken)!r} has the name of one of them; write the image anew with to_zarr"
        )
    return _lying_askew(image, system, matrix, replace(kept, names=ordered))


def _lying_askew(image: Image, system: CoordinateSystem, matrix: NDArray[np.float64], kept: Askew) -> View:
    """Return an image with the coordinates of a system, of which no two pixels may have the same."""
    try:
        if not matrix[:, :-1].any():
            raise TransformError("all pixels lie at one place there")
        split(system, matrix, {dim: Grid(1.0, 0.0, 1) for dim in image.multiscale.dims}, kept.names, kept.groups)
    except TransformError as error:
        why = str(error).rpartition("; ")[0] or str(error)
        raise CoordinateSystemError(
            f"the image cannot be seen in the coordinate system {system.name!r}: {why}; mend the metadata: "
            "xomezarr.validate(store) tells what is wrong"
        ) from None
    return View(image, image, askew=(system, matrix, kept))


def adopted(labels: Image, image: Image) -> Image | None:
    """Return labels with the coordinate systems of the image that they lie on; None where those are not theirs.

    They are where the axes of the labels are among those of the image, labels name no further system, and no array of
    the image is needed.
    """
    own, of_image = labels.multiscale, image.multiscale
    if own.other_systems or not {*own.dims} <= {*of_image.dims}:
        return None
    systems, _ = spec.without_axes(of_image, {*of_image.dims} - {*own.dims})
    if spec.stored_paths(replace(of_image, systems=systems)):
        return None
    known = {axis.name: axis for axis in of_image.axes}
    in_order = own.dims == tuple(dim for dim in of_image.dims if dim in own.dims)
    if systems is None or not in_order or not all(same_unit(axis.unit, known[axis.name].unit) for axis in own.axes):
        return None
    return replace(labels, multiscales=(replace(own, systems=systems), *labels.multiscales[1:]))


def _matrix(multiscale: Multiscale, name: str, group: zarr.Group | None) -> NDArray[np.float64]:
    """Return what leads to a system as a matrix."""
    transform = transform_to(multiscale, name, group=group)
    try:
        if (matrix := transform.matrix(len(multiscale.axes))) is not None:
            return matrix
        why = "what leads there is no affine transformation"
    except TransformError as error:
        why = str(error)
    arrays = ", ".join(f"{one.kind} at {one.path!r}" for one in stored(transform))
    raise CoordinateSystemError(
        f"the image cannot be seen in the coordinate system {name!r}: {why}{arrays and f' ({arrays})'}; "
        f"open it without coordinate_system, and map points: tree.omezarr.transform({name!r}, level=0)(points)"
    )


def check_place(da: xr.DataArray, multiscale: Multiscale, index: int) -> dict[str, Grid]:
    """Return where a level lies by its metadata, if it still lies there.

    Raises
    ------
    CoordinateSystemError
        If somebody has changed its coordinates: what leads on from there would lead elsewhere.
    """
    cure = "open the store again, and crop it by tree.omezarr.isel(…) or change it then"
    for dim in multiscale.dims:
        if dim not in da.dims:
            raise CoordinateSystemError(
                f"level {index} has no dimension {dim!r}, from which its coordinate systems are reached; {cure}"
            )
    grids = multiscale.levels[index].grid({str(dim): size for dim, size in da.sizes.items()})
    for axis in multiscale.axes:
        dim, grid = axis.name, grids[axis.name]
        held = da.coords[dim] if dim in da.coords else None
        if held is None or held.dtype.kind not in "iuf" or held.attrs.get("scale") is None or not held.size:
            continue
        by_metadata = "by its metadata, from which its coordinate systems are reached"
        if not same_unit(held.attrs.get("units"), axis.unit):
            raise CoordinateSystemError(
                f"level {index} lies along {dim!r} in {held.attrs.get('units')}, and in {axis.unit} {by_metadata}; "
                f"{cure}"
            )
        ends = held.values[[0, -1]]
        within = max(grid.scale / 100, 2 * float(np.spacing(np.abs(ends)).max())) if ends.dtype.kind == "f" else 0.01
        if (np.abs(ends - [grid.position(0), grid.position(grid.size - 1)]) > within).any():
            raise CoordinateSystemError(
                f"level {index} lies from {float(held[0])} to {float(held[-1])} along {dim!r}, and from "
                f"{grid.position(0)} to {grid.position(grid.size - 1)} {by_metadata}; {cure}"
            )
    return grids


def _check_regular(da: xr.DataArray, grids: Mapping[str, Grid], dims: Collection[str], name: str) -> None:
    """Refuse a level whose pixels lie at irregular places: a matrix leads from those, and not from their mean step."""
    for dim in sorted(dims):
        held = da.coords[dim] if dim in da.coords else None
        if held is None or held.dtype.kind not in "iuf" or "scale" in held.attrs:
            continue
        off = np.abs(held.values - grids[dim].coordinates) > REGULAR_WITHIN * grids[dim].scale
        if off.any():
            pixel = int(off.argmax())
            raise CoordinateSystemError(
                f"the image cannot be seen in the coordinate system {name!r}: its coordinate {dim!r} is irregular, "
                f"{float(held[pixel])} at pixel {pixel}, where the mean step makes {grids[dim].position(pixel)}; open "
                f"it without coordinate_system, and map its coordinates: tree.omezarr.transform({name!r})(points)"
            )


def _placed(
    da: xr.DataArray, grids: Mapping[str, Grid], placed: Mapping[str, tuple[Axis, float, float]]
) -> xr.DataArray:
    """Return an array whose dimensions are axes of another system."""
    if not placed:
        return da
    renamed = {dim: axis.name for dim, (axis, _, _) in placed.items() if axis.name != dim}
    _check_free(renamed.values(), da)
    moved: dict[str, xr.Variable] = {}
    for dim, (axis, scale, translation) in placed.items():
        held = da.coords[dim].variable if dim in da.coords else None
        stays = (scale, translation) == (1.0, 0.0)
        named = held is not None and (axis.type == "channel" or held.dtype.kind not in "iufmM")
        if named or (held is None and (stays or axis.type == "channel")):
            continue
        before = dict(held.attrs) if held is not None else {}
        same = held is not None and (held.dtype.kind in "mM" or same_unit(before.get("units"), axis.unit))
        said = {"units": before.get("units") if stays and same else axis.unit, "orientation": axis.orientation}
        attrs = {key: value for key, value in before.items() if key not in said}
        attrs |= {key: value for key, value in said.items() if value is not None}
        if stays and held is not None:
            moved[axis.name] = xr.Variable(axis.name, held.values, attrs)
            continue
        grid = grids[dim].compose(scale, translation)
        regular = held is None or held.dtype.kind in "mM" or "scale" in held.attrs
        values = grid.coordinates if held is None or regular else held.values * scale + translation
        moved[axis.name] = xr.Variable(axis.name, values, attrs | ({"scale": grid.scale} if regular else {}))
    encoding = dict(da.encoding)
    result = da.drop_vars([dim for dim in placed if dim in da.coords and placed[dim][0].name in moved])
    result = result.rename(renamed).assign_coords(moved)
    axes = [axis for axis, _, _ in placed.values()]
    unusual = {axis.name: axis.type for axis in axes if axis.type and AXIS_TYPES.get(axis.name.lower()) != axis.type}
    if "preferred_chunks" in encoding:
        encoding["preferred_chunks"] = {renamed.get(dim, dim): n for dim, n in encoding["preferred_chunks"].items()}
    result.encoding = {key: value for key, value in encoding.items() if key != "axes"} | (
        {"axes": unusual} if unusual else {}
    )
    return result


def _check_free(names: Iterable[str], da: xr.DataArray) -> None:
    """Refuse names of axes that no coordinate in a tree may have, or that others of an image have, beside its sides."""
    names = [*names]
    if wrong := [name for name in names if "/" in name or name == VARIABLE]:
        raise CoordinateSystemError(
            f"an axis of the system would be a coordinate {wrong[0]!r}, and {VARIABLE!r} names the pixels of a tree, "
            "between whose groups / stands; rename the axis or the system in the OME metadata, or open the image "
            "without coordinate_system and map points: tree.omezarr.transform(…, level=0)(points)"
        )
    if taken := [name for name in names if name in da.coords and name not in da.dims]:
        raise CoordinateSystemError(
            f"an axis of the system is to be called {taken[0]!r}, and so is another coordinate of the image; leave "
            f"that out when you open it: coordinate_system=…, drop_variables={taken if len(taken) > 1 else taken[0]!r}"
        )


def held_by(version: str, da: xr.DataArray) -> tuple[xr.DataArray, frozenset[str]]:
    """Return an array as a version of OME-Zarr can hold it, and the coordinate systems that it brings along.

    Up to 0.5 it has no coordinates of systems in which it lies askew.
    """
    if not spec.since(version, "0.6"):
        return without(da, [*kept_of(da)]), frozenset()
    return da, frozenset(skew.system.name for skew in skews_of(da))


# -- a system that is made ---------------------------------------------------------------------------------


def assign_affine(
    da: xr.DataArray,
    matrix: ArrayLike | Transform,
    *,
    system: str = "world",
    dims: Sequence[str] | None = None,
    axes: Sequence[str] | None = None,
    units: Mapping[str, str] | str | None = None,
) -> xr.DataArray:
    """Return a copy that lies askew in a coordinate system: rotated, sheared, mirrored, or in more dimensions.

    Where pixels lie along the dimensions stays; beside that they have coordinates of the system, lazily, by which
    ``sel(…, method="nearest")`` finds them. These are called as its axes, with the system's name before them where
    dimensions have those names: ``world_y``, ``world_x``. Other dimensions of the array are axes of the system as they
    are.

    Parameters
    ----------
    da
        With coordinates, as `assign_grid` gives them; a dimension without counts its pixels.
    matrix
        Shape (axes, dims + 1): leads from where a pixel lies along `dims`, in their units, to the axes of the system;
        the last column is added. Or a transformation, such as ``xomezarr.transforms.Rotation``.
    system
        Name of the coordinate system.
    dims
        Dimensions that the columns stand for; left out, those of space in the order of the file (z, y, x).
    axes
        Names of the axes that the rows stand for; left out, those of `dims`.
    units
        By axis; one string serves all. Left out, those of `dims`.

    Raises
    ------
    CoordinateSystemError
        If the names do not fit the array or the matrix.
    TransformError
        If it is no matrix of finite numbers, or different pixels would have the same coordinates.

    Examples
    --------
    >>> da = xr.DataArray(np.arange(12).reshape(3, 4), dims=("y", "x"))
    >>> turned = assign_affine(da, [[0, 1, 0], [-1, 0, 10]])
    >>> turned.sel(world_y=2.2, world_x=9.1, method="nearest").item()
    6
    """
    described = {dimension.name: dimension for dimension in describe(dequantify(da), irregular="keep")}
    faults: list[OmeZarrError] = []
    if not isinstance(system, str) or not system:
        faults.append(CoordinateSystemError(f'system={system!r} is no name; give one, such as system="world"'))
    elif system == spec.INTRINSIC:
        faults.append(
            CoordinateSystemError(
                f"the levels lie in the coordinate system {system!r} themselves; give the other one another name: "
                'system="world", or say where they lie by assign_grid(…)'
            )
        )
    along = _named("dims", dims, faults) or [name for name, one in described.items() if one.axis.type == "space"]
    for dim in along:
        if dim not in described:
            faults.append(
                CoordinateSystemError(
                    f"dims names dimension {dim!r}, which the array lacks; its dimensions are {tuple(described)}"
                )
            )
        elif not described[dim].regular or described[dim].kind in ("datetime", "timedelta", "label"):
            faults.append(
                CoordinateSystemError(
                    f"the coordinate of dimension {dim!r} is no regular row of numbers, from which no matrix leads; "
                    f"give it a regular grid: assign_grid(scale={{{dim!r}: 1.0}})"
                )
            )
    raise_all(faults, "the affine cannot be assigned")
    given: Any = matrix  # which Affine makes numbers of
    linear = matrix.matrix(len(along)) if isinstance(matrix, Transform) else Affine(given).values
    names = _named("axes", axes, faults) or along
    if linear is None or linear.shape != (len(names), len(along) + 1):
        shape = "none" if linear is None else f"one of shape {linear.shape}"
        faults.append(
            CoordinateSystemError(
                f"the matrix is {shape}, and leads from {len(along)} dimensions ({', '.join(along)}) to {len(names)} "
                f"axes ({', '.join(names)}), which takes one of shape {(len(names), len(along) + 1)}: a row for each "
                "axis, and a last column that is added; name others with dims=[…] or axes=[…]"
            )
        )
    others = [name for name in described if name not in along]
    if twice := [name for name in names if name in others]:
        faults.append(
            CoordinateSystemError(
                f"axes names {twice[0]!r}, which is a dimension of the array that stays an axis of the system; give "
                "another name, or a row and a column for that dimension too: dims=[…]"
            )
        )
    called = coordinate_names(CoordinateSystem(system, ()), names, [*described])
    if parted := [name for name in called.values() if "/" in name]:
        faults.append(
            CoordinateSystemError(
                f"the coordinate {parted[0]!r} would have a / in its name, which stands between the groups of a tree; "
                "give other names: system=…, axes=[…]"
            )
        )
    raise_all(faults, "the affine cannot be assigned")
    assert linear is not None
    check_rank(linear, along, names, system)
    made = _axes_of_rows(names, [described[dim].axis for dim in along], units)
    listed = [axis for name in described for axis in _in_place(name, along, made, described)]
    rows = np.zeros((len(listed), len(described) + 1))
    places = [*described]
    for row, axis in zip(rows, listed, strict=True):
        if axis.name in names:
            row[[*(places.index(dim) for dim in along), -1]] = linear[names.index(axis.name)]
        else:
            row[places.index(axis.name)] = 1.0
    whole = CoordinateSystem(system, tuple(listed))
    grids = {name: one.grid for name, one in described.items()}
    return attached(da, split(whole, rows, grids, called))


def _named(what: str, names: Sequence[str] | None, faults: list[OmeZarrError]) -> list[str]:
    """Return names that are given as a list, each once."""
    if names is None:
        return []
    listed = [names] if isinstance(names, str) else [*names]
    if not listed or len({*listed}) < len(listed) or not all(isinstance(name, str) and name for name in listed):
        faults.append(CoordinateSystemError(f"{what}={names!r} does not name each once; give {what}=['y', 'x'], say"))
    return listed


def _axes_of_rows(names: Sequence[str], along: Sequence[Axis], units: Mapping[str, str] | str | None) -> list[Axis]:
    """Return the axes of the rows of a matrix: of the types and units of its columns, unless others are asked for."""
    if units is not None and not isinstance(units, str | Mapping):
        raise UnitError(f"units is {units!r}; give the name of a unit: units='micrometer'")
    if isinstance(units, Mapping) and (unknown := [name for name in units if name not in names]):
        raise UnitError(f"units names the axis {unknown[0]!r}, and the axes are {tuple(names)}; give units of these")
    common = along[0].unit if len({axis.unit for axis in along}) == 1 else None
    same = len(names) == len(along)
    made = []
    for number, name in enumerate(names):
        known = along[number] if same else Axis(name, "space", common)
        asked = units if isinstance(units, str) else (units or {}).get(name)
        unit = known.unit if asked is None else (ome_unit(asked) or asked)
        made.append(Axis(name, known.type, unit))
    return made


def _in_place(
    name: str, along: Sequence[str], made: Sequence[Axis], described: Mapping[str, Dimension]
) -> Iterable[Axis]:
    """Return the axes of a system that stand where a dimension of the array does."""
    if name not in along:
        return (described[name].axis,)
    if len(made) == len(along):
        return (made[along.index(name)],)
    return made if name == next(dim for dim in described if dim in along) else ()
