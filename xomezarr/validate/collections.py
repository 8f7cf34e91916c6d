"""Collections of images as bioformats2raw lays them out, with the OME-XML of the original files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from xomezarr import spec
from xomezarr.errors import MetadataError, NotOmeZarrError, VersionError
from xomezarr.report import Finding
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
        How many there are.
    wells
        Whether it describes wells of a plate.
    pixels
        How many images have their pixels elsewhere than in the collection.
    """

    images: int
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
        try:
            root = ElementTree.fromstring(content)
        except ElementTree.ParseError as error:
            raise ValueError(f"it is not well-formed: {error}") from None
        if not (root.tag.startswith(NAMESPACE) and root.tag.endswith("}OME")):
            raise ValueError(f"its root is {root.tag!r}, not OME")
        space = root.tag[: -len("OME")]
        images = root.findall(f"{space}Image")
        found = [image.find(f"{space}Pixels") for image in images]
        bare = [one is not None and one.find(f"{space}MetadataOnly") is not None for one in found]
        return cls(len(images), root.find(f"{space}Plate/{space}Well") is not None, bare.count(False))


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
    if described is not None and paths is not None:
        yield from node.locate(_as_many(described, paths, listed=series is not None))


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
        told = f"{described.pixels} of {described.images} images have no MetadataOnly element"
        yield Finding("85", "error", path, told, "their pixels are here: put <MetadataOnly/> in place of the others")
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
    """87 (MUST): the paths of series lead to images. 88 (MUST): without series, images are 0, 1, 2 and so on."""
    if not listed and list(paths) != [str(number) for number in range(len(paths))]:
        told = f"the images are numbered {', '.join(paths)}"
        yield from node.locate([Finding("88", "error", "attributes", told, "number them 0, 1, 2, …, or list series")])
    if not paths:
        told = "there are no images: no series are listed, and there is no group 0"
        yield from node.locate([Finding("88", "error", "attributes", told, "number them 0, 1, 2, …, or list series")])
    rule = "87" if listed else "88"
    for index, path in enumerate(paths):
        where = f"OME: series[{index}]" if listed else path
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


def _as_many(described: Described, paths: Sequence[str], *, listed: bool) -> Iterator[Finding]:
    """87 (MUST): series are as many as the images of the OME-XML. 89 (MUST): images of the collection are."""
    if described.images != len(paths):
        told = f"the OME-XML describes {described.images} images, and there are {len(paths)}"
        yield Finding("87" if listed else "89", "error", f"OME/{XML}", told, "describe each image once, in their order")
