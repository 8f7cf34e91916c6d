"""A local store in the making: a hidden folder beside its place, put there whole or taken away."""

from __future__ import annotations

import errno
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path

from zarr.storage import LocalStore

from xomezarr.errors import StoreExistsError

__all__ = ["Stage", "beside", "create", "replace"]

ABANDON_TRIES, ABANDON_WAIT = 20, 0.05
"""A thread that has begun to write a chunk needs some milliseconds, on a slow disk a second."""


class Stage(LocalStore):
    """A folder in the making. Once abandoned, nothing writes into it: threads of an interrupted write run on."""

    abandoned = False

    @property
    def read_only(self) -> bool:
        """Whether nothing may be written any more."""
        return self.abandoned or super().read_only

    def abandon(self) -> None:
        """Remove the folder, and again what threads have put there that were in the middle of writing."""
        self.abandoned = True
        for _ in range(ABANDON_TRIES):
            shutil.rmtree(self.root, ignore_errors=True)
            time.sleep(ABANDON_WAIT)
            if not self.root.exists():
                return


def create(stage: Path, target: Path) -> None:
    """Put the finished folder where nothing is, or an empty folder."""
    try:
        stage.rename(target)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        raise StoreExistsError(
            f"{str(target)!r} was made by another process meanwhile; give another path, "
            'or mode="w" to replace what it wrote'
        ) from None


def replace(stage: Path, target: Path) -> None:
    """Put the finished folder where another may be, which comes back if that fails."""
    old = beside(target, "old")
    try:
        with suppress(FileNotFoundError):
            target.rename(old)
        create(stage, target)
    finally:
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
        elif old.exists():
            old.rename(target)


def beside(target: Path, purpose: str) -> Path:
    """Return a hidden sibling path that nothing uses yet."""
    token = secrets.token_hex(4)
    return target.with_name(f".{target.name}.{token}.{purpose}")
