"""Open a plate as one tree.

A plate has thousands of images that one instrument made in one way. So the metadata of one image of each field are
read, and those of the same field in other wells are taken to be like it; whoever wants to know opens them all.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from threading import Lock
from typing import Any

import numpy as np
import xarray as xr

from xomezarr import sidecar, spec
from xomezarr.channels import ACTIVE, COLOR, WINDOW
from xomezarr.checks import leads_below
from xomezarr.errors import (
    UNREADABLE_MEMBER,
    LevelError,
    NotOmeZarrError,
    PlateError,
    PlateWarning,
    told,
    warn,
)
from xomezarr.lazy import zarr
from xomezarr.model import Field, Plate
from xomezarr.planning import VERSION, stored_metadata, version_of
from xomezarr.pyramid import EMPTY, VARIABLE, attach, with_name
from xomezarr.read import asked_at_once, closer, left_out, source_of, tree_of, with_own
from xomezarr.source import ASSUMED, LazyArray, OrderedArray, UnopenedArray
from xomezarr.store import StoreArgument, check_complete, find_member, open_array, open_group, open_member
from xomezarr.tree import levels
from xomezarr.wells import ADDED, PLACES, is_number, located

__all__ = ["is_remote", "is_unopened_elsewhere", "node_at", "open_plate", "opened"]


def open_plate(
    store: StoreArgument,
    *,
    check: bool = False,
    group: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    drop_variables: str | Iterable[str] | None = None,
) -> xr.DataTree:
    """Open a plate as a tree of its wells and their images; no pixel is read.

    The metadata of the plate, of each well and of one image of each field are read: fields lie apart, and do so in each
    well again. All other images are taken to be like that of the same field and run, with its levels, shape, dtype,
    coordinates along dimensions and channels, and are opened when they are first read; of their own names, attributes
    and scalar coordinates nothing is known then. No labels are opened, those of the images that were read included:
    they are in the tree with `check`, and a copy of an image has them only then.

    Parameters
    ----------
    store
        A path, a URL, or a store of zarr or obstore.
    check
        Open every image, so that the tree is true of each, labels included.
    group
        Path of the plate's group inside the store; left out, its root.
    storage_options
        For URLs, as fsspec takes them.
    drop_variables
        Coordinates to leave out.

    Returns
    -------
    xarray.DataTree
        ``/A/1/0``: row, column, field, each image as `xarray.open_datatree` opens it. Each level has the scalar
        coordinates `row` and `column` (text), `field` (an integer where all fields of the plate have numbers for
        names, else text) and, where the store tells, `acquisition` (its id). The attributes of the root are those of
        the plate, those of a well's node its own, and those of an image that was not opened the OME metadata that it
        is taken to have.

    Raises
    ------
    StoreNotFoundError, NotOmeZarrError, IncompleteStoreError
        If there is no plate at that place.
    VersionError, MetadataError
        If its metadata are not understood.
    PlateError
        If none of its images can be opened; on reading, if an image has another shape or dtype, or other axes or
        channels than was taken for granted; and on writing one again, if it has other coordinates.

    Warns
    -----
    PlateWarning
        If wells or images cannot be opened, or lie in rows or columns that the plate does not list; and, on reading,
        once, if an image has other coordinates.
    """
    dropped = left_out(drop_variables)
    if VARIABLE in dropped:
        raise PlateError(
            f"drop_variables names {VARIABLE!r}, which are the pixels; name coordinates alone, such as "
            'drop_variables="row"'
        )
    opened = open_group(store, group=group, storage_options=storage_options)
    attrs = opened.attrs.asdict()
    if not spec.is_ome(attrs):
        check_complete(opened)
    try:
        plate = spec.parse_plate(attrs)
    except NotOmeZarrError as error:
        raise NotOmeZarrError(f"{str(opened.store_path)!r}: {error}") from None
    tree = _Opening(opened, plate, source_of(store, group), dropped).tree(check=check)
    if (close := closer(store, opened)) is not None:
        tree.set_close(close)
    return tree


def node_at(tree: xr.DataTree, path: str) -> xr.DataTree | None:
    """Return the node at a path below another one; None where there is none."""
    node: xr.DataTree | None = tree
    for name in path.split("/"):
        node = node.children.get(name) if node is not None else None
    return node


def is_remote(store: Any) -> bool:
    """Whether requests take longer than to read what they bring: neither on this machine's disks nor in memory."""
    return not isinstance(store, zarr.storage.LocalStore | zarr.storage.MemoryStore)


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
    if alike.taken is not None and alike.taken.is_said_by(image):
        return alike.completed(image), ""
    return image, alike.unread()


def is_unopened_elsewhere(image: xr.DataTree) -> bool:
    """Whether `opened` has to ask for an image, where several are better asked for at once."""
    alike = _assumption(image)
    return alike is not None and alike.is_remote


def _assumption(image: xr.DataTree) -> _Alike | None:
    """Return what completes an image of a plate of which not all was read; None for any other.

    Coordinates that opening added keep it through what xarray does to a tree; nodes do not.
    """
    finest = image.children.get("0")
    variables = {} if finest is None else finest.dataset.variables
    marks = [variables[name].encoding.get(ADDED) for name in PLACES if name in variables]
    return next((mark for mark in (*marks, image.encoding.get(UNOPENED)) if isinstance(mark, _Alike)), None)


# -- opening -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _OpenedWell:
    """A well whose metadata have been read, and where it is."""

    path: str
    row: str
    column: str
    fields: tuple[Field, ...]
    attrs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _OpenedImage:
    """An image whose metadata have been read, and where it is."""

    path: str
    group: zarr.Group
    tree: xr.DataTree


@dataclass(frozen=True, slots=True)
class _Opening:
    """A plate whose metadata have been read, and whose wells are opened next."""

    group: zarr.Group
    plate: Plate
    source: str
    dropped: frozenset[str]

    def tree(self, *, check: bool) -> xr.DataTree:
        """Make the tree."""
        wells = self._wells()
        numbered = all(is_number(field.path) for well in wells for field in well.fields)
        places = [(well, field) for well in wells for field in well.fields]
        coords = {
            f"{well.path}/{field.path}": {
                name: value
                for name, value in _coordinates(well, field, numbered=numbered).items()
                if name not in self.dropped
            }
            for well, field in places
        }
        kinds = {f"{well.path}/{field.path}": (field.path, field.acquisition) for well, field in places}
        images = self._all(coords) if check else self._like_one_of(kinds, coords)
        tree = xr.DataTree(EMPTY)
        tree.attrs = _own_attrs(self.group.attrs.asdict())
        if self.source:
            tree.encoding["source"] = self.source
        _graft(tree, images)
        for well in wells:
            if (node := node_at(tree, well.path)) is not None:
                node.attrs = dict(well.attrs)
        return tree

    def _wells(self) -> list[_OpenedWell]:
        """Read the metadata of all wells; those that cannot be opened are told and left out."""
        paths = list(dict.fromkeys(well.path for well in self.plate.wells))
        whole, places = located(self.plate)
        opened, faults = self._each(paths, lambda path: self._well(path, whole, places), str)
        _tell(faults, f"of the {len(paths)} wells of the plate {str(self.group.store_path)!r}")
        self._tell_of_lines(whole)
        return opened

    def _well(self, path: str, plate: Plate, places: Mapping[str, tuple[int, int]]) -> _OpenedWell:
        if path not in places:
            raise PlateError("neither its path nor its indices name row and column")
        row, column = plate.rows[places[path][0]].name, plate.columns[places[path][1]].name
        group = find_member(self.group, path)
        if group is None:
            raise PlateError("there is no such group")
        attrs = group.attrs.asdict()
        fields = {field.path: field for field in spec.parse_well(attrs).fields}
        return _OpenedWell(path, row, column, tuple(fields.values()), _own_attrs(attrs))

    def _tell_of_lines(self, plate: Plate) -> None:
        """Warn of rows and columns that wells have and the plate does not."""
        for what, lines, known in (("row", plate.rows, self.plate.rows), ("column", plate.columns, self.plate.columns)):
            if names := [line.name for line in lines[len(known) :]]:
                several = len(names) > 1
                warn(
                    f"the plate {str(self.group.store_path)!r} has wells of the {what}{'s' if several else ''} "
                    f"{', '.join(map(repr, names))}, which it does not list: {'they come' if several else 'it comes'} "
                    f"after those that it does; xomezarr.validate(store) lists all that is wrong",
                    PlateWarning,
                )

    def _image(self, path: str, coords: Mapping[str, Any], *, labels: bool) -> _OpenedImage:
        """Open an image, and give its levels the coordinates of its place."""
        group = find_member(self.group, path)
        if group is None:
            raise PlateError("there is no such group")
        source = self.source and f"{self.source}/{path}"
        tree = tree_of(group, source=source, drop_variables=self.dropped, labels=labels, place=coords)
        return _OpenedImage(path, group, tree)

    def _all(self, coords: Mapping[str, Mapping[str, Any]]) -> dict[str, xr.DataTree]:
        """Open every image; those that cannot be opened are told and left out."""
        opened, faults = self._each(list(coords), lambda path: self._image(path, coords[path], labels=True), str)
        _tell(faults, f"of the {len(coords)} images of the plate {str(self.group.store_path)!r}")
        if not opened:
            raise _no_image(self.group)
        return {image.path: image.tree for image in opened}

    def _like_one_of(
        self, kinds: Mapping[str, Hashable], coords: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, xr.DataTree]:
        """Open the first image of each kind that can be opened, and make all others of that kind like it."""
        waiting: dict[Hashable, list[str]] = {}
        for path, kind in kinds.items():
            waiting.setdefault(kind, []).append(path)
        opened: dict[str, xr.DataTree] = {}
        models: dict[Hashable, _Likeness] = {}
        faults: dict[str, str] = {}
        looks = _Looks()
        while waiting:
            first = [paths[0] for paths in waiting.values()]
            found, wrong = self._each(first, lambda path: self._image(path, coords[path], labels=False), str)
            opened |= {image.path: image.tree for image in found}
            models |= {kinds[image.path]: _Likeness(image, self.group, looks, self.dropped) for image in found}
            faults.update(wrong)
            waiting = {kind: paths[1:] for kind, paths in waiting.items() if kind not in models and paths[1:]}
        told = [(path, faults[path]) for path in kinds if path in faults]
        if not opened:
            raise _no_image(self.group, told)
        _tell(told, f"of the {len(coords)} images of the plate {str(self.group.store_path)!r}")
        return {
            path: opened[path] if path in opened else models[kind].image(path, coords[path], self.source)
            for path, kind in kinds.items()
            if path not in faults
        }

    def _each[T, R](
        self, things: Sequence[T], do: Callable[[T], R], name: Callable[[T], str]
    ) -> tuple[list[R], list[tuple[str, str]]]:
        """Do something with each, in threads where that is quicker; and return what went wrong, by name."""
        asked: list[Callable[[], R]] = [partial(do, thing) for thing in things]
        done, faults = [], []
        with asked_at_once(asked, remote=is_remote(self.group.store)) as answers:
            for thing, answer in zip(things, answers, strict=True):
                try:
                    done.append(answer())
                except UNREADABLE_MEMBER as error:
                    faults.append((name(thing), str(error)))
        return done, faults


class _Looks:
    """What has been found since a plate was opened: which images are what they were taken for, and whether it was told.

    Of images that are not it is told once, as they may be all.
    """

    def __init__(self) -> None:
        self._lock, self._found, self._is_told = Lock(), dict[str, frozenset[str]](), False

    def __reduce__(self) -> Any:
        return (_Looks, ())  # another process looks by itself

    def at(self, image: str, look: Callable[[], frozenset[str]]) -> frozenset[str]:
        """Return in what an image is not what it was taken for; each is looked at once."""
        if image not in self._found:
            self._found[image] = look()
        return self._found[image]

    def tell(self, unlike: str) -> None:
        """Warn, unless that was done."""
        with self._lock:
            is_known, self._is_told = self._is_told, True
        if not is_known:
            warn(unlike, PlateWarning)


@dataclass(frozen=True, slots=True)
class _StoredLevel:
    """A level of an image: path of its array below the image, and what this is as it is stored."""

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __str__(self) -> str:
        return f"{self.path!r} of shape {self.shape} and {self.dtype}"


@dataclass(frozen=True, slots=True)
class _Taken:
    """What an image is taken to say: the attributes of its group, as JSON, and its levels.

    `dropped` are the coordinates that nobody asks for. None in another process, which only reads.
    """

    attrs: str
    levels: Sequence[xr.Dataset]
    dropped: frozenset[str] = frozenset()

    def __reduce__(self) -> Any:
        return (_nothing, ())

    def is_said_by(self, image: xr.DataTree) -> bool:
        """Whether an image's tree says this still, whatever its pixels are."""
        nodes = image.children
        return (
            image.attrs == json.loads(self.attrs)
            and list(nodes) == list(map(str, range(len(self.levels))))
            and all(_says(node.dataset, level) for node, level in zip(nodes.values(), self.levels, strict=True))
        )


def _nothing() -> None:
    return None


def _says(ds: xr.Dataset, taken: xr.Dataset) -> bool:
    """Whether a level says what it was taken to say: all but its pixels, and its place on the plate."""
    own, known = ds.variables, taken.variables
    places = {*_scalars(ds), *_scalars(taken)}.intersection(PLACES)
    if own.keys() - places != known.keys() - places or ds.attrs != taken.attrs:
        return False
    pixels, others = own[VARIABLE], known.keys() - places - {VARIABLE}
    kind = pixels.dims, pixels.shape, pixels.dtype, pixels.attrs
    of_taken = known[VARIABLE]
    return kind == (of_taken.dims, of_taken.shape, of_taken.dtype, of_taken.attrs) and all(
        own[name] is known[name] or own[name].identical(known[name]) for name in others
    )


def _scalars(ds: xr.Dataset) -> list[Hashable]:
    return [name for name, variable in ds.variables.items() if not variable.ndim]


class _Model:
    """An image that others are taken to be like."""

    def __init__(self, group: zarr.Group, path: str, levels: Sequence[_StoredLevel]) -> None:
        self.group, self.path, self.levels = group, path, levels

    def __reduce__(self) -> Any:
        return (_Model, (self.group, self.path, self.levels))

    @cached_property
    def said(self) -> _Said:
        """What is compared with others."""
        return _Said.of(self.group)


@dataclass(frozen=True, slots=True)
class _Alike:
    """An image of a plate of which not all was read; called, it makes sure that it is like the one it was taken for.

    Parameters
    ----------
    plate, path
        Where it is.
    model
        The image that it was taken to be like; None where it was opened itself, but for its labels.
    taken
        What it was taken to say.
    looks
        At images of the plate.
    """

    plate: zarr.Group
    path: str
    model: _Model | None
    taken: _Taken | None
    looks: _Looks

    def __deepcopy__(self, memo: Any) -> _Alike:
        return self  # what is copied with an array is not the plate

    @property
    def is_remote(self) -> bool:
        """Whether several are better asked at once."""
        return is_remote(self.plate.store)

    def __call__(self, da: xr.DataArray) -> None:
        """Make sure that what it was taken to say of its pixels is what it says, whatever was done to them.

        Raises
        ------
        PlateError
            If it is not.
        """
        self._check()

    def _check(self) -> None:
        if unlike := self._looked():
            raise PlateError(f"{self._told(unlike)}; open all images, and take it from there: {CHECKED}")

    def array(self, number: int) -> zarr.Array[Any]:
        """Open the array of a level; warn if the image lies elsewhere than the tree says.

        Where it is not called as that of the other image, the image's own metadata say what it is called.

        Raises
        ------
        PlateError
            If it is not there, has another shape or dtype, or its axes or channels are others than the tree says.
        """
        model = self.model
        assert model is not None
        wanted = model.levels[number]
        try:
            found = open_array(self.plate, f"{self.path}/{wanted.path}")
        except UNREADABLE_MEMBER as error:
            own = self._own_arrays()
            of_own = [_StoredLevel(path, array.shape, array.dtype) for path, array in own.items()]
            if [(one.shape, one.dtype) for one in of_own] != [(one.shape, one.dtype) for one in model.levels]:
                has = ", ".join(map(str, of_own)) or "none that can be opened"
                raise self._unlike(
                    f"has no level {wanted.path!r} ({type(error).__name__}); its levels are {has}", wanted
                ) from None
            found = own[of_own[number].path]
        if (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
            raise self._unlike(f"has the shape {found.shape} and {found.dtype} at level {wanted.path!r}", wanted)
        unlike = self._looked()
        if unlike & {NAMES, UNREAD}:
            raise PlateError(f"{self._told(unlike & {NAMES, UNREAD})}; open all images: {CHECKED}")
        if unlike:
            self.looks.tell(f"{self._told(unlike)}; where that matters, open all images: {CHECKED}")
        return found

    def completed(self, image: xr.DataTree) -> xr.DataTree:
        """Return its tree with all that it says of itself, and the pixels that the tree has.

        Raises
        ------
        PlateError
            If it is not what it was taken for.
        """
        self._check()
        assert self.taken is not None
        own = image.children["0"].dataset.variables
        place = {name: own[name].values.item() for name in PLACES if name in own and not own[name].ndim}
        try:
            group = open_member(self.plate, self.path)
            return with_own(image, group, RENDERING, drop_variables=self.taken.dropped, place=place)
        except LevelError as error:
            raise PlateError(f"{error}: {CHECKED}") from None
        except UNREADABLE_MEMBER as error:
            raise PlateError(
                f"{self.path!r} of the plate {str(self.plate.store_path)!r} cannot be opened any more ({error}); leave "
                f"it out, or open all images: {CHECKED}"
            ) from error

    def unread(self) -> str:
        """Say that what an image says of itself alone is not written with what has been made of it."""
        done = "was opened in another process" if self.taken is None else "was changed since it was opened"
        return (
            f"{self.path!r} of the plate {str(self.plate.store_path)!r} {done}, and not all of it was read then: its "
            "labels, and the name and attributes of one that was taken to be like another, are not known and not "
            f"written; where that matters, open all images: {CHECKED}"
        )

    def _own_arrays(self) -> dict[str, zarr.Array[Any]]:
        """Return the arrays of the levels that the image's own metadata name; none if one cannot be opened."""
        try:
            levels = spec.parse(open_member(self.plate, self.path).attrs.asdict()).multiscale.levels
            paths = [level.path for level in levels]
            return {path: open_array(self.plate, f"{self.path}/{path}") for path in paths if leads_below(path)}
        except UNREADABLE_MEMBER:
            return {}

    def _unlike(self, told: str, wanted: _StoredLevel) -> PlateError:
        assert self.model is not None
        well, _, field = self.path.rpartition("/")
        return PlateError(
            f"well {well!r}, field {field!r} of the plate {str(self.plate.store_path)!r} {told}, and was taken to be "
            f"like {self.model.path!r}, with the level {wanted}; open all images: {CHECKED}"
        )

    def _looked(self) -> frozenset[str]:
        """Return in what the image is not what it was taken for."""
        return self.looks.at(self.path, self._look)

    def _look(self) -> frozenset[str]:
        if self.model is None:
            return frozenset()
        try:
            return _Said.of(open_member(self.plate, self.path)).unlike(self.model.said)
        except UNREADABLE_MEMBER:
            return frozenset({UNREAD})

    def _told(self, unlike: frozenset[str]) -> str:
        assert self.model is not None
        has = f"{' and '.join(sorted(unlike - {UNREAD}))} of its own"
        if UNREAD in unlike:
            has = f"metadata that cannot be read, or {self.model.path!r} has"
        return (
            f"{self.path!r} of the plate {str(self.plate.store_path)!r} has {has}, and was taken to be like "
            f"{self.model.path!r}, as are all of that field whose metadata were not read"
        )


CHECKED = "open_plate(store, check=True)"

UNOPENED = "unopened"
"""Key of the encoding of the tree of an image of which not all was read: an `_Alike`, which reads it.

It is for images without the coordinates of their place, which are marked with it too.
"""

NAMES, PLACE, UNREAD = "axes or channels", "coordinates", "unread"
"""In what images are not what they were taken for: which pixels are which, where these lie, or nobody can tell."""

RENDERING = frozenset({COLOR, ACTIVE, *WINDOW.values()})
"""Coordinates that say how channels are shown: in that images may differ."""


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
    """

    dims: tuple[str, ...]
    names: tuple[str | None, ...]
    places: tuple[str, ...]

    @classmethod
    def of(cls, group: zarr.Group) -> _Said:
        """Read it from an image's group."""
        attrs = group.attrs.asdict()
        image = spec.parse(attrs)
        said = sidecar.fingerprint(image)
        coords = sidecar.along_dims(attrs.get(sidecar.KEY))
        kept = {name: entry for name, entry in coords.items() if name not in RENDERING}
        values = {
            name: hashlib.sha256(np.ascontiguousarray(open_array(group, entry["array"])[...]).tobytes()).hexdigest()
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
        finest = [said["axes"], kept, values, bool(labels)]
        places = [finest, *([image.multiscale.type, level] for level in said["levels"])]
        return cls(
            dims,
            tuple(None if known is None else json.dumps(known) for known in names),
            tuple(json.dumps(place, sort_keys=True) for place in places),
        )

    def unlike(self, other: _Said) -> frozenset[str]:
        """Return in what it is unlike another. Of levels, and names, that one of them lacks nothing is said."""
        named = [(one, two) for one, two in zip(self.names, other.names, strict=False) if None not in (one, two)]
        found = {
            NAMES: self.dims != other.dims or any(one != two for one, two in named),
            PLACE: any(map(operator.ne, self.places, other.places)),
        }
        return frozenset(what for what, is_so in found.items() if is_so)


class _Likeness:
    """What is taken to be the same in all images of a kind, from the one that was opened: not what it says of itself.

    Parameters
    ----------
    model
        The image.
    plate
        The plate's group.
    looks
        At images of the plate since it was opened.
    dropped
        Coordinates that are left out.
    """

    def __init__(self, model: _OpenedImage, plate: zarr.Group, looks: _Looks, dropped: frozenset[str]) -> None:
        first = model.tree
        image = stored_metadata(first)
        assert image is not None
        nameless = replace(image, multiscales=(replace(image.multiscale, name=None),), extra={})
        self.plate, self.looks = plate, looks
        self.attrs = json.dumps(spec.dump(nameless, spec.written_as(image.version)))
        self.version = version_of(first)
        self.levels = [_without_own(da) for da in levels(first)]
        self.assumed = set(self.levels[0].variables) - RENDERING
        lazily: list[Any] = [da.variable._data for da in levels(first)]
        self.arrays: list[OrderedArray] = [data.array for data in lazily]
        stored = [(level.path, array._array) for level, array in zip(image.multiscale.levels, self.arrays, strict=True)]
        levels_of_model = [_StoredLevel(path, array.shape, array.dtype) for path, array in stored]
        self.model = _Model(model.group, model.path, levels_of_model)
        self.taken = _Taken(self.attrs, self.levels, dropped)
        self._placed: dict[tuple[str, ...], list[xr.Dataset]] = {}
        # of the model itself all but its labels was read
        own = _Taken(json.dumps(first.attrs), [node.to_dataset() for node in first.children.values()], dropped)
        _mark(first, _Alike(plate, model.path, None, own, looks))

    def image(self, path: str, coords: Mapping[str, Any], source: str) -> xr.DataTree:
        """Make the tree of another image."""
        tree = xr.DataTree(EMPTY)
        tree.attrs = json.loads(self.attrs)  # each its own, with all that is in them
        alike = _Alike(self.plate, path, self.model, self.taken, self.looks)
        if source:
            tree.encoding["source"] = f"{source}/{path}"
        if spec.written_as(self.version) != self.version:
            tree.encoding[VERSION] = self.version
        made = {}
        for number, (ds, array) in enumerate(zip(self._with_coords(coords), self.arrays, strict=True)):
            level = xr.DataTree(ds)
            opens = partial(alike.array, number)
            variables = level.dataset.variables  # the node's own, which share their values alone with those of others
            variables[VARIABLE].data = LazyArray(UnopenedArray(opens, array.order, array.dtype, array.shape))
            for name in _free(ds, coords):
                variables[name].data = np.asarray(coords[name])
            for of_image in self.assumed.intersection(variables):
                variables[of_image].encoding[ASSUMED] = alike
            made[str(number)] = level
        attach(tree, made)
        _mark(tree, alike)
        return tree

    def _with_coords(self, coords: Mapping[str, Any]) -> list[xr.Dataset]:
        """Return the levels with coordinates of these names; their values are those of whoever asked first."""
        names = tuple(coords)
        if names not in self._placed:
            self._placed[names] = [_with_place(ds, coords) for ds in self.levels]
        return self._placed[names]


def _mark(image: xr.DataTree, alike: _Alike) -> None:
    """Mark an image as one of which not all was read: at its node, and at the coordinates that opening added."""
    image.encoding[UNOPENED] = alike
    for level in image.children.values():
        variables = level.dataset.variables
        for name in PLACES:
            if name in variables and ADDED in variables[name].encoding:
                variables[name].encoding[ADDED] = alike


def _without_own(da: xr.DataArray) -> xr.Dataset:
    """Return a level without its name, its attributes and its scalar coordinates."""
    own = [name for name, coord in da.coords.items() if not coord.ndim]
    ds = with_name(da.drop_vars(own).rename(None))
    ds[VARIABLE].attrs = {}
    return ds


def _with_place(ds: xr.Dataset, coords: Mapping[str, Any]) -> xr.Dataset:
    """Return a level with the coordinates that say where on the plate it is."""
    return ds.assign_coords({name: xr.Variable((), coords[name], encoding={ADDED: True}) for name in _free(ds, coords)})


def _free(ds: xr.Dataset, names: Iterable[str]) -> list[str]:
    """Return the names that are free for what is said of a whole image: what lies along pixels is the image's own."""
    variables, dims = ds.variables, ds.sizes
    return [name for name in names if name not in dims and (name not in variables or not variables[name].ndim)]


def _coordinates(well: _OpenedWell, field: Field, *, numbered: bool) -> dict[str, Any]:
    """Return the coordinates of an image's place."""
    coords = {"row": well.row, "column": well.column, "field": int(field.path) if numbered else field.path}
    return coords if field.acquisition is None else {**coords, "acquisition": field.acquisition}


def _own_attrs(attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attrs.items() if key != sidecar.KEY}


def _tell(faults: Sequence[tuple[str, str]], whole: str) -> None:
    """Warn of what cannot be opened: in one warning, for they may be hundreds."""
    if faults:
        warn(
            f"{len(faults)} {whole} cannot be opened, and are left out: {_listed(faults)}; "
            "xomezarr.validate(store) lists all that is wrong",
            PlateWarning,
        )


def _listed(faults: Sequence[tuple[str, str]]) -> str:
    return told([f"{name!r} ({fault})" for name, fault in faults])


def _no_image(group: zarr.Group, faults: Sequence[tuple[str, str]] = ()) -> PlateError:
    told = f": {_listed(faults)}" if faults else ""
    return PlateError(
        f"the plate {str(group.store_path)!r} has no image that can be opened{told}; "
        "xomezarr.validate(store) lists all that is wrong"
    )


def _graft(tree: xr.DataTree, images: Mapping[str, xr.DataTree]) -> None:
    """Put images into a tree, at their paths; nodes that are missing are made."""
    below: dict[str, dict[str, xr.DataTree]] = {}
    for path, image in images.items():
        head, _, rest = path.partition("/")
        below.setdefault(head, {})[rest] = image
    children = {}
    for head, inner in below.items():
        child = inner.pop("", None)
        children[head] = xr.DataTree(EMPTY) if child is None else child
        if inner:
            _graft(children[head], inner)
    attach(tree, children)
