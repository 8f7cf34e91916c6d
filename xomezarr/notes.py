"""Notes, in the store, of parts of an image that are being written: what is left of them tells of interrupted ones."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from xomezarr.direct import get_document, names_below, put_document, takes_zarr_alone, wait
from xomezarr.journal import folder_of
from xomezarr.lazy import zarr
from xomezarr.store import label_names, labels_of, member_path

__all__ = ["CARRIES", "UNFINISHED", "Unfinished", "noted_in", "unfinished_in"]

UNFINISHED = ".regions"
"""Name of the folder, in the group of an image, of the notes."""

CARRIES = ".carries-"
"""How the folders begin, in that group, of what levels are made of meanwhile by filters that need it; then follows who
writes them, as `stage.token` says it."""

_UNDER_WAY: set[str] = set()
"""Names of the notes of what this process is writing."""

PUT_TRIES = 100
"""Each time another writer has removed the empty folder, which takes each of them one step in thousands."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A part of an image that is being written, or was when its writer was stopped.

    Parameters
    ----------
    region
        Its pixels of level 0, by dimension: the first one, and the one after the last.
    labels
        Names of the labels that are written with it.
    since
        When it was begun.
    writer
        Whether its writer has ``"ended"``, is ``"alive"``, or is ``"elsewhere"``, of which nothing is known.
    key
        Of the note, below the group.
    """

    region: Mapping[str, tuple[int, int]]
    labels: frozenset[str]
    since: str
    writer: str
    key: str

    @property
    def goes_on(self) -> bool:
        """Whether its writer is known to go on."""
        return self.writer == "alive"

    def __str__(self) -> str:
        where = ", ".join(f"{dim} {start}:{stop}" for dim, (start, stop) in self.region.items())
        what = f"the region {where}"
        if self.labels:
            what = f"{what}, with the labels {', '.join(map(repr, sorted(self.labels)))},"
        if self.goes_on:
            return f"{what} is being written, since {self.since}"
        if self.writer == "elsewhere":
            return f"{what} was begun at {self.since} elsewhere; if that machine or container is gone, write it again"
        return f"{what} was begun at {self.since}, and its writing was stopped; write it again"

    def within(self, region: Mapping[str, tuple[int, int]], labels: frozenset[str]) -> bool:
        """Whether it is a part of another one."""
        return (
            self.region.keys() == region.keys()
            and all(region[dim][0] <= start and stop <= region[dim][1] for dim, (start, stop) in self.region.items())
            and self.labels <= labels
        )


def unfinished_in(group: zarr.Group) -> list[Unfinished]:
    """Return the parts of an image that are being written, or were when their writers were stopped."""
    from xomezarr import stage

    store, found = group.store, []
    place = member_path(group, UNFINISHED)
    for name in sorted(names_below(store, place)):
        content = get_document(store, f"{place}/{name}")
        try:
            note = json.loads(content or b"")
            region = {str(dim): (int(start), int(stop)) for dim, (start, stop) in note["region"].items()}
            labels = frozenset(map(str, note.get("labels", ())))
            since, stopped = str(note["since"]), bool(note["stopped"])
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # it goes, or was cut off
        writer = "ended" if stopped or (stage.is_own(name) and name not in _UNDER_WAY) else stage.writer(name)
        if writer == "ended" and get_document(store, f"{place}/{name}") is None:
            continue  # it was done when its writer was asked for
        found.append(Unfinished(region, labels, since, writer, f"{UNFINISHED}/{name}"))
    return found


@contextmanager
def noted_in(
    group: zarr.Group,
    region: Mapping[str, tuple[int, int]],
    labels: Collection[str] = (),
    *,
    covers: Mapping[str, tuple[int, int]] | None = None,
) -> Iterator[None]:
    """Tell in the store that a part is being written; what was left unfinished of it before is done with this.

    Parameters
    ----------
    group
        Of the image.
    region, labels
        As in `Unfinished`.
    covers
        What is written, if that is more than what of it would be noticed.
    """
    from xomezarr import stage

    if takes_zarr_alone(group.store):  # where nobody sees what is not committed
        yield
        return
    token, since = stage.token(), datetime.now(UTC).isoformat(timespec="seconds")
    key = f"{UNFINISHED}/{token}"
    note: dict[str, Any] = {"region": region, "since": since, "stopped": False}
    if labels:
        note["labels"] = sorted(labels)
    _UNDER_WAY.add(token)
    try:
        _put(group, key, note)
        yield
        _put_away(group, key, region if covers is None else covers, frozenset(labels))
    except BaseException:
        with suppress(Exception):  # the error that led here counts
            _put(group, key, {**note, "stopped": True})
        raise
    finally:
        _UNDER_WAY.discard(token)


def _put_away(group: zarr.Group, key: str, region: Mapping[str, tuple[int, int]], labels: frozenset[str]) -> None:
    """Delete the note of what is written, and what is left of parts of it that were not before."""
    from xomezarr import stage

    left = [one for one in unfinished_in(group) if not one.goes_on]
    if any(one.labels for one in left):  # those that were deleted are not written again
        there = frozenset(label_names(labels_of(group)))
        left = [replace(one, labels=one.labels & there) for one in left]
    covered = [one.key for one in left if one.within(region, labels)]
    for one in {key, *covered}:
        wait(group.store.delete(member_path(group, one)))
    folder = folder_of(group)
    if folder is not None:
        with suppress(OSError):  # others are under way
            (folder / UNFINISHED).rmdir()
    if covered:
        for name in names_below(group.store, group.path):
            if name.startswith(CARRIES) and stage.writer(name.removeprefix(CARRIES)) == "ended":
                wait(group.store.delete_dir(member_path(group, name)))


def _put(group: zarr.Group, key: str, note: Mapping[str, Any]) -> None:
    """Write a note; another writer may remove the folder, while that is empty."""
    for left in reversed(range(PUT_TRIES)):
        try:
            return put_document(group, key, json.dumps(note).encode())
        except (FileNotFoundError, FileExistsError):
            if not left:
                raise
    return None
