"""What it takes to write, open, stack, draw, copy and validate a plate: a row in seconds and processor seconds.

python benchmarks/plates.py [--wells 384] [--fields 9] [--keep plate.ome.zarr]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import xomezarr

LAYOUTS = {6: (2, 3), 24: (4, 6), 96: (8, 12), 384: (16, 24), 1536: (32, 48)}
LEVELS = 5


def seconds(do: Callable[[], Any]) -> tuple[str, Any]:
    start, busy = time.perf_counter(), time.process_time()
    result = do()
    return f"{time.perf_counter() - start:.1f} ({time.process_time() - busy:.1f})", result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wells", type=int, choices=LAYOUTS, default=384)
    parser.add_argument("--fields", type=int, default=9)
    parser.add_argument("--keep", type=Path, help="where the plate is, or is made and stays")
    asked = parser.parse_args()
    rows, columns = LAYOUTS[asked.wells]
    names = [chr(ord("A") + row) if row < 26 else f"A{chr(ord('A') + row - 26)}" for row in range(rows)]
    pixels = np.random.default_rng(0).poisson(100, (2, 256, 256)).astype("uint16")
    image = xr.DataArray(pixels, dims=("c", "y", "x"), name="cells")
    image = image.omezarr.assign_grid(scale={"y": 0.325, "x": 0.325}, units="um").omezarr.assign_channels(["DNA", "ER"])
    wells = {(row, column + 1): [image] * asked.fields for row in names for column in range(columns)}
    with tempfile.TemporaryDirectory() as folder:
        store = str(asked.keep or Path(folder) / "plate.ome.zarr")
        took = {}
        if not Path(store).exists():
            took["write"], _ = seconds(lambda: xomezarr.write_plate(wells, store, levels=LEVELS))
        took["open"], tree = seconds(lambda: xomezarr.open_plate(store))
        took["open, all checked"], true = seconds(lambda: xomezarr.open_plate(store, check=True))
        took["xr.open_datatree"], _ = seconds(lambda: xr.open_datatree(store, engine="omezarr"))
        took["stack"], stacked = seconds(lambda: tree.omezarr.stack(level=2))
        took["its means"], means = seconds(lambda: stacked.mean(("y", "x")).load())
        took["by dask"], _ = seconds(lambda: stacked.chunk(row=1, column=1).mean(("y", "x")).load())
        took["overview"], _ = seconds(tree.omezarr.overview)
        copy = str(Path(folder) / "copy.ome.zarr")
        took["plan a copy"], _ = seconds(lambda: tree.omezarr.to_zarr(copy, compute=False))
        took["of all checked"], _ = seconds(lambda: true.omezarr.to_zarr(copy, compute=False))
        took["validate"], report = seconds(lambda: xomezarr.validate(store))
    assert means.shape == (rows, columns, asked.fields, 2)
    assert float(means.min()) > 90
    assert report.valid
    print(" | ".join(["wells × fields × levels", *took]))
    print(" | ".join([f"{asked.wells} × {asked.fields} × {LEVELS}", *took.values()]))


if __name__ == "__main__":
    main()
