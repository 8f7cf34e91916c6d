"""What OME-Zarr demands of plates and wells."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from xomezarr.model import Acquisition, Field, Plate, PlateLine, PlateWell, Well
from xomezarr.report import Finding

__all__ = [
    "ACQUISITION_RULES",
    "ALPHANUMERIC",
    "FIELD_RULES",
    "LINE_RULES",
    "PLAIN_FIELD_RULES",
    "PLATE_RULES",
    "PLATE_WELL_RULES",
    "WELL_RULES",
    "distinct_acquisitions",
    "distinct_lines",
    "row_and_column",
]

ALPHANUMERIC = re.compile(r"[A-Za-z0-9]+")
"""Names of rows, columns and fields."""

_WELL_PATH = re.compile(r"([A-Za-z0-9]+)/([A-Za-z0-9]+)")


# -- rows and columns --------------------------------------------------------------------------------------


def alphanumeric_line(line: PlateLine, where: str) -> Iterator[Finding]:
    """67 (MUST): the name of a row or column consists of letters and digits, and differs from all others."""
    if not ALPHANUMERIC.fullmatch(line.name):
        yield Finding(
            "67", "error", f"{where}.name", f"the name is {line.name!r}", 'give letters and digits, such as "A" or "12"'
        )


def distinct_lines(lines: Sequence[PlateLine], where: str) -> Iterator[Finding]:
    """68 (MUST): rows differ in name, and so do columns. 69 (SHOULD): not by upper and lower case alone."""
    names: set[str] = set()
    folded: dict[str, str] = {}
    for index, line in enumerate(lines):
        place = f"{where}[{index}].name"
        if line.name in names:
            yield Finding("68", "error", place, f"the name {line.name!r} is there twice", "name each differently")
        elif line.name.lower() in folded:
            other = folded[line.name.lower()]
            yield Finding(
                "69",
                "warning",
                place,
                f"{line.name!r} and {other!r} are the same folder on some systems",
                "give names that differ by more than their case",
            )
        names.add(line.name)
        folded.setdefault(line.name.lower(), line.name)


# -- acquisitions ------------------------------------------------------------------------------------------


def acquisition_id(acquisition: Acquisition, where: str) -> Iterator[Finding]:
    """61 (MUST): the id of an acquisition is an integer, 0 or more."""
    if acquisition.id < 0:
        yield Finding("61", "error", f"{where}.id", f"the id is {acquisition.id}", "give an integer from 0 on")


def acquisition_named(acquisition: Acquisition, where: str) -> Iterator[Finding]:
    """62 (SHOULD): an acquisition has a name."""
    if acquisition.name is None and "name" not in acquisition.extra:
        yield Finding("62", "warning", where, "the acquisition has no name", "give it one")


def fields_of_acquisition(acquisition: Acquisition, where: str) -> Iterator[Finding]:
    """63 (SHOULD): an acquisition says how many fields it took at most; (MUST) a positive integer."""
    count = acquisition.maximum_field_count
    if count is None and "maximumfieldcount" not in acquisition.extra:
        yield Finding("63", "warning", where, "there is no maximumfieldcount", "give a positive integer")
    if count is not None and count < 1:
        yield Finding("63", "error", f"{where}.maximumfieldcount", f"it is {count}", "give a positive integer")


def times_of_acquisition(acquisition: Acquisition, where: str) -> Iterator[Finding]:
    """64 (MUST): the times of an acquisition are integers, seconds since the epoch."""
    for key, value in (("starttime", acquisition.start_time), ("endtime", acquisition.end_time)):
        if value is not None and value < 0:
            yield Finding("64", "error", f"{where}.{key}", f"it is {value}", "give an integer from 0 on")


def distinct_acquisitions(acquisitions: Sequence[Acquisition], where: str) -> Iterator[Finding]:
    """61 (MUST): the ids of acquisitions are unique within the plate."""
    ids: set[int] = set()
    for index, acquisition in enumerate(acquisitions):
        if acquisition.id in ids:
            yield Finding(
                "61", "error", f"{where}[{index}].id", f"the id {acquisition.id} is there twice", "give each its own"
            )
        ids.add(acquisition.id)


# -- wells of a plate --------------------------------------------------------------------------------------


def row_and_column(plate: Plate, path: str) -> tuple[int, int] | None:
    """Return the places of the row and the column that the path of a well names; None if it names none."""
    parts = path.split("/")
    if len(parts) != 2:
        return None
    found = [
        next((index for index, line in enumerate(lines) if line.name == name), None)
        for lines, name in zip((plate.rows, plate.columns), parts, strict=True)
    ]
    return None if found[0] is None or found[1] is None else (found[0], found[1])


def well_path(plate: Plate, well: PlateWell, where: str) -> Iterator[Finding]:
    """75 (MUST): the path of a well is the name of a row, a slash, and the name of a column, each of which is listed.

    Groups beyond these two are not allowed.
    """
    if not _WELL_PATH.fullmatch(well.path):
        yield Finding(
            "75",
            "error",
            f"{where}.path",
            f"the path is {well.path!r}",
            'give the names of a row and a column, such as "A/1"',
        )
    elif row_and_column(plate, well.path) is None:
        row, column = well.path.split("/")
        missing = [
            f"{name!r} is no {told}"
            for name, lines, told in ((row, plate.rows, "row"), (column, plate.columns, "column"))
            if name not in {line.name for line in lines}
        ]
        yield Finding(
            "75",
            "error",
            f"{where}.path",
            f"in the path {well.path!r}, {' and '.join(missing)}",
            "name a row and a column of the plate, in this order",
        )


def well_indices(plate: Plate, well: PlateWell, where: str) -> Iterator[Finding]:
    """76 (MUST): rowIndex and columnIndex are places among the rows and columns, counted from 0."""
    for key, index, lines, told in (
        ("rowIndex", well.row_index, plate.rows, "rows"),
        ("columnIndex", well.column_index, plate.columns, "columns"),
    ):
        if not 0 <= index < len(lines):
            yield Finding(
                "76", "error", f"{where}.{key}", f"it is {index}, and there are {len(lines)} {told}", "count from 0"
            )


def well_agrees(plate: Plate, well: PlateWell, where: str) -> Iterator[Finding]:
    """77 (MUST): the path of a well and its indices refer to the same row and column."""
    named = row_and_column(plate, well.path)
    if named is None or not (0 <= well.row_index < len(plate.rows) and 0 <= well.column_index < len(plate.columns)):
        return
    row, column = plate.rows[well.row_index].name, plate.columns[well.column_index].name
    if f"{row}/{column}" != well.path:
        yield Finding(
            "77",
            "error",
            where,
            f"the path is {well.path!r}, and the indices {well.row_index} and {well.column_index} are those of "
            f"{row}/{column}",
            f"the path tells where the well is: write rowIndex {named[0]}, columnIndex {named[1]}",
        )


# -- plates ------------------------------------------------------------------------------------------------


def lines_given(plate: Plate, where: str) -> Iterator[Finding]:
    """65, 72 (MUST): a plate lists its columns, and its rows, at least one."""
    for rule, key, lines in (("65", "columns", plate.columns), ("72", "rows", plate.rows)):
        if not lines:
            yield Finding(rule, "error", f"{where}.{key}", "it is empty", f"list all {key} of the plate")


def fields_of_plate(plate: Plate, where: str) -> Iterator[Finding]:
    """70 (SHOULD): a plate says how many fields a well has at most; (MUST) a positive integer."""
    if plate.field_count is None and "field_count" not in plate.other:
        yield Finding("70", "warning", where, "there is no field_count", "give a positive integer")
    if plate.field_count is not None and plate.field_count < 1:
        yield Finding("70", "error", f"{where}.field_count", f"it is {plate.field_count}", "give a positive integer")


def plate_named(plate: Plate, where: str) -> Iterator[Finding]:
    """71 (SHOULD): a plate has a name."""
    if plate.name is None and "name" not in plate.other:
        yield Finding("71", "warning", where, "the plate has no name", "give it one: name=")


def wells_given(plate: Plate, where: str) -> Iterator[Finding]:
    """74 (MUST): a plate lists its wells, at least one, and each once."""
    if not plate.wells:
        yield Finding("74", "error", f"{where}.wells", "it is empty", "list the wells that hold images")
    paths: set[str] = set()
    for index, well in enumerate(plate.wells):
        if well.path in paths:
            yield Finding(
                "74", "error", f"{where}.wells[{index}].path", f"the well {well.path!r} is there twice", "list it once"
            )
        paths.add(well.path)


# -- wells -------------------------------------------------------------------------------------------------


def alphanumeric_field(field: Field, where: str) -> Iterator[Finding]:
    """79 (MUST): the path of an image of a well consists of letters and digits."""
    if not ALPHANUMERIC.fullmatch(field.path):
        yield Finding(
            "79", "error", f"{where}.path", f"the path is {field.path!r}", 'give letters and digits, such as "0"'
        )


PLAIN = re.compile(r"(?!__|\.+$)[A-Za-z0-9_.-]+")


def plain_field(field: Field, where: str) -> Iterator[Finding]:
    """79 (MUST, 0.6): it consists of letters, digits, _, - and ., does not begin with __, and is not of dots alone."""
    if not PLAIN.fullmatch(field.path):
        cure = 'give letters, digits, _, - and ., such as "0"'
        yield Finding("79", "error", f"{where}.path", f"the path is {field.path!r}", cure)


def fields_given(well: Well, where: str) -> Iterator[Finding]:
    """78 (MUST): a well lists its images, at least one."""
    if not well.fields:
        yield Finding("78", "error", f"{where}.images", "it is empty", "list one object with a path for each image")


def distinct_fields(well: Well, where: str) -> Iterator[Finding]:
    """80 (MUST): the paths of a well's images are unique."""
    paths: set[str] = set()
    for index, field in enumerate(well.fields):
        if field.path in paths:
            yield Finding(
                "80",
                "error",
                f"{where}.images[{index}].path",
                f"the path {field.path!r} is there twice",
                "list it once",
            )
        paths.add(field.path)


type LineRule = Callable[[PlateLine, str], Iterator[Finding]]
type AcquisitionRule = Callable[[Acquisition, str], Iterator[Finding]]
type PlateWellRule = Callable[[Plate, PlateWell, str], Iterator[Finding]]
type PlateRule = Callable[[Plate, str], Iterator[Finding]]
type FieldRule = Callable[[Field, str], Iterator[Finding]]
type WellRule = Callable[[Well, str], Iterator[Finding]]

LINE_RULES: tuple[LineRule, ...] = (alphanumeric_line,)
ACQUISITION_RULES: tuple[AcquisitionRule, ...] = (
    acquisition_id,
    acquisition_named,
    fields_of_acquisition,
    times_of_acquisition,
)
PLATE_WELL_RULES: tuple[PlateWellRule, ...] = (well_path, well_indices, well_agrees)
PLATE_RULES: tuple[PlateRule, ...] = (plate_named, lines_given, wells_given, fields_of_plate)
FIELD_RULES: tuple[FieldRule, ...] = (alphanumeric_field,)
PLAIN_FIELD_RULES: tuple[FieldRule, ...] = (plain_field,)
"""Those of 0.6, where images of a well may have more names."""
WELL_RULES: tuple[WellRule, ...] = (fields_given, distinct_fields)
