"""The tables of the page on metadata, found out by writing stores and looking into them.

Each row says what something is called in xarray and where it stands in the store. Values are written in every version,
looked for in the JSON, and compared with what comes back. Each occurs once; of those that cannot, such as the type of
an axis, the row says which place is meant.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

import xomezarr
from xomezarr import spec
from xomezarr.coords import AXIS_TYPES
from xomezarr.orientation import ORIENTATIONS
from xomezarr.units import ALIASES, SPACE_UNITS, TIME_UNITS

VERSIONS = ("0.4", "0.5", "0.6")
"""Those that are written."""

USUAL = ("micrometer", "nanometer", "millimeter", "meter", "angstrom", "second", "millisecond", "minute", "hour", "day")
"""Units of which every spelling is told."""


@dataclass(frozen=True)
class Row:
    """Something that metadata say.

    Parameters
    ----------
    what
        For people.
    here
        An expression that gives it, of what `Example.names` has.
    value
        What the expression gives.
    stored
        What stands in the JSON; left out, the same as `value`.
    node
        Path of the group in whose attributes it stands.
    since
        The first version that has it.
    at
        What of its path tells it from others with the same value, as a regular expression.
    """

    what: str
    here: str
    value: Any
    stored: Any = None
    node: str = ""
    since: str = "0.4"
    at: str = ""

    @property
    def json(self) -> Any:
        """What is looked for in the store."""
        return self.value if self.stored is None else self.stored


IMAGE = (
    Row("name of the image", "da.name", "embryo"),
    Row("name of an axis", "da.dims[-1]", "x"),
    Row("its type", "tree.omezarr.axes[-3].type", "space", at=r"axes\[2\]"),
    Row("its unit", 'da.z.attrs["units"]', "um", "micrometer", at=r"axes\[2\]"),
    Row("which way it runs through a body", 'da.z.attrs["orientation"]', "inferior-to-superior"),
    Row("distance of pixels", 'da.omezarr.scale["x"]', 0.32),
    Row("the same, kept by a dimension of one pixel", 'da.x.attrs["scale"]', 0.32),
    Row("where the first pixel lies", "da.x[0]", 12.5),
    Row("distance of pixels of level 1", 'tree.omezarr.level(1).omezarr.scale["x"]', 0.64),
    Row("where the first pixel of level 1 lies", "tree.omezarr.level(1).x[0]", 12.66),
    Row("time between images", 'da.omezarr.scale["t"]', 300.0, at=r"datasets\[0\]"),
    Row("path of a level", 'tree["1"].name', "1", at=r"datasets\[1\]\.path$"),
    Row("method of the coarser levels", "tree.omezarr.metadata.multiscales[0].type", "local_mean"),
)

CHANNELS = (
    Row("name of a channel", "da.c[0]", "DAPI"),
    Row("its colour", "da.channel_color[0]", "0033FF"),
    Row("whether it is shown", "da.channel_active[1]", False),
    Row("the least that may be shown", "da.channel_window_min[0]", 5.0),
    Row("the most that may be shown", "da.channel_window_max[0]", 4095.0),
    Row("what is shown black", "da.channel_window_start[0]", 11.0),
    Row("what is shown in full colour", "da.channel_window_end[0]", 2222.0),
    Row("what other tools say of it", "da.channel_extra[0]", '{"emissionWave": 461}', 461),
)

LABELS = (
    Row("names of labels", "list(tree.omezarr.labels)", ["nuclei"], node="labels"),
    Row(
        "colour of a label", 'tree["labels/nuclei"].omezarr.colors[1]', "#ff8800ff", [255, 136, 0, 255], "labels/nuclei"
    ),
    Row("property of a label", 'tree["labels/nuclei"].omezarr.properties.area[1]', 77, node="labels/nuclei"),
    Row(
        "the image that they belong to",
        'tree["labels/nuclei"].parent.parent is tree',
        True,
        "../../",
        "labels/nuclei",
    ),
)

OTHERS = (
    Row("how channels are shown together", 'ome["omero"]["rdefs"]["model"]', "greyscale"),
    Row("a key of another tool, of the image", 'tree.omezarr.metadata.multiscales[0].extra["lab"]', "north"),
    Row("a key of another tool, of an axis", 'tree.omezarr.axes[-1].extra["lens"]', "63x"),
    Row("an attribute of the group", 'tree.attrs["site"]', "Dresden"),
)

OWN = (
    Row("attributes of the array", 'da.attrs["stain"]', "Hoechst"),
    Row("order of its dimensions", "list(da.dims)", ["c", "t", "z", "y", "x"]),
    Row("its dtype, where the file has another", "da.dtype.str", "<u2"),
    Row("dates, and whatever else no grid gives", "da.t.astype(int)", [1772359200000000000, 1772359500000000000]),
    Row("coordinates beside those of dimensions", "da.exposure", [31.0, 47.0]),
    Row("scalar coordinates", "da.position", 83),
    Row("units as they were spelt", 'da.z.attrs["units"]', "um", at=r"coords\.z\."),
)

PLATE = (
    Row("name of the plate", 'ome["plate"]["name"]', "screen"),
    Row("row of a well", "field.row", "B"),
    Row("its column", "field.column", "7"),
    Row("path of a well", 'plate["B/7"].path', "/B/7", "B/7"),
    Row("fields of a well", 'list(plate["B/7"])', ["3"], "3", "B/7"),
    Row("run of an image", "field.acquisition", 19, node="B/7"),
    Row("name of a run", 'ome["plate"]["acquisitions"][0]["name"]', "before"),
    Row("number of fields", 'ome["plate"]["field_count"]', 1, at="field_count$"),
)

COLLECTION = (
    Row("the layout of bioformats2raw", "list(collection)", ["view 0", "view 120"], 3),
    Row("names and order of the images", "list(collection)", ["view 0", "view 120"], node="OME"),
)

SYSTEMS = (
    Row(
        "names of coordinate systems",
        "list(tree.omezarr.coordinate_systems)[-1]",
        "stage",
        since="0.6",
        at=r"coordinateSystems\[1\]\.name$",
    ),
    Row("axes of a system", 'tree.omezarr.coordinate_systems["stage"].axes[0].name', "v", since="0.6"),
    Row("what leads to it", 'tree.omezarr.transform("stage").matrix(2)[0][-1]', 71.5, since="0.6"),
)


def image() -> xr.DataArray:
    """Return an image of which every piece of metadata has a value of its own."""
    pixels = np.random.default_rng(0).integers(0, 4000, (2, 2, 4, 32, 48), dtype="uint16")
    da = xr.DataArray(pixels, dims=("c", "t", "z", "y", "x"), name="embryo", attrs={"stain": "Hoechst"})
    da = da.omezarr.assign_grid(scale={"z": 2.0, "y": 0.31, "x": 0.32}, translation={"x": 12.5}, units="um")
    times = np.array(["2026-03-01T10:00", "2026-03-01T10:05"], "datetime64[ns]")
    da = da.assign_coords(t=times, exposure=("t", [31.0, 47.0]), position=83)
    shown = xomezarr.Window(5, 4095, 11, 2222)
    da.z.attrs["orientation"] = "inferior-to-superior"
    return da.omezarr.assign_channels(
        [
            {"label": "DAPI", "color": "#0033ff", "window": shown, "extra": {"emissionWave": 461}},
            {"label": "GFP", "color": "#00ff00", "active": False},
        ]
    )


def written(folder: Path, version: str) -> Mapping[str, tuple[Path, Sequence[Row]]]:
    """Write a store for each table; return where it is, and what is looked for in it."""
    da = image()
    masks = (da.isel(t=0, c=0, drop=True) > 2000).astype("uint16")
    nuclei = xomezarr.Labels(masks, colors={1: "#ff8800"}, properties={"label": [1], "area": [77]})
    stored = folder / "embryo.ome.zarr"
    da.omezarr.to_zarr(stored, version=version, levels=2, labels={"nuclei": nuclei})
    plane = da.isel(t=0, z=0, c=0, drop=True).drop_vars("position")
    screen, views = folder / "screen.ome.zarr", folder / "views.ome.zarr"
    run = plane.assign_coords(acquisition=19)
    wells = {("B", 7): {"3": run}}
    xomezarr.write_plate(wells, screen, name="screen", acquisitions={19: {"name": "before"}}, version=version)
    xomezarr.write_collection({"view 0": plane, "view 120": plane}, views, version=version)
    spoken_of(folder / "embryo.ome.zarr", folder / "other.ome.zarr", version)
    tables = {
        "image": (stored, IMAGE),
        "channels": (stored, CHANNELS),
        "labels": (stored, LABELS),
        "own": (stored, OWN),
        "others": (folder / "other.ome.zarr", OTHERS),
        "plate": (screen, PLATE),
        "collection": (views, COLLECTION),
    }
    if version == "0.6":
        askew = folder / "askew.ome.zarr"
        matrix = [[0.8, 0.6, 71.5], [-0.6, 0.8, 0.25]]
        turned = plane.omezarr.assign_affine(matrix, system="stage", dims=("y", "x"), axes=("v", "u"), units="um")
        turned.omezarr.to_zarr(askew, version=version)
        tables["systems"] = (askew, SYSTEMS)
    return tables


def spoken_of(store: Path, copy: Path, version: str) -> None:
    """Add what another tool would, read it, and write the tree into another store."""
    group = zarr.open_group(store, mode="r+", zarr_format=2 if version == "0.4" else 3)
    before = dict(group.attrs)
    said = json.loads(json.dumps(before))
    ome = said.get("ome", said)
    ome["omero"]["rdefs"] = {"model": "greyscale"}
    ome["multiscales"][0]["lab"] = "north"
    axes = ome["multiscales"][0].get("axes") or ome["multiscales"][0]["coordinateSystems"][0]["axes"]
    axes[-1]["lens"] = "63x"
    said["site"] = "Dresden"
    group.attrs.put(said)
    xr.open_datatree(store, engine="omezarr").omezarr.to_zarr(copy)
    group.attrs.put(before)


def names_of(store: Path) -> dict[str, Any]:
    """Return what expressions may name: the tree that is in a store, and its images."""
    tree = xr.open_datatree(store, engine="omezarr")
    names: dict[str, Any] = {"tree": tree, "ome": tree.attrs.get("ome", tree.attrs)}
    if store.name == "screen.ome.zarr":
        names |= {"plate": tree, "field": tree["B/7/3"].omezarr.level(0)}
    elif store.name == "views.ome.zarr":
        names["collection"] = tree
    else:
        names["da"] = xr.open_dataarray(store, engine="omezarr")
    return names


def paths(document: Any, value: Any, path: str = "") -> Iterator[str]:
    """Yield where a value stands in a JSON document, in the notation of JavaScript."""
    if type(document) is type(value) and document == value:
        yield path.lstrip(".")
    elif isinstance(document, Mapping):
        for key, item in document.items():
            yield from paths(item, value, f"{path}.{key}" if key.isidentifier() else f'{path}["{key}"]')
    elif isinstance(document, list):
        for index, item in enumerate(document):
            yield from paths(item, value, f"{path}[{index}]")


def found(row: Row, store: Path, names: dict[str, Any], own: bool) -> str:
    """Return where a row's value stands in a store: at one place. That it comes back is looked at too."""
    given = eval(row.here, names)
    if isinstance(given, xr.DataArray | np.generic):
        given = given.tolist() if isinstance(given, np.generic) else given.values.tolist()
    if given != row.value:
        raise ValueError(f"{row.here} is {given!r}, and was to be {row.value!r}: mend docs/metadata.py")
    attributes = dict(zarr.open_group(store / row.node, mode="r").attrs)
    ours = {"xomezarr": attributes.pop("xomezarr", {})}
    places = [path for path in paths(ours if own else attributes, row.json) if re.search(row.at, path)]
    if len(places) != 1:
        where = f"at several places of {store.name} ({', '.join(places)})" if places else f"nowhere in {store.name}"
        raise ValueError(f"{row.json!r} ({row.what}) is {where}: mend docs/metadata.py, such as its at=")
    return places[0]


def tables(folder: Path) -> Mapping[str, str]:
    """Return the tables that tell where everything stands."""
    rows: dict[str, Sequence[Row]] = {}
    places: dict[tuple[str, str, str], str] = {}
    for version in VERSIONS:
        (folder / version).mkdir()
        for name, (store, of_table) in written(folder / version, version).items():
            rows[name], names = of_table, names_of(store)
            for row in of_table:
                places[name, row.what, version] = found(row, store, names, own=name == "own")
    made = {}
    for name, of_table in rows.items():
        lines = []
        for row in of_table:
            of_versions = {version: places[key] for version in VERSIONS if (key := (name, row.what, version)) in places}
            lines.append(f"| {row.what} | `{row.here}` | {cell(of_versions, row)} |")
        made[name] = "\n".join(["{.paths}", "| what | in xarray | in the store |", "| --- | --- | --- |", *lines, ""])
    return made


def cell(of_versions: Mapping[str, str], row: Row) -> str:
    """Say where something stands: once where the versions agree but for the key `ome`, else for each."""
    where = f" of `{row.node}`" if row.node else ""
    told: dict[str, list[str]] = {}
    for version, path in of_versions.items():
        told.setdefault(re.sub(r"^ome(?=[.\[])\.?", "", path), []).append(version)
    if len(told) == 1:
        (path,) = told
        return f"`{path}`{where}"
    return "<br>".join(f"{' and '.join(versions)}: `{path}`{where}" for path, versions in told.items())


def units() -> str:
    """Return tables of the units that OME-Zarr recommends, and of what else is read as the more usual ones."""
    spelt: dict[str, list[str]] = {}
    for spelling, unit in ALIASES.items():
        if spelling != unit:
            spelt.setdefault(unit, []).append(f"`{spelling}`")
    lines = ["| unit | is read from | ", "| --- | --- |"]
    lines += [f"| `{unit}` | {', '.join(spelt[unit])} |" for unit in USUAL]
    rest = {"space": SPACE_UNITS, "time": TIME_UNITS}
    others = [
        f"Others of {measured}: {', '.join(f'`{name}`' for name in names if name not in USUAL)}."
        for measured, names in rest.items()
    ]
    return "\n\n".join(["\n".join(lines), *others, ""])


def axis_types() -> str:
    """Return a table of the names of dimensions that tell a type."""
    named: dict[str, list[str]] = {}
    for name, kind in AXIS_TYPES.items():
        named.setdefault(kind, []).append(f"`{name}`")
    lines = ["| dimension | type of the axis |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {', '.join(names)} | `{kind}` |" for kind, names in named.items()), ""])


def orientations() -> str:
    """Return the vocabulary of orientations."""
    return f"{', '.join(f'`{name}`' for name in ORIENTATIONS)}\n"


def versions() -> str:
    """Return a table of the versions of OME-Zarr."""
    lines = ["| OME-Zarr | Zarr | metadata under | read | written | scenes |", "| --- | --- | --- | --- | --- | --- |"]
    for version in spec.version.TABLE.values():
        name = ", ".join([version.name, *sorted(version.spelled)])
        where = f"`{version.namespace}`" if version.namespace else "the attributes themselves"
        does = ["yes", "yes" if version.name in spec.VERSIONS else "no", "yes" if version.has_scenes else "no"]
        lines.append(f"| {name} | v{version.zarr_format} | {where} | {' | '.join(does)} |")
    return "\n".join([*lines, ""])


def make(folder: Path) -> None:
    """Write all tables into a folder, as Markdown."""
    with tempfile.TemporaryDirectory() as place:
        made = dict(tables(Path(place)))
    made |= {"units": units(), "axis-types": axis_types(), "orientations": orientations(), "versions": versions()}
    for name, text in made.items():
        (folder / f"metadata-{name}.md").write_text(text, encoding="utf-8")
