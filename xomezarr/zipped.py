"""A zip file as a store of zarr, which is read and not written: from several threads, and by ranges of its bytes.

An entry that is stored as it is, as all are that RFC-9 of OME-NGFF recommends, is read where it lies, as much of it as
is asked for. One that is compressed is decompressed whole.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import os
import struct
import threading
import weakref
import zipfile
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest

from xomezarr.archive import CACHED, METADATA
from xomezarr.errors import ArchiveError, MissingDependencyError
from xomezarr.files import ReadInThreads

if TYPE_CHECKING:
    from zarr.core.buffer import Buffer, BufferPrototype

__all__ = ["ZippedStore"]

BEGINS = b"PK\x03\x04"
"""What every entry begins with, and so a zip file that holds one."""

UTF8 = 0x800
"""A flag of entries whose names are in UTF-8; others are in CP437, as far as the format says."""

ENDS = b"PK\x05\x06"
"""What the record begins with that ends a zip file, but for its comment."""

DAMAGED: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)
"""What is raised where a compressed entry is damaged."""

with suppress(ImportError):  # Python may be built without it
    DAMAGED += (importlib.import_module("lzma").LZMAError,)

ANEW = "copy it again, or delete it and write it anew"

MANY = 2**16 - 1
"""What that record says of as many entries or more."""

HEADER = struct.Struct("<4sHHHHHLLLHH")
"""What stands before each entry, up to its name: the last two are the lengths of that, and of what follows it."""

BEFORE = 128
"""Bytes that are read for what stands between that and the entry: longer names cost another request."""

TAIL = 2**16 + 22
"""Bytes at the end of a file, read at once: as long as what ends a zip file can be, and all of most directories."""

MOST_OPEN = 128
"""Files of this machine that are held open at once; further ones are opened for each reading."""

FOREMOST = 2**20
"""Bytes at the beginning, read at once where documents stand there: those of an image are some thousands."""


LARGE, SWELLING = 64 * 2**20, 200
"""Bytes of which any entry may be, and how many times larger others may become: Deflate makes it 1000 at most."""

ABSENT = (404, 410)
"""What a server answers that has no such file."""


class ZippedStore(ReadInThreads, Store):
    """A zip file, by its path or URL. It is opened when it is first asked for something.

    Parameters
    ----------
    file
        Path or URL.
    storage_options
        For URLs, as fsspec takes them.

    Raises
    ------
    ArchiveError
        If it is no zip file, or no whole one; when it is read, if an entry is damaged.
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = True

    def __init__(self, file: Path | str, storage_options: Mapping[str, Any] | None = None) -> None:
        super().__init__(read_only=True)
        self._is_open = True  # zarr opens what is not, and this opens itself
        self.file = file
        self._options = dict(storage_options or {})
        self._lock = threading.RLock()
        self._opened: _Opened | None = None
        self._known: int | None = None  # what was in it when it was first opened

    @property
    def is_remote(self) -> bool:
        """Whether it is read by requests."""
        return isinstance(self.file, str)

    @property
    def names(self) -> Mapping[str, zipfile.ZipInfo]:
        """The entries by their names; of several of one name the last."""
        return self._archive().entries

    @property
    def stored_names(self) -> list[str]:
        """The names of all entries as the file has them, in its order."""
        return self._archive().stored_names

    @property
    def comment(self) -> bytes:
        """The comment of the file as a whole."""
        return self._archive().comment

    def look(self) -> None:
        """Open the file, if it is not open: what is wrong with it is told here."""
        self._archive()

    def _archive(self) -> _Opened:
        with self._lock:
            if self._opened is None:
                opened = _Opened(self.file, self._options)
                if self._known not in (None, opened.directory):
                    raise _replaced(self.file)
                self._opened, self._known = opened, opened.directory
            return self._opened

    def close(self) -> None:
        """Close the file; whoever asks for something later opens it again, unless it is another one then."""
        with self._lock:
            self._opened = None

    def __getstate__(self) -> tuple[Path | str, dict[str, Any], int | None]:
        return self.file, self._options, self._known

    def __setstate__(self, state: tuple[Path | str, dict[str, Any], int | None]) -> None:
        file, options, known = state
        self.__init__(file, options)  # type: ignore[misc]
        self._known = known

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ZippedStore) and (self.file, self._options) == (other.file, other._options)

    def __str__(self) -> str:
        return str(self.file)

    def __repr__(self) -> str:
        return f"ZippedStore({str(self.file)!r})"

    def with_read_only(self, read_only: bool = False) -> ZippedStore:
        """Return the store; it cannot be written."""
        if not read_only:
            raise ValueError(f"{self} is a zip file, in which nothing can be changed; write it anew")
        return self

    # -- reading --

    def get_sync(
        self, key: str, *, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read an entry, or a range of its bytes; None where there is none of that name."""
        from zarr.core.buffer import default_buffer_prototype

        archive = self._archive()
        entry = archive.entries.get(key)
        if entry is None:
            return None
        content = archive.read(entry, *_range(byte_range, entry.file_size))
        return (prototype or default_buffer_prototype()).buffer.from_bytes(content)

    async def exists(self, key: str) -> bool:
        """Whether there is an entry of that name."""
        return key in await asyncio.to_thread(lambda: self.names)

    async def list(self) -> AsyncIterator[str]:
        """Yield the names of all entries."""
        for name in await asyncio.to_thread(lambda: self.names):
            yield name

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names that begin so."""
        for name in await asyncio.to_thread(lambda: self._archive().beginning(prefix)):
            yield name

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names of what lies in a folder."""
        for name in await asyncio.to_thread(lambda: self._archive().folder(prefix.strip("/"))):
            yield name

    async def getsize(self, key: str) -> int:
        """Return the bytes of an entry."""
        try:
            return (await asyncio.to_thread(lambda: self.names))[key].file_size
        except KeyError:
            raise FileNotFoundError(key) from None

    # -- what is not done --

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse to write."""
        self.set_sync(key, value)

    def set_sync(self, key: str, value: Buffer) -> None:
        """Refuse to write."""
        self._check_writable()

    async def delete(self, key: str) -> None:
        """Refuse to delete."""
        self.delete_sync(key)

    def delete_sync(self, key: str) -> None:
        """Refuse to delete."""
        self._check_writable()


def _range(wanted: ByteRequest | None, size: int) -> tuple[int, int]:
    """Return where a range begins and ends in an entry."""
    match wanted:
        case None:
            return 0, size
        case RangeByteRequest():
            return min(wanted.start, size), min(wanted.end, size)
        case OffsetByteRequest():
            return min(wanted.offset, size), size
        case SuffixByteRequest():
            return max(size - wanted.suffix, 0), size
    raise TypeError(f"a range of bytes cannot be a {type(wanted).__name__}")


NOWHERE = frozenset({"", ".", ".."})
"""Parts of a name by which no key of a store leads to an entry: those of folders end with one."""


def _relative(name: str) -> str:
    """Return the name of an entry as zarr asks for it, however the program that made the file has written it.

    >>> [_relative(name) for name in ("./zarr.json", "/0/zarr.json", "0" + chr(92) + "zarr.json")]
    ['zarr.json', '0/zarr.json', '0/zarr.json']
    """
    return name.replace("\\", "/").removeprefix("./").lstrip("/")


class _Opened:
    """A zip file that is open, with what it holds."""

    def __init__(self, file: Path | str, options: Mapping[str, Any]) -> None:
        self._file = file
        self._bytes: _Local | _Remote = _Local(file) if isinstance(file, Path) else _Remote(file, options)
        self._lock = threading.Lock()
        try:
            self._zip = zipfile.ZipFile(_Reader(self._bytes))
        except (zipfile.BadZipFile, NotImplementedError, struct.error, UnicodeError, ValueError) as error:
            if isinstance(error, ArchiveError):
                raise
            raise self._no_archive(error) from None
        self._check_end()
        if any(entry.volume for entry in self._zip.infolist()):
            raise ArchiveError(
                f"{str(file)!r} is one of several parts of a zip file, and OME-Zarr has no such; join them: "
                "zip -s 0 parts.zip --out whole.zip"
            )
        found = [(_relative(entry.filename), entry) for entry in self._zip.infolist()]
        self.entries = {name: entry for name, entry in found if not NOWHERE & {*name.split("/")}}
        self._begins: dict[tuple[int, str], int] = {}
        self._folders: dict[str, dict[str, None]] | None = None
        self._foremost: memoryview | None = None

    @property
    def comment(self) -> bytes:
        return self._zip.comment

    @property
    def stored_names(self) -> list[str]:
        return [entry.orig_filename for entry in self._zip.infolist()]

    @cached_property
    def directory(self) -> int:
        """What tells the file from another one: a checksum of names, places and checksums of all entries."""
        return zlib.crc32(self._bytes.read(self._zip.start_dir, self._bytes.size))

    def _check_end(self) -> None:
        """Make sure that there are as many entries as the file says, and that its comment is as long.

        zipfile does not look. An entry whose end is damaged swallows those that follow.
        """
        last = self._bytes.read(max(self._bytes.size - TAIL, 0), self._bytes.size)
        at = last.rfind(ENDS)
        if at < 0:
            return
        if at + 22 + int.from_bytes(last[at + 20 : at + 22], "little") > len(last):
            raise self._no_archive(zipfile.BadZipFile("its comment is cut off"))
        told, found = int.from_bytes(last[at + 10 : at + 12], "little"), len(self._zip.infolist())
        if told not in (found & MANY, MANY):  # where there are more, the extension ZIP64 counts them
            raise ArchiveError(
                f"{str(self._file)!r} is damaged: its directory has {found} entries, and it says {told}; {ANEW}"
            )

    def _no_archive(self, error: Exception) -> ArchiveError:
        size = self._bytes.size
        if not size:
            return ArchiveError(f"{str(self._file)!r} is an empty file; {ANEW}")
        if self._bytes.read(0, 4) == BEGINS:
            told = f"begins as a zip file and does not end as one ({error}): it was cut off"
            return ArchiveError(f"{str(self._file)!r} {told}; {ANEW}")
        return ArchiveError(f"{str(self._file)!r} is no zip file ({error}); check the path, or copy it again")

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self.entries)

    def beginning(self, prefix: str) -> list[str]:
        """Return the names that begin so; who asks for each array in turn does not go through all of them."""
        first = bisect_left(self._sorted, prefix)
        return self._sorted[first : bisect_right(self._sorted, prefix, first, key=lambda name: name[: len(prefix)])]

    def folder(self, path: str) -> Iterable[str]:
        """Return the names of what lies in a folder."""
        with self._lock:
            if self._folders is None:
                self._folders = {"": {}}
                for name in self.entries:
                    while name:
                        above, _, last = name.rpartition("/")
                        held = self._folders.setdefault(above, {})
                        if last in held:
                            break
                        held[last] = None
                        name = above
            return list(self._folders.get(path, ()))

    def read(self, entry: zipfile.ZipInfo, start: int, stop: int) -> Any:
        """Return the bytes of an entry from one to another; whole entries are checked by their CRC-32.

        Raises
        ------
        ArchiveError
            If it is damaged, or encrypted.
        """
        if entry.flag_bits & 1:
            raise ArchiveError(
                f"{str(self._file)!r} is encrypted, {entry.filename!r} in any case; unpack it with its password, and "
                "write it anew without one"
            )
        if entry.compress_type != zipfile.ZIP_STORED:
            if entry.file_size > max(LARGE, SWELLING * entry.compress_size):
                raise ArchiveError(
                    f"{str(self._file)!r} is not read at {entry.filename!r}: {entry.compress_size} bytes there are to "
                    f"become {entry.file_size}, as in a file that is made to fill the memory; if it is trusted, unpack "
                    "it, and open the folder"
                )
            try:
                return self._zip.read(entry)[start:stop]
            except DAMAGED as error:
                raise self._damaged(entry, str(error)) from None
        if entry.compress_size != entry.file_size:
            told = f"it is not compressed, and is said to take {entry.compress_size} bytes of {entry.file_size}"
            raise self._damaged(entry, told)
        content = self._stored(entry, start, stop)
        if len(content) != stop - start:
            raise self._damaged(entry, "it ends too early")
        if stop - start == entry.file_size and zlib.crc32(content) != entry.CRC:
            raise self._damaged(entry, "its CRC-32 is not what the file says")
        return content

    def _damaged(self, entry: zipfile.ZipInfo, told: str) -> ArchiveError:
        cure = "copy it again"
        if isinstance(self._bytes, _Remote):  # which nobody holds
            cure = "open it again, in case it was replaced, or upload it again"
        return ArchiveError(f"{str(self._file)!r} is damaged at {entry.filename!r} ({told}); {cure}")

    def _stored(self, entry: zipfile.ZipInfo, start: int, stop: int) -> Any:
        offset = entry.header_offset
        if offset < 0:  # zipfile adds to it what stands before the file
            raise self._damaged(entry, "it does not begin where the file says")
        if (begin := self._begins.get((offset, entry.orig_filename))) is not None:
            return self._read(entry, begin + start, begin + stop)
        # the header and what follows it in one request, where that is all that is wanted
        ahead = stop if start == 0 else 0
        read = self._read(entry, offset, min(offset + HEADER.size + BEFORE + ahead, self._bytes.size))
        if len(read) < HEADER.size or bytes(read[:4]) != BEGINS:
            raise self._damaged(entry, "it does not begin where the file says")
        length, extra = HEADER.unpack(read[: HEADER.size])[-2:]
        begin = HEADER.size + length + extra
        name = read[HEADER.size : HEADER.size + length]
        if len(name) < length:
            name = self._read(entry, offset + HEADER.size, offset + HEADER.size + length)
        self._check_name(entry, name)
        self._begins[offset, entry.orig_filename] = offset + begin
        if start == 0 and begin + stop <= len(read):
            return read[begin : begin + stop]
        return self._read(entry, offset + begin + start, offset + begin + stop)

    def _check_name(self, entry: zipfile.ZipInfo, found: memoryview) -> None:
        """Make sure that what stands before an entry has its name: ranges of another would be taken for those of it."""
        name = bytes(found).decode("utf-8" if entry.flag_bits & UTF8 else "cp437", "replace")
        if name != entry.orig_filename:
            raise self._damaged(entry, f"where the file says that it is, there is {name!r}")

    def _read(self, entry: zipfile.ZipInfo, start: int, stop: int) -> memoryview:
        if isinstance(self._bytes, _Remote) and entry.filename.rpartition("/")[2] == METADATA:
            foremost = self._documents()
            if stop <= len(foremost):
                return foremost[start:stop]
        return memoryview(self._bytes.read(start, stop))

    def _documents(self) -> memoryview:
        """Return the documents that stand at the beginning, in one request."""
        with self._lock:
            if self._foremost is None:
                others = (
                    entry.header_offset for entry in self.entries.values() if not entry.filename.endswith(METADATA)
                )
                end = min(others, default=self._zip.start_dir)
                self._foremost = memoryview(self._bytes.read(0, min(end, FOREMOST)) if end else b"")
            return self._foremost


class _Local:
    """The bytes of a file of this machine.

    Held open, it is the same, whatever takes its name. Where many others are held, so that the system might allow no
    more, it is opened anew for each reading, and has to be the same file still.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        number = os.open(file, READING)
        state = os.fstat(number)
        self.size, self._same = state.st_size, _same(state)
        self._lock = threading.Lock()
        self._number: int | None = None
        if len(HELD) < MOST_OPEN:
            self._number = number
            weakref.finalize(self, os.close, number)
            HELD.add(self)
        else:
            os.close(number)

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from one to another, fewer at the end of the file."""
        stop = min(stop, self.size)  # an entry may say anything of its size, and that much is set aside to read it
        with nullcontext(self._number) if self._number is not None else self._opened() as number:
            parts = []
            while start < stop and (part := self._some(number, start, stop - start)):
                parts.append(part)
                start += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            number = os.open(self._file, READING)
        except FileNotFoundError:
            raise ArchiveError(f"{str(self._file)!r} is gone since it was opened; open it where it is now") from None
        try:
            if _same(os.fstat(number)) != self._same:
                raise _replaced(self._file)
            yield number
        finally:
            os.close(number)

    def _some(self, number: int, start: int, count: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(number, count, start)
        with self._lock:  # Windows
            os.lseek(number, start, os.SEEK_SET)
            return os.read(number, count)


HELD: weakref.WeakSet[_Local] = weakref.WeakSet()
"""The files that are held open."""

READING = os.O_RDONLY | getattr(os, "O_BINARY", 0)


def _same(state: os.stat_result) -> tuple[int, ...]:
    """Return what tells a file from another one of its name."""
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


def _replaced(file: Path | str) -> ArchiveError:
    return ArchiveError(
        f"{str(file)!r} has been replaced since it was opened, and what is read from it here was described by the "
        "other; open it again"
    )


class _Remote:
    """The bytes behind a URL, of which ranges are asked for; the last ones are kept."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        try:
            import fsspec
        except ImportError as error:
            raise MissingDependencyError(
                f'{url!r} cannot be opened: {error}; install the remote back ends: pip install "xomezarr[remote]"'
            ) from error
        self._url = url
        self._system, self._path = fsspec.core.url_to_fs(url, **options)
        size = self._info().get("size")
        if size is None:
            raise self._no_ranges("does not tell its size")
        self.size = int(size)
        self._from = max(self.size - TAIL, 0)
        self._tail = self._asked(self._from, self.size) if self.size else b""

    def _info(self) -> Mapping[str, Any]:
        """Ask for the file; a server that refuses to tell is not one that has none, as which fsspec puts it."""
        try:
            found: Mapping[str, Any] = self._system.info(self._path)
        except FileNotFoundError as error:
            why = error.__cause__
            if why is None or isinstance(why, FileNotFoundError) or getattr(why, "status", None) in ABSENT:
                raise
            raise ArchiveError(
                f"{self._url!r} cannot be reached ({why}); check the URL and what it takes to read there, such as "
                "storage_options=, or try it again"
            ) from error
        return found

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from one to another, fewer at the end of the file."""
        stop = min(stop, self.size)
        if start >= stop:
            return b""
        if start >= self._from:
            return self._tail[start - self._from : stop - self._from]
        return self._asked(start, stop)

    def _asked(self, start: int, stop: int) -> bytes:
        content = bytes(self._system.cat_file(self._path, start=start, end=stop))
        if len(content) != stop - start:
            raise self._no_ranges(f"gave {len(content)} bytes where {stop - start} were asked for")
        return content

    def _no_ranges(self, told: str) -> ArchiveError:
        return ArchiveError(
            f"{self._url!r}: its server {told}, and a zip file is read by ranges of its bytes; download the file, or "
            f"have that done: {f'{CACHED}{self._url}'!r}"
        )


class _Reader(io.RawIOBase):
    """Bytes as a file, which the zip file's directory is read from, and entries that are compressed."""

    def __init__(self, source: _Local | _Remote) -> None:
        self._source, self._at = source, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._source.size}[whence]
        if at < 0:
            raise OSError("a place before the beginning of the file")
        self._at = at
        return at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        content = self._source.read(self._at, self._at + len(buffer))
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)
