"""Every rule that findings name: a store that breaks it alone, in each version that has it, and what mends that.

The stores are put together from JSON by hand, as the texts of the versions show it, and lie on a disk.
"""

from __future__ import annotations

import ast
import json
import math
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
import zarr

import xomezarr
from xomezarr import checks, spec
from xomezarr.spec.version import TABLE
from xomezarr.validate import validate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

EARLY = ("0.1", "0.2", "0.3")
WRITTEN = ("0.4", "0.5", "0.6")
EVERY = EARLY + WRITTEN
OBJECTS = ("0.4", "0.5")
"""In these each level has a list of a scale and a translation."""

T = {"name": "t", "type": "time", "unit": "second"}
C = {"name": "c", "type": "channel"}
Z, Y, X = ({"name": name, "type": "space", "unit": "micrometer"} for name in "zyx")
AXES = (T, C, Z, Y, X)
SIZES = {"t": 2, "c": 2, "z": 3, "y": 8, "x": 6}
WINDOW = {"min": 0, "max": 255, "start": 0, "end": 99}
OMERO = {
    "channels": [{"label": label, "color": "00FF00", "window": WINDOW, "active": True} for label in ("DAPI", "GFP")]
}
LABEL = {
    "colors": [{"label-value": 1, "rgba": [255, 0, 0, 255]}, {"label-value": 2, "rgba": [0, 255, 0, 255]}],
    "properties": [{"label-value": 1, "area": 3}, {"label-value": 2, "area": 4}],
    "source": {"image": "../../"},
}
RUNS = [
    {"id": 0, "name": "first", "maximumfieldcount": 1, "starttime": 5, "endtime": 6},
    {"id": 7, "name": "second", "maximumfieldcount": 1, "description": "after"},
]
XML = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{}</OME>'
XML_IMAGE = '<Image ID="Image:{0}"><Pixels ID="Pixels:{0}" Type="uint8"><MetadataOnly/></Pixels></Image>'
XML_PLATE = '<Plate ID="Plate:0"><Well ID="Well:0" Row="0" Column="0"/></Plate>'
NAMED_IN = {
    **dict.fromkeys(("0.1", "0.2", "0.3", "0.4"), ("multiscales", "omero", "image-label", "plate", "well")),
    "0.5": ("plate", "well", "image-label"),
    "0.6": (),
}
"""Parts of the metadata that name the version."""


# -- stores ------------------------------------------------------------------------------------------------


def ends(path: str, **others: Any) -> dict[str, Any]:
    return {"input": {"path": path}, "output": {"name": "physical"}, **others}


def dataset(version: str, index: int, axes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one level: each is half as fine as the one before along y and x."""
    path = {"path": str(index)}
    if version in EARLY:
        return path
    steps = [2.0**index if axis["name"] in ("y", "x") else 1.0 for axis in axes]
    scale = {"type": "scale", "scale": [0.5 * step for step in steps]}
    moved = {"type": "translation", "translation": [0.25 * (step - 1) for step in steps]}
    if version in OBJECTS:
        return {**path, "coordinateTransformations": [scale, moved]}
    sequence = {"type": "sequence", "transformations": [scale, moved], **ends(str(index))}
    return {**path, "coordinateTransformations": [sequence]}


def multiscale(version: str, axes: Sequence[Mapping[str, Any]] = AXES) -> dict[str, Any]:
    listed = [dict(axis) for axis in axes]
    said: dict[str, Any] = {
        "0.1": {},
        "0.2": {},
        "0.3": {"axes": [axis["name"] for axis in axes]},
        "0.6": {"coordinateSystems": [{"name": "physical", "axes": listed}]},
    }.get(version, {"axes": listed})
    return {
        "name": "cells",
        **said,
        "datasets": [dataset(version, index, axes) for index in range(2)],
        "type": "local_mean",
        "metadata": {"method": "mean"},
    }


class Tree:
    """A store in the making, whose groups and arrays rows add, change and remove."""

    def __init__(self, version: str, folder: Path) -> None:
        self.version = version
        self.folder = folder
        self.zarr_format: Any = 3 if version in ("0.5", "0.6") else 2

    def group(self, path: str, metadata: Mapping[str, Any] | None = None, **attrs: Any) -> None:
        """Write a group that says by the version what `metadata` say, and has other attributes."""
        named = {
            key: {"version": self.version, **part}
            if key in NAMED_IN[self.version] and isinstance(part, dict)
            else [{"version": self.version, **one} for one in part]
            if key in NAMED_IN[self.version]
            else part
            for key, part in json.loads(json.dumps(metadata or {})).items()
        }
        if named and self.zarr_format == 3:
            named = {"ome": {"version": self.version, **named}}
        self.forget(path)
        zarr.create_group(self.folder, path=path, zarr_format=self.zarr_format, attributes={**named, **attrs})

    def array(
        self, path: str, shape: Sequence[int], dtype: str = "uint8", names: Sequence[str] | None = "tczyx"
    ) -> None:
        options: dict[str, Any] = {"dimension_names": names}
        if self.zarr_format == 2:
            separator = "." if self.version == "0.1" else "/"
            options = {"chunk_key_encoding": {"name": "v2", "separator": separator}}
        zarr.create_array(
            self.folder,
            name=path,
            shape=tuple(shape),
            dtype=dtype,
            overwrite=True,
            zarr_format=self.zarr_format,
            **options,
        )

    def image(
        self,
        path: str = "",
        *,
        axes: Sequence[Mapping[str, Any]] = AXES,
        sizes: Mapping[str, int] = SIZES,
        dtype: str = "uint8",
        **others: Any,
    ) -> None:
        """Write an image with two levels."""
        attrs = {"_ARRAY_DIMENSIONS": [axis["name"] for axis in axes]} if self.version == "0.3" else {}
        self.group(path, {"multiscales": [multiscale(self.version, axes)], **others}, **attrs)
        names = [axis["name"] for axis in axes]
        for index in range(2):
            shape = [-(-sizes.get(name, 4) // (2**index if name in ("y", "x") else 1)) for name in names]
            self.array(f"{path}/{index}".strip("/"), shape, dtype, names)

    def opened(self, path: str = "") -> Any:
        return zarr.open_group(self.folder, path=path, mode="r+", use_consolidated=False)

    def change(self, path: str, change: Callable[[dict[str, Any]], Any]) -> None:
        """Change the OME metadata of a group."""
        group = self.opened(path)
        attrs = json.loads(json.dumps(group.attrs.asdict()))
        change(attrs.get("ome", attrs))
        group.attrs.put(attrs)

    def document(self, path: str) -> Path:
        return self.folder / path / ("zarr.json" if self.zarr_format == 3 else ".zattrs")

    def remove(self, *paths: str) -> None:
        for path in paths:
            shutil.rmtree(self.folder / path)

    def forget(self, path: str) -> None:
        """Remove what makes a group one, and leave all that lies in it."""
        for name in ("zarr.json", ".zgroup", ".zattrs"):
            (self.folder / path / name).unlink(missing_ok=True)

    def xml(self, *parts: str) -> None:
        (self.folder / "OME" / "METADATA.ome.xml").write_text(XML.format("".join(parts)))

    def found(self, *, strict: bool = False) -> list[str]:
        """Return what is found: rule, severity and location, this as 0.4 has it."""
        report = validate(self.folder, strict=strict)
        assert report.version == self.version
        return [f"{one.rule} {one.severity} {self.told(one.location)}" for one in report]

    def told(self, location: str) -> str:
        return re.sub(r"(?<![\w.])ome\.", "", location).replace("coordinateSystems[0].axes", "axes")


def image(tree: Tree) -> None:
    tree.image(omero=OMERO)


def labelled(tree: Tree) -> None:
    image(tree)
    tree.group("labels", {"labels": ["nuclei"]})
    tree.image("labels/nuclei", sizes={**SIZES, "c": 1}, dtype="uint16", **{"image-label": LABEL})


def nested(tree: Tree) -> None:
    labelled(tree)
    tree.group("labels", {"labels": ["nuclei", "deep/cells"]})
    tree.group("labels/deep")
    tree.image("labels/deep/cells", dtype="uint8", **{"image-label": {**LABEL, "source": {"image": "../../../"}}})


def plate(tree: Tree, **others: Any) -> None:
    wells = [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}, {"path": "B/2", "rowIndex": 1, "columnIndex": 1}]
    told = {
        "name": "screen",
        "rows": [{"name": "A"}, {"name": "B"}],
        "columns": [{"name": "1"}, {"name": "2"}],
        "wells": wells,
        "field_count": 2,
        "acquisitions": RUNS,
    }
    tree.group("", {"plate": told, **others})
    for row in "AB":
        tree.group(row)
    for well in ("A/1", "B/2"):
        tree.group(well, {"well": {"images": [{"path": "0", "acquisition": 0}, {"path": "1", "acquisition": 7}]}})
        for name in "01":
            tree.image(f"{well}/{name}")


def collection(tree: Tree) -> None:
    tree.group("", {"bioformats2raw.layout": 3})
    tree.group("OME", {"series": ["0", "1"]})
    tree.xml(XML_IMAGE.format(0), XML_IMAGE.format(1))
    for name in "01":
        tree.image(name)


def numbered(tree: Tree) -> None:
    collection(tree)
    tree.opened("OME").attrs.put({})


def plate_of_collection(tree: Tree) -> None:
    plate(tree, **{"bioformats2raw.layout": 3})
    tree.group("OME", {"series": ["A/1/0", "A/1/1", "B/2/0", "B/2/1"]})
    tree.xml(XML_PLATE, *map(XML_IMAGE.format, range(4)))


def scene(tree: Tree) -> None:
    """Two images, of which an array says how they lie to each other, and one that lies in the scene."""
    leading = [
        {"type": "affine", "path": MATRIX, "input": {"path": "0", "name": "physical"}, "output": {"name": "world"}},
        {"type": "identity", **IDENTITY_ENDS},
    ]
    system = {"name": "world", "axes": list(AXES)}
    tree.group("", {"scene": {"coordinateSystems": [system], "coordinateTransformations": leading}})
    for name in "01":
        tree.image(name)
    tree.array(MATRIX, (5, 6), names=None)


MATRIX = "coordinateTransformations/matrix"


def beside(tree: Tree) -> None:
    """An image whose levels are groups, with a coordinate beside the pixels."""
    image(tree)

    def nest(said: dict[str, Any]) -> None:
        for dataset in said["multiscales"][0]["datasets"]:
            dataset["path"] += "/image"
            for transform in dataset["coordinateTransformations"]:
                if "input" in transform:
                    transform["input"]["path"] += "/image"

    tree.change("", nest)
    for index in range(2):
        shape = zarr.open_array(tree.folder / str(index)).shape
        tree.remove(str(index))
        tree.group(str(index))
        tree.array(f"{index}/image", shape)
        if tree.zarr_format == 2:
            zarr.open_array(tree.folder / str(index) / "image").attrs["_ARRAY_DIMENSIONS"] = [*"tczyx"]
        along_x(tree, index)


def along_x(tree: Tree, index: int, start: float = 0.0) -> None:
    """Write the coordinate x of a level as xarray does."""
    size = zarr.open_array(tree.folder / str(index) / "image").shape[-1]
    values = start + np.arange(size) * 0.5 * 2**index + 0.25 * (2**index - 1)
    xr.Dataset(coords={"x": values}).to_zarr(
        tree.folder, group=str(index), mode="a", zarr_format=tree.zarr_format, consolidated=False
    )


SAMPLES: dict[str, Callable[[Tree], Any]] = {
    "image": image,
    "labelled": labelled,
    "nested": nested,
    "plate": plate,
    "collection": collection,
    "numbered": numbered,
    "plate of collection": plate_of_collection,
    "scene": scene,
    "beside": beside,
}
FIRST: Mapping[str, str] = {
    **dict.fromkeys(("collection", "numbered", "plate of collection", "beside"), "0.4"),
    "scene": "0.6",
}
"""The version that they came with, where that is not the first."""


@pytest.fixture(scope="session")
def flawless(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Return what gives the folder of a sample, which is written once."""
    folder, made = tmp_path_factory.mktemp("flawless"), {}

    def give(sample: str, version: str) -> Path:
        if (sample, version) not in made:
            made[sample, version] = folder / f"{sample} {version}"
            SAMPLES[sample](Tree(version, made[sample, version]))
        return made[sample, version]

    return give


@pytest.mark.parametrize(
    ("sample", "version"),
    [(sample, version) for sample in SAMPLES for version in EVERY[EVERY.index(FIRST.get(sample, "0.1")) :]],
)
def test_a_flawless_store_has_no_findings(sample: str, version: str, flawless: Callable[[str, str], Path]) -> None:
    assert Tree(version, flawless(sample, version)).found(strict=True) == []


# -- changes of them ---------------------------------------------------------------------------------------


def put(*path: Any, at: str = "") -> Callable[[Tree], None]:
    """Return what puts a value at a place of the metadata of the group `at`: keys and indices, then the value."""
    *keys, last, value = path

    def change(metadata: Any) -> None:
        for key in keys:
            metadata = metadata[key]
        if isinstance(metadata, list) and last == len(metadata):
            metadata.append(value)
        else:
            metadata[last] = value

    return lambda tree: tree.change(at, change)


def drop(*path: Any, at: str = "") -> Callable[[Tree], None]:
    """Return what removes a place of the metadata of the group `at`."""
    *keys, last = path

    def change(metadata: Any) -> None:
        for key in keys:
            metadata = metadata[key]
        del metadata[last]

    return lambda tree: tree.change(at, change)


def axis(index: int, **keys: Any) -> Callable[[Tree], None]:
    """Return what changes keys of an axis; None removes one."""

    def change(metadata: Any) -> None:
        one = metadata["multiscales"][0]
        listed = one["axes"] if "axes" in one else one["coordinateSystems"][0]["axes"]
        kept = {**listed[index], **keys}
        listed[index] = {key: value for key, value in kept.items() if value is not None}

    return lambda tree: tree.change("", change)


def of_axes(*axes: Mapping[str, Any]) -> Callable[[Tree], None]:
    """Return what writes an image of these axes in place of the one that is there."""

    def change(tree: Tree) -> None:
        shutil.rmtree(tree.folder)
        tree.image(axes=axes)

    return change


def scales(*values: Any, index: int = 1) -> Callable[[Tree], None]:
    """Return what gives a level another scale, and no translation."""

    def change(tree: Tree) -> None:
        given = scale(*values) if tree.version in OBJECTS else {**scale(*values), **ends(str(index))}
        put(*M0, "datasets", index, "coordinateTransformations", [given])(tree)

    return change


def both(*changes: Callable[[Tree], Any]) -> Callable[[Tree], None]:
    def change(tree: Tree) -> None:
        for one in changes:
            one(tree)

    return change


LEVEL = ("multiscales", 0, "datasets", 1)
PLACE = (*LEVEL, "coordinateTransformations")
CHANNEL = ("omero", "channels", 1)
NUCLEI = "labels/nuclei"
COLORS, ROWS = ("image-label", "colors"), ("image-label", "properties")


def listed(*changes: Mapping[str, Any] | None, at: str = "", index: int = 1) -> Callable[[Tree], None]:
    """Return what gives a level another list of transformations, in 0.4 and 0.5."""
    return put(*PLACE[:3], index, PLACE[-1], list(changes), at=at)


def scale(*values: Any) -> dict[str, Any]:
    return {"type": "scale", "scale": list(values)}


def translation(*values: Any) -> dict[str, Any]:
    return {"type": "translation", "translation": list(values)}


def other_version(tree: Tree) -> None:
    """Write one image of a plate in another version."""
    made = Tree({"0.4": "0.3", "0.5": "0.6", "0.6": "0.5"}.get(tree.version, "0.4"), tree.folder)
    tree.remove("B/2/0")
    made.image("B/2/0")


def other_zarr(tree: Tree) -> None:
    """Write one array group in the other format of Zarr."""
    attrs = tree.opened().attrs.asdict()
    tree.forget("")
    zarr.create_group(tree.folder, zarr_format=5 - tree.zarr_format, attributes=attrs)
    for index in range(2):
        shape = [-(-SIZES[name] // (2**index if name in "yx" else 1)) for name in "tczyx"]
        tree.remove(str(index))
        options = {"dimension_names": "tczyx"} if tree.zarr_format == 2 else {}
        encoding = {} if tree.zarr_format == 2 else {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
        zarr.create_array(
            tree.folder,
            name=str(index),
            shape=tuple(shape),
            dtype="uint8",
            zarr_format=5 - tree.zarr_format,
            **options,
            **encoding,
        )


ONES = (1.0,) * 5
COARSE = scale(0.5, 0.5, 0.5, 1.0, 1.0)
LEVEL_1 = (2, 2, 3, 4, 3)
LABEL_1 = (2, 1, 3, 4, 3)
PROPERTIES = ("image-label", "properties")
ONE_PLACE = [[float(row == column) for column in range(6)] for row in (0, 1, 2, 3, 3)]
"""A matrix with the same row for y and x."""
WORLD_ENDS = {"input": {"name": "physical"}, "output": {"name": "world"}}
LINK = ("scene", "coordinateTransformations", 1)
IDENTITY_ENDS = {"input": {"path": "1", "name": "physical"}, "output": {"name": "world"}}


def of_arrays(*shapes: Sequence[int], names: Sequence[str] | None) -> Callable[[Tree], None]:
    """Return what gives the levels arrays of other shapes."""

    def change(tree: Tree) -> None:
        for index, shape in enumerate(shapes):
            tree.array(str(index), shape, names=names)

    return change


def other_keys(tree: Tree) -> None:
    """Let the chunks of a level lie otherwise than the version has them."""
    document = tree.folder / "1" / ".zarray"
    said = json.loads(document.read_text())
    document.write_text(json.dumps({**said, "dimension_separator": "/" if tree.version == "0.1" else "."}))


def named(*kind: Any, at: str = "") -> Callable[[Tree], None]:
    """Return what names the version in a part of the metadata."""
    return lambda tree: put(*kind, "version", tree.version, at=at)(tree)


def as_number(*kind: Any, at: str = "") -> Callable[[Tree], None]:
    """Return what names it there as a number."""
    return lambda tree: put(*kind, "version", float(tree.version), at=at)(tree)


def renamed(name: str) -> Callable[[Tree], None]:
    """Return what gives an image of a well another name."""

    def change(tree: Tree) -> None:
        (tree.folder / "A/1/1").rename(tree.folder / "A/1" / name)
        put("well", "images", 1, "path", name, at="A/1")(tree)

    return change


def twice(tree: Tree) -> None:
    """List a multiscale once more."""
    tree.change("", lambda metadata: metadata["multiscales"].append(metadata["multiscales"][0]))


def level_again(tree: Tree) -> None:
    """List a level once more."""

    def again(metadata: dict[str, Any]) -> None:
        levels = metadata["multiscales"][0]["datasets"]
        levels.append(levels[1])

    tree.change("", again)


def as_floats(tree: Tree, dtype: str = "float32") -> None:
    """Write labels that are none."""
    for index in range(2):
        tree.array(f"{NUCLEI}/{index}", tree.opened(NUCLEI)[str(index)].shape, dtype)


def as_integers(tree: Tree) -> None:
    """Do with labels what the finding says."""
    as_floats(tree, tree.opened(NUCLEI)["0"][...].astype("int32").dtype.name)


def written_anew(tree: Tree) -> None:
    """Open what is there, and write it with a name."""
    opened = xr.open_datatree(tree.folder, engine="omezarr")
    tree.version, tree.folder = spec.written_as(tree.version), tree.folder.with_name("named.zarr")
    opened.omezarr.to_zarr(tree.folder, version=tree.version, name="cells", mode="w")


@dataclass(frozen=True)
class Row:
    """A rule and a store that breaks it.

    Parameters
    ----------
    rule
        Its number.
    found
        Severity and location of the finding, where not the same in all versions by version.
    sample
        The store that is changed.
    change
        What breaks the rule.
    versions
        Those that have the rule.
    along
        What else is found, and why the rule cannot be broken without it.
    mend
        What the finding says is to be done, done.
    """

    rule: str
    found: str
    sample: str
    change: Callable[[Tree], Any]
    versions: Sequence[str] = WRITTEN
    along: tuple[str, ...] = ()
    why: str = ""
    mend: Callable[[Tree], Any] | None = None

    @property
    def told(self) -> list[str]:
        """All that is found."""
        return [f"{self.rule} {self.found}", *self.along]


M0 = ("multiscales", 0)
W = ("plate", "wells", 0)
RUN = ("plate", "acquisitions", 0)
WELL_IMAGE = ("well", "images", 1)
NAMES = "by the axes that are there, the dimensions have other names"

ROWS = (
    # -- Zarr
    Row("1", "error zarr_format", "image", other_zarr, ("0.1", "0.2", "0.3", "0.4")),
    Row("0.5a", "error zarr_format", "image", other_zarr, ("0.5", "0.6")),
    Row("2", "warning 1", "image", other_keys, (*EARLY, "0.4"), mend=lambda t: t.array("1", LEVEL_1)),
    # -- axes
    Row("7", "error multiscales[0].axes[1].name", "image", axis(1, name=3)),
    Row("8", "error multiscales[0].axes[4].name", "image", axis(4, name="y")),
    Row("8", "error multiscales[0].axes[4].name", "image", put(*M0, "axes", 4, "y"), ("0.3",)),
    Row(
        "9",
        "warning multiscales[0].axes[1]",
        "image",
        both(drop("omero"), axis(1, type=None)),
        mend=axis(1, type="channel"),
    ),
    Row(
        "10",
        "warning multiscales[0].axes[1].type",
        "image",
        both(drop("omero"), axis(1, type="angle")),
        mend=axis(1, type="channel"),
    ),
    Row("11", "warning multiscales[0].axes[4]", "image", axis(4, unit=None), mend=axis(4, unit="micrometer")),
    Row("12", "warning multiscales[0].axes[4].unit", "image", axis(4, unit="micron"), mend=axis(4, unit="micrometer")),
    Row(
        "13",
        "error 0",
        "image",
        of_arrays((8, 6), (4, 3), names=("y", "x")),
        ("0.5", "0.6"),
        ("0.5c error 0", "0.5c error 1"),
        NAMES,
    ),
    Row("13", "error 0", "image", of_arrays((8, 6), (4, 3), names=None), (*EARLY, "0.4")),
    Row("14", "error multiscales[0]", "image", drop(*M0, "axes"), OBJECTS),
    Row(
        "14", "error multiscales[0].coordinateSystems[0]", "image", drop(*M0, "coordinateSystems", 0, "axes"), ("0.6",)
    ),
    Row("14", "error multiscales[0]", "image", drop(*M0, "axes"), ("0.3",)),
    Row(
        "15",
        "error multiscales[0].axes",
        "image",
        of_axes(T, {**T, "name": "u"}, C, Z, Y, X),
        OBJECTS,
        ("17 error multiscales[0].axes",),
        "rules 16 to 18 leave room for five axes",
    ),
    Row(
        "15",
        "error multiscales[0].axes",
        "image",
        of_axes(*({"name": name, "type": "array"} for name in "abcdef")),
        ("0.6",),
    ),
    Row("15", "error multiscales[0].axes", "image", of_axes(X), ("0.3",)),
    Row(
        "16",
        "error multiscales[0].axes",
        "image",
        of_axes(C, {"name": "w", **{k: X[k] for k in ("type", "unit")}}, Z, Y, X),
    ),
    Row("17", "error multiscales[0].axes", "image", of_axes(T, {**T, "name": "u"}, Y, X)),
    Row("18", "error multiscales[0].axes", "image", of_axes(C, {**C, "name": "d"}, Y, X)),
    Row("19", "error multiscales[0].axes", "image", of_axes(C, T, Y, X), mend=of_axes(T, C, Y, X)),
    Row("20", "warning multiscales[0].axes", "image", of_axes(C, X, Y), mend=of_axes(C, Y, X)),
    Row(
        "21",
        "error 0",
        "image",
        lambda t: t.opened()["0"].attrs.put({"_ARRAY_DIMENSIONS": list("ctzyx")}),
        ("0.1", "0.2", "0.3", "0.4"),
        mend=lambda t: t.opened()["0"].attrs.put({"_ARRAY_DIMENSIONS": list("tczyx")}),
    ),
    # -- levels
    Row("22", "error multiscales[0].datasets", "image", put(*M0, "datasets", []), ("0.3", *WRITTEN)),
    Row("23", "error multiscales[0].datasets[1].path", "image", drop(*LEVEL, "path"), ("0.3", *OBJECTS)),
    Row(
        "24",
        "error 1",
        "image",
        lambda t: (scales(*ONES)(t), scales(*ONES, index=0)(t), t.array("1", (2, 2, 3, 9, 6))),
        OBJECTS,
    ),
    Row("24", "error 1", "image", lambda t: t.array("1", (2, 2, 3, 9, 6)), EARLY),
    Row("25", "error 1", "image", lambda t: t.array("1", (4, 3), names=None), (*EARLY, "0.4")),
    Row("26", "error multiscales[0].datasets[1]", "image", drop(*PLACE), OBJECTS),
    Row(
        "0.6d",
        "error scene.coordinateTransformations[1].input",
        "scene",
        put(*LINK, "input", "1"),
        ("0.6",),
        mend=put(*LINK, "input", {"path": "1", "name": "physical"}),
    ),
    Row("0.6d", "error scene.coordinateTransformations", "scene", put(*LINK[:2], []), ("0.6",)),
    Row(
        "0.6e",
        "error scene.coordinateTransformations[1].input.path",
        "scene",
        put(*LINK, "input", "path", "2"),
        ("0.6",),
        ("0.6e warning 1",),
        "nothing else names that image",
        mend=put(*LINK, "input", "path", "1"),
    ),
    Row("0.6e", "warning 2", "scene", lambda t: t.image("2"), ("0.6",), mend=lambda t: t.remove("2")),
    Row(
        "0.6f",
        "error scene",
        "scene",
        put("scene", "coordinateSystems", 1, {"name": "stage", "axes": list(AXES)}),
        ("0.6",),
        mend=drop("scene", "coordinateSystems", 1),
    ),
    Row(
        "0.6g",
        f"error {MATRIX}",
        "scene",
        lambda t: t.array(MATRIX, (5, 5), names=None),
        ("0.6",),
        mend=lambda t: t.array(MATRIX, (5, 6), names=None),
    ),
    Row(
        "27",
        "error multiscales[0].datasets[1].coordinateTransformations[0].type",
        "image",
        listed({"type": "affine"}, scale(*ONES)),
        OBJECTS,
    ),
    Row("28", "error multiscales[0].datasets[1].coordinateTransformations", "image", listed(), OBJECTS),
    Row(
        "30",
        "error multiscales[0].datasets[1].coordinateTransformations",
        "image",
        listed(COARSE, translation(0, 0, 0, 0.25, 0), translation(0, 0, 0, 0, 0.25)),
        OBJECTS,
        mend=listed(COARSE, translation(0, 0, 0, 0.25, 0.25)),
    ),
    Row(
        "31",
        "error multiscales[0].datasets[1].coordinateTransformations",
        "image",
        listed(translation(*ONES), COARSE),
        OBJECTS,
        mend=listed(COARSE, translation(0.5, 0.5, 0.5, 1, 1)),
    ),
    Row(
        "32",
        "error multiscales[0].datasets[1].coordinateTransformations[0].scale",
        "image",
        listed(scale(1, 1)),
        OBJECTS,
    ),
    Row(
        "33",
        "error multiscales[0].coordinateTransformations",
        "image",
        put(*M0, "coordinateTransformations", [translation(*ONES)]),
        OBJECTS,
    ),
    Row("34", "warning multiscales[0]", "image", drop(*M0, "name"), EVERY, mend=written_anew),
    Row("35", "warning multiscales[0]", "image", drop(*M0, "version"), ("0.2", "0.3", "0.4"), mend=named(*M0)),
    Row("35", "error multiscales[0].version", "image", as_number(*M0), ("0.1", "0.2", "0.3", "0.4"), mend=named(*M0)),
    Row("36", "warning multiscales[0]", "image", drop(*M0, "type"), EVERY, mend=put(*M0, "type", "local_mean")),
    Row("37", "warning multiscales[0]", "image", drop(*M0, "metadata"), EVERY, mend=put(*M0, "metadata", {})),
    Row(
        "38",
        "error multiscales[0].datasets[1].coordinateTransformations[1]",
        "image",
        listed(COARSE, {"translation": [0] * 5}),
        OBJECTS,
    ),
    Row(
        "38",
        "error multiscales[0].datasets[1].coordinateTransformations[0]",
        "image",
        drop(*PLACE, 0, "type"),
        ("0.6",),
    ),
    Row(
        "39",
        "error multiscales[0].datasets[1].coordinateTransformations[0]",
        "image",
        listed({"type": "scale", "path": "s"}),
        OBJECTS,
    ),
    # -- channels
    Row("41", "error omero.channels", "image", drop("omero", "channels"), EVERY),
    Row(
        "42",
        "error omero.channels[1].color",
        "image",
        put(*CHANNEL, "color", "#00FF00"),
        EVERY,
        mend=put(*CHANNEL, "color", "00FF00"),
    ),
    Row(
        "43",
        "error omero.channels[1].window",
        "image",
        drop(*CHANNEL, "window"),
        EVERY,
        mend=put(*CHANNEL, "window", WINDOW),
    ),
    Row("44", "error omero.channels[1].window.min", "image", drop(*CHANNEL, "window", "min"), EVERY),
    Row("45", "error omero.channels[1].window.end", "image", put(*CHANNEL, "window", "end", "9"), EVERY),
    Row(
        "46",
        "warning omero.channels",
        "image",
        drop("omero", "channels", 1),
        EVERY,
        mend=put("omero", "channels", 1, OMERO["channels"][1]),
    ),
    Row(
        "100",
        "warning omero.channels[1].window",
        "image",
        put(*CHANNEL, "window", {"min": 0, "max": 9, "start": 5, "end": 4}),
        EVERY,
        mend=put(*CHANNEL, "window", {"min": 0, "max": 9, "start": 4, "end": 5}),
    ),
    # -- labels
    Row(
        "47",
        "warning labels: labels",
        "labelled",
        lambda t: t.opened("labels").attrs.put({}),
        (*EARLY, "0.4"),
        mend=lambda t: t.opened("labels").attrs.put({"labels": ["nuclei"]}),
    ),
    Row(
        "47",
        "warning labels",
        "labelled",
        lambda t: t.forget("labels"),
        EVERY,
        mend=lambda t: t.group("labels", {"labels": ["nuclei"]}),
    ),
    Row("47", "error labels: labels", "labelled", put("labels", {}, at="labels"), EVERY),
    Row("0.5e", "error labels: labels", "labelled", lambda t: t.opened("labels").attrs.put({}), ("0.5", "0.6")),
    Row(
        "0.5e",
        "error labels: deep",
        "nested",
        lambda t: t.group("labels/deep", {"labels": ["cells"]}),
        ("0.5", "0.6"),
        mend=lambda t: t.group("labels/deep"),
    ),
    Row(
        "0.5e",
        "warning labels/nuclei: image-label",
        "labelled",
        drop("image-label", at=NUCLEI),
        ("0.5", "0.6"),
        mend=put("image-label", LABEL, at=NUCLEI),
    ),
    Row(
        "0.5e",
        "error labels/nuclei: 0",
        "labelled",
        as_floats,
        ("0.5", "0.6"),
        ("0.5e error labels/nuclei: 1",),
        "all levels have one dtype",
        mend=as_integers,
    ),
    Row(
        "48",
        "error labels: labels[0]",
        "labelled",
        lambda t: t.remove(NUCLEI),
        EVERY,
        mend=put("labels", [], at="labels"),
    ),
    Row(
        "49",
        "warning labels/nuclei: 1",
        "labelled",
        lambda t: t.array("labels/nuclei/1", (2, 1, 3, 3, 3), "uint16"),
        EVERY,
    ),
    Row(
        "50",
        "warning labels/nuclei: 0",
        "labelled",
        as_floats,
        (*EARLY, "0.4"),
        ("50 warning labels/nuclei: 1",),
        "all levels have one dtype",
        mend=as_integers,
    ),
    Row("51", "error labels/nuclei: image-label", "labelled", drop("multiscales", at=NUCLEI), EVERY),
    Row("52", "error labels/nuclei: multiscales[0].datasets", "labelled", drop(*M0, "datasets", 1, at=NUCLEI), EVERY),
    Row("53", "warning labels/nuclei: image-label", "labelled", drop(*COLORS, at=NUCLEI)),
    Row(
        "54",
        "error labels/nuclei: image-label.colors[1].label-value",
        "labelled",
        put(*COLORS, 1, "label-value", 1.5, at=NUCLEI),
        EVERY,
    ),
    Row(
        "55",
        "error labels/nuclei: image-label.colors[1].rgba",
        "labelled",
        put(*COLORS, 1, "rgba", [0, 0, 256, 0], at=NUCLEI),
        EVERY,
    ),
    Row(
        "56",
        "error labels/nuclei: image-label.colors[2].label-value",
        "labelled",
        put(*COLORS, 2, LABEL["colors"][1], at=NUCLEI),
        EVERY,
        mend=drop(*COLORS, 2, at=NUCLEI),
    ),
    Row(
        "56",
        "warning labels/nuclei: image-label.colors[2].label-value",
        "labelled",
        put(*COLORS, 2, {"label-value": 1, "rgba": [1, 1, 1, 1]}, at=NUCLEI),
        ("0.5", "0.6"),
        mend=drop(*COLORS, 0, at=NUCLEI),
    ),
    Row(
        "57",
        "error labels/nuclei: image-label.properties[2]",
        "labelled",
        put(*PROPERTIES, 2, LABEL["properties"][1], at=NUCLEI),
        EVERY,
        mend=drop(*PROPERTIES, 2, at=NUCLEI),
    ),
    Row(
        "58",
        "error labels/nuclei: image-label.source.image",
        "labelled",
        put("image-label", "source", "image", "../", at=NUCLEI),
        EVERY,
        mend=put("image-label", "source", "image", "../../", at=NUCLEI),
    ),
    Row(
        "59",
        "warning labels/nuclei: image-label",
        "labelled",
        drop("image-label", "version", at=NUCLEI),
        ("0.4",),
        mend=put("image-label", "version", "0.4", at=NUCLEI),
    ),
    Row(
        "59",
        "error labels/nuclei: image-label.version",
        "labelled",
        as_number("image-label", at=NUCLEI),
        (*EARLY, *OBJECTS),
        mend=named("image-label", at=NUCLEI),
    ),
    # -- plates
    Row(
        "5",
        "error plate.wells[0].path",
        "plate",
        lambda t: t.remove("A/1"),
        EVERY,
        mend=lambda t: (t.remove("A"), drop("plate", "wells", 0)(t)),
    ),
    Row("6", "warning C", "plate", lambda t: t.group("C"), WRITTEN, mend=lambda t: t.remove("C")),
    Row("60", "error plate.acquisitions", "plate", put("plate", "acquisitions", {}), EVERY),
    Row(
        "61",
        "error plate.acquisitions[2].id",
        "plate",
        put("plate", "acquisitions", 2, RUNS[0]),
        EVERY,
        mend=put(*("plate", "acquisitions"), 2, {**RUNS[0], "id": 8}),
    ),
    Row("62", "warning plate.acquisitions[0]", "plate", drop(*RUN, "name"), EVERY, mend=put(*RUN, "name", "first")),
    Row(
        "63",
        "warning plate.acquisitions[0]",
        "plate",
        drop(*RUN, "maximumfieldcount"),
        EVERY,
        mend=put(*RUN, "maximumfieldcount", 1),
    ),
    Row(
        "63",
        "warning A/1: well.images",
        "plate",
        put("well", "images", 1, "acquisition", 0, at="A/1"),
        EVERY,
        mend=put(*RUN, "maximumfieldcount", 2),
    ),
    Row("64", "error plate.acquisitions[0].endtime", "plate", put(*RUN, "endtime", -1)),
    Row("64", "warning plate.acquisitions[0].endtime", "plate", put(*RUN, "endtime", -1), EARLY),
    Row("65", "error plate.columns", "plate", put("plate", "columns", {}), EVERY),
    Row("66", "error plate.columns", "plate", lambda t: shutil.copytree(t.folder / "A/1", t.folder / "A/3"), WRITTEN),
    Row(
        "67",
        "error plate.columns[2].name",
        "plate",
        put("plate", "columns", 2, {"name": "2-3"}),
        WRITTEN,
        mend=put("plate", "columns", 2, {"name": "23"}),
    ),
    Row(
        "68",
        "error plate.columns[2].name",
        "plate",
        put("plate", "columns", 2, {"name": "1"}),
        EVERY,
        mend=put("plate", "columns", 2, {"name": "3"}),
    ),
    Row(
        "69",
        "warning plate.rows[2].name",
        "plate",
        put("plate", "rows", 2, {"name": "a"}),
        WRITTEN,
        mend=put("plate", "rows", 2, {"name": "C"}),
    ),
    Row("70", "warning plate", "plate", drop("plate", "field_count"), WRITTEN, mend=put("plate", "field_count", 2)),
    Row(
        "70",
        "warning A/1: well.images",
        "plate",
        both(
            put("plate", "field_count", 1),
            put(*RUN, "maximumfieldcount", 2),
            put("well", "images", 1, "acquisition", 0, at="A/1"),
        ),
        WRITTEN,
        mend=put("plate", "field_count", 2),
    ),
    Row(
        "70",
        "error plate.field_count",
        "plate",
        put("plate", "field_count", 0),
        WRITTEN,
        mend=put("plate", "field_count", 2),
    ),
    Row("71", "warning plate", "plate", drop("plate", "name"), WRITTEN, mend=written_anew),
    Row("72", "error plate.rows", "plate", put("plate", "rows", None), EVERY),
    Row("73", "warning plate", "plate", drop("plate", "version"), ("0.4",), mend=named("plate")),
    Row("73", "error plate.version", "plate", as_number("plate"), (*EARLY, *OBJECTS), mend=named("plate")),
    Row("0.5f", "warning plate", "plate", drop("plate", "version"), ("0.5",), mend=named("plate")),
    Row(
        "74",
        "error plate.wells[2].path",
        "plate",
        put("plate", "wells", 2, {"path": "A/1", "rowIndex": 0, "columnIndex": 0}),
        EVERY,
        mend=drop("plate", "wells", 2),
    ),
    Row("75", "error plate.wells[0].path", "plate", put(*W, "path", "/A/1"), EVERY, mend=put(*W, "path", "A/1")),
    Row("76", "error plate.wells[0].rowIndex", "plate", drop(*W, "rowIndex"), WRITTEN, mend=put(*W, "rowIndex", 0)),
    Row("77", "error plate.wells[0]", "plate", put(*W, "rowIndex", 1), WRITTEN, mend=put(*W, "rowIndex", 0)),
    Row("78", "error A/1: well.images", "plate", put("well", "images", {}, at="A/1"), EVERY),
    Row("79", "error A/1: well.images[1].path", "plate", renamed("f+1"), EVERY),
    Row(
        "80",
        "error A/1: well.images[2].path",
        "plate",
        put("well", "images", 2, {"path": "0", "acquisition": 0}, at="A/1"),
        EVERY,
        mend=drop("well", "images", 2, at="A/1"),
    ),
    Row(
        "81",
        "error A/1: well.images[1]",
        "plate",
        drop(*WELL_IMAGE, "acquisition", at="A/1"),
        mend=put(*WELL_IMAGE, "acquisition", 7, at="A/1"),
    ),
    Row("81", "warning A/1: well.images[1]", "plate", drop(*WELL_IMAGE, "acquisition", at="A/1"), EARLY),
    Row(
        "82",
        "warning A/1: well",
        "plate",
        drop("well", "version", at="A/1"),
        ("0.4",),
        mend=put("well", "version", "0.4", at="A/1"),
    ),
    Row(
        "82",
        "error A/1: well.version",
        "plate",
        as_number("well", at="A/1"),
        (*EARLY, *OBJECTS),
        mend=named("well", at="A/1"),
    ),
    Row("0.5b", "error B/2/0: version", "plate", other_version, ("0.5", "0.6")),
    Row("0.5b", "warning B/2/0: version", "plate", other_version, (*EARLY, "0.4")),
    # -- collections
    Row(
        "83",
        "error bioformats2raw.layout",
        "collection",
        put("bioformats2raw.layout", 2),
        mend=put("bioformats2raw.layout", 3),
    ),
    Row("84", "error plate", "collection", lambda t: t.xml(XML_PLATE, *map(XML_IMAGE.format, range(2)))),
    Row(
        "85",
        "warning OME/METADATA.ome.xml",
        "collection",
        lambda t: (t.folder / "OME/METADATA.ome.xml").unlink(),
        mend=lambda t: t.xml(*map(XML_IMAGE.format, range(2))),
    ),
    Row(
        "86",
        "warning OME",
        "plate of collection",
        drop("series", at="OME"),
        mend=put("series", ["A/1/0", "A/1/1", "B/2/0", "B/2/1"], at="OME"),
    ),
    Row("87", "error OME: series[1]", "collection", lambda t: t.remove("1")),
    Row(
        "88",
        "error attributes",
        "numbered",
        lambda t: (t.folder / "1").rename(t.folder / "2"),
        mend=lambda t: (t.folder / "2").rename(t.folder / "1"),
    ),
    Row("89", "warning 2", "collection", lambda t: t.image("2"), mend=lambda t: t.remove("2")),
    # -- our own
    Row(
        "91",
        "error multiscales[0].datasets[1].coordinateTransformations",
        "image",
        listed(scale(0, 0.5, 0.5, 1, 1)),
        OBJECTS,
    ),
    Row(
        "91",
        "error multiscales[0].datasets[1].coordinateTransformations[0].scale",
        "image",
        scales(0.5, 0.5, 0.5, 0, 1),
        ("0.6",),
    ),
    Row("92", "error multiscales[0].datasets[1].path", "image", put(*LEVEL, "path", "../1"), (*EARLY, *OBJECTS)),
    Row("93", "warning multiscales[1]", "image", twice, EVERY),
    Row("94", "error multiscales[0].name", "image", put(*M0, "name", 5), EVERY),
    Row(
        "96",
        "warning multiscales",
        "image",
        lambda t: t.opened().attrs.update({"multiscales": []}),
        ("0.5", "0.6"),
        mend=lambda t: t.opened().attrs.__delitem__("multiscales"),
    ),
    Row("96", "error ome", "image", lambda t: t.opened().attrs.put({"ome": {"version": t.version}}), ("0.5", "0.6")),
    Row("97", "warning 1", "image", lambda t: t.array("1", (2, 2, 3, 4, 1)), ("0.6",)),
    Row(
        "97",
        "warning 1",
        "image",
        listed(COARSE, translation(0, 0, 0, 2.25, 0.25)),
        OBJECTS,
        mend=listed(COARSE, translation(0, 0, 0, 0.25, 0.25)),
    ),
    Row("98", "error 1", "image", lambda t: t.remove("1"), EVERY, mend=drop(*LEVEL)),
    Row("99", "error multiscales[1]", "image", put("multiscales", 1, "cells"), EVERY, mend=drop("multiscales", 1)),
    Row(
        "101",
        "warning multiscales[0].axes[4].orientation",
        "image",
        axis(4, orientation={"type": "anatomical", "value": "up"}),
        mend=axis(4, orientation={"type": "anatomical", "value": "left-to-right"}),
    ),
    Row(
        "102",
        "warning scene.coordinateTransformations",
        "scene",
        put(*LINK[:2], 2, {"type": "scale", "scale": [2] * 5, **IDENTITY_ENDS}),
        ("0.6",),
        mend=drop(*LINK[:2], 2),
    ),
    Row("103", "warning 1/x", "beside", lambda t: along_x(t, 1, start=1.0), WRITTEN, mend=lambda t: along_x(t, 1)),
    Row(
        "104",
        "warning multiscales[0].coordinateTransformations[0]",
        "image",
        both(
            put(*M0, "coordinateSystems", 1, {"name": "world", "axes": [*AXES]}),
            put(*M0, "coordinateTransformations", [{"type": "affine", "affine": ONE_PLACE, **WORLD_ENDS}]),
        ),
        ("0.6",),
        mend=put(*M0, "coordinateTransformations", 0, "affine", 4, [0, 0, 0, 0, 1, 0]),
    ),
    Row(
        "105",
        "warning 1",
        "image",
        lambda t: t.array("1", LEVEL_1, "uint16"),
        EVERY,
        mend=lambda t: t.array("1", LEVEL_1),
    ),
    Row(
        "106",
        "warning multiscales[0].datasets[2].path",
        "image",
        level_again,
        EVERY,
        mend=drop(*LEVEL),
    ),
    Row(
        "106",
        "warning labels: labels[1]",
        "labelled",
        put("labels", 1, "nuclei", at="labels"),
        EVERY,
        mend=drop("labels", 1, at="labels"),
    ),
    Row("107", "error other.numbers[1]", "image", put("other", {"numbers": [1.5, math.nan]}), EVERY),
    Row(
        "108",
        "warning 1",
        "image",
        lambda t: t.array("1", (2, 2, 3, 0, 3)),
        WRITTEN,
        ("97 warning 1",),
        "an array without pixels covers nothing",
    ),
    # -- what came, or went, with a version
    Row("0.3a", "error multiscales[0].axes[1]", "image", put(*M0, "axes", 1, "p"), ("0.3",)),
    Row("0.3a", "warning multiscales[0].axes", "image", put(*M0, "axes", ["y", "x"]), ("0.1", "0.2")),
    Row("0.3b", "error multiscales[0].axes", "image", of_axes(C, T, Z, Y, X), ("0.3",)),
    Row(
        "0.3c",
        "warning _ARRAY_DIMENSIONS",
        "image",
        lambda t: t.opened().attrs.__delitem__("_ARRAY_DIMENSIONS"),
        ("0.3",),
        mend=lambda t: t.opened().attrs.update({"_ARRAY_DIMENSIONS": list("tczyx")}),
    ),
    Row(
        "0.5c",
        "error 1",
        "image",
        lambda t: t.array("1", LEVEL_1, names=None),
        ("0.5", "0.6"),
        mend=lambda t: t.array("1", LEVEL_1),
    ),
    Row("0.6a", "error multiscales[0].coordinateSystems", "image", put(*M0, "coordinateSystems", {}), ("0.6",)),
    Row(
        "0.6b",
        "error multiscales[0].datasets[1].coordinateTransformations[0].input.path",
        "image",
        put(*PLACE, 0, "input", "path", "0"),
        ("0.6",),
        mend=put(*PLACE, 0, "input", "path", "1"),
    ),
    Row(
        "0.6c",
        "error multiscales[0].coordinateTransformations[0].output",
        "image",
        put(*M0, "coordinateTransformations", [{"type": "identity", **WORLD_ENDS}]),
        ("0.6",),
    ),
    Row(
        "27",
        "error multiscales[0].datasets[1].coordinateTransformations[0].type",
        "image",
        put(*PLACE, 0, "type", "warp"),
        ("0.6",),
    ),
    Row("39", "error multiscales[0].datasets[1].coordinateTransformations[0]", "image", scales(1, 1), ("0.6",)),
    Row(
        "24",
        "error 1",
        "image",
        lambda t: (scales(*ONES)(t), scales(*ONES, index=0)(t), t.array("1", (2, 2, 3, 9, 6))),
        ("0.6",),
    ),
    Row("25", "error 1", "image", lambda t: t.array("1", (4, 3), names="yx"), ("0.5", "0.6"), ("0.5c error 1",), NAMES),
    Row(
        "23",
        "error multiscales[0].datasets[1].path",
        "image",
        drop(*LEVEL, "path"),
        ("0.6",),
        ("0.6b error multiscales[0].datasets[1].coordinateTransformations[0].input.path",),
        "what places a level names its path too",
    ),
    Row(
        "92",
        "error multiscales[0].datasets[1].path",
        "image",
        both(put(*LEVEL, "path", "../1"), put(*PLACE, 0, "input", "path", "../1")),
        ("0.6",),
    ),
)


CASES = [
    pytest.param(row, version, id=f"{row.rule}-{version}-{index}")
    for index, row in enumerate(ROWS)
    for version in row.versions
]


@pytest.fixture
def broken(row: Row, version: str, flawless: Callable[[str, str], Path], tmp_path: Path) -> Tree:
    """Return the store of a row."""
    tree = Tree(version, tmp_path / "broken.zarr")
    shutil.copytree(flawless(row.sample, version), tree.folder)
    row.change(tree)
    return tree


@pytest.mark.parametrize(("row", "version"), CASES)
def test_breaking_one_rule_gives_that_finding_alone(row: Row, version: str, broken: Tree) -> None:
    assert broken.found() == row.told
    assert bool(row.along) == bool(row.why)
    strict = [
        one.replace(" warning ", " error ") if one.split()[0] not in checks.STRICT_LENIENT else one for one in row.told
    ]
    assert broken.found(strict=True) == strict


@pytest.mark.parametrize(("row", "version"), [case for case in CASES if case.values[0].mend is not None])
def test_what_the_finding_says_mends_it(row: Row, version: str, broken: Tree) -> None:
    assert row.mend is not None
    row.mend(broken)
    found = broken.found()
    # what is written anew in another version is judged by that
    assert found == [] if broken.version == version else row.rule not in {one.split()[0] for one in found}


DEFINITE = re.compile(r"\w\(|\w=|^write \"|^exchange|^list it once|^remove it")


@pytest.mark.parametrize(("row", "version"), CASES)
def test_cures_that_name_a_call_or_a_value_are_tried(row: Row, version: str, broken: Tree) -> None:
    cure = validate(broken.folder).findings[0].cure
    assert row.mend is not None or not re.search(r"\w\(|\w=|^(re)?write \"|exchange|^list it once|^remove it", cure), (
        cure
    )


# -- which rules there are -----------------------------------------------------------------------------------

NUMBER = re.compile(r"[1-9]\d{0,2}|0\.\d[a-z]")

OF_WRITERS = {
    "95": "asked of what is to be written alone, which ome-zarr-models judges: test_spec.py and test_spec_kinds.py"
}
OF_FILES = frozenset({"120", "121", "122", "123", "124", "125", "126", "127"})
"""Asked of the zip file that a hierarchy is in: test_single_file.py breaks each."""
OF_PIXELS = frozenset({"110", "111", "112", "113", "114", "115"})
"""Asked of pixels, with `grids`: test_grids.py breaks each."""
OF_CHUNKS = frozenset({"116", "117"})
"""Asked of all chunks, with `chunks`: test_damage.py breaks each."""
OF_PARTS = frozenset({"128", "129"})
"""Of what is being written: test_regions.py and test_appending.py break each."""
UNREPORTED = {
    "3": "asked by rules 15 and 19, of axes and arrays alike",
    "4": "JSON with comments cannot be read, and is told as what cannot be: test_rule_4_comments_cannot_be_read",
    "29": "says which scale stands for an unknown one; no store shows whether 1.0 was known",
    "40": "says how readers apply transformations: test_spec.py and test_systems.py compare where levels lie",
    "90": "asks readers to show all images of a collection: test_collection.py opens them",
}
"""Rules of the specification that no finding names, and why."""


def reported() -> dict[str, set[str]]:
    """Return the numbers of rules in the code by the modules that have them."""
    found: dict[str, set[str]] = {}
    package = Path(xomezarr.__file__).parent
    for path in [path for name in ("checks", "spec", "validate") for path in (package / name).glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and NUMBER.fullmatch(node.value):
                found.setdefault(node.value, set()).add(f"{path.parent.name}/{path.name}")
    return found


def test_every_rule_of_the_code_has_a_row() -> None:
    rows = {row.rule for row in ROWS}
    elsewhere = OF_WRITERS.keys() | OF_FILES | OF_PIXELS | OF_CHUNKS | OF_PARTS
    missing = {rule: where for rule, where in reported().items() if rule not in rows | elsewhere}
    assert not missing, "a rule without a row is one that nobody has seen work"
    assert rows <= reported().keys()


def test_every_rule_of_the_specification_is_reported_or_named_here() -> None:
    assert {str(number) for number in range(1, 91)} - reported().keys() == UNREPORTED.keys()


def test_no_two_rows_are_the_same() -> None:
    for rule in {row.rule for row in ROWS}:
        told = [
            (row.found.split()[0], row.found, version) for row in ROWS if row.rule == rule for version in row.versions
        ]
        assert len(told) == len(set(told)), rule


def test_rules_that_early_versions_lack_are_not_found_there(
    flawless: Callable[[str, str], Path], tmp_path: Path
) -> None:
    lacking = [(version, rule) for version in EARLY for rule, severity in TABLE[version].eased.items() if not severity]
    for index, (version, row) in enumerate((v, row) for v, rule in lacking for row in ROWS if row.rule == rule):
        if version in row.versions:  # what prevents reading does so by any rule
            continue
        tree = Tree(version, tmp_path / str(index))
        shutil.copytree(flawless(row.sample, version), tree.folder)
        with suppress(KeyError):  # a key that the version does not have cannot be removed
            row.change(tree)
        assert row.rule not in {one.split()[0] for one in tree.found()}


@pytest.mark.parametrize("version", WRITTEN)
def test_rule_4_comments_cannot_be_read(version: str, flawless: Callable[[str, str], Path], tmp_path: Path) -> None:
    tree = Tree(version, tmp_path / "a.zarr")
    shutil.copytree(flawless("plate", version), tree.folder)
    document = tree.document("A/1/0")
    document.write_text("// by hand\n" + document.read_text())
    assert [one.split(" ", 1)[0] for one in tree.found()] == ["98"]
