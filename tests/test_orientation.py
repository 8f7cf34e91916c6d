"""Which way axes run through a body (RFC-4): an attribute of coordinates, and a part of the axes in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
import zarr

import xomezarr
from xomezarr.errors import AxisError
from xomezarr.orientation import LINE_OF, ORIENTATIONS

if TYPE_CHECKING:
    from pathlib import Path

VERSIONS = ("0.4", "0.5", "0.6")
GIVEN = {"z": "inferior-to-superior", "y": "anterior-to-posterior", "x": "right-to-left"}


def brain(**orientations: str) -> xr.DataArray:
    da = xr.DataArray(np.zeros((2, 4, 16, 16), "uint8"), dims=("t", "z", "y", "x"), name="brain")
    da = da.omezarr.assign_grid(
        scale={"t": 2.0, "z": 0.5, "y": 0.25, "x": 0.25}, units={"t": "s", "z": "mm", "y": "mm", "x": "mm"}
    )
    for dim, orientation in orientations.items():
        da.coords[dim].attrs["orientation"] = orientation
    return da


def axes(store: Any) -> list[dict[str, Any]]:
    """Return the axes as a file has them."""
    attrs: Any = zarr.open_group(store, mode="r").attrs.asdict()
    (multiscale,) = attrs.get("ome", attrs)["multiscales"]
    return multiscale["axes"] if "axes" in multiscale else multiscale["coordinateSystems"][0]["axes"]  # type: ignore[no-any-return]


def in_file(store: Any) -> dict[str, Any]:
    return {axis["name"]: axis["orientation"] for axis in axes(store) if "orientation" in axis}


def in_memory(da: xr.DataArray) -> dict[Any, Any]:
    return {dim: da[dim].attrs["orientation"] for dim in da.dims if "orientation" in da[dim].attrs}


def change(store: Any, dim: str, orientation: Any) -> None:
    """Give an axis another orientation, as another tool would."""
    group = zarr.open_group(store, mode="r+")
    attrs: Any = group.attrs.asdict()
    (multiscale,) = attrs.get("ome", attrs)["multiscales"]
    listed = multiscale["axes"] if "axes" in multiscale else multiscale["coordinateSystems"][0]["axes"]
    (axis,) = [axis for axis in listed if axis["name"] == dim]
    axis["orientation"] = orientation
    if orientation is None:
        del axis["orientation"]
    group.attrs.put(attrs)


def opened(store: Any) -> xr.DataTree:
    return xr.open_datatree(store, engine="omezarr")


def test_the_vocabulary_is_that_of_the_rfc() -> None:
    assert len(ORIENTATIONS) == len(set(ORIENTATIONS)) == 18
    assert {"left-to-right", "posterior-to-anterior", "dorsal-to-palmar", "caudal-to-cranial"} <= {*ORIENTATIONS}
    assert len(set(LINE_OF.values())) == 9


@pytest.mark.parametrize("version", VERSIONS)
def test_c6_orientations_stand_in_the_file_and_come_back(version: str, tmp_path: Path) -> None:
    da = brain(**GIVEN)
    da.omezarr.to_zarr(tmp_path / "a.zarr", version=version, levels=2)
    assert in_file(tmp_path / "a.zarr") == {dim: {"type": "anatomical", "value": v} for dim, v in GIVEN.items()}
    tree = opened(tmp_path / "a.zarr")
    assert [in_memory(level) for level in tree.omezarr.levels] == [GIVEN, GIVEN]
    assert [axis.orientation for axis in tree.omezarr.axes] == [None, *GIVEN.values()]
    assert [axis.orientation for axis in da.omezarr.axes] == [None, *GIVEN.values()]
    back = xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr")
    for dim in da.dims:  # the scale is reading's one addition
        back[dim].attrs.pop("scale")
        da[dim].attrs.pop("scale", None)
    xr.testing.assert_identical(back, da)
    assert list(xomezarr.validate(tmp_path / "a.zarr", strict=True)) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_cropped_and_transposed_keeps_them(version: str, tmp_path: Path) -> None:
    brain(**GIVEN).omezarr.to_zarr(tmp_path / "a.zarr", version=version, levels=2)
    tree = opened(tmp_path / "a.zarr")
    cut = tree.omezarr.level(0).isel(x=slice(3, 9), t=0, drop=True).transpose("x", "y", "z")
    cut.omezarr.to_zarr(tmp_path / "b.zarr", version=version)
    assert in_memory(opened(tmp_path / "b.zarr").omezarr.level(0)) == GIVEN
    tree.omezarr.sel(x=slice(1, 3)).omezarr.to_zarr(tmp_path / "c.zarr", version=version)
    assert in_file(tmp_path / "c.zarr") == in_file(tmp_path / "a.zarr")
    assert in_memory(tree.omezarr.level(0).omezarr.to_units("um")) == GIVEN
    for other in VERSIONS:
        tree.omezarr.to_zarr(tmp_path / f"{other}.zarr", version=other)
        assert in_file(tmp_path / f"{other}.zarr") == in_file(tmp_path / "a.zarr")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kept", [True, False], ids=["ours", "another tool's"])
def test_the_file_counts_where_another_tool_has_changed_it(version: str, kept: bool, tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    brain(**GIVEN).omezarr.to_zarr(store, version=version)
    if not kept:
        zarr.open_group(store, mode="r+").attrs.pop("xomezarr")
    change(store, "x", {"type": "anatomical", "value": "left-to-right"})
    change(store, "z", None)
    assert in_memory(opened(store).omezarr.level(0)) == {"y": GIVEN["y"], "x": "left-to-right"}


def test_what_a_user_takes_away_is_gone(tmp_path: Path) -> None:
    brain(**GIVEN).omezarr.to_zarr(tmp_path / "a.zarr")
    tree = opened(tmp_path / "a.zarr")
    levels = [level.assign_coords(x=level.x.drop_attrs(deep=False)) for level in tree.omezarr.levels]
    levels[0].omezarr.to_zarr(tmp_path / "b.zarr")
    assert in_file(tmp_path / "b.zarr").keys() == {"z", "y"}


def test_a_dimension_without_a_coordinate_keeps_that_of_the_store(tmp_path: Path) -> None:
    da = xr.DataArray(np.zeros((4, 4), "uint8"), dims=("y", "x"), name="a")
    da.omezarr.to_zarr(tmp_path / "a.zarr")
    change(tmp_path / "a.zarr", "x", {"type": "anatomical", "value": "left-to-right"})
    opened(tmp_path / "a.zarr").omezarr.to_zarr(tmp_path / "b.zarr", version="0.5")
    assert in_file(tmp_path / "b.zarr") == in_file(tmp_path / "a.zarr") != {}


OTHERS: list[Any] = [
    {"type": "geographical", "value": "north-to-south"},
    {"type": "anatomical", "value": "left-to-right", "of": "mouse"},
    {"type": "anatomical", "value": "up"},
    "LPS",
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("other", OTHERS, ids=["another type", "more keys", "not listed", "text"])
def test_c6_what_is_not_known_is_kept_as_it_is(version: str, other: Any, tmp_path: Path) -> None:
    brain(y=GIVEN["y"]).omezarr.to_zarr(tmp_path / "a.zarr", version=version)
    change(tmp_path / "a.zarr", "x", other)
    tree = opened(tmp_path / "a.zarr")
    assert in_memory(tree.omezarr.level(0)) == {"y": GIVEN["y"]}
    for written in VERSIONS:
        tree.omezarr.to_zarr(tmp_path / f"{written}.zarr", version=written)
        assert in_file(tmp_path / f"{written}.zarr")["x"] == other
    report = xomezarr.validate(tmp_path / "a.zarr")
    assert report.valid
    assert [one.rule for one in report] == ([] if other in OTHERS[:2] else ["101"])


def test_rule_101_axes_run_along_lines_of_their_own(tmp_path: Path) -> None:
    brain(y="left-to-right").omezarr.to_zarr(tmp_path / "a.zarr")
    change(tmp_path / "a.zarr", "x", {"type": "anatomical", "value": "right-to-left"})
    change(tmp_path / "a.zarr", "t", {"type": "anatomical", "value": "dorsal-to-ventral"})
    report = xomezarr.validate(tmp_path / "a.zarr")
    assert [(one.rule, one.severity) for one in report] == [("101", "warning")] * 2
    assert [one.location for one in report] == [f"multiscales[0].axes[{index}].orientation" for index in (0, 3)]
    assert "along the same line as axis 'y'" in report.findings[1].message


@pytest.mark.parametrize(
    ("orientations", "told"),
    [
        ({"x": "LPS"}, r"coords\['x'\].*'LPS'.*none that OME-Zarr has.*left-to-right"),
        ({"x": ""}, r"coords\['x'\]"),
        ({"t": "left-to-right"}, r"coords\['t'\].*axis of time.*del da\.coords\['t'\]\.attrs\['orientation'\]"),
        ({"y": "left-to-right", "x": "right-to-left"}, r"'y' \(left-to-right\) and 'x' \(right-to-left\) run along"),
    ],
    ids=["no such", "empty", "time", "twice"],
)
def test_c7_what_is_no_orientation_is_refused(orientations: dict[str, str], told: str, tmp_path: Path) -> None:
    with pytest.raises(AxisError, match=told):
        brain(**orientations).omezarr.to_zarr(tmp_path / "a.zarr")
    assert not (tmp_path / "a.zarr").exists()


def test_axes_of_a_quadruped(tmp_path: Path) -> None:
    given = {"z": "dorsal-to-ventral", "y": "rostral-to-caudal", "x": "left-to-right"}
    brain(**given).omezarr.to_zarr(tmp_path / "a.zarr")
    assert in_memory(opened(tmp_path / "a.zarr").omezarr.level(0)) == given


def test_an_attribute_that_is_no_text_is_the_users_own(tmp_path: Path) -> None:
    da = brain()
    da.coords["x"].attrs["orientation"] = [1, 0]
    da.omezarr.to_zarr(tmp_path / "a.zarr")
    assert in_file(tmp_path / "a.zarr") == {}
    assert in_memory(xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr")) == {"x": [1, 0]}


def test_c7_the_object_of_the_file_is_no_attribute(tmp_path: Path) -> None:
    da = brain()
    da.x.attrs["orientation"] = {"type": "anatomical", "value": "left-to-right"}
    with pytest.raises(AxisError, match=r"is the object that the file has; .*\['orientation'\] = 'left-to-right'"):
        da.omezarr.to_zarr(tmp_path / "a.zarr")
    assert not (tmp_path / "a.zarr").exists()
