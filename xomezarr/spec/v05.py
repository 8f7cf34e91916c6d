"""OME-Zarr 0.5: Zarr v3, the OME metadata under the attribute ``ome``, where the version stands once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xomezarr.model import Channel, Image
from xomezarr.spec.multiscales import dump_multiscale, dump_omero, read_multiscales, read_omero, with_extra
from xomezarr.spec.notes import Notes, kind_of

__all__ = ["NAMESPACE", "VERSION", "ZARR_FORMAT", "dump", "model", "read"]

VERSION = "0.5"
ZARR_FORMAT = 3
NAMESPACE: str | None = "ome"


def read(attrs: Mapping[str, Any], notes: Notes) -> Image | None:
    """Read group attributes; None if `notes` names something that prevents it.

    Versions that 0.4 kept in each multiscale and in omero have no meaning here (0.5d), and stay as unknown keys.
    """
    ome: Mapping[str, Any] = attrs["ome"]
    if ome.get("version") != VERSION:
        # 0.5b (MUST): ome.version is the string "0.5"
        notes.error("0.5b", "ome.version", f"the version is {kind_of(ome.get('version'))}", f'write "{VERSION}"')
    multiscales = read_multiscales(ome.get("multiscales"), "ome.multiscales", notes)
    channels: tuple[Channel, ...] | None = None
    omero: dict[str, Any] = {}
    if "omero" in ome:
        channels, omero = read_omero(ome["omero"], "ome.omero", notes)
    if multiscales is None:
        return None
    beside = {key: value for key, value in attrs.items() if key != "ome"}
    inside = {key: value for key, value in ome.items() if key not in ("version", "multiscales", "omero")}
    return Image(multiscales, channels, VERSION, omero, {**beside, "ome": inside} if inside else beside)


def dump(image: Image) -> dict[str, Any]:
    """Return the group attributes that say what `image` says."""
    known: dict[str, Any] = {
        "version": VERSION,
        "multiscales": [dump_multiscale(multiscale) for multiscale in image.multiscales],
    }
    if image.channels is not None:
        known["omero"] = dump_omero(image.channels, image.omero)
    return with_extra({"ome": with_extra(known, image.extra.get("ome", {}))}, image.extra)


def model() -> Any:
    """Return the model by which ome-zarr-models judges the metadata of an image."""
    from ome_zarr_models.v05.image import ImageAttrs

    return ImageAttrs
