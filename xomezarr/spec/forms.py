"""The forms in which versions up to 0.5 say what axes there are, and where levels lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from xomezarr import checks
from xomezarr.errors import MetadataError
from xomezarr.model import Axis, Level, Multiscale
from xomezarr.orientation import ANATOMICAL, ORIENTATIONS
from xomezarr.report import Finding
from xomezarr.spec.form import Form, Placing, alone
from xomezarr.spec.notes import Notes, kind_of
from xomezarr.spec.values import number, present, with_extra

__all__ = ["FIVE", "NAMED", "OBJECTS", "dump_axis", "read_axes"]

ORDER = "tczyx"
"""The axes that there are up to 0.3, in their order."""

TYPES = {"t": "time", "c": "channel"}
"""What these are axes of, where not of space."""


def _axis(name: str) -> Axis:
    return Axis(name, TYPES.get(name, "space"))


def _named_apart(notes: Notes, findings: Iterable[Finding]) -> bool:
    """Note what the rules of axes found; whether all names differ, without which there are no dimensions."""
    found = list(findings)
    notes.extend(found, stops={"8"})
    return all(finding.rule != "8" for finding in found)


# -- no axes, up to 0.2 --------------------------------------------------------------------------------------


def _five_axes(raw: Mapping[str, Any], where: str, notes: Notes) -> tuple[Axis, ...]:
    """Return the axes that every image has. A list of axes is none of these versions' keys, and not read."""
    if "axes" in raw:
        told = f"there are axes, which are not read: images have {', '.join(ORDER)} up to version 0.2"
        notes.warn("0.3a", f"{where}.axes", told, 'write the version "0.3" if that is what the metadata are')
    return tuple(map(_axis, ORDER))


FIVE = Form(axes=alone(_five_axes), levels=None, keys=frozenset(), level_keys=frozenset())
"""Up to 0.2: images have five axes, and levels lie nowhere."""


# -- axes that are names, in 0.3 -----------------------------------------------------------------------------


def _named_axes(raw: Mapping[str, Any], where: str, notes: Notes) -> tuple[Axis, ...] | None:
    """0.3a (MUST): there are axes, names of dimensions, each of t, c, z, y, x."""
    names = raw.get("axes")
    if not isinstance(names, list):
        told = f"the axes are {kind_of(names)}" if "axes" in raw else "there are no axes"
        notes.stop("14", f"{where}.axes" if "axes" in raw else where, told, "list the names of the dimensions")
        return None
    unknown = [index for index, name in enumerate(names) if name not in tuple(ORDER)]
    for index in unknown:
        told = f"the axis is {kind_of(names[index])}"
        notes.stop("0.3a", f"{where}.axes[{index}]", told, f"give one of {', '.join(ORDER)}")
    if unknown:
        return None
    axes = tuple(map(_axis, names))
    return axes if _named_apart(notes, checks.check_axes(axes, where, rules=checks.NAMED_AXIS_RULES)) else None


NAMED = Form(axes=alone(_named_axes), levels=None, keys=frozenset({"axes"}), level_keys=frozenset())
"""0.3: axes are names."""


# -- axes that are objects, from 0.4 on -----------------------------------------------------------------------


def read_axes(
    raw: Mapping[str, Any], where: str, notes: Notes, *, rules: Sequence[checks.AxisRule] = checks.AXIS_RULES
) -> tuple[Axis, ...] | None:
    """Read the axes; None if they cannot name dimensions. `rules` are those that they are to obey."""
    if "axes" not in raw:
        # 14 (MUST): "axes" is present
        notes.stop("14", where, "there are no axes", "list one object with a name and a type for each dimension")
        return None
    if not isinstance(raw["axes"], list):
        notes.stop("14", f"{where}.axes", f"the axes are {kind_of(raw['axes'])}", "they must be a list of objects")
        return None
    read = [_read_axis(axis, f"{where}.axes[{index}]", notes) for index, axis in enumerate(raw["axes"])]
    axes = tuple(axis for axis in read if axis is not None)
    if len(axes) < len(read):
        return None
    return axes if _named_apart(notes, checks.check_axes(axes, where, rules=rules)) else None


def _read_axis(raw: Any, where: str, notes: Notes) -> Axis | None:
    """7 (MUST): each axis is an object with a name, a string."""
    if not isinstance(raw, Mapping):
        hint = ", as up to 0.3" if isinstance(raw, str) else ""
        notes.stop("7", where, f"the axis is {kind_of(raw)}{hint}", 'write {"name": …, "type": …}')
        return None
    if not isinstance(raw.get("name"), str):
        told = f"its name is {kind_of(raw['name'])}" if "name" in raw else "the axis has no name"
        notes.stop("7", f"{where}.name", told, "give it a string")
        return None
    kind, unit = raw.get("type"), raw.get("unit")
    # null stands for "none" in the text of "multiscales", though no schema takes it
    if kind is not None and not isinstance(kind, str):
        notes.error("10", f"{where}.type", f"the type is {kind_of(kind)}", "give a string, or none")
    if unit is not None and not isinstance(unit, str):
        notes.error("12", f"{where}.unit", f"the unit is {kind_of(unit)}", "give a string, or none")
    orientation = _orientation(raw)
    known = ("name", "type", "unit", *(("orientation",) if orientation is not None else ()))
    return Axis(
        raw["name"],
        kind if isinstance(kind, str) else None,
        unit if isinstance(unit, str) else None,
        orientation,
        {key: value for key, value in raw.items() if key not in known},
    )


def _orientation(raw: Mapping[str, Any]) -> str | None:
    """Return which way an axis of space runs through a body; None for all else, which stays an unknown key."""
    given = raw.get("orientation")
    value = given.get("value") if isinstance(given, Mapping) else None
    known = isinstance(value, str) and value in ORIENTATIONS and given == _dump_orientation(value)
    return value if known and raw.get("type") == "space" else None


def _dump_orientation(value: str) -> dict[str, str]:
    return {"type": ANATOMICAL, "value": value}


# -- coordinate transformations ----------------------------------------------------------------------------


def _read_placings(
    raw: Mapping[str, Any], axes: tuple[Axis, ...] | None, where: str, notes: Notes
) -> Callable[[Mapping[str, Any], str], Placing | None]:
    """33 (MUST): a multiscale's own coordinateTransformations obey the same rules as those of its datasets."""
    whole = None
    if "coordinateTransformations" in raw:
        whole = _read_transforms(
            raw["coordinateTransformations"], axes, f"{where}.coordinateTransformations", notes, whole="33"
        )

    def place(dataset: Mapping[str, Any], place: str) -> Placing | None:
        if "coordinateTransformations" not in dataset:
            # 26 (MUST): each dataset has coordinateTransformations
            notes.stop("26", place, "there are no coordinateTransformations", "give the dataset a scale")
            return None
        given = dataset["coordinateTransformations"]
        placing = _read_transforms(given, axes, f"{place}.coordinateTransformations", notes)
        return placing if placing is None or whole is None else placing.then(whole)

    return place


def _read_transforms(
    raw: Any, axes: tuple[Axis, ...] | None, where: str, notes: Notes, *, whole: str | None = None
) -> Placing | None:
    """Read a list of transformations into the one that they make together.

    40 (MUST): they are applied in their order. Whatever has a definite result is read, the rules of count
    and order notwithstanding.

    Parameters
    ----------
    raw, where
        The list, and its place.
    axes
        None if they could not be read; then only the JSON is looked at.
    notes
        Takes the findings.
    whole
        The rule to name for whatever is wrong, where the list stands for a whole multiscale.
    """
    if not isinstance(raw, list):
        notes.stop(whole or "26", where, f"it is {kind_of(raw)}", "it must be a list: a scale, then a translation")
        return None
    read = [_read_transform(transform, axes, f"{where}[{index}]", notes, whole) for index, transform in enumerate(raw)]
    kinds = [transform.get("type") for transform in raw if isinstance(transform, Mapping)]
    _check_transform_kinds(kinds, where, notes, whole)
    # a pixel size that nothing gives is not made up; an identity gives one, and beside a whole's so do the datasets
    sized = whole is not None or "scale" in kinds or "identity" in kinds
    if not sized or axes is None or any(placing is None for placing in read):
        return None
    placed = Placing.identity(len(axes))
    for placing in read:
        if placing is not None:
            placed = placed.then(placing)
    return placed


def _check_transform_kinds(kinds: Sequence[Any], where: str, notes: Notes, whole: str | None) -> None:
    """28, 30, 31 (MUST): exactly one scale, then at most one translation."""
    scales, translations = kinds.count("scale"), kinds.count("translation")
    if scales == 0:
        note = notes.error if whole or "identity" in kinds else notes.stop
        note(whole or "28", where, "there is no scale", "give one number for each axis")
    if scales > 1:
        notes.error(whole or "28", where, f"there are {scales} scales", "give one, their product")
    if translations > 1:
        notes.error(whole or "30", where, f"there are {translations} translations", "give one, their sum")
    elif translations and scales and kinds.index("translation") < kinds.index("scale"):
        notes.error(
            whole or "31", where, "the translation stands before the scale", "put it after, multiplied by the scale"
        )


def _read_transform(
    raw: Any, axes: tuple[Axis, ...] | None, where: str, notes: Notes, whole: str | None
) -> Placing | None:
    kind = raw.get("type") if isinstance(raw, Mapping) else None
    if not isinstance(kind, str):
        # 38 (MUST): a transformation has a type
        notes.stop(whole or "38", where, "the transformation has no type", 'give "scale" or "translation"')
        return None
    if kind not in ("scale", "translation", "identity"):
        # 27 (MUST): only scale and translation
        notes.stop(whole or "27", f"{where}.type", f"the type is {kind!r}", 'give "scale" or "translation"')
        return None
    if kind == "identity":
        notes.error(whole or "27", f"{where}.type", "the type is 'identity'", "write a scale of ones")
        return Placing.identity(len(axes or ()))
    values = _numbers(raw.get(kind))
    if values is None:
        # 39 (MUST): a scale has "scale", a translation "translation", a list of numbers
        told = f"{kind} is {kind_of(raw[kind])}, not one of numbers alone" if kind in raw else f"there is no {kind}"
        if "path" in raw:
            told = f"the {kind} is kept in an array at {raw['path']!r}, which is not read"
        notes.stop(whole or "39", where, told, "give a list of numbers")
        return None
    if axes is None:
        return None
    if len(values) != len(axes):
        # 32 (MUST): as many numbers as axes
        notes.stop(
            whole or "32",
            f"{where}.{kind}",
            f"there are {len(values)} numbers for {len(axes)} axes",
            f"give one number for each of {', '.join(axis.name for axis in axes)}",
        )
        return None
    identity = Placing.identity(len(axes))
    return Placing(values, identity.translation) if kind == "scale" else Placing(identity.scale, values)


def _numbers(value: Any) -> tuple[float, ...] | None:
    if not isinstance(value, list):
        return None
    numbers = [number(item) for item in value]
    found = tuple(item for item in numbers if item is not None)
    return found if len(found) == len(numbers) else None


# -- writing -----------------------------------------------------------------------------------------------


def dump_axis(axis: Axis) -> dict[str, Any]:
    """Return an axis as JSON."""
    orientation = None if axis.orientation is None else _dump_orientation(axis.orientation)
    known = {"name": axis.name, "type": axis.type, "unit": axis.unit, "orientation": orientation}
    return with_extra(present(known), axis.extra)


def _dump(multiscale: Multiscale) -> dict[str, Any]:
    """Every level has a scale and a translation, by which no transformation is needed for the whole."""
    systems = multiscale.systems
    if systems is not None and (systems.others or systems.transforms):
        names = ", ".join(map(repr, multiscale.other_systems)) or "others"
        raise MetadataError(
            f"the image {multiscale.name!r} has coordinate systems beside that of its pixels ({names}), which no "
            'version before 0.6 can hold; give version="0.6", or write level 0 alone, as it lies in that: '
            f"xr.open_dataarray(store, engine='omezarr', coordinate_system={systems.name!r}).omezarr.to_zarr(…)"
        )
    return {"axes": [dump_axis(axis) for axis in multiscale.axes]}


def _dump_place(level: Level, multiscale: Multiscale) -> list[dict[str, Any]]:
    dims = multiscale.dims
    return [
        {"type": "scale", "scale": [float(level.scale[dim]) for dim in dims]},
        {"type": "translation", "translation": [float(level.translation[dim]) for dim in dims]},
    ]


OBJECTS = Form(
    axes=alone(read_axes),
    levels=_read_placings,
    keys=frozenset({"axes", "coordinateTransformations"}),
    level_keys=frozenset({"coordinateTransformations"}),
    dump=_dump,
    dump_place=_dump_place,
)
"""0.4 and 0.5: axes are objects, and each level has a scale."""
