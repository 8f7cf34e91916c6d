"""The JSON of scenes, which 0.6 has: coordinate systems of several images, and what leads from one to another."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from xomezarr.errors import told as listed
from xomezarr.model import Axis, CoordinateSystem, Link, Multiscale, Scene, SystemName
from xomezarr.report import Finding
from xomezarr.routes import Edge, Routes
from xomezarr.spec.listings import path_inside
from xomezarr.spec.notes import Notes, kind_of
from xomezarr.spec.systems import (
    axes_by_system,
    dump_system,
    edges,
    ends_of,
    note_count,
    note_loops,
    paths_of,
    read_between,
    read_systems,
    unconnected,
)
from xomezarr.spec.transforms import inputs_of, read_transform
from xomezarr.spec.values import with_extra

__all__ = ["dump_scene", "link_findings", "read_scene", "scene_edges", "scene_paths", "system_axes"]

RULE = "0.6d"
"""A scene lists transformations, which lead from one named coordinate system to another (MUST)."""

type Given = Mapping[str, Any]


def read_scene(raw: Any, where: str, notes: Notes) -> Scene | None:
    """Read a scene; None if `notes` names something that prevents it."""
    if not isinstance(raw, Mapping):
        notes.stop(RULE, where, f"the scene is {kind_of(raw)}", 'write {"coordinateTransformations": […]}')
        return None
    systems = _systems(raw, where, notes)
    links = _links(raw, {} if systems is None else {one.name: len(one.axes) for one in systems}, where, notes)
    if links is None or (systems is None and "coordinateSystems" in raw):
        return None
    known = ("coordinateSystems", "coordinateTransformations")
    return Scene(links, systems, other={key: value for key, value in raw.items() if key not in known})


def _systems(raw: Given, where: str, notes: Notes) -> tuple[CoordinateSystem, ...] | None:
    if "coordinateSystems" not in raw:
        return None
    given, place = raw["coordinateSystems"], f"{where}.coordinateSystems"
    if not isinstance(given, list):
        notes.stop(
            RULE, place, f"it is {kind_of(given)}", "list one object with a name and axes for each, or remove it"
        )
        return None
    return read_systems(given, place, notes)


def _links(raw: Given, axes: Mapping[str, int], where: str, notes: Notes) -> tuple[Link, ...] | None:
    """Read what leads from one system to another; `axes` says how many each system of the scene has."""
    given, place = raw.get("coordinateTransformations"), f"{where}.coordinateTransformations"
    if not isinstance(given, list) or not given:
        told = f"it is {kind_of(given)}" if given else "there are no transformations"
        notes.stop(RULE, place, told, "list what leads from the coordinate system of one image to another")
        return None
    read = [_link(one, axes, f"{place}[{index}]", notes) for index, one in enumerate(given)]
    found = tuple(one for one in read if one is not None)
    return found if len(found) == len(read) else None


def _link(raw: Any, axes: Mapping[str, int], where: str, notes: Notes) -> Link | None:
    ends = [_end(raw, key, axes, where, notes) for key in ("input", "output")] if isinstance(raw, Mapping) else []
    source, target = ends or (None, None)
    # how many axes that of an image has is not known here
    inputs = None if source is None or source.path else axes.get(source.name)
    read = read_transform(raw, inputs_of(raw) if inputs is None else inputs, where, notes)
    if source is None or target is None:
        return None
    if source == target:
        notes.error(RULE, where, f"it leads from {source} to itself", "name two coordinate systems")
    wanted = None if target.path else axes.get(target.name)
    if read is not None and inputs is not None and wanted is not None:
        note_count(read, inputs, str(target), wanted, where, notes)
    return Link(source, target, {key: value for key, value in raw.items() if key not in ("input", "output")})


def _end(raw: Given, key: str, axes: Mapping[str, int], where: str, notes: Notes) -> SystemName | None:
    """Read where a transformation leads from or to.

    0.6e (MUST): it names a system of an image, by the path of that, or one that the scene lists.
    """
    end, place = raw.get(key), f"{where}.{key}"
    if not isinstance(end, Mapping):
        told = f"it is {kind_of(end)}" if key in raw else "it is missing"
        notes.stop(RULE, place, told, 'write {"name": …}, with the path of the image that has the system')
        return None
    name, path = end.get("name"), end.get("path")
    if not isinstance(name, str) or not name:
        told = f"the name is {kind_of(name)}" if "name" in end else "there is no name"
        notes.stop(RULE, f"{place}.name", told, "give that of a coordinate system")
        return None
    if path is not None and not isinstance(path, str):
        notes.stop(RULE, f"{place}.path", f"it is {kind_of(path)}", "give that of the image that has the system")
        return None
    for other in sorted({*end} - {"name", "path"}):
        notes.error(
            RULE, f"{place}.{other}", "this key is not known", "remove it: a name and a path are all that is read"
        )
    within = posixpath.normpath(path or ".")
    if within != "." and not path_inside(within, f"{place}.path", notes):
        return None
    if within == "." and name not in axes:
        known = f"name {' or '.join(map(repr, axes))}" if axes else "list it"
        cure = f"{known}, or give the path of the image that has it"
        notes.error("0.6e", f"{place}.name", f"the scene lists no coordinate system {name!r}", cure)
    return SystemName(name, "" if within == "." else within)


def dump_scene(scene: Scene) -> dict[str, Any]:
    """Return a scene as JSON."""
    known: dict[str, Any] = {"coordinateTransformations": [_dump_link(link) for link in scene.links]}
    if scene.systems is not None:
        known = {"coordinateSystems": [dump_system(system) for system in scene.systems], **known}
    return with_extra(known, scene.other)


def _dump_link(link: Link) -> dict[str, Any]:
    return {**link.transform, "input": _dump_end(link.source), "output": _dump_end(link.target)}


def _dump_end(end: SystemName) -> dict[str, str]:
    return {"path": end.path, "name": end.name} if end.path else {"name": end.name}


def system_axes(scene: Scene, images: Mapping[str, Multiscale]) -> dict[SystemName, tuple[Axis, ...]]:
    """Return the axes of all coordinate systems of a scene: its own, and those of its images, which are by path."""
    found = {SystemName(system.name): system.axes for system in scene.systems or ()}
    for path, multiscale in images.items():
        found |= {SystemName(name, path): axes for name, axes in axes_by_system(multiscale).items()}
    return found


def scene_edges(scene: Scene, images: Mapping[str, Multiscale]) -> list[tuple[Edge[SystemName], str]]:
    """Return what leads from one coordinate system of a scene to another, by the scene and by its images.

    Parameters
    ----------
    scene
        What the scene says.
    images
        What its images say, by path.

    Returns
    -------
    list
        What can be read, with the path of the group that says it, below which its arrays lie: that of an image, empty
        for the scene.
    """
    axes = system_axes(scene, images)
    found: list[tuple[Edge[SystemName], str]] = []
    for link in scene.links:
        if link.source in axes and link.target in axes:
            read = read_between(link.transform, len(axes[link.source]), len(axes[link.target]))
            found += [] if read is None else [(Edge(link.source, link.target, read), "")]
    for path, multiscale in images.items():
        for edge in edges(multiscale):
            named = Edge(SystemName(edge.source, path), SystemName(edge.target, path), edge.transform)
            found.append((named, path))
    return found


def scene_paths(scene: Scene) -> tuple[str, ...]:
    """Return the paths of arrays in which numbers of a scene's own transformations lie, as far as these can be read."""
    axes = {system.name: len(system.axes) for system in scene.systems or ()}
    counts = [None if link.source.path else axes.get(link.source.name) for link in scene.links]
    read = [
        read_transform(link.transform, inputs_of(link.transform) if count is None else count, "", Notes())
        for link, count in zip(scene.links, counts, strict=True)
    ]
    return paths_of(one for one in read if one is not None)


def link_findings(scene: Scene, images: Mapping[str, Multiscale], where: str) -> list[Finding]:
    """Return what is wrong with the transformations of a scene by what its images say.

    Parameters
    ----------
    scene
        What the scene says.
    images
        What those of its images say that can be read, by path. What leads to or from others is not judged.
    where
        Place of the scene.
    """
    notes, axes = Notes(), system_axes(scene, images)
    for index, link in enumerate(scene.links):
        place = f"{where}.coordinateTransformations[{index}]"
        ends = {"input": link.source, "output": link.target}
        if any(end.path and end.path not in images for end in ends.values()):
            continue
        for key, end in ends.items():
            if end not in axes:
                there = [name for name in axes if name.path == end.path]
                told = f"there is no coordinate system {end}"
                notes.error("0.6e", f"{place}.{key}.name", told, f"name {' or '.join(map(str, there)) or 'another'}")
        if link.source in axes and link.target in axes:
            inputs, wanted = len(axes[link.source]), len(axes[link.target])
            if (read := read_transform(link.transform, inputs, place, notes)) is not None:
                note_count(read, inputs, str(link.target), wanted, place, notes)
    routes = Routes(
        {name: len(one) for name, one in axes.items()}, [edge for edge, _ in scene_edges(scene, images)], str
    )
    note_loops(routes, f"{where}.coordinateTransformations", notes)
    # labels of images need not be named, nor what lies beside
    named = {"", *scene.paths}
    own = [name for name in axes if name.path in named]
    _check_connected(scene, images, own, where, notes)
    return notes.findings


def _check_connected(
    scene: Scene, images: Mapping[str, Multiscale], systems: Sequence[SystemName], where: str, notes: Notes
) -> None:
    """0.6f (MUST): transformations lead from each coordinate system to every other, be it backward."""
    edges = [(link.source, link.target) for link in scene.links]
    for path, multiscale in images.items():
        edges += [(SystemName(one, path), SystemName(other, path)) for one, other in ends_of(multiscale)]
    if scene.links and (missing := unconnected(systems, edges, scene.links[0].source)):
        told = listed([*map(str, missing)])
        cure = "say where they lie, or remove them"
        notes.error("0.6f", where, f"no transformations lead from {scene.links[0].source} to {told}", cure)
