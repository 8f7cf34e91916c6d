"""The JSON of ``multiscales`` and ``omero``: what of it is alike in all versions; the rest each reads by its `Form`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xomezarr import checks
from xomezarr.colors import stored_color
from xomezarr.errors import MetadataError
from xomezarr.model import Axis, Channel, Image, Level, Multiscale, Window
from xomezarr.spec.form import Form, Placing
from xomezarr.spec.notes import Notes, kind_of
from xomezarr.spec.values import number, optional, present, with_extra

__all__ = ["dump_multiscale", "dump_omero", "read_multiscales", "read_omero"]

_WINDOW_KEYS = ("min", "max", "start", "end")


# -- reading -----------------------------------------------------------------------------------------------


def read_multiscales(
    raw: Any, where: str, notes: Notes, form: Form, *, known: Sequence[str] = ()
) -> tuple[Multiscale, ...] | None:
    """Read the list of multiscales, so far as it can be.

    Parameters
    ----------
    raw
        The value of the key ``multiscales``.
    where
        Its place.
    notes
        Takes the findings.
    form
        That of the version.
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
    read = [_read_multiscale(entry, f"{where}[{index}]", notes, form, known) for index, entry in enumerate(raw)]
    multiscales = tuple(multiscale for multiscale in read if multiscale is not None)
    if len(multiscales) < len(read):
        return None
    for rule in checks.IMAGE_RULES:
        notes.extend(rule(Image(multiscales), where))
    return multiscales


def _read_multiscale(raw: Any, where: str, notes: Notes, form: Form, known: Sequence[str]) -> Multiscale | None:
    if not isinstance(raw, Mapping):
        notes.stop("99", where, f"a multiscale is {kind_of(raw)}", "it must be an object")
        return None
    extra = {key: value for key, value in raw.items() if key not in ("name", "datasets", *form.keys, *known)}
    axes, systems = form.axes(raw, where, notes)
    name = optional(raw, "name", str, "94", where, notes)
    # type and metadata may be any JSON by the schemas: what the model cannot hold stays among the unknown keys
    method = extra.pop("type") if isinstance(extra.get("type"), str) else None
    metadata = extra.pop("metadata") if isinstance(extra.get("metadata"), Mapping) else None
    for key, told in (("type", "a string"), ("metadata", "an object")):
        if key in extra:
            rule = "36" if key == "type" else "37"
            notes.warn(rule, f"{where}.{key}", f"it is {kind_of(extra[key])}", f"it should be {told}")
    levels = _read_levels(raw, axes, form, where, notes)
    if axes is None or levels is None:
        return None
    placed = form.levels is not None
    multiscale = Multiscale(name, axes, levels, method, metadata, extra, placed=placed, systems=systems)
    if form.check is not None:
        form.check(raw, multiscale, where, notes)
    notes.extend(
        finding
        for finding in checks.check_multiscale(multiscale, where)
        if not (finding.rule == "34" and "name" in raw)  # a name that is no string was found already
    )
    return multiscale


def _read_levels(
    raw: Mapping[str, Any], axes: tuple[Axis, ...] | None, form: Form, where: str, notes: Notes
) -> tuple[Level, ...] | None:
    place = form.levels(raw, axes, where, notes) if form.levels is not None else None
    datasets = raw.get("datasets")
    if not isinstance(datasets, list) or not datasets:
        # 22 (MUST): "datasets" is a list of at least one
        told = "there are no datasets" if not datasets else f"the datasets are {kind_of(datasets)}"
        notes.stop("22", f"{where}.datasets", told, "list one object with a path for each level")
        return None
    read = [
        _read_level(dataset, axes, form, place, f"{where}.datasets[{index}]", notes)
        for index, dataset in enumerate(datasets)
    ]
    levels = tuple(level for level in read if level is not None)
    return levels if len(levels) == len(read) else None


def _read_level(
    raw: Any,
    axes: tuple[Axis, ...] | None,
    form: Form,
    place: Callable[[Mapping[str, Any], str], Placing | None] | None,
    where: str,
    notes: Notes,
) -> Level | None:
    if not isinstance(raw, Mapping):
        notes.stop("22", where, f"the dataset is {kind_of(raw)}", "it must be an object")
        return None
    path = raw.get("path")
    if not isinstance(path, str):
        # 23 (MUST): each dataset has a path, a string
        told = f"the path is {kind_of(path)}" if "path" in raw else "the dataset has no path"
        notes.stop("23", f"{where}.path", told, 'give the path of its array, such as "0"')
    placing = place(raw, where) if place is not None else Placing.identity(len(axes or ()))
    if not isinstance(path, str) or placing is None or axes is None:
        return None
    names = [axis.name for axis in axes]
    extra = {key: value for key, value in raw.items() if key not in ("path", *form.level_keys)}
    level = Level(
        path,
        dict(zip(names, placing.scale, strict=True)),
        # 29 (MUST): no translation is one of zero
        dict(zip(names, placing.translation, strict=True)),
        extra if form.level_kept is None else extra | form.level_kept(raw, placing),
    )
    notes.extend(checks.check_level(level, where), stops={"92"})
    return level


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


def dump_multiscale(multiscale: Multiscale, form: Form) -> dict[str, Any]:
    """Return a multiscale as JSON, in the form of a version that is written.

    Raises
    ------
    MetadataError
        If the version cannot hold it, or it is not known where its levels lie.
    """
    if not multiscale.placed:
        raise MetadataError(
            f"it is not known where the levels of {multiscale.name!r} lie, which is written with each: open the image, "
            "which tells it by their sizes"
        )
    assert form.dump is not None
    assert form.dump_place is not None
    datasets = [
        with_extra({"path": level.path, "coordinateTransformations": form.dump_place(level, multiscale)}, level.extra)
        for level in multiscale.levels
    ]
    known: dict[str, Any] = {
        "name": multiscale.name,
        **form.dump(multiscale),
        "datasets": datasets,
        "type": multiscale.type,
        "metadata": None if multiscale.metadata is None else dict(multiscale.metadata),
    }
    return with_extra(present(known), multiscale.extra)


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
