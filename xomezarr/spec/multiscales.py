"""The JSON of ``multiscales`` and ``omero``, which OME-Zarr 0.4 and 0.5 share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xomezarr import checks
from xomezarr.colors import stored_color
from xomezarr.model import Axis, Channel, Image, Level, Multiscale, Window
from xomezarr.spec.notes import Notes, kind_of
from xomezarr.spec.values import number, optional, present, with_extra

__all__ = ["dump_multiscale", "dump_omero", "read_multiscales", "read_omero"]

_WINDOW_KEYS = ("min", "max", "start", "end")


# -- reading -----------------------------------------------------------------------------------------------


def read_multiscales(raw: Any, where: str, notes: Notes, *, known: Sequence[str] = ()) -> tuple[Multiscale, ...] | None:
    """Read the list of multiscales, so far as it can be.

    Parameters
    ----------
    raw
        The value of the key ``multiscales``.
    where
        Its place.
    notes
        Takes the findings.
    known
        Keys of a multiscale that the version reads itself.

    Returns
    -------
    tuple of Multiscale or None
        None if `notes` names something that prevents reading.
    """
    if not isinstance(raw, list) or not raw:
        told = "it is empty" if raw == [] else f"it is {kind_of(raw)}"
        notes.stop("99", where, told, "an image has a list of at least one multiscale")
        return None
    read = [_read_multiscale(entry, f"{where}[{index}]", notes, known) for index, entry in enumerate(raw)]
    multiscales = tuple(multiscale for multiscale in read if multiscale is not None)
    if len(multiscales) < len(read):
        return None
    for rule in checks.IMAGE_RULES:
        notes.extend(rule(Image(multiscales), where))
    return multiscales


def _read_multiscale(raw: Any, where: str, notes: Notes, known: Sequence[str]) -> Multiscale | None:
    if not isinstance(raw, Mapping):
        notes.stop("99", where, f"a multiscale is {kind_of(raw)}", "it must be an object")
        return None
    extra = {
        key: value
        for key, value in raw.items()
        if key not in ("name", "axes", "datasets", "coordinateTransformations", *known)
    }
    axes = _read_axes(raw, where, notes)
    name = optional(raw, "name", str, "94", where, notes)
    # type and metadata may be any JSON by the schemas: what the model cannot hold stays among the unknown keys
    method = extra.pop("type") if isinstance(extra.get("type"), str) else None
    metadata = extra.pop("metadata") if isinstance(extra.get("metadata"), Mapping) else None
    for key, told in (("type", "a string"), ("metadata", "an object")):
        if key in extra:
            rule = "36" if key == "type" else "37"
            notes.warn(rule, f"{where}.{key}", f"it is {kind_of(extra[key])}", f"it should be {told}")
    whole = _read_group_transforms(raw, axes, where, notes)
    levels = _read_levels(raw, axes, whole, where, notes)
    if axes is None or levels is None:
        return None
    multiscale = Multiscale(name, axes, levels, method, metadata, extra)
    notes.extend(
        finding
        for finding in checks.check_multiscale(multiscale, where)
        if not (finding.rule == "34" and "name" in raw)  # a name that is no string was found already
    )
    return multiscale


def _read_axes(raw: Mapping[str, Any], where: str, notes: Notes) -> tuple[Axis, ...] | None:
    """Read the axes; None if they cannot name dimensions."""
    if "axes" not in raw:
        # 14 (MUST): "axes" is present
        notes.stop("14", where, "there are no axes", "list one object with a name and a type for each dimension")
        return None
    if not isinstance(raw["axes"], list):
        notes.stop("14", f"{where}.axes", f"the axes are {kind_of(raw['axes'])}", "they must be a list of objects")
        return None
    read = [_read_axis(axis, f"{where}.axes[{index}]", notes) for index, axis in enumerate(raw["axes"])]
    axes = tuple(axis for axis in read if axis is not None)
    if len(axes) < len(read):
        return None
    # without distinct names there are no dimensions
    found = list(checks.check_axes(axes, where))
    notes.extend(found, stops={"8"})
    return None if any(finding.rule == "8" for finding in found) else axes


def _read_axis(raw: Any, where: str, notes: Notes) -> Axis | None:
    """7 (MUST): each axis is an object with a name, a string."""
    if not isinstance(raw, Mapping):
        hint = ", as up to 0.3" if isinstance(raw, str) else ""
        notes.stop("7", where, f"the axis is {kind_of(raw)}{hint}", 'write {"name": …, "type": …}')
        return None
    if not isinstance(raw.get("name"), str):
        told = f"its name is {kind_of(raw['name'])}" if "name" in raw else "the axis has no name"
        notes.stop("7", f"{where}.name", told, "give it a string")
        return None
    kind, unit = raw.get("type"), raw.get("unit")
    # null stands for "none" in the text of "multiscales", though no schema takes it
    if kind is not None and not isinstance(kind, str):
        notes.error("10", f"{where}.type", f"the type is {kind_of(kind)}", "give a string, or none")
    if unit is not None and not isinstance(unit, str):
        notes.error("12", f"{where}.unit", f"the unit is {kind_of(unit)}", "give a string, or none")
    return Axis(
        raw["name"],
        kind if isinstance(kind, str) else None,
        unit if isinstance(unit, str) else None,
        {key: value for key, value in raw.items() if key not in ("name", "type", "unit")},
    )


def _read_levels(
    raw: Mapping[str, Any], axes: tuple[Axis, ...] | None, whole: Placing | None, where: str, notes: Notes
) -> tuple[Level, ...] | None:
    datasets = raw.get("datasets")
    if not isinstance(datasets, list) or not datasets:
        # 22 (MUST): "datasets" is a list of at least one
        told = "there are no datasets" if not datasets else f"the datasets are {kind_of(datasets)}"
        notes.stop("22", f"{where}.datasets", told, "list one object with a path for each level")
        return None
    read = [
        _read_level(dataset, axes, whole, f"{where}.datasets[{index}]", notes) for index, dataset in enumerate(datasets)
    ]
    levels = tuple(level for level in read if level is not None)
    return levels if len(levels) == len(read) else None


def _read_level(
    raw: Any, axes: tuple[Axis, ...] | None, whole: Placing | None, where: str, notes: Notes
) -> Level | None:
    if not isinstance(raw, Mapping):
        notes.stop("22", where, f"the dataset is {kind_of(raw)}", "it must be an object")
        return None
    path = raw.get("path")
    if not isinstance(path, str):
        # 23 (MUST): each dataset has a path, a string
        told = f"the path is {kind_of(path)}" if "path" in raw else "the dataset has no path"
        notes.stop("23", f"{where}.path", told, 'give the path of its array, such as "0"')
    if "coordinateTransformations" not in raw:
        # 26 (MUST): each dataset has coordinateTransformations
        notes.stop("26", where, "there are no coordinateTransformations", "give the dataset a scale")
        return None
    placing = _read_transforms(raw["coordinateTransformations"], axes, f"{where}.coordinateTransformations", notes)
    if not isinstance(path, str) or placing is None or axes is None:
        return None
    if whole is not None:
        placing = placing.then(whole)
    names = [axis.name for axis in axes]
    level = Level(
        path,
        dict(zip(names, placing.scale, strict=True)),
        # 29 (MUST): no translation is one of zero
        dict(zip(names, placing.translation, strict=True)),
        {key: value for key, value in raw.items() if key not in ("path", "coordinateTransformations")},
    )
    notes.extend(checks.check_level(level, where), stops={"92"})
    return level


# -- coordinate transformations ----------------------------------------------------------------------------


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


def _read_group_transforms(
    raw: Mapping[str, Any], axes: tuple[Axis, ...] | None, where: str, notes: Notes
) -> Placing | None:
    """33 (MUST): a multiscale's own coordinateTransformations obey the same rules as those of its datasets."""
    if "coordinateTransformations" not in raw:
        return None
    return _read_transforms(
        raw["coordinateTransformations"], axes, f"{where}.coordinateTransformations", notes, whole="33"
    )


def _read_transforms(
    raw: Any, axes: tuple[Axis, ...] | None, where: str, notes: Notes, *, whole: str | None = None
) -> Placing | None:
    """Read a list of transformations into the one that they make together.

    40 (MUST): they are applied in their order. Whatever has a definite result is read, the rules of count
    and order notwithstanding.

    Parameters
    ----------
    raw, where
        The list, and its place.
    axes
        None if they could not be read; then only the JSON is looked at.
    notes
        Takes the findings.
    whole
        The rule to name for whatever is wrong, where the list stands for a whole multiscale.
    """
    if not isinstance(raw, list):
        notes.stop(whole or "26", where, f"it is {kind_of(raw)}", "it must be a list: a scale, then a translation")
        return None
    read = [_read_transform(transform, axes, f"{where}[{index}]", notes, whole) for index, transform in enumerate(raw)]
    kinds = [transform.get("type") for transform in raw if isinstance(transform, Mapping)]
    _check_transform_kinds(kinds, where, notes, whole)
    # a pixel size that nothing gives is not made up; an identity gives one, and beside a whole's so do the datasets
    sized = whole is not None or "scale" in kinds or "identity" in kinds
    if not sized or axes is None or any(placing is None for placing in read):
        return None
    placed = Placing.identity(len(axes))
    for placing in read:
        if placing is not None:
            placed = placed.then(placing)
    return placed


def _check_transform_kinds(kinds: Sequence[Any], where: str, notes: Notes, whole: str | None) -> None:
    """28, 30, 31 (MUST): exactly one scale, then at most one translation."""
    scales, translations = kinds.count("scale"), kinds.count("translation")
    if scales == 0:
        note = notes.error if whole or "identity" in kinds else notes.stop
        note(whole or "28", where, "there is no scale", "give one number for each axis")
    if scales > 1:
        notes.error(whole or "28", where, f"there are {scales} scales", "give one, their product")
    if translations > 1:
        notes.error(whole or "30", where, f"there are {translations} translations", "give one, their sum")
    elif translations and scales and kinds.index("translation") < kinds.index("scale"):
        notes.error(
            whole or "31", where, "the translation stands before the scale", "put it after, multiplied by the scale"
        )


def _read_transform(
    raw: Any, axes: tuple[Axis, ...] | None, where: str, notes: Notes, whole: str | None
) -> Placing | None:
    kind = raw.get("type") if isinstance(raw, Mapping) else None
    if not isinstance(kind, str):
        # 38 (MUST): a transformation has a type
        notes.stop(whole or "38", where, "the transformation has no type", 'give "scale" or "translation"')
        return None
    if kind not in ("scale", "translation", "identity"):
        # 27 (MUST): only scale and translation
        notes.stop(whole or "27", f"{where}.type", f"the type is {kind!r}", 'give "scale" or "translation"')
        return None
    if kind == "identity":
        notes.error(whole or "27", f"{where}.type", "the type is 'identity'", "write a scale of ones")
        return Placing.identity(len(axes or ()))
    values = _numbers(raw.get(kind))
    if values is None:
        # 39 (MUST): a scale has "scale", a translation "translation", a list of numbers
        told = f"{kind} is {kind_of(raw[kind])}, not one of numbers alone" if kind in raw else f"there is no {kind}"
        if "path" in raw:
            told = f"the {kind} is kept in an array at {raw['path']!r}, which is not read"
        notes.stop(whole or "39", where, told, "give a list of numbers")
        return None
    if axes is None:
        return None
    if len(values) != len(axes):
        # 32 (MUST): as many numbers as axes
        notes.stop(
            whole or "32",
            f"{where}.{kind}",
            f"there are {len(values)} numbers for {len(axes)} axes",
            f"give one number for each of {', '.join(axis.name for axis in axes)}",
        )
        return None
    identity = Placing.identity(len(axes))
    return Placing(values, identity.translation) if kind == "scale" else Placing(identity.scale, values)


def _numbers(value: Any) -> tuple[float, ...] | None:
    if not isinstance(value, list):
        return None
    numbers = [number(item) for item in value]
    found = tuple(item for item in numbers if item is not None)
    return found if len(found) == len(numbers) else None


# -- omero -------------------------------------------------------------------------------------------------


def read_omero(
    raw: Any, where: str, notes: Notes, *, known: Sequence[str] = ()
) -> tuple[tuple[Channel, ...] | None, dict[str, Any]]:
    """Read how channels are rendered. Nothing that is wrong there prevents reading: it is left out.

    Returns
    -------
    tuple of Channel or None
        None if the channels cannot be told apart.
    dict
        Unknown keys beside them.
    """
    channels = raw.get("channels") if isinstance(raw, Mapping) else None
    if not isinstance(channels, list):
        # 41 (MUST): "channels" is a list
        told = f"omero is {kind_of(raw)}"
        if isinstance(raw, Mapping):
            told = f"the channels are {kind_of(channels)}" if "channels" in raw else "there are no channels"
        notes.error("41", f"{where}.channels", told, "list one object for each channel")
        return None, {}
    read = tuple(_read_channel(channel, f"{where}.channels[{index}]", notes) for index, channel in enumerate(channels))
    return read, {key: value for key, value in raw.items() if key not in ("channels", *known)}


def _read_channel(raw: Any, where: str, notes: Notes) -> Channel:
    if not isinstance(raw, Mapping):
        notes.error("41", where, f"the channel is {kind_of(raw)}", "it must be an object")
        return Channel()
    color = raw.get("color")
    if not isinstance(color, str):
        # 42 (MUST): a channel has a color, a string of six hexadecimal digits
        told = f"the color is {kind_of(color)}" if "color" in raw else "the channel has no color"
        notes.error("42", f"{where}.color", told, 'give six hexadecimal digits, such as "00FF00"')
        color = None
    else:
        notes.extend(checks.hex_color(color, f"{where}.color"))
        color = stored_color(color)
    label = optional(raw, "label", str, "94", where, notes)
    active = optional(raw, "active", bool, "94", where, notes)
    optional(raw, "family", str, "94", where, notes)
    known = ("label", "color", "window", "active")
    return Channel(
        label,
        color,
        _read_window(raw, where, notes),
        active,
        {key: value for key, value in raw.items() if key not in known},
    )


def _read_window(raw: Mapping[str, Any], where: str, notes: Notes) -> Window | None:
    """43 to 45 (MUST): a channel has a window, with the numbers min and max, start and end."""
    window = raw.get("window")
    if not isinstance(window, Mapping):
        told = f"the window is {kind_of(window)}" if "window" in raw else "the channel has no window"
        notes.error("43", f"{where}.window", told, "give an object with min, max, start and end")
        return None
    usable = True
    for key in _WINDOW_KEYS:
        bound = number(window.get(key))
        if bound is None or not math.isfinite(bound):
            told = f"it is {kind_of(window[key])}" if key in window else f"the window has no {key}"
            notes.error("44" if key in ("min", "max") else "45", f"{where}.window.{key}", told, "give a finite number")
            usable = False
    if not usable:
        return None
    read = Window(
        **{key: window[key] for key in _WINDOW_KEYS},
        extra={key: value for key, value in window.items() if key not in _WINDOW_KEYS},
    )
    notes.extend(checks.ascending_window(read, f"{where}.window"))
    return read


# -- writing -----------------------------------------------------------------------------------------------


def dump_multiscale(multiscale: Multiscale) -> dict[str, Any]:
    """Return a multiscale as JSON: every level with a scale and a translation, no transformation for the whole."""
    dims = multiscale.dims
    known: dict[str, Any] = {
        "name": multiscale.name,
        "axes": [_dump_axis(axis) for axis in multiscale.axes],
        "datasets": [_dump_level(level, dims) for level in multiscale.levels],
        "type": multiscale.type,
        "metadata": None if multiscale.metadata is None else dict(multiscale.metadata),
    }
    return with_extra(present(known), multiscale.extra)


def _dump_axis(axis: Axis) -> dict[str, Any]:
    return with_extra(present({"name": axis.name, "type": axis.type, "unit": axis.unit}), axis.extra)


def _dump_level(level: Level, dims: Sequence[str]) -> dict[str, Any]:
    transforms = [
        {"type": "scale", "scale": [float(level.scale[dim]) for dim in dims]},
        {"type": "translation", "translation": [float(level.translation[dim]) for dim in dims]},
    ]
    return with_extra({"path": level.path, "coordinateTransformations": transforms}, level.extra)


def dump_omero(channels: Sequence[Channel], omero: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rendering of the channels as JSON."""
    return with_extra({"channels": [_dump_channel(channel) for channel in channels]}, omero)


def _dump_channel(channel: Channel) -> dict[str, Any]:
    window = channel.window
    known = {
        "label": channel.label,
        "color": channel.color,
        "window": None
        if window is None
        else with_extra({key: getattr(window, key) for key in _WINDOW_KEYS}, window.extra),
        "active": channel.active,
    }
    return with_extra(present(known), channel.extra)
