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

from xomezarr import sidecar
from xomezarr.errors import (
    AttributeEncodingError,
    MetadataChangedWarning,
    OmeZarrError,
    PixelSizeWarning,
    UnitWarning,
)

VERSIONS = ("0.4", "0.5")

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
    auxiliary = draw(st.lists(texts.filter(lambda name: name not in (*DIMENSIONS, "image")), max_size=3, unique=True))
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
    """Identical, and in all that `assert_identical` does not look at."""
    xr.testing.assert_identical(opened, da)
    assert opened.dims == da.dims
    assert opened.dtype == da.dtype
    assert type(opened.name) is type(da.name)
    for name, coord in da.coords.items():
        assert opened[name].dtype == coord.dtype
        assert opened[name].values.tobytes() == coord.values.tobytes() or coord.dtype.kind == "O"
        assert_same_attrs(opened[name].attrs, coord.attrs)
    assert_same_attrs(opened.attrs, da.attrs)
    assert {name: type(index) for name, index in opened.xindexes.items()} == {
        name: type(index) for name, index in da.xindexes.items()
    }


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


@settings(max_examples=60)
@given(da=images(), version=st.sampled_from(VERSIONS), dask=st.booleans())
def test_c6_open_of_write_is_identical(da: xr.DataArray, version: str, dask: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "a.ome.zarr"
        source = da.chunk(dict.fromkeys(da.dims, 2)) if dask else da
        quietly(source.omezarr.to_zarr, store, version=version)
        wanted = quietly(expected, da)
        with xr.open_dataarray(store, engine="omezarr") as opened:
            assert_same(opened, wanted)


@settings(max_examples=30)
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


@settings(max_examples=20)
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
        xr.testing.assert_identical(ds["image"].rename(da.name), wanted)
        quietly(xr.open_dataarray(second, engine="omezarr").omezarr.to_zarr, third, version=versions[0])
        assert_same(xr.open_dataarray(third, engine="omezarr"), wanted)
