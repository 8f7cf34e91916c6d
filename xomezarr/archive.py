"""A single file, ``.ozx``: an OME-Zarr hierarchy in a zip file, as RFC-9 of OME-NGFF has it.

Which places lead into one, and how a folder becomes one. `zipped` reads it.

A file is packed from a folder that is whole, and not written chunk by chunk: chunks come in any order, from any
process, some of them twice, and the metadata, which belong before them, are known last of all. Each file of the folder
is removed once it is packed, so that both together take the space of one and of its largest shard.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xomezarr import spec
from xomezarr.errors import TOLD, ArchiveError, OmeZarrError
from xomezarr.lazy import zarr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zarr.storage import StoreLike

    from xomezarr.zipped import ZippedStore

__all__ = [
    "CACHED",
    "METADATA",
    "SUFFIX",
    "Inside",
    "check_format",
    "file_of",
    "in_order",
    "is_whole",
    "lacking",
    "leads_into",
    "named",
    "opened",
    "pack",
    "sync_name",
    "zip_store",
]

SUFFIX = ".ozx"
"""How the names of single files end."""

SUFFIXES_READ = (SUFFIX, ".zip")
"""How the names of the files end that are looked into: the name is only a SHOULD of RFC-9."""

METADATA = "zarr.json"
"""Name of the documents that stand before all else in a single file."""

BLOCK = 2**20
"""Bytes that are packed at once."""

IN_URL = re.compile(
    r"(?P<queried>[^?#]+?\.(?:ozx|zip)\?.*) | (?P<plain>[^?#]+?\.(?:ozx|zip)) (?:/(?P<path>[^?#]*))?",
    re.IGNORECASE | re.VERBOSE,
)
"""A URL that leads into a zip file; of one with a query no more is told than the file."""


CACHED = "simplecache::"
"""How a URL begins of which fsspec is to download the file as a whole."""


@dataclass(frozen=True, slots=True)
class Inside:
    """A place in a zip file.

    Parameters
    ----------
    file
        Path or URL of the file.
    path
        In it; empty for its root.
    """

    file: Path | str
    path: str


def leads_into(target: Any) -> Inside | None:
    """Tell into which zip file a place leads; None where it leads into none.

    Parameters
    ----------
    target
        As `store.resolve` returns it. A file of this machine has to be there, and a URL to be called like one.

    Examples
    --------
    >>> leads_into("https://example.org/cells.ozx/labels/nuclei")
    Inside(file='https://example.org/cells.ozx', path='labels/nuclei')
    """
    if isinstance(target, Path):
        file = next((place for place in _called(target, SUFFIXES_READ) if place.is_file()), None)
        return None if file is None else Inside(file, _path_in(target, file))
    if isinstance(target, str):
        cached = CACHED if target.startswith(CACHED) else ""
        url = target.removeprefix(cached)
        if "::" not in url and (found := IN_URL.fullmatch(url)):
            return Inside(f"{cached}{found['queried'] or found['plain']}", (found["path"] or "").strip("/"))
    return None


def named(target: Any) -> Inside | None:
    """Tell which single file a place is called after, or after what lies in it, be it there or not.

    None for a folder that is called so, and what lies in it.
    """
    if isinstance(target, Path):
        file = next((place for place in _called(target, (SUFFIX,)) if not place.is_dir()), None)
        return None if file is None else Inside(file, _path_in(target, file))
    found = leads_into(target)
    return found if found is not None and _suffix(found.file) == SUFFIX else None


def _called(target: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Yield the places, from a path upwards, that are called like zip files."""
    return (place for place in (target, *target.parents) if place.suffix.lower() in suffixes)


def _path_in(target: Path, file: Path) -> str:
    return "" if target == file else target.relative_to(file).as_posix()


def _suffix(file: Path | str) -> str:
    """Return how the name of a file ends, in small letters."""
    return Path(str(file).partition("?")[0]).suffix.lower()


def opened(target: StoreLike, storage_options: Mapping[str, Any] | None = None) -> StoreLike:
    """Return what zarr reads a place by: one in a zip file as a place in a store, a folder as one of files alone.

    Any other as it is.

    Raises
    ------
    ArchiveError
        If the file is no zip file, or no whole one.
    """
    found = leads_into(target)
    if found is None and isinstance(target, Path):
        from xomezarr.files import Files  # it derives a class from one of zarr's, which is loaded late

        return Files(target, read_only=True)
    if found is None:
        return target
    from xomezarr.zipped import ZippedStore  # it derives a class from one of zarr's, which is loaded late

    store = ZippedStore(found.file, storage_options)
    store.look()  # zarr asks for several documents at once, and each would tell what is wrong
    return zarr.storage.StorePath(store, found.path)


def zip_store(store: Any) -> ZippedStore | None:
    """Return a store of zarr if it is one that reads a zip file; else None."""
    from xomezarr.zipped import ZippedStore

    return store if isinstance(store, ZippedStore) else None


def file_of(store: Any) -> Path | str | None:
    """Return the zip file that a store of zarr reads; None for any other store."""
    return None if (found := zip_store(store)) is None else found.file


def check_format(group: zarr.Group, file: Path | str) -> None:
    """Refuse the root of a single file in Zarr v2, which RFC-9 does not know.

    Raises
    ------
    ArchiveError
        If it is one.
    """
    if group.metadata.zarr_format == 2 and _suffix(file) == SUFFIX:
        raise ArchiveError(
            f"{str(file)!r} holds a group of Zarr v2, and a single file is of Zarr v3, with zarr.json at its root; "
            f"give it a name that ends in .zip to read it, and write it anew: xomezarr convert cells.zip cells{SUFFIX}"
        )


def lacking(inside: Inside, storage_options: Mapping[str, Any] | None) -> ArchiveError | None:
    """Return the error of a zip file in which there is no group where one was asked for; None if there is no file."""
    from xomezarr.zipped import ZippedStore

    try:
        names = list(ZippedStore(inside.file, storage_options).names)
    except FileNotFoundError:
        return None
    shown = repr(str(inside.file))
    documents = sorted((name for name in names if name.endswith((METADATA, ".zgroup"))), key=in_order)
    if not names:
        return ArchiveError(f"{shown} is a zip file with nothing in it; copy it again, or write it anew")
    if inside.path:
        return ArchiveError(f"there is no group {inside.path!r} in {shown}; {_groups_told(documents)}")
    if not documents:
        return ArchiveError(f"{shown} is a zip file without a group of Zarr; give a file of OME-Zarr, which has one")
    folder = documents[0].rpartition("/")[0]
    # nothing follows a query, by which a path in the file could be told
    cure = f"give group={folder!r}" if "?" in str(inside.file) else f"open '{inside.file}/{folder}'"
    return ArchiveError(
        f"{shown} has no {METADATA} at its root, where OME-Zarr in a single file begins; the first is in {folder!r}: "
        f"{cure}, or pack what lies in that folder, without the folder itself"
    )


def _groups_told(documents: list[str]) -> str:
    folders = [repr(name.rpartition("/")[0]) for name in documents if "/" in name]
    return f"it has {', '.join(folders[:TOLD])}{', …' if len(folders) > TOLD else ''}" if folders else "it has none"


def is_whole(file: Path) -> bool:
    """Whether a file is a zip file with a group of Zarr at its root."""
    from xomezarr.zipped import ZippedStore

    if not file.is_file():  # a pipe is opened when somebody writes to it
        return False
    try:
        names = ZippedStore(file).names
    except (OmeZarrError, OSError):
        return False
    return METADATA in names or ".zgroup" in names


# --- packing ---------------------------------------------------------------------------------------------------------


def in_order(name: str) -> tuple[Any, ...]:
    """Return by what the entries of a single file are ordered: documents breadth first, then chunks by number.

    >>> sorted(["0/c/10", "0/c/9", "labels/zarr.json", "0/zarr.json", "zarr.json", "1/zarr.json"], key=in_order)
    ['zarr.json', '0/zarr.json', '1/zarr.json', 'labels/zarr.json', '0/c/9', '0/c/10']
    """
    parts = name.split("/")
    numbered = tuple((0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in parts)
    document = parts[-1] == METADATA
    return (not document, len(parts) if document else 0, numbered)


def pack(folder: Path, file: Path, left_out: Callable[[str], bool]) -> None:
    """Make a single file of a folder, as RFC-9 recommends; what is packed is removed from the folder.

    The same folder gives the same bytes: entries have an order, and a date, of their own.

    Parameters
    ----------
    folder
        The root of a hierarchy in Zarr v3 that is whole.
    file
        Where nothing is yet; on the disk when this returns, and gone where it fails.
    left_out
        Tells by a file's name whether it is none of the hierarchy's.
    """
    found = {
        path.relative_to(folder).as_posix(): path
        for above, _, names in folder.walk()
        for path in (above / name for name in names if not left_out(name))
    }
    try:
        with file.open("xb") as whole:
            with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
                root = json.loads((folder / METADATA).read_bytes())
                archive.comment = spec.dump_comment(root["attributes"])
                for name in sorted(found, key=in_order):
                    _add(archive, name, found[name])
                    found[name].unlink()
            whole.flush()
            os.fsync(whole.fileno())
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def _add(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    """Add a file, uncompressed."""
    entry = zipfile.ZipInfo(name)  # of 1980, when the calendar of zip files begins
    entry.external_attr = 0o100644 << 16
    entry.create_system = 3  # whose permissions these are: Unix
    with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
        while block := source.read(BLOCK):
            target.write(block)


def sync_name(folder: Path) -> None:
    """Make sure that the names in a folder are on the disk, where the system can."""
    with suppress(OSError):  # Windows does not open folders
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
