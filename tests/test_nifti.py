"""NIfTI and Analyze: voxels as nibabel reads them, each at the place that its affine gives it, in every version."""

from __future__ import annotations

import gc
import gzip
import itertools
import os
import pickle
import shutil
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from stores import check_a_corner_takes_little_memory

from xomezarr import convert, open_image
from xomezarr.cli import main
from xomezarr.errors import (
    AxisError,
    DtypeError,
    LabelWarning,
    MissingDependencyError,
    OmeZarrError,
    OmeZarrWarning,
    ResourceError,
    StoreNotFoundError,
)
from xomezarr.readers import raw

nibabel = pytest.importorskip("nibabel")
DATA = Path(nibabel.__file__).parent / "tests" / "data"

ALIGNED = (
    "anatomical.nii",
    "functional.nii",
    "reoriented_anat_moved.nii",
    "resampled_anat_moved.nii",
    "standard.nii.gz",
)
OBLIQUE = ("example4d.nii.gz", "example_nifti2.nii.gz")
OFF_SQUARE = np.array([[0, -2.5, 0], [0, 0, 1.25], [0.325, 0, 0]])


def ramp(*shape: int, dtype: str = "int16") -> NDArray[Any]:
    return np.arange(np.prod(shape), dtype=np.int64).reshape(shape).astype(dtype)


def affine(linear: Any = OFF_SQUARE, offset: Sequence[float] = (10.0, -20.5, 30.25)) -> NDArray[np.float64]:
    made = np.eye(4)
    made[:3, :3], made[:3, 3] = linear, offset
    return made


def write(
    path: Path, voxels: NDArray[Any], matrix: Any = None, *, sform: int = 1, qform: int = 0, **header: Any
) -> Path:
    image = nibabel.Nifti1Image(voxels, affine() if matrix is None else matrix)
    image.set_sform(image.affine if sform else None, sform)
    image.set_qform(image.affine if qform else None, qform)
    for name, value in header.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def voxel_at(image: xr.DataArray, place: NDArray[np.float64], system: str | None = None) -> xr.DataArray:
    """Return what lies at x, y and z of the world, by our coordinates alone."""
    names = {f"{system}_{axis}" if system else axis: value for axis, value in zip("xyz", place, strict=True)}
    return image.sel(names, method="nearest")


def check_places(image: xr.DataArray, path: Path, *, system: str | None = None, count: int = 40) -> None:
    """Compare voxels, found by their places, with what nibabel has there."""
    judge = nibabel.load(path)
    values = np.asarray(judge.dataobj)
    assert image.dtype == values.dtype.newbyteorder("=")
    assert image.size == values.size
    rng = np.random.default_rng(0)
    for _ in range(count):
        index = tuple(int(rng.integers(size)) for size in values.shape)
        place = (judge.affine @ [*index[:3], 1.0])[:3]
        found = voxel_at(image, place, system)
        found = found.isel(t=index[3]) if values.ndim > 3 else found
        np.testing.assert_array_equal(found.item(), values[index])
        where = [found[f"{system}_{axis}" if system else axis].item() for axis in "xyz"]
        # voxels of aligned images may lie a hundredth of their size beside the lines, for each of two other axes
        near = 1e-4 if system else max(1e-4, 0.02 * max(judge.header.get_zooms()[:3]))
        np.testing.assert_allclose(where, place, rtol=1e-6, atol=near)


# --- real files ---------------------------------------------------------------


@pytest.mark.parametrize("name", [*ALIGNED, *OBLIQUE])
def test_c2_voxels_of_real_images_lie_where_nibabel_says(name: str) -> None:
    check_places(open_image(DATA / name), DATA / name, system="scanner" if name in OBLIQUE else None)


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
@pytest.mark.parametrize("name", ["anatomical.nii", "functional.nii", "standard.nii.gz"])
def test_c2_aligned_images_keep_their_places_in_every_version(tmp_path: Path, name: str, version: str) -> None:
    tree: Any = convert(DATA / name, tmp_path / "a.ome.zarr", version=version)
    assert tree.omezarr.validate().valid
    back = xr.open_dataarray(tmp_path / "a.ome.zarr", engine="omezarr")
    check_places(back, DATA / name)
    xr.testing.assert_identical(back.load(), open_image(DATA / name).load())


@pytest.mark.parametrize("name", OBLIQUE)
def test_c2_oblique_images_keep_their_places_in_0_6(tmp_path: Path, name: str) -> None:
    tree: Any = convert(DATA / name, tmp_path / "a.ome.zarr", version="0.6")
    assert tree.omezarr.validate().valid
    assert "scanner" in tree.omezarr.coordinate_systems
    back = xr.open_dataarray(tmp_path / "a.ome.zarr", engine="omezarr")
    check_places(back, DATA / name, system="scanner")
    xr.testing.assert_identical(back.load(), open_image(DATA / name).load())


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_c6_what_older_versions_cannot_say_of_a_place_is_told(tmp_path: Path, version: str) -> None:
    path = DATA / "example4d.nii.gz"
    with pytest.warns(OmeZarrWarning, match=r"askew in the coordinate system 'scanner'.*give version=\"0\.6\""):
        tree: Any = convert(path, tmp_path / "a.ome.zarr", version=version)
    level = tree.omezarr.level(0)
    judge = nibabel.load(path)
    np.testing.assert_array_equal(level.values, np.asarray(judge.dataobj).T)
    sizes = dict(zip("xyzt", judge.header.get_zooms(), strict=True))
    for dim in "tzyx":
        assert np.float32(level[dim].attrs["scale"]) == sizes[dim]
    assert [level[dim].attrs["units"] for dim in "tzyx"] == ["s", "mm", "mm", "mm"]


def test_what_else_the_header_says_is_in_the_attributes(tmp_path: Path) -> None:
    image = open_image(DATA / "functional.nii")
    assert image.name == "functional"
    assert image.attrs == {
        "description": "spm - 3D normalized",
        "nifti": {"form": "sform", "space": "aligned"},
    }
    path = write(
        tmp_path / "a.nii", ramp(3, 4, 5), intent_code=5, intent_p1=12.0, intent_name=b"motor", aux_file=b"b.txt"
    )
    assert open_image(path).attrs["nifti"] == {
        "form": "sform",
        "space": "scanner",
        "intent": "z score",
        "intent_name": "motor",
        "aux_file": "b.txt",
    }
    tree: Any = convert(path, tmp_path / "a.ome.zarr")
    assert tree.omezarr.level(0).attrs == open_image(path).attrs


# --- places: every orientation, decimals --------------------------------------

sizes = st.tuples(*[st.integers(1, 5)] * 3)
spacings = st.tuples(*[st.sampled_from([0.325, 0.1, 1.0, 2.2, 0.9375, 1.6000001, 3.0])] * 3)
offsets = st.tuples(*[st.sampled_from([0.0, 0.1, -90.0, 117.855, -35.7, 1e-3])] * 3)
turns = st.tuples(st.permutations([0, 1, 2]), st.tuples(*[st.sampled_from([1, -1])] * 3))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes, spacings, offsets, turns, st.sampled_from("<>"), st.booleans(), st.sampled_from(["sform", "qform"]))
def test_c2_each_of_48_orientations(
    tmp_path: Path,
    sizes: tuple[int, ...],
    spacings: tuple[float, ...],
    offsets: tuple[float, ...],
    turn: tuple[list[int], tuple[int, ...]],
    byteorder: str,
    packed: bool,
    form: str,
) -> None:
    linear = np.zeros((3, 3))
    for voxel, (world, sign, spacing) in enumerate(zip(*turn, spacings, strict=True)):
        linear[world, voxel] = sign * spacing
    header = nibabel.Nifti1Header(endianness=byteorder)
    header.set_data_dtype(np.int16)
    image = nibabel.Nifti1Image(ramp(*sizes), affine(linear, offsets), header)
    codes = {"sform": 0, "qform": 0} | {form: 4}
    if form == "qform":
        image.header.set_zooms(spacings)
    image.set_qform(affine(linear, offsets), codes["qform"])
    image.set_sform(affine(linear, offsets), codes["sform"])
    path = tmp_path / f"a.nii{'.gz' if packed else ''}"
    nibabel.save(image, path)
    opened = open_image(path)
    assert opened.dtype.isnative
    for axis, offset in zip("xyz", offsets, strict=True):
        assert (np.diff(opened[axis].values) > 0).all(), "coordinates ascend, as the writer wants them"
        step = spacings[turn[0].index("xyz".index(axis))]
        assert opened[axis].attrs["scale"] == float(str(np.float32(step))), "decimals, not single precision"
        assert any(np.isclose(opened[axis].values[[0, -1]], offset, rtol=0, atol=1e-9)), "a corner is the offset"
    judge = nibabel.load(path)
    for index in itertools.product(*map(range, sizes)):
        found = voxel_at(opened, (judge.affine @ [*index, 1.0])[:3])
        assert found.item() == ramp(*sizes)[index]


def test_c1_header_floats_become_the_decimals_that_were_meant(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", ramp(3, 4, 5), affine(np.diag([0.325, -0.1, 1.1])), xyzt_units=3)
    image = open_image(path)
    assert image.omezarr.scale == {"z": 1.1, "y": 0.1, "x": 0.325}
    assert image.omezarr.translation == {"z": 30.25, "y": -20.8, "x": 10.0}
    assert image.x.attrs["units"] == "um"


def test_axes_say_which_way_they_run_through_a_body(tmp_path: Path) -> None:
    tree: Any = convert(write(tmp_path / "a.nii", ramp(3, 4, 5)), tmp_path / "a.ome.zarr")
    assert {dim: tree.omezarr.level(0)[dim].attrs["orientation"] for dim in "xyz"} == {
        "x": "left-to-right",
        "y": "posterior-to-anterior",
        "z": "inferior-to-superior",
    }
    # i runs upward, j to the back, k to the front: the dimensions are called as what they run along
    assert open_image(tmp_path / "a.nii").dims == ("y", "x", "z")
    assert open_image(tmp_path / "a.nii", dims="kji").dims == ("k", "j", "i")


def test_an_image_without_a_form_has_sizes_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", ramp(3, 4, 5), affine(np.diag([2.0, -3.0, 4.0])), sform=0, qform=0)
    image = open_image(path)
    assert image.omezarr.scale == {"z": 4.0, "y": 3.0, "x": 2.0}
    assert image.omezarr.translation == {"z": 0.0, "y": 0.0, "x": 0.0}
    assert "orientation" not in image.x.attrs
    np.testing.assert_array_equal(image.values, ramp(3, 4, 5).T)


def test_sform_counts_before_qform_and_qform_where_that_is_no_matrix(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", ramp(3, 4, 5), affine(np.diag([2.0, 3.0, 4.0])), sform=4, qform=1, qoffset_x=77.0)
    assert open_image(path).omezarr.translation["x"] == 10.0
    header = bytearray(path.read_bytes())
    header[280:328] = bytes(48)  # srow_x to srow_z
    path.write_bytes(header)
    with pytest.warns(OmeZarrWarning, match=r"sform by which different voxels lie at one place.*set_sform"):
        image = open_image(path)
    assert image.omezarr.translation["x"] == 77.0
    assert image.attrs["nifti"]["form"] == "qform"


@pytest.mark.parametrize("degrees", [0.01, 1.0, 44.0])
def test_c2_the_line_between_aligned_and_askew_is_a_hundredth_of_a_voxel(tmp_path: Path, degrees: float) -> None:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    path = write(tmp_path / "a.nii", ramp(20, 30, 4), affine(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])))
    image = open_image(path)
    assert ("scanner_x" in image.coords) == (degrees > 0.01)
    judge = nibabel.load(path).affine @ [19, 29, 3, 1.0]
    found = [image[f"scanner_{axis}" if degrees > 0.01 else axis].values.flat[-1] for axis in "xyz"]
    np.testing.assert_allclose(found, judge[:3], atol=0.01)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.tuples(*[st.floats(-1, 1)] * 3), spacings, offsets, st.booleans(), st.sampled_from(["sform", "qform"]))
def test_c2_turned_by_any_angle(
    tmp_path: Path,
    vector: tuple[float, ...],
    spacings: tuple[float, ...],
    offsets: tuple[float, ...],
    mirrored: bool,
    form: str,
) -> None:
    turned = nibabel.quaternions.quat2mat([1.0, *vector]) * spacings
    turned[:, 2] *= -1 if mirrored else 1
    path = write(tmp_path / "a.nii", ramp(12, 10, 8), affine(turned, offsets), **{"sform": 0, "qform": 0, form: 1})
    image = open_image(path)
    check_places(image, path, system="scanner" if "scanner_x" in image.coords else None, count=20)
    assert image.attrs["nifti"]["form"] == form


@pytest.mark.parametrize("name", ALIGNED)
def test_c2_places_of_real_aligned_images_are_exact(name: str) -> None:
    image, judge = open_image(DATA / name), nibabel.load(DATA / name)
    far = (judge.affine @ [*np.array(judge.shape[:3]) - 1, 1])[:3]
    for axis, near, beyond in zip("xyz", judge.affine[:3, 3], far, strict=True):
        np.testing.assert_allclose(image[axis].values[[0, -1]], sorted([near, beyond]), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_c2_a_slice_keeps_its_place_in_depth_and_in_time(tmp_path: Path, version: str) -> None:
    """A sagittal slice: i runs along y, j upward, and x is where all of it lies."""
    matrix = np.array([[0, 0, 3.0, -12.5], [0.5, 0, 0, 7.0], [0, 2.0, 0, -3.0], [0, 0, 0, 1]])
    path = write(tmp_path / "flat.nii", ramp(6, 7), matrix, toffset=4.5, xyzt_units=2 | 16)
    image = open_image(path)
    assert image.dims == ("z", "y")
    assert image.x.item() == nibabel.affines.apply_affine(matrix, [0, 0, 0])[0]
    assert (image.x.attrs["units"], image.x.attrs["orientation"]) == ("mm", "left-to-right")
    assert (image.t.item(), image.t.attrs["units"]) == (4.5, "ms")
    level = convert(path, tmp_path / "a.ome.zarr", version=version).omezarr.level(0)
    assert (level.x.item(), level.t.item()) == (-12.5, 4.5)
    assert level.x.attrs["units"] == "mm"
    # a volume of a series, and vectors, too
    volume = open_image(write(tmp_path / "v.nii", ramp(3, 4, 5), affine(np.eye(3)), toffset=2.5, xyzt_units=2 | 8))
    assert (volume.dims, volume.t.item()) == (("z", "y", "x"), 2.5)
    field = write(tmp_path / "f.nii", ramp(3, 4, 5, 1, 3, dtype="f4"), affine(np.eye(3)), toffset=2.5, xyzt_units=10)
    assert open_image(field).t.item() == 2.5


def test_c6_labels_of_another_slice_are_told_and_lie_on_the_image(tmp_path: Path) -> None:
    path = write(tmp_path / "slice.nii", ramp(6, 7), affine(np.eye(3), (1, 2, 9)))
    same = write(tmp_path / "same.nii", ramp(6, 7, dtype="u1"), affine(np.eye(3), (1, 2, 9)))
    tree: Any = convert(path, tmp_path / "a.ome.zarr", labels={"cells": same})
    assert tree.omezarr.level(0).z.item() == 9
    assert "z" not in tree.omezarr.labels["cells"].omezarr.level(0).coords
    other = write(tmp_path / "other.nii", ramp(6, 7, dtype="u1"), affine(np.eye(3), (1, 2, 12)))
    with pytest.warns(LabelWarning, match=r"other\.nii\" says that it lies elsewhere than the image"):
        tree = convert(path, tmp_path / "b.ome.zarr", labels={"cells": other})
    assert "z" not in tree.omezarr.labels["cells"].omezarr.level(0).coords


def test_c6_a_place_that_has_no_name_left_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "flat.nii", ramp(6, 7), affine(np.eye(3), (1, 2, 9)))
    with pytest.warns(OmeZarrWarning, match=r"lies at z = 9 as a whole, and a dimension is called 'z' too: .*: dims="):
        image = open_image(path, dims="zx")
    assert "z" not in image.coords or image.z.dims == ("z",)
    assert open_image(path, dims="ji").z.item() == 9


def test_c6_times_that_begin_and_have_no_step_are_told(tmp_path: Path) -> None:
    def movie(volumes: int, step: float, start: float) -> Path:
        path = tmp_path / "a.nii"
        write(path, ramp(3, 4, 5, volumes), affine(np.eye(3)), xyzt_units=2 | 8, toffset=start)
        whole = bytearray(path.read_bytes())
        whole[92:96] = np.array(step, "<f4").tobytes()  # pixdim[4]
        path.write_bytes(whole)
        return path

    with pytest.warns(
        OmeZarrWarning, match=r"begins at t = 0.7 s, and does not say how far .* translation=\{'t': 0.7\}"
    ):
        assert "t" not in open_image(movie(6, 0, 0.7)).coords
    single = open_image(movie(1, 0, 0.7))
    assert (single.sizes["t"], single.t.values.tolist(), single.t.attrs["units"]) == (1, [0.7], "s")
    with pytest.warns(OmeZarrWarning, match=r"begins at a time that is none \(toffset is nan\), .* at 0; mend it"):
        image = open_image(movie(3, 2, np.nan))
    assert image.t.values.tolist() == [0, 2, 4]
    assert "t" not in open_image(movie(6, 0, 0)).coords


def test_flat_images(tmp_path: Path) -> None:
    path = write(tmp_path / "flat.nii", ramp(6, 7), affine(np.diag([-0.5, 0.5, 1.0])))
    image = open_image(path)
    assert image.dims == ("y", "x")
    np.testing.assert_array_equal(image.values, ramp(6, 7).T[:, ::-1])
    tree: Any = convert(path, tmp_path / "a.ome.zarr")
    assert tree.omezarr.level(0).omezarr.translation == {"y": -20.5, "x": 7.5}
    turned = write(tmp_path / "turned.nii", ramp(6, 7), affine([[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1]]))
    askew = open_image(turned)
    where = [askew[name].values[6, 5] for name in ("scanner_x", "scanner_y", "scanner_z")]
    np.testing.assert_allclose(where, (nibabel.load(turned).affine @ [5, 6, 0, 1])[:3], atol=1e-5)


# --- values -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "c8", "c16"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_c3_dtypes(tmp_path: Path, dtype: str, byteorder: str) -> None:
    header = nibabel.Nifti1Header(endianness=byteorder)
    header.set_data_dtype(np.dtype(dtype))
    nibabel.save(nibabel.Nifti1Image(ramp(3, 4, 5, dtype=dtype), affine(np.eye(3)), header), tmp_path / "a.nii")
    image = open_image(tmp_path / "a.nii")
    assert image.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(image.values, ramp(3, 4, 5, dtype=dtype).T)


@pytest.mark.parametrize(("slope", "inter"), [(2.0, 0.0), (1.0, -1024.0), (0.0754, 3100.5)])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
def test_c3_scaled_values_are_nibabels(tmp_path: Path, dtype: str, slope: float, inter: float) -> None:
    path = write(tmp_path / "a.nii", ramp(3, 4, 5, dtype=dtype), affine(np.eye(3)))
    whole = bytearray(path.read_bytes())
    whole[112:120] = np.array([slope, inter], "<f4").tobytes()
    path.write_bytes(whole)
    expected = np.asarray(nibabel.load(path).dataobj)
    image = open_image(path)
    assert image.dtype == expected.dtype == np.float64
    np.testing.assert_array_equal(image.values, expected.T)
    np.testing.assert_array_equal(image[1, ::2, [2, 0]].values, expected.T[1, ::2][:, [2, 0]])


@pytest.mark.parametrize(("names", "kind"), [("RGB", "RGB"), ("RGBA", "RGBA")])
def test_colours_become_channels(tmp_path: Path, names: str, kind: str) -> None:
    voxels = np.zeros((3, 4, 5), [(name, "u1") for name in names])
    for index, name in enumerate(names):
        voxels[name] = ramp(3, 4, 5, dtype="u1") + index
    image = open_image(write(tmp_path / "a.nii", voxels, affine(np.eye(3))))
    assert image.dims == ("z", "y", "x", "c")
    assert image.c.values.tolist() == ["red", "green", "blue", "alpha"][: len(names)]
    for index, name in enumerate(names):
        np.testing.assert_array_equal(image.isel(c=index).values, voxels[name].T)
    tree: Any = convert(tmp_path / "a.nii", tmp_path / "a.ome.zarr")
    assert [channel.color for channel in tree.omezarr.channels[:3]] == ["FF0000", "00FF00", "0000FF"]


@pytest.mark.parametrize(("code", "name"), [(1536, "float128"), (2048, "complex256")])
def test_c7_what_no_zarr_holds_is_refused(tmp_path: Path, code: int, name: str) -> None:
    header = bytearray(write(tmp_path / "a.nii", ramp(3, 4, 5)).read_bytes())
    header[70:72] = code.to_bytes(2, "little")
    (tmp_path / "a.nii").write_bytes(header + bytes(4000))
    with pytest.raises(DtypeError, match=rf"holds {name}, which OME-Zarr cannot hold; write it as float64"):
        convert(tmp_path / "a.nii", tmp_path / "a.ome.zarr")
    assert not (tmp_path / "a.ome.zarr").exists()


# --- time, channels -----------------------------------------------------------


@pytest.mark.parametrize(("code", "unit"), [(8, "s"), (16, "ms"), (24, "us"), (0, None)])
def test_times(tmp_path: Path, code: int, unit: str | None) -> None:
    path = write(tmp_path / "a.nii", ramp(3, 4, 5, 6), affine(np.eye(3)), xyzt_units=2 | code, toffset=0.7)
    whole = bytearray(path.read_bytes())
    whole[92:96] = np.array(1.3, "<f4").tobytes()  # pixdim[4]
    path.write_bytes(whole)
    image = open_image(path)
    assert image.dims == ("t", "z", "y", "x")
    assert (image.t.attrs.get("units"), image.t.attrs["scale"]) == (unit, 1.3)
    np.testing.assert_array_equal(image.t.values[:2], [0.7, 2.0])
    np.testing.assert_array_equal(image.values, ramp(3, 4, 5, 6).T)


def test_frequencies_are_channels(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", ramp(3, 4, 5, 2), affine(np.eye(3)), xyzt_units=2 | 40)
    image = open_image(path)
    assert image.dims == ("c", "z", "y", "x")
    assert image.c.attrs["units"] == "ppm"
    tree: Any = convert(path, tmp_path / "a.ome.zarr")
    xr.testing.assert_identical(tree.omezarr.level(0).c.drop_attrs(), image.c.drop_attrs())


def test_vectors_are_channels_and_more_dimensions_are_asked_for(tmp_path: Path) -> None:
    field = write(tmp_path / "field.nii", ramp(3, 4, 5, 1, 3, dtype="f4"), affine(np.eye(3)))
    assert open_image(field).dims == ("c", "z", "y", "x")
    assert open_image(field, dims="ctzyx").dims == ("c", "t", "z", "y", "x")
    moving = write(tmp_path / "moving.nii", ramp(3, 4, 5, 2, 3, dtype="f4"), affine(np.eye(3)))
    assert open_image(moving).dims == ("c", "t", "z", "y", "x")
    np.testing.assert_array_equal(open_image(moving).values, ramp(3, 4, 5, 2, 3, dtype="f4").T)
    six = write(tmp_path / "six.nii", ramp(3, 4, 5, 1, 3, 2, dtype="f4"), affine(np.eye(3)))
    with pytest.raises(AxisError, match="does not say what its 6 dimensions are"):
        open_image(six)
    assert open_image(six, dims="vctzyx").isel(v=0).dims == ("c", "t", "z", "y", "x")


# --- pairs of files, Analyze --------------------------------------------------


@pytest.mark.parametrize("kind", ["Nifti1Pair", "Nifti2Pair", "Spm99AnalyzeImage", "AnalyzeImage"])
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_pairs_are_opened_by_either_file(tmp_path: Path, kind: str, packed: str) -> None:
    made = getattr(nibabel, kind, None) or nibabel.AnalyzeImage
    image = made(ramp(3, 4, 5), affine(np.diag([2.0, 3.0, 4.0])))
    nibabel.save(image, tmp_path / f"a.img{packed}")
    for name in (f"a.img{packed}", f"a.hdr{packed}"):
        opened = open_image(tmp_path / name)
        assert opened.name == "a"
        assert opened.omezarr.scale == {"z": 4.0, "y": 3.0, "x": 2.0}
        np.testing.assert_array_equal(opened.values, np.asarray(nibabel.load(tmp_path / name).dataobj).T)
    (tmp_path / f"a.img{packed}").unlink()
    with pytest.raises(StoreNotFoundError, match=r"is one of two files of an image, and .*a\.img\" is not there"):
        open_image(tmp_path / f"a.hdr{packed}")


def test_real_headers_without_their_pixels_are_told() -> None:
    for name in ("nifti1.hdr", "analyze.hdr"):
        with pytest.raises(StoreNotFoundError, match=r"\.img\" is not there"):
            open_image(DATA / name)


# --- laziness, memory, gzip ---------------------------------------------------


def sparse(path: Path, shape: tuple[int, ...]) -> Path:
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.uint16)
    header.set_data_shape(shape)
    header.set_sform(np.diag([-1.0, 1, 1, 1]), 1)
    header["scl_slope"] = 2.0
    with path.open("wb") as file:
        header.write_to(file)
        file.truncate(352 + int(np.prod(shape)) * 2)
    return path


def test_c9_a_corner_of_a_large_file_takes_little_memory(tmp_path: Path) -> None:
    path = sparse(tmp_path / "a.nii", (2048, 2048, 64))  # 512 MiB, mirrored and scaled
    open_image(path)
    check_a_corner_takes_little_memory(path)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="asks Linux what is mapped")
def test_c9_packed_files_are_unpacked_on_disk_once_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = tmp_path / "room"
    room.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(room))
    with gzip.open(tmp_path / "a.nii.gz", "wb", compresslevel=1) as packed:
        packed.write(sparse(tmp_path / "a.nii", (512, 512, 128)).read_bytes())  # 64 MiB
    times: list[str] = []
    unpack = raw._unpack
    monkeypatch.setattr(raw, "_unpack", lambda *given: times.append(given[0]) or unpack(*given))
    image = open_image(tmp_path / "a.nii.gz")
    assert not times, "opening reads the header alone"
    tracemalloc.start()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(np.asarray, [image[index % 128, 5] for index in range(16)]))
    other = open_image(tmp_path / "a.nii.gz")
    assert not other[3, :4, :4].values.any()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(times) == 1, "once for all threads, and for all that are open"
    assert peak < 16 * 2**20
    assert str(room) in Path("/proc/self/maps").read_text()
    assert not [*room.iterdir()], "the file has no name"
    del image, other
    gc.collect()
    assert str(room) not in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_c4_images_can_be_pickled_and_read_elsewhere(tmp_path: Path, name: str) -> None:
    voxels = ramp(30, 20, 10)
    path = write(tmp_path / name, voxels, affine(np.diag([-1.0, 1, 1])))
    image = open_image(path)
    image[0, 0, 0].load()
    pickled = pickle.dumps(image)
    assert len(pickled) < 6000, "a pickled image names its file and holds no pixels"
    np.testing.assert_array_equal(pickle.loads(pickled).values, voxels.T[:, :, ::-1])
    np.testing.assert_array_equal(image.chunk(y=7).compute().values, voxels.T[:, :, ::-1])
    (tmp_path / "pickled").write_bytes(pickled)
    read = f"import pickle; print(int(pickle.load(open({str(tmp_path / 'pickled')!r}, 'rb')).astype(int).sum()))"
    told = subprocess.run([sys.executable, "-c", read], capture_output=True, text=True, check=True).stdout
    assert int(told) == voxels.sum(dtype=int)


def test_c9_a_file_in_several_pieces_is_not_unpacked_when_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write(tmp_path / "a.nii", ramp(64, 64, 64, dtype="u1"), affine(np.eye(3))).read_bytes()
    pieces = (gzip.compress(whole[start : start + 2**16]) for start in range(0, len(whole), 2**16))
    (tmp_path / "a.nii.gz").write_bytes(b"".join((*pieces, gzip.compress(b""))))
    sizes: list[int] = []
    read = gzip.GzipFile.read

    def counted(file: gzip.GzipFile, size: int | None = -1) -> bytes:
        sizes.append(len(found := read(file, size)))
        return found

    monkeypatch.setattr(gzip.GzipFile, "read", counted)
    image = open_image(tmp_path / "a.nii.gz")
    assert 0 < sum(sizes) < 2**12
    np.testing.assert_array_equal(image.values, ramp(64, 64, 64, dtype="u1").T)
    assert sum(sizes) >= len(whole)


def test_a_file_is_read_while_another_one_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = {name: open_image(write(tmp_path / f"{name}.nii.gz", ramp(3, 4, 5), affine(np.eye(3)))) for name in "ab"}
    begun, may_end = threading.Event(), threading.Event()
    times: list[str] = []
    unpack = raw._unpack

    def slow(path: str, end: int) -> Any:
        times.append(Path(path).name)
        if path.endswith("a.nii.gz"):
            begun.set()
            assert may_end.wait(30)
        return unpack(path, end)

    monkeypatch.setattr(raw, "_unpack", slow)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(lambda: open_image(tmp_path / "a.nii.gz").values) for _ in range(2)]
        try:
            assert begun.wait(30)
            other = pool.submit(lambda: images["b"].values)
            np.testing.assert_array_equal(other.result(timeout=30), ramp(3, 4, 5).T)
            assert not any(one.done() for one in waiting)
        finally:
            may_end.set()
        for one in waiting:
            np.testing.assert_array_equal(one.result(timeout=30), ramp(3, 4, 5).T)
    assert sorted(times) == ["a.nii.gz", "b.nii.gz"]


@pytest.mark.parametrize("parts", [1, 3])
def test_c7_a_packed_file_that_is_cut_off_is_told_before_anything_is_written(tmp_path: Path, parts: int) -> None:
    """In several pieces, as block gzip writes them, the last bytes do not say how long the whole is."""
    whole = write(tmp_path / "a.nii", ramp(20, 30, 10), affine(np.eye(3))).read_bytes()
    step = -(-len(whole) // parts)
    packed = b"".join(gzip.compress(whole[start : start + step]) for start in range(0, len(whole), step))
    (tmp_path / "a.nii.gz").write_bytes(packed)
    np.testing.assert_array_equal(open_image(tmp_path / "a.nii.gz").values, ramp(20, 30, 10).T)
    for broken in (packed[: len(packed) // 2], packed[:-2], gzip.compress(whole[:-10])):
        (tmp_path / "b.nii.gz").write_bytes(broken)
        with pytest.raises(OmeZarrError, match=r'b\.nii\.gz" is cut off, or damaged'):
            convert(tmp_path / "b.nii.gz", tmp_path / "b.ome.zarr")
        assert not (tmp_path / "b.ome.zarr").exists()
    changed = bytearray(packed)
    changed[-8] ^= 1  # the checksum
    (tmp_path / "c.nii.gz").write_bytes(changed)
    with pytest.raises(OmeZarrError, match=r"CRC check failed"):
        open_image(tmp_path / "c.nii.gz").load()
    assert not (tmp_path / "b.ome.zarr").exists()


def test_c7_where_there_is_no_room_to_unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = open_image(write(tmp_path / "a.nii.gz", ramp(3, 4, 5)))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 90, 10))  # type: ignore[attr-defined]
    with pytest.raises(ResourceError, match=r"has 10 left; unpack it where there is room, or .*TMPDIR"):
        image.load()


def test_c7_a_file_that_ends_too_soon_is_told_before_anything_is_written(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", ramp(20, 30, 10))
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(
        OmeZarrError, match=r"is cut off, or damaged: it ends before the pixels of shape \(10, 30, 20\)"
    ):
        convert(path, tmp_path / "a.ome.zarr")
    assert not (tmp_path / "a.ome.zarr").exists()


def test_c6_a_slope_that_is_none_is_told(tmp_path: Path) -> None:
    whole = bytearray(write(tmp_path / "a.nii", ramp(3, 4, 5), affine(np.eye(3))).read_bytes())
    whole[112:116] = np.array(np.inf, "<f4").tobytes()
    (tmp_path / "b.nii").write_bytes(whole)
    with pytest.warns(OmeZarrWarning, match=r"scaled by inf, and they are read as they are stored; .*set_slope_inter"):
        np.testing.assert_array_equal(open_image(tmp_path / "b.nii").values, ramp(3, 4, 5).T)


def test_c7_pixels_of_one_bit_are_refused(tmp_path: Path) -> None:
    whole = bytearray(write(tmp_path / "a.nii", ramp(3, 4, 5)).read_bytes())
    whole[70:74] = np.array([1, 1], "<i2").tobytes()  # datatype and bitpix
    (tmp_path / "b.nii").write_bytes(whole)
    with pytest.raises(DtypeError, match=r'b\.nii" holds pixels of one bit'):
        open_image(tmp_path / "b.nii")


@pytest.mark.parametrize("offset", [0, -100, 348])
def test_c3_voxels_do_not_begin_within_the_header(tmp_path: Path, offset: float) -> None:
    whole = bytearray(write(tmp_path / "a.nii", ramp(3, 4, 5), affine(np.eye(3))).read_bytes())
    whole[108:112] = np.array(offset, "<f4").tobytes()
    (tmp_path / "b.nii").write_bytes(whole)
    with pytest.warns(OmeZarrWarning, match=rf"begin at byte {offset}, which is within its header; .* at byte 352"):
        image = open_image(tmp_path / "b.nii")
    np.testing.assert_array_equal(image.values, ramp(3, 4, 5).T)


def test_c7_damaged_headers(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.nii", ramp(3, 4, 5)).read_bytes()
    unknown = bytearray(whole)
    unknown[70:72] = (9999).to_bytes(2, "little")  # datatype
    empty = bytearray(whole)
    empty[42:44] = bytes(2)  # dim[1]
    for broken in (unknown, empty, whole[:346]):
        (tmp_path / "b.nii").write_bytes(broken)
        with pytest.raises(OmeZarrError, match=r"b\.nii"):
            open_image(tmp_path / "b.nii")
    (tmp_path / "c.hdr").write_bytes(b"#?RADIANCE\n" + bytes(400))
    (tmp_path / "c.img").write_bytes(bytes(400))
    with pytest.raises(OmeZarrError, match="begins as no header of NIfTI or Analyze"):
        open_image(tmp_path / "c.hdr")
    (tmp_path / "d.tif.gz").write_bytes(gzip.compress(b"II*\0" + bytes(400)))
    with pytest.raises(
        OmeZarrError, match=r"by gzip, and only these are read so: NIfTI; .*MRC.*; unpack it, .*: gunzip"
    ):
        open_image(tmp_path / "d.tif.gz")


def test_c7_cifti_is_no_image() -> None:
    with pytest.raises(OmeZarrError, match=r"is CIFTI, whose rows are points of surfaces .*-cifti-separate"):
        open_image(DATA / "row_major.dconn.nii")


def test_c7_without_nibabel_the_message_names_the_extra(without: Callable[[str], None]) -> None:
    without("nibabel")
    with pytest.raises(MissingDependencyError, match=r'nibabel.*pip install "xomezarr\[io\]"'):
        open_image(DATA / "anatomical.nii")


# --- labels -------------------------------------------------------------------

BRAIN = ramp(4, 5, 6)
LOBES = (BRAIN % 3).astype("u1")
MIRRORED = affine([[0, -2.5, 0], [0, 0, 1.25], [-0.5, 0, 0]])


def write_npy(path: Path) -> Path:
    np.save(path, LOBES.T)
    return path


MAKE: dict[str, Callable[[Path, NDArray[np.float64]], Path]] = {
    "same.nii.gz": lambda path, matrix: write(path, LOBES, matrix),
    "turned.nii": lambda path, matrix: write(path, LOBES[::-1, :, ::-1], _turned(matrix)),
    "bare.nii": lambda path, matrix: write(path, LOBES, matrix, sform=0),
    "array.npy": lambda path, matrix: write_npy(path),
}


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("matrix", [MIRRORED, affine(np.diag([-1.0, 1.0, 1.0])), affine(OFF_SQUARE)])
def test_c2_labels_lie_on_the_voxels_that_they_were_drawn_on(
    tmp_path: Path, name: str, matrix: NDArray[np.float64]
) -> None:
    path = write(tmp_path / "brain.nii", BRAIN, matrix)
    tree: Any = convert(path, tmp_path / "a.ome.zarr", labels={"lobes": MAKE[name](tmp_path / name, matrix)})
    level = tree.omezarr.level(0)
    lobes = tree.omezarr.labels["lobes"].omezarr.level(0)
    assert lobes.dims == level.dims
    np.testing.assert_array_equal(lobes.values, level.values % 3)
    np.testing.assert_array_equal(lobes.x.values, level.x.values)


def _turned(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the affine of the same voxels with the first and the last axis read backward."""
    flip = np.diag([-1.0, 1.0, -1.0, 1.0])
    flip[:3, 3] = [BRAIN.shape[0] - 1, 0, BRAIN.shape[2] - 1]
    made: NDArray[np.float64] = matrix @ flip
    return made


def test_c2_labels_in_nifti_of_an_image_that_is_none(tmp_path: Path) -> None:
    np.save(tmp_path / "brain.npy", BRAIN.T)
    labels = write(tmp_path / "lobes.nii", LOBES, MIRRORED)
    tree: Any = convert(tmp_path / "brain.npy", tmp_path / "a.ome.zarr", dims="zyx", labels={"lobes": labels})
    level = tree.omezarr.level(0)
    np.testing.assert_array_equal(tree.omezarr.labels["lobes"].omezarr.level(0).values, level.values % 3)


@pytest.mark.parametrize("matrix", [MIRRORED, affine([[0.8, 0.6, 0], [-0.6, 0.8, 0], [0, 0, 1.0]])])
def test_c6_labels_that_say_that_they_lie_elsewhere_are_told(tmp_path: Path, matrix: NDArray[np.float64]) -> None:
    path = write(tmp_path / "brain.nii", BRAIN, matrix)
    elsewhere = matrix.copy()
    elsewhere[:3, 3] += 0.75
    write(tmp_path / "lobes.nii", LOBES, elsewhere)
    with pytest.warns(LabelWarning, match=r"lobes\.nii\" says that it lies elsewhere than the image"):
        tree: Any = convert(path, tmp_path / "a.ome.zarr", version="0.6", labels={"lobes": tmp_path / "lobes.nii"})
    level = tree.omezarr.level(0)
    np.testing.assert_array_equal(tree.omezarr.labels["lobes"].omezarr.level(0).values, level.values % 3)
    assert tree.omezarr.validate().valid


def test_labels_of_an_oblique_image(tmp_path: Path) -> None:
    voxels = np.asarray(nibabel.load(DATA / "example_nifti2.nii.gz").dataobj)[..., 0]
    matrix = nibabel.load(DATA / "example_nifti2.nii.gz").affine
    write(tmp_path / "brain.nii", voxels, matrix)
    write(tmp_path / "mask.nii.gz", (voxels > 40).astype("u1"), matrix)
    tree: Any = convert(
        tmp_path / "brain.nii", tmp_path / "a.ome.zarr", version="0.6", labels={"mask": tmp_path / "mask.nii.gz"}
    )
    assert tree.omezarr.validate().valid
    np.testing.assert_array_equal(tree.omezarr.labels["mask"].omezarr.level(0).values, voxels.T > 40)


# --- the command --------------------------------------------------------------


def test_the_command_converts_with_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "brain.nii.gz", BRAIN, MIRRORED)
    write(tmp_path / "lobes.nii.gz", LOBES, MIRRORED)
    store = tmp_path / "brain.ome.zarr"
    assert main(["convert", str(path), str(store), "--labels", str(tmp_path / "lobes.nii.gz")]) == 0
    tree: Any = xr.open_datatree(store, engine="omezarr")
    assert [*tree.omezarr.labels] == ["lobes"]
    assert main(["validate", str(store), "--grids"]) == 0
    capsys.readouterr()
    assert main(["convert", str(DATA / "example4d.nii.gz"), str(tmp_path / "b.ome.zarr"), "--version", "0.6"]) == 0
