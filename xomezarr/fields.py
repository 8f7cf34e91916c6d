"""Arrays in which numbers of transformations lie: read when points are mapped, copied with what they are of."""

from __future__ import annotations

import itertools
import math
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xomezarr import spec
from xomezarr.checks import leads_below
from xomezarr.chunks import whole
from xomezarr.direct import copy_objects, get_document
from xomezarr.errors import (
    UNREADABLE_ARRAY,
    UNREADABLE_MEMBER,
    OmeZarrError,
    OmeZarrWarning,
    TransformError,
    told,
    warn,
)
from xomezarr.lazy import zarr
from xomezarr.model import Axis
from xomezarr.routes import Edge
from xomezarr.store import find_member, member_path, names_in, open_array
from xomezarr.transforms import (
    ORDERS,
    Affine,
    Divided,
    Ends,
    Field,
    Rotation,
    Stored,
    Transform,
    Translation,
    chain,
    with_stored,
)
from xomezarr.units import same_unit

__all__ = ["KEPT", "Kept", "copied_arrays", "interpolated", "read", "reading"]

KEPT = "kept"
"""Key of encodings: where the arrays of an image's transformations, or of a scene's, lie."""

VECTORS: Mapping[str, str] = {"displacements": "displacement", "coordinates": "coordinate"}
"""What the axis of a field is called along which the coordinates of a sample lie, by the type of the transformation."""

MATRICES: Mapping[str, type[Affine] | type[Rotation]] = {"affine": Affine, "rotation": Rotation}


# -- reading -----------------------------------------------------------------------------------------------


def reading[System](edge: Edge[System], axes: Mapping[System, tuple[Axis, ...]], group: zarr.Group) -> Edge[System]:
    """Return a transformation that reads what of it lies in arrays of a group, when it is needed.

    Parameters
    ----------
    edge
        The transformation, and where it leads from and to.
    axes
        Of coordinate systems.
    group
        Below which the arrays lie.
    """

    def opened(stored: Stored, before: Ends[Axis], after: Ends[Axis]) -> Transform:
        # a matrix is read once; of fields, what is read is what points ask for
        return replace(stored, read=cache(partial(read, stored, group, before, after)))

    return replace(edge, transform=with_stored(edge.transform, opened, axes[edge.source], axes[edge.target]))


def read(stored: Stored, group: zarr.Group, before: Ends[Axis], after: Ends[Axis]) -> Transform:
    """Make a transformation of what lies in arrays of a group.

    Parameters
    ----------
    stored
        What is said of it.
    group
        Below which they lie.
    before, after
        Axes that it leads from and to, as far as they are known.

    Raises
    ------
    TransformError
        If there is none that can be read, or it is not of that kind, or of other axes.
    """
    where = f"the {stored.kind} at {stored.path!r} of {str(group.store_path)!r}"
    if not leads_below(stored.path):
        raise TransformError(f"{where} lies outside of the group, where nothing is read; move it into the group")
    try:
        if stored.kind in MATRICES:
            return _matrix(stored, group, before, after)
        return _field(stored, group, before, where)
    except TransformError as error:
        raise TransformError(f"{where} cannot be used: {error}") from error
    except (*UNREADABLE_MEMBER, *UNREADABLE_ARRAY) as error:
        raise TransformError(
            f"{where} cannot be read: {error}; xomezarr.validate(store) lists what is wrong"
        ) from error


def _matrix(stored: Stored, group: zarr.Group, before: Ends[Axis], after: Ends[Axis]) -> Transform:
    array = open_array(group, stored.path)
    _check_numbers(array)
    more = stored.kind == "affine"
    wanted = (None if after is None else len(after), None if before is None else len(before) + more)
    if array.ndim != 2 or any(asked not in (None, size) for asked, size in zip(wanted, array.shape, strict=True)):
        shown = f"({', '.join('…' if size is None else str(size) for size in wanted)})"
        raise TransformError(
            f"it has the shape {array.shape}, and its axes ask for {shown}; store a row for each axis that it leads "
            f"to, a column for each that it leads from{', and one to add' if more else ''}"
        )
    return MATRICES[stored.kind](whole(array))


def _check_numbers(array: zarr.Array[Any]) -> None:
    if array.dtype.kind not in "iuf":
        raise TransformError(f"its dtype is {array.dtype}, and coordinates are real numbers; store it as float64")


def _field(stored: Stored, group: zarr.Group, before: Ends[Axis], where: str) -> Field:
    member = find_member(group, stored.path)
    if member is None:
        raise TransformError("there is no image of that name; write the field as one, with an axis for what it holds")
    multiscale = spec.parse(member.attrs.asdict()).multiscale
    wanted = VECTORS[stored.kind]
    axis = next((index for index, axis in enumerate(multiscale.axes) if axis.type == wanted), None)
    if axis is None:
        raise TransformError(f"none of its axes {multiscale.dims} is of the type {wanted!r}; give one that type")
    level = multiscale.levels[0]
    dims = [dim for dim in multiscale.dims if dim != multiscale.dims[axis]]
    _check_units([one for one in multiscale.axes if one.name in dims], before)
    to_samples = chain(
        [
            Translation(tuple(-level.translation[dim] for dim in dims)),
            Divided(tuple(level.scale[dim] for dim in dims)),
        ]
    )
    interpolation = interpolated(stored)
    if interpolation not in ORDERS:
        warn(
            f"{where} is to be interpolated by {interpolation!r}, which xomezarr does not know; it does so linearly",
            OmeZarrWarning,
        )
        interpolation = "linear"
    array = open_array(member, level.path)
    _check_numbers(array)
    return Field(_VectorsFirst(array, axis), to_samples, stored.kind == "displacements", interpolation)


def interpolated(stored: Stored) -> str:
    """Return how samples of a field are to be interpolated, as the metadata say it."""
    return str(stored.extra.get("interpolation", "linear"))


def _check_units(axes: Sequence[Axis], before: Ends[Axis]) -> None:
    """Make sure that samples are looked up in the unit of the points."""
    for axis, other in zip(axes, before or (), strict=False):
        if other is not None and axis.unit and other.unit and not same_unit(axis.unit, other.unit):
            raise TransformError(
                f"its axis {axis.name!r} is in {axis.unit}, and the points are in {other.unit} along {other.name!r}; "
                f"write it with positions in {other.unit}"
            )


@dataclass(frozen=True, slots=True)
class _VectorsFirst:
    """An array with one of its axes put before all others; it is read box by box."""

    array: zarr.Array[Any]
    axis: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes, that of the axis first."""
        sizes = list(self.array.shape)
        return (sizes.pop(self.axis), *sizes)

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[Any]:
        first, *others = box
        others.insert(self.axis, first)
        try:
            return np.moveaxis(np.asarray(self.array[tuple(others)]), self.axis, 0)
        except (*UNREADABLE_ARRAY, RuntimeError) as error:
            raise TransformError(
                f"samples of the field {str(self.array.store_path)!r} cannot be read: {error}; copy its chunks again"
            ) from error


# -- copying -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kept:
    """Arrays of transformations, and fields, to be copied as they are: every document and chunk.

    Parameters
    ----------
    group
        In which they lie.
    paths
        Of theirs, below it.
    """

    group: zarr.Group
    paths: tuple[str, ...] = ()

    def __deepcopy__(self, memo: Any) -> Kept:
        return self

    def of(self, paths: Iterable[str]) -> Kept:
        """Return those at some paths, each once; one that lies in another goes with that."""
        found = dict.fromkeys(posixpath.normpath(path) for path in paths if leads_below(path))
        return replace(self, paths=tuple(path for path in found if not any(_lies_in(path, one) for one in found)))

    def missing(self) -> list[str]:
        """Return the paths at which there is nothing."""
        return [path for path in self.paths if _document(self.group, path) is None]

    def put(self, group: zarr.Group) -> None:
        """Copy them to the same paths of another group, with the groups that they lie in; documents last.

        Raises
        ------
        OmeZarrError
            If one is not there any more.
        """
        if gone := self.missing():
            raise OmeZarrError(
                f"numbers of transformations that lay in {str(self.group.store_path)!r} at {told([*map(repr, gone)])} "
                "are not there any more; open the image again"
            )
        for path in self.paths:
            documents = [key for key in _parents(self.group, path) if _get(group, key) is None]
            for held, array in _held(self.group, path):
                documents.append(f"{held}/{DOCUMENT}")
                if array is not None:
                    keys = (f"{held}/{key}" for key in _chunk_keys(array))
                    copy_objects(self.group, group, ((key, key) for key in keys), _bytes(array))
            copy_objects(self.group, group, ((key, key) for key in documents))


def copied_arrays(paths: Sequence[str], kept: Kept | None, taken: Iterable[str], name: str | None) -> Kept | None:
    """Return the arrays of transformations at some paths, which are copied.

    Parameters
    ----------
    paths
        Of theirs.
    kept
        The group that they lie in; None where that is not known any more.
    taken
        Paths of what else is written.
    name
        Of what they are of, if it has one.

    Raises
    ------
    OmeZarrError
        If their group is not known, or something else is written in their place.

    Warns
    -----
    OmeZarrWarning
        If some are not there, or lie elsewhere than below the group.
    """
    if not paths:
        return None
    told_of = f"numbers of transformations{f' of {name!r}' if name else ''} lie in arrays at "
    if kept is None:
        raise OmeZarrError(
            f"{told_of}{told([*map(repr, paths)])}, and it is not known any more in which store; open that again, "
            'xr.open_datatree(store, engine="omezarr"), and change its tree by calls that keep it: tree.omezarr.sel(…)'
        )
    found, names = kept.of(paths), [*taken]
    for path in found.paths:
        if any(f"{path}/".startswith(f"{other}/") or f"{other}/".startswith(f"{path}/") for other in names):
            raise OmeZarrError(
                f"{told_of}{path!r}, where something else of the image is to be written; move them elsewhere in the "
                "store that they are read from, and name that path in its metadata"
            )
    outside, missing = [path for path in paths if not leads_below(path)], found.missing()
    if lost := [*outside, *missing]:
        warn(
            f"{told_of}{told([*map(repr, lost)])}, where there is nothing in the store that is read, or which is no "
            "place in it; they are not copied: put them there",
            OmeZarrWarning,
        )
    return replace(found, paths=tuple(path for path in found.paths if path not in missing))


def _lies_in(path: str, other: str) -> bool:
    return path.startswith(f"{other}/")


DOCUMENT = "zarr.json"


def _document(group: zarr.Group, path: str) -> bytes | None:
    return _get(group, f"{path}/{DOCUMENT}")


def _get(group: zarr.Group, path: str) -> bytes | None:
    return get_document(group.store, member_path(group, path))


def _held(group: zarr.Group, path: str) -> Iterator[tuple[str, zarr.Array[Any] | None]]:
    """Yield what lies at a path, arrays and groups with all that they hold, by the paths; None for a group."""
    if _document(group, path) is None:
        return
    member = find_member(group, path)
    if member is None:
        yield path, open_array(group, path)
        return
    yield path, None
    for name in _names(member):
        yield from _held(group, f"{path}/{name}")


def _parts(array: zarr.Array[Any]) -> tuple[int, ...]:
    """Return the shape of what an object holds: a chunk, or a shard."""
    return array.shards or array.chunks


def _chunk_keys(array: zarr.Array[Any]) -> Iterator[str]:
    """Yield the keys, below an array, that its chunks have if they are there."""
    counts = (-(-size // part) for size, part in zip(array.shape, _parts(array), strict=True))
    return (array.metadata.encode_chunk_key(place) for place in itertools.product(*map(range, counts)))


def _bytes(array: zarr.Array[Any]) -> int:
    """Return how many bytes an object of it has before it is compressed."""
    return math.prod(_parts(array)) * array.dtype.itemsize


def _parents(group: zarr.Group, path: str) -> Iterator[str]:
    """Yield the keys of the documents of the groups that something lies in; the outermost first."""
    names = path.split("/")[:-1]
    for count in range(1, len(names) + 1):
        parent = "/".join(names[:count])
        if _document(group, parent) is not None:
            yield f"{parent}/{DOCUMENT}"


def _names(group: zarr.Group) -> list[str]:
    """Return the names of what lies in a group; where its store lists none, those that its metadata name."""
    try:
        return names_in(group)
    except (NotImplementedError, OSError):
        levels = spec.parse(group.attrs.asdict()).multiscale.levels
        return [level.path for level in levels]
