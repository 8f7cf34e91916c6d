"""Measure what a large plan costs the process that drives it: tiles that do nothing, on a cluster and in threads.

    uv run python benchmarks/driver.py             prints a table
    uv run python benchmarks/driver.py --report    and writes docs/performance-driver.inc, which the docs show

The images are planned as `to_zarr` would plan them from Zarr; their pixels do not exist. A cluster of two processes
gets the same tasks as in a real write, and each walks over its tiles without touching a pixel. Linux only.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import distributed
import numpy as np
from numpy.typing import NDArray

from xomezarr.engine import Watch, Work, run_in_threads
from xomezarr.graph import run_on_cluster
from xomezarr.source import Source
from xomezarr.tiling import LEAF_BYTES, Costs, Tile, fit

EDGES = (2048, 4096, 8192, 12800)
CHUNK = 64
REPORT = Path(__file__).resolve().parents[1] / "docs" / "performance-driver.inc"
NOTHING = np.zeros((1, 0), "uint16")


class Idle(Work):
    """Work whose tiles do nothing."""

    def read(self, tile: Tile, source: Source) -> NDArray[Any]:
        return NOTHING

    def leaf(self, tile: Tile, given: NDArray[Any], watch: Watch) -> NDArray[Any] | None:
        return NOTHING if self.tiling.parent(tile) is not None else None

    def node(self, tile: Tile, carry: NDArray[Any], watch: Watch) -> NDArray[Any] | None:
        return NOTHING if self.tiling.parent(tile) is not None else None

    def joined(self, tile: Tile, pieces: Any) -> NDArray[Any]:
        for _ in pieces:
            pass
        return NOTHING

    def place(self, tile: Tile, parent: Tile) -> tuple[slice, ...]:
        return (slice(None),)

    def empty_carry(self, tile: Tile) -> NDArray[Any]:
        return NOTHING.copy()


class Absent:
    """A source that nobody reads."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.dtype, self.chunks, self.shared = shape, np.dtype("uint16"), (CHUNK,) * 3, True

    def read(self, box: tuple[slice, ...]) -> NDArray[Any]:
        raise AssertionError

    def check(self) -> None:
        """It is nowhere."""


def work(edge: int) -> Idle:
    """Plan an image of `edge`³ pixels of 16 bits, halved until a level fits into a chunk."""
    shapes = [(edge,) * 3]
    while shapes[-1][0] > CHUNK:
        shapes.append(tuple(-(-n // 2) for n in shapes[-1]))
    costs = Costs(2, 4, (CHUNK,) * 3, copies=1, leaf=LEAF_BYTES, halo=(0, 0, 0))
    steps, units = [(2, 2, 2)] * (len(shapes) - 1), [(CHUNK,) * 3] * len(shapes)
    tiling = fit(shapes, steps, units, costs, workers=2, max_memory=2**32).tiling
    return Idle(tiling, None, (None,) * len(shapes))


def resident() -> int:
    """Return the bytes of memory that this process holds."""
    words = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(words.split()[1]) * 1024


def measured(run: Callable[[], None]) -> tuple[float, float]:
    """Return the seconds that something takes, and the megabytes that this process grows by at most."""
    before, done = resident(), threading.Event()
    peak = before

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    try:
        run()
    finally:
        took = time.perf_counter() - began
        done.set()
        watcher.join()
    return took, max(peak - before, 0) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what a large plan costs the process that drives it.")
    parser.add_argument("--report", action="store_true", help="write the table of the docs")
    options = parser.parse_args()
    rows = [["pixels", "decoded", "tiles", "threads", "cluster", "tasks", "driver grows by"]]
    with (
        # its scheduler is in this process: what it takes is counted too
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        run_on_cluster(work(256), [Absent((256,) * 3)], client)
        for edge in EDGES:
            idle, source = work(edge), Absent((edge,) * 3)
            in_threads, _ = measured(lambda idle=idle, source=source: run_in_threads(idle, [source], 2))
            told: list[int] = []
            on_cluster, grown = measured(
                lambda idle=idle, source=source, told=told: run_on_cluster(idle, [source], client, told.append)
            )
            size = 2 * edge**3
            decoded = f"{size / 2**40:.1f} TiB" if size >= 2**40 else f"{size / 2**30:.0f} GiB"
            counts = [f"{idle.tiling.total:,}", f"{in_threads:.1f} s", f"{on_cluster:.1f} s", f"{len(told):,}"]
            rows.append([f"{edge}³", decoded, *counts, f"{grown:.0f} MB"])
            print(*rows[-1], sep="  ", flush=True)
    if options.report:
        head, *body = [f"| {' | '.join(row)} |\n" for row in rows]
        rule = f"| {' | '.join(['---:'] * len(rows[0]))} |\n"
        REPORT.write_text("<!-- made by benchmarks/driver.py -->\n\n" + head + rule + "".join(body))


if __name__ == "__main__":
    main()
