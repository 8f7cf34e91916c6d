# /// script
# requires-python = ">=3.12"
# dependencies = ["spatialdata==0.8.0", "pytest>=8.3", "xomezarr"]
#
# [tool.uv.sources]
# xomezarr = { path = "../..", editable = true }
# ///
"""spatialdata: where its elements have the pixels, before and after it has written them, and what comes back."""

import warnings

import interchanging
import numpy as np
import pytest
import spatialdata
import xarray as xr
from interchanging import (
    BOXES,
    SCALE,
    SIZES,
    assert_same,
    assert_unread,
    base,
    image,
    labels,
    never,
    position,
    told,
    written,
)
from spatialdata.models import Image2DModel, Image3DModel, Labels2DModel
from spatialdata.transformations import Affine, Scale, Sequence, Translation, get_transformation, set_transformation

import xomezarr


@pytest.fixture
def tree(tmp_path):
    return written(tmp_path)


@pytest.fixture
def even(tmp_path):
    """Give a tree whose levels are made of whole blocks, by the ratio of whose shapes spatialdata can go."""
    return written(tmp_path).omezarr.isel(y=slice(0, 200), x=slice(0, 148))


def whole(tree):
    with told("units (micrometer of y and x)"):
        return tree.omezarr.to_spatialdata()


def element(da, **options):
    with told("units"):
        return da.omezarr.to_spatialdata(**options)


def edge(dim, index):
    """Return where the lower edge of a pixel lies."""
    return position(dim, index) - SCALE[dim] / 2


def mapped(array, indices, system="global"):
    """Return where spatialdata has the centres of pixels: half a pixel into each."""
    dims = [dim for dim in array.dims if dim != "c"]
    matrix = get_transformation(array, system).to_affine_matrix(input_axes=tuple(dims), output_axes=tuple(dims))
    return dict(zip(dims, (matrix @ [*(index + 0.5 for index in indices), 1])[:-1], strict=True))


def test_a_tree_is_an_image_with_its_labels(tree):
    with told("colours of labels"):
        sdata = tree.omezarr.to_spatialdata()
    assert (list(sdata.images), list(sdata.labels)) == (["cells"], ["nuclei"])
    assert spatialdata.get_extent(sdata) == {
        dim: pytest.approx((edge(dim, 0), edge(dim, SIZES[dim]))) for dim in ("x", "y")
    }


def test_pixels_of_every_level_lie_where_they_do(tree):
    sdata = whole(tree)
    for found in (sdata["cells"], sdata["nuclei"]):
        for level in range(3):
            array = found[f"scale{level}"]["image"]
            for indices in ((0, 0), (17, 29)):
                expected = {dim: position(dim, index, level) for dim, index in zip("yx", indices, strict=True)}
                assert mapped(array, indices) == pytest.approx(expected, abs=1e-9)
            # its coordinates are those of level 0's pixels
            assert array.x[1] == pytest.approx(1.5 * 2**level)
            assert array.chunks is not None


def test_labels_have_their_centroids_where_ours_do(tree):
    found = spatialdata.get_centroids(whole(tree)["nuclei"], coordinate_system="global").compute()
    ours = labels()
    for value, box in BOXES.items():
        expected = [ours.x[box[1]].mean().item(), ours.y[box[0]].mean().item()]
        assert found.loc[value, ["x", "y"]].tolist() == pytest.approx(expected)


def test_a_box_around_a_pixel_holds_that_pixel(tree):
    found = whole(tree)["cells"]
    y, x = position("y", 17), position("x", 29)
    box = spatialdata.bounding_box_query(
        found,
        axes=("y", "x"),
        min_coordinate=[y - 0.2, x - 0.1],
        max_coordinate=[y + 0.2, x + 0.1],
        target_coordinate_system="global",
    )
    array = box if isinstance(box, xr.DataArray) else box["scale0"]["image"]
    assert array.shape == (2, 1, 1)
    np.testing.assert_array_equal(array.values.ravel(), image().isel(y=17, x=29))


def test_what_comes_back_is_what_was_given(tree, tmp_path):
    sdata = whole(tree)
    back = xomezarr.from_spatialdata(sdata)
    assert_same(tree, back)
    assert_same(tree["labels/nuclei"], back["labels/nuclei"])
    assert back["labels/nuclei"].omezarr.colors == tree["labels/nuclei"].omezarr.colors
    copy = back.omezarr.to_zarr(tmp_path / "copy.ome.zarr")
    assert_same(tree, copy)
    assert_same(tree["labels/nuclei"], copy["labels/nuclei"])
    # nothing of the element is changed by that
    assert "transform" in sdata["cells"]["scale1"]["image"].attrs
    assert_same(tree, xomezarr.from_spatialdata(sdata["cells"]))


def test_it_writes_and_reads_them(even, tmp_path):
    with told("units"):
        sdata = even.omezarr.to_spatialdata()
    sdata.write(tmp_path / "theirs.zarr")
    read = spatialdata.read_zarr(tmp_path / "theirs.zarr")
    back = xomezarr.from_spatialdata(read, units="micrometer")
    assert list(back.omezarr.labels) == ["nuclei"]
    for level, found in zip(even.omezarr.levels, back.omezarr.levels, strict=True):
        np.testing.assert_array_equal(found, level)
        for dim in "yx":
            xr.testing.assert_identical(found[dim].drop_vars(dim), level[dim].drop_vars(dim))
        assert found.c.values.tolist() == ["DAPI", "GFP"]


def test_where_its_writer_moves_levels_that_is_told(tree, tmp_path):
    with told("level 1 lies, which write and queries put up to 0.5 of its pixels off"):
        sdata = tree.omezarr.to_spatialdata()
    sdata.write(tmp_path / "theirs.zarr")
    back = xomezarr.from_spatialdata(spatialdata.read_zarr(tmp_path / "theirs.zarr"))
    for index, (level, found) in enumerate(zip(tree.omezarr.levels, back.omezarr.levels, strict=True)):
        off = max(float(np.abs(found[dim].values - level[dim].values).max()) / (SCALE[dim] * 2**index) for dim in "yx")
        assert off <= 0.51
        assert (off > 0.1) == (index > 0)


@pytest.mark.parametrize("dims", ["yx", "zyx", "yxc", "czyx"])
def test_an_array_is_an_element(dims):
    da = image(dims)
    found = element(da)
    model = Image3DModel if "z" in dims else Image2DModel
    model.validate(found)
    indices = (3, 17, 29)[-len([dim for dim in dims if dim != "c"]) :]
    space = [dim for dim in "zyx" if dim in dims]
    expected = {dim: position(dim, index) for dim, index in zip(space, indices, strict=True)}
    assert mapped(found, indices) == pytest.approx(expected)
    xr.testing.assert_identical(base(xomezarr.from_spatialdata(found)).load(), da)


def test_channels_have_names_there_and_what_they_had_here():
    bare = image().drop_vars([name for name, coord in image().coords.items() if "c" in coord.dims])
    waves = bare.assign_coords(c=("c", [488, 561], {"units": "nm"}))
    named = waves.omezarr.assign_channels(["DAPI", "GFP"])
    for da, names in ((bare, [0, 1]), (waves, [488, 561]), (named, ["DAPI", "GFP"])):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = da.omezarr.to_spatialdata()
        assert found.c.values.tolist() == names
        xr.testing.assert_identical(base(xomezarr.from_spatialdata(found)).load(), da)


def test_a_selected_channel_keeps_its_name():
    two = xr.DataArray(np.zeros((2, 32, 24), "u2"), dims=("c", "y", "x"), name="cells")
    one = two.omezarr.assign_channels(["DAPI", "GFP"]).isel(c=1)
    made = one.omezarr.to_spatialdata()
    assert made.c.values.tolist() == ["GFP"]
    back = xomezarr.from_spatialdata(made).omezarr.level(0)
    assert back.dims == ("y", "x")
    assert back.c.item() == "GFP"


def test_arrays_of_labels_are_labels():
    found = element(labels(), as_labels=True)
    Labels2DModel.validate(found)
    back = base(xomezarr.from_spatialdata(found))
    xr.testing.assert_identical(back.load(), labels())
    # and are known to be so
    Labels2DModel.validate(element(back))
    with pytest.raises(xomezarr.errors.DtypeError, match="astype"):
        element(image("yx"), as_labels=True)


def test_levels_that_are_samples_lie_where_these_are():
    tree = image().omezarr.pyramid(levels=2, factors=3, method="nearest")
    with told("units"):
        sdata = tree.omezarr.to_spatialdata()
    array = sdata["cells"]["scale1"]["image"]
    # of blocks of three, the pixel in the middle; of two, the first
    tree = image().omezarr.pyramid(levels=2, factors=2, method="nearest")
    with told("where level 1 lies"):
        sampled = tree.omezarr.to_spatialdata()
    assert mapped(array, (5, 7)) == pytest.approx({"y": position("y", 16), "x": position("x", 22)})
    assert mapped(sampled["cells"]["scale1"]["image"], (5, 7)) == pytest.approx(
        {"y": position("y", 10), "x": position("x", 14)}
    )
    assert_same(tree, xomezarr.from_spatialdata(sampled))


def test_elements_of_its_own_come_as_it_says(tmp_path):
    pixels = np.arange(3 * 203 * 100, dtype="uint16").reshape(3, 203, 100)
    scale = Scale([0.5, 0.25], axes=("y", "x"))
    theirs = Image2DModel.parse(
        pixels, c_coords=["r", "g", "b"], scale_factors=[2, 2], transformations={"global": scale}
    )
    tree = xomezarr.from_spatialdata(theirs, units="micrometer")
    copy = tree.omezarr.to_zarr(tmp_path / "copy.ome.zarr")
    for found in (tree, copy):
        for index, level in enumerate(found.omezarr.levels):
            array = theirs[f"scale{index}"]["image"]
            np.testing.assert_array_equal(level, array)
            for pixel in ((0, 0), (20, 10)):
                here = {dim: level[dim][number].item() for dim, number in zip("yx", pixel, strict=True)}
                assert here == pytest.approx(mapped(array, pixel))
        assert found.omezarr.level(1).x.attrs["units"] == "micrometer"


def test_a_system_is_chosen_by_its_name():
    theirs = Image2DModel.parse(
        np.zeros((1, 20, 30)),
        transformations={"near": Scale([2.0, 3.0], axes=("y", "x")), "far": Translation([5.0, 7.0], axes=("y", "x"))},
    )
    with pytest.raises(xomezarr.errors.InterchangeError, match="coordinate_system='near'"):
        xomezarr.from_spatialdata(theirs)
    with pytest.raises(xomezarr.errors.CoordinateSystemError, match="'near', 'far'"):
        xomezarr.from_spatialdata(theirs, coordinate_system="global")
    near = base(xomezarr.from_spatialdata(theirs, coordinate_system="near"))
    assert near.omezarr.translation == {"c": 0.0, "y": 1.0, "x": 1.5}
    # the other goes along
    assert near.isel(y=4).far_y.item() == pytest.approx(mapped(theirs, (4, 9), "far")["y"])


@pytest.mark.parametrize("scales", [None, [2]])
def test_what_is_turned_lies_askew(scales):
    theirs = Image2DModel.parse(np.zeros((1, 20, 30)), scale_factors=scales)
    turned = Affine([[0.6, 0.8, 5], [-0.8, 0.6, 7], [0, 0, 1]], input_axes=("x", "y"), output_axes=("x", "y"))
    set_transformation(theirs, Sequence([Scale([2.0, 3.0], axes=("y", "x")), turned]), "stage")
    for system in ("stage", "global"):
        back = xomezarr.from_spatialdata(theirs, coordinate_system=system)
        levels = back.omezarr.levels
        arrays = [theirs] if scales is None else [theirs[name]["image"] for name in theirs]
        for level, array in zip(levels, arrays, strict=True):
            pixel = level.isel(y=4, x=9)
            there = mapped(array, (4, 9), "stage")
            assert pixel.stage_y.item() == pytest.approx(there["y"])
            assert pixel.stage_x.item() == pytest.approx(there["x"])


def test_what_lies_flat_in_space_is_told():
    theirs = Image2DModel.parse(np.zeros((1, 20, 30)))
    section = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 5], [0, 0, 1.0]])
    set_transformation(theirs, Affine(section, input_axes=("y", "x"), output_axes=("y", "x", "z")), "brain")
    with told("'brain'"):
        xomezarr.from_spatialdata(theirs)
    with pytest.raises(xomezarr.errors.CoordinateSystemError, match="is no matrix of y, x"):
        xomezarr.from_spatialdata(theirs, coordinate_system="brain")


def test_systems_in_which_an_image_lies_askew_go_along():
    da = image("yx").omezarr.assign_affine([[0.6, 0.8, 5], [-0.8, 0.6, 7]], system="stage")
    found = element(da)
    pixel = da.isel(y=11, x=23)
    expected = {"y": pixel.stage_y.item(), "x": pixel.stage_x.item()}
    assert mapped(found, (11, 23), "stage") == pytest.approx(expected)
    back = base(xomezarr.from_spatialdata(found))
    xr.testing.assert_allclose(back.isel(y=11, x=23), pixel)


def test_an_image_that_lies_askew_in_global_keeps_its_coordinates():
    matrix = [[0.6, 0.8, 5], [-0.8, 0.6, 7]]
    da = image("yx").omezarr.assign_affine(matrix, system="global")
    found = element(da)
    pixel = da.isel(y=11, x=23)
    assert mapped(found, (11, 23)) == pytest.approx({"y": pixel.global_y.item(), "x": pixel.global_x.item()})
    assert mapped(found, (11, 23), "physical") == pytest.approx({"y": pixel.y.item(), "x": pixel.x.item()})
    xr.testing.assert_allclose(base(xomezarr.from_spatialdata(found)), da)
    with pytest.raises(xomezarr.errors.CoordinateSystemError, match="lies askew in a coordinate system 'global'"):
        da.omezarr.to_spatialdata(coordinate_system="global")


def test_labels_of_an_image_that_lies_askew_in_global_lie_where_it_does(even):
    tree = even.copy()
    for number, level in enumerate(even.omezarr.levels):
        turned = level.omezarr.assign_affine([[0.6, 0.8, 5], [-0.8, 0.6, 7]], system="global")
        tree[str(number)] = xr.DataTree(turned.to_dataset(name="image"))
    sdata = whole(tree)
    place = {"y": position("y", 17), "x": position("x", 29)}
    for name in (*sdata.images, *sdata.labels):
        assert mapped(sdata[name]["scale0"]["image"], (17, 29), "physical") == pytest.approx(place)
    assert list(xomezarr.from_spatialdata(sdata).omezarr.labels) == ["nuclei"]


def test_orientations_and_names_come_back():
    da = image("zyx").rename(None)
    da.x.attrs["orientation"] = "left-to-right"
    with told("orientations (of x)"):
        there = da.omezarr.pyramid(levels=1).omezarr.to_spatialdata()
    xr.testing.assert_identical(base(xomezarr.from_spatialdata(there)).load(), da)


def test_labels_elsewhere_are_told(even):
    with told("units"):
        sdata = even.omezarr.to_spatialdata()
    sdata["others"] = Labels2DModel.parse(np.zeros((20, 30), "uint16"))
    with told("labels 'others' do not lie on the levels"):
        back = xomezarr.from_spatialdata(sdata)
    assert list(back.omezarr.labels) == ["nuclei"]


def test_several_images_are_chosen_from(even):
    with told("units"):
        sdata = even.omezarr.to_spatialdata(name="a/b", labels=False)
    assert list(sdata.images) == ["a_b"]
    sdata["other"] = Image2DModel.parse(np.zeros((1, 20, 30)))
    with pytest.raises(xomezarr.errors.InterchangeError, match="name='a_b'"):
        xomezarr.from_spatialdata(sdata)
    assert xomezarr.from_spatialdata(sdata, name="other").omezarr.level(0).shape == (1, 20, 30)


def test_nothing_is_read():
    with told("units"):
        sdata = never().omezarr.pyramid(levels=3).omezarr.to_spatialdata()
    assert_unread(*xomezarr.from_spatialdata(sdata).omezarr.levels)
    assert_unread(*xomezarr.from_spatialdata(element(never())).omezarr.levels)


def test_labels_alone(tree):
    with told("colours of labels"):
        sdata = tree["labels/nuclei"].omezarr.to_spatialdata()
    assert (list(sdata.images), list(sdata.labels)) == ([], ["nuclei"])
    for found in (sdata, sdata["nuclei"]):
        back = xomezarr.from_spatialdata(found)
        assert_same(tree["labels/nuclei"], back)
        assert back.omezarr.colors == tree["labels/nuclei"].omezarr.colors


def test_time_is_no_dimension_there():
    series = image("yx").expand_dims(t=[0.0, 1.0])
    with pytest.raises(xomezarr.errors.AxisError, match=r"isel\(t=0\)"):
        series.omezarr.to_spatialdata()


def test_its_own_coordinate_system_may_have_another_name():
    found = element(image(), coordinate_system="stage")
    assert list(get_transformation(found, get_all=True)) == ["stage"]
    xr.testing.assert_identical(base(xomezarr.from_spatialdata(found)).load(), image())


if __name__ == "__main__":
    interchanging.run(__file__)
