"""A real cluster of processes writes the same bytes (contract C4)."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask.array
import nibabel
import numpy as np
import pytest
import tifffile
import xarray as xr
import zarr
from stores import files

import xomezarr
from xomezarr import errors, graph, journal, open_image, tiling
from xomezarr.chunks import Chunks
from xomezarr.engine import Work

distributed = pytest.importorskip("distributed", reason="the extra 'distributed' is not installed")


@contextmanager
def cluster_of(workers: int) -> Iterator[Any]:
    """Start processes of one thread each, and yield their client, which is active."""
    with (
        distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.mark.parametrize(("method", "compute"), [("local_mean", True), ("gaussian", False), ("mode", True)])
def test_c4_a_cluster_of_processes_writes_the_same_bytes(tmp_path: Path, method: str, compute: bool) -> None:
    pixels = np.random.default_rng(0).poisson(50, (3, 90, 70)).astype("u2")
    da = xr.DataArray(dask.array.from_array(pixels, chunks=(1, 32, 32)), dims=("c", "y", "x"), name="cells")
    options = {"method": method, "levels": 3, "chunks": {"y": 16, "x": 16}}
    da.compute().omezarr.to_zarr(tmp_path / "here.ome.zarr", **options)
    with cluster_of(2):
        written = da.omezarr.to_zarr(tmp_path / "there.ome.zarr", compute=compute, **options)
        if not compute:
            assert not (tmp_path / "there.ome.zarr").exists()
            written.compute()
    here, there = tmp_path / "here.ome.zarr", tmp_path / "there.ome.zarr"
    names = sorted(str(path.relative_to(here)) for path in here.rglob("*") if path.is_file())
    assert names == sorted(str(path.relative_to(there)) for path in there.rglob("*") if path.is_file())
    assert len(names) > 40
    assert all((here / name).read_bytes() == (there / name).read_bytes() for name in names)


@pytest.fixture
def stored(tmp_path: Path) -> xr.DataArray:
    """An image in Zarr, which each process can read by itself."""
    pixels = np.random.default_rng(0).poisson(50, (40, 90, 70)).astype("u2")
    zarr.create_array(tmp_path / "raw.zarr", data=pixels, chunks=(8, 16, 16))
    return xr.DataArray(dask.array.from_zarr(str(tmp_path / "raw.zarr")), dims=("z", "y", "x"), name="cells")


OPTIONS = {"levels": 3, "chunks": {"z": 8, "y": 8, "x": 8}, "version": "0.5", "factors": 2}


def not_here(*_: object) -> None:
    raise AssertionError("this process reads and writes no pixel")


@pytest.mark.parametrize("killed", [False, True])
def test_c4_the_workers_of_a_cluster_read_and_write_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: xr.DataArray, killed: bool
) -> None:
    monkeypatch.setattr(tiling, "LEAF_BYTES", 4096)
    with dask.config.set(scheduler="threads"):
        stored.omezarr.to_zarr(tmp_path / "here.ome.zarr", **OPTIONS)
    told: list[int] = []
    with cluster_of(2) as client:
        first = next(iter(client.cluster.workers.values())).pid

        def progress(nbytes: int) -> None:
            if killed and not told:
                os.kill(first, signal.SIGKILL)
            told.append(nbytes)

        with monkeypatch.context() as here:
            here.setattr(Chunks, "write", not_here)
            here.setattr(Work, "read", not_here)
            stored.omezarr.to_zarr(tmp_path / "there.ome.zarr", progress=progress, **OPTIONS)
        deadline = time.monotonic() + 5  # the client's own thread lets go of them
        while client.futures:
            assert time.monotonic() < deadline, client.futures
            time.sleep(0.01)
        assert not killed or first not in [worker.pid for worker in client.cluster.workers.values()]
    assert files(tmp_path / "there.ome.zarr") == files(tmp_path / "here.ome.zarr")
    assert sum(told) == stored.omezarr.plan(tmp_path / "x", **OPTIONS).nbytes


@pytest.mark.parametrize("kind", ["npy", "tif", "nii.gz", "zarr"])
def test_c4_the_workers_of_a_cluster_read_files_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Any, kind: str
) -> None:
    monkeypatch.setattr(tiling, "LEAF_BYTES", 4096)
    pixels = np.random.default_rng(0).poisson(50, (40, 90, 70)).astype("u2")
    path = tmp_path / f"raw.{kind}"
    write: dict[str, Callable[[], Any]] = {
        "npy": lambda: np.save(path, pixels),
        "tif": lambda: tifffile.imwrite(path, pixels, compression="zlib"),
        "nii.gz": lambda: nibabel.save(nibabel.Nifti1Image(pixels.T, np.eye(4)), path),
        "zarr": lambda: zarr.create_array(path, data=pixels, chunks=(8, 16, 16)),
    }
    write[kind]()
    image = open_image(path, dims="zyx")
    with dask.config.set(scheduler="threads"):
        image.omezarr.to_zarr(tmp_path / "here.ome.zarr", **OPTIONS)
    with monkeypatch.context() as here:
        here.setattr(Chunks, "write", not_here)
        here.setattr(Work, "read", not_here)
        image.omezarr.to_zarr(tmp_path / "there.ome.zarr", **OPTIONS)
    assert files(tmp_path / "there.ome.zarr") == files(tmp_path / "here.ome.zarr")
    np.testing.assert_array_equal(xr.open_dataarray(tmp_path / "there.ome.zarr", engine="omezarr"), image)


@pytest.mark.sweep(2)
@pytest.mark.parametrize("again", ["cluster", "threads", "dask"])
@pytest.mark.parametrize(("method", "count"), [("local_mean", 40), ("gaussian", 6)])
def test_c8_a_write_whose_cluster_is_lost_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: xr.DataArray, method: str, count: int, again: str
) -> None:
    monkeypatch.setattr(tiling, "LEAF_BYTES", 4096)
    monkeypatch.setattr(graph, "SUBTREE_BYTES", 16384)
    monkeypatch.setattr(journal, "UNIT_BYTES", 16384)
    monkeypatch.setattr(journal, "SMALL_CARRY", 0)
    options = {**OPTIONS, "method": method}
    with dask.config.set(scheduler="threads"):
        stored.omezarr.to_zarr(tmp_path / "here.ome.zarr", **options)
    there = tmp_path / "there.ome.zarr"
    told: list[int] = []
    with cluster_of(2) as client:

        def lost(nbytes: int) -> None:
            told.append(nbytes)
            if len(told) == count:
                client.cluster.close()
                raise ConnectionError("the cluster is gone")

        with pytest.raises(ConnectionError) as caught:
            stored.omezarr.to_zarr(there, progress=lost, **options)
    assert "go on with resume=True" in caught.value.__notes__[0]
    if again == "cluster":
        with cluster_of(2):
            stored.omezarr.to_zarr(there, resume=True, **options)
    else:
        da = stored if again == "threads" else stored.copy(data=stored.data.map_blocks(np.copy))
        with dask.config.set(scheduler="threads"):
            if (method, again) == ("gaussian", "dask"):
                with pytest.raises(errors.ResumeError, match="now dask computes them"):
                    da.omezarr.to_zarr(there, resume=True, **options)
                return
            da.omezarr.to_zarr(there, resume=True, **options)
    assert files(there) == files(tmp_path / "here.ome.zarr")


def test_c8_an_interrupted_write_leaves_the_cluster_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: xr.DataArray
) -> None:
    monkeypatch.setattr(tiling, "LEAF_BYTES", 4096)

    def stop(nbytes: int) -> None:
        raise KeyboardInterrupt

    with cluster_of(1) as client:
        with pytest.raises(KeyboardInterrupt) as caught:
            stored.omezarr.to_zarr(tmp_path / "a.ome.zarr", progress=stop, **OPTIONS)
        # whoever looks at the traceback holds all that the write knew of
        assert caught.tb
        assert not [future for future in client.futures.values() if future.status == "pending"]
    assert not [path for path in tmp_path.iterdir() if "a.ome.zarr" in path.name]


@pytest.mark.parametrize("computed", [False, True])
def test_c8_an_interrupted_write_into_a_store_that_is_not_local_goes_on_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: xr.DataArray, cluster: Any, computed: bool
) -> None:
    monkeypatch.setattr(tiling, "LEAF_BYTES", 4096)
    monkeypatch.setattr(graph, "LIKELY_THREADS", 2)
    monkeypatch.setattr(graph, "TASKS_PER_THREAD", 1)
    store = zarr.storage.FsspecStore.from_url(
        f"file://{tmp_path}/a.ome.zarr", storage_options={"auto_mkdir": True}, read_only=False
    )

    def written() -> int:
        return sum(path.is_file() for path in (tmp_path / "a.ome.zarr").rglob("*"))

    def stop() -> None:
        while written() < 50:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)  # to the main thread

    stored = xr.concat([stored] * 4, "z")  # some thousand chunks
    zarr.create_array(tmp_path / "long.zarr", data=stored.values, chunks=(8, 16, 16))
    da = stored.copy(data=dask.array.from_zarr(str(tmp_path / "long.zarr")))
    if computed:
        monkeypatch.setattr(tiling, "TASK_BYTES", 2**20)
        da = da + np.uint16(0)
    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        da.omezarr.to_zarr(store, **{**OPTIONS, "levels": 5})  # a task of seconds for each thread
    thread.join()
    time.sleep(0.5)  # for a chunk that is being written
    before = written()
    time.sleep(1)
    assert written() == before < 1000


@pytest.mark.parametrize("method", ["local_mean", "laplacian"])
def test_a_delayed_write_needs_no_more_than_one_thread_of_a_cluster(
    tmp_path: Path, stored: xr.DataArray, method: str
) -> None:
    da = stored if method == "local_mean" else floats(stored, tmp_path)
    with dask.config.set(scheduler="threads"):
        da.omezarr.to_zarr(tmp_path / "here.ome.zarr", method=method, **OPTIONS)
    written = da.omezarr.to_zarr(tmp_path / "there.ome.zarr", method=method, compute=False, **OPTIONS)
    with cluster_of(1) as client:
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


@pytest.mark.parametrize("where", ["a store", "a URL"])
def test_other_processes_cannot_write_into_this_ones_memory(stored: xr.DataArray, where: str) -> None:
    computed = stored.copy(data=stored.data + np.uint16(0))
    store = zarr.storage.MemoryStore() if where == "a store" else "memory://cells.zarr"
    later = stored.omezarr.to_zarr(store, compute=False, **OPTIONS)
    with (
        dask.config.set(scheduler="processes"),
        pytest.raises(errors.OmeZarrError, match=r'give a path, or compute it there: compute\(scheduler="threads"\)'),
    ):
        later.compute()
    assert later.compute(scheduler="threads")["0/image"].equals(stored)
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster),
    ):  # the threads of this process do it
        another = zarr.storage.MemoryStore() if where == "a store" else "memory://others.zarr"
        tree = stored.omezarr.to_zarr(another, **OPTIONS)
        again = tree["0/image"].omezarr.to_zarr(zarr.storage.MemoryStore(), **OPTIONS)
    assert tree["0/image"].equals(stored)
    assert again["0/image"].equals(stored)
    with (
        dask.config.set(scheduler="processes"),
        pytest.raises(errors.OmeZarrError, match=r"give a path, or compute here: .*scheduler=\"threads\""),
    ):
        computed.omezarr.to_zarr(zarr.storage.MemoryStore(), **OPTIONS)


def test_a_cluster_appends_and_writes_regions(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).poisson(50, (4, 60, 50)).astype("u2")
    da = xr.DataArray(pixels, dims=("t", "y", "x")).omezarr.assign_grid(scale={"t": 2.0, "y": 0.5, "x": 0.5})
    with cluster_of(2):
        for start in (0, 2):
            part = da[start : start + 2].chunk(t=1)
            part.omezarr.to_zarr(tmp_path / "a", append_dim="t", levels=2, chunks={"y": 16, "x": 16})
        (da[:, 7:31] + 1).astype("u2").chunk(t=1).omezarr.to_zarr(tmp_path / "a", region="auto")
    found = xr.open_datatree(tmp_path / "a", engine="omezarr")
    expected = da.copy(data=pixels)
    expected[:, 7:31] += 1
    assert (found["0"].image.values == expected.values).all()
    assert (found["1"].image.values == expected.omezarr.pyramid(levels=2)["1"].image.values).all()


@pytest.fixture
def cluster() -> Iterator[Any]:
    with cluster_of(2) as client:
        client.run(os.chdir, "/")  # as where each worker is a machine
        yield client.cluster


def test_workers_find_a_source_that_is_named_from_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: xr.DataArray, cluster: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    da = stored.copy(data=dask.array.from_zarr(zarr.open_array("raw.zarr", mode="r")))
    with monkeypatch.context() as here:
        here.setattr(Chunks, "write", not_here)
        tree = da.omezarr.to_zarr("cells.ome.zarr", **OPTIONS)
        later = da.omezarr.to_zarr("later.ome.zarr", compute=False, **OPTIONS)
    monkeypatch.chdir("/")
    assert later.compute()["0/image"].equals(stored)
    assert tree["0/image"].equals(stored)
    assert (tmp_path / "later.ome.zarr").exists()


@pytest.mark.parametrize("computed", [False, True])
def test_a_source_that_workers_do_not_reach_is_an_error_and_not_black(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: xr.DataArray, cluster: Any, computed: bool
) -> None:
    class Mounted(zarr.storage.LocalStore):
        """A folder that is elsewhere on other machines."""

    monkeypatch.chdir(tmp_path)
    da = stored.copy(data=dask.array.from_zarr(zarr.open_array(Mounted("raw.zarr", read_only=True), mode="r")))
    if computed:
        da = da + np.uint16(0)
    with pytest.raises(errors.OmeZarrError, match=r"a worker on .* does not reach .*raw.zarr'.*all workers share"):
        da.omezarr.to_zarr(tmp_path / "cells.ome.zarr", **OPTIONS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw.zarr"]


def test_c8_an_error_of_a_worker_leaves_nothing(tmp_path: Path, stored: xr.DataArray, cluster: Any) -> None:
    victim = next(path for path in sorted((tmp_path / "raw.zarr").rglob("c/3/*/*")) if path.is_file())
    victim.write_bytes(victim.read_bytes()[:-9])
    with pytest.raises(errors.OmeZarrError, match=r"chunk .*of '.*raw.zarr'.* cannot be decoded"):
        stored.omezarr.to_zarr(tmp_path / "cells.ome.zarr", **OPTIONS)
    deadline = time.monotonic() + 5
    while left := [path.name for path in tmp_path.iterdir() if path.name != "raw.zarr"]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_tasks_wait_in_a_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: xr.DataArray, cluster: Any
) -> None:
    monkeypatch.setattr(tiling, "LEAF_BYTES", 1024)
    monkeypatch.setattr(graph, "SUBTREE_BYTES", 4096)
    monkeypatch.setattr(graph, "LIKELY_THREADS", 1)
    waiting: set[str] = set()
    most, total = 0, 0
    submit = distributed.Client.submit

    def spied(self: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal most, total
        future = submit(self, *arguments, **options)
        if str(options.get("key")).startswith("tile-") and arguments[0] is graph._make_whole:
            total += 1
            waiting.add(future.key)
            future.add_done_callback(lambda future: waiting.discard(future.key))
            most = max(most, len(waiting))
        return future

    monkeypatch.setattr(distributed.Client, "submit", spied)
    stored.omezarr.to_zarr(tmp_path / "cells.ome.zarr", **OPTIONS)
    assert total > 40
    assert most < total / 3  # the callbacks come late: two for each thread are on their way


def test_c3_blocks_that_are_not_what_dask_promised_are_an_error(tmp_path: Path, stored: xr.DataArray) -> None:
    short = stored.copy(data=dask.array.map_blocks(lambda block: block[:-1], stored.data, dtype="u2"))
    other = stored.copy(data=dask.array.map_blocks(lambda block: block * 1.5, stored.data, dtype="u2"))
    masked = dask.array.map_blocks(lambda block: np.ma.masked_less(block, 50), stored.data, meta=stored.data._meta)
    hidden = stored.copy(data=masked)
    wrong: Any
    for da, wrong in ((short, None), (other, "dtype float64 where .* dtype uint16"), (hidden, "a MaskedArray, where")):
        with pytest.raises((errors.ChunkError, errors.DtypeError, ValueError), match=wrong):
            da.omezarr.to_zarr(tmp_path / "cells.ome.zarr", **OPTIONS)
        assert not (tmp_path / "cells.ome.zarr").exists()


def test_regions_that_wait_for_each_other_leave_their_threads_to_tasks(tmp_path: Path) -> None:
    """Each needs a thread to compute what it writes, while others wait for the pixels that it has."""
    store, values = tmp_path / "a.zarr", range(1, 7)
    xr.DataArray(np.zeros((128, 64), "u1"), dims=("y", "x")).omezarr.to_zarr(store, levels=2, chunks=(64, 64))
    parts = []
    for value in values:
        da = xr.DataArray(dask.array.full((20, 20), value, dtype="u1", chunks=(10, 10)), dims=("y", "x"))
        rows = slice(20 * value - 17, 20 * value + 3)
        parts.append(da.omezarr.to_zarr(store, region={"y": rows, "x": slice(3, 23)}, compute=False))
    options = {"processes": False, "dashboard_address": None}
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, **options) as threads,
        distributed.Client(threads) as client,
    ):
        assert not distributed.wait(client.compute(parts), timeout=60).not_done
    found = xr.open_datatree(store, engine="omezarr")["0"].image.values
    assert (found[3:123, 3:23] == np.repeat(values, 20)[:, None]).all()


def test_labels_that_come_to_an_image_leave_the_only_thread_to_those_whom_they_wait_for(tmp_path: Path) -> None:
    """Those who write the image's pixels compute them by tasks, and come back for each that has waited."""
    store = tmp_path / "a.zarr"
    zeros = xr.DataArray(np.zeros((64, 64), "u1"), dims=("y", "x"))
    zeros.omezarr.to_zarr(store, levels=2, chunks=(32, 32), labels={"old": zeros})
    da = xr.DataArray(dask.array.full((20, 20), 7, dtype="u1", chunks=(10, 10)), dims=("y", "x"))
    parts = []
    for start in (0, 20, 40):
        parts.append(
            da.omezarr.to_zarr(store, region={"y": slice(start, start + 20), "x": slice(3, 23)}, compute=False)
        )
        parts.append((zeros + start).omezarr.to_labels(store, f"new{start}", compute=False))
        parts.append((zeros + start).omezarr.to_labels(store, "old", mode="w", compute=False))
    options = {"processes": False, "dashboard_address": None}
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, **options) as threads,
        distributed.Client(threads) as client,
    ):
        futures = client.compute(parts)
        assert not distributed.wait(futures, timeout=90).not_done
        assert [future.status for future in futures] == ["finished"] * len(parts)
    tree = xr.open_datatree(store, engine="omezarr")
    assert (tree["0"].image.values[:60, 3:23] == 7).all()
    assert {*tree["labels"].children} == {"old", "new0", "new20", "new40"}
    assert not xomezarr.validate(store).errors
