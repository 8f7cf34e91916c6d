"""Images to other libraries and back, as far as that needs none of them: what is lazy, what is named, what is refused.

Where pixels lie in the objects of the libraries themselves is asked of these in `test_interchange_peers`.
"""

from __future__ import annotations

import inspect
import itertools
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import xomezarr
import xomezarr.units
from xomezarr.errors import (
    AxisError,
    CoordinateSystemError,
    DtypeError,
    InterchangeError,
    InterchangeWarning,
    IrregularCoordinateError,
    MissingDependencyError,
    MultipleErrors,
    OmeZarrError,
    PlacementWarning,
    TransformError,
)
from xomezarr.labels import LABELED

SIZES = {"t": 3, "c": 2, "z": 5, "y": 37, "x": 26}
SCALE = {"t": 2.5, "z": 2.0, "y": 0.5, "x": 0.325}
TRANSLATION = {"t": 10.0, "z": -3.0, "y": 100.25, "x": -20.0}
UNITS = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}
CHANNELS = [
    {"label": "DAPI", "color": "blue", "window": {"start": 2, "end": 90}},
    {"label": "GFP", "color": "00FF00", "window": {"start": 5, "end": 70}, "active": False},
]


def image(dims: str, *, dtype: str = "uint16", data: Any = None) -> Any:
    """Return an image of which each coordinate says something of its own."""
    shape = tuple(SIZES[dim] for dim in dims)
    pixels = np.random.default_rng(0).integers(0, 100, shape).astype(dtype) if data is None else data
    made: Any = xr.DataArray(pixels, dims=tuple(dims), name="cells").rename("cells")
    own: Any = [{dim: value for dim, value in of.items() if dim in dims} for of in (SCALE, TRANSLATION, UNITS)]
    made = made.omezarr.assign_grid(scale=own[0], translation=own[1], units=own[2])
    return made.omezarr.assign_channels(CHANNELS) if "c" in dims else made


def base(tree: Any) -> Any:
    """Return level 0 of a tree."""
    return tree.omezarr.level(0)


def never() -> Any:
    """Return pixels that nobody can read."""

    def read(block: Any) -> Any:
        raise AssertionError("pixels are read")

    shape = (SIZES["c"], SIZES["y"], SIZES["x"])
    bare = dask.array.zeros(shape, chunks=(1, 20, 20), dtype="uint16")
    return dask.array.map_blocks(read, bare, dtype="uint16", meta=np.empty((0, 0, 0), "uint16"))


def assert_same(tree: xr.DataTree, other: xr.DataTree) -> None:
    """Assert that two trees hold the same levels, and the same labels."""
    one: Any = tree
    two: Any = other
    assert len(one.omezarr.levels) == len(two.omezarr.levels)
    for level, found in zip(one.omezarr.levels, two.omezarr.levels, strict=True):
        xr.testing.assert_identical(found.load(), level.load())
    assert list(one.omezarr.labels) == list(two.omezarr.labels)
    for name, node in one.omezarr.labels.items():
        assert two.omezarr.labels[name].omezarr.colors == node.omezarr.colors
        assert_same(node, two.omezarr.labels[name])


@pytest.fixture
def stored(tmp_path: Path) -> Any:
    """Give the tree of an image with labels, opened without dask."""
    cells = image("cyx")
    store = tmp_path / "cells.ome.zarr"
    cells.omezarr.to_zarr(store, levels=3, chunks={"c": 1, "y": 16, "x": 8})
    nuclei = (cells.isel(c=0).drop_vars([name for name in cells.coords if "c" in cells[name].dims]) > 50).astype("u2")
    nuclei.omezarr.to_labels(store, "nuclei", colors={1: "red"})
    return xr.open_datatree(store, engine="omezarr")


# --- lazy --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", ["array", "tree"])
def test_nothing_is_read_on_the_way(made: str) -> None:
    da = image("cyx", data=never())
    given: Any = da if made == "array" else da.omezarr.pyramid(levels=3)
    layers = xomezarr.from_napari(given.omezarr.to_napari())
    tree = xomezarr.from_multiscale_spatial_image(given.omezarr.to_multiscale_spatial_image())
    for found in (layers, tree):
        whole: Any = found
        levels = whole.omezarr.levels
        assert all(level.chunks is not None for level in levels)
        with pytest.raises(AssertionError, match="pixels are read"):
            levels[0].load()


def test_layers_are_joined_without_being_read() -> None:
    one, two = never()[0], never()[1]
    options = {"scale": [0.5, 0.25], "axis_labels": ["y", "x"]}
    da = base(
        xomezarr.from_napari([(one, {"name": "a", **options}, "image"), (two, {"name": "b", **options}, "image")])
    )
    assert da.dims == ("c", "y", "x")
    assert da.c.values.tolist() == ["a", "b"]
    with pytest.raises(AssertionError, match="pixels are read"):
        da.load()


def test_chunks_are_those_of_the_store(stored: Any) -> None:
    ((image_levels, _, _), _) = stored.omezarr.to_napari()
    assert [level.chunksize for level in image_levels] == [(1, 16, 8)] * 2 + [(1, 16, 7)]
    tree = stored.omezarr.to_multiscale_spatial_image
    with pytest.warns(InterchangeWarning, match="labels"):
        assert tree()["scale0/cells"].data.chunksize == (1, 16, 8)


# --- multiscale-spatial-image ------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", ["yx", "cyx", "zyx", "tyx", "tczyx", "yxc", "tzyxc"])
def test_a_tree_comes_back_from_multiscale_spatial_image_as_it_was(dims: str) -> None:
    tree = image(dims).omezarr.pyramid(levels=2)
    there = tree.omezarr.to_multiscale_spatial_image()
    assert list(there) == ["scale0", "scale1"]
    assert list(there["scale1"].data_vars) == ["cells"]
    assert there["scale1/cells"].dims == tuple(dims)
    # its writer takes the order of the axes from that of the node's dimensions
    assert tuple(there["scale1"].dataset.sizes)[: len(dims)] == tuple(dims)
    assert_same(tree, xomezarr.from_multiscale_spatial_image(there))


def test_dates_and_irregular_times_stay() -> None:
    days = np.array(["2025-01-01", "2025-01-02", "2025-01-05"], "datetime64[ns]")
    for times in (days, [0.0, 1.0, 5.0]):
        tree = image("tyx").assign_coords(t=times).omezarr.to_multiscale_spatial_image()
        back: Any = xomezarr.from_multiscale_spatial_image(tree)
        np.testing.assert_array_equal(back.omezarr.level(0).t, times)


def test_units_have_the_names_that_its_writer_writes() -> None:
    tree = image("yx").omezarr.assign_grid(units="µm").omezarr.to_multiscale_spatial_image()
    assert tree["scale0"].x.attrs["units"] == "micrometer"


def test_dimensions_without_coordinates_have_some_there() -> None:
    bare: Any = xr.DataArray(np.zeros((2, 4, 6)), dims=("c", "y", "x"), name="image")
    level = bare.omezarr.to_multiscale_spatial_image()["scale0/image"]
    assert level.y.dtype == np.float64
    assert level.c.values.tolist() == [0, 1]


def test_other_orders_become_that_of_the_file() -> None:
    da = image("cyx").transpose("x", "c", "y")
    level = da.omezarr.to_multiscale_spatial_image()["scale0/cells"]
    assert level.dims == ("c", "y", "x")
    np.testing.assert_array_equal(level, da.transpose("c", "y", "x"))


def test_a_single_spatial_image_is_a_tree_of_one_level() -> None:
    tree: Any = xomezarr.from_multiscale_spatial_image(image("yx"))
    (level,) = tree.omezarr.levels
    xr.testing.assert_identical(level, image("yx"))


@pytest.mark.parametrize("name", ["a/b", "x", "/", "image", "c", "channel_color", None])
def test_names_come_back_from_multiscale_spatial_image(name: str | None) -> None:
    da = image("cyx").rename(name)
    told = [] if name in ("image", None) else [name]
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        there = da.omezarr.to_multiscale_spatial_image()
    assert len(found) == len(told)
    assert all(f"the name {one!r}" in str(warning.message) for one, warning in zip(told, found, strict=True))
    assert len(there["scale0"].data_vars) == 1
    assert base(xomezarr.from_multiscale_spatial_image(there)).name == name


@pytest.mark.parametrize("name", ["a/b", "x", "image", None])
def test_names_come_back_from_napari(name: str | None) -> None:
    for da in (image("cyx").rename(name), image("yx").rename(name)):
        assert base(xomezarr.from_napari(da.omezarr.to_napari())).name == name


def test_a_layer_that_was_renamed_has_its_new_name() -> None:
    ((data, options, kind),) = image("yx").omezarr.to_napari()
    assert base(xomezarr.from_napari((data, {**options, "name": "mine"}, kind))).name == "mine"


def test_an_image_goes_by_the_name_that_is_asked_for() -> None:
    assert list(image("yx").omezarr.to_multiscale_spatial_image(name="mine")["scale0"].data_vars) == ["mine"]
    ((_, options, _),) = image("yx").omezarr.to_napari(name="mine")
    assert options["name"] == "mine"


def test_labels_of_multiscale_spatial_image_are_labels_still(stored: Any, tmp_path: Path) -> None:
    with pytest.warns(InterchangeWarning, match="colours and properties of labels"):
        there = stored["labels/nuclei"].omezarr.to_multiscale_spatial_image()
    back: Any = xomezarr.from_multiscale_spatial_image(there)
    for level, found in zip(stored["labels/nuclei"].omezarr.levels, back.omezarr.levels, strict=True):
        xr.testing.assert_identical(found.load(), level.load())
    written = base(back).omezarr.to_zarr(tmp_path / "labels.ome.zarr", levels=2)
    assert written.omezarr.metadata.multiscale.type == "mode"


@pytest.mark.parametrize("name", ["x", "a/b"])
def test_labels_of_odd_names_come_back_under_others(name: str) -> None:
    with pytest.warns(InterchangeWarning, match=f"the name '{name}'"):
        there = image("yx").rename(name).omezarr.to_multiscale_spatial_image(as_labels=True)
    back = base(xomezarr.from_multiscale_spatial_image(there))
    assert (back.name, back.encoding[LABELED]) == ({"x": "image", "a/b": "a_b"}[name], True)


def test_labels_that_are_left_out_are_not_told(stored: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stored.omezarr.to_multiscale_spatial_image(labels=False)
    layers = stored.omezarr.to_napari()
    assert not xomezarr.from_napari(layers, labels=False).children.keys() & {"labels"}


def test_systems_that_napari_does_not_show_are_told() -> None:
    da = image("yx").omezarr.assign_affine([[0, 1, 5], [-1, 0, 7]], system="stage")
    with pytest.warns(InterchangeWarning, match=r"systems 'stage', but for one: coordinate_system='stage'"):
        da.omezarr.to_napari()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        da.omezarr.to_napari(coordinate_system="stage")


# --- napari ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", ["yx", "cyx", "zyx", "tczyx", "yxc", "ctyx"])
@pytest.mark.parametrize("method", ["local_mean", "nearest"])
def test_a_tree_comes_back_from_napari_as_it_was(dims: str, method: str) -> None:
    tree = image(dims).omezarr.pyramid(levels=3, method=method)
    assert_same(tree, xomezarr.from_napari(tree.omezarr.to_napari()))


def test_an_array_comes_back_from_napari_as_it_was() -> None:
    da = image("cyx").assign_attrs(stain="DAPI")
    xr.testing.assert_identical(base(xomezarr.from_napari(da.omezarr.to_napari())).load(), da)


def test_a_stored_image_comes_back_from_napari_with_its_labels(stored: Any, tmp_path: Path) -> None:
    back: Any = xomezarr.from_napari(stored.omezarr.to_napari())
    assert_same(stored, back)
    assert_same(stored, back.omezarr.to_zarr(tmp_path / "copy.ome.zarr"))


@given(
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    steps=st.lists(st.integers(1, 3), max_size=3),
    scale=st.floats(1e-3, 1e3),
    translation=st.floats(-1e4, 1e4),
)
def test_levels_lie_where_they_did(sizes: tuple[int, int], steps: list[int], scale: float, translation: float) -> None:
    """Whatever the sizes, factors and grids: napari knows level 0 alone."""
    da: Any = xr.DataArray(np.zeros(sizes, "uint8"), dims=("y", "x"), name="zeros")
    da = da.omezarr.assign_grid(scale={"y": scale, "x": 0.25}, translation={"y": translation, "x": 0.5})
    steps = [step for step in steps if step > 1]
    while True:
        try:
            tree: Any = (
                da.omezarr.pyramid(factors=[{"y": step} for step in steps]) if steps else da.omezarr.pyramid(levels=1)
            )
            break
        except OmeZarrError:  # nothing is left to shrink
            steps.pop()
    back: Any = xomezarr.from_napari(tree.omezarr.to_napari())
    for level, found in zip(tree.omezarr.levels, back.omezarr.levels, strict=True):
        np.testing.assert_allclose(found.y, level.y, rtol=1e-13, atol=1e-9 * scale)
        np.testing.assert_array_equal(found.x, level.x)


@pytest.mark.parametrize(
    ("options", "world"),
    [
        # what napari shows of the pixel (1, 2), by hand
        ({"rotate": 90}, (-2.0, 1.0)),
        ({"rotate": 90, "translate": [10, 20]}, (8.0, 21.0)),
        ({"rotate": [[0, -1], [1, 0]], "scale": [2, 3]}, (-6.0, 2.0)),
        ({"shear": [0.5], "translate": [10, 20]}, (12.0, 22.0)),
        ({"scale": [-2, 3], "translate": [10, 20]}, (8.0, 26.0)),
        ({"affine": [[0, 1, 5], [1, 0, 7], [0, 0, 1]], "scale": [2, 3], "translate": [1, 1]}, (12.0, 10.0)),
    ],
    ids=["turned", "moved", "scaled", "sheared", "mirrored", "affine"],
)
def test_layers_that_lie_askew_have_napari_s_world_beside(options: dict[str, Any], world: tuple[float, float]) -> None:
    da = base(xomezarr.from_napari((np.zeros((3, 4)), options, "image")))
    pixel = da.isel(y=1, x=2)
    np.testing.assert_allclose([pixel.world_y, pixel.world_x], world, atol=1e-12)


def test_an_affine_that_only_scales_and_moves_is_a_grid() -> None:
    affine = [[2, 0, 5], [0, 3, 7], [0, 0, 1]]
    da = base(xomezarr.from_napari((np.zeros((3, 4)), {"affine": affine, "translate": [1, 1]}, "image")))
    assert (da.omezarr.scale, da.omezarr.translation) == ({"y": 2.0, "x": 3.0}, {"y": 7.0, "x": 10.0})


def test_systems_in_which_an_image_lies_askew_go_along() -> None:
    da = image("yx").omezarr.assign_affine([[0, 1, 5], [-1, 0, 7]], system="stage")
    ((_, options, _),) = da.omezarr.to_napari(coordinate_system="stage")
    np.testing.assert_array_equal(options["affine"], [[0, 1, 5], [-1, 0, 7], [0, 0, 1]])
    xr.testing.assert_identical(base(xomezarr.from_napari(da.omezarr.to_napari(coordinate_system="stage"))).load(), da)
    with pytest.raises(CoordinateSystemError, match=r"'stage'; see it there first, tree.*in_system\('world'\)"):
        da.omezarr.to_napari(coordinate_system="world")


def test_labels_lie_askew_as_their_image_does(stored: Any) -> None:
    turned = [level.omezarr.assign_affine([[0, 1, 5], [-1, 0, 7]], system="stage") for level in stored.omezarr.levels]
    tree = stored.copy()
    for number, level in enumerate(turned):
        tree[str(number)] = xr.DataTree(level.to_dataset(name="image"))
    (_, options, _), (_, of_labels, _) = tree.omezarr.to_napari(coordinate_system="stage")
    np.testing.assert_array_equal(options["affine"], of_labels["affine"])


def test_sizes_tell_the_factors_of_levels_that_are_not_ours() -> None:
    levels = [np.zeros((203, 100)), np.zeros((102, 50)), np.zeros((51, 25))]
    tree: Any = xomezarr.from_napari((levels, {"scale": [0.5, 0.25], "translate": [10, 0]}, "image"))
    one, two = tree.omezarr.levels[1:]
    assert (one.omezarr.scale["y"], one.omezarr.translation["y"]) == (1.0, 10.25)
    assert (two.omezarr.scale["y"], two.omezarr.translation["y"]) == (2.0, 10.75)


def test_where_sizes_do_not_tell_that_is_told() -> None:
    levels = [np.zeros((5, 100)), np.zeros((2, 30))]
    with pytest.warns(PlacementWarning, match="by no whole factor"):
        xomezarr.from_napari((levels, {}, "image"))


def test_colours_of_photographs_are_channels() -> None:
    da = base(xomezarr.from_napari((np.zeros((4, 5, 3), "uint8"), {"rgb": True, "scale": [2, 3]}, "image")))
    assert (da.dims, da.c.values.tolist()) == (("y", "x", "c"), ["red", "green", "blue"])
    assert da.omezarr.scale["x"] == 3.0
    floats = base(xomezarr.from_napari((np.zeros((4, 5, 4)), {"rgb": True}, "image")))
    assert floats.c.values.tolist() == ["red", "green", "blue", "alpha"]
    assert [channel.window for channel in floats.omezarr.channels] == [None] * 4


@pytest.mark.parametrize("count", [3, 4])
def test_photographs_of_bytes_are_shown_as_they_are(count: int) -> None:
    da = base(xomezarr.from_napari((np.zeros((4, 5, count), "uint8"), {"rgb": True}, "image")))
    windows = [channel.window for channel in da.omezarr.channels]
    assert windows[:3] == [xomezarr.Window(0, 255, 0, 255)] * 3


def test_windows_that_nobody_says_are_left_to_napari() -> None:
    channels = [{"label": "DAPI"}, {"label": "GFP", "window": (0, 7)}]
    ((_, options, _),) = image("cyx").omezarr.assign_channels(channels).omezarr.to_napari()
    assert options["contrast_limits"] == [None, [0.0, 7.0]]
    ((_, options, _),) = image("yx").omezarr.to_napari()
    assert "contrast_limits" not in options


def test_what_is_no_regular_grid_is_told(stored: Any) -> None:
    da = image("tyx").assign_coords(t=[0.0, 1.0, 5.0])
    with pytest.warns(InterchangeWarning, match=r"irregular coordinate 't'.*mean step, 2\.5"):
        ((_, options, _),) = da.omezarr.to_napari()
    assert (options["scale"][0], options["translate"][0]) == (2.5, 0.0)
    days = np.array(["2025-01-01", "2025-01-02", "2025-01-03"], "datetime64[ns]")
    with pytest.warns(InterchangeWarning, match="dates of 't'"):
        ((_, options, _),) = image("tyx").assign_coords(t=days).omezarr.to_napari()
    assert (options["scale"][0], options["units"][0]) == (86400.0, "second")
    with pytest.warns(InterchangeWarning, match="timedelta64 of 't', which become seconds"):
        ((_, options, _),) = image("tyx").assign_coords(t=days - days[0]).omezarr.to_napari()
    assert (options["scale"][0], options["translate"][0]) == (86400.0, 0.0)


def test_orientations_come_back_from_napari() -> None:
    da = image("zyx")
    da.x.attrs["orientation"] = "left-to-right"
    xr.testing.assert_identical(base(xomezarr.from_napari(da.omezarr.to_napari())).load(), da)


def test_units_that_napari_does_not_know_are_pixels() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ((_, options, _),) = image("yx").omezarr.assign_grid(units="smoots").omezarr.to_napari()
    assert options["units"] == ["pixel", "pixel"]


def test_colormaps_that_are_no_colour_are_told() -> None:
    pixels = np.zeros((4, 5))
    with pytest.warns(InterchangeWarning, match="'viridis' of the layer 'a'"):
        da = base(
            xomezarr.from_napari(
                [(pixels, {"name": "a", "colormap": "viridis"}), (pixels, {"name": "b", "colormap": "gray"})]
            )
        )
    assert [channel.color for channel in da.omezarr.channels] == [None, "FFFFFF"]


def test_labels_alone_are_labels(tmp_path: Path) -> None:
    pixels = np.arange(20).reshape(4, 5)
    da = base(xomezarr.from_napari((pixels, {"name": "nuclei"}, "labels")))
    written = da.omezarr.to_zarr(tmp_path / "labels.ome.zarr", levels=2)
    assert written.omezarr.metadata.multiscale.type == "mode"
    levels = [pixels, pixels[::2, ::2]]
    tree: Any = xomezarr.from_napari((levels, {"name": "nuclei", "colormap": {1: "red", None: "gray"}}, "labels"))
    assert tree.omezarr.colors == {1: "#ff0000ff"}


ODD: dict[str, Callable[[], Any]] = {
    "levels of unequal steps": lambda: image("zyx").omezarr.pyramid(factors=[{"x": 3}, {"z": 2, "y": 2}]),
    "durations": lambda: image("tyx").assign_coords(t=np.array([0, 5, 10], "m8[s]").astype("m8[ns]")),
    "irregular times": lambda: image("tyx").assign_coords(t=[0.0, 1.0, 5.0]),
    "one pixel": lambda: image("zyx").isel(z=[2], x=[3]),
    "a plane of a stack": lambda: image("zyx").isel(z=2),
    "a coordinate beside": lambda: image("yx").assign_coords(depth=("y", np.arange(37.0))),
    "waves of channels": lambda: image("cyx").assign_coords(wave=("c", [488, 561])),
    "bool": lambda: image("yx").astype(bool),
    "half floats": lambda: image("yx").astype("f2"),
    "askew": lambda: (
        image("yx").omezarr.assign_affine([[0, 1, 5], [-1, 0, 7]], system="stage").omezarr.pyramid(levels=2)
    ),
    "askew in other axes": lambda: image("yx").omezarr.assign_affine(
        [[0, 1, 5], [-1, 0, 7]], system="stage", axes=("v", "u")
    ),
    "a field of a plate": lambda: image("yx").assign_coords(row="B", column="7", field="3"),
    "labels": lambda: xomezarr.from_napari(image("yx").omezarr.to_napari(as_labels=True)),
    "masks": lambda: xomezarr.from_napari(image("yx").astype(bool).omezarr.to_napari(as_labels=True)),
}


@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("library", ["napari", "multiscale_spatial_image"])
def test_coordinates_keep_their_meaning_or_it_is_told(what: str, library: str) -> None:
    given: Any = ODD[what]()
    levels = (given,) if isinstance(given, xr.DataArray) else given.omezarr.levels
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", InterchangeWarning)
        there = getattr(xomezarr, f"to_{library}")(given)
        back = getattr(xomezarr, f"from_{library}")(there)
    told = " ".join(str(one.message) for one in found)
    for level, other in zip(levels, back.omezarr.levels, strict=True):
        np.testing.assert_array_equal(other, level)
        assert (other.name, other.dims, other.dtype) == (level.name, level.dims, level.dtype)
        for name, coord in level.coords.items():
            if name not in other.coords:
                assert repr(name) in told or repr(str(name).partition("_")[0]) in told or "'stage'" in told
            elif not other.coords[name].variable.equals(coord.variable):
                assert f"'{name}'" in told
            elif "units" in coord.attrs:
                assert xomezarr.units.same_unit(other.coords[name].attrs["units"], coord.attrs["units"])
    assert bool(base(back).encoding.get(LABELED)) == (what in ("labels", "masks"))


def channelled(**options: Any) -> Any:
    """Take over two channels."""
    return xomezarr.from_napari((np.zeros((2, 4, 6)), {"channel_axis": 0, **options}, "image"))


def labelled(name: str, pixels: Any = None) -> Any:
    """Take over labels of a name."""
    return xomezarr.from_napari((np.zeros((2, 2), int) if pixels is None else pixels, {"name": name}, "labels"))


class Scaled:
    """A transformation of spatialdata, as far as it is asked."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def to_affine_matrix(self, input_axes: tuple[str, ...], output_axes: tuple[str, ...]) -> NDArray[np.float64]:
        matrix = np.zeros((len(output_axes) + 1, len(input_axes) + 1))
        matrix[-1, -1] = 1
        for column, axis in enumerate(input_axes):
            matrix[output_axes.index(axis), column] = self.factor
        return matrix


def scaled(*transformations: Any) -> xr.DataTree:
    """Return an element of labels of two scales or more, of which the first has the coordinates of the system."""
    nodes = {}
    for number, leading in enumerate(({"global": Scaled(1)}, *transformations)):
        size = 2 ** (12 - number)
        pixels = xr.DataArray(dask.array.zeros((size, size), dtype="i4"), dims=("y", "x"), attrs={"transform": leading})
        nodes[f"scale{number}"] = pixels.to_dataset(name="image")
    return xr.DataTree.from_dict(nodes)


def test_scales_are_in_the_order_of_their_numbers() -> None:
    """Listed by name, as stores have them, the tenth comes behind the first."""
    tree = scaled(*({"global": Scaled(2.0**number)} for number in range(1, 11)))
    by_name = xr.DataTree.from_dict({name: tree[name].dataset for name in sorted(tree.children)})
    levels = xomezarr.from_spatialdata(by_name).omezarr.levels
    assert [level.sizes["x"] for level in levels] == [2 ** (12 - number) for number in range(11)]
    assert [level.x.attrs["scale"] for level in levels] == [2.0**number for number in range(11)]


# --- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: image("tyx").rename(t="step").omezarr.to_multiscale_spatial_image(), AxisError, r"'step'.*'t'"),
        (
            lambda: image("yx").rename(y="row", x="col").omezarr.to_multiscale_spatial_image(),
            MultipleErrors,
            r"(?s)rename\({'row': 'y'}\).*rename\({'col': 'x'}\)",
        ),
        (
            lambda: image("yx").assign_coords(y=np.arange(37.0) ** 2).omezarr.to_multiscale_spatial_image(),
            IrregularCoordinateError,
            r"assign_grid\(scale={'y': 36}\)",
        ),
        (lambda: xomezarr.from_multiscale_spatial_image(xr.DataTree()), InterchangeError, "to_multiscale"),
        (lambda: xomezarr.from_multiscale_spatial_image(7), InterchangeError, "to_multiscale"),
        (
            lambda: xomezarr.from_multiscale_spatial_image(
                xr.DataTree.from_dict({"scale0": xr.Dataset({"a": ("x", [1]), "b": ("x", [1])})})
            ),
            InterchangeError,
            "name='a'",
        ),
        (lambda: xomezarr.from_ngff_zarr(7), InterchangeError, "from_ngff_zarr"),
        (lambda: xomezarr.from_spatialdata(7), InterchangeError, "from_spatialdata"),
        (lambda: xomezarr.from_spatialdata(image("yx")), InterchangeError, "parse"),
        (lambda: xomezarr.from_napari(7), InterchangeError, "from_napari"),
        (lambda: xomezarr.from_napari([]), InterchangeError, "viewer.layers"),
        (lambda: xomezarr.from_napari((np.zeros((2, 2)), {}, "points")), InterchangeError, "leave it out"),
        (
            lambda: xomezarr.from_napari((np.zeros([2] * 6), {}, "image")),
            InterchangeError,
            r"dims=\['axis0', 'axis1', 't', 'z', 'y', 'x'\]",
        ),
        (
            lambda: xomezarr.from_napari((np.zeros((2, 2)), {"scale": [3, 2, 1]}, "image")),
            InterchangeError,
            r"3 numbers in scale, and the dimensions y, x; say one of each: scale=\[2.0, 1.0\]",
        ),
        (lambda: xomezarr.from_napari((np.zeros((2, 2)), {}, "image"), dims=["y", "y"]), InterchangeError, "dims="),
        (
            lambda: xomezarr.from_napari([(np.zeros((2, 2)), {}), (np.zeros((3, 2)), {})]),
            InterchangeError,
            "not lie on the same pixels",
        ),
        (
            lambda: xomezarr.from_napari([(np.zeros((2, 2)), {}), (np.zeros((2, 2)), {"scale": [2, 2]})]),
            InterchangeError,
            "not lie on the same pixels",
        ),
        (
            lambda: xomezarr.from_napari((np.zeros((2, 2, 2)), {"rotate": [1, 2, 3]}, "image")),
            TransformError,
            "Layer.create",
        ),
        (lambda: xomezarr.to_napari(np.zeros((2, 2))), OmeZarrError, "xr.DataArray"),  # type: ignore[arg-type]
        (lambda: channelled(channel_axis=5), InterchangeError, r"channel_axis=5 is none of the 3.*channel_axis=0"),
        (lambda: channelled(channel_axis=-4), InterchangeError, "channel_axis=-4"),
        (lambda: channelled(channel_axis="c"), InterchangeError, "channel_axis='c'"),
        (lambda: channelled(name=["a"]), InterchangeError, r"'name'.*1 channels, and it has 2.*name=\[…, …\]"),
        (lambda: channelled(visible=[True] * 3), InterchangeError, r"visible=\[…, …\]"),
        (lambda: channelled(contrast_limits=[[0, 1]]), InterchangeError, "contrast_limits="),
        (lambda: xomezarr.from_napari((np.zeros((2, 2), object), {}, "image")), DtypeError, "astype"),
        (lambda: xomezarr.from_napari((np.zeros((2, 2), "U3"), {}, "image")), DtypeError, "astype"),
        (lambda: xomezarr.from_napari((None, {}, "image")), InterchangeError, "no array of pixels"),
        (lambda: xomezarr.from_napari(([], {}, "image")), InterchangeError, "no array of pixels"),
        (lambda: labelled("a/b"), InterchangeError, r"'a/b'.*layer\.name = "),
        (lambda: labelled("x"), InterchangeError, "'x', as one of their dimensions"),
        (lambda: channelled(units=["um"]), InterchangeError, r"1 units, .* y, x.*units=\['micrometer', 'micrometer'\]"),
        (
            lambda: xomezarr.from_napari((np.zeros((2, 4, 6, 3)), {"channel_axis": 0, "rgb": True}, "image")),
            InterchangeError,
            r"red, green and blue, .*: from_napari\(\(data\[0\], ",
        ),
        (
            lambda: xomezarr.from_napari(([np.zeros((8, 8), int), np.zeros((16, 16), int)], {}, "labels")),
            InterchangeError,
            "level 1 is larger along 'y'",
        ),
        (lambda: xomezarr.from_spatialdata(scaled({})), CoordinateSystemError, r"'scale1' .*'global' .*: None; choose"),
        (
            lambda: xomezarr.from_spatialdata(scaled({"global": object()})),
            CoordinateSystemError,
            r"'scale1' .*'global' .*object.*set_transformation",
        ),
        (lambda: channelled(channel_axis=None, rgb=True), InterchangeError, "rgb=False"),
        (
            lambda: xomezarr.from_napari(([np.zeros((8, 8)), np.zeros(4)], {}, "image")),
            InterchangeError,
            "2 and 1 dimensions",
        ),
        (lambda: xomezarr.to_napari(image("cyx"), as_labels=True), InterchangeError, r"isel\(c=0\)"),
        (lambda: labelled(" a"), InterchangeError, r"' a'.*layer\.name = "),
        (lambda: labelled("a", np.zeros((2, 2))), DtypeError, "astype"),
        (lambda: xomezarr.to_napari(image("yx").astype("f4"), as_labels=True), DtypeError, "astype"),
        (lambda: xomezarr.to_napari(image("yx").omezarr.pyramid(), as_labels=True), InterchangeError, r"level\(0\)"),
    ],
)
def test_errors_name_the_cure(call: Callable[[], Any], error: type[Exception], match: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(error, match=match):
            call()


@pytest.mark.parametrize(("package", "method"), [("spatialdata", "to_spatialdata"), ("ngff_zarr", "to_ngff_zarr")])
def test_a_package_that_is_missing_is_named(package: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=f"pip install {package.replace('_', '-')}"):
        getattr(image("yx").omezarr, method)()


def test_what_is_given_is_not_changed(stored: Any) -> None:
    before = [level.copy(deep=True) for level in stored.omezarr.levels]
    attrs = dict(stored.attrs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        there = stored.omezarr.to_multiscale_spatial_image()
        layers = stored.omezarr.to_napari()
    copies = [level.copy(deep=True) for level in (there["scale0/cells"], there["scale1/cells"])]
    options = [dict(one) for _, one, _ in layers]
    xomezarr.from_multiscale_spatial_image(there)
    xomezarr.from_napari(layers)
    assert [dict(one) for _, one, _ in layers] == options
    for level, copy in itertools.chain(
        zip(stored.omezarr.levels, before, strict=True),
        zip((there["scale0/cells"], there["scale1/cells"]), copies, strict=True),
    ):
        xr.testing.assert_identical(level, copy)
    assert stored.attrs == attrs


def test_the_accessors_methods_are_functions_too() -> None:
    assert len(FAMILY) == 4
    for accessor in (xomezarr.OmeZarrArrayAccessor, xomezarr.OmeZarrTreeAccessor):
        assert all(hasattr(accessor, name) for name in FAMILY)
        assert all(hasattr(xomezarr, name.replace("to_", "from_", 1)) for name in FAMILY)


FAMILY = [name for name in xomezarr.__all__ if re.match(r"to_(spatialdata|multi|ngff|napari)", name)]


@pytest.mark.parametrize("name", FAMILY)
def test_all_of_them_are_called_alike(name: str) -> None:
    back = name.replace("to_", "from_", 1)
    of_all = {
        name: ["image", "name", "labels", "coordinate_system", "as_labels"],
        back: ["source", "name", "labels", "coordinate_system", "units", "dims"],
    }
    for called, allowed in of_all.items():
        function = getattr(xomezarr, called)
        parameters = inspect.signature(function).parameters
        assert [*parameters] == [known for known in allowed if known in parameters]
        assert all(one.kind is one.KEYWORD_ONLY for one in list(parameters.values())[1:])
    assert inspect.signature(getattr(xomezarr, back)).return_annotation == "xr.DataTree"
    for accessor in (xomezarr.OmeZarrArrayAccessor, xomezarr.OmeZarrTreeAccessor):
        of_method = inspect.signature(getattr(accessor, name)).parameters
        given = inspect.signature(getattr(xomezarr, name)).parameters
        left_out = "labels" if accessor is xomezarr.OmeZarrArrayAccessor else "as_labels"
        assert [*of_method][1:] == [one for one in [*given][1:] if one != left_out]


def test_channels_of_several_kinds_are_none_of_one_image() -> None:
    layers = [(np.full((4, 5), 2**53 + 1), {"name": "a"}, "image"), (np.zeros((4, 5), "f4"), {"name": "b"}, "image")]
    with pytest.raises(InterchangeError, match=r"'a' and 'b' have pixels of int64 and float32.*astype"):
        xomezarr.from_napari(layers)


def test_windows_of_layers_may_be_an_array() -> None:
    options = {"channel_axis": 0, "contrast_limits": np.array([[0, 5], [1, 9]]), "name": ["a", "b"]}
    image = base(xomezarr.from_napari((np.zeros((2, 4, 5), "u1"), options, "image")))
    assert [(one.window.start, one.window.end) for one in image.omezarr.channels] == [(0, 5), (1, 9)]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda level: level.astype("f4"), "has pixels of float32"),
        (lambda level: level.expand_dims("t"), "has the dimensions t, y, x"),
        (lambda level: level.assign_coords(x=level.x.assign_attrs(units="mm")), "has another unit along 'x'"),
        (lambda level: level.assign_coords(x=(level.x + 500).assign_attrs(level.x.attrs)), "lies elsewhere along 'x'"),
        (lambda level: level.pad(y=(0, 90), mode="edge"), "is larger along 'y'"),
    ],
)
def test_what_are_no_levels_of_one_image_is_told(change: Any, told: str) -> None:
    da: Any = xr.DataArray(np.zeros((64, 48), "u2"), dims=("y", "x"), name="cells")
    da = da.omezarr.assign_grid(scale={"y": 0.5, "x": 0.5}, units="um")
    tree = da.omezarr.pyramid(levels=2).omezarr.to_multiscale_spatial_image()
    levels = [tree[f"scale{number}/cells"] for number in range(2)]
    turned = xr.DataTree.from_dict(
        {"scale0": levels[0].to_dataset(), "scale1": levels[1].transpose("x", "y").to_dataset()}
    )
    back: Any = xomezarr.from_multiscale_spatial_image(turned)
    assert back.omezarr.level(1).dims == ("y", "x")
    wrong = xr.DataTree.from_dict({"scale0": levels[0].to_dataset(), "scale1": change(levels[1]).to_dataset()})
    with pytest.raises(InterchangeError, match=rf"level 1 {told}.*the finest first"):
        xomezarr.from_multiscale_spatial_image(wrong)
