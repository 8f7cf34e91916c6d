"""The bound: read, decode, reduce, encode, write, with no library in between.

Chunk files are opened and written as such, numcodecs decodes and encodes them, and one compiled kernel adds pixels.
Each chunk of the input is decoded once, and each chunk of the output is written once: a chunk of a coarser level is
made when those beneath it are done, from their sums. What is written is a valid store, so that it can be checked as all
others are.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numba
import numpy as np
from data import CODEC
from numcodecs import Blosc, blosc
from numpy.typing import NDArray
from workloads import Workload

blosc.use_threads = False  # each of our threads encodes by itself, and lets the others run

PARTS = 4
"""Least number of subtrees a thread, so that none waits long for the last."""

type Index = tuple[int, ...]


@numba.njit(nogil=True, cache=True)
def _add_blocks(pixels: Any, step: int, sums: Any) -> None:
    """Add blocks of `step`×2×2 pixels."""
    for z in range(sums.shape[0]):
        for y in range(sums.shape[1]):
            for x in range(sums.shape[2]):
                total = np.uint32(0)
                for k in range(step):
                    rows = pixels[step * z + k]
                    total += np.uint32(rows[2 * y, 2 * x]) + np.uint32(rows[2 * y, 2 * x + 1])
                    total += np.uint32(rows[2 * y + 1, 2 * x]) + np.uint32(rows[2 * y + 1, 2 * x + 1])
                sums[z, y, x] = total


@numba.njit(nogil=True, cache=True)
def _round_means(sums: Any, shift: int, means: Any) -> None:
    """Divide by 2**shift and round half to even."""
    half_less_one = np.uint32((1 << (shift - 1)) - 1)
    flat, out = sums.reshape(-1), means.reshape(-1)
    for i in range(flat.size):
        odd = (flat[i] >> np.uint32(shift)) & np.uint32(1)
        out[i] = (flat[i] + half_less_one + odd) >> np.uint32(shift)


class Tree:
    """The chunks of all levels of one image, each standing on those that it is made from."""

    def __init__(self, image: Path | NDArray[np.uint16], store: Path, workload: Workload) -> None:
        self.image, self.store, self.workload = image, store, workload
        self.codec = Blosc(cname=CODEC["cname"], clevel=CODEC["clevel"], shuffle=Blosc.SHUFFLE)
        self.shapes = workload.level_shapes
        self.chunks = [workload.chunks_of(level) for level in range(workload.levels)]
        self.grids = [
            tuple(-(-n // c) for n, c in zip(shape, chunk, strict=True))
            for shape, chunk in zip(self.shapes, self.chunks, strict=True)
        ]

    def write(self, workers: int) -> None:
        """Write the store: the lower levels by subtrees in threads, and what stands on them at the end."""
        self._write_metadata()
        top = len(self.grids) - 1
        split = next((k for k in range(top, 0, -1) if prod(self.grids[k]) >= PARTS * workers), 0)
        indices = list(np.ndindex(*self.grids[split]))
        with ThreadPoolExecutor(workers) as pool:
            done = dict(zip(indices, pool.map(lambda index: self._node(split, index), indices), strict=True))
        if split < top:
            for index in np.ndindex(*self.grids[top]):
                self._node(top, index, split, done)

    def _node(self, level: int, index: Index, known: int = -1, sums: dict[Index, Any] | None = None) -> Any:
        """Write one chunk and all beneath it, and return the sums that the next level is made from."""
        if level == known:
            assert sums is not None
            return sums.pop(index)
        if level == 0:
            return self._finish(0, index, self._read(index))
        children = self._children(level, index)
        halved = tuple(c // f for c, f in zip(self.chunks[level - 1], self.workload.step, strict=True))
        block = np.empty(self._extent(level, index), np.uint32)
        for child in product(*children):
            part = self._node(level - 1, child, known, sums)
            corner = [(c - kids.start) * n for c, kids, n in zip(child, children, halved, strict=True)]
            block[tuple(slice(i, i + n) for i, n in zip(corner, part.shape, strict=True))] = part
        return self._finish(level, index, block)

    def _children(self, level: int, index: Index) -> list[range]:
        """Indices, by axis, of the chunks that lie beneath a chunk."""
        extent = self._extent(level, index)
        axes = zip(index, self.chunks[level], extent, self.workload.step, self.chunks[level - 1], strict=True)
        return [range(i * c * f // finer, -(-(i * c + n) * f // finer)) for i, c, n, f, finer in axes]

    def _extent(self, level: int, index: Index) -> Index:
        """Shape of what a chunk holds of the level; chunks at the edge may hold less than others."""
        return tuple(min(c, n - i * c) for c, n, i in zip(self.chunks[level], self.shapes[level], index, strict=True))

    def _finish(self, level: int, index: Index, block: Any) -> Any:
        """Write a chunk; `block` holds pixels at level 0, sums above it."""
        if level == 0:
            pixels = block
        else:
            pixels = np.empty(block.shape, np.uint16)
            _round_means(block, level * int(np.log2(prod(self.workload.step))), pixels)
        path = self.store.joinpath(str(level), "c", *map(str, index))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.codec.encode(np.ascontiguousarray(pixels)))
        if level == len(self.grids) - 1:
            return None
        halved = tuple(n // f for n, f in zip(block.shape, self.workload.step, strict=True))
        sums = np.empty(halved, np.uint32)
        planes = (-1, *block.shape[-2:])  # axes before z do not shrink, so that they and z are one
        depth = self.workload.step[-3] if len(halved) > 2 else 1
        _add_blocks(block.reshape(planes), depth, sums.reshape(-1, *halved[-2:]))
        return sums

    def _read(self, index: Index) -> NDArray[np.uint16]:
        """Return a chunk of the input, whose chunks are those of level 0."""
        if not isinstance(self.image, Path):
            chunk = self.chunks[0]
            return np.ascontiguousarray(
                self.image[tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, chunk, strict=True))]
            )
        data = self.codec.decode(self.image.joinpath("image", "c", *map(str, index)).read_bytes())
        return np.frombuffer(data, np.uint16).reshape(self.chunks[0])

    def _write_metadata(self) -> None:
        axes = [{"name": dim, "type": {"t": "time", "c": "channel"}.get(dim, "space")} for dim in self.workload.dims]
        datasets = []
        for level, (shape, chunks) in enumerate(zip(self.shapes, self.chunks, strict=True)):
            grown = [f**level for f in self.workload.step]
            scale = {"type": "scale", "scale": [float(f) for f in grown]}
            shift = {"type": "translation", "translation": [(f - 1) / 2 for f in grown]}
            datasets.append({"path": str(level), "coordinateTransformations": [scale, shift]})
            self._document(str(level), _array_document(shape, chunks, self.workload.dims))
        ome = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
        self._document("", {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}})

    def _document(self, path: str, document: dict[str, Any]) -> None:
        folder = self.store / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "zarr.json").write_text(json.dumps(document))


def _array_document(shape: Index, chunks: Index, dims: str) -> dict[str, Any]:
    blosc_codec = {"name": "blosc", "configuration": {**CODEC, "blocksize": 0}}
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, blosc_codec],
        "dimension_names": list(dims),
        "attributes": {},
    }


def write(image: Any, store: Path, workload: Workload, same: bool, workers: int = 2) -> None:
    """Write one image; there is no default but the codec and chunks that all share."""
    Tree(image, store, workload).write(workers)
