"""What a write will do, as a printable value: levels, shapes, chunks, grids, bytes and metadata."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xomezarr import sidecar, spec
from xomezarr.channels import complete
from xomezarr.fields import Kept
from xomezarr.grid import Grid
from xomezarr.journal import entry_of
from xomezarr.layout import FLAT
from xomezarr.model import Image, Multiscale
from xomezarr.nested import Nest
from xomezarr.store import StoreArgument
from xomezarr.tiling import ENOUGH_READS, Pass
from xomezarr.units import symbol

__all__ = [
    "COMPRESSORS",
    "LevelPlan",
    "Plan",
    "Shards",
    "TilePlan",
    "final_image",
    "group_attributes",
    "method_of",
    "readable_bytes",
]

COMPRESSORS = "auto"

type Shards = Mapping[str, int] | Sequence[int] | str | None
"""``"auto"``, or pixels by dimension, or for each dimension in the array's order; None for none."""


@dataclass(frozen=True, slots=True)
class LevelPlan:
    """One resolution level to be written.

    Parameters
    ----------
    path
        Of its array, below the image's group.
    grids
        Pixel centres, by dimension in file order.
    chunks
        By dimension, no larger than the level.
    dtype
        Of its pixels.
    shards
        By dimension, multiples of the chunks; None where each chunk is an object of its own.
    """

    path: str
    grids: Mapping[str, Grid]
    chunks: Mapping[str, int]
    dtype: np.dtype[Any]
    shards: Mapping[str, int] | None = None

    @property
    def unit(self) -> tuple[int, ...]:
        """What is written at once, by one writer: a shard, else a chunk; in file order."""
        return tuple((self.shards or self.chunks).values())

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes in file order."""
        return tuple(grid.size for grid in self.grids.values())

    @property
    def nbytes(self) -> int:
        """Decoded bytes of the level."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def file_count(self) -> int:
        """Number of its chunks, or of its shards if it has these, each of which is a file or an object."""
        return math.prod(-(-size // part) for size, part in zip(self.shape, self.unit, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Return the level as a JSON object; sequences are by dimension in file order."""
        return {
            "path": self.path,
            "shape": list(self.shape),
            "chunks": list(self.chunks.values()),
            "shards": list(self.shards.values()) if self.shards else None,
            "dtype": str(self.dtype),
            "scale": [grid.scale for grid in self.grids.values()],
            "translation": [grid.translation for grid in self.grids.values()],
            "bytes": self.nbytes,
        }


@dataclass(frozen=True, slots=True)
class TilePlan:
    """A tile to be written, by one writer.

    Parameters
    ----------
    id
        Level and place, such as ``"0/3.1"``.
    path
        Of the level's array, below the image's group.
    region
        Pixels of the level, by dimension: whole chunks or shards.
    """

    id: str
    path: str
    region: Mapping[str, slice]


@dataclass(frozen=True, slots=True)
class Plan:
    """A write, before it is done. Print it to see what it will make.

    Parameters
    ----------
    store
        Where to.
    mode
        ``"w-"`` or ``"w"``.
    version
        Of OME-Zarr.
    image
        The OME metadata; windows that nobody gave are filled in from the coarsest level when that is written.
    levels
        Finest first.
    attributes
        Further attributes of the group: those of other tools, and what OME metadata cannot say.
    arrays
        Coordinates that are too long for an attribute, by path below the group.
    compressors
        As zarr takes them.
    storage_options
        For URLs, as fsspec takes them.
    passes
        The tiles that the levels are made in, and what that takes; one pass, unless the method reads beyond its blocks.
    write_empty_chunks
        Whether chunks of zeros are written too.
    labels
        The plans of its labels, by name.
    listing
        What other tools have said of the labels as a whole: attributes of their group.
    colormap
        Of labels, whose colours are chosen when their values are known: the name of a colormap of matplotlib.
    copied
        Arrays of transformations that are copied with the image; None where there are none.
    layout
        Where the arrays of levels lie, a key of `layout.LAYOUTS`.
    nest
        What is stored of levels for xarray, beside their pixels; nothing in the flat layout.
    resume
        Whether an interrupted write is gone on with.
    growing
        The dimension along which it will be appended to, and how many pixels it will have in the end, of which room is
        made at once; None for those where that is not known, or for an image that nobody appends to.
    listed
        Whether a group lists what is at its place.
    """

    store: StoreArgument
    mode: str
    version: str
    image: Image
    levels: tuple[LevelPlan, ...]
    attributes: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    compressors: Any
    storage_options: Mapping[str, Any] | None
    passes: tuple[Pass, ...]
    write_empty_chunks: bool
    labels: Mapping[str, Plan] = field(default_factory=dict)
    listing: Mapping[str, Any] = field(default_factory=dict)
    colormap: str | None = None
    copied: Kept | None = None
    layout: str = FLAT
    nest: Nest = field(default_factory=Nest)
    resume: bool = False
    growing: tuple[str, int | None] | None = None
    listed: bool = False

    @property
    def tiles(self) -> Iterator[TilePlan]:
        """What each tile writes, in the order in which they become whole where one worker makes them all."""
        for walk in self.passes:
            for tile in walk.tiles():
                level = self.levels[tile.level]
                yield TilePlan(tile.id, level.path, dict(zip(level.grids, walk.box(tile), strict=True)))
        for name, plan in self.labels.items():
            for inner in plan.tiles:
                yield TilePlan(f"labels/{name}/{inner.id}", f"labels/{name}/{inner.path}", inner.region)

    @property
    def tile_count(self) -> int:
        """Number of `tiles`."""
        own = sum(walk.tiling.count(level - walk.first) for walk in self.passes for level in walk.writes)
        return own + sum(plan.tile_count for plan in self.labels.values())

    @property
    def memory(self) -> int:
        """Bytes that the write takes at most, predicted, beyond those of an image that is in memory already."""
        return max([*(walk.memory for walk in self.passes), *(plan.memory for plan in self.labels.values())])

    @property
    def workers(self) -> int:
        """Threads that make the tiles."""
        return max([*(walk.workers for walk in self.passes), *(plan.workers for plan in self.labels.values())])

    @property
    def reads(self) -> float:
        """How many times each stored chunk of the source is read, on average."""
        return self.passes[0].reads

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions in file order."""
        return self.image.multiscale.dims

    @property
    def nbytes(self) -> int:
        """Decoded bytes of all levels, those of labels too."""
        return sum(level.nbytes for level in self.levels) + sum(plan.nbytes for plan in self.labels.values())

    @property
    def zarr_format(self) -> int:
        """Zarr format of the version."""
        return spec.zarr_format(self.version)

    def of_pixels(self) -> dict[str, Any]:
        """Return what its pixels depend on, and the tiles that they are made in, as a JSON object."""
        levels = [level.to_dict() for level in self.levels]
        for level in levels:
            # where pixels lie is no matter of what they are
            del level["scale"], level["translation"]
        said: dict[str, Any] = {
            "version": self.version,
            "layout": self.layout,
            "method": method_of(self.image.multiscale),
            "levels": levels,
            "write_empty_chunks": self.write_empty_chunks,
            "labels": sorted(self.labels),
            "order": [[walk.first, *walk.writes] for walk in self.passes],
            "tiles": self.tile_count,
            "passes": [entry_of(walk) for walk in self.passes],
        }
        as_json: dict[str, Any] = json.loads(json.dumps(said))
        return as_json

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as a JSON object; sequences are by dimension in file order."""
        multiscale = self.image.multiscale
        return {
            "store": str(self.store),
            "name": multiscale.name,
            "version": self.version,
            "layout": self.layout,
            "method": multiscale.type,
            "axes": [{"name": axis.name, "type": axis.type, "unit": axis.unit} for axis in multiscale.axes],
            "levels": [level.to_dict() for level in self.levels],
            "tiles": self.tile_count,
            "passes": len(self.passes),
            "reads": self.reads,
            "workers": self.workers,
            "memory": self.memory,
            "labels": {name: plan.to_dict() for name, plan in self.labels.items()},
        }

    def __str__(self) -> str:
        return "\n".join([self._levels(), *(plan._levels(name) for name, plan in self.labels.items()), self._work()])

    def _levels(self, label: str | None = None) -> str:
        """Lay out the levels as a table, under a line that says what they are levels of."""
        multiscale = self.image.multiscale
        own = sum(level.nbytes for level in self.levels)
        units = [f"{axis.name}{f' ({symbol(axis.unit)})' if axis.unit else ''}" for axis in multiscale.axes]
        counted = f"method {multiscale.type}: {_counted(len(self.levels), 'level')}, {readable_bytes(own)} decoded"
        laid_out = "" if self.layout == FLAT else f" in the layout {self.layout!r}"
        whole = f"{multiscale.name!r} to {self.store} as OME-Zarr {self.version}{laid_out}, {counted}"
        head = f"{whole if label is None else f'labels {label!r}, {counted}'}\naxes {', '.join(units)}"
        sharded = any(level.shards for level in self.levels)
        rows = [("level", "shape", "chunks", *("shards",) * sharded, "scale", "translation", "bytes", "files")]
        for level in self.levels:
            grids = level.grids.values()
            rows.append(
                (
                    level.path,
                    _times(level.shape),
                    _times(level.chunks.values()),
                    *(_times(level.unit),) * sharded,
                    ", ".join(f"{grid.scale:g}" for grid in grids),
                    ", ".join(f"{grid.translation:g}" for grid in grids),
                    readable_bytes(level.nbytes),
                    str(level.file_count),
                )
            )
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([head, *table])

    def _work(self) -> str:
        """Say in how many tiles it is written, and what that takes."""
        passes = f" in {len(self.passes)} passes" if len(self.passes) > 1 else ""
        again = f"; each stored chunk is read {self.reads:.2g} times" if self.reads > ENOUGH_READS else ""
        return (
            f"{_counted(self.tile_count, 'tile')}{passes}, of level 0 {_times(self.passes[0].tiling.cut(0))}; "
            f"{_counted(self.workers, 'worker')}, "
            f"{readable_bytes(self.memory)} of memory at most{again}"
        )


def final_image(plan: Plan) -> Image:
    """Return the OME metadata with every channel complete; a window that is not known yet is one of any pixels."""
    channels = plan.image.channels
    if channels is None:
        return plan.image
    dtype = plan.levels[0].dtype
    return replace(plan.image, channels=complete(channels, np.zeros((len(channels), 1), dtype), dtype))


def method_of(multiscale: Multiscale) -> dict[str, Any]:
    """Return the method that levels are made by, with what it was given, as a JSON object."""
    metadata = None if multiscale.metadata is None else dict(multiscale.metadata)
    as_json: dict[str, Any] = json.loads(json.dumps({"type": multiscale.type, "metadata": metadata}))
    return as_json


def group_attributes(plan: Plan, image: Image) -> dict[str, Any]:
    """Return all attributes of the image's group."""
    attributes = dict(plan.attributes)
    attributes[sidecar.KEY] = {**attributes[sidecar.KEY], "written": sidecar.fingerprint(image)}
    if plan.growing is not None:
        dim = plan.growing[0]
        attributes[sidecar.KEY][sidecar.GROWING] = sidecar.grown(dim, [one.grids[dim].size for one in plan.levels])
    return spec.dump(image, plan.version) | attributes


def readable_bytes(count: float) -> str:
    """Write a number of bytes for people.

    >>> readable_bytes(3_500_000)
    '3.3 MiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _times(sizes: Any) -> str:
    return "×".join(map(str, sizes))
