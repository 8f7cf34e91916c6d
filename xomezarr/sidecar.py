"""What OME metadata cannot say, kept beside them in one attribute so that nothing is lost.

The attribute `KEY` of the image's group holds the array's name, dimension order, attributes and coordinates,
and what the OME metadata said when they were written: where another tool has changed those since, they win.
Coordinates of more than `INLINE` values lie in arrays of a subgroup of the same name.

`dump` and `load` go between a DataArray and the attribute, `encode` and `decode` between Python's values and JSON.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.indexes import PandasIndex

from xomezarr.channels import EXTRA
from xomezarr.channels import coordinates as channel_coordinates
from xomezarr.coords import Dimension, states_spacing
from xomezarr.errors import AttributeEncodingError, MetadataChangedWarning, OmeZarrError, collecting, raise_all, warn
from xomezarr.grid import Grid
from xomezarr.indexes import Askew, Row, SystemIndex, rows_beside
from xomezarr.layout import VARIABLE
from xomezarr.model import Axis, Channel, Image
from xomezarr.spec import SIDECAR, axes_by_system, matrices
from xomezarr.units import same_unit

__all__ = [
    "GROWING",
    "INLINE",
    "KEY",
    "PROPERTIES",
    "Sidecar",
    "along_dims",
    "arrays_in",
    "check",
    "check_plain",
    "decode",
    "dump",
    "encode",
    "fingerprint",
    "foreign",
    "growing",
    "grown",
    "is_told",
    "load",
    "pointed",
    "properties_in",
    "same",
    "scalars",
    "unpack",
]

KEY = SIDECAR

PROPERTIES = "properties"
"""Key of what JSON does not tell of the properties of labels."""

GROWING = "growing"
"""Key of how many pixels an image has along the dimension along which it is appended to."""

INLINE = 256
"""Coordinates of up to this many values stand in the attribute itself: about 5 kB, which costs a reader no request."""

FORMAT = 1
"""Version of the attribute; readers leave out what a later one holds."""

TAG = "__xomezarr__"
"""Key of a JSON object that stands for a value that JSON has no notation for."""

EXACT_INTEGER = 2**53
"""Larger integers are tagged: tools that hold JSON numbers as float64 would round them in passing."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What the level-0 array is beside its pixels.

    Parameters
    ----------
    name
        Name of the array, which need not be a string.
    dims
        Dimensions in the user's order.
    attrs
        Attributes of the array.
    coords
        All coordinates.
    dtype
        Of the pixels, in the user's byte order, which Zarr v3 does not tell; None if unknown.
    irregular
        Dimensions of which the OME metadata give the mean step only.
    indexed
        Coordinates other than those of dimensions that have an index.
    coarser
        For each level from 1 on, coordinates of dimensions that are not what its grid gives, bit for bit; none where no
        level has such ones.
    systems
        Coordinate systems in which the array lies askew, and how it has their coordinates.
    """

    name: Any
    dims: tuple[str, ...]
    attrs: Mapping[str, Any]
    coords: Mapping[str, xr.Variable] = field(default_factory=dict)
    dtype: np.dtype[Any] | None = None
    irregular: frozenset[str] = frozenset()
    indexed: frozenset[str] = frozenset()
    coarser: tuple[Mapping[str, xr.Variable], ...] = ()
    systems: Mapping[str, Askew] = field(default_factory=dict)


# -- writing -----------------------------------------------------------------------------------------------


def dump(
    da: xr.DataArray,
    dimensions: Sequence[Dimension],
    image: Image,
    coarser: Sequence[Mapping[str, xr.Variable]] = (),
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
    coarser
        As in `Sidecar`.

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
    attribute, arrays = _encode_all(da, {dimension.name: dimension for dimension in dimensions})
    grids = image.multiscale.levels[0].grid({str(dim): size for dim, size in da.sizes.items()})
    for name, row in rows_beside(da, grids).items():
        attribute["coords"][name]["row"] = {"places": row.places, "factors": row.factors}
    if any(coarser):
        attribute["levels"] = [
            {
                name: {"size": variable.size, **_encode_values(name, f"coords[{name!r}]", variable, None, arrays)}
                for name, variable in level.items()
            }
            for level in coarser
        ]
    return attribute | {"written": fingerprint(image)}, arrays


def pointed(
    attribute: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], place: Callable[[str, int], str]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return what `dump` did, with numbers looked for where they lie as they are, once, for other readers too.

    Parameters
    ----------
    attribute, arrays
        What `dump` returned.
    place
        The path below the group of the array of a coordinate, given its name and level.
    """

    def moved(entries: Mapping[str, Mapping[str, Any]], index: int) -> dict[str, Any]:
        return {
            name: {**entry, "array": place(name, index)}
            if "array" in entry and _dtype(entry["dtype"]).kind in "biufc"
            else entry
            for name, entry in entries.items()
        }

    result: dict[str, Any] = {**attribute, "coords": moved(attribute["coords"], 0)}
    if "levels" in attribute:
        result["levels"] = [moved(entries, index) for index, entries in enumerate(attribute["levels"], 1)]
    named = {
        entry.get("array") for entries in (result["coords"], *result.get("levels", ())) for entry in entries.values()
    }
    return result, {path: values for path, values in arrays.items() if path in named}


def check(da: xr.DataArray) -> None:
    """Raise what `dump` would, where the dimensions are not known, as when they are at fault themselves."""
    _encode_all(da, {})


def check_plain(attrs: Mapping[Any, Any], reserved: Collection[str], *, where: str = "attrs") -> None:
    """Make sure that attributes can stand beside OME metadata in a group, as JSON has them.

    Raises
    ------
    AttributeEncodingError
        If JSON does not give one back as it is, or it has a name that is not free; all are named.
    """
    faults: list[OmeZarrError] = []
    for key, value in attrs.items():
        with collecting(faults):
            if key in (*reserved, KEY):
                raise AttributeEncodingError(f"{where}[{key!r}] has a name of OME-Zarr's or xomezarr's; rename it")
            if not is_plain({_checked_key(key, where): value}):
                encode(value, f"{where}[{key!r}]")  # which says what JSON cannot hold
                raise AttributeEncodingError(
                    f"{where}[{key!r}] is {_short(repr(value))}, which JSON does not give back as it is; turn it into "
                    "text, numbers, lists or dicts, or give it to the image variable, whose attributes may hold it"
                )
    raise_all(faults, "the attributes cannot be kept")


def _encode_all(
    da: xr.DataArray, dimensions: Mapping[str, Dimension]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Encode name, attributes and coordinates; all faults are reported together."""
    faults: list[OmeZarrError] = []
    arrays: dict[str, NDArray[Any]] = {}
    attribute: dict[str, Any] = {"format": FORMAT, "dims": [str(dim) for dim in da.dims], "dtype": da.dtype.str}
    with collecting(faults):
        attribute["name"] = encode(da.name, "name")
    with collecting(faults):
        attribute["attrs"] = _encode_attrs(da.attrs, "attrs")
    attribute["coords"] = {}
    for name in da.coords:
        with collecting(faults):
            attribute["coords"][name] = _encode_coord(da, name, dimensions, arrays)
    raise_all(faults, "the array cannot be written without losing something")
    return attribute, arrays


def fingerprint(image: Image) -> dict[str, Any]:
    """Return what tells later whether another tool has changed the OME metadata."""
    multiscale = image.multiscale
    level = multiscale.levels[0]
    ways = {name: matrix.tolist() for name, matrix in matrices(multiscale).items()}
    return {
        "name": multiscale.name,
        "axes": [
            [axis.name, axis.type, axis.unit, level.scale[axis.name], level.translation[axis.name]]
            for axis in multiscale.axes
        ],
        "levels": [
            [[coarse.scale[axis.name], coarse.translation[axis.name]] for axis in multiscale.axes]
            for coarse in multiscale.levels[1:]
        ],
        "channels": _digest(image.channels),
        "channel_extra": _digest_of_extra(image.channels),
        **({"systems": ways} if ways else {}),
    }


def along_dims(attribute: Any) -> dict[str, Any]:
    """Return what the attribute says of the coordinates along dimensions, by name, to be compared with another image's.

    Values that lie in an array have its path under ``"array"``. Under no name stands what else decides about them.
    Nothing is said by an attribute that `load` leaves out.
    """
    try:
        if attribute["format"] != FORMAT:
            return {}
        coords = {name: dict(entry) for name, entry in attribute["coords"].items() if entry["dims"]}
        return coords | {"": {"dims": attribute["dims"], "axes": attribute["written"]["axes"]}}
    except (KeyError, TypeError, AttributeError, ValueError):
        return {}


def scalars(attribute: Any) -> set[str]:
    """Return the names of the scalar coordinates in the attribute; none of one that `load` leaves out."""
    try:
        return {name for name, entry in attribute["coords"].items() if not entry["dims"]}
    except (KeyError, TypeError, AttributeError):
        return set()


def _digest(channels: Sequence[Channel] | None) -> str | None:
    """Return a short digest of how channels are named and shown."""
    if channels is None:
        return None
    said = [
        [
            channel.label,
            channel.color and channel.color.upper(),
            channel.active,
            [float(bound) for bound in (window.min, window.max, window.start, window.end)]
            if (window := channel.window)
            else None,
        ]
        for channel in channels
    ]
    return _hashed(said)


def _digest_of_extra(channels: Sequence[Channel] | None) -> str | None:
    """Return a short digest of what other tools say of channels; None where they say nothing."""
    said = [[channel.extra, channel.window.extra if channel.window else {}] for channel in channels or ()]
    return _hashed(said) if any(map(any, said)) else None


def _hashed(said: Any) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def _encode_coord(
    da: xr.DataArray, name: Any, dimensions: Mapping[str, Dimension], arrays: dict[str, NDArray[Any]]
) -> dict[str, Any]:
    """Encode a coordinate; `arrays` takes its values where they are many."""
    if not isinstance(name, str):
        raise AttributeEncodingError(
            f"coordinate {name!r} is not named by a string; rename({{{name!r}: {str(name)!r}}})"
        )
    if "/" in name:
        raise AttributeEncodingError(
            f"coordinate {name!r} has a / in its name, which stands between the groups of a tree; "
            f"rename({{{name!r}: {name.replace('/', '_')!r}}})"
        )
    where = f"coords[{_checked_text(name, 'a coordinate')!r}]"
    variable, dimension = da.coords[name].variable, dimensions.get(name)
    placed = dimension is not None and dimension.regular and dimension.kind in ("number", "datetime", "timedelta")
    # reading derives the spacing from the OME metadata; what is no number is the user's own
    derived = placed and states_spacing(variable.attrs)
    oriented = dimension is not None and dimension.axis.orientation is not None
    said = {"scale": derived, "orientation": oriented}
    attrs = {key: value for key, value in variable.attrs.items() if not said.get(key)}
    faults: list[OmeZarrError] = []
    entry: dict[str, Any] = {"dims": [str(dim) for dim in variable.dims]}
    with collecting(faults):
        entry["attrs"] = _encode_attrs(attrs, f"{where}.attrs")
    index = da.xindexes.get(name)
    with collecting(faults):
        if isinstance(index, SystemIndex):  # the OME metadata say what leads there, to the last bit or nearly so
            axis = next(axis for axis, called in index.skew.names.items() if called == name)
            entry |= {"system": index.skew.system.name, "axis": axis}
        else:
            entry |= _encode_values(name, where, variable, dimension, arrays)
    raise_all(faults, f"{where} cannot be kept")
    if dimension is not None and not dimension.regular:
        entry["irregular"] = True
    if dimension is None and isinstance(index, PandasIndex):
        entry["index"] = True
    return entry


def _encode_values(
    name: str, where: str, variable: xr.Variable, dimension: Dimension | None, arrays: dict[str, NDArray[Any]]
) -> dict[str, Any]:
    """Say how a coordinate's values come back: from the grid, from the attribute, or from an array beside it."""
    dtype = variable.dtype
    if not isinstance(dtype, np.dtype) or not (_is_text(dtype) or _storable(dtype)):
        raise AttributeEncodingError(
            f"{where} has the dtype {dtype}, which cannot be kept; convert it: assign_coords({name}=….astype(float)), "
            "or astype(str)"
        )
    entry: dict[str, Any] = {"dtype": _dtype_name(dtype)}
    if dimension is not None and _grid_gives(dimension, variable):
        return entry | {"grid": True}
    values = np.asarray(variable.values)
    if dtype.kind in "OTU":
        _check_texts(values, where)
    if values.size <= INLINE:
        return entry | {"values": _to_json(values)}
    path = f"{KEY}/{len(arrays)}"
    arrays[path] = _pack(values)
    return entry | {"array": path}


def _grid_gives(dimension: Dimension, variable: xr.Variable) -> bool:
    """Whether the grid alone reproduces a coordinate bit for bit."""
    if dimension.kind != "number" or variable.dtype.kind not in "iuf":
        return False
    made = _from_grid(dimension.grid, variable.dtype)
    return bool(np.array_equal(made, variable.values) and np.array_equal(np.signbit(made), np.signbit(variable.values)))


def _from_grid(grid: Grid, dtype: np.dtype[Any]) -> NDArray[Any]:
    with np.errstate(all="ignore"):
        return grid.coordinates.astype(dtype)


def _check_texts(values: NDArray[Any], where: str) -> None:
    """Make sure that every value can be stored: text, or plain values that `reindex` fills in; objects may be any."""
    for index, value in zip(np.ndindex(values.shape), values.ravel().tolist(), strict=True):
        place = f"{where}[{', '.join(map(str, index))}]" if index else where
        if isinstance(value, NoneType | bool | int | float):
            continue
        if type(value) not in (str, np.str_):
            raise AttributeEncodingError(
                f"{place} is {_short(repr(value))} of type {type(value).__name__}, which cannot be kept; convert the "
                "coordinate to numbers, text or datetime64 (convert_calendar for cftime dates, reset_index for a "
                "MultiIndex)"
            )
        _checked_text(value, place)


# -- reading -----------------------------------------------------------------------------------------------


def load(
    attribute: Any,
    image: Image,
    sizes: Mapping[str, int],
    read_array: Callable[[str, np.dtype[Any], tuple[int, ...]], Any],
) -> Sidecar | None:
    """Decode what `dump` encoded; where another tool has changed the OME metadata since, those are taken.

    Whatever the attribute holds, the image can be opened: what is not understood is left out, with a warning.

    Parameters
    ----------
    attribute
        The JSON value stored under `KEY`.
    image
        The OME metadata as they are now.
    sizes
        Of the level-0 array, by axis name.
    read_array
        Opens an array that `dump` put below the group, given its path, and the dtype and shape of the coordinate.

    Returns
    -------
    Sidecar or None
        None, with a warning, if the attribute is not understood.
    """
    changes: list[str] = []
    faults: list[str] = []
    kept = None
    try:
        kept = _decode(attribute, image, sizes, read_array, changes, faults)
    except Exception as error:  # any JSON may stand there, and none may prevent opening the image
        faults.append(_told(error))
    if faults:
        warn(
            f"the attribute {KEY!r} of the image cannot be understood ({'; '.join(faults)}), and "
            f"{'is left out' if kept is None else 'that is left out'}; write the image anew with to_zarr to mend it",
            MetadataChangedWarning,
        )
    if changes:
        warn(
            f"another tool has changed the OME metadata since xomezarr wrote the image: {'; '.join(changes)}. "
            "The OME metadata are taken; write the image anew with to_zarr to settle it",
            MetadataChangedWarning,
        )
    return kept


def grown(dim: str, sizes: Sequence[int], before: Sequence[int] | None = None) -> dict[str, Any]:
    """Return what the attribute says of an image that is appended to, under the key `GROWING`.

    Parameters
    ----------
    dim
        The dimension.
    sizes, before
        How many pixels each level has along it, and how many it had before the last time.
    """
    said = {"dim": dim, "sizes": [*sizes]}
    return said if before is None else {**said, "before": [*before]}


def growing(attribute: Any, image: Mapping[str, int] | None = None) -> tuple[str, tuple[int, ...]] | None:
    """Return the dimension along which an image is appended to, and how many pixels each level has along it.

    Arrays may have more, which nobody is to see yet. None for an image that nobody has appended to.

    Parameters
    ----------
    attribute
        The attribute.
    image
        Of labels, the sizes of their image, which is appended to right after them: before that, they have as many
        pixels as before.

    >>> said = {"growing": {"dim": "t", "sizes": [4, 4], "before": [3, 3]}}
    >>> growing(said), growing(said, {"t": 3}), growing({})
    (('t', (4, 4)), ('t', (3, 3)), None)
    """
    try:
        said = attribute[GROWING]
        dim, sizes = str(said["dim"]), tuple(int(size) for size in said["sizes"])
        before = tuple(int(size) for size in said.get("before", sizes))
        if image and before[0] == image.get(dim) != sizes[0] and len(before) == len(sizes):
            sizes = before
        return (dim, sizes) if sizes and min(sizes) > 0 else None
    except (KeyError, IndexError, TypeError, ValueError, OverflowError, AttributeError):
        return None


def is_told(attrs: Mapping[str, Any]) -> bool:
    """Whether the attributes of an image's group say more of it than how many pixels are appended.

    >>> is_told({"xomezarr": {"format": 1}}), is_told({"xomezarr": {"growing": {}}}), is_told({})
    (True, False, False)
    """
    said = attrs.get(KEY)
    return KEY in attrs and not (isinstance(said, Mapping) and said.keys() == {GROWING})


def arrays_in(attribute: Any) -> frozenset[str]:
    """Return the paths of the arrays that an attribute names; none of one that `load` leaves out."""
    try:
        entries = [*attribute["coords"].values(), *(e for one in attribute.get("levels", ()) for e in one.values())]
        return frozenset(str(entry["array"]) for entry in entries if "array" in entry)
    except (KeyError, TypeError, AttributeError):
        return frozenset()


def properties_in(attrs: Mapping[str, Any]) -> Any:
    """Return what is kept of the properties of labels, in the attributes of their group; None if nothing is."""
    kept = attrs.get(KEY)
    return kept.get(PROPERTIES) if isinstance(kept, Mapping) else None


def foreign(image: Image, sizes: Mapping[str, int], attrs: Mapping[str, Any]) -> Sidecar:
    """Return what the OME metadata alone say of an image that another tool has written.

    Parameters
    ----------
    image
        The OME metadata.
    sizes
        Of the level-0 array, by axis name.
    attrs
        Attributes of that array.
    """
    multiscale = image.multiscale
    coords = {axis.name: made for axis in multiscale.axes if (made := _place(axis, image, sizes)) is not None}
    return Sidecar(multiscale.name, multiscale.dims, attrs, coords | _channels(image, sizes, coords))


def _decode(
    attribute: Mapping[str, Any],
    image: Image,
    sizes: Mapping[str, int],
    read_array: Callable[[str, np.dtype[Any], tuple[int, ...]], Any],
    changes: list[str],
    faults: list[str],
) -> Sidecar:
    """Decode the attribute; `changes` and `faults` take what differs and what cannot be read."""
    if attribute["format"] != FORMAT:
        raise ValueError(f"its format is {attribute['format']!r}, and this version of xomezarr reads {FORMAT}")
    attrs, name = decode(attribute["attrs"]), decode(attribute["name"])
    hash(name)
    axes = _Axes.compare(attribute["written"]["axes"], image)
    changes += axes.changes
    if "levels" in attribute["written"]:  # images of the first versions lack it
        changes += axes.compare_levels(attribute["written"], image)
    coords: dict[str, xr.Variable] = {}
    entries: dict[str, Mapping[str, Any]] = {}
    unread: set[str] = set()
    askew: dict[str, dict[str, tuple[str, tuple[str, ...], Any]]] = {}
    rows: dict[str, Row] = {}
    # of labels that are ahead of their image, what comes after it is not seen
    dim, (count, *_) = growing(attribute) or ("", (0,))
    cut = {dim: slice(sizes[dim])} if sizes.get(dim, count) < count else {}
    full = {**sizes, dim: count} if cut else sizes
    for key, entry in attribute["coords"].items():
        own, dims = axes.renamed.get(key, key), tuple(axes.renamed.get(dim, dim) for dim in entry["dims"])
        if not {*dims} <= sizes.keys():
            changes.append(f"coordinate {key!r} has lost its dimension")
            continue
        try:
            if "/" in own or own == VARIABLE:
                raise ValueError("a level has no place for a coordinate of that name")
            if "system" in entry:
                askew.setdefault(entry["system"], {})[entry["axis"]] = (own, dims, decode(entry["attrs"]))
                rows |= {own: _decode_row(entry["row"], axes)} if "row" in entry else {}
                continue
            coords[own] = _decode_coord(own, dims, entry, image, full, read_array).isel(cut, missing_dims="ignore")
            entries[own] = entry
        except Exception as error:  # one broken coordinate does not take the others with it
            faults.append(f"coords[{key!r}]: {_told(error)}")
            unread.add(own)
    for axis in image.multiscale.axes:
        made = (
            _place(axis, image, sizes) if axis.name in unread else axes.place(axis, coords.get(axis.name), image, sizes)
        )
        if made is not None:
            coords[axis.name] = xr.Variable(made.dims, made.data, _oriented(made.attrs, axis))
    if attribute["written"]["name"] != image.multiscale.name:
        changes.append(f"the name is {image.multiscale.name!r}")
        name = image.multiscale.name
    written = attribute["written"]
    # what other tools say beside it is looked at where it was kept
    extra_changed = EXTRA in coords and written.get("channel_extra") != _digest_of_extra(image.channels)
    if written["channels"] != _digest(image.channels) or extra_changed:
        changes.append("the channels are others")
        coords |= _channels(image, sizes, coords)
    coarser: tuple[dict[str, xr.Variable], ...] = ()
    if "levels" in attribute:
        try:
            coarser = tuple(_decode_coarser(attribute, axes, image, read_array, faults))
        except Exception as error:  # all lie where their grids say
            faults.append(f"levels: {_told(error)}")
    dims = tuple(axes.renamed.get(dim, dim) for dim in attribute["dims"])
    if sorted(dims) != sorted(sizes):
        dims = image.multiscale.dims
    return Sidecar(
        name,
        dims,
        dict(attrs),
        coords,
        _dtype(attribute["dtype"]),
        frozenset(key for key in entries if entries[key].get("irregular") and key not in axes.moved),
        frozenset(key for key in entries if entries[key].get("index") and coords[key].ndim == 1 and key not in sizes),
        coarser,
        _decode_askew(askew, rows, written, image, changes),
    )


def _decode_askew(
    by_system: Mapping[str, Mapping[str, tuple[str, tuple[str, ...], Mapping[str, Any]]]],
    rows: Mapping[str, Row],
    written: Mapping[str, Any],
    image: Image,
    changes: list[str],
) -> dict[str, Askew]:
    """Put together the coordinates of systems: by axis, their names, dimensions and attributes.

    `changes` takes what the OME metadata say else of the systems now.
    """
    if not by_system:
        return {}
    known, leading = axes_by_system(image.multiscale), matrices(image.multiscale)
    found = {}
    for system, coordinates in by_system.items():
        now, then = leading.get(system), written.get("systems", {}).get(system)
        if now is not None and then is not None and now.tolist() != then:
            changes.append(f"what leads to the coordinate system {system!r} is {now.tolist()}, and was {then}")
        axes = {axis.name: axis for axis in known.get(system, ())}
        found[system] = _askew(coordinates, rows, axes, changes)
    return found


def _askew(
    coordinates: Mapping[str, tuple[str, tuple[str, ...], Mapping[str, Any]]],
    rows: Mapping[str, Row],
    axes: Mapping[str, Axis],
    changes: list[str],
) -> Askew:
    """Put together the coordinates of a system whose axes are called so."""
    kept = {}
    for name, (called, dims, attrs) in coordinates.items():
        if (axis := axes.get(name)) is not None and not same_unit(attrs.get("units"), axis.unit):
            changes.append(f"the unit of {called!r} is {axis.unit!r}, and was {attrs.get('units')!r}")
            attrs = _with_unit(attrs, axis.unit)
        own = {key: value for key, value in attrs.items() if key != "orientation" or not isinstance(value, str)}
        kept[called] = dims, dict(attrs) if axis is None else _oriented(own, axis)
    named = {axis: name for axis, (name, _, _) in coordinates.items()}
    return Askew(named, kept, {name: rows[name] for name in named.values() if name in rows})


def _decode_row(raw: Mapping[str, Any], axes: _Axes) -> Row:
    places = tuple((axes.renamed.get(dim, dim), float(scale), float(first)) for dim, scale, first in raw["places"])
    factors = tuple(map(float, raw["factors"]))
    if len(factors) != len(places) + 1:
        raise ValueError(f"{len(factors)} factors do not lead from {len(places)} dimensions")
    return Row(places, factors)


def _decode_coarser(
    attribute: Mapping[str, Any],
    axes: _Axes,
    image: Image,
    read_array: Callable[[str, np.dtype[Any], tuple[int, ...]], Any],
    faults: list[str],
) -> Iterator[dict[str, xr.Variable]]:
    """Yield the coordinates of each coarser level that are kept, where the OME metadata have them where they were."""
    written = attribute["written"]
    before = {name: index for index, (name, *_) in enumerate(written["axes"])}
    for index, (entries, then, level) in enumerate(
        zip(attribute["levels"], written["levels"], image.multiscale.levels[1:], strict=False), 1
    ):
        found: dict[str, xr.Variable] = {}
        for name, entry in entries.items():
            own = axes.renamed.get(name, name)
            if own in axes.moved or [level.scale.get(own), level.translation.get(own)] != then[before[name]]:
                continue
            try:
                found[own] = xr.Variable(own, _decode_values(entry, (int(entry["size"]),), read_array))
            except Exception as error:  # it lies where the grid says
                faults.append(f"levels[{index}][{name!r}]: {_told(error)}")
        yield found


_AXIS_FIELDS = ("type", "unit", "scale", "translation")


@dataclass(frozen=True, slots=True)
class _Axes:
    """How the axes differ from those that were written: by dimension, as they are called now."""

    renamed: Mapping[str, str]
    moved: frozenset[str]
    other_unit: frozenset[str]
    changes: tuple[str, ...]

    @classmethod
    def compare(cls, written: Sequence[Sequence[Any]], image: Image) -> _Axes:
        """Find which axis is which, then what is new of each."""
        now = {name: said for name, *said in fingerprint(image)["axes"]}
        before = {name: said for name, *said in written}
        old, new = [name for name in before if name not in now], [name for name in now if name not in before]
        renamed = dict(zip(old, new, strict=True)) if len(old) == len(new) else {}
        changes = [f"axis {old!r} is called {new!r}" for old, new in renamed.items()]
        if len(old) != len(new):
            changes += [f"axis {name!r} is gone" for name in old] + [f"axis {name!r} is new" for name in new]
        different: dict[str, set[str]] = {field: set() for field in _AXIS_FIELDS}
        for name, said in before.items():
            axis = renamed.get(name, name)
            for what, then, value in zip(_AXIS_FIELDS, said, now.get(axis, said), strict=True):
                if then != value:
                    changes.append(f"the {what} of {axis!r} is {value!r}, and was {then!r}")
                    different[what].add(axis)
        moved = different["scale"] | different["translation"] | ({*new} - {*renamed.values()})
        return cls(renamed, frozenset(moved), frozenset(different["unit"]), tuple(changes))

    def compare_levels(self, written: Mapping[str, Any], image: Image) -> list[str]:
        """Tell what is new of the coarser levels, where level 0 does not tell the same of its axis."""
        before, now = written["levels"], image.multiscale.levels[1:]
        if len(before) != len(now):
            return [f"the number of levels is {len(now) + 1}, and was {len(before) + 1}"]
        names = [self.renamed.get(name, name) for name, *_ in written["axes"]]
        changes = []
        for index, (then, level) in enumerate(zip(before, now, strict=True), 1):
            for name, (scale, translation) in zip(names, then, strict=True):
                if name in self.moved or name not in level.scale:
                    continue
                pairs = (("scale", scale, level.scale[name]), ("translation", translation, level.translation[name]))
                changes += [
                    f"the {what} of {name!r} at level {index} is {value!r}, and was {old!r}"
                    for what, old, value in pairs
                    if old != value
                ]
        return changes

    def place(
        self, axis: Axis, saved: xr.Variable | None, image: Image, sizes: Mapping[str, int]
    ) -> xr.Variable | None:
        """Return the coordinate of a dimension as the OME metadata have it now; its other attributes are kept."""
        dim = axis.name
        named = axis.type == "channel" or (saved is not None and _is_text(saved.dtype))
        timed = saved is not None and saved.dtype.kind in "mM"
        if saved is not None and named:
            return saved
        if dim in self.moved or (dim in self.other_unit and (saved is None or timed)):
            return _place(axis, image, sizes, {} if saved is None else saved.attrs)
        if saved is not None and dim in self.other_unit:
            return xr.Variable(dim, saved.data, _with_unit(saved.attrs, axis.unit))
        return saved


def _place(
    axis: Axis, image: Image, sizes: Mapping[str, int], attrs: Mapping[str, Any] | None = None
) -> xr.Variable | None:
    """Make the coordinate of a dimension from the OME metadata; None for channels that lie nowhere."""
    grid = image.multiscale.levels[0].grid(sizes)[axis.name]
    if axis.type == "channel" and (grid.scale, grid.translation) == (1.0, 0.0):
        return None
    said = _with_unit(_oriented(attrs or {}, axis), axis.unit)
    return xr.Variable(axis.name, grid.coordinates, said | {"scale": grid.scale})


def _oriented(attrs: Mapping[Any, Any], axis: Axis) -> dict[Any, Any]:
    """Return the attributes of a coordinate with the orientation of its axis, which the OME metadata alone say."""
    return dict(attrs) if axis.orientation is None else {**attrs, "orientation": axis.orientation}


def _with_unit(attrs: Mapping[str, Any], unit: str | None) -> dict[str, Any]:
    others = {key: value for key, value in attrs.items() if key != "units"}
    return others if unit is None else others | {"units": unit}


def _channels(image: Image, sizes: Mapping[str, int], coords: Mapping[str, xr.Variable]) -> dict[str, xr.Variable]:
    """Return the coordinates that the OME metadata of channels give; none if they do not fit the array."""
    dim = next((axis.name for axis in image.multiscale.axes if axis.type == "channel"), None)
    if dim is None or image.channels is None or len(image.channels) > sizes[dim]:
        return {}
    channels = [*image.channels, *[Channel()] * (sizes[dim] - len(image.channels))]  # some describe the first ones only
    existing = xr.DataArray(coords[dim]) if dim in coords else None
    return {str(name): made for name, made in channel_coordinates(channels, dim, existing).items()}


def _decode_coord(
    name: str,
    dims: tuple[str, ...],
    entry: Mapping[str, Any],
    image: Image,
    sizes: Mapping[str, int],
    read_array: Callable[[str, np.dtype[Any], tuple[int, ...]], Any],
) -> xr.Variable:
    if (name in sizes and dims != (name,)) or len({*dims}) < len(dims):
        raise ValueError(f"its dimensions are {dims}")
    if "grid" in entry:
        values: Any = _from_grid(image.multiscale.levels[0].grid(sizes)[name], _dtype(entry["dtype"]))
    else:
        values = _decode_values(entry, tuple(sizes[dim] for dim in dims), read_array)
    return xr.Variable(dims, values, dict(decode(entry["attrs"])))


def _decode_values(
    entry: Mapping[str, Any],
    shape: tuple[int, ...],
    read_array: Callable[[str, np.dtype[Any], tuple[int, ...]], Any],
) -> Any:
    """Return the values of a coordinate, which stand in the attribute or in an array beside it."""
    dtype = _dtype(entry["dtype"])
    if "array" in entry:
        return read_array(entry["array"], dtype, shape)
    return _from_json(dtype, _counted(entry["values"], math.prod(shape)), shape)


def _counted(values: Sequence[Any], wanted: int) -> list[Any]:
    if len(values) != wanted:
        raise ValueError(f"it has {len(values)} values, and the array's sizes ask for {wanted}")
    return list(values)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {_short(str(error))}"


# -- values in JSON ----------------------------------------------------------------------------------------


def encode(value: Any, where: str) -> Any:
    """Turn a value into JSON; what JSON has no notation for is tagged.

    Parameters
    ----------
    value
        None, bool, int, float, complex, str, bytes, dates and durations, NumPy scalars and arrays, and lists, tuples
        and dicts of those; no subclasses, whose own nature would be lost.
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
    encoder = _ENCODERS.get(type(value)) or (_encode_scalar if isinstance(value, np.generic) else None)
    if encoder is None:
        raise AttributeEncodingError(
            f"{where} is {_short(repr(value))} of type {type(value).__name__}, which JSON cannot hold; "
            f"turn it into text, numbers, lists or dicts, or leave it out: drop_attrs() or assign_attrs(…)"
        )
    try:
        return encoder(value, where)
    except RecursionError:
        raise AttributeEncodingError(
            f"{where} is nested too deeply, or holds itself; make it flatter, or leave it out: drop_attrs()"
        ) from None


def is_plain(value: Any) -> bool:
    """Whether JSON gives a value back as it is, so that `encode` tags nothing of it.

    >>> is_plain({"gain": [1, 2.5, None]}), is_plain({"gain": (1, 2.5)})
    (True, False)
    """
    try:
        return bool(encode(value, "value") == value)
    except (AttributeEncodingError, ValueError):  # arrays are not equal or unequal
        return False


def same(one: Any, other: Any) -> bool:
    """Whether two values, such as attributes, are kept as the same; one that JSON cannot hold is like no other.

    >>> gain = {"gain": np.array([1.0, np.nan])}
    >>> same(gain, {"gain": np.array([1.0, np.nan])}), same(gain, {"gain": [1.0, np.nan]}), same(1, True)
    (True, False, False)
    """
    try:
        texts = [json.dumps(encode(value, "value"), sort_keys=True) for value in (one, other)]
    except OmeZarrError:
        return False
    return texts[0] == texts[1]


def decode(value: Any) -> Any:
    """Turn what `encode` made back into the value."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if TAG not in value:
        return {key: decode(item) for key, item in value.items()}
    return _DECODERS[value[TAG]](value)


def _encode_attrs(attrs: Mapping[Any, Any], where: str) -> dict[str, Any]:
    """Encode a dict; all values that fail are reported together."""
    faults: list[OmeZarrError] = []
    encoded = {}
    for key, value in attrs.items():
        with collecting(faults):
            encoded[_checked_key(key, where)] = encode(value, f"{where}[{key!r}]")
    raise_all(faults, f"{where} cannot be kept")
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


def _tagged(tag: str, value: Any, **more: Any) -> dict[str, Any]:
    return {TAG: tag, **more, "value": value}


def _encode_items(items: Iterable[Any], where: str) -> list[Any]:
    return [encode(item, f"{where}[{index}]") for index, item in enumerate(items)]


def _encode_datetime(value: datetime.datetime, where: str) -> dict[str, Any]:
    if type(value.tzinfo) not in (NoneType, datetime.timezone):
        raise AttributeEncodingError(
            f"{where} is {_short(repr(value))}, whose time zone {value.tzinfo} JSON cannot hold; "
            "convert it: astimezone(datetime.timezone.utc)"
        )
    return _tagged("datetime", value.isoformat())


def _encode_scalar(value: np.generic, where: str) -> dict[str, Any]:
    array = _checked_array(np.asarray(value), where)
    return _tagged("scalar", _to_json(array)[0], dtype=_dtype_name(array.dtype))


def _encode_array(value: NDArray[Any], where: str) -> dict[str, Any]:
    array = _checked_array(value, where)
    return _tagged("array", _to_json(array), dtype=_dtype_name(array.dtype), shape=list(array.shape))


def _checked_array(array: NDArray[Any], where: str) -> NDArray[Any]:
    if not _storable(array.dtype):
        raise AttributeEncodingError(
            f"{where} is a NumPy value of dtype {array.dtype}, which JSON cannot hold; convert it: "
            "astype(float) or tolist()"
        )
    if array.dtype.kind == "U":
        for text in array.ravel().tolist():
            _checked_text(text, where)
    return array


_ENCODERS: Mapping[type, Callable[[Any, str], Any]] = {
    NoneType: lambda value, where: value,
    bool: lambda value, where: value,
    int: lambda value, where: value if abs(value) <= EXACT_INTEGER else _tagged("int", hex(value)),
    float: lambda value, where: value if math.isfinite(value) else _tagged("float", repr(value)),
    complex: lambda value, where: _tagged("complex", repr(value)),
    str: _checked_text,
    bytes: lambda value, where: _tagged("bytes", base64.b64encode(value).decode()),
    list: _encode_items,
    tuple: lambda value, where: _tagged("tuple", _encode_items(value, where)),
    dict: _encode_attrs,
    datetime.datetime: _encode_datetime,
    datetime.date: lambda value, where: _tagged("date", value.isoformat()),
    datetime.timedelta: lambda value, where: _tagged("timedelta", [value.days, value.seconds, value.microseconds]),
    np.ndarray: _encode_array,
}

_DECODERS: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "int": lambda v: int(v["value"], 16),
    "float": lambda v: float(v["value"]),
    "complex": lambda v: complex(v["value"]),
    "bytes": lambda v: base64.b64decode(v["value"]),
    "tuple": lambda v: tuple(decode(item) for item in v["value"]),
    "dict": lambda v: {key: decode(item) for key, item in v["value"].items()},
    "datetime": lambda v: datetime.datetime.fromisoformat(v["value"]),
    "date": lambda v: datetime.date.fromisoformat(v["value"]),
    "timedelta": lambda v: datetime.timedelta(*v["value"]),
    "scalar": lambda v: _from_json(_dtype(v["dtype"]), [v["value"]], (1,))[0],
    "array": lambda v: _from_json(_dtype(v["dtype"]), v["value"], tuple(v["shape"])),
}


def _short(text: str) -> str:
    """Return text on one line that is not too long for a message."""
    text = " ".join(text.split())
    return text if len(text) <= 80 else text[:77] + "…"


# -- values of arrays --------------------------------------------------------------------------------------

FLOATS = (np.float16, np.float32, np.float64, np.complex64, np.complex128)

TEXT_DTYPES: Mapping[str, np.dtype[Any]] = {
    "object": np.dtype(object),
    "StringDType": np.dtypes.StringDType(),
    "StringDType(nan)": np.dtypes.StringDType(na_object=np.nan),  # what xarray makes of an index of pandas
}
"""Text of any length, which no dtype of zarr's two formats holds alike."""


def _storable(dtype: np.dtype[Any]) -> bool:
    """Whether values of a dtype have an exact notation: extended precision, objects and structures have none."""
    return dtype.kind in "biuUSMm" or (dtype.kind in "fc" and dtype.newbyteorder("=").type in FLOATS)


def _is_text(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and (dtype.kind in "US" or dtype in TEXT_DTYPES.values())


def _dtype_name(dtype: np.dtype[Any]) -> str:
    return next((name for name, known in TEXT_DTYPES.items() if dtype == known), dtype.str)


def _dtype(name: str) -> np.dtype[Any]:
    dtype: np.dtype[Any] = TEXT_DTYPES[name] if name in TEXT_DTYPES else np.dtype(str(name))
    if not (_is_text(dtype) or _storable(dtype)):
        raise ValueError(f"the dtype {name!r} is not known")
    return dtype


def _to_json(array: NDArray[Any]) -> list[Any]:
    """Turn an array into a flat JSON list that `_from_json` restores bit for bit."""
    flat = array.ravel()
    match flat.dtype.kind:
        case "M" | "m":
            return list(flat.astype(flat.dtype.newbyteorder("=")).view(np.int64).tolist())
        case "f":
            return [_json_float(x) for x in flat.astype(np.float64).tolist()]
        case "c":
            return [[_json_float(z.real), _json_float(z.imag)] for z in flat.astype(np.complex128).tolist()]
        case "S":
            return [base64.b64encode(item).decode() for item in flat.tolist()]
        case "O" | "T":
            return [str(item) if isinstance(item, str) else encode(item, "a coordinate") for item in flat.tolist()]
        case _:
            return list(flat.tolist())


def _from_json(dtype: np.dtype[Any], values: list[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Turn the list that `_to_json` made back into the array."""
    match dtype.kind:
        case "M" | "m":
            flat = np.array(values, np.int64).view(dtype.newbyteorder("=")).astype(dtype)
        case "f":
            flat = np.array([float(x) for x in values], dtype)
        case "c":
            flat = np.array([complex(float(re), float(im)) for re, im in values], dtype)
        case "S":
            flat = np.array([base64.b64decode(item) for item in values], dtype)
        case "O":
            flat = np.empty(len(values), object)
            flat[:] = [decode(value) for value in values]
        case "T":
            flat = np.array([decode(value) for value in values], dtype)
        case _:
            flat = np.array(values, dtype)
    return flat.reshape(shape)


def _json_float(value: float) -> float | str:
    return value if math.isfinite(value) else repr(value)


def _pack(values: NDArray[Any]) -> NDArray[Any]:
    """Turn a coordinate into an array of a dtype that every reader of Zarr knows.

    Dates and durations become their integers, text the bytes of its JSON.
    """
    if values.dtype.kind in "Mm":
        return values.astype(values.dtype.newbyteorder("=")).view(np.int64)
    if _is_text(values.dtype):
        return np.frombuffer(json.dumps(_to_json(values)).encode(), np.uint8)
    return values


def unpack(stored: NDArray[Any], dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Turn an array that `dump` stored back into the values of a coordinate.

    Parameters
    ----------
    stored
        As it lies in the store.
    dtype, shape
        Of the coordinate.
    """
    if dtype.kind in "Mm":
        return stored.astype(np.int64).view(dtype.newbyteorder("=")).astype(dtype).reshape(shape)
    if _is_text(dtype):
        return _from_json(dtype, json.loads(stored.tobytes()), shape)
    return stored.astype(dtype, copy=False).reshape(shape)
