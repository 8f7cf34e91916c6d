"""The mark of a group that is being written, which its last write of all replaces by OME metadata."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from xomezarr import journal, spec
from xomezarr.errors import (
    UNREADABLE_MEMBER,
    IncompleteStoreError,
)
from xomezarr.lazy import installed_version, zarr

__all__ = [
    "begun",
    "check_complete",
    "is_begun",
    "new_mark",
    "token_of",
    "unmarked",
    "withheld",
    "withhold",
]


WITHHELD = "withheld"
"""What a group said before that is in the making again, beside the mark."""

INCOMPLETE = "incomplete"
"""The mark of a group that is being written, in xomezarr's own attribute, which the last write of all replaces."""


def token_of(attrs: Mapping[str, Any]) -> str:
    """Return the mark of who writes, or wrote, a group; empty where there is none."""
    kept = attrs.get(spec.SIDECAR)
    mark = kept.get(INCOMPLETE) if isinstance(kept, Mapping) else None
    return str(mark.get("by", "")) if isinstance(mark, Mapping) else ""


def is_begun(group: zarr.Group) -> bool:
    """Whether the writing of a group was begun and has not ended: it bears the mark, and no OME metadata yet."""
    return bool(begun(group.attrs.asdict()))


def check_complete(group: zarr.Group) -> None:
    """Refuse a group whose writing was begun and has not ended: that bears the mark, and no OME metadata yet.

    Raises
    ------
    IncompleteStoreError
        If it is such a group.
    """
    if since := begun(group.attrs.asdict()):
        python, command = (
            ('write it again with mode="w"', "write it again with --overwrite")
            if group.store.supports_deletes
            else ("write it again to a new file",) * 2
        )
        with suppress(*UNREADABLE_MEMBER):
            if much := journal.made(group):
                python = f"{much}; finish it with resume=True, or {python}"
                command = f"{much}; finish it by the command that has begun it, with --resume, or {command}"
        raise IncompleteStoreError.mended(
            f"{str(group.store_path)!r} is incomplete: its writing, {since}, was interrupted, or is still under way",
            python=python,
            command=command,
        )


def new_mark() -> dict[str, Any]:
    """Return the attributes of a group that is being written."""
    from xomezarr import stage

    since = datetime.now(UTC).isoformat(timespec="seconds")
    return {spec.SIDECAR: {INCOMPLETE: {"since": since, "version": installed_version(), "by": stage.token()}}}


def withhold(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a group that is in the making again, in which those that it had are kept."""
    mark = new_mark()
    return {spec.SIDECAR: {**mark[spec.SIDECAR], WITHHELD: dict(attrs)}}


def withheld(attrs: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the attributes that a group had which is in the making again; None for any other group."""
    kept = attrs.get(spec.SIDECAR)
    return kept.get(WITHHELD) if isinstance(kept, Mapping) and not spec.is_ome(attrs) else None


def unmarked(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a group without the mark."""
    kept = attrs.get(spec.SIDECAR)
    if not isinstance(kept, Mapping) or INCOMPLETE not in kept:
        return dict(attrs)
    left = {key: value for key, value in kept.items() if key not in (INCOMPLETE, WITHHELD)}
    others = {key: value for key, value in attrs.items() if key != spec.SIDECAR}
    return others | ({spec.SIDECAR: left} if left else {})


def begun(attrs: Mapping[str, Any]) -> str:
    """Say when and by what the writing was begun of which the attributes bear the mark; empty if they do not."""
    kept = attrs.get(spec.SIDECAR)
    if not isinstance(kept, Mapping) or INCOMPLETE not in kept or spec.is_ome(attrs):
        return ""
    mark = kept[INCOMPLETE] if isinstance(kept[INCOMPLETE], Mapping) else {}
    return f"begun at {mark.get('since', '?')} by xomezarr {mark.get('version', '?')}"
