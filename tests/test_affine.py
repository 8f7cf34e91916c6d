"""Images that lie askew: the index, the nearest pixel, writing, reading, and other coordinate systems by name."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
import tomllib
import tracemalloc
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
import zarr
from asking import uv
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from xarray.indexes import CoordinateTransformIndex
from zarr.storage import MemoryStore

import xomezarr
from xomezarr.alignment import Frame, adopted
from xomezarr.cli import main
from xomezarr.errors import (
    CoordinateError,
    CoordinateSystemError,
    EmptyDimensionError,
    LabelError,
    LabelWarning,
    LevelError,
    MetadataChangedWarning,
    MetadataError,
    OmeZarrWarning,
    TransformError,
    UnitError,
)
from xomezarr.indexes import SystemIndex
from xomezarr.lattice import nearest, shortening
from xomezarr.testing import assert_identical
from xomezarr.transforms import Affine, Rotation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHEAR = [[1.0, 0.25, 3.0], [0.0, 1.0, -2.0]]
TURN = [[0.8, -0.6, 3.0], [0.6, 0.8, -2.0]]


def image(shape: tuple[int, ...] = (12, 20), dims: str = "yx", **scale: float) -> xr.DataArray:
    """Return an image whose pixels all differ."""
    pixels = np.arange(np.prod(shape), dtype="uint32").reshape(shape)
    da = xr.DataArray(pixels, dims=tuple(dims), name="cells")
    spatial = {dim: 0.5 for dim in dims if dim in "zyx"} | scale
    return da.omezarr.assign_grid(scale=spatial, translation={"x": 7.0}, units="um")  # type: ignore[no-any-return]


def opened(store: Any, **options: Any) -> xr.DataTree:
    return xr.open_datatree(store, engine="omezarr", **options)


def said(store: Any) -> dict[str, Any]:
    """Return what a store says of its image."""
    attrs: Any = zarr.open_group(store, mode="r").attrs.asdict()
    return attrs["ome"]["multiscales"][0]  # type: ignore[no-any-return]


def spoken(store: Any, transform: dict[str, Any], axes: list[dict[str, Any]] | None = None, **beside: Any) -> Any:
    """Write an image, and let another tool say that a transformation leads from it to a system "world"."""
    image().omezarr.to_zarr(store, version="0.6", levels=2)
    group = zarr.open_group(store)
    attrs: Any = group.attrs.asdict()
    multiscale = attrs["ome"]["multiscales"][0]
    axes = multiscale["coordinateSystems"][0]["axes"] if axes is None else axes
    multiscale["coordinateSystems"].append({"name": "world", "axes": axes, "theirs": 1})
    transforms = [{**transform, "input": {"name": "physical"}, "output": {"name": "world"}, **beside}]
    multiscale["coordinateTransformations"] = transforms
    group.attrs.update(attrs)
    return store


# -- the nearest pixel, against all of them ----------------------------------------------------------------


def everywhere(sizes: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.array(list(itertools.product(*map(range, sizes))), float)


@given(st.data())
@settings(deadline=None)
def test_the_nearest_pixel_is_that_of_all_pixels(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 3))
    number = st.floats(-3, 3, allow_subnormal=False)
    rows = count + data.draw(st.integers(0, 1))
    basis = np.array(data.draw(st.lists(number, min_size=rows * count, max_size=rows * count))).reshape(rows, count)
    assume(np.linalg.svd(basis, compute_uv=False)[-1] > 0.02)
    sizes = tuple(data.draw(st.integers(1, 6)) for _ in range(count))
    points = np.array([[data.draw(st.floats(-25, 25)) for _ in range(rows)] for _ in range(5)])
    found = nearest(basis, points, sizes)
    assert ((found >= 0) & (found < sizes)).all()
    distances = np.linalg.norm(points[:, None] - everywhere(sizes) @ basis.T, axis=-1).min(axis=1)
    np.testing.assert_allclose(np.linalg.norm(points - found @ basis.T, axis=-1), distances, rtol=1e-9, atol=1e-9)


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=80)
def test_the_nearest_pixel_is_found_where_steps_differ_by_far_or_are_nearly_parallel(seed: int) -> None:
    random = np.random.default_rng(seed)
    turned = np.linalg.qr(random.normal(size=(3, 3)))[0]
    sheared = np.eye(3) + np.triu(random.integers(-1000, 1000, (3, 3)), 1) * random.choice([0, 0.001, 1])
    basis = turned @ sheared @ np.diag(10.0 ** random.uniform(-2, 2, 3))[:, random.permutation(3)]
    sizes = tuple(random.integers(1, 12, 3).tolist())
    # within the image, at its edge, and beyond
    indices = random.uniform(-0.5, 1.5, (20, 3)) * sizes
    indices[:10] = np.clip(indices[:10], 0, np.array(sizes) - 1)
    points = indices @ basis.T + random.normal(size=(20, 3)) * random.choice([0, 0.1, 10])
    found = nearest(basis, points, sizes)
    assert ((found >= 0) & (found < sizes)).all()
    distances = np.linalg.norm(points[:, None] - everywhere(sizes) @ basis.T, axis=-1).min(axis=1)
    scale = np.abs(basis).max() * max(sizes) * 1e-12
    np.testing.assert_allclose(np.linalg.norm(points - found @ basis.T, axis=-1), distances, rtol=1e-9, atol=scale)


@given(st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_a_reduced_basis_is_one_of_the_same_lattice_with_short_steps(count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    basis = random.normal(size=(count, count)) * 10.0 ** random.uniform(-3, 3, count)
    basis = basis @ (np.eye(count) + np.triu(random.integers(-50, 50, (count, count)), 1))
    made = shortening(basis)
    # exactly: the determinant of integers, by fractions
    assert abs(determinant(made)) == 1
    short = np.linalg.norm(basis @ made, axis=0)
    # what Lenstra, Lenstra and Lovász prove of the product of lengths
    volume = abs(np.linalg.det(basis))
    assert np.prod(short) <= 2 ** (count * (count - 1) / 4) * volume * (1 + 1e-6)


def determinant(matrix: np.ndarray[Any, Any]) -> int:
    """Return the determinant of integers, by all permutations."""
    total = 0
    for order in itertools.permutations(range(len(matrix))):
        odd = sum(a > b for a, b in itertools.combinations(order, 2)) % 2
        total += (-1) ** odd * math.prod(int(matrix[row, column]) for row, column in enumerate(order))
    return total


@pytest.mark.parametrize("spread", [0.0, 30.0])
def test_many_points_are_found_in_little_memory_where_steps_differ_by_far(spread: float) -> None:
    random = np.random.default_rng(3)
    oblique = (
        np.linalg.qr(random.normal(size=(3, 3)))[0] @ [[0.7, 0, 0], [0.7, 1, 0], [0.05, 0, 1]] @ np.diag([50, 1, 0.01])
    )
    sizes = (200, 2048, 2048)
    points = random.random((20_000, 3)) * sizes @ oblique.T + random.normal(size=(20_000, 3)) * spread
    tracemalloc.start()
    found = nearest(oblique, points, sizes)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 64 * 2**20
    # no neighbour is nearer
    off = np.linalg.norm(found @ oblique.T - points, axis=1)
    for step in itertools.product((-1, 0, 1), repeat=3):
        beside = np.clip(found + step, 0, np.array(sizes) - 1)
        assert (np.linalg.norm(beside @ oblique.T - points, axis=1) >= off * (1 - 1e-9)).all()


def test_of_pixels_as_near_that_of_the_rounded_indices_is_found() -> None:
    basis = np.array([[0.5, 0.0], [0.0, 2.0]])
    halves = np.array(list(itertools.product(np.arange(-0.5, 6.0, 0.5), np.arange(-0.5, 4.0, 0.5))))
    expected = np.round(np.clip(halves, 0, [5, 3]))
    np.testing.assert_array_equal(nearest(basis, halves * [0.5, 2.0], (6, 4)), expected)


def test_rounding_the_indices_would_find_another_pixel() -> None:
    basis = np.array([[1.0, 3.0], [0.0, 1.0]])
    point = np.array([[4.4, 1.4]])
    rounded = np.round(point @ np.linalg.inv(basis).T)
    found = nearest(basis, point, (6, 3))
    assert (found != rounded).any()
    assert np.linalg.norm(point - found @ basis.T) < np.linalg.norm(point - rounded @ basis.T)


@st.composite
def askew(draw: st.DrawFn) -> xr.DataArray:
    """Draw an image that lies askew, in 2-D or 3-D, of which a part was taken, turned round or not."""
    ndim = draw(st.integers(2, 3))
    dims = "zyx"[-ndim:]
    scales = {dim: draw(st.sampled_from([0.25, 0.325, 1.0, 2.0])) for dim in dims}
    da = image(tuple(draw(st.integers(4, 9)) for _ in dims), dims, **scales)
    matrix = np.array([[draw(st.floats(-2, 2, allow_subnormal=False)) for _ in range(ndim + 1)] for _ in dims])
    assume(np.linalg.svd(matrix[:, :-1], compute_uv=False)[-1] > 0.1)
    made = da.omezarr.assign_affine(matrix)
    for dim in dims:
        start, step = draw(st.integers(0, 2)), draw(st.integers(1, 2))
        made = made.isel({dim: slice(start, None, step)})
    return made.transpose(*draw(st.permutations(dims)))  # type: ignore[no-any-return]


def brute_force(da: xr.DataArray, point: dict[str, float]) -> set[int]:
    """Return the pixels whose centres are nearest to a position, but for rounding; pixels are told by their values."""
    off = sum((da[name] - value) ** 2 for name, value in point.items()) ** 0.5
    near = np.asarray(off) <= float(off.min()) * (1 + 1e-9) + 1e-9
    return {*da.transpose(*off.dims).values[near].ravel().tolist()}


@given(askew(), st.data())
@settings(deadline=None, max_examples=30)
def test_every_level_is_found_and_comes_back(da: xr.DataArray, data: st.DataObject) -> None:
    store = MemoryStore()
    da.omezarr.to_zarr(store, version="0.6", levels=2 if da.size > 1 else 1, method="nearest")
    for options in ({}, {"coordinate_system": "world"}):
        tree = opened(store, **options)
        names = [name for name in da.coords if str(name).startswith("world_")]
        if not {*names} <= {*tree.omezarr.level(0).coords}:  # each axis comes from one dimension
            assert options
            np.testing.assert_array_equal(tree.omezarr.level(0).values, opened(store).omezarr.level(0).values)
            continue
        assert_identical(tree.omezarr.level(0), da)
        for index, level in enumerate(tree.omezarr.levels):
            held = level.load()
            point = {str(name): data.draw(st.floats(-20, 20)) for name in names}
            assert held.sel(point, method="nearest").item() in brute_force(held, point)
            # what leads there from pixels says the same as the coordinates
            way = tree.omezarr.transform("world", level=index)
            axes = [axis.name for axis in tree.omezarr.axes]
            pixel = {axis: data.draw(st.integers(0, level.sizes[axis] - 1)) for axis in axes}
            there = way([pixel[axis] for axis in axes])
            expected = [float(held.isel(pixel)[f"world_{axis}"]) for axis in axes]
            np.testing.assert_allclose(there, expected, atol=1e-9)
            np.testing.assert_allclose(way.inverse()(there), [pixel[axis] for axis in axes], atol=1e-6)
    assert xomezarr.validate(store).valid


# -- the index ---------------------------------------------------------------------------------------------


def test_coordinates_are_computed_when_they_are_asked_for() -> None:
    huge = xr.DataArray(np.broadcast_to(np.uint8(0), (1 << 20, 1 << 20)), dims=("y", "x"))
    da = huge.omezarr.assign_affine(TURN)
    found = da.sel(world_y=1000.0, world_x=200_000.0, method="nearest")
    assert abs(float(found.world_y) - 1000.0) < 1
    assert abs(float(found.world_x) - 200_000.0) < 1
    assert isinstance(da.xindexes["world_y"], CoordinateTransformIndex)
    assert "SystemIndex" in repr(da)
    np.testing.assert_allclose(da.world_y[5, [1, 1 << 19]], 0.8 * 5 - 0.6 * np.array([1, 1 << 19]) + 3)


@pytest.mark.parametrize(
    "taken",
    [
        {"x": slice(3, 15, 2)},
        {"y": slice(None, None, -1)},
        {"y": 3},
        {"y": [2, 4, 6], "x": slice(1, None)},
        {"y": [2]},
        {"x": np.arange(20) > 4},
        {"y": slice(4, 5), "x": slice(0, 1)},
    ],
)
def test_the_index_is_true_of_a_part(taken: dict[str, Any]) -> None:
    da = image().omezarr.assign_affine(TURN)
    part = da.isel(taken)
    values = xr.DataArray(da.world_y.values, dims=("y", "x")).isel(taken)
    np.testing.assert_allclose(part.world_y.values, values.values, atol=1e-12)
    assert part.world_y.dims == values.dims
    assert isinstance(part.xindexes["world_y"], SystemIndex)


def test_what_is_no_row_of_pixels_has_plain_coordinates() -> None:
    da = image().omezarr.assign_affine(TURN)
    part = da.isel(x=[0, 1, 5])
    assert "world_x" not in part.xindexes
    np.testing.assert_array_equal(part.world_x.values, da.world_x.values[:, [0, 1, 5]])
    store = MemoryStore()
    back = part.omezarr.to_zarr(store, irregular="keep")
    assert_identical(back.omezarr.level(0), part)


def test_points_are_found_together() -> None:
    da = image().omezarr.assign_affine(SHEAR)
    picked = da.isel(y=xr.DataArray([3, 7, 0], dims="cell"), x=xr.DataArray([4, 19, 0], dims="cell"))
    where = {name: picked[name].reset_coords(drop=True) + 0.05 for name in ("world_y", "world_x")}
    np.testing.assert_array_equal(da.sel(where, method="nearest").values, picked.values)


def test_selecting_says_what_is_missing() -> None:
    da = image().omezarr.assign_affine(SHEAR)
    with pytest.raises(CoordinateError, match=r"'world_x' is missing; give a position: sel\(world_y=…, world_x=…"):
        da.sel(world_y=1.0, method="nearest")
    with pytest.raises(CoordinateError, match="only the nearest pixel can be found"):
        da.sel(world_y=1.0, world_x=2.0)
    with pytest.raises(CoordinateError, match="dims='point'"):
        da.sel(world_y=[1.0], world_x=[2.0], method="nearest")
    with pytest.raises(CoordinateError, match="not finite"):
        da.sel(world_y=np.nan, world_x=2.0, method="nearest")
    with pytest.raises(KeyError, match=r"the tolerance is 0\.5; give a position within the image"):
        da.sel(world_y=100.0, world_x=2.0, method="nearest", tolerance=0.5)
    with pytest.raises(CoordinateError, match=r"the position \[1e\+300, 2\.0\] is too far"):
        da.sel(world_y=1e300, world_x=2.0, method="nearest")
    for tolerance in ("a", np.nan, -1.0, [1.0, 2.0]):
        with pytest.raises(CoordinateError, match=r"tolerance=.* is no distance; give one in the unit"):
            da.sel(world_y=1.0, world_x=2.0, method="nearest", tolerance=tolerance)


def test_dimensions_that_do_not_mix_are_found_each_by_itself() -> None:
    mirrored = image((3, 4, 5), "zyx").omezarr.assign_affine(np.eye(3, 4) * [[-1], [1], [-1]], dims=["z", "y", "x"])
    assert mirrored.world_z.dims == ("z",)
    assert mirrored.world_x.dims == ("x",)
    assert float(mirrored.sel(world_x=-8.1, method="nearest").x[()]) == 8.0


def test_renamed_and_equal() -> None:
    da = image().omezarr.assign_affine(SHEAR)
    other = da.rename(x="col", world_x="across")
    np.testing.assert_array_equal(other.across.values, da.world_x.values)
    assert other.sel(world_y=1.0, across=12.0, method="nearest") == da.sel(world_y=1.0, world_x=12.0, method="nearest")
    assert (da + da).xindexes["world_x"].equals(da.xindexes["world_x"])
    with pytest.raises(CoordinateError, match="cannot be aligned with others there; take the same"):
        da + image().omezarr.assign_affine(TURN)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda da: da.reindex_like(da.isel(x=slice(2, 4))), CoordinateError, r"cannot be reindexed .*drop_vars\("),
        (lambda da: xr.align(da, da.isel(x=slice(2, 4)), join="left"), CoordinateError, r"isel or sel, .*drop_vars\("),
        (lambda da: da.indexes, TypeError, "take xindexes"),
        (
            lambda da: da.isel(x=slice(0, 0)).sel(world_y=0.0, world_x=0.0, method="nearest"),
            EmptyDimensionError,
            r"'x' has no pixels.*isel\(x=slice\(0, 1\)\)",
        ),
    ],
)
def test_what_an_index_cannot_do_is_told_with_what_can(
    call: Callable[[xr.DataArray], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(image().omezarr.assign_affine(TURN))


@pytest.mark.parametrize("far", [0.0, 1e6])
def test_coordinates_that_xarray_changes_without_their_index_are_refused(far: float) -> None:
    da = image()
    da = da.assign_coords(x=da.x + far)
    between = da.omezarr.assign_affine(SHEAR).interp(x=[8.1 + far, 9.2 + far])
    with pytest.raises(CoordinateError, match=r"'world_y' is not what its index gives.*assign_affine"):
        between.omezarr.to_zarr(MemoryStore(), version="0.6")
    between.drop_vars(["world_y", "world_x"]).omezarr.assign_affine(SHEAR).omezarr.to_zarr(MemoryStore(), version="0.6")


@pytest.mark.parametrize(
    "call",
    [
        lambda da: da.copy(),
        lambda da: da.compute(),
        lambda da: da.astype("uint16"),
        lambda da: da.isel(x=slice(1, 3)),
        lambda da: da.rename(x="u"),
        lambda da: da.omezarr.to_zarr(MemoryStore(), version="0.6", irregular="keep"),
    ],
)
@pytest.mark.parametrize("x", [[0.0, 0.1, 0.2, 0.3], [1.0, 1.5, 2.5, 4.5], [0.5 * step for step in range(20)]])
def test_pixels_between_are_never_given_the_places_of_the_old_ones(
    x: list[float], call: Callable[[xr.DataArray], Any]
) -> None:
    da = image().assign_coords(x=np.arange(20.0)).omezarr.assign_affine(SHEAR)
    between = da.interp(x=x)
    with pytest.raises(
        CoordinateError, match=r"as interp does; leave out both before, .*drop_vars\(\['world_y', 'world"
    ):
        call(between)


@pytest.mark.parametrize("dim", ["y", "x"])
@pytest.mark.parametrize("step", [1, -1, 2])
def test_parts_of_one_image_are_put_together(dim: str, step: int) -> None:
    da = image((3, 12, 20), "cyx", x=0.325).omezarr.assign_affine(TURN).isel({dim: slice(None, None, step)})
    places = [slice(0, 1), slice(1, 4), slice(4, None)]
    whole = xr.concat([da.isel({dim: part}) for part in places], dim)
    xr.testing.assert_allclose(whole, da, rtol=1e-14)
    assert whole.xindexes["world_x"].equals(da.xindexes["world_x"])
    blocks = da.assign_coords(block=(dim, np.arange(da.sizes[dim]) // 4))
    xr.testing.assert_allclose(blocks.groupby("block").map(lambda block: block), blocks, rtol=1e-14)


@pytest.mark.parametrize("places", [[slice(4, 8), slice(0, 4)], [slice(0, 4), slice(5, 9)], [slice(0, 4), slice(0, 4)]])
def test_parts_that_do_not_follow_each_other_are_refused(places: list[slice]) -> None:
    da = image().omezarr.assign_affine(TURN)
    with pytest.raises(CoordinateError, match=r"no row of pixels .*'world': coordinate 'x' .*drop_vars\(\['world_y'"):
        xr.concat([da.isel(x=part) for part in places], "x")
    moved = image().omezarr.assign_affine(SHEAR).isel(x=slice(4, 8))
    with pytest.raises(CoordinateError, match="different pixels in the coordinate system 'world'"):
        xr.concat([da.isel(x=slice(0, 4)), moved], "x", join="outer")


def stacked(da: xr.DataArray) -> xr.DataArray:
    return xr.concat([da, da], xr.DataArray([0.0, 2.0], dims="t", name="t", attrs={"units": "s"}))


CHANGES: dict[str, Callable[[xr.DataArray], xr.DataArray]] = {
    "one channel": lambda da: da.isel(c=1, drop=True),
    "the maximum": lambda da: da.max("c"),
    "stacked in time": stacked,
    "other units": lambda da: da.omezarr.to_units("nm"),
    "another grid": lambda da: da.omezarr.assign_grid(scale={"y": 0.3, "x": 0.7}, translation={"x": 1e3}),
    "no sides": lambda da: da.drop_vars(["y", "x"]),
    "moved sides": lambda da: da.assign_coords(x=da.x + 5.1),
    "sides that count down": lambda da: da.isel(y=slice(None, None, -1)).assign_coords(y=da.y.variable),
    "every third": lambda da: da.isel(x=slice(3, None, 3)),
    "turned round": lambda da: da.transpose("x", "c", "y"),
}


@pytest.mark.parametrize("change", CHANGES)
@given(st.lists(st.floats(-100, 100, allow_subnormal=False), min_size=6, max_size=6), st.floats(0.01, 100))
@example([0.0, 1.0, 0.0, 1.0, 0.0, 0.0], 57.31931491827019)
@settings(deadline=None, max_examples=15)
def test_what_is_written_after_a_change_comes_back_to_the_last_bit(
    change: str, numbers: list[float], scale: float
) -> None:
    matrix = np.array(numbers).reshape(2, 3)
    assume(np.linalg.svd(matrix[:, :-1], compute_uv=False)[-1] > 0.1)
    whole = image((3, 12, 20), "cyx", x=scale).omezarr.assign_affine(matrix)
    da = CHANGES[change](whole)
    back = da.omezarr.to_zarr(MemoryStore(), version="0.6").omezarr.level(0)
    assert_identical(back, da)
    assert back.xindexes["world_x"].equals(da.xindexes["world_x"])
    assert (back == da).all()
    assert_identical(back.omezarr.to_zarr(MemoryStore(), version="0.6").omezarr.level(0), da)


@given(st.data())
@settings(deadline=None)
def test_indexes_are_equal_where_pixels_lie_at_the_same_places(data: st.DataObject) -> None:
    number = st.floats(-10, 10, allow_subnormal=False)
    # none is zero: a coordinate would come from one dimension alone
    entry = st.one_of(st.floats(0.2, 10), st.floats(-10, -0.2))
    matrix = np.array(data.draw(st.lists(entry, min_size=6, max_size=6))).reshape(2, 3)
    assume(np.linalg.svd(matrix[:, :-1], compute_uv=False)[-1] > 0.1)
    da = image().omezarr.assign_affine(matrix)
    # the same places, told from elsewhere
    scales = np.array([data.draw(st.floats(0.1, 10)) for _ in "yx"])
    firsts = np.array([data.draw(number) for _ in "yx"])
    sides = image().omezarr.assign_grid(
        scale=dict(zip("yx", scales, strict=True)), translation=dict(zip("yx", firsts, strict=True))
    )
    steps = matrix[:, :-1] * 0.5
    linear = steps / scales
    origin = matrix @ [0.0, 7.0, 1.0] - linear @ firsts
    other = sides.omezarr.assign_affine(np.column_stack([linear, origin]))
    assert da.xindexes["world_x"].equals(other.xindexes["world_x"])
    # elsewhere by a millionth of a pixel, at its origin or at its end
    row, column = data.draw(st.integers(0, 1)), data.draw(st.integers(0, 2))
    linear_or_origin = np.column_stack([linear, origin])
    linear_or_origin[row, column] += 1e-6 * (1 if column == 2 else 1 / scales[column])
    moved = sides.omezarr.assign_affine(linear_or_origin)
    assert not da.xindexes["world_x"].equals(moved.xindexes["world_x"])
    assert not da.xindexes["world_x"].equals(da.isel(x=slice(1, None)).xindexes["world_x"])
    assert not da.xindexes["world_x"].equals(da.rename(x="u").xindexes["world_x"])
    other_name = image().omezarr.assign_affine(matrix, system="stage").rename(stage_y="world_y", stage_x="world_x")
    assert not da.xindexes["world_x"].equals(other_name.xindexes["world_x"])


def test_indexes_of_more_dimensions_are_others_whichever_of_them_are_left_out() -> None:
    volume = image((1, 12, 20), "zyx").omezarr.assign_affine(np.vstack([[1.0, 0, 0, 0], np.insert(TURN, 0, 1, axis=1)]))
    flat = volume.isel(z=0)
    one, other = flat.xindexes["world_x"], volume.xindexes["world_x"]
    assert not one.equals(other)
    assert not other.equals(one)
    part = volume.isel(x=slice(0, 5)).xindexes["world_x"]
    assert other.equals(part, exclude=frozenset({"x"}))
    assert not other.equals(part, exclude=frozenset({"y"}))


def test_labels_and_planes_are_reckoned_with_the_image() -> None:
    store = MemoryStore()
    da = image((3, 12, 20), "cyx").omezarr.assign_affine(TURN, system="stage")
    da.omezarr.to_zarr(store, version="0.6", levels=2)
    given_labels = (da.isel(c=0, drop=True) // 30).astype("u1")
    labels = given_labels.omezarr.to_labels(store, "nuclei").omezarr.level(0)
    plane = xr.open_dataarray(store, engine="omezarr").isel(c=1, drop=True)
    assert_identical((plane * labels).rename("cells"), da.isel(c=1, drop=True) * given_labels)
    means = plane.groupby(labels).mean()
    expected = [plane.values[given_labels.values == label].mean() for label in means.nuclei.values]
    np.testing.assert_allclose(means.values, expected)


def test_a_row_that_another_tool_has_spoilt_is_left_out(tmp_path: Path) -> None:
    da = image().omezarr.assign_affine(TURN).omezarr.to_units("nm")
    da.omezarr.to_zarr(tmp_path / "a.zarr", version="0.6", levels=1)
    group = zarr.open_group(tmp_path / "a.zarr")
    attrs: Any = group.attrs.asdict()
    entry = attrs["xomezarr"]["coords"]["world_y"]
    for row, told in (
        ({**entry["row"], "factors": [1.0, 2.0, 3.0]}, False),
        ({**entry["row"], "places": entry["row"]["places"][::-1]}, False),
        ({**entry["row"], "factors": [1.0]}, True),
        ("none", True),
    ):
        entry["row"] = row
        group.attrs.update(attrs)
        with pytest.warns(MetadataChangedWarning, match="world_y") if told else nullcontext():
            level = opened(tmp_path / "a.zarr").omezarr.level(0)
        np.testing.assert_allclose(level.world_y.values, da.world_y.values, atol=1e-12)


# -- made and written --------------------------------------------------------------------------------------


def test_an_affine_stands_on_the_multiscale() -> None:
    store = MemoryStore()
    image().omezarr.assign_affine(SHEAR, units="nm").omezarr.to_zarr(store, version="0.6", levels=2)
    multiscale = said(store)
    assert multiscale["coordinateTransformations"] == [
        {"type": "affine", "affine": SHEAR, "input": {"name": "physical"}, "output": {"name": "world"}}
    ]
    for dataset in multiscale["datasets"]:
        (place,) = dataset["coordinateTransformations"]
        assert [step["type"] for step in place["transformations"]] == ["scale", "translation"]
    assert [axis["unit"] for axis in multiscale["coordinateSystems"][1]["axes"]] == ["nanometer"] * 2


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_earlier_versions_refuse_it_before_anything_is_written(version: str) -> None:
    store = MemoryStore()
    da = image().omezarr.assign_affine(SHEAR)
    for one in (da, da.omezarr.pyramid(levels=2)):
        with pytest.raises(CoordinateSystemError, match=r"'world'.* give version=\"0.6\".*drop_vars"):
            one.omezarr.to_zarr(store, version=version)
    assert not store._store_dict
    da.drop_vars(["world_y", "world_x"]).omezarr.to_zarr(store, version=version)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"matrix": np.eye(3)}, r"takes one of shape \(2, 3\)"),
        ({"matrix": [[1, 2, 0], [2, 4, 0]]}, "is of lower rank"),
        ({"matrix": np.zeros((2, 3))}, r"along y, x .* \[\[0\.0, 0\.0, 0\.0\], .* is of lower rank"),
        ({"matrix": [[1, 0, 0], [2, 0, 0]]}, "along x .* is of lower rank"),
        ({"matrix": [[1, 0, 0], [0, 0, 5]]}, "along x .* is of lower rank"),
        ({"matrix": [[1, 2, 0], [1, 2, 0], [2, 4, 0]], "axes": ["z", "y", "x"]}, "along y, x .* is of lower rank"),
        ({"matrix": np.eye(2, 3) * 1j}, "is none of real numbers; give its rows"),
        ({"matrix": [["1", "0", "0"], ["0", "1", "0"]]}, "is none of real numbers"),
        ({"matrix": [[1, 2, 0], [3]]}, "is none of real numbers"),
        ({"matrix": None}, "affine None is no matrix"),
        ({"matrix": SHEAR, "system": "physical"}, "the levels lie in the coordinate system 'physical' themselves"),
        ({"matrix": SHEAR, "system": "a/b"}, "'a/b_y' would have a / in its name.*give other names"),
        ({"matrix": SHEAR, "axes": ["v", "u/w"]}, "'u/w' would have a / in its name"),
        ({"matrix": "x"}, "is none of real numbers"),
        ({"matrix": [[1, np.nan, 0], [2, 4, 0]]}, "no matrix of finite numbers"),
        ({"matrix": SHEAR, "dims": ["y", "q"]}, "which the array lacks"),
        ({"matrix": SHEAR, "dims": ["y", "y"]}, "does not name each once"),
        ({"matrix": SHEAR, "axes": ["v", "v"]}, "does not name each once"),
        ({"matrix": SHEAR, "system": ""}, "is no name"),
        ({"matrix": SHEAR, "units": {"q": "um"}}, "the axes are"),
    ],
)
def test_what_is_wrong_with_an_affine_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((CoordinateSystemError, TransformError, xomezarr.errors.UnitError), match=message):
        image().omezarr.assign_affine(**arguments)


def test_other_dimensions_are_axes_as_they_are() -> None:
    da = image((2, 3, 12, 20), "tcyx").assign_coords(c=["a", "b", "d"]).omezarr.assign_affine(Affine(TURN))
    store = MemoryStore()
    tree = da.omezarr.to_zarr(store, version="0.6", levels=2)
    assert_identical(tree.omezarr.level(0), da)
    assert [axis.name for axis in tree.omezarr.coordinate_systems["world"].axes] == ["t", "c", "y", "x"]
    np.testing.assert_allclose(tree.omezarr.transform("world")([1, 2, 0, 0]), [1, 2, 3, -2])
    # without a channel, and in time
    stacked = da.isel(c=0, t=0, drop=True).expand_dims(t=2).omezarr.to_zarr(MemoryStore(), version="0.6")
    assert [axis.name for axis in stacked.omezarr.coordinate_systems["world"].axes] == ["t", "y", "x"]


@pytest.mark.parametrize(
    ("dims", "new", "axes"),
    [
        ("tyx", "c", "tcyx"),
        ("cyx", "z", "czyx"),
        ("cyx", "t", "tcyx"),
        ("yx", "tcz", "tczyx"),
        ("tyx", "zc", "tczyx"),
        ("zx", "y", "zyx"),
    ],
)
@pytest.mark.parametrize("named", ["", "vu"])
def test_a_dimension_that_comes_later_is_an_axis_where_the_file_has_it(
    dims: str, new: str, axes: str, named: str
) -> None:
    sides = [dim for dim in dims if dim in "zyx"]
    da = image((2, 12, 20)[-len(dims) :], dims).omezarr.assign_affine(TURN, dims=sides, axes=[*named] or None)
    for dim in new:
        da = xr.concat([da, da], dim)
    tree = da.omezarr.to_zarr(MemoryStore(), version="0.6", levels=1)
    assert_identical(tree.omezarr.level(0), da)
    found = [axis.name for axis in tree.omezarr.coordinate_systems["world"].axes]
    if not named:
        assert "".join(found) == axes
    rank = ["time", "channel", "space"]
    ranks = [rank.index(axis.type) for axis in tree.omezarr.coordinate_systems["world"].axes]
    assert ranks == sorted(ranks)
    assert {*found} == {*new, *dims} - {*(sides if named else "")} | {*named}


def test_a_section_lies_in_space() -> None:
    matrix = np.vstack([[0.0, 0.0, 40.0], TURN])
    da = image().omezarr.assign_affine(matrix, axes=["z", "y", "x"], system="brain")
    tree = da.omezarr.to_zarr(MemoryStore(), version="0.6")
    assert_identical(tree.omezarr.level(0), da)
    assert tree.omezarr.level(0).brain_z.values.flat[0] == 40
    section = image((6, 12, 20), "zyx").omezarr.assign_affine(Rotation([[0.8, 0, -0.6], [0, 1, 0], [0.6, 0, 0.8]]))
    cut = section.isel(z=2, drop=True)
    back = cut.omezarr.to_zarr(MemoryStore(), version="0.6")
    assert_identical(back.omezarr.level(0), cut)


def test_the_sides_of_an_image_may_be_told_anew() -> None:
    da = image().omezarr.assign_affine(TURN)
    for moved in (
        da.omezarr.to_units("nm"),
        da.omezarr.assign_grid(scale={"y": 3.0}, translation={"y": -1.0}),
        da.drop_vars(["y", "x"]),
    ):
        back = moved.omezarr.to_zarr(MemoryStore(), version="0.6").omezarr.level(0)
        np.testing.assert_allclose(back.world_y.values, da.world_y.values, atol=1e-9)
        np.testing.assert_allclose(back.world_x.values, da.world_x.values, atol=1e-9)


def test_two_systems_at_once() -> None:
    da = image().omezarr.assign_affine(TURN).omezarr.assign_affine(SHEAR, system="stage", axes=["v", "u"])
    store = MemoryStore()
    tree = da.omezarr.to_zarr(store, version="0.6", levels=2)
    assert_identical(tree.omezarr.level(0), da)
    assert {*tree.omezarr.level(1).coords} == {"y", "x", "world_y", "world_x", "v", "u"}
    one = opened(store, coordinate_system="stage").omezarr.level(0)
    assert_identical(one, da.drop_vars(["world_y", "world_x"]))
    none = opened(store, coordinate_system="physical").omezarr.level(0)
    assert {*none.coords} == {"y", "x"}
    np.testing.assert_allclose(
        tree.omezarr.transform("stage", source="world")([1.0, 2.0]),
        tree.omezarr.transform("stage")(tree.omezarr.transform("world").inverse()([1.0, 2.0])),
    )


def test_a_cropped_tree_and_labels_go_along() -> None:
    da = image((16, 24)).omezarr.assign_affine(TURN)
    labels = {"nuclei": (da.drop_vars(["world_y", "world_x"]) % 7).astype("uint8")}
    store = MemoryStore()
    da.omezarr.to_zarr(store, version="0.6", levels=2, labels=labels)
    tree = opened(store, coordinate_system="world")
    nuclei = tree.omezarr.labels["nuclei"].omezarr.level(1)
    np.testing.assert_array_equal(nuclei.world_y.values, tree.omezarr.level(1).world_y.values)
    part = tree.omezarr.isel(x=slice(4, 12))
    np.testing.assert_allclose(part.omezarr.level(1).world_x.values, tree.omezarr.level(1).world_x.values[:, 2:6])
    other = MemoryStore()
    written = part.omezarr.to_zarr(other)
    assert_identical(written.omezarr.level(1), part.omezarr.level(1))
    assert_identical(written.omezarr.labels["nuclei"].omezarr.level(0), part.omezarr.labels["nuclei"].omezarr.level(0))


def test_converting_and_scaling_bring_systems_along_where_they_can(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(tmp_path / "a.ome.zarr")
    da = image((16, 24)).omezarr.assign_affine(TURN)
    da.omezarr.to_zarr(store, version="0.6", levels=1, labels={"nuclei": (da % 7).astype("uint8")})
    for command in ("convert", "scale"):
        new = f"{tmp_path}/{command} 6.ome.zarr"
        assert main([command, store, new, "--version", "0.6"]) == 0
        assert "'world'" not in capsys.readouterr().err
        assert_identical(opened(new).omezarr.level(0), opened(store).omezarr.level(0))
        old = f"{tmp_path}/{command} 4.ome.zarr"
        assert main([command, store, old, "--version", "0.4"]) == 0
        assert "'world'" in capsys.readouterr().err
        assert {*opened(old).omezarr.level(0).coords} == {"y", "x"}
    before = opened(store).omezarr.level(0).load()
    assert main(["scale", store, "--in-place"]) == 0
    assert_identical(opened(store).omezarr.level(0), before)
    assert "world_x" in opened(store).omezarr.level(1).coords


def test_a_position_picks_a_pixel_of_each_level() -> None:
    da = image((16, 24)).omezarr.assign_affine(TURN)
    tree = da.omezarr.to_zarr(MemoryStore(), version="0.6", levels=2, method="nearest")
    where = {"world_y": float(da.world_y[9, 13]) + 0.1, "world_x": float(da.world_x[9, 13])}
    with pytest.warns(OmeZarrWarning, match="'world'"):
        picked = tree.omezarr.sel(where, method="nearest")
    assert [level.item() for level in picked.omezarr.levels] == [da[9, 13].item(), da[8, 12].item()]
    with pytest.raises(CoordinateError, match="'world_x' is missing"):
        tree.omezarr.sel(world_y=1.0, method="nearest")


def test_a_plane_of_a_tree_lies_where_it_lay() -> None:
    matrix = np.array([[0.8, 0.0, -0.6, 1.0], [0.0, 1.0, 0.0, 2.0], [0.6, 0.0, 0.8, 3.0]])
    tree = (
        image((6, 12, 20), "zyx").omezarr.assign_affine(matrix).omezarr.to_zarr(MemoryStore(), version="0.6", levels=1)
    )
    plane = tree.omezarr.isel(z=2)
    level = plane.omezarr.level(0)
    np.testing.assert_allclose(level.world_x.values, tree.omezarr.level(0).world_x.values[2])
    pixel = plane.omezarr.transform("world", level=0)([5.0, 7.0])
    expected = [float(level.isel(y=5, x=7)[f"world_{axis}"]) for axis in plane_axes(plane)]
    np.testing.assert_allclose(pixel, expected)
    back = plane.omezarr.to_zarr(MemoryStore())
    assert_identical(back.omezarr.level(0), level)


def plane_axes(tree: xr.DataTree) -> list[str]:
    return [axis.name for axis in tree.omezarr.coordinate_systems["world"].axes]


def test_another_tool_may_change_what_leads_there() -> None:
    store = MemoryStore()
    da = image().omezarr.assign_affine(TURN)
    da.omezarr.to_zarr(store, version="0.6", levels=1)
    group = zarr.open_group(store)
    attrs: Any = group.attrs.asdict()
    attrs["ome"]["multiscales"][0]["coordinateTransformations"][0]["affine"] = SHEAR
    group.attrs.update(attrs)
    with pytest.warns(MetadataChangedWarning, match=r"'world' is \[\[1.0, 0.25, 3.0\].*, and was \[\[0.8, -0.6, 3.0\]"):
        level = opened(store).omezarr.level(0)
    np.testing.assert_array_equal(level.world_y.values, image().omezarr.assign_affine(SHEAR).world_y.values)
    attrs["ome"]["multiscales"][0]["coordinateSystems"].pop()
    del attrs["ome"]["multiscales"][0]["coordinateTransformations"]
    group.attrs.update(attrs)
    with pytest.warns(MetadataChangedWarning, match="no coordinate system 'world'"):
        level = opened(store).omezarr.level(0)
    assert {*level.coords} == {"y", "x"}


# -- systems that are dimensions of the image --------------------------------------------------------------

SEPARABLE: dict[str, tuple[dict[str, Any], np.ndarray[Any, Any]]] = {
    "identity": ({"type": "identity"}, np.array([[1.0, 0, 0], [0, 1, 0]])),
    "scale": ({"type": "scale", "scale": [2.0, 4.0]}, np.array([[2.0, 0, 0], [0, 4, 0]])),
    "translation": ({"type": "translation", "translation": [1.0, -3.0]}, np.array([[1.0, 0, 1], [0, 1, -3]])),
    "mapAxis": ({"type": "mapAxis", "mapAxis": [1, 0]}, np.array([[0.0, 1, 0], [1, 0, 0]])),
    "affine": ({"type": "affine", "affine": [[0, 3.0, 1], [2.0, 0, 0]]}, np.array([[0.0, 3, 1], [2, 0, 0]])),
    "rotation": ({"type": "rotation", "rotation": [[0, 1.0], [1.0, 0]]}, np.array([[0.0, 1, 0], [1, 0, 0]])),
    "sequence": (
        {
            "type": "sequence",
            "transformations": [
                {"type": "scale", "scale": [2.0, 4.0]},
                {"type": "translation", "translation": [1.0, 1.0]},
            ],
        },
        np.array([[2.0, 0, 1], [0, 4, 1]]),
    ),
    "byDimension": (
        {
            "type": "byDimension",
            "transformations": [
                {"transformation": {"type": "scale", "scale": [2.0]}, "inputAxes": [1], "outputAxes": [1]},
                {"transformation": {"type": "identity"}, "inputAxes": [0], "outputAxes": [0]},
            ],
        },
        np.array([[1.0, 0, 0], [0, 2, 0]]),
    ),
    "bijection": (
        {
            "type": "bijection",
            "forward": {"type": "scale", "scale": [2.0, 2.0]},
            "inverse": {"type": "scale", "scale": [0.5, 0.5]},
        },
        np.array([[2.0, 0, 0], [0, 2, 0]]),
    ),
}

UV = [{"name": name, "type": "space", "unit": "nanometer"} for name in ("v", "u")]


@pytest.mark.parametrize("kind", SEPARABLE)
@pytest.mark.parametrize("how", ["open_datatree", "in_system", "open_dataarray"])
def test_separable_systems_are_ordinary_coordinates(kind: str, how: str) -> None:
    transform, matrix = SEPARABLE[kind]
    store = spoken(MemoryStore(), transform, UV)
    before = opened(store)
    if how == "open_dataarray":
        levels = [
            xr.open_dataarray(store, engine="omezarr", level=index, coordinate_system="world") for index in (0, 1)
        ]
    else:
        tree = opened(store, coordinate_system="world") if how == "open_datatree" else before.omezarr.in_system("world")
        levels = [*tree.omezarr.levels]
    for level, old in zip(levels, before.omezarr.levels, strict=True):
        assert {*level.dims} == {*level.coords} == {"v", "u"}
        np.testing.assert_array_equal(level.values, old.values)
        for row, name in zip(matrix, ("v", "u"), strict=True):
            (column,) = np.flatnonzero(row[:-1])
            assert level.dims[column] == name
            np.testing.assert_allclose(level[name].values, old["yx"[column]].values * row[column] + row[-1])
            assert level[name].attrs["units"] in ("nanometer",)


@pytest.mark.parametrize("kind", SEPARABLE)
def test_what_is_opened_in_a_system_is_written_with_all_others(kind: str) -> None:
    transform, _ = SEPARABLE[kind]
    store = spoken(MemoryStore(), transform, UV, name="registered", theirs=[1])
    tree = opened(store, coordinate_system="world")
    other = MemoryStore()
    written = tree.omezarr.to_zarr(other)
    assert xomezarr.validate(other).valid
    for one, two in zip(written.omezarr.levels, tree.omezarr.levels, strict=True):
        assert_identical(one, two)
    assert {"physical", "world"} <= {*written.omezarr.coordinate_systems}
    assert "registered" in str(said(other))
    assert "theirs" in str(said(other))
    # and one gets to where one was
    back = opened(other, coordinate_system="physical")
    for one, two in zip(back.omezarr.levels, opened(store).omezarr.levels, strict=True):
        np.testing.assert_allclose(one.y.values, two.y.values)
        np.testing.assert_allclose(one.x.values, two.x.values)
    points = np.array([[3.0, 5.0], [0.0, 1.0]])
    np.testing.assert_allclose(
        written.omezarr.transform("world", level=1)(points), opened(store).omezarr.transform("world", level=1)(points)
    )


def test_axes_that_descend_lie_beside_the_dimensions() -> None:
    store = spoken(MemoryStore(), {"type": "affine", "affine": [[1, 0, 0], [0, -1, 5]]})
    tree = opened(store, coordinate_system="world")
    level = tree.omezarr.level(0)
    assert {*level.coords} == {"y", "x", "world_x"}
    np.testing.assert_array_equal(level.world_x.values, 5 - level.x.values)
    np.testing.assert_array_equal(level.sel(world_x=-3.4, method="nearest").values, level.sel(x=8.5).values)
    other = MemoryStore()
    assert_identical(tree.omezarr.to_zarr(other).omezarr.level(1), tree.omezarr.level(1))
    assert said(other) == said(store)


def test_only_what_mixes_has_further_coordinates() -> None:
    da = image((3, 12, 20), "cyx").omezarr.assign_affine(TURN)
    store = MemoryStore()
    da.omezarr.to_zarr(store, version="0.6", levels=1)
    del zarr.open_group(store).attrs["xomezarr"]
    level = opened(store, coordinate_system="world").omezarr.level(0)
    assert level.world_y.dims == ("y", "x")
    assert {name for name, coord in level.coords.items() if "c" not in coord.dims} == {"y", "x", "world_y", "world_x"}
    assert "world_y" not in opened(store).omezarr.level(0).coords


# -- other judges ------------------------------------------------------------------------------------------


def test_the_official_numeric_cases_through_a_store(shared: Path) -> None:
    cases = sorted((shared / "conformance" / "0.6" / "transforms_conformance" / "cases").iterdir())
    assert len(cases) == 24
    for case in cases:
        scene = json.loads((case / "zarr.json").read_text())["attributes"]["ome"]["scene"]
        expected = tomllib.loads((case / "conformance.toml").read_text())
        source, target = expected["source"]["name"], expected["target"]["name"]
        own = source if not expected["should_error"] else scene["coordinateSystems"][0]["name"]
        tree = opened(in_store(scene, own))
        if expected["should_error"]:
            with pytest.raises(CoordinateSystemError, match="no coordinate system"):
                tree.omezarr.transform(target, source=source)
            continue
        points = np.array(expected["source"]["coordinates"], float)
        tolerance = {"rtol": expected["relative_tolerance"], "atol": expected["absolute_tolerance"]}
        way = tree.omezarr.transform(target)
        np.testing.assert_allclose(way(points), expected["target"]["coordinates"], err_msg=case.name, **tolerance)
        # and so say the coordinates of pixels
        seen = tree.omezarr.in_system(target).omezarr.level(0)
        axes = [axis["name"] for one in scene["coordinateSystems"] if one["name"] == target for axis in one["axes"]]
        for pixel in itertools.product(range(3), repeat=seen.ndim):
            where = seen.isel(dict(zip(seen.dims, pixel, strict=True)))
            named = [f"{target}_{axis}" if f"{target}_{axis}" in seen.coords else axis for axis in axes]
            found = [float(where[name]) for name in named]
            np.testing.assert_allclose(found, way(pixel), err_msg=case.name, atol=1e-9)


def in_store(scene: dict[str, Any], own: str) -> MemoryStore:
    """Make an image whose levels lie in a system of a scene, with all others and what leads to them."""
    (axes,) = (system["axes"] for system in scene["coordinateSystems"] if system["name"] == own)
    transforms = [
        {**one, **{end: {"name": one[end]} for end in ("input", "output")}}
        for one in scene["coordinateTransformations"]
    ]
    place = {"type": "scale", "scale": [1.0] * len(axes), "input": {"path": "0"}, "output": {"name": own}}
    multiscale = {
        "name": "case",
        "coordinateSystems": scene["coordinateSystems"],
        "coordinateTransformations": transforms,
        "datasets": [{"path": "0", "coordinateTransformations": [place]}],
    }
    store = MemoryStore()
    group = zarr.create_group(store, zarr_format=3, attributes={"ome": {"version": "0.6", "multiscales": [multiscale]}})
    pixels = np.arange(4 ** len(axes), dtype="uint16").reshape((4,) * len(axes))
    group.create_array("0", data=pixels, dimension_names=[axis["name"] for axis in axes])
    return store


def test_ome_zarr_models_reads_what_is_written() -> None:
    from ome_zarr_models.v06.image import Image

    store = MemoryStore()
    image((4, 12, 20), "zyx").omezarr.assign_affine(np.eye(3, 4) + 0.25).omezarr.to_zarr(store, version="0.6")
    (multiscale,) = Image.from_zarr(zarr.open_group(store, mode="r")).ome_attributes.multiscales
    (affine,) = multiscale.coordinateTransformations
    np.testing.assert_array_equal(affine.affine, np.eye(3, 4) + 0.25)
    assert (affine.input.name, affine.output.name) == ("physical", "world")


NGFF_ZARR = """
import json, sys
import ngff_zarr
read = ngff_zarr.from_ome_zarr(sys.argv[1])
(affine,) = read.metadata.coordinateTransformations
levels = [[image.scale, image.translation] for image in read.images]
print(json.dumps([affine.affine, affine.input.name, affine.output.name, levels]))
"""


@pytest.mark.peers
@pytest.mark.xdist_group("peers")
def test_ngff_zarr_reads_what_is_written(tmp_path: Any) -> None:
    image().omezarr.assign_affine(SHEAR).omezarr.to_zarr(tmp_path / "a.ome.zarr", version="0.6", levels=2)
    python = ["--python", sys.executable, "--with", "ngff-zarr==0.50.0", "python"]
    environment = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "PYTHONPATH", "UV_RESOLUTION"}}
    answer = subprocess.run(
        [uv(), "run", "--no-project", *python, "-c", NGFF_ZARR, str(tmp_path / "a.ome.zarr")],
        capture_output=True,
        text=True,
        timeout=600,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    levels = [[{"y": 0.5, "x": 0.5}, {"y": 0.0, "x": 7.0}], [{"y": 1.0, "x": 1.0}, {"y": 0.25, "x": 7.25}]]
    assert json.loads(answer.stdout.splitlines()[-1]) == [SHEAR, "physical", "world", levels]


# -- what cannot be ----------------------------------------------------------------------------------------


def test_systems_are_listed_and_told_apart(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    store = str(spoken(tmp_path / "a.ome.zarr", {"type": "affine", "affine": SHEAR}))
    systems = opened(store).omezarr.coordinate_systems
    assert [*systems] == ["physical", "world"]
    assert systems.intrinsic == "physical"
    assert repr(systems).splitlines()[0] == "physical: y, x (µm), in which the levels lie"
    assert main(["info", store]) == 0
    assert "world" in capsys.readouterr().out
    image().omezarr.to_zarr(MemoryStore()).omezarr.coordinate_systems.check("physical")


def test_unknown_systems_are_refused_by_name() -> None:
    store = spoken(MemoryStore(), {"type": "affine", "affine": SHEAR})
    for ask in (
        lambda: opened(store, coordinate_system="stage"),
        lambda: xr.open_dataset(store, engine="omezarr", coordinate_system="stage"),
        lambda: opened(store).omezarr.transform("stage"),
        lambda: opened(store).omezarr.in_system("stage"),
    ):
        with pytest.raises(CoordinateSystemError, match="'stage'; give one of these: 'physical', 'world'"):
            ask()
    plain = MemoryStore()
    image().omezarr.to_zarr(plain)
    with pytest.raises(CoordinateSystemError, match="there is no other"):
        opened(plain, coordinate_system="world")
    with pytest.raises(CoordinateSystemError, match="there is no level 7"):
        opened(store).omezarr.transform("world", level=7)
    with pytest.raises(CoordinateSystemError, match="was not read from a store"):
        image().omezarr.pyramid().omezarr.in_system("world")


def test_two_ways_to_different_places_are_refused() -> None:
    store = spoken(MemoryStore(), {"type": "affine", "affine": SHEAR})
    group = zarr.open_group(store)
    attrs: Any = group.attrs.asdict()
    transforms = attrs["ome"]["multiscales"][0]["coordinateTransformations"]
    transforms.append({**transforms[0], "affine": TURN})
    group.attrs.update(attrs)
    with pytest.raises(CoordinateSystemError, match="two ways lead from the coordinate system 'physical' to 'world'"):
        opened(store, coordinate_system="world")
    assert [(one.rule, one.severity) for one in xomezarr.validate(store)] == [("102", "warning")]
    transforms[1]["affine"] = SHEAR
    group.attrs.update(attrs)
    opened(store, coordinate_system="world")
    assert xomezarr.validate(store, strict=True).valid


@pytest.mark.parametrize("transform", [{"type": "scale", "scale": [2.0, 3.0]}, {"type": "affine", "affine": SHEAR}])
@pytest.mark.parametrize(("system", "axis"), [("world", "a/b"), ("world", "image"), ("a/b", "y")])
def test_names_that_no_coordinate_may_have_are_refused(transform: dict[str, Any], system: str, axis: str) -> None:
    store = spoken(MemoryStore(), transform)
    group = zarr.open_group(store)
    attrs: Any = group.attrs.asdict()
    multiscale = attrs["ome"]["multiscales"][0]
    (other,) = (one for one in multiscale["coordinateSystems"] if one["name"] == "world")
    other |= {"name": system, "axes": [{**other["axes"][0], "name": axis}, other["axes"][1]]}
    multiscale["coordinateTransformations"][0]["output"]["name"] = system
    group.attrs.update(attrs)
    tree = opened(store)
    np.testing.assert_array_equal(tree.omezarr.transform(system)([1.0, 2.0]).shape, [2])
    # axes are dimensions by their own names; beside dimensions they have the system's name before them
    allowed = (system, axis, transform["type"]) in {("a/b", "y", "scale"), ("world", "image", "affine")}
    for call in (lambda: tree.omezarr.in_system(system), lambda: opened(store, coordinate_system=system)):
        with nullcontext() if allowed else pytest.raises(CoordinateSystemError, match="rename the axis or the system"):
            call()


@pytest.mark.parametrize("rows", [[[1.0, 0.0, 0.0]], [*np.eye(3).tolist()]])
def test_points_are_not_mapped_by_what_gives_other_coordinates_than_the_system_has(rows: list[list[float]]) -> None:
    store = spoken(MemoryStore(), {"type": "affine", "affine": rows})
    with pytest.raises(CoordinateSystemError, match=rf"it gives {len(rows)} coordinates, and 'world' has 2 axes"):
        opened(store).omezarr.transform("world")


def test_systems_are_reached_by_way_of_others() -> None:
    store = spoken(MemoryStore(), {"type": "scale", "scale": [2.0, 2.0]})
    group = zarr.open_group(store)
    attrs: Any = group.attrs.asdict()
    multiscale = attrs["ome"]["multiscales"][0]
    for name in ("atlas", "nowhere"):
        multiscale["coordinateSystems"].append({**multiscale["coordinateSystems"][0], "name": name})
    ends = {"input": {"name": "atlas"}, "output": {"name": "world"}}
    multiscale["coordinateTransformations"].append({"type": "translation", "translation": [1.0, 1.0], **ends})
    group.attrs.update(attrs)
    tree = opened(store)
    np.testing.assert_allclose(tree.omezarr.transform("atlas")([3.0, 4.0]), [5.0, 7.0])
    np.testing.assert_allclose(opened(store, coordinate_system="atlas").omezarr.level(0).y[:2], [-1.0, 0.0])
    with pytest.raises(CoordinateSystemError, match="nothing leads from the coordinate system 'physical' to 'nowhere'"):
        opened(store, coordinate_system="nowhere")


def test_a_matrix_in_an_array_is_read(tmp_path: Any) -> None:
    store = spoken(tmp_path / "a.ome.zarr", {"type": "affine", "path": "matrix"})
    zarr.open_group(store).create_array("matrix", data=np.array(SHEAR))
    tree = opened(store, coordinate_system="world")
    expected = image().omezarr.assign_affine(SHEAR)
    np.testing.assert_array_equal(tree.omezarr.level(0).world_y.values, expected.world_y.values)
    np.testing.assert_allclose(opened(store).omezarr.transform("world")([3.0, 4.0]), [3 + 1 + 3, 4 - 2])
    assert_identical(opened(store).omezarr.in_system("world").omezarr.level(1), tree.omezarr.level(1))


def test_irregular_coordinates_lead_to_no_system_by_their_mean_step() -> None:
    irregular = image().assign_coords(x=np.arange(20.0) ** 2)
    store = MemoryStore()
    irregular.omezarr.to_zarr(store, version="0.6", irregular="keep", levels=2)
    group = zarr.open_group(store)
    attrs: Any = group.attrs.asdict()
    multiscale = attrs["ome"]["multiscales"][0]
    multiscale["coordinateSystems"].append({**multiscale["coordinateSystems"][0], "name": "world"})
    ends = {"input": {"name": "physical"}, "output": {"name": "world"}}
    multiscale["coordinateTransformations"] = [{"type": "affine", "affine": SHEAR, **ends}]
    group.attrs.update(attrs)
    tree = opened(store)
    for ask in (
        lambda: opened(store, coordinate_system="world"),
        lambda: xr.open_dataarray(store, engine="omezarr", level=1, coordinate_system="world"),
        lambda: tree.omezarr.in_system("world"),
    ):
        with pytest.raises(CoordinateSystemError, match=r"'x' is irregular, .* tree.omezarr.transform\('world'\)"):
            ask()
    # the cure
    points = np.array([[2.0, float(irregular.x[5])]])
    np.testing.assert_allclose(tree.omezarr.transform("world")(points), [np.array(SHEAR) @ [2.0, 25.0, 1.0]])
    # each axis of which comes from one dimension: its coordinates are mapped themselves
    multiscale["coordinateTransformations"] = [{"type": "scale", "scale": [2.0, 10.0], **ends}]
    group.attrs.update(attrs)
    np.testing.assert_allclose(opened(store, coordinate_system="world").omezarr.level(0).x, 10 * irregular.x)
    # an index that was there before holds of the pixels, wherever their sides are said to lie
    da = image().omezarr.assign_affine(TURN).assign_coords(x=irregular.x)
    back = da.omezarr.to_zarr(MemoryStore(), version="0.6", irregular="keep", levels=2)
    assert_identical(back.omezarr.level(0), da)


def test_fields_are_refused_with_the_cure() -> None:
    store = spoken(MemoryStore(), {"type": "displacements", "path": "field", "interpolation": "linear"})
    with pytest.raises(CoordinateSystemError, match=r"'field'.*tree.omezarr.transform\('world', level=0\)"):
        opened(store, coordinate_system="world")
    assert {*opened(store).omezarr.level(0).coords} == {"y", "x"}


def test_images_of_a_plate_are_opened_one_by_one() -> None:
    store = MemoryStore()
    xomezarr.write_plate({("A", 1): [image().omezarr.assign_affine(TURN)]}, store, version="0.6")
    with pytest.raises(CoordinateSystemError, match=r"is meant for an image.*group='A/1/0'"):
        opened(store, coordinate_system="world")
    assert "world_y" in opened(store, group="A/1/0", coordinate_system="world").omezarr.level(0).coords


def test_labels_lie_where_their_image_lies() -> None:
    """They are compared by what leads there: the coordinates of a large image take more memory than its pixels."""
    large = xr.DataArray(np.broadcast_to(np.uint8(1), (40_000, 40_000)), dims=("y", "x"))
    da = large.omezarr.assign_affine(TURN, system="stage")
    part = da.isel(y=slice(0, 40), x=slice(0, 40))
    part.omezarr.to_zarr(small := MemoryStore(), version="0.6", levels=2)
    elsewhere = part.drop_vars(["stage_y", "stage_x"]).omezarr.assign_affine(SHEAR, system="stage")
    with pytest.raises(LabelError, match=r"lie elsewhere in the coordinate system 'stage' .*drop_vars\(\['stage_y', "):
        elsewhere.omezarr.to_labels(small, "nuclei")
    level = part.omezarr.to_labels(small, "nuclei").omezarr.level(1)
    np.testing.assert_array_equal(level.stage_x, opened(small).omezarr.level(1).stage_x)
    part.drop_vars(["stage_y", "stage_x"]).omezarr.to_labels(small, "none")
    with pytest.raises(CoordinateSystemError, match=r"coordinate_system='stage'\)\['labels/none'\]"):
        xr.open_dataarray(small, engine="omezarr", group="labels/none", coordinate_system="stage")
    level = opened(small, coordinate_system="stage")["labels/none"].omezarr.level(1)
    np.testing.assert_array_equal(level.stage_x, opened(small).omezarr.level(1).stage_x)
    tracemalloc.start()
    axes = tuple(xomezarr.Axis(str(dim), "space") for dim in da.dims)
    adopted(da, "all", Frame(da, axes, ({str(dim): xomezarr.Grid(1.0, 0.0, size) for dim, size in da.sizes.items()},)))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 64 * 2**20


def test_labels_that_cannot_follow_are_told() -> None:
    da = image((12, 20))
    store = MemoryStore()
    da.omezarr.assign_affine(TURN).omezarr.to_zarr(
        store, version="0.6", levels=1, labels={"nuclei": (da % 7).astype("uint8")}
    )
    group = zarr.open_group(store, path="labels/nuclei")
    attrs: Any = group.attrs.asdict()
    multiscale = attrs["ome"]["multiscales"][0]
    multiscale["coordinateSystems"].append({**multiscale["coordinateSystems"][0], "name": "own"})
    multiscale["coordinateTransformations"] = [
        {"type": "identity", "input": {"name": "physical"}, "output": {"name": "own"}}
    ]
    group.attrs.update(attrs)
    with pytest.warns(LabelWarning, match="nothing leads from their axes to the coordinate system 'world'"):
        tree = opened(store, coordinate_system="world")
    assert not tree.omezarr.labels


def test_a_level_that_was_moved_far_from_the_origin_is_refused(tmp_path: Path) -> None:
    da = xr.DataArray(np.zeros((20, 20), "uint8"), dims=("y", "x"))
    da = da.omezarr.assign_grid(scale={"y": 1.0, "x": 1.0}, translation={"y": 2e5, "x": 2e5}, units="um")
    da.omezarr.assign_affine([[1, 1, 0], [0, 1, 0]]).omezarr.to_zarr(tmp_path / "a.zarr", version="0.6", levels=1)
    tree: Any = xr.open_datatree(tmp_path / "a.zarr", engine="omezarr", drop_variables=["world_y"])
    ds = tree["0"].to_dataset()
    tree["0"] = xr.DataTree(ds.assign_coords(x=xr.Variable("x", ds.x.values + 1.5, ds.x.attrs)))
    with pytest.raises(CoordinateSystemError, match=r"level 0 lies from 200001\.5 to .* along 'x', and from 200000"):
        tree.omezarr.in_system("world")


# -- what is said of a system by others, and by users -----------------------------------------------------


def changed(store: Any, change: Callable[[dict[str, Any]], Any]) -> None:
    """Let another tool change what a store says of its image."""
    group = zarr.open_group(store)
    attrs: Any = group.attrs.asdict()
    change(attrs["ome"]["multiscales"][0])
    group.attrs.update(attrs)


@pytest.mark.parametrize("system", [None, "world"])
def test_a_unit_that_another_tool_changes_is_taken_and_told(system: str | None) -> None:
    store = MemoryStore()
    da = image().omezarr.assign_affine(TURN)
    da.omezarr.to_zarr(store, version="0.6", levels=1)
    changed(store, lambda multiscale: multiscale["coordinateSystems"][1]["axes"][0].update(unit="millimeter"))
    with pytest.warns(MetadataChangedWarning, match="unit of 'world_y' is 'millimeter', and was 'micrometer'"):
        level = opened(store, coordinate_system=system).omezarr.level(0)
    assert [level[name].attrs["units"] for name in ("world_y", "world_x")] == ["millimeter", "micrometer"]
    np.testing.assert_array_equal(level.world_y.values, da.world_y.values)
    # and is settled by writing it again
    assert_identical(level.omezarr.to_zarr(MemoryStore(), version="0.6").omezarr.level(0), level)


@pytest.mark.parametrize(
    ("attrs", "unit", "orientation"),
    [
        ({"units": "mm"}, "millimeter", None),
        ({"units": "µm"}, "micrometer", None),
        ({}, None, None),
        ({"units": "nm", "orientation": "left-to-right"}, "nanometer", "left-to-right"),
    ],
)
def test_what_a_coordinate_of_a_system_says_is_written(
    attrs: dict[str, str], unit: str | None, orientation: str | None
) -> None:
    da = image().omezarr.assign_affine(TURN)
    da["world_x"].attrs = attrs
    store = MemoryStore()
    for one in (da, da.omezarr.to_zarr(store, version="0.6", levels=2)):
        other = MemoryStore()
        written = one.omezarr.to_zarr(other, version="0.6")
        axis = said(other)["coordinateSystems"][1]["axes"][1]
        assert (axis.get("unit"), axis.get("orientation", {}).get("value")) == (unit, orientation)
        assert_identical(written.omezarr.level(0), da)
        assert xomezarr.validate(other).valid


def test_what_a_coordinate_of_a_system_cannot_say_is_refused() -> None:
    da = image().omezarr.assign_affine(TURN)
    da["world_x"].attrs["units"] = 5
    with pytest.raises(UnitError, match=r"'world_x'.*is 5; give the name of a unit"):
        da.omezarr.to_zarr(MemoryStore(), version="0.6")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tree: tree.isel(x=slice(4, 8)), "level 1 lies from .* along 'x', and from 7.25 to .* by its metadata"),
        (lambda tree: tree.isel(x=3), "level 1 has no dimension 'x'"),
        (lambda tree: tree.map_over_datasets(in_millimeter), "along 'x' in mm, and in micrometer by its metadata"),
    ],
)
def test_a_level_that_lies_elsewhere_by_now_is_not_led_on_from(change: Any, message: str) -> None:
    tree = image().omezarr.assign_affine(TURN).omezarr.to_zarr(MemoryStore(), version="0.6", levels=2)
    other = change(tree)
    for ask in (lambda: other.omezarr.transform("world", level=1), lambda: other.omezarr.transform("world", level=-1)):
        with pytest.raises(CoordinateSystemError, match=rf"{message}.*tree.omezarr.isel\(…\)"):
            ask()
    # its system is where it was, and the cure cures
    np.testing.assert_array_equal(other.omezarr.transform("world")([0, 0]), tree.omezarr.transform("world")([0, 0]))
    part = tree.omezarr.isel(x=slice(4, 8))
    first = part.omezarr.level(1).isel(y=0, x=0)
    np.testing.assert_allclose(part.omezarr.transform("world", level=1)([0, 0]), [first.world_y, first.world_x])


def test_a_level_that_is_gone_is_not_led_on_from() -> None:
    tree = image().omezarr.assign_affine(TURN).omezarr.to_zarr(MemoryStore(), version="0.6", levels=2)
    del tree["1"]
    tree.omezarr.transform("world", level=0)
    with pytest.raises(LevelError, match="there is no level 1"):
        tree.omezarr.transform("world", level=1)


def in_millimeter(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign_coords(x=ds.x.assign_attrs(units="mm")) if "x" in ds.coords else ds


@given(st.data())
@settings(deadline=None, max_examples=15)
def test_seen_in_a_system_is_the_same_as_opened_in_it(data: st.DataObject) -> None:
    number = st.sampled_from([0.0, 0.0, 2.0, -0.5])
    rows = np.array([[data.draw(number) for _ in range(3)] for _ in range(2)])
    assume(abs(np.linalg.det(rows[:, :2])) > 0.1)
    da = image().omezarr.assign_affine(rows, system="stage").omezarr.assign_affine(TURN)
    if data.draw(st.booleans()):
        da = da.rename(stage_y="down")
        da["down"].attrs["units"] = "nm"
    store = MemoryStore()
    da.omezarr.to_zarr(store, version="0.6", levels=2, labels={"nuclei": (image() % 7).astype("uint8")})
    for name in ("stage", "world", "physical"):
        one, two = opened(store, coordinate_system=name), opened(store).omezarr.in_system(name)
        assert one.identical(two)
        stores = MemoryStore(), MemoryStore()
        for tree, other in zip((one, two), stores, strict=True):
            assert_identical(tree.omezarr.to_zarr(other).omezarr.level(1), tree.omezarr.level(1))
        assert said(stores[0]) == said(stores[1])


@pytest.mark.parametrize("dims", ["yx", "zyx", "tcyx"])
@pytest.mark.parametrize("kind", ["mapAxis", "scale"])
def test_systems_that_exchange_the_names_of_axes_are_written(dims: str, kind: str) -> None:
    """What was y is x there: by the order of the numbers, or by the order of the system's axes."""
    spatial = [number for number, dim in enumerate(dims) if dim in "zyx"]
    order = [*range(spatial[0]), *spatial[::-1]]
    da = image(tuple(range(2, 2 + len(dims))), dims, **{"x": 0.25})
    store = MemoryStore()
    da.omezarr.to_zarr(store, version="0.6", levels=1)
    factors = [1.0] * spatial[0] + [2.0, 3.0, 4.0][: len(spatial)]
    transform = {"mapAxis": {"type": "mapAxis", "mapAxis": order}, "scale": {"type": "scale", "scale": factors}}[kind]

    def exchanged(multiscale: dict[str, Any]) -> None:
        axes = multiscale["coordinateSystems"][0]["axes"]
        axes = axes if kind == "mapAxis" else [axes[number] for number in order]
        multiscale["coordinateSystems"].append({"name": "world", "axes": axes})
        ends = {"input": {"name": "physical"}, "output": {"name": "world"}}
        multiscale["coordinateTransformations"] = [{**transform, **ends}]

    changed(store, exchanged)
    tree = opened(store, coordinate_system="world")
    level = tree.omezarr.level(0)
    assert level.dims == tuple(dims[number] for number in order)
    np.testing.assert_array_equal(level.values, da.values)
    way = opened(store).omezarr.transform("world", level=0)
    axes = [axis.name for axis in opened(store).omezarr.coordinate_systems["world"].axes]
    for pixel in itertools.product(range(2), repeat=len(dims)):
        where = level.isel(dict(zip(level.dims, pixel, strict=True)))
        there = [float(where[axis]) if axis in where.coords else pixel[order[dims.index(axis)]] for axis in axes]
        np.testing.assert_allclose(way(pixel), there)
        # and so it is told of the array in the order of the file
        in_file = [pixel[level.dims.index(axis.name)] for axis in tree.omezarr.axes]
        np.testing.assert_allclose(tree.omezarr.transform("world", level=0)(in_file), there)
    other = MemoryStore()
    written = tree.omezarr.to_zarr(other)
    assert xomezarr.validate(other).valid
    assert_identical(written.omezarr.level(0), level)
    back = opened(other, coordinate_system="physical").omezarr.level(0)
    np.testing.assert_array_equal(back.values, da.values)
    assert back.dims == da.dims
    for dim in da.dims:
        if dim in da.coords:
            np.testing.assert_allclose(back[dim].values, da[dim].values)


def test_an_image_whose_axes_another_tool_has_in_another_order_keeps_its_systems() -> None:
    store = spoken(MemoryStore(), {"type": "affine", "affine": TURN})

    def turned(multiscale: dict[str, Any]) -> None:
        multiscale["coordinateSystems"][0]["axes"].reverse()

    changed(store, turned)
    del zarr.open_group(store).attrs["xomezarr"]
    tree = opened(store)
    assert tree.omezarr.level(0).dims == ("x", "y")
    other = MemoryStore()
    written = tree.omezarr.to_zarr(other)
    assert xomezarr.validate(other).valid
    for system in ("world", "physical"):
        there = tree.omezarr.transform(system, level=1)([1.0, 2.0])
        np.testing.assert_allclose(written.omezarr.transform(system, level=1)([2.0, 1.0]), there)
    for one, two in zip(written.omezarr.levels, tree.omezarr.levels, strict=True):
        assert_identical(one, two)


@pytest.mark.parametrize("rows", [[[1, 1, 0], [2, 2, 0]], [[1, 0, 1], [0, 0, 2]], [[0, 0, 1], [0, 0, 2]]])
def test_what_cannot_be_undone_leaves_the_image_openable(rows: list[list[float]]) -> None:
    store = MemoryStore()
    image().omezarr.assign_affine(TURN).omezarr.to_zarr(store, version="0.6", levels=1)
    changed(store, lambda multiscale: multiscale["coordinateTransformations"][0].update(affine=rows))
    with pytest.warns(MetadataChangedWarning) as told:
        level = opened(store).omezarr.level(0)
    assert "the coordinates 'world_y', 'world_x' of " in str(told[-1].message)
    assert_identical(level, image())
    with (
        pytest.warns(MetadataChangedWarning),
        pytest.raises(CoordinateSystemError, match=r"cannot be seen in the coordinate system 'world'.*validate"),
    ):
        opened(store, coordinate_system="world")


def test_axes_from_which_nothing_comes_may_be_left_out() -> None:
    """A projection tells the pixels of a plane apart, and a matrix may have units of very different sizes."""
    store = MemoryStore()
    image((3, 12, 20), "zyx").omezarr.to_zarr(store, version="0.6", levels=1)

    def projected(multiscale: dict[str, Any]) -> None:
        axes = multiscale["coordinateSystems"][0]["axes"][1:]
        multiscale["coordinateSystems"].append({"name": "plane", "axes": axes})
        rows = {"type": "affine", "affine": [[0, 1e-9, 1e3, 0], [0, 0, 1e9, 0]]}
        parts = [{"transformation": rows, "inputAxes": [0, 1, 2], "outputAxes": [0, 1]}]
        ends = {"input": {"name": "physical"}, "output": {"name": "plane"}}
        multiscale["coordinateTransformations"] = [{"type": "byDimension", "transformations": parts, **ends}]

    changed(store, projected)
    assert not [one for one in xomezarr.validate(store).findings if one.rule == "104"]


TWICE = {"type": "scale", "scale": [2, 2]}
UNJUDGED: dict[str, dict[str, Any]] = {
    "an identity in a sequence": {"type": "sequence", "transformations": [{"type": "identity"}, TWICE]},
    "a bijection": {"type": "bijection", "forward": TWICE, "inverse": {"type": "scale", "scale": [0.5, 0.5]}},
    "an empty sequence": {"type": "sequence", "transformations": []},
    "identities by dimension": {
        "type": "byDimension",
        "transformations": [
            {"transformation": {"type": "identity"}, "inputAxes": [number], "outputAxes": [number]} for number in (0, 1)
        ],
    },
    "an affine to more axes": {"type": "affine", "affine": [[1, 0, 0], [0.6, 0.8, 0], [0, 1, 5]]},
}


@pytest.mark.parametrize("kind", UNJUDGED)
def test_what_ome_zarr_models_does_not_judge_is_copied(kind: str) -> None:
    axes = [{"name": dim, "type": "space", "unit": "micrometer"} for dim in "zyx"]
    store = spoken(MemoryStore(), UNJUDGED[kind], axes if "more" in kind else axes[1:])
    assert xomezarr.validate(store, strict=kind != "an empty sequence").valid
    other = MemoryStore()
    opened(store).omezarr.to_zarr(other)
    assert said(other) == said(store)


def test_our_own_rules_judge_what_leads_to_other_systems() -> None:
    """A transformation that breaks a rule is not written, whatever ome-zarr-models says."""
    store = spoken(MemoryStore(), {"type": "scale", "scale": [2.0, -2.0]})
    with pytest.raises(MetadataError, match="rule 91"):
        opened(store).omezarr.to_zarr(MemoryStore())


@pytest.mark.parametrize(
    "transform", [{"type": "scale", "scale": [2.0, 4.0]}, {"type": "affine", "affine": TURN}], ids=["scale", "affine"]
)
@pytest.mark.parametrize("name", ["v", "u"])
def test_coordinates_make_place_for_axes_of_their_names(transform: dict[str, Any], name: str) -> None:
    store = spoken(MemoryStore(), transform, UV)
    da = image().assign_coords({name: ("y", np.arange(12.0)), "kept": ("x", np.arange(20.0))})
    da.omezarr.to_zarr(other := MemoryStore(), version="0.6", levels=2)
    changed(other, lambda multiscale: multiscale.update(said(store)))
    for ask in (
        lambda: opened(other, coordinate_system="world"),
        lambda: opened(other).omezarr.in_system("world"),
        lambda: opened(other, coordinate_system="world", drop_variables="kept"),
    ):
        with pytest.raises(CoordinateSystemError, match=rf"called '{name}'.*drop_variables='{name}'"):
            ask()
    expected = opened(store, coordinate_system="world").omezarr.level(0)
    for level in (
        opened(other, coordinate_system="world", drop_variables=name).omezarr.level(0),
        opened(other, drop_variables=[name]).omezarr.in_system("world").omezarr.level(0),
        xr.open_dataarray(other, engine="omezarr", coordinate_system="world", drop_variables={name}),
    ):
        assert_identical(level.drop_vars("kept"), expected)
    without = opened(store, coordinate_system="world", drop_variables=name).omezarr.level(0)
    assert name not in without.coords


@pytest.mark.parametrize(
    ("transform", "rule"),
    [
        ({"type": "warp", "warp": [1]}, "27"),
        ({"type": "scale", "scale": [-1, 1]}, "91"),
        ({"type": "affine", "affine": [[1, 0], [0, 1]]}, "39"),
        ({"type": "identity", "input": {"name": "elsewhere"}}, "0.6c"),
        ({"type": "identity", "input": {"name": ["physical"]}}, "0.6c"),
    ],
)
def test_what_cannot_be_read_is_told_where_it_would_lead(transform: dict[str, Any], rule: str) -> None:
    store = spoken(MemoryStore(), transform, **{key: transform[key] for key in ("input",) if key in transform})
    (finding,) = [one for one in xomezarr.validate(store).findings if one.severity == "error"]
    assert finding.rule == rule
    tree = opened(store)
    for ask in (
        lambda: opened(store, coordinate_system="world"),
        lambda: tree.omezarr.in_system("world"),
        lambda: tree.omezarr.transform("world"),
        lambda: tree.omezarr.transform("physical", source="world"),
    ):
        with pytest.raises(CoordinateSystemError, match="nothing leads from") as caught:
            ask()
        assert str(caught.value).endswith(f"; what cannot be read does not lead on: {finding}")


@pytest.mark.parametrize("points", ["a", [[1, 2], [3]], [1j, 2], [{}, 2]])
def test_points_that_are_no_numbers_are_refused(points: Any) -> None:
    tree = opened(spoken(MemoryStore(), {"type": "affine", "affine": SHEAR}))
    with pytest.raises(TransformError, match="are no array of numbers"):
        tree.omezarr.transform("world")(points)


@pytest.mark.parametrize("name", [["world"], {"world": 1}, None, 1, b"world"])
def test_what_is_no_name_is_told_as_no_system(name: Any) -> None:
    store = spoken(MemoryStore(), {"type": "affine", "affine": SHEAR})
    tree = opened(store)
    asks = [lambda: tree.omezarr.transform(name), lambda: tree.omezarr.in_system(name)]
    if name is not None:
        asks += [
            lambda: opened(store, coordinate_system=name),
            lambda: xr.open_dataarray(store, engine="omezarr", coordinate_system=name),
            lambda: tree.omezarr.transform("world", source=name),
        ]
    for ask in asks:
        with pytest.raises(CoordinateSystemError, match=r"has no coordinate system .*give one of these: 'physical'"):
            ask()
