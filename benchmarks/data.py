"""The images that are written: bright structures on a dim background, photons counted by a camera, uint16.

A field of smoothed noise on a coarse grid is exponentiated, so that few places are bright, and interpolated linearly;
each pixel is a Poisson number of that mean on the camera's offset. Large stacks repeat the 1-GiB stack. Made slab by
slab, so that memory stays small; made once, and kept.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from workloads import WORKLOADS, Workload

type Pixels = NDArray[np.uint16]

PHOTONS = 40.0
"""Mean of the field."""
OFFSET = 100
"""What the camera counts in the dark."""
CELL = 16
"""Pixels from one point of the coarse grid to the next."""
CODEC: dict[str, Any] = {"cname": "zstd", "clevel": 1, "shuffle": "shuffle", "typesize": 2}
"""Blosc, of the input in Zarr and of the output in runs where all contenders write the same."""


def location(folder: Path, workload: Workload, size: str) -> Path:
    """Where the input lies: a `.npy` file, or the group that holds the Zarr array `image`."""
    suffix = "npy" if workload.source == "numpy" else "zarr"
    return folder / f"{workload.name}-{size}.{suffix}"


def make(folder: Path, name: str, size: str) -> Path:
    """Make the input of a workload unless it is there already; return its path."""
    workload = WORKLOADS[name][size]
    path = location(folder, workload, size)
    done = path.with_suffix(".json")
    made = {"shape": list(workload.shape), "chunks": list(workload.chunks), "images": workload.images}
    if done.exists() and json.loads(done.read_text()) == made:
        return path
    done.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    if workload.source == "numpy":
        _make_npy(path, workload)
    else:
        _make_zarr(path, workload, WORKLOADS["W2"][size].shape)
    done.write_text(json.dumps(made))
    return path


def _make_npy(path: Path, workload: Workload) -> None:
    shape = (workload.images, *workload.shape) if workload.images > 1 else workload.shape
    pixels = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint16, shape=shape)
    space = 3 if "z" in workload.dims else 2
    for seed, index in enumerate(np.ndindex(*shape[:-space])):
        for slab, values in _slabs(shape[-space:], seed):
            pixels[(*index, slab)] = values
    pixels.flush()


def _make_zarr(path: Path, workload: Workload, tile: tuple[int, ...]) -> None:
    """Write a stack that repeats a tile, unless it is smaller than one."""
    import zarr
    from zarr.codecs import BloscCodec

    group = zarr.open_group(path, mode="w", zarr_format=3)
    array = group.create_array(
        "image",
        shape=workload.shape,
        chunks=workload.chunks_of(0),
        dtype="uint16",
        compressors=BloscCodec(**CODEC),
        dimension_names=list(workload.dims),
    )
    tile = tuple(min(pair) for pair in zip(tile, workload.shape, strict=True))
    repeats = [n // t for n, t in zip(workload.shape, tile, strict=True)]
    depth = workload.chunks_of(0)[0]
    for slab, values in _slabs(tile, seed=7, depth=depth):
        for z, y, x in np.ndindex(*repeats):
            start, stop = z * tile[0] + slab.start, z * tile[0] + slab.stop
            array[start:stop, y * tile[1] : (y + 1) * tile[1], x * tile[2] : (x + 1) * tile[2]] = values


def _slabs(shape: tuple[int, ...], seed: int, depth: int | None = None) -> Iterator[tuple[slice, Pixels]]:
    """Yield the image part by part along its first axis."""
    depth = depth or max(1, 2**25 // int(np.prod(shape[1:])))
    mean = _field(shape, seed)
    threads = os.cpu_count() or 1

    def count(part: tuple[int, int]) -> Pixels:
        counts = np.random.default_rng([seed, part[0]]).poisson(mean(*part)) + OFFSET
        return np.minimum(counts, 65535).astype(np.uint16)

    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, shape[0], depth):
            slab = slice(start, min(start + depth, shape[0]))
            edges = np.linspace(slab.start, slab.stop, threads + 1).astype(int).tolist()
            yield slab, np.concatenate(list(pool.map(count, pairwise(edges))))


def _field(shape: tuple[int, ...], seed: int) -> Callable[[int, int], NDArray[np.float32]]:
    """Return a function of the first and last index along the first axis, which gives the mean there."""
    from scipy.ndimage import gaussian_filter

    coarse = tuple(max(2, -(-n // CELL)) for n in shape)
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(coarse), 1.0, mode="wrap")
    bright = np.exp(2.0 * noise / noise.std())
    bright = (bright * PHOTONS / bright.mean()).astype(np.float32)
    weights = [_interpolation(n, m) for n, m in zip(shape, coarse, strict=True)]

    def mean(start: int, stop: int) -> NDArray[np.float32]:
        part = np.tensordot(weights[0][start:stop], bright, axes=(1, 0))
        for axis, matrix in enumerate(weights[1:], start=1):
            part = np.moveaxis(np.tensordot(matrix, part, axes=(1, axis)), 0, axis)
        return part

    return mean


def _interpolation(fine: int, coarse: int) -> NDArray[np.float32]:
    """Return the matrix that interpolates `coarse` samples linearly at `fine` places."""
    identity = np.eye(coarse)
    places = np.linspace(0, coarse - 1, fine)
    return np.stack([np.interp(places, np.arange(coarse), row) for row in identity], axis=1).astype(np.float32)
