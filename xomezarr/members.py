"""Several images that are written to one store at once, each in a group of its own: of a plate, or of a collection."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self, override

import xarray as xr

from xomezarr import journal, spec
from xomezarr.engine import OnTile
from xomezarr.errors import (
    UNREADABLE_MEMBER,
    LabelError,
    OmeZarrError,
    PlateWarning,
    alike_of_each,
    collecting,
    told,
    warn,
)
from xomezarr.holders import check_held
from xomezarr.journal import NOTHING, Made, Register, told_apart
from xomezarr.labelling import image_in, parted
from xomezarr.labels import Labels
from xomezarr.lazy import zarr
from xomezarr.likeness import is_unopened_elsewhere, opened
from xomezarr.pixels import Pixels
from xomezarr.plan import Plan
from xomezarr.planning import (
    Target,
    chosen_version,
    group_attrs,
    known_options,
    plan_as_it_stands,
    plan_image,
    stored_metadata,
)
from xomezarr.plate import node_at
from xomezarr.progress import progress_of
from xomezarr.pyramid import VARIABLE, own_attrs
from xomezarr.read import asked_at_once, is_remote
from xomezarr.store import StoreArgument, Unfinished, building, find_member, open_member, resolve
from xomezarr.tree import check_image, labels, levels, without_place
from xomezarr.write import (
    check_codecs,
    consolidate,
    deferred,
    difference,
    fill,
    gathers,
    is_in_place,
    refuse_another,
    told_of_sources,
    whole,
)

__all__ = [
    "Image",
    "Member",
    "Planned",
    "Whole",
    "asked_of_each",
    "check_nothing_else",
    "members_in",
    "plan_members",
    "write_members",
    "written_version",
]

type Image = xr.DataArray | xr.Dataset | xr.DataTree
"""An image of which levels are made; a Dataset of one and its labels; or an image's tree, which is written as it is."""

type Planned = Mapping[str, tuple[Plan, Pixels]]
"""What is written of each image, by its path in the store."""

OF_LEVELS = frozenset({"method", "factors", "levels", "boundary", "skipna"})
"""Options that say how levels are made, where they are not there yet."""


class Member(ABC):
    """One of the images, and all that is written with it."""

    @classmethod
    def of(cls, given: Any, error: type[OmeZarrError]) -> Member:
        """Return a DataArray, a Dataset of an image and its labels, or an image's tree as what is written of it.

        Parameters
        ----------
        given
            What the user gave.
        error
            Raised if it is none of these.

        Raises
        ------
        LabelError
            If it cannot be told which variable is the image, as nobody can be asked for each of many; if a Dataset has
            coordinates that are not those of its variables.
        LevelError
            If the tree is not an image's, or holds what is not written.
        PlateError
            If it is an image of a plate that was taken to be like another, and is not.
        """
        if isinstance(given, xr.DataArray):
            return _Array(given, {}, {})
        if isinstance(given, xr.DataTree):
            return Whole.of_tree(given)
        if not isinstance(given, xr.Dataset):
            raise error(
                f"it is a {type(given).__name__}; give a DataArray, a Dataset of an image and its labels, or an "
                "image's tree, such as xr.DataArray(pixels, dims=('y', 'x'))"
            )
        if image_in(given) is None:
            names = list(given.data_vars)
            cure = f"name the image so: ds.rename({{{names[0]!r}: {VARIABLE!r}}})" if names else "give it an image"
            raise LabelError(f"it cannot be told which is the image among the variables {names}; {cure}")
        da, of_image = parted(given, None, {}, {})
        return _Array(da, of_image, own_attrs(given))

    unread: str = ""
    """What is not known of it, and not written; empty if nothing is."""

    @property
    @abstractmethod
    def image(self) -> xr.DataArray:
        """Its finest level."""

    @property
    @abstractmethod
    def read(self) -> Iterator[xr.DataArray]:
        """All that is read when it is written."""

    @abstractmethod
    def marked(self, mark: Callable[[xr.DataArray], xr.DataArray]) -> Self:
        """Return it with what is said of its place on a plate, at each level."""

    @abstractmethod
    def plan(self, target: Target, options: Mapping[str, Any]) -> tuple[Plan, Pixels]:
        """Return how it is written; `options` are those of `plan_image`."""


@dataclass(frozen=True, slots=True)
class _Array(Member):
    """An image of which levels are made, with its labels and the attributes of its group."""

    da: xr.DataArray
    labels: Mapping[str, Labels]
    attrs: Mapping[Any, Any]

    @property
    @override
    def image(self) -> xr.DataArray:
        return self.da

    @property
    @override
    def read(self) -> Iterator[xr.DataArray]:
        yield self.da
        for of_label in self.labels.values():
            yield of_label.image

    @override
    def marked(self, mark: Callable[[xr.DataArray], xr.DataArray]) -> Self:
        of_labels = {name: replace(of_label, image=mark(of_label.image)) for name, of_label in self.labels.items()}
        return replace(self, da=mark(self.da), labels=of_labels)

    @override
    def plan(self, target: Target, options: Mapping[str, Any]) -> tuple[Plan, Pixels]:
        return plan_image(self.da, target, [], labels=self.labels, extra=self.attrs, **options)


@dataclass(frozen=True, slots=True)
class Whole(Member):
    """An image whose levels are there, and those of its labels."""

    tree: xr.DataTree
    levels: Sequence[xr.DataArray]
    labels: Mapping[str, tuple[xr.DataTree, Sequence[xr.DataArray]]]
    unread: str = ""

    @classmethod
    def of_tree(cls, given: xr.DataTree) -> Self:
        """Take an image out of its tree; what `open_plate` left out of it is read now.

        Raises
        ------
        LevelError, PlateError
            As `Member.of` does.
        """
        found = levels(given)
        check_image(given)
        tree, unread = opened(given)
        of_labels = {name: (node, levels(node)) for name, node in labels(tree).items()}
        return cls(tree, found if tree is given else levels(tree), of_labels, unread)

    @property
    def is_label(self) -> bool:
        """Whether it is an image of labels, which were taken out of the tree of their image."""
        known = stored_metadata(self.tree)
        return known is not None and known.label is not None

    @property
    @override
    def image(self) -> xr.DataArray:
        return self.levels[0]

    @property
    @override
    def read(self) -> Iterator[xr.DataArray]:
        yield from self.levels
        for _, of_label in self.labels.values():
            yield from of_label

    @override
    def marked(self, mark: Callable[[xr.DataArray], xr.DataArray]) -> Self:
        of_labels = {name: (node, [*map(mark, own)]) for name, (node, own) in self.labels.items()}
        return replace(self, levels=[*map(mark, self.levels)], labels=of_labels)

    @override
    def plan(self, target: Target, options: Mapping[str, Any]) -> tuple[Plan, Pixels]:
        if making := [name for name in options if name in OF_LEVELS and options[name] is not None]:
            said = " and ".join(f"{name}=" for name in making)
            raise OmeZarrError(
                f"its levels are written as they stand, and {said} {'say' if len(making) > 1 else 'says'} how levels "
                "are made; leave that out, or give the finest level, of which others are made: tree.omezarr.level(0)"
            )
        asked = {name: value for name, value in options.items() if name not in OF_LEVELS}
        return plan_as_it_stands(self.tree, self.levels, target, [], labels=self.labels, **asked)


def members_in(
    tree: xr.DataTree, paths: Iterable[str], error: type[OmeZarrError]
) -> Iterator[tuple[str, Callable[[], Member]]]:
    """Yield the images of a tree that are at some paths, each as what returns it, or raises what `Member.of` does."""
    nodes = {path: node for path in paths if (node := node_at(tree, path)) is not None}
    asked: dict[str, Callable[[], Member]] = {path: partial(Member.of, node, error) for path, node in nodes.items()}
    with asked_at_once(asked.values(), remote=any(map(is_unopened_elsewhere, nodes.values()))) as answers:
        yield from zip(asked, answers, strict=True)


def check_nothing_else(
    tree: xr.DataTree, images: Iterable[str], said: Iterable[str], faults: list[OmeZarrError]
) -> None:
    """Make sure that a tree holds nothing beside its images that is not written: variables, and attributes of nodes.

    What lies in an image's own tree `Member.of` looks at.

    Parameters
    ----------
    tree
        Of a plate, of a well or of a collection.
    images
        The paths of its images.
    said
        The paths of nodes whose attributes are written.
    faults
        What is not written is added to them.
    """
    of_images, known = {*images}, {*said}
    nodes = [("", tree)]
    while nodes:
        path, node = nodes.pop()
        held = [*node.to_dataset(inherit=False).variables]
        faults += without_place("tree", path, "its images", held, [] if path in known else [*node.attrs])
        below = [(f"{path}/{name}".strip("/"), child) for name, child in node.children.items()]
        nodes += [(path, child) for path, child in below if path not in of_images][::-1]


def written_version(tree: xr.DataTree, store: StoreArgument, asked: str | None) -> str:
    """Return the version that a tree is written in: the one asked for, else that which it was read from or the next."""
    return chosen_version(store, asked, spec.readable(group_attrs(tree)))


def asked_of_each(
    faults: list[OmeZarrError],
    store: StoreArgument,
    call: str,
    options: Mapping[str, Any],
    *,
    like: str,
    of_one: Mapping[str, str],
) -> tuple[Target, dict[str, Any]]:
    """Return where and how all images are written, and the options that count for each of them.

    Parameters
    ----------
    faults
        What is wrong is added to them.
    store
        Where the whole is written.
    call
        Name of the call.
    options
        Those of `Target.asked`, and what was given beside the parameters of the call.
    like
        The kind of the whole, as in `Target.asked`.
    of_one
        Options of `to_zarr` that are said of one image, and what to do instead.
    """
    asked, others = Target.split(options)
    resume = others.pop("resume", False)
    target = Target.asked(faults, store, replaced=(), like=like, resume=resume, **asked)
    faults += [OmeZarrError(f"{name}= is said of one image; {of_one[name]}") for name in others if name in of_one]
    return target, known_options({name: value for name, value in others.items() if name not in of_one}, call, faults)


def plan_members(
    members: Mapping[str, Member],
    target: Target,
    options: Mapping[str, Any],
    faults: list[OmeZarrError],
    called: Callable[[str], str],
) -> Planned:
    """Plan all images.

    Parameters
    ----------
    members
        By the paths of their groups.
    target
        Where and how all of it is written.
    options
        Those of `plan_image`, for each.
    faults
        What is wrong is added to them; what is wrong with several images is told once, with the first of them.
    called
        How an image is named in what is told, by its path.

    Returns
    -------
    dict
        Those that can be written.

    Warns
    -----
    PlateWarning
        If not all that images say is known, as `likeness.opened` tells.
    """
    planned = {}
    known = {str(fault) for fault in faults}  # of the whole, and then of each of its images too
    found: list[tuple[str, OmeZarrError]] = []
    for path, member in members.items():
        of_image: list[OmeZarrError] = []
        with collecting(of_image):
            planned[path] = member.plan(target.within(path), options)
        found += [(called(path), fault) for fault in of_image if str(fault) not in known]
    faults += alike_of_each(found)
    with collecting(faults):
        target.check_not_read_from(*(da for path in planned for da in members[path].read))
    for plan, _ in planned.values():
        with collecting(faults):
            target.check_not_read_from(kept=plan.copied)
    if unread := [member.unread for member in members.values() if member.unread]:
        others = f" (and {len(unread) - 1} more images alike)" if unread[1:] else ""
        warn(f"{unread[0]}{others}", PlateWarning)
    return planned


def write_members(
    planned: Planned,
    target: Target,
    finish: Callable[[zarr.Group], None],
    opened: Callable[[Target], xr.DataTree],
    *,
    progress: bool | OnTile | None,
    compute: bool,
) -> xr.DataTree | Any:
    """Write all images, and then what makes them one.

    Parameters
    ----------
    planned
        The images.
    target
        Where and how.
    finish
        Writes the metadata of the whole into its group, the last of them in the place of the mark of a group that is
        being written.
    opened
        Opens what was written.
    progress, compute
        As in `to_zarr`.

    Returns
    -------
    xarray.DataTree or dask.delayed.Delayed
    """
    shown = progress_of(progress, target.store)
    tried = {(plan.levels[0].dtype, plan.levels[0].unit, tuple(plan.labels)): plan for plan, _ in planned.values()}
    for plan in tried.values():
        check_codecs(plan)
    if not compute:
        # wherever it is computed, and whatever folder that process works in
        target = replace(target, store=resolve(target.store))

    def write() -> xr.DataTree:
        total = sum(plan.nbytes for plan, _ in planned.values())
        with shown(total) as on_tile:
            _write(planned, target, finish, on_tile)
        return opened(target)

    return deferred(write, resolve(target.store), compute=compute)


def _write(planned: Planned, target: Target, finish: Callable[[zarr.Group], None], on_tile: OnTile | None) -> None:
    options = target.storage_options
    is_same = partial(_difference, planned, Made(ended=True))
    if target.resume and target.mode == "w-" and is_in_place(target.store, options, is_same):
        if on_tile is not None:
            on_tile(sum(plan.nbytes for plan, _ in planned.values()))
        return
    for _, pixels in planned.values():
        pixels.check()
    zarr_format = spec.zarr_format(target.version)
    check = partial(_check_the_same, planned, target) if target.resume else None
    with building(
        target.store,
        zarr_format=zarr_format,
        mode=target.mode,
        storage_options=options,
        unfinished=Unfinished(check),
        fits=partial(check_held, target.store, target.version, None, listed=target.held is not None),
    ) as made:
        group = made.group
        notes = _fill(group, planned, made.made, on_tile)
        finish(group)
        if any(gathers(target.store, plan.layout) for plan, _ in planned.values()):
            consolidate(group, zarr_format)
        if notes is not None:
            notes.clear()
        made.place()


def _fill(group: zarr.Group, planned: Planned, before: Made, on_tile: OnTile | None) -> Register | None:
    """Write all images that are not whole; return the notes of those that are, where these are kept."""
    notes = None
    if before:
        notes = Register(group, noted=True)
    elif journal.keeps_notes(group.store):
        notes = Register.begin(group, {path: _said(plan) for path, (plan, _) in planned.items()})
    try:
        for path, (plan, pixels) in planned.items():
            of_image = Made(ended=True) if before.ended else before.images.get(path, NOTHING)
            if of_image.ended:
                if on_tile is not None:
                    on_tile(plan.nbytes)
                continue
            if before and not of_image:
                del group[path]  # what a writer that was killed has left of it
            member = open_member(group, path) if of_image else group.create_group(path)
            with told_of_sources(pixels):
                noted = notes is not None and plan.nbytes >= LARGE * journal.UNIT_BYTES
                fill(member, plan, pixels, on_tile, noted=noted, before=of_image)
            if notes is not None:
                notes.note(path, plan.nbytes)
    except BaseException:
        if notes is not None:
            with suppress(Exception):  # the error that led here counts
                notes.flush()
        raise
    return notes


def _said(plan: Plan) -> dict[str, Any]:
    """Return what the pixels of an image, and of its labels, depend on, as a JSON object."""
    own = {key: value for key, value in plan.of_pixels().items() if key not in OF_TILES}
    return {**own, "of_labels": {name: _said(of_label) for name, of_label in plan.labels.items()}}


LARGE = 2
"""Images that take so many notes at least are noted by tiles too: for small ones that would take longer."""

OF_TILES = frozenset({"order", "tiles", "passes"})
"""What a plan says of how an image is made, which is of no matter once that is whole."""


def _check_the_same(planned: Planned, target: Target, group: zarr.Group, made: Made) -> None:
    """Make sure that the group of an interrupted write is one of the same images, as far as that is known of them.

    Raises
    ------
    ResumeError
        If it is not.
    """
    refuse_another(target.store, _difference(planned, made, group))


def _difference(planned: Planned, made: Made, group: zarr.Group) -> str:
    """Say what of several images is another than what is planned; an empty text if nothing is."""
    if not made.ended and made.several.keys() != planned.keys():
        lost, new = (
            sorted(map(repr, paths)) for paths in (made.several.keys() - planned, planned.keys() - made.several)
        )
        return " and ".join([*([f"it has {told(lost)}"] if lost else []), *([f"it lacks {told(new)}"] if new else [])])
    asked = [partial(_difference_of_one, path, *both, made, group) for path, both in planned.items()]
    with asked_at_once(asked, remote=is_remote(group.store)) as answers:
        return next(filter(None, (answer() for answer in answers)), "")


def _difference_of_one(path: str, plan: Plan, pixels: Pixels, made: Made, group: zarr.Group) -> str:
    of_image = made.images.get(path, NOTHING)
    if made.ended or of_image.ended:
        of_image = whole(plan)
    other = "" if made.ended else _told_apart(made.several[path], _said(plan))
    if not other and of_image:
        other = "it cannot be read"
        with suppress(*UNREADABLE_MEMBER):
            if (member := find_member(group, path)) is not None:
                other = difference(plan, pixels, member, of_image)
    return f"of the image {path!r}, {other}" if other else ""


def _told_apart(was: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """Say in what an image, or its labels, were to be written otherwise."""
    if other := told_apart(was, asked):
        return other
    labels = ((name, _told_apart(was["of_labels"].get(name, {}), one)) for name, one in asked["of_labels"].items())
    return next((f"of the labels {name!r}, {other}" for name, other in labels if other), "")
