"""OME-Zarr 0.4: Zarr v2, the OME metadata at the top of the group's attributes, the version in each part."""

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
    "OWN_KEYS",
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

VERSION = "0.4"
ZARR_FORMAT = 2
NAMESPACE: str | None = None

OWN_KEYS = (
    *("multiscales", "omero", "image-label", "labels", "plate", "well"),
    *("bioformats2raw.layout", "series", "ome"),
)
"""Keys of the group that are OME's, though not of the kind that is read; later versions move them under ``ome``."""

_LABEL_RULES = (*checks.LABEL_RULES, checks.distinct_colors)


# -- reading -----------------------------------------------------------------------------------------------


def read(attrs: Mapping[str, Any], notes: Notes) -> Image | None:
    """Read the group attributes of an image; None if `notes` names something that prevents it."""
    multiscales = read_multiscales(attrs.get("multiscales"), "multiscales", notes, known=("version",))
    _check_versions(attrs.get("multiscales"), notes)
    channels: tuple[Channel, ...] | None = None
    omero: dict[str, Any] = {}
    if "omero" in attrs:
        channels, omero = read_omero(attrs["omero"], "omero", notes, known=("version",))
    label = read_image_label(attrs, notes) if "image-label" in attrs else None
    if multiscales is None:
        return None
    taken = ("multiscales", "omero", *(("image-label",) if label is not None else ()))
    return Image(multiscales, channels, VERSION, omero, _extra(attrs, taken), label)


def read_image_label(attrs: Mapping[str, Any], notes: Notes) -> LabelImage | None:
    """Read what makes a group one of labels, whatever else it holds."""
    _check_version(attrs["image-label"], "image-label", "59", notes)
    return read_label(attrs["image-label"], "image-label", notes, _LABEL_RULES)


def read_plate(attrs: Mapping[str, Any], notes: Notes) -> Plate | None:
    """Read the group attributes of a plate; None if `notes` names something that prevents it."""
    _check_version(attrs["plate"], "plate", "73", notes)
    plate = plates.read_plate(attrs["plate"], "plate", notes)
    return None if plate is None else replace(plate, version=VERSION, extra=_extra(attrs, ("plate",)))


def read_well(attrs: Mapping[str, Any], notes: Notes) -> Well | None:
    """Read the group attributes of a well; None if `notes` names something that prevents it."""
    _check_version(attrs["well"], "well", "82", notes)
    well = plates.read_well(attrs["well"], "well", notes)
    return None if well is None else replace(well, version=VERSION, extra=_extra(attrs, ("well",)))


def read_labels(attrs: Mapping[str, Any], notes: Notes) -> tuple[str, ...] | None:
    """Read the paths that a group of labels lists."""
    return read_paths(attrs["labels"], "47", "labels", notes)


def read_series(attrs: Mapping[str, Any], notes: Notes) -> tuple[str, ...] | None:
    """Read the paths of a collection's images."""
    return read_paths(attrs["series"], "87", "series", notes)


def read_collection(attrs: Mapping[str, Any], notes: Notes) -> int | None:
    """Read which layout a collection has."""
    return read_layout(attrs["bioformats2raw.layout"], "bioformats2raw.layout", notes)


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


def _extra(attrs: Mapping[str, Any], taken: Sequence[str]) -> dict[str, Any]:
    """Return what the attributes hold beside what is taken, OME's own keys in a mapping of their own."""
    others = {key: value for key, value in attrs.items() if key not in taken}
    inside = {key: others.pop(key) for key in OWN_KEYS if key in others}
    return {**others, "ome": inside} if inside else others


def _check_versions(multiscales: Any, notes: Notes) -> None:
    """35 (SHOULD): each multiscale names the version."""
    for index, multiscale in enumerate(multiscales if isinstance(multiscales, list) else []):
        _check_version(multiscale, f"multiscales[{index}]", "35", notes)


def _check_version(raw: Any, where: str, rule: str, notes: Notes) -> None:
    """35, 59, 73, 82 (SHOULD): the version is named; where it is, the value must be "0.4"."""
    if not isinstance(raw, Mapping):
        return
    if "version" not in raw:
        notes.warn(rule, where, "the version is not named", f'write "version": "{VERSION}"')
    elif raw["version"] != VERSION:
        notes.error(rule, f"{where}.version", f"the version is {kind_of(raw['version'])}", f'write "{VERSION}"')


# -- writing -----------------------------------------------------------------------------------------------


def dump(image: Image) -> dict[str, Any]:
    """Return the group attributes that say what `image` says."""
    known: dict[str, Any] = {"multiscales": [_versioned(dump_multiscale(one)) for one in image.multiscales]}
    if image.channels is not None:
        known["omero"] = dump_omero(image.channels, image.omero) | {"version": VERSION}
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
    return {"series": list(paths)}


def dump_collection(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the group attributes of a collection."""
    return _placed({"bioformats2raw.layout": LAYOUT}, extra)


def _versioned(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part with the version, before all else."""
    return {"version": VERSION} | dict(part) | {"version": VERSION}


def _placed(known: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    beside = {key: value for key, value in extra.items() if key != "ome"}
    return with_extra(with_extra(known, extra.get("ome", {})), beside)


def model(kind: str) -> Any:
    """Return the model by which ome-zarr-models judges the metadata of a kind."""
    return judges.model("v04", kind)
