# /// script
# requires-python = ">=3.12"
# dependencies = ["multiscale-spatial-image==2.0.3", "spatial-image==1.2.3", "pytest>=8.3", "xomezarr"]
#
# [tool.uv.sources]
# xomezarr = { path = "../..", editable = true }
# ///
"""multiscale-spatial-image: whether our trees are its own, what it writes of them, and what comes back."""

import json

import interchanging
import numpy as np
import pytest
import xarray as xr
from interchanging import SCALE, TRANSLATION, UNIT, assert_same, base, image, position, told, written
from multiscale_spatial_image import to_multiscale
from spatial_image import is_spatial_image, to_spatial_image

import xomezarr


@pytest.fixture(params=["cyx", "czyx"])
def tree(request, tmp_path):
    return written(tmp_path, dims=request.param)


def given(tree):
    if "labels" not in tree.children:
        return tree.omezarr.to_multiscale_spatial_image()
    with told("labels beside an image ('nuclei')"):
        return tree.omezarr.to_multiscale_spatial_image()


def test_each_level_is_a_spatial_image(tree):
    for node in given(tree).children.values():
        assert is_spatial_image(node["cells"])


def test_what_it_writes_says_where_pixels_lie(tree, tmp_path):
    store = tmp_path / "theirs.ome.zarr"
    given(tree).msi.to_zarr(store)
    (entry,) = json.loads((store / ".zattrs").read_text())["multiscales"]
    names = [axis["name"] for axis in entry["axes"]]
    assert tuple(names) == tree.omezarr.level(0).dims
    assert [axis.get("unit") for axis in entry["axes"]] == [None, *[UNIT] * (len(names) - 1)]
    for level, dataset in enumerate(entry["datasets"]):
        scale, translation = dataset["coordinateTransformations"]
        for number, name in enumerate(names[1:], 1):
            assert scale["scale"][number] == pytest.approx(SCALE[name] * 2**level)
            assert translation["translation"][number] == pytest.approx(position(name, 0, level))
    opened = xr.open_datatree(store, engine="omezarr")
    for level, found in zip(tree.omezarr.levels, opened.omezarr.levels, strict=True):
        np.testing.assert_array_equal(found, level)
        for dim in names[1:]:
            np.testing.assert_allclose(found[dim], level[dim], rtol=1e-12)


def test_what_comes_back_is_what_was_given(tree, tmp_path):
    there = given(tree)
    back = xomezarr.from_multiscale_spatial_image(there)
    assert_same(tree, back)
    assert_same(tree, back.omezarr.to_zarr(tmp_path / "copy.ome.zarr"))


def test_its_own_calls_work_on_it(tree):
    there = given(tree)
    turned = there.msi.transpose(*reversed(tree.omezarr.level(0).dims))
    assert turned["scale1/cells"].dims[0] == "x"
    named = xomezarr.from_multiscale_spatial_image(there.msi.assign_coords({"c": ["a", "b"]}))
    assert named.omezarr.level(1).c.values.tolist() == ["a", "b"]


def test_trees_that_it_makes_come_as_they_are(tmp_path):
    pixels = np.arange(3 * 203 * 100, dtype="uint16").reshape(3, 203, 100)
    grid = {"scale": {"y": 0.5, "x": 0.25}, "translation": {"y": 10.0, "x": 20.0}}
    units = {"y": UNIT, "x": UNIT}
    single = to_spatial_image(pixels, dims=("c", "y", "x"), axis_units=units, name="cells", **grid)
    theirs = to_multiscale(single, [2, 2])
    tree = xomezarr.from_multiscale_spatial_image(theirs)
    copy = tree.omezarr.to_zarr(tmp_path / "copy.ome.zarr")
    for found in (tree, copy):
        for level, name in zip(found.omezarr.levels, theirs, strict=True):
            np.testing.assert_array_equal(level, theirs[name]["cells"])
            np.testing.assert_array_equal(level.y, theirs[name].y)
            assert level.y.attrs["units"] == UNIT
            assert level.c.attrs == {}
    # it drops the first row, which makes no whole pixel
    assert tree.omezarr.level(1).omezarr.translation["y"] == 10.75
    da = base(xomezarr.from_multiscale_spatial_image(single))
    assert (da.omezarr.scale["x"], da.omezarr.translation["x"]) == (0.25, 20.0)


def test_its_levels_are_made_of_our_array():
    da = image("yx")
    single = da.omezarr.to_multiscale_spatial_image()["scale0/cells"]
    made = xomezarr.from_multiscale_spatial_image(to_multiscale(single, [2]))
    assert made.omezarr.level(1).x[0] == pytest.approx(TRANSLATION["x"] + SCALE["x"] / 2)


if __name__ == "__main__":
    interchanging.run(__file__)
