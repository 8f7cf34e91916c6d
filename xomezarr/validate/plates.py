"""Plates and wells against the groups that are there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from xomezarr import spec
from xomezarr.errors import MetadataError, NotOmeZarrError, VersionError
from xomezarr.model import Plate, Well
from xomezarr.report import Finding, Severity
from xomezarr.validate.images import examine_image
from xomezarr.validate.nodes import Node

__all__ = ["examine_plate", "examine_well", "field_paths"]

BESIDE_ROWS = frozenset({"OME"})
"""Groups of a plate that are no rows."""


def examine_plate(node: Node) -> Iterator[Finding]:
    """Apply the rules that need the store to a plate, its wells and their images."""
    try:
        plate = spec.parse_plate(node.attrs)
    except (MetadataError, NotOmeZarrError, VersionError):
        return
    yield from node.locate(_check_rows(node, plate))
    for index, well in enumerate(plate.wells):
        # 5 (MUST): the wells of a plate are groups in groups of rows
        found = node.named(well.path, "5", f"{node.place('plate')}.wells[{index}].path")
        if isinstance(found, Finding):
            yield from node.locate([found])
        elif "well" not in found.kinds:
            yield from found.locate([_lacking(found, "well")])
        else:
            yield from found.metadata()
            yield from examine_well(found, plate)


def _check_rows(node: Node, plate: Plate) -> Iterator[Finding]:
    """5 (MUST): each row with wells has a group. Those that are not listed are looked at too."""
    place = node.place("plate")
    wells: dict[str, set[str]] = {}
    for well in plate.wells:
        row, _, column = well.path.partition("/")
        wells.setdefault(row, set()).add(column)
    rows, columns = ({line.name for line in lines} for lines in (plate.rows, plate.columns))
    for row in sorted(wells.keys() | set(node.names()) - BESIDE_ROWS):
        found = node.named(row, "5", f"{place}.rows")
        if isinstance(found, Finding):
            if row in wells:
                yield found
            continue
        if row not in wells:
            yield from _idle_row(found, row, rows, place)
        if row in rows:
            yield from _unlisted_wells(found, row, columns, wells.get(row, set()), place)


def _idle_row(found: Node, row: str, rows: set[str], place: str) -> Iterator[Finding]:
    """66 (MUST): every row of the plate is defined. 6 (SHOULD): there is no group for a row without wells."""
    if _has_wells(found) and row not in rows:
        told = f"there are wells in {row!r}, which is no row of the plate"
        yield Finding("66", "error", f"{place}.rows", told, "define every row, and list its wells")
    elif not _has_wells(found):
        yield Finding("6", "warning", row, "the group of this row holds no well", "remove it")


def _unlisted_wells(found: Node, row: str, columns: set[str], listed: set[str], place: str) -> Iterator[Finding]:
    """66 (MUST): every column of the plate is defined. No reader finds a well that is not listed."""
    for name in found.names():
        if (name in columns and name in listed) or not _is_well(found, name):
            continue
        if name not in columns:
            told = f"there is a well {row}/{name}, and {name!r} is no column of the plate"
            yield Finding("66", "error", f"{place}.columns", told, "define every column, and list its wells")
        else:
            told = f"there is a well {row}/{name}, which the plate does not list"
            yield Finding("66", "warning", f"{place}.wells", told, "list it, or remove its group")


def _has_wells(row: Node) -> bool:
    return any(_is_well(row, name) for name in row.names())


def _is_well(row: Node, name: str) -> bool:
    found = row.named(name, "5", name)
    return isinstance(found, Node) and "well" in found.kinds


def _lacking(node: Node, kind: str) -> Finding:
    """5 (MUST): the groups of wells and of their images say what they are."""
    told = f"the group has no {kind}, which those above it promise"
    return Finding("5", "error", node.place(kind), told, "write it, or remove the group from their lists")


def examine_well(node: Node, plate: Plate | None = None) -> Iterator[Finding]:
    """Apply the rules that need the store to a well and its images; with its plate, where that is known."""
    try:
        well = spec.parse_well(node.attrs)
    except (MetadataError, NotOmeZarrError, VersionError):
        return
    if plate is not None:
        yield from node.locate(acquisitions_known(plate, well, node.place("well")))
        yield from node.locate(fields_counted(plate, well, node.place("well")))
    for index, field in enumerate(well.fields):
        found = node.named(field.path, "5", f"{node.place('well')}.images[{index}].path")
        if isinstance(found, Finding):
            yield from node.locate([found])
        elif "multiscales" not in found.kinds:
            yield from found.locate([_lacking(found, "multiscales")])
        else:
            yield from found.metadata()
            yield from examine_image(found)
    yield from node.locate(_unlisted_images(node, {field.path for field in well.fields}))


def _unlisted_images(node: Node, listed: set[str]) -> Iterator[Finding]:
    """78 (MUST): the well lists its images. No reader finds one that is not listed."""
    for name in node.names():
        if name in listed:
            continue
        found = node.named(name, "5", name)
        if isinstance(found, Node) and "multiscales" in found.kinds:
            told = f"there is an image {name!r}, which the well does not list"
            yield Finding("78", "warning", f"{node.place('well')}.images", told, "list it, or remove its group")


def acquisitions_known(plate: Plate, well: Well, where: str) -> Iterator[Finding]:
    """81 (MUST): where a plate has several acquisitions, each image of a well names one of them."""
    ids = [acquisition.id for acquisition in plate.acquisitions or ()]
    for index, field in enumerate(well.fields):
        place = f"{where}.images[{index}]"
        if field.acquisition is None:
            if len(ids) > 1 and "acquisition" not in field.extra:
                told = f"the image {field.path!r} names no acquisition, and the plate has {len(ids)}"
                yield Finding("81", "error", place, told, f"give one of {', '.join(map(str, ids))}")
        elif ids and field.acquisition not in ids:
            told = f"the acquisition {field.acquisition} is none of the plate's"
            severity: Severity = "error" if len(ids) > 1 else "warning"
            cure = f"give one of {', '.join(map(str, ids))}"
            yield Finding("81", severity, f"{place}.acquisition", told, cure)


def fields_counted(plate: Plate, well: Well, where: str) -> Iterator[Finding]:
    """63, 70 (SHOULD): an acquisition and a plate say how many images of one acquisition a well has at most."""
    most = {acquisition.id: acquisition.maximum_field_count for acquisition in plate.acquisitions or ()}
    runs = {field.path: field.acquisition for field in well.fields}
    for run, count in Counter(runs.values()).items():
        of = "" if run is None else f" of the acquisition {run}"
        for rule, key, limit in (
            ("70", "field_count of the plate", plate.field_count),
            ("63", "maximumfieldcount", None if run is None else most.get(run)),
        ):
            if limit is not None and 0 < limit < count:
                told = f"there are {count} images{of}, and the {key} is {limit}"
                yield Finding(rule, "warning", f"{where}.images", told, "give the largest number of all wells there")


def field_paths(node: Node) -> list[str] | None:
    """Return the paths of all images of a plate that can be found; None if it cannot be read."""
    try:
        plate = spec.parse_plate(node.attrs)
    except (MetadataError, NotOmeZarrError, VersionError):
        return None
    paths = []
    for well in plate.wells:
        found = node.named(well.path, "5", "")
        try:
            fields = spec.parse_well(found.attrs).fields if isinstance(found, Node) else ()
        except (MetadataError, NotOmeZarrError, VersionError):
            continue
        paths += [f"{well.path}/{field.path}" for field in fields]
    return paths
