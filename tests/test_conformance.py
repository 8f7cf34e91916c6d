"""The official suites and examples of OME-Zarr 0.4 to 0.6, case by case; the schemas as second judge."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from conftest import SHARED
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from xomezarr import spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CONFORMANCE = SHARED / "conformance"
VERSIONS = ("0.4", "0.5")
KINDS = ("image", "label", "plate", "well")
SUITES = tuple((f"{strict}{kind}_suite.json", kind, bool(strict)) for kind in KINDS for strict in ("", "strict_"))

TEXT_RULES = {
    # rule 32 (MUST): "the length of the scale … MUST be equal to the number of axes"; here 2 for 3, and 0.5 mends it
    "violates_text_but_suite_says_valid": {"image": "32", "plate": "75"},
    # rule 51 (MUST): the group of an image-label holds multiscales, too
    "label_fragments_without_multiscales": {"label": "51"},
}
"""The rules of the text that the cases in `known_exceptions.json` break though the suites call them valid.

Rule 75 (MUST): the path of a well is the name of a row, a slash, and the name of a column; in these plates of 0.4 it is
the other way round. By reason, then by what the case is about.
"""

pytestmark = pytest.mark.usefixtures("shared")


def load_suite(version: str, name: str) -> list[dict[str, Any]]:
    path = CONFORMANCE / version / "tests" / name
    return json.loads(path.read_text())["tests"] if path.is_file() else []


def load_example(path: Path) -> dict[str, Any]:
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("//")]
    document = json.loads("\n".join(lines))
    return document.get("attributes", document)


def cases(*kinds: str) -> list[Any]:
    """Return the cases of the suites: version, kind, strictness, name of the suite, case."""
    return [
        pytest.param(
            version,
            kind,
            strict,
            name,
            case,
            id=f"{version}-{name.removesuffix('.json')}-{case['formerly']}-{case.get('description', '')}",
        )
        for version in VERSIONS
        for name, kind, strict in SUITES
        if kind in kinds
        for case in load_suite(version, name)
    ]


@cache
def exceptions() -> dict[str, Any]:
    path = CONFORMANCE / "known_exceptions.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found


def text_rule(version: str, kind: str, place: str) -> str | None:
    """Return the rule of the text that a case or example breaks though it is called valid; None for all others.

    An entry of the list may stand for all valid cases of a suite ("label_suite.json x2").
    """
    for reason, rules in TEXT_RULES.items():
        for entry in exceptions().get(version, {}).get(reason, ()):
            listed = entry.split(" ")[0]
            if listed == place or (" x" in entry and place.startswith(f"{listed}::")):
                return rules[kind]
    return None


def readable_cases() -> list[Any]:
    """Return the valid images, but those that the text forbids."""
    return [
        case
        for case in cases("image")
        if case.values[4]["valid"]
        and text_rule(case.values[0], "image", f"{case.values[3]}::{case.values[4]['formerly']}") is None
    ]


def example_cases(*folders: str) -> list[Any]:
    return [
        pytest.param(version, path, id=f"{version}-{folder}-{path.stem}")
        for version in VERSIONS
        for folder in folders
        for path in sorted((CONFORMANCE / version / "examples" / folder).glob("[!.]*.json"))
    ]


def errors(attrs: dict[str, Any], *, strict: bool = False) -> list[str]:
    return [finding.rule for finding in spec.findings(attrs, strict=strict) if finding.severity == "error"]


@cache
def schema(version: str, name: str) -> Draft202012Validator:
    """Return the validator of an official schema, whose references are resolved from the folder."""
    documents = [json.loads(path.read_text()) for path in (CONFORMANCE / version / "schemas").glob("*.schema")]
    registry = Registry().with_resources(
        (document["$id"], Resource.from_contents(document, default_specification=DRAFT202012)) for document in documents
    )
    wanted = next(document for document in documents if document["$id"].endswith(f"/{name}.schema"))
    return Draft202012Validator(wanted, registry=registry)


@pytest.mark.parametrize(("version", "kind", "strict", "suite", "case"), cases(*KINDS))
def test_official_case(version: str, kind: str, strict: bool, suite: str, case: dict[str, Any]) -> None:
    found = errors(case["data"], strict=strict)
    rule = text_rule(version, kind, f"{suite}::{case['formerly']}")
    if case["valid"] and rule is not None:
        assert found == [rule]
        return
    if kind == "label":
        # the invalid ones break more than that they are fragments
        assert found.count("51") == 1
        found.remove("51")
    assert (not found) == case["valid"], found


def test_known_exceptions_are_all_met(shared: Path) -> None:
    """Each entry of the list is a case of the suites or an example, so that none is there for nothing."""
    for version, reasons in exceptions().items():
        for reason, entries in reasons.items():
            for entry in entries:
                place = entry.split(" ")[0]
                if place.startswith("examples/"):
                    assert (CONFORMANCE / version / place).is_file()
                    continue
                suite, _, formerly = place.partition("::")
                met = [case for case in load_suite(version, suite) if not formerly or case["formerly"] == formerly]
                assert met, entry
                wanted = reason != "schema_cannot_catch"
                assert any(case["valid"] == wanted for case in met), entry


@pytest.mark.parametrize(("version", "kind", "strict", "suite", "case"), readable_cases())
def test_c6_official_valid_image_is_read_and_written(
    version: str, kind: str, strict: bool, suite: str, case: dict[str, Any]
) -> None:
    attrs = case["data"]
    image = spec.parse(attrs)
    written = spec.dump(image, version)
    spec.check(written, version)
    assert spec.parse(written) == image
    assert written == normalised(attrs, version)


def normalised(attrs: dict[str, Any], version: str) -> dict[str, Any]:
    """Return what comes back: all that was there, but

    - the version in each multiscale of 0.4,
    - a translation of zero where there was none,
    - the scale of a whole multiscale in each of its datasets.
    """
    attrs = json.loads(json.dumps(attrs))
    for multiscale in attrs.get("ome", attrs)["multiscales"]:
        if version == "0.4":
            multiscale["version"] = version
        ones = [{"type": "scale", "scale": [1] * len(multiscale["axes"])}]
        (whole,) = multiscale.pop("coordinateTransformations", ones)
        for dataset in multiscale["datasets"]:
            scale, *translation = dataset["coordinateTransformations"]
            scale["scale"] = [outer * inner for outer, inner in zip(whole["scale"], scale["scale"], strict=True)]
            if not translation:
                translation = [{"type": "translation", "translation": [0] * len(multiscale["axes"])}]
            dataset["coordinateTransformations"] = [scale, *translation]
    return attrs


@pytest.mark.parametrize(("version", "path"), example_cases("multiscales_strict"))
def test_official_image_example(version: str, path: Path) -> None:
    attrs = load_example(path)
    assert errors(attrs, strict=True) == []
    assert spec.detect(attrs) == version
    image = spec.parse(attrs)
    assert spec.parse(spec.dump(image, version)) == image


@pytest.mark.parametrize(("version", "path"), example_cases("plate_strict", "well_strict", "label_strict"))
def test_official_strict_example(version: str, path: Path) -> None:
    attrs = load_example(path)
    assert spec.detect(attrs) == version
    rule = text_rule(version, "label", f"examples/{path.parent.name}/{path.name}")
    assert errors(attrs, strict=True) == ([] if rule is None else [rule])


@pytest.mark.parametrize(("version", "path"), example_cases("ome", "bf2raw"))
def test_official_example_of_a_collection(version: str, path: Path) -> None:
    """These are no strict ones: the acquisition of the plate has no name."""
    attrs = load_example(path)
    assert spec.detect(attrs) == version
    assert errors(attrs) == []
    assert spec.layout(attrs) == (3 if path.parent.name == "bf2raw" else None)
    assert spec.kinds(attrs) & {"series", "bioformats2raw.layout"}


READ = {"plate": (spec.parse_plate, spec.dump_plate), "well": (spec.parse_well, spec.dump_well)}


@pytest.mark.parametrize(
    ("version", "kind", "strict", "suite", "case"), [case for case in cases("plate", "well") if case.values[4]["valid"]]
)
def test_c6_official_valid_plates_and_wells_are_read_and_written(
    version: str, kind: str, strict: bool, suite: str, case: dict[str, Any]
) -> None:
    parse, dump = READ[kind]
    found: Any = parse(case["data"])  # type: ignore[operator]
    written = dump(found, version)  # type: ignore[operator]
    expected = json.loads(json.dumps(case["data"]))
    expected.get("ome", expected)[kind]["version"] = version
    assert written == expected
    if text_rule(version, kind, f"{suite}::{case['formerly']}") is None:
        spec.check(written, version)


@pytest.mark.parametrize(("version", "kind", "strict", "suite", "case"), cases(*KINDS))
def test_our_rules_and_the_official_schemas_agree_on_the_suites(
    version: str, kind: str, strict: bool, suite: str, case: dict[str, Any]
) -> None:
    """They differ where the text rules, and in the one case that no schema can catch."""
    judged = schema(version, f"strict_{kind}" if strict else kind).is_valid(case["data"])
    place = f"{suite}::{case['formerly']}"
    uncaught = [entry.split(" ")[0] for entry in exceptions()[version].get("schema_cannot_catch", ())]
    assert judged == (case["valid"] or place in uncaught)
    # the schemas do not ask for the multiscales of a label image
    ours = [rule for rule in errors(case["data"], strict=strict) if (kind, rule) != ("label", "51")]
    ruled = kind != "label" and text_rule(version, kind, place) is not None
    assert judged == (not ours or ruled or place in uncaught)


def image(version: str, axes: list[dict[str, Any]]) -> dict[str, Any]:
    multiscale = {
        "axes": axes,
        "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0] * len(axes)}]}],
    }
    if version == "0.4":
        return {"multiscales": [{"version": version, **multiscale}]}
    return {"ome": {"version": version, "multiscales": [multiscale]}}


SPACE = [{"name": name, "type": "space"} for name in "zyx"]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_untyped_axis_is_no_axis_of_space_though_the_schemas_count_it(version: str) -> None:
    """Rule 16: `contains` of the schemas lacks "required: type", so that an untyped axis matches it."""
    legal = image(version, [{"name": "angle"}, *SPACE])
    assert errors(legal) == []
    assert not schema(version, "image").is_valid(legal)
    illegal = image(version, [{"name": "y"}, {"name": "x"}])
    assert schema(version, "image").is_valid(illegal)
    assert "16" in errors(illegal)


@pytest.mark.parametrize("version", VERSIONS)
def test_names_are_unique_though_the_schemas_compare_whole_axes(version: str) -> None:
    """Rule 8: `uniqueItems` of the schemas passes axes that differ in their unit alone."""
    attrs = image(version, [{**SPACE[0], "name": "x", "unit": "meter"}, SPACE[2]])
    assert schema(version, "image").is_valid(attrs)
    assert errors(attrs) == ["8"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("axes", "rule"),
    [
        ([SPACE[1], SPACE[2], {"name": "t", "type": "time"}], "19"),
        ([{"name": "t", "type": "time"}, {"name": "u", "type": "time"}, *SPACE[1:]], "17"),
        ([{"name": "c", "type": "channel"}, {"name": "d", "type": "custom"}, *SPACE[1:]], "18"),
    ],
)
def test_rules_of_types_hold_though_the_schemas_have_none(version: str, axes: list[Any], rule: str) -> None:
    attrs = image(version, axes)
    assert schema(version, "image").is_valid(attrs)
    assert errors(attrs) == [rule]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_null_type_is_read_though_the_schemas_refuse_it(version: str) -> None:
    """The text of "multiscales" allows a null type; the schemas take a missing one only."""
    attrs = image(version, [{"name": "angle", "type": None}, *SPACE[1:]])
    assert not schema(version, "image").is_valid(attrs)
    assert errors(attrs) == []
    assert spec.parse(attrs).multiscale.axes[0].type is None


# -- 0.6, which has a file for each case ---------------------------------------------------------------------

ATTRIBUTES = CONFORMANCE / "0.6" / "tests" / "attributes"
OF_A_KIND = ("image", "label", "plate", "well", "transforms", "scene")

BREAK_THE_TEXT: Mapping[str, Sequence[str]] = {
    # 39: a scale has a number for each axis; here 2 for 3
    "spec/valid/image/mismatch_axes_units.json": ["39"],
    # 39: a byDimension gives each axis of its output; here one is left out
    "spec/valid/image/multiscales_transform_additional_transforms.json": ["39"],
    # 0.6c: further transformations lead from the system of the levels, here "physical", and not from "intrinsic"
    "strict/valid/image/image_omero.json": ["0.6c"],
    # 0.6b: the input of a level is its path, here "1" and not "s1"; 0.6c: from "intrinsic", here the other way round
    "strict/valid/image/multiscales_example.json": ["0.6b", "0.6c", "0.6c"],
    # 75: the path of a well is the name of a row, a slash, and the name of a column; here the other way round
    "spec/valid/plate/minimal_acquisitions.json": ["75"],
    "spec/valid/plate/minimal_no_acquisitions.json": ["75"],
    "spec/valid/plate/non_alphanumeric_row.json": ["75"],
    "strict/valid/plate/strict_acquisitions.json": ["75"],
    "strict/valid/plate/strict_no_acquisitions.json": ["75"],
    # 51: the group of an image-label holds multiscales, too
    "spec/valid/label/minimal.json": ["51"],
    "spec/valid/label/minimal_properties.json": ["51"],
}
"""Cases of 0.6 that are called valid, and the rules of the text that they break."""


def files(*kinds: str) -> list[Any]:
    paths = [path for kind in kinds for path in sorted(ATTRIBUTES.glob(f"*/*/{kind}/*.json"))]
    return [pytest.param(path, id=place_of(path)) for path in paths]


def place_of(path: Path) -> str:
    return path.relative_to(ATTRIBUTES).as_posix()


def load_file(path: Path) -> tuple[dict[str, Any], str]:
    """Return the attributes, and the name of the schema that judges them."""
    attrs = json.loads(path.read_text())
    # one says nothing of its schema
    told = attrs.pop("_conformance", {"schema": {"id": path.parent.name}})
    return attrs, told["schema"]["id"].removeprefix("schemas/").removesuffix(".schema")


def read_files() -> list[Any]:
    """Return the valid images, but those of which the text forbids what is to be read."""
    return [
        file
        for file in files("image", "transforms")
        if "/valid/" in file.id and "39" not in BREAK_THE_TEXT.get(file.id, ())
    ]


def test_no_file_of_06_is_passed_over(shared: Path) -> None:
    found = {place_of(path) for path in ATTRIBUTES.rglob("*.json")}
    assert found == {file.id for file in files(*OF_A_KIND)}
    assert set(BREAK_THE_TEXT) <= found


@pytest.mark.parametrize("path", files(*OF_A_KIND))
def test_official_file_of_06(path: Path) -> None:
    attrs, name = load_file(path)
    valid = path.parent.parent.name == "valid"
    found = errors(attrs, strict=place_of(path).startswith("strict/"))
    assert schema("0.6", name).is_valid(attrs) == valid
    if valid:
        assert found == BREAK_THE_TEXT.get(place_of(path), [])
        return
    if path.parent.name == "label":
        # the invalid ones break more than that they are fragments
        found.remove("51")
    if path.parent.name == "plate":
        # and these more than that rows and columns are the other way round
        found = [rule for rule in found if rule != "75"] or ["75"]
    assert found


@pytest.mark.parametrize("path", [file for file in files("scene") if "/valid/" in file.id])
def test_c6_official_scene_of_06_is_read_and_written(path: Path) -> None:
    attrs, name = load_file(path)
    scene = spec.parse_scene(attrs)
    written = spec.dump_scene(scene, "0.6")
    assert spec.parse_scene(written) == scene
    assert written == {"ome": {**attrs["ome"], "version": "0.6"}}
    assert schema("0.6", name).is_valid(written)
    spec.check(written, "0.6")


@pytest.mark.parametrize("path", read_files())
def test_c6_official_image_of_06_is_read_and_written(path: Path) -> None:
    attrs, name = load_file(path)
    image = spec.parse(attrs)
    written = spec.dump(image, "0.6")
    assert spec.parse(written) == image
    expected = {"ome": {**attrs["ome"], "version": "0.6"}}
    for multiscale in expected["ome"]["multiscales"]:
        for dataset in multiscale["datasets"]:  # one of them leads from the path of another
            dataset["coordinateTransformations"][0]["input"]["path"] = dataset["path"]
    assert written == expected
    assert schema("0.6", name).is_valid(written)
    if place_of(path) not in BREAK_THE_TEXT:
        spec.check(written, "0.6")


@pytest.mark.parametrize("path", [file for file in files("plate", "well") if "/valid/" in file.id])
def test_c6_official_plates_and_wells_of_06_are_read_and_written(path: Path) -> None:
    attrs, name = load_file(path)
    parse, dump = READ[path.parent.name]
    written = dump(parse(attrs), "0.6")  # type: ignore[operator]
    assert written == {"ome": {**attrs["ome"], "version": "0.6"}}
    assert schema("0.6", name).is_valid(written)
    if place_of(path) not in BREAK_THE_TEXT:
        spec.check(written, "0.6")
