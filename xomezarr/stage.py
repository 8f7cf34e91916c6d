"""A local store in the making: a hidden folder beside its place, put there whole or taken away.

Beside a store NAME there may be hidden folders, which TOKEN says the writer of::

    .NAME.TOKEN.partial   is being written
    .NAME.TOKEN.stopped   was being written when its writer was interrupted, and can be gone on with
    .NAME.TOKEN.swap      is whole, and about to exchange names with NAME, or had the name and is being deleted
    .NAME.TOKEN.new       is whole, and about to take the name
    .NAME.TOKEN.old       had the name, and is being deleted
    .NAME.TOKEN.kept      had the name and is no store: another's, which an error names

Where the system exchanges two names in one step, NAME is always there. Elsewhere it becomes TOKEN's ``.old``, then
TOKEN's ``.new`` becomes NAME. While NAME is missing, both are there, and only then: the writer, or whoever opens or
writes NAME first if the writer was killed, does the second rename. NAME may be a store, or labels or a field in one.
Where NAME is a single file, so are these, but for the ``.partial`` folder that it is packed from.

In a folder whose metadata several processes change there may be ``.xomezarr.lock``, and in one whose pixels they
change ``.xomezarr.lock.pixels`` and ``.xomezarr.lock.pixels.gate``. Where the file system has no locks there is
``.xomezarr.lock.held``, in which a file is called after the TOKEN of who holds it, and ``..xomezarr.lock.TOKEN.held``,
which is about to become it.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import math
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zarr.storage import LocalStore

from xomezarr.aside import step_aside, waiting
from xomezarr.errors import StoreExistsError, StoreNotFoundError

if TYPE_CHECKING:
    from zarr.core.buffer import Buffer

__all__ = [
    "GATE",
    "LOCK",
    "PIXELS",
    "Stage",
    "adopted",
    "beside",
    "boot",
    "create",
    "discard",
    "identity",
    "in_the_making",
    "in_the_way",
    "interrupted",
    "is_hidden",
    "is_lock",
    "is_own",
    "is_under_way",
    "locked",
    "make",
    "put_aside",
    "put_back",
    "recover",
    "recover_all",
    "remove",
    "replace",
    "sweep",
    "token",
    "unfinished",
    "writer",
]

REMOVE_TRIES, REMOVE_WAIT = 20, 0.05
"""A thread that has begun to write a chunk needs some milliseconds, on a slow disk a second."""

MAKE_TRIES = 10
"""Others who find a folder empty, and remove it, do so once each."""

STOPPED = "stopped"
"""Purpose of a folder of an interrupted write: whoever wrote in it has no path to it any more."""

PURPOSES = ("old", "new", "swap", "partial", STOPPED)
"""Of folders that killed writers leave. Of two that belong together the old one is removed first, so that the new one
is not taken for what is missing."""

OCCUPIED = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
"""What systems say when a folder is renamed to where a file, or a folder that is not empty, is."""

TOKEN = re.compile(r"(?P<host>[0-9a-f]{8})-(?P<pid>[0-9]+)-(?P<started>[0-9a-z]{8})-[0-9a-f]{8}")
"""The writer of a hidden folder: the name, and not a file, so that it goes with the folder and out of the store."""

LONG_NAME = 200
"""Bytes of a store's name; hidden folders of stores with longer ones are named by a digest."""

LOCK = ".xomezarr.lock"
"""Name of the file by which processes that change the same metadata wait for each other."""

PIXELS = f"{LOCK}.pixels"
"""Name of that by which those wait that change the same pixels. Who takes both takes this one first (`store.alone`)."""

GATE = f"{PIXELS}.gate"
"""Name of that through which all go who ask for the other: who is to have it alone stands in it until that is so, as
others who share it would come before him for ever."""


GATE_PATIENCE = 5.0
"""Seconds after which a thread goes by who stands in the gate for a lock that another thread of its process shares:
that one may wait for this one, and is waited for in the gate. Each time twice as many, as long as any thread of the
process has the lock, so that nobody is passed by for ever."""

type Patience = Callable[[], bool]
"""Whether something is not waited for any longer."""

type _Lock = tuple[tuple[int, int] | None, str]
"""A lock: by its folder, whatever that is called, and its name."""

_HELD: dict[tuple[_Lock, int], bool] = {}
"""The locks that the threads of this process hold; whether they share them with others."""

_PASSED: Counter[_Lock] = Counter()
"""How often threads of this process went by who stands in the gate of a lock that they share."""

if hasattr(os, "register_at_fork"):  # who is forked meanwhile holds none of them
    os.register_at_fork(after_in_child=_HELD.clear)


class _TooLongError(Exception):
    """A lock is held for longer than it is waited for."""


def _is_shared_here(key: _Lock) -> bool:
    """Whether a thread of this process shares a lock."""
    return any(lock == key and shared for (lock, _), shared in [*_HELD.items()])


UNKNOWN = "unknown0"
"""The start of a process where the system does not tell it."""


class Stage(LocalStore):
    """A folder in the making. Once abandoned, nothing writes into it: threads of an interrupted write run on."""

    abandoned = False

    @property
    def read_only(self) -> bool:
        """Whether nothing may be written any more."""
        return self.abandoned or super().read_only

    def set_sync(self, key: str, value: Buffer) -> None:
        """Write a file under its own name: nobody reads the folder before it is whole.

        Raises
        ------
        ValueError
            If the folder is abandoned.
        FileNotFoundError
            If the folder is gone: another process has abandoned it.
        """
        self._check_writable()
        path = f"{self.root}/{key}"
        try:
            write_file(path, value.as_buffer_like())
        except FileNotFoundError:  # cheaper than to ask for the chunk's folder each time
            self._check_writable()
            self._make_folder(key.rpartition("/")[0])
            write_file(path, value.as_buffer_like())

    def _make_folder(self, key: str) -> None:
        """Make a folder and those around it, but never the root: where it is gone, another process abandoned it."""
        if not key:
            return
        folder = self.root / key
        try:
            folder.mkdir(exist_ok=True)
        except FileNotFoundError:
            self._make_folder(key.rpartition("/")[0])
            folder.mkdir(exist_ok=True)

    async def set(self, key: str, value: Buffer) -> None:
        """Write a file as `set_sync` does, without blocking the event loop."""
        await asyncio.to_thread(self.set_sync, key, value)

    def abandon(self) -> None:
        """Remove the folder, and again what threads have put there that were in the middle of writing."""
        self.abandoned = True
        if not self.root.exists():
            return
        # under another name first: whoever writes, here or in another process, misses its path at once
        gone = self._other_name("partial")
        with suppress(OSError):
            self.root.rename(gone)
        for folder in (gone, self.root):
            remove(folder)

    def keep(self) -> None:
        """Let the folder be, for another to go on with, under a name that says so: nothing writes into it any more."""
        self.abandoned = True
        with suppress(FileNotFoundError):  # it has its name
            self.root.rename(self._other_name(STOPPED))

    def _other_name(self, purpose: str) -> Path:
        return beside(self.root.with_name(self.root.name[1:].rsplit(".", 2)[0]), purpose)


def write_file(path: str | Path, content: Any) -> None:
    """Write a file, in as many calls as the system asks for.

    What is there is written over and cut to length last: a worker of a cluster that is taken for lost may write once
    more what another has written for it, and, where it really is lost, half of it.
    """
    left = memoryview(content)
    size = left.nbytes
    file = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    try:
        while left:
            left = left[os.write(file, left) :]
        os.ftruncate(file, size)
    finally:
        os.close(file)


# --- putting a folder in place -------------------------------------------------------------------------------


def create(stage: Path, target: Path) -> None:
    """Put the finished folder where nothing is, or an empty folder."""
    if not _put(stage, target):
        raise StoreExistsError(
            f"{str(target)!r} was made by another process meanwhile; give another path, "
            'or mode="w" to replace what it wrote'
        )


type MayGo = Callable[[Path], bool]
"""Whether what is at a path may be replaced; asked once more when it has another name, before it is deleted."""


def remove(old: Path) -> None:
    """Delete a folder or file that has been put aside; what cannot be deleted is swept by who comes next.

    Who has looked up the folder before may make a file in it meanwhile: a thread a chunk, another process a lock.
    """
    if old.is_file():
        with suppress(OSError):
            old.unlink()
        return
    for _ in range(REMOVE_TRIES):
        faults: set[int | None] = set()
        shutil.rmtree(old, onexc=lambda _, __, error, faults=faults: faults.add(getattr(error, "errno", None)))  # type: ignore[misc]
        if faults - {errno.ENOENT} != {errno.ENOTEMPTY}:
            break
        time.sleep(REMOVE_WAIT)


def replace(stage: Path, target: Path, may_go: MayGo) -> Path | None:
    """Put the finished folder where another may be; a process that is killed meanwhile leaves one or the other whole.

    Of several processes that do so at once each succeeds, and the last one's folder stays.

    Returns
    -------
    Path or None
        Where the other one is now, to be deleted, which may take long; None if there was none.

    Raises
    ------
    StoreExistsError
        If there is what may not be replaced: it stays there.
    """
    if in_the_way(target, may_go):
        raise _appeared(target)
    # under its own name the other one would be taken for an unfinished write
    here, own = beside(target, "swap"), identity(stage)
    stage.rename(here)
    try:
        while not _exchange(here, target):
            if _put(here, target):
                return None
            done, old = _put_in_two_renames(here, target, may_go)
            if done:
                return old
        if not may_go(here):
            while not _exchange(here, target):
                if _put(here, target):
                    break
            raise _appeared(target)
    except BaseException:
        if identity(here) == own:  # else it has the name, and the other one is here
            with suppress(OSError):
                here.rename(stage)
        raise
    return here


def put_back(old: Path | None, target: Path) -> None:
    """Give a folder that has been put aside its name again, and remove the one that has it; if None, only this."""
    if old is None:
        discard(target)
    elif (taken := replace(old, target, lambda _: True)) is not None:
        remove(taken)


def make(folder: Path) -> None:
    """Make a folder, and those that it lies in: others, who find these empty, may remove them meanwhile."""
    for left in reversed(range(MAKE_TRIES)):
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            return folder.mkdir()
        except FileNotFoundError:
            if not left:
                raise
    return None


def in_the_way(target: Path, may_go: MayGo) -> bool:
    """Whether there is something that may not be replaced, and not just what another writer puts there or away."""
    while True:
        there = identity(target)
        if there is None or may_go(target):
            return False
        if identity(target) == there:
            return True


def identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file or folder from others, whatever it is called; None where there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _appeared(target: Path, kept: Path | None = None) -> StoreExistsError:
    where = "" if kept is None else f", and is at {str(kept)!r} now"
    return StoreExistsError(
        f"something that is not a Zarr store has appeared at {str(target)!r} meanwhile{where}; it is not replaced: "
        "give another path"
    )


def discard(target: Path) -> None:
    """Take a folder away: it is gone at once, and then removed."""
    if (old := put_aside(target)) is not None:
        remove(old)


def put_aside(target: Path) -> Path | None:
    """Take a folder away; return where it is now, to be removed, which may take long. None where it was a link."""
    if target.is_symlink():  # what it points to is another's
        target.unlink()
        return None
    old = beside(target, "old")
    target.rename(old)
    return old


def is_lock(name: str) -> bool:
    """Whether what has a name in a folder is there for `locked`."""
    return name.startswith((LOCK, f".{LOCK}"))


@contextmanager
def locked(
    folder: Path, *, make: bool = False, name: str = LOCK, shared: bool = False, within: Patience | None = None
) -> Iterator[None]:
    """Keep all other threads and processes that ask for the same lock of a folder out meanwhile.

    The lock goes with the process that holds it, however that ends, and where it is killed with those that it has
    forked meanwhile. Where the file system has none, a folder's name stands for it, which who comes next takes from a
    process that has ended. It is given back wherever the folder is by then.

    Parameters
    ----------
    folder
        The folder.
    make
        Whether it is made if there is none.
    name
        Of the lock.
    shared
        Whether others may hold it too who ask for it so; where the file system has no locks, nobody is kept out then.
    within
        Says, each time it is looked at, whether it is not waited for any longer; None for as long as it takes.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    with waiting(), _locked(folder, make=make, name=name, shared=shared, within=within):
        yield


@contextmanager
def _locked(folder: Path, *, make: bool, name: str, shared: bool, within: Patience | None) -> Iterator[None]:
    """Hold a lock, as `locked` does, and come back to one's thread when it is given back."""
    path, thread = folder / name, threading.get_ident()
    key = (identity(folder), name)
    if (key, thread) in _HELD:
        if not (shared and _HELD[key, thread]):
            raise StoreExistsError(
                f"{str(folder)!r} is being written by this very call, which would wait for itself; write to it "
                "afterwards"
            )
        yield
        return
    taken: tuple[int, bool] | None = None
    try:
        with _gate(folder, key if shared else None) if name == PIXELS else nullcontext():
            taken = file, held = _taken(path, make=make, shared=shared, within=within)
    except BaseException:
        if taken is not None:
            os.close(taken[0])
        raise
    key = (identity(folder), name)
    _HELD[key, thread] = shared
    try:
        with _found_again(folder) as remove_in:
            try:
                with nullcontext() if held or shared else _held_by_name(folder, name, remove_in):
                    yield
            finally:
                if not (held and shared) or _is_last(file):
                    remove_in(os.unlink, name)
    finally:
        _HELD.pop((key, thread), None)
        if shared and not _is_shared_here(key):
            _PASSED.pop(key, None)
        # the work is done: what goes wrong here is none of its errors
        with suppress(OSError):
            if held:
                _unlock(file)
        with suppress(OSError):
            os.close(file)


@contextmanager
def _gate(folder: Path, shared: _Lock | None) -> Iterator[None]:
    """Go through the gate of a folder, where this user may make one; by it, where somebody stands in it too long.

    Parameters
    ----------
    folder
        The folder.
    shared
        The lock that is asked for, if it is to be shared.
    """
    since = math.inf

    def is_over() -> bool:
        nonlocal since
        if shared is None or not _is_shared_here(shared):
            since = math.inf
            return False
        since = min(since, time.monotonic())
        return time.monotonic() - since > GATE_PATIENCE * float(2 ** _PASSED[shared])

    with ExitStack() as held:
        try:
            held.enter_context(locked(folder, name=GATE, within=None if shared is None else is_over))
        except _TooLongError:
            assert shared is not None
            _PASSED[shared] += 1
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
        yield


def _taken(path: Path, *, make: bool, shared: bool, within: Patience | None) -> tuple[int, bool]:
    """Open the file of a lock, and wait for the lock; return whether the file system has any."""
    while True:
        if make and not recover(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = _opened(path)
        except FileNotFoundError:
            if not make:
                raise
            continue
        try:
            held = _lock(file, shared=shared, within=within)
            # whoever had the lock before has removed the file: then another one of that name counts
            if os.fstat(file).st_ino == path.stat().st_ino:
                return file, held
        except OSError as error:
            if error.errno not in GONE:
                os.close(file)
                raise
        except BaseException:
            os.close(file)
            raise
        os.close(file)


GONE = (errno.ENOENT, errno.ESTALE)
"""What systems say of a file that another process, or another machine, has removed."""


type RemoveIn = Callable[[Callable[..., None], str], None]
"""Removes what is in a folder, by a function of `os` and its path below the folder, if that can be done."""


@contextmanager
def _found_again(folder: Path) -> Iterator[RemoveIn]:
    """Yield what removes things in a folder, were it called otherwise by then."""
    by_number = {os.unlink, os.rmdir} <= os.supports_dir_fd
    number = os.open(folder, os.O_RDONLY) if by_number else None

    def remove_in(how: Callable[..., None], path: str) -> None:
        with suppress(OSError):  # a system that does not remove open files; what the next one has by then
            how(path, dir_fd=number) if number is not None else how(folder / path)

    try:
        yield remove_in
    finally:
        if number is not None:
            os.close(number)


def _opened(path: Path) -> int:
    """Open the file of a lock, which may be another user's; a link that somebody has put there is none, and goes."""
    if path.is_symlink():
        path.unlink(missing_ok=True)
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | FOLLOWING_NONE, 0o666)
    except PermissionError as error:
        with suppress(OSError):
            return os.open(path, os.O_RDONLY | FOLLOWING_NONE)
        raise error from None


FOLLOWING_NONE = getattr(os, "O_NOFOLLOW", 0)
"""A link in the place of a lock would make a file wherever it leads."""


def _lock(file: int, *, shared: bool, within: Patience | None) -> bool:
    """Wait for a lock of a file; False where the file system has no locks. On Windows each is held by one alone."""
    try:
        while not _try(file, shared=shared, wait=False):
            step_aside()
            if within is None and _try(file, shared=shared, wait=True):
                break
            if within is not None and within():
                raise _TooLongError
            time.sleep(HELD_WAIT)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return False
    return True


def _try(file: int, *, shared: bool, wait: bool) -> bool:
    """Lock a file, if nobody else has it; where the system can wait for that, wait."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EDEADLK):
                raise
            return False
        return True
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(file, how if wait else how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_last(file: int) -> bool:
    """Whether nobody else holds a shared lock, which this one gives up: only then its file may be removed."""
    try:
        import fcntl
    except ImportError:  # Windows, where it is not shared
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _unlock(file: int) -> None:
    """Give a lock back; to close the file is not enough where a process was forked meanwhile, which has it open too."""
    try:
        import fcntl
    except ImportError:  # Windows, where nothing forks
        return
    fcntl.flock(file, fcntl.LOCK_UN)


NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF)
"""What systems say where a file system has no locks, or none for a file that is opened for reading only."""

HELD_WAIT, HELD_TOO_LONG = 0.01, 600.0
"""Seconds between two looks at who holds a lock, and until another machine's process is not taken to hold it still.

What is done meanwhile takes milliseconds, and seconds where the metadata of a large plate are gathered.
"""


@contextmanager
def _held_by_name(folder: Path, name: str, remove_in: RemoveIn) -> Iterator[None]:
    """Hold a lock that is a folder, in which a file is named by its holder's TOKEN.

    A folder takes a name in one step where nothing is, or an empty folder. To take the lock from a process that has
    ended its file is removed, by its name: so that nobody takes it from who has come after.

    Raises
    ------
    OSError
        If a process of another machine, of which it cannot be told whether it has ended, holds it for too long.
    """
    for path in _siblings(folder / name, "held"):
        if _writer(path) == "ended":
            remove(path)
    own = beside(folder / name, "held")
    place = folder / f"{name}.held"
    make(own)
    (own / own.name).touch()
    try:
        _take_name(own, place)
    except BaseException:
        remove(own)
        raise
    try:
        yield
    finally:
        remove_in(os.unlink, f"{place.name}/{own.name}")
        remove_in(os.rmdir, place.name)


def _take_name(own: Path, place: Path) -> None:
    """Wait until a folder can have the name of a lock."""
    last, since = "", time.monotonic()
    while not _put(own, place):
        holder = next((path for path in _files(place)), None)
        if holder is None:
            with suppress(OSError):  # not every file system lets a folder take the name of an empty one
                place.rmdir()
            time.sleep(HELD_WAIT)
            continue
        if holder.name != last:
            last, since = holder.name, time.monotonic()
        if (whose := _writer(holder)) == "ended":
            with suppress(FileNotFoundError):
                holder.unlink()
        elif whose == "elsewhere" and time.monotonic() - since > HELD_TOO_LONG:
            told = "it is held by a process of another machine; if there is none that writes here, remove it"
            raise OSError(errno.EBUSY, told, str(place))
        else:
            step_aside()
            time.sleep(HELD_WAIT)


def _files(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def recover(target: Path) -> bool:
    """Finish a replacement that was cut off between its two renames.

    Returns
    -------
    bool
        Whether something is at `target` now.

    Raises
    ------
    StoreNotFoundError
        If it cannot be finished, as on a read-only file system.
    """
    for old in _siblings(target, "old"):
        new = old.with_suffix(".new")
        if target.exists() or not new.exists():
            continue
        try:
            _moved(new, target)
        except OSError as error:
            if not target.exists():
                raise StoreNotFoundError(
                    f"{str(target)!r} was being replaced when its writer was stopped: {str(new)!r} is the new store "
                    f"and {str(old)!r} the old one, both whole; neither can be renamed here ({error}); "
                    f"where writing is allowed, call os.rename({str(new)!r}, {str(target)!r})"
                ) from None
    return target.exists()


def sweep(target: Path, but: Callable[[Path], bool] = lambda folder: False) -> None:
    """Remove what killed writers of a store have left beside it, but for folders of which `but` says so.

    What belongs to a living process stays, and so does what belongs to another machine, or to another container:
    whether its writer lives cannot be told from here.
    """
    for path in _siblings(target, *PURPOSES):
        # while the store is missing, what its killed writer has left may be all that there is of it
        gone_on = path.suffix != f".{STOPPED}" and _writer(path) != "ended"
        if not gone_on and (target.exists() or not path.with_suffix(".new").exists()) and not but(path):
            remove(path)


def is_hidden(name: str) -> bool:
    """Whether what has a name is a hidden folder of a store, of a writer that has ended or not."""
    begin, _, purpose = name.rpartition(".")
    return purpose in PURPOSES and TOKEN.fullmatch(begin.rpartition(".")[2]) is not None


def recover_all(folder: Path) -> None:
    """Finish what was cut off in a folder between two renames, as `recover` does of one name."""
    for name in [path.name for path in _files(folder) if path.suffix == ".new" and is_hidden(path.name)]:
        recover(folder / name[1:].rsplit(".", 2)[0])


def in_the_making(folder: Path) -> bool:
    """Whether a hidden folder belongs to a writer that goes on, or may do so, or holds all that there is of a store."""
    return is_hidden(folder.name) and (folder.suffix == ".new" or _writer(folder) != "ended")


def unfinished(target: Path, made: Callable[[Path], str]) -> str:
    """Say which unfinished writes of a store lie beside it; an empty text if there are none.

    Parameters
    ----------
    target
        Of the store.
    made
        Says of one how much of it is made; an empty text where it cannot be gone on with.
    """
    told = []
    for path in interrupted(target):
        whose = "ended" if path.suffix == f".{STOPPED}" else _writer(path)
        advice = {
            "ended": "which was stopped; the next write of the store removes it",
            "alive": "which is still under way",
            "elsewhere": "by another machine or container; remove it if that is not under way any more",
        }[whose]
        if whose != "alive" and (much := made(path)):
            asked = 'mode="w", resume=True' if target.exists() else "resume=True"
            advice = f"{advice.partition(';')[0]}: {much}; finish it with {asked}, or the next write removes it"
        told.append(f"{str(path)!r} is an unfinished write of it, {advice}")
    return "; ".join(told)


def interrupted(target: Path) -> list[Path]:
    """Return the folders of unfinished writes of a store, also of such as go on; the newest first."""

    def changed(path: Path) -> float:
        try:
            return path.stat().st_mtime
        except OSError:
            return 0.0

    return sorted(filter(Path.is_dir, _siblings(target, "partial", STOPPED)), key=changed, reverse=True)


def is_under_way(folder: Path) -> bool:
    """Whether the writer of a hidden folder is known to go on."""
    return folder.suffix != f".{STOPPED}" and _writer(folder) == "alive"


def adopted(folder: Path, target: Path) -> Path | None:
    """Take over the folder of an interrupted write of a store; whoever else writes there misses its path from now on.

    Returns
    -------
    Path or None
        Where it is now; None if another process was faster.
    """
    own = beside(target, "partial")
    try:
        folder.rename(own)
    except FileNotFoundError:
        return None
    return own


def boot() -> str:
    """Return a mark of this machine, which changes when it is started again."""
    return f"{_host()}-{_started(1)}"


def token() -> str:
    """Return a mark of who writes something in a place that has no hidden folder; another one each time."""
    pid = os.getpid()
    return f"{_host()}-{pid}-{_started(pid)}-{secrets.token_hex(4)}"


def beside(target: Path, purpose: str) -> Path:
    """Return a hidden sibling path that nothing uses yet, and that tells this process from others."""
    return target.with_name(f"{_hidden(target)}.{token()}.{purpose}")


def _put(folder: Path, target: Path) -> bool:
    """Rename a folder or file to where nothing is, a folder to an empty one too; False if something is there."""
    if folder.is_file():
        return _put_file(folder, target)
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno not in OCCUPIED:
            raise
        return False
    return True


def _put_file(file: Path, target: Path) -> bool:
    """Rename a file to where nothing is: renaming alone would replace another file."""
    try:
        target.hardlink_to(file)
    except FileExistsError:
        return False
    except FileNotFoundError:
        raise
    except OSError:  # a file system without a second name for a file
        if os.path.lexists(target):
            return False
        file.rename(target)
        return True
    file.unlink()
    return True


def _put_in_two_renames(stage: Path, target: Path, may_go: MayGo) -> tuple[bool, Path | None]:
    """Replace what is there, where names cannot be exchanged.

    Returns
    -------
    bool
        False if another process was faster.
    Path or None
        Where the other folder is now, if there was one.
    """
    # a name that was never used before: readers may still hold those of an earlier try, and must not find it
    new = beside(target, "new")
    old = new.with_suffix(".old")
    stage.rename(new)
    try:
        with suppress(FileNotFoundError):
            target.rename(old)
            if not may_go(old):
                raise _returned(old, target)
        done = _moved(new, target)
        if not done:
            done = not _withdrawn(new, stage)
    except BaseException:
        with suppress(OSError):
            old.rename(target)
        if os.path.lexists(target):  # else both stay, and who opens the store next finishes
            with suppress(OSError):
                new.rename(stage)
            remove(old)
        raise
    if not done and may_go(target):  # else it may be all that there is
        remove(old)
    return done, old if old.exists() else None


def _returned(old: Path, target: Path) -> StoreExistsError:
    """Give something its name again, or one by which nobody takes it for a folder of a writer."""
    if not os.path.lexists(target):
        old.rename(target)
        return _appeared(target)
    kept = beside(target, "kept")
    old.rename(kept)
    return _appeared(target, kept)


def _moved(new: Path, target: Path) -> bool:
    """Do the second rename, unless another process has done it; False if there is something else."""
    try:
        return _put(new, target)
    except FileNotFoundError:
        return True


def _withdrawn(new: Path, stage: Path) -> bool:
    """Take a finished folder back to be put in place again; False if a reader has put it there meanwhile."""
    try:
        new.rename(stage)
    except FileNotFoundError:
        return False
    return True


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False if the system or the file system cannot, or if one is missing.

    Why it cannot need not be known: where two renames fail too, they say so.
    """
    call = _exchange_call()
    return call is not None and call(os.fsencode(one), os.fsencode(other)) == 0


@cache
def _exchange_call() -> Callable[[bytes, bytes], int] | None:
    """Return the system's call that exchanges two names, if it has one."""
    import ctypes

    found: Callable[[bytes, bytes], int] | None = None
    try:
        if sys.platform == "linux":
            renameat2, here, exchange = ctypes.CDLL(None).renameat2, -100, 2  # AT_FDCWD, RENAME_EXCHANGE
            renameat2.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
            found = lambda one, other: int(renameat2(here, one, here, other, exchange))  # noqa: E731
        elif sys.platform == "darwin":
            renamex_np, swap = ctypes.CDLL(None).renamex_np, 2  # RENAME_SWAP
            renamex_np.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint]
            found = lambda one, other: int(renamex_np(one, other, swap))  # noqa: E731
    except (OSError, AttributeError):  # a C library without it
        pass
    return found


# --- whose a folder is ---------------------------------------------------------------------------------------


def _hidden(target: Path) -> str:
    """Return how the names of a store's hidden folders begin; with what follows they are names of 255 bytes at most."""
    name = target.name
    return f".{name}" if len(os.fsencode(name)) <= LONG_NAME else f".{_digest(name)}"


def _siblings(target: Path, *purposes: str) -> list[Path]:
    """Return the hidden folders of a store that serve any of these purposes, in the order of these."""
    begin = f"{_hidden(target)}."
    try:
        # there may be ten thousands of images, and each write looks
        names = [name for name in os.listdir(target.parent) if name.startswith(begin)]  # noqa: PTH208
    except OSError:
        return []
    found = []
    for name in sorted(names):
        token, _, purpose = name.removeprefix(begin).rpartition(".")
        if purpose in purposes and TOKEN.fullmatch(token):
            found.append(target.with_name(name))
    return sorted(found, key=lambda path: purposes.index(path.suffix[1:]))


def _writer(folder: Path) -> str:
    """Tell from a hidden folder's name whether its writer is ``"alive"``, has ``"ended"``, or is ``"elsewhere"``."""
    return writer(folder.name.rpartition(".")[0].rpartition(".")[2])


def is_own(mark: str) -> bool:
    """Whether a `token` is one of this process."""
    return mark.split("-")[:3] == token().split("-")[:3]


def writer(mark: str) -> str:
    """Tell of whom a `token` is: of a process that is ``"alive"``, has ``"ended"``, or is ``"elsewhere"``."""
    found = TOKEN.fullmatch(mark)
    if found is None or found["host"] != _host():
        return "elsewhere"
    return "alive" if _runs(int(found["pid"]), found["started"]) else "ended"


def _host() -> str:
    """Return a mark of this machine, and of the container, which counts its processes by itself."""
    try:
        container = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        container = ""
    try:  # machines that were copied from one share a name, and folders perhaps
        machine = Path("/etc/machine-id").read_text()
    except OSError:
        machine = str(uuid.getnode())
    return _digest(f"{socket.gethostname()} {machine} {container}")


def _runs(pid: int, started: str) -> bool:
    """Whether a process of this machine is alive; it is where that cannot be told."""
    if sys.platform == "win32":
        return True  # the question that follows would end the process there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        pass
    return UNKNOWN in (started, now := _started(pid)) or started == now


def _started(pid: int) -> str:
    """Return a mark of when a process was started, by which a later one of the same number is told from it."""
    try:
        # the name of the program, in brackets, may hold anything
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        return _digest(f"{boot} {fields[18]}") if state not in "ZX" else _digest("dead, but not yet waited for")
    except OSError:
        pass
    if sys.platform == "win32":
        return UNKNOWN
    # without /proc, as on macOS
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    try:
        answer = subprocess.run(
            command, env=os.environ | {"LC_ALL": "C", "TZ": "UTC"}, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
    return _digest(answer.stdout)


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:8]
