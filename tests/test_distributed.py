"""A real cluster of processes writes the same bytes (contract C4)."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import dask.array
import numpy as np
import pytest
import xarray as xr
import zarr

from xomezarr import errors, tiling

distributed = pytest.importorskip("distributed", reason="the extra 'distributed' is not installed")


@pytest.mark.parametrize(("method", "compute"), [("local_mean", True), ("gaussian", False), ("mode", True)])
def test_c4_a_cluster_of_processes_writes_the_same_bytes(tmp_path: Path, method: str, compute: bool) -> None:
    pixels = np.random.default_rng(0).poisson(50, (3, 90, 70)).astype("u2")
    da = xr.DataArray(dask.array.from_array(pixels, chunks=(1, 32, 32)), dims=("c", "y", "x"), name="cells")
    options = {"method": method, "levels": 3, "chunks": {"y": 16, "x": 16}}
    da.compute().omezarr.to_zarr(tmp_path / "here.ome.zarr", **options)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster),
    ):
        written = da.omezarr.to_zarr(tmp_path / "there.ome.zarr", compute=compute, **options)
        if not compute:
            assert not (tmp_path / "there.ome.zarr").exists()
            written.compute()
    here, there = tmp_path / "here.ome.zarr", tmp_path / "there.ome.zarr"
    names = sorted(str(path.relative_to(here)) for path in here.rglob("*") if path.is_file())
    assert names == sorted(str(path.relative_to(there)) for path in there.rglob("*") if path.is_file())
    assert len(names) > 40
    assert all((here / name).read_bytes() == (there / name).read_bytes() for name in names)


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture
def stored(tmp_path: Path) -> xr.DataArray:
    """An image in Zarr, which each process can read by itself."""
    pixels = np.random.default_rng(0).poisson(50, (40, 90, 70)).astype("u2")
    zarr.create_array(tmp_path / "raw.zarr", data=pixels, chunks=(8, 16, 16))
    return xr.DataArray(dask.array.from_zarr(str(tmp_path / "raw.zarr")), dims=("z", "y", "x"), name="cells")


OPTIONS = {"levels": 3, "chunks": {"z": 8, "y": 8, "x": 8}, "version": "0.5", "factors": 2}


@pytest.mark.parametrize("killed", [False, True])
def test_c4_the_workers_of_a_cluster_read_and_write_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: xr.DataArray, killed: bool
) -> None:
    monkeypatch.setattr(tiling, "LEAF_BYTES", 4096)
    with dask.config.set(scheduler="threads"):
        stored.omezarr.to_zarr(tmp_path / "here.ome.zarr", **OPTIONS)
    told: list[int] = []
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        first = next(iter(cluster.workers.values())).pid

        def progress(nbytes: int) -> None:
            if killed and not told:
                os.kill(first, signal.SIGKILL)
            told.append(nbytes)

        stored.omezarr.to_zarr(tmp_path / "there.ome.zarr", progress=progress, **OPTIONS)
        assert not client.futures
    assert files(tmp_path / "there.ome.zarr") == files(tmp_path / "here.ome.zarr")
    assert sum(told) == stored.omezarr.plan(tmp_path / "x", **OPTIONS).nbytes


@pytest.mark.parametrize("method", ["local_mean", "laplacian"])
def test_a_delayed_write_needs_no_more_than_one_thread_of_a_cluster(
    tmp_path: Path, stored: xr.DataArray, method: str
) -> None:
    da = stored if method == "local_mean" else floats(stored, tmp_path)
    with dask.config.set(scheduler="threads"):
        da.omezarr.to_zarr(tmp_path / "here.ome.zarr", method=method, **OPTIONS)
    written = da.omezarr.to_zarr(tmp_path / "there.ome.zarr", method=method, compute=False, **OPTIONS)
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.compute(written).result(timeout=60)
    assert files(tmp_path / "there.ome.zarr") == files(tmp_path / "here.ome.zarr")


def floats(da: xr.DataArray, folder: Path) -> xr.DataArray:
    zarr.create_array(folder / "floats.zarr", data=da.values.astype("f4"), chunks=(8, 16, 16))
    return da.copy(data=dask.array.from_zarr(str(folder / "floats.zarr")))


@pytest.mark.parametrize("method", ["local_mean", "gaussian", "laplacian"])
@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_c4_every_scheduler_of_dask_writes_the_same_bytes(
    tmp_path: Path, stored: xr.DataArray, scheduler: str, method: str
) -> None:
    stored = stored.astype("f4") if method == "laplacian" else stored
    stored.compute().omezarr.to_zarr(tmp_path / "here.ome.zarr", method=method, **OPTIONS)
    computed = stored.copy(data=stored.data + stored.dtype.type(0))
    told: list[int] = []
    with dask.config.set(scheduler=scheduler):
        computed.omezarr.to_zarr(tmp_path / "there.ome.zarr", method=method, progress=told.append, **OPTIONS)
    assert files(tmp_path / "there.ome.zarr") == files(tmp_path / "here.ome.zarr")
    assert sum(told) == stored.omezarr.plan(tmp_path / "x", method=method, **OPTIONS).nbytes


def test_other_processes_cannot_write_into_this_ones_memory(stored: xr.DataArray) -> None:
    computed = stored.copy(data=stored.data + np.uint16(0))
    with (
        dask.config.set(scheduler="processes"),
        pytest.raises(errors.OmeZarrError, match=r"give a path, or compute here: .*scheduler=\"threads\""),
    ):
        computed.omezarr.to_zarr(zarr.storage.MemoryStore(), **OPTIONS)
