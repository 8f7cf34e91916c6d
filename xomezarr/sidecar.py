"""What OME metadata cannot say, kept beside them in one attribute so that nothing is lost.

The attribute `KEY` of the image's group holds the array's name, dimension order, attributes and coordinates,
and what the OME metadata said when they were written: where another tool has changed those since, they win.
Coordinates of more than `INLINE` values lie in arrays of a subgroup of the same name.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr.channels import channel_coordinates
from xomezarr.coords import Dimension
from xomezarr.errors import AttributeEncodingError, MetadataChangedWarning, OmeZarrError, raise_all, warn
from xomezarr.grid import Grid
from xomezarr.model import Channel, Image

__all__ = ["INLINE", "KEY", "Sidecar", "decode", "dump", "encode", "load"]

KEY = "xomezarr"

INLINE = 256
"""Coordinates of up to this many values stand in the attribute itself: about 5 kB, which costs a reader no request."""

TAG = "__xomezarr__"
"""Key of a JSON object that stands for a value that JSON has no notation for."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What is kept beside the OME metadata.

    Parameters
    ----------
    name
        Name of the array, which need not be a string.
    dims
        Dimensions in the user's order.
    attrs
        Attributes of the array.
    coords
        All coordinates; those that the level's grid reproduces bit for bit hold no values of their own.
    """

    name: Any
    dims: tuple[str, ...]
    attrs: Mapping[str, Any]
    coords: Mapping[str, xr.Variable] = field(default_factory=dict)
    changed: frozenset[str] = frozenset()


def dump(
    da: xr.DataArray, dimensions: Sequence[Dimension], image: Image
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Encode what OME metadata cannot say.

    Parameters
    ----------
    da
        The array, its dimensions in the user's order.
    dimensions
        What `coords.describe` says of it.
    image
        The OME metadata that are written with it.

    Returns
    -------
    attribute : dict
        The JSON object to store under `KEY`.
    arrays : dict
        Arrays to store below the group, by path.

    Raises
    ------
    AttributeEncodingError
        If an attribute, the name, or a coordinate holds what JSON cannot; all are named.
    """
    faults: list[OmeZarrError] = []
    arrays: dict[str, NDArray[Any]] = {}

    def collect[T](make: Callable[[], T], default: T) -> T:
        try:
            return make()
        except AttributeEncodingError as error:
            faults.append(error)
            return default

    grids = {dimension.name: dimension for dimension in dimensions if dimension.coordinate is not None}
    coords: dict[str, Any] = {}
    for name, coord in da.coords.items():
        if not isinstance(name, str):
            faults.append(
                AttributeEncodingError(f"coordinate {name!r} is not named by a string; rename({{{name!r}: 'name'}})")
            )
            continue
        entry: dict[str, Any] = {"dims": list(coord.dims)}
        attrs = {key: value for key, value in coord.attrs.items() if not (name in grids and key == "scale")}
        entry["attrs"] = collect(lambda a=attrs, n=name: _encode_attrs(a, f"coords[{n!r}].attrs"), {})  # type: ignore[misc]
        entry |= collect(lambda n=name, c=coord: _encode_values(n, c.variable, grids.get(n), arrays), {})  # type: ignore[misc]
        coords[name] = entry
    attribute = {
        "name": collect(lambda: encode(da.name, "name"), None),
        "dims": list(map(str, da.dims)),
        "attrs": collect(lambda: _encode_attrs(da.attrs, "attrs"), {}),
        "coords": coords,
        "written": fingerprint(image),
    }
    raise_all(faults, "the array cannot be written without losing something")
    return attribute, arrays


def load(
    attribute: Mapping[str, Any],
    image: Image,
    sizes: Mapping[str, int],
    read_array: Callable[[str], Any],
) -> Sidecar | None:
    """Decode what `dump` encoded, leaving out what another tool has overtaken.

    Parameters
    ----------
    attribute
        The JSON object stored under `KEY`.
    image
        The OME metadata as they are now.
    sizes
        Of the level-0 array, by axis name.
    read_array
        Opens an array below the group by its path.

    Returns
    -------
    Sidecar or None
        None, with a warning, if the attribute is not understood or belongs to another image.
    """
    try:
        written = attribute["written"]
        changed = _changes(written, fingerprint(image), attribute, sizes)
        if changed is None:
            warn(
                "another tool has changed the axes since xomezarr wrote the image: what was kept beside the OME "
                "metadata is left out; write the image anew with to_zarr to keep it",
                MetadataChangedWarning,
            )
            return None
        coords = {}
        for name, entry in attribute["coords"].items():
            if name not in changed:
                coords[name] = _decode_coord(name, entry, image, sizes, read_array)
        if changed:
            warn(
                f"another tool has changed the OME metadata of {_listed(changed)} since xomezarr wrote the "
                "image; the OME metadata are taken; write the image anew with to_zarr to settle it",
                MetadataChangedWarning,
            )
        name = image.multiscale.name if "name" in changed else decode(attribute["name"])
        return Sidecar(name, tuple(attribute["dims"]), decode(attribute["attrs"]), coords, frozenset(changed))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        warn(
            f"the attribute {KEY!r} of the image cannot be understood ({type(error).__name__}: {error}) "
            "and is left out; write the image anew with to_zarr to mend it",
            MetadataChangedWarning,
        )
        return None


def fingerprint(image: Image) -> dict[str, Any]:
    """Return what tells later whether another tool has changed the OME metadata."""
    multiscale = image.multiscale
    level = multiscale.levels[0]
    return {
        "name": multiscale.name,
        "axes": {
            axis.name: [axis.type, axis.unit, level.scale[axis.name], level.translation[axis.name]]
            for axis in multiscale.axes
        },
        "channels": _digest(image.channels),
    }


def encode(value: Any, where: str) -> Any:
    """Turn a value into JSON; what JSON has no notation for is tagged.

    Parameters
    ----------
    value
        None, bool, int, float, str, bytes, dates, NumPy scalars and arrays, and lists, tuples and dicts of those.
    where
        How the message names it.

    Raises
    ------
    AttributeEncodingError
        If it is anything else.

    Examples
    --------
    >>> encode({"gain": (1, float("nan"))}, "attrs")
    {'gain': {'__xomezarr__': 'tuple', 'value': [1, {'__xomezarr__': 'float', 'value': 'nan'}]}}
    """
    if value is None or type(value) in (bool, int):
        return value
    if type(value) is str:
        return _checked_text(value, where)
    if type(value) is float:
        return value if math.isfinite(value) else {TAG: "float", "value": repr(value)}
    if type(value) is list:
        return [encode(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if type(value) is tuple:
        return {TAG: "tuple", "value": [encode(item, f"{where}[{index}]") for index, item in enumerate(value)]}
    if type(value) is dict:
        return _encode_dict(value, where)
    if type(value) is bytes:
        return {TAG: "bytes", "value": base64.b64encode(value).decode()}
    if type(value) in (datetime.datetime, datetime.date):
        return {TAG: type(value).__name__, "value": value.isoformat()}
    if isinstance(value, np.generic | np.ndarray):
        return _encode_numpy(value, where)
    raise AttributeEncodingError(
        f"{where} is {_short(value)} of type {type(value).__name__}, which JSON cannot hold; "
        f"turn it into text, numbers, lists or dicts, or leave it out: drop_attrs() or assign_attrs(…)"
    )


def decode(value: Any) -> Any:
    """Turn what `encode` made back into the value."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if TAG not in value:
        return {key: decode(item) for key, item in value.items()}
    return _DECODERS[value[TAG]](value)


_DECODERS: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "float": lambda v: float(v["value"]),
    "tuple": lambda v: tuple(decode(item) for item in v["value"]),
    "dict": lambda v: {key: decode(item) for key, item in v["value"].items()},
    "bytes": lambda v: base64.b64decode(v["value"]),
    "datetime": lambda v: datetime.datetime.fromisoformat(v["value"]),
    "date": lambda v: datetime.date.fromisoformat(v["value"]),
    "scalar": lambda v: _from_json(v["dtype"], [v["value"]], (1,))[0],
    "array": lambda v: _from_json(v["dtype"], v["value"], tuple(v["shape"])),
}


def _encode_attrs(attrs: Mapping[Any, Any], where: str) -> dict[str, Any]:
    """Encode each attribute; all that fail are reported together."""
    faults: list[OmeZarrError] = []
    encoded = {}
    for key, value in attrs.items():
        try:
            encoded[_checked_key(key, where)] = encode(value, f"{where}[{key!r}]")
        except AttributeEncodingError as error:
            faults.append(error)
    if len(faults) > 1:
        raise AttributeEncodingError("\n     ".join(str(fault) for fault in faults))
    raise_all(faults, "")
    return {TAG: "dict", "value": encoded} if TAG in encoded else encoded


def _encode_dict(value: Mapping[Any, Any], where: str) -> dict[str, Any]:
    encoded = {_checked_key(key, where): encode(item, f"{where}[{key!r}]") for key, item in value.items()}
    return {TAG: "dict", "value": encoded} if TAG in encoded else encoded


def _checked_key(key: Any, where: str) -> str:
    if type(key) is not str:
        raise AttributeEncodingError(f"{where} has the key {key!r}, and JSON's keys are text; use {str(key)!r}")
    return _checked_text(key, where)


def _checked_text(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise AttributeEncodingError(
            f"{where} holds {text!r}, which is not valid Unicode and cannot be stored; replace the lone surrogates"
        ) from None
    return text


def _encode_numpy(value: np.generic | NDArray[Any], where: str) -> dict[str, Any]:
    array = np.asarray(value)
    if not _storable(array.dtype):
        raise AttributeEncodingError(
            f"{where} is a NumPy value of dtype {array.dtype}, which JSON cannot hold; convert it: astype(float), say"
        )
    if isinstance(value, np.generic):
        return {TAG: "scalar", "dtype": _dtype_name(array.dtype), "value": _to_json(array.reshape(1))[0]}
    return {
        TAG: "array",
        "dtype": _dtype_name(array.dtype),
        "shape": list(array.shape),
        "value": _to_json(array.ravel()),
    }


def _storable(dtype: np.dtype[Any]) -> bool:
    """Whether values of a dtype have an exact notation: extended precision, objects and structures have none."""
    return dtype.kind in "biuUSMm" or dtype.newbyteorder("=").type in (
        np.float16,
        np.float32,
        np.float64,
        np.complex64,
        np.complex128,
    )


def _dtype_name(dtype: np.dtype[Any]) -> str:
    return str(dtype.str)


def _to_json(flat: NDArray[Any]) -> list[Any]:
    """Turn a 1-D array into a JSON list that `_from_json` restores bit for bit."""
    kind = flat.dtype.kind
    if kind in "Mm":
        return flat.astype(flat.dtype.newbyteorder("=")).view(np.int64).tolist()
    if kind == "c":
        parts = flat.astype(np.complex128)
        return [[_json_float(z.real), _json_float(z.imag)] for z in parts.tolist()]
    if kind == "f":
        return [_json_float(x) for x in flat.astype(np.float64).tolist()]
    if kind == "S":
        return [base64.b64encode(item).decode() for item in flat.tolist()]
    return list(flat.tolist())


def _from_json(dtype: str, values: list[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    wanted = np.dtype(dtype)
    if wanted.kind in "Mm":
        return np.array(values, dtype=np.int64).view(wanted.newbyteorder("=")).astype(wanted).reshape(shape)
    if wanted.kind == "c":
        return np.array([complex(float(re), float(im)) for re, im in values], dtype=wanted).reshape(shape)
    if wanted.kind == "f":
        return np.array([float(x) for x in values], dtype=wanted).reshape(shape)
    if wanted.kind == "S":
        return np.array([base64.b64decode(item) for item in values], dtype=wanted).reshape(shape)
    return np.array(values, dtype=wanted).reshape(shape)


def _json_float(value: float) -> float | str:
    return value if math.isfinite(value) else repr(value)


def _encode_values(
    name: str, variable: xr.Variable, dimension: Dimension | None, arrays: dict[str, NDArray[Any]]
) -> dict[str, Any]:
    """Say how a coordinate's values come back: from the grid, from the attribute, or from an array beside it."""
    dtype = variable.dtype
    where = f"coords[{name!r}]"
    if not isinstance(dtype, np.dtype):
        raise AttributeEncodingError(
            f"{where} has the dtype {dtype}, which cannot be kept; convert it: assign_coords({name}=….astype(str))"
        )
    if dtype.kind in "OT":
        return {"dtype": "object" if dtype.kind == "O" else "StringDType", "values": _texts(variable, where)}
    if not _storable(dtype):
        raise AttributeEncodingError(
            f"{where} has the dtype {dtype}, which cannot be kept; convert it: "
            f"assign_coords({name}=….astype(float)), reset_index({name!r}) for a MultiIndex"
        )
    entry: dict[str, Any] = {"dtype": _dtype_name(dtype)}
    if dimension is not None and _grid_gives(dimension.grid, variable, dimension.kind):
        return entry | {"grid": True}
    values = np.asarray(variable.values)
    if values.size <= INLINE or dtype.kind in "US":
        return entry | {"values": _to_json(values.ravel())}
    path = f"{KEY}/{len(arrays)}"
    arrays[path] = values.view(np.int64) if dtype.kind in "Mm" else values
    return entry | {"array": path}


def _grid_gives(grid: Grid, variable: xr.Variable, kind: str) -> bool:
    """Whether the grid alone reproduces a coordinate bit for bit."""
    if kind != "number" or variable.dtype.kind not in "iuf":
        return False
    with np.errstate(all="ignore"):
        made = grid.coordinates.astype(variable.dtype)
    return bool(np.array_equal(made, variable.values) and np.array_equal(np.signbit(made), np.signbit(variable.values)))


def _texts(variable: xr.Variable, where: str) -> list[str]:
    values = variable.values.ravel().tolist()
    for index, value in enumerate(values):
        if type(value) is not str:
            raise AttributeEncodingError(
                f"{where} is {_short(value)} of type {type(value).__name__} at index {index}, which cannot be kept; "
                "convert the coordinate to numbers, text or datetime64 (convert_calendar for cftime dates)"
            )
        _checked_text(value, f"{where}[{index}]")
    return values


def _decode_coord(
    name: str,
    entry: Mapping[str, Any],
    image: Image,
    sizes: Mapping[str, int],
    read_array: Callable[[str], Any],
) -> xr.Variable:
    dims = tuple(entry["dims"])
    shape = tuple(sizes[dim] for dim in dims)
    attrs = decode(entry["attrs"])
    if entry.get("grid"):
        grid = image.multiscale.levels[0].grid(sizes)[name]
        return xr.Variable(dims, grid.coordinates.astype(np.dtype(entry["dtype"])), attrs)
    if "array" in entry:
        stored = read_array(entry["array"])
        dtype = np.dtype(entry["dtype"])
        if dtype.kind in "Mm":
            stored = np.asarray(stored).view(dtype.newbyteorder("=")).astype(dtype)
        return xr.Variable(dims, stored, attrs)
    if entry["dtype"] == "object":
        objects = np.empty(len(entry["values"]), dtype=object)
        objects[:] = entry["values"]
        return xr.Variable(dims, objects.reshape(shape), attrs)
    if entry["dtype"] == "StringDType":
        texts = np.array(entry["values"], dtype=np.dtypes.StringDType())
        return xr.Variable(dims, texts.reshape(shape), attrs)
    return xr.Variable(dims, _from_json(entry["dtype"], entry["values"], shape), attrs)


def _changes(
    written: Mapping[str, Any], now: Mapping[str, Any], attribute: Mapping[str, Any], sizes: Mapping[str, int]
) -> set[str] | None:
    """Return which dimensions, and whether name or channels, are not as they were written; None if the axes differ."""
    if set(written["axes"]) != set(now["axes"]) or set(attribute["dims"]) != set(now["axes"]):
        return None
    changed = {axis for axis, said in now["axes"].items() if said != written["axes"][axis]}
    for name, entry in attribute["coords"].items():
        if name in sizes and "values" in entry and len(entry["values"]) != sizes[name]:
            changed.add(name)
    if written["name"] != now["name"]:
        changed.add("name")
    if written["channels"] != now["channels"]:
        changed |= {"channels", *channel_coordinates(now["axes"])}
    return changed


def _digest(channels: Sequence[Channel] | None) -> str | None:
    """Return a short digest of the channels' rendering metadata."""
    if channels is None:
        return None
    said = [
        [c.label, c.color, c.active, [c.window.min, c.window.max, c.window.start, c.window.end] if c.window else None]
        for c in channels
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def _listed(changed: set[str]) -> str:
    return ", ".join(sorted(key for key in changed if not key.startswith("channel_")))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
