"""Put an image beside others in a store, and let what lists them name it: labels of an image, a field of a plate.

Nothing names an image before it is whole. A local folder takes the place of another in one step; elsewhere nothing
names the one that is replaced until the new one is whole. Each step is kept with what undoes it. What fails before all
is said is undone, the last step first, but for an image elsewhere that was being replaced already: that is gone. Once
all is said nothing is undone any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from xomezarr.direct import put_attributes, put_group
from xomezarr.engine import OnTile
from xomezarr.in_place import consolidated, gather, renew
from xomezarr.lazy import zarr
from xomezarr.pixels import Pixels
from xomezarr.plan import Plan
from xomezarr.store import (
    StoreArgument,
    alone,
    building,
    delete_documents,
    find_member,
    member_path,
    open_group,
    writable_group,
)
from xomezarr.write import consolidate, fill, gathers, told_of_sources

__all__ = ["Listing", "Said", "join", "leave", "put_back"]

type Said = tuple[str, Mapping[str, Any] | None]
"""A group, by its path below the one that holds all of it, and the attributes that it is to have; None for any."""


class Listing(Protocol):
    """What names the images of a store; each answer is of the moment at which it is asked for."""

    @property
    def is_made(self) -> bool:
        """Whether the group that holds all of it is made where there is none."""
        ...

    @property
    def changed(self) -> StoreArgument:
        """The image whose pixels nobody may write when this one comes or goes; it need not be there yet."""
        ...

    def begin(self) -> None:
        """Make what lists the image where there is none, and make sure that it is what the image was planned for.

        Before the image is made, and again before it is put in its place.
        """

    def withheld(self) -> Sequence[Said]:
        """Return what is said so that nothing names an image that is replaced in its place, or taken away."""

    def named(self, before: Mapping[str, Mapping[str, Any]]) -> Sequence[Said]:
        """Return what is said, in this order, when the image is whole.

        Parameters
        ----------
        before
            What groups said, by their paths, before the image was withheld, which gets its place in lists back.

        Raises
        ------
        OmeZarrError
            If there is no place for it any more.
        """

    def tidy(self) -> None:
        """Take away what is empty after a failure."""


def put_back[T](entries: Sequence[T], before: Sequence[T], is_it: Callable[[T], bool]) -> list[T]:
    """Return entries with one that was withheld in its place again, unless it is among them.

    >>> put_back(["a", "c"], ["a", "b", "c"], lambda entry: entry == "b")
    ['a', 'b', 'c']
    """
    index = next((number for number, entry in enumerate(before) if is_it(entry)), None)
    if index is None or any(map(is_it, entries)):
        return list(entries)
    return [*entries[:index], before[index], *entries[index:]]


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
    # format 3 keeps gathered metadata in the documents of groups, and the first change writes these without
    stale = consolidated(root, options)
    steps = _Steps(root, plan.zarr_format, options)
    try:
        with ExitStack() as in_the_making:
            with alone(root, make=listing.is_made):
                listing.begin()
                if plan.mode == "w" and not local:
                    steps.withhold(listing, plan.store)
                    gather(stale)
                made = in_the_making.enter_context(
                    building(plan.store, zarr_format=plan.zarr_format, mode=plan.mode, storage_options=options)
                )
            steps.took(made.take_back)
            with told_of_sources(pixels):
                fill(made.group, plan, pixels, on_tile)
            if gathers(plan.store, plan.layout):
                consolidate(made.group, plan.zarr_format)
            # it is put in its place and named, and nobody else changes the listing in between
            with alone(root, make=listing.is_made, pixels=listing.changed), steps.undone_where_it_fails():
                listing.begin()
                said = listing.named(steps.withheld)
                made.place(alone=True)
                steps.say(said)
                steps.settle()
    except BaseException:
        steps.undo()
        listing.tidy()
        with suppress(Exception):  # the error that led here counts
            gather(stale)
        raise
    renew(stale)


def leave(
    root: Any,
    listing: Listing,
    store: StoreArgument,
    zarr_format: int,
    options: Mapping[str, Any] | None,
    delete: Callable[[], Path | None],
) -> None:
    """Let nothing name an image any more, and delete it. It is named still where nothing of it could be changed.

    Parameters
    ----------
    root, listing
        As in `join`.
    store, zarr_format, options
        Of the image.
    delete
        Deletes the image, its metadata before all else; or returns where it was put, to be removed when nobody waits.
    """
    from xomezarr import stage

    stale = consolidated(root, options)
    steps = _Steps(root, zarr_format, options)
    try:
        with alone(root, pixels=listing.changed), steps.undone_where_it_fails():
            steps.withhold(listing, store)
            if not isinstance(root, Path):
                gather(stale)
            gone = delete()
            steps.settle()
    except BaseException:
        with suppress(Exception):  # the error that led here counts
            gather(stale)
        raise
    if gone is not None:
        stage.remove(gone)
    renew(stale)


class _Steps:
    """What was done to the groups of a store, each step with what undoes it.

    Parameters
    ----------
    root
        The group that holds them.
    zarr_format, options
        Of the store.

    Attributes
    ----------
    withheld
        What groups said, by their paths, before an image was withheld.
    """

    def __init__(self, root: Any, zarr_format: int, options: Mapping[str, Any] | None) -> None:
        self.root = root
        self.zarr_format = zarr_format
        self.options = options
        self.withheld: dict[str, Mapping[str, Any]] = {}
        self.undoing: list[Callable[[], None]] = []

    def took(self, undo: Callable[[], None]) -> None:
        """Keep what undoes a step, which is about to be taken or is taken."""
        self.undoing.append(undo)

    def settle(self) -> None:
        """Let all steps stand."""
        self.undoing.clear()

    @contextmanager
    def undone_where_it_fails(self) -> Iterator[None]:
        """Undo all steps where a block fails."""
        try:
            yield
        except BaseException:
            self.undo()
            raise

    def undo(self) -> None:
        """Undo all steps, the last one first. What cannot be undone stays, with all that it rests on, for good."""
        try:
            with suppress(Exception):  # the error that led here counts
                while self.undoing:
                    self.undoing[-1]()
                    self.undoing.pop()
        finally:
            self.undoing.clear()

    def withhold(self, listing: Listing, store: StoreArgument) -> None:
        """Let nothing name an image; undone as long as that is what it is now: what deletes it says so first."""
        known = self._attributes(store)
        said = listing.withheld() if self._group().store.supports_deletes else ()
        self.withheld = self.say(said, only_if=lambda: known is not None and self._attributes(store) == known)

    def say(self, said: Iterable[Said], *, only_if: Callable[[], bool] = lambda: True) -> dict[str, Mapping[str, Any]]:
        """Let groups say something, one after the other.

        Parameters
        ----------
        said
            What.
        only_if
            Whether it is to be undone.

        Returns
        -------
        dict
            What they said before, by their paths.
        """
        root = self._group()
        before: dict[str, Mapping[str, Any]] = {}
        for path, attrs in said:
            there = _opened(root, path)
            known = None if there is None else there.attrs.asdict()
            if there is not None and (attrs is None or known == attrs):
                continue
            if known is not None:
                before.setdefault(path, known)
            self.took(partial(_say_again, root, path, known, only_if))
            if there is None:
                put_group(root.store, member_path(root, path), root.metadata.zarr_format, attrs or {})
            else:
                put_attributes(there, attrs)  # type: ignore[arg-type]
        return before

    def _group(self) -> zarr.Group:
        """Open the group that holds all, to be written."""
        return writable_group(self.root, self.options, zarr_format=self.zarr_format)

    def _attributes(self, store: StoreArgument) -> dict[str, Any] | None:
        """Return what an image says of itself; None where there is none that can be read."""
        with suppress(Exception):
            return dict(open_group(store, storage_options=self.options).attrs.asdict())
        return None


def _say_again(root: zarr.Group, path: str, attrs: Mapping[str, Any] | None, only_if: Callable[[], bool]) -> None:
    """Let a group say what it said; or be none again."""
    if not only_if():
        return
    if attrs is None:
        delete_documents(root, path)
    elif (there := _opened(root, path)) is not None:
        try:  # in any case: what failed may have been written
            put_attributes(there, attrs)
        except Exception:
            if _opened(root, path).attrs.asdict() != attrs:
                raise


def _opened(root: zarr.Group, path: str) -> Any:
    """Open a group as it is now, to be written; None where there is none."""
    if path and find_member(root, path) is None:
        return None
    place = member_path(root, path).strip("/")
    return zarr.open_group(root.store, path=place, mode="r+", use_consolidated=False)
