# /// script
# requires-python = ">=3.12"
# dependencies = ["ngff-zarr==0.50.0", "pytest>=8.3", "xomezarr"]
#
# [tool.uv.sources]
# xomezarr = { path = "../..", editable = true }
# ///
"""ngff-zarr: where it has the pixels, what it writes of that, and what comes back."""

import json

import interchanging
import ngff_zarr
import numpy as np
import pytest
import xarray as xr
from interchanging import (
    CHANNELS,
    SCALE,
    TRANSLATION,
    UNIT,
    assert_same,
    assert_unread,
    image,
    never,
    position,
    told,
    written,
)

import xomezarr


@pytest.fixture(params=["cyx", "czyx"])
def tree(request, tmp_path):
    return written(tmp_path, dims=request.param)


def multiscales(tree):
    if "labels" not in tree.children:
        return tree.omezarr.to_ngff_zarr()
    with told("labels beside an image ('nuclei')"):
        return tree.omezarr.to_ngff_zarr()


def test_pixels_lie_where_they_do(tree):
    found = multiscales(tree)
    for level, one in enumerate(found.images):
        for dim in set(one.dims) - {"c"}:
            for index in (0, 3):
                there = one.translation[dim] + index * one.scale[dim]
                assert there == pytest.approx(position(dim, index, level), abs=1e-12)
            assert one.axes_units[dim] == UNIT
        np.testing.assert_array_equal(one.data, tree.omezarr.level(level))
    assert [channel.label for channel in found.metadata.omero.channels] == ["DAPI", "GFP"]


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_what_it_writes_says_the_same(tree, version, tmp_path):
    store = tmp_path / "theirs.ome.zarr"
    ngff_zarr.to_ngff_zarr(str(store), multiscales(tree), version=version)
    if version != "0.6":
        # as it stands in the file, which no library reads here
        document = json.loads((store / (".zattrs" if version == "0.4" else "zarr.json")).read_text())
        stated = document if version == "0.4" else document["attributes"]["ome"]
        (entry,) = stated["multiscales"]
        names = [axis["name"] for axis in entry["axes"]]
        assert [axis.get("unit") for axis in entry["axes"]] == [None, *[UNIT] * (len(names) - 1)]
        for level, dataset in enumerate(entry["datasets"]):
            scale, translation = dataset["coordinateTransformations"]
            for number, name in enumerate(names[1:], 1):
                assert scale["scale"][number] == SCALE[name] * 2**level
                assert translation["translation"][number] == pytest.approx(position(name, 0, level), abs=1e-12)
        window = stated["omero"]["channels"][1]["window"]
        assert (window["start"], window["end"]) == (50, 700)
    back = xomezarr.from_ngff_zarr(ngff_zarr.from_ngff_zarr(str(store)))
    for level, (one, other) in enumerate(zip(tree.omezarr.levels, back.omezarr.levels, strict=True)):
        np.testing.assert_array_equal(one, other)
        for dim in set(one.dims) - {"c"}:
            np.testing.assert_array_equal(other[dim], one[dim], err_msg=f"level {level} {dim}")
    assert [channel.color for channel in back.omezarr.channels] == ["0000FF", "00FF00"]


def test_what_comes_back_is_what_was_given(tree, tmp_path):
    back = xomezarr.from_ngff_zarr(multiscales(tree))
    assert_same(tree, back)
    copy = back.omezarr.to_zarr(tmp_path / "copy.ome.zarr")
    assert_same(tree, copy)


def test_levels_that_it_makes_lie_where_it_says():
    base = image()
    with told("windows of channels"):
        given = base.omezarr.to_ngff_zarr()
    made = ngff_zarr.to_multiscales(given, [2, 4])
    tree = xomezarr.from_ngff_zarr(made)
    assert tree.omezarr.level(0).c.values.tolist() == [channel["label"] for channel in CHANNELS]
    for level, one in zip(tree.omezarr.levels, made.images, strict=True):
        assert level.omezarr.scale == one.scale
        for dim in "yx":
            assert level[dim][0] == one.translation[dim]
    # which has none itself: it says them of the axes alone
    assert made.images[1].axes_units is None
    assert all(level.x.attrs["units"] == UNIT for level in tree.omezarr.levels)


def test_an_image_alone_is_a_tree_of_one_level():
    da = image("yx")
    (level,) = xomezarr.from_ngff_zarr(da.omezarr.to_ngff_zarr()).omezarr.levels
    xr.testing.assert_identical(level.load(), da)
    with told("coordinate systems 'stage'"):
        da.omezarr.assign_affine([[0, 1, 5], [-1, 0, 7]], system="stage").omezarr.to_ngff_zarr()


def test_what_leads_from_all_levels_is_in_the_coordinates():
    da = image("yx")
    found = da.omezarr.pyramid(levels=2, factors=2).omezarr.to_ngff_zarr()
    common = [ngff_zarr.Scale(scale=[2.0, 4.0]), ngff_zarr.Translation(translation=[5.0, 7.0])]
    found.metadata.coordinateTransformations = common
    tree = xomezarr.from_ngff_zarr(found)
    for level in (0, 1):
        assert tree.omezarr.level(level).y[3] == pytest.approx(2 * position("y", 3, level) + 5)
        assert tree.omezarr.level(level).x[3] == pytest.approx(4 * position("x", 3, level) + 7)


def test_labels_are_told_to_be_none_there(tmp_path):
    nuclei = written(tmp_path)["labels/nuclei"]
    with told("what makes pixels labels (their coarser levels are made by method='mode'), and their colours"):
        found = nuclei.omezarr.to_ngff_zarr(name="mine")
    assert xomezarr.from_ngff_zarr(found).omezarr.level(0).name == "mine"


def test_times_are_seconds():
    times = np.array([0, 5, 10], "timedelta64[s]").astype("timedelta64[ns]")
    series = image("yx").expand_dims(t=times)
    with told("the timedelta64 of 't', which become seconds"):
        found = series.omezarr.to_ngff_zarr()
    assert (found.scale["t"], found.axes_units["t"]) == (5.0, "second")


def test_nothing_is_read():
    found = xomezarr.from_ngff_zarr(never().omezarr.pyramid(levels=3).omezarr.to_ngff_zarr())
    assert_unread(*found.omezarr.levels)


def test_orientations_go_along():
    da = image("zyx")
    da.x.attrs["orientation"] = "left-to-right"
    found = da.omezarr.pyramid(levels=1).omezarr.to_ngff_zarr()
    assert found.metadata.axes[2].orientation.value == "left-to-right"
    xr.testing.assert_identical(xomezarr.from_ngff_zarr(found).omezarr.level(0).load(), da)
    assert TRANSLATION["x"] == da.x[0]


if __name__ == "__main__":
    interchanging.run(__file__)
