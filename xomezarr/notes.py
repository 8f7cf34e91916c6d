"""Notes, in the store, of parts of an image that are being written: what is left of them tells of interrupted ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from xomezarr.direct import get_document, names_below, put_document, takes_zarr_alone, wait
from xomezarr.journal import folder_of
from xomezarr.lazy import zarr
from xomezarr.store import member_path

__all__ = ["CARRIES", "UNFINISHED", "Unfinished", "noted_in", "unfinished_in"]

UNFINISHED = ".regions"
"""Name of the folder, in the group of an image, of the notes."""

CARRIES = ".carries-"
"""How the folders begin, in that group, of what levels are made of meanwhile by filters that need it."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A part of an image that is being written, or was when its writer was stopped.

    Parameters
    ----------
    region
        Its pixels of level 0, by dimension: the first one, and the one after the last.
    since
        When it was begun.
    goes_on
        Whether its writer is known to go on.
    key
        Of the note, below the group.
    """

    region: Mapping[str, tuple[int, int]]
    since: str
    goes_on: bool
    key: str

    def __str__(self) -> str:
        where = ", ".join(f"{dim} {start}:{stop}" for dim, (start, stop) in self.region.items())
        if self.goes_on:
            return f"the region {where} is being written, since {self.since}"
        return f"the region {where} was begun at {self.since}, and its writing was stopped; write it again"


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
            since, stopped = str(note["since"]), bool(note["stopped"])
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # it goes, or was cut off
        found.append(Unfinished(region, since, not stopped and stage.runs(name), f"{UNFINISHED}/{name}"))
    return found


@contextmanager
def noted_in(group: zarr.Group, region: Mapping[str, tuple[int, int]]) -> Iterator[None]:
    """Tell in the store that a part is being written; what was left unfinished of it before is done with this."""
    from xomezarr import stage

    if takes_zarr_alone(group.store):  # where nobody sees what is not committed
        yield
        return
    key, since = f"{UNFINISHED}/{stage.token()}", datetime.now(UTC).isoformat(timespec="seconds")
    note: dict[str, Any] = {"region": region, "since": since, "stopped": False}
    put_document(group, key, json.dumps(note).encode())
    try:
        yield
    except BaseException:
        with suppress(Exception):  # the error that led here counts
            put_document(group, key, json.dumps({**note, "stopped": True}).encode())
        raise
    covered = [
        one.key
        for one in unfinished_in(group)
        if not one.goes_on
        and one.region.keys() == region.keys()
        and all(region[dim][0] <= start and stop <= region[dim][1] for dim, (start, stop) in one.region.items())
    ]
    for one in {key, *covered}:
        wait(group.store.delete(member_path(group, one)))
    folder = folder_of(group)
    if folder is not None:
        with suppress(OSError):  # others are under way
            (folder / UNFINISHED).rmdir()
    if covered and not any(one.goes_on for one in unfinished_in(group)):
        for name in names_below(group.store, group.path):
            if name.startswith(CARRIES):
                wait(group.store.delete_dir(member_path(group, name)))
