"""Zarr that is no OME-Zarr image: an array, a group with one, or a variable that xarray has written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from xomezarr import archive, holders, spec
from xomezarr.errors import (
    UNREADABLE_MEMBER,
    MetadataError,
    NotOmeZarrError,
    OmeZarrError,
    StoreNotFoundError,
)
from xomezarr.lazy import zarr
from xomezarr.read import level_at, open_tree
from xomezarr.readers.filearray import FileArray, dimensions, lazy_image, nothing_to_close, renamed
from xomezarr.store import address, arrays_in, check_array, groups_above, open_group, opened_store, resolve
from xomezarr.tree import levels

__all__ = ["open_plain_zarr"]


def open_plain_zarr(
    path: str, dims: str | Sequence[str] | None, options: dict[str, Any] | None, no_image: OmeZarrError, *, known: str
) -> tuple[xr.DataArray, bool]:
    """Open what is in Zarr and no group of an OME-Zarr image, as `no_image` says; tell whether it is a level of one.

    Parameters
    ----------
    path, dims, options
        See `opening.open_image`.
    no_image
        The error that says so.
    known
        What can be read, for the error.
    """
    try:
        node = zarr.open(_store(path, options), mode="r")
    except (FileNotFoundError, zarr.errors.BaseZarrError) as error:
        check_array(path)
        raise StoreNotFoundError(
            f'"{path}" holds no Zarr array or group, and open_image knows {known}; give the path of one of these'
        ) from error
    except UNREADABLE_MEMBER:
        check_array(path)
        # which says what is wrong; metadata that are gathered are not asked
        node = open_group(path, storage_options=options)
    if isinstance(node, zarr.Array):
        if (level := level_at(path, options)) is not None:
            tree = open_tree(level.image, storage_options=options, cache=True, labels=False)
            return renamed(levels(tree)[level.number], dims, path), True
        variable = _variable(path, node, options)
        found = _array(path, "", node, dims, options) if variable is None else renamed(variable, dims, path)
        return found, False
    if (holder := holders.called(node)) is not None:
        whole = holders.copying(node, path)
        raise NotOmeZarrError(
            f'"{path}" is {holder}, not an image; {"" if whole is None else f"copy all of it: {whole}; or "}'
            f'give the path of one: "{path.rstrip("/")}/{holders.first_image(node)}"'
        )
    if spec.is_ome(node.attrs.asdict()):
        raise no_image
    arrays = arrays_in(node)
    if arrays and all(_dimensions(array) is not None for array in arrays.values()):
        return renamed(_by_xarray(path, node, arrays, options), dims, path), False
    if len(arrays) != 1:
        raise OmeZarrError(
            f'"{path}" is a Zarr group with {len(arrays)} arrays ({", ".join(sorted(arrays)) or "none"}) '
            "and without the metadata of an OME-Zarr image; "
            f'open one of them: open_image("{path}/{min(arrays, default="array")}")'
        )
    ((name, array),) = arrays.items()
    return _array(path, name, array, dims, options), False


def _variable(path: str, array: zarr.Array[Any], options: dict[str, Any] | None) -> xr.DataArray | None:
    """Open an array as the variable that xarray has written into the group around it; None of any other."""
    around = next(groups_above(address(path), options), None)
    if around is None or _dimensions(array) is None:
        return None
    above, name, group = around
    arrays = arrays_in(group) if "/" not in name else {}
    if name not in arrays or spec.is_ome(group.attrs.asdict()) or not _of_one_grid(arrays.values()):
        return None
    dataset = _dataset(above, group, arrays, options)
    return dataset[name] if name in dataset.data_vars else None


def _of_one_grid(arrays: Iterable[zarr.Array[Any]]) -> bool:
    """Whether arrays name all their dimensions, and those of one name have one size, as xarray writes them."""
    sizes: dict[str, int] = {}
    for array in arrays:
        names = _dimensions(array)
        if names is None or any(sizes.setdefault(*one) != one[1] for one in zip(names, array.shape, strict=True)):
            return False
    return True


def _array(
    path: str, name: str, array: zarr.Array[Any], dims: str | Sequence[str] | None, options: dict[str, Any] | None
) -> xr.DataArray:
    attrs = {key: value for key, value in array.attrs.items() if key != "_ARRAY_DIMENSIONS"}
    return lazy_image(
        FileArray(partial(_pixels, path, name, options), array.shape, array.dtype, path),
        dimensions(dims, array.shape, path, _dimensions(array)),
        name=name or re.sub(r"(\.ome)?\.zarr$", "", path.rstrip("/").rpartition("/")[2]),
        chunks=array.shards or array.chunks,
        attrs=attrs,
    )


def _pixels(path: str, name: str, options: dict[str, Any] | None) -> tuple[zarr.Array[Any], Callable[[], None]]:
    return zarr.open_array(_store(path, options), path=name, mode="r"), nothing_to_close


def _store(path: str, options: dict[str, Any] | None) -> Any:
    """Return what zarr opens a path or URL by, one in a zip file too."""
    target = resolve(path)
    if isinstance(target, Path) or archive.leads_into(target) is not None:
        return archive.opened(target, options)
    return opened_store(target, options, read_only=True)


def _dimensions(array: zarr.Array[Any]) -> tuple[str, ...] | None:
    """Return an array's dimension names by Zarr v3, or by xarray's convention in v2; None if it has none.

    Names that are not one for each dimension are none. Of v3, numbers without dimensions have no names to say.
    """
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS") or []
    if not isinstance(names, list | tuple) or None in names or not len({*map(str, names)}) == len(names) == array.ndim:
        return None
    return tuple(map(str, names))


def _by_xarray(
    path: str, group: zarr.Group, arrays: Mapping[str, zarr.Array[Any]], options: dict[str, Any] | None
) -> xr.DataArray:
    """Open the one variable that xarray has written."""
    dataset = _dataset(path, group, arrays, options)
    names = sorted(map(str, dataset.data_vars))
    if len(names) != 1:
        raise OmeZarrError(
            f'"{path}" holds {len(names)} variables ({", ".join(names) or "none"}), and an image is one; '
            f'choose it: open_image("{path}/{names[0] if names else "name"}")'
        )
    return dataset[names[0]]


def _dataset(
    path: str, group: zarr.Group, arrays: Mapping[str, zarr.Array[Any]], options: dict[str, Any] | None
) -> xr.Dataset:
    """Open what xarray has written, by its conventions for scales, dates and missing values."""
    consolidated = group.metadata.consolidated_metadata is not None
    # xarray takes the fill value of Zarr v2 for missing data, and 0 is what other writers put there
    decode = not any(map(_zero_is_only_fill, arrays.values()))
    store = _store(path, options)
    try:
        dataset: xr.Dataset = xr.open_zarr(store, chunks=None, consolidated=consolidated, mask_and_scale=decode)
    except (OmeZarrError, OSError):
        raise
    except Exception as error:  # whatever its decoders raise
        raise MetadataError(
            f'"{path}" cannot be opened by xarray, by whose conventions its arrays name their dimensions ({error}); '
            f'open one of them: open_image("{path}/{min(arrays)}")'
        ) from error
    if not decode:
        for variable in dataset.data_vars.values():
            variable.attrs.pop("_FillValue", None)
    return dataset


def _zero_is_only_fill(array: zarr.Array[Any]) -> bool:
    """Whether an array of integers has the fill value 0 of Zarr v2, and is not packed by CF's conventions."""
    return (
        array.metadata.zarr_format == 2
        and array.dtype.kind in "iu"
        and array.fill_value == 0
        and not {"scale_factor", "add_offset"} & set(array.attrs)
    )
