"""OME-XML of images: pixel sizes and channels, read from it and written to it.

It lies in OME-TIFF files, and beside the images of a collection. It is read by the standard library, for OME-TIFF and
collections alike: that is a hundred times as fast as ome-types, and asks for no package. ome-types writes it, so that
it keeps to its schema (2016-06).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from xml.etree import ElementTree

import numpy as np

from xomezarr.errors import MetadataError, MissingDependencyError
from xomezarr.model import Axis, Channel, Image, Level
from xomezarr.units import SYMBOLS, ome_unit

__all__ = [
    "NOT_PHYSICAL",
    "PIXEL_TYPES",
    "Calibration",
    "Series",
    "XmlImage",
    "beyond",
    "complete",
    "complete_labels",
    "differing",
    "dump",
    "images_of",
    "is_of_dtype",
    "is_size",
    "is_true_of",
    "knows",
    "lacks",
    "may_count",
    "number",
    "parse",
    "read_image",
    "required",
    "root_of",
    "unusable",
]

NOT_PHYSICAL = frozenset({"", "pixel", "pixels", "reference frame", "reference_frame"})
"""What OME-XML and ImageJ write for a unit where they know none."""

UNKNOWN_UNIT = "reference frame"
"""Unit of a pixel size whose unit OME-XML does not have: left out, it would be µm."""

SIZES: Mapping[str, tuple[str, str]] = {
    "x": ("PhysicalSizeX", "µm"),
    "y": ("PhysicalSizeY", "µm"),
    "z": ("PhysicalSizeZ", "µm"),
    "t": ("TimeIncrement", "s"),
}
"""Where OME-XML says the distance of pixels, and in which unit unless it names one."""

LETTERS = "tczyx"
"""The dimensions of OME-XML in the order of OME-Zarr; as its own order is the fastest first, XYZCT."""

PIXEL_TYPES: Mapping[str, str] = {
    "bool": "bit",
    "int8": "int8",
    "int16": "int16",
    "int32": "int32",
    "uint8": "uint8",
    "uint16": "uint16",
    "uint32": "uint32",
    "float32": "float",
    "float64": "double",
    "complex64": "complex",
    "complex128": "double-complex",
}
"""What OME-XML calls the dtypes that it has."""

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML can hold."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a file says of its pixels, by dimension.

    Parameters
    ----------
    scale
        Distance of neighbouring pixel centres.
    units
        Units, as the file spells them.
    channels
        One for each index of the channel dimension; empty if the file says nothing.
    name
        Name of the image.
    """

    scale: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    channels: tuple[Channel, ...] = ()
    name: str | None = None


@dataclass(frozen=True, slots=True)
class XmlImage:
    """An ``Image`` of OME-XML.

    Parameters
    ----------
    said
        What it says of its pixels, by the dimensions ``t``, ``c``, ``z``, ``y`` and ``x``.
    sizes
        Number of pixels by dimension, as far as it says them.
    unusable
        Attributes that are to say the distance of pixels and do not, by dimension: what stands there.
    type
        What it calls the dtype of its pixels; None where it says nothing.
    """

    said: Calibration
    sizes: Mapping[str, int]
    unusable: Mapping[str, str] = field(default_factory=dict)
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """An image of which OME-XML is written.

    Parameters
    ----------
    name
        What it is called there.
    image
        Its OME metadata, channels complete.
    sizes
        Number of pixels of level 0, by axis name.
    dtype
        Of its pixels.
    before
        What OME-XML said of it when it was read. Its name there, which may be the only one that it has, and the
        distances along dimensions that it lacks are written again.
    """

    name: str
    image: Image
    sizes: Mapping[str, int]
    dtype: np.dtype[Any]
    before: XmlImage | None = None


# -- reading -----------------------------------------------------------------------------------------------


def root_of(text: str | bytes) -> ElementTree.Element:
    """Return the root of OME-XML, of whatever version of its schema.

    Raises
    ------
    ValueError
        If it is no XML, or another; with what is wrong.
    """
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # LookupError: an encoding that is not known
        raise ValueError(f"it is no XML ({error})") from error
    if (name := root.tag.rpartition("}")[2]) != "OME":
        raise ValueError(f"its root is {name!r}, not OME")
    return root


def parse(text: str | bytes) -> tuple[XmlImage, ...]:
    """Read the images that OME-XML describes, of whatever version of its schema, in their order.

    Raises
    ------
    MetadataError
        If it is none.
    """
    return images_of(_root(text))


def images_of(root: ElementTree.Element) -> tuple[XmlImage, ...]:
    """Return the images that OME-XML describes, by its root."""
    found = [(element, element.find("{*}Pixels")) for element in root.findall("{*}Image")]
    return tuple(read_image(element, pixels) for element, pixels in found if pixels is not None)


def _root(text: str | bytes) -> ElementTree.Element:
    try:
        return root_of(text)
    except ValueError as error:
        raise MetadataError(f"the OME-XML cannot be read, as {error}; write it again") from error


def read_image(element: ElementTree.Element, pixels: ElementTree.Element) -> XmlImage:
    """Read sizes, Type, PhysicalSize, TimeIncrement and Channel of an image (2016-06; units default to µm and s)."""
    scale: dict[str, float] = {}
    units: dict[str, str] = {}
    unusable: dict[str, str] = {}
    for dim, (attribute, default) in SIZES.items():
        there = pixels.get(attribute)
        size = number(there)
        # single times are often said to be 0 s apart
        if there is not None and not is_size(size) and not (dim == "t" and size == 0):
            unusable[dim] = f"{attribute}={there!r}"
        if size is not None:
            scale[dim] = size
            unit = pixels.get(f"{attribute}Unit", default)
            if unit not in NOT_PHYSICAL:
                units[dim] = unit
    sizes = {dim: number(pixels.get(f"Size{dim.upper()}")) for dim in LETTERS}
    return XmlImage(
        Calibration(scale, units, _channels(pixels), element.get("Name")),
        {dim: int(size) for dim, size in sizes.items() if size is not None and np.isfinite(size)},
        unusable,
        pixels.get("Type"),
    )


def _channels(pixels: ElementTree.Element) -> tuple[Channel, ...]:
    """Read names and colours; a channel without a name among named ones goes by its ID."""
    elements = pixels.findall("{*}Channel")
    named = any(element.get("Name") for element in elements)
    if not named and not any(element.get("Color") for element in elements):
        return ()
    return tuple(
        Channel(
            (element.get("Name") or element.get("ID") or f"channel {index}") if named else None,
            _color(element.get("Color")),
        )
        for index, element in enumerate(elements)
    )


def _color(color: str | None) -> str | None:
    """Turn OME-XML's signed 32-bit RGBA into six hexadecimal digits.

    >>> _color("-16776961"), _color("16711935")
    ('FF0000', '00FF00')
    """
    try:
        return None if color is None else f"{(int(color) & 0xFFFFFFFF) >> 8:06X}"
    except ValueError:
        return None


def number(text: object) -> float | None:
    """Return a number that stands in a file; None where it is none."""
    try:
        return float(text) if text is not None else None  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def is_size(size: float | None) -> bool:
    """Whether a number is the distance of pixels: finite, and above zero."""
    return size is not None and 0 < size < np.inf


# -- what an image lacks -----------------------------------------------------------------------------------


def lacks(image: Image) -> bool:
    """Whether an image says nothing of the size of its pixels, along a dimension of space, or of its channels."""
    multiscale = image.multiscale
    sized = (_says_nothing(axis, multiscale.levels[0]) for axis in multiscale.axes if axis.type == "space")
    return any(sized) or (image.channels is None and any(axis.type == "channel" for axis in multiscale.axes))


def may_count(image: Image) -> bool:
    """Whether an image is one of labels that may count the pixels of their image, along any dimension."""
    return image.label is not None and any(
        axis.unit is None and axis.type in ("space", "time") for axis in image.multiscale.axes
    )


def _says_nothing(axis: Axis, level: Level) -> bool:
    """Whether an axis counts pixels, by all that the store says."""
    return axis.unit is None and level.scale[axis.name] == 1


def _counts(axis: Axis, level: Level) -> bool:
    """Whether an axis has pixels of a size, and counts them."""
    return axis.type in ("space", "time") and _says_nothing(axis, level)


def complete(image: Image, sizes: Mapping[str, int], known: XmlImage) -> Image:
    """Return an image with pixel sizes and channels from OME-XML where its own metadata say nothing of them.

    An axis without a unit and with scale 1 counts pixels: all its levels are multiplied by the size of one. What the
    image says of an axis, or of any channel, stays.

    Parameters
    ----------
    image
        The image.
    sizes
        Number of pixels of its level 0, by axis name.
    known
        What OME-XML says of it.
    """
    multiscale, said = image.multiscale, known.said
    dims = letters(multiscale.axes)
    taken: dict[str, tuple[float, str | None]] = {}
    for axis in multiscale.axes:
        size = said.scale.get(dims.get(axis.name, ""))
        if size is not None and is_size(size) and _counts(axis, multiscale.levels[0]):
            unit = said.units.get(dims[axis.name])
            taken[axis.name] = size, None if unit is None else ome_unit(unit) or unit
    counted = next((axis.name for axis in multiscale.axes if axis.type == "channel"), None)
    if image.channels is None and counted is not None and len(said.channels) == sizes[counted]:
        image = replace(image, channels=said.channels)
    return _calibrated(image, taken)


def unusable(image: Image, known: XmlImage) -> list[str]:
    """Return what OME-XML says of the pixel sizes that an image lacks, and cannot be used."""
    multiscale = image.multiscale
    dims = letters(multiscale.axes)
    counting = [dims.get(axis.name, "") for axis in multiscale.axes if _counts(axis, multiscale.levels[0])]
    return [known.unusable[dim] for dim in counting if dim in known.unusable]


def complete_labels(
    labels: Image, sizes: Mapping[str, int], image: Image, image_sizes: Mapping[str, int], completed: Image
) -> Image:
    """Return labels with the pixel sizes and units that their image has from OME-XML, where they count its pixels.

    An axis of labels without a unit counts the pixels of the image if it has scale 1, or spans as many of them as there
    are: each pixel of coarser labels stands for several.

    Parameters
    ----------
    labels
        The image of labels.
    sizes
        Number of pixels of its level 0, by axis name.
    image, image_sizes
        Those of the image, as its own metadata say.
    completed
        The image as `complete` returned it.
    """
    before, after = (
        {axis.name: (one.multiscale.levels[0].scale[axis.name], axis.unit) for axis in one.multiscale.axes}
        for one in (image, completed)
    )
    taken: dict[str, tuple[float, str | None]] = {}
    for axis in labels.multiscale.axes:
        name, scale = axis.name, labels.multiscale.levels[0].scale[axis.name]
        if axis.unit is not None or name not in before or before[name] == after[name]:
            continue
        if scale == 1 or abs(scale * sizes[name] - image_sizes[name]) < scale:
            taken[name] = after[name]
    return _calibrated(labels, taken)


def _calibrated(image: Image, taken: Mapping[str, tuple[float, str | None]]) -> Image:
    """Return an image that counts pixels with their size and unit, by axis name; the same where there are none."""
    if not taken:
        return image
    multiscale = image.multiscale
    axes = tuple(replace(axis, unit=taken[axis.name][1]) if axis.name in taken else axis for axis in multiscale.axes)
    levels = tuple(_resized(level, {name: size for name, (size, _) in taken.items()}) for level in multiscale.levels)
    return replace(image, multiscales=(replace(multiscale, axes=axes, levels=levels), *image.multiscales[1:]))


def _resized(level: Level, sizes: Mapping[str, float]) -> Level:
    """Multiply where the pixels of a level lie."""
    scale, translation = (
        {name: value * sizes.get(name, 1) for name, value in said.items()} for said in (level.scale, level.translation)
    )
    return replace(level, scale=scale, translation=translation)


def differing(axes: Sequence[Axis], sizes: Mapping[str, int], known: XmlImage) -> dict[str, tuple[int, int]]:
    """Return the dimensions in which an image has another number of pixels than OME-XML says: its own, and that."""
    dims = {letter: name for name, letter in letters(axes).items()}
    own = {letter: sizes[dims[letter]] if letter in dims else 1 for letter in known.sizes}
    return {letter: (own[letter], size) for letter, size in known.sizes.items() if own[letter] != size}


def is_of_dtype(known: XmlImage, dtype: np.dtype[Any]) -> bool:
    """Whether what OME-XML says of the pixels of an image, if it says anything, is what it calls a dtype."""
    return known.type in (None, PIXEL_TYPES.get(dtype.name))


def letters(axes: Sequence[Axis]) -> dict[str, str]:
    """Return what OME-XML calls axes: by their names, else those of space by their order, and any others by their type.

    >>> letters([Axis("view", "custom"), Axis("row", "space"), Axis("col", "space")])
    {'view': 'c', 'row': 'y', 'col': 'x'}
    """
    spatial = [axis.name for axis in axes if axis.type == "space"]
    if {name.lower() for name in spatial} <= {"z", "y", "x"}:
        found = {name: name.lower() for name in spatial}
    else:
        found = dict(zip(spatial[-3:], "zyx"[-len(spatial[-3:]) :], strict=True))
    others = {axis.name: "t" if axis.type == "time" else "c" for axis in axes if axis.type != "space"}
    return others | found


# -- writing -----------------------------------------------------------------------------------------------


def required() -> None:
    """Make sure that OME-XML can be written.

    Raises
    ------
    MissingDependencyError
        If ome-types is not installed.
    """
    try:
        import ome_types  # noqa: F401 - whether it is there
    except ImportError as error:
        raise MissingDependencyError(
            'OME-XML is written by ome-types, which is not installed; install it: pip install "xomezarr[io]"'
        ) from error


def knows(dtype: np.dtype[Any]) -> bool:
    """Whether OME-XML has a name for a dtype."""
    return dtype.name in PIXEL_TYPES


def dump(series: Sequence[Series]) -> str:
    """Write OME-XML that describes images, in their order, and holds no pixels.

    Parameters
    ----------
    series
        The images, of dtypes that `knows` says are known.
    """
    from ome_types import OME, to_xml

    document = OME.model_validate({"images": [_dump_image(index, one) for index, one in enumerate(series)]})
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + to_xml(document)


def is_true_of(known: XmlImage, series: Series) -> bool:
    """Whether what OME-XML says of an image is what would be written of it, names of images aside."""
    axes, said = series.image.multiscale.axes, known.said
    if differing(axes, series.sizes, known) or not is_of_dtype(known, series.dtype):
        return False
    level, channels = series.image.multiscale.levels[0], series.image.channels
    for axis in axes:
        dim = letters(axes)[axis.name]
        unit = said.units.get(dim)
        other_size = is_size(said.scale.get(dim)) and not math.isclose(said.scale[dim], level.scale[axis.name])
        if other_size or (unit is not None and (ome_unit(unit) or unit) != axis.unit):
            return False
    if not said.channels or channels is None:
        return True
    names = [one.label for one in said.channels], [one.label and as_text(one.label) for one in channels]
    colors = [one.color for one in said.channels], [one.color and one.color.upper() for one in channels]
    return all(
        len(known) == len(own) and all(one in (None, other) for one, other in zip(known, own, strict=True))
        for known, own in (names, colors)
    )


WRITTEN: Mapping[str, frozenset[str]] = {
    "OME": frozenset({"Creator", "UUID", "schemaLocation"}),
    "Image": frozenset({"ID", "Name"}),
    "Pixels": frozenset(
        {"ID", "DimensionOrder", "Type", "BigEndian", "Interleaved"}
        | {f"Size{dim.upper()}" for dim in LETTERS}
        | {key for size, _ in SIZES.values() for key in (size, f"{size}Unit")}
    ),
    "Channel": frozenset({"ID", "Name", "Color", "SamplesPerPixel"}),
    "MetadataOnly": frozenset(),
}
"""The elements that are written of images, or that say how pixels lay in a file, and their attributes."""


def beyond(text: str | bytes) -> list[str]:
    """Return what OME-XML says that is not written of images: elements, and attributes of those that are.

    Raises
    ------
    MetadataError
        If it is none.
    """
    found: dict[str, None] = {}
    for element in _root(text).iter():
        name = str(element.tag).rpartition("}")[2]
        if name not in WRITTEN:
            found[name] = None
            continue
        own = (key.rpartition("}")[2] for key in element.attrib)
        found |= dict.fromkeys(f"{name}/@{key}" for key in own if key not in WRITTEN[name])
    return list(found)


def _dump_image(index: int, series: Series) -> dict[str, Any]:
    """Describe an image as ome-types takes it."""
    multiscale = series.image.multiscale
    dims = letters(multiscale.axes)
    sizes = dict.fromkeys(LETTERS, 1) | {dims[name]: size for name, size in series.sizes.items()}
    channels = series.image.channels or (Channel(),) * sizes["c"]
    pixels: dict[str, Any] = {
        "id": f"Pixels:{index}",
        "dimension_order": LETTERS[::-1].upper(),
        "type": PIXEL_TYPES[series.dtype.name],
        **{f"size_{dim}": size for dim, size in sizes.items()},
        "channels": [_dump_channel(f"Channel:{index}:{place}", channel) for place, channel in enumerate(channels)],
        "metadata_only": {},
    }
    for axis in multiscale.axes:
        pixels |= _dump_size(dims[axis.name], multiscale.levels[0].scale[axis.name], axis.unit)
    said = Calibration() if series.before is None else series.before.said
    for dim, scale in said.scale.items():
        if dim not in dims.values() and is_size(scale):
            pixels |= _dump_size(dim, scale, ome_unit(said.units.get(dim, "")))
    return {"id": f"Image:{index}", "name": as_text(said.name or series.name), "pixels": pixels}


def _dump_channel(key: str, channel: Channel) -> dict[str, Any]:
    name, color = channel.label, channel.color
    said = {"name": None if name is None else as_text(name), "color": None if color is None else f"#{color}"}
    return {"id": key, "samples_per_pixel": 1, **{what: value for what, value in said.items() if value is not None}}


def _dump_size(dim: str, scale: float, unit: str | None) -> dict[str, Any]:
    """Say how far pixels are apart, by what ome-types calls it; nothing where nothing is known."""
    symbol = SYMBOLS.get(unit or "")
    if dim not in SIZES or (unit is None and scale == 1) or (dim == "t" and symbol is None):
        return {}
    key = "time_increment" if dim == "t" else f"physical_size_{dim}"
    return {key: scale, f"{key}_unit": symbol or UNKNOWN_UNIT}


def as_text(text: str) -> str:
    """Return a text without the characters that XML cannot hold."""
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
