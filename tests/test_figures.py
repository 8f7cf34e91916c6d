"""Images drawn by matplotlib: what is drawn, where, of which level, and with what around it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib_scalebar.scalebar import ScaleBar

import xomezarr
from xomezarr import errors, figures, pictures
from xomezarr.downsample import lazy_blocks

mpl.use("Agg")


@pytest.fixture(autouse=True)
def _closed() -> Any:
    yield
    plt.close("all")


def spots(size: int = 256) -> xr.DataArray:
    values = np.random.default_rng(0).integers(0, 255, (2, size, size // 2), "uint8")
    da: Any = xr.DataArray(values, dims=("c", "y", "x"), name="spots")
    da = da.omezarr.assign_grid(scale={"y": 0.5, "x": 0.5}, translation={"y": 10, "x": -3}, units="um")
    channels = [
        {"label": "DAPI", "color": "blue", "window": (0, 255)},
        {"label": "GFP", "color": "green", "window": (0, 99)},
    ]
    return da.omezarr.assign_channels(channels)  # type: ignore[no-any-return]


def inches(pixels: int) -> Any:
    """Return axes that fill a figure of so many pixels."""
    figure = plt.figure(figsize=(pixels / 100, pixels / 100), dpi=100)
    return figure.add_axes((0, 0, 1, 1))


def test_pixels_lie_at_their_coordinates() -> None:
    drawn = spots().omezarr.plot()
    np.testing.assert_array_equal(drawn.get_array(), pictures.composite(spots(), spots().omezarr.channels))
    left, right, bottom, top = drawn.get_extent()
    assert (left, right) == (-3.25, -3.25 + 128 * 0.5)
    assert (top, bottom) == (9.75, 9.75 + 256 * 0.5)
    axes = drawn.axes
    assert axes.get_aspect() == pytest.approx(1.0)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x [um]", "y [um]")


def test_what_is_seen_is_the_composite() -> None:
    """Drawn at one pixel of the screen for each of its own, the figure is the picture, bit for bit."""
    da = spots().isel(y=slice(0, 128))
    axes = inches(128)
    da.omezarr.plot(ax=axes, scale_bar=False, legend=False)
    axes.set_axis_off()
    axes.figure.canvas.draw()
    seen = np.asarray(axes.figure.canvas.buffer_rgba())[..., :3]
    np.testing.assert_array_equal(seen, pictures.composite(da, da.omezarr.channels))


@pytest.mark.parametrize(("pixels", "level"), [(256, 0), (200, 0), (128, 1), (60, 2), (20, 3)])
def test_the_level_fits_the_axes(pixels: int, level: int) -> None:
    """No finer level is read."""
    tree: Any = spots().omezarr.pyramid(levels=4)

    class Finer:
        dtype, shape, ndim = np.dtype("u1"), (1,), 1

        def __init__(self, like: xr.DataArray) -> None:
            self.shape, self.ndim = like.shape, like.ndim

        def __getitem__(self, key: Any) -> Any:
            raise AssertionError("a finer level was read")

    levels = list(tree.omezarr.levels)
    for finer in range(level):
        levels[finer] = levels[finer].copy(data=lazy_blocks(Finer(levels[finer]), levels[finer].shape))
    drawn = figures.draw(levels, tree.omezarr.channels, {}, ax=inches(pixels))
    assert drawn.get_array().shape[:2] == levels[level].shape[1:]


def test_pixels_that_are_square_but_for_a_last_digit_have_a_bar_without_a_warning() -> None:
    da: Any = xr.DataArray(np.eye(256, 200), dims=("y", "x"))
    da = da.omezarr.assign_grid(scale={"y": 0.26, "x": 0.26}, units="um")
    assert 0 < abs(da.omezarr.plot().axes.get_aspect() - 1) < 1e-12
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plt.gcf().canvas.draw()


@pytest.mark.parametrize(("unit", "metres"), [("um", 1e-6), ("nm", 1e-9), ("angstrom", 1e-10), ("mm", 1e-3)])
def test_the_scale_bar_is_in_real_units(unit: str, metres: float) -> None:
    da: Any = xr.DataArray(np.eye(8), dims=("y", "x"))
    axes = da.omezarr.assign_grid(scale={"y": 3, "x": 3}, units=unit).omezarr.plot().axes
    (bar,) = (one for one in axes.get_children() if isinstance(one, ScaleBar))
    assert bar.dx == pytest.approx(metres)
    assert not [one for one in da.omezarr.plot(ax=plt.figure().gca()).axes.get_children() if isinstance(one, ScaleBar)]


def test_rows_in_another_unit_are_said_in_that_of_columns() -> None:
    da: Any = xr.DataArray(np.eye(8), dims=("y", "x"))
    da = da.omezarr.assign_grid(scale={"y": 500, "x": 0.25}, units={"y": "nm", "x": "um"})
    drawn = da.omezarr.plot()
    assert drawn.axes.get_ylabel() == "y [um]"
    np.testing.assert_allclose(drawn.get_extent(), (-0.125, 1.875, 3.75, -0.25))
    assert drawn.axes.get_aspect() == pytest.approx(1.0)


def test_pixels_are_square_where_units_do_not_compare() -> None:
    da: Any = xr.DataArray(np.eye(8), dims=("y", "x"), coords={"y": np.arange(8) * 5.0, "x": np.arange(8) * 2.0})
    da.x.attrs["units"], da.y.attrs["units"] = "um", "pixel"
    axes = da.omezarr.plot().axes
    assert axes.get_aspect() == pytest.approx(2 / 5)
    assert axes.get_ylabel() == "y [pixel]"


def test_the_title_says_which_plane_is_shown() -> None:
    da: Any = xr.DataArray(np.zeros((3, 5, 8, 8)), dims=("t", "z", "y", "x"))
    da = da.omezarr.assign_grid(scale={"t": 2, "z": 1.5, "y": 1, "x": 1}, units={"z": "um", "t": "s"})
    assert da.omezarr.plot().axes.get_title() == "t = 0 s, z = 3 um"
    assert da.isel(t=1, z=[2]).omezarr.plot(ax=plt.figure().gca()).axes.get_title() == ""


def test_labels_are_outlined_in_their_colours(tmp_path: Path) -> None:
    da = spots()
    labels = xr.zeros_like(da.isel(c=0, drop=True)).astype("u2")
    labels[20:40, 20:40] = 1
    labels[100:110, 50:90] = 700
    da.omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=2)
    labels.omezarr.to_labels(tmp_path / "a.ome.zarr", "boxes", colors={1: "red"})
    tree: Any = xr.open_datatree(tmp_path / "a.ome.zarr", engine="omezarr")
    axes = inches(256)
    tree.omezarr.plot(ax=axes)
    outline = axes.images[1].get_array()
    inside = np.zeros((256, 128), bool)
    inside[20:40, 20:40] = inside[100:110, 50:90] = True
    inside[21:39, 21:39] = inside[101:109, 51:89] = False
    np.testing.assert_array_equal(outline[..., 3] > 0, inside)
    assert outline[20, 20].tolist() == [255, 0, 0, 255]
    assert outline[100, 50].tolist() not in ([255, 0, 0, 255], [0, 0, 0, 0])
    coarse = inches(128)
    tree.omezarr.plot(ax=coarse, labels="boxes")
    assert coarse.images[1].get_array().shape == (128, 64, 4)
    for none in (False, []):
        bare = inches(128)
        tree.omezarr.plot(ax=bare, labels=none)
        assert len(bare.images) == 1
    with pytest.raises(errors.LabelError, match=r"no labels 'cells', but \['boxes'\]"):
        tree.omezarr.plot(labels=["cells"])


def test_large_labels_side_by_side_are_two(tmp_path: Path) -> None:
    """Of electron microscopy, whose numbers no float tells apart; and one that is to be seen through."""
    labels = np.zeros((40, 60), "uint64")
    labels[5:35, 5:30], labels[5:35, 30:55] = 2**62 + 1, 2**62 + 2
    found = figures._outlines(labels, {2**62 + 1: "#ff000080"})
    assert found[20, 29].tolist() == [255, 0, 0, 128]
    assert found[20, 30, 3] == 255
    assert found[20, 30].tolist() != figures._outlines(labels + np.uint64(1), {})[20, 30].tolist()
    assert not found[20, [4, 15, 40, 55], 3].any()
    whole = figures._outlines(np.repeat([[1, 2]], 4, 0).repeat(4, 1), {})
    assert whole[:, [3, 4], 3].all()


def test_channels_are_named_in_their_colours() -> None:
    legend = spots().omezarr.plot().axes.get_legend()
    named = [(one.get_text(), mpl.colors.to_hex(one.get_color())) for one in legend.get_texts()]
    assert named == [("DAPI", "#0000ff"), ("GFP", "#00ff00")]
    assert spots().omezarr.plot(ax=plt.figure().gca(), legend=False).axes.get_legend() is None


def test_the_function_is_the_method() -> None:
    np.testing.assert_array_equal(xomezarr.plot(spots()).get_array(), spots().omezarr.plot().get_array())
    with pytest.raises(errors.OmeZarrError, match="neither a DataArray nor a DataTree"):
        xomezarr.plot(np.eye(3))  # type: ignore[arg-type]
