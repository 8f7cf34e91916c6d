"""OME-Zarr 0.5: Zarr v3, the OME metadata under the attribute ``ome``, where the version stands once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from xomezarr import checks
from xomezarr.model import Channel, Image, LabelImage, Plate, Well
from xomezarr.spec import judges, plates
from xomezarr.spec.labels import dump_label, read_label
from xomezarr.spec.listings import LAYOUT, read_layout, read_paths
from xomezarr.spec.multiscales import dump_multiscale, dump_omero, read_multiscales, read_omero
from xomezarr.spec.notes import Notes, kind_of
from xomezarr.spec.values import with_extra

__all__ = [
    "NAMESPACE",
    "READERS",
    "VERSION",
    "ZARR_FORMAT",
    "dump",
    "dump_collection",
    "dump_labels",
    "dump_plate",
    "dump_series",
    "dump_well",
    "model",
    "read",
    "read_collection",
    "read_image_label",
    "read_labels",
    "read_plate",
    "read_series",
    "read_well",
]

VERSION = "0.5"
ZARR_FORMAT = 3
NAMESPACE: str | None = "ome"

_LABEL_RULES = (*checks.LABEL_RULES, checks.repeated_colors)


# -- reading -----------------------------------------------------------------------------------------------


def read(attrs: Mapping[str, Any], notes: Notes) -> Image | None:
    """Read the group attributes of an image; None if `notes` names something that prevents it.

    Versions that 0.4 kept in each multiscale and in omero have no meaning here (0.5d), and stay as unknown keys.
    """
    ome = _ome(attrs, notes)
    multiscales = read_multiscales(ome.get("multiscales"), "ome.multiscales", notes)
    channels: tuple[Channel, ...] | None = None
    omero: dict[str, Any] = {}
    if "omero" in ome:
        channels, omero = read_omero(ome["omero"], "ome.omero", notes)
    label = _read_label(ome, notes) if "image-label" in ome else None
    if multiscales is None:
        return None
    taken = ("multiscales", "omero", *(("image-label",) if label is not None else ()))
    return Image(multiscales, channels, VERSION, omero, _extra(attrs, taken), label)


def read_image_label(attrs: Mapping[str, Any], notes: Notes) -> LabelImage | None:
    """Read what makes a group one of labels, whatever else it holds."""
    return _read_label(_ome(attrs, notes), notes)


def _read_label(ome: Mapping[str, Any], notes: Notes) -> LabelImage | None:
    _check_version(ome["image-label"], "ome.image-label", "59", notes)
    return read_label(ome["image-label"], "ome.image-label", notes, _LABEL_RULES)


def read_plate(attrs: Mapping[str, Any], notes: Notes) -> Plate | None:
    """Read the group attributes of a plate; None if `notes` names something that prevents it."""
    raw = _ome(attrs, notes)["plate"]
    _check_version(raw, "ome.plate", "73", notes)
    if isinstance(raw, Mapping) and "version" not in raw:
        # 0.5f (MUST by the text alone): a plate names the version; schemas and examples have it under ome only
        notes.warn("0.5f", "ome.plate", "the version is not named", f'write "version": "{VERSION}"')
    plate = plates.read_plate(raw, "ome.plate", notes)
    return None if plate is None else replace(plate, version=VERSION, extra=_extra(attrs, ("plate",)))


def read_well(attrs: Mapping[str, Any], notes: Notes) -> Well | None:
    """Read the group attributes of a well; None if `notes` names something that prevents it."""
    raw = _ome(attrs, notes)["well"]
    _check_version(raw, "ome.well", "82", notes)
    well = plates.read_well(raw, "ome.well", notes)
    return None if well is None else replace(well, version=VERSION, extra=_extra(attrs, ("well",)))


def read_labels(attrs: Mapping[str, Any], notes: Notes) -> tuple[str, ...] | None:
    """Read the paths that a group of labels lists."""
    return read_paths(_ome(attrs, notes)["labels"], "47", "ome.labels", notes)


def read_series(attrs: Mapping[str, Any], notes: Notes) -> tuple[str, ...] | None:
    """Read the paths of a collection's images."""
    return read_paths(_ome(attrs, notes)["series"], "87", "ome.series", notes)


def read_collection(attrs: Mapping[str, Any], notes: Notes) -> int | None:
    """Read which layout a collection has."""
    return read_layout(_ome(attrs, notes)["bioformats2raw.layout"], "ome.bioformats2raw.layout", notes)


READERS: Mapping[str, Callable[[Mapping[str, Any], Notes], Any]] = {
    "multiscales": read,
    "image-label": read_image_label,
    "plate": read_plate,
    "well": read_well,
    "labels": read_labels,
    "series": read_series,
    "bioformats2raw.layout": read_collection,
}
"""How each kind is examined."""


def _ome(attrs: Mapping[str, Any], notes: Notes) -> Mapping[str, Any]:
    """0.5b (MUST): ome.version is the string "0.5"."""
    ome: Mapping[str, Any] = attrs["ome"]
    if ome.get("version") != VERSION:
        notes.error("0.5b", "ome.version", f"the version is {kind_of(ome.get('version'))}", f'write "{VERSION}"')
    return ome


def _extra(attrs: Mapping[str, Any], taken: Sequence[str]) -> dict[str, Any]:
    """Return what the attributes hold beside what is taken, that under ``ome`` in a mapping of its own."""
    beside = {key: value for key, value in attrs.items() if key != "ome"}
    inside = {key: value for key, value in attrs["ome"].items() if key not in ("version", *taken)}
    return {**beside, "ome": inside} if inside else beside


def _check_version(raw: Any, where: str, rule: str, notes: Notes) -> None:
    """59, 73, 82 (MUST): a version that a part names is that of the group; it need not name one."""
    if isinstance(raw, Mapping) and raw.get("version", VERSION) != VERSION:
        notes.error(rule, f"{where}.version", f"the version is {kind_of(raw['version'])}", f'write "{VERSION}"')


# -- writing -----------------------------------------------------------------------------------------------


def dump(image: Image) -> dict[str, Any]:
    """Return the group attributes that say what `image` says."""
    known: dict[str, Any] = {"multiscales": [dump_multiscale(multiscale) for multiscale in image.multiscales]}
    if image.channels is not None:
        known["omero"] = dump_omero(image.channels, image.omero)
    if image.label is not None:
        known["image-label"] = _versioned(dump_label(image.label))
    return _placed(known, image.extra)


def dump_plate(plate: Plate) -> dict[str, Any]:
    """Return the group attributes of a plate."""
    return _placed({"plate": _versioned(plates.dump_plate(plate))}, plate.extra)


def dump_well(well: Well) -> dict[str, Any]:
    """Return the group attributes of a well."""
    return _placed({"well": _versioned(plates.dump_well(well))}, well.extra)


def dump_labels(paths: Sequence[str], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the group attributes that list label images."""
    return _placed({"labels": list(paths)}, extra)


def dump_series(paths: Sequence[str]) -> dict[str, Any]:
    """Return the group attributes that list the images of a collection."""
    return _placed({"series": list(paths)}, {})


def dump_collection(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the group attributes of a collection."""
    return _placed({"bioformats2raw.layout": LAYOUT}, extra)


def _versioned(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part with the version: the text asks for it, schemas and examples have it once for the group."""
    return {"version": VERSION} | dict(part) | {"version": VERSION}


def _placed(known: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    ome = with_extra({"version": VERSION, **known}, extra.get("ome", {}))
    return with_extra({"ome": ome}, extra)


def model(kind: str) -> Any:
    """Return the model by which ome-zarr-models judges the metadata of a kind."""
    return judges.model("v05", kind)
