"""Stores against their metadata: each rule that needs the store, broken alone, in 0.4 and 0.5."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

from xomezarr import checks
from xomezarr.errors import NotOmeZarrError, StoreNotFoundError
from xomezarr.model import Axis, Level, Multiscale
from xomezarr.validate import ARRAY_RULES, StoredArray, check_arrays, validate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

VERSIONS = ("0.4", "0.5")
ZARR_FORMATS = {"0.4": 2, "0.5": 3}
DIMS = ("c", "y", "x")
SHAPES = ((2, 9, 8), (2, 5, 4), (2, 3, 2))


def metadata(version: str, *, channels: int = 2, levels: int = len(SHAPES)) -> dict[str, Any]:
    """Return attributes of a group that break no rule, for three levels at factor 2."""
    multiscale = {
        "name": "cells",
        "axes": [{"name": "c", "type": "channel"}, *({"name": n, "type": "space", "unit": "micrometer"} for n in "yx")],
        "datasets": [
            {
                "path": str(level),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [1.0, 0.5 * 2**level, 0.5 * 2**level]},
                    {"type": "translation", "translation": [0.0, 0.25 * (2**level - 1), 0.25 * (2**level - 1)]},
                ],
            }
            for level in range(levels)
        ],
        "type": "local_mean",
        "metadata": {"method": "xomezarr.local_mean"},
    }
    window = {"min": 0, "max": 255, "start": 0, "end": 255}
    omero = {"channels": [{"color": "FFFFFF", "window": window} for _ in range(channels)]}
    if version == "0.4":
        return {"multiscales": [multiscale | {"version": version}], "omero": omero}
    return {"ome": {"version": version, "multiscales": [multiscale], "omero": omero}}


def add_array(
    group: zarr.Group, path: str, shape: tuple[int, ...], *, names: Sequence[str] | None = DIMS, separator: str = "/"
) -> None:
    if group.metadata.zarr_format == 3:
        group.create_array(path, shape=shape, dtype="uint8", dimension_names=names)
        return
    array = group.create_array(
        path, shape=shape, dtype="uint8", chunk_key_encoding={"name": "v2", "separator": separator}
    )
    if names is not None:
        array.attrs["_ARRAY_DIMENSIONS"] = list(names)


def build(
    version: str,
    store: Any = None,
    *,
    attrs: dict[str, Any] | None = None,
    shapes: Sequence[tuple[int, ...]] = SHAPES,
    arrays: dict[int, dict[str, Any]] | None = None,
    zarr_format: int | None = None,
) -> Any:
    """Write a store that breaks no rule but by what is asked here: `arrays` changes arguments of `add_array`."""
    store = MemoryStore() if store is None else store
    wanted = zarr_format or ZARR_FORMATS[version]
    group = zarr.create_group(store, zarr_format=wanted, attributes=attrs or metadata(version))
    for index, shape in enumerate(shapes):
        add_array(group, str(index), shape, **(arrays or {}).get(index, {}))
    return store


@pytest.mark.parametrize("version", VERSIONS)
def test_a_flawless_store_has_no_findings(version: str) -> None:
    report = validate(build(version), strict=True)
    assert list(report) == []
    assert report.valid
    assert report.version == version


@pytest.mark.parametrize("version", VERSIONS)
def test_a_store_is_named_by_its_path(version: str, tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.zarr"
    build(version, path)
    assert validate(path).store == validate(str(path)).store == str(path)
    assert str(validate(path)) == f"{path}: valid OME-Zarr {version} (0 errors, 0 warnings)"
    assert json.loads(json.dumps(validate(path).to_dict()))["valid"] is True


def scaled(version: str, *scales: float) -> dict[str, Any]:
    """Return metadata by which the pixels of the levels have these sizes in space."""
    attrs = metadata(version)
    datasets = attrs.get("ome", attrs)["multiscales"][0]["datasets"]
    for dataset, scale in zip(datasets, scales, strict=True):
        dataset["coordinateTransformations"][0]["scale"] = [1.0, scale, scale]
    return attrs


# version, findings (rule, severity, location), what breaks the rule
BREAKS: list[tuple[str, list[tuple[str, str, str]], Callable[[], Any]]] = [
    ("0.4", [("1", "error", "zarr_format")], lambda: build("0.4", zarr_format=3)),
    ("0.5", [("0.5a", "error", "zarr_format")], lambda: build("0.5", zarr_format=2)),
    ("0.4", [("2", "warning", "1")], lambda: build("0.4", arrays={1: {"separator": "."}})),
    ("0.4", [("21", "error", "0")], lambda: build("0.4", arrays={0: {"names": ("y", "c", "x")}})),
    ("0.4", [("21", "warning", "2")], lambda: build("0.4", arrays={2: {"names": ("dim_0", "dim_1", "dim_2")}})),
    ("0.4", [], lambda: build("0.4", arrays={0: {"names": None}})),
    ("0.5", [("0.5c", "error", "0")], lambda: build("0.5", arrays={0: {"names": None}})),
    ("0.5", [("0.5c", "error", "1")], lambda: build("0.5", arrays={1: {"names": ("y", "c", "x")}})),
    *[
        (version, findings, make)
        for version in VERSIONS
        for findings, make in [
            (
                [("98", "error", "2")],
                lambda v=version: build(v, shapes=SHAPES[:2]),
            ),
            (
                [("24", "error", "1")],
                lambda v=version: build(v, attrs=scaled(v, 0.5, 0.5, 1.0), shapes=((2, 9, 8), (2, 10, 8), (2, 5, 4))),
            ),
            (
                [("97", "warning", path) for path in ("1", "1", "2", "2")],
                lambda v=version: build(
                    v, attrs=scaled(v, 0.5, 0.5, 0.5), shapes=((2, 90, 80), (2, 45, 40), (2, 23, 20))
                ),
            ),
            ([("46", "warning", "omero.channels")], lambda v=version: build(v, attrs=metadata(v, channels=3))),
            ([("46", "warning", "omero.channels")], lambda v=version: build(v, attrs=metadata(v, channels=1))),
        ]
    ],
]


@pytest.mark.parametrize(
    ("version", "expected", "make"),
    BREAKS,
    ids=[f"{v}-{'-'.join(r for r, *_ in found) or 'ok'}" for v, found, _ in BREAKS],
)
def test_breaking_one_rule_of_stores_gives_that_finding_alone(
    version: str, expected: list[tuple[str, str, str]], make: Callable[[], Any]
) -> None:
    report = validate(make())
    prefix = "ome." if version == "0.5" else ""
    places = [(rule, severity, prefix + at if at.startswith("omero") else at) for rule, severity, at in expected]
    assert [(finding.rule, finding.severity, finding.location) for finding in report] == places
    assert report.valid == all(severity == "warning" for _, severity, _ in expected)


@pytest.mark.parametrize("version", VERSIONS)
def test_rule_13_as_many_axes_as_dimensions(version: str) -> None:
    names = DIMS[1:]
    report = validate(
        build(version, shapes=[shape[1:] for shape in SHAPES], arrays={i: {"names": names} for i in range(3)})
    )
    assert [(finding.rule, finding.location) for finding in report.errors if finding.rule == "13"] == [("13", "0")]
    assert {finding.rule for finding in report} == {"13", "21" if version == "0.4" else "0.5c"}


@pytest.mark.parametrize("version", VERSIONS)
def test_rule_25_all_levels_have_the_same_dimensions(version: str) -> None:
    names: dict[int, dict[str, Any]] = {1: {"names": DIMS[1:]}}
    report = validate(build(version, shapes=[SHAPES[0], SHAPES[1][1:], SHAPES[2]], arrays=names))
    found = {(finding.rule, finding.location) for finding in report}
    assert found == {("25", "1"), ("21" if version == "0.4" else "0.5c", "1")}


@pytest.mark.parametrize("version", VERSIONS)
def test_rule_98_a_path_that_leads_to_a_group(version: str) -> None:
    store = build(version, shapes=SHAPES[:2])
    zarr.open_group(store, mode="r+").create_group("2")
    (finding,) = validate(store)
    assert (finding.rule, finding.location) == ("98", "2")
    assert "there is a group" in finding.message


@pytest.mark.parametrize("version", VERSIONS)
def test_rule_98_an_array_that_cannot_be_opened(version: str, tmp_path: Path) -> None:
    build(version, tmp_path / "a.zarr")
    document = tmp_path / "a.zarr" / "1" / ("zarr.json" if version == "0.5" else ".zarray")
    broken = json.loads(document.read_text()) | (
        {"codecs": [{"name": "no-such-codec"}]} if version == "0.5" else {"dtype": "?!"}
    )
    document.write_text(json.dumps(broken))
    (finding,) = validate(tmp_path / "a.zarr")
    assert (finding.rule, finding.severity, finding.location) == ("98", "error", "1")
    assert "cannot be opened" in finding.message
    document.write_text("{")
    (finding,) = validate(tmp_path / "a.zarr")
    assert (finding.rule, finding.location) == ("98", "1")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_array_missing(version: str) -> None:
    report = validate(build(version, shapes=()))
    assert [(finding.rule, finding.location) for finding in report] == [("98", "0"), ("98", "1"), ("98", "2")]


@pytest.mark.parametrize("version", VERSIONS)
def test_metadata_that_cannot_be_read_are_told_without_the_arrays(version: str) -> None:
    attrs = metadata(version)
    del attrs.get("ome", attrs)["multiscales"][0]["datasets"][1]["path"]
    report = validate(build(version, attrs=attrs, shapes=()))
    assert [finding.rule for finding in report] == ["23"]
    assert report.version == version


@pytest.mark.parametrize("version", VERSIONS)
def test_strict_makes_errors_of_warnings(version: str) -> None:
    store = build(version, attrs=metadata(version, channels=1))
    assert validate(store).valid
    strict = validate(store, strict=True)
    assert not strict.valid
    assert [finding.rule for finding in strict.errors] == ["46"]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_image_without_a_channel_axis_has_one_channel(version: str) -> None:
    attrs = metadata(version, channels=1)
    multiscale = attrs.get("ome", attrs)["multiscales"][0]
    del multiscale["axes"][0]
    for dataset in multiscale["datasets"]:
        for transform in dataset["coordinateTransformations"]:
            del transform[transform["type"]][0]
    shapes = [shape[1:] for shape in SHAPES]
    assert (
        list(validate(build(version, attrs=attrs, shapes=shapes, arrays={i: {"names": DIMS[1:]} for i in range(3)})))
        == []
    )


# -- what is legal -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "axes",
    [
        [{"name": "row", "type": "space"}, {"name": "col", "type": "space"}],
        [{"name": "x", "type": "space"}, {"name": "y", "type": "space"}],
        [{"name": "angle"}, *({"name": name, "type": "space"} for name in "zyx")],
        [
            {"name": "t", "type": "time"},
            {"name": "lifetime", "type": "tau"},
            *({"name": n, "type": "space"} for n in "yx"),
        ],
    ],
    ids=["row-col", "xy", "untyped", "custom"],
)
def test_no_legal_store_is_rejected(version: str, axes: list[dict[str, Any]]) -> None:
    multiscale: dict[str, Any] = {
        "axes": axes,
        "datasets": [{"path": "deep/0", "coordinateTransformations": [{"type": "scale", "scale": [1] * len(axes)}]}],
    }
    attrs = (
        {"multiscales": [multiscale]} if version == "0.4" else {"ome": {"version": "0.5", "multiscales": [multiscale]}}
    )
    store = build(version, attrs=attrs, shapes=())
    names = [axis["name"] for axis in axes]
    add_array(zarr.open_group(store, mode="r+"), "deep/0", (3,) * len(axes), names=names)
    report = validate(store)
    assert report.valid, report
    assert report.warnings


@pytest.mark.parametrize(
    "shapes",
    [
        ((2, 9, 8), (2, 4, 4), (2, 2, 2)),  # floor
        ((2, 9, 8), (2, 5, 4), (2, 3, 2)),  # ceil
        ((2, 7, 1), (2, 4, 1), (2, 2, 1)),  # a single pixel shrinks no further
        ((2, 1001, 1003), (2, 501, 502), (2, 251, 251)),
        ((2, 11, 11), (2, 6, 6), (2, 3, 3)),
    ],
)
def test_rule_97_sizes_may_be_rounded_either_way(shapes: tuple[tuple[int, ...], ...]) -> None:
    assert list(validate(build("0.5", shapes=shapes))) == []


def test_rule_97_names_what_should_be_there() -> None:
    report = validate(build("0.4", shapes=((2, 900, 800), (2, 450, 300), (2, 225, 150))))
    assert [finding.location for finding in report] == ["1", "2"]
    assert "'x' should have 400 pixels, and it has 300" in report.findings[0].message


def test_rule_24_a_level_that_is_longer_along_one_axis_only_warns() -> None:
    axes = (Axis("y", "space"), Axis("x", "space"))
    levels = tuple(Level(str(i), {"y": s[0], "x": s[1]}, {"y": 0, "x": 0}) for i, s in enumerate([(2, 1), (1, 4)]))
    arrays = [StoredArray("0", (10, 80), 2, None), StoredArray("1", (20, 20), 2, None)]
    found = list(check_arrays(Multiscale("cells", axes, levels), arrays))
    assert [(finding.rule, finding.severity, finding.location) for finding in found] == [("24", "warning", "1")]


def test_arrays_that_are_missing_do_not_hide_the_others() -> None:
    axes = (Axis("y", "space"), Axis("x", "space"))
    levels = tuple(Level(str(i), {"y": 1.0, "x": 1.0}, {"y": 0.0, "x": 0.0}) for i in range(3))
    arrays = [None, StoredArray("1", (5, 5), 2, None), StoredArray("2", (6, 6), 2, None)]
    found = list(check_arrays(Multiscale("cells", axes, levels), arrays))
    assert [(finding.rule, finding.location) for finding in found] == [("24", "2")]
    assert list(check_arrays(Multiscale("cells", axes, levels), [None, None, None])) == []


# -- what is no image --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attrs", "zarr_format", "rule", "version", "named"),
    [
        ({"ome": {"version": "0.5"}}, 3, "96", "0.5", "nothing to examine"),
        ({"plate": {"version": "0.0", "wells": []}}, 2, "73", "0.0", "'0.0'"),
        ({"ome": {"version": "0.7", "well": {"images": []}}}, 3, "0.5b", "0.7", "'0.7'"),
        ({"image-label": {"version": "0.0"}}, 2, "59", "0.0", "'0.0'"),
        ({"multiscales": [{"version": "0.0", "datasets": [{"path": "0"}]}]}, 2, "35", "0.0", "'0.0'"),
        ({"ome": {"version": "0.6.dev1", "multiscales": [{}]}}, 3, "0.5b", "0.6.dev1", "'0.6.dev1'"),
    ],
)
def test_c7_what_is_not_examined_is_named(
    attrs: dict[str, Any], zarr_format: int, rule: str, version: str, named: str
) -> None:
    store = MemoryStore()
    zarr.create_group(store, zarr_format=zarr_format, attributes=attrs)
    report = validate(store)
    (finding,) = report
    assert not report.valid
    assert (finding.rule, report.version) == (rule, version)
    assert named in finding.message


def test_c7_no_store_and_no_ome_metadata_are_errors(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="nothing"):
        validate(tmp_path / "nothing.zarr")
    zarr.create_group(tmp_path / "plain.zarr")
    with pytest.raises(NotOmeZarrError, match=r"plain\.zarr.*without OME metadata"):
        validate(tmp_path / "plain.zarr")
    zarr.create_array(tmp_path / "array.zarr", shape=(2, 2), dtype="uint8")
    with pytest.raises(NotOmeZarrError):
        validate(tmp_path / "array.zarr")


def test_c9_no_pixel_is_read(tmp_path: Path) -> None:
    build("0.5", tmp_path / "a.zarr")
    zarr.open_group(tmp_path / "a.zarr")["0"][...] = np.uint8(1)
    chunks = [path for path in (tmp_path / "a.zarr" / "0" / "c").rglob("*") if path.is_file()]
    assert chunks
    for path in chunks:
        path.write_bytes(b"no pixels")
    assert list(validate(tmp_path / "a.zarr")) == []


def test_every_rule_of_arrays_names_its_number() -> None:
    for rule in [*ARRAY_RULES, *checks.AXIS_RULES, *checks.LEVEL_RULES, *checks.MULTISCALE_RULES, *checks.IMAGE_RULES]:
        assert (rule.__doc__ or "")[0].isdigit(), rule
