"""Levels as xarray itself opens them: groups that hold the coordinates beside the pixels.

What is written for other readers is made and judged by xarray: its writer encodes the coordinates of a level in memory,
its reader opens them there, and what it would not give back as it is gets refused before anything is written.
"""

from __future__ import annotations

import math
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr import sidecar
from xomezarr.checks import leads_below
from xomezarr.errors import LayoutError, OmeZarrError, collecting, raise_all
from xomezarr.layout import array_name, level_group
from xomezarr.lazy import zarr
from xomezarr.model import Image
from xomezarr.placement import dimensions_of, level_variables
from xomezarr.pyramid import with_name
from xomezarr.sidecar import Sidecar
from xomezarr.store import ALL_DOCUMENTS

__all__ = ["Nest", "StoredLevel", "nest", "unheard"]

LONGEST_NAME = 255
"""Bytes that file systems give to the name of a folder."""

KEEP = 'give layout="ome", which keeps it for xomezarr alone'


@dataclass(frozen=True, slots=True)
class StoredLevel:
    """What is to be known of a level's array.

    Parameters
    ----------
    path
        Below the image's group.
    shape, chunks
        In file order.
    dtype
        As it is stored.
    """

    path: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def group(self) -> str:
        """The path of the group that it lies in."""
        return level_group(self.path)

    @property
    def variable(self) -> str:
        """The name of the array in that group."""
        return array_name(self.path)


@dataclass(frozen=True, slots=True)
class Nest:
    """What is stored of levels for xarray, beside their pixels.

    Parameters
    ----------
    attrs
        Attributes of the array of each level.
    documents
        Metadata and chunks of the coordinates, and metadata of the groups of levels, by key below the image's group.
    """

    attrs: Mapping[str, Any] = field(default_factory=dict)
    documents: Mapping[str, bytes] = field(default_factory=dict)

    def of(self, group: str) -> dict[str, bytes]:
        """Return the documents of the group of a level, by key below that."""
        return {
            key.removeprefix(f"{group}/"): content
            for key, content in self.documents.items()
            if key.startswith(f"{group}/")
        }

    def moved(self, groups: Mapping[str, str]) -> Nest:
        """Return it for levels whose groups are to have other paths; what is stored of other levels is left out."""
        moved = {f"{new}/{key}": content for old, new in groups.items() for key, content in self.of(old).items()}
        return replace(self, documents=moved)

    def other_coordinates(self, group: str, stored: Mapping[str, xr.Variable]) -> list[str]:
        """Return the names of the coordinates of a level that are others where they are stored, if they are there."""
        prototype = zarr.core.buffer.default_buffer_prototype()
        held = {key: prototype.buffer.from_bytes(content) for key, content in self.of(group).items()}
        with _read(held) as ds:
            planned = {str(name): coord.variable for name, coord in ds.coords.items()}
            return [name for name, coord in planned.items() if name in stored and not coord.equals(stored[name])]


def nest(
    image: Image,
    levels: Sequence[StoredLevel],
    kept: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    zarr_format: int,
) -> tuple[Nest, dict[str, Any], dict[str, NDArray[Any]]]:
    """Work out what is stored of levels for xarray.

    Parameters
    ----------
    image
        The OME metadata.
    levels
        The arrays, finest first.
    kept, arrays
        What the OME metadata cannot say, as `sidecar.dump` returns it.
    zarr_format
        2 or 3.

    Returns
    -------
    nest : Nest
    kept : dict
        As given, but that numbers are looked for where they are stored for xarray: long ones need not lie there twice.
    arrays : dict
        Those that are stored beside all the same.

    Raises
    ------
    LayoutError
        If something would not come back from xarray as it is; all of it is named.
    """
    faults: list[OmeZarrError] = []
    dims = image.multiscale.dims
    sizes = [dict(zip(dims, level.shape, strict=True)) for level in levels]

    def read_array(path: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        return sidecar.unpack(arrays[path], dtype, shape)

    known = sidecar.load(kept, image, sizes[0], read_array)
    assert known is not None
    faults += _name_faults(known)
    attrs: dict[str, Any] = {}
    with collecting(faults):
        attrs = _plain_attrs(known.attrs, "attrs")
    raise_all(faults, 'the layout "xarray" has no place for the array as it is')
    dimensions = dimensions_of(image, known, sizes[0])
    documents: dict[str, bytes] = {}
    for index, (level, of_level) in enumerate(zip(levels, sizes, strict=True)):
        coords = level_variables(image, known, dimensions, index, of_level)
        with collecting(faults):
            stored = _encoded(coords, known.name, attrs, level, dims, zarr_format)
            documents |= {f"{level.group}/{key}": content for key, content in stored.items()}
        if faults:  # coarser levels would say the same
            break
    raise_all(faults, 'the layout "xarray" has no place for the array as it is')
    return Nest(attrs, documents), *sidecar.pointed(kept, arrays, lambda name, index: f"{levels[index].group}/{name}")


def _encoded(
    coords: Mapping[str, xr.Variable],
    name: Any,
    attrs: Mapping[str, Any],
    level: StoredLevel,
    dims: Sequence[str],
    zarr_format: int,
) -> dict[str, bytes]:
    """Return the documents of a level's group as xarray writes them, but for those of its pixels."""
    faults: list[OmeZarrError] = []
    plain: dict[str, xr.Variable] = {}
    for own, variable in coords.items():
        with collecting(faults):
            # what says how it lay in another file says nothing of this one
            plain[own] = xr.Variable(
                variable.dims, variable.values, _plain_attrs(variable.attrs, f"coords[{own!r}].attrs")
            )
    raise_all(faults, "the coordinates cannot be stored")
    try:
        held = _written(plain, name, zarr_format)
        with _read(held) as ds:
            faults += _differences(ds, plain)
    except Exception as error:
        faults += _told_of_each(plain, zarr_format)
        raise_all(faults, "the coordinates cannot be stored")
        raise LayoutError(f"xarray cannot store the coordinates {list(plain)} ({error}); {KEEP}") from error
    pixels = zarr.open_group(zarr.storage.MemoryStore(held), mode="r+").create_array(
        level.variable,
        shape=level.shape,
        chunks=level.chunks,
        dtype=level.dtype,
        fill_value=None if zarr_format == 2 else np.zeros((), level.dtype)[()],
        attributes={**attrs, **({"_ARRAY_DIMENSIONS": list(dims)} if zarr_format == 2 else {})},
        dimension_names=None if zarr_format == 2 else list(dims),
    )
    with collecting(faults):
        _check_attrs(held, attrs, level.variable, pixels.dtype.newbyteorder("="))
    raise_all(faults, "xarray would read something else")
    return {key: content.to_bytes() for key, content in held.items() if not key.startswith(f"{level.variable}/")}


def _written(coords: Mapping[str, xr.Variable], name: Any, zarr_format: int) -> dict[str, Any]:
    """Let xarray write coordinates into a group in memory, and return what is in that."""
    held: dict[str, Any] = {}
    named = with_name(xr.DataArray(0, name=name)).attrs
    with unheard():
        xr.Dataset(coords=coords, attrs=named).to_zarr(
            zarr.storage.MemoryStore(held),
            mode="w-",
            zarr_format=zarr_format,
            consolidated=False,
        )
    return held


@contextmanager
def _read(held: dict[str, Any]) -> Iterator[xr.Dataset]:
    """Let xarray open what lies in a group in memory."""
    with unheard(), xr.open_dataset(_in_memory(held), engine="zarr", consolidated=False) as ds:
        yield ds


def _in_memory(held: dict[str, Any]) -> Any:
    return zarr.storage.MemoryStore(held, read_only=True)


@contextmanager
def unheard() -> Iterator[None]:
    """Silence what zarr says of dtypes for which its format 3 has no specification yet: xarray reads them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _told_of_each(coords: Mapping[str, xr.Variable], zarr_format: int) -> Iterator[LayoutError]:
    """Say which coordinates xarray cannot store, or not read again."""
    for name, variable in coords.items():
        try:
            with _read(_written({name: variable}, None, zarr_format)) as ds:
                yield from _differences(ds, {name: variable})
        except Exception as error:
            yield LayoutError(
                f"xarray cannot store the coordinate {name!r} of dtype {variable.dtype} ({error}); convert it, take it "
                f"out: drop_vars({name!r}), or {KEEP}"
            )


def _differences(ds: xr.Dataset, coords: Mapping[str, xr.Variable]) -> Iterator[LayoutError]:
    """Say which coordinates xarray reads otherwise than they are."""
    for name, variable in coords.items():
        found = ds.coords[name].variable if name in ds.coords else None
        if found is None:
            told = "as an image"
        elif not sidecar.same(found.attrs, dict(variable.attrs)):
            keys = [key for key, value in variable.attrs.items() if not sidecar.same(found.attrs.get(key), value)]
            keys = keys or [*found.attrs]
            yield LayoutError(
                f"xarray would take the attributes {', '.join(map(repr, keys))} of the coordinate {name!r} for how it "
                f"is stored; remove them: del da.coords[{name!r}].attrs[{keys[0]!r}], or {KEEP}"
            )
            continue
        elif not (_same_kind(found.dtype, variable.dtype) and found.equals(variable)):
            told = f"as {found.dtype}, with other values than those of {variable.dtype}"
        else:
            continue
        yield LayoutError(
            f"xarray would read the coordinate {name!r} {told}; convert it, take it out: drop_vars({name!r}), or {KEEP}"
        )


def _check_attrs(held: dict[str, Any], attrs: Mapping[str, Any], variable: str, dtype: np.dtype[Any]) -> None:
    """Refuse attributes of the pixels by which xarray would take them for others, or that it would not give back."""
    try:
        with _read(held) as ds:
            found = ds.variables[variable]
            lost = sorted(key for key in attrs if not sidecar.same(attrs[key], found.attrs.get(key)))
            told = f"would read {found.dtype}" if found.dtype.newbyteorder("=") != dtype else ""
    except Exception as error:
        lost, told = sorted(attrs), f"could not open it ({error})"
    if lost or told:
        raise LayoutError(
            f"xarray takes the attributes {', '.join(map(repr, lost or sorted(attrs)))} of the array for what says how "
            f"its pixels are stored{told and f', and {told}'}; rename them, take them out: drop_attrs(), or {KEEP}"
        )


def _same_kind(found: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    """Whether values of two dtypes are the same to a user: text of any length, dates in any unit, either byte order."""
    text = "OUT"
    if wanted.kind in text:
        return found.kind in text
    return found.kind == wanted.kind and (wanted.kind in "mMS" or found.itemsize == wanted.itemsize)


def _plain_attrs(attrs: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return attributes as xarray writes them: arrays and tuples become lists, numbers of NumPy those of Python.

    Raises
    ------
    LayoutError
        If JSON has no notation for one; all are named.
    """
    faults: list[OmeZarrError] = []
    found: dict[str, Any] = {}
    for key, value in attrs.items():
        with collecting(faults):
            found[key] = _plain(value, f"{where}[{key!r}]")
    raise_all(faults, f"{where} cannot be stored for xarray")
    return found


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufU":
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {key: _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise LayoutError(
        f"{where} is {value!r}, for which JSON, and so xarray's own attributes in Zarr, have no notation; "
        f"turn it into text, or {KEEP}"
    )


def _name_faults(kept: Sidecar) -> Iterator[LayoutError]:
    """Names that are to be those of arrays in a group, and that xarray marks as coordinates."""
    if not isinstance(kept.name, str | None):
        yield LayoutError(
            f"the name of the array is {kept.name!r}, and xarray stores text alone; call rename({str(kept.name)!r})"
        )
    seen: dict[str, str] = {}
    for name in kept.coords:
        good = leads_below(name) and not name.startswith((".", "__")) and name not in ALL_DOCUMENTS and ":" not in name
        if not good or not name.isprintable() or name.split() != [name] or len(name.encode()) > LONGEST_NAME:
            yield LayoutError(
                f"the coordinate {name!r} cannot be an array beside the pixels, whose names become those of folders, "
                f"without a dot or __ at the beginning, : or spaces; rename({{{name!r}: …}}), or {KEEP}"
            )
        other = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            yield LayoutError(
                f"the coordinates {other!r} and {name!r} differ by upper and lower case alone, or by how accents are "
                f"stored, which not all file systems tell apart; rename({{{name!r}: …}}), or {KEEP}"
            )
