"""In which form a version says what the axes of a multiscale are, and where its levels lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from xomezarr.model import Axis, Level, Multiscale, Systems
from xomezarr.spec.notes import Notes

__all__ = ["Form", "Placing", "alone"]


@dataclass(frozen=True, slots=True)
class Placing:
    """Where pixels lie, axis by axis: ``scale * index + translation``."""

    scale: tuple[float, ...]
    translation: tuple[float, ...]

    @classmethod
    def identity(cls, ndim: int) -> Placing:
        """Leave every index where it is."""
        return cls((1.0,) * ndim, (0.0,) * ndim)

    def then(self, outer: Placing) -> Placing:
        """Apply `self` first, then `outer`: ``s_outer * (s * index + t) + t_outer``.

        >>> Placing((0.5,), (3.0,)).then(Placing((10.0,), (1.0,)))
        Placing(scale=(5.0,), translation=(31.0,))
        """
        scaled = tuple(k * s for k, s in zip(outer.scale, self.scale, strict=True))
        moved = tuple(k * t + v for k, t, v in zip(outer.scale, self.translation, outer.translation, strict=True))
        return Placing(scaled, moved)


type Axes = tuple[Axis, ...]
type Given = Mapping[str, Any]


def alone(read: Callable[[Given, str, Notes], Axes | None]) -> Callable[[Given, str, Notes], tuple[Axes | None, None]]:
    """Return what reads axes, and no coordinate systems."""
    return lambda raw, where, notes: (read(raw, where, notes), None)


@dataclass(frozen=True, slots=True)
class Form:
    """How a multiscale is read, part by part; what cannot be read is None, and noted.

    Parameters
    ----------
    axes
        Called with the multiscale, its place and the notes: reads the axes, and the coordinate systems, None where
        there are none.
    levels
        Called with the multiscale, its axes, its place and the notes: reads what there is to read once for all levels,
        and returns what reads where one of them lies, from its dataset and the place of that. None where the store does
        not say where levels lie: each counts its own pixels then.
    check
        Called with the multiscale as it is in the store and as it was read, its place and the notes: notes what else is
        wrong. None where nothing can be.
    keys, level_keys
        Keys of a multiscale, and of a dataset, that are read here: all others are kept as they are.
    level_kept
        Called with a dataset, and where its level lies: returns what is kept as it is of keys that are read here, as
        `extra` of the level holds it. None where that is nothing.
    dump
        Called with a multiscale: returns the keys that say what axes there are. None where none is written.
    dump_place
        Called with a level and its multiscale: returns the transformations that say where it lies.
    """

    axes: Callable[[Given, str, Notes], tuple[Axes | None, Systems | None]]
    levels: Callable[[Given, Axes | None, str, Notes], Callable[[Given, str], Placing | None]] | None
    keys: frozenset[str]
    level_keys: frozenset[str]
    check: Callable[[Given, Multiscale, str, Notes], None] | None = None
    level_kept: Callable[[Given, Placing], dict[str, Any]] | None = None
    dump: Callable[[Multiscale], dict[str, Any]] | None = None
    dump_place: Callable[[Level, Multiscale], list[dict[str, Any]]] | None = None
