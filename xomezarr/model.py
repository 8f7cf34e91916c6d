"""What an OME-Zarr image says, whatever version of the format it is written in.

Frozen values without JSON and without arrays: `spec` turns them into JSON and back, `coords` into
xarray coordinates and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xomezarr.grid import Grid

__all__ = ["Axis", "Channel", "Image", "Level", "Multiscale", "Window"]


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of an image.

    Parameters
    ----------
    name
        Name of the axis, which is the name of the dimension.
    type
        ``"space"``, ``"time"``, ``"channel"``, any other string, or None where the store has none.
    unit
        Unit of the axis's coordinates, by the name that OME-Zarr gives it where it has one; None if unknown.
    extra
        Unknown keys of the store, kept as they are.
    """

    name: str
    type: str | None = None
    unit: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution level: where its array is, and where its pixels lie.

    Parameters
    ----------
    path
        Path of the array below the image's group.
    scale, translation
        By axis name, in the axis's unit; group and dataset transforms of the store composed. `translation` is
        the position of the centre of pixel 0.
    extra
        Unknown keys of the store, kept as they are.
    """

    path: str
    scale: Mapping[str, float]
    translation: Mapping[str, float]
    extra: Mapping[str, Any] = field(default_factory=dict)

    def grid(self, sizes: Mapping[str, int]) -> dict[str, Grid]:
        """Return the grid of each axis, given the array's sizes by axis name."""
        return {name: Grid(self.scale[name], self.translation[name], sizes[name]) for name in self.scale}


@dataclass(frozen=True, slots=True)
class Multiscale:
    """A pyramid of levels over the same axes.

    Parameters
    ----------
    name
        Name of the image; None if the store has none.
    axes
        In the order of the arrays' dimensions.
    levels
        Finest first.
    type
        Downsampling method.
    metadata
        What the store says of the method: a JSON object.
    extra
        Unknown keys of the store, kept as they are.
    """

    name: str | None
    axes: tuple[Axis, ...]
    levels: tuple[Level, ...]
    type: str | None = None
    metadata: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dims(self) -> tuple[str, ...]:
        """Axis names in file order."""
        return tuple(axis.name for axis in self.axes)


@dataclass(frozen=True, slots=True)
class Window:
    """The range of a channel's pixel values: `min` to `max` possible, `start` to `end` shown.

    `extra` holds unknown keys of the store, kept as they are.
    """

    min: float
    max: float
    start: float
    end: float
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class Channel:
    """How to name and show one channel.

    Parameters
    ----------
    label
        Name of the channel.
    color
        Six hexadecimal digits, ``"RRGGBB"``.
    window
        Range of pixel values.
    active
        Whether viewers show the channel at first.
    extra
        Unknown keys of the store, kept as they are.
    """

    label: str | None = None
    color: str | None = None
    window: Window | None = None
    active: bool | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Image:
    """All that the metadata of one image group say.

    Parameters
    ----------
    multiscales
        Usually one; readers show the first.
    channels
        One for each index of the channel dimension; None where the store says nothing of rendering.
    version
        Version of OME-Zarr that the metadata were read from, such as ``"0.4"``; None before they are written.
    omero
        Unknown keys beside the channels, such as ``rdefs``, kept as they are.
    extra
        Unknown keys of the group, kept as they are: those beside the OME metadata at the top, those among
        them in a mapping of their own under ``"ome"``, whatever the version that they were read from.
    """

    multiscales: tuple[Multiscale, ...]
    channels: tuple[Channel, ...] | None = None
    version: str | None = None
    omero: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def multiscale(self) -> Multiscale:
        """The first multiscale, which is the one that readers show."""
        return self.multiscales[0]
