"""Composites and thumbnails: colours, windows, the plane shown, and physical proportions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import skimage.data
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from xomezarr.coords import assign_grid
from xomezarr.errors import AxisError, ChannelError, LevelError
from xomezarr.model import Channel, Window
from xomezarr.pictures import composite, thumbnail

UNIT = Window(0.0, 1.0, 0.0, 1.0)
BYTE = Window(0.0, 255.0, 0.0, 255.0)


def test_rgb_photograph_shows_as_it_is() -> None:
    pixels = skimage.data.astronaut()
    image = xr.DataArray(pixels, dims=("y", "x", "c"))
    channels = [Channel(name, color, BYTE) for name, color in zip("rgb", ("FF0000", "00FF00", "0000FF"), strict=True)]
    np.testing.assert_array_equal(composite(image, channels), pixels)


def test_channels_add_up_in_their_colours() -> None:
    image = xr.DataArray([[[1.0, 0.0, 1.0, 0.5]], [[0.0, 1.0, 1.0, 0.0]]], dims=("c", "y", "x"))
    picture = composite(image, [Channel("a", "FF0080", UNIT), Channel("b", "00FF80", UNIT)])
    assert picture.dtype == np.uint8
    assert picture[0].tolist() == [[255, 0, 128], [0, 255, 128], [255, 255, 255], [128, 0, 64]]


def test_windows_clip_and_nan_is_black() -> None:
    image = xr.DataArray([[5.0, 10.0, 15.0, 20.0, 99.0, np.nan]], dims=("y", "x"))
    picture = composite(image, [Channel("a", "FFFFFF", Window(0.0, 100.0, 10.0, 20.0))])
    assert picture[0, :, 0].tolist() == [0, 0, 128, 255, 255, 0]


def test_inactive_channels_are_left_out() -> None:
    image = xr.DataArray(np.ones((2, 1, 1)), dims=("c", "y", "x"))
    picture = composite(image, [Channel("a", "FF0000", UNIT), Channel("b", "00FF00", UNIT, active=False)])
    assert picture[0, 0].tolist() == [255, 0, 0]


def test_a_missing_window_ignores_hot_pixels() -> None:
    pixels = np.tile(np.arange(100, dtype=np.uint16), (100, 1))
    pixels[0, 0] = 65535
    picture = composite(xr.DataArray(pixels, dims=("y", "x")), [Channel("a", "FFFFFF")])
    assert picture[50].mean() == pytest.approx(127.5, abs=3)


@pytest.mark.parametrize("value", [0, 7, np.nan])
def test_a_flat_image_can_be_drawn(value: float) -> None:
    picture = composite(xr.DataArray(np.full((3, 4), value), dims=("y", "x")), [Channel()])
    assert picture.shape == (3, 4, 3)
    assert np.unique(picture).size == 1


def test_the_middle_plane_of_the_first_time_point_is_shown() -> None:
    pixels = np.zeros((3, 5, 2, 2))
    pixels[0, 2] = 1
    picture = composite(xr.DataArray(pixels, dims=("t", "z", "y", "x")), [Channel("a", "FFFFFF", UNIT)])
    assert (picture == 255).all()
    turned = composite(
        xr.DataArray(pixels, dims=("t", "z", "y", "x")).transpose("x", "z", "y", "t"), [Channel("a", None, UNIT)]
    )
    np.testing.assert_array_equal(turned, picture)


def test_dimensions_of_other_names_are_known_by_their_units() -> None:
    image = xr.DataArray(
        np.arange(6.0).reshape(2, 3),
        dims=("row", "col"),
        coords={"row": ("row", [0.0, 1.0], {"units": "um"}), "col": ("col", [0.0, 1.0, 2.0], {"units": "um"})},
    )
    assert composite(image, [Channel()]).shape == (2, 3, 3)


@given(
    height=st.integers(1, 400),
    width=st.integers(1, 400),
    scale=st.tuples(st.sampled_from([0.1, 0.5, 1.0, 3.0]), st.sampled_from([0.1, 0.5, 1.0, 3.0])),
    max_size=st.integers(1, 128),
)
def test_thumbnails_fit_and_keep_physical_proportions(
    height: int, width: int, scale: tuple[float, float], max_size: int
) -> None:
    image = assign_grid(
        xr.DataArray(np.zeros((height, width), np.uint8), dims=("y", "x")),
        scale={"y": scale[0], "x": scale[1]},
        units="um",
    )
    picture = thumbnail([image], [Channel("a", "FFFFFF", BYTE)], max_size=max_size)
    rows, columns = picture.shape[:2]
    assert max(rows, columns) == min(max_size, max(height, width))
    ratio = (height * scale[0]) / (width * scale[1])
    exact = max(rows, columns) * min(ratio, 1 / ratio)
    # halves are rounded either way, as floats make less or more of them
    assert abs(min(rows, columns) - max(exact, 1)) <= 0.5 + 1e-9


def test_units_of_rows_and_columns_may_differ() -> None:
    image = assign_grid(
        xr.DataArray(np.zeros((64, 64), np.uint8), dims=("y", "x")),
        scale={"y": 500.0, "x": 0.25},
        units={"y": "nm", "x": "µm"},
    )
    assert thumbnail([image], [Channel("a", None, BYTE)], max_size=64).shape == (64, 32, 3)


def test_the_coarsest_level_that_is_large_enough_is_read() -> None:
    class Unread(xr.DataArray):
        __slots__ = ()

        @property
        def values(self) -> np.ndarray:  # type: ignore[override]
            raise AssertionError("a level was read that is not needed")

    def level(size: int) -> xr.DataArray:
        return xr.DataArray(np.full((size, size), size, np.uint16), dims=("y", "x"))

    window = Window(0.0, 255.0, 0.0, 255.0)
    fine = Unread(np.zeros((512, 512), np.uint16), dims=("y", "x"))
    picture = thumbnail([fine, level(128), level(64), level(32)], [Channel("a", "FFFFFF", window)], max_size=64)
    assert picture.shape == (64, 64, 3)
    assert (picture == 64).all()


def test_c7_faults_are_named() -> None:
    image = xr.DataArray(np.zeros((2, 4, 4)), dims=("c", "y", "x"))
    with pytest.raises(ChannelError, match="1 channels are given for an image of 2"):
        composite(image, [Channel()])
    with pytest.raises(AxisError, match="needs two"):
        composite(xr.DataArray(np.zeros((4, 4)), dims=("c", "x")), [Channel()] * 4)
    with pytest.raises(LevelError, match="there is none; give one at least"):
        thumbnail([], [Channel()])


@pytest.mark.parametrize("dims", [("y", "x"), ("z", "y", "x"), ("t", "z", "y", "x")])
def test_images_without_channels_have_a_thumbnail(dims: tuple[str, ...]) -> None:
    da = xr.DataArray(np.arange(20 ** len(dims)).reshape((20,) * len(dims)), dims=dims)
    picture = da.omezarr.thumbnail()
    assert (picture.shape, picture.dtype) == ((20, 20, 3), np.uint8)
    assert picture.min() < 50 < 200 < picture.max()
    np.testing.assert_array_equal(da.omezarr.pyramid(levels=2).omezarr.thumbnail(), picture)


@pytest.mark.parametrize("size", [0, -1, "a", 2.5, True])
def test_a_thumbnail_of_no_size_is_told(size: Any) -> None:
    da = xr.DataArray(np.zeros((4, 4), "u1"), dims=("y", "x"))
    with pytest.raises(LevelError, match=f"max_size={size!r} is no number of pixels.*; give max_size=256"):
        da.omezarr.thumbnail(max_size=size)
