"""Coordinate systems, as images have them in OME-Zarr 0.6: read, kept, written, and refused where they cannot be."""

from __future__ import annotations

import json
import re
import shutil
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
from stores import check_same_stores, check_same_trees, group_attributes
from test_conformance import schema
from test_spec import BREAKS, finite, flawless, images, json_values, names, positive, unknown
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

import xomezarr
from xomezarr import spec
from xomezarr.cli import main
from xomezarr.errors import AxisError, MetadataError, MultipleErrors, OmeZarrError, OmeZarrWarning, TransformError
from xomezarr.model import Axis, CoordinateSystem, Image, Level, Multiscale, Systems
from xomezarr.spec.notes import Notes
from xomezarr.spec.transforms import dump_transform, read_transform
from xomezarr.transforms import Chain, Rotation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

YX = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
AFFINE = {
    "type": "affine",
    "affine": [[1.0, 0.25, 3.0], [0.0, 1.0, -2.0]],
    "input": {"name": "intrinsic"},
    "output": {"name": "world"},
    "name": "registered",
    "theirs": [1],
}


def described(*transforms: dict[str, Any], axes: list[dict[str, Any]] = YX) -> dict[str, Any]:
    """Return metadata of an image that break no rule, with a system "world" beside that of its levels."""
    scale = {"type": "scale", "scale": [0.5, 0.25]}
    coarse = [{"type": "scale", "scale": [1.0, 0.5]}, {"type": "translation", "translation": [0.25, 0.125]}]
    return {
        "name": "cells",
        "coordinateSystems": [
            {"name": "world", "axes": YX, "of": "stage"},
            {"name": "intrinsic", "axes": axes, "theirs": 1},
        ],
        **({"coordinateTransformations": list(transforms)} if transforms else {}),
        "datasets": [
            {"path": "0", "coordinateTransformations": [{**scale, **ends("0"), "name": "finest"}]},
            {
                "path": "1",
                "coordinateTransformations": [{"type": "sequence", "transformations": coarse, **ends("1")}],
                "theirs": 2,
            },
        ],
        "type": "local_mean",
        "metadata": {"method": "xomezarr.local_mean"},
    }


def ends(path: str) -> dict[str, Any]:
    return {"input": {"path": path}, "output": {"name": "intrinsic"}}


def build(store: Any, multiscale: dict[str, Any] | None = None, *, version: str = "0.6", dims: str = "yx") -> Any:
    """Make a store of an image with two levels."""
    multiscale = described(AFFINE) if multiscale is None else multiscale
    attrs = {"ome": {"version": version, "multiscales": [multiscale]}}
    group = zarr.create_group(store, zarr_format=3, attributes=attrs)
    for path, size in (("0", 32), ("1", 16)):
        pixels = np.arange(size * size, dtype="uint16").reshape(size, size)
        group.create_array(path, data=pixels, dimension_names=list(dims))
    return store


def said(store: Any) -> dict[str, Any]:
    """Return what a store says of its image."""
    return dict(zarr.open_group(store, mode="r", use_consolidated=False).attrs)["ome"]["multiscales"][0]  # type: ignore[no-any-return, index, call-overload]


def opened(store: Any) -> xr.DataTree:
    return xr.open_datatree(store, engine="omezarr")


# -- JSON --------------------------------------------------------------------------------------------------


@st.composite
def systems(draw: st.DrawFn, multiscale: Multiscale) -> Systems:
    """Draw systems beside that of a multiscale, and what leads to them."""
    count = len(multiscale.axes)
    own, *others = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    kinds: list[dict[str, Any]] = [
        {"type": "identity"},
        {"type": "mapAxis", "mapAxis": [*range(1, count), 0]},
        {"type": "affine", "path": "matrix"},
        {"type": "displacements", "path": "field", "interpolation": "linear"},
        {"type": "scale", "scale": [draw(positive) for _ in range(count)]},
        {"type": "sequence", "transformations": [{"type": "translation", "translation": [draw(finite)] * count}]},
    ]
    transforms = [
        {**draw(st.sampled_from(kinds)), "input": {"name": own}, "output": {"name": other}, **draw(unknown)}
        for other in others
    ]
    made = tuple(
        CoordinateSystem(
            other,
            tuple(Axis(f"{axis.name}'", axis.type, draw(st.none() | names)) for axis in multiscale.axes),
            draw(unknown),
        )
        for other in others
    )
    return Systems(own, made, tuple(transforms), draw(unknown), draw(st.integers(0, len(made))))


@st.composite
def statements(draw: st.DrawFn, level: Level, system: dict[str, Any]) -> list[dict[str, Any]]:
    """Draw the ways in which a store may say where a level lies; none for that in which we do.

    `system` are unknown keys beside the name of the system that it lies in.
    """
    scale = {"type": "scale", "scale": list(level.scale.values())}
    moved = {"type": "translation", "translation": list(level.translation.values())}
    plain = {"type": "sequence", "transformations": [scale, moved]}
    steps = [scale | draw(unknown), moved | draw(unknown)]
    ways = [plain, {"type": "sequence", "transformations": steps}]
    if not any(moved["translation"]):
        ways += [scale, {"type": "sequence", "transformations": steps[:1]}]
        ways += [{"type": "identity"}] if {*level.scale.values()} == {1.0} else []
    ends = {key: others for key, others in {"input": draw(unknown), "output": system}.items() if others}
    said = {**draw(st.sampled_from(ways)), **draw(unknown), **ends}
    return [] if said == plain else [said]


@st.composite
def placed_images(draw: st.DrawFn) -> Image:
    """Draw images of 0.6, which may say where their levels lie in ways of their own."""
    image = draw(images())
    told = [replace(one, systems=draw(systems(one))) for one in image.multiscales]
    for index, one in enumerate(told):
        system = draw(unknown)
        levels = [
            replace(level, extra=level.extra | ({"coordinateTransformations": said} if said else {}))
            for level in one.levels
            for said in [draw(statements(level, system))]
        ]
        told[index] = replace(one, levels=tuple(levels))
    return replace(image, multiscales=tuple(told))


@given(placed_images())
def test_c6_what_is_written_is_read(image: Image) -> None:
    written = spec.dump(image, "0.6")
    assert spec.parse(written) == replace(image, version="0.6")
    assert spec.parse(json.loads(json.dumps(written))) == replace(image, version="0.6")
    # findings name nothing of coordinate systems
    assert not {finding.rule for finding in spec.findings(written)} & {"0.6a", "0.6b", "0.6c", "38", "39"}


@given(images())
def test_c6_an_image_without_systems_comes_back_from_06(image: Image) -> None:
    there = spec.parse(spec.dump(image, "0.6"))
    assert {one.systems for one in there.multiscales} == {Systems("physical")}
    for version in ("0.4", "0.5"):
        assert spec.parse(spec.dump(there, version)) == spec.parse(spec.dump(image, version))


@given(placed_images())
def test_c7_versions_before_06_refuse_what_they_cannot_hold(image: Image) -> None:
    more = [one for one in image.multiscales if one.systems is not None and one.systems.others]
    for version in ("0.4", "0.5"):
        if not more:
            spec.dump(image, version)
            continue
        with pytest.raises(MetadataError, match=r'coordinate systems beside .*; give version="0\.6"'):
            spec.dump(image, version)


@given(st.data())
def test_c7_any_json_in_any_place_gives_findings_and_no_other_error(data: st.DataObject) -> None:
    """Fuzzing: one value anywhere in good metadata is replaced by any JSON, or removed."""
    attrs = {"ome": {"version": "0.6", "multiscales": [deepcopy(described(AFFINE))]}}
    spoil(data, attrs["ome"]["multiscales"], json_values)
    found = spec.findings(attrs)
    try:
        image = spec.parse(attrs)
    except MetadataError:
        assert any(finding.severity == "error" for finding in found)
    else:
        assert spec.parse(spec.dump(image, "0.6")) == image


def in_systems(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return metadata of 0.5 in the form of 0.6."""
    for multiscale in metadata["multiscales"]:
        multiscale["coordinateSystems"] = [{"name": "intrinsic", "axes": multiscale.pop("axes")}]
        for dataset in multiscale["datasets"]:
            steps = dataset["coordinateTransformations"]
            (scale, *moved) = steps
            made = {"type": "sequence", "transformations": steps} if moved else scale
            dataset["coordinateTransformations"] = [{**made, **ends(dataset.get("path"))}]
    return {"ome": {"version": "0.6", **metadata}}


# what breaks the axes, the name, the method and the rendering does so by the same rules
ALIKE = [
    case
    for case in BREAKS
    if case[2].startswith(("multiscales[0].axes[", "omero")) or case[0] in ("8", "19", "20", "34", "36", "37")
]


def test_flawless_metadata_of_05_are_so_in_06() -> None:
    assert spec.findings(in_systems(flawless()), strict=True) == []


@pytest.mark.parametrize(("rule", "severity", "place", "read", "change"), ALIKE)
def test_rules_of_axes_and_channels_are_those_of_05(
    rule: str, severity: str, place: str, read: bool, change: Callable[[dict[str, Any]], Any]
) -> None:
    metadata = flawless()
    change(metadata)
    found = spec.findings(in_systems(metadata))
    where = place.replace("multiscales[0].axes", "multiscales[0].coordinateSystems[0].axes")
    assert (rule, severity, f"ome.{where}") in {(one.rule, one.severity, one.location) for one in found}


# -- the rules of 0.6, each broken alone by a store -------------------------------------------------------------


def put(*path: Any) -> Callable[[dict[str, Any]], None]:
    """Return what puts a value at a place in a multiscale: keys and indices, then the value."""
    *keys, last, value = path

    def change(multiscale: Any) -> None:
        for key in keys:
            multiscale = multiscale[key]
        if isinstance(multiscale, list) and last == len(multiscale):
            multiscale.append(value)
        else:
            multiscale[last] = value

    return change


LEVEL = ("datasets", 1, "coordinateTransformations")
WHOLE = ("coordinateTransformations", 0)
WORLD = {"name": "world", "axes": YX}
WORLD_ENDS = {key: AFFINE[key] for key in ("input", "output")}

# rule, place, whether the image is read nevertheless, what breaks the rule
BROKEN: list[tuple[str, str, bool, Callable[[dict[str, Any]], None]]] = [
    ("0.6a", "coordinateSystems", False, put("coordinateSystems", {})),
    ("0.6a", "coordinateSystems", False, put("coordinateSystems", [WORLD])),
    ("0.6a", "coordinateSystems[2].name", False, put("coordinateSystems", 2, WORLD)),
    ("0.6a", "coordinateSystems[2].name", False, put("coordinateSystems", 2, {"axes": YX})),
    ("0.6a", "coordinateSystems[2].name", False, put("coordinateSystems", 2, {"name": 1, "axes": YX})),
    ("0.6a", "coordinateSystems[2]", False, put("coordinateSystems", 2, "stage")),
    ("14", "coordinateSystems[2]", False, put("coordinateSystems", 2, {"name": "stage"})),
    ("0.6b", "datasets[1].coordinateTransformations", False, put(*LEVEL, [])),
    ("0.6b", "datasets[1].coordinateTransformations", False, put(*LEVEL, {})),
    ("0.6b", "datasets[1].coordinateTransformations", True, put(*LEVEL, 1, {"type": "identity", **ends("1")})),
    ("0.6b", "datasets[1].coordinateTransformations[0].input.path", True, put(*LEVEL, 0, "input", {"path": "2"})),
    ("0.6b", "datasets[1].coordinateTransformations[0].input", True, put(*LEVEL, 0, "input", {"name": "1"})),
    ("0.6b", "datasets[1].coordinateTransformations[0].input", True, put(*LEVEL, 0, "input", "1")),
    ("0.6b", "datasets[1].coordinateTransformations[0].output.name", False, put(*LEVEL, 0, "output", WORLD)),
    ("0.6b", "datasets[1].coordinateTransformations[0].output", True, put(*LEVEL, 0, "output", {})),
    (
        "0.6b",
        "datasets[1].coordinateTransformations[0]",
        False,
        put(*LEVEL, 0, {"type": "mapAxis", "mapAxis": [1, 0], **ends("1")}),
    ),
    (
        "0.6b",
        "datasets[1].coordinateTransformations[0]",
        True,
        put(*LEVEL, 0, "transformations", [{"type": "scale", "scale": [1.0, 0.5]}, {"type": "identity"}]),
    ),
    (
        "39",
        "datasets[1].coordinateTransformations[0]",
        False,
        put(*LEVEL, 0, {"type": "scale", "scale": [1.0], **ends("1")}),
    ),
    ("0.6c", "coordinateTransformations[0].input", True, put(*WHOLE, "input", {"name": "world"})),
    ("0.6c", "coordinateTransformations[0].input", True, put(*WHOLE, "input", "intrinsic")),
    ("0.6c", "coordinateTransformations[0].output", True, put(*WHOLE, "output", {"name": "intrinsic"})),
    ("0.6c", "coordinateTransformations[0].output", True, put(*WHOLE, "output", {"name": "stage"})),
    ("0.6c", "coordinateTransformations", False, put("coordinateTransformations", {})),
    ("38", "coordinateTransformations[1]", True, put("coordinateTransformations", 1, {**AFFINE, "type": None})),
    ("27", "coordinateTransformations[0].type", True, put(*WHOLE, "type", "warp")),
    ("39", "coordinateTransformations[0].affine", True, put(*WHOLE, "affine", "matrix")),
    ("0.6c", "coordinateTransformations", True, put("coordinateTransformations", [])),
    (
        "39",
        "coordinateTransformations[0].rotation",
        True,
        put(*WHOLE, {"type": "rotation", "rotation": [[0.6, 0.8], [0.8, -0.6]], **WORLD_ENDS}),
    ),
]


@pytest.mark.parametrize(
    ("rule", "place", "read", "change"), BROKEN, ids=[f"{n}-{case[0]}" for n, case in enumerate(BROKEN)]
)
def test_breaking_one_rule_gives_that_finding_alone(
    rule: str, place: str, read: bool, change: Callable[[dict[str, Any]], None]
) -> None:
    multiscale = deepcopy(described(AFFINE))
    change(multiscale)
    store = build(MemoryStore(), multiscale)
    (finding,) = xomezarr.validate(store)
    assert (finding.rule, finding.severity, finding.location) == (rule, "error", f"ome.multiscales[0].{place}")
    if read:
        assert opened(store).omezarr.version == "0.6"
    else:
        with pytest.raises(MetadataError, match=f"rule {rule}"):
            opened(store)


def test_a_sequence_of_nothing_is_told() -> None:
    multiscale = described({"type": "sequence", "transformations": [], **WORLD_ENDS})
    (finding,) = xomezarr.validate(build(MemoryStore(), multiscale))
    place = "ome.multiscales[0].coordinateTransformations[0].transformations"
    assert (finding.rule, finding.severity, finding.location) == ("39", "warning", place)


def test_a_system_that_nothing_leads_to_is_told() -> None:
    multiscale = described(AFFINE)
    del multiscale["coordinateTransformations"]
    report = xomezarr.validate(build(MemoryStore(), multiscale))
    (finding,) = report
    assert (finding.rule, finding.severity, report.valid) == ("0.6f", "warning", True)  # a scene may lead there
    assert finding.message == "no transformations lead from 'intrinsic' to 'world'"


def test_what_mirrors_is_written_as_an_affine_and_nothing_as_an_identity() -> None:
    assert dump_transform(Rotation([[0, 1], [1, 0]])) == {"type": "affine", "affine": [[0.0, 1.0, 0], [1.0, 0.0, 0]]}
    assert dump_transform(Chain(())) == {"type": "identity"}


def test_nothing_is_wrong_with_what_breaks_no_rule() -> None:
    assert list(xomezarr.validate(build(MemoryStore()), strict=True)) == []
    assert xomezarr.validate(build(MemoryStore(), version="0.6rc0"), strict=True).version == "0.6"


def test_rule_79_images_of_wells_have_more_names() -> None:
    for path, rules in {"a_b-c.d": [], "é": ["79"], "__a": ["79"], "...": ["92"], "a b": ["79"]}.items():
        attrs = {"ome": {"version": "0.6", "well": {"images": [{"path": path}]}}}
        assert [finding.rule for finding in spec.findings(attrs)] == rules, path
        assert schema("0.6", "well").is_valid(attrs) == (not rules)


# -- images ------------------------------------------------------------------------------------------------


def test_levels_lie_where_their_transformations_say(tmp_path: Path) -> None:
    tree = opened(build(tmp_path / "a.zarr"))
    assert [axis.unit for axis in tree.omezarr.axes] == ["micrometer"] * 2
    np.testing.assert_array_equal(tree.omezarr.level(0).x, np.arange(32) * 0.25)
    np.testing.assert_array_equal(tree.omezarr.level(1).y, np.arange(16) * 1.0 + 0.25)


PATHED = {**{key: value for key, value in AFFINE.items() if key != "affine"}, "path": "matrix"}
FIELD_PATH = "coordinateTransformations/field"
AXES = f"{FIELD_PATH}: ome.multiscales[0].coordinateSystems"
FIELD = {**PATHED, "type": "displacements", "path": FIELD_PATH}


IN_PARTS = {
    "type": "sequence",
    "transformations": [
        {"type": "bijection", "forward": {"type": "identity"}, "inverse": {"type": "affine", "path": "back"}},
        {
            "type": "byDimension",
            "transformations": [
                {"transformation": {"type": "identity"}, "inputAxes": [0], "outputAxes": [0]},
                {"transformation": {"type": "rotation", "path": "turn"}, "inputAxes": [1], "outputAxes": [1]},
            ],
        },
    ],
    "input": {"name": "intrinsic"},
    "output": {"name": "world"},
}


def matrix(store: Any, path: str, values: Any = ((1.0, 0.25, 3.0), (0.0, 1.0, -2.0))) -> None:
    zarr.create_array(store, name=path, data=np.array(values), chunks=(1, 3), shards=(2, 3) if path == "back" else None)


def field(store: Any, path: str, kind: str = "displacement") -> Any:
    """Write samples every 4 and 2 micrometers, as large as the image."""
    samples = np.random.default_rng(6).normal(size=(2, 5, 5))
    axes = [{"name": "d", "type": kind, "discrete": True}, *YX]
    scale = {"type": "scale", "scale": [1.0, 4.0, 2.0], "input": {"path": "s0"}, "output": {"name": "physical"}}
    multiscale = {
        "coordinateSystems": [{"name": "physical", "axes": axes}],
        "datasets": [{"path": "s0", "coordinateTransformations": [scale]}],
    }
    attrs = {"ome": {"version": "0.6", "multiscales": [multiscale]}}
    group = zarr.create_group(store, path=path, attributes=attrs)
    group.create_array("s0", data=samples, chunks=(1, 3, 5), dimension_names=["d", "y", "x"])
    return samples


LAID: dict[str, Callable[[Any, str], Any]] = {
    "matrix": matrix,
    "back": matrix,
    "turn": lambda store, path: zarr.create_array(store, name=path, data=np.ones((1, 1))),
    "coordinateTransformations/field": field,
}
"""What writes each array that the transformations here name."""


def test_c6_arrays_of_transformations_are_copied(tmp_path: Path) -> None:
    for transform, paths in ((PATHED, ["matrix"]), (FIELD, [FIELD["path"]]), (IN_PARTS, ["back", "turn"])):
        name = "-".join(paths).replace("/", "_")
        for source in (tmp_path / f"{name}.zarr", MemoryStore()):
            store = build(source, described(transform))
            for path in paths:
                LAID[path](store, path)
            assert xomezarr.validate(store).valid
            copy = tmp_path / f"{name}-{type(source).__name__}.zarr"
            opened(store).omezarr.to_zarr(copy)
            assert xomezarr.validate(copy).valid, xomezarr.validate(copy)
            for path in paths:
                assert objects(copy, path) == objects(store, path)
                assert len(objects(copy, path)) > 1
            # a part of it has the same transformations, and replaces the store that it is of
            opened(copy).omezarr.isel(x=slice(4, 20)).omezarr.to_zarr(copy, mode="w")
            assert opened(copy).omezarr.level(0).sizes["x"] == 16
            for path in paths:
                assert objects(copy, path) == objects(store, path)


def objects(store: Any, path: str) -> dict[str, bytes]:
    """Return all that a store holds below a path, as it is."""
    held = zarr.open_group(store, mode="r").store

    async def found() -> dict[str, bytes]:
        keys = [key async for key in held.list_prefix(f"{path}/")]
        read = {key: await held.get(key, default_buffer_prototype()) for key in keys}
        return {key: content.to_bytes() for key, content in read.items() if content is not None}

    return zarr.core.sync.sync(found())


def test_c6_arrays_that_are_not_there_are_told(tmp_path: Path) -> None:
    store = build(tmp_path / "a.zarr", described(IN_PARTS))
    matrix(store, "back")
    with pytest.warns(OmeZarrWarning, match=r"lie in arrays at 'turn', where there is nothing in the store that is"):
        opened(store).omezarr.to_zarr(tmp_path / "b.zarr")
    assert [(one.rule, one.location) for one in xomezarr.validate(tmp_path / "b.zarr")] == [("98", "turn")]


def test_c8_arrays_that_vanish_before_they_are_copied_are_an_error(tmp_path: Path) -> None:
    store = build(tmp_path / "a.zarr", described(PATHED))
    matrix(store, "matrix")
    waiting = opened(store).omezarr.to_zarr(tmp_path / "b.zarr", compute=False)
    shutil.rmtree(store / "matrix")
    with pytest.raises(OmeZarrError, match=r"lay in .* at 'matrix' are not there any more; open the image again"):
        waiting.compute()
    assert not (tmp_path / "b.zarr").exists()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda where: spoiled(where, lambda m: m["axes"][1].update(unit="nanometer")), "in nanometer, and the points"),
        (lambda where: (field(where, FIELD_PATH), broken(where)), "samples of the field .* cannot be read"),
        (lambda where: (field(where, FIELD_PATH), broken(where, "s0/zarr.json")), "cannot be read"),
        (lambda where: (field(where, FIELD_PATH), broken(where, "zarr.json")), "cannot be read"),
    ],
)
def test_c7_fields_that_cannot_be_used_are_told(tmp_path: Path, spoil: Callable[[Any], Any], told: str) -> None:
    store = build(tmp_path / "a.zarr", described(FIELD))
    spoil(store)
    leading = opened(store).omezarr.transform("world")
    with pytest.raises(TransformError, match=told):
        leading([1.0, 1.0])


def broken(store: Any, path: str = "s0/c/0/0/0") -> None:
    (store / FIELD_PATH / path).write_text("{")


def test_c6_arrays_outside_of_the_image_are_told(tmp_path: Path) -> None:
    store = build(tmp_path / "a.zarr", described({**PATHED, "path": "../b.zarr/matrix"}))
    with pytest.warns(OmeZarrWarning, match=r"arrays at '\.\./b\.zarr/matrix', .* or which is no place in it"):
        opened(store).omezarr.to_zarr(tmp_path / "c.zarr")
    assert [one.rule for one in xomezarr.validate(store)] == ["98"]


def test_c6_arrays_of_a_store_that_is_not_known_any_more_are_refused(tmp_path: Path) -> None:
    store = build(tmp_path / "a.zarr", described(PATHED))
    matrix(store, "matrix")
    tree = opened(store)
    tree.encoding.clear()
    with pytest.raises(OmeZarrError, match=r"'matrix', and it is not known any more in which store; .*open_datatree"):
        tree.omezarr.to_zarr(tmp_path / "b.zarr")
    assert not (tmp_path / "b.zarr").exists()


def test_c6_arrays_in_the_place_of_levels_are_refused(tmp_path: Path) -> None:
    def rename(multiscale: dict[str, Any]) -> None:
        for number in (0, 1):
            multiscale["datasets"][number]["path"] = f"s{number}"
            multiscale["datasets"][number]["coordinateTransformations"][0]["input"]["path"] = f"s{number}"

    store = restated(build(tmp_path / "a.zarr", described({**PATHED, "path": "1/matrix"})), rename)
    for number in (0, 1):
        (store / f"{number}").rename(store / f"s{number}")
    matrix(store, "1/matrix")
    with pytest.raises(OmeZarrError, match="'1/matrix', where something else of the image is to be written"):
        opened(store).omezarr.to_zarr(tmp_path / "b.zarr")


def test_c6_arrays_of_images_in_plates_and_collections_are_copied(tmp_path: Path) -> None:
    for kind, path in (("plate", "A/1/0"), ("collection", "b")):
        store, copy = tmp_path / f"{kind}.zarr", tmp_path / f"{kind}-copy.zarr"
        WRITERS[kind](store)

        def add(multiscale: dict[str, Any]) -> None:
            axes = multiscale["coordinateSystems"][0]["axes"]
            multiscale["coordinateSystems"].append({"name": "world", "axes": axes})
            ends = {"input": {"name": "physical"}, "output": {"name": "world"}}
            multiscale["coordinateTransformations"] = [{"type": "affine", "path": "matrix", **ends}]

        restated(store / path, add)
        zarr.create_array(store / path, name="matrix", data=np.eye(3, 4))
        assert xomezarr.validate(store).valid
        opened(store).omezarr.to_zarr(copy)
        assert xomezarr.validate(copy).valid
        assert objects(copy, f"{path}/matrix") == objects(store, f"{path}/matrix")


@pytest.mark.parametrize(
    ("transform", "lay", "rule", "location", "told"),
    [
        (
            PATHED,
            lambda s: matrix(s, "matrix", np.eye(3)),
            "0.6g",
            "matrix",
            r"\(3, 3\), and .* for \(2, 3\)",
        ),
        (PATHED, lambda s: zarr.create_array(s, name="matrix", data=np.ones(3)), "0.6g", "matrix", r"shape \(3,\)"),
        (PATHED, lambda s: matrix(s, "matrix", [[1, 0, np.nan], [0, 1, 0]]), "0.6g", "matrix", "finite"),
        (PATHED, lambda s: None, "98", "matrix", "no array"),
        (FIELD, lambda s: None, "98", FIELD_PATH, "no group"),
        (
            FIELD,
            lambda s: zarr.create_group(s, path=FIELD_PATH),
            "0.6g",
            f"{FIELD_PATH}: multiscales",
            "no multiscales",
        ),
        (FIELD, lambda s: field(s, FIELD_PATH, "coordinate"), "0.6g", AXES, "no axis .* type 'displacement'"),
        (
            FIELD,
            lambda s: spoiled(s, lambda m: m["axes"][0].pop("discrete")),
            "0.6g",
            f"{AXES}[0].axes[0].discrete",
            "is",
        ),
        (FIELD, lambda s: spoiled(s, lambda m: m["axes"].reverse()), "0.6g", f"{AXES}[0].axes", "behind 'x'"),
        ({**FIELD, "interpolation": "sinc"}, lambda s: field(s, FIELD_PATH), "0.6g", FIELD_PATH, "by 'sinc'"),
        ({**FIELD, "interpolation": ["linear"]}, lambda s: field(s, FIELD_PATH), "0.6g", FIELD_PATH, "interpolated by"),
        (PATHED, lambda s: matrix(s, "matrix", np.eye(2, 3) * 1j), "0.6g", "matrix", "dtype is complex128"),
        (PATHED, lambda s: matrix(s, "matrix", np.eye(2, 3, dtype=bool)), "0.6g", "matrix", "dtype is bool"),
    ],
)
def test_arrays_of_transformations_are_examined(
    tmp_path: Path, transform: dict[str, Any], lay: Callable[[Any], Any], rule: str, location: str, told: str
) -> None:
    store = build(tmp_path / "a.zarr", described(transform))
    lay(store)
    found = [one for one in xomezarr.validate(store) if one.rule == rule]
    assert found
    assert found[0].severity == "error"
    assert found[0].location == location
    assert re.search(told, found[0].message)
    assert found[0].cure


def spoiled(store: Any, change: Callable[[dict[str, Any]], Any]) -> None:
    field(store, FIELD_PATH)
    restated(store / FIELD_PATH, lambda multiscale: change(multiscale["coordinateSystems"][0]))


@pytest.mark.parametrize(
    "multiscale",
    [described(AFFINE), described(PATHED), described(FIELD), described()],
    ids=["affine", "in an array", "field", "none"],
)
@pytest.mark.parametrize("version", ["0.6", "0.6rc0"])
def test_c6_systems_are_kept(tmp_path: Path, multiscale: dict[str, Any], version: str) -> None:
    """Matrices in arrays are judged by our rules alone: ome-zarr-models does not read them."""
    store, copy = build(tmp_path / "a.zarr", multiscale, version=version), tmp_path / "b.zarr"
    for path in spec.stored_paths(spec.parse(group_attributes(store)[""]).multiscale):
        LAID[path](store, path)
    written = opened(store).omezarr.to_zarr(copy)
    assert written.omezarr.version == "0.6"
    assert said(copy) == multiscale
    check_same_trees(opened(copy), opened(store), attrs=version == "0.6")
    assert xomezarr.validate(copy).valid


def test_c6_systems_are_kept_where_pixels_are_taken_out(tmp_path: Path) -> None:
    tree = opened(build(tmp_path / "a.zarr")).omezarr.isel(x=slice(4, 20))
    tree.omezarr.to_zarr(tmp_path / "b.zarr")
    found, expected = said(tmp_path / "b.zarr"), described(AFFINE)
    assert found["coordinateSystems"] == expected["coordinateSystems"]
    assert found["coordinateTransformations"] == expected["coordinateTransformations"]
    assert opened(tmp_path / "b.zarr").omezarr.level(0).x[0] == 1.0


ZYX = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
SAID = {"input": {"name": "physical"}, "output": {"name": "world"}, "name": "registered", "theirs": [1]}


def volume(store: Path, *transforms: dict[str, Any], others: tuple[str, ...] = ("world",)) -> xr.DataTree:
    """Write a volume with systems of three axes beside its own, and what leads to them."""
    da = xr.DataArray(np.zeros((8, 16, 16), "uint8"), dims=("z", "y", "x"), name="cells")
    da = da.omezarr.assign_grid(scale={"z": 2.0, "y": 0.5, "x": 0.5}, translation={"x": 3.0}, units="um")
    da.omezarr.to_zarr(store, version="0.6", levels=2, factors={"y": 2, "x": 2})

    def add(multiscale: dict[str, Any]) -> None:
        multiscale["coordinateSystems"] += [{"name": name, "axes": ZYX, "of": name} for name in others]
        multiscale["coordinateTransformations"] = list(transforms)

    return opened(restated(store, add))


def restated(store: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Change what a store says of its image."""
    group = zarr.open_group(store, mode="r+")
    ome: Any = group.attrs["ome"]
    change(ome["multiscales"][0])
    group.attrs["ome"] = ome
    return store


TURNED = [[0.0, 0.0, 2.0, 1.0], [0.0, 3.0, 0.5, 0.0], [4.0, 0.0, 0.0, 7.0]]
PARTS = [
    {"transformation": {"type": "scale", "scale": [4.0]}, "inputAxes": [0], "outputAxes": [2]},
    {"transformation": {"type": "affine", "affine": [[1, 2, 3], [0, 1, 4]]}, "inputAxes": [1, 2], "outputAxes": [0, 1]},
]

# what leads to the world, and what is left of it without z
SEPARABLE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "identity": ({"type": "identity"}, {"type": "identity"}),
    "scale": ({"type": "scale", "scale": [1.0, 2.0, 3.0]}, {"type": "scale", "scale": [2.0, 3.0]}),
    "translation": (
        {"type": "translation", "translation": [1, 2, 3]},
        {"type": "translation", "translation": [2.0, 3.0]},
    ),
    "mapAxis": ({"type": "mapAxis", "mapAxis": [2, 0, 1]}, {"type": "mapAxis", "mapAxis": [1, 0]}),
    "affine": (
        {"type": "affine", "affine": TURNED},
        {"type": "affine", "affine": [[0.0, 2.0, 1.0], [3.0, 0.5, 0.0]]},
    ),
    "byDimension": (
        {"type": "byDimension", "transformations": PARTS},
        {
            "type": "byDimension",
            "transformations": [
                {
                    "transformation": {"type": "affine", "affine": [[1.0, 2.0, 3.0], [0.0, 1.0, 4.0]]},
                    "inputAxes": [0, 1],
                    "outputAxes": [0, 1],
                }
            ],
        },
    ),
    "projectAxis": (
        {"type": "projectAxis", "droppedInputs": [0], "createdOutputs": [0]},
        {"type": "projectAxis", "createdOutputs": [0]},
    ),
    "sequence": (
        {
            "type": "sequence",
            "transformations": [
                {"type": "scale", "scale": [1, 2, 3], "name": "shrinkage"},
                {"type": "rotation", "rotation": [[1, 0, 0], [0, 0, -1], [0, 1, 0]], "by": "hand"},
            ],
        },
        {
            "type": "sequence",
            "transformations": [
                {"type": "scale", "scale": [2.0, 3.0], "name": "shrinkage"},
                {"type": "rotation", "rotation": [[0.0, -1.0], [1.0, 0.0]], "by": "hand"},
            ],
        },
    ),
    "names in byDimension": (
        {
            "type": "byDimension",
            "transformations": [
                {"transformation": {"type": "identity"}, "inputAxes": [0], "outputAxes": [0], "name": "gone"},
                {
                    "transformation": {"type": "scale", "scale": [2.0, 3.0], "name": "shrinkage"},
                    "inputAxes": [1, 2],
                    "outputAxes": [1, 2],
                    "by": "hand",
                },
            ],
        },
        {
            "type": "byDimension",
            "transformations": [
                {
                    "transformation": {"type": "scale", "scale": [2.0, 3.0], "name": "shrinkage"},
                    "inputAxes": [0, 1],
                    "outputAxes": [0, 1],
                    "by": "hand",
                },
            ],
        },
    ),
    "names in bijection": (
        {
            "type": "bijection",
            "forward": {"type": "scale", "scale": [1.0, 2.0, 4.0], "name": "there"},
            "inverse": {"type": "scale", "scale": [1.0, 0.5, 0.25], "name": "back"},
        },
        {
            "type": "bijection",
            "forward": {"type": "scale", "scale": [2.0, 4.0], "name": "there"},
            "inverse": {"type": "scale", "scale": [0.5, 0.25], "name": "back"},
        },
    ),
}


@pytest.mark.parametrize("kind", SEPARABLE)
def test_c6_systems_lose_an_axis_that_is_taken_out(tmp_path: Path, kind: str) -> None:
    whole, left = SEPARABLE[kind]
    tree = volume(tmp_path / "a.zarr", {**whole, **SAID})
    tree.omezarr.isel(z=3).omezarr.to_zarr(tmp_path / "b.zarr")
    found = said(tmp_path / "b.zarr")
    assert found["coordinateTransformations"] == [{**left, **SAID}]
    own, world = found["coordinateSystems"]
    assert [axis["name"] for axis in own["axes"]] == ["y", "x"]
    assert len(world["axes"]) == (3 if kind == "projectAxis" else 2)
    assert world["of"] == "world"
    assert xomezarr.validate(tmp_path / "b.zarr").valid
    # a point goes where it went
    notes = Notes()
    before = read_transform({**whole, **SAID}, 3, "", notes)
    after = read_transform(found["coordinateTransformations"][0], 2, "", notes)
    assert before is not None
    assert after is not None
    names = [axis["name"] for axis in world["axes"]]
    expected = [value for name, value in zip("zyx", before([5.0, 7.0, 11.0]), strict=True) if name in names]
    np.testing.assert_array_equal(after([7.0, 11.0]), expected)


MIXED = {"type": "affine", "affine": [[1, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], **SAID}


@pytest.mark.parametrize(
    "mixed",
    [
        MIXED,
        {"type": "displacements", "path": "field", **SAID},
    ],
    ids=["affine", "in an array"],
)
def test_c6_systems_that_cannot_do_without_an_axis_are_left_out_and_told(tmp_path: Path, mixed: dict[str, Any]) -> None:
    kept = {**SAID, "type": "identity", "output": {"name": "stage"}}
    volume(tmp_path / "a.zarr", mixed, kept, others=("world", "stage", "map"))
    restated(tmp_path / "a.zarr", lambda found: found["coordinateSystems"].insert(2, found["coordinateSystems"].pop(0)))
    tree = opened(tmp_path / "a.zarr")
    if mixed["type"] == "projectAxis":  # which makes an axis of its own in the place of z
        tree.omezarr.isel(z=3).omezarr.to_zarr(tmp_path / "b.zarr")
        assert said(tmp_path / "b.zarr")["coordinateTransformations"][0]["createdOutputs"] == [0]
        return
    with pytest.warns(
        OmeZarrWarning, match=r"'world' of the image 'cells' cannot do without 'z'.*isel\(z=slice\(3, 4\)\)"
    ):
        cropped = tree.omezarr.isel(z=3)
    cropped.omezarr.to_zarr(tmp_path / "b.zarr")
    found = said(tmp_path / "b.zarr")
    assert [system["name"] for system in found["coordinateSystems"]] == ["stage", "physical", "map"]
    assert found["coordinateTransformations"] == [kept]
    assert xomezarr.validate(tmp_path / "b.zarr").valid
    if "path" in mixed:
        LAID[FIELD_PATH](tmp_path / "a.zarr", mixed["path"])
    tree.omezarr.isel(z=slice(3, 4)).omezarr.to_zarr(tmp_path / "c.zarr")  # the cure
    assert said(tmp_path / "c.zarr")["coordinateTransformations"] == [mixed, kept]


def test_what_leads_to_systems_keeps_its_order(tmp_path: Path) -> None:
    ways = [{"type": "identity", **SAID, "output": {"name": name}} for name in ("stage", "world")]
    tree = volume(tmp_path / "a.zarr", *ways, others=("world", "stage"))
    assert tree.omezarr.isel(z=3).attrs["ome"]["multiscales"][0]["coordinateTransformations"] == ways


def test_a_system_that_has_not_the_axes_to_which_it_is_led_is_left_out(tmp_path: Path) -> None:
    volume(tmp_path / "a.zarr", {"type": "identity", **SAID})
    restated(tmp_path / "a.zarr", put("coordinateSystems", 1, WORLD))
    with pytest.warns(OmeZarrWarning, match="'world'"):
        cropped = opened(tmp_path / "a.zarr").omezarr.isel(z=3)
    assert [one["name"] for one in cropped.attrs["ome"]["multiscales"][0]["coordinateSystems"]] == ["physical"]


def test_two_ways_to_one_system_lose_the_same_axis_or_none(tmp_path: Path) -> None:
    turned = {"type": "mapAxis", "mapAxis": [1, 0, 2], **SAID}
    tree = volume(tmp_path / "a.zarr", {"type": "identity", **SAID}, turned)
    with pytest.warns(OmeZarrWarning, match="'world'"):
        cropped = tree.omezarr.isel(z=3)
    assert cropped.attrs["ome"]["multiscales"][0].get("coordinateTransformations") is None
    scale = {"type": "scale", "scale": [1.0, 2.0, 2.0], **SAID}
    tree = volume(tmp_path / "b.zarr", {"type": "identity", **SAID}, scale)
    assert len(tree.omezarr.isel(z=3).attrs["ome"]["multiscales"][0]["coordinateTransformations"]) == 2


@pytest.mark.parametrize(
    ("transform", "count"),
    [
        ({"type": "identity"}, 2),
        ({"type": "displacements", "path": "field"}, 2),
        ({"type": "sequence", "transformations": [{"type": "identity"}]}, 2),
        ({"type": "affine", "path": "matrix"}, None),
        (
            {
                "type": "sequence",
                "transformations": [{"type": "scale", "scale": [1.0, 2.0]}, {"type": "coordinates", "path": "field"}],
            },
            None,
        ),
    ],
)
def test_rule_39_what_leads_to_a_system_gives_a_coordinate_for_each_axis(
    transform: dict[str, Any], count: int | None
) -> None:
    multiscale = described({**transform, "input": {"name": "intrinsic"}, "output": {"name": "world"}})
    multiscale["coordinateSystems"][0]["axes"] = ZYX
    attrs = {"ome": {"version": "0.6", "multiscales": [multiscale]}}
    found = [(one.rule, one.message) for one in spec.findings(attrs)]
    assert found == ([("39", f"it gives {count} coordinates, and 'world' has 3 axes")] if count else [])


def test_axes_that_count_pixels_are_read_and_written_as_axes_of_space(tmp_path: Path) -> None:
    array = [{"name": name, "type": "array"} for name in "ij"]
    tree = opened(build(tmp_path / "a.zarr", described(AFFINE, axes=array), dims="ij"))
    assert [axis.type for axis in tree.omezarr.axes] == ["array", "array"]
    spec.check({"ome": tree.attrs["ome"]}, "0.6")
    with pytest.raises(MultipleErrors, match="say which others are"):
        tree.omezarr.to_zarr(tmp_path / "b.zarr")
    tree.omezarr.to_zarr(tmp_path / "b.zarr", axes={"i": "space", "j": "space"})
    assert said(tmp_path / "b.zarr")["coordinateTransformations"] == [AFFINE]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_c7_systems_are_refused_before_06(tmp_path: Path, version: str) -> None:
    tree = opened(build(tmp_path / "a.zarr"))
    with pytest.raises(MetadataError, match=r"'cells' has .*\('world'\).*version=\"0\.6\".*level 0") as told:
        tree.omezarr.to_zarr(tmp_path / "b.zarr", version=version)
    assert not (tmp_path / "b.zarr").exists()
    (name,) = re.findall(r"coordinate_system='(\w+)'", str(told.value))
    alone = xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr", coordinate_system=name)
    alone.omezarr.to_zarr(tmp_path / "b.zarr", version=version)  # the cure
    assert opened(tmp_path / "b.zarr").omezarr.version == version


def test_c7_other_units_and_axes_are_refused(tmp_path: Path) -> None:
    tree = opened(build(tmp_path / "a.zarr"))

    def in_nanometers(level: xr.Dataset) -> xr.Dataset:
        converted = {name: da.omezarr.to_units("nm") for name, da in level.data_vars.items()}
        return xr.Dataset(converted, attrs=level.attrs)

    changed = tree.map_over_datasets(in_nanometers)
    with pytest.raises(AxisError, match=r"'world', to which lead transformations from y in micrometer, x in micro"):
        changed.omezarr.to_zarr(tmp_path / "b.zarr")
    assert not (tmp_path / "b.zarr").exists()
    # one unit may be spelled in several ways
    spelled = build(tmp_path / "c.zarr", described(AFFINE, axes=[{**axis, "unit": "µm"} for axis in YX]))
    opened(spelled).omezarr.to_zarr(tmp_path / "d.zarr")
    assert said(tmp_path / "d.zarr")["coordinateTransformations"] == [AFFINE]


@pytest.mark.parametrize(
    ("given", "change"),
    [
        (lambda store: opened(build(store)), lambda level: level.rename(x="z")),
        (lambda store: volume(store, {"type": "identity", **SAID}), lambda level: level.isel(z=0)),
    ],
    ids=["names", "count"],
)
def test_c7_other_axes_are_refused(
    tmp_path: Path, given: Callable[[Path], xr.DataTree], change: Callable[[xr.Dataset], xr.Dataset]
) -> None:
    changed = given(tmp_path / "a.zarr").map_over_datasets(lambda level: change(level) if level.data_vars else level)
    with pytest.raises(AxisError, match=r"'world', to which lead transformations from .*isel\(…\), or write level 0"):
        changed.omezarr.to_zarr(tmp_path / "b.zarr")
    assert not (tmp_path / "b.zarr").exists()
    changed.omezarr.level(0).omezarr.to_zarr(tmp_path / "b.zarr", version="0.6")  # a cure


def named(found: dict[str, Any]) -> None:
    """Say where levels lie as other tools do, with names and keys of their own."""
    fine, coarse = (dataset["coordinateTransformations"][0] for dataset in found["datasets"])
    fine["output"]["note"] = coarse["output"]["note"] = "kept"
    coarse["transformations"][0]["name"] = "pixel size"
    coarse["transformations"][1] |= {"name": "stage", "by": "encoder"}
    found["coordinateSystems"] = found["coordinateSystems"][1:]


def test_c6_what_levels_say_of_themselves_is_kept(tmp_path: Path) -> None:
    store = restated(build(tmp_path / "a.zarr", described()), named)
    opened(store).omezarr.to_zarr(tmp_path / "b.zarr")
    assert said(tmp_path / "b.zarr") == said(store)
    # a level that has moved says so, under the same names
    tree = opened(store).omezarr.isel(x=slice(4, 20), y=slice(4, 20))
    tree.omezarr.to_zarr(tmp_path / "c.zarr")
    fine, coarse = (dataset["coordinateTransformations"][0] for dataset in said(tmp_path / "c.zarr")["datasets"])
    assert fine["output"] == {"name": "intrinsic", "note": "kept"}
    assert fine["name"] == "finest"
    assert fine["transformations"][1] == {"type": "translation", "translation": [2.0, 1.0]}
    assert coarse["transformations"] == [
        {"type": "scale", "scale": [1.0, 0.5], "name": "pixel size"},
        {"type": "translation", "translation": [2.25, 1.125], "name": "stage", "by": "encoder"},
    ]


def test_c6_what_a_level_says_is_kept_where_it_moves_to_zero(tmp_path: Path) -> None:
    steps = [{"type": "scale", "scale": [0.5, 0.25], "name": "pixel size"}, {"type": "translation", "name": "stage"}]

    def change(found: dict[str, Any]) -> None:
        found["datasets"].pop()
        placed = [steps[0], {**steps[1], "translation": [0.0, -1.0]}]
        found["datasets"][0]["coordinateTransformations"] = [
            {"type": "sequence", "transformations": placed, **ends("0")}
        ]

    store = restated(build(tmp_path / "a.zarr"), change)
    opened(store).omezarr.isel(x=slice(4, 20)).omezarr.to_zarr(tmp_path / "b.zarr")
    (found,) = said(tmp_path / "b.zarr")["datasets"][0]["coordinateTransformations"]
    assert found["transformations"] == [steps[0], {**steps[1], "translation": [0.0, 0.0]}]


def test_a_level_that_breaks_a_rule_is_written_without_the_fault(tmp_path: Path) -> None:
    steps = [{"type": "scale", "scale": [0.5, 0.25]}, {"type": "identity"}]
    given = {"type": "sequence", "transformations": steps, "theirs": 3, **ends("0")}
    store = restated(build(tmp_path / "a.zarr"), put("datasets", 0, "coordinateTransformations", 0, given))
    opened(store).omezarr.to_zarr(tmp_path / "b.zarr")
    mended = [steps[0], {"type": "translation", "translation": [0.0, 0.0]}]
    assert said(tmp_path / "b.zarr")["datasets"][0]["coordinateTransformations"] == [
        {"type": "sequence", "transformations": mended, "theirs": 3, **ends("0")}
    ]


def test_c6_an_identity_and_a_translation_of_zero_stay_what_they_are(tmp_path: Path) -> None:
    def change(found: dict[str, Any]) -> None:
        fine, coarse = (dataset["coordinateTransformations"] for dataset in found["datasets"])
        fine[0] = {"type": "identity", **ends("0")}
        coarse[0]["transformations"] = [
            {"type": "scale", "scale": [2, 2]},
            {"type": "translation", "translation": [0, 0]},
        ]

    store = restated(build(tmp_path / "a.zarr"), change)
    opened(store).omezarr.to_zarr(tmp_path / "b.zarr")
    assert said(tmp_path / "b.zarr") == said(store)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_c6_what_has_no_place_before_06_is_told(tmp_path: Path, version: str) -> None:
    store = restated(build(tmp_path / "a.zarr", described()), named)
    with pytest.warns(OmeZarrWarning, match=rf"{version} has no .* under 'theirs', 'note', 'by', which") as told:
        opened(store).omezarr.to_zarr(tmp_path / "b.zarr", version=version)
    assert len([one for one in told if issubclass(one.category, OmeZarrWarning)]) == 1
    assert xomezarr.validate(tmp_path / "b.zarr").valid


def test_ends_that_are_names_alone_become_objects(tmp_path: Path) -> None:
    """As versions under way had them."""

    def change(found: dict[str, Any]) -> None:
        for key in ("input", "output"):
            found["coordinateTransformations"][0][key] = AFFINE[key]["name"]
            for dataset in found["datasets"]:
                (end,) = dataset["coordinateTransformations"][0][key].values()
                dataset["coordinateTransformations"][0][key] = end

    store = restated(build(tmp_path / "a.zarr", version="0.6rc0"), change)
    opened(store).omezarr.to_zarr(tmp_path / "b.zarr")
    assert said(tmp_path / "b.zarr") == described(AFFINE)


def test_c6_systems_are_kept_by_what_changes_a_store(tmp_path: Path) -> None:
    store = build(tmp_path / "a.zarr")
    labels = (opened(store).omezarr.level(0) > 9).astype("uint8").rename("nuclei")
    labels.omezarr.to_labels(store, "nuclei")
    assert said(store) == described(AFFINE)
    assert xomezarr.validate(store).valid
    assert opened(store / "labels/nuclei").omezarr.version == "0.6"
    assert main(["scale", str(store), "--in-place", "--downscale", "2", "--max-layer", "1"]) == 0
    found = said(store)
    for key in ("coordinateSystems", "coordinateTransformations", "name"):
        assert found[key] == described(AFFINE)[key]
    assert xomezarr.validate(store).valid


def test_c7_what_changes_a_store_refuses_other_units(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = build(tmp_path / "a.zarr")
    before = group_attributes(store)
    assert main(["scale", str(store), "--in-place", "--units", "nm"]) != 0
    assert "to which lead transformations from y in micrometer" in capsys.readouterr().err
    assert group_attributes(store) == before


def test_a_plain_array_gets_the_version_that_is_asked(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=3)
    group.create_array("raw", data=np.zeros((32, 32), "uint8"), chunks=(16, 16))
    asked = ["scale", str(tmp_path / "a.zarr/raw"), "--axes", "yx", "--in-place", "--version"]
    assert main([*asked, "0.4"]) != 0
    assert main([*asked, "0.6"]) == 0
    assert xomezarr.validate(tmp_path / "a.zarr").version == "0.6"
    assert xomezarr.validate(tmp_path / "a.zarr").valid
    # then it is that of the image
    assert main([*asked, "0.5"]) != 0
    assert main(asked[:-1]) == 0
    assert opened(tmp_path / "a.zarr").omezarr.version == "0.6"


def test_scaling_and_converting_into_another_store_say_what_stays_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = build(tmp_path / "a.zarr")
    assert main(["scale", str(store), str(tmp_path / "b.zarr")]) == 0
    assert "coordinate systems 'world', which are not copied" in capsys.readouterr().err
    assert [system["name"] for system in said(tmp_path / "b.zarr")["coordinateSystems"]] == ["physical"]
    assert main(["convert", str(store), str(tmp_path / "c.zarr")]) == 0
    assert "coordinate systems 'world', which are not converted" in capsys.readouterr().err


# -- what is written ---------------------------------------------------------------------------------------


def cells(**attrs: Any) -> xr.DataArray:
    pixels = np.random.default_rng(6).integers(0, 4000, (2, 40, 48), dtype="uint16")
    da = xr.DataArray(pixels, dims=("c", "y", "x"), name="cells", attrs=attrs)
    da = da.omezarr.assign_grid(scale={"y": 0.5, "x": 0.25}, translation={"x": 3.0}, units="um")
    return da.omezarr.assign_channels(["DNA", "ER"])  # type: ignore[no-any-return]


def with_labels() -> xr.Dataset:
    image = cells(beside=1)
    return xr.Dataset({"cells": image, "nuclei": (image[0] > 2000).astype("int32").drop_vars("c", errors="ignore")})


def write_image(store: Path) -> None:
    with_labels().omezarr.to_zarr(store, version="0.6", levels=2, image="cells", colors={"nuclei": {1: "red"}})


def write_plate(store: Path) -> None:
    wells = {("A", 1): [cells(), cells()], ("B", 2): [cells()]}
    xomezarr.write_plate(wells, store, name="screen", version="0.6", levels=2)


def write_collection(store: Path) -> None:
    xomezarr.write_collection({"a": cells(), "b": cells()}, store, version="0.6", levels=2)


WRITERS = {"image": write_image, "plate": write_plate, "collection": write_collection}


@pytest.mark.parametrize("kind", WRITERS)
def test_the_judges_find_nothing_wrong_with_what_is_written(tmp_path: Path, kind: str) -> None:
    store, copy = tmp_path / "a.zarr", tmp_path / "b.zarr"
    WRITERS[kind](store)
    report = xomezarr.validate(store, strict=True)
    assert report.valid, report
    assert report.version == "0.6"
    judged = 0
    for path, group in [("", zarr.open_group(store, mode="r")), *zarr.open_group(store, mode="r").members(None)]:
        attrs = dict(group.attrs)
        for key, name in {"multiscales": "image", "image-label": "label", "plate": "plate", "well": "well"}.items():
            if key in attrs.get("ome", {}):
                judged += 1
                told = [error.message for error in schema("0.6", name).iter_errors(attrs)]
                assert not told, (path, told)
        if isinstance(group, zarr.Array) and "xomezarr" not in path:
            assert group.metadata.dimension_names is not None
    assert judged
    # and another version holds it too, from where it comes back
    tree = opened(store)
    tree.omezarr.to_zarr(copy)
    check_same_stores(store, copy)
    check_same_trees(opened(store), opened(copy))
    for version in ("0.4", "0.5"):
        tree.omezarr.to_zarr(copy, version=version, mode="w")
        opened(copy).omezarr.to_zarr(tmp_path / f"{version}.zarr", version="0.6")
        check_same_stores(store, tmp_path / f"{version}.zarr")
        check_same_trees(opened(store), opened(tmp_path / f"{version}.zarr"))


def test_c6_an_image_comes_back_as_it_was(tmp_path: Path) -> None:
    image = cells(beside=1)
    image.omezarr.to_zarr(tmp_path / "a.zarr", version="0.6", levels=2)
    found = xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr").load()
    for dim in ("y", "x"):
        del found[dim].attrs["scale"]
        image[dim].attrs.pop("scale", None)
    xr.testing.assert_identical(found, image)


def test_c2_a_level_carries_a_translation_also_where_it_is_zero(tmp_path: Path) -> None:
    cells().omezarr.to_zarr(tmp_path / "a.zarr", version="0.6", levels=1)
    (dataset,) = said(tmp_path / "a.zarr")["datasets"]
    moved = dataset["coordinateTransformations"]
    assert [one["type"] for one in moved] == ["sequence"]
    assert moved[0]["transformations"][1] == {"type": "translation", "translation": [0.0, 0.0, 3.0]}
    placed = cells().omezarr.assign_grid(translation={"x": 0.0})
    placed.omezarr.to_zarr(tmp_path / "b.zarr", version="0.6", levels=1)
    (dataset,) = said(tmp_path / "b.zarr")["datasets"]
    scale = {"type": "scale", "scale": [1.0, 0.5, 0.25]}
    moved = [scale, {"type": "translation", "translation": [0.0, 0.0, 0.0]}]
    assert dataset["coordinateTransformations"] == [
        {"type": "sequence", "transformations": moved, "input": {"path": "0"}, "output": {"name": "physical"}}
    ]


def test_the_command_line_writes_06(tmp_path: Path) -> None:
    cells().omezarr.to_zarr(tmp_path / "a.zarr", levels=1)
    assert main(["convert", str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr"), "--version", "0.6"]) == 0
    assert opened(tmp_path / "b.zarr").omezarr.version == "0.6"
    assert main(["validate", str(tmp_path / "b.zarr")]) == 0


def test_a_system_that_would_keep_axes_of_no_system_is_left_out(tmp_path: Path) -> None:
    """A plane that loses a dimension is a line, and coordinate systems have two dimensions of space or more."""
    volume(tmp_path / "a.zarr", others=())

    def add(multiscale: dict[str, Any]) -> None:
        (own,) = multiscale["coordinateSystems"]
        multiscale["coordinateSystems"] = [own, {"name": "plane", "axes": own["axes"][1:]}]
        ends = {"input": {"name": own["name"]}, "output": {"name": "plane"}}
        multiscale["coordinateTransformations"] = [{"type": "projectAxis", "droppedInputs": [0], **ends}]

    tree: Any = opened(restated(tmp_path / "a.zarr", add))
    assert xomezarr.validate(tmp_path / "a.zarr").valid
    with pytest.warns(OmeZarrWarning, match="coordinate systems 'plane' of the image.* are left out"):
        cut = tree.omezarr.isel(y=0)
    cut.omezarr.to_zarr(tmp_path / "b.zarr")
    assert xomezarr.validate(tmp_path / "b.zarr").valid
    tree.omezarr.isel(z=0).omezarr.to_zarr(tmp_path / "c.zarr")
    assert [system["name"] for system in said(tmp_path / "c.zarr")["coordinateSystems"]][1:] == ["plane"]


def test_c6_keys_of_an_end_that_one_level_has_are_no_fault(tmp_path: Path) -> None:
    def add(multiscale: dict[str, Any]) -> None:
        multiscale["datasets"][0]["coordinateTransformations"][0]["output"]["path"] = "."

    store = restated(build(tmp_path / "a.zarr"), add)
    assert xomezarr.validate(store).valid
    opened(store).omezarr.to_zarr(tmp_path / "b.zarr")
    assert xomezarr.validate(tmp_path / "b.zarr").valid
    assert said(tmp_path / "b.zarr")["datasets"][0] == said(store)["datasets"][0]


def test_names_of_transformations_are_no_loss_in_versions_without_them(tmp_path: Path) -> None:
    """Writers such as ngff-zarr name that of every level."""

    def name(multiscale: dict[str, Any]) -> None:
        for number, dataset in enumerate(multiscale["datasets"]):
            dataset["coordinateTransformations"][0]["name"] = f"scale{number}_to_physical"

    da = xr.DataArray(np.zeros((8, 8), "uint8"), dims=("y", "x")).omezarr.assign_grid(scale={"y": 1, "x": 1})
    da.omezarr.to_zarr(tmp_path / "a.zarr", version="0.6", levels=2)
    tree: Any = opened(restated(tmp_path / "a.zarr", name))
    for version in ("0.4", "0.5"):
        tree.omezarr.to_zarr(tmp_path / version, version=version)
