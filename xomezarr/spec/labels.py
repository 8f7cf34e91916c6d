"""The JSON of ``image-label``, which OME-Zarr 0.4 and 0.5 share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xomezarr.checks.labels import LabelRule
from xomezarr.model import LabelColor, LabelImage, LabelRow
from xomezarr.spec.notes import Notes, kind_of
from xomezarr.spec.values import integer, kept, optional, present, unread, with_extra, with_kept

__all__ = ["as_models_ask", "dump_label", "read_label"]


def read_label(raw: Any, where: str, notes: Notes, rules: Sequence[LabelRule]) -> LabelImage | None:
    """Read what makes an image one of labels. Nothing that is wrong there prevents reading: it is kept as it is.

    Parameters
    ----------
    raw
        The value of the key ``image-label``.
    where
        Its place.
    notes
        Takes the findings.
    rules
        Those of the version.

    Returns
    -------
    LabelImage or None
        None if there is no object to read.
    """
    if not isinstance(raw, Mapping):
        notes.error("94", where, f"it is {kind_of(raw)}", "it must be an object")
        return None
    source, source_extra = _read_source(raw, where, notes)
    colors, of_none = _read_colors(raw, where, notes)
    rows, of_no_label = _read_rows(raw, where, notes)
    objects = {"colors": list, "properties": list, "source": Mapping}
    extra = {
        key: value for key, value in raw.items() if key != "version" and not isinstance(value, objects.get(key, ()))
    }
    extra |= kept("colors", of_none) | kept("properties", of_no_label)
    label = LabelImage(colors, rows, source, source_extra, extra)
    for rule in rules:
        notes.extend(
            finding
            for finding in rule(label, where)
            if not (finding.rule == "53" and "colors" in raw)  # colors that cannot be read were found already
        )
    return label


def _read_colors(raw: Mapping[str, Any], where: str, notes: Notes) -> tuple[tuple[LabelColor, ...] | None, list[Any]]:
    """Return the colors, and the entries that are none."""
    entries = _entries(raw, "colors", "53", where, notes)
    read = [_read_color(entry, f"{where}.colors[{index}]", notes) for index, entry in enumerate(entries)]
    unknown = [entry for entry, color in zip(entries, read, strict=True) if color is None]
    return tuple(color for color in read if color is not None) or None, unknown


def _read_color(raw: Any, where: str, notes: Notes) -> LabelColor | None:
    value = _label_value(raw, "54", where, notes)
    if value is None:
        return None
    rgba = _read_rgba(raw["rgba"], f"{where}.rgba", notes) if "rgba" in raw else None
    if rgba is not None and len(raw) == 2:
        return LabelColor(value, rgba)
    return LabelColor(value, rgba, unread(raw, {"label-value": value, "rgba": rgba}))


def _read_rgba(raw: Any, where: str, notes: Notes) -> tuple[int, int, int, int] | None:
    """55 (MUST): rgba are four integers from 0 to 255."""
    if isinstance(raw, list) and len(raw) == 4:
        red, green, blue, opacity = map(_component, raw)
        if red is not None and green is not None and blue is not None and opacity is not None:
            return red, green, blue, opacity
    told = f"{raw}" if isinstance(raw, list) else kind_of(raw)
    notes.error("55", where, f"it is {told}", "give four integers from 0 to 255: red, green, blue, opacity")
    return None


def _component(raw: Any) -> int | None:
    value = integer(raw)
    return value if value is not None and 0 <= value <= 255 else None


def _read_rows(raw: Mapping[str, Any], where: str, notes: Notes) -> tuple[tuple[LabelRow, ...] | None, list[Any]]:
    """57 (MUST): properties are a list of objects, each with the label that it is about. Others are returned too."""
    entries = _entries(raw, "properties", "57", where, notes)
    rows, unknown = [], []
    for index, entry in enumerate(entries):
        value = _label_value(entry, "57", f"{where}.properties[{index}]", notes)
        if value is None:
            unknown.append(entry)
        else:
            rows.append(LabelRow(value, {key: item for key, item in entry.items() if key != "label-value"}))
    return tuple(rows) or None, unknown


def _entries(raw: Mapping[str, Any], key: str, rule: str, where: str, notes: Notes) -> list[Any]:
    """Return the entries of a list that may be missing, but not be empty."""
    entries = raw.get(key)
    if isinstance(entries, list) and entries:
        return entries
    if key in raw:
        told = "it is empty" if entries == [] else f"it is {kind_of(entries)}"
        notes.error(rule, f"{where}.{key}", told, "list one object for each label, or leave it out")
    return []


def _label_value(raw: Any, rule: str, where: str, notes: Notes) -> int | None:
    """54 (MUST): a color has a label-value, an integer. 57 (MUST): so has an entry of the properties."""
    if not isinstance(raw, dict) and not isinstance(raw, Mapping):  # a class of its own is asked sooner
        notes.error(rule, where, f"it is {kind_of(raw)}", "it must be an object")
        return None
    value = integer(raw.get("label-value"))
    if value is None:
        told = f"it is {kind_of(raw['label-value'])}" if "label-value" in raw else "it is missing"
        notes.error(rule, f"{where}.label-value", told, "give the integer that pixels of the label have")
    return value


def _read_source(raw: Mapping[str, Any], where: str, notes: Notes) -> tuple[str | None, dict[str, Any]]:
    """58 (MUST): the source is an object, and its image a string."""
    source = raw.get("source")
    if not isinstance(source, Mapping):
        if "source" in raw:
            notes.error("58", f"{where}.source", f"it is {kind_of(source)}", 'write {"image": "../../"}')
        return None, {}
    image = optional(source, "image", str, "58", f"{where}.source", notes)
    return image, unread(source, {"image": image})


def dump_label(label: LabelImage) -> dict[str, Any]:
    """Return what makes an image one of labels as JSON; lists that would be empty are left out."""
    source = with_extra(present({"image": label.source}), label.source_extra)
    known: dict[str, Any] = {
        "colors": [
            with_extra(
                present({"label-value": color.value, "rgba": None if color.rgba is None else list(color.rgba)}),
                color.extra,
            )
            for color in label.colors or ()
        ],
        "properties": [with_extra({"label-value": row.value}, row.properties) for row in label.rows or ()],
        "source": source,
    }
    for key in ("colors", "properties"):
        known = with_kept(known, key, label.extra)
    return with_extra({key: value for key, value in known.items() if value}, label.extra)


def as_models_ask(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return an ``image-label`` that breaks no rule without what ome-zarr-models demands beyond the specification.

    It wants an rgba for each color, no color for a label that has one already, and properties of the same labels.
    """
    if "colors" not in raw:
        return dict(raw)
    colors = {color["label-value"]: {"rgba": None, **color} for color in raw["colors"]}
    return {key: value for key, value in raw.items() if key != "properties"} | {"colors": list(colors.values())}
