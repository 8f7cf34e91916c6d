"""A part of a stored image is written: every level becomes what it would have been, and nothing else is touched."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import nursery
import pytest
import xarray as xr
from stores import files
from zarr.storage import MemoryStore

import xomezarr
from xomezarr import errors, notes, stage, updating
from xomezarr.downsample import METHODS
from xomezarr.store import open_group
from xomezarr.updating import StoredImage
from xomezarr.windows import affected, is_aligned

DIMS = ("z", "y", "x")


def image(shape: tuple[int, ...] = (3, 2, 64, 48), seed: int = 0) -> xr.DataArray:
    pixels = np.random.default_rng(seed).integers(0, 999, shape).astype("u2")
    coords: dict[str, Any] = {"t": [0.0, 5.0, 10.0][: shape[0]], "c": ["DAPI", "GFP"][: shape[1]]}
    da = xr.DataArray(pixels, dims=("t", "c", "y", "x"), coords=coords, name="noise")
    return da.omezarr.assign_grid(scale={"y": 0.5, "x": 0.5}, units="um").assign_coords(t=coords["t"])


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """An image in chunks of 16 by 16 pixels, with labels."""
    labels = {"cells": (image().isel(c=[0]) > 500).astype("u1").drop_vars("c")}
    image().omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=3, chunks={"y": 16, "x": 16}, labels=labels)
    return tmp_path / "a.ome.zarr"


def opened(store: Any) -> xr.DataTree:
    with warnings.catch_warnings():
        warnings.simplefilter("error", errors.UnfinishedWarning)
        return xr.open_datatree(store, engine="omezarr")


# --- the same as if all had been written so --------------------------------------------------------------------------


def any_write(random: np.random.Generator, method: str) -> tuple[xr.DataArray, dict[str, Any]]:
    """Return any small image, and how it is written."""
    dims = DIMS[-int(random.integers(2, 4)) :]
    shape = tuple(int(random.integers(1, 70)) for _ in dims)
    dtype = random.choice(["u1", "u2", "i4", "f4", "f8"])
    coords = {dim: np.arange(n) * 0.5 + 3 for dim, n in zip(dims, shape, strict=True)}
    da = xr.DataArray(random.integers(0, 200, shape).astype(dtype), dims=dims, coords=coords, name="any")
    options: dict[str, Any] = {
        "method": method,
        "chunks": {dim: int(random.integers(1, 33)) for dim in dims},
        "boundary": random.choice(["pad", "trim"]),
        "version": random.choice(["0.4", "0.5"]),
        "factors": [{dim: int(random.integers(1, 4)) for dim in dims} for _ in range(int(random.integers(1, 4)))],
    }
    if options["version"] == "0.5" and random.random() < 0.4:
        options["shards"] = {dim: chunk * int(random.integers(1, 3)) for dim, chunk in options["chunks"].items()}
    return da, options


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.filterwarnings("ignore::xomezarr.errors.OmeZarrWarning")
def test_all_levels_are_those_of_an_image_written_whole(tmp_path: Path, method: str, seed: int) -> None:
    random = np.random.default_rng([seed, sorted(METHODS).index(method)])
    while True:
        da, options = any_write(random, method)
        try:
            da.omezarr.to_zarr(tmp_path / "a.zarr", **options)
            break
        except errors.OmeZarrError:  # factors that leave nothing to shrink, or too many axes
            continue
    region = {}
    for dim, n in da.sizes.items():
        start = int(random.integers(0, n))
        region[dim] = slice(start, int(random.integers(start, n)) + 1)
    after = da.copy()
    after[region] = random.integers(0, 200, after[region].shape).astype(da.dtype)
    after.omezarr.to_zarr(tmp_path / "b.zarr", **options)
    part = after.isel(region)
    if seed % 2:  # what dask computes, in chunks that fit nothing
        part = part.chunk({dim: int(random.integers(1, 40)) for dim in part.dims}) + part.dtype.type(0)
    auto = seed < 2
    part = (part if auto else part.drop_vars(part.dims)).transpose(*random.permutation(part.dims))
    part.omezarr.to_zarr(tmp_path / "a.zarr", region="auto" if auto else region, workers=1 + seed % 2)
    assert files(tmp_path / "a.zarr") == files(tmp_path / "b.zarr")


def test_labels_too(stored: Path, tmp_path: Path) -> None:
    after, where = image().copy(), {"t": slice(1, 2), "y": slice(5, 40), "x": slice(0, 21)}
    after[where] = 700
    cells = (after.isel(c=[0]) > 500).astype("u1").drop_vars("c")
    after.omezarr.to_zarr(tmp_path / "b.ome.zarr", levels=3, chunks={"y": 16, "x": 16}, labels={"cells": cells})
    tree = after.isel(where).omezarr.to_zarr(stored, region="auto", labels={"cells": cells.isel(where)})
    for path in ("1", "2"):
        assert tree[path].image.equals(opened(tmp_path / "b.ome.zarr")[path].image)
    assert files(stored / "labels") == files(tmp_path / "b.ome.zarr" / "labels")


def test_labels_by_a_dataset(stored: Path) -> None:
    part = image().isel(t=[2], y=slice(0, 16)) + np.uint16(1)
    cells = (part.isel(c=0, drop=True) > 700).astype("u1")
    xr.Dataset({"image": part, "cells": cells}).omezarr.to_zarr(stored, region="auto")
    tree = opened(stored)
    assert tree["0"].image.isel(t=[2], y=slice(0, 16)).equals(part)
    assert (tree["labels/cells/0"]["cells"][2, 0, :16].values == cells.values[0]).all()


@pytest.mark.parametrize("layout", ["ome", "xarray"])
@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_every_version_and_layout(tmp_path: Path, version: str, layout: str) -> None:
    after = image().copy()
    after[{"y": slice(3, 30)}] = 7
    for name, da in (("a", image()), ("b", after)):
        da.omezarr.to_zarr(tmp_path / name, version=version, layout=layout, levels=3, chunks={"y": 16, "x": 16})
    after.isel(y=slice(3, 30)).omezarr.to_zarr(tmp_path / "a", region="auto")
    found, wanted = files(tmp_path / "a"), files(tmp_path / "b")
    assert found.keys() == wanted.keys()
    # metadata stay, and with them the windows of channels, which nobody asks for anew
    changed = {path for path in found if found[path] != wanted[path]}
    assert {path.rpartition("/")[2] for path in changed} <= {".zattrs", ".zmetadata", "zarr.json"}
    assert all(
        one.image.equals(two.image)
        for one, two in zip(
            opened(tmp_path / "a").children.values(), opened(tmp_path / "b").children.values(), strict=True
        )
    )


def test_in_memory_and_with_a_cluster_of_threads(tmp_path: Path) -> None:
    store = MemoryStore()
    image().omezarr.to_zarr(store, levels=2, chunks={"y": 16, "x": 16})
    part = image(seed=1).isel(y=slice(5, 21))
    tree = part.omezarr.to_zarr(store, region="auto", compute=False).compute(scheduler="threads")
    assert tree["0"].image.isel(y=slice(5, 21)).equals(part)


def test_chunks_of_zeros_go(tmp_path: Path) -> None:
    image().omezarr.to_zarr(tmp_path / "a", version="0.5", levels=1, chunks={"y": 16, "x": 16})
    (image().isel(y=slice(0, 16)) * np.uint16(0)).omezarr.to_zarr(tmp_path / "a", region="auto")
    (image() * (image().y >= 8).astype("u2")).omezarr.to_zarr(
        tmp_path / "b", version="0.5", levels=1, chunks={"y": 16, "x": 16}
    )
    assert not [*(tmp_path / "a" / "0" / "c" / "0" / "0" / "0").glob("*")]
    assert opened(tmp_path / "a")["0"].image.equals(opened(tmp_path / "b")["0"].image)


def test_only_the_chunks_of_the_part_are_written(stored: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in stored.rglob("*") if path.is_file()}
    (image().isel(t=[1], c=[0], y=slice(16, 32), x=slice(0, 16)) + np.uint16(1)).omezarr.to_zarr(stored, region="auto")
    changed = sorted(str(path.relative_to(stored)) for path, at in before.items() if path.stat().st_mtime_ns != at)
    assert changed == ["0/1/0/1/0", "1/1/0/0/0", "2/1/0/0/0"]


def test_a_plane_by_its_scalar_coordinates(stored: Path) -> None:
    plane = image(seed=1).isel(t=1).sel(c="GFP")
    tree = plane.omezarr.to_zarr(stored, region="auto")
    assert tree["0"].image.isel(t=1).sel(c="GFP").equals(plane)
    index = plane.drop_vars(["t", "c"])
    tree = (index + np.uint16(1)).omezarr.to_zarr(stored, region={"t": -1, "c": 0})
    assert (tree["0"].image[-1, 0].values == index.values + 1).all()


def test_units_are_converted(stored: Path) -> None:
    part = image(seed=1).isel(x=slice(4, 9))
    tree = part.omezarr.to_units({"x": "nm"}).omezarr.to_zarr(stored, region="auto")
    assert tree["0"].image.isel(x=slice(4, 9)).equals(part)


# --- what is no part of it -------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[type[errors.OmeZarrError], str, Any]] = {
    "off the grid": (
        errors.CoordinateError,
        r"'x' is 0.2 at index 0, where the image has a pixel at 0; its pixels next to that lie at 0, 0.5, 1",
        lambda da: (da.isel(x=slice(0, 9)).assign_coords(x=np.arange(9) * 0.5 + 0.2), "auto"),
    ),
    "every second pixel": (errors.CoordinateError, "'x' is 1 at index 1", lambda da: (da[..., 0:10:2], "auto")),
    "turned round": (errors.DescendingCoordinateError, r"sortby\('x'\)", lambda da: (da[..., ::-1], "auto")),
    "beyond the end": (
        errors.CoordinateError,
        r"beyond the last pixel of the image, at 23.5; crop the array: isel\(x=slice\(0, 28\)\)",
        lambda da: (da.assign_coords(x=da.x + 10), "auto"),
    ),
    "another channel": (
        errors.CoordinateError,
        r"'c' is \['RFP'\], and the image has \['DAPI', 'GFP'\]",
        lambda da: (da[:, [0]].assign_coords(c=["RFP"]), "auto"),
    ),
    "channels in another order": (errors.CoordinateError, "one by one", lambda da: (da.isel(c=[1, 0]), "auto")),
    "another dtype": (errors.DtypeError, r"astype\('uint16'\)", lambda da: (da.astype("f4"), "auto")),
    "another place": (
        errors.CoordinateError,
        "'x' is 2 at index 0, where the image has a pixel at 2.5",
        lambda da: (da.isel(x=slice(4, 9)), {"x": slice(5, 10)}),
    ),
    "another length": (
        errors.RegionError,
        r"is 4 pixels long, and the array has 5 along 'x'; give slice\(5, 10\)",
        lambda da: (da.isel(x=slice(4, 9)), {"x": slice(5, 9)}),
    ),
    "out of it": (
        errors.RegionError,
        "the image has 48 pixels along 'x'",
        lambda da: (da.isel(x=slice(4, 9)), {"x": slice(46, 51)}),
    ),
    "no pixels": (errors.EmptyDimensionError, "no pixels along 'x'", lambda da: (da.isel(x=slice(0, 0)), "auto")),
    "nothing": (errors.RegionError, "start < stop", lambda da: (da.isel(x=slice(0, 0)), {"x": slice(5, 5)})),
    "steps": (errors.RegionError, "leaves pixels out", lambda da: (da[..., 0:4], {"x": slice(0, 8, 2)})),
    "no bounds": (errors.RegionError, "no integers", lambda da: (da[..., 0:4], {"x": slice(0.0, 4.0)})),
    "no index": (errors.RegionError, "neither a slice nor an index", lambda da: (da, {"x": "all"})),
    "a bool": (errors.RegionError, "neither a slice nor an index", lambda da: (da[..., 0], {"x": True})),
    "an index that is not there": (errors.RegionError, "is 48", lambda da: (da[..., 0].drop_vars("x"), {"x": 48})),
    "an unknown dimension": (errors.RegionError, "'q', which the image lacks", lambda da: (da, {"q": slice(0, 1)})),
    "a word": (errors.RegionError, "region='all' is not known", lambda da: (da, "all")),
    "no word": (errors.RegionError, "say which of them", lambda da: (da.isel(x=slice(4, 9)), {})),
    "no coordinate": (
        errors.RegionError,
        "has no coordinate 'x'",
        lambda da: (da.isel(x=slice(4, 9)).drop_vars("x"), "auto"),
    ),
    "no index of a plane": (
        errors.RegionError,
        "lacks the dimension 't'",
        lambda da: (da.isel(t=0, drop=True), "auto"),
    ),
    "one dimension more": (errors.RegionError, r"isel\(w=0\)", lambda da: (da.expand_dims("w"), "auto")),
    "another unit": (
        errors.UnitError,
        "'x' is in 's'",
        lambda da: (da.assign_coords(x=("x", da.x.values, {"units": "s"})), "auto"),
    ),
    "dates": (
        errors.CoordinateError,
        "holds dates",
        lambda da: (da.assign_coords(t=np.array(["2026-01-01", "2026-01-02", "2026-01-03"], "M8[ns]")), "auto"),
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_part_of_it_is_refused(stored: Path, what: str) -> None:
    error, told, make = WRONG[what]
    before = files(stored)
    part, region = make(image())
    with pytest.raises(error, match=told):
        part.omezarr.to_zarr(stored, region=region)
    assert files(stored) == before


def test_the_store_decides_about_the_rest(stored: Path) -> None:
    with pytest.raises(errors.RegionError, match=r"without version='0.5', chunks=\(1, 1, 8, 8\); leave that out"):
        image().omezarr.to_zarr(stored, region="auto", version="0.5", chunks=(1, 1, 8, 8))
    with pytest.raises(errors.MethodError, match=r"'nearest' is asked for, and the levels .* by 'local_mean'"):
        image().omezarr.to_zarr(stored, region="auto", method="nearest")
    with pytest.raises(errors.LabelError, match=r"no labels 'nuclei', but \['cells'\]"):
        image().omezarr.to_zarr(stored, region="auto", labels={"nuclei": image().isel(c=[0])})
    with pytest.raises(errors.StoreNotFoundError):
        image().omezarr.to_zarr(stored / "nothing.ome.zarr", region="auto")
    image().omezarr.to_zarr(stored.with_name("a.ozx"))
    with pytest.raises(errors.ArchiveError, match="is a single file"):
        image().omezarr.to_zarr(stored.with_name("a.ozx"), region="auto")


def test_pixels_that_are_read_from_it_are_refused(stored: Path) -> None:
    before = files(stored)
    lazily = xr.open_datatree(stored, engine="omezarr", chunks={})["0"].image
    for part in (lazily.isel(y=slice(0, 9)), lazily.isel(y=slice(0, 9)) + np.uint16(1), lazily.roll(y=3)):
        with pytest.raises(errors.StoreExistsError, match=r"read it first: da.load\(\)"):
            part.omezarr.to_zarr(stored, region={"y": slice(0, part.sizes["y"])})
    assert files(stored) == before
    (lazily.roll(y=3).load()).omezarr.to_zarr(stored, region={})
    labels = xr.open_datatree(stored, engine="omezarr", chunks={})["labels/cells/0"]["cells"]
    (labels.isel(c=0, drop=True).astype("u2") * image()).omezarr.to_zarr(stored, region="auto")  # which are not written


def test_levels_of_other_tools(tmp_path: Path) -> None:
    image().isel(t=0, c=0, drop=True).omezarr.to_zarr(tmp_path / "a", levels=3)
    attrs = json.loads((tmp_path / "a" / ".zattrs").read_text())
    attrs["multiscales"][0] |= {"type": "gaussian", "metadata": {"method": "dask_image.ndfilters"}}
    del attrs["xomezarr"]
    (tmp_path / "a" / ".zattrs").write_text(json.dumps(attrs))
    part = image(seed=1).isel(t=0, c=0, drop=True).isel(y=slice(0, 20))
    with pytest.raises(errors.MethodError, match=r"were made by 'dask_image.ndfilters'.*method=\"local_mean\", say"):
        part.omezarr.to_zarr(tmp_path / "a", region="auto")
    tree = part.omezarr.to_zarr(tmp_path / "a", region="auto", method="local_mean")
    wanted = opened(tmp_path / "a")["0"].image.omezarr.pyramid(levels=3)["1"].image
    assert (tree["1"].image[:10] == wanted[:10]).all()


# --- others who write at the same time -------------------------------------------------------------------------------


def test_which_parts_share_no_chunk(stored: Path) -> None:
    of = StoredImage.open(stored, None)
    recipe, _ = of.recipe(None, np.dtype("u2"))  # type: ignore[misc]
    units = [(1, 1, 16, 16)] * 3

    def apart(**cut: slice) -> bool:
        box = tuple(cut.get(dim, slice(0, n)) for dim, n in zip("tcyx", of.shapes[0], strict=True))
        return is_aligned(units, recipe, of.shapes, box)

    assert apart()
    assert apart(t=slice(1, 2))
    assert not apart(y=slice(0, 16))  # half a chunk of level 1
    assert apart(y=slice(0, 64))
    assert not apart(x=slice(32, 48))  # which is the second half of a chunk of level 1
    one = affected(recipe, of.shapes, tuple(slice(1, 2) for _ in of.shapes[0]))
    assert one[2] == (slice(1, 2), slice(1, 2), slice(0, 1), slice(0, 1))


WRITER = """
import sys
import numpy as np, xarray as xr
import xomezarr
store, start, stop, value = sys.argv[1], *map(int, sys.argv[2:5])
da = xr.DataArray(np.full((stop - start, 96), value, "u2"), dims=("y", "x"))
sys.stdin.readline()
da.omezarr.to_zarr(store, region={"y": slice(start, stop)}, workers=1)
"""


def test_processes_that_share_chunks_wait_for_each_other(tmp_path: Path) -> None:
    store = tmp_path / "a.ome.zarr"
    blank = xr.DataArray(np.zeros((96, 96), "u2"), dims=("y", "x"), name="a")
    blank.omezarr.to_zarr(store, levels=4, chunks=(32, 32))
    borders = [0, 17, 40, 71, 96]
    after = blank.copy()
    processes = []
    for value, (start, stop) in enumerate(itertools.pairwise(borders), 1):
        after[start:stop] = value
        command = [sys.executable, "-c", WRITER, str(store), str(start), str(stop), str(value)]
        processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    after.omezarr.to_zarr(tmp_path / "b.ome.zarr", levels=4, chunks=(32, 32))
    assert files(store) == files(tmp_path / "b.ome.zarr")


def test_threads_wait_for_each_other(tmp_path: Path) -> None:
    for store in (tmp_path / "a.ome.zarr", MemoryStore()):
        blank = xr.DataArray(np.zeros((64, 64), "u2"), dims=("y", "x"), name="a")
        blank.omezarr.to_zarr(store, levels=3, chunks=(64, 64))

        def write(row: int, store: Any = store) -> None:
            part = xr.DataArray(np.full((1, 64), row + 1, "u2"), dims=("y", "x"))
            part.omezarr.to_zarr(store, region={"y": slice(row, row + 1)}, workers=1)

        threads = [threading.Thread(target=write, args=(row,)) for row in range(0, 64, 4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rows = opened(store)["0"].image.values[::4, 0]
        assert (rows == np.arange(1, 65, 4)).all()


def test_where_there_are_no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xomezarr.updating.reachable_elsewhere", lambda store: True)
    store = MemoryStore()
    image().omezarr.to_zarr(store, levels=3, chunks={"y": 16, "x": 16})
    part = image(seed=1)
    with pytest.raises(errors.RegionError, match=r"shares chunks, .* or, where no other process writes, lock=False"):
        part.isel(y=slice(0, 16)).omezarr.to_zarr(store, region="auto")
    with pytest.raises(errors.RegionError, match="lock='no' is neither True nor False"):
        part.isel(y=slice(0, 16)).omezarr.to_zarr(store, region="auto", lock="no")
    part.isel(y=slice(0, 16)).omezarr.to_zarr(store, region="auto", lock=False)
    part.isel(t=[1]).omezarr.to_zarr(store, region="auto")
    assert opened(store)["0"].image.isel(y=slice(0, 16)).equals(part.isel(y=slice(0, 16)))


def test_who_replaces_the_image_waits_until_the_region_is_written(stored: Path) -> None:
    other, began = image(seed=5), threading.Event()

    def replace() -> None:
        began.wait(60)
        labels = {"cells": (other.isel(c=0, drop=True) > 500).astype("u1")}
        other.omezarr.to_zarr(stored, mode="w", levels=3, chunks={"y": 8, "x": 8}, labels=labels)

    def begun(nbytes: int) -> None:
        began.set()
        time.sleep(0.05)

    thread = threading.Thread(target=replace)
    thread.start()
    part = image(seed=1).isel(t=[0])
    part.omezarr.to_zarr(stored, region="auto", progress=begun, workers=1)
    thread.join()
    assert opened(stored)["0"].image.equals(other)
    assert not [one for one in xomezarr.validate(stored, chunks=True) if one.severity == "error"]


def test_an_image_that_another_program_replaces_meanwhile(stored: Path, tmp_path: Path) -> None:
    shutil.copytree(stored, tmp_path / "copy")

    def replace(nbytes: int) -> None:
        shutil.rmtree(stored)
        shutil.copytree(tmp_path / "copy", stored)

    part = image(seed=1).isel(t=[0])
    with pytest.raises(errors.StoreExistsError, match="was replaced by another process meanwhile"):
        part.omezarr.to_zarr(stored, region="auto", progress=replace, workers=1)


def test_what_is_planned_of_an_image_that_was_replaced_writes_nothing(stored: Path) -> None:
    planned = image(seed=1).isel(t=[0]).omezarr.to_zarr(stored, region="auto", compute=False)
    other = image(seed=5)
    labels = {"cells": (other.isel(c=0, drop=True) > 500).astype("u1")}
    other.omezarr.to_zarr(stored, mode="w", levels=2, chunks={"y": 8, "x": 8}, labels=labels)
    with pytest.raises(errors.StoreExistsError, match="was replaced by another process meanwhile"):
        planned.compute()
    assert opened(stored)["0"].image.equals(other)


# --- what waits for what ---------------------------------------------------------------------------------------------


class Held:
    """Stops whoever writes pixels of a chunk, in a thread of a name, until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str = "held") -> None:
        self.reached, self.go = threading.Event(), threading.Event()
        write = updating.write_pixels

        def stopping(*args: Any, **options: Any) -> Any:
            if threading.current_thread().name == name and not self.reached.is_set():
                self.reached.set()
                assert self.go.wait(60)
            return write(*args, **options)

        monkeypatch.setattr(updating, "write_pixels", stopping)


def in_thread(call: Callable[[], Any], name: str = "") -> threading.Thread:
    thread = threading.Thread(target=call, name=name or None)
    thread.start()
    return thread


def test_a_region_that_waits_for_an_append_is_one_of_the_longer_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chunk of two time points that it writes holds the one that was appended meanwhile."""
    store, da = tmp_path / "a", image((2, 2, 64, 48)).drop_vars("t")
    da = xr.concat([da, da + 1], "t").assign_coords(t=np.arange(4.0)).astype("u2")
    da[:3].omezarr.to_zarr(store, append_dim="t", chunks={"t": 2}, levels=2)
    held = Held(monkeypatch)
    appending = in_thread(lambda: da[3:].omezarr.to_zarr(store, append_dim="t"), "held")
    assert held.reached.wait(60)
    region = in_thread(lambda: (da[2:3] + 1).astype("u2").omezarr.to_zarr(store, region="auto"))
    region.join(0.5)
    assert region.is_alive(), "it waits"
    held.go.set()
    appending.join()
    region.join()
    assert opened(store)["0"].image[3].equals(da[3])
    assert opened(store)["0"].image[2].equals((da[2] + 1).astype("u2"))


def test_whole_chunks_wait_for_who_changes_a_part_of_one(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    da, held = image(seed=1), Held(monkeypatch)
    cut = in_thread(lambda: da.isel(y=slice(20, 40)).omezarr.to_zarr(stored, region="auto"), "held")
    assert held.reached.wait(60)
    whole = in_thread(lambda: da.isel(t=[0]).omezarr.to_zarr(stored, region="auto"))
    whole.join(0.5)
    assert whole.is_alive(), "it waits"
    held.go.set()
    cut.join()
    whole.join()
    expected = image().copy()
    expected[:, :, 20:40] = da[:, :, 20:40]
    expected[0] = da[0]
    assert opened(stored)["0"].image.equals(expected)


def test_whole_chunks_do_not_wait_for_each_other(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    da, held = image(seed=1), Held(monkeypatch)
    one = in_thread(lambda: da.isel(t=[0]).omezarr.to_zarr(stored, region="auto"), "held")
    assert held.reached.wait(60)
    da.isel(t=[1]).omezarr.to_zarr(stored, region="auto")
    held.go.set()
    one.join()
    assert opened(stored)["0"].image[:2].equals(da[:2])
    assert not [*stored.rglob("*.lock*")]


def test_who_would_wait_for_himself_is_told(stored: Path) -> None:
    def write_again(nbytes: int) -> None:
        image(seed=2).isel(t=[1], y=slice(3, 9)).omezarr.to_zarr(stored, region="auto")

    part = image(seed=1).isel(t=[0], y=slice(3, 9))
    with pytest.raises(errors.StoreExistsError, match="is being written by this very call"):
        part.omezarr.to_zarr(stored, region="auto", progress=write_again, workers=1)


def test_labels_that_are_written_by_their_own_path_wait_too(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    da, held = image(seed=1), Held(monkeypatch)
    cells = (da.isel(c=[0]) > 500).astype("u1").drop_vars("c")
    own = cells.isel(y=slice(3, 9))
    direct = in_thread(lambda: (own + 5).astype("u1").omezarr.to_zarr(stored / "labels/cells", region="auto"), "held")
    assert held.reached.wait(60)
    labels = {"cells": cells.isel(t=[0])}
    whole = in_thread(lambda: da.isel(t=[0]).omezarr.to_zarr(stored, region="auto", labels=labels))
    whole.join(0.5)
    assert whole.is_alive(), "it waits"
    held.go.set()
    direct.join()
    whole.join()
    assert (opened(stored)["labels/cells/0"].cells[0].values == cells[0].values).all()


def test_a_note_of_labels_that_were_deleted_is_put_away(stored: Path) -> None:
    def interrupt(nbytes: int) -> None:
        raise InterruptError

    part = image(seed=1).isel(t=[1])
    labels = {"cells": (part.isel(c=[0]) > 500).astype("u1").drop_vars("c")}
    with pytest.raises(InterruptError):
        part.omezarr.to_zarr(stored, region="auto", labels=labels, progress=interrupt, workers=1)
    with pytest.warns(errors.UnfinishedWarning, match="with the labels 'cells'"):
        xr.open_datatree(stored, engine="omezarr")
    xomezarr.delete_labels(stored, "cells")
    part.omezarr.to_zarr(stored, region="auto")
    opened(stored)


def test_image_and_labels_in_memory_are_one(tmp_path: Path) -> None:
    store, da = MemoryStore(), image()
    cells = (da.isel(c=0, drop=True) > 500).astype("u1")
    da.omezarr.to_zarr(store, levels=3, chunks={"y": 16, "x": 16}, labels={"cells": cells})
    part = slice(3, 21)
    da[:, :, part].omezarr.to_zarr(store, region="auto", labels={"cells": cells[:, part]})
    assert opened(store)["0"].image.equals(da)


def test_labels_lie_where_the_image_does(tmp_path: Path) -> None:
    store, da = tmp_path / "a", image()
    cells = (da.isel(c=0, drop=True) > 500).astype("u1")
    da.omezarr.to_zarr(store, levels=3, chunks={"y": 16, "x": 16}, labels={"cells": cells})
    part, other = slice(4, 8), slice(8, 12)
    with pytest.raises(errors.CoordinateError, match="where the image has a pixel at"):
        da[:, :, part].omezarr.to_zarr(store, region="auto", labels={"cells": cells[:, other]})
    assert opened(store)["0"].image.equals(da)
    bare = (cells[:, part] * 0 + 7).astype("u1").drop_vars(["y", "x"], errors="ignore")
    da[:, :, part].omezarr.to_zarr(store, region="auto", labels={"cells": bare})
    found = opened(store)["labels/cells/0"].cells
    assert (found[:, part] == 7).all()
    assert (found[:, other] == cells[:, other].values).all()


def test_labels_made_of_the_stored_image_are_refused(tmp_path: Path) -> None:
    store, da = tmp_path / "a", image()
    cells = (da.isel(c=0, drop=True) > 500).astype("u1")
    da.omezarr.to_zarr(store, levels=3, chunks={"y": 16, "x": 16}, labels={"cells": cells})
    lazily = (opened(store)["0"].image.isel(c=0, drop=True).chunk() > 100).astype("u1")
    with pytest.raises(errors.StoreExistsError, match="is read from"):
        image(seed=1).omezarr.to_zarr(store, region="auto", labels={"cells": lazily})
    assert opened(store)["0"].image.equals(da)


# --- interrupted -----------------------------------------------------------------------------------------------------


class InterruptError(Exception):
    pass


def test_an_interrupted_region_is_told_until_it_is_written(stored: Path) -> None:
    def interrupt(nbytes: int) -> None:
        raise InterruptError

    part = image(seed=1).isel(t=[1], y=slice(3, 40))
    with pytest.raises(InterruptError):
        part.omezarr.to_zarr(stored, region="auto", progress=interrupt, workers=1)
    with pytest.warns(errors.UnfinishedWarning, match=r"the region t 1:2, c 0:2, y 3:40, x 0:48 was begun .*stopped"):
        xr.open_datatree(stored, engine="omezarr")
    (finding,) = [one for one in xomezarr.validate(stored) if one.rule == "128"]
    assert finding.severity == "error"
    assert finding.cure == "write the region again"
    with pytest.warns(errors.UnfinishedWarning):  # another region does not mend it
        image(seed=1).isel(t=[0]).omezarr.to_zarr(stored, region="auto")
    image(seed=1).isel(t=[1]).omezarr.to_zarr(stored, region="auto")  # one that holds it does
    opened(stored)
    assert not [one for one in xomezarr.validate(stored) if one.rule == "128"]
    assert sorted(path.name for path in stored.iterdir()) == [".zattrs", ".zgroup", "0", "1", "2", "labels"]


def test_one_that_goes_on_is_no_fault(stored: Path) -> None:
    found: list[Any] = []

    def look(nbytes: int) -> None:
        opened(stored)
        found.extend(one for one in xomezarr.validate(stored) if one.rule == "128")

    image(seed=1).isel(t=[1]).omezarr.to_zarr(stored, region="auto", progress=look, workers=1)
    assert found
    assert all(one.severity == "warning" for one in found)


KILLED = """
import sys, time
import numpy as np, xarray as xr
import xomezarr
from xomezarr import tiling
tiling.LEAF_BYTES = tiling.SHARED_BYTES = 2**11
da = xr.DataArray(np.full((150, 180), 77, "f4"), dims=("y", "x"))
def on_tile(nbytes):
    print("tile", flush=True)
    time.sleep(0.002)
da.omezarr.to_zarr(sys.argv[1], region={"y": slice(20, 170), "x": slice(11, 191)}, progress=on_tile)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("method", ["local_mean", "laplacian"])
def test_killed_at_any_moment(tmp_path: Path, method: str) -> None:
    store = tmp_path / "a.ome.zarr"
    random = np.random.default_rng(0)
    before = xr.DataArray(random.integers(0, 200, (200, 200)).astype("f4"), dims=("y", "x"), name="a")
    after = before.copy()
    after[20:170, 11:191] = 77
    options: dict[str, Any] = {"chunks": (32, 32), "levels": 3, "method": method}
    before.omezarr.to_zarr(store, **options)
    after.omezarr.to_zarr(tmp_path / "b.ome.zarr", **options)
    for number in range(4):
        with nursery.run(KILLED, store) as process:
            for _ in range(int(random.integers(1, 40))):
                process.stdout.readline()
            process.send_signal([signal.SIGKILL, signal.SIGINT][number % 2])
            process.communicate(timeout=60)
        if process.returncode == 0:
            continue
        with pytest.warns(errors.UnfinishedWarning, match="y 20:170, x 11:191"):
            tree = xr.open_datatree(store, engine="omezarr")
        outside = np.ones(before.shape, bool)
        outside[20:170, 11:191] = False
        assert (tree["0"].image.values[outside] == before.values[outside]).all()
    part = after[20:170, 11:191]
    part.omezarr.to_zarr(store, region={"y": slice(20, 170), "x": slice(11, 191)})
    # zarr writes a chunk under another name first, which a killed process leaves
    found = {path: content for path, content in files(store).items() if not path.endswith(".partial")}
    assert found == files(tmp_path / "b.ome.zarr")
    opened(store)


def test_notes_that_make_no_sense(stored: Path) -> None:
    folder = stored / notes.UNFINISHED
    folder.mkdir()
    for name, content in (("a", ""), ("b", "[]"), ("c", "{"), ("d", '{"region": 3}'), ("e", "\xff")):
        (folder / name).write_bytes(content.encode("latin-1"))
    assert notes.unfinished_in(open_group(stored)) == []
    opened(stored)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("options", [{"region": "auto"}, {"append_dim": "t"}])
def test_a_full_disk_is_told_with_what_it_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, options: dict[str, Any]
) -> None:
    store, da = tmp_path / "a.ome.zarr", image()
    da.isel(t=slice(0, 2)).omezarr.to_zarr(store, append_dim="t", levels=3)
    before = opened(store).load()

    def full(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("xomezarr.chunks.Chunks.write", full)
    told = "is written in part; make room, and write it" if "region" in options else "is as it was.*and append it"
    part = da.isel(t=[0 if "region" in options else 2])
    with pytest.raises(OSError, match=rf"^\[Errno {number}\] .*: the .* {told} again: '.*a.ome.zarr'$") as found:
        part.omezarr.to_zarr(store, **options)
    assert found.value.errno == number
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.UnfinishedWarning)
        assert xr.open_datatree(store, engine="omezarr").identical(before)
    monkeypatch.undo()
    part.omezarr.to_zarr(store, **options)
    assert xomezarr.validate(store).valid


def test_a_disk_without_room_for_a_lock_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, da = tmp_path / "a.ome.zarr", image()
    da.omezarr.to_zarr(store)
    before = files(store)

    def full(path: Path) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(stage, "_opened", full)
    with pytest.raises(OSError, match=r"nothing is changed there; make room, and try again: '.*a.ome.zarr'"):
        da.omezarr.to_zarr(store, region="auto")
    assert files(store) == before


@pytest.mark.parametrize("options", [{"region": "auto"}, {"append_dim": "t"}])
def test_labels_that_a_link_leads_to_elsewhere_are_not_written(tmp_path: Path, options: dict[str, Any]) -> None:
    store, da = tmp_path / "a.ome.zarr", image()
    labels = (da.isel(c=0, drop=True) > 500).astype("u1")
    given = {"t": slice(0, 2)}
    da.isel(given).omezarr.to_zarr(store, append_dim="t", levels=2, labels={"cells": labels.isel(given)})
    (store / "labels/cells").rename(tmp_path / "elsewhere")
    (store / "labels/cells").symlink_to(tmp_path / "elsewhere")
    before = files(tmp_path / "elsewhere") | files(store)
    part = {"t": slice(0, 1)} if "region" in options else {"t": slice(2, 3)}
    with pytest.raises(errors.StoreExistsError, match="a link leads out of the store"):
        da.isel(part).omezarr.to_zarr(store, labels={"cells": labels.isel(part)}, **options)
    assert files(tmp_path / "elsewhere") | files(store) == before


def test_a_part_that_is_done_between_two_looks_is_not_unfinished(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its note is read, and gone when it is asked whose it was."""
    note = stored / notes.UNFINISHED / stage.token()
    note.parent.mkdir()
    note.write_text(json.dumps({"region": {"y": [0, 4]}, "since": "now", "stopped": False}))
    assert [one.writer for one in notes.unfinished_in(open_group(stored))] == ["ended"]
    read = notes.get_document

    def read_once(store: Any, key: str) -> Any:
        content = read(store, key)
        note.unlink(missing_ok=True)
        return content

    monkeypatch.setattr(notes, "get_document", read_once)
    assert notes.unfinished_in(open_group(stored)) == []
