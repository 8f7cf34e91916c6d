"""Group attributes of one version as another says them: what both say alike stays as it stands, to the last key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xomezarr.errors import MetadataError
from xomezarr.model import Image, Plate
from xomezarr.spec.forms import OBJECTS
from xomezarr.spec.multiscales import dump_multiscale
from xomezarr.spec.plates import dump_plate
from xomezarr.spec.systems import unknown_keys
from xomezarr.spec.version import OWN_KEYS, Version, beside

__all__ = ["restate"]

PLAIN = ("type", "scale", "translation")
"""Keys of a transformation of 0.4 and 0.5."""


def restate(
    attrs: Mapping[str, Any], source: Version, target: Version, image: Image | None, plate: Plate | None
) -> dict[str, Any]:
    """Return group attributes of a version as another says them.

    Parameters
    ----------
    attrs
        Of a group, without what is xomezarr's own.
    source, target
        The two versions.
    image, plate
        What they say of an image, with its levels placed, or of a plate, where the two versions say it in different
        forms; None for what they say alike.

    Raises
    ------
    MetadataError
        If the target cannot hold the image.
    """
    metadata: Mapping[str, Any] = attrs[source.namespace] if source.namespace else attrs
    named = (*OWN_KEYS, "scene") if source.namespace else OWN_KEYS
    keys = [key for key in named if key in metadata and key != "ome"]
    known = {key: _named(key, metadata[key], source, target) for key in keys}
    if "multiscales" in known and image is not None:
        _check_held(image, target)
        if source.form is OBJECTS:
            _check_plain(metadata["multiscales"], target)
        written = [dump_multiscale(multiscale, target.form) for multiscale in image.multiscales]
        known["multiscales"] = [target.naming("multiscales", one) for one in written]
    if "plate" in known and plate is not None:
        known["plate"] = target.naming("plate", dump_plate(plate))
    return target.placed(known, beside(attrs, source.namespace, keys))


def _named(key: str, part: Any, source: Version, target: Version) -> Any:
    """Return a part of the metadata that names the version as the target has it."""
    if key == "multiscales" and isinstance(part, list):
        return [_renamed(key, one, source, target) for one in part]
    return _renamed(key, part, source, target)


def _renamed(key: str, part: Any, source: Version, target: Version) -> Any:
    if not isinstance(part, Mapping):
        return part
    own = {"version"} if key in source.named_in else set()
    return target.naming(key, {name: value for name, value in part.items() if name not in own})


def _check_held(image: Image, target: Version) -> None:
    """Refuse an image of whose coordinate systems something would be lost; names of transformations may go."""
    lost = [] if target.has_scenes else [key for one in image.multiscales for key in unknown_keys(one)]
    if lost:
        raise MetadataError(
            f"coordinate systems and transformations hold {', '.join(map(repr, dict.fromkeys(lost)))}, for which "
            f"OME-Zarr {target.name} has no place; remove them from the metadata first"
        )


def _check_plain(multiscales: Any, target: Version) -> None:
    """Refuse transformations of 0.4 and 0.5 with unknown keys: in another form there are others, and not as many."""
    parts = [part for one in multiscales for part in (one, *one["datasets"])]
    lost = [
        key for part in parts for one in part.get("coordinateTransformations", ()) for key in one if key not in PLAIN
    ]
    if lost:
        raise MetadataError(
            f"coordinateTransformations hold {', '.join(map(repr, dict.fromkeys(lost)))}, for which OME-Zarr "
            f"{target.name} has no place; remove them from the metadata first"
        )
