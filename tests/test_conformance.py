"""The official suites and examples of OME-Zarr 0.4 and 0.5, case by case; the schemas as second judge."""

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
    from pathlib import Path

CONFORMANCE = SHARED / "conformance"
VERSIONS = ("0.4", "0.5")
IMAGE_SUITES = (("image_suite.json", False), ("strict_image_suite.json", True))

TEXT_RULES = {
    # rule 32 (MUST): "the length of the scale … MUST be equal to the number of axes"; here 2 for 3, and 0.5 mends it
    ("0.4", "valid/mismatch_axes_units.json"): "32",
}
"""Cases that the suites call valid and the text of the specification forbids, with the rule that they break."""

pytestmark = pytest.mark.usefixtures("shared")


def load_suite(version: str, name: str) -> list[dict[str, Any]]:
    path = CONFORMANCE / version / "tests" / name
    return json.loads(path.read_text())["tests"] if path.is_file() else []


def load_example(path: Path) -> dict[str, Any]:
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("//")]
    document = json.loads("\n".join(lines))
    return document.get("attributes", document)


def image_cases() -> list[Any]:
    return [
        pytest.param(
            version,
            strict,
            case,
            id=f"{version}-{name.removesuffix('.json')}-{case['formerly']}-{case.get('description', '')}",
        )
        for version in VERSIONS
        for name, strict in IMAGE_SUITES
        for case in load_suite(version, name)
    ]


def readable_cases() -> list[Any]:
    """Return the valid images, but those that the text forbids."""
    return [
        case
        for case in image_cases()
        if case.values[2]["valid"] and (case.values[0], case.values[2]["formerly"]) not in TEXT_RULES
    ]


def example_cases(folder: str) -> list[Any]:
    return [
        pytest.param(version, path, id=f"{version}-{folder}-{path.stem}")
        for version in VERSIONS
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


@pytest.mark.parametrize(("version", "strict", "case"), image_cases())
def test_official_image_case(version: str, strict: bool, case: dict[str, Any]) -> None:
    found = errors(case["data"], strict=strict)
    rule = TEXT_RULES.get((version, case["formerly"]))
    if rule is not None:
        assert case["valid"]
        assert found == [rule]
        return
    assert (not found) == case["valid"], found


@pytest.mark.parametrize(("version", "strict", "case"), readable_cases())
def test_c6_official_valid_image_is_read_and_written(version: str, strict: bool, case: dict[str, Any]) -> None:
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


@pytest.mark.parametrize(
    ("version", "path"),
    [
        case
        for folder in ("ome", "bf2raw", "plate_strict", "well_strict", "label_strict")
        for case in example_cases(folder)
    ],
)
def test_official_example_that_is_no_image_is_named_not_judged(version: str, path: Path) -> None:
    attrs = load_example(path)
    assert not spec.is_image(attrs)
    assert spec.is_ome(attrs)
    (finding,) = spec.findings(attrs)
    assert (finding.rule, finding.severity) == ("96", "error")
    kinds = {"ome": "series", "bf2raw": "bioformats2raw", "plate_strict": "plate", "well_strict": "well"}
    assert kinds.get(path.parent.name, "label") in finding.message


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["plate", "well", "label"])
@pytest.mark.parametrize("strict", ["", "strict_"])
def test_official_cases_of_other_kinds_are_named_or_read_as_images(version: str, kind: str, strict: str) -> None:
    """Plates, wells and fragments of labels are not examined yet; a label that is an image is examined as one."""
    cases = load_suite(version, f"{strict}{kind}_suite.json")
    assert cases
    for case in cases:
        rules = {finding.rule for finding in spec.findings(case["data"])}
        assert spec.is_image(case["data"]) or rules == {"96"}, case["formerly"]


def test_known_exceptions_of_images_are_those_that_the_tests_name(known_exceptions: dict[str, Any]) -> None:
    listed = {
        (version, entry.split("::")[1].split(" ")[0])
        for version, kinds in known_exceptions.items()
        for entries in kinds.values()
        for entry in entries
        if entry.startswith("image_suite")
    }
    assert listed == set(TEXT_RULES)


@pytest.mark.parametrize(("version", "strict", "case"), image_cases())
def test_our_rules_and_the_official_schemas_agree_on_the_suites(
    version: str, strict: bool, case: dict[str, Any]
) -> None:
    """They differ in one case of 61: the schemas cannot count numbers against axes."""
    judge = schema(version, "strict_image" if strict else "image")
    ours = not errors(case["data"], strict=strict)
    if (version, case["formerly"]) in TEXT_RULES:
        assert judge.is_valid(case["data"])
        assert not ours
        return
    assert judge.is_valid(case["data"]) == ours


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
