"""What the model says comes back from each version that can hold it; what a version cannot hold is an error by name."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_spec import images
from test_spec_kinds import alphanumeric, group_extra, integers, labels, plates, unknown
from test_systems import placed_images

from xomezarr import checks, spec
from xomezarr.errors import MetadataError, VersionError
from xomezarr.model import Field, Image, Systems, Well

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xomezarr.model import LabelImage, Plate

WITH_SYSTEMS = ("0.6",)


def again(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as a file gives them back."""
    found: dict[str, Any] = json.loads(json.dumps(attrs))
    return found


def as_held(image: Image, version: str) -> Image:
    """Return what a version makes of coordinate systems: 0.6 has a name for that of the levels, others have none."""

    def named(systems: Systems | None) -> Systems | None:
        return (systems or Systems("physical")) if version in WITH_SYSTEMS else None

    held = tuple(replace(one, systems=named(one.systems)) for one in image.multiscales)
    return replace(image, version=version, multiscales=held)


def beyond(image: Image, version: str) -> list[str]:
    """Return the names of coordinate systems for which a version has no place."""
    if version in WITH_SYSTEMS:
        return []
    return [name for one in image.multiscales for name in one.other_systems]


@given(images() | placed_images(), st.none() | labels)
@pytest.mark.parametrize("version", spec.VERSIONS)
def test_c6_images_come_back(version: str, image: Image, label: LabelImage | None) -> None:
    image = replace(image, label=label)
    if unheld := beyond(image, version):
        with pytest.raises(MetadataError, match=r'give version="0\.6"') as caught:
            spec.dump(image, version)
        assert any(repr(name) in str(caught.value) for name in unheld)
        return
    if version not in WITH_SYSTEMS and any(one.systems for one in image.multiscales):
        # how 0.6 says where levels lie is another thing in these versions
        image = replace(image, multiscales=tuple(replace(one, levels=plain(one)) for one in image.multiscales))
    assert spec.parse(again(spec.dump(image, version))) == as_held(image, version)


def plain(multiscale: Any) -> Any:
    keys = ("coordinateTransformations",)
    return tuple(
        replace(level, extra={key: value for key, value in level.extra.items() if key not in keys})
        for level in multiscale.levels
    )


@given(plates())
@pytest.mark.parametrize("version", spec.VERSIONS)
def test_c6_plates_come_back(version: str, plate: Plate) -> None:
    assert spec.parse_plate(again(spec.dump_plate(plate, version))) == replace(plate, version=version)


names = alphanumeric | st.from_regex(r"[A-Za-z0-9.-][A-Za-z0-9_.-]{0,3}", fullmatch=True).filter(lambda s: s.strip("."))
wells = st.builds(
    Well,
    st.lists(st.builds(Field, names, integers, unknown), min_size=1, max_size=3, unique_by=lambda f: f.path).map(tuple),
    st.none(),
    unknown,
    group_extra,
)


@given(wells)
@pytest.mark.parametrize("version", spec.VERSIONS)
def test_c6_wells_come_back(version: str, well: Well) -> None:
    written = again(spec.dump_well(well, version))
    assert spec.parse_well(written) == replace(well, version=version)
    # names that only 0.6 has are refused before anything is written
    long = [field.path for field in well.fields if not checks.ALPHANUMERIC.fullmatch(field.path)]
    told = [one.message for one in spec.findings(written) if one.rule == "79"]
    assert told == ([] if version == "0.6" else [f"the path is {path!r}" for path in long])


@given(st.lists(alphanumeric, max_size=3), group_extra)
@pytest.mark.parametrize("version", spec.VERSIONS)
def test_c6_lists_and_collections_come_back(version: str, paths: list[str], extra: dict[str, Any]) -> None:
    beside = {key: value for key, value in extra.items() if key != "ome"}
    for kind, dumped in (
        ("labels", spec.dump_labels(paths, version, beside)),
        ("series", spec.dump_series(paths, version, beside)),
        ("bioformats2raw.layout", spec.dump_layout(version, beside)),
    ):
        attrs = again(dumped)
        assert spec.kinds(attrs) == {kind}
        assert spec.others(attrs, kind) == beside
        assert spec.detect(attrs) == version
        if kind == "bioformats2raw.layout":
            assert spec.layout(attrs) == 3
        else:
            assert {"labels": spec.parse_labels, "series": spec.parse_series}[kind](attrs) == tuple(paths)


@given(images())
def test_c7_versions_that_are_read_alone_are_refused(image: Image) -> None:
    for version in [version for version in spec.READ if version not in spec.VERSIONS]:
        with pytest.raises(VersionError, match=rf"{version}.*read, and not written.*give version='0\.4'"):
            spec.dump(image, version)
    with pytest.raises(VersionError, match=r"does not know OME-Zarr '0\.9'"):
        spec.dump(image, "0.9")


@given(images())
@pytest.mark.parametrize("version", spec.VERSIONS)
def test_c7_levels_that_lie_nowhere_are_refused(version: str, image: Image) -> None:
    lost = replace(image, multiscales=tuple(replace(one, placed=False) for one in image.multiscales))
    with pytest.raises(MetadataError, match="not known where the levels"):
        spec.dump(lost, version)
