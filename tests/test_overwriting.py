"""C8: what is being read is never written over unnoticed, by whoever writes, and however it was opened."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
import dask.array
import numpy as np
import pytest
import xarray as xr
import zarr
from obstore.store import LocalStore as ObstoreFolder
from obstore.store import MemoryStore as ObstoreMemory
from stores import files
from zarr.storage import LocalStore, MemoryStore, StorePath

import xomezarr
from xomezarr import presence, read
from xomezarr.errors import OmeZarrError, PlateError, StoreExistsError

OLD, NEW = (np.random.default_rng(seed).integers(0, 60000, (2, 48, 64)).astype("u2") for seed in (0, 1))
OPTIONS: dict[str, Any] = {"levels": 2, "chunks": {"c": 1, "y": 16, "x": 16}}


@pytest.fixture(autouse=True)
def _tells_folders_apart(tmp_path: Path) -> None:
    if not presence._made(tmp_path, tmp_path.stat()):
        pytest.skip("this file system does not tell when a folder was made")


def image(pixels: Any = OLD) -> Any:
    return xr.DataArray(pixels, dims=("c", "y", "x"), name="cells")


def put(store: Any, pixels: Any = OLD) -> Any:
    image(pixels).omezarr.to_zarr(store, mode="w", **OPTIONS)
    return store


def by_link(store: Path) -> Path:
    link = store.with_name("link")
    if not link.is_symlink():
        link.symlink_to(store)
    return link


def opened(store: Any, **options: Any) -> Any:
    return xr.open_dataarray(store, engine="omezarr", **options)


def path_read_later(store: Path) -> Any:
    """Return what a function of dask reads by a path that nobody else sees."""
    pixels = dask.delayed(lambda path: zarr.open_array(path, mode="r")[...])(str(store / "0"))
    return image(dask.array.from_delayed(pixels, OLD.shape, OLD.dtype))


SOURCES: dict[str, Callable[[Path], Any]] = {
    "lazy": opened,
    "cut": lambda store: opened(store).isel(x=slice(7, None)),
    "transposed": lambda store: opened(store).transpose("x", "y", "c"),
    "of a tree": lambda store: xr.open_datatree(store, engine="omezarr").omezarr.level(0),
    "dask": lambda store: opened(store, chunks={}),
    "computed": lambda store: opened(store, chunks={}) // 2,
    "rechunked": lambda store: opened(store, chunks={}).chunk(y=17, x=5),
    "overlapping": lambda store: (lambda da: da.copy(data=da.data.map_overlap(np.copy, depth=1)))(
        opened(store, chunks={})
    ),
    "partly persisted": lambda store: (
        lambda da: xr.concat([da.isel(c=slice(0, 1)).persist(), da.isel(c=slice(1, 2))], "c")
    )(opened(store, chunks={})),
    "by a relative path": lambda store: opened(os.path.relpath(store)),
    "by ..": lambda store: opened(f"{store.parent}/none/../{store.name}"),
    "by a link": lambda store: opened(by_link(store)),
    "by file:": lambda store: opened(store.as_uri()),
    "by local:": lambda store: opened(f"local://{store}"),
    "by zarr's store": lambda store: opened(LocalStore(store, read_only=True)),
    "by obstore": lambda store: opened(ObstoreFolder(str(store))),
}
OTHERS: dict[str, Callable[[Path], Any]] = {
    "in memory": lambda store: opened(store).load(),
    "of zarr": lambda store: image(dask.array.from_zarr(str(store), component="0") // 3),
    "of a path": path_read_later,
}


@pytest.mark.parametrize("kind", [*SOURCES, *OTHERS])
def test_an_image_is_written_over_itself(tmp_path: Path, kind: str) -> None:
    store = put(tmp_path / "cells.ome.zarr")
    source = (SOURCES | OTHERS)[kind]
    want = source(store).compute().values
    da = source(store)
    da.omezarr.to_zarr(store, mode="w", levels=2, chunks={"y": 16, "x": 16, "c": 1})
    assert (xr.open_dataarray(store, engine="omezarr").transpose(*da.dims).values == want).all()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def replaced(store: Path) -> str:
    put(store, NEW)
    return "another array is there"


def removed(store: Path) -> str:
    shutil.rmtree(store)
    return "nothing is there any more"


def copied_anew(store: Path) -> str:
    """Do as other tools do."""
    shutil.copytree(store, store.with_name("copy"))
    shutil.rmtree(store)
    shutil.copytree(store.with_name("copy"), store)
    return "another array is there"


@pytest.mark.parametrize("change", [replaced, removed, copied_anew])
@pytest.mark.parametrize("kind", SOURCES)
def test_what_was_opened_is_never_read_from_another_store(
    tmp_path: Path, kind: str, change: Callable[[Path], str]
) -> None:
    store = put(tmp_path / "cells.ome.zarr")
    da = SOURCES[kind](store)
    as_sent = pickle.dumps(da)
    told = change(store)
    with pytest.raises(OmeZarrError, match=rf"0' is not there as it was when it was opened \({told}\); open it again"):
        da.copy().compute()
    if not (kind == "by obstore" and change is removed):  # which obstore itself refuses to open
        with pytest.raises(OmeZarrError, match="is not there as it was"):
            pickle.loads(as_sent).compute()
    # nor is it written elsewhere
    with pytest.raises(OmeZarrError, match="is not there as it was"):
        da.omezarr.to_zarr(tmp_path / "copy.ome.zarr", levels=1)
    assert not (tmp_path / "copy.ome.zarr").exists()


def test_a_write_that_another_process_computes_notices_it_too(tmp_path: Path) -> None:
    store = put(tmp_path / "cells.ome.zarr")
    written = opened(store).omezarr.to_zarr(tmp_path / "copy.ome.zarr", compute=False, **OPTIONS)
    put(store, NEW)
    with pytest.raises(OmeZarrError, match="another array is there"):
        written.compute(scheduler="processes", num_workers=1)
    assert not (tmp_path / "copy.ome.zarr").exists()


def test_pixels_that_are_changed_in_their_place_are_read(tmp_path: Path) -> None:
    store = put(tmp_path / "cells.ome.zarr")
    tree = xr.open_datatree(store, engine="omezarr")
    zarr.open_array(store / "0", mode="r+")[...] = NEW
    assert (tree["0/image"].values == NEW).all()


def test_another_machine_may_number_folders_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = put(tmp_path / "cells.ome.zarr")
    sent = pickle.dumps(opened(store))
    monkeypatch.setattr(presence, "_machine", lambda: "another")
    put(store, NEW)
    assert (pickle.loads(sent).values == NEW).all()


def test_a_store_that_is_replaced_while_it_is_opened_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, calls = put(tmp_path / "cells.ome.zarr"), iter([NEW])

    def meanwhile(*args: Any, **options: Any) -> Any:
        for pixels in calls:  # of which metadata were read, and arrays were not opened
            put(store, pixels)
        return opening(*args, **options)

    opening = read._opened
    monkeypatch.setattr(read, "_opened", meanwhile)
    tree = xr.open_datatree(store, engine="omezarr")
    assert (tree["0/image"].values == NEW).all()
    calls = iter([OLD])
    assert (opened(store).values == OLD).all()
    # not without end
    monkeypatch.setattr(read, "_opened", lambda *args, **options: (put(store), opening(*args, **options))[1])
    monkeypatch.setattr(xomezarr.write, "open_tree", lambda *args, **options: None)
    with pytest.raises(OmeZarrError, match="is replaced again and again by another process"):
        xr.open_datatree(store, engine="omezarr")


def _replace_often(store: str, ready: Any, done: Any) -> None:
    ready.set()
    for value in range(40):
        put(Path(store), np.full(OLD.shape, value, "u2"))
    done.set()


def test_who_reads_while_another_process_replaces_sees_one_image(tmp_path: Path) -> None:
    store = put(tmp_path / "cells.ome.zarr", np.full(OLD.shape, 100, "u2"))
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    writer = context.Process(target=_replace_often, args=(str(store), ready, done))
    writer.start()
    assert ready.wait(60)
    read_whole = 0

    def look(_: int) -> set[int] | str:
        tree = xr.open_datatree(store, engine="omezarr")
        try:
            return {int(value) for level in tree.omezarr.levels for value in np.unique(level.values)}
        except OmeZarrError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        while not done.is_set():
            for seen in pool.map(look, range(4)):
                assert len(seen) == 1 or "is not there as it was when it was opened" in str(seen)
                read_whole += len(seen) == 1
            assert writer.is_alive() or done.is_set()
    writer.join(60)
    assert writer.exitcode == 0
    assert read_whole


# --- what several images lie in --------------------------------------------------------------------------------------


def plate_at(store: Any) -> Any:
    xomezarr.write_plate({("A", 1): [image()], ("B", 1): [image(NEW)]}, store, mode="w", **OPTIONS)
    return store


@pytest.mark.parametrize("sent", [False, True])
def test_images_of_a_plate_that_was_replaced_are_not_read(tmp_path: Path, sent: bool) -> None:
    store = plate_at(tmp_path / "plate.ome.zarr")
    tree = xr.open_datatree(store, engine="omezarr")
    unread, stack = tree["B/1/0/0/image"], tree.omezarr.stack(level=0)
    if sent:
        unread, stack = pickle.loads(pickle.dumps((unread, stack)))
    plate_at(store)
    with pytest.raises(PlateError, match="is not there as it was when it was opened, and 'B/1/0' was not read before"):
        unread.compute()
    with pytest.raises(OmeZarrError, match="is not there as it was"):
        stack.compute()


def test_an_image_of_a_stack_that_was_replaced_is_not_read(tmp_path: Path) -> None:
    store = plate_at(tmp_path / "plate.ome.zarr")
    stack = xr.open_datatree(store, engine="omezarr").omezarr.stack(level=0)
    assert (stack.sel(row="A").values.squeeze() == OLD).all()
    image(NEW).omezarr.to_plate(store, row="A", column=1, field=0, mode="w", **OPTIONS)
    with pytest.raises(OmeZarrError, match=r"A/1/0/0' is not there as it was .*another array is there"):
        stack.sel(row="A").compute()
    assert (stack.sel(row="B").values.squeeze() == NEW).all()


def test_labels_that_were_replaced_or_taken_away_are_not_read(tmp_path: Path) -> None:
    store = put(tmp_path / "cells.ome.zarr")
    (image() > 30000).isel(c=0, drop=True).omezarr.to_labels(store, "nuclei")
    before = xr.open_datatree(store, engine="omezarr")
    lazily = before["labels/nuclei/0/nuclei"]
    # made of themselves
    (lazily.drop_vars([*lazily.coords]) * 3).omezarr.to_labels(store, "nuclei", mode="w")
    again = xr.open_datatree(store, engine="omezarr")["labels/nuclei/0/nuclei"]
    assert (again.values == (OLD[0] > 30000) * 3).all()
    before = xr.open_datatree(store, engine="omezarr", chunks={})
    xomezarr.delete_labels(store, "nuclei")
    with pytest.raises(OmeZarrError, match="nothing is there any more"):
        before["labels/nuclei/0/nuclei"].compute()
    assert (before["0/image"].values == OLD).all()


TARGETS: dict[str, Callable[[Any, Path], Path]] = {
    "to_plate": lambda da, store: (
        da.omezarr.to_plate(store, row="A", column=1, field=0, mode="w", levels=2),
        store / "A/1/0",
    )[1],
    "its place": lambda da, store: (da.omezarr.to_zarr(store / "A/1/0", mode="w", levels=2), store / "A/1/0")[1],
    "the plate": lambda da, store: (xomezarr.write_plate({("A", 1): [da]}, store, mode="w", levels=2), store / "A/1/0")[
        1
    ],
    "a collection": lambda da, store: (xomezarr.write_collection({"a": da}, store, mode="w", levels=2), store / "a")[1],
    "an image": lambda da, store: (da.omezarr.to_zarr(store, mode="w", levels=2), store)[1],
}


@pytest.mark.filterwarnings("ignore::xomezarr.errors.OtherImagesWarning")
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", ["A", "B", "computed"])
def test_images_of_a_plate_are_written_over_it(tmp_path: Path, target: str, kind: str) -> None:
    store = plate_at(tmp_path / "plate.ome.zarr")
    tree = xr.open_datatree(store, engine="omezarr", chunks={} if kind == "computed" else None)
    da = {"A": tree["A/1/0/0/image"], "B": tree["B/1/0/0/image"], "computed": tree["A/1/0/0/image"] + 0}[kind]
    da = da.drop_vars(["row", "column", "field"], errors="ignore")
    place = TARGETS[target](da, store)
    assert (opened(place).values == (NEW if kind == "B" else OLD)).all()


@pytest.mark.filterwarnings("ignore::xomezarr.errors.OtherImagesWarning")  # told first
@pytest.mark.parametrize(
    ("make", "path", "told"),
    [
        (plate_at, "A", "is the place of wells of the plate"),
        (plate_at, "A/1", "is the place of wells of the plate"),
        (put, "labels", "is the place of the levels or labels of the image"),
        (put, "0", "is an array of the store"),
        (lambda store: image().omezarr.to_zarr(store, layout="xarray", **OPTIONS), "0", "is the place of the levels"),
        (lambda store: xomezarr.write_collection({"a": image()}, store, **OPTIONS), "OME", "is the place of the list"),
    ],
)
def test_c7_what_belongs_to_a_store_and_is_no_image_is_not_replaced(
    tmp_path: Path, make: Callable[[Path], Any], path: str, told: str
) -> None:
    store = tmp_path / "a.ome.zarr"
    make(store)
    before = files(store)
    with pytest.raises(StoreExistsError, match=told):
        image().omezarr.to_zarr(store / path, mode="w", levels=1)
    assert files(store) == before


# --- stores that are written in their place --------------------------------------------------------------------------


class InPlace(LocalStore):
    """A folder that is not built beside its place."""


@pytest.mark.parametrize("place", ["zarr's", "obstore's", "memory:", "a folder", "obstore's folder"])
@pytest.mark.parametrize("kind", ["lazy", "dask", "computed", "partly persisted", "of a tree"])
def test_c7_a_store_in_its_place_is_not_emptied_while_it_is_read(tmp_path: Path, place: str, kind: str) -> None:
    store: Any = {
        "zarr's": MemoryStore(),
        "obstore's": ObstoreMemory(),
        "memory:": f"memory://{tmp_path.name}-{kind}/cells.zarr".replace(" ", "-"),
        "a folder": InPlace(tmp_path / "a.zarr"),
        "obstore's folder": ObstoreFolder(str(tmp_path)),
    }[place]
    put(store)
    da = SOURCES[kind](store)
    want = da.copy().compute().values
    with pytest.raises(StoreExistsError, match=r"is replaced before the pixels are read.*load\(\)"):
        da.omezarr.to_zarr(store, mode="w", levels=1)
    with pytest.raises(StoreExistsError, match="is replaced before the pixels are read"):
        da.omezarr.to_zarr(store, mode="w", levels=1, compute=False)
    da.load().omezarr.to_zarr(store, mode="w", levels=1)
    assert (opened(store).values == want).all()


@pytest.mark.filterwarnings("ignore::xomezarr.errors.OtherImagesWarning")
def test_places_that_are_certainly_others_are_replaced() -> None:
    one, other = MemoryStore(), MemoryStore()
    put(StorePath(one, "a"))
    put(StorePath(one, "b"), NEW)
    put(other, NEW)
    lazily = opened(StorePath(one, "a"))
    lazily.omezarr.to_zarr(StorePath(one, "b"), mode="w", levels=1)
    lazily.omezarr.to_zarr(other, mode="w", levels=1)
    assert (opened(StorePath(one, "b")).values == OLD).all()
    assert (opened(other).values == OLD).all()
    for around in (one, StorePath(one, "a")):
        with pytest.raises(StoreExistsError, match="is replaced before the pixels are read"):
            lazily.omezarr.to_zarr(around, mode="w", levels=1)


@pytest.mark.parametrize("place", ["zarr's", "a place in zarr's", "obstore's", "memory:", "a folder", "local:", "same"])
def test_c8_an_upgrade_does_not_empty_what_it_reads(tmp_path: Path, place: str) -> None:
    src: Any = put(tmp_path / "cells.ome.zarr")
    dst: Any = {"a folder": InPlace(src), "local:": f"local://{src}", "same": LocalStore(src)}.get(place, src)
    if dst is src:
        memory = MemoryStore()
        src, dst = {
            "zarr's": (memory, memory),
            "a place in zarr's": (StorePath(memory, "a"), memory),
            "obstore's": (store := ObstoreMemory(), store),
            "memory:": (f"memory://{tmp_path.name}/cells.zarr",) * 2,
        }[place]
        put(src)
    with pytest.raises(StoreExistsError, match="are one, or lie in each other"):
        xomezarr.upgrade(src, dst, mode="w")
    assert (opened(src).values == OLD).all()
    assert opened(src).sizes["x"] == 64
