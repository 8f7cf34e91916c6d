"""Single files, ``.ozx``: written as RFC-9 recommends, whole or not at all, and read where they lie by ranges."""

from __future__ import annotations

import contextlib
import gc
import json
import multiprocessing
import os
import pickle
import re
import shutil
import signal
import stat
import struct
import subprocess
import sys
import threading
import weakref
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dask
import fsspec
import numpy as np
import pytest
import xarray as xr
import zarr
from asking import SCRIPTS, TIME_LIMIT, uv
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from stores import check_same_trees
from test_rules import OF_FILES

import xomezarr
from xomezarr import archive, stage, zipped
from xomezarr.cli import main
from xomezarr.errors import ArchiveError, NotOmeZarrError, StoreExistsError, StoreNotFoundError, VersionError
from xomezarr.scale import plan_scaling
from xomezarr.zipped import ZippedStore

PIXELS = np.random.default_rng(0).poisson(20, (2, 60, 70)).astype("uint16")


def image(pixels: Any = PIXELS, name: str = "cells") -> xr.DataArray:
    dims = ("c", "z", "y", "x")[-np.ndim(pixels) :]
    if np.ndim(pixels) == 3:
        dims = ("c", "y", "x")
    made = xr.DataArray(pixels, dims=dims, name=name, attrs={"stain": "none"})
    made = made.omezarr.assign_grid(scale={"y": 0.5, "x": 0.25}, units="um")
    return made.omezarr.assign_channels([f"c{n}" for n in range(made.sizes["c"])]) if "c" in dims else made


def with_labels(path: Path, **options: Any) -> Path:
    labels = {"nuclei": xomezarr.Labels((image().isel(c=0, drop=True) > 20).astype("u1"), colors={1: "red"})}
    image().omezarr.to_zarr(path, labels=labels, chunks={"y": 16, "x": 16}, levels=2, **options)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def entries(path: Path) -> list[zipfile.ZipInfo]:
    with zipfile.ZipFile(path) as file:
        return file.infolist()


def packed(path: Path, content: dict[str, bytes], comment: bytes = b"", **options: Any) -> Path:
    """Return a zip file of some entries, as Python makes it."""
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, data in content.items():
            file.writestr(name, data)
        file.comment = comment
    return path


def unpacked(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


# --- what is written -------------------------------------------------------------------------------------------------


@given(
    pixels=hnp.arrays(
        st.sampled_from(["u1", ">u2", "i4", "f4", "f8"]), hnp.array_shapes(min_dims=2, max_dims=3, max_side=9)
    ),
    chunk=st.integers(1, 9),
    version=st.sampled_from([None, "0.5", "0.6"]),
    levels=st.integers(1, 2),
)
def test_images_come_back_as_from_a_folder(
    tmp_path_factory: pytest.TempPathFactory, pixels: Any, chunk: int, version: str | None, levels: int
) -> None:
    assume(levels == 1 or max(pixels.shape[-2:]) > 1)
    folder = tmp_path_factory.mktemp("file")
    pixels = np.nan_to_num(pixels, nan=0, posinf=0, neginf=0)
    options: dict[str, Any] = {"chunks": (chunk,) * pixels.ndim, "levels": levels, "method": "nearest"}
    image(pixels).omezarr.to_zarr(folder / "a.ozx", version=version, **options)
    image(pixels).omezarr.to_zarr(folder / "a.ome.zarr", version=version or "0.5", shards="auto", **options)
    found = xr.open_datatree(folder / "a.ozx", engine="omezarr")
    check_same_trees(found, xr.open_datatree(folder / "a.ome.zarr", engine="omezarr"))
    xr.testing.assert_identical(
        xr.open_dataarray(folder / "a.ozx", engine="omezarr").drop_attrs(), image(pixels).drop_attrs()
    )
    assert names(folder) == ["a.ome.zarr", "a.ozx"]


@pytest.mark.parametrize("version", [None, "0.5", "0.6"])
def test_file_is_as_rfc_9_recommends(tmp_path: Path, version: str | None) -> None:
    path = with_labels(tmp_path / "a.ozx", version=version, shards=(1, 16, 16))
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        assert json.loads(file.comment) == {
            "ome": {"version": version or "0.5", "zipFile": {"centralDirectory": {"jsonFirst": True}}}
        }
    found = entries(path)
    documents = [entry.filename for entry in found if entry.filename.endswith("zarr.json")]
    assert [entry.filename for entry in found[: len(documents)]] == documents
    assert documents[0] == "zarr.json"
    assert [name.count("/") for name in documents] == sorted(name.count("/") for name in documents)
    assert set(documents) >= {"0/zarr.json", "labels/zarr.json", "labels/nuclei/zarr.json", "labels/nuclei/1/zarr.json"}
    assert all(entry.compress_type == zipfile.ZIP_STORED for entry in found)
    assert all(entry.extract_version == zipfile.ZIP64_VERSION for entry in found)
    assert not any(entry.is_dir() or entry.flag_bits & ~0x800 or entry.extra for entry in found)
    assert [entry.header_offset for entry in found] == sorted(entry.header_offset for entry in found)
    # each local header has the sizes in the extra field of ZIP64
    content = path.read_bytes()
    for entry in found:
        name, extra = struct.unpack("<HH", content[entry.header_offset + 26 : entry.header_offset + 30])
        tail = content[entry.header_offset + 30 + name :][:extra]
        assert struct.unpack("<HHQQ", tail) == (1, 16, entry.file_size, entry.file_size)


def test_chunks_stand_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    image(PIXELS[:1, :60, :4]).omezarr.to_zarr(tmp_path / "a.ozx", chunks=(1, 4, 4), shards=(1, 4, 4), levels=1)
    found = [entry.filename for entry in entries(tmp_path / "a.ozx")]
    assert found == ["zarr.json", "0/zarr.json", *(f"0/c/0/{row}/0" for row in range(15))]


def test_shards_are_automatic_unless_others_are_given(tmp_path: Path) -> None:
    plan = image().omezarr.plan(tmp_path / "a.ozx", chunks={"y": 16, "x": 16}, levels=1)
    assert plan.levels[0].shards == {"c": 2, "y": 64, "x": 80}
    assert image().omezarr.plan(tmp_path / "a.ome.zarr", version="0.5").levels[0].shards is None
    asked = image().omezarr.plan(tmp_path / "a.ozx", chunks={"y": 16, "x": 16}, shards={"c": 1, "y": 16, "x": 16})
    assert asked.levels[0].shards is None


def test_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = with_labels(tmp_path / "a.ozx"), tmp_path / "b.ozx"
    chunked = image().chunk({"y": 7})
    labels = {"nuclei": xomezarr.Labels((image().isel(c=0, drop=True) > 20).astype("u1"), colors={1: "red"})}
    chunked.omezarr.to_zarr(other, labels=labels, chunks={"y": 16, "x": 16}, levels=2, workers=1)
    assert one.read_bytes() == other.read_bytes()


def test_peak_of_the_disk_is_the_file_and_a_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def added(file: zipfile.ZipFile, name: str, path: Path) -> None:
        add(file, name, path)
        taken.append(sum(found.stat().st_size for found in tmp_path.rglob("*") if found.is_file()))

    add = archive._add
    monkeypatch.setattr(archive, "_add", added)
    noise = np.random.default_rng(1).integers(0, 2**16, (1, 512, 512), "u2")
    image(noise).omezarr.to_zarr(tmp_path / "a.ozx", chunks=(1, 64, 64), shards=(1, 64, 64), levels=1)
    whole = (tmp_path / "a.ozx").stat().st_size
    assert len(taken) == 66
    assert max(taken) < whole + 3 * 64 * 64 * 2


def test_every_writer_makes_single_files(tmp_path: Path) -> None:
    tree = image().omezarr.to_zarr(tmp_path / "image.ozx", levels=2)
    copy = tree.omezarr.to_zarr(tmp_path / "tree.ozx")
    check_same_trees(copy, tree)
    assert copy.omezarr.version == "0.5"
    image().to_dataset(name="image").omezarr.to_zarr(tmp_path / "dataset.ozx")
    plate = xomezarr.write_plate({("A", 1): [image(), image()], ("B", 2): [image()]}, tmp_path / "plate.ozx")
    assert list(plate) == ["A", "B"]
    again = xomezarr.open_plate(tmp_path / "plate.ozx").omezarr.to_zarr(tmp_path / "plate2.ozx")
    check_same_trees(again, plate)
    xomezarr.write_collection({"one": image(), "two": image()}, tmp_path / "collection.ozx")
    assert xomezarr.open_collection(tmp_path / "collection.ozx")["two"].omezarr.level(0).equals(image())
    scene = {"one": image(), "two": image()}
    xomezarr.write_scene(scene, tmp_path / "scene.ozx", version="0.6")
    image().omezarr.to_zarr(tmp_path / "nested.ozx", layout="xarray", levels=2)
    with zarr.storage.ZipStore(tmp_path / "nested.ozx", mode="r") as store:
        assert (xr.open_datatree(store, engine="zarr")["1"]["x"] == image().omezarr.pyramid(levels=2)["1"]["x"]).all()
    made = xomezarr.convert(tmp_path / "image.ozx", tmp_path / "converted.ozx")
    assert made.omezarr.level(0).equals(image())
    old = image().omezarr.to_zarr(tmp_path / "old.ome.zarr")
    assert old.omezarr.to_zarr(tmp_path / "of-old.ozx").omezarr.version == "0.5"
    for path in tmp_path.glob("*.ozx"):
        report = xomezarr.validate(path, strict=True)
        assert report.valid, report
        assert not report.findings, report
        assert zipfile.ZipFile(path).testzip() is None
    assert not [name for name in names(tmp_path) if name.startswith(".")]


def test_computed_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    later = image().omezarr.to_zarr("a.ozx", compute=False)
    assert names(tmp_path) == []
    later.compute()
    assert xr.open_dataarray("a.ozx", engine="omezarr").equals(image())


def test_the_shell_makes_them_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "stack.npy", PIXELS)
    file, scaled = str(tmp_path / "a.ozx"), str(tmp_path / "b.ozx")
    assert main(["convert", str(tmp_path / "stack.npy"), file, "--dims", "cyx"]) == 0
    assert main(["scale", file, scaled, "--max-layer", "1"]) == 0
    assert main(["scale", f"{file}/0", str(tmp_path / "c.ozx"), "cyx", "--max-layer", "1"]) == 0
    assert main(["validate", scaled, "--strict"]) == 0
    capsys.readouterr()
    assert main(["info", file, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["version"], told["levels"][0]["shape"]) == ("0.5", [2, 60, 70])
    assert (
        main(["convert", str(tmp_path / "stack.npy"), str(tmp_path / "d.ozx"), "--dims", "cyx", "--version", "0.4"])
        == 2
    )
    assert "single file" in capsys.readouterr().err
    assert main(["scale", file, "--in-place"]) != 0
    assert main(["convert", file, str(tmp_path / "e.ome.zarr")]) == 0
    assert names(tmp_path) == ["a.ozx", "b.ozx", "c.ozx", "e.ome.zarr", "stack.npy"]


# --- where, and in the place of what ---------------------------------------------------------------------------------


def test_other_versions_are_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(VersionError, match=r"OME-Zarr 0\.4 is v2; give version='0\.5', or leave it out"):
        image().omezarr.to_zarr(tmp_path / "a.ozx", version="0.4")
    with pytest.raises(VersionError, match="does not know OME-Zarr"):
        image().omezarr.to_zarr(tmp_path / "a.ozx", version="0.9")
    assert names(tmp_path) == []


def test_what_is_there_stays_unless_it_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.ozx"
    image(PIXELS + 1).omezarr.to_zarr(path)
    before = path.read_bytes()
    with pytest.raises(StoreExistsError, match="exists already"):
        image().omezarr.to_zarr(path)
    assert path.read_bytes() == before
    opened = xr.open_dataarray(path, engine="omezarr")
    image().omezarr.to_zarr(path, mode="w")
    assert xr.open_dataarray(path, engine="omezarr").equals(image())
    assert (opened.values == PIXELS + 1).all()  # who has the old file open reads it to the end
    assert names(tmp_path) == ["a.ozx"]


def test_a_file_may_be_replaced_by_what_is_read_from_it(tmp_path: Path) -> None:
    path = tmp_path / "a.ozx"
    image().omezarr.to_zarr(path)
    found = xr.open_dataarray(path, engine="omezarr")
    (found + 1).omezarr.to_zarr(path, mode="w")
    assert (xr.open_dataarray(path, engine="omezarr").values == PIXELS + 1).all()


@pytest.mark.parametrize("content", [b"", b"a text", "zip", "cut"])
def test_what_is_no_ome_zarr_is_never_replaced(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "a.ozx"
    if content == "zip":
        packed(path, {"a.txt": b"a"})
    elif content == "cut":
        image().omezarr.to_zarr(path)
        path.write_bytes(path.read_bytes()[:-100])
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    for mode in ("w", "w-"):
        with pytest.raises(StoreExistsError):
            image().omezarr.to_zarr(path, mode=mode)
    assert path.read_bytes() == before
    assert names(tmp_path) == ["a.ozx"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows")
def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.ozx")
    with pytest.raises(StoreExistsError, match="is not a Zarr store, and is not replaced"):
        image().omezarr.to_zarr(tmp_path / "a.ozx", mode="w")


def test_what_appears_meanwhile_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.ozx"

    def pack_late(*arguments: Any, **options: Any) -> None:
        pack(*arguments, **options)
        path.write_bytes(b"another's")

    pack = archive.pack
    monkeypatch.setattr(archive, "pack", pack_late)
    for mode in ("w-", "w"):
        path.unlink(missing_ok=True)
        with pytest.raises(StoreExistsError, match="meanwhile"):
            image().omezarr.to_zarr(path, mode=mode)
        assert path.read_bytes() == b"another's"
        assert names(tmp_path) == ["a.ozx"]


def test_where_a_file_has_no_second_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", refused)
    monkeypatch.setattr(stage, "_exchange", lambda one, other: False)
    path = tmp_path / "a.ozx"
    image(PIXELS + 1).omezarr.to_zarr(path)
    with pytest.raises(StoreExistsError):
        image().omezarr.to_zarr(path)
    image().omezarr.to_zarr(path, mode="w")
    assert xr.open_dataarray(path, engine="omezarr").equals(image())
    assert names(tmp_path) == ["a.ozx"]


def test_links_stay_and_folders_are_folders(tmp_path: Path) -> None:
    image().omezarr.to_zarr(tmp_path / "there.ozx")
    (tmp_path / "a.ozx").symlink_to("there.ozx")
    image(PIXELS + 1).omezarr.to_zarr(tmp_path / "a.ozx", mode="w")
    assert (tmp_path / "a.ozx").is_symlink()
    assert (xr.open_dataarray(tmp_path / "there.ozx", engine="omezarr").values == PIXELS + 1).all()
    image().omezarr.to_zarr(tmp_path / "b.ome.zarr")
    (tmp_path / "b.ome.zarr").rename(tmp_path / "b.ozx")  # however it is called
    assert xr.open_dataarray(tmp_path / "b.ozx", engine="omezarr").equals(image())
    for mode in ("w", "w-"):
        with pytest.raises(StoreExistsError, match=r"'.*b\.ozx' is a folder, and called like a single file; rename it"):
            image().omezarr.to_zarr(tmp_path / "b.ozx", mode=mode)


IN_PLACE: dict[str, Callable[[Path], Any]] = {
    "labels": lambda path: image().isel(c=0, drop=True).omezarr.to_labels(path, "more"),
    "labels that go": lambda path: xomezarr.delete_labels(path, "nuclei"),
    "a field": lambda path: image().omezarr.to_plate(path, row="A", column=1),
    "a group": lambda path: image().omezarr.to_zarr(path / "more"),
    "a group in its place": lambda path: image().omezarr.to_zarr(path / "labels" / "nuclei", mode="w"),
    "levels": lambda path: plan_scaling(path, in_place=True),
}


@pytest.mark.parametrize("change", list(IN_PLACE))
@pytest.mark.parametrize("name", ["a.ozx", "a.zip"])
def test_what_changes_a_store_in_place_is_refused(tmp_path: Path, change: str, name: str) -> None:
    path = with_labels(tmp_path / "a.ozx").rename(tmp_path / name)
    if change == "a field":
        path.unlink()
        xomezarr.write_plate({("A", 1): [image()]}, tmp_path / "b.ozx")
        (tmp_path / "b.ozx").rename(path)
    before = path.read_bytes()
    with pytest.raises(ArchiveError, match=r"written as a whole.*open_datatree\(.*to_zarr\('copy\.ome\.zarr'\)"):
        IN_PLACE[change](path)
    assert path.read_bytes() == before
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("change", ["a field", "a group"])
def test_no_folder_is_made_that_is_called_like_a_file(tmp_path: Path, change: str) -> None:
    with pytest.raises(ArchiveError, match="written as a whole"):
        IN_PLACE[change](tmp_path / "a.ozx")
    assert names(tmp_path) == []


def test_no_file_lies_in_another_store(tmp_path: Path) -> None:
    image().omezarr.to_zarr(tmp_path / "a.ome.zarr")
    with pytest.raises(ArchiveError, match="no single file is a part of another store; write it beside that"):
        image().omezarr.to_zarr(tmp_path / "a.ome.zarr" / "deeper" / "b.ozx")
    assert not (tmp_path / "a.ome.zarr" / "deeper").exists()


@pytest.mark.parametrize("url", ["memory://a.ozx", "s3://bucket/a.ozx", "https://example.org/a.ozx?key=1"])
def test_files_are_made_on_this_machine(url: str) -> None:
    with pytest.raises(ArchiveError, match="made on this machine"):
        image().omezarr.to_zarr(url)


# --- whole or not at all ---------------------------------------------------------------------------------------------

STOPPED = """
import os, signal, sys
import numpy as np, xarray as xr, xomezarr
from xomezarr import archive, chunks, stage
how, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
def stopping(call):
    def stop(*arguments, **options):
        global count
        count -= 1
        if count == -1:
            os.kill(os.getpid(), signal.SIGKILL if how == "kill" else signal.SIGINT)
        return call(*arguments, **options)
    return stop
archive._add = stopping(archive._add)
stage.write_file = stopping(stage.write_file)
stage.replace = stopping(stage.replace)
image = xr.DataArray(np.full((64, 64), 2, "u1"), dims=("y", "x"))
image.omezarr.to_zarr(path, chunks=(16, 16), shards=(16, 16), levels=1, mode="w", workers=1)
"""


@pytest.mark.parametrize("how", ["kill", "interrupt"])
@pytest.mark.parametrize("count", [0, 5, 17, 19, 21, 36, 38])
def test_stopped_writers_lose_nothing(tmp_path: Path, how: str, count: int) -> None:
    path = tmp_path / "a.ozx"
    old = xr.DataArray(np.ones((64, 64), "u1"), dims=("y", "x"))
    old.omezarr.to_zarr(path)
    before = path.read_bytes()
    ended = subprocess.run(
        [sys.executable, "-c", STOPPED, how, str(path), str(count)], capture_output=True, check=False
    )
    assert ended.returncode == (-signal.SIGKILL if how == "kill" else -signal.SIGINT if ended.returncode < 0 else 1)
    assert path.read_bytes() == before
    if how == "interrupt":
        assert names(tmp_path) == ["a.ozx"]
    else:
        assert any(name.endswith(".partial") for name in names(tmp_path))
    (old + 1).omezarr.to_zarr(path, mode="w")
    assert names(tmp_path) == ["a.ozx"]
    assert (xr.open_dataarray(path, engine="omezarr").values == 2).all()


def test_stopped_in_the_last_moment_of_a_new_file(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", STOPPED, "kill", str(tmp_path / "a.ozx"), "20"], check=False)
    assert ended.returncode == -signal.SIGKILL
    with pytest.raises(StoreNotFoundError, match="unfinished write of it, which was stopped"):
        xr.open_datatree(tmp_path / "a.ozx", engine="omezarr")
    image().omezarr.to_zarr(tmp_path / "a.ozx")
    assert names(tmp_path) == ["a.ozx"]


def test_no_space_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive, "_add", full)
    with pytest.raises(OSError, match=r"is kept, all of it is made; make room and go on with resume=True"):
        image().omezarr.to_zarr(tmp_path / "a.ozx")
    (left,) = names(tmp_path)
    assert left.endswith(".stopped")
    monkeypatch.undo()
    image().omezarr.to_zarr(tmp_path / "a.ozx", resume=True)
    assert names(tmp_path) == ["a.ozx"]
    assert xr.open_dataarray(tmp_path / "a.ozx", engine="omezarr").equals(image())


# --- reading ---------------------------------------------------------------------------------------------------------


def test_opened_by_name_and_content_without_an_engine(tmp_path: Path) -> None:
    path = with_labels(tmp_path / "a.ozx")
    with xr.open_datatree(path) as tree:
        assert set(tree.children) == {"0", "1", "labels"}
    assert xr.open_dataset(path, level=1).sizes["x"] == 35
    assert xr.open_dataarray(path).equals(image())
    shutil.copy(path, tmp_path / "b.zip")
    assert xr.open_dataarray(tmp_path / "b.zip").equals(image())
    packed(tmp_path / "c.ozx", {"a.txt": b"a"})
    (tmp_path / "d.ozx").write_bytes(b"a text")
    shutil.copy(tmp_path / "c.ozx", tmp_path / "c.zip")
    guess = xomezarr.backend.OmeZarrBackendEntrypoint().guess_can_open
    # what is wrong with a file that is called so is told by opening it
    assert all(guess(str(tmp_path / name)) for name in ("a.ozx", "b.zip", "c.ozx", "d.ozx"))
    assert not any(guess(str(tmp_path / name)) for name in ("c.zip", "absent.ozx", "absent.zip"))


def test_scaling_says_how_labels_of_a_file_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with_labels(tmp_path / "a.ozx", version="0.6")
    assert main(["scale", "a.ozx", "b.ozx"]) == 0
    told = capsys.readouterr().err
    assert "labels (nuclei), which are not copied; make a folder of it" in told
    for command in told.partition("to keep them: ")[2].splitlines()[0].split(" && "):
        assert main(command.split()[1:]) == 0
    assert xomezarr.validate("copy.ome.zarr").version == "0.6"
    assert list(xr.open_datatree("copy.ome.zarr", engine="omezarr").omezarr.labels) == ["nuclei"]


def test_names_like_those_of_users_are_opened_without_an_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image().omezarr.to_zarr("~nobody here.ozx")
    assert names(tmp_path) == ["~nobody here.ozx"]
    assert xr.open_dataarray("~nobody here.ozx").equals(image())


def test_groups_in_a_file_are_places(tmp_path: Path) -> None:
    path = with_labels(tmp_path / "a.ozx")
    nuclei = xr.open_dataarray(path, engine="omezarr", group="labels/nuclei")
    assert xr.open_dataarray(path / "labels" / "nuclei", engine="omezarr").identical(nuclei)
    assert xomezarr.validate(path / "labels" / "nuclei").valid
    with pytest.raises(
        ArchiveError, match=r"no group 'labels/absent' in .*a\.ozx'; it has '0', '1', 'labels', 'labels/nuclei', .*…"
    ):
        xr.open_dataarray(path, engine="omezarr", group="labels/absent")


def test_read_from_threads_and_processes(tmp_path: Path) -> None:
    path = tmp_path / "a.ozx"
    image().omezarr.to_zarr(path, chunks={"y": 16, "x": 16}, shards={"y": 32, "x": 32}, levels=1)
    lazy = xr.open_dataarray(path, engine="omezarr")
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda row: lazy.isel(y=row).values, 5 * list(range(60))):
            assert found.shape == (2, 70)
        rows = list(pool.map(lambda row: lazy.isel(y=row).values, range(60)))
    assert (np.stack(rows, 1) == PIXELS).all()
    assert pickle.loads(pickle.dumps(lazy)).equals(image())
    chunked = xr.open_dataarray(path, engine="omezarr", chunks={})
    for scheduler in ("threads", "processes"):
        with dask.config.set(scheduler=scheduler, num_workers=2):
            assert (chunked + 0).compute().equals(image() + 0)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(np.asarray, (lazy,)).sum() == PIXELS.sum()


def test_a_file_that_was_replaced_is_not_read_by_the_metadata_of_the_other(tmp_path: Path) -> None:
    """Not by another process, to which it is sent, nor after it was closed; the same bytes are the same file."""
    path, told = tmp_path / "a.ozx", r"a\.ozx' has been replaced since it was opened, .*; open it again"
    image().omezarr.to_zarr(path)
    content = path.read_bytes()
    held = xr.open_dataarray(path, engine="omezarr")
    sent = pickle.dumps(held)
    image(PIXELS + 1).omezarr.to_zarr(path, mode="w")
    assert (held.isel(y=0).values == PIXELS[:, 0]).all()
    with pytest.raises(ArchiveError, match=told):
        pickle.loads(sent).load()
    held.close()
    with pytest.raises(ArchiveError, match=told):
        held.load()
    path.unlink()
    path.write_bytes(content)
    assert (pickle.loads(sent).values == PIXELS).all()
    assert (held.values == PIXELS).all()


def test_who_may_read_a_file_is_as_before(tmp_path: Path) -> None:
    image().omezarr.to_zarr(tmp_path / "a.ozx")
    (tmp_path / "a.ozx").chmod(0o600)
    image().omezarr.to_zarr(tmp_path / "a.ozx", mode="w")
    assert stat.S_IMODE((tmp_path / "a.ozx").stat().st_mode) == 0o600


def test_closed_files_are_opened_again_and_left_open_to_nobody(tmp_path: Path) -> None:
    image().omezarr.to_zarr(tmp_path / "a.ozx")

    def open_files() -> int:
        gc.collect()
        found = 0
        for number in os.listdir("/proc/self/fd"):  # noqa: PTH208
            with contextlib.suppress(OSError):
                found += os.readlink(f"/proc/self/fd/{number}").endswith("a.ozx")  # noqa: PTH115
        return found

    if not Path("/proc/self/fd").exists():
        pytest.skip("this system does not tell which files are open")
    xr.open_datatree(tmp_path / "a.ozx", engine="omezarr").close()
    assert open_files() == 0
    for _ in range(20):
        tree = xr.open_datatree(tmp_path / "a.ozx", engine="omezarr")
        tree.close()
        assert (tree.omezarr.level(0).values == PIXELS).all()
        tree.close()
    del tree
    assert open_files() == 0


def test_no_more_files_are_held_than_the_system_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Further ones are opened for each reading, and have to be the same then."""
    monkeypatch.setattr(zipped, "HELD", weakref.WeakSet())
    monkeypatch.setattr(zipped, "MOST_OPEN", 2)
    paths = [tmp_path / f"{number}.ozx" for number in range(4)]
    for path in paths:
        image().omezarr.to_zarr(path)
    gc.collect()
    opened = [xr.open_dataarray(path, engine="omezarr") for path in paths]
    assert len(zipped.HELD) == 2
    assert all((one.isel(y=0).values == PIXELS[:, 0]).all() for one in opened)
    for path in paths[:3]:
        image(PIXELS + 1).omezarr.to_zarr(path, mode="w")
    paths[3].unlink()
    assert (opened[0].values == PIXELS).all()
    with pytest.raises(ArchiveError, match=r"2\.ozx' has been replaced since it was opened, .*; open it again"):
        opened[2].load()
    with pytest.raises(ArchiveError, match=r"3\.ozx' is gone since it was opened; open it"):
        opened[3].load()


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    noise = np.random.default_rng(2).integers(0, 2**16, (1, 256, 256), "u2")
    image(noise).omezarr.to_zarr(tmp_path / "a.ozx", chunks=(1, 32, 32), levels=1, compressors=None)
    with ranges_of(tmp_path) as (url, read):
        tree = xr.open_datatree(f"{url}/a.ozx", engine="omezarr")
        assert sum(read) < 80_000  # the end of the file, and the documents
        assert len(read) <= 3
        read.clear()
        found = tree.omezarr.level(0).isel(y=slice(0, 10), x=slice(0, 10)).values
        assert (found == noise[:, :10, :10]).all()
        assert sum(read) < 2048 + 2048 + 1024  # of one shard of 128 KiB, its index and a chunk
        assert tree.omezarr.level(0).equals(image(noise))


@contextlib.contextmanager
def ranges_of(folder: Path, *, ranges: bool = True, absent: int = 404) -> Iterator[tuple[str, list[int]]]:
    """Serve the files of a folder, and note how many bytes each answer has."""
    sent: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def answer(self, *, body: bool) -> None:
            path = folder / self.path.partition("?")[0].strip("/")
            if not path.is_file():
                self.send_response(absent)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content, size = path.read_bytes(), path.stat().st_size
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if ranges else None
            if wanted:
                first, last = int(wanted[1]), min(int(wanted[2] or size - 1), size - 1)
                content = content[first : last + 1]
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
            else:
                self.send_response(200)
            if ranges:
                self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", '"0"')
            self.send_header("Last-Modified", "Thu, 01 Jan 1970 00:00:00 GMT")
            self.end_headers()
            if body:
                sent.append(len(content))
                self.wfile.write(content)

        def do_GET(self) -> None:
            self.answer(body=True)

        def do_HEAD(self) -> None:
            self.answer(body=False)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", sent
    finally:
        server.shutdown()
        server.server_close()


def test_urls(tmp_path: Path) -> None:
    path = with_labels(tmp_path / "a.ozx")
    xomezarr.write_plate({("A", 1): [image()], ("B", 2): [image()]}, tmp_path / "plate.ozx")
    with ranges_of(tmp_path) as (url, _):
        check_same_trees(
            xr.open_datatree(f"{url}/a.ozx", engine="omezarr"), xr.open_datatree(path, engine="omezarr"), attrs=False
        )
        assert xr.open_dataarray(f"{url}/a.ozx").equals(image())
        assert xr.open_dataarray(f"{url}/a.ozx?key=a/b", engine="omezarr").equals(image())
        assert xr.open_dataarray(f"{url}/a.ozx/labels/nuclei", engine="omezarr").equals(
            xr.open_dataarray(path, engine="omezarr", group="labels/nuclei")
        )
        plate = xomezarr.open_plate(f"{url}/plate.ozx")
        assert (plate["B/2/0"].omezarr.level(0).values == PIXELS).all()
        assert xomezarr.validate(f"{url}/plate.ozx", strict=True).valid
        lazy = xr.open_dataarray(f"{url}/a.ozx", engine="omezarr", chunks={})
        assert pickle.loads(pickle.dumps(lazy)).compute().equals(image())
        xomezarr.convert(f"{url}/a.ozx", tmp_path / "b.ozx")
        assert xr.open_dataarray(tmp_path / "b.ozx", engine="omezarr").equals(image())
        assert main(["validate", f"{url}/a.ozx"]) == 0
        with pytest.raises(StoreNotFoundError, match="there is nothing at"):
            xr.open_datatree(f"{url}/absent.ozx", engine="omezarr")
    noise = np.random.default_rng(2).integers(0, 2**16, (1, 256, 256), "u2")
    image(noise).omezarr.to_zarr(tmp_path / "large.ozx")
    with ranges_of(tmp_path, ranges=False) as (url, sent):
        cached = f"simplecache::{url}/large.ozx"
        with pytest.raises(ArchiveError, match=f"download the file, or have that done: '{cached}'"):
            xr.open_datatree(f"{url}/large.ozx", engine="omezarr")
        sent.clear()
        assert xr.open_dataarray(cached).equals(image(noise))
        assert xomezarr.validate(cached).valid
        assert len(sent) in (1, 2)  # once for each, or for both where fsspec keeps the file that long
        with pytest.raises(ArchiveError, match="made on this machine"):
            image().omezarr.to_zarr(f"simplecache::{url}/b.ozx")
    with ranges_of(tmp_path, absent=403) as (url, _):
        with pytest.raises(ArchiveError, match=r"absent\.ozx' cannot be reached \(403, .*\); check the URL"):
            xr.open_datatree(f"{url}/absent.ozx")
        server = url
    with pytest.raises(ArchiveError, match=r"cannot be reached \(.*\); check the URL"):
        xr.open_datatree(f"{server}/absent.ozx", engine="omezarr")


def test_s3(tmp_path: Path) -> None:
    pytest.importorskip("s3fs")
    (tmp_path / "bucket").mkdir()
    with_labels(tmp_path / "bucket" / "a.ozx")
    with ranges_of(tmp_path) as (url, _):
        options = {"anon": True, "endpoint_url": url}
        found = xr.open_dataarray("s3://bucket/a.ozx", engine="omezarr", storage_options=options)
        assert found.equals(image())
        labels = xr.open_datatree("s3://bucket/a.ozx", engine="omezarr", storage_options=options).omezarr.labels
        assert list(labels) == ["nuclei"]


def test_files_in_memory(tmp_path: Path) -> None:
    path = with_labels(tmp_path / "a.ozx")
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/single/a.ozx", path.read_bytes())
    try:
        assert xr.open_dataarray("memory://single/a.ozx", engine="omezarr").equals(image())
    finally:
        memory.rm("/single", recursive=True)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_any_zip_file_is_read(tmp_path: Path, compression: int) -> None:
    """Files of other tools: compressed, in any order, with folders as entries, with data before the archive."""
    content = unpacked(with_labels(tmp_path / "a.ozx"))
    other = packed(tmp_path / "b.ozx", {"0/": b"", **dict(reversed(content.items()))}, compression=compression)
    assert xr.open_dataarray(other, engine="omezarr").equals(image())
    other.write_bytes(b"#!/bin/sh\n" + other.read_bytes())
    assert xr.open_dataarray(other, engine="omezarr").equals(image())
    assert "120" in {found.rule for found in xomezarr.validate(other)}
    assert xomezarr.validate(other).valid


@pytest.mark.parametrize("called", ["./{}", "/{}", "windows"])
def test_names_that_only_some_programs_write_are_read(tmp_path: Path, called: str) -> None:
    image().omezarr.to_zarr(tmp_path / "a.ozx")
    content = unpacked(tmp_path / "a.ozx")
    with zipfile.ZipFile(tmp_path / "b.ozx", "w") as file:
        for name, data in content.items():
            entry = zipfile.ZipInfo()
            entry.filename = name.replace("/", "\\") if called == "windows" else called.format(name)
            file.writestr(entry, data)
    assert xr.open_dataarray(tmp_path / "b.ozx", engine="omezarr").equals(image())


def test_entries_whose_sizes_follow_them(tmp_path: Path) -> None:
    """A tool that cannot go back writes the sizes behind the entry."""
    content = unpacked(with_labels(tmp_path / "a.ozx"))

    class Stream:
        def __init__(self, path: Path) -> None:
            self.file = path.open("wb")
            self.write, self.flush, self.close = self.file.write, self.file.flush, self.file.close

    stream = Stream(tmp_path / "b.ozx")
    with zipfile.ZipFile(stream, "w") as file:  # type: ignore[arg-type]
        for name, data in content.items():
            file.writestr(name, data)
    stream.close()
    assert entries(tmp_path / "b.ozx")[0].flag_bits & 8
    assert xr.open_dataarray(tmp_path / "b.ozx", engine="omezarr").equals(image())


@given(st.data())
def test_ranges_are_those_of_the_entry(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = {
        name: data.draw(st.binary(max_size=300))
        for name in data.draw(st.lists(st.sampled_from(["zarr.json", "a/zarr.json", "a/c/0", "é" * 90]), unique=True))
    }
    how = data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    path = packed(tmp_path_factory.mktemp("ranges") / "a.zip", content, compression=how)
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/ranges/a.zip", path.read_bytes())
    from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest

    for store in (ZippedStore(path), ZippedStore("memory://ranges/a.zip")):
        for _ in range(3):
            for name, whole in content.items():
                start = data.draw(st.integers(0, len(whole)))
                stop = data.draw(st.integers(start, len(whole)))
                asked = {
                    None: whole,
                    RangeByteRequest(start, stop): whole[start:stop],
                    OffsetByteRequest(start): whole[start:],
                    SuffixByteRequest(start): whole[len(whole) - start :],
                }
                for wanted in data.draw(st.permutations(list(asked))):
                    found = store.get_sync(name, byte_range=wanted)
                    assert found is not None
                    assert found.to_bytes() == asked[wanted]
        assert store.get_sync("absent") is None
        listed = sorted({name.partition("/")[0] for name in content})
        assert sorted(zarr.core.sync.sync(_all(store.list_dir("")))) == listed
        for prefix in ("", "no such", *(name[:count] for name in content for count in range(1, len(name) + 1))):
            expected = sorted(name for name in content if name.startswith(prefix))
            assert sorted(zarr.core.sync.sync(_all(store.list_prefix(prefix)))) == expected


async def _all(found: Any) -> list[str]:
    return [name async for name in found]


# --- broken files ----------------------------------------------------------------------------------------------------


def broken(folder: Path, how: str) -> Path:
    path = with_labels(folder / "a.ozx")
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[:-100])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "shorter by a byte":
        path.write_bytes(content[:-1])
    elif how == "a text":
        path.write_bytes(b"a text that is no zip file")
    elif how == "no entries":
        packed(path, {})
    elif how == "no root":
        whole = {f"cells.zarr/{name}": data for name, data in unpacked(path).items()}
        packed(path, whole)
    elif how == "nothing of zarr":
        packed(path, {"a.txt": b"a"})
    elif how == "v2":
        image().omezarr.to_zarr(folder / "old.ome.zarr")
        old = folder / "old.ome.zarr"
        packed(path, {str(f.relative_to(old)): f.read_bytes() for f in old.rglob("*") if f.is_file()})
        shutil.rmtree(old)
    elif how == "crc of a document":
        path.write_bytes(content.replace(b'"multiscales"', b'"multiscaleS"'))
    elif how == "split":
        begin = content.rindex(b"PK\1\2")
        path.write_bytes(content[: begin + 34] + struct.pack("<H", 1) + content[begin + 36 :])
    elif how == "encrypted":
        flagged = bytearray(content)
        for found in re.finditer(b"PK\1\2", content):
            flagged[found.start() + 8] |= 1
        path.write_bytes(flagged)
    elif how == "header":
        path.write_bytes(b"XX" + content[2:])
    elif how == "directory":  # where the name of the last entry but one ends
        begin = content.rindex(b"PK\1\2", 0, content.rindex(b"PK\1\2"))
        path.write_bytes(content[: begin + 32] + struct.pack("<H", 80) + content[begin + 34 :])
    elif how == "place":  # of the directory: entries lie before the beginning of the file then, as zipfile reckons
        at = content.rindex(b"PK\5\6") + 16
        path.write_bytes(content[:at] + struct.pack("<L", 2**31) + content[at + 4 :])
    return path


@pytest.mark.parametrize(
    ("how", "told"),
    {
        "truncated": r"cut off; copy it again",
        "shorter by a byte": r"its comment is cut off.*; copy it again, or delete it and write it anew",
        "empty": r"is an empty file; copy it again",
        "a text": r"is no zip file .*; check the path",
        "no entries": r"a zip file with nothing in it; copy it again",
        "no root": r"no zarr\.json at its root.* 'cells\.zarr': open '.*a\.ozx/cells\.zarr', or pack",
        "nothing of zarr": r"without a group of Zarr; give a file of OME-Zarr",
        "v2": r"holds a group of Zarr v2.*; give it a name that ends in \.zip",
        "crc of a document": r"is damaged at 'zarr\.json' \(its CRC-32.*; copy it again",
        "split": r"is one of several parts of a zip file.*; join them",
        "encrypted": r"is encrypted, 'zarr\.json' in any case; unpack",
        "header": r"is damaged at 'zarr\.json'",
        "directory": r"is damaged: its directory has \d+ entries, and it says \d+; copy it again",
        "place": r"is damaged at 'zarr\.json' \(it does not begin where the file says\)",
    }.items(),
)
def test_broken_files_say_what_is_wrong(
    tmp_path: Path, how: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = broken(tmp_path, how)
    calls: list[Callable[[], Any]] = [
        partial(xr.open_datatree, path, engine="omezarr"),
        partial(xr.open_datatree, path),  # by its name
        partial(xr.open_dataarray, path, engine="omezarr"),
        partial(xomezarr.validate, path),
        partial(xomezarr.convert, path, tmp_path / "b.ozx"),
    ]
    for call in calls:
        with pytest.raises(NotOmeZarrError, match=rf"a\.ozx.*{told}"):
            call()
    capsys.readouterr()
    assert main(["info", str(path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "a.ozx" in line
    assert names(tmp_path) == ["a.ozx"]


def test_the_cures_cure(tmp_path: Path) -> None:
    nested = broken(tmp_path, "no root")
    assert xr.open_dataarray(nested, engine="omezarr", group="cells.zarr").equals(image())
    assert xr.open_dataarray(nested / "cells.zarr", engine="omezarr").equals(image())
    nested.unlink()
    old = broken(tmp_path, "v2").rename(tmp_path / "a.zip")
    xomezarr.convert(old, tmp_path / "a.ozx")
    assert xr.open_dataarray(tmp_path / "a.ozx", engine="omezarr").equals(image())


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_entries_that_are_compressed_are_named(tmp_path: Path, compression: int) -> None:
    image().omezarr.to_zarr(tmp_path / "a.ozx")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", compression) as archive:
        for name, content in unpacked(tmp_path / "a.ozx").items():
            archive.writestr(name, content)
        at = archive.getinfo("zarr.json").header_offset
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[at + 60 : at + 120] = bytes(60)
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ArchiveError, match=r"a\.zip' is damaged at 'zarr\.json'"):
        xr.open_datatree(tmp_path / "a.zip", engine="omezarr")


@pytest.mark.parametrize("sharded", [False, True])
def test_damaged_chunks_are_no_pixels(tmp_path: Path, sharded: bool) -> None:
    path = tmp_path / "a.ozx"
    shards = {"c": 1, "y": 16, "x": 16}
    image().omezarr.to_zarr(path, chunks=shards, shards="auto" if sharded else shards, levels=1)
    entry = next(entry for entry in entries(path) if entry.filename.startswith("0/c/"))
    content = bytearray(path.read_bytes())
    content[entry.header_offset + 30 + len(entry.filename) + 20 + (entry.file_size - 20 if sharded else 40)] ^= 255
    path.write_bytes(content)
    with pytest.raises(Exception, match=r"damaged|decoded|[Cc]hecksum|crc"):
        xr.open_dataarray(path, engine="omezarr").load()
    with pytest.raises(Exception, match=r"damaged|decoded|[Cc]hecksum|crc"):
        xomezarr.convert(path, tmp_path / "b.ozx")
    assert names(tmp_path) == ["a.ozx"]


# --- what validation says --------------------------------------------------------------------------------------------


def spoiled(path: Path, how: str) -> Path:
    """Break one rule of RFC-9."""
    content, comment = unpacked(path), zipfile.ZipFile(path).comment
    options: dict[str, Any] = {}
    if how == "order":
        content = {**{name: content[name] for name in list(content)[1:]}, "zarr.json": content["zarr.json"]}
        comment = b'{"ome": {"version": "0.5"}}'
    elif how == "order that is promised":
        content = {**{name: content[name] for name in list(content)[1:]}, "zarr.json": content["zarr.json"]}
    elif how == "depth":
        documents = sorted(
            (name for name in content if name.endswith("zarr.json")), key=lambda n: (n != "zarr.json", n)
        )
        content = {**{name: content[name] for name in documents}, **content}
        comment = b'{"ome": {"version": "0.5"}}'
    elif how == "no comment":
        comment = b""
    elif how == "a comment that is a text":
        comment = b"made by me"
    elif how == "a comment without a version":
        comment = b'{"ome": []}'
    elif how == "another version":
        comment = b'{"ome": {"version": "0.6"}}'
    elif how == "compressed":
        options = {"compression": zipfile.ZIP_DEFLATED}
    elif how == "a file in the file":
        content["old.ozx"] = b"PK"
    elif how == "name":
        path = path.with_suffix(".zip")
    elif how == "a name with a query":
        path = path.with_name("a?b.ozx")
    elif how == "names that leave":
        content |= {"../a.txt": b"a", "/b.txt": b"b", "c\\d.txt": b"d"}
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, data in content.items():
            with file.open(zipfile.ZipInfo(name) if not options else name, "w", force_zip64=how != "small") as entry:
                entry.write(data)
        if how == "a name twice":
            with pytest.warns(UserWarning, match="Duplicate"), file.open("0/zarr.json", "w", force_zip64=True) as entry:
                entry.write(content["0/zarr.json"])
            comment = b'{"ome": {"version": "0.5"}}'
        file.comment = comment
    return path


SPOILED: dict[str, list[tuple[str, str]]] = {
    "nothing": [],
    "order": [("120", "warning")],
    "depth": [("120", "warning")],
    "order that is promised": [("120", "warning"), ("121", "error")],
    "no comment": [("121", "warning")],
    "a comment that is a text": [("121", "warning")],
    "a comment without a version": [("121", "warning")],
    "another version": [("121", "error")],
    "compressed": [("122", "warning")],
    "small": [("123", "warning")],
    "a file in the file": [("125", "error")],
    "name": [("126", "warning")],
    "a name with a query": [],
    "names that leave": [("127", "error")] * 3,
    "a name twice": [("127", "warning")],
}
"""What breaks which rules, and how badly."""


@pytest.mark.parametrize(("how", "rules"), SPOILED.items())
def test_each_rule_is_told_of_the_file_that_breaks_it(tmp_path: Path, how: str, rules: list[tuple[str, str]]) -> None:
    report = xomezarr.validate(spoiled(with_labels(tmp_path / "a.ozx"), how))
    assert [(finding.rule, finding.severity) for finding in report] == rules
    assert report.valid == all(severity == "warning" for _, severity in rules)
    assert all(finding.cure for finding in report)


def test_all_rules_of_files_are_broken_here() -> None:
    assert {"124", *(rule for rules in SPOILED.values() for rule, _ in rules)} == OF_FILES


def test_zip_files_of_zarr_v2_are_no_single_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What RFC-9 asks for would not make them one; what is told does."""
    path = broken(tmp_path, "v2").rename(tmp_path / "a.zip")
    (found,) = xomezarr.validate(path)
    assert (found.rule, found.severity) == ("126", "warning")
    assert found.cure.endswith("xomezarr convert a.zip a.ozx")
    monkeypatch.chdir(tmp_path)
    assert main(found.cure.partition("xomezarr ")[2].split()) == 0
    assert xomezarr.validate(tmp_path / "a.ozx", strict=True).valid


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zip_files_that_zarr_writes_for_us_are_valid(tmp_path: Path) -> None:
    with zarr.storage.ZipStore(tmp_path / "a.zip", mode="w") as store:
        image().omezarr.to_zarr(store, version="0.5")
    assert xomezarr.validate(tmp_path / "a.zip").valid
    assert xr.open_dataarray(tmp_path / "a.zip", engine="omezarr").equals(image())


def test_many_chunks_without_shards_are_told(tmp_path: Path) -> None:
    image().omezarr.to_zarr(tmp_path / "a.ozx", chunks=(1, 6, 7), shards=(1, 6, 7), levels=2)
    (found,) = xomezarr.validate(tmp_path / "a.ozx")
    assert (found.rule, found.severity, found.location) == ("124", "warning", "0")
    assert "200 chunks" in found.message
    assert not xomezarr.validate(tmp_path / "a.ozx", strict=True).valid


# --- other libraries -------------------------------------------------------------------------------------------------


@pytest.mark.peers
@pytest.mark.xdist_group("peers")
def test_other_libraries_read_our_files_and_we_theirs(tmp_path: Path) -> None:
    tree = image().omezarr.to_zarr(tmp_path / "a.ozx", chunks=(1, 16, 16), levels=2)
    script = SCRIPTS / "single_file.py"
    files = [str(tmp_path / name) for name in ("a.ozx", "theirs.ozx")]
    command = [uv(), "run", "--no-project", "--python", sys.executable, "--script", str(script), *files]
    environment = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "PYTHONPATH", "UV_RESOLUTION"}}
    answer = subprocess.run(
        command, capture_output=True, text=True, timeout=TIME_LIMIT, env=environment, stdin=subprocess.DEVNULL
    )
    assert answer.returncode == 0, answer.stderr[-6000:]
    told = json.loads(answer.stdout)
    levels = [level.values.tolist() for level in tree.omezarr.levels]
    assert told["levels"] == dict.fromkeys(("zarr", "ngff-zarr", "tensorstore"), levels)
    assert (told["scale"]["y"], told["scale"]["x"]) == (0.5, 0.25)
    with xr.open_datatree(tmp_path / "theirs.ozx") as theirs:
        found = theirs.omezarr.level(0)
        np.testing.assert_array_equal(found, PIXELS)
        np.testing.assert_array_equal(found["x"], image()["x"])
    assert xomezarr.validate(tmp_path / "theirs.ozx").valid
