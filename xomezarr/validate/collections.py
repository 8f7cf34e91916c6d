"""Collections of images as bioformats2raw lays them out, with the OME-XML of the original files."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xomezarr import omexml, spec
from xomezarr.errors import MetadataError, NotOmeZarrError, VersionError
from xomezarr.model import Axis
from xomezarr.report import Finding
from xomezarr.validate.arrays import StoredArray, open_stored
from xomezarr.validate.images import examine_image
from xomezarr.validate.nodes import Node
from xomezarr.validate.plates import examine_plate, field_paths

__all__ = ["XML", "Described", "examine_collection"]

XML = "METADATA.ome.xml"
NAMESPACE = "{http://www.openmicroscopy.org/Schemas/OME/"


@dataclass(frozen=True, slots=True)
class Described:
    """What the OME-XML of a collection says.

    Parameters
    ----------
    images
        What it says of each; None for one without pixels.
    wells
        Whether it describes wells of a plate.
    pixels
        How many images have their pixels elsewhere than in the collection.
    """

    images: tuple[omexml.XmlImage | None, ...]
    wells: bool
    pixels: int

    @classmethod
    def of(cls, content: bytes) -> Described:
        """Read OME-XML.

        Raises
        ------
        ValueError
            If it is none.
        """
        root = omexml.root_of(content)
        if not root.tag.startswith(NAMESPACE):
            namespace = root.tag.rpartition("}")[0][1:]
            of = f"is of the namespace {namespace!r}" if namespace else "has no namespace"
            raise ValueError(f"its root {of}, where that of OME begins with {NAMESPACE[1:]}")
        space = root.tag[: -len("OME")]
        images = root.findall(f"{space}Image")
        found = [image.find(f"{space}Pixels") for image in images]
        bare = [one is not None and one.find(f"{space}MetadataOnly") is not None for one in found]
        return cls(
            tuple(
                None if one is None else omexml.read_image(image, one) for image, one in zip(images, found, strict=True)
            ),
            root.find(f"{space}Plate/{space}Well") is not None,
            bare.count(False),
        )


def examine_collection(node: Node) -> Iterator[Finding]:
    """Apply the rules that need the store to a collection: its plate or its images, and its OME-XML."""
    ome = node.named("OME", "85", "OME")
    series: tuple[str, ...] | None = None
    if isinstance(ome, Node) and ome.kinds:
        yield from ome.metadata()
        series = _series(ome)
    described: Described | None = None
    for found in _describe(node):
        if isinstance(found, Described):
            described = found
        else:
            yield from node.locate([found])
    if "plate" in node.kinds:
        yield from examine_plate(node)
        paths = field_paths(node)
        yield from node.locate(_matching_series(node, paths, series))
    else:
        if described is not None and described.wells:
            yield from node.locate(_missing_plate(node))
        paths = list(series) if series is not None else _numbered(node)
        yield from _examine_images(node, paths, listed=series is not None)
        yield from node.locate(_unlisted(node, paths, listed=series is not None))
    if described is not None and paths is not None:
        yield from node.locate(_as_many(described, paths, listed=series is not None))
        # the images of a plate have the order of its series alone
        yield from node.locate(_same_pixels(node, described, paths if "plate" not in node.kinds else series or ()))


def _series(ome: Node) -> tuple[str, ...] | None:
    try:
        return spec.parse_series(ome.attrs)
    except (MetadataError, NotOmeZarrError, VersionError):
        return None


def _describe(node: Node) -> Iterator[Finding | Described]:
    """85 (SHOULD): there is an OME/METADATA.ome.xml. (MUST): it is OME-XML, and its pixels are MetadataOnly."""
    path = f"OME/{XML}"
    content = node.content(path)
    if content is None:
        told = "there is no OME-XML of the original file"
        yield Finding("85", "warning", path, told, "put it there, with MetadataOnly in place of the pixels")
        return
    try:
        described = Described.of(content)
    except ValueError as error:
        yield Finding("85", "error", path, f"this is no OME-XML: {error}", "write it anew")
        return
    if described.pixels:
        told = f"{described.pixels} of {len(described.images)} images have no MetadataOnly element"
        yield Finding("85", "error", path, told, "their pixels are here: put <MetadataOnly/> in place of the others")
    for index, image in enumerate(described.images):
        if image is not None and image.type not in (None, *omexml.PIXEL_TYPES.values()):
            told = f"the Type of the pixels of image {index} is {image.type!r}, which OME-XML does not know"
            yield Finding("85", "error", path, told, f"give one of {', '.join(omexml.PIXEL_TYPES.values())}")
    for index, image in enumerate(described.images):
        if image is not None and image.unusable:
            told = f"image {index} has {', '.join(image.unusable.values())}, which is no size of pixels"
            yield Finding("85", "warning", path, told, "give a number above zero, or leave it out")
    yield described


def _missing_plate(node: Node) -> Iterator[Finding]:
    """84 (MUST): a collection of the images of a plate has the metadata of the plate, which take precedence."""
    told = "the OME-XML describes wells of a plate, and the group has no plate"
    yield Finding("84", "error", node.place("plate"), told, "write the metadata of the plate")


def _matching_series(node: Node, paths: Sequence[str] | None, series: Sequence[str] | None) -> Iterator[Finding]:
    """86 (SHOULD): series name the images of a plate, which are where the plate has them (MUST, by rule 5)."""
    if paths is None:
        return
    if series is None:
        told = "the images of the plate are not listed as series"
        yield Finding("86", "warning", "OME", told, 'list them in the order of the OME-XML: "series": […]')
    elif sorted(series) != sorted(paths):
        missing = sorted(set(paths) - set(series)) or sorted(set(series) - set(paths)) or sorted(series)
        told = f"the series are not the images of the plate: {missing[0]!r} is only among one of them, or there twice"
        yield Finding("86", "warning", "OME", told, "list each image of the plate once")


def _numbered(node: Node) -> list[str]:
    """Return the groups with numbers for names, in their order."""
    names = sorted((name for name in node.names() if name.isdecimal()), key=int)
    if names:
        return names
    found: list[str] = []  # the store may be one that does not list its names
    while isinstance(node.named(str(len(found)), "88", ""), Node):
        found.append(str(len(found)))
    return found


def _examine_images(node: Node, paths: Sequence[str], *, listed: bool) -> Iterator[Finding]:
    """87 (MUST): the paths of series lead to images. 88 (MUST): without series, images are 0, 1, 2 and so on.

    89 (MUST): each image stands for one of the OME-XML, and is listed once.
    """
    if not listed and list(paths) != [str(number) for number in range(len(paths))]:
        told = f"the images are numbered {', '.join(paths)}"
        yield from node.locate([Finding("88", "error", "attributes", told, "number them 0, 1, 2, …, or list series")])
    if not paths:
        told = "there are no images: no series are listed, and there is no group 0"
        yield from node.locate([Finding("88", "error", "attributes", told, "number them 0, 1, 2, …, or list series")])
    rule = "87" if listed else "88"
    examined: set[str] = set()
    for index, path in enumerate(paths):
        where = f"OME: series[{index}]" if listed else path
        if (place := posixpath.normpath(path)) in examined:
            yield from node.locate(
                [Finding("89", "error", where, f"the image {path!r} is there twice", "list it once")]
            )
            continue
        examined.add(place)
        found = node.named(path, rule, where)
        if isinstance(found, Finding):
            yield from node.locate([found])
        elif "multiscales" not in found.kinds:
            told = "the group has no multiscales, and is one of the images of a collection"
            cure = "write them, or remove the group"
            yield from found.locate([Finding(rule, "error", found.place("multiscales"), told, cure)])
        else:
            yield from found.metadata()
            yield from examine_image(found)


def _unlisted(node: Node, paths: Iterable[str], *, listed: bool) -> Iterator[Finding]:
    """89 (MUST): each image of a collection stands for one of the OME-XML. No reader finds those that have no place."""
    known = {posixpath.normpath(path) for path in paths} | {"OME"}
    for name in node.names():
        found = node.named(name, "89", name) if name not in known else None
        if isinstance(found, Node) and "multiscales" in found.kinds:
            told = f"the group {name!r} is an image, and {'no series name it' if listed else 'it has no number'}"
            cure = "list it, and describe it in the OME-XML, or remove it"
            yield Finding("89", "warning", name, told, cure)


def _same_pixels(node: Node, described: Described, paths: Sequence[str]) -> Iterator[Finding]:
    """85 (SHOULD, of what is told): the OME-XML describes the images that are there: how many pixels, of which type."""
    if len(described.images) != len(paths):
        return
    for index, (path, known) in enumerate(zip(paths, described.images, strict=True)):
        own = _level_0(node, path) if known is not None and (known.sizes or known.type) else None
        if known is None or own is None:
            continue
        axes, sizes, dtype = own
        differing = omexml.differing(axes, sizes, known)
        told = [f"Size{dim.upper()} {size}, not {there}" for dim, (there, size) in differing.items()]
        if dtype is not None and known.type in omexml.PIXEL_TYPES.values() and not omexml.is_of_dtype(known, dtype):
            told.append(f"Type {known.type!r}, not {omexml.PIXEL_TYPES.get(dtype.name, dtype.name)!r}")
        if told:
            yield Finding(
                "85",
                "warning",
                f"OME/{XML}",
                f"image {index} has {', '.join(told)} as level 0 of {path!r}",
                "describe each image as it is, in the order of the series",
            )


def _level_0(node: Node, path: str) -> tuple[Sequence[Axis], Mapping[str, int], np.dtype[Any] | None] | None:
    """Return the axes of an image, and the sizes and the dtype of its level 0; None if they cannot be read."""
    found = node.named(path, "87", path)
    try:
        image = spec.parse(found.attrs).multiscale if isinstance(found, Node) else None
    except (MetadataError, NotOmeZarrError, VersionError):
        return None
    if image is None or not isinstance(found, Node):
        return None
    array = open_stored(found.group, image.levels[0].path)
    if not isinstance(array, StoredArray) or len(array.shape) != len(image.axes):
        return None
    return image.axes, dict(zip(image.dims, array.shape, strict=True)), array.dtype


def _as_many(described: Described, paths: Sequence[str], *, listed: bool) -> Iterator[Finding]:
    """87 (MUST): series are as many as the images of the OME-XML. 89 (MUST): images of the collection are."""
    if len(described.images) != len(paths):
        told = f"the OME-XML describes {len(described.images)} images, and there are {len(paths)}"
        yield Finding("87" if listed else "89", "error", f"OME/{XML}", told, "describe each image once, in their order")
