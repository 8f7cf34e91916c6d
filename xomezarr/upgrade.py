"""Bring a store to another version of OME-Zarr: where it is, by its documents alone, or into a new store."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from xomezarr import direct, spec
from xomezarr.chunks import Chunks, within
from xomezarr.direct import AT_ONCE, copy_objects, get_document, most_at_once, put_document, wait
from xomezarr.documents import chunk_key, chunk_place, encoded, object_bytes
from xomezarr.errors import (
    ArchiveError,
    NotOmeZarrError,
    StoreExistsError,
    StoreNotFoundError,
    VersionError,
    told,
    told_where_full,
)
from xomezarr.hierarchy import Hierarchy, Node, inside, walk, with_files_of_arrays
from xomezarr.holders import check_held, held_at
from xomezarr.lazy import zarr
from xomezarr.planning import check_single_file
from xomezarr.read import is_remote
from xomezarr.resources import default_workers
from xomezarr.store import (
    StoreArgument,
    alone,
    check_apart,
    check_changeable,
    check_complete,
    check_free,
    is_local,
    member_path,
    open_group,
    parents,
    publish,
    read_mode,
    resolve,
    writable_group,
)
from xomezarr.upgrading import Change, Step, Upgrade, plan_upgrade
from xomezarr.write import consolidate

__all__ = ["VERSION", "upgrade"]

VERSION: Final = "0.5"
"""The version to which a store is brought if none is asked: the newest that is published, and that other tools read."""

QUEUED = 16
"""Chunks for each thread that wait to be encoded anew: enough for none to be idle, few enough to be listed."""

DEEPEST = 3
"""How many groups, some of which need not be there, lie above an image of a plate."""


def upgrade(
    src: StoreArgument,
    dst: StoreArgument | None = None,
    *,
    version: str = VERSION,
    mode: str = "w-",
    dry_run: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    src_storage_options: Mapping[str, Any] | None = None,
) -> Upgrade:
    """Bring an OME-Zarr store to another version: image, plate, collection, scene, well, labels, with all in it.

    Without `dst` the store is changed where it is, and no chunk is written or moved: documents of the new version are
    written beside the old ones, the root's last, then the old ones are deleted. Whenever the process is killed, all
    is read as before, and the same call finishes the work. With `dst` all is copied there, levels bit for bit;
    chunks are decoded and encoded anew only where the Zarr format of the version cannot say how they are encoded. What
    no version of OME-Zarr knows stays: attributes, groups, arrays and files of other tools.

    Parameters
    ----------
    src
        A path, a URL, or a store of zarr or obstore.
    dst
        Where to write a new store; one that ends in ``.ozx`` is a single file. Left out, `src` is changed.
    version
        ``"0.4"``, ``"0.5"`` or ``"0.6"``, older than that of the store or newer. The same with a `dst` is a copy.
    mode
        ``"w-"``: an error if something is at `dst`; ``"w"``: an existing store is replaced.
    dry_run
        Whether all is worked out and checked, and nothing written.
    storage_options
        For the URL of what is written, as fsspec takes them.
    src_storage_options
        For the URL of `src`, where `dst` is given.

    Returns
    -------
    Upgrade
        What was done; it prints, and has a `to_dict`.

    Raises
    ------
    VersionError
        If a version is not known, or has no place for something; if `dst` is listed by a group of another version.
    CodecError
        If the chunks of an array cannot stay where they are; `dst` is the cure.
    DtypeError
        If the Zarr format of the version has no such data type.
    MetadataError, LabelError
        If the version cannot say what the metadata do; if documents of both Zarr formats contradict each other, or zarr
        does not read one.
    NotOmeZarrError, StoreNotFoundError, IncompleteStoreError
        If there is no store, or not yet.
    StoreExistsError
        If something is at `dst`, or `src` cannot be changed.
    ArchiveError
        If `src` is a single file and no `dst` is given.
    """
    if version not in spec.READ:
        known = ", ".join(map(repr, spec.VERSIONS))
        raise VersionError(
            f"xomezarr does not know OME-Zarr {version!r}; give a version of {known}, such as {VERSION!r}"
        )
    spec.check_written(version)
    if dst is None:
        return _in_place(src, version, storage_options or src_storage_options, dry_run=dry_run)
    _check_apart(src, dst, storage_options)
    check_single_file(dst, version)
    check_free(dst, mode=mode, storage_options=storage_options)
    held = held_at(dst)
    if held is not None:
        held.check_version(version)
    found = with_files_of_arrays(_found(src, src_storage_options))
    planned = plan_upgrade(found, version, store=_shown(src), destination=_shown(dst))
    if held is not None and spec.is_image(planned.attrs):
        held.check_image(spec.parse(planned.attrs))
    if not dry_run:
        image = partial(spec.parse, planned.attrs) if spec.is_image(planned.attrs) else None
        fits = partial(check_held, dst, version, image, listed=held is not None)
        options: dict[str, Any] = {"mode": mode, "storage_options": storage_options, "fits": fits}
        with publish(dst, zarr_format=planned.zarr_format, **options) as group:
            _copy(found, planned, group)
            if "" in planned.consolidated or not is_local(dst):
                consolidate(group, planned.zarr_format)
    return planned


def _shown(store: StoreArgument) -> str:
    return os.fspath(store) if isinstance(store, str | os.PathLike) else str(store)


def _found(src: StoreArgument, storage_options: Mapping[str, Any] | None) -> Hierarchy:
    """Find all that lies in a store of OME-Zarr."""
    group = open_group(src, storage_options=storage_options)
    check_complete(group)
    if not spec.is_ome(group.attrs.asdict()):
        raise NotOmeZarrError(
            f"{_shown(src)!r} is a Zarr group without OME metadata, of which no version is known; give the root of an "
            "OME-Zarr store"
        )
    return walk(group)


def _check_apart(src: StoreArgument, dst: StoreArgument, storage_options: Mapping[str, Any] | None) -> None:
    """Refuse to write into what is read."""
    try:
        check_apart(dst, src, storage_options)
    except StoreExistsError as error:
        raise StoreExistsError(f"{error}, or leave DST out to change a store in a folder where it is") from None


# -- where it is ----------------------------------------------------------------------------------------------


def _in_place(src: StoreArgument, version: str, storage_options: Mapping[str, Any] | None, *, dry_run: bool) -> Upgrade:
    """Change the documents of a store, and nothing else."""
    try:
        check_changeable(src)
    except ArchiveError:
        new = "new.ozx" if spec.zarr_format(version) == 3 else "new.ome.zarr"
        copied = f'xomezarr.upgrade({_shown(src)!r}, "{new}", version={version!r})'
        raise ArchiveError(
            f"{_shown(src)!r} is a single file, or lies in one, which is written as a whole and not changed; give a "
            f"DST: {copied}"
        ) from None
    _check_root(src, open_group(src, storage_options=storage_options))
    if dry_run:
        return _planned(src, _found(src, storage_options), version)
    with alone(resolve(src), pixels=src):
        found = _found(src, storage_options)
        planned = _planned(src, found, version)
        if planned.steps:
            _check_writable(src, found.root)
            with told_where_full(_shown(src), "a part of the metadata is new; make room, and upgrade it again"):
                _execute(writable_group(src, storage_options), planned.steps)
    return planned


def _planned(src: StoreArgument, found: Hierarchy, version: str) -> Upgrade:
    """Work out what is done where the store is; what links lead to out of it is others' too, and not changed."""
    planned = plan_upgrade(found, version, store=_shown(src))
    changed = [path for path in found.links if any(step.key.startswith(f"{path}/") for step in planned.steps)]
    if changed:
        raise StoreExistsError(
            f"{told([*map(repr, changed)])} of {_shown(src)!r}: a link leads out of the store, and what is there would "
            "change too; put a copy there in place of the link, or give a DST, where all is copied"
        )
    return planned


def _check_root(src: StoreArgument, group: zarr.Group) -> None:
    """Refuse a part of a store: all of a hierarchy is of one version."""
    target = resolve(src)
    above: list[StoreArgument] = [*target.resolve().parents] if isinstance(target, Path) else []
    if group.path:
        above = [zarr.storage.StorePath(group.store, place) for place in [*parents(group.path), ""]]
    found: list[zarr.Group] = []
    for place in above[:DEEPEST]:
        with suppress(StoreNotFoundError, NotOmeZarrError, OSError):
            found.append(open_group(place))
    known = [str(one.store_path) for one in found if spec.is_ome(one.attrs.asdict())]
    if known:  # the outermost counts
        raise VersionError(
            f"{_shown(src)!r} is a part of the store {known[-1]!r}, and all of a store is of one version; bring the "
            f"whole of it to another: xomezarr.upgrade({known[-1]!r}, …), or give a DST"
        )
    if found:
        raise VersionError(
            f"{_shown(src)!r} lies in the Zarr group {str(found[-1].store_path)!r}, which is no OME-Zarr, and in which "
            "nobody would find it in another format of Zarr; give a DST"
        )


def _check_writable(src: StoreArgument, group: zarr.Group) -> None:
    """Refuse a store in which documents cannot be replaced, and deleted."""
    target = resolve(src)
    store = target.store if isinstance(target, zarr.storage.StorePath) else target
    if not group.store.supports_deletes or (isinstance(store, zarr.abc.store.Store) and store.read_only):
        raise StoreExistsError(
            f"nothing in {_shown(src)!r} can be replaced; open it for writing, or give a DST, where all is copied"
        )


def _execute(group: zarr.Group, steps: Iterable[Step]) -> None:
    """Write and delete documents, one after the other."""
    for step in steps:
        if step.content is not None:
            put_document(group, step.key, step.content)
        else:
            wait(group.store.delete(member_path(group, step.key)))


# -- into another store ---------------------------------------------------------------------------------------


def _copy(found: Hierarchy, planned: Upgrade, group: zarr.Group) -> None:
    """Write all of a store into an empty group; the attributes of its root come last."""
    for change in reversed(planned.changes[1:]):
        for name, document in change.documents.items():
            put_document(group, change.node.key(name), encoded(document))
        if change.anew:
            _encode_anew(found, change.node, group)
        elif change.node.is_array:
            _copy_chunks(found, change, group)
    copy_objects(found.root, group, ((key, key) for key in planned.files))
    direct.put_attributes(group, planned.attrs)


def _copy_chunks(found: Hierarchy, change: Change, group: zarr.Group) -> None:
    """Copy the chunks of an array as they are, under the keys that the new array has for them."""
    node = change.node
    chunks = inside(found.root, node, chunks=True)
    keys: Iterable[tuple[str, str]] = zip(chunks, chunks, strict=True)
    if node.zarr_format != group.metadata.zarr_format:
        place, key, begin = chunk_place(node.document), chunk_key(change.documents["zarr.json"]), node.key("")
        keys = ((old, node.key(key(place(old.removeprefix(begin)) or ()))) for old in chunks)
    copy_objects(found.root, group, keys, object_bytes(node.document))
    _check_there(found, node)


def _encode_anew(found: Hierarchy, node: Node, group: zarr.Group) -> None:
    """Decode the chunks of an array, and encode them as the new array has them."""
    source = zarr.open_array(
        found.root.store,
        path=member_path(found.root, node.path),
        mode=read_mode(found.root.store),
        zarr_format=node.zarr_format,  # type: ignore[arg-type]
    )
    # arrays of Zarr v2 have no fill value here; and zarr takes a chunk of complex -0.0 for an empty one
    whole = node.zarr_format == 3 or source.dtype.kind == "c"
    target = zarr.open_array(group.store, path=member_path(group, node.path), mode="r+")
    target = target.with_config({"write_empty_chunks": whole})
    before, after = Chunks(source), Chunks(target)

    def one(box: tuple[slice, ...]) -> None:
        pixels = before.read(box)
        for part in after.boxes(box):  # the chunks of a shard, or the same
            after.write(part, pixels[within(box, part)])

    afar = is_remote(found.root.store) or is_remote(group.store)
    workers = most_at_once(math.prod(before.grid) * before.dtype.itemsize, AT_ONCE if afar else default_workers())
    with ThreadPoolExecutor(workers) as pool:
        for boxes in itertools.batched(before.boxes([slice(0, size) for size in source.shape]), QUEUED * workers):
            for _ in pool.map(one, boxes):
                pass
    _check_there(found, node)


def _check_there(found: Hierarchy, node: Node) -> None:
    """Make sure that an array is still there: chunks that are gone with it would be taken for empty ones."""
    name = "zarr.json" if node.zarr_format == 3 else ".zarray"
    if get_document(found.root.store, member_path(found.root, node.key(name))) is None:
        raise StoreNotFoundError(
            f"the array {node.path!r} of {str(found.root.store_path)!r} is gone; another process has removed or "
            "replaced it: upgrade the store again"
        )
