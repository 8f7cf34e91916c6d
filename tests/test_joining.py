"""Labels and fields that join others: whatever operation fails, what is named is whole, and nothing else is lost."""

from __future__ import annotations

import asyncio
import errno
import importlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.storage import LocalStore, MemoryStore, StorePath

import xomezarr
from xomezarr import errors, spec, stage
from xomezarr.errors import OmeZarrError, OmeZarrWarning
from xomezarr.store import withhold

upgrading = importlib.import_module("xomezarr.upgrade")

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata")


def pixels(add: int = 0, dtype: str = "uint16") -> xr.DataArray:
    return xr.DataArray(np.arange(96, dtype=dtype).reshape(8, 12) % 7 + add, dims=("y", "x"), name="cells")


def refusing(monkeypatch: pytest.MonkeyPatch, refuses: Callable[[str], bool]) -> list[str]:
    """Let nothing be written to files, outside of what is still being built, that are refused; return which were."""
    put, put_at_once, refused = LocalStore.set, LocalStore.set_sync, []

    def check(inside: str) -> None:
        if ".partial" not in inside and refuses(inside):
            refused.append(inside)
            raise PermissionError(13, "read-only file system", inside)

    async def refuse(self: LocalStore, key: str, value: Any) -> None:
        check(f"{self.root}/{key}")
        await put(self, key, value)

    def refuse_at_once(self: LocalStore, key: str, value: Any) -> None:
        check(f"{self.root}/{key}")
        put_at_once(self, key, value)

    monkeypatch.setattr(LocalStore, "set", refuse)
    monkeypatch.setattr(LocalStore, "set_sync", refuse_at_once)
    return refused


class Failing(MemoryStore):
    """Fails at the change of a number, once, or from that one on."""

    left = -1
    lasting = False

    def step(self) -> None:
        self.left -= self.left >= 0
        if self.left == 0:
            self.left = 1 if self.lasting else -1
            raise ConnectionError("the server is gone")

    def set_sync(self, key: str, value: Any) -> None:
        self.step()
        super().set_sync(key, value)

    async def set(self, key: str, value: Any, byte_range: Any = None) -> None:
        self.step()
        await super().set(key, value, byte_range)

    async def delete(self, key: str) -> None:
        self.step()
        await super().delete(key)

    async def delete_dir(self, prefix: str) -> None:
        self.step()
        await super().delete_dir(prefix)


def labels_joining(root: Any, add: int, **options: Any) -> Any:
    return pixels(add).omezarr.to_labels(root, "nuclei", **options)


def field_joining(root: Any, add: int, **options: Any) -> Any:
    return pixels(add).omezarr.to_plate(root, row="A", column=1, field=1, levels=1, **options)


def new_labels(root: Any, version: str) -> None:
    pixels().omezarr.to_zarr(root, version=version, levels=2, labels={"cytoplasm": pixels(1)})


def new_plate(root: Any, version: str) -> None:
    xomezarr.write_plate({("A", 1): [pixels(1)]}, root, version=version, levels=1)


def lone_plate(root: Any, version: str) -> None:
    xomezarr.write_plate({("A", 1): {1: pixels(9)}}, root, version=version, levels=1, name="mine", rows="AB")


def labels_of(root: Any, gathered: bool) -> dict[str, Any]:
    """Return the pixels of all labels that the image lists."""
    group = zarr.open_group(root, mode="r", use_consolidated=None if gathered else False)
    listed = spec.parse_labels(group["labels"].attrs.asdict())
    return {name: group[f"labels/{name}/0"][...] for name in listed}


def fields_of(root: Any, gathered: bool) -> dict[str, Any]:
    """Return the pixels of all images that the plate and its wells list."""
    group = zarr.open_group(root, mode="r", use_consolidated=None if gathered else False)
    attrs = group.attrs.asdict()
    if "plate" not in spec.kinds(attrs):
        with pytest.raises(errors.IncompleteStoreError):
            xomezarr.open_plate(root)
        return {}
    wells = [well.path for well in spec.parse_plate(attrs).wells]
    assert wells  # 74 (MUST)
    listed = [f"{well}/{field.path}" for well in wells for field in spec.parse_well(group[well].attrs.asdict()).fields]
    return {path: group[f"{path}/0"][...] for path in listed}


KINDS: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any], str]] = {
    "labels": (new_labels, labels_joining, labels_of, "nuclei"),
    "field": (new_plate, field_joining, fields_of, "A/1/1"),
    "only field": (lone_plate, field_joining, fields_of, "A/1/1"),
}


@pytest.mark.sweep(2)
@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("mode", ["w-", "w"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_c8_whatever_change_fails_elsewhere_what_is_named_is_whole(
    version: str, kind: str, mode: str, lasting: bool
) -> None:
    make, join, listed, name = KINDS[kind]
    if kind == "only field" and mode == "w-":
        pytest.skip("there is nothing to replace")
    ended = steps = 0
    while not ended:
        steps += 1
        store = Failing()
        make(store, version)
        if mode == "w" and kind != "only field":
            join(store, 3)
        before = listed(store, gathered=True)
        store.left, store.lasting = steps, lasting
        told = ""
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", OmeZarrWarning)
            try:
                join(store, 5, mode=mode)
                ended = store.left > 0
            except (ConnectionError, OmeZarrError) as error:
                told = str(error)
        store.left, store.lasting = -1, False
        for gathered in (False, True):
            if gathered and (lasting or warned):  # what is gathered cannot be mended while the server is gone
                continue
            try:
                now = listed(store, gathered=gathered)
            except Exception as error:
                raise AssertionError((steps, gathered, told, sorted(store._store_dict))) from error
            # all others are untouched; this one is not there, or whole: the old one or the new one
            assert now.keys() | {name} == before.keys() | {name}, (steps, told)
            for path, found in now.items():
                kept = [before[path]] if path in before else []
                new = [pixels(5).values] if path == name else []
                assert any(np.array_equal(found, one) for one in (*kept, *new)), (steps, path, told)
            assert told or np.array_equal(now[name], pixels(5)), steps
        # it can be done again
        try:
            join(store, 6, mode="w")
        except Exception as error:
            raise AssertionError((steps, told, sorted(store._store_dict))) from error
        assert np.array_equal(listed(store, gathered=True)[name], pixels(6)), steps
        if kind != "labels":
            assert xomezarr.validate(store).valid, (steps, xomezarr.validate(store))
    assert steps > 5


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_c8_a_field_that_cannot_be_named_anew_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, exchange: bool
) -> None:
    store = tmp_path / "plate.ome.zarr"
    new_plate(store, version)
    field_joining(store, 3)
    before = {path.relative_to(store): path.read_bytes() for path in store.rglob("*") if path.is_file()}
    refused = refusing(monkeypatch, lambda inside: "/A/1/" in inside and not refused)
    if not exchange:
        monkeypatch.setattr("xomezarr.stage._exchange", lambda one, other: False)
    with pytest.raises(PermissionError):  # the well has to say of which run it is
        field_joining(store, 5, mode="w", acquisition=1)
    assert refused
    after = {path.relative_to(store): path.read_bytes() for path in store.rglob("*") if path.is_file()}
    assert after == before
    assert not [path.name for path in store.rglob(".*") if path.is_dir()]
    field_joining(store, 5, mode="w", acquisition=1)
    assert np.array_equal(fields_of(store, gathered=False)["A/1/1"], pixels(5))


@pytest.mark.parametrize("mode", ["w-", "w"])
@pytest.mark.parametrize("kind", ["labels", "field"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_c8_what_cannot_be_named_on_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, kind: str, mode: str
) -> None:
    make, join, _, _ = KINDS[kind]
    store = tmp_path / "store.ome.zarr"
    make(store, version)
    if mode == "w":
        join(store, 3)
    before = {path.relative_to(store): path.read_bytes() for path in store.rglob("*") if path.is_file()}
    refusing(monkeypatch, lambda inside: True)
    if mode == "w":
        join(store, 5, mode=mode)  # nothing has to be said
        monkeypatch.undo()
        assert np.array_equal(KINDS[kind][2](store, gathered=False)[KINDS[kind][3]], pixels(5))
        return
    with pytest.raises(PermissionError):
        join(store, 5, mode=mode)
    monkeypatch.undo()
    after = {path.relative_to(store): path.read_bytes() for path in store.rglob("*") if path.is_file()}
    assert after == before
    assert not [path for path in store.rglob("*") if path.is_dir() and not any(path.iterdir())]
    join(store, 5)


def test_gathered_metadata_that_cannot_be_renewed_are_told_and_what_is_written_stays() -> None:
    store = MemoryStore()
    zarr.create_group(store, zarr_format=2)
    new_labels(StorePath(store, "a"), "0.4")
    zarr.consolidate_metadata(store)

    class Forbidding(MemoryStore):
        async def set(self, key: str, value: Any, byte_range: Any = None) -> None:
            if key == ".zmetadata":
                raise PermissionError("not yours")
            await super().set(key, value, byte_range)

        def set_sync(self, key: str, value: Any) -> None:
            if key == ".zmetadata":
                raise PermissionError("not yours")
            super().set_sync(key, value)

    forbidding = Forbidding(store._store_dict)
    with pytest.warns(OmeZarrWarning, match=r"gathered .*not yours.*zarr\.consolidate_metadata"):
        labels_joining(StorePath(forbidding, "a"), 2)
    assert np.array_equal(labels_of(StorePath(store, "a"), gathered=False)["nuclei"], pixels(2))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_gathering_above_takes_no_well_off_a_plate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    store = tmp_path / "plate.ome.zarr"
    xomezarr.write_plate({("A", 1): [pixels()], ("A", 2): [pixels()]}, store, version=version, levels=1)
    zarr.consolidate_metadata(store)
    read, writing = threading.Event(), threading.Event()
    from xomezarr import in_place

    gathering = in_place.consolidate

    def slow(group: zarr.Group, zarr_format: int) -> None:
        if group.path == "" and group.store.root == store.resolve() and not read.is_set():  # type: ignore[attr-defined]
            set_ = LocalStore.set

            async def late(self: LocalStore, key: str, value: Any) -> None:
                if not read.is_set():
                    read.set()
                    await asyncio.to_thread(writing.wait, 3)
                await set_(self, key, value)

            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(LocalStore, "set", late)
                gathering(group, zarr_format)
        else:
            gathering(group, zarr_format)

    monkeypatch.setattr(in_place, "consolidate", slow)
    thread = threading.Thread(target=labels_joining, args=(store / "A" / "1" / "0", 1))
    thread.start()
    assert read.wait(20)
    pixels().omezarr.to_plate(store, row="A", column=3, levels=1)
    writing.set()
    thread.join()
    for gathered in (False, True):
        group = zarr.open_group(store, mode="r", use_consolidated=None if gathered else False)
        wells = [well.path for well in spec.parse_plate(group.attrs.asdict()).wells]
        assert wells == ["A/1", "A/2", "A/3"]
        assert "A/1/0/labels/nuclei/0" in group
        assert "A/3/0/0" in group


WITHOUT_LOCKS = """
import errno, fcntl, os, sys
import numpy as np, xarray as xr
import xomezarr

def refused(file, what):
    raise OSError(errno.ENOSYS, "no locks here")

fcntl.flock = refused
store, children = sys.argv[1], []
for row in "ABCD":
    children.append(os.fork())
    if not children[-1]:
        try:
            for column in range(1, 6):
                da = xr.DataArray(np.full((4, 4), ord(row) + column, "u1"), dims=("y", "x"))
                da.omezarr.to_plate(store, row=row, column=column, levels=1, workers=1)
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(1)
        os._exit(0)
sys.exit(sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_processes_wait_for_each_other_where_the_file_system_has_no_locks(tmp_path: Path) -> None:
    store = tmp_path / "plate.ome.zarr"
    done = subprocess.run([sys.executable, "-c", WITHOUT_LOCKS, str(store)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    tree = xomezarr.open_plate(store, check=True)
    found = {well.path for well in spec.parse_plate(zarr.open_group(store, mode="r").attrs.asdict()).wells}
    assert found == {f"{row}/{column}" for row in "ABCD" for column in range(1, 6)}
    for row in "ABCD":
        assert [int(tree[f"{row}/{column}/0/0"]["image"][0, 0]) - ord(row) for column in range(1, 6)] == [1, 2, 3, 4, 5]
    assert not [path for path in store.iterdir() if "lock" in path.name]
    assert xomezarr.validate(store).valid


@pytest.mark.skipif(sys.platform == "win32", reason="its locks are the system's")
def test_a_lock_by_name_is_taken_from_the_dead_and_not_from_other_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def refused(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refused)
    monkeypatch.setattr(stage, "HELD_TOO_LONG", 0.1)
    child = subprocess.Popen([sys.executable, "-c", ""])
    own = stage.beside(tmp_path / stage.LOCK, "held")
    started, host = own.name.split("-")[2], own.name.split(".")[4].split("-")[0]
    child.wait()
    held = tmp_path / f"{stage.LOCK}.held"
    held.mkdir()
    (held / own.name.replace(f"-{os.getpid()}-{started}", f"-{child.pid}-00000000")).touch()
    prepared = tmp_path / own.name.replace(f"-{os.getpid()}-{started}", f"-{child.pid}-00000000")
    prepared.mkdir()
    inside: list[bool] = []
    were: list[int] = []

    def enter(wait: float) -> None:
        with stage.locked(tmp_path):
            inside.append(True)
            time.sleep(wait)
            were.append(len(inside))
            inside.clear()

    threads = [threading.Thread(target=enter, args=(0.05,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert were == [1, 1, 1, 1]
    assert not list(tmp_path.iterdir())
    held.mkdir()
    (held / own.name.replace(host, "0" * len(host))).touch()
    with pytest.raises(OSError, match=r"another machine; .* remove it"), stage.locked(tmp_path):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [held.name]


# --- what is cut off ------------------------------------------------------------------------------------------------

watched: list[Callable[[], None]] = []
"""What is called before each change of the file system; nothing, most of the time, as no hook can be taken away."""


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if watched and (
        event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate")
        or (event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR))
    ):
        watched[0]()


sys.addaudithook(_watch)


class Moments:
    """Copies of a folder, before each change that is made in it: what a writer leaves that is killed then."""

    def __init__(self, folder: Path, copies: Path) -> None:
        self.folder, self.copies, self.found = folder, copies, dict[Any, Path]()

    def __call__(self) -> None:
        hook, watched[:] = list(watched), []
        try:
            seen = frozenset(self._seen())
            if seen not in self.found:
                self.found[seen] = self.copies / str(len(self.found))
                shutil.copytree(self.folder, self.found[seen])
        finally:
            watched[:] = hook

    def _seen(self) -> Any:
        """Yield what a reader may find; what is hidden is told apart by whether it is there."""
        for path in self.folder.rglob("*"):
            name = str(path.relative_to(self.folder))
            if ".partial" not in name.rpartition(".partial")[0] and ".partial/" not in name:
                yield name, path.read_bytes() if path.suffix in (".json", "") and path.is_file() else None

    def __enter__(self) -> Moments:
        watched[:] = [self]
        return self

    def __exit__(self, *_: Any) -> None:
        watched.clear()
        self()


def delete(root: Any, add: int, **options: Any) -> Any:
    return xomezarr.delete_labels(root, "nuclei")


def nothing(root: Any, version: str) -> None:
    pass


def image_with_nuclei(root: Any, version: str) -> None:
    new_labels(root, version)
    labels_joining(root, 3)


def plate_with_field(root: Any, version: str) -> None:
    new_plate(root, version)
    field_joining(root, 3)


def other_labels_joining(root: Any, add: int) -> Any:
    return pixels(add).omezarr.to_labels(root, "others", mode="w")


def other_field_joining(root: Any, add: int, **options: Any) -> Any:
    return pixels(add).omezarr.to_plate(root, row="C", column=7, levels=1, mode="w", **options)


CUT_OFF: dict[str, tuple[Callable[..., Any], ...]] = {
    "labels": (new_labels, labels_joining, labels_of, labels_joining, other_labels_joining),
    "labels anew": (
        image_with_nuclei,
        partial(labels_joining, mode="w"),
        labels_of,
        labels_joining,
        other_labels_joining,
    ),
    "labels away": (image_with_nuclei, delete, labels_of, labels_joining, other_labels_joining),
    "field": (new_plate, field_joining, fields_of, field_joining, other_field_joining),
    "field anew": (plate_with_field, partial(field_joining, mode="w"), fields_of, field_joining, other_field_joining),
    "only field anew": (lone_plate, partial(field_joining, mode="w"), fields_of, field_joining, other_field_joining),
    "first field": (nothing, field_joining, fields_of, field_joining, other_field_joining),
}


@pytest.mark.sweep(2)
@pytest.mark.skipif(sys.platform == "win32", reason="files that are open cannot be moved there")
@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("kind", CUT_OFF)
def test_c8_whenever_a_writer_is_killed_what_is_named_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, version: str, exchange: bool
) -> None:
    make, act, listed, again, other = CUT_OFF[kind]
    store, name = tmp_path / "live" / "s.ome.zarr", "nuclei" if "labels" in kind else "A/1/1"
    store.parent.mkdir()
    options = {"version": version} if make is nothing else {}
    make(store, version)
    before = listed(store, gathered=False) if make is not nothing else {}
    with monkeypatch.context() as patched, Moments(store.parent, tmp_path / "copies") as moments:
        if not exchange:
            patched.setattr("xomezarr.stage._exchange", lambda one, other: False)
        act(store, 5, **options)
    # writers of this machine that are not there any more
    monkeypatch.setattr("xomezarr.stage._runs", lambda pid, started: False)
    assert len(moments.found) > 5
    allowed = [before[name]] if name in before else [None]
    allowed.append(None if act is delete else pixels(5).values)

    def judged(place: Path, moment: Any, **found: Any) -> dict[str, Any]:
        """Return what is named, of which all that was there before, and all that is found now, is as it was."""
        report = xomezarr.validate(place)  # who opens it finishes what was cut off
        assert report.valid, (moment, report)
        now = listed(place, gathered=False)
        for path, values in {**before, **found}.items():
            if path != name or path in found:
                assert np.array_equal(now[path], values), (moment, path)
        return now

    for number, left in enumerate(moments.found.values()):
        try:
            now = judged(left / store.name, number)
        except (errors.NotOmeZarrError, errors.StoreNotFoundError, errors.IncompleteStoreError):
            assert make is nothing
            now = {}
        assert any(now.get(name) is one or np.array_equal(now.get(name, []), one) for one in allowed), number
        for joins, new in ((again, name), (other, "others" if "labels" in kind else "C/7/0")):
            copied = tmp_path / "again" / str(number) / new.replace("/", "-")
            shutil.copytree(left, copied)
            try:
                joins(copied / store.name, 6, **options, **({"mode": "w"} if joins is again else {}))
            except Exception as error:
                raise AssertionError((number, new, sorted(map(str, copied.rglob("*"))))) from error
            judged(copied / store.name, number, **{new: pixels(6).values})


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_c8_half_of_an_image_is_never_named_again(version: str) -> None:
    class Halving(MemoryStore):
        """Deletes some, in the order of their names, and is gone then."""

        left = 10**9

        async def delete_dir(self, prefix: str) -> None:
            for key in sorted(self._store_dict):
                if key.startswith(f"{prefix.rstrip('/')}/"):
                    await self.delete(key)

        async def delete(self, key: str) -> None:
            self.left -= 1
            if self.left < 0:
                raise ConnectionError("the server is gone")
            await super().delete(key)

    for act in (partial(labels_joining, add=5, mode="w"), partial(delete, add=0)):
        for left in range(20):
            store = Halving()
            image_with_nuclei(store, version)
            store.left = left
            try:
                act(store)
            except ConnectionError:
                pass
            else:
                assert left > 3
                break
            store.left = 10**9
            now = labels_of(store, gathered=False)
            assert now.keys() <= {"cytoplasm", "nuclei"}
            assert np.array_equal(now.get("nuclei", pixels(3)), pixels(3)), left
            labels_joining(store, 6, mode="w")
            assert np.array_equal(labels_of(store, gathered=True)["nuclei"], pixels(6))


@pytest.mark.filterwarnings("ignore:.*are replaced by what is written:xomezarr.errors.OtherImagesWarning")
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_c8_where_nothing_may_be_deleted_all_is_as_it_was(version: str) -> None:
    class Keeping(MemoryStore):
        """Takes what is put, and lets nothing be deleted."""

        keeps = False

        async def delete(self, key: str) -> None:
            if self.keeps:
                raise PermissionError("s3:DeleteObject is denied")
            await super().delete(key)

        async def delete_dir(self, prefix: str) -> None:
            if self.keeps:
                raise PermissionError("s3:DeleteObject is denied")
            await super().delete_dir(prefix)

    plate, only = partial(field_joining, add=5, mode="w"), partial(xomezarr.delete_labels, name="nuclei")
    whole = lambda store: pixels(5).omezarr.to_zarr(store, mode="w", levels=1, version=version)  # noqa: E731
    for make, act in (
        (image_with_nuclei, partial(labels_joining, add=5, mode="w")),
        (image_with_nuclei, only),
        (image_with_nuclei, whole),
        (lone_plate, plate),
    ):
        store = Keeping()
        make(store, version)
        before = {key: value.to_bytes() for key, value in store._store_dict.items()}
        store.keeps = True
        with pytest.raises(PermissionError, match="denied"):
            act(store)
        assert {key: value.to_bytes() for key, value in store._store_dict.items()} == before
        store.keeps = False
        act(store)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_c8_what_other_tools_say_of_a_well_outlives_a_failure(version: str) -> None:
    store = MemoryStore()
    lone_plate(store, version)
    for path in ("A", "A/1"):
        zarr.open_group(store, path=path, mode="r+").attrs["mine"] = path

    def stopped(*_: Any) -> None:
        raise OSError("enough of it")

    with pytest.raises(OSError, match="enough of it"):
        field_joining(store, 5, mode="w", progress=stopped)
    for path in ("A", "A/1"):
        assert dict(zarr.open_group(store, path=path, mode="r").attrs) == {"mine": path}
    assert fields_of(store, gathered=False) == {}
    field_joining(store, 6)
    assert zarr.open_group(store, path="A/1", mode="r").attrs["mine"] == "A/1"
    assert np.array_equal(fields_of(store, gathered=False)["A/1/1"], pixels(6))


@pytest.mark.parametrize("kind", ["labels", "field"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_c8_an_interruption_once_all_is_said_takes_nothing_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, kind: str
) -> None:
    from xomezarr import joining

    make, join, listed, name = KINDS[kind]
    store = tmp_path / "a.ome.zarr"
    make(store, version)
    join(store, 3)
    settle, alone = joining._Steps.settle, joining.alone
    settled: list[bool] = []

    def noted(self: Any) -> None:
        settle(self)
        settled.append(True)

    @contextmanager
    def interrupted(*args: Any, **options: Any) -> Any:
        with alone(*args, **options):
            yield
        if settled:
            settled.clear()
            raise KeyboardInterrupt

    monkeypatch.setattr(joining._Steps, "settle", noted)
    monkeypatch.setattr(joining, "alone", interrupted)
    with pytest.raises(KeyboardInterrupt):
        join(store, 5, mode="w", **({"acquisition": 1} if kind == "field" else {}))
    assert np.array_equal(listed(store, gathered=False)[name], pixels(5))
    assert xomezarr.validate(store).valid
    assert not [path for path in store.rglob(".*") if path.is_dir()]


class Slow(MemoryStore):
    """Interrupts the main thread when it is to write a document, and writes it all the same, later."""

    interrupts = ""
    skip = 0

    async def set(self, key: str, value: Any, byte_range: Any = None) -> None:
        self.skip -= key == self.interrupts
        if key == self.interrupts and self.skip < 0:
            self.interrupts = ""
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # type: ignore[arg-type]
            await asyncio.sleep(0.3)
        await super().set(key, value, byte_range)


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ there")
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_c8_what_is_written_when_ctrl_c_comes_does_not_land_after_its_undoing(version: str) -> None:
    document = "labels/zarr.json" if version == "0.5" else "labels/.zattrs"
    for mode, left in (("w-", {"cytoplasm"}), ("w", {"cytoplasm"})):
        store = Slow()
        (image_with_nuclei if mode == "w" else new_labels)(store, version)
        store.interrupts = document
        with pytest.raises(KeyboardInterrupt):
            labels_joining(store, 5, mode=mode)
        time.sleep(0.5)
        now = labels_of(store, gathered=False)
        assert now.keys() == left | ({"nuclei"} if mode == "w" else set())
        assert np.array_equal(now.get("nuclei", pixels(3)), pixels(3))
    store = Slow()
    new_plate(store, version)
    store.interrupts = "zarr.json" if version == "0.5" else ".zattrs"
    with pytest.raises(KeyboardInterrupt):
        pixels(5).omezarr.to_plate(store, row="B", column=1, levels=1)
    time.sleep(0.5)
    assert fields_of(store, gathered=False).keys() == {"A/1/0"}
    assert xomezarr.validate(store).valid


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_c8_labels_that_cannot_be_deleted_stay_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    store = tmp_path / "a.ome.zarr"
    image_with_nuclei(store, version)
    zarr.consolidate_metadata(store)
    before = {path.relative_to(store): path.read_bytes() for path in store.rglob("*") if path.is_file()}

    def refused(target: Path) -> None:
        raise PermissionError(13, "not yours", str(target))

    with monkeypatch.context() as patched:
        patched.setattr("xomezarr.stage.put_aside", refused)
        with pytest.raises(PermissionError):
            xomezarr.delete_labels(store, "nuclei")
    after = {path.relative_to(store): path.read_bytes() for path in store.rglob("*") if path.is_file()}
    assert after == before
    xomezarr.delete_labels(store, "nuclei")
    assert labels_of(store, gathered=True).keys() == {"cytoplasm"}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_c8_a_first_writer_that_fails_takes_nothing_from_another(tmp_path: Path, version: str) -> None:
    store = tmp_path / "plate.ome.zarr"
    began, failed = threading.Event(), threading.Event()

    def fail(_: int) -> None:
        assert began.wait(20)
        raise ConnectionError("the first one")

    def hold(_: int) -> None:
        began.set()
        assert failed.wait(20)

    def first() -> None:
        try:
            pixels(1).omezarr.to_plate(store, row="A", column=1, levels=1, version=version, progress=fail, workers=1)
        except ConnectionError:
            failed.set()

    thread = threading.Thread(target=first)
    thread.start()
    pixels(2).omezarr.to_plate(store, row="B", column=2, levels=1, version=version, progress=hold, workers=1)
    thread.join()
    assert failed.is_set()
    assert fields_of(store, gathered=False).keys() == {"B/2/0"}
    assert xomezarr.validate(store).valid
    assert sorted(path.name for path in store.iterdir() if path.is_dir()) == ["B"]
    # and alone it leaves nothing
    with pytest.raises(ConnectionError):
        pixels(1).omezarr.to_plate(tmp_path / "other.zarr", row="A", column=1, levels=1, version=version, progress=fail)
    assert [path.name for path in tmp_path.iterdir()] == [store.name]


@pytest.mark.parametrize("left", [".zgroup", ".zattrs", f"zarr.{'0' * 32}.partial", f".zgroup.{'a' * 32}.partial"])
def test_what_is_left_of_a_group_alone_is_as_good_as_nothing(tmp_path: Path, left: str) -> None:
    store = tmp_path / "plate.ome.zarr"
    store.mkdir()
    (store / left).write_text('{"zarr_format": 2}' if left == ".zgroup" else "{}")
    pixels(2).omezarr.to_plate(store, row="B", column=2, levels=1)
    assert fields_of(store, gathered=False).keys() == {"B/2/0"}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    with pytest.raises(errors.PlateError, match="one where nothing is"):
        pixels(2).omezarr.to_plate(tmp_path / "other", row="B", column=2, levels=1)


FORKS = """
import os, sys, threading, time
from pathlib import Path
from xomezarr import stage

folder = Path(sys.argv[1])

def follow():
    with stage.locked(folder):
        pass

with stage.locked(folder):
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    thread = threading.Thread(target=follow)
    thread.start()
    time.sleep(0.5)
thread.join(20)
print("free" if not thread.is_alive() else "held", flush=True)
os.kill(child, 9)
os.waitpid(child, 0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_lock_is_not_kept_by_a_process_that_was_forked_meanwhile(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKS, str(tmp_path)], capture_output=True, text=True, timeout=50, check=True
    )
    assert done.stdout == "free\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("locks", [True, False])
def test_who_replaces_an_image_waits_for_who_changes_its_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    def refused(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "no locks here")

    if not locks:
        if sys.platform == "win32":
            pytest.skip("its locks are the system's")
        import fcntl

        monkeypatch.setattr(fcntl, "flock", refused)
    store = tmp_path / "a.ome.zarr"
    new_labels(store, "0.5")
    thread = threading.Thread(
        target=lambda: pixels(9).omezarr.to_zarr(store, mode="w", levels=2, labels={"cytoplasm": pixels(2)})
    )
    with stage.locked(store):
        thread.start()
        time.sleep(1)
        assert np.array_equal(zarr.open_array(store / "0", mode="r")[...], pixels())
    thread.join()
    assert np.array_equal(zarr.open_array(store / "0", mode="r")[...], pixels(9))
    assert not [path for path in tmp_path.rglob(".*") if path.name not in (".zattrs", ".zgroup", ".zarray")]


def test_what_is_written_into_a_store_that_is_replaced_meanwhile_is_an_error(tmp_path: Path) -> None:
    store = tmp_path / "a.ome.zarr"
    new_labels(store, "0.5")

    def replaced(_: int) -> None:
        if not np.array_equal(zarr.open_array(store / "0", mode="r")[...], pixels(9)):
            pixels(9).omezarr.to_zarr(store, mode="w", levels=2, labels={"cytoplasm": pixels(2)}, version="0.5")

    with pytest.raises(OmeZarrError, match="another process has replaced or removed it"):
        labels_joining(store, 5, progress=replaced, workers=1)
    assert labels_of(store, gathered=False).keys() == {"cytoplasm"}
    assert not [path for path in tmp_path.rglob(".*") if path.is_dir()]


def test_a_folder_that_cannot_be_written_is_named_and_not_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "a.ome.zarr"
    new_labels(store, "0.4")
    opened = os.open

    def refused(path: Any, flags: int, *args: Any, **options: Any) -> int:
        if flags & os.O_CREAT and str(path).startswith(str(store)):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", refused)
    for act in (lambda: labels_joining(store, 5), lambda: xomezarr.delete_labels(store, "cytoplasm")):
        with pytest.raises(PermissionError, match="nothing can be written there, give another path") as caught:
            act()
        assert caught.value.filename == str(store.resolve())
    monkeypatch.undo()
    assert labels_of(store, gathered=False).keys() == {"cytoplasm"}


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ there")
@pytest.mark.parametrize("skip", range(4))
def test_c8_metadata_that_are_gathered_when_ctrl_c_comes_do_not_land_later(skip: int) -> None:
    store = Slow()
    xomezarr.write_plate({("A", 1): {1: pixels(9)}, ("B", 2): [pixels(3)]}, store, levels=1, version="0.5")
    store.interrupts, store.skip = "zarr.json", skip
    with pytest.raises(KeyboardInterrupt):
        field_joining(store, 5, mode="w")
    at_once = dict(store._store_dict)
    time.sleep(0.5)
    assert dict(store._store_dict) == at_once
    assert fields_of(store, gathered=False).keys() | {"A/1/1"} == {"A/1/1", "B/2/0"}


def test_what_was_withheld_counts_no_more_once_others_have_written_the_plate() -> None:
    store = MemoryStore()
    lone_plate(store, "0.4")
    said = zarr.open_group(store, mode="r").attrs.asdict()
    attrs = zarr.open_group(store, mode="r+", use_consolidated=False).attrs
    attrs.put(withhold({**said, "plate": {**said["plate"], "wells": []}}))  # killed here
    attrs["plate"] = {**said["plate"], "name": "mended"}
    pixels(5).omezarr.to_plate(store, row="B", column=1, levels=1)
    assert fields_of(store, gathered=False).keys() == {"A/1/1", "B/1/0"}
    assert spec.parse_plate(zarr.open_group(store, mode="r").attrs.asdict()).name == "mended"


@pytest.mark.parametrize("elsewhere", [True, False])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_c8_an_empty_group_is_as_it_was_when_its_first_image_fails(
    tmp_path: Path, version: str, elsewhere: bool
) -> None:
    store: Any = MemoryStore() if elsewhere else tmp_path / "plate.zarr"
    attributes = {"mine": {"lab": 1}}
    zarr.create_group(store, zarr_format=2 if version == "0.4" else 3, attributes=attributes)

    def fail(_: int) -> None:
        raise ConnectionError("the first one")

    with pytest.raises(ConnectionError):
        field_joining(store, 5, version=version, progress=fail)
    assert zarr.open_group(store, mode="r").attrs.asdict() == attributes
    assert not [*zarr.open_group(store, mode="r", use_consolidated=False).members()]
    field_joining(store, 5)
    assert fields_of(store, gathered=False).keys() == {"A/1/1"}
    assert zarr.open_group(store, mode="r", use_consolidated=False).attrs["mine"] == {"lab": 1}


def test_what_a_killed_process_has_left_of_its_lock_is_as_good_as_nothing(tmp_path: Path) -> None:
    for mode in ("w-", "w"):
        store = tmp_path / mode
        store.mkdir()
        for name in (stage.LOCK, stage.PIXELS, stage.GATE):
            (store / name).touch()
        pixels().omezarr.to_zarr(store, levels=1, mode=mode)
        assert sorted(path.name for path in store.iterdir()) == [".zattrs", ".zgroup", "0"]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_of_a_field_do_not_come_into_another_plate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    from xomezarr import joining

    store = tmp_path / "plate.zarr"
    new_plate(store, version)
    say, replacing = joining._Steps.say, []

    def replaced() -> None:
        xomezarr.write_plate({("A", 1): [pixels(9)]}, store, levels=1, version=version, mode="w")

    def slow(self: Any, said: Any, **options: Any) -> None:
        if not replacing:
            replacing.append(threading.Thread(target=replaced))
            replacing[0].start()
            time.sleep(1)
        say(self, said, **options)

    monkeypatch.setattr(joining._Steps, "say", slow)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OmeZarrWarning)  # it had labels by then
        with suppress(errors.StoreNotFoundError, errors.MetadataError):  # replaced before they were opened
            pixels(3).omezarr.to_labels(store / "A" / "1" / "0", "nuclei")
        replacing[0].join()
    assert xomezarr.validate(store).valid
    assert np.array_equal(fields_of(store, gathered=False)["A/1/0"], pixels(9))
    assert not (store / "A" / "1" / "0" / "labels").exists()


def test_a_member_that_another_process_puts_back_meanwhile_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xomezarr.store import contents

    place = tmp_path / "a.zarr"
    new_labels(place, "0.4")
    inside, aside = place / "labels" / "cytoplasm", tmp_path / "aside"
    inside.rename(aside)
    look, looked = contents._open_member, []

    def late(group: Any, path: str, alike: bool) -> Any:
        try:
            return look(group, path, alike)
        except KeyError:
            if not looked:
                looked.append(aside.rename(inside))
            raise

    monkeypatch.setattr(contents, "_open_member", late)
    assert contents.find_member(zarr.open_group(place, mode="r"), "labels/cytoplasm") is not None


# -- in the middle of what others write ----------------------------------------------------------------------


def frames(count: int, add: int = 0, dtype: str = "uint16") -> xr.DataArray:
    values = np.arange(count * 64, dtype=dtype).reshape(count, 8, 8) % 50 + add
    return xr.DataArray(values, dims=("t", "y", "x"), name="cells")


class Meanwhile:
    """Does something, in a thread, when the first tile is written, and sees whether it has to wait.

    Parameters
    ----------
    do
        What.
    folder
        Whose pixels it waits for, in the gate.
    """

    def __init__(self, do: Callable[[], Any], folder: Path) -> None:
        self.do = do
        self.gate = folder / stage.GATE
        self.pool = ThreadPoolExecutor(1)
        self.end: Future[Any] | None = None
        self.waited = False

    def __call__(self, _: int) -> None:
        if self.end is None:
            self.end = self.pool.submit(self.do)
            last = time.monotonic() + 60
            while not self.end.done() and time.monotonic() < last and not self.gate.exists():
                time.sleep(0.01)
            self.waited = not self.end.done()

    def result(self) -> Any:
        assert self.end is not None
        assert self.waited
        return self.end.result(60)


def test_labels_come_before_what_is_appended_or_after_it(tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    frames(2).omezarr.to_zarr(store, append_dim="t", levels=2)
    add = Meanwhile(lambda: frames(2).omezarr.to_labels(store, "nuclei"), store)
    frames(1).omezarr.to_zarr(store, append_dim="t", progress=add)
    with pytest.raises(errors.LabelError, match="has changed since its labels 'nuclei' were planned"):
        add.result()
    assert not (store / "labels").exists()
    frames(3).omezarr.to_labels(store, "nuclei")
    frames(1).omezarr.to_zarr(store, append_dim="t", labels={"nuclei": frames(1)})
    assert xomezarr.validate(store).valid
    assert xr.open_datatree(store, engine="omezarr")["labels/nuclei/0"].sizes["t"] == 4


@pytest.mark.parametrize("how", ["appended", "part"])
def test_labels_are_replaced_and_deleted_when_what_is_written_of_them_is(tmp_path: Path, how: str) -> None:
    store = tmp_path / "a.zarr"
    frames(2).omezarr.to_zarr(store, append_dim="t", levels=2, labels={"nuclei": frames(2), "cytoplasm": frames(2)})
    options: dict[str, Any] = {"append_dim": "t"} if how == "appended" else {"region": {"t": slice(0, 1)}}
    given = {"nuclei": frames(1, 1), "cytoplasm": frames(1, 1)}
    delete = Meanwhile(lambda: xomezarr.delete_labels(store, "nuclei"), store)
    frames(1, 1).omezarr.to_zarr(store, labels=given, progress=delete, **options)
    delete.result()
    replace = Meanwhile(lambda: frames(count).omezarr.to_labels(store, "cytoplasm", mode="w"), store)
    count = 3 if how == "appended" else 2
    frames(1, 2).omezarr.to_zarr(store, labels={"cytoplasm": frames(1, 2)}, progress=replace, **options)
    if how == "appended":
        with pytest.raises(errors.LabelError, match="has changed"):
            replace.result()
    else:
        replace.result()
    tree = xr.open_datatree(store, engine="omezarr")
    assert [*tree["labels"].children] == ["cytoplasm"]
    found = tree["labels/cytoplasm/0"].cytoplasm
    assert found.sizes["t"] == tree["0"].sizes["t"] == (4 if how == "appended" else 2)
    if how == "part":
        assert (found == frames(2)).all()
    assert xomezarr.validate(store).valid


def test_labels_that_are_deleted_while_they_are_opened_are_not_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "a.zarr"
    pixels().omezarr.to_zarr(store, labels={"bright": pixels(), "nuclei": pixels()})
    read, found = importlib.import_module("xomezarr.read"), importlib.import_module("xomezarr.store").open_member

    def deleted_then(group: Any, path: str, **options: Any) -> Any:
        member = found(group, path, **options)
        if path == "bright" and (store / "labels/bright").exists():
            xomezarr.delete_labels(store, "bright")
        return member

    monkeypatch.setattr(read, "open_member", deleted_then)
    tree = xr.open_datatree(store, engine="omezarr")
    assert [*tree["labels"].children] == ["nuclei"]


@pytest.mark.filterwarnings("ignore::xomezarr.errors.OtherImagesWarning")
def test_a_field_is_replaced_when_nobody_writes_into_it_and_nobody_waits_for_ever(tmp_path: Path) -> None:
    """Who adds labels to a field waits for the plate, and who replaces the field for its pixels."""
    plate = tmp_path / "p.zarr"
    for column in (1, 2):
        pixels().omezarr.to_plate(plate, row="A", column=column, levels=2)
    field, other = plate / "A/1/0", plate / "A/2/0"
    part = pixels(1)[:4, :4]
    both = Meanwhile(lambda: pixels(2).omezarr.to_plate(plate, row="A", column=1, field=0, mode="w", levels=2), field)
    part.omezarr.to_zarr(field, region={"y": slice(0, 4), "x": slice(0, 4)}, progress=both)
    both.result()
    assert (xr.open_datatree(field, engine="omezarr")["0"].image == pixels(2)).all()
    # others of the plate are written meanwhile
    joined = Meanwhile(
        lambda: pixels(3).omezarr.to_plate(plate, row="A", column=1, field=0, mode="w", levels=2), tmp_path
    )
    begun = threading.Event()

    def seen(nbytes: int) -> None:
        joined(nbytes)
        begun.set()

    part.omezarr.to_zarr(other, region={"y": slice(0, 4), "x": slice(0, 4)}, progress=seen)
    assert joined.end is not None
    assert not joined.waited
    with ThreadPoolExecutor(4) as pool:
        ends = []
        for count in range(20):
            labels = pixels(count)
            ends += [
                pool.submit(labels.omezarr.to_labels, field, "nuclei", mode="w"),
                pool.submit(labels.omezarr.to_plate, plate, row="A", column=1, field=0, mode="w", levels=2),
                pool.submit(part.omezarr.to_zarr, field, region={"y": slice(0, 4), "x": slice(0, 4)}),
            ]
        assert not wait(ends, timeout=120).not_done
    told = [error for end in ends if (error := end.exception()) is not None]
    assert not [error for error in told if not isinstance(error, OmeZarrError)]
    assert xomezarr.validate(plate).valid


def test_labels_without_times_come_while_their_image_grows(tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    frames(2).omezarr.to_zarr(store, append_dim="t", levels=2)
    flat = frames(1).isel(t=0)
    add = Meanwhile(lambda: flat.omezarr.to_labels(store, "nuclei"), store)
    frames(1).omezarr.to_zarr(store, append_dim="t", progress=add)
    add.result()
    frames(1).omezarr.to_zarr(store, append_dim="t")
    tree = xr.open_datatree(store, engine="omezarr")
    assert tree["0"].sizes["t"] == 4
    assert (tree["labels/nuclei/0"].nuclei == flat).all()


def test_labels_are_replaced_by_their_own_path_when_nobody_appends_to_them(tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    frames(2).omezarr.to_zarr(store, append_dim="t", levels=2, labels={"nuclei": frames(2)})
    tree = xr.open_datatree(store / "labels" / "nuclei", engine="omezarr").load()
    replace = Meanwhile(lambda: tree.omezarr.to_zarr(store / "labels" / "nuclei", mode="w"), store)
    frames(1).omezarr.to_zarr(store, append_dim="t", labels={"nuclei": frames(1)}, progress=replace)
    replace.result()


def test_a_field_is_not_replaced_by_one_of_the_version_that_its_plate_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both wait for each other, and which comes first is no matter."""
    plate = tmp_path / "p.zarr"
    pixels().omezarr.to_plate(plate, row="A", column=1, levels=2)
    replace = Meanwhile(lambda: pixels(3).omezarr.to_zarr(plate / "A/1/0", mode="w", levels=2, version="0.4"), plate)
    execute = upgrading._execute

    def slow(*given: Any) -> None:
        replace(0)
        execute(*given)

    monkeypatch.setattr(upgrading, "_execute", slow)
    xomezarr.upgrade(plate, version="0.5")
    with pytest.raises(errors.VersionError, match=r"of OME-Zarr 0\.5, which all in it is of"):
        replace.result()
    assert (xr.open_datatree(plate / "A/1/0", engine="omezarr")["0"].image == pixels()).all()
    assert not xomezarr.validate(plate).errors


@pytest.mark.parametrize("resume", [False, True])
def test_what_lists_an_image_is_looked_at_when_it_is_put_there(tmp_path: Path, resume: bool) -> None:
    plate = tmp_path / "p.zarr"
    pixels().omezarr.to_plate(plate, row="A", column=1, version="0.4")
    later = pixels(3).omezarr.to_zarr(plate / "A/1/0", mode="w", resume=resume, compute=False)
    xomezarr.upgrade(plate, version="0.5")
    with pytest.raises(errors.VersionError, match=r"which all in it is of, and would be written as 0\.4"):
        later.compute()
    assert (xr.open_datatree(plate / "A/1/0", engine="omezarr")["0"].image == pixels()).all()
    assert not xomezarr.validate(plate).errors
    assert not [path for path in (plate / "A/1").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("gone", ["well", "plate"])
def test_a_field_whose_plate_is_another_meanwhile_is_told_of(tmp_path: Path, gone: str) -> None:
    plate = tmp_path / "p.zarr"
    pixels().omezarr.to_plate(plate, row="A", column=1)
    later = pixels(3).omezarr.to_zarr(plate / "A/1/0", mode="w", compute=False)
    shutil.rmtree(plate)
    if gone == "well":
        xomezarr.write_plate({("B", 2): [pixels()]}, plate)
    told = "does not list it" if gone == "well" else "is gone, or lists it no more"
    with pytest.warns(errors.OtherImagesWarning, match=told):
        later.compute()
    assert (xr.open_datatree(plate / "A/1/0", engine="omezarr")["0"].image == pixels(3)).all()


def test_a_link_to_a_field_is_the_field(tmp_path: Path) -> None:
    pixels().omezarr.to_plate(tmp_path / "p.zarr", row="A", column=1, version="0.4")
    (tmp_path / "link.zarr").symlink_to(tmp_path / "p.zarr/A/1/0")
    with pytest.raises(errors.VersionError, match=r"of OME-Zarr 0\.4, which all in it is of"):
        pixels(3).omezarr.to_zarr(tmp_path / "link.zarr", mode="w", version="0.5")


def test_labels_that_are_deleted_while_they_are_written_again_are_told_of(tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    pixels().omezarr.to_zarr(store, labels={"nuclei": pixels()})
    tree = xr.open_datatree(store / "labels/nuclei", engine="omezarr").load()
    later = tree.omezarr.to_zarr(store / "labels/nuclei", mode="w", compute=False)
    xomezarr.delete_labels(store, "nuclei")
    with pytest.warns(errors.OtherImagesWarning, match=r"does not list it.*to_labels"):
        later.compute()
    assert (xr.open_datatree(store / "labels/nuclei", engine="omezarr")["0"].nuclei == pixels()).all()


def test_who_is_to_have_pixels_alone_is_not_passed_by_for_ever(tmp_path: Path) -> None:
    """Two others share them, each of whom comes before the other has gone."""
    had = threading.Event()

    def share(first: float) -> None:
        time.sleep(first)
        while not had.is_set():
            with stage.locked(tmp_path, name=stage.PIXELS, shared=True):
                time.sleep(0.1)

    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(share, first) for first in (0.0, 0.05)]
        time.sleep(0.2)
        stop = threading.Timer(20, had.set)
        stop.start()
        with stage.locked(tmp_path, name=stage.PIXELS):
            assert not had.is_set()
            had.set()
        stop.cancel()
    assert not any(other.exception() for other in others)
    assert not [*tmp_path.iterdir()]


def test_threads_of_a_process_go_by_who_waits_in_the_gate_for_one_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One writes pixels that the other computes, who writes into the same plate."""
    monkeypatch.setattr(stage, "GATE_PATIENCE", 0.1)
    alone = "from xomezarr import stage; import pathlib, sys\n"
    alone += "with stage.locked(pathlib.Path(sys.argv[1]), name=stage.PIXELS): print('alone')"

    def compute() -> bool:
        with stage.locked(tmp_path, name=stage.PIXELS, shared=True):
            return True

    with ThreadPoolExecutor(1) as pool, stage.locked(tmp_path, name=stage.PIXELS, shared=True):
        other = subprocess.Popen([sys.executable, "-c", alone, tmp_path], stdout=subprocess.PIPE, text=True)
        try:
            last = time.monotonic() + 60
            while not (tmp_path / stage.GATE).exists() and time.monotonic() < last:
                time.sleep(0.01)
            assert pool.submit(compute).result(timeout=20)
            assert other.poll() is None
        except BaseException:
            other.kill()
            raise
    assert other.communicate(timeout=60) == ("alone\n", None)


def test_a_lock_is_one_by_whatever_path(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to("a")
    with (
        stage.locked(tmp_path / "a"),
        pytest.raises(errors.StoreExistsError, match="would wait for itself"),
        stage.locked((tmp_path / "b").resolve()),
    ):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process that goes on as another is needed")
def test_a_forked_process_holds_no_lock_of_its_parent(tmp_path: Path) -> None:
    with stage.locked(tmp_path, name=stage.PIXELS, shared=True):
        child = os.fork()
        if not child:
            os._exit(len(stage._HELD))
        assert os.waitpid(child, 0)[1] == 0
    assert not [*tmp_path.iterdir()]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="another user is needed")
def test_who_may_make_no_gate_waits_all_the_same(tmp_path: Path) -> None:
    """The folder is another user's, who has made the lock."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    tmp_path.chmod(0o755)
    for around in tmp_path.parents[:3]:  # pytest's, which are this user's alone
        around.chmod(0o755)
    (folder / stage.PIXELS).touch(0o644)
    nobody = os.fork()
    if not nobody:
        try:
            os.seteuid(65534)
            with stage.locked(folder, name=stage.PIXELS, shared=True):
                held = [name for (_, name), _ in stage._HELD]
            os._exit(0 if held == [stage.PIXELS] else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(nobody, 0)[1]) == 0
