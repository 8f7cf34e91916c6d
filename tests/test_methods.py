"""Each scaling method against a slow reference that knows nothing of chunks (contracts C2 to C5, C7, C9).

The references work on whole levels: blocks by lists of indices, means and medians by fractions, filters by
`scipy.ndimage.gaussian_filter`. They are themselves held against scikit-image, SciPy and xarray.
A method that somebody adds to the table fails here until it has a reference.
"""

from __future__ import annotations

import copy
import functools
import itertools
import math
import statistics
from collections import Counter
from fractions import Fraction

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from levels import bits, compute, takes
from scipy import ndimage
from skimage import transform

from xomezarr.downsample import METHODS, Method, downsample, get_method, reducing
from xomezarr.errors import DtypeError, FactorError, MethodError, OmeZarrError

INTEGERS = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", ">u2", ">i4", ">u8"]
FLOATS = ["f2", "f4", "f8", ">f2", ">f4", ">f8"]
COMPLEX = ["c8", "c16", ">c8"]
DTYPES = [*INTEGERS, *FLOATS, *COMPLEX]
FILTERS = ["gaussian", "laplacian", "zoom", "resize"]
KEEPING = ["nearest", "mode", "min", "max"]
# the order in which a block is read, whatever the order of the array's dimensions
CANONICAL = ["t", "c", "row", "z", "y", "x"]

every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


# --- references: reductions of blocks -----------------------------------------------------------------------------


def blocks_along(size, factor, boundary):
    """Lists of the indices that each block holds; one pixel shrinks no further, the first block is never left out."""
    if size == 1:
        return [[0]]
    blocks = [list(range(size))[start : start + factor] for start in range(0, size, factor)]
    if boundary == "trim" and len(blocks) > 1 and len(blocks[-1]) < factor:
        blocks.pop()
    return blocks


def cover(pixels, blocks):
    """Lists of level-0 indices that each block covers, given those that each pixel of the level covers."""
    return [list(itertools.chain.from_iterable(pixels[i] for i in block)) for block in blocks]


def numbers(block, skipna):
    """The values of a block as they are, in C order; None where NaN wins."""
    values = [value for value in block.ravel() if not np.isnan(value)]
    return None if not values or (not skipna and len(values) < block.size) else values


def exact(value):
    # a big-endian scalar is no Python number
    return Fraction(value.item())


def mean_of_block(block, index, factors, skipna):
    values = numbers(block, skipna)
    if values is None:
        return math.nan
    if block.dtype.kind != "c":
        return statistics.mean(exact(value) for value in values)
    parts = [statistics.mean(exact(part) for part in side) for side in (np.real(values), np.imag(values))]
    return complex(*(float(part) for part in parts))


def median_of_block(block, index, factors, skipna):
    values = numbers(block, skipna)
    return math.nan if values is None else statistics.median(exact(value) for value in values)


def signed_order(value):
    # -0.0 comes before 0.0
    return value, not np.signbit(value)


def smallest_of_block(block, index, factors, skipna):
    values = numbers(block, skipna)
    return math.nan if values is None else min(values, key=signed_order)


def largest_of_block(block, index, factors, skipna):
    values = numbers(block, skipna)
    return math.nan if values is None else max(values, key=signed_order)


def lower_middle_of_block(block, index, factors, skipna):
    return block[tuple(min((f - 1) // 2, n - 1) for f, n in zip(factors, block.shape, strict=True))]


def most_frequent_of_block(block, index, factors, skipna):
    # read from the preferred corner: backwards from the last pixel in blocks of even index, forwards in odd ones
    read = block[tuple(slice(None, None, 1 if i % 2 else -1) for i in index)]
    values = numbers(read, skipna=True)
    if values is None:
        return math.nan
    counts = Counter(values)
    return next(value for value in values if counts[value] == max(counts.values()))


def stored(value, dtype):
    """Return a value as a dtype holds it, rounded half to even."""
    if isinstance(value, Fraction):
        return round(value) if dtype.kind in "biu" else float(value)
    return value


def reduced(pixels, lists, factors, reduce, skipna):
    level = np.empty([len(blocks) for blocks in lists], pixels.dtype)
    for index in np.ndindex(*level.shape):
        block = pixels[np.ix_(*(blocks[i] for blocks, i in zip(lists, index, strict=True)))]
        level[index] = stored(reduce(block, index, factors, skipna), pixels.dtype)
    return level


def from_level_0(reduce):
    """The reference of a method whose every level is made of the pixels of level 0."""

    def levels(data, chain, boundary, skipna, found):
        pixels = [[[i] for i in range(size)] for size in data.shape]
        for factors in chain:
            blocks = [blocks_along(len(p), f, boundary) for p, f in zip(pixels, factors, strict=True)]
            pixels = [cover(p, b) for p, b in zip(pixels, blocks, strict=True)]
            yield reduced(data, pixels, factors, reduce, skipna)

    return levels


def from_the_level_above(reduce):
    """The reference of a method whose levels are made of the stored level above."""

    def levels(data, chain, boundary, skipna, found):
        for above, factors in zip([data, *found], chain, strict=False):
            lists = [blocks_along(n, f, boundary) for n, f in zip(above.shape, factors, strict=True)]
            yield reduced(above, lists, factors, reduce, skipna)

    return levels


# --- references: filters ------------------------------------------------------------------------------------------


def normalised(pixels, linear, skipna):
    """Apply a linear filter whose weights add up to 1; where NaN is left out, to those that are left."""
    if not skipna:
        return linear(pixels)
    valid = ~np.isnan(pixels)
    weights = linear(valid.astype(float))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weights > 0, linear(np.where(valid, pixels, 0)) / weights, np.nan)


def smoothed(pixels, factors, sigma, edge):
    widths = [sigma(f) if f > 1 else 0.0 for f in factors]
    return ndimage.gaussian_filter(pixels, widths, mode=edge, truncate=4.0) if any(widths) else pixels


def at_centres(pixels, factors, boundary):
    for axis, factor in enumerate(factors):
        size = pixels.shape[axis]
        if factor == 1 or size == 1:
            continue
        starts = np.array([block[0] for block in blocks_along(size, factor, boundary)])
        lower, upper = (np.minimum(starts + i, size - 1) for i in ((factor - 1) // 2, factor // 2))
        middle = pixels.take(lower, axis)
        pixels = middle if factor % 2 else middle / 2 + pixels.take(upper, axis) / 2
    return pixels


def shrinking(pixels, factors):
    return [1 if size == 1 else factor for size, factor in zip(pixels.shape, factors, strict=True)]


def double(pixels):
    return pixels.astype(np.complex128 if pixels.dtype.kind == "c" else np.float64)


def filtered(pixels, factors, boundary, skipna, sigma, edge):
    factors = shrinking(pixels, factors)
    return normalised(
        double(pixels), lambda values: at_centres(smoothed(values, factors, sigma, edge), factors, boundary), skipna
    )


def smoothing(sigma, edge):
    """The reference of a filter: levels in float64, each made of the stored level above."""

    def levels(data, chain, boundary, skipna, found):
        for above, factors in zip([data, *found], chain, strict=False):
            yield filtered(above, factors, boundary, skipna, sigma, edge)

    return levels


def third(factor):
    return factor / 3


def differences(data, chain, boundary, skipna, found):
    """The reference of laplacian: the gaussian pyramid in float64, each level less itself smoothed."""
    gaussian = double(data)
    for factors in chain:
        taken = shrinking(gaussian, factors)
        gaussian = filtered(gaussian, factors, boundary, skipna, third, "reflect")
        smooth = functools.partial(smoothed, factors=taken, sigma=third, edge="reflect")
        yield gaussian - normalised(gaussian, smooth, skipna)


REFERENCES = {
    "local_mean": from_level_0(mean_of_block),
    "nearest": from_the_level_above(lower_middle_of_block),
    "gaussian": smoothing(third, "reflect"),
    "laplacian": differences,
    "zoom": smoothing(lambda f: 0.0, "nearest"),
    "resize": smoothing(lambda f: (f - 1) / 2, "mirror"),
    "mode": from_the_level_above(most_frequent_of_block),
    "median": from_the_level_above(median_of_block),
    "min": from_level_0(smallest_of_block),
    "max": from_level_0(largest_of_block),
}


def expected_levels(method, data, dims, steps, boundary, skipna, found):
    """The levels of the reference, in the array's order of dimensions; `found` are those to be judged."""
    order = sorted(range(len(dims)), key=lambda axis: CANONICAL.index(dims[axis]))
    chain = [[step.get(dims[axis], 1) for axis in order] for step in steps]
    turned = [level.transpose(order) for level in found]
    levels = REFERENCES[method.name](data.transpose(order), chain, boundary, skipna, turned)
    return [level.transpose(np.argsort(order)) for level in levels]


def assert_stored(level, expected, dtype, size):
    """Check that a level is `expected`, in float64, rounded once to a dtype; `size` is that of the values at hand."""
    np.testing.assert_array_equal(np.isnan(level), np.isnan(expected))
    valid = ~np.isnan(expected)
    for part in (np.real, np.imag) if dtype.kind == "c" else (np.asarray,):
        got, wanted = part(level)[valid], part(expected)[valid]
        half = 0.5
        if dtype.kind in "fc":
            half = np.spacing(np.abs(got).astype(got.dtype.newbyteorder("="))).astype(float) / 2
        assert (np.abs(got.astype(float) - wanted) <= half + 1e-12 * size).all()


# --- cases --------------------------------------------------------------------------------------------------------


def values_of(dtype, method):
    """The values of an image: extremes and small integers, or floats whose sums are exact, with NaN."""
    if dtype.kind == "b":
        return st.booleans()
    if dtype.kind in "iu":
        limit = 2**64 if method.exact_integers else 2**53
        lowest, highest = max(np.iinfo(dtype).min, -limit), min(np.iinfo(dtype).max, limit)
        near = st.sampled_from([lowest, lowest + 1, highest - 1, highest, 0, 1])
        return st.one_of(near, st.integers(lowest, highest), st.integers(0, 9))
    floats = st.floats(-1000, 1000, width=16)
    if dtype.kind == "c":
        return st.one_of(st.builds(complex, floats, floats), st.just(complex(math.nan, 1.0)))
    infinities = [st.sampled_from([math.inf, -math.inf])] if method.keeps_values else []
    return st.one_of(floats, floats, st.just(math.nan), *infinities)


@st.composite
def chunkings(draw, size):
    borders = sorted(draw(st.sets(st.integers(1, size - 1)))) if size > 1 else []
    return tuple(b - a for a, b in itertools.pairwise([0, *borders, size]))


@st.composite
def cases(draw, method):
    # the kind first: NaN must not be rare because dtypes of integers are many
    kinds = [kind for kind in (INTEGERS, FLOATS, COMPLEX) if takes(method, kind[-1])]
    dtype = np.dtype(draw(st.sampled_from(draw(st.sampled_from(kinds)))))
    ndim = draw(st.integers(1, 4))
    dims = draw(st.permutations(CANONICAL))[:ndim]
    shape = tuple(draw(st.integers(1, (17, 9, 6, 4)[ndim - 1])) for _ in dims)
    factors = st.dictionaries(st.sampled_from(dims), st.integers(1, 5), max_size=ndim)
    steps = draw(st.lists(factors, min_size=1, max_size=3))
    # a few values, so that ties and blocks of NaN occur
    palette = draw(st.lists(values_of(dtype, method), min_size=1, max_size=6))
    seed = draw(st.integers(0, 2**32 - 1))
    chosen = np.random.default_rng(seed).integers(0, len(palette), shape)
    data = np.array(palette, dtype)[chosen]
    always = [True, False] if method.skipna is None else [method.skipna]
    options = {"boundary": draw(st.sampled_from(["pad", "trim"])), "skipna": draw(st.sampled_from([None, *always]))}
    return data, dims, steps, options, tuple(draw(chunkings(n)) for n in shape)


# --- C3, C4, C5: every method is its reference ------------------------------------------------------------------------


def test_every_row_has_a_reference():
    assert set(REFERENCES) == set(METHODS)


@every_method
@given(data=st.data())
@settings(max_examples=50)
def test_c3_levels_are_those_of_the_reference_for_any_chunks(method, data):
    pixels, dims, steps, options, chunks = data.draw(cases(method))
    levels = compute(da.from_array(pixels, chunks), dims, steps, method, **options)
    skipna = options["skipna"] is not False
    expected = expected_levels(method, pixels, dims, steps, options["boundary"], skipna, levels)
    assert len(levels) == len(expected) == len(steps)
    size = np.nanmax(np.abs(double(pixels)), initial=0.0, where=~np.isnan(pixels))
    for level, wanted in zip(levels, expected, strict=True):
        assert level.dtype.str == pixels.dtype.str
        assert level.shape == wanted.shape
        if wanted.dtype == pixels.dtype and method.name not in FILTERS:
            np.testing.assert_array_equal(level, wanted)
        else:
            assert_stored(level, wanted, pixels.dtype, size)


@pytest.mark.parametrize("dtype", ["u1", "i2", "?"])
@pytest.mark.parametrize("factor", [2, 4])
def test_c3_interpolated_halves_are_rounded_to_even(dtype, factor):
    # zoom's values are means of 4 integers, which float64 holds, so that every tie is a true one
    data = np.random.default_rng(0).integers(0, 2 if dtype == "?" else 12, (24, 28)).astype(dtype)
    (level,) = compute(data, "yx", [{"y": factor, "x": factor}], "zoom")
    pairs = [data[a::factor, b::factor].astype(float) for a in (factor // 2 - 1, factor // 2) for b in (
        factor // 2 - 1, factor // 2)]  # fmt: skip
    exactly = sum(pairs) / 4
    assert (exactly % 1 == 0.5).any()
    np.testing.assert_array_equal(level, np.rint(exactly).astype(dtype))


# --- the oracles --------------------------------------------------------------------------------------------------


def whole(factor, ndim):
    """An image that blocks cover without rest for two steps."""
    shape = (factor**2, factor**2 * 3, factor**2 * 2)[-ndim:]
    return np.random.default_rng(factor).standard_normal(shape) * 100


def oracle_levels(name, data, factor, count):
    if name == "laplacian":
        return list(transform.pyramid_laplacian(data, count, downscale=factor, preserve_range=True))[1:]
    once = {
        "gaussian": lambda a: transform.pyramid_reduce(a, downscale=factor, preserve_range=True),
        "resize": lambda a: transform.resize(
            a, [n // factor for n in a.shape], order=1, anti_aliasing=True, preserve_range=True
        ),
        "zoom": lambda a: ndimage.zoom(a, 1 / factor, order=1, grid_mode=True),
    }[name]
    levels = [data]
    for _ in range(count):
        levels.append(once(levels[-1]))
    return levels[1:]


@pytest.mark.filterwarnings("ignore:It is recommended to use mode:UserWarning")
@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("factor", [2, 3, 4, 5])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_c3_filters_are_those_of_scikit_image_and_scipy(name, factor, ndim):
    data = whole(factor, ndim)
    dims = ["z", "y", "x"][:ndim]
    steps = [dict.fromkeys(dims, factor)] * 2
    levels = compute(da.from_array(data, tuple(n // 3 + 1 for n in data.shape)), dims, steps, name)
    ours = expected_levels(METHODS[name], data, dims, steps, "pad", True, levels)
    for level, reference, oracle in zip(levels, ours, oracle_levels(name, data, factor, 2), strict=True):
        np.testing.assert_allclose(level, oracle, rtol=0, atol=1e-9)
        np.testing.assert_allclose(reference, oracle, rtol=0, atol=1e-9)


@pytest.mark.filterwarnings("ignore:It is recommended to use mode:UserWarning")
@pytest.mark.parametrize("name", ["resize", "zoom"])
@pytest.mark.parametrize("step", [{"y": 2, "x": 3}, {"x": 4}, {"y": 5}])
def test_c3_filters_with_a_factor_for_each_dimension_are_those_of_the_oracles(name, step):
    data = np.random.default_rng(1).standard_normal((2, 40, 36))
    zyx = [1, step.get("y", 1), step.get("x", 1)]
    (level,) = compute(da.from_array(data, (1, 13, 7)), "zyx", [step], name)
    if name == "zoom":
        oracle = ndimage.zoom(data, [1 / f for f in zyx], order=1, grid_mode=True)
    else:
        shape = [n // f for n, f in zip(data.shape, zyx, strict=True)]
        oracle = transform.resize(data, shape, order=1, anti_aliasing=True, preserve_range=True)
    np.testing.assert_allclose(level, oracle, rtol=0, atol=1e-9)


@pytest.mark.parametrize("boundary", ["pad", "trim"])
@pytest.mark.parametrize("name", ["local_mean", "median", "min", "max"])
def test_c3_statistics_are_those_of_xarrays_coarsen(name, boundary):
    data = np.random.default_rng(5).standard_normal((5, 23, 31))
    data[np.random.default_rng(6).random(data.shape) < 0.2] = np.nan
    image = xr.DataArray(data, dims=["z", "y", "x"])
    step = {"z": 2, "y": 3, "x": 4}
    (level,) = compute(da.from_array(data, 6), image.dims, [step], name, boundary=boundary)
    oracle = getattr(image.coarsen(step, boundary=boundary), name.removeprefix("local_"))()
    np.testing.assert_allclose(level, oracle, rtol=0, atol=1e-14)


# --- C2: ramps ----------------------------------------------------------------------------------------------------


def reach_of(name, factor):
    """Pixels beyond its block's centre from which a pixel has a value."""
    sigma = {"gaussian": factor / 3, "resize": (factor - 1) / 2}.get(name, 0.0)
    return int(4 * sigma + 0.5)


@pytest.mark.parametrize("name", ["local_mean", "median", "nearest", "gaussian", "zoom", "resize"])
@pytest.mark.parametrize("size", [480, 481, 503])
@pytest.mark.parametrize("factors", [(2, 2, 2), (3, 2), (4, 2), (5, 3), (2, 3, 4)])
@pytest.mark.parametrize("boundary", ["pad", "trim"])
def test_c2_a_pixel_of_a_ramp_is_its_own_position(name, size, factors, boundary):
    levels = compute(da.from_array(np.arange(size, dtype=float), 50), "x", [{"x": f} for f in factors], name,
                     boundary=boundary)  # fmt: skip
    first, scale, margin = Fraction(0), 1, 0
    for factor, level in zip(factors, levels, strict=True):
        first += Fraction((factor - 1) // 2 if name == "nearest" else Fraction(factor - 1, 2)) * scale
        scale *= factor
        # what the edge has changed, and one block that it may cut
        margin = math.ceil((margin + reach_of(name, factor)) / factor) + 1
        inside = slice(margin, len(level) - margin)
        positions = [float(first + scale * i) for i in range(len(level))]
        assert len(positions[inside]) > 2
        np.testing.assert_allclose(level[inside], positions[inside], rtol=1e-13, atol=0)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "laplacian"])
def test_c2_coordinates_follow_the_methods_sample(name):
    z, y, x = np.ogrid[0:8, 0:90, 0:100]
    image = xr.DataArray(10000.0 * z + 100.0 * y + x, dims=["z", "y", "x"], name="ramp")
    image = image.omezarr.assign_grid(
        scale={"z": 2.0, "y": 0.5, "x": 0.25}, translation={"z": 5.0, "y": 1.0, "x": -3.0}
    )
    tree = image.omezarr.pyramid(method=name, factors=[{"y": 2, "x": 3}, {"z": 2, "y": 3, "x": 2}], levels=3)
    level = tree.omezarr.level(2)
    # index in level 0 that the coordinates claim
    at = {dim: (level[dim].values - image[dim].values[0]) / float(image[dim].attrs["scale"]) for dim in level.dims}
    lower = name == "nearest"
    assert [float(at[dim][1]) for dim in "zyx"] == ([2.0, 8.0, 7.0] if lower else [2.5, 8.5, 8.5])
    if name not in ("local_mean", "median", "nearest", "zoom", "gaussian", "resize"):
        return
    claimed = 100.0 * at["y"][:, None] + at["x"]
    # z is at the reach of filters everywhere: what it adds is the same for all pixels of a plane
    inside = level.values[:, 4:-4, 4:-4] - claimed[4:-4, 4:-4]
    np.testing.assert_allclose(inside, np.broadcast_to(inside[:, :1, :1], inside.shape), rtol=0, atol=1e-8)
    if name not in ("gaussian", "resize"):
        np.testing.assert_allclose(inside[:, 0, 0], 10000.0 * at["z"], rtol=0, atol=1e-8)


# --- C3: constants, extremes ----------------------------------------------------------------------------------------


def extremes(dtype, method):
    """Values that arithmetic may spoil."""
    if dtype.kind == "b":
        return [False, True]
    if dtype.kind in "iu":
        limit = 2**64 if method.exact_integers else 2**53
        return [max(np.iinfo(dtype).min, -limit), min(np.iinfo(dtype).max, limit), 1, 7]
    known = np.finfo(dtype)
    values = [known.max, known.min, known.smallest_subnormal, known.tiny, 0.1, 1 / 3, -0.0, 0.0]
    if dtype.kind == "f":
        return [*values, math.inf, -math.inf, math.nan]
    return [complex(a, b) for a, b in itertools.pairwise(values)]


@pytest.mark.sweep(3)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("boundary", ["pad", "trim"])
@pytest.mark.parametrize(
    ("method", "dtype"),
    [(method, dtype) for method in METHODS.values() for dtype in DTYPES if takes(method, dtype)],
    ids=lambda item: getattr(item, "name", item),
)
def test_c3_constants_and_extremes_survive_bit_for_bit_across_chunks(method, dtype, boundary):
    values = np.array(extremes(np.dtype(dtype), method), dtype)
    # cut blocks, one pixel, and factors beyond the size
    steps = [{"z": 2, "y": 3, "x": 5}, {"y": 4, "x": 2}, {"z": 5, "y": 2}]
    data = np.broadcast_to(values[:, None, None, None], (len(values), 3, 11, 14))
    for level in compute(da.from_array(data, (1, 2, 4, 5)), "tzyx", steps, method, boundary=boundary):
        if method.name == "laplacian":
            # what is infinite has no difference
            wanted = np.where(np.isfinite(values), 0, np.nan)[:, None, None, None]
            np.testing.assert_array_equal(level, np.broadcast_to(wanted, level.shape))
        else:
            assert bits(level) == bits(np.broadcast_to(values[:, None, None, None], level.shape))


@pytest.mark.parametrize("name", ["gaussian", "zoom", "resize"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4"])
def test_c3_filters_stay_within_the_dtype(name, dtype):
    lowest, highest = np.iinfo(dtype).min, np.iinfo(dtype).max
    data = np.random.default_rng(8).choice(np.array([lowest, highest], dtype), (40, 41))
    data[:20] = highest
    data[25:] = lowest
    (level,) = compute(data, "yx", [{"y": 2, "x": 3}], name)
    # 10 rows beyond the reach of the others: no wrapping round
    assert (level[:6] == highest).all()
    assert (level[-3:] == lowest).all()


@pytest.mark.parametrize("name", FILTERS[:1] + FILTERS[2:])
@pytest.mark.parametrize(
    ("dtype", "value"), [("u8", 2**53 + 1), ("u8", 2**64 - 1), ("i8", 2**53 + 1), ("i8", -(2**53) - 1)]
)
def test_c3_filters_refuse_integers_that_float64_cannot_hold(name, dtype, value):
    data = np.zeros((30, 30), dtype)
    data[17, 23] = value
    for source in (data, da.from_array(data, 7)):
        with pytest.raises(DtypeError) as error:
            compute(source, "yx", [{"y": 2, "x": 2}], name)
        assert str(value) in str(error.value)
        for remedy in ("local_mean", "nearest", "mode", "median"):
            assert remedy in str(error.value)
        with pytest.raises(DtypeError, match=str(value)):
            xr.DataArray(source, dims=["y", "x"]).omezarr.pyramid(method=name, levels=2).omezarr.level(1).compute(
                scheduler="synchronous"
            )
    data[17, 23] = 2**53 if value > 0 else -(2**53)
    compute(data, "yx", [{"y": 2, "x": 2}], name)


@pytest.mark.parametrize(
    "name", [name for name, method in METHODS.items() if "i" in method.kinds and name not in FILTERS]
)
@pytest.mark.parametrize(
    ("dtype", "value"), [("u8", 2**64 - 2), ("i8", 2**63 - 2), ("i8", -(2**63) + 2), ("u8", 2**53 + 2)]
)
def test_c3_the_others_take_64_bits_exactly(name, dtype, value):
    # neighbours that are one float64
    data = np.array([value - 1, value, value + 1, value - 1, value, value + 1, value, value, value], dtype)
    (level,) = compute(da.from_array(data, 2), "x", [{"x": 3}], name)
    wanted = {"min": [value - 1, value - 1, value], "max": [value + 1, value + 1, value]}.get(name, [value] * 3)
    if name == "mode":
        # all three are tied: the last of block 0, the first of block 1
        wanted = [value + 1, value - 1, value]
    assert level.tolist() == wanted


@pytest.mark.parametrize(
    ("dtype", "block", "wanted"),
    [
        ("u1", [1, 2], 2),
        ("u1", [2, 3], 2),
        ("u1", [254, 255], 254),
        ("u1", [255, 255, 0, 254], 254),
        ("i1", [-1, 0], 0),
        ("i1", [-3, -2], -2),
        ("i1", [-128, -127], -128),
        ("i1", [-128, 127], 0),
        ("u8", [2**64 - 1, 2**64 - 2], 2**64 - 2),
        ("u8", [2**64 - 1, 2**64 - 1], 2**64 - 1),
        ("u8", [0, 2**64 - 1], 2**63),
        ("u8", [2**53 + 1, 2**53 + 3], 2**53 + 2),
        ("i8", [-(2**63), 2**63 - 1], 0),
        ("i8", [-(2**63), -(2**63) + 1], -(2**63)),
        ("i8", [2**63 - 1, 2**63 - 2], 2**63 - 2),
        ("?", [True, False], False),
        ("?", [True, True, False], True),
        ("f2", [65504, 65504], 65504),
        ("f4", [3e38, 3e38], np.float32(3e38)),
        ("f8", [1.7e308, 1.7e308], 1.7e308),
        ("f8", [1.7e308, -1.7e308], 0.0),
        ("f8", [1.7e308, 1.5e308], 1.7e308 / 2 + 1.5e308 / 2),
        ("f8", [5e-324, 5e-324], 5e-324),
        ("f8", [5e-324, 15e-324], 10e-324),
        ("f8", [math.nan, 3.0, 1.0], 2.0),
        ("f8", [math.inf, 1.0, math.inf], math.inf),
        ("f8", [1.0, math.inf], math.inf),
        ("f8", [-math.inf, math.inf], math.nan),
    ],
)
def test_c3_medians_of_even_counts_are_rounded_half_to_even_and_overflow_nowhere(dtype, block, wanted):
    for values in itertools.islice(itertools.permutations(block), 6):
        (level,) = compute(np.array(values, dtype), "x", [{"x": len(block)}], "median")
        np.testing.assert_array_equal(level, np.array([wanted], dtype))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=9))
def test_c3_medians_of_floats_are_the_exact_ones_rounded_once(values):
    (level,) = compute(np.array(values), "x", [{"x": len(values)}], "median")
    assert level.tolist() == [float(statistics.median(Fraction(value) for value in values))]


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_c4_the_sign_of_zero_does_not_depend_on_order_or_chunks(dtype):
    rows = list(itertools.product([0.0, -0.0, math.nan], repeat=4))
    for name, negative in (("min", any), ("max", all)):
        wanted = []
        for row in rows:
            signs = [math.copysign(1, value) < 0 for value in row if not math.isnan(value)]
            wanted.append((-0.0 if negative(signs) else 0.0) if signs else math.nan)
        for chunks, steps in itertools.product((4, 2, 1, (1, 3), (3, 1)), ([{"x": 4}], [{"x": 2}, {"x": 2}])):
            level = compute(da.from_array(np.array(rows, dtype), (40, chunks)), "yx", steps, name)[-1]
            assert bits(level[:, 0]) == bits(np.array(wanted, dtype))


# --- NaN ------------------------------------------------------------------------------------------------------------


@every_method
def test_c3_nan_is_seen_as_far_as_the_method_reaches_and_no_farther(method):
    data = np.random.default_rng(9).standard_normal((90, 60))
    # on both sides of a border between chunks, and far from any: pixels that count, whatever the method
    holes = {(29, 29): 40.0, (30, 30): -50.0, (12, 46): 50.0, (13, 45): -40.0}
    spoiled = data.copy()
    for hole, value in holes.items():
        data[hole], spoiled[hole] = value, np.nan
    (clean,) = compute(data, "yx", [{"y": 2, "x": 3}], method)
    reach = {
        axis: reach_of("gaussian" if method.name == "laplacian" else method.name, f) for axis, f in enumerate((2, 3))
    }
    twice = 2 if method.name == "laplacian" else 1
    for skipna in [True, False] if method.skipna is None else [method.skipna]:
        (level,) = compute(da.from_array(spoiled, (30, 30)), "yx", [{"y": 2, "x": 3}], method, skipna=skipna)
        touched = np.zeros(level.shape, bool)
        for hole in holes:
            span = []
            for axis, factor in enumerate((2, 3)):
                low, high = hole[axis] - reach[axis] - 1, hole[axis] + reach[axis] + 1
                further = (twice - 1) * reach[axis]
                span.append(slice(max(low // factor - further, 0), high // factor + 1 + further))
            touched[tuple(span)] = True
        np.testing.assert_array_equal(level[~touched], clean[~touched])
        assert (level != clean).any() or method.name == "nearest"
        if skipna and method.name != "nearest":
            assert not np.isnan(level).any()


@pytest.mark.parametrize("name", ["gaussian", "resize", "zoom"])
def test_c3_beside_nan_filters_are_normalised_convolutions(name):
    # an image of two halves: what is left is a constant, and must not darken towards the hole
    data = np.full((40, 40), 100, "f4")
    data[:, 17:] = np.nan
    for level in compute(da.from_array(data, 9), "yx", [{"y": 2, "x": 2}, {"y": 2, "x": 2}], name):
        assert set(np.unique(level[~np.isnan(level)])) == {100.0}
        assert np.isnan(level[:, -2:]).all()
        assert not np.isnan(level[:, 0]).any()


@every_method
def test_c3_a_level_of_nan_stays_nan(method):
    for level in compute(np.full((7, 9), np.nan, "f4"), "yx", [{"y": 2, "x": 3}, {"y": 2}], method):
        assert np.isnan(level).all()


# --- C4 -------------------------------------------------------------------------------------------------------------

ZYX = (5, 23, 26)
STEPS = [{"z": 2, "y": 3, "x": 2}, {"y": 2, "x": 5}, {"z": 3, "y": 2}]


def awkward(dtype):
    """Values whose sums depend on the order of addition, with NaN, ties and infinities in between."""
    rng = np.random.default_rng(11)
    kind = np.dtype(dtype).kind
    if kind in "iub":
        return rng.integers(0, 5, ZYX).astype(dtype)
    data = rng.standard_normal(ZYX) * 10.0 ** rng.integers(-2, 3, ZYX)
    data[rng.random(ZYX) < 0.3] = 1.5
    data[rng.random(ZYX) < 0.1] = np.nan
    data[:, 7:13, 10:16] = np.nan
    data[0, 0, 0], data[4, 22, 25] = np.inf, -np.inf
    return data.astype(dtype) if kind == "f" else (data + 1j * data[::-1]).astype(dtype)


AWKWARD = [(method, dtype) for method in METHODS.values() for dtype in ("u2", "f4", "c16") if takes(method, dtype)]


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize(("method", "dtype"), AWKWARD, ids=lambda item: getattr(item, "name", item))
@given(data=st.data())
@settings(max_examples=5)
def test_c4_neither_chunks_nor_layout_nor_order_of_dimensions_show(method, dtype, data):
    pixels = awkward(dtype)
    options = {"boundary": data.draw(st.sampled_from(["pad", "trim"]))}
    if method.skipna is None:
        options["skipna"] = data.draw(st.booleans())
    expected = [bits(level) for level in compute(pixels, "zyx", STEPS, method, **options)]
    order = data.draw(st.permutations(range(3)))
    turned = data.draw(st.sampled_from([np.ascontiguousarray, np.asfortranarray, mirrored, widened]))(pixels)
    turned = turned.transpose(order)
    np.testing.assert_array_equal(turned, pixels.transpose(order))
    dims = ["zyx"[axis] for axis in order]
    chunks = tuple(data.draw(chunkings(n)) for n in turned.shape)
    for source in (turned, da.from_array(turned, chunks)):
        levels = compute(source, dims, STEPS, method, **options)
        assert [bits(level.transpose(np.argsort(order))) for level in levels] == expected


def mirrored(data):
    return np.ascontiguousarray(data[::-1, :, ::-1])[::-1, :, ::-1]


def widened(data):
    padded = np.zeros([2 * n + 1 for n in data.shape], data.dtype)
    padded[1::2, :-1:2, 1::2] = data
    return padded[1::2, :-1:2, 1::2]


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@every_method
def test_c4_chunks_of_one_pixel_and_chunks_smaller_than_the_halo_do_not_show(method):
    pixels = awkward("f4")[0, :17, :13]
    steps = [{"y": 5, "x": 4}, {"y": 2, "x": 3}]
    expected = [bits(level) for level in compute(pixels, "yx", steps, method)]
    for chunks in ((1, 1), (2, 13), (17, 1), (3, 2), ((1, 15, 1), (6, 1, 6))):
        assert [bits(level) for level in compute(da.from_array(pixels, chunks), "yx", steps, method)] == expected


@every_method
def test_c4_a_part_of_a_level_is_the_same_pixels_computed_alone(method):
    pixels = np.random.default_rng(3).standard_normal((60, 70)).astype("f4")
    steps = [{"y": 2, "x": 3}, {"y": 2, "x": 2}]
    levels = downsample(da.from_array(pixels, (7, 11)), "yx", steps, method)
    for level in levels:
        full = level.compute(scheduler="synchronous")
        for part in ((slice(4, 6), slice(3, 8)), (slice(-1, None), slice(0, 1)), (slice(None), slice(5, 6))):
            assert bits(level[part].compute(scheduler="synchronous")) == bits(full[part])


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_c4_schedulers_do_not_show(scheduler):
    pixels = awkward("f4")
    chosen = [*METHODS.values(), get_method(np.ptp)]
    expected = [bits(level) for method in chosen for level in compute(pixels, "zyx", STEPS, method)]
    chunked = da.from_array(pixels, (2, 7, 11))
    lazy = [level for method in chosen for level in downsample(chunked, "zyx", STEPS, method)]
    assert [bits(level) for level in dask.compute(*lazy, scheduler=scheduler, num_workers=2)] == expected


def test_c5_a_dimension_of_one_pixel_shrinks_no_further():
    data = np.random.default_rng(4).standard_normal((1, 6, 1, 5)).astype("f4")
    for method in METHODS.values():
        asked = compute(data, "czyx", [{"c": 3, "z": 2, "y": 4, "x": 5}, {"z": 3, "x": 2}], method)
        plain = compute(data, "czyx", [{"z": 2, "x": 5}, {"z": 3}], method)
        assert [bits(level) for level in asked] == [bits(level) for level in plain]
        assert [level.shape for level in asked] == [(1, 3, 1, 1), (1, 1, 1, 1)]


# --- labels -----------------------------------------------------------------------------------------------------------


def test_the_table_says_which_methods_keep_values():
    assert sorted(name for name, method in METHODS.items() if method.keeps_values) == sorted(KEEPING)
    assert [name for name, method in METHODS.items() if method.sampled] == ["nearest"]
    assert {name for name, method in METHODS.items() if method.smoothing} == set(FILTERS)


@pytest.mark.parametrize("name", KEEPING)
@pytest.mark.parametrize("boundary", ["pad", "trim"])
def test_c3_no_label_is_invented_and_each_comes_from_its_own_block(name, boundary):
    labels = np.array([0, 2**53 + 1, 2**53 + 2, 2**63 + 1, 2**64 - 2, 2**64 - 1], "u8")
    data = np.random.default_rng(12).choice(labels, (21, 34))
    levels = compute(da.from_array(data, (8, 5)), "yx", [{"y": 2, "x": 3}] * 2, name, boundary=boundary)
    for above, level in itertools.pairwise([data, *levels]):
        for y, x in np.ndindex(*level.shape):
            assert level[y, x] in above[2 * y : 2 * y + 2, 3 * x : 3 * x + 3]


@given(st.integers(0, 2**32 - 1), st.permutations([0, 1, 2, 2**64 - 1]), st.sampled_from([2, 3, 4]))
@settings(max_examples=30)
def test_c3_mode_does_not_depend_on_what_labels_are_called(seed, names, factor):
    data = np.random.default_rng(seed).integers(0, 4, (13, 14))
    renamed = np.array(names, "u8")[data]
    steps = [{"y": factor, "x": 2}, {"y": 2, "x": factor}]
    for level, other in zip(compute(data, "yx", steps, "mode"), compute(renamed, "yx", steps, "mode"), strict=True):
        np.testing.assert_array_equal(np.array(names, "u8")[level], other)


def test_c3_ties_of_mode_go_to_the_pixels_where_joined_blocks_meet():
    # all 16 pixels differ, so that every block is a tie
    (level,) = compute(np.arange(16).reshape(4, 4), "yx", [{"y": 2, "x": 2}], "mode")
    assert level.tolist() == [[5, 6], [9, 10]]
    # cut blocks: an even one has no pixel after its last; C order from the corner goes along x first
    (row,) = compute(np.array([1, 2, 2, 1, 7, 8]), "x", [{"x": 4}], "mode")
    assert row.tolist() == [1, 7]
    (row,) = compute(np.array([1, 2, 3, 4, 5]), "x", [{"x": 2}], "mode")
    assert row.tolist() == [2, 3, 5]
    (block,) = compute(np.array([[1, 2], [2, 1]]), "yx", [{"y": 2, "x": 2}], "mode")
    assert block.tolist() == [[1]]
    (block,) = compute(np.array([[1, 1], [2, 2]]), "yx", [{"y": 2, "x": 2}], "mode")
    assert block.tolist() == [[2]]
    # and of the dimensions in canonical order: a block read x first, whatever the order in memory
    tied = np.array([[1, 2, 3], [3, 1, 2]])
    (block,) = compute(tied, "yx", [{"y": 2, "x": 3}], "mode")
    (other,) = compute(tied.T, "xy", [{"y": 2, "x": 3}], "mode")
    assert block.tolist() == other.tolist() == [[2]]


def disks(count, size):
    """Disks of random radius at random places between pixels, one an image."""
    rng = np.random.default_rng(2024)
    radius = rng.uniform(9, 22, (count, 1, 1))
    y, x = (rng.uniform(size / 2 - 8, size / 2 + 8, (count, 1, 1)) for _ in range(2))
    rows, columns = np.mgrid[:size, :size]
    return (rows - y) ** 2 + (columns - x) ** 2 < radius**2


def half_planes(count, size):
    """Half planes whose edges pass near the centre at any angle, one an image."""
    rng = np.random.default_rng(99)
    angle = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    offset = rng.uniform(-12, 12, (count, 1, 1))
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    return rows * np.sin(angle) + columns * np.cos(angle) < offset


def areas_and_centroids(images, scale):
    area = images.sum((1, 2)) * float(scale**2)
    positions = (np.arange(images.shape[1]) + 0.5) * scale - 0.5
    sums = images.sum(2) @ positions, images.sum(1) @ positions
    return area, np.stack([total * scale**2 / area for total in sums])


def smallest_wins(blocks, axis):
    return np.median(blocks, axis) > 0.5


def first_wins(blocks, axis):
    first = blocks[:, :, 0, 0]
    return np.where(blocks.mean(axis) == 0.5, first, blocks.mean(axis) > 0.5)


def growth_and_drift(images, method):
    """Relative change of all area, and the mean displacement in pixels of level 0, after three halvings."""
    level = compute(images, ["t", "y", "x"], [{"y": 2, "x": 2}] * 3, method)[-1]
    area, centroid = areas_and_centroids(images, 1)
    coarse, moved = areas_and_centroids(level, 8)
    return coarse.sum() / area.sum() - 1, np.abs((moved - centroid).mean(1)).max()


@pytest.mark.parametrize("shapes", [disks, half_planes])
def test_c3_mode_neither_erodes_nor_dilates_nor_moves_objects(shapes):
    images = shapes(300, 96)
    grown, drift = growth_and_drift(images, "mode")
    assert abs(grown) < 0.02
    assert drift < 0.3
    # of what is left over when the objects are taken away, the same
    background, _ = growth_and_drift(~images, "mode")
    assert abs(background) < 0.02
    # the rules that come to mind first are worse by far, or this test could not fail
    eroded, _ = growth_and_drift(images, smallest_wins)
    assert eroded < -0.03
    assert abs(grown) < abs(eroded) / 4
    _, moved = growth_and_drift(images, first_wins)
    assert moved > 0.4
    assert drift < moved / 4


# --- methods that users bring -----------------------------------------------------------------------------------------

NINETY = functools.partial(np.percentile, q=90)
CALLABLES = {
    "ptp": np.ptp,
    "partial": NINETY,
    "lambda": lambda blocks, axis: blocks.max(axis) - blocks.mean(axis),
    "std": np.std,
    "nanmax": np.nanmax,
}


@pytest.mark.parametrize("function", CALLABLES.values(), ids=CALLABLES)
@pytest.mark.parametrize("dtype", ["u1", "i4", "f4", "f8"])
def test_c3_a_function_is_what_coarsen_makes_of_it(function, dtype):
    data = np.random.default_rng(21).integers(0, 100, (4, 20, 27)).astype(dtype)
    image = xr.DataArray(data, dims=["z", "y", "x"])
    for step, boundary in (({"y": 2, "x": 3}, "pad"), ({"z": 2, "y": 6, "x": 4}, "trim"), ({"x": 5}, "trim")):
        oracle = image.coarsen(step, boundary=boundary).reduce(function).values
        oracle = np.rint(oracle) if dtype in ("u1", "i4") else oracle
        (level,) = compute(da.from_array(data, (2, 7, 8)), "zyx", [step], function, boundary=boundary)
        assert level.dtype == data.dtype
        np.testing.assert_allclose(level, oracle.astype(dtype), rtol=1e-6 if dtype == "f4" else 1e-13)


@given(st.integers(0, 2**32 - 1), chunkings(13), chunkings(11), st.sampled_from(["pad", "trim"]))
@settings(max_examples=25)
def test_c4_a_function_is_given_whole_blocks_and_cut_ones_as_they_are(seed, rows, columns, boundary):
    data = np.random.default_rng(seed).integers(0, 250, (13, 11)).astype("u1")
    steps = [{"y": 3, "x": 2}, {"y": 2, "x": 4}]
    levels = compute(da.from_array(data, (rows, columns)), "yx", steps, np.mean, boundary=boundary)
    mean = from_the_level_above(mean_of_block)
    for level, wanted in zip(levels, mean(data, [[3, 2], [2, 4]], boundary, True, levels), strict=True):
        np.testing.assert_array_equal(level, wanted)


def fails(blocks, axis):
    raise ZeroDivisionError("no such luck")


@pytest.mark.parametrize(
    ("dtype", "function", "error", "says"),
    [
        ("u1", lambda blocks, axis: blocks.sum(axis, dtype="i8") + 200, DtypeError, "<lambda>"),
        ("u1", lambda blocks, axis: -1.0 - blocks.mean(axis), DtypeError, "<lambda>"),
        ("u1", lambda blocks, axis: np.nan * blocks.mean(axis), DtypeError, "nan"),
        ("i8", lambda blocks, axis: 2.0**63 + 0 * blocks.mean(axis), DtypeError, "<lambda>"),
        ("u8", lambda blocks, axis: np.full(len(blocks), -1), DtypeError, "-1"),
        ("f4", lambda blocks, axis: blocks.mean(axis) + np.float64(1e300), DtypeError, "<lambda>"),
        ("f4", lambda blocks, axis: blocks.mean(axis) + 1j, DtypeError, "<lambda>"),
        ("u1", lambda blocks, axis: np.full(len(blocks), "a"), MethodError, "numbers"),
        ("u1", lambda blocks, axis: blocks, MethodError, "<lambda>"),
        ("u1", lambda blocks, axis: 5, MethodError, "<lambda>"),
        ("u1", lambda blocks, axis: blocks.max(), MethodError, "<lambda>"),
        ("u1", lambda blocks, axis: None, OmeZarrError, "<lambda>"),
        ("u1", lambda blocks: blocks, MethodError, "<lambda>"),
        ("u1", np.median, None, ""),
        ("u1", fails, MethodError, "no such luck"),
    ],
)
def test_c7_what_a_function_does_wrong_is_told_with_its_name(dtype, function, error, says):
    data = np.full((12, 12), 60, dtype)
    if error is None:
        assert (compute(data, "yx", [{"y": 2}], function)[0] == 60).all()
        return
    with pytest.raises(error) as caught:
        compute(da.from_array(data, 5), "yx", [{"y": 2, "x": 4}], function)
    assert says in str(caught.value)
    assert get_method(function).name.rsplit(".", 1)[-1] in str(caught.value)


def image_of(dtype="u2", **sizes):
    sizes = sizes or {"c": 2, "y": 45, "x": 50}
    data = np.random.default_rng(33).integers(0, 200, tuple(sizes.values())).astype(dtype)
    image = xr.DataArray(data, dims=tuple(sizes), name="cells", attrs={"gain": 2})
    return image.omezarr.assign_grid(scale={"y": 0.5, "x": 0.25}, translation={"x": 3.0}, units="um")


def multiscale(store, version):
    attrs = zarr.open_group(store, mode="r").attrs.asdict()
    return (attrs if version == "0.4" else attrs["ome"])["multiscales"][0]


SPREAD = Method("spread", "largest less smallest", functools.partial(reducing, function=np.ptp), kinds="iuf")
CORNER = Method(
    "corner",
    "the first pixel of each block",
    functools.partial(reducing, function=lambda blocks, axis: blocks[:, :, 0, 0]),
    sample=lambda factor: 0,
)


def same_levels(found, wanted):
    assert len(found.omezarr.levels) == len(wanted.omezarr.levels) > 1
    for level, other in zip(found.omezarr.levels, wanted.omezarr.levels, strict=True):
        assert bits(level.values) == bits(other.values)
        for dim in other.dims:
            assert bits(level[dim].values) == bits(other[dim].values)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(
    ("method", "name"),
    [(np.ptp, "numpy.ptp"), (NINETY, "numpy.percentile"), (SPREAD, "spread")],
    ids=["ptp", "partial", "row"],
)
def test_c6_a_method_of_ones_own_is_stored_under_its_name(tmp_path, method, name, version):
    image = image_of()
    tree = image.omezarr.pyramid(method=method, factors=2, levels=3)
    store = tmp_path / "cells.ome.zarr"
    image.omezarr.to_zarr(store, method=method, factors=2, levels=3, version=version, chunks={"y": 16, "x": 16})
    assert multiscale(store, version)["type"] == name
    same_levels(xr.open_datatree(store, engine="omezarr"), tree)


def test_a_new_method_is_one_row_and_its_coordinates_follow_its_sample():
    y, x = np.ogrid[0:45, 0:50]
    image = image_of().copy(data=np.broadcast_to((0.5 * y + 0.25 * x)[None], (2, 45, 50)))
    tree = image.omezarr.pyramid(method=CORNER, factors=[{"y": 2, "x": 3}, {"y": 3, "x": 2}])
    assert len(tree.omezarr.levels) == 3
    for level in tree.omezarr.levels:
        np.testing.assert_allclose(level.values, (level.y + level.x - 3.0).broadcast_like(level).values, rtol=1e-12)
    with pytest.raises(DtypeError, match="spread"):
        image.astype(complex).omezarr.pyramid(method=SPREAD, factors=2, levels=2)
    assert "spread" not in METHODS


# --- end to end -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(
    ("method", "dtype"),
    [(method, dtype) for method in METHODS.values() for dtype in ("u2", "f4") if takes(method, dtype)],
    ids=lambda item: getattr(item, "name", item),
)
def test_c4_what_is_written_is_what_pyramid_makes_bit_for_bit(tmp_path, method, version, dtype):
    image = image_of(dtype)
    options = {"method": method.name, "factors": [{"y": 2, "x": 3}, 2]}
    tree = image.omezarr.pyramid(**options)
    store = tmp_path / "cells.ome.zarr"
    chunked = image.chunk({"c": 1, "y": 13, "x": 9})
    chunked.omezarr.to_zarr(store, version=version, chunks={"y": 8, "x": 8}, **options)
    assert multiscale(store, version)["type"] == method.name
    found = xr.open_datatree(store, engine="omezarr")
    same_levels(found, tree)
    xr.testing.assert_identical(found.omezarr.level(0).load().drop_attrs(), image.drop_attrs())


def test_bool_images_are_written_by_mode_unless_another_method_is_asked_for(tmp_path):
    mask = xr.DataArray(disks(1, 96)[0], dims=["y", "x"], name="mask").omezarr.assign_grid(scale={"y": 1.0, "x": 1.0})
    for name in ("mode", "median", "min", "max", "gaussian", "zoom", "resize", "nearest", "local_mean"):
        mask.omezarr.to_zarr(tmp_path / f"{name}.ome.zarr", method=name, levels=3)
        found = xr.open_datatree(tmp_path / f"{name}.ome.zarr", engine="omezarr").omezarr.level(2)
        assert found.dtype == bool
        assert 0 < found.values.mean() < 1
    mask.omezarr.to_zarr(tmp_path / "default.ome.zarr", levels=3)
    assert multiscale(tmp_path / "default.ome.zarr", "0.4")["type"] == "mode"


# --- C7, C9 -----------------------------------------------------------------------------------------------------------


class Unreadable:
    """An array whose pixels nobody may read."""

    shape = (8, 30, 50)
    ndim = 3

    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)

    def __array__(self, *_, **__):
        raise AssertionError("the array was read")

    def __getitem__(self, index):
        raise AssertionError(f"{index} was read")


def unreadable(dtype="u2"):
    """The same as a DataArray on dask."""

    def explode(block):
        raise AssertionError("a block was computed")

    empty = da.zeros((64, 64), chunks=(20, 64), dtype=dtype)
    return xr.DataArray(empty.map_blocks(explode, dtype=dtype, meta=np.empty((0, 0), dtype)), dims=["y", "x"])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gauss", "did you mean method='gaussian'"),
        ("Gaussian", "did you mean method='gaussian'"),
        ("linear", "did you mean method='resize'"),
        ("laplace", "did you mean method='laplacian'"),
        ("average", "did you mean method='local_mean'"),
        ("mean", "did you mean method='local_mean'"),
        ("median ", "did you mean method='median'"),
        ("maximum", "did you mean method='max'"),
        ("majority", "did you mean method='mode'"),
        ("", "method="),
        (3, "method="),
        (["mode"], "method="),
    ],
)
def test_c7_an_unknown_method_is_answered_before_anything_is_computed(tmp_path, name, says):
    image = unreadable()
    store = tmp_path / "cells.ome.zarr"
    for call in (
        lambda: get_method(name),
        lambda: image.omezarr.pyramid(method=name),
        lambda: image.omezarr.to_zarr(store, method=name),
    ):
        with pytest.raises(MethodError) as error:
            call()
        assert says in str(error.value)
        assert repr(name) in str(error.value)
        for known in METHODS:
            assert known in str(error.value)
    assert not store.exists()


@every_method
@pytest.mark.parametrize(
    ("step", "says"),
    [
        ({"x": 0}, "'x' in step 0 is 0"),
        ({"x": -2}, "-2"),
        ({"x": 0.5}, "0.5"),
        ({"x": 2.0}, "2.0"),
        ({"x": "2"}, "'2'"),
        ({"q": 2}, "'q'"),
    ],
)
def test_c7_faulty_factors_are_told_before_anything_is_read(tmp_path, method, step, says):
    dtype = "u2" if takes(method, "u2") else "f4"
    with pytest.raises(FactorError, match=says):
        downsample(Unreadable(dtype), "zyx", [step], method)
    store = tmp_path / "cells.ome.zarr"
    image = unreadable(dtype)
    for call in (image.omezarr.pyramid, functools.partial(image.omezarr.to_zarr, store)):
        with pytest.raises(FactorError):
            call(method=method.name, factors=step)
    assert not store.exists()


@every_method
def test_c7_a_skipna_that_contradicts_the_method_is_refused(tmp_path, method):
    image = unreadable("f4")
    for skipna in (True, False):
        if method.skipna in (None, skipna):
            image.omezarr.pyramid(method=method.name, skipna=skipna)
            continue
        for call in (image.omezarr.pyramid, functools.partial(image.omezarr.to_zarr, tmp_path / "x.ome.zarr")):
            with pytest.raises(MethodError, match=f"skipna={skipna}") as error:
                call(method=method.name, skipna=skipna)
            assert method.name in str(error.value)
    for skipna in ("no", 2):
        with pytest.raises(MethodError, match="skipna"):
            image.omezarr.pyramid(method=method.name, skipna=skipna)


def test_c7_functions_are_never_asked_to_skip_nan():
    with pytest.raises(MethodError, match=r"ptp.*skipna=True"):
        unreadable("f4").omezarr.pyramid(method=np.ptp, skipna=True)


@pytest.mark.parametrize("dtype", ["?", "u1", "i4", "u8"])
def test_c7_laplacian_of_integers_is_refused_with_the_cure(tmp_path, dtype):
    image = unreadable(dtype)
    for call in (image.omezarr.pyramid, functools.partial(image.omezarr.to_zarr, tmp_path / "x.ome.zarr")):
        with pytest.raises(DtypeError, match=r"laplacian.*astype\('float(32|64)'\)"):
            call(method="laplacian")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["median", "min", "max"])
def test_c7_complex_numbers_have_no_order(name):
    with pytest.raises(DtypeError, match=name):
        unreadable("c8").omezarr.pyramid(method=name)


@pytest.mark.parametrize("method", [*METHODS, np.ptp, SPREAD], ids=[*METHODS, "function", "row"])
def test_c9_a_pyramid_reads_nothing(method):
    tree = unreadable("f4").omezarr.pyramid(method=method, levels=3)
    assert [level.shape for level in tree.omezarr.levels] == [(64, 64), (32, 32), (16, 16)]
    with pytest.raises(AssertionError, match="a block was computed"):
        tree.omezarr.level(1).compute(scheduler="synchronous")


@pytest.mark.parametrize("method", [*METHODS, np.ptp], ids=[*METHODS, "function"])
def test_what_the_caller_gives_is_left_as_it_is(tmp_path, method):
    image = image_of("f4")
    image.values[0, 3, 4] = np.nan
    factors = [{"y": 2}, {"y": 2, "x": 3}, 2]
    chunks = {"y": 16, "x": 16}
    options = {"method": method, "factors": factors, "boundary": "trim"}
    before = copy.deepcopy((image, factors, chunks))
    tree = image.omezarr.pyramid(**options)
    untouched = tree.copy(deep=False)
    encodings = copy.deepcopy([node.encoding for node in tree.subtree])
    image.omezarr.to_zarr(tmp_path / "image.ome.zarr", chunks=chunks, **options)
    tree.omezarr.to_zarr(tmp_path / "tree.ome.zarr", chunks=chunks)
    xr.testing.assert_identical(image, before[0])
    assert image.encoding == before[0].encoding
    assert (factors, chunks) == before[1:]
    xr.testing.assert_identical(tree, untouched)
    assert [node.encoding for node in tree.subtree] == encodings


@every_method
def test_what_is_computed_is_neither_the_callers_memory_nor_writes_to_it(method):
    data = np.random.default_rng(5).standard_normal((12, 10)).astype("f4")
    data.flags.writeable = False
    for steps in ([{"y": 2, "x": 3}, {"x": 2}], [{}, {"y": 1}]):
        for level in compute(data, "yx", steps, method):
            assert level.shape[0] in (6, 12)
