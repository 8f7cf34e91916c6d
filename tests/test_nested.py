"""The layout "xarray": plain xarray opens what the engine does, and all else is as in the flat layout."""

from __future__ import annotations

import datetime
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from test_roundtrip import assert_same, bits, expected, images, quietly

import xomezarr
from xomezarr import spec, write
from xomezarr.cli import main
from xomezarr.errors import CoordinateError, LayoutError, MetadataChangedWarning, OmeZarrError
from xomezarr.layout import layout_of
from xomezarr.scale import plan_scaling

VERSIONS = spec.VERSIONS

rng = np.random.default_rng(7)


def cells(**coords: Any) -> xr.DataArray:
    """An image with a coordinate of every kind."""
    known = {
        "t": ("t", np.array(["2024-02-29T12:00", "2024-02-29T12:05", "2024-02-29T12:10"], "M8[ns]"), {"by": "clock"}),
        "c": ("c", ["DAPI", "GFP"], {"long_name": "stain"}),
        "y": ("y", np.arange(20) * 0.5, {"units": "um"}),
        "waited": ("t", np.array([1, 2, 4], "m8[s]")),
        "note": ("t", np.array(["", "µ", "a b"], object)),
        "good": ("t", [True, False, True]),
        "dose": ("c", np.array([np.nan, 2.5], "f4")),
        "lens": ("c", np.array([b"a", b"bc"])),
        "focus": (("y", "x"), rng.random((20, 24))),
        "stage": 7,
        "began": np.datetime64("2024-02-29T11:59:59.123", "ms"),
    }
    attrs = {"instrument": ("Zeiss", 63), "gain": np.float32(1.5), "limits": np.arange(3), "who": {"name": "µ"}}
    return xr.DataArray(
        rng.integers(0, 999, (3, 2, 20, 24)).astype("u2"), known | coords, ("t", "c", "y", "x"), "cells", attrs
    )


def plainly(store: Any, **options: Any) -> xr.DataTree:
    """Open a store as one who has no xomezarr, and let no warning pass but the one that pandas has for float16."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*float16.*")
        return xr.open_datatree(store, engine="zarr", **options)


def paths(tree: xr.DataTree) -> list[str]:
    """Return the paths of the levels' arrays."""
    return [level.path for level in tree.omezarr.metadata.multiscale.levels]


def check_plain(store: Any, tree: xr.DataTree | None = None, at: str = "") -> None:
    """Make sure that plain xarray opens each level of an image, and of its labels, as the engine does."""
    tree = xr.open_datatree(store, engine="omezarr") if tree is None else tree
    plain = plainly(store)
    images = {at: tree, **{f"{at}/labels/{name}".strip("/"): labels for name, labels in tree.omezarr.labels.items()}}
    for path, image in images.items():
        assert layout_of(paths(image)) == "xarray"
        for index, place in enumerate(paths(image)):
            found = plain[f"{path}/{place.rpartition('/')[0]}".strip("/")].to_dataset(inherit=False)
            # the place on a plate is told by the plate
            wanted = image[str(index)].to_dataset(inherit=False).drop_vars(["row", "column", "field"], errors="ignore")
            xr.testing.assert_identical(found, wanted)


def assert_same_levels(one: xr.DataTree, other: xr.DataTree) -> None:
    for level, same in zip(one.omezarr.levels, other.omezarr.levels, strict=True):
        xr.testing.assert_identical(level, same)
        assert level.dtype == same.dtype


# --- what plain xarray reads ----------------------------------------------------------------------------------


def storable(da: xr.DataArray) -> xr.DataArray:
    """Return an image with what xarray can store: no attributes, which anything may be, and names of letters."""
    da = da.rename(da.name if isinstance(da.name, str | None) else "named").drop_attrs()
    da = da.rename({name: f"aux{index}" for index, name in enumerate(da.coords) if name not in da.dims})
    for dim in da.dims:
        if dim in da.coords and da[dim].dtype.kind in "iufmM":
            da[dim].attrs["scale"] = 1.0
    for name, coord in da.coords.items():
        # of dates and lengths of time xarray knows those that nanoseconds hold, and no text of bytes that is empty
        if coord.dtype.kind in "mMS" and name not in da.dims:
            da = da.drop_vars(name)
    return da


@settings(max_examples=40, deadline=None)
@given(da=images(), version=st.sampled_from(VERSIONS))
def test_plain_xarray_opens_what_the_engine_does(da: xr.DataArray, version: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store, flat = Path(folder) / "a.ome.zarr", Path(folder) / "flat.ome.zarr"
        try:
            quietly(da.omezarr.to_zarr, store, version=version, layout="xarray")
        except OmeZarrError as error:
            for fault in getattr(error, "exceptions", [error]):
                assert isinstance(fault, LayoutError)
            assert not store.exists()
            da = storable(da)
            quietly(da.omezarr.to_zarr, store, version=version, layout="xarray")
        with xr.open_dataarray(store, engine="omezarr") as opened:
            assert_same(opened, quietly(expected, da))
        quietly(da.omezarr.to_zarr, flat, version=version)
        tree = xr.open_datatree(store, engine="omezarr")
        assert_same_levels(tree, xr.open_datatree(flat, engine="omezarr"))
        plain = plainly(store)
        for index, path in enumerate(paths(tree)):
            level = tree.omezarr.level(index)
            found = plain[path.partition("/")[0]].to_dataset(inherit=False)
            assert found["image"].dims == tuple(axis.name for axis in tree.omezarr.axes)
            xr.testing.assert_equal(
                found["image"].reset_coords(drop=True).transpose(*level.dims),
                level.reset_coords(drop=True).rename("image"),
            )
            assert found["image"].dtype == level.dtype.newbyteorder("=")
            assert {*found.coords} == {*level.coords}
            for name, coord in level.coords.items():
                assert found[name].variable.equals(coord.variable)
                if coord.dtype.kind in "biufc":
                    assert bits(found[name].values.astype(coord.dtype)) == bits(coord.values)


@pytest.mark.parametrize("version", VERSIONS)
def test_all_kinds_of_coordinates_names_and_attributes_are_the_same(tmp_path: Path, version: str) -> None:
    da = cells()
    tree = da.omezarr.to_zarr(tmp_path / "a.ome.zarr", version=version, layout="xarray", levels=3)
    assert paths(tree) == ["0/image", "1/image", "2/image"]
    flat = da.omezarr.to_zarr(tmp_path / "flat.ome.zarr", version=version, levels=3)
    assert_same_levels(tree, flat)
    check_plain(tmp_path / "a.ome.zarr")
    plain = plainly(tmp_path / "a.ome.zarr")
    assert plain.groups == ("/", "/0", "/1", "/2")
    assert "focus" not in plain["1"].dataset
    with xr.open_dataarray(tmp_path / "a.ome.zarr", group="0", engine="zarr", consolidated=False) as named:
        assert named.name == "cells"
        assert named.attrs == {"instrument": ["Zeiss", 63], "gain": 1.5, "limits": [0, 1, 2], "who": {"name": "µ"}}
    report = xomezarr.validate(tmp_path / "a.ome.zarr")
    assert report.valid
    assert [finding.rule for finding in report] == [
        finding.rule for finding in xomezarr.validate(tmp_path / "flat.ome.zarr")
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_zeros_are_no_missing_pixels_and_channels_come_along(tmp_path: Path, version: str) -> None:
    pixels = np.zeros((2, 8, 8), "u2")
    da = xr.DataArray(pixels, dims=("c", "y", "x"), name="dark")
    da = da.omezarr.assign_channels(["DAPI", {"label": "GFP", "color": "green", "window": (0, 9)}])
    da.omezarr.to_zarr(tmp_path / "a.ome.zarr", version=version, layout="xarray", levels=2)
    check_plain(tmp_path / "a.ome.zarr")
    level = plainly(tmp_path / "a.ome.zarr")["1"].dataset
    assert level["image"].dtype == np.uint16
    assert not level["image"].any()
    assert level["channel_color"].values.tolist() == ["", "00FF00"]


@pytest.mark.parametrize("version", VERSIONS)
def test_long_numbers_lie_there_once_and_long_texts_do_not_keep_xarray_out(tmp_path: Path, version: str) -> None:
    texts = np.array([["a", "bb"] * 12] * 20)
    days = np.datetime64("2024-01-01", "ns") + np.arange(480).reshape(20, 24).astype("m8[h]")
    da = cells(text=(("y", "x"), texts), day=(("y", "x"), days), flag=(("y", "x"), texts == "a"))
    da.omezarr.to_zarr(tmp_path / "a.ome.zarr", version=version, layout="xarray", levels=2)
    check_plain(tmp_path / "a.ome.zarr")
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="r", use_consolidated=False)
    kept = group.attrs["xomezarr"]["coords"]  # type: ignore[index, call-overload]
    own = {name: entry["array"] for name, entry in kept.items() if "array" in entry}  # type: ignore[union-attr, index, call-overload]
    assert own["focus"] == "0/focus"
    assert own["flag"] == "0/flag"
    assert {path.partition("/")[0] for path in (own["text"], own["day"])} == {"xomezarr"}
    assert len([*group["xomezarr"].array_keys()]) == 2  # type: ignore[union-attr]
    with xr.open_dataarray(tmp_path / "a.ome.zarr", engine="omezarr") as opened:
        for name in own:
            np.testing.assert_array_equal(opened[name].values, da[name].values)
            assert opened[name].dtype == da[name].dtype


@pytest.mark.parametrize("version", VERSIONS)
def test_irregular_coordinates_and_those_of_cropped_levels(tmp_path: Path, version: str) -> None:
    da = cells(y=("y", np.cumsum(rng.random(20) + 0.1)), x=("x", 0.1 * np.arange(24)))
    options: dict[str, Any] = {"version": version, "irregular": "keep"}
    da.omezarr.to_zarr(tmp_path / "a.ome.zarr", layout="xarray", levels=3, **options)
    check_plain(tmp_path / "a.ome.zarr")
    whole = xr.DataArray(rng.random((900, 8)), {"y": 0.1 + 0.1 * np.arange(900)}, ("y", "x"))
    tree = whole.omezarr.to_zarr(tmp_path / "b.ome.zarr", levels=2)
    cropped = tree.omezarr.isel(y=slice(7, 899))
    again = cropped.omezarr.to_zarr(tmp_path / "c.ome.zarr", layout="xarray", version=version)
    assert_same_levels(again, cropped)
    check_plain(tmp_path / "c.ome.zarr")


# --- labels, plates, collections -------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_labels_follow_their_image(tmp_path: Path, version: str) -> None:
    store, da = tmp_path / "a.ome.zarr", cells()
    nuclei = (da.isel(t=0, c=0, drop=True) > 500).astype("u1").rename(None)
    labels = {"nuclei": nuclei.drop_vars([name for name in nuclei.coords if name not in nuclei.dims])}
    da.omezarr.to_zarr(store, version=version, layout="xarray", labels=labels, levels=2)
    later = labels["nuclei"].omezarr.to_labels(store, "later")
    assert paths(later) == ["0/later", "1/later"]
    check_plain(store)
    assert "/labels/later/1" in plainly(store).groups
    xomezarr.delete_labels(store, "later")
    assert "/labels/later" not in plainly(store).groups
    tree = xr.open_datatree(store, engine="omezarr")
    copy = tree.omezarr.to_zarr(tmp_path / "copy.ome.zarr")
    assert_same_levels(copy, tree)
    assert_same_levels(copy.omezarr.labels["nuclei"], tree.omezarr.labels["nuclei"])
    check_plain(tmp_path / "copy.ome.zarr")
    assert xomezarr.validate(store).valid


def test_labels_that_are_called_as_a_coordinate_is(tmp_path: Path) -> None:
    da = xr.DataArray(np.ones((8, 8), "u1"), dims=("y", "x"))
    da.omezarr.to_zarr(tmp_path / "a.ome.zarr", layout="xarray", levels=1)
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="r+", use_consolidated=False)
    group.create_group("labels", attributes={"labels": ["y"]})
    da.omezarr.to_zarr(tmp_path / "a.ome.zarr/labels/y", layout="xarray", levels=1, name="y")
    tree = xr.open_datatree(tmp_path / "a.ome.zarr", engine="omezarr")
    assert paths(tree.omezarr.to_zarr(tmp_path / "b.ome.zarr").omezarr.labels["y"]) == ["0/image"]


@pytest.mark.parametrize("version", VERSIONS)
def test_plates_and_collections(tmp_path: Path, version: str) -> None:
    da = cells()
    options: dict[str, Any] = {"version": version, "layout": "xarray", "levels": 2}
    plate = xomezarr.write_plate({("A", 1): [da, da + 1]}, tmp_path / "plate.ome.zarr", **options)
    check_plain(tmp_path / "plate.ome.zarr", plate["A/1/1"], "A/1/1")
    da.omezarr.to_plate(tmp_path / "plate.ome.zarr", row="B", column=2, layout="xarray", levels=2)
    plate = xomezarr.open_plate(tmp_path / "plate.ome.zarr")
    added = xr.open_datatree(tmp_path / "plate.ome.zarr", group="B/2/0", engine="omezarr")
    check_plain(tmp_path / "plate.ome.zarr", added, "B/2/0")
    copy = plate.omezarr.to_zarr(tmp_path / "copy.ome.zarr")
    assert paths(copy["A/1/0"]) == ["0/image", "1/image"]
    assert xomezarr.validate(tmp_path / "plate.ome.zarr").valid
    images = xomezarr.write_collection({"one": da, "two": da.isel(c=0)}, tmp_path / "images.ome.zarr", **options)
    check_plain(tmp_path / "images.ome.zarr", images["two"], "two")
    kept = images.omezarr.to_zarr(tmp_path / "kept.ome.zarr")
    check_plain(tmp_path / "kept.ome.zarr", kept["one"], "one")


# --- what has no place -----------------------------------------------------------------------------------------


def named(name: str) -> Callable[[xr.DataArray], xr.DataArray]:
    return lambda da: da.assign_coords({name: ("t", np.arange(3))})


UNPLACED: dict[str, tuple[Callable[[xr.DataArray], xr.DataArray], str]] = {
    "pixels that would be scaled": (lambda da: da.assign_attrs(scale_factor=2.0), "'scale_factor'.*read float64"),
    "pixels that would be missing": (lambda da: da.assign_attrs(_FillValue=0), "'_FillValue'"),
    "pixels that would be dates": (lambda da: da.assign_attrs(units="days since 2000-01-01"), "'units'.*datetime64"),
    "pixels that could not be opened": (lambda da: da.assign_attrs(units="days since foo"), "'units'"),
    "an attribute of xarray's own": (lambda da: da.assign_attrs(coordinates="a b"), "'coordinates'"),
    "a date": (lambda da: da.assign_attrs(day=datetime.date(2024, 2, 29)), r"attrs\['day'\]"),
    "a date of NumPy": (lambda da: da.assign_attrs(day=np.datetime64("2024-02-29", "ns")), r"attrs\['day'\]"),
    "no time": (lambda da: da.assign_attrs(day=[np.timedelta64("NaT", "s")]), r"attrs\['day'\]\[0\]"),
    "NaN": (lambda da: da.assign_attrs(limits=[1.0, np.nan]), r"attrs\['limits'\]"),
    "a name that is no text": (lambda da: da.rename(("a", 1)), "the name of the array"),
    "a name with a space": (named("a b"), "'a b'"),
    "a document of Zarr v2": (named(".zattrs"), "'.zattrs'"),
    "a document of Zarr v3": (named("zarr.json"), "'zarr.json'"),
    "the group above": (named(".."), r"'\.\.'"),
    "a name that Zarr keeps": (named("__name"), "'__name'"),
    "names that differ by case": (lambda da: named("Dose")(da), "'Dose' and 'dose'|'dose' and 'Dose'"),
    "numbers that would be dates": (
        lambda da: da.assign_coords(day=("t", [1, 2, 3], {"units": "days since 2000-01-01"})),
        "'day'",
    ),
    "numbers that would be scaled": (
        lambda da: da.assign_coords(dose=("c", [1.0, 2.0], {"scale_factor": 2.0})),
        "'dose'",
    ),
    "a date with a unit": (lambda da: da.assign_coords(waited=("t", da.t.values, {"units": "s"})), "'waited'"),
    "values of many types": (
        lambda da: da.assign_coords(note=("t", np.array(["a", None, 1.5], object))),
        "'note'",
    ),
}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("case", UNPLACED)
def test_what_plain_xarray_would_not_give_back_is_refused(tmp_path: Path, case: str, version: str) -> None:
    change, told = UNPLACED[case]
    da = change(cells())
    with pytest.raises(LayoutError, match=f"(?s){told}") as raised:
        da.omezarr.to_zarr(tmp_path / "a.ome.zarr", version=version, layout="xarray")
    assert 'layout="ome"' in str(raised.value) or "rename(" in str(raised.value)
    assert not [*tmp_path.iterdir()]
    da.omezarr.to_zarr(tmp_path / "a.ome.zarr", version=version)  # which keeps it


def test_all_that_has_no_place_is_told_together(tmp_path: Path) -> None:
    da = cells().assign_attrs(day=datetime.date(2024, 2, 29), nothing=np.nan)
    with pytest.raises(OmeZarrError, match=r"(?s)2 reasons.*'day'.*'nothing'"):
        da.omezarr.to_zarr(tmp_path / "a.ome.zarr", layout="xarray")
    with pytest.raises(OmeZarrError, match=r"(?s)layout='nested' is not known.*version '7' is not known|7.*nested"):
        da.omezarr.to_zarr(tmp_path / "a.ome.zarr", layout="nested", version="7")


# --- where and how it is written -------------------------------------------------------------------------------


def test_the_plan_says_so(tmp_path: Path) -> None:
    plan = cells().omezarr.plan(tmp_path / "a.ome.zarr", layout="xarray", levels=2)
    assert "in the layout 'xarray'" in str(plan)
    assert [level["path"] for level in plan.to_dict()["levels"]] == ["0/image", "1/image"]
    assert plan.to_dict()["layout"] == "xarray"
    assert next(iter(plan.tiles)).path == "0/image"
    assert cells().omezarr.plan(tmp_path / "a.ome.zarr").to_dict()["layout"] == "ome"
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("where", ["memory", "url", "zip", "replaced", "delayed", "dask"])
def test_every_kind_of_store(tmp_path: Path, where: str, version: str) -> None:
    da, options = cells(), {"version": version, "layout": "xarray", "levels": 2}
    if where == "zip":
        with zarr.storage.ZipStore(tmp_path / "a.zip", mode="w") as store, warnings.catch_warnings():
            warnings.filterwarnings("error", message="Duplicate name: '[012]/")
            warnings.filterwarnings("ignore", message="Duplicate name: '(zarr.json|.zattrs)'")
            da.omezarr.to_zarr(store, **options)
        with zarr.storage.ZipStore(tmp_path / "a.zip", mode="r") as store:
            check_plain(store)
        return
    place: Any = tmp_path / "a.ome.zarr"
    if where == "memory":
        place = zarr.storage.MemoryStore()
    elif where == "url":
        place = f"memory://{tmp_path.name}-{version}/a.ome.zarr"
    elif where == "replaced":
        da.omezarr.to_zarr(place, levels=3)
        options["mode"] = "w"
    source = da.chunk({"y": 7}) if where == "dask" else da
    written = source.omezarr.to_zarr(place, compute=where != "delayed", **options)
    if where == "delayed":
        assert not place.exists()
        written.compute()
    check_plain(place)
    xr.testing.assert_identical(
        xr.open_dataarray(place, engine="omezarr").drop_attrs(), da.drop_attrs().assign_coords(began=da.began)
    )
    if where == "replaced":
        assert not (place / "2").exists()
        tree = da.omezarr.to_zarr(place, mode="w", levels=1, version=version)
        assert paths(tree) == ["0"]
        assert not (place / "0" / "y").exists()


def test_shards(tmp_path: Path) -> None:
    da = cells()
    options: dict[str, Any] = {"chunks": {"y": 4, "x": 4}, "shards": {"y": 8, "x": 8}, "levels": 2}
    da.omezarr.to_zarr(tmp_path / "a.ome.zarr", version="0.5", layout="xarray", **options)
    check_plain(tmp_path / "a.ome.zarr")
    assert zarr.open_array(tmp_path / "a.ome.zarr/0/image").shards == (1, 1, 8, 8)


def test_a_cluster_writes_the_same_bytes(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra 'distributed' is not installed")
    da = cells().chunk({"t": 1})
    da.compute().omezarr.to_zarr(tmp_path / "here.ome.zarr", layout="xarray", levels=2)
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster),
    ):
        da.omezarr.to_zarr(tmp_path / "there.ome.zarr", layout="xarray", levels=2, compute=False).compute()
    here, there = tmp_path / "here.ome.zarr", tmp_path / "there.ome.zarr"
    names = sorted(str(path.relative_to(here)) for path in here.rglob("*") if path.is_file())
    assert names == sorted(str(path.relative_to(there)) for path in there.rglob("*") if path.is_file())
    assert all((here / name).read_bytes() == (there / name).read_bytes() for name in names)


@pytest.mark.parametrize("mode", ["w-", "w"])
def test_a_failure_leaves_what_was_there(tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, image = tmp_path / "a.ome.zarr", cells()
    if mode == "w":
        cells().omezarr.to_zarr(place, layout="xarray", levels=1)
    before = sorted(place.rglob("*"))

    def interrupted(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(write, "consolidate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        image.omezarr.to_zarr(place, layout="xarray", levels=2, mode=mode)
    assert sorted(place.rglob("*")) == before
    # all pixels were written: they need not be written again
    monkeypatch.undo()
    image.omezarr.to_zarr(place, layout="xarray", levels=2, mode=mode, resume=True)
    assert paths(xr.open_datatree(place, engine="omezarr")) == ["0/image", "1/image"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.ome.zarr"]


# --- written again ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_tree_keeps_its_layout_unless_another_is_asked_for(tmp_path: Path, version: str) -> None:
    tree = cells().omezarr.to_zarr(tmp_path / "a.ome.zarr", layout="xarray", levels=2, version=version)
    assert paths(tree.omezarr.to_zarr(tmp_path / "b.ome.zarr")) == ["0/image", "1/image"]
    assert paths(tree.omezarr.to_zarr(tmp_path / "c.ome.zarr", layout="ome")) == ["0", "1"]
    flat = xr.open_datatree(tmp_path / "c.ome.zarr", engine="omezarr")
    assert paths(flat.omezarr.to_zarr(tmp_path / "d.ome.zarr")) == ["0", "1"]
    assert_same_levels(flat.omezarr.to_zarr(tmp_path / "e.ome.zarr", layout="xarray"), tree)
    check_plain(tmp_path / "e.ome.zarr")
    assert paths(tree.omezarr.level(0).omezarr.to_zarr(tmp_path / "f.ome.zarr", levels=1)) == ["0"]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_scaling_in_place_keeps_the_layout(tmp_path: Path, version: str) -> None:
    texts = np.array([["a", "bb"] * 12] * 20)
    store, da = tmp_path / "a.ome.zarr", cells(text=(("y", "x"), texts))
    da.omezarr.to_zarr(store, layout="xarray", levels=3, version=version)
    before = {path: path.read_bytes() for path in (store / "0").rglob("*") if path.is_file()}
    written = plan_scaling(store, in_place=True, method="nearest", max_layer=2).write()
    assert paths(written.tree) == ["0/image", "3/image", "4/image"]
    assert {path: path.read_bytes() for path in (store / "0").rglob("*") if path.is_file()} == before
    assert not (store / "1").exists()
    check_plain(store)
    np.testing.assert_array_equal(written.tree.omezarr.level(0)["text"].values, texts)
    xr.testing.assert_equal(written.tree.omezarr.level(0)["focus"].variable, da["focus"].variable)
    with pytest.raises(CoordinateError, match=r"coordinates 'y' lie beside level 0.*--in-place"):
        plan_scaling(store, in_place=True, scale={"y": 0.7})
    with pytest.raises(LayoutError, match="leave layout out"):
        plan_scaling(store, in_place=True, layout="ome")
    copy = plan_scaling(store, tmp_path / "b.ome.zarr", max_layer=1).write()
    assert paths(copy.tree) == ["0/image", "1/image"]


def test_scaling_in_place_leaves_what_others_put_beside_a_level(tmp_path: Path) -> None:
    store = tmp_path / "a.ome.zarr"
    cells().omezarr.to_zarr(store, layout="xarray", levels=2)
    zarr.open_group(store, mode="r+", use_consolidated=False).create_array("1/mask", data=np.ones((10, 12), "u1"))
    plan_scaling(store, in_place=True, max_layer=1).write()
    assert not (store / "1" / "image").exists()
    assert zarr.open_array(store / "1" / "mask", mode="r")[...].all()


def test_without_what_is_kept_the_image_has_the_attributes_of_its_array(tmp_path: Path) -> None:
    store = tmp_path / "a.ome.zarr"
    cells().omezarr.to_zarr(store, layout="xarray", levels=2)
    document = json.loads((store / ".zattrs").read_text())
    del document["xomezarr"]
    (store / ".zattrs").write_text(json.dumps(document))
    with xr.open_dataarray(store, engine="omezarr") as opened:
        assert opened.attrs == {"instrument": ["Zeiss", 63], "gain": 1.5, "limits": [0, 1, 2], "who": {"name": "µ"}}


def test_a_field_that_is_added_to_a_plate_is_laid_out_as_the_others(tmp_path: Path) -> None:
    image = cells().isel(t=0, drop=True)
    xomezarr.write_plate({("A", 1): [image]}, tmp_path / "a.zarr", layout="xarray")
    added = image.omezarr.to_plate(tmp_path / "a.zarr", row="B", column=1)
    assert paths(added)[0] == "0/image"
    flat = image.omezarr.to_plate(tmp_path / "a.zarr", row="B", column=2, layout="ome")
    assert paths(flat)[0] == "0"


# --- stores that xarray itself has written ---------------------------------------------------------------------


def scales(store: Path, zarr_format: Any) -> xr.DataArray:
    """Write a tree with plain xarray, and OME metadata into it, as multiscale-spatial-image does."""
    pixels = rng.integers(0, 99, (2, 32, 32)).astype("u1")
    levels, datasets = {}, []
    for index in range(3):
        step = 2**index
        along = (np.arange(32 // step) * step + (step - 1) / 2) * 0.5
        coords = {"c": np.arange(2), "y": along, "x": along}
        levels[f"scale{index}"] = xr.Dataset({"image": (("c", "y", "x"), pixels[:, ::step, ::step])}, coords)
        scale, translation = [1.0, 0.5 * step, 0.5 * step], [0.0, 0.25 * (step - 1), 0.25 * (step - 1)]
        transforms = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": translation}]
        datasets.append({"path": f"scale{index}/image", "coordinateTransformations": transforms})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        xr.DataTree.from_dict(levels).to_zarr(store, zarr_format=zarr_format)
    axes = [
        {"name": "c", "type": "channel"},
        *({"name": name, "type": "space", "unit": "micrometer"} for name in ("y", "x")),
    ]
    multiscale = {"name": "image", "axes": axes, "datasets": datasets}
    group = zarr.open_group(store, mode="r+", use_consolidated=False)
    if zarr_format == 2:
        group.attrs["multiscales"] = [{"version": "0.4", **multiscale}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    return levels["scale0"]["image"]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_trees_of_xarray_with_ome_metadata(tmp_path: Path, zarr_format: int) -> None:
    image = scales(tmp_path / "a.zarr", zarr_format)
    tree = xr.open_datatree(tmp_path / "a.zarr", engine="omezarr")
    assert [level.shape for level in tree.omezarr.levels] == [(2, 32, 32), (2, 16, 16), (2, 8, 8)]
    np.testing.assert_array_equal(tree.omezarr.level(0).values, image.values)
    assert not tree.omezarr.level(0).attrs
    for index in range(3):
        stored = xr.open_dataset(tmp_path / "a.zarr", group=f"scale{index}", engine="zarr", consolidated=False)
        np.testing.assert_array_equal(tree.omezarr.level(index)["x"].values, stored["x"].values)
    report = xomezarr.validate(tmp_path / "a.zarr")
    assert report.valid
    # how the levels were made is not told, and chunks of Zarr v2 lie side by side, as xarray has them
    assert {finding.rule for finding in report} == {"36", "37", *(["2"] if zarr_format == 2 else [])}
    copy = tree.omezarr.to_zarr(tmp_path / "b.ome.zarr")
    assert paths(copy) == ["0/image", "1/image", "2/image"]
    check_plain(tmp_path / "b.ome.zarr")
    labels = (tree.omezarr.level(0).isel(c=0, drop=True) > 50).astype("u1").omezarr.to_labels(tmp_path / "a.zarr", "on")
    assert paths(labels) == ["0/on", "1/on", "2/on"]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_c6_coordinates_that_another_tool_keeps_beside_the_pixels_are_not_lost(
    tmp_path: Path, zarr_format: Any
) -> None:
    scales(store := tmp_path / "a.zarr", zarr_format)
    added = {
        "c": ("c", ["DAPI", "GFP"]),
        "dose": ("c", [1.5, 2.5]),
        "focus": (("y", "x"), rng.random((32, 32))),
        "began": np.datetime64("2020-01-01", "ns"),
        "y": ("y", np.arange(32) * 0.5, {"long_name": "down", "units": "mm"}),
    }
    with xr.open_dataset(store, group="scale0", engine="zarr", consolidated=False) as ds:
        more = ds.load().assign_coords(added)
    shutil.rmtree(store / "scale0")
    more.to_zarr(store, group="scale0", zarr_format=zarr_format, consolidated=False)
    tree = xr.open_datatree(store, engine="omezarr")
    level = tree.omezarr.level(0).load()
    for name in added:
        assert bits(level[name].values) == bits(more[name].values), name
    assert level.y.attrs == {"long_name": "down", "units": "micrometer", "scale": 0.5}
    assert {*tree.omezarr.level(1).coords} == {*added, "x"} - {"focus"}
    assert xomezarr.validate(store).valid
    # what replaces the store keeps them
    tree.omezarr.to_zarr(store, mode="w")
    xr.testing.assert_identical(xr.open_datatree(store, engine="omezarr").omezarr.level(0), level)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_pixels_of_which_the_dimensions_are_not_named_have_no_coordinates_beside_them(
    tmp_path: Path, version: str
) -> None:
    """As some tools write 0.4, which does not ask for names; nothing is told, as nothing is lost."""
    da = cells()[0, 0].reset_coords(drop=True)
    da.omezarr.to_zarr(tmp_path / "a.zarr", levels=2, version=version, layout="xarray")
    group = zarr.open_group(tmp_path / "a.zarr", mode="r+")
    del group.attrs["xomezarr"]
    for level in map(str, range(2)):
        nested = group[level]
        pixels = next(name for name in nested if nested[name].ndim == 2)
        for name in [name for name in nested if name != pixels]:
            del nested[name]
        if version == "0.4":
            del nested[pixels].attrs["_ARRAY_DIMENSIONS"]
    for place in (tmp_path / "a.zarr").rglob(".zmetadata"):
        place.unlink()
    found = xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr")
    np.testing.assert_array_equal(found, da)
    assert found.omezarr.scale["y"] == 0.5


def test_coordinates_that_contradict_the_metadata_are_told(tmp_path: Path) -> None:
    scales(store := tmp_path / "a.zarr", 3)
    zarr.open_array(store / "scale0/x", mode="r+")[3] = 77
    zarr.open_array(store / "scale1/y", mode="r+")[0] = -1
    with pytest.warns(
        MetadataChangedWarning, match=r"left out, .*: 'x' is 77\.0 at index 3, and 1\.5 by the OME metad"
    ):
        tree = xr.open_datatree(store, engine="omezarr")
    assert tree["0"].x[3] == 1.5
    shutil.rmtree(store / "scale2/x")
    found = [(one.location, one.message) for one in xomezarr.validate(store) if one.rule == "103"]
    assert [where for where, _ in found] == ["scale0/x", "scale1/y", "scale2/x"]
    assert "is -1.0 at index 0, and 0.25 by the OME metadata" in found[1][1]
    # and what xarray cannot read at all
    zarr.open_array(store / "scale0/c", mode="r+").attrs["units"] = "days since never"
    with pytest.warns(MetadataChangedWarning, match="in 'scale0' of .* cannot be opened by xarray .*are left out"):
        xr.open_datatree(store, engine="omezarr")
    assert "scale0" in [one.location for one in xomezarr.validate(store) if one.rule == "103"]


@pytest.mark.parametrize(("times", "told"), [([0, 10, 20], "10.0 at index 1, and 60.0"), ([0, 60, 120], "")])
def test_dates_beside_the_pixels_are_compared_with_the_times_of_the_metadata(
    tmp_path: Path, times: list[int], told: str
) -> None:
    first = np.datetime64("2024-02-29T12:00", "ns")
    t = xr.DataArray(np.arange(3) * 60.0, dims="t", attrs={"units": "s"})
    image = xr.DataArray(np.zeros((3, 8, 8), "u1"), {"t": t}, ("t", "y", "x"))
    image.omezarr.to_zarr(store := tmp_path / "a.zarr", layout="xarray", version="0.5", levels=1)
    document = json.loads((store / "zarr.json").read_text())
    del document["attributes"]["xomezarr"]
    document.pop("consolidated_metadata", None)
    (store / "zarr.json").write_text(json.dumps(document))
    shutil.rmtree(store / "0/t")
    dates = first + np.array(times, "m8[s]")
    xr.Dataset(coords={"t": dates}).to_zarr(store, group="0", mode="a", zarr_format=3, consolidated=False)
    if told:
        with pytest.warns(MetadataChangedWarning, match=told):
            tree = xr.open_datatree(store, engine="omezarr")
        assert tree["0"].t.values.tolist() == [0.0, 60.0, 120.0]
    else:
        tree = xr.open_datatree(store, engine="omezarr")
        assert (tree["0"].t.values == dates).all()
    assert [one.rule for one in xomezarr.validate(store) if one.rule == "103"] == (["103"] if told else [])


# --- in the shell ----------------------------------------------------------------------------------------------


def test_the_shell(tmp_path: Path, capsys: Any) -> None:
    np.save(tmp_path / "a.npy", np.ones((64, 64), "u2"))
    asked = [str(tmp_path / "a.npy"), str(tmp_path / "a.ome.zarr"), "--dims", "yx", "--levels", "2"]
    assert main(["convert", *asked, "--layout", "xarray", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["layout"] == "xarray"
    assert main(["convert", *asked, "--layout", "xarray"]) == 0
    check_plain(tmp_path / "a.ome.zarr")
    assert main(["convert", *asked, "--layout", "nested"]) == 2
    assert main(["scale", str(tmp_path / "a.ome.zarr"), str(tmp_path / "b.ome.zarr"), "--layout", "ome"]) == 0
    assert paths(xr.open_datatree(tmp_path / "b.ome.zarr", engine="omezarr"))[0] == "0"
    assert main(["scale", str(tmp_path / "a.ome.zarr"), "--in-place", "--layout", "ome"]) == 2
    assert "--layout" in capsys.readouterr().err


def test_an_attribute_by_which_xarray_would_decode_a_coordinate_is_named(tmp_path: Path) -> None:
    da = xr.DataArray(np.zeros((4, 4), "uint8"), dims=("y", "x")).omezarr.assign_grid(scale={"y": 0.5, "x": 0.5})
    da.y.attrs["missing_value"] = -1
    with pytest.raises(LayoutError, match=r"attributes 'missing_value' of the coordinate 'y'.*: del da\.coords"):
        da.omezarr.to_zarr(tmp_path / "a.zarr", layout="xarray")
    del da.coords["y"].attrs["missing_value"]  # the cure
    da.omezarr.to_zarr(tmp_path / "a.zarr", layout="xarray")
