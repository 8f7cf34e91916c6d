"""What is given to other libraries, and where it lies: by arithmetic alone, which asks neither library."""

import os
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import dask.array
import numpy as np
import pytest
import xarray as xr

import xomezarr
from xomezarr.errors import InterchangeWarning

SCALE = {"z": 2.0, "y": 0.5, "x": 0.325}
TRANSLATION = {"z": -3.0, "y": 100.25, "x": -20.0}
UNIT = "micrometer"
SIZES = {"c": 2, "z": 6, "y": 203, "x": 150}
"""The rows are no multiple of what makes coarser levels."""

CHANNELS = [
    {"label": "DAPI", "color": "0000FF", "window": {"start": 20, "end": 900, "min": 0, "max": 65535}},
    {"label": "GFP", "color": "00FF00", "window": {"start": 50, "end": 700, "min": 0, "max": 65535}},
]


def image(dims="cyx"):
    """Return an image whose pixels are all different."""
    shape = tuple(SIZES[dim] for dim in dims)
    pixels = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    da = xr.DataArray(pixels, dims=tuple(dims), name="cells")
    own = [{dim: of[dim] for dim in dims if dim in of} for of in (SCALE, TRANSLATION)]
    da = da.omezarr.assign_grid(scale=own[0], translation=own[1], units=UNIT)
    return da.omezarr.assign_channels(CHANNELS) if "c" in dims else da


def labels():
    """Return labels, of which each is a box of a few pixels."""
    pixels = np.zeros((SIZES["y"], SIZES["x"]), "uint16")
    for value, (y, x) in BOXES.items():
        pixels[y, x] = value
    da = xr.DataArray(pixels, dims=("y", "x"), name="nuclei")
    own = [{dim: of[dim] for dim in "yx"} for of in (SCALE, TRANSLATION)]
    return da.omezarr.assign_grid(scale=own[0], translation=own[1], units=UNIT)


def never():
    """Return an image whose pixels nobody can read."""

    def read(block):
        raise AssertionError("pixels are read")

    bare = image()
    lazy = dask.array.zeros(bare.shape, chunks=(1, 64, 64), dtype=bare.dtype)
    unread = dask.array.map_blocks(read, lazy, dtype=bare.dtype, meta=np.empty((0, 0, 0), bare.dtype))
    return bare.copy(data=unread)


def assert_unread(*levels):
    """Assert that levels are lazy still, and that who reads them fails."""
    assert all(level.chunks is not None for level in levels)
    with pytest.raises(AssertionError, match="pixels are read"):
        levels[0].load()


BOXES = {1: (slice(4, 8), slice(8, 20)), 7: (slice(100, 140), slice(60, 64))}


def written(folder, version="0.4", dims="cyx"):
    """Return the tree of an image with labels, as it was opened from a store."""
    store = folder / f"cells-{version}.ome.zarr"
    image(dims).omezarr.to_zarr(store, levels=3, factors=2, version=version, chunks=dict.fromkeys(dims, 64))
    if "z" not in dims:
        labels().omezarr.to_labels(store, "nuclei", colors={1: "red", 7: "#00ff0080"})
    return xr.open_datatree(store, engine="omezarr")


def position(dim, index, level=0):
    """Return where the centre of a pixel lies: the middle of the pixels of level 0 that it is made of."""
    factor = 2**level
    return TRANSLATION[dim] + SCALE[dim] * (index * factor + (factor - 1) / 2)


def assert_same(tree, other):
    """Assert that two trees hold the same levels."""
    assert len(tree.omezarr.levels) == len(other.omezarr.levels)
    for level, found in zip(tree.omezarr.levels, other.omezarr.levels, strict=True):
        xr.testing.assert_identical(found.load(), level.load())


@contextmanager
def told(match):
    """Assert that what is lost is told, and nothing else."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", InterchangeWarning)
        yield
    own = [str(one.message) for one in found if issubclass(one.category, InterchangeWarning)]
    assert len(own) == 1, own
    assert match in own[0], own[0]


def base(tree):
    """Return level 0 of a tree."""
    return tree.omezarr.level(0)


def run(script):
    """Run a script's tests, and end."""
    assert xomezarr.__file__ is not None
    options = ["-q", "-p", "no:cacheprovider", "--noconftest", "-c", os.devnull, "--rootdir", str(Path(script).parent)]
    sys.exit(pytest.main([script, *options, "-W", "error::xomezarr.errors.InterchangeWarning"]))
