"""Stop writers at random points, let them race, read while others append; see that nothing is ever lost.

    uv run --all-extras --group test python tests/faults.py               # all of it
    uv run --all-extras --group test python tests/faults.py --points 12 --races 6 --frames 40 --readers 2

Each point is a process that writes, to a folder or to the bucket of an S3 server, and is stopped: by SIGKILL, SIGINT or
SIGTERM, by a full disk (a tmpfs of its own, where this user may mount one) or by a store that fails. Then the store is
opened as anybody would, and judged: nothing looks whole that is not, and what was there is there. Then the same write
is done again, told to go on, and every file is compared with those of a write that nobody stopped. The same seed gives
the same points.
"""

from __future__ import annotations

import argparse
import errno
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import s3
import xarray as xr
from nursery import Child
from s3 import Bucket
from zarr.storage import LocalStore

import xomezarr
from xomezarr import errors, journal, stage, tiling

SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM}
KINDS = (*SIGNALS, "full disk", "failing store")
OPERATIONS = ("create", "replace", "region", "append")

ROWS = (30, 171)
"""Of what is written into a part of an image; chunks have 32."""

OLD, NEW = 1, 2
"""Seeds of the pixels that are there before, and of those that are written."""


class LostError(AssertionError):
    """Something was lost, or looks whole and is not."""


@dataclass
class Place:
    """Where stores are written: a folder, or an object store.

    Parameters
    ----------
    root
        Folder or URL.
    options
        As fsspec takes them.
    bucket
        The bucket that it is, and what stands before it.
    """

    root: str
    options: Mapping[str, Any] | None = None
    bucket: Bucket | None = None

    @property
    def local(self) -> bool:
        return "://" not in self.root

    def store(self, name: str) -> str:
        return f"{self.root}/{name}"

    def files(self, name: str) -> dict[str, bytes]:
        """Return all files of a store; zarr writes chunks under another name first, which killed processes leave."""
        if self.local:
            folder = Path(self.store(name))
            found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
            return {key: path.read_bytes() for key, path in found.items() if not key.endswith(".partial")}
        assert self.bucket is not None
        return self.bucket.objects(name)

    def clear(self) -> None:
        if self.local:
            for path in Path(self.root).iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            return
        assert self.bucket is not None
        self.bucket.clear()

    def open(self, name: str) -> xr.DataTree:
        with warnings.catch_warnings():
            warnings.simplefilter("error", errors.UnfinishedWarning)
            return xr.open_datatree(self.store(name), engine="omezarr", storage_options=self.options)


def write(what: Mapping[str, Any], on_tile: Callable[[int], None] | None = None) -> None:
    """Write what is asked of a writer, in this process."""
    pixels = pixels_of(what["seed"])
    da = xr.DataArray(pixels, dims=("t", "y", "x"), name="noise")
    da = da.omezarr.assign_grid(scale={"t": 2.0, "y": 0.5, "x": 0.5}, units={"y": "um", "x": "um", "t": "s"})
    store, do, options = what["store"], what["do"], what["options"]
    common = {"progress": on_tile, "storage_options": options}
    new = {"levels": 3, "chunks": (1, 32, 32), "method": what["method"], "version": what["version"]}
    if do == "region":
        alone = {} if options is None else {"lock": False}  # an object store has no locks
        da.isel(t=[1, 2], y=slice(*what["rows"])).omezarr.to_zarr(store, region="auto", **common, **alone)
    elif do == "append":
        try:
            done = xr.open_datatree(store, engine="omezarr", storage_options=options)["0"].sizes["t"]
        except (FileNotFoundError, errors.IncompleteStoreError):
            done = 0
        for index in range(done, 4):
            da.isel(t=[index]).omezarr.to_zarr(store, append_dim={"t": 4}, resume=True, **common, **new)
    else:
        mode = {"create": "w-", "replace": "w"}[do]
        da.omezarr.to_zarr(store, mode=mode, resume=what["resume"], **common, **new)


def be_a_writer(what: Mapping[str, Any]) -> None:
    """Write in a process that is to be stopped: with notes and tiles of kilobytes, as if the image were large."""
    journal.UNIT_BYTES, journal.SMALL_CARRY = 2**14, 0
    tiling.LEAF_BYTES = tiling.SHARED_BYTES = 2**12
    left = itertools.count(-what.get("fails", 2**62))

    def failing(original: Callable[..., Any]) -> Callable[..., Any]:
        def set_sync(self: Any, key: str, value: Any) -> Any:
            if next(left) >= 0:
                raise OSError(errno.EIO, "the store fails", key)
            return original(self, key, value)

        return set_sync

    for kind in (stage.Stage, LocalStore):
        kind.set_sync = failing(kind.set_sync)

    def on_tile(_: int) -> None:
        print("tile", flush=True)
        time.sleep(what["delay"])

    warnings.simplefilter("ignore")
    write(what, on_tile)


def asked_of_a_writer(place: Place, name: str, do: str, **more: Any) -> dict[str, Any]:
    """Return what is asked of a writer."""
    what = {"store": place.store(name), "options": place.options, "do": do, "seed": NEW, "resume": False}
    return what | {"delay": 0.002, "method": "local_mean", "version": "0.4", "rows": ROWS} | more


def write_whole(place: Place, name: str, do: str, **more: Any) -> None:
    """Write in this process, undisturbed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write(asked_of_a_writer(place, name, do, **more))


def begin(place: Place, name: str, do: str, **more: Any) -> Child:
    """Start a writer."""
    return Child(be_a_writer, asked_of_a_writer(place, name, do, **more))


def ended(writer: Child) -> bool:
    """Wait for a writer; return whether nothing has stopped it."""
    writer.communicate()
    return writer.returncode == 0


def succeed(writer: Child) -> None:
    """Wait for a writer that nobody stops."""
    _, said = writer.communicate()
    if writer.returncode:
        raise LostError(f"a writer that nobody stopped failed:\n{said}")


@dataclass
class Suite:
    """What was done, and what was found.

    Parameters
    ----------
    random
        From which all that is random comes.
    counts
        How many points there were, by what was done, where, and how it was stopped.
    stopped
        How many of them were stopped before their end.
    """

    random: np.random.Generator
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    stopped: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    whole: dict[tuple[str, str, str, str], dict[str, bytes]] = field(default_factory=dict)

    def reference(self, place: Place, do: str, how: Mapping[str, str]) -> dict[str, bytes]:
        """Return the files of a write that nobody stops."""
        key = ("local" if place.local else "S3", do, how["method"], how["version"])
        if key not in self.whole:
            self.prepare(place, "whole", do, how)
            write_whole(place, "whole", do, **how)
            self.whole[key] = place.files("whole")
            place.clear()
        return self.whole[key]

    def prepare(self, place: Place, name: str, do: str, how: Mapping[str, str]) -> None:
        """Write what is there before."""
        if do in ("replace", "region"):
            write_whole(place, name, "create", seed=OLD, **how)

    def point(self, place: Place, do: str, kind: str) -> None:
        """Stop a writer once, judge what is left, and go on."""
        how = {
            "method": str(self.random.choice(["local_mean", "nearest", "gaussian", "median"])),
            "version": str(self.random.choice(["0.4", "0.5"])),
        }
        wanted = self.reference(place, do, how)
        self.prepare(place, "a", do, how)
        before = place.files("a") if do in ("replace", "region") else {}
        label = (do, "local" if place.local else "S3", kind)
        ended = self.stop(place, do, kind, how, sum(map(len, wanted.values())))
        self.counts[label] += 1
        self.stopped[label] += not ended
        self.judge(place, do, before, wanted, ended=ended)
        again = {"resume": True} if do in ("create", "replace") else {}
        succeed(begin(place, "a", do, delay=0, **how, **again))
        if (found := place.files("a")) != wanted:
            differing = sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
            raise LostError(f"{label} {how}: after going on, {differing[:5]} differ")
        if place.local and (left := sorted(path.name for path in Path(place.root).iterdir())) != ["a"]:
            raise LostError(f"{label} {how}: {left} are left")
        place.clear()

    def stop(self, place: Place, do: str, kind: str, how: Mapping[str, str], nbytes: int) -> bool:
        """Run a writer and stop it; return whether it was at its end before."""
        if kind == "full disk":
            # a part takes little more than what is there
            most = 0.08 if do == "region" else 0.9
            with filled(Path(place.root), int(nbytes * self.random.uniform(0, most))):
                return ended(begin(place, "a", do, delay=0, **how))
        if kind == "failing store" and place.bucket is not None:
            # of reads and writes alike, for good from one request on
            last = itertools.count(-int(self.random.integers(1, 400)))
            place.bucket.proxy.faults = lambda _: s3.DENIED if next(last) >= 0 else None
            at_its_end = ended(begin(place, "a", do, delay=0, **how))
            place.bucket.proxy.faults = None
            return at_its_end
        if kind == "failing store":
            return ended(begin(place, "a", do, delay=0, fails=int(self.random.integers(1, 200)), **how))
        writer = begin(place, "a", do, delay=0.002 if place.local else 0, **how)
        for _ in range(int(self.random.integers(0, 60))):
            if not writer.stdout.readline():
                break
        time.sleep(float(self.random.random()) * 0.02)
        writer.send_signal(SIGNALS[kind])
        return ended(writer)

    def judge(
        self, place: Place, do: str, before: Mapping[str, bytes], wanted: Mapping[str, bytes], *, ended: bool
    ) -> None:
        """Look at what is left as anybody would."""
        try:
            tree = place.open("a")
        except (errors.StoreNotFoundError, errors.IncompleteStoreError):
            if ended or (place.local and do in ("replace", "region")):
                raise LostError(f"{do}: what was there is gone") from None
            return
        except errors.UnfinishedWarning:
            if do != "region":
                raise LostError(f"{do}: it is said to be a region") from None
            self.judge_outside(place)
            return
        pixels = [tree[level].image.values for level in tree.children]
        if do == "append":
            count = pixels[0].shape[0]
            if not 1 <= count <= 4 or any(len(level) != count for level in pixels):
                raise LostError(f"append: levels have {[len(level) for level in pixels]} time points")
            same(pixels, levels_of(place, NEW, tree, slice(0, count)), "append")
            return
        own = (".regions/", ".resume/", stage.LOCK)  # what tells of unfinished writes, and is no part of the store
        found = {key: content for key, content in place.files("a").items() if not key.startswith(own)}
        if found in (before, wanted) or (not place.local and almost(found, wanted)):
            return
        if do != "region" or place.local:
            raise LostError(f"{do}: it looks whole, and is neither the old nor the new one")
        self.judge_outside(place)  # reading from an object store asks for no notes: validate does

    def judge_outside(self, place: Place) -> None:
        """Make sure that outside of a region all is as it was, and that the region is told by `validate`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", errors.UnfinishedWarning)
            tree = xr.open_datatree(place.store("a"), engine="omezarr", storage_options=place.options)
        found = tree["0"].image.values
        old = pixels_of(OLD)
        outside = np.ones(found.shape, bool)
        outside[1:3, slice(*ROWS)] = False
        if not np.array_equal(found[outside], old[outside]):
            raise LostError("region: pixels outside of it have changed")
        findings = xomezarr.validate(place.store("a"), storage_options=place.options)
        if not any(one.rule == "128" for one in findings):
            raise LostError("region: validate does not tell of it")


def almost(found: Mapping[str, bytes], wanted: Mapping[str, bytes]) -> bool:
    """Return whether a store in an object store is whole, but for metadata to gather."""
    gathered = {".zmetadata", "zarr.json"}
    files = {key: content for key, content in found.items() if key not in gathered}
    return files == {key: content for key, content in wanted.items() if key not in gathered}


def pixels_of(seed: int) -> Any:
    return np.random.default_rng(seed).integers(1, 200, (4, 200, 200)).astype("u2")


def levels_of(place: Place, seed: int, tree: xr.DataTree, times: slice) -> list[Any]:
    """Return the pixels that the levels of a tree ought to have."""
    method = tree.omezarr.metadata.multiscale.type
    da = xr.DataArray(pixels_of(seed)[times], dims=("t", "y", "x"))
    made = da.omezarr.pyramid(method=method, levels=len(tree.children))
    return [made[level].image.values for level in made.children]


def same(found: list[Any], wanted: list[Any], what: str) -> None:
    for level, (one, other) in enumerate(zip(found, wanted, strict=True)):
        if not np.array_equal(one, other):
            raise LostError(f"{what}: level {level} is another")


@contextmanager
def filled(folder: Path, nbytes: int) -> Iterator[None]:
    """Leave so many bytes on the disk of a folder, which is a tmpfs, until the block ends."""
    ballast = folder / ".ballast"
    free = shutil.disk_usage(folder).free
    with ballast.open("wb") as file, suppress(OSError):
        left = free - nbytes
        block = b"\1" * 2**16
        while left > 0:
            left -= file.write(block[: min(left, len(block))])
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def small_disk(nbytes: int = 64 * 2**20) -> Iterator[Path | None]:
    """Yield the folder of a tmpfs of its own; None where this user may not mount one."""
    folder = Path(tempfile.mkdtemp())
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={nbytes}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    try:
        yield folder if mounted.returncode == 0 else None
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", str(folder)], check=False)
        shutil.rmtree(folder, ignore_errors=True)


# --- races -----------------------------------------------------------------------------------------------------------

TOLD = (
    "exists already",
    "made by another process",
    "is still being written",
    "was replaced by another process",
    "is gone",
    "is incomplete",
    "unfinished write",
)
"""What who is later may be told."""


def race(place: Place, random: np.random.Generator) -> tuple[str, str]:
    """Let two processes write one store at the same time; it is that of one of them in the end, whole."""
    kinds = [("create", "create"), ("replace", "replace"), ("region", "region"), ("append", "append")]
    kinds += [("create", "replace"), ("replace", "region")]
    pair = kinds[int(random.integers(len(kinds)))]
    how = {"method": "local_mean", "version": str(random.choice(["0.4", "0.5"]))}
    if {"region", "replace"} & {*pair}:
        write_whole(place, "a", "create", seed=OLD, **how)
    seeds = (NEW, NEW) if pair == ("append", "append") else (NEW, 3)
    # two regions that share a row of chunks
    rows = ((ROWS[0], 100), (100, ROWS[1])) if pair == ("region", "region") else (ROWS, ROWS)
    both = []
    for do, seed, part in zip(pair, seeds, rows, strict=True):
        both.append(begin(place, "a", do, seed=seed, delay=float(random.random()) * 0.003, rows=part, **how))
        time.sleep(float(random.random()) * 0.1)
    said = [writer.communicate()[1] for writer in both]
    codes = [writer.returncode for writer in both]
    for code, text in zip(codes, said, strict=True):
        allowed = TOLD if pair != ("append", "append") else (*TOLD, "has already", "which the image has")
        if code and not any(told in text for told in allowed):
            raise LostError(f"{pair}: a writer failed:\n{text}")
    if all(codes):
        raise LostError(f"{pair}: both failed:\n{said[0]}\n{said[1]}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = xr.open_datatree(place.store("a"), engine="omezarr", storage_options=place.options)
    pixels = [tree[level].image.values for level in tree.children]
    level0 = [pixels_of(seed) for seed in (OLD, NEW, 3)]
    if pair == ("replace", "region"):
        level0 = [pixels_of(NEW), mixed(pixels_of(NEW), 3, ROWS)]
    elif pair == ("region", "region"):
        level0 = [mixed(mixed(pixels_of(OLD), NEW, rows[0]), 3, rows[1])]
    if not any(pixels[0].shape == one.shape and np.array_equal(pixels[0], one) for one in level0):
        raise LostError(f"{pair}: level 0 is that of neither")
    made = xr.DataArray(pixels[0], dims=("t", "y", "x")).omezarr.pyramid(levels=len(pixels))
    same(pixels, [made[level].image.values for level in made.children], str(pair))
    place.clear()
    return pair


def mixed(pixels: Any, seed: int, rows: tuple[int, int]) -> Any:
    """Return an image with a region of another one."""
    found = pixels.copy()
    found[1:3, slice(*rows)] = pixels_of(seed)[1:3, slice(*rows)]
    return found


# --- a time-lapse ----------------------------------------------------------------------------------------------------

APPENDER = """
import resource, sys, warnings, json
import numpy as np, xarray as xr
warnings.simplefilter("ignore")
import xomezarr
store, count, options = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
times = np.cumsum(np.random.default_rng(7).random(count) + 0.1)
for index in range(count):
    frame = xr.DataArray(np.full((1, 256, 256), index + 1, "u2"), dims=("t", "y", "x"), coords={"t": times[[index]]})
    frame.omezarr.to_zarr(store, append_dim="t", levels=3, irregular="keep", storage_options=options)
    if index in (count // 5, count - 1):
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)
"""

FOLLOWER = """
import json, resource, sys, time, warnings
import numpy as np, xarray as xr
warnings.simplefilter("ignore")
import xomezarr
store, count, options = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
times = np.cumsum(np.random.default_rng(7).random(count) + 0.1)
seen = opens = begun = 0
last = time.monotonic()
while seen < count:
    assert time.monotonic() - last < 60, "nothing is appended any more"
    try:
        tree = xr.open_datatree(store, engine="omezarr", storage_options=options)
    except (FileNotFoundError, xomezarr.errors.IncompleteStoreError):
        time.sleep(0.01)
        continue
    (now,) = {tree[level].sizes["t"] for level in tree.children}
    assert now >= seen, (now, seen)
    assert (tree["0"].image.t.values == times[:now]).all()
    for level in tree.children:
        assert (tree[level].image[now - 1].values == now).all(), (level, now)
    last = time.monotonic() if now > seen else last
    seen, opens = now, opens + 1
    if opens == 20:
        begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(opens, begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@dataclass(frozen=True)
class Lapse:
    """What was seen of a time-lapse while it was appended to; memory in MiB, early and at the end."""

    frames: int
    opens: int
    seconds: float
    writer: tuple[float, float]
    readers: tuple[float, float]


def lapse(place: Place, frames: int, readers: int) -> Lapse:
    """Append time points one by one while others read."""
    arguments = [place.store("a"), str(frames), json.dumps(place.options)]

    def run(code: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    followers = [run(FOLLOWER) for _ in range(readers)]
    started = time.perf_counter()
    told, said = (writer := run(APPENDER)).communicate()
    seconds = time.perf_counter() - started
    if writer.returncode:
        for follower in followers:
            follower.kill()
        raise LostError(f"appending failed:\n{said}")
    of_writer = [int(line) / 1024 for line in told.split()]
    opens, early, late = 0, 0.0, 0.0
    for follower in followers:
        told, said = follower.communicate(timeout=300)
        if follower.returncode:
            raise LostError(f"a reader saw what is no whole time point:\n{said}")
        counted, first, last = map(int, told.split())
        opens, early, late = opens + counted, max(early, first / 1024), max(late, last / 1024)
    place.clear()
    return Lapse(frames, opens, seconds, (of_writer[0], of_writer[-1]), (early, late))


# --- all of it -------------------------------------------------------------------------------------------------------


def points(
    suite: Suite, places: Mapping[str, Place], count: int, *, disk: Place | None = None, told: Callable[[str], None]
) -> None:
    """Stop so many writers, each operation, place and way in turn."""
    choices = [
        (do, name, kind)
        for name in places
        for do, kind in itertools.product(OPERATIONS, KINDS)
        if kind != "full disk" or (disk is not None and name == "local")
    ]
    order = suite.random.permutation(len(choices))
    for number in range(count):
        do, name, kind = choices[int(order[number % len(choices)])]
        suite.point(disk if kind == "full disk" and disk is not None else places[name], do, kind)
        told(f"{number + 1} of {count}: {do}, {name}, {kind}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--races", type=int, default=50)
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--readers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    where = ("local", "S3")
    parser.add_argument("--where", nargs="+", choices=where, default=where, help="of the points")
    parser.add_argument("--write", type=Path, help="a file that takes the table of what was found")
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    lines = [f"| what | where | {' | '.join(KINDS)} |", f"| --- | --- | {' | '.join('---' for _ in KINDS)} |"]
    with tempfile.TemporaryDirectory() as folder, small_disk() as disk, in_s3(wanted="S3" in asked.where) as bucket:
        (Path(folder) / "stores").mkdir()
        local = Place(f"{folder}/stores")
        places = {name: place for name in asked.where if (place := {"local": local, "S3": bucket}[name]) is not None}
        suite, started = Suite(np.random.default_rng(asked.seed)), time.perf_counter()
        points(
            suite,
            places,
            asked.points,
            disk=None if disk is None else Place(str(disk)),
            told=lambda text: print(text, flush=True),
        )
        seconds = time.perf_counter() - started
        for do, name in itertools.product(OPERATIONS, places):
            cells = [
                f"{suite.counts[do, name, kind]} ({suite.stopped[do, name, kind]})"
                if suite.counts[do, name, kind]
                else ""
                for kind in KINDS
            ]
            lines.append(f"| {do} | {name} | {' | '.join(cells)} |")
        lines += ["", f"{asked.points} points in {seconds / 60:.0f} min; nothing was lost.", ""]
        random, pairs = np.random.default_rng(asked.seed), Counter[tuple[str, str]]()
        for number in range(asked.races):
            pair = race(local, random)
            pairs[pair] += 1
            print(f"race {number + 1} of {asked.races}: {' against '.join(pair)}", flush=True)
        if pairs:
            listed = ", ".join(f"{' against '.join(pair)} {n}" for pair, n in sorted(pairs.items()))
            lines += [f"{asked.races} races of two processes, each with one whole image in the end: {listed}.", ""]
        if asked.frames:
            seen = lapse(local, asked.frames, asked.readers)
            lines += [
                f"{seen.frames} time points of 256 by 256 pixels, at irregular times, appended one by one in "
                f"{seen.seconds:.0f} s, while {asked.readers} readers opened the image {seen.opens} times: each saw "
                f"whole time points at their times, in all levels. Memory of the writer after a fifth, and in the end: "
                f"{seen.writer[0]:.0f} and {seen.writer[1]:.0f} MiB; of a reader after 20 looks, and in the end: "
                f"{seen.readers[0]:.0f} and {seen.readers[1]:.0f} MiB.",
                "",
            ]
    text = "\n".join(lines)
    print(text)
    if asked.write is not None:
        asked.write.write_text(text)


@contextmanager
def in_s3(*, wanted: bool) -> Iterator[Place | None]:
    """Yield a bucket of a server process of its own."""
    if not wanted:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder, s3.s3_server(Path(folder) / "log") as url, s3.proxy(url) as between:
        s3.make_bucket(url, "faults")
        bucket = Bucket(url, "faults", between)
        yield Place(bucket.url("").rstrip("/"), bucket.options(), bucket)


if __name__ == "__main__":
    main()
