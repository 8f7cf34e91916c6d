"""Plates: opened as a tree and as one array, drawn, and written at once, image by image and by several processes."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import pickle
import random
import re
import shutil
import string
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import check_same_stores, check_same_trees, files, group_attributes
from zarr.storage import MemoryStore

import xomezarr
from xomezarr import Acquisition, checks, errors, plating, spec, testing
from xomezarr.errors import (
    IncompleteStoreError,
    LevelError,
    MetadataError,
    MultipleErrors,
    NotOmeZarrError,
    OmeZarrError,
    PlateError,
    PlateWarning,
    StoreExistsError,
)
from xomezarr.model import (
    Axis,
    Channel,
    CoordinateSystem,
    Image,
    LabelColor,
    LabelImage,
    LabelRow,
    Level,
    Multiscale,
    Plate,
    PlateLine,
    PlateWell,
    Systems,
    Well,
    Window,
)
from xomezarr.pyramid import NAME_ATTR
from xomezarr.read import open_tree
from xomezarr.store import below
from xomezarr.wells import PLACES, Layout, Place, counted, line_order, located, with_field, with_run, with_well

SIZES = {"c": 2, "y": 24, "x": 40}
VERSIONS = spec.VERSIONS


def image(seed: int = 0, *, name: str | None = "cells", **attrs: Any) -> xr.DataArray:
    pixels = np.random.default_rng(seed).integers(1, 4000, tuple(SIZES.values()), dtype="uint16")
    da = xr.DataArray(pixels, dims=tuple(SIZES), name=name, attrs=attrs)
    da = da.omezarr.assign_grid(scale={"y": 0.5, "x": 0.25}, units="um")
    return da.omezarr.assign_channels([{"label": "DNA", "color": "blue"}, {"label": "ER", "color": "green"}])


def images() -> dict[tuple[str, str], list[xr.DataArray]]:
    return {("A", "1"): [image(0), image(1)], ("B", "12"): [image(2)], ("A", "2"): [image(3), image(4)]}


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def plate(tmp_path: Path, version: str) -> Path:
    store = tmp_path / "screen.ome.zarr"
    xomezarr.write_plate(images(), store, version=version, levels=2)
    return store


def attrs_of(store: Any, path: str = "") -> dict[str, Any]:
    """Read the attributes of a group: of a local store, as they stand in its files."""
    if not isinstance(store, Path):
        return dict(zarr.open_group(store, path=path, mode="r", use_consolidated=False).attrs)
    folder = store / path
    if (folder / "zarr.json").exists():
        content: dict[str, Any] = json.loads((folder / "zarr.json").read_text())
        assert content["node_type"] == "group"
        found: dict[str, Any] = content["attributes"]
        return found
    assert json.loads((folder / ".zgroup").read_text()) == {"zarr_format": 2}
    attributes = folder / ".zattrs"
    return dict(json.loads(attributes.read_text())) if attributes.exists() else {}


def is_plate(store: Path) -> bool:
    return any((store / name).exists() for name in (".zgroup", "zarr.json")) and "plate" in spec.kinds(attrs_of(store))


def overwrite(document: Path, content: str) -> None:
    assert document.is_file()
    document.write_text(content)


def document_of(place: Path, version: str, *, array: bool = False) -> Path:
    return place / ("zarr.json" if version != "0.4" else ".zarray" if array else ".zattrs")


def without_place(da: xr.DataArray) -> xr.DataArray:
    return da.drop_vars(PLACES, errors="ignore")


def check_agrees(store: Any, *, strict: bool = True) -> Plate:
    """Make sure that what plate, wells and images say is true, by rules 60 to 82."""
    attrs = attrs_of(store)
    assert [finding for finding in spec.findings(attrs, strict=strict) if finding.severity == "error"] == []
    plate = spec.parse_plate(attrs)
    runs = {run.id: run for run in plate.acquisitions or ()}
    assert plate.wells
    for well in plate.wells:
        assert (well.row_index, well.column_index) == checks.row_and_column(plate, well.path)
        of_well = attrs_of(store, well.path)
        assert [finding for finding in spec.findings(of_well, strict=strict) if finding.severity == "error"] == []
        fields = spec.parse_well(of_well).fields
        assert plate.field_count is not None
        assert plate.field_count >= len(fields)
        for field in fields:
            assert field.acquisition in runs or (field.acquisition is None and len(runs) < 2)
            assert spec.is_image(attrs_of(store, f"{well.path}/{field.path}"))
        for number, run in runs.items():
            assert (run.maximum_field_count or 0) >= sum(field.acquisition == number for field in fields)
    return plate


def judge(store: Any, version: str) -> None:
    """Let ome-zarr-models read the whole plate."""
    models = import_module(f"ome_zarr_models.v{version.replace('.', '')}.hcs")
    group = models.HCS.from_zarr(zarr.open_group(store, mode="r", use_consolidated=False))
    paths = {well.path for well in (group.attributes.plate if version == "0.4" else group.ome_attributes.plate).wells}
    assert paths == {well.path for well in check_agrees(store).wells}


# -- opening -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", [False, True])
def test_each_image_of_a_plate_comes_back_at_its_place(plate: Path, check: bool) -> None:
    tree = xomezarr.open_plate(plate, check=check)
    assert [node.path for node in tree.leaves] == [
        f"/{well}/{level}" for well in ("A/1/0", "A/1/1", "A/2/0", "A/2/1", "B/12/0") for level in (0, 1)
    ]
    for (row, column), fields in images().items():
        for number, written in enumerate(fields):
            node = tree[f"{row}/{column}/{number}"]
            found = node.omezarr.levels
            assert len(found) == 2
            for level in found:
                assert {name: level.coords[name].item() for name in PLACES[:3]} == {
                    "row": row,
                    "column": column,
                    "field": number,
                }
                assert not level.coords["row"].dims
            level = without_place(found[0])
            testing.assert_identical(level if check or node.path == "/A/1/0" else level.rename("cells"), written)
            np.testing.assert_array_equal(found[1], written.coarsen(x=2).mean().round().astype("uint16"), strict=True)
            assert [channel.label for channel in node.omezarr.channels] == ["DNA", "ER"]
            assert node.omezarr.version == spec.detect(attrs_of(plate))


def test_attributes_are_those_of_each_group(plate: Path) -> None:
    tree = xomezarr.open_plate(plate)
    assert tree.attrs == attrs_of(plate)
    assert tree["A/1"].attrs == attrs_of(plate / "A" / "1")
    assert spec.parse_well(tree["B/12"].attrs).fields[0].path == "0"
    assert tree.encoding["source"] == str(plate)
    assert tree["A/2/1"].encoding["source"] == f"{plate}/A/2/1"
    assert tree["A/2/1"].omezarr.validate().valid


def test_of_an_image_that_was_not_opened_nothing_is_said_that_it_alone_knows(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    first = image(0, exposure=1).assign_coords(dose=0.1, wavelength=("c", [461, 510]))
    second = image(1, name="others", exposure=2).assign_coords(dose=0.2, wavelength=("c", [461, 510]))
    xomezarr.write_plate({("A", 1): [first], ("A", 2): [second], ("A", 3): [second]}, store, levels=1)
    alike = xomezarr.open_plate(store)["A/2/0"].omezarr.levels[0]
    assert alike.name is None
    assert alike.attrs == {}
    assert "dose" not in alike.coords
    assert alike["wavelength"].values.tolist() == [461, 510]
    true = xomezarr.open_plate(store, check=True)["A/2/0"].omezarr.levels[0]
    testing.assert_identical(without_place(true), second)
    # what is done to one image is not done to another
    tree = xomezarr.open_plate(store)
    tree["A/2/0/0"]["y"].attrs["units"] = "nm"
    tree["A/2/0"].attrs["multiscales"][0]["axes"].clear()
    for well in ("A/1", "A/3"):
        assert tree[f"{well}/0/0"]["y"].attrs["units"] == "um"
        assert tree[f"{well}/0"].omezarr.axes


def test_c9_only_one_image_of_each_field_is_looked_at(plate: Path, version: str) -> None:
    for place in ("A/2/0", "A/2/1", "B/12/0"):
        overwrite(document_of(plate / place, version), "no JSON")
        overwrite(document_of(plate / place / "0", version, array=True), "no JSON")
    tree = xomezarr.open_plate(plate)
    np.testing.assert_array_equal(tree["A/1/0/0"]["image"], image(0))
    np.testing.assert_array_equal(tree["A/1/1/0"]["image"], image(1))
    with pytest.raises(PlateError, match=r"well 'A/2', field '0'.*open_plate\(store, check=True\)"):
        tree["A/2/0/0"]["image"].load()
    with pytest.warns(PlateWarning, match=r"3 of the 5 images.*'A/2/0'.*'A/2/1'.*'B/12/0'"):
        checked = xomezarr.open_plate(plate, check=True)
    assert [node.path for node in checked.leaves] == ["/A/1/0/0", "/A/1/0/1", "/A/1/1/0", "/A/1/1/1"]


def test_an_image_of_another_shape_is_an_error_when_it_is_read_and_true_when_all_are_checked(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    other = image(1).isel(x=slice(0, 30))
    xomezarr.write_plate({("A", 1): [image(0)], ("A", 2): [other], ("A", 3): [image(2).astype("int32")]}, store)
    tree = xomezarr.open_plate(store)
    with pytest.raises(PlateError, match=r"well 'A/2', field '0' of .*\(2, 24, 30\).*like 'A/1/0'.*check=True"):
        tree["A/2/0/0"]["image"].load()
    with pytest.raises(PlateError, match=r"well 'A/3'.*int32"):
        tree.omezarr.stack().sel(column="3").load()
    checked = xomezarr.open_plate(store, check=True)
    testing.assert_identical(without_place(checked["A/2/0"].omezarr.levels[0]), other)
    with pytest.raises(MultipleErrors, match=r"(?s)well A/2, field 0.*'x': 30.*well A/3, field 0.*int32.*filter"):
        checked.omezarr.stack()


def renamed(store: Path, path: str, version: str, names: Mapping[str, str]) -> None:
    """Call the arrays of an image otherwise, as other tools do."""
    for old, new in names.items():
        (store / path / new).parent.mkdir(exist_ok=True)
        (store / path / old).rename(store / path / new)
    document = document_of(store / path, version)
    content = json.loads(document.read_text())
    said = content["attributes"]["ome"] if version != "0.4" else content
    for dataset in said["multiscales"][0]["datasets"]:
        dataset["path"] = names[dataset["path"]]
    overwrite(document, json.dumps(content))


@pytest.mark.parametrize("names", [{"0": "s0", "1": "s1"}, {"0": "scale0/image", "1": "scale1/image"}])
def test_levels_of_an_image_may_be_called_otherwise_than_those_it_is_taken_to_be_like(
    plate: Path, version: str, names: Mapping[str, str]
) -> None:
    renamed(plate, "A/1/0", version, names)
    renamed(plate, "B/12/0", version, {"0": "fine", "1": "coarse"})
    tree, true = xomezarr.open_plate(plate), xomezarr.open_plate(plate, check=True)
    for number in (0, 1):
        stacked = tree.omezarr.stack(level=number)
        xr.testing.assert_equal(stacked, true.omezarr.stack(level=number))
        for well in ("A/1", "A/2", "B/12"):
            xr.testing.assert_equal(tree[f"{well}/0"].omezarr.level(number), true[f"{well}/0"].omezarr.level(number))
    sent = pickle.loads(pickle.dumps(xomezarr.open_plate(plate).omezarr.stack()))
    xr.testing.assert_equal(sent, true.omezarr.stack())


def test_an_image_of_fewer_levels_or_other_ones_says_which_it_has(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    xomezarr.write_plate({("A", 1): [image(0)]}, store, levels=2)
    image(1).omezarr.to_plate(store, row="A", column=2, levels=1)
    image(2).isel(x=slice(0, 30)).omezarr.to_plate(store, row="A", column=3, levels=2)
    renamed(store, "A/3/0", "0.4", {"0": "s0", "1": "s1"})
    tree = xomezarr.open_plate(store)
    tree["A/2/0"].omezarr.level(0).load()
    with pytest.raises(
        PlateError,
        match=r"well 'A/2', field '0' .* has no level '1' .*; its levels are '0' of shape \(2, 24, 40\) and uint16, "
        r"and was taken to be like 'A/1/0', with the level '1' of shape \(2, 24, 20\) and uint16; open .*check=True\)$",
    ):
        tree["A/2/0"].omezarr.level(1).load()
    with pytest.raises(PlateError, match=r"'A/3', .* no level '0' .*'s0' of shape \(2, 24, 30\) .*, 's1' of shape"):
        tree["A/3/0"].omezarr.level(0).load()
    shutil.rmtree(store / "A" / "2" / "0")
    with pytest.raises(PlateError, match=r"'A/2', .* its levels are none that can be opened"):
        tree["A/2/0"].omezarr.level(1).load()


def placed(seed: int, x: float = 0.0) -> xr.DataArray:
    at = image(0)["x"]
    return image(seed).assign_coords(x=(at + x).assign_attrs(at.attrs))


def timed(day: str, exposures: int = 3) -> xr.DataArray:
    """Three images of a day, at uneven times; OME metadata say nothing of the day, nor of the exposure."""
    times = np.datetime64(day, "ns") + np.array([0, 60, 61]) * np.timedelta64(1, "s")
    coords = {"t": times, "exposure": (("t", "x"), np.full((3, exposures), int(day[-2:])))}
    return xr.DataArray(np.full((3, 2, exposures), 7, "uint16"), dims=("t", "y", "x"), coords=coords, name="cells")


def irregular(shift: float) -> xr.DataArray:
    x = np.arange(12.0) ** 2
    return xr.DataArray(np.zeros((4, 12), "uint16"), dims=("y", "x"), coords={"x": x + shift * (x == 36)}, name="cells")


ALIKE_BUT: Mapping[str, tuple[xr.DataArray, xr.DataArray]] = {
    "place": (placed(0), placed(1, 100.0)),
    "day": (timed("2020-01-01"), timed("2024-06-09")),
    "exposure in an array": (timed("2020-01-01", 300), timed("2020-01-01", 300) * 1),
    "irregular": (irregular(0), irregular(1)),
    "unit": (placed(0), placed(1).omezarr.to_units("nm").assign_coords(x=placed(1)["x"].values)),
}
"""Images whose arrays are alike, and that lie elsewhere; and in what."""
ALIKE_BUT["exposure in an array"][1]["exposure"][2, 299] = 0


@pytest.mark.filterwarnings("ignore:.*spacing")
@pytest.mark.parametrize("what", ALIKE_BUT)
def test_an_image_unlike_what_it_was_taken_for_is_told_when_it_is_read(tmp_path: Path, what: str, version: str) -> None:
    first, other = ALIKE_BUT[what]
    store = tmp_path / "plate.zarr"
    wells = {("A", 1): [first], ("A", 2): [first], ("A", 3): [other], ("A", 4): [other]}
    xomezarr.write_plate(wells, store, version=version, levels=2, irregular="keep")
    for _ in range(2):  # each opening tells by itself
        tree = xomezarr.open_plate(store)
        for well in ("A/1", "A/2"):
            testing.assert_identical(without_place(tree[f"{well}/0"].omezarr.level(0)).rename("cells"), first)
        with pytest.warns(PlateWarning, match=r"^'A/3/0' .* has coordinates of its own.*'A/1/0'.*check=True\)$"):
            np.testing.assert_array_equal(tree["A/3/0"].omezarr.level(0), other)
        tree["A/3/0"].omezarr.level(1).load()
        tree["A/4/0"].omezarr.level(0).load()  # one is enough
        with pytest.warns(PlateWarning, match="A/4/0"):
            xomezarr.open_plate(store).omezarr.stack()[0, 3].load()
        xomezarr.open_plate(store).omezarr.stack()[0, 1].load()
    true = xomezarr.open_plate(store, check=True)
    for well in ("A/3", "A/4"):
        testing.assert_identical(without_place(true[f"{well}/0"].omezarr.level(0)), other)


NAMED_OTHERWISE: Mapping[str, tuple[xr.DataArray, xr.DataArray]] = {
    "order": (image(0), image(1).isel(c=[1, 0])),
    "labels": (image(0), image(1).assign_coords(c=["DAPI", "Cy5"])),
    "numbers": (image(0).assign_coords(c=[405.0, 488.0]), image(1).assign_coords(c=[488.0, 405.0])),
    "axes": (image(0).drop_vars("c").rename(c="z"), image(1).drop_vars("c").rename(c="t")),
}
"""Images whose arrays are alike, and whose channels or axes are others; and in what."""


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (image(1).assign_coords(c=np.array(["DNA", "ER"], object)), "coordinates"),
        (image(1).assign_coords(c=image(1)["c"].assign_attrs(long_name="dye")), "coordinates"),
        ("no sidecar", "coordinates"),
        ("no names", "coordinates"),
        ("later sidecar", "coordinates"),
    ],
    ids=["objects", "attributes", "no sidecar", "no names", "later sidecar"],
)
@pytest.mark.parametrize("first", [True, False])
def test_channels_of_the_same_names_are_read_whoever_wrote_them(
    tmp_path: Path, other: Any, told: str, first: bool, version: str
) -> None:
    store = tmp_path / "plate.zarr"
    given = image(1) if isinstance(other, str) else other
    ours, theirs = ("A/2", "A/1") if first else ("A/1", "A/2")
    xomezarr.write_plate(
        {tuple(ours.split("/")): [image(0)], tuple(theirs.split("/")): [given]}, store, version=version
    )
    if isinstance(other, str):
        group = zarr.open_group(store / theirs / "0", mode="r+")
        attrs = group.attrs.asdict()
        if other == "no names":
            (attrs if version == "0.4" else attrs["ome"]).pop("omero")
        attrs.pop("xomezarr")
        group.attrs.put(attrs | ({"xomezarr": {"format": 2}} if other == "later sidecar" else {}))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the attribute 'xomezarr'")
        tree = xomezarr.open_plate(store)
        with pytest.warns(PlateWarning, match=f"'A/2/0' .* has {told} of its own"):
            np.testing.assert_array_equal(tree["A/2/0"].omezarr.level(0), given if ours == "A/1" else image(0))
        tree.omezarr.overview()


def test_c5_an_image_whose_metadata_cannot_be_read_is_not_read_as_another(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    xomezarr.write_plate({("A", 1): [image(0)], ("A", 2): [image(1).isel(c=[1, 0])]}, store)
    (store / "A" / "2" / "0" / ".zattrs").write_text("{")
    tree = xomezarr.open_plate(store)
    with pytest.raises(PlateError, match=r"'A/2/0' .* has metadata that cannot be read.*check=True"):
        tree["A/2/0"].omezarr.level(0).load()


@pytest.mark.parametrize("what", NAMED_OTHERWISE)
def test_c5_pixels_are_never_read_under_the_names_of_others(tmp_path: Path, what: str, version: str) -> None:
    first, other = NAMED_OTHERWISE[what]
    store = tmp_path / "plate.zarr"
    wells = {("A", 1): [first], ("A", 2): [first + 1], ("A", 3): [other], ("A", 4): [other]}
    xomezarr.write_plate(wells, store, version=version, levels=2)
    tree = xomezarr.open_plate(store)
    for well in ("A/3", "A/4", "A/3"):
        with pytest.raises(PlateError, match=rf"^'{well}/0' of .* has axes or channels of its own, .*'A/1/0'.*check="):
            tree[f"{well}/0"].omezarr.level(1).load()
    stacked = tree.omezarr.stack()
    with pytest.raises(PlateError, match="'A/4/0'"):
        stacked[0, 3].load()
    np.testing.assert_array_equal(stacked[0, 1, 0], first + 1)
    true = xomezarr.open_plate(store, check=True)
    np.testing.assert_array_equal(true["A/3/0"].omezarr.level(0), other)


@pytest.mark.filterwarnings("ignore:.*(has coordinates of its own|was loaded or changed):xomezarr.errors.PlateWarning")
@pytest.mark.parametrize("what", ["place", "day"])
@pytest.mark.parametrize(
    "done",
    [
        lambda da: da,
        lambda da: da.load(),
        lambda da: (da + 1).astype(da.dtype),
        lambda da: da.isel(x=slice(1, None)).transpose(...),
        lambda da: da.chunk(),
        lambda da: da.copy(deep=True),
    ],
    ids=["read", "loaded", "computed", "cut", "chunked", "copied"],
)
def test_what_is_not_true_of_an_image_is_not_written(tmp_path: Path, what: str, done: Any) -> None:
    first, other = ALIKE_BUT[what]
    store, new = tmp_path / "plate.zarr", tmp_path / "new.zarr"
    xomezarr.write_plate({("A", 1): [first], ("A", 2): [first], ("A", 3): [other]}, store, levels=1, irregular="keep")
    tree = xomezarr.open_plate(store)
    stacked = tree.omezarr.stack()
    options: dict[str, Any] = {"levels": 1, "irregular": "keep"}
    for da in (done(tree["A/3/0"].omezarr.level(0)), done(stacked.sel(row="A", column="3", field=0, drop=False))):
        for write in (
            lambda da=da: da.omezarr.to_zarr(new, **options),
            lambda da=da: da.omezarr.to_plate(new, row="A", column=1, **options),
            lambda da=da: xomezarr.write_plate({("A", 1): [da]}, new, **options),
            lambda: tree["A/3/0"].omezarr.to_zarr(new, irregular="keep"),
        ):
            with pytest.raises(PlateError, match=r"'A/3/0' of .*has coordinates.*open_plate\(store, check=True"):
                write()
            assert not new.exists()
    alike = done(tree["A/2/0"].omezarr.level(0))
    again = xr.open_datatree(alike.omezarr.to_zarr(new, **options).encoding["source"], engine="omezarr")
    xr.testing.assert_equal(again.omezarr.level(0), alike)
    true = done(xomezarr.open_plate(store, check=True)["A/3/0"].omezarr.level(0))
    true.omezarr.to_zarr(new, mode="w", **options)
    xr.testing.assert_equal(open_tree(new).omezarr.level(0), true)


def test_what_is_taken_out_of_a_stack_answers_for_its_own_images(tmp_path: Path) -> None:
    first, other = ALIKE_BUT["place"]
    counted = Counted(zarr.storage.MemoryStore())
    wells = {(row, column): [first] for row in "AB" for column in (1, 2, 3)} | {("B", 3): [other]}
    xomezarr.write_plate(wells, counted, levels=1)
    stacked = xomezarr.open_plate(counted).omezarr.stack()
    for number, da in enumerate((stacked[0, 1, 0], stacked.sel(row="A"), stacked[:, :2].mean("field"))):
        counted.asked.clear()
        da = da.astype("uint16").isel(dict.fromkeys({"row", "column", "field"} & set(da.dims), 0))
        da.omezarr.to_zarr(tmp_path / f"{number}.zarr", levels=1)
        assert not [key for key in counted.asked if key.startswith("B/3")]
    with pytest.warns(PlateWarning, match="'B/3/0' of"):
        whole: dict[str, Any] = {
            "it": stacked[1, 2, 0],
            "among others": stacked[1, :, 0].max("column", keep_attrs=True),
            "elsewhere now": stacked[1, 2, 0].assign_coords(row="A", column="2"),
            "anywhere": stacked[0, 0, 0].drop_vars(["row", "column"]),
            "renamed": stacked.assign_coords(row=stacked["row"].copy(data=["A", "x"]))[1, 2, 0],
            "the other way round": stacked.rename(row="column", column="row")[1, 2, 0],
            "sent": pickle.loads(pickle.dumps(stacked[1, 2, 0].load())),
        }
    for name, da in whole.items():
        with pytest.raises(PlateError, match="'B/3/0' of"):
            da.omezarr.to_zarr(tmp_path / name)
        assert not (tmp_path / name).exists(), name
    sent = pickle.loads(pickle.dumps(stacked[0, 1, 0].load()))
    sent.omezarr.to_plate(tmp_path / "plate.zarr", levels=1)
    with pytest.raises(PlateError, match="'B/3/0' of"):
        stacked[1, 2, 0].omezarr.to_plate(tmp_path / "plate.zarr", row="A", column=1, levels=1)


def test_fields_that_lie_apart_do_so_in_every_well(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    fields = [placed(0), placed(1, 100.0), placed(2, 200.0)]
    xomezarr.write_plate({("A", 1): fields[:2], ("A", 2): fields, ("B", 1): fields}, store, levels=2)
    tree, true = xomezarr.open_plate(store), xomezarr.open_plate(store, check=True)
    for well in ("A/1", "A/2", "B/1"):
        for field, node in tree[well].children.items():
            for level, of_true in zip(node.omezarr.levels, true[f"{well}/{field}"].omezarr.levels, strict=True):
                xr.testing.assert_identical(level.rename("cells").load(), of_true)


def test_runs_that_see_other_channels_are_each_like_their_own(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    of_runs = [acquired(0, 0), acquired(1, 1).assign_coords(c=["actin", "DNA"])]
    xomezarr.write_plate({("A", 1): of_runs, ("A", 2): of_runs[::-1], ("A", 3): of_runs[::-1]}, store, levels=1)
    tree = xomezarr.open_plate(store)
    for place, channels in {"A/3/0": ["actin", "DNA"], "A/3/1": ["DNA", "ER"]}.items():
        assert tree[place].omezarr.level(0).load()["c"].values.tolist() == channels


class Counted(zarr.storage.WrapperStore[Any]):
    """A store that notes what is asked of it."""

    def __init__(self, store: Any, asked: list[str] | None = None) -> None:
        super().__init__(store)
        self.asked: list[str] = [] if asked is None else asked

    def _with_store(self, store: Any) -> Counted:
        return Counted(store, self.asked)

    async def get(self, key: str, *args: Any, **options: Any) -> Any:
        self.asked.append(key)
        return await super().get(key, *args, **options)


def test_an_image_is_looked_at_once(version: str) -> None:
    inner = MemoryStore()
    xomezarr.write_plate({("A", 1): [image(0)], ("A", 2): [image(1)]}, inner, version=version, levels=3)
    if version == "0.4":
        del inner._store_dict[".zmetadata"]
    store = Counted(inner)
    tree = xomezarr.open_plate(store)
    assert not [key for key in store.asked if key.startswith("A/2/0")]
    for level in tree["A/2/0"].omezarr.levels:
        level.load()
    document = "A/2/0/zarr.json" if version != "0.4" else "A/2/0/.zattrs"
    assert store.asked.count(document) == 1


def test_the_first_image_that_can_be_opened_stands_for_all(plate: Path) -> None:
    shutil.rmtree(plate / "A" / "1" / "0")
    with pytest.warns(PlateWarning, match="1 of the 5 images.*'A/1/0'"):
        tree = xomezarr.open_plate(plate)
    assert list(tree["A/1"]) == ["1"]
    np.testing.assert_array_equal(tree["A/2/1/0"]["image"], image(4))
    for well in ("A/1", "A/2", "B/12"):
        for field in (0, 1):
            shutil.rmtree(plate / well / str(field), ignore_errors=True)
    with pytest.raises(PlateError, match=r"no image.*'A/1/0'.*validate"):
        xomezarr.open_plate(plate)


@given(st.data())
def test_no_two_wells_are_at_one_place_and_each_whose_path_has_names_is_at_one(data: st.DataObject) -> None:
    names = st.lists(st.sampled_from("ABCD"), unique=True, max_size=4).map(lambda names: tuple(map(PlateLine, names)))
    paths = st.sampled_from([*(f"{row}/{column}" for row in "ABCD" for column in "ABCD"), "A", "A/B/C"])
    wells = data.draw(st.lists(st.builds(PlateWell, paths, st.integers(-1, 4), st.integers(-1, 4)), max_size=8))
    rows, columns = data.draw(names), data.draw(names)
    plate, places = located(Plate(rows, columns, tuple(wells)))
    assert (plate.rows[: len(rows)], plate.columns[: len(columns)]) == (rows, columns)
    assert len(set(places.values())) == len(places)
    assert {well.path for well in wells if well.path.count("/") == 1} <= set(places)
    lines = {0: {line.name for line in rows}, 1: {line.name for line in columns}}
    for path, place in places.items():
        found = plate.rows[place[0]].name, plate.columns[place[1]].name
        names = path.split("/") if path.count("/") == 1 else ["", ""]
        for axis, name in enumerate(names):
            # of another name only where no path has it, and where an index says so
            others = {well.path.split("/")[axis] for well in wells if well.path.count("/") == 1}
            assert found[axis] == name or (name not in lines[axis] and (not name or found[axis] not in others))
            assert found[axis] == name or any(
                place[axis] == (well.row_index, well.column_index)[axis]
                for well in wells
                if not name or (well.path.count("/") == 1 and well.path.split("/")[axis] == name)
            )


@pytest.mark.parametrize("check", [False, True])
def test_wells_in_rows_and_columns_that_the_plate_does_not_list_are_told_and_stacked(
    plate: Path, version: str, check: bool
) -> None:
    whole = xomezarr.open_plate(plate)
    expected, picture = whole.omezarr.stack().load(), whole.omezarr.overview()
    content = json.loads(document_of(plate, version).read_text())
    said = (content["attributes"]["ome"] if version != "0.4" else content)["plate"]
    said["rows"], said["columns"] = [{"name": "B"}], [{"name": "1"}, {"name": "12"}]
    overwrite(document_of(plate, version), json.dumps(content))
    with pytest.warns(PlateWarning) as told:
        tree = xomezarr.open_plate(plate, check=check)
    assert [str(one.message).partition("zarr' ")[2][:60] for one in told] == [
        "has wells of the row 'A', which it does not list: it comes a",
        "has wells of the column '2', which it does not list: it come",
    ]
    stacked = tree.omezarr.stack()
    assert (stacked.row.values.tolist(), stacked.column.values.tolist()) == (["B", "A"], ["1", "12", "2"])
    xr.testing.assert_equal(stacked.sortby("row").sel(column=expected.column), expected)
    assert tree["A/2/0/0"].coords["row"] == "A"
    assert tree.omezarr.overview().shape == picture.shape


def test_wells_that_are_not_there_are_told_and_left_out(plate: Path) -> None:
    shutil.rmtree(plate / "A" / "2")
    with pytest.warns(PlateWarning, match=r"1 of the 3 wells.*'A/2' \(there is no such group\).*validate"):
        tree = xomezarr.open_plate(plate)
    assert list(tree["A"]) == ["1"]
    stacked = tree.omezarr.stack()
    assert stacked["column"].values.tolist() == ["1", "2", "12"]
    assert not stacked.sel(row="A", column="2").any()


def test_the_engine_opens_the_same_tree(plate: Path) -> None:
    own = xomezarr.open_plate(plate)
    for options in ({"engine": "omezarr"}, {}):
        tree = xr.open_datatree(plate, **options)  # type: ignore[arg-type]
        xr.testing.assert_identical(tree, own)
    checked = xr.open_datatree(plate, engine="omezarr", check=True)
    assert checked["B/12/0"].omezarr.levels[0].name == "cells"
    one = xr.open_datatree(plate, engine="omezarr", group="A/2/1")
    testing.assert_identical(one.omezarr.levels[0], image(4))
    chunked = xr.open_datatree(plate, engine="omezarr", chunks={})
    assert chunked["A/2/1/0"]["image"].chunks is not None
    np.testing.assert_array_equal(chunked["A/2/1/0"]["image"], image(4))
    with pytest.raises(NotOmeZarrError, match=r"a plate.* such as that at 'A/1/0' below it"):
        xr.open_dataset(plate, engine="omezarr")


@pytest.mark.parametrize("place", ["A/1", "A/1/0"])
def test_json_that_is_nested_too_deeply_costs_one_image_alone(plate: Path, version: str, place: str) -> None:
    nested(document_of(plate / place, version))
    for check in (False, True):
        with pytest.warns(PlateWarning, match=f"'{place}'"):
            tree = xomezarr.open_plate(plate, check=check)
        np.testing.assert_array_equal(tree["A/2/1/0"]["image"], image(4))


def nested(document: Path) -> None:
    depth = 200_000
    overwrite(document, document.read_text().rstrip().removesuffix("}") + ', "x": ' + "[" * depth + "]" * depth + "}")


def test_pixels_are_no_coordinate_to_leave_out(plate: Path) -> None:
    for dropped in ("image", ["row", "image"]):
        with pytest.raises(PlateError, match=r"drop_variables names 'image', which are the pixels.*coordinates"):
            xomezarr.open_plate(plate, drop_variables=dropped)
    assert "row" not in xomezarr.open_plate(plate, drop_variables="row")["A/2/1/0"].coords


def test_what_is_no_plate_says_what_it_is(tmp_path: Path) -> None:
    image().omezarr.to_zarr(tmp_path / "image.zarr")
    with pytest.raises(NotOmeZarrError, match=r"image\.zarr.*an image"):
        xomezarr.open_plate(tmp_path / "image.zarr")
    tree = xr.open_datatree(tmp_path / "image.zarr", engine="omezarr")
    with pytest.raises(PlateError, match=r"this is an image.*open_plate\(store\)\.omezarr\.stack"):
        tree.omezarr.stack()
    with pytest.raises(PlateError, match=r"open_plate\(store\)\.omezarr\.overview\(\)"):
        tree.omezarr.overview()


def test_unopened_images_can_be_sent_transposed_and_written(plate: Path, tmp_path: Path) -> None:
    tree = xomezarr.open_plate(plate)
    sent = pickle.loads(pickle.dumps(tree["A/2/1/0"]["image"]))
    np.testing.assert_array_equal(sent, image(4))
    turned = tree["A/2/0/0"]["image"].transpose("x", "y", "c")
    np.testing.assert_array_equal(turned.isel(x=slice(3, 9)), image(3).transpose("x", "y", "c").isel(x=slice(3, 9)))
    again = tree["A/2/1"].omezarr.to_zarr(tmp_path / "again.zarr")
    np.testing.assert_array_equal(again.omezarr.levels[1], tree["A/2/1/1"]["image"])
    xr.testing.assert_equal(again.omezarr.levels[0], tree["A/2/1"].omezarr.levels[0])


def test_fields_whose_names_are_no_numbers_stay_text(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    xomezarr.write_plate({("A", 1): {"left": image(0), "01": image(1)}, ("A", 2): {"left": image(2)}}, store)
    tree = xomezarr.open_plate(store)
    assert tree["A/1/01/0"].coords["field"].item() == "01"
    stacked = tree.omezarr.stack()
    assert stacked["field"].values.tolist() == ["01", "left"]
    np.testing.assert_array_equal(stacked.sel(row="A", column="2", field="left"), image(2))


def test_dimensions_of_the_image_win_over_places(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    da = xr.DataArray(np.arange(12, dtype="uint8").reshape(3, 4), dims=("row", "x"), name="lines")
    xomezarr.write_plate({("A", 1): [da]}, store, axes={"row": "space"}, levels=1)
    found = xomezarr.open_plate(store)["A/1/0"].omezarr.levels[0]
    assert found.dims == ("row", "x")
    assert "row" not in found.coords
    assert found.coords["column"].item() == "1"
    with pytest.raises(PlateError, match=r"dimensions \['row'\] of their own.*rename"):
        xomezarr.open_plate(store).omezarr.stack()


def test_labels_are_in_the_tree_when_all_is_checked(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    da = image(0).isel(c=0, drop=True)
    ds = xr.Dataset({"cells": da.astype(float), "nuclei": (da > 2000).astype("uint16")})
    xomezarr.write_plate({("A", 1): [ds, ds]}, store, levels=2)
    check_agrees(store)
    assert "labels" not in xomezarr.open_plate(store)["A/1/0"].children
    tree = xomezarr.open_plate(store, check=True)
    found = tree["A/1/1"].omezarr.labels["nuclei"].omezarr.levels[0]
    np.testing.assert_array_equal(found, ds["nuclei"])
    assert found.coords["field"].item() == 1


# -- one array ---------------------------------------------------------------------------------------------


def expected_stack(fill: Any = 0, dtype: Any = "uint16") -> xr.DataArray:
    """All images at their places, by NumPy."""
    whole = np.full((2, 3, 2, *SIZES.values()), fill, dtype)
    for (row, column), fields in images().items():
        for number, da in enumerate(fields):
            whole["AB".index(row), ["1", "2", "12"].index(column), number] = da
    coords = {"row": ["A", "B"], "column": ["1", "2", "12"], "field": [0, 1]}
    return xr.DataArray(whole, dims=("row", "column", "field", *SIZES), coords=coords)


@pytest.fixture(scope="module")
def stacked(tmp_path_factory: pytest.TempPathFactory) -> xr.DataArray:
    store = tmp_path_factory.mktemp("stack") / "plate.zarr"
    xomezarr.write_plate(images(), store, levels=2, chunks={"y": 8, "x": 16})
    return xomezarr.open_plate(store).omezarr.stack()


def test_a_stack_is_all_images_at_their_places(stacked: xr.DataArray) -> None:
    assert isinstance(stacked.variable._data, xr.core.indexing.LazilyIndexedArray)
    assert stacked.encoding["preferred_chunks"] == {"row": 1, "column": 1, "field": 1, "c": 1, "y": 8, "x": 16}
    assert stacked.name == "cells"
    xr.testing.assert_equal(
        stacked.drop_vars([name for name in stacked.coords if name not in PLACES]), expected_stack()
    )
    xr.testing.assert_equal(stacked[0, 0, 0].drop_vars(PLACES[:3]), image(0))
    again = pickle.loads(pickle.dumps(stacked))
    xr.testing.assert_identical(again.load(), stacked)


def parts(size: int) -> st.SearchStrategy[Any]:
    indices, lists = st.integers(-size, size - 1), st.lists(st.integers(-size, size - 1), max_size=4)
    ends, steps = st.none() | st.integers(-size - 1, size + 1), st.none() | st.integers(1, 3)
    # xarray itself stumbles over slices that run backwards past an end
    backwards = st.builds(lambda start, step: slice(start, None, -step), st.integers(0, size - 1), st.integers(1, 3))
    return indices | st.builds(slice, ends, ends, steps) | backwards | lists.map(lambda at: np.array(at, int))


@given(st.data())
def test_any_part_of_a_stack_is_that_of_the_whole(stacked: xr.DataArray, data: st.DataObject) -> None:
    key = {dim: data.draw(parts(size), label=str(dim)) for dim, size in stacked.sizes.items()}
    fresh = pickle.loads(pickle.dumps(stacked))
    np.testing.assert_array_equal(fresh.isel(key), expected_stack().isel(key), strict=True)


def test_pixels_one_by_one_are_those_of_the_whole(stacked: xr.DataArray) -> None:
    rng = np.random.default_rng(0)
    key = {dim: xr.DataArray(rng.integers(0, size, 50), dims="spot") for dim, size in stacked.sizes.items()}
    np.testing.assert_array_equal(stacked.isel(key), expected_stack().isel(key))


def test_dask_computes_what_is_computed_at_once(plate: Path) -> None:
    tree = xomezarr.open_plate(plate)
    means = tree.omezarr.stack(level=1).mean(("y", "x"))
    for chunks in ({}, {"row": 1, "column": 1, "field": 1}, "auto"):
        chunked = tree.omezarr.stack(level=-1).chunk(chunks).mean(("y", "x"))
        assert chunked.chunks is not None
        xr.testing.assert_allclose(chunked, means)
    means = means.load()
    assert means.sel(row="A", column="1", field=0).values == pytest.approx(
        image(0).coarsen(x=2).mean().round().mean(("y", "x")).values
    )


def test_c9_only_the_wells_that_are_touched_are_read(plate: Path, version: str) -> None:
    overwrite(document_of(plate / "A/2/0/0", version, array=True), "no JSON")
    stacked = xomezarr.open_plate(plate).omezarr.stack()
    np.testing.assert_array_equal(stacked.sel(column="1", field=1, row="A"), image(1))
    np.testing.assert_array_equal(stacked.sel(row="B", column="12", field=0), image(2))
    with pytest.raises(PlateError, match="well 'A/2', field '0'"):
        stacked.sel(column="2").load()


@pytest.mark.parametrize(
    ("dtype", "asked", "filled"),
    [
        ("uint16", None, 0),
        ("uint16", 7, 7),
        ("float32", None, np.nan),
        ("float32", -1, -1),
        ("complex64", None, np.nan),
    ],
)
def test_absent_wells_are_filled(tmp_path: Path, dtype: str, asked: Any, filled: Any) -> None:
    store = tmp_path / "plate.zarr"
    xomezarr.write_plate({("A", 1): [image(0).astype(dtype)]}, store, rows="AB", columns=[1, 2], levels=1)
    stacked = xomezarr.open_plate(store).omezarr.stack(fill_value=asked)
    assert stacked.dtype == dtype
    np.testing.assert_array_equal(stacked[0, 0, 0], image(0).astype(dtype))
    np.testing.assert_array_equal(stacked[1], np.full((2, 1, *SIZES.values()), filled, dtype))


def test_absent_wells_of_masks_are_false(tmp_path: Path) -> None:
    xomezarr.write_plate({("A", 1): [image(0) > 0]}, tmp_path / "p.zarr", rows="AB", levels=1)
    stacked = xomezarr.open_plate(tmp_path / "p.zarr").omezarr.stack()
    assert stacked.dtype == bool
    assert not stacked[1].any()
    assert stacked[0].all()


@pytest.mark.parametrize("wrong", [np.nan, -1, 70000, "a", [1, 2], 0.5])
def test_a_fill_value_that_the_images_do_not_hold_is_refused(stacked: xr.DataArray, plate: Path, wrong: Any) -> None:
    with pytest.raises(PlateError, match=r"no value of uint16.*astype"):
        xomezarr.open_plate(plate).omezarr.stack(fill_value=wrong)


def test_there_are_as_many_levels_as_the_images_have(plate: Path) -> None:
    tree = xomezarr.open_plate(plate)
    xr.testing.assert_identical(xomezarr.stack(tree, -1), tree.omezarr.stack(1))
    with pytest.raises(LevelError, match="no level 2"):
        tree.omezarr.stack(2)


def test_a_filtered_tree_is_stacked_as_it_is(plate: Path) -> None:
    tree = xomezarr.open_plate(plate)
    cropped = tree.isel(x=slice(0, 3), missing_dims="ignore")
    np.testing.assert_array_equal(cropped.omezarr.stack(), expected_stack().isel(x=slice(0, 3)))
    left = tree.filter(lambda node: node.path.startswith("/B"))
    left.attrs = tree.attrs
    assert int((left.omezarr.stack() > 0).any(("c", "y", "x")).sum()) == 1


def acquired(seed: int, run: int) -> xr.DataArray:
    return image(seed).assign_coords(acquisition=run)


def test_acquisitions_lie_along_fields_where_wells_agree(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    wells = {
        ("A", 1): {0: acquired(0, 0), 1: acquired(1, 0), 2: acquired(2, 3)},
        ("A", 2): {0: acquired(3, 0), 2: acquired(4, 3)},
    }
    xomezarr.write_plate(wells, store, levels=1, acquisitions={3: {"name": "after", "start_time": 1700000000}})
    found = check_agrees(store)
    assert found.acquisitions == (Acquisition(0, "0", None, 2), Acquisition(3, "after", None, 1, 1700000000))
    tree = xomezarr.open_plate(store)
    assert tree["A/2/2/0"].coords["acquisition"].item() == 3
    stacked = tree.omezarr.stack()
    assert stacked["acquisition"].dims == ("field",)
    assert stacked["acquisition"].values.tolist() == [0, 0, 3]
    later = tree.omezarr.stack(acquisition=3)
    assert later["field"].values.tolist() == [2]
    np.testing.assert_array_equal(later[0, :, 0], np.stack([image(2), image(4)]))
    with pytest.raises(PlateError, match="no image of acquisition 1; give one of 0, 3"):
        tree.omezarr.stack(acquisition=1)


def test_acquisitions_lie_along_wells_where_these_differ(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    xomezarr.write_plate({("A", 1): [acquired(0, 0), acquired(1, 1)], ("A", 2): [acquired(2, 1)]}, store, levels=1)
    stacked = xomezarr.open_plate(store).omezarr.stack()
    assert stacked["acquisition"].dims == ("row", "column", "field")
    assert stacked["acquisition"].values.tolist() == [[[0, 1], [1, -1]]]


def apart(field: int, **scalars: Any) -> xr.DataArray:
    """An image that lies where its field does."""
    da = image(field)
    moved = {dim: da[dim].copy(data=da[dim].values + 50.0 * field) for dim in ("y", "x")}
    return da.assign_coords({**moved, **scalars})


@pytest.mark.parametrize("check", [False, True])
def test_c1_what_is_taken_out_of_a_stack_lies_where_it_did(tmp_path: Path, check: bool) -> None:
    fields = [apart(number) for number in range(3)]
    store, new = tmp_path / "plate.zarr", tmp_path / "new.zarr"
    wells = {("A", 1): fields, ("A", 2): fields, ("C", 1): fields[:2]}
    xomezarr.write_plate(wells, store, levels=2)
    tree = xomezarr.open_plate(store, check=check)
    for level in (0, 1):
        stacked = tree.omezarr.stack(level=level)
        assert [stacked[dim].dims for dim in "cyx"] == [("c",), ("field", "y"), ("field", "x")]
        for number in range(len(fields)):
            own = tree[f"A/2/{number}"].omezarr.level(level)
            for taken in (stacked.sel(row="A", column="2", field=number), stacked.chunk(field=1)[0, 1, number]):
                for dim in "yx":
                    np.testing.assert_array_equal(taken[dim], own[dim])
                    assert taken[dim].attrs == own[dim].attrs
                written = taken.omezarr.to_zarr(new, mode="w", levels=1).omezarr.level(0)
                testing.assert_identical(
                    written.drop_vars(["row", "column", "field"]),
                    without_place(own).rename(written.name).drop_attrs(deep=False),
                )
        converted = stacked.omezarr.to_units({"y": "nm", "x": "nm"})
        for number in range(3):
            own = tree[f"A/1/{number}"].omezarr.level(level).omezarr.to_units("nm")
            np.testing.assert_array_equal(converted[0, 0, number]["x"], own["x"])
            assert converted[0, 0, number]["x"].attrs == own["x"].attrs
    stacked.chunk(field=1)[0, 0, 2].omezarr.to_plate(store, row="A", column=1, field=2, mode="w", levels=1)
    again = xomezarr.open_plate(store, check=True)["A/1/2"].omezarr.level(0)
    np.testing.assert_array_equal(again["y"], stacked[0, 0, 2]["y"])


def test_pixels_that_lie_apart_are_not_one_image(tmp_path: Path) -> None:
    xomezarr.write_plate({("A", 1): [apart(0).isel(c=0), apart(1).isel(c=0)]}, tmp_path / "plate.zarr", levels=1)
    da = xomezarr.open_plate(tmp_path / "plate.zarr").omezarr.stack()[0, 0]
    told = r"coordinate 'y' lies along 'field' too.*take what lies in one place: isel\(field=0\)"
    for call in (
        lambda: da.omezarr.to_zarr(tmp_path / "new.zarr", axes={"field": "time"}),
        lambda: da.omezarr.pyramid(axes={"field": "z"}),
        lambda: da.omezarr.assign_grid(scale={"y": 2.0}),
        lambda: da.omezarr.assign_grid(units={"y": "um"}),
    ):
        with pytest.raises(OmeZarrError, match=told):
            call()
    assert not (tmp_path / "new.zarr").exists()


def test_coordinates_of_a_stack_lie_along_what_they_differ_by(tmp_path: Path) -> None:
    def taken(well: int, field: int) -> xr.DataArray:
        coords = {
            "stage": 10.0 * well + field,
            "day": np.datetime64("2020-01-01", "ns") + np.timedelta64(well, "D"),
            "dose": ("low", "high")[well % 2],
            "is_control": (well + field) % 2 == 1,
            "cells": 2**60 + well + field,
            "laser": 7,
            "exposure": ("c", [0.5 * field, 1.0]),
        }
        return image(field).assign_coords(coords if (well, field) != (2, 1) else coords | {"odd": 1})

    store = tmp_path / "plate.zarr"
    wells = [("A", 1), ("A", 2), ("B", 2)]
    xomezarr.write_plate({well: [taken(n, 0), taken(n, 1)] for n, well in enumerate(wells)}, store, levels=1)
    tree = xomezarr.open_plate(store, check=True)
    with pytest.warns(PlateWarning, match="the coordinates 'cells', 'is_control' of the images are left out"):
        stacked = tree.omezarr.stack()
    assert {name: stacked[name].dims for name in ("stage", "day", "dose", "laser", "exposure")} == {
        "stage": ("row", "column", "field"),
        "day": ("row", "column"),
        "dose": ("row", "column"),
        "laser": (),
        "exposure": ("field", "c"),
    }
    for (row, column), n in zip(wells, range(3), strict=True):
        for field in (0, 1):
            one, own = stacked.sel(row=row, column=str(column), field=field), taken(n, field)
            for name in ("stage", "day", "dose", "laser", "exposure"):
                np.testing.assert_array_equal(one[name], own[name])
                assert one[name].dtype.kind == own[name].dtype.kind
    gap = stacked.sel(row="B", column="1")
    assert np.isnan(gap["stage"]).all()
    assert np.isnat(gap["day"])
    assert gap["dose"] == ""
    # of these nothing could stand where no image is
    assert not {"cells", "is_control"} & set(stacked.coords)
    assert stacked["odd"].sel(row="B", column="2", field=1) == np.nansum(stacked["odd"]) == 1
    assert stacked["y"].dims == ("y",)
    counted = {well: [taken(n, 0), taken(n, 1)] for n, well in enumerate(wells[:2])}
    xomezarr.write_plate(counted, store, mode="w", levels=1)
    stacked = xomezarr.open_plate(store, check=True).omezarr.stack()
    np.testing.assert_array_equal(stacked["cells"] - 2**60, [[[0, 1], [1, 2]]])
    np.testing.assert_array_equal(stacked["is_control"], [[[False, True], [True, False]]])
    assert stacked["cells"].dtype == "int64"


def test_positions_that_no_coordinate_of_a_stack_can_tell_are_told(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    other = image(1).omezarr.to_units("nm").assign_coords(y=apart(1)["y"])
    xomezarr.write_plate({("A", 1): [image(0), other]}, store, levels=1)
    with pytest.warns(PlateWarning, match=r"the coordinates 'x' of the images are of other units.*has none"):
        stacked = xomezarr.open_plate(store, check=True).omezarr.stack()
    assert "x" not in stacked.coords
    assert stacked["y"].dims == ("field", "y")
    np.testing.assert_array_equal(stacked[0, 0, 1], other)


def test_spacings_gaps_and_texts_of_a_stack(tmp_path: Path) -> None:
    def placed_at(step: float, start: int, dose: str) -> xr.DataArray:
        coords = {"y": step * np.arange(24), "x": np.arange(start, start + 40), "dose": np.array(dose, object)}
        return xr.DataArray(np.full((24, 40), start, "uint8"), dims=("y", "x"), coords=coords)

    store, new = tmp_path / "plate.zarr", tmp_path / "new.zarr"
    wells = {("A", 1): [placed_at(0.5, 10, "low")], ("B", 2): [placed_at(0.6, 100, "high")]}
    xomezarr.write_plate(wells, store, levels=1)
    stacked = xomezarr.open_plate(store, check=True).omezarr.stack()
    assert "scale" not in stacked["y"].attrs
    for (row, column), (da,) in wells.items():
        taken = stacked.sel(row=row, column=str(column), field=0)
        written = taken.omezarr.to_zarr(new, mode="w", levels=1).omezarr.level(0)
        for dim in "yx":
            np.testing.assert_array_equal(written[dim], da[dim])
        assert written["y"].attrs["scale"] == da["y"].values[1]
        assert taken["dose"] == da["dose"]
        assert taken.set_xindex("x").sel(x=da["x"].values[3])["y"].size == 24
    assert np.isnan(stacked.sel(row="A", column="2")["x"]).all()


def dyed(names: Iterable[str], seed: int = 0) -> xr.DataArray:
    """An image whose channel `DNA` alone is bright, and blue."""
    channels = [{"label": name, "color": "blue" if name == "DNA" else "green", "window": (0, 1000)} for name in names]
    bright = np.array([1000 if channel["label"] == "DNA" else seed for channel in channels], "uint16")
    pixels = np.broadcast_to(bright[:, np.newaxis, np.newaxis], (len(channels), 16, 16))
    return xr.DataArray(pixels, dims=("c", "y", "x"), name="cells").omezarr.assign_channels(channels)


def test_channels_in_another_order_are_put_in_that_of_the_first(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    names = [["DNA", "ER", "actin"], ["actin", "DNA", "ER"], ["DNA", "ER", "actin"], ["ER", "actin", "DNA"]]
    wells = {("A", number): [dyed(of, number)] for number, of in enumerate(names)}
    xomezarr.write_plate(wells, store, levels=2)
    tree = xomezarr.open_plate(store, check=True)
    for level in (0, 1):
        stacked = tree.omezarr.stack(level)
        assert isinstance(stacked.variable._data, xr.core.indexing.LazilyIndexedArray)
        assert stacked["c"].values.tolist() == names[0]
        for number, da in enumerate(wells.values()):
            part = stacked.sel(row="A", column=str(number), field=0)
            for name in names[0]:
                assert (part.sel(c=name) == da[0].sel(c=name)[0, 0]).all()
            np.testing.assert_array_equal(part.isel(c=[2, 0], y=slice(1, 3)), part.load()[[2, 0], 1:3])
    picture = tree.omezarr.overview(max_size=67)
    for at in (5, 22, 39, 56):
        red, green, blue = picture[5, at].tolist()
        assert (red, blue) == (0, 255)
        assert green < 5


def test_images_of_other_channels_are_told_with_what_they_share(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    wells = {("A", 1): [dyed(["DNA", "ER"])], ("A", 2): [dyed(["actin", "DNA"])], ("A", 3): [dyed(["a", "b"])]}
    xomezarr.write_plate(wells, store, levels=1)
    tree = xomezarr.open_plate(store, check=True)
    for asked in (tree.omezarr.stack, tree.omezarr.overview):
        with pytest.raises(MultipleErrors) as raised:
            asked()
        told = str(raised.value)
        assert "well A/2, field 0: the image has the channels ['actin', 'DNA'], and that of well A/1, field 0" in told
        assert "['DNA', 'ER']; take what they share: tree.sel(c=['DNA'])" in told
        assert "well A/3, field 0: the image has the channels ['a', 'b'], " in told
        assert "leave it out: tree.filter(…)" in told
    xomezarr.write_plate(dict(list(wells.items())[:2]), store, mode="w", levels=1)
    shared = xomezarr.open_plate(store, check=True).sel(c=["DNA"])
    assert (shared.omezarr.stack() == 1000).all()
    assert shared.omezarr.overview(max_size=33)[5, 25].tolist() == [0, 0, 255]


def test_channels_without_names_are_taken_by_number(tmp_path: Path) -> None:
    nameless = image(1).drop_vars([name for name, coord in image(1).coords.items() if coord.dims == ("c",)])
    xomezarr.write_plate({("A", 1): [image(0)], ("A", 2): [nameless]}, tmp_path / "p.zarr", levels=1)
    with pytest.warns(PlateWarning, match="1 of the 2 images say nothing of their channels"):
        stacked = xomezarr.open_plate(tmp_path / "p.zarr", check=True).omezarr.stack()
    np.testing.assert_array_equal(stacked[0, :, 0], np.stack([image(0), image(1)]))


# -- the picture -------------------------------------------------------------------------------------------


def flat(value: int) -> xr.DataArray:
    da = xr.DataArray(np.full((30, 60), value, "uint16"), dims=("y", "x"), name="flat")
    return da.omezarr.assign_grid(scale={"y": 1.0, "x": 1.0})


def test_the_overview_shows_each_well_where_it_is(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    channel = {"label": "DNA", "color": "green", "window": {"min": 0, "max": 1000, "start": 0, "end": 1000}}

    def of(value: int) -> xr.DataArray:
        return flat(value).expand_dims("c").omezarr.assign_channels([channel])

    wells = {("A", 1): [of(250)], ("B", 3): [of(500), of(1000)]}
    tree = xomezarr.write_plate(wells, store, rows="AB", columns=[1, 2, 3], levels=2)
    picture = tree.omezarr.overview(max_size=92)
    # three wells of 30 × 15 pixels, and a line between them
    assert picture.shape == (31, 92, 3)
    assert picture.dtype == np.uint8
    expected = np.full((31, 92, 3), 128, np.uint8)
    expected[15] = expected[:, 30] = expected[:, 61] = 255
    expected[:15, :30] = (0, 64, 0)
    expected[16:, 62:] = (0, 128, 0)
    np.testing.assert_array_equal(picture, expected)
    second = xomezarr.overview(tree, field=1, max_size=92)
    assert second[20, 80].tolist() == [0, 255, 0]
    assert second[3, 3].tolist() == [128] * 3


def test_wells_are_shown_in_one_brightness_where_the_store_names_none(tmp_path: Path) -> None:
    tree = xomezarr.write_plate({("A", 1): [flat(0)], ("A", 2): [flat(100)], ("A", 3): [flat(50)]}, tmp_path / "p.zarr")
    picture = tree.omezarr.overview(max_size=100)
    black, white, grey = (picture[5, at].tolist() for at in (5, 40, 80))
    assert (black, white) == ([0] * 3, [255] * 3)
    assert 100 < grey[0] < 155


def test_images_of_different_channels_are_not_drawn_together(tmp_path: Path) -> None:
    wells = {("A", 1): [image(0)], ("A", 2): [image(1).isel(c=[0])], ("A", 3): [image(2).isel(c=0, drop=True)]}
    xomezarr.write_plate(wells, tmp_path / "p.zarr", levels=1)
    tree = xomezarr.open_plate(tmp_path / "p.zarr", check=True)
    with pytest.raises(MultipleErrors, match=r"(?s)well A/2, field 0: .* 1 channels, .*A/1.* 2;.*well A/3.*filter"):
        tree.omezarr.overview()


def test_an_overview_that_cannot_be_drawn_says_why(plate: Path) -> None:
    tree = xomezarr.open_plate(plate)
    with pytest.raises(PlateError, match="no well has a field 7; give one of '0', '1'"):
        tree.omezarr.overview(field=7)
    with pytest.raises(LevelError, match=r"not one for each of 2 × 3 wells.*max_size="):
        tree.omezarr.overview(max_size=3)
    for wrong in ("x", None, True, float("nan")):
        with pytest.raises(LevelError, match=rf"max_size is {wrong!r}; give a number of pixels"):
            tree.omezarr.overview(max_size=wrong)
    assert tree.omezarr.overview(max_size=np.int64(64)).shape == tree.omezarr.overview(max_size=64).shape


# -- writing a plate at once -------------------------------------------------------------------------------


def test_judges_find_nothing_wrong_with_a_plate(plate: Path, version: str) -> None:
    judge(plate, version)
    found = check_agrees(plate)
    assert found.name == "screen"
    assert found.field_count == 2
    assert [line.name for line in found.columns] == ["1", "2", "12"]
    assert [well.path for well in found.wells] == ["A/1", "A/2", "B/12"]


def test_rows_and_columns_that_are_asked_for_are_all_there(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    tree = xomezarr.write_plate(
        {("C", 2): [image()]}, store, name="half", rows="DCBA", columns=range(1, 5), levels=1, version="0.5"
    )
    found = check_agrees(store)
    assert [line.name for line in found.rows] == list("DCBA")
    assert (found.wells[0].row_index, found.wells[0].column_index) == (1, 1)
    assert tree.omezarr.stack().sizes["column"] == 4


@pytest.mark.parametrize("place", ["memory", "zip"])
def test_plates_elsewhere_than_on_disk(tmp_path: Path, place: str, version: str) -> None:
    store = MemoryStore() if place == "memory" else zarr.storage.ZipStore(tmp_path / "plate.zip", mode="w")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Duplicate name")  # of documents that are written over
        tree = xomezarr.write_plate(images(), store, version=version, levels=1)
    np.testing.assert_array_equal(tree.omezarr.stack(), expected_stack())
    if place == "memory":
        judge(store, version)


def test_faults_are_told_together_and_nothing_is_written(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    wells = {
        ("A", 1): [image(), image().astype("datetime64[s]")],
        ("A", 2): [image().assign_coords(x=image()["x"] ** 2)],
        ("A", 3): [image().assign_coords(x=image()["x"] ** 2)],
        ("A-", 1): [image()],
        ("a", 1): [image()],
        ("B", 1): [],
        ("B", 5): image(),
        ("B", 6): xr.Dataset({"image": image()}),
        ("B", 2): {"f 1": image()},
        "B3": [image()],
        ("B", 4): [np.zeros((4, 4))],
        ("B", 7): [xr.DataTree()],
    }
    with pytest.raises(MultipleErrors) as raised:
        xomezarr.write_plate(wells, store)  # type: ignore[arg-type]
    told = str(raised.value)
    for expected in (
        "well A/1, field 1: ",
        "well A/2, field 0 (and 1 other image): ",
        "the row 'A-' is not made of letters and digits",
        "rows 'A' and 'a' are the same folder",
        "the well ('B', 1) has an empty list for images; give a list",
        "the well ('B', 5) has a DataArray for images",
        "the well ('B', 6) has a Dataset for images",
        "the field 'f 1' is not made of letters and digits",
        "the well 'B3' is no pair",
        "it is a ndarray; give a DataArray",
        "well B/7, field 0: the tree has no levels of an image",
    ):
        assert expected in told, expected
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"rows": "B"}, "rows leaves out 'A'"),
        ({"columns": [1, 1]}, "the column '1' is there twice"),
        ({"columns": [1, "1b", "1B"]}, "'1b' and '1B' are the same folder"),
        ({"rows": ["A", "Ä"]}, "'Ä' is not made of letters"),
        ({"acquisitions": {-1: {}}}, "-1 is no id"),
        ({"acquisitions": {0: {"colour": "red"}}}, "give an id and a dict of"),
        ({"acquisitions": {0: {}, 1: {}}}, r"acquisitions 0, 1, and well A/1, field 0 does not say.*assign_coords"),
        ({"acquisitions": {0: {"start_time": "now"}}}, "starttime"),
        ({"acquisitions": [0]}, r"acquisitions is a list; give runs by id: acquisitions=\{0"),
        ({"rows": 5}, r'rows is 5; give a list of names, such as rows=\["A"\]'),
        ({"columns": 5}, r"columns is 5; give a list of names, such as columns=\[1\]"),
        ({"labels": {}}, "labels= is said of one image; give each image with its labels as a Dataset"),
        ({"metod": "mean", "hue": 1}, r"(?s)write_plate has no option metod=; give method=.*no option hue=; leave it"),
        ({"name": 3}, "name"),
        ({"version": "0.3"}, "0.3"),
        ({"mode": "a"}, "mode 'a'"),
    ],
)
def test_what_is_wrong_with_a_plate_is_named(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(OmeZarrError, match=told):
        xomezarr.write_plate({("A", 1): [image()]}, tmp_path / "plate.zarr", **options)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(PlateError, match="no wells"):
        xomezarr.write_plate({}, tmp_path / "plate.zarr")


def test_a_plate_appears_whole_or_not_at_all(plate: Path, version: str) -> None:
    before = files(plate)
    with pytest.raises(StoreExistsError):
        xomezarr.write_plate(images(), plate)
    broken = xr.DataArray(FailsToLoad.lazily(image()), dims=tuple(SIZES))
    with pytest.raises(RuntimeError, match="torn"):
        xomezarr.write_plate({("A", 1): [image()], ("A", 2): [broken]}, plate, mode="w", version=version)
    assert files(plate) == before
    assert list(plate.parent.iterdir()) == [plate]
    xomezarr.write_plate({("H", 1): [image(9)]}, plate, mode="w", version=version)
    assert [well.path for well in check_agrees(plate).wells] == ["H/1"]
    assert not (plate / "A").exists()


def test_nothing_is_there_before_it_is_computed(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    later = xomezarr.write_plate(images(), store, levels=1, compute=False)
    one = image(7).omezarr.to_plate(store, row="A", column=9, levels=1, compute=False)
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_array_equal(later.compute(scheduler="threads").omezarr.stack(), expected_stack())
    one.compute(scheduler="threads")
    assert [well.path for well in check_agrees(store).wells] == ["A/1", "A/2", "A/9", "B/12"]


def test_all_bytes_are_told(tmp_path: Path) -> None:
    told: list[int] = []
    xomezarr.write_plate(images(), tmp_path / "plate.zarr", levels=1, progress=told.append)
    assert sum(told) == 5 * image().nbytes


class FailsToLoad(xr.backends.BackendArray):
    """An array whose reading fails, as of a file that is torn."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)

    def __getitem__(self, key: Any) -> Any:
        raise RuntimeError("torn")

    @classmethod
    def lazily(cls, da: xr.DataArray) -> Any:
        return xr.core.indexing.LazilyIndexedArray(cls(da.shape, da.dtype))


# -- what the metadata say, as values ----------------------------------------------------------------------

names = (
    st.text("ABab", min_size=1, max_size=2) | st.integers(0, 30).map(str) | st.from_regex("[AB]1?[0-9]", fullmatch=True)
)
runs_of = st.none() | st.integers(0, 2).map(Acquisition)
places = st.builds(Place, names, names, names, runs_of)


def test_names_are_in_the_order_of_plates() -> None:
    rows = [*string.ascii_uppercase, *(f"A{letter}" for letter in string.ascii_uppercase[:6])]  # of 1536 wells
    columns = [str(number) for number in range(1, 49)]
    mixed = random.Random(0)
    for ordered in (rows, columns, ["R1", "R2", "R10"]):
        assert sorted(mixed.sample(ordered, len(ordered)), key=line_order) == ordered


@given(st.lists(places, min_size=1, max_size=12))
def test_images_added_one_by_one_give_the_plate_that_is_written_at_once(drawn: list[Place]) -> None:
    seen: dict[str, Place] = {}
    for place in drawn:
        parts_of = (place.row, place.column, f"{place.well}/{place.field}")
        if all(seen.get(part.lower(), part) == part for part in map(str, parts_of)):
            seen.setdefault(place.path, place)
    chosen = list(seen.values())
    for kind in ("row", "column"):  # names that differ by case alone are refused elsewhere
        chosen = [p for p in chosen if getattr(p, kind) == getattr(p, kind).upper()]
    chosen = list({place.path.lower(): place for place in chosen}.values())
    if len({place.acquisition.id for place in chosen if place.acquisition}) > 1:
        chosen = [place for place in chosen if place.acquisition is not None]
    if not chosen:
        return
    faults: list[OmeZarrError] = []
    whole = Layout.of(chosen, None, None, None, "plate", faults)
    assert not faults
    assert whole is not None
    plate, wells = Plate((), (), (), "plate"), dict[str, Well]()
    for place in chosen:
        well = with_field(wells.get(place.well, Well(())), place)
        plate = replace_runs(plate, place)
        # what the plate says before its well does is true of both
        plate = counted(plate, [well])
        check_values(plate, wells)
        plate, wells[place.well] = with_well(plate, place.well), well
        check_values(plate, wells)
    assert plate == whole.plate
    assert wells == whole.wells
    for version in VERSIONS:
        whole.check(version)
        assert spec.findings(spec.dump_plate(plate, version), strict=True) == []
        assert all(spec.findings(spec.dump_well(well, version), strict=True) == [] for well in wells.values())


def replace_runs(plate: Plate, place: Place) -> Plate:
    return replace(plate, acquisitions=with_run(plate.acquisitions, place.acquisition))


def check_values(plate: Plate, wells: Mapping[str, Well]) -> None:
    assert {well.path for well in plate.wells} <= set(wells)
    assert [line.name for line in plate.rows] == sorted({w.split("/")[0] for w in wells}, key=line_order)
    for well in plate.wells:
        assert well.path == f"{plate.rows[well.row_index].name}/{plate.columns[well.column_index].name}"
        assert len(wells[well.path].fields) <= (plate.field_count or 0)


def test_rows_in_an_order_of_their_own_keep_it() -> None:
    faults: list[OmeZarrError] = []
    layout = Layout.of([Place("H", "1", "0", None), Place("A", "1", "0", None)], "HCA", None, None, "p", faults)
    assert layout is not None
    plate = with_well(with_well(layout.plate, "B/1"), "Z/2")
    assert [line.name for line in plate.rows] == ["B", "H", "C", "A", "Z"]
    assert [(well.path, well.row_index) for well in plate.wells] == [("B/1", 0), ("H/1", 1), ("A/1", 3), ("Z/2", 4)]


def test_a_run_that_a_stack_does_not_know_is_none(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    xomezarr.write_plate({("A", 1): [acquired(0, 0)], ("A", 2): [image(1)]}, store, levels=1)
    one = xomezarr.open_plate(store).omezarr.stack().sel(row="A", column="2", field=0)
    assert one["acquisition"].item() == -1
    place = Place.of(one, None, None, None, None)
    assert place == Place("A", "2", "0", None)
    assert "acquisition" not in place.marked(one).coords
    one.omezarr.to_plate(tmp_path / "other.zarr", levels=1)
    check_agrees(tmp_path / "other.zarr")
    found = open_tree(tmp_path / "other.zarr", group="A/2/0").omezarr.level(0)
    testing.assert_identical(without_place(found), image(1))
    with pytest.raises(PlateError, match="-1 is no id"):
        Place.of(one, None, None, None, -1)


@given(names, names, runs_of, runs_of)
def test_a_field_that_is_replaced_keeps_its_run(field: str, other: str, before: Any, now: Any) -> None:
    if field.lower() == other.lower():
        return
    well = with_field(with_field(Well(()), Place("A", "1", field, before)), Place("A", "1", other, Acquisition(7)))
    found = {entry.path: entry.acquisition for entry in with_field(well, Place("A", "1", field, now)).fields}
    said = now or before
    assert found == {field: said and said.id, other: 7}


@pytest.mark.parametrize("what", ["row", "column", "field"])
def test_numbers_with_and_without_zeros_are_the_same(what: str) -> None:
    there = {"row": "01", "column": "02", "field": "003"}

    def of(**said: str) -> Place:
        return Place(**{**there, **said}, acquisition=None)

    plate, well = with_well(Plate((), (), ()), "01/02"), with_field(Well(()), of())
    same = of(**{what: str(int(there[what]))})
    with pytest.raises(PlateError, match=f"'{there[what]}' and '{getattr(same, what)}' .*{what}=\"{there[what]}\""):
        _ = with_field(well, same) if what == "field" else with_well(plate, same.well)
    assert with_well(plate, "01/02") == plate
    assert len(with_well(plate, "01/2b").columns) == 2
    # where both are there already, each is what it is
    both = replace(plate, columns=(PlateLine("02"), PlateLine("2")))
    assert with_well(both, "01/2").wells[1].column_index == 1


def test_a_column_of_other_tools_is_not_made_twice(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    xomezarr.write_plate({("A", "01"): [image(0)]}, store, levels=1)
    before = files(store)
    with pytest.raises(PlateError, match=r"columns '01' and '1' are the same number; .*column=\"01\""):
        add(store, "A", 1, field=1)
    assert files(store) == before
    add(store, "A", "01", field=1)
    assert [line.name for line in check_agrees(store).columns] == ["01"]


# -- image by image ----------------------------------------------------------------------------------------


def add(store: Any, row: Any = None, column: Any = None, seed: int = 0, **options: Any) -> xr.DataTree:
    da = options.pop("da", None)
    tree: xr.DataTree = (image(seed) if da is None else da).omezarr.to_plate(
        store, row=row, column=column, levels=1, **options
    )
    return tree


@pytest.mark.parametrize("elsewhere", [False, True])
def test_images_are_added_where_they_belong(tmp_path: Path, version: str, elsewhere: bool) -> None:
    store = MemoryStore() if elsewhere else tmp_path / "plate.zarr"
    told = [("B", 12, None), ("A", "2", 1), ("A", 1, 0), ("A", 2, 0), ("AA", 3, 10), ("A", 2, 7)]
    for number, (row, column, field) in enumerate(told):
        tree = add(store, row, column, number, field=field, version=None if number else version)
        testing.assert_identical(tree.omezarr.levels[0], image(number))
        check_agrees(store)
    found = check_agrees(store)
    assert [line.name for line in found.rows] == ["A", "B", "AA"]
    assert [line.name for line in found.columns] == ["1", "2", "3", "12"]
    assert [well.path for well in found.wells] == ["A/1", "A/2", "B/12", "AA/3"]
    assert (found.field_count, found.acquisitions, found.version) == (3, None, version)
    opened = xomezarr.open_plate(store, check=True)
    assert list(opened["A/2"]) == ["0", "1", "7"]
    for number, (row, column, field) in enumerate(told):
        np.testing.assert_array_equal(opened[f"{row}/{column}/{field or 0}/0"]["image"], image(number))
    judge(store, version)
    if not elsewhere:
        assert {path.name for path in (tmp_path / "plate.zarr").iterdir()} <= {
            "A", "B", "AA", ".zattrs", ".zgroup", "zarr.json",
        }  # fmt: skip


def test_an_opened_image_goes_back_to_its_place(plate: Path, tmp_path: Path) -> None:
    tree = xomezarr.open_plate(plate, check=True)
    done = tree["A/2/1"].omezarr.levels[0] + np.uint16(1)
    done.omezarr.to_plate(plate, mode="w", levels=2)
    done.omezarr.to_plate(tmp_path / "other.zarr", levels=2)
    for store in (plate, tmp_path / "other.zarr"):
        found = xomezarr.open_plate(store)["A/2/1"].omezarr.levels[0]
        np.testing.assert_array_equal(found, image(4) + 1)
    # what the array itself says of its place is made true, and what opening the plate added is not written
    done.assign_coords(row="A", field=1).omezarr.to_plate(plate, row="H", field="x", levels=2)
    found = xomezarr.open_plate(plate, check=True)["H/2/x"].omezarr.levels[0]
    assert [found.coords[name].item() for name in PLACES[:3]] == ["H", "2", "x"]
    found = open_tree(plate, group="H/2/x").omezarr.levels[0]
    assert {name: found.coords[name].item() for name in PLACES if name in found.coords} == {"row": "H", "field": "x"}
    check_agrees(plate)


def test_another_image_in_a_field_replaces_it_alone(plate: Path) -> None:
    before = files(plate)
    with pytest.raises(StoreExistsError, match=r"well 'A/2' has a field '1' already.*mode=\"w\""):
        add(plate, "A", 2, field=1)
    assert files(plate) == before
    add(plate, "A", 2, 9, field=1, mode="w")
    after = files(plate)
    changed = {path for path in before | after if before.get(path) != after.get(path)}
    assert changed
    assert all(path.startswith("A/2/1/") for path in changed)
    np.testing.assert_array_equal(xomezarr.open_plate(plate)["A/2/1/0"]["image"], image(9))


def test_others_do_not_wait_while_a_replaced_image_is_deleted(plate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import contextmanager

    from xomezarr import stage

    held: list[Path] = []
    deleted: list[bool] = []
    locked, remove = stage.locked, stage.remove

    @contextmanager
    def told(folder: Path, **options: Any) -> Iterator[None]:
        with locked(folder, **options):
            held.append(folder)
            try:
                yield
            finally:
                held.remove(folder)

    def noted(old: Path) -> None:
        deleted.append(bool(held))
        remove(old)

    monkeypatch.setattr(stage, "locked", told)
    monkeypatch.setattr(stage, "remove", noted)
    add(plate, "A", 2, 9, field=1, mode="w")
    assert deleted == [False]
    assert sorted(path.name for path in (plate / "A" / "2").iterdir() if path.is_dir()) == ["0", "1"]


def test_the_judges_are_not_asked_again_under_the_lock(plate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    check = spec.check
    later = image(9).omezarr.to_plate(plate, row="A", column=1, field=3, levels=1, compute=False)
    other = image(9).omezarr.to_plate(plate, row="C", column=12, field=3, levels=1, compute=False)
    monkeypatch.setattr(spec, "check", lambda attrs, version: (asked.append(attrs), check(attrs, version)))
    later.compute(scheduler="threads")
    assert asked == []
    other.compute(scheduler="threads")  # the plate has changed meanwhile: it counts more fields
    (of_plate,) = asked
    assert [well.path for well in spec.parse_plate(of_plate).wells] == ["C/12"]
    assert [well.path for well in check_agrees(plate).wells] == ["A/1", "A/2", "B/12", "C/12"]


def test_runs_are_known_before_images_name_them(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    add(store, "A", 1, acquisition=0)
    add(store, "A", 1, field=1, acquisition=Acquisition(4, "late", start_time=5))
    add(store, "B", 1, field=0, da=acquired(0, 4))
    add(store, "B", 1, field=1, da=acquired(0, 4))
    found = check_agrees(store)
    assert found.acquisitions == (Acquisition(0, "0", None, 1), Acquisition(4, "late", None, 2, 5))
    add(store, "B", 2, acquisition=Acquisition(0, description="first"))
    assert check_agrees(store).acquisitions == (Acquisition(0, "0", "first", 1), found.acquisitions[1])
    before = files(store)
    with pytest.raises(PlateError, match=r"acquisitions 0, 4, and well C/1, field 0 does not say of which"):
        add(store, "C", 1)
    assert files(store) == before


def test_a_second_run_is_refused_while_images_name_none(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    for column in (1, 2):
        add(store, "A", column)
    add(store, "A", 3, acquisition=0)
    before = files(store)
    with pytest.raises(PlateError, match=r"0, 1, and well A/1, field 0; well A/2, field 0 do not say"):
        add(store, "A", 4, acquisition=1)
    assert files(store) == before
    add(store, "A", 1, mode="w", acquisition=0)
    add(store, "A", 2, mode="w", acquisition=1)
    assert [run.id for run in check_agrees(store).acquisitions or ()] == [0, 1]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"row": None}, r"the row is not known; give row='A'"),
        ({"row": None, "column": None}, r"(?s)the row is not known.*the column is not known"),
        ({"row": "A/B"}, "not made of letters and digits"),
        ({"row": 1.5}, "row 1.5 is no name"),
        ({"field": "0 1"}, "the field '0 1'"),
        ({"acquisition": "x"}, "acquisition 'x' is no id"),
        ({"row": "b"}, r"rows 'B' and 'b' are the same folder"),
        ({"version": "0.4"}, r"the plate is of OME-Zarr 0.5.*leave it out"),
        ({"name": "other"}, r"called 'screen', and not 'other'; leave name out"),
        ({"da": image().assign_coords(x=image()["x"] ** 2)}, "irregular"),
        ({"metod": "mean", "row": "b"}, r"(?s)'B' and 'b' are the same.*to_plate has no option metod=; give method="),
        ({"labels": 5}, "labels"),
        ({"chunks": {"w": 2}, "row": "a"}, r"(?s)'A' and 'a' are the same.*'w'"),
    ],
)
def test_c7_what_has_no_place_on_the_plate_is_refused(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    store = tmp_path / "screen.ome.zarr"
    xomezarr.write_plate(images(), store, version="0.5", levels=1)
    before = files(store)
    with pytest.raises(OmeZarrError, match=told):
        add(store, **{"row": "C", "column": 1, **options})
    assert files(store) == before
    assert list(tmp_path.iterdir()) == [store]


@pytest.mark.parametrize("what", ["row", "column", "field"])
def test_c7_names_that_file_systems_have_no_room_for_are_refused_before_anything_is_written(
    tmp_path: Path, what: str
) -> None:
    def write(length: int, *, whole: bool) -> None:
        place = {"row": "A", "column": "1", "field": "0"} | {what: "f" * length}
        if whole:
            wells = {(place["row"], place["column"]): {place["field"]: image()}}
            xomezarr.write_plate(wells, tmp_path / f"whole{length}", levels=1)
        else:
            image().omezarr.to_plate(tmp_path / f"one{length}", levels=1, **place)

    told = rf"the {what} 'f{{20}}…' has 201 letters and digits, .* more than 200; give {what}="
    for whole in (True, False):
        write(200, whole=whole)
        with pytest.raises(PlateError, match=told):
            write(201, whole=whole)
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == ["one200", "whole200"]


def test_what_is_no_plate_takes_no_wells(tmp_path: Path) -> None:
    image().omezarr.to_zarr(tmp_path / "image.zarr")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    for name in ("image.zarr", "notes", "notes/a.txt"):
        before = files(tmp_path)
        with pytest.raises(OmeZarrError, match=r"give another path|give the path of a plate"):
            add(tmp_path / name, "A", 1)
        assert files(tmp_path) == before
    (tmp_path / "empty").mkdir()
    add(tmp_path / "empty", "A", 1)
    check_agrees(tmp_path / "empty")
    with pytest.raises(OmeZarrError, match="list is no DataArray"):
        xomezarr.to_plate([[1]], tmp_path / "empty", row="A", column=2)  # type: ignore[arg-type]


def test_a_dataset_brings_its_labels(tmp_path: Path, version: str) -> None:
    da = image(0).isel(c=0, drop=True)
    ds = xr.Dataset({"cells": da.astype("float32"), "nuclei": (da > 2000).astype("uint16")})
    xomezarr.to_plate(
        ds, tmp_path / "p.zarr", row="A", column=1, levels=1, version=version, colors={"nuclei": {1: "red"}}
    )
    node = xomezarr.open_plate(tmp_path / "p.zarr", check=True)["A/1/0"]
    np.testing.assert_array_equal(node.omezarr.labels["nuclei"].omezarr.levels[0], ds["nuclei"])
    assert node.omezarr.labels["nuclei"].omezarr.colors == {1: "#ff0000ff"}
    check_agrees(tmp_path / "p.zarr")


def test_a_dataset_of_integers_alone_says_which_variable_is_the_image(tmp_path: Path) -> None:
    da = image(0).isel(c=0, drop=True)
    ds = xr.Dataset({"cells": da, "nuclei": (da > 2000).astype("uint16")}).assign_coords(acquisition=1)
    with pytest.raises(OmeZarrError) as raised:
        xomezarr.write_plate({("A", 1): [ds]}, tmp_path / "p.zarr", acquisitions={1: {}, 2: {}})
    told = str(raised.value)
    assert "among the variables ['cells', 'nuclei']; name the image so: ds.rename({'cells': 'image'})" in told
    assert not isinstance(raised.value, MultipleErrors)  # no fault that comes of it alone
    renamed = ds.rename({"cells": "image"})
    xomezarr.write_plate({("A", 1): [renamed]}, tmp_path / "p.zarr", acquisitions={1: {}, 2: {}}, levels=1)
    node = xomezarr.open_plate(tmp_path / "p.zarr", check=True)["A/1/0"]
    assert node.omezarr.metadata.multiscale.name == "A/1/0"
    np.testing.assert_array_equal(node.omezarr.levels[0], da)
    np.testing.assert_array_equal(node.omezarr.labels["nuclei"].omezarr.levels[0], ds["nuclei"])


def test_c6_attributes_of_a_dataset_are_those_of_the_image(tmp_path: Path, version: str) -> None:
    da = image(0).isel(c=0, drop=True).astype("float32")
    ds = xr.Dataset({"cells": da, "nuclei": (da > 2000).astype("uint16")}, attrs={"dye": "DAPI", "run": {"day": 3}})
    xomezarr.write_plate({("A", 1): [ds]}, tmp_path / "p.zarr", levels=1, version=version)
    xomezarr.to_plate(ds, tmp_path / "p.zarr", row="A", column=2, levels=1)
    ds.omezarr.to_plate(tmp_path / "p.zarr", row="A", column=3, levels=1)
    for well in ("A/1", "A/2", "A/3"):
        assert ds.attrs.items() <= open_tree(tmp_path / "p.zarr", group=f"{well}/0").attrs.items()
    with pytest.raises(OmeZarrError, match=r"well A/1, field 0: .*'multiscales'"):
        xomezarr.write_plate({("A", 1): [ds.assign_attrs(multiscales=1)]}, tmp_path / "other.zarr")


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_failure_leaves_what_was_there_before(tmp_path: Path, elsewhere: bool) -> None:
    store = MemoryStore() if elsewhere else tmp_path / "plate.zarr"

    def contents() -> dict[str, bytes]:
        if isinstance(store, MemoryStore):
            return {key: value.to_bytes() for key, value in store._store_dict.items()}
        return files(tmp_path)

    torn = xr.DataArray(FailsToLoad.lazily(image()), dims=tuple(SIZES))
    with pytest.raises(RuntimeError, match="torn"):
        add(store, "A", 1, da=torn)
    assert contents() == {}
    assert not list(tmp_path.iterdir())
    add(store, "A", 1)
    before = contents()
    for row, field in (("A", 1), ("B", 0)):
        with pytest.raises(RuntimeError, match="torn"):
            add(store, row, 1, da=torn, field=field)
        assert contents() == before
    if not elsewhere:
        assert [path.name for path in (tmp_path / "plate.zarr").iterdir() if path.is_dir()] == ["A"]
    check_agrees(store)


@pytest.mark.parametrize("others", [["A/1/0", "A/2"], ["A/2"], []])
def test_elsewhere_a_replaced_image_is_not_named_before_it_is_whole(version: str, others: list[str]) -> None:
    store = MemoryStore()
    wells: dict[tuple[str, str], dict[str, xr.DataArray]] = {("A", "1"): {"1": image(1)}}
    for path in others:
        row, column, *_ = path.split("/")
        wells.setdefault((row, column), {})["0"] = image(2)
    xomezarr.write_plate(wells, store, version=version, levels=1, name="mine")
    root, well = (zarr.open_group(store, path=path, mode="r+", use_consolidated=False) for path in ("", "A/1"))
    for group, kind, entry in ((root, "plate", "wells"), (well, "well", "images")):
        attrs = group.attrs.asdict()
        next(one for one in attrs.get("ome", attrs)[kind][entry] if one["path"] in ("A/1", "1"))["note"] = "control"
        group.attrs.put(attrs)
    before = {path: attrs_of(store, path) for path in ("", "A/1")}

    def named() -> set[str]:
        attrs = attrs_of(store)
        if "plate" not in spec.kinds(attrs):  # 74 (MUST): a plate without wells is none
            with pytest.raises(errors.IncompleteStoreError):
                xomezarr.open_plate(store)
            return set()
        plate = spec.parse_plate(attrs)
        return {
            f"{one.path}/{field.path}"
            for one in plate.wells
            for field in spec.parse_well(attrs_of(store, one.path)).fields
        }

    seen: list[set[str]] = []

    def stop(done: int) -> None:
        seen.append(named())
        raise RuntimeError("stopped")

    add(store, "A", 1, 7, field=1, mode="w")
    assert {path: attrs_of(store, path) for path in ("", "A/1")} == before
    with pytest.raises(RuntimeError, match="stopped"):
        add(store, "A", 1, 8, field=1, mode="w", progress=stop)
    left = {path if path.count("/") == 2 else f"{path}/0" for path in others}
    assert seen == [left]
    assert named() == left
    assert not [key for key in store._store_dict if key.startswith("A/1/1/")]
    if others:
        check_agrees(store)
    add(store, "A", 1, 9, field=1)
    assert named() == left | {"A/1/1"}
    assert "xomezarr" not in attrs_of(store) | attrs_of(store, "A/1")
    assert check_agrees(store).name == "mine"
    np.testing.assert_array_equal(xomezarr.open_plate(store, check=True)["A/1/1/0"]["image"], image(9))


def test_acquisitions_that_cannot_be_read_are_named_and_not_lost(plate: Path, version: str) -> None:
    document = document_of(plate, version)
    content = json.loads(document.read_text())
    attrs = content["attributes"]["ome"] if version != "0.4" else content
    attrs["plate"]["acquisitions"] = [{"name": "theirs", "id": "run-1"}]
    document.write_text(json.dumps(content))
    before = files(plate)
    for options in ({}, {"acquisition": 3}):
        with pytest.raises(MetadataError, match=r"acquisitions\[\d\]\.id: it is the string 'run-1'"):
            add(plate, "C", 1, **options)
        assert files(plate) == before


def test_metadata_of_other_tools_survive(plate: Path, version: str) -> None:
    document = document_of(plate, version)
    content = json.loads(document.read_text())
    attrs = content["attributes"] if version != "0.4" else content
    attrs["mine"] = {"a": 1}
    ours = attrs["ome"] if version != "0.4" else attrs
    ours["plate"]["barcode"] = "x1"
    ours["plate"]["wells"][0]["note"] = "control"
    document.write_text(json.dumps(content))
    if version == "0.4":
        zarr.consolidate_metadata(plate, zarr_format=2)
    add(plate, "A", "1a", acquisition=2)
    found = check_agrees(plate)
    assert found.other == {"barcode": "x1"}
    assert found.wells[0].extra == {"note": "control"}
    assert attrs_of(plate)["mine"] == {"a": 1}
    # whoever asks for metadata that were gathered before finds the new image too
    assert "A/1a/0/0" in zarr.open_group(plate, mode="r")


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("elsewhere", [False, True])
def test_metadata_that_were_gathered_are_true_of_new_images(tmp_path: Path, version: str, elsewhere: bool) -> None:
    store = MemoryStore() if elsewhere else tmp_path / "plate.zarr"
    xomezarr.write_plate({("A", 1): [image(0)]}, store, version=version, levels=1)
    if not elsewhere:
        zarr.consolidate_metadata(store, zarr_format=spec.zarr_format(version))  # type: ignore[arg-type]
    smaller = image(9).isel(x=slice(20))
    for new in ({"row": "A", "column": 1, "field": 1}, {"row": "B", "column": 2}):
        add(store, **new)
    add(store, "A", 1, da=smaller, mode="w")
    gathered = zarr.open_group(store, mode="r")
    assert gathered.metadata.consolidated_metadata is not None
    assert gathered["A/1/0/0"].shape == smaller.shape  # type: ignore[union-attr]
    assert {"A/1/1/0", "B/2/0/0"} <= dict(gathered.members(max_depth=None)).keys()
    plain = zarr.open_group(store, mode="r", use_consolidated=False)
    assert gathered.attrs.asdict() == plain.attrs.asdict()
    assert gathered["A/1"].attrs.asdict() == plain["A/1"].attrs.asdict()
    check_agrees(store)


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_metadata_that_were_gathered_above_a_plate_in_a_store_are_true_of_new_images(version: str) -> None:
    store = MemoryStore()
    zarr.create_group(store, zarr_format=spec.zarr_format(version))  # type: ignore[arg-type]
    plate = zarr.storage.StorePath(store, "plate")
    add(plate, "A", 1, version=version)
    zarr.consolidate_metadata(store)
    add(plate, "A", 2)
    assert "plate/A/2/0/0" in zarr.open_group(store, mode="r", use_consolidated=True)


def test_a_plate_in_the_making_says_so(tmp_path: Path, version: str) -> None:
    from xomezarr.store import publish

    store = tmp_path / "plate.zarr"
    with publish(store, zarr_format=spec.zarr_format(version), mode="w-"):
        pass  # the first writer was stopped here
    with pytest.raises(IncompleteStoreError, match="interrupted"):
        xomezarr.open_plate(store)
    alike = spec.of_format(spec.zarr_format(version))
    other = next(other for other in VERSIONS if other not in alike)
    with pytest.raises(PlateError, match=f"the plate is of OME-Zarr {' or '.join(alike)}, and version='{other}' is"):
        add(store, "A", 1, version=other)
    add(store, "A", 1, version=None if version == alike[0] else version)  # the oldest is taken where none is asked
    assert check_agrees(store).version == version
    for other in set(alike) - {version}:
        with pytest.raises(PlateError, match=f"the plate is of OME-Zarr {version}, and version='{other}' is"):
            add(store, "A", 2, version=other)
    assert "xomezarr" not in attrs_of(store)


# -- several processes -------------------------------------------------------------------------------------

WRITER = """
import sys
import numpy as np
import xarray as xr
import xomezarr

def image(seed):
    pixels = np.random.default_rng(seed).integers(0, 4000, (16, 24), dtype="uint16")
    da = xr.DataArray(pixels, dims=("y", "x"), name="cells")
    return da.omezarr.assign_grid(scale={"y": 0.5, "x": 0.5})

def write(store, seeds, mode="w-"):
    for seed in seeds:
        row, column = divmod(seed, 12)
        image(seed).omezarr.to_plate(
            store, row="ABCDEFGH"[row], column=column + 1, levels=1, workers=1, mode=mode, acquisition=seed % 3
        )
"""


def small(seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 4000, (16, 24), dtype="uint16")


def check_pixels(store: Path, seeds: Iterable[int]) -> None:
    """Make sure that all images are there, with all their pixels."""
    tree = xomezarr.open_plate(store, check=True)
    for seed in seeds:
        row, column = divmod(seed, 12)
        node = tree[f"{'ABCDEFGH'[row]}/{column + 1}/0/0"]
        np.testing.assert_array_equal(node["image"], small(seed))
        assert node.coords["acquisition"].item() == seed % 3


NURSERY = f"""{WRITER}
import json
import os
import pathlib
import random
import shutil
import signal
import time

from xomezarr import spec, stage
from xomezarr.wells import Layout, Place

# what takes long is loaded once, before processes go on as others; no thread runs yet
image(0).omezarr.plan("nowhere.zarr")
Layout.of([Place("A", "1", "0", None)], None, None, None, "plate", []).check("0.4")
store = sys.argv[1]

def forked(do):
    child = os.fork()
    if child:
        return child
    try:
        do()
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        os._exit(1)
    os._exit(0)
"""

KILLED = """
chance = random.Random(0)

def listed():
    document = pathlib.Path(store, ".zattrs")
    return len(json.loads(document.read_text()).get("plate", {}).get("wells", ())) if document.exists() else 0

pause, before = 0.05, 0
for turn in range(60):
    seeds = list(range(96))
    chance.shuffle(seeds)
    children = [forked(lambda number=number: write(store, seeds[number::4], "w")) for number in range(4)]
    time.sleep(chance.uniform(0.5, 1) * pause)
    for child in children:
        os.kill(child, signal.SIGKILL)
    for child in children:
        os.waitpid(child, 0)
    if os.path.exists(store):
        shutil.copytree(store, f"{store}-{turn}")
    before, more = listed(), listed() - before
    if before > 40:  # the others are left to be written
        break
    pause *= 1.5 if more < 5 else 0.7 if more > 10 else 1  # machines differ
"""


def raise_children(code: str, store: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", NURSERY + code, str(store)],
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert (answer.returncode, answer.stderr.decode()) == (0, "")


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process that goes on as another is needed")


def test_what_is_written_between_two_looks_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of Zarr v2 a group has two documents: who reads one before and the other after they come sees no plate."""
    store = tmp_path / "plate.zarr"
    image(1).omezarr.to_plate(store, row="A", column="1", version="0.4")
    said, late = (store / ".zattrs").read_bytes(), [True]
    (store / ".zattrs").unlink()
    open_group = plating.open_group

    def as_it_comes(*args: Any, **kwargs: Any) -> zarr.Group:
        group = open_group(*args, **kwargs)
        if late:
            late.clear()
            (store / ".zattrs").write_bytes(said)
        return group

    monkeypatch.setattr(plating, "open_group", as_it_comes)
    image(2).omezarr.to_plate(store, row="A", column="2", version="0.4")
    assert [well.path for well in check_agrees(store).wells] == ["A/1", "A/2"]


WRITTEN = """
seeds = [int(seed) for seed in sys.argv[2:]]
children = [forked(lambda number=number: write(store, seeds[number::4])) for number in range(4)]
sys.exit(sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


@needs_fork
def test_eight_processes_write_one_plate(tmp_path: Path) -> None:
    """They are four of each of two interpreters, as to start one takes longer than to write twelve images."""
    store = tmp_path / "plate.zarr"
    seeds = list(range(96))
    random.Random(0).shuffle(seeds)
    parents = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", NURSERY + WRITTEN, str(store), *map(str, seeds[half::2])],
            stderr=subprocess.PIPE,
        )
        for half in (0, 1)
    ]
    looked = 0
    while any(parent.poll() is None for parent in parents):
        if is_plate(store):
            check_agrees(store)
            looked += 1
        time.sleep(0.05)
    for parent in parents:
        told = parent.communicate()[1].decode()
        assert (parent.returncode, told) == (0, "")
    assert looked > 3
    found = check_agrees(store)
    assert len(found.wells) == 96
    assert [run.id for run in found.acquisitions or ()] == [0, 1, 2]
    judge(store, "0.4")
    check_pixels(store, range(96))
    assert {path.name for path in store.iterdir()} == {*"ABCDEFGH", ".zattrs", ".zgroup"}


@needs_fork
def test_writers_that_are_killed_leave_a_plate_that_can_be_completed(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    raise_children(KILLED, store)
    snapshots = [path for path in sorted(tmp_path.glob("plate.zarr-*")) if is_plate(path)]
    assert len(snapshots) > 3
    for snapshot in snapshots:
        check_agrees(snapshot)
    listed = {well.path for well in check_agrees(store).wells}
    assert 0 < len(listed) < 96
    for seed in range(96):
        row, column = divmod(seed, 12)
        place = {"row": "ABCDEFGH"[row], "column": column + 1, "levels": 1, "acquisition": seed % 3}
        told = ""
        try:
            small_image(seed).omezarr.to_plate(store, **place)
        except StoreExistsError as error:
            told = str(error)
        assert ("already" in told) == (f"{place['row']}/{place['column']}" in listed)
        if "does not list" in told:
            small_image(seed).omezarr.to_plate(store, **place, mode="w")
    assert len(check_agrees(store).wells) == 96
    check_pixels(store, range(96))


def small_image(seed: int) -> xr.DataArray:
    da = xr.DataArray(small(seed), dims=("y", "x"), name="cells")
    return da.omezarr.assign_grid(scale={"y": 0.5, "x": 0.5})


STOPPED = """
def stopped_at(limit, place, **options):
    '''Write in a process of its own that ends at its step of this number, and return whether it came to the end.'''
    left = [limit]

    def counted(change):
        def changed(*arguments, **named):
            if not left[0]:
                os._exit(9)
            left[0] -= 1
            return change(*arguments, **named)
        return changed

    def do():
        path = pathlib.Path
        for owner, name in (
            (path, "replace"), (path, "rename"), (path, "mkdir"), (stage, "_exchange"), (stage, "write_file"),
        ):
            setattr(owner, name, counted(getattr(owner, name)))
        image(7).omezarr.to_plate(place, row="B", column=3, levels=1, workers=1, **options)

    return os.waitstatus_to_exitcode(os.waitpid(forked(do), 0)[1]) == 0

for name, options in {
    "new": {}, "well": {"acquisition": 1}, "field": {"acquisition": 1, "field": 1}, "again": {"mode": "w"},
}.items():
    for limit in range(100):
        place = f"{store}/{name}-{limit}"
        if name != "new":
            shutil.copytree(f"{store}/{name}", place)
        if stopped_at(limit, place, **options):
            break
"""


@needs_fork
def test_a_writer_that_is_killed_at_any_step_leaves_metadata_that_agree(tmp_path: Path) -> None:
    before = {"well": ("A", 1, 0), "field": ("B", 3, 0), "again": ("B", 3, None)}
    for name, (row, column, acquisition) in before.items():
        small_image(1).omezarr.to_plate(tmp_path / name, row=row, column=column, levels=1, acquisition=acquisition)
    raise_children(STOPPED, tmp_path)
    counts = {}
    for name in ("new", *before):
        runs = sorted(tmp_path.glob(f"{name}-*"), key=lambda path: int(path.name.rpartition("-")[2]))
        counts[name] = len(runs)
        for number, store in enumerate(runs):
            whole = number == len(runs) - 1
            field = int(name == "field")
            listed = False
            if is_plate(store):
                plate = check_agrees(store)
                tree = xomezarr.open_plate(store, check=True).load()
                listed = "B/3" in {well.path for well in plate.wells} and str(field) in tree["B/3"].children
            assert listed or not whole
            assert name == "new" or is_plate(store)
            place: dict[str, Any] = {"row": "B", "column": 3, "levels": 1, "field": field}
            if name in ("well", "field"):
                place["acquisition"] = 1
            # who was stopped can do it again: at once, or, where the error says so, over what is there
            told = ""
            try:
                small_image(9).omezarr.to_plate(store, **place)
            except StoreExistsError as error:
                told = str(error)
                small_image(9).omezarr.to_plate(store, **place, mode="w")
            assert told or not listed
            assert not told or ("already" in told if listed else "does not list" in told)
            check_agrees(store)
            tree = xomezarr.open_plate(store, check=True)
            np.testing.assert_array_equal(tree[f"B/3/{place['field']}/0"]["image"], small(9))
            if name == "well":
                np.testing.assert_array_equal(tree["A/1/0/0"]["image"], small(1))
    assert min(counts.values()) > 4, counts


def test_a_row_that_a_killed_writer_left_without_a_group_gets_one(tmp_path: Path) -> None:
    store = tmp_path / "screen.ome.zarr"
    da = xr.DataArray(np.zeros((8, 8), "u1"), dims=("y", "x"))
    da.omezarr.to_plate(store, row="A", column=1)
    (store / "B" / "2").mkdir(parents=True)
    (store / "B" / "2" / ".zgroup").write_text('{"zarr_format": 2}')
    da.omezarr.to_plate(store, row="B", column=2)
    assert xomezarr.validate(store).valid


def test_a_folder_of_a_users_own_is_not_taken_for_a_plate(tmp_path: Path) -> None:
    (tmp_path / "mine" / "photos" / "2024").mkdir(parents=True)
    (tmp_path / "mine" / "photos" / "2024" / "a.txt").write_text("mine")
    da = xr.DataArray(np.zeros((8, 8), "u1"), dims=("y", "x"))
    with pytest.raises(errors.OmeZarrError):
        da.omezarr.to_plate(tmp_path / "mine", row="photos", column=2024)
    assert [path.name for path in (tmp_path / "mine").rglob("*")] == ["photos", "2024", "a.txt"]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_c6_labels_of_a_field_that_is_replaced_are_told(tmp_path: Path, elsewhere: bool) -> None:
    store: Any = MemoryStore() if elsewhere else tmp_path / "plate.zarr"
    da = xr.DataArray(np.zeros((8, 8), "u1"), dims=("y", "x"))
    cells = xr.Dataset({"image": da, "nuclei": da.astype("u2")})
    xomezarr.write_plate({("A", 1): [cells]}, store, levels=1)
    with pytest.warns(errors.OtherImagesWarning, match=r"A/1/0' has labels \(nuclei\).*give the labels too"):
        da.omezarr.to_plate(store, row="A", column=1, mode="w", levels=1)
    cells.omezarr.to_plate(store, row="A", column=1, mode="w", levels=1)
    cells.omezarr.to_plate(store, row="A", column=1, mode="w", levels=1)  # as said: nothing goes
    assert list(xomezarr.open_plate(store, check=True)["A/1/0"].omezarr.labels) == ["nuclei"]


def test_c6_what_a_plate_or_a_collection_replaces_is_told_unless_it_is_its_like(tmp_path: Path) -> None:
    da = xr.DataArray(np.zeros((8, 8), "u1"), dims=("y", "x"))

    def plate(store: Path) -> None:
        xomezarr.write_plate({("A", 1): [da]}, store, mode="w", levels=1)

    def collection(store: Path) -> None:
        xomezarr.write_collection({"a": da}, store, mode="w", levels=1)

    def labelled(store: Path) -> None:
        da.omezarr.to_zarr(store, mode="w", levels=1, labels={"nuclei": da})

    told = {plate: "is a plate", collection: "is a collection", labelled: r"has labels \(nuclei\)"}
    for number, (before, message) in enumerate(told.items()):
        for after in (plate, collection):
            store = tmp_path / f"{number}-{after.__name__}.zarr"
            before(store)
            if after is before:
                after(store)
                continue
            with pytest.warns(errors.OtherImagesWarning, match=message):
                after(store)


def test_a_report_is_true_where_no_must_is_broken(plate: Path, version: str) -> None:
    assert xomezarr.validate(plate)
    document = document_of(plate, version)
    content = json.loads(document.read_text())
    attrs = content["attributes"]["ome"] if version != "0.4" else content
    attrs["plate"]["wells"][0]["rowIndex"] = 9
    document.write_text(json.dumps(content))
    assert not xomezarr.validate(plate)


# -- a tree, written ---------------------------------------------------------------------------------------


def table(values: Iterable[int]) -> pd.DataFrame:
    index = pd.Index(list(values), name="label", dtype="uint16")
    return pd.DataFrame({"area": np.arange(len(index), dtype="float32"), "kind": ["round"] * len(index)}, index=index)


def full(seed: int, run: int | None = None) -> xr.Dataset:
    """An image with all that it may say of itself, and labels."""
    da = image(seed, name=f"cells {seed}", exposure=seed).assign_coords(stage=0.5 * seed)
    if run is not None:
        da = da.assign_coords(acquisition=run)
    da = da.omezarr.assign_channels([{"label": "DNA", "color": f"0000{seed:02X}"}, {"label": "ER", "color": "green"}])
    nuclei = (image(seed).isel(c=0, drop=True) > 3000).astype("uint16")
    attrs = {"of_image": {"seed": seed}, NAME_ATTR: da.name}
    return xr.Dataset({"image": da, "nuclei": nuclei}, attrs=attrs)


def full_plate(store: Any, version: str) -> None:
    """Write a plate with all that plates may hold, from other tools too."""
    wells: dict[Any, Any] = {
        ("B", 2): {"left": full(0, 3), "7": full(1, 5)},
        ("A", 12): {"up": full(2, 5), "7": full(4, 5)},
        ("A", 1): [image(3).assign_coords(acquisition=3)],
    }
    runs = {3: {"name": "first", "start_time": 5}, 5: Acquisition(5, description="second", extra={"lamp": "on"})}
    lines: dict[str, Any] = {"rows": "ABC", "columns": [1, 2, 3, 12]}
    xomezarr.write_plate(wells, store, name="screen", acquisitions=runs, version=version, levels=3, **lines)
    labels = full(9)["nuclei"]
    labels.omezarr.to_labels(below(store, "A/12/7"), "cells", colors={1: "red"}, properties=table([1]))
    for path in ("", "B/2"):
        group = zarr.open_group(below(store, path), mode="r+", use_consolidated=False)
        said = dict(group.attrs)
        inside = said["ome"] if version != "0.4" else said
        kind = "plate" if "plate" in inside else "well"
        inside[kind] = {**inside[kind], "theirs": [kind]}
        if kind == "plate":
            inside[kind]["rows"][0]["colour"] = "red"
        else:
            inside[kind]["images"][0]["focus"] = 1.5
            inside[kind]["images"].reverse()
        if version != "0.4":
            inside["inside"] = kind
        group.attrs.put({**said, "beside": {"of": kind}})


OPENERS: Mapping[str, Any] = {
    "as it is opened": xomezarr.open_plate,
    "all checked": lambda store: xomezarr.open_plate(store, check=True),
    "by the engine": lambda store: xr.open_datatree(store, engine="omezarr"),
    "by dask": lambda store: xr.open_datatree(store, engine="omezarr", chunks={}),
    "copied": lambda store: xomezarr.open_plate(store).copy(deep=True),
    "loaded": lambda store: xr.open_datatree(store, engine="omezarr").load(),
}


@pytest.mark.sweep(2)
@pytest.mark.filterwarnings("ignore:.*has scalar coordinates of its own:xomezarr.errors.PlateWarning")
@pytest.mark.parametrize("how", OPENERS)
def test_c6_the_tree_of_a_plate_is_written_as_it_is(tmp_path: Path, version: str, how: str) -> None:
    store, copy = tmp_path / "plate.zarr", tmp_path / "copy.zarr"
    full_plate(store, version)
    written = OPENERS[how](store).omezarr.to_zarr(copy)
    assert written.omezarr.version == version
    check_same_stores(store, copy)
    for check in (False, True):
        check_same_trees(*(xomezarr.open_plate(place, check=check) for place in (store, copy)))
    check_agrees(copy)
    judge(copy, version)


@pytest.mark.sweep(2)
@pytest.mark.parametrize("other", VERSIONS)
def test_c6_what_a_plate_says_survives_another_version_and_the_way_back(
    tmp_path: Path, version: str, other: str
) -> None:
    store, there, back = (tmp_path / name for name in ("plate.zarr", "there.zarr", "back.zarr"))
    full_plate(store, version)
    tree = xomezarr.open_plate(store).omezarr.to_zarr(there, version=other)
    assert tree.omezarr.version == other
    check_same_trees(*(xomezarr.open_plate(place, check=True) for place in (store, there)), attrs=False)
    check_agrees(there)
    judge(there, other)
    tree.omezarr.to_zarr(back, version=version)
    expected, found = group_attributes(store), group_attributes(back)
    # 0.4 has no place for what stands among the metadata
    for path in ("", "B/2") if other == "0.4" != version else ():
        expected[path]["inside"] = expected[path]["ome"].pop("inside")
    assert found == expected


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_elsewhere_a_plate_is_written_as_it_is(tmp_path: Path, version: str) -> None:
    store, copy = (f"memory://{tmp_path.name}-{version}/{name}.zarr" for name in ("plate", "copy"))
    xomezarr.write_plate({("A", column): [full(column), full(2)] for column in (1, 2, 3)}, store, version=version)
    xomezarr.open_plate(store).omezarr.to_zarr(copy)
    check_same_stores(store, copy)
    check_same_trees(*(xomezarr.open_plate(place, check=True) for place in (store, copy)))


LABEL_DTYPES = ("bool", *(f"{kind}{bits}" for kind in ("uint", "int") for bits in (8, 16, 32, 64)))


@settings(max_examples=12)
@given(
    wells=st.dictionaries(
        st.tuples(st.sampled_from("ABG"), st.integers(1, 12)),
        st.dictionaries(st.sampled_from(["0", "1", "left"]), st.sampled_from([None, *LABEL_DTYPES]), min_size=1),
        min_size=1,
        max_size=3,
    ),
    runs=st.none() | st.lists(st.sampled_from([2, 4]), min_size=9, max_size=9),
    taken=st.sets(st.integers(0, 8), max_size=4),
    version=st.sampled_from(VERSIONS),
    check=st.booleans(),
)
def test_a_tree_of_which_images_were_taken_away_is_the_plate_of_the_others(
    wells: dict[Any, dict[str, str | None]], runs: list[int] | None, taken: set[int], version: str, check: bool
) -> None:
    def one(number: int, dtype: str | None) -> Any:
        da = small_image(number % 3).rename(f"image {number}").assign_attrs(number=number)
        da = da if runs is None else da.assign_coords(acquisition=runs[number])
        labels = {} if dtype is None else {"labels": (da > 2).astype(dtype)}
        return xr.Dataset({"image": da, **labels}, attrs={"number": number})

    numbers = iter(range(99))
    given = {well: {field: one(next(numbers), dtype) for field, dtype in of.items()} for well, of in wells.items()}
    options: dict[str, Any] = {
        "rows": "ABCG",
        "columns": range(1, 13),
        "name": "screen",
        "version": version,
        "levels": 2,
        "acquisitions": runs and {2: {"name": "before"}, 4: {"name": "after"}},
    }
    store, copy, expected = MemoryStore(), MemoryStore(), MemoryStore()
    xomezarr.write_plate(given, store, **options)
    tree = xomezarr.open_plate(store, check=check)
    places = [(well, field) for well, of in given.items() for field in of]
    gone = {place for number, place in enumerate(places) if number in taken}
    if len(gone) == len(places):
        gone.pop()
    left = {well: {f: da for f, da in of.items() if (well, f) not in gone} for well, of in given.items()}
    for (row, column), field in gone:
        if left[row, column]:
            del tree[f"{row}/{column}"][field]
    for row, column in (well for well, of in left.items() if not of):
        del tree[row][str(column)]
    tree.omezarr.to_zarr(copy)
    xomezarr.write_plate({well: of for well, of in left.items() if of}, expected, **options)
    check_same_trees(*(xomezarr.open_plate(place, check=True) for place in (expected, copy)))
    check_same_stores(expected, copy)


def test_a_filtered_tree_is_written_as_it_is(tmp_path: Path, version: str) -> None:
    store, copy = tmp_path / "plate.zarr", tmp_path / "copy.zarr"
    full_plate(store, version)
    for field in (8, 9):  # a well of three images, which is left out
        image(8).assign_coords(acquisition=5).omezarr.to_plate(store, row="A", column=1, field=field, levels=1)
    tree = xomezarr.open_plate(store).filter(lambda node: not node.path.startswith(("/B", "/A/1/")))
    tree.omezarr.to_zarr(copy)
    plate = check_agrees(copy, strict=False)  # a run without images has no number of them
    assert [well.path for well in plate.wells] == ["A/12"]
    assert [row.name for row in plate.rows] == list("ABC")
    assert plate.field_count == 2
    assert {run.id: run.maximum_field_count for run in plate.acquisitions or ()} == {3: None, 5: 2}
    before, after = (xomezarr.open_plate(place, check=True)["A/12"] for place in (store, copy))
    check_same_trees(before, after)


def test_a_part_of_the_levels_is_written_where_all_images_were_opened(tmp_path: Path, version: str) -> None:
    store, copy = tmp_path / "plate.zarr", tmp_path / "copy.zarr"
    full_plate(store, version)
    tree = xomezarr.open_plate(store, check=True)
    for path in images_of(tree):
        for node in (tree[path], *tree[path].omezarr.labels.values()):
            del node["2"]
    tree.omezarr.to_zarr(copy)
    found = xomezarr.open_plate(copy, check=True)
    check_same_trees(tree, found, attrs=False)
    check_agrees(copy)
    assert xomezarr.validate(copy).valid


def test_images_that_are_put_into_a_tree_are_listed(tmp_path: Path, version: str) -> None:
    store, copy = tmp_path / "plate.zarr", tmp_path / "copy.zarr"
    full_plate(store, version)
    tree = xomezarr.open_plate(store)
    tree["G/5/new"] = image(7).assign_coords(acquisition=9).omezarr.pyramid(levels=2)
    tree["B/2/8"] = xomezarr.open_plate(store)["A/12/7"]
    tree.omezarr.to_zarr(copy)
    plate = check_agrees(copy)
    assert [row.name for row in plate.rows] == list("ABCG")
    assert [column.name for column in plate.columns] == ["1", "2", "3", "5", "12"]
    assert [run.id for run in plate.acquisitions or ()] == [3, 5, 9]
    found = xomezarr.open_plate(copy, check=True)
    testing.assert_identical(without_place(found["G/5/new"].omezarr.level(0)), image(7))
    assert found["B/2/8/0"].coords["acquisition"].item() == 5
    assert found["B/2/8"].omezarr.name == "cells 4"
    assert list(found["B/2/8"].omezarr.labels) == ["nuclei", "cells"]
    tree["Z/9/0"] = image(7).omezarr.pyramid(levels=1)
    with pytest.raises(PlateError, match=r"acquisitions 3, 5, 9, and well Z/9, field 0 does not say of which"):
        tree.omezarr.to_zarr(tmp_path / "other.zarr")


def test_arrays_datasets_and_trees_make_one_plate(tmp_path: Path, version: str) -> None:
    store, plate = tmp_path / "full.zarr", tmp_path / "plate.zarr"
    full_plate(store, version)
    one, three = (image(seed).assign_coords(acquisition=5) for seed in (0, 2))
    tree = three.omezarr.pyramid(method="nearest", levels=3)
    well = xomezarr.open_plate(store)["B/2"]
    xomezarr.write_plate({("A", 1): [one, full(5, 3), tree], ("C", 3): well}, plate, version=version)
    found = xomezarr.open_plate(plate, check=True)
    for number, level in enumerate(tree.omezarr.levels):
        testing.assert_identical(found["A/1/2"].omezarr.level(number).drop_vars(PLACES[:3]), level)
    assert [len(found[f"A/1/{number}"].omezarr.levels) for number in range(3)] == [1, 1, 3]
    assert list(found["C/3"]) == list(well) == ["left", "7"]
    for field in ("left", "7"):
        before = xomezarr.open_plate(store, check=True)[f"B/2/{field}"]
        for dim in ("row", "column"):
            assert found[f"C/3/{field}/0"].coords[dim].item() == {"row": "C", "column": "3"}[dim]
        for level, own in zip(before.omezarr.levels, found[f"C/3/{field}"].omezarr.levels, strict=True):
            testing.assert_identical(without_place(own), without_place(level))
        assert found[f"C/3/{field}"].attrs["of_image"] == before.attrs["of_image"]
        assert list(found[f"C/3/{field}"].omezarr.labels) == ["nuclei"]
    with pytest.raises(
        OmeZarrError, match=r"well A/1, field 0: its levels are .* method= and levels= say how.*level\(0\)$"
    ):
        xomezarr.write_plate({("A", 1): [tree]}, tmp_path / "other.zarr", method="nearest", levels=2)
    with pytest.raises(PlateError, match=r"the well \('A', 1\) has a DataTree for images; give a list of them"):
        xomezarr.write_plate({("A", 1): tree}, tmp_path / "other.zarr")
    with pytest.raises(LevelError, match="holds 2 images; take one of them"):
        xomezarr.write_plate({("A", 1): [well]}, tmp_path / "other.zarr")


def test_one_image_of_a_plate_is_written_with_all_that_it_says(tmp_path: Path, version: str) -> None:
    store = tmp_path / "plate.zarr"
    full_plate(store, version)
    for number, path in enumerate(("B/2/7", "A/12/7")):  # one that was opened, and one that was taken to be like it
        tree = xomezarr.open_plate(store)[path]
        copy = tree.omezarr.to_zarr(tmp_path / f"{number}.zarr")
        check_same_trees(xomezarr.open_plate(store, check=True)[path].copy(), copy)
    assert {*tree.omezarr.labels} == set()  # nothing is put into the tree that was given


@pytest.mark.filterwarnings("ignore:.*has scalar coordinates of its own:xomezarr.errors.PlateWarning")
def test_what_is_not_known_of_a_changed_image_is_told_once(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    full_plate(store, "0.4")
    tree = xomezarr.open_plate(store)
    cut = tree.isel(c=slice(1))
    with pytest.warns(PlateWarning, match=r"'A/1/0' .* was changed since .*check=True\) \(and 4 more") as told:
        cut.omezarr.to_zarr(tmp_path / "cut.zarr")
    assert len(told) == 1
    true = xomezarr.open_plate(store, check=True).isel(c=slice(1))
    true.omezarr.to_zarr(tmp_path / "true.zarr")
    found = xomezarr.open_plate(tmp_path / "true.zarr", check=True)
    assert found["A/12/7"].omezarr.name == "cells 4"
    np.testing.assert_array_equal(found["A/12/7/0"]["image"], full(4)["image"][:1])


@pytest.mark.filterwarnings("ignore:.*has scalar coordinates of its own:xomezarr.errors.PlateWarning")
def test_other_pixels_are_written_with_what_the_images_say(tmp_path: Path) -> None:
    store, copy = tmp_path / "plate.zarr", tmp_path / "copy.zarr"
    full_plate(store, "0.5")
    tree = xomezarr.open_plate(store)
    for path in images_of(tree):
        for node in tree[path].children.values():
            node["image"].variable.data = node["image"].variable.values + np.uint16(1)
    tree.omezarr.to_zarr(copy)
    check_same_stores(store, copy)
    np.testing.assert_array_equal(xomezarr.open_plate(copy)["A/12/7/0"]["image"], full(4)["image"] + 1)


@pytest.mark.parametrize("what", ["place", "day"])
def test_a_tree_that_is_not_true_of_an_image_is_not_written(tmp_path: Path, what: str, version: str) -> None:
    first, other = ALIKE_BUT[what]
    store, new = tmp_path / "plate.zarr", tmp_path / "new.zarr"
    wells = {("A", column): [first if column < 3 else other] for column in range(1, 10)}
    xomezarr.write_plate(wells, store, levels=1, irregular="keep", version=version)
    for tree in (xomezarr.open_plate(store), xr.open_datatree(store, engine="omezarr")):
        with pytest.raises(MultipleErrors) as raised:
            tree.omezarr.to_zarr(new, irregular="keep")
        told = [str(error) for error in raised.value.exceptions]
        assert len(told) == 6
        assert told[0].startswith("the image 'A/3/0' of the tree: 'A/3/0' of the plate")
        assert all(message.endswith("take it from there: open_plate(store, check=True)") for message in told[:5])
        assert told[5] == "2 more faults such as these, of other images; mend them alike"
        assert not new.exists()
    xomezarr.open_plate(store, check=True).omezarr.to_zarr(new, irregular="keep")
    check_same_stores(store, new)


def test_an_image_of_other_levels_than_it_was_taken_to_have_is_not_written(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    xomezarr.write_plate({("A", 1): [image()], ("A", 2): [image()]}, store, levels=2)
    xomezarr.to_plate(image(), store, row="A", column=3, levels=3)
    tree = xomezarr.open_plate(store)
    with pytest.raises(PlateError, match=r"A/3/0' has 3 levels, and its tree 2; open it again.*check=True"):
        tree.omezarr.to_zarr(tmp_path / "new.zarr")
    shutil.rmtree(store / "A" / "2" / "0")
    del tree["A"]["3"]
    with pytest.raises(PlateError, match=r"'A/2/0' of the plate .* cannot be opened any more"):
        tree.omezarr.to_zarr(tmp_path / "new.zarr")
    assert not (tmp_path / "new.zarr").exists()


def test_c7_a_part_of_a_plate_is_none(plate: Path, tmp_path: Path) -> None:
    tree = xomezarr.open_plate(plate)
    told = r"^the tree is a well, and holds 2 images; write the whole.*tree\.root.*write_plate\({\('A', '1'\): tree}"
    with pytest.raises(LevelError, match=told):
        tree["A/1"].omezarr.to_zarr(tmp_path / "new.zarr")
    xomezarr.write_plate({("A", "1"): tree["A/1"]}, tmp_path / "well.zarr")
    assert list(xomezarr.open_plate(tmp_path / "well.zarr")["A/1"]) == ["0", "1"]
    told = r"^the tree is neither .*, and holds 4 images; write the whole .*, or one image: tree\['1/0'\]\.omezarr"
    with pytest.raises(LevelError, match=told):
        tree["A"].omezarr.to_zarr(tmp_path / "new.zarr")
    # one whose root was filtered away says nothing of a plate any more
    with pytest.raises(LevelError, match="neither an image nor a plate nor a collection"):
        tree.filter(lambda node: "/A/" in node.path).omezarr.to_zarr(tmp_path / "new.zarr")
    with pytest.raises(PlateError, match="has no image of a plate"):
        tree.filter(lambda node: node.path == "/").omezarr.to_zarr(tmp_path / "new.zarr")
    assert not (tmp_path / "new.zarr").exists()


def test_c7_what_has_no_place_in_the_store_is_named(plate: Path, tmp_path: Path) -> None:
    tree = xomezarr.open_plate(plate)
    tree["A/1"].dataset = tree["A/1"].dataset.assign(counts=("field", [1, 2]))
    tree["A"].attrs["medium"] = "agar"
    tree["far/too/deep/0"] = image().omezarr.pyramid(levels=1)
    tree["B/12/a b"] = image().omezarr.pyramid(levels=1)
    with pytest.raises(MultipleErrors) as raised:
        tree.omezarr.to_zarr(tmp_path / "new.zarr")
    told = str(raised.value)
    for part in (
        "the node 'A/1' has the variables 'counts' beside its images, and there is no place for them in the store; "
        "take them out: tree['A/1'].dataset = tree['A/1'].to_dataset().drop_vars(['counts'])",
        "the node 'A' has the attributes 'medium' beside its images",
        "the image 'far/too/deep/0' of the tree: it is no row, column and field",
        "the image 'B/12/a b' of the tree: the field 'a b' is not made of letters and digits",
    ):
        assert part in told, told
    assert not (tmp_path / "new.zarr").exists()
    del tree["far"], tree["B/12"]["a b"]
    tree["A/1"].dataset = tree["A/1"].to_dataset().drop_vars(["counts"])
    tree["A"].attrs.clear()
    tree["A/1"].attrs["medium"] = "agar"  # a well has attributes of its own
    tree["A/2"].attrs = {"medium": "broth"}
    tree.omezarr.to_zarr(tmp_path / "new.zarr")
    check_agrees(tmp_path / "new.zarr")
    assert [attrs_of(tmp_path / "new.zarr", well)["medium"] for well in ("A/1", "A/2")] == ["agar", "broth"]


def test_wells_get_the_paths_that_they_are_to_have(tmp_path: Path, version: str) -> None:
    store, copy = tmp_path / "plate.zarr", tmp_path / "copy.zarr"
    xomezarr.write_plate({("A", 1): [image(0)], ("B", 2): [image(1)]}, store, version=version)
    (store / "A" / "1").rename(store / "first")
    document = document_of(store, version)
    overwrite(document, document.read_text().replace('"A/1"', '"first"'))
    tree = xomezarr.open_plate(store)
    with pytest.warns(PlateWarning, match=r"the paths of their rows and columns.*: 'first' is 'A/1'"):
        tree.omezarr.to_zarr(copy)
    check_agrees(copy)
    found = xomezarr.open_plate(copy, check=True)
    testing.assert_identical(without_place(found["A/1/0"].omezarr.level(0)), image(0))


def test_coordinates_of_a_place_that_an_image_has_itself_stay_its_own(tmp_path: Path, version: str) -> None:
    store, copy = tmp_path / "plate.zarr", tmp_path / "copy.zarr"
    own = image(1).assign_coords(row="A", field=0)
    xomezarr.write_plate({("A", 1): [image(0)], ("A", 2): [own]}, store, version=version)
    for check in (False, True):
        xomezarr.open_plate(store, check=check).omezarr.to_zarr(copy, mode="w")
        check_same_stores(store, copy)
        assert "row" not in open_tree(copy, group="A/1/0").omezarr.level(0).coords
        assert open_tree(copy, group="A/2/0").omezarr.level(0).coords["row"].item() == "A"


def test_coordinates_that_were_left_out_stay_out(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    full_plate(store, "0.4")
    tree = xomezarr.open_plate(store, drop_variables=["stage", "row"])
    tree.omezarr.to_zarr(tmp_path / "copy.zarr")
    for path in images_of(tree):
        assert "stage" not in open_tree(tmp_path / "copy.zarr", group=path).omezarr.level(0).coords


def test_a_plate_is_written_later_with_progress_and_over_itself(tmp_path: Path, version: str) -> None:
    store, copy = tmp_path / "plate.zarr", tmp_path / "copy.zarr"
    full_plate(store, version)
    told: list[int] = []
    later = xomezarr.open_plate(store).omezarr.to_zarr(copy, compute=False, progress=told.append)
    assert not copy.exists()
    later.compute()
    levels = [node["image"] for node in xomezarr.open_plate(store).leaves]
    true = xomezarr.open_plate(store, check=True)
    labels = [node for path in images_of(true) for node in true[path].omezarr.labels.values()]
    levels += [level for node in labels for level in node.omezarr.levels]
    assert sum(told) == sum(da.nbytes for da in levels)
    with pytest.raises(StoreExistsError):
        xomezarr.open_plate(store).omezarr.to_zarr(copy)
    xomezarr.open_plate(copy).omezarr.to_zarr(copy, mode="w", name="renamed")
    plate = check_agrees(copy)
    assert plate.name == "renamed"
    check_same_trees(*(xomezarr.open_plate(place, check=True)["B"] for place in (store, copy)))
    tree = xomezarr.open_plate(store)
    with pytest.raises(OmeZarrError, match="max_memory"):
        tree.omezarr.to_zarr(tmp_path / "new.zarr", max_memory="much")


@pytest.mark.parametrize("dtype", LABEL_DTYPES)
def test_elsewhere_what_is_in_memory_replaces_a_plate(dtype: str, version: str) -> None:
    store = MemoryStore()
    da = small_image(1)
    ds = xr.Dataset({"image": da, "nuclei": (da > 2).astype(dtype)})
    xomezarr.write_plate({("A", 1): [ds]}, store, version=version, levels=1)
    xomezarr.write_plate({("A", 1): [ds], ("A", 2): [ds]}, store, version=version, levels=1, mode="w")
    tree = xomezarr.open_plate(store, check=True)
    with pytest.raises(StoreExistsError, match="read them first"):
        tree.omezarr.to_zarr(store, mode="w")
    tree.load().omezarr.to_zarr(store, mode="w")
    found = xomezarr.open_plate(store, check=True)["A/2/0"].omezarr.labels["nuclei"].omezarr.level(0)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, ds["nuclei"])


def images_of(tree: xr.DataTree) -> list[str]:
    """Return the paths of images of a plate's tree."""
    return [f"{row}/{column}/{field}" for row in tree for column in tree[row] for field in tree[row][column]]


CALLS: Mapping[str, Callable[[xr.DataTree], xr.DataTree]] = {
    "fillna": lambda tree: tree.map_over_datasets(lambda ds: ds.fillna(0)),
    "astype": lambda tree: tree.map_over_datasets(lambda ds: ds.astype(ds["image"].dtype) if "image" in ds else ds),
    "clip": lambda tree: tree.map_over_datasets(lambda ds: ds.clip(0, 60000, keep_attrs=True)),
    "copy": lambda tree: tree.copy(deep=True),
    "load": lambda tree: tree.load(),
    "plus": lambda tree: tree + 0,
    "crop": lambda tree: tree.isel(x=slice(0, 16)),
    "filter": lambda tree: tree.filter(lambda node: True),
    "from_dict": lambda tree: xr.DataTree.from_dict(tree.to_dict()),
    "pickle": lambda tree: pickle.loads(pickle.dumps(tree)),
}


@pytest.mark.parametrize("call", CALLS)
def test_c6_what_was_not_read_of_images_is_written_or_told(tmp_path: Path, call: str) -> None:
    store, new = tmp_path / "plate.zarr", tmp_path / "new.zarr"
    labels = (image(0)[0].drop_vars("c") > 50).astype("uint8")
    wells = {
        ("A", column): [image(column).rename(f"image {column}").assign_attrs(column=column).to_dataset(name="image")]
        for column in (1, 2)
    }
    xomezarr.write_plate({well: [ds.assign(nuclei=labels) for ds in images] for well, images in wells.items()}, store)
    tree: Any = CALLS[call](xomezarr.open_plate(store))
    tree.attrs = xomezarr.open_plate(store).attrs
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        tree.omezarr.to_zarr(new)
    written = xomezarr.open_plate(new, check=True)
    kept = all(
        [*written[f"A/{column}/0"].omezarr.labels] == ["nuclei"]
        and written[f"A/{column}/0"].omezarr.level(0).attrs.get("column") == column
        for column in (1, 2)
    )
    assert kept != any("labels" in str(warning.message) for warning in told)


def small_plate(store: Any, version: str = "0.4", **options: Any) -> None:
    """Write a plate of two wells, the first of them of two fields."""
    wells = {("A", 1): [small_image(0), small_image(1)], ("B", 2): [small_image(2)]}
    xomezarr.write_plate(wells, store, version=version, levels=1, **options)


def test_an_image_that_is_moved_to_another_run_is_counted_there(tmp_path: Path, version: str) -> None:
    store, copy = tmp_path / "plate.zarr", tmp_path / "copy.zarr"
    images = [small_image(seed).assign_coords(acquisition=seed) for seed in (0, 1)]
    xomezarr.write_plate({("A", 1): images}, store, version=version, levels=1)
    tree = xomezarr.open_plate(store)
    level = tree["A/1/1/0"]
    level.dataset = level.to_dataset().assign_coords(acquisition=0)
    tree.omezarr.to_zarr(copy)
    plate = check_agrees(copy, strict=False)
    assert {run.id: run.maximum_field_count for run in plate.acquisitions or ()} == {0: 2, 1: None}


def test_c6_the_tree_of_a_well_is_written_with_what_the_well_says(tmp_path: Path, version: str) -> None:
    store, copy = tmp_path / "plate.zarr", tmp_path / "copy.zarr"
    full_plate(store, version)
    well = xomezarr.open_plate(store)["B/2"]
    well.attrs["medium"] = "agar"
    xomezarr.write_plate({("B", "2"): well, ("C", 3): well}, copy, version=version)
    check_agrees(copy)
    expected, found = attrs_of(store, "B/2"), [attrs_of(copy, path) for path in ("B/2", "C/3")]
    assert found == [{**expected, "medium": "agar"}] * 2
    one = xomezarr.open_plate(copy, check=True)
    for path in ("B/2", "C/3"):
        for field in ("left", "7"):
            before = xomezarr.open_plate(store, check=True)[f"B/2/{field}"].omezarr
            assert one[f"{path}/{field}"].omezarr.name == before.name
            assert [*one[f"{path}/{field}"].omezarr.labels] == [*before.labels]


def test_c7_what_a_well_has_no_place_for_is_named(plate: Path, tmp_path: Path) -> None:
    well = xomezarr.open_plate(plate)["A/1"]
    well.dataset = well.to_dataset().assign(counts=("field", [1, 2]))
    well["deep/er"] = small_image(0).omezarr.pyramid(levels=1)
    well["0/table"] = xr.Dataset({"counts": ("field", [1, 2])})
    with pytest.raises(MultipleErrors) as raised:
        xomezarr.write_plate({("A", 1): well, ("A", 2): xomezarr.open_plate(plate)["A/2"]}, tmp_path / "new.zarr")
    told = str(raised.value)
    for part in (
        "well A/1: the tree has the variables 'counts' beside its images, and there is no place for them in the store; "
        "take them out: tree.dataset = tree.to_dataset().drop_vars(['counts'])",
        "well A/1, field deep/er: it is no row, column and field",
        "well A/1, field 0: the node 'table' belongs to no level and to no labels of the image",
    ):
        assert part in told, told
    assert len(raised.value.exceptions) == 3
    assert not (tmp_path / "new.zarr").exists()


def test_a_run_that_only_a_well_names_is_one_of_the_plate(tmp_path: Path, version: str) -> None:
    store, copy = tmp_path / "plate.zarr", tmp_path / "copy.zarr"
    full_plate(store, version)
    tree = xomezarr.open_plate(store, drop_variables="acquisition")
    xomezarr.write_plate({("B", 2): tree["B/2"]}, copy, version=version)
    assert [run.id for run in check_agrees(copy).acquisitions or ()] == [3, 5]


def test_c6_two_images_at_one_place_are_an_error(tmp_path: Path, version: str) -> None:
    store, copy = tmp_path / "plate.zarr", tmp_path / "copy.zarr"
    small_plate(store, version)
    (store / "A" / "1").rename(store / "first")
    document = document_of(store, version)
    overwrite(document, document.read_text().replace('"A/1"', '"first"'))
    tree = xomezarr.open_plate(store)
    tree["A/1/0"] = small_image(7).omezarr.pyramid(levels=1)
    with (
        pytest.warns(PlateWarning, match="'first' is 'A/1'"),
        pytest.raises(PlateError, match="there is another image at 'A/1/0'; give one of them another field"),
    ):
        tree.omezarr.to_zarr(copy)
    assert not copy.exists()
    tree["A/1/7"] = tree["A/1/0"]
    del tree["A/1"]["0"]
    with pytest.warns(PlateWarning, match="'first' is 'A/1'"):
        tree.omezarr.to_zarr(copy)
    found = xomezarr.open_plate(copy, check=True)
    assert [*found["A/1"]] == ["0", "1", "7"]
    for field, seed in (("0", 0), ("7", 7)):
        np.testing.assert_array_equal(found[f"A/1/{field}/0"]["image"], small_image(seed))
    with pytest.raises(PlateError, match="there is another image at 'A/1/0'"):
        xomezarr.write_plate({("A", 1): [small_image(0)], ("A", "1"): [small_image(1)]}, tmp_path / "other.zarr")


@pytest.mark.parametrize("own", ["monday", 7])
@pytest.mark.parametrize("check", [False, True])
def test_c6_a_coordinate_of_the_image_is_no_run_where_its_well_names_none(
    tmp_path: Path, version: str, own: Any, check: bool
) -> None:
    store, copy, well = (tmp_path / f"{name}.zarr" for name in ("plate", "copy", "well"))
    small_plate(store, version)
    named = small_image(0).assign_coords(acquisition=own)
    for path in ("A/1/0", "B/2/0"):
        shutil.rmtree(store / path)
        named.omezarr.to_zarr(store / path, levels=1, version=version)
    tree = xomezarr.open_plate(store, check=check)
    tree.omezarr.to_zarr(copy)
    check_same_stores(store, copy)
    assert check_agrees(copy).acquisitions is None
    xomezarr.write_plate({("B", 2): tree["B/2"]}, well, version=version)
    assert check_agrees(well).acquisitions is None
    assert open_tree(well, group="B/2/0").omezarr.level(0).coords["acquisition"].item() == own


def test_an_image_without_a_name_is_called_by_the_place_that_it_is_moved_to(tmp_path: Path, version: str) -> None:
    store, copy = tmp_path / "plate.zarr", tmp_path / "copy.zarr"
    images = [small_image(0).rename(None), small_image(1).rename("cells")]
    xomezarr.write_plate({("A", 1): images}, store, version=version, levels=1)
    tree = xomezarr.open_plate(store)
    tree["B/2/5"], tree["B/2/6"] = tree["A/1/0"], tree["A/1/1"]
    tree.omezarr.to_zarr(copy)
    found = xomezarr.open_plate(copy, check=True)
    paths = ("A/1/0", "A/1/1", "B/2/5", "B/2/6")
    names = [image.multiscale.name for path in paths if (image := found[path].omezarr.metadata) is not None]
    assert names == ["A/1/0", "cells", "B/2/5", "cells"]
    assert [found[path].omezarr.name for path in paths] == [None, "cells", None, "cells"]


def test_what_opening_a_plate_adds_is_not_written_to_a_plate(tmp_path: Path, version: str) -> None:
    store, arrays, added = (tmp_path / f"{name}.zarr" for name in ("plate", "arrays", "added"))
    full_plate(store, version)
    image = xomezarr.open_plate(store, check=True)["B/2/7"]
    level, nuclei = image.omezarr.level(0), image.omezarr.labels["nuclei"].omezarr.level(0)
    ds = xr.Dataset({"image": level, "nuclei": nuclei})
    given = {("C", 3): [level, ds, image]}
    xomezarr.write_plate(given, arrays, version=version)
    ds.omezarr.to_plate(added, row="C", column=3, field=1, version=version)
    level.omezarr.to_plate(added, row="C", column=3, field=0, labels={"nuclei": nuclei})
    for plate, fields in ((arrays, "012"), (added, "01")):
        for field in fields:
            one = open_tree(plate, group=f"C/3/{field}")
            for node in (one, *one.omezarr.labels.values()):
                assert not {*PLACES[:3]}.intersection(node.omezarr.level(0).coords)
        runs = [run.id for run in check_agrees(plate).acquisitions or ()]
        assert runs == [5]
    # elsewhere nothing else would say it
    alone = level.omezarr.to_zarr(tmp_path / "alone.zarr", version=version)
    assert [alone["0"].coords[name].item() for name in PLACES] == ["B", "2", "7", 5]


def test_the_tree_of_an_image_is_no_well(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    full_plate(store, "0.4")
    image = xomezarr.open_plate(store, check=True)["B/2/7"]
    assert [*image.omezarr.labels] == ["nuclei"]
    with pytest.raises(PlateError, match=r"^the well \('A', 1\) has a DataTree for images; give a list of them"):
        xomezarr.write_plate({("A", 1): image}, tmp_path / "new.zarr")


def test_of_images_that_are_all_wrong_the_first_are_named(tmp_path: Path) -> None:
    images = {f"a b {number}": small_image(0).assign_coords(acquisition="monday") for number in range(7)}
    with pytest.raises(MultipleErrors) as raised:
        xomezarr.write_plate({("A", 1): images, ("B", 1): [small_image(1)]}, tmp_path / "new.zarr")
    told = [str(error) for error in raised.value.exceptions]
    assert told[0].startswith("well A/1, field a b 0: the field 'a b 0' is not made of letters and digits")
    # what is wrong with all of them takes no place from what else is wrong
    assert told[1].startswith("well A/1, field a b 0 (and 6 other images): the acquisition 'monday' is no id")
    assert told[-1] == "3 more faults such as these, of other images; mend them alike"
    assert len(told) == 6


def test_each_write_tells_what_is_not_known_of_how_many_images(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    xomezarr.write_plate({("A", column): [image(column)] for column in (1, 2, 3)}, store, levels=1)
    tree = xomezarr.open_plate(store).isel(x=slice(0, 16))
    for number in range(2):
        with pytest.warns(PlateWarning, match=r"'A/1/0' of .* was changed since .*check=True\) \(and 2 more images"):
            tree.omezarr.to_zarr(tmp_path / f"{number}.zarr")
        with pytest.warns(PlateWarning, match=r"'A/2/0' of .* was changed since .*check=True\)$"):
            tree["A/2/0"].omezarr.to_zarr(tmp_path / f"image {number}.zarr")
    with pytest.warns(PlateWarning, match=r"'A/1/0' of .* was opened in another process"):
        pickle.loads(pickle.dumps(xomezarr.open_plate(store))).omezarr.to_zarr(tmp_path / "pickled.zarr")


@pytest.mark.parametrize("own", [7, "first", 2.5])
def test_an_acquisition_of_the_images_own_is_no_run_of_a_stack(tmp_path: Path, own: Any) -> None:
    """Of a plate without runs that another tool has written."""
    store = tmp_path / "plate.zarr"
    xomezarr.write_plate({("A", 1): [image(1)], ("A", 2): [image(2)]}, store, levels=1)
    kept = zarr.open_group(store / "A/1/0").attrs["xomezarr"]
    coords = {"acquisition": {"dims": [], "attrs": {}, "dtype": np.asarray(own).dtype.str, "values": [own]}}
    kept["coords"] |= coords
    zarr.open_group(store / "A/1/0").attrs["xomezarr"] = kept
    tree = xomezarr.open_plate(store, check=True)
    assert tree["A/1/0/0"].acquisition.item() == own
    stacked = tree.omezarr.stack()
    assert "acquisition" not in stacked.coords
    assert tree.omezarr.overview().shape[2] == 3
    one: Any = stacked.sel(row="A", column="1", field=0)
    one.omezarr.to_plate(tmp_path / "new.zarr")
    assert "acquisitions" not in zarr.open_group(tmp_path / "new.zarr").attrs["plate"]


def test_attributes_that_hold_arrays_are_compared_in_a_stack(tmp_path: Path) -> None:
    def taken(number: int, table: list[int]) -> xr.DataArray:
        return image(number).assign_coords(dose=((), float(number), {"table": np.array(table)}))

    store = tmp_path / "plate.zarr"
    xomezarr.write_plate({("A", 1): [taken(1, [1, 2]), taken(2, [1, 2])]}, store, levels=1)
    stacked = xomezarr.open_plate(store, check=True).omezarr.stack()
    assert stacked.dose.values.tolist() == [1.0, 2.0]
    np.testing.assert_array_equal(stacked.dose.attrs["table"], [1, 2])


def test_a_name_of_a_tree_that_is_none_on_a_plate_is_told_without_a_parameter(tmp_path: Path) -> None:
    xomezarr.write_plate({("A", 1): [image(1)]}, tmp_path / "plate.zarr", levels=1)
    tree = xomezarr.open_plate(tmp_path / "plate.zarr", check=True)
    tree["A_1/1/0"] = tree["A/1/0"].copy()
    with pytest.raises(PlateError, match=r"the row 'A_1' is not made of letters and digits; name it \"A\", say"):
        tree.omezarr.to_zarr(tmp_path / "new.zarr")


def test_coordinates_that_some_images_lack_are_those_of_a_stack_with_gaps(tmp_path: Path) -> None:
    day = np.datetime64("2026-11-27T10:00", "ns")
    wells: dict[Any, Any] = {
        ("A", 1): [image(1).assign_coords(dose=1.0, day=day, drug="none", plane=3, checked=True)],
        ("A", 2): [image(2).assign_coords(dose=5.0, plane=4, checked=True)],
        ("A", 3): [image(3)],
    }
    xomezarr.write_plate(wells, tmp_path / "plate.zarr", levels=1)
    tree = xomezarr.open_plate(tmp_path / "plate.zarr", check=True)
    told = r"the coordinates 'checked' of the images are left out of the stack: .*tree.map_over_datasets.*checked=…"
    with pytest.warns(PlateWarning, match=told):
        stacked = tree.omezarr.stack().squeeze("row")
    np.testing.assert_array_equal(stacked.dose.squeeze(), [1, 5, np.nan])
    np.testing.assert_array_equal(stacked.plane.squeeze(), [3, 4, np.nan])
    assert stacked.drug.squeeze().values.tolist() == ["none", "", ""]
    np.testing.assert_array_equal(np.isnat(stacked.day.squeeze()), [False, True, True])
    # of images that have not been opened nobody knows
    assert "dose" not in xomezarr.open_plate(tmp_path / "plate.zarr").omezarr.stack().coords


@pytest.mark.parametrize("unnamed", [0, 1])
def test_images_without_names_of_channels_are_taken_to_have_those_of_others(tmp_path: Path, unnamed: int) -> None:
    named = image(1).omezarr.assign_channels(["DAPI", "GFP"])
    plain = image(2).drop_vars(
        ["c", *(name for name in named.coords if str(name).startswith("channel"))], errors="ignore"
    )
    turned = named.isel(c=[1, 0])
    fields = [plain, named, turned] if unnamed == 0 else [named, plain, turned]
    xomezarr.write_plate({("A", 1): fields}, tmp_path / "plate.zarr", levels=1)
    tree = xomezarr.open_plate(tmp_path / "plate.zarr", check=True)
    with pytest.warns(
        PlateWarning, match=rf"1 of the 3 images .* those of well A/1, field {1 - unnamed}, .*field {unnamed};"
    ):
        stacked = tree.omezarr.stack()
    assert stacked.c.values.tolist() == ["DAPI", "GFP"]
    np.testing.assert_array_equal(stacked[0, 0, 2], named)
    np.testing.assert_array_equal(stacked[0, 0, unnamed], plain)


# -- what is said of one image alone -----------------------------------------------------------------------


def ome_of(store: Any, path: str, said: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]:
    """Return the OME metadata of a group, after another tool has said something more."""
    group = zarr.open_group(store, path=path, mode="r+", use_consolidated=False)
    attrs = group.attrs.asdict()
    metadata = attrs.get("ome", attrs)
    if said is not None:
        said(metadata)
        group.attrs.put(attrs)
    return {key: value for key, value in metadata.items() if key != "xomezarr"}


def say(mark: str) -> Callable[[dict[str, Any]], None]:
    """Say something of an image wherever other tools may."""

    def said(metadata: dict[str, Any]) -> None:
        first = metadata["multiscales"][0]
        first["barcode"] = mark
        first.setdefault("metadata", {})["operator"] = mark
        first["datasets"][0]["digest"] = mark
        systems = first.get("coordinateSystems")
        axes = first["axes"] if systems is None else systems[0]["axes"]
        axes[0]["long_name"] = mark
        metadata["omero"]["rdefs"] = {"model": mark}
        channel = metadata["omero"]["channels"][0]
        channel["dye"], channel["window"]["unit"] = mark, mark
        metadata["theirs"] = mark
        if systems is not None:
            systems[0]["vendor"] = mark
            systems.append({"name": mark, "axes": axes})
            names = {"input": {"name": systems[0]["name"]}, "output": {"name": mark}}
            first["coordinateTransformations"] = [{"type": "identity", **names}]

    return said


def marked_plate(store: Path, version: str, *, ours: bool) -> None:
    """Write a plate of two images of which another tool, or only that, says something."""
    xomezarr.write_plate({("A", column): [image(column)] for column in (1, 2)}, store, version=version, levels=2)
    for column in (1, 2):
        ome_of(store, f"A/{column}/0", say(f"mark {column}"))
        if not ours:
            group = zarr.open_group(store, path=f"A/{column}/0", mode="r+", use_consolidated=False)
            attrs = group.attrs.asdict()
            del attrs["xomezarr"]
            group.attrs.put(attrs)


OF_ONE_IMAGE = (
    r"its labels .* of one that was taken to be like another neither are its name, attributes, scalar coordinates, "
    r"other coordinate systems and what other tools say of it, while its channels are shown as those of the other"
)


@pytest.mark.parametrize("ours", [True, False])
def test_c6_what_other_tools_say_of_one_image_is_not_written_of_another(
    tmp_path: Path, version: str, ours: bool
) -> None:
    store, copy, cut, arrays = (tmp_path / f"{name}.zarr" for name in ("plate", "copy", "cut", "arrays"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they have changed the metadata
        marked_plate(store, version, ours=ours)
        tree = xomezarr.open_plate(store)
        tree.omezarr.to_zarr(copy)
        for column in (1, 2):
            found, true = (ome_of(place, f"A/{column}/0") for place in (copy, store))
            assert found == true
            assert f"mark {3 - column}" not in json.dumps(attrs_of(copy, f"A/{column}/0"))
            extra = [
                xomezarr.open_plate(place, check=True)[f"A/{column}/0/0"]["channel_extra"] for place in (copy, store)
            ]
            assert [text.values[0].count(f"mark {column}") for text in extra] == [2, 2]
        tree["A/2/0"].omezarr.level(0).omezarr.to_zarr(arrays, version=version)
        assert "mark" not in json.dumps(attrs_of(arrays))
        assert "mark" not in json.dumps(tree["A/2/0"].attrs)
    with pytest.warns(PlateWarning, match=OF_ONE_IMAGE):
        tree["A/2/0"].omezarr.isel(x=slice(0, 16)).omezarr.to_zarr(cut)
    assert "mark" not in json.dumps(attrs_of(cut))
    told = [ome_of(place, path) for place, path in ((cut, ""), (store, "A/1/0"))]
    assert [one["multiscales"][0]["type"] for one in told] == ["local_mean"] * 2
    names, true_names = ([channel["label"] for channel in one["omero"]["channels"]] for one in told)
    assert names == true_names
    # images that are joined have the same coordinates
    levels = [tree[f"A/{column}/0"].omezarr.level(0) for column in (1, 2)]
    assert [*levels[0].coords] == [*levels[1].coords]


def said_alone(value: Any) -> Iterator[Any]:
    """Yield what a value of the model holds that is of one image alone."""
    if isinstance(value, tuple):
        for item in value:
            yield from said_alone(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            item = getattr(value, field.name)
            alone = field.name in ("extra", "omero", "metadata", "others", "transforms", "colors", "rows", "source")
            yield from [item] if alone else said_alone(item)


def test_what_images_share_is_nothing_that_one_says_alone() -> None:
    theirs = {"theirs": 1}
    axes, levels = (Axis("y", "space", "micrometer", extra=theirs),), (Level("0", {"y": 1.0}, {"y": 0.5}, theirs),)
    systems = Systems("own", (CoordinateSystem("world", axes, theirs),), (theirs,), theirs, before=1)
    multiscale = Multiscale("cells", axes, levels, "mean", theirs, theirs, systems=systems)
    channel = Channel("DNA", "00FF00", Window(0, 1, 0, 1, theirs), active=True, extra=theirs)
    label = LabelImage((LabelColor(1),), (LabelRow(1),), "../../", theirs, theirs)
    image = Image((multiscale, multiscale), (channel,), "0.6", theirs, theirs, label)
    assert all(said_alone(image))
    shared = image.shared()
    assert not any(said_alone(shared))
    assert shared.multiscale.systems == Systems("own")
    assert shared.multiscale.axes == (Axis("y", "space", "micrometer"),)
    assert shared.multiscale.levels == (Level("0", {"y": 1.0}, {"y": 0.5}),)
    assert shared.channels == (Channel("DNA", "00FF00", Window(0, 1, 0, 1), active=True),)
    assert (shared.multiscale.name, shared.multiscale.type, shared.version) == (None, "mean", "0.6")
    assert shared.label == LabelImage()


COPIES: Mapping[str, Callable[[xr.DataTree], xr.DataTree]] = {
    "copy": lambda tree: tree.copy(deep=True),
    "deepcopy": copy.deepcopy,
    "each": lambda tree: tree.map_over_datasets(lambda ds: ds.copy(deep=True)),
}


@pytest.mark.parametrize("how", COPIES)
def test_c6_copies_of_images_with_arrays_among_their_attributes_are_written(
    tmp_path: Path, version: str, how: str
) -> None:
    store, new = tmp_path / "plate.zarr", tmp_path / "new.zarr"
    calibrated: dict[str, Any] = {"gain": np.array([1.0, np.nan]), "steps": [{"dark": np.arange(3)}], "none": np.nan}
    da = image(0, **calibrated)
    da["y"].attrs["calibration"] = np.array([1, 2])
    ds = xr.Dataset({"image": da, "nuclei": (da.isel(c=0, drop=True) > 50).astype("uint8")})
    xomezarr.write_plate({("A", 1): [ds], ("A", 2): [ds]}, store, version=version, levels=2)
    tree = COPIES[how](xomezarr.open_plate(store))
    tree.omezarr.to_zarr(new)
    check_same_stores(store, new)
    one = COPIES[how](xomezarr.open_plate(store)["A/1/0"]).omezarr.to_zarr(tmp_path / "one.zarr")
    assert [*one.omezarr.labels] == ["nuclei"]
    # what is no copy is another
    tree["A/1/0/0"]["y"].attrs["calibration"] = np.array([1.0, 2.0])
    with pytest.warns(PlateWarning, match=r"'A/1/0' .* was changed since .*check=True\)$"):
        tree.omezarr.to_zarr(tmp_path / "changed.zarr")


def test_copies_of_a_tree_read_the_same_store() -> None:
    store = MemoryStore()
    xomezarr.write_plate({("A", 1): [image(0)], ("A", 2): [image(1)]}, store)
    tree = copy.deepcopy(xomezarr.open_plate(store))
    for path in images_of(tree):
        array: Any = tree[f"{path}/0"]["image"].variable._data
        assert array.array._array.store._store_dict is store._store_dict


def bare(seed: int) -> xr.Dataset:
    """An image whose dimensions have no coordinates, and its labels: where there are many."""
    pixels = np.random.default_rng(seed).integers(0, 4000, (1, 8, 12), dtype="uint16")
    da = xr.DataArray(pixels, dims=("z", "y", "x"), name=f"bare {seed}")
    return xr.Dataset({"image": da, "bright": (da > 2000).astype("uint8")})


def lie_on_their_pixels(tree: xr.DataTree) -> bool:
    image = tree["0"]["image"]
    return bool(((image > 2000) == (tree["labels/bright/0"]["bright"] == 1)).all())


WHERE_THEY_WERE: Mapping[str, Callable[[xr.Dataset], xr.Dataset]] = {
    "opened": lambda ds: ds,
    "copied": lambda ds: ds.copy(deep=True),
    "chunked": lambda ds: ds.chunk(y=4),
    "all": lambda ds: ds.isel(y=slice(None), x=slice(0, 12), z=slice(0, 1)),
}
ELSEWHERE: Mapping[str, Callable[[xr.Dataset], xr.Dataset]] = {
    "flipped": lambda ds: ds.isel(y=slice(None, None, -1)),
    "rolled": lambda ds: ds.roll(x=5),
    "sorted": lambda ds: ds.sortby(-ds["image"].sum(("z", "x"))),
    "of another": lambda ds: ds.assign(image=ds["image"].copy(data=bare(3)["image"].values)),
    "chunked and flipped": lambda ds: ds.chunk(y=4).isel(y=slice(None, None, -1)),
}


@pytest.mark.parametrize("how", [*WHERE_THEY_WERE, *ELSEWHERE])
def test_labels_lie_on_their_pixels_where_dimensions_have_no_coordinates(
    tmp_path: Path, version: str, how: str
) -> None:
    store, new = tmp_path / "plate.zarr", tmp_path / "new.zarr"
    xomezarr.write_plate({("A", 1): [bare(1)], ("A", 2): [bare(2)]}, store, version=version, levels=1)
    done = {**WHERE_THEY_WERE, **ELSEWHERE}[how]
    tree = xomezarr.open_plate(store).map_over_datasets(lambda ds: done(ds) if "image" in ds else ds)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        tree.omezarr.to_zarr(new)
    if how in WHERE_THEY_WERE:
        assert not told
        check_same_stores(store, new)
        found = xomezarr.open_plate(new, check=True)
        assert all(lie_on_their_pixels(found[path]) for path in images_of(found))
        return
    (warning,) = told
    assert re.match(
        r"'A/1/0' of .* was loaded or changed since it was opened, and no coordinate along 'y' and 'x' tells whether "
        r"its pixels lie where they did, .*check=True\) \(and 1 more images alike\)$",
        str(warning.message),
    )
    assert not any(xomezarr.open_plate(new, check=True)[path].omezarr.labels for path in images_of(tree))


@pytest.mark.parametrize("how", [how for how in OPENERS if how != "loaded"])
def test_images_without_coordinates_are_written_as_they_were_opened(tmp_path: Path, version: str, how: str) -> None:
    store, new = tmp_path / "plate.zarr", tmp_path / "new.zarr"
    xomezarr.write_plate({("A", 1): [bare(1)], ("A", 2): [bare(2)]}, store, version=version, levels=1)
    OPENERS[how](store).omezarr.to_zarr(new)
    check_same_stores(store, new)


def test_channels_of_one_name_do_not_tell_their_pixels_apart(tmp_path: Path) -> None:
    store = tmp_path / "plate.zarr"
    da = image(0).assign_coords(c=["DNA", "DNA"])
    xomezarr.write_plate({("A", 1): [da.drop_vars("channel_color")], ("A", 2): [da]}, store, levels=1)
    tree = xomezarr.open_plate(store).isel(c=[1, 0])
    with pytest.warns(PlateWarning, match="no coordinate along 'c' tells"):
        tree["A/2/0"].omezarr.to_zarr(tmp_path / "new.zarr")


def named(image: xr.DataTree) -> None:
    image["0"].attrs[NAME_ATTR] = "mine"


def counted_anew(image: xr.DataTree) -> None:
    image["0"]["image"].attrs["gain"] = 7


def described(image: xr.DataTree) -> None:
    image.attrs["mine"] = [1, 2]


@pytest.mark.parametrize("path", ["A/1/0", "A/2/0"])
@pytest.mark.parametrize("change", [named, counted_anew, described])
def test_c6_what_is_said_in_the_tree_of_an_image_is_written(
    tmp_path: Path, version: str, change: Callable[[xr.DataTree], None], path: str
) -> None:
    store, new = tmp_path / "plate.zarr", tmp_path / "new.zarr"
    xomezarr.write_plate({("A", 1): [image(0)], ("A", 2): [image(1)]}, store, version=version, levels=1)
    tree = xomezarr.open_plate(store)
    change(tree[path])
    with pytest.warns(PlateWarning, match=rf"^'{path}' .* was changed since"):
        tree.omezarr.to_zarr(new)
    found = xomezarr.open_plate(new, check=True)[path]
    level = found.omezarr.level(0)
    assert (level.name, level.attrs.get("gain"), found.attrs.get("mine")) in [
        ("mine", None, None),
        (tree[path].omezarr.level(0).name, 7, None),
        (tree[path].omezarr.level(0).name, None, [1, 2]),
    ]


def test_fields_are_counted_anew_where_a_listed_well_cannot_be_opened(tmp_path: Path, version: str) -> None:
    store, new = tmp_path / "plate.zarr", tmp_path / "new.zarr"
    small_plate(store, version)
    assert check_agrees(store).field_count == 2
    shutil.rmtree(store / "A" / "1")
    with pytest.warns(PlateWarning, match="1 of the 2 wells"):
        tree = xomezarr.open_plate(store)
    tree.omezarr.to_zarr(new)
    assert check_agrees(new).field_count == 1


def test_scalar_coordinates_that_nobody_has_read_are_told(tmp_path: Path) -> None:
    """Such as stage positions: the tree has none of them, and a copy of the plate has all."""
    store = tmp_path / "plate.zarr"
    wells = {("A", n): [image(n).assign_coords(stage=1.5 * n, when=np.datetime64("2026-11-27"))] for n in (1, 2, 3)}
    xomezarr.write_plate(wells, store, levels=1)
    told = r"'A/2/0' of the plate .* has scalar coordinates of its own, .*open_plate\(store, check=True\)"
    tree = xomezarr.open_plate(store)
    with pytest.warns(PlateWarning, match=told):
        tree["A/2/0"].omezarr.level(0).load()
    tree["A/3/0"].omezarr.level(0).load()  # it is told once
    with pytest.warns(PlateWarning, match=told):
        xomezarr.open_plate(store).omezarr.stack().sel(column="2").load()
    xomezarr.open_plate(store).omezarr.to_zarr(tmp_path / "copy.zarr")
    copy = xomezarr.open_plate(tmp_path / "copy.zarr", check=True)
    assert [copy[f"A/{n}/0"]["0"].stage.item() for n in (1, 2, 3)] == [1.5, 3, 4.5]


@pytest.mark.parametrize("own", [1.0, "one", -1])
def test_stacking_and_writing_know_the_same_run(tmp_path: Path, own: Any) -> None:
    """That which the well lists, where the coordinate names none."""
    first = {0: image(0).assign_coords(acquisition=1), 1: image(1).assign_coords(acquisition=2)}
    xomezarr.write_plate({("A", 1): first}, tmp_path / "plate.zarr", levels=1)
    tree = xomezarr.open_plate(tmp_path / "plate.zarr", check=True)
    changed: Any = tree.map_over_datasets(lambda ds: ds.assign_coords(acquisition=own) if ds.data_vars else ds)
    assert changed.omezarr.stack().acquisition.values.tolist() == [1, 2]
    assert changed.omezarr.stack(acquisition=2).field.values.tolist() == [1]


TURN = np.array([[0.8, -0.6, 3.0], [0.6, 0.8, -2.0]])


def askew(by: np.ndarray[Any, Any] = TURN, units: str = "um") -> xr.DataArray:
    return image(0).omezarr.assign_affine(by, system="stage", units=units)  # type: ignore[no-any-return]


@pytest.mark.parametrize("other", [askew(TURN + np.array([0.0, 0.0, 1000.0])), askew(units="mm"), image(0)])
def test_an_image_that_lies_otherwise_in_a_system_is_told_when_it_is_read(tmp_path: Path, other: xr.DataArray) -> None:
    store = tmp_path / "plate.zarr"
    wells = {("A", 1): [askew()], ("A", 2): [askew()], ("A", 3): [other]}
    xomezarr.write_plate(wells, store, version="0.6", levels=1)
    tree = xomezarr.open_plate(store)
    testing.assert_identical(without_place(tree["A/2/0"].omezarr.level(0)).rename("cells"), askew())
    with pytest.warns(PlateWarning, match=r"^'A/3/0' .* has coordinates of its own.*'A/1/0'.*check=True\)$"):
        tree["A/3/0"].omezarr.level(0).load()
    true = xomezarr.open_plate(store, check=True)
    testing.assert_identical(without_place(true["A/3/0"].omezarr.level(0)), other)


def test_systems_without_coordinates_are_read_of_each_image(tmp_path: Path) -> None:
    """Of these an image has none that another's could be taken for, as of stages that other tools name."""
    store = tmp_path / "plate.zarr"
    xomezarr.write_plate({("A", n): [image(0)] for n in (1, 2)}, store, version="0.6", levels=1)
    for n in (1, 2):
        group = zarr.open_group(store / "A" / str(n) / "0")
        attrs: Any = group.attrs.asdict()
        multiscale = attrs["ome"]["multiscales"][0]
        multiscale["coordinateSystems"].append({**multiscale["coordinateSystems"][0], "name": "stage"})
        ends = {"input": {"name": "physical"}, "output": {"name": "stage"}}
        moved = [0.0] * (image(0).ndim - 1) + [10.0 * n]
        multiscale["coordinateTransformations"] = [{"type": "translation", "translation": moved, **ends}]
        group.attrs.update(attrs)
    tree = xomezarr.open_plate(store)
    for n in (1, 2):
        tree[f"A/{n}/0"].omezarr.level(0).load()
