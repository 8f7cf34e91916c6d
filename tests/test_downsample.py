"""Levels of a pyramid: values (C3), positions (C2), chunks (C4), coverage (C5), laziness (C9) and errors (C7)."""

from __future__ import annotations

import copy
import itertools
import math
from fractions import Fraction

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from levels import bits, compute, takes

from xomezarr.downsample import METHODS, Section, check_dtype, default_method, downsample, get_method
from xomezarr.downsample.levels import aligned_chunks
from xomezarr.errors import (
    AxisError,
    ChunkError,
    DtypeError,
    EmptyDimensionError,
    FactorError,
    MethodError,
    MultipleErrors,
    OmeZarrError,
)
from xomezarr.grid import Grid

LOCAL_MEAN = METHODS["local_mean"]
NEAREST = METHODS["nearest"]
INTEGERS = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", ">u2", ">i8"]
FLOATS = ["f2", "f4", "f8", ">f4", ">f8"]
COMPLEX = ["c8", "c16"]
DTYPES = [*INTEGERS, *FLOATS, *COMPLEX]


KEEPING_CONSTANTS = [(method, dtype) for method in METHODS.values() for dtype in DTYPES if takes(method, dtype)]
KEEPING_CONSTANTS = [pair for pair in KEEPING_CONSTANTS if pair[0].name != "laplacian"]


# --- oracle: which level-0 pixels a pixel covers, by lists of indices alone -----------------------------------------


def covered(size, factors, boundary):
    """For each level, the lists of level-0 indices that its pixels cover along one dimension."""
    pixels = [[i] for i in range(size)]
    levels = []
    for factor in factors:
        if len(pixels) > 1:
            blocks = [pixels[i : i + factor] for i in range(0, len(pixels), factor)]
            if boundary == "trim" and len(blocks[-1]) < factor and len(blocks) > 1:
                blocks.pop()
            pixels = [list(itertools.chain(*block)) for block in blocks]
        levels.append(pixels)
    return levels


def sampled(size, factors, boundary):
    """For each level, the level-0 index that nearest takes for each of its pixels."""
    pixels = list(range(size))
    levels = []
    for factor in factors:
        if len(pixels) > 1:
            blocks = [pixels[i : i + factor] for i in range(0, len(pixels), factor)]
            if boundary == "trim" and len(blocks[-1]) < factor and len(blocks) > 1:
                blocks.pop()
            pixels = [block[min((factor - 1) // 2, len(block) - 1)] for block in blocks]
        levels.append(pixels)
    return levels


def exact_levels(data, dims, steps, boundary):
    """The exact mean of each pixel of each level, as fractions."""
    along = [covered(n, [s.get(d, 1) for s in steps], boundary) for d, n in zip(dims, data.shape, strict=True)]
    levels = []
    for k in range(len(steps)):
        blocks = [lists[k] for lists in along]
        level = np.empty([len(lists) for lists in blocks], object)
        for index in np.ndindex(*level.shape):
            block = data[np.ix_(*(blocks[a][i] for a, i in enumerate(index)))].ravel().tolist()
            level[index] = Fraction(sum(Fraction(value) for value in block), len(block))
        levels.append(level)
    return levels


@st.composite
def cases(draw, dtypes, max_side=7):
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    ndim = draw(st.integers(1, 4))
    dims = draw(st.permutations(["t", "c", "z", "y", "x", "row"]))[:ndim]
    shape = tuple(draw(st.integers(1, max_side if ndim < 4 else 4)) for _ in dims)
    steps = draw(
        st.lists(st.dictionaries(st.sampled_from(dims), st.integers(1, 5), max_size=ndim), min_size=1, max_size=3)
    )
    elements = {}
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        near = st.sampled_from([info.min, info.min + 1, info.max - 1, info.max, 0, 1])
        elements = {"elements": st.one_of(near, st.integers(info.min, info.max), st.integers(0, 9))}
    elif dtype.kind == "f":
        elements = {"elements": st.floats(-1000, 1000, width=16)}
    elif dtype.kind == "c":
        parts = st.floats(-1000, 1000, width=16)
        elements = {"elements": st.builds(complex, parts, parts)}
    data = draw(hnp.arrays(dtype, shape, fill=st.nothing(), **elements))
    chunks = tuple(draw(chunkings(n)) for n in shape)
    return data, dims, steps, draw(st.sampled_from(["pad", "trim"])), chunks


@st.composite
def chunkings(draw, size):
    borders = sorted(draw(st.sets(st.integers(1, size - 1)))) if size > 1 else []
    return tuple(b - a for a, b in itertools.pairwise([0, *borders, size]))


# --- C3: local_mean ---------------------------------------------------------------------------------------------------


@given(cases(INTEGERS))
@settings(max_examples=150)
def test_c3_integer_means_are_exact_and_rounded_once_half_to_even(case):
    data, dims, steps, boundary, chunks = case
    levels = compute(da.from_array(data, chunks), dims, steps, boundary=boundary)
    for level, exact in zip(levels, exact_levels(data, dims, steps, boundary), strict=True):
        assert level.dtype == data.dtype
        assert level.dtype.byteorder == data.dtype.byteorder
        assert level.shape == exact.shape
        # round() of a Fraction is half to even
        assert [int(v) for v in level.ravel()] == [round(v) for v in exact.ravel()]


@given(cases(FLOATS))
def test_c3_float_means_are_the_exact_ones_to_the_last_bit_of_the_dtype(case):
    data, dims, steps, boundary, chunks = case
    levels = compute(da.from_array(data, chunks), dims, steps, boundary=boundary)
    for level, exact in zip(levels, exact_levels(data, dims, steps, boundary), strict=True):
        assert level.dtype == data.dtype
        # sums of these values are exact in float64, so that the only roundings are those of the mean and the dtype
        expected = np.array([float(v) for v in exact.ravel()]).astype(data.dtype).reshape(exact.shape)
        np.testing.assert_array_equal(level, expected)


@given(cases(COMPLEX))
@settings(max_examples=30)
def test_c3_complex_means_are_means_of_their_parts(case):
    data, dims, steps, boundary, chunks = case
    levels = compute(da.from_array(data, chunks), dims, steps, boundary=boundary)
    parts = [exact_levels(part, dims, steps, boundary) for part in (data.real, data.imag)]
    for level, real, imaginary in zip(levels, *parts, strict=True):
        assert level.dtype == data.dtype
        np.testing.assert_array_equal(level.real, real.astype(np.float64).astype(data.real.dtype))
        np.testing.assert_array_equal(level.imag, imaginary.astype(np.float64).astype(data.real.dtype))


@pytest.mark.parametrize("dtype", ["u2", "f4", "f8"])
@pytest.mark.parametrize("boundary", ["pad", "trim"])
def test_c3_every_level_is_the_coarsened_mean_of_level_0(dtype, boundary):
    data = np.random.default_rng(1).integers(0, 60_000, (2, 17, 36, 45)).astype(dtype)
    image = xr.DataArray(data, dims=["c", "z", "y", "x"])
    steps = [{"y": 2, "x": 3}, {"z": 2, "y": 2, "x": 2}, {"z": 3, "y": 3}]
    total = {"z": 1, "y": 1, "x": 1}
    for step, level in zip(steps, compute(data, image.dims, steps, boundary=boundary), strict=True):
        total = {dim: f * step.get(dim, 1) for dim, f in total.items()}
        expected = image.astype("f8").coarsen(total, boundary=boundary).mean().values
        if dtype == "u2":
            expected = np.rint(expected)
        np.testing.assert_allclose(level, expected.astype(dtype), rtol=1e-15 if dtype == "f8" else 0)


@pytest.mark.parametrize("factor", [2, 3, 4, 5, 7, 16])
@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("u8", [2**64 - 1]),
        ("u8", [2**64 - 1, 0]),
        ("u8", [2**64 - 1, 2**64 - 2]),
        ("u8", [2**53 + 1, 2**53]),
        ("i8", [-(2**63), 2**63 - 1]),
        ("i8", [-(2**63)]),
        ("i8", [2**63 - 1]),
        ("i8", [-1, 0]),
        ("u4", [2**32 - 1]),
        ("u4", [2**32 - 1, 2**32 - 2]),
        ("i4", [-(2**31), 2**31 - 1]),
        ("i1", [-128, -127]),
        ("?", [True, False]),
    ],
)
def test_c3_extreme_integers_neither_wrap_nor_pass_through_floats(dtype, values, factor):
    data = np.array([values[i % len(values)] for i in range(11 * factor + 1)], dtype)
    data = np.stack([data, data[::-1]])
    steps = [{"x": factor}, {"x": 3, "y": 2}]
    for level, exact in zip(
        compute(data, ["y", "x"], steps), exact_levels(data, ["y", "x"], steps, "pad"), strict=True
    ):
        assert [int(v) for v in level.ravel()] == [round(v) for v in exact.ravel()]


def test_c3_sums_grow_beyond_32_bits_when_the_pyramid_is_deep():
    data = np.full((2, 2**17), 65_535, np.uint16)
    data[1, ::2] = 65_534
    steps = [{"x": 2}] * 17 + [{"y": 2}]
    *_, row, pixel = compute(data, ["y", "x"], steps)
    # row 1 is 65534.5 exactly: to even; all together are 65534.75
    assert row.ravel().tolist() == [65_535, 65_534]
    assert pixel.tolist() == [[65_535]]


@pytest.mark.parametrize(("method", "dtype"), KEEPING_CONSTANTS, ids=lambda item: getattr(item, "name", item))
def test_c3_a_constant_image_stays_constant(dtype, method):
    kind = np.dtype(dtype)
    values = {"?": [False, True], "b": [False, True]}.get(kind.kind)
    if kind.kind in "iu":
        limit = 2**64 if method.exact_integers else 2**53
        values = [max(np.iinfo(kind).min, -limit), min(np.iinfo(kind).max, limit), 1, 77]
    if kind.kind in "fc":
        limits = np.finfo(kind)
        values = [limits.max, -limits.max, limits.smallest_subnormal, 0.1, -0.0, 1 / 3, np.inf, -np.inf]
    if kind.kind == "c":
        values = [complex(a, b) for a, b in itertools.pairwise(values)]
    for value in values:
        data = np.full((7, 9, 5), value, kind)
        for level in compute(data, "zyx", [{"z": 2, "y": 3, "x": 2}, {"y": 3, "x": 5}, {"z": 7}], method):
            assert bits(level) == bits(np.full(level.shape, value, kind))


def test_c3_photon_counts_do_not_fade():
    counts = np.random.default_rng(7).poisson(0.5, (512, 512)).astype(np.uint16)
    *_, level3 = compute(counts, "yx", [{"y": 2, "x": 2}] * 3)
    again = counts
    for _ in range(3):
        again = np.rint(again.reshape(again.shape[0] // 2, 2, -1, 2).mean((1, 3))).astype(np.uint16)
    assert again.mean() < 0.05
    assert level3.mean() > 0.4
    exact = counts.reshape(64, 8, 64, 8).mean((1, 3))
    np.testing.assert_array_equal(level3, np.rint(exact))
    (*_, as_float) = compute(counts.astype(np.float32), "yx", [{"y": 2, "x": 2}] * 3)
    assert math.isclose(as_float.mean(dtype="f8"), counts.mean(), rel_tol=1e-7)


@pytest.mark.parametrize("dtype", [*FLOATS, *COMPLEX])
def test_c3_nan_is_skipped_or_not_as_in_xarray(dtype):
    rng = np.random.default_rng(3)
    data = rng.integers(-50, 50, (12, 18)).astype(dtype)
    data[rng.random(data.shape) < 0.4] = np.nan
    data[:4, :6] = np.nan
    image = xr.DataArray(data.astype(np.result_type(dtype, "f8")), dims=["y", "x"])
    steps = [{"y": 2, "x": 3}, {"y": 2, "x": 2}]
    for skipna in (None, True, False):
        levels = compute(da.from_array(data, (5, 7)), "yx", steps, skipna=skipna)
        for level, factors in zip(levels, [{"y": 2, "x": 3}, {"y": 4, "x": 6}], strict=True):
            # coarsen().mean() itself always skips
            blocks = image.coarsen(factors)
            expected = (blocks.reduce(np.mean) if skipna is False else blocks.mean()).values
            assert np.isnan(expected[0, 0])
            assert not np.isnan(expected).all() or skipna is False
            if np.dtype(dtype).kind == "f":
                np.testing.assert_array_equal(level, expected.astype(dtype))
            else:
                np.testing.assert_array_equal(np.isnan(level), np.isnan(expected))
                valid = ~np.isnan(expected)
                np.testing.assert_allclose(level[valid], expected[valid].astype(dtype), rtol=1e-15)


def test_c3_means_skip_nan_by_the_pixels_of_level_0():
    (_, level2) = compute(np.array([1.0, np.nan, 3.0, 5.0], "f4"), "x", [{"x": 2}, {"x": 2}])
    # the mean of means would be 2.5
    assert level2.tolist() == [3.0]


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_c3_infinities_are_those_of_numpys_mean(dtype):
    data = np.array([np.inf, 1, -np.inf, 1, np.inf, -np.inf, 2, 3], dtype)
    (level,) = compute(data, "x", [{"x": 2}])
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(level, data.reshape(4, 2).mean(1))


def test_c3_float64_means_stay_within_the_values_that_they_cover():
    rng = np.random.default_rng(5)
    data = 0.1 + rng.integers(0, 2, (30, 30)) * np.spacing(0.1)
    (level,) = compute(data, "yx", [{"y": 3, "x": 5}])
    blocks = data.reshape(10, 3, 6, 5)
    assert (level >= blocks.min((1, 3))).all()
    assert (level <= blocks.max((1, 3))).all()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_c3_minus_zero_beside_nan_stays_minus_zero(dtype):
    (level,) = compute(np.array([-0.0, np.nan, np.nan, -0.0], dtype), "x", [{"x": 2}])
    assert bits(level) == bits(np.array([-0.0, -0.0], dtype))


@pytest.mark.parametrize("skipna", [True, False])
def test_c4_there_is_one_nan(skipna):
    # negative ones, and ones with a payload
    data = np.array([0xFFF8000000000000, 0xFFF8000000000000, 0x7FF8000000000007, 0xFFF8000000000003], "u8").view("f8")
    (level,) = compute(data, "x", [{"x": 2}], skipna=skipna)
    assert bits(level) == bits(np.array([np.nan, np.nan]))


def test_c3_what_trim_left_out_at_one_level_counts_at_no_later_one():
    # 5 pixels, then 2 that cover 4 of them, then 1 although 3 are asked for
    level1, level2 = compute(np.array([8, 8, 8, 8, 200], "u1"), "x", [{"x": 2}, {"x": 3}], boundary="trim")
    assert level1.tolist() == [8, 8]
    assert level2.tolist() == [8]


# --- C3: nearest ------------------------------------------------------------------------------------------------------


@given(cases(DTYPES))
def test_c3_nearest_takes_the_lower_middle_pixel_of_each_block(case):
    data, dims, steps, boundary, chunks = case
    levels = compute(da.from_array(data, chunks), dims, steps, NEAREST, boundary=boundary)
    along = [sampled(n, [s.get(d, 1) for s in steps], boundary) for d, n in zip(dims, data.shape, strict=True)]
    for k, level in enumerate(levels):
        expected = data[np.ix_(*(indices[k] for indices in along))]
        assert bits(level) == bits(expected)


@pytest.mark.parametrize(
    ("method", "dtype"),
    [pair for pair in KEEPING_CONSTANTS if pair[1] in (">u2", ">f4", "i8")],
    ids=lambda item: getattr(item, "name", item),
)
def test_c3_byte_order_is_kept_where_the_edge_cuts_a_block(method, dtype):
    # the sample of the second block would be pixel 5, and the last is 4
    (level,) = compute(np.full(5, 3, dtype), "x", [{"x": 4}], method)
    assert bits(level) == bits(np.full(2, 3, dtype))


def test_c3_nearest_never_invents_a_label_and_keeps_nan():
    labels = np.random.default_rng(2).choice(np.array([0, 2**53 + 1, 2**64 - 1], np.uint64), (9, 11))
    for level in compute(labels, "yx", [{"y": 2, "x": 3}, {"y": 2, "x": 2}], NEAREST):
        assert set(level.ravel().tolist()) <= {0, 2**53 + 1, 2**64 - 1}
    (level,) = compute(np.array([np.nan, 1.0]), "x", [{"x": 2}], NEAREST)
    assert np.isnan(level).all()


def test_kernels_work_block_by_block_on_plain_numpy():
    data = np.random.default_rng(4).integers(0, 99, (8, 12)).astype(np.float32)
    for method in METHODS.values():
        kernel = method.make(data.dtype, skipna=True, pixels=24)
        rows = Section(0, 8, 8, 2, kernel.halo(2))
        parts = [Section(a, b, 12, 3, kernel.halo(3)) for a, b in ((0, 6), (6, 12))]
        carries = [kernel.start(data[:, part.read], (rows, part)) for part in parts]
        assert all(carry.shape == (kernel.components, 4, 2) and carry.dtype == kernel.dtype for carry in carries)
        twos = [Section(0, 4, 4, 2, kernel.halo(2))] * 2
        carry = kernel.step(np.concatenate(carries, axis=2), twos)
        halo = kernel.finish_halo(2)
        level = kernel.finish(carry, [Section(0, 2, 2, 1, halo, 2, 4, 8), Section(0, 2, 2, 1, halo, 2, 6, 12)])
        np.testing.assert_array_equal(level, compute(data, "yx", [{"y": 2, "x": 3}, {"y": 2, "x": 2}], method)[1])


# --- C2 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [LOCAL_MEAN, NEAREST], ids=lambda method: method.name)
@pytest.mark.parametrize("size", [64, 203])
@pytest.mark.parametrize("factors", [(2, 2, 2), (3, 2), (4,), (5, 3), (2, 3, 4)])
def test_c2_a_ramp_lies_where_its_coordinates_say(method, size, factors):
    grid = Grid(0.25, 3.0, size)
    levels = compute(grid.coordinates, "x", [{"x": f} for f in factors], method)
    for factor, level in zip(factors, levels, strict=True):
        grid = grid.coarsen(factor, sample=method.sample(factor))
        assert level.size == grid.size
        # the last block may be cut
        np.testing.assert_allclose(level[:-1], grid.coordinates[:-1], rtol=1e-15, atol=0)


# --- C4 ---------------------------------------------------------------------------------------------------------------

ZYX = (13, 18, 22)
STEPS = [{"z": 2, "y": 3, "x": 2}, {"y": 2, "x": 5}, {"z": 3, "x": 2}]


def awkward(dtype):
    """Values whose sums depend on the order of addition, with NaN in between."""
    rng = np.random.default_rng(11)
    data = rng.standard_normal(ZYX) * 10.0 ** rng.integers(-3, 4, ZYX)
    data[rng.random(ZYX) < 0.1] = np.nan
    data[:4, :6] = np.nan
    return np.nan_to_num(data).astype(dtype) if np.dtype(dtype).kind == "i" else data.astype(dtype)


@pytest.mark.parametrize("skipna", [None, False])
@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16"])
@pytest.mark.parametrize(
    "chunks", [(13, 18, 22), (1, 3, 4), (2, 5, 7), ((6, 7), (1, 16, 1), (11, 10, 1)), (3, 18, 1), (13, 2, 22)]
)
def test_c4_chunks_do_not_show(dtype, chunks, skipna):
    data = awkward(dtype)
    expected = compute(data, "zyx", STEPS, skipna=skipna)
    chunked = compute(da.from_array(data, chunks), "zyx", STEPS, skipna=skipna)
    assert [bits(level) for level in chunked] == [bits(level) for level in expected]


@pytest.mark.parametrize(
    ("method", "dtype"),
    [(method, dtype) for method in METHODS.values() for dtype in ("f4", "f8", "i8") if takes(method, dtype)],
    ids=lambda item: getattr(item, "name", item),
)
def test_c4_memory_layout_and_order_of_dimensions_do_not_show(dtype, method):
    data = awkward(dtype)
    expected = [bits(level) for level in compute(data, "zyx", STEPS, method)]
    padded = np.zeros([2 * n + 1 for n in ZYX], dtype)
    padded[1::2, :-1:2, 1::2] = data
    reversed_in_memory = np.ascontiguousarray(data[::-1, :, ::-1])[::-1, :, ::-1]
    for same in (np.asfortranarray(data), padded[1::2, :-1:2, 1::2], reversed_in_memory):
        assert not same.flags.c_contiguous
        assert [bits(level) for level in compute(same, "zyx", STEPS, method)] == expected
    for order in itertools.permutations(range(3)):
        dims = ["zyx"[axis] for axis in order]
        for turned in (data.transpose(order), np.ascontiguousarray(data.transpose(order))):
            back = np.argsort(order)
            levels = compute(turned, dims, STEPS, method)
            assert [bits(level.transpose(back)) for level in levels] == expected
    upper = [{dim.upper(): f for dim, f in step.items()} for step in STEPS]
    assert [bits(level.transpose()) for level in compute(data.transpose(), "XYZ", upper, method)] == expected


def test_c4_slabs_of_a_big_block_do_not_show(monkeypatch):
    data = awkward("f8")
    expected = [bits(level) for level in compute(data, "zyx", STEPS)]
    for size in (1, 500, 5000):
        monkeypatch.setattr("xomezarr.downsample.blocks.CACHE_BYTES", size)
        assert [bits(level) for level in compute(data, "zyx", STEPS)] == expected
        assert [bits(level) for level in compute(np.asfortranarray(data), "zyx", STEPS)] == expected
    monkeypatch.setattr("xomezarr.downsample.sources.BLOCK_BYTES", 600)
    assert downsample(data, "zyx", STEPS, LOCAL_MEAN)[0].npartitions > 20
    assert [bits(level) for level in compute(data, "zyx", STEPS)] == expected


def test_c4_floats_are_added_in_c_order_of_the_named_dimensions():
    data = awkward("f8")[:12, :, :20]
    data = np.where(np.isnan(data), 1.0, data)
    level, _ = compute(data, "zyx", [{"z": 2, "y": 3, "x": 2}, {"y": 2}])
    total = np.zeros(level.shape)
    for z, y, x in itertools.product(range(2), range(3), range(2)):
        total = total + data[z::2, y::3, x::2]
    assert bits(level) == bits(total / 12)


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_c4_schedulers_do_not_show(scheduler):
    data = da.from_array(awkward("f8"), (5, 18, 22))
    expected = [bits(level) for level in compute(data, "zyx", STEPS)]
    levels = dask.compute(*downsample(data, "zyx", STEPS, LOCAL_MEAN), scheduler=scheduler, num_workers=2)
    assert [bits(level) for level in levels] == expected


@given(chunkings(60), st.integers(1, 9), st.integers(0, 40))
def test_aligned_chunks_move_no_border_farther_than_one_block(chunks, factor, extent):
    aligned = aligned_chunks(chunks, factor, extent)
    assert sum(aligned) == 60
    assert min(aligned) > 0
    borders = list(itertools.accumulate(aligned))[:-1]
    assert all(border % factor == 0 for border in borders)
    # a chunk is what its neighbours' borders leave, or was joined to no more than the extent
    assert max(aligned) <= max(max(chunks) + factor - 1, extent)
    assert len(aligned_chunks(aligned, factor, 0)) == len(aligned)


def test_chunks_of_one_pixel_stay_and_coarse_levels_have_fewer_chunks():
    data = da.zeros((3, 2, 512, 512), chunks=(1, 1, 64, 64), dtype="u2")
    levels = downsample(data, "tcyx", [{"y": 2, "x": 2}] * 4, LOCAL_MEAN)
    assert levels[0].chunks == ((1, 1, 1), (1, 1), (32,) * 8, (32,) * 8)
    assert [level.numblocks for level in levels] == [(3, 2, 8, 8), (3, 2, 4, 4), (3, 2, 2, 2), (3, 2, 1, 1)]


# --- C5 ---------------------------------------------------------------------------------------------------------------


@given(cases(["u1"]))
@settings(max_examples=40)
def test_c5_sizes_cover_the_image(case):
    data, dims, steps, boundary, _ = case
    for method in METHODS.values():
        if not takes(method, data.dtype):
            continue
        sizes = list(data.shape)
        for step, level in zip(steps, downsample(data, dims, steps, method, boundary=boundary), strict=True):
            for axis, dim in enumerate(dims):
                size, factor = sizes[axis], step.get(dim, 1)
                if size > 1:
                    sizes[axis] = math.ceil(size / factor) if boundary == "pad" else max(size // factor, 1)
            assert level.shape == tuple(sizes)


# --- C9 ---------------------------------------------------------------------------------------------------------------


class Unread:
    """An array whose pixels nobody may read, and that nobody may copy."""

    shape = (40, 300, 500)
    ndim = 3
    dtype = np.dtype("u2")

    def __array__(self, *_, **__):
        raise AssertionError("the whole array was read")

    def __getitem__(self, index):
        raise AssertionError(f"{index} was read")

    def copy(self):
        raise AssertionError("the array was copied")


class Blocks(Unread):
    """An array that is read block by block, and remembers how much was."""

    chunks = (1, 100, 100)

    def __init__(self):
        self.read = []

    def __getitem__(self, index):
        shape = tuple(len(range(*s.indices(n))) for s, n in zip(index, self.shape, strict=True))
        self.read.append(index)
        return np.full(shape, 7, "u2")


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_c9_building_reads_nothing(method):
    steps = [{"z": 2, "y": 2, "x": 3}, {"y": 2, "x": 2}]
    if not takes(method, Unread.dtype):
        pytest.skip(f"{method.name} does not take {Unread.dtype}")
    levels = downsample(Unread(), "zyx", steps, method)
    assert [level.shape for level in levels] == [(20, 150, 167), (20, 75, 84)]
    with pytest.raises(AssertionError, match="was read"):
        levels[1].compute()

    def explode(block):
        raise AssertionError("a block was computed")

    lazy = da.zeros((40, 60), chunks=(7, 11), dtype="f4").map_blocks(explode, dtype="f4", meta=np.empty((0, 0), "f4"))
    assert downsample(lazy, "yx", [{"y": 2, "x": 2}], method)[0].shape == (20, 30)


def test_c9_stored_chunks_are_read_whole(monkeypatch):
    monkeypatch.setattr("xomezarr.downsample.sources.BLOCK_BYTES", 200_000)
    source = Blocks()
    (level,) = compute(source, "zyx", [{"z": 2, "y": 2, "x": 2}])
    assert (level == 7).all()
    assert len(source.read) > 1
    for index in source.read:
        for along, n, chunk in zip(index, source.shape, source.chunks, strict=True):
            start, stop, _ = along.indices(n)
            assert start % chunk == 0
            assert stop % chunk == 0 or stop == n


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_c9_the_graph_holds_no_copy_of_a_numpy_array(method):
    import tracemalloc

    data = np.ones((64, 512, 512), np.uint16 if takes(method, "u2") else np.float32)
    tracemalloc.start()
    levels = downsample(data, "zyx", [{"z": 2, "y": 2, "x": 2}] * 3, method)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < data.nbytes / 8
    assert levels[0].npartitions > 1
    data[...] = 5
    # what is computed is the caller's memory as it stands
    assert levels[2].compute(scheduler="synchronous").max() == (0 if method.name == "laplacian" else 5)


# --- C7 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("local-mean", "did you mean method='local_mean'"),
        ("nearst", "method='nearest'"),
        ("lanczos", "local_mean, nea"),
    ],
)
def test_c7_an_unknown_method_is_answered_with_the_known_ones(name, says):
    with pytest.raises(MethodError) as error:
        get_method(name)
    assert says in str(error.value)
    assert repr(name) in str(error.value)
    assert "local_mean, nearest" in str(error.value)


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_found_by_their_names(name):
    assert get_method(name).name == name
    assert get_method(name).description


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_and_bool_are_accepted(dtype):
    for method in METHODS.values():
        if takes(method, dtype):
            check_dtype(dtype, method)
        else:
            with pytest.raises(DtypeError, match=method.name):
                check_dtype(dtype, method)
    assert default_method(dtype) is (METHODS["mode"] if dtype == "?" else LOCAL_MEAN)


@pytest.mark.parametrize("method", ["local_mean", "mode", "median", "gaussian", "resize", "zoom"])
def test_bool_means_are_majorities(method):
    data = np.array([True, True, False, True, False, False, True, False, False])
    (level,) = compute(data, "x", [{"x": 3}], METHODS[method])
    # zoom looks at the middle pixel only
    assert level.tolist() == [True, False, False]


@pytest.mark.parametrize(
    "dtype",
    ["U3", "S4", "O", "M8[ns]", "m8[s]", np.dtype([("a", "u1"), ("b", "f4")]), "V2"]
    + [dtype for dtype in (np.longdouble, np.clongdouble) if np.dtype(dtype) not in (np.float64, np.complex128)],
)
def test_c7_other_dtypes_are_refused_with_the_cure(dtype):
    for method in METHODS.values():
        with pytest.raises(DtypeError) as error:
            check_dtype(dtype, method)
        assert str(np.dtype(dtype)) in str(error.value)
        assert "astype(" in str(error.value)
        with pytest.raises(DtypeError):
            downsample(np.empty((4, 4), dtype), "yx", [{"x": 2}], method)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((np.zeros((4, 4)), "yx", [{"x": 2}, {"z": 2}]), FactorError, "step 1 has a factor for dimension 'z'"),
        ((np.zeros((4, 4)), "yx", [{"x": 0}]), FactorError, "'x' in step 0 is 0"),
        ((np.zeros((4, 4)), "yx", [{"x": 1.5}]), FactorError, "1.5"),
        ((np.zeros((4, 4)), "yx", [{"x": True}]), FactorError, "True"),
        ((np.zeros((4, 4)), "zyx", [{"x": 2}]), AxisError, "2 dimensions"),
        ((np.zeros((4, 4)), "xx", [{"x": 2}]), AxisError, "its own name"),
        ((np.zeros((4, 0)), "yx", [{"x": 2}]), EmptyDimensionError, "'x' has no pixels"),
    ],
)
def test_c7_what_does_not_go_together_is_named(arguments, error, says):
    with pytest.raises(error, match=says):
        downsample(*arguments, LOCAL_MEAN)


def test_c7_other_faults():
    with pytest.raises(FactorError, match="boundary='exact'"):
        downsample(np.zeros(4), "x", [{"x": 2}], LOCAL_MEAN, boundary="exact")
    unknown = da.zeros(9, chunks=3)
    with pytest.raises(ChunkError, match="compute_chunk_sizes"):
        downsample(unknown[unknown > 0], "x", [{"x": 2}], LOCAL_MEAN)
    with pytest.raises(MultipleErrors) as both:
        downsample(np.zeros((4, 4), "O"), "yx", [{"q": 2}], LOCAL_MEAN)
    assert {type(error) for error in both.value.exceptions} == {DtypeError, FactorError}
    assert isinstance(both.value, OmeZarrError)


def test_c7_sums_that_no_integer_holds_are_refused_not_wrapped():
    deep = da.zeros((2**16, 2**16), chunks=2**12, dtype="u8")
    steps = [{"y": 2**8, "x": 2**8}] * 2
    with pytest.raises(FactorError, match="fewer levels"):
        downsample(deep, "yx", steps, LOCAL_MEAN)
    assert downsample(deep, "yx", steps, NEAREST)[1].shape == (1, 1)
    assert downsample(deep.astype("u2"), "yx", steps, LOCAL_MEAN)[1].shape == (1, 1)


def test_the_callers_arguments_are_left_as_they_are():
    data = awkward("f8")
    dims, steps = ["z", "y", "x"], [dict(step) for step in STEPS]
    before = copy.deepcopy((data, dims, steps))
    for method in METHODS.values():
        compute(data, dims, steps, method)
    assert (dims, steps) == before[1:]
    assert bits(data) == bits(before[0])


def test_a_level_without_any_shrinking_is_the_image():
    for method, dtype in KEEPING_CONSTANTS:
        data = np.arange(6).reshape(2, 3).astype(dtype)
        for level in compute(data, "yx", [{}, {"y": 1}], method):
            assert bits(level) == bits(data)
    for method in METHODS.values():
        (point,) = compute(np.array(3.5), (), [{}], method)
        # what is not smoothed has no difference from itself
        assert point == (0.0 if method.name == "laplacian" else 3.5)
    assert downsample(data, "yx", [], LOCAL_MEAN) == []
