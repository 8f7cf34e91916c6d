"""A local folder as a store of zarr that reads files, and nothing else that a name may stand for.

Who opens a pipe waits until somebody writes to it, and a device may have no end. A folder from elsewhere may have
them under the names of documents and chunks, or links to them. Where links lead out of it, nothing is written.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterable
from typing import TYPE_CHECKING

from zarr.abc.store import RangeByteRequest
from zarr.storage import LocalStore

from xomezarr.errors import OmeZarrError
from xomezarr.links import check_kept
from xomezarr.resources import machine_memory

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

__all__ = ["Files", "ReadInThreads"]


class ReadInThreads:
    """What a store has that reads in the thread that calls: its asynchronous answers come from other threads."""

    if TYPE_CHECKING:

        def get_sync(
            self, key: str, *, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
        ) -> Buffer | None:
            """Read what a key names, or a range of its bytes; None where there is nothing."""

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read as `get_sync` does, without blocking the event loop."""
        return await asyncio.to_thread(self.get_sync, key, prototype=prototype, byte_range=byte_range)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Read ranges of what several keys name."""
        return list(await asyncio.gather(*(self.get(key, prototype, wanted) for key, wanted in key_ranges)))


def _within(wanted: ByteRequest, size: int) -> ByteRequest:
    """Return a range of the bytes that there are: the index of a shard may say anything, and so many are set aside."""
    if not isinstance(wanted, RangeByteRequest):
        return wanted
    start = min(wanted.start, size)
    return RangeByteRequest(start, max(min(wanted.end, size), start))


class Files(ReadInThreads, LocalStore):
    """A folder that is read, and written within its bounds."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LocalStore) and self.root == other.root

    __hash__ = None  # type: ignore[assignment] # as LocalStore has it

    def get_sync(
        self, key: str, *, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read a file, or a range of its bytes, as far as it goes; None where there is none."""
        size = self._size(key, whole=byte_range is None)
        if size is not None and byte_range is not None:
            byte_range = _within(byte_range, size)
        return super().get_sync(key, prototype=prototype, byte_range=byte_range)

    def _size(self, key: str, *, whole: bool) -> int | None:
        """Return how many bytes a file has; None where there is none. What is to be read as a whole fits the memory.

        Raises
        ------
        OmeZarrError
            If it is no file, or does not.
        """
        path = f"{self.root}/{key}"
        try:
            found = os.stat(path)  # noqa: PTH116 - of each chunk: a Path takes longer
        except (OSError, ValueError):  # reading it tells
            return None
        if not stat.S_ISREG(found.st_mode):
            what = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe, a device or a socket"
            raise OmeZarrError(f"{path!r} is no file, but {what}, and is not read; remove it")
        if whole and found.st_size > machine_memory():
            raise OmeZarrError(
                f"{path!r} has {found.st_size} bytes, which is more than this machine has memory; copy the store again"
            )
        return found.st_size

    # -- writing --

    async def set(self, key: str, value: Buffer) -> None:
        """Write a file."""
        check_kept(self.root, key)
        await super().set(key, value)

    def set_sync(self, key: str, value: Buffer) -> None:
        """Write a file."""
        check_kept(self.root, key)
        super().set_sync(key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write a file where there is none."""
        check_kept(self.root, key)
        await super().set_if_not_exists(key, value)

    async def delete(self, key: str) -> None:
        """Delete a file."""
        check_kept(self.root, key)
        await super().delete(key)

    def delete_sync(self, key: str) -> None:
        """Delete a file."""
        check_kept(self.root, key)
        super().delete_sync(key)

    async def delete_dir(self, prefix: str) -> None:
        """Delete a folder."""
        check_kept(self.root, prefix)
        await super().delete_dir(prefix)
