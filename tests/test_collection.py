"""Collections: several images in one store, listed in its group OME and described by OME-XML (rules 83 to 90)."""

from __future__ import annotations

import ast
import asyncio
import json
import pickle
import re
import shutil
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import dask.array
import numpy as np
import ome_types
import ome_types.model
import pandas as pd
import pytest
import tifffile
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import check_same_stores, check_same_trees, group_attributes
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import LocalStore, MemoryStore, StorePath, WrapperStore, ZipStore

import xomezarr
from xomezarr import omexml, open_collection, spec, write_collection
from xomezarr.errors import (
    AttributeEncodingError,
    CollectionError,
    CollectionWarning,
    IncompleteStoreError,
    LabelError,
    LevelError,
    MetadataError,
    MissingDependencyError,
    MultipleErrors,
    NotOmeZarrError,
    OmeZarrError,
    OmeZarrWarning,
    OtherImagesWarning,
    StoreExistsError,
)
from xomezarr.model import Axis, Channel
from xomezarr.units import SPACE_UNITS, SYMBOLS, TIME_UNITS, ome_unit

VERSIONS = spec.VERSIONS


def image(*dims: str, size: int = 6, dtype: str = "u2", **options: Any) -> xr.DataArray:
    """Make an array of random pixels, of which each dimension has one more than the one before."""
    shape = tuple(size + number for number in range(len(dims)))
    pixels = np.random.default_rng(len(dims)).integers(0, 100, shape).astype(dtype)
    return xr.DataArray(pixels, dims=dims, **options)


def cells() -> xr.DataArray:
    """Two channels and three dimensions of space, with all that OME-XML can say."""
    da = image("t", "c", "z", "y", "x", name="cells").isel(c=slice(2), t=slice(3))
    da = da.omezarr.assign_grid(scale={"t": 0.5, "z": 2.0, "y": 0.325, "x": 0.325}, units={"t": "min", "z": "um"})
    da = da.omezarr.assign_grid(units={"y": "um", "x": "nm"})
    return da.omezarr.assign_channels([{"label": "DAPI", "color": "blue"}, {"label": "GFP & <co>", "color": "#12FE0A"}])


def views() -> dict[str, xr.DataArray]:
    return {
        f"view {number}": cells().omezarr.assign_grid(translation={"x": 100.0 * number, "z": -3.0})
        for number in (2, 0, 1)
    }


def xml_of(store: Any) -> Any:
    """Return the OME-XML of a local store as ome-types reads it, which knows the schema."""
    return ome_types.from_xml(Path(store) / "OME/METADATA.ome.xml", validate=False)


# --- written and read ------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("place", ["folder", "memory", "url"])
def test_c6_every_image_comes_back_as_it_was_in_the_order_of_the_dict(tmp_path: Path, version: str, place: str) -> None:
    stores: dict[str, Any] = {"folder": tmp_path / "a.ome.zarr", "memory": MemoryStore()}
    store = stores.get(place, f"memory://{tmp_path.name}-{version}/a.ome.zarr")
    images = views()
    written = write_collection(images, store, version=version, levels=2)
    for tree in (written, open_collection(store), xr.open_datatree(store, engine="omezarr")):
        assert list(tree) == list(images)
        for name, da in images.items():
            assert tree[name].omezarr.version == version
            assert len(tree[name].omezarr.levels) == 2
            xr.testing.assert_identical(tree[name].omezarr.level(0), da)


def test_an_image_in_a_collection_is_the_tree_that_it_is_by_itself(tmp_path: Path) -> None:
    da = cells()
    labels = xr.DataArray(np.arange(da.sizes["y"] * da.sizes["x"]).reshape(da.sizes["y"], -1), dims=("y", "x"))
    labels = labels.expand_dims(z=da.sizes["z"]).assign_coords({dim: da[dim] for dim in ("z", "y", "x")})
    ds = xr.Dataset({"image": da, "nuclei": labels})
    ds.omezarr.to_zarr(tmp_path / "alone.ome.zarr", levels=2)
    write_collection({"alone": ds, "other": da}, tmp_path / "all.ome.zarr", levels=2)
    alone = xr.open_datatree(tmp_path / "alone.ome.zarr", engine="omezarr")
    found = xr.open_datatree(tmp_path / "all.ome.zarr", engine="omezarr")["alone"]
    assert [node.path.removeprefix("/alone") or "/" for node in found.subtree] == [node.path for node in alone.subtree]
    for node in alone.subtree:
        xr.testing.assert_identical(found[node.path.strip("/") or "."].to_dataset(), node.to_dataset())
    assert found.encoding["source"] == f"{tmp_path}/all.ome.zarr/alone"
    assert found.omezarr.validate().valid
    group = xr.open_datatree(tmp_path / "all.ome.zarr", engine="omezarr", group="alone")
    xr.testing.assert_identical(group, alone)


def test_the_engine_finds_a_collection_by_itself(tmp_path: Path) -> None:
    write_collection({"a": cells()}, tmp_path / "a.ome.zarr")
    tree = xr.open_datatree(tmp_path / "a.ome.zarr")
    assert list(tree) == ["a"]
    assert tree.attrs == {"bioformats2raw.layout": 3}
    opened = xr.open_groups(tmp_path / "a.ome.zarr", engine="omezarr")
    assert {"/", "/a", "/a/0"} <= set(opened)


def test_c9_opening_reads_no_pixel(tmp_path: Path) -> None:
    write_collection({"a": cells(), "b": cells()}, tmp_path / "a.ome.zarr", chunks={"y": 4, "x": 4})
    chunks = [path for path in (tmp_path / "a.ome.zarr").rglob("*") if path.is_file() and path.name.isdecimal()]
    assert chunks
    for path in chunks:
        path.write_bytes(b"no chunk")
    tree = open_collection(tmp_path / "a.ome.zarr")
    assert tree["b"].omezarr.level(0).shape == cells().shape


def test_data_of_six_dimensions_are_written_as_one_image_for_each_view(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 2, 2, 4, 8, 8), dtype="u1")
    da = xr.DataArray(pixels, dims=("view", "t", "c", "z", "y", "x"), coords={"view": [0, 120, 240]}, name="embryo")
    store = tmp_path / "views.ome.zarr"
    with pytest.raises(OmeZarrError) as caught:
        da.omezarr.to_zarr(store)
    assert not store.exists()
    message = str(caught.value)
    call = message[message.index("xomezarr.write_collection(") :]
    tree = eval(call, {"xomezarr": xomezarr, "da": da, "store": store})
    for number in range(3):
        xr.testing.assert_identical(tree[f"view {number}"].omezarr.level(0), da.isel(view=number))
    # as its cure says, and each at its own place
    shifts = {0: 0.0, 120: 12.5, 240: -7.25}
    moved = {
        f"view {angle}": da.sel(view=angle).omezarr.assign_grid(scale={"x": 0.5}, translation={"x": shift}, units="um")
        for angle, shift in shifts.items()
    }
    tree = write_collection(moved, store, mode="w")
    for angle, shift in shifts.items():
        found = tree[f"view {angle}"]
        assert found.omezarr.metadata.multiscale.levels[0].translation["x"] == shift
        np.testing.assert_array_equal(found.omezarr.level(0).x, shift + 0.5 * np.arange(8))
        np.testing.assert_array_equal(found.omezarr.level(0), pixels[list(shifts).index(angle)])


def test_c6_attributes_of_a_dataset_are_those_of_the_image(tmp_path: Path) -> None:
    ds = xr.Dataset({"image": cells()}, attrs={"dye": "DAPI"})
    tree = write_collection({"a": ds, "b": cells()}, tmp_path / "a.zarr")
    assert tree["a"].attrs["dye"] == "DAPI"
    assert "dye" not in tree["b"].attrs


def test_a_zip_file_holds_a_collection(tmp_path: Path) -> None:
    with ZipStore(tmp_path / "a.zip", mode="w") as store, pytest.warns(UserWarning, match="Duplicate name"):
        write_collection({"a": cells(), "b": image("y", "x")}, store)
    with ZipStore(tmp_path / "a.zip", mode="r") as store:
        np.testing.assert_array_equal(open_collection(store)["b"].omezarr.level(0), image("y", "x"))


def test_progress_is_told_all_bytes(tmp_path: Path) -> None:
    told: list[int] = []
    tree = write_collection(views(), tmp_path / "a.ome.zarr", levels=2, progress=told.append)
    assert sum(told) == sum(level.nbytes for node in tree.children.values() for level in node.omezarr.levels)


# --- what is in the store --------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_rules_83_to_89_of_the_layout(tmp_path: Path, version: str) -> None:
    write_collection(views(), tmp_path / "a.ome.zarr", version=version)
    root = zarr.open_group(tmp_path / "a.ome.zarr", mode="r")
    attrs, listing = root.attrs.asdict(), root["OME"].attrs.asdict()

    def inside(found: dict[str, Any]) -> dict[str, Any]:
        return found if version == "0.4" else found["ome"]

    assert inside(attrs) == {"bioformats2raw.layout": 3} | ({"version": version} if version != "0.4" else {})
    assert inside(listing)["series"] == ["view 2", "view 0", "view 1"]
    for found in (attrs, listing):
        spec.check(found, version)
        assert spec.findings(found, strict=True) == []
    assert set(root.group_keys()) == {"OME", "view 0", "view 1", "view 2"}
    for name in inside(listing)["series"]:
        assert xomezarr.validate(tmp_path / "a.ome.zarr" / name, strict=True).valid
    assert xomezarr.validate(tmp_path / "a.ome.zarr", strict=True).findings == ()
    document = xml_of(tmp_path / "a.ome.zarr")
    assert [one.name for one in document.images] == inside(listing)["series"]


def test_ome_xml_says_what_the_images_do(tmp_path: Path) -> None:
    write_collection({"cells": cells()}, tmp_path / "a.ome.zarr")
    (found,) = xml_of(tmp_path / "a.ome.zarr").images
    pixels, da = found.pixels, cells()
    assert pixels.metadata_only is not None
    assert pixels.dimension_order.value == "XYZCT"
    assert pixels.type.value == "uint16"
    assert [getattr(pixels, f"size_{dim}") for dim in "tczyx"] == list(da.shape)
    assert (pixels.physical_size_x, pixels.physical_size_x_unit.value) == (0.325, "nm")
    assert (pixels.physical_size_y, pixels.physical_size_y_unit.value) == (0.325, "µm")
    assert (pixels.physical_size_z, pixels.physical_size_z_unit.value) == (2.0, "µm")
    assert (pixels.time_increment, pixels.time_increment_unit.value) == (0.5, "min")
    assert [(channel.name, channel.color.as_hex(format="long")) for channel in pixels.channels] == [
        ("DAPI", "#0000ff"),
        ("GFP & <co>", "#12fe0a"),
    ]
    assert len({channel.id for channel in pixels.channels}) == 2


def test_ome_xml_of_images_without_units_sizes_or_channels(tmp_path: Path) -> None:
    bare = image("y", "x")
    unitless = bare.omezarr.assign_grid(scale={"y": 0.5, "x": 2.0})
    odd = image("tile", "row", "col").omezarr.assign_grid(scale={"row": 2.0}, units={"row": "um", "col": "um"})
    write_collection({"bare": bare, "unitless": unitless}, tmp_path / "a.ome.zarr")
    first, second = xml_of(tmp_path / "a.ome.zarr").images
    assert (first.pixels.physical_size_x, first.pixels.physical_size_y) == (None, None)
    # without a unit, OME-XML would take micrometres for said
    assert (second.pixels.physical_size_x, second.pixels.physical_size_x_unit.value) == (2.0, "reference frame")
    write_collection({"odd": odd}, tmp_path / "b.ome.zarr", axes={"tile": "tile"})
    (third,) = xml_of(tmp_path / "b.ome.zarr").images
    assert [getattr(third.pixels, f"size_{dim}") for dim in "tczyx"] == [1, 6, 1, 7, 8]
    assert third.pixels.physical_size_y == 2.0
    assert len(third.pixels.channels) == 6


@pytest.mark.parametrize("dtype", sorted(omexml.PIXEL_TYPES))
def test_each_dtype_that_ome_xml_has_is_one_of_its_schema(tmp_path: Path, dtype: str) -> None:
    write_collection({"a": image("y", "x").astype(dtype)}, tmp_path / "a.ome.zarr")
    (found,) = xml_of(tmp_path / "a.ome.zarr").images
    sizes = {"bit": 1, "float": 4, "double": 8, "complex": 8, "double-complex": 16}
    kind = found.pixels.type.value
    assert sizes.get(kind) or int(kind.lstrip("uint")) // 8 == np.dtype(dtype).itemsize


@pytest.mark.parametrize("dtype", ["int64", "uint64", "float16"])
def test_a_dtype_that_ome_xml_lacks_is_told_and_nothing_else_is_lost(tmp_path: Path, dtype: str) -> None:
    images = {"a": image("y", "x"), "b": image("y", "x").astype(dtype), "c": image("y", "x").astype(dtype)}
    with pytest.warns(CollectionWarning, match=rf"type {dtype} \(image 'b' and 1 more\); .*astype\("):
        write_collection(images, tmp_path / "a.ome.zarr")
    assert not (tmp_path / "a.ome.zarr/OME/METADATA.ome.xml").exists()
    tree = open_collection(tmp_path / "a.ome.zarr")
    assert tree["b"].omezarr.level(0).dtype == dtype
    np.testing.assert_array_equal(tree["c"].omezarr.level(0), images["c"])


def test_every_unit_of_ome_zarr_is_one_of_ome_xml_and_comes_back() -> None:
    for names, table in ((SPACE_UNITS, ome_types.model.UnitsLength), (TIME_UNITS, ome_types.model.UnitsTime)):
        known = {unit.value for unit in table}
        for name in names:
            assert SYMBOLS[name] in known
            assert ome_unit(SYMBOLS[name]) == name


@given(
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.floats(1e-6, 1e6),
    st.sampled_from([*SPACE_UNITS, None]),
    st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), min_size=1, max_size=3),
)
def test_what_ome_xml_is_written_of_is_read_from_it(
    name: str, scale: float, unit: str | None, labels: list[str]
) -> None:
    axes = (Axis("c", "channel"), Axis("y", "space", "micrometer"), Axis("x", "space", unit))
    level = xomezarr.Level("0", {"c": 1.0, "y": 0.5, "x": scale}, {"c": 0.0, "y": 0.0, "x": 0.0})
    channels = tuple(Channel(label, f"{index * 70:02X}00FF") for index, label in enumerate(labels))
    described = xomezarr.Image((xomezarr.Multiscale("a", axes, (level,)),), channels)
    sizes = {"c": len(labels), "y": 4, "x": 5}
    text = omexml.dump([omexml.Series(name, described, sizes, np.dtype("u1"))])
    (found,) = omexml.parse(text)
    assert found.sizes == {"t": 1, "c": len(labels), "z": 1, "y": 4, "x": 5}
    assert found.said.scale["y"] == 0.5
    if unit is not None:
        assert found.said.scale["x"] == scale
        assert ome_unit(found.said.units["x"]) == unit
    elif scale == 1:
        assert "x" not in found.said.scale
    else:
        assert "x" not in found.said.units
    assert [channel.color for channel in found.said.channels] == [channel.color for channel in channels]
    # an attribute's line ends and tabs become spaces; what XML cannot hold becomes a question mark
    for before, after in zip(labels, found.said.channels, strict=True):
        if before.isprintable():
            assert after.label == before
    # ome-types, whose reading costs a hundred times as much, says the same
    (judged,) = ome_types.from_xml(text).images
    assert [one.name for one in judged.pixels.channels] == [channel.label for channel in found.said.channels]
    assert judged.pixels.physical_size_x == found.said.scale.get("x")


def test_ome_xml_of_another_writer_is_read_as_ome_types_reads_it(tmp_path: Path) -> None:
    metadata = {
        "axes": "TCZYX",
        "PhysicalSizeX": 65.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.065,
        "TimeIncrement": 250.0,
        "TimeIncrementUnit": "ms",
        "Channel": {"Name": ["a", "b"], "Color": [-16776961, 65535]},
    }
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.zeros((2, 2, 3, 4, 5), "u1"), ome=True, photometric="minisblack", metadata=metadata)
    text = tifffile.TiffFile(path).ome_metadata
    assert text is not None
    (found,), (judged,) = omexml.parse(text), ome_types.from_xml(text).images
    pixels = judged.pixels
    assert found.sizes == {dim: getattr(pixels, f"size_{dim}") for dim in "tczyx"}
    assert found.said.scale == {"x": pixels.physical_size_x, "y": pixels.physical_size_y, "t": pixels.time_increment}
    units = {"x": pixels.physical_size_x_unit, "y": pixels.physical_size_y_unit, "t": pixels.time_increment_unit}
    assert found.said.units == {dim: unit.value for dim, unit in units.items()}
    assert [(one.label, f"#{one.color}".lower()) for one in found.said.channels] == [
        (one.name, one.color.as_hex(format="long")) for one in pixels.channels
    ]


# --- what cannot be written ------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a/b",
        ".hidden",
        " a",
        "a ",
        "a.",
        "..",
        "__a",
        "OME",
        "ome",
        "labels",
        "zarr.json",
        "µ",
        "a\n",
        5,
    ],
)
def test_c7_a_name_that_no_group_can_have_is_named(tmp_path: Path, name: Any) -> None:
    with pytest.raises(CollectionError) as caught:
        write_collection({name: cells()}, tmp_path / "a.ome.zarr")
    assert repr(name) in str(caught.value)
    proposed = str(caught.value).rpartition("such as ")[2]
    assert not list(tmp_path.iterdir())
    write_collection({eval(proposed): image("y", "x")}, tmp_path / "a.ome.zarr")


def test_c7_names_that_differ_by_case_alone(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="'Left' and 'left' differ by upper and lower case"):
        write_collection({"Left": cells(), "left": cells()}, tmp_path / "a.ome.zarr")


ODD = st.text("aA0_. -ä/\n", max_size=8) | st.sampled_from(["OME", "labels", "zarr.json", "-20", "- a"])


@given(st.lists(ODD | st.text(max_size=4) | ODD.map(lambda name: name * 60), min_size=1, max_size=4, unique=True))
def test_a_name_that_is_suggested_can_be_given(names: list[str]) -> None:
    with pytest.raises(OmeZarrError) as caught:
        write_collection(dict.fromkeys([*names, "."]), "nowhere.zarr")  # type: ignore[arg-type]
    faults = caught.value.exceptions if isinstance(caught.value, MultipleErrors) else [caught.value]
    suggested = [ast.literal_eval(found[1]) for one in faults if (found := re.search("such as ('.*')$", str(one)))]
    assert suggested
    for name in suggested:
        assert name not in names
        with pytest.raises(OmeZarrError) as again:
            write_collection({**dict.fromkeys(names), name: None}, "nowhere.zarr")  # type: ignore[dict-item]
        assert f"named {name!r}" not in str(again.value)
        assert f"and {name!r} differ" not in str(again.value)


def test_a_name_that_is_too_long_is_told_so() -> None:
    told = r"named 'a{40}…', which has 201 characters: .* more than 200; .* 'a{40}'$"
    with pytest.raises(CollectionError, match=told):
        write_collection({"a" * 201: image("y", "x")}, "nowhere.zarr")


@pytest.mark.parametrize(
    ("images", "part"),
    [
        ([cells()], "images is a list; give images by name"),
        ({}, "there are no images; give images by name"),
        ({"a": np.zeros((4, 4))}, "image 'a': it is a ndarray; give a DataArray"),
        ({"a": xr.Dataset({"p": image("y", "x"), "q": image("y", "x")})}, "image 'a': it cannot be told which is"),
    ],
)
def test_c7_what_is_no_image(tmp_path: Path, images: Any, part: str) -> None:
    with pytest.raises(OmeZarrError, match=part):
        write_collection(images, tmp_path / "a.ome.zarr")
    assert not list(tmp_path.iterdir())


def test_c7_all_faults_are_told_together_by_image_before_anything_is_written(tmp_path: Path) -> None:
    images = {
        "good": cells(),
        "a/b": cells(),
        "four": image("w", "z", "y", "x"),
        "backwards": image("y", "x", coords={"x": np.arange(7.0)[::-1]}),
    }
    with pytest.raises(MultipleErrors) as caught:
        write_collection(images, tmp_path / "a.ome.zarr", name="all", max_memory="much")
    told = [str(fault) for fault in caught.value.exceptions]
    for part in ("'a/b'", "image 'four': dimension 'w'", "image 'backwards': ", "name= is said of one", "max_memory"):
        assert sum(part in message for message in told) == 1, (part, told)
    assert len(told) == 5
    assert not list(tmp_path.iterdir())


def test_c7_of_many_images_the_first_faults_are_told_and_the_others_counted(tmp_path: Path) -> None:
    names = [f"-{number}" for number in range(20)]
    backwards = image("y", "x", coords={"x": np.arange(7.0)[::-1]})
    tree = xr.DataTree(xr.Dataset(attrs={"bioformats2raw.layout": 3}))
    for name in names:
        tree[name] = cells().omezarr.pyramid(levels=1)
    tree["-0/labels/nuclei/0"] = xr.Dataset({"nuclei": backwards})
    for write in (
        lambda: write_collection(dict.fromkeys(names, backwards), tmp_path / "a.zarr"),
        lambda: write_collection(dict.fromkeys(names), tmp_path / "a.zarr"),
        lambda: tree.omezarr.to_zarr(tmp_path / "a.zarr"),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CollectionWarning)
            with pytest.raises(OmeZarrError) as caught:
                write()
        message = str(caught.value)
        assert message.count("cannot be named") == 5
        assert "15 more faults such as these, of other images; mend them alike" in message
        assert len(message) < 5000


def test_c7_what_is_wrong_with_the_whole_is_told_once(tmp_path: Path) -> None:
    with pytest.raises(OmeZarrError) as caught:
        write_collection(views(), tmp_path / "a.ome.zarr", version="0.9")
    assert str(caught.value).count("0.9") == 1


def test_c7_without_ome_types_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_collection(views(), tmp_path / "before.ome.zarr")
    monkeypatch.setitem(sys.modules, "ome_types", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "xomezarr\[io\]"'):
        write_collection(views(), tmp_path / "a.ome.zarr")
    assert [path.name for path in tmp_path.iterdir()] == ["before.ome.zarr"]
    assert list(open_collection(tmp_path / "before.ome.zarr")) == list(views())


class Broken:
    """An array whose pixels cannot be read."""

    shape, dtype, ndim = (64, 64), np.dtype("u1"), 2

    def __getitem__(self, key: Any) -> Any:
        raise OSError("the disk is gone")


def broken() -> xr.DataArray:
    pixels = dask.array.from_array(Broken(), chunks=32, asarray=False, meta=np.zeros((0, 0), "u1"))
    return xr.DataArray(pixels, dims=("y", "x"))


def test_c8_a_collection_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    images = {"good": cells(), "bad": broken()}
    with pytest.raises(OSError, match="the disk is gone"):
        write_collection(images, tmp_path / "a.ome.zarr")
    assert not list(tmp_path.iterdir())
    write_collection({"old": cells()}, tmp_path / "a.ome.zarr")
    with pytest.raises(OSError, match="the disk is gone"):
        write_collection(images, tmp_path / "a.ome.zarr", mode="w")
    assert [path.name for path in tmp_path.iterdir()] == ["a.ome.zarr"]
    assert list(open_collection(tmp_path / "a.ome.zarr")) == ["old"]


def test_c8_elsewhere_an_unfinished_collection_says_so() -> None:
    store = MemoryStore()
    with pytest.raises(OSError, match="the disk is gone"):
        write_collection({"good": cells(), "bad": broken()}, store)
    for opening in (open_collection, lambda found: xr.open_datatree(found, engine="omezarr")):
        with pytest.raises(IncompleteStoreError):
            opening(store)
    write_collection({"good": cells()}, store, mode="w")
    assert list(open_collection(store)) == ["good"]


def test_an_existing_store_is_replaced_only_if_asked_even_by_what_is_read_from_it(tmp_path: Path) -> None:
    store = tmp_path / "a.ome.zarr"
    write_collection({"a": cells(), "b": cells()}, store)
    with pytest.raises(StoreExistsError, match='mode="w"'):
        write_collection({"a": cells()}, store)
    lazy = open_collection(store)["b"].omezarr.level(0)
    write_collection({"c": lazy}, store, mode="w")
    tree = open_collection(store)
    assert list(tree) == ["c"]
    xr.testing.assert_identical(tree["c"].omezarr.level(0), cells())


def test_c8_elsewhere_a_collection_is_not_replaced_by_what_is_read_from_it() -> None:
    store = MemoryStore()
    write_collection({"a": cells()}, store)
    lazy = open_collection(store)["a"].omezarr.level(0)
    with pytest.raises(StoreExistsError, match="read them first"):
        write_collection({"b": lazy}, store, mode="w")
    assert list(open_collection(store)) == ["a"]


# --- collections of bioformats2raw -----------------------------------------------

XML = """<?xml version="1.0" encoding="UTF-8"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
  <Image ID="Image:0" Name="first"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="32" SizeY="16"
    SizeZ="1" SizeC="2" SizeT="1" PhysicalSizeX="0.25" PhysicalSizeY="500" PhysicalSizeYUnit="nm">
    <Channel ID="Channel:0:0" Name="DAPI" Color="65535" SamplesPerPixel="1"/>
    <Channel ID="Channel:0:1" Name="GFP" Color="16711935" SamplesPerPixel="1"/><MetadataOnly/></Pixels></Image>
  <Image ID="Image:1" Name="second"><Pixels ID="Pixels:1" DimensionOrder="XYZCT" Type="uint8" SizeX="20" SizeY="12"
    SizeZ="1" SizeC="1" SizeT="1" PhysicalSizeX="1.5" PhysicalSizeY="1.5">
    <Channel ID="Channel:1:0" Name="phase" SamplesPerPixel="1"/><MetadataOnly/></Pixels></Image>
</OME>
"""


def bioformats2raw(
    store: Path,
    images: Mapping[str, tuple[int, ...]],
    *,
    xml: str | None = XML,
    series: Any = None,
    unit: str | None = None,
    omero: Any = None,
    root: Mapping[str, Any] | None = None,
) -> Path:
    """Lay out images of dimensions tczyx and two levels, without pixel sizes and channels, as its version 0.4 does."""
    group = zarr.create_group(store, zarr_format=2, attributes={"bioformats2raw.layout": 3, **(root or {})})
    for path, shape in images.items():
        member = group.create_group(path)
        datasets = []
        for level, factor in enumerate((1, 2)):
            sizes = (*shape[:3], shape[3] // factor, shape[4] // factor)
            pixels = np.random.default_rng(level).integers(0, 255, sizes, dtype="u1")
            member.create_array(str(level), data=pixels, chunk_key_encoding={"name": "v2", "separator": "/"})
            scale = {"type": "scale", "scale": [1.0, 1.0, 1.0, float(factor), float(factor)]}
            datasets.append({"path": str(level), "coordinateTransformations": [scale]})
        axes: list[dict[str, Any]] = [
            {"name": "t", "type": "time"},
            {"name": "c", "type": "channel"},
            *({"name": dim, "type": "space"} for dim in "zyx"),
        ]
        if unit:
            axes[-1]["unit"] = unit
        attrs = {"multiscales": [{"version": "0.4", "axes": axes, "datasets": datasets}]}
        member.update_attributes(attrs | ({"omero": omero} if omero else {}))
    if series is not None or xml is not None:
        group.create_group("OME", attributes={} if series is None else {"series": series})
    if xml is not None:
        (store / "OME/METADATA.ome.xml").write_text(xml, encoding="utf-8")
    return store


SHAPES = {"0": (1, 2, 1, 16, 32), "1": (1, 1, 1, 12, 20)}


@pytest.mark.parametrize("series", [None, ["0", "1"]])
def test_pixel_sizes_and_channels_come_from_ome_xml_where_the_zarr_has_none(tmp_path: Path, series: Any) -> None:
    store = bioformats2raw(tmp_path / "a.zarr", SHAPES, series=series)
    tree = open_collection(store)
    assert list(tree) == ["0", "1"]
    fine, coarse = tree["0"].omezarr.levels
    np.testing.assert_array_equal(fine.x, 0.25 * np.arange(32))
    np.testing.assert_array_equal(fine.y, 500.0 * np.arange(16))
    np.testing.assert_array_equal(coarse.x, 0.5 * np.arange(16))
    np.testing.assert_array_equal(coarse.y, 1000.0 * np.arange(8))
    assert (fine.x.units, fine.y.units, coarse.y.units) == ("micrometer", "nanometer", "nanometer")
    assert (fine.omezarr.scale["z"], fine.omezarr.units["z"]) == (1.0, None)
    assert list(fine.c.values) == ["DAPI", "GFP"]
    assert list(fine.channel_color.values) == ["0000FF", "00FF00"]
    assert list(tree["1"].omezarr.level(0).c.values) == ["phase"]
    assert tree["1"].omezarr.level(0).omezarr.scale["x"] == 1.5
    # the metadata of the tree say the same as its coordinates
    assert {axis.name: axis.unit for axis in tree["0"].omezarr.axes}["x"] == "micrometer"
    assert [level.scale["x"] for level in tree["0"].omezarr.metadata.multiscale.levels] == [0.25, 0.5]
    assert [channel.label for channel in tree["0"].omezarr.channels] == ["DAPI", "GFP"]


def test_an_image_that_is_opened_by_itself_is_the_one_of_the_collection(tmp_path: Path) -> None:
    store = bioformats2raw(tmp_path / "a.zarr", SHAPES)
    tree = open_collection(store)
    for path in SHAPES:
        alone = xr.open_datatree(store, engine="omezarr", group=path)
        alone.name = path
        xr.testing.assert_identical(alone, tree[path].copy())
        level = xr.open_dataarray(store, engine="omezarr", group=path)
        xr.testing.assert_identical(level, tree[path].omezarr.level(0))
        assert xr.open_dataset(store, engine="omezarr", group=path, level=1).x.attrs["scale"] in (0.5, 3.0)


# --- labels of images that are completed -----------------------------------------


def with_labels(image: zarr.Group, name: str, sizes: Mapping[str, int], **said: Any) -> None:
    """Add labels of one level to an image as other tools do: `said` are scale, units and image-label."""
    scale = dict.fromkeys(sizes, 1.0) | said.get("scale", {})
    units = said.get("units", {})
    types = {"t": "time", "c": "channel"}
    axes = [{"name": dim, "type": types.get(dim, "space")} for dim in sizes]
    axes = [axis | ({"unit": units[axis["name"]]} if axis["name"] in units else {}) for axis in axes]
    transformation = {"type": "scale", "scale": [scale[dim] for dim in sizes]}
    multiscale = {"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}
    multiscale["datasets"] = [{"path": "0", "coordinateTransformations": [transformation]}]
    group = image.require_group("labels")
    group.update_attributes({"labels": [*group.attrs.asdict().get("labels", []), name]})
    member = group.create_group(name)
    member.create_array("0", data=np.ones(tuple(sizes.values()), "u2"))
    member.update_attributes({"multiscales": [multiscale], "image-label": {"version": "0.4"}})


def ways(root: Any, path: str, tmp_path: Path) -> dict[str, xr.DataTree]:
    """Return an image of a collection as each way to open it gives it."""
    folder = tmp_path / "a.zarr"
    return {
        "collection": open_collection(root)[path],
        "group": xr.open_datatree(root, engine="omezarr", group=path),
        "path": xr.open_datatree(folder / path, engine="omezarr"),
        "text": xr.open_datatree(f"{folder}/{path}/", engine="omezarr"),
        "url": xr.open_datatree(f"file://{folder}/{path}", engine="omezarr"),
        "store": xr.open_datatree(LocalStore(folder / path), engine="omezarr"),  # type: ignore[arg-type]
        "in a store": xr.open_datatree(StorePath(LocalStore(folder, read_only=True), path), engine="omezarr"),  # type: ignore[arg-type]
    }


@pytest.mark.parametrize("path", ["0", "A/right"])
def test_however_an_image_is_opened_it_is_completed_and_so_are_its_labels(tmp_path: Path, path: str) -> None:
    store = bioformats2raw(tmp_path / "a.zarr", {path: SHAPES["0"], "1": SHAPES["1"]}, series=[path, "1"])
    with_labels(zarr.open_group(store)[path], "nuclei", {"y": 16, "x": 32})  # type: ignore[arg-type]
    for tree in ways(store, path, tmp_path).values():
        fine, labels = tree.omezarr.level(0), tree["labels/nuclei"].omezarr.level(0)
        np.testing.assert_array_equal(fine.x, 0.25 * np.arange(32))
        assert fine.y.units == "nanometer"
        for dim in ("y", "x"):
            xr.testing.assert_identical(labels[dim].variable, fine[dim].variable)
        merged = xr.merge([fine.rename("image"), labels], join="inner")
        assert (merged.sizes["y"], merged.sizes["x"]) == (16, 32)
        assert list(fine.c.values) == ["DAPI", "GFP"]
    for labels in ways(store, f"{path}/labels/nuclei", tmp_path).values():
        xr.testing.assert_identical(labels.omezarr.level(0), tree["labels/nuclei"].omezarr.level(0))
    level = xr.open_dataarray(store / path / "labels/nuclei", engine="omezarr")
    xr.testing.assert_identical(level, tree["labels/nuclei"].omezarr.level(0))
    xr.testing.assert_identical(xr.open_dataarray(store / path, engine="omezarr"), tree.omezarr.level(0))


def test_a_completed_image_on_a_server_is_the_same_by_its_own_url(tmp_path: Path) -> None:
    store = bioformats2raw(tmp_path / "a.zarr", SHAPES)
    url = f"local://{store}"  # zarr has fsspec open what begins so
    expected = open_collection(store)["0"].omezarr.level(0)
    options = {"auto_mkdir": False}
    for tree in (
        xr.open_datatree(f"{url}/0", engine="omezarr", storage_options=options),
        xr.open_datatree(url, engine="omezarr", group="0", storage_options=options),
    ):
        xr.testing.assert_identical(tree.omezarr.level(0), expected)


def test_labels_are_completed_where_they_count_the_pixels_of_their_image(tmp_path: Path) -> None:
    store = bioformats2raw(tmp_path / "a.zarr", {"0": SHAPES["0"]}, xml=XML.replace("SizeC", "TimeIncrement='3' SizeC"))
    image: Any = zarr.open_group(store)["0"]
    with_labels(image, "coarse", {"y": 8, "x": 16}, scale={"y": 2.0, "x": 2.0})
    with_labels(image, "single", {"t": 1, "z": 1, "y": 16, "x": 32})
    with_labels(image, "own unit", {"y": 16, "x": 32}, units={"y": "meter", "x": "meter"})
    with_labels(image, "own scale", {"y": 16, "x": 32}, scale={"y": 3.0, "x": 3.0})
    with_labels(image, "others", {"q": 16, "x": 32})
    for opened in (open_collection(store)["0"], None):
        found = {}
        for name in ("coarse", "single", "own unit", "own scale", "others"):
            tree = xr.open_datatree(store / "0/labels" / name) if opened is None else opened[f"labels/{name}"]
            found[name] = tree.omezarr.level(0)
        np.testing.assert_array_equal(found["coarse"].x, 0.5 * np.arange(16))
        assert found["coarse"].x.units == "micrometer"
        np.testing.assert_array_equal(found["single"].y, 500.0 * np.arange(16))
        assert found["single"].omezarr.units == {"t": "second", "z": None, "y": "nanometer", "x": "micrometer"}
        assert found["single"].omezarr.scale["t"] == 3.0
        np.testing.assert_array_equal(found["own unit"].x, np.arange(32))
        assert found["own unit"].x.units == "meter"
        np.testing.assert_array_equal(found["own scale"].x, 3.0 * np.arange(32))
        assert "units" not in found["own scale"].x.attrs
        np.testing.assert_array_equal(found["others"].q, np.arange(16))
        assert found["others"].x.units == "micrometer"


def test_labels_that_are_added_to_an_image_of_a_collection_lie_on_its_pixels(tmp_path: Path) -> None:
    store = bioformats2raw(tmp_path / "a.zarr", SHAPES)
    fine = open_collection(store)["0"].omezarr.level(0)
    (fine.isel(c=0, drop=True) > 9).omezarr.to_labels(store / "0", "bright")
    tree = open_collection(store)["0"]
    for level, labels in zip(tree.omezarr.levels, tree["labels/bright"].omezarr.levels, strict=True):
        for dim in "tzyx":
            xr.testing.assert_identical(labels[dim].variable, level[dim].variable)
    tree.omezarr.to_zarr(tmp_path / "b.ome.zarr")
    again = xr.open_datatree(tmp_path / "b.ome.zarr", engine="omezarr")
    for level, labels in zip(again.omezarr.levels, again["labels/bright"].omezarr.levels, strict=True):
        np.testing.assert_array_equal(labels.x, level.x)
        assert labels.x.units == level.x.units == "micrometer"


@pytest.mark.parametrize("changed", ["nothing", "OME-XML", "level"])
def test_labels_are_refused_where_the_image_has_changed_since_they_were_planned(tmp_path: Path, changed: str) -> None:
    store = bioformats2raw(tmp_path / "a.zarr", SHAPES)
    labels = open_collection(store)["0"].omezarr.level(0).isel(c=0, drop=True) > 9
    planned: Any = labels.omezarr.to_labels(store / "0", "bright", compute=False)
    said = store / ("OME/METADATA.ome.xml" if changed == "OME-XML" else "0/.zattrs")
    text = said.read_text()
    if changed == "OME-XML":
        said.write_text(re.sub(r'PhysicalSizeX="[^"]*"', 'PhysicalSizeX="7.0"', text))
    elif changed == "level":
        document = json.loads(text)
        del document["multiscales"][0]["datasets"][-1]
        said.write_text(json.dumps(document))
    if changed == "nothing":
        assert planned.compute().omezarr.level(0).dtype == bool
        return
    assert said.read_text() != text
    with pytest.raises(LabelError, match="has changed since its labels 'bright' were planned; plan them anew"):
        planned.compute()
    assert "labels" not in zarr.open_group(store)["0"]


def test_what_lies_above_a_store_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xomezarr import completion

    store = bioformats2raw(tmp_path / "in/a.zarr", SHAPES)
    foreign = bioformats2raw(tmp_path / "in/b.zarr", {"0": SHAPES["0"]}, xml=None, root={"bioformats2raw.layout": 3})
    # the folder that both lie in says that it is a collection of them
    zarr.create_group(tmp_path / "in", zarr_format=2, attributes={"bioformats2raw.layout": 3})
    zarr.create_group(tmp_path / "in/OME", zarr_format=2, attributes={"series": ["a.zarr/0", "b.zarr/0"]})
    (tmp_path / "in/OME/METADATA.ome.xml").write_text(XML)
    assert xr.open_datatree(foreign / "0").omezarr.level(0).omezarr.scale["x"] == 1.0
    asked: list[str] = []
    opening = completion.open_group

    def counted(place: Any, **options: Any) -> Any:
        asked.append(str(place))
        return opening(place, **options)

    monkeypatch.setattr(completion, "open_group", counted)
    assert xr.open_datatree(store / "0").omezarr.level(0).omezarr.scale["x"] == 0.25
    assert asked == [str(store)]
    with pytest.warns(OtherImagesWarning, match="which does not list it"):
        cells().omezarr.to_zarr(tmp_path / "in/ours.zarr/0")
    xr.open_datatree(tmp_path / "in/ours.zarr/0")
    assert asked == [str(store)]  # what is ours lacks nothing


class Counting(MemoryStore):
    """Tells what is asked of any."""

    asked: ClassVar[list[str]] = []

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        self.asked.append(key)
        return await super().get(key, *args, **kwargs)


@pytest.mark.parametrize(
    ("path", "above", "asked"),
    [
        ("a/b/c/image", {}, ["a/b/c", "a/b", "a", ""]),
        ("a/b.zarr/c/image", {}, ["a/b.zarr/c", "a/b.zarr"]),
        ("a/b/image.ome.zarr", {}, []),
        ("B/2/0", {"B/2": {"well": {"images": [{"path": "0"}]}}}, ["B/2"]),
        ("a/b/0", {"a/b": {"bioformats2raw.layout": 3}}, ["a/b"]),
        ("a/b/0", {"a/b": {"multiscales": [{"axes": [], "datasets": []}]}}, ["a/b"]),
    ],
)
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_each_group_above_an_image_that_lacks_units_is_asked_for_once(
    path: str, above: dict[str, Any], asked: list[str], version: str
) -> None:
    store = Counting()
    multiscale: dict[str, Any] = {
        "version": version,
        "axes": [{"name": dim, "type": "space"} for dim in "yx"],
        "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0]}]}],
    }
    zarr_format = spec.zarr_format(version)
    for place, said in {**above, path: {"multiscales": [multiscale]}}.items():
        attrs = {"ome": {"version": version, **said}} if version != "0.4" else said
        zarr.create_group(StorePath(store, place), zarr_format=zarr_format, attributes=attrs)  # type: ignore[arg-type]
    zarr.open_group(StorePath(store, path)).create_array("0", data=np.zeros((4, 4), "u1"))  # type: ignore[arg-type]
    documents = [".zgroup", ".zattrs"] if version == "0.4" else ["zarr.json"]
    store.asked.clear()
    xr.open_datatree(StorePath(store, path), engine="omezarr")  # type: ignore[arg-type]
    outside = [key for key in store.asked if not key.startswith((f"{path}/", "a/b/OME/", "a/b/1/"))]
    assert sorted(outside) == sorted(f"{place}/{name}".lstrip("/") for place in asked for name in documents)


def test_what_was_completed_is_written_with_the_tree(tmp_path: Path) -> None:
    tree = open_collection(bioformats2raw(tmp_path / "a.zarr", SHAPES))["0"]
    tree.omezarr.to_zarr(tmp_path / "b.ome.zarr")
    again = xr.open_datatree(tmp_path / "b.ome.zarr", engine="omezarr")
    assert xomezarr.validate(tmp_path / "b.ome.zarr").valid
    for before, after in zip(tree.omezarr.levels, again.omezarr.levels, strict=True):
        np.testing.assert_array_equal(before.x, after.x)
        assert list(after.c.values) == ["DAPI", "GFP"]
        np.testing.assert_array_equal(before, after)


def test_what_the_zarr_says_counts(tmp_path: Path) -> None:
    window = {"min": 0, "max": 255, "start": 0, "end": 255}
    omero = {"channels": [{"label": name, "color": "FF0000", "window": window} for name in "ab"]}
    store = bioformats2raw(tmp_path / "a.zarr", {"0": SHAPES["0"]}, unit="meter", omero=omero)
    fine = open_collection(store)["0"].omezarr.level(0)
    assert (fine.omezarr.scale["x"], fine.x.units) == (1.0, "meter")
    assert (fine.omezarr.scale["y"], fine.y.units) == (500.0, "nanometer")
    assert list(fine.c.values) == ["a", "b"]


def test_positions_at_all_levels_are_multiplied_by_the_size_of_a_pixel() -> None:
    axes = (Axis("y", "space"), Axis("x", "space"))
    fine = xomezarr.Level("0", {"y": 1.0, "x": 1.0}, {"y": 3.0, "x": 10.0})
    coarse = xomezarr.Level("1", {"y": 2.0, "x": 2.0}, {"y": 3.5, "x": 10.5})
    counted = xomezarr.Image((xomezarr.Multiscale("a", axes, (fine, coarse)),))
    known = omexml.XmlImage(omexml.Calibration({"x": 0.25, "y": float("nan")}, {"x": "µm"}), {})
    completed = omexml.complete(counted, {"y": 8, "x": 8}, known).multiscale
    assert [(level.scale["x"], level.translation["x"]) for level in completed.levels] == [(0.25, 2.5), (0.5, 2.625)]
    assert [(level.scale["y"], level.translation["y"]) for level in completed.levels] == [(1.0, 3.0), (2.0, 3.5)]
    assert [axis.unit for axis in completed.axes] == [None, "micrometer"]


def test_the_order_of_the_list_tells_which_image_is_which(tmp_path: Path) -> None:
    store = bioformats2raw(
        tmp_path / "a.zarr", {"left": SHAPES["1"], "A/right": SHAPES["0"]}, series=["A/right", "left"]
    )
    tree = open_collection(store)
    assert list(tree) == ["A", "left"]
    assert list(tree["A/right"].omezarr.level(0).c.values) == ["DAPI", "GFP"]
    assert list(tree["left"].omezarr.level(0).c.values) == ["phase"]


def test_ome_xml_that_is_not_needed_is_not_looked_into(tmp_path: Path) -> None:
    write_collection({"a": cells(), "b": image("y", "x")}, tmp_path / "a.ome.zarr")
    (tmp_path / "a.ome.zarr/OME/METADATA.ome.xml").write_text("<broken")
    tree = open_collection(tmp_path / "a.ome.zarr")
    # what we write says all that there is to say: an image without coordinates has none
    xr.testing.assert_identical(tree["b"].omezarr.level(0), image("y", "x"))


@pytest.mark.parametrize(
    ("xml", "part"),
    [
        ("<OME", "cannot be read, and images are opened without"),
        ("", "cannot be read, and images are opened without"),
        ('<?xml version="1.0" encoding="nonsense"?><OME/>', "cannot be read, and images are opened without"),
        (XML.replace('SizeX="32"', 'SizeX="33"'), "image 0 of the OME-XML .* has 33 along x, not 32: it is not '0'"),
        (XML[: XML.index('  <Image ID="Image:1"')] + "</OME>", "describes 1 image, and there are 2: none"),
        ("<html></html>", "cannot be read, .* its root is 'html', not OME"),
        (f"{XML[: XML.index('  <Image')]}</OME>", "describes no images, and there are 2: none"),
    ],
)
def test_ome_xml_that_is_broken_or_of_other_images_is_told_and_passed_over(tmp_path: Path, xml: str, part: str) -> None:
    store = bioformats2raw(tmp_path / "a.zarr", SHAPES, xml=xml)
    with pytest.warns(CollectionWarning, match=part):
        tree = open_collection(store)
    assert list(tree) == ["0", "1"]
    assert tree["0"].omezarr.level(0).omezarr.scale["x"] == 1.0
    assert "units" not in tree["0"].omezarr.level(0).x.attrs


def test_without_ome_xml_images_are_opened_as_they_are(tmp_path: Path) -> None:
    tree = open_collection(bioformats2raw(tmp_path / "a.zarr", SHAPES, xml=None))
    assert list(tree) == ["0", "1"]
    assert tree["0"].omezarr.level(0).omezarr.scale["x"] == 1.0


# --- what cannot be opened -------------------------------------------------------


def test_images_that_cannot_be_opened_are_told_and_left_out(tmp_path: Path) -> None:
    store = bioformats2raw(tmp_path / "a.zarr", SHAPES, series=["0", "gone", "1", "1/0", "0"], xml=None)
    zarr.open_group(store)["1"].update_attributes({"multiscales": [{"version": "0.4", "axes": []}]})
    with pytest.warns(CollectionWarning) as told:
        tree = open_collection(store)
    assert list(tree) == ["0"]
    said = [str(warning.message) for warning in told]
    assert len(said) == 4
    assert any("'gone'" in message and "there is no such group" in message for message in said)
    assert any("the image '0'" in message and "place of the image '0'" in message for message in said)


@pytest.mark.parametrize("place", ["0", "OME"])
def test_json_that_is_nested_too_deeply_costs_what_it_is_said_of_alone(tmp_path: Path, place: str) -> None:
    store = bioformats2raw(tmp_path / "a.zarr", SHAPES, series=["0", "1"], xml=None)
    depth = 200_000
    document = store / place / ".zattrs"
    document.write_text(document.read_text().rstrip().removesuffix("}") + ', "x": ' + "[" * depth + "]" * depth + "}")
    with pytest.warns(CollectionWarning, match="'0' of .*cannot be opened" if place == "0" else "list of images"):
        tree = open_collection(store)
    assert list(tree) == (["1"] if place == "0" else ["0", "1"])


def test_c7_a_dataset_of_integers_alone_says_which_variable_is_the_image(tmp_path: Path) -> None:
    ds = xr.Dataset({"cells": cells().rename("cells").astype("u2"), "nuclei": cells().astype("u2")})
    with pytest.raises(OmeZarrError, match=r"image 'a': it cannot be told .*ds.rename\(\{'cells': 'image'\}\)"):
        write_collection({"a": ds}, tmp_path / "a.zarr")
    tree = write_collection({"a": ds.rename({"cells": "image"})}, tmp_path / "a.zarr")
    assert tree["a"].omezarr.metadata.multiscale.name == "a"
    assert list(tree["a"].omezarr.labels) == ["nuclei"]


def test_c7_an_option_that_is_not_known(tmp_path: Path) -> None:
    with pytest.raises(OmeZarrError, match=r"^write_collection has no option metod=; give method="):
        write_collection({"a": cells(), "b": cells()}, tmp_path / "a.zarr", metod="mean")
    assert not list(tmp_path.iterdir())


def test_a_list_that_leaves_the_store_is_not_followed(tmp_path: Path) -> None:
    store = bioformats2raw(tmp_path / "in/a.zarr", SHAPES, series=["../../secret", "0"], xml=None)
    cells().omezarr.to_zarr(tmp_path / "secret")
    with pytest.warns(CollectionWarning, match="cannot be read, and those that are numbered from 0 on are opened"):
        tree = open_collection(store)
    assert list(tree) == ["0", "1"]


class Unlisted(WrapperStore[Any]):
    """A store that cannot list what it holds, and counts how often it is asked."""

    asked = 0

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        Unlisted.asked += 1
        raise NotImplementedError
        yield ""


@pytest.mark.parametrize(
    ("numbers", "opened", "told"),
    [
        ("012", "012", None),
        ("02", "0", r"no group '1', and '2' is left out; .*group='2'\)$"),
        ("0346", "0", r"no group '1', and '3', '4', '6' are left out; .*group='3'\)$"),
    ],
)
def test_numbers_beyond_a_gap_are_told(tmp_path: Path, numbers: str, opened: str, told: str | None) -> None:
    store = bioformats2raw(tmp_path / "a.zarr", dict.fromkeys([*numbers, "x"], SHAPES["1"]), xml=None)
    (store / "notes").mkdir()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert [*open_collection(store)] == [*opened]
    assert len(caught) == (told is not None)
    for warning in caught:
        assert warning.category is CollectionWarning
        assert re.search(told or "", str(warning.message))
        group = re.findall("group='(.)'", str(warning.message))[0]
        assert group not in opened
        assert xr.open_datatree(store, engine="omezarr", group=group).omezarr.level(0).size
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Unlisted.asked = 0
        assert [*open_collection(Unlisted(LocalStore(store)))] == [*opened]
        assert Unlisted.asked == 1
        listing = zarr.create_group(store / "OME", zarr_format=2)
        listing.attrs["series"] = [*numbers]
        assert [*open_collection(Unlisted(LocalStore(store)))] == [*numbers]
        assert Unlisted.asked == 1


def test_where_the_first_number_is_missing_the_others_are_told(tmp_path: Path) -> None:
    store = bioformats2raw(tmp_path / "a.zarr", {"1": SHAPES["1"]}, xml=None)
    with (
        pytest.warns(CollectionWarning, match="there is no group '0', and '1' is left out"),
        pytest.raises(CollectionError, match="holds none"),
    ):
        open_collection(store)


def test_c7_a_collection_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="says that it is a collection of images, and holds none"):
        open_collection(bioformats2raw(tmp_path / "a.zarr", {}, xml=None))
    with pytest.raises(CollectionError, match=r"the image 'a' of .* cannot be opened: there is no such group"):
        open_collection(bioformats2raw(tmp_path / "b.zarr", {}, series=["a"], xml=None))


def test_c7_what_is_no_collection(tmp_path: Path) -> None:
    cells().omezarr.to_zarr(tmp_path / "image.ome.zarr")
    with pytest.raises(NotOmeZarrError, match="is no collection of images; open an image"):
        open_collection(tmp_path / "image.ome.zarr")
    with pytest.raises(FileNotFoundError):
        open_collection(tmp_path / "nothing.ome.zarr")


def test_84_a_plate_takes_precedence(tmp_path: Path) -> None:
    plate = {"version": "0.4", "rows": [{"name": "A"}], "columns": [{"name": "1"}], "wells": []}
    store = bioformats2raw(tmp_path / "a.zarr", SHAPES, root={"plate": plate})
    with pytest.raises(NotOmeZarrError, match=r"is a plate, no collection of images; .* xomezarr.open_plate\(store\)$"):
        open_collection(store)


@pytest.mark.parametrize("version", VERSIONS)
def test_90_one_image_is_not_silently_the_first(tmp_path: Path, version: str) -> None:
    store = tmp_path / "a.ome.zarr"
    write_collection(views(), store, version=version)
    for opening in (xr.open_dataarray, xr.open_dataset):
        with pytest.raises(NotOmeZarrError, match=r"3 images \('view 2', 'view 0', 'view 1'\).*group='view 2'"):
            opening(store, engine="omezarr")
    with pytest.raises(NotOmeZarrError, match=r'is a collection of images, .*a.ome.zarr/view 2"$'):
        xomezarr.convert(store, tmp_path / "b.ome.zarr")
    da = xr.open_dataarray(store, engine="omezarr", group="view 2")
    xr.testing.assert_identical(da, views()["view 2"])


@pytest.mark.parametrize("said", ["junk", "0", "-1", "NaN", "INF", ""])
def test_a_pixel_size_that_is_none_is_told_and_the_others_are_taken(tmp_path: Path, said: str) -> None:
    xml = XML.replace('PhysicalSizeX="0.25"', f'PhysicalSizeX="{said}"').replace(
        'SizeT="1"', 'SizeT="1" TimeIncrement="0"'
    )
    store = bioformats2raw(tmp_path / "a.zarr", SHAPES, xml=xml)
    with pytest.warns(
        CollectionWarning, match=f"image 0 of the OME-XML .* has PhysicalSizeX='{said}', which is no"
    ) as told:
        scale = open_collection(store)["0"].omezarr.level(0).omezarr.scale
    assert (scale["x"], scale["y"], len(told)) == (1, 500, 1)
    found = [str(one) for one in xomezarr.validate(store) if "PhysicalSizeX" in str(one)]
    assert len(found) == 1
    assert (
        f"warning (rule 85) at OME/METADATA.ome.xml: image 0 has PhysicalSizeX='{said}', which is no size" in found[0]
    )
    # an image that says it itself is not told of
    store = bioformats2raw(tmp_path / "b.zarr", SHAPES, xml=xml, unit="micrometer")
    assert open_collection(store)["0"].omezarr.level(0).omezarr.scale["x"] == 1


def test_ome_xml_without_a_namespace_is_read_and_the_report_says_what_it_lacks(tmp_path: Path) -> None:
    for namespace, told in (
        ("", "its root has no namespace"),
        (' xmlns="urn:other"', "is of the namespace 'urn:other'"),
    ):
        xml = re.sub(' xmlns="[^"]*"', namespace, XML)
        store = bioformats2raw(tmp_path / f"{len(namespace)}.zarr", SHAPES, xml=xml)
        assert open_collection(store)["0"].omezarr.level(0).omezarr.scale["x"] == 0.25
        (found,) = (str(one) for one in xomezarr.validate(store).errors)
        assert told in found
        assert "begins with http://www.openmicroscopy.org/Schemas/OME/" in found


def test_a_damaged_document_is_a_fault_of_metadata() -> None:
    with pytest.raises(MetadataError, match="the OME-XML cannot be read"):
        omexml.parse(b"\xff\xfe no xml")


# --- a tree, written ---------------------------------------------------------------


def labelled(da: xr.DataArray) -> xr.Dataset:
    nuclei = (da.isel(t=0, c=0, drop=True) > 50).astype("uint16")
    return xr.Dataset({"image": da, "nuclei": nuclei}, attrs={"of_image": 1})


@settings(max_examples=12)
@given(
    names=st.lists(st.sampled_from(["b", "a", "0", "10", "9", "view 1"]), min_size=1, max_size=4, unique=True),
    gone=st.sets(st.integers(0, 3)),
    version=st.sampled_from(VERSIONS),
)
def test_c6_the_tree_of_a_collection_is_the_collection_of_what_it_holds(
    names: list[str], gone: set[int], version: str
) -> None:
    made = {name: cells().isel(t=slice(1)).assign_attrs(number=number) for number, name in enumerate(names)}
    images: dict[str, Any] = {name: labelled(da) if name < "b" else da for name, da in made.items()}
    store, copy, expected = MemoryStore(), MemoryStore(), MemoryStore()
    options: dict[str, Any] = {"version": version, "levels": 2}
    write_collection(images, store, **options)
    tree = open_collection(store)
    left = [name for number, name in enumerate(names) if number not in gone] or names[:1]
    for name in {*names} - {*left}:
        del tree[name]
    tree.omezarr.to_zarr(copy)
    write_collection({name: images[name] for name in left}, expected, **options)
    assert list(open_collection(copy)) == left
    check_same_trees(open_collection(expected), open_collection(copy))
    check_same_stores(expected, copy)
    documents = [asyncio.run(one.get("OME/METADATA.ome.xml", default_buffer_prototype())) for one in (expected, copy)]
    assert all(documents)
    assert len({document.to_bytes() for document in documents if document is not None}) == 1


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("chunks", [None, {}])
def test_c6_a_collection_is_written_with_what_other_tools_say(tmp_path: Path, version: str, chunks: Any) -> None:
    store, copy, there = (tmp_path / name for name in ("a.zarr", "b.zarr", "c.zarr"))
    write_collection({"x": cells(), "a": labelled(cells()), "m": cells()}, store, version=version, levels=2)
    for path in ("", "OME", "a"):
        group = zarr.open_group(store, path=path, mode="r+")
        said = dict(group.attrs)
        inside = {"ome": {**said["ome"], "inside": path}} if version != "0.4" else {}
        group.attrs.put({**said, **inside, "beside": {"of": path}})
    tree = xr.open_datatree(store, engine="omezarr", chunks=chunks)
    assert list(tree.omezarr.to_zarr(copy)) == ["x", "a", "m"]
    check_same_stores(store, copy)
    check_same_trees(open_collection(store), open_collection(copy))
    assert (copy / "OME/METADATA.ome.xml").read_bytes() == (store / "OME/METADATA.ome.xml").read_bytes()
    assert xomezarr.validate(copy).valid
    for other in set(VERSIONS) - {version}:
        written = tree.omezarr.to_zarr(there, version=other, mode="w")
        assert (written.omezarr.version, written["m"].omezarr.version) == (other, other)
        check_same_trees(open_collection(store), open_collection(there), attrs=False)
        assert group_attributes(there)["OME"]["beside"] == {"of": "OME"}
        assert xomezarr.validate(there).valid


MORE = XML.replace(
    "</OME>",
    '  <StructuredAnnotations><CommentAnnotation ID="Annotation:0"><Value>theirs</Value></CommentAnnotation>'
    "</StructuredAnnotations>\n</OME>",
)


def test_c6_ome_xml_of_other_tools_is_kept_as_long_as_it_is_true(tmp_path: Path) -> None:
    store = bioformats2raw(tmp_path / "a.zarr", SHAPES, xml=MORE, series=["0", "1"])
    tree = open_collection(store)
    tree.omezarr.to_zarr(tmp_path / "b.zarr")
    assert (tmp_path / "b.zarr/OME/METADATA.ome.xml").read_text() == MORE
    check_same_trees(tree, open_collection(tmp_path / "b.zarr"), attrs=False)
    # once more, from a tree that names pixel sizes and channels itself
    again = open_collection(tmp_path / "b.zarr")
    again.omezarr.to_zarr(tmp_path / "c.zarr", version="0.5")
    assert (tmp_path / "c.zarr/OME/METADATA.ome.xml").read_text() == MORE

    def without_one(tree: xr.DataTree) -> None:
        del tree["1"]

    def cropped(tree: xr.DataTree) -> None:
        tree["0"] = tree["0"].omezarr.isel(x=slice(16))

    def moved(tree: xr.DataTree) -> None:
        da = tree["0"].omezarr.level(0)
        tree["0"] = da.omezarr.assign_grid(scale={"x": 3.0}, units="um").omezarr.pyramid(levels=1)

    def dyed(tree: xr.DataTree) -> None:
        da = tree["0"].omezarr.level(0)
        tree["0"] = da.omezarr.assign_channels(["other", "GFP"]).omezarr.pyramid(levels=1)

    def more(tree: xr.DataTree) -> None:
        tree["2"] = cells().omezarr.pyramid(levels=1)

    def converted(tree: xr.DataTree) -> None:
        tree["0"] = tree["0"].omezarr.level(0).astype("float32").omezarr.pyramid(levels=1)

    for change in (without_one, cropped, moved, dyed, more, converted):
        changed, new = open_collection(store), tmp_path / f"{change.__name__}.zarr"
        change(changed)
        told = "OME-XML .* is not kept.*left out: StructuredAnnotations, CommentAnnotation, Value; where it matters"
        with pytest.warns(CollectionWarning, match=told):
            changed.omezarr.to_zarr(new)
        written = omexml.parse((new / "OME/METADATA.ome.xml").read_bytes())
        assert len(written) == len(changed)
        for known, name in zip(written, changed, strict=True):
            base = changed[name].omezarr.level(0)
            assert (known.sizes["x"], known.said.scale["x"]) == (base.sizes["x"], base.omezarr.scale["x"])
            assert known.type == omexml.PIXEL_TYPES[base.dtype.name]
        assert xomezarr.validate(new).valid


def test_ome_xml_is_not_kept_where_it_has_no_such_pixels(tmp_path: Path) -> None:
    store = bioformats2raw(tmp_path / "a.zarr", SHAPES, xml=MORE, series=["0", "1"])
    tree = open_collection(store)
    tree["0"] = tree["0"].omezarr.level(0).astype("int64").omezarr.pyramid(levels=1)
    with pytest.warns(CollectionWarning) as told:
        tree.omezarr.to_zarr(tmp_path / "b.zarr")
    left_out, without = (str(warning.message) for warning in told)
    assert re.search("is not kept, .* is left out: StructuredAnnotations", left_out)
    assert "written without OME-XML, which has no pixels of type int64 (image '0'); for" in without
    assert not (tmp_path / "b.zarr/OME/METADATA.ome.xml").exists()


@pytest.mark.parametrize("version", VERSIONS)
def test_85_the_type_of_the_pixels_is_that_of_the_image(tmp_path: Path, version: str) -> None:
    write_collection({"a": image("y", "x"), "b": image("y", "x", dtype=">f4")}, tmp_path / "a.zarr", version=version)
    path = tmp_path / "a.zarr/OME/METADATA.ome.xml"
    text = path.read_text()
    for said in ("uint16", "bit", "double"):
        path.write_text(text.replace('Type="uint16"', f'Type="{said}"'))
        found = [str(one) for one in xomezarr.validate(tmp_path / "a.zarr") if "Type" in str(one)]
        assert len(found) == (said != "uint16")
        for one in found:
            assert "warning (rule 85) at OME/METADATA.ome.xml: image 0 has" in one
            assert f"Type {said!r}, not 'uint16' as level 0 of 'a'; describe each image as it is" in one


def test_a_collection_that_lists_nothing_gets_a_list(tmp_path: Path) -> None:
    store = bioformats2raw(tmp_path / "a.zarr", SHAPES, xml=None)
    tree = open_collection(store)
    tree.omezarr.to_zarr(tmp_path / "b.zarr")
    assert group_attributes(tmp_path / "b.zarr")["OME"] == {"series": ["0", "1"]}
    check_same_trees(tree, open_collection(tmp_path / "b.zarr"), attrs=False)


def test_images_keep_the_paths_and_the_order_in_which_they_were_listed(tmp_path: Path) -> None:
    paths = ["b/1", "a", "b/0", "-20"]
    store = bioformats2raw(tmp_path / "a.zarr", dict.fromkeys(paths, SHAPES["1"]), xml=None, series=paths)
    tree = open_collection(store)
    tree["view 3"] = cells().omezarr.pyramid(levels=2)
    tree.omezarr.to_zarr(tmp_path / "b.zarr")
    assert group_attributes(tmp_path / "b.zarr")["OME"]["series"] == [*paths, "view 3"]
    xr.testing.assert_identical(open_collection(tmp_path / "b.zarr")["view 3"].omezarr.level(0), cells())
    tree["über"] = tree["A"] = cells().omezarr.pyramid(levels=1)
    with pytest.raises(MultipleErrors, match=r"(?s)cannot be named 'über'.*the names 'a' and 'A' differ by"):
        tree.omezarr.to_zarr(tmp_path / "c.zarr")
    assert not (tmp_path / "c.zarr").exists()


def test_c7_what_has_no_place_in_a_collection_is_named(tmp_path: Path) -> None:
    write_collection({"a": cells()}, tmp_path / "a.zarr", levels=1)
    tree = open_collection(tmp_path / "a.zarr")
    tree["table"] = xr.Dataset({"counts": ("n", [1, 2])})
    with pytest.raises(OmeZarrError, match=r"the node 'table' has the variables 'counts' beside its images"):
        tree.omezarr.to_zarr(tmp_path / "b.zarr")
    del tree["table"]
    with pytest.raises(OmeZarrError, match="name= is said of one image"):
        tree.omezarr.to_zarr(tmp_path / "b.zarr", name="all")
    del tree["a"]
    with pytest.raises(CollectionError, match="the tree has no images; open it again"):
        tree.omezarr.to_zarr(tmp_path / "b.zarr")
    assert not (tmp_path / "b.zarr").exists()


def test_trees_are_written_beside_arrays_and_over_the_store_that_they_are_read_from(tmp_path: Path) -> None:
    tree = cells().omezarr.pyramid(method="nearest", levels=2)
    written = write_collection({"tree": tree, "array": cells()}, tmp_path / "a.zarr", version="0.5")
    for number, level in enumerate(tree.omezarr.levels):
        xr.testing.assert_identical(written["tree"].omezarr.level(number), level)
    assert spec.parse(written["tree"].attrs).multiscale.type == tree.encoding.get("method")
    options: dict[str, Any] = {"mode": "w", "compute": False, "version": "0.4"}
    later = open_collection(tmp_path / "a.zarr").omezarr.to_zarr(tmp_path / "a.zarr", **options)
    assert open_collection(tmp_path / "a.zarr").omezarr.version != "0.4"
    later.compute()
    assert open_collection(tmp_path / "a.zarr").omezarr.version == "0.4"
    xr.testing.assert_identical(open_collection(tmp_path / "a.zarr")["array"].omezarr.level(0), cells())
    with pytest.raises(
        OmeZarrError, match=r"image 'tree': its levels are written as they stand, and factors= says how"
    ):
        write_collection({"tree": tree}, tmp_path / "b.zarr", factors=2)


def test_without_ome_types_what_was_read_is_written_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_collection(views(), tmp_path / "a.zarr")
    monkeypatch.setitem(sys.modules, "ome_types", None)
    open_collection(tmp_path / "a.zarr").omezarr.to_zarr(tmp_path / "b.zarr")
    check_same_stores(tmp_path / "a.zarr", tmp_path / "b.zarr")
    tree = open_collection(tmp_path / "a.zarr")
    del tree["view 0"]
    with pytest.raises(MissingDependencyError):
        tree.omezarr.to_zarr(tmp_path / "c.zarr")


CALLS: dict[str, Any] = {
    "as it is": lambda tree: tree,
    "fillna": lambda tree: tree.map_over_datasets(lambda ds: ds.fillna(0)),
    "apply_ufunc": lambda tree: tree.map_over_datasets(
        lambda ds: xr.apply_ufunc(np.abs, ds, keep_attrs=True, dask="allowed")
    ),
    "abs": lambda tree: abs(tree),
    "an image assigned": lambda tree: tree.assign({"1": tree["1"].map_over_datasets(lambda ds: ds.clip(0, 255))}),
    "a tree of its images": lambda tree: xr.DataTree(xr.Dataset(attrs=tree.attrs), children=dict(tree.children)),
    "copy": lambda tree: tree.copy(deep=True),
    "to_dict": lambda tree: xr.DataTree.from_dict(tree.to_dict()),
    "chunk": lambda tree: tree.chunk().map_over_datasets(lambda ds: ds.fillna(0)),
    "pickle": lambda tree: pickle.loads(pickle.dumps(tree)).map_over_datasets(lambda ds: ds.fillna(0)),
}
"""What makes a collection's tree anew without changing what is true of its images."""


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "opened", [open_collection, lambda store: xr.open_datatree(store, engine="omezarr", chunks={})]
)
def test_c6_what_a_store_says_beside_its_images_is_kept_through_the_calls_of_xarray(
    tmp_path: Path, call: str, opened: Any
) -> None:
    images = {"1": SHAPES["0"], "0": SHAPES["1"]}
    store = bioformats2raw(tmp_path / "a.zarr", images, xml=MORE, series=list(images))
    zarr.open_group(store / "OME").attrs["their"] = 1
    CALLS[call](opened(store)).omezarr.to_zarr(tmp_path / "b.zarr")
    assert (tmp_path / "b.zarr/OME/METADATA.ome.xml").read_text() == MORE
    assert group_attributes(tmp_path / "b.zarr")["OME"] == {"series": ["1", "0"], "their": 1}


def test_c6_where_nothing_tells_what_a_store_says_a_warning_does(tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    write_collection({"a": image("y", "x"), "b": image("y", "x")}, store, levels=1)
    tree = open_collection(store).map_over_datasets(lambda ds: ds.clip(0, 9))
    assert not tree["a/0"].coords
    with pytest.warns(CollectionWarning, match="nothing tells what the store of the tree says beside its") as told:
        tree.omezarr.to_zarr(tmp_path / "b.zarr")
    call = str(told[0].message).rpartition("alone, ")[2]
    with warnings.catch_warnings():
        warnings.simplefilter("error", OmeZarrWarning)
        eval(call, {"write_collection": write_collection, "tree": tree, "store": tmp_path / "c.zarr"})
    check_same_stores(tmp_path / "b.zarr", tmp_path / "c.zarr")


def test_of_several_collections_that_counts_of_which_most_images_are(tmp_path: Path) -> None:
    names = {"a": ["p", "q", "r"], "b": ["q", "s"]}
    opened = {}
    for store, paths in names.items():
        write_collection({path: cells() for path in paths}, tmp_path / store, levels=1)
        zarr.open_group(tmp_path / store / "OME").attrs["of"] = store
        opened[store] = open_collection(tmp_path / store)

    def written(**images: xr.DataTree) -> Any:
        tree = xr.DataTree(xr.Dataset(attrs=opened["a"].attrs), children=images)
        tree.omezarr.to_zarr(tmp_path / "c", mode="w")
        return group_attributes(tmp_path / "c")["OME"].get("of")

    a, b = opened["a"], opened["b"]
    assert written(p=a["p"], r=a["r"], q=b["q"]) == "a"
    assert written(s=b["s"], q=b["q"], p=a["p"]) == "b"
    assert written(p=a["p"], other=b["q"]) == "a"  # which lies where none of its own does
    with pytest.warns(CollectionWarning, match="nothing tells"):
        assert written(p=a["p"], q=b["q"]) is None


@pytest.mark.parametrize("after", ["nothing", "gone", "replaced", "damaged"])
def test_what_a_collection_says_is_that_which_was_there_when_it_was_opened(tmp_path: Path, after: str) -> None:
    store = bioformats2raw(tmp_path / "a.zarr", SHAPES, xml=MORE, series=["0", "1"])
    zarr.open_group(store / "OME").attrs["their"] = 1
    tree = open_collection(store).load()
    if after in ("gone", "replaced"):
        shutil.rmtree(store)
    if after == "replaced":
        write_collection({"0": cells(), "1": cells()}, store)
    if after == "damaged":
        (store / "OME/.zattrs").write_text("{")
        (store / "OME/METADATA.ome.xml").write_text("<OME")
    tree.omezarr.to_zarr(tmp_path / "b.zarr")
    assert (tmp_path / "b.zarr/OME/METADATA.ome.xml").read_text() == MORE
    assert group_attributes(tmp_path / "b.zarr")["OME"]["their"] == 1


@pytest.mark.parametrize(
    ("name", "paths"),
    [("METADATA.ome.xml", ["0", "1"]), ("METADATA.ome.xml", ["v/0", "v_0"]), (".zattrs", ["0", "1"])],
)
def test_c7_what_cannot_be_read_of_a_collection_is_not_replaced_without_a_word(
    tmp_path: Path, name: str, paths: list[str]
) -> None:
    images = dict(zip(paths, SHAPES.values(), strict=True))
    store = bioformats2raw(tmp_path / "a.zarr", images, xml=MORE, series=paths)
    damaged = store / "OME" / name
    text = damaged.read_text()
    damaged.write_text(text.replace("{", "", 1).replace("</Image>", "", 1))
    with pytest.warns(CollectionWarning, match="cannot be read, and"):
        tree = open_collection(store)
    with pytest.raises(CollectionError, match=r"OME.* cannot be read .*, and what it says would be lost; ") as caught:
        tree.omezarr.to_zarr(tmp_path / "b.zarr")
    assert not (tmp_path / "b.zarr").exists()
    call = str(caught.value).rpartition("without it: ")[2]
    written = eval(call, {"write_collection": write_collection, "tree": tree, "store": tmp_path / "b.zarr"})
    for path, expected in zip(written, paths, strict=True):
        xr.testing.assert_identical(written[path].omezarr.level(0), tree[expected].omezarr.level(0))


class Unreadable(WrapperStore[Any]):
    """A store that refuses to give the OME-XML."""

    def with_read_only(self, read_only: bool = False) -> Any:
        return type(self)(self._store.with_read_only(read_only))

    async def get(self, key: str, *args: Any, **options: Any) -> Any:
        if key.endswith(".xml"):
            raise PermissionError("it is another's")
        return await super().get(key, *args, **options)


def test_ome_xml_that_cannot_be_read_is_not_lost(tmp_path: Path) -> None:
    store = MemoryStore()
    write_collection({"a": cells()}, store, levels=1)
    told = r"METADATA.ome.xml cannot be read \(it is another's\), .*: write_collection\(dict\(tree.children\), store\)$"
    tree = open_collection(Unreadable(store))
    with pytest.raises(CollectionError, match=told):
        tree.omezarr.to_zarr(tmp_path / "b.zarr")
    write_collection(dict(tree.children), tmp_path / "b.zarr")
    check_same_stores(store, tmp_path / "b.zarr")


@pytest.mark.parametrize("value", [pd.Timestamp("2020"), np.float32(1), {1}, b"x", float("nan"), np.arange(2), {1: 2}])
def test_c8_attributes_that_json_cannot_hold_take_nothing_away(tmp_path: Path, value: Any) -> None:
    image = xr.DataArray(np.full((16, 16), 7, "uint8"), dims=("y", "x"))
    store = MemoryStore()
    labelled = image.to_dataset(name="image").assign(nuclei=image)
    xomezarr.write_collection({"a": labelled}, tmp_path / "a.zarr", levels=1)
    xomezarr.write_plate({("A", 1): [labelled]}, tmp_path / "p.zarr", levels=1)
    of_images = (("a", "a"), ("a", "a/labels/nuclei"), ("p", "A/1/0"))
    for path, place in (("a", ""), ("a", "a/labels"), ("p", ""), ("p", "A/1"), ("p", "A/1/0/labels"), *of_images):
        if path == "a":
            tree: Any = xomezarr.open_collection(tmp_path / "a.zarr").load()
        else:
            tree = xomezarr.open_plate(tmp_path / "p.zarr", check=True).load()
        image.omezarr.to_zarr(store, mode="w", levels=1)
        before = {key: kept.to_bytes() for key, kept in store._store_dict.items()}
        tree[place or "."].attrs["acquired"] = value
        with pytest.raises(AttributeEncodingError, match=rf"{place}'\]\.attrs\['acquired'\]"):
            tree.omezarr.to_zarr(store, mode="w")
        assert {key: kept.to_bytes() for key, kept in store._store_dict.items()} == before


def test_an_image_of_a_collection_may_change_the_case_of_its_name(tmp_path: Path) -> None:
    xomezarr.write_collection({"A": cells(), "b": cells()}, tmp_path / "a.zarr", levels=1)
    tree = xomezarr.open_collection(tmp_path / "a.zarr")
    moved = tree["A"]
    del tree["A"]
    tree["a"] = moved
    tree.omezarr.to_zarr(tmp_path / "b.zarr")
    assert {*xomezarr.open_collection(tmp_path / "b.zarr").children} == {"a", "b"}
    tree["B"] = tree["b"].copy()
    with pytest.raises(CollectionError, match="'B'"):
        tree.omezarr.to_zarr(tmp_path / "c.zarr")


def test_coordinates_that_belong_to_nothing_that_is_written_are_told(tmp_path: Path) -> None:
    """Of a Dataset those of none of its variables, and of a tree an index of its node that no level has."""
    da: Any = cells()
    ds: Any = xr.Dataset({"image": da}, coords={"probe": [1, 2, 3], "lut": ("probe", ["a", "b", "c"])})
    writes: list[Callable[[], Any]] = [
        lambda: ds.omezarr.to_zarr(tmp_path / "a.zarr"),
        lambda: xomezarr.write_plate({("A", 1): [ds]}, tmp_path / "a.zarr"),
        lambda: xomezarr.write_collection({"0": ds}, tmp_path / "a.zarr"),
    ]
    for write in writes:
        with pytest.raises(LabelError, match=r"coordinates \['probe', 'lut'\] .*ds.drop_vars\(\['probe', 'lut'\]\)"):
            write()
    tree: Any = da.omezarr.pyramid(levels=2)
    tree.coords["probe"] = ("probe", [1, 2, 3])
    with pytest.raises(LevelError, match=r"has the variables 'probe' beside its levels.*drop_vars"):
        tree.omezarr.to_zarr(tmp_path / "a.zarr")
    assert not (tmp_path / "a.zarr").exists()
    ds.drop_vars(["probe", "lut"]).omezarr.to_zarr(tmp_path / "a.zarr")


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_labels_that_are_written_by_themselves_name_no_image(tmp_path: Path, version: str) -> None:
    da: Any = cells()
    da.omezarr.to_zarr(tmp_path / "a.zarr", version=version, levels=2, labels={"n": xr.ones_like(da, "uint8")})
    labels: Any = xr.open_datatree(tmp_path / "a.zarr", engine="omezarr")["labels/n"]
    labels.omezarr.to_zarr(tmp_path / "y")
    xomezarr.write_collection({"n": labels, "m": da}, tmp_path / "c.zarr", version=version)
    for store in ("y", "c.zarr"):
        report = xomezarr.validate(tmp_path / store, strict=True)
        assert not [finding for finding in report.findings if finding.rule == "58"]
    # it is read whatever its folder is called: there is a dimension y
    assert (xr.open_dataarray(tmp_path / "y", engine="omezarr") == 1).all()
    again: Any = xr.open_datatree(tmp_path / "y", engine="omezarr")
    assert len(again.omezarr.levels) == 2
    with pytest.raises(LabelError, match=r"well A/1, field 0: they are labels, .*labels.omezarr.level\(0\)"):
        xomezarr.write_plate({("A", 1): [labels]}, tmp_path / "p.zarr")
    assert not (tmp_path / "p.zarr").exists()
    xomezarr.write_plate({("A", 1): [labels.omezarr.level(0)]}, tmp_path / "p.zarr", version=version)
    assert xomezarr.validate(tmp_path / "p.zarr").valid
    assert xomezarr.open_plate(tmp_path / "p.zarr").omezarr.stack().max() == 1


def test_what_ome_xml_alone_says_of_an_image_outlives_a_change(tmp_path: Path) -> None:
    """The name that a file gives its series, distances along dimensions that an image lacks; what does not is told."""
    flat = cells().isel(t=0, z=0, drop=True)
    write_collection({"0": flat, "1": flat}, tmp_path / "a.zarr", levels=1)
    place = tmp_path / "a.zarr/OME/METADATA.ome.xml"
    text = place.read_text().replace('Name="0"', 'Name="scan.czi #1"')
    sizes = 'PhysicalSizeZ="2" TimeIncrement="5" TimeIncrementUnit="min"'
    place.write_text(text.replace("<Pixels ", f"<Pixels {sizes} ", 1))
    tree = open_collection(tmp_path / "a.zarr")
    del tree["1"]
    tree.omezarr.to_zarr(tmp_path / "b.zarr")
    (found,) = ome_types.from_xml((tmp_path / "b.zarr/OME/METADATA.ome.xml").read_text()).images
    assert found.name == "scan.czi #1"
    assert (found.pixels.physical_size_z, found.pixels.physical_size_z_unit.value) == (2, "µm")
    assert (found.pixels.time_increment, found.pixels.time_increment_unit.value) == (5, "min")
    place.write_text(text.replace("<Pixels ", '<Pixels SignificantBits="12" ', 1))
    tree = open_collection(tmp_path / "a.zarr")
    del tree["1"]
    with pytest.warns(CollectionWarning, match="is left out: Pixels/@SignificantBits"):
        tree.omezarr.to_zarr(tmp_path / "c.zarr")


def test_images_that_only_the_ome_xml_has_are_told_when_it_is_written_anew(tmp_path: Path) -> None:
    more = XML[XML.index("  <Image ID") : XML.index("</OME>")].replace(":0", ":8").replace(":1", ":9")
    store = bioformats2raw(tmp_path / "a.zarr", SHAPES, xml=XML.replace("</OME>", f"{more}</OME>"))
    (store / "OME/.zattrs").unlink(missing_ok=True)
    with pytest.warns(CollectionWarning, match="is left out: 2 more Images;"):
        open_collection(store).omezarr.to_zarr(tmp_path / "b.zarr")


def test_what_ome_xml_says_of_an_image_goes_where_the_image_goes(tmp_path: Path) -> None:
    flat = cells().isel(t=0, z=0, drop=True)
    write_collection({"a": flat, "b": flat, "c": flat}, tmp_path / "a.zarr", levels=1)
    place = tmp_path / "a.zarr/OME/METADATA.ome.xml"
    text = place.read_text()
    for name in "abc":
        text = text.replace(f'Name="{name}"', f'Name="scan {name}"')
    place.write_text(text.replace("<Pixels ", '<Pixels PhysicalSizeZ="2" ', 1))

    def names(store: Path) -> dict[str, str | None]:
        listed = zarr.open_group(store / "OME").attrs.get("series")
        images = ome_types.from_xml((store / "OME/METADATA.ome.xml").read_text()).images
        return dict(zip(listed, [one.name for one in images], strict=True))

    def swapped() -> xr.DataTree:
        tree = open_collection(tmp_path / "a.zarr")
        tree["a"], tree["c"] = tree["c"].copy(), tree["a"].copy()
        return tree

    swapped().omezarr.to_zarr(tmp_path / "swapped.zarr")
    assert names(tmp_path / "swapped.zarr") == {"a": "scan c", "b": "scan b", "c": "scan a"}
    tree = open_collection(tmp_path / "a.zarr")
    tree["z"] = tree["a"].copy()
    del tree["a"]
    tree.omezarr.to_zarr(tmp_path / "renamed.zarr")
    assert names(tmp_path / "renamed.zarr") == {"b": "scan b", "c": "scan c", "z": "scan a"}
    # an image of another collection in its place is another
    write_collection({"a": flat + 1}, tmp_path / "other.zarr", levels=1)
    tree = open_collection(tmp_path / "a.zarr")
    tree["a"] = open_collection(tmp_path / "other.zarr")["a"].copy()
    tree.omezarr.to_zarr(tmp_path / "mixed.zarr")
    assert names(tmp_path / "mixed.zarr") == {"a": "a", "b": "scan b", "c": "scan c"}
    tree = open_collection(tmp_path / "a.zarr")
    tree["a"] = flat.isel(x=slice(4, None)).omezarr.pyramid(levels=1)
    tree.omezarr.to_zarr(tmp_path / "replaced.zarr")
    assert names(tmp_path / "replaced.zarr") == {"a": "a", "b": "scan b", "c": "scan c"}
    assert "PhysicalSizeZ" not in (tmp_path / "replaced.zarr/OME/METADATA.ome.xml").read_text()


@pytest.mark.parametrize("kind", ["collection", "plate"])
def test_c6_what_a_store_does_not_list_is_told_before_it_is_replaced(kind: str, tmp_path: Path) -> None:
    image = xr.DataArray(np.zeros((8, 8), "u1"), dims=("y", "x")).omezarr.assign_grid(scale={"y": 1.0, "x": 1.0})
    store = tmp_path / "a.zarr"
    if kind == "plate":
        xomezarr.write_plate({("A", 1): [image]}, store)
    else:
        xomezarr.write_collection({"a": image}, store)
    with pytest.warns(OtherImagesWarning, match="does not list it"):
        image.omezarr.to_zarr(store / "B" / "1" if kind == "plate" else store / "b")
    tree = xr.open_datatree(store, engine="omezarr")
    other = "B/1" if kind == "plate" else "b"
    with pytest.warns(OtherImagesWarning, match=rf"holds other images \({other}\), which are replaced"):
        tree.omezarr.to_zarr(store, mode="w")
    tree = xr.open_datatree(store, engine="omezarr")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tree.omezarr.to_zarr(store, mode="w")
