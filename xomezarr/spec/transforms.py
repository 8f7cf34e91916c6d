"""The JSON of coordinate transformations and coordinate systems, as OME-Zarr has them from 0.6 on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from xomezarr.errors import TransformError
from xomezarr.spec.notes import Notes, kind_of
from xomezarr.spec.values import integer, number
from xomezarr.transforms import (
    Affine,
    Bijection,
    ByDimension,
    Chain,
    Divided,
    Identity,
    MapAxis,
    Part,
    ProjectAxis,
    Rotation,
    Scale,
    Stored,
    Transform,
    Translation,
)

__all__ = ["KINDS", "dump_transform", "inputs_of", "read_transform"]

type Given = Mapping[str, Any]

RULE = "39"
"""A transformation has what its type asks for (MUST)."""

DEEPEST = 200
"""Objects and lists that lie in each other at most: fewer than Python's stack has room for, more than anybody needs."""


def read_transform(raw: Any, inputs: int, where: str, notes: Notes) -> Transform | None:
    """Read a transformation.

    Parameters
    ----------
    raw
        JSON.
    inputs
        Axes of the system that it leads from.
    where
        Its place.
    notes
        Takes the findings.

    Returns
    -------
    Transform or None
        None if `notes` names something that prevents reading.
    """
    if _is_too_deep(raw):
        told = f"the transformation consists of others, these of others, and so on, in more than {DEEPEST} brackets"
        notes.stop(RULE, where, told, "write one sequence, which maps as they do")
        return None
    return _read(raw, inputs, where, notes)


def _is_too_deep(raw: Any) -> bool:
    """Whether more objects and lists lie in each other than are read."""
    within = [raw] if isinstance(raw, Mapping | list) else []
    for _ in range(DEEPEST):
        lists = (one.values() if isinstance(one, Mapping) else one for one in within)
        within = [part for parts in lists for part in parts if isinstance(part, Mapping | list)]
        if not within:
            return False
    return True


def _read(raw: Any, inputs: int, where: str, notes: Notes) -> Transform | None:
    """Read a transformation, be it a part of another one."""
    kind = raw.get("type") if isinstance(raw, Mapping) else None
    if not isinstance(kind, str):
        # 38 (MUST): a transformation has a type
        told = f"the transformation is {kind_of(raw)}" if not isinstance(raw, Mapping) else "it has no type"
        notes.stop("38", where, told, f"give a type: {', '.join(KINDS)}")
        return None
    if kind not in KINDS:
        notes.stop("27", f"{where}.type", f"the type {kind!r} is not known", f"known are {', '.join(KINDS)}")
        return None
    try:
        made = KINDS[kind](raw, inputs, where, notes)
        if made is not None and made.inputs not in (None, inputs):
            raise TransformError(
                f"it maps points of {made.inputs} coordinates, and there are {inputs} axes; give it a number for each"
            )
    except TransformError as error:
        notes.stop(RULE, where, f"the {kind} cannot be used: {error}")
        return None
    return made


def inputs_of(raw: Any) -> int:
    """Return how many axes a transformation leads from by what it says itself; 1 where it leaves that open.

    >>> inputs_of({"type": "sequence", "transformations": [{"type": "identity"}, {"type": "scale", "scale": [1, 2]}]})
    2
    """
    return 1 if _is_too_deep(raw) else _inputs_of(raw) or 1


def _inputs_of(raw: Any) -> int | None:
    if not isinstance(raw, Mapping):
        return None
    match raw:
        case {"type": "scale" | "translation" | "mapAxis" as kind, **values} if isinstance(values.get(kind), list):
            return len(values[kind])
        case {"type": "affine" | "rotation" as kind, **values} if isinstance(values.get(kind), list):
            row = next(iter(values[kind]), None)
            return len(row) - (kind == "affine") if isinstance(row, list) else None
        case {"type": "sequence", "transformations": list(steps)}:
            return next((count for step in steps if (count := _inputs_of(step)) is not None), None)
        case {"type": "bijection", "forward": forward}:
            return _inputs_of(forward)
        case {"type": "byDimension", "transformations": list(parts)}:
            named = [part.get("inputAxes", part.get("input_axes")) for part in parts if isinstance(part, Mapping)]
            return _beyond(axis for axes in named if isinstance(axes, list) for axis in axes)
        case {"type": "projectAxis", "droppedInputs": list(axes)}:
            return _beyond(axes)
    return None


def _beyond(axes: Iterable[Any]) -> int | None:
    """Return how many axes there are at least where some have these indices."""
    return max((index + 1 for axis in axes if (index := integer(axis)) is not None), default=None)


def _numbers(raw: Given, key: str, where: str, notes: Notes) -> tuple[float, ...] | None:
    values = raw.get(key)
    read = [number(value) for value in values] if isinstance(values, list) else [None]
    found = tuple(value for value in read if value is not None and np.isfinite(value))
    if len(found) == len(read):
        return found
    told = f"it is {kind_of(values)}" if not isinstance(values, list) else "not all of it are finite numbers"
    notes.stop(RULE, f"{where}.{key}", told if key in raw else "it is missing", "give a number for each axis")
    return None


def _matrix(raw: Given, key: str, where: str, notes: Notes) -> list[tuple[float, ...]] | None:
    rows = raw.get(key)
    if not isinstance(rows, list):
        told = "it is missing" if key not in raw else f"it is {kind_of(rows)}"
        notes.stop(RULE, f"{where}.{key}", told, "give rows of numbers, or the path of an array that holds them")
        return None
    read = [_numbers({"row": row}, "row", f"{where}.{key}[{index}]", notes) for index, row in enumerate(rows)]
    found = [row for row in read if row is not None]
    if len({len(row) for row in found}) > 1:
        notes.stop(RULE, f"{where}.{key}", "its rows are of different lengths", "give each as many numbers")
        return None
    return found if len(found) == len(read) else None


def _axes(raw: Given, key: str, where: str, notes: Notes, *, old: str = "") -> tuple[int, ...] | None:
    """Read indices of axes; `old` is how a version under way named the key."""
    values = raw.get(key, raw.get(old))
    read = [integer(value) for value in values] if isinstance(values, list) else [None]
    found = tuple(value for value in read if value is not None)
    if len(found) == len(read):
        return found
    told = f"it is {kind_of(values)}" if values is not None else "it is missing"
    notes.stop(RULE, f"{where}.{key}", told, "give a list of axes, counted from 0")
    return None


def _identity(raw: Given, inputs: int, where: str, notes: Notes) -> Transform:
    return Identity()


def _scale(raw: Given, inputs: int, where: str, notes: Notes) -> Transform | None:
    values = _numbers(raw, "scale", where, notes)
    if values is not None and any(value <= 0 for value in values):
        # 91 (own): scales are positive
        notes.stop("91", f"{where}.scale", f"the scale is {list(values)}", "give numbers above 0")
        return None
    return None if values is None else Scale(values)


def _translation(raw: Given, inputs: int, where: str, notes: Notes) -> Transform | None:
    values = _numbers(raw, "translation", where, notes)
    return None if values is None else Translation(values)


def _map_axis(raw: Given, inputs: int, where: str, notes: Notes) -> Transform | None:
    order = _axes(raw, "mapAxis", where, notes)
    return None if order is None else MapAxis(order)


def _project_axis(raw: Given, inputs: int, where: str, notes: Notes) -> Transform | None:
    given = [key for key in ("droppedInputs", "createdOutputs") if key in raw]
    if not given:
        notes.stop(RULE, where, "it neither drops nor creates an axis", "give droppedInputs or createdOutputs")
        return None
    read = {key: _axes(raw, key, where, notes) for key in given}
    if None in read.values():
        return None
    return ProjectAxis(inputs, read.get("droppedInputs") or (), read.get("createdOutputs") or ())


def _stored(raw: Given, inputs: int, where: str, notes: Notes) -> Transform | None:
    """Numbers lie in an array; where they stand in the metadata too, those of the array count."""
    path = raw.get("path")
    if not isinstance(path, str):
        told = f"the path is {kind_of(path)}" if "path" in raw else "there is no path"
        notes.stop(RULE, f"{where}.path", told, "give that of the array that holds its numbers")
        return None
    own = ("type", "path", "name", "input", "output")
    return Stored(raw["type"], path, {key: value for key, value in raw.items() if key not in own})


def _affine(raw: Given, inputs: int, where: str, notes: Notes) -> Transform | None:
    if "path" in raw:
        return _stored(raw, inputs, where, notes)
    rows = _matrix(raw, "affine", where, notes)
    return None if rows is None else Affine(np.array(rows))


def _rotation(raw: Given, inputs: int, where: str, notes: Notes) -> Transform | None:
    if "path" in raw:
        return _stored(raw, inputs, where, notes)
    rows = _matrix(raw, "rotation", where, notes)
    made = None if rows is None else Rotation(np.array(rows))
    if made is not None and made.mirrors:
        notes.error(RULE, f"{where}.rotation", "its determinant is -1, so that it mirrors", "give it as an affine")
    return made


def _entries(raw: Given, where: str, notes: Notes) -> list[Any] | None:
    entries = raw.get("transformations")
    if isinstance(entries, list):
        return entries
    told = f"it is {kind_of(entries)}" if "transformations" in raw else "it is missing"
    notes.stop(RULE, f"{where}.transformations", told, "list transformations")
    return None


def _sequence(raw: Given, inputs: int, where: str, notes: Notes) -> Transform | None:
    """40 (MUST): they are applied in their order."""
    entries = _entries(raw, where, notes)
    if entries is None:
        return None
    if not entries:
        notes.warn(RULE, f"{where}.transformations", "it is empty", "list transformations, or make it an identity")
    steps: list[Transform] = []
    for index, entry in enumerate(entries):
        step = _read(entry, inputs, f"{where}.transformations[{index}]", notes)
        if step is None:
            return None
        steps.append(step)
        inputs = inputs if step.outputs is None else step.outputs
    return Chain(tuple(steps))


def _by_dimension(raw: Given, inputs: int, where: str, notes: Notes) -> Transform | None:
    entries = _entries(raw, where, notes)
    if entries is None:
        return None
    parts = []
    for index, entry in enumerate(entries):
        place = f"{where}.transformations[{index}]"
        if not isinstance(entry, Mapping):
            notes.stop(RULE, place, f"it is {kind_of(entry)}", "give an object with a transformation and its axes")
            return None
        before = _axes(entry, "inputAxes", place, notes, old="input_axes")
        after = _axes(entry, "outputAxes", place, notes, old="output_axes")
        if before is None or after is None:
            return None
        # versions under way had the transformation's keys beside its axes
        inner = entry.get("transformation", entry)
        part = _read(inner, len(before), f"{place}.transformation", notes)
        if part is None:
            return None
        parts.append(Part(part, before, after))
    return ByDimension(inputs, tuple(parts))


def _bijection(raw: Given, inputs: int, where: str, notes: Notes) -> Transform | None:
    forward = _read(raw.get("forward"), inputs, f"{where}.forward", notes)
    if forward is None:
        return None
    outputs = inputs if forward.outputs is None else forward.outputs
    backward = _read(raw.get("inverse"), outputs, f"{where}.inverse", notes)
    return None if backward is None else Bijection(forward, backward)


KINDS: Mapping[str, Callable[[Given, int, str, Notes], Transform | None]] = {
    "identity": _identity,
    "scale": _scale,
    "translation": _translation,
    "mapAxis": _map_axis,
    "projectAxis": _project_axis,
    "affine": _affine,
    "rotation": _rotation,
    "sequence": _sequence,
    "byDimension": _by_dimension,
    "bijection": _bijection,
    "displacements": _stored,
    "coordinates": _stored,
}
"""How each type is read."""


def dump_transform(transform: Transform) -> dict[str, Any]:
    """Return a transformation as JSON.

    Raises
    ------
    TransformError
        If it is of no type that OME-Zarr has.
    """
    match transform:
        case Identity() | Chain(()):
            return {"type": "identity"}
        case Scale(scale):
            return {"type": "scale", "scale": list(scale)}
        case Divided(scale):
            return {"type": "scale", "scale": [1 / value for value in scale]}
        case Translation(translation):
            return {"type": "translation", "translation": list(translation)}
        case MapAxis(order):
            return {"type": "mapAxis", "mapAxis": list(order)}
        case ProjectAxis(_, dropped, created):
            named: dict[str, Sequence[int]] = {"droppedInputs": dropped, "createdOutputs": created}
            return {"type": "projectAxis"} | {key: list(axes) for key, axes in named.items() if axes}
        case Affine():
            return {"type": "affine", "affine": transform.values.tolist()}
        case Rotation() if transform.mirrors:  # none, as OME-Zarr has them
            return dump_transform(Affine(transform.matrix(transform.inputs)))
        case Rotation():
            return {"type": "rotation", "rotation": transform.values.tolist()}
        case Stored(kind, path, extra):
            return {"type": kind, "path": path, **extra}
        case Chain(steps):
            return {"type": "sequence", "transformations": [dump_transform(step) for step in steps]}
        case ByDimension(_, parts):
            made = [
                {
                    "transformation": dump_transform(part.transform),
                    "inputAxes": list(part.inputs),
                    "outputAxes": list(part.outputs),
                }
                for part in parts
            ]
            return {"type": "byDimension", "transformations": made}
        case Bijection(forward, backward):
            return {"type": "bijection", "forward": dump_transform(forward), "inverse": dump_transform(backward)}
    raise TransformError(
        f"OME-Zarr has no transformation that says what {type(transform).__name__} does; give its matrix as an affine"
    )
