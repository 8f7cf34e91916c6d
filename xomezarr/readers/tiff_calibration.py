"""What TIFF files say of their pixels: by OME-XML, by what ImageJ, Zeiss or Aperio write, or by resolution tags."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xomezarr import omexml
from xomezarr.channels import window_between
from xomezarr.errors import OmeZarrWarning, warn
from xomezarr.model import Channel, Window
from xomezarr.omexml import NOT_PHYSICAL, Calibration, number
from xomezarr.readers.filearray import COARSEST_PIXEL_UM

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

__all__ = ["calibration_of"]


def calibration_of(tiff: TiffFile, image: TiffPageSeries, series: int, path: str) -> Calibration:
    """Return what a file says of an image, by the dimensions that it has itself: ask the richest metadata first.

    What stands in OME-XML that cannot be taken is told.
    """
    if tiff.ome_metadata:
        found = _ome_calibration(tiff, image, series, path)
    elif (by := BY_KIND.get(image.kind)) is not None and (series == 0 or image.kind not in FIRST_ALONE):
        found = by(tiff, image)
    else:
        found = Calibration()
    if {"x", "y"} & found.scale.keys():
        return found
    plain = _resolution_calibration(image)
    return replace(found, scale={**found.scale, **plain.scale}, units={**found.units, **plain.units})


def _ome_calibration(tiff: TiffFile, image: TiffPageSeries, series: int, path: str) -> Calibration:
    """Read the OME-XML of a series, whatever it is that tifffile knows its planes by."""
    try:
        root = omexml.root_of(tiff.ome_metadata or "")
    except ValueError as error:
        return _left_out(path, f"has OME-XML that cannot be read, as {error}")
    if (elsewhere := root.find("{*}BinaryOnly")) is not None:
        return _left_out(path, f'says that its OME-XML is in "{elsewhere.get("MetadataFile", "another file")}"')
    described = omexml.images_of(root)
    chosen = _chosen(described, tiff, image, series)
    if isinstance(chosen, str):
        return _left_out(path, chosen)
    pixels = [found for one in root.findall("{*}Image") if (found := one.find("{*}Pixels")) is not None]
    _tell_of_times(described[chosen], pixels[chosen], path)
    said = described[chosen].said
    # of images that all say the same, it may be any
    return said if image.kind == "ome" or len(described) == 1 else replace(said, name=None)


def _chosen(described: Sequence[omexml.XmlImage], tiff: TiffFile, image: TiffPageSeries, series: int) -> int | str:
    """Return which of the images that OME-XML describes a series is; else what is wrong with them."""
    if image.kind == "ome" and len(described) == len(tiff.series):
        return series
    # files of some images are missing, or other metadata say where planes are
    sizes = {dim: int(image.shape[image.axes.index(dim.upper())]) for dim in "yx" if dim.upper() in image.axes}
    fitting = [number for number, one in enumerate(described) if sizes.items() <= one.sizes.items()]
    if not fitting:
        return f"has OME-XML that describes no image of {' × '.join(map(str, sizes.values()))} pixels"
    named = [number for number in fitting if described[number].said.name == image.name]
    if len(named) == 1:
        return named[0]
    nameless = [replace(described[number].said, name=None) for number in fitting]
    if all(said == nameless[0] for said in nameless):
        return fitting[0]
    return f"has OME-XML of {len(described)} images, of which it holds {len(tiff.series)}, and does not say which"


def _tell_of_times(described: omexml.XmlImage, pixels: Element, path: str) -> None:
    """Warn of times of single planes where nothing says how far they are apart."""
    if "t" in described.said.scale:
        return
    firsts = [plane for plane in pixels.findall("{*}Plane") if {plane.get("TheC"), plane.get("TheZ")} <= {"0", None}]
    known = {plane.get("TheT"): number(plane.get("DeltaT")) for plane in firsts}
    times = [value for value in known.values() if value is not None]
    if len(times) < 2 or len(times) != described.sizes.get("t"):
        return
    unit = firsts[0].get("DeltaTUnit", "s")
    step = (max(times) - min(times)) / (len(times) - 1)
    if not omexml.is_size(step):  # zeros, of whoever knows no times
        return
    warn(
        f'"{path}" says when each of its planes was taken, which is left out, and not how far times are apart; that is '
        f'{step:.6g} {unit} on average: give it: scale={{"t": {step:.6g}}}, units={{"t": {unit!r}}}',
        OmeZarrWarning,
    )


def _left_out(path: str, why: str) -> Calibration:
    """Return what is known where OME-XML cannot be taken, which is nothing, and say so."""
    warn(
        f'"{path}" {why}; pixel sizes and channels that it says are left out: give them: scale={{…}}, units=…, '
        "channels=[…]",
        OmeZarrWarning,
    )
    return Calibration()


def _imagej_calibration(tiff: TiffFile, image: TiffPageSeries) -> Calibration:
    """Read ImageJ's unit, spacing and frame interval; its resolution tags count pixels per unit."""
    metadata = tiff.imagej_metadata or {}
    unit = _imagej_unit(metadata.get("unit"))
    by_dim = {
        "x": unit,
        "y": _imagej_unit(metadata.get("yunit")) or unit,
        "z": _imagej_unit(metadata.get("zunit")) or unit,
        "t": _imagej_unit(metadata.get("tunit")) or "s",
    }
    scale: dict[str, float] = {}
    if unit is not None:
        x, y = _resolution(image)
        scale = {dim: value for dim, value in (("x", x), ("y", y)) if value}
    for dim, key in (("z", "spacing"), ("t", "finterval")):
        step = number(metadata.get(key))
        # ImageJ writes a negative spacing for stacks taken downwards; the order of the planes is unchanged
        if step:
            scale[dim] = abs(step)
    if "z" in scale and by_dim["z"] is None and scale["z"] == 1:
        del scale["z"]
    units = {dim: found for dim, found in by_dim.items() if found is not None and dim in scale}
    return Calibration(scale, units, _imagej_channels(image, metadata, tiff.filehandle.path))


def _imagej_unit(unit: object) -> str | None:
    r"""Undo ImageJ's escapes; None for no unit.

    >>> _imagej_unit("\\u00B5m"), _imagej_unit("pixel")
    ('µm', None)
    """
    if not isinstance(unit, str):
        return None
    text = re.sub(r"\\u([0-9A-Fa-f]{4})", lambda match: chr(int(match[1], 16)), unit).strip()
    return None if text.lower() in NOT_PHYSICAL else text


def _imagej_channels(image: TiffPageSeries, metadata: Mapping[str, Any], path: str) -> tuple[Channel, ...]:
    """Read channel names from slice labels, where they name channels, colours from lookup tables, display ranges.

    Labels come plane by plane, channels fastest. They name channels if all planes of a channel have the same, and
    no other channel has it.
    """
    if "C" not in image.axes:
        return ()
    count = int(image.shape[image.axes.index("C")])
    labels = [str(label).strip() for label in metadata.get("Labels") or ()]
    first = labels[:count]
    names: Sequence[str | None] = [None] * count
    if len(set(first)) == count and all(first) and all(label == first[i % count] for i, label in enumerate(labels)):
        names = first
    tables = metadata.get("LUTs", ())  # of a single channel, tifffile gives the one alone
    tables = [tables] if isinstance(tables, np.ndarray) else tables
    colors: Sequence[str | None] = [None] * count
    if len(tables) == count and metadata.get("mode") in ("composite", "color"):
        colors = [_color_of(table) for table in tables]
        if others := [number for number, table in enumerate(tables) if not _is_ramp(np.asarray(table))]:
            warn(
                f'"{path}" shows some channels ({", ".join(map(str, others))}) by lookup tables that do not lead from '
                "black to one colour; their brightest colour is taken, and none where that is black; give "
                'others: channels=[{"label": …, "color": …}, …]',
                OmeZarrWarning,
            )
    windows = _imagej_windows(metadata.get("Ranges") or (), count, np.dtype(image.dtype))
    if all(said is None for said in (*names, *colors, *windows)):
        return ()
    return tuple(map(Channel, names, colors, windows))


def _color_of(table: ArrayLike) -> str | None:
    """Return the colour of the highest values in a lookup table, shape (3, values); None where that is black."""
    red, green, blue = (int(value) for value in np.asarray(table)[:, -1])
    return f"{red:02X}{green:02X}{blue:02X}" if red or green or blue else None


def _is_ramp(table: NDArray[Any]) -> bool:
    """Whether a lookup table leads from black to a colour, as far as whole numbers do."""
    meant = table[:, -1:] * np.linspace(0, 1, table.shape[1])
    return bool(meant.any() and (abs(table - meant) <= ROUNDED_COLOR).all())


ROUNDED_COLOR = 2
"""By how much a colour of a lookup table may be off."""


def _imagej_windows(ranges: Sequence[float], count: int, dtype: np.dtype[Any]) -> Sequence[Window | None]:
    """Read how bright ImageJ shows each channel; None where it does not say."""
    ends = [float(end) for end in ranges]
    if len(ends) != 2 * count or not np.isfinite(ends).all():
        return [None] * count
    pairs = zip(ends[::2], ends[1::2], strict=True)
    return [window_between(start, end, dtype) if start < end else None for start, end in pairs]


def _zeiss_calibration(tiff: TiffFile, image: TiffPageSeries) -> Calibration:
    """Read the voxel sizes, the interval and the channels of an LSM; its sizes are in metres and seconds."""
    said = tiff.lsm_metadata or {}
    scale = {dim: MICROMETERS_PER_METER * _finite(said.get(f"VoxelSize{dim.upper()}")) for dim in "xyz"}
    scale["t"] = _finite(said.get("TimeIntervall"))  # so it is spelled
    known = {dim: float(f"{value:.12g}") for dim, value in scale.items() if value > 0}
    listed = said.get("ChannelColors") or {}
    names, colors = ([*(listed.get(key) or [])] for key in ("ColorNames", "Colors"))
    channels = tuple(
        Channel(str(name).strip() or None, "{:02X}{:02X}{:02X}".format(*color[:3]))
        for name, color in zip(names, colors, strict=False)
    )
    return Calibration(known, {dim: "s" if dim == "t" else "µm" for dim in known}, channels)


def _aperio_calibration(tiff: TiffFile, image: TiffPageSeries) -> Calibration:
    """Read the micrometres of a pixel in what an SVS says of its finest level."""
    found = re.search(r"\|\s*MPP\s*=\s*([0-9.eE+-]+)", image.keyframe.description or "")
    size = _finite(None if found is None else found[1])
    return Calibration(dict.fromkeys("yx", size), dict.fromkeys("yx", "µm")) if size > 0 else Calibration()


def _finite(value: object) -> float:
    """Return a finite number; 0.0 where it is none."""
    found = number(value)
    return found if found is not None and np.isfinite(found) else 0.0


def _resolution_calibration(image: TiffPageSeries) -> Calibration:
    """Read plain resolution tags in inches or centimetres, where they can be pixel sizes rather than print sizes."""
    tag = image.keyframe.tags.get("ResolutionUnit")
    unit = getattr(tag.value, "name", "") if tag is not None else ""
    micrometers = {"INCH": 25400, "CENTIMETER": 10000}.get(unit)
    if micrometers is None:
        return Calibration()
    x, y = _resolution(image, micrometers)
    if not x or not y:
        return Calibration()
    scale = {"x": x, "y": y}
    if max(scale.values()) > COARSEST_PIXEL_UM:
        return Calibration()
    return Calibration(scale, {"x": "µm", "y": "µm"})


def _resolution(image: TiffPageSeries, unit: int = 1) -> tuple[float | None, float | None]:
    """Return how far pixels are apart along x and y; None where the tag is missing or no positive number.

    Parameters
    ----------
    image
        Its tags count pixels along a unit.
    unit
        How many of what is returned make one.
    """
    found: list[float | None] = []
    for name in ("XResolution", "YResolution"):
        tag = image.keyframe.tags.get(name)
        pixels, units = tag.value if tag is not None else (0, 1)
        found.append(_shortest(units, pixels, unit) if pixels and units else None)
    return found[0], found[1]


def _shortest(units: int, pixels: int, size: int = 1) -> float:
    """Return units by pixels: of large numbers, which come of rounding, with the fewest digits that they may stand for.

    >>> _shortest(1, 3), _shortest(1000000, 3076923), _shortest(13, 400000, 10000)
    (0.3333333333333333, 0.325, 0.325)
    """
    exact = units * size / pixels
    if max(units, pixels) < ROUNDED:
        return exact
    units, pixels = _not_reduced(units, pixels)
    if not (_is_fixed(units) or _is_fixed(pixels)):
        return exact  # the nearest fraction to what was meant

    def is_meant(one: float) -> bool:
        counted, made = (pixels, units * size / one) if _is_fixed(units) else (units, one * pixels / size)
        return counted in (int(made), round(made))

    shorter = (float(f"{exact:.{digits}g}") for digits in range(1, 17))
    return next(filter(is_meant, shorter), exact)


def _not_reduced(units: int, pixels: int) -> tuple[int, int]:
    """Return a fraction with the larger number that it was made with, if that is known: of a reduced one, digits lack.

    >>> _not_reduced(25000, 24199), _not_reduced(93, 858993459), _not_reduced(13, 400000)
    ((1000000, 967960), (465, 4294967295), (13, 400000))
    """
    for most in (MILLION, *LARGEST):
        for one in (units, pixels):
            if one >= ROUNDED and not _is_fixed(one) and most % one == 0:
                return units * (most // one), pixels * (most // one)
    return units, pixels


def _is_fixed(number: int) -> bool:
    """Whether the other number of such a fraction is one that was rounded, or cut off."""
    return str(number).rstrip("0") == "1" or number.bit_count() == 1 or number in LARGEST


LARGEST = (2**31 - 1, 2**32 - 1)
"""What numbers of a fraction are that is as fine as a TIFF has it."""

ROUNDED = 10**4
"""Numerators, or denominators, from here on may be those of a number that was rounded."""

MILLION = 10**6
"""What ImageJ counts pixels by."""

MICROMETERS_PER_METER = 1e6

BY_KIND: Mapping[str, Callable[[TiffFile, TiffPageSeries], Calibration]] = {
    "imagej": _imagej_calibration,
    "lsm": _zeiss_calibration,
    "svs": _aperio_calibration,
}
"""What reads the metadata of images that have no OME-XML, by what tifffile calls these."""

FIRST_ALONE = ("lsm", "svs")
"""Kinds of files whose metadata are those of their first image; the others are previews, labels of slides and such."""
