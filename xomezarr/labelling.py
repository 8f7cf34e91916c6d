"""Add labels to an image that is in a store, replace them and take them away; the image is not touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from xomezarr import spec
from xomezarr.alignment import Frame, check_names_apart
from xomezarr.checks import leads_below
from xomezarr.downsample import MethodLike, is_sampled
from xomezarr.engine import OnTile
from xomezarr.errors import (
    UNREADABLE,
    LabelError,
    OmeZarrError,
    StoreExistsError,
    StoreNotFoundError,
    collecting,
    raise_all,
    told_where_full,
)
from xomezarr.joining import Said, join, leave, put_back
from xomezarr.labels import Labels, check_label_name
from xomezarr.lazy import zarr
from xomezarr.plan import COMPRESSORS, Shards
from xomezarr.planning import Target, plan_labels, stored_metadata, version_of
from xomezarr.pyramid import VARIABLE, name_of
from xomezarr.read import open_tree
from xomezarr.store import (
    StoreArgument,
    below,
    check_changeable,
    check_inside,
    check_not_between,
    erase,
    find_member,
    label_names,
    labels_of,
    open_group,
    resolve,
)
from xomezarr.tree import levels
from xomezarr.write import write_plan

__all__ = ["delete_labels", "parted", "to_labels"]


def to_labels(
    da: xr.DataArray,
    image_store: StoreArgument,
    name: str,
    *,
    colors: Mapping[Any, Any] | str | None = None,
    properties: Any = None,
    method: MethodLike | None = None,
    mode: str = "w-",
    chunks: Mapping[str, int] | Sequence[int] | None = None,
    shards: Shards = None,
    compressors: Any = COMPRESSORS,
    write_empty_chunks: bool | None = None,
    storage_options: Mapping[str, Any] | None = None,
    max_memory: int | str | None = None,
    workers: int | None = None,
    progress: bool | OnTile | None = None,
    compute: bool = True,
) -> xr.DataTree | Any:
    """Add a label image to an image in a store, on its pixels and with as many levels.

    The image is not touched, and a failure leaves what was there before, but for labels elsewhere than in a local
    folder that were being replaced: they are gone then, and nothing names them. Several processes may add labels at
    once to an image in a local folder.

    Parameters
    ----------
    da
        Integers or bool; 0 is the background. Its dimensions are those of the image, of which time and channels may be
        left out, or have one pixel. Without coordinates it takes those of the image; where it has some, they have to
        be the image's.
    image_store
        Path, URL or store of the image.
    name
        What the labels are called: a folder below ``labels``.
    colors
        By label value: names, ``"#rrggbb"``, ``"#rrggbbaa"`` or tuples of numbers; or the name of a colormap of
        matplotlib, whose colours go to the labels of `properties`, else to all values that there are, for which
        level 0 is read once more. Left out, viewers choose.
    properties
        A `pandas.DataFrame`, a dict of columns or a Dataset with a row for each label, named by the index or in a
        column ``label``.
    method
        ``"mode"``, ``"nearest"``, ``"min"`` or ``"max"``. Left out, ``"mode"``, or ``"nearest"`` where the levels of
        the image are samples. An error where its pixels would lie elsewhere than those of the image.
    mode
        ``"w-"``: an error if the labels exist; ``"w"``: replace them.
    chunks, shards, compressors, write_empty_chunks, storage_options, max_memory, workers, progress, compute
        As in `to_zarr`.

    Returns
    -------
    xarray.DataTree or dask.delayed.Delayed
        The labels, opened lazily.

    Raises
    ------
    LabelError
        If the labels do not lie on the image's pixels, or colours and properties cannot be used.
    DtypeError
        If they are neither integers nor bool.
    MethodError
        If the method invents values, or has its pixels elsewhere.
    StoreExistsError
        If there are labels of that name.
    IncompleteStoreError
        If bringing the store to another version was interrupted: `xomezarr.upgrade` finishes that.
    """
    check_label_name(name)
    labels = Labels.of(Labels(da, colors, properties, method), name)
    faults: list[OmeZarrError] = []
    with open_tree(image_store, storage_options=storage_options, labels=False) as tree:
        version = str(version_of(tree))
        image = open_group(image_store, storage_options=storage_options)
        spec.check_written(version, store=image_store, in_format=image.metadata.zarr_format)
        check_not_between(image, "labels")
        check_inside(image, "labels", f"labels/{name}")
        frame = frame_of(tree, image_store)
        known = stored_metadata(tree)
    target = Target.asked(
        faults,
        below(image_store, f"labels/{name}"),
        version=version,
        joins=True,
        mode=mode,
        shards=shards,
        compressors=compressors,
        write_empty_chunks=write_empty_chunks,
        storage_options=storage_options,
        max_memory=max_memory,
        workers=workers,
    )
    target = target.laid_out(known).called(name)
    root = resolve(image_store)
    listing = _Labels(root, storage_options, name, frame)
    with collecting(faults):
        check_names_apart(name, frame)
    with collecting(faults):
        listing.named({})
    with collecting(faults):
        plan, pixels = plan_labels(labels, name, frame, target, chunks=chunks)
    raise_all(faults, f"the labels {name!r} cannot be written")
    grids = plan.levels[0].grids
    listing = replace(listing, along=tuple(dim for dim in plan.dims if grids[dim].size > 1), version=version)
    return write_plan(plan, pixels, progress=progress, compute=compute, how=partial(join, root, listing))


def delete_labels(image_store: StoreArgument, name: str, *, storage_options: Mapping[str, Any] | None = None) -> None:
    """Take labels away from an image; the image, and other labels, are not touched.

    Parameters
    ----------
    image_store, storage_options
        As in `to_labels`.
    name
        Of the labels.

    Raises
    ------
    StoreNotFoundError
        If the image has no labels of that name.
    """
    if not isinstance(name, str) or not leads_below(name):
        check_label_name(name)
    check_changeable(image_store)
    target = resolve(image_store)
    group = open_group(image_store, storage_options=storage_options)
    version = spec.detect(group.attrs.asdict()) or spec.of_format(group.metadata.zarr_format)[0]
    spec.check_written(version, store=image_store, in_format=group.metadata.zarr_format)
    check_not_between(group, "labels")
    check_inside(group, "labels")
    listing = _Labels(target, storage_options, name)
    names = label_names(listing.group())
    place = target.resolve() / "labels" / name if isinstance(target, Path) else None
    if name not in names and not (place is not None and place.name == name and place.is_dir()):
        raise StoreNotFoundError(
            f"{str(image_store)!r} has no labels {name!r}; it has {', '.join(map(repr, names)) or 'none'}"
        )
    # labels whose replacing was cut off come back first, and go whole
    with suppress(*UNREADABLE):
        find_member(group, f"labels/{name}")
    if not group.store.supports_deletes:
        raise StoreExistsError(f"nothing in {str(image_store)!r} can be deleted; copy the image without its labels")

    def delete() -> Path | None:
        if place is None:
            erase(below(image_store, f"labels/{name}"), storage_options)
        elif place.exists():
            from xomezarr import stage

            return stage.put_aside(place)
        return None

    where = below(image_store, f"labels/{name}")
    with told_where_full(image_store, "the labels are there still; make room, and delete them again"):
        leave(target, listing, where, group.metadata.zarr_format, storage_options, delete)


def image_in(ds: xr.Dataset) -> Any:
    """Return the name of the variable that is the image, of those of which all others are labels; None if none is told.

    It is ``image``, or the only one, or the only one that is not of integers or bool.
    """
    names = list(ds.data_vars)
    if VARIABLE in names or len(names) == 1:
        return VARIABLE if VARIABLE in names else names[0]
    others = [name for name in names if ds[name].dtype.kind not in "biu"]
    return others[0] if len(others) == 1 else None


def parted(
    ds: xr.Dataset, image: str | None, colors: Mapping[str, Any], properties: Mapping[str, Any]
) -> tuple[xr.DataArray, dict[str, Labels]]:
    """Return the image of a Dataset, and its labels: all other variables. Attributes of the Dataset are not looked at.

    Raises
    ------
    LabelError
        If it cannot be told which variable is the image, or colours or properties are those of none, or coordinates
        are those of neither the image nor its labels.
    """
    for what, given in (("colors", colors), ("properties", properties)):
        if not isinstance(given, Mapping):
            raise LabelError(f"{what} is {given!r}; say of which labels: {what}={{'nuclei': {given!r}}}")
    names: list[Any] = list(ds.data_vars)
    others = [name for name in names if ds[name].dtype.kind not in "biu"]
    chosen = image_in(ds) if image is None else image
    if not names:
        raise LabelError(
            "it cannot be told which is the image, as the Dataset has no variables; give it one: "
            "xr.Dataset({'image': array})"
        )
    if chosen is None or chosen not in names:
        told = f"image={image!r} is none of" if image is not None else "it cannot be told which is the image among"
        raise LabelError(f"{told} the variables {names}; say which: image={next(iter(others or names), 'image')!r}")
    faults: list[OmeZarrError] = [
        LabelError(f"{what} are given for {name!r}, and the labels are {[n for n in names if n != chosen]}")
        for what, given in (("colors", colors), ("properties", properties))
        for name in given
        if name not in names or name == chosen
    ]
    held = {name for variable in ds.data_vars.values() for name in variable.coords}
    if lost := [name for name in ds.coords if name not in held]:
        faults.append(
            LabelError(
                f"the coordinates {lost} lie along dimensions that neither the image nor its labels have, and there is "
                f"no place for them in the store; take them out: ds.drop_vars({lost!r})"
            )
        )
    raise_all(faults, "the Dataset cannot be written")
    labels = {name: Labels(ds[name], colors.get(name), properties.get(name)) for name in names if name != chosen}
    da = ds[chosen]
    if chosen == VARIABLE:  # it is called so because it is the image, and not by its own name
        own = name_of(ds)
        da = da.rename(None if own == VARIABLE else own)
    return da, labels


def frame_of(tree: xr.DataTree, store: StoreArgument) -> Frame:
    """Return an image that was opened from a store as what labels lie on.

    Raises
    ------
    LabelError
        If it is one of labels itself.
    """
    known = stored_metadata(tree)
    found = levels(tree)
    if known is None or known.label is not None:
        raise LabelError(f"{str(store)!r} holds labels, and labels are added to an image; give the image's store")
    dims = known.multiscale.dims
    grids = tuple(
        level.grid({dim: array.sizes[dim] for dim in dims})
        for level, array in zip(known.multiscale.levels, found, strict=True)
    )
    return Frame(found[0], known.multiscale.axes, grids, is_sampled(known.multiscale.type), found[1:])


@dataclass(frozen=True, slots=True)
class _Labels:
    """The labels of an image, as they are listed.

    Parameters
    ----------
    image, storage_options
        Where the image is.
    name
        Of the labels that come or go.
    frame
        The image that they were planned for; None where they go.
    along, version
        The dimensions along which they have pixels of their own, and the version of OME-Zarr that they were planned in.
    """

    image: Any
    storage_options: Mapping[str, Any] | None
    name: str
    frame: Frame | None = None
    along: tuple[str, ...] = ()
    version: str = ""

    @property
    def is_made(self) -> bool:
        """Labels are those of an image that is there."""
        return False

    @property
    def changed(self) -> Any:
        """The image: who appends to it, or writes a part of it, does so to its labels too."""
        return self.image

    def begin(self) -> None:
        """Make sure that the image is what it was when the labels were planned.

        It is opened as it was then: pixel sizes that the OME-XML of its collection says are those of its labels too.
        """
        with open_tree(self.image, storage_options=self.storage_options, labels=False) as tree:
            assert self.frame is not None
            both = (frame.grids for frame in (frame_of(tree, self.image), self.frame))
            now, planned = ([{dim: grids[dim] for dim in self.along} for grids in levels] for levels in both)
            if now != planned or version_of(tree) != self.version:
                raise LabelError(
                    f"the image at {self.image} has changed since its labels {self.name!r} were planned; plan them anew"
                )

    def withheld(self) -> list[Said]:
        """List all others."""
        listed = self._listed()
        return [self._listing([path for path in listed if path != self.name])] if self.name in listed else []

    def named(self, before: Mapping[str, Mapping[str, Any]]) -> list[Said]:
        """List these too."""
        listed = self._listed()
        if self.name in listed:
            return []
        check_label_name(self.name, listed)
        known = spec.parse_labels(before["labels"]) if "labels" in before else ()
        paths = put_back(listed, known, lambda path: path == self.name)
        return [self._listing(paths if self.name in paths else [*listed, self.name])]

    def tidy(self) -> None:
        """Remove the folder of labels, where nothing is in it."""
        if isinstance(self.image, Path):
            with suppress(OSError):
                (self.image / "labels").rmdir()

    def group(self) -> zarr.Group | None:
        """Open the group of labels; None where there is none.

        Raises
        ------
        MetadataError
            If it cannot be read: nothing is added to it, so that nothing in it is lost.
        """
        return labels_of(open_group(self.image, storage_options=self.storage_options))

    def _attributes(self) -> dict[str, Any]:
        group = self.group()
        return {} if group is None else group.attrs.asdict()

    def _listed(self) -> tuple[str, ...]:
        attrs = self._attributes()
        return spec.parse_labels(attrs) if "labels" in spec.kinds(attrs) else ()

    def _listing(self, paths: Sequence[str]) -> Said:
        image = open_group(self.image, storage_options=self.storage_options)
        version = spec.detect(image.attrs.asdict()) or spec.of_format(image.metadata.zarr_format)[0]
        attrs = self._attributes()
        kept = {key: value for key, value in attrs.items() if key == spec.SIDECAR}
        return "labels", {**kept, **spec.dump_labels(paths, version, spec.others(attrs, "labels"))}
