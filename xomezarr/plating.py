"""Write plates: a whole one at once, or image by image, from several processes too.

What a plate's metadata say is true at any moment: an image is whole before its well names it, and the well names it
before the plate names the well; what a well may refer to, runs and a number of fields, the plate says before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from xomezarr import holders, model, spec
from xomezarr.direct import put_attributes, update_attributes
from xomezarr.engine import OnTile
from xomezarr.errors import (
    UNREADABLE_MEMBER,
    LabelError,
    NotOmeZarrError,
    OmeZarrError,
    PlateError,
    PlateWarning,
    StoreExistsError,
    StoreNotFoundError,
    alike_of_each,
    collecting,
    first_of_each,
    raise_all,
    told,
    warn,
)
from xomezarr.joining import Said, join, put_back
from xomezarr.labels import Labels
from xomezarr.lazy import zarr
from xomezarr.members import (
    Image,
    Member,
    Whole,
    asked_of_each,
    check_nothing_else,
    members_in,
    plan_members,
    write_members,
    written_version,
)
from xomezarr.model import Acquisition, Field, Plate, Well
from xomezarr.planning import Target, known_options, plan_image, written_attrs
from xomezarr.plate import node_at, open_plate
from xomezarr.store import (
    StoreArgument,
    alone,
    begin_anew,
    below,
    check_inside,
    check_not_between,
    default_name,
    erase,
    exists,
    find_member,
    held_in,
    is_bare,
    is_begun,
    open_group,
    resolve,
    unmarked,
    withheld,
    withhold,
    writable_group,
)
from xomezarr.tree import images
from xomezarr.wells import Entry, Layout, Listed, Place, relocated, with_entry, without_own_run
from xomezarr.write import write_plan

__all__ = ["to_plate", "write_plate", "write_plate_tree"]

_OF_ONE_IMAGE: Mapping[str, str] = {
    "labels": "give each image with its labels as a Dataset: xr.Dataset({'image': image, 'nuclei': labels})",
}
"""Options of `to_zarr` that are said of one image, and what to do instead."""

_asked = partial(asked_of_each, like="plate", of_one=_OF_ONE_IMAGE)
"""Takes the options of a call; as `members.asked_of_each`."""


def write_plate(
    wells: Mapping[tuple[Any, Any], Sequence[Image] | Mapping[Any, Image]],
    store: StoreArgument,
    *,
    name: str | None = None,
    rows: Sequence[Any] | None = None,
    columns: Sequence[Any] | None = None,
    acquisitions: Mapping[int, Acquisition | Mapping[str, Any]] | None = None,
    mode: str = "w-",
    progress: bool | OnTile | None = None,
    compute: bool = True,
    **options: Any,
) -> xr.DataTree | Any:
    """Write a plate at once.

    Everything is checked before the first byte is written. A local store appears whole or not at all.

    Parameters
    ----------
    wells
        By row and column, such as ``("A", "1")``: the images of the well, as a list (fields 0, 1, …) or by the names
        of fields; or the tree of a well, with what the well says. An image is a DataArray, a Dataset of an image and
        its labels, or an image's tree, whose levels are written as they stand. A scalar coordinate `acquisition` is
        the id of the run that took it. The coordinates `row`, `column` and `field` that `open_plate` adds are not
        written.
    store
        A path, a URL that fsspec knows, or a store of zarr or obstore.
    name
        Of the plate; left out, that of the store.
    rows, columns
        Names of all rows and columns in their order, such as ``"ABCDEFGH"`` and ``range(1, 13)``; left out, those that
        occur, in the order of plates: A … Z, AA …, and 1, 2, … by number.
    acquisitions
        What is known of runs, by id: `Acquisition`, or a dict of its parameters. Runs that are left out have their ids
        for names.
    mode
        ``"w-"``: an error if the store exists; ``"w"``: replace it.
    progress, compute, **options
        As in `to_zarr`; they count for every image. Labels are given with each image.

    Returns
    -------
    xarray.DataTree or dask.delayed.Delayed
        The plate, opened lazily.

    Raises
    ------
    PlateError
        If wells, fields or acquisitions cannot be named so.
    OmeZarrError
        If an image cannot be written; independent faults are raised together, and name well and field.
    StoreExistsError
        If something is at that place already.

    Warns
    -----
    PlateWarning
        If all rows are numbers and all columns letters, as where rows and columns have changed places.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> cells = xr.DataArray(np.ones((64, 64), "uint8"), dims=("y", "x"), name="cells")
    >>> store = tempfile.mkdtemp() + "/plate.ome.zarr"
    >>> tree = write_plate({("A", 1): [cells, cells], ("B", 2): [cells]}, store, levels=2)
    >>> dict(tree.omezarr.stack().sizes)
    {'row': 2, 'column': 2, 'field': 2, 'y': 64, 'x': 64}
    """
    faults: list[OmeZarrError] = []
    target, options = _asked(faults, store, "write_plate", {**options, "mode": mode})
    said: dict[str, Well] = {}
    found = _placed(_images_of(wells, said, faults), faults)
    if rows is None and columns is None:
        _warn_of_swapped(found)
    name = default_name(store) if name is None else name
    made = Layout.of(found, rows, columns, acquisitions, name, faults, said)
    return _write(found, made, target, options, faults, progress=progress, compute=compute)


def _warn_of_swapped(found: Collection[Place]) -> None:
    """Warn where all rows are numbers and all columns letters, which are the other way round on plates."""
    rows, columns = ([*dict.fromkeys(names)] for names in ([p.row for p in found], [p.column for p in found]))
    if not found or not all(map(str.isdecimal, rows)) or not all(map(str.isalpha, columns)):
        return
    row, column = rows[0], columns[0]
    warn(
        f"rows are called {told([*map(repr, rows)])} and columns {told([*map(repr, columns)])}, and on plates rows "
        f"have letters and columns numbers; give wells by row and column, ({column!r}, {row}), not ({row}, {column!r})"
        f"; if they are called so, say it: rows={rows}, columns={columns}",
        PlateWarning,
    )


def write_plate_tree(
    tree: xr.DataTree,
    store: StoreArgument,
    *,
    name: str | None = None,
    version: str | None = None,
    mode: str = "w-",
    progress: bool | OnTile | None = None,
    compute: bool = True,
    **options: Any,
) -> xr.DataTree | Any:
    """Write the tree of a plate as it stands: all images that it holds, with what plate and wells say.

    Images of which others were taken to be like one that was opened are opened now, as `likeness.opened` does. Of
    images that were taken away plate and wells say nothing, and fields are counted anew; rows, columns and runs stay.

    Parameters
    ----------
    tree
        As `open_plate` opens it.
    name
        Of the plate; left out, the one that it has.
    version
        Left out, that of the plate.
    store, mode, progress, compute, **options
        As in `write_plate`.

    Returns
    -------
    xarray.DataTree or dask.delayed.Delayed
        The plate, opened lazily.

    Raises
    ------
    PlateError
        If the tree has no image, one that has no place on a plate, or one that is not what it was taken for.
    OmeZarrError
        If the tree holds what has no place in the store, or an image cannot be written; independent faults are raised
        together.

    Warns
    -----
    PlateWarning
        If wells get other paths, as theirs are not the names of their rows and columns; and as `likeness.opened` does.
    """
    faults: list[OmeZarrError] = []
    options = {**options, "mode": mode, "version": written_version(tree, store, version)}
    target, options = _asked(faults, store, "to_zarr", options)
    plate, paths = relocated(spec.parse_plate(written_attrs(tree)))
    there, said = images(tree), dict[str, Well]()
    new = {well: well for path in there if (well := path.rpartition("/")[0]).count("/") == 1 and well not in paths}
    places = {path: place.split("/") for path, place in {**paths, **new}.items()}
    found = _placed(_images_in(tree, there, places, said, faults, "the image {!r} of the tree"), faults)
    if moved := [path for path, place in paths.items() if path != place and node_at(tree, path) is not None]:
        moves = told([f"{path!r} is {paths[path]!r}" for path in moved])
        warn(f"wells get the paths of their rows and columns, as OME-Zarr {target.version} asks: {moves}", PlateWarning)
    made = Layout.left(plate if name is None else replace(plate, name=name), said, found, faults)
    if made is None and not faults:
        faults.append(PlateError("the tree has no image of a plate; open it again: xomezarr.open_plate(store)"))
    return _write(found, made, target, options, faults, progress=progress, compute=compute)


def _write(
    found: Mapping[Place, Member],
    made: Layout | None,
    target: Target,
    options: Mapping[str, Any],
    faults: list[OmeZarrError],
    *,
    progress: bool | OnTile | None,
    compute: bool,
) -> xr.DataTree | Any:
    """Write a plate of images at their places; what is wrong is told with the faults that have been found."""
    places = {place.path: place for place in found}
    members = {place.path: image for place, image in found.items()}
    planned = plan_members(members, target, options, faults, lambda path: str(places[path]))
    if made is not None and not faults:
        with collecting(faults):
            made.check(target.version)
    raise_all(faults, "the plate cannot be written")
    assert made is not None

    def finish(group: zarr.Group) -> None:
        for path, well in made.wells.items():
            update_attributes(group[path], spec.dump_well(well, target.version))  # type: ignore[arg-type]
        put_attributes(group, spec.dump_plate(made.plate, target.version))

    return write_members(planned, target, finish, _opened, progress=progress, compute=compute)


def _opened(target: Target) -> xr.DataTree:
    return open_plate(target.store, storage_options=target.storage_options)


def to_plate(
    da: xr.DataArray,
    store: StoreArgument,
    *,
    row: Any = None,
    column: Any = None,
    field: Any = None,
    acquisition: int | Acquisition | None = None,
    name: str | None = None,
    version: str | None = None,
    mode: str = "w-",
    progress: bool | OnTile | None = None,
    compute: bool = True,
    labels: Mapping[str, xr.DataArray | Labels] | None = None,
    extra: Mapping[Any, Any] | None = None,
    **options: Any,
) -> xr.DataTree | Any:
    """Add an image to a plate; if there is no plate yet, it is made.

    A failure leaves what was there before, but for an image elsewhere than in a local folder that was to be replaced:
    that is gone then, and nothing names it. Several processes may add images to a plate in a local folder at once;
    elsewhere only one at a time. Whoever reads meanwhile finds whole images, and metadata of plate and wells that
    agree, whenever a writer is stopped.

    Parameters
    ----------
    da
        The image.
    store
        Path, URL or store of the plate.
    row, column, field
        Names: letters and digits, or numbers. Left out, those that the scalar coordinates `row`, `column` and `field`
        of the image hold; `field` is 0 where there is none. New rows and columns are put where they belong: A … Z,
        AA …, and by number.
    acquisition
        Id of the run that took the image, or an `Acquisition`, with what is known of it; left out, what the scalar
        coordinate `acquisition` says. A plate of several runs takes no image without one.
    name
        Of the plate, if it is new; left out, that of the store.
    version
        Of OME-Zarr; left out, that of the plate, or ``"0.4"`` for a new one.
    mode
        ``"w-"``: an error if the field exists; ``"w"``: replace it, and nothing else. Elsewhere than in a local folder
        its well does not name it meanwhile, and the plate not the well if it has no other.
    progress, compute, labels, **options
        As in `to_zarr`.
    extra
        Attributes of the image's group.

    Returns
    -------
    xarray.DataTree or dask.delayed.Delayed
        The image, opened lazily.

    Raises
    ------
    PlateError
        If the plate has no place for the image.
    OmeZarrError
        If the image cannot be written; independent faults are raised together.
    StoreExistsError
        If the well has such a field, or something else than a plate is at that place.
    IncompleteStoreError
        If bringing the store to another version was interrupted: `xomezarr.upgrade` finishes that.
    """
    faults: list[OmeZarrError] = []
    place = Place.of(da, row, column, field, acquisition)
    storage_options = options.get("storage_options")
    plate = _Stored.found(store, storage_options)
    if plate.plate is not None:
        in_format = None if plate.group is None else plate.group.metadata.zarr_format
        spec.check_written(str(plate.plate.version), store=store, in_format=in_format)
    if plate.group is not None:
        check_not_between(plate.group, place.row, place.well)
        check_inside(plate.group, place.row, place.well, place.path)
    entry = Entry(place, name, version or plate.versions[0], default_name(store))
    with collecting(faults):
        listed = plate.with_entry(entry)
    asked, options = Target.split({**options, "mode": mode, "version": entry.version})
    options = known_options(options, "to_plate", faults)
    of_target: list[OmeZarrError] = []
    target = Target.asked(
        of_target, below(store, place.path), replaced=labels if isinstance(labels, Mapping) else (), joins=True, **asked
    )
    target = replace(target.laid_out(plate.first_image() if target.layout is None else None), path=place.path)
    taken = plate.taken(place, mode)
    # of a field that is there the plate says more
    faults += [fault for fault in of_target if taken is None or not isinstance(fault, StoreExistsError)]
    faults += [] if taken is None else [taken]
    with collecting(faults):
        labels = _labels_at(place, labels)
        plan, pixels = plan_image(place.marked(da), target, [], labels=labels, extra=extra, **options)
    raise_all(faults, f"the image cannot be added to the plate at {place}")
    root = resolve(store)
    add = partial(join, root, _Fields(root, storage_options, entry, replace(plate, group=None), listed))
    return write_plan(plan, pixels, progress=progress, compute=compute, how=add)


def _labels_at(place: Place, labels: Any) -> Any:
    """Return the labels that a user gave, with coordinates that are true of a place; what is none stays as it is."""

    def placed(given: Any) -> Any:
        if isinstance(given, Labels) and isinstance(given.image, xr.DataArray):
            return replace(given, image=place.marked(given.image))
        return place.marked(given) if isinstance(given, xr.DataArray) else given

    return {name: placed(given) for name, given in labels.items()} if isinstance(labels, Mapping) else labels


# -- a whole plate -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Given:
    """An image that is to be written, and where on the plate the user put it.

    Parameters
    ----------
    where
        What it is called in what is told.
    names
        Row, column and field; fewer where it lies in no well.
    known
        Returns it, or raises what is wrong with it.
    listed
        What its well says of it; None where that does not list it.
    """

    where: str
    names: Sequence[Any]
    known: Callable[[], Member]
    listed: Field | None = None

    def placed(self) -> tuple[Place, Member]:
        """Return its place, and it with coordinates that are true of this.

        Raises
        ------
        PlateError
            If it has no place on a plate.
        LabelError
            If it is an image of labels.
        OmeZarrError
            If it cannot be written.
        """
        if len(self.names) != 3:
            raise PlateError("it is no row, column and field; move the image to one, such as tree['A/1/0']")
        row, column, field = self.names
        member = self.known()
        if isinstance(member, Whole) and member.is_label:
            raise LabelError(
                "they are labels, and a plate holds images; give the image with its labels, or write them as an image: "
                "labels.omezarr.level(0)"
            )
        place = Place.of(without_own_run(member.image, self.listed), row, column, field, None)
        return place, member.marked(place.marked)


def _placed(given: Iterable[_Given], faults: list[OmeZarrError]) -> dict[Place, Member]:
    """Return images by their places; what is wrong with them is added to `faults`."""
    found: dict[Place, Member] = {}
    paths: set[str] = set()
    wrong: list[tuple[str, OmeZarrError]] = []
    for image in given:
        of_image: list[OmeZarrError] = []
        with collecting(of_image):
            place, member = image.placed()
            if place.path in paths:
                raise PlateError(f"there is another image at {place.path!r}; give one of them another field")
            paths.add(place.path)
            found[place] = member
        wrong += [(image.where, fault) for fault in of_image]
    faults += first_of_each(alike_of_each(wrong))
    return found


def _images_of(wells: Any, said: dict[str, Well], faults: list[OmeZarrError]) -> Iterator[_Given]:
    """Yield the images of wells by row and column.

    Parameters
    ----------
    wells
        What the user gave.
    said
        What trees of wells say is added to it, by the paths of wells.
    faults
        What is wrong with wells is added to them.
    """
    if not isinstance(wells, Mapping) or not wells:
        faults.append(PlateError('there are no wells; give images by row and column: {("A", "1"): [image]}'))
        return
    for well, given in wells.items():
        if not isinstance(well, tuple) or len(well) != 2:
            faults.append(PlateError(f'the well {well!r} is no pair of row and column; give ("A", "1"), say'))
            continue
        where = f"well {'/'.join(map(str, well))}"
        if isinstance(given, xr.DataTree) and (there := images(given)):
            of_well: list[OmeZarrError] = []
            yield from _images_in(given, there, {"": well}, said, of_well, where + ", field {}")
            faults += [type(fault)(f"{where}: {fault}") for fault in of_well]
            continue
        # a Dataset is a mapping, and a single image, as are trees of such
        if isinstance(given, xr.Dataset | xr.DataTree | str) or not isinstance(given, Mapping | Sequence) or not given:
            held = f"an empty {type(given).__name__}" if isinstance(given, Sequence) else f"a {type(given).__name__}"
            faults.append(PlateError(f"the well {well!r} has {held} for images; give a list of them: [image]"))
            continue
        for field, image in given.items() if isinstance(given, Mapping) else enumerate(given):
            yield _Given(f"{where}, field {field}", (*well, field), partial(Member.of, image, PlateError))


def _images_in(
    tree: xr.DataTree,
    there: Sequence[str],
    places: Mapping[str, Sequence[Any]],
    said: dict[str, Well],
    faults: list[OmeZarrError],
    called: str,
) -> Iterator[_Given]:
    """Yield the images of the tree of a plate, or of a well.

    Parameters
    ----------
    tree
        The plate, or the well.
    there
        The paths of its images.
    places
        Row and column of wells, by the paths that they have in the tree.
    said
        What the wells say is added to it, by the paths where they belong.
    faults
        What the tree holds beside images, and is not written, is added to them.
    called
        What an image is called in what is told, with ``{}`` for its path.
    """
    known = [] if "" in places else [""]
    for path, names in places.items():
        node, well = node_at(tree, path) if path else tree, "/".join(map(str, names))
        if node is not None and well not in said:
            attrs = written_attrs(node)
            is_said = "well" in spec.kinds(attrs)
            said[well] = spec.parse_well(attrs) if is_said else Well((), extra=spec.others(attrs))
            known.append(path)
    check_nothing_else(tree, there, known, faults)
    listed = {f"{well}/{field.path}": field for well, of_well in said.items() for field in of_well.fields}
    for path, member in members_in(tree, there, PlateError):
        well, _, field = path.rpartition("/")
        names = (*places.get(well, ()), field)
        yield _Given(called.format(path), names, member, listed.get("/".join(map(str, names))))


# -- one image more ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Stored:
    """A plate as it is in its store at this moment.

    Parameters
    ----------
    store
        Where.
    group
        None where there is none yet.
    plate
        None where it is in the making: it has no image yet.
    attrs
        What `plate` was read from.
    """

    store: StoreArgument
    storage_options: Mapping[str, Any] | None
    group: zarr.Group | None
    plate: Plate | None
    attrs: Mapping[str, Any] = dataclass_field(default_factory=dict)

    @classmethod
    def found(
        cls, store: StoreArgument, storage_options: Mapping[str, Any] | None, known: _Stored | None = None
    ) -> _Stored:
        """Look at it; what has not changed since it was `known` is not read again, which takes long for many wells.

        Others may write the two documents of a group of Zarr v2 between the moments at which they are read: what looks
        like something else is looked at again.

        Raises
        ------
        PlateError
            If something else is there.
        """
        with suppress(PlateError):
            return cls._seen(store, storage_options, known)
        return cls._seen(store, storage_options, known)

    @classmethod
    def _seen(cls, store: StoreArgument, storage_options: Mapping[str, Any] | None, known: _Stored | None) -> _Stored:
        nothing = cls(store, storage_options, None, None)
        try:
            group = open_group(store, storage_options=storage_options)
        except StoreNotFoundError:
            return nothing
        except NotOmeZarrError as error:
            if is_bare(store, storage_options):
                return nothing
            raise PlateError(f"{error}; give the path of a plate, or one where nothing is") from None
        said = group.attrs.asdict()
        kept = withheld(said)
        attrs: Mapping[str, Any] = said if kept is None else kept
        if "plate" in spec.kinds(attrs):
            plate = known.plate if known is not None and known.attrs == attrs else spec.parse_plate(attrs)
            return cls(store, storage_options, group, plate, attrs)
        # begun by a writer of the same plate; an empty group is as good as nothing
        if not spec.is_ome(attrs) and (is_begun(group) or is_bare(store, storage_options)):
            return cls(store, storage_options, group, None, attrs)
        what = "an image" if spec.is_image(attrs) else "something else"
        raise PlateError(f"{str(group.store_path)!r} holds {what} and no plate; give another path")

    @property
    def versions(self) -> tuple[str, ...]:
        """Versions of OME-Zarr that it may be in: its own, where there is none yet all those of the group's format."""
        if self.plate is not None:
            return (str(self.plate.version),)
        return spec.VERSIONS if self.group is None else spec.of_format(self.group.metadata.zarr_format)

    def well(self, path: str) -> Well | None:
        """Read the metadata of a well; None where there are none."""
        group = None if self.group is None else find_member(self.group, path)
        return (
            None
            if group is None or "well" not in spec.kinds(group.attrs.asdict())
            else spec.parse_well(group.attrs.asdict())
        )

    def fields(self, path: str) -> Well:
        """Return a well with the images that there are: where the plate does not name it, its writer was stopped."""
        well = self.well(path) or Well(())
        if self.plate is not None and path in {named.path for named in self.plate.wells}:
            return well
        return replace(well, fields=tuple(field for field in well.fields if self._is_image(f"{path}/{field.path}")))

    def first_image(self) -> model.Image | None:
        """Read the metadata of one of its images; None where there is none that can be read."""
        if self.group is None or self.plate is None or not self.plate.wells:
            return None
        with suppress(*UNREADABLE_MEMBER):
            found = find_member(self.group, holders.first_image(self.group))
            return None if found is None else spec.parse(found.attrs.asdict())
        return None

    def _is_image(self, path: str) -> bool:
        found = None if self.group is None else find_member(self.group, path)
        return found is not None and spec.is_image(found.attrs.asdict())

    def saying(self, path: str, said: Mapping[str, Any]) -> dict[str, Any]:
        """Return attributes for the plate, or for a well: what is said, and what else it says, but for a mark."""
        found = None if self.group is None else find_member(self.group, path) if path else self.group
        attrs = dict(self.attrs) if not path else {} if found is None else found.attrs.asdict()
        return {**unmarked(attrs), **said}

    def taken(self, place: Place, mode: str) -> StoreExistsError | None:
        """Say whether there is an image at a place already, which must not be replaced."""
        if (
            mode != "w-"
            or self.group is None
            or not exists(below(self.store, place.path), storage_options=self.storage_options)
        ):
            return None
        listed = self.plate is not None and place.well in {well.path for well in self.plate.wells}
        if listed and place.field in {field.path for field in (self.well(place.well) or Well(())).fields}:
            return StoreExistsError(
                f"the well {place.well!r} has a field {place.field!r} already; give another field=, "
                'or mode="w" to replace it'
            )
        return StoreExistsError(
            f"there is something at {place.path!r} that the plate does not list: its writer was stopped before it was "
            'done, or goes on still; give mode="w" to write it again'
        )

    def with_entry(
        self, entry: Entry, before: Mapping[str, Mapping[str, Any]] | None = None, judged: Listed | None = None
    ) -> Listed:
        """Return what the metadata are to say with one image more, and raise what `wells.with_entry` does.

        Parameters
        ----------
        entry, judged
            As `wells.with_entry` takes them.
        before
            What groups said before the image that it replaces was withheld.
        """
        place, plate, before = entry.place, self.plate, before or {}
        well = self.fields(place.well)
        if plate is not None and "" in before:
            wells = spec.parse_plate(before[""]).wells
            plate = replace(plate, wells=tuple(put_back(plate.wells, wells, lambda one: one.path == place.well)))
        if place.well in before:
            fields = spec.parse_well(before[place.well]).fields
            well = replace(well, fields=tuple(put_back(well.fields, fields, lambda one: one.path == place.field)))
        return with_entry(plate, well, entry, versions=self.versions, nameless=self._without_run(), judged=judged)

    def _without_run(self) -> Iterator[str]:
        """Yield the images of the plate that name no run."""
        for well in self.plate.wells if self.plate is not None else ():
            for field in (self.well(well.path) or Well(())).fields:
                if field.acquisition is None:
                    yield f"well {well.path}, field {field.path}"


@dataclass(frozen=True, slots=True)
class _Fields:
    """The images of a plate, as they are listed by it and by its wells.

    Parameters
    ----------
    store, storage_options
        Where the plate is.
    entry
        The image that comes.
    known
        The plate as it was when the image was planned.
    judged
        What it and the well were to say then.
    """

    store: Any
    storage_options: Mapping[str, Any] | None
    entry: Entry
    known: _Stored
    judged: Listed

    @property
    def is_made(self) -> bool:
        """A plate is made where there is none."""
        return True

    @property
    def changed(self) -> StoreArgument:
        """The image that is replaced; others of the plate are changed meanwhile."""
        return below(self.store, self.entry.place.path)

    def begin(self) -> None:
        """Make the group of the plate, with a mark that it is in the making, if there is none."""
        found = self._found()
        if found.plate is None and (found.group is None or not is_begun(found.group)):
            kept = None if found.group is None else found.attrs
            begin_anew(self.store, spec.zarr_format(self.entry.version), self.storage_options, kept)

    def withheld(self) -> list[Said]:
        """Let the well name its other images; if it has none, the plate its other wells; if it has none, not be one."""
        stored, place = self._found(), self.entry.place
        well = stored.well(place.well)
        if stored.plate is None or well is None or place.well not in {named.path for named in stored.plate.wells}:
            return []
        version = self.entry.version
        left = tuple(field for field in well.fields if field.path != place.field)
        if left == well.fields:
            return []
        if left:
            return [(place.well, stored.saying(place.well, spec.dump_well(replace(well, fields=left), version)))]
        others = tuple(named for named in stored.plate.wells if named.path != place.well)
        said = stored.saying("", spec.dump_plate(replace(stored.plate, wells=others), version))
        return [("", said if others else withhold(said))]

    def named(self, before: Mapping[str, Mapping[str, Any]]) -> list[Said]:
        """Let the plate say what its well will refer to, the well name the image, and the plate the well."""
        stored, place, version = self._found(), self.entry.place, self.entry.version
        listed = stored.with_entry(self.entry, before, self.judged)
        first = stored.saying("", spec.dump_plate(listed.first, version))
        return [
            # 74 (MUST): a plate without wells is none yet; who comes next knows of the lines of what was begun in it
            ("", first if listed.first.wells else withhold(first)),
            (place.row, None),  # a killed writer may have made the group of the well alone
            (place.well, stored.saying(place.well, spec.dump_well(listed.well, version))),
            ("", stored.saying("", spec.dump_plate(listed.plate, version))),
        ]

    def tidy(self) -> None:
        """Take away what is empty. 6 (SHOULD): groups of rows and wells do not exist when empty."""
        if isinstance(self.store, Path):
            with suppress(OSError, OmeZarrError):  # folders stay where anything is in them
                self._tidy_folder(self.store)
        else:
            with suppress(Exception):  # the error that led here counts
                self._tidy_elsewhere()

    def _tidy_folder(self, folder: Path) -> None:
        with alone(folder):
            for path in self._above():
                with suppress(OSError):
                    (folder / path).rmdir()
            if self._is_left():
                for left in sorted(held_in(folder)):
                    left.unlink()
        folder.rmdir()

    def _tidy_elsewhere(self) -> None:
        for path in self._above():
            self._emptied(below(self.store, path))
        if self._is_left():
            erase(self.store, self.storage_options)

    def _emptied(self, place: StoreArgument) -> None:
        """Delete a group that has nothing in it but its metadata; what other tools say there stays."""
        if not is_bare(place, self.storage_options):
            return
        group = writable_group(place, self.storage_options)
        if left := spec.others(unmarked(group.attrs.asdict()), "well"):
            put_attributes(group, left)
        else:
            erase(place, self.storage_options)

    def _is_left(self) -> bool:
        """Whether the group of the plate is all that is left; one that was there before gets its attributes again."""
        return is_bare(self.store, self.storage_options) and self._is_none() and not self._given_back()

    def _given_back(self) -> bool:
        """Whether the group was there before, and has its attributes again."""
        group = writable_group(self.store, self.storage_options)
        kept = withheld(group.attrs.asdict())
        if kept is not None:
            put_attributes(group, kept)
        return kept is not None

    def _above(self) -> tuple[str, str]:
        """Return the paths of the groups between the plate and the image, the nearest to that first."""
        return self.entry.place.well, self.entry.place.row

    def _is_none(self) -> bool:
        """Whether there is no plate, as it is now."""
        return _Stored.found(self.store, self.storage_options).plate is None

    def _found(self) -> _Stored:
        return _Stored.found(self.store, self.storage_options, self.known)
