"""Convert image files to OME-Zarr, with the pixel sizes and channel names that they hold."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Sized
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import Any

import xarray as xr

from xomezarr.channels import Channels, assign_channels
from xomezarr.coords import assign_grid
from xomezarr.errors import LabelError, LabelWarning, OmeZarrError, OmeZarrWarning, StoreExistsError, raise_all, warn
from xomezarr.indexes import skews_of
from xomezarr.label_files import on_pixels_of, open_label
from xomezarr.pixels import Pixels
from xomezarr.plan import Plan
from xomezarr.planning import Target, chosen_version, known_options, plan_array, plan_label_image, stored_metadata
from xomezarr.readers import Opened, open_source
from xomezarr.sidecar import PROPERTIES
from xomezarr.store import check_no_file_name, overlap
from xomezarr.systems import held_by
from xomezarr.write import write_plan

__all__ = ["convert"]


def convert(
    src: str | os.PathLike[str],
    dst: Any,
    *,
    dims: str | Sequence[str] | None = None,
    series: int | None = None,
    scale: Mapping[str, float] | None = None,
    units: Mapping[str, str] | str | None = None,
    channels: Channels | None = None,
    rgb: bool = False,
    labels: Mapping[str, Any] | None = None,
    src_storage_options: Mapping[str, Any] | None = None,
    progress: Callable[[int], None] | bool | None = None,
    **options: Any,
) -> xr.DataTree:
    """Convert an image file to OME-Zarr.

    Labels that are in OME-Zarr stay labels: their method keeps values, and colours and properties go along.

    Parameters
    ----------
    src, dims, series
        See `open_image`.
    dst
        Store to write.
    scale, units
        Pixel sizes and units that are to count instead of the file's; see `assign_grid`.
    channels
        Names and colours that are to count instead of the file's; see `assign_channels`.
    rgb
        The three channels are red, green and blue, whatever the file says. Files of colour images say so themselves.
    labels
        Label images by name: files, whose pixels are those of the image whatever they say of their own place, or what
        `to_zarr` takes. Those of NIfTI are in the order of the image's voxels, wherever axes run backward. Those of an
        OME-Zarr image go along with it.
    src_storage_options
        For a source that is a URL, as fsspec takes them; `storage_options` are those of `dst`.
    progress
        Called with the bytes of each tile; or whether to show progress.
    **options
        See `to_zarr`.

    Returns
    -------
    xarray.DataTree
        The written store, opened lazily.
    """
    compute = options.pop("compute", True)
    with plan_conversion(
        src,
        dst,
        dims=dims,
        series=series,
        scale=scale,
        units=units,
        channels=channels,
        rgb=rgb,
        labels=labels,
        src_storage_options=src_storage_options,
        **options,
    ) as (plan, pixels):
        tree: xr.DataTree = write_plan(plan, pixels, progress=progress, compute=compute)
    return tree


@contextmanager
def plan_conversion(
    src: str | os.PathLike[str],
    dst: Any,
    *,
    name: str | None = None,
    labels: Mapping[str, Any] | None = None,
    dims: str | Sequence[str] | None = None,
    series: int | None = None,
    scale: Mapping[str, float] | None = None,
    units: Mapping[str, str] | str | None = None,
    channels: Channels | None = None,
    rgb: bool = False,
    src_storage_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Iterator[tuple[Plan, Pixels]]:
    """Work out what `convert` writes, of which pixels, which are open until the block ends.

    Parameters are those of `convert`.
    """
    import xomezarr  # noqa: F401 - registers the accessor

    if not isinstance(src, str | os.PathLike):
        raise OmeZarrError(
            f"a source of type {type(src).__name__} is no path or URL; of a store of Zarr write what is opened: "
            'xr.open_datatree(src, engine="omezarr").omezarr.to_zarr(dst)'
        )
    if labels is not None and not isinstance(labels, Mapping):
        raise LabelError(f"labels is {labels!r}; give labels by name: labels={{'nuclei': \"nuclei.tif\"}}")
    _refuse_same_place(src, dst)
    check_no_file_name(dst)
    with ExitStack() as opened:
        source = open_source(src, dims=dims, series=series, storage_options=src_storage_options)
        opened.enter_context(closing(source))
        version = chosen_version(dst, options.get("version"))
        image, brought = held_by(version, source.image)
        _warn_of_systems(source, src, brought)
        image = _as_meant(image, scale, units, channels, rgb=rgb)
        faults: list[OmeZarrError] = []
        resume = {"resume": options.pop("resume", False)}
        known_options(Target.split(options)[1], "convert", faults)
        raise_all(faults, "the image cannot be converted")
        if source.of_image:  # one that keeps irregular coordinates was written so on request
            options.setdefault("irregular", "keep")
        if source.label is not None:
            if labels:
                raise LabelError(
                    f'"{os.fspath(src)}" holds labels, and labels are those of an image; convert the image with them: '
                    f"convert(image, dst, labels={{{str(image.name)!r}: {os.fspath(src)!r}}})"
                )
            properties = source.tree.encoding.get(PROPERTIES)
            yield plan_label_image(image, source.label, dst, name=name, properties=properties, **resume, **options)
            return
        along = _labels_of_source(source, image, src, version)
        for label, given in (labels or {}).items():
            along[label] = given
            if isinstance(given, str | os.PathLike):
                _refuse_same_place(given, dst)
                file = opened.enter_context(closing(open_label(given, image)))
                along[label] = on_pixels_of(image, source.image, file, given, label)
        yield plan_array(image, dst, name=name, labels=along, **resume, **options)


def _as_meant(
    image: xr.DataArray,
    scale: Mapping[str, float] | None,
    units: Mapping[str, str] | str | None,
    channels: Channels | None,
    *,
    rgb: bool,
) -> xr.DataArray:
    """Return an image with what is to count instead of what its file says."""
    if scale or units:
        image = assign_grid(image, scale=scale, units=units)
    if rgb or not (channels is None or (isinstance(channels, Sized) and not len(channels))):
        image = assign_channels(image, channels, rgb=rgb)
    return image


def _warn_of_systems(source: Opened, src: str | os.PathLike[str], brought: Collection[str]) -> None:
    """Say that coordinate systems of an image stay behind, but for those that it brings along."""
    if source.tree is None and not brought and (skews := skews_of(source.image)):
        left = dict.fromkeys(skew.system.name for skew in skews)
        warn(
            f'"{os.fspath(src)}" lies askew in the coordinate system {", ".join(map(repr, left))}, which OME-Zarr has '
            'from 0.6 on; where it lies there is left out: give version="0.6" to keep it',
            OmeZarrWarning,
        )
    known = None if source.tree is None else stored_metadata(source.tree)
    if known is not None and (others := [name for name in known.multiscale.other_systems if name not in brought]):
        warn(
            f'"{os.fspath(src)}" has the coordinate systems {", ".join(map(repr, others))}, '
            "which are not converted; write the image as it stands to keep them: "
            f'xr.open_datatree({os.fspath(src)!r}, engine="omezarr").omezarr.to_zarr(…)',
            OmeZarrWarning,
        )


def _labels_of_source(source: Opened, image: xr.DataArray, src: str | os.PathLike[str], version: str) -> dict[str, Any]:
    """Return the labels that go along with an image; those that do not lie on its dimensions are left out."""
    found = source.labels
    if lost := [name for name, labels in found.items() if not {*labels.image.dims} <= {*image.dims}]:
        warn(
            f'"{os.fspath(src)}" has labels ({", ".join(lost)}), whose dimensions are not called as those of the image '
            "now are; they are left out: convert them with the names that the image has",
            LabelWarning,
        )
    kept = {name: labels for name, labels in found.items() if name not in lost}
    return {name: replace(labels, image=held_by(version, labels.image)[0]) for name, labels in kept.items()}


def _refuse_same_place(src: str | os.PathLike[str], dst: Any) -> None:
    """Raise where writing would destroy what is being read."""
    if not isinstance(dst, str | os.PathLike) or "://" in os.fspath(src) or "://" in os.fspath(dst):
        return
    if overlap(src, dst):
        raise StoreExistsError(
            f'"{dst}" is the image that is being read, or in it; write to another path: convert(src, "new.ome.zarr")'
        )
