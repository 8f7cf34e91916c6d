"""Pixels that lie in a file as they do in memory: mapped, or, where gzip has packed them, unpacked on disk first."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from xomezarr.errors import OmeZarrError, ResourceError
from xomezarr.readers.filearray import nothing_to_close

__all__ = ["GZIP", "Raw", "opened_bytes", "shortest"]

GZIP = b"\x1f\x8b"
"""How gzip's files begin."""

BLOCK = 2**20
"""Bytes that are unpacked at once."""


def opened_bytes(path: str) -> IO[bytes]:
    """Open a file for reading what it holds, which may be packed by gzip."""
    return gzip.open(path) if _is_packed(path) else Path(path).open("rb")  # type: ignore[return-value]


def shortest(value: Any) -> float:
    """Return the number with the fewest digits that the header's, which is of single precision, may stand for.

    >>> shortest(np.float32(0.325)), float(np.float32(0.325))
    (0.325, 0.32499998807907104)
    """
    return float(str(value))


def _is_packed(path: str) -> bool:
    with Path(path).open("rb") as file:
        return file.read(len(GZIP)) == GZIP


@dataclass(frozen=True)
class Raw:
    """Pixels that lie one after the other in a file; called, it returns them and what closes them.

    Parameters
    ----------
    path
        Of the file.
    dtype
        In the byte order of the file.
    offset
        Bytes before the first pixel, of what gzip has packed if it has.
    shape
        In C order.
    process
        In which it was made first.
    """

    path: str
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]
    process: int = field(default_factory=os.getpid, compare=False)

    @property
    def end(self) -> int:
        """Bytes of the file up to the end of the last pixel."""
        # of Python's own numbers, which do not wrap where a header is nonsense
        pixels = 1
        for size in self.shape:
            pixels *= size
        return self.offset + pixels * self.dtype.itemsize

    @property
    def packed(self) -> bool:
        """Whether gzip has packed it."""
        return _is_packed(self.path)

    def check(self) -> None:
        """Make sure that the file is as long as it has to be.

        Raises
        ------
        OmeZarrError
            If not.
        """
        # what gzip has packed may be in several pieces, whose length nothing tells: it is looked at when it is unpacked
        if not self.packed and Path(self.path).stat().st_size < self.end:
            raise _cut_off(self.path, f"it ends before the pixels of shape {self.shape} do, at byte {self.end}")

    def __call__(self) -> tuple[NDArray[Any], Callable[[], None]]:  # noqa: D102 - the class says it
        if self.packed:
            contents = _unpacked(self.path, self.end, keep=self.process != os.getpid())
            return contents[self.offset : self.end].view(self.dtype).reshape(self.shape), nothing_to_close
        self.check()
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape), nothing_to_close

    def __reduce__(self) -> tuple[Any, ...]:
        return Raw, (self.path, self.dtype, self.offset, self.shape, self.process)


def _cut_off(path: str, why: object) -> OmeZarrError:
    return OmeZarrError(f'"{path}" is cut off, or damaged: {why}; copy the file again')


# --- gzip --------------------------------------------------------------------


_UNPACKED: WeakValueDictionary[tuple[str, int, int], NDArray[np.uint8]] = WeakValueDictionary()
"""What has been unpacked, by path, time and length of the file, as long as an array needs it."""

_KEPT: list[NDArray[np.uint8]] = []
"""What another process has unpacked last: tasks that it is given come and go, and are of one file in the main."""

_LOCK = threading.Lock()
"""Held while these are looked up, and no longer."""


class _Unpacking:
    """The lock of one file: it is unpacked once, and meanwhile others are read."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


_UNPACKING: WeakValueDictionary[tuple[str, int, int], _Unpacking] = WeakValueDictionary()
"""The locks of files that are unpacked now."""


def _unpacked(path: str, end: int, *, keep: bool) -> NDArray[np.uint8]:
    """Return the first bytes of what a file holds, mapped from a temporary file that goes away with the last array."""
    known = Path(path).stat()
    key = (path, known.st_mtime_ns, known.st_size)
    with _LOCK:
        unpacking = _UNPACKING.setdefault(key, _Unpacking())
    with unpacking.lock:
        with _LOCK:
            contents = _UNPACKED.get(key)
        if contents is None or contents.size < end:
            contents = _unpack(path, end)
        with _LOCK:
            _UNPACKED[key] = contents
            if keep:
                _KEPT[:] = [contents]
    return contents


def _unpack(path: str, end: int) -> NDArray[np.uint8]:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < end:
        raise ResourceError(
            f'"{path}" takes {end} bytes where it is unpacked, and "{folder}" has {free} left; unpack it where there '
            "is room, or name a folder that has it by the environment variable TMPDIR"
        )
    # without a name where the system allows it: it is gone too when the process is killed
    with tempfile.TemporaryFile(prefix="xomezarr-", dir=folder) as target, gzip.open(path) as packed:
        try:
            left = end
            # to the end, where gzip compares its checksum
            while block := packed.read(BLOCK):
                target.write(block[:left])
                left -= min(len(block), left)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise _cut_off(path, error) from error
        if left:
            raise _cut_off(path, f"it ends {left} bytes before its pixels do")
        target.flush()
        return np.memmap(target, np.uint8, "r")
