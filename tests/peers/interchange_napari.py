# /// script
# requires-python = ">=3.12"
# dependencies = ["napari==0.9.2", "pytest>=8.3", "xomezarr"]
#
# [tool.uv.sources]
# xomezarr = { path = "../..", editable = true }
# ///
"""napari: where its layers have the pixels, and what comes back of them. No Qt is needed for that."""

import interchanging
import numpy as np
import pytest
import xarray as xr
from interchanging import BOXES, CHANNELS, SIZES, assert_same, base, image, position, written
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

import xomezarr


@pytest.fixture
def tree(tmp_path):
    return written(tmp_path)


def shown(tree, **options):
    """Return the layers of a viewer that shows an image."""
    viewer = ViewerModel()
    for data, said, kind in tree.omezarr.to_napari(**options):
        getattr(viewer, f"add_{kind}")(data, **said)
    return viewer.layers


def test_pixels_lie_where_they_do(tree):
    dapi, gfp, nuclei = shown(tree)
    assert [layer.name for layer in (dapi, gfp, nuclei)] == ["DAPI", "GFP", "nuclei"]
    for y, x in ((0, 0), (17, 29), (202, 149)):
        place = [position("y", y), position("x", x)]
        assert dapi.data_to_world((y, x)) == pytest.approx(place, abs=1e-9)
    assert {str(unit) for unit in (*dapi.units, *nuclei.units)} == {"micrometer"}
    assert dapi.extent.world[0] == pytest.approx([position("y", 0), position("x", 0)])
    assert nuclei.data_to_world((17, 29)) == pytest.approx([position("y", 17), position("x", 29)], abs=1e-9)
    (alone,) = shown(tree["labels/nuclei"].omezarr.level(0))
    for value, (y, x) in BOXES.items():
        assert alone.get_value((position("y", y.start), position("x", x.stop - 1)), world=True) == value
        assert alone.get_value((position("y", y.start - 1), position("x", x.stop)), world=True) == 0


def test_the_value_at_a_place_is_that_of_our_pixel():
    da = image("yx")
    (layer,) = shown(da)
    for y, x in ((0, 0), (17, 29), (202, 149)):
        place = (position("y", y), position("x", x))
        assert layer.get_value(place, world=True) == da.sel(y=place[0], x=place[1], method="nearest").item()


def test_channels_look_as_they_are_said_to(tree):
    dapi, gfp, nuclei = shown(tree)
    for layer, channel in zip((dapi, gfp), CHANNELS, strict=True):
        assert layer.contrast_limits == [channel["window"]["start"], channel["window"]["end"]]
        rgb = bytes(int(255 * part) for part in layer.colormap.colors[-1][:3]).hex().upper()
        assert rgb == channel["color"]
        assert layer.blending == "additive"
    assert nuclei.colormap.color_dict[7].tolist() == pytest.approx([0, 1, 0, 128 / 255], abs=1e-3)


def test_what_comes_back_is_what_was_given(tree):
    back = xomezarr.from_napari(shown(tree))
    plain = image().omezarr.assign_channels(
        [{**one, "window": (one["window"]["start"], one["window"]["end"])} for one in CHANNELS]
    )
    # what windows lie within is no matter of napari's
    xr.testing.assert_identical(back.omezarr.level(0).load(), plain)
    for level, found in zip(tree.omezarr.levels, back.omezarr.levels, strict=True):
        np.testing.assert_array_equal(found, level)
        xr.testing.assert_identical(found.coords["y"].load(), level.coords["y"].load())
    assert back["labels/nuclei"].omezarr.colors == tree["labels/nuclei"].omezarr.colors
    assert_same(tree["labels/nuclei"], back["labels/nuclei"])


def test_what_comes_back_is_written_as_it_stands(tree, tmp_path):
    copy = xomezarr.from_napari(shown(tree)).omezarr.to_zarr(tmp_path / "copy.ome.zarr")
    for level, found in zip(tree.omezarr.levels, copy.omezarr.levels, strict=True):
        np.testing.assert_array_equal(found, level)
    assert [level.omezarr.translation for level in copy.omezarr.levels] == [
        level.omezarr.translation for level in tree.omezarr.levels
    ]


def test_windows_that_nobody_says_are_chosen():
    channels = [{"label": "DAPI"}, {"label": "GFP", "window": (0, 7)}]
    one, two = shown(image().omezarr.assign_channels(channels))
    assert one.contrast_limits[0] < one.contrast_limits[1]
    assert two.contrast_limits == [0, 7]


def test_moved_layers_come_back_moved(tree):
    layers = shown(tree, labels=False)
    for layer in layers:
        layer.translate = [7.0, 9.0]
        layer.scale = [2.0, 4.0]
    back = xomezarr.from_napari(layers)
    # the blocks of two rows and two columns of level 1, half a pixel of level 0 further on
    assert back.omezarr.level(1).omezarr.translation == {"c": 0.0, "y": 8.0, "x": 11.0}
    assert back.omezarr.level(1).omezarr.scale == {"c": 1.0, "y": 4.0, "x": 8.0}


@pytest.mark.parametrize(
    "options",
    [
        {"rotate": 30},
        {"rotate": 30, "shear": [0.2], "scale": [0.5, 0.25], "translate": [3, 4]},
        {"affine": [[0.5, 1, 5], [-1, 0.25, 2], [0, 0, 1]], "scale": [2, 3], "translate": [1, 1]},
        {"affine": [[0, 1, 5], [-1, 0, 2], [0, 0, 1]], "rotate": 10, "shear": [[1, 0], [0.3, 1]], "scale": [2, 3]},
        {"scale": [-2, 3], "translate": [1, 1]},
    ],
)
def test_turned_layers_lie_where_napari_has_them(options):
    pixels = np.arange(20.0).reshape(4, 5)
    layer = Image(pixels, axis_labels=["y", "x"], units=["um", "um"], **options)
    for given in (layer, (pixels, options, "image")):
        da = base(xomezarr.from_napari(given))
        for y, x in ((0, 0), (2, 3), (3, 4)):
            pixel = da.isel(y=y, x=x)
            found = [pixel.coords["world_y"].item(), pixel.coords["world_x"].item()]
            assert found == pytest.approx(layer.data_to_world((y, x)), abs=1e-9)


def test_layers_turned_about_three_axes():
    layer = Image(np.zeros((2, 4, 5, 6)), rotate=(10, 20, 30), scale=[1, 1, 2, 3], translate=[5, 1, 2, 3])
    pixel = base(xomezarr.from_napari(layer)).isel(t=1, z=2, y=3, x=4)
    found = [pixel.t.item(), *(pixel.coords[f"world_{dim}"].item() for dim in "zyx")]
    assert found == pytest.approx(layer.data_to_world((1, 2, 3, 4)), abs=1e-9)


def test_a_system_in_which_an_image_lies_askew_is_napari_s_world():
    da = image("yx").omezarr.assign_affine([[0.6, 0.8, 5], [-0.8, 0.6, 7]], system="stage")
    (layer,) = shown(da, coordinate_system="stage")
    pixel = da.isel(y=11, x=23)
    assert layer.data_to_world((11, 23)) == pytest.approx([pixel.stage_y.item(), pixel.stage_x.item()])
    xr.testing.assert_identical(base(xomezarr.from_napari(layer)).load(), da)


def test_colours_and_labels():
    photograph = Image(np.zeros((4, 5, 3), "uint8"), rgb=True, scale=[2, 3])
    da = base(xomezarr.from_napari(photograph))
    assert (da.dims, da.c.values.tolist(), da.omezarr.scale["x"]) == (("y", "x", "c"), ["red", "green", "blue"], 3.0)
    alone = base(xomezarr.from_napari(Labels(np.ones((4, 5), int), name="nuclei")))
    assert alone.omezarr.pyramid(levels=2).encoding["method"] == "mode"


def test_tuples_are_layers(tree):
    for data, options, kind in tree.omezarr.to_napari():
        if "channel_axis" not in options:
            layer = Layer.create(data, options, kind)
            assert layer.data[1].shape == (102, 75)
    assert SIZES["y"] == 203


if __name__ == "__main__":
    interchanging.run(__file__)
