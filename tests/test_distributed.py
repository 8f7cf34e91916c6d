"""A real cluster of processes writes the same bytes (contract C4)."""

from __future__ import annotations

from pathlib import Path

import dask.array
import numpy as np
import pytest
import xarray as xr

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
