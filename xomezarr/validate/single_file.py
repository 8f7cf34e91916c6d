"""The zip file that an OME-Zarr hierarchy is in, against RFC-9."""

from __future__ import annotations

import json
import shlex
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

from xomezarr import spec
from xomezarr.archive import METADATA, SUFFIX, in_order
from xomezarr.report import Finding
from xomezarr.zipped import ZippedStore

__all__ = ["FILE_RULES", "examine_file"]

ANEW = "write the file anew, as xomezarr does"

FEW = 100
"""Entries of an array that are not worth a shard: they take 10 KB of what is read to open the file."""


def examine_file(store: ZippedStore, version: str | None) -> Iterator[Finding]:
    """Yield what is wrong with a single file itself, whose hierarchy is of a version; no chunk is read.

    RFC-9 is about files of Zarr v3: of one of v2 its name is told alone, and those of its entries.
    """
    if METADATA not in store.names:
        yield from named(store)
        yield from called(store)
        return
    for rule in FILE_RULES:
        yield from rule(store)
    yield from spec.comment_findings(store.comment, version, documents_first=_first_astray(store.names) is None)


def documents_first(store: ZippedStore) -> Iterator[Finding]:
    """120 (SHOULD, RFC-9): zarr.json of the root is the first entry, others follow breadth first, then chunks."""
    if (name := _first_astray(store.names)) is not None:
        told = f"{name!r} does not stand where it should: first zarr.json of the root, then the others breadth first"
        yield Finding("120", "warning", name, told, ANEW)


def _first_astray(names: Iterable[str]) -> str | None:
    """Return the first document that stands after a chunk, or after a deeper one; None if none does."""
    deepest, chunks = 0, False
    for index, name in enumerate(names):
        if not _is_document(name):
            chunks = True
            continue
        depth = in_order(name)[1]
        if chunks or depth < deepest or (index == 0) != (depth == 1):
            return name
        deepest = depth
    return None


def _is_document(name: str) -> bool:
    return PurePosixPath(name).name == METADATA


def uncompressed(store: ZippedStore) -> Iterator[Finding]:
    """122 (SHOULD, RFC-9): entries are not compressed by zip; chunks are by Zarr already, and ranges can be read."""
    found = [name for name, entry in store.names.items() if entry.compress_type != zipfile.ZIP_STORED]
    if found:
        told = f"{len(found)} of {len(store.names)} entries are compressed by zip, and can only be read whole"
        yield Finding("122", "warning", found[0], told, f"{ANEW}, without compression (zip -0)")


def as_zip64(store: ZippedStore) -> Iterator[Finding]:
    """123 (SHOULD, RFC-9): the file is of the extension ZIP64, however small it is."""
    small = next((name for name, entry in store.names.items() if entry.extract_version < zipfile.ZIP64_VERSION), None)
    if small is not None:
        yield Finding("123", "warning", small, "it is kept without the extension ZIP64", ANEW)


def sharded(store: ZippedStore) -> Iterator[Finding]:
    """124 (SHOULD, RFC-9): arrays of many chunks have shards, so that the file has few entries."""
    counts = Counter[str]()
    for name in store.names:
        for above in PurePosixPath(name).parents if not _is_document(name) else ():
            if (document := f"{above}/{METADATA}".removeprefix("./")) in store.names:
                counts[document] += 1
                break
    for document, count in counts.items():
        if count > FEW and not _has_shards(store, document):
            array = document.rpartition("/")[0]
            told = f"its {count} chunks are an entry each, and all entries are read to find one"
            yield Finding("124", "warning", array, told, 'write the image with shards="auto"')


def _has_shards(store: ZippedStore, document: str) -> bool:
    """Whether a document is that of an array with shards, or of no array."""
    content = store.get_sync(document)
    assert content is not None
    try:
        codecs = json.loads(content.to_bytes()).get("codecs", ())
        return any(codec["name"] == "sharding_indexed" for codec in codecs)
    except (ValueError, AttributeError, TypeError, KeyError):  # what is wrong with it is told elsewhere
        return True


def single(store: ZippedStore) -> Iterator[Finding]:
    """125 (MUST, RFC-9): no single file is in another."""
    for name in store.names:
        if name.lower().endswith((SUFFIX, ".zip")):
            told = "it is a zip file in the file, where OME-Zarr has none"
            yield Finding("125", "error", name, told, "take it out, and give it to readers beside the file")


def called(store: ZippedStore) -> Iterator[Finding]:
    """126 (SHOULD, RFC-9): the name of the file ends with .ozx."""
    name = store.file.name if isinstance(store.file, Path) else store.file.partition("?")[0].rpartition("/")[2]
    if not name.endswith(SUFFIX):
        anew = shlex.join(["xomezarr", "convert", name, f"{PurePosixPath(name).stem}{SUFFIX}"])
        cure = "rename it" if METADATA in store.names else f"single files are of Zarr v3: {anew}"
        yield Finding("126", "warning", name, f"its name does not end in {SUFFIX}", cure)


def named(store: ZippedStore) -> Iterator[Finding]:
    """127 (own): entries differ in name, and their names are relative paths with forward slashes, as zip files demand.

    Which entry counts of several, and what a path leads to that is none, readers decide each for itself. Several of one
    name are a warning: zarr's own store for zip files writes them, and takes the last.
    """
    for name, count in Counter(store.stored_names).items():
        if "\\" in name or name.startswith("/") or ".." in name.split("/"):
            told = "its name is no relative path with forward slashes that stays in the file"
            yield Finding("127", "error", name, told, ANEW)
        if count > 1:
            told = f"there are {count} entries of this name, of which some readers take the first, others the last"
            yield Finding("127", "warning", name, told, ANEW)


FILE_RULES: tuple[Callable[[ZippedStore], Iterator[Finding]], ...] = (
    documents_first,
    uncompressed,
    as_zip64,
    sharded,
    single,
    called,
    named,
)
"""What is demanded of the zip file; what its comment says is judged by `spec`."""
