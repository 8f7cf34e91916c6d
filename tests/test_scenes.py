"""Scenes: images in one store and how they lie to each other, as OME-Zarr 0.6 has them."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from asking import SCRIPTS, TIME_LIMIT, uv
from fuzzing import spoil
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from stores import check_same_stores, check_same_trees, group_attributes
from test_conformance import schema
from test_spec import finite, json_values, names, unknown
from test_systems import field, objects
from zarr.storage import MemoryStore

import xomezarr
from xomezarr import open_scene, spec, write_scene
from xomezarr.cli import main
from xomezarr.errors import (
    AxisError,
    CollectionError,
    CollectionWarning,
    IncompleteStoreError,
    MetadataError,
    MultipleErrors,
    NotOmeZarrError,
    OmeZarrError,
    OtherImagesWarning,
    TransformError,
    VersionError,
)
from xomezarr.model import Axis, CoordinateSystem, Link, Scene, SystemName
from xomezarr.transforms import Affine, Bijection, Chain, Field, Identity, MapAxis, ProjectAxis, Rotation, Stored

YX = (Axis("y", "space", "micrometer"), Axis("x", "space", "micrometer"))


def tile(seed: int = 0, *, size: int = 32, scale: float = 0.5, **translation: float) -> xr.DataArray:
    pixels = np.random.default_rng(seed).integers(0, 4000, (size, size), dtype="uint16")
    da = xr.DataArray(pixels, dims=("y", "x"), name=f"tile {seed}")
    return da.omezarr.assign_grid(scale={"y": scale, "x": scale}, translation=translation, units="um")  # type: ignore[no-any-return]


def opened(store: Any) -> Any:
    return xr.open_datatree(store, engine="omezarr")


def said(store: Any, path: str = "") -> dict[str, Any]:
    return group_attributes(store)[path]["ome"]  # type: ignore[no-any-return]


def change(store: Path, how: Callable[[dict[str, Any]], Any], path: str = "") -> None:
    """Change what a group says."""
    group = zarr.open_group(store / path, mode="r+")
    ome: Any = group.attrs["ome"]
    how(ome)
    group.attrs["ome"] = ome


# -- JSON --------------------------------------------------------------------------------------------------


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Draw scenes of images with two axes, and with systems of their own, or none."""
    own = draw(st.none() | st.lists(names, max_size=2, unique=True))
    systems = own and tuple(
        CoordinateSystem(name, tuple(Axis(f"{dim}'", "space", draw(st.none() | names)) for dim in "yx"), draw(unknown))
        for name in own
    )
    images = st.builds(SystemName, names, st.sampled_from(["a", "raw/b", "a/labels/c"]))
    ends = images | st.sampled_from([SystemName(name) for name in own]) if own else images
    kinds: list[dict[str, Any]] = [
        {"type": "identity"},
        {"type": "mapAxis", "mapAxis": [1, 0]},
        {"type": "affine", "path": "coordinateTransformations/matrix"},
        {"type": "translation", "translation": [draw(finite), draw(finite)]},
        {
            "type": "bijection",
            "forward": {"type": "coordinates", "path": "there", "interpolation": "nearest"},
            "inverse": {"type": "coordinates", "path": "back"},
        },
    ]
    links = []
    for _ in range(draw(st.integers(1, 4))):
        source, target = draw(ends), draw(ends)
        known = {"input", "output", "type", "path"}
        others = {key: value for key, value in draw(unknown).items() if key not in known}
        if source != target:
            links.append(Link(source, target, {**draw(st.sampled_from(kinds)), **others}))
    links = links or [Link(SystemName("p", "a"), SystemName("p", "raw/b"), {"type": "identity"})]
    return Scene(tuple(links), () if own == [] else systems, "0.6", draw(unknown), draw(unknown))


@given(scenes())
def test_c6_what_is_written_is_read(scene: Scene) -> None:
    written = spec.dump_scene(scene, "0.6")
    assert spec.parse_scene(written) == scene
    assert spec.parse_scene(json.loads(json.dumps(written))) == scene
    assert spec.kinds(written) == {"scene"}
    assert not [finding for finding in spec.findings(written) if finding.severity == "error"]
    for version in ("0.4", "0.5"):
        with pytest.raises(VersionError, match=rf'{version} has no scenes.*give version="?\'?0\.6'):
            spec.dump_scene(scene, version)


MINIMAL = {
    "coordinateSystems": [{"name": "world", "axes": [{"name": dim, "type": "space", "unit": "meter"} for dim in "yx"]}],
    "coordinateTransformations": [
        {"type": "identity", "input": {"name": "p", "path": "a"}, "output": {"name": "world"}},
        {"type": "scale", "scale": [1, 2], "input": {"name": "p", "path": "b"}, "output": {"name": "world"}},
    ],
}


@given(st.data())
def test_c7_any_json_in_any_place_gives_findings_and_no_other_error(data: st.DataObject) -> None:
    attrs: dict[str, Any] = {"ome": {"version": "0.6", "scene": json.loads(json.dumps(MINIMAL))}}
    spoil(data, [attrs["ome"]["scene"]], json_values)
    found = spec.findings(attrs)
    try:
        scene = spec.parse_scene(attrs)
    except (MetadataError, NotOmeZarrError):
        assert any(finding.severity == "error" for finding in found)
    else:
        assert spec.parse_scene(spec.dump_scene(scene, "0.6")) == scene


BREAKS: list[tuple[str, str, Any, tuple[Any, ...]]] = [
    ("0.6d", "scene", [], ()),
    ("0.6d", "scene.coordinateTransformations", [], ("coordinateTransformations",)),
    ("0.6d", "scene.coordinateTransformations", {}, ("coordinateTransformations",)),
    ("0.6d", "scene.coordinateTransformations[0].input", "a", ("coordinateTransformations", 0, "input")),
    ("0.6d", "scene.coordinateTransformations[0].output.name", 1, ("coordinateTransformations", 0, "output", "name")),
    ("0.6d", "scene.coordinateTransformations[0].input.path", 1, ("coordinateTransformations", 0, "input", "path")),
    ("0.6d", "scene.coordinateTransformations[0].input.more", 1, ("coordinateTransformations", 0, "input", "more")),
    ("92", "scene.coordinateTransformations[0].input.path", "../a", ("coordinateTransformations", 0, "input", "path")),
    ("0.6e", "scene.coordinateTransformations[0].output.name", "w", ("coordinateTransformations", 0, "output", "name")),
    ("38", "scene.coordinateTransformations[0]", None, ("coordinateTransformations", 0, "type")),
    ("27", "scene.coordinateTransformations[0].type", "warp", ("coordinateTransformations", 0, "type")),
    ("39", "scene.coordinateTransformations[1].scale", None, ("coordinateTransformations", 1, "scale")),
    ("0.6d", "scene.coordinateSystems", {}, ("coordinateSystems",)),
    ("0.6a", "scene.coordinateSystems[0].name", "", ("coordinateSystems", 0, "name")),
    ("14", "scene.coordinateSystems[0].axes", None, ("coordinateSystems", 0, "axes")),
]


@pytest.mark.parametrize(("rule", "location", "value", "place"), BREAKS)
def test_each_rule_names_its_place(rule: str, location: str, value: Any, place: tuple[Any, ...]) -> None:
    attrs: dict[str, Any] = {"ome": {"version": "0.6", "scene": json.loads(json.dumps(MINIMAL))}}
    assert spec.findings(attrs) == []
    held: Any = attrs["ome"]
    *above, last = ("scene", *place)
    for key in above:
        held = held[key]
    if value is None:
        del held[last]
    else:
        held[last] = value
    found = [(one.rule, one.location) for one in spec.findings(attrs)]
    assert (rule, f"ome.{location}") in found or rule == "14"
    assert {rule} <= {one for one, _ in found}
    assert all(one.cure for one in spec.findings(attrs))


def test_no_other_version_has_scenes() -> None:
    (found,) = spec.findings({"ome": {"version": "0.5", "scene": MINIMAL}})
    assert (found.rule, found.location) == ("0.6d", "ome.scene")
    # and at the top of a group it is anybody's
    assert spec.kinds({"scene": MINIMAL}) == frozenset()
    with pytest.raises(NotOmeZarrError):
        spec.parse_scene({"scene": MINIMAL})


# -- written and opened ------------------------------------------------------------------------------------


def test_tiles_lie_where_their_translations_say(tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    tiles = {"left": tile(0), "right": tile(1)}
    tree: Any = write_scene(tiles, store, transforms={"right": {"x": 12.0}}, levels=2)
    assert list(tree) == ["left", "right"]
    for name, da in tiles.items():
        xr.testing.assert_equal(opened(store)[name].omezarr.level(0).load(), da)
        assert len(tree[name].omezarr.levels) == 2
    scene = tree.omezarr.scene
    assert scene.systems == {"world": CoordinateSystem("world", YX)}
    assert scene.axes("world") == scene.axes("left") == scene.axes(("left", "physical")) == YX
    assert list(scene.transforms("world")) == ["left", "right"]
    assert scene.transform("right", "world")([[1.0, 2.0], [0.0, 0.0]]).tolist() == [[1.0, 14.0], [0.0, 12.0]]
    assert scene.transform("world", "right")([1.0, 14.0]).tolist() == [1.0, 2.0]
    assert repr(scene) == "<scene of the images 'left', 'right'; coordinate systems of its own: 'world'>"
    for place in (None, 1, ("left", 1), ("left", "physical", "world")):
        with pytest.raises(TransformError, match="names no coordinate system; give its name"):
            scene.transform(place, "world")
    # from one tile to the other, by the scene's own system
    assert scene.transform(("right", "physical"), "left")([1.0, 2.0]).tolist() == [1.0, 14.0]
    assert xomezarr.validate(store, strict=True).valid
    assert schema("0.6", "scene").is_valid({"ome": said(store)})


def test_images_whose_coordinates_are_those_of_the_scene_need_no_transformations(tmp_path: Path) -> None:
    tree: Any = write_scene({"a": tile(0, x=0.0), "b": tile(1, x=12.0, y=3.0)}, tmp_path / "a.zarr")
    assert tree.omezarr.scene.transforms("world") == {"a": Identity(), "b": Identity()}
    assert tree["b"].omezarr.level(0).x[0] == 12.0
    assert xomezarr.validate(tmp_path / "a.zarr", strict=True).valid


def test_two_overlapping_tiles_of_one_image_are_registered(tmp_path: Path) -> None:
    """Of one sample two instruments see parts, of which one is sheared: the same places have the same pixels."""
    rng = np.random.default_rng(3)
    sample = ndimage.gaussian_filter(rng.normal(size=(96, 128)), 2)
    fixed = sample[:, :80]
    shear, offset = (
        np.array([[1, 0], [1, 1]]),
        np.array([4, 30]),
    )  # from pixels of the moving image to those of the sample
    indices = np.stack(np.meshgrid(np.arange(40), np.arange(48), indexing="ij"), axis=-1)
    places = indices @ shear.T + offset
    moving = sample[places[..., 0], places[..., 1]]
    grid: dict[str, Any] = {"scale": {"y": 0.5, "x": 0.25}, "units": "um"}
    images = {
        "fixed": xr.DataArray(fixed, dims=("y", "x")).omezarr.assign_grid(**grid),
        "moving": xr.DataArray(moving, dims=("y", "x")).omezarr.assign_grid(translation={"y": 7.0, "x": -2.0}, **grid),
    }
    # by NumPy: micrometers of the one image to micrometers of the other
    scale, origin = np.diag([0.5, 0.25]), np.array([7.0, -2.0])
    linear = scale @ shear @ np.linalg.inv(scale)
    matrix = np.column_stack([linear, scale @ offset - linear @ origin])
    tree: Any = write_scene(images, tmp_path / "a.zarr", transforms={("moving", "fixed"): matrix}, levels=2)
    assert "coordinateSystems" not in said(tmp_path / "a.zarr")["scene"]
    assert xomezarr.validate(tmp_path / "a.zarr", strict=True).valid

    scene = opened(tmp_path / "a.zarr").omezarr.scene
    points = np.stack(np.meshgrid(images["moving"].y, images["moving"].x, indexing="ij"), axis=-1)
    mapped = scene.transform("moving", "fixed")(points)
    np.testing.assert_allclose(mapped, points @ matrix[:, :2].T + matrix[:, 2], rtol=1e-14)
    np.testing.assert_allclose(scene.transform("fixed", "moving")(mapped), points, atol=1e-12)
    seen = mapped[(mapped[..., 1] < 79 * 0.25) & (mapped[..., 0] < 95 * 0.5)]
    assert 500 < len(seen) < points.size / 2
    at = {"y": xr.DataArray(mapped[..., 0]), "x": xr.DataArray(mapped[..., 1])}
    overlap = (mapped[..., 1] < 79.5 * 0.25) & (mapped[..., 0] < 95.5 * 0.5)
    found = tree["fixed"].omezarr.level(0).sel(at, method="nearest").to_numpy()
    np.testing.assert_array_equal(found[overlap], moving[overlap])


@pytest.mark.parametrize("source", ["folder", "memory"])
@pytest.mark.filterwarnings("ignore:Object at")
def test_c6_a_scene_is_copied_as_it_is(tmp_path: Path, source: str) -> None:
    store: Any = tmp_path / "a.zarr" if source == "folder" else MemoryStore()
    da = tile(2)
    images = {
        "labelled": xr.Dataset({"image": da, "nuclei": (da > 2000).astype("uint8")}),
        "tree": da.omezarr.pyramid(levels=2),
        "c": tile(3, scale=1.0),
    }
    transforms: Any = {
        "tree": Chain((Rotation([[0, -1], [1, 0]]), MapAxis((1, 0)))),
        ("c", "stage"): np.array([[2.0, 0.0, 1.0], [0.0, 2.0, -1.0]]),
        ("stage", "world"): {"y": 1.0},
    }
    systems = {"world": YX, "stage": YX}
    with pytest.raises(MultipleErrors, match=r"'world', 'stage'; name it: transforms=\{\('.*', 'world'\): …\}"):
        write_scene(images, store, transforms=transforms, systems=systems)
    transforms |= {("tree", "world"): transforms.pop("tree"), ("labelled", "world"): Identity()}
    write_scene(images, store, transforms=transforms, systems=systems)
    group = zarr.open_group(store, mode="r+")
    ome: Any = group.attrs["ome"]
    ome["scene"] |= {"theirs": 1}
    ome["scene"]["coordinateTransformations"][0] |= {"name": "by hand", "of": {"them": 2}}
    ome["scene"]["coordinateSystems"][1]["note"] = 3
    group.attrs.update({"ome": {**ome, "beside": 4}, "mine": [5]})
    tree = opened(store)
    copy = tmp_path / "b.zarr"
    written = tree.omezarr.to_zarr(copy)
    check_same_stores(store, copy)
    check_same_trees(tree, opened(copy))
    check_same_trees(tree, written)
    assert xomezarr.validate(copy).valid
    # into its own place
    opened(copy).omezarr.to_zarr(copy, mode="w")
    check_same_stores(store, copy)
    check_same_trees(tree, opened(copy))
    assert tree.omezarr.scene.transform("c", "world")([1.0, 1.0]).tolist() == [4.0, 1.0]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_c7_other_versions_are_refused_before_anything_is_written(tmp_path: Path, version: str) -> None:
    tree: Any = write_scene({"a": tile(0), "b": tile(1)}, tmp_path / "a.zarr")
    cure = rf"{version} has no scenes.*give version='0\.6', or .* xomezarr\.write_collection\(dict\(tree\.children\), "
    with pytest.raises(VersionError, match=cure):
        tree.omezarr.to_zarr(tmp_path / "b.zarr", version=version)
    with pytest.raises(VersionError, match=cure):
        write_scene({"a": tile(0)}, tmp_path / "b.zarr", version=version)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]
    xomezarr.write_collection(dict(tree.children), tmp_path / "b.zarr", version=version)  # the cure
    assert list(opened(tmp_path / "b.zarr")) == ["a", "b"]


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        (
            {"transforms": {"c": {"x": 1.0}}},
            TransformError,
            r"no coordinate system 'c'; there are 'world', 'physical' of",
        ),
        (
            {"transforms": {"b": {"z": 1.0}}},
            TransformError,
            r"from 'physical' of 'b' to 'world' is of 'z', .* 'y', 'x'",
        ),
        (
            {"transforms": {"b": [["one", 2]]}},
            TransformError,
            r"which is not of real numbers; give a translation by",
        ),
        ({"transforms": {"b": {"x": "left"}}}, TransformError, r"'left' along 'x'; give a number"),
        ({"transforms": {"b": None}}, TransformError, r"is None, which is not of real numbers"),
        ({"transforms": {"b": {"x": True}}}, TransformError, r"is True along 'x'; give a number"),
        (
            {"transforms": {"b": {"x": np.timedelta64(3, "s")}}},
            TransformError,
            r"along 'x'; give a number",
        ),
        (
            {"systems": {"w": [Axis("y", orientation="up"), YX[1]]}},
            AxisError,
            "orientation 'up', .* give one of",
        ),
        ({"transforms": [1]}, TransformError, r"transforms is a list; give transformations by image"),
        ({"transforms": {("a", "b", "c"): {}}}, TransformError, r"the key \('a', 'b', 'c'\), which names neither"),
        (
            {"transforms": {("a", 1): {}}},
            TransformError,
            r"the key \('a', 1\), .* or \('right', 'left'\)",
        ),
        ({"transforms": {("a", ("b", "q")): {}}}, TransformError, r"no coordinate system 'q' of 'b'"),
        ({"transforms": {("a", "a"): {}}}, OmeZarrError, r"lead from 'physical' of 'b' to 'physical' of 'a'"),
        ({"systems": ["world"]}, TransformError, r"are no coordinate systems; give the axes of each by its name"),
        ({"systems": {"world": "yx"}}, TransformError, r"are no coordinate systems"),
        ({"systems": {}}, TransformError, r"systems=\{\} are no coordinate systems"),
        ({"transforms": {"b": {"x": float("nan")}}}, TransformError, r"finite"),
        ({"transforms": {"b": [1.0]}}, TransformError, r"of 1 coordinates, and there are 2 axes"),
        (
            {"transforms": {"b": ProjectAxis(2, dropped=(0,))}},
            TransformError,
            r"gives 1 coordinates, and 'world' has 2",
        ),
        ({"transforms": {"b": Stored("affine", "m")}}, TransformError, r"lie in an array, 'm'.*give the numbers"),
        ({"transforms": {"b": Field(np.zeros((2, 3, 3)))}}, TransformError, r"no transformation that says what Field"),
        (
            {"transforms": {("a", "b"): Identity(), ("b", "a"): np.eye(2, 3)}, "systems": {"w": YX}},
            TransformError,
            "says twice how",
        ),
        ({"systems": {"world": YX[:1]}}, OmeZarrError, r"world|space"),
    ],
)
def test_c7_what_cannot_be_is_told(
    tmp_path: Path, options: dict[str, Any], error: type[OmeZarrError], told: str
) -> None:
    with pytest.raises(error, match=told):
        write_scene({"a": tile(0), "b": tile(1)}, tmp_path / "a.zarr", **options)
    assert not [*tmp_path.iterdir()]


def test_c7_images_with_other_axes_need_to_be_told_of_the_system(tmp_path: Path) -> None:
    images = {"a": tile(0), "b": tile(1).omezarr.to_units("nm"), "c": tile(2).expand_dims(z=3)}
    with pytest.raises(
        TransformError, match=r"'b' has the axes y in nanometer, .*'a' y in micrometer.*systems=\{'world'"
    ):
        write_scene({name: images[name] for name in "ab"}, tmp_path / "a.zarr")
    transforms: Any = {"b": Affine([[1e-3, 0, 0], [0, 1e-3, 0]]), "c": ProjectAxis(3, dropped=(0,))}
    tree: Any = write_scene(images, tmp_path / "a.zarr", transforms=transforms, systems={"world": YX})
    assert tree.omezarr.scene.transform("b", "a")([1000.0, 0.0]).tolist() == [1.0, 0.0]
    assert tree.omezarr.scene.transform("c", "b")([5.0, 1.0, 2.0]) == pytest.approx([1000.0, 2000.0])
    # what a projection left out does not come back
    with pytest.warns(
        CollectionWarning, match=r"nothing leads to 'c' from the images 'a', 'b', which .* drops the axes"
    ):
        assert list(tree.omezarr.scene.transforms("c")) == ["c"]
    assert xomezarr.validate(tmp_path / "a.zarr").valid


def test_c7_names_and_options_are_those_of_a_collection(tmp_path: Path) -> None:
    with pytest.raises(
        MultipleErrors, match=r"(?s)cannot be named 'a/b'.*'coordinateTransformations', as arrays of"
    ) as told:
        write_scene({"a/b": tile(0), "coordinateTransformations": tile(1)}, tmp_path / "a.zarr")
    assert re.search("'a_b'", str(told.value))
    with pytest.raises(OmeZarrError, match=r"name= is said of one image"):
        write_scene({"a": tile(0)}, tmp_path / "a.zarr", name="scene")
    with pytest.raises(OmeZarrError, match="write_scene has no option chunk_size=; give chunks="):
        write_scene({"a": tile(0)}, tmp_path / "a.zarr", chunk_size=3)
    assert not [*tmp_path.iterdir()]


def test_a_name_that_is_an_image_and_a_system_has_to_be_told_apart(tmp_path: Path) -> None:
    tree: Any = write_scene(
        {"world": tile(0), "b": tile(1)}, tmp_path / "a.zarr", transforms={"b": {"x": 1.0}}, systems={"w": YX}
    )
    change(tmp_path / "a.zarr", lambda ome: ome["scene"]["coordinateSystems"][0].update(name="world"))
    for link in (0, 1):
        change(
            tmp_path / "a.zarr",
            lambda ome, link=link: ome["scene"]["coordinateTransformations"][link]["output"].update(name="world"),  # type: ignore[misc]
        )
    tree = opened(tmp_path / "a.zarr")
    with pytest.raises(
        TransformError, match=r"'world' is a coordinate system of the scene, and an image; .*'physical'\)"
    ):
        tree.omezarr.scene.transform("b", "world")
    assert tree.omezarr.scene.transform("b", ("world", "physical"))([0.0, 0.0]).tolist() == [0.0, 1.0]


# -- what is changed in a tree -----------------------------------------------------------------------------


def test_an_image_that_goes_takes_its_transformations_along(tmp_path: Path) -> None:
    tree: Any = write_scene({name: tile(0) for name in "abc"}, tmp_path / "a.zarr", transforms={"b": {"x": 9.0}})
    del tree["b"]
    with pytest.warns(CollectionWarning, match=r"images 'b' are not in the tree any more, and 1 transformations that"):
        written = tree.omezarr.to_zarr(tmp_path / "b.zarr")
    assert list(written) == ["a", "c"]
    assert [link["input"]["path"] for link in said(tmp_path / "b.zarr")["scene"]["coordinateTransformations"]] == [
        "a",
        "c",
    ]
    assert xomezarr.validate(tmp_path / "b.zarr").valid
    del tree["a"], tree["c"]
    with pytest.warns(CollectionWarning), pytest.raises(OmeZarrError, match="the tree has no images"):
        tree.omezarr.to_zarr(tmp_path / "c.zarr")


def test_an_image_of_which_nothing_says_where_it_lies_is_refused(tmp_path: Path) -> None:
    tree: Any = write_scene({"a": tile(0)}, tmp_path / "a.zarr", transforms={"a": {"y": 2.0}})
    tree["b"] = tile(1).omezarr.pyramid()
    with pytest.raises(CollectionError, match=r"how the image 'b' lies.*\*\*tree\.omez.*\('world'\), 'b': …\}\)"):
        tree.omezarr.to_zarr(tmp_path / "b.zarr")
    cure: Any = {**tree.omezarr.scene.transforms("world"), "b": {"x": 5.0}}
    made: Any = write_scene(dict(tree.children), tmp_path / "b.zarr", transforms=cure)
    assert made.omezarr.scene.transform("b", "a")([0.0, 0.0]).tolist() == [-2.0, 5.0]


def test_an_image_that_lay_by_way_of_one_that_is_gone_is_not_hidden(tmp_path: Path) -> None:
    pairs: Any = {("a", "b"): {"x": 1.0}, ("b", "c"): {"x": 1.0}, ("c", "d"): {"x": 1.0}}
    tree: Any = write_scene({name: tile(0) for name in "abcd"}, tmp_path / "a.zarr", transforms=pairs)
    del tree["b"]
    with pytest.warns(CollectionWarning), pytest.raises(CollectionError, match="how the image 'a' lies to the others"):
        tree.omezarr.to_zarr(tmp_path / "b.zarr")
    assert not (tmp_path / "b.zarr").exists()


def test_a_translation_by_dimension_goes_along_the_axis_of_that_name(tmp_path: Path) -> None:
    swapped = {"w": [Axis("x", "space", "micrometer"), Axis("y", "space", "micrometer")]}
    tiles, moved = {"a": tile(0), "b": tile(1)}, {"b": {"x": 30.0}}
    tree: Any = write_scene(tiles, tmp_path / "a.zarr", systems=swapped, transforms=moved)
    assert tree.omezarr.scene.transform("a", "w")([1.0, 2.0]).tolist() == [2.0, 1.0]
    assert tree.omezarr.scene.transform("b", "w")([1.0, 2.0]).tolist() == [32.0, 1.0]
    others = {
        r"names of axes, which are 'y', 'x' here and 'v', 'u' there; give a matrix": ("vu", "micrometer"),
        r"from y in micrometer to y in nanometer; convert the image first, to_units\(\{'y": ("yx", "nanometer"),
    }
    for match, (axes, unit) in others.items():
        systems = {"w": [Axis(name, "space", unit) for name in axes]}
        with pytest.raises(OmeZarrError, match=match):
            write_scene(tiles, tmp_path / "b.zarr", systems=systems, transforms=moved)
    assert not (tmp_path / "b.zarr").exists()


@pytest.mark.parametrize(
    "twice", [{"b": {"x": 1.0}, ("b", "world"): {"y": 7.0}}, {("a", "b"): {"x": 1.0}, ("b", "a"): {"x": 5.0}}]
)
def test_what_is_said_twice_of_two_images_is_refused(twice: Any, tmp_path: Path) -> None:
    with pytest.raises(TransformError, match=r"twice how 'physical' of '.' lies to .* and \('b', '.*remove one"):
        write_scene({"a": tile(0), "b": tile(1)}, tmp_path / "a.zarr", transforms=twice)
    assert not (tmp_path / "a.zarr").exists()


def test_a_coordinate_system_is_asked_of_images_not_of_scenes(tmp_path: Path) -> None:
    write_scene({"a": tile(0), "b": tile(1)}, tmp_path / "a.zarr")
    with pytest.raises(OmeZarrError, match="coordinate_system='world' is meant for an image"):
        xr.open_datatree(tmp_path / "a.zarr", engine="omezarr", coordinate_system="world")


def test_an_image_that_replaces_one_of_a_scene_is_like_that(tmp_path: Path) -> None:
    """By itself, as what leads to it is said above it; so is one of a collection or a plate, by its version."""
    store, image = tmp_path / "a.zarr", tile()
    xomezarr.write_scene({"a": image, "b": image}, store, transforms={"b": {"x": 10.0}})
    with pytest.raises(VersionError, match=r"lies in a scene of images, .* of OME-Zarr 0\.6, .* give version='0\.6'"):
        image.omezarr.to_zarr(store / "b", mode="w", version="0.4")
    with pytest.raises(AxisError, match=r"image 'b' with the axes .*µm\), and it has .*nm\) now"):
        image.omezarr.to_units("nm").omezarr.to_zarr(store / "b", mode="w", version="0.6")
    (image + 1).omezarr.to_zarr(store / "b", mode="w")  # of the scene's version, as no other is asked for
    opened(store / "b").omezarr.to_zarr(store / "b", mode="w")
    assert xomezarr.validate(store).valid
    np.testing.assert_array_equal(opened(store)["b/0"]["image"], image + 1)


def test_a_linked_system_of_an_image_with_another_unit_is_refused(tmp_path: Path) -> None:
    """Not that of its levels: one beside it, to which the scene leads."""

    def turned(unit: str) -> Any:
        return tile().omezarr.assign_affine([[0, 1, 0], [1, 0, 0]], system="stage", units=unit)

    leading = {(("a", "stage"), "world"): Identity()}
    xomezarr.write_scene({"a": turned("um")}, tmp_path / "a.zarr", transforms=leading, systems={"world": YX})
    tree = opened(tmp_path / "a.zarr")
    other = turned("nm").omezarr.to_zarr(tmp_path / "b.zarr", version="0.6")
    tree["a"] = other
    with pytest.raises(AxisError, match=r"'a' with the axes y, x \(µm\), and it has y, x \(nm\) now"):
        tree.omezarr.to_zarr(tmp_path / "c.zarr")
    with pytest.raises(AxisError, match=r"\(nm\)"):
        other.omezarr.to_zarr(tmp_path / "a.zarr" / "a", mode="w")


def test_an_image_with_other_units_is_refused(tmp_path: Path) -> None:
    tree: Any = write_scene({"a": tile(0), "b": tile(1)}, tmp_path / "a.zarr")
    tree["b"] = tile(1).omezarr.to_units("nm").omezarr.pyramid()
    tree["b"].attrs = opened(tmp_path / "a.zarr")["b"].attrs
    with pytest.raises(AxisError, match=r"'b' with the axes y, x .µm., .* y, x .nm. .*to_units"):
        tree.omezarr.to_zarr(tmp_path / "b.zarr")
    assert not (tmp_path / "b.zarr").exists()


def test_an_image_that_is_cropped_stays_where_it_is(tmp_path: Path) -> None:
    tree: Any = write_scene({"a": tile(0), "b": tile(1)}, tmp_path / "a.zarr", transforms={"b": {"x": 9.0}})
    tree["b"] = tree["b"].omezarr.isel(x=slice(8, 24))
    written = tree.omezarr.to_zarr(tmp_path / "b.zarr")
    assert written["b"].omezarr.level(0).x[0] == 4.0
    assert said(tmp_path / "b.zarr") == said(tmp_path / "a.zarr")
    assert xomezarr.validate(tmp_path / "b.zarr").valid


# -- arrays of transformations -----------------------------------------------------------------------------


def with_arrays(store: Path) -> np.ndarray[Any, Any]:
    """Write a scene of three images of which two are led to by arrays; return the samples of the field."""
    write_scene({"a": tile(0), "b": tile(1), "c": tile(2)}, store)
    samples: np.ndarray[Any, Any] = field(store, "coordinateTransformations/field")
    field(store, "coordinateTransformations/back")
    zarr.create_array(store, name="coordinateTransformations/matrix", data=np.array([[2.0, 0, 1], [0, 4, -1]]))

    def lead(ome: dict[str, Any]) -> None:
        _, second, third = ome["scene"]["coordinateTransformations"]
        second |= {"type": "affine", "path": "coordinateTransformations/matrix"}
        moved = [{"type": "displacements", "path": f"coordinateTransformations/{name}"} for name in ("field", "back")]
        third |= {"type": "bijection", "forward": moved[0], "inverse": moved[1]}

    change(store, lead)
    return samples


def test_arrays_of_transformations_map_points(tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    samples = with_arrays(store)
    assert xomezarr.validate(store).valid, xomezarr.validate(store)
    scene = opened(store).omezarr.scene
    assert scene.transform("b", "a")([1.0, 1.0]).tolist() == [3.0, 3.0]
    assert scene.transform("a", "b")([3.0, 3.0]).tolist() == [1.0, 1.0]
    # samples lie every 4 and 2 micrometers; at them nothing is interpolated
    points = np.array([[4.0, 6.0], [8.0, 2.0], [5.0, 7.5]])
    by = [ndimage.map_coordinates(one, (points / [4.0, 2.0]).T, order=1) for one in samples]
    np.testing.assert_allclose(scene.transform("c", "world")(points), points + np.stack(by, axis=-1))
    np.testing.assert_allclose(scene.transform("c", "world")([4.0, 6.0]), [4.0, 6.0] + samples[:, 1, 3])
    # the way back is that of the bijection, of other samples by the same numbers here
    np.testing.assert_allclose(scene.transform("world", "c")([4.0, 6.0]), [4.0, 6.0] + samples[:, 1, 3])


def test_c9_arrays_are_read_when_points_are_mapped(tmp_path: Path) -> None:
    with_arrays(tmp_path / "a.zarr")
    scene = opened(tmp_path / "a.zarr").omezarr.scene
    shutil.rmtree(tmp_path / "a.zarr" / "coordinateTransformations")
    found = scene.transforms("world")
    assert list(found) == ["a", "b", "c"]
    for name, kind in (("b", "affine"), ("c", "displacements")):
        with pytest.raises(
            TransformError, match=rf"the {kind} at 'coordinateTransformations/.*validate|no image of that"
        ):
            found[name]([1.0, 1.0])


def test_a_field_alone_has_no_way_back(tmp_path: Path) -> None:
    with_arrays(tmp_path / "a.zarr")

    def forward(ome: dict[str, Any]) -> None:
        third = ome["scene"]["coordinateTransformations"][2]
        third |= {**third.pop("forward"), "interpolation": "windowed sinc"}
        third.pop("inverse")

    change(tmp_path / "a.zarr", forward)
    scene = opened(tmp_path / "a.zarr").omezarr.scene
    with pytest.warns(xomezarr.OmeZarrWarning, match="interpolated by 'windowed sinc', which .*; it does so linearly"):
        scene.transform("c", "world")([1.0, 1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(TransformError, match=r"nothing leads from .*'world' to .* of 'c' \(nothing .* a bijection"):
            scene.transform("world", "c")
    with pytest.warns(xomezarr.OmeZarrWarning, match="nothing leads to 'c'"):
        scene.transforms("c")


def test_c6_arrays_of_a_scene_are_copied(tmp_path: Path) -> None:
    store, copy = tmp_path / "a.zarr", tmp_path / "b.zarr"
    with_arrays(store)
    before = objects(store, "coordinateTransformations")
    assert len(before) > 10
    opened(store).omezarr.to_zarr(copy)
    assert objects(copy, "coordinateTransformations") == before
    assert xomezarr.validate(copy).valid
    # what replaces the store that it is in keeps them too
    opened(copy).omezarr.to_zarr(copy, mode="w")
    assert xomezarr.validate(copy).valid
    assert opened(copy).omezarr.scene.transform("b", "a")([1.0, 1.0]).tolist() == [3.0, 3.0]
    # and what is not named any more is not copied
    tree = opened(copy)
    del tree["c"]
    with pytest.warns(CollectionWarning, match="are left out"):
        tree.omezarr.to_zarr(tmp_path / "c.zarr")
    left = {key.split("/")[1] for key in objects(tmp_path / "c.zarr", "coordinateTransformations")}
    assert left == {"matrix", "zarr.json"}


def test_c6_a_store_in_memory_does_not_lose_arrays_that_it_is_replaced_by(tmp_path: Path) -> None:
    with_arrays(tmp_path / "a.zarr")
    store = MemoryStore()
    opened(tmp_path / "a.zarr").omezarr.to_zarr(store)
    before = objects(store, "coordinateTransformations")
    with pytest.raises(OmeZarrError, match=r"is replaced before the arrays of transformations are read"):
        opened(store).load().omezarr.to_zarr(store, mode="w")
    assert objects(store, "coordinateTransformations") == before


# -- examined ----------------------------------------------------------------------------------------------


def link(index: int, key: str, **values: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda ome: ome["scene"]["coordinateTransformations"][index][key].update(values)


WHERE = "ome.scene.coordinateTransformations[1]"


@pytest.mark.parametrize(
    ("rule", "location", "how"),
    [
        ("0.6e", f"{WHERE}.input.path", link(1, "input", path="z")),
        ("0.6e", f"{WHERE}.input.name", link(1, "input", name="stage")),
        ("0.6e", f"{WHERE}.output.name", link(1, "output", name="stage")),
        (
            "39",
            WHERE,
            lambda ome: ome["scene"]["coordinateTransformations"][1].update(type="translation", translation=[1, 2, 3]),
        ),
        (
            "39",
            WHERE,
            lambda ome: ome["scene"]["coordinateTransformations"][1].update(type="affine", affine=[[1, 0, 0]]),
        ),
        ("0.6f", "ome.scene", lambda ome: ome["scene"]["coordinateTransformations"].__setitem__(slice(2, 4), [ISLAND])),
        ("98", "m", lambda ome: ome["scene"]["coordinateTransformations"][1].update(type="affine", path="m")),
    ],
)
def test_each_rule_is_found_in_a_store_that_breaks_it(
    tmp_path: Path, rule: str, location: str, how: Callable[[dict[str, Any]], Any]
) -> None:
    store = tmp_path / "a.zarr"
    write_scene({name: tile(0) for name in "abcd"[: 4 if rule == "0.6f" else 2]}, store)
    assert xomezarr.validate(store, strict=True).valid
    change(store, how)
    found = xomezarr.validate(store)
    told = [(one.rule, one.location) for one in found if one.severity == "error"]
    assert (rule, location) in told
    assert {one for one, _ in told} <= {rule, "0.6f"}  # what does not lead somewhere leaves images alone
    assert all(one.cure or "; " in one.message for one in found)
    assert main(["validate", str(store)]) == 1


ISLAND = {"type": "identity", "input": {"path": "c", "name": "physical"}, "output": {"path": "d", "name": "physical"}}


def test_what_is_wrong_with_an_image_is_found_where_it_is(tmp_path: Path) -> None:
    write_scene({"a": tile(0), "b": tile(1)}, tmp_path / "a.zarr")
    shutil.rmtree(tmp_path / "a.zarr/b/0")
    assert [(one.rule, one.location) for one in xomezarr.validate(tmp_path / "a.zarr")] == [("98", "b: 0")]
    with pytest.warns(CollectionWarning, match=r"the image 'b' of .* cannot be opened: .*; it is left out"):
        assert list(opened(tmp_path / "a.zarr")) == ["a"]
    shutil.rmtree(tmp_path / "a.zarr/a")
    with pytest.raises(CollectionError, match=r"the image 'a' .* no such group.*'b'"):
        opened(tmp_path / "a.zarr")


def test_an_image_that_is_not_named_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "a.zarr"
    write_scene({"a": tile(0)}, store)
    with pytest.warns(
        OtherImagesWarning, match=r"lies in a scene of images.* does not list it.*transforms=\{…\}"
    ) as told:
        tile(1).omezarr.to_zarr(store / "b", version="0.6")
    (found,) = xomezarr.validate(store)
    assert (found.rule, found.severity, found.location) == ("0.6e", "warning", "b")
    with pytest.warns(CollectionWarning, match=r"groups 'b' of .* are images to which no .*; .* by itself: group='b'"):
        tree = opened(store)
    with pytest.warns(OtherImagesWarning, match=r"holds other images \(b\), which are replaced"):
        tree.omezarr.to_zarr(store, mode="w")
    cure = (
        str(told[0].message)
        .rpartition("so that they do: ")[2]
        .replace("transforms={…}", 'transforms={"b": {"x": 3.0}}')
    )
    exec(cure, {"xomezarr": xomezarr, "da": tile(1)})
    assert list(opened(store)) == ["a", "b"]
    assert xomezarr.validate(store, strict=True).valid
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tile(1).omezarr.to_zarr(store / "b", version="0.6", mode="w")


def test_a_scene_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_scene({"left": tile(0), "right": tile(1)}, tmp_path / "a.zarr", transforms={"right": {"x": 12.0}})
    assert main(["info", str(tmp_path / "a.zarr")]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0][1:] == ["scene", "of", "2", "images,", "OME-Zarr", "0.6"]
    assert ["right:", "physical", "world", "translation"] in lines
    assert ["world", "y", "(µm),", "x", "(µm)"] in lines
    assert main(["info", str(tmp_path / "a.zarr"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["kind"] == "scene"
    assert told["transformations"][1] == {
        "type": "translation",
        "from": {"image": "right", "system": "physical"},
        "to": {"image": None, "system": "world"},
    }
    assert list(told["images"]) == ["left", "right"]
    for command in ("convert", "scale"):
        assert main([command, str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr")]) != 0
        assert "is a scene of images, not an image; copy all of it" in capsys.readouterr().err
    with pytest.raises(
        NotOmeZarrError, match=r"a scene of images of OME-Zarr 0\.6, not an image; .* such as that at 'left'"
    ):
        xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr")
    with pytest.raises(NotOmeZarrError, match="is no scene"):
        open_scene(tmp_path / "a.zarr" / "left")
    with pytest.raises(NotOmeZarrError, match="holds an image of OME-Zarr"):
        _ = opened(tmp_path / "a.zarr" / "left").omezarr.scene


def test_scenes_inside_of_a_store_and_images_in_folders_are_opened(tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    write_scene({"a": tile(0), "b": tile(1)}, tmp_path / "b.zarr", transforms={"b": {"x": 2.0}})
    zarr.create_group(store, zarr_format=3)
    shutil.copytree(tmp_path / "b.zarr", store / "scene")
    (store / "scene/raw").mkdir()
    (store / "scene/b").rename(store / "scene/raw/b")
    change(store / "scene", link(1, "input", path="raw/b/"))
    tree = xr.open_datatree(store, engine="omezarr", group="scene")
    assert tree.omezarr.scene.transform("raw/b", "a")([0.0, 0.0]).tolist() == [0.0, 2.0]
    written = tree.omezarr.to_zarr(tmp_path / "c.zarr")
    change(tmp_path / "b.zarr", lambda ome: ome["scene"]["coordinateTransformations"].reverse())
    change(tmp_path / "b.zarr", link(0, "input", path="raw/b"))
    (tmp_path / "b.zarr/raw").mkdir()
    (tmp_path / "b.zarr/b").rename(tmp_path / "b.zarr/raw/b")
    with pytest.raises(NotOmeZarrError, match=r"such as that at 'raw/b' below it"):
        xr.open_dataarray(tmp_path / "b.zarr", engine="omezarr")
    assert list(written.omezarr.scene.images) == ["a", "raw/b"]
    assert xomezarr.validate(tmp_path / "c.zarr").valid
    # any engine that is asked finds the store
    assert list(xr.open_datatree(tmp_path / "c.zarr")) == ["a", "raw"]


def test_labels_that_a_scene_names_come_with_their_image(tmp_path: Path) -> None:
    da = tile(0)
    images = {"a": xr.Dataset({"image": da, "nuclei": (da > 2000).astype("uint8")}), "b": tile(1)}
    transforms: Any = {("a/labels/nuclei", "world"): {"x": 1.0}, ("b", "world"): Identity(), ("a", "b"): Identity()}
    tree: Any = write_scene(images, tmp_path / "a.zarr", transforms=transforms)
    assert list(tree) == ["a", "b"]
    assert tree.omezarr.scene.transform("a/labels/nuclei", "b")([0.0, 0.0]).tolist() == [0.0, 1.0]
    assert xomezarr.validate(tmp_path / "a.zarr").valid
    tree.omezarr.to_zarr(tmp_path / "b.zarr")
    check_same_stores(tmp_path / "a.zarr", tmp_path / "b.zarr")


# -- whole or not at all -----------------------------------------------------------------------------------


def test_c8_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    calls = itertools.count()

    def stop(_: int) -> None:
        if next(calls):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_scene({"a": tile(0), "b": tile(1)}, tmp_path / "a.zarr", progress=stop)
    assert not (tmp_path / "a.zarr").exists()
    store = MemoryStore()
    calls = itertools.count()
    with pytest.raises(KeyboardInterrupt):
        write_scene({"a": tile(0), "b": tile(1)}, store, progress=stop)
    with pytest.raises((IncompleteStoreError, NotOmeZarrError)):
        opened(store)


def test_c9_a_scene_is_written_when_it_is_computed(tmp_path: Path) -> None:
    later: Any = write_scene({"a": tile(0).chunk(y=16)}, tmp_path / "a.zarr", compute=False)
    assert not (tmp_path / "a.zarr").exists()
    assert list(later.compute()) == ["a"]


# -- other libraries ---------------------------------------------------------------------------------------


def test_ome_zarr_models_reads_what_is_written(tmp_path: Path) -> None:
    from ome_zarr_models.v06.scene import Scene as TheirScene

    transforms: Any = {"b": {"x": 12.0}, ("c", "world"): Chain((Rotation([[0, -1], [1, 0]]), Affine(np.eye(2, 3))))}
    transforms[("d", "c")] = Bijection(Affine([[2.0, 0, 1], [0, 1, 0]]), Affine([[0.5, 0, -0.5], [0, 1, 0]]))
    write_scene({name: tile(0) for name in "abcd"}, tmp_path / "a.zarr", transforms=transforms)
    read = TheirScene.from_zarr(zarr.open_group(tmp_path / "a.zarr", mode="r"))
    assert sorted(read.images) == ["a", "b", "c", "d"]
    scene = read.ome_attributes.scene
    assert [system.name for system in scene.coordinateSystems or ()] == ["world"]
    assert [one.type for one in scene.coordinateTransformations] == ["identity", "translation", "sequence", "bijection"]
    assert scene.coordinateTransformations[1].translation == (0.0, 12.0)  # type: ignore[union-attr]


@pytest.mark.peers
@pytest.mark.xdist_group("peers")
def test_ngff_zarr_reads_what_is_written_and_what_it_writes_is_read(tmp_path: Path) -> None:
    store, copy = tmp_path / "a.zarr", tmp_path / "b.zarr"
    matrix = [[0.0, -1.0, 3.0], [1.0, 0.0, 2.0]]
    transforms: Any = {"b": {"x": 12.0}, ("c", "world"): np.array(matrix)}
    tree: Any = write_scene({name: tile(number) for number, name in enumerate("abc")}, store, transforms=transforms)
    script = SCRIPTS / "scene_ngff_zarr.py"
    answer = subprocess.run(
        [uv(), "run", "--no-project", "--python", sys.executable, "--script", script, store, copy],
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        env={k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "PYTHONPATH", "UV_RESOLUTION"}},
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    told = json.loads(answer.stdout)
    assert told["images"] == {name: [32, 32] for name in "abc"}
    assert told["systems"] == ["world"]
    assert [one["input"]["path"] for one in told["transformations"]] == ["a", "b", "c"]
    assert told["transformations"][1]["translation"] == [0.0, 12.0]
    assert told["transformations"][2]["affine"] == matrix
    theirs = opened(copy)
    points = np.random.default_rng(0).normal(size=(5, 2))
    for name, found in tree.omezarr.scene.transforms("world").items():
        np.testing.assert_array_equal(theirs.omezarr.scene.transform(name, "world")(points), found(points))
        np.testing.assert_array_equal(theirs[name].omezarr.level(0), tree[name].omezarr.level(0))
    assert not [one for one in xomezarr.validate(copy) if one.rule.startswith("0.6") and one.severity == "error"]


@settings(max_examples=20)
@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=4))
def test_tiles_anywhere_come_back(places: list[tuple[float, float]]) -> None:
    store = MemoryStore()
    tiles = {f"t{number}": tile(number, size=4) for number in range(len(places))}
    moved = {name: {"y": y, "x": x} for name, (y, x) in zip(tiles, places, strict=True)}
    tree: Any = write_scene(tiles, store, transforms=moved)
    found = opened(store).omezarr.scene.transforms("world")
    for name, (y, x) in zip(tiles, places, strict=True):
        assert found[name]([0.0, 0.0]).tolist() == [y, x]
    check_same_trees(tree, opened(store))


def test_what_cannot_be_read_beside_the_images_of_a_scene_keeps_none_of_them_from_being_opened(tmp_path: Path) -> None:
    write_scene({"a": tile(0), "b": tile(1)}, tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / "broken").mkdir()
    (tmp_path / "a.zarr" / "broken" / "zarr.json").write_text("{")
    assert [*opened(tmp_path / "a.zarr").children] == ["a", "b"]
