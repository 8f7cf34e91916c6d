"""Label images, plates, wells, groups of labels and collections: JSON to and from the model, and its rules."""

from __future__ import annotations

import json
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
import zarr
from fuzzing import spoil
from hypothesis import given
from hypothesis import strategies as st

from xomezarr import checks, spec
from xomezarr.errors import MetadataError, NotOmeZarrError, VersionError
from xomezarr.model import (
    Acquisition,
    Axis,
    Field,
    Image,
    LabelColor,
    LabelImage,
    LabelRow,
    Level,
    Multiscale,
    Plate,
    PlateLine,
    PlateWell,
    Well,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VERSIONS = ("0.4", "0.5")

LABEL = {
    "colors": [{"label-value": 1, "rgba": [255, 0, 0, 255]}, {"label-value": 2, "rgba": [0, 255, 0, 128]}],
    "properties": [{"label-value": 1, "area": 3.5}, {"label-value": 2, "area": None}],
    "source": {"image": "../../"},
}
PLATE = {
    "name": "screen",
    "rows": [{"name": "A"}, {"name": "B"}],
    "columns": [{"name": "1"}, {"name": "2"}, {"name": "3"}],
    "wells": [
        {"path": "A/1", "rowIndex": 0, "columnIndex": 0},
        {"path": "B/3", "rowIndex": 1, "columnIndex": 2},
    ],
    "field_count": 2,
    "acquisitions": [
        {"id": 0, "name": "first", "maximumfieldcount": 1, "description": "before", "starttime": 5, "endtime": 6},
        {"id": 1, "name": "second", "maximumfieldcount": 1},
    ],
}
WELL = {"images": [{"path": "0", "acquisition": 0}, {"path": "1", "acquisition": 1}]}
MULTISCALE = {
    "name": "nuclei",
    "axes": [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"],
    "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [0.5, 0.5]}]}],
    "type": "mode",
    "metadata": {"method": "xomezarr.mode"},
}
PARTS = {"image-label": LABEL, "plate": PLATE, "well": WELL}


def flawless(kind: str, version: str) -> dict[str, Any]:
    """Return group attributes of a kind that break no rule."""
    if kind == "labels":
        return {"labels": ["nuclei"]} if version == "0.4" else {"ome": {"version": version, "labels": ["nuclei"]}}
    if kind == "series":
        return {"series": ["0", "1"]} if version == "0.4" else {"ome": {"version": version, "series": ["0", "1"]}}
    if kind == "bioformats2raw.layout":
        return {kind: 3} if version == "0.4" else {"ome": {"version": version, kind: 3}}
    metadata: dict[str, Any] = {kind: {"version": version} | deepcopy(PARTS[kind])}
    if kind == "image-label":
        multiscale = deepcopy(MULTISCALE) | ({"version": version} if version == "0.4" else {})
        metadata["multiscales"] = [multiscale]
    return metadata if version == "0.4" else {"ome": {"version": version, **metadata}}


def part(attrs: dict[str, Any], kind: str) -> Any:
    return attrs.get("ome", attrs)[kind]


def put(*path: Any) -> Callable[[dict[str, Any]], None]:
    """Return what puts a value at a place in the metadata: keys and indices, then the value."""
    *keys, last, value = path

    def change(metadata: Any) -> None:
        for key in keys:
            metadata = metadata[key]
        metadata[last] = value

    return change


def drop(*path: Any) -> Callable[[dict[str, Any]], None]:
    """Return what removes a place from the metadata."""
    *keys, last = path

    def change(metadata: Any) -> None:
        for key in keys:
            metadata = metadata[key]
        del metadata[last]

    return change


# kind, rule, severity, location below the part, whether it is read nevertheless, what breaks the rule;
# what starts with a point is a part of the part, and "" the part itself
BREAKS: list[tuple[str, str, str, str, bool, Callable[[dict[str, Any]], Any]]] = [
    ("image-label", "53", "warning", "", True, drop("image-label", "colors")),
    ("image-label", "53", "error", ".colors", True, put("image-label", "colors", [])),
    ("image-label", "53", "error", ".colors", True, put("image-label", "colors", {"1": "red"})),
    ("image-label", "54", "error", ".colors[1]", True, put("image-label", "colors", 1, "red")),
    ("image-label", "54", "error", ".colors[1].label-value", True, drop("image-label", "colors", 1, "label-value")),
    ("image-label", "54", "error", ".colors[0].label-value", True, put("image-label", "colors", 0, "label-value", 1.5)),
    ("image-label", "54", "error", ".colors[0].label-value", True, put("image-label", "colors", 0, "label-value", "1")),
    (
        "image-label",
        "54",
        "error",
        ".colors[0].label-value",
        True,
        put("image-label", "colors", 0, "label-value", True),
    ),
    ("image-label", "55", "error", ".colors[0].rgba", True, put("image-label", "colors", 0, "rgba", [0, 0, 0])),
    ("image-label", "55", "error", ".colors[0].rgba", True, put("image-label", "colors", 0, "rgba", [0, 0, 0, 256])),
    ("image-label", "55", "error", ".colors[0].rgba", True, put("image-label", "colors", 0, "rgba", [0, 0, 0, 0.5])),
    ("image-label", "55", "error", ".colors[0].rgba", True, put("image-label", "colors", 0, "rgba", [-1, 0, 0, 0])),
    ("image-label", "55", "error", ".colors[0].rgba", True, put("image-label", "colors", 0, "rgba", None)),
    (
        "image-label",
        "56",
        "error",
        ".colors[2].label-value",
        True,
        lambda m: m["image-label"]["colors"].append(dict(LABEL["colors"][0])),  # type: ignore[arg-type]
    ),
    ("image-label", "57", "error", ".properties", True, put("image-label", "properties", [])),
    ("image-label", "57", "error", ".properties", True, put("image-label", "properties", "none")),
    ("image-label", "57", "error", ".properties[0]", True, put("image-label", "properties", 0, 1)),
    (
        "image-label",
        "57",
        "error",
        ".properties[0].label-value",
        True,
        drop("image-label", "properties", 0, "label-value"),
    ),
    (
        "image-label",
        "57",
        "error",
        ".properties[1]",
        True,
        put("image-label", "properties", 1, {"label-value": 1, "area": 3.5}),
    ),
    ("image-label", "58", "error", ".source", True, put("image-label", "source", "../../")),
    ("image-label", "58", "error", ".source.image", True, put("image-label", "source", "image", 0)),
    ("image-label", "59", "error", ".version", True, put("image-label", "version", "0.3")),
    ("image-label", "94", "error", "", True, put("image-label", 3)),
    ("plate", "60", "error", ".acquisitions", True, put("plate", "acquisitions", {"id": 0})),
    ("plate", "60", "error", ".acquisitions[0]", True, put("plate", "acquisitions", 0, "first")),
    ("plate", "61", "error", ".acquisitions[0].id", True, drop("plate", "acquisitions", 0, "id")),
    ("plate", "61", "error", ".acquisitions[0].id", True, put("plate", "acquisitions", 0, "id", "0")),
    ("plate", "61", "error", ".acquisitions[0].id", True, put("plate", "acquisitions", 0, "id", -1)),
    ("plate", "61", "error", ".acquisitions[1].id", True, put("plate", "acquisitions", 1, "id", 0)),
    ("plate", "62", "warning", ".acquisitions[0]", True, drop("plate", "acquisitions", 0, "name")),
    ("plate", "62", "error", ".acquisitions[0].name", True, put("plate", "acquisitions", 0, "name", 1)),
    ("plate", "63", "warning", ".acquisitions[0]", True, drop("plate", "acquisitions", 0, "maximumfieldcount")),
    (
        "plate",
        "63",
        "error",
        ".acquisitions[0].maximumfieldcount",
        True,
        put("plate", "acquisitions", 0, "maximumfieldcount", 0),
    ),
    (
        "plate",
        "63",
        "error",
        ".acquisitions[0].maximumfieldcount",
        True,
        put("plate", "acquisitions", 0, "maximumfieldcount", "1"),
    ),
    ("plate", "64", "error", ".acquisitions[0].description", True, put("plate", "acquisitions", 0, "description", 3)),
    (
        "plate",
        "64",
        "error",
        ".acquisitions[0].starttime",
        True,
        put("plate", "acquisitions", 0, "starttime", "2022-05-13"),
    ),
    ("plate", "64", "error", ".acquisitions[0].endtime", True, put("plate", "acquisitions", 0, "endtime", -1)),
    ("plate", "65", "error", ".columns", False, drop("plate", "columns")),
    ("plate", "65", "error", ".columns", False, put("plate", "columns", {"name": "1"})),
    ("plate", "65", "error", ".columns[1]", False, put("plate", "columns", 1, "2")),
    ("plate", "67", "error", ".rows[1].name", False, drop("plate", "rows", 1, "name")),
    ("plate", "67", "error", ".columns[1].name", False, put("plate", "columns", 1, "name", 2)),
    ("plate", "67", "error", ".columns[1].name", True, put("plate", "columns", 1, "name", "2-3")),
    (
        "plate",
        "68",
        "error",
        ".columns[2].name",
        True,
        lambda m: (put("plate", "columns", 2, "name", "1")(m), m["plate"]["wells"].pop()),
    ),
    ("plate", "69", "warning", ".rows[2].name", True, lambda m: m["plate"]["rows"].append({"name": "a"})),
    ("plate", "70", "warning", "", True, drop("plate", "field_count")),
    ("plate", "70", "error", ".field_count", True, put("plate", "field_count", 0)),
    ("plate", "70", "error", ".field_count", True, put("plate", "field_count", 1.5)),
    ("plate", "71", "warning", "", True, drop("plate", "name")),
    ("plate", "71", "error", ".name", True, put("plate", "name", None)),
    ("plate", "72", "error", ".rows", False, put("plate", "rows", None)),
    ("plate", "73", "error", ".version", True, put("plate", "version", 0.4)),
    ("plate", "74", "error", ".wells", False, drop("plate", "wells")),
    ("plate", "74", "error", ".wells", True, put("plate", "wells", [])),
    ("plate", "74", "error", ".wells[0]", False, put("plate", "wells", 0, "A/1")),
    (
        "plate",
        "74",
        "error",
        ".wells[2].path",
        True,
        lambda m: m["plate"]["wells"].append(dict(m["plate"]["wells"][0])),
    ),
    ("plate", "74", "error", "", False, put("plate", ["A/1"])),
    ("plate", "75", "error", ".wells[1].path", False, drop("plate", "wells", 1, "path")),
    ("plate", "75", "error", ".wells[1].path", True, put("plate", "wells", 1, "path", "B")),
    ("plate", "75", "error", ".wells[1].path", True, put("plate", "wells", 1, "path", "plate/B/3")),
    ("plate", "75", "error", ".wells[1].path", True, put("plate", "wells", 1, "path", "3/B")),
    ("plate", "75", "error", ".wells[1].path", True, put("plate", "wells", 1, "path", "B/4")),
    ("plate", "92", "error", ".wells[1].path", False, put("plate", "wells", 1, "path", "../B/3")),
    ("plate", "76", "error", ".wells[1].rowIndex", True, drop("plate", "wells", 1, "rowIndex")),
    ("plate", "76", "error", ".wells[1].columnIndex", True, put("plate", "wells", 1, "columnIndex", "2")),
    ("plate", "76", "error", ".wells[1].columnIndex", True, put("plate", "wells", 1, "columnIndex", 3)),
    ("plate", "76", "error", ".wells[1].rowIndex", True, put("plate", "wells", 1, "rowIndex", -1)),
    ("plate", "77", "error", ".wells[1]", True, put("plate", "wells", 1, "columnIndex", 1)),
    ("well", "78", "error", "", False, put("well", [])),
    ("well", "78", "error", ".images", False, drop("well", "images")),
    ("well", "78", "error", ".images", True, put("well", "images", [])),
    ("well", "78", "error", ".images[0]", False, put("well", "images", 0, "0")),
    ("well", "79", "error", ".images[0].path", False, drop("well", "images", 0, "path")),
    ("well", "79", "error", ".images[0].path", True, put("well", "images", 0, "path", "field_0")),
    ("well", "92", "error", ".images[0].path", False, put("well", "images", 0, "path", "/0")),
    ("well", "80", "error", ".images[1].path", True, put("well", "images", 1, "path", "0")),
    ("well", "81", "error", ".images[1].acquisition", True, put("well", "images", 1, "acquisition", "1")),
    ("well", "82", "error", ".version", True, put("well", "version", 0.4)),
    ("labels", "47", "error", "", False, put("labels", "nuclei")),
    ("labels", "47", "error", "[0]", False, put("labels", 0, 3)),
    ("labels", "92", "error", "[0]", False, put("labels", 0, "../nuclei")),
    ("series", "87", "error", "", False, put("series", {"0": 0})),
    ("series", "87", "error", "[1]", False, put("series", 1, 1)),
    ("series", "92", "error", "[1]", False, put("series", 1, "a/../../b")),
    ("bioformats2raw.layout", "83", "error", "", True, put("bioformats2raw.layout", 4)),
    ("bioformats2raw.layout", "83", "error", "", False, put("bioformats2raw.layout", "3")),
]

PARSERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "image-label": spec.parse,
    "plate": spec.parse_plate,
    "well": spec.parse_well,
    "labels": spec.parse_labels,
    "series": spec.parse_series,
    "bioformats2raw.layout": spec.layout,
}
COVERED = {rule for _, rule, *_ in BREAKS} | {"51"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", PARSERS)
def test_flawless_metadata_have_no_findings_and_are_accepted(version: str, kind: str) -> None:
    attrs = flawless(kind, version)
    assert spec.findings(attrs, strict=True) == []
    assert kind in spec.kinds(attrs)
    assert spec.detect(attrs) == spec.readable(attrs) == version
    PARSERS[kind](attrs)
    spec.check(attrs, version)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("kind", "rule", "severity", "at", "readable", "change"),
    BREAKS,
    ids=[f"{kind}-{rule}-{severity}{at}-{index}" for index, (kind, rule, severity, at, *_) in enumerate(BREAKS)],
)
def test_breaking_one_rule_gives_that_finding_alone(
    version: str,
    kind: str,
    rule: str,
    severity: str,
    at: str,
    readable: bool,
    change: Callable[[dict[str, Any]], Any],
) -> None:
    attrs = flawless(kind, version)
    change(attrs.get("ome", attrs))
    place = f"{'ome.' if version == '0.5' else ''}{kind}{at}"
    found = spec.findings(attrs)
    assert [(finding.rule, finding.severity, finding.location) for finding in found] == [(rule, severity, place)]
    assert [finding.severity for finding in spec.findings(attrs, strict=True)] == [
        "warning" if rule in checks.STRICT_LENIENT and severity == "warning" else "error"
    ]
    if readable:
        PARSERS[kind](attrs)
    else:
        with pytest.raises(MetadataError) as caught:
            PARSERS[kind](attrs)
        assert place in str(caught.value)
        assert f"(rule {rule})" in str(caught.value)
    if severity == "error":
        with pytest.raises(MetadataError, match=rf"\(rule {rule}\)"):
            spec.check(attrs, version)


def test_every_rule_of_metadata_from_51_to_83_is_broken_by_some_case() -> None:
    """Those that are missing here need the store, and are met in test_validate.py."""
    assert {str(number) for number in range(51, 84)} - COVERED == {"52", "66"}


@pytest.mark.parametrize("version", VERSIONS)
def test_rule_51_a_label_image_is_an_image(version: str) -> None:
    attrs = flawless("image-label", version)
    del attrs.get("ome", attrs)["multiscales"]
    (finding,) = spec.findings(attrs)
    assert (finding.rule, finding.severity) == ("51", "error")
    with pytest.raises(NotOmeZarrError, match="metadata of a label"):
        spec.parse(attrs)


def test_rules_59_73_82_the_version_is_named_in_0_4() -> None:
    for kind, rule in (("image-label", "59"), ("plate", "73"), ("well", "82")):
        attrs = flawless(kind, "0.4")
        del attrs[kind]["version"]
        assert [(finding.rule, finding.severity) for finding in spec.findings(attrs)] == [(rule, "warning")]
        assert [finding.severity for finding in spec.findings(attrs, strict=True)] == ["error"]


def test_rule_0_5f_a_plate_of_0_5_names_the_version_by_the_text_alone() -> None:
    for kind, rules in (("plate", ["0.5f"]), ("well", []), ("image-label", [])):
        attrs = flawless(kind, "0.5")
        del attrs["ome"][kind]["version"]
        assert [(finding.rule, finding.severity) for finding in spec.findings(attrs, strict=True)] == [
            (rule, "warning") for rule in rules
        ]
        spec.check(attrs, "0.5")


@pytest.mark.parametrize(("version", "severity"), [("0.4", "error"), ("0.5", "warning")])
def test_rule_56_several_colors_for_one_label(version: str, severity: str) -> None:
    attrs = flawless("image-label", version)
    part(attrs, "image-label")["colors"].append({"label-value": 1, "rgba": [9, 9, 9, 9]})
    (finding,) = spec.findings(attrs)
    assert (finding.rule, finding.severity) == ("56", severity)
    label = spec.parse(attrs).label
    assert label is not None
    assert label.colors is not None
    assert {color.value: color.rgba for color in label.colors}[1] == (9, 9, 9, 9)
    if severity == "warning":
        spec.check(attrs, version)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_only_ome_zarr_models_demands_is_not_refused(version: str) -> None:
    """A color without rgba, and properties of other labels than the colors: the specification has no word on it."""
    attrs = flawless("image-label", version)
    del part(attrs, "image-label")["colors"][0]["rgba"]
    part(attrs, "image-label")["properties"].pop()
    assert spec.findings(attrs) == []
    spec.check(attrs, version)


@pytest.mark.parametrize("version", VERSIONS)
def test_check_asks_ome_zarr_models_of_each_kind(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The models see all that our own rules pass: without these, they name the faults that they know."""
    monkeypatch.setattr(spec, "findings", lambda attrs, strict=False: [])
    faults: dict[str, Callable[[dict[str, Any]], None]] = {
        "image-label": put("image-label", "colors", 0, "rgba", [0, 0, 0, 256]),
        "plate": put("plate", "columns", 0, "name", "1-2"),
        "well": put("well", "images", 0, "path", "a_b"),
        "labels": put("labels", 0, 3),
        "bioformats2raw.layout": put("bioformats2raw.layout", 4),
    }
    for kind, change in faults.items():
        attrs = flawless(kind, version)
        change(attrs.get("ome", attrs))
        with pytest.raises(MetadataError, match=r"ome-zarr-models says.*\(rule 95\)"):
            spec.check(attrs, version)


# -- kinds and versions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", PARSERS)
def test_c7_another_kind_is_refused_by_name(version: str, kind: str) -> None:
    attrs = flawless(kind, version)
    named = {
        "image-label": "an image",
        "plate": "a plate",
        "well": "a well",
        "labels": "a list of label images",
        "series": "a list of series",
        "bioformats2raw.layout": "a collection",
    }
    for other, parse in PARSERS.items():
        if other == kind:
            continue
        if other == "bioformats2raw.layout":
            assert parse(attrs) is None
            continue
        with pytest.raises(NotOmeZarrError, match=rf"{named[kind]}.* of OME-Zarr {version}, not {named[other]}"):
            parse(attrs)


VERSION_RULES = {"plate": "73", "well": "82"}


@pytest.mark.parametrize("kind", PARSERS)
def test_c7_another_version_is_refused_by_name(kind: str) -> None:
    new = flawless(kind, "0.5")
    new["ome"]["version"] = "0.7"
    with pytest.raises(VersionError, match=r"'0\.7'"):
        PARSERS[kind](new)
    (finding,) = spec.findings(new)
    assert (finding.rule, finding.location) == ("0.5b", "ome.version")
    if kind in ("plate", "well"):
        old = flawless(kind, "0.4")
        old[kind]["version"] = "0.0"
        with pytest.raises(VersionError, match=rf"{kind}\.version.*'0\.0'"):
            PARSERS[kind](old)
        (finding,) = spec.findings(old)
        assert (finding.rule, finding.location) == (VERSION_RULES[kind], f"{kind}.version")
    for dump in (spec.dump_labels, spec.dump_series):
        with pytest.raises(VersionError, match=r"'0\.7'"):
            dump((), "0.7")


def test_groups_without_metadata() -> None:
    assert spec.parse_labels({}) == spec.parse_labels({"note": 1}) == ()
    assert spec.layout({}) is None
    assert spec.kinds({}) == spec.kinds({"ome": {"version": "0.5"}}) == frozenset()
    assert spec.readable({}) is None
    with pytest.raises(NotOmeZarrError, match="holds no OME metadata; open the group of a plate"):
        spec.parse_plate({})


@pytest.mark.parametrize("kind", ["plate", "well", "labels"])
def test_metadata_of_two_versions_are_told_apart(kind: str) -> None:
    attrs = flawless(kind, "0.4") | flawless(kind, "0.5")
    (finding,) = spec.findings(attrs)
    assert (finding.rule, finding.severity, finding.location) == ("96", "warning", kind)
    assert spec.detect(attrs) == "0.5"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_plate_in_a_collection_is_both(version: str) -> None:
    attrs = flawless("plate", version)
    attrs.get("ome", attrs)["bioformats2raw.layout"] = 3
    assert spec.kinds(attrs) == {"plate", "bioformats2raw.layout"}
    assert spec.findings(attrs, strict=True) == []
    spec.check(attrs, version)
    assert spec.layout(attrs) == 3
    plate = spec.parse_plate(attrs)
    assert plate.extra["ome"] == {"bioformats2raw.layout": 3}
    assert spec.dump_plate(plate, version) == attrs
    other = VERSIONS[version == "0.4"]
    assert spec.layout(spec.dump_plate(plate, other)) == 3


@pytest.mark.parametrize("version", VERSIONS)
def test_every_fault_that_prevents_reading_is_told(version: str) -> None:
    attrs = flawless("plate", version)
    plate = part(attrs, "plate")
    del plate["rows"]
    plate["columns"][0] = 1
    plate["wells"][0]["path"] = None
    with pytest.raises(MetadataError, match=r"(?s)3 reasons.*columns\[0\].*rows.*wells\[0\]\.path"):
        spec.parse_plate(attrs)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_path_of_a_well_decides_where_it_is(version: str) -> None:
    attrs = flawless("plate", version)
    del part(attrs, "plate")["wells"][1]["rowIndex"]
    part(attrs, "plate")["wells"][1]["columnIndex"] = "2"
    assert spec.parse_plate(attrs).wells[1] == PlateWell("B/3", 1, 2)
    # where neither tells, there is no place
    part(attrs, "plate")["wells"][1]["path"] = "C/3"
    with pytest.raises(MetadataError, match=r"wells\[1\]\.rowIndex"):
        spec.parse_plate(attrs)


def test_integers_may_be_written_as_json_writes_them() -> None:
    attrs = json.loads(json.dumps(flawless("plate", "0.4")).replace('"rowIndex": 1', '"rowIndex": 1.0'))
    assert spec.findings(attrs) == []
    assert spec.parse_plate(attrs) == spec.parse_plate(flawless("plate", "0.4"))
    assert spec.layout({"bioformats2raw.layout": 3.0}) == 3


# -- the round trip ----------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-1e3, 1e3) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
unknown = st.dictionaries(st.sampled_from(["x-a", "x-b", "@id"]), json_values, max_size=2)
texts = st.none() | st.text(max_size=5)
integers = st.none() | st.integers(-3, 2**40)
values = st.integers(-5, 2**63)
bytes_ = st.integers(0, 255)
alphanumeric = st.from_regex(r"[A-Za-z0-9]{1,3}", fullmatch=True)
inside = st.dictionaries(st.sampled_from(["series", "bioformats2raw.layout", "omero"]), json_values, max_size=2)
group_extra = st.builds(lambda beside, ome: beside | ({"ome": ome} if ome else {}), unknown, inside)


def some(inner: Any) -> Any:
    return st.none() | st.lists(inner, min_size=1, max_size=3).map(tuple)


labels = st.builds(
    LabelImage,
    some(st.builds(LabelColor, values, st.none() | st.tuples(bytes_, bytes_, bytes_, bytes_), unknown)),
    some(
        st.builds(LabelRow, values, st.dictionaries(st.sampled_from(["area", "class", "x"]), json_values, max_size=2))
    ),
    st.none() | st.text(max_size=6),
    unknown,
    unknown,
)
lines = st.lists(alphanumeric, min_size=1, max_size=4, unique=True).flatmap(
    lambda names: st.tuples(*(st.builds(PlateLine, st.just(name), unknown) for name in names))
)


@st.composite
def plates(draw: st.DrawFn) -> Plate:
    rows, columns = draw(lines), draw(lines)
    wells = []
    for row, column in draw(
        st.lists(
            st.tuples(st.integers(0, len(rows) - 1), st.integers(0, len(columns) - 1)),
            min_size=1,
            max_size=3,
            unique=True,
        )
    ):
        wells.append(PlateWell(f"{rows[row].name}/{columns[column].name}", row, column, draw(unknown)))
    acquisitions = draw(
        some(st.builds(Acquisition, st.integers(0, 9), texts, texts, integers, integers, integers, unknown))
    )
    return Plate(
        rows, columns, tuple(wells), draw(texts), acquisitions, draw(integers), None, draw(unknown), draw(group_extra)
    )


wells = st.builds(
    Well,
    st.lists(st.builds(Field, alphanumeric, integers, unknown), min_size=1, max_size=3).map(tuple),
    st.none(),
    unknown,
    group_extra,
)


def again(attrs: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(attrs))
    return found


@given(labels, group_extra)
def test_c6_a_label_image_that_is_written_is_read(label: LabelImage, extra: dict[str, Any]) -> None:
    axes = (Axis("y", "space"), Axis("x", "space"))
    level = Level("0", {"y": 1.0, "x": 2.0}, {"y": 0.0, "x": 0.5})
    beside = {key: value for key, value in extra.items() if key != "ome"}
    image = Image((Multiscale("nuclei", axes, (level,)),), extra=beside, label=label)
    for version in VERSIONS:
        assert spec.parse(again(spec.dump(image, version))) == replace(image, version=version)
    there = spec.parse(spec.dump(image, "0.4"))
    assert spec.parse(spec.dump(spec.parse(spec.dump(there, "0.5")), "0.4")) == there


@given(plates())
def test_c6_a_plate_that_is_written_is_read(plate: Plate) -> None:
    for version in VERSIONS:
        assert spec.parse_plate(again(spec.dump_plate(plate, version))) == replace(plate, version=version)
    there = spec.parse_plate(spec.dump_plate(plate, "0.4"))
    assert spec.parse_plate(spec.dump_plate(spec.parse_plate(spec.dump_plate(there, "0.5")), "0.4")) == there


@given(wells)
def test_c6_a_well_that_is_written_is_read(well: Well) -> None:
    for version in VERSIONS:
        assert spec.parse_well(again(spec.dump_well(well, version))) == replace(well, version=version)
    there = spec.parse_well(spec.dump_well(well, "0.4"))
    assert spec.parse_well(spec.dump_well(spec.parse_well(spec.dump_well(there, "0.5")), "0.4")) == there


@given(st.lists(alphanumeric, max_size=3), group_extra)
def test_c6_lists_of_paths_are_read(paths: list[str], extra: dict[str, Any]) -> None:
    for version in VERSIONS:
        attrs = again(spec.dump_labels(paths, version, extra))
        assert spec.parse_labels(attrs) == tuple(paths)
        # what is not said of the labels is kept, in its place
        written = attrs if version == "0.4" else attrs["ome"]
        assert written.items() >= extra.get("ome", {}).items()
        assert attrs.items() >= {key: value for key, value in extra.items() if key != "ome"}.items()
        assert spec.parse_series(spec.dump_series(paths, version)) == tuple(paths)
        spec.check(spec.dump_series(paths, version), version)
        kept = spec.dump_layout(version, {"x": 1, "ome": {"y": 2}})
        assert spec.layout(kept) == 3
        assert kept["x"] == (kept if version == "0.4" else kept["ome"])["y"] - 1 == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_c6_unknown_keys_and_unread_values_survive(version: str) -> None:
    attrs = flawless("plate", version) | {"x-group": 0}
    plate = part(attrs, "plate")
    plate["x-plate"] = 1
    plate["rows"][0]["x-row"] = 2
    plate["wells"][0]["x-well"] = 3
    plate["acquisitions"][0] |= {"x-run": 4, "starttime": "2022-05-13", "name": None}
    plate["acquisitions"] += ["third", {"id": "run-1", "name": "theirs"}]
    plate["field_count"] = "two"
    assert spec.dump_plate(spec.parse_plate(attrs), version) == attrs
    attrs = flawless("well", version)
    part(attrs, "well")["x-well"] = 5
    part(attrs, "well")["images"][0] |= {"x-field": 6, "acquisition": "first"}
    assert spec.dump_well(spec.parse_well(attrs), version) == attrs
    attrs = flawless("image-label", version)
    label = part(attrs, "image-label")
    label["x-label"] = 7
    label["colors"][0] |= {"x-color": 8, "rgba": "red"}
    label["colors"] += [{"rgba": [1, 2, 3, 4]}, "red"]
    label["properties"] += [{"label-value": "1", "area": 3}, None]
    label["source"] = {"image": 9, "x-source": 10}
    assert part(spec.dump(spec.parse(attrs), version), "image-label") == label
    for key in ("colors", "properties"):
        label[key] = label[key][-1:]
    assert part(spec.dump(spec.parse(attrs), version), "image-label") == label
    label |= {"colors": "red", "properties": {"1": "a"}, "source": "../../"}
    assert part(spec.dump(spec.parse(attrs), version), "image-label") == label
    attrs = flawless("plate", version)
    part(attrs, "plate")["acquisitions"] = [None]
    assert spec.dump_plate(spec.parse_plate(attrs), version) == attrs


@pytest.mark.parametrize("version", VERSIONS)
def test_reading_and_writing_leave_their_arguments_alone(version: str) -> None:
    for kind, parse in PARSERS.items():
        attrs = flawless(kind, version)
        before = deepcopy(attrs)
        parse(attrs)
        spec.findings(attrs)
        spec.check(attrs, version)
        assert attrs == before


@given(st.data())
def test_c7_any_json_in_any_place_gives_findings_and_no_other_error(data: st.DataObject) -> None:
    """Fuzzing: one value anywhere in good metadata is replaced by any JSON, or removed."""
    version = data.draw(st.sampled_from(VERSIONS))
    kind = data.draw(st.sampled_from([*PARSERS]))
    attrs = flawless(kind, version)
    spoil(data, attrs, json_values)
    found = spec.findings(attrs)
    try:
        read = PARSERS[kind](attrs)
    except (MetadataError, VersionError, NotOmeZarrError):
        assert any(finding.severity == "error" for finding in found)
        return
    dump: dict[str, Callable[[Any, str], dict[str, Any]]] = {
        "image-label": spec.dump,
        "plate": spec.dump_plate,
        "well": spec.dump_well,
    }
    if kind in dump:
        assert PARSERS[kind](dump[kind](read, version)) == read
    if not any(finding.severity == "error" for finding in found):
        with suppress(MetadataError):  # ome-zarr-models may be stricter
            spec.check(attrs, version)


@pytest.mark.parametrize("version", VERSIONS)
def test_c6_a_tree_of_labels_that_is_written_again_stays_one(version: str, tmp_path: Path) -> None:
    pixels = np.arange(16, dtype="u2").reshape(4, 4)
    xr.DataArray(pixels, dims=("y", "x"), name="nuclei").omezarr.to_zarr(tmp_path / "a.zarr", version=version, levels=1)
    group = zarr.open_group(tmp_path / "a.zarr", mode="r+", use_consolidated=False)
    label = LabelImage(
        (LabelColor(1, (1, 2, 3, 4), {"x-note": 1}),), (LabelRow(1, {"area": 2}),), "../../", {}, {"k": 0}
    )
    group.attrs.put(group.attrs.asdict() | spec.dump(replace(spec.parse(group.attrs.asdict()), label=label), version))
    for other in VERSIONS:
        tree = xr.open_datatree(tmp_path / "a.zarr", engine="omezarr")
        tree.omezarr.to_zarr(tmp_path / f"{other}.zarr", version=other)
        written = zarr.open_group(tmp_path / f"{other}.zarr", mode="r", use_consolidated=False).attrs.asdict()
        # but for the image, which is not beside it any more
        assert spec.parse(written).label == replace(label, source=None)
