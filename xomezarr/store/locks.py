"""The locks of folders: those of pixels, and of what groups list."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from xomezarr.aside import waiting
from xomezarr.errors import (
    FULL,
    StoreNotFoundError,
)
from xomezarr.store.nodes import groups_around, is_zarr
from xomezarr.store.places import StoreArgument, resolve

if TYPE_CHECKING:
    from zarr.storage import StoreLike

__all__ = [
    "all_locks",
    "alone",
    "changing",
    "not_writable",
]


READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
"""What systems say where nothing may be written."""


def not_writable(error: OSError, target: Path) -> OSError:
    """Say that nothing can be written at a place: names of hidden folders, and of locks, say nothing to anybody."""
    told = f"{error.strerror}; nothing can be written there, give another path"
    return OSError(error.errno, told, str(target))


@contextmanager
def alone(target: StoreLike, *, make: bool = False, pixels: StoreArgument | None = None) -> Iterator[None]:
    """Keep other processes from changing what a group lists meanwhile, where that is possible: in a local folder.

    Groups around it are kept too: whoever replaces one of them, or deletes it, waits.

    Parameters
    ----------
    target
        Of the group.
    make
        Whether its folder is made if there is none.
    pixels
        An image in the group, or the group itself, whose pixels nobody may change meanwhile either; it need not be
        there yet.

    Raises
    ------
    StoreNotFoundError
        If there is no folder.
    """
    if not isinstance(target, Path):
        yield
        return
    image = None if pixels is None else resolve(pixels)
    with all_locks([image] if isinstance(image, Path) else [], lists=target, make=make):
        yield


@contextmanager
def changing(target: StoreLike, *, wholly: bool, labels: Sequence[Path] = ()) -> Iterator[None]:
    """Keep other processes from changing the same pixels meanwhile, where that is possible: in a local folder.

    So are those who would replace the image, or a group around it.

    Parameters
    ----------
    target
        Of the image.
    wholly
        Whether nobody else may change any pixel of it; else those may who do the same, in other chunks.
    labels
        The folders of its labels that are changed too, which others may do by their own path.

    Raises
    ------
    StoreNotFoundError
        If there is no folder.
    """
    if not isinstance(target, Path):
        yield
        return
    with all_locks([target, *labels], shared=not wholly, needed=True):
        yield


@contextmanager
def all_locks(
    pixels: Iterable[Path],
    *,
    shared: bool = False,
    lists: Path | None = None,
    make: bool = False,
    needed: bool = False,
    replaces: bool = False,
) -> Iterator[None]:
    """Take all locks that something needs, in the one order in which all take them, so that nobody waits for ever.

    First those of pixels, then those of what groups list; each time a group before what is in it.

    Parameters
    ----------
    pixels
        Groups whose pixels nobody else may change. What comes to one of their places while locks are waited for is
        locked too. Those of groups around them are shared.
    shared
        Whether others may change them who share them.
    lists
        The folder of a group; groups around it are locked too.
    make
        Whether it is made if there is none.
    needed
        Whether those with pixels have to be there, and to be this user's.
    replaces
        Whether `lists` is replaced: it may not be there, or be another user's.

    Raises
    ------
    StoreNotFoundError
        If one that has to be there is not.
    """
    from xomezarr import stage

    pixels = [path.resolve() for path in pixels]
    lists = None if lists is None else lists.resolve()
    places = [*pixels, *([] if lists is None else [lists])]
    while True:
        around = {path: groups_around(path) for path in places}
        own = {path: stage.identity(path) for path in pixels if needed or is_zarr(path)}
        asked = {group: True for path in pixels for group in around[path]} | dict.fromkeys(own, shared)
        with waiting(), ExitStack() as held:
            for path in sorted(asked):
                lock = stage.locked(path, name=stage.PIXELS, shared=asked[path])
                _enter(held, lock, path, needed=needed and path in own)
            for path in [] if lists is None else around[lists]:
                _enter(held, stage.locked(path), path)
            if lists is not None and (lists in own or not replaces):
                _enter(held, stage.locked(lists, make=make), lists, needed=not replaces)
            same = all(stage.identity(path) in (own.get(path), None) or not is_zarr(path) for path in pixels)
            if same and around == {path: groups_around(path) for path in places}:
                yield
                return


def _enter(held: ExitStack, lock: AbstractContextManager[None], target: Path, *, needed: bool = False) -> None:
    """Take a lock of a group, which may be gone, or another user's, if it is not `needed`."""
    try:
        held.enter_context(lock)
    except StoreNotFoundError:  # which says more
        raise
    except FileNotFoundError:
        if needed:
            raise _gone(target) from None
    except OSError as error:
        if error.errno in FULL:
            told = f"{error.strerror}: nothing is changed there; make room, and try again"
            raise OSError(error.errno, told, str(target)) from None
        if error.errno not in READ_ONLY:
            raise
        if needed:
            raise not_writable(error, target) from None


def _gone(target: Path) -> StoreNotFoundError:
    return StoreNotFoundError(f"{str(target)!r} is gone; another process has removed it")
