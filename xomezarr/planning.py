"""Work out what a write will do: from an array, from a tree as it stands, beside a level 0 that stays."""

from __future__ import annotations

import difflib
import inspect
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr import sidecar, spec
from xomezarr.alignment import Frame, aligned, check_names_apart
from xomezarr.channels import describe_channels
from xomezarr.checks import leads_below
from xomezarr.chunking import covering, shard_shape
from xomezarr.coords import Dimension, Irregular, coordinate, dequantify, describe, describe_coarser
from xomezarr.downsample import MethodLike, check_dtype, default_method, is_sampled
from xomezarr.errors import (
    AxisError,
    ChunkError,
    CoordinateSystemError,
    FactorError,
    LabelError,
    LayoutError,
    LevelError,
    OmeZarrError,
    OmeZarrWarning,
    ResourceError,
    ResumeError,
    StoreExistsError,
    VersionError,
    collecting,
    raise_all,
    told,
    warn,
)
from xomezarr.fields import KEPT, Kept, copied_arrays
from xomezarr.grid import Boundary, Grid
from xomezarr.holders import Held, held_at
from xomezarr.indexes import skews_of, systems_of
from xomezarr.labels import Labels, check_label_dtype, check_label_name, described, dtypes_of, label_method
from xomezarr.layout import FLAT, array_name, check_layout, layout_of, level_group, level_path
from xomezarr.model import Axis, Channel, Image, LabelImage, Level, Multiscale
from xomezarr.nested import Nest, StoredLevel, nest
from xomezarr.pixels import Pixels, of_array, of_levels, with_labels
from xomezarr.plan import COMPRESSORS, LevelPlan, Plan, Shards, final_image, readable_bytes
from xomezarr.pyramid import VARIABLE, Factors, Pyramid, design, lazy_data, plan_levels
from xomezarr.resources import Resources
from xomezarr.source import check_assumed, origins
from xomezarr.store import (
    StoreArgument,
    apart,
    below,
    check_free,
    default_name,
    exists,
    is_local,
    is_single_file,
    warn_of_others,
)
from xomezarr.tiling import Pass
from xomezarr.units import same_unit

__all__ = [
    "VERSION",
    "Target",
    "beside",
    "chosen_version",
    "describe_levels",
    "group_attrs",
    "known_options",
    "plan",
    "plan_array",
    "plan_as_it_stands",
    "plan_image",
    "plan_label_image",
    "plan_labels",
    "plan_tree",
    "rendering",
    "stored_metadata",
    "version_of",
    "written_attrs",
]


def plan(
    da: xr.DataArray,
    store: StoreArgument,
    *,
    method: MethodLike | None = None,
    factors: Factors | None = None,
    levels: int | None = None,
    boundary: Boundary = "pad",
    skipna: bool | None = None,
    version: str | None = None,
    layout: str | None = None,
    mode: str = "w-",
    chunks: Mapping[str, int] | Sequence[int] | None = None,
    shards: Shards = None,
    compressors: Any = COMPRESSORS,
    write_empty_chunks: bool | None = None,
    axes: Mapping[str, str] | None = None,
    name: str | None = None,
    labels: Mapping[str, Any] | None = None,
    irregular: Irregular = "raise",
    storage_options: Mapping[str, Any] | None = None,
    max_memory: int | str | None = None,
    workers: int | None = None,
    resume: bool = False,
) -> Plan:
    """Work out what `to_zarr` would write; nothing is computed and nothing is written.

    Parameters are those of `to_zarr`.

    Returns
    -------
    Plan
        A value that prints as a table of levels.

    Raises
    ------
    OmeZarrError
        If the array cannot be written as asked; independent faults are raised together.
    """
    return plan_array(
        da,
        store,
        version=version,
        layout=layout,
        mode=mode,
        shards=shards,
        compressors=compressors,
        write_empty_chunks=write_empty_chunks,
        name=name,
        labels=labels,
        storage_options=storage_options,
        max_memory=max_memory,
        workers=workers,
        resume=resume,
        method=method,
        factors=factors,
        levels=levels,
        boundary=boundary,
        skipna=skipna,
        chunks=chunks,
        axes=axes,
        irregular=irregular,
    )[0]


def plan_array(
    da: xr.DataArray,
    store: StoreArgument,
    *,
    name: str | None = None,
    labels: Mapping[str, Any] | None = None,
    extra: Mapping[Any, Any] | None = None,
    resume: bool = False,
    growing: tuple[str, int | None] | None = None,
    **options: Any,
) -> tuple[Plan, Pixels]:
    """Return the plan together with the pixels that it writes; `options` are those of `Target.asked` and `design`.

    `growing` is that of the plan.
    """
    faults: list[OmeZarrError] = []
    asked, options = Target.split(options)
    replaced = labels if isinstance(labels, Mapping) else ()
    target = Target.asked(faults, store, replaced=replaced, resume=resume, **asked)
    plan, pixels = plan_image(da, target, faults, name=name, labels=labels, extra=extra, **options)
    return (plan, pixels) if growing is None else (_growing(plan, *growing), pixels)


def _growing(plan: Plan, dim: str, total: int | None) -> Plan:
    """Return the plan of an image that will be appended to.

    Raises
    ------
    AxisError
        If it lacks the dimension.
    LayoutError
        If its coordinates are arrays beside each level.
    FactorError
        If room is to be made along a dimension that shrinks from level to level.
    """
    if dim not in plan.dims:
        raise AxisError(
            f"append_dim={dim!r} is no dimension of the image, which has {plan.dims}; add it: expand_dims({dim!r})"
        )
    if plan.layout != FLAT:
        raise LayoutError(
            f"layout={plan.layout!r} keeps coordinates in arrays beside each level, which do not become longer at one "
            "moment; leave layout out of an image that is appended to"
        )
    sizes = {level.grids[dim].size for level in plan.levels}
    if total is not None and len(sizes) > 1:
        raise FactorError(
            f"append_dim says that there are {total} pixels along {dim!r} in the end, which shrinks from level to "
            f"level; give the dimension alone, append_dim={dim!r}, or factors that leave it as it is"
        )
    long = {
        name: _growing(of_label, dim, total)
        for name, of_label in plan.labels.items()
        if dim in of_label.dims and of_label.levels[0].grids[dim].size == plan.levels[0].grids[dim].size
    }
    return replace(plan, labels={**plan.labels, **long}, growing=(dim, total))


def plan_image(
    da: xr.DataArray,
    target: Target,
    faults: list[OmeZarrError],
    *,
    name: str | None = None,
    labels: Mapping[str, Any] | None = None,
    extra: Mapping[Any, Any] | None = None,
    **options: Any,
) -> tuple[Plan, Pixels]:
    """Return the plan of an image, and of its labels, together with the pixels.

    Parameters
    ----------
    da
        The image.
    target
        Where and how it is to be written.
    faults
        What has been found at fault already; all is told together.
    name
        Of the image; left out, that of the array, else that of the store.
    labels
        By name: arrays, or `Labels`.
    extra
        Attributes of the image's group, beside what says how it is stored.
    **options
        Those of `design`.
    """
    target = target.laid_out(None)
    da = _named(dequantify(da), name, faults)
    given = _checked_labels(labels, faults)
    with collecting(faults):
        check_assumed(da)
    with collecting(faults):
        sidecar.check_plain(extra or {}, spec.KEYS)
    image: Image | None = None
    with collecting(faults):
        made = design(da, **options)
        pixels = of_array(da, made)
        level_plans = _level_plans(made.grids, made.chunks, target, da)
        image = _image(da, made, level_plans, _channels(da, made.dimensions), target.default_name)
        image = replace(image, multiscales=(_with_systems(image.multiscale, da, made.grids[0], target.version),))
        image = replace(image, extra=dict(extra or {}))
        passes = _passes(pixels, level_plans, target.resources)
    with collecting(faults):
        if image is None:
            sidecar.check(da)
        else:
            attributes, arrays = sidecar.dump(da, made.dimensions, image)
    planned: dict[str, tuple[Plan, Pixels]] = {}
    if image is not None and given:
        frame = Frame(da, image.multiscale.axes, made.grids, made.method.sampled)
        planned = _plan_each_label(given, frame, target, faults)
    raise_all(faults, "the array cannot be written as OME-Zarr")
    assert image is not None
    read_from = [da, *(label.image for label in given.values())]
    plan = target.plan(image, level_plans, attributes, arrays, passes, read_from, planned)
    return plan, with_labels(pixels, planned)


def known_options(options: Mapping[str, Any], call: str, faults: list[OmeZarrError]) -> dict[str, Any]:
    """Return the options of `design` among those of a call; the others are added to `faults`, each by its name."""
    known = [name for name in inspect.signature(design).parameters if name != "da"]
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, [*known, *ASKED], 1)
            told = f"give {near[0]}=, if that is meant" if near else "leave it out"
            faults.append(OmeZarrError(f"{call} has no option {name}=; {told}"))
    return {name: value for name, value in options.items() if name in known}


def plan_labels(
    labels: Labels, name: str, frame: Frame, target: Target, *, chunks: Mapping[str, int] | Sequence[int] | None = None
) -> tuple[Plan, Pixels]:
    """Return the plan of labels, whose levels lie on those of an image, together with the pixels.

    Parameters
    ----------
    labels
        The labels, and what is known of them.
    name
        What they are called.
    frame
        The image.
    target
        Where and how they are to be written: the store is their own group.
    chunks
        As in `to_zarr`.
    """
    faults: list[OmeZarrError] = []
    target = target.laid_out(None)
    label: LabelImage | None = None
    with collecting(faults):
        label = described(labels)
    image: Image | None = None
    with collecting(faults):
        da, made, grids = aligned(labels.image, name, frame, method=labels.method, chunks=chunks)
        pixels = of_array(as_integers(da), made)
        level_plans = _level_plans(grids, made.chunks, target, pixels.levels[0])
        passes = _passes(pixels, level_plans, target.resources)
        image = _image(da, made, level_plans, None, name)
        multiscale = _with_systems(image.multiscale, da, grids[0], target.version)
        image = replace(image, multiscales=(multiscale,), label=label)
    with collecting(faults):
        if image is None:
            sidecar.check(labels.image)
        else:
            coarser = [
                # where the labels lie elsewhere than the image by its metadata, their own say it
                {name: held for name, held in level.items() if own[name] == of_image[name]}
                for level, own, of_image in zip(
                    _not_derived(frame.coarser, made.dimensions, grids[1:], sampled=frame.sampled),
                    grids[1:],
                    frame.grids[1:],
                    strict=False,
                )
            ]
            attributes, arrays = sidecar.dump(da, made.dimensions, image, coarser)
            if (kept := dtypes_of(labels.properties)) is not None:
                attributes[sidecar.PROPERTIES] = kept
    raise_all(faults, f"the labels {name!r} cannot be written")
    assert image is not None
    plan = target.plan(image, level_plans, attributes, arrays, passes, [labels.image])
    return replace(plan, colormap=labels.colormap), pixels


def plan_label_image(
    da: xr.DataArray,
    label: LabelImage,
    store: StoreArgument,
    *,
    name: str | None = None,
    properties: Any = None,
    method: MethodLike | None = None,
    chunks: Mapping[str, int] | Sequence[int] | None = None,
    resume: bool = False,
    **options: Any,
) -> tuple[Plan, Pixels]:
    """Return the plan of labels in a store of their own, together with the pixels.

    Parameters
    ----------
    da
        The labels.
    label
        What is known of them.
    store
        Where they are to be written.
    name
        Of the labels; left out, that of the array, else that of the store.
    properties
        What their attribute of xomezarr holds of the properties.
    method
        One that keeps values; left out, ``"mode"``.
    chunks, resume, **options
        Those of `Target.asked` and `design`.
    """
    faults: list[OmeZarrError] = []
    asked, options = Target.split(options)
    target = Target.asked(faults, store, replaced=(), resume=resume, **asked)
    da = _named(dequantify(da), name, faults)
    made: Pyramid | None = None
    with collecting(faults):
        made = design(da, method=label_method(method, da.dtype), chunks=chunks, **options)
    raise_all(faults, "the labels cannot be written")
    assert made is not None
    # they lie on the pixels of the pyramid that they are themselves
    frame = Frame(da, tuple(dimension.axis for dimension in made.dimensions), made.grids, made.method.sampled)
    own = target.default_name if da.name is None else str(da.name)
    plan, pixels = plan_labels(Labels(da, method=made.method), own, frame, target, chunks=chunks)
    plan = replace(plan, image=_of_no_image(plan.image, label))
    if properties is not None:
        plan = replace(plan, attributes={sidecar.KEY: {**plan.attributes[sidecar.KEY], sidecar.PROPERTIES: properties}})
    return plan, pixels


def _of_no_image(image: Image, label: LabelImage) -> Image:
    """Return labels that are written by themselves: the image that they were made for is not beside them any more."""
    return replace(image, label=replace(label, source=None, source_extra={}))


def as_integers(labels: xr.DataArray) -> xr.DataArray:
    """Return labels as OME-Zarr holds them: masks become 0 and 1, lazily; integers stay as they are."""
    if labels.dtype.kind != "b":
        return labels
    return labels.copy(data=lazy_data(labels).astype(np.uint8))


def _checked_labels(asked: Any, faults: list[OmeZarrError]) -> dict[str, Labels]:
    """Return the labels that an image is to have; what is wrong with them themselves is added to `faults`."""
    if asked is not None and not isinstance(asked, Mapping):
        faults.append(
            LabelError(f"labels is a {type(asked).__name__}; give labels by name: labels={{'nuclei': array}}")
        )
        return {}
    given: dict[str, Labels] = {}
    for name, array in (asked or {}).items():
        with collecting(faults):
            check_label_name(name, given)
            labels = Labels.of(array, name)
            with collecting(faults):
                check_label_dtype(labels.image.dtype, name)
            with collecting(faults):
                described(labels)
            given[name] = labels
    return given


def _plan_each_label(
    given: Mapping[str, Labels], frame: Frame, target: Target, faults: list[OmeZarrError]
) -> dict[str, tuple[Plan, Pixels]]:
    planned = {}
    for name, labels in given.items():
        with collecting(faults):
            check_names_apart(name, frame)
            planned[name] = plan_labels(labels, name, frame, target.of_labels(name))
    return planned


def plan_tree(
    tree: xr.DataTree,
    levels: Sequence[xr.DataArray],
    store: StoreArgument,
    *,
    labels: Mapping[str, tuple[xr.DataTree, Sequence[xr.DataArray]]] | None = None,
    version: str | None = None,
    chunks: Mapping[str, int] | Sequence[int] | None = None,
    axes: Mapping[str, str] | None = None,
    name: str | None = None,
    irregular: Irregular = "raise",
    resume: bool = False,
    **asked: Any,
) -> tuple[Plan, Pixels]:
    """Work out how to write a tree's levels as they stand, and those of its labels.

    Parameters
    ----------
    tree
        Its attributes give the metadata of other tools, which are kept.
    levels
        Its levels, finest first; the grids are read off their coordinates, and tied to that of level 0.
    labels
        By name: the trees of its labels, and their levels.
    store, version, chunks, axes, name, irregular, resume
        As in `to_zarr`; `version` left out is the one that the tree was read from, as `chosen_version` says.
    **asked
        Those of `Target.asked`.

    Returns
    -------
    plan : Plan
    pixels : Pixels
    """
    known = stored_metadata(tree)
    version = chosen_version(store, version, known.version if known else None)
    faults: list[OmeZarrError] = []
    target = Target.asked(faults, store, version=version, replaced=labels or (), resume=resume, **asked)
    options: dict[str, Any] = {"chunks": chunks, "axes": axes, "irregular": irregular}
    return plan_as_it_stands(tree, levels, target, faults, labels=labels, name=name, **options)


def plan_as_it_stands(
    tree: xr.DataTree,
    levels: Sequence[xr.DataArray],
    target: Target,
    faults: list[OmeZarrError],
    *,
    labels: Mapping[str, tuple[xr.DataTree, Sequence[xr.DataArray]]] | None = None,
    name: str | None = None,
    chunks: Mapping[str, int] | Sequence[int] | None = None,
    axes: Mapping[str, str] | None = None,
    irregular: Irregular = "raise",
) -> tuple[Plan, Pixels]:
    """Return the plan of an image whose levels are there, and of its labels, together with the pixels.

    Parameters
    ----------
    target
        Where and how it is to be written.
    faults
        What has been found at fault already; all is told together.
    tree, levels, labels, name, chunks, axes, irregular
        As in `plan_tree`.
    """
    options: dict[str, Any] = {"chunks": chunks, "axes": axes, "irregular": irregular}
    planned = {}
    for label, (node, own) in (labels or {}).items():
        with collecting(faults):
            if not leads_below(label):  # what was read has the names that it has
                check_label_name(label)
            planned[label] = _plan_tree(node, own, target.of_labels(label), [], label, **options)
    of_labels = [level for _, own in (labels or {}).values() for level in own]
    plan, pixels = _plan_tree(tree, levels, target, faults, name, of_labels, **options)
    if plan.image.label is not None:
        plan = replace(plan, image=_of_no_image(plan.image, plan.image.label))
    listing: dict[str, Any] = {}
    if labels:
        with collecting(faults):
            listing = spec.others(written_attrs(tree.children["labels"]), "labels")
    raise_all(faults, "the tree cannot be written as OME-Zarr")
    plans = {label: of_label for label, (of_label, _) in planned.items()}
    return replace(plan, labels=plans, listing=listing), with_labels(pixels, planned)


def _plan_tree(
    tree: xr.DataTree,
    levels: Sequence[xr.DataArray],
    target: Target,
    faults: list[OmeZarrError],
    name: str | None,
    of_labels: Sequence[xr.DataArray] = (),
    *,
    chunks: Mapping[str, int] | Sequence[int] | None,
    axes: Mapping[str, str] | None,
    irregular: Irregular,
) -> tuple[Plan, Pixels]:
    """Work out how to write the levels of an image, or of labels; `of_labels` are those of an image's labels.

    Other parameters are those of `plan_tree`.
    """
    known = stored_metadata(tree)
    target = target.laid_out(known)
    label = known.label if known is not None else None
    extra = known.extra if known is not None else spec.others(group_attrs(tree))
    levels = [dequantify(level) for level in levels]
    with collecting(faults):
        check_assumed(*levels)
    with collecting(faults):
        if known is None:
            sidecar.check_plain({key: value for key, value in extra.items() if key != "ome"}, spec.KEYS)
        else:
            written_attrs(tree)
    base = _named(levels[0], name, faults)
    if label is not None:  # what is asked of the image's dimensions counts where the labels have them
        axes = axes and {dim: kind for dim, kind in axes.items() if dim in base.dims}
        chunks = {dim: n for dim, n in chunks.items() if dim in base.dims} if isinstance(chunks, Mapping) else None
    with collecting(faults):
        if label is None:
            check_dtype(base.dtype, default_method(base.dtype))
        else:
            check_label_dtype(base.dtype, name or str(base.name or ""))
    first = known.multiscale if known else None
    remembered: str | None = tree.encoding.get("method")
    described = describe_levels(levels, first, first.type if first else remembered, axes, irregular, faults)
    faults += _tree_faults(levels, described)
    raise_all(faults, "the tree cannot be written as OME-Zarr")
    dims = tuple(dimension.name for dimension in described[0])
    grids = [{dimension.name: dimension.grid for dimension in dimensions} for dimensions in described]
    chosen = _tree_chunks(base, described[0], grids, chunks)
    pixels = of_levels([as_integers(level) for level in levels] if label is not None else levels, dims)
    level_plans = _level_plans(grids, chosen, target, pixels.levels[0])
    passes = _passes(pixels, level_plans, target.resources)
    found_axes = _axes(described[0], first)
    first = first and spec.arranged(first, dims)
    with collecting(faults):
        _check_systems(found_axes, first, target.version)
    copied: Kept | None = None
    with collecting(faults):
        paths = spec.stored_paths(first) if first else ()
        taken = [*(plan.path for plan in level_plans), "labels", sidecar.KEY]
        copied = copied_arrays(paths, tree.encoding.get(KEPT), taken, first.name if first else None)
        target.check_not_read_from(kept=copied)
    multiscale = Multiscale(
        str(base.name)
        if base.name is not None and not is_token(base)
        # what is a part of something else is called by where it is now
        else (first.name if first and first.name and not target.path else target.default_name),
        found_axes,
        _levels(level_plans, first),
        first.type if first else remembered,
        first.metadata if first else tree.encoding.get("metadata"),
        first.extra if first else {},
        systems=first.systems if first else None,
    )
    with collecting(faults):
        multiscale = _with_systems(multiscale, base, grids[0], target.version)
    channels = _keep_rendering(_channels(base, described[0]) if label is None else None, known)
    image = Image((multiscale,), channels, None, known.omero if known else {}, extra, label)
    with collecting(faults):
        coarser = _not_derived(levels[1:], described[0], grids[1:], sampled=is_sampled(multiscale.type))
        attributes, arrays = sidecar.dump(base, described[0], image, coarser)
        if (kept := tree.encoding.get(sidecar.PROPERTIES)) is not None:
            attributes[sidecar.PROPERTIES] = kept
    raise_all(faults, "the tree cannot be written as OME-Zarr")
    made = target.plan(image, level_plans, attributes, arrays, passes, [*levels, *of_labels])
    return replace(made, copied=copied), pixels


@dataclass(frozen=True, slots=True)
class Target:
    """Where and how an image is to be written: all that is known before the image is looked at.

    Parameters
    ----------
    store, version, mode, compressors, storage_options, write_empty_chunks
        Those of the plan.
    shards
        As in `to_zarr`.
    resources
        What the write may use.
    inside
        Whether it becomes a part of what is written with it, whose place has been looked at.
    path
        Of the image in what it is a part of, after which it is called if it has no name of its own; empty where the
        store is the image's own.
    layout
        Where the arrays of levels lie, a key of `layout.LAYOUTS`; None for where they were read from.
    variable
        What the array of a level is called in a group of its own.
    held
        What lists an image at that place; None where nothing does.
    resume
        Whether an interrupted write is gone on with.
    """

    store: StoreArgument
    version: str
    mode: str
    shards: Shards
    compressors: Any
    storage_options: Mapping[str, Any] | None
    write_empty_chunks: bool
    resources: Resources
    inside: bool = False
    path: str = ""
    layout: str | None = None
    variable: str = VARIABLE
    held: Held | None = None
    resume: bool = False

    @classmethod
    def asked(
        cls,
        faults: list[OmeZarrError],
        store: StoreArgument,
        *,
        version: str | None = None,
        layout: str | None = None,
        mode: str = "w-",
        shards: Shards = None,
        compressors: Any = COMPRESSORS,
        write_empty_chunks: bool | None = None,
        storage_options: Mapping[str, Any] | None = None,
        max_memory: int | str | None = None,
        workers: int | None = None,
        resume: bool = False,
        replaced: Collection[str] | None = None,
        like: str | None = None,
        joins: bool = False,
    ) -> Target:
        """Check what the user asks for; what is wrong with it is added to `faults`, so that all is told together.

        `replaced` names the labels that are written with an image; of other labels and images that are lost the user
        is told, unless what is written takes the place of its `like`, as in `store.warn_of_others`. None where nobody
        is told: labels have none.
        """
        resources, empty, laid_out, held = Resources(), True, None, None
        with collecting(faults):
            held = None if joins else held_at(store)
        version = chosen_version(store, version or (held.version if held is not None else None))
        with collecting(faults):
            spec.check_written(version)
            check_single_file(store, version)
            if shards is None and is_single_file(store):
                shards = "auto"
        with collecting(faults):
            laid_out = check_layout(layout)
        with collecting(faults):
            check_resume(resume)
            check_free(store, mode=mode, storage_options=storage_options, resume=resume)
            if mode == "w" and replaced is not None:
                warn_of_others(store, storage_options, but=replaced, like=like)
            if held is not None:
                held.check_version(version)
        with collecting(faults):
            resources = Resources.asked(max_memory, workers)
        with collecting(faults):
            empty = _writes_empty_chunks(write_empty_chunks, version)
        own = cls(store, version, mode, shards, compressors, storage_options, empty, resources)
        return replace(own, layout=laid_out, held=held, resume=bool(resume))

    @staticmethod
    def split(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Part the options of a write into those of `asked`, and all others."""
        own = {key: value for key, value in options.items() if key in ASKED}
        return own, {key: value for key, value in options.items() if key not in ASKED}

    def within(self, path: str) -> Target:
        """Return the target of what is written below this one, and together with it."""
        return replace(self, store=below(self.store, path), inside=True, path=path)

    def of_labels(self, name: str) -> Target:
        """Return the target of labels of the image; shards that are said by its dimensions are not those of theirs."""
        sharded = self.shards is not None and spec.zarr_format(self.version) > 2
        return replace(self.within(f"labels/{name}").called(name), shards="auto" if sharded else None)

    def called(self, labels: str) -> Target:
        """Return the target with the arrays of levels, in groups of their own, called as labels are in trees."""
        return replace(self, variable=labels.rpartition("/")[2])

    def laid_out(self, known: Image | None) -> Target:
        """Return the target with the layout that an image has in its store, where nobody asks for another."""
        if self.layout is not None:
            return self
        paths = [] if known is None else [level.path for level in known.multiscale.levels]
        return replace(self, layout=layout_of(paths))

    def level_path(self, level: int, da: xr.DataArray) -> str:
        """Return the path of the array of a level, in a group of its own beside coordinates that have other names."""
        taken = self.variable in (*da.coords, *da.dims)
        return level_path(self.layout or FLAT, level, VARIABLE if taken else self.variable)

    @property
    def default_name(self) -> str:
        """What an image is called that has no name of its own."""
        return self.path or default_name(self.store)

    def check_not_read_from(self, *levels: xr.DataArray, kept: Kept | None = None) -> None:
        """Refuse to replace a store that pixels, or arrays that are copied, may still have to be read from.

        A local store is built beside the old one, which can be read until the new one is whole. Elsewhere the old
        one goes first.
        """
        if self.inside or self.mode != "w" or is_local(self.store):
            return
        places = [place for level in levels for place in origins(level)]
        if kept is not None and kept.paths:
            places.append(kept.group.store_path)
        if all(apart(self.store, place, self.storage_options) for place in places):
            return
        if exists(self.store, storage_options=self.storage_options):
            raise StoreExistsError(
                f"{self.store} is replaced before the {'pixels' if kept is None else 'arrays of transformations'} are "
                "read, and they may come from there; write to another place"
                f"{', or read them first: load()' if kept is None else ''}"
            )

    def plan(
        self,
        image: Image,
        levels: tuple[LevelPlan, ...],
        kept: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        passes: tuple[Pass, ...],
        read_from: Iterable[xr.DataArray],
        labels: Mapping[str, tuple[Plan, Pixels]] | None = None,
    ) -> Plan:
        """Return the plan, once the specification's judges have looked at its metadata.

        Parameters
        ----------
        kept
            What the OME metadata cannot say.
        read_from
            All that is read where the plan is written, labels included.
        labels
            What has been planned of its labels, by name.

        Raises
        ------
        StoreExistsError
            If the store is replaced and may be what is read, as `check_not_read_from` says.
        LayoutError
            If the layout has no place for something.
        AxisError
            If it is an image of a scene, which says something of other axes.
        """
        self.check_not_read_from(*read_from)
        layout, nested = self.layout or FLAT, Nest()
        if layout != FLAT:
            stored = [StoredLevel(one.path, one.shape, tuple(one.chunks.values()), one.dtype) for one in levels]
            nested, kept, arrays = nest(image, stored, kept, arrays, spec.zarr_format(self.version))
        result = Plan(
            self.store,
            self.mode,
            self.version,
            image,
            levels,
            {sidecar.KEY: kept},
            arrays,
            self.compressors,
            dict(self.storage_options) if self.storage_options else None,
            passes,
            self.write_empty_chunks,
            {name: plan for name, (plan, _) in (labels or {}).items()},
            layout=layout,
            nest=nested,
            resume=self.resume,
            listed=self.held is not None,
        )
        attributes = spec.dump(final_image(result), self.version)
        spec.check(attributes, self.version)
        if self.held is not None:
            self.held.check_image(spec.parse(attributes))
        return result


ASKED = frozenset(inspect.signature(Target.asked).parameters) - {"faults", "store", "replaced", "like", "resume"}
"""Options of a write that do not depend on the image, and that all writes have."""


def check_resume(asked: bool) -> None:
    """Refuse what is neither True nor False."""
    if not isinstance(asked, bool | np.bool_):
        raise ResumeError(f"resume={asked!r} is neither True nor False; give resume=True to go on with a write")


def _writes_empty_chunks(asked: bool | None, version: str) -> bool:
    """Return whether chunks of zeros are written: always in Zarr v2, whose arrays here have no fill value."""
    if asked is not None and not isinstance(asked, bool | np.bool_):
        raise ChunkError(f"write_empty_chunks={asked!r} is neither True nor False; leave it out to choose by version")
    if version not in spec.VERSIONS or spec.zarr_format(version) == 3:
        return bool(asked)
    if asked is not None and not asked:
        raise ChunkError(
            f"write_empty_chunks=False leaves out chunks that arrays of OME-Zarr {version} cannot do without: they "
            'have no fill value, as readers would take it for missing pixels; give version="0.5", or leave it out'
        )
    return True


def _level_plans(
    grids: Sequence[Mapping[str, Grid]],
    chunks: Mapping[str, int],
    target: Target,
    da: xr.DataArray,
) -> tuple[LevelPlan, ...]:
    """Cut the chunks and shards to the levels; shards are in the order of the array's dimensions."""
    shards, version, dtype, order = target.shards, target.version, da.dtype, tuple(map(str, da.dims))
    sizes = [{dim: grid.size for dim, grid in level.items()} for level in grids]
    chosen = None
    if shards is not None:
        if version in spec.VERSIONS and spec.zarr_format(version) == 2:
            raise ChunkError(
                f"shards={shards!r} need Zarr v3, and OME-Zarr {version} is v2; leave shards out, or write images with "
                'version="0.5": labels have the version of their image'
            )
        chosen = shard_shape(shards, order, chunks, sizes[0], dtype.itemsize)
    plans = []
    for number, (level, of_level) in enumerate(zip(grids, sizes, strict=True)):
        cut = {dim: min(chunks[dim], size) for dim, size in of_level.items()}
        shard = None
        if chosen is not None:
            shard = {dim: min(chosen[dim], covering(size, cut[dim])) for dim, size in of_level.items()}
            # where a level is smaller than a chunk, so is its chunk
            shard = {dim: shard[dim] if cut[dim] == chunks[dim] else cut[dim] for dim in shard}
        path = target.level_path(number, da)
        plans.append(LevelPlan(path, level, cut, dtype, shard if shard != cut else None))
    return tuple(plans)


def _passes(pixels: Pixels, plans: Sequence[LevelPlan], resources: Resources) -> tuple[Pass, ...]:
    """Choose the tiles.

    Raises
    ------
    ResourceError
        If even the smallest need more memory than is allowed.
    """
    passes = pixels.passes(
        [level.shape for level in plans],
        [tuple(level.chunks.values()) for level in plans],
        [level.unit for level in plans],
        workers=resources.workers,
        max_memory=resources.max_memory,
    )
    memory = max(walk.memory for walk in passes)
    if memory > resources.max_memory:
        raise ResourceError(
            f"the write would take {readable_bytes(memory)}, and max_memory is "
            f'{readable_bytes(resources.max_memory)}; give max_memory="{-(-memory // 2**20)} MiB", '
            f"or smaller chunks than {tuple(plans[0].unit)}"
        )
    return passes


def beside(plan: Plan, path: str, taken: Collection[str], known: Image | None) -> Plan:
    """Return the plan of an image whose level 0 is in its group already.

    Parameters
    ----------
    plan
        The image as it would be written anew.
    path
        Of level 0 in the group.
    taken
        Paths in the group, and in that of long coordinates, at which something is.
    known
        What the group says of the image; what the plan does not say is kept of it.

    Returns
    -------
    Plan
        With the other levels and the coordinates under paths at which nothing is; those of level 0 in its own group,
        as the layout "xarray" has them, stay as they are.

    Raises
    ------
    AxisError
        If the image has other coordinate systems, to which nothing leads from these axes.
    """
    numbers = _free("", len(plan.levels) - 1, taken)
    paths = [path, *(level_path(plan.layout, number, array_name(path)) for number in numbers)]
    groups = {level_group(old.path): level_group(new) for old, new in zip(plan.levels, paths, strict=True)}
    moved = dict(zip(plan.arrays, _free(f"{sidecar.KEY}/", len(plan.arrays), taken), strict=True))
    multiscale = plan.image.multiscale
    levels = [replace(level, path=path) for level, path in zip(multiscale.levels, paths, strict=True)]
    image = replace(plan.image, multiscales=(replace(multiscale, levels=tuple(levels)),))
    if known is not None:
        first = known.multiscale
        _check_systems(multiscale.axes, first, spec.written_as(known.version))
        levels[0] = replace(levels[0], extra=first.levels[0].extra)
        merged = replace(
            image.multiscale,
            axes=_known_keys(multiscale.axes, first),
            levels=tuple(levels),
            extra=first.extra,
            systems=first.systems,
        )
        # channels that no axis counts are those of a single one
        channels = known.channels if image.channels is None else _keep_rendering(image.channels, known)
        extra = {**image.extra, **known.extra}
        image = Image((merged, *known.multiscales[1:]), channels, None, known.omero, extra, known.label)
    kept = plan.attributes[sidecar.KEY]
    coords = {name: entry | _moved_array(entry, moved, groups) for name, entry in kept["coords"].items()}
    return replace(
        plan,
        image=image,
        levels=tuple(replace(level, path=path) for level, path in zip(plan.levels, paths, strict=True)),
        passes=tuple(replace(walk, writes=tuple(level for level in walk.writes if level)) for walk in plan.passes),
        attributes={**plan.attributes, sidecar.KEY: {**kept, "coords": coords}},
        arrays={moved[old]: values for old, values in plan.arrays.items()},
        nest=plan.nest.moved({old: groups[old] for old in [*groups][1:]} if plan.layout != FLAT else {}),
    )


def _moved_array(entry: Mapping[str, Any], moved: Mapping[str, str], groups: Mapping[str, str]) -> dict[str, str]:
    """Say where the array of a long coordinate lies when arrays, and groups of levels, have moved."""
    path = entry.get("array")
    if path is None:
        return {}
    return {"array": moved.get(path) or f"{groups[level_group(path)]}/{array_name(path)}"}


def _free(prefix: str, count: int, taken: Collection[str]) -> list[str]:
    """Return consecutive numbered paths at which nothing is; levels are numbered from 1, as 0 is there.

    >>> _free("", 2, {"0", "1", "2"}), _free("", 2, {"0", "3"})
    (['3', '4'], ['1', '2'])
    """
    numbers = (
        [f"{prefix}{number}" for number in range(first, first + count)] for first in itertools.count(0 if prefix else 1)
    )
    return next(paths for paths in numbers if not set(paths) & set(taken))


def chosen_version(store: StoreArgument, asked: str | None, known: str | None = None) -> str:
    """Return the version that a store is written in.

    Parameters
    ----------
    store
        Where it is written: a single file has a version of Zarr v3.
    asked
        The version that the user asks for, which counts.
    known
        The version that it was read from.

    Examples
    --------
    >>> chosen_version("cells.ome.zarr", None), chosen_version("cells.ozx", None), chosen_version("cells.ozx", "0.6")
    ('0.4', '0.5', '0.6')
    """
    if asked is not None:
        return asked
    version = spec.written_as(known)
    return spec.of_format(3)[0] if is_single_file(store) and spec.zarr_format(version) != 3 else version


def check_single_file(store: StoreArgument, version: str) -> None:
    """Make sure that a single file has a version of Zarr v3.

    Raises
    ------
    VersionError
        If it has another.
    """
    if is_single_file(store) and spec.zarr_format(version) != 3:
        able = spec.of_format(3)
        raise VersionError(
            f"{store} is a single file, which holds Zarr v3, and OME-Zarr {version} is v2; "
            f"give version={able[0]!r}, or leave it out"
        )


def rendering(da: xr.DataArray, known: Image | None) -> tuple[Channel, ...]:
    """Return the channels of a level: what its coordinates say, else what the store said of the same channel."""
    return _keep_rendering(describe_channels(da), known) or ()


VERSION = "version"
"""Where the encoding of a tree names the version that it was read from, if its attributes are of another."""


def version_of(tree: xr.DataTree) -> str | None:
    """Return the version of OME-Zarr that a tree was read from; None for a tree that was not."""
    return tree.encoding.get(VERSION) or spec.detect(group_attrs(tree))


def stored_metadata(tree: xr.DataTree) -> Image | None:
    """Return what the store that a tree was read from says of the image; None for a tree that was not."""
    attrs = group_attrs(tree)
    return spec.parse(attrs) if spec.is_image(attrs) else None


def group_attrs(tree: xr.DataTree) -> dict[str, Any]:
    """Return the attributes of the image's group."""
    return {str(key): value for key, value in tree.attrs.items()}


def written_attrs(tree: xr.DataTree) -> dict[str, Any]:
    """Return the attributes of a group that is written.

    Raises
    ------
    AttributeEncodingError
        If JSON cannot hold them.
    """
    sidecar.check_plain(tree.attrs, (), where=f"tree[{tree.path!r}].attrs")
    return group_attrs(tree)


def _named(da: xr.DataArray, name: str | None, faults: list[OmeZarrError]) -> xr.DataArray:
    """Return the array under the name that was asked for."""
    if name is None:
        return da
    if not isinstance(name, str) or not name:
        faults.append(OmeZarrError(f'name={name!r} is no name; give the image one, such as name="cells"'))
        return da
    return da.rename(name)


def describe_levels(
    levels: Sequence[xr.DataArray],
    known: Multiscale | None,
    method: str | None,
    axes: Mapping[str, str] | None,
    irregular: Irregular,
    faults: list[OmeZarrError],
    doing: str = "the tree cannot be written as OME-Zarr",
) -> list[tuple[Dimension, ...]]:
    """Describe all levels, the coarser ones by what level 0 is.

    Parameters
    ----------
    levels
        Finest first.
    known
        What their store said of them.
    method
        By which they were made.
    axes, irregular
        As in `coords.describe`.
    faults
        What has been found at fault already; all is raised together.
    doing
        What could not be done, for the first line of the message.
    """
    described: list[tuple[Dimension, ...]] = []
    of_level: list[OmeZarrError]
    for index, level in enumerate(levels):
        of_level = []
        with collecting(of_level):
            if index == 0:
                described.append(describe(level, axes=axes, irregular=irregular))
            elif set(level.dims) != set(levels[0].dims):
                raise AxisError(
                    f"its dimensions are {level.dims}, and those of level 0 {levels[0].dims}; "
                    "give each the same, with isel(…) or expand_dims(…)"
                )
            elif not described:  # what can be told without level 0
                describe(level, axes=axes, irregular=irregular)
            else:
                hints = {}
                if known is not None and index < len(known.levels):
                    sizes = {dim: level.sizes[dim] for dim in known.dims if dim in level.dims}
                    if len(sizes) == len(known.dims):
                        hints = known.levels[index].grid(sizes)
                described.append(
                    describe_coarser(level, described[0], sampled=is_sampled(method), hints=hints, irregular=irregular)
                )
        faults.extend(type(fault)(f"level {index}: {fault}") for fault in of_level)
    raise_all(faults, doing)
    return described


def _not_derived(
    coarser: Sequence[xr.DataArray],
    dimensions: Sequence[Dimension],
    grids: Sequence[Mapping[str, Grid]],
    *,
    sampled: bool,
) -> list[dict[str, xr.Variable]]:
    """Return the coordinates of coarser levels that their grids do not give bit for bit, as those of cropped ones."""
    found: list[dict[str, xr.Variable]] = []
    for level, grid in zip(coarser, grids, strict=False):
        made = {one.name: coordinate(one, grid[one.name], sampled=sampled) for one in dimensions if one.kind != "label"}
        own = {name: level.coords[name].variable for name in made if name in level.coords}
        found.append(
            {
                name: held
                for name, held in own.items()
                if (known := made[name]) is not None and not np.array_equal(held.values, known.values)
            }
        )
    return found


def _tree_chunks(
    base: xr.DataArray,
    dimensions: tuple[Dimension, ...],
    grids: Sequence[Mapping[str, Grid]],
    chunks: Mapping[str, int] | Sequence[int] | None,
) -> Mapping[str, int]:
    """Choose the chunks that the array would have, written with the factors that the levels show."""
    row = default_method(base.dtype)
    scales = [{dim: grid.scale for dim, grid in level.items()} for level in grids]
    try:
        by_rule = plan_levels(base, dimensions, row, None, len(grids), "pad", None, chunks)
    except FactorError:  # the rule makes fewer levels
        by_rule = None
    if by_rule is not None and [{dim: grid.scale for dim, grid in made.items()} for made in by_rule.grids] == scales:
        return by_rule.chunks
    named = {dimension.name for dimension in dimensions if dimension.kind == "label"}
    shrinking = {dim: 2 for dim, grid in grids[0].items() if grids[-1][dim].size < grid.size and dim not in named}
    factors, count = (shrinking, 2) if shrinking else (None, 1)
    return plan_levels(base, dimensions, row, factors, count, "pad", None, chunks).chunks


def _tree_faults(levels: Sequence[xr.DataArray], described: Sequence[tuple[Dimension, ...]]) -> list[OmeZarrError]:
    """Levels of one image have the same dtype, and grow coarser."""
    faults: list[OmeZarrError] = []
    for index in range(1, len(levels)):
        if levels[index].dtype != levels[0].dtype:
            faults.append(
                LevelError(
                    f"level {index} is of dtype {levels[index].dtype}, and level 0 of {levels[0].dtype}; "
                    "make them the same with map_over_datasets(lambda ds: ds.astype(…))"
                )
            )
        for coarse, fine in zip(described[index], described[index - 1], strict=True):
            if coarse.grid.size > fine.grid.size:
                faults.append(
                    LevelError(
                        f"level {index} has {coarse.grid.size} pixels along {coarse.name!r}, more than the "
                        f"{fine.grid.size} of level {index - 1}; order the levels from fine to coarse"
                    )
                )
            if coarse.axis.unit != fine.axis.unit and coarse.coordinate is not None and fine.coordinate is not None:
                faults.append(
                    LevelError(
                        f"level {index} has the unit {coarse.axis.unit!r} along {coarse.name!r}, and level {index - 1} "
                        f"{fine.axis.unit!r}; convert both: to_units({{{coarse.name!r}: …}})"
                    )
                )
    return faults


def _channels(da: xr.DataArray, dimensions: Sequence[Dimension]) -> tuple[Channel, ...] | None:
    dim = next((dimension.name for dimension in dimensions if dimension.axis.type == "channel"), None)
    return None if dim is None else describe_channels(da, dim)


def _keep_rendering(channels: tuple[Channel, ...] | None, known: Image | None) -> tuple[Channel, ...] | None:
    """Take over what the store said of channels and the coordinates do not."""
    if channels is None or known is None or not known.channels:
        return channels
    return tuple(
        channel if stored is None else _completed(channel, stored)
        for channel, stored in zip(channels, _counterparts(channels, known.channels), strict=True)
    )


def _counterparts(channels: Sequence[Channel], stored: Sequence[Channel]) -> list[Channel | None]:
    """Return for each channel the one of the store that it is, None where that cannot be told.

    Where names and their order are those of the store, it is the one at the same place; else the one of the same name,
    if no other has that, neither here nor there: a stain that is imaged twice is two channels.
    """
    labels = [channel.label for channel in channels]
    names = [channel.label for channel in stored]
    if len(labels) == len(names) and all(label in (None, name) for label, name in zip(labels, names, strict=True)):
        return list(stored)
    by_name = {name: channel for name, channel in zip(names, stored, strict=True) if names.count(name) == 1}
    return [by_name.get(label) if label and labels.count(label) == 1 else None for label in labels]


def _completed(channel: Channel, stored: Channel) -> Channel:
    """Fill in what a channel does not say from what the store said of it."""
    window = channel.window or stored.window
    if window is not None and stored.window is not None:
        window = replace(window, extra={**stored.window.extra, **window.extra})
    return Channel(
        channel.label or stored.label,
        channel.color or stored.color,
        window,
        stored.active if channel.active is None else channel.active,
        {**stored.extra, **channel.extra},
    )


def _image(
    da: xr.DataArray,
    made: Pyramid,
    level_plans: Sequence[LevelPlan],
    channels: tuple[Channel, ...] | None,
    name: str,
) -> Image:
    multiscale = Multiscale(
        name if da.name is None or is_token(da) else str(da.name),
        tuple(dimension.axis for dimension in made.dimensions),
        _levels(level_plans, None),
        made.method.name,
        made.method_metadata,
    )
    return Image((multiscale,), channels)


def is_token(da: xr.DataArray) -> bool:
    """Whether an array has its name from dask: xarray gives it that of a task to those that are made without one."""
    return hasattr(da.variable._data, "dask") and da.name == getattr(da.variable._data, "name", None)


def _axes(dimensions: Sequence[Dimension], known: Multiscale | None) -> tuple[Axis, ...]:
    """Return the axes, with the unknown keys that the store had for axes of the same name.

    Where a dimension has no coordinate to tell its orientation, that of the store stays.
    """
    before = {axis.name: axis.orientation for axis in known.axes} if known else {}
    axes = [
        replace(dimension.axis, orientation=before.get(dimension.name))
        if dimension.coordinate is None
        else dimension.axis
        for dimension in dimensions
    ]
    return _known_keys(axes, known)


def _with_systems(multiscale: Multiscale, da: xr.DataArray, grids: Mapping[str, Grid], version: str) -> Multiscale:
    """Add the coordinate systems in which an array lies askew.

    Raises
    ------
    CoordinateSystemError
        If `version` has no place for them, or they cannot be said.
    """
    for system, matrix in systems_of(da, multiscale.axes, grids):
        if not spec.since(version, "0.6"):
            coordinates = [name for skew in skews_of(da) for name in skew.names.values()]
            raise CoordinateSystemError(
                f"the array lies askew in the coordinate system {system.name!r}, and OME-Zarr {version} has a place "
                f'for scales and translations alone; give version="0.6", or leave its coordinates out: '
                f"drop_vars({coordinates})"
            )
        multiscale = spec.with_system(multiscale, system, matrix)
    return multiscale


def _check_systems(axes: Sequence[Axis], known: Multiscale | None, version: str) -> None:
    """Make sure that what leads to other coordinate systems still does so; say what `version` has no place for.

    Raises
    ------
    AxisError
        If the axes from which it leads are not what they were.
    """
    if known is None:
        return
    if not known.other_systems:
        if keys := spec.unheld(known, version):
            warn(
                f"OME-Zarr {version} has no place for what is told of coordinate systems and transformations under "
                f'{told(list(map(repr, keys)))}, which is left out; give version="0.6" to keep it',
                OmeZarrWarning,
            )
        return
    named = [axis.name for axis in axes] == [axis.name for axis in known.axes]
    if not named or not all(same_unit(old.unit, new.unit) for old, new in zip(known.axes, axes, strict=True)):
        leading = ", ".join(f"{axis.name} in {axis.unit}" if axis.unit else axis.name for axis in known.axes)
        raise AxisError(
            f"the image has the coordinate systems {', '.join(map(repr, known.other_systems))}, to which lead "
            f"transformations from {leading}; its axes are others now: convert them back, such as to_units(…), take "
            "dimensions out by tree.omezarr.isel(…), or write level 0 alone, without these systems: "
            "tree.omezarr.level(0).omezarr.to_zarr(…)"
        )


def _known_keys(axes: Sequence[Axis], known: Multiscale | None) -> tuple[Axis, ...]:
    extra = {axis.name: axis.extra for axis in known.axes} if known else {}
    return tuple(replace(axis, extra=extra.get(axis.name, {})) for axis in axes)


def _levels(plans: Sequence[LevelPlan], known: Multiscale | None) -> tuple[Level, ...]:
    """Return the levels, with the unknown keys that the store had for them where their number is the same."""
    same = known is not None and len(known.levels) == len(plans)
    extras = [level.extra for level in known.levels] if known is not None and same else [{}] * len(plans)
    return tuple(replace(_level(plan.path, plan.grids), extra=extra) for plan, extra in zip(plans, extras, strict=True))


def _level(path: str, grids: Mapping[str, Grid]) -> Level:
    return Level(
        path, {dim: grid.scale for dim, grid in grids.items()}, {dim: grid.translation for dim, grid in grids.items()}
    )
