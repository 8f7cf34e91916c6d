"""What OME-Zarr demands of an image: axes, levels, multiscales, channels."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from xomezarr.model import Axis, Image, Level, Multiscale, Window
from xomezarr.orientation import ANATOMICAL, LINE_OF, ORIENTATIONS
from xomezarr.report import Finding, Severity
from xomezarr.units import ALIASES, SPACE_UNITS, TIME_UNITS

__all__ = [
    "AXIS_RULES",
    "COARSER_WITHIN",
    "IMAGE_RULES",
    "LEVEL_RULES",
    "MULTISCALE_RULES",
    "NAMED_AXIS_RULES",
    "ascending_window",
    "channel_count",
    "check_axes",
    "check_image",
    "check_level",
    "check_multiscale",
    "coarser_by",
    "hex_color",
    "leads_below",
]

COARSER_WITHIN = 1e-3
"""A level's scale may fall short of the one before by this fraction: tools write rounded decimals and float32."""

_NAMED_TYPES = ("space", "time", "channel")
_UNITS = {"space": SPACE_UNITS, "time": TIME_UNITS}
_HEX_COLOR = re.compile(r"[0-9A-Fa-f]{6}")
_DRIVE = re.compile(r"[A-Za-z]:")


# -- axes --------------------------------------------------------------------------------------------------


def unique_names(axes: Sequence[Axis], where: str) -> Iterator[Finding]:
    """8 (MUST): the names of the axes are unique."""
    names = [axis.name for axis in axes]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Finding(
                "8",
                "error",
                f"{where}.axes[{index}].name",
                f"axis {name!r} is there twice",
                "name each axis differently",
            )


def typed(axes: Sequence[Axis], where: str) -> Iterator[Finding]:
    """9 (SHOULD): an axis has a type."""
    for index, axis in enumerate(axes):
        if axis.type is None:
            yield Finding(
                "9",
                "warning",
                f"{where}.axes[{index}]",
                f"axis {axis.name!r} has no type",
                "give it one of " + ", ".join(_NAMED_TYPES),
            )


def known_type(axes: Sequence[Axis], where: str) -> Iterator[Finding]:
    """10 (SHOULD): the type is space, time or channel, though any other string may stand there."""
    for index, axis in enumerate(axes):
        if axis.type is not None and axis.type not in _NAMED_TYPES:
            yield Finding(
                "10",
                "warning",
                f"{where}.axes[{index}].type",
                f"axis {axis.name!r} has the type {axis.type!r}",
                "readers know " + ", ".join(_NAMED_TYPES),
            )


def unit_given(axes: Sequence[Axis], where: str) -> Iterator[Finding]:
    """11 (SHOULD): an axis has a unit. Asked of space and time only, as channels have no physical unit."""
    for index, axis in enumerate(axes):
        if axis.type in _UNITS and axis.unit is None:
            yield Finding(
                "11",
                "warning",
                f"{where}.axes[{index}]",
                f"axis {axis.name!r} has no unit",
                f'give it one, such as "{"micrometer" if axis.type == "space" else "second"}"',
            )


def known_unit(axes: Sequence[Axis], where: str) -> Iterator[Finding]:
    """12 (SHOULD): the unit of a space axis is one of 26 lengths, that of a time axis one of 23 times."""
    for index, axis in enumerate(axes):
        units = _UNITS.get(axis.type or "")
        if units is not None and axis.unit is not None and axis.unit not in units:
            meant = ALIASES.get(axis.unit)
            yield Finding(
                "12",
                "warning",
                f"{where}.axes[{index}].unit",
                f"axis {axis.name!r} of type {axis.type} has the unit {axis.unit!r}, which is none that is recommended",
                f'write "{meant}"' if meant in units else f"the specification lists the units of {axis.type}",
            )


def oriented(axes: Sequence[Axis], where: str) -> Iterator[Finding]:
    """101 (own, of RFC-4): an orientation is an object with a type and a value, and stands at axes of space alone.

    Anatomical ones have a value that is listed, and no two axes run along one line. No version asks for it yet: to
    their texts it is an unknown key.
    """
    lines: dict[tuple[str, str], str] = {}
    for index, axis in enumerate(axes):
        given, place = axis.extra.get("orientation"), f"{where}.axes[{index}].orientation"
        if axis.orientation is not None:
            other = lines.setdefault(LINE_OF[axis.orientation], axis.name)
            if other != axis.name:
                told = f"axis {axis.name!r} runs {axis.orientation}, along the same line as axis {other!r}"
                yield Finding("101", "warning", place, told, "give each axis of space a line of its own")
        elif given is not None and axis.type != "space":
            told = f"axis {axis.name!r} has an orientation, and is no axis of space"
            yield Finding("101", "warning", place, told, "remove it")
        elif given is not None and not _is_orientation(given):
            told = f"the orientation of axis {axis.name!r} is {given!r}"
            cure = f'write {{"type": "{ANATOMICAL}", "value": …}}, with one of {", ".join(ORIENTATIONS)}'
            yield Finding("101", "warning", place, told, cure)


def _is_orientation(given: Any) -> bool:
    """Whether it may be one: of anatomical ones the values are known."""
    if not isinstance(given, Mapping) or not all(isinstance(given.get(key), str) for key in ("type", "value")):
        return False
    return given["type"] != ANATOMICAL or given["value"] in ORIENTATIONS


def axis_count(axes: Sequence[Axis], where: str) -> Iterator[Finding]:
    """15 (MUST): an image has two to five axes."""
    if not 2 <= len(axes) <= 5:
        yield Finding(
            "15",
            "error",
            f"{where}.axes",
            f"there are {len(axes)} axes",
            "an image has 2 to 5, 2 or 3 of them of space",
        )


def space_count(axes: Sequence[Axis], where: str) -> Iterator[Finding]:
    """16 (MUST): two or three axes are of type space; an axis without a type is none of them."""
    names = [axis.name for axis in axes if axis.type == "space"]
    if not 2 <= len(names) <= 3:
        yield Finding(
            "16",
            "error",
            f"{where}.axes",
            f"{len(names)} axes are of type space ({', '.join(names) or 'none'})",
            'give the type "space" to 2 or 3 axes',
        )


def time_count(axes: Sequence[Axis], where: str) -> Iterator[Finding]:
    """17 (MUST): one axis at most is of type time."""
    names = [axis.name for axis in axes if axis.type == "time"]
    if len(names) > 1:
        yield Finding(
            "17", "error", f"{where}.axes", f"{len(names)} axes are of type time ({', '.join(names)})", "keep one"
        )


def other_count(axes: Sequence[Axis], where: str) -> Iterator[Finding]:
    """18 (MUST): one axis at most is of type channel, of a type of its own, or of none."""
    names = [axis.name for axis in axes if axis.type not in _UNITS]
    if len(names) > 1:
        yield Finding(
            "18",
            "error",
            f"{where}.axes",
            f"{len(names)} axes are neither of space nor of time ({', '.join(names)})",
            "keep one: a channel axis, or one of another type",
        )


def type_order(axes: Sequence[Axis], where: str) -> Iterator[Finding]:
    """19 (MUST): the time axis stands first, then the channel or custom axis, then the axes of space."""
    ranks = [{"time": 0, "space": 2}.get(axis.type or "", 1) for axis in axes]
    if ranks != sorted(ranks):
        order = ", ".join(f"{axis.name} ({axis.type or 'no type'})" for axis in axes)
        yield Finding(
            "19",
            "error",
            f"{where}.axes",
            f"the axes are in the order {order}",
            "transpose: time, then channel, then space",
        )


def zyx_order(axes: Sequence[Axis], where: str) -> Iterator[Finding]:
    """20 (SHOULD): axes of space that are named z, y and x stand in this order."""
    names = [axis.name for axis in axes if axis.type == "space" and axis.name in ("z", "y", "x")]
    ordered = [name for name in ("z", "y", "x") if name in names]
    if len(set(names)) == len(names) and names != ordered:
        yield Finding(
            "20",
            "warning",
            f"{where}.axes",
            f"the axes of space are in the order {', '.join(names)}",
            f"transpose to {', '.join(ordered)}",
        )


def early_order(axes: Sequence[Axis], where: str) -> Iterator[Finding]:
    """0.3b (MUST, 0.3): the axes stand in the order t, c, z, y, x."""
    names = [axis.name for axis in axes]
    ordered = sorted(names, key="tczyx".index)
    if names != ordered:
        yield Finding(
            "0.3b",
            "error",
            f"{where}.axes",
            f"the axes are in the order {', '.join(names)}",
            f"transpose to {', '.join(ordered)}",
        )


# -- levels ------------------------------------------------------------------------------------------------


def usable_numbers(level: Level, where: str) -> Iterator[Finding]:
    """91 (own): scales are positive and finite, translations finite, or no pixel has a place."""
    for name, scale in level.scale.items():
        if not (math.isfinite(scale) and scale > 0):
            yield Finding(
                "91",
                "error",
                f"{where}.coordinateTransformations",
                f"axis {name!r} has the scale {scale!r}",
                "a scale is the distance between neighbouring pixels: a positive number",
            )
    for name, translation in level.translation.items():
        if not math.isfinite(translation):
            yield Finding(
                "91",
                "error",
                f"{where}.coordinateTransformations",
                f"axis {name!r} has the translation {translation!r}",
                "a translation is the position of the first pixel: a finite number",
            )


def leads_below(path: str) -> bool:
    r"""Whether a path leads to something below its group, on every system.

    >>> [leads_below(path) for path in ("0", "scale/0", "", "/0", "a/../../b", "a\\..", "C:/0", "s3://bucket/0", "\0")]
    [True, True, False, False, False, False, False, False, False]
    """
    parts = path.split("/")
    elsewhere = parts[0] == "" or ".." in parts or "\\" in path or "\0" in path or "://" in path or _DRIVE.match(path)
    return bool(path.strip("/. ")) and not elsewhere


def path_inside(level: Level, where: str) -> Iterator[Finding]:
    """92 (own): the path of a dataset is relative, not empty, and does not leave the group."""
    if not leads_below(level.path):
        yield Finding(
            "92",
            "error",
            f"{where}.path",
            f"the path {level.path!r} does not lead to an array below the group",
            'give a relative path, such as "0"',
        )


# -- multiscales -------------------------------------------------------------------------------------------


def finest_first(multiscale: Multiscale, where: str) -> Iterator[Finding]:
    """24 (MUST): the datasets stand in the order of their resolution, the highest first.

    It is judged by the size of a voxel, as the text speaks of a whole level. A level that is coarser as a
    whole but finer along one axis is not forbidden; as it is seldom meant, it gives a warning.
    """
    for index in range(1, len(multiscale.levels)):
        before, after = multiscale.levels[index - 1], multiscale.levels[index]
        ratios = coarser_by(after, before)
        finer = [name for name, ratio in ratios.items() if ratio < 1 - COARSER_WITHIN]
        if finer:
            severity: Severity = "error" if math.prod(ratios.values()) < 1 - COARSER_WITHIN else "warning"
            scales = ", ".join(f"{name}: {before.scale[name]:g} → {after.scale[name]:g}" for name in finer)
            yield Finding(
                "24",
                severity,
                f"{where}.datasets[{index}]",
                f"dataset {after.path!r} is finer than the one before it ({scales})",
                "list the finest dataset first",
            )


def coarser_by(level: Level, reference: Level) -> dict[str, float]:
    """Return by which factor a level is coarser than another, axis by axis.

    It is 1.0 where rule 91 has found a scale that cannot be compared.
    """

    def ratio(scale: float, other: float) -> float:
        usable = math.isfinite(scale) and math.isfinite(other) and scale > 0 and other > 0
        return scale / other if usable else 1.0

    return {name: ratio(scale, reference.scale[name]) for name, scale in level.scale.items()}


def distinct_paths(multiscale: Multiscale, where: str) -> Iterator[Finding]:
    """106 (own): each dataset has an array of its own, as levels differ in resolution."""
    paths: set[str] = set()
    for index, level in enumerate(multiscale.levels):
        if (path := level.path.strip("/")) in paths:
            yield Finding(
                "106", "warning", f"{where}.datasets[{index}].path", f"the path {path!r} is there twice", "list it once"
            )
        paths.add(path)


def named(multiscale: Multiscale, where: str) -> Iterator[Finding]:
    """34 (SHOULD): a multiscale has a name."""
    if multiscale.name is None:
        yield Finding("34", "warning", where, "the image has no name", "give it one: name=")


def method_given(multiscale: Multiscale, where: str) -> Iterator[Finding]:
    """36 (SHOULD): a multiscale says by its type how its levels were made."""
    if multiscale.type is None and "type" not in multiscale.extra:
        yield Finding("36", "warning", where, "no type says how the levels were made", 'give one, such as "local_mean"')


def metadata_given(multiscale: Multiscale, where: str) -> Iterator[Finding]:
    """37 (SHOULD): a multiscale's metadata, an object, say more of how its levels were made."""
    if multiscale.metadata is None and "metadata" not in multiscale.extra:
        yield Finding(
            "37", "warning", where, "no metadata say how the levels were made", "give the method's parameters"
        )


# -- images ------------------------------------------------------------------------------------------------


def distinct_names(image: Image, where: str) -> Iterator[Finding]:
    """93 (own): several multiscales differ in name, as readers choose by it (the text of "multiscales")."""
    names = [multiscale.name for multiscale in image.multiscales]
    for index, name in enumerate(names):
        if name in names[:index]:
            told = "have no name" if name is None else f"are named {name!r}"
            yield Finding("93", "warning", f"{where}[{index}]", f"several multiscales {told}", "name each differently")


def hex_color(color: str, where: str) -> Iterator[Finding]:
    """42 (MUST): a channel's color is a string of six hexadecimal digits."""
    if not _HEX_COLOR.fullmatch(color):
        yield Finding(
            "42",
            "error",
            where,
            f"the color is {color!r}",
            'give six hexadecimal digits, such as "00FF00", without "#"',
        )


def ascending_window(window: Window, where: str) -> Iterator[Finding]:
    """100 (own): a channel's window runs from smaller to larger numbers, or viewers show its negative, or nothing."""
    for low, high in (("min", "max"), ("start", "end")):
        first, last = getattr(window, low), getattr(window, high)
        if first > last:
            yield Finding(
                "100", "warning", where, f"the window has {low} {first:g} and {high} {last:g}", "exchange the two"
            )


def channel_count(image: Image, size: int, where: str) -> Iterator[Finding]:
    """46 (the layout in the text): there is one omero channel for each index of the channel axis, `size` in number."""
    if image.channels is not None and len(image.channels) != size:
        yield Finding(
            "46",
            "warning",
            f"{where}.channels",
            f"{len(image.channels)} channels are described, and the image has {size}",
            "describe each channel once",
        )


def _of_arrays(rule: Callable[[Sequence[Axis], str], Iterator[Finding]]) -> Callable[..., Iterator[Finding]]:
    """Return a rule that is not asked where all axes are of type array, as they may be in 0.6."""

    def asked(axes: Sequence[Axis], where: str) -> Iterator[Finding]:
        if any(axis.type != "array" for axis in axes):
            yield from rule(axes, where)

    return asked


type AxisRule = Callable[[Sequence[Axis], str], Iterator[Finding]]
type LevelRule = Callable[[Level, str], Iterator[Finding]]
type MultiscaleRule = Callable[[Multiscale, str], Iterator[Finding]]
type ImageRule = Callable[[Image, str], Iterator[Finding]]

AXIS_RULES: tuple[AxisRule, ...] = (
    unique_names,
    typed,
    known_type,
    unit_given,
    known_unit,
    oriented,
    axis_count,
    space_count,
    time_count,
    other_count,
    type_order,
    zyx_order,
)
NAMED_AXIS_RULES: tuple[AxisRule, ...] = (unique_names, axis_count, early_order)
"""Those of 0.3, where axes are names alone."""

SYSTEM_AXIS_RULES: tuple[AxisRule, ...] = tuple(
    _of_arrays(rule) if rule in (known_type, space_count, other_count) else rule for rule in AXIS_RULES
)
"""Those of 0.6, where axes may count the pixels of an array."""

LEVEL_RULES: tuple[LevelRule, ...] = (usable_numbers, path_inside)
MULTISCALE_RULES: tuple[MultiscaleRule, ...] = (
    finest_first,
    distinct_paths,
    named,
    method_given,
    metadata_given,
)
IMAGE_RULES: tuple[ImageRule, ...] = (distinct_names,)


def check_axes(axes: Sequence[Axis], where: str, *, rules: Sequence[AxisRule] = AXIS_RULES) -> Iterator[Finding]:
    """Apply every rule of axes, or `rules`; `where` is the multiscale's place."""
    for rule in rules:
        yield from rule(axes, where)


def check_level(level: Level, where: str) -> Iterator[Finding]:
    """Apply every rule of a single level; `where` is the dataset's place."""
    for rule in LEVEL_RULES:
        yield from rule(level, where)


def check_multiscale(multiscale: Multiscale, where: str) -> Iterator[Finding]:
    """Apply every rule of a multiscale as a whole; `where` is its place."""
    for rule in MULTISCALE_RULES:
        yield from rule(multiscale, where)


def check_image(image: Image, where: str = "multiscales") -> Iterator[Finding]:
    """Apply every rule that needs no store to a whole image; `where` is the place of its multiscales."""
    for index, multiscale in enumerate(image.multiscales):
        place = f"{where}[{index}]"
        yield from check_axes(multiscale.axes, place)
        for number, level in enumerate(multiscale.levels):
            yield from check_level(level, f"{place}.datasets[{number}]")
        yield from check_multiscale(multiscale, place)
    for rule in IMAGE_RULES:
        yield from rule(image, where)
