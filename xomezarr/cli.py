"""The command line, ``xomezarr``: one function for each command."""

from __future__ import annotations

import ast
import codecs
import difflib
import inspect
import json
import logging
import os
import platform
import re
import shlex
import sys
import traceback
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr import spec, starting
from xomezarr.convert import convert as convert_image
from xomezarr.convert import plan_conversion
from xomezarr.description import description_of, is_file
from xomezarr.display import as_text, described, described_array, printable, without_unit
from xomezarr.errors import (
    AxisError,
    ChannelError,
    ChunkError,
    CoordinateError,
    DtypeError,
    FactorError,
    LayoutError,
    LevelError,
    MethodError,
    MultipleErrors,
    OmeZarrError,
    OmeZarrWarning,
    PatternError,
    PixelSizeWarning,
    ResourceError,
    StoreExistsError,
    UnitError,
    UnitWarning,
    VersionError,
)
from xomezarr.export import check_place, kind_of, put
from xomezarr.export import export as export_image
from xomezarr.folder import open_images, scan
from xomezarr.model import Channel
from xomezarr.pictures import composite
from xomezarr.plan import Plan, readable_bytes
from xomezarr.plate import open_plate
from xomezarr.readers import open_image
from xomezarr.scale import MAX_LAYER, plan_scaling
from xomezarr.stacking import is_plate
from xomezarr.starting import INTERRUPTED
from xomezarr.store import default_name, open_group, resolve
from xomezarr.suffixes import own_store
from xomezarr.upgrade import VERSION
from xomezarr.upgrade import upgrade as upgrade_store
from xomezarr.validate import validate as validate_store
from xomezarr.viewer import view as view_image

try:
    from cyclopts import App, CycloptsError, MissingArgumentError, Parameter, Token, UnknownCommandError
except ImportError:  # main says so in one line
    if not TYPE_CHECKING:
        App = None

__all__ = ["main"]

DONE, AT_FAULT, CALL_AT_FAULT = 0, 1, 2
"""Exit codes: done; the data or store is at fault; the call is at fault."""

CALL_ERRORS = (MethodError, FactorError, ChunkError, LevelError, ResourceError, PatternError)
"""Errors that only an option can cause."""

CURES: Sequence[tuple[type[BaseException], str, str]] = (
    (StoreExistsError, r'mode="w"', "overwrite"),
    (OmeZarrError, r"resume=True", "resume"),
    (StoreExistsError, r"in_place=", "in_place"),
    (AxisError, r"\b(dims|axes)\b", "dims"),
    (AxisError, r"\b(dims|axes)\b", "axes"),
    (AxisError, r"assign_grid|^scale is", "scale"),
    (AxisError, r"assign_grid|^units is", "units"),
    (ChannelError, r"", "channels"),
    (ChannelError, r"\brgb\b", "rgb"),
    (ChunkError, r"\bshards\b", "shards"),
    (ChunkError, r"^(?!shards)", "chunks"),
    (CoordinateError, r"\bscale\b", "scale"),
    (CoordinateError, r"\birregular=", "irregular"),
    (DtypeError, r"\brgb\b", "channels"),
    (DtypeError, r"\brgb\b", "rgb"),
    (DtypeError, r"\blabeled\b", "labeled"),
    (DtypeError, r"\bmethod\b", "method"),
    (FactorError, r"\bfactors\b", "factors"),
    (FactorError, r"\bfactors\b", "downscale"),
    (FactorError, r"\blevels\b", "levels"),
    (FactorError, r"\b(levels|max_layer)\b", "max_layer"),
    (LayoutError, r"\blayout=", "layout"),
    (LevelError, r"\bmax_size=", "size"),
    (MethodError, r"\bmethod\b", "method"),
    (MethodError, r"\blabeled\b", "labeled"),
    (ResourceError, r"\bmax_memory\b", "max_memory"),
    (ResourceError, r"\bworkers\b", "workers"),
    (UnitError, r"", "units"),
    (VersionError, r"\b(give version=|give a version of|leave version out)", "version"),
    (OmeZarrError, r"^name=", "name"),
    (OmeZarrError, r"\bseries=", "series"),
    (PatternError, r"", "pattern"),
    (PixelSizeWarning, r"", "scale"),
    (UnitWarning, r"", "units"),
)
"""Which option mends what, where the message, by its type and what it says, names a call of Python.

The same option is at fault where it was given.
"""

TRACEBACK = "XOMEZARR_TRACEBACK"
"""Environment variable: if set, unexpected errors show where they arose."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How much is said.

    Parameters
    ----------
    quiet
        Nothing but what is asked for, warnings and errors: no progress, and no word of what was written.
    verbose
        Where errors arose, too.
    options
        Those that the command has, by their names in Python.
    """

    quiet: bool = False
    verbose: bool = False
    options: tuple[str, ...] = ()


_MANNER: ContextVar[Manner] = ContextVar("manner", default=Manner())  # noqa: B039 - it does not change
"""Of the command that is running."""

CELL_SPACING_UM = 0.107
"""Pixel spacing of scikit-image's ``cell``, from its documentation."""

CONNECT_SECONDS = 10
"""A cluster that does not answer by then is not there."""

GAP = 8
"""White pixels between the levels in the demo's picture."""


class UsageError(Exception):
    """An option's value cannot be understood."""


def _spelled(name: str, **options: Any) -> Any:
    """Take an option with hyphens, and as its Python name is written."""
    hyphens = f"--{name.replace('_', '-')}"
    names = (hyphens,) if "_" not in name else (hyphens, f"--{name}")
    return Parameter(name=names, **options) if App is not None else None


def _count(name: str) -> Any:
    """Take a whole number; by itself the parser would round 2.5."""
    return _spelled(name, converter=_whole)


def _whole(_: Any, tokens: Sequence[Token]) -> int:
    value = tokens[0].value
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"{value!r} is no whole number") from None


# --- commands ----------------------------------------------------------------


def convert(
    src: str,
    dst: str,
    /,
    *,
    method: str | None = None,
    levels: Annotated[int | None, _count("levels")] = None,
    factors: str | None = None,
    version: Literal["0.4", "0.5", "0.6"] | None = None,
    layout: Literal["ome", "xarray"] = "ome",
    overwrite: bool = False,
    resume: bool = False,
    chunks: str | None = None,
    name: str | None = None,
    boundary: Literal["pad", "trim"] = "pad",
    irregular: Literal["raise", "keep"] | None = None,
    scale: str | None = None,
    units: str | None = None,
    dims: str | None = None,
    channels: str | None = None,
    rgb: bool = False,
    labels: Annotated[tuple[str, ...], _spelled("labels", metavar="FILE")] = (),
    series: Annotated[int | None, _count("series")] = None,
    shards: str | None = None,
    max_memory: Annotated[str | None, _spelled("max_memory")] = None,
    workers: Annotated[int | None, _count("workers")] = None,
    scheduler: str | None = None,
    dry_run: Annotated[bool, _spelled("dry_run")] = False,
    json: bool = False,
) -> int:
    """Convert an image to OME-Zarr, with its pixel sizes and channel names.

    NumPy, TIFF, OME-TIFF, ImageJ, NIfTI (.nii.gz too), MRC, PNG, JPEG and Zarr; anything else by BioIO, if installed.

    Parameters
    ----------
    src
        Image to read.
    dst
        Store to write, such as cells.ome.zarr.
    method
        How to make the coarser levels, such as local_mean or nearest.
    levels
        Number of levels, the finest included.
    factors
        Step from level to level: 2, or z=1,y=2,x=2.
    version
        Version of OME-Zarr.
    layout
        Where levels lie: ome for one array each, xarray for groups with coordinates, which xarray opens by itself.
    overwrite
        Replace what is at DST.
    resume
        Go on with a conversion that was interrupted; the result is the same to the byte.
    chunks
        By dimension, y=256,x=256, or one number for each: 1,256,256.
    name
        Name of the image.
    boundary
        What becomes of pixels that do not fill a block at the edge: pad keeps them, trim drops them.
    irregular
        What becomes of coordinates without one step: keep writes them by index, with the true positions beside; raise
        refuses them. Left out, those of an OME-Zarr image are kept.
    scale
        Pixel sizes that count instead of the file's: z=2,y=0.5,x=0.5.
    units
        Unit of all pixel sizes, um, or by dimension: z=um,t=s.
    dims
        Names of the file's dimensions in its order, the slowest first: zyx, or time,y,x.
    channels
        Channel names: "DAPI,GFP".
    rgb
        The three channels are red, green and blue; files of colour images say so themselves.
    labels
        File of a label image, nuclei.tif, or with another name than the file's, nuclei=segmented.tif. One each time:
        --labels nuclei.tif --labels cells.tif.
    series
        Index of the image in a file that holds several.
    shards
        From version 0.5 on: auto, for files of several chunks, or pixels of a file as for --chunks. Left out, auto for
        a single file.
    max_memory
        Memory that the work may take, such as 2GiB; left out, a quarter of the machine's.
    workers
        Threads; left out, one for each core.
    scheduler
        Address of a cluster of dask that does the work, such as tcp://10.0.0.1:8786.
    dry_run
        Say what would be written, and write nothing.
    json
        Describe what was written as JSON.
    """
    options: dict[str, Any] = {
        "method": method,
        "levels": levels,
        "factors": None if factors is None else _parse_factors(factors),
        "version": version,
        "layout": layout,
        "mode": "w" if overwrite else "w-",
        "resume": resume,
        "chunks": None if chunks is None else _parse_chunks(chunks),
        "name": name,
        "boundary": boundary,
        "shards": None if shards is None else _parse_shards(shards),
        "max_memory": max_memory,
        "workers": workers,
    }
    if irregular is not None:
        options["irregular"] = irregular
    image: dict[str, Any] = {
        "dims": None if dims is None else _parse_dims(dims),
        "series": series,
        "scale": None if scale is None else _by_dimension("--scale", scale, float),
        "units": None if units is None else _parse_units(units),
        "channels": None if channels is None else [channel.strip() for channel in channels.split(",")],
        "rgb": rgb,
    }
    label_files = _parse_labels(labels)
    if dry_run:
        with plan_conversion(src, dst, labels=label_files, **image, **options) as (plan, _):
            _show_plan(plan, as_json=json)
        return DONE
    with _cluster(scheduler):
        tree = convert_image(src, dst, labels=label_files, progress=not _MANNER.get().quiet, **image, **options)
    description = described(dst, tree)
    _tell(description, as_json=json)
    _note_units(description)
    _note_view(description["store"], as_json=json)
    return DONE


def scale(
    src: str,
    dst: str | None = None,
    /,
    axes: str | None = None,
    *,
    method: str | None = None,
    downscale: str | None = None,
    max_layer: Annotated[int, _count("max_layer")] = MAX_LAYER,
    labeled: bool = False,
    copy_metadata: Annotated[bool, _spelled("copy_metadata")] = False,
    in_place: Annotated[bool, _spelled("in_place")] = False,
    overwrite: bool = False,
    resume: bool = False,
    version: Literal["0.4", "0.5", "0.6"] | None = None,
    layout: Literal["ome", "xarray"] | None = None,
    chunks: str | None = None,
    boundary: Literal["pad", "trim"] = "pad",
    name: str | None = None,
    scale: str | None = None,
    units: str | None = None,
    shards: str | None = None,
    max_memory: Annotated[str | None, _spelled("max_memory")] = None,
    workers: Annotated[int | None, _count("workers")] = None,
    scheduler: str | None = None,
    dry_run: Annotated[bool, _spelled("dry_run")] = False,
    json: bool = False,
) -> int:
    """Make a pyramid of a Zarr array, or of level 0 of an OME-Zarr image.

    Parameters
    ----------
    src
        Array or image to read: a path or URL, such as raw.zarr, store.zarr/0 or cells.ome.zarr.
    dst
        Store to write, such as cells.ome.zarr; left out with --in-place.
    axes
        Names of the array's dimensions in its order, where the store does not name them: zyx, or time,y,x.
    method
        How to make the coarser levels, such as local_mean, nearest or mode.
    downscale
        Step from level to level: 2 for all dimensions of space, z as well as y and x, or z=1,y=2,x=2. Left out, each
        step halves the dimensions of space that have the finest pixels.
    max_layer
        Number of coarser levels at most; 0 for the image alone. There are fewer where nothing is left to shrink.
    labeled
        Pixels are labels: no level may hold a value that level 0 does not have. The method is mode, or one that keeps
        values.
    copy_metadata
        Copy the attributes of the array, and those that other tools gave its image, to the new image.
    in_place
        Leave level 0 where it is, write the coarser levels beside it, and replace those that the image has.
    overwrite
        Replace what is at DST.
    resume
        Go on with a write to DST that was interrupted; the result is the same to the byte.
    version
        Version of OME-Zarr. Left out, that of the image, else 0.4 (0.5 for a single file, .ozx); in place, the one of
        the array's Zarr format.
    layout
        Where levels lie: ome for one array each, xarray for groups with coordinates, which xarray opens by itself;
        left out, as in SRC.
    chunks
        By dimension, y=256,x=256, or one number for each: 1,256,256.
    boundary
        What becomes of pixels that do not fill a block at the edge: pad keeps them, trim drops them.
    name
        Name of the image.
    scale
        Pixel sizes that count instead of the store's: z=2,y=0.5,x=0.5.
    units
        Unit of all pixel sizes, um, or by dimension: z=um,t=s.
    shards
        From version 0.5 on: auto, for files of several chunks, or pixels of a file as for --chunks. Left out, auto for
        a single file.
    max_memory
        Memory that the work may take, such as 2GiB; left out, a quarter of the machine's.
    workers
        Threads; left out, one for each core.
    scheduler
        Address of a cluster of dask that does the work, such as tcp://10.0.0.1:8786.
    dry_run
        Say what would be written, and write nothing.
    json
        Describe what was written as JSON.
    """
    if dst is None and not in_place:
        raise UsageError("DST is missing; give a store to write, or --in-place to write beside the array")
    if overwrite and in_place:
        raise UsageError(
            "--overwrite and --in-place contradict each other: in place, only the coarser levels are replaced; "
            "leave --overwrite out"
        )
    scaling = plan_scaling(
        src,
        dst,
        axes=None if axes is None else _parse_dims(axes),
        method=method,
        downscale=None if downscale is None else _parse_factors(downscale, "--downscale"),
        max_layer=max_layer,
        labeled=labeled,
        copy_metadata=copy_metadata,
        in_place=in_place,
        scale=None if scale is None else _by_dimension("--scale", scale, float),
        units=None if units is None else _parse_units(units),
        version=version,
        layout=layout,
        mode="w" if overwrite else "w-",
        resume=resume,
        chunks=None if chunks is None else _parse_chunks(chunks),
        boundary=boundary,
        name=name,
        shards=None if shards is None else _parse_shards(shards),
        max_memory=max_memory,
        workers=workers,
    )
    if dry_run:
        _show_plan(scaling.plan, as_json=json)
        return DONE
    with _cluster(scheduler):
        written = scaling.write(progress=not _MANNER.get().quiet)
    description = described(written.store, written.tree)
    if copy_metadata:
        description["copied_attributes"] = list(written.copied)
    _tell(description, as_json=json)
    _note_units(description)
    _note_view(description["store"], as_json=json)
    return DONE


def plate(
    src: Path,
    dst: str,
    /,
    *,
    pattern: str,
    name: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    method: str | None = None,
    levels: Annotated[int | None, _count("levels")] = None,
    factors: str | None = None,
    version: Literal["0.4", "0.5", "0.6"] | None = None,
    layout: Literal["ome", "xarray"] = "ome",
    chunks: str | None = None,
    boundary: Literal["pad", "trim"] = "pad",
    scale: str | None = None,
    units: str | None = None,
    dims: str | None = None,
    channels: str | None = None,
    shards: str | None = None,
    max_memory: Annotated[str | None, _spelled("max_memory")] = None,
    workers: Annotated[int | None, _count("workers")] = None,
    scheduler: str | None = None,
    dry_run: Annotated[bool, _spelled("dry_run")] = False,
    json: bool = False,
) -> int:
    """Make a plate of a folder of images whose names say where each belongs.

    Parameters
    ----------
    src
        Folder with the images.
    dst
        Store to write, such as plate.ome.zarr.
    pattern
        How the files are named: `"{row}{column}_s{field}_{channel}.tif"`, with {well} for row and column, {z}, {t},
        {acquisition}, and {} for what does not matter. Where it holds a /, files lie in folders below SRC. Files of
        one well and field that differ by channel, z or t become one image.
    name
        Name of the plate.
    overwrite
        Replace what is at DST.
    resume
        Go on with a plate whose writing was interrupted; images that are whole are not written again.
    method
        How to make the coarser levels, such as local_mean or nearest.
    levels
        Number of levels, the finest included.
    factors
        Step from level to level: 2, or z=1,y=2,x=2.
    version
        Version of OME-Zarr. Left out, 0.4; 0.5 for a single file, which ends in .ozx.
    layout
        Where levels lie: ome for one array each, xarray for groups with coordinates, which xarray opens by itself.
    chunks
        By dimension, y=256,x=256, or one number for each: 1,256,256.
    boundary
        What becomes of pixels that do not fill a block at the edge: pad keeps them, trim drops them.
    scale
        Pixel sizes that count instead of the files': z=2,y=0.5,x=0.5.
    units
        Unit of all pixel sizes, um, or by dimension: z=um,t=s.
    dims
        Names of the dimensions of each file in its order: zyx, or time,y,x.
    channels
        Channel names, in the order of those in the files' names: "DAPI,GFP".
    shards
        From version 0.5 on: auto, for files of several chunks, or pixels of a file as for --chunks. Left out, auto for
        a single file.
    max_memory
        Memory that the work may take, such as 2GiB; left out, a quarter of the machine's.
    workers
        Threads; left out, one for each core.
    scheduler
        Address of a cluster of dask that does the work, such as tcp://10.0.0.1:8786.
    dry_run
        Say what would be made of which files by their names, and write nothing.
    json
        Describe what is made as JSON.
    """
    options: dict[str, Any] = {
        "method": method,
        "levels": levels,
        "factors": None if factors is None else _parse_factors(factors),
        "version": version,
        "layout": layout,
        "mode": "w" if overwrite else "w-",
        "chunks": None if chunks is None else _parse_chunks(chunks),
        "boundary": boundary,
        "shards": None if shards is None else _parse_shards(shards),
        "max_memory": max_memory,
        "workers": workers,
    }
    image: dict[str, Any] = {
        "dims": None if dims is None else _parse_dims(dims),
        "scale": None if scale is None else _by_dimension("--scale", scale, float),
        "units": None if units is None else _parse_units(units),
        "channels": None if channels is None else [channel.strip() for channel in channels.split(",")],
    }
    folder = scan(src, pattern)
    written = folder
    if channels is not None and "channel" in folder.stacked:
        written = replace(folder, stacked={**folder.stacked, "channel": tuple(image["channels"])})
    wells = {} if dry_run else open_images(folder, **image)
    if not dry_run:
        options |= {"name": name, "progress": not _MANNER.get().quiet, "resume": resume}
        with _cluster(scheduler):
            import_module("xomezarr").write_plate(wells, dst, **options)
    if json:
        print(_json({"store": dst, **written.to_dict()}))
    elif dry_run or not _MANNER.get().quiet:
        print(_plain(f"{written}\n{'it would be written' if dry_run else 'written'} to {dst}"))
    if not dry_run:
        _note_units(described_array(next(image for fields in wells.values() for image in fields.values())))
        _note_view(dst, as_json=json, command="thumbnail")
    return DONE


def upgrade(
    src: str,
    dst: str | None = None,
    /,
    *,
    version: Literal["0.4", "0.5", "0.6"] = VERSION,
    overwrite: bool = False,
    dry_run: Annotated[bool, _spelled("dry_run")] = False,
    json: bool = False,
) -> int:
    """Bring an OME-Zarr store, with all that is in it, to another version: where it is, or as a copy.

    Parameters
    ----------
    src
        Store to bring to another version: an image, a plate, a collection, a scene.
    dst
        Store to write, such as new.ome.zarr. Left out, SRC is changed where it is: its metadata alone, and no chunk.
    version
        Version of OME-Zarr that the store is to be of.
    overwrite
        Replace what is at DST.
    dry_run
        Say what would be done, and do nothing.
    json
        Say what was done as JSON.
    """
    if overwrite and dst is None:
        raise UsageError("--overwrite replaces what is at DST, and there is none; leave it out, or give a DST")
    done = upgrade_store(src, dst, version=version, mode="w" if overwrite else "w-", dry_run=dry_run)
    if json:
        print(_json(done.to_dict()))
    elif dry_run or not _MANNER.get().quiet:
        print(_plain(f"{done}\n{'nothing was written' if dry_run else 'done'}"))
    return DONE


def info(store: str, /, *, dims: str | None = None, series: int | None = None, json: bool = False) -> int:
    """Describe an OME-Zarr image with its labels, a plate, a collection of images, or an image file.

    Parameters
    ----------
    store
        Path or URL.
    dims
        Of a file that does not name its dimensions: zyx, or time,y,x.
    series
        Of a file that holds several images, which to describe, from 0.
    json
        Describe it as JSON.
    """
    _show(description_of(store, dims=None if dims is None else _parse_dims(dims), series=series), as_json=json)
    return DONE


def validate(
    store: str, /, *, strict: bool = False, grids: bool = False, chunks: bool = False, json: bool = False
) -> int:
    """Examine an image, a plate or a collection by the rules of its version. Exit code 1 if it breaks one.

    Parameters
    ----------
    store
        Path or URL of an image, plate, well, group of labels, or collection of bioformats2raw.
    strict
        Count what the specification only recommends too.
    grids
        Check by some of the pixels that the levels lie where the metadata say, and labels over their image.
    chunks
        Read every chunk, and name those that cannot be decoded.
    json
        Give the findings as JSON.
    """
    report = validate_store(store, strict=strict, grids=grids, chunks=chunks)
    print(_json(report.to_dict()) if json else _plain(report))
    return DONE if report.valid else AT_FAULT


def thumbnail(
    src: str,
    dst: Path | None = None,
    /,
    *,
    size: Annotated[int, _count("size")] = 256,
    overwrite: bool = False,
) -> int:
    """Draw a small picture of an image, or a plate as it is seen from above: channels in their colours.

    Parameters
    ----------
    src
        Path or URL of an image, labels or a plate; or an image file.
    dst
        Picture to write, a PNG; left out, it is named after SRC, and comes into this folder.
    size
        Pixels of its longer side at most.
    overwrite
        Replace what is at DST.
    """
    target = Path(f"{default_name(own_store(src) if is_file(src) else src)}.png") if dst is None else dst
    if target.suffix.lower() != ".png":
        raise UsageError(f"DST {str(target)!r} is no name of a PNG; give one that ends in .png, or see xomezarr export")
    mode = "w" if overwrite else "w-"
    check_place(target, mode)
    with _opened(src) as image:
        seen: Any = image.omezarr
        picture = seen.overview(max_size=size) if is_plate(image) else seen.thumbnail(max_size=size)
    with put(target, mode) as partial:
        save_png(partial, picture)
    _say(f"{target}: {picture.shape[1]} × {picture.shape[0]} pixels")
    return DONE


def export(
    src: str,
    dst: Path,
    /,
    *,
    level: Annotated[int, _count("level")] = 0,
    overwrite: bool = False,
) -> int:
    """Write an image as other programs read it: .png, .tif for ImageJ, or .ome.tif with its levels; with pixel sizes.

    Parameters
    ----------
    src
        Path or URL of an image, or of labels; or an image file.
    dst
        File to write; its name says what kind: cells.png, cells.tif or cells.ome.tif.
    level
        The finest level that is written; 0 is the finest that there is.
    overwrite
        Replace what is at DST.
    """
    try:
        kind_of(dst)
    except OmeZarrError as error:
        raise UsageError(error.by_command or str(error)) from None
    with _opened(src) as image:
        if is_plate(image):
            raise LevelError(
                f"{src!r} is a plate, and a file holds one image; give the path of one: {src.rstrip('/')}/A/1/0, say, "
                "as xomezarr info tells, or see xomezarr thumbnail"
            )
        file = export_image(image, dst, level=level, mode="w" if overwrite else "w-", progress=not _MANNER.get().quiet)
    _say(f"{file}: {readable_bytes(file.stat().st_size)}")
    return DONE


@contextmanager
def _opened(place: str) -> Iterator[xr.DataTree | xr.DataArray]:
    """Open an image, or whatever holds some; a file that is no store too."""
    opened: xr.DataTree | xr.DataArray
    if is_file(place):
        opened = open_image(place)
    else:
        kinds = spec.kinds(open_group(place).attrs.asdict())
        opened = open_plate(place) if "plate" in kinds else xr.open_datatree(place, engine="omezarr")
    try:
        yield opened
    finally:
        opened.close()


MOST_PORT = 2**16 - 1


def view(
    store: str,
    /,
    *,
    no_browser: Annotated[bool, _spelled("no_browser")] = False,
    no_labels: Annotated[bool, _spelled("no_labels")] = False,
    port: Annotated[int, _count("port")] = 0,
    napari: bool = False,
) -> int:
    """Show an image in Neuroglancer, in the browser: it is served on this machine alone, until Ctrl-C.

    Parameters
    ----------
    store
        Path or URL of an image, or of labels.
    no_browser
        Print the address, and open no browser.
    no_labels
        Leave its labels out.
    port
        Port of this machine at which the page is served. Left out, one that is free.
    napari
        Show it in napari, in a window of its own.
    """
    if not 0 <= port <= MOST_PORT:
        raise UsageError(f"--port {port} is none; give one from 0, for any that is free, to {MOST_PORT}")
    viewer = "napari" if napari else "neuroglancer"
    view_it = partial(view_image, store, labels=not no_labels, viewer=viewer)
    if napari:
        view_it()
        import_module("napari").run()
        return DONE
    shown = view_it(open_browser=not no_browser, port=port)
    try:
        print(shown.url, flush=True)
        shown.wait()
    except KeyboardInterrupt:
        pass  # as is meant
    finally:
        shown.close()
    return DONE


def demo(dst: Path = Path("cell.ome.zarr"), /, *, overwrite: bool = False) -> int:
    """Write a real image as a pyramid, say what was written, and draw it: a cell, seen by its optical thickness.

    Parameters
    ----------
    dst
        Store to write; the picture goes beside it.
    overwrite
        Replace what is at DST.
    """
    if dst.exists() and not overwrite:
        tree = xr.open_datatree(dst, engine="omezarr")
        afresh = f"xomezarr demo {shlex.quote(str(dst))} --overwrite"
        _say(f"{dst} exists already, and is left as it is; {afresh} writes it afresh.\n")
    else:
        image: Any = demo_image()
        # one level would do for so small an image; four show what a pyramid is
        tree = image.omezarr.to_zarr(dst, levels=4, chunks={"y": 256, "x": 256}, mode="w" if overwrite else "w-")
    _tell(described(str(dst), tree), as_json=False)
    picture = dst.with_name(dst.name.removesuffix(".zarr").removesuffix(".ome") + ".png")
    save_png(picture, side_by_side(tree.omezarr.levels, tree.omezarr.channels))
    _say(f"\npicture of the levels, each at the same physical size: {picture}\n\n{next_steps(dst)}")
    return DONE


def next_steps(dst: Path) -> str:
    """Return what to try with a store, as commands to copy: of the shell, and of Python.

    >>> print(next_steps(Path("my cells.ome.zarr")))
    what to try next:
      xomezarr info 'my cells.ome.zarr'  # levels, pixel sizes, channels
      xomezarr view 'my cells.ome.zarr'  # in the browser, until Ctrl-C
      python -ic 'import xarray; tree = xarray.open_datatree("my cells.ome.zarr", engine="omezarr"); print(tree)'
    """
    place = shlex.quote(str(dst))
    quoted = json.dumps(str(dst), ensure_ascii=False)
    code = f'import xarray; tree = xarray.open_datatree({quoted}, engine="omezarr"); print(tree)'
    return (
        "what to try next:\n"
        f"  xomezarr info {place}  # levels, pixel sizes, channels\n"
        f"  xomezarr view {place}  # in the browser, until Ctrl-C\n"
        f"  python -ic {shlex.quote(code)}"
    )


# --- the demo ----------------------------------------------------------------


def demo_image() -> xr.DataArray:
    """Return a cell floating in saline, which scikit-image ships, as its owner would hold it in xarray.

    Returns
    -------
    xarray.DataArray
        uint8, dims ``(c, y, x)``, shape ``(1, 660, 550)``, 0.107 µm per pixel.

    References
    ----------
    P. Müller et al., "Accurate evaluation of size and refractive index for spherical objects in quantitative
    phase imaging", Optics Express 26(8), 10729-10743, 2018. CC0.
    """
    from skimage import data

    pixels = data.cell()  # type: ignore[no-untyped-call]
    image: Any = xr.DataArray(pixels[np.newaxis], dims=("c", "y", "x"), name="cell")
    image = image.omezarr.assign_grid(scale={"y": CELL_SPACING_UM, "x": CELL_SPACING_UM}, units="um")
    result: xr.DataArray = image.omezarr.assign_channels(["quantitative phase"])
    return result


def side_by_side(levels: Sequence[xr.DataArray], channels: Sequence[Channel]) -> NDArray[np.uint8]:
    """Draw all levels at the physical size of the finest, whose pixels are squares of one.

    Returns
    -------
    numpy.ndarray
        uint8, shape ``(height, width, 3)``.
    """
    height, width = levels[0].sizes["y"], levels[0].sizes["x"]
    panels: list[NDArray[np.uint8]] = []
    for level in levels:
        picture = composite(level, channels)
        for axis, size in enumerate((height, width)):
            # edge blocks are cut where the image ends
            factor = -(-size // picture.shape[axis])
            picture = picture.repeat(factor, axis=axis)[(slice(None),) * axis + (slice(size),)]
        panels += [picture, np.full((height, GAP, 3), 255, np.uint8)]
    return np.concatenate(panels[:-1], axis=1)


def save_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Save an RGB picture."""
    import imageio.v3

    # named by its kind: until it has its place its path says none
    imageio.v3.imwrite(path, picture, extension=".png")


# --- what is printed ---------------------------------------------------------


def _say(text: str) -> None:
    """Say what was done, unless that is not wanted."""
    if not _MANNER.get().quiet:
        print(_plain(text))


def _tell(description: Mapping[str, Any], *, as_json: bool) -> None:
    """Say what was written: as JSON where that is asked for, else unless that is not wanted."""
    if as_json:
        _show(description, as_json=True)
    else:
        _say(as_text(description))


def _note_units(description: Mapping[str, Any]) -> None:
    """Say once, beside what was written, how to give the pixel sizes that a file does not hold."""
    if _MANNER.get().quiet or (lacking := without_unit(description)) is None:
        return
    scales = zip(description["axes"], description["levels"][0]["scale"] or (), strict=False)
    sizes = ",".join(
        f"{axis['name']}={0.65 if scale == 1.0 else f'{scale:.10g}'}"
        for axis, scale in scales
        if axis["type"] == "space"
    )
    print(f"xomezarr: {lacking}; to say how large pixels are: --scale {sizes} --units um", file=sys.stderr)


def _note_view(store: str, *, as_json: bool, command: str = "view") -> None:
    """Say how what was written is seen, unless a program reads what is said."""
    if not as_json:
        _say(f"see it: xomezarr {command} {shlex.quote(store)}")


def _show(description: Mapping[str, Any], *, as_json: bool) -> None:
    print(_json(description) if as_json else _plain(as_text(description)))


def _show_plan(plan: Plan, *, as_json: bool) -> None:
    print(_json(plan.to_dict()) if as_json else _plain(plan))


def _json(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, indent=2, ensure_ascii=False)
    # what a terminal obeys, and does not show, stands in strings alone; so does what it lacks
    text = "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # what stands for other characters in a text is not what they are
        return json.dumps(document, indent=2)
    return text


# --- what options say --------------------------------------------------------


def _by_dimension[T](option: str, text: str, kind: Callable[[str], T]) -> dict[str, T]:
    """Read ``z=2,y=0.5``.

    >>> _by_dimension("--scale", "z=2,y=0.5", float)
    {'z': 2.0, 'y': 0.5}
    """
    result: dict[str, T] = {}
    for part in text.split(","):
        dim, equals, value = (piece.strip() for piece in part.partition("="))
        try:
            if not dim or not equals or not value or dim in result:
                raise ValueError
            result[dim] = kind(value)
        except ValueError:
            raise UsageError(
                f"{option} {text!r} cannot be read at {part!r}; "
                f"give each dimension once, such as {option} {_EXAMPLES[option]}"
            ) from None
    return result


_EXAMPLES = {
    "--scale": "z=2,y=0.5,x=0.5",
    "--units": "z=um,t=s",
    "--factors": "z=1,y=2,x=2",
    "--downscale": "z=1,y=2,x=2",
    "--chunks": "y=256,x=256",
    "--shards": "y=1024,x=1024",
}


def _parse_factors(text: str, option: str = "--factors") -> int | dict[str, int]:
    """Read ``2`` or ``z=1,y=2,x=2``."""
    return int(text) if re.fullmatch(r"\s*-?\d+\s*", text) else _by_dimension(option, text, int)


def _parse_chunks(text: str, option: str = "--chunks") -> tuple[int, ...] | dict[str, int]:
    """Read ``1,256,256`` or ``y=256,x=256``."""
    parts = [part.strip() for part in text.split(",")]
    if all(part.isdecimal() for part in parts):
        return tuple(map(int, parts))
    return _by_dimension(option, text, int)


def _parse_shards(text: str) -> str | tuple[int, ...] | dict[str, int]:
    """Read ``auto``, or what `_parse_chunks` does."""
    return text if text.strip() == "auto" else _parse_chunks(text, "--shards")


@contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """Connect to a cluster of dask for as long as the work takes; nothing to do without an address."""
    if address is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError:
        raise UsageError(
            '--scheduler needs dask\'s clusters; install them: pip install "xomezarr[distributed]"'
        ) from None
    try:
        client = Client(address, timeout=CONNECT_SECONDS)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise UsageError(f"--scheduler {address}: no cluster answers there ({error})") from None
    with client:
        yield


def _parse_units(text: str) -> str | dict[str, str]:
    """Read ``um`` or ``z=um,t=s``."""
    if "=" in text:
        return _by_dimension("--units", text, str)
    if "," in text:
        raise UsageError(f"--units {text!r} names several; give one, or by dimension: --units {_EXAMPLES['--units']}")
    return text


def _parse_labels(given: Sequence[str]) -> dict[str, str]:
    """Read ``nuclei=segmented.tif``, or a file that the labels are named by, which may have such a name itself.

    >>> _parse_labels(["nuclei=segmented.tif", "data/mask.ome.tif"])
    {'nuclei': 'segmented.tif', 'mask': 'data/mask.ome.tif'}
    """
    found: dict[str, str] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            name, path = Path(text.rstrip("/")).name.partition(".")[0], text
        if not name or not path or name in found:
            raise UsageError(
                f"--labels {text!r} cannot be read; give each name once, such as --labels nuclei=nuclei.tif"
            )
        found[name] = path
    return found


def _parse_dims(text: str) -> str | list[str]:
    """Read ``zyx`` or ``time,y,x``."""
    return [part.strip() for part in text.split(",")] if "," in text else text


# --- running -----------------------------------------------------------------


def build_app() -> App:
    """Make the cyclopts application."""
    app = App(
        name="xomezarr",
        help="Between images and OME-Zarr: exact, lossless, with pixel sizes and channel names.",
        help_epilogue=examples(""),
        version=versions,
        version_format="plaintext",
        default_parameter=Parameter(negative=""),
    )
    app.register_install_completion_command(help="Complete commands and options in this shell from now on.")
    for command in (convert, scale, plate, upgrade, info, validate, view, thumbnail, export, demo):
        app.command(command, name=command.__name__, help_epilogue=examples(command.__name__))
    return app


def examples(command: str) -> str:
    """Return the end of a command's help; of the program's own for ``""``.

    >>> examples("demo").splitlines()[2].split("  #")[0].strip()
    'xomezarr demo'
    """
    calls = EXAMPLES[command]
    width = max(map(len, calls))
    lines = "\n".join(f"    {call:{width}}  # {what}" for call, what in calls.items())
    return f"Examples:\n\n{lines}\n\n{WITH_ALL}"


EXAMPLES: Mapping[str, Mapping[str, str]] = {
    "": {
        "xomezarr convert cells.ome.tif cells.ome.zarr": "with pixel sizes",
        "xomezarr info cells.ome.zarr": "what is in it",
        "xomezarr view cells.ome.zarr": "in the browser",
        "xomezarr validate cells.ome.zarr --grids": "pixels are looked at too",
        "xomezarr export cells.ome.zarr cells.png": "for other programs",
    },
    "convert": {
        "xomezarr convert cells.ome.tif cells.ome.zarr": "pixel sizes and channels come along",
        "xomezarr convert cells.ome.tif cells.ome.zarr --dry-run": "what would be written",
        "xomezarr convert cells.ome.tif both.ome.zarr --labels nuclei=nuclei.tif": "labels too",
        "xomezarr convert stack.npy stack.ome.zarr --dims zyx --scale z=2,y=0.5,x=0.5 --units um": "a plain array",
        "xomezarr convert cells.ome.tif small.ome.zarr --version 0.5 --shards y=1024,x=1024": "fewer files",
    },
    "scale": {
        "xomezarr scale raw.zarr raw.ome.zarr zyx": "of an array of Zarr",
        "xomezarr scale labels.zarr labels.ome.zarr zyx --labeled": "no label is invented",
    },
    "plate": {
        "xomezarr plate images screen.ome.zarr --pattern '{row}{column}_s{field}_{channel}.tif'": "A1_s0_DAPI.tif, …",
    },
    "upgrade": {
        "xomezarr upgrade cells.ome.zarr --dry-run": "what would change",
        "xomezarr upgrade cells.ome.zarr": "from 0.4 to 0.5, where it is",
        "xomezarr upgrade cells.ome.zarr newest.ome.zarr --version 0.6": "as a copy",
    },
    "info": {
        "xomezarr info cells.ome.zarr": "levels, channels, labels",
        "xomezarr info cells.ome.zarr --json": "for programs",
        "xomezarr info cells.ome.tif": "what would become of it",
    },
    "validate": {
        "xomezarr validate cells.ome.zarr": "by the rules of its version",
        "xomezarr validate cells.ome.zarr --grids --chunks": "by its pixels, all of which are read",
    },
    "view": {
        "xomezarr view cells.ome.zarr": "Ctrl-C ends it",
        "xomezarr view cells.ome.zarr --no-browser --port 8080": "on a machine reached by ssh -L 8080:127.0.0.1:8080",
    },
    "thumbnail": {
        "xomezarr thumbnail cells.ome.zarr": "cells.png, in this folder",
        "xomezarr thumbnail screen.ome.zarr screen.png --size 1024": "a plate from above",
    },
    "export": {
        "xomezarr export cells.ome.zarr cells.ome.tif": "OME-TIFF, with levels",
        "xomezarr export cells.ome.zarr cells.tif": "for ImageJ",
        "xomezarr export cells.ome.zarr cells.png --level 1": "a picture of a coarser level",
    },
    "demo": {
        "xomezarr demo": "cell.ome.zarr and cell.png, in this folder",
        "xomezarr demo other.ome.zarr": "elsewhere",
    },
}
"""Calls of each command, and what they are for."""

WITH_ALL = """With all commands: -q, --quiet says nothing but what is asked for, warnings and errors; -v, --verbose says
where errors arose, too.
"""

WITH = ("xarray", "dask", "zarr", "numpy", "scikit-image", "pint", "ome-zarr-models")
"""Packages of which the version counts as well."""

BESIDES = (
    *("pillow", "cyclopts", "rich", "imageio", "tifffile", "imagecodecs", "nibabel", "ome-types", "distributed"),
    *("fsspec", "s3fs", "obstore", "matplotlib", "matplotlib-scalebar", "neuroglancer"),
)
"""Packages of the extras, which may be there."""


def versions() -> str:
    """Return the versions of the program, of Python, and of what it rests on, a line each."""
    found = {"xomezarr": installed_version("xomezarr"), "Python": platform.python_version()}
    found |= {name: installed_version(name) for name in WITH}
    for name in BESIDES:
        with suppress(PackageNotFoundError):
            found[name] = installed_version(name)
    return "\n".join(f"{name} {version}" for name, version in found.items())


FLAGS: Mapping[str, str] = {"-q": "quiet", "--quiet": "quiet", "-v": "verbose", "--verbose": "verbose"}
"""Options of all commands."""


def _parted(argv: Sequence[str]) -> tuple[list[str], Manner]:
    """Part the words of a call into those of its command, and how much is to be said.

    >>> _parted(["info", "a.zarr", "-q"])
    (['info', 'a.zarr'], Manner(quiet=True, verbose=False, options=()))
    """
    end = argv.index("--") if "--" in argv else len(argv)
    asked: dict[str, Any] = {FLAGS[word]: True for word in argv[:end] if word in FLAGS}
    return [*(word for word in argv[:end] if word not in FLAGS), *argv[end:]], Manner(**asked)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv
        Words after the program's name; left out, those of this process.

    Returns
    -------
    int
        0 done, 1 the data or store is at fault, 2 the call is at fault, 130 interrupted.
    """
    if App is None:
        return _fail('the command line needs more packages; install them: pip install "xomezarr[cli]"', AT_FAULT)
    # a process that is started without one of them has none
    sys.stdout, sys.stderr = (stream or _nowhere() for stream in (sys.stdout, sys.stderr))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=SPELLED)  # µ on a terminal that has none
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", OmeZarrWarning)
        warnings.showwarning = _show_warning
        try:
            starting.imported()
            code = _run(list(sys.argv[1:] if argv is None else argv))
            sys.stdout.flush()
        except KeyboardInterrupt as error:
            return _interrupted(error, "", {}, {})
        except BrokenPipeError:
            # the reader has seen enough: nothing is left to say, nor to flush at exit
            _discard(sys.stdout)
            return DONE
    return code


SPELLED = "xomezarr.spelled"
"""How characters are written that a terminal or a file does not have, as the codecs of Python know it."""

IN_ASCII: Mapping[str, str] = {"µ": "u", "Å": "Angstrom", "×": "x", "→": "->", "…": "...", "·": "-", "≥": ">="}
"""Characters of what is said."""


def spelled(error: UnicodeError) -> tuple[str | bytes, int]:
    r"""Write what cannot be encoded in other characters; bytes of a file's name that are no text as they are.

    >>> "2 × 0.5 µm ü \udcc3".encode("ascii", SPELLED)
    b'2 x 0.5 um \\xfc \xc3'
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    after = error.start + 1
    if 0xDC80 <= ord(character) <= 0xDCFF:
        return bytes([ord(character) - 0xDC00]), after
    return IN_ASCII.get(character) or character.encode("ascii", "backslashreplace").decode(), after


codecs.register_error(SPELLED, spelled)


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - as long as the process


def _run(argv: list[str]) -> int:
    """Parse and run a command; turn errors into one line and an exit code."""
    given: Mapping[str, Any] = {}
    known: Mapping[str, inspect.Parameter] = {}
    name = ""
    words: list[str] = []
    try:
        words, manner = _parted(argv)
        _MANNER.set(manner)
        command, bound, _ = build_app().parse_args(words, print_error=False, exit_on_error=False)
        given, known, name = bound.arguments, inspect.signature(command).parameters, command.__name__
        _MANNER.set(replace(manner, options=tuple(known)))
        return command(*bound.args, **bound.kwargs) or DONE
    except (CycloptsError, UsageError) as error:
        return _fail(_misused(error, words[0] if words else ""), CALL_AT_FAULT)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt as error:
        return _interrupted(error, name, known, given)
    except (OmeZarrError, OSError) as error:
        faults = error.exceptions if isinstance(error, MultipleErrors) else (error,)
        options = [option for option in cures(faults) if option in known]
        at_fault = any(isinstance(fault, CALL_ERRORS) for fault in faults) or any(option in given for option in options)
        return _fail(_with_hint(by_options(error, known), options), CALL_AT_FAULT if at_fault else AT_FAULT)
    except Exception as error:
        if os.environ.get(TRACEBACK) or _MANNER.get().verbose:
            traceback.print_exc()
        return _fail(f"{type(error).__name__}: {error}; {TRACEBACK}=1 shows where it arose", AT_FAULT)


def _misused(error: Exception, command: str) -> str:
    """Say what is wrong with a call, and how it is right."""
    told = str(error).partition(" Available commands: ")[0].rstrip(".")  # it names some of them, and cuts them off
    if isinstance(error, UnknownCommandError):
        alike = difflib.get_close_matches(command.lower(), [*EXAMPLES, *MEANT], n=1)
        asked = alike and "Did you mean" not in told
        meant = f"did you mean xomezarr {MEANT.get(alike[0], alike[0])}? " if asked else ""
        return f"{told}; {meant}see xomezarr --help"
    if command not in EXAMPLES:
        return f"{told}; see xomezarr --help"
    such = f"; give it, as in {next(iter(EXAMPLES[command]))}" if isinstance(error, MissingArgumentError) else ""
    return f"{told}{such}; see xomezarr {command} --help"


MEANT: Mapping[str, str] = {
    **dict.fromkeys(("show", "open", "display", "browse"), "view"),
    **dict.fromkeys(("check", "lint", "verify"), "validate"),
    **dict.fromkeys(("describe", "inspect", "list", "ls"), "info"),
    **dict.fromkeys(("write", "import", "save"), "convert"),
    **dict.fromkeys(("downsample", "pyramid"), "scale"),
    **dict.fromkeys(("update", "migrate"), "upgrade"),
    "preview": "thumbnail",
    "example": "demo",
}
"""Commands by other names: understood in order to say the name here, and never taken."""


def _interrupted(error: KeyboardInterrupt, command: str, known: Mapping[str, Any], given: Mapping[str, Any]) -> int:
    """Say in one line what Ctrl-C leaves."""
    # where it came while a text was run as code, as dataclasses are made, "python -m" would end by the signal
    # all the same; the next text that is run makes CPython forget that
    exec("")
    # what zarr's event loop had under way ends with the process: it has nothing more to say
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    notes = getattr(error, "__notes__", ())
    left = "; ".join(notes)
    if not notes and "dst" in known:
        left = _left(command, given.get("dst", known["dst"].default), given)
    told = by_options(OmeZarrError(f"interrupted{left and '; '}{left}"), known)
    return _fail(_with_hint(told, ["resume"] if notes else []), INTERRUPTED)


def _left(command: str, dst: str | Path | None, given: Mapping[str, Any]) -> str:
    """Return what a command leaves that writes, was interrupted, and has kept nothing to go on with."""
    nothing = "nothing is kept, and the same command starts anew"
    changed = given.get("src") if dst is None and command in IN_PLACE else dst
    if changed is None:
        return nothing
    if command in FILES:
        return f"{changed} is as it was" if Path(changed).exists() else nothing
    place = None
    with suppress(OmeZarrError):  # it has not come so far as to say what is wrong with it
        place = resolve(str(changed))
    tells = f"xomezarr info {shlex.quote(str(changed))} tells"
    if dst is None or not isinstance(place, Path):
        return f"{changed} may be incomplete: {tells}"
    # what is local comes to its place when it is whole
    if not place.exists():
        return nothing
    whole = "is as it was, or as it was to be" if given.get("overwrite") else "is there, and whole if it was not before"
    return f"{changed} {whole}: {tells}"


FILES = ("export", "thumbnail")
"""Commands that write a file, which comes to its place when it is whole."""

IN_PLACE = ("scale", "upgrade")
"""Commands that change what they are given, where they are given no other place."""


def cures(faults: Iterable[BaseException]) -> list[str]:
    """Return the options that mend these faults, by the table.

    >>> cures([StoreExistsError('x exists already; give mode="w" to replace it'), StoreExistsError("x is a file")])
    ['overwrite']
    """
    found = [
        option
        for fault in faults
        for kind, says, option in CURES
        if isinstance(fault, kind) and re.search(says, str(fault))
    ]
    return list(dict.fromkeys(found))


ARGUMENT = re.compile(
    r"(?P<call>\b[\w.]+\((?:[\w.]+, )?)?"  # such as open_image(path,
    r"\b(?P<name>[a-z_]+)="
    r"(?P<value>\{[^{}]*\}|\([^()]*\)|\[[^\[\]]*\]|'[^']*'|\"[^\"]*\"|-?\d[\d.e+-]*\d|-?\d|True|False)"
    r"(?(call)\)|(?![\w(]))"
)
"""An argument in a message, with its value, as Python writes it, alone or as the last of a call."""

FLAG_OF: Mapping[tuple[str, Any], str] = {("mode", "w"): "--overwrite"}
"""Arguments whose options are called otherwise."""


def by_options(error: BaseException, known: Iterable[str]) -> str:
    """Return what an error says, with the options of a command for the arguments of Python that they stand for.

    Parameters
    ----------
    error
        Of ours, or of the system.
    known
        Names of the command's parameters.

    Examples
    --------
    >>> by_options(ChunkError("chunks=(3,) has 1 number; give chunks={'y': 32, 'x': 48}"), ["chunks"])
    '--chunks 3 has 1 number; give --chunks y=32,x=48'
    >>> by_options(AxisError("name them: open_image(path, dims='zyx')"), ["dims"])
    'name them: --dims zyx'
    >>> by_options(AxisError('say what it is: axes={"q": "space"}'), ["dims"])
    'say what it is: axes={"q": "space"}'
    """
    if isinstance(error, MultipleErrors):
        told = str(error)
        for fault in error.exceptions:
            told = told.replace(str(fault), by_options(fault, known))
        return told
    options = {*known}
    said = getattr(error, "by_command", None) or str(error)
    return ARGUMENT.sub(lambda found: _as_option(found["name"], found["value"], options) or found[0], said)


def _as_option(name: str, value: str, known: Collection[str]) -> str | None:
    """Return an argument as an option; None where the command has none such, or none of such a value."""
    try:
        meant = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return None
    if isinstance(meant, str) and (flag := FLAG_OF.get((name, meant))) is not None:
        return flag if flag.removeprefix("--") in known else None
    if name not in known or meant is False:
        return None
    option = f"--{name.replace('_', '-')}"
    if meant is True:
        return option
    if isinstance(meant, Mapping):
        words = ",".join(f"{key}={one}" for key, one in meant.items())
    else:
        words = ",".join(map(str, meant)) if isinstance(meant, list | tuple) else str(meant)
    return f"{option} {shlex.quote(words)}"


def _with_hint(told: str, options: Sequence[str]) -> str:
    """Name options behind a message, but for those that it names itself."""
    named = {*re.findall(r"--([\w-]+)", told)}
    return told + _hint([option for option in options if option.replace("_", "-") not in named])


def _hint(options: Sequence[str]) -> str:
    named = " or ".join(f"--{option.replace('_', '-')}" for option in options)
    return f" (on the command line: {named})" if named else ""


def _fail(message: str, code: int) -> int:
    """Say in one line what is wrong."""
    print(f"xomezarr: {_one_line(message)}", file=sys.stderr)
    return code


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    said = message if isinstance(message, Warning) else category(message)
    known = _MANNER.get().options
    told = _with_hint(by_options(said, known), [option for option in cures([said]) if option in known])
    print(f"xomezarr: warning: {_one_line(told)}", file=sys.stderr)


def _one_line(text: str) -> str:
    return _plain(" ".join(text.split()))


def _plain(shown: object) -> str:
    """Return what is shown, in lines, without what a terminal obeys."""
    return printable(str(shown), lines=True)


def _discard(stream: TextIO) -> None:
    """Point a stream whose reader is gone at nothing, so that Python's exit does not fail on it."""
    # a stream that is not the system's has no number
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    sys.exit(main())
