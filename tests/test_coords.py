"""Coordinates ⇄ axes, scale and translation (C1, C2, C6, C7; what peers get wrong under Position and Lost)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

import xomezarr
from xomezarr import errors
from xomezarr.coords import (
    Dimension,
    assign_grid,
    axes_of,
    coordinate,
    dequantify,
    describe,
    file_order,
    infer_axis_type,
    to_units,
)
from xomezarr.grid import Grid


def image(*dims: str, attrs: Mapping[str, Any] | None = None, **coords: Any) -> xr.DataArray:
    """Make an array of zeros; `coords` are values along the dimension of their name, `attrs` those of each."""
    sizes = [len(coords[dim]) if dim in coords else 4 for dim in dims]
    variables = {name: (name, values, dict(attrs or {})) for name, values in coords.items()}
    return xr.DataArray(np.zeros(sizes, "u1"), dims=dims, coords=variables)


def grids(da: xr.DataArray, **options: Any) -> dict[str, Grid]:
    return {dimension.name: dimension.grid for dimension in describe(da, **options)}


def by_name(da: xr.DataArray, **options: Any) -> dict[str, Dimension]:
    return {dimension.name: dimension for dimension in describe(da, **options)}


def follow(message: str, da: xr.DataArray) -> tuple[xr.DataArray, dict[str, Any]]:
    """Do what the end of a message says: a method of the array or of the accessor, or an argument of the writer.

    Of a collection that it writes, the last image is returned.
    """
    if (at := message.find("xomezarr.write_collection(")) >= 0:
        written = eval(message[at:], {"da": da, "store": zarr.storage.MemoryStore(), "xomezarr": xomezarr})
        return list(written.children.values())[-1].omezarr.level(0), {}
    argument = re.search(r"(?:^|[ :])(axes|irregular|scale|translation|units)=(\S.*|\".*\")$", message)
    if argument and not message.endswith(")"):
        return da, {argument[1]: eval(argument[2], {"np": np})}
    call = re.search(r"[: ]((?:xr\.)?\w+\((?:[^()]|\([^()]*\)|\((?:[^()]|\([^()]*\))*\))*\))$", message)
    assert call, f"the message does not end with a call: {message}"
    names = {"da": da, "xr": xr, "np": np}
    if call[1].startswith("xr."):
        return eval(call[1], names), {}
    on = "da.omezarr." if hasattr(da.omezarr, call[1].split("(")[0]) else "da."
    return eval(on + call[1], names), {}


# --- the unusual is an error that names itself and its cure ----------------------


REFUSED: dict[str, tuple[xr.DataArray, dict[str, Any], type[errors.OmeZarrError], str]] = {
    "irregular": (image("y", "x", x=[0, 1, 3]), {}, errors.IrregularCoordinateError, "'x' is irregular at index 2"),
    "descending": (image("y", "x", y=[2.0, 1.0, 0.0]), {}, errors.DescendingCoordinateError, "'y' descends from 2.0"),
    "out of order": (image("y", "x", y=[2.0, 1.0, 3.0]), {}, errors.IrregularCoordinateError, "goes back from 2.0"),
    "uint8 wraps": (
        image("y", "x", x=np.array([254, 255, 0, 1], "u1")),
        {"irregular": "keep"},
        errors.IrregularCoordinateError,
        "goes back from 255 to 0 at index 2",
    ),
    "duplicate": (image("y", "x", x=[0, 1, 1, 2]), {}, errors.DuplicateCoordinateError, "is 1 at index 1 and"),
    "NaN": (image("y", "x", x=[0, np.nan, 2]), {}, errors.CoordinateNaNError, "'x' is nan at index 1"),
    "inf": (image("y", "x", x=[0, 1, np.inf]), {}, errors.CoordinateNaNError, "'x' is inf at index 2"),
    "single NaN": (image("y", "x", x=[np.nan]), {}, errors.CoordinateNaNError, "'x' is nan at index 0"),
    "NaT": (
        image("t", "y", "x", t=np.array(["2000-01-01", "NaT", "2000-01-02"], "M8[s]")),
        {},
        errors.CoordinateNaNError,
        "'t' is NaT at index 1",
    ),
    "irregular dates": (
        image("t", "y", "x", t=np.array(["2000-01-01", "2000-01-02", "2000-01-04"], "M8[s]")),
        {},
        errors.IrregularCoordinateError,
        "2000-01-02T00:00:00",
    ),
    "large integers": (image("y", "x", x=2**60 + np.arange(4)), {}, errors.CoordinateError, "float64 cannot tell"),
    "bool": (image("y", "x", x=[False, True]), {}, errors.CoordinateError, "index 0 is np.False_"),
    "complex": (image("y", "x", x=[1j, 2j]), {}, errors.CoordinateError, "complex128"),
    "text in space": (image("y", "x", x=["a", "b"]), {}, errors.CoordinateError, "cannot place pixels"),
    "object numbers": (image("y", "x", x=np.array([0, 1], object)), {}, errors.CoordinateError, "dtype object"),
    "MultiIndex": (
        image("y", "x").assign_coords(
            xr.Coordinates.from_pandas_multiindex(
                pd.MultiIndex.from_product([[0, 1], [0, 1]], names=["row", "column"]), "x"
            )
        ),
        {},
        errors.CoordinateError,
        "MultiIndex",
    ),
    "unit is a number": (image("y", "x", x=[0, 1], attrs={"units": 5}), {}, errors.UnitError, "'units'] is 5"),
    "scale is text": (image("y", "x", x=[0], attrs={"scale": "wide"}), {}, errors.CoordinateError, "is 'wide'"),
    "scale is zero": (image("y", "x", x=[0], attrs={"scale": 0.0}), {}, errors.CoordinateError, "is 0.0"),
    "scale is NaN": (image("y", "x", x=[0], attrs={"scale": np.nan}), {}, errors.CoordinateError, "is nan"),
    "scale is True": (image("y", "x", x=[0], attrs={"scale": True}), {}, errors.CoordinateError, "is True"),
    "unknown type": (image("stage", "y", "x"), {}, errors.AxisError, "'stage' is of no known axis type"),
    "name is no text": (xr.DataArray(np.zeros((2, 2)), dims=("y", 3)), {}, errors.AxisError, "dimension 3 is not"),
    "six dimensions": (image("t", "c", "p", "z", "y", "x"), {"axes": {"p": "stage"}}, errors.AxisError, "da.isel(p=p)"),
    "six dimensions, one unknown": (
        image("view", "t", "c", "z", "y", "x"),
        {},
        errors.AxisError,
        'write_collection({f"view {view}": da.isel(view=view) for view in range(da.sizes["view"])}, store)',
    ),
    "two beyond five, with odd names": (
        image("a b", "c", "da", "z", "y", "x"),
        {"axes": {"a b": "space", "da": "tile"}},
        errors.AxisError,
        "da.isel({'a b': index0, 'da': index1}) for index0 in range(da.sizes[\"a b\"]) for index1",
    ),
    "two of time": (image("t", "time", "y", "x"), {}, errors.AxisError, "('t', 'time')"),
    "four of space": (image("w", "z", "y", "x"), {"axes": {"w": "space"}}, errors.AxisError, "da.isel(w=w)"),
    "one of space": (image("c", "x"), {}, errors.AxisError, "1 are of space"),
    "none of space": (image("t", "c"), {}, errors.AxisError, "0 are of space"),
    "axes is a list": (image("y", "x"), {"axes": ["space", "space"]}, errors.AxisError, "axes is ['space'"),
    "axes is text": (image("y", "x"), {"axes": "yx"}, errors.AxisError, "axes is 'yx'"),
    "axes names another": (image("y", "x"), {"axes": {"z": "space"}}, errors.AxisError, "'z', which the array lacks"),
    "axes without a type": (image("stage", "y", "x"), {"axes": {"stage": ""}}, errors.AxisError, "axes['stage'] is ''"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_c7_the_message_names_the_fault_and_ends_with_the_call_that_fixes_it(case: str) -> None:
    da, options, error, part = REFUSED[case]
    with pytest.raises(errors.OmeZarrError) as caught:
        describe(da, **options)
    faults = caught.value.exceptions if isinstance(caught.value, ExceptionGroup) else (caught.value,)
    found = next(fault for fault in faults if part in str(fault))
    assert type(found) is error
    mended, said = follow(str(found), da)
    if isinstance(options.get("axes"), dict):  # of the dimensions that are left
        options = options | {"axes": {dim: kind for dim, kind in options["axes"].items() if dim in mended.dims}}
    assert describe(mended, **(options | said))


def test_c7_an_empty_dimension_is_named_with_the_selection_that_would_do() -> None:
    with pytest.raises(errors.EmptyDimensionError, match=r"'x' has no samples.*isel\(x=slice\(0, 1\)\)$"):
        describe(image("y", "x").isel(x=slice(0, 0)))


def test_c7_dimensions_named_twice() -> None:
    with pytest.warns(UserWarning, match="Duplicate dimension names"):
        da = xr.DataArray(np.zeros((2, 2)), dims=("x", "x"))
    with pytest.raises(errors.AxisError) as caught:
        describe(da)
    mended, _ = follow(str(caught.value), da)
    assert [dimension.name for dimension in describe(mended)] == ["y", "x"]


def test_c7_dates_of_other_calendars_name_the_conversion() -> None:
    date = SimpleNamespace(calendar="noleap")
    with pytest.raises(errors.CoordinateError, match=r'convert_calendar\("standard", use_cftime=False\)$'):
        describe(image("t", "y", "x", t=np.array([date, date], object)))


def test_c7_independent_faults_are_told_together() -> None:
    da = image("stage", "y", "x", y=[0, 1, 3], x=[2, 1, 0])
    with pytest.raises(errors.MultipleErrors) as caught:
        describe(da, axes={"foo": "space"})
    kinds = {type(fault) for fault in caught.value.exceptions}
    assert kinds == {errors.AxisError, errors.IrregularCoordinateError, errors.DescendingCoordinateError}
    for part in ("'foo'", "'stage'", "'y' is irregular at index 2", "'x' descends"):
        assert part in str(caught.value)


def test_axis_types_may_be_capitalised() -> None:
    assert describe(image("y", "x"), axes={"y": "Space"})[0].axis.type == "space"


def test_c7_irregular_is_raise_or_keep() -> None:
    with pytest.raises(errors.CoordinateError, match='irregular="keep"'):
        describe(image("y", "x"), irregular="ignore")  # type: ignore[arg-type]


# --- what coordinates say ---------------------------------------------------------


def test_c1_scale_and_translation_come_from_the_coordinates() -> None:
    da = image("y", "x", y=10 + 0.325 * np.arange(5), x=0.1 * np.arange(50), attrs={"units": "um"})
    assert grids(da) == {"y": Grid(0.325, 10.0, 5), "x": Grid(0.1, 0.0, 50)}
    assert {dimension.axis.unit for dimension in describe(da)} == {"micrometer"}


def test_c1_stale_attributes_lose_to_the_coordinates() -> None:
    # xarray-ome writes translation 0 after isel(x=slice(10, 40)): 10 pixels off
    da = assign_grid(image("y", "x", x=np.arange(50.0)), scale={"x": 0.5}, translation={"x": 3.0})
    assert grids(da.isel(x=slice(10, 40, 3)))["x"] == Grid(1.5, 8.0, 10)
    assert da.isel(x=slice(10, 40, 3)).x.attrs["scale"] == 0.5


def test_c1_a_single_pixel_has_the_scale_that_it_had_before_the_selection() -> None:
    # napari, iohub and multiscale-spatial-image write 1.0
    da = assign_grid(image("z", "y", "x"), scale={"z": 0.7, "y": 0.2, "x": 0.2}, units="um")
    assert grids(da.isel(z=[2]))["z"] == Grid(0.7, 1.4, 1)


def test_c1_a_single_pixel_without_a_scale_is_warned_of() -> None:
    da = image("z", "y", "x", z=[3.0])
    with pytest.warns(errors.PixelSizeWarning, match=r"'z' has one pixel.*assign_grid\(scale=") as caught:
        assert grids(da)["z"] == Grid(1.0, 3.0, 1)
    mended, _ = follow(str(caught[0].message), da)
    assert grids(mended)["z"] == Grid(0.5, 3.0, 1)


@pytest.mark.parametrize("scale", [2, 0.5, np.float32(0.5), np.int8(3)])
def test_c1_any_positive_number_serves_as_the_scale_of_a_single_pixel(scale: Any) -> None:
    assert grids(image("z", "y", "x", z=[3], attrs={"scale": scale}))["z"] == Grid(float(scale), 3.0, 1)


def test_c1_dimensions_without_coordinates_are_counted() -> None:
    found = by_name(image("c", "y", "x"))
    assert {dimension.kind for dimension in found.values()} == {"index"}
    assert grids(image("z", "y", "x").isel(z=[0])) == {"z": Grid(1, 0, 1), "y": Grid(1, 0, 4), "x": Grid(1, 0, 4)}


@pytest.mark.parametrize("dtype", ["u1", "i2", "u8", "f4", ">i4", ">f8"])
def test_c1_coordinates_of_any_number(dtype: str) -> None:
    assert grids(image("y", "x", x=np.array([3, 5, 7], dtype)))["x"] == Grid(2.0, 3.0, 3)


@pytest.mark.parametrize("unit", ["D", "s", "ms", "ns"])
def test_c1_dates_are_seconds_since_the_first(unit: str) -> None:
    times = np.datetime64("2024-02-28", unit) + np.arange(4) * np.timedelta64(1, "D")
    found = by_name(image("t", "y", "x", t=times))["t"]
    assert (found.grid, found.kind, found.axis.unit) == (Grid(86400.0, 0.0, 4), "datetime", "second")


def test_c1_dates_far_from_today_and_to_the_nanosecond() -> None:
    old = np.array(["1066-10-14", "1066-10-15", "1066-10-16"], "M8[s]")
    assert grids(image("t", "y", "x", t=old))["t"] == Grid(86400.0, 0.0, 3)
    fine = np.datetime64("2024-01-01", "ns") + np.arange(5) * np.timedelta64(100_000_001, "ns")
    assert grids(image("t", "y", "x", t=fine))["t"] == Grid(0.100000001, 0.0, 5)


def test_c1_durations_keep_their_origin() -> None:
    times = np.array([1500, 2000, 2500], "m8[ms]")
    found = by_name(image("t", "y", "x", t=times))["t"]
    assert (found.grid, found.kind) == (Grid(0.5, 1.5, 3), "timedelta")


def test_c1_a_single_date_has_the_scale_that_is_assigned() -> None:
    da = image("t", "y", "x", t=np.array(["2024-01-01"], "M8[s]"))
    with pytest.warns(errors.PixelSizeWarning):
        assert grids(da)["t"] == Grid(1.0, 0.0, 1)
    timed = assign_grid(da, scale={"t": 30.0})
    assert grids(timed)["t"] == Grid(30.0, 0.0, 1)
    assert timed.t.values == da.t.values


@pytest.mark.parametrize(
    "names", [np.array(["DAPI", "GFP"]), np.array(["DAPI", "GFP"], object), pd.Index(["DAPI", "GFP"], dtype="string")]
)
@pytest.mark.parametrize("dim", ["c", "stain"])
def test_c1_names_are_channels(names: Any, dim: str) -> None:
    found = by_name(image(dim, "y", "x", **{dim: names}))[dim]
    assert (found.axis.type, found.kind, found.grid) == ("channel", "label", Grid(1.0, 0.0, 2))


def test_c1_wavelengths_name_channels_and_need_not_be_regular() -> None:
    assert by_name(image("c", "y", "x", c=[647, 405, 488]))["c"].kind == "label"


def test_c1_range_index() -> None:
    index = xr.indexes.RangeIndex.arange(1.0, 3.0, 0.5, dim="x")
    assert grids(image("y", "x").assign_coords(xr.Coordinates.from_xindex(index)))["x"] == Grid(0.5, 1.0, 4)


def test_c1_pint_quantities() -> None:
    pytest.importorskip("pint_xarray")
    plain = image("y", "x", x=0.325 * np.arange(4), attrs={"units": "µm"}).assign_attrs(units="count")
    quantified = plain.pint.quantify()
    assert hasattr(quantified.variable._data, "magnitude")
    found = dequantify(quantified)
    assert found.attrs["units"] == "count"
    assert by_name(found)["x"].axis.unit == "micrometer"
    assert quantified.omezarr.scale == {"y": 1.0, "x": 0.325}
    assert grids(quantified.omezarr.to_units({"x": "nm"}))["x"].scale == 325.0
    assert grids(quantified.omezarr.assign_grid(scale={"x": 2.0}))["x"].scale == 2.0
    assert dequantify(plain) is plain


@pytest.mark.parametrize(
    ("dim", "unit", "name"),
    [
        ("x", "microns", "micrometer"),
        ("x", "um", "micrometer"),
        ("t", "seconds since 2000-01-01", "second"),
        ("t", "hours", "hour"),
        ("x", "fm", "femtometer"),
        ("x", "", None),
    ],
)
def test_c1_cf_units(dim: str, unit: str, name: str | None) -> None:
    dims = ("t", "y", "x") if dim == "t" else ("y", "x")
    assert by_name(image(*dims, **{dim: [0, 1]}, attrs={"units": unit}))[dim].axis.unit == name


@pytest.mark.parametrize(
    ("dim", "unit", "cure"),
    [
        ("x", "furlong", "to_units"),
        ("x", "pixel", "assign_grid"),
        ("t", "week", "to_units"),
        ("t", "au", "assign_grid"),
    ],
)
def test_c7_unusual_units_are_written_with_a_warning(dim: str, unit: str, cure: str) -> None:
    da = image("t", "y", "x", **{dim: [0, 1]}, attrs={"units": unit})
    with pytest.warns(errors.UnitWarning, match=cure) as caught:
        assert by_name(da)[dim].axis.unit == unit
    mended, _ = follow(str(caught[0].message), da)
    assert by_name(mended)[dim].axis.unit in ("micrometer", "second")


# --- axis types and order ----------------------------------------------------------


@pytest.mark.parametrize(
    ("coord", "axes", "remembered", "expected"),
    [
        (None, {}, {}, None),
        (None, {}, {"d": "stage"}, "stage"),
        (("d", [0, 1], {"units": "um"}), {}, {"d": "stage"}, "space"),
        (("d", [0, 1], {"units": "minutes since 2000-01-01"}), {}, {}, "time"),
        (("d", [0, 1], {"units": "degree"}), {}, {}, None),
        (("d", [0, 1], {"axis": "X"}), {}, {}, "space"),
        (("d", [0, 1], {"axis": "t"}), {}, {}, "time"),
        (("d", ["a", "b"]), {}, {}, "channel"),
        (("d", np.array(["2000", "2001"], "M8[s]")), {}, {}, "time"),
        (("d", np.array([0, 1], "m8[s]")), {}, {}, "time"),
        (("d", [0, 1], {"units": "um"}), {"d": "angle"}, {"d": "stage"}, "angle"),
    ],
)
def test_c1_axis_types_are_asked_then_named_then_seen_then_remembered(
    coord: Any, axes: dict[str, str], remembered: dict[str, str], expected: str | None
) -> None:
    da = xr.DataArray(np.zeros((2, 2)), dims=("d", "x"), coords={} if coord is None else {"d": coord})
    da.encoding["axes"] = remembered
    assert infer_axis_type(da, "d", axes) == expected


@pytest.mark.parametrize("name", ["t", "T", "time", "c", "Channel", "z", "Y", "x"])
def test_c1_a_name_decides_before_the_coordinate(name: str) -> None:
    by_letter = {"t": "time", "c": "channel"}.get(name.lower()[0], "space")
    da = xr.DataArray(np.zeros(2), dims=name, coords={name: (name, ["a", "b"], {"units": "um"})})
    da.encoding["axes"] = {name: "stage"}
    assert infer_axis_type(da, name, {}) == by_letter
    assert infer_axis_type(da, name, {name: "other"}) == "other"


def test_c1_the_file_has_time_then_channels_then_zyx() -> None:
    assert [d.name for d in describe(image("x", "y", "c", "z", "t"))] == ["t", "c", "z", "y", "x"]
    assert [d.name for d in describe(image("Z", "t", "X", "Y"))] == ["t", "Z", "Y", "X"]
    # names without a known order keep the array's
    assert file_order({"col": "space", "row": "space", "stage": "stage", "t": "time"}) == ("t", "stage", "col", "row")


def test_c1_axes_are_known_even_where_coordinates_are_irregular() -> None:
    da = image("x", "y", "c", x=[0, 1, 5], attrs={"units": "nm"})
    assert [(a.name, a.type, a.unit) for a in axes_of(da)] == [
        ("c", "channel", None),
        ("y", "space", None),
        ("x", "space", "nanometer"),
    ]
    with pytest.raises(errors.AxisError, match="'stage'"):
        axes_of(image("stage", "x"))


# --- coarser levels, and what is irregular ------------------------------------------


def test_c2_coordinates_of_coarser_levels() -> None:
    da = image("t", "y", "x", t=np.array(["2024-01-01", "2024-01-02"], "M8[s]"), x=np.array([0, 2, 4, 6]))
    found = by_name(da)
    level = coordinate(found["x"], found["x"].grid.coarsen(2))
    assert level is not None
    assert level.values.tolist() == [1.0, 5.0]
    assert level.attrs == {"scale": 4.0}
    assert coordinate(found["x"], found["x"].grid) is found["x"].coordinate
    assert coordinate(found["y"], found["y"].grid) is None
    counted = coordinate(found["y"], found["y"].grid.coarsen(2))
    assert counted is not None
    assert counted.values.tolist() == [0.5, 2.5]
    times = coordinate(found["t"], found["t"].grid.coarsen(2))
    assert times is not None
    assert times.values.tolist() == np.array(["2024-01-01T12:00"], "M8[ns]").tolist()


def test_c2_durations_and_distant_dates_of_coarser_levels() -> None:
    lapses = by_name(image("t", "y", "x", t=np.array([10, 20, 30], "m8[s]")))["t"]
    level = coordinate(lapses, lapses.grid.coarsen(2))
    assert level is not None
    assert level.values.tolist() == np.array([15, 35], "m8[s]").astype("m8[ns]").tolist()
    old = by_name(image("t", "y", "x", t=np.array(["1066-10-14", "1066-10-16"], "M8[s]")))["t"]
    level = coordinate(old, old.grid.coarsen(2))
    assert level is not None
    assert level.values == np.datetime64("1066-10-15")


IRREGULAR = {
    "float": np.array([0.0, 1.0, 4.0, 9.0, 16.0]),
    "integer": np.array([0, 1, 4, 9, 16], "u1"),
    "dates": np.datetime64("2024-01-01", "ns") + np.array([0, 1, 4, 9, 16]) * np.timedelta64(1, "s"),
    "durations": np.array([0, 1, 4, 9, 16], "m8[s]"),
}


@pytest.mark.parametrize("case", IRREGULAR)
@pytest.mark.parametrize("boundary", ["pad", "trim"])
@pytest.mark.parametrize("sampled", [False, True])
def test_c6_irregular_positions_are_kept_and_coarsened_truly(case: str, boundary: Any, sampled: bool) -> None:
    values = IRREGULAR[case]
    dim = "t" if values.dtype.kind in "mM" else "z"
    da = image(dim, "y", "x", **{dim: values})
    with pytest.raises(errors.IrregularCoordinateError, match='irregular="keep"'):
        describe(da)
    found = by_name(da, irregular="keep")[dim]
    assert not found.regular
    assert found.grid == Grid(4.0, 0.0, 5)
    level = coordinate(found, found.grid.coarsen(2, sample=0 if sampled else None, boundary=boundary), sampled=sampled)
    assert level is not None
    blocks = [values[i : i + 2] for i in range(0, 5 if boundary == "pad" else 4, 2)]
    expected = [block[0] if sampled else block[0] + (block - block[0]).astype("m8[ns]" if dim == "t" else "f8").mean()
                for block in blocks]  # fmt: skip
    assert level.values.tolist() == np.array(expected).astype(level.dtype).tolist()
    assert "scale" not in level.attrs


def test_c6_keeping_leaves_regular_coordinates_regular() -> None:
    assert all(dimension.regular for dimension in describe(image("y", "x", x=[0, 1, 2]), irregular="keep"))


# --- assign_grid -------------------------------------------------------------------


def test_assign_grid_makes_regular_coordinates_and_leaves_the_original() -> None:
    da = image("t", "y", "x", x=[5, 6, 7], attrs={"long_name": "width"})
    before = da.copy(deep=True)
    after = assign_grid(da, scale={"y": 0.5, "x": 0.25}, translation={"y": -3}, units="um")
    xr.testing.assert_identical(da, before)
    assert da.x.attrs == {"long_name": "width"}
    assert grids(after) == {"t": Grid(1, 0, 4), "y": Grid(0.5, -3.0, 4), "x": Grid(0.25, 5.0, 3)}
    assert after.x.attrs == {"long_name": "width", "units": "um", "scale": 0.25}
    assert "t" not in after.coords
    xr.testing.assert_identical(assign_grid(da), da)


def test_assign_grid_keeps_what_is_left_out() -> None:
    da = image("y", "x", x=np.array([0.0, 0.325, 0.65]), y=[1, 2, 9])
    assert grids(assign_grid(da.isel(y=[0, 1]), translation={"x": 10.0}))["x"] == Grid(0.325, 10.0, 3)
    labelled = assign_grid(da, units={"y": "um"})  # irregular, and stays as it is
    assert labelled.y.values.tolist() == [1, 2, 9]
    assert labelled.y.dtype == da.y.dtype
    assert labelled.y.attrs == {"units": "um"}
    assert grids(assign_grid(da, scale={"y": 2.0}))["y"] == Grid(2.0, 1.0, 3)
    with pytest.raises(errors.IrregularCoordinateError):
        assign_grid(da, translation={"y": 2.0})


def test_assign_grid_sets_the_scale_of_a_single_pixel_and_moves_it() -> None:
    da = image("z", "y", "x", z=np.array([7], "i2"))
    assert assign_grid(da, scale={"z": 2.0}).z.dtype == "i2"
    assert grids(assign_grid(da, scale={"z": 2.0}))["z"] == Grid(2.0, 7.0, 1)
    moved = assign_grid(assign_grid(da, scale={"z": 2.0}), translation={"z": 8.0})
    assert grids(moved)["z"] == Grid(2.0, 8.0, 1)


@pytest.mark.parametrize(
    ("arguments", "error", "part"),
    [
        ({"scale": {"q": 1.0}}, errors.AxisError, "'q', which the array lacks"),
        ({"scale": {"x": 0}}, errors.CoordinateError, "scale['x'] is 0"),
        ({"scale": {"x": -1.0}}, errors.CoordinateError, "scale['x'] is -1.0"),
        ({"scale": {"x": np.nan}}, errors.CoordinateError, "scale['x'] is nan"),
        ({"scale": {"x": "wide"}}, errors.CoordinateError, "scale['x'] is 'wide'"),
        ({"scale": {"x": True}}, errors.CoordinateError, "scale['x'] is True"),
        ({"translation": {"x": np.inf}}, errors.CoordinateError, "translation['x'] is inf"),
        ({"units": {"x": 3}}, errors.UnitError, "units['x'] is 3"),
        ({"units": {"x": " "}}, errors.UnitError, "units['x'] is ' '"),
        ({"units": 3}, errors.UnitError, "units is 3"),
        ({"scale": 0.5}, errors.CoordinateError, "scale is 0.5; give it by dimension"),
        ({"translation": [0, 0]}, errors.CoordinateError, "translation is [0, 0]"),
        ({"scale": {"c": 1.0}}, errors.CoordinateError, "drop_vars('c')"),
        ({"scale": {"t": 1.0}}, errors.CoordinateError, "count seconds"),
        ({"units": {"t": "s"}}, errors.CoordinateError, "count seconds"),
    ],
)
def test_c7_assign_grid_refuses(arguments: dict[str, Any], error: type[errors.OmeZarrError], part: str) -> None:
    da = image("t", "c", "y", "x", t=np.array(["2000", "2001"], "M8[s]"), c=["a", "b"])
    with pytest.raises(error) as caught:
        assign_grid(da, **arguments)
    assert part in str(caught.value)
    mended, said = follow(str(caught.value), da)
    assign_grid(mended, **(said or arguments))


def test_c7_assign_grid_needs_a_dimension_of_space_for_one_unit() -> None:
    with pytest.raises(errors.UnitError, match=re.escape("units={'a': 'um', 'b': 'um'}")):
        assign_grid(xr.DataArray(np.zeros((2, 2)), dims=("a", "b")), units="um")


# --- to_units ----------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.1, 0.325, 0.65, 1e-3, 7.0, 0.1083])
@pytest.mark.parametrize("origin", [0.0, -12.5, 1000.1])
def test_to_units_is_exact_and_goes_back(scale: float, origin: float) -> None:
    da = assign_grid(image("y", "x", x=range(100)), scale={"x": scale}, translation={"x": origin}, units={"x": "um"})
    nanometres = to_units(da, {"x": "nm"})
    assert grids(nanometres)["x"] == Grid(float(f"{scale * 1000:.12g}"), float(f"{origin * 1000:.12g}"), 100)
    assert nanometres.x.attrs == {"units": "nm", "scale": float(f"{scale * 1000:.12g}")}
    xr.testing.assert_identical(to_units(nanometres, {"x": "um"}), da)
    assert da.x.attrs["units"] == "um"


def test_to_units_serves_all_dimensions_of_space() -> None:
    da = assign_grid(image("t", "y", "x"), scale={"t": 2, "y": 0.325, "x": 0.325}, units="um")
    da = assign_grid(da, units={"t": "min"})
    converted = da.omezarr.to_units("nm")
    assert converted.omezarr.scale == {"t": 2.0, "y": 325.0, "x": 325.0}
    assert converted.omezarr.units == {"t": "min", "y": "nm", "x": "nm"}
    assert da.omezarr.to_units({"t": "s"}).omezarr.scale["t"] == 120.0


def test_to_units_of_single_pixels_integers_float32_and_irregular_coordinates() -> None:
    attrs = {"units": "um"}
    single = image("z", "y", "x", z=[3], attrs={"units": "um", "scale": 0.7})
    assert grids(to_units(single, {"z": "nm"}))["z"] == Grid(700.0, 3000.0, 1)
    integers = to_units(image("y", "x", x=np.array([0, 2, 4], "u1"), attrs=attrs), {"x": "nm"})
    assert integers.x.values.tolist() == [0.0, 2000.0, 4000.0]
    noisy = image("y", "x", x=(0.325 * np.arange(9)).astype("f4"), attrs=attrs)
    assert to_units(noisy, {"x": "nm"}).x.dtype == "f4"
    assert grids(to_units(noisy, {"x": "nm"}))["x"].scale == 325.0
    # jitter that `fit` accepts is no rounding: it stays
    jitter = np.array([0.0, 1.004, 2.0, 2.996, 4.0])
    assert to_units(image("y", "x", x=jitter, attrs=attrs), {"x": "nm"}).x.values.tolist() == (
        pytest.approx(1000 * jitter, rel=1e-15)
    )
    irregular = to_units(image("y", "x", x=[0.1, 0.2, 0.9], attrs=attrs), {"x": "nm"})
    assert irregular.x.values.tolist() == [100.0, 200.0, 900.0]


def test_to_units_keeps_a_reference_date() -> None:
    da = image("t", "y", "x", t=[0, 60, 120], attrs={"units": "seconds since 2000-01-01"})
    converted = to_units(da, {"t": "minutes"})
    assert converted.t.attrs["units"] == "minutes since 2000-01-01"
    assert converted.t.values.tolist() == [0.0, 1.0, 2.0]
    assert converted.omezarr.axes[0].unit == "minute"


@pytest.mark.parametrize(
    ("units", "error", "part"),
    [
        ({"x": "second"}, errors.UnitError, "'x': 'um' cannot be converted to 'second'"),
        ({"x": "bogus"}, errors.UnitError, "'bogus' is unknown"),
        ({"x": 3}, errors.UnitError, "3"),
        ({"y": "um"}, errors.UnitError, "'y' has no unit"),
        ({"q": "um"}, errors.AxisError, "'q', which the array lacks"),
        ({"t": "min"}, errors.CoordinateError, "'t' holds datetime64"),
        (5, errors.UnitError, "units is 5"),
    ],
)
def test_c7_to_units_refuses(units: Any, error: type[errors.OmeZarrError], part: str) -> None:
    da = image("t", "y", "x", t=np.array(["2000", "2001"], "M8[s]"))
    da = assign_grid(da, scale={"x": 0.5}, units={"x": "um"})
    before = da.copy(deep=True)
    with pytest.raises(error, match=re.escape(part)):
        to_units(da, units)
    xr.testing.assert_identical(da, before)


def test_c7_to_units_tells_all_faults_together() -> None:
    da = assign_grid(image("y", "x"), scale={"x": 0.5}, units={"x": "um"})
    with pytest.raises(errors.MultipleErrors) as caught:
        to_units(da, {"x": "s", "y": "nm"})
    assert len(caught.value.exceptions) == 2


def test_plain_functions_are_public() -> None:
    assert xomezarr.assign_grid is assign_grid
    assert xomezarr.to_units is to_units


def test_dimensions_can_be_compared() -> None:
    da = image("y", "x", x=[0.0, 0.5], y=[1.0, 2.0, 3.0])
    assert describe(da) == describe(da.copy())
    assert describe(da) != describe(da.assign_coords(x=[0.0, 0.25]))


@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize(("scale", "translation"), [(40.0, 0.0), (4.5, -9.0), (4.5, 1e9)])
def test_c2_an_irregular_level_that_has_no_blocks_lies_on_its_grid(
    sampled: bool, scale: float, translation: float
) -> None:
    (_, dimension) = describe(image("y", "x", x=[0.0, 1.0, 3.0, 4.0, 9.0]), irregular="keep")
    grid = Grid(scale, translation, 3)
    made = coordinate(dimension, grid, sampled=sampled)
    assert made is not None
    if scale == 40.0 or sampled:
        np.testing.assert_array_equal(made.values, grid.coordinates)
    assert made.shape == (3,)
