"""In which form a version says what the axes of a multiscale are, and where its levels lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from xomezarr.model import Axis
from xomezarr.spec.notes import Notes

__all__ = ["Form", "Placing"]


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


@dataclass(frozen=True, slots=True)
class Form:
    """How a multiscale is read, part by part; what cannot be read is None, and noted.

    Parameters
    ----------
    axes
        Called with the multiscale, its place and the notes: reads the axes.
    levels
        Called with the multiscale, its axes, its place and the notes: reads what there is to read once for all levels,
        and returns what reads where one of them lies, from its dataset and the place of that. None where the store does
        not say where levels lie: each counts its own pixels then.
    keys, level_keys
        Keys of a multiscale, and of a dataset, that are read here: all others are kept as they are.
    """

    axes: Callable[[Given, str, Notes], Axes | None]
    levels: Callable[[Given, Axes | None, str, Notes], Callable[[Given, str], Placing | None]] | None
    keys: frozenset[str]
    level_keys: frozenset[str]
