"""Arrays in which numbers of transformations lie, against the coordinate systems that these lead from and to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from xomezarr import spec
from xomezarr.errors import MetadataError, NotOmeZarrError, TransformError, VersionError
from xomezarr.fields import MATRICES, VECTORS, reading
from xomezarr.model import Axis
from xomezarr.report import Finding
from xomezarr.transforms import Bijection, ByDimension, Chain, Stored, Transform
from xomezarr.validate.arrays import StoredArray, open_stored
from xomezarr.validate.nodes import Node

__all__ = ["check_arrays_of"]

type Examine = Callable[[Node], Iterator[Finding]]

type Placed = tuple[Stored, int | None, int | None]
"""What lies in an array, with the axes that it leads from and to; None where only other arrays tell that."""


def check_arrays_of(node: Node, transform: Transform, inputs: int, outputs: int, examine: Examine) -> Iterator[Finding]:
    """Apply the rules that need the store to a transformation.

    Parameters
    ----------
    node
        The group below which its arrays lie.
    transform
        Of which nothing has been read.
    inputs, outputs
        Axes of the coordinate systems that it leads from and to.
    examine
        Called with the group of a field, which is an image: applies all rules of images to it.
    """
    for stored, before, after in _placed(transform, inputs, outputs):
        if stored.kind in MATRICES:
            yield from node.locate(_check_matrix(node, stored, before, after))
        else:
            yield from _check_field(node, stored, before, after, examine)


def _placed(
    transform: Transform, inputs: int | None, outputs: int | None
) -> Iterator[tuple[Stored, int | None, int | None]]:
    """Yield what lies in arrays, with the axes that it leads from and to; None where only other arrays tell that."""
    match transform:
        case Stored():
            yield transform, inputs, outputs
        case Chain(steps):
            count = inputs
            for number, step in enumerate(steps):
                later = steps[number + 1 :]
                after = step.outputs if count is None else step.leads_to(count)
                if after is None:
                    after = outputs if not later else later[0].inputs
                yield from _placed(step, count, after)
                count = after
        case ByDimension(_, parts):
            for part in parts:
                yield from _placed(part.transform, len(part.inputs), len(part.outputs))
        case Bijection(forward, backward):
            yield from _placed(forward, inputs, outputs)
            yield from _placed(backward, outputs, inputs)


def _check_matrix(node: Node, stored: Stored, inputs: int | None, outputs: int | None) -> Iterator[Finding]:
    """98 (own): the path leads to an array. 0.6g (MUST): it is a matrix of numbers, a row for each axis afterwards."""
    found = open_stored(node.group, stored.path)
    if isinstance(found, Finding):
        told = f"{found.message}, and numbers of a transformation are to lie there"
        yield replace(found, message=told, cure="put them there, or remove the transformation")
        return
    more = stored.kind == "affine"
    wanted = (outputs, None if inputs is None else inputs + more)
    if len(found.shape) != 2 or any(asked not in (None, size) for asked, size in zip(wanted, found.shape, strict=True)):
        shown = f"({', '.join('…' if size is None else str(size) for size in wanted)})"
        told = f"the {stored.kind} has the shape {found.shape}, and its axes ask for {shown}"
        cure = "store a row for each axis that it leads to, a column for each that it leads from"
        yield Finding("0.6g", "error", stored.path, told, f"{cure}{', and one to add' if more else ''}")
        return
    try:
        reading(stored, node.group).matrix(found.shape[1] - more)
    except TransformError as error:
        yield Finding("0.6g", "error", stored.path, str(error))


def _check_field(
    node: Node, stored: Stored, inputs: int | None, outputs: int | None, examine: Examine
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
    yield from found.locate(_check_samples(found, stored, inputs, outputs))


def _check_samples(node: Node, stored: Stored, inputs: int | None, outputs: int | None) -> Iterator[Finding]:
    """0.6g (MUST): of the axes one is of displacements or coordinates, behind time, before space, and discrete."""
    try:
        multiscale = spec.parse(node.attrs).multiscale
    except (MetadataError, NotOmeZarrError, VersionError):
        return
    place, wanted = f"{node.place('multiscales')}[0].coordinateSystems", VECTORS[stored.kind]
    if inputs is not None and len(multiscale.axes) != inputs + 1:
        told = (
            f"the field has {len(multiscale.axes)} axes, and {stored.kind} for points of {inputs} ask for {inputs + 1}"
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
    count = inputs if stored.kind == "displacements" else outputs
    if count is not None and array.shape[axis] != count:
        told = f"a sample has {array.shape[axis]} numbers, and points {count} coordinates"
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
