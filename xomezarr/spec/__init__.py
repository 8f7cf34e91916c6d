"""JSON of OME-Zarr, in its versions, to and from the version-free `xomezarr.model`.

The only place that sees OME-Zarr's JSON or ome-zarr-models. A version is a value, and a row of `version.TABLE`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from xomezarr import checks
from xomezarr.errors import MetadataError, NotOmeZarrError, VersionError
from xomezarr.model import Image, Multiscale, Plate, Scene, Well
from xomezarr.report import Finding
from xomezarr.spec import groups, single_file
from xomezarr.spec.judges import MODELS, model
from xomezarr.spec.labels import as_models_ask
from xomezarr.spec.notes import Notes, metadata_error
from xomezarr.spec.restate import restate
from xomezarr.spec.scenes import link_findings, scene_edges, scene_paths, system_axes
from xomezarr.spec.systems import (
    INTRINSIC,
    Side,
    arranged,
    axes_by_system,
    edges,
    listed,
    matrices,
    seen_in,
    stored_paths,
    unknown_keys,
    unread,
    with_system,
    without_axes,
)
from xomezarr.spec.transforms import dump_transform
from xomezarr.spec.values import infinite_numbers
from xomezarr.spec.version import OWN_KEYS, TABLE, VERSION_RULES, Version, beside

__all__ = [
    "INTRINSIC",
    "KEYS",
    "READ",
    "SIDECAR",
    "VERSIONS",
    "Side",
    "arranged",
    "asks",
    "axes_by_system",
    "check",
    "check_written",
    "claimed",
    "comment_findings",
    "detect",
    "dump",
    "dump_comment",
    "dump_labels",
    "dump_layout",
    "dump_plate",
    "dump_scene",
    "dump_series",
    "dump_transform",
    "dump_well",
    "edges",
    "findings",
    "infinite_numbers",
    "is_image",
    "is_ome",
    "kinds",
    "layout",
    "link_findings",
    "listed",
    "matrices",
    "of_format",
    "ome_part",
    "others",
    "parse",
    "parse_labels",
    "parse_plate",
    "parse_scene",
    "parse_series",
    "parse_well",
    "place",
    "readable",
    "restated",
    "scene_edges",
    "scene_paths",
    "seen_in",
    "separator",
    "since",
    "stored_paths",
    "system_axes",
    "unheld",
    "unread",
    "with_system",
    "without_axes",
    "without_image",
    "written_as",
    "zarr_format",
]


VERSIONS: tuple[str, ...] = tuple(version.name for version in TABLE.values() if version.is_written)
"""The versions of OME-Zarr that are written, the oldest first."""

READ: tuple[str, ...] = tuple(TABLE)
"""Those that are read."""

SPELLED: Mapping[str, str] = {other: version.name for version in TABLE.values() for other in version.spelled}
"""What versions were called while they were under way."""

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
    "scene": "a scene of images",
}

LISTS = frozenset({"labels", "series"})
"""What every version says alike: ome-zarr-py 0.21 names none with its list of labels."""

UNDER_OME = frozenset({"scene"})
"""What is only known under ``ome``: at the top of the attributes it may be anybody's."""

KEYS = frozenset(OWN_KEYS)
"""Keys of group attributes that are OME-Zarr's."""


def zarr_format(version: str) -> int:
    """Return the Zarr format of a version that is read: 2 up to 0.4, 3 from 0.5 on.

    Raises
    ------
    VersionError
        If the version is not known; it names those that are.
    """
    return _known_version(version).zarr_format


def of_format(zarr_format: int) -> tuple[str, ...]:
    """Return the versions that are written in a Zarr format, the oldest first.

    >>> of_format(2), of_format(3)
    (('0.4',), ('0.5', '0.6'))
    """
    return tuple(version for version in VERSIONS if TABLE[version].zarr_format == zarr_format)


def separator(version: str) -> str:
    """Return what stands between the numbers of chunk keys in Zarr v2: ``"."`` in 0.1, ``"/"`` from 0.2 on.

    Raises
    ------
    VersionError
        As `zarr_format` does.
    """
    return _known_version(version).separator


def since(version: str | None, other: str) -> bool:
    """Whether a version that is read is another one, or came after it.

    >>> since("0.5", "0.5"), since("0.4", "0.5"), since(None, "0.5")
    (True, False, False)
    """
    return version in READ and READ.index(version) >= READ.index(other)


def written_as(version: str | None) -> str:
    """Return in which version that is written what was read from one: the same, unless that is read alone.

    >>> written_as("0.5"), written_as("0.2"), written_as(None)
    ('0.5', '0.4', '0.4')
    """
    return TABLE[version].written_as if version is not None and version in TABLE else VERSIONS[0]


def unheld(multiscale: Multiscale, version: str) -> tuple[str, ...]:
    """Return the unknown keys of coordinate systems and transformations for which a version has no place.

    Without other systems than that of the levels: `dump` refuses those.
    """
    return () if since(version, "0.6") else unknown_keys(multiscale)


def check_written(version: str, *, store: Any = None, in_format: int | None = None) -> None:
    """Make sure that a version is one that is written.

    Parameters
    ----------
    version
        Its name.
    store
        What is of that version, and is to be changed; None where something new is written.
    in_format
        The Zarr format that it is in.

    Raises
    ------
    VersionError
        If it is not, or is kept in another format of Zarr; the message names those that are.
    """
    if store is not None and version in TABLE:
        known = TABLE[version]
        wanted = known.written_as if in_format in (None, known.zarr_format) else of_format(in_format)[0]
        if wanted != version:
            why = "which xomezarr reads and does not write"
            if known.is_written:
                why = f"which is kept in Zarr v{known.zarr_format}, and it is Zarr v{in_format}"
            raise VersionError(
                f"{str(store)!r} is of OME-Zarr {version}, {why}; bring it to another version first: "
                f"xomezarr upgrade {shlex.quote(str(store))} --version {wanted}"
            )
    _version(version)


def asks(version: str | None, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield what of the findings breaks a rule that a version has, with the severity that it gives it."""
    return iter(findings) if version is None or version not in TABLE else TABLE[version].asks(findings)


def detect(attrs: Mapping[str, Any]) -> str | None:
    """Return the version of OME-Zarr that group attributes claim.

    Parameters
    ----------
    attrs
        Attributes of a Zarr group.

    Returns
    -------
    str or None
        Any version, known or not. An image of the layout up to 0.4 that names none is ``"0.4"``, ``"0.3"`` or
        ``"0.2"`` by the form of its axes (0.1 has the same); anything else of that layout is ``"0.4"``. None if there
        are no OME metadata, or if they name no version and nothing else tells.
    """
    if (claim := claimed(attrs)) is not None:
        return claim
    where, metadata = _locate(attrs)
    if where:
        return None
    if "multiscales" in metadata:
        return next((_by_form(multiscale) for multiscale in _objects(metadata.get("multiscales"))), None)
    return VERSIONS[0] if _held(where, metadata) else None


def dump_comment(attrs: Mapping[str, Any]) -> bytes:
    """Return the comment of a single file by the attributes of its root; its documents stand before all else."""
    return single_file.dump(detect(attrs))


def comment_findings(comment: bytes, version: str | None, *, documents_first: bool) -> Iterator[Finding]:
    """Yield what is wrong with the comment of a single file; see `single_file.findings`."""
    return single_file.findings(comment, version, documents_first=documents_first)


def claimed(attrs: Mapping[str, Any]) -> str | None:
    """Return the version that group attributes name, known or not; None where they name none."""
    where, metadata = _locate(attrs)
    if where:  # 0.5 and later: once for the group
        return _claim(metadata.get("version"))
    multiscales = _objects(metadata.get("multiscales"))
    parts = [*multiscales, *_objects([metadata.get(kind) for kind in ("plate", "well", "image-label")])]
    return next((claim for part in parts if (claim := _claim(part.get("version"))) is not None), None)


def readable(attrs: Mapping[str, Any]) -> str | None:
    """Return the version by which group attributes are read; None if they hold nothing, or are of none of `READ`."""
    version = _read_by(attrs) if kinds(attrs) else None
    return None if version is None else version.name


def is_image(attrs: Mapping[str, Any]) -> bool:
    """Whether group attributes describe an image: they hold ``multiscales``, at the top or under ``ome``."""
    return "multiscales" in _locate(attrs)[1]


def is_ome(attrs: Mapping[str, Any]) -> bool:
    """Whether group attributes hold OME metadata of any kind and version."""
    return _locate(attrs)[0] == "ome" or bool(kinds(attrs))


def kinds(attrs: Mapping[str, Any]) -> frozenset[str]:
    """Return what group attributes describe, by the keys of the specification.

    >>> sorted(kinds({"ome": {"version": "0.5", "plate": {}, "bioformats2raw.layout": 3}}))
    ['bioformats2raw.layout', 'plate']
    """
    where, metadata = _locate(attrs)
    return frozenset(_held(where, metadata))


def ome_part(attrs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what group attributes say by the specification, of any version; empty where that is nothing.

    >>> ome_part({"multiscales": [], "omero": {}, "mine": 1})
    {'multiscales': [], 'omero': {}}
    """
    where, metadata = _locate(attrs)
    held = [*_held("", attrs), "omero"]
    return metadata if where == "ome" else {key: attrs[key] for key in held if key in attrs}


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
        If the version is not one of `READ`, or cannot be told.
    MetadataError
        If something prevents reading; the message lists each fault with its place.
    """
    return _read(groups.read, "multiscales", attrs)


def parse_plate(attrs: Mapping[str, Any]) -> Plate:
    """Read the plate that group attributes describe.

    What is wrong without hiding where the wells are is passed over here, and told by `findings`: the path of a well
    decides, whatever its indices say.

    Parameters
    ----------
    attrs
        Attributes of a Zarr group.

    Raises
    ------
    NotOmeZarrError, VersionError, MetadataError
        As `parse` does.
    """
    return _read(groups.read_plate, "plate", attrs)


def parse_well(attrs: Mapping[str, Any]) -> Well:
    """Read the well that group attributes describe.

    Parameters
    ----------
    attrs
        Attributes of a Zarr group.

    Raises
    ------
    NotOmeZarrError, VersionError, MetadataError
        As `parse` does.
    """
    return _read(groups.read_well, "well", attrs)


def parse_scene(attrs: Mapping[str, Any]) -> Scene:
    """Read the scene that group attributes describe.

    Parameters
    ----------
    attrs
        Attributes of a Zarr group.

    Raises
    ------
    NotOmeZarrError, VersionError, MetadataError
        As `parse` does.
    """
    return _read(groups.read_scene_group, "scene", attrs)


def parse_labels(attrs: Mapping[str, Any]) -> tuple[str, ...]:
    """Read which label images a ``labels`` group lists: their paths below it; none where it lists none.

    Parameters
    ----------
    attrs
        Attributes of a Zarr group.

    Raises
    ------
    NotOmeZarrError, VersionError, MetadataError
        As `parse` does.
    """
    if not kinds(attrs):
        return ()
    return _read(groups.read_labels, "labels", attrs)


def parse_series(attrs: Mapping[str, Any]) -> tuple[str, ...]:
    """Read which images a collection has from its group ``OME``: their paths below the collection's group.

    Parameters
    ----------
    attrs
        Attributes of the group ``OME``.

    Raises
    ------
    NotOmeZarrError, VersionError, MetadataError
        As `parse` does.
    """
    return _read(groups.read_series, "series", attrs)


def layout(attrs: Mapping[str, Any]) -> int | None:
    """Return the value of ``bioformats2raw.layout``, by which a group is a collection of images; None where it is none.

    Parameters
    ----------
    attrs
        Attributes of a Zarr group.

    Raises
    ------
    VersionError, MetadataError
        As `parse` does.
    """
    if "bioformats2raw.layout" not in kinds(attrs):
        return None
    return _read(groups.read_collection, "bioformats2raw.layout", attrs)


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
    return groups.dump(_version(version), image)


def dump_plate(plate: Plate, version: str) -> dict[str, Any]:
    """Return the group attributes by which a version of OME-Zarr says what `plate` says, as `dump` does of an image.

    Raises
    ------
    VersionError
        If the version is not known.
    """
    return groups.dump_plate(_version(version), plate)


def dump_well(well: Well, version: str) -> dict[str, Any]:
    """Return the group attributes by which a version of OME-Zarr says what `well` says, as `dump` does of an image.

    Raises
    ------
    VersionError
        If the version is not known.
    """
    return groups.dump_well(_version(version), well)


def dump_scene(scene: Scene, version: str) -> dict[str, Any]:
    """Return the group attributes by which a version of OME-Zarr says what `scene` says, as `dump` does of an image.

    Raises
    ------
    VersionError
        If the version is not known, or has no scenes.
    """
    known = _version(version)
    if not known.has_scenes:
        having = next(name for name in VERSIONS if TABLE[name].has_scenes)
        raise VersionError(
            f"OME-Zarr {version} has no scenes, which say how images lie to each other; give version={having!r}, or "
            "write the images alone, as a collection: xomezarr.write_collection(dict(tree.children), store)"
        )
    return groups.dump_scene_group(known, scene)


def dump_labels(paths: Sequence[str], version: str, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the attributes of a ``labels`` group.

    Parameters
    ----------
    paths
        Of the label images below the group.
    version
        One of `VERSIONS`.
    extra
        Unknown keys of the group, as in `Image`.

    Raises
    ------
    VersionError
        If the version is not known.
    """
    return groups.dump_labels(_version(version), paths, extra or {})


def dump_series(paths: Sequence[str], version: str, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the attributes of the group ``OME`` of a collection.

    Parameters
    ----------
    paths
        Of the images below the collection's group, in the order of its OME-XML.
    version
        One of `VERSIONS`.
    extra
        Unknown keys of the group, as in `Image`.

    Raises
    ------
    VersionError
        If the version is not known.
    """
    return groups.dump_series(_version(version), paths, extra or {})


def dump_layout(version: str, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the attributes of the group of a collection, as bioformats2raw lays it out.

    Parameters
    ----------
    version
        One of `VERSIONS`.
    extra
        Unknown keys of the group, as in `Image`.

    Raises
    ------
    VersionError
        If the version is not known.
    """
    return groups.dump_collection(_version(version), extra or {})


def others(attrs: Mapping[str, Any], *kinds: str) -> dict[str, Any]:
    """Return what group attributes hold beside some kinds, as `extra` of the model's values holds it.

    >>> others({"ome": {"version": "0.5", "labels": [], "theirs": 1}, "mine": 2}, "labels")
    {'mine': 2, 'ome': {'theirs': 1}}
    """
    where, _ = _locate(attrs)
    return beside(_without_sidecar(attrs), where, kinds)


def without_image(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return group attributes without what they say of an image."""
    where, metadata = _locate(attrs)
    kept = {key: value for key, value in metadata.items() if key not in ("multiscales", "omero", "image-label")}
    return {**{key: value for key, value in attrs.items() if key != where}, where: kept} if where else kept


def restated(
    attrs: Mapping[str, Any],
    version: str,
    *,
    placed: Callable[[Image], Image] = lambda image: image,
    above: str | None = None,
) -> dict[str, Any]:
    """Return group attributes as another version says them, with all unknown keys.

    What the two versions say alike stays as it stands, were it wrong. Attributes that are of the version already, or
    hold no OME metadata, are returned as they are.

    Parameters
    ----------
    attrs
        Attributes of a Zarr group.
    version
        One of `VERSIONS`.
    placed
        Called with an image that does not say where its levels lie, which has one multiscale; returns it with that.
    above
        The version of the groups above, of which a list is that names none.

    Raises
    ------
    VersionError
        If either version is not known, or the new one has no scenes.
    MetadataError
        If the new version cannot hold what they say, or does not allow what the old one does; if there are metadata
        of two versions.
    """
    target = _version(version)
    where, metadata = _locate(attrs)
    if not kinds(attrs) and not where:
        return dict(attrs)
    source = (_taken(attrs, above) if kinds(attrs) <= LISTS else None) or _read_by(attrs)
    if source is None:
        finding = _version_finding(attrs)
        raise VersionError(f"{finding.location}: {finding.message}; {finding.cure}")
    # as versions were called, and had their parts, while they were under way
    claim = metadata.get("version")
    under_way = bool(where) and isinstance(claim, str) and claim in source.spelled
    if source is target and not under_way:
        return dict(attrs)
    _check_one_version(attrs, where, target)
    scene = dump_scene(parse_scene(attrs), version) if "scene" in kinds(attrs) else {}
    anew = under_way or source.form is not target.form
    image = _placed(parse(attrs), placed) if is_image(attrs) and anew else None
    plate = parse_plate(attrs) if "plate" in metadata and source.indexed is not target.indexed else None
    made = restate(attrs, source, target, image, plate)
    for key, part in scene.items():
        made[key] = {**made[key], **part} if key == target.namespace else part
    broken = {finding.rule for finding in findings(attrs) if finding.severity == "error"}
    new = [finding for finding in findings(made) if finding.severity == "error" and finding.rule not in broken]
    if new:
        raise metadata_error(
            new,
            f"OME-Zarr {version} does not allow what the metadata say",
            "mend them in the store first, or write anew what is read of it: "
            f"xr.open_datatree(store, engine='omezarr').omezarr.to_zarr('new.ome.zarr', version={version!r})",
        )
    return made


def _placed(image: Image, placed: Callable[[Image], Image]) -> Image:
    """Place the levels of each multiscale of an image."""
    each = [placed(replace(image, multiscales=(one,))) for one in image.multiscales]
    return replace(image, multiscales=tuple(one.multiscale for one in each))


def _check_one_version(attrs: Mapping[str, Any], where: str, target: Version) -> None:
    """Refuse attributes that hold metadata at the top and under ``ome``: those of one would be written over."""
    other = sorted(_held("", attrs)) if where else [key for key in ("ome",) if key in attrs]
    if other and where != target.namespace:
        raise MetadataError(
            f"the group holds metadata of two versions, at the top and under ome; remove {', '.join(other)}, which "
            "readers skip"
        )


def findings(attrs: Mapping[str, Any], *, strict: bool = False, version: str | None = None) -> list[Finding]:
    """Return what is wrong with group attributes, by every rule that needs no store.

    Parameters
    ----------
    attrs
        Attributes of a Zarr group.
    strict
        Turn each broken SHOULD into an error (see `checks.STRICT_LENIENT` for the exception).
    version
        That of the groups above, by which a group is judged that names none and shows none by its form.
    """
    found = list(_findings(attrs, version))
    return checks.escalate(found) if strict else found


def check(attrs: Mapping[str, Any], version: str) -> None:
    """Make sure, before anything is written, that group attributes are valid in a version, whatever they describe.

    The judges are ome-zarr-models and xomezarr's own rules.

    Raises
    ------
    MetadataError
        If a MUST is broken; the message lists each fault with its place.
    VersionError
        If the version is not known.
    """
    known = _version(version)
    found = [finding for finding in findings(attrs) if finding.severity == "error"]
    if not found and detect(attrs) != version:
        message = f"the metadata are of version {detect(attrs)}, not {version}"
        found = [Finding("96", "error", _locate(attrs)[0] or "attributes", message, f'give version="{detect(attrs)}"')]
    if not found:
        found = _second_opinion(attrs, known)
    if found:
        raise metadata_error(
            found,
            f"OME-Zarr {version} does not allow these metadata",
            "xomezarr.spec.findings lists them",
        )


def _read[T](read: Callable[[Version, Mapping[str, Any], Notes], T | None], kind: str, attrs: Mapping[str, Any]) -> T:
    """Read what group attributes hold of a kind; errors are those of `parse`."""
    if kind not in kinds(attrs):
        raise NotOmeZarrError(f"the group holds {_kind(attrs, _KINDS[kind])}; open the group of {_KINDS[kind]}")
    version = _read_by(attrs)
    if version is None:
        finding = _version_finding(attrs)
        raise VersionError(f"{finding.location}: {finding.message}; {finding.cure}")
    notes = Notes()
    found = read(version, _without_sidecar(attrs), notes)
    if found is None or notes.stops:
        raise metadata_error(
            notes.stops, "the OME metadata cannot be read", "xomezarr.validate(store) lists all that is wrong"
        )
    return found


def _findings(attrs: Mapping[str, Any], above: str | None) -> Iterator[Finding]:
    where, _ = _locate(attrs)
    found = kinds(attrs)
    if not found:
        message = f"the group holds {_kind(attrs)}, so that there is nothing to examine"
        yield Finding("96", "error", where or "attributes", message, "validate the group of an image or a plate")
        return
    version = _taken(attrs, above) or _read_by(attrs)
    if version is None:
        yield _version_finding(attrs)
        return
    for kind in _KINDS:
        if where and kind in found and kind in _held("", attrs):
            message = "the group holds metadata of two versions, at the top and under ome"
            cure = f"remove those at the top, which readers of {version.name} skip"
            yield Finding("96", "warning", kind, message, cure)
    notes = Notes()
    if "image-label" in found and "multiscales" not in found:
        # 51 (MUST): the group of a label image is that of an image
        message = "the group holds an image-label and no multiscales"
        notes.error("51", place(attrs, "image-label"), message, "write it beside the multiscales of the label image")
    for kind in _KINDS:
        # an image is read together with its image-label, and 0.5 looks at the version once
        if kind in found and not (kind == "image-label" and "multiscales" in found):
            groups.READERS[kind](version, _without_sidecar(attrs), notes)
    told = dict.fromkeys(notes.findings)
    # what prevents reading does so by any rule
    yield from (found for one in told for found in ([one] if one in notes.stops else version.asks([one])))


def _version_finding(attrs: Mapping[str, Any]) -> Finding:
    """Say why no module of this library reads a group: by its version, or because it names none."""
    where, metadata = _locate(attrs)
    version = detect(attrs)
    kind = next((kind for kind in VERSION_RULES if kind in metadata), "multiscales")
    at = "multiscales[0].version" if kind == "multiscales" else f"{kind}.version"
    rule, at, example = ("0.5b", "ome.version", "0.5") if where else (VERSION_RULES[kind], at, "0.4")
    if version is None and not where and metadata.get("multiscales") == []:
        return Finding("99", "error", "multiscales", "it is empty", "an image has a list of at least one multiscale")
    cure = f'write "{example}" if that is what the metadata are'
    if version is None:
        told = f"no version is named, and nothing else tells it; xomezarr reads {_listed(READ)}"
    elif version in TABLE:
        home = "under ome" if TABLE[version].namespace else "at the top of the attributes"
        told = f"the version is {version!r}, whose metadata stand {home}, not here"
    else:
        told = f"the version is {version!r}, which xomezarr does not read; it reads {_listed(READ)}"
        cure = f"convert it to one of these with a tool that knows {version}"
    return Finding(rule, "error", at, told, cure)


def _second_opinion(attrs: Mapping[str, Any], version: Version) -> list[Finding]:
    """95 (own): ome-zarr-models accepts the metadata."""
    where, metadata = _locate(attrs)
    judged = dict(metadata)
    if "multiscales" in judged:
        judged["multiscales"] = [_as_judged(multiscale, version) for multiscale in judged["multiscales"]]
        if any(axis.get("type") == "array" for axis in _axes(judged["multiscales"])):
            del judged["multiscales"]  # which it refuses, though axes may count pixels from 0.6 on
    if isinstance(judged.get("image-label"), Mapping):
        judged["image-label"] = as_models_ask(judged["image-label"])
    if "plate" in judged:
        judged["plate"] = {"version": version.name, **judged["plate"]}
    document = json.dumps(judged)
    found = [_judged(version.models, where, kind, document) for kind in MODELS if kind in judged]
    return list(dict.fromkeys(fault for faults in found for fault in faults))


def _as_judged(multiscale: Mapping[str, Any], version: Version) -> Mapping[str, Any]:
    """Return what of an image is judged, under one name: many differ by that alone, and judging takes time.

    Of what leads from one coordinate system to another our own rules alone judge: ome-zarr-models asks the
    dimensionality of all that it reads there, which an identity, a bijection and an empty sequence do not have for it,
    and refuses an affine that leads to more axes.
    """
    named = {**multiscale, "name": ""} if isinstance(multiscale.get("name"), str) else multiscale
    return {**named, "coordinateTransformations": []} if since(version.name, "0.6") else named


def _axes(multiscales: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the axes of all coordinate systems."""
    for multiscale in _objects(multiscales):
        for system in _objects(multiscale.get("coordinateSystems")):
            yield from _objects(system.get("axes"))


@lru_cache(maxsize=64)
def _judged(package: str, where: str, kind: str, metadata: str) -> tuple[Finding, ...]:
    """Return what ome-zarr-models finds wrong with metadata, as JSON."""
    from pydantic import ValidationError

    judge = model(package, kind)
    try:
        judge.model_validate(json.loads(metadata))
    except ValidationError as error:
        return tuple(
            Finding("95", "error", _fault_place(where, fault["loc"]), f"ome-zarr-models says: {fault['msg']}")
            for fault in error.errors()
        )
    except Exception:  # it falls over what it does not know, and has judged nothing then
        return ()
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


def _held(where: str, metadata: Mapping[str, Any]) -> list[str]:
    """Return which kinds OME metadata hold that stand there."""
    return [kind for kind in _KINDS if kind in metadata and (where or kind not in UNDER_OME)]


def _kind(attrs: Mapping[str, Any], wanted: str = "") -> str:
    """Name what the group holds, with its version, and what it was expected to hold."""
    where, metadata = _locate(attrs)
    held = [_KINDS[kind] for kind in _held(where, metadata)]
    version = detect(attrs)
    of = f" of OME-Zarr {version}" if version else ""
    if held:
        return f"{' and '.join(held)}{of}{f', not {wanted}' if wanted else ''}"
    return f"no OME metadata{' but a version' if where and version else ''}"


def _claim(version: Any) -> str | None:
    """Return a version as a string, by the name that it has; some tools write 0.4 as a number."""
    if isinstance(version, bool) or not isinstance(version, str | int | float):
        return None
    return SPELLED.get(str(version), str(version))


def _by_form(multiscale: Mapping[str, Any]) -> str | None:
    """Tell the version of a multiscale that names none.

    0.3 brought axes as strings; 0.4 made objects of them, and brought transformations.
    """
    axes, datasets = multiscale.get("axes"), _objects(multiscale.get("datasets"))
    if "axes" not in multiscale and datasets:
        return "0.4" if any("coordinateTransformations" in part for part in (multiscale, *datasets)) else "0.2"
    if not isinstance(axes, list) or not axes:
        return None
    if all(isinstance(axis, str) for axis in axes):
        return "0.3"
    return "0.4" if all(isinstance(axis, Mapping) for axis in axes) else None


def _objects(values: Any) -> list[Mapping[str, Any]]:
    return [value for value in values if isinstance(value, Mapping)] if isinstance(values, list) else []


def _without_sidecar(attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attrs.items() if key != SIDECAR}


def _read_by(attrs: Mapping[str, Any]) -> Version | None:
    """Return the version that a group is read by; None if there is none of that name with its metadata there."""
    where, _ = _locate(attrs)
    version = TABLE.get(detect(attrs) or "")
    return version if version is not None and version.namespace == where else None


def _taken(attrs: Mapping[str, Any], above: str | None) -> Version | None:
    """Return the version of the groups above, where a group is of that: it names none, and shows none by its form."""
    where, metadata = _locate(attrs)
    taken = TABLE.get(above or "")
    if taken is None or taken.namespace != where or claimed(attrs) is not None or "multiscales" in metadata:
        return None
    return taken


def _version(name: str) -> Version:
    """Return a version that is written."""
    version = _known_version(name)
    if not version.is_written:
        raise VersionError(
            f"OME-Zarr {name!r} is read, and not written; xomezarr writes {_listed(VERSIONS)}: "
            f"give version={version.written_as!r}"
        )
    return version


def _known_version(name: str) -> Version:
    if name not in TABLE:
        # 0.5 without its quotation marks is a number
        meant = str(name) if str(name) in VERSIONS else VERSIONS[0]
        raise VersionError(
            f"xomezarr does not know OME-Zarr {name!r}; it writes {_listed(VERSIONS)}: give version={meant!r}"
        )
    return TABLE[name]


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
