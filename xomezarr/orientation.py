"""Which way the axes of a body run: the vocabulary of OME-Zarr's RFC-4, by its lines."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ANATOMICAL", "LINE_OF", "ORIENTATIONS"]

ANATOMICAL = "anatomical"
"""The type of orientation that is known here; there may be others."""

_ENDS = (
    ("left", "right"),
    ("anterior", "posterior"),
    ("inferior", "superior"),
    ("dorsal", "ventral"),
    ("dorsal", "palmar"),
    ("dorsal", "plantar"),
    ("rostral", "caudal"),
    ("cranial", "caudal"),
    ("proximal", "distal"),
)

LINE_OF: Mapping[str, tuple[str, str]] = {
    f"{first}-to-{last}": line for line in _ENDS for first, last in (line, line[::-1])
}
"""The line along which each orientation runs, one way or the other."""

ORIENTATIONS: tuple[str, ...] = tuple(LINE_OF)
"""The vocabulary."""
