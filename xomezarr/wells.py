"""Where images are on a plate, and what the metadata of the plate and of its wells are to say of them.

Values alone: nothing here looks into a store.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from types import MappingProxyType
from typing import Any

import xarray as xr

from xomezarr import checks, spec
from xomezarr.errors import OmeZarrError, PlateError, collecting, raise_all, told
from xomezarr.labels import LONGEST_NAME
from xomezarr.model import Acquisition, Field, Plate, PlateLine, PlateWell, Well

__all__ = [
    "ADDED",
    "NO_ACQUISITION",
    "PLACES",
    "Entry",
    "Layout",
    "Listed",
    "Place",
    "counted",
    "is_number",
    "lacks_run",
    "line_order",
    "located",
    "named_run",
    "relocated",
    "run_of",
    "with_entry",
    "with_field",
    "with_lines",
    "with_run",
    "with_well",
    "without_own_run",
]

PLACES = ("row", "column", "field", "acquisition")
"""Scalar coordinates that say where on a plate an image is, and in which run it was taken."""

ADDED = "added"
"""Key of the encoding of such coordinates that the image itself does not have: opening a plate adds them again."""

NO_ACQUISITION = -1
"""Where no run is named, in a coordinate of integers: ids of runs are 0 or more."""

SHOWN = 20
"""Letters that a message shows of a name that is too long."""


def line_order(name: str) -> tuple[int, int, str, str]:
    """Return a key that puts names of rows, columns and fields in the order of plates.

    >>> sorted(["AA", "B", "A"], key=line_order), sorted(["10", "9", "1"], key=line_order)
    (['A', 'B', 'AA'], ['1', '9', '10'])
    """
    if name.isdecimal():
        return 0, int(name), "", name
    if name.isalpha():
        return 1, len(name), name.upper(), name
    return 2, 0, re.sub(r"\d+", lambda number: number[0].zfill(20), name.upper()), name


def is_number(name: str) -> bool:
    """Whether a name is that of an integer, so that this can stand for it.

    >>> is_number("10"), is_number("01"), is_number("a")
    (True, False, False)
    """
    return name.isdecimal() and str(int(name)) == name


def located(plate: Plate) -> tuple[Plate, dict[str, tuple[int, int]]]:
    """Return where each well is among rows and columns, by its path; and the plate, with those that it lacks.

    A well is in the row and the column of its path's names. A name that the plate does not list is that of the line at
    the well's index, unless other wells go by the name of that; else it comes after those of the plate. A well whose
    path has no such names is at its indices, unless another is.

    >>> a1, b1 = PlateWell("A/1", 0, 0), PlateWell("B/1", 1, 0)
    >>> whole, places = located(Plate((PlateLine("B"),), (PlateLine("1"),), (a1, b1)))
    >>> [row.name for row in whole.rows], places
    (['B', 'A'], {'A/1': (1, 0), 'B/1': (0, 0)})
    """
    wells = {well.path: well for well in plate.wells}
    named = {path: names for path in wells if len(names := path.split("/")) == 2 and all(names)}
    rows, by_row = _numbered(plate.rows, [(names[0], wells[path].row_index) for path, names in named.items()])
    columns, by_column = _numbered(
        plate.columns, [(names[1], wells[path].column_index) for path, names in named.items()]
    )
    places = {path: (by_row[row], by_column[column]) for path, (row, column) in named.items()}
    for path, well in wells.items():
        index = well.row_index, well.column_index
        inside = 0 <= index[0] < len(plate.rows) and 0 <= index[1] < len(plate.columns)
        if path not in places and inside and index not in places.values():
            places[path] = index
    return replace(plate, rows=rows, columns=columns), {path: places[path] for path in wells if path in places}


def _numbered(
    lines: tuple[PlateLine, ...], named: Sequence[tuple[str, int]]
) -> tuple[tuple[PlateLine, ...], dict[str, int]]:
    """Return rows, or columns, with those that they lack, and the number of each by the name that paths have for it."""
    listed = {line.name: number for number, line in reversed([*enumerate(lines)])}
    found = {name: listed[name] for name, _ in named if name in listed}
    for name, index in named:
        if name not in found:
            is_free = 0 <= index < len(lines) and index not in found.values()
            lines = lines if is_free else (*lines, PlateLine(name))
            found[name] = index if is_free else len(lines) - 1
    return lines, found


def relocated(plate: Plate) -> tuple[Plate, dict[str, str]]:
    """Return a plate whose wells go by the names of their rows and columns, and the path of each by the one it had.

    >>> plate, paths = relocated(Plate((PlateLine("B"),), (PlateLine("1"),), (PlateWell("first", 0, 0),)))
    >>> plate.wells[0].path, paths
    ('B/1', {'first': 'B/1'})
    """
    whole, places = located(plate)
    paths = {path: f"{whole.rows[row].name}/{whole.columns[column].name}" for path, (row, column) in places.items()}
    wells = {
        well.path: replace(well, path=paths[well.path], row_index=row, column_index=column)
        for well in plate.wells
        if well.path in places
        for row, column in [places[well.path]]
    }
    return replace(whole, wells=tuple(wells.values())), paths


@dataclass(frozen=True, slots=True)
class Place:
    """Where on a plate an image is, and in which run it was taken."""

    row: str
    column: str
    field: str
    acquisition: Acquisition | None

    @property
    def well(self) -> str:
        """Path of its well."""
        return f"{self.row}/{self.column}"

    @property
    def path(self) -> str:
        """Path of its group."""
        return f"{self.well}/{self.field}"

    def __str__(self) -> str:
        return f"well {self.well}, field {self.field}"

    @classmethod
    def of(cls, da: xr.DataArray, row: Any, column: Any, field: Any, acquisition: Any) -> Place:
        """Find the place: what is asked for, else what the array's scalar coordinates say.

        Raises
        ------
        PlateError
            If a row or column is missing, or a name is none.
        """
        faults: list[OmeZarrError] = []
        names: dict[str, str] = {}
        for key, asked in (("row", row), ("column", column), ("field", field)):
            told = _scalar(da, key) if asked is None else asked
            if told is None and key != "field":
                faults.append(PlateError(f"the {key} is not known; give {key}={'A' if key == 'row' else 1!r}, say"))
                continue
            with collecting(faults):
                names[key] = _name(0 if told is None else told, key)
        run: Acquisition | None = None
        with collecting(faults):
            told = _scalar(da, "acquisition")
            run = _run((None if told == NO_ACQUISITION else told) if acquisition is None else acquisition)
        raise_all(faults, "the image cannot be added to the plate")
        return cls(**names, acquisition=run)

    def marked(self, da: xr.DataArray) -> xr.DataArray:
        """Return the array with scalar coordinates that are true of this place, where it has such ones of its own."""
        da = _without_added(da)
        number = int(self.field) if is_number(self.field) else self.field
        true: dict[Hashable, Any] = {"row": self.row, "column": self.column, "field": number}
        if self.acquisition is not None:
            true["acquisition"] = self.acquisition.id
        elif _scalar(da, "acquisition") == NO_ACQUISITION:
            da = da.drop_vars("acquisition")
        untrue = {name: value for name, value in true.items() if _scalar(da, str(name)) not in (None, value)}
        return da.assign_coords(untrue) if untrue else da


def _without_added(da: xr.DataArray) -> xr.DataArray:
    """Return an array of a plate's tree without the coordinates that opening the plate adds."""
    return da.drop_vars([name for name in PLACES if _is_added(da, name)])


def _is_added(da: xr.DataArray, name: str) -> bool:
    """Whether an array has a coordinate because a plate was opened."""
    coord = da.coords.variables.get(name)
    return coord is not None and bool(coord.encoding.get(ADDED))


def run_of(variables: Mapping[Hashable, xr.Variable], listed: Field | None) -> int | None:
    """Return the run of an image: that which its coordinate `acquisition` names, else that which its well lists.

    The coordinate is something of the image's own where the well lists the image and names no run: else opening the
    plate has given it the run.
    """
    coord = variables.get("acquisition")
    known = None if listed is None else listed.acquisition
    if coord is None or coord.ndim or coord.dtype.kind not in "iu":
        return known
    is_run = listed is None or known is not None or bool(coord.encoding.get(ADDED))
    value = int(coord.values.item())
    return value if is_run and value >= 0 else known


def without_own_run(da: xr.DataArray, listed: Field | None) -> xr.DataArray:
    """Return an image of a listed field without a coordinate `acquisition` that does not name its run."""
    is_own = listed is not None and run_of(da.coords.variables, listed) is None
    return da.drop_vars("acquisition", errors="ignore") if is_own else da


def _scalar(da: xr.DataArray, name: str) -> Any:
    """Return the value of a scalar coordinate; None where there is none."""
    coord = da.coords.variables.get(name)
    return None if coord is None or coord.ndim else coord.values.item()


def _name(given: Any, what: str) -> str:
    """67, 79 (MUST): names of rows, columns and fields are letters and digits."""
    if isinstance(given, bool) or not (isinstance(given, str) or hasattr(given, "__index__")):
        raise PlateError(f"the {what} {given!r} is no name; give text or a number, such as {what}={_EXAMPLES[what]}")
    name = given if isinstance(given, str) else str(operator.index(given))
    if not checks.ALPHANUMERIC.fullmatch(name):
        raise PlateError(f"the {what} {given!r} is not made of letters and digits; name it {_EXAMPLES[what]}, say")
    if len(name) > LONGEST_NAME:
        raise PlateError(
            f"the {what} {f'{name[:SHOWN]}…'!r} has {len(name)} letters and digits, and file systems have no room for "
            f"more than {LONGEST_NAME}; give {what}={_EXAMPLES[what]}, say"
        )
    return str(name)


_EXAMPLES = {"row": '"A"', "column": "1", "field": "0"}

_KNOWN = frozenset(entry.name for entry in fields(Acquisition)) - {"id", "extra"}


def _run(given: Any) -> Acquisition | None:
    """Return the run that is meant by an id, or by what is known of it; 61 (MUST): ids are integers from 0 on."""
    if given is None:
        return None
    number = given.id if isinstance(given, Acquisition) else given
    if isinstance(number, bool) or not hasattr(number, "__index__") or number < 0:
        raise PlateError(f"the acquisition {number!r} is no id; give an integer from 0 on, such as acquisition=0")
    return given if isinstance(given, Acquisition) else Acquisition(operator.index(number))


def _run_of(number: Any, known: Any) -> Acquisition:
    """Return a run by its id and what the user says of it."""
    run = _run(number)
    if isinstance(known, Acquisition) and run is not None and known.id == run.id:
        return known
    if run is None or not isinstance(known, Mapping) or not _KNOWN.issuperset(known):
        raise PlateError(
            f"acquisitions[{number!r}] is {known!r}; give an id and a dict of {', '.join(sorted(_KNOWN))}, "
            'such as acquisitions={0: {"name": "first"}}'
        )
    return replace(run, **known)


@dataclass(frozen=True, slots=True)
class Layout:
    """What the metadata of a plate and of its wells, by their paths, are to say."""

    plate: Plate
    wells: Mapping[str, Well]

    @classmethod
    def of(
        cls,
        images: Iterable[Place],
        rows: Sequence[Any] | None,
        columns: Sequence[Any] | None,
        acquisitions: Mapping[int, Any] | None,
        name: str,
        faults: list[OmeZarrError],
        said: Mapping[str, Well] = MappingProxyType({}),
    ) -> Layout | None:
        """Derive it from the places of all images, and from what is `said` of wells already, by their paths.

        What is wrong is added to `faults`.
        """
        places = sorted(images, key=lambda place: line_order(place.field))
        if not places:
            return None
        before = len(faults)
        lines = {
            "row": _lines([place.row for place in places], rows, "row", faults),
            "column": _lines([place.column for place in places], columns, "column", faults),
        }
        wells = _with_places(said, places, faults)
        runs = _runs(places, wells, acquisitions, faults)
        if len(faults) > before:
            return None
        numbers = {what: {line.name: number for number, line in enumerate(lines[what])} for what in lines}
        listed = {PlateWell(place.well, numbers["row"][place.row], numbers["column"][place.column]) for place in places}
        ordered = tuple(sorted(listed, key=lambda well: (well.row_index, well.column_index)))
        plate = Plate(lines["row"], lines["column"], ordered, name, runs)
        return cls(counted(plate, wells.values()), wells)

    @classmethod
    def left(
        cls, plate: Plate, said: Mapping[str, Well], images: Iterable[Place], faults: list[OmeZarrError]
    ) -> Layout | None:
        """Derive it from what a plate and its wells say, and the places of the images that there are.

        What is said stays, rows, columns and runs without images too. Images that are gone are left out, and wells that
        have no other; those that nothing is said of are added; numbers of fields are counted anew if images are others
        than were listed. What is wrong is added to `faults`.

        Parameters
        ----------
        plate
            What the plate says.
        said
            What its wells say, by their paths.
        images
            Where there are images.
        """
        places = list(images)
        if not places:
            return None
        wells = _with_places(said, places, faults)
        made = replace(plate, wells=tuple(well for well in plate.wells if well.path in wells))
        listed = {well.path for well in made.wells}
        for path in (path for path in wells if path not in listed):
            with collecting(faults):
                made = with_well(made, path)
        if wells != said or wells.keys() != {well.path for well in plate.wells}:
            runs = made.acquisitions
            for place in places:
                runs = with_run(runs, place.acquisition)
            uncounted = runs and tuple(replace(run, maximum_field_count=None) for run in runs)
            made = counted(replace(made, field_count=None, acquisitions=uncounted), wells.values())
        nameless = _nameless(wells)
        if len(made.acquisitions or ()) > 1 and nameless:
            faults.append(lacks_run([run.id for run in made.acquisitions or ()], nameless))
        return cls(made, wells)

    def check(self, version: str) -> None:
        """Let the specification's judges look at it.

        Raises
        ------
        MetadataError
            If they find a fault.
        """
        spec.check(spec.dump_plate(self.plate, version), version)
        # wells differ in what their fields are called
        for well in dict.fromkeys(tuple(well.fields) for well in self.wells.values()):
            spec.check(spec.dump_well(Well(well), version), version)


def _with_places(said: Mapping[str, Well], places: Sequence[Place], faults: list[OmeZarrError]) -> dict[str, Well]:
    """Return wells with the images that there are, by their paths; of these what is said stays. Others have none."""
    there = {place.path for place in places}
    wells = {
        path: replace(well, fields=tuple(field for field in well.fields if f"{path}/{field.path}" in there))
        for path, well in said.items()
    }
    for place in places:
        with collecting(faults):
            wells[place.well] = with_field(wells.get(place.well, Well(())), place)
    return {path: well for path, well in wells.items() if well.fields}


def _nameless(wells: Mapping[str, Well]) -> list[str]:
    """Return the images of wells, by the paths of these, that name no run."""
    return [
        f"well {path}, field {field.path}"
        for path, well in wells.items()
        for field in well.fields
        if field.acquisition is None
    ]


def _lines(occurring: Iterable[str], asked: Any, what: str, faults: list[OmeZarrError]) -> tuple[PlateLine, ...]:
    """Return the rows, or the columns: those that are asked for, else those that occur.

    66 (MUST): those that occur are among them. 68 (MUST): none is there twice; 69 (SHOULD): nor by case alone.
    """
    names = sorted(set(occurring), key=line_order)
    if asked is not None and not isinstance(asked, Iterable):
        faults.append(PlateError(f"{what}s is {asked!r}; give a list of names, such as {what}s=[{_EXAMPLES[what]}]"))
    elif asked is not None:
        given: list[str] = []
        for entry in asked:
            with collecting(faults):
                given.append(_name(entry, what))
        missing = [name for name in names if name not in given]
        if missing:
            faults.append(
                PlateError(f"{what}s leaves out {', '.join(map(repr, missing))}, where there are wells; add it")
            )
        names = given
    folded: dict[str, str] = {}
    for name in names:
        with collecting(faults):
            _check_apart(name, folded.values(), what, again=True)
            folded[name] = name
    return tuple(map(PlateLine, folded))


def _check_apart(name: str, others: Iterable[str], what: str, *, again: bool = False) -> None:
    """Refuse a name that people, or some systems, take for one that is there; unless it is that one, and not `again`.

    Upper and lower case are one folder on some systems, and 1 and 01 are one number.
    """
    others = list(others)
    if name in others:
        if again:
            raise PlateError(f"the {what} {name!r} is there twice; name it once")
        return
    for other in others:
        if other.lower() == name.lower():
            raise PlateError(
                f"the {what}s {other!r} and {name!r} are the same folder on some systems; give one the other's name, "
                "or another"
            )
        if other.isdecimal() and name.isdecimal() and int(other) == int(name):
            raise PlateError(
                f'the {what}s {other!r} and {name!r} are the same number; give it one name: {what}="{other}"'
            )


def _runs(
    places: Sequence[Place], wells: Mapping[str, Well], asked: Any, faults: list[OmeZarrError]
) -> tuple[Acquisition, ...] | None:
    """Return all runs of a plate. 81 (MUST): if there are several, each image says which one took it."""
    runs: dict[int, Acquisition] = {}
    if asked is not None and not isinstance(asked, Mapping):
        faults.append(
            PlateError(
                f'acquisitions is a {type(asked).__name__}; give runs by id: acquisitions={{0: {{"name": "first"}}}}'
            )
        )
        return None
    for number, known in (asked or {}).items():
        with collecting(faults):
            run = _run_of(number, known)
            runs[run.id] = run
    for place in places:
        if place.acquisition is not None:
            runs.setdefault(place.acquisition.id, place.acquisition)
    for field in chain.from_iterable(well.fields for well in wells.values()):
        if field.acquisition is not None:
            runs.setdefault(field.acquisition, Acquisition(field.acquisition))
    nameless = _nameless(wells)
    if len(runs) > 1 and nameless:
        faults.append(lacks_run(runs, nameless))
    return tuple(named_run(runs[number]) for number in sorted(runs)) or None


def lacks_run(runs: Iterable[int], images: Sequence[str]) -> PlateError:
    """Return the error that names images of a plate of several runs that do not say which of them took them."""
    return PlateError(
        f"the plate has the acquisitions {', '.join(map(str, sorted(runs)))}, and {told(images, between='; ')} "
        f"{'does' if len(images) == 1 else 'do'} not say of which; give each image its own: "
        "image.assign_coords(acquisition=0)"
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """An image that is to be added to a plate: where, and what is asked of the plate."""

    place: Place
    name: str | None
    version: str
    default_name: str


@dataclass(frozen=True, slots=True)
class Listed:
    """What the metadata of a plate and of one of its wells are to say, in this order, to list an image.

    Parameters
    ----------
    first
        What the plate says before the well does; it may have no well yet.
    well, plate
        What they say in the end.
    """

    first: Plate
    well: Well
    plate: Plate

    def check(self, path: str, version: str, judged: Listed | None, faults: list[OmeZarrError]) -> None:
        """Let the specification's judges look at it; what they find is added to `faults`.

        Parameters
        ----------
        path
            Of the well.
        version
            Of OME-Zarr.
        judged
            What they have been asked of before: of what is the same they are not asked again.
        """
        if judged is None or self.plate != judged.plate:
            known = {one.path for one in judged.plate.wells} - {path} if judged is not None else set()
            new = replace(self.plate, wells=tuple(one for one in self.plate.wells if one.path not in known))
            with collecting(faults):
                spec.check(spec.dump_plate(new, version), version)
        if judged is None or self.well != judged.well:
            with collecting(faults):
                spec.check(spec.dump_well(self.well, version), version)


def with_entry(
    plate: Plate | None,
    well: Well,
    entry: Entry,
    *,
    versions: Sequence[str],
    nameless: Iterable[str],
    judged: Listed | None = None,
) -> Listed:
    """Return what the metadata are to say with one image more.

    Parameters
    ----------
    plate, well
        What they say; None for a plate that has no image yet.
    entry
        The image.
    versions
        Of OME-Zarr, that the plate may be in.
    nameless
        The images of the plate that name no run, which are asked for only where it comes to have several.
    judged
        What they were to say when they were judged as a whole: of what is the same the judges are not asked again.

    Raises
    ------
    PlateError
        If the plate has no place for the image.
    MetadataError
        If the metadata of the plate, or of its well, break the specification.
    """
    faults: list[OmeZarrError] = []
    place, made = entry.place, plate or Plate((), (), (), entry.name or entry.default_name)
    if entry.version in spec.VERSIONS and entry.version not in versions:
        told = " or ".join(versions)
        faults.append(
            PlateError(f"the plate is of OME-Zarr {told}, and version={entry.version!r} is not; leave it out")
        )
    if entry.name is not None and made.name not in (None, entry.name):
        faults.append(PlateError(f"the plate is called {made.name!r}, and not {entry.name!r}; leave name out"))
    with collecting(faults):
        well = with_field(well, place)
    with collecting(faults):
        made = replace(made, name=made.name or entry.name, acquisitions=_runs_with(made.acquisitions, place, nameless))
    # an image that takes the place of another must not be counted twice, and its well may name runs by itself
    first = last = counted(made, [well])
    with collecting(faults):
        # rows and columns may be idle, and wells may not be where there are none
        first = with_lines(first, place.well)
        last = with_well(first, place.well)
    listed = Listed(first, well, last)
    if not faults:
        listed.check(place.well, entry.version, judged, faults)
    raise_all(faults, f"the plate has no place for the image at {place}")
    return listed


def _runs_with(
    runs: tuple[Acquisition, ...] | None, place: Place, nameless: Iterable[str]
) -> tuple[Acquisition, ...] | None:
    """Return the runs of a plate with that of an image. 81 (MUST): if there are several, each image names one."""
    after = with_run(runs, place.acquisition)
    if after is not None and len(after) > 1:
        # where there were several, all others name theirs
        others = [] if runs is not None and len(runs) > 1 else [image for image in nameless if image != str(place)]
        if found := [*others, *([str(place)] if place.acquisition is None else [])]:
            raise lacks_run([run.id for run in after], found)
    return after


def with_run(runs: tuple[Acquisition, ...] | None, new: Acquisition | None) -> tuple[Acquisition, ...] | None:
    """Return the runs of a plate with one more, or with what is known of one more."""
    if new is None:
        return runs
    told = {name: getattr(new, name) for name in _KNOWN if getattr(new, name) is not None}
    known = {run.id: run for run in runs or ()}
    known[new.id] = replace(known[new.id], **told) if new.id in known else named_run(new)
    return tuple(known[number] for number in sorted(known))


def named_run(run: Acquisition) -> Acquisition:
    """Return a run with a name. 62 (SHOULD): it has one."""
    return run if run.name is not None else replace(run, name=str(run.id))


def with_field(well: Well, place: Place) -> Well:
    """Return a well that has an image at a place. 80 (MUST): the paths of its images are unique.

    An image that takes the place of another and names no run is of the run of that.
    """
    number = None if place.acquisition is None else place.acquisition.id
    _check_apart(place.field, (field.path for field in well.fields), "field")
    known = {field.path: field for field in well.fields}
    if place.field in known:
        before = known[place.field]
        run = before.acquisition if number is None else number
        changed = {**known, place.field: replace(before, acquisition=run)}
        return replace(well, fields=tuple(changed.values()))
    return replace(well, fields=_inserted(well.fields, Field(place.field, number), lambda field: field.path))


def with_lines(plate: Plate, path: str) -> Plate:
    """Return a plate that has the row and the column of a well. 77 (MUST): indices and paths of all wells agree."""
    row, column = path.split("/")
    lines = {"row": plate.rows, "column": plate.columns}
    for what, name in (("row", row), ("column", column)):
        names = [line.name for line in lines[what]]
        _check_apart(name, names, what)
        if name not in names:
            lines[what] = _inserted(lines[what], PlateLine(name), lambda line: line.name)
    plate = replace(plate, rows=lines["row"], columns=lines["column"])
    return replace(plate, wells=tuple(_at_its_place(plate, well) for well in plate.wells))


def with_well(plate: Plate, path: str) -> Plate:
    """Return a plate that has a well, with its row and column."""
    plate = with_lines(plate, path)
    wells = list(plate.wells)
    if path not in {well.path for well in wells}:
        new = _at_its_place(plate, PlateWell(path, 0, 0))
        place = (new.row_index, new.column_index)
        first = next((i for i, well in enumerate(wells) if (well.row_index, well.column_index) > place), len(wells))
        wells.insert(first, new)
    return replace(plate, wells=tuple(wells))


def _at_its_place(plate: Plate, well: PlateWell) -> PlateWell:
    """Return a well with the indices that its path has in a plate."""
    index = checks.row_and_column(plate, well.path)
    return well if index is None else replace(well, row_index=index[0], column_index=index[1])


def _inserted[T](entries: tuple[T, ...], new: T, name: Callable[[T], str]) -> tuple[T, ...]:
    """Return entries with a new one before the first that comes after it; those that were there keep their order."""
    order = line_order(name(new))
    first = next((i for i, entry in enumerate(entries) if line_order(name(entry)) > order), len(entries))
    return (*entries[:first], new, *entries[first:])


def counted(plate: Plate, wells: Iterable[Well]) -> Plate:
    """Return a plate whose numbers of fields are true of these wells too.

    70, 63 (SHOULD): it says how many fields a well has at most, and how many a run has taken at most.
    """
    runs = {run.id: run.maximum_field_count or 0 for run in plate.acquisitions or ()}
    most = plate.field_count or 0
    for well in wells:
        most = max(most, len(well.fields))
        for number in runs:
            runs[number] = max(runs[number], sum(field.acquisition == number for field in well.fields))
    acquisitions = plate.acquisitions and tuple(
        replace(run, maximum_field_count=runs[run.id] or None) for run in plate.acquisitions
    )
    return replace(plate, field_count=most, acquisitions=acquisitions)
