"""A few points of the suite of faults; `python tests/faults.py` tries hundreds of them."""

from __future__ import annotations

from pathlib import Path

import faults
import numpy as np
import pytest
import xarray as xr
from faults import Place, Suite

import xomezarr


@pytest.mark.parametrize(
    ("do", "kind"),
    [("create", "SIGKILL"), ("replace", "SIGINT"), ("region", "SIGTERM"), ("append", "failing store")],
)
def test_a_stopped_writer_loses_nothing(tmp_path: Path, do: str, kind: str) -> None:
    suite = Suite(np.random.default_rng(0))
    suite.point(Place(str(tmp_path)), do, kind)
    assert suite.counts == {(do, "local", kind): 1}


def test_a_full_disk_loses_nothing() -> None:
    with faults.small_disk() as disk:
        if disk is None:
            pytest.skip("this user may not mount a tmpfs")
        Suite(np.random.default_rng(0)).point(Place(str(disk)), "replace", "full disk")


def test_a_full_disk_keeps_labels_that_cannot_be_deleted() -> None:
    with faults.small_disk() as disk:
        if disk is None:
            pytest.skip("this user may not mount a tmpfs")
        store = disk / "a.ome.zarr"
        zeros = xr.DataArray(np.zeros((8, 8), "u1"), dims=("y", "x"))
        zeros.omezarr.to_zarr(store, labels={"cells": zeros, "nuclei": zeros})
        with faults.filled(disk, 0), pytest.raises(OSError, match="the labels are there still; make room, and"):
            xomezarr.delete_labels(store, "cells")
        assert {*xr.open_datatree(store, engine="omezarr")["labels"].children} == {"cells", "nuclei"}
        assert not xomezarr.validate(store).errors
        xomezarr.delete_labels(store, "cells")


@pytest.mark.parametrize(("do", "kind"), [("create", "SIGKILL"), ("append", "failing store")])
def test_a_writer_to_an_object_store_that_is_stopped_loses_nothing(do: str, kind: str) -> None:
    with faults.in_s3(wanted=True) as bucket:
        assert bucket is not None
        Suite(np.random.default_rng(0)).point(bucket, do, kind)


def test_two_who_write_one_store_leave_one_whole_image(tmp_path: Path) -> None:
    faults.race(Place(str(tmp_path)), np.random.default_rng(0))


def test_readers_of_a_time_lapse_see_whole_time_points(tmp_path: Path) -> None:
    seen = faults.lapse(Place(str(tmp_path)), 10, 1)
    assert seen.opens > 0


def test_the_suite_tells_of_what_is_lost(tmp_path: Path) -> None:
    place, suite = Place(str(tmp_path)), Suite(np.random.default_rng(0))
    faults.write_whole(place, "a", "create")
    wanted = place.files("a")
    suite.judge(place, "create", {}, wanted, ended=True)
    (tmp_path / "a" / "0" / "0" / "0" / "0").unlink()
    with pytest.raises(faults.LostError, match="looks whole"):
        suite.judge(place, "create", {}, wanted, ended=True)
    with pytest.raises(faults.LostError, match="is another"):
        faults.same([np.zeros(3)], [np.ones(3)], "append")
    (tmp_path / "a").rename(tmp_path / "b")
    with pytest.raises(faults.LostError, match="is gone"):
        suite.judge(place, "replace", {}, wanted, ended=False)
