"""MRC: maps as mrcfile writes and reads them, and, where it says nothing of it, as the bytes of the header do."""

from __future__ import annotations

import gzip
import itertools
import os
import pickle
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from stores import check_a_corner_takes_little_memory

from xomezarr import convert, open_image
from xomezarr.cli import main
from xomezarr.errors import AxisError, DtypeError, OmeZarrError, OmeZarrWarning


def ramp(*shape: int, dtype: str = "float32") -> NDArray[Any]:
    return (np.arange(np.prod(shape), dtype=np.int64) % 120).reshape(shape).astype(dtype)


def write(path: Path, pixels: NDArray[Any], *, voxel: Any = 1.3, **header: Any) -> Path:
    """Write a volume by mrcfile; header fields as it calls them, those of vectors as tuples."""
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(pixels)
        if pixels.ndim == 3:
            mrc.set_volume()
        mrc.voxel_size = voxel
        for name, value in header.items():
            if isinstance(value, tuple):
                for axis, part in zip(mrc.header[name].dtype.names, value, strict=True):
                    mrc.header[name][axis] = part
            else:
                mrc.header[name] = value
    return path


def patched(path: Path, offset: int, *words: Any, dtype: str = "<i4") -> Path:
    """Write numbers into the header."""
    whole = bytearray(path.read_bytes())
    data = np.array(words, dtype).tobytes()
    whole[offset : offset + len(data)] = data
    path.write_bytes(whole)
    return path


# --- pixels -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32", "uint16", "float16"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
def test_c3_modes_in_both_byte_orders(tmp_path: Path, dtype: str, byteorder: str, packed: bool) -> None:
    pixels = ramp(4, 5, 6, dtype=dtype).astype(np.dtype(dtype).newbyteorder(byteorder))
    path = write(tmp_path / "a.mrc", pixels)
    assert mrcfile.read(path).dtype.newbyteorder("=") == np.dtype(dtype)
    if packed:
        (tmp_path / "a.mrc.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = tmp_path / "a.mrc.gz"
    image = open_image(path)
    assert image.dims == ("z", "y", "x")
    assert image.name == "a"
    assert image.dtype == np.dtype(dtype)
    assert image.dtype.isnative
    np.testing.assert_array_equal(image.values, mrcfile.read(path))
    np.testing.assert_array_equal(image[2, ::-2, [3, 1]].values, pixels[2, ::-2][:, [3, 1]])


@pytest.mark.parametrize("stamp", [b"\x44\x44", b"\x44\x41", b"\x11\x11", b"\0\0"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_c3_a_machine_stamp_that_is_wrong_or_missing(tmp_path: Path, byteorder: str, stamp: bytes) -> None:
    pixels = ramp(4, 5, 6, dtype="int16").astype(f"{byteorder}i2")
    path = write(tmp_path / "a.mrc", pixels)
    whole = bytearray(path.read_bytes())
    whole[212:214] = stamp
    path.write_bytes(whole)
    np.testing.assert_array_equal(open_image(path).values, pixels)


def test_c3_bytes_are_signed_by_the_standard_and_not_by_imod(tmp_path: Path) -> None:
    pixels = np.array([[[-1, 100], [0, -128]]], "int8")
    path = write(tmp_path / "a.mrc", pixels)
    np.testing.assert_array_equal(open_image(path).values, pixels)
    patched(path, 152, 1146047817, 0)
    np.testing.assert_array_equal(open_image(path).values, pixels.view("uint8"))
    patched(path, 152, 1146047817, 1)
    np.testing.assert_array_equal(open_image(path).values, pixels)


def test_colours_of_imod(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mrc", ramp(2, 4, 18, dtype="int8"))
    patched(patched(path, 0, 6), 12, 16)
    image = open_image(path)
    assert image.dims == ("z", "y", "x", "c")
    assert image.c.values.tolist() == ["red", "green", "blue"]
    np.testing.assert_array_equal(image.values, ramp(2, 4, 6, 3, dtype="uint8"))


@pytest.mark.parametrize(
    ("mode", "told"), [(3, "Fourier transform"), (4, "Fourier transform"), (101, "pixels of 4 bits.*newstack")]
)
def test_c7_modes_that_are_no_images(tmp_path: Path, mode: int, told: str) -> None:
    path = patched(write(tmp_path / "a.mrc", ramp(4, 5, 6)), 12, mode)
    with pytest.raises(DtypeError, match=rf'a\.mrc" holds .*{told}'):
        convert(path, tmp_path / "a.ome.zarr")
    assert not (tmp_path / "a.ome.zarr").exists()


def test_c3_the_extended_header_is_no_pixels(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mrc", ramp(4, 5, 6))
    with mrcfile.open(path, "r+") as mrc:
        mrc.set_extended_header(np.full(768 // 2, 7, "i2"))
    np.testing.assert_array_equal(open_image(path).values, ramp(4, 5, 6))


# --- places -------------------------------------------------------------------


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.permutations([1, 2, 3]),
    st.tuples(*[st.sampled_from([0.325, 1.3, 2.0, 13.48])] * 3),
    st.tuples(*[st.sampled_from([0.0, -55.5, 10.25])] * 3),
    st.tuples(*[st.integers(-9, 9)] * 3),
)
def test_c2_voxels_lie_at_the_origin_or_where_the_map_starts(
    tmp_path: Path,
    order: list[int],
    voxel: tuple[float, ...],
    origin: tuple[float, ...],
    start: tuple[int, ...],
) -> None:
    pixels = ramp(3, 4, 5, dtype="int16")
    path = write(tmp_path / "a.mrc", pixels, origin=origin)
    columns_rows_sections = pixels.shape[::-1]
    intervals = [columns_rows_sections[order.index(axis)] for axis in (1, 2, 3)]
    patched(path, 16, *start)
    patched(path, 28, *intervals)
    patched(path, 40, *[size * count for size, count in zip(voxel, intervals, strict=True)], dtype="<f4")
    patched(path, 64, *order)
    image = open_image(path)
    assert image.dims == tuple("xyz"[axis - 1] for axis in order[::-1])
    for column, axis in enumerate(order):
        dim, size = "xyz"[axis - 1], voxel[axis - 1]
        first = origin[axis - 1] if any(origin) else start[column] * size
        assert image[dim].attrs == {"scale": size, "units": "angstrom"}
        np.testing.assert_allclose(image[dim].values, first + size * np.arange(image.sizes[dim]), rtol=1e-12, atol=1e-9)
    np.testing.assert_array_equal(image.values, pixels)


@pytest.mark.parametrize(
    ("stamp", "flags", "version", "sign"),
    [(0, 0, 0, 1), (0, 0, 20141, 1), (1146047817, 0, 0, -1), (1146047817, 4, 0, 1), (1146047817, 0, 20141, 1)],
)
def test_c2_the_origin_of_imod_has_the_other_sign(
    tmp_path: Path, stamp: int, flags: int, version: int, sign: int
) -> None:
    """As IMOD itself reads it: turned round where its flag says so, or the version that it is the standard's."""
    path = write(tmp_path / "a.mrc", ramp(3, 4, 5), origin=(10.0, 20.0, 30.0))
    patched(patched(path, 152, stamp, flags | 1), 108, version)
    assert open_image(path).omezarr.translation == {"z": sign * 30.0, "y": sign * 20.0, "x": sign * 10.0}


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_c2_volumes_keep_their_places_in_every_version(tmp_path: Path, version: str) -> None:
    path = write(tmp_path / "a.mrc", ramp(20, 30, 40), voxel=(1.3, 1.3, 2.6), origin=(0.0, -5.0, 7.5))
    with mrcfile.open(path, "r+") as mrc:
        mrc.add_label("denoised")
        labels = [line.strip() for line in mrc.get_labels()]
    tree: Any = convert(path, tmp_path / "a.ome.zarr", version=version)
    assert tree.omezarr.validate().valid
    level = tree.omezarr.level(0)
    assert level.omezarr.translation == {"z": 7.5, "y": -5.0, "x": 0.0}
    assert level.omezarr.scale == {"z": 2.6, "y": 1.3, "x": 1.3}
    assert {axis.unit for axis in tree.omezarr.axes} == {"angstrom"}
    assert level.attrs == {"description": "\n".join(labels)}
    assert "denoised" in level.attrs["description"]
    back = xr.open_dataarray(tmp_path / "a.ome.zarr", engine="omezarr")
    xr.testing.assert_identical(back.load(), open_image(path).load())


def test_a_map_without_a_cell_has_no_sizes(tmp_path: Path) -> None:
    path = patched(write(tmp_path / "a.mrc", ramp(3, 4, 5)), 40, 0, 0, 0, dtype="<f4")
    assert not open_image(path).coords
    path = patched(write(tmp_path / "b.mrc", ramp(3, 4, 5)), 28, 0, 0, 0)
    with pytest.warns(OmeZarrWarning, match=r"x = 6.5 Å in 0 intervals, .* along x, y, z are left out"):
        assert not open_image(path).coords


def test_c6_a_cell_that_is_askew_is_told(tmp_path: Path) -> None:
    path = patched(write(tmp_path / "a.mrc", ramp(3, 4, 5)), 52, 90, 90, 120, dtype="<f4")
    with pytest.warns(OmeZarrWarning, match=r"angles 90°, 90°, 120°; its axes are taken .* assign_affine"):
        assert open_image(path).omezarr.scale == {"z": 1.3, "y": 1.3, "x": 1.3}


# --- volumes and stacks -------------------------------------------------------


@pytest.mark.parametrize("size", [np.nan, np.inf, -7.8, -np.inf])
def test_c6_sizes_that_are_none_are_told(tmp_path: Path, size: float) -> None:
    path = patched(write(tmp_path / "a.mrc", ramp(4, 5, 6)), 44, size, dtype="<f4")
    with pytest.warns(OmeZarrWarning, match=rf"whose sizes are none \(y = {size:g} Å in 5 intervals\); .* 1.0 is"):
        image = open_image(path)
    assert "y" not in image.coords
    assert image.omezarr.scale["x"] == 1.3


def test_c6_places_that_cannot_be_kept_are_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mrc", ramp(4, 5, 6), voxel=0, origin=(2.5, 0, -7))
    with pytest.warns(OmeZarrWarning, match=r"lies at x = 2.5 Å, z = -7 Å, .* translation=\{'x': 2.5, 'z': -7.0\}"):
        open_image(path)
    path = patched(write(tmp_path / "b.mrc", ramp(4, 5, 6)), 196, np.nan, dtype="<f4")
    with pytest.warns(OmeZarrWarning, match=r"an origin that is none \(nan, 0, 0\)"):
        assert open_image(path).x[0] == 0


@pytest.mark.parametrize("axes", [(1, 1, 3), (2, 2, 2), (1, 2, 0), (-1, 2, 3)])
def test_c6_axes_that_are_none_are_told(tmp_path: Path, axes: tuple[int, ...]) -> None:
    path = patched(write(tmp_path / "a.mrc", ramp(4, 5, 6)), 64, *axes)
    with pytest.warns(OmeZarrWarning, match=rf"run along the axes {', '.join(map(str, axes))}, .* along x, y and z"):
        assert open_image(path).dims == ("z", "y", "x")
    assert open_image(patched(path, 64, 0, 0, 0)).dims == ("z", "y", "x"), "zeros say nothing"


@pytest.mark.parametrize("version", ["0.4", "0.6"])
def test_c2_an_image_keeps_its_place_in_depth(tmp_path: Path, version: str) -> None:
    path = write(tmp_path / "a.mrc", ramp(5, 6), origin=(10, 20, -7.5))
    image = open_image(path)
    assert image.dims == ("y", "x")
    assert (image.z.item(), image.z.attrs["units"], image.y[0].item()) == (-7.5, "angstrom", 20)
    level = convert(path, tmp_path / "a.ome.zarr", version=version).omezarr.level(0)
    assert (level.z.item(), level.z.attrs["units"]) == (-7.5, "angstrom")
    movie = patched(write(tmp_path / "b.mrc", ramp(4, 5, 6), origin=(0, 0, 30), ispg=0), 36, 1)
    assert open_image(movie, dims="tyx").z.item() == 30
    assert "z" not in open_image(write(tmp_path / "c.mrc", ramp(5, 6))).coords


def test_what_the_third_dimension_is(tmp_path: Path) -> None:
    image = write(tmp_path / "image.mrc", ramp(4, 5))
    assert open_image(image).dims == ("y", "x")
    volume = write(tmp_path / "volume.mrc", ramp(3, 4, 5))
    assert open_image(volume).dims == ("z", "y", "x")
    # IMOD's tomograms say that they are images, and as many intervals as sections
    tomogram = patched(write(tmp_path / "tomogram.rec", ramp(3, 4, 5)), 88, 0)
    assert open_image(tomogram).omezarr.scale == {"z": 1.3, "y": 1.3, "x": 1.3}
    plane = write(tmp_path / "plane.mrc", ramp(1, 4, 5))
    assert open_image(plane).dims == ("z", "y", "x")


def test_c7_stacks_ask_for_their_dimensions(tmp_path: Path) -> None:
    with mrcfile.new(tmp_path / "particles.mrcs") as mrc:
        mrc.set_data(ramp(3, 4, 5))
        mrc.set_image_stack()
        mrc.voxel_size = 1.3
    path = tmp_path / "particles.mrcs"
    with pytest.raises(AxisError, match=r"a stack of 3 images, of shape \(3, 4, 5\).*open_image\(path, dims='tyx'\)"):
        open_image(path)
    movie = open_image(path, dims="tyx")
    assert movie.omezarr.scale["x"] == 1.3
    assert "t" not in movie.coords
    with mrcfile.new(tmp_path / "volumes.mrc") as mrc:
        mrc.set_data(ramp(2, 3, 4, 5))
        mrc.voxel_size = 1.3
    path = tmp_path / "volumes.mrc"
    with pytest.raises(AxisError, match=r"holds 2 volumes, of shape \(2, 3, 4, 5\).*dims='tzyx'"):
        open_image(path)
    volumes = open_image(path, dims="tzyx")
    assert volumes.omezarr.scale == {"t": 1.0, "z": 1.3, "y": 1.3, "x": 1.3}
    np.testing.assert_array_equal(volumes.values, mrcfile.read(path))


# --- laziness, damage ---------------------------------------------------------


def test_c9_a_corner_of_a_large_file_takes_little_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mrc", ramp(1, 4, 5))
    patched(patched(path, 0, 2048, 1024, 64), 28, 2048, 1024, 64)
    os.truncate(path, 1024 + 2048 * 1024 * 64 * 4)  # 512 MiB
    open_image(path)
    check_a_corner_takes_little_memory(path)


@pytest.mark.parametrize("packed", [False, True])
def test_c4_volumes_can_be_pickled_and_read_by_dask(tmp_path: Path, packed: bool) -> None:
    path = write(tmp_path / "a.mrc", ramp(20, 30, 40))
    if packed:
        (tmp_path / "a.map.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = tmp_path / "a.map.gz"
    image = open_image(path)
    pickled = pickle.dumps(image)
    assert len(pickled) < 4000
    np.testing.assert_array_equal(pickle.loads(pickled).values, ramp(20, 30, 40))
    np.testing.assert_array_equal(image.chunk(z=7).compute().values, ramp(20, 30, 40))


@pytest.mark.parametrize("packed", [False, True])
def test_c7_a_file_that_ends_too_soon_is_told_before_anything_is_written(tmp_path: Path, packed: bool) -> None:
    whole = write(tmp_path / "a.mrc", ramp(4, 5, 6)).read_bytes()
    for length, told in ((len(whole) - 1, r"ends .*before .* pixels"), (1000, "within the header")):
        cut = whole[:length]
        path = tmp_path / f"b.mrc{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(cut) if packed else cut)
        with pytest.raises(OmeZarrError, match=rf"cut off.*{told}"):
            convert(path, tmp_path / "b.ome.zarr")
    assert not (tmp_path / "b.ome.zarr").exists()


def test_c7_maps_from_before_2000_and_what_only_has_their_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mrc", ramp(4, 5, 6))
    whole = bytearray(path.read_bytes())
    whole[208:216] = bytes(8)
    path.write_bytes(whole)
    np.testing.assert_array_equal(open_image(path).values, ramp(4, 5, 6))
    (tmp_path / "b.map").write_bytes(b"a map of the town" + bytes(2000))
    with pytest.raises(OmeZarrError, match="has no header of an MRC file: it says mode"):
        open_image(tmp_path / "b.map")


@pytest.mark.parametrize(("offset", "words"), [(0, (-5, 4, 3)), (0, (2**30, 2**30, 2**30)), (92, (2**31 - 1,))])
def test_c7_nonsense_in_the_header(tmp_path: Path, offset: int, words: tuple[int, ...]) -> None:
    path = patched(write(tmp_path / "a.mrc", ramp(4, 5, 6)), offset, *words)
    with pytest.raises(OmeZarrError, match=r"a\.mrc"):
        open_image(path)


def test_the_command_converts_volumes(tmp_path: Path) -> None:
    path = write(tmp_path / "tomogram.mrc", ramp(20, 30, 40))
    mask = write(tmp_path / "mask.mrc", (ramp(20, 30, 40) > 40).astype("int8"))
    store = tmp_path / "tomogram.ome.zarr"
    assert main(["convert", str(path), str(store), "--labels", str(mask)]) == 0
    assert main(["validate", str(store), "--grids"]) == 0
    tree: Any = xr.open_datatree(store, engine="omezarr")
    np.testing.assert_array_equal(tree.omezarr.labels["mask"].omezarr.level(0).values, ramp(20, 30, 40) > 40)


def test_a_plate_of_maps(tmp_path: Path) -> None:
    for well, (channel, scale) in itertools.product(("A1", "B2"), enumerate((1, 2))):
        write(tmp_path / f"{well}_{channel}.mrc", ramp(8, 9) * scale)
    store = tmp_path.with_suffix(".ome.zarr")
    assert main(["plate", str(tmp_path), str(store), "--pattern", "{well}_{channel}.mrc"]) == 0
    tree: Any = xr.open_datatree(store, engine="omezarr")
    stacked = tree.omezarr.stack(level=0)
    np.testing.assert_array_equal(stacked.sel(row="A", column="1").isel(c=1).squeeze().values, ramp(8, 9) * 2)
