"""Pyramids: which levels, which grids, and where the pixels lie (contracts C1, C2, C5, C9)."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import dask.array
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import xomezarr
from xomezarr import errors
from xomezarr.grid import Grid
from xomezarr.pyramid import design, lazy_levels


def image(shape: dict[str, int], dtype: str = "uint16", **scale: float) -> xr.DataArray:
    da = xr.DataArray(dask.array.zeros(tuple(shape.values()), dtype=dtype), dims=tuple(shape))
    return da.omezarr.assign_grid(scale=scale) if scale else da


def ramp(shape: dict[str, int], dim: str, scale: dict[str, float], translation: dict[str, float]) -> xr.DataArray:
    """Return an image whose pixel values are their own positions along `dim`."""
    empty = image(shape, "float64").omezarr.assign_grid(scale=scale, translation=translation)
    return (empty + empty[dim]).transpose(*shape)


def steps(tree: xr.DataTree) -> list[tuple[int, ...]]:
    return [level.shape for level in tree.omezarr.levels]


@pytest.mark.parametrize("boundary", ["pad", "trim"])
@pytest.mark.parametrize("method", ["local_mean", "nearest"])
@given(data=st.data())
def test_c2_on_a_ramp_pixels_lie_where_coordinates_say(method: str, boundary: str, data: st.DataObject) -> None:
    sizes = {dim: data.draw(st.integers(4, 40)) for dim in "zyx"}
    scale = {dim: data.draw(st.sampled_from([0.325, 0.5, 1.0, 2.0])) for dim in "zyx"}
    translation = {dim: data.draw(st.sampled_from([0.0, -17.5, 1000.25])) for dim in "zyx"}
    factors = data.draw(st.lists(st.fixed_dictionaries({d: st.integers(1, 4) for d in "zyx"}), min_size=1, max_size=3))
    if any(all(factor == 1 for factor in step.values()) for step in factors):
        return
    dim = data.draw(st.sampled_from("zyx"))
    da = ramp(sizes, dim, scale, translation)
    try:
        tree = da.omezarr.pyramid(method=method, factors=factors, boundary=boundary)
    except errors.FactorError:
        return  # a single pixel shrinks no further
    for level in tree.omezarr.levels:
        span = round(level[dim].attrs["scale"] / scale[dim])
        whole = level.isel({dim: slice(0, sizes[dim] // span)})
        error = np.abs(((whole - whole[dim]) / scale[dim]).values)
        assert error.max(initial=0.0) < 1e-9


def test_c2_scale_is_the_exact_product_of_factors_not_a_ratio_of_shapes() -> None:
    da = image({"y": 203, "x": 1001}, y=0.325, x=0.1)
    levels = da.omezarr.pyramid(factors=[{"y": 2, "x": 3}] * 4).omezarr.levels
    for index, level in enumerate(levels):
        assert level.omezarr.scale == {"y": 0.325 * 2**index, "x": pytest.approx(0.1 * 3**index, rel=1e-15)}
    assert levels[-1].sizes == {"y": 13, "x": 13}


def test_c2_block_methods_shift_the_translation_and_sampling_ones_by_the_sample() -> None:
    da = image({"y": 64, "x": 64}, y=0.5, x=0.5)
    mean = da.omezarr.pyramid(factors=2, levels=4).omezarr.levels
    assert [level.omezarr.translation["y"] for level in mean] == [0.0, 0.25, 0.75, 1.75]
    near = da.omezarr.pyramid(method="nearest", factors=2, levels=4).omezarr.levels
    assert [level.omezarr.translation["y"] for level in near] == [0.0, 0.0, 0.0, 0.0]
    third = da.omezarr.pyramid(method="nearest", factors=3, levels=3).omezarr.levels
    assert [level.omezarr.translation["y"] for level in third] == [0.0, 0.5, 2.0]


def test_c1_a_slice_of_an_image_is_placed_by_its_coordinates_not_by_remembered_attrs() -> None:
    da = image({"y": 64, "x": 64}, y=0.5, x=0.5).isel(x=slice(10, 40), y=slice(0, 64, 2))
    assert da.x.attrs["scale"] == 0.5
    assert da.y.attrs["scale"] == 0.5
    assert da.omezarr.translation == {"y": 0.0, "x": 5.0}
    assert da.omezarr.scale == {"y": 1.0, "x": 0.5}


def test_default_factors_make_spacings_equal() -> None:
    da = image({"z": 512, "y": 4096, "x": 4096}, z=2.0, y=0.5, x=0.5)
    plan = da.omezarr.plan("nowhere.ome.zarr")
    scales = [tuple(grid.scale for grid in level.grids.values()) for level in plan.levels]
    assert scales[:4] == [(2, 0.5, 0.5), (2, 1, 1), (2, 2, 2), (4, 4, 4)]


def test_default_factors_compare_spacings_in_common_units() -> None:
    da = image({"z": 64, "y": 64, "x": 64}, z=0.002, y=0.5, x=500.0)
    da = da.omezarr.assign_grid(units={"z": "mm", "y": "um", "x": "nm"})
    levels = da.omezarr.pyramid(levels=2).omezarr.levels
    assert levels[1].shape == (64, 32, 32)


def test_default_factors_leave_time_and_channels_alone() -> None:
    da = image({"t": 9, "c": 3, "y": 64, "x": 64}, t=1.0, y=1.0, x=1.0)
    assert steps(da.omezarr.pyramid(levels=3)) == [(9, 3, 64, 64), (9, 3, 32, 32), (9, 3, 16, 16)]


def test_a_factor_for_time_or_for_a_dimension_of_another_name_is_honoured() -> None:
    da = xr.DataArray(np.zeros((8, 16, 16), "uint8"), dims=("t", "row", "col"))
    tree = da.omezarr.pyramid(factors={"t": 2, "row": 4}, levels=2, axes={"row": "space", "col": "space"})
    assert steps(tree) == [(8, 16, 16), (4, 4, 16)]


@pytest.mark.parametrize("factors", [[3, 9], [4, 16], [3, 5]])
def test_integer_factors_are_taken_as_they_are(factors: list[int]) -> None:
    da = image({"y": 300, "x": 300})
    given = list(factors)
    cumulative = factors[1] == factors[0] ** 2
    context: Any = pytest.warns(errors.FactorWarning, match="levels=3") if cumulative else contextlib.nullcontext()
    with context:
        tree = da.omezarr.pyramid(factors=factors)
    product = [1, factors[0], factors[0] * factors[1]]
    assert steps(tree) == [(math.ceil(300 / f),) * 2 for f in product]
    assert factors == given


def test_single_pixels_shrink_no_further_and_keep_their_scale() -> None:
    da = image({"z": 1, "y": 64, "x": 64}, z=5.0, y=0.5, x=0.5)
    levels = da.omezarr.pyramid(factors=2, levels=3).omezarr.levels
    assert [level.shape for level in levels] == [(1, 64, 64), (1, 32, 32), (1, 16, 16)]
    assert [level.z.attrs["scale"] for level in levels] == [5.0, 5.0, 5.0]
    assert [float(level.z[0]) for level in levels] == [0.0, 0.0, 0.0]


def test_levels_stop_when_one_fits_in_a_chunk() -> None:
    assert len(image({"y": 2048, "x": 2048}).omezarr.plan("nowhere").levels) == 2
    assert len(image({"y": 100, "x": 90}).omezarr.plan("nowhere").levels) == 1
    plan = image({"z": 40, "y": 512, "x": 512}).omezarr.plan("nowhere", chunks={"z": 1, "y": 128, "x": 128})
    assert plan.levels[-1].shape == (10, 128, 128)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"factors": 0}, errors.FactorError, "factors is 0"),
        ({"factors": 2.0}, errors.FactorError, "2.0"),
        ({"factors": True}, errors.FactorError, "True"),
        ({"factors": "2"}, errors.FactorError, "'2'"),
        ({"factors": {"q": 2}}, errors.FactorError, "'q'"),
        ({"factors": {"y": -1, "q": 2}}, errors.MultipleErrors, "'q'"),
        ({"factors": [2, {"y": 0}]}, errors.FactorError, r"factors\[1\]\['y'\] is 0"),
        ({"factors": [2, 2], "levels": 5}, errors.FactorError, "levels=3"),
        ({"factors": 2, "levels": 20}, errors.FactorError, "would be the same"),
        ({"levels": 0}, errors.FactorError, "levels=0"),
        ({"levels": 2.5}, errors.FactorError, "levels=2.5"),
        ({"method": "local_meen"}, errors.MethodError, "local_mean"),
        ({"boundary": "exact"}, errors.FactorError, "exact"),
        ({"skipna": "yes"}, errors.MethodError, "yes"),
        ({"skipna": True, "method": "nearest"}, errors.MethodError, "never leaves NaN out"),
        ({"skipna": False, "method": "mode"}, errors.MethodError, "always leaves NaN out"),
        ({"axes": {"q": "space"}}, errors.AxisError, "'q'"),
    ],
)
def test_c7_what_cannot_be_asked_is_an_error_that_names_it(options: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        image({"y": 64, "x": 64}).omezarr.pyramid(**options)


def test_c7_independent_faults_are_told_together() -> None:
    da = image({"y": 4, "x": 4}).assign_coords(y=[0.0, 1.0, 5.0, 6.0], x=[3.0, 2.0, 1.0, 0.0])
    with pytest.raises(errors.MultipleErrors) as caught:
        da.omezarr.pyramid(method="no such", boundary="exact")
    message = str(caught.value)
    for part in ("'y' is irregular at index 2", "'x' descends", "no such", "exact"):
        assert part in message


def test_names_have_no_mean() -> None:
    da = image({"c": 4, "y": 8, "x": 8}).assign_coords(c=list("abcd"))
    with pytest.raises(errors.FactorError, match="'c'"):
        da.omezarr.pyramid(factors={"c": 2}, levels=2)
    plain = da.drop_vars("c").omezarr.pyramid(factors={"c": 2}, levels=2)
    assert steps(plain) == [(4, 8, 8), (2, 8, 8)]


def test_c9_a_pyramid_computes_nothing() -> None:
    def never(block: Any) -> Any:
        raise AssertionError("computed")

    lazy = dask.array.zeros((64, 64), chunks=16).map_blocks(never, dtype="f8", meta=np.empty((0, 0)))
    tree = xr.DataArray(lazy, dims=("y", "x")).omezarr.pyramid(levels=3)
    assert steps(tree) == [(64, 64), (32, 32), (16, 16)]
    with pytest.raises(AssertionError, match="computed"):
        tree.omezarr.level(1).compute()


def test_level_0_is_the_array_itself_and_levels_keep_name_attrs_and_coordinates() -> None:
    da = image({"c": 2, "y": 8, "x": 8}, y=1.0, x=1.0).rename("cells")
    da = da.assign_attrs(gain=2).assign_coords(c=["a", "b"], exposure=("c", [1, 2]), when=5, row=("y", range(8)))
    levels = da.omezarr.pyramid(levels=2).omezarr.levels
    assert levels[0].identical(da)
    assert levels[1].name == "cells"
    assert levels[1].attrs == {"gain": 2}
    assert set(levels[1].coords) == {"c", "y", "x", "exposure", "when"}


def test_dimensions_without_coordinates_have_them_where_they_shrink() -> None:
    levels = image({"y": 8, "x": 8}).omezarr.pyramid(levels=2).omezarr.levels
    assert not levels[0].coords
    np.testing.assert_array_equal(levels[1].y, [0.5, 2.5, 4.5, 6.5])


@pytest.mark.parametrize("method", ["local_mean", "nearest"])
def test_irregular_dimensions_that_shrink_keep_true_positions(method: str) -> None:
    z = np.array([0.0, 1.0, 4.0, 9.0, 16.0])
    da = xr.DataArray(np.broadcast_to(z[:, None, None], (5, 4, 4)).copy(), dims=("z", "y", "x"), coords={"z": z})
    plan = da.omezarr.plan("nowhere", irregular="keep", factors={"z": 2}, levels=2, method=method)
    assert plan.levels[0].grids["z"] == Grid(4.0, 0.0, 5)
    made = design(da, irregular="keep", factors={"z": 2}, levels=2, method=method)
    _, coarse = lazy_levels(da, made)
    np.testing.assert_array_equal(coarse.isel(y=0, x=0), coarse.z)


def test_a_coordinate_of_the_variables_name_is_refused() -> None:
    with pytest.raises(errors.CoordinateError, match="rename"):
        image({"y": 4, "x": 4}).assign_coords(image=1).omezarr.pyramid()


def test_indexes_of_auxiliary_coordinates_are_kept_and_names_that_a_tree_cannot_hold_refused() -> None:
    da = image({"c": 2, "y": 8, "x": 8}).assign_coords(wavelength=("c", [450, 520])).set_xindex("wavelength")
    assert set(da.omezarr.pyramid(levels=2).omezarr.level(1).xindexes) == {"wavelength", "y", "x"}
    with pytest.raises(errors.CoordinateError, match=r"rename\(\{'a/b': 'a_b'\}\)"):
        da.assign_coords({"a/b": 1}).omezarr.pyramid()


def test_functions_are_the_accessors_methods() -> None:
    da = image({"y": 64, "x": 64})
    xr.testing.assert_identical(xomezarr.pyramid(da, levels=2), da.omezarr.pyramid(levels=2))


@pytest.mark.parametrize(
    ("shape", "factors", "second"),
    [
        ({"z": 64, "y": 512, "x": 512}, {"z": 2}, (32, 512, 512)),
        ({"y": 3000, "x": 3000}, {"x": 2}, (3000, 1500)),
        ({"y": 300, "x": 300}, 2, (150, 150)),
    ],
)
def test_a_step_that_is_asked_for_is_taken_and_chunks_are_no_lines(
    shape: dict[str, int], factors: Any, second: tuple[int, ...]
) -> None:
    plan = image(shape).omezarr.plan("nowhere", factors=factors)
    assert plan.levels[1].shape == second
    pixels = math.prod(plan.levels[0].chunks.values())
    assert min(math.prod(shape.values()), 2**19) <= pixels <= 2**21


@pytest.mark.parametrize("factors", [1, {"y": 1, "x": 1}, [2, 1], {}])
def test_c7_steps_that_shrink_nothing_are_refused(factors: Any) -> None:
    with pytest.raises(errors.FactorError, match=r"nothing shrinks.*levels=1"):
        image({"y": 64, "x": 64}).omezarr.pyramid(factors=factors)


def test_c7_faults_of_factors_are_told_with_those_of_coordinates() -> None:
    da = image({"y": 4, "x": 4}).assign_coords(x=[3.0, 2.0, 1.0, 0.0])
    with pytest.raises(errors.MultipleErrors, match=r"descends[^$]*'q'"):
        da.omezarr.pyramid(factors={"q": 2})


def test_c7_sizes_that_dask_does_not_know() -> None:
    numbers = dask.array.from_array(np.arange(100).reshape(10, 10), chunks=5)
    da = xr.DataArray(numbers[numbers[:, 0] > 30], dims=("y", "x"))
    with pytest.raises(errors.EmptyDimensionError, match=r"compute_chunk_sizes\(\)\)$"):
        da.omezarr.pyramid()
    known = da.copy(data=da.data.compute_chunk_sizes())
    assert known.omezarr.pyramid(levels=2).omezarr.level(1).shape == (3, 5)


def test_c7_what_is_no_array_and_no_tree_is_told() -> None:
    for call in (xomezarr.pyramid, xomezarr.levels, lambda image: xomezarr.plan(image, "nowhere")):
        with pytest.raises(errors.OmeZarrError, match="make one"):
            call(np.zeros((8, 8)))  # type: ignore[operator]


def test_factors_may_be_a_numpy_array() -> None:
    assert len(image({"y": 90, "x": 90}).omezarr.pyramid(factors=np.array([3, 2])).omezarr.levels) == 3
