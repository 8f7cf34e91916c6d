"""Scenes against the images that are there, and the coordinate systems of those."""

from __future__ import annotations

from collections.abc import Iterator

from xomezarr import spec
from xomezarr.errors import MetadataError, NotOmeZarrError, VersionError
from xomezarr.holders import unlisted_images
from xomezarr.model import Multiscale, Scene
from xomezarr.report import Finding
from xomezarr.validate.images import examine_image
from xomezarr.validate.nodes import Node
from xomezarr.validate.transforms import check_arrays_of

__all__ = ["examine_scene"]


def examine_scene(node: Node) -> Iterator[Finding]:
    """Apply the rules that need the store to a scene, its images, and the arrays of its transformations."""
    try:
        scene = spec.parse_scene(node.attrs)
    except (MetadataError, NotOmeZarrError, VersionError):
        return
    images: dict[str, Multiscale] = {}
    examined: list[str] = []
    for path, where in _places(node, scene).items():
        found = node.named(path, "0.6e", where)
        if isinstance(found, Finding):
            yield from node.locate([found])
            continue
        if "multiscales" not in found.kinds:
            told = "the group has no multiscales, and is an image of a scene"
            cure = "write them, or give the path of an image"
            yield from found.locate([Finding("0.6e", "error", found.place("multiscales"), told, cure)])
            continue
        if not any(path.startswith(f"{other}/labels/") for other in examined):  # labels are examined with their image
            examined.append(path)
            yield from found.metadata()
            yield from examine_image(found)
        try:
            images[path] = spec.parse(found.attrs).multiscale
        except (MetadataError, NotOmeZarrError, VersionError):
            continue
    told_of = {(one.rule, one.location) for one in spec.findings(node.attrs)}
    found_in = spec.link_findings(scene, images, node.place("scene"))
    yield from node.locate(one for one in found_in if (one.rule, one.location) not in told_of)
    yield from _check_arrays(node, scene, images)
    yield from node.locate(_unlisted(node, scene))


def _places(node: Node, scene: Scene) -> dict[str, str]:
    """Return where in the metadata each image is named first, by its path."""
    found: dict[str, str] = {}
    for index, link in enumerate(scene.links):
        for key, end in (("input", link.source), ("output", link.target)):
            if end.path:
                found.setdefault(end.path, f"{node.place('scene')}.coordinateTransformations[{index}].{key}.path")
    return found


def _check_arrays(node: Node, scene: Scene, images: dict[str, Multiscale]) -> Iterator[Finding]:
    axes = spec.system_axes(scene, images)
    for edge, path in spec.scene_edges(scene, images):
        if not path:  # those of images have been examined with these
            yield from check_arrays_of(node, edge, axes, examine_image)


def _unlisted(node: Node, scene: Scene) -> Iterator[Finding]:
    """0.6e (of what is told): no reader finds an image to which no transformation leads."""
    for name in unlisted_images(node.group, scene):
        told = f"the group {name!r} is an image, and no transformation of the scene leads to it or from it"
        yield Finding("0.6e", "warning", name, told, "say how it lies to the others, or remove it")
