"""C7 and C8 of stores: where a write may go, what it leaves behind, and that a folder appears whole or not at all."""

from __future__ import annotations

import errno
import multiprocessing
import os
import re
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import s3fs
import xarray as xr
import zarr
from stores import files
from zarr.storage import FsspecStore, LocalStore, MemoryStore, StorePath, WrapperStore

import xomezarr
from xomezarr import direct, stage
from xomezarr.errors import (
    ArchiveError,
    MultipleErrors,
    NotOmeZarrError,
    OmeZarrError,
    OtherImagesWarning,
    StoreExistsError,
    StoreNotFoundError,
)
from xomezarr.store import apart, default_name, exists, is_local, open_group, open_member, publish, resolve


def image(value: int = 0) -> xr.DataArray:
    return xr.DataArray(np.full((40, 40), value, "u2"), dims=("y", "x"), name="cells")


def read(store: Any) -> Any:
    return xr.open_dataarray(store, engine="omezarr").values


# --- naming a place ------------------------------------------------------------------------------------------


def test_c7_a_place_may_be_named_in_many_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    wanted = tmp_path / "a b.zarr"
    for name in (wanted, str(wanted), f"{wanted}/", "~/a b.zarr", "a b.zarr", "./a b.zarr/", wanted.as_uri()):
        assert resolve(name) == wanted
        assert is_local(name)
        assert default_name(name) == "a b"
    image().omezarr.to_zarr("~/a b.zarr/")
    for name in (wanted, "a b.zarr", wanted.as_uri()):
        assert read(name).shape == (40, 40)


@pytest.mark.parametrize(
    ("place", "name"),
    [("s3://bucket/a/cells.ome.zarr/", "cells"), ("/data/cells.zarr", "cells"), ("/data/raw", "raw"), ("/", "image")],
)
def test_c6_an_image_without_a_name_takes_that_of_its_store(place: str, name: str) -> None:
    assert default_name(place) == name
    assert default_name(MemoryStore()) == "image"


@pytest.mark.parametrize("place", [None, 3, "", b"a.zarr", object(), {"a": 1}])
def test_c7_what_is_no_place_is_refused(place: Any) -> None:
    with pytest.raises(OmeZarrError, match="give") as caught:
        image().omezarr.to_zarr(place)
    assert not isinstance(caught.value, MultipleErrors), "one fault is told once"


def test_c7_the_folder_before_two_dots_may_be_missing_or_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "far" / "below").mkdir(parents=True)
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "link").symlink_to(tmp_path / "far" / "below")
    monkeypatch.chdir(tmp_path / "near")
    for name, place in (("missing/../a.zarr", "near/a.zarr"), ("link/../b.zarr", "far/b.zarr")):
        image().omezarr.to_zarr(name)
        assert read(name).shape == read(tmp_path / place).shape == (40, 40)
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["a.zarr", "link"]


@pytest.mark.parametrize("character", ["a", "µ"])
def test_c7_a_name_may_be_as_long_as_the_system_takes(tmp_path: Path, character: str) -> None:
    store = tmp_path / (character * (250 // len(character.encode())) + ".zarr")
    for mode in ("w-", "w"):
        image().omezarr.to_zarr(store, mode=mode)
    assert read(store).shape == (40, 40)
    assert list(tmp_path.iterdir()) == [store]


# --- where a write may go ------------------------------------------------------------------------------------


def test_c7_an_existing_store_is_not_written_over(tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    image(1).omezarr.to_zarr(store)
    before = files(tmp_path)
    with pytest.raises(FileExistsError, match=r'a\.zarr.* exists already; .* mode="w"'):
        image(2).omezarr.to_zarr(store)
    assert files(tmp_path) == before
    image(2).omezarr.to_zarr(store, mode="w")
    assert (read(store) == 2).all()
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_c8_the_whole_store_is_replaced(tmp_path: Path, version: str) -> None:
    store = tmp_path / "a.zarr"
    image(1).omezarr.to_zarr(store, version="0.4", levels=4)
    (store / "labels").mkdir()
    image(2).omezarr.to_zarr(store, version=version, levels=1, mode="w")
    assert not (store / "labels").exists()
    assert not (store / "1").exists()
    assert (store / "zarr.json").exists() == (version == "0.5")
    assert (store / ".zattrs").exists() == (version == "0.4")


def test_c7_an_empty_folder_is_free_and_parents_are_made(tmp_path: Path) -> None:
    (tmp_path / "empty.zarr").mkdir()
    image().omezarr.to_zarr(tmp_path / "empty.zarr")
    image().omezarr.to_zarr(tmp_path / "deep/er/a.zarr")
    assert read(tmp_path / "empty.zarr").shape == read(tmp_path / "deep/er/a.zarr").shape


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("mode", ["w-", "w"])
@pytest.mark.parametrize("name", ["a.zip", "cells.ome.zarr.ZIP", "a.zip/cells.zarr"])
def test_c7_a_path_of_a_zip_file_becomes_no_folder(tmp_path: Path, name: str, mode: str) -> None:
    one, wells = image(1), {("A", 1): [image(1)]}
    for write in (
        lambda: one.omezarr.to_zarr(tmp_path / name, mode=mode),
        lambda: one.omezarr.to_zarr((tmp_path / name).as_uri(), mode=mode),
        lambda: one.omezarr.to_zarr(tmp_path / name, mode=mode, compute=False),
        lambda: one.omezarr.to_plate(tmp_path / name, row="A", column=1, mode=mode),
        lambda: xomezarr.write_plate(wells, tmp_path / name, mode=mode),
        lambda: xomezarr.convert(tmp_path / "a.zarr", tmp_path / name, mode=mode),
    ):
        if not (tmp_path / "a.zarr").exists():
            one.omezarr.to_zarr(tmp_path / "a.zarr")
        with pytest.raises(OmeZarrError, match=r"is called as zip files are") as raised:
            write()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr"]
    # what mends it is said, and does
    cure = re.search(r"zarr\.storage\.ZipStore\('(.*)', mode='w'\)$", str(raised.value))
    assert cure is not None
    with zarr.storage.ZipStore(cure[1], mode="w") as store:
        one.omezarr.to_zarr(store)
    assert (read(cure[1]) == 1).all()
    with zarr.storage.ZipStore(cure[1], mode="r") as store:
        assert (read(store) == 1).all()
    # a file that is there stays
    before = Path(cure[1]).read_bytes()
    with pytest.raises((StoreExistsError, ArchiveError)):
        one.omezarr.to_zarr(tmp_path / name, mode=mode)
    assert Path(cure[1]).read_bytes() == before


def test_a_folder_that_is_called_as_zip_files_are_stays_a_store(tmp_path: Path) -> None:
    image(1).omezarr.to_zarr(tmp_path / "a.zarr")
    store = (tmp_path / "a.zarr").rename(tmp_path / "a.zip")
    assert (read(store) == 1).all()
    image(1).omezarr.to_labels(store, "nuclei")
    with pytest.warns(OtherImagesWarning, match="nuclei"):
        image(2).omezarr.to_zarr(store, mode="w")
    assert (read(store) == 2).all()


@pytest.mark.parametrize("mode", ["w-", "w"])
def test_c7_what_is_no_zarr_store_is_never_replaced(tmp_path: Path, mode: str) -> None:
    (tmp_path / "file.zarr").write_text("precious")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter1.txt").write_text("precious")
    before = files(tmp_path)
    os.mkfifo(tmp_path / "device")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for place in ("file.zarr", "thesis", "file.zarr/inside/a.zarr", "device", "device/a.zarr", "loop"):
        with pytest.raises(StoreExistsError, match="another path"):
            image().omezarr.to_zarr(tmp_path / place, mode=mode)
    assert (tmp_path / "device").is_fifo()
    (tmp_path / "device").unlink()
    (tmp_path / "loop").unlink()
    assert files(tmp_path) == before
    assert os.path.ismount("/dev")
    with pytest.raises(StoreExistsError, match="give a path inside it"):
        image().omezarr.to_zarr("/dev", mode=mode)


def test_c7_places_that_cannot_be_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match=r"give another path: '/proc/.*/a.zarr'"):
        image().omezarr.to_zarr("/proc/self/a.zarr")
    with pytest.raises(OmeZarrError, match="is not a path"):
        image().omezarr.to_zarr("a\0b.zarr")
    monkeypatch.chdir(tmp_path)
    image().omezarr.to_zarr("~cells.zarr")
    assert [path.name for path in tmp_path.iterdir()] == ["~cells.zarr"]

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("xomezarr.chunks.Chunks.write", full)
    with pytest.raises(OSError, match=r"No space left on device: what was written .*a\.zarr"):
        image().omezarr.to_zarr("a.zarr")
    assert [path.name for path in tmp_path.iterdir()] == ["~cells.zarr"]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_c6_labels_that_are_replaced_are_named(tmp_path: Path, version: str) -> None:
    store = tmp_path / "a.zarr"
    image(1).omezarr.to_zarr(store, version=version)
    labels = zarr.open_group(store, mode="r+").create_group("labels")
    labels.create_group("nuclei")
    labels.attrs.update({"labels": ["nuclei", "cells"]})
    with pytest.warns(OtherImagesWarning, match=r"has labels \(cells, nuclei\), which are replaced"):
        image(2).omezarr.to_zarr(store, version=version, mode="w")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image(2).omezarr.to_zarr(store, version=version, mode="w")
    broken = zarr.open_group(store, mode="r+").create_group("labels")
    next(path for path in (store / broken.path).iterdir() if "attrs" not in path.name).write_text("{")
    image(3).omezarr.to_zarr(store, version=version, mode="w")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_c6_images_that_are_replaced_are_named(tmp_path: Path, version: str, zarr_format: Any) -> None:
    store = tmp_path / "a.zarr"
    zarr.open_group(store, mode="w", zarr_format=zarr_format)
    for name in ("one", "deep/er/two", "labels"):
        image(1).omezarr.to_zarr(store / name, version=version, levels=1)
    with pytest.warns(OtherImagesWarning, match=r"holds other images \(one, deep/er/two\), which are replaced") as told:
        image(2).omezarr.to_zarr(store, version=version, levels=1, mode="w")
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image(2).omezarr.to_zarr(store, version=version, levels=1, mode="w")


@pytest.mark.parametrize(
    ("attributes", "what"),
    [
        ({"plate": {"rows": []}}, "is a plate with its wells"),
        ({"ome": {"version": "0.5", "well": {}}}, "is a well with its fields"),
        ({"bioformats2raw.layout": 3}, r"is a collection with its images and holds other images \(0, 1, 2, 3, 4, …\)"),
    ],
)
def test_c6_plates_and_collections_that_are_replaced_are_named(tmp_path: Path, attributes: Any, what: str) -> None:
    store = MemoryStore()
    group = zarr.create_group(store, attributes=attributes)
    for index in range(7 * ("bioformats2raw.layout" in attributes)):
        group.create_group(str(index), attributes={"multiscales": []})
    with pytest.warns(OtherImagesWarning, match=f"{what}, which are replaced"):
        image(2).omezarr.to_zarr(store, levels=1, mode="w")


def test_c7_what_is_mounted_in_a_store_is_not_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "a b.zarr"
    image(1).omezarr.to_zarr(store)
    before = files(store)
    told = tmp_path / "mountinfo"
    monkeypatch.setattr("xomezarr.store.replacing.MOUNTS", told)
    lines = "36 35 98:0 / {} rw,noatime master:1 - ext4 /dev/root rw,errors=continue\n"
    place = str(store).replace(" ", r"\040")
    told.write_text(lines.format("/") + lines.format(f"{place}/inner"))
    with pytest.raises(StoreExistsError, match=r"holds '.*a b.zarr/inner', where a file system is mounted"):
        image(2).omezarr.to_zarr(store, mode="w")
    assert files(store) == before
    told.write_text(lines.format("/") + lines.format(f"{place}.other") + lines.format(tmp_path / "c.zarr" / "inner"))
    image(2).omezarr.to_zarr(store, mode="w")
    told.unlink()  # a system that has none
    image(3).omezarr.to_zarr(store, mode="w")
    assert (read(store) == 3).all()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("mode", ["w-", "w"])
def test_c7_nothing_is_written_into_an_array(tmp_path: Path, version: str, mode: str) -> None:
    store, memory = tmp_path / "a.zarr", MemoryStore()
    image(1).omezarr.to_zarr(store, version=version, levels=1)
    image(1).omezarr.to_zarr(memory, version=version, levels=1)
    before, keys = files(tmp_path), set(memory._store_dict)
    (tmp_path / "link").symlink_to(store / "0")
    for place in ("a.zarr/0/new", "a.zarr/0/new/er", "a.zarr/0/0", "link/new"):
        with pytest.raises(StoreExistsError, match=r"inside the array '.*a\.zarr/0', .*give another path"):
            image(2).omezarr.to_zarr(tmp_path / place, version=version, mode=mode)
    with pytest.raises(StoreExistsError, match=r"inside the array 'memory://.*/0', .*give another path"):
        image(2).omezarr.to_zarr(StorePath(memory, "0/new"), version=version, mode=mode)
    assert files(tmp_path) == before
    assert set(memory._store_dict) == keys
    for place in (store / "new", StorePath(memory, "new")):  # beside it
        image(2).omezarr.to_zarr(place, version=version, mode=mode)
        assert (read(place) == 2).all()


@pytest.mark.parametrize("mode", ["a", "r", "x", None])
def test_c7_unknown_modes_are_refused(tmp_path: Path, mode: Any) -> None:
    with pytest.raises(OmeZarrError, match='mode="w-" to create a store or mode="w" to replace'):
        image().omezarr.to_zarr(tmp_path / "a.zarr", mode=mode)


@pytest.mark.parametrize("place", ["memory", "local"])
def test_c7_store_objects_are_checked_too(tmp_path: Path, place: str) -> None:
    store = MemoryStore() if place == "memory" else LocalStore(tmp_path / "a.zarr")
    assert not exists(store)
    image(1).omezarr.to_zarr(store)
    assert exists(store)
    with pytest.raises(StoreExistsError):
        image(2).omezarr.to_zarr(store)
    image(2).omezarr.to_zarr(store, mode="w")
    assert (read(store) == 2).all()


def test_c8_a_link_stays_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    real, link = tmp_path / "disk/real.zarr", tmp_path / "link.zarr"
    link.symlink_to(real)
    image(1).omezarr.to_zarr(link)  # to where nothing is yet
    assert (read(real) == 1).all()
    with pytest.raises(StoreExistsError):
        image(2).omezarr.to_zarr(link)
    image(2).omezarr.to_zarr(link, mode="w")
    assert link.is_symlink()
    assert (read(real) == 2).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "link.zarr"]
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["real.zarr"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_c8_permissions_are_those_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        image().omezarr.to_zarr(tmp_path / "a.zarr")
    finally:
        os.umask(before)
    assert (tmp_path / "a.zarr").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "a.zarr/.zattrs").stat().st_mode & 0o777 == 0o640


# --- whole or not at all -------------------------------------------------------------------------------------


class Failing:
    """Pixels of which some cannot be read."""

    shape, dtype, ndim = (400, 40), np.dtype("u2"), 2

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __getitem__(self, key: Any) -> Any:
        if key[0].start >= 200:
            raise self.error
        time.sleep(0.05)
        return np.ones(self.shape, self.dtype)[key]


@pytest.mark.parametrize("error", [OSError("the disk is gone"), KeyboardInterrupt()])
@pytest.mark.parametrize("mode", ["w-", "w"])
def test_c8_a_write_that_fails_leaves_no_trace(tmp_path: Path, mode: str, error: BaseException) -> None:
    import dask.array

    store = tmp_path / "a.zarr"
    if mode == "w":
        image(1).omezarr.to_zarr(store)
    before = files(tmp_path)
    pixels = dask.array.from_array(Failing(error), chunks=(20, 40), asarray=False)
    with pytest.raises(type(error)):
        xr.DataArray(pixels, dims=("y", "x")).omezarr.to_zarr(store, mode=mode, levels=1, chunks={"y": 20})
    assert files(tmp_path) == before
    time.sleep(0.3)  # threads that were still writing
    assert files(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == (["a.zarr"] if mode == "w" else [])


@pytest.mark.parametrize("chunks", [None, {}])
def test_c8_a_store_may_be_replaced_by_what_is_lazily_read_from_it(tmp_path: Path, chunks: Any) -> None:
    store = tmp_path / "a.zarr"
    da = xr.DataArray(np.random.default_rng(0).integers(0, 99, (300, 200), "u2"), dims=("y", "x"))
    da.omezarr.to_zarr(store, chunks={"y": 64, "x": 64})
    opened = xr.open_dataarray(store, engine="omezarr", chunks=chunks)
    (opened + 1).astype("u2").omezarr.to_zarr(store, mode="w")
    np.testing.assert_array_equal(read(store), da.values + 1)


def test_c8_a_replacement_that_cannot_be_put_in_place_brings_the_old_store_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "a.zarr"
    image(1).omezarr.to_zarr(store)
    before = files(tmp_path)
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name.endswith(".new") and target == store:
            assert not store.exists()
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(stage, "_exchange", lambda one, other: False)
    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(KeyboardInterrupt):
        image(2).omezarr.to_zarr(store, mode="w")
    monkeypatch.undo()
    (kept,) = (path for path in tmp_path.iterdir() if path != store)
    assert {name: said for name, said in files(tmp_path).items() if not name.startswith(kept.name)} == before
    # all of it was made: it need not be made again
    image(2).omezarr.to_zarr(store, mode="w", resume=True, progress=lambda nbytes: None)
    np.testing.assert_array_equal(read(store), image(2))
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def _write(store: str, value: int, ready: Any, answers: Any) -> None:
    ready.wait()
    try:
        image(value).omezarr.to_zarr(store)
        answers.put((value, "written"))
    except StoreExistsError as error:
        answers.put((value, str(error)))


def test_c8_of_two_processes_one_wins_and_the_other_is_told(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, answers = context.Barrier(2), context.Queue()
    writers = [
        context.Process(target=_write, args=(str(tmp_path / "a.zarr"), value, ready, answers)) for value in (1, 2)
    ]
    for writer in writers:
        writer.start()
    told = dict(answers.get(timeout=60) for _ in writers)
    for writer in writers:
        writer.join()
    winner = next(value for value, answer in told.items() if answer == "written")
    assert "give another path" in told[3 - winner]
    assert (read(tmp_path / "a.zarr") == winner).all()
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize("mode", ["w-", "w"])
def test_c8_a_store_made_meanwhile_is_not_lost(tmp_path: Path, mode: str) -> None:
    """The other writer finishes between our check and our rename."""
    store = tmp_path / "a.zarr"

    def hurry() -> None:
        with publish(store, zarr_format=3, mode=mode) as group:
            group.attrs["mine"] = True
            image(1).omezarr.to_zarr(store)

    if mode == "w":
        hurry()  # replaces what was made meanwhile, as asked
        assert open_group(store).attrs["mine"]
    else:
        with pytest.raises(StoreExistsError, match="made by another process meanwhile"):
            hurry()
        assert (read(store) == 1).all()
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_c8_nothing_is_to_be_seen_before_the_end(tmp_path: Path) -> None:
    with publish(tmp_path / "a.zarr", zarr_format=3, mode="w-") as group:
        group.attrs["a"] = 1
        assert not (tmp_path / "a.zarr").exists()
        with pytest.raises(StoreNotFoundError):
            open_group(tmp_path / "a.zarr")
    assert open_group(tmp_path / "a.zarr").attrs["a"] == 1


def test_c7_reading_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    zarr.create_array(tmp_path / "array", shape=(2,), dtype="u1")
    with pytest.raises(StoreNotFoundError, match="there is nothing at"):
        open_group(tmp_path / "gone")
    with pytest.raises(NotOmeZarrError, match="is a file, not OME-Zarr"):
        open_group(tmp_path / "file")
    with pytest.raises(NotOmeZarrError, match="single Zarr array"):
        open_group(tmp_path / "array")


def test_a_prefix_that_holds_something_else_is_neither_written_into_nor_replaced() -> None:
    import fsspec

    fs = fsspec.filesystem("memory")
    fs.pipe("/prefix-in-use/notes.txt", b"precious")
    da = xr.DataArray(np.zeros((8, 8)), dims=("y", "x"))
    for mode in ("w-", "w"):
        with pytest.raises(FileExistsError):
            da.omezarr.to_zarr("memory://prefix-in-use", mode=mode)
    assert fs.cat("/prefix-in-use/notes.txt") == b"precious"


def test_an_existing_store_is_a_file_exists_error_among_other_faults_and_pickles(tmp_path: Path) -> None:
    import pickle

    da = xr.DataArray(np.zeros((8, 8)), dims=("y", "x"))
    da.omezarr.to_zarr(tmp_path / "a.zarr")
    with pytest.raises(FileExistsError, match=r"exists already[^$]*descends") as caught:
        da.assign_coords(x=range(8, 0, -1)).omezarr.to_zarr(tmp_path / "a.zarr")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


# --- groups below a group --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direct_too", [True, False])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_group_below_a_group_is_what_zarr_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zarr_format: Any, direct_too: bool
) -> None:
    if not direct_too:
        monkeypatch.setattr(direct, "opened_member", lambda *_: None)
    for store in (MemoryStore(), LocalStore(tmp_path / "a.zarr")):
        root = zarr.create_group(store, zarr_format=zarr_format)
        root.create_group("a/b", attributes={"x": 1}).create_group("c")
        root.create_array("a/array", shape=(2,), dtype="u1")
        other = zarr.create_group(MemoryStore(), zarr_format=5 - zarr_format, path="d", attributes={"y": 2})
        for key, value in other.store._store_dict.items():  # type: ignore[attr-defined]
            if key.startswith("d/"):
                zarr.core.sync.sync(store.set(key, value))
        opened = open_group(store)
        assert open_member(opened, "a/b").attrs.asdict() == {"x": 1}
        assert open_member(opened, "a/b") == zarr.open_group(opened.store, path="a/b", mode="r", use_consolidated=False)
        assert open_member(open_member(opened, "a"), "b/c").path == "a/b/c"
        assert open_member(opened, "d").metadata.zarr_format == 5 - zarr_format
        for path in ("a/array", "e", "a/b/e"):
            with pytest.raises(KeyError, match=path):
                open_member(opened, path)


class Undeletable(MemoryStore):
    """A store in which nothing can be deleted once it `refuses`; where it is `cut`, it answers nothing then either."""

    refuses = cut = is_cut = False

    async def delete(self, key: str) -> None:
        if self.refuses:
            self.is_cut = self.cut
            raise PermissionError(key)
        await super().delete(key)

    async def exists(self, key: str) -> bool:
        if self.is_cut:
            raise ConnectionError(key)
        return await super().exists(key)


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("deep", [0, 1, 3])
def test_c8_a_store_in_which_nothing_may_be_deleted_stays_as_it_was(version: str, deep: int, cut: bool) -> None:
    """However deep below its group the first of its objects lies, as where rows of a plate are no groups."""
    store = Undeletable()
    image(1).omezarr.to_zarr(store, version=version, levels=1)
    held = {f"{'a/' * deep}{key}" if key.startswith("0/") else key: value for key, value in store._store_dict.items()}
    store._store_dict.clear()
    store._store_dict.update(held)
    before = {key: value.to_bytes() for key, value in store._store_dict.items()}
    store.refuses, store.cut = True, cut
    with pytest.raises(PermissionError):
        image(2).omezarr.to_zarr(store, version=version, mode="w", levels=1)
    assert {key: value.to_bytes() for key, value in store._store_dict.items()} == before


def test_two_file_systems_may_be_two_ways_to_one_place() -> None:
    """Nobody is asked: what is not certain is no."""

    def placed(path: str, **options: Any) -> FsspecStore:
        return FsspecStore(s3fs.S3FileSystem(asynchronous=True, **options), path=path)

    here = StorePath(placed("bucket/a.zarr", anon=True), "0")
    assert apart(placed("bucket/b.zarr", anon=True), here)
    assert not apart(placed("bucket/b.zarr", endpoint_url="http://127.0.0.1:9"), here)
    assert not apart(placed("bucket", anon=True), here)
    assert not apart(placed("bucket/a.zarr/0/", anon=True), here)
    assert not apart(placed("bucket/b.zarr", anon=True), None)
    local = StorePath(LocalStore("/tmp/a.zarr", read_only=True), "0")
    assert apart("s3://bucket/a.zarr", local)
    assert apart(MemoryStore(), local)
    for unknown in ("local:///tmp/a.zarr", "simplecache::s3://bucket/a.zarr", WrapperStore(MemoryStore())):
        assert not apart(unknown, local)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_folder_by_its_url_is_made(version: str, tmp_path: Path) -> None:
    da = xr.DataArray(np.zeros((4, 4), "uint8"), dims=("y", "x"), name="a")
    url = f"local://{tmp_path}/new/a.zarr"
    da.omezarr.to_zarr(url, version=version)
    xr.testing.assert_equal(xr.open_dataarray(url, engine="omezarr"), da)
    xr.testing.assert_equal(xr.open_dataarray(tmp_path / "new" / "a.zarr", engine="omezarr"), da)


@pytest.mark.parametrize("url", ["foo://bucket/a.zarr", "simplecache::foo://bucket/a.zarr"])
def test_urls_that_nobody_knows_are_refused(url: str) -> None:
    da = xr.DataArray(np.zeros((4, 4), "u1"), dims=("y", "x")).omezarr.assign_grid(scale={"y": 1.0, "x": 1.0})
    for call in (
        lambda: xr.open_datatree(url, engine="omezarr"),
        lambda: da.omezarr.to_zarr(url),
        lambda: xomezarr.upgrade(url),
        lambda: xomezarr.validate(url),
    ):
        with pytest.raises(OmeZarrError, match="'foo', which fsspec does not know"):
            call()


def test_options_for_what_zarr_keeps_in_memory_are_refused() -> None:
    with pytest.raises(OmeZarrError, match="storage_options are for URLs of other machines"):
        xomezarr.upgrade("memory://a.zarr", storage_options={"anon": True})
