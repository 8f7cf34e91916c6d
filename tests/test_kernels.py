"""What kernels promise whatever runs them: sections, tiles, halos, finite numbers, one NaN, and who may ask what."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import partial

import dask
import dask.array
import numpy as np
import pytest
import scipy.ndimage
import xarray as xr
from levels import compute, takes

import xomezarr  # noqa: F401 - registers the accessors
from xomezarr import errors
from xomezarr.downsample import METHODS, Method, Section, Smoothing, downsample, reducing
from xomezarr.downsample.means import _paired_sums
from xomezarr.downsample.sections import tiles

named = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


@pytest.mark.parametrize("skipna", [None, True, False])
@pytest.mark.parametrize("method", [m for m in METHODS.values() if m.name != "laplacian"], ids=lambda m: m.name)
def test_c3_finite_numbers_stay_finite(method, skipna):
    largest = np.finfo("f8").max
    data = np.random.default_rng(13).choice([largest, -largest, 1.0], (24, 30))
    data[:2] = [[largest] * 15 + [-largest] * 15, [largest, -largest] * 15]
    options = {"skipna": skipna} if method.skipna is None else {}
    for level in compute(data, "yx", [{"y": 2, "x": 2}, {"y": 2, "x": 3}], method, **options):
        assert np.isfinite(level).all()


@pytest.mark.parametrize("method", ["gaussian", "resize", "zoom"])
def test_c3_filters_of_the_largest_numbers_are_what_they_are_of_small_ones(method):
    data = np.random.default_rng(19).choice([1.0, 0.9, -1.0, 0.0], (20, 24))
    large, small = (compute(d, "yx", [{"y": 2, "x": 3}], METHODS[method])[0] for d in (data * 2.0**1023, data))
    np.testing.assert_array_equal(large, small * 2.0**1023)


@named
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_c3_there_is_one_nan(method, dtype):
    data = np.random.default_rng(14).choice([np.inf, -np.inf, 1.0, np.nan, -np.nan], (12, 14)).astype(dtype)
    if method.name == "nearest":  # takes pixels as they are
        return
    with np.errstate(all="raise"):
        levels = compute(data, "yx", [{"y": 2, "x": 2}, {"y": 3}], method)
    wanted = np.array(np.nan, dtype).tobytes()
    found = {value.tobytes() for level in levels for value in level[np.isnan(level)].ravel()}
    assert found <= ({wanted} if method.name != "mode" else found)


@pytest.mark.parametrize("skipna", [np.False_, False])
def test_c3_numpys_false_is_false(skipna):
    data = np.array([[1, np.nan], [2, 4]])
    for method in METHODS.values():
        if method.skipna is None and method.name != "laplacian":
            assert np.isnan(compute(data, "yx", [{"y": 2, "x": 2}], method, skipna=skipna)[0]).all()


def test_c3_the_methods_that_a_filter_names_as_exact_are_those():
    data = np.array([2**60, 0])
    with pytest.raises(errors.DtypeError) as error:
        compute(data, "x", [{"x": 2}], METHODS["gaussian"])
    for name, method in METHODS.items():
        assert (f'"{name}"' in str(error.value)) == (method.exact_integers and takes(method, "i8"))


@pytest.mark.parametrize("factor", [2, 3, 4, 8, 16])
@pytest.mark.parametrize("shape", [(2048, 2048), (256, 256, 256)])
def test_tiles_of_filters_are_not_mostly_halo(factor, shape):
    halo = METHODS["gaussian"].make(np.dtype("u2"), skipna=True, pixels=1).halo(factor)
    sections = [Section(0, n, n, factor, halo) for n in shape]
    read = filtered_along_the_first_axis = 0
    for _, source, parts in tiles(sections, 2**18):
        sizes = [s.stop - s.start for s in source[1:]]
        read = max(read, np.prod(sizes))
        # along the first axis no pixel is computed twice; the others are as wide there as they are read
        filtered_along_the_first_axis += parts[0].count * np.prod(sizes[1:])
    assert filtered_along_the_first_axis <= 1.6 * shape[0] // factor * np.prod(shape[1:])
    assert read <= max(2**18, np.prod([min(n, 20 * halo) for n in shape]))


def test_c7_a_factor_beyond_the_image_takes_no_memory():
    image = xr.DataArray(np.ones((10, 10, 10)), dims=("z", "y", "x"))
    tree = image.omezarr.pyramid(method=np.max, factors=2000, levels=2)
    assert tree["1/image"].values == 1


def test_c7_masks_are_not_dropped_in_silence():
    masked = dask.array.ma.masked_array(np.ones((8, 8)), np.eye(8, dtype=bool))
    for array in (masked, masked.compute()):
        with pytest.raises(errors.DtypeError, match="filled"):
            downsample(array, "yx", [{"x": 2}], METHODS["local_mean"])
    # xarray makes NaN of what is masked
    image = xr.DataArray(masked.compute(), dims=("y", "x"))
    level = image.omezarr.pyramid(levels=2, factors=2, method="max", skipna=False)
    assert np.isnan(np.diag(level["1/image"])).all()
    with pytest.raises(errors.MethodError, match="filled"):
        xr.DataArray(np.ones((8, 8)), dims=("y", "x")).omezarr.pyramid(
            method=lambda blocks, axis: np.ma.masked_equal(blocks.max(axis=axis), 1), factors=2, levels=2
        )


def test_c3_functions_that_sort_in_place_change_nothing(tmp_path):
    pixels = np.random.default_rng(16).random((64, 64))
    before = pixels.copy()
    image = xr.DataArray(pixels, dims=("y", "x"))
    tree = image.omezarr.to_zarr(
        tmp_path / "a.zarr", method=partial(np.median, overwrite_input=True), factors={"x": 4}, levels=2
    )
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(tree.omezarr.level(0), before)
    np.testing.assert_array_equal(tree.omezarr.level(1), np.median(before.reshape(64, 16, 4), axis=2))
    assert tree.omezarr.metadata.multiscale.metadata["kwargs"]["overwrite_input"] is True


def test_functions_are_tried_for_their_shape_not_for_what_they_make_of_ones():
    def signal_to_noise(blocks, axis):
        return blocks.mean(axis=axis) / blocks.std(axis=axis)

    image = xr.DataArray(np.arange(16.0).reshape(4, 4), dims=("y", "x"))
    with np.errstate(all="ignore"):
        tree = image.astype("u2").omezarr.pyramid(method=signal_to_noise, factors=2, levels=2)
    assert tree["1/image"].values.tolist() == [[1, 2], [5, 6]]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (replace(METHODS["local_mean"], name="nearest"), "my_nearest"),
        (replace(METHODS["local_mean"], name=""), "name"),
        (replace(METHODS["local_mean"], name="mine", kernel=None), "kernel"),
        (replace(METHODS["local_mean"], name="mine", sample=lambda f: f), "outside"),
        (replace(METHODS["local_mean"], name="mine", kernel=lambda *a: 1 / 0), "ZeroDivisionError"),
        (replace(METHODS["local_mean"], name="mine", kernel=lambda *a: None), "NoneType"),
        (Method("mine", "", partial(reducing, function=np.max), skipna=False), "never leaves NaN out"),
    ],
)
def test_c7_rows_that_cannot_be_are_refused(row, says):
    image = xr.DataArray(np.ones((8, 8)), dims=("y", "x"))
    with pytest.raises(errors.MethodError, match=says):
        image.omezarr.pyramid(method=row, factors=2, levels=2, skipna=True)


def test_a_row_says_what_it_smooths_with():
    image = xr.DataArray(np.random.default_rng(17).random((16, 16)), dims=("y", "x"))
    wide = replace(METHODS["gaussian"], name="wide", smoothing=Smoothing(lambda f: 3.0 * f, "mirror"))
    level = image.omezarr.pyramid(method=wide, factors={"x": 3}, levels=2)["1/image"]
    expected = scipy.ndimage.gaussian_filter1d(image.values, 9.0, axis=1, mode="mirror", truncate=4.0)[:, 1::3]
    np.testing.assert_allclose(level[:, :5], expected[:, :5], atol=1e-12)
    with pytest.raises(errors.MethodError, match="wrap"):
        Smoothing(lambda f: f, "wrap")


def test_a_row_moves_no_dimension_that_does_not_shrink(tmp_path):
    row = Method("last", "", partial(reducing, function=np.max), sample=lambda f: f - 1 if f > 1 else 0.5)
    image = xr.DataArray(np.ones((8, 8)), dims=("y", "x"), coords={"x": np.arange(8.0)})
    levels = image.omezarr.to_zarr(tmp_path / "a.zarr", method=row, factors={"x": 2}, levels=2).omezarr.levels
    assert levels[0].x.values[0] == 0.0
    assert levels[1].x.values.tolist() == [1.0, 3.0, 5.0, 7.0]
    assert levels[1].omezarr.translation["y"] == 0.0


@named
def test_rows_survive_pickling(method):
    assert pickle.loads(pickle.dumps(method)) == method


@pytest.mark.parametrize("values", [[0, 1, 2], [0.0, -0.0, 1.0, np.nan], [1j, 2, np.nan]])
def test_both_ways_of_counting_agree(values, monkeypatch):
    data = np.random.default_rng(18).choice(np.array(values), (30, 45))
    expected = compute(data, "yx", [{"y": 3, "x": 5}, {"y": 5}], METHODS["mode"])
    monkeypatch.setattr("xomezarr.downsample.modes.PAIRS_PIXELS", 0)
    levels = compute(data, "yx", [{"y": 3, "x": 5}, {"y": 5}], METHODS["mode"])
    assert [level.tobytes() for level in levels] == [level.tobytes() for level in expected]


def test_how_the_levels_were_made_stays_with_their_tree(tmp_path):
    image = xr.DataArray(np.random.default_rng(0).random((16, 16)), dims=("y", "x"))
    options = {"method": partial(np.percentile, q=90), "factors": 3, "levels": 2, "boundary": "trim"}
    direct = image.omezarr.to_zarr(tmp_path / "a.zarr", **options).omezarr.metadata.multiscale
    again = image.omezarr.pyramid(**options).omezarr.to_zarr(tmp_path / "b.zarr").omezarr.metadata.multiscale
    assert again.type == direct.type == "numpy.percentile"
    assert again.metadata == direct.metadata
    assert direct.metadata["kwargs"] == {"q": 90, "factors": [{"y": 3, "x": 3}], "boundary": "trim"}
    (named,) = [image.omezarr.pyramid(method=np.maximum.reduce, levels=2, factors=2).encoding["method"]]
    assert named == "numpy.maximum.reduce"


def test_c7_independent_faults_are_told_together():
    image = xr.DataArray(np.ones((4, 4), "M8[s]"), dims=("y", "x"))
    with pytest.raises(errors.MultipleErrors) as error:
        image.omezarr.pyramid(method="gauss", factors=[{"q": 2}, {"x": 0}], levels=0, skipna="no")
    for said in ("gauss", "datetime64", "'q'", "['x'] is 0", "levels=0", "skipna"):
        assert said in str(error.value)


@pytest.mark.parametrize("factors", [[], (), np.array([], int)])
def test_c7_no_factors_are_no_step(factors):
    with pytest.raises(errors.FactorError, match="levels=1"):
        xr.DataArray(np.ones((4, 4)), dims=("y", "x")).omezarr.pyramid(factors=factors)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"skipna": 0}, errors.MethodError, "skipna=0"),
        ({"factors": 2**63}, errors.FactorError, str(2**63)),
        ({"factors": {"x": np.True_}}, errors.FactorError, "True"),
    ],
)
def test_c7_what_looks_like_something_else_is_refused(options, error, says):
    with pytest.raises(error, match=says):
        xr.DataArray(np.ones((10, 10)), dims=("y", "x")).omezarr.pyramid(method="median", **options)


@named
@pytest.mark.parametrize("boundary", ["pad", "trim"])
def test_any_cut_of_the_result_is_the_result(method, boundary):
    # what an engine, or an update of a region, does: sections begin with the blocks that are wanted
    rng = np.random.default_rng(15)
    data = rng.integers(0, 4, (23, 30)).astype("f4")
    factors = (2, 3)
    kernel = method.make(data.dtype, skipna=True, pixels=6)
    whole = [
        Section(0, n if boundary == "pad" else n // f * f, n, f, kernel.halo(f))
        for n, f in zip(data.shape, factors, strict=True)
    ]
    expected = kernel.start(data[tuple(section.read for section in whole)], whole)
    for _ in range(20):
        cut = []
        for section in whole:
            first = int(rng.integers(0, section.count))
            cut.append((first, int(rng.integers(first + 1, section.count + 1))))
        parts = [section.part(*blocks) for section, blocks in zip(whole, cut, strict=True)]
        part = kernel.start(data[tuple(section.read for section in parts)], parts)
        wanted = expected[:, *(slice(*blocks) for blocks in cut)]
        assert np.ascontiguousarray(part).tobytes() == np.ascontiguousarray(wanted).tobytes()


def test_sections_are_whole_blocks():
    with pytest.raises(AssertionError, match="begins with a block"):
        Section(1, 4, 8, 2)
    with pytest.raises(AssertionError, match="ends with a block"):
        Section(0, 3, 8, 2)
    with pytest.raises(AssertionError, match="within its level"):
        Section(0, 10, 8, 2)
    assert Section(4, 7, 7, 2).count == 2


@pytest.mark.parametrize("dtype", ["u1", "i1", "?", "u2", "i2"])
@pytest.mark.parametrize("value", ["lowest", "highest", "random"])
@pytest.mark.parametrize("shape", [(6, 8), (7, 9), (1, 2), (5, 3, 11)])
def test_neighbours_in_memory_are_summed_as_one_number(dtype: str, value: str, shape: tuple[int, ...]) -> None:
    kind = np.dtype(dtype)
    low, high = (0, 1) if kind.kind == "b" else (int(np.iinfo(kind).min), int(np.iinfo(kind).max))
    rng = np.random.default_rng(0)
    filled = {
        "lowest": np.full(shape, low, kind),
        "highest": np.full(shape, high, kind),
        "random": rng.integers(low, high, shape, "i8", endpoint=True).astype(kind),
    }[value]
    factors = (3,) * (len(shape) - 1) + (2,)
    counts = [-(-n // f) for n, f in zip(shape, factors, strict=True)]
    padded = np.zeros([n * f for n, f in zip(counts, factors, strict=True)], "i8")
    padded[tuple(map(slice, shape))] = filled
    split = padded.reshape([n for pair in zip(counts, factors, strict=True) for n in pair])
    wanted = split.sum(axis=tuple(range(1, 2 * len(shape), 2)))

    room = np.empty(filled.nbytes + 64, "u1")
    shifted = room[kind.itemsize :][: filled.nbytes].view(kind).reshape(shape)  # begins between two wider numbers
    shifted[...] = filled
    for layout in (filled, np.asfortranarray(filled.T).T, shifted):
        sums = _paired_sums(layout, factors)
        if layout is filled and shape[-1] % 2 == 0:  # else lines begin between two wider numbers
            assert sums is not None
        if sums is not None:
            np.testing.assert_array_equal(sums, wanted)
    assert _paired_sums(filled[..., ::-1], factors) is None
    assert _paired_sums(filled.astype("i4"), factors) is None
