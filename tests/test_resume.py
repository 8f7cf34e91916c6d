"""Writes that are interrupted, and gone on with."""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import nursery
import pytest
import xarray as xr
import zarr
from stores import files

import xomezarr
from xomezarr import archive, errors, journal, stage
from xomezarr.chunks import Chunks
from xomezarr.cli import main
from xomezarr.store import names_in
from xomezarr.write import create_array

SHAPE = (3, 70, 90)


class InterruptError(Exception):
    """What a test raises where a user would press Ctrl-C, or a disk be full."""


def image(kind: str = "numpy", dtype: str = "uint16", shape: tuple[int, ...] = SHAPE) -> xr.DataArray:
    """Return an image of noise, in memory or computed by dask."""
    pixels = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    data = pixels if kind == "numpy" else dask.array.from_array(pixels, chunks=(1, 40, 40)) + np.zeros((), dtype)
    return xr.DataArray(data, dims=("z", "y", "x"), name="noise").omezarr.assign_grid(
        scale={"z": 2.0, "y": 0.5, "x": 0.5}, units="um"
    )


def stopping_after(count: int) -> Any:
    """Return a callable that interrupts a write after so many tiles."""
    told = itertools.count()

    def on_tile(nbytes: int) -> None:
        if next(told) == count:
            raise InterruptError

    return on_tile


def interrupt(*_: Any, **__: Any) -> None:
    """Be interrupted."""
    raise InterruptError


@pytest.fixture(autouse=True)
def _small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "UNIT_BYTES", 2**12)
    monkeypatch.setattr(journal, "SMALL_CARRY", 0)
    monkeypatch.setattr("xomezarr.tiling.LEAF_BYTES", 2**10)
    monkeypatch.setattr("xomezarr.tiling.TASK_BYTES", 2**10)
    monkeypatch.setattr("xomezarr.tiling.SHARED_BYTES", 2**10)


OPTIONS: list[dict[str, Any]] = [
    {"method": "local_mean"},
    {"method": "local_mean", "boundary": "trim", "factors": 3},
    {"method": "nearest", "version": "0.5"},
    {"method": "median", "version": "0.5", "shards": {"z": 1, "y": 32, "x": 32}},
    {"method": "gaussian"},
    {"method": "laplacian", "version": "0.5"},
    {"levels": 1},
    {"version": "0.5", "write_empty_chunks": True, "shards": {"z": 2, "y": 32, "x": 32}},
]


@pytest.mark.sweep(2)
@pytest.mark.parametrize("kind", ["numpy", "dask"])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options.values())))
def test_an_interrupted_write_is_gone_on_with(tmp_path: Path, options: dict[str, Any], kind: str) -> None:
    da = image(kind, "float32" if options.get("method") == "laplacian" else "uint16")
    options = {"chunks": {"z": 1, "y": 16, "x": 16}, "levels": 3, "name": "noise", **options}
    whole = tmp_path / "whole.ome.zarr"
    da.omezarr.to_zarr(whole, **options)
    total = da.omezarr.plan(tmp_path / "other", **options).nbytes
    for count in (0, 1, 7, 20, 60, 130):
        store = tmp_path / f"{count}.ome.zarr"
        written: list[int] = []
        try:
            da.omezarr.to_zarr(store, progress=stopping_after(count), workers=2, **options)
        except InterruptError:
            assert not store.exists()
            da.omezarr.to_zarr(store, resume=True, progress=written.append, workers=1, **options)
            assert sum(written) >= total
        assert files(store) == files(whole)
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


CHUNKS = {"z": 1, "y": 16, "x": 16}


def interrupted(da: xr.DataArray, store: Any, count: int = 40, **options: Any) -> None:
    """Begin to write, and stop."""
    with pytest.raises(InterruptError):
        da.omezarr.to_zarr(store, progress=stopping_after(count), workers=1, **{"chunks": CHUNKS, **options})


def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[slice, ...]]:
    """Return a list to which each chunk that is written is added."""
    written: list[tuple[slice, ...]] = []
    write = Chunks.write

    def noted(self: Chunks, box: tuple[slice, ...], pixels: Any) -> None:
        written.append(box)
        write(self, box, pixels)

    monkeypatch.setattr(Chunks, "write", noted)
    return written


@pytest.mark.parametrize("kind", ["numpy", "dask"])
def test_what_is_done_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    da, store = image(kind), tmp_path / "a.ome.zarr"
    written = counted(monkeypatch)
    da.omezarr.to_zarr(tmp_path / "whole.ome.zarr", chunks=CHUNKS)
    whole = len(written)
    written.clear()
    total = da.omezarr.plan(store, chunks=CHUNKS).tile_count
    interrupted(da, store, total - 8)
    assert len(written) > whole // 2
    written.clear()
    da.omezarr.to_zarr(store, chunks=CHUNKS, resume=True)
    assert len(written) < whole // 2


def test_an_unfinished_write_says_how_much_of_it_is_made(tmp_path: Path) -> None:
    da, store = image(), tmp_path / "a.ome.zarr"
    with pytest.raises(InterruptError) as caught:
        da.omezarr.to_zarr(store, chunks=CHUNKS, progress=stopping_after(40), workers=1)
    (note,) = caught.value.__notes__
    assert re.search(r"a\.ome\.zarr' is unfinished: \d+ of \d+ tiles are made; go on with resume=True", note)
    for opening in (xr.open_datatree, lambda path, engine: xomezarr.validate(path)):
        with pytest.raises(
            errors.StoreNotFoundError, match=r"which was stopped: \d+ of \d+ tiles are made; .*resume=T"
        ):
            opening(store, engine="omezarr")
    (folder,) = tmp_path.glob(".*.stopped")
    with pytest.raises(errors.IncompleteStoreError, match=r"\d+ of \d+ tiles are made; finish it with resume=True"):
        xr.open_datatree(folder, engine="omezarr")


def test_the_next_write_without_resume_removes_what_is_unfinished(tmp_path: Path) -> None:
    da, store = image(), tmp_path / "a.ome.zarr"
    interrupted(da, store)
    assert list(tmp_path.glob(".*.stopped"))
    da.omezarr.to_zarr(store, chunks=CHUNKS)
    assert [path.name for path in tmp_path.iterdir()] == ["a.ome.zarr"]


def test_with_nothing_to_go_on_with_all_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    da, store = image(), tmp_path / "a.ome.zarr"
    da.omezarr.to_zarr(store, chunks=CHUNKS, resume=True)
    before = files(store)
    written = counted(monkeypatch)
    told: list[int] = []
    tree = da.omezarr.to_zarr(store, chunks=CHUNKS, resume=True, progress=told.append)
    xr.testing.assert_equal(tree.omezarr.level(0).drop_attrs(), da.drop_attrs())
    assert not written
    assert sum(told) == da.omezarr.plan(store, chunks=CHUNKS, mode="w").nbytes
    da.omezarr.to_zarr(store, chunks=CHUNKS, resume=True, mode="w")
    assert written
    assert files(store) == before
    with pytest.raises(errors.StoreExistsError, match="something else than what is to be written"):
        image(shape=(3, 70, 80)).omezarr.to_zarr(store, chunks=CHUNKS, resume=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/notes.txt").write_text("mine")
    with pytest.raises(errors.StoreExistsError):
        da.omezarr.to_zarr(tmp_path / "b", chunks=CHUNKS, resume=True)
    with pytest.raises(errors.ResumeError, match="neither True nor False"):
        da.omezarr.to_zarr(tmp_path / "c.zarr", resume="yes")


def test_an_old_image_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    da, store = image(), tmp_path / "a.ome.zarr"
    da.omezarr.to_zarr(store, chunks=CHUNKS)
    before = files(store)
    interrupted(da + 1, store, mode="w")
    assert files(store) == before
    (da + 1).omezarr.to_zarr(store, chunks=CHUNKS, mode="w", resume=True)
    np.testing.assert_array_equal(xr.open_dataarray(store, engine="omezarr"), da + 1)
    assert [path.name for path in tmp_path.iterdir()] == ["a.ome.zarr"]


OTHERS: list[tuple[str, Callable[[xr.DataArray], xr.DataArray], dict[str, Any]]] = [
    (r'the method \(type\): "local_mean", and not "nearest"', lambda da: da, {"method": "nearest"}),
    (r"the method \(metadata.kwargs.boundary\)", lambda da: da, {"boundary": "trim"}),
    ("the levels", lambda da: da, {"chunks": {"z": 1, "y": 32, "x": 32}}),
    ("the levels", lambda da: da, {"levels": 2}),
    (r'the levels \(0.dtype\): "uint16", and not "uint32"', lambda da: da.astype("uint32"), {}),
    ("the levels", lambda da: da[:, :60], {}),
    ("version", lambda da: da, {"version": "0.5"}),
    ("the layout", lambda da: da, {"layout": "xarray"}),
    ("the labels", lambda da: da, {"labels": {"spots": image() > 100}}),
    ("other chunks or compressors", lambda da: da, {"compressors": None}),
    (r"the pixels from \{'z': 0, 'y': 0, 'x': 0\} on are others", lambda da: da + 1, {}),
]


@pytest.mark.parametrize(("told", "change", "options"), OTHERS)
def test_another_image_is_refused(
    tmp_path: Path, told: str, change: Callable[[xr.DataArray], xr.DataArray], options: dict[str, Any]
) -> None:
    da, store = image(), tmp_path / "a.ome.zarr"
    interrupted(da, store)
    left = files(tmp_path)
    with pytest.raises(errors.ResumeError, match=told):
        change(da).omezarr.to_zarr(store, resume=True, **{"chunks": CHUNKS, **options})
    assert files(tmp_path) == left
    da.omezarr.to_zarr(store, resume=True, chunks=CHUNKS)
    np.testing.assert_array_equal(xr.open_dataarray(store, engine="omezarr"), da)


def test_coordinates_are_those_of_the_last_call(tmp_path: Path) -> None:
    da, store = image(), tmp_path / "a.ome.zarr"
    interrupted(da, store)
    moved = da.assign_coords(x=da.x + 100).assign_attrs(sample="kidney")
    tree = moved.omezarr.to_zarr(store, chunks=CHUNKS, resume=True)
    assert tree.omezarr.level(0).attrs["sample"] == "kidney"
    np.testing.assert_array_equal(tree.omezarr.level(0).x, moved.x)


def test_labels_are_gone_on_with(tmp_path: Path) -> None:
    da = image(dtype="uint8")
    labels = {"bright": da > 100, "classes": (da // 50).astype("uint8")}
    da.omezarr.to_zarr(tmp_path / "whole.ome.zarr", chunks=CHUNKS, labels=labels, name="noise")
    total = da.omezarr.plan(tmp_path / "b", chunks=CHUNKS, labels=labels).tile_count
    for count in range(20, total, 29):
        store = tmp_path / f"{count}.ome.zarr"
        interrupted(da, store, count, labels=labels, name="noise")
        da.omezarr.to_zarr(store, chunks=CHUNKS, labels=labels, name="noise", resume=True)
        assert files(store) == files(tmp_path / "whole.ome.zarr")


@pytest.mark.parametrize("made", ["in part", "all"])
def test_labels_that_are_not_asked_for_any_more_are_another_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str
) -> None:
    da, store = image(dtype="uint8"), tmp_path / "a.ome.zarr"
    labels = {"bright": da > 100, "classes": (da // 50).astype("uint8")}
    total = da.omezarr.plan(tmp_path / "b", chunks=CHUNKS, labels=labels).tile_count
    if made == "all":
        with monkeypatch.context() as patched:
            patched.setattr(stage, "create", interrupt)
            with pytest.raises(InterruptError):
                da.omezarr.to_zarr(store, chunks=CHUNKS, labels=labels)
    else:
        interrupted(da, store, total - 3, labels=labels)
    for given in ({}, {"bright": da > 100}):
        with pytest.raises(errors.ResumeError, match=r"labels: \[.*and not|the labels '.*' too, which are not given"):
            da.omezarr.to_zarr(store, chunks=CHUNKS, labels=given, resume=True)
    tree = da.omezarr.to_zarr(store, chunks=CHUNKS, labels=labels, resume=True)
    assert set(tree.omezarr.labels) == {"bright", "classes"}


def test_a_whole_image_that_lies_elsewhere_is_another(tmp_path: Path) -> None:
    da, store = image(), tmp_path / "a.ome.zarr"
    da.omezarr.to_zarr(store)
    da.omezarr.to_zarr(store, resume=True)
    moved = da.omezarr.assign_grid(scale={"z": 2.0, "y": 0.5, "x": 0.5}, translation={"x": 7.0}, units="um")
    for other, told in (
        (moved, "translation"),
        (da.omezarr.assign_grid(scale={"z": 2.0, "y": 0.5, "x": 0.25}, units="um"), "scale"),
        (da.omezarr.assign_grid(scale={"z": 2.0, "y": 0.5, "x": 0.5}, units="nm"), "units"),
    ):
        with pytest.raises(errors.StoreExistsError, match=rf"holds something else .*{told}"):
            other.omezarr.to_zarr(store, resume=True)
    moved.omezarr.to_zarr(store, resume=True, mode="w")
    assert xr.open_dataarray(store, engine="omezarr").x[0] == 7.0


def test_an_old_image_that_is_being_deleted_is_no_unfinished_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was replaced: going on with its replacement does not bring it back."""
    da, store = image("dask"), tmp_path / "a.ome.zarr"
    da.omezarr.to_zarr(store)
    with monkeypatch.context() as killed:
        killed.setattr(stage, "remove", lambda path: None)
        (da + 1).astype("uint16").omezarr.to_zarr(store, mode="w")
    (left,) = tmp_path.glob(".*")
    left.rename(str(left).replace(f"-{os.getpid()}-", "-999999999-"))  # its writer has ended
    (da + 1).astype("uint16").omezarr.to_zarr(store, mode="w", resume=True)
    np.testing.assert_array_equal(xr.open_dataarray(store, engine="omezarr"), da + 1)
    assert [path.name for path in tmp_path.iterdir()] == ["a.ome.zarr"]


def test_an_old_image_is_no_unfinished_write_of_who_was_interrupted_right_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    da, store = image("dask"), tmp_path / "a.ome.zarr"
    da.omezarr.to_zarr(store)
    exchange = stage._exchange

    def interrupted_after(*names: Any) -> Any:
        exchange(*names)
        raise InterruptError

    with monkeypatch.context() as patched:
        patched.setattr(stage, "_exchange", interrupted_after)
        with pytest.raises(InterruptError):
            (da + 1).astype("uint16").omezarr.to_zarr(store, mode="w")
    np.testing.assert_array_equal(xr.open_dataarray(store, engine="omezarr"), da + 1)
    (da + 1).astype("uint16").omezarr.to_zarr(store, mode="w", resume=True)
    np.testing.assert_array_equal(xr.open_dataarray(store, engine="omezarr"), da + 1)


@pytest.mark.parametrize("cut", [False, True])
def test_what_levels_are_made_of_has_to_be_there(tmp_path: Path, *, cut: bool) -> None:
    da, store = image(), tmp_path / "a.ome.zarr"
    interrupted(da, store, 75)
    (folder,) = tmp_path.glob(".*.stopped")
    carries = [path for path in (folder / ".resume/carries").rglob("*") if path.is_file()]
    assert carries
    for path in carries:
        path.write_bytes(b"") if cut else path.unlink()
    with pytest.raises(errors.ResumeError, match=f"what was noted of a tile .* is {'cut off' if cut else 'gone'}"):
        da.omezarr.to_zarr(store, chunks=CHUNKS, resume=True)
    assert not store.exists()


def test_empty_chunks_are_written_as_before(tmp_path: Path) -> None:
    da, store = image().where(lambda da: da.y < 10, 0).astype("uint16"), tmp_path / "a.ome.zarr"
    options: dict[str, Any] = {"version": "0.5", "chunks": CHUNKS, "name": "noise"}
    da.omezarr.to_zarr(tmp_path / "whole.ome.zarr", write_empty_chunks=True, **options)
    interrupted(da, store, write_empty_chunks=True, **options)
    with pytest.raises(errors.ResumeError, match="write_empty_chunks: true, and not false"):
        da.omezarr.to_zarr(store, resume=True, **options)
    da.omezarr.to_zarr(store, write_empty_chunks=True, resume=True, **options)
    assert files(store) == files(tmp_path / "whole.ome.zarr")


def other_labels() -> list[Any]:
    """Return labels that are others than `image() > 100`, and what an error says of them."""
    bright = image() > 100
    return [
        (~bright, "is another: of the labels 'bright', the pixels from .* on are others"),
        (bright.astype("uint16"), "is another: of the labels 'bright', the (levels|dtype)"),
    ]


@pytest.mark.parametrize(("other", "told"), other_labels())
@pytest.mark.parametrize("left", [5, 2], ids=["begun", "whole"])
def test_other_labels_are_refused(tmp_path: Path, other: xr.DataArray, told: str, left: int) -> None:
    da, store = image(), tmp_path / "a.ome.zarr"
    labels = {"bright": da > 100, "dark": da < 100}
    tiles = da.omezarr.plan(store, chunks=CHUNKS, labels=labels).tile_count
    interrupted(da, store, tiles - left, labels=labels)
    with pytest.raises(errors.ResumeError, match=told):
        da.omezarr.to_zarr(store, chunks=CHUNKS, labels={**labels, "bright": other}, resume=True)
    da.omezarr.to_zarr(store, chunks=CHUNKS, labels=labels, resume=True)


def test_what_is_no_store_is_not_said_to_be_replaceable(tmp_path: Path) -> None:
    (tmp_path / "a.ome.zarr").write_text("notes")
    for mode in ("w-", "w"):
        with pytest.raises(errors.StoreExistsError, match="not a Zarr store, and is not replaced"):
            image().omezarr.to_zarr(tmp_path / "a.ome.zarr", resume=True, mode=mode)


def test_a_whole_image_without_the_labels_is_another(tmp_path: Path) -> None:
    da, store = image(), tmp_path / "a.ome.zarr"
    da.omezarr.to_zarr(store, chunks=CHUNKS)
    for dtype in ("uint8", "uint16"):
        labels = {"bright": (da > 100).astype(dtype)}
        with pytest.raises(errors.StoreExistsError, match="holds something else"):
            da.omezarr.to_zarr(store, chunks=CHUNKS, labels=labels, resume=True)
        da.omezarr.to_zarr(store, chunks=CHUNKS, labels=labels, mode="w")
        da.omezarr.to_zarr(store, chunks=CHUNKS, labels=labels, resume=True)


def test_labels_of_which_nothing_is_made_are_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    da, store = image(), tmp_path / "a.ome.zarr"
    options: dict[str, Any] = {"chunks": CHUNKS, "labels": {"bright": da > 100}, "name": "noise"}

    def interrupted_later(group: zarr.Group, plan: Any, level: Any) -> Any:
        if group.path and level.path == "1":
            raise InterruptError
        return create_array(group, plan, level)

    with monkeypatch.context() as patched:
        patched.setattr("xomezarr.write.created_like", lambda *_: None)
        patched.setattr("xomezarr.write.create_array", interrupted_later)
        with pytest.raises(InterruptError):
            da.omezarr.to_zarr(store, **options)
    da.omezarr.to_zarr(store, resume=True, **options)
    da.omezarr.to_zarr(tmp_path / "whole.ome.zarr", **options)
    assert files(store) == files(tmp_path / "whole.ome.zarr")


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_notes_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    da, asked = image(), []
    store: Any = tmp_path / "a.ome.zarr" if kind == "folder" else zarr.storage.MemoryStore()
    labels = {"bright": da > 100}
    interrupted(da, store, da.omezarr.plan(store, chunks=CHUNKS, labels=labels).tile_count - 3, labels=labels)
    get = journal.get_documents
    monkeypatch.setattr(journal, "get_documents", lambda store, keys: (asked.extend(keys), get(store, keys))[1])
    da.omezarr.to_zarr(store, resume=True, chunks=CHUNKS, labels=labels)
    assert any("labels/bright" in key for key in asked)
    notes = [key.rpartition("/")[2] for key in asked]
    assert len(notes) > 7
    assert len(notes) == len(set(notes))


CUT = ["labels/bright/{}", "labels/{}", "labels/bright/0/{}", "labels/bright/.resume/plan.json", "{}"]


@pytest.mark.parametrize("content", [b"", b'{"zarr_fo'])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("path", CUT)
def test_documents_that_a_machine_without_power_has_cut_off_are_made_anew(
    tmp_path: Path, path: str, version: str, content: bytes
) -> None:
    da, store = image(), tmp_path / "a.ome.zarr"
    options: dict[str, Any] = {"chunks": CHUNKS, "labels": {"bright": da > 100}, "name": "noise", "version": version}
    plan = da.omezarr.plan(store, **options)
    interrupted(da, store, plan.tile_count - sum(one.tile_count for one in plan.labels.values()), **options)
    (folder,) = tmp_path.iterdir()
    name = "zarr.json" if version != "0.4" else ".zarray" if path.endswith("0/{}") else ".zgroup"
    # what the labels have written by then was not put on the disk
    for note in (folder / "labels/bright/.resume/done").glob("*"):
        note.write_bytes(json.dumps(json.loads(note.read_bytes()) | {"boot": "before"}).encode())
    assert (folder / path.format(name)).exists()
    (folder / path.format(name)).write_bytes(content)
    written: list[int] = []
    da.omezarr.to_zarr(store, resume=True, progress=written.append, **options)
    assert written[0] > plan.levels[0].nbytes / 2
    da.omezarr.to_zarr(tmp_path / "whole.ome.zarr", **options)
    assert files(store) == files(tmp_path / "whole.ome.zarr")


WHOLE_OTHERS: list[tuple[str, dict[str, Any], Callable[[xr.DataArray], xr.DataArray]]] = [
    (r'the method \(type\): "local_mean", and not "nearest"', {"method": "nearest"}, lambda da: da),
    ('version: "0.4", and not "0.5"', {"version": "0.5"}, lambda da: da),
    ("the levels: 3, and not 2", {"levels": 2}, lambda da: da),
    ("level 0 is stored in another way, with other chunks", {"chunks": {"z": 1, "y": 16, "x": 32}}, lambda da: da),
    ("level 0 is stored in another way, with other chunks or comp", {"compressors": None}, lambda da: da),
    (r"it has no level at '0/noise'|no level at '0/image'", {"layout": "xarray"}, lambda da: da),
    (r"the shape \(1\): 70, and not 69", {}, lambda da: da[:, :-1]),
    ('the dtype: "uint16", and not "int32"', {}, lambda da: da.astype("int32")),
    (r"the pixels from \{'z': 0, 'y': 0, 'x': 0\} on are others", {}, lambda da: da + 1),
    (r"the pixels from \{'z': 2, 'y': 64, 'x': 80\} on are others", {}, lambda da: da.where(da.x < 44, 7)),
]


@pytest.mark.parametrize(("told", "options", "change"), WHOLE_OTHERS)
def test_another_image_that_is_whole_is_refused(
    tmp_path: Path, told: str, options: dict[str, Any], change: Callable[[xr.DataArray], xr.DataArray]
) -> None:
    da, store = image(), tmp_path / "a.ome.zarr"
    da.omezarr.to_zarr(store, chunks=CHUNKS, levels=3)
    before = files(store)
    with pytest.raises(errors.StoreExistsError, match=f"nothing to go on with \\(.*({told})"):
        change(da).astype(da.dtype if "dtype" not in told else "int32").omezarr.to_zarr(
            store, resume=True, **{"chunks": CHUNKS, "levels": 3, **options}
        )
    assert files(store) == before
    # where dask computes them, pixels are not looked at
    da.chunk(y=9).pipe(lambda lazily: lazily + 1).astype("uint16").omezarr.to_zarr(
        store, resume=True, chunks=CHUNKS, levels=3
    )
    assert files(store) == before


def killed_after_placing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a writer be killed when a single file has its name, and before its folder is removed."""
    monkeypatch.setattr("xomezarr.archive.sync_name", interrupt)
    monkeypatch.setattr("xomezarr.stage.remove", lambda path: None)
    monkeypatch.setattr("xomezarr.store.publishing._kept", lambda *_: journal.NOTHING)
    monkeypatch.setattr(stage.Stage, "abandon", lambda self: None)


def test_what_a_single_file_was_packed_from_is_removed_by_who_finds_it_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    da, store = image(), tmp_path / "a.ozx"
    with monkeypatch.context() as patched:
        killed_after_placing(patched)
        with pytest.raises(InterruptError):
            da.omezarr.to_zarr(store)
    (left,) = tmp_path.glob(".a.ozx.*.partial")
    assert not files(left)
    # its writer lives
    da.omezarr.to_zarr(store, resume=True)
    assert left.exists()
    left = left.rename(str(left).replace(f"-{os.getpid()}-", "-999999999-"))
    da.omezarr.to_zarr(store, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.ozx"]
    np.testing.assert_array_equal(xr.open_dataarray(store, engine="omezarr"), da)


def test_what_replaces_a_whole_image_is_kept_by_who_finds_that_whole(tmp_path: Path) -> None:
    da, store = image(), tmp_path / "a.ome.zarr"
    da.omezarr.to_zarr(store, chunks=CHUNKS)
    interrupted(da + 1, store, mode="w")
    da.omezarr.to_zarr(store, chunks=CHUNKS, resume=True)
    written: list[int] = []
    (da + 1).omezarr.to_zarr(store, chunks=CHUNKS, resume=True, mode="w", progress=written.append)
    assert written[0] > da.nbytes / 4
    np.testing.assert_array_equal(xr.open_dataarray(store, engine="omezarr"), da + 1)


def test_info_tells_of_what_is_unfinished_beside_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    da, store = image(), tmp_path / "a.ome.zarr"
    da.omezarr.to_zarr(store, chunks=CHUNKS)
    assert main(["info", str(store)]) == 0
    assert "unfinished" not in capsys.readouterr().out
    interrupted(da + 1, store, mode="w")
    told = (
        r'is an unfinished write of it, which was stopped: \d+ of \d+ tiles are made; finish it with mode="w", resume=T'
    )
    assert main(["info", str(store)]) == 0
    assert re.search(told, capsys.readouterr().out)
    assert main(["info", "--json", str(store)]) == 0
    assert re.search(told, json.loads(capsys.readouterr().out)["unfinished"])


def test_a_single_file_takes_the_room_of_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    da, seen = image(), []
    add = archive._add
    monkeypatch.setattr(
        archive,
        "_add",
        lambda zipped, name, path: (seen.append(len(files(path.parents[name.count("/")]))), add(zipped, name, path)),
    )
    da.omezarr.to_zarr(tmp_path / "a.ozx", chunks=CHUNKS, shards={"z": 1, "y": 32, "x": 32})
    assert seen == list(range(seen[0], seen[0] - len(seen), -1))
    np.testing.assert_array_equal(xr.open_dataarray(tmp_path / "a.ozx", engine="omezarr"), da)


def test_levels_that_are_whole_are_of_the_same_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    da, store = image(), tmp_path / "a.ozx"
    with monkeypatch.context() as patched:
        patched.setattr("xomezarr.archive.pack", interrupt)
        with pytest.raises(InterruptError):
            da.omezarr.to_zarr(store, version="0.5", chunks=CHUNKS)
    with pytest.raises(errors.ResumeError, match=r"the method \(type\)"):
        da.omezarr.to_zarr(store, version="0.5", chunks=CHUNKS, method="max", resume=True)
    da.omezarr.to_zarr(store, version="0.5", chunks=CHUNKS, resume=True)
    np.testing.assert_array_equal(xr.open_dataarray(store, engine="omezarr"), da)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_big_endian_pixels_are_gone_on_with(tmp_path: Path, version: str) -> None:
    da, store = image(dtype=">f4"), tmp_path / "a.ome.zarr"
    interrupted(da, store, version=version)
    da.omezarr.to_zarr(store, version=version, chunks=CHUNKS, resume=True)
    written = files(store)
    da.omezarr.to_zarr(store, version=version, chunks=CHUNKS, resume=True)
    assert files(store) == written


def test_a_tree_as_it_stands_is_gone_on_with(tmp_path: Path) -> None:
    tree = image().omezarr.pyramid(levels=3).map_over_datasets(lambda ds: ds.chunk(24))
    for count in (10, 50):
        store = tmp_path / f"{count}.ome.zarr"
        with pytest.raises(InterruptError):
            tree.omezarr.to_zarr(store, chunks=CHUNKS, progress=stopping_after(count), name="noise")
        tree.omezarr.to_zarr(store, chunks=CHUNKS, resume=True, name="noise")
    assert files(tmp_path / "10.ome.zarr") == files(tmp_path / "50.ome.zarr")


@pytest.mark.parametrize("layout", ["ome", "xarray"])
@pytest.mark.parametrize("suffix", [".ome.zarr", ".ozx"])
def test_layouts_and_single_files_are_gone_on_with(tmp_path: Path, layout: str, suffix: str) -> None:
    da, options = image(), {"version": "0.5", "layout": layout, "name": "noise", "shards": {"z": 1, "y": 32, "x": 32}}
    da.omezarr.to_zarr(tmp_path / f"whole{suffix}", chunks=CHUNKS, **options)
    interrupted(da, tmp_path / f"a{suffix}", **options)
    da.omezarr.to_zarr(tmp_path / f"a{suffix}", chunks=CHUNKS, resume=True, **options)
    one, other = (xr.open_datatree(tmp_path / f"{name}{suffix}", engine="omezarr").load() for name in ("whole", "a"))
    xr.testing.assert_identical(one, other)
    if suffix == ".ome.zarr":
        assert files(tmp_path / "a.ome.zarr") == files(tmp_path / "whole.ome.zarr")
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("method", ["local_mean", "laplacian"])
@pytest.mark.parametrize("place", ["memory://resumed/a.ome.zarr", "store"])
def test_a_write_in_its_place_is_gone_on_with(place: str, method: str) -> None:
    da = image(dtype="float32" if method == "laplacian" else "uint16")
    store = zarr.storage.MemoryStore() if place == "store" else place.replace("resumed", method)
    options = {"method": method, "name": "noise"}
    interrupted(da, store, **options)
    with pytest.raises(errors.IncompleteStoreError, match=r"\d+ of \d+ tiles are made; finish it with resume=True"):
        xr.open_datatree(store, engine="omezarr")
    with pytest.raises(errors.StoreExistsError, match="finish it with resume=True"):
        da.omezarr.to_zarr(store, chunks=CHUNKS, **options)
    with pytest.raises(errors.ResumeError, match="the method"):
        da.omezarr.to_zarr(store, chunks=CHUNKS, method="nearest", resume=True)
    tree = da.omezarr.to_zarr(store, chunks=CHUNKS, resume=True, **options)
    whole = da.omezarr.to_zarr(zarr.storage.MemoryStore(), chunks=CHUNKS, **options)
    xr.testing.assert_identical(tree.load(), whole.load())
    assert journal.RESUME not in [name.strip("/") for name in names_in(zarr.open_group(store))]
    da.omezarr.to_zarr(store, chunks=CHUNKS, mode="w", **options)


def test_a_full_disk_leaves_what_can_be_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    da, store = image(), tmp_path / "a.ome.zarr"
    write, calls = stage.write_file, itertools.count()

    def full(path: Any, content: Any) -> None:
        if next(calls) >= 90:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, content)

    monkeypatch.setattr(stage, "write_file", full)
    with pytest.raises(OSError, match=r"is kept, \d+ of \d+ tiles are made; make room and go on with resume=True"):
        da.omezarr.to_zarr(store, chunks=CHUNKS, workers=1)
    monkeypatch.setattr(stage, "write_file", write)
    da.omezarr.to_zarr(store, chunks=CHUNKS, resume=True)
    np.testing.assert_array_equal(xr.open_dataarray(store, engine="omezarr"), da)


def test_an_error_of_the_image_leaves_nothing(tmp_path: Path) -> None:
    calls = itertools.count()

    def other(block: Any) -> Any:
        return block.astype("f4") if next(calls) > 9 else block

    da = image("dask")
    wrong = da.copy(data=da.data.map_blocks(other, dtype=da.dtype))
    with pytest.raises(errors.ChunkError):
        wrong.omezarr.to_zarr(tmp_path / "a.ome.zarr", chunks=CHUNKS)
    assert not list(tmp_path.iterdir())


# --- notes that lie ----------------------------------------------------------------------------------------------


def noted(folder: Path) -> list[Path]:
    """Return the notes of an unfinished write."""
    return sorted((folder / ".resume/done").iterdir())


def test_notes_that_were_cut_off_are_passed_over(tmp_path: Path) -> None:
    da, store = image(), tmp_path / "a.ome.zarr"
    da.omezarr.to_zarr(tmp_path / "whole.ome.zarr", chunks=CHUNKS, name="noise")
    interrupted(da, store, 75, name="noise")
    (folder,) = tmp_path.glob(".*.stopped")
    notes = noted(folder)
    assert len(notes) > 4
    notes[0].write_bytes(notes[0].read_bytes()[:10])
    notes[1].write_bytes(b"[]")
    notes[2].write_bytes(json.dumps({"tiles": ["7/0.0.0", "0/99.0.0", "x", 3], "boot": stage.boot()}).encode())
    notes[3].write_bytes(b"\xff\xfe")
    shutil.copy(notes[4], folder / ".resume/done/99-x")
    da.omezarr.to_zarr(store, chunks=CHUNKS, resume=True, name="noise")
    assert files(store) == files(tmp_path / "whole.ome.zarr")


def test_a_plan_that_was_cut_off_begins_anew(tmp_path: Path) -> None:
    da, store = image(), tmp_path / "a.ome.zarr"
    interrupted(da, store)
    (folder,) = tmp_path.glob(".*.stopped")
    (folder / ".resume/plan.json").write_bytes(b'{"passes": [')
    da.omezarr.to_zarr(store, chunks=CHUNKS, resume=True)
    np.testing.assert_array_equal(xr.open_dataarray(store, engine="omezarr"), da)


def test_without_power_only_what_was_on_the_disk_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    da, store = image(), tmp_path / "a.ome.zarr"
    da.omezarr.to_zarr(tmp_path / "whole.ome.zarr", chunks=CHUNKS, name="noise")
    interrupted(da, store, 75, name="noise")
    (folder,) = tmp_path.glob(".*.stopped")
    notes = sorted(noted(folder), key=lambda note: json.loads(note.read_bytes())["time"])
    times = [json.loads(note.read_bytes())["time"] for note in notes]
    since, lost = notes[2].stat().st_mtime_ns, 0
    for path in (folder / "0").rglob("*"):  # what had not reached the disk
        if path.is_file() and path.name != ".zarray" and path.stat().st_mtime_ns > since:
            path.write_bytes(b"")
            lost += 1
    assert lost
    for note in notes:
        note.write_bytes(json.dumps(json.loads(note.read_bytes()) | {"boot": "before"}).encode())
    group = zarr.open_group(folder, mode="r")
    begun = journal.made(group).begun
    assert begun is not None
    assert not begun.done
    (folder / ".resume/safe-before").write_text(json.dumps({"time": times[2]}))
    begun = journal.made(group).begun
    assert begun is not None
    assert 3 <= sum(map(len, begun.done.values())) < sum(len(json.loads(note.read_bytes())["tiles"]) for note in notes)
    da.omezarr.to_zarr(store, chunks=CHUNKS, resume=True, name="noise")
    assert files(store) == files(tmp_path / "whole.ome.zarr")


@pytest.mark.skipif(not journal.is_safe(), reason="this system cannot be asked to put files on the disk")
def test_what_is_written_is_put_on_the_disk_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SAFE_SECONDS", 0.0)
    store = tmp_path / "a.ome.zarr"
    told = itertools.count()

    def slow(nbytes: int) -> None:
        if next(told) == 75:
            deadline = time.monotonic() + 60  # a busy disk takes its time
            while not [*tmp_path.glob(".*.partial/.resume/safe-*")] and time.monotonic() < deadline:
                time.sleep(0.01)
            raise InterruptError

    with pytest.raises(InterruptError):
        image().omezarr.to_zarr(store, chunks=CHUNKS, progress=slow, workers=1)
    (folder,) = tmp_path.glob(".*.stopped")
    (safe,) = (folder / ".resume").glob(f"safe-{stage.boot()}")
    assert 0 < json.loads(safe.read_bytes())["time"] < journal.since_start()


@pytest.mark.skipif(not journal.is_safe(), reason="this system cannot be asked to put files on the disk")
def test_who_is_late_to_say_what_is_on_the_disk_neither_stops_a_write_nor_leaves_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    notes = journal.Journal.begin(group, {})
    safe = journal._Safe.of(group)
    assert safe is not None
    removed, late = os.rmdir, iter([safe, safe])

    def overtaken(path: Any, **options: Any) -> None:
        # between the moment at which its folder is empty and that at which it is removed
        if str(path).endswith(journal.RESUME) and (one := next(late, None)) is not None:
            one._sync()
        removed(path, **options)

    monkeypatch.setattr(os, "rmdir", overtaken)
    notes.clear()
    assert next(late, None) is None
    assert sorted(path.name for path in (tmp_path / "a.zarr").iterdir()) == ["zarr.json"]
    safe._sync()
    assert sorted(path.name for path in (tmp_path / "a.zarr").iterdir()) == ["zarr.json"]


# --- killed processes ----------------------------------------------------------------------------------------------

CHILD = """
import sys, time
import numpy as np, xarray as xr
import xomezarr
from xomezarr import journal, tiling
journal.UNIT_BYTES, journal.SMALL_CARRY = 2**14, 0
tiling.LEAF_BYTES = tiling.SHARED_BYTES = 2**12
pixels = np.random.default_rng(0).integers(0, 200, (8, 200, 200)).astype("u2")
da = xr.DataArray(pixels, dims=("z", "y", "x"), name="noise")
da = da.omezarr.assign_grid(scale={"z": 2.0, "y": 0.5, "x": 0.5}, units="um")
def on_tile(nbytes):
    print("tile", flush=True)
    time.sleep(float(sys.argv[3]))
da.omezarr.to_zarr(sys.argv[1], chunks=(1, 32, 32), method=sys.argv[2], resume="resume" in sys.argv, progress=on_tile)
"""


def child(store: Path, method: str, *more: str, delay: float = 0.002) -> nursery.Child:
    """Begin to write in another process."""
    return nursery.run(CHILD, store, method, delay, *more)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("method", ["local_mean", "gaussian"])
def test_a_killed_process_is_gone_on_with(tmp_path: Path, method: str) -> None:
    whole = tmp_path / "whole.ome.zarr"
    assert child(whole, method, delay=0).wait(60) == 0
    store = tmp_path / "a.ome.zarr"
    random = np.random.default_rng(3)
    for number in range(4):
        with child(store, method, *["resume"] * (number > 0)) as process:
            for _ in range(int(random.integers(10, 60))):
                process.stdout.readline()
            process.send_signal([signal.SIGKILL, signal.SIGINT, signal.SIGTERM][number % 3])
            process.communicate(timeout=60)
        assert not store.exists()
    with child(store, method, "resume", delay=0) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert files(store) == files(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ome.zarr", "whole.ome.zarr"]


def test_a_write_that_goes_on_is_not_taken_over(tmp_path: Path) -> None:
    store = tmp_path / "a.ome.zarr"
    with child(store, "local_mean", delay=0.05) as process:
        for _ in range(10):
            process.stdout.readline()
        pixels = np.random.default_rng(0).integers(0, 200, (8, 200, 200)).astype("u2")
        da = xr.DataArray(pixels, dims=("z", "y", "x"), name="noise")
        try:
            with pytest.raises(errors.ResumeError, match="is still being written"):
                da.omezarr.to_zarr(store, chunks=(1, 32, 32), resume=True)
        finally:
            process.kill()


def test_of_several_that_go_on_at_once_one_does(tmp_path: Path) -> None:
    whole, store = tmp_path / "whole.ome.zarr", tmp_path / "a.ome.zarr"
    assert child(whole, "local_mean", delay=0).wait(60) == 0
    for _ in range(3):
        with child(store, "local_mean") as process:
            for _ in range(60):
                process.stdout.readline()
            process.kill()
            process.communicate(timeout=60)
        both = [child(store, "local_mean", "resume", delay=0) for _ in range(2)]
        said = [process.communicate(timeout=60)[1] for process in both]
        codes = [process.returncode for process in both]
        assert 0 in codes, said
        for code, text in zip(codes, said, strict=True):
            assert code == 0 or "is still being written" in text or "made by another process" in text, text
        assert files(store) == files(whole)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ome.zarr", "whole.ome.zarr"]
        shutil.rmtree(store)


def test_what_another_machine_left_is_taken_over(tmp_path: Path) -> None:
    da, store = image(), tmp_path / "a.ome.zarr"
    interrupted(da, store)
    (folder,) = tmp_path.glob(".*.stopped")
    host, *others = folder.name.removeprefix(".a.ome.zarr.").split("-")
    assert len(host) == 8
    name = "-".join(["0" * 8, *others]).replace(".stopped", ".partial")
    elsewhere = folder.rename(tmp_path / f".a.ome.zarr.{name}")
    with pytest.raises(
        errors.StoreNotFoundError, match=r"another machine .*tiles are made; finish it with resume=True"
    ):
        xr.open_datatree(store, engine="omezarr")
    da.omezarr.to_zarr(store, chunks=CHUNKS, resume=True)
    np.testing.assert_array_equal(xr.open_dataarray(store, engine="omezarr"), da)
    assert not elsewhere.exists()


def test_the_command_line_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:

    np.save(tmp_path / "noise.npy", image().values)
    store, words = tmp_path / "a.ome.zarr", ["--dims", "zyx", "--scale", "z=2,y=.5,x=.5", "--chunks", "1,16,16"]
    count = itertools.count()
    write = Chunks.write

    def stops(self: Chunks, box: tuple[slice, ...], pixels: Any) -> None:
        if next(count) == 70:
            raise KeyboardInterrupt
        write(self, box, pixels)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Chunks, "write", stops)
        assert main(["convert", str(tmp_path / "noise.npy"), str(store), *words, "--workers", "1"]) == 130
    said = capsys.readouterr().err
    assert re.search(r"interrupted; .* tiles are made; go on with --resume", said)
    assert main(["info", str(store)]) == 1
    assert "finish it with resume=True" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "noise.npy"), str(store), *words, "--resume"]) == 0
    np.testing.assert_array_equal(xr.open_dataarray(store, engine="omezarr"), image())
    assert main(["convert", str(tmp_path / "noise.npy"), str(store), *words]) == 1
    assert main(["convert", str(tmp_path / "noise.npy"), str(store), *words, "--resume"]) == 0


# --- several images --------------------------------------------------------------------------------------------------


def pictures() -> dict[str, Any]:
    """Return images, one with labels."""
    first = image()
    return {
        "a": first,
        "b": xr.Dataset({"image": first + 1, "bright": (first > 100).astype("uint8")}),
        "c": first + 2,
        "d": first + 3,
    }


def write_plate(images: dict[str, Any], store: Any, **options: Any) -> Any:
    wells = {("A", 1): [images["a"], images["b"]], **{("B", name): [images[name]] for name in images if name > "b"}}
    return xomezarr.write_plate(wells, store, name="plate", chunks=CHUNKS, **options)


def write_collection(images: dict[str, Any], store: Any, **options: Any) -> Any:
    return xomezarr.write_collection(images, store, chunks=CHUNKS, **options)


def write_scene(images: dict[str, Any], store: Any, **options: Any) -> Any:
    transforms = {name: {"x": 30.0} for name in images}
    return xomezarr.write_scene(images, store, transforms=transforms, chunks=CHUNKS, **options)


SEVERAL = [write_plate, write_collection, write_scene]


def interrupted_several(write: Any, store: Any, count: int, **options: Any) -> None:
    """Stop after so many of 332 tiles."""
    with pytest.raises(InterruptError):
        write(pictures(), store, progress=stopping_after(count), workers=1, **options)


@pytest.mark.sweep(2)
@pytest.mark.parametrize("count", [1, 100, 190, 260])
@pytest.mark.parametrize("write", SEVERAL)
def test_several_images_are_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any, count: int
) -> None:
    store, whole = tmp_path / "a.ome.zarr", tmp_path / "whole" / "a.ome.zarr"
    whole.parent.mkdir()
    write(pictures(), whole)
    interrupted_several(write, store, count)
    if count > 1:
        with pytest.raises(
            errors.StoreNotFoundError, match=r"stopped: \d of 4 images are made; finish it with resume=T"
        ):
            xr.open_datatree(store, engine="omezarr")
    written = counted(monkeypatch)
    write(pictures(), store, resume=True)
    assert files(store) == files(whole)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    chunks = [path for path in files(whole) if path.rpartition("/")[2].isdigit()]
    assert len(written) <= len(chunks)
    assert count < 200 or len(written) < len(chunks) / 2
    # and when all is there nothing is done
    written.clear()
    write(pictures(), store, resume=True)
    assert written == []
    # as a tree
    tree = xr.open_datatree(whole, engine="omezarr")
    told: list[int] = []
    tree.omezarr.to_zarr(tmp_path / "c.ome.zarr", progress=told.append)
    with pytest.raises(InterruptError):
        tree.omezarr.to_zarr(tmp_path / "b.ome.zarr", progress=stopping_after(len(told) * count // 332), workers=1)
    written.clear()
    tree.omezarr.to_zarr(tmp_path / "b.ome.zarr", resume=True)
    assert count < 200 or len(written) < len(chunks) / 2
    assert files(tmp_path / "b.ome.zarr") == files(tmp_path / "c.ome.zarr")
    xr.testing.assert_identical(xr.open_datatree(tmp_path / "b.ome.zarr", engine="omezarr"), tree)


@pytest.mark.parametrize("write", SEVERAL[:2])
@pytest.mark.parametrize("place", ["memory", "file", "xarray"])
def test_several_images_elsewhere_are_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any, place: str
) -> None:
    store: Any = zarr.storage.MemoryStore() if place == "memory" else tmp_path / "a.ozx"
    options: dict[str, Any] = {"version": "0.5"}
    if place == "xarray":
        store, options = tmp_path / "a.ome.zarr", {"layout": "xarray"}
    if place == "file":
        options |= {"shards": {"z": 1, "y": 32, "x": 32}}
    told: list[int] = []
    written = counted(monkeypatch)
    whole = write(pictures(), zarr.storage.MemoryStore(), progress=told.append, **options)
    chunks = len(written)
    interrupted_several(write, store, len(told) * 2 // 3, **options)
    written.clear()
    tree = write(pictures(), store, resume=True, **options)
    assert len(written) < chunks / 2
    if write is write_collection:
        xr.testing.assert_identical(tree, whole)
    found = tree.omezarr.stack(level=0) if write is write_plate else tree["d/0/image"]
    xr.testing.assert_identical(found, whole.omezarr.stack(level=0) if write is write_plate else whole["d/0/image"])
    assert xomezarr.validate(store).valid


@pytest.mark.parametrize("write", SEVERAL)
def test_several_images_of_which_all_was_made_are_put_in_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any
) -> None:
    store, whole = tmp_path / "a.ome.zarr", tmp_path / "whole" / "a.ome.zarr"
    whole.parent.mkdir()
    write(pictures(), whole)
    module = (
        "plating" if write is write_plate else write.__name__.removeprefix("write_") + ("s" * (write is write_scene))
    )
    for later in (f"xomezarr.{module}.put_attributes", "xomezarr.store.publishing._InAFolder.place"):
        with monkeypatch.context() as patched:
            patched.setattr(later, interrupt)
            with pytest.raises(InterruptError):
                write(pictures(), store, resume=True)
    written = counted(monkeypatch)
    write(pictures(), store, resume=True)
    assert written == []
    assert files(store) == files(whole)


OTHER_PICTURES: list[tuple[str, Callable[[dict[str, Any]], dict[str, Any]], dict[str, Any]]] = [
    ("of the image '(A/1/0|a)', the pixels from", lambda images: images | {"a": images["a"] + 1}, {}),
    ("of the image '(B/c/0|c)', the levels", lambda images: images | {"c": images["c"][:, :50]}, {}),
    ("the method", lambda images: images, {"method": "nearest"}),
    ("it has '(B/d/0|d)'", lambda images: {name: one for name, one in images.items() if name != "d"}, {}),
    ("it lacks '(B/e/0|e)'", lambda images: images | {"e": images["a"]}, {}),
    (
        "of the image '(A/1/1|b)', of the labels 'bright', the levels",
        lambda images: images | {"b": images["b"].assign(bright=images["b"]["bright"].astype("uint16"))},
        {},
    ),
]


@pytest.mark.parametrize(("told", "change", "options"), OTHER_PICTURES)
@pytest.mark.parametrize("write", SEVERAL)
def test_other_images_are_refused(
    tmp_path: Path,
    write: Any,
    told: str,
    change: Callable[[dict[str, Any]], dict[str, Any]],
    options: dict[str, Any],
) -> None:
    store = tmp_path / "a.ome.zarr"
    interrupted_several(write, store, 200)
    left = files(tmp_path)
    with pytest.raises(errors.ResumeError, match=f"is another: .*{told}"):
        write(change(pictures()), store, resume=True, **options)
    assert files(tmp_path) == left
    write(pictures(), store, resume=True)
    if "it has" not in told:
        with pytest.raises(errors.StoreExistsError, match="something else than what is to be written"):
            write(change(pictures()), store, resume=True, **options)


def test_images_that_a_machine_without_power_may_have_lost_are_written_again(tmp_path: Path) -> None:
    store = tmp_path / "a.ome.zarr"
    interrupted_several(write_plate, store, 200)
    (folder,) = tmp_path.iterdir()
    notes = [*(folder / ".resume/done").glob("images-*")]
    assert notes
    for note in notes:
        note.write_bytes(json.dumps(json.loads(note.read_bytes()) | {"boot": "before"}).encode())
    (folder / "A/1/0/0/0/0/0").write_bytes(b"")
    write_plate(pictures(), store, resume=True)
    write_plate(pictures(), tmp_path / "whole.ome.zarr")
    assert files(store) == files(tmp_path / "whole.ome.zarr")


def test_what_joins_a_store_is_not_gone_on_with(tmp_path: Path) -> None:
    da = image()
    xomezarr.write_plate({("A", 1): [da]}, tmp_path / "plate.ome.zarr")
    with pytest.raises((TypeError, errors.OmeZarrError), match="resume"):
        (da > 9).omezarr.to_labels(tmp_path / "plate.ome.zarr/A/1/0", "bright", resume=True)
    with pytest.raises((TypeError, errors.OmeZarrError), match="resume"):
        da.omezarr.to_plate(tmp_path / "plate.ome.zarr", row="B", column=1, resume=True)
