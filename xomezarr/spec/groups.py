"""The attributes of groups, by what they hold: read into the model, and written from it, in any version."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from xomezarr.model import Channel, Image, LabelImage, Plate, Scene, Well
from xomezarr.spec import plates
from xomezarr.spec.labels import dump_label, read_label
from xomezarr.spec.listings import LAYOUT, read_layout, read_paths
from xomezarr.spec.multiscales import dump_multiscale, dump_omero, read_multiscales, read_omero
from xomezarr.spec.notes import Notes
from xomezarr.spec.scenes import dump_scene, read_scene
from xomezarr.spec.version import Version

__all__ = [
    "READERS",
    "dump",
    "dump_collection",
    "dump_labels",
    "dump_plate",
    "dump_scene_group",
    "dump_series",
    "dump_well",
    "read",
    "read_collection",
    "read_image_label",
    "read_labels",
    "read_plate",
    "read_scene_group",
    "read_series",
    "read_well",
]

# -- reading: None if `notes` names something that prevents it ------------------------------------------------


def read(version: Version, attrs: Mapping[str, Any], notes: Notes) -> Image | None:
    """Read an image. A version in a part that has none there has no meaning, and stays as an unknown key."""
    metadata = version.metadata(attrs, notes)
    where, raw = version.place("multiscales"), metadata.get("multiscales")
    multiscales = read_multiscales(raw, where, notes, version.form, known=_named(version, "multiscales"))
    for index, multiscale in enumerate(raw if isinstance(raw, list) else []):
        version.check_part("multiscales", multiscale, f"{where}[{index}]", notes)
    channels: tuple[Channel, ...] | None = None
    omero: dict[str, Any] = {}
    if "omero" in metadata:
        known = _named(version, "omero")
        channels, omero = read_omero(metadata["omero"], version.place("omero"), notes, known=known)
    label = _read_label(version, metadata, notes) if "image-label" in metadata else None
    if multiscales is None:
        return None
    taken = ("multiscales", "omero", *(("image-label",) if label is not None else ()))
    image = Image(multiscales, channels, version.name, omero, version.extra(attrs, *taken), label)
    for rule in version.group_rules:
        notes.extend(rule(image, attrs))
    return image


def read_image_label(version: Version, attrs: Mapping[str, Any], notes: Notes) -> LabelImage | None:
    """Read what makes a group one of labels, whatever else it holds."""
    return _read_label(version, version.metadata(attrs, notes), notes)


def _read_label(version: Version, metadata: Mapping[str, Any], notes: Notes) -> LabelImage | None:
    raw, where = metadata["image-label"], version.place("image-label")
    version.check_part("image-label", raw, where, notes)
    return read_label(raw, where, notes, version.label_rules)


def _named(version: Version, kind: str) -> tuple[str, ...]:
    return ("version",) if kind in version.named_in else ()


def read_plate(version: Version, attrs: Mapping[str, Any], notes: Notes) -> Plate | None:
    """Read a plate."""
    raw, where = version.metadata(attrs, notes)["plate"], version.place("plate")
    version.check_part("plate", raw, where, notes)
    plate = plates.read_plate(raw, where, notes, indexed=version.indexed)
    return None if plate is None else replace(plate, version=version.name, extra=version.extra(attrs, "plate"))


def read_well(version: Version, attrs: Mapping[str, Any], notes: Notes) -> Well | None:
    """Read a well."""
    raw, where = version.metadata(attrs, notes)["well"], version.place("well")
    version.check_part("well", raw, where, notes)
    well = plates.read_well(raw, where, notes, field_rules=version.field_rules)
    return None if well is None else replace(well, version=version.name, extra=version.extra(attrs, "well"))


def read_scene_group(version: Version, attrs: Mapping[str, Any], notes: Notes) -> Scene | None:
    """Read a scene."""
    raw, where = version.metadata(attrs, notes)["scene"], version.place("scene")
    if not version.has_scenes:
        told = f"there is a scene, and OME-Zarr {version.name} has none"
        notes.stop("0.6d", where, told, "write the group in the version 0.6")
        return None
    scene = read_scene(raw, where, notes)
    return None if scene is None else replace(scene, version=version.name, extra=version.extra(attrs, "scene"))


def read_labels(version: Version, attrs: Mapping[str, Any], notes: Notes) -> tuple[str, ...] | None:
    """Read the paths that a group of labels lists."""
    return read_paths(version.metadata(attrs, notes)["labels"], "47", version.place("labels"), notes)


def read_series(version: Version, attrs: Mapping[str, Any], notes: Notes) -> tuple[str, ...] | None:
    """Read the paths of a collection's images."""
    return read_paths(version.metadata(attrs, notes)["series"], "87", version.place("series"), notes)


def read_collection(version: Version, attrs: Mapping[str, Any], notes: Notes) -> int | None:
    """Read which layout a collection has."""
    key = "bioformats2raw.layout"
    return read_layout(version.metadata(attrs, notes)[key], version.place(key), notes)


READERS: Mapping[str, Callable[[Version, Mapping[str, Any], Notes], Any]] = {
    "multiscales": read,
    "image-label": read_image_label,
    "plate": read_plate,
    "well": read_well,
    "scene": read_scene_group,
    "labels": read_labels,
    "series": read_series,
    "bioformats2raw.layout": read_collection,
}
"""How each kind is read, from group attributes that hold it."""


# -- writing: return group attributes -----------------------------------------------------------------------


def dump(version: Version, image: Image) -> dict[str, Any]:
    """Say what an image says."""
    multiscales = [version.naming("multiscales", dump_multiscale(one, version.form)) for one in image.multiscales]
    known: dict[str, Any] = {"multiscales": multiscales}
    if image.channels is not None:
        known["omero"] = version.naming("omero", dump_omero(image.channels, image.omero))
    if image.label is not None:
        known["image-label"] = version.naming("image-label", dump_label(image.label))
    return version.placed(known, image.extra)


def dump_plate(version: Version, plate: Plate) -> dict[str, Any]:
    """Say what a plate says."""
    return version.placed({"plate": version.naming("plate", plates.dump_plate(plate))}, plate.extra)


def dump_well(version: Version, well: Well) -> dict[str, Any]:
    """Say what a well says."""
    return version.placed({"well": version.naming("well", plates.dump_well(well))}, well.extra)


def dump_scene_group(version: Version, scene: Scene) -> dict[str, Any]:
    """Say what a scene says."""
    return version.placed({"scene": dump_scene(scene)}, scene.extra)


def dump_labels(version: Version, paths: Sequence[str], extra: Mapping[str, Any]) -> dict[str, Any]:
    """List label images."""
    return version.placed({"labels": list(paths)}, extra)


def dump_series(version: Version, paths: Sequence[str], extra: Mapping[str, Any]) -> dict[str, Any]:
    """List the images of a collection."""
    return version.placed({"series": list(paths)}, extra)


def dump_collection(version: Version, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Say that a group is a collection."""
    return version.placed({"bioformats2raw.layout": LAYOUT}, extra)
