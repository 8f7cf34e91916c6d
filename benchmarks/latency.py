"""How long opening an image takes, once everything is imported; printed as one line of JSON.

Started by `run.py` in the environment of the opener, or, to write the images that are opened, in ours:

    python latency.py write FOLDER
    python latency.py OPENER FOLDER

Copies of one image are opened in turn: metadata of all levels (`open`), and then the first pixel of the coarsest
(`pixel`). Each is a function that returns a function, so that what is timed is what a session does again and again.
"""

from __future__ import annotations

import json
import logging
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COPIES = 20
ROUNDS = 10
VERSIONS = ("0.4", "0.5")
LEVELS = 5

type Opened = Callable[[], Any]
"""Reads the first pixel of the coarsest level."""


def first(array: Any) -> Any:
    return array[(0,) * array.ndim]


def bare_zarr(path: Path) -> Opened:
    """The group and its arrays, by the paths in its metadata: what all that use zarr-python have to do."""
    import zarr

    group = zarr.open_group(path, mode="r", use_consolidated=False)
    attributes: Any = dict(group.attrs)
    (image,) = attributes.get("ome", attributes)["multiscales"]
    arrays = [group[dataset["path"]] for dataset in image["datasets"]]
    return lambda: first(arrays[-1])


def xomezarr(path: Path) -> Opened:
    import xarray as xr

    tree = xr.open_datatree(path, engine="omezarr")
    return lambda: first(tree[str(LEVELS - 1)]["image"]).values


def ome_zarr(path: Path) -> Opened:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    data = next(iter(Reader(parse_url(path))())).data
    return lambda: first(data[-1]).compute()


def ngff_zarr(path: Path) -> Opened:
    import ngff_zarr as nz

    images = nz.from_ngff_zarr(str(path)).images
    return lambda: first(images[-1].data).compute()


def ome_zarr_pyramid(path: Path) -> Opened:
    from ome_zarr_pyramid import io

    pyramid = io.read_pyramid(str(path))

    def pixel() -> Any:
        value = first(pyramid.layers[str(LEVELS - 1)])
        value = value.compute() if hasattr(value, "compute") else value
        return value.read().result() if hasattr(value, "read") else value

    return pixel


def bioio_ome_zarr(path: Path) -> Opened:
    from bioio_ome_zarr import Reader

    reader = Reader(str(path))
    reader.set_resolution_level(LEVELS - 1)
    _ = reader.dims, reader.physical_pixel_sizes
    return lambda: first(reader.dask_data).compute()


@dataclass(frozen=True)
class Opener:
    """One row of the table of latencies: its label, environment and function."""

    label: str
    environment: str
    open: Callable[[Path], Opened]


OPENERS: Mapping[str, Opener] = {
    "zarr": Opener("zarr-python: group and arrays", "xomezarr", bare_zarr),
    "xomezarr": Opener("xomezarr: `xr.open_datatree`", "xomezarr", xomezarr),
    "ome-zarr": Opener("ome-zarr-py: `Reader`", "ome-zarr", ome_zarr),
    "ngff-zarr": Opener("ngff-zarr: `from_ngff_zarr`", "ngff-zarr", ngff_zarr),
    "ome-zarr-pyramid": Opener("ome-zarr-pyramid: `read_pyramid`", "ome-zarr-pyramid", ome_zarr_pyramid),
    "bioio-ome-zarr": Opener("bioio-ome-zarr: `Reader`", "bioio-ome-zarr", bioio_ome_zarr),
}


def place(folder: Path, version: str, copy: int) -> Path:
    return folder / version / f"{copy}.ome.zarr"


def write(folder: Path) -> None:
    """Write the images: two channels, 1 MiB, with pixel sizes and units."""
    import numpy as np
    import xarray as xr

    import xomezarr  # noqa: F401 - registers the accessor

    pixels = np.random.default_rng(0).poisson(20, (2, 512, 512)).astype("uint16")
    da = xr.DataArray(pixels, dims=("c", "y", "x"), name="cells")
    da = da.omezarr.assign_grid(scale={"y": 0.325, "x": 0.325}, units="um").omezarr.assign_channels(["DAPI", "GFP"])
    for version in VERSIONS:
        for copy in range(COPIES):
            da.omezarr.to_zarr(place(folder, version, copy), levels=LEVELS, version=version, mode="w")


def measure(opener: Opener, folder: Path) -> dict[str, dict[str, float]]:
    """Return medians and 90th percentiles in milliseconds, by version."""
    results = {}
    for version in VERSIONS:
        opened, read = [], []
        opener.open(place(folder, version, 0))()
        for trial in range(COPIES * ROUNDS):
            path = place(folder, version, trial % COPIES)
            start = time.perf_counter()
            pixel = opener.open(path)
            middle = time.perf_counter()
            pixel()
            opened.append(middle - start)
            read.append(time.perf_counter() - middle)
        results[version] = {
            "open_ms": round(1e3 * statistics.median(opened), 3),
            "open_p90_ms": round(1e3 * statistics.quantiles(opened, n=10)[-1], 3),
            "pixel_ms": round(1e3 * statistics.median(read), 3),
        }
    return results


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.disable()
    what, where = sys.argv[1:]
    if what == "write":
        write(Path(where))
    else:
        print(json.dumps(measure(OPENERS[what], Path(where))))
