"""Put an image beside others in a store, and let what lists them name it: labels of an image, a field of a plate.

Nothing names it before it is whole. A local folder takes the place of another in one step; elsewhere nothing names the
one that is replaced until the new one is whole. What fails before all is said is undone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from xomezarr.engine import OnTile
from xomezarr.errors import OmeZarrWarning, StoreExistsError, warn
from xomezarr.in_place import consolidated, gather
from xomezarr.lazy import zarr
from xomezarr.pixels import Pixels
from xomezarr.plan import Plan
from xomezarr.store import alone, delete_documents, erase, find_member, member_path, publish
from xomezarr.write import consolidate, fill, told_of_sources

__all__ = ["Listing", "Said", "join", "leave"]

type Said = tuple[str, Mapping[str, Any] | None]
"""A group, by its path below the one that holds all of it, and the attributes that it is to have; None for any."""


class Listing(Protocol):
    """What names the images of a store; each answer is of the moment at which it is asked for."""

    def begin(self) -> None:
        """Make room for an image, and make sure that it can still be listed."""

    def withheld(self) -> Sequence[Said]:
        """Return what is said so that nothing names an image that is replaced in its place, or taken away."""

    def named(self) -> Sequence[Said]:
        """Return what is said, in this order, when the image is whole.

        Raises
        ------
        OmeZarrError
            If there is no place for it any more.
        """

    def tidy(self) -> None:
        """Take away what is empty after a failure."""


class _NotUndoneError(Exception):
    """What was said before cannot be said again: something may name the image."""

    def __init__(self, reason: BaseException) -> None:
        self.reason = reason


@contextmanager
def _told_why() -> Iterator[None]:
    """Raise what made something fail, rather than that it could not be undone."""
    try:
        yield
    except _NotUndoneError as error:
        raise error.reason from error


@_told_why()
def join(root: Any, listing: Listing, plan: Plan, pixels: Pixels, on_tile: OnTile | None) -> None:
    """Write an image as planned, and let a listing name it.

    Parameters
    ----------
    root
        The group that holds all of it, as `store.resolve` returns it. In a local folder others wait while it changes.
    listing
        What names the image.
    plan, pixels, on_tile
        As in `write.execute`.
    """
    pixels.check()
    options, local = plan.storage_options, isinstance(root, Path)
    stale: list[zarr.Group] = []
    placed = False

    def name_it(undo: Callable[[], None]) -> None:
        nonlocal placed
        placed = False  # from here on it is undone here, unless something may name it
        try:
            _say(root, said, plan.zarr_format, options)
        except _NotUndoneError:
            raise
        except BaseException:
            undo()
            raise
        others_wait.close()

    try:
        listing.begin()
        # format 3 keeps gathered metadata in the documents of groups, and the first change writes these without
        stale = consolidated(root, options)
        if plan.mode == "w" and not local:
            _withhold(root, listing, stale, plan.zarr_format, options)
        with (
            ExitStack() as others_wait,
            publish(
                plan.store, zarr_format=plan.zarr_format, mode=plan.mode, storage_options=options, then=name_it
            ) as group,
            told_of_sources(pixels),
        ):
            placed = not local
            fill(group, plan, pixels, on_tile)
            if not local:
                consolidate(group, plan.zarr_format)
            # it is put in its place and named, and nobody else changes the listing in between
            others_wait.enter_context(alone(root))
            said = listing.named()
    except BaseException as error:
        if placed:
            with suppress(Exception):  # the error that led here counts
                erase(plan.store, options)
        if not isinstance(error, StoreExistsError):  # what is there is another's
            listing.tidy()
        with suppress(Exception):
            gather(stale)
        raise
    _renew(stale)


@_told_why()
def leave(
    root: Any, listing: Listing, zarr_format: int, options: Mapping[str, Any] | None, delete: Callable[[], None]
) -> None:
    """Let nothing name an image any more, and delete it.

    Parameters
    ----------
    root, listing
        As in `join`.
    zarr_format, options
        Of the store.
    delete
        Deletes the image.
    """
    stale = consolidated(root, options)
    with alone(root):
        _say(root, listing.withheld(), zarr_format, options)
        delete()
    _renew(stale)


def _withhold(
    root: Any, listing: Listing, stale: Sequence[zarr.Group], zarr_format: int, options: Mapping[str, Any] | None
) -> None:
    """Let nothing name an image that is about to be replaced in its place; gathered metadata neither."""
    before = _say(root, listing.withheld(), zarr_format, options)
    try:
        gather(stale)
    except BaseException:
        _say(root, before, zarr_format, options)
        raise


def _say(root: Any, said: Iterable[Said], zarr_format: int, options: Mapping[str, Any] | None) -> list[Said]:
    """Let groups say something, one after the other; if one cannot, all say again what they said before.

    Returns
    -------
    list
        What undoes it.

    Raises
    ------
    _NotUndoneError
        If something could not be said, and not be undone either.
    """
    group = zarr.open_group(
        root,
        mode="a",
        zarr_format=zarr_format,  # type: ignore[arg-type]
        use_consolidated=False,
        storage_options=dict(options) if options else None,
    )
    before: list[Said] = []
    try:
        for path, attrs in said:
            there = find_member(group, path) if path else group
            if there is None:
                before.append((path, None))
                group.create_group(path, attributes=dict(attrs or {}))
            elif attrs is not None and there.attrs.asdict() != attrs:
                before.append((path, there.attrs.asdict()))
                _opened(group, path).attrs.put(dict(attrs))
    except BaseException as error:
        try:
            for path, attrs in reversed(before):
                if attrs is None:
                    delete_documents(group, path)
                elif _opened(group, path).attrs.asdict() != attrs:
                    _opened(group, path).attrs.put(dict(attrs))
        except Exception as failure:
            raise _NotUndoneError(error) from failure
        raise
    return before[::-1]


def _opened(group: zarr.Group, path: str) -> Any:
    """Open a group below another as it is now, to be written."""
    return zarr.open_group(group.store, path=member_path(group, path).strip("/"), mode="r+", use_consolidated=False)


def _renew(stale: Iterable[zarr.Group]) -> None:
    """Gather metadata anew that do not know of a change; the change is made, whether or not this is possible."""
    for group in stale:
        try:
            gather([group])
        except Exception as error:  # each kind of server's own way of refusing what lies above
            place = str(group.store_path)
            warn(
                f"the metadata that are gathered in {place!r} cannot be renewed ({error}), and their readers do not "
                f"see the change; gather them again: zarr.consolidate_metadata({place!r})",
                OmeZarrWarning,
            )
