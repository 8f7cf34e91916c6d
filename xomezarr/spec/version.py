"""What sets one version of OME-Zarr apart from another, as a value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from xomezarr import checks
from xomezarr.checks.labels import LabelRule
from xomezarr.checks.plates import FieldRule
from xomezarr.model import Image
from xomezarr.report import Finding, Severity
from xomezarr.spec.form import Form
from xomezarr.spec.forms import FIVE, NAMED, OBJECTS
from xomezarr.spec.notes import Notes, kind_of
from xomezarr.spec.systems import SYSTEMS
from xomezarr.spec.values import with_extra

__all__ = ["OWN_KEYS", "TABLE", "VERSION_RULES", "Version", "beside"]

OWN_KEYS = (
    *("multiscales", "omero", "image-label", "labels", "plate", "well"),
    *("bioformats2raw.layout", "series", "ome"),
)
"""Keys of group attributes that are OME-Zarr's, wherever a version has them."""

VERSION_RULES: Mapping[str, str] = {"multiscales": "35", "plate": "73", "well": "82", "image-label": "59"}
"""By which rule each part of the metadata names the version that it is in."""


type GroupRule = Callable[[Image, Mapping[str, Any]], Iterator[Finding]]


def dimensions_repeated(image: Image, attrs: Mapping[str, Any]) -> Iterator[Finding]:
    """0.3c (MUST, 0.3): the attribute _ARRAY_DIMENSIONS of the group repeats the axes.

    It warns, as the official examples lack it, and tools never wrote it; other names are an error.
    """
    told, dims = attrs.get("_ARRAY_DIMENSIONS"), list(image.multiscale.dims)
    if told != dims:
        said = "is missing" if told is None else f"is {told!r}, and the axes are {', '.join(dims)}"
        severity: Severity = "warning" if told is None else "error"
        yield Finding("0.3c", severity, "_ARRAY_DIMENSIONS", f"it {said}", "list the names of the axes")


@dataclass(frozen=True, slots=True)
class Version:
    """A version of OME-Zarr.

    Parameters
    ----------
    name
        As metadata name it.
    zarr_format
        Of the stores that it is of.
    namespace
        Attribute of a group under which its metadata stand, with the version once for all; empty where they stand at
        the top.
    named_in
        Parts of the metadata that name the version too when they are written.
    asked_of
        Those that should name it, by the rule that says so.
    form
        In which a multiscale says what its axes are, and where its levels lie.
    label_rules
        What is demanded of an ``image-label``.
    models
        Package of ome-zarr-models that judges it; empty for a version that is read alone.
    written_as
        Version in which that is written what was read from it: itself, unless it is read alone.
    separator
        What stands between the numbers of a chunk's key in Zarr v2.
    indexed
        Whether the wells of a plate name the places of their row and column.
    group_rules
        What is demanded of the attributes of an image's group as a whole.
    eased
        Rules that it does not have (None), or has as another demand than the versions after it, by number.
    spelled
        What else it was called while it was under way, and is read as.
    field_rules
        What is demanded of the images of a well.
    has_scenes
        Whether groups say how the images in them lie to each other.
    """

    name: str
    zarr_format: int
    namespace: str
    named_in: frozenset[str]
    asked_of: Mapping[str, str]
    form: Form
    label_rules: tuple[LabelRule, ...]
    models: str = ""
    written_as: str = ""
    separator: str = "/"
    indexed: bool = True
    group_rules: tuple[GroupRule, ...] = ()
    eased: Mapping[str, Severity | None] = field(default_factory=dict)
    spelled: frozenset[str] = frozenset()
    field_rules: tuple[FieldRule, ...] = checks.FIELD_RULES
    has_scenes: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "written_as", self.written_as or self.name)

    @property
    def is_written(self) -> bool:
        """Whether stores of it are written, and changed where they are."""
        return self.written_as == self.name

    def place(self, key: str) -> str:
        """Return where a key of the metadata stands, as findings write it."""
        return f"{self.namespace}.{key}" if self.namespace else key

    def asks(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """Yield what of the findings breaks a rule that this version has, with the severity that it gives it."""
        for finding in findings:
            severity = self.eased.get(finding.rule, finding.severity)
            if severity is not None:
                yield finding if severity == finding.severity else replace(finding, severity=severity)

    # -- reading -------------------------------------------------------------------------------------------

    def metadata(self, attrs: Mapping[str, Any], notes: Notes) -> Mapping[str, Any]:
        """Return what group attributes say by this version. 0.5b (MUST): under ``ome`` they name it."""
        if not self.namespace:
            return attrs
        found: Mapping[str, Any] = attrs[self.namespace]
        if found.get("version") not in (self.name, *self.spelled):
            told = f"the version is {kind_of(found.get('version'))}"
            notes.error("0.5b", self.place("version"), told, f'write "{self.name}"')
        return found

    def check_part(self, kind: str, raw: Any, where: str, notes: Notes) -> None:
        """35, 59, 73, 82: a part that should name the version does so (SHOULD), and it is this one (MUST)."""
        if kind not in self.named_in or not isinstance(raw, Mapping):
            return
        if "version" in raw:
            if raw["version"] != self.name:
                told = f"the version is {kind_of(raw['version'])}"
                notes.error(VERSION_RULES[kind], f"{where}.version", told, f'write "{self.name}"')
        elif kind in self.asked_of:
            notes.warn(self.asked_of[kind], where, "the version is not named", f'write "version": "{self.name}"')

    def extra(self, attrs: Mapping[str, Any], *taken: str) -> dict[str, Any]:
        """Return what group attributes hold beside the kinds that are taken, as `extra` of the model holds it."""
        return beside(attrs, self.namespace, taken)

    # -- writing -------------------------------------------------------------------------------------------

    def naming(self, kind: str, part: Mapping[str, Any]) -> dict[str, Any]:
        """Return a part of the metadata with the version, before all else, if such parts name it."""
        named = {"version": self.name} if kind in self.named_in else {}
        return named | dict(part) | named

    def placed(self, known: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
        """Return the group attributes that say what is known, and hold what else there is."""
        inside = extra.get("ome", {})
        if self.namespace:
            return with_extra({self.namespace: with_extra({"version": self.name, **known}, inside)}, extra)
        return with_extra(with_extra(known, inside), {key: value for key, value in extra.items() if key != "ome"})


def beside(attrs: Mapping[str, Any], namespace: str, taken: Sequence[str]) -> dict[str, Any]:
    """Return what group attributes hold beside what is taken, what is OME-Zarr's in a mapping of its own, ``ome``."""
    if namespace:
        others = {key: value for key, value in attrs.items() if key != namespace}
        inside = {key: value for key, value in attrs[namespace].items() if key not in ("version", *taken)}
    else:
        others = {key: value for key, value in attrs.items() if key not in taken}
        inside = {key: others.pop(key) for key in OWN_KEYS if key in others}
    return {**others, "ome": inside} if inside else others


EARLY_RULES: Mapping[str, Severity | None] = {
    # of labels and plates their texts demand less: names of rows and columns may be anything, and lie anywhere
    **dict.fromkeys(("6", "53", "66", "67", "69", "70", "71", "75", "76", "77")),
    "64": "warning",
    "81": "warning",
}
"""What versions up to 0.3 do not ask, or not as strictly."""


def _early(name: str, form: Form, *, separator: str = "/", group_rules: tuple[GroupRule, ...] = ()) -> Version:
    """Return a version up to 0.3; they are read, and not written."""
    return Version(
        name,
        zarr_format=2,
        namespace="",
        named_in=frozenset({*VERSION_RULES, "omero"}),
        # the schemas ask it of plates, the texts of images alone
        asked_of={kind: VERSION_RULES[kind] for kind in ("multiscales", "plate")},
        form=form,
        label_rules=(checks.distinct_rows, checks.distinct_colors),
        written_as="0.4",
        separator=separator,
        indexed=False,
        group_rules=group_rules,
        eased=EARLY_RULES,
    )


TABLE: Mapping[str, Version] = {
    version.name: version
    for version in (
        _early("0.1", FIVE, separator="."),
        _early("0.2", FIVE),
        _early("0.3", NAMED, group_rules=(dimensions_repeated,)),
        Version(
            "0.4",
            zarr_format=2,
            namespace="",
            named_in=frozenset({*VERSION_RULES, "omero"}),
            asked_of=VERSION_RULES,
            form=OBJECTS,
            label_rules=(*checks.LABEL_RULES, checks.distinct_colors),
            models="v04",
        ),
        Version(
            "0.5",
            zarr_format=3,
            namespace="ome",
            # 0.5d: in images the version has no meaning any more. 0.5f: by the text alone plates must name it, and
            # others should; schemas and examples have it once for the group: with both all are content
            named_in=frozenset({"plate", "well", "image-label"}),
            asked_of={"plate": "0.5f"},
            form=OBJECTS,
            label_rules=(*checks.LABEL_RULES, checks.repeated_colors),
            models="v05",
        ),
        Version(
            "0.6",
            zarr_format=3,
            namespace="ome",
            named_in=frozenset(),
            asked_of={},
            form=SYSTEMS,
            label_rules=(*checks.LABEL_RULES, checks.repeated_colors),
            models="v06",
            spelled=frozenset({"0.6rc0"}),
            field_rules=checks.PLAIN_FIELD_RULES,
            has_scenes=True,
        ),
    )
}
"""The versions that are read, the oldest first."""
