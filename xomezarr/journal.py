"""What of an image is written already, kept in the store while it is being written.

Beside the levels of an image in the making there is, until it is whole::

    .resume/plan.json           what is being written, and the tiles that it is cut into
    .resume/done/PASS-…         tiles of a pass that are done, with all that they are made of
    .resume/carries/PASS/TILE   what the tile of the next level is made of
    .resume/levels/LEVEL        carries of whole levels, of methods that need more of them than their pixels
    .resume/safe-BOOT           until when what a machine had written was on its disk

and beside several images that are written to one group, each of which may have such notes of its own::

    .resume/plan.json           what is being written, by the paths of the images
    .resume/done/images-…       images that are whole

A tile is noted when it stands for enough pixels (`UNIT_BYTES`), so that the notes take next to no time. What was
written since is written again. A note is taken for true if the machine has run on since, or if a later look found all
that was written before it on the disk: of a machine that loses its power the last seconds are lost.
"""

from __future__ import annotations

import errno
import itertools
import json
import math
import os
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xomezarr.direct import AT_ONCE, get_document, get_documents, names_below, put_document, takes_zarr_alone, wait
from xomezarr.errors import UNREADABLE_MEMBER, ResumeError
from xomezarr.lazy import zarr
from xomezarr.spec import is_ome
from xomezarr.tiling import Pass, Tile, Tiling

__all__ = [
    "NOTHING",
    "RESUME",
    "Begun",
    "Journal",
    "Ledger",
    "Made",
    "Register",
    "entry_of",
    "folder_of",
    "is_safe",
    "keeps_notes",
    "made",
    "put_on_disk",
    "told_apart",
    "unit_level",
    "version_in",
]

RESUME = ".resume"
"""Name of the folder, in the group of an image."""

UNIT_BYTES = 2**27
"""Pixels of level 0, in bytes, that a note stands for at least: half a second of work, of which a note is a few
thousandths. It stands for a tile of the finest level that has such, so for what one step gathers of less at most; that
is what an interruption costs each worker."""

SMALL_CARRY = 32
"""What is noted with a tile has a part of its bytes that is no more than one in so many."""

SAFE_SECONDS = 10.0
"""How often what was written is put on the disk: as often as systems do by themselves, on which this relies where it
cannot ask for it."""

CLEARINGS = 10
"""How often notes are deleted in which more appear meanwhile: of each process at most one more, in that moment."""


def unit_level(tiling: Tiling, itemsize: int, carry: int) -> int | None:
    """Return the level of a tiling whose tiles are noted; None where levels are not made from each other: all are.

    Parameters
    ----------
    itemsize, carry
        Bytes of a pixel, and of a pixel of a carry.

    Examples
    --------
    >>> shapes, steps = [(1024,) * 3, (512,) * 3, (256,) * 3, (128,) * 3], [(2,) * 3] * 3
    >>> tiling = Tiling.growing(shapes, steps, [(64,) * 3] * 4, (128,) * 3)
    >>> unit_level(tiling, 2, 8)
    3
    """
    if not tiling.linked:
        return None
    for level in range(tiling.top):
        pixels = tiling.covers(level)
        of_next = pixels // math.prod(map(math.prod, tiling.steps[: level + 1]))
        if pixels * itemsize >= UNIT_BYTES and of_next * carry * SMALL_CARRY <= pixels * itemsize:
            return level
    return tiling.top


@dataclass(frozen=True, slots=True)
class Begun:
    """An image whose writing was begun, as its journal tells of it.

    Parameters
    ----------
    document
        What was to be written.
    passes
        The tiles that the image is cut into, as they were chosen when the write was begun.
    done
        Tiles that are done, by pass.
    """

    document: Mapping[str, Any]
    passes: tuple[Pass, ...]
    done: Mapping[int, frozenset[Tile]]

    @property
    def tile_count(self) -> int:
        """Tiles that are done, with those that they are made of."""
        count = 0
        for number, walk in enumerate(self.passes):
            written = [level - walk.first for level in walk.writes]
            for tile in self.done.get(number, ()):
                count += sum(under.level in written for under in walk.tiling.subtree(tile))
        return count

    @property
    def tiles(self) -> int:
        """All tiles, those of its labels too."""
        return int(self.document["tiles"])

    def difference(self, asked: Mapping[str, Any]) -> str:
        """Say in what it is another than what is asked for; empty if in nothing."""
        if other := told_apart(self.document, asked):
            return other
        if asked["order"] != self.document.get("order"):
            return (
                "it read pixels from memory or a file, and now dask computes them, or the other way round, which takes "
                "other steps with this method"
            )
        return ""


COMPARED = {
    "shape": "the shape",
    "dtype": "the dtype",
    "version": "version",
    "layout": "the layout",
    "method": "the method",
    "levels": "the levels",
    "labels": "the labels",
    "write_empty_chunks": "write_empty_chunks",
    "units": "the units",
    "scale": "the scale",
    "translation": "the translation",
    "channels": "the channels",
}
"""What has to be as it was, where it is asked, and how it is called."""


def told_apart(was: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """Say in what something was written, as far as it is given, otherwise than is asked for; empty if in nothing.

    >>> told_apart({"method": "mode"}, {"method": "min"})
    'the method: "mode", and not "min"'
    """
    other = [
        f"{called}{_difference(was.get(key), asked[key])}"
        for key, called in COMPARED.items()
        if key in asked and asked[key] != was.get(key)
    ]
    return "; ".join(other)


def _difference(was: Any, asked: Any, where: tuple[str, ...] = ()) -> str:
    """Say where two JSON documents differ first, and how.

    >>> _difference([{"dtype": "uint8"}], [{"dtype": "int8"}])
    ' (0.dtype): "uint8", and not "int8"'
    """
    parts: list[tuple[str, Any, Any]] = []
    if isinstance(was, dict) and isinstance(asked, dict):
        parts = [(key, was.get(key), asked.get(key)) for key in was | asked]
    elif isinstance(was, list) and isinstance(asked, list) and len(was) == len(asked):
        parts = [(str(index), *both) for index, both in enumerate(zip(was, asked, strict=True))]
    for key, one, other in parts:
        if one != other:
            return _difference(one, other, (*where, key))
    return f"{f' ({".".join(where)})' if where else ''}: {_shown(was)}, and not {_shown(asked)}"


def _shown(what: Any) -> str:
    text = json.dumps(what)
    return text if len(text) < LONG_TEXT else f"{text[:LONG_TEXT]}…"


LONG_TEXT = 300


def entry_of(walk: Pass) -> dict[str, Any]:
    """Return a pass as a JSON object."""
    tiling = walk.tiling
    return {
        "shapes": tiling.shapes,
        "steps": tiling.steps,
        "sizes": tiling.sizes,
        "linked": tiling.linked,
        "workers": walk.workers,
        "memory": walk.memory,
        "reads": walk.reads,
        "first": walk.first,
        "writes": walk.writes,
    }


def _pass_of(entry: Mapping[str, Any]) -> Pass:
    def tuples(lists: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(map(int, one)) for one in lists)

    tiling = Tiling(tuples(entry["shapes"]), tuples(entry["steps"]), tuples(entry["sizes"]), bool(entry["linked"]))
    return Pass(tiling, entry["workers"], entry["memory"], entry["reads"], entry["first"], tuple(entry["writes"]))


class Journal:
    """What is noted while an image is written.

    Parameters
    ----------
    group
        Of the image.
    begun
        What was noted before; None for a write that begins.
    """

    def __init__(self, group: zarr.Group, begun: Begun | None = None) -> None:
        self._group, self._begun = group, begun
        self._ledgers: list[Ledger] = []

    @classmethod
    def begin(cls, group: zarr.Group, document: Mapping[str, Any]) -> Journal:
        """Begin to note what is done of a write."""
        put_document(group, f"{RESUME}/plan.json", json.dumps(document).encode())
        return cls(group)

    @property
    def resumed(self) -> bool:
        """Whether the write had been begun before."""
        return self._begun is not None

    def ledger(self, number: int, walk: Pass, itemsize: int, carry: int) -> Ledger:
        """Return what is done of a pass."""
        done = frozenset() if self._begun is None else self._begun.done.get(number, frozenset())
        level = unit_level(walk.tiling, itemsize, carry)
        made = Ledger(self._group, number, level, done, itemsize)
        self._ledgers.append(made)
        return made

    def flush(self) -> None:
        """Note what is done and not noted yet, where that, with what is noted, is worth it."""
        noted = self.resumed or any(ledger.noted for ledger in self._ledgers)
        if noted or sum(ledger.waiting for ledger in self._ledgers) >= UNIT_BYTES:
            for ledger in self._ledgers:
                ledger.flush()

    def clear(self) -> None:
        """Delete it: the image is whole."""
        for left in reversed(range(CLEARINGS)):
            try:
                wait(self._group.store.delete_dir((self._group.store_path / RESUME).path))
            except OSError as error:
                # what a process that nobody waits for has put there meanwhile: see `_Safe`
                if error.errno != errno.ENOTEMPTY or not left:
                    raise
            else:
                return


class Ledger:
    """The tiles of a pass that are done: it can be asked for them, and told of more, also in other processes.

    Parameters
    ----------
    group
        Of the image.
    number
        Of the pass.
    level
        Of the tiling, whose tiles are noted with what is made of them; None for those of all levels, of which nothing
        is made.
    done
        Tiles that were done before.
    itemsize
        Bytes of a pixel.
    """

    def __init__(
        self,
        group: zarr.Group,
        number: int,
        level: int | None,
        done: frozenset[Tile],
        itemsize: int,
        *,
        gathers: bool = True,
    ) -> None:
        self._group, self.number, self.level, self.done, self.itemsize = group, number, level, done, itemsize
        # in another process it may go at any time
        self._gathers = gathers
        self.noted = False
        self._lock = threading.Lock()
        self._waiting: list[Tile] = []
        self._nbytes = 0
        self._safe = _Safe.of(group)

    def __reduce__(self) -> Any:
        elsewhere = partial(Ledger, gathers=False)
        return (elsewhere, (self._group, self.number, self.level, self.done, self.itemsize))

    @property
    def waiting(self) -> int:
        """Bytes that tiles stand for which are done and not noted yet."""
        return self._nbytes

    def notes(self, tile: Tile) -> bool:
        """Whether a tile is one of those that are noted."""
        return self.level is None or tile.level == self.level

    def note(self, tile: Tile, carry: NDArray[Any] | None, nbytes: int) -> None:
        """Note that a tile, which stands for so many bytes, is done, and what the next level is made of."""
        if carry is not None:
            put_document(self._group, self._carry(tile), np.ascontiguousarray(carry).tobytes())
        with self._lock:
            self._waiting.append(tile)
            self._nbytes += nbytes
        if carry is not None or self._nbytes >= UNIT_BYTES or not self._gathers:
            self.flush()

    def flush(self) -> None:
        """Note what is done and not noted yet."""
        with self._lock:
            tiles, self._waiting, self._nbytes = self._waiting, [], 0
        if tiles:
            self.noted = True
            _put_note(self._group, str(self.number), {"tiles": [tile.id for tile in tiles]})
            if self._safe is not None:
                self._safe.look()

    def carry(self, tile: Tile, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return what the next level is made of.

        Raises
        ------
        ResumeError
            If it is not there, as it was noted.
        """
        content = get_document(self._group.store, (self._group.store_path / self._carry(tile)).path)
        if content is None or len(content) != math.prod(shape) * dtype.itemsize:
            raise ResumeError(
                f"what was noted of a tile of {str(self._group.store_path)!r}, {self._carry(tile)}, is "
                f"{'gone' if content is None else 'cut off'}: another process may have gone on with it; wait for that, "
                'or write it again without resume=True, with mode="w"'
            )
        return np.frombuffer(content, dtype).reshape(shape)

    def _carry(self, tile: Tile) -> str:
        return f"{RESUME}/carries/{self.number}/{tile.id.replace('/', '.')}"


def _put_note(group: zarr.Group, about: str, noted: Mapping[str, Any]) -> None:
    """Write a note, with what tells later whether it is true."""
    key = f"{RESUME}/done/{about}-{uuid.uuid4().hex}"
    put_document(group, key, json.dumps({**noted, "boot": boot(), "time": since_start()}).encode())


IMAGES = "images"

NOTE_SECONDS = 1.0
"""How long images that are whole are gathered for one note at most, of which each takes a part of a millisecond."""


class Register:
    """What is noted while several images are written to one group: which of them are whole.

    Parameters
    ----------
    group
        That holds them.
    noted
        Whether something is noted already.
    """

    def __init__(self, group: zarr.Group, *, noted: bool = False) -> None:
        self._group, self._noted, self._safe = group, noted, _Safe.of(group)
        self._waiting: list[str] = []
        self._nbytes, self._last = 0, time.monotonic()

    @classmethod
    def begin(cls, group: zarr.Group, said: Mapping[str, Any]) -> Register:
        """Begin to note which images are whole; what they are is said by their paths, of many often the same."""
        kinds: dict[str, int] = {}
        images = {path: kinds.setdefault(json.dumps(of_image), len(kinds)) for path, of_image in said.items()}
        document = {"kinds": [json.loads(kind) for kind in kinds], IMAGES: images}
        put_document(group, f"{RESUME}/plan.json", json.dumps(document).encode())
        return cls(group)

    def note(self, path: str, nbytes: int) -> None:
        """Note that an image of so many bytes is whole."""
        self._waiting.append(path)
        self._nbytes += nbytes
        if self._nbytes >= UNIT_BYTES or self._is_late:
            self.flush()

    def flush(self) -> None:
        """Note what is whole and not noted yet, where that, with what is noted, is worth it."""
        if self._waiting and (self._noted or self._nbytes >= UNIT_BYTES or self._is_late):
            _put_note(self._group, IMAGES, {IMAGES: self._waiting})
            self._waiting, self._nbytes, self._last, self._noted = [], 0, time.monotonic(), True
            if self._safe is not None:
                self._safe.look()

    @property
    def _is_late(self) -> bool:
        return time.monotonic() - self._last >= NOTE_SECONDS

    def clear(self) -> None:
        """Delete the notes: all images are whole."""
        Journal(self._group).clear()


# --- reading it again ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Made:
    """What of the image of a group, or of several, is made.

    Parameters
    ----------
    ended
        Whether it has its OME metadata, which come last.
    begun
        What is noted of it; None where it has ended, and where nothing could be gone on with.
    labels
        Those of its labels of which something is made, by name.
    several
        What was to be written, by path, where it is a group of several images.
    images
        Those of several of which something is made, by path.
    """

    ended: bool = False
    begun: Begun | None = None
    labels: Mapping[str, Made] = field(default_factory=dict)
    several: Mapping[str, Any] = field(default_factory=dict)
    images: Mapping[str, Made] = field(default_factory=dict)

    @property
    def tile_count(self) -> int:
        """Tiles that are done, with those of its labels, but for those that have ended."""
        own = 0 if self.begun is None else self.begun.tile_count
        return own + sum(of_label.tile_count for of_label in self.labels.values())

    def __bool__(self) -> bool:
        """Whether there is anything that could be gone on with."""
        return self.ended or bool(self.tile_count) or bool(self.images)

    def __str__(self) -> str:
        """Say how much it is; an empty text where it is nothing."""
        if self.ended:
            return "all of it is made"
        if self.several:
            count = sum(of_image.ended for of_image in self.images.values())
            return f"{count} of {len(self.several)} images are made" if self else ""
        return f"{self.tile_count} of {self.begun.tiles} tiles are made" if self.begun is not None and self else ""


NOTHING = Made()


def made(group: zarr.Group) -> Made:
    """Find out how much of the image of a group is made, with its labels, or of several images in it.

    >>> str(made(zarr.create_group(zarr.storage.MemoryStore())))
    ''
    """
    ended, document = is_ome(group.attrs), None
    if not ended and keeps_notes(group.store):
        document = _json(get_document(group.store, (group.store_path / f"{RESUME}/plan.json").path))
    if document is not None and IMAGES in document:
        return _several_in(group, document)
    begun = None if document is None else _begun_in(group, document)
    names: Iterable[str] = [] if begun is None else begun.document["labels"]
    if ended:
        names = names_below(group.store, (group.store_path / "labels").path)
    labels = {name: _made_below(group, f"labels/{name}") for name in names}
    return Made(ended, begun, {name: of_label for name, of_label in labels.items() if of_label})


def _made_below(group: zarr.Group, path: str) -> Made:
    """Find it out of a group below another; nothing where its documents were cut off, as by a loss of power."""
    with suppress(*UNREADABLE_MEMBER):
        member = group[path]
        return made(member) if isinstance(member, zarr.Group) else NOTHING
    return NOTHING


def keeps_notes(store: Any) -> bool:
    """Whether notes can be kept in a store, and deleted."""
    return bool(store.supports_deletes) and not takes_zarr_alone(store)


def _begun_in(group: zarr.Group, document: Mapping[str, Any]) -> Begun | None:
    """Read what is noted of an unfinished image; None if there is nothing that can be gone on with."""
    try:
        passes = tuple(_pass_of(entry) for entry in document["passes"])
        int(document["tiles"]), list(document["labels"])
    except (KeyError, TypeError, ValueError, AssertionError):
        return None
    done: dict[int, set[Tile]] = {}
    for about, found in _true_notes(group):
        if about.isdigit() and int(about) < len(passes):
            done.setdefault(int(about), set()).update(_tiles_of(found, passes[int(about)].tiling))
    return Begun(document, passes, {number: frozenset(tiles) for number, tiles in done.items()})


def _several_in(group: zarr.Group, document: Mapping[str, Any]) -> Made:
    """Read what is noted of several images: those that are whole, and that which was being written."""
    try:
        kinds = list(document["kinds"])
        said = {str(path): kinds[int(kind)] for path, kind in document[IMAGES].items()}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return NOTHING
    noted = [found.get(IMAGES) for about, found in _true_notes(group) if about == IMAGES]
    whole = {path for paths in noted if isinstance(paths, list) for path in paths if path in said}
    images = {path: Made(ended=True) for path in said if path in whole}
    last = next((path for path in said if path not in whole), None)
    # one that has ended, and of which that is not noted, may be none that a machine without power had on its disk
    if last is not None and (of_last := _made_below(group, last)) and not of_last.ended:
        images[last] = of_last
    return Made(several=said, images=images)


def _true_notes(group: zarr.Group) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the notes that are true, each with what it is about."""
    store, place = group.store, (group.store_path / RESUME).path
    safe = {
        name.removeprefix(SAFE): float(found.get("time", 0))
        for name in names_below(store, place)
        if name.startswith(SAFE) and (found := _json(get_document(store, f"{place}/{name}"))) is not None
    }
    for names in itertools.batched(sorted(names_below(store, f"{place}/done")), AT_ONCE):
        for name, content in zip(names, get_documents(store, [f"{place}/done/{name}" for name in names]), strict=True):
            found = _json(content)
            if found is not None and _is_true(group, found, safe):
                yield name.partition("-")[0], found


def version_in(folder: Path) -> str | None:
    """Return the version of OME-Zarr of the unfinished image in a folder; None where nothing is noted of one."""
    try:
        document = _json((folder / RESUME / "plan.json").read_bytes())
    except OSError:
        return None
    kinds = None if document is None else document.get("kinds")
    said = kinds[0] if isinstance(kinds, list) and kinds and isinstance(kinds[0], dict) else document
    return None if said is None else str(said.get("version"))


def _tiles_of(found: Mapping[str, Any], tiling: Tiling) -> list[Tile]:
    """Return the tiles that a note names; none of a note that makes no sense."""
    tiles = []
    try:
        for name in found["tiles"]:
            level, _, index = name.partition("/")
            tile = Tile(int(level), tuple(map(int, index.split("."))))
            counts = tiling.counts(tile.level)
            if len(counts) == len(tile.index) and all(0 <= i < n for i, n in zip(tile.index, counts, strict=True)):
                tiles.append(tile)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return []
    return tiles


def _is_true(group: zarr.Group, found: Mapping[str, Any], safe: Mapping[str, float]) -> bool:
    """Whether what a note says was written is there: what a machine without power had not put on its disk is not."""
    if folder_of(group) is None:
        return True
    noted_by = found.get("boot")
    return noted_by == boot() or (isinstance(found.get("time"), float) and found["time"] <= safe.get(str(noted_by), 0))


def _json(content: bytes | None) -> dict[str, Any] | None:
    """Read a JSON object; None of one that was cut off."""
    if content is None:
        return None
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


# --- the power of the machine ----------------------------------------------------------------------------------------


SAFE = "safe-"


def is_safe() -> bool:
    """Whether this system can be asked to put on the disk what was written."""
    return _sync_call() is not None


@cache
def boot() -> str:
    """Return a mark of this machine, which changes when it is started again."""
    from xomezarr import stage

    return stage.boot()


def since_start() -> float:
    """Return seconds on a clock that nobody sets, which all processes of a machine have from when it was started."""
    return time.monotonic()


def folder_of(group: zarr.Group) -> Path | None:
    """Return the folder of a group in a local store."""
    root = getattr(group.store, "root", None)
    return root / group.path if isinstance(root, Path) else None


class _Safe:
    """Sees to it that what is written is on the disk, now and then, and says so; the writer does not wait for it."""

    def __init__(self, group: zarr.Group, folder: Path) -> None:
        self._group, self._folder = group, folder
        self._last = time.monotonic()
        self._busy = False
        self._lock = threading.Lock()

    @classmethod
    def of(cls, group: zarr.Group) -> _Safe | None:
        """Return it for a local store, where the system can be asked."""
        folder = folder_of(group)
        return None if folder is None or not is_safe() else cls(group, folder)

    def look(self) -> None:
        """Put on the disk what is written, if that is due."""
        with self._lock:
            if self._busy or time.monotonic() - self._last < SAFE_SECONDS:
                return
            self._busy = True
        threading.Thread(target=self._sync, name="xomezarr-safe", daemon=True).start()

    def _sync(self) -> None:
        now = since_start()
        # the folder may be gone, and the store abandoned
        with suppress(OSError, ValueError):
            put_on_disk(self._folder)
            # among the notes that are there: where the image is whole by now, they are not brought back
            number = os.open(self._folder / RESUME / f"{SAFE}{boot()}", os.O_WRONLY | os.O_CREAT, 0o666)
            try:
                # of one length each time: whoever reads it while it is written finds one or the other
                os.write(number, f'{{"time": {now:20.6f}}}'.encode())
            finally:
                os.close(number)
        with self._lock:
            self._last, self._busy = time.monotonic(), False


def put_on_disk(folder: Path) -> None:
    """Put on the disk what was written to the file system of a folder, where the system can be asked to."""
    if not is_safe():
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        _sync_call()(number)
    finally:
        os.close(number)


@cache
def _sync_call() -> Any:
    """Return the system's call that does so for one file system, or for all."""
    import ctypes

    try:
        one = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError, TypeError):
        every = getattr(os, "sync", None)
        return None if every is None else lambda number: every()

    def call(number: int) -> None:
        if one(number) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))

    return call
