"""The JSON of ``plate`` and ``well``, alike in all versions but for where wells say that they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xomezarr import checks
from xomezarr.model import Acquisition, Field, Plate, PlateLine, PlateWell, Well
from xomezarr.spec.listings import path_inside
from xomezarr.spec.notes import Notes, kind_of
from xomezarr.spec.values import integer, kept, optional, present, unread, with_extra, with_kept

__all__ = ["dump_plate", "dump_well", "read_plate", "read_well"]

_VERSION = {"version": True}
"""The versions read this key themselves."""


# -- reading plates ----------------------------------------------------------------------------------------


def read_plate(raw: Any, where: str, notes: Notes, *, indexed: bool) -> Plate | None:
    """Read a plate, so far as it can be; None if `notes` names something that prevents it.

    Rows, columns and wells are needed, and the paths of the wells, which decide where the wells are: indices that
    are missing are taken from them. Versions in which wells are not `indexed` know no indices, and allow for groups
    above those of the rows.
    """
    if not isinstance(raw, Mapping):
        notes.stop("74", where, f"the plate is {kind_of(raw)}", "it must be an object with rows, columns and wells")
        return None
    columns = _read_lines(raw, "columns", "65", where, notes)
    rows = _read_lines(raw, "rows", "72", where, notes)
    # 71 (MUST): the name is a string. 70 (MUST): the field_count is an integer
    name = optional(raw, "name", str, "71", where, notes)
    count = optional(raw, "field_count", int, "70", where, notes)
    acquisitions, unknown = _read_acquisitions(raw, where, notes)
    lines = Plate(rows or (), columns or (), ())
    wells = _read_wells(raw, lines, where, notes, indexed=indexed)
    if rows is None or columns is None or wells is None:
        return None
    read = {"rows": rows, "columns": columns, "wells": wells, "name": name, "field_count": count}
    plate = Plate(
        rows,
        columns,
        wells,
        name,
        acquisitions,
        count,
        other=unread(raw, {**read, "acquisitions": acquisitions, **_VERSION}) | kept("acquisitions", unknown),
    )
    for plate_rule in checks.PLATE_RULES:
        notes.extend(plate_rule(plate, where))
    for index, well in enumerate(wells):
        for well_rule in checks.PLATE_WELL_RULES:
            notes.extend(well_rule(plate, well, f"{where}.wells[{index}]"))
    return plate


def _read_lines(raw: Mapping[str, Any], key: str, rule: str, where: str, notes: Notes) -> tuple[PlateLine, ...] | None:
    """65, 72 (MUST): columns and rows are lists of objects. 67 (MUST): each has a name, a string."""
    entries = _entries(raw, key, rule, where, notes)
    if entries is None:
        return None
    read = []
    for index, entry in enumerate(entries):
        place = f"{where}.{key}[{index}]"
        if not isinstance(entry, Mapping):
            notes.stop(rule, place, f"it is {kind_of(entry)}", "it must be an object with a name")
        elif not isinstance(entry.get("name"), str):
            told = f"it is {kind_of(entry['name'])}" if "name" in entry else "it is missing"
            notes.stop("67", f"{place}.name", told, 'give letters and digits, such as "A" or "12"')
        else:
            line = PlateLine(entry["name"], unread(entry, {"name": entry["name"]}))
            for line_rule in checks.LINE_RULES:
                notes.extend(line_rule(line, place))
            read.append(line)
    if len(read) < len(entries):
        return None
    notes.extend(checks.distinct_lines(read, f"{where}.{key}"))
    return tuple(read)


def _entries(raw: Mapping[str, Any], key: str, rule: str, where: str, notes: Notes) -> list[Any] | None:
    """Return the entries of a list that must be there."""
    entries = raw.get(key)
    if isinstance(entries, list):
        return entries
    told = f"it is {kind_of(entries)}" if key in raw else "it is missing"
    notes.stop(rule, f"{where}.{key}", told, "it must be a list of objects")
    return None


def _read_acquisitions(
    raw: Mapping[str, Any], where: str, notes: Notes
) -> tuple[tuple[Acquisition, ...] | None, list[Any]]:
    """60 (MUST): acquisitions are a list of objects. Those that cannot be told apart are returned as they are."""
    entries = raw.get("acquisitions")
    if not isinstance(entries, list):
        if "acquisitions" in raw:
            notes.error("60", f"{where}.acquisitions", f"it is {kind_of(entries)}", "it must be a list of objects")
        return None, []
    read = [_read_acquisition(entry, f"{where}.acquisitions[{i}]", notes) for i, entry in enumerate(entries)]
    found = tuple(acquisition for acquisition in read if acquisition is not None)
    if len(found) == len(read):
        notes.extend(checks.distinct_acquisitions(found, f"{where}.acquisitions"))
    return found, [entry for entry, run in zip(entries, read, strict=True) if run is None]


def _read_acquisition(raw: Any, where: str, notes: Notes) -> Acquisition | None:
    if not isinstance(raw, Mapping):
        notes.error("60", where, f"the acquisition is {kind_of(raw)}", "it must be an object with an id")
        return None
    number = integer(raw.get("id"))
    if number is None:
        # 61 (MUST): an acquisition has an id, an integer
        told = f"it is {kind_of(raw['id'])}" if "id" in raw else "it is missing"
        notes.error("61", f"{where}.id", told, "give an integer from 0 on")
        return None
    # 62 to 64 (MUST): name and description are strings, the others integers
    name = optional(raw, "name", str, "62", where, notes)
    description = optional(raw, "description", str, "64", where, notes)
    count = optional(raw, "maximumfieldcount", int, "63", where, notes)
    start = optional(raw, "starttime", int, "64", where, notes)
    end = optional(raw, "endtime", int, "64", where, notes)
    read = {"id": number, "name": name, "description": description, "maximumfieldcount": count}
    extra = unread(raw, {**read, "starttime": start, "endtime": end})
    acquisition = Acquisition(number, name, description, count, start, end, extra)
    for rule in checks.ACQUISITION_RULES:
        notes.extend(rule(acquisition, where))
    return acquisition


def _read_wells(
    raw: Mapping[str, Any], lines: Plate, where: str, notes: Notes, *, indexed: bool
) -> tuple[PlateWell, ...] | None:
    entries = _entries(raw, "wells", "74", where, notes)
    if entries is None:
        return None
    read = [
        _read_plate_well(entry, lines, f"{where}.wells[{index}]", notes, indexed=indexed)
        for index, entry in enumerate(entries)
    ]
    wells = tuple(well for well in read if well is not None)
    return wells if len(wells) == len(read) else None


def _read_plate_well(raw: Any, lines: Plate, where: str, notes: Notes, *, indexed: bool) -> PlateWell | None:
    if not isinstance(raw, Mapping):
        notes.stop("74", where, f"the well is {kind_of(raw)}", "it must be an object with a path")
        return None
    path = raw.get("path")
    if not isinstance(path, str):
        # 75 (MUST): a well has a path, a string
        told = f"it is {kind_of(path)}" if "path" in raw else "it is missing"
        notes.stop("75", f"{where}.path", told, 'give the names of a row and a column, such as "A/1"')
        return None
    if path.startswith("/") and checks.leads_below(path.lstrip("/")):
        # 75 (MUST): nothing stands before the names of the row and the column
        told = f"the path {path!r} begins with a slash"
        notes.stop("75", f"{where}.path", told, f"write it from the plate on: {path.lstrip('/')!r}")
        return None
    if not path_inside(path, f"{where}.path", notes):
        return None
    named = checks.row_and_column(lines, path if indexed else "/".join(path.split("/")[-2:]))
    if not indexed:
        named = named or (-1, -1)
    indices = []
    for number, key in enumerate(("rowIndex", "columnIndex")):
        # 76 (MUST): rowIndex and columnIndex are there, integers
        index = integer(raw.get(key))
        if index is None:
            told = f"it is {kind_of(raw[key])}" if key in raw else "it is missing"
            note = notes.stop if named is None else notes.error
            note("76", f"{where}.{key}", told, "count from 0" if named is None else f"write {named[number]}")
            index = named[number] if named is not None else None
        indices.append(index)
    row, column = indices
    if row is None or column is None:
        return None
    return PlateWell(path, row, column, unread(raw, {"path": path, "rowIndex": row, "columnIndex": column}))


# -- reading wells -----------------------------------------------------------------------------------------


def read_well(
    raw: Any, where: str, notes: Notes, *, field_rules: Sequence[checks.FieldRule] = checks.FIELD_RULES
) -> Well | None:
    """Read a well, so far as it can be; None if `notes` names something that prevents it."""
    if not isinstance(raw, Mapping):
        notes.stop("78", where, f"the well is {kind_of(raw)}", "it must be an object that lists images")
        return None
    entries = _entries(raw, "images", "78", where, notes)
    if entries is None:
        return None
    read = [_read_field(entry, f"{where}.images[{index}]", notes, field_rules) for index, entry in enumerate(entries)]
    fields = tuple(field for field in read if field is not None)
    if len(fields) < len(read):
        return None
    well = Well(fields, other=unread(raw, {"images": fields, **_VERSION}))
    for rule in checks.WELL_RULES:
        notes.extend(rule(well, where))
    return well


def _read_field(raw: Any, where: str, notes: Notes, rules: Sequence[checks.FieldRule]) -> Field | None:
    if not isinstance(raw, Mapping):
        notes.stop("78", where, f"the image is {kind_of(raw)}", "it must be an object with a path")
        return None
    path = raw.get("path")
    if not isinstance(path, str):
        # 79 (MUST): an image of a well has a path, a string
        told = f"it is {kind_of(path)}" if "path" in raw else "it is missing"
        notes.stop("79", f"{where}.path", told, 'give letters and digits, such as "0"')
        return None
    if not path_inside(path, f"{where}.path", notes):
        return None
    # 81 (MUST): the acquisition is an integer
    acquisition = optional(raw, "acquisition", int, "81", where, notes)
    field = Field(path, acquisition, unread(raw, {"path": path, "acquisition": acquisition}))
    for rule in rules:
        notes.extend(rule(field, where))
    return field


# -- writing -----------------------------------------------------------------------------------------------


def dump_plate(plate: Plate) -> dict[str, Any]:
    """Return a plate as JSON."""
    acquisitions = plate.acquisitions
    known = {
        "name": plate.name,
        "rows": [_dump_line(line) for line in plate.rows],
        "columns": [_dump_line(line) for line in plate.columns],
        "wells": [
            with_extra({"path": well.path, "rowIndex": well.row_index, "columnIndex": well.column_index}, well.extra)
            for well in plate.wells
        ],
        "field_count": plate.field_count,
        "acquisitions": None if acquisitions is None else [_dump_acquisition(run) for run in acquisitions],
    }
    return with_extra(with_kept(present(known), "acquisitions", plate.other), plate.other)


def _dump_line(line: PlateLine) -> dict[str, Any]:
    return with_extra({"name": line.name}, line.extra)


def _dump_acquisition(acquisition: Acquisition) -> dict[str, Any]:
    known = {
        "id": acquisition.id,
        "name": acquisition.name,
        "description": acquisition.description,
        "maximumfieldcount": acquisition.maximum_field_count,
        "starttime": acquisition.start_time,
        "endtime": acquisition.end_time,
    }
    return with_extra(present(known), acquisition.extra)


def dump_well(well: Well) -> dict[str, Any]:
    """Return a well as JSON."""
    fields = [
        with_extra(present({"path": field.path, "acquisition": field.acquisition}), field.extra)
        for field in well.fields
    ]
    return with_extra({"images": fields}, well.other)
