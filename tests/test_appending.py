"""Images grow along a dimension: readers see whole time points, at true times, at every moment."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
import zarr
from nursery import run
from stores import check_same_trees, files
from zarr.storage import LocalStore, MemoryStore, WrapperStore

import xomezarr
from xomezarr import appending, errors, journal, stage, write
from xomezarr.cli import main
from xomezarr.updating import Part

SIZES = {"c": 2, "y": 50, "x": 40}
OPTIONS: dict[str, Any] = {"levels": 3, "chunks": {"y": 16, "x": 16}}

TIMES: dict[str, tuple[Any, dict[str, Any]]] = {
    "regular": (np.arange(7) * 5.0, {}),
    "from another start": (np.arange(7) * 0.1 + 12.3, {}),
    "integers": (np.arange(7) * 3, {}),
    "irregular": (np.cumsum(np.random.default_rng(0).random(7)), {"irregular": "keep"}),
    "dates": (np.datetime64("2026-01-01T10:00", "ns") + np.arange(7) * np.timedelta64(30, "s"), {}),
    "irregular dates": (
        np.datetime64("2026-01-01T10:00", "ns") + np.arange(7) ** 2 * np.timedelta64(30, "s"),
        {"irregular": "keep"},
    ),
    "none": (None, {}),
}


def movie(times: Any = None, count: int = 7) -> xr.DataArray:
    pixels = np.random.default_rng(0).integers(0, 999, (count, *SIZES.values())).astype("u2")
    da = xr.DataArray(pixels, dims=("t", *SIZES), coords={"c": ["DAPI", "GFP"]}, name="movie", attrs={"lens": "40x"})
    da = da.omezarr.assign_grid(scale={"y": 0.5, "x": 0.5}, units="um").drop_vars("t", errors="ignore")
    return da if times is None else da.assign_coords(t=times)


def nuclei(da: xr.DataArray) -> xr.DataArray:
    return (da.isel(c=0, drop=True) > 500).astype("u1")


def opened(store: Any) -> xr.DataTree:
    return xr.open_datatree(store, engine="omezarr")


# --- the same as if all had been written at once ---------------------------------------------------------------------


@pytest.mark.sweep(2)
@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
@pytest.mark.parametrize("times", TIMES)
def test_it_is_the_image_that_is_written_at_once(tmp_path: Path, version: str, times: str, step: int) -> None:
    values, options = TIMES[times]
    da, options = movie(values), {**OPTIONS, **options, "version": version}
    for start in range(0, da.sizes["t"], step):
        part = da.isel(t=slice(start, start + step))
        tree = part.omezarr.to_zarr(tmp_path / "a", append_dim="t", labels={"nuclei": nuclei(part)}, **options)
        now = da.isel(t=slice(0, start + step))
        assert tree["0"].image.rename("movie").equals(now)
        if values is not None:
            assert (tree["2"].t.values == now.t.values).all()
        assert not [one for one in xomezarr.validate(tmp_path / "a") if one.severity == "error"]
    da.omezarr.to_zarr(tmp_path / "b", labels={"nuclei": nuclei(da)}, **options)
    check_same_trees(opened(tmp_path / "a"), opened(tmp_path / "b"), attrs=False)
    assert [level.attrs for level in opened(tmp_path / "a").omezarr.levels] == [{"lens": "40x"}] * 3
    shapes = [zarr.open_array(tmp_path / name / "1", mode="r").shape for name in "ab"]
    assert shapes[0] == shapes[1]


def test_many_irregular_times(tmp_path: Path) -> None:
    times = np.cumsum(np.random.default_rng(1).random(600))
    da = xr.DataArray(np.arange(600 * 4, dtype="u2").reshape(600, 2, 2), dims=("t", "y", "x"), coords={"t": times})
    borders = [0, 250, 256, 257, 258, 400, 600]
    for start, stop in itertools.pairwise(borders):
        da.isel(t=slice(start, stop)).omezarr.to_zarr(tmp_path / "a", append_dim="t", irregular="keep", levels=1)
        assert opened(tmp_path / "a")["0"].image.t.values.tolist() == times[:stop].tolist()
    # those of the last call, and of the one before, by which a reader may go still
    assert len([*(tmp_path / "a" / "xomezarr").glob("[0-9]*")]) == 2


def test_other_coordinates_go_along(tmp_path: Path) -> None:
    da = movie(np.arange(7) * 2.0).assign_coords(
        exposure=("t", np.linspace(0.1, 0.7, 7)),
        note=("t", list("abcdefg")),
        well="B3",
        depth=("y", np.arange(50) ** 2),
    )
    for start in (0, 2, 3):
        stop = {0: 2, 2: 3, 3: 7}[start]
        tree = da.isel(t=slice(start, stop)).omezarr.to_zarr(tmp_path / "a", append_dim="t", **OPTIONS)
    assert (
        tree["0"]
        .image.rename("movie")
        .identical(da.omezarr.to_zarr(tmp_path / "b", **OPTIONS)["0"].image.rename("movie"))
    )


@pytest.mark.parametrize("dim", ["z", "c"])
def test_along_other_dimensions(tmp_path: Path, dim: str) -> None:
    random = np.random.default_rng(2)
    da = xr.DataArray(random.integers(0, 999, (11, 3, 40, 30)).astype("u2"), dims=("z", "c", "y", "x"), name="any")
    da = da.transpose("c", "z", "y", "x").omezarr.assign_grid(scale={"z": 1.0, "y": 1.0, "x": 1.0}, units="um")
    da = da.omezarr.assign_channels(["DAPI", "GFP", "RFP"])
    options: dict[str, Any] = {"factors": [2, {"z": 2, "y": 2, "x": 1}], "chunks": {"z": 4, "y": 16, "x": 16}}
    for start in range(da.sizes[dim]):
        da.isel({dim: [start]}).omezarr.to_zarr(tmp_path / "a", append_dim=dim, **options)
    da.omezarr.to_zarr(tmp_path / "b", **options)
    one, other = opened(tmp_path / "a"), opened(tmp_path / "b")
    for level in other.children:
        assert one[level].image.equals(other[level].image)
    assert [c.label for c in one.omezarr.channels] == ["DAPI", "GFP", "RFP"]
    if dim == "c":
        windows = [[channel.window for channel in tree.omezarr.channels] for tree in (one, other)]
        assert windows[0] == windows[1]


def test_a_frame_by_its_scalar_time(tmp_path: Path) -> None:
    da = movie(np.arange(3) * 2.5, 3)
    for index in range(3):
        frame = da.isel(t=index) if index else da.isel(t=[0])
        frame.omezarr.to_zarr(tmp_path / "a", append_dim="t", **OPTIONS)
    assert opened(tmp_path / "a")["0"].image.rename("movie").equals(da)


def test_what_dask_computes_and_units_of_its_own(tmp_path: Path) -> None:
    da = movie(np.arange(4.0), 4).chunk({"t": 1, "y": 13}) + np.uint16(1)
    da = da.assign_coords(t=("t", np.arange(4.0), {"units": "s"}))
    store = MemoryStore()
    da.isel(t=slice(0, 2)).omezarr.to_zarr(store, append_dim="t", **OPTIONS)
    later = da.isel(t=slice(2, 4)).assign_coords(t=("t", [2000.0, 3000.0], {"units": "ms"}))
    delayed = later.omezarr.to_zarr(store, append_dim="t", compute=False)
    assert opened(store)["0"].sizes["t"] == 2
    assert delayed.compute()["0"].image.equals(da)


def test_metadata_of_other_tools_stay(tmp_path: Path) -> None:
    da = movie(np.arange(4.0), 4)
    da.isel(t=slice(0, 2)).omezarr.to_zarr(tmp_path / "a", **OPTIONS)  # an image that nobody meant to append to
    attrs = json.loads((tmp_path / "a" / ".zattrs").read_text())
    attrs["ours"], attrs["omero"]["channels"][0]["coefficient"] = {"a": 1}, 3
    attrs["multiscales"][0]["note"] = "kept"
    (tmp_path / "a" / ".zattrs").write_text(json.dumps(attrs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.MetadataChangedWarning)
        da.isel(t=slice(2, 4)).omezarr.to_zarr(tmp_path / "a", append_dim="t")
    found = json.loads((tmp_path / "a" / ".zattrs").read_text())
    assert found["ours"] == {"a": 1}
    assert found["omero"]["channels"][0]["coefficient"] == 3
    assert found["multiscales"][0]["note"] == "kept"
    assert opened(tmp_path / "a")["0"].image.equals(da)


def test_room_for_a_known_number(tmp_path: Path) -> None:
    da = movie(np.arange(7) * 5.0)
    store, options = tmp_path / "a", {**OPTIONS, "version": "0.5"}
    da.isel(t=[0]).omezarr.to_zarr(store, append_dim={"t": 7}, **options)
    assert [zarr.open_array(store / str(level), mode="r").shape[0] for level in range(3)] == [7, 7, 7]
    assert opened(store)["2"].sizes["t"] == 1
    written = (store / "0" / "zarr.json").stat().st_mtime_ns
    for index in range(1, 7):
        da.isel(t=[index]).omezarr.to_zarr(store, append_dim={"t": 7}, **options)
        assert opened(store)["2"].sizes["t"] == index + 1
        assert not [one for one in xomezarr.validate(store) if one.severity != "warning" or one.rule == "129"]
    assert (store / "0" / "zarr.json").stat().st_mtime_ns == written
    da.omezarr.to_zarr(tmp_path / "b", **options)
    check_same_trees(opened(store), opened(tmp_path / "b"), attrs=False)
    with pytest.raises(errors.RegionError, match="all of which are there, and the array has 1"):
        da.isel(t=[0]).assign_coords(t=[35.0]).omezarr.to_zarr(store, append_dim={"t": 7})


def test_regions_of_what_there_is(tmp_path: Path) -> None:
    da = movie(np.arange(7) * 5.0)
    da.isel(t=slice(0, 3)).omezarr.to_zarr(tmp_path / "a", append_dim={"t": 7}, **OPTIONS)
    (da.isel(t=[1]) + np.uint16(1)).omezarr.to_zarr(tmp_path / "a", region="auto")
    with pytest.raises(errors.CoordinateError, match=r"append_dim='t'"):
        da.isel(t=[2, 3]).omezarr.to_zarr(tmp_path / "a", region="auto")
    assert (opened(tmp_path / "a")["0"].image[1] == da[1] + 1).all()


def test_c7_what_is_told_where_room_is_full_helps(tmp_path: Path) -> None:
    da, store = movie(np.arange(7) * 5.0), tmp_path / "a"
    with pytest.raises(errors.RegionError, match=r"and the array has 3; give append_dim=\{'t': 3\}, or more"):
        da[:3].omezarr.to_zarr(store, append_dim={"t": 2}, **OPTIONS)
    da[:3].omezarr.to_zarr(store, append_dim={"t": 4}, **OPTIONS)
    for room, told in (({"t": 4}, "of which 1 is left"), ({"t": 3}, "all of which are there"), ({"t": 1}, "all of")):
        with pytest.raises(errors.RegionError, match=f"{told}.* and the array has 2; .*append_dim='t'$"):
            da[3:5].omezarr.to_zarr(store, append_dim=room)
    tree: Any = da[3:5].omezarr.to_zarr(store, append_dim="t")
    assert tree.omezarr.level(0).sizes["t"] == 5


# --- what is no continuation -----------------------------------------------------------------------------------------

WRONG: dict[str, tuple[type[errors.OmeZarrError], str, Any]] = {
    "the same time": (errors.DuplicateCoordinateError, "begins with 10.0, which the image has", lambda da: da[[2]]),
    "an earlier time": (
        errors.CoordinateError,
        "begins with 7.0, before the last one of the image, 10.0",
        lambda da: da[[3]].assign_coords(t=[7.0]),
    ),
    "no regular one": (
        errors.IrregularCoordinateError,
        r"goes on with 16 after 0, 5, 10, .*irregular=\"keep\"",
        lambda da: da[[3]].assign_coords(t=[16.0]),
    ),
    "no time": (errors.CoordinateError, "has no coordinate 't'", lambda da: da[[3]].drop_vars("t")),
    "another kind": (
        errors.CoordinateError,
        "give it the same kind",
        lambda da: da[[3]].assign_coords(t=[np.datetime64("2026-01-01", "ns")]),
    ),
    "descending": (errors.CoordinateError, "", lambda da: da[[4, 3]]),
    "another size": (errors.RegionError, "has 49 pixels along 'y', and the image 50", lambda da: da[[3], :, 1:]),
    "another place": (
        errors.CoordinateError,
        "'y' is 0.3 at index 0",
        lambda da: da[[3]].assign_coords(y=da.y.values + 0.3),
    ),
    "other channels": (errors.CoordinateError, "'c'", lambda da: da[[3], ::-1]),
    "another dtype": (errors.DtypeError, r"astype\('uint16'\)", lambda da: da[[3]].astype("f4")),
    "a dimension less": (errors.RegionError, "has the dimensions", lambda da: da[[3], 0]),
    "a coordinate more": (
        errors.CoordinateError,
        r"drop_vars\('stage'\)",
        lambda da: da[[3]].assign_coords(stage=("t", [1.0])),
    ),
    "nothing": (errors.EmptyDimensionError, "select at least one", lambda da: da[3:3]),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_continuation_is_refused(tmp_path: Path, what: str) -> None:
    error, told, make = WRONG[what]
    da = movie(np.arange(7) * 5.0)
    da[:3].omezarr.to_zarr(tmp_path / "a", append_dim="t", **OPTIONS)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(error, match=told):
        make(da).omezarr.to_zarr(tmp_path / "a", append_dim="t")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_what_is_asked_wrongly(tmp_path: Path) -> None:
    da, store = movie(np.arange(7) * 5.0), tmp_path / "a"
    for wrong in ("w", {"w": 3}):
        with pytest.raises(errors.OmeZarrError):
            da.omezarr.to_zarr(store, append_dim=wrong, **OPTIONS)
    for wrong in (3, {"t": 3}, {"t": 7.5}, {"t": 8, "c": 2}, {}, ["t"]):
        with pytest.raises(errors.RegionError, match="append_dim="):
            da.omezarr.to_zarr(store, append_dim=wrong, **OPTIONS)
    with pytest.raises(errors.LayoutError, match="leave layout out"):
        da.omezarr.to_zarr(store, append_dim="t", layout="xarray", **OPTIONS)
    with pytest.raises(errors.FactorError, match="shrinks from level to level"):
        da.omezarr.to_zarr(store, append_dim={"y": 100}, **OPTIONS)
    with pytest.raises(errors.ArchiveError, match="single file"):
        da.omezarr.to_zarr(tmp_path / "a.ozx", append_dim="t")
    assert not [*tmp_path.iterdir()]
    da[:3].omezarr.to_zarr(store, append_dim="t", **OPTIONS)
    with pytest.raises(errors.RegionError, match="give one of them"):
        da.omezarr.to_zarr(store, append_dim="t", region="auto")
    with pytest.raises(errors.AxisError, match="'z' is no dimension of the image"):
        da[3:].omezarr.to_zarr(store, append_dim="z")
    with pytest.raises(errors.VersionError, match=r"is of OME-Zarr 0.4"):
        da[3:].omezarr.to_zarr(store, append_dim="t", version="0.5")
    with pytest.raises(errors.ResumeError, match="neither True nor False"):
        da[3:].omezarr.to_zarr(store, append_dim="t", resume="yes")
    with pytest.raises(errors.RegionError, match="mode='w' replaces what is there"):
        da[3:].omezarr.to_zarr(store, append_dim="t", mode="w", **OPTIONS)
    assert da[3:4].omezarr.to_zarr(store, append_dim="t", mode="a")["0"].sizes["t"] == 4


def test_labels_grow_with_it(tmp_path: Path) -> None:
    da = movie(np.arange(7) * 5.0)
    whole = {"nuclei": nuclei(da[:3]), "well": nuclei(da[:1]).drop_vars("t").isel(t=0).expand_dims("t")}
    da[:3].omezarr.to_zarr(tmp_path / "a", append_dim="t", labels=whole, **OPTIONS)
    with pytest.raises(errors.LabelError, match=r"has the labels 'nuclei' along 't'.*labels={'nuclei': …}"):
        da[3:].omezarr.to_zarr(tmp_path / "a", append_dim="t")
    with pytest.raises(errors.LabelError, match="no labels 'cells'"):
        da[3:].omezarr.to_zarr(
            tmp_path / "a", append_dim="t", labels={"nuclei": nuclei(da[3:]), "cells": nuclei(da[3:])}
        )
    with pytest.raises(errors.LabelError, match="have 1 pixels along 't', and the image has 4"):
        da[3:].omezarr.to_zarr(tmp_path / "a", append_dim="t", labels={"nuclei": nuclei(da[3:4])})
    tree = da[3:].omezarr.to_zarr(tmp_path / "a", append_dim="t", labels={"nuclei": nuclei(da[3:])})
    assert (tree["labels/nuclei/0"]["nuclei"].values == nuclei(da).values).all()
    assert tree["labels/well/0"].sizes["t"] == 1


# --- at every moment -------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::xomezarr.errors.PixelSizeWarning")
def test_after_every_file_that_is_written_time_points_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    da, store = movie(np.cumsum(np.random.default_rng(3).random(4)), 4), tmp_path / "a"
    options: dict[str, Any] = {**OPTIONS, "irregular": "keep"}
    da[:1].omezarr.to_zarr(store, **options)  # not yet one that is appended to
    copies: list[Path] = []

    def copied() -> None:
        copies.append(tmp_path / "copies" / str(len(copies)))
        # zarr sets both documents of an array at once: another thread's is hidden yet, and renamed at any moment
        shutil.copytree(store, copies[-1], ignore=shutil.ignore_patterns("*.partial"))

    set_sync, set_ = LocalStore.set_sync, LocalStore.set

    def told_sync(self: Any, key: str, value: Any) -> None:
        set_sync(self, key, value)
        copied()

    async def told(self: Any, key: str, value: Any) -> None:
        await set_(self, key, value)
        copied()

    monkeypatch.setattr(LocalStore, "set_sync", told_sync)
    monkeypatch.setattr(LocalStore, "set", told)
    for index in range(1, 4):
        da[[index]].omezarr.to_zarr(store, append_dim="t", workers=1, **options)
    monkeypatch.undo()
    seen = []
    for copy in copies:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tree = opened(copy)
        (count,) = {tree[level].sizes["t"] for level in tree.children}
        seen.append(count)
        assert (tree["0"].image.t.values == da.t.values[:count]).all()
        assert (tree["0"].image.values == da.values[:count]).all()
    assert sorted(seen) == seen
    assert set(seen) == {1, 2, 3, 4}
    assert len(seen) > 3 * 12


WRITER = """
import sys, time
import numpy as np, xarray as xr
import xomezarr, warnings
warnings.simplefilter("ignore")
store, count, delay = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
try:
    done = xr.open_datatree(store, engine="omezarr")["0"].sizes["t"]
except FileNotFoundError:
    done = 0
for index in range(done, count):
    frame = xr.DataArray(np.full((1, 64, 64), index + 1, "u2"), dims=("t", "y", "x"), coords={"t": [index * 2.5]})
    frame.omezarr.to_zarr(store, append_dim="t", levels=3, chunks={"t": 1, "y": 16, "x": 16}, workers=1,
                          progress=lambda nbytes: time.sleep(delay))
    print(index, flush=True)
"""

READER = """
import sys, time, warnings
import numpy as np, xarray as xr
import xomezarr
warnings.simplefilter("ignore")
store, count, seen, opens = sys.argv[1], int(sys.argv[2]), 0, 0
deadline = time.monotonic() + 120
while seen < count:
    assert time.monotonic() < deadline, seen
    try:
        tree = xr.open_datatree(store, engine="omezarr")
    except FileNotFoundError:
        continue
    sizes = {tree[level].sizes["t"] for level in tree.children}
    assert len(sizes) == 1, sizes
    now = sizes.pop()
    assert now >= seen, (now, seen)
    assert (tree["0"].image.t.values == np.arange(now) * 2.5).all()
    for level in tree.children:
        assert (tree[level].image[now - 1].values == now).all(), (level, now)
    seen, opens = now, opens + 1
print(opens)
"""


def test_readers_in_other_processes_see_whole_time_points(tmp_path: Path) -> None:
    store, count = tmp_path / "a.ome.zarr", 25
    readers = [run(READER, store, count) for _ in range(2)]
    with run(WRITER, store, count, 0.0) as writer:
        _, said = writer.communicate(timeout=120)
    assert writer.returncode == 0, said
    for reader in readers:
        opens, said = reader.communicate(timeout=60)
        assert reader.returncode == 0, said
        assert int(opens) > 0


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_writers_lose_no_time_point(tmp_path: Path) -> None:
    store, random, last = tmp_path / "a.ome.zarr", np.random.default_rng(0), 0
    for number in range(6):
        with run(WRITER, store, 100, 0.002) as writer:
            done = last - 1
            for _ in range(2):
                done = int(writer.stdout.readline())
            with suppress(subprocess.TimeoutExpired):
                writer.wait(float(random.random()) * 0.08)
            writer.send_signal([signal.SIGKILL, signal.SIGINT, signal.SIGTERM][number % 3])
            writer.communicate(timeout=60)
        tree = opened(store)
        now = tree["0"].sizes["t"]
        assert now > done, "what the writer was told is done is there"
        for level in tree.children:
            assert (tree[level].image.values == np.arange(1, now + 1)[:, None, None]).all()
        assert not [one for one in xomezarr.validate(store) if one.severity == "error"]
        last = now
    assert last >= 12


def test_two_who_append_at_once_wait_for_each_other(tmp_path: Path) -> None:
    store = tmp_path / "a.ome.zarr"
    blank = xr.DataArray(np.zeros((1, 32, 32), "u2"), dims=("t", "y", "x"), name="a")
    blank.omezarr.to_zarr(store, append_dim="t", levels=2)
    code = (
        "import sys, numpy as np, xarray as xr, xomezarr\n"
        "for n in range(8):\n"
        "    da = xr.DataArray(np.full((1, 32, 32), int(sys.argv[2]) + n, 'u2'), dims=('t', 'y', 'x'))\n"
        "    da.omezarr.to_zarr(sys.argv[1], append_dim='t')\n"
    )
    both = [run(code, store, 100 * (number + 1)) for number in range(2)]
    for one in both:
        _, said = one.communicate(timeout=120)
        assert one.returncode == 0, said
    found = opened(store)["1"].image.values[:, 0, 0].tolist()
    assert sorted(found) == [0, *range(100, 108), *range(200, 208)]


def test_what_others_leave_is_told(tmp_path: Path) -> None:
    da = movie(np.arange(7) * 5.0)
    da[:3].omezarr.to_zarr(tmp_path / "a", append_dim="t", **OPTIONS)
    array = zarr.open_array(tmp_path / "a" / "2", mode="r+")
    array.resize((4, *array.shape[1:]))
    (finding,) = [one for one in xomezarr.validate(tmp_path / "a") if one.rule == "129"]
    assert finding.severity == "warning"
    assert "[3, 3, 4] pixels along 't'" in finding.message
    assert opened(tmp_path / "a")["2"].sizes["t"] == 3
    da[3:].omezarr.to_zarr(tmp_path / "a", append_dim="t")
    assert not [one for one in xomezarr.validate(tmp_path / "a") if one.rule == "129"]
    array = zarr.open_array(tmp_path / "a" / "1", mode="r+")
    array.resize((2, *array.shape[1:]))
    assert [one.severity for one in xomezarr.validate(tmp_path / "a") if one.rule == "129"] == ["error"]


def test_another_who_appends_without_a_lock_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    store, da = MemoryStore(), movie(np.arange(7) * 5.0)
    da[:3].omezarr.to_zarr(store, append_dim="t", **OPTIONS)
    monkeypatch.setattr("xomezarr.updating.reachable_elsewhere", lambda store: True)

    def other(nbytes: int) -> None:
        if not told.is_set():
            told.set()
            da[3:4].omezarr.to_zarr(store, append_dim="t", workers=1)

    told = threading.Event()
    with pytest.raises(errors.StoreExistsError, match="another process has appended"):
        da[3:5].omezarr.to_zarr(store, append_dim="t", progress=other, workers=1)
    assert opened(store)["0"].image.rename("movie").equals(da[:4])


def test_a_first_write_that_was_interrupted_in_the_place_itself() -> None:
    """In an object store, and in a store that is given, the image is written where it is to be."""
    store, da = MemoryStore(), movie(np.arange(7.0))
    left = itertools.count(-60)

    class Failing(WrapperStore[Any]):
        async def set(self, key: str, value: Any) -> None:
            if "/c/" in key and next(left) >= 0:
                raise OSError("no more")
            await super().set(key, value)

    with pytest.raises(OSError, match="no more"):
        da[:3].omezarr.to_zarr(Failing(store), append_dim="t", version="0.5", **OPTIONS)
    with pytest.raises(errors.IncompleteStoreError, match="was interrupted"):
        da[:3].omezarr.to_zarr(store, append_dim="t", version="0.5", **OPTIONS)
    for part in (da[:3], da[3:]):  # where nothing was interrupted, it is appended
        part.omezarr.to_zarr(store, append_dim="t", version="0.5", resume=True, **OPTIONS)
    assert opened(store)["0"].image.rename("movie").equals(da)


@pytest.mark.parametrize("times", ["regular", "irregular", "irregular dates"])
def test_labels_that_are_ahead_of_their_image_are_seen_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: str
) -> None:
    """Their metadata are written before those of the image: who reads, or is killed, in between sees neither."""
    values, keeping = TIMES[times]
    da, store = movie(values), tmp_path / "a"
    da[:3].omezarr.to_zarr(store, append_dim="t", labels={"nuclei": nuclei(da[:3])}, **OPTIONS, **keeping)
    publish, seen = appending._Longer.publish, []

    def killed(self: Any) -> None:
        seen.append(opened(store)["labels/nuclei/0"].sizes["t"])
        if len(seen) == 2:
            raise KeyboardInterrupt
        publish(self)

    with monkeypatch.context() as patched:
        patched.setattr(appending._Longer, "publish", killed)
        with pytest.raises(KeyboardInterrupt):
            da[3:5].omezarr.to_zarr(store, append_dim="t", labels={"nuclei": nuclei(da[3:5])}, **keeping)
    assert seen == [3, 3]
    for level in opened(store)["labels/nuclei"].children.values():
        assert level.t.values.tolist() == da.t.values[:3].tolist()
    part = da[1:2] + 1
    part.omezarr.to_zarr(store, region="auto", labels={"nuclei": nuclei(part)})
    tree = da[3:].omezarr.to_zarr(store, append_dim="t", labels={"nuclei": nuclei(da[3:])}, **keeping)
    expected = xr.concat([da[:1], part, da[2:]], "t")
    assert tree["0"].image.rename("movie").equals(expected)
    assert tree["labels/nuclei/0"].nuclei.t.values.tolist() == da.t.values.tolist()
    assert (tree["labels/nuclei/0"].nuclei.values == nuclei(expected).values).all()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_metadata_that_are_gathered_are_gathered_anew(tmp_path: Path, version: str) -> None:
    da = movie(np.arange(7) * 5.0)
    da[:3].omezarr.to_zarr(tmp_path / "a", append_dim="t", version=version, **OPTIONS)
    zarr.consolidate_metadata(tmp_path / "a")
    da[3:].omezarr.to_zarr(tmp_path / "a", append_dim="t")
    group = zarr.open_group(tmp_path / "a", mode="r", use_consolidated=True)
    assert group.metadata.consolidated_metadata is not None
    assert group["0"].shape[0] == 7


def test_along_one_dimension_after_another(tmp_path: Path) -> None:
    da = movie(np.arange(7) * 5.0)
    half = da[:, :, :32]
    half[:4].omezarr.to_zarr(tmp_path / "a", append_dim="t", **OPTIONS)
    half[4:].omezarr.to_zarr(tmp_path / "a", append_dim="t")
    da[:, :, 32:].omezarr.to_zarr(tmp_path / "a", append_dim="y")
    whole = da.omezarr.to_zarr(tmp_path / "b", **OPTIONS)
    check_same_trees(opened(tmp_path / "a"), whole, attrs=False)
    half[:4].omezarr.to_zarr(tmp_path / "c", append_dim={"t": 7}, **OPTIONS)
    with pytest.raises(errors.RegionError, match="has 4 pixels along 't', and room for 7"):
        da[:4, :, 32:].omezarr.to_zarr(tmp_path / "c", append_dim="y")


@pytest.mark.parametrize("last", [1, 2, 3])
def test_images_of_other_tools_are_seen_as_whole_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    """Without an attribute of ours, arrays alone would tell how many time points there are."""
    da, store = movie(np.arange(7) * 5.0), tmp_path / "a"
    da[:3].omezarr.to_zarr(store, **OPTIONS)
    attrs = json.loads((store / ".zattrs").read_text())
    del attrs["xomezarr"]
    (store / ".zattrs").write_text(json.dumps(attrs))
    resize, count = zarr.Array.resize, itertools.count(1)

    def killed(self: Any, *args: Any) -> None:
        resize(self, *args)
        if next(count) == last:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(zarr.Array, "resize", killed)
        with pytest.raises(KeyboardInterrupt):
            da[3:4].omezarr.to_zarr(store, append_dim="t")
    assert [level.sizes["t"] for level in opened(store).children.values()] == [3, 3, 3]
    tree = da[3:].omezarr.to_zarr(store, append_dim="t")
    assert (tree["0"].image.values == da.values).all()
    assert (tree["2"].t.values == da.t.values).all()


def test_what_shrinks_is_told_of_until_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last pixel of a coarse level is made of what is appended too, and is there before that is seen."""
    da, store = movie(), tmp_path / "a"
    options = {"factors": [{"t": 2}], "chunks": {"t": 1}}
    da[:3].omezarr.to_zarr(store, append_dim="t", **options)

    def killed(self: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(appending._Longer, "publish", killed)
        with pytest.raises(KeyboardInterrupt):
            da[3:6].omezarr.to_zarr(store, append_dim="t")
    with pytest.warns(errors.UnfinishedWarning, match="the region t 2:3, .* stopped"):
        opened(store)
    da[3:4].omezarr.to_zarr(store, append_dim="t")  # fewer than were to come
    with warnings.catch_warnings():
        warnings.simplefilter("error", errors.UnfinishedWarning)
        tree = opened(store)
    assert (tree["1"].image.values == da[:4].omezarr.pyramid(factors=[{"t": 2}])["1"].image.values).all()


def test_names_that_are_there_already(tmp_path: Path) -> None:
    da = movie()
    da[:, :1].omezarr.to_zarr(tmp_path / "a", append_dim="c", **OPTIONS)
    with pytest.raises(errors.DuplicateCoordinateError, match="has 'DAPI', which the image has already"):
        da[:, :1].omezarr.to_zarr(tmp_path / "a", append_dim="c")


@pytest.mark.parametrize("scheduler", ["processes", "synchronous"])
def test_what_dask_computes_in_other_processes(tmp_path: Path, scheduler: str) -> None:
    da = movie(np.arange(7) * 5.0)
    with dask.config.set(scheduler=scheduler):
        for part in (da[:3], da[3:]):
            part.chunk(t=1).omezarr.to_zarr(tmp_path / "a", append_dim="t", **OPTIONS)
    assert opened(tmp_path / "a")["0"].image.rename("movie").equals(da)


ICE = """
import xomezarr, icechunk  # in this order
import numpy as np, xarray as xr
repository = icechunk.Repository.create(icechunk.in_memory_storage())
da = xr.DataArray(np.arange(4 * 64, dtype="u2").reshape(4, 8, 8), dims=("t", "y", "x"))
for index in range(4):
    session = repository.writable_session("main")
    da[[index]].omezarr.to_zarr(session.store, append_dim="t", version="0.5", levels=2)
    if index != 2:
        session.commit(str(index))
        continue
    da[[index]].omezarr.to_zarr(session.store, region={"t": 2})
    session.commit(str(index))
found = xr.open_datatree(repository.readonly_session("main").store, engine="omezarr")
assert (found["0"].image.values == da.values).all()
assert (found["1"].image.values == da.omezarr.pyramid(levels=2)["1"].image.values).all()
"""


def test_transactions_of_icechunk() -> None:
    subprocess.run([sys.executable, "-c", ICE], check=True, timeout=120)


def test_info_tells_of_the_pixels_that_are_there(tmp_path: Path, capsys: Any) -> None:
    da = movie(np.arange(2) * 5.0, 2)
    options: dict[str, Any] = {"append_dim": {"t": 4}, "labels": {"cells": nuclei(da)}, **OPTIONS}
    da.omezarr.to_zarr(tmp_path / "a.zarr", **options)
    assert main(["info", str(tmp_path / "a.zarr"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    for found in (told, told["labels"]["cells"]):
        assert [level["shape"][0] for level in found["levels"]] == [2, 2, 2]
    assert told["levels"][0]["bytes"] == da.nbytes


@pytest.mark.parametrize("part", ["**", "0", "labels/cells", "labels/cells/1"])
@pytest.mark.filterwarnings("ignore:Both zarr.json")
def test_nothing_is_appended_in_the_middle_of_an_upgrade(tmp_path: Path, part: str) -> None:
    store, da = tmp_path / "a.zarr", movie(np.arange(3) * 5.0, 3)
    labels = nuclei(da)
    da[:2].omezarr.to_zarr(store, append_dim="t", labels={"cells": labels[:2]}, version="0.4", **OPTIONS)
    xomezarr.upgrade(store, tmp_path / "b.zarr", version="0.5")
    new = [path.relative_to(tmp_path / "b.zarr") for path in (tmp_path / "b.zarr").glob(f"{part}/zarr.json")]
    for path in new:
        (store / path).write_bytes((tmp_path / "b.zarr" / path).read_bytes())
    with pytest.raises(errors.IncompleteStoreError, match="is described in both Zarr formats"):
        da[2:].omezarr.to_zarr(store, append_dim="t", labels={"cells": labels[2:]})
    for path in new:
        (store / path).unlink()
    da[2:].omezarr.to_zarr(store, append_dim="t", labels={"cells": labels[2:]})


def test_metadata_that_are_gathered_are_so_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, da = tmp_path / "a.zarr", movie(np.arange(3) * 5.0, 3)
    da[:2].omezarr.to_zarr(store, append_dim="t", version="0.5", **OPTIONS)
    zarr.consolidate_metadata(store)

    def fail(*_: Any) -> None:
        raise ConnectionError("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(Part, "write", fail)
        with pytest.raises(ConnectionError):
            da[2:].omezarr.to_zarr(store, append_dim="t")
    assert zarr.open_group(store, mode="r").metadata.consolidated_metadata is not None


@pytest.mark.parametrize("at", ["labels", "image", "name"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_first_write_that_has_made_room_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, at: str
) -> None:
    """It is stopped when all is written but metadata, or but the name of the folder."""
    da = movie(np.arange(2) * 5.0, 2)
    options: dict[str, Any] = {"append_dim": {"t": 4}, "version": version, "labels": {"cells": nuclei(da)}, **OPTIONS}
    da.omezarr.to_zarr(tmp_path / "whole.zarr", name="movie", **options)
    monkeypatch.setattr(journal, "UNIT_BYTES", 2**12)
    module, name = (stage, "create") if at == "name" else (write, "final_image")
    original, passed = getattr(module, name), [None] * (at == "image")

    def stop(*given: Any) -> Any:
        if not passed:
            raise KeyboardInterrupt
        passed.pop()
        return original(*given)

    monkeypatch.setattr(module, name, stop)
    with pytest.raises(KeyboardInterrupt):
        da.omezarr.to_zarr(tmp_path / "a.zarr", name="movie", **options)
    monkeypatch.setattr(module, name, original)
    (left,) = tmp_path.glob(".a.zarr.*.stopped")
    assert zarr.open_array(left / ("labels/cells/0" if at == "labels" else "0"), mode="r").shape[0] == 4
    da.omezarr.to_zarr(tmp_path / "a.zarr", name="movie", resume=True, **options)
    assert not [*tmp_path.glob(".a.zarr.*")]
    assert files(tmp_path / "a.zarr") == files(tmp_path / "whole.zarr")


def test_the_dimension_alone_or_with_a_number() -> None:
    assert appending._asked("t") == ("t", None)
    assert appending._asked({"t": np.int64(9)}) == ("t", 9)
