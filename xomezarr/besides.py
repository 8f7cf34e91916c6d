"""What lies beside the pixels of a level, in a group of its own: coordinates, as xarray's writer stores them.

The OME metadata count. What they have no place for is taken from there where another tool has written it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from xomezarr.direct import get_documents
from xomezarr.documents import check_readable
from xomezarr.errors import LayoutError
from xomezarr.layout import level_group
from xomezarr.lazy import zarr
from xomezarr.model import Image
from xomezarr.nested import unheard
from xomezarr.pyramid import VARIABLE
from xomezarr.sidecar import Sidecar
from xomezarr.store import ALL_DOCUMENTS, member_path, names_in, open_array
from xomezarr.units import axis_type, convert

__all__ = ["adopted_from", "coordinates_beside", "disagreement"]

WITHIN = 0.01
"""Fraction of a pixel by which a coordinate may differ from what the OME metadata say: that of `Grid.fit`."""

OF_AXES = ("units", "scale", "orientation")
"""Attributes of coordinates that the OME metadata alone say."""


def coordinates_beside(group: zarr.Group, path: str) -> dict[str, xr.Variable]:
    """Return the coordinates that lie beside the pixels of a level, lazily.

    Parameters
    ----------
    group
        Of the image.
    path
        Of the level's array, below it.

    Raises
    ------
    LayoutError
        If xarray cannot open them.
    """
    where = level_group(path)
    try:
        names = [name for name in names_in(group, where) if name not in ALL_DOCUMENTS]
        if not {*names} - {path.rpartition("/")[2]}:
            # pixels alone, of which writers of Zarr v2 need not name the dimensions
            return {}
        _check_beside(group, where, names, max(open_array(group, path).shape, default=0))
        held: Any = group.store
        with unheard():
            ds = xr.open_dataset(
                held, group=member_path(group, where), engine="zarr", consolidated=False, chunks=None, cache=False
            )
    except Exception as error:  # whatever its decoders raise
        raise LayoutError(
            f"the coordinates in {where!r} of {str(group.store_path)!r} cannot be opened by xarray ({error}); mend "
            "them, or remove them"
        ) from error
    return {str(name): coord.variable for name, coord in ds.coords.items()}


def _check_beside(group: zarr.Group, where: str, names: Sequence[str], longest: int) -> None:
    """Refuse what xarray would fail to open, or read as a whole to make an index that no pixels have.

    zarr opens all that lies in a group at the same time, and where several fail leaves the errors of all but one to be
    printed when they are forgotten.

    Parameters
    ----------
    group, where
        The image, and below it what holds a level.
    names
        Of what lies there.
    longest
        How many pixels the level has along its longest dimension.
    """
    kinds = ("zarr.json",) if group.metadata.zarr_format == 3 else (".zarray", ".zgroup", ".zattrs")
    keys = [f"{where}/{name}/{kind}" for name in names for kind in kinds]
    for key, content in zip(keys, get_documents(group.store, [member_path(group, key) for key in keys]), strict=True):
        if content is None:
            continue
        document = json.loads(content)
        if not isinstance(document, dict):
            raise ValueError(f"{key!r} is no object")
        if not key.endswith(".zarray") and document.get("node_type") != "array":
            continue
        check_readable(document)
        if len(shape := document["shape"]) == 1 and shape[0] > longest:
            raise ValueError(f"{key.rpartition('/')[0]!r} has {shape[0]} values, and no dimension has so many pixels")


def adopted_from(
    beside: Mapping[str, xr.Variable], known: Sidecar, image: Image, sizes: Mapping[str, int]
) -> tuple[Sidecar, list[str]]:
    """Return what is known of an image of another tool, with what its coordinates say more.

    Parameters
    ----------
    beside
        As `coordinates_beside` returns them, of level 0.
    known
        What the OME metadata say.
    image, sizes
        These, and the sizes of level 0, by dimension.

    Returns
    -------
    Sidecar, list of str
        Beside it, which coordinates are left out, and why.
    """
    coords, told = dict(known.coords), []
    for name, variable in beside.items():
        why = _misfit(name, variable, sizes) or disagreement(variable, known.coords.get(name), _spacing(image, name))
        if why:
            told.append(f"{name!r} {why}")
        else:
            coords[name] = _joined(variable, known.coords.get(name), name in sizes)
    return replace(known, coords=coords), told


def _misfit(name: str, variable: xr.Variable, sizes: Mapping[str, int]) -> str:
    """Say why a coordinate cannot be one of the image; empty if it can."""
    own = dict(zip(map(str, variable.dims), variable.shape, strict=True))
    if any(sizes.get(dim) != size for dim, size in own.items()):
        return f"has the sizes {own}, and level 0 {dict(sizes)}"
    if name in sizes and variable.dims != (name,):
        return f"lies along {variable.dims}, and is called as a dimension"
    return "is called as the pixels are" if name == VARIABLE else ""


def _spacing(image: Image, name: str) -> float:
    """Return how far pixels lie apart along a dimension; 0 for what is none."""
    return image.multiscale.levels[0].scale.get(name, 0.0)


def disagreement(variable: xr.Variable, known: xr.Variable | None, spacing: float) -> str:
    """Say how a coordinate differs from what the OME metadata say, which count; empty where it does not.

    Parameters
    ----------
    variable
        The coordinate.
    known
        What the metadata say; None if nothing.
    spacing
        Of the pixels along it, a hundredth of which does not count.
    """
    if known is None:
        return ""
    if variable.dtype.kind in "mM" and _is_number(known) and variable.shape == known.shape:
        # the metadata count from the first one on
        return _timing(variable, known, spacing)
    if variable.shape != known.shape:
        return f"has the shape {variable.shape}, and {known.shape} by the OME metadata"
    found, said = np.asarray(variable.values), np.asarray(known.values)
    if _is_number(variable) and _is_number(known):
        same = np.isclose(found, said, rtol=0, atol=WITHIN * abs(spacing), equal_nan=True)
    elif _is_number(variable) or _is_number(known):
        return f"holds {variable.dtype}, and {known.dtype} by the OME metadata"
    else:
        same = np.asarray(variable.astype(object).values == known.astype(object).values)
    if same.all():
        return ""
    index = tuple(int(place) for place in np.argwhere(~same)[0])
    place = f" at index {', '.join(map(str, index))}" if index else ""
    return f"is {found[index].item()!r}{place}, and {said[index].item()!r} by the OME metadata"


def _timing(variable: xr.Variable, known: xr.Variable, spacing: float) -> str:
    """Say how dates, or times, differ from what the OME metadata count; empty where these name no unit of time."""
    unit = known.attrs.get("units")
    if not unit or axis_type(unit) != "time" or not known.size:
        return ""
    passed = (variable.values - variable.values[:1]) / np.timedelta64(1, "ns") * (1e-9 * convert("second", unit))
    counted = xr.Variable(variable.dims, passed)
    return disagreement(counted, xr.Variable(known.dims, known.values - known.values[:1]), spacing)


def _joined(variable: xr.Variable, known: xr.Variable | None, is_dimension: bool) -> xr.Variable:
    """Return a coordinate with its attributes and what the OME metadata say of it."""
    attrs: dict[str, Any] = {
        key: value for key, value in variable.attrs.items() if key not in OF_AXES or not is_dimension
    }
    if known is not None and _is_number(known) == _is_number(variable):
        return xr.Variable(known.dims, known.values, attrs | known.attrs)
    return xr.Variable(variable.dims, variable.values if is_dimension else variable._data, attrs)


def _is_number(variable: xr.Variable) -> bool:
    return variable.dtype.kind in "iuf"
