"""Put an image beside others in a store, and let what lists them name it: labels of an image, a field of a plate.

Nothing names it before it is whole. A local folder takes the place of another in one step; elsewhere nothing names the
one that is replaced until the new one is whole. What fails before all is said is undone, but for an image elsewhere
that was being replaced already: that is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from xomezarr import spec
from xomezarr.direct import put_attributes
from xomezarr.engine import OnTile
from xomezarr.errors import OmeZarrWarning, warn
from xomezarr.in_place import consolidated, gather
from xomezarr.lazy import zarr
from xomezarr.pixels import Pixels
from xomezarr.plan import Plan
from xomezarr.store import Building, alone, building, delete_documents, find_member, member_path, open_group
from xomezarr.write import consolidate, fill, told_of_sources

__all__ = ["Listing", "Said", "join", "leave", "put_back"]

type Said = tuple[str, Mapping[str, Any] | None]
"""A group, by its path below the one that holds all of it, and the attributes that it is to have; None for any."""


class Listing(Protocol):
    """What names the images of a store; each answer is of the moment at which it is asked for."""

    def begin(self) -> None:
        """Make room for an image, and make sure that it can still be listed."""

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
    listing.begin()
    # format 3 keeps gathered metadata in the documents of groups, and the first change writes these without
    stale = consolidated(root, options)
    withheld = _Saying(root, plan.zarr_format, options)
    try:
        if plan.mode == "w" and not local and withheld.group.store.supports_deletes:
            withheld.say(listing.withheld())
            gather(stale)
        with (
            building(plan.store, zarr_format=plan.zarr_format, mode=plan.mode, storage_options=options) as made,
            _taken_back(made),
        ):
            with told_of_sources(pixels):
                fill(made.group, plan, pixels, on_tile)
            if not local:
                consolidate(made.group, plan.zarr_format)
            # it is put in its place and named, and nobody else changes the listing in between
            with alone(root):
                said, named = listing.named(withheld.before), _Saying(root, plan.zarr_format, options)
                made.place()
                with _taken_back(made, named):
                    named.say(said)
    except BaseException:
        if withheld.before and _is_there(plan):  # nothing of it is gone yet
            withheld.unsay()
        listing.tidy()
        with suppress(Exception):  # the error that led here counts
            gather(stale)
        raise
    _renew(stale)


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
        _Saying(root, zarr_format, options).say(listing.withheld())
        delete()
    _renew(stale)


class _Saying:
    """Lets groups say something, one after the other, and remembers what they said before.

    Parameters
    ----------
    root
        The group that holds them.
    zarr_format, options
        Of the store.
    """

    def __init__(self, root: Any, zarr_format: int, options: Mapping[str, Any] | None) -> None:
        self.group = zarr.open_group(
            root,
            mode="a",
            zarr_format=zarr_format,  # type: ignore[arg-type]
            use_consolidated=False,
            storage_options=dict(options) if options else None,
        )
        self.changed: list[Said] = []

    @property
    def before(self) -> dict[str, Mapping[str, Any]]:
        """What groups said before, by their paths; nothing of those that were not there."""
        return {path: attrs for path, attrs in reversed(self.changed) if attrs is not None}

    def say(self, said: Iterable[Said]) -> None:
        """Let them say it."""
        for path, attrs in said:
            there = self._opened(path)
            if there is None:
                self.changed.append((path, None))
                self.group.create_group(path, attributes=dict(attrs or {}))
            elif attrs is not None and (known := there.attrs.asdict()) != attrs:
                self.changed.append((path, known))
                put_attributes(there, attrs)

    def unsay(self) -> bool:
        """Let them say again what they said before; False if it cannot be done."""
        try:
            while self.changed:
                path, attrs = self.changed[-1]
                there = self._opened(path)
                if attrs is None:
                    delete_documents(self.group, path)
                elif there is not None:
                    self._say_again(path, there, attrs)
                del self.changed[-1]
        except Exception:  # the error that led here counts
            return False
        return True

    def _say_again(self, path: str, group: Any, attrs: Mapping[str, Any]) -> None:
        """Write attributes in any case: what failed may go on writing; a group that says them needs no more."""
        try:
            put_attributes(group, attrs)
        except Exception:
            if self._opened(path).attrs.asdict() != attrs:
                raise

    def _opened(self, path: str) -> Any:
        """Open a group as it is now, to be written; None where there is none."""
        if path and find_member(self.group, path) is None:
            return None
        place = member_path(self.group, path).strip("/")
        return zarr.open_group(self.group.store, path=place, mode="r+", use_consolidated=False)


@contextmanager
def _taken_back(made: Building, named: _Saying | None = None) -> Iterator[None]:
    """Where something fails, take an image away again, unless it is still named."""
    try:
        yield
    except BaseException:
        if named is None or named.unsay():
            with suppress(Exception):  # the error that led here counts
                made.take_back()
        else:
            made.stays()
        raise


def _is_there(plan: Plan) -> bool:
    """Whether the image that was to be replaced is there as it was: first of all its metadata go."""
    with suppress(Exception):
        return spec.is_image(open_group(plan.store, storage_options=plan.storage_options).attrs.asdict())
    return False


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
