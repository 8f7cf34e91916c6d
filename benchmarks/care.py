"""Measure what care costs: notes of what is done while an image is written, and levels checked against their pixels.

    uv run python benchmarks/care.py             prints two tables
    uv run python benchmarks/care.py --report    and writes docs/performance-notes.inc and docs/performance-grids.inc

Images of 1 GiB of uint16, in two and in three dimensions, are written from memory. What is told of notes is the time
that threads spend on them, as a part of the time of all threads: what they take away from the work.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import xomezarr
from xomezarr.journal import Ledger
from xomezarr.tiling import Tile

IMAGES = {"32768 × 16384": (32768, 16384), "512 × 1024 × 1024": (512, 1024, 1024)}
CELL = 16
"""Pixels of a bright or dark cell along each dimension."""
WORKERS = 2
TIMES = 3
DOCS = Path(__file__).resolve().parents[1] / "docs"


class Clock:
    """How long something takes in all threads, and how often it is done."""

    def __init__(self) -> None:
        self.seconds, self.count, self._lock = 0.0, 0, threading.Lock()

    def add(self, seconds: float) -> None:
        with self._lock:
            self.seconds += seconds
            self.count += 1


def image(shape: tuple[int, ...]) -> xr.DataArray:
    """Return cells of random brightness, on which a camera counts."""
    random = np.random.default_rng(0)
    pixels = random.integers(100, 300, tuple(n // CELL for n in shape), "uint16")
    for axis in range(len(shape)):
        pixels = np.repeat(pixels, CELL, axis)
    for slab in np.array_split(pixels, 32):
        slab += random.integers(0, 30, slab.shape, "uint16")
    return xr.DataArray(pixels, dims=("z", "y", "x")[-len(shape) :]).omezarr.assign_grid(units="um")


def written(da: xr.DataArray, store: Path) -> tuple[float, Clock]:
    """Write an image; return the seconds that it takes, and those of notes."""
    clock, note = Clock(), Ledger.note

    def timed(self: Ledger, tile: Tile, carry: NDArray[Any] | None, nbytes: int) -> None:
        began = time.perf_counter()
        note(self, tile, carry, nbytes)
        clock.add(time.perf_counter() - began)

    Ledger.note = timed  # type: ignore[method-assign]
    try:
        began = time.perf_counter()
        da.omezarr.to_zarr(store, version="0.5", mode="w", workers=WORKERS)
        return time.perf_counter() - began, clock
    finally:
        Ledger.note = note  # type: ignore[method-assign]


def table(rows: list[list[str]]) -> str:
    """Lay out rows, the first of which is the head, as the docs show it."""
    head, *body = [f"| {' | '.join(row)} |\n" for row in rows]
    return head + f"| {' | '.join(['---:'] * len(rows[0]))} |\n" + "".join(body)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what notes and checks against pixels cost.")
    parser.add_argument("--report", action="store_true", help="write the tables of the docs")
    options = parser.parse_args()
    notes = [["image of 1 GiB", "written in", "notes", "which take", "of the threads' time"]]
    grids = [["image of 1 GiB", "`validate`", "with `--grids`"]]
    for name, shape in IMAGES.items():
        da = image(shape)
        with tempfile.TemporaryDirectory() as folder:
            store = Path(folder) / "image.ome.zarr"
            # the one whose notes take the middle part of the time
            runs = sorted((written(da, store) for _ in range(TIMES)), key=lambda run: run[1].seconds / run[0])
            seconds, clock = runs[TIMES // 2]
            share = clock.seconds / seconds / WORKERS
            told = [f"{seconds:.1f} s", f"{clock.count}", f"{1000 * clock.seconds:.1f} ms", f"{share:.2%}"]
            notes.append([name, *told])
            print(*notes[-1], sep="  ", flush=True)
            took = []
            for asked in (False, True):
                each = []
                for _ in range(TIMES):
                    began = time.perf_counter()
                    assert xomezarr.validate(store, grids=asked).valid
                    each.append(time.perf_counter() - began)
                took.append(f"{sorted(each)[TIMES // 2]:.2f} s")
            grids.append([name, *took])
            print(*grids[-1], sep="  ", flush=True)
    if options.report:
        for called, rows in (("notes", notes), ("grids", grids)):
            (DOCS / f"performance-{called}.inc").write_text(f"<!-- made by benchmarks/care.py -->\n\n{table(rows)}")
    print(f"{os.cpu_count()} cores")


if __name__ == "__main__":
    main()
