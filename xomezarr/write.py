"""Execute a plan: arrays first, level by level through dask, the OME metadata last."""

from __future__ import annotations

import json
import math
import uuid
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr.channels import default_window
from xomezarr.downsample import lazy_blocks
from xomezarr.errors import CodecError, OmeZarrWarning, warn
from xomezarr.lazy import zarr
from xomezarr.model import Channel
from xomezarr.plan import COMPRESSORS, LevelPlan, Plan, final_image, group_attributes, plan_tree, plan_with_levels
from xomezarr.pyramid import TASK_BYTES, lazy_data, whole_chunks
from xomezarr.store import StoreArgument, is_local, publish, resolve

__all__ = ["OnTile", "Progress", "add_levels", "execute", "write_array", "write_plan", "write_tree"]

type OnTile = Callable[[int], None]
"""Called with the number of decoded bytes each time that a part of a level has been written."""

type Progress = Callable[[int], AbstractContextManager[OnTile]]
"""Called with the decoded bytes of all levels; yields what is told of each part."""

WINDOW_PIXELS = 2**22
"""Pixels of a channel that its window is made from at most.

So many tell the ranks of the percentiles to 0.004 % of all pixels, and as float64 they are as large as a task.
"""

WINDOW_PLACES = 2**8
"""Places that those pixels are taken from: enough to meet the sample on a slide, few enough to be read in seconds."""

WINDOW_BATCH = 2**24
"""Pixels of several channels that are read at once, since one chunk may hold them all."""


def write_array(
    da: xr.DataArray, store: StoreArgument, *, progress: Progress | None = None, compute: bool = True, **options: Any
) -> xr.DataTree | Any:
    """Write an array as a pyramid, and open what was written; `options` are those of `plan.plan`."""
    planned, levels = plan_with_levels(da, store, **options)
    return write_plan(planned, levels, progress=progress, compute=compute)


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
    return write_plan(planned, ordered, progress=progress, compute=compute)


def write_plan(
    plan: Plan, levels: Sequence[xr.DataArray], *, progress: Progress | None = None, compute: bool = True
) -> xr.DataTree | Any:
    """Write what is planned, and open what was written."""
    check_codecs(plan)

    def write_and_open() -> xr.DataTree:
        with progress(plan.nbytes) if progress is not None else nullcontext() as on_tile:
            execute(plan, levels, on_tile)
        # by the engine: xarray adds its cache, so that the tree is one like any other that is opened
        return xr.open_datatree(plan.store, engine="omezarr", storage_options=plan.storage_options)

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
        create_coordinates(group, plan)
        plan = with_windows(plan, arrays[-1])
        group.update_attributes(group_attributes(plan, final_image(plan, None)))
        if not is_local(plan.store):
            consolidate(group, plan.zarr_format)


def add_levels(
    plan: Plan,
    levels: Sequence[xr.DataArray],
    *,
    obsolete: Collection[str] = (),
    check: Callable[[zarr.Group], None] | None = None,
    on_tile: OnTile | None = None,
) -> None:
    """Write the coarser levels of an image beside level 0, which is in the group already.

    Whatever happens, and were the process killed, the group holds the old image or the new one, whole. The new arrays
    come under paths that the metadata do not name yet. One write of the metadata names them. What only the old
    metadata named is deleted last. An error before that write takes the new arrays away again. Consolidated metadata
    list the arrays of both meanwhile.

    Parameters
    ----------
    plan
        What the group is to hold; nothing may be at the paths of its arrays but level 0. `store` is a path or a URL.
    levels
        The pixels, in file order of dimensions, level 0 included.
    obsolete
        Paths of arrays to delete in the end.
    check
        Called with the group when the new arrays are in it, before the metadata say so; what it raises ends the work.
    on_tile
        Called after each part is written.
    """
    options = dict(plan.storage_options) if plan.storage_options else None
    group = zarr.open_group(resolve(plan.store), mode="r+", use_consolidated=False, storage_options=options)
    stale = consolidated(plan.store, options)
    arrived: list[str] = []
    try:
        with arriving(group, plan, arrived) as place:
            arrays = [create_array(place, plan, level) for level in plan.levels[1:]]
            write_levels(arrays, plan.levels[1:], levels[1:], on_tile)
            create_coordinates(place, plan)
            coarsest = arrays[-1] if arrays else member(group, plan.levels[0].path)
            plan = with_windows(plan, coarsest)
        name_dimensions(member(group, plan.levels[0].path), plan.dims)
        if check is not None:
            check(group)
        for above in stale:
            consolidate(above, plan.zarr_format)
    except BaseException:
        for path in arrived:
            delete(group, path)
        for above in stale:
            consolidate(above, plan.zarr_format)
        raise
    # from here on the new arrays stay, whatever happens: the metadata may name them already
    group.update_attributes(group_attributes(plan, final_image(plan, None)))
    for above in stale:
        consolidate(above, plan.zarr_format)
    for path in obsolete:
        try:
            delete(group, path)
        except OSError as error:
            warn(
                f"the image is whole, but {path!r} of the old one could not be removed ({error}); remove it yourself",
                OmeZarrWarning,
            )
    for above in stale if obsolete else ():
        consolidate(above, plan.zarr_format)


@contextmanager
def arriving(group: zarr.Group, plan: Plan, arrived: list[str]) -> Iterator[zarr.Group]:
    """Yield a group to make the new arrays in; they are in `group` when the block ends.

    In a local folder they are made in a hidden one, from which they are moved: a failure leaves nothing, and a
    process that is killed nothing that looks like a level. Elsewhere they are made where they belong.

    Parameters
    ----------
    group, plan
        As in `add_levels`.
    arrived
        Takes the paths of what has come into the group.
    """
    paths = [*(level.path for level in plan.levels[1:]), *plan.arrays]
    target = resolve(plan.store)
    if not isinstance(target, Path):
        arrived += paths
        yield group
        return
    from xomezarr import stage  # it derives a class from one of zarr's, which is loaded late

    target = target.resolve()
    folder = stage.Stage(stage.beside(target / "levels", "partial"))
    try:
        folder.root.mkdir()
        yield zarr.create_group(folder, zarr_format=plan.zarr_format)  # type: ignore[arg-type]
        for path in paths:
            arrived += move(folder.root, target, path)
    finally:
        folder.abandon()


def move(source: Path, target: Path, path: str) -> list[str]:
    """Move an array from one folder to another, together with the groups above it that are not there yet.

    Returns
    -------
    list of str
        The path of what was moved; none if it has come with a group already.
    """
    if not (source / path).exists():
        return []
    whole = [*reversed(PurePosixPath(path).parents[:-1]), PurePosixPath(path)]
    moved = next((part for part in whole if not (target / part).exists()), whole[-1])
    (source / moved).rename(target / moved)
    return [str(moved)]


def member(group: zarr.Group, path: str) -> zarr.Array[Any]:
    """Open an array below a group, to write."""
    place = f"{group.path}/{path}" if group.path else path
    return zarr.open_array(group.store, path=place, mode="r+", zarr_format=group.metadata.zarr_format)


def delete(group: zarr.Group, path: str) -> None:
    """Delete all that is at a path below a group."""
    from zarr.core.sync import sync

    sync(group.store.delete_dir(f"{group.path}/{path}" if group.path else path))


def name_dimensions(array: zarr.Array[Any], dims: Sequence[str]) -> None:
    """Name the dimensions of an array of Zarr v3 that has no names yet, in one write of its metadata.

    zarr gives names only to arrays that it creates.
    """
    if array.metadata.zarr_format == 2 or array.metadata.dimension_names is not None:
        return
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync

    key, prototype = f"{array.path}/zarr.json", default_buffer_prototype()
    document = sync(array.store.get(key, prototype))
    assert document is not None
    named = json.loads(document.to_bytes()) | {"dimension_names": list(dims)}
    sync(array.store.set(key, prototype.buffer.from_bytes(json.dumps(named, indent=2).encode())))


def consolidated(store: StoreArgument, storage_options: dict[str, Any] | None) -> list[zarr.Group]:
    """Return the groups whose consolidated metadata hold those of a group: itself, and those above it."""
    target = resolve(store)
    above = [target, *target.parents] if isinstance(target, Path) else _url_parents(str(target))
    found = []
    for place in above:
        try:
            group = zarr.open_group(place, mode="r+", storage_options=storage_options)
        except Exception:  # no group, or none that may be looked at: nothing above it is of this store
            break
        if group.metadata.consolidated_metadata is not None:
            found.append(group)
    return found


def _url_parents(url: str) -> list[str]:
    """Return a URL and those above it.

    >>> _url_parents("s3://bucket/plate.zarr/A")
    ['s3://bucket/plate.zarr/A', 's3://bucket/plate.zarr', 's3://bucket']
    """
    scheme, separator, rest = url.rstrip("/").rpartition("://")
    parts = rest.split("/")
    return [f"{scheme}{separator}{'/'.join(parts[:count])}" for count in range(len(parts), 0, -1) if parts[count - 1]]


def create_coordinates(group: zarr.Group, plan: Plan) -> None:
    """Write the coordinates that are too long for an attribute."""
    for path, values in plan.arrays.items():
        group.create_array(path, data=values, fill_value=None if plan.zarr_format == 2 else 0)


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
    return whole_chunks(data, chunks)


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


def with_windows(plan: Plan, coarsest: zarr.Array[Any]) -> Plan:
    """Return the plan with a window for each channel that has none, from pixels of the coarsest level.

    Parameters
    ----------
    plan
        Whose channels are completed.
    coarsest
        The last level as it was written, in file order. No more than `WINDOW_PIXELS` of a channel are looked at; which
        these are depends on the level's shape alone.
    """
    channels = plan.image.channels
    missing = [index for index, channel in enumerate(channels or ()) if channel.window is None]
    if channels is None or not missing:
        return plan
    axis = next(i for i, axis in enumerate(plan.image.multiscale.axes) if axis.type == "channel")
    picked = sampled(coarsest.shape[:axis] + coarsest.shape[axis + 1 :])
    batch = max(WINDOW_BATCH // max(math.prod(map(len, picked)), 1), 1)
    completed: list[Channel] = list(channels)
    for start in range(0, len(missing), batch):
        indices = missing[start : start + batch]
        read = np.asarray(coarsest.oindex[(*picked[:axis], np.array(indices), *picked[axis:])])
        for index, of_channel in zip(indices, np.moveaxis(read, axis, 0), strict=True):
            completed[index] = replace(channels[index], window=default_window(of_channel, plan.levels[0].dtype))
    return replace(plan, image=replace(plan.image, channels=tuple(completed)))


def sampled(shape: Sequence[int]) -> list[NDArray[np.intp]]:
    """Choose indices along each axis whose pixels represent an array; all of them if it has few pixels.

    The longest axes are thinned. Along each of them the indices form runs, spread evenly over it, so that few chunks
    are touched.

    >>> [len(indices) for indices in sampled((100, 512, 512))], [len(indices) for indices in sampled((8, 512, 512))]
    ([100, 128, 256], [8, 512, 512])
    """
    counts = list(shape)
    while math.prod(counts) > WINDOW_PIXELS:
        longest = counts.index(max(counts))
        counts[longest] = -(-counts[longest] // 2)
    thinned = sum(count < size for count, size in zip(counts, shape, strict=True))
    runs = int(WINDOW_PLACES ** (1 / max(thinned, 1)))
    return [
        np.arange(size, dtype=np.intp) if count == size else spread(size, count, min(runs, count))
        for count, size in zip(counts, shape, strict=True)
    ]


def spread(size: int, count: int, runs: int) -> NDArray[np.intp]:
    """Return about `count` ascending indices below `size`, in runs, each in the middle of its share of the axis.

    >>> spread(16, 4, 2)
    array([ 3,  4, 11, 12])
    """
    length = count // runs
    starts = (2 * np.arange(runs, dtype=np.intp) + 1) * size // (2 * runs) - length // 2
    return (starts[:, None] + np.arange(length)).ravel()


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
