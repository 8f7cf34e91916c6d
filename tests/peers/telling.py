"""The one shape in which every script here tells what its library read.

A script is called with stores, each after what it is, as in ``image=PATH`` (or ``labels``, or ``plate``), and prints
one JSON object a line, one for each store that its library knows to read: ``store``, ``library``, ``version``, and
either what was asked for, by that name, or ``error`` (a traceback, for this store only). What a library does not tell
is null.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import sys
import traceback
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

__all__ = [
    "OUT_OF_REACH",
    "axis",
    "field",
    "image",
    "label",
    "labels",
    "level",
    "out_of_reach",
    "placed",
    "plate",
    "run",
]

OUT_OF_REACH = 75
"""How a script ends whose library cannot be had here (EX_TEMPFAIL)."""


def out_of_reach(why: str) -> NoReturn:
    """End the script, as its library cannot be had here."""
    print(why, file=sys.stderr, flush=True)
    os._exit(OUT_OF_REACH)


def axis(name: str, type: Any = None, unit: Any = None) -> dict[str, str | None]:
    """Return one axis; enumerations and unit objects become their names."""
    return {
        "name": name,
        "type": None if type is None else str(getattr(type, "value", type)),
        "unit": None if unit is None else str(getattr(unit, "value", unit)),
    }


def level(
    pixels: Any, scale: Mapping[str, float | None] | None = None, translation: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Return one level: its shape, dtype, grid and the CRC-32 of its pixels (little-endian, C order)."""
    array = np.asarray(pixels)
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return {
        "shape": list(array.shape),
        "dtype": array.dtype.name,
        "scale": None if scale is None else {d: float(v) for d, v in scale.items() if v is not None},
        "translation": None if translation is None else {d: float(v) for d, v in translation.items()},
        "checksum": zlib.crc32(little.tobytes()),
    }


def placed(pixels: Any, names: Sequence[str], transforms: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Return one level whose grid is told by the transforms of its metadata, by type; no translation is one of zero."""
    given = {"translation": [0.0] * len(names), **transforms}
    grid = {kind: dict(zip(names, given[kind], strict=True)) for kind in ("scale", "translation")}
    return level(pixels, grid["scale"], grid["translation"])


def image(
    levels: Iterable[dict[str, Any]],
    axes: Iterable[dict[str, str | None]] | None = None,
    channels: Iterable[Any] | None = None,
    name: str | None = None,
    complaints: Iterable[Any] = (),
) -> dict[str, Any]:
    """Return one image; ``complaints`` are what the library's own validator finds to say."""
    return {
        "levels": list(levels),
        "axes": None if axes is None else list(axes),
        "channels": None if channels is None else [str(channel) for channel in channels],
        "name": name,
        "complaints": [str(complaint) for complaint in complaints],
    }


def label(
    image: Mapping[str, Any],
    colors: Mapping[int, Sequence[int]] | None = None,
    properties: Mapping[int, Mapping[str, Any]] | None = None,
    source: str | None = None,
) -> dict[str, Any]:
    """Return one image of labels: the image, colours (0 to 255) and properties by label value, and the source."""
    return {
        **image,
        "colors": None if colors is None else {str(value): [int(part) for part in colors[value]] for value in colors},
        "properties": None
        if properties is None
        else {str(value): {name: plain(cell) for name, cell in row.items()} for value, row in properties.items()},
        "source": source,
    }


def labels(found: Mapping[str, dict[str, Any]], complaints: Iterable[Any] = ()) -> dict[str, Any]:
    """Return the labels of one image by name, in the order in which the library has them."""
    return {
        "names": list(found),
        "labels": dict(found),
        "complaints": [str(complaint) for complaint in complaints],
    }


def field(
    image: Mapping[str, Any], labels: Mapping[str, Any] | None = None, acquisition: int | None = None
) -> dict[str, Any]:
    """Return one field of a well: its image, the labels of this, and the id of the run that took it."""
    return {"image": image, "labels": labels, "acquisition": acquisition}


def plate(
    definition: Mapping[str, Any], fields: Mapping[str, Mapping[str, Any]], complaints: Iterable[Any] = ()
) -> dict[str, Any]:
    """Return one plate: what the library has under the keys of the specification, and fields by path of the well."""
    known = ("id", "name", "description", "maximumfieldcount", "starttime", "endtime")
    runs = definition.get("acquisitions")
    return {
        "name": definition.get("name"),
        "rows": [row["name"] for row in definition["rows"]],
        "columns": [column["name"] for column in definition["columns"]],
        "field_count": definition.get("field_count"),
        "acquisitions": None if runs is None else [{key: run.get(key) for key in known} for run in runs],
        "wells": {
            well["path"]: {"row": well["rowIndex"], "column": well["columnIndex"], "fields": fields[well["path"]]}
            for well in definition["wells"]
        },
        "complaints": [str(complaint) for complaint in complaints],
    }


def plain(value: Any) -> Any:
    """Return a value of NumPy as Python's."""
    return value.item() if isinstance(value, np.generic) else value


def run(library: str, version: str | None = None, **readers: Callable[[str], dict[str, Any]]) -> None:
    """Read each store named on the command line with the reader for what it is, and print what it told."""
    version = version or importlib.metadata.version(library)
    for argument in sys.argv[1:]:
        what, _, store = argument.partition("=")
        if what not in readers:
            continue
        told: dict[str, Any] = {"store": store, "library": library, "version": version}
        with contextlib.redirect_stdout(sys.stderr):  # libraries that print must not spoil the JSON
            try:
                told[what] = readers[what](store)
            except Exception:
                told["error"] = traceback.format_exc()
        print(json.dumps(told), flush=True)
