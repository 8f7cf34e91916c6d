"""Every chunk of an image: what cannot be decoded, what is not there, and what no pixel lies in."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xomezarr.chunks import Chunks, guarded
from xomezarr.direct import wait
from xomezarr.documents import chunk_key, chunk_place
from xomezarr.errors import TOLD, UNREADABLE_MEMBER, CodecError
from xomezarr.lazy import zarr
from xomezarr.presence import reopened
from xomezarr.report import Finding
from xomezarr.resources import Resources
from xomezarr.store import open_array
from xomezarr.validate.arrays import StoredArray

__all__ = ["check_chunks"]

AT_ONCE = 256
"""Chunks that wait to be read: their numbers, and not what they hold."""

MOST_ASKED = 10**6
"""Chunks that are asked for one by one, where a store does not list what it holds."""

COPY = "copy the store again, or write the image anew"


def check_chunks(group: zarr.Group, arrays: Sequence[StoredArray | None]) -> Iterator[Finding]:
    """98 (own): each chunk can be decoded. 116 (a note): these are not there. 117 (own): none lies beyond its array.

    They are read by threads, each of which holds one at a time, be it a shard.

    Parameters
    ----------
    group
        Of the image.
    arrays
        Those of its levels that are there.
    """
    for path in dict.fromkeys(stored.path for stored in arrays if stored is not None):
        try:
            array = guarded(reopened(open_array(group, path)))
        except (*UNREADABLE_MEMBER, CodecError) as error:
            told, _, cure = str(error).rpartition("; ")
            yield Finding("98", "error", path, told or cure, cure if told else COPY)
            continue
        yield from _check(array, path)


def _check(array: zarr.Array[Any], path: str) -> Iterator[Finding]:
    chunks = Chunks(array)
    counts = [-(-n // size) for n, size in zip(array.shape, chunks.grid, strict=True)]
    total = math.prod(counts)
    found, what = _Found(), "chunks" if array.shards is None else "shards"
    keys = _keys(array)
    if keys is None and total > MOST_ASKED:
        told = f"the store does not list its {total} {what}, too many to ask for each"
        yield Finding("116", "note", path, told, "validate a copy of it on a disk")
        return
    present = _places(array, counts, found, keys)
    with ThreadPoolExecutor(Resources.asked(None, None).workers) as pool:
        for batch in itertools.batched(present, AT_ONCE):
            for index, told in zip(batch, pool.map(lambda one: _fault(chunks, one), batch), strict=True):
                found.add(index, told)
    yield from found.findings(path, what, total, array)


@dataclass(slots=True)
class _Found:
    """What was found of an array's chunks: how many, and the first of those that are told."""

    read: int = 0
    damaged: int = 0
    first: list[tuple[tuple[int, ...], str]] = field(default_factory=list)
    beyond: int = 0
    beyond_first: str = ""

    def add(self, index: tuple[int, ...], told: str) -> None:
        """Count a chunk that was read, and keep what is wrong with it."""
        self.read += 1
        if told:
            self.damaged += 1
            self.first = sorted([*self.first, (index, told)])[:TOLD]

    def findings(self, path: str, what: str, total: int, array: zarr.Array[Any]) -> Iterator[Finding]:
        """Yield what is to be told."""
        for _, told in self.first:
            fault, _, cure = told.rpartition("; ")
            yield Finding("98", "error", path, fault or cure, cure if fault else COPY)
        if more := self.damaged - len(self.first):
            yield Finding("98", "error", path, f"{more} more {what} cannot be decoded", COPY)
        if missing := total - self.read:
            fill = 0 if array.fill_value is None else np.asarray(array.fill_value).item()
            told = f"{missing} of {total} {what} are not there, and read as the fill value {fill!r}"
            yield Finding("116", "note", path, told, "if they ever held other pixels, copy the store again")
        if self.beyond:
            told = f"{self.beyond} {what} lie beyond its shape {array.shape}, such as {self.beyond_first!r}"
            yield Finding("117", "warning", path, told, "remove them, or mend the shape in the metadata")


def _fault(chunks: Chunks, index: tuple[int, ...]) -> str:
    """Read a chunk; return what is wrong with it, nothing if all is well."""
    begins = [i * size for i, size in zip(index, chunks.grid, strict=True)]
    try:
        chunks.read(
            tuple(
                slice(begin, min(begin + size, n))
                for begin, size, n in zip(begins, chunks.grid, chunks.shape, strict=True)
            )
        )
    except (*UNREADABLE_MEMBER, MemoryError) as error:
        return str(error) or f"chunk {index} cannot be read ({type(error).__name__}); {COPY}"
    return ""


def _places(
    array: zarr.Array[Any], counts: Sequence[int], found: _Found, keys: Iterator[str] | None
) -> Iterator[tuple[int, ...]]:
    """Yield the chunks that are there, by their numbers along each axis; those beyond the array are counted."""
    document = array.metadata.to_dict()
    if keys is None:
        key = chunk_key(document)
        for index in itertools.product(*map(range, counts)):
            if wait(array.store.exists(f"{array.path}/{key(index)}".strip("/"))):
                yield index
        return
    place = chunk_place(document)
    for name in keys:
        where = place(name)
        if where is None:
            continue
        if all(i < count for i, count in zip(where, counts, strict=True)):
            yield where
        else:
            found.beyond += 1
            found.beyond_first = min(found.beyond_first or name, name)


def _keys(array: zarr.Array[Any]) -> Iterator[str] | None:
    """Return the keys of all that lies below an array; None where the store does not list it.

    Those of a folder are found as they are asked for, so that as many as there are take no memory.
    """
    store, begin = array.store, f"{array.path}/" if array.path else ""
    if isinstance(store, zarr.storage.LocalStore):
        return _files(Path(store.root, array.path), "", 1 + array.ndim)

    async def listed() -> list[str]:
        return [key.removeprefix(begin) async for key in store.list_prefix(begin)]

    try:
        names = wait(listed())
    except (NotImplementedError, OSError):
        return None
    return iter(names) if names else None  # its metadata are there at least


def _files(folder: Path, begin: str, depth: int) -> Iterator[str]:
    """Yield the files in a folder, and in those below it, as deep as chunks lie: links may lead around."""
    with os.scandir(folder) as entries:
        for entry in entries:
            is_folder = False
            with suppress(OSError):  # a link in a circle, which reading tells
                is_folder = entry.is_dir()
            if not is_folder:
                yield begin + entry.name
            elif depth > 1:
                yield from _files(Path(entry.path), f"{begin}{entry.name}/", depth - 1)
