"""Scenes: images in one store, and how they lie to each other; written from a dict, read as a tree of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from xomezarr import spec
from xomezarr.collection import known_members, named_members
from xomezarr.direct import put_attributes
from xomezarr.engine import OnTile
from xomezarr.errors import (
    UNREADABLE_MEMBER,
    AxisError,
    CollectionError,
    CollectionWarning,
    MetadataError,
    NotOmeZarrError,
    OmeZarrError,
    TransformError,
    collecting,
    raise_all,
    told,
    warn,
)
from xomezarr.fields import KEPT, Kept, copied_arrays, reading
from xomezarr.holders import check_linked, unlisted_images
from xomezarr.lazy import zarr
from xomezarr.members import (
    Image,
    Planned,
    asked_of_each,
    check_nothing_else,
    members_in,
    plan_members,
    write_members,
    written_version,
)
from xomezarr.model import Axis, CoordinateSystem, Link, Multiscale, Scene, SystemName
from xomezarr.model import Image as ImageMetadata
from xomezarr.orientation import ORIENTATIONS
from xomezarr.plan import final_image
from xomezarr.planning import Target, group_attrs, stored_metadata, written_attrs
from xomezarr.plate import node_at
from xomezarr.read import is_remote, made_of, source_of, tree_of
from xomezarr.routes import Routes
from xomezarr.store import StoreArgument, check_complete, find_member
from xomezarr.transforms import Affine, Identity, MapAxis, Transform, Translation, chain, stored
from xomezarr.tree import images as images_in
from xomezarr.units import ome_unit, same_unit

__all__ = ["SceneView", "open_scene", "scene_of", "scene_tree", "write_scene", "write_scene_tree"]

WORLD = "world"
"""What the coordinate system of a new scene is called, if nobody calls it otherwise."""

ARRAYS = "coordinateTransformations"
"""The group of a scene in which arrays of its transformations are to lie."""

_OF_ONE_IMAGE: Mapping[str, str] = {
    "name": "name each array: rename(…)",
    "labels": "give an image with its labels as a Dataset: xr.Dataset({'image': image, 'nuclei': labels})",
}
"""Options of `to_zarr` that are said of one image, and what to do instead."""

type Place = str | tuple[str, str]
"""A coordinate system: the scene's by its name, that of an image's levels by its path, any of its by path and name."""

type Leading = Transform | Mapping[str, float] | ArrayLike
"""A transformation; a translation by dimension; or the matrix of an affine."""


# -- how images lie to each other --------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class SceneView:
    """How the images of a scene lie to each other.

    A coordinate system is named by its name where it is the scene's own, by the path of an image where its levels lie
    in it, and by a path and a name where it is another one of an image's.

    Parameters
    ----------
    scene
        What the metadata of the scene say.
    images
        What those of its images say, by path.
    groups
        Where arrays of transformations lie, by the path of the image that names them; empty for the scene.
    """

    scene: Scene
    images: Mapping[str, Multiscale]
    groups: Mapping[str, zarr.Group]

    def __repr__(self) -> str:
        images, systems = ([*map(repr, names)] for names in (self.images, self.systems))
        return f"<scene of the images {told(images)}; coordinate systems of its own: {told(systems) or 'none'}>"

    @property
    def systems(self) -> dict[str, CoordinateSystem]:
        """The coordinate systems of the scene's own, by name."""
        return {system.name: system for system in self.scene.systems or ()}

    def axes(self, system: Place) -> tuple[Axis, ...]:
        """Return the axes of a coordinate system, in the order of the coordinates of its points.

        Raises
        ------
        TransformError
            If there is none of that name.
        """
        return self._axes[self.named(system)]

    def transform(self, source: Place, target: Place) -> Transform:
        """Return what maps points of one coordinate system to another, by the fewest transformations.

        What lies in arrays is read when points are mapped.

        Raises
        ------
        TransformError
            If one of them is not known, or nothing leads there.
        """
        return self._routes.transform(self.named(source), self.named(target))

    def transforms(self, target: Place) -> dict[str, Transform]:
        """Return what maps points of each image, of the system in which its levels lie, to a coordinate system.

        Parameters
        ----------
        target
            The system.

        Returns
        -------
        dict
            By the paths of the images.

        Warns
        -----
        CollectionWarning
            If nothing leads there from some images, which are left out.
        """
        found, why = {}, {}
        wanted = self.named(target)
        for path in self.images:
            try:
                found[path] = self._routes.transform(self.named(path), wanted)
            except TransformError as error:
                why[path] = str(error)
        if why:
            first = next(iter(why.values()))
            warn(
                f"nothing leads to {target!r} from the images {told([*map(repr, why)])}, which are left out: {first}",
                CollectionWarning,
            )
        return found

    @cached_property
    def _axes(self) -> dict[SystemName, tuple[Axis, ...]]:
        return spec.system_axes(self.scene, self.images)

    @cached_property
    def _routes(self) -> Routes[SystemName]:
        edges = [
            edge if path not in self.groups else reading(edge, self._axes, self.groups[path])
            for edge, path in spec.scene_edges(self.scene, self.images)
        ]
        return Routes({name: len(axes) for name, axes in self._axes.items()}, edges, str)

    def named(self, system: Place) -> SystemName:
        """Return the coordinate system that is meant.

        Raises
        ------
        TransformError
            If there is none, or it may be one of two.
        """
        if not _is_place(system):
            raise TransformError(
                f"{system!r} names no coordinate system; give its name, the path of an image, or both: "
                "('tile', 'physical')"
            )
        own = {name.name for name in self._axes if not name.path}
        if isinstance(system, str) and system in own and system in self.images:
            of_image = self.images[system].systems
            raise TransformError(
                f"{system!r} is a coordinate system of the scene, and an image; if the image is meant, name its system "
                f"too: ({system!r}, {of_image.name if of_image else WORLD!r})"
            )
        if isinstance(system, str) and system in self.images and (of_levels := self.images[system].systems) is not None:
            return SystemName(of_levels.name, system)
        found = SystemName(system) if isinstance(system, str) else SystemName(system[1], system[0])
        if found not in self._axes:
            listed = ", ".join(map(str, self._axes)) or "none"
            raise TransformError(f"there is no coordinate system {found}; there are {listed}")
        return found


def _is_place(system: Any) -> bool:
    """Whether something is a name, a path, or both, in a tuple."""
    parts = system if isinstance(system, tuple) and len(system) == 2 else (system,)
    return all(isinstance(part, str) for part in parts)


def scene_of(tree: xr.DataTree) -> SceneView:
    """Return how the images of a scene's tree lie to each other.

    Raises
    ------
    NotOmeZarrError
        If it is not the tree of a scene.
    """
    scene = spec.parse_scene(group_attrs(tree))
    nodes = {path: node for path in images_in(tree) if (node := node_at(tree, path)) is not None}
    known = {path: image.multiscale for path, node in nodes.items() if (image := stored_metadata(node)) is not None}
    for path in scene.paths:  # systems of labels are those of images too
        node = node_at(tree, path)
        if path not in known and node is not None and (image := stored_metadata(node)) is not None:
            known[path] = image.multiscale
    kept = {path: node.encoding.get(KEPT) for path, node in {**nodes, "": tree}.items()}
    return SceneView(scene, known, {path: one.group for path, one in kept.items() if one is not None})


# -- reading -----------------------------------------------------------------------------------------------


def open_scene(
    store: StoreArgument,
    *,
    group: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    drop_variables: str | Sequence[str] | None = None,
    cache: bool = False,
) -> xr.DataTree:
    """Open all images of a scene as one tree; only metadata are read.

    Parameters
    ----------
    store
        A path, a URL, or a store of zarr or obstore.
    group
        Path of the scene's group inside the store; left out, its root.
    storage_options
        For URLs, as fsspec takes them.
    drop_variables
        Coordinates to leave out.
    cache
        Whether what has been read stays in memory, as xarray has it for what it opens.

    Returns
    -------
    xarray.DataTree
        At the path of each image its tree, as `xarray.open_datatree` opens an image by itself. The tree's attributes
        are those of the scene's group; ``tree.omezarr.scene`` says how the images lie to each other.

    Raises
    ------
    StoreNotFoundError, NotOmeZarrError
        If there is no scene at that place.
    IncompleteStoreError
        If its writing was interrupted, or goes on still.
    VersionError, MetadataError
        If its metadata are not understood.
    CollectionError
        If none of its images can be opened.

    Warns
    -----
    CollectionWarning
        If some cannot, which are left out; if there are images beside those that the scene names.
    """
    make = partial(scene_tree, source=source_of(store, group), drop_variables=drop_variables, cache=cache)
    return made_of(make, store, group=group, storage_options=storage_options)


def scene_tree(
    group: zarr.Group,
    *,
    source: str = "",
    drop_variables: str | Sequence[str] | None = None,
    cache: bool = False,
) -> xr.DataTree:
    """Make the tree of a scene whose group has been opened; see `open_scene`."""
    attrs = group.attrs.asdict()
    where = str(group.store_path)
    if "scene" not in spec.kinds(attrs):
        check_complete(group)
        raise NotOmeZarrError(f'{where!r} is no scene; open an image with xr.open_datatree(store, engine="omezarr")')
    scene = spec.parse_scene(attrs)
    tree = xr.DataTree(xr.Dataset(attrs=attrs))
    faults: list[str] = []
    for path in image_paths(group, scene):
        try:
            member = find_member(group, path, alike=True)
            if member is None:
                raise MetadataError("there is no such group; the store is incomplete: copy or write it again")
            own = source and f"{source}/{path}"
            tree[path] = tree_of(member, source=own, drop_variables=drop_variables, cache=cache)
        except UNREADABLE_MEMBER as error:
            faults.append(f"the image {path!r} of {where!r} cannot be opened: {error}")
    if not images_in(tree):
        raise CollectionError("; ".join(faults) or f"{where!r} is a scene without images; copy or write it again")
    for fault in faults:
        warn(f"{fault}; it is left out", CollectionWarning)
    # elsewhere each name would be asked for
    if not is_remote(group.store) and (unlisted := unlisted_images(group, scene)):
        warn(
            f"the groups {told([*map(repr, unlisted)])} of {where!r} are images to which no transformation of the "
            f"scene leads, and are left out; open one by itself: group={unlisted[0]!r}",
            CollectionWarning,
        )
    tree.encoding[KEPT] = Kept(group)
    if source:
        tree.encoding["source"] = source
    return tree


def image_paths(group: zarr.Group, scene: Scene) -> list[str]:
    """Return the paths of the images of a scene; labels that it names come with the image that they are of."""
    found: list[str] = []
    for path in scene.paths:
        image, between, _ = path.rpartition("/labels/")
        member = find_member(group, image, alike=True) if between else None
        is_label = member is not None and spec.is_image(member.attrs.asdict())
        found.append(image if is_label else path)
    # those in which others lie come first
    return [path for path in dict.fromkeys(found) if not any(path.startswith(f"{other}/") for other in found)]


# -- writing -----------------------------------------------------------------------------------------------


def write_scene(
    images: Mapping[str, Image],
    store: StoreArgument,
    *,
    transforms: Mapping[str | tuple[Place, Place], Leading] | None = None,
    systems: Mapping[str, Sequence[Axis]] | None = None,
    version: str = "0.6",
    mode: str = "w-",
    progress: bool | OnTile | None = None,
    compute: bool = True,
    **options: Any,
) -> xr.DataTree | Any:
    """Write several images to one store, and how they lie to each other.

    Everything is checked before the first byte is written. A local store appears whole or not at all.

    Parameters
    ----------
    images
        By name, as in `write_collection`.
    store
        A path, a URL that fsspec knows, or a store of zarr or obstore.
    transforms
        By image: what leads from the coordinates of its pixels to the scene's coordinate system. Or by two coordinate
        systems, ``(source, target)``, each an image, a system of the scene's, or a path and a name, as in `SceneView`.
        A translation by dimension, such as ``{"x": 348.0}``; a matrix, whose last column is added; or any
        transformation of `xomezarr.transforms`. Points have the order of the image's axes in the file. Of images that
        are not named, the coordinates are those of the scene's system as they are.
    systems
        The coordinate systems of the scene by name, each with its axes. Left out, it is one, ``"world"``, with the axes
        of the images.
    version
        One that has scenes: ``"0.6"``.
    mode, progress, compute, **options
        As in `write_collection`.

    Returns
    -------
    xarray.DataTree or dask.delayed.Delayed
        The written store, opened lazily by `open_scene`.

    Raises
    ------
    CollectionError
        If an image cannot be named so, or is none.
    TransformError
        If a transformation does not lead from one coordinate system to another.
    OmeZarrError
        Of the type that names the cause; independent faults are raised together, each with the image's name.

    Examples
    --------
    >>> import tempfile
    >>> import xomezarr
    >>> tile = xr.DataArray(np.zeros((64, 64), "uint8"), dims=("y", "x"))
    >>> tile = tile.omezarr.assign_grid(scale={"y": 0.5, "x": 0.5}, units="um")
    >>> tiles = {"left": tile, "right": tile}
    >>> tree = write_scene(tiles, tempfile.mkdtemp() + "/scene.ome.zarr", transforms={"right": {"x": 30.0}})
    >>> tree.omezarr.scene.transform("right", "world")([1.0, 2.0])
    array([ 1., 32.])
    """
    faults: list[OmeZarrError] = []
    given = {**options, "mode": mode, "version": version}
    target, options = asked_of_each(faults, store, "write_scene", given, like="scene", of_one=_OF_ONE_IMAGE)
    _check_version(target, faults)
    members = named_members(images, faults)
    faults += [
        CollectionError(f"an image cannot be named {name!r}, as arrays of a scene lie there; give another name")
        for name in members
        if name.lower() == ARRAYS.lower()
    ]
    planned = plan_members(members, target, options, faults, _called)
    raise_all(faults, "the scene cannot be written")
    scene = _scene(_written(planned, target), transforms or {}, systems)
    return _write(scene, planned, None, target, faults, progress=progress, compute=compute)


def write_scene_tree(
    tree: xr.DataTree,
    store: StoreArgument,
    *,
    version: str | None = None,
    mode: str = "w-",
    progress: bool | OnTile | None = None,
    compute: bool = True,
    **options: Any,
) -> xr.DataTree | Any:
    """Write the tree of a scene as it stands: all images that it holds, and how they lie to each other.

    Parameters
    ----------
    tree
        As `open_scene` opens it. What leads to or from images that are not there any more is left out.
    version
        Left out, that of the scene.
    store, mode, progress, compute, **options
        As in `write_scene`.

    Returns
    -------
    xarray.DataTree or dask.delayed.Delayed
        The written store, opened lazily.

    Raises
    ------
    CollectionError
        If the tree has no image, or one of which nothing says how it lies to the others.
    VersionError
        If the version has no scenes.
    OmeZarrError
        If the tree holds what has no place in the store, or an image cannot be written; independent faults are raised
        together.

    Warns
    -----
    CollectionWarning
        If transformations are left out.
    """
    faults: list[OmeZarrError] = []
    given = {**options, "mode": mode, "version": written_version(tree, store, version)}
    target, options = asked_of_each(faults, store, "to_zarr", given, like="scene", of_one=_OF_ONE_IMAGE)
    _check_version(target, faults)
    known = spec.parse_scene(written_attrs(tree))
    there = images_in(tree)
    if not there:
        faults.append(
            CollectionError('the tree has no images; open it again: xr.open_datatree(store, engine="omezarr")')
        )
    check_nothing_else(tree, there, [""], faults)
    scene = _still_there(known, tree, there, faults)
    members = known_members(members_in(tree, there, CollectionError), faults)
    planned = plan_members(members, target, options, faults, _called)
    if not faults:
        _check_linked(tree, scene, planned, target, faults)
    return _write(scene, planned, tree.encoding.get(KEPT), target, faults, progress=progress, compute=compute)


def _write(
    scene: Scene,
    planned: Planned,
    kept: Kept | None,
    target: Target,
    faults: list[OmeZarrError],
    *,
    progress: bool | OnTile | None,
    compute: bool,
) -> xr.DataTree | Any:
    """Write a scene; what is wrong is told with the faults that have been found.

    Parameters
    ----------
    scene
        What is said of it.
    planned
        Its images, by path.
    kept
        Where arrays of its transformations lie; None where that is not known.
    target, progress, compute
        As in `write_members`.
    """
    copied: Kept | None = None
    attrs: dict[str, Any] = {}
    with collecting(faults):
        copied = copied_arrays(spec.scene_paths(scene), kept, planned, None)
        target.check_not_read_from(kept=copied)
    if not faults:
        found = spec.link_findings(scene, _written(planned, target), "scene")
        faults += [TransformError(f"{one.location}: {one.message}; {one.cure}") for one in found]
    if not faults:
        with collecting(faults):
            attrs = spec.dump_scene(scene, target.version)
            spec.check(attrs, target.version)
    raise_all(faults, "the scene cannot be written")

    def finish(group: zarr.Group) -> None:
        if copied is not None:
            copied.put(group)
        put_attributes(group, attrs)

    return write_members(planned, target, finish, _opened, progress=progress, compute=compute)


def _check_version(target: Target, faults: list[OmeZarrError]) -> None:
    """Add to `faults` that the version has no scenes."""
    if target.version in spec.VERSIONS:
        with collecting(faults):
            spec.dump_scene(Scene(()), target.version)


def _opened(target: Target) -> xr.DataTree:
    return open_scene(target.store, storage_options=target.storage_options, cache=True)


def _called(name: str) -> str:
    return f"image {name!r}"


def _written(planned: Planned, target: Target) -> dict[str, Multiscale]:
    """Return what will be said of images and of their labels, by path."""
    found = {}
    for path, (plan, _) in planned.items():
        for below, one in [("", plan), *((f"/labels/{name}", of_label) for name, of_label in plan.labels.items())]:
            found[f"{path}{below}"] = spec.parse(spec.dump(final_image(one), target.version)).multiscale
    return found


# -- what is said of a new scene ---------------------------------------------------------------------------


def _scene(
    images: Mapping[str, Multiscale],
    transforms: Mapping[str | tuple[Place, Place], Leading],
    systems: Mapping[str, Sequence[Axis]] | None,
) -> Scene:
    """Return a scene of images, by what the user says of them; independent faults are raised together."""
    _check_asked(transforms, systems)
    faults: list[OmeZarrError] = []
    pairs = [key for key in transforms if isinstance(key, tuple)]
    named = {place if isinstance(place, str) else place[0] for pair in pairs for place in pair}
    alone = [path for path in images if path in transforms or (path not in named and "/labels/" not in path)]
    asked: dict[Any, Any] = {path: transforms.get(path, {}) for path in alone} | {**transforms}
    # images of which the scene's system may have the axes
    near = {*alone, *(place for pair in pairs if WORLD in pair for place in pair if isinstance(place, str))}
    own: tuple[CoordinateSystem, ...] | None = None
    with collecting(faults):
        if systems is not None:
            own = tuple(CoordinateSystem(name, tuple(map(_as_written, axes))) for name, axes in systems.items())
        elif WORLD in named or any(isinstance(key, str) for key in asked):
            own = (CoordinateSystem(WORLD, _common_axes({path: one for path, one in images.items() if path in near})),)
    raise_all(faults, "the scene cannot be written")
    view = SceneView(Scene((), own), images, {})
    links = []
    said: dict[frozenset[SystemName], Any] = {}
    for key, leading in asked.items():
        with collecting(faults):
            source, target = key if isinstance(key, tuple) else (key, _only(own or (), key))
            ends = view.named(source), view.named(target)
            if (first := said.setdefault(frozenset(ends), key)) is not key:
                raise TransformError(
                    f"transforms says twice how {ends[0]} lies to {ends[1]}, under {first!r} and {key!r}; remove one"
                )
            axes = view.axes(source), view.axes(target)
            links.append(Link(*ends, spec.dump_transform(_as_transform(leading, axes, ends))))
    raise_all(faults, "the scene cannot be written")
    return Scene(tuple(links), own)


def _check_asked(transforms: Any, systems: Any) -> None:
    """Make sure that transformations and systems are given as such.

    Raises
    ------
    TransformError
        If they are not.
    """
    if not isinstance(transforms, Mapping):
        raise TransformError(
            f"transforms is a {type(transforms).__name__}; give transformations by image: {{'right': {{'x': 348.0}}}}"
        )
    for key in transforms:
        pair = key if isinstance(key, tuple) and len(key) == 2 and all(map(_is_place, key)) else ()
        if not pair and not isinstance(key, str):
            raise TransformError(
                f"transforms has the key {key!r}, which names neither an image nor where it leads from and to; give "
                "'right', or ('right', 'left')"
            )
    if systems is None:
        return
    given = [*systems.items()] if isinstance(systems, Mapping) and systems else [("", None)]
    for name, axes in given:
        listed = axes if isinstance(axes, Sequence) else [None]
        if not isinstance(name, str) or not name or not all(isinstance(axis, Axis) for axis in listed):
            raise TransformError(
                f"systems={systems!r} are no coordinate systems; give the axes of each by its name: "
                "{'world': [xomezarr.Axis('y', 'space', 'micrometer'), …]}"
            )


def _as_written(axis: Axis) -> Axis:
    """Return an axis of a scene's system with its unit as OME-Zarr calls it.

    Raises
    ------
    AxisError
        If it has an orientation that OME-Zarr does not have.
    """
    if axis.orientation is not None and axis.orientation not in ORIENTATIONS:
        raise AxisError(
            f"the axis {axis.name!r} of the scene has the orientation {axis.orientation!r}, which is none that "
            f"OME-Zarr has; give one of {', '.join(ORIENTATIONS)}"
        )
    return replace(axis, unit=axis.unit and (ome_unit(axis.unit) or axis.unit))


def _common_axes(images: Mapping[str, Multiscale]) -> tuple[Axis, ...]:
    """Return the axes that images have in common.

    Raises
    ------
    TransformError
        If they differ.
    """
    if not images:
        raise TransformError(
            f"it is not known which axes the coordinate system {WORLD!r} has; give them: "
            "systems={'world': [xomezarr.Axis('y', 'space', 'micrometer'), …]}"
        )
    (first, one), *others = images.items()
    for path, other in others:
        if [_shown(axis) for axis in other.axes] != [_shown(axis) for axis in one.axes]:
            raise TransformError(
                f"the image {path!r} has the axes {', '.join(map(_shown, other.axes))}, and {first!r} "
                f"{', '.join(map(_shown, one.axes))}, so that it is not known which those of the scene are; give them: "
                "systems={'world': [xomezarr.Axis('y', 'space', 'micrometer'), …]}"
            )
    return tuple(Axis(axis.name, axis.type, axis.unit) for axis in one.axes)


def _shown(axis: Axis) -> str:
    return f"{axis.name} in {axis.unit}" if axis.unit else axis.name


def _only(systems: Sequence[CoordinateSystem], path: str) -> str:
    """Return the one coordinate system of a scene."""
    if len(systems) == 1:
        return systems[0].name
    listed = ", ".join(repr(system.name) for system in systems)
    raise TransformError(
        f"it is not said to which coordinate system of the scene the transformation of {path!r} leads, of which there "
        f"are {listed}; name it: transforms={{({path!r}, {systems[0].name!r}): …}}"
    )


def _as_transform(
    leading: Any, axes: tuple[Sequence[Axis], Sequence[Axis]], ends: tuple[SystemName, SystemName]
) -> Transform:
    """Return a transformation between two systems of some axes, as the user may give it.

    Raises
    ------
    TransformError
        If it is none, or lies in an array.
    """
    source, target = ends
    between = f"the transformation from {source} to {target}"
    order: Transform = Identity()
    if isinstance(leading, Mapping):
        names = [axis.name for axis in axes[0]]
        if unknown := [name for name in leading if name not in names]:
            raise TransformError(
                f"{between} is of {told([*map(repr, unknown)])}, and the axes are {', '.join(map(repr, names))}; name "
                "these"
            )
        order = _by_name(*axes, between)
        if not leading:
            return order
        for name, value in leading.items():
            if np.asarray(value).dtype.kind not in "iuf":
                raise TransformError(f"{between} is {value!r} along {name!r}; give a number, in the unit of that axis")
        leading = [float(leading.get(name, 0.0)) for name in names]
    if isinstance(leading, Transform):
        if lying := stored(leading):
            raise TransformError(
                f"numbers of {between[4:]} lie in an array, {lying[0].path!r}, which is not written with it; give the "
                "numbers: xomezarr.transforms.Affine(numbers)"
            )
        return leading
    try:
        given = np.asarray(leading)
    except ValueError:  # rows of several lengths
        given = np.empty(0, object)
    if given.dtype.kind not in "iuf":
        raise TransformError(
            f"{between} is {leading!r}, which is not of real numbers; give a translation by dimension, such as "
            "{'x': 348.0}, a matrix, or a transformation of xomezarr.transforms"
        )
    numbers = given.astype(np.float64)
    return chain([Translation(tuple(numbers.tolist())), order]) if numbers.ndim == 1 else Affine(numbers)


def _by_name(source: Sequence[Axis], target: Sequence[Axis], between: str) -> Transform:
    """Return what leads from axes to those of the same names.

    Raises
    ------
    TransformError
        If there are others, or they have other units: numbers alone would be taken for what they are not.
    """
    names, wanted = ([axis.name for axis in axes] for axes in (source, target))
    if {*names} != {*wanted}:
        raise TransformError(
            f"{between} goes by the names of axes, which are {', '.join(map(repr, names))} here and "
            f"{', '.join(map(repr, wanted))} there; give a matrix, with a row for each of these: [[1.0, 0.0, 30.0], …]"
        )
    for axis in source:
        other = target[wanted.index(axis.name)]
        if axis.unit is not None and other.unit is not None and not same_unit(axis.unit, other.unit):
            raise TransformError(
                f"{between} goes from {_shown(axis)} to {_shown(other)}; convert the image first, "
                f"to_units({{{axis.name!r}: {other.unit!r}}}), or give a matrix"
            )
    return Identity() if names == wanted else MapAxis(tuple(names.index(name) for name in wanted))


# -- what is still true of a scene that was read -----------------------------------------------------------


def _still_there(scene: Scene, tree: xr.DataTree, there: Sequence[str], faults: list[OmeZarrError]) -> Scene:
    """Return a scene without what leads to or from images that are not in its tree; new ones are added to `faults`."""
    gone = [path for path in scene.paths if node_at(tree, path) is None]
    links = tuple(link for link in scene.links if not {link.source.path, link.target.path} & {*gone})
    if len(links) < len(scene.links):
        warn(
            f"the images {told([*map(repr, gone)])} are not in the tree any more, and "
            f"{len(scene.links) - len(links)} transformations that lead to or from them are left out",
            CollectionWarning,
        )
    linked = {path for link in links for path in (link.source.path, link.target.path)}
    places = f"**tree.omezarr.scene.transforms({scene.systems[0].name!r}), " if scene.systems else "…, "
    faults += [
        CollectionError(
            f"nothing says how the image {path!r} lies to the others of the scene; write a new one, with the "
            f"places of all: xomezarr.write_scene(dict(tree.children), store, transforms={{{places}{path!r}: …}})"
        )
        for path in there
        if not any(f"{other}/".startswith(f"{path}/") for other in linked)
    ]
    return replace(scene, links=links)


def _check_linked(
    tree: xr.DataTree, scene: Scene, planned: Planned, target: Target, faults: list[OmeZarrError]
) -> None:
    """Add to `faults` which images have not the coordinate systems any more that transformations lead to and from."""
    written: Mapping[str, Multiscale] = {}
    with collecting(faults):
        written = _written(planned, target)
    for path, new in written.items():
        known = _before(tree, path)
        if known is not None:
            with collecting(faults):
                check_linked(scene.links, path, known.multiscale, new)


def _before(tree: xr.DataTree, path: str) -> ImageMetadata | None:
    """Return what was said of an image when the scene was written: in its store, where that is known, else in its tree.

    Another image may have been put in its place.
    """
    kept: Kept | None = tree.encoding.get(KEPT)
    if kept is not None:
        with suppress(*UNREADABLE_MEMBER):
            member = find_member(kept.group, path)
            if member is not None:
                return spec.parse(member.attrs.asdict())
    node = node_at(tree, path)
    return None if node is None else stored_metadata(node)
