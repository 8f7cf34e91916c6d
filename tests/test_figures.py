"""Images drawn by matplotlib: what is drawn, where, of which level, and with what around it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pint_xarray  # noqa: F401 - registers the accessor
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib_scalebar.scalebar import ScaleBar
from PIL import Image

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
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x [µm]", "y [µm]")


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
        warnings.simplefilter("ignore", DeprecationWarning)
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
    assert drawn.axes.get_ylabel() == "y [µm]"
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
    assert da.omezarr.plot().axes.get_title() == "t = 0 s, z = 3 µm"
    assert da.isel(t=1, z=[2]).omezarr.plot(ax=plt.figure().gca()).axes.get_title() == ""
    bare = da.drop_vars(["t", "z"])
    assert bare.omezarr.plot(ax=plt.figure().gca()).axes.get_title() == "t = first, z = middle"
    of_time: Any = da.isel(z=0, drop=True)
    for times, told in (
        (np.array(["2026-01-02T03:04:05.25", "2026-01-03", "2026-01-04"], "M8[ns]"), "t = 2026-01-02T03:04:05.250"),
        (np.array([1500, 3000, 4500], "m8[ms]").astype("m8[ns]"), "t = 1.5 s"),
    ):
        at = of_time.assign_coords(t=times)
        assert at.omezarr.plot(ax=plt.figure().gca()).axes.get_title() == told


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


def numbered(da: xr.DataArray) -> xr.DataArray:
    """Return labels of 1 by 1 pixel, each by a number of its own."""
    flat = da.isel(c=0, drop=True)
    return flat.copy(data=np.arange(1, flat.size + 1, dtype="uint32").reshape(flat.shape))


def under(shown: xr.DataArray, labels: xr.DataArray) -> np.ndarray[Any, Any]:
    return figures._under(pictures.plane(shown), [labels])


@pytest.mark.parametrize("part", [slice(None), slice(10, 50), slice(None, None, -1), slice(3, 99, 4)])
def test_labels_lie_under_the_pixels_by_their_coordinates(part: slice) -> None:
    """Of a part, of a coarser picture, or of one that is turned round: each is the nearest pixel of xarray."""
    labels, da = numbered(spots()), spots().isel(y=part, x=slice(5, 60))
    expected = labels.sel(y=da.y, x=da.x, method="nearest")
    np.testing.assert_array_equal(under(da, labels), expected)
    np.testing.assert_array_equal(under(da, labels.isel(y=slice(None, None, -1))), expected)
    nanometres: Any = labels
    np.testing.assert_array_equal(under(da, nanometres.omezarr.to_units("nm")), expected)


def test_where_labels_do_not_reach_there_are_none() -> None:
    labels = numbered(spots()).isel(y=slice(100, 120), x=slice(30, None))
    found = under(spots(), labels)
    np.testing.assert_array_equal(found[100:120, 30:], labels)
    assert not found[:100].any()
    assert not found[120:].any()
    assert not found[:, :30].any()
    assert not under(spots().isel(y=slice(0, 50)), labels).any()
    bare = labels.drop_vars(["y", "x"])
    np.testing.assert_array_equal(under(spots().isel(y=slice(0, 20), x=slice(0, 98)), bare), labels)


def test_labels_are_those_of_the_plane_and_the_time_that_are_shown() -> None:
    da: Any = xr.DataArray(np.zeros((3, 7, 4, 4)), dims=("t", "z", "y", "x"))
    da = da.omezarr.assign_grid(scale={"t": 1, "z": 2, "y": 1, "x": 1}, translation={"z": 10})
    da = da.assign_coords(t=np.array(["2026-01-01", "2026-01-02", "2026-01-03"], "M8[ns]"))
    labels = da.copy(
        data=np.broadcast_to(10 * np.arange(3)[:, None] + np.arange(7), (4, 4, 3, 7)).transpose(2, 3, 0, 1)
    )
    for t, z in [(0, 0), (2, 3), (1, 6)]:
        for shown in (da.isel(t=t, z=z), da.isel(t=[t], z=[z])):
            assert np.unique(under(shown, labels.astype("u1"))).tolist() == [10 * t + z]
            assert np.unique(under(shown, labels.astype("u1").isel(z=slice(z, z + 1)))).tolist() == [10 * t + z]
    assert not under(da.isel(z=0), labels.isel(z=slice(4, None)).astype("u1")).any()


def test_of_labels_no_more_is_read_than_lies_under_the_picture() -> None:
    """Nor a finer level than the picture has pixels for."""
    image: Any = spots()
    levels = list(image.omezarr.pyramid(levels=3).omezarr.levels)
    of_labels: Any = numbered(image)
    coarse = list(of_labels.omezarr.pyramid(method="nearest", levels=4).omezarr.levels)

    class Finer:
        shape, dtype, ndim = coarse[0].shape, np.dtype("u4"), 2

        def __getitem__(self, key: Any) -> Any:
            raise AssertionError("a finer level was read")

    coarse[0] = coarse[0].copy(data=lazy_blocks(Finer(), coarse[0].shape))
    expected = coarse[2].sel(y=levels[2].y, x=levels[2].x, method="nearest")
    np.testing.assert_array_equal(figures._under(pictures.plane(levels[2]), coarse), expected)

    class Elsewhere(Finer):
        def __getitem__(self, key: Any) -> Any:
            assert (key[0].start, key[0].stop, key[1].start, key[1].stop) in ((16, 24, 0, 8), (24, 32, 0, 8))
            return np.ones([len(range(*part.indices(n))) for part, n in zip(key, self.shape, strict=True)], "u4")

    coarse[0] = coarse[0].copy(data=lazy_blocks(Elsewhere(), (8, 8)))
    assert under(image.isel(y=slice(20, 30), x=slice(2, 7)), coarse[0]).all()


def test_labels_along_other_dimensions_are_told() -> None:
    labels = numbered(spots()).rename(y="row")
    with pytest.raises(errors.LabelError, match=r"labels along row, x cannot be drawn on an image along y and x"):
        spots().omezarr.plot(labels={"a": labels})


def test_quantities_and_images_that_lie_apart_are_drawn() -> None:
    da: Any = spots()
    quantified = da.pint.quantify("count")
    np.testing.assert_array_equal(quantified.omezarr.plot().get_array(), da.omezarr.plot().get_array())
    np.testing.assert_array_equal(quantified.omezarr.thumbnail(), da.omezarr.thumbnail())
    apart = xr.concat([da, da], dim="t").assign_coords(x=(("t", "x"), [da.x.values, da.x.values + 100]))
    assert apart.omezarr.plot(ax=plt.figure().gca()).get_extent() == da.omezarr.plot().get_extent()


@pytest.mark.parametrize(
    ("da", "told"),
    [
        (spots().isel(y=slice(0)), r"no pixels along 'y'.*sel\("),
        (spots().astype("complex64"), r"complex64 are neither dark nor bright; convert them: abs\(da\)"),
    ],
)
def test_what_cannot_be_drawn_is_told(da: xr.DataArray, told: str) -> None:
    for draw in (da.omezarr.plot, da.omezarr.thumbnail):
        with pytest.raises(errors.OmeZarrError, match=told):
            draw()
    assert da.omezarr._repr_html_()


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


def test_channels_are_named_beside_their_colours() -> None:
    legend = spots().omezarr.plot().axes.get_legend()
    swatches = [mpl.colors.to_hex(one.get_facecolor()) for one in legend.get_patches()]
    named = [*zip([one.get_text() for one in legend.get_texts()], swatches, strict=True)]
    assert named == [("DAPI", "#0000ff"), ("GFP", "#00ff00")]
    assert spots().omezarr.plot(ax=plt.figure().gca(), legend=False).axes.get_legend() is None


def test_names_are_text_and_no_formulas(tmp_path: Path) -> None:
    """Whatever a store calls its channels, units and wells."""
    names = ["$\\alpha_{$", "_under $x$"]
    da: Any = spots().omezarr.assign_channels([{"label": name, "color": "00FF00"} for name in names])
    da.x.attrs["units"] = "$m_{$"
    axes = da.expand_dims({"$t_{$": 2}).omezarr.plot(ax=plt.figure().gca()).axes
    axes.figure.savefig(tmp_path / "a.png")
    assert [one.get_text() for one in axes.get_legend().get_texts()] == names
    assert (axes.get_xlabel(), axes.get_title()) == ("x [$m_{$]", "$t_{$ = middle")


def test_the_function_is_the_method() -> None:
    np.testing.assert_array_equal(xomezarr.plot(spots()).get_array(), spots().omezarr.plot().get_array())
    with pytest.raises(errors.OmeZarrError, match="neither a DataArray nor a DataTree"):
        xomezarr.plot(np.eye(3))  # type: ignore[arg-type]


def test_a_plate_is_drawn_with_the_names_of_its_wells(tmp_path: Path) -> None:
    wells = {("A", 1): [spots()], ("C", 12): [spots() // 2]}
    xomezarr.write_plate(wells, tmp_path / "plate.ome.zarr", columns=[1, 2, 12], rows=["A", "B", "C"])
    tree: Any = xomezarr.open_plate(tmp_path / "plate.ome.zarr")
    drawn = tree.omezarr.plot(ax=inches(600))
    box = drawn.axes.get_window_extent()
    np.testing.assert_array_equal(drawn.get_array(), tree.omezarr.overview(max_size=int(max(box.width, box.height))))
    axes, picture = drawn.axes, drawn.get_array()
    assert [one.get_text() for one in axes.get_yticklabels()] == ["A", "B", "C"]
    assert [one.get_text() for one in axes.get_xticklabels()] == ["1", "2", "12"]
    rows, columns = (axis.get_ticklocs() for axis in (axes.yaxis, axes.xaxis))
    grey = [[bool((picture[round(y), round(x)] == 128).all()) for x in columns] for y in rows]
    assert grey == [[False, True, True], [True, True, True], [True, True, False]]
    height = (picture.shape[0] - 2) // 3
    assert rows.tolist() == [(height - 1) / 2 + n * (height + 1) for n in range(3)]
    assert [one.get_text() for one in axes.get_legend().get_texts()] == ["DAPI", "GFP"]
    with pytest.raises(errors.PlateError, match="no well has a field 1"):
        tree.omezarr.plot(field=1)


def test_labels_by_themselves_are_drawn_in_their_colours(tmp_path: Path) -> None:
    da = spots()
    labels = xr.zeros_like(da.isel(c=0, drop=True)).astype("u2")
    labels[20:40, 20:40], labels[100:110, 50:90], labels[200:220, 50:90] = 1, 700, 9
    da.omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=2)
    labels.omezarr.to_labels(tmp_path / "a.ome.zarr", "boxes", colors={1: "red", 9: "#00ff0080"})
    tree: Any = xr.open_datatree(tmp_path / "a.ome.zarr", engine="omezarr")
    boxes = tree.omezarr.labels["boxes"]
    picture = boxes.omezarr.plot(ax=inches(256)).get_array()
    assert (picture[30, 30].tolist(), picture[210, 60].tolist()) == ([255, 0, 0], [0, 128, 0])
    assert np.unique(picture[labels.values == 700], axis=0).shape == (1, 3)
    assert picture[105, 60].max() == 255
    assert not picture[labels.values == 0].any()
    np.testing.assert_array_equal(boxes.omezarr.thumbnail(max_size=256), picture)
    assert '<img alt="" src="data:image/png' in boxes.omezarr._repr_html_()
    with Image.open(xomezarr.export(boxes, tmp_path / "a.png")) as png:
        np.testing.assert_array_equal(np.asarray(png), picture)
