"""OME-Zarr 0.4: Zarr v2, the OME metadata at the top of the group's attributes, the version in each part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xomezarr.model import Channel, Image
from xomezarr.spec.multiscales import dump_multiscale, dump_omero, read_multiscales, read_omero, with_extra
from xomezarr.spec.notes import Notes, kind_of

__all__ = ["NAMESPACE", "OWN_KEYS", "VERSION", "ZARR_FORMAT", "dump", "model", "read"]

VERSION = "0.4"
ZARR_FORMAT = 2
NAMESPACE: str | None = None

OWN_KEYS = ("plate", "well", "labels", "image-label", "bioformats2raw.layout", "series", "ome")
"""Keys of the group that are OME's, though they say nothing of the image; later versions move them under ``ome``."""


def read(attrs: Mapping[str, Any], notes: Notes) -> Image | None:
    """Read group attributes; None if `notes` names something that prevents it."""
    multiscales = read_multiscales(attrs.get("multiscales"), "multiscales", notes, known=("version",))
    _check_versions(attrs.get("multiscales"), notes)
    channels: tuple[Channel, ...] | None = None
    omero: dict[str, Any] = {}
    if "omero" in attrs:
        channels, omero = read_omero(attrs["omero"], "omero", notes, known=("version",))
    if multiscales is None:
        return None
    others = {key: value for key, value in attrs.items() if key not in ("multiscales", "omero")}
    inside = {key: others.pop(key) for key in OWN_KEYS if key in others}
    return Image(multiscales, channels, VERSION, omero, {**others, "ome": inside} if inside else others)


def _check_versions(multiscales: Any, notes: Notes) -> None:
    """35 (SHOULD): each multiscale names the version; where it does, the value must be "0.4"."""
    for index, multiscale in enumerate(multiscales if isinstance(multiscales, list) else []):
        if not isinstance(multiscale, Mapping):
            continue
        where = f"multiscales[{index}]"
        if "version" not in multiscale:
            notes.warn("35", where, "the version is not named", f'write "version": "{VERSION}"')
        elif multiscale["version"] != VERSION:
            told = f"the version is {kind_of(multiscale['version'])}"
            notes.error("35", f"{where}.version", told, f'write "{VERSION}"')


def dump(image: Image) -> dict[str, Any]:
    """Return the group attributes that say what `image` says."""
    known: dict[str, Any] = {
        "multiscales": [
            {"version": VERSION} | dump_multiscale(multiscale) | {"version": VERSION}
            for multiscale in image.multiscales
        ]
    }
    if image.channels is not None:
        known["omero"] = dump_omero(image.channels, image.omero) | {"version": VERSION}
    beside = {key: value for key, value in image.extra.items() if key != "ome"}
    return with_extra(with_extra(known, image.extra.get("ome", {})), beside)


def model() -> Any:
    """Return the model by which ome-zarr-models judges the metadata of an image."""
    from ome_zarr_models.v04.image import ImageAttrs

    return ImageAttrs
