"""Collections of images in one store, as bioformats2raw lays them out: written from a dict, read as a tree of images.

The root says that it is a collection; the group ``OME`` lists the images, and holds OME-XML that describes them.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, count
from types import MappingProxyType
from typing import Any

import xarray as xr

from xomezarr import omexml, spec
from xomezarr.completion import OME, OME_XML, Described, Listing, is_collection
from xomezarr.direct import put_attributes, put_document
from xomezarr.engine import OnTile
from xomezarr.errors import (
    UNREADABLE_MEMBER,
    CollectionError,
    CollectionWarning,
    MetadataError,
    NotOmeZarrError,
    OmeZarrError,
    alike_of_each,
    collecting,
    first_of_each,
    raise_all,
    told,
    warn,
)
from xomezarr.labels import LONGEST_NAME
from xomezarr.lazy import zarr
from xomezarr.members import (
    Image,
    Member,
    Planned,
    asked_of_each,
    check_nothing_else,
    members_in,
    plan_members,
    write_members,
    written_version,
)
from xomezarr.omexml import XmlImage
from xomezarr.plan import Plan, final_image
from xomezarr.planning import Target, written_attrs
from xomezarr.plate import node_at
from xomezarr.read import made_of, source_of, tree_of
from xomezarr.store import (
    StoreArgument,
    check_complete,
    find_member,
    names_in,
    open_group,
)
from xomezarr.tree import images as images_in

__all__ = [
    "check_single",
    "collection_tree",
    "is_collection",
    "known_members",
    "named_members",
    "open_collection",
    "write_collection",
    "write_collection_tree",
]

DESCRIBED = "described"
"""Key of encodings: what the store of a collection says beside its images, and of variables also where theirs is."""

RESERVED = ("ome", "labels", "zarr.json")
"""Names that mean something else in a collection, on file systems that take cases for the same too."""

SUGGESTED = 40
"""Characters that a message takes of a name."""

_PLAIN = re.compile(r"(?!__)[A-Za-z0-9_](?:[A-Za-z0-9_. -]*[A-Za-z0-9_-])?")

_OF_ONE_IMAGE: Mapping[str, str] = {
    "name": "name each array: rename(…)",
    "labels": "give an image with its labels as a Dataset: xr.Dataset({'image': image, 'nuclei': labels})",
}
"""Options of `to_zarr` that are said of one image, and what to do instead."""

_asked = partial(asked_of_each, like="bioformats2raw.layout", of_one=_OF_ONE_IMAGE)
"""Takes the options of a call; as `members.asked_of_each`."""


# -- writing -----------------------------------------------------------------------------------------------


def write_collection(
    images: Mapping[str, Image],
    store: StoreArgument,
    *,
    mode: str = "w-",
    progress: bool | OnTile | None = None,
    compute: bool = True,
    **options: Any,
) -> xr.DataTree | Any:
    """Write several images to one store, as bioformats2raw lays them out.

    This is how data with more than five dimensions are written: an image for each view, tile or angle, each with
    coordinates of its own. Everything is checked before the first byte is written. A local store appears whole or not
    at all.

    Parameters
    ----------
    images
        By name, which is that of the image's group: letters, digits, ``_``, ``-``, ``.`` and spaces. Arrays, Datasets
        of an image and its labels, or trees of images, whose levels are written as they stand. Their order is kept.
    store
        A path, a URL that fsspec knows, or a store of zarr or obstore.
    mode
        ``"w-"``: an error if the store exists; ``"w"``: replace it.
    progress, compute, **options
        As in `to_zarr`; they count for every image. Names and labels are given with each image.

    Returns
    -------
    xarray.DataTree or dask.delayed.Delayed
        The written store, opened lazily by `open_collection`.

    Raises
    ------
    CollectionError
        If an image cannot be named so, or is none.
    MissingDependencyError
        If ome-types, which writes the OME-XML, is not installed.
    OmeZarrError
        Of the type that names the cause; independent faults are raised together, each with the image's name.

    Warns
    -----
    CollectionWarning
        If the dtype of an image is none of OME-XML's (int64, uint64, float16): the store then has no OME-XML.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> views = xr.DataArray(np.zeros((2, 3, 4, 8, 64, 64), "uint8"), dims=("view", "t", "c", "z", "y", "x"))
    >>> tree = write_collection({f"view {i}": views[i] for i in range(2)}, tempfile.mkdtemp() + "/views.ome.zarr")
    >>> list(tree), tree["view 1"].omezarr.level(0).dims
    (['view 0', 'view 1'], ('t', 'c', 'z', 'y', 'x'))
    """
    faults: list[OmeZarrError] = []
    target, options = _asked(faults, store, "write_collection", {**options, "mode": mode})
    return _write(named_members(images, faults), {}, None, target, options, faults, progress=progress, compute=compute)


def write_collection_tree(
    tree: xr.DataTree,
    store: StoreArgument,
    *,
    version: str | None = None,
    mode: str = "w-",
    progress: bool | OnTile | None = None,
    compute: bool = True,
    **options: Any,
) -> xr.DataTree | Any:
    """Write the tree of a collection as it stands: all images that it holds, and what its store said of them.

    What the store said when it was opened counts. Its OME-XML is kept as it is, as long as it is true of the images and
    there are no others; else it is written anew.

    Parameters
    ----------
    tree
        As `open_collection` opens it. Images keep the order in which they were listed; new ones follow.
    version
        Left out, that of the collection.
    store, mode, progress, compute, **options
        As in `write_collection`.

    Returns
    -------
    xarray.DataTree or dask.delayed.Delayed
        The written store, opened lazily.

    Raises
    ------
    CollectionError
        If the tree has no image, or one that cannot be named as it is; if its OME-XML, or the group that it lies in,
        was there and could not be read.
    OmeZarrError
        If the tree holds what has no place in the store, or an image cannot be written; independent faults are raised
        together.

    Warns
    -----
    CollectionWarning
        If the OME-XML is written anew, and said more than what is written; or cannot be written, as in
        `write_collection`; or if nothing tells any more what the store said beside the images.
    """
    faults: list[OmeZarrError] = []
    options = {**options, "mode": mode, "version": written_version(tree, store, version)}
    target, options = _asked(faults, store, "to_zarr", options)
    described = _described(tree)
    extra = spec.others(written_attrs(tree), "bioformats2raw.layout")
    members = _members_in(tree, described, faults)
    from_ = _origins(tree, members, described)
    return _write(members, extra, described, target, options, faults, progress=progress, compute=compute, from_=from_)


def _write(
    members: Mapping[str, Member],
    extra: Mapping[str, Any],
    described: Described | None,
    target: Target,
    options: Mapping[str, Any],
    faults: list[OmeZarrError],
    *,
    progress: bool | OnTile | None,
    compute: bool,
    from_: Mapping[str, str | None] = MappingProxyType({}),
) -> xr.DataTree | Any:
    """Write a collection; what is wrong is told with the faults that have been found.

    Parameters
    ----------
    members
        By name.
    extra
        Attributes of the collection's group, beside what says that it is one.
    described
        What the store that they were read from says of them; None where they were not read from a collection.
    from_
        Where images were in that store, as `_origins` tells.
    target, options, progress, compute
        As in `plan_members` and `write_members`.
    """
    planned = plan_members(members, target, options, faults, _called)
    xml = None
    if not faults:
        with collecting(faults):
            xml = _kept_xml(described, planned, from_)
    unknown = {name: plan.levels[0].dtype for name, (plan, _) in planned.items() if not _in_xml(plan)}
    if xml is None and not unknown:
        with collecting(faults):
            omexml.required()
    raise_all(faults, "the collection cannot be written")
    if xml is None and unknown:
        dtype = next(iter(unknown.values()))
        warn(
            f"the collection is written without OME-XML, which has no pixels of type {dtype} "
            f"({told([*map(_called, unknown)], 1)}); for those who need it, convert them: astype({_near(dtype)!r})",
            CollectionWarning,
        )
    elif xml is None:
        known = {} if described is None else dict(zip(described.listing.places, described.images, strict=False))
        before = {name: known.get(place) for name, place in from_.items() if place is not None}
        series = [_series(name, plan, before.get(name)) for name, (plan, _) in planned.items()]
        xml = omexml.dump(series).encode()
    listing = spec.dump_series(tuple(planned), target.version, {} if described is None else described.listing.others)

    def finish(group: zarr.Group) -> None:
        group.create_group(OME, attributes=listing)
        if xml is not None:
            put_document(group, OME_XML, xml)
        put_attributes(group, spec.dump_layout(target.version, extra))

    return write_members(planned, target, finish, _opened, progress=progress, compute=compute)


def _kept_xml(described: Described | None, planned: Planned, from_: Mapping[str, str | None]) -> bytes | None:
    """Return the OME-XML that images were read with, if it is true of what is written; else None.

    What it says beside that is told, as it is lost.

    Raises
    ------
    CollectionError
        If it is there and cannot be read, or the group that it lies in.
    """
    if described is None:
        return None
    if lost := described.unreadable:
        where = " and ".join(f"{path} cannot be read ({fault})" for path, fault in lost.items())
        raise CollectionError(
            f"{where}, and what it says would be lost; mend it and open the collection again, or write the images "
            f"without it: {_anew([*planned])}"
        )
    document = described.document
    if document is None:
        return None
    known = described.in_xml
    series = [_series(name, plan) for name, (plan, _) in planned.items()]
    are_there = all(from_.get(name) in (None, name) for name in planned)
    is_same = are_there and [*planned] == described.listing.places and len(known) == len(series)
    if is_same and all(map(omexml.is_true_of, known, series)):
        return document
    # where the store does not list its images, the document may describe more than there are
    others = len(known) - len(described.listing.places)
    more = [*omexml.beyond(document), *([f"{others} more Image{'s' if others > 1 else ''}"] if others > 0 else [])]
    if more:
        warn(
            f"the OME-XML of {described.store!r} is not kept, as it is not true of the images any more; what it says "
            f"beside sizes, type and channels of pixels is left out: {told(more)}; where it matters, copy {OME_XML} by "
            "hand",
            CollectionWarning,
        )
    return None


def _anew(paths: Collection[str]) -> str:
    """Return the call that writes the images of a tree as a collection of which nothing else is said.

    >>> _anew(["a", "b"]), _anew(["v/b"])
    ('write_collection(dict(tree.children), store)', "write_collection({'v_b': tree['v/b']}, store)")
    """
    faults: list[OmeZarrError] = []
    _check_names(paths, {}, paths, faults)
    if not faults:
        return "write_collection(dict(tree.children), store)"
    names: dict[str, str] = {}
    for path in paths:
        names[_plain(path, names)] = path
    return f"write_collection({{{', '.join(f'{name!r}: tree[{path!r}]' for name, path in names.items())}}}, store)"


def _described(tree: xr.DataTree) -> Described | None:
    """Return what the store of a collection says beside its images, by the encoding of its tree, else of variables.

    xarray's calls that make nodes anew forget the encodings of nodes and pixels, and keep those of coordinates. Where
    images of several collections are in the tree, that counts of which most are, at the places that they had there.

    Warns
    -----
    CollectionWarning
        If there is nothing that tells it.
    """
    known: Described | None = tree.encoding.get(DESCRIBED)
    if known is not None:
        return known
    carried: Counter[Described] = Counter()
    for path in images_in(tree):
        if (node := node_at(tree, path)) is not None:
            carried.update(one for one, _ in _marks(node) if path in one.listing.places)
    match carried.most_common(2):
        case [(described, _)]:
            return described
        case [(described, most), (_, others)] if most > others:
            return described
    warn(
        "nothing tells what the store of the tree says beside its images, neither the tree nor their coordinates: "
        f"the list, the OME-XML and the group {OME} are written of the images alone; to keep the others, change the "
        "images of the tree that was opened, as in tree['0'] = image; for a collection of these images alone, "
        f"{_anew(images_in(tree))}",
        CollectionWarning,
    )
    return None


def _origins(tree: xr.DataTree, paths: Iterable[str], described: Described | None) -> dict[str, str | None]:
    """Return where images were in the collection that `described` tells of, by their paths.

    None where nothing says, and an empty path for those of another collection.
    """
    found: dict[str, str | None] = {}
    for path in paths:
        node = node_at(tree, path)
        marks = set() if node is None else _marks(node)
        places = {place if one == described else "" for one, place in marks}
        found[path] = next(iter(places)) if len(places) == 1 else None
    return found


def _marks(image: xr.DataTree) -> set[tuple[Described, str]]:
    """Return of which collections the variables of an image are, and where in them."""
    found = (variable.encoding.get(DESCRIBED) for variable in _variables(image))
    return {mark for mark in found if mark is not None}


def _variables(tree: xr.DataTree) -> Iterator[xr.Variable]:
    """Yield all variables of a tree's nodes."""
    for node in tree.subtree:
        yield from node.dataset.variables.values()


def _members_in(tree: xr.DataTree, described: Described | None, faults: list[OmeZarrError]) -> dict[str, Member]:
    """Return the images of a collection's tree by their paths, those that were listed first and in that order."""
    there, listed = images_in(tree), [] if described is None else described.listing.places
    if not there:
        faults.append(CollectionError("the tree has no images; open it again: xomezarr.open_collection(store)"))
    paths = [*(path for path in listed if path in there), *(path for path in there if path not in listed)]
    check_nothing_else(tree, there, [""], faults)
    taken = {path.lower(): path for path in listed if path in there}
    # what was read has the names that it has
    _check_names([path for path in paths if path not in listed], taken, paths, faults)
    return known_members(members_in(tree, paths, CollectionError), faults)


def _opened(target: Target) -> xr.DataTree:
    return open_collection(target.store, storage_options=target.storage_options, cache=True)


def _called(name: str) -> str:
    return f"image {name!r}"


def named_members(images: Any, faults: list[OmeZarrError]) -> dict[str, Member]:
    """Return the images by their names; what is wrong with names and kinds is added to `faults`."""
    if not isinstance(images, Mapping) or not images:
        there = "there are no images" if isinstance(images, Mapping) else f"images is a {type(images).__name__}"
        faults.append(CollectionError(f"{there}; give images by name: {{'view 0': image, 'view 1': other}}"))
        return {}
    _check_names(images, {}, images, faults)
    named = ((name, image) for name, image in images.items() if isinstance(name, str))
    return known_members(((name, partial(Member.of, image, CollectionError)) for name, image in named), faults)


def known_members(images: Iterable[tuple[str, Callable[[], Member]]], faults: list[OmeZarrError]) -> dict[str, Member]:
    """Return images by their names, each given as what returns it; why some cannot be is added to `faults`."""
    members: dict[str, Member] = {}
    wrong: list[tuple[str, OmeZarrError]] = []
    for name, known in images:
        of_image: list[OmeZarrError] = []
        with collecting(of_image):
            members[name] = known()
        wrong += [(_called(name), fault) for fault in of_image]
    faults += first_of_each(alike_of_each(wrong))
    return members


def _check_names(
    names: Iterable[Any], taken: dict[str, str], others: Collection[Any], faults: list[OmeZarrError]
) -> None:
    """Add to `faults` which images cannot go by their names; see `_check_name`."""
    wrong: list[OmeZarrError] = []
    for name in names:
        with collecting(wrong):
            _check_name(name, taken, others)
    faults += first_of_each(wrong)


def _check_name(name: Any, taken: dict[str, str], names: Collection[Any]) -> None:
    """Make sure that an image can go by a name, on any file system.

    Parameters
    ----------
    name
        Of the image.
    taken
        Those before it.
    names
        Those of all images, of which none is suggested.
    """
    if isinstance(name, str) and len(name) > LONGEST_NAME:
        raise CollectionError(
            f"an image cannot be named {f'{name[:SUGGESTED]}…'!r}, which has {len(name)} characters: file systems have "
            f"no room for more than {LONGEST_NAME}; give a shorter name, such as {_plain(name, names)!r}"
        )
    if not isinstance(name, str) or not _PLAIN.fullmatch(name):
        raise CollectionError(
            f"an image cannot be named {name!r}: the name is that of a folder, of letters, digits, spaces, _, - and ., "
            "begins with a letter, a digit or one _, and ends with no space or dot; give a plain one, such as "
            f"{_plain(name, names)!r}"
        )
    if name.lower() in RESERVED:
        raise CollectionError(
            f"an image cannot be named {name!r}, which means something else in a collection; "
            f"give another name, such as {_plain(name, names)!r}"
        )
    if (other := taken.setdefault(name.lower(), name)) != name:
        raise CollectionError(
            f"the names {other!r} and {name!r} differ by upper and lower case alone, which not all file systems tell "
            f"apart; give another name, such as {_plain(name, names)!r}"
        )


def _plain(name: Any, names: Collection[Any]) -> str:
    """Return a name like another that an image can go by, beside others of these names.

    >>> _plain("-20", ()), _plain("Zellen/1", ()), _plain("OME", ()), _plain("a", ["A", "a", "a 2"])
    ('20', 'Zellen_1', 'OME image', 'a 3')
    """
    there = {other.lower() for other in names if isinstance(other, str)}
    like = re.sub(r"[^A-Za-z0-9_. -]+", "_", str(name)).strip("_. -")[:SUGGESTED].strip("_. -") or "image 0"
    tried = chain([like] if like.lower() not in RESERVED else [f"{like} image"], (f"{like} {n}" for n in count(2)))
    return next(plain for plain in tried if plain.lower() not in there)


def _in_xml(plan: Plan) -> bool:
    return omexml.knows(plan.levels[0].dtype)


def _near(dtype: Any) -> str:
    """Name a dtype of OME-XML that is likely to hold the pixels of one that it lacks."""
    return {"i": "int32", "u": "uint32"}.get(dtype.kind, "float32")


def _series(name: str, plan: Plan, before: XmlImage | None = None) -> omexml.Series:
    sizes = dict(zip(plan.dims, plan.levels[0].shape, strict=True))
    return omexml.Series(name, final_image(plan), sizes, plan.levels[0].dtype, before)


# -- reading -----------------------------------------------------------------------------------------------


def open_collection(
    store: StoreArgument,
    *,
    storage_options: Mapping[str, Any] | None = None,
    drop_variables: str | Iterable[str] | None = None,
    cache: bool = False,
) -> xr.DataTree:
    """Open all images of a collection as one tree; only metadata are read.

    Pixel sizes and channels that an image's own metadata say nothing of, as those of early versions of bioformats2raw,
    are taken from the OME-XML of the collection: the size and the unit of each axis that has scale 1 and no unit, and
    the names and colours of channels where there are none. What the Zarr says counts.

    Parameters
    ----------
    store
        A path, a URL, or a store of zarr or obstore.
    storage_options
        For URLs, as fsspec takes them.
    drop_variables
        Coordinates to leave out.
    cache
        Whether what has been read stays in memory, as xarray has it for what it opens.

    Returns
    -------
    xarray.DataTree
        At the path of each image its tree, as `xarray.open_datatree` opens an image by itself. The tree's attributes
        are those of the collection's group.

    Raises
    ------
    StoreNotFoundError, NotOmeZarrError
        If there is no collection at that place.
    IncompleteStoreError
        If its writing was interrupted, or goes on still.
    CollectionError
        If none of its images can be opened.

    Warns
    -----
    CollectionWarning
        If some cannot, which are left out; if the images are not listed, and there is a gap in their numbers; if its
        OME-XML is needed and cannot be read, or describes other images.
    """
    make = partial(collection_tree, source=source_of(store, None), drop_variables=drop_variables, cache=cache)
    return made_of(make, store, storage_options=storage_options)


def collection_tree(
    group: zarr.Group,
    *,
    source: str = "",
    drop_variables: str | Iterable[str] | None = None,
    cache: bool = False,
) -> xr.DataTree:
    """Make the tree of a collection whose group has been opened.

    Parameters
    ----------
    group
        Of the collection.
    source
        Path or URL of the group; empty where it has none.
    drop_variables, cache
        As in `open_collection`, which also says what is raised.
    """
    attrs = group.attrs.asdict()
    where = str(group.store_path)
    if not is_collection(attrs):
        check_complete(group)
        if "plate" in spec.kinds(attrs):
            raise NotOmeZarrError(
                f"{where!r} is a plate, no collection of images; open it as one: xomezarr.open_plate(store)"
            )
        raise NotOmeZarrError(
            f"{where!r} is no collection of images; open an image or a plate with "
            'xr.open_datatree(store, engine="omezarr")'
        )
    spec.layout(attrs)
    listing = Listing.of(group)
    if not listing.listed:
        _tell_of_gap(group, listing.paths)
    described = Described.of(group, listing)
    tree = xr.DataTree(xr.Dataset(attrs=attrs))
    tree.encoding[DESCRIBED] = described
    faults: list[str] = []
    opened: list[str] = []
    for index, path in enumerate(listing.paths):
        place = posixpath.normpath(path)
        try:
            if other := next((one for one in opened if _overlap(one, place)), None):
                raise MetadataError(f"it is, or lies in, the place of the image {other!r}")
            member = find_member(group, path, alike=True)
            if member is None:
                raise MetadataError("there is no such group; the store is incomplete: copy or write it again")
            image = tree_of(
                member,
                source=source and f"{source}/{place}",
                drop_variables=drop_variables,
                cache=cache,
                complete=described.completing(index),
            )
            for variable in _variables(image):
                variable.encoding[DESCRIBED] = (described, place)
            tree[place] = image
            opened.append(place)
        except UNREADABLE_MEMBER as error:
            faults.append(f"the image {path!r} of {where!r} cannot be opened: {error}")
    if not opened:
        raise CollectionError(
            "; ".join(faults)
            or f"{where!r} says that it is a collection of images, and holds none: neither does {OME} list any, nor is "
            "there a group 0; copy or write it again"
        )
    for fault in faults:
        warn(f"{fault}; it is left out", CollectionWarning)
    if source:
        tree.encoding["source"] = source
    return tree


def _tell_of_gap(group: zarr.Group, paths: Sequence[str]) -> None:
    """Warn of groups with numbers beyond the one that is missing, where the store says what it holds."""
    try:
        names = names_in(group)
    except Exception:  # each kind of server's own way of not listing what it holds
        return
    if beyond := sorted((name for name in names if name.isdecimal() and name not in paths), key=int):
        warn(
            f"{str(group.store_path)!r} does not list its images, which are then those that are numbered from 0 on "
            f"without a gap: there is no group {str(len(paths))!r}, and {told([*map(repr, beyond)])} "
            f"{'is' if len(beyond) == 1 else 'are'} left out; "
            f'open each by itself: xr.open_datatree(store, engine="omezarr", group={beyond[0]!r})',
            CollectionWarning,
        )


def check_single(store: StoreArgument, storage_options: Mapping[str, Any] | None = None) -> None:
    """Say which images there are, if a store from which one was to be opened is a collection (90, SHOULD).

    Raises
    ------
    NotOmeZarrError
        If it is one.
    """
    group = open_group(store, storage_options=storage_options)
    if not is_collection(group.attrs.asdict()):
        return
    paths = Listing.of(group).paths
    raise NotOmeZarrError(
        f"{str(group.store_path)!r} is a collection of {len(paths)} images ({told([*map(repr, paths)])}); "
        f"open one of them, by its own path or with group={next(iter(paths), '0')!r}, or all: "
        "xomezarr.open_collection(store)"
    )


def _overlap(one: str, other: str) -> bool:
    """Whether two paths are the same, or one lies below the other."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")
