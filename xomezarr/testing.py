"""Assertions for tests of code that writes OME-Zarr.

>>> import numpy as np, xarray as xr, xomezarr.testing
>>> da = xr.DataArray(np.zeros((8, 8), "uint8"), dims=("y", "x"), name="square", attrs={"gain": 2})
>>> xomezarr.testing.assert_round_trip(da)
"""

from __future__ import annotations

from typing import Any

import xarray as xr
from zarr.storage import MemoryStore

from xomezarr.accessor import to_zarr
from xomezarr.read import open_tree
from xomezarr.tree import level

__all__ = ["assert_identical", "assert_round_trip"]


def assert_identical(opened: xr.DataArray, written: xr.DataArray) -> None:
    """Assert that an opened image is the array that was written, with nothing lost.

    As `xarray.testing.assert_identical`, and in addition dtypes and the order of dimensions are the same. The one
    thing that reading adds is let pass: ``attrs["scale"]`` on regular dimension coordinates.

    Parameters
    ----------
    opened
        Level 0 of the image, as it was read.
    written
        The array that was written.

    Raises
    ------
    AssertionError
        If anything differs.
    """
    assert opened.dims == written.dims, f"dimensions are {opened.dims}, not {written.dims}"
    assert opened.dtype == written.dtype, f"dtype is {opened.dtype}, not {written.dtype}"
    for name, coord in written.coords.items():
        found = opened.coords[name].dtype if name in opened.coords else None
        assert found == coord.dtype, f"dtype of coordinate {name!r} is {found}, not {coord.dtype}"
    xr.testing.assert_identical(_without_scales(opened), _without_scales(written))


def assert_round_trip(da: xr.DataArray, **options: Any) -> None:
    """Assert that an array comes back as it was from being written to memory and opened again.

    Parameters
    ----------
    da
        The array.
    **options
        As for `to_zarr`.

    Raises
    ------
    AssertionError
        If anything differs.
    OmeZarrError
        If the array cannot be written.
    """
    store = MemoryStore()
    to_zarr(da, store, **options)
    assert_identical(level(open_tree(store), 0), da)


def _without_scales(da: xr.DataArray) -> xr.DataArray:
    """Return a copy whose dimension coordinates do not say their scale."""
    result = da.copy(deep=False)
    for dim in da.dims:
        if dim in da.coords:
            coord = da.coords[dim].copy(deep=False)
            coord.attrs = {key: value for key, value in coord.attrs.items() if key != "scale"}
            result = result.assign_coords({dim: coord})
    return result
