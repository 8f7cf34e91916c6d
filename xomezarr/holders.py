"""Groups that hold images and are none themselves: plates, wells, groups of labels, collections, scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from xomezarr import direct, sidecar, spec
from xomezarr.checks import ALPHANUMERIC
from xomezarr.errors import (
    UNREADABLE_MEMBER,
    AxisError,
    LabelError,
    OtherImagesWarning,
    StoreExistsError,
    VersionError,
    warn,
)
from xomezarr.layout import level_group
from xomezarr.lazy import zarr
from xomezarr.model import Axis, Image, Link, Multiscale, Scene
from xomezarr.store import StoreArgument, find_member, labels_of, listed_labels, names_in, resolve
from xomezarr.systems import described_axes
from xomezarr.units import same_unit

__all__ = ["Held", "called", "check_held", "check_linked", "copying", "first_image", "held_at", "unlisted_images"]


@dataclass(frozen=True, slots=True)
class _Holder:
    """A kind of group that holds images.

    Parameters
    ----------
    called
        What messages call it.
    example
        A path that an image below it may have.
    listed
        Paths of what it holds, as it says itself; None where it need not say.
    joining
        The call that writes an image into it and lists it, given the path of the group and the image's below it; None
        where it can hold nothing of that path.
    """

    called: str
    example: str
    listed: Callable[[zarr.Group], Sequence[str] | None]
    joining: Callable[[Path, str], str | None]


def _series(group: zarr.Group) -> Sequence[str] | None:
    listing = find_member(group, "OME")
    return None if listing is None else spec.parse_series(listing.attrs.asdict())


def _into_plate(plate: Path, path: str) -> str | None:
    names = path.split("/")
    if len(names) != 3 or not all(map(ALPHANUMERIC.fullmatch, names)):
        return None
    row, column, field = names
    return f"da.omezarr.to_plate({str(plate)!r}, row={row!r}, column={column!r}, field={field!r})"


def _into_well(well: Path, path: str) -> str | None:
    return _into_plate(well.parent.parent, f"{well.parent.name}/{well.name}/{path}")


def _into_labels(labels: Path, path: str) -> str | None:
    return None if "/" in path else f"da.omezarr.to_labels({str(labels.parent)!r}, {path!r})"


def _into_collection(collection: Path, path: str) -> str | None:
    if "/" in path:
        return None
    store = str(collection)
    return (
        f"tree = xomezarr.open_collection({store!r}); tree[{path!r}] = da.omezarr.pyramid(); "
        f'tree.omezarr.to_zarr({store!r}, mode="w")'
    )


def _of_scene(group: zarr.Group) -> Sequence[str]:
    """Return the paths of a scene's images, and of fields that its transformations name."""
    scene = spec.parse_scene(group.attrs.asdict())
    return (*scene.paths, *spec.scene_paths(scene))


def _into_scene(scene: Path, path: str) -> str | None:
    if "/" in path:
        return None
    store = str(scene)
    return (
        f"tree = xomezarr.open_scene({store!r}); xomezarr.write_scene({{**tree.children, {path!r}: da}}, {store!r}, "
        'transforms={…}, mode="w")'
    )


_HOLDERS: Mapping[str, _Holder] = {
    "plate": _Holder(
        "a plate",
        "A/1/0",
        lambda group: [well.path for well in spec.parse_plate(group.attrs.asdict()).wells],
        _into_plate,
    ),
    "well": _Holder(
        "a well", "0", lambda group: [field.path for field in spec.parse_well(group.attrs.asdict()).fields], _into_well
    ),
    "labels": _Holder("a group of labels", "name", lambda group: spec.parse_labels(group.attrs.asdict()), _into_labels),
    "bioformats2raw.layout": _Holder("a collection of images", "0", _series, _into_collection),
    "scene": _Holder("a scene of images", "tile", _of_scene, _into_scene),
}
"""By the key of the specification."""


def _kind(group: zarr.Group) -> str | None:
    """Return the kind of a group that holds images and is none itself; None for any other."""
    found = spec.kinds(group.attrs.asdict())
    return None if "multiscales" in found else next((kind for kind in _HOLDERS if kind in found), None)


def called(group: zarr.Group) -> str | None:
    """Return what a group is that holds images and is none itself: ``"a plate"``; None for any other."""
    kind = _kind(group)
    return None if kind is None else _HOLDERS[kind].called


def copying(group: zarr.Group, place: str) -> str | None:
    """Return the call that copies all that is in a group; None where it is a part of something else."""
    is_whole = _kind(group) in ("plate", "bioformats2raw.layout", "scene")
    return f'xr.open_datatree({place!r}, engine="omezarr").omezarr.to_zarr(…)' if is_whole else None


def first_image(group: zarr.Group) -> str:
    """Return the path of the first image below a group that holds some; one that it may have where none is found."""
    kind = _kind(group)
    assert kind is not None
    holder = _HOLDERS[kind]
    path, below = holder.example, None
    with suppress(*UNREADABLE_MEMBER):
        path = next(iter(holder.listed(group) or ()), path)
        member = find_member(group, path)
        if member is not None and spec.is_image(member.attrs.asdict()):
            return path
        below = None if member is None or _kind(member) is None else first_image(member)
    if below is not None:
        return f"{path}/{below}"
    return path if path.count("/") == holder.example.count("/") else f"{path}/0"


@dataclass(frozen=True, slots=True)
class Held:
    """The place of an image that a group lists.

    Parameters
    ----------
    target
        The image's folder.
    group, folder, kind
        The group, its folder, and what kind it is, a key of the specification.
    path
        Of the image below it.
    """

    target: Path
    group: zarr.Group
    folder: Path
    kind: str
    path: str

    @property
    def version(self) -> str | None:
        """The version of OME-Zarr that all in the group is of; None where it names none that is written."""
        claimed = spec.claimed(self.group.attrs.asdict())
        return claimed if claimed in spec.VERSIONS else None

    def check_version(self, version: str) -> None:
        """Make sure that an image which is written there has the version of what lists it.

        Raises
        ------
        VersionError
            If it has not.
        """
        if self.version not in (None, version):
            raise VersionError(
                f'"{self.target}" lies in {_HOLDERS[self.kind].called}, "{self.folder}", of OME-Zarr {self.version}, '
                f"which all in it is of, and would be written as {version}; give version={self.version!r}"
            )

    def check_image(self, image: Image) -> None:
        """Make sure that what says that it is there is true of it.

        Raises
        ------
        LabelError
            If it replaces labels, and is none.
        AxisError
            If a scene leads to and from it, and its coordinate systems are others than those of the image there.
        """
        if self.kind == "labels":
            self._check_labels(image)
        elif self.kind == "scene":
            self._check_linked(image)

    def _check_labels(self, image: Image) -> None:
        before = find_member(self.group, f"labels/{self.path}")
        if image.label is None and before is not None and "image-label" in spec.kinds(before.attrs.asdict()):
            raise LabelError(
                f'"{self.target}" is the place of the labels {self.path!r} of an image, and what is written '
                "is none; replace them so: "
                f'labels.omezarr.to_labels("{self.folder.parent}", {self.path!r}, mode="w")'
            )

    def _check_linked(self, image: Image) -> None:
        before = find_member(self.group, self.path)
        if before is None:
            return
        links: Sequence[Link] = ()
        old: Multiscale | None = None
        with suppress(*UNREADABLE_MEMBER):
            links = spec.parse_scene(self.group.attrs.asdict()).links
            old = spec.parse(before.attrs.asdict()).multiscale
        if links and old is not None:
            check_linked(links, self.path, old, image.multiscale)


def check_linked(links: Iterable[Link], path: str, old: Multiscale, new: Multiscale) -> None:
    """Make sure that an image of a scene has the coordinate systems to and from which transformations lead.

    Raises
    ------
    AxisError
        If one has other axes than before, by name and unit, or is gone.
    """
    named = (end.name for link in links for end in (link.source, link.target) if end.path == path)
    before, now = spec.axes_by_system(old), spec.axes_by_system(new)
    for name in dict.fromkeys(named):
        if name in before:
            _check_same_axes(path, before[name], now.get(name, ()))


def _check_same_axes(path: str, old: Sequence[Axis], new: Sequence[Axis]) -> None:
    same = [axis.name for axis in old] == [axis.name for axis in new]
    if not same or not all(same_unit(one.unit, other.unit) for one, other in zip(old, new, strict=True)):
        raise AxisError(
            f"transformations of the scene lead from the image {path!r} with the axes {described_axes(old)}, and it "
            f"has {described_axes(new) or 'no coordinate system of that name'} now; convert it back, such as "
            "to_units(…), or write a new scene: xomezarr.write_scene(…)"
        )


def unlisted_images(group: zarr.Group, scene: Scene) -> list[str]:
    """Return the names of images in the group of a scene to which no transformation leads; none where it lists none."""
    known = {path.split("/")[0] for path in (*scene.paths, *spec.scene_paths(scene))}
    names: Sequence[str] = ()
    with suppress(NotImplementedError, OSError):
        names = sorted(name for name in names_in(group) if not name.startswith("."))
    found = []
    for name in names:
        if name in known:
            continue
        with suppress(*UNREADABLE_MEMBER):  # what cannot be read is none
            member = find_member(group, name)
            if member is not None and spec.is_image(member.attrs.asdict()):
                found.append(name)
    return found


def _check_no_part(group: zarr.Group, folder: Path, path: str) -> None:
    """Make sure that a path below a group is not that of what belongs to it and is no image by itself."""
    attrs = group.attrs.asdict()
    parts: list[str] = []
    what = ""
    with suppress(*UNREADABLE_MEMBER):
        if spec.is_image(attrs):
            what = "the levels or labels of the image"
            groups = (level_group(level.path) for level in spec.parse(attrs).multiscale.levels)
            parts = ["labels", sidecar.KEY, *filter(None, groups)]
        elif _kind(group) == "plate":
            what, parts = "wells of the plate", [well.path for well in spec.parse_plate(attrs).wells]
        elif _kind(group) == "bioformats2raw.layout":
            what, parts = "the list of images of the collection", ["OME"]
    if any(f"{part}/".startswith(f"{path}/") for part in parts):
        raise StoreExistsError(
            f'"{folder / path}" is the place of {what} "{folder}", which would break without; '
            "give another path, or replace the whole store"
        )


def check_held(store: StoreArgument, version: str, image: Callable[[], Image] | None, *, listed: bool) -> None:
    """Make sure that what is put at a place is still what the group can list that lists it.

    Parameters
    ----------
    store, version
        The place, and of what version that is which is put there.
    image
        Returns it; None where it is no image.
    listed
        Whether a group listed it when it was planned.

    Raises
    ------
    VersionError, LabelError, AxisError
        As `Held.check_version` and `Held.check_image`.

    Warns
    -----
    OtherImagesWarning
        If no group lists it any more.
    """
    target = resolve(store)
    if not isinstance(target, Path):
        return
    # where it is being made there are folders already, which need be no groups
    held, why = _looked_up(target.resolve(), past_folders=True)
    if held is not None:
        held.check_version(version)
        if image is not None:
            held.check_image(image())
    elif listed:
        gone = f'what listed "{target}" when it was begun is gone, or lists it no more: its readers will not find it'
        warn(why or gone, OtherImagesWarning)


def held_at(store: StoreArgument) -> Held | None:
    """Return the group that lists an image at a place, if one does.

    Only folders are looked at: elsewhere each would be asked for.

    Raises
    ------
    StoreExistsError
        If that is the place of something else that belongs to a group: its levels, its labels, its wells.

    Warns
    -----
    OtherImagesWarning
        If an image is written where others are found by a list, which will not name it.
    """
    target = resolve(store)
    if not isinstance(target, Path):
        return None
    held, why = _looked_up(target.resolve())
    if why:
        warn(why, OtherImagesWarning)
    return held


def _looked_up(target: Path, *, past_folders: bool = False) -> tuple[Held | None, str]:
    """Return the group that lists an image, if one does; else why its readers will not find it, if that is so.

    Parameters
    ----------
    target
        Of the image.
    past_folders
        Whether folders between it and a group need be no groups.
    """
    for folder in target.parents:
        if not folder.exists() or folder.name == "labels":  # a row that is to come, or what the group above tells of
            continue
        if (group := direct.opened_group(folder)) is None:
            if past_folders:
                continue
            return None, ""
        path = target.relative_to(folder).as_posix()
        _check_no_part(group, folder, path)
        kind = _kind(group)
        listed: Sequence[str] | None = None
        with suppress(*UNREADABLE_MEMBER):
            if path.startswith("labels/") and spec.is_image(group.attrs.asdict()):
                kind, folder, path = "labels", folder / "labels", path.removeprefix("labels/")
                listed = () if (labels := labels_of(group)) is None else listed_labels(labels)
            elif kind is not None:
                listed = _HOLDERS[kind].listed(group)
        if kind is None:
            continue
        if listed is None or path in listed:
            return Held(target, group, folder, kind, path), ""
        if any(path.startswith(f"{place}/") for place in listed):  # in one of them
            return None, ""
        call = _HOLDERS[kind].joining(folder, path)
        return None, (
            f'"{target}" lies in {_HOLDERS[kind].called}, "{folder}", which does not list it: its readers will not '
            f"find it; {'write it beside that' if call is None else f'write it so that they do: {call}'}"
        )
    return None, ""
