"""Open a plate as one tree.

A plate has thousands of images that one instrument made in one way. So the metadata of one image of each field are
read, and those of the same field in other wells are taken to be like it; whoever wants to know opens them all.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import xarray as xr

from xomezarr import sidecar, spec
from xomezarr.errors import UNREADABLE_MEMBER, NotOmeZarrError, PlateError, PlateWarning, told, warn
from xomezarr.lazy import zarr
from xomezarr.likeness import Model, Once
from xomezarr.model import Field, Plate
from xomezarr.pyramid import EMPTY, VARIABLE, attach
from xomezarr.read import asked_at_once, is_remote, left_out, made_of, source_of, tree_of
from xomezarr.store import StoreArgument, check_complete, find_member
from xomezarr.wells import is_number, located

__all__ = ["node_at", "open_plate"]


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
    coordinates along dimensions and channels, and are opened when they are first read; of their own names, attributes,
    scalar coordinates and other coordinate systems, and of what other tools say of them, nothing is known then. No
    labels are opened, those of the images that were read included: they are in the tree with `check`, and a copy of an
    image has them only then.

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

    def tree(found: zarr.Group) -> xr.DataTree:
        attrs = found.attrs.asdict()
        if not spec.is_ome(attrs):
            check_complete(found)
        try:
            plate = spec.parse_plate(attrs)
        except NotOmeZarrError as error:
            raise NotOmeZarrError(f"{str(found.store_path)!r}: {error}") from None
        return _Opening(found, plate, source_of(store, group), dropped).tree(check=check)

    return made_of(tree, store, group=group, storage_options=storage_options)


def node_at(tree: xr.DataTree, path: str) -> xr.DataTree | None:
    """Return the node at a path below another one; None where there is none."""
    node: xr.DataTree | None = tree
    for name in path.split("/"):
        node = node.children.get(name) if node is not None else None
    return node


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
        wells, faults = self._each(paths, lambda path: self._well(path, whole, places))
        _tell(faults, f"of the {len(paths)} wells of the plate {str(self.group.store_path)!r}")
        self._tell_of_lines(whole)
        return [*wells.values()]

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

    def _image(self, path: str, coords: Mapping[str, Any], *, labels: bool) -> tuple[zarr.Group, xr.DataTree]:
        """Open an image, and give its levels the coordinates of its place."""
        group = find_member(self.group, path)
        if group is None:
            raise PlateError("there is no such group")
        source = self.source and f"{self.source}/{path}"
        return group, tree_of(group, source=source, drop_variables=self.dropped, labels=labels, place=coords)

    def _all(self, coords: Mapping[str, Mapping[str, Any]]) -> dict[str, xr.DataTree]:
        """Open every image; those that cannot be opened are told and left out."""
        images, faults = self._each(coords, lambda path: self._image(path, coords[path], labels=True))
        _tell(faults, f"of the {len(coords)} images of the plate {str(self.group.store_path)!r}")
        if not images:
            raise _no_image(self.group)
        return {path: tree for path, (_, tree) in images.items()}

    def _like_one_of(
        self, kinds: Mapping[str, Hashable], coords: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, xr.DataTree]:
        """Open the first image of each kind that can be opened, and make all others of that kind like it."""
        waiting: dict[Hashable, list[str]] = {}
        for path, kind in kinds.items():
            waiting.setdefault(kind, []).append(path)
        images: dict[str, xr.DataTree] = {}
        models: dict[Hashable, Model] = {}
        wrong: dict[str, str] = {}
        once = Once()
        while waiting:
            first = [paths[0] for paths in waiting.values()]
            found, faults = self._each(first, lambda path: self._image(path, coords[path], labels=False))
            wrong |= faults
            for path, (group, tree) in found.items():
                images[path] = tree
                models[kinds[path]] = Model.of(self.group, group, path, tree, once, self.dropped)
            waiting = {kind: paths[1:] for kind, paths in waiting.items() if kind not in models and paths[1:]}
        wrong = {path: wrong[path] for path in kinds if path in wrong}
        if not images:
            raise _no_image(self.group, wrong)
        _tell(wrong, f"of the {len(coords)} images of the plate {str(self.group.store_path)!r}")
        return {
            path: images[path] if path in images else models[kind].image(path, coords[path], self.source)
            for path, kind in kinds.items()
            if path not in wrong
        }

    def _each[R](self, paths: Iterable[str], do: Callable[[str], R]) -> tuple[dict[str, R], dict[str, str]]:
        """Do something with each member, at once where that is quicker; and return what went wrong, by path."""
        asked: dict[str, Callable[[], R]] = {path: partial(do, path) for path in paths}
        done, faults = dict[str, R](), dict[str, str]()
        with asked_at_once(asked.values(), remote=is_remote(self.group.store)) as answers:
            for path, answer in zip(asked, answers, strict=True):
                try:
                    done[path] = answer()
                except UNREADABLE_MEMBER as error:
                    faults[path] = str(error)
        return done, faults


def _coordinates(well: _OpenedWell, field: Field, *, numbered: bool) -> dict[str, Any]:
    """Return the coordinates of an image's place."""
    coords = {"row": well.row, "column": well.column, "field": int(field.path) if numbered else field.path}
    return coords if field.acquisition is None else {**coords, "acquisition": field.acquisition}


def _own_attrs(attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attrs.items() if key != sidecar.KEY}


def _tell(faults: Mapping[str, str], whole: str) -> None:
    """Warn of what cannot be opened: in one warning, for they may be hundreds."""
    if faults:
        warn(
            f"{len(faults)} {whole} cannot be opened, and are left out: {_listed(faults)}; "
            "xomezarr.validate(store) lists all that is wrong",
            PlateWarning,
        )


def _listed(faults: Mapping[str, str]) -> str:
    return told([f"{path!r} ({fault})" for path, fault in faults.items()])


def _no_image(group: zarr.Group, faults: Mapping[str, str] = MappingProxyType({})) -> PlateError:
    why = f": {_listed(faults)}" if faults else ""
    return PlateError(
        f"the plate {str(group.store_path)!r} has no image that can be opened{why}; "
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
