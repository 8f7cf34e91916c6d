"""Faults that were measured in other libraries, each as a test that our files do not have it.

Position, values, what is lost and reading, as far as they concern images; what other libraries accept and ignore stands
in ``test_pyramid.py``, ``test_write.py`` and, for the command line, ``test_scale.py``.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

from xomezarr import errors, testing
from xomezarr.downsample import METHODS

pytestmark = pytest.mark.parametrize("version", ["0.4", "0.5"])


def ramp(sizes: dict[str, int], dim: str = "x", scale: float = 0.5, translation: float = 0.0) -> xr.DataArray:
    """Return an image whose pixels hold their own position along `dim`."""
    da = xr.DataArray(np.zeros(tuple(sizes.values())), dims=tuple(sizes), name="ramp")
    da = da.omezarr.assign_grid(scale={dim: scale}, translation={dim: translation})
    return da + da[dim]


def position_error(tree: xr.DataTree, dim: str, size: int, margin: int = 0) -> list[float]:
    """Return for each level the largest distance of value and coordinate, in level-0 pixels, without cut blocks.

    Nor with the first and last `margin` pixels, where filters see what lies beyond the edge.
    """
    base = tree.omezarr.level(0)[dim].attrs["scale"]
    found = []
    for level in tree.omezarr.levels:
        whole = size // round(level[dim].attrs["scale"] / base)
        inner = level.isel({dim: slice(margin, whole - margin)})
        assert inner.size
        found.append(float(np.abs((inner - inner[dim]).values / base).max(initial=0.0)))
    return found


# --- position --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factors", [2, 3, 4])
def test_nearest_is_not_half_a_pixel_off(tmp_path: Path, version: str, factors: int) -> None:
    da = ramp({"y": 4, "x": 700})
    tree = da.omezarr.to_zarr(tmp_path / "a.zarr", method="nearest", factors={"x": factors}, levels=5, version=version)
    assert max(position_error(tree, "x", 700)) < 1e-9


INTERPOLATING = ["local_mean", "median", "gaussian", "resize", "zoom"]


@pytest.mark.parametrize("method", INTERPOLATING)
@pytest.mark.parametrize("factors", [2, 3, 4])
def test_what_is_smoothed_is_not_sampled_at_the_corner_of_the_block(
    tmp_path: Path, version: str, method: str, factors: int
) -> None:
    da = ramp({"y": 3, "x": 1001}).chunk(x=33)
    tree = da.omezarr.to_zarr(tmp_path / "a.zarr", method=method, factors={"x": factors}, levels=4, version=version)
    assert max(position_error(tree, "x", 1001, margin=4)) < 1e-9


def test_203_rows_are_not_scaled_by_a_ratio_of_shapes(tmp_path: Path, version: str) -> None:
    da = ramp({"y": 203, "x": 8}, "y")
    tree = da.omezarr.to_zarr(tmp_path / "a.zarr", factors={"y": 2}, levels=5, version=version)
    assert max(position_error(tree, "y", 203)) < 1e-9
    assert tree.omezarr.levels[4].omezarr.scale["y"] == 8.0


def test_factors_2_then_3_on_1001_pixels(tmp_path: Path, version: str) -> None:
    da = ramp({"y": 8, "x": 1001})
    tree = da.omezarr.to_zarr(tmp_path / "a.zarr", factors=[{"x": 2}, {"x": 3}], version=version)
    assert max(position_error(tree, "x", 1001)) < 1e-9


@pytest.mark.parametrize("translation", [0.0, 1000.25])
def test_translations_are_in_units_not_in_pixels(tmp_path: Path, version: str, translation: float) -> None:
    da = ramp({"y": 8, "x": 64}, scale=0.25, translation=translation)
    tree = da.omezarr.to_zarr(tmp_path / "a.zarr", factors={"x": 2}, levels=3, version=version)
    assert [lv.omezarr.translation["x"] for lv in tree.omezarr.levels] == [translation + t for t in (0, 0.125, 0.375)]


def test_a_slice_is_where_its_coordinates_are(tmp_path: Path, version: str) -> None:
    whole = ramp({"y": 8, "x": 64}).omezarr.to_zarr(tmp_path / "a.zarr", version=version).omezarr.level(0)
    part = whole.isel(x=slice(10, 40)).omezarr.to_zarr(tmp_path / "b.zarr", version=version).omezarr.level(0)
    assert part.omezarr.translation["x"] == 5.0
    np.testing.assert_array_equal(part.isel(y=0), part.x)


def test_transforms_of_group_and_dataset_are_composed(tmp_path: Path, version: str) -> None:
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=2 if version == "0.4" else 3)
    names = {} if version == "0.4" else {"dimension_names": ["y", "x"]}
    group.create_array("s0", data=np.zeros((4, 4), "u1"), **names)
    multiscale = {
        "axes": [{"name": dim, "type": "space"} for dim in "yx"],
        "datasets": [
            {
                "path": "s0",
                "coordinateTransformations": [
                    {"type": "scale", "scale": [2.0, 3.0]},
                    {"type": "translation", "translation": [10.0, 20.0]},
                ],
            }
        ],
        "coordinateTransformations": [
            {"type": "scale", "scale": [5.0, 7.0]},
            {"type": "translation", "translation": [1.0, 2.0]},
        ],
    }
    if version == "0.4":
        group.attrs["multiscales"] = [multiscale | {"version": "0.4"}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    da = xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr")
    assert da.omezarr.scale == {"y": 10.0, "x": 21.0}
    assert da.omezarr.translation == {"y": 51.0, "x": 142.0}


def test_a_dimension_of_one_pixel_keeps_its_scale(tmp_path: Path, version: str) -> None:
    da = xr.DataArray(np.zeros((1, 1, 16, 16)), dims=("t", "z", "y", "x"))
    da = da.omezarr.assign_grid(scale={"t": 30.0, "z": 5.0, "y": 0.5, "x": 0.5}, translation={"z": 20.0})
    da = da.omezarr.assign_grid(units={"t": "s", "z": "um", "y": "um", "x": "um"})
    tree = da.omezarr.to_zarr(tmp_path / "a.zarr", levels=3, version=version)
    for level in tree.omezarr.levels:
        assert (level.omezarr.scale["t"], level.omezarr.scale["z"]) == (30.0, 5.0)
        assert level.omezarr.translation["z"] == 20.0


# --- values ----------------------------------------------------------------------------------------------------------


def test_means_do_not_sink_from_level_to_level(tmp_path: Path, version: str) -> None:
    counts = xr.DataArray(np.random.default_rng(0).poisson(2.998, (512, 512)).astype("u2"), dims=("y", "x"))
    tree = counts.omezarr.to_zarr(tmp_path / "a.zarr", levels=5, version=version)
    for level in tree.omezarr.levels:
        assert abs(float(level.mean()) - float(counts.mean())) < 0.03


@pytest.mark.parametrize("method", ["gaussian", "resize", "zoom"])
def test_filters_round_and_do_not_cut_off(tmp_path: Path, version: str, method: str) -> None:
    # with casts that cut off, the mean sinks by half a count at each level
    counts = xr.DataArray(np.random.default_rng(0).poisson(2.998, (512, 512)).astype("u2"), dims=("y", "x"))
    tree = counts.omezarr.to_zarr(tmp_path / "a.zarr", method=method, levels=5, version=version)
    for level in tree.omezarr.levels:
        assert abs(float(level.mean()) - float(counts.mean())) < 0.05


@pytest.mark.parametrize("method", [name for name in METHODS if name != "laplacian"])
@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("int64", np.iinfo("int64").max),
        ("int64", np.iinfo("int64").min),
        ("uint64", np.iinfo("uint64").max),
        ("uint64", 2**53 + 1),
        ("uint32", 2**24 + 1),
        ("uint8", 1),
        ("bool", True),
        ("float16", 65504.0),
        ("float64", np.finfo("float64").max),
    ],
)
def test_a_constant_image_stays_constant(tmp_path: Path, version: str, method: str, dtype: str, value: Any) -> None:
    if not METHODS[method].exact_integers and np.dtype(dtype).kind in "iu":
        value = int(np.clip(value, -(2**53), 2**53))
    da = xr.DataArray(np.full((17, 23), value, dtype), dims=("y", "x"))
    for level in da.omezarr.to_zarr(tmp_path / "a.zarr", method=method, levels=4, version=version).omezarr.levels:
        assert level.dtype == dtype
        assert (level.values == np.asarray(value, dtype)).all()


@pytest.mark.parametrize("method", [name for name in METHODS if METHODS[name].skipna is not False])
def test_one_nan_spoils_no_other_pixel(tmp_path: Path, version: str, method: str) -> None:
    pixels = np.ones((64, 64), "float32")
    pixels[10, 10] = np.nan
    da = xr.DataArray(pixels, dims=("y", "x"))
    tree = da.omezarr.to_zarr(tmp_path / "a.zarr", method=method, levels=4, version=version)
    assert [int(np.isnan(level).sum()) for level in tree.omezarr.levels] == [1, 0, 0, 0]


@pytest.mark.parametrize("method", METHODS)
def test_pixels_do_not_depend_on_the_chunking(tmp_path: Path, version: str, method: str) -> None:
    da = ramp({"y": 45, "x": 131})
    da = da + np.random.default_rng(1).standard_normal(da.shape).astype("float32")
    options: dict[str, Any] = {"method": method, "factors": {"y": 2, "x": 3}, "levels": 3, "version": version}
    whole = da.omezarr.to_zarr(tmp_path / "a.zarr", **options)
    chunked = da.chunk(y=7, x=11).omezarr.to_zarr(tmp_path / "b.zarr", chunks={"y": 8, "x": 16}, **options)
    for one, other in zip(whole.omezarr.levels, chunked.omezarr.levels, strict=True):
        assert one.values.tobytes() == other.values.tobytes()


@pytest.mark.parametrize("method", [name for name in METHODS if METHODS[name].keeps_values])
def test_labels_beyond_2_to_the_53_stay_what_they_are(tmp_path: Path, version: str, method: str) -> None:
    known = np.array([0, 2**53, 2**53 + 1, 2**64 - 2, 2**64 - 1], "uint64")
    labels = np.random.default_rng(2).choice(known, (40, 50)).repeat(3, 0).repeat(3, 1)
    da = xr.DataArray(labels, dims=("y", "x"))
    tree = da.omezarr.to_zarr(tmp_path / "a.zarr", method=method, levels=5, version=version)
    for level in tree.omezarr.levels:
        assert set(level.values.ravel().tolist()) <= set(known.tolist())


def test_a_filter_leaves_channels_apart_and_writes_no_zeros(tmp_path: Path, version: str) -> None:
    pixels = np.stack([np.zeros((32, 32)), np.full((32, 32), 1000)]).astype("uint16")
    da = xr.DataArray(pixels, dims=("c", "y", "x"))
    for level in da.omezarr.to_zarr(tmp_path / "a.zarr", method="gaussian", levels=4, version=version).omezarr.levels:
        assert (level.isel(c=0) == 0).all()
        assert (level.isel(c=1) == 1000).all()


def test_a_laplacian_of_integers_is_refused_with_the_cure(tmp_path: Path, version: str) -> None:
    da = xr.DataArray(np.arange(64, dtype="uint16").reshape(8, 8), dims=("y", "x"))
    with pytest.raises(errors.DtypeError, match=r"astype\('float32'\)"):
        da.omezarr.to_zarr(tmp_path / "a.zarr", method="laplacian", version=version)
    assert not any(tmp_path.iterdir())


# --- lost ------------------------------------------------------------------------------------------------------------


def full() -> xr.DataArray:
    """Return an image with everything that other libraries lose."""
    rng = np.random.default_rng(0)
    times = np.array(["2024-05-01T10:00:00", "2024-05-01T10:00:31", "2024-05-01T10:01:07"], "datetime64[ns]")
    da = xr.DataArray(
        rng.integers(0, 4000, (2, 3, 1, 16, 18), dtype="u2"),
        dims=("c", "t", "z", "y", "x"),
        name="cells",
        attrs={"objective": {"NA": 1.4, "immersion": "oil"}, "exposures": [10, 20], "shape": (1, 2)},
        coords={
            "c": ["DAPI", "GFP"],
            "t": times,
            "wavelength": ("c", [450.0, 520.0]),
            "stage": (("t", "z"), rng.normal(size=(3, 1))),
            "operator": "Ada",
            "row": ("y", [f"row {i}" for i in range(16)]),
        },
    )
    return da.omezarr.assign_grid(
        scale={"z": 4.0, "y": 0.325, "x": 0.325}, translation={"z": 8.0, "y": -100.0, "x": 2048.5}, units="um"
    )


def test_nothing_is_lost(version: str) -> None:
    testing.assert_round_trip(full(), version=version, irregular="keep")


def test_units_given_stay(tmp_path: Path, version: str) -> None:
    tree = full().omezarr.to_zarr(tmp_path / "a.zarr", version=version, irregular="keep")
    assert {axis.name: axis.unit for axis in tree.omezarr.axes} == {
        "t": "second",
        "c": None,
        "z": "micrometer",
        "y": "micrometer",
        "x": "micrometer",
    }


def test_irregular_and_descending_coordinates_are_not_written_as_if_regular(tmp_path: Path, version: str) -> None:
    with pytest.raises(errors.IrregularCoordinateError, match="irregular at index 2"):
        full().omezarr.to_zarr(tmp_path / "a.zarr", version=version)
    for keep in ("raise", "keep"):
        with pytest.raises(errors.DescendingCoordinateError, match="sortby"):
            ramp({"y": 8, "x": 8}).isel(x=slice(None, None, -1)).omezarr.to_zarr(tmp_path / "a.zarr", irregular=keep)
    assert list(tmp_path.iterdir()) == []


def test_windows_of_uint16_are_not_0_to_510(tmp_path: Path, version: str) -> None:
    tree = full().omezarr.to_zarr(tmp_path / "a.zarr", version=version, irregular="keep")
    for channel in tree.omezarr.channels:
        assert (channel.window.min, channel.window.max) == (0.0, 65535.0)
        assert 0 <= channel.window.start < 510 < 3000 < channel.window.end <= 4000


# --- reading ---------------------------------------------------------------------------------------------------------


def test_a_store_of_many_shapes_opens_as_a_tree_by_itself(tmp_path: Path, version: str) -> None:
    da = ramp({"y": 64, "x": 64}, scale=1.0)
    da.omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=3, version=version)
    tree = xr.open_datatree(tmp_path / "a.ome.zarr")
    assert [level.shape for level in tree.omezarr.levels] == [(64, 64), (32, 32), (16, 16)]


def test_plain_zarr_stays_with_the_plain_engine(tmp_path: Path, version: str) -> None:
    plain = xr.Dataset({"v": ("x", [1, 2, 3])})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain.to_zarr(tmp_path / "plain.zarr", zarr_format=2 if version == "0.4" else 3)
    xr.testing.assert_identical(xr.open_dataset(tmp_path / "plain.zarr").load(), plain)
    with pytest.raises(errors.NotOmeZarrError, match="open_zarr"):
        xr.open_datatree(tmp_path / "plain.zarr", engine="omezarr")


def test_versions_that_are_not_known_are_refused_by_name(tmp_path: Path, version: str) -> None:
    ramp({"y": 8, "x": 8}).omezarr.to_zarr(tmp_path / "a.zarr", version=version)
    where = tmp_path / "a.zarr" / (".zattrs" if version == "0.4" else "zarr.json")
    said = json.loads(where.read_text())
    if version == "0.4":
        said["multiscales"][0]["version"] = "0.7"
    else:
        said["attributes"]["ome"]["version"] = "0.7"
    where.write_text(json.dumps(said))
    with pytest.raises(errors.VersionError, match=r"0\.7"):
        xr.open_datatree(tmp_path / "a.zarr", engine="omezarr")


def test_the_plain_engine_reads_zero_as_zero(tmp_path: Path, version: str) -> None:
    da = xr.DataArray(np.zeros((8, 8), "u2"), dims=("y", "x"))
    da.omezarr.to_zarr(tmp_path / "a.zarr", levels=2, version=version)
    level = xr.open_dataset(tmp_path / "a.zarr", engine="zarr", drop_variables=["1"], consolidated=False)["0"]
    assert level.dtype == "uint16"
    assert level.dims == ("y", "x")
    assert (level == 0).all()
