"""Images of a plate that are taken to be like another: what is taken of it, and whether it is true of them.

A tree does not say by itself of which images not all was read. So the node of such an image, and the coordinates of its
place, bear a mark: an `Alike`, which reads the rest.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from xomezarr import sidecar, spec
from xomezarr.channels import ACTIVE, COLOR, EXTRA, WINDOW
from xomezarr.checks import leads_below
from xomezarr.chunks import whole
from xomezarr.errors import UNREADABLE_MEMBER, LevelError, PlateError, PlateWarning, warn
from xomezarr.lazy import zarr
from xomezarr.model import Image
from xomezarr.planning import VERSION, stored_metadata, version_of
from xomezarr.presence import Folder
from xomezarr.pyramid import EMPTY, VARIABLE, attach, with_name
from xomezarr.read import is_remote, with_own
from xomezarr.source import ASSUMED, LazyArray, OrderedArray, UnopenedArray, as_opened
from xomezarr.store import open_array, open_member
from xomezarr.tree import levels, variable_of
from xomezarr.wells import ADDED, PLACES

__all__ = ["Model", "Once", "is_unopened_elsewhere", "opened"]

CHECKED = "open_plate(store, check=True)"

UNOPENED = "unopened"
"""Key of the encoding of the tree of an image of which not all was read: an `Alike`, which reads it.

It is for images without the coordinates of their place, which are marked with it too.
"""

NAMES, PLACE, ALONE, UNREAD = "axes or channels", "coordinates", "scalar coordinates", "unread"
"""In what images are not what they were taken for: which pixels are which, where these lie, or nobody can tell.

Scalar coordinates of its own, such as a stage position, are no reason not to write an image: they are read for that.
"""

OWN = frozenset({COLOR, ACTIVE, *WINDOW.values(), EXTRA})
"""Coordinates along channels in which images may differ: how these are shown, and what other tools say of them."""


def opened(image: xr.DataTree) -> tuple[xr.DataTree, str]:
    """Return an image's tree with all that the image says: what `open_plate` left out of it is read now.

    Its pixels stay those of the tree. Where the tree says something else than when it was opened, as it was cropped or
    given other coordinates, it stays as it is.

    Parameters
    ----------
    image
        Any image's tree.

    Returns
    -------
    xarray.DataTree
        The tree.
    str
        What is not known of the image, for a warning: where not all of it was read, and it was changed since.

    Raises
    ------
    PlateError
        If it was taken to be like another, and is not.
    """
    alike = _assumption(image)
    if alike is None:
        return image, ""
    if changed := alike.changed(image):
        return image, alike.unread(changed)
    return alike.completed(image), ""


def is_unopened_elsewhere(image: xr.DataTree) -> bool:
    """Whether `opened` has to ask for an image, where several are better asked for at once."""
    alike = _assumption(image)
    return alike is not None and alike.is_remote


def _assumption(image: xr.DataTree) -> Alike | None:
    """Return what completes an image of a plate of which not all was read; None for any other.

    Coordinates that opening added keep it through what xarray does to a tree; nodes do not.
    """
    finest = image.children.get("0")
    variables = {} if finest is None else finest.dataset.variables
    marks = [variables[name].encoding.get(ADDED) for name in PLACES if name in variables]
    return next((mark for mark in (*marks, image.encoding.get(UNOPENED)) if isinstance(mark, Alike)), None)


class Once:
    """Warns of the first of many images since a plate was opened, as they may be all."""

    def __init__(self) -> None:
        self._lock, self._is_told = Lock(), False

    def __reduce__(self) -> Any:
        return (Once, ())  # another process tells by itself

    def tell(self, message: str) -> None:
        """Warn, unless that was done."""
        with self._lock:
            is_known, self._is_told = self._is_told, True
        if not is_known:
            warn(message, PlateWarning)


@dataclass(frozen=True, slots=True)
class _StoredLevel:
    """A level of an image: path of its array below the image, and what this is as it is stored."""

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __str__(self) -> str:
        return f"{self.path!r} of shape {self.shape} and {self.dtype}"


@dataclass(frozen=True, slots=True)
class _Said:
    """What an image says of its pixels, as JSON.

    Parameters
    ----------
    dims
        Of the arrays.
    names
        Of the channels: their labels, what stands along them, and how these are counted; None where nothing is said.
    places
        Where pixels lie, level by level.
    is_alone
        Whether it has scalar coordinates of its own.
    """

    dims: tuple[str, ...]
    names: tuple[str | None, ...]
    places: tuple[str, ...]
    is_alone: bool

    @classmethod
    def of(cls, group: zarr.Group) -> _Said:
        """Read it from an image's group."""
        attrs = group.attrs.asdict()
        image = spec.parse(attrs)
        said = sidecar.fingerprint(image)
        coords = sidecar.along_dims(attrs.get(sidecar.KEY))
        kept = {name: entry for name, entry in coords.items() if name not in OWN}
        values = {
            name: hashlib.sha256(np.ascontiguousarray(whole(open_array(group, entry["array"]))).tobytes()).hexdigest()
            if "array" in entry
            else entry.pop("values", None)
            for name, entry in kept.items()
        }
        along = next((index for index, axis in enumerate(image.multiscale.axes) if axis.type == "channel"), None)
        dims = image.multiscale.dims
        labels = [channel.label for channel in image.channels or ()]
        names: list[Any] = [labels if any(labels) else None]
        if along is not None:
            names += [values.pop(dims[along], None), said["axes"][along]]
        finest = [said["axes"], kept, values, bool(labels), _said_of_systems(image, said, kept)]
        places = [finest, *([image.multiscale.type, level] for level in said["levels"])]
        return cls(
            dims,
            tuple(None if known is None else json.dumps(known) for known in names),
            tuple(json.dumps(place, sort_keys=True) for place in places),
            not sidecar.scalars(attrs.get(sidecar.KEY)) <= {*PLACES},
        )

    def differs_in(self, other: _Said) -> frozenset[str]:
        """Return in what it is unlike another. Of levels, and names, that one of them lacks nothing is said."""
        named = [(one, two) for one, two in zip(self.names, other.names, strict=False) if None not in (one, two)]
        found = {
            NAMES: self.dims != other.dims or any(one != two for one, two in named),
            PLACE: any(map(operator.ne, self.places, other.places)),
            ALONE: self.is_alone,
        }
        return frozenset(what for what, is_so in found.items() if is_so)


def _said_of_systems(image: Image, said: Mapping[str, Any], kept: Mapping[str, Mapping[str, Any]]) -> list[Any]:
    """Return what is said of the coordinate systems in which an image has coordinates: what leads there, and units."""
    axes = spec.axes_by_system(image.multiscale)
    names = sorted({entry["system"] for entry in kept.values() if "system" in entry})
    return [
        [name, said.get("systems", {}).get(name), *([axis.name, axis.unit] for axis in axes.get(name, ()))]
        for name in names
    ]


type _Snapshot = tuple[str, Sequence[xr.Dataset]]
"""What the tree of an image says as it was opened: the attributes of its node, as JSON, and its levels."""


@dataclass(frozen=True, eq=False)
class Model:
    """An image of a plate that was opened, but for its labels, and that others of its kind are taken to be like.

    Parameters
    ----------
    plate, group
        The plate's group, and the image's.
    path
        Where the image is below the plate.
    once
        Tells what is found since the plate was opened.
    stored
        Its levels as they are stored.
    own, shared
        What its tree says, and what is taken of that for others; without levels in another process, which only reads.
    arrays
        What its levels read.
    version
        Of OME-Zarr.
    dropped
        Coordinates that are left out.
    folder
        Where the plate was opened: its other images are looked for there, and in no other that has its name.
    """

    plate: zarr.Group
    group: zarr.Group
    path: str
    once: Once
    stored: Sequence[_StoredLevel]
    own: _Snapshot = ("", ())
    shared: _Snapshot = ("", ())
    arrays: Sequence[OrderedArray] = ()
    version: str | None = None
    dropped: frozenset[str] = frozenset()
    folder: Folder | None = None
    _placed: dict[tuple[str, ...], list[xr.Dataset]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, plate: zarr.Group, group: zarr.Group, path: str, tree: xr.DataTree, once: Once, dropped: frozenset[str]
    ) -> Model:
        """Make it of an image's tree, which is marked as one without its labels."""
        image, found, version = stored_metadata(tree), levels(tree), version_of(tree)
        assert image is not None
        lazily: list[Any] = [da.variable._data for da in found]
        arrays: list[OrderedArray] = [data.array for data in lazily]
        stored = [
            _StoredLevel(level.path, array._array.shape, array._array.dtype)
            for level, array in zip(image.multiscale.levels, arrays, strict=True)
        ]
        own = json.dumps(tree.attrs), [node.to_dataset().copy() for node in tree.children.values()]
        attrs = json.dumps(spec.dump(image.shared(), spec.written_as(image.version)))
        shared = attrs, [_without_own(da, _pixels_of(ds)) for da, ds in zip(found, own[1], strict=True)]
        model = cls(plate, group, path, once, stored, own, shared, arrays, version, dropped, Folder.of(plate))
        _mark(tree, Alike(model, path))
        return model

    def __reduce__(self) -> Any:
        sent = partial(Model, folder=self.folder)
        return (sent, (self.plate, self.group, self.path, self.once, self.stored))

    @cached_property
    def said(self) -> _Said:
        """What is compared with others."""
        return _Said.of(self.group)

    @cached_property
    def assumed(self) -> frozenset[Hashable]:
        """Names of what is taken of it, and made sure of when it is written."""
        return frozenset(self.shared[1][0].variables) - OWN

    def image(self, path: str, coords: Mapping[str, Any], source: str) -> xr.DataTree:
        """Make the tree of another image."""
        tree = xr.DataTree(EMPTY)
        tree.attrs = json.loads(self.shared[0])  # each its own, with all that is in them
        alike = Alike(self, path)
        if source:
            tree.encoding["source"] = f"{source}/{path}"
        if spec.written_as(self.version) != self.version:
            tree.encoding[VERSION] = self.version
        made = {}
        for number, (ds, array) in enumerate(zip(self._with_place(coords), alike.arrays, strict=True)):
            level = xr.DataTree(ds)
            variables = level.dataset.variables  # the node's own, which share their values alone with those of others
            variables[_pixels_of(ds)].data = LazyArray(array)
            for name in _free(ds, coords):
                variables[name].data = np.asarray(coords[name])
            for of_image in self.assumed.intersection(variables):
                variables[of_image].encoding[ASSUMED] = alike
            made[str(number)] = level
        attach(tree, made)
        _mark(tree, alike)
        return tree

    def _with_place(self, coords: Mapping[str, Any]) -> list[xr.Dataset]:
        """Return the levels with coordinates of these names; their values are those of whoever asked first."""
        names = tuple(coords)
        if names not in self._placed:
            added = {name: xr.Variable((), value, encoding={ADDED: True}) for name, value in coords.items()}
            self._placed[names] = [
                ds.assign_coords({name: added[name] for name in _free(ds, names)}) for ds in self.shared[1]
            ]
        return self._placed[names]


class Alike:
    """An image of a plate of which not all was read; called, it makes sure that it is like the one it was taken for.

    Parameters
    ----------
    model
        The image that it was taken to be like; itself, where it was opened but for its labels.
    path
        Where it is.
    """

    _is_told: bool
    """Whether its scalar coordinates have been read, or it was told that they are not."""

    def __init__(self, model: Model, path: str) -> None:
        self.model, self.path, self._is_told = model, path, False
        self.arrays: Sequence[OrderedArray] = model.arrays
        if path != model.path:
            self.arrays = [
                UnopenedArray(partial(self.array, number), array.order, array.dtype, array.shape)
                for number, array in enumerate(model.arrays)
            ]

    def __reduce__(self) -> Any:
        return (Alike, (self.model, self.path))

    def __deepcopy__(self, memo: Any) -> Alike:
        return self  # what is copied with an array is not the plate

    @property
    def is_remote(self) -> bool:
        """Whether several are better asked at once."""
        return is_remote(self.model.plate.store)

    def __str__(self) -> str:
        return f"{self.path!r} of the plate {str(self.model.plate.store_path)!r}"

    def __call__(self, da: xr.DataArray) -> None:
        """Make sure that what it was taken to say of its pixels is what it says, whatever was done to them.

        Raises
        ------
        PlateError
            If it is not.
        """
        self._check()

    def _check(self) -> None:
        if wrong := self._differing - {ALONE}:
            raise PlateError(f"{self._told(wrong)}; open all images, and take it from there: {CHECKED}")

    def array(self, number: int) -> zarr.Array[Any]:
        """Open the array of a level; warn if the image lies elsewhere than the tree says.

        Where it is not called as that of the other image, the image's own metadata say what it is called.

        Raises
        ------
        PlateError
            If it is not there, has another shape or dtype, or its axes or channels are others than the tree says.
        """
        stored = self.model.stored
        wanted = stored[number]
        if self.model.folder is not None and not self.model.folder.is_there():
            raise PlateError(
                f"the plate {str(self.model.plate.store_path)!r} is not there as it was when it was opened, and "
                f"{self.path!r} was not read before; open it again"
            )
        try:
            found = open_array(self.model.plate, f"{self.path}/{wanted.path}")
        except UNREADABLE_MEMBER as error:
            own = self._own_arrays()
            of_own = [_StoredLevel(path, array.shape, array.dtype) for path, array in own.items()]
            if [(one.shape, one.dtype) for one in of_own] != [(one.shape, one.dtype) for one in stored]:
                has = ", ".join(map(str, of_own)) or "none that can be opened"
                raise self._other_level(
                    f"has no level {wanted.path!r} ({type(error).__name__}); its levels are {has}", wanted
                ) from None
            found = own[of_own[number].path]
        if (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
            raise self._other_level(f"has the shape {found.shape} and {found.dtype} at level {wanted.path!r}", wanted)
        if wrong := self._differing & {NAMES, UNREAD}:
            raise PlateError(f"{self._told(wrong)}; open all images: {CHECKED}")
        if unknown := self._differing - ({ALONE} if self._is_told else set()):
            self.model.once.tell(f"{self._told(unknown)}; where that matters, open all images: {CHECKED}")
        return found

    def changed(self, image: xr.DataTree) -> str:
        """Return how its tree says something else than when it was opened, or may lie elsewhere; empty if it does not.

        What its pixels are is not asked: they stay those of the tree.
        """
        attrs, found = self.model.own if self.path == self.model.path else self.model.shared
        if not found:
            return "was opened in another process"
        own = [node.dataset for node in image.children.values()]
        if not (
            sidecar.same(image.attrs, json.loads(attrs))
            and [*image.children] == [str(number) for number in range(len(found))]
            and all(map(_says, own, found))
        ):
            return "was changed since it was opened"
        for ds, array in zip(own, self.arrays, strict=True):
            pixels = ds.variables[_pixels_of(ds)]
            if as_opened(pixels) is not array and (dims := _without_places(ds, pixels)):
                return (
                    f"was loaded or changed since it was opened, and no coordinate along {' and '.join(dims)} tells "
                    "whether its pixels lie where they did"
                )
        return ""

    def completed(self, image: xr.DataTree) -> xr.DataTree:
        """Return its tree with all that it says of itself, and the pixels that the tree has.

        Raises
        ------
        PlateError
            If it is not what it was taken for.
        """
        self._check()
        self._is_told = True
        own = image.children["0"].dataset.variables
        place = {name: own[name].values.item() for name in PLACES if name in own and not own[name].ndim}
        try:
            group = open_member(self.model.plate, self.path)
            return with_own(image, group, OWN, drop_variables=self.model.dropped, place=place)
        except LevelError as error:
            raise PlateError(f"{error}: {CHECKED}") from None
        except UNREADABLE_MEMBER as error:
            raise PlateError(
                f"{self} cannot be opened any more ({error}); leave it out, or open all images: {CHECKED}"
            ) from error

    def unread(self, changed: str) -> str:
        """Say that what an image says of itself alone is not written with what has been made of it."""
        self._is_told = True
        return (
            f"{self} {changed}, and not all of it was read then: its labels are not known and not written, and of one "
            "that was taken to be like another neither are its name, attributes, scalar coordinates, other coordinate "
            "systems and what other tools say of it, while its channels are shown as those of the other; where that "
            f"matters, open all images: {CHECKED}"
        )

    def _own_arrays(self) -> dict[str, zarr.Array[Any]]:
        """Return the arrays of the levels that the image's own metadata name; none if one cannot be opened."""
        plate = self.model.plate
        try:
            own = spec.parse(open_member(plate, self.path).attrs.asdict()).multiscale.levels
            paths = [level.path for level in own]
            return {path: open_array(plate, f"{self.path}/{path}") for path in paths if leads_below(path)}
        except UNREADABLE_MEMBER:
            return {}

    def _other_level(self, told: str, wanted: _StoredLevel) -> PlateError:
        well, _, name = self.path.rpartition("/")
        return PlateError(
            f"well {well!r}, field {name!r} of the plate {str(self.model.plate.store_path)!r} {told}, and was taken "
            f"to be like {self.model.path!r}, with the level {wanted}; open all images: {CHECKED}"
        )

    @cached_property
    def _differing(self) -> frozenset[str]:
        """In what the image is not what it was taken for; two threads that look at once find the same."""
        if self.path == self.model.path:
            return frozenset()
        try:
            return _Said.of(open_member(self.model.plate, self.path)).differs_in(self.model.said)
        except UNREADABLE_MEMBER:
            return frozenset({UNREAD})

    def _told(self, differing: frozenset[str]) -> str:
        has = f"{' and '.join(sorted(differing - {UNREAD}))} of its own"
        if UNREAD in differing:
            has = f"metadata that cannot be read, or {self.model.path!r} has"
        return (
            f"{self} has {has}, and was taken to be like {self.model.path!r}, as are all of that field whose metadata "
            "were not read"
        )


def _mark(image: xr.DataTree, alike: Alike) -> None:
    """Mark an image as one of which not all was read: at its node, and at the coordinates that opening added."""
    image.encoding[UNOPENED] = alike
    for level in image.children.values():
        variables = level.dataset.variables
        for name in PLACES:
            if name in variables and ADDED in variables[name].encoding:
                variables[name].encoding[ADDED] = alike


def _without_own(da: xr.DataArray, variable: str) -> xr.Dataset:
    """Return a level without its name, its attributes, its scalar coordinates, and what other tools say of channels."""
    own = [name for name, coord in da.coords.items() if not coord.ndim]
    ds = with_name(da.drop_vars(own).rename(None), variable)
    ds[variable].attrs = {}
    if EXTRA in ds.coords:  # images that are joined have the same coordinates
        ds[EXTRA] = xr.full_like(ds[EXTRA], "")
    return ds


def _pixels_of(ds: xr.Dataset) -> str:
    """Return the name of a level's pixels, as it was opened."""
    return variable_of(ds) or VARIABLE


def _free(ds: xr.Dataset, names: Iterable[str]) -> list[str]:
    """Return the names that are free for what is said of a whole image: what lies along pixels is the image's own."""
    variables, dims = ds.variables, ds.sizes
    return [name for name in names if name not in dims and (name not in variables or not variables[name].ndim)]


def _says(ds: xr.Dataset, taken: xr.Dataset) -> bool:
    """Whether a level says what it was taken to say: all but the values of its pixels, and its place on the plate."""
    own, known = ds.variables, taken.variables
    places = {name for name in PLACES for variables in (own, known) if name in variables and not variables[name].ndim}
    names, pixels = known.keys() - places, _pixels_of(taken)
    return (
        own.keys() - places == names
        and sidecar.same(ds.attrs, taken.attrs)
        and all(_is_same(own[name], known[name], values=name != pixels) for name in names)
    )


def _is_same(one: xr.Variable, other: xr.Variable, *, values: bool) -> bool:
    """Whether two variables say the same of themselves, and hold the same `values` where that is asked."""
    kinds = [(variable.dims, variable.shape, variable.dtype) for variable in (one, other)]
    return kinds[0] == kinds[1] and sidecar.same(one.attrs, other.attrs) and (not values or one.equals(other))


def _without_places(ds: xr.Dataset, pixels: xr.Variable) -> list[str]:
    """Return the dimensions of a level along which no coordinate tells pixels apart."""
    known = ds.variables
    return [
        repr(str(dim))
        for dim, size in pixels.sizes.items()
        if size > 1 and not (dim in known and pd.Index(known[dim].values).is_unique)
    ]
