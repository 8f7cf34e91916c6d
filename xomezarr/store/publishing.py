"""Create groups that become visible whole, or say that they are not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from xomezarr import archive, direct, journal, spec
from xomezarr.direct import update_attributes
from xomezarr.errors import (
    FULL,
    UNREADABLE_MEMBER,
    OmeZarrError,
    ResumeError,
    StoreNotFoundError,
)
from xomezarr.journal import NOTHING, Made
from xomezarr.lazy import zarr
from xomezarr.store.emptying import begin, erase
from xomezarr.store.locks import all_locks, not_writable
from xomezarr.store.marks import new_mark, token_of, withheld
from xomezarr.store.nodes import held_in, is_zarr
from xomezarr.store.opening import begun_at, made_in, writable_group
from xomezarr.store.places import StoreArgument, resolve, shown, whole_store
from xomezarr.store.replacing import check_free, may_go

if TYPE_CHECKING:
    from zarr.storage import StoreLike

    from xomezarr.stage import Stage

__all__ = [
    "Building",
    "Unfinished",
    "building",
    "publish",
]


class Building(Protocol):
    """A group in the making."""

    @property
    def group(self) -> zarr.Group:
        """The group, to be filled."""
        ...

    @property
    def made(self) -> Made:
        """What is made of it already, where an interrupted write is gone on with."""
        ...

    def place(self, *, alone: bool = False) -> None:
        """Put it where it is to be; elsewhere than in a local folder it is there already.

        Parameters
        ----------
        alone
            Whether the caller keeps others from changing the pixels of what it replaces.
        """

    def take_back(self) -> None:
        """Take it away again, and put what was there before back, if that was a local folder."""


@contextmanager
def publish(
    store: StoreArgument,
    *,
    zarr_format: int,
    mode: str,
    storage_options: Mapping[str, Any] | None = None,
    fits: Callable[[], None] | None = None,
) -> Iterator[zarr.Group]:
    """Create a group that becomes visible whole, or not at all where the place is a local folder or a single file.

    A local store is built in a hidden folder beside its place and renamed when the block ends, or packed to a single
    file that is; if the block fails, the folder is removed and what was there before is untouched. A link stays, and
    what it points to is made or replaced. Elsewhere the group is made in place: the caller writes its metadata last.
    Until then the group bears a mark, which `check_complete` knows.

    A process that is killed leaves the old store or the new one, whole, and at most a hidden folder (`stage` says
    which there are), which the next write of the store removes. If the kill leaves the name missing, because the
    system cannot exchange two names, whoever opens or writes the store next puts the new one there.

    Who holds arrays of a store open while it is replaced asks for each chunk by its path: from the old store before
    the exchange, from the new one after it. Chunks that the new store does not have, or that were asked for between
    two renames, read as the fill value. What we have opened makes sure of its folder (`presence.Folder`), and says so.

    Parameters
    ----------
    store, storage_options
        As in `open_group`.
    zarr_format
        2 or 3.
    mode
        ``"w-"``: an error if something is there; ``"w"``: an existing Zarr store is replaced.
    fits
        As in `building`.

    Raises
    ------
    StoreExistsError
        As `check_free` does; and where another process has made the store meanwhile, or something else that is not
        to be replaced.
    """
    with building(store, zarr_format=zarr_format, mode=mode, storage_options=storage_options, fits=fits) as made:
        yield made.group
        made.place()


@dataclass(frozen=True, slots=True)
class Unfinished:
    """That a write whose journal is kept can be gone on with when it is interrupted, and whether one that was is.

    What failed in a local folder is kept if anything is noted of it, unless by an error of the user's input, which
    another try would meet again.

    Parameters
    ----------
    check
        Called with the group of an interrupted write that is to be gone on with, and what of it is made; raises where
        it is another. None where all is to be written anew.
    """

    check: Callable[[zarr.Group, Made], None] | None = None


@contextmanager
def building(
    store: StoreArgument,
    *,
    zarr_format: int,
    mode: str,
    storage_options: Mapping[str, Any] | None = None,
    unfinished: Unfinished | None = None,
    fits: Callable[[], None] | None = None,
) -> Iterator[Building]:
    """Create a group as `publish` does, of which the caller says when it is to be put in its place.

    Parameters
    ----------
    store, zarr_format, mode, storage_options
        As in `publish`.
    unfinished
        What can be gone on with; None where every write begins anew.
    fits
        Called when it is about to be put in its place as a local folder, and nobody changes what is around that; raises
        where what it was planned for is not there any more. None where the caller looks.

    Raises
    ------
    ResumeError
        If an unfinished write is to be gone on with that still goes on.
    """
    resume = unfinished is not None and unfinished.check is not None
    check_free(store, mode=mode, storage_options=storage_options, resume=resume)
    target = resolve(store)
    if isinstance(target, Path):
        single = archive.named(target) is not None
        place = target.resolve()
        with _building_in_a_folder(place, zarr_format, mode, single=single, unfinished=unfinished, fits=fits) as made:
            yield made
        return
    if zarr_format == 2 and not isinstance(target, str) and direct.takes_zarr_alone(whole_store(target)):
        raise OmeZarrError(f'{shown(store)} is of Icechunk, which takes Zarr v3 alone; give version="0.5"')
    try:
        found, made_before = _gone_on_with(target, storage_options, unfinished) or (None, NOTHING)
        anew = "w" if resume and begun_at(target, storage_options) else mode
        begun = found or begin(target, zarr_format, anew, storage_options)
    except (zarr.errors.ContainsGroupError, zarr.errors.ContainsArrayError):  # by another process, meanwhile
        raise
    except BaseException:
        if mode == "w-":
            with suppress(Exception):  # the error that led here counts
                erase(store, storage_options)
        raise
    mark = token_of(begun.attrs.asdict())
    _UNDER_WAY.add(mark)
    try:
        yield _InPlace(begun, store, storage_options, made_before)
    except BaseException as error:
        if unfinished is not None and (much := journal.made(begun)):
            error.add_note(_to_go_on(store, much))
        raise
    finally:
        _UNDER_WAY.discard(mark)


_UNDER_WAY: set[str] = set()
"""Marks of the groups that this process is writing in their places."""


def _to_go_on(store: StoreArgument, much: Made) -> str:
    return f"{shown(store)} is unfinished: {much}; go on with resume=True"


def _gone_on_with(
    target: StoreLike, storage_options: Mapping[str, Any] | None, unfinished: Unfinished | None
) -> tuple[zarr.Group, Made] | None:
    """Open the group of an interrupted write, in its place, which is to be gone on with, and find out what is made.

    None if there is none.
    """
    from xomezarr import stage

    if unfinished is None or unfinished.check is None or not begun_at(target, storage_options):
        return None
    group = writable_group(target, storage_options)
    attrs = group.attrs.asdict()
    mark = token_of(attrs)
    if mark in _UNDER_WAY or (stage.writer(mark) == "alive" and not stage.is_own(mark)):
        raise ResumeError(f"{shown(target)} is still being written; wait until that ends, or stop it")
    if withheld(attrs) is not None or not (much := journal.made(group)):
        return None
    unfinished.check(group, much)
    update_attributes(group, new_mark())
    return group, much


@dataclass(frozen=True, slots=True)
class _InPlace:
    """A group that is made where it is to be."""

    group: zarr.Group
    store: StoreArgument
    storage_options: Mapping[str, Any] | None
    made: Made

    def place(self, *, alone: bool = False) -> None:
        """Do nothing: it is there."""

    def take_back(self) -> None:
        """Delete it."""
        erase(self.store, self.storage_options)


@dataclass(frozen=True, slots=True)
class _InAFolder:
    """A group that is made in a hidden folder.

    Parameters
    ----------
    group
        The group.
    folder
        Where it is made.
    target, mode
        Where it is to be.
    single
        Whether it is to be a single file.
    made
        What was made of it before.
    fits
        As in `building`.
    placed
        Holds where what it has replaced is now, None if that was nothing, once it is in its place.
    """

    group: zarr.Group
    folder: Path
    target: Path
    mode: str
    single: bool = False
    made: Made = NOTHING
    fits: Callable[[], None] | None = None
    placed: list[Path | None] = field(default_factory=list)

    def place(self, *, alone: bool = False) -> None:
        """Give it its name. Who changes the one that it replaces, its pixels or what it lists, is waited for."""
        from xomezarr import stage

        if self.single:
            self._place_file()
            return
        if self.target.is_dir() and not held_in(self.target):
            # which removes what a killed process has left of its locks, if nobody else does
            for name in (stage.GATE, stage.PIXELS, stage.LOCK):
                with suppress(FileNotFoundError), stage.locked(self.target, name=name):
                    pass
        if self.mode == "w-":
            with nullcontext() if alone else all_locks([self.target], lists=self.target, replaces=True):
                self._check()
                stage.create(self.folder, self.target)
            self.placed.append(None)
            return
        if is_zarr(self.target):
            with suppress(OSError):  # the old one goes next
                journal.put_on_disk(self.folder)
        with nullcontext() if alone else all_locks([self.target], lists=self.target, replaces=True):
            self._check()
            self.placed.append(stage.replace(self.folder, self.target, may_go))

    def _check(self) -> None:
        if self.fits is not None:
            self.fits()

    def _place_file(self) -> None:
        """Pack it, and give the file its name."""
        from xomezarr import stage

        self._check()
        file = stage.beside(self.target, "partial")
        archive.pack(self.folder, file, left_out=stage.is_lock)
        try:
            if self.mode == "w-":
                stage.create(file, self.target)
                self.placed.append(None)
            else:
                with suppress(OSError):  # who may read the file is as before
                    shutil.copymode(self.target, file)
                self.placed.append(stage.replace(file, self.target, archive.is_whole))
        except BaseException:
            stage.remove(file)
            raise
        archive.sync_name(self.target.parent)
        stage.remove(self.folder)

    def take_back(self) -> None:
        """Give what it has replaced its name again."""
        from xomezarr import stage

        while self.placed:
            stage.put_back(self.placed[-1], self.target)
            self.placed.pop()

    def stay(self) -> None:
        """Remove what it has replaced."""
        from xomezarr import stage

        while self.placed:
            if (old := self.placed.pop()) is not None:
                stage.remove(old)


def _adopted(target: Path, unfinished: Unfinished | None) -> tuple[Path, Made] | None:
    """Take over what an interrupted write of a store has left that is to be gone on with; None if there is nothing.

    Returns
    -------
    Path, Made
        The folder, and what of it is made.

    Raises
    ------
    ResumeError
        If it still goes on.
    """
    from xomezarr import stage

    if unfinished is None or unfinished.check is None:
        return None
    for folder in stage.interrupted(target):
        if stage.is_under_way(folder):
            raise ResumeError(f"{str(target)!r} is still being written, in {str(folder)!r}; wait until that ends")
        taken = ResumeError(f"{str(target)!r} is still being written: another process goes on with it; wait for that")
        try:
            _mend(folder)
            if much := made_in(folder):
                unfinished.check(zarr.open_group(folder, mode="r", use_consolidated=False), much)
                if (own := stage.adopted(folder, target)) is not None:
                    return own, much
        except Exception:
            if folder.exists():
                raise
            raise taken from None
        if not folder.exists():
            raise taken
    return None


def _mend(folder: Path) -> None:
    """Make the document of an unfinished group anew, where a machine that lost its power has cut it off."""
    try:
        zarr.open_group(folder, mode="r", use_consolidated=False)
    except UNREADABLE_MEMBER:
        version = journal.version_in(folder)
        if version in spec.VERSIONS:
            direct.put_group(zarr.storage.LocalStore(folder), "", spec.zarr_format(version), new_mark())


@contextmanager
def _building_in_a_folder(
    target: Path,
    zarr_format: int,
    mode: str,
    *,
    single: bool,
    unfinished: Unfinished | None = None,
    fits: Callable[[], None] | None = None,
) -> Iterator[Building]:
    from xomezarr import stage  # it derives a class from one of zarr's, which is loaded late

    try:
        begun, made_before = _adopted(target, unfinished) or (None, NOTHING)
        folder = stage.Stage(begun or stage.beside(target, "partial"))
        stage.sweep(target)
        if begun is None:
            stage.make(folder.root)
    except OSError as error:
        if isinstance(error, OmeZarrError):
            raise
        raise not_writable(error, target) from None
    made: _InAFolder | None = None
    try:
        group = None if begun is None else zarr.open_group(folder, mode="r+", use_consolidated=False)
        if group is None:
            group = direct.created_group(folder, zarr_format, new_mark())
        if group is None:
            group = zarr.create_group(folder, zarr_format=zarr_format, attributes=new_mark())  # type: ignore[arg-type]
        made = _InAFolder(group, folder.root, target, mode, single, made_before, fits)
        yield made
    except BaseException as error:
        folder.abandoned = True  # at once: threads write on
        gone = not folder.root.exists() and not (made and made.placed)
        much = _kept(folder, unfinished, error)
        if much:
            error.add_note(_to_go_on(target, much))
        else:
            folder.abandon()
        # the second is what workers of a cluster say of arrays that they do not find
        if (isinstance(error, FileNotFoundError) or type(error) is OmeZarrError) and gone:
            raise StoreNotFoundError(
                f"what was written of {str(target)!r} is gone: another process has replaced or removed it, or the "
                "store that it belongs to; write it again"
            ) from error
        if isinstance(error, OSError) and error.errno in FULL:
            removed = f"kept, {much}; make room and go on with resume=True" if much else "removed again"
            told = f"{error.strerror}: what was written of the store is {removed}; `plan` tells how large it is"
            raise OSError(error.errno, told, str(target)) from error
        raise
    finally:
        if made is not None:
            made.stay()


def _kept(folder: Stage, unfinished: Unfinished | None, error: BaseException) -> Made:
    """Keep what was written for another to go on with, if that is of use; say how much it is."""
    if unfinished is None or isinstance(error, OmeZarrError) or not folder.root.exists():
        return NOTHING
    much = made_in(folder.root)
    try:
        if much:
            folder.keep()
    except OSError:
        return NOTHING
    return much
