"""Contracts of every row of the table of methods that hold beside the references of ``test_methods.py``."""

from __future__ import annotations

import itertools
import math
from functools import partial

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from levels import bits, compute, takes
from scipy import ndimage

import xomezarr
from xomezarr.downsample import METHODS, Method, Smoothing, downsample, get_method, reducing
from xomezarr.downsample.filters import filtered
from xomezarr.errors import DtypeError, FactorError, MethodError, MultipleErrors
from xomezarr.grid import Grid

every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
FILTERS = {name: row for name, row in METHODS.items() if row.smoothing is not None}
SMOOTH = ["local_mean", "median", "nearest", "gaussian", "zoom", "resize"]


def dtype_for(method, *wanted):
    return next(dtype for dtype in wanted if takes(method, dtype))


def named(item):
    return getattr(item, "name", item)


# --- C3 ---------------------------------------------------------------------------------------------------------------

VALUED = [row for row in METHODS.values() if row.name != "laplacian"]


@pytest.mark.parametrize(
    ("method", "dtype"), [(m, d) for m in VALUED for d in ("f2", "f4", "f8", "c8", "c16") if takes(m, d)], ids=named
)
def test_c3_a_constant_with_holes_stays_that_constant_beside_them(method, dtype):
    rng = np.random.default_rng(8)
    for value in (0.1, 1 / 3, float(np.finfo(dtype).max), -float(np.finfo(dtype).smallest_subnormal), -0.0):
        data = np.full((21, 26), value, dtype)
        if np.dtype(dtype).kind == "c":
            data = data + 0 * data  # parts of either sign of zero are not what this is about
        whole = data[0, 0]
        data[rng.random(data.shape) < 0.5] = math.nan
        data[:9, :9] = math.nan
        for level in compute(da.from_array(data, (8, 5)), "yx", [{"y": 3, "x": 2}, {"x": 4}], method):
            known = ~np.isnan(level)
            assert known.any()
            assert bits(level[known]) == bits(np.full(level[known].shape, whole, dtype))


@pytest.mark.parametrize(
    ("method", "dtype"),
    [(m, d) for m in VALUED for d in ("u1", "i1", "i4", "f2", "f4", "f8") if takes(m, d)],
    ids=named,
)
def test_c3_no_value_lies_beyond_those_of_level_0(method, dtype):
    rng = np.random.default_rng(9)
    limits = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else np.finfo(dtype)
    top = float(limits.max) if dtype != "f8" else 1e300  # sums of larger ones do not fit float64
    low = float(limits.min) if dtype != "f8" else -top
    for pair in ((low, top), (top / 2, top), (0, 1)):
        data = rng.choice(np.array(pair), (19, 23)).astype(dtype)
        for level in compute(data, "yx", [{"y": 2, "x": 3}, {"y": 5, "x": 2}], method):
            assert np.isfinite(level).all()
            assert level.min() >= data.min()
            assert level.max() <= data.max()


@pytest.mark.parametrize("name", ["gaussian", "resize", "zoom", "local_mean", "median"])
def test_c3_float64_stays_within_its_own_last_bits(name):
    data = 0.1 + np.random.default_rng(5).integers(0, 2, (41, 37)) * np.spacing(0.1)
    for level in compute(data, "yx", [{"y": 3, "x": 5}, {"y": 2, "x": 2}], name):
        assert level.min() >= data.min()
        assert level.max() <= data.max()


INFINITE = {
    "local_mean": [math.inf, math.nan, -math.inf],
    "median": [math.inf, math.nan, -math.inf],
    "min": [1.0, -math.inf, -math.inf],
    "max": [math.inf, math.inf, -math.inf],
    "mode": [1.0, math.inf, -math.inf],
    "zoom": [math.inf, math.nan, -math.inf],
}


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", INFINITE)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_c3_infinities_are_numbers(name, dtype):
    pixels = np.array([math.inf, 1, math.inf, -math.inf, -math.inf, -math.inf], dtype)
    (level,) = compute(pixels, "x", [{"x": 2}], name)
    np.testing.assert_array_equal(level, INFINITE[name])


@pytest.mark.parametrize("method", FILTERS.values(), ids=FILTERS)
def test_c3_dimensions_that_do_not_shrink_are_not_smoothed(method):
    image = np.random.default_rng(0).random((3, 2, 24, 36))
    levels = compute(image, "tcyx", [{"y": 2, "x": 3}, {"y": 2}], method)
    for t, c in np.ndindex(3, 2):
        planes = compute(image[t, c], "yx", [{"y": 2, "x": 3}, {"y": 2}], method)
        for level, plane in zip(levels, planes, strict=True):
            assert bits(level[t, c]) == bits(plane)


def test_c3_laplacian_of_float32_is_that_of_float64_rounded_once():
    image = np.random.default_rng(1).random((64, 81)).astype("f4")
    steps = [{"y": 2, "x": 3}, {"y": 4, "x": 3}, {"y": 2}]
    for level, exact in zip(
        compute(image, "yx", steps, "laplacian"), compute(image.astype("f8"), "yx", steps, "laplacian"), strict=True
    ):
        assert bits(level) == bits(exact.astype("f4"))


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("size", [3, 2, 5])
@pytest.mark.parametrize("factor", [7, 16])
def test_c3_an_image_smaller_than_a_block_and_its_kernel(name, size, factor):
    data = np.random.default_rng(size).random((size, 40))
    for chunks in ((1, 40), (size, 9), (1, 1)):
        (level,) = compute(da.from_array(data, chunks), "yx", [{"y": factor, "x": 2}], name)
        assert level.shape == (1, 20)
        assert bits(level) == bits(compute(data, "yx", [{"y": factor, "x": 2}], name)[0])
        assert level.min() >= data.min()
        assert level.max() <= data.max()
    if name in ("gaussian", "resize"):
        sigma, edge = (factor / 3, "reflect") if name == "gaussian" else ((factor - 1) / 2, "mirror")
        (column,) = compute(data, "yx", [{"y": factor}], name)
        smooth = ndimage.gaussian_filter1d(data, sigma, axis=0, mode=edge, truncate=4)
        lower, upper = (min(i, size - 1) for i in ((factor - 1) // 2, factor // 2))
        np.testing.assert_allclose(column[0], (smooth[lower] + smooth[upper]) / 2, rtol=0, atol=1e-12)


def test_c3_straight_edges_stay_straight_in_mode():
    for column in range(1, 32):
        image = np.zeros((32, 32), "u2")
        image[:, column:] = 5
        for turned, axis in ((image, 0), (image.T, 1)):
            for level in compute(turned, "yx", [{"y": 2, "x": 2}] * 3, "mode"):
                assert (level == level.take([0], axis)).all()


def test_c3_mode_takes_as_many_sides_of_an_edge_as_it_gives():
    # an edge at every column of 64: over all of them, what each level has gained is what it has lost
    for factor in (2, 4):
        shares = []
        for column in range(65):
            image = (np.arange(64) >= column).astype("u1")
            level = compute(image, "x", [{"x": factor}] * 2, "mode")[1]
            shares.append(int(level.sum()) * factor**2 - int(image.sum()))
        assert abs(np.mean(shares)) < 1


# --- C2 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("boundary", ["pad", "trim"])
def test_c2_each_dimension_has_its_own_factor_and_its_own_ramp(name, boundary):
    sizes, steps = {"z": 41, "y": 90, "x": 121}, [{"z": 2, "y": 3, "x": 4}, {"y": 2, "x": 2}]
    for axis, dim in enumerate(sizes):
        ramp = np.arange(sizes[dim], dtype="f8").reshape([-1 if d == dim else 1 for d in sizes])
        image = xr.DataArray(np.broadcast_to(ramp, tuple(sizes.values())), dims=list(sizes))
        image = image.omezarr.assign_grid(scale=dict.fromkeys(sizes, 1.0))
        tree = image.omezarr.pyramid(method=name, factors=steps, boundary=boundary)
        for level in tree.omezarr.levels[1:]:
            found = np.moveaxis(level.values, axis, -1)[..., 4:-5]
            expected = level[dim].values[4:-5]
            assert expected.size
            np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), rtol=0, atol=1e-10)


def test_c2_what_is_least_and_most_of_a_ramp_lies_about_the_centre():
    grid = Grid(0.5, -7.0, 600)
    steps = [{"x": 2}, {"x": 3}, {"x": 5}]
    lowest, highest = (compute(grid.coordinates, "x", steps, name) for name in ("min", "max"))
    for step, least, most in zip(steps, lowest, highest, strict=True):
        grid = grid.coarsen(step["x"])
        np.testing.assert_allclose((least + most) / 2, grid.coordinates, rtol=1e-13)


# --- C4 ---------------------------------------------------------------------------------------------------------------


@every_method
@pytest.mark.parametrize("holes", [False, True])
def test_c4_blocks_and_tiles_of_a_big_image_do_not_show(method, holes, monkeypatch):
    # larger than what is worked on at once, so that tiles have borders of their own
    dtype = "f8" if holes else dtype_for(method, "u2", "f8")
    data = (np.random.default_rng(2).standard_normal((700, 900)) * 50 + 1000).astype(dtype)
    if holes:
        data[3, 5] = math.nan  # in one tile only
    steps = [{"y": 2, "x": 3}, {"y": 3, "x": 2}]
    expected = [bits(level) for level in compute(data, "yx", steps, method)]
    chunked = compute(da.from_array(data, ((333, 367), (1, 500, 399))), "yx", steps, method)
    assert [bits(level) for level in chunked] == expected
    monkeypatch.setattr("xomezarr.downsample.sources.BLOCK_BYTES", 100_000)
    assert downsample(data, "yx", steps, method)[0].npartitions > 4
    assert [bits(level) for level in compute(data, "yx", steps, method)] == expected


@every_method
def test_c4_a_level_does_not_depend_on_which_other_levels_are_asked_for(method):
    data = np.random.default_rng(3).standard_normal((9, 21, 26))
    data[data > 1.5] = math.nan
    source = da.from_array(data, (4, 8, 9))
    steps = [{"z": 2, "y": 5, "x": 3}, {"z": 3, "x": 2}, {"y": 4, "x": 5}]
    together = compute(source, "zyx", steps, method)
    for k, level in enumerate(together):
        (alone,) = dask.compute(downsample(source, "zyx", steps, method)[k], scheduler="synchronous")
        assert bits(alone) == bits(level)
        (fewer,) = dask.compute(downsample(source, "zyx", steps[: k + 1], method)[k], scheduler="synchronous")
        assert bits(fewer) == bits(level)


# --- integers that filters cannot compute with ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gaussian", "resize", "zoom"])
@pytest.mark.parametrize(("dtype", "value"), [("u8", 2**64 - 1), (">i8", -(2**53) - 1)])
def test_c3_integers_beyond_float64_are_refused_before_anything_is_written(tmp_path, name, dtype, value):
    data = np.zeros((12, 12), dtype)
    data[7, 8] = value
    with pytest.raises(DtypeError, match=str(value)):
        xr.DataArray(data, dims=("y", "x")).omezarr.to_zarr(tmp_path / "a.zarr", method=name, factors=2)
    assert list(tmp_path.iterdir()) == []
    # where they are only found out while it is written, no store is left
    lazy = xr.DataArray(da.from_array(data, 5), dims=("y", "x"))
    with pytest.raises(DtypeError, match=str(value)):
        lazy.omezarr.to_zarr(tmp_path / "a.zarr", method=name, factors=2)
    assert not (tmp_path / "a.zarr").exists()


# --- functions --------------------------------------------------------------------------------------------------------


def test_functions_are_given_blocks_and_the_axes_that_shrink():
    seen = set()

    def spy(blocks, axis):
        seen.add((blocks.shape[1:], axis, blocks.dtype.str, blocks.flags.c_contiguous))
        return blocks.sum(axis=axis)

    data = np.arange(2 * 8 * 6, dtype="u4").reshape(2, 8, 6)
    (level,) = compute(data, "cyx", [{"y": 4, "x": 2}], spy)
    np.testing.assert_array_equal(level, data.reshape(2, 2, 4, 3, 2).sum((2, 4)))
    for shape, axis, dtype, contiguous in seen:
        assert isinstance(axis, tuple)
        assert [shape[a - 1] for a in axis] == [4, 2]
        assert dtype == "<u4"
        assert contiguous


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("u1", 2.5, 2),
        ("u1", 3.5, 4),
        ("u1", -0.5, 0),
        ("i2", -1.5, -2),
        ("u1", 255.4, 255),
        ("i8", 7.0, 7),
        ("?", 1, 1),
    ],
)
def test_c3_results_of_functions_are_rounded_half_to_even(dtype, value, expected):
    (level,) = compute(np.zeros(6, dtype), "x", [{"x": 2}], lambda blocks, axis: np.full(len(blocks), value))
    assert level.dtype == np.dtype(dtype)
    assert level.tolist() == [expected] * 3


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("u1", 256),
        ("u1", 255.5),
        ("u1", -1),
        ("i1", -129.0),
        ("u8", 2.0**64),
        ("i8", 2.0**63),
        ("i8", np.uint64(2**63)),
        ("u2", math.nan),
        ("i4", math.inf),
        ("f4", 1e300),
        ("f2", 70_000.0),
        ("?", 2),
        ("f8", 1j),
    ],
)
def test_c7_a_value_that_the_dtype_cannot_hold_is_an_error(dtype, value):
    def too_much(blocks, axis):
        # only where there is something, so that a trial on nothing does not find it
        return np.where(blocks.any(axis=axis), value, np.zeros((), np.asarray(value).dtype))

    with pytest.raises(DtypeError, match="too_much") as error:
        compute(np.ones((4, 6), dtype), "yx", [{"y": 2, "x": 2}], too_much)
    assert str(np.dtype(dtype)) in str(error.value)


def no_reduction(blocks, axis):
    return blocks


def one_number(blocks, axis):
    return float(blocks.sum())


def dimensions_kept(blocks, axis):
    return blocks.max(axis=axis, keepdims=True)


def fails(blocks, axis):
    raise ZeroDivisionError("of its own")


def names_no_axis(blocks):
    return blocks


def makes_text(blocks, axis):
    return blocks.max(axis=axis).astype(str)


class Unread:
    """Pixels that nobody may read."""

    shape = (64, 64)
    ndim = 2
    dtype = np.dtype("f4")

    def __array__(self, *_, **__):
        raise AssertionError("all was read")

    def __getitem__(self, index):
        raise AssertionError(f"{index} was read")


def unreadable(dtype="f4"):
    def explode(block):
        raise AssertionError("a block was computed")

    lazy = da.zeros((64, 64), chunks=16, dtype=dtype).map_blocks(explode, dtype=dtype, meta=np.empty((0, 0), dtype))
    return xr.DataArray(lazy, dims=("y", "x"))


@pytest.mark.parametrize("function", [no_reduction, one_number, dimensions_kept, names_no_axis, makes_text])
def test_c7_functions_that_do_not_reduce_blocks_are_named_before_pixels_are_read(tmp_path, function):
    with pytest.raises(MethodError, match=function.__name__):
        downsample(Unread(), "yx", [{"y": 2, "x": 2}], get_method(function))
    with pytest.raises(MethodError, match=function.__name__):
        unreadable().omezarr.to_zarr(tmp_path / "a.zarr", method=function, factors=2)
    with pytest.raises(MethodError, match=function.__name__):
        unreadable().omezarr.pyramid(method=function, factors=2)
    assert list(tmp_path.iterdir()) == []


def test_c7_a_function_that_fails_is_named_and_leaves_no_store(tmp_path):
    image = xr.DataArray(np.ones((8, 8)), dims=("y", "x"))
    with pytest.raises(MethodError, match=r"fails.*of its own"):
        image.omezarr.to_zarr(tmp_path / "a.zarr", method=fails, factors=2)
    assert list(tmp_path.iterdir()) == []


def test_functions_see_nan_as_it_is():
    (level,) = compute(np.array([1.0, math.nan, 3.0, 5.0]), "x", [{"x": 2}], np.max)
    np.testing.assert_array_equal(level, [math.nan, 5.0])
    (level,) = compute(np.array([1.0, math.nan, 3.0, 5.0]), "x", [{"x": 2}], np.nanmax)
    np.testing.assert_array_equal(level, [1.0, 5.0])


@pytest.mark.parametrize("function", [np.mean, np.sum, np.std])
def test_c4_sums_of_functions_do_not_depend_on_chunks(function):
    rng = np.random.default_rng(1)
    data = rng.standard_normal((13, 17, 11)) * 10.0 ** rng.integers(-3, 4, (13, 17, 11))
    steps = [{"z": 2, "y": 3, "x": 4}, {"y": 2, "x": 2}]
    expected = [bits(level) for level in compute(data, "zyx", steps, function)]
    for chunks in ((1, 1, 11), (5, 4, 3), (13, 17, 1)):
        assert [bits(level) for level in compute(da.from_array(data, chunks), "zyx", steps, function)] == expected
    for order in itertools.permutations(range(3)):
        dims = ["zyx"[axis] for axis in order]
        levels = compute(data.transpose(order), dims, steps, function)
        assert [bits(level.transpose(np.argsort(order))) for level in levels] == expected


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_filter_of_ones_own_is_a_row_with_its_smoothing(tmp_path, version):
    wide = Smoothing(float, "mirror")
    row = Method("wide gaussian", "a filter", partial(filtered, smoothing=wide), smoothing=wide)
    image = xr.DataArray(np.random.default_rng(4).random((50, 61)), dims=("y", "x"))
    tree = image.chunk(y=9, x=13).omezarr.to_zarr(tmp_path / "a.zarr", method=row, factors=3, levels=2, version=version)
    smooth = ndimage.gaussian_filter(image.values, 3, mode="mirror", truncate=4)
    at = [np.minimum(np.arange(math.ceil(n / 3)) * 3 + 1, n - 1) for n in image.shape]
    np.testing.assert_allclose(tree.omezarr.levels[1], smooth[np.ix_(*at)], rtol=0, atol=1e-9)
    attributes = zarr.open_group(tmp_path / "a.zarr", mode="r").attrs.asdict()
    assert attributes.get("ome", attributes)["multiscales"][0]["type"] == "wide gaussian"
    assert xomezarr.validate(tmp_path / "a.zarr").valid


def test_a_row_with_a_kernel_that_is_wrong_is_named(tmp_path):
    def broken(dtype, skipna, pixels):
        return reducing(dtype, skipna, pixels, function=lambda blocks, axis: blocks)

    row = Method("broken", "a row", broken)
    with pytest.raises(MethodError):
        unreadable().omezarr.to_zarr(tmp_path / "a.zarr", method=row, factors=2)
    assert list(tmp_path.iterdir()) == []


def test_c7_independent_faults_are_told_together():
    with pytest.raises(MultipleErrors) as both:
        unreadable("u2").omezarr.pyramid(method="laplacian", factors={"q": 2})
    assert {type(error) for error in both.value.exceptions} == {DtypeError, FactorError}
