"""JSON of OME-Zarr, in its versions, to and from the version-free `xomezarr.model`.

The only place that sees OME-Zarr's JSON or ome-zarr-models. A version is one module and one row of the table
`_MODULES`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Protocol

from xomezarr import checks
from xomezarr.errors import NotOmeZarrError, VersionError
from xomezarr.model import Image
from xomezarr.report import Finding
from xomezarr.spec import v04, v05
from xomezarr.spec.notes import Notes, metadata_error

__all__ = [
    "SIDECAR",
    "VERSIONS",
    "check",
    "detect",
    "dump",
    "findings",
    "is_image",
    "is_ome",
    "ome_part",
    "parse",
    "place",
    "without_image",
    "zarr_format",
]


class VersionModule(Protocol):
    """What the module of a version offers."""

    VERSION: str
    ZARR_FORMAT: int
    NAMESPACE: str | None

    def read(self, attrs: Mapping[str, Any], notes: Notes, /) -> Image | None:
        """Read group attributes; None if `notes` names something that prevents it."""

    def dump(self, image: Image, /) -> dict[str, Any]:
        """Return the group attributes that say what `image` says."""

    def model(self) -> Any:
        """Return the model by which ome-zarr-models judges the metadata of an image."""


_MODULES: tuple[VersionModule, ...] = (v04, v05)
_BY_VERSION = {module.VERSION: module for module in _MODULES}

VERSIONS: tuple[str, ...] = tuple(_BY_VERSION)
"""The versions of OME-Zarr that are read and written, the oldest first."""

SIDECAR = "xomezarr"
"""The attribute beside the OME metadata that is xomezarr's own: no business of OME-Zarr."""

_KINDS = {
    "multiscales": "an image",
    "plate": "a plate",
    "well": "a well of a plate",
    "image-label": "the metadata of a label",
    "labels": "a list of label images",
    "bioformats2raw.layout": "a collection of images as bioformats2raw lays it out",
    "series": "a list of series",
}


def zarr_format(version: str) -> int:
    """Return the Zarr format of a version: 2 for 0.4, 3 for 0.5.

    Raises
    ------
    VersionError
        If the version is not known; it names those that are.
    """
    return _module(version).ZARR_FORMAT


def detect(attrs: Mapping[str, Any]) -> str | None:
    """Return the version of OME-Zarr that group attributes claim.

    Parameters
    ----------
    attrs
        Attributes of a Zarr group.

    Returns
    -------
    str or None
        Any version, known or not. An image of the layout up to 0.4 that names none is ``"0.4"`` or ``"0.3"`` by
        the form of its axes. None if there are no OME metadata, or if they name no version and nothing else tells.
    """
    where, metadata = _locate(attrs)
    if where:  # 0.5 and later: once for the group
        return _claim(metadata.get("version"))
    multiscales = _objects(metadata.get("multiscales"))
    parts = [*multiscales, *_objects([metadata.get(kind) for kind in ("plate", "well", "image-label")])]
    claims = [_claim(part["version"]) for part in parts if "version" in part]
    return claims[0] if claims else next((_by_form(multiscale) for multiscale in multiscales), None)


def is_image(attrs: Mapping[str, Any]) -> bool:
    """Whether group attributes describe an image: they hold ``multiscales``, at the top or under ``ome``."""
    return "multiscales" in _locate(attrs)[1]


def is_ome(attrs: Mapping[str, Any]) -> bool:
    """Whether group attributes hold OME metadata of any kind and version."""
    where, metadata = _locate(attrs)
    return where == "ome" or any(kind in metadata for kind in _KINDS)


def ome_part(attrs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what group attributes say by the specification, of any version; empty where that is nothing."""
    where, metadata = _locate(attrs)
    return metadata if where == "ome" else {key: attrs[key] for key in _KINDS if key in attrs}


def place(attrs: Mapping[str, Any], key: str) -> str:
    """Return where a key of the OME metadata stands, as findings write it.

    >>> place({"ome": {"multiscales": []}}, "omero"), place({"multiscales": []}, "omero")
    ('ome.omero', 'omero')
    """
    where, _ = _locate(attrs)
    return f"{where}.{key}" if where else key


def parse(attrs: Mapping[str, Any]) -> Image:
    """Read the image that group attributes describe.

    The transformations of a multiscale and of its datasets are composed:
    ``position = s_group * (s_dataset * index + t_dataset) + t_group``. A translation that is missing is zero.
    What is wrong without making the image unreadable is passed over here, and told by `findings`: the order and
    the number of axes, the count and order of transformations, all that is wrong in omero.

    Parameters
    ----------
    attrs
        Attributes of a Zarr group.

    Raises
    ------
    NotOmeZarrError
        If there is no image; the message names what there is.
    VersionError
        If the version is not one of `VERSIONS`, or cannot be told.
    MetadataError
        If something prevents reading; the message lists each fault with its place.
    """
    if not is_image(attrs):
        raise NotOmeZarrError(f"the group holds {_kind(attrs)}; open the group of an image")
    module = _reader(attrs)
    if module is None:
        finding = _version_finding(attrs)
        raise VersionError(f"{finding.location}: {finding.message}; {finding.cure}")
    notes = Notes()
    image = module.read(_without_sidecar(attrs), notes)
    if image is None or notes.stops:
        raise metadata_error(
            notes.stops, "the OME metadata cannot be read", "xomezarr.validate(store) lists all that is wrong"
        )
    return image


def dump(image: Image, version: str) -> dict[str, Any]:
    """Return the group attributes by which a version of OME-Zarr says what `image` says.

    Each level has a scale and a translation, by which the transformations of a whole multiscale are not needed.
    What is unknown (None) is left out; unknown keys of the store follow the known ones.

    Parameters
    ----------
    image
        The image; its own `version` is not asked.
    version
        One of `VERSIONS`.

    Raises
    ------
    VersionError
        If the version is not known.
    """
    return _module(version).dump(image)


def without_image(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return group attributes without what they say of an image."""
    where, metadata = _locate(attrs)
    kept = {key: value for key, value in metadata.items() if key not in ("multiscales", "omero")}
    return {**{key: value for key, value in attrs.items() if key != where}, where: kept} if where else kept


def findings(attrs: Mapping[str, Any], *, strict: bool = False) -> list[Finding]:
    """Return what is wrong with group attributes, by every rule that needs no store.

    Parameters
    ----------
    attrs
        Attributes of a Zarr group.
    strict
        Turn each broken SHOULD into an error (see `checks.STRICT_LENIENT` for the exception).
    """
    found = list(_findings(attrs))
    return checks.escalate(found) if strict else found


def check(attrs: Mapping[str, Any], version: str) -> None:
    """Make sure, before anything is written, that group attributes are a valid image of a version.

    The judges are ome-zarr-models and xomezarr's own rules.

    Raises
    ------
    MetadataError
        If a MUST is broken; the message lists each fault with its place.
    VersionError
        If the version is not known.
    """
    module = _module(version)
    found = [finding for finding in findings(attrs) if finding.severity == "error"]
    if not found and detect(attrs) != version:
        message = f"the metadata are of version {detect(attrs)}, not {version}"
        found = [Finding("96", "error", _locate(attrs)[0] or "attributes", message, f'give version="{detect(attrs)}"')]
    if not found:
        found = _second_opinion(attrs, module)
    if found:
        raise metadata_error(
            found,
            f"OME-Zarr {version} does not allow these metadata",
            "xomezarr.spec.findings lists them",
        )


def _findings(attrs: Mapping[str, Any]) -> Iterator[Finding]:
    where, metadata = _locate(attrs)
    if "multiscales" not in metadata:
        message = f"the group holds {_kind(attrs)}, which is not examined"
        yield Finding("96", "error", where or "attributes", message, "validate the group of an image")
        return
    module = _reader(attrs)
    if module is None:
        yield _version_finding(attrs)
        return
    if where and "multiscales" in attrs:
        message = "the group holds metadata of two versions, at the top and under ome"
        cure = f"remove those at the top, which readers of {module.VERSION} skip"
        yield Finding("96", "warning", "multiscales", message, cure)
    notes = Notes()
    module.read(_without_sidecar(attrs), notes)
    yield from notes.findings


def _version_finding(attrs: Mapping[str, Any]) -> Finding:
    """Say why no module of this library reads an image: by its version, or because it names none."""
    where, metadata = _locate(attrs)
    version = detect(attrs)
    rule, place, example = ("0.5b", "ome.version", "0.5") if where else ("35", "multiscales[0].version", "0.4")
    if version is None and not where and not metadata["multiscales"]:
        return Finding("99", "error", "multiscales", "it is empty", "an image has a list of at least one multiscale")
    cure = f'write "{example}" if that is what the metadata are'
    if version is None:
        told = f"no version is named, and nothing else tells it; xomezarr reads {_known()}"
    elif version in _BY_VERSION:
        home = "under ome" if _BY_VERSION[version].NAMESPACE else "at the top of the attributes"
        told = f"the version is {version!r}, whose metadata stand {home}, not here"
    else:
        told = f"the version is {version!r}, which xomezarr does not read; it reads {_known()}"
        cure = f"convert the image to one of these with a tool that knows {version}"
    return Finding(rule, "error", place, told, cure)


def _second_opinion(attrs: Mapping[str, Any], module: VersionModule) -> list[Finding]:
    """95 (own): ome-zarr-models accepts the metadata."""
    where, metadata = _locate(attrs)
    # many images differ by their names alone, and judging takes as long as writing a small one
    unnamed = [
        {**multiscale, "name": ""} if isinstance(multiscale.get("name"), str) else multiscale
        for multiscale in metadata["multiscales"]
    ]
    return list(_judged(module.VERSION, where, json.dumps({**metadata, "multiscales": unnamed})))


@lru_cache(maxsize=64)
def _judged(version: str, where: str, metadata: str) -> tuple[Finding, ...]:
    """Return what ome-zarr-models finds wrong with metadata, as JSON."""
    from pydantic import ValidationError

    try:
        _module(version).model().model_validate(json.loads(metadata))
    except ValidationError as error:
        return tuple(
            Finding("95", "error", _fault_place(where, fault["loc"]), f"ome-zarr-models says: {fault['msg']}")
            for fault in error.errors()
        )
    return ()


def _fault_place(where: str, parts: tuple[int | str, ...]) -> str:
    """Write the place of a fault as our own rules do."""
    place = where
    for part in parts:
        place += f"[{part}]" if isinstance(part, int) else f".{part}"
    return place.lstrip(".")


def _locate(attrs: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return where the OME metadata stand, ``"ome"`` or ``""``, and the metadata.

    An image is preferred to anything else, and ``ome`` to the top. At the top only a list counts: another
    convention of Zarr has an object named ``multiscales`` there.
    """
    ome = attrs.get("ome")
    if isinstance(ome, Mapping) and "multiscales" in ome:
        return "ome", ome
    if isinstance(attrs.get("multiscales"), list):
        return "", attrs
    if isinstance(ome, Mapping):
        return "ome", ome
    return "", {key: value for key, value in attrs.items() if key != "multiscales"}


def _kind(attrs: Mapping[str, Any]) -> str:
    """Name what the group holds, with its version."""
    where, metadata = _locate(attrs)
    kinds = [told for kind, told in _KINDS.items() if kind in metadata]
    version = detect(attrs)
    of = f" of OME-Zarr {version}" if version else ""
    return (
        f"{' and '.join(kinds)}{of}, not an image"
        if kinds
        else f"no OME metadata{' but a version' if where and version else ''}"
    )


def _claim(version: Any) -> str | None:
    """Return a version as a string; some tools write 0.4 as a number."""
    if isinstance(version, bool) or not isinstance(version, str | int | float):
        return None
    return str(version)


def _by_form(multiscale: Mapping[str, Any]) -> str | None:
    """Tell the version of a multiscale that names none: 0.3 brought axes as strings, 0.4 made objects of them."""
    axes = multiscale.get("axes")
    if not isinstance(axes, list) or not axes:
        return None
    if all(isinstance(axis, str) for axis in axes):
        return "0.3"
    return "0.4" if all(isinstance(axis, Mapping) for axis in axes) else None


def _objects(values: Any) -> list[Mapping[str, Any]]:
    return [value for value in values if isinstance(value, Mapping)] if isinstance(values, list) else []


def _without_sidecar(attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attrs.items() if key != SIDECAR}


def _reader(attrs: Mapping[str, Any]) -> VersionModule | None:
    """Return the module that reads an image; None if there is none for its version at its place."""
    where, _ = _locate(attrs)
    module = _BY_VERSION.get(detect(attrs) or "")
    return module if module is not None and (module.NAMESPACE or "") == where else None


def _module(version: str) -> VersionModule:
    if version not in _BY_VERSION:
        raise VersionError(
            f"xomezarr does not know OME-Zarr {version!r}; it knows {_known()}: give version={VERSIONS[0]!r}"
        )
    return _BY_VERSION[version]


def _known() -> str:
    return " and ".join(VERSIONS)
