"""The engine: the pixels of `pyramid()` from every source, each chunk read once and written once (C3, C4)."""

from __future__ import annotations

import importlib.util
import itertools
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
import dask.array
import fsspec
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from levels import bits
from numcodecs import BZ2, LZ4, LZMA, Blosc, GZip, Zlib
from zarr.codecs import BytesCodec, GzipCodec, ShardingCodec

from xomezarr import errors, presence, tiling
from xomezarr.chunks import Chunks
from xomezarr.presence import arrays_behind
from xomezarr.source import LazyArray, OrderedArray, _Lazy, direct_source, read_here
from xomezarr.tiling import Tiling, repeated_reads

LOCAL = ["local_mean", "nearest", "mode", "median", "min", "max", np.ptp]
FILTERS = ["gaussian", "resize", "zoom", "laplacian"]
SOURCES = [
    *("numpy", "fortran", "dask", "loaded", "computed", "shards", "computed shards"),
    *("lazy", "lazily cut", "lazily turned", "lazily transposed"),
]


@pytest.fixture(autouse=True)
def small_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small images have many tiles."""
    monkeypatch.setattr(tiling, "LEAF_BYTES", 64)
    monkeypatch.setattr(tiling, "TASK_BYTES", 64)


def source_of(
    pixels: np.ndarray, dims: tuple[str, ...], kind: str, chunks: tuple[int, ...], folder: Path
) -> xr.DataArray:
    """Return the same image from another place."""
    if kind == "numpy":
        return xr.DataArray(pixels, dims=dims)
    if kind == "fortran":
        return xr.DataArray(np.asfortranarray(pixels), dims=dims)
    if kind == "dask":
        return xr.DataArray(dask.array.from_array(pixels, chunks=chunks), dims=dims)
    if kind == "lazily turned":
        turned = np.pad(pixels, [(1, 2)] * pixels.ndim).transpose()
        array = zarr.create_array(folder / "turned.zarr", data=turned, chunks=chunks[::-1])
        lazily = LazyArray(OrderedArray(array, range(pixels.ndim)[::-1], pixels.dtype))
        return xr.DataArray(xr.Variable(dims, lazily))[tuple(slice(1, -2) for _ in dims)]
    if kind == "lazily transposed":
        group = zarr.open_group(folder / "transposed.zarr", mode="w")
        stored = np.pad(pixels, [(1, 2)] * pixels.ndim).transpose()
        group.create_array("pixels", data=stored, chunks=chunks[::-1], dimension_names=dims[::-1])
        ds = xr.open_dataset(folder / "transposed.zarr", engine="zarr", consolidated=False, chunks=None)
        da = xr.DataArray(ds["pixels"].variable, attrs={}).isel(dict.fromkeys(dims, slice(1, -2))).transpose(*dims)
        assert not isinstance(direct_source(da, dims), _Lazy)
        return da
    if kind == "lazily cut":
        pixels = np.pad(pixels, [(1, 2)] * pixels.ndim)
    shards = tuple(3 * n for n in chunks) if "shards" in kind else None
    array = zarr.create_array(folder / "source.zarr", data=pixels, chunks=chunks, shards=shards, dimension_names=dims)
    if "computed" in kind:
        loaded = dask.array.from_zarr(array)
        return xr.DataArray(dask.array.map_blocks(np.copy, loaded, dtype=loaded.dtype), dims=dims)
    if kind in ("loaded", "shards"):
        return xr.DataArray(dask.array.from_zarr(array, chunks=chunks), dims=dims)
    zarr.open_group(folder / "group.zarr", mode="w")
    array = zarr.create_array(folder / "group.zarr" / "pixels", data=pixels, chunks=chunks, dimension_names=dims)
    da = xr.open_dataset(folder / "group.zarr", engine="zarr", consolidated=False, chunks=None)["pixels"]
    da = xr.DataArray(da.variable, attrs={})
    return da[tuple(slice(1, -2) for _ in dims)] if kind == "lazily cut" else da


@st.composite
def images(draw: st.DrawFn) -> dict[str, Any]:
    ndim = draw(st.integers(2, 4))
    dims = draw(st.permutations(("t", "z", "y", "x")[-ndim:]))
    shape = [draw(st.integers(1, 9 if dim == "t" else 40 // ndim)) for dim in dims]
    method = draw(st.sampled_from([*LOCAL, *FILTERS]))
    floats = ["f4", "f8"]
    numbers = ["u1", "u2", ">i2", "i8", "u8", *floats]
    kinds = floats if method == "laplacian" else numbers if method is np.ptp else ["?", *numbers]
    dtype = draw(st.sampled_from(kinds))
    steps = draw(st.integers(1, 3))
    factors = [{dim: draw(st.integers(1, 4)) for dim in dims if dim != "t"} for _ in range(steps)]
    # each step shrinks something
    shrinking = [dim for dim in dims if dim != "t"][-1]
    shape[dims.index(shrinking)] = draw(st.integers(17, 40))
    for step in factors:
        step[shrinking] = draw(st.integers(2, 4)) if steps < 3 else 2
    return {
        "dims": tuple(dims),
        "shape": shape,
        "dtype": dtype,
        "options": {"method": method, "factors": factors, "boundary": draw(st.sampled_from(["pad", "trim"]))},
        "chunks": {dim: draw(st.integers(1, 8)) for dim in dims},
        "shards": draw(st.one_of(st.none(), st.fixed_dictionaries({dim: st.integers(1, 3) for dim in dims}))),
        "source": draw(st.sampled_from(SOURCES)),
        "stored": tuple(draw(st.integers(1, 12)) for _ in dims),
        "workers": draw(st.integers(1, 3)),
        "seed": draw(st.integers(0, 99)),
    }


@settings(deadline=None, max_examples=150)
@given(case=images())
def test_c4_what_is_written_is_what_pyramid_computes(case: dict[str, Any]) -> None:
    rng = np.random.default_rng(case["seed"])
    pixels = (rng.random(case["shape"]) * 200 - (50 if np.dtype(case["dtype"]).kind in "if" else 0)).astype(
        case["dtype"]
    )
    if pixels.dtype.kind == "f":
        pixels[rng.random(pixels.shape) < 0.2] = np.nan
    dims, options = case["dims"], case["options"]
    wanted = xr.DataArray(pixels, dims=dims).omezarr.pyramid(**options).omezarr.levels
    shards = case["shards"] and {dim: case["chunks"][dim] * case["shards"][dim] for dim in dims}
    with tempfile.TemporaryDirectory() as folder:
        da = source_of(pixels, dims, case["source"], case["stored"], Path(folder))
        tree = da.omezarr.to_zarr(
            f"{folder}/a.ome.zarr",
            version="0.5",
            chunks={dim: case["chunks"][dim] for dim in dims},
            shards=shards,
            write_empty_chunks=case["seed"] % 2 == 0,
            workers=case["workers"],
            **options,
        )
        for level, (got, expected) in enumerate(zip(tree.omezarr.levels, wanted, strict=True)):
            assert bits(got.transpose(*dims).values.astype(pixels.dtype)) == bits(expected.values), f"level {level}"


@pytest.mark.sweep(2)
@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("shards", [None, {"y": 16, "x": 32}])
@pytest.mark.parametrize(
    ("method", "boundary"), [("local_mean", "pad"), ("local_mean", "trim"), ("gaussian", "pad"), ("laplacian", "trim")]
)
def test_every_chunk_has_one_writer_and_is_read_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    shards: dict[str, int] | None,
    method: str,
    boundary: str,
) -> None:
    dtype = "f4" if method == "laplacian" else "u2"
    pixels = np.random.default_rng(0).integers(0, 999, (3, 67, 85)).astype(dtype)
    da = source_of(pixels, ("c", "y", "x"), kind, (1, 16, 16), tmp_path)
    written: Counter[Any] = Counter()
    read: Counter[Any] = Counter()
    lock = threading.Lock()
    real_write, real_read = Chunks.write, Chunks.read

    def write(self: Chunks, box: Any, values: Any) -> None:
        with lock:
            written[self.array.path, tuple((where.start, where.stop) for where in box)] += 1
        real_write(self, box, values)

    def read_box(self: Chunks, box: Any) -> Any:
        with lock:
            # the coarsest level is read for the windows of channels
            if self.shape != pixels.shape:
                return real_read(self, box)
            for index in itertools.product(
                *(range(where.start // n, -(-where.stop // n)) for where, n in zip(box, self.array.chunks, strict=True))
            ):
                read[index] += 1
        return real_read(self, box)

    monkeypatch.setattr(Chunks, "write", write)
    monkeypatch.setattr(Chunks, "read", read_box)
    plan_options = {
        "method": method,
        "levels": 3,
        "version": "0.5",
        "chunks": {"c": 1, "y": 8, "x": 8},
        "shards": shards,
        "boundary": boundary,
    }
    plan = da.omezarr.plan(tmp_path / "a", **plan_options)
    da.omezarr.to_zarr(tmp_path / "a", workers=3, **plan_options)
    assert set(written.values()) == {1}
    levels = [level.path for level in plan.levels]
    kept = {key for key in written if key[0] not in levels}
    assert bool(kept) == (method == "laplacian")  # its carries, which are gone in the end
    assert sorted(zarr.open_group(tmp_path / "a", mode="r").array_keys()) == levels
    assert not any(path.name.startswith(".") for path in (tmp_path / "a").iterdir())
    expected = {
        (level.path, tuple(zip(start, np.minimum(np.add(start, level.unit), level.shape).tolist(), strict=True)))
        for level in plan.levels
        for start in itertools.product(*(range(0, n, u) for n, u in zip(level.shape, level.unit, strict=True)))
    }
    assert set(written) - kept == expected
    if kind in ("loaded", "computed", "shards", "lazy") and method == "local_mean":  # halos are read again
        assert set(read.values()) == {1}
        assert len(read) == 3 * 5 * 6
    regions = Counter((tile.path, str(tile.region)) for tile in plan.tiles)
    assert set(regions.values()) == {1}
    assert sum(math.prod(where.stop - where.start for where in tile.region.values()) for tile in plan.tiles) == sum(
        math.prod(level.shape) for level in plan.levels
    )
    assert len({tile.id for tile in plan.tiles}) == len(list(plan.tiles))


# --- tilings ---------------------------------------------------------------------------------------------------------


@st.composite
def tilings(draw: st.DrawFn) -> Tiling:
    ndim = draw(st.integers(1, 3))
    shape = tuple(draw(st.integers(1, 60)) for _ in range(ndim))
    pad = draw(st.booleans())
    unit = tuple(draw(st.integers(1, 9)) for _ in range(ndim))
    shapes, steps = [shape], []
    for _ in range(draw(st.integers(0, 3))):
        step = tuple(draw(st.integers(1, 4)) if n > 1 else 1 for n in shapes[-1])
        steps.append(step)
        shapes.append(tuple(-(-n // f) if pad else max(n // f, 1) for n, f in zip(shapes[-1], step, strict=True)))
    units = [tuple(map(min, unit, n)) for n in shapes]
    after = steps[0] if steps else (1,) * ndim
    leaf = tuple(math.lcm(u, f) * draw(st.integers(1, 4)) for u, f in zip(units[0], after, strict=True))
    return Tiling.growing(shapes, steps, units, leaf)


@settings(deadline=None)
@given(found=tilings())
def test_tiles_share_out_every_level_and_come_after_what_they_are_made_of(found: Tiling) -> None:
    done: set[Any] = set()
    pixels = [np.zeros(shape, int) for shape in found.shapes]
    for tile in found.made():
        children = list(found.children(tile))
        assert done.issuperset(children)
        giving = [child for child in children if found.gives(child)] if tile.level else []
        assert all(found.parent(child) == tile for child in children)
        if tile.level:
            assert len(giving) == found.parts(tile) >= 1
        pixels[tile.level][found.box(tile)] += 1
        done.add(tile)
    assert all((level == 1).all() for level in pixels)
    assert len(done) == found.total
    assert [tile for tile in found.made() if tile.level == 0] == list(found.starts(0, lambda tile: False))


@given(size=st.integers(1, 400), tile=st.integers(1, 90), stored=st.integers(1, 90))
def test_repeated_reads_are_counted(size: int, tile: int, stored: int) -> None:
    touched = sum(-(-min(start + tile, size) // stored) - start // stored for start in range(0, size, tile))
    assert repeated_reads(size, tile, stored) == touched / -(-size // stored)


# --- what is seen through --------------------------------------------------------------------------------------------


def test_dask_arrays_that_merely_load_are_seen_through(tmp_path: Path) -> None:
    pixels = np.arange(400, dtype="u2").reshape(20, 20)
    array = zarr.create_array(tmp_path / "a.zarr", data=pixels, chunks=(8, 8))
    xr.Dataset({"a": (("y", "x"), pixels)}).to_zarr(tmp_path / "b.zarr", consolidated=False)
    packed = xr.Dataset({"a": (("y", "x"), pixels, {}, {"scale_factor": 0.5, "dtype": "i2"})})
    packed.to_zarr(tmp_path / "c.zarr", consolidated=False)

    def of(data: Any) -> Any:
        return direct_source(xr.DataArray(data, dims=("y", "x")), ("x", "y"))

    box = (slice(3, 17), slice(5, 9))
    for loads in (
        dask.array.from_zarr(array),
        dask.array.from_zarr(str(tmp_path / "a.zarr")),
        dask.array.from_zarr(array, chunks=(3, 20)),
        dask.array.from_array(array),
        xr.open_dataset(tmp_path / "b.zarr", engine="zarr", chunks={}, consolidated=False)["a"].data,
    ):
        np.testing.assert_array_equal(of(loads).read(box), pixels.T[box])
    for computes in (
        dask.array.from_zarr(array) + 1,
        dask.array.from_zarr(array)[::-1],
        dask.array.from_zarr(array).T,
        dask.array.from_zarr(array).astype("f4"),
        dask.array.from_array(pixels, chunks=5),
        dask.array.map_blocks(lambda block: block * 2, dask.array.from_zarr(array)),
        xr.open_dataset(tmp_path / "c.zarr", engine="zarr", chunks={}, consolidated=False)["a"].data,
    ):
        found = of(computes)
        if found is not None:
            np.testing.assert_array_equal(found.read(box), np.asarray(computes).T[box])


def test_what_dask_computes_is_read_by_the_threads_that_compute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.arange(400, dtype="u2").reshape(20, 20)
    array = zarr.create_array(tmp_path / "a.zarr", data=pixels, chunks=(8, 8))
    if Chunks(array)._direct is None:
        pytest.skip("this zarr has an event loop alone")
    xr.Dataset({"a": (("y", "x"), pixels)}).to_zarr(tmp_path / "b.zarr", consolidated=False)
    opened = xr.open_dataset(tmp_path / "b.zarr", engine="zarr", chunks={"y": 7}, consolidated=False)["a"].data
    arrays = (dask.array.from_zarr(array), dask.array.from_zarr(str(tmp_path / "a.zarr")), opened)

    def by_event_loop(self: Any, key: Any) -> Any:
        raise AssertionError(key)

    monkeypatch.setattr(zarr.Array, "__getitem__", by_event_loop)
    for data in arrays:
        with pytest.raises(AssertionError):
            data.compute()
        np.testing.assert_array_equal(read_here(data[1:, :9] + 1), pixels[1:, :9] + 1)
        np.testing.assert_array_equal(read_here(data[:, 3].T), pixels[:, 3])


# --- what a write may take -------------------------------------------------------------------------------------------


def cells(*shape: int) -> xr.DataArray:
    return xr.DataArray(np.random.default_rng(0).poisson(90, shape).astype("u2"), dims=("z", "y", "x")[-len(shape) :])


def test_a_write_that_would_take_too_much_is_refused(tmp_path: Path) -> None:
    da, chunks = cells(256, 128, 128), (64, 64, 64)
    plan = da.omezarr.plan(tmp_path / "a", workers=7, chunks=chunks)
    assert plan.workers == 7
    fewer = da.omezarr.plan(tmp_path / "a", workers=7, max_memory=plan.memory // 2, chunks=chunks)
    assert fewer.workers < 7
    assert fewer.memory <= plan.memory // 2
    with pytest.raises(errors.ResourceError, match=r'give max_memory="\d+ MiB", or smaller chunks than \(64, 64, 64\)'):
        da.omezarr.to_zarr(tmp_path / "a", max_memory="1 kB", chunks=chunks)
    for wrong in (
        {"max_memory": "plenty"},
        {"max_memory": 0},
        {"max_memory": ""},
        {"max_memory": np.inf},
        {"max_memory": [1]},
        {"workers": 0},
        {"workers": 1.5},
    ):
        with pytest.raises(errors.ResourceError, match=next(iter(wrong))):
            da.omezarr.to_zarr(tmp_path / "a", **wrong)
    assert da.omezarr.plan(tmp_path / "a", max_memory=np.int64(2**30)).memory <= 2**30
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("kind", ["dask", "loaded"])
def test_as_many_workers_are_taken_as_the_memory_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    da = source_of(cells(16, 64, 64).values, ("z", "y", "x"), kind, (4, 16, 16), tmp_path)

    def planned(workers: int) -> Any:
        return da.omezarr.plan("a", levels=2, chunks=(4, 16, 16), workers=workers, max_memory="200 MiB")

    # more would neither fit nor have anything to do, and trying each number would take forever
    most = planned(10**30)
    assert most.memory <= 200 * 2**20
    assert 1 < most.workers < 64
    assert planned(most.workers).workers == most.workers
    assert planned(most.workers + 1).workers == most.workers
    asked: list[int] = []
    real = dask.base.compute_as_if_collection

    def compute(*arguments: Any, num_workers: int, **options: Any) -> Any:
        asked.append(num_workers)
        return real(*arguments, num_workers=2, **options)

    monkeypatch.setattr(dask.base, "compute_as_if_collection", compute)
    small = xr.DataArray(da[:4, :32, :32].chunk(16).data + 1, dims=da.dims)
    small.omezarr.to_zarr(tmp_path / "a", levels=1, chunks=(4, 32, 32), workers=1000, max_memory="100 GiB")
    # there are four blocks, and one leaf
    assert asked == [4]


def test_small_chunks_are_joined_only_as_far_as_the_memory_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiling, "LEAF_BYTES", 64 * 2**20)
    da = cells(128, 256, 256).chunk()
    da = xr.DataArray(dask.array.from_zarr(zarr.array(da.values, chunks=(32, 32, 32))), dims=da.dims)
    plenty = da.omezarr.plan("a", chunks=(32, 32, 32), workers=1)
    little = da.omezarr.plan("a", chunks=(32, 32, 32), workers=1, max_memory="16 MiB")
    assert little.memory <= 16 * 2**20 < plenty.memory


def test_more_memory_saves_reading_planes_again(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "a.zarr", shape=(128, 2048, 2048), chunks=(1, 2048, 2048), dtype="u2")
    da = xr.DataArray(dask.array.from_zarr(array), dims=("z", "y", "x"))
    little = da.omezarr.plan(tmp_path / "b", chunks=(64, 64, 64), max_memory="128 MiB", workers=2)
    plenty = da.omezarr.plan(tmp_path / "b", chunks=(64, 64, 64), max_memory="4 GiB", workers=2)
    assert little.memory <= 128 * 2**20
    assert little.reads > plenty.reads == 1
    assert "each stored chunk is read" in str(little)
    assert "each stored chunk is read" not in str(plenty)


@pytest.mark.parametrize("memory", ["512 MiB", "1 GiB", "4 GiB"])
def test_more_workers_than_the_memory_feeds_do_not_make_it_slower(tmp_path: Path, memory: str) -> None:
    """Each has a part of the memory, where small tiles would read planes hundreds of times."""
    array = zarr.create_array(tmp_path / "a.zarr", shape=(1500, 8000, 8000), chunks=(1, 2000, 2000), dtype="u2")
    da = xr.DataArray(dask.array.from_zarr(array), dims=("z", "y", "x"))

    def seconds(workers: int) -> float:
        """Return about what it takes: reading, and what is done with pixels once they are read."""
        plan = da.omezarr.plan(tmp_path / "b", chunks=(128, 128, 128), max_memory=memory, workers=workers)
        assert plan.workers <= workers
        return float((plan.reads + 3) / plan.workers)

    taken = [seconds(workers) for workers in (1, 2, 4, 8, 16, 32, 64)]
    assert all(later <= 1.2 * sooner for sooner, later in itertools.pairwise(taken))


@pytest.mark.parametrize("workers", [1, 2, 8, 64])
@pytest.mark.parametrize(
    ("stored", "options"),
    [
        pytest.param({"chunks": (1, 4096, 4096)}, {"max_memory": "64 GiB"}, id="planes into cubes"),
        pytest.param({"chunks": (64, 64, 64)}, {}, id="chunks as they are"),
        pytest.param({"chunks": (64, 64, 64)}, {"method": "gaussian", "max_memory": "64 GiB"}, id="a filter"),
        pytest.param({"chunks": (64, 64, 64), "shards": (256, 4096, 4096)}, {"max_memory": "2 GiB"}, id="a shard"),
        pytest.param(
            {"chunks": (64, 64, 64)}, {"shards": "auto", "version": "0.5", "max_memory": "64 GiB"}, id="into shards"
        ),
    ],
)
def test_there_is_work_for_all_workers(
    monkeypatch: pytest.MonkeyPatch, stored: dict[str, Any], options: dict[str, Any], workers: int
) -> None:
    monkeypatch.setattr(tiling, "LEAF_BYTES", 4 * 2**20)
    array = zarr.create_array(zarr.storage.MemoryStore(), shape=(256, 4096, 4096), dtype="u2", **stored)
    da = xr.DataArray(dask.array.from_zarr(array), dims=("z", "y", "x"))
    plan = da.omezarr.plan("a", chunks=(64, 64, 64), workers=workers, **options)
    assert plan.workers == workers
    for walk in plan.passes:
        units = plan.levels[walk.first].file_count
        small = 2 * math.prod(walk.tiling.cut(0)) <= tiling.SHARED_BYTES
        assert small or walk.tiling.leaf_count >= min(workers, units)
        assert walk.workers == min(workers, walk.tiling.leaf_count)
    with pytest.raises(errors.ResourceError, match="max_memory"):
        da.omezarr.plan("a", chunks=(64, 64, 64), workers=workers, **(options | {"max_memory": "1 MiB"}))


@pytest.mark.parametrize("value", [complex(-0.0, 0.0), complex(0.0, -0.0)])
@pytest.mark.parametrize("empty", [None, False])
@pytest.mark.parametrize("shards", [None, (32, 32)])
def test_c4_complex_zeros_keep_their_sign(tmp_path: Path, value: complex, empty: bool | None, shards: Any) -> None:
    pixels = np.full((64, 64), value, "c8")
    pixels[40, 40] = 1
    da = xr.DataArray(pixels, dims=("y", "x"))
    options = {"version": "0.5", "levels": 1, "chunks": (16, 16), "shards": shards, "write_empty_chunks": empty}
    tree = da.omezarr.to_zarr(tmp_path / "a.zarr", **options)
    assert bits(tree["0/image"].values) == bits(pixels)


def test_c3_chunks_of_many_shapes_are_read(tmp_path: Path) -> None:
    pixels = np.arange(900, dtype="u2").reshape(30, 30)
    try:
        with zarr.config.set({"array.rectilinear_chunks": True}):
            group = zarr.create_group(tmp_path / "raw.zarr")
            array = group.create_array(
                "a", shape=(30, 30), chunks=[[10, 20], [15, 15]], dtype="u2", dimension_names=("y", "x")
            )
            array[...] = pixels
    except (TypeError, ValueError, NotImplementedError):
        pytest.skip("this zarr has no such chunks")
    for chunks in (None, {}):
        with zarr.config.set({"array.rectilinear_chunks": True}):
            da = xr.open_dataset(tmp_path / "raw.zarr", engine="zarr", chunks=chunks, consolidated=False)["a"]
            for kind, image in (("stored", da), ("computed", da + da.dtype.type(0))):
                tree = image.omezarr.to_zarr(tmp_path / f"{kind}.zarr", mode="w", levels=2)
                assert (tree["0/image"].values == pixels).all()


@pytest.mark.parametrize("kind", ["numpy", "dask", "lazy"])
@pytest.mark.parametrize("limit", [{"workers": 1}, {"workers": 8, "max_memory": "30 MB"}])
def test_no_more_threads_work_than_are_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, limit: dict[str, Any]
) -> None:
    da = source_of(cells(32, 64, 64).values, ("z", "y", "x"), kind, (4, 16, 16), tmp_path)
    options = {"chunks": (4, 16, 16), "levels": 2, **limit}
    planned = da.omezarr.plan(tmp_path / "a.ome.zarr", **options).workers
    assert planned <= 3
    threads: set[int] = set()
    real = Chunks.write

    def write(self: Chunks, *arguments: Any) -> None:
        threads.add(threading.get_ident())
        time.sleep(0.001)  # so that all there are have their turn
        real(self, *arguments)

    monkeypatch.setattr(Chunks, "write", write)
    with dask.config.set(scheduler="threads", num_workers=6):
        da.omezarr.to_zarr(tmp_path / "a.ome.zarr", **options)
    assert len(threads) == planned


MEASURE = """
import sys
import dask.array, numpy as np, xarray as xr, zarr
import xomezarr

folder, method, source, shape, chunks, shards, workers = *sys.argv[1:4], *map(eval, sys.argv[4:])
def plane(block_info):
    (start, _), *others = block_info[None]["array-location"]
    return np.random.default_rng(start).integers(0, 999, (1, *(stop for _, stop in others)), dtype)
def image(shape, name):
    if source == "planes that dask computes":
        blocks = dask.array.map_blocks(plane, chunks=((1,) * shape[0], *shape[1:]), dtype=dtype)
        return xr.DataArray(blocks, dims=("z", "y", "x"))
    shard = (256, 256, 256) if source == "shards" and name == "large" else None
    array = zarr.create_array(f"{folder}/{name}.zarr", shape=shape, chunks=(64, 64, 64), shards=shard, dtype=dtype)
    size = 256 if shard else 64
    for start in range(0, shape[0], size):
        part = np.random.default_rng(start).poisson(90, (size, *shape[1:])).astype(dtype)
        array[start:start + size] = part
    return xr.DataArray(dask.array.from_zarr(f"{folder}/{name}.zarr"), dims=("z", "y", "x"))

dtype = "f4" if method == "laplacian" else "u2"
options = {"version": "0.5", "levels": 3, "chunks": chunks, "shards": shards, "workers": workers, "method": method}
da = image(shape, "large")
image((64, 64, 64), "small").omezarr.to_zarr(f"{folder}/small.ome.zarr", version="0.5", levels=2, method=method)
planned = da.omezarr.plan(f"{folder}/large.ome.zarr", **options).memory

def status(key):
    return int(next(line for line in open("/proc/self/status") if line.startswith(key)).split()[1]) * 1024

open("/proc/self/clear_refs", "w").write("5")
before = status("VmRSS")
da.omezarr.to_zarr(f"{folder}/large.ome.zarr", **options)
print(planned, status("VmHWM") - before)
"""


@pytest.mark.sweep(2)
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is asked of Linux")
@pytest.mark.parametrize(
    ("method", "source", "chunks", "shards", "workers"),
    [
        ("local_mean", "chunks", (64, 64, 64), None, 2),
        ("local_mean", "chunks", (64, 64, 64), (256, 256, 256), 2),
        ("local_mean", "shards", (64, 64, 64), (256, 256, 256), 2),
        ("local_mean", "planes that dask computes", (64, 64, 64), None, 2),
        ("local_mean", "planes that dask computes", (1, 128, 128), None, 2),
        ("gaussian", "chunks", (64, 64, 64), None, 2),
        ("gaussian", "chunks", (128, 128, 128), None, 1),
        ("laplacian", "chunks", (64, 64, 64), None, 2),
    ],
)
def test_the_predicted_memory_is_what_is_taken(
    tmp_path: Path, method: str, source: str, chunks: tuple[int, ...], shards: tuple[int, ...] | None, workers: int
) -> None:
    arguments = [method, source, "(256, 512, 768)", repr(chunks), repr(shards), str(workers)]
    # how many blocks wait for each other is for dask to say: the prediction is of the worst
    at_most = 2 if "dask" in source else 1.5
    taken: list[int] = []
    # whether the peaks of two workers coincide is chance
    for number in range(4):
        (tmp_path / str(number)).mkdir()
        command = [sys.executable, "-c", MEASURE, str(tmp_path / str(number)), *arguments]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert answer.returncode == 0, answer.stderr
        planned, peak = map(int, answer.stdout.split())
        print(f"planned {planned / 1e6:.0f} MB, taken {peak / 1e6:.0f} MB")
        taken.append(peak)
        # what earlier work has left free counts for the write, so that small ones may seem to take nothing
        if planned <= at_most * peak or planned < 64 * 2**20:
            break
        shutil.rmtree(tmp_path / str(number))
    assert max(taken) <= 1.5 * planned
    assert planned <= at_most * max(taken) or planned < 64 * 2**20


def test_a_threads_executor_is_in_this_process(tmp_path: Path) -> None:
    pixels = cells(32, 64, 64)
    da = pixels.copy(data=dask.array.from_array(pixels.values, chunks=16) + np.uint16(0))
    told: list[int] = []
    with dask.config.set(scheduler=ThreadPoolExecutor(2)):
        da.omezarr.to_zarr(tmp_path / "a.zarr", levels=2, progress=told.append)
        da.omezarr.to_zarr(zarr.storage.MemoryStore(), levels=2)
    assert sum(told) == da.omezarr.plan(tmp_path / "b.zarr", levels=2).nbytes


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shards": (4, 64, 32)},
        {"shards": (4, 64, 32), "compressors": GzipCodec()},
        *({"compressors": codec, "zarr_format": 2} for codec in (Zlib(), GZip(), BZ2(), LZ4(), LZMA(), Blosc())),
    ],
    ids=str,
)
def test_c7_a_chunk_that_cannot_be_decoded_is_named(tmp_path: Path, options: dict[str, Any]) -> None:
    zarr.create_array(
        tmp_path / "raw.zarr",
        data=cells(4, 64, 64).values,
        chunks=(4, 32, 32),
        chunk_key_encoding={"name": "v2" if "zarr_format" in options else "default", "separator": "/"},
        **options,
    )
    os.truncate(tmp_path / "raw.zarr" / ("0/0/1" if "zarr_format" in options else "c/0/0/1"), 20)
    da = xr.DataArray(dask.array.from_zarr(str(tmp_path / "raw.zarr")), dims=("z", "y", "x"))
    with pytest.raises(
        errors.OmeZarrError, match=r"(chunk|shard) \(0, 0, 1\) of '.*raw.zarr', .* cannot be decoded .*copy the store"
    ):
        da.omezarr.to_zarr(tmp_path / "a.zarr", levels=2)
    assert [path.name for path in tmp_path.iterdir()] == ["raw.zarr"]


@pytest.mark.parametrize("kind", ["loaded", "computed", "lazy", "lazily transposed"])
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_c7_a_source_that_is_gone_is_not_black(tmp_path: Path, kind: str, when: str) -> None:
    pixels = cells(8, 64, 64).values
    da = source_of(pixels, ("z", "y", "x"), kind, (8, 16, 16), tmp_path)
    cells(8, 64, 64).omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=2)
    before = {path: path.read_bytes() for path in (tmp_path / "a.ome.zarr").rglob("*") if path.is_file()}

    def move(nbytes: int) -> None:
        for source in tmp_path.iterdir():
            if source.name != "a.ome.zarr" and not source.name.startswith("."):
                source.rename(tmp_path / f".moved-{source.name}")

    if when == "before":
        move(0)
    with pytest.raises(errors.OmeZarrError, match=r"is not there as it was when it was opened .*open it again"):
        da.omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=2, mode="w", progress=move, workers=1)
    assert before == {path: path.read_bytes() for path in (tmp_path / "a.ome.zarr").rglob("*") if path.is_file()}
    assert not list(tmp_path.glob(".a.ome*"))


class Around:
    """A class that nobody knows, around an array."""

    __slots__ = ("array", "dtype", "ndim", "shape")

    def __init__(self, array: Any) -> None:
        self.array, self.dtype, self.ndim, self.shape = array, array.dtype, array.ndim, array.shape

    def __getitem__(self, key: Any) -> Any:
        return self.array[key]


def _opened(folder: Path, **options: Any) -> xr.DataArray:
    return xr.open_zarr(folder, consolidated=False, **options)["pixels"]


def _stored(folder: Path) -> zarr.Array[Any]:
    return zarr.open_array(folder / "pixels", mode="r")


def _of_dask(array: Any, **options: Any) -> xr.DataArray:
    return xr.DataArray(dask.array.from_array(array, chunks=(4, 16, 16), **options), dims=("z", "y", "x"))


def _taken(array: Any, block_info: Any) -> Any:
    return array[tuple(slice(*part) for part in block_info[None]["array-location"])]


def _in_a_function(folder: Path) -> xr.DataArray:
    array, chunks = _stored(folder), ((4, 4), (32,), (32,))
    take = lambda block_info=None: _taken(array, block_info)  # noqa: E731
    return xr.DataArray(dask.array.map_blocks(take, chunks=chunks, dtype=array.dtype), dims=("z", "y", "x"))


def _delayed(folder: Path) -> xr.DataArray:
    read = dask.delayed(_stored(folder).__getitem__)
    parts = [dask.array.from_delayed(read(slice(i, i + 4)), (4, 32, 32), "u2") for i in (0, 4)]
    return xr.DataArray(dask.array.concatenate(parts), dims=("z", "y", "x"))


WAYS = {
    "decoded": _opened,
    "decoded without dask": lambda folder: _opened(folder, chunks=None),
    "decoded, strided and turned": lambda folder: _opened(folder, chunks=None)[:, ::2].transpose("x", "z", "y"),
    "strided": lambda folder: _opened(folder, chunks=None, mask_and_scale=False)[:, ::2],
    "flipped": lambda folder: _opened(folder, chunks=None, mask_and_scale=False)[:, ::-1],
    "picked": lambda folder: _opened(folder, chunks=None, mask_and_scale=False)[[0, 3, 5]],
    "strided, in chunks": lambda folder: _opened(folder, chunks=None, mask_and_scale=False)[:, ::2].chunk(16) + 1,
    "a pyramid": lambda folder: _opened(folder, chunks=None, mask_and_scale=False)[:, ::2].omezarr.pyramid(levels=2),
    "in the tasks": lambda folder: _of_dask(_stored(folder), inline_array=True),
    "in the tasks, decoded": lambda folder: (
        xr.open_dataset(folder, engine="zarr", chunks={}, inline_array=True, consolidated=False)["pixels"] + 1
    ),
    "fused": lambda folder: dask.optimize(_of_dask(_stored(folder)).chunk(5) + 1)[0],
    "an unknown class": lambda folder: _of_dask(Around(_stored(folder))),
    "a function": _in_a_function,
    "delayed": _delayed,
    "by a file system": lambda folder: (
        _of_dask(zarr.open_array(zarr.storage.FsspecStore.from_url(f"memory:/{folder}/pixels"), mode="r")) + 1
    ),
}


def _make_source(folder: Path, pixels: Any, kind: str) -> None:
    if kind == "by a file system":
        zarr.create_array(f"memory:/{folder}/pixels", data=pixels, chunks=(4, 16, 16), overwrite=True)
        return
    dims = {"attributes": {"_ARRAY_DIMENSIONS": ["z", "y", "x"]}}
    group = zarr.open_group(folder, mode="w", zarr_format=2)
    group.create_array("pixels", data=pixels, chunks=(4, 16, 16), fill_value=0, **dims)


def _remove_source(folder: Path, kind: str) -> None:
    if kind == "by a file system":
        fsspec.filesystem("memory").rm(str(folder), recursive=True)
    else:
        shutil.rmtree(folder)


@pytest.mark.parametrize("kind", WAYS)
def test_c7_a_source_that_is_gone_is_found_however_it_is_held(tmp_path: Path, kind: str) -> None:
    pixels = cells(8, 32, 32).values + np.uint16(1)
    place = tmp_path / "source.zarr"

    def write(when: str) -> None:
        _make_source(place, pixels, kind)
        da = WAYS[kind](place)
        options = {} if isinstance(da, xr.DataTree) else {"levels": 1}
        written = da.omezarr.to_zarr(tmp_path / f"{when}.zarr", compute=False, **options)
        if when == "before":
            _remove_source(place, kind)
        told: list[int] = []

        def remove(nbytes: int) -> None:
            if when == "meanwhile" and not told:
                told.append(nbytes)
                _remove_source(place, kind)

        if when == "meanwhile":
            written = None
            da.omezarr.to_zarr(tmp_path / f"{when}.zarr", progress=remove, workers=1, **options)
        if written is not None:
            tree = written.compute(scheduler="synchronous")
            assert (tree.omezarr.level(0) != 0).all()

    write("unchanged")
    for when in ("before", "meanwhile"):
        with pytest.raises(errors.OmeZarrError, match=r"is not there as it was when it was opened .*open it again"):
            write(when)
    assert not list(tmp_path.glob("*before*")) + list(tmp_path.glob("*meanwhile*"))


def test_what_a_graph_reads_is_found_without_making_its_tasks() -> None:
    arrays = [zarr.create_array({}, shape=(200, 200), chunks=(2, 2), dtype="u1") for _ in range(3)]
    of_dask = [dask.array.from_array(array, inline_array=index == 1, name=False) for index, array in enumerate(arrays)]
    data = (of_dask[0] + of_dask[1] * 2 - of_dask[2]).map_overlap(np.copy, depth=1)
    layers = data.dask.layers
    before = {name for name, layer in layers.items() if layer.is_materialized()}
    assert len(layers) - len(before) >= 8
    assert {id(array) for array in arrays_behind(data)} == {id(array) for array in arrays}
    assert {name for name, layer in layers.items() if layer.is_materialized()} == before


def test_arrays_are_found_in_what_holds_itself() -> None:
    array = zarr.create_array({}, shape=(2, 2), dtype="u1")
    circle: list[Any] = [array]
    circle += [circle, circle, {"again": circle}]
    assert arrays_behind(circle) == [array]


@pytest.mark.parametrize("kind", ["loaded", "computed", "lazily cut"])
def test_c8_a_source_that_is_replaced_by_one_of_the_same_kind_is_another(tmp_path: Path, kind: str) -> None:
    if not presence._made(tmp_path, tmp_path.stat()):
        pytest.skip("this file system does not tell when a folder was made")
    pixels = cells(8, 64, 64).values
    da = source_of(pixels, ("z", "y", "x"), kind, (8, 16, 16), tmp_path)
    place = tmp_path / ("group.zarr/pixels" if kind == "lazily cut" else "source.zarr")
    shutil.copytree(place, tmp_path / "the same")

    def replace(nbytes: int) -> None:
        # as mode="w" of many tools does: the next folder that is made often has the number of the one that was deleted
        shutil.rmtree(place)
        shutil.copytree(tmp_path / "the same", place)

    with pytest.raises(errors.OmeZarrError, match=r"\(another array is there\); open it again"):
        da.omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=1, chunks=(8, 16, 16), progress=replace, workers=1)
    assert not (tmp_path / "a.ome.zarr").exists()
    # what is there when the write begins is read as a whole
    assert da.omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=1)["0/image"].shape == da.shape


def test_c8_the_next_folder_of_the_same_number_is_another(tmp_path: Path) -> None:
    if not presence._made(tmp_path, tmp_path.stat()):
        pytest.skip("this file system does not tell when a folder was made")
    array = zarr.create_array(tmp_path / "a.zarr", shape=(4, 4), dtype="u1")
    shutil.copytree(tmp_path / "a.zarr", tmp_path / "the same")
    for _ in range(9):  # ext4 gives it each time
        found = presence.Presence(array)
        found.check()
        shutil.rmtree(tmp_path / "a.zarr")
        shutil.copytree(tmp_path / "the same", tmp_path / "a.zarr")
        with pytest.raises(errors.OmeZarrError, match="another array is there"):
            found.check()


def test_a_source_that_is_moved_away_and_back_is_the_same(tmp_path: Path) -> None:
    pixels = cells(8, 32, 32).values
    da = source_of(pixels, ("z", "y", "x"), "computed", (2, 16, 16), tmp_path)
    written = da.omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=2, compute=False)
    (tmp_path / "source.zarr").rename(tmp_path / "away")
    shutil.copytree(tmp_path / "away", tmp_path / "source.zarr")
    shutil.rmtree(tmp_path / "source.zarr")
    (tmp_path / "away").rename(tmp_path / "source.zarr")
    assert (written.compute(scheduler="synchronous")["0/image"].values == pixels).all()


def test_c7_a_source_that_is_gone_is_why_a_chunk_cannot_be_read(tmp_path: Path) -> None:
    pixels = cells(8, 32, 32).values
    da = source_of(pixels, ("z", "y", "x"), "loaded", (8, 16, 16), tmp_path)

    def replace(nbytes: int) -> None:
        zarr.create_array(tmp_path / "source.zarr", data=pixels, chunks=(4, 16, 16), overwrite=True)

    with pytest.raises(errors.OmeZarrError, match="is not there as it was when it was opened") as told:
        da.omezarr.to_zarr(tmp_path / "a.zarr", levels=1, chunks=(8, 16, 16), progress=replace, workers=1)
    assert "cannot be decoded" in str(told.value.__cause__)
    # with another error nothing is wrong with the source
    da = xr.DataArray(dask.array.from_zarr(tmp_path / "source.zarr"), dims=da.dims)
    with pytest.raises(ZeroDivisionError) as other:
        da.omezarr.to_zarr(tmp_path / "b.zarr", levels=1, progress=lambda nbytes: 1 // 0)
    assert other.value.__cause__ is None


@pytest.mark.skipif(
    importlib.util.find_spec("zarr.core.chunk_utils") is None,
    reason="this zarr reads by an event loop, in its own words",
)
@pytest.mark.parametrize("kind", ["loaded", "computed"])
def test_c7_a_shard_whose_index_points_beyond_it_is_named(tmp_path: Path, kind: str) -> None:
    sharding = ShardingCodec(chunk_shape=(16, 16), codecs=[BytesCodec()], index_codecs=[BytesCodec()])
    array = zarr.create_array(
        tmp_path / "raw.zarr",
        **{"shape": (64, 64), "chunks": (32, 32), "dtype": "u2", "serializer": sharding, "compressors": None},
    )
    array[...] = 1
    shard = tmp_path / "raw.zarr/c/1/1"
    content = bytearray(shard.read_bytes())
    content[-64:-56] = (2**63 - 9).to_bytes(8, "little")
    shard.write_bytes(content)
    data = dask.array.from_zarr(zarr.open_array(tmp_path / "raw.zarr", mode="r"))
    da = xr.DataArray(data if kind == "loaded" else data + np.uint16(0), dims=("y", "x"))
    with pytest.raises(errors.OmeZarrError, match=r"(chunk|shard) \(1, 1\) of .* cannot be decoded .*copy the store"):
        da.omezarr.to_zarr(tmp_path / "a.zarr", levels=1)


def test_a_source_that_grows_is_as_it_was(tmp_path: Path) -> None:
    pixels = cells(8, 32, 32).values
    da = source_of(pixels, ("z", "y", "x"), "loaded", (2, 16, 16), tmp_path)
    growing = zarr.open_array(tmp_path / "source.zarr", mode="r+")
    growing.append(pixels)
    growing.attrs["exposure"] = 3
    assert (da.omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=2)["0/image"].values == pixels).all()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_method_with_carries_writes_into_a_store_in_which_nothing_can_be_deleted(
    tmp_path: Path, version: str
) -> None:
    da = cells(8, 32, 32).astype("f4")
    store = zarr.storage.ZipStore(tmp_path / "a.zip", mode="w")
    da.omezarr.to_zarr(store, method="laplacian", levels=3, version=version)
    store.close()
    with zarr.storage.ZipStore(tmp_path / "a.zip", mode="r") as opened:
        levels = xr.open_datatree(opened, engine="omezarr").omezarr.levels
        for level, wanted in zip(levels, da.omezarr.pyramid(method="laplacian", levels=3).omezarr.levels, strict=True):
            assert bits(level.values) == bits(wanted.values)


# --- stopping --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["numpy", "dask", "lazy"])
def test_c8_an_error_stops_all_workers_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    # tiles of 32 chunks: who has begun one does not go on to its end
    monkeypatch.setattr(tiling, "LEAF_BYTES", 2**14)
    monkeypatch.setattr(tiling, "TASK_BYTES", 2**14)
    da = source_of(cells(16, 64, 64).values, ("z", "y", "x"), kind, (4, 16, 16), tmp_path)
    calls = itertools.count()
    failed = threading.Event()
    real = Chunks.write

    def fails(self: Chunks, *arguments: Any) -> None:
        number = next(calls)
        if number == 20:
            failed.set()
            raise OSError(28, "No space left on device")
        if number > 20:
            time.sleep(0.02)  # the others hear of it while they are at a chunk
        real(self, *arguments)

    monkeypatch.setattr(Chunks, "write", fails)
    with dask.config.set(num_workers=3), pytest.raises(OSError, match="No space left"):
        da.omezarr.to_zarr(tmp_path / "a.ome.zarr", chunks=(4, 8, 8), workers=3)
    time.sleep(0.2)
    assert failed.is_set()
    assert next(calls) <= 20 + 1 + 2 * 2
    assert not list(tmp_path.glob("*ome*"))
    assert not list(tmp_path.glob(".*"))


INTERRUPTED = """
import sys
import numpy as np, xarray as xr
import xomezarr
da = xr.DataArray(np.random.default_rng(0).poisson(90, (256, 512, 512)).astype("u2"), dims=("z", "y", "x"))
if sys.argv[2] == "dask":
    da = da.chunk(64)
def begun(nbytes):
    print("begun", flush=True)
da.omezarr.to_zarr(sys.argv[1], chunks=(16, 16, 16), progress=begun)
"""


@pytest.mark.parametrize("kind", ["numpy", "dask"])
def test_c8_control_c_stops_the_write(tmp_path: Path, kind: str) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path / "a.ome.zarr"), kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("begun")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in said
    assert process.returncode not in (0, -signal.SIGKILL)
    assert not (tmp_path / "a.ome.zarr").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("order", ["C", "F"])
def test_pixels_of_a_chunk_lie_as_its_array_says(tmp_path: Path, order: Any) -> None:
    pixels = np.arange(240, dtype="u2").reshape(20, 12)
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=pixels.shape, dtype="u2", chunks=(5, 5), zarr_format=2, order=order
    )
    array[...] = pixels
    loaded = dask.array.from_zarr(array)
    for data in (loaded, loaded.map_blocks(np.copy), loaded.rechunk(7)):
        da = xr.DataArray(data, dims=("y", "x"))
        tree = da.omezarr.to_zarr(tmp_path / "b.ome.zarr", mode="w", levels=2)
        np.testing.assert_array_equal(tree["0/image"], pixels)
        assert tree.omezarr.level(1).equals(da.compute().omezarr.pyramid(levels=2).omezarr.level(1))
    group = zarr.create_group(tmp_path / "c.zarr", zarr_format=2)
    opened = group.create_array("0", shape=pixels.shape, dtype="u2", chunks=(5, 5), order=order)
    Chunks(opened).write((slice(5, 10), slice(10, 12)), pixels[5:10, 10:12])
    np.testing.assert_array_equal(opened[5:10, 10:12], pixels[5:10, 10:12])


def test_a_chunk_that_must_not_be_missing_is_an_error(tmp_path: Path) -> None:
    config: Any = {"read_missing_chunks": False}
    array = zarr.create_array(tmp_path / "a.zarr", data=np.ones((32, 32), "u2"), chunks=(8, 8))
    (tmp_path / "a.zarr/c/1/2").unlink()
    strict = zarr.open_array(tmp_path / "a.zarr", mode="r", config=config)
    assert array.shape == strict.shape
    try:
        strict[8:16, 16:24]
    except Exception:  # zarr's error has no name that all versions know
        pass
    else:
        pytest.skip("this zarr knows no such option")
    da = xr.DataArray(dask.array.from_zarr(strict), dims=("y", "x"))
    with pytest.raises(Exception, match=r"(?i)chunk"):
        da.omezarr.to_zarr(tmp_path / "b.ome.zarr", chunks=(8, 8))
    assert not (tmp_path / "b.ome.zarr").exists()
