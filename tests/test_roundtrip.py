"""C6: nothing is lost between a DataArray and a store, or the user is told."""

from __future__ import annotations

import datetime
import itertools
import json
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from xarray.indexes import PandasIndex

from xomezarr import sidecar, spec
from xomezarr.errors import (
    AttributeEncodingError,
    MetadataChangedWarning,
    OmeZarrError,
    PixelSizeWarning,
    UnitWarning,
)

VERSIONS = spec.VERSIONS

BYTE_ORDERS = ("<", ">")

PIXEL_DTYPES = [
    np.dtype(bool),
    *(
        np.dtype(order + kind)
        for order in BYTE_ORDERS
        for kind in ("u2", "u4", "u8", "i2", "i4", "i8", "f2", "f4", "f8")
    ),
    np.dtype("u1"),
    np.dtype("i1"),
    np.dtype("c8"),
    np.dtype("c16"),
]

DIMENSIONS = ("t", "c", "z", "y", "x")


# --- what users hold -----------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)

plain_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
"""NumPy's own strings end where the NULs at their end begin."""

value_dtypes = st.one_of(
    st.sampled_from(
        [np.dtype(bool), np.dtype("f2"), np.dtype("c16"), np.dtype("<u8"), np.dtype(">i4"), np.dtype(">f8")]
    ),
    hnp.integer_dtypes(),
    hnp.floating_dtypes(sizes=(16, 32, 64)),
    hnp.datetime64_dtypes(max_period="s", min_period="ns"),
    hnp.timedelta64_dtypes(max_period="s", min_period="ns"),
    hnp.unicode_string_dtypes(max_len=4),
    hnp.byte_string_dtypes(max_len=4),
)


def arrays(dtype: np.dtype[Any], shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    """Any values that a dtype holds, NaN and NaT, -0.0 and the extremes among them."""
    if dtype.kind == "U":
        length = max(dtype.itemsize // 4, 1)
        return hnp.arrays(dtype, shape, elements=plain_texts.map(lambda text: text[:length].rstrip("\0")))
    return hnp.arrays(dtype, shape)


numpy_values = value_dtypes.flatmap(
    lambda dtype: st.one_of(
        arrays(dtype, (1,)).map(lambda array: array[0]),
        hnp.array_shapes(min_dims=0, max_dims=2, max_side=3).flatmap(lambda shape: arrays(dtype, shape)),
    )
)

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    texts,
    st.binary(max_size=5),
    st.dates(),
    st.datetimes(timezones=st.sampled_from([None, datetime.UTC, datetime.timezone(datetime.timedelta(hours=5.5))])),
    st.timedeltas(),
    numpy_values,
)

keys = st.one_of(texts, st.just(sidecar.TAG))

values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple), st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=6,
)

attributes = st.dictionaries(keys, values, max_size=4)

names = st.one_of(
    st.none(), texts, st.integers(), st.floats(allow_nan=False), st.booleans(), st.tuples(texts, st.integers())
)


@st.composite
def numbers(draw: st.DrawFn, size: int) -> Any:
    """Ascending regular positions as they arise: counted, spaced, linspaced, cut and strided from larger grids."""
    dtype = np.dtype(draw(st.sampled_from(["f8", "f4", ">f8", ">f4", "i8", "i4", "u2", ">i4"])))
    if dtype.kind in "iu":
        return np.arange(size, dtype=dtype) * draw(st.integers(1, 50)) + draw(st.integers(0, 1000))
    step = draw(st.one_of(st.sampled_from([0.1, 0.325, 1.0, 1 / 3, 2.5]), st.floats(1e-3, 1e3)))
    origin = draw(st.one_of(st.just(0.0), st.floats(-1e3, 1e3))) * step
    start, stride = draw(st.integers(0, 400)), draw(st.integers(1, 5))
    whole = draw(st.sampled_from(["multiply", "linspace", "arange"]))
    count = start + size * stride
    if whole == "multiply":
        grid = origin + step * np.arange(count)
    elif whole == "linspace":
        grid = np.linspace(origin, origin + step * (count - 1), count)
    else:
        grid = np.arange(origin, origin + step * (count + 1), step)[:count]
    return grid.astype(dtype)[start::stride][:size]


@st.composite
def coordinate(draw: st.DrawFn, dim: str, size: int, *, irregular: bool) -> xr.Variable | None:
    """A dimension coordinate that places pixels, or names channels; or none."""
    kinds = {"c": ["none", "text", "objects", "numbers"], "t": ["none", "numbers", "dates", "durations"]}
    kind = draw(st.sampled_from(kinds.get(dim, ["none", "numbers", "numbers"])))
    attrs: dict[str, Any] = draw(attributes.filter(lambda attrs: not {"units", "scale", "axis"} & attrs.keys()))
    if kind == "none":
        return None
    if kind == "text":
        return xr.Variable(dim, np.array(draw(st.lists(plain_texts, min_size=size, max_size=size)), str), attrs)
    if kind == "objects":
        labels = np.empty(size, object)
        labels[:] = draw(st.lists(texts, min_size=size, max_size=size))
        return xr.Variable(dim, labels, attrs)
    if kind in ("dates", "durations"):
        unit = draw(st.sampled_from(["s", "ms", "us", "ns"]))
        steps = np.arange(size) * draw(st.integers(1, 1000)) + draw(st.integers(0, 10**6))
        if irregular and size > 2:
            steps[-1] += steps[-1] - steps[0]
        elapsed = steps.astype(f"m8[{unit}]")
        start = np.datetime64("2024-02-29T12:00", unit)
        return xr.Variable(dim, start + elapsed if kind == "dates" else elapsed, attrs | {"scale": 1.0})
    if irregular and size > 2 and dim != "c":
        steps = draw(st.lists(st.floats(0.1, 10.0), min_size=size, max_size=size))
        positions = np.cumsum(steps).astype(draw(st.sampled_from(["f8", "f4", ">f8"])))
    else:
        positions = draw(numbers(size))
    if dim != "c":
        attrs |= {"scale": draw(st.floats(1e-2, 1e2))}  # of a single pixel; else replaced by what is measured
        attrs |= draw(st.sampled_from([{}, {"units": "s" if dim == "t" else "um"}]))
    return xr.Variable(dim, positions, attrs)


@st.composite
def images(draw: st.DrawFn, *, irregular: bool = False) -> xr.DataArray:
    """A DataArray with everything that users put on one."""
    dims = draw(st.permutations(DIMENSIONS).flatmap(lambda all_: st.integers(2, 5).map(lambda ndim: all_[:ndim])))
    dims = tuple(dict.fromkeys([*dims, *draw(st.permutations(["y", "x"]))]))[-5:] if not {"x", "y"} <= {*dims} else dims
    shape = tuple(draw(st.integers(1, 5)) for _ in dims)
    dtype = draw(st.sampled_from(PIXEL_DTYPES))
    pixels = draw(hnp.arrays(dtype, shape, fill=st.just(np.zeros((), dtype)[()])))
    coords: dict[str, Any] = {}
    for dim, size in zip(dims, shape, strict=True):
        made = draw(coordinate(dim, size, irregular=irregular))
        if made is not None:
            coords[dim] = made
    auxiliary = draw(
        st.lists(
            texts.filter(lambda name: name not in (*DIMENSIONS, "image") and "/" not in name), max_size=3, unique=True
        )
    )
    for name in auxiliary:
        along = tuple(draw(st.lists(st.sampled_from(dims), max_size=2, unique=True)))
        sizes = tuple(shape[dims.index(dim)] for dim in along)
        if draw(st.integers(0, 4)) == 0:
            filling = np.empty(sizes, object)
            filling[...] = draw(texts)
        else:
            filling = draw(arrays(draw(value_dtypes), sizes))
        coords[name] = xr.Variable(along, filling, draw(attributes))
    return xr.DataArray(pixels, coords, dims, draw(names), draw(attributes))


# --- comparing -----------------------------------------------------------------------------------------------


def expected(da: xr.DataArray) -> xr.DataArray:
    """The one documented addition: ``attrs["scale"]`` on regular dimension coordinates."""
    result = da.copy(deep=True)
    scales = da.omezarr.scale
    for dim in da.dims:
        if dim in da.coords and da[dim].dtype.kind in "iufmM" and dim != "c":
            result[dim].attrs["scale"] = scales[str(dim)]
    return result


def assert_same(opened: xr.DataArray, da: xr.DataArray) -> None:
    """Identical, and in all that `assert_identical` does not look at, or cannot: arrays and NaT inside lists."""
    xr.testing.assert_identical(opened.drop_attrs(), da.drop_attrs())
    assert opened.dims == da.dims
    assert opened.dtype == da.dtype
    assert type(opened.name) is type(da.name)
    for name, coord in da.coords.items():
        assert opened[name].dtype == coord.dtype
        assert bits(opened[name].values) == bits(coord.values)
        assert_same_attrs(opened[name].attrs, coord.attrs)
    assert_same_attrs(opened.attrs, da.attrs)
    assert {name: type(index) for name, index in opened.xindexes.items()} == {
        name: type(index) for name, index in da.xindexes.items()
    }


def bits(values: Any) -> Any:
    """The very bits of an array; the sign and payload of NaN, which mean nothing, aside."""
    if values.dtype.kind == "c":
        return bits(values.real), bits(values.imag)
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), values.dtype.type("nan"), values).astype(values.dtype)
    return values.tolist() if values.dtype.kind in "OT" else values.tobytes()


def assert_same_attrs(found: Any, wanted: Any) -> None:
    """Equal in value and in type, however deep; NaN equals NaN."""
    assert type(found) is type(wanted)
    if isinstance(wanted, Mapping):
        assert found.keys() == wanted.keys()
        for key in wanted:
            assert_same_attrs(found[key], wanted[key])
    elif isinstance(wanted, list | tuple):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_same_attrs(one, other)
    elif isinstance(wanted, np.ndarray | np.generic):
        assert found.dtype == wanted.dtype
        assert found.shape == wanted.shape
        np.testing.assert_array_equal(found, wanted)
    else:
        assert found == wanted or (found != found and wanted != wanted) or repr(found) == repr(wanted)


def quietly(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call, without the warnings that have tests of their own, and the one by which pandas tells of float16."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PixelSizeWarning)
        warnings.simplefilter("ignore", UnitWarning)
        warnings.filterwarnings("ignore", message=".*float16.*")
        warnings.filterwarnings("ignore", message=".*Chunk.*")
        return function(*args, **options)


# --- the round trip ------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(da=images(), version=st.sampled_from(VERSIONS), dask=st.booleans())
def test_c6_open_of_write_is_identical(da: xr.DataArray, version: str, dask: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "a.ome.zarr"
        source = da.chunk(dict.fromkeys(da.dims, 2)) if dask else da
        quietly(source.omezarr.to_zarr, store, version=version)
        wanted = quietly(expected, da)
        with xr.open_dataarray(store, engine="omezarr") as opened:
            assert_same(opened, wanted)


@settings(max_examples=30, deadline=None)
@given(da=images(irregular=True), version=st.sampled_from(VERSIONS))
def test_c6_irregular_coordinates_are_kept(da: xr.DataArray, version: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "a.ome.zarr"
        quietly(da.omezarr.to_zarr, store, version=version, irregular="keep", levels=1)
        with xr.open_dataarray(store, engine="omezarr") as opened:
            for name, coord in da.coords.items():
                assert opened[name].dtype == coord.dtype
                np.testing.assert_array_equal(opened[name].values, coord.values)
                attrs = {key: value for key, value in coord.attrs.items() if key != "scale"}
                assert_same_attrs({k: v for k, v in opened[name].attrs.items() if k != "scale"}, attrs)


@settings(max_examples=20, deadline=None)
@given(da=images(), versions=st.tuples(st.sampled_from(VERSIONS), st.sampled_from(VERSIONS)))
def test_c6_every_way_of_opening_and_writing_again_keep_all(da: xr.DataArray, versions: tuple[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, second, third = (Path(folder) / f"{index}.ome.zarr" for index in range(3))
        quietly(da.omezarr.to_zarr, first, version=versions[0])
        wanted = quietly(expected, da)
        tree = xr.open_datatree(first, engine="omezarr")
        assert_same(tree.omezarr.level(0), wanted)
        quietly(tree.omezarr.to_zarr, second, version=versions[1])
        assert_same(xr.open_dataarray(second, engine="omezarr"), wanted)
        ds = xr.open_dataset(second, engine="omezarr")
        assert list(ds.data_vars) == ["image"]
        assert_same(ds["image"].rename(da.name), wanted)
        quietly(xr.open_dataarray(second, engine="omezarr").omezarr.to_zarr, third, version=versions[0])
        assert_same(xr.open_dataarray(third, engine="omezarr"), wanted)


# --- what stands beside the metadata -------------------------------------------------------------------------


def image(**coords: Any) -> xr.DataArray:
    """An image whose every coordinate has something to lose."""
    pixels = np.arange(96, dtype="u2").reshape(2, 6, 8)
    known = {
        "c": ("c", ["DAPI", "GFP"], {"long_name": "stain"}),
        "y": ("y", np.arange(6) * 0.5, {"units": "um", "long_name": "height"}),
        "x": ("x", 10 + np.arange(8) * 0.25, {"units": "um"}),
        "focus": (("y", "x"), np.arange(48.0).reshape(6, 8), {"by": "hand"}),
        "stage": 7,
    }
    return xr.DataArray(pixels, known | coords, ("c", "y", "x"), "cells", {"instrument": ("Zeiss", 63)})


LONG = sidecar.INLINE + 44

LONG_COORDS: dict[str, Any] = {
    "float64": np.random.default_rng(0).normal(size=LONG),
    "big_endian": np.arange(LONG, dtype=">f8") ** 0.5,
    "big_integers": np.arange(LONG, dtype=">i4"),
    "complex": np.arange(LONG) * 1j,
    "bool": np.arange(LONG) % 3 == 0,
    "dates": np.datetime64("2024-01-01T00:00:00.000001", "us") + np.arange(LONG) ** 2,
    "durations": np.array([*range(LONG - 1), "NaT"], "m8[ms]"),
    "text": np.array(["µ" * (index % 7) for index in range(LONG)]),
    "bytes": np.array([b"\xff" * (index % 5 + 1) for index in range(LONG)]),
    "objects": np.array([f"row {index}\0" for index in range(LONG)], object),
    "variable": np.array(["é" * (index % 50) for index in range(LONG)], np.dtypes.StringDType()),
    "pandas": pd.Index([f"row {index}" for index in range(LONG)], dtype="str"),
    "mixed": np.array(
        [(f"row {index}", index / 3, index, None, index % 2 == 0)[index % 5] for index in range(LONG)], object
    ),
    "table": (("y", "x"), np.arange(LONG * 2, dtype="f4").reshape(LONG, 2)),
    "names": (("x", "y"), np.array([[f"{i}-{j}" for j in range(LONG)] for i in range(2)], object)),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", LONG_COORDS)
def test_c6_long_coordinates_lie_in_arrays_and_come_back(tmp_path: Path, name: str, version: str) -> None:
    values = LONG_COORDS[name]
    da = xr.DataArray(np.zeros((LONG, 2), "u1"), dims=("y", "x"))
    da = da.assign_coords({name: values if isinstance(values, tuple) else ("y", values)})
    da.omezarr.to_zarr(tmp_path / "a.zarr", version=version)
    assert "array" in zarr.open_group(tmp_path / "a.zarr").attrs["xomezarr"]["coords"][name]
    opened = xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr")
    some = opened.isel(y=slice(3, 9))
    np.testing.assert_array_equal(some[name].values, da.isel(y=slice(3, 9))[name].values)
    np.testing.assert_array_equal(opened[name].values, da[name].values)
    if not da.identical(da.copy(deep=True)):
        pytest.skip("these versions of xarray and NumPy do not find variable-width text identical to its own copy")
    assert_same(opened, da)


@pytest.mark.parametrize("version", VERSIONS)
def test_c6_cut_grids_are_bit_identical(tmp_path: Path, version: str) -> None:
    for index, (step, start, stride) in enumerate(itertools.product([0.1, 0.325, 1 / 3], [0, 3, 1001], [1, 3])):
        grid = (np.arange(3000) * step)[start::stride][:500]
        da = xr.DataArray(np.zeros((500, 500), "u1"), {"y": grid, "x": grid.astype("f4")}, ("y", "x"))
        da.omezarr.to_zarr(tmp_path / f"{index}.zarr", version=version, levels=1)
        assert_same(xr.open_dataarray(tmp_path / f"{index}.zarr", engine="omezarr"), expected(da))


def test_c6_an_index_of_an_auxiliary_coordinate_comes_back(tmp_path: Path) -> None:
    da = image(wavelength=("c", [405.0, 488.0])).set_xindex("wavelength")
    da.omezarr.to_zarr(tmp_path / "a.zarr")
    opened = xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr")
    assert isinstance(opened.xindexes["wavelength"], PandasIndex)
    assert opened.sel(wavelength=488.0)["c"].item() == "GFP"


@pytest.mark.parametrize("key", ["c", "y"])
def test_c6_an_attribute_named_scale_is_lost_only_where_reading_sets_it(tmp_path: Path, key: str) -> None:
    da = image()
    da[key].attrs["scale"] = 3.0
    da.omezarr.to_zarr(tmp_path / "a.zarr")
    assert xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr")[key].attrs["scale"] == {"c": 3.0, "y": 0.5}[key]


# --- what cannot be kept -------------------------------------------------------------------------------------


class Odd:
    """Something that JSON has no word for."""


def itself() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


UNKEPT: dict[str, tuple[Callable[[xr.DataArray], xr.DataArray], str]] = {
    "object": (lambda da: da.assign_attrs(microscope=Odd()), r"attrs\['microscope'\]"),
    "set": (lambda da: da.assign_attrs(tags={"a"}), r"attrs\['tags'\] is \{'a'\} of type set"),
    "nested": (lambda da: da.assign_attrs(a={"b": [1, (2, Odd())]}), r"attrs\['a'\]\['b'\]\[1\]\[1\]"),
    "endless": (lambda da: da.assign_attrs(loop=itself()), r"attrs\['loop'\].* holds itself"),
    "key": (lambda da: da.assign_attrs({3: "three"}), r"key 3.*use '3'"),
    "inner key": (lambda da: da.assign_attrs(a={None: 1}), r"attrs\['a'\] has the key None"),
    "longdouble": (lambda da: da.assign_attrs(pi=np.longdouble("3.14")), r"attrs\['pi'\].*float128|longdouble"),
    "masked": (lambda da: da.assign_attrs(m=np.ma.masked_array([1], [True])), r"attrs\['m'\].*MaskedArray"),
    "surrogate": (lambda da: da.assign_attrs(a="\ud800"), r"attrs\['a'\].*not valid Unicode"),
    "name": (lambda da: da.rename(frozenset("n")), "name is frozenset"),
    "coordinate name": (lambda da: da.assign_coords({5: 1}), r"coordinate 5 .*rename\(\{5: '5'\}\)"),
    "slash": (lambda da: da.assign_coords({"a/b": 1}), r"coordinate 'a/b'.*rename\(\{'a/b': 'a_b'\}\)"),
    "objects": (
        lambda da: da.assign_coords(o=("y", np.array([{1}, "a", None, 2, 3, 4], object))),
        r"coords\['o'\]\[0\]",
    ),
    "extended": (lambda da: da.assign_coords(e=("y", np.arange(6, dtype=np.longdouble))), r"coords\['e'\].*dtype"),
    "interval": (lambda da: da.assign_coords(i=("y", pd.interval_range(0, 6))), r"coords\['i'\]"),
    "category": (lambda da: da.assign_coords(k=("y", pd.Categorical(list("aabbcc")))), r"coords\['k'\].*category"),
    "attribute of a coordinate": (
        lambda da: da.assign_coords(y=da.y.assign_attrs(stage=Odd())),
        r"coords\['y'\].attrs\['stage'\]",
    ),
    "multi-index": (
        lambda da: da.assign_coords(
            xr.Coordinates.from_pandas_multiindex(pd.MultiIndex.from_product([[0, 1], [0, 1, 2]]), "y")
        ),
        "MultiIndex",
    ),
    "cftime": (
        lambda da: da.assign_coords(when=("y", np.array([datetime.time(index) for index in range(6)], object))),
        r"coords\['when'\]\[0\] is .*type time",
    ),
}


@pytest.mark.filterwarnings("ignore:rename does not create an index")
@pytest.mark.parametrize("case", UNKEPT)
def test_c6_what_cannot_be_kept_is_named_before_anything_is_on_disk(tmp_path: Path, case: str) -> None:
    spoil, message = UNKEPT[case]
    with pytest.raises(OmeZarrError, match=message):
        spoil(image()).omezarr.to_zarr(tmp_path / "a.zarr")
    assert list(tmp_path.iterdir()) == []


def test_c6_all_that_cannot_be_kept_is_named_together(tmp_path: Path) -> None:
    da = image().assign_attrs(a=Odd(), b=1, c={1, 2}).assign_coords(o=("y", np.array([Odd()] * 6, object)))
    da["x"].attrs["who"] = Odd()
    with pytest.raises(OmeZarrError) as caught:
        da.omezarr.to_zarr(tmp_path / "a.zarr")
    for place in ("attrs['a']", "attrs['c']", "coords['o'][0]", "coords['x'].attrs['who']"):
        assert place in str(caught.value)
    assert isinstance(caught.value, ExceptionGroup)
    assert all(isinstance(fault, AttributeEncodingError) for fault in caught.value.exceptions)


# --- another tool has been at it -----------------------------------------------------------------------------


def rewrite(store: Path, version: str, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    """Change the JSON as another tool would: `change` gets the OME metadata and all attributes."""
    path = store / (".zattrs" if version == "0.4" else "zarr.json")
    document = json.loads(path.read_text())
    attrs = document if version == "0.4" else document["attributes"]
    change(attrs if version == "0.4" else attrs["ome"], attrs)
    path.write_text(json.dumps(document))


def axis_of(ome: dict[str, Any], name: str) -> dict[str, Any]:
    multiscale = ome["multiscales"][0]
    axes = multiscale["axes"] if "axes" in multiscale else multiscale["coordinateSystems"][0]["axes"]
    axis: dict[str, Any] = next(axis for axis in axes if axis["name"] == name)
    return axis


def set_transform(kind: int, position: int, value: float) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def change(ome: dict[str, Any], attrs: dict[str, Any]) -> None:
        steps = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"]
        transform = steps[0].get("transformations", steps)[kind]
        transform[transform["type"]][position] = value

    return change


CHANGES: dict[str, tuple[Callable[[dict[str, Any], dict[str, Any]], None], str, Callable[[xr.DataArray], bool]]] = {
    "scale": (set_transform(0, 1, 2.0), "scale of 'y' is 2.0, and was 0.5", lambda da: da.y.values[1] == 2.0),
    "translation": (set_transform(1, 2, -5.0), "translation of 'x'", lambda da: da.x.values[0] == -5.0),
    "unit": (
        lambda ome, attrs: axis_of(ome, "y").update(unit="nanometer"),
        "unit of 'y' is 'nanometer'",
        lambda da: da.y.attrs["units"] == "nanometer" and da.y.values[1] == 0.5,
    ),
    "name": (lambda ome, attrs: ome["multiscales"][0].update(name="new"), "name is 'new'", lambda da: da.name == "new"),
    "label": (
        lambda ome, attrs: ome["omero"]["channels"][0].update(label="Hoechst"),
        "channels",
        lambda da: da.c.values.tolist() == ["Hoechst", "GFP"] and da.c.attrs == {"long_name": "stain"},
    ),
    "color": (
        lambda ome, attrs: ome["omero"]["channels"][1].update(color="123456"),
        "channels",
        lambda da: da.channel_color.values[1] == "123456",
    ),
    "axis": (
        lambda ome, attrs: axis_of(ome, "y").update(name="row"),
        "axis 'y' is called 'row'",
        lambda da: da.dims == ("c", "row", "x") and da.row.attrs["long_name"] == "height" and "row" in da.focus.dims,
    ),
    "type": (
        lambda ome, attrs: axis_of(ome, "c").update(type="stain"),
        "type of 'c'",
        lambda da: da.c.values.tolist() == ["DAPI", "GFP"],
    ),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CHANGES)
def test_c6_what_another_tool_changed_wins_and_the_rest_survives(tmp_path: Path, case: str, version: str) -> None:
    change, message, holds = CHANGES[case]
    store = tmp_path / "a.zarr"
    da = image()
    da.omezarr.to_zarr(store, version=version)
    rewrite(store, version, change)
    if version != "0.4" and case == "axis":
        for path in store.glob("[0-9]/zarr.json"):
            path.write_text(path.read_text().replace('"y"', '"row"'))
    with pytest.warns(MetadataChangedWarning, match=message):
        opened = xr.open_dataarray(store, engine="omezarr")
    assert holds(opened)
    assert_same_attrs(opened.attrs, da.attrs)
    np.testing.assert_array_equal(opened.focus.values, da.focus.values)
    assert opened.focus.attrs == {"by": "hand"}
    assert opened.stage.item() == 7
    assert opened.rename(dict(zip(opened.dims, da.dims, strict=True))).y.attrs["long_name"] == "height"
    # writing it anew settles it
    opened.omezarr.to_zarr(tmp_path / "b.zarr", version=version)
    again = xr.open_dataarray(tmp_path / "b.zarr", engine="omezarr")
    xr.testing.assert_equal(again, opened)


def test_c6_without_the_sidecar_the_ome_metadata_suffice(tmp_path: Path) -> None:
    da = image()
    da.omezarr.to_zarr(tmp_path / "a.zarr")
    rewrite(tmp_path / "a.zarr", "0.4", lambda ome, attrs: attrs.pop("xomezarr"))
    opened = xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr")
    assert opened.name == "cells"
    assert opened.c.values.tolist() == ["DAPI", "GFP"]
    for dim in ("y", "x"):
        np.testing.assert_array_equal(opened[dim].values, da[dim].values)
        assert opened[dim].attrs["units"] == "micrometer"


def test_c6_json_that_another_tool_wrote_anew_is_no_change(tmp_path: Path) -> None:
    """JavaScript writes 1.0 as 1, and colours in lower case mean the same."""
    store = tmp_path / "a.zarr"
    image().omezarr.to_zarr(store)

    def change(ome: dict[str, Any], attrs: dict[str, Any]) -> None:
        for channel in ome["omero"]["channels"]:
            channel["color"] = channel["color"].lower()
            channel["window"] = {
                key: int(value) if value == int(value) else value for key, value in channel["window"].items()
            }
        for dataset in ome["multiscales"][0]["datasets"]:
            for transform in dataset["coordinateTransformations"]:
                values = transform[transform["type"]]
                transform[transform["type"]] = [int(value) if value == int(value) else value for value in values]

    rewrite(store, "0.4", change)
    assert_same(xr.open_dataarray(store, engine="omezarr"), expected(image()))


def test_c6_pixels_that_another_tool_appended_do_not_cost_the_rest(tmp_path: Path) -> None:
    da = image()
    da = da.assign_coords(exposure=("y", np.arange(6.0)))
    da.omezarr.to_zarr(tmp_path / "a.zarr", levels=1)
    zarr.open_group(tmp_path / "a.zarr")["0"].resize((2, 7, 8))
    with pytest.warns(MetadataChangedWarning, match="exposure.*has 6 values"):
        opened = xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr")
    assert opened.y.values.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert_same_attrs(opened.attrs, da.attrs)
    assert opened.c.values.tolist() == ["DAPI", "GFP"]


# --- a broken sidecar ----------------------------------------------------------------------------------------

json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All places in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in items for place in places(inner, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[path[0]] = replaced(changed[path[0]], path[1:], new)
    return changed


SIDECAR_JSON: list[Any] = []


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_c6_a_broken_sidecar_never_prevents_opening(data: st.DataObject) -> None:
    store = zarr.storage.MemoryStore()
    da = image(when=("y", np.arange(6).astype("M8[s]")), row=("y", list("abcdef"))).set_xindex("row")
    if not SIDECAR_JSON:
        da.omezarr.to_zarr(store, levels=1)
        SIDECAR_JSON.append(store)
    store = SIDECAR_JSON[0]
    group = zarr.open_group(store, mode="r+", use_consolidated=False)
    good = group.attrs["xomezarr"]
    try:
        bad = good
        for _ in range(data.draw(st.integers(1, 2))):
            bad = replaced(bad, data.draw(st.sampled_from(places(bad))), data.draw(json_values))
        group.attrs["xomezarr"] = bad
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            opened = xr.open_dataarray(store, engine="omezarr").load()
            tree = xr.open_datatree(store, engine="omezarr")
        assert sorted(opened.sizes) == ["c", "x", "y"]
        np.testing.assert_array_equal(opened.transpose("c", "y", "x").values, da.values)
        assert len(tree.children) == 1
    finally:
        group.attrs["xomezarr"] = good
