"""C6, C7 of the sidecar alone: values in JSON and back, and the table of what is stored how."""

from __future__ import annotations

import datetime
import json
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from test_roundtrip import assert_same_attrs, attributes, numpy_values, values

from xomezarr import sidecar
from xomezarr.coords import describe
from xomezarr.errors import AttributeEncodingError, MetadataChangedWarning
from xomezarr.model import Axis, Channel, Image, Level, Multiscale, Window


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value, allow_nan=False))


@settings(max_examples=200, deadline=None)
@given(value=values)
def test_c6_values_come_back_through_json(value: Any) -> None:
    assert_same_attrs(sidecar.decode(through_json(sidecar.encode(value, "attrs"))), value)


@settings(max_examples=100, deadline=None)
@given(value=numpy_values)
def test_c6_numpy_values_come_back_bit_for_bit(value: Any) -> None:
    again = sidecar.decode(through_json(sidecar.encode(value, "attrs")))
    assert type(again) is type(value)
    found, wanted = np.asarray(again), np.asarray(value)
    np.testing.assert_array_equal(found, wanted)
    if wanted.dtype.kind in "fc":
        numbers = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(found.real[numbers]), np.signbit(wanted.real[numbers]))


@given(attrs=attributes)
@settings(max_examples=50, deadline=None)
def test_c6_dicts_with_any_keys_come_back(attrs: dict[str, Any]) -> None:
    nested = {sidecar.TAG: attrs, "inner": {sidecar.TAG: sidecar.TAG}}
    assert_same_attrs(sidecar.decode(through_json(sidecar.encode(nested, "attrs"))), nested)


@pytest.mark.parametrize("power", [53, 54, 200, 20_000])
def test_c6_integers_survive_tools_that_hold_numbers_as_float64(power: int) -> None:
    value = -(2**power) - 1
    stored = json.loads(json.dumps(sidecar.encode(value, "attrs")), parse_int=lambda digits: int(float(digits)))
    assert sidecar.decode(stored) == value


def test_c7_a_time_zone_that_has_no_offset_of_its_own_is_refused() -> None:
    when = datetime.datetime(2024, 7, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    with pytest.raises(AttributeEncodingError, match=r"attrs\['when'\].*Europe/Berlin.*astimezone"):
        sidecar.encode({"when": when}, "attrs")


def test_c7_attributes_are_checked_without_knowing_the_dimensions() -> None:
    da = xr.DataArray(np.zeros(3), {"x": [3.0, 1.0, 2.0]}, ("x",), attrs={"bad": {1}})
    with pytest.raises(AttributeEncodingError, match=r"attrs\['bad'\]"):
        sidecar.check(da)
    sidecar.check(da.drop_attrs())


# --- how coordinates are stored ------------------------------------------------------------------------------


def image_of(da: xr.DataArray, channels: tuple[Channel, ...] | None = None) -> Image:
    dimensions = describe(da)
    scale = {dimension.name: dimension.grid.scale for dimension in dimensions}
    translation = {dimension.name: dimension.grid.translation for dimension in dimensions}
    axes = tuple(dimension.axis for dimension in dimensions)
    return Image((Multiscale("cells", axes, (Level("0", scale, translation),)),), channels)


@pytest.mark.parametrize(
    ("coord", "how"),
    [
        (np.arange(500) * 0.325, "grid"),
        (np.arange(500, dtype="f4"), "grid"),
        (np.arange(1000, 1500) * 0.325, "array"),
        (np.arange(500).astype("i8"), "grid"),
    ],
)
def test_c6_what_the_grid_gives_is_not_stored_twice(coord: Any, how: str) -> None:
    da = xr.DataArray(np.zeros((500, 2)), {"y": coord}, ("y", "x"))
    attribute, arrays = sidecar.dump(da, describe(da), image_of(da))
    assert how in attribute["coords"]["y"]
    assert len(arrays) == (how == "array")
    json.dumps(attribute, allow_nan=False)


def test_c6_a_zero_below_zero_is_not_what_the_grid_gives() -> None:
    da = xr.DataArray(np.zeros((2, 2)), {"y": [-0.0, 1.0]}, ("y", "x"))
    attribute, _ = sidecar.dump(da, describe(da), image_of(da))
    assert "values" in attribute["coords"]["y"]
    assert np.signbit(load(attribute, da).coords["y"].values[0])


def load(attribute: Any, da: xr.DataArray, image: Image | None = None) -> sidecar.Sidecar:
    sizes = {str(dim): size for dim, size in da.sizes.items()}
    kept = sidecar.load(through_json(attribute), image or image_of(da), sizes, lambda *_: None)
    assert kept is not None
    return kept


@pytest.mark.parametrize("value", [None, [], 3, "text", {}, {"format": 1}, {"format": 2}])
def test_c6_what_is_no_sidecar_is_left_out_with_a_warning(value: Any) -> None:
    da = xr.DataArray(np.zeros((2, 2)), dims=("y", "x"))
    with pytest.warns(MetadataChangedWarning, match=r"cannot be understood .*write the image anew"):
        assert sidecar.load(value, image_of(da), {"y": 2, "x": 2}, lambda *_: None) is None


def test_c6_one_broken_coordinate_does_not_take_the_others_with_it() -> None:
    da = xr.DataArray(np.zeros((2, 2)), {"a": ("y", [1, 2]), "b": ("y", [3, 4])}, ("y", "x"), "n", {"k": 1})
    attribute, _ = sidecar.dump(da, describe(da), image_of(da))
    attribute["coords"]["a"]["dtype"] = "no such dtype"
    with pytest.warns(MetadataChangedWarning, match=r"coords\['a'\]: TypeError"):
        kept = load(attribute, da)
    assert kept.coords["b"].values.tolist() == [3, 4]
    assert (kept.name, kept.attrs, "a" in kept.coords) == ("n", {"k": 1}, False)


def test_c6_an_axis_that_another_tool_removed_takes_its_coordinates_along() -> None:
    da = xr.DataArray(np.zeros((3, 2, 2)), {"a": ("t", [1, 2, 3]), "b": ("y", [3, 4])}, ("t", "y", "x"), "n", {"k": 1})
    attribute, _ = sidecar.dump(da, describe(da), image_of(da))
    rest = da.isel(t=0, drop=True)
    with pytest.warns(MetadataChangedWarning, match=r"axis 't' is gone; coordinate 'a' has lost its dimension"):
        kept = load(attribute, rest)
    assert kept.dims == ("y", "x")
    assert kept.attrs == {"k": 1}
    assert list(kept.coords) == ["b"]


def test_c6_the_fingerprint_sees_what_matters_and_nothing_else() -> None:
    da = xr.DataArray(np.zeros((1, 2, 2)), dims=("c", "y", "x"))
    one = image_of(da, (Channel("a", "FF00AA", Window(0, 255, 1, 9), True),))
    same = image_of(da, (Channel("a", "ff00aa", Window(0.0, 255.0, 1.0, 9.0), True, {"family": "linear"}),))
    other = image_of(da, (Channel("a", "FF00AB", Window(0, 255, 1, 9), True),))
    seen, beside, differs = (sidecar.fingerprint(image) for image in (one, same, other))
    assert seen.pop("channel_extra") is None
    assert beside.pop("channel_extra") is not None
    assert seen == beside
    assert seen["channels"] != differs["channels"]


def test_c2_an_image_of_another_tool_has_the_coordinates_of_its_grid() -> None:
    axes = (Axis("c", "channel"), Axis("y", "space", "micrometer"), Axis("x", "space"))
    level = Level("0", {"c": 1.0, "y": 0.5, "x": 2.0}, {"c": 0.0, "y": 3.0, "x": 0.0})
    image = Image((Multiscale("cells", axes, (level,)),), (Channel("DAPI", "0000FF"), Channel("GFP", "00FF00")))
    kept = sidecar.foreign(image, {"c": 2, "y": 2, "x": 3}, {"k": 1})
    assert kept.coords["y"].identical(xr.Variable("y", [3.0, 3.5], {"units": "micrometer", "scale": 0.5}))
    assert kept.coords["x"].identical(xr.Variable("x", [0.0, 2.0, 4.0], {"scale": 2.0}))
    assert kept.coords["c"].values.tolist() == ["DAPI", "GFP"]
    assert kept.coords["channel_color"].values.tolist() == ["0000FF", "00FF00"]
    assert (kept.name, kept.dims, kept.attrs) == ("cells", ("c", "y", "x"), {"k": 1})


def test_c6_changes_of_coarser_levels_are_told() -> None:
    da = xr.DataArray(np.zeros((4, 4)), dims=("y", "x"))
    (level,) = image_of(da).multiscale.levels

    def with_coarse(*translations: float) -> Image:
        coarse = [Level(str(i), {"y": 2.0, "x": 2.0}, {"y": 0.5, "x": x}) for i, x in enumerate(translations, 1)]
        return Image((Multiscale("cells", image_of(da).multiscale.axes, (level, *coarse)),))

    attribute, _ = sidecar.dump(da, describe(da), with_coarse(0.5))
    load(attribute, da, with_coarse(0.5))
    with pytest.warns(MetadataChangedWarning, match=r"translation of 'x' at level 1 is 0\.0, and was 0\.5"):
        load(attribute, da, with_coarse(0.0))
    with pytest.warns(MetadataChangedWarning, match="number of levels is 3, and was 2"):
        load(attribute, da, with_coarse(0.5, 1.5))
    del attribute["written"]["levels"]
    load(attribute, da, with_coarse(0.0))
