"""Is what was written what was asked for?

Level 0 has to hold the input, and every level its shape. Where means are promised to be exact, each voxel of each level
is compared with sums of the input, computed here with NumPy alone; elsewhere the mean of level 1 has to be near that of
level 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from workloads import Workload

NEAR = 0.02
"""How much the means of levels 0 and 1 may differ: by rounding, and by which pixels are taken."""

type Region = tuple[slice, ...]


def levels_of(store: Path, workload: Workload) -> list[zarr.Array[Any]]:
    """Return the levels that the metadata name; where there are none, the arrays that are there, finest first."""
    try:
        group = zarr.open_group(store, mode="r")
        attributes = dict(group.attrs)
        described: Any = attributes.get("ome", attributes)
        paths = [dataset["path"] for dataset in described["multiscales"][0]["datasets"]]
        return [array for path in paths if isinstance(array := group[path], zarr.Array)]
    except (KeyError, FileNotFoundError):
        pass
    return sorted(_arrays(store, len(workload.dims)), key=lambda array: -array.size)


def _arrays(store: Path, ndim: int) -> Iterator[zarr.Array[Any]]:
    for folder in sorted({path.parent for name in ("zarr.json", ".zarray") for path in store.rglob(name)}):
        try:
            array = zarr.open_array(folder, mode="r")
        except (FileNotFoundError, TypeError, ValueError, KeyError, zarr.errors.BaseZarrError):
            continue  # a group
        if array.ndim == ndim:
            yield array


def check_shapes(stores: list[Path], workload: Workload) -> dict[str, Any]:
    """Return whether the levels have their shapes, and what chunks and codec were written."""
    levels = [levels_of(store, workload) for store in stores]
    base = levels[0][0]
    return {
        "shapes": all([a.shape for a in of_image] == workload.level_shapes for of_image in levels),
        "chunks": list(base.chunks),
        "format": base.metadata.zarr_format,
        "codec": ", ".join(_told(codec) for codec in base.compressors) or "none",
    }


def _told(codec: Any) -> str:
    said = codec.to_dict() if hasattr(codec, "to_dict") else codec.get_config()
    fields = said.get("configuration", said)
    name = said.get("name") or said.get("id")
    parts = [name, fields.get("cname"), fields.get("clevel", fields.get("level")), _shuffle(fields.get("shuffle"))]
    return " ".join(str(part) for part in parts if part is not None)


def _shuffle(value: Any) -> Any:
    return {0: "noshuffle", 1: "shuffle", 2: "bitshuffle"}.get(value, value) if isinstance(value, int) else value


def check_pixels(stores: list[Path], workload: Workload, source: Any, added: int) -> dict[str, Any]:
    """Return whether level 0 is the input, whether all levels are exact means of it, and the mean of levels 0 and 1.

    `source` holds the input, of all images where they are many; `added` is what was added to each pixel on the way.
    """
    same, exact = True, True
    totals = [0, 0]
    for index, store in enumerate(stores):
        image = source[index] if len(stores) > 1 else source
        levels = levels_of(store, workload)
        totals[1] += int(np.sum(levels[1][...], dtype=np.uint64))
        for region in _regions(workload):
            pixels = np.asarray(image[region]) + np.uint16(added)
            totals[0] += int(np.sum(pixels, dtype=np.uint64))
            same = same and np.array_equal(levels[0][region], pixels)
            exact = exact and _exact(levels, pixels, region, workload)
    sizes = [workload.images * prod(shape) for shape in workload.level_shapes[:2]]
    base, coarse = (total / size for total, size in zip(totals, sizes, strict=True))
    return {
        "level0": bool(same),
        "exact": bool(same and exact),
        "near": abs(coarse - base) <= NEAR * base,
        "means": [round(base, 3), round(coarse, 3)],
    }


def _regions(workload: Workload) -> Iterator[Region]:
    """Yield whole planes, as many as make whole planes of the coarsest level and whole chunks."""
    depths = [
        max(chunk, factor ** (workload.levels - 1))
        for chunk, factor in zip(workload.chunks_of(0)[:-2], workload.step[:-2], strict=True)
    ]
    starts = [range(0, n, depth) for n, depth in zip(workload.shape[:-2], depths, strict=True)]
    for corner in product(*starts):
        yield (*(slice(i, i + n) for i, n in zip(corner, depths, strict=True)), slice(None), slice(None))


def _exact(levels: list[zarr.Array[Any]], pixels: NDArray[np.uint16], region: Region, workload: Workload) -> bool:
    sums: NDArray[Any] = pixels
    for level in range(1, workload.levels):
        for axis, factor in enumerate(workload.step):
            if factor > 1:
                sums = _add_neighbours(sums, axis, factor)
        count = prod(workload.step) ** level
        whole, rest = np.divmod(sums, count)
        means = whole + ((2 * rest > count) | ((2 * rest == count) & (whole % 2 == 1)))
        place = tuple(
            part if part.start is None else slice(part.start // f**level, -(-part.stop // f**level))
            for part, f in zip(region, workload.step, strict=True)
        )
        if not np.array_equal(levels[level][place], means):
            return False
    return True


def _add_neighbours(values: NDArray[Any], axis: int, factor: int) -> NDArray[np.uint32]:
    parts = [values[(*[slice(None)] * axis, slice(i, None, factor))] for i in range(factor)]
    total = np.add(parts[0], parts[1], dtype=np.uint32)
    for part in parts[2:]:
        total += part
    return total
