"""The one shape in which every script here tells what its library read.

A script is called with stores as arguments and prints one JSON object a line, one for each store:
``store``, ``library``, ``version``, and either ``image`` or ``error`` (a traceback, for this store only).
What a library does not tell is null.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import sys
import traceback
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

__all__ = ["axis", "image", "level", "run"]


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


def run(library: str, read: Callable[[str], dict[str, Any]]) -> None:
    """Read each store named on the command line with `read` and print what it told."""
    version = importlib.metadata.version(library)
    for store in sys.argv[1:]:
        told: dict[str, Any] = {"store": store, "library": library, "version": version}
        with contextlib.redirect_stdout(sys.stderr):  # libraries that print must not spoil the JSON
            try:
                told["image"] = read(store)
            except Exception:
                told["error"] = traceback.format_exc()
        print(json.dumps(told), flush=True)
