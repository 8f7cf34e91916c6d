"""Execute a plan: arrays first, the OME metadata last."""

from __future__ import annotations

import math
import os
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr import journal, spec
from xomezarr.channels import default_window
from xomezarr.chunks import Chunks, of_shape, reachable_elsewhere
from xomezarr.direct import created_group, created_like, put_document, put_group, update_attributes, wait
from xomezarr.downsample import origins
from xomezarr.engine import OnTile, Work, keep_freed_memory, run_in_threads
from xomezarr.errors import (
    UNREADABLE_MEMBER,
    CodecError,
    LabelWarning,
    OmeZarrError,
    ResumeError,
    StoreExistsError,
    warn,
)
from xomezarr.graph import active_client, can_be_shared, run_by_dask, run_on_cluster
from xomezarr.holders import check_held
from xomezarr.journal import NOTHING, RESUME, Begun, Journal, Ledger, Made, told_apart
from xomezarr.labels import MOST_COLORS, colored
from xomezarr.layout import FLAT
from xomezarr.lazy import zarr
from xomezarr.model import Channel, Image
from xomezarr.notes import CARRIES
from xomezarr.pixels import Pixels
from xomezarr.plan import COMPRESSORS, LevelPlan, Plan, final_image, group_attributes, method_of
from xomezarr.planning import plan_array, plan_tree
from xomezarr.progress import progress_of
from xomezarr.pyramid import lazy_data
from xomezarr.read import open_tree
from xomezarr.source import Source, stored
from xomezarr.store import (
    StoreArgument,
    Unfinished,
    building,
    check_free,
    exists,
    find_array,
    find_member,
    is_begun,
    is_local,
    member_path,
    names_in,
    open_array,
    open_group,
    resolve,
    tidy_beside,
    writable_group,
)
from xomezarr.windows import Box

__all__ = [
    "OnTile",
    "check_codecs",
    "consolidate",
    "deferred",
    "difference",
    "execute",
    "fill",
    "gathers",
    "is_in_place",
    "refuse_another",
    "told_of_sources",
    "whole",
    "write_array",
    "write_plan",
    "write_tree",
]

WINDOW_PIXELS = 2**18
"""Pixels of a channel that its window is made from at most.

So many tell the ranks of the percentiles to 0.01 % of all pixels. Nothing else is written meanwhile: more of them take
longer than their chunks took to write.
"""

WINDOW_PLACES = 2**8
"""Places that those pixels are taken from: enough to meet the sample on a slide, few enough to be read in seconds."""

WINDOW_BATCH = 2**24
"""Pixels of several channels that are read at once, since one chunk may hold them all."""

TRIED_PIXELS = 2**12
"""Pixels on which codecs that a user gives are tried: enough to show what is lost, and done in a millisecond."""


def write_array(
    da: xr.DataArray,
    store: StoreArgument,
    *,
    progress: bool | OnTile | None = None,
    compute: bool = True,
    **options: Any,
) -> xr.DataTree | Any:
    """Write an array as a pyramid, and open what was written; `options` are those of `planning.plan_array`."""
    return write_plan(*plan_array(da, store, **options), progress=progress, compute=compute)


def write_tree(
    tree: xr.DataTree,
    levels: Sequence[xr.DataArray],
    store: StoreArgument,
    *,
    progress: bool | OnTile | None = None,
    compute: bool = True,
    **options: Any,
) -> xr.DataTree | Any:
    """Write a tree's levels as they stand, and open what was written; `options` are those of `planning.plan_tree`."""
    return write_plan(*plan_tree(tree, levels, store, **options), progress=progress, compute=compute)


def write_plan(
    plan: Plan,
    pixels: Pixels,
    *,
    progress: bool | OnTile | None = None,
    compute: bool = True,
    how: Callable[[Plan, Pixels, OnTile | None], None] | None = None,
) -> xr.DataTree | Any:
    """Write what is planned, by `execute` unless `how` says otherwise, and open what was written."""
    shown = progress_of(progress, plan.store)
    check_codecs(plan)
    if not compute:
        # wherever it is computed, and whatever folder that process works in
        plan = replace(plan, store=resolve(plan.store))

    def write_and_open() -> xr.DataTree:
        with shown(plan.nbytes) as on_tile:
            (how or execute)(plan, pixels, on_tile)
        return open_tree(plan.store, storage_options=plan.storage_options, cache=True)

    return deferred(write_and_open, plan.store, compute=compute)


def deferred(write: Callable[[], xr.DataTree], store: StoreArgument, *, compute: bool) -> xr.DataTree | Any:
    """Write now, or return what writes when it is computed, wherever that can reach the store."""
    if compute:
        return write()
    from dask.delayed import delayed

    process = os.getpid()

    def write_there() -> xr.DataTree:
        if os.getpid() != process and not reachable_elsewhere(store):
            raise OmeZarrError(
                f"{store} is in the process that planned the write, and no other can write there; give a path, "
                'or compute it there: compute(scheduler="threads")'
            )
        return write()

    # a closure: dask would compute levels that are arguments, all of them at once and in memory
    return delayed(write_there, name=f"to_zarr-{uuid.uuid4().hex}", pure=False)()


def execute(plan: Plan, pixels: Pixels, on_tile: OnTile | None = None) -> None:
    """Write the levels as planned.

    Parameters
    ----------
    plan
        What to write.
    pixels
        What to write it from.
    on_tile
        Called after each part is written.
    """

    def differs(group: zarr.Group) -> str:
        return difference(plan, pixels, group, whole(plan)) or difference_of_place(plan, group)

    if plan.resume and plan.mode == "w-" and is_in_place(plan.store, plan.storage_options, differs):
        if on_tile is not None:
            on_tile(plan.nbytes)
        return
    pixels.check()
    options: dict[str, Any] = {"mode": plan.mode, "storage_options": plan.storage_options}
    check = partial(check_the_same, plan, pixels) if plan.resume else None
    options["unfinished"] = Unfinished(check)
    options["fits"] = partial(check_held, plan.store, plan.version, partial(image_of, plan), listed=plan.listed)
    with building(plan.store, zarr_format=plan.zarr_format, **options) as made:
        with told_of_sources(pixels):
            noted = journal.keeps_notes(made.group.store)
            fill(made.group, plan, pixels, on_tile, noted=noted, before=made.made)
            if gathers(plan.store, plan.layout):
                consolidate(made.group, plan.zarr_format)
        made.place()


def image_of(plan: Plan) -> Image:
    """Return the image that a reader finds."""
    return spec.parse(spec.dump(final_image(plan), plan.version))


@contextmanager
def told_of_sources(pixels: Pixels) -> Iterator[None]:
    """Where something fails, say so if what the pixels are read from is gone: that will have been why."""
    try:
        yield
    except Exception as error:
        try:
            pixels.check()
        except OmeZarrError as gone:
            if str(gone) != str(error):
                raise gone from error
        raise


def is_in_place(
    store: StoreArgument, storage_options: Mapping[str, Any] | None, differs: Callable[[zarr.Group], str]
) -> bool:
    """Whether what is to be written is in its place, and whole; what of it was left beside is removed then.

    Parameters
    ----------
    store, storage_options
        The place.
    differs
        Says of a group in what it is another; an empty text if in nothing.

    Raises
    ------
    StoreExistsError
        If something else is.
    """
    if not exists(store, storage_options=storage_options):
        return False
    group = None
    with suppress(OmeZarrError):  # another read or write says what is wrong
        group = open_group(store, storage_options=storage_options)
    if group is not None and is_begun(group):
        return False
    other = "there is no image that can be read" if group is None else differs(group)
    if group is None or other:
        check_free(store, mode="w", storage_options=storage_options)  # what is no store cannot be replaced either
        raise StoreExistsError(
            f"{store} holds something else than what is to be written, so that there is nothing to go on with "
            f'({other}); give another path, or mode="w" to replace it'
        )
    if journal.RESUME in names_in(group):  # its writer was killed when all was written
        journal.Journal(writable_group(store, storage_options)).clear()
    tidy_beside(store)
    return True


def whole(plan: Plan) -> Made:
    """Return what is made of an image that is whole, with its labels."""
    return Made(ended=True, labels={name: whole(of_label) for name, of_label in plan.labels.items()})


def check_the_same(plan: Plan, pixels: Pixels, group: zarr.Group, made: Made) -> None:
    """Make sure that the group of an interrupted write is one of the same pixels, as far as that is known of them.

    Raises
    ------
    ResumeError
        If it is not.
    """
    refuse_another(plan.store, difference(plan, pixels, group, made))


def refuse_another(store: StoreArgument, other: str) -> None:
    """Raise if an interrupted write is another than what is asked for: in `other`, where that is not empty."""
    if other:
        raise ResumeError(
            f"the unfinished write of {store} is another: {other}; give the same again, or write it anew with "
            'resume=False, and mode="w" where that is in its place'
        )


def difference(plan: Plan, pixels: Pixels, group: zarr.Group, made: Made) -> str:
    """Say what of an image, or of its labels, is another than what is planned, as far as that is known.

    Parameters
    ----------
    plan, pixels
        The image.
    group, made
        What is there, and how much of it is made; of labels of which nothing is nothing is said.

    Returns
    -------
    str
        What differs first; an empty text if nothing does.
    """
    begun = made.begun
    other = difference_of_ended(plan, group) if begun is None else begun.difference(plan.of_pixels())
    return other or difference_of_levels(plan, pixels, group, begun) or difference_of_labels(plan, pixels, group, made)


def difference_of_ended(plan: Plan, group: zarr.Group) -> str:
    """Say in what an image that is whole was made otherwise than is planned."""
    attrs = group.attrs.asdict()
    if not spec.is_image(attrs):
        return "it is no image"
    try:
        there = spec.parse(attrs)
    except OmeZarrError as error:
        return f"its metadata cannot be read ({error})"
    return told_apart(
        {"version": there.version, "method": method_of(there.multiscale), "levels": len(there.multiscale.levels)},
        {"version": plan.version, "method": method_of(plan.image.multiscale), "levels": len(plan.levels)},
    )


def difference_of_place(plan: Plan, group: zarr.Group) -> str:
    """Say in what an image that is whole lies elsewhere, or has other channels, than is planned."""
    there, asked = spec.parse(group.attrs.asdict()), image_of(plan)

    def told(image: Image) -> dict[str, Any]:
        channels = asked.channels and image.channels
        return {
            "units": {axis.name: axis.unit for axis in image.multiscale.axes},
            "scale": dict(image.multiscale.levels[0].scale),
            "translation": dict(image.multiscale.levels[0].translation),
            "channels": [channel.label for channel in channels or ()],
        }

    return told_apart(told(there), told(asked))


def difference_of_levels(plan: Plan, pixels: Pixels, group: zarr.Group, begun: Begun | None) -> str:
    """Say in what the levels are kept otherwise, or which pixels of level 0 are others, where that can be read.

    The first chunk that is written is compared, and one of the last.
    """
    for level, asked in zip(plan.levels, create_levels(in_memory(plan), plan), strict=True):
        array = find_array(group, level.path)
        if array is None:
            return f"it has no level at {level.path!r}"
        array = without_room(array, plan, level)
        if array.metadata.to_dict() != asked.metadata.to_dict():
            was, wanted = ({"shape": list(one.shape), "dtype": str(one.dtype)} for one in (array, asked))
            return told_apart(was, wanted) or (
                f"level {level.path} is stored in another way, with other chunks or compressors perhaps"
            )
        if level is plan.levels[0] and (other := difference_of_pixels(plan, pixels, Chunks(array), begun)):
            return other
    return ""


def difference_of_pixels(plan: Plan, pixels: Pixels, written: Chunks, begun: Begun | None) -> str:
    """Say which pixels of level 0 that are written are not those of the source, where that can be read."""
    source = pixels.sources[0]
    if source is None:
        return ""
    if begun is None:
        boxes = written.ends()
    else:
        walk, tiles = begun.passes[0], sorted(begun.done.get(0, ()))
        under = [tile for end in tiles[:1] + tiles[-1:] for tile in walk.tiling.subtree(end) if not tile.level]
        boxes = [next(written.boxes(walk.tiling.box(tile))) for tile in under] if 0 in walk.writes else []
    for box in boxes[:1] + boxes[-1:]:
        found = written.read(box)  # its bytes may be in another order than those of the array's dtype
        if found.tobytes() != np.asarray(source.read(box), found.dtype).tobytes():
            start = dict(zip(plan.dims, (where.start for where in box), strict=True))
            return f"the pixels from {start} on are others"
    return ""


def difference_of_labels(plan: Plan, pixels: Pixels, group: zarr.Group, made: Made) -> str:
    """Say in what the labels of an image of which something is made are others."""
    if surplus := sorted(made.labels.keys() - plan.labels.keys()):
        return f"it has the labels {surplus[0]!r} too, which are not given"
    for name, of_label in plan.labels.items():
        of_member = made.labels.get(name)
        if of_member is None:
            continue
        member = None
        with suppress(*UNREADABLE_MEMBER):
            member = find_member(group, f"labels/{name}")
        if member is None:
            return f"it has no labels {name!r} that can be read"
        if other := difference(of_label, pixels.labels[name], member, of_member):
            return f"of the labels {name!r}, {other}"
    return ""


def fill(
    group: zarr.Group,
    plan: Plan,
    pixels: Pixels,
    on_tile: OnTile | None = None,
    *,
    noted: bool = False,
    before: Made = NOTHING,
) -> None:
    """Write an image and its labels into a group; the OME metadata of the image come last of all.

    Parameters
    ----------
    group
        An empty one; or, of a write that is noted, one that was begun.
    plan, pixels, on_tile
        As in `execute`.
    noted
        Whether it is noted what is done.
    before
        What was made of it before, and is not made again.
    """
    notes = None
    if before.begun is not None:
        plan = replace(plan, passes=before.begun.passes)
        notes = Journal(group, before.begun)
    elif noted:
        notes = Journal.begin(group, plan.of_pixels())
    try:
        _fill(group, plan, pixels, on_tile, notes, before)
    except BaseException:
        if notes is not None:
            with suppress(Exception):  # the error that led here counts
                notes.flush()
        raise
    if notes is not None:
        notes.clear()


def _fill(
    group: zarr.Group, plan: Plan, pixels: Pixels, on_tile: OnTile | None, notes: Journal | None, before: Made
) -> None:
    put_documents(group, plan.nest.documents)
    arrays = open_levels(group, plan) if before else create_levels(group, plan)
    if not before.ended:
        write_pixels(plan, pixels, arrays, group, on_tile, notes)
    elif on_tile is not None:
        on_tile(sum(level.nbytes for level in plan.levels))
    if before and plan.labels:  # a machine without power may have cut off what it says
        put_group(group.store, member_path(group, "labels"), plan.zarr_format, {})
    for name, of_label in plan.labels.items():
        path, of_member = f"labels/{name}", before.labels.get(name, NOTHING)
        if before and not of_member:
            del group[path]  # it may lack levels, and has no pixels
        member = group.require_group(path)
        fill(member, of_label, pixels.labels[name], on_tile, noted=notes is not None, before=of_member)
    if before:
        for path in plan.arrays:
            del group[path]
    if plan.labels:
        listed = spec.dump_labels(tuple(plan.labels), plan.version, plan.listing)
        update_attributes(group["labels"], listed)  # type: ignore[arg-type]
    pixels.check()
    create_coordinates(group, plan)
    if plan.copied is not None:
        plan.copied.put(group)
    plan = with_colors(with_windows(plan, arrays[-1]), arrays[0])
    make_room(arrays, plan)
    update_attributes(group, group_attributes(plan, final_image(plan)))


def make_room(arrays: Sequence[zarr.Array[Any]], plan: Plan) -> None:
    """Make the levels of an image that is appended to as long as it will be in the end, where that is known."""
    for array in arrays:
        if array.shape != (room := with_room(plan, array.shape)):
            array.resize(room)


def put_documents(group: zarr.Group, documents: Mapping[str, bytes]) -> None:
    """Write documents into a group in which nothing is yet, by their keys below it."""
    for key, content in documents.items():
        put_document(group, key, content)


type OnArray = Callable[[str, zarr.Array[Any]], zarr.Array[Any]]
"""Called with the path of each array that is made and the array, which it returns."""


def unnoticed(path: str, array: zarr.Array[Any]) -> zarr.Array[Any]:
    """Be told of an array that is made, and do nothing."""
    return array


def create_coordinates(group: zarr.Group, plan: Plan, made: OnArray = unnoticed) -> None:
    """Write the coordinates that are too long for an attribute; `made` is told of each."""
    for path, values in plan.arrays.items():
        # xarray opens no array whose dimensions have no names, nor two whose alike have other sizes
        dims = [f"{path.rpartition('/')[2]}.{axis}" for axis in range(values.ndim)]
        named: dict[str, Any] = (
            {"attributes": {"_ARRAY_DIMENSIONS": dims}} if plan.zarr_format == 2 else {"dimension_names": dims}
        )
        made(path, group.create_array(path, data=values, fill_value=None if plan.zarr_format == 2 else 0, **named))


def create_array(group: zarr.Group, plan: Plan, level: LevelPlan) -> zarr.Array[Any]:
    """Create the array of a level.

    Format 2 has nested chunk keys, no fill value (readers by CF rules would take 0 for missing), and
    ``_ARRAY_DIMENSIONS``; format 3 has ``dimension_names``.
    """
    common: dict[str, Any] = {
        "name": level.path,
        "shape": level.shape,
        "chunks": tuple(level.chunks.values()),
        "shards": None if level.shards is None else tuple(level.shards.values()),
        "dtype": level.dtype,
        "compressors": compressors(plan),
        "config": config_of(plan, level),
    }
    if plan.zarr_format == 2:
        return group.create_array(
            **common,
            fill_value=None,
            chunk_key_encoding=chunk_keys(2),
            attributes={**plan.nest.attrs, "_ARRAY_DIMENSIONS": list(plan.dims)},
        )
    return group.create_array(
        **common,
        fill_value=_zero(level.dtype),
        attributes=dict(plan.nest.attrs),
        dimension_names=list(plan.dims),
    )


def config_of(plan: Plan, level: LevelPlan) -> Any:
    """Return how the chunks of a level are written, which its metadata do not tell."""
    # zarr takes a chunk of complex -0.0 for an empty one
    return {"write_empty_chunks": plan.write_empty_chunks or level.dtype.kind == "c"}


def in_memory(plan: Plan) -> zarr.Group:
    """Return an empty group, of the format of a plan, in which arrays cost nothing."""
    return zarr.create_group(zarr.storage.MemoryStore(), zarr_format=plan.zarr_format)  # type: ignore[arg-type]


def chunk_keys(zarr_format: int) -> Any:
    """Return how the keys of chunks are made: nested in both formats."""
    return {"name": "v2" if zarr_format == 2 else "default", "separator": "/"}


def check_codecs(plan: Plan) -> None:
    """Make sure that zarr takes the compressors, and gives pixels back as they were: in memory, on a few of them.

    Raises
    ------
    CodecError
        If it does not.
    """
    if not gives_codec(plan):
        return
    group = in_memory(plan)
    create_levels(group, plan)
    level = plan.levels[0]
    pixels = any_pixels(level.dtype, small(tuple(level.chunks.values())))
    sizes = dict(zip(level.chunks, pixels.shape, strict=True))
    grids = {dim: replace(level.grids[dim], size=size) for dim, size in sizes.items()}
    try:
        with np.errstate(all="ignore"):  # of numbers that no image holds
            create_array(group, plan, LevelPlan("few", grids, sizes, level.dtype))[...] = pixels
            found = np.asarray(zarr.open_array(group.store, path="few", mode="r")[...]).astype(level.dtype)
    except Exception as error:  # codecs have no common one
        raise CodecError(
            f"compressors={plan.compressors!r} cannot keep pixels of {level.dtype} ({error}); "
            f"give another codec, such as compressors={an_example(plan)}, or None for none"
        ) from error
    if found.tobytes() != pixels.tobytes():
        raise CodecError(
            f"compressors={plan.compressors!r} change pixels of {level.dtype}, and what is read has to be what was "
            "written: codecs with losses are not taken; change the pixels themselves first, as by round() or "
            f"astype(), and give a codec without losses, such as compressors={an_example(plan)}, or None for none"
        )
    for of_label in plan.labels.values():
        check_codecs(of_label)


def gives_codec(plan: Plan) -> bool:
    """Whether the codec is the user's."""
    return plan.compressors is not None and not (isinstance(plan.compressors, str) and plan.compressors == COMPRESSORS)


def an_example(plan: Plan) -> str:
    """Return a codec, as it is written in Python, that any array of the plan's format can have."""
    return "numcodecs.Zstd(level=3)" if plan.zarr_format == 2 else "zarr.codecs.ZstdCodec(level=3)"


def small(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape of no more than `TRIED_PIXELS`, as much like another as can be.

    >>> small((1, 256, 1024))
    (1, 64, 64)
    """
    sizes = list(shape)
    while math.prod(sizes) > TRIED_PIXELS:
        longest = sizes.index(max(sizes))
        sizes[longest] = -(-sizes[longest] // 2)
    return tuple(sizes)


def any_pixels(dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return pixels with any bits that numbers of a dtype may have, but only one kind of NaN; the same each time."""
    bits = np.random.default_rng(0).bytes(math.prod(shape) * dtype.itemsize)
    if dtype.kind == "b":
        return (np.frombuffer(bits, "u1") % 2).astype(dtype).reshape(shape)
    pixels = np.frombuffer(bits, dtype).reshape(shape).copy()
    if dtype.kind in "fc":
        parts = pixels.view(f"{dtype.byteorder}f{dtype.itemsize // (2 if dtype.kind == 'c' else 1)}")
        parts[np.isnan(parts)] = np.nan
    return pixels


def create_levels(group: zarr.Group, plan: Plan) -> list[zarr.Array[Any]]:
    """Create the arrays of all levels.

    Raises
    ------
    CodecError
        If zarr does not take the compressors.
    """
    try:
        # in memory zarr creates arrays several times as fast, and those of all levels differ by their sizes alone
        room = created_group(zarr.storage.MemoryStore(), plan.zarr_format, {})
        model = None if room is None or plan.levels[0].shards else create_array(room, plan, plan.levels[0])
        arrays = []
        for level in plan.levels:
            made = None if model is None else created_like(model, group, level.path, level.shape, level.unit)
            arrays.append(made if made is not None else create_array(group, plan, level))
        return arrays
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        if not gives_codec(plan):
            raise
        raise CodecError(
            f"compressors={plan.compressors!r} cannot be used with Zarr v{plan.zarr_format} ({error}); "
            f"give a codec of that format, such as compressors={an_example(plan)}, or None for none"
        ) from error


def open_levels(group: zarr.Group, plan: Plan) -> list[zarr.Array[Any]]:
    """Open the arrays of all levels, to be written as those of `create_levels` are."""
    found = [without_room(open_array(group, level.path, "r+"), plan, level) for level in plan.levels]
    return [array.with_config(config_of(plan, level)) for array, level in zip(found, plan.levels, strict=True)]


def without_room(array: zarr.Array[Any], plan: Plan, level: LevelPlan) -> zarr.Array[Any]:
    """Return the array of a level as it was before room was made in it for what is appended later."""
    return of_shape(array, level.shape) if tuple(array.shape) == with_room(plan, level.shape) else array


def with_room(plan: Plan, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that an array of the image has when room is made for what is appended later, where it is."""
    dim, total = plan.growing or ("", None)
    if total is None:
        return shape
    return tuple(total if name == dim else n for name, n in zip(plan.dims, shape, strict=True))


def compressors(plan: Plan) -> Any:
    """Return the codec: the user's, or Blosc with zstd, which every reader of OME-Zarr knows.

    Measured on real images (``benchmarks/codecs.py``): 16-bit pixels, whose high bytes say little, shrink most and are
    encoded fastest when their bytes are shuffled; all others when their bits are. Higher levels of zstd take several
    times as long for a hundredth of the size.
    """
    if plan.compressors is None or gives_codec(plan):
        return plan.compressors
    dtype = plan.levels[0].dtype
    by_bytes = dtype.kind in "iu" and dtype.itemsize == 2
    if plan.zarr_format == 2:
        from numcodecs import Blosc

        return Blosc(cname="zstd", clevel=2, shuffle=Blosc.SHUFFLE if by_bytes else Blosc.BITSHUFFLE)
    from zarr.codecs import BloscCodec

    shuffle: Literal["shuffle", "bitshuffle"] = "shuffle" if by_bytes else "bitshuffle"
    return BloscCodec(cname="zstd", clevel=2, shuffle=shuffle, typesize=dtype.itemsize)


def write_pixels(
    plan: Plan,
    pixels: Pixels,
    arrays: Sequence[zarr.Array[Any] | None],
    group: zarr.Group,
    on_tile: OnTile | None,
    notes: Journal | None = None,
    areas: Sequence[Box] | None = None,
) -> None:
    """Write all levels.

    Parameters
    ----------
    plan, pixels
        What to write, and from what.
    arrays
        Of the levels; None for one that is there already.
    group
        Where carries are kept meanwhile, if the method needs it.
    on_tile
        Called with the bytes of each tile that has been written.
    notes
        What is told of tiles that are done, and knows those that were done before; None where nothing is noted.
    areas
        The pixels of each level that are written, of a part of an image; None for all.
    """
    keep_freed_memory()
    allowed = [None] * len(arrays) if areas is None else areas
    targets = tuple(None if array is None else Chunks(array, area) for array, area in zip(arrays, allowed, strict=True))
    recipe = pixels.recipe
    ledgers: list[Ledger | None] = [None] * len(plan.passes)
    if notes is not None:
        itemsize, carry = plan.levels[0].dtype.itemsize, pixels.carry_bytes
        ledgers = [notes.ledger(number, walk, itemsize, carry) for number, walk in enumerate(plan.passes)]
    if recipe is None:
        (walk,), (ledger,) = plan.passes, ledgers
        work = Work(walk.tiling, None, targets, ledger=ledger)
        tell_of_done(work, on_tile)
        sources = [source for source in pixels.sources if source is not None]
        if len(sources) == len(pixels.sources):
            run(work, sources, walk.workers, on_tile)
        else:
            run_by_dask(work, [in_file_order(level, pixels) for level in pixels.levels], walk.workers, on_tile)
        return
    stands_for = origins([level.shape for level in plan.levels], recipe.steps)
    with kept_carries(plan, pixels, group, notes) as carries:
        for walk, ledger in zip(plan.passes, ledgers, strict=True):
            levels, made_of = walk.levels, pixels.sources[0]
            if walk.first or (made_of is None and 0 not in walk.writes):
                # the passes before have written the level that the leaves are of
                above = carries.get(walk.first) or targets[walk.first]
                assert above is not None
                made_of = stored(above)
            work = Work(
                walk.tiling,
                recipe,
                tuple(targets[level] if level in walk.writes else None for level in levels),
                stands_for[levels.start : levels.stop],
                tuple(carries.get(level) for level in levels),
                walk.first in carries,
                () if made_of is None else recipe.reach(walk.first),
                ledger,
            )
            tell_of_done(work, on_tile)
            if made_of is None:
                run_by_dask(work, [in_file_order(pixels.levels[0], pixels)], walk.workers, on_tile)
            else:
                run(work, [made_of], walk.workers, on_tile)


def tell_of_done(work: Work, on_tile: OnTile | None) -> None:
    """Tell of what was written before."""
    if on_tile is not None and (before := work.done_bytes):
        on_tile(before)


def run(work: Work, sources: Sequence[Source], workers: int, on_tile: OnTile | None) -> None:
    """Make all tiles where that is best: on the cluster that is at hand, if it can read and write, else in threads."""
    client = active_client() if can_be_shared(work) and all(source.shared for source in sources) else None
    if client is not None:
        run_on_cluster(work, sources, client, on_tile)
    else:
        run_in_threads(work, sources, workers, on_tile)


@contextmanager
def kept_carries(plan: Plan, pixels: Pixels, group: zarr.Group, notes: Journal | None) -> Iterator[dict[int, Chunks]]:
    """Make room for the carries that a level is made of, where these are more than its pixels; none else.

    Yields
    ------
    dict
        By level: components first, then axes in file order. They are deleted when the block ends, or with the notes.
    """
    if pixels.recipe is None or not pixels.keeps_carries:
        yield {}
        return
    from xomezarr import stage

    kernel = pixels.recipe.kernel
    name = f"{CARRIES}{stage.token()}" if notes is None else f"{RESUME}/levels"
    carries = {}
    with _erasable(group) as room:
        try:
            for level, of_level in list(enumerate(plan.levels))[1:]:
                path = f"{name}/{level}"
                if notes is not None and notes.resumed and (there := find_array(room, path)) is not None:
                    carries[level] = Chunks(there)
                    continue
                array = room.create_array(
                    path,
                    shape=(kernel.components, *of_level.shape),
                    chunks=(kernel.components, *pixels.carry_chunks(of_level.unit)),
                    dtype=kernel.dtype,
                    compressors=None,
                    fill_value=None if plan.zarr_format == 2 else _zero(kernel.dtype),
                    chunk_key_encoding=chunk_keys(plan.zarr_format),
                )
                carries[level] = Chunks(array)
            yield carries
        finally:
            if notes is None and name in room:
                del room[name]


@contextmanager
def _erasable(group: zarr.Group) -> Iterator[zarr.Group]:
    """Yield a group in which things can be deleted again: this one, or one in a temporary folder, for a zip file."""
    if group.store.supports_deletes:
        yield group
        return
    # beside the file rather than in a folder that may be memory
    file = getattr(group.store, "path", None)
    with tempfile.TemporaryDirectory(dir=None if file is None else Path(file).parent) as folder:
        yield zarr.create_group(folder, zarr_format=group.metadata.zarr_format)


def in_file_order(level: xr.DataArray, pixels: Pixels) -> Any:
    """Return the pixels of a level without reading them; transposed here, as xarray would index each by itself."""
    return lazy_data(level).transpose([level.dims.index(dim) for dim in pixels.dims])


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
        # where channels are joined with their neighbours, each has the pixels of those
        places = np.array(indices) * coarsest.shape[axis] // len(channels)
        selected = (*picked[:axis], places, *picked[axis:])
        read = Chunks(coarsest).take(selected)
        for index, of_channel in zip(indices, np.moveaxis(read, axis, 0), strict=True):
            completed[index] = replace(channels[index], window=default_window(of_channel, plan.levels[0].dtype))
    return replace(plan, image=replace(plan.image, channels=tuple(completed)))


def with_colors(plan: Plan, finest: zarr.Array[Any]) -> Plan:
    """Return the plan of labels with colours from its colormap, if it has one, for the values that there are.

    These are the labels of the properties; where there are none, level 0 is read again as it was written.
    """
    label = plan.image.label
    if label is None or plan.colormap is None:
        return plan
    values = values_of(finest) if label.rows is None else sorted(row.value for row in label.rows)
    if values is None or len(values) > MOST_COLORS:
        warn(
            f"the labels {plan.image.multiscale.name!r} have more than {MOST_COLORS} values, and are written "
            "without colours, which each reader would have to load; give colors={value: color} for some of them",
            LabelWarning,
        )
        return plan
    return replace(plan, image=replace(plan.image, label=colored(label, plan.colormap, values)))


def values_of(array: zarr.Array[Any]) -> list[int] | None:
    """Return the values that occur in an array of labels, ascending; None if they are more than get colours."""
    import pandas as pd

    chunks = Chunks(array)
    found = np.empty(0, array.dtype)
    for box in chunks.boxes([slice(0, size) for size in chunks.shape]):
        found = np.union1d(found, pd.unique(chunks.read(box).ravel()))
        if found.size > MOST_COLORS:
            return None
    return [int(value) for value in found]


def sampled(shape: Sequence[int]) -> list[NDArray[np.intp]]:
    """Choose indices along each axis whose pixels represent an array; all of them if it has few pixels.

    The longest axes are thinned. Along each of them the indices form runs, spread evenly over it, so that few chunks
    are touched.

    >>> [len(indices) for indices in sampled((100, 512, 512))], [len(indices) for indices in sampled((512, 512))]
    ([48, 60, 60], [512, 512])
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


def gathers(store: StoreArgument, layout: str) -> bool:
    """Whether the metadata of a store are gathered in one object, which saves remote readers a request for each array.

    Local stores go without: nothing is saved there, and tools that add a label later would leave it stale. Those that
    are to be opened by xarray have them all the same, as it asks for them first, and warns where there are none.
    """
    return layout != FLAT or not is_local(store)


def consolidate(group: zarr.Group, zarr_format: int) -> None:
    """Gather the metadata of a group, and of all that lies in it, in one object, where the store has such a thing."""
    if not group.store.supports_consolidated_metadata:
        return
    from zarr.api.asynchronous import consolidate_metadata

    with warnings.catch_warnings():
        # zarr warns that format 3 has no such thing in its specification yet; readers that do not know it pass it over
        warnings.simplefilter("ignore")
        wait(consolidate_metadata(group.store, path=group.path or None, zarr_format=zarr_format))  # type: ignore[arg-type]


def _zero(dtype: np.dtype[Any]) -> Any:
    return np.zeros((), dtype)[()]
