"""What is exported is read by other programs as it was: pixels, sizes, channels; and is whole or not there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import dask.array
import numpy as np
import pytest
import tifffile
import xarray as xr
import zarr
from PIL import Image

import xomezarr
from xomezarr import errors, open_image, pictures
from xomezarr.cli import main
from xomezarr.downsample import lazy_blocks
from xomezarr.units import convert

TIFFS = ["a.tif", "a.ome.tif"]


def image(dims: str = "tczyx", dtype: str = "uint16", **sizes: int) -> xr.DataArray:
    known = {"t": 3, "c": 2, "z": 5, "y": 70, "x": 90} | sizes
    shape = [known[dim] for dim in dims]
    values = np.random.default_rng(1).integers(0, 200, shape).astype(dtype)
    da: Any = xr.DataArray(values, dims=[*dims], name="cells")
    scale = {"t": 2.5, "z": 2.0, "y": 0.325, "x": 0.25}
    units = {"t": "s", "z": "um", "y": "um", "x": "um"}
    da = da.omezarr.assign_grid(
        scale={dim: value for dim, value in scale.items() if dim in dims},
        units={dim: unit for dim, unit in units.items() if dim in dims},
    )
    if "c" in dims:
        da = da.omezarr.assign_channels([{"label": "DAPI", "color": "0080FF"}, {"label": "GFP", "color": "00FF00"}])
    return da  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", TIFFS)
@pytest.mark.parametrize("dims", ["yx", "xy", "zyx", "tyx", "cyx", "yxc", "tczyx", "zctyx"])
def test_a_tiff_is_read_as_it_was_written(tmp_path: Path, name: str, dims: str) -> None:
    da = image(dims)
    found: Any = open_image(xomezarr.export(da, tmp_path / name))
    seen: Any = da.omezarr
    assert {*found.dims} >= {dim for dim in dims if da.sizes[dim] > 1}
    np.testing.assert_array_equal(found.squeeze().transpose(*dims).values, da.values)
    for dim in dims:
        if dim != "c":
            assert found.omezarr.scale[dim] == pytest.approx(seen.scale[dim], rel=1e-6)
            assert found.omezarr.units[dim] is not None
    told = [(channel.label, channel.color) for channel in found.omezarr.channels]
    assert told == [(channel.label, channel.color) for channel in seen.channels]


@pytest.mark.parametrize("name", TIFFS)
@pytest.mark.parametrize("sizes", [{"x": 1}, {"y": 1}, {"y": 1, "x": 1}])
@pytest.mark.parametrize("dims", ["yx", "zyx", "tczyx"])
def test_a_narrow_tiff_is_read_as_it_was_written(tmp_path: Path, name: str, dims: str, sizes: dict[str, int]) -> None:
    da = image(dims, **sizes)
    found: Any = open_image(xomezarr.export(da, tmp_path / name))
    assert found.sizes == da.sizes
    np.testing.assert_array_equal(found.transpose(*dims).values, da.values)
    assert [found.omezarr.scale[dim] for dim in dims if dim != "c"] == pytest.approx(
        [{"t": 2.5, "z": 2.0, "y": 0.325, "x": 0.25}[dim] for dim in dims if dim != "c"]
    )


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64", "complex64", ">u2"]
)
def test_ome_tiff_keeps_every_dtype_that_it_has(tmp_path: Path, dtype: str) -> None:
    da = image("zyx", dtype)
    found = tifffile.imread(xomezarr.export(da, tmp_path / "a.ome.tif"))
    assert found.dtype == da.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, da.values)


def test_planar_levels_become_those_of_the_ome_tiff(tmp_path: Path) -> None:
    tree: Any = image("cyx", y=1300, x=700).omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=3)
    with tifffile.TiffFile(xomezarr.export(tree, tmp_path / "a.ome.tif")) as tiff:
        levels = [level.asarray() for level in tiff.series[0].levels]
        assert tiff.series[0].keyframe.is_tiled
    assert len(levels) == 3
    for found, expected in zip(levels, tree.omezarr.levels, strict=True):
        np.testing.assert_array_equal(found, expected.values)
    with tifffile.TiffFile(xomezarr.export(tree, tmp_path / "b.ome.tif", level=1)) as tiff:
        assert [level.shape for level in tiff.series[0].levels] == [(2, 650, 350), (2, 325, 175)]
        assert 'PhysicalSizeX="0.5"' in str(tiff.ome_metadata)


def test_levels_with_fewer_planes_are_left_out(tmp_path: Path) -> None:
    tree: Any = (
        image("zyx", z=70, y=80, x=80).omezarr.assign_grid(scale={"z": 1, "y": 1, "x": 1}).omezarr.pyramid(levels=2)
    )
    with tifffile.TiffFile(xomezarr.export(tree, tmp_path / "a.ome.tif")) as tiff:
        assert len(tiff.series) == len(tiff.series[0].levels) == 1
        np.testing.assert_array_equal(tiff.series[0].asarray(), tree.omezarr.level(0).values)


@pytest.mark.parametrize(
    ("name", "shape", "chunks"),
    [
        ("a.ome.tif", (300, 1024, 1024), (16, 1024, 1024)),
        ("a.ome.tif", (1, 16384, 16384), (1, 512, 16384)),
        ("a.tif", (300, 1024, 1024), (16, 1024, 1024)),
        ("a.tif", (1, 8192, 8192), (1, 512, 8192)),
    ],
)
def test_no_more_than_a_part_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, shape: tuple[int, ...], chunks: tuple[int, ...]
) -> None:
    module = sys.modules["xomezarr.export"]
    monkeypatch.setattr(module, "AT_ONCE", 2**25)
    largest, read = 0, module._Stack._read

    def watched(*arguments: Any) -> Any:
        nonlocal largest
        found = read(*arguments)
        largest = max(largest, found.nbytes)
        return found

    monkeypatch.setattr(module._Stack, "_read", watched)
    da: Any = xr.DataArray(dask.array.zeros(shape, dtype="u1", chunks=chunks), dims=("z", "y", "x"))
    xomezarr.export(da, tmp_path / name)
    assert 0 < largest <= 2**25


def test_a_png_is_the_composite_with_its_pixel_size(tmp_path: Path) -> None:
    da: Any = image("czyx")
    with Image.open(xomezarr.export(da, tmp_path / "a.png")) as png:
        np.testing.assert_array_equal(np.asarray(png), pictures.composite(da, da.omezarr.channels))
        across, down = png.info["dpi"]
    assert (0.0254 / across, 0.0254 / down) == pytest.approx((0.25e-6, 0.325e-6), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "options", "error", "told"),
    [
        ("a.jpg", {}, errors.OmeZarrError, "a JPEG, which is not written.*a.png"),
        (".png", {}, errors.OmeZarrError, "no kind of file that is known"),
        ("no/a.png", {}, errors.OmeZarrError, "there is no folder"),
        ("a.png", {"level": 1}, errors.LevelError, "level=1 is none of 1 levels"),
        ("a.png", {"mode": "a"}, errors.OmeZarrError, "mode 'a' is not known"),
    ],
)
def test_a_wrong_call_is_told_and_writes_nothing(
    tmp_path: Path, name: str, options: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        xomezarr.export(image("yx"), tmp_path / name, **options)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("name", "dtype"), [("a.tif", "int32"), ("a.tif", "bool"), ("a.ome.tif", "uint64"), ("a.ome.tif", "bool")]
)
def test_pixels_that_a_file_does_not_have_are_told(tmp_path: Path, name: str, dtype: str) -> None:
    with pytest.raises(errors.DtypeError, match=rf"no pixels of dtype {dtype}, .*astype"):
        xomezarr.export(image("yx", dtype), tmp_path / name)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("name", TIFFS)
def test_a_file_does_not_take_the_place_of_the_one_that_is_read(tmp_path: Path, name: str) -> None:
    path = xomezarr.export(image("yx"), tmp_path / name)
    before = path.read_bytes()
    (tmp_path / "link.tif").symlink_to(path)
    for read in (path, tmp_path / "link.tif"):
        with pytest.raises(errors.StoreExistsError, match="is the file that is being read; give another path"):
            xomezarr.export(xomezarr.open_image(read), path, mode="w")
    assert path.read_bytes() == before
    assert xomezarr.export(xomezarr.open_image(path), tmp_path / f"other-{name}").exists()


def test_names_on_several_lines_are_told_to_become_one(tmp_path: Path) -> None:
    """What readers make of them in an attribute of XML."""
    da = image("yx").rename("two\nlines")
    with pytest.warns(errors.OmeZarrWarning, match="two"):
        xomezarr.export(da, tmp_path / "a.ome.tif")
    assert xomezarr.open_image(tmp_path / "a.ome.tif").name == "two lines"


def test_no_file_is_written_into_a_store(tmp_path: Path) -> None:
    da = image("yx")
    da.omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=1)
    for place in ("a.ome.zarr/a.png", "a.ome.zarr/0/a.tif"):
        with pytest.raises(errors.StoreExistsError, match="which is Zarr; give a path beside it"):
            xomezarr.export(da, tmp_path / place)
        assert not (tmp_path / place).exists()


def test_what_is_too_large_is_told(tmp_path: Path) -> None:
    da: Any = xr.DataArray(dask.array.zeros((5, 2**15, 2**15), dtype="u1", chunks=2**12), dims=("z", "y", "x"))
    for name in ("a.tif", "a.png"):
        with pytest.raises(errors.LevelError, match=r"give a coarser level=.*image\.ome\.tif"):
            xomezarr.export(da, tmp_path / name)


LOST: dict[str, tuple[Any, str]] = {
    "origin": (
        lambda da: da.omezarr.assign_grid(translation={"y": 20.0, "x": -3}),
        r"where the first pixel lies \(y = 20\); where the first pixel lies \(x = -3\)",
    ),
    "start": (lambda da: da.assign_coords(t=(da.t + 100).assign_attrs(da.t.attrs)), r"when it begins \(t = 100\)"),
    "dates": (
        lambda da: da.assign_coords(t=np.datetime64("2026-01-02T03:04:05", "ns") + 10**9 * np.arange(3)),
        r"when it begins \(t = 2026-01-02T03:04:05",
    ),
    "irregular": (lambda da: da.assign_coords(t=[0.0, 1.0, 5.0]), "the coordinates of 't', which are not regular"),
    "no unit": (lambda da: da.assign_coords(y=da.y.drop_attrs()), "the coordinates of 'y', which .* no unit"),
    "attrs": (lambda da: da.assign_attrs(operator="Ada"), "the attributes 'operator'"),
    "hidden": (
        lambda da: da.expand_dims(c=2).omezarr.assign_channels([{"label": "DAPI"}, {"label": "GFP", "active": False}]),
        r"which channels are not shown at first \('GFP'\)",
    ),
    "coordinates": (
        lambda da: da.assign_coords(exposure=("t", [1.0, 2.0, 3.0]), stage="left"),
        "the coordinates 'exposure', 'stage'",
    ),
}


@pytest.mark.parametrize("name", TIFFS)
@pytest.mark.parametrize("lost", LOST)
def test_what_a_tiff_does_not_say_is_told_once(tmp_path: Path, lost: str, name: str) -> None:
    change, told = LOST[lost]
    with pytest.warns(errors.OmeZarrWarning, match=rf"TIFF does not say {told}.*to_zarr\(") as warned:
        xomezarr.export(change(image("tyx")), tmp_path / name)
    assert len(warned) == 1


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_what_is_in_the_store_beside_the_image_is_told(tmp_path: Path, version: str) -> None:
    da: Any = image("cyx")
    xomezarr.export(da.omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=1, version=version), tmp_path / "b.ome.tif")
    (da.isel(c=0, drop=True) > 9).astype("u1").omezarr.to_labels(tmp_path / "a.ome.zarr", "nuclei")
    zarr.open_group(tmp_path / "a.ome.zarr", mode="r+").attrs["stain"] = "DAPI"
    tree = xr.open_datatree(tmp_path / "a.ome.zarr", engine="omezarr")
    with pytest.warns(
        errors.OmeZarrWarning, match=r"not say what the labels are \('nuclei'\); the attributes 'stain'\. OME"
    ):
        xomezarr.export(tree, tmp_path / "a.ome.tif")
    xomezarr.export(tree, tmp_path / "a.png")


def test_windows_go_along_to_imagej(tmp_path: Path) -> None:
    da: Any = image("cyx")
    da = da.omezarr.assign_channels([{"label": "a", "window": (5, 90)}, {"label": "b", "window": (0, 150.5)}])
    with tifffile.TiffFile(xomezarr.export(da, tmp_path / "a.tif")) as tiff:
        assert (tiff.imagej_metadata or {})["Ranges"] == (5.0, 90.0, 0.0, 150.5)
    back: Any = open_image(tmp_path / "a.tif")
    assert [channel.window for channel in back.omezarr.channels] == [one.window for one in da.omezarr.channels]


def test_windows_of_some_channels_alone_are_told(tmp_path: Path) -> None:
    da: Any = image("cyx").omezarr.assign_channels([{"label": "a", "window": (5, 90)}, {"label": "b"}])
    with pytest.warns(errors.OmeZarrWarning, match="which values of 'a' are shown, as not all channels say so"):
        xomezarr.export(da, tmp_path / "a.tif")


def test_imagej_is_told_no_sizes_that_nobody_knows(tmp_path: Path) -> None:
    """It has one unit for x, y and z: those that are not said would count in it as 1."""
    da: Any = image("zyx")
    bare = da.drop_vars(["y", "x"])
    with pytest.warns(errors.OmeZarrWarning, match="how far pixels are apart along 'z', as rows and columns"):
        found: Any = open_image(xomezarr.export(bare, tmp_path / "a.tif"))
    assert set(found.omezarr.units.values()) == {None}
    assert open_image(xomezarr.export(bare, tmp_path / "a.ome.tif")).omezarr.scale["z"] == 2.0


@pytest.mark.parametrize("name", TIFFS)
def test_what_runs_backward_keeps_its_pixel_size(tmp_path: Path, name: str) -> None:
    da: Any = image("zyx").isel(y=slice(None, None, -1))
    with pytest.warns(errors.OmeZarrWarning, match=r"TIFF does not say that 'y' runs backward \(22\.425 to 0\)\. OME"):
        found: Any = open_image(xomezarr.export(da, tmp_path / name))
    np.testing.assert_array_equal(found.values, da.values)
    assert found.omezarr.scale["y"] == pytest.approx(0.325, rel=1e-6)


@pytest.mark.parametrize("name", TIFFS)
def test_colours_and_names_that_some_channels_have_are_kept(tmp_path: Path, name: str) -> None:
    da: Any = image("cyx").drop_vars("channel_color")
    da = da.omezarr.assign_channels(["DAPI", {"label": "GFP", "color": "00FF00"}])
    found: Any = open_image(xomezarr.export(da, tmp_path / name))
    assert [(one.label, one.color) for one in found.omezarr.channels] == [("DAPI", "FF00FF"), ("GFP", "00FF00")]


@pytest.mark.parametrize(("size", "unit", "told"), [(0.1, "nm", "1e-10 m × 1e-10 m"), (10, "m", ""), (0.7, "m", "")])
def test_pixel_sizes_that_png_does_not_hold_are_told(tmp_path: Path, size: float, unit: str, told: str) -> None:
    da: Any = image("yx")
    sized = da.omezarr.assign_grid(scale={"y": size, "x": size}, units=unit)
    with pytest.warns(errors.OmeZarrWarning, match=f"PNG does not say how large pixels of {told}"):
        xomezarr.export(sized, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as png:
        assert "dpi" not in png.info


@pytest.mark.parametrize(
    ("size", "unit", "said"),
    [(0.325, "um", "um"), (1e-4, "nm", "um"), (0.3, "m", "um"), (5, "km", "mm"), (1e5, "km", "m"), (1e7, "km", "km")],
)
def test_imagej_is_told_sizes_in_a_unit_that_holds_them(tmp_path: Path, size: float, unit: str, said: str) -> None:
    da: Any = image("zyx")
    sized = da.omezarr.assign_grid(scale={"z": size, "y": size, "x": 2 * size}, units=unit)
    found: Any = open_image(xomezarr.export(sized, tmp_path / "a.tif"))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert (tiff.imagej_metadata or {})["unit"] == said
    for dim, pixels in (("z", size), ("y", size), ("x", 2 * size)):
        metres = found.omezarr.scale[dim] * convert(found.omezarr.units[dim], "m")
        assert metres == pytest.approx(pixels * convert(unit, "m"), rel=1e-5)


def test_imagej_is_told_no_sizes_that_it_does_not_hold(tmp_path: Path) -> None:
    da: Any = image("yx")
    far = da.omezarr.assign_grid(scale={"y": 3.0, "x": 3.0}, units="parsec")
    with pytest.warns(errors.OmeZarrWarning, match="pixels are apart along 'y', which its fractions do not hold"):
        found: Any = open_image(xomezarr.export(far, tmp_path / "a.tif"))
    assert set(found.omezarr.units.values()) == {None}


def test_names_with_control_characters_are_no_broken_xml(tmp_path: Path) -> None:
    da: Any = image("cyx").rename("ce\0lls").omezarr.assign_channels(["DAPI\x1b", "G<F>P"])
    with pytest.warns(errors.OmeZarrWarning, match=r"the characters of 'ce\\x00lls', 'DAPI\\x1b' that XML cannot hold"):
        xomezarr.export(da, tmp_path / "a.ome.tif")
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tiff:
        root = ElementTree.fromstring(str(tiff.ome_metadata))
        assert tiff.series[0].shape == da.shape
    assert [one.get("Name") for one in root.iter() if one.tag.endswith("}Channel")] == ["DAPI\ufffd", "G<F>P"]
    found: Any = open_image(tmp_path / "a.ome.tif")
    assert [channel.label for channel in found.omezarr.channels] == ["DAPI\ufffd", "G<F>P"]


@pytest.mark.parametrize(
    ("name", "dims", "told"),
    [
        ("a.tif", ("angle", "y", "x"), "its C is 'angle'"),
        ("a.ome.tif", ("z", "x"), "its Y is 'z'"),
        ("a.png", ("z", "x"), "rows lie along 'z'"),
    ],
)
def test_dimensions_that_a_file_calls_otherwise_are_told(
    tmp_path: Path, name: str, dims: tuple[str, ...], told: str
) -> None:
    da = xr.DataArray(np.ones((3, 20, 30)[-len(dims) :], "u1"), dims=dims)
    with pytest.warns(errors.OmeZarrWarning, match=f"does not say that {told}"):
        xomezarr.export(da, tmp_path / name)


@pytest.mark.parametrize("name", ["a.png", *TIFFS])
def test_no_pixels_are_told_and_links_are_not_written_through(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.EmptyDimensionError, match=r"'y' has no pixels.*sel\("):
        xomezarr.export(image("yx").isel(y=slice(0)), tmp_path / name)
    assert not [*tmp_path.iterdir()]
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(errors.StoreExistsError):
        xomezarr.export(image("yx"), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(sys.platform == "win32", reason="the size of files is not limited there")
@pytest.mark.parametrize("name", ["a.png", *TIFFS])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 2**16, (300, 400)).astype("u2")
    np.save(tmp_path / "noise.npy", noise)
    command = f"ulimit -f 64; exec {sys.executable} -m xomezarr export noise.npy {name}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done
    assert "the disk is full, or files may not be so large; nothing is left of it: make room" in done.stderr
    assert name in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["noise.npy"]


def test_progress_comes_to_an_end(tmp_path: Path) -> None:
    """Levels that are not written are not counted either."""
    tree: Any = image("zyx", z=70, y=600, x=80).omezarr.pyramid(levels=2, factors=2)
    for name in ("a.tif", "a.ome.tif", "a.png"):
        told: list[int] = []
        xomezarr.export(tree, tmp_path / name, progress=told.append)
        assert sum(told) == tree.omezarr.level(0).nbytes


@pytest.mark.parametrize("name", ["a.png", *TIFFS])
def test_a_file_that_is_there_is_replaced_when_asked_for_and_whole(tmp_path: Path, name: str) -> None:
    da = image("yx")
    before = xomezarr.export(da, tmp_path / name).read_bytes()
    with pytest.raises(errors.StoreExistsError, match='mode="w" to replace it'):
        xomezarr.export(da, tmp_path / name)

    class Broken:
        shape, dtype, ndim = (70, 90), np.dtype("u2"), 2

        def __getitem__(self, key: Any) -> Any:
            raise OSError("the disk is gone")

    broken = da.copy(data=lazy_blocks(Broken(), (70, 90)))
    with pytest.raises(OSError, match="the disk is gone"):
        xomezarr.export(broken, tmp_path / name, mode="w")
    assert (tmp_path / name).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [name]
    xomezarr.export(da.isel(y=slice(None, None, 2)), tmp_path / name, mode="w")
    assert (tmp_path / name).read_bytes() != before


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    da = image("cyx", y=300, x=200)
    tree: Any = da.omezarr.to_zarr("cells.ome.zarr", levels=2)
    xomezarr.write_plate({("A", 1): [da], ("B", 2): [da]}, "plate.ome.zarr")
    assert main(["thumbnail", "cells.ome.zarr", "--size", "64"]) == 0
    assert np.asarray(Image.open("cells.png")).shape == tree.omezarr.thumbnail(max_size=64).shape
    assert main(["thumbnail", "plate.ome.zarr", "p.png"]) == 0
    assert main(["export", "cells.ome.zarr", "cells.ome.tif", "--level", "1"]) == 0
    np.testing.assert_array_equal(tifffile.imread("cells.ome.tif"), tree.omezarr.level(1).values)
    said = capsys.readouterr()
    assert "cells.png: " in said.out
    for call, told in (
        (["thumbnail", "cells.ome.zarr"], "--overwrite"),
        (["thumbnail", "cells.ome.zarr", "cells.jpg"], "ends in .png"),
        (["export", "cells.ome.zarr", "cells.jpg"], "give cells.png"),
        (["export", "cells.ome.zarr", "cells.ome.tif"], "--overwrite"),
        (["export", "cells.ome.zarr", "c.ome.tif", "--level", "2"], "--level 2 is none of 2 levels"),
        (["export", "plate.ome.zarr", "c.ome.tif"], "image"),
        (["export", "nothing.ome.zarr", "c.ome.tif"], "nothing.ome.zarr"),
    ):
        assert main(call) in (1, 2)
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == 1
    assert main(["thumbnail", "cells.ome.zarr", "--overwrite"]) == 0
    assert main(["export", "cells.ome.zarr", "cells.jpg"]) == 2
    # of files that are no stores too
    assert main(["thumbnail", "cells.ome.tif", "from-tiff.png"]) == 0
    assert main(["export", "cells.ome.tif", "from-tiff.tif"]) == 0
    np.testing.assert_array_equal(tifffile.imread("from-tiff.tif"), tifffile.imread("cells.ome.tif"))
