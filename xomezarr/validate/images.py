"""Images, and the labels of images, against the arrays that are there."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from xomezarr import checks, sidecar, spec
from xomezarr.besides import coordinates_beside, disagreement
from xomezarr.errors import (
    UNREADABLE_MEMBER,
    LayoutError,
    MetadataError,
    NotOmeZarrError,
    StoreAccessError,
    VersionError,
)
from xomezarr.layout import FLAT, layout_of, level_group
from xomezarr.model import Image, Multiscale
from xomezarr.notes import UNFINISHED, Unfinished, unfinished_in
from xomezarr.read import tree_of
from xomezarr.report import Finding, Severity
from xomezarr.validate.arrays import StoredArray, check_arrays, open_stored
from xomezarr.validate.chunks import check_chunks
from xomezarr.validate.grids import check_grids, check_in_step
from xomezarr.validate.nodes import Node
from xomezarr.validate.transforms import check_arrays_of

__all__ = ["LABEL_RULES", "Pixels", "examine_image", "examine_labels"]

SOURCE = "../../"
"""Where the image of a label image is, unless the metadata say otherwise."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """An image with the arrays of each multiscale; where one cannot be opened, there is what is wrong with it."""

    image: Image
    arrays: Sequence[Sequence[StoredArray | Finding]]

    @classmethod
    def of(cls, node: Node) -> Pixels | None:
        """Read an image and open its arrays; None if the metadata cannot be read."""
        try:
            image = spec.parse(node.attrs)
        except (MetadataError, NotOmeZarrError, VersionError):
            return None
        return cls(
            image,
            [[open_stored(node.group, level.path) for level in multiscale.levels] for multiscale in image.multiscales],
        )

    def levels(self) -> list[tuple[StoredArray, dict[str, int]] | None]:
        """Return the arrays of the image that readers show, with the sizes of the axes; None for those that miss."""
        dims = self.image.multiscale.dims
        return [
            (array, dict(zip(dims, array.shape, strict=True)))
            if isinstance(array, StoredArray) and len(array.shape) == len(dims)
            else None
            for array in self.arrays[0]
        ]

    def sizes(self) -> list[dict[str, int] | None]:
        """Return the sizes of the axes, level by level; None for an array that misses."""
        return [None if level is None else level[1] for level in self.levels()]


def examine_image(node: Node) -> Iterator[Finding]:
    """Apply the rules that need the store to an image and its labels, or to a label image and its image."""
    pixels = Pixels.of(node)
    if pixels is None:
        return
    yield from node.locate(_check_pixels(node, pixels))
    yield from node.locate(_check_finished(node, pixels))
    yield from _check_transforms(node, pixels)
    if layout_of([level.path for level in pixels.image.multiscale.levels]) != FLAT:
        yield from node.locate(_check_beside(node, pixels.image.multiscale))
    if pixels.image.label is not None:
        yield from node.locate(_check_label(node, pixels, None, {}))
        return
    found = node.named("labels", "47", "labels")
    if isinstance(found, Node):
        yield from _examine_group(found, node, pixels)
    elif found.rule != "47":
        yield from node.locate([found])
    elif "labels" in node.names():  # an image needs no labels, but where there are some readers are to find them
        told = "there is a folder of labels, which is no group, so that no reader finds what lies in it"
        cure = "make it a group that lists its label images, or remove it"
        yield from node.locate([Finding("47", "warning", "labels", told, cure)])


def _check_pixels(node: Node, pixels: Pixels) -> Iterator[Finding]:
    for index, (multiscale, found) in enumerate(zip(pixels.image.multiscales, pixels.arrays, strict=True)):
        yield from (array for array in found if isinstance(array, Finding))
        arrays = [None if isinstance(array, Finding) else array for array in found]
        yield from check_arrays(multiscale, arrays, separator=spec.separator(str(pixels.image.version)))
        if index == 0 and arrays[0] is not None and len(arrays[0].shape) == len(multiscale.axes):
            count = _channels(multiscale, arrays[0])
            yield from checks.channel_count(pixels.image, count, node.place("omero"))
        if node.hierarchy.grids:
            yield from check_grids(node.group, multiscale, arrays, labels=_is_labels(node, pixels))
        if node.hierarchy.chunks:
            yield from check_chunks(node.group, arrays)


def _check_finished(node: Node, pixels: Pixels) -> Iterator[Finding]:
    """128 (own): no part of it is being written. 129 (own): its levels have the pixels along an axis that it counts."""
    unfinished: list[Unfinished] = []
    try:
        unfinished = unfinished_in(node.group)
    except StoreAccessError as error:
        if not error.refused:
            raise
        told = f"whether a part of it is being written cannot be told, as names may not be listed: {error}"
        yield Finding("128", "note", UNFINISHED, told, "ask who writes it")
    for one in unfinished:
        cure = "wait until it ends" if one.goes_on else "write the region again"
        severity: Severity = "warning" if one.goes_on else "error"
        yield Finding("128", severity, one.key, str(one).partition(";")[0], cure)
    found = sidecar.growing(node.attrs.get(sidecar.KEY))
    dims = pixels.image.multiscale.dims
    levels = pixels.sizes()
    if found is None or found[0] not in dims or len(found[1]) != len(levels):
        return
    dim, counted = found
    lengths = [None if sizes is None else sizes[dim] for sizes in levels]
    for path, length, count in zip((one.path for one in pixels.image.multiscale.levels), lengths, counted, strict=True):
        if length is not None and length < count:
            told = f"the level has {length} pixels along {dim!r}, and {count} were appended"
            yield Finding("129", "error", path, told, "copy the store again")
    beyond = {length - count for length, count in zip(lengths, counted, strict=True) if length is not None}
    if len(beyond) > 1 and min(beyond) >= 0:
        told = (
            f"levels have {lengths} pixels along {dim!r}, of which {list(counted)} are whole: some are being appended"
        )
        yield Finding("129", "warning", f"{spec.SIDECAR}.growing", told, "append again what was interrupted")


def _is_labels(node: Node, pixels: Pixels) -> bool:
    """Whether an image is one of labels, by what it says or by where it lies."""
    return pixels.image.label is not None or "labels" in node.path.split("/")[:-1]


def _check_transforms(node: Node, pixels: Pixels) -> Iterator[Finding]:
    """Apply the rules of arrays to what leads from one coordinate system of an image to another."""
    for multiscale in pixels.image.multiscales:
        axes = spec.axes_by_system(multiscale)
        for edge in spec.edges(multiscale):
            yield from check_arrays_of(node, edge, axes, examine_image)


def _check_beside(node: Node, multiscale: Multiscale) -> Iterator[Finding]:
    """103 (own): the coordinates beside the pixels of a level are those of the level."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = tree_of(node.group, labels=False)
    except UNREADABLE_MEMBER:  # told by other rules
        return
    finest: list[str] = []
    for index, level in enumerate(multiscale.levels):
        where = level_group(level.path)
        try:
            beside = coordinates_beside(node.group, level.path)
        except LayoutError as error:
            told, _, cure = str(error).rpartition("; ")
            yield Finding("103", "warning", where, told, cure)
            continue
        finest = finest or [dim for dim in multiscale.dims if dim in beside]
        faults = {dim: "is missing" for dim in finest if dim not in beside}
        for dim, coord in tree[str(index)].coords.items():
            if dim in multiscale.dims and dim in beside:
                faults[str(dim)] = disagreement(beside[str(dim)], coord.variable, level.scale[str(dim)])
        for dim, told in faults.items():
            if told:
                yield Finding(
                    "103", "warning", f"{where}/{dim}", f"the coordinate {dim!r} {told}", "write the image anew"
                )


def _channels(multiscale: Multiscale, array: StoredArray) -> int:
    """Return the number of channels: the size of the channel axis, 1 without one."""
    sizes = [size for axis, size in zip(multiscale.axes, array.shape, strict=True) if axis.type == "channel"]
    return sizes[0] if sizes else 1


# -- groups of labels --------------------------------------------------------------------------------------


def examine_labels(node: Node) -> Iterator[Finding]:
    """Apply the rules that need the store to a group of labels whose metadata have been examined."""
    image, _ = node.relative("..")
    yield from _examine_listed(node, image, {})


def _examine_group(node: Node, image: Node, pixels: Pixels) -> Iterator[Finding]:
    """Examine the group of an image's labels."""
    if "labels" not in node.kinds:
        yield from node.locate(_unlisted(node))
        return
    yield from node.metadata()
    yield from _examine_listed(node, image, {image.path: pixels})


def _unlisted(node: Node) -> Iterator[Finding]:
    """47 (the layout in the text of 0.4): the group of labels lists them. 0.5e (MUST): it does."""
    new = spec.since(node.version, "0.5")
    yield Finding(
        "0.5e" if new else "47",
        "error" if new else "warning",
        node.place("labels"),
        "the group does not list its label images",
        'write their paths below it: "labels": […]',
    )


def _examine_listed(node: Node, image: Node | None, opened: dict[str, Pixels | None]) -> Iterator[Finding]:
    """Examine the labels of an image; `opened` holds the images that are open already, by path: many have the same."""
    try:
        paths = spec.parse_labels(node.attrs)
    except (MetadataError, NotOmeZarrError, VersionError):
        return
    for index, path in enumerate(paths):
        place = f"{node.place('labels')}[{index}]"
        if path.strip("/") in {other.strip("/") for other in paths[:index]}:
            # 106 (own): a label image is listed once
            told = f"the path {path!r} is there twice"
            yield from node.locate([Finding("106", "warning", place, told, "list it once")])
            continue
        # 48 (the layout in the text): a path leads to a label image
        found = node.named(path, "48", place)
        if isinstance(found, Finding):
            yield from node.locate([found])
            continue
        yield from node.locate(_bare_groups(node, path))
        yield from _examine_label(found, image, opened)


def _bare_groups(node: Node, path: str) -> Iterator[Finding]:
    """0.5e (MUST): groups between that of the labels and a label image contain no metadata."""
    parts = path.strip("/").split("/")
    for count in range(1, len(parts)) if spec.since(node.version, "0.5") else ():
        between = "/".join(parts[:count])
        found = node.named(between, "0.5e", between)
        if isinstance(found, Node) and spec.is_ome(found.attrs):
            told = f"the group at {between!r}, between the labels and the label image {path!r}, has metadata"
            yield Finding("0.5e", "error", between, told, "remove them, or list what is there")


def _examine_label(node: Node, image: Node | None, opened: dict[str, Pixels | None]) -> Iterator[Finding]:
    """51 (MUST): a label image is an image. 0.5e (SHOULD): it says that it is one of labels."""
    if "multiscales" not in node.kinds and "image-label" not in node.kinds:
        told = "the group is listed as a label image and has no multiscales"
        yield from node.locate(
            [Finding("51", "error", node.place("multiscales"), told, "write them, or remove it from the list")]
        )
        return
    yield from node.metadata()
    pixels = Pixels.of(node)
    if pixels is None:
        return
    yield from node.locate(_check_pixels(node, pixels))
    yield from node.locate(_check_finished(node, pixels))
    yield from _check_transforms(node, pixels)
    if "image-label" not in node.kinds and spec.since(node.version, "0.5"):
        told = "nothing says that this is an image of labels"
        cure = 'write "image-label": {…}'
        yield from node.locate([Finding("0.5e", "warning", node.place("image-label"), told, cure)])
    yield from node.locate(_check_label(node, pixels, image, opened))


# -- label images ------------------------------------------------------------------------------------------


def _check_label(node: Node, pixels: Pixels, image: Node | None, opened: dict[str, Pixels | None]) -> Iterator[Finding]:
    """Judge a label image by the image that it labels, as far as that is found; `image` where nothing else is said."""
    source = pixels.image.label.source if pixels.image.label is not None else None
    if source is not None or image is None:
        image, inside = node.relative(source or SOURCE)
        if image is None or "multiscales" not in image.kinds:
            if source is not None:
                yield _unresolved(node, source, inside)
            image = None
    if image is not None and image.path not in opened:
        opened[image.path] = Pixels.of(image)
    labelled = None if image is None else opened[image.path]
    for rule in LABEL_RULES:
        yield from rule(pixels, labelled)
    if node.hierarchy.grids and labelled is not None:
        yield from check_in_step(pixels.image.multiscale, labelled.image.multiscale, pixels.sizes(), labelled.sizes())


def _unresolved(node: Node, source: str, inside: bool) -> Finding:
    """58 (MUST): the source of a label image leads to an image. Nobody looks for one outside of what is examined."""
    told = f"there is no image at {source!r}" if inside else f"{source!r} leads to no image of this store"
    return Finding(
        "58",
        "error" if inside else "warning",
        f"{node.place('image-label')}.source.image",
        told,
        'give the path from here to the image, "../../" as a rule',
    )


def integer_pixels(label: Pixels, image: Pixels | None) -> Iterator[Finding]:
    """50 (the layout in the text of 0.4): pixels of labels are integers. 0.5e (MUST): of 8, 16, 32 or 64 bits."""
    new = spec.since(label.image.version, "0.5")
    for found in label.levels():
        dtype = found[0].dtype if found is not None else None
        if found is not None and dtype is not None and (dtype.kind not in "iu" or dtype.itemsize > 8):
            yield Finding(
                "0.5e" if new else "50",
                "error" if new else "warning",
                found[0].path,
                f"the pixels are {dtype}",
                "labels are integers: convert them, with astype('int32'), say",
            )


def same_levels(label: Pixels, image: Pixels | None) -> Iterator[Finding]:
    """52 (MUST): a label image has as many levels as its image."""
    if image is None:
        return
    count, wanted = len(label.image.multiscale.levels), len(image.image.multiscale.levels)
    if count != wanted:
        yield Finding(
            "52",
            "error",
            "multiscales[0].datasets",
            f"the label image has {count} levels, and its image {wanted}",
            "write as many, by the same factors",
        )


def same_sizes(label: Pixels, image: Pixels | None) -> Iterator[Finding]:
    """49 (the layout in the text): along each dimension, a label image has the size of its image, or 1."""
    if image is None:
        return
    # levels are compared as far as both have them
    for found, wanted in zip(label.levels(), image.levels(), strict=False):
        if found is None or wanted is None:
            continue
        array, sizes = found
        differing = [
            f"{dim!r}: {size}, not {wanted[1].get(dim, 1)}"
            for dim, size in sizes.items()
            if size not in (1, wanted[1].get(dim, 1))
        ]
        if differing:
            told = f"the sizes differ from those of the image, level by level ({', '.join(differing)})"
            yield Finding("49", "warning", array.path, told, "scale image and labels alike, or give the dimension 1")


type LabelRule = Callable[[Pixels, Pixels | None], Iterator[Finding]]

LABEL_RULES: tuple[LabelRule, ...] = (integer_pixels, same_levels, same_sizes)
