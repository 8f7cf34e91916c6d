"""The form in which 0.6 says what axes there are, and where levels lie: coordinate systems, and what leads to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from xomezarr import checks
from xomezarr.model import Axis, CoordinateSystem, Level, Multiscale, Systems
from xomezarr.spec.form import Form, Placing
from xomezarr.spec.forms import dump_axis, read_axes
from xomezarr.spec.notes import Notes, kind_of
from xomezarr.spec.transforms import read_transform
from xomezarr.spec.values import kept, with_extra
from xomezarr.transforms import Chain, Identity, Scale, Translation

__all__ = ["SYSTEMS"]

INTRINSIC = "physical"
"""What the system is called that the levels of a new image lie in."""

PLACE = "coordinateTransformations"
"""The key of a dataset that says where it lies; `extra` of a level holds under it what else that says."""

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


def _intrinsic(raw: Given) -> str | None:
    """Return the name of the system that the levels lie in: that to which the first of them leads."""
    for _, dataset in _objects(raw.get("datasets")):
        for _, transform in _objects(dataset.get("coordinateTransformations")):
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
    read = [_system(system, f"{place}[{index}]", notes) for index, system in enumerate(systems)]
    found = [system for system in read if system is not None]
    names = [system.name for system in found]
    for index, name in enumerate(names):
        if name in names[:index]:
            notes.stop("0.6a", f"{place}[{index}].name", f"there are two systems {name!r}", "give one another name")
    if len(found) < len(read):
        return None, None
    wanted = _intrinsic(raw)
    if wanted is None:  # what is wrong with the datasets is noted there
        return found[0].axes, None
    if wanted not in names:
        told = f"there is no coordinate system {wanted!r}, to which the datasets lead"
        notes.stop("0.6a", place, told, "list it, or name one that is listed")
        return None, None
    before = names.index(wanted)
    own, others = found[before], (*found[:before], *found[before + 1 :])
    transforms = tuple(transform for _, transform in _objects(raw.get("coordinateTransformations")))
    return own.axes, Systems(own.name, others, transforms, own.extra, before)


def _system(raw: Any, where: str, notes: Notes) -> CoordinateSystem | None:
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
    """0.6c (MUST): what else leads somewhere leads from the system of the levels to another one that is listed."""
    transforms, place = raw.get("coordinateTransformations", []), f"{where}.coordinateTransformations"
    if not isinstance(transforms, list):
        notes.stop("0.6c", place, f"it is {kind_of(transforms)}", "list one object for each transformation")
    elif (systems := multiscale.systems) is not None:
        axes = {systems.name: len(multiscale.axes)} | {other.name: len(other.axes) for other in systems.others}
        for index, transform in enumerate(transforms):
            _check_transform(transform, axes, systems.name, f"{place}[{index}]", notes)


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
        elif key == "output" and read is not None and read.outputs not in (None, axes[name]):
            told = f"it gives {read.outputs} coordinates, and {name!r} has {axes[name]} axes"
            notes.error("39", where, told, "give one for each axis")


# -- where levels lie --------------------------------------------------------------------------------------


def _levels(
    raw: Given, axes: tuple[Axis, ...] | None, where: str, notes: Notes
) -> Callable[[Given, str], Placing | None]:
    """0.6b (MUST): one transformation leads from each dataset to the same system."""
    system = _intrinsic(raw)

    def place(dataset: Given, place: str) -> Placing | None:
        given, where = dataset.get("coordinateTransformations"), f"{place}.coordinateTransformations"
        if not isinstance(given, list) or not given or not isinstance(given[0], Mapping):
            told = f"it is {kind_of(given)}" if given or given == {} else "there is none"
            notes.stop("0.6b", where, told, "list one scale, or one sequence of a scale and a translation")
            return None
        if len(given) > 1:
            notes.error("0.6b", where, f"there are {len(given)} transformations", "give one, a sequence of them")
        _check_ends(given[0], dataset, system, f"{where}[0]", notes)
        return None if axes is None else _placing(given[0], len(axes), f"{where}[0]", notes)

    return place


def _level_kept(dataset: Given) -> dict[str, Any]:
    """Return what the transformation of a level says beside where it lies, such as its own name."""
    said = dataset["coordinateTransformations"][0]
    read = ("type", "input", "output", "scale", "translation", "transformations")
    others = {key: value for key, value in said.items() if key not in read}
    return kept(PLACE, [others] if others else [])


def _check_ends(transform: Given, dataset: Given, system: str | None, where: str, notes: Notes) -> None:
    for key, kind, wanted in (("input", "path", dataset.get("path")), ("output", "name", system)):
        end = transform.get(key)
        found = end.get(kind) if isinstance(end, Mapping) else None
        if not isinstance(found, str):
            told = f"it is {kind_of(end)}" if key in transform else "it is missing"
            told = f"it has no {kind}" if isinstance(end, Mapping) else told
            note = notes.stop if system is None and key == "output" else notes.error
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
    own = CoordinateSystem(systems.name, multiscale.axes, systems.extra)
    listed = [*systems.others[: systems.before], own, *systems.others[systems.before :]]
    known: dict[str, Any] = {"coordinateSystems": [_dump_system(system) for system in listed]}
    if systems.transforms:
        known["coordinateTransformations"] = [dict(transform) for transform in systems.transforms]
    return known


def _dump_system(system: CoordinateSystem) -> dict[str, Any]:
    return with_extra({"name": system.name, "axes": [dump_axis(axis) for axis in system.axes]}, system.extra)


def _dump_place(level: Level, multiscale: Multiscale) -> list[dict[str, Any]]:
    scale = {"type": "scale", "scale": [float(level.scale[dim]) for dim in multiscale.dims]}
    moved = [float(level.translation[dim]) for dim in multiscale.dims]
    system = multiscale.systems.name if multiscale.systems is not None else INTRINSIC
    ends = {"input": {"path": level.path}, "output": {"name": system}}
    steps = {"type": "sequence", "transformations": [scale, {"type": "translation", "translation": moved}]}
    (others,) = level.extra.get(PLACE, [{}])
    return [with_extra({**(steps if any(moved) else scale), **ends}, others)]


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
