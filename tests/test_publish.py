"""C8: a local store is replaced whole whenever its writer is killed; elsewhere it says that it is incomplete."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore, ZipStore

import xomezarr
from xomezarr import stage
from xomezarr.cli import main
from xomezarr.errors import (
    IncompleteStoreError,
    NotOmeZarrError,
    OmeZarrError,
    StoreExistsError,
    StoreNotFoundError,
)
from xomezarr.store import open_group, publish

FORMATS = {"0.4": 2, "0.5": 3}


def image(value: int = 0, size: int = 16) -> Any:
    return xr.DataArray(np.full((size, size), value, "u2"), dims=("y", "x"), name="cells")


def write(store: Any, value: int, **options: Any) -> None:
    image(value).omezarr.to_zarr(store, **{"levels": 1, "mode": "w", **options})


def read(store: Any) -> Any:
    return xr.open_dataarray(store, engine="omezarr").values


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files, by their paths, but for the lock that a killed process had: the next one takes it."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not stage.is_lock(path.name)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def hidden(folder: Path) -> list[str]:
    """Return the purposes of the hidden folders."""
    return sorted(name.rpartition(".")[2] for name in names(folder) if name.startswith("."))


@pytest.fixture(params=["exchange", "renames"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether names can be exchanged in one step."""
    if request.param == "renames":
        monkeypatch.setattr(stage, "_exchange", lambda one, other: False)
    elif sys.platform not in ("linux", "darwin"):
        pytest.skip("this system exchanges no names")
    return str(request.param)


def ended_process() -> int:
    """Return the number of a process that is over."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def left_by(pid: int, target: Path, purpose: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the hidden folder that another process of this machine would have made."""
    started = stage._started(pid)
    with monkeypatch.context() as patched:
        patched.setattr(os, "getpid", lambda: pid)
        patched.setattr(stage, "_started", lambda pid: started)
        return stage.beside(target, purpose)


# --- killed at every moment ----------------------------------------------------------------------------------

KILLED = """
import importlib, os, shutil, signal, sys, traceback
from contextlib import suppress
from pathlib import Path
import numpy as np, xarray as xr, xomezarr
from xomezarr import stage

work, way, mode, version = Path(sys.argv[1]), *sys.argv[2:]
CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir"}
WRITING, PUBLISHING = 0, 1
phase, left = None, 0  # changes to come in this phase before the process is killed

def step(at):
    global left
    if at == phase:
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

now = WRITING

def about_to_change(event, about):
    if event in CHANGES or (event == "open" and isinstance(about[2], int) and about[2] & (os.O_WRONLY | os.O_RDWR)):
        step(now)

def stepping_exchange(one, other):
    if way == "renames":
        return False
    step(now)
    done = exchange(one, other)
    step(now)
    return done

def halting_write(file, data):
    half = write(file, data[: len(data) // 2 or 1])
    step(now)
    return half

def publishing(put):
    # from here on one thread makes all changes, so that each moment comes in the same place
    def begun(*args):
        global now
        now = PUBLISHING
        if phase == WRITING:
            os._exit(0)
        done = put(*args)
        step(now)
        return done
    return begun

def attempt(store):
    pixels = xr.DataArray(np.full((16, 16), 2, "u2"), dims=("y", "x"), name="cells")
    pixels.omezarr.to_zarr(store, levels=1, mode=mode, version=version)

def in_a_fork(act):
    child = os.fork()
    if child == 0:
        try:
            act()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def warm_up():
    attempt(work / "warm.zarr")
    (work / "modules").write_text(" ".join(sys.modules))

if in_a_fork(warm_up):
    sys.exit(1)
for name in (work / "modules").read_text().split():  # each fork would import them anew
    with suppress(Exception):
        importlib.import_module(name)
exchange, write = stage._exchange, os.write
stage._exchange, os.write = stepping_exchange, halting_write
stage.create, stage.replace, stage.remove = map(publishing, (stage.create, stage.replace, stage.remove))
sys.addaudithook(about_to_change)
moment = 0
for stop_in in (WRITING, PUBLISHING):
    count = 0
    while True:
        folder = work / "killed" / f"{moment:03}"
        folder.mkdir(parents=True)
        if mode == "w":
            shutil.copytree(work / "old.zarr", folder / "a.zarr")

        def killed():
            global phase, left
            phase, left = stop_in, count
            attempt(folder / "a.zarr")

        status = in_a_fork(killed)
        if status != -signal.SIGKILL:
            shutil.rmtree(folder)
            break
        count, moment = count + 1, moment + 1
    if status:
        sys.exit(status)
"""


@pytest.mark.sweep(2)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the writers are forks")
@pytest.mark.parametrize(
    ("way", "mode", "version"),
    [("exchange", "w", "0.4"), ("renames", "w", "0.4"), ("renames", "w", "0.5"), ("renames", "w-", "0.5")],
    indirect=["way"],
)
def test_c8_killed_at_any_moment_the_old_store_or_the_new_one_is_whole(
    tmp_path: Path, way: str, mode: str, version: str
) -> None:
    """A process is killed before the first change of a file or folder, another before the second, and so on."""
    write(tmp_path / "old.zarr", 1, version=version)
    write(tmp_path / "new.zarr", 2, version=version, name="cells")
    command = [sys.executable, "-c", KILLED, str(tmp_path), way, mode, version]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    old, new = contents(tmp_path / "old.zarr"), contents(tmp_path / "new.zarr")
    states, left, missing = [], set(), 0
    for folder in sorted((tmp_path / "killed").iterdir()):
        store = folder / "a.zarr"
        left.update(hidden(folder))
        missing += not store.exists()
        if mode == "w-" and not store.exists():
            with pytest.raises(StoreNotFoundError, match="nothing at" if hidden(folder) else "check the path"):
                read(store)
            states.append("none")
        else:
            assert (read(store) == 1).all() or (read(store) == 2).all()
            assert contents(store) in (old, new)
            states.append("old" if contents(store) == old else "new")
        write(store, 3, version=version)
        assert (read(store) == 3).all()
        assert names(folder) == ["a.zarr"], "the next write removes what is left"
    before = "none" if mode == "w-" else "old"
    turn = states.index("new")
    assert states == [before] * turn + ["new"] * (len(states) - turn)
    assert turn > 5
    if mode == "w":
        assert len(states) - turn > 5, "also while the old store is being deleted"
        assert missing == (way == "renames"), "between the two renames"
        assert left == ({"partial", "swap", "old", "new"} if way == "renames" else {"partial", "swap"})


# --- between two renames -------------------------------------------------------------------------------------


class Stopped(BaseException):
    """As if the process were killed: nothing that it would still do happens."""


def cut_off(store: Path, monkeypatch: pytest.MonkeyPatch, value: int = 2) -> None:
    """Replace a store, and stop between the two renames."""
    rename = Path.rename

    def stop(self: Path, target: Path) -> Path:
        if stopping and not store.exists():
            raise Stopped
        return rename(self, target)

    stopping = True
    with monkeypatch.context() as patched:
        patched.setattr(stage, "_exchange", lambda one, other: False)
        patched.setattr(Path, "rename", stop)
        patched.setattr(stage.Stage, "abandon", lambda self: None)
        with pytest.raises(Stopped):
            write(store, value)
    assert not store.exists()
    assert hidden(store.parent) == ["new", "old"]


@pytest.mark.parametrize("how", ["image", "group", "link", "plan", "w-"])
def test_c8_whoever_comes_next_puts_the_new_store_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    store = tmp_path / "a.zarr"
    write(store, 1)
    cut_off(store, monkeypatch)
    if how == "image":
        assert (read(store) == 2).all()
    elif how == "group":  # the store is above what is asked for
        assert open_group(store).store_path is not None
        with pytest.raises(StoreNotFoundError):
            open_group(store, group="labels")
    elif how == "link":
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere/link.zarr").symlink_to(store)
        assert (read(tmp_path / "elsewhere/link.zarr") == 2).all()
    elif how == "plan":
        assert image().omezarr.plan(store, mode="w")
    else:
        with pytest.raises(StoreExistsError, match="exists already"):
            write(store, 3, mode="w-")
    assert (read(store) == 2).all()
    assert hidden(tmp_path) == ["old"]


def test_c8_a_place_inside_a_store_is_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store may lie in another: a well in a plate."""
    store = tmp_path / "a.zarr"
    write(store, 1)
    cut_off(store, monkeypatch)
    with pytest.raises(NotOmeZarrError):  # an array, which is found
        open_group(store / "0")
    assert store.exists()


def test_c8_the_writer_and_a_reader_do_the_same_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader comes while the writer, who is alive, is between its renames: neither fails."""
    store = tmp_path / "a.zarr"
    write(store, 1)
    rename, seen = Path.rename, []

    def read_first(self: Path, target: Path) -> Path:
        if target == store and self.name.endswith(".new") and not seen:
            seen.append(False)
            seen.append((read(store) == 2).all())
        return rename(self, target)

    monkeypatch.setattr(stage, "_exchange", lambda one, other: False)
    monkeypatch.setattr(Path, "rename", read_first)
    write(store, 2)
    assert seen == [False, True]
    assert (read(store) == 2).all()
    assert names(tmp_path) == ["a.zarr"]


def test_c8_the_writer_may_be_faster_than_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader has seen the gap, and finds it closed."""
    store = tmp_path / "a.zarr"
    write(store, 1)
    cut_off(store, monkeypatch)
    rename = Path.rename

    def after_another(self: Path, target: Path) -> Path:
        if target == store:
            rename(self, target)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", after_another)
    assert (read(store) == 2).all()


def test_c8_a_writer_whose_folder_a_reader_put_in_place_does_not_take_it_for_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another writer is faster, and a reader still holds the names of the first try."""
    store = tmp_path / "a.zarr"
    write(store, 1)
    rename, tries, stale = Path.rename, [], []

    def overtaken(self: Path, target: Path) -> Path:
        if target == store and self.name.endswith(".new"):
            tries.append(self)
            if len(tries) == 1:
                stale.append(self)
                write_elsewhere()
        if len(tries) == 1 and self == store:  # the second try begins: a reader acts on what it has listed before
            assert not stale[0].exists()
        return rename(self, target)

    def write_elsewhere() -> None:
        rename(made, store)

    made = tmp_path / "made"
    write(made, 5)
    monkeypatch.setattr(stage, "_exchange", lambda one, other: False)
    monkeypatch.setattr(Path, "rename", overtaken)
    write(store, 2)
    assert len(tries) == 2
    assert (read(store) == 2).all()
    assert names(tmp_path) == ["a.zarr"]


def _open(store: str, ready: Any, answers: Any) -> None:
    ready.wait()
    try:
        answers.put(int(read(store).max()))
    except BaseException as error:
        answers.put(repr(error))


def test_c8_readers_that_come_at_once_all_find_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stores = [tmp_path / f"{number}/a.zarr" for number in range(20)]
    for store in stores:
        write(store, 1)
        cut_off(store, monkeypatch)
    ready, found = threading.Barrier(3), []

    def readers() -> None:
        for store in stores:
            ready.wait()
            try:
                found.append(int(read(store).max()))
            except BaseException as error:
                found.append(repr(error))

    threads = [threading.Thread(target=readers) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [2] * 60


def test_c8_two_processes_that_open_at_once_both_find_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "a.zarr"
    write(store, 1)
    cut_off(store, monkeypatch)
    context = multiprocessing.get_context("spawn")
    ready, answers = context.Barrier(2), context.Queue()
    readers = [context.Process(target=_open, args=(str(store), ready, answers)) for _ in range(2)]
    for reader in readers:
        reader.start()
    assert [answers.get(timeout=60) for _ in readers] == [2, 2]
    for reader in readers:
        reader.join()


@pytest.mark.parametrize("code", ["EROFS", "EACCES"])
def test_c8_where_nothing_can_be_renamed_the_error_says_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    import errno

    store = tmp_path / "a.zarr"
    write(store, 1)
    cut_off(store, monkeypatch)
    old, new = sorted(tmp_path.glob(".a.zarr.*"), key=lambda path: path.suffix, reverse=True)

    def refuse(self: Path, target: Path) -> Path:
        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", refuse)
        for attempt in (lambda: read(store), lambda: write(store, 3)):
            with pytest.raises(FileNotFoundError) as caught:
                attempt()
            assert isinstance(caught.value, OmeZarrError)
            assert str(old) in str(caught.value)
            assert f"os.rename({str(new)!r}, {str(store)!r})" in str(caught.value)
    new.rename(store)
    assert (read(store) == 2).all()


def test_c8_opening_lists_no_folder_unless_the_store_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "a.zarr"
    write(store, 1)
    listed: list[Any] = []
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path=".": listed.append(path) or real(path))
    read(store)
    assert tmp_path not in listed
    with pytest.raises(StoreNotFoundError):
        read(tmp_path / "b.zarr")
    assert tmp_path in listed


def test_c8_a_store_does_not_take_what_belongs_to_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``a`` and ``a.zarr``, whose hidden folders begin alike."""
    write(tmp_path / "a.zarr", 1)
    cut_off(tmp_path / "a.zarr", monkeypatch)
    with pytest.raises(StoreNotFoundError, match="check the path"):
        read(tmp_path / "a")
    write(tmp_path / "a", 3)
    assert (read(tmp_path / "a.zarr") == 2).all()


# --- several writers -----------------------------------------------------------------------------------------


def _write_often(store: str, value: int, way: str, ready: Any, answers: Any) -> None:
    if way == "renames":
        stage._exchange = lambda one, other: False  # type: ignore[assignment]
    told = []
    for _ in range(15):
        ready.wait()
        try:
            write(store, value)
        except BaseException as error:
            told.append(repr(error))
    answers.put(told)


def test_c8_of_two_processes_that_replace_a_store_both_succeed(tmp_path: Path, way: str) -> None:
    store = tmp_path / "a.zarr"
    write(store, 1)
    context = multiprocessing.get_context("spawn")
    ready, answers = context.Barrier(2), context.Queue()
    writers = [context.Process(target=_write_often, args=(str(store), value, way, ready, answers)) for value in (2, 3)]
    for writer in writers:
        writer.start()
    assert [answers.get(timeout=120) for _ in writers] == [[], []]
    for writer in writers:
        writer.join()
    assert len(set(read(store).ravel())) == 1
    assert read(store)[0, 0] in (2, 3)
    assert names(tmp_path) == ["a.zarr"]


@pytest.mark.parametrize("what", ["file", "folder", "link", "link to a store"])
@pytest.mark.parametrize("late", [False, True], ids=["while it is written", "while it is put in place"])
def test_c8_what_appears_meanwhile_and_is_no_store_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, what: str, late: bool
) -> None:
    store, other = tmp_path / "a.zarr", tmp_path / "other"
    write(other / "b.zarr", 1)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis").write_text("years")
    appeared = {
        "file": lambda: store.write_text("years"),
        "folder": lambda: (tmp_path / "work").rename(store),
        "link": lambda: store.symlink_to(other),
        "link to a store": lambda: store.symlink_to(other / "b.zarr"),
    }
    real, seen = stage._exchange, []

    def appear(*_: Any) -> None:
        if not seen:
            seen.append(appeared[what]())

    def exchange(one: Path, two: Path) -> bool:
        appear()
        return real(one, two)

    options = {}
    if late:
        monkeypatch.setattr(stage, "_exchange", exchange)
    else:
        options["progress"] = appear
    with pytest.raises(StoreExistsError, match=r"appeared at '.*a\.zarr' meanwhile; it is not replaced: give another"):
        write(store, 2, **options)
    assert [name for name in names(tmp_path) if name != "work"] == ["a.zarr", "other"]
    assert store.is_symlink() == ("link" in what)
    assert what != "file" or store.read_text() == "years"
    assert what != "folder" or contents(store) == {"thesis": b"years"}
    assert (read(other / "b.zarr") == 1).all()


def test_c8_what_cannot_be_put_back_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its two names a third writer takes the place."""
    store = tmp_path / "a.zarr"
    rename, seen = Path.rename, list[Any]()

    def and_another(self: Path, target: Path) -> Path:
        moved = rename(self, target)
        if self == store and len(seen) == 1:
            seen.append("another")
            write(store, 3)
        return moved

    def appear(one: Path, two: Path) -> bool:
        if not seen:
            seen.append(store.write_text("years"))
        return False

    monkeypatch.setattr(stage, "_exchange", appear)
    monkeypatch.setattr(Path, "rename", and_another)
    with pytest.raises(StoreExistsError, match=r"appeared at .* and is at '.*kept' now") as told:
        write(store, 2)
    assert Path(str(told.value).split("'")[-2]).read_text() == "years"
    assert (read(store) == 3).all()
    assert hidden(tmp_path) == ["kept"]


def test_the_exchange_of_names_is_one_step(tmp_path: Path) -> None:
    if stage._exchange_call() is None:
        pytest.skip("this system exchanges no names")
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
    if not stage._exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this file system exchanges no names")
    assert (tmp_path / "a/b").read_text() == "b"
    assert (tmp_path / "b/a").read_text() == "a"
    assert not stage._exchange(tmp_path / "a", tmp_path / "missing")
    assert names(tmp_path) == ["a", "b"]


# --- leftovers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("purpose", ["partial", "old", "new"])
def test_c8_leftovers_of_dead_processes_are_removed_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, purpose: str
) -> None:
    store = tmp_path / "a.zarr"
    write(store, 1)
    dead = left_by(ended_process(), store, purpose, monkeypatch)
    of_parent = left_by(os.getppid(), store, purpose, monkeypatch)
    mine = stage.beside(store, purpose)
    with monkeypatch.context() as patched:
        patched.setattr(stage, "_host", lambda: "0123abcd")
        elsewhere = stage.beside(store, purpose)
    with monkeypatch.context() as patched:  # a process that had the number of one that is alive
        patched.setattr(stage, "_started", lambda pid: "0123abcd")
        earlier = stage.beside(store, purpose)
    stranger = tmp_path / f".a.zarr.notes.{purpose}"
    for folder in (dead, of_parent, mine, elsewhere, earlier, stranger):
        folder.mkdir()
        (folder / "chunk").write_text("")
    write(store, 2)
    assert {path for path in tmp_path.iterdir() if path != store} == {of_parent, mine, elsewhere, stranger}


def test_c8_a_live_writer_keeps_its_folder_while_another_writes(tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    code = "import sys; from test_publish import write; write(sys.argv[1], 1)"
    with publish(store, zarr_format=3, mode="w") as group:
        command = [sys.executable, "-c", code, str(store)]
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert (read(store) == 1).all()
        assert hidden(tmp_path) == ["partial"]
        group.attrs["mine"] = True
    assert open_group(store).attrs["mine"]
    assert names(tmp_path) == ["a.zarr"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no zombies")
def test_c8_a_process_that_nobody_has_waited_for_is_dead() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = stage._started(process.pid)
    assert stage._runs(process.pid, started)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not stage._runs(process.pid, started)
    process.communicate()
    assert not stage._runs(process.pid, started)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no ps")
def test_c8_processes_are_told_apart_without_proc_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(self: Path, *args: Any, **options: Any) -> str:
        raise FileNotFoundError

    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    monkeypatch.setattr(Path, "read_text", nothing)
    started = stage._started(process.pid)
    assert started != stage.UNKNOWN
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert stage._runs(process.pid, started)
    assert not stage._runs(process.pid, "0123abcd")
    process.communicate(b"\n")
    assert not stage._runs(process.pid, started)


def test_c8_a_missing_store_tells_of_its_unfinished_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "a.zarr"
    dead = left_by(ended_process(), store, "partial", monkeypatch)
    dead.mkdir()
    with pytest.raises(StoreNotFoundError, match=r"stopped; the next write of the store removes it") as caught:
        read(store)
    assert str(dead) in str(caught.value)
    with publish(store, zarr_format=2, mode="w-") as group:
        with pytest.raises(StoreNotFoundError, match="still under way"):
            read(store)
        with pytest.raises(IncompleteStoreError, match=r"partial.* is incomplete"):
            read(Path(group.store.root))  # type: ignore[attr-defined]
    assert names(tmp_path) == ["a.zarr"]


# --- the mark ------------------------------------------------------------------------------------------------


class InterruptedWriteError(Exception):
    """What the user's own progress raises to stop a write."""


def interrupt(written: int) -> None:
    raise InterruptedWriteError


@pytest.mark.parametrize("version", FORMATS)
@pytest.mark.parametrize("before", [None, "0.4", "0.5", "array"])
@pytest.mark.parametrize("place", ["memory", "fsspec"])
def test_c8_an_interrupted_write_in_place_is_named(version: str, before: str | None, place: str) -> None:
    store: Any = MemoryStore() if place == "memory" else f"memory://interrupted-{version}-{before}.zarr"
    if before == "array":
        zarr.create_array(store, shape=(2,), dtype="u1", zarr_format=3)
    elif before is not None:
        write(store, 1, version=before, levels=3)
        zarr.open_group(store, mode="r+", use_consolidated=False).attrs["owner"] = "before"
    with pytest.raises(InterruptedWriteError):
        image(2).omezarr.to_zarr(store, mode="w", version=version, levels=2, progress=interrupt)
    for attempt in (
        lambda: read(store),
        lambda: xr.open_datatree(store, engine="omezarr"),
        lambda: xomezarr.validate(store),
    ):
        with pytest.raises(IncompleteStoreError, match=r'interrupted.* mode="w"'):
            attempt()
    with pytest.raises(StoreExistsError, match=r'is an unfinished write, begun at .* mode="w"'):
        write(store, 3, mode="w-")
    write(store, 3, version=version, levels=2)
    assert (read(store) == 3).all()
    assert xomezarr.validate(store).valid
    group = zarr.open_group(store, mode="r", use_consolidated=False)
    assert "incomplete" not in json.dumps(group.attrs.asdict())
    assert "owner" not in group.attrs
    assert group.metadata.zarr_format == FORMATS[version]
    assert set(group.array_keys()) == {"0", "1"}
    with pytest.raises(StoreExistsError, match="exists already"):
        write(store, 4, mode="w-")


@pytest.mark.filterwarnings("ignore:Both zarr.json")  # for a moment, both bearing the mark
@pytest.mark.parametrize("version", FORMATS)
@pytest.mark.parametrize("before", FORMATS)
def test_c8_at_every_moment_a_store_in_place_is_whole_or_incomplete(before: str, version: str) -> None:
    """What the store holds before each object is written or deleted."""
    moments: list[dict[str, Any]] = []

    class Watched(MemoryStore):
        async def set(self, key: str, value: Any, byte_range: Any = None) -> None:
            moments.append(dict(self._store_dict))
            await super().set(key, value, byte_range)

        async def delete(self, key: str) -> None:
            moments.append(dict(self._store_dict))
            await super().delete(key)

        def set_sync(self, key: str, value: Any) -> None:
            moments.append(dict(self._store_dict))
            super().set_sync(key, value)

        def delete_sync(self, key: str) -> None:
            moments.append(dict(self._store_dict))
            super().delete_sync(key)

    store = Watched()
    write(store, 1, version=before, levels=2)
    moments.clear()
    write(store, 2, version=version, levels=2)
    states = []
    for left in [*moments, dict(store._store_dict)]:
        kept = MemoryStore(left)
        try:
            (value,) = set(read(kept).ravel().tolist())
            assert xomezarr.validate(kept).valid
            states.append(f"whole {value}")
        except IncompleteStoreError:
            states.append("incomplete")
        kept = MemoryStore(dict(left))
        write(kept, 3, version=version)  # whatever is there, it can be written again
        assert (read(kept) == 3).all()
    assert sorted(set(states), key=states.index) == ["whole 1", "incomplete", "whole 2"]
    turns = sum(one != other for one, other in pairwise(states))
    assert turns == 2


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("version", FORMATS)
def test_c8_an_interrupted_zip_file_is_named(tmp_path: Path, version: str) -> None:
    store = ZipStore(tmp_path / "a.zip", mode="w")
    with pytest.raises(InterruptedWriteError):
        image(2).omezarr.to_zarr(store, version=version, progress=interrupt)
    with pytest.raises(StoreExistsError, match="give a new file"):
        write(store, 2, version=version)
    store.close()
    with pytest.raises(IncompleteStoreError, match="to a new file"):
        read(ZipStore(tmp_path / "a.zip"))


class InPlaceStore(zarr.storage.LocalStore):
    """A folder that is written in place: of another class than zarr's own, which stands for its path."""


def test_c8_the_command_line_names_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = InPlaceStore(tmp_path / "a.zarr")
    with pytest.raises(InterruptedWriteError):
        image(2).omezarr.to_zarr(store, progress=interrupt)
    store, new = str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr")
    for command in (["info", store], ["validate", store], ["convert", store, new], ["scale", store, new]):
        assert main(command) == 1
        assert "is incomplete" in capsys.readouterr().err
    assert not Path(new).exists()


def test_c8_no_mark_stays_and_other_attributes_of_its_name_are_none() -> None:
    store = MemoryStore()
    write(store, 1, version="0.5")
    assert "incomplete" not in json.dumps(open_group(store).attrs.asdict())
    zarr.create_group(store, overwrite=True, attributes={"xomezarr": "incomplete"})
    with pytest.raises(NotOmeZarrError, match="no OME-Zarr metadata"):
        read(store)


# --- writing into the folder ---------------------------------------------------------------------------------


def buffer(content: bytes) -> Any:
    return default_buffer_prototype().buffer.from_bytes(content)


@pytest.fixture
def folder(tmp_path: Path) -> stage.Stage:
    (tmp_path / "making").mkdir()
    return stage.Stage(tmp_path / "making")


def test_a_stage_writes_each_file_once_and_whole(folder: stage.Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    some = os.write
    monkeypatch.setattr(os, "write", lambda file, data: some(file, data[:3]))  # as little as a system may write
    for content in (b"a longer content", b"short", b""):
        folder.set_sync("0/c/1/2", buffer(content))
        zarr.core.sync.sync(folder.set("0/c/1/3", buffer(content)))
        assert (folder.root / "0/c/1/2").read_bytes() == (folder.root / "0/c/1/3").read_bytes() == content
    assert names(folder.root / "0/c/1") == ["2", "3"]


def test_a_worker_that_is_lost_late_leaves_what_another_has_written_for_it(
    folder: stage.Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, some = b"the same pixels", os.write
    folder.set_sync("0/c/1", buffer(content))

    def lost(file: int, data: Any) -> int:
        if len(data) < len(content):
            raise OSError("lost")
        return some(file, data[:3])

    monkeypatch.setattr(os, "write", lost)
    with pytest.raises(OSError, match="lost"):
        folder.set_sync("0/c/1", buffer(content))
    assert (folder.root / "0/c/1").read_bytes() == content


def test_a_stage_makes_a_folder_again_that_was_deleted(folder: stage.Stage) -> None:
    import shutil

    for _ in range(2):
        folder.set_sync("0/0/0", buffer(b"pixels"))
        assert (folder.root / "0/0/0").read_bytes() == b"pixels"
        shutil.rmtree(folder.root / "0")


def test_a_stage_takes_writes_of_many_threads(folder: stage.Stage) -> None:
    ready = threading.Barrier(8)

    def fill(number: int) -> None:
        for chunk in range(50):
            ready.wait()  # all of them meet a folder that is not there yet
            folder.set_sync(f"0/{chunk}/{number}", buffer(b"%d" % number))

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(contents(folder.root)) == 400


def test_an_abandoned_stage_takes_nothing_and_stays_away(folder: stage.Stage) -> None:
    other = pickle.loads(pickle.dumps(folder))
    other.set_sync("0", buffer(b"of another process"))
    assert (folder.root / "0").read_bytes() == b"of another process"
    folder.abandon()
    with pytest.raises(ValueError, match="read-only"):
        folder.set_sync("0", buffer(b""))
    for key in ("0", "1/0"):  # a process that does not know
        with pytest.raises(FileNotFoundError):
            other.set_sync(key, buffer(b""))
    assert not folder.root.exists()


def test_c8_a_writer_of_another_process_does_not_bring_an_abandoned_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = stage.Stage(stage.beside(tmp_path / "a.zarr", "partial"))
    driver.root.mkdir()
    worker = pickle.loads(pickle.dumps(driver))
    content = default_buffer_prototype().buffer.from_bytes(b"x")
    real, told = Path.mkdir, []

    def abandoned_meanwhile(self: Path, *arguments: Any, **options: Any) -> None:
        if not told:
            told.append(self)
            driver.abandon()
        real(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", abandoned_meanwhile)
    for key in ("0/c/0/0", "0/c/0/1"):
        with pytest.raises(FileNotFoundError):
            worker.set_sync(key, content)
    assert told
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.open not in os.supports_dir_fd, reason="a folder is to be known by a number")
def test_what_others_make_in_a_folder_that_is_removed_goes_with_it(tmp_path: Path) -> None:
    """Who has looked up a store makes its lock in it, wherever that is by then."""
    old = tmp_path / "old"
    old.mkdir()
    for index in range(500):  # which take a while
        (old / f"{index}").touch()
    number, begun, last = os.open(old, os.O_RDONLY), threading.Event(), time.monotonic() + 0.3

    def make() -> None:
        with suppress(FileNotFoundError):
            while time.monotonic() < last:
                os.close(os.open(f"{stage.LOCK}.{time.monotonic_ns()}", os.O_WRONLY | os.O_CREAT, dir_fd=number))
                begun.set()

    with ThreadPoolExecutor(1) as pool:
        end = pool.submit(make)
        assert begun.wait(10)
        stage.remove(old)
        end.result()
    os.close(number)
    assert not old.exists()
