"""Arrays in which numbers of transformations lie, against the coordinate systems that these lead from and to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from xomezarr import spec
from xomezarr.errors import MetadataError, NotOmeZarrError, TransformError, VersionError
from xomezarr.fields import MATRICES, VECTORS, interpolated, read
from xomezarr.model import Axis
from xomezarr.report import Finding, Severity
from xomezarr.routes import Edge
from xomezarr.transforms import ORDERS, Ends, Stored, with_stored
from xomezarr.validate.arrays import StoredArray, open_stored
from xomezarr.validate.nodes import Node

__all__ = ["check_arrays_of"]

type Examine = Callable[[Node], Iterator[Finding]]


def check_arrays_of[System](
    node: Node, edge: Edge[System], axes: Mapping[System, tuple[Axis, ...]], examine: Examine
) -> Iterator[Finding]:
    """Apply the rules that need the store to a transformation.

    Parameters
    ----------
    node
        The group below which its arrays lie.
    edge
        The transformation, of which nothing has been read, and where it leads from and to.
    axes
        Of coordinate systems.
    examine
        Called with the group of a field, which is an image: applies all rules of images to it.
    """
    found: list[tuple[Stored, Ends[Axis], Ends[Axis]]] = []

    def noted(stored: Stored, before: Ends[Axis], after: Ends[Axis]) -> Stored:
        found.append((stored, before, after))
        return stored

    with_stored(edge.transform, noted, axes[edge.source], axes[edge.target])
    for stored, before, after in found:
        if stored.kind in MATRICES:
            yield from node.locate(_check_matrix(node, stored, before, after))
        else:
            yield from _check_field(node, stored, before, after, examine)


def _check_matrix(node: Node, stored: Stored, before: Ends[Axis], after: Ends[Axis]) -> Iterator[Finding]:
    """98 (own): the path leads to an array. 0.6g (MUST): it is a matrix of numbers, a row for each axis afterwards."""
    found = open_stored(node.group, stored.path)
    if isinstance(found, Finding):
        told = f"{found.message}, and numbers of a transformation are to lie there"
        yield replace(found, message=told, cure="put them there, or remove the transformation")
    else:
        yield from _readable(node, stored, before, after)


def _readable(
    node: Node, stored: Stored, before: Ends[Axis], after: Ends[Axis], severity: Severity = "error"
) -> Iterator[Finding]:
    """Say what keeps numbers from being used."""
    try:
        read(stored, node.group, before, after)
    except TransformError as error:
        told, _, cure = str(error).rpartition("; ")
        yield Finding("0.6g", severity, stored.path, told or cure, cure if told else "")


def _check_field(
    node: Node, stored: Stored, before: Ends[Axis], after: Ends[Axis], examine: Examine
) -> Iterator[Finding]:
    """98 (own): the path leads to a group. 0.6g (MUST): it is an image with one axis more, for what a sample holds."""
    found = node.named(stored.path, "98", stored.path)
    if isinstance(found, Finding):
        told = f"{found.message}, and the field of a transformation is to lie there"
        yield from node.locate(
            [replace(found, message=told, cure="write it as an image, or remove the transformation")]
        )
        return
    if "multiscales" not in found.kinds:
        told = "the group is the field of a transformation, and has no multiscales"
        yield from found.locate([Finding("0.6g", "error", found.place("multiscales"), told, "write it as an image")])
        return
    yield from found.metadata()
    yield from examine(found)
    wrong = [*_check_interpolation(stored), *found.locate(_check_samples(found, stored, before, after))]
    # what the rules do not say, but keeps points from being mapped
    yield from wrong or node.locate(_readable(node, stored, before, after, "warning"))


def _check_interpolation(stored: Stored) -> Iterator[Finding]:
    if (named := interpolated(stored)) not in ORDERS:
        told = f"the field is to be interpolated by {named!r}, which there is not"
        yield Finding("0.6g", "error", stored.path, told, 'write "linear", "nearest" or "cubic"')


def _check_samples(node: Node, stored: Stored, before: Ends[Axis], after: Ends[Axis]) -> Iterator[Finding]:
    """0.6g (MUST): of the axes one is of displacements or coordinates, behind time, before space, and discrete."""
    try:
        multiscale = spec.parse(node.attrs).multiscale
    except (MetadataError, NotOmeZarrError, VersionError):
        return
    place, wanted = f"{node.place('multiscales')}[0].coordinateSystems", VECTORS[stored.kind]
    if before is not None and len(multiscale.axes) != len(before) + 1:
        told = (
            f"the field has {len(multiscale.axes)} axes, and {stored.kind} for points of {len(before)} ask for "
            f"{len(before) + 1}"
        )
        yield Finding("0.6g", "error", place, told, f"give one for each coordinate of a point, and one {wanted!r}")
    axis = next((index for index, one in enumerate(multiscale.axes) if one.type == wanted), None)
    if axis is None:
        told = f"no axis of the field is of the type {wanted!r}"
        yield Finding("0.6g", "error", place, told, "give that type to the axis along which a sample's numbers lie")
        return
    yield from _check_order(multiscale.axes, axis, place)
    array = open_stored(node.group, multiscale.levels[0].path)
    if not isinstance(array, StoredArray) or len(array.shape) != len(multiscale.axes):
        return
    ends = before if stored.kind == "displacements" else after
    if ends is not None and array.shape[axis] != len(ends):
        told = f"a sample has {array.shape[axis]} numbers, and points {len(ends)} coordinates"
        yield Finding("0.6g", "error", array.path, told, "store a number for each coordinate afterwards")


def _check_order(axes: tuple[Axis, ...], vector: int, where: str) -> Iterator[Finding]:
    wanted = axes[vector]
    if wanted.extra.get("discrete") is not True:
        told = f"the axis {wanted.name!r} of a field is not called discrete"
        yield Finding("0.6g", "error", f"{where}[0].axes[{vector}].discrete", told, 'write "discrete": true')
    for index, axis in enumerate(axes):
        if (axis.type == "time" and index > vector) or (axis.type == "space" and index < vector):
            told = (
                f"the axis {wanted.name!r} of a field stands {'before' if index > vector else 'behind'} {axis.name!r}"
            )
            yield Finding("0.6g", "error", f"{where}[0].axes", told, "put it behind time, and before space")
