"""The form in which 0.6 says what axes there are, and where levels lie: coordinate systems, and what leads to them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xomezarr import checks
from xomezarr.errors import CoordinateSystemError, TransformError
from xomezarr.model import Axis, CoordinateSystem, Level, Multiscale, Systems
from xomezarr.report import Finding
from xomezarr.routes import Edge, Routes
from xomezarr.spec.form import Form, Placing
from xomezarr.spec.forms import dump_axis, read_axes
from xomezarr.spec.notes import Notes, kind_of
from xomezarr.spec.transforms import dump_transform, read_transform
from xomezarr.spec.values import kept, with_extra
from xomezarr.transforms import (
    Affine,
    Bijection,
    ByDimension,
    Chain,
    Identity,
    MapAxis,
    Part,
    Scale,
    Transform,
    Translation,
    rank,
    stored,
)
from xomezarr.units import same_unit

__all__ = [
    "INTRINSIC",
    "SYSTEMS",
    "Side",
    "arranged",
    "axes_by_system",
    "dump_system",
    "edges",
    "ends_of",
    "listed",
    "matrices",
    "note_count",
    "note_loops",
    "paths_of",
    "read_between",
    "read_systems",
    "seen_in",
    "stored_paths",
    "unconnected",
    "unknown_keys",
    "unread",
    "with_system",
    "without_axes",
]

INTRINSIC = "physical"
"""What the system is called that the levels of a new image lie in."""

PLACE = "coordinateTransformations"
"""The key of a dataset that says where it lies; `extra` of a level holds under it how, if not in our own way."""

ENDS: Mapping[str, str] = {"input": "path", "output": "name"}
"""Where the transformation of a level leads from and to, and the key that names it."""

STATED = ("type", "scale", "translation", "transformations")
"""Keys by which such a transformation says where a level lies."""

AXES = ("inputAxes", "outputAxes", "input_axes", "output_axes")
"""Keys that say between which axes a part of byDimension leads, as they are and as versions under way had them."""

type Given = Mapping[str, Any]


def _objects(raw: Any) -> Iterator[tuple[int, Given]]:
    for index, one in enumerate(raw if isinstance(raw, list) else []):
        if isinstance(one, Mapping):
            yield index, one


def _end(transform: Given, key: str) -> Given:
    """Return where a transformation leads from or to: an object; versions under way had the name alone."""
    end = transform.get(key)
    if isinstance(end, str):
        return {"name": end, "path": end}
    return end if isinstance(end, Mapping) else {}


def _with_ends(transform: Given) -> Given:
    """Return a transformation between coordinate systems whose ends are objects, as 0.6 has them."""
    ends = {key: {"name": end} for key in ("input", "output") if isinstance(end := transform.get(key), str)}
    return {**transform, **ends}


def _intrinsic(raw: Given) -> str | None:
    """Return the name of the system that the levels lie in: that to which the first of them leads."""
    for _, dataset in _objects(raw.get("datasets")):
        for _, transform in _objects(dataset.get(PLACE)):
            name = _end(transform, "output").get("name")
            return name if isinstance(name, str) else None
    return None


def _read(raw: Given, where: str, notes: Notes) -> tuple[tuple[Axis, ...] | None, Systems | None]:
    """0.6a (MUST): there are coordinate systems with names and axes, among them that which the levels lie in."""
    systems, place = raw.get("coordinateSystems"), f"{where}.coordinateSystems"
    if not isinstance(systems, list) or not systems:
        told = f"it is {kind_of(systems)}" if systems else "there are no coordinate systems"
        notes.stop("0.6a", place, told, "list one object with a name and axes for each")
        return None, None
    if "axes" in raw:
        told = "there are axes, which are not read: those of coordinate systems count"
        notes.warn("0.6a", f"{where}.axes", told, "remove them")
    found = read_systems(systems, place, notes)
    if found is None:
        return None, None
    wanted, names = _intrinsic(raw), [system.name for system in found]
    if wanted is None:  # what is wrong with the datasets is noted there
        return found[0].axes, None
    if wanted not in names:
        told = f"there is no coordinate system {wanted!r}, to which the datasets lead"
        notes.stop("0.6a", place, told, "list it, or name one that is listed")
        return None, None
    before = names.index(wanted)
    own, others = found[before], (*found[:before], *found[before + 1 :])
    transforms = tuple(_with_ends(transform) for _, transform in _objects(raw.get("coordinateTransformations")))
    return own.axes, Systems(own.name, others, transforms, own.extra, before)


def read_systems(raw: Sequence[Any], where: str, notes: Notes) -> tuple[CoordinateSystem, ...] | None:
    """Read a list of coordinate systems; None if `notes` names something that prevents it."""
    read = [_read_system(system, f"{where}[{index}]", notes) for index, system in enumerate(raw)]
    found = tuple(system for system in read if system is not None)
    names = [None if system is None else system.name for system in read]
    for index, name in enumerate(names):
        if name is not None and name in names[:index]:
            notes.stop("0.6a", f"{where}[{index}].name", f"there are two systems {name!r}", "give one another name")
    return found if len(found) == len(read) else None


def _read_system(raw: Any, where: str, notes: Notes) -> CoordinateSystem | None:
    """Read a coordinate system; None if `notes` names something that prevents it."""
    if not isinstance(raw, Mapping):
        notes.stop("0.6a", where, f"the coordinate system is {kind_of(raw)}", 'write {"name": …, "axes": …}')
        return None
    name = raw.get("name")
    if not isinstance(name, str) or not name:
        told = f"the name is {kind_of(name)}" if "name" in raw else "the coordinate system has no name"
        notes.stop("0.6a", f"{where}.name", told, "give it a string")
    axes = read_axes(raw, where, notes, rules=checks.SYSTEM_AXIS_RULES)
    if axes is None or not isinstance(name, str) or not name:
        return None
    return CoordinateSystem(name, axes, {key: value for key, value in raw.items() if key not in ("name", "axes")})


def _check(raw: Given, multiscale: Multiscale, where: str, notes: Notes) -> None:
    """0.6c (MUST): what else leads somewhere leads from the system of the levels to another one that is listed.

    0.6f (MUST): so each other one is reached.
    """
    transforms, place = raw.get("coordinateTransformations", []), f"{where}.coordinateTransformations"
    if not isinstance(transforms, list):
        notes.stop("0.6c", place, f"it is {kind_of(transforms)}", "list one object for each transformation")
    elif not transforms and "coordinateTransformations" in raw:
        notes.error("0.6c", place, "it is empty", "list transformations, or leave it out")
    elif (systems := multiscale.systems) is not None:
        axes = {systems.name: len(multiscale.axes)} | {other.name: len(other.axes) for other in systems.others}
        told_before = len(notes.findings)
        for index, transform in enumerate(transforms):
            _check_transform(transform, axes, systems.name, f"{place}[{index}]", notes)
        note_loops(Routes(axes, edges(multiscale)), place, notes)
        missing = unconnected(axes, ends_of(multiscale), systems.name)
        # one that leads nowhere is told already; a scene may lead there, which is not seen from here
        if missing and len(notes.findings) == told_before:
            told = f"no transformations lead from {systems.name!r} to {', '.join(map(repr, missing))}"
            cure = "say where they lie, here or in the scene that the image is of, or remove them"
            notes.warn("0.6f", where, told, cure)


def unconnected[System](
    systems: Iterable[System], ends: Iterable[tuple[System, System]], start: System
) -> list[System]:
    """Return the coordinate systems that transformations do not lead to, forward or backward.

    Parameters
    ----------
    systems
        All of them.
    ends
        From where to where each transformation leads.
    start
        From which the way leads.
    """
    beside: dict[System, list[System]] = {}
    for one, other in ends:
        beside.setdefault(one, []).append(other)
        beside.setdefault(other, []).append(one)
    reached: set[System] = set()
    waiting = [start]
    while waiting:
        here = waiting.pop()
        if here not in reached:
            reached.add(here)
            waiting += beside.get(here, ())
    return [system for system in systems if system not in reached]


def note_loops(routes: Routes[Any], place: str, notes: Notes) -> None:
    """102 (own): two ways from one coordinate system to another lead to the same place."""
    for loop in routes.loops:
        told, _, cure = routes.told(loop).rpartition("; ")
        notes.warn("102", place, told, cure)


def note_count(read: Transform, inputs: int, target: str, wanted: int, where: str, notes: Notes) -> None:
    """39 (MUST): a transformation from some axes gives a coordinate for each axis of the system that it leads to."""
    if (count := read.leads_to(inputs)) not in (None, wanted):
        told = f"it gives {count} coordinates, and {target} has {wanted} axes"
        notes.error("39", where, told, "give one for each axis")


def _check_transform(raw: Any, axes: Mapping[str, int], own: str, where: str, notes: Notes) -> None:
    """Note what is wrong with a transformation that is kept; nothing there prevents reading where the levels lie.

    `axes` says how many each coordinate system has.
    """
    found = Notes()
    read = read_transform(raw, axes[own], where, found)
    notes.extend(found.findings)
    if not isinstance(raw, Mapping):
        return
    for key, others in (("input", [own]), ("output", [name for name in axes if name != own])):
        end = raw.get(key)
        name = end.get("name") if isinstance(end, Mapping) else None
        if name not in others:
            told = f"it is {kind_of(end)}" if not isinstance(end, Mapping) else f"it names {name!r}"
            known = " or ".join(repr(other) for other in others) or "another coordinate system, which is to be listed"
            notes.error("0.6c", f"{where}.{key}", told if key in raw else "it is missing", f"name {known}")
        elif key == "output" and read is not None:
            note_count(read, axes[own], repr(name), axes[name], where, notes)
    if read is not None:
        _check_places(read, axes[own], where, notes)


def _check_places(read: Transform, count: int, where: str, notes: Notes) -> None:
    """104 (own): a matrix has the rank that its shape allows; what lies in arrays is not read.

    So one to fewer axes may be a projection, and another one leads different points to different places.
    """
    matrix = None if stored(read) else read.matrix(count)
    if matrix is None or not matrix.size:
        return
    linear = matrix[:, :-1]
    if (found := rank(linear)) < (full := min(linear.shape)):
        told = f"it leads different points to one place: its matrix is of rank {found}, and could have {full}"
        notes.warn("104", where, told, "give one that can be undone")


def stored_paths(multiscale: Multiscale) -> tuple[str, ...]:
    """Return the paths of arrays in which numbers of transformations lie, as far as these can be read."""
    return paths_of(edge.transform for edge in edges(multiscale))


def paths_of(transforms: Iterable[Transform]) -> tuple[str, ...]:
    """Return the paths of arrays in which numbers of transformations lie."""
    return tuple(dict.fromkeys(array.path for one in transforms for array in stored(one)))


def axes_by_system(multiscale: Multiscale) -> dict[str, tuple[Axis, ...]]:
    """Return the axes of each coordinate system of an image; none where the store names no systems."""
    if (systems := multiscale.systems) is None:
        return {}
    return {systems.name: multiscale.axes} | {other.name: other.axes for other in systems.others}


def ends_of(multiscale: Multiscale) -> list[tuple[str, str]]:
    """Return from where to where transformations between the coordinate systems of an image lead, by names."""
    known = axes_by_system(multiscale)
    transforms = multiscale.systems.transforms if multiscale.systems is not None else ()
    return [ends for raw in transforms if (ends := _ends(raw, known)) is not None]


def _ends(raw: Given, known: Collection[str]) -> tuple[str, str] | None:
    """Return from where to where a transformation leads, if both are known."""
    source, target = (_end(raw, key).get("name") for key in ("input", "output"))
    if isinstance(source, str) and isinstance(target, str) and {source, target} <= {*known}:
        return source, target
    return None


def edges(multiscale: Multiscale) -> tuple[Edge[str], ...]:
    """Return what leads from one coordinate system of an image to another, as far as it can be read."""
    axes = axes_by_system(multiscale)
    transforms = multiscale.systems.transforms if multiscale.systems is not None else ()
    found = (_edge(raw, axes) for raw in transforms)
    return tuple(edge for edge in found if edge is not None)


def _edge(raw: Given, axes: Mapping[str, Sequence[Axis]]) -> Edge[str] | None:
    if (ends := _ends(raw, axes)) is None:
        return None
    read = read_between(raw, *(len(axes[end]) for end in ends))
    return None if read is None else Edge(*ends, read)


def read_between(raw: Given, inputs: int, outputs: int) -> Transform | None:
    """Read a transformation between coordinate systems of so many axes; None if it cannot be one."""
    read = read_transform(raw, inputs, "", Notes())
    return read if read is not None and read.leads_to(inputs) in (None, outputs) else None


def unread(multiscale: Multiscale) -> list[Finding]:
    """Return what is wrong with what leads from one coordinate system of an image to another, and cannot be read."""
    if (systems := multiscale.systems) is None:
        return []
    axes, notes = axes_by_system(multiscale), Notes()
    counts = {name: len(own) for name, own in axes.items()}
    for index, raw in enumerate(systems.transforms):
        if _edge(raw, axes) is None:
            _check_transform(raw, counts, systems.name, f"ome.multiscales[0].{PLACE}[{index}]", notes)
    return notes.findings


def matrices(multiscale: Multiscale) -> dict[str, NDArray[np.float64]]:
    """Return what leads from the system of the levels to each other one, as far as the metadata tell it by themselves.

    Shapes (axes of the other, axes + 1). Systems are left out to which nothing leads, two ways do that contradict each
    other, or what does is no affine transformation or lies in an array.
    """
    axes = axes_by_system(multiscale)
    routes = Routes({name: len(own) for name, own in axes.items()}, edges(multiscale))
    found: dict[str, NDArray[np.float64]] = {}
    own, others = next(iter(axes), ""), multiscale.other_systems
    for name in others:
        with suppress(TransformError):
            way = routes.transform(own, name)
            if not stored(way) and (matrix := way.matrix(len(multiscale.axes))) is not None:
                found[name] = matrix
    return found


def listed(multiscale: Multiscale) -> tuple[CoordinateSystem, ...]:
    """Return all coordinate systems of an image, in their order; up to 0.5 it has one, which has no name there."""
    systems = multiscale.systems or Systems(INTRINSIC)
    own = CoordinateSystem(systems.name, multiscale.axes, systems.extra)
    return (*systems.others[: systems.before], own, *systems.others[systems.before :])


# -- what is said anew -------------------------------------------------------------------------------------


def with_system(multiscale: Multiscale, system: CoordinateSystem, matrix: NDArray[np.float64]) -> Multiscale:
    """Return an image with another coordinate system, or with one of them led to in another way.

    What says the same already stays as the store has it.

    Parameters
    ----------
    multiscale
        The image, whose systems are none where nobody has named any.
    system
        The other one.
    matrix
        Leads to it from the system of the levels; shape (axes of the other, axes + 1).

    Raises
    ------
    CoordinateSystemError
        If the system of the levels has its name, or it may not have such axes.
    """
    systems = multiscale.systems or Systems(INTRINSIC)
    if system.name == systems.name:
        raise CoordinateSystemError(
            f"the levels lie in the coordinate system {system.name!r}, and another of that name cannot be listed "
            'beside it; give the other one another name: assign_affine(…, system="world")'
        )
    if wrong := _wrong_with(system.axes):
        raise CoordinateSystemError(
            f"the coordinate system {system.name!r} cannot have the axes {tuple(axis.name for axis in system.axes)}: "
            f"{'; '.join(one.message for one in wrong)}; give a row to other dimensions, or other names to the rows: "
            "assign_affine(…, dims=…, axes=…)"
        )
    known = next((other for other in systems.others if other.name == system.name), None)
    if known is None:
        others = (*systems.others, system)
    else:
        own = known if _are_alike(known.axes, system.axes) else system
        others = tuple(own if other is known else other for other in systems.others)
    found = replace(multiscale, systems=replace(systems, others=others))
    told = matrices(found).get(system.name)
    if told is not None and np.array_equal(told, matrix):
        return found
    leading = [index for index, one in enumerate(systems.transforms) if _leads_to(one, system.name)]
    made = {**dump_transform(_affine(matrix)), "input": {"name": systems.name}, "output": {"name": system.name}}
    transforms = [one for index, one in enumerate(systems.transforms) if index not in leading]
    transforms.insert(leading[0] if leading else len(transforms), made)
    return replace(multiscale, systems=replace(systems, others=others, transforms=tuple(transforms)))


def _are_alike(one: Sequence[Axis], other: Sequence[Axis]) -> bool:
    """Whether axes are the same, however their units are spelled."""
    said = [[(axis.name, axis.type, axis.orientation) for axis in axes] for axes in (one, other)]
    return said[0] == said[1] and all(same_unit(a.unit, b.unit) for a, b in zip(one, other, strict=True))


def _affine(matrix: NDArray[np.float64]) -> Transform:
    """Return a matrix as a transformation that all readers understand."""
    rows, columns = matrix.shape
    if rows == columns - 1:
        return Affine(matrix)
    # ome-zarr-models refuses an affine by itself that leads to more axes, or to fewer
    return ByDimension(columns - 1, (Part(Affine(matrix), tuple(range(columns - 1)), tuple(range(rows))),))


@dataclass(frozen=True, slots=True)
class Side:
    """A side of an image that is an axis of a coordinate system.

    Parameters
    ----------
    column
        Number of the axis that it is in the system of the levels.
    row
        Number of the axis that it is in the other system.
    scale, translation
        What leads there; the scale is above zero.
    """

    column: int
    row: int
    scale: float = 1.0
    translation: float = 0.0


def seen_in(multiscale: Multiscale, name: str, sides: Sequence[Side]) -> Multiscale:
    """Return an image with its levels in another of its coordinate systems; the one that they lie in stays beside it.

    Where that has its axes in another order than the image is to have its own, the levels lie in one of the same axes
    in the order of the image. It may be that in which they lie, which is put into another order so.

    Parameters
    ----------
    multiscale
        The image.
    name
        Of the system.
    sides
        Of the image, in the order that its axes are to have.
    """
    old, target = multiscale.systems or Systems(INTRINSIC), next(one for one in listed(multiscale) if one.name == name)
    axes = tuple(target.axes[side.row] for side in sides)
    columns = [side.column for side in sides]
    back = [
        *([Translation(tuple(-side.translation for side in sides))] if any(side.translation for side in sides) else []),
        *([Scale(tuple(1 / side.scale for side in sides))] if any(side.scale != 1 for side in sides) else []),
        *([MapAxis(_undone(columns))] if columns != sorted(columns) else []),
    ]
    own = name if axes == target.axes else _free(f"{name} in the order of the image", multiscale)
    steps = [dump_transform(step) for step in back] or [dump_transform(Identity())]
    returning = steps[0] if len(steps) == 1 else {"type": "sequence", "transformations": steps}
    ends = {"input": {"name": own}}
    transforms: list[Given] = []
    for one in old.transforms:
        if _end(one, "input").get("name") != old.name:
            transforms.append(one)
        elif not _leads_to(one, name):
            step = _beside(one, *ENDS)
            transforms.append({"type": "sequence", "transformations": [*steps, step], **ends, "output": one["output"]})
        else:
            said = _beside(one, *ENDS, *dump_transform(read_transform(one, len(axes), "", Notes()) or Identity()))
            if own != name:
                turned = MapAxis(_undone([side.row for side in sides]))
                transforms.append({**said, **dump_transform(turned), **ends, "output": {"name": name}})
                said = {}
            transforms.append({**said, **returning, **ends, "output": {"name": old.name}})
    if not any(_leads_to(one, old.name) for one in transforms):  # by way of others
        transforms.append({**returning, **ends, "output": {"name": old.name}})
    others = [one for one in listed(multiscale) if one.name != own]
    places = [one.name for one in listed(multiscale)]
    systems = Systems(
        own,
        tuple(others),
        tuple(transforms),
        target.extra if own == name else {},
        places.index(name) if own == name else 0,
    )
    placed = [(axis.name, multiscale.dims[side.column], side) for axis, side in zip(axes, sides, strict=True)]
    levels = tuple(
        replace(
            level,
            scale={axis: level.scale[dim] * side.scale for axis, dim, side in placed},
            translation={axis: level.translation[dim] * side.scale + side.translation for axis, dim, side in placed},
        )
        for level in multiscale.levels
    )
    return replace(multiscale, axes=axes, levels=levels, systems=systems)


def _undone(order: Sequence[int]) -> tuple[int, ...]:
    """Return the order that undoes another one."""
    return tuple(int(axis) for axis in np.argsort(order))


def arranged(multiscale: Multiscale, names: Sequence[str]) -> Multiscale:
    """Return an image that has other systems with its axes in another order, of which there are the same."""
    if not multiscale.other_systems or multiscale.dims == tuple(names) or {*multiscale.dims} != {*names}:
        return multiscale
    columns = [multiscale.dims.index(name) for name in names]
    return seen_in(multiscale, next(iter(axes_by_system(multiscale))), [Side(column, column) for column in columns])


def _free(name: str, multiscale: Multiscale) -> str:
    """Return a name that no coordinate system has."""
    taken = {system.name for system in listed(multiscale)}
    return name if name not in taken else _free(f"{name}_", multiscale)


# -- axes that go ------------------------------------------------------------------------------------------


def without_axes(multiscale: Multiscale, names: Collection[str]) -> tuple[Systems | None, tuple[str, ...]]:
    """Return the coordinate systems of an image that loses axes, and the names of those that are left out.

    A system loses the axes that come from these alone. It is left out where others come from them too, or where only an
    array tells what comes from what. One to which nothing leads stays as it is.

    Parameters
    ----------
    multiscale
        The image as it was.
    names
        Of the axes that it loses.
    """
    systems = multiscale.systems
    gone = {index for index, axis in enumerate(multiscale.axes) if axis.name in names}
    if systems is None or not gone:
        return systems, ()
    transforms = dict(enumerate(systems.transforms))
    others: list[CoordinateSystem] = []
    for other in systems.others:
        count, leading = len(other.axes), [index for index, one in transforms.items() if _leads_to(one, other.name)]
        made = {index: _without(transforms.pop(index), gone, len(multiscale.axes), count) for index in leading}
        found = {index: one for index, one in made.items() if one is not None}
        lost = {axes for _, axes in found.values()}
        missing = next(iter(lost), ())
        left = tuple(axis for n, axis in enumerate(other.axes) if n not in missing)
        if len(found) < len(made) or len(lost) > 1 or (missing and _wrong_with(left)):
            continue
        transforms |= {index: one for index, (one, _) in found.items()}
        others.append(replace(other, axes=left))
    kept_names = {other.name for other in others}
    cropped = replace(
        systems,
        others=tuple(others),
        transforms=tuple(transforms[index] for index in sorted(transforms)),
        before=sum(other.name in kept_names for other in systems.others[: systems.before]),
    )
    return cropped, tuple(other.name for other in systems.others if other.name not in kept_names)


def _wrong_with(axes: Sequence[Axis]) -> list[Finding]:
    """Return why no coordinate system may have these axes, such as one of space alone."""
    notes = Notes()
    read_axes({"axes": [dump_axis(axis) for axis in axes]}, "", notes, rules=checks.SYSTEM_AXIS_RULES)
    return [finding for finding in notes.findings if finding.severity == "error"]


def _leads_to(transform: Given, name: str) -> bool:
    return _end(transform, "output").get("name") == name


def _without(raw: Given, gone: Collection[int], inputs: int, outputs: int) -> tuple[Given, tuple[int, ...]] | None:
    """Return a transformation without axes, and which it leads to no longer; None if it cannot do without them."""
    read = read_transform(raw, inputs, "", Notes())
    if read is None or read.leads_to(inputs) != outputs or (made := read.without(gone, inputs)) is None:
        return None
    return _restated(raw, read, gone, inputs), made[1]


def _restated(raw: Given, read: Transform, gone: Collection[int], inputs: int) -> Given:
    """Return the JSON of a transformation that can do without axes, with what else was said of it and its parts."""
    left, lost = _left(read, gone, inputs)
    if left == read:
        return raw
    known = dump_transform(left)
    match read:
        case Chain(steps):
            known["transformations"] = made = []
            lost, count = tuple(gone), inputs
            for entry, step in zip(raw["transformations"], steps, strict=True):
                made.append(_restated(entry, step, lost, count))
                lost, count = _left(step, lost, count)[1], step.leads_to(count) or count
        case ByDimension(_, parts):
            own = [[place for place, axis in enumerate(part.inputs) if axis in gone] for part in parts]
            # a part of nothing but axes that are gone is gone too
            stay = [number for number, part in enumerate(parts) if not 0 < len(part.inputs) == len(own[number])]
            for number, new in zip(stay, known["transformations"], strict=True):
                entry, part = raw["transformations"][number], parts[number]
                # versions under way had the transformation's keys beside its axes
                inner = entry.get("transformation", _beside(entry, *AXES))
                new["transformation"] = _restated(inner, part.transform, own[number], len(part.inputs))
                new |= _beside(entry, *new, *AXES) if "transformation" in entry else {}
        case Bijection(forward, backward):
            known["forward"] = _restated(raw["forward"], forward, gone, inputs)
            known["inverse"] = _restated(raw["inverse"], backward, lost, forward.leads_to(inputs) or inputs)
    return with_extra(known, _beside(raw, *dump_transform(read)))


def _left(read: Transform, gone: Collection[int], inputs: int) -> tuple[Transform, tuple[int, ...]]:
    """Return a transformation that can do without axes, without them, and the axes afterwards that are gone too."""
    made = read.without(gone, inputs)
    assert made is not None
    return made


# -- where levels lie --------------------------------------------------------------------------------------


def _levels(
    raw: Given, axes: tuple[Axis, ...] | None, where: str, notes: Notes
) -> Callable[[Given, str], Placing | None]:
    """0.6b (MUST): one transformation leads from each dataset to the same system."""
    system = _intrinsic(raw)

    def read(dataset: Given, level: str) -> Placing | None:
        given, place = dataset.get(PLACE), f"{level}.{PLACE}"
        if not isinstance(given, list) or not given or not isinstance(given[0], Mapping):
            told = f"it is {kind_of(given)}" if given or given == {} else "there is none"
            notes.stop("0.6b", place, told, "list one scale, or one sequence of a scale and a translation")
            return None
        if len(given) > 1:
            notes.error("0.6b", place, f"there are {len(given)} transformations", "give one, a sequence of them")
        _check_ends(given[0], dataset, system, f"{place}[0]", notes)
        return None if axes is None else _placing(given[0], len(axes), f"{place}[0]", notes)

    return read


def _level_kept(dataset: Given, placing: Placing) -> dict[str, Any]:
    """Return how the store says where a level lies, but for the names of the ends; nothing where that is our own way.

    What breaks a rule is said in our own way, with its unknown keys.
    """
    given, notes = dataset[PLACE][0], Notes()
    _placing(given, len(placing.scale), "", notes)
    ends = {key: _beside(given[key], named) for key, named in ENDS.items() if isinstance(given.get(key), Mapping)}
    stated = _stated(placing, sequence=True)
    where = {**stated, **_beside(given, *ENDS, *STATED)} if notes.findings else _beside(given, *ENDS)
    said = where | {key: others for key, others in ends.items() if others}
    return kept(PLACE, [said] if said != stated else [])


def _beside(raw: Given, *keys: str) -> dict[str, Any]:
    """Return an object without some of its keys."""
    return {key: value for key, value in raw.items() if key not in keys}


def _check_ends(transform: Given, dataset: Given, system: str | None, where: str, notes: Notes) -> None:
    for key, wanted in (("input", dataset.get("path")), ("output", system)):
        end, kind = transform.get(key), ENDS[key]
        found = end.get(kind) if isinstance(end, Mapping) else None
        if not isinstance(found, str):
            told = f"it is {kind_of(end)}" if key in transform else "it is missing"
            told = f"it has no {kind}" if isinstance(end, Mapping) else told
            note = notes.stop if key == "output" and system is None else notes.error
            note("0.6b", f"{where}.{key}", told, f'give the {kind}: {{"{kind}": …}}')
        elif found != wanted:
            told = f"the {kind} is {found!r}, and not {wanted!r}"
            cure = "that of the dataset counts" if key == "input" else "all levels lie in one system"
            (notes.error if key == "input" else notes.stop)("0.6b", f"{where}.{key}.{kind}", told, cure)


def _placing(raw: Given, count: int, where: str, notes: Notes) -> Placing | None:
    """Return where a level lies, by a transformation that is a scale, an identity, or a scale and a translation."""
    read = read_transform(raw, count, where, notes)
    if read is None:
        return None
    steps = read.steps if isinstance(read, Chain) else (read,)
    placed = Placing.identity(count)
    for step in steps:
        match step:
            case Identity():
                continue
            case Scale(scale):
                placed = placed.then(Placing(scale, (0.0,) * count))
            case Translation(translation):
                placed = placed.then(Placing((1.0,) * count, translation))
            case _:
                told = f"a level is placed by a {type(step).__name__}"
                cure = "give a scale and a translation, and lead from there to another coordinate system"
                notes.stop("0.6b", where, told, cure)
                return None
    kinds = [type(step) for step in steps]
    if kinds not in ([Scale], [Identity], [Scale, Translation]):
        told = f"it is made of {', '.join(kind.__name__ for kind in kinds) or 'nothing'}"
        notes.error("0.6b", where, told, "give one scale, and one translation after it")
    return placed


# -- writing -----------------------------------------------------------------------------------------------


def _dump(multiscale: Multiscale) -> dict[str, Any]:
    systems = multiscale.systems or Systems(INTRINSIC)
    known: dict[str, Any] = {"coordinateSystems": [dump_system(system) for system in listed(multiscale)]}
    if systems.transforms:
        known["coordinateTransformations"] = [dict(transform) for transform in systems.transforms]
    return known


def dump_system(system: CoordinateSystem) -> dict[str, Any]:
    """Return a coordinate system as JSON."""
    return with_extra({"name": system.name, "axes": [dump_axis(axis) for axis in system.axes]}, system.extra)


def _dump_place(level: Level, multiscale: Multiscale) -> list[dict[str, Any]]:
    """Return what says where a level lies: as the store said it where it is still there, else anew."""
    dims = multiscale.dims
    placing = Placing(
        tuple(float(level.scale[dim]) for dim in dims), tuple(float(level.translation[dim]) for dim in dims)
    )
    said = _said(level, multiscale)
    system = multiscale.systems.name if multiscale.systems is not None else INTRINSIC
    names = {"input": level.path, "output": system}
    # all levels lead to one system, of which the same is said at each
    others = {"input": said.get("input", {}), "output": _said(multiscale.levels[0], multiscale).get("output", {})}
    ends = {key: {named: names[key], **others[key]} for key, named in ENDS.items()}
    if said and _placing(said, len(dims), "", Notes()) == placing:
        return [{**said, **ends}]
    return [{**_moved(said, _stated(placing, sequence=not said or "transformations" in said)), **ends}]


def _said(level: Level, multiscale: Multiscale) -> Given:
    """Return how the store said where a level lies, if not in our own way.

    What versions without coordinate systems have under that key is another thing.
    """
    (said,) = level.extra.get(PLACE, [{}]) if multiscale.systems is not None else [{}]
    return said  # type: ignore[no-any-return]


def _stated(placing: Placing, *, sequence: bool) -> dict[str, Any]:
    """Return a scale and a translation; of one that is zero none, where it need not be a sequence."""
    scale = {"type": "scale", "scale": list(placing.scale)}
    if not any(placing.translation) and not sequence:
        return scale
    moved = {"type": "translation", "translation": list(placing.translation)}
    return {"type": "sequence", "transformations": [scale, moved]}


def _moved(said: Given, stated: dict[str, Any]) -> dict[str, Any]:
    """Return a transformation with the unknown keys of the one that it stands for, and of the steps of that."""
    others = {step["type"]: _beside(step, *STATED) for step in said.get("transformations", ())}
    steps = [with_extra(step, others.get(step["type"], {})) for step in stated.get("transformations", ())]
    return with_extra(stated | ({"transformations": steps} if steps else {}), _beside(said, *STATED, *ENDS))


def unknown_keys(multiscale: Multiscale) -> tuple[str, ...]:
    """Return the keys, of the system of the levels and of what leads there, for which only 0.6 has a place.

    Names are not among them: many writers name every transformation, by what it leads from and to.
    """
    found = dict.fromkeys(multiscale.systems.extra if multiscale.systems is not None else ())
    for said in (_said(level, multiscale) for level in multiscale.levels):
        parts = [said, *said.get("transformations", ()), *(said.get(key, {}) for key in ENDS)]
        found |= dict.fromkeys(key for part in parts for key in _beside(part, *STATED, *ENDS, "name"))
    return tuple(found)


SYSTEMS = Form(
    axes=_read,
    check=_check,
    levels=_levels,
    keys=frozenset({"coordinateSystems", "coordinateTransformations"}),
    level_keys=frozenset({PLACE}),
    level_kept=_level_kept,
    dump=_dump,
    dump_place=_dump_place,
)
"""0.6: axes are those of a coordinate system, to which one transformation leads from each level."""
