"""The documents in which Zarr describes groups and arrays, of one format as the other has them: values alone.

The chunks of an array stay as they are wherever the other format can say how they are encoded. What Zarr v3 says here
is of its core, which every reader knows, but for zlib, dates, text and bytes, which have names that zarr gives them.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import struct
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

import numpy as np

from xomezarr.errors import CodecError, DtypeError, MetadataError, OmeZarrError

__all__ = [
    "CONSOLIDATED",
    "DIMENSIONS",
    "ZLIB",
    "alone",
    "array_document",
    "check_readable",
    "chunk_key",
    "chunk_place",
    "chunk_shape",
    "encoded",
    "gathered",
    "group_document",
    "inner_chunks",
    "object_bytes",
    "without_chunks",
]

type Document = Mapping[str, Any]

CONSOLIDATED = ".zmetadata"
"""Where Zarr v2 gathers the documents of a hierarchy."""

DIMENSIONS = "_ARRAY_DIMENSIONS"
"""Attribute by which xarray names the dimensions of an array of Zarr v2."""

MISSING = "_FillValue"
"""Attribute by which xarray says what stands for missing values in Zarr v3; in v2 it takes the fill value for that."""

SHUFFLES = {0: "noshuffle", 1: "shuffle", 2: "bitshuffle"}
"""What blosc does before it compresses: by its number in Zarr v2, by name in v3."""

TEXT = "vlen-utf8"
"""The filter by which Zarr v2 keeps text of any length, and the codec of v3 that does the same."""


ZLIB = "numcodecs.zlib"
"""The codec that zarr has for zlib, which is not of the core of v3."""


def _blosc(given: Document, itemsize: int) -> dict[str, Any]:
    number = given.get("shuffle", 1)
    known = SHUFFLES.get(number) if isinstance(number, int) else None
    return {
        "cname": given.get("cname", "lz4"),
        "clevel": given.get("clevel", 5),
        # -1 leaves it to blosc
        "shuffle": known or ("bitshuffle" if itemsize == 1 else "shuffle"),
        "typesize": itemsize,
        "blocksize": given.get("blocksize", 0),
    }


COMPRESSORS: Mapping[str, tuple[str, Callable[[Document, int], dict[str, Any]]]] = {
    "blosc": ("blosc", _blosc),
    "gzip": ("gzip", lambda given, _: {"level": given.get("level", 1)}),
    "zstd": ("zstd", lambda given, _: {"level": given.get("level", 0), "checksum": bool(given.get("checksum", False))}),
    "zlib": (ZLIB, lambda given, _: {"level": given.get("level", 1)}),
}
"""Codecs of v3, by the name of the compressor of v2 whose chunks they read, and what they are told."""


def encoded(document: Document) -> bytes:
    """Return a document as it is kept."""
    return json.dumps(document, indent=2).encode()


def group_document(attrs: Document, zarr_format: int) -> dict[str, Document]:
    """Return the documents of a group, by name: the one that makes it a group last."""
    if zarr_format == 2:
        return {".zattrs": dict(attrs), ".zgroup": {"zarr_format": 2}}
    return {"zarr.json": {"zarr_format": 3, "node_type": "group", "attributes": dict(attrs)}}


def gathered(
    own: Mapping[str, Document], below: Mapping[str, Mapping[str, Document]], zarr_format: int
) -> dict[str, Document]:
    """Return the documents of a group with those in it that gather all below it, by path; the latter first."""
    if zarr_format == 2:
        each = {"": own, **{f"{path}/": documents for path, documents in below.items()}}
        metadata = {f"{begin}{name}": document for begin, made in each.items() for name, document in made.items()}
        return {CONSOLIDATED: {"zarr_consolidated_format": 1, "metadata": metadata}, **own}
    inline: dict[str, Any] = {"kind": "inline", "must_understand": False, "metadata": {}}
    members = {path: documents["zarr.json"] for path, documents in below.items()}
    told = {
        path: {**member, "consolidated_metadata": inline} if member["node_type"] == "group" else member
        for path, member in members.items()
    }
    return {"zarr.json": {**own["zarr.json"], "consolidated_metadata": {**inline, "metadata": told}}}


def alone(document: Document) -> dict[str, Any]:
    """Return the document of a group without those that are gathered in it."""
    return {key: value for key, value in document.items() if key != "consolidated_metadata"}


def array_document(
    document: Document, attrs: Document, zarr_format: int, dims: Sequence[str] | None = None, *, nested: bool = False
) -> dict[str, Document]:
    """Return the documents of an array of one format as the other has them, by name; its chunks stay as they are.

    Parameters
    ----------
    document
        ``.zarray``, or ``zarr.json``.
    attrs
        Its attributes.
    zarr_format
        Of the new documents. One that the array has already changes nothing.
    dims
        Names of its dimensions. Left out, those that its attributes give.
    nested
        Whether chunks get the keys that v3 has by itself (``c/0/0``), and do not keep their own.

    Raises
    ------
    CodecError
        If the other format does not say how the chunks are encoded; they are to be written anew.
    DtypeError
        If the other format has no such data type.
    MetadataError
        If zarr does not take the document, of which nobody knows then what it means.
    """
    if document["zarr_format"] == zarr_format:
        return _as_it_is(document, attrs, zarr_format)
    check_readable(document)
    if zarr_format == 2:
        raise CodecError("its chunks have keys, and codecs, that Zarr v2 has not")
    data_type, fill_value, big = _data_type(document)
    made = _described(document, attrs, dims, data_type, fill_value)
    key = {"name": "v2", "configuration": {"separator": document.get("dimension_separator", ".")}}
    made |= {
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}} if nested else key,
        "codecs": _codecs(document, big=big),
    }
    return {"zarr.json": made}


def without_chunks(
    document: Document, attrs: Document, zarr_format: int, dims: Sequence[str] | None = None
) -> dict[str, Document]:
    """Return the documents of an array that holds the same, and whose chunks are to be written anew.

    Raises
    ------
    DtypeError
        If the other format has no such data type.
    """
    if zarr_format == 3:
        data_type, fill_value, _ = _data_type(document)
        dtype = np.dtype(document["dtype"])
        made = _described(document, attrs, dims, data_type, fill_value)
        encoding = [{"name": TEXT} if dtype.hasobject else {"name": "bytes", "configuration": {"endian": "little"}}]
        compressor = _default_compressor(dtype)
        made |= {
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "codecs": [*encoding, {"name": "blosc", "configuration": _blosc(compressor, compressor["itemsize"])}],
        }
        return {"zarr.json": made}
    return _as_v2(document, attrs)


def _as_it_is(document: Document, attrs: Document, zarr_format: int) -> dict[str, Document]:
    """Return the documents of an array of the same format."""
    if zarr_format == 3:
        return {"zarr.json": {**document, "attributes": dict(attrs)}}
    return {".zattrs": dict(attrs), ".zarray": dict(document)}


def _described(
    document: Document, attrs: Document, dims: Sequence[str] | None, data_type: Any, fill_value: Any
) -> dict[str, Any]:
    """Return what Zarr v3 says of an array of v2, but for how its chunks are kept."""
    attrs = dict(attrs)
    own = attrs.get(DIMENSIONS)
    if dims is None and own is not None:  # xarray wrote it, and it is no level, of which no pixel is missing
        attrs = _missing(document) | attrs
    names = list(dims) if dims is not None else own if _are_names(own, document) else None
    if own == names:
        attrs.pop(DIMENSIONS, None)
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(document["shape"]),
        "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(document["chunks"])}},
        "fill_value": fill_value,
        "attributes": attrs,
        **({} if names is None else {"dimension_names": names}),
    }


def _missing(document: Document) -> dict[str, Any]:
    """Return the attribute by which xarray keeps, in Zarr v3, the fill value of numbers."""
    kind, value = np.dtype(document["dtype"]).kind, document.get("fill_value")
    if value is None or kind not in "biuf":
        return {}
    return {MISSING: base64.standard_b64encode(struct.pack("<d", float(value))).decode() if kind == "f" else value}


def _fill_value(attrs: Document, kind: str) -> Any:
    """Return what stands for missing values by that attribute, as Zarr v2 has it; None where nothing does."""
    value = attrs.get(MISSING)
    if kind == "f" and isinstance(value, str):
        with suppress(binascii.Error, struct.error):
            value = struct.unpack("<d", base64.standard_b64decode(value))[0]
            return value if np.isfinite(value) else {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}[str(value)]
    return value if kind in "biu" and isinstance(value, int) else None


def _are_names(value: Any, document: Document) -> bool:
    """Whether an attribute names each dimension."""
    return (
        isinstance(value, list)
        and len(value) == len(document["shape"])
        and all(isinstance(name, str) for name in value)
    )


def _data_type(document: Document) -> tuple[Any, Any, bool]:
    """Return the data type and fill value of an array of Zarr v2 as v3 says them, and whether it is big-endian."""
    given = document["dtype"]
    filters = [one.get("id") for one in document.get("filters") or ()]
    is_text = given == "|O" and filters[:1] == [TEXT]
    if not is_text and (not isinstance(given, str) or np.dtype(given).kind not in "biufcmMUS"):
        raise DtypeError(f"its data type, {given!r}, has no counterpart in Zarr v3; remove the array, or write it anew")
    spec: Any = {"name": given, "object_codec_id": TEXT if is_text else None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dates and text are not of the core
        found: Any = import_module("zarr.dtype").data_type_registry.match_json(spec, zarr_format=2)
        fill = document.get("fill_value")
        value = found.default_scalar() if fill is None else found.from_json_scalar(fill, zarr_format=2)
        if is_text and fill == 0:
            value = ""
        return found.to_json(zarr_format=3), found.to_json_scalar(value, zarr_format=3), given.startswith(">")


def _codecs(document: Document, *, big: bool) -> list[dict[str, Any]]:
    """Return the codecs by which Zarr v3 reads the chunks of an array of v2."""
    filters = [one.get("id") for one in document.get("filters") or ()]
    is_text = document["dtype"] == "|O"
    if unknown := [name for name in filters if not (is_text and name == TEXT)]:
        raise CodecError(f"no codec of Zarr v3 is its filter {', '.join(map(repr, unknown))}")
    ndim, turned = len(document["shape"]), document.get("order", "C") == "F"
    if is_text and turned and ndim > 1:
        raise CodecError("no codec of Zarr v3 is its text in Fortran's order")
    codecs: list[dict[str, Any]] = []
    if turned and ndim > 1:
        codecs.append({"name": "transpose", "configuration": {"order": [*reversed(range(ndim))]}})
    itemsize = np.dtype(document["dtype"]).itemsize
    if is_text:
        codecs.append({"name": TEXT})
    else:
        codecs.append({"name": "bytes", "configuration": {"endian": "big" if big else "little"}})
    compressor = document.get("compressor")
    if compressor is None:
        return codecs
    if compressor.get("id") not in COMPRESSORS:
        raise CodecError(f"no codec of the core of Zarr v3 is its compressor {compressor.get('id')!r}")
    name, told = COMPRESSORS[compressor["id"]]
    return [*codecs, {"name": name, "configuration": told(compressor, 1 if is_text else itemsize)}]


def _default_compressor(dtype: np.dtype[Any]) -> dict[str, Any]:
    """Return Blosc with zstd as images are written with it: 16-bit pixels shuffled by bytes, all others by bits."""
    by_bytes = dtype.kind in "iu" and dtype.itemsize == 2
    itemsize = 1 if dtype.hasobject else dtype.itemsize
    return {
        "id": "blosc",
        "cname": "zstd",
        "clevel": 2,
        "shuffle": 1 if by_bytes else 2,
        "blocksize": 0,
        "itemsize": itemsize,
    }


# -- from v3 to v2 --------------------------------------------------------------------------------------------


def _as_v2(document: Document, attrs: Document) -> dict[str, Document]:
    """Return the documents of an array of Zarr v3 in v2, whose chunks are those within its shards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: Any = import_module("zarr.dtype").parse_dtype(document["data_type"], zarr_format=3)
        try:
            spec = found.to_json(zarr_format=2)
            name, text = spec["name"], spec["object_codec_id"]
            fill = found.from_json_scalar(document["fill_value"], zarr_format=3)
            # readers by CF rules take a fill value of 0 for one that is missing
            is_default = repr(fill) == repr(found.default_scalar())  # which tells -0.0 from 0.0
            fill_value = None if is_default else found.to_json_scalar(fill, zarr_format=2)
        except (TypeError, ValueError, NotImplementedError, AttributeError):
            name, text, fill_value = None, None, None
    if not isinstance(name, str) or (name == "|O" and text != TEXT) or name.startswith("|V"):
        raise DtypeError(
            f"its data type, {document['data_type']!r}, has no counterpart in Zarr v2; remove the array, or write it "
            "anew"
        )
    names = document.get("dimension_names") or (None if document["shape"] else [])
    named = {} if names is None or not all(isinstance(one, str) for one in names) else {DIMENSIONS: list(names)}
    missing = _fill_value(attrs, np.dtype(name).kind)
    if missing is not None:  # all chunks are written, so that nothing else is told by it
        fill_value, attrs = missing, {key: value for key, value in attrs.items() if key != MISSING}
    compressor = _default_compressor(np.dtype(name))
    del compressor["itemsize"]
    array = {
        "zarr_format": 2,
        "shape": list(document["shape"]),
        "chunks": [max(1, size) for size in inner_chunks(document)],
        "dtype": name,
        "compressor": compressor,
        "fill_value": fill_value,
        "order": "C",
        "filters": [{"id": TEXT}] if name == "|O" else None,
        "dimension_separator": "/",
    }
    return {".zattrs": {**attrs, **named}, ".zarray": array}


def inner_chunks(document: Document) -> Sequence[int]:
    """Return the shape of a chunk of Zarr v3, of those within a shard where there are shards."""
    for codec in document["codecs"]:
        if isinstance(codec, Mapping) and codec.get("name") == "sharding_indexed":
            return codec["configuration"]["chunk_shape"]  # type: ignore[no-any-return]
    return chunk_shape(document)


# -- chunks ---------------------------------------------------------------------------------------------------


def chunk_shape(document: Document) -> Sequence[int]:
    """Return the shape of what an object holds: a chunk, or a shard.

    Raises
    ------
    MetadataError
        If they differ in shape.
    """
    if document["zarr_format"] == 2:
        return document["chunks"]  # type: ignore[no-any-return]
    grid = document["chunk_grid"]
    if grid.get("name") != "regular":
        raise MetadataError(f"its chunk grid, {grid.get('name')!r}, is not known; write it in chunks of one shape")
    return grid["configuration"]["chunk_shape"]  # type: ignore[no-any-return]


def _keys(document: Document) -> tuple[bool, str]:
    """Return whether keys of chunks begin with ``c``, and what stands between their numbers."""
    if document["zarr_format"] == 2:
        return False, document.get("dimension_separator", ".")
    given = document["chunk_key_encoding"]
    is_v2 = given["name"] == "v2"
    return not is_v2, given.get("configuration", {}).get("separator", "." if is_v2 else "/")


def chunk_key(document: Document) -> Callable[[Sequence[int]], str]:
    """Return what says the key of a chunk, by its place in the grid of chunks.

    >>> key = chunk_key({"zarr_format": 2, "dimension_separator": "/"})
    >>> key((0, 1)), key(())
    ('0/1', '0')
    """
    begins, between = _keys(document)
    if begins:
        return lambda place: between.join(("c", *map(str, place)))
    return lambda place: between.join(map(str, place)) or "0"


def chunk_place(document: Document) -> Callable[[str], tuple[int, ...] | None]:
    """Return what tells the place of a chunk by its key below the array; None of what is no chunk, or nobody knows.

    >>> place = chunk_place({"zarr_format": 2, "shape": [4, 4]})
    >>> [place(key) for key in ("0.1", "0", "0.1.txt", "0.01")]
    [(0, 1), None, None, None]
    """
    try:
        begins, between = _keys(document)
        parts = [*(["c"] if begins else []), *(["(0|[1-9][0-9]*)"] * len(document["shape"]))]
        pattern = re.compile(re.escape(between).join(parts) or "0")
    except (AttributeError, KeyError, TypeError):  # as an encoding of keys that came later may be written
        return lambda key: None

    def place(key: str) -> tuple[int, ...] | None:
        found = pattern.fullmatch(key)
        return None if found is None else tuple(map(int, found.groups()))

    return place


def object_bytes(document: Document) -> int | None:
    """Return how many bytes a chunk, or shard, has before it is compressed; None where nobody knows.

    >>> object_bytes({"zarr_format": 2, "chunks": [1, 1024, 1024], "dtype": "<u2"})
    2097152
    """
    with suppress(AttributeError, KeyError, TypeError, ValueError):
        dtype = np.dtype(document["dtype"] if document["zarr_format"] == 2 else document["data_type"])
        return math.prod(map(int, chunk_shape(document))) * dtype.itemsize
    return None


def check_readable(document: Document, error: type[OmeZarrError] = MetadataError) -> None:
    """Make sure that zarr takes the document of an array.

    Raises
    ------
    MetadataError
        If it does not; or another `error`.
    """
    from zarr.core.metadata import ArrayV2Metadata, ArrayV3Metadata

    kind: Any = ArrayV3Metadata if document["zarr_format"] == 3 else ArrayV2Metadata
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            kind.from_dict(dict(document))
        except Exception as found:  # whatever zarr's parsers meet
            told = f"zarr does not read it as an array of Zarr v{document['zarr_format']} ({found})"
            cure = "" if error is CodecError else "; mend its document, install what it asks for, or remove the array"
            raise error(told + cure) from None
