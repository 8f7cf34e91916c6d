"""Groups of a store that are examined, each by its place."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from xomezarr import spec
from xomezarr.direct import get_document
from xomezarr.errors import UNREADABLE, UNREADABLE_MEMBER
from xomezarr.lazy import zarr
from xomezarr.report import Finding
from xomezarr.store import member_path, names_in, open_group, open_member

__all__ = ["Hierarchy", "Node"]


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """What is examined: a store, or a group in the middle of one.

    Parameters
    ----------
    root
        The group that was given.
    version
        Version of OME-Zarr that its metadata claim, which is to be that of all below; None if they claim none.
    address
        Path or URL of it; None for other stores.
    storage_options
        As `open_group` takes them.
    grids
        Whether pixels are asked too where they lie.
    chunks
        Whether every chunk is read.
    """

    root: zarr.Group
    version: str | None
    address: str | None = None
    storage_options: Mapping[str, Any] | None = None
    grids: bool = False
    chunks: bool = False

    def above(self, path: str) -> Node | None:
        """Open a group beside or above the root, by a path that begins with ``..``, if it is of the same hierarchy.

        None where there is none, and where a folder on the way is no group of Zarr, which may be anybody's.
        """
        if self.address is None:
            return None
        place, group = self.address, None
        for part in path.split("/"):
            place = place.rpartition("/")[0] if part == ".." else f"{place}/{part}"
            try:
                group = open_group(place, storage_options=self.storage_options)
            except Exception:  # each kind of server refuses in its own way what lies above a public store
                return None
        return None if group is None else Node(group, group.attrs.asdict(), path, self)


@dataclass(frozen=True, slots=True)
class Node:
    """A group that is examined.

    Parameters
    ----------
    group
        Open for reading.
    attrs
        Its attributes.
    path
        Below the root of what is examined; empty for the root.
    hierarchy
        What is examined.
    """

    group: zarr.Group
    attrs: Mapping[str, Any]
    path: str
    hierarchy: Hierarchy

    @property
    def kinds(self) -> frozenset[str]:
        """What the group holds."""
        return spec.kinds(self.attrs)

    @property
    def version(self) -> str | None:
        """The version that the group names or an image shows, or where there is none that of the root."""
        own = spec.detect(self.attrs) if "multiscales" in self.kinds else spec.claimed(self.attrs)
        return own or self.hierarchy.version

    def place(self, key: str) -> str:
        """Return where a key of the metadata stands."""
        return spec.place(self.attrs, key)

    def locate(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """Say of findings in which group they are; those of the root keep their location.

        What breaks a rule that the version of the group does not have is left out.
        """
        for finding in spec.asks(self.version, findings):
            yield self._located(finding)

    def _located(self, finding: Finding) -> Finding:
        return replace(finding, location=f"{self.path}: {finding.location}") if self.path else finding

    def metadata(self) -> Iterator[Finding]:
        """Yield what is wrong with the group, by all rules that need nothing beside it but the root."""
        found = spec.findings(self.attrs, version=self.hierarchy.version)
        for finding in (*found, *self._infinite(found)):
            yield self._located(finding)
        yield from self.locate([*self._same_version(), *self._zarr_format()])

    def _infinite(self, found: Iterable[Finding]) -> Iterator[Finding]:
        """107 (own): numbers are finite, as JSON has no others; left out is what other rules say of them.

        Python writes NaN and Infinity, and reads them; JavaScript and others refuse the whole document.
        """
        told = tuple(one.location for one in found if one.severity == "error")
        for place, number in spec.infinite_numbers(self.attrs):
            if not place.startswith(told):
                shown = f"it is {number!r}, which JSON does not have"
                yield Finding("107", "error", place, shown, "write a finite number, null or text")

    def _same_version(self) -> Iterator[Finding]:
        """0.5b (MUST): the version is the same in the whole hierarchy. Up to 0.4 no text asks for it: it warns."""
        version, wanted = spec.detect(self.attrs), self.hierarchy.version
        new = spec.since(version, "0.5") or spec.since(wanted, "0.5")
        # up to 0.4, what names no version may be of any
        named = spec.claimed(self.attrs) is not None and spec.claimed(self.hierarchy.root.attrs.asdict()) is not None
        if version != wanted and version in spec.READ and wanted in spec.READ and (new or named):
            yield Finding(
                "0.5b",
                "error" if new else "warning",
                self.place("version"),
                f"the version is {version!r}, and that of the group above {wanted!r}",
                "write all groups of a hierarchy in one version",
            )

    def _zarr_format(self) -> Iterator[Finding]:
        """1 (MUST, 0.4): the hierarchy is Zarr v2. 0.5a (MUST): it is Zarr v3."""
        version = spec.readable(self.attrs)
        if version is None:
            return
        found, wanted = self.group.metadata.zarr_format, spec.zarr_format(version)
        if found != wanted:
            yield Finding(
                "1" if wanted == 2 else "0.5a",
                "error",
                "zarr_format",
                f"the group is Zarr v{found}, and OME-Zarr {version} is kept in Zarr v{wanted}",
                f"write the image anew in Zarr v{wanted}",
            )

    def member(self, path: str) -> Node:
        """Open a group below this one.

        Raises
        ------
        KeyError
            If there is none.
        ValueError, TypeError, AttributeError, RecursionError, OSError
            If its documents cannot be read.
        """
        group = open_member(self.group, path)
        below = f"{self.path}/{path.strip('/')}" if self.path else path.strip("/")
        return Node(group, group.attrs.asdict(), below, self.hierarchy)

    def named(self, path: str, rule: str, where: str) -> Node | Finding:
        """Open a group below this one that the metadata name.

        Parameters
        ----------
        path
            Of the group.
        rule
            Which is broken where nothing is there. 98 (own): it can be read.
        where
            Place of the path in the metadata.
        """
        try:
            return self.member(path)
        except KeyError:
            return Finding(
                rule, "error", where, f"there is no group at {path!r}", "write it, or remove it from the metadata"
            )
        except UNREADABLE as error:
            told = f"the group at {path!r} cannot be opened: {error}"
            return Finding("98", "error", where, told, "mend its documents, or write it anew")

    def relative(self, path: str) -> tuple[Node | None, bool]:
        """Find a group by a path that may lead upwards.

        Returns
        -------
        Node or None
            None if there is none that can be read.
        bool
            Whether it lies in what is examined.
        """
        joined = posixpath.normpath(posixpath.join(self.path or ".", path))
        if path.startswith("/") or "\\" in path or "://" in path:
            return None, False
        if joined == ".." or joined.startswith("../"):
            return self.hierarchy.above(joined), False
        root = self.hierarchy.root
        top = Node(root, root.attrs.asdict(), "", self.hierarchy)
        if joined == ".":
            return top, True
        try:
            return top.member(joined), True
        except UNREADABLE_MEMBER:
            return None, True

    def names(self) -> list[str]:
        """Return the names of all that lies in the group; empty where the store cannot list them."""
        with suppress(NotImplementedError, OSError):
            return sorted(name for name in names_in(self.group) if not name.startswith("."))
        return []

    def content(self, path: str) -> bytes | None:
        """Return what is kept in the group under a name, and is not of Zarr; None if there is nothing."""
        return get_document(self.group.store, member_path(self.group, path))
