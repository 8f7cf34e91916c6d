"""Regular grids: arithmetic, and the fit that finds the simplest one under a row of coordinates (C1, C2)."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from xomezarr import errors
from xomezarr.grid import REGULAR_WITHIN, Grid, block_count, step_factor


@st.composite
def decimals(draw: st.DrawFn, digits: int = 6, signed: bool = False) -> float:
    """Numbers as people write them: few digits, any sensible magnitude."""
    number = draw(st.integers(-(10**digits) if signed else 1, 10**digits))
    return float(f"{number}e{draw(st.integers(-digits - 3, 2))}")


@st.composite
def decimal_grids(draw: st.DrawFn, min_size: int = 2) -> Grid:
    scale, translation = draw(decimals()), draw(decimals(signed=True))
    assume(abs(translation) < 1e8 * scale)
    return Grid(scale, translation, draw(st.integers(min_size, 3000)))


def ulps_apart(first: float, second: float) -> float:
    return abs(first - second) / float(np.spacing(max(abs(first), abs(second))))


# --- arithmetic ---------------------------------------------------------------


def test_c2_coarsening_shifts_to_the_centre_of_the_block() -> None:
    assert Grid(0.5, 0.0, 512).coarsen(2) == Grid(1.0, 0.25, 256)
    assert Grid(0.5, 10.0, 10).coarsen(3) == Grid(1.5, 10.5, 4)
    assert Grid(0.5, 10.0, 10).coarsen(3, boundary="trim") == Grid(1.5, 10.5, 3)
    assert Grid(0.5, 10.0, 10).coarsen(4, sample=1) == Grid(2.0, 10.5, 3)


@given(st.integers(-1000, 1000), st.integers(1, 9), st.integers(2, 300), st.integers(1, 5))
def test_c2_a_coarse_pixel_lies_at_the_mean_of_those_that_it_joins(
    origin: int, step: int, size: int, factor: int
) -> None:
    grid = Grid(step / 8, origin / 8, size)  # eighths are exact in float64
    coarse = grid.coarsen(factor, boundary="trim")
    whole = size // factor
    means = [
        Fraction(sum(map(Fraction, grid.coordinates[i * factor : (i + 1) * factor].tolist())), factor)
        for i in range(whole)
    ]
    assert coarse.size == max(whole, 1)
    assert [Fraction(x) for x in coarse.coordinates[:whole].tolist()] == pytest.approx(means, abs=1e-12)


@given(st.integers(1, 1000), st.integers(1, 20))
def test_c5_blocks_cover_the_image_or_are_whole(size: int, factor: int) -> None:
    assert block_count(size, factor, "pad") == len(range(0, size, factor))
    assert block_count(size, factor, "trim") == max(len(range(factor, size + 1, factor)), 1)


def test_c5_a_single_pixel_shrinks_no_further() -> None:
    assert [step_factor(1, 3), step_factor(2, 3)] == [1, 3]


def test_c2_crop_compose_position_and_index() -> None:
    grid = Grid(0.5, 10.0, 8)
    assert grid.crop(2, 6) == Grid(0.5, 11.0, 4)
    assert grid.bounds == (9.75, 13.75)
    assert grid.index(grid.position(2.5)) == 2.5
    # the position under a second transform: 3 · (10 + 0.5 i) + 1
    assert grid.compose(3.0, 1.0).coordinates == pytest.approx(3 * grid.coordinates + 1)


@pytest.mark.parametrize("factor", [0, -1, 1.5, 2.0, True, "2"])
def test_c7_factors_are_integers_of_at_least_one(factor: object) -> None:
    with pytest.raises(errors.FactorError, match="factors=2"):
        Grid(1.0, 0.0, 4).coarsen(factor)  # type: ignore[arg-type]


# --- fit: what is found -------------------------------------------------------


@given(decimal_grids())
@example(Grid(0.325, 0.0, 2048))
@example(Grid(0.1, -1234.5, 1000))
@example(Grid(1e-300, 0.0, 5))
@example(Grid(1e300, 1e300, 3))
def test_c1_the_decimals_that_made_the_coordinates_are_found_again(grid: Grid) -> None:
    assert Grid.fit(grid.coordinates) == grid


@given(decimal_grids(min_size=200), st.integers(0, 100), st.sampled_from([1, 2, 3, 5, 7]))
@example(Grid(0.1, 0.0, 200), 3, 1)
@example(Grid(0.1, 0.0, 300), 0, 3)
def test_c1_a_slice_keeps_its_pixel_size_and_begins_at_its_first_pixel(grid: Grid, start: int, step: int) -> None:
    cropped = grid.coordinates[start::step]
    found = Grid.fit(cropped)
    assert ulps_apart(found.scale, float(f"{grid.scale * step:.12g}")) <= 1
    assert found.translation == pytest.approx(cropped[0], rel=1e-14, abs=4 * np.spacing(np.abs(cropped).max()))
    assert np.abs(found.coordinates - cropped).max() <= 4 * np.spacing(np.abs(cropped).max())


@given(decimal_grids(), st.sampled_from([2, 3, 4, 5, 6, 9]))
@example(Grid(0.1, 0.0, 100), 3)  # 3 * 0.1 is 0.30000000000000004
def test_c2_the_grids_of_coarser_levels_are_found_again(grid: Grid, factor: int) -> None:
    coarse = grid.coarsen(factor)
    assume(coarse.size > 1)
    found = Grid.fit(coarse.coordinates)
    assert np.array_equal(found.coordinates, coarse.coordinates)
    assert ulps_apart(found.scale, coarse.scale) <= (1 if grid.translation == 0 else 1e4)


@given(st.floats(0.01, 100), st.integers(2, 1000))
def test_c1_a_scale_that_is_no_short_decimal_is_found_by_its_bits(scale: float, size: int) -> None:
    grid = Grid(scale, 0.0, size)
    assert np.array_equal(Grid.fit(grid.coordinates).coordinates, grid.coordinates)


@pytest.mark.parametrize(
    ("coordinates", "expected"),
    [
        (np.linspace(0, 1, 11), Grid(0.1, 0.0, 11)),
        (np.linspace(-5, 5, 101), Grid(0.1, -5.0, 101)),
        (np.linspace(0, 1, 4), Grid(1 / 3, 0.0, 4)),
        (np.arange(0, 10, 0.1), Grid(0.1, 0.0, 100)),
        (np.cumsum(np.full(1000, 0.1)), Grid(0.1, 0.1, 1000)),
        (np.cumsum(np.full(65_000, 0.325)), Grid(0.325, 0.325, 65_000)),
        (np.arange(512) * (100 / 512), Grid(0.1953125, 0.0, 512)),
        (np.arange(100) * 325e-9, Grid(3.25e-7, 0.0, 100)),
        (np.arange(5) * 5e-324, Grid(5e-324, 0.0, 5)),
        (np.array([0.1, 0.4]), Grid(0.3, 0.1, 2)),
        (np.arange(250, 256, dtype="u1"), Grid(1.0, 250.0, 6)),
        (np.arange(-3, 3, dtype="i2"), Grid(1.0, -3.0, 6)),
        (np.arange(0, 10, 5, dtype=">i4"), Grid(5.0, 0.0, 2)),
        (np.array([-(2**63), 2**63 - 1]), Grid(2.0**64, -(2.0**63), 2)),
        (1_700_000_000_000_000_000 + np.arange(4) * 10**9, Grid(1e9, 1.7e18, 4)),
        (np.arange(20, dtype="f2"), Grid(1.0, 0.0, 20)),
        ((np.arange(20) * 0.1).astype("f2"), Grid(0.1, 0.0, 20)),
        (np.arange(5, dtype=np.longdouble) * 0.5, Grid(0.5, 0.0, 5)),
        ([10.0, 10.325, 10.65], Grid(0.325, 10.0, 3)),
    ],
)
def test_c1_what_numpy_computes_is_found(coordinates: NDArray[np.float64], expected: Grid) -> None:
    assert Grid.fit(coordinates) == expected


def test_c1_arange_is_found_to_rounding() -> None:
    # `arange` itself steps by (-3 + 0.65) - (-3), which is not 0.65
    found = Grid.fit(np.arange(-3, 3, 0.65))
    assert ulps_apart(found.scale, 0.65) <= 1
    assert found.translation == -3.0


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    "grid", [Grid(0.1, 0.0, 2000), Grid(0.325, 50_000.0, 2000), Grid(0.65, -4096.0, 512), Grid(0.1083, 7.25, 300)]
)
def test_c1_float32_noise_is_seen_through(grid: Grid, dtype: str) -> None:
    stored = grid.coordinates.astype("f4").astype(dtype)
    assert Grid.fit(stored) == grid


@given(decimal_grids(min_size=3), st.integers(0, 2**32))
def test_c1_jitter_within_the_documented_fraction_is_accepted(grid: Grid, seed: int) -> None:
    jitter = np.random.default_rng(seed).uniform(-0.4, 0.4, grid.size) * REGULAR_WITHIN
    stored = grid.coordinates + jitter * grid.scale
    found = Grid.fit(stored)
    assert np.abs(found.coordinates - stored).max() <= REGULAR_WITHIN * grid.scale * 1.01
    assert found.scale == pytest.approx(grid.scale, rel=REGULAR_WITHIN)


def test_c1_fitting_is_fast() -> None:
    rows = [
        Grid(0.325, -1e4, 200_000).coordinates,
        Grid(1 / 3, 0.0, 200_000).coordinates,
        np.linspace(0, 1, 200_000),
        np.cumsum(np.full(200_000, 0.1)),
        Grid(0.325, 0.0, 200_000).coordinates.astype("f4"),
    ]
    for row in rows:
        taken = []
        for _ in range(3):
            start = time.perf_counter()
            Grid.fit(row)
            taken.append(time.perf_counter() - start)
        assert min(taken) < 0.1


# --- fit: what is refused -----------------------------------------------------


@pytest.mark.parametrize(
    ("coordinates", "error", "parts"),
    [
        ([0, 1, 3], errors.IrregularCoordinateError, ()),
        (np.r_[0:5, 6:10] * 0.5, errors.IrregularCoordinateError, ("index 5", "3.0 follows 2.0", "step is 0.5")),
        (np.r_[0.5, 1:10], errors.IrregularCoordinateError, ("index 1", "1.0 follows 0.5")),
        (np.r_[0:9, 8.2], errors.IrregularCoordinateError, ("index 9", "8.2 follows 8.0")),
        (np.r_[0, 1.03, 2:10], errors.IrregularCoordinateError, ("index 1", "1.03 follows 0.0")),
        (np.arange(100) + 1e-4 * np.arange(100) ** 2, errors.IrregularCoordinateError, ("index 0", "0.16 of a pixel")),
        (np.array([254, 255, 0, 1], "u1"), errors.IrregularCoordinateError, ("goes back from 255 to 0 at index 2",)),
        ([0, 1, 0.5], errors.IrregularCoordinateError, ("goes back from 1.0 to 0.5 at index 2", "sortby('x')")),
        ([2, 1, 0], errors.DescendingCoordinateError, ("from 2 to 0", "sortby('x')")),
        (np.array([3, 2, 1], "u1"), errors.DescendingCoordinateError, ("from 3 to 1",)),
        ([0, 0, 1], errors.DuplicateCoordinateError, ("is 0 at index 0 and at index 1", "drop_duplicates('x')")),
        ([1, 1, 1], errors.DuplicateCoordinateError, ("index 0",)),
        ([0, 1, np.nan], errors.CoordinateNaNError, ("nan at index 2", "assign_grid(")),
        ([-np.inf, 1], errors.CoordinateNaNError, ("-inf at index 0",)),
        ([], errors.EmptyDimensionError, ("no samples", "isel(")),
        ([3.0], errors.CoordinateError, ("one sample", "Grid(scale=1.0, translation=3.0, size=1)")),
        (2**60 + np.arange(5), errors.CoordinateError, (str(2**60), "steps of 1", "da['x'] - da['x'][0]")),
        (np.arange(2**64 - 4, 2**64 - 1, dtype="u8"), errors.CoordinateError, ("float64 cannot tell apart",)),
        ([-1.7e308, 0, 1.7e308], errors.CoordinateError, ("spans more than float64", "assign_grid(")),
        ([False, True], errors.CoordinateError, ("bool",)),
        ([1j, 2j], errors.CoordinateError, ("complex128",)),
        (["a", "b"], errors.CoordinateError, ("<U1",)),
        ([[0, 1], [2, 3]], errors.CoordinateError, ("shape (2, 2)",)),
    ],
)
def test_c7_the_first_sample_at_fault_is_named(
    coordinates: object, error: type[errors.OmeZarrError], parts: tuple[str, ...]
) -> None:
    with pytest.raises(error) as caught:
        Grid.fit(coordinates, dim="x")  # type: ignore[arg-type]
    assert type(caught.value) is error
    for part in ("'x'", *parts):
        assert part in str(caught.value)


@given(decimal_grids(min_size=8), st.data())
def test_c7_a_pixel_that_is_missing_is_named(grid: Grid, data: st.DataObject) -> None:
    missing = data.draw(st.integers(1, grid.size - 2))
    with pytest.raises(errors.IrregularCoordinateError, match=f"index {missing}:"):
        Grid.fit(np.delete(grid.coordinates, missing))
