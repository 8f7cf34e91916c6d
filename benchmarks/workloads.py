"""What is written: five workloads, each in three sizes.

`full` is what is reported, `quick` is for trying the harness out, and `warm` is written before the clock starts, so
that imports and compiled kernels are there already. Imports nothing but the standard library: it is loaded in every
contender's environment.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

SIZES = ("full", "quick", "warm")


@dataclass(frozen=True)
class Workload:
    """One kind of image, in one size.

    Parameters
    ----------
    name, title
        How it is called in commands and in tables.
    dims
        One letter a dimension, in the order of the array.
    shape
        Of one image.
    step
        By dimension, from one level to the next; each divides what it is applied to.
    levels
        Their number, level 0 included.
    chunks
        Of the file in runs where all contenders write the same; also those of the input, where it is Zarr.
    source
        ``"numpy"``: in memory before the clock starts; ``"zarr"``: a Zarr v3 array on disk.
    images
        Their number, each written by one call.
    """

    name: str
    title: str
    dims: str
    shape: tuple[int, ...]
    step: tuple[int, ...]
    levels: int
    chunks: tuple[int, ...]
    source: str
    images: int = 1

    @property
    def level_shapes(self) -> list[tuple[int, ...]]:
        return [tuple(n // f**k for n, f in zip(self.shape, self.step, strict=True)) for k in range(self.levels)]

    @property
    def factors(self) -> dict[str, int]:
        """The step of those dimensions that shrink."""
        return {dim: factor for dim, factor in zip(self.dims, self.step, strict=True) if factor > 1}

    @property
    def space(self) -> dict[str, int]:
        """The step of all dimensions of space: some libraries want each of them."""
        return {dim: factor for dim, factor in zip(self.dims, self.step, strict=True) if dim in "zyx"}

    @property
    def nbytes(self) -> int:
        """Decoded bytes of level 0 of all images; pixels are uint16."""
        return 2 * math.prod(self.shape) * self.images

    def chunks_of(self, level: int) -> tuple[int, ...]:
        """Chunks that are no larger than the level."""
        return tuple(min(pair) for pair in zip(self.chunks, self.level_shapes[level], strict=True))


def _stack(edge: int, gibibytes: int) -> dict[str, tuple[int, ...]]:
    """Shapes of 512×1024×1024 pixels (1 GiB), doubled along z, y, x until they hold so many GiB."""
    doublings = int(math.log2(gibibytes))
    double = tuple(2 if axis < doublings else 1 for axis in range(3))
    return {
        "full": tuple(n * f for n, f in zip((512, 1024, 1024), double, strict=True)),
        "quick": tuple(n * f for n, f in zip((128, 256, 256), double, strict=True)),
        "warm": (edge, edge, edge),
    }


def _volume(name: str, title: str, edge: int, gibibytes: int) -> dict[str, Workload]:
    return {
        size: Workload(name, title, "zyx", shape, (2, 2, 2), 4, (edge,) * 3, "zarr")
        for size, shape in _stack(edge, gibibytes).items()
    }


def _sized(workload: Workload, quick: tuple[int, ...], warm: tuple[int, ...], images: int = 1) -> dict[str, Workload]:
    fields = {name: value for name, value in vars(workload).items() if name not in ("shape", "images")}
    return {
        "full": workload,
        "quick": Workload(**fields, shape=quick, images=images),
        "warm": Workload(**fields, shape=warm),
    }


WORKLOADS: Mapping[str, Mapping[str, Workload]] = {
    "W1": _sized(
        Workload(
            "W1", "slide in memory", "cyx", (3, 8192, 8192), (1, 2, 2), levels=5, chunks=(1, 1024, 1024), source="numpy"
        ),
        quick=(3, 1024, 1024),
        warm=(1, 1024, 1024),
    ),
    "W2": _volume("W2", "stack in Zarr, small chunks", 64, 1),
    "W3-1": _volume("W3-1", "stack in Zarr, 1 GiB", 128, 1),
    "W3-2": _volume("W3-2", "stack in Zarr, 2 GiB", 128, 2),
    "W3-4": _volume("W3-4", "stack in Zarr, 4 GiB", 128, 4),
    "W3-8": _volume("W3-8", "stack in Zarr, 8 GiB", 128, 8),
    "W4": _sized(
        Workload(
            "W4",
            "time lapse in memory",
            "tczyx",
            (50, 2, 20, 512, 512),
            (1, 1, 1, 2, 2),
            levels=3,
            chunks=(1, 1, 10, 256, 256),
            source="numpy",
        ),
        quick=(4, 2, 20, 256, 256),
        warm=(1, 1, 10, 128, 128),
    ),
    "W5": _sized(
        Workload(
            "W5",
            "many small images",
            "tcyx",
            (1, 3, 256, 256),
            (1, 1, 2, 2),
            levels=3,
            chunks=(1, 1, 256, 256),
            source="numpy",
            images=200,
        ),
        quick=(1, 3, 256, 256),
        warm=(1, 3, 256, 256),
        images=10,
    ),
}
"""By name and size. W3 is a row of stacks that grow."""

QUICK = ("W1", "W2", "W3-1", "W3-8", "W4", "W5")
"""Those that a quick trial runs."""


def select(names: list[str]) -> list[str]:
    """Return the workloads that are named, `W3` standing for all that begin so."""
    found = [name for asked in names for name in WORKLOADS if name == asked or name.startswith(f"{asked}-")]
    if missing := [asked for asked in names if not any(name.split("-")[0] == asked or name == asked for name in found)]:
        raise SystemExit(f"no workload {', '.join(missing)}; there are {', '.join(WORKLOADS)}")
    return list(dict.fromkeys(found))
