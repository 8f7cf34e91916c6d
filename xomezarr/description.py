"""What is in a store, whatever that is: images, labels, plates, wells, collections, scenes; or in an image file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from xomezarr import accessor, spec  # noqa: F401 - registers the accessor
from xomezarr.collection import is_collection, open_collection
from xomezarr.display import below, described, described_array, described_collection, described_plate, described_scene
from xomezarr.errors import (
    UNREADABLE_MEMBER,
    ArchiveError,
    AxisError,
    MetadataError,
    NotOmeZarrError,
    OtherImagesWarning,
    StoreNotFoundError,
    warn,
)
from xomezarr.plate import open_plate
from xomezarr.readers import open_image
from xomezarr.readers.table import one_image
from xomezarr.scenes import open_scene
from xomezarr.store import is_single_file, open_group, resolve, unfinished_beside

__all__ = ["description_of", "is_file"]


def description_of(store: str, *, dims: str | Sequence[str] | None = None, series: int | None = None) -> dict[str, Any]:
    """Describe what is in a store, in numbers and strings, as ``--json`` prints it, and what is unfinished there.

    Parameters
    ----------
    store
        Path or URL; of an image file too, or of plain Zarr, that `open_image` opens.
    dims, series
        Of an image file; see `open_image`.
    """
    if is_file(store):
        return _file(store, dims, series)
    try:
        found = _description_of(store)
    except ArchiveError:
        raise
    except NotOmeZarrError as error:
        try:
            return _file(store, dims, series)
        except (NotOmeZarrError, StoreNotFoundError):
            raise error from None
    if series not in (None, 0):
        raise one_image(store, series)
    if dims is not None:
        raise AxisError(f'"{store}" is OME-Zarr and names its dimensions itself; leave dims={dims!r} out')
    return {**found, "unfinished": unfinished_beside(store) or None}


def is_file(place: str) -> bool:
    """Whether a file is there that is no store."""
    path = resolve(place)
    return isinstance(path, Path) and path.is_file() and not is_single_file(place)


def _file(place: str, dims: str | Sequence[str] | None, series: int | None) -> dict[str, Any]:
    """Describe an image that is not in OME-Zarr, as the one that it would become."""
    image = open_image(place, dims=dims, series=series)
    try:
        return {**described_array(image), "kind": "file", "store": place}
    finally:
        image.close()


def _description_of(store: str) -> dict[str, Any]:
    attrs = open_group(store).attrs.asdict()
    kinds = spec.kinds(attrs)
    if "multiscales" in kinds:
        return _image(store)
    if "plate" in kinds:
        with open_plate(store) as tree:
            return _plate(store, tree)
    if "well" in kinds:
        return _well(store, attrs)
    if is_collection(attrs):
        with open_collection(store) as tree:
            return described_collection(store, tree)
    if "scene" in kinds:
        with open_scene(store) as tree:
            return described_scene(store, tree)
    if "labels" in kinds:
        return _labels(store, attrs)
    return _image(store)


def _image(store: str) -> dict[str, Any]:
    """Describe an image."""
    with xr.open_datatree(store, engine="omezarr") as tree:
        return described(store, tree)


def _plate(store: str, tree: xr.DataTree) -> dict[str, Any]:
    """Describe a plate, and its first image."""
    plate = described_plate(store, tree)
    path = next(f"{well}/{names[0]}" for well, names in plate["wells"].items() if names)
    return {**plate, "first_image": _image(below(store, path))}


def _well(store: str, attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a well, and the first of its images that can be opened."""
    well = spec.parse_well(attrs)
    images = _those_that_open(store, [field.path for field in well.fields])
    return {
        "kind": "well",
        "store": store,
        "version": spec.claimed(attrs) or spec.detect(attrs),
        "fields": [{"path": field.path, "acquisition": field.acquisition} for field in well.fields],
        "first_image": next((image for _, image in images), None),
    }


def _labels(store: str, attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the labels that a group of labels lists."""
    return {
        "kind": "list of labels",
        "store": store,
        "version": spec.claimed(attrs) or spec.detect(attrs),
        "labels": dict(_those_that_open(store, spec.parse_labels(attrs))),
    }


def _those_that_open(store: str, paths: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield descriptions of images below a group by their paths; of those that cannot be opened a warning tells.

    Raises
    ------
    MetadataError
        If none of those that there should be can be opened.
    """
    faults: list[str] = []
    found = False
    for path in paths:
        try:
            image = _image(below(store, path))
        except UNREADABLE_MEMBER as error:
            faults.append(f"{path!r} of {store!r} cannot be opened: {error}")
            continue
        found = True
        _left_out(faults)
        yield path, image
    if faults and not found:
        raise MetadataError(f"{'; '.join(faults)}; xomezarr.validate({store!r}) lists all that is wrong")
    _left_out(faults)


def _left_out(faults: list[str]) -> None:
    """Warn of what could not be opened so far, once."""
    while faults:
        warn(f"{faults.pop(0)}; it is left out", OtherImagesWarning)
