"""The arrays of an image against its metadata."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from xomezarr import checks
from xomezarr.direct import get_document
from xomezarr.errors import UNREADABLE_ARRAY, UNREADABLE_MEMBER
from xomezarr.lazy import zarr
from xomezarr.model import Multiscale
from xomezarr.report import Finding, Severity
from xomezarr.store import member_path, open_array

__all__ = ["ARRAY_RULES", "StoredArray", "check_arrays", "open_stored"]


REWRITE = "write the level anew"

WRITE = "write the level, or remove its dataset from the metadata"


@dataclass(frozen=True, slots=True)
class StoredArray:
    """What the rules ask of an array in a store.

    Parameters
    ----------
    path
        Below the image's group.
    shape
        Sizes in the order of the array's dimensions.
    zarr_format
        2 or 3.
    names
        Names of the dimensions, of which each may be missing; None if the array names none.
    separator
        What stands between the numbers of a chunk's key.
    dtype
        Of the pixels; None if it is not known.
    """

    path: str
    shape: tuple[int, ...]
    zarr_format: int
    names: tuple[str | None, ...] | None = None
    separator: str = "/"
    dtype: np.dtype[Any] | None = None

    @classmethod
    def of(cls, array: zarr.Array[Any], path: str) -> StoredArray:
        """Take what is needed from an open array."""
        metadata = array.metadata
        if metadata.zarr_format == 3:
            return cls(path, array.shape, 3, metadata.dimension_names, dtype=array.dtype)
        names = array.attrs.asdict().get("_ARRAY_DIMENSIONS")
        return cls(
            path,
            array.shape,
            2,
            tuple(str(name) for name in names) if isinstance(names, list) else None,
            metadata.dimension_separator,
            array.dtype,
        )


def open_stored(group: zarr.Group, path: str) -> StoredArray | Finding:
    """98 (own): the path of each dataset leads to an array that can be read."""
    try:
        return StoredArray.of(open_array(group, path), path)
    except (*UNREADABLE_ARRAY, *UNREADABLE_MEMBER) as error:
        fault = error  # asked again for what it is
    try:
        node = group[path]
    except KeyError:
        return _missing(group, path)
    except UNREADABLE_ARRAY as error:
        return Finding("98", "error", path, f"the array cannot be opened: {error}", REWRITE)
    if isinstance(node, zarr.Group):
        return Finding("98", "error", path, "there is a group, not an array", "name the path of the array in it")
    told, _, cure = str(fault).rpartition("; ")
    return Finding("98", "error", path, f"the array cannot be opened: {told or cure}", cure if told else REWRITE)


def _missing(group: zarr.Group, path: str) -> Finding:
    own = group.metadata.zarr_format
    for other, document in ((2, ".zarray"), (3, "zarr.json")):
        if other != own and get_document(group.store, member_path(group, f"{path}/{document}")) is not None:
            told = f"what lies there is of Zarr v{other}, and the group of Zarr v{own}"
            return Finding("98", "error", path, told, f"write the level anew in Zarr v{own}")
    told = f"there is no array of Zarr v{own}"
    return Finding("98", "error", path, told, WRITE)


def same_ndim(multiscale: Multiscale, arrays: Sequence[StoredArray]) -> Iterator[Finding]:
    """13 (MUST): there are as many axes as dimensions. 25 (MUST): the arrays of all levels have as many."""
    first, *others = arrays
    if len(first.shape) != len(multiscale.axes):
        yield Finding(
            "13",
            "error",
            first.path,
            f"the array has {len(first.shape)} dimensions, and there are {len(multiscale.axes)} axes "
            f"({', '.join(multiscale.dims)})",
            "name one axis for each dimension",
        )
    for array in others:
        if len(array.shape) != len(first.shape):
            yield Finding(
                "25",
                "error",
                array.path,
                f"the array has {len(array.shape)} dimensions, and that at {first.path!r} has {len(first.shape)}",
                "write all levels with the same dimensions",
            )


def chunk_keys(arrays: Sequence[StoredArray], separator: str) -> Iterator[Finding]:
    """2 (the layout in the text up to 0.4): chunks of Zarr v2 lie in nested folders, which "/" in their keys makes.

    In 0.1 they lie side by side, by ".".
    """
    for array in arrays:
        if array.zarr_format == 2 and array.separator != separator:
            yield Finding(
                "2",
                "warning",
                array.path,
                f'the numbers of chunk keys are separated by "{array.separator}"',
                f'write with the dimension separator "{separator}"',
            )


def dimension_names(multiscale: Multiscale, arrays: Sequence[StoredArray]) -> Iterator[Finding]:
    """0.5c (MUST): each array of Zarr v3 has dimension_names, which are the names of the axes in their order."""
    for array in arrays:
        if array.zarr_format == 3 and array.names != multiscale.dims:
            told = "no dimension_names" if array.names is None else f"the dimension_names {_listed(array.names)}"
            yield Finding(
                "0.5c",
                "error",
                array.path,
                f"the array has {told}, and the axes are {_listed(multiscale.dims)}",
                "give the array the names of the axes",
            )


def array_dimensions(multiscale: Multiscale, arrays: Sequence[StoredArray]) -> Iterator[Finding]:
    """21 (MUST): the axes stand in the order of the array's dimensions.

    Zarr v2 does not name dimensions; xarray's attribute _ARRAY_DIMENSIONS does. The same names in another
    order contradict the axes; other names may be a habit of the writer.
    """
    for array in arrays:
        if array.zarr_format == 2 and array.names is not None and array.names != multiscale.dims:
            turned = sorted(map(str, array.names)) == sorted(multiscale.dims)
            yield Finding(
                "21",
                "error" if turned else "warning",
                array.path,
                f"_ARRAY_DIMENSIONS are {_listed(array.names)}, and the axes are {_listed(multiscale.dims)}",
                "give the array the names of the axes, in their order",
            )


def largest_first(multiscale: Multiscale, arrays: Sequence[StoredArray]) -> Iterator[Finding]:
    """24 (MUST): the datasets stand in the order of their resolution, the largest first.

    A level that is smaller as a whole but longer along one axis is not forbidden, and gives a warning.
    """
    for before, after in pairwise(arrays):
        if len(before.shape) != len(after.shape):
            continue
        grown = [axis for axis, (old, new) in enumerate(zip(before.shape, after.shape, strict=True)) if new > old]
        if grown:
            severity: Severity = "error" if math.prod(after.shape) > math.prod(before.shape) else "warning"
            yield Finding(
                "24",
                severity,
                after.path,
                f"the shape {after.shape} is larger than {before.shape} of the level before, at {before.path!r}",
                "list the largest level first",
            )


def same_dtype(multiscale: Multiscale, arrays: Sequence[StoredArray]) -> Iterator[Finding]:
    """105 (own): all levels have the dtype of level 0, or a viewer that changes levels shows other values."""
    first, *others = arrays
    for array in others:
        if array.dtype is None or first.dtype is None or _native(array.dtype) == _native(first.dtype):
            continue
        told = f"the pixels are {array.dtype}, and those at {first.path!r} {first.dtype}"
        yield Finding("105", "warning", array.path, told, "write all levels with one dtype")


def _native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a dtype in the byte order of this machine; text of any length has none."""
    return dtype if dtype.kind == "T" else dtype.newbyteorder("=")


def with_pixels(multiscale: Multiscale, arrays: Sequence[StoredArray]) -> Iterator[Finding]:
    """108 (own): no dimension of an array is empty, or there is nothing to show."""
    for array in arrays:
        if 0 in array.shape:
            told = f"the array has no pixels: its shape is {array.shape}"
            yield Finding("108", "warning", array.path, told, WRITE)


def same_extent(multiscale: Multiscale, arrays: Sequence[StoredArray]) -> Iterator[Finding]:
    """97 (own): the size of a level times its scale is that of level 0, to within a pixel of the level.

    Tools round sizes up, down or to the nearest, level after level, so that one pixel proves nothing.
    """
    levels = {level.path: level for level in multiscale.levels}
    first, *others = arrays
    if not multiscale.placed or first.path != multiscale.levels[0].path:
        return
    for array in others:
        if not len(array.shape) == len(first.shape) == len(multiscale.axes):
            continue
        for axis, name in enumerate(multiscale.dims):
            ratio = checks.coarser_by(levels[array.path], multiscale.levels[0])[name]
            expected = first.shape[axis] / ratio
            if abs(array.shape[axis] - expected) > 1 + checks.COARSER_WITHIN * expected:
                yield Finding(
                    "97",
                    "warning",
                    array.path,
                    f"by its scale, {ratio:g} times that of {first.path!r}, dimension {name!r} should have "
                    f"{expected:.4g} pixels, and it has {array.shape[axis]}",
                    "give the level the scale by which it was made",
                )


def same_begin(multiscale: Multiscale, arrays: Sequence[StoredArray]) -> Iterator[Finding]:
    """97 (own): a level begins where level 0 does, to within a pixel of the level, by its scale or by its size.

    Whatever pixel of a block a method takes, its place is less than half a pixel off.
    """
    levels = {level.path: level for level in multiscale.levels}
    first, *others = arrays
    if not multiscale.placed or first.path != multiscale.levels[0].path:
        return
    for array in others:
        level, reference = levels[array.path], levels[first.path]
        for name, size, whole in zip(multiscale.dims, array.shape, first.shape, strict=False):
            scale = reference.scale[name]
            pixel = max(level.scale[name], scale * max(whole / size if size else 1, 1))
            off = level.translation[name] - level.scale[name] / 2 - (reference.translation[name] - scale / 2)
            if scale > 0 and abs(off) > (1 + checks.COARSER_WITHIN) * pixel:
                yield Finding(
                    "97",
                    "warning",
                    array.path,
                    f"by its translation, dimension {name!r} begins {abs(off) / scale:.4g} pixels of {first.path!r} "
                    f"{'behind' if off > 0 else 'before'} that",
                    "give the level the translation of its first pixel",
                )


def _listed(names: Sequence[str | None]) -> str:
    return f"({', '.join('none' if name is None else name for name in names)})"


type ArrayRule = Callable[[Multiscale, Sequence[StoredArray]], Iterator[Finding]]

ARRAY_RULES: tuple[ArrayRule, ...] = (
    same_ndim,
    dimension_names,
    array_dimensions,
    with_pixels,
    same_dtype,
    largest_first,
    same_extent,
    same_begin,
)


def check_arrays(
    multiscale: Multiscale, arrays: Sequence[StoredArray | None], *, separator: str = "/"
) -> Iterator[Finding]:
    """Apply every rule of arrays to those that are there; None stands for one that could not be opened.

    `separator` is that of the version.
    """
    present = [array for array in arrays if array is not None]
    yield from chunk_keys(present, separator)
    if present:
        for rule in ARRAY_RULES:
            yield from rule(multiscale, present)
