"""What may be written where, and what goes with what is replaced."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xomezarr import archive, direct, spec
from xomezarr.direct import names_below
from xomezarr.errors import (
    UNREADABLE_MEMBER,
    ArchiveError,
    OmeZarrError,
    OtherImagesWarning,
    StoreExistsError,
    warn,
)
from xomezarr.lazy import zarr
from xomezarr.store.contents import find_member, label_names, labels_of
from xomezarr.store.marks import begun, withheld
from xomezarr.store.nodes import ALL_DOCUMENTS, held_in, is_array, is_zarr, member_path, names_in
from xomezarr.store.opening import begun_at, exists, open_group, opens, recovered
from xomezarr.store.places import (
    StoreArgument,
    check_not_read_only,
    check_options,
    elsewhere,
    parents,
    read_mode,
    resolve,
    shown,
)
from xomezarr.suffixes import kind_of_file, own_store

if TYPE_CHECKING:
    from zarr.storage import StoreLike

__all__ = [
    "check_changeable",
    "check_free",
    "check_no_file_name",
    "may_go",
    "warn_of_others",
]


ZIP = ".zip"
"""How the names of zip files end, which are written and read as `zarr.storage.ZipStore`."""


def check_free(
    store: StoreArgument, *, mode: str, storage_options: Mapping[str, Any] | None = None, resume: bool = False
) -> None:
    """Refuse to write where that would destroy something.

    With `resume` what is there may be an image, whole or not.

    Raises
    ------
    StoreExistsError
        If something is there and `mode` is ``"w-"``; if it is no Zarr store, or a file system is mounted in it, and
        `mode` is ``"w"``; if it is inside an array.
    OmeZarrError
        If `mode` is neither; if a path is that of a zip file, and a folder would be made there.
    ArchiveError
        If it is in a single file, or is one that is not on this machine.
    """
    if mode not in ("w-", "w"):
        into = (
            "; to write into an image that is there, leave mode out, and say where: append_dim='t' makes it longer, "
            "region='auto' changes a part of it"
        )
        raise OmeZarrError(
            f'mode {mode!r} is not known; give mode="w-" to create a store or mode="w" to replace one'
            + (into if mode in ADDING else "")
        )
    target = resolve(store)
    check_options(target, storage_options)
    check_not_read_only(store)
    _check_not_inside(target)
    check_no_file_name(store)
    if isinstance(target, Path) and target.suffix.lower() == archive.SUFFIX and target.is_dir():
        raise StoreExistsError(
            f"{shown(store)} is a folder, and called like a single file; rename it, or give another path"
        )
    if isinstance(target, Path):
        blocking = next((parent for parent in target.parents if parent.exists()), None)
        if blocking is not None and not blocking.is_dir():
            raise StoreExistsError(f"{blocking} is no folder, so that {target} cannot be made; give another path")
        recovered(target)
        _check_no_zip_file(target)
        if target.is_symlink():
            try:
                target.resolve(strict=True)
            except FileNotFoundError:  # where the store is to be
                pass
            except (OSError, RuntimeError) as error:
                raise StoreExistsError(f"{target} cannot be followed ({error}); give another path") from None
        if os.path.ismount(target.resolve()):
            raise StoreExistsError(
                f"{target} is where a file system is mounted, which no store can replace; give a path inside it: "
                f"{str(target / 'image.ome.zarr')!r}"
            )
    if (array := _array_around(target)) is not None:
        raise StoreExistsError(
            f"{shown(store)} is inside the array {str(array)!r}, which holds nothing but its chunks; give another path"
        )
    if not exists(store, storage_options=storage_options):
        return
    if mode == "w-":
        begun = begun_at(target, storage_options)
        if resume and not (begun and isinstance(target, Path)):
            return
        if begun:
            raise StoreExistsError(
                f"{shown(store)} is an unfinished write, {begun}; finish it with resume=True, or give "
                'mode="w" to write it again'
            )
        raise StoreExistsError(f'{shown(store)} exists already; give another path, or mode="w" to replace it')
    if isinstance(target, Path) and is_array(target) and is_zarr(target.parent):
        raise StoreExistsError(
            f"{shown(store)} is an array of the store {str(target.parent)!r}, which would break without it; "
            "give another path, or replace the whole store"
        )
    if isinstance(target, Path) and (mounted := _mounted_in(target)) is not None:
        raise StoreExistsError(
            f"{shown(store)} holds {str(mounted)!r}, where a file system is mounted, which would be emptied; "
            f"give another path, or take it away first: umount {str(mounted)!r}"
        )
    if _in_the_way(target, storage_options):
        raise StoreExistsError(
            f"{shown(store)} holds something that is not a Zarr store, and is not replaced; give another path"
        )


def _check_not_inside(target: StoreLike) -> None:
    """Refuse to write into a zip file, and a single file elsewhere than on this machine, or into another store.

    Raises
    ------
    ArchiveError
        If that is what a place is.
    """
    inside = archive.named(target) or (archive.leads_into(target) if isinstance(target, Path) else None)
    if inside is None:
        return
    if inside.path:
        check_changeable(inside.file)
    if isinstance(target, Path) and (around := next(filter(is_zarr, target.parents), None)) is not None:
        raise ArchiveError(
            f"{str(target)!r} lies in the store {str(around)!r}, and no single file is a part of another store; "
            "write it beside that"
        )
    if isinstance(target, str):
        raise ArchiveError(
            f"{target!r} is a single file, and is made on this machine before it can be there; write it to a path, "
            f'such as "cells{archive.SUFFIX}", and upload that: fsspec.filesystem(…).put("cells{archive.SUFFIX}", …)'
        )


def check_changeable(store: StoreArgument) -> None:
    """Refuse to change a store in place that is a zip file, or lies in one.

    Raises
    ------
    ArchiveError
        If it is or does.
    """
    target = resolve(store)
    inside = archive.named(target) or archive.leads_into(target)
    if inside is not None:
        file = str(inside.file)
        copied = f"xr.open_datatree({file!r}, engine='omezarr').omezarr.to_zarr('copy.ome.zarr')"
        if isinstance(inside.file, Path) and not inside.file.exists():
            copied = f"xr.open_datatree('folder.ome.zarr', engine='omezarr').omezarr.to_zarr({file!r})"
        raise ArchiveError(
            f"{file!r} is a single file, which is written as a whole: nothing is added to it, taken from it or changed "
            f"in it; write a folder, change that, and write the file of it: {copied}"
        )


def _in_the_way(target: StoreLike, storage_options: Mapping[str, Any] | None) -> bool:
    """Whether something is there that is no Zarr store."""
    if not isinstance(target, Path):
        return not _is_zarr_elsewhere(target, storage_options)
    from xomezarr import stage

    return stage.in_the_way(target, is_zarr if archive.named(target) is None else archive.is_whole)


ADDING = ("a", "a-", "r+")
"""Modes of xarray and zarr that add to what is there."""


def check_no_file_name(store: StoreArgument) -> None:
    """Refuse to make a folder that is called as image files are; one that is there is as good as any.

    Raises
    ------
    OmeZarrError
        If that would be made.
    """
    target = resolve(store)
    if not isinstance(target, str | Path) or (isinstance(target, Path) and target.is_dir()):
        return
    if (kind := kind_of_file(str(target))) is not None:
        called = str(store) if isinstance(store, str | os.PathLike) else str(target)
        raise OmeZarrError.mended(
            f"{called!r} is the name of a file, {kind}, and OME-Zarr is a folder",
            python=f"call it {own_store(called)!r}, or, of those that are written, PNG and TIFF, write the file: "
            "xomezarr.export(image, path)",
            command=f"call it {shlex.quote(own_store(called))}, or, of those that are written, PNG and TIFF, write the "
            f"file: xomezarr export SRC {shlex.quote(called)}",
        )


def _check_no_zip_file(target: Path) -> None:
    """Refuse to make a folder that is called as zip files are; one that is there is as good as any.

    Raises
    ------
    OmeZarrError
        If that would be made, at the place or above it.
    """
    for place in (target, *target.parents):
        if place.suffix.lower() == ZIP and not place.exists():
            raise OmeZarrError(
                f"{str(place)!r} is called as zip files are, and would be a folder; give another path, or a zip file "
                f"that is opened for writing: zarr.storage.ZipStore({str(place)!r}, mode='w')"
            )


def warn_of_others(
    store: StoreArgument,
    storage_options: Mapping[str, Any] | None = None,
    *,
    but: Collection[str] = (),
    like: str | None = None,
) -> None:
    """Say what goes with what is replaced.

    Parameters
    ----------
    store, storage_options
        As in `open_group`.
    but
        Names of labels in whose place there are new ones; all other labels, and other images, go.
    like
        The kind of what is written, by the key of the specification: nothing is said of one that it replaces.
    """
    names: list[str] = []
    told: list[str] = []
    with suppress(Exception):  # what cannot be read may be replaced
        group = open_group(store, storage_options=storage_options)
        attrs = group.attrs.asdict()
        parts: tuple[str, ...] = ()
        with suppress(*UNREADABLE_MEMBER):
            parts = _parts(group, attrs)
        # plates, scenes and most collections name what they hold, so that what else is there is known
        if (like in spec.kinds(attrs) and not parts) or (begun(attrs) and withheld(attrs) is None):
            return
        names = [name for name in label_names(labels_of(group)) if name not in but]
        told = [f"is {what}" for kind, what in COLLECTIONS.items() if kind in spec.kinds(attrs) and kind != like]
        if others := [path for path in _other_images(group) if path not in parts]:
            more = ", …" if len(others) > SHOWN else ""
            told.append(f"holds other images ({', '.join(others[:SHOWN])}{more})")
    if names:
        told.append(f"has labels ({', '.join(names)})")
    if told:
        warn(
            f"{shown(store)} {' and '.join(told)}, which are replaced by what is written; "
            f"write to another path to keep them{', or give the labels too' if names else ''}",
            OtherImagesWarning,
        )


COLLECTIONS = {
    "plate": "a plate with its wells",
    "well": "a well with its fields",
    "bioformats2raw.layout": "a collection with its images",
    "scene": "a scene with its images",
}
"""Groups that stand for more than an image, by the key of the specification."""


def _parts(group: zarr.Group, attrs: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the paths of what belongs to a group, as it names it: images of a scene or a collection, wells of a plate.

    Fields of transformations are such too. None are named by a collection without a list.
    """
    if spec.is_image(attrs):
        return spec.stored_paths(spec.parse(attrs).multiscale)
    if "plate" in spec.kinds(attrs):
        return ("OME", *(well.path for well in spec.parse_plate(attrs).wells))
    if "bioformats2raw.layout" in spec.kinds(attrs):
        listing = find_member(group, "OME")
        named = () if listing is None else spec.parse_series(listing.attrs.asdict())
        return ("OME", *named) if named else ()
    if "scene" not in spec.kinds(attrs):
        return ()
    scene = spec.parse_scene(attrs)
    return (*scene.paths, *spec.scene_paths(scene))


SEARCHED, SHOWN = 100, 5
"""Groups that are opened in search of other images at most, and names of these that are told."""


def _other_images(group: zarr.Group) -> list[str]:
    """Return the paths of groups below a group that have OME metadata, but for its labels; of many, not all."""
    found: list[str] = []
    searched, queue = 0, [""]
    while queue and searched < SEARCHED:
        above = queue.pop(0)
        names = [name for name in names_in(group, above) if not name.startswith(".") and name not in ALL_DOCUMENTS]
        for path in sorted(f"{above}/{name}".strip("/") for name in names):
            searched += 1
            attrs = None if path == "labels" else _attributes_of_group(group, path)
            if attrs is not None and spec.is_ome(attrs):
                found.append(path)
            elif attrs is not None:
                queue.append(path)
    return found


def _attributes_of_group(group: zarr.Group, path: str) -> Mapping[str, Any] | None:
    """Return the attributes of a group of any format below a group; none of a mere folder; None for an array."""
    store, place = group.store, member_path(group, path)
    if isinstance(store, zarr.storage.LocalStore):
        if not (store.root / place).is_dir() or is_array(store.root / place):
            return None
        if (opened := direct.opened_group(store.root, place)) is not None:
            return opened.attrs.asdict()
    try:
        found = zarr.open(store, path=place, mode=read_mode(store), use_consolidated=False)
    except (zarr.errors.BaseZarrError, FileNotFoundError):
        return {}
    return found.attrs.asdict() if isinstance(found, zarr.Group) else None


def _is_zarr_elsewhere(target: StoreLike, storage_options: Mapping[str, Any] | None) -> bool:
    """Whether a place that is no local folder holds a group or an array, or what is left of one: metadata alone."""
    if opens(target, storage_options):
        return True
    place, path = elsewhere(target, storage_options, read_only=True)

    return ALL_DOCUMENTS.issuperset(names_below(place, path))


def _array_around(target: StoreLike) -> StoreLike | None:
    """Return the array that a place is inside of; None if there is none, and for URLs, of which all would be asked."""
    if isinstance(target, Path):
        return next(filter(is_array, target.resolve().parents), None)
    if isinstance(target, zarr.storage.StorePath):
        for parent in [*parents(target.path), ""] if target.path else []:
            place = zarr.storage.StorePath(target.store, parent)
            with suppress(zarr.errors.BaseZarrError, FileNotFoundError):
                zarr.open_array(place, mode=read_mode(place))
                return place
    return None


MOUNTS = Path("/proc/self/mountinfo")
"""Where Linux tells what is mounted: on each line, as the fifth word, with spaces and the like as octal numbers."""


def _mounted_in(folder: Path) -> Path | None:
    """Return a place in a folder where a file system is mounted, or a single file; None where that is not told."""
    try:
        lines = MOUNTS.read_bytes().splitlines()
    except OSError:
        return None
    folder = folder.resolve()
    places = (re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), line.split()[4]) for line in lines)
    return next((found for place in places if folder in (found := Path(os.fsdecode(place))).parents), None)


def may_go(path: Path) -> bool:
    """Whether ``mode="w"`` may replace what is at a path: a Zarr store, or an empty folder."""
    return not path.is_symlink() and (is_zarr(path) or (path.is_dir() and not held_in(path)))
