"""What a collection says beside its images, and what images of other tools lack: sizes and channels of its OME-XML.

The collection is looked for above an image that lacks something, so that it is the same however it is opened.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import count
from pathlib import Path
from typing import Any

from xomezarr import omexml, spec
from xomezarr.checks import leads_below
from xomezarr.direct import wait
from xomezarr.errors import UNREADABLE, CollectionWarning, warn
from xomezarr.lazy import zarr
from xomezarr.model import Image
from xomezarr.omexml import XmlImage
from xomezarr.store import (
    SUFFIXES,
    StoreArgument,
    find_member,
    member_path,
    open_array,
    open_group,
    opened_store,
    parents,
    read_mode,
    resolve,
)

__all__ = ["OME", "OME_XML", "Complete", "Described", "Listing", "completing", "is_collection"]

type Complete = Callable[[Image, Mapping[str, int]], Image]
"""Called with what the metadata of an image say and the sizes of its level 0; returns that with what others add to it.

It is asked of images of other tools alone: what is ours says all that there is to say.
"""

OME = "OME"
"""Group that lists the images of a collection."""

OME_XML = f"{OME}/METADATA.ome.xml"
"""What describes them, in the order of that list."""

APART = frozenset({"plate", "well", "multiscales"})
"""Groups whose images are described by no collection. 84 (MUST): where there is a plate, that counts."""


def completing(store: StoreArgument, group: zarr.Group, storage_options: Mapping[str, Any] | None = None) -> Complete:
    """Return what adds to the metadata of an image that is opened by itself, should it be of a collection.

    That is looked for when the image lacks something: group by group upward, no further than one that is called as
    stores are (``….zarr``), or holds images otherwise. To labels is added what is added to their image.

    Parameters
    ----------
    store, storage_options
        What the group was opened from.
    group
        Of the image.
    """

    def complete(image: Image, sizes: Mapping[str, int]) -> Image:
        if not omexml.lacks(image) and not omexml.may_count(image):
            return image
        for place, above, path in _above(store, group, storage_options):
            attrs = above.attrs.asdict()
            if path.startswith("labels/") and spec.is_image(attrs):
                with suppress(*UNREADABLE):  # the labels are there all the same
                    return _of_labels(image, sizes, above, completing(place, above, storage_options))
                return image
            if is_collection(attrs):
                listing = Listing.of(above)
                if path not in listing.places:
                    return image
                return Described.of(above, listing).completing(listing.places.index(path))(image, sizes)
            if spec.kinds(attrs) & APART:
                return image
        return image

    return complete


def _of_labels(labels: Image, sizes: Mapping[str, int], group: zarr.Group, complete: Complete) -> Image:
    """Add to the metadata of labels what is added to those of their image, whose group this is."""
    attrs = group.attrs.asdict()
    if spec.SIDECAR in attrs:
        return labels
    image = spec.parse(attrs)
    path = image.multiscale.levels[0].path
    if not leads_below(path):
        return labels
    own = dict(zip(image.multiscale.dims, open_array(group, path).shape, strict=True))
    return omexml.complete_labels(labels, sizes, image, own, complete(image, own))


def _above(
    store: StoreArgument, group: zarr.Group, storage_options: Mapping[str, Any] | None
) -> Iterator[tuple[StoreArgument, zarr.Group, str]]:
    """Yield what the groups above one are opened from, themselves, and the path down; the nearest first."""
    target = resolve(store)
    here = target.as_posix() if isinstance(target, Path) else target
    root = here.rstrip("/") if isinstance(here, str) else ""
    inside, below = group.path, list[str]()
    while not (inside or root).endswith(SUFFIXES):
        try:
            if inside:
                inside, _, name = inside.rpartition("/")
                store = zarr.storage.StorePath(group.store, inside)
            else:
                name = root.rpartition("/")[2]
                store = root = next(parents(root))
            above = _open_alike(store, group, storage_options if isinstance(store, str) else None)
        except Exception:  # no group, or each kind of server's own way of refusing what lies above a public store
            return
        below.insert(0, name)
        yield store, above, "/".join(below)


def _open_alike(store: StoreArgument, group: zarr.Group, storage_options: Mapping[str, Any] | None) -> zarr.Group:
    """Open a group of the format of another: elsewhere than in a folder each document takes a request."""
    target = resolve(store)
    if isinstance(target, Path):
        return open_group(target)
    return zarr.open_group(
        opened_store(target, storage_options, read_only=True),
        mode=read_mode(target),
        zarr_format=group.metadata.zarr_format,
        use_consolidated=False,
    )


def is_collection(attrs: Mapping[str, Any]) -> bool:
    """Whether group attributes are those of a collection. 84 (MUST): where there is a plate, that counts."""
    found = spec.kinds(attrs)
    return "bioformats2raw.layout" in found and not found & {"plate", "multiscales"}


@dataclass(frozen=True, slots=True)
class Listing:
    """Which images a collection has, and what its group ``OME`` says beside.

    Parameters
    ----------
    paths
        Of the images, in their order.
    listed
        Whether the group lists them.
    others
        What it says beside the list.
    fault
        Why it cannot be read; empty where it can, or is not there.
    """

    paths: tuple[str, ...]
    listed: bool
    others: Mapping[str, Any] = field(default_factory=dict, hash=False)
    fault: str = ""

    @property
    def places(self) -> list[str]:
        """Where the images are in the tree of the collection."""
        return [posixpath.normpath(path) for path in self.paths]

    @classmethod
    def of(cls, group: zarr.Group) -> Listing:
        """Read the list of a collection.

        87 (MUST): the group ``OME`` lists the images. 88 (MUST): where it does not, they are 0, 1, 2 and so on.
        """
        others: dict[str, Any] | None = None
        fault = ""
        try:
            listing = find_member(group, OME, alike=True)
            attrs = {} if listing is None else listing.attrs.asdict()
            others = spec.others(attrs, "series")
            if "series" in spec.kinds(attrs):
                return cls(spec.parse_series(attrs), listed=True, others=others)
        except UNREADABLE as error:
            fault = str(error) if others is None else ""
            warn(
                f"the list of images of {str(group.store_path)!r} cannot be read, and those that are numbered from 0 "
                f"on are opened: {error}",
                CollectionWarning,
            )
        paths: list[str] = []
        for number in count():
            with suppress(*UNREADABLE):  # it is there, and whoever opens it is told what is wrong
                if find_member(group, str(number), alike=True) is None:
                    break
            paths.append(str(number))
        return cls(tuple(paths), listed=False, others=others or {}, fault=fault)


@dataclass(frozen=True)
class Described:
    """What the store of a collection says of its images beside what they say themselves, as it was when it was read.

    Parameters
    ----------
    store
        What messages call it.
    listing
        Its images, and its group ``OME``.
    document
        The OME-XML; None where there is none, or none that can be read.
    fault
        Why it cannot be read; empty where it can, or is not there.
    """

    store: str
    listing: Listing
    document: bytes | None = None
    fault: str = ""

    def __deepcopy__(self, memo: Any) -> Described:
        return self

    @classmethod
    def of(cls, group: zarr.Group, listing: Listing) -> Described:
        """Read what the store of a collection says; what cannot be read costs nothing but itself."""
        from zarr.core.buffer import default_buffer_prototype

        store = str(group.store_path)
        try:
            found = wait(group.store.get(member_path(group, OME_XML), default_buffer_prototype()))
        except Exception as error:  # each kind of server's own way of refusing
            return cls(store, listing, fault=str(error) or type(error).__name__)
        return cls(store, listing, None if found is None else found.to_bytes())

    @property
    def unreadable(self) -> dict[str, str]:
        """Why what is there cannot be read, by its path."""
        faults = {OME: self.listing.fault, OME_XML: self.fault or self._read[1]}
        return {path: fault for path, fault in faults.items() if fault}

    @cached_property
    def _read(self) -> tuple[tuple[XmlImage, ...], str]:
        """What the OME-XML says of each image, and why it cannot be read."""
        if self.document is None:
            return (), ""
        try:
            return omexml.images_of(omexml.root_of(self.document)), ""
        except ValueError as error:
            return (), str(error)

    @property
    def in_xml(self) -> tuple[XmlImage, ...]:
        """What the OME-XML says of each image that it describes, be they those of the collection or not."""
        return self._read[0]

    @cached_property
    def images(self) -> tuple[XmlImage, ...]:
        """What it says of each image; nothing where it is missing, cannot be read, or is of other images."""
        place = f"{self.store}/{OME_XML}"
        if fault := self.unreadable.get(OME_XML):
            warn(
                f"{place!r} cannot be read, and images are opened without the pixel sizes and channels that it may "
                f"hold: {fault}",
                CollectionWarning,
            )
        if fault or self.document is None:
            return ()
        images, there = self.in_xml, len(self.listing.paths)
        # 87 (MUST): the list has the order of the images in the OME-XML
        if len(images) != there if self.listing.listed else len(images) < there:
            warn(
                f"{place!r} describes {len(images) or 'no'} {'image' if len(images) == 1 else 'images'}, and there "
                f"{'is' if there == 1 else 'are'} {there}: none is known to be which, and pixel sizes and channels are "
                "not taken from it; assign them: assign_grid(…), assign_channels(…)",
                CollectionWarning,
            )
            return ()
        return images

    def completing(self, index: int) -> Complete:
        """Return what adds to the metadata of one image."""
        return partial(self._complete, index)

    def _complete(self, index: int, image: Image, sizes: Mapping[str, int]) -> Image:
        if not omexml.lacks(image) or index >= len(self.images):
            return image
        known = self.images[index]
        if differing := omexml.differing(image.multiscale.axes, sizes, known):
            told = ", ".join(f"{size} along {dim}, not {own}" for dim, (own, size) in differing.items())
            warn(
                f"image {index} of the OME-XML of {self.store!r} has {told}: it is not "
                f"{self.listing.paths[index]!r}, and pixel sizes and channels are not taken from it; assign them: "
                "assign_grid(…), assign_channels(…)",
                CollectionWarning,
            )
            return image
        if wrong := omexml.unusable(image, known):
            warn(
                f"image {index} of the OME-XML of {self.store!r} has {', '.join(wrong)}, which is no "
                f"size of the pixels of {self.listing.paths[index]!r}; assign it: assign_grid(…)",
                CollectionWarning,
            )
        return omexml.complete(image, sizes, known)
