"""What OME-Zarr says of images, labels, plates and collections, whatever version of the format it is written in.

Frozen values without JSON and without arrays: `spec` turns them into JSON and back, `coords` into
xarray coordinates and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from xomezarr.grid import Grid

__all__ = [
    "Acquisition",
    "Axis",
    "Channel",
    "CoordinateSystem",
    "Field",
    "Image",
    "LabelColor",
    "LabelImage",
    "LabelRow",
    "Level",
    "Link",
    "Multiscale",
    "Plate",
    "PlateLine",
    "PlateWell",
    "Scene",
    "SystemName",
    "Systems",
    "Well",
    "Window",
]


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
    orientation
        Which way an axis of space runs through a body as its coordinates grow, such as ``"left-to-right"``, one of
        `orientation.ORIENTATIONS`; None if unknown.
    extra
        Unknown keys of the store, kept as they are.
    """

    name: str
    type: str | None = None
    unit: str | None = None
    orientation: str | None = None
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
        Unknown keys of the store, kept as they are; from 0.6 on also how the store says where the level lies, where
        xomezarr says it otherwise.
    """

    path: str
    scale: Mapping[str, float]
    translation: Mapping[str, float]
    extra: Mapping[str, Any] = field(default_factory=dict)

    def grid(self, sizes: Mapping[str, int]) -> dict[str, Grid]:
        """Return the grid of each axis, given the array's sizes by axis name."""
        return {name: Grid(self.scale[name], self.translation[name], sizes[name]) for name in self.scale}


@dataclass(frozen=True, slots=True)
class CoordinateSystem:
    """Axes by which points are told, under a name.

    `extra` holds unknown keys of the store, kept as they are.
    """

    name: str
    axes: tuple[Axis, ...]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class Systems:
    """The coordinate systems of an image, which has them from 0.6 on.

    Parameters
    ----------
    name
        Of that in which the levels lie; its axes are those of the image.
    others
        All others, in their order.
    transforms
        What leads from the first to others, as the store says it.
    extra
        Unknown keys of the first.
    before
        How many of the others are listed before it.
    """

    name: str
    others: tuple[CoordinateSystem, ...] = ()
    transforms: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    before: int = 0


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
    placed
        Whether the store says where the pixels of its levels lie, as it does from 0.4 on. Where it does not, each level
        counts its own pixels, with scale 1 and translation 0, until their sizes are known (`extents`).
    systems
        Its coordinate systems; None where the store names none, as up to 0.5.
    """

    name: str | None
    axes: tuple[Axis, ...]
    levels: tuple[Level, ...]
    type: str | None = None
    metadata: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    placed: bool = True
    systems: Systems | None = None

    @property
    def dims(self) -> tuple[str, ...]:
        """Axis names in file order."""
        return tuple(axis.name for axis in self.axes)

    @property
    def other_systems(self) -> tuple[str, ...]:
        """Names of the coordinate systems beside that of its levels."""
        return () if self.systems is None else tuple(system.name for system in self.systems.others)


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
class LabelColor:
    """How one label is shown.

    Parameters
    ----------
    value
        The label: a pixel value.
    rgba
        Red, green, blue and opacity, each from 0 to 255; None where the store says none.
    extra
        Unknown keys of the store, kept as they are.
    """

    value: int
    rgba: tuple[int, int, int, int] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class LabelRow:
    """What is known of one label.

    Parameters
    ----------
    value
        The label: a pixel value.
    properties
        By name; any JSON.
    """

    value: int
    properties: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class LabelImage:
    """What makes an image one of labels.

    Parameters
    ----------
    colors
        In the order of the store; of several for one label the last counts. None where the store says none.
    rows
        Properties of the labels, in the order of the store; None where the store says none.
    source
        Path from the label's group to the image that it labels, ``"../../"`` as a rule; None where the store says none.
    source_extra
        Unknown keys beside it.
    extra
        Unknown keys of the store, kept as they are.
    """

    colors: tuple[LabelColor, ...] | None = None
    rows: tuple[LabelRow, ...] | None = None
    source: str | None = None
    source_extra: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)


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
    label
        What makes it an image of labels; None for any other image.
    """

    multiscales: tuple[Multiscale, ...]
    channels: tuple[Channel, ...] | None = None
    version: str | None = None
    omero: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    label: LabelImage | None = None

    @property
    def multiscale(self) -> Multiscale:
        """The first multiscale, which is the one that readers show."""
        return self.multiscales[0]

    def shared(self) -> Image:
        """Return what images have in common that were made in one way: axes, levels, method, and how channels look.

        Names, other coordinate systems, and all that other tools say are those of one image alone.
        """
        first = self.multiscale
        multiscale = Multiscale(
            None,
            tuple(replace(axis, extra={}) for axis in first.axes),
            tuple(Level(level.path, level.scale, level.translation) for level in first.levels),
            first.type,
            placed=first.placed,
            systems=first.systems and Systems(first.systems.name),
        )
        channels = self.channels and tuple(
            replace(channel, window=channel.window and replace(channel.window, extra={}), extra={})
            for channel in self.channels
        )
        return Image((multiscale,), channels, self.version, label=self.label and LabelImage())


@dataclass(frozen=True, slots=True)
class PlateLine:
    """A row or a column of a plate.

    Parameters
    ----------
    name
        Letters and digits, such as ``"A"`` or ``"12"``.
    extra
        Unknown keys of the store, kept as they are.
    """

    name: str
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class PlateWell:
    """Where a well is: in the store and on the plate.

    Parameters
    ----------
    path
        Of the well's group below the plate's: the names of its row and its column, as in ``"A/12"``.
    row_index, column_index
        Places of these among the plate's rows and columns, counted from 0; -1 where nothing tells.
    extra
        Unknown keys of the store, kept as they are.
    """

    path: str
    row_index: int
    column_index: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class Acquisition:
    """One run over a plate.

    Parameters
    ----------
    id
        Unique within the plate, 0 or more.
    name, description
        For people; None where the store says none.
    maximum_field_count
        Fields of a well that the run took at most; None where the store says none.
    start_time, end_time
        Integers; None where the store says none.
    extra
        Unknown keys of the store, kept as they are.
    """

    id: int
    name: str | None = None
    description: str | None = None
    maximum_field_count: int | None = None
    start_time: int | None = None
    end_time: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class Plate:
    """All that the metadata of a plate's group say.

    Parameters
    ----------
    rows, columns
        In their order on the plate.
    wells
        Those that hold images.
    name
        None where the store says none.
    acquisitions
        None where the store says none.
    field_count
        Fields of a well at most; None where the store says none.
    version
        Version of OME-Zarr that the metadata were read from; None before they are written.
    other
        Unknown keys beside these, kept as they are.
    extra
        Unknown keys of the group, as in `Image`.
    """

    rows: tuple[PlateLine, ...]
    columns: tuple[PlateLine, ...]
    wells: tuple[PlateWell, ...]
    name: str | None = None
    acquisitions: tuple[Acquisition, ...] | None = None
    field_count: int | None = None
    version: str | None = None
    other: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of view of a well: an image.

    Parameters
    ----------
    path
        Of the image's group below the well's: letters and digits.
    acquisition
        Id of the run that took it; None where the store says none.
    extra
        Unknown keys of the store, kept as they are.
    """

    path: str
    acquisition: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class Well:
    """All that the metadata of a well's group say.

    Parameters
    ----------
    fields
        Its images, in the order of the store.
    version
        Version of OME-Zarr that the metadata were read from; None before they are written.
    other
        Unknown keys beside these, kept as they are.
    extra
        Unknown keys of the group, as in `Image`.
    """

    fields: tuple[Field, ...]
    version: str | None = None
    other: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class SystemName:
    """By what a scene names a coordinate system.

    Parameters
    ----------
    name
        Of the system.
    path
        Of the image that has it, below the scene's group; empty for a system of the scene's own.
    """

    name: str
    path: str = ""

    def __str__(self) -> str:
        return f"{self.name!r} of {self.path!r}" if self.path else repr(self.name)


@dataclass(frozen=True, slots=True)
class Link:
    """What leads from one coordinate system of a scene to another.

    Parameters
    ----------
    source, target
        Where it leads from, and where to.
    transform
        The transformation as the store says it, without these two: how many axes it leads from is known by the images
        alone.
    """

    source: SystemName
    target: SystemName
    transform: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Scene:
    """All that the metadata of a scene's group say: how images lie to each other.

    Parameters
    ----------
    links
        In the order of the store.
    systems
        Coordinate systems of its own, beside those of its images; None where the store lists none.
    version
        Version of OME-Zarr that the metadata were read from; None before they are written.
    other
        Unknown keys beside these, kept as they are.
    extra
        Unknown keys of the group, as in `Image`.
    """

    links: tuple[Link, ...]
    systems: tuple[CoordinateSystem, ...] | None = None
    version: str | None = None
    other: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of its images below its group, in the order in which they are named."""
        ends = (end for link in self.links for end in (link.source, link.target))
        return tuple(dict.fromkeys(end.path for end in ends if end.path))
