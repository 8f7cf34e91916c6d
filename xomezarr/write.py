"""Execute a plan: arrays first, level by level through dask, the OME metadata last."""

from __future__ import annotations

import math
import uuid
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr.downsample import lazy_blocks
from xomezarr.errors import CodecError
from xomezarr.lazy import zarr
from xomezarr.plan import COMPRESSORS, LevelPlan, Plan, final_image, group_attributes, plan_tree, plan_with_levels
from xomezarr.pyramid import lazy_data
from xomezarr.read import open_tree
from xomezarr.store import StoreArgument, is_local, publish

__all__ = ["OnTile", "Progress", "execute", "write_array", "write_tree"]

type OnTile = Callable[[int], None]
"""Called with the number of decoded bytes each time that a part of a level has been written."""

type Progress = Callable[[int], AbstractContextManager[OnTile]]
"""Called with the decoded bytes of all levels; yields what is told of each part."""

TASK_BYTES = 32 * 2**20
"""Decoded bytes that one task of dask writes at most, unless a single chunk is larger."""


def write_array(
    da: xr.DataArray, store: StoreArgument, *, progress: Progress | None = None, compute: bool = True, **options: Any
) -> xr.DataTree | Any:
    """Write an array as a pyramid, and open what was written; `options` are those of `plan.plan`."""
    planned, levels = plan_with_levels(da, store, **options)
    check_codecs(planned)
    return _run(planned, levels, progress, compute=compute)


def write_tree(
    tree: xr.DataTree,
    levels: Sequence[xr.DataArray],
    store: StoreArgument,
    *,
    progress: Progress | None = None,
    compute: bool = True,
    **options: Any,
) -> xr.DataTree | Any:
    """Write a tree's levels as they stand, and open what was written; `options` are those of `plan.plan_tree`."""
    planned, ordered = plan_tree(tree, levels, store, **options)
    check_codecs(planned)
    return _run(planned, ordered, progress, compute=compute)


def _run(plan: Plan, levels: Sequence[xr.DataArray], progress: Progress | None, *, compute: bool) -> xr.DataTree | Any:
    def write_and_open() -> xr.DataTree:
        with progress(plan.nbytes) if progress is not None else nullcontext() as on_tile:
            execute(plan, levels, on_tile)
        return open_tree(plan.store, storage_options=plan.storage_options)

    if compute:
        return write_and_open()
    from dask.delayed import delayed

    # a closure: dask would compute levels that are arguments, all of them at once and in memory
    return delayed(write_and_open, name=f"to_zarr-{uuid.uuid4().hex}", pure=False)()


def execute(plan: Plan, levels: Sequence[xr.DataArray], on_tile: OnTile | None = None) -> None:
    """Write the levels as planned.

    Parameters
    ----------
    plan
        What to write.
    levels
        The pixels, in file order of dimensions; NumPy, dask, or lazily opened.
    on_tile
        Called after each part is written.
    """
    with publish(
        plan.store, zarr_format=plan.zarr_format, mode=plan.mode, storage_options=plan.storage_options
    ) as group:
        arrays = [create_array(group, plan, level) for level in plan.levels]
        write_levels(arrays, plan.levels, levels, on_tile)
        for path, values in plan.arrays.items():
            group.create_array(path, data=values, fill_value=None if plan.zarr_format == 2 else 0)
        coarsest = np.asarray(arrays[-1][...]) if plan.image.channels is not None else None
        group.update_attributes(group_attributes(plan, final_image(plan, coarsest)))
        if not is_local(plan.store):
            consolidate(group, plan.zarr_format)


def create_array(group: zarr.Group, plan: Plan, level: LevelPlan) -> zarr.Array[Any]:
    """Create the array of a level.

    Format 2 has nested chunk keys, no fill value (readers by CF rules would take 0 for missing), and
    ``_ARRAY_DIMENSIONS``; format 3 has ``dimension_names``.
    """
    common: dict[str, Any] = {
        "name": level.path,
        "shape": level.shape,
        "chunks": tuple(level.chunks.values()),
        "dtype": level.dtype,
        "compressors": compressors(plan),
    }
    if plan.zarr_format == 2:
        return group.create_array(
            **common,
            fill_value=None,
            chunk_key_encoding={"name": "v2", "separator": "/"},
            attributes={"_ARRAY_DIMENSIONS": list(plan.dims)},
            config={"write_empty_chunks": True},
        )
    return group.create_array(**common, fill_value=_zero(level.dtype), dimension_names=list(plan.dims))


def check_codecs(plan: Plan) -> None:
    """Make sure that zarr takes the compressors, before anything is written: in memory, and without a pixel.

    Raises
    ------
    CodecError
        If it does not.
    """
    if plan.compressors in (None, COMPRESSORS):
        return
    group = zarr.create_group(zarr.storage.MemoryStore(), zarr_format=plan.zarr_format)  # type: ignore[arg-type]
    try:
        create_array(group, plan, plan.levels[0])
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        codec = "numcodecs.Zstd(level=3)" if plan.zarr_format == 2 else "zarr.codecs.ZstdCodec(level=3)"
        raise CodecError(
            f"compressors={plan.compressors!r} cannot be used with Zarr v{plan.zarr_format} ({error}); "
            f"give a codec of that format, such as compressors={codec}, or None for none"
        ) from error


def compressors(plan: Plan) -> Any:
    """Return the codec: the user's, or Blosc with zstd and bit shuffle, which every reader of OME-Zarr knows.

    Camera noise fills the low bits: shuffled bit by bit, 16-bit images shrink best and decode fastest.
    """
    if plan.compressors is None or plan.compressors != COMPRESSORS:
        return plan.compressors
    if plan.zarr_format == 2:
        from numcodecs import Blosc

        return Blosc(cname="zstd", clevel=3, shuffle=Blosc.BITSHUFFLE)
    from zarr.codecs import BloscCodec

    return BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle", typesize=plan.levels[0].dtype.itemsize)


def write_levels(
    arrays: Sequence[zarr.Array[Any]],
    plans: Sequence[LevelPlan],
    levels: Sequence[xr.DataArray],
    on_tile: OnTile | None,
) -> None:
    """Write all levels in one dask graph, so that each part of the source is computed once."""
    import dask.array

    sources = [aligned(lazy_data(level), plan) for level, plan in zip(levels, plans, strict=True)]
    targets = [Target(array, on_tile) for array in arrays]
    dask.array.store(sources, targets, lock=False, compute=True)  # type: ignore[arg-type]


def aligned(data: Any, plan: LevelPlan) -> Any:
    """Return the pixels as a dask array whose blocks are whole chunks of the file, so that each has one writer."""
    chunks = tuple(plan.chunks.values())
    if isinstance(data, np.ndarray):
        return lazy_blocks(data, grouped(plan.shape, chunks, plan.dtype.itemsize))
    blocks_by_dim = tuple(merged(sizes, chunk) for sizes, chunk in zip(data.chunks, chunks, strict=True))
    return data.rechunk(blocks_by_dim)


def grouped(shape: Sequence[int], chunks: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """Return a block of several chunks of about `TASK_BYTES`, so that small chunks do not each cost a task.

    >>> grouped((100, 4096, 4096), (1, 1024, 1024), 2)
    (1, 4096, 4096)
    """
    block = list(chunks)
    for axis in reversed(range(len(shape))):
        while block[axis] < shape[axis] and math.prod(block) * 2 * itemsize <= TASK_BYTES:
            block[axis] *= 2
        block[axis] = min(block[axis], -(-shape[axis] // chunks[axis]) * chunks[axis])
    return tuple(block)


def merged(sizes: Sequence[int], chunk: int) -> tuple[int, ...]:
    """Move the borders of dask's blocks to multiples of the file's chunk.

    >>> merged((10, 10, 10, 5), 16)
    (16, 16, 3)
    """
    total, borders = sum(sizes), [0]
    for border in np.cumsum(sizes):
        at = min(-(-int(border) // chunk) * chunk, total)
        if at > borders[-1]:
            borders.append(at)
    return tuple(int(size) for size in np.diff(borders)) or (0,)


class Target:
    """What dask stores into: a Zarr array that tells how many bytes it was given."""

    def __init__(self, array: zarr.Array[Any], on_tile: OnTile | None) -> None:
        self.array, self.on_tile = array, on_tile
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __setitem__(self, region: Any, pixels: NDArray[Any]) -> None:
        self.array[region] = pixels
        if self.on_tile is not None:
            self.on_tile(pixels.nbytes)


def consolidate(group: zarr.Group, zarr_format: int) -> None:
    """Gather the metadata in one object: it saves remote readers a request for each array.

    Local stores go without: nothing is saved there, and tools that add a label later would leave it stale.
    """
    with warnings.catch_warnings():
        # zarr warns that format 3 has no such thing in its specification yet; readers that do not know it pass it over
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(group.store, path=group.path or None, zarr_format=zarr_format)  # type: ignore[arg-type]


def _zero(dtype: np.dtype[Any]) -> Any:
    return np.zeros((), dtype)[()]
