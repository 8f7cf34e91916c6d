"""Groups and arrays of zarr without its event loop, whose round trips take longer than small images do to write.

Functions that open or create return None where a store answers by an event loop alone, where zarr lacks a name that
they rely on, and where something is not as expected: then zarr is to be asked, which also says what is wrong.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import threading
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from xomezarr.errors import OmeZarrError
from xomezarr.lazy import zarr

__all__ = [
    "AT_ONCE",
    "answers_at_once",
    "copy_objects",
    "created_group",
    "created_like",
    "get_document",
    "get_documents",
    "most_at_once",
    "names_below",
    "opened_array",
    "opened_group",
    "opened_member",
    "put_attributes",
    "put_document",
    "put_group",
    "takes_zarr_alone",
    "update_attributes",
    "wait",
]

CHANGED = (ImportError, AttributeError, TypeError, ValueError, KeyError, RecursionError)
"""What happens where zarr has changed, or a document is not what it should be."""


ANSWERS = (("get", "get_sync"), ("set", "set_sync"), ("delete", "delete_sync"))
"""Methods of stores, with and without an event loop."""


INTERRUPTED_WAIT = 3.0
"""Seconds for which what is under way may go on when its caller is interrupted."""

COPIED = 128 * 2**20
"""Bytes that are copied at the same time, but for a single object that is larger."""

AT_ONCE = 64
"""Objects that are copied at the same time at most: enough for a server far away."""


def wait[T](answer: Coroutine[Any, Any, T]) -> T:
    """Wait for one of zarr's asynchronous answers; its own way of waiting is the one that its stores are made for.

    Whoever is interrupted while something is written goes on when it is written, or will not be: it would land after
    what is done to undo it.
    """
    from zarr.core.sync import sync

    begun: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []
    ended = threading.Event()

    async def noted() -> T:
        task = asyncio.current_task()
        assert task is not None
        begun.append((asyncio.get_running_loop(), task))
        try:
            return await answer
        finally:
            ended.set()

    try:
        return sync(noted())
    except BaseException as error:
        if not isinstance(error, Exception) and not ended.wait(INTERRUPTED_WAIT):
            for loop, task in begun:
                loop.call_soon_threadsafe(task.cancel)
            ended.wait(INTERRUPTED_WAIT)
        raise


def answers_at_once(store: Any) -> bool:
    """Whether a store answers without an event loop, and answers the same.

    Stores that are derived from zarr's, or wrapped around them, have both ways, and may change one of them alone.
    """
    if isinstance(store, zarr.storage.WrapperStore):
        around = getattr(store, "_store", None)
        if around is None or not answers_at_once(around):
            return False
    classes = type(store).__mro__

    def defined(name: str) -> int:
        return next((number for number, one in enumerate(classes) if name in vars(one)), len(classes))

    return all(defined(at_once) <= defined(name) for name, at_once in ANSWERS)


def opened_group(root: Path, path: str | None = None) -> zarr.Group | None:
    """Open a group of a local store for reading, of either format; consolidated metadata are not asked.

    Parameters
    ----------
    root
        Of the store.
    path
        Of the group in it; left out, the root.
    """
    try:
        from xomezarr.files import Files  # it derives a class from one of zarr's, which is loaded late

        place = _place(Files(root, read_only=True), path or "")
        document, other = _read(place, "zarr.json"), _read(place, ".zgroup")
        if document is None and other is not None:
            attributes = _read(place, ".zattrs")
            if attributes is None:
                # there may be none, or the store was being replaced between the two
                if _read(place, ".zgroup") is None:
                    return None
                attributes = _read(place, ".zattrs") or {}
            document = {**other, "attributes": attributes}
        elif document is None or other is not None or document.get("node_type") != "group":
            return None
        document.pop("consolidated_metadata", None)
        return zarr.Group(zarr.AsyncGroup.from_dict(place, document))
    except (*CHANGED, OSError):
        return None


def opened_array(group: zarr.Group, path: str) -> zarr.Array[Any] | None:
    """Open an array below a group, of the same format, to be read or written as the group is."""
    if not answers_at_once(group.store):
        return None
    try:
        place = _place(group.store, f"{group.path}/{path}")
        if group.metadata.zarr_format == 3:
            document = _read(place, "zarr.json")
            if document is None or document.get("node_type") != "array":
                return None
        else:
            document = _read(place, ".zarray")
            if document is None:
                return None
            document["attributes"] = _read(place, ".zattrs") or {}
        opened: Any = zarr.AsyncArray.from_dict(place, document)
        return zarr.Array(opened)
    except (*CHANGED, OSError):
        return None


def opened_member(group: zarr.Group, path: str) -> zarr.Group | None:
    """Open a group below a group, of the same format, to be read or written as that is.

    Raises
    ------
    KeyError
        If there is nothing, or something else.
    """
    if not answers_at_once(group.store):
        return None
    absent = False
    try:
        place = _place(group.store, f"{group.path}/{path}")
        if group.metadata.zarr_format == 3:
            document = _read(place, "zarr.json")
            is_group = document is not None and document.get("node_type") == "group"
        else:
            document = _read(place, ".zgroup")
            is_group = document is not None
            if document is not None:
                document["attributes"] = _read(place, ".zattrs") or {}
        if document is not None and is_group:
            document.pop("consolidated_metadata", None)
            return zarr.Group(zarr.AsyncGroup.from_dict(place, document))
        others = (".zgroup",) if group.metadata.zarr_format == 3 else ("zarr.json",)
        absent = all(_read(place, name) is None for name in others)
    except (*CHANGED, OSError):
        return None
    if absent:
        raise KeyError(path)
    return None


def created_group(store: Any, zarr_format: int, attributes: Mapping[str, Any]) -> zarr.Group | None:
    """Create the group at the root of a store in which nothing is yet."""
    if not answers_at_once(store):
        return None
    try:
        from zarr.core.group import GroupMetadata

        metadata = GroupMetadata(attributes=dict(attributes), zarr_format=zarr_format)  # type: ignore[arg-type]
        place = zarr.storage.StorePath(store, "")
        made = zarr.Group(zarr.AsyncGroup(metadata, place))
        documents = _documents(metadata)
    except CHANGED:
        return None
    _write(place, documents)
    return made


def put_attributes(group: zarr.Group, attributes: Mapping[str, Any]) -> None:
    """Replace the attributes of a group by writing the one document that holds them.

    zarr writes all documents of a group at the same time: where one is refused, another that is still under way would
    land after what its caller puts back.
    """
    known = group.metadata.attributes
    given = dict(attributes)
    known.clear()
    known.update(given)
    name = "zarr.json" if group.metadata.zarr_format == 3 else ".zattrs"
    try:
        document = _documents(group.metadata)[name]
    except CHANGED:
        group.attrs.put(given)
        return
    _put(group.store_path / name, document)


def put_group(store: Any, path: str, zarr_format: int, attributes: Mapping[str, Any]) -> None:
    """Make a group where there is none; its attributes are there before it is a group."""
    place = _place(store, path)
    try:
        from zarr.core.group import GroupMetadata

        metadata = GroupMetadata(attributes=dict(attributes), zarr_format=zarr_format)  # type: ignore[arg-type]
        documents = _documents(metadata)
    except CHANGED:
        zarr.create_group(store, path=path, zarr_format=zarr_format, attributes=dict(attributes))  # type: ignore[arg-type]
        return
    for name in sorted(documents):
        _put(place / name, documents[name])


OF_ZARR = re.compile(r"(^|/)(zarr\.json|c(/\d+)*)$")
"""Keys of documents and chunks of Zarr v3."""


def takes_zarr_alone(store: Any) -> bool:
    """Whether a store takes nothing but groups and arrays of Zarr v3, as Icechunk does, which has transactions."""
    return type(store).__name__ == "IcechunkStore"


def put_document(group: zarr.Group, key: str, content: bytes) -> None:
    """Write what lies below a group under a key, as it is.

    Raises
    ------
    OmeZarrError
        If the store takes no such thing.
    """
    if takes_zarr_alone(group.store) and not OF_ZARR.search(key):
        raise OmeZarrError(
            f"{key!r} is nothing of Zarr, and Icechunk takes nothing else; write to another store, or each image by "
            "itself"
        )
    from zarr.core.buffer import default_buffer_prototype

    _put(group.store_path / key, default_buffer_prototype().buffer.from_bytes(content))


def get_document(store: Any, key: str) -> bytes | None:
    """Return what is kept in a store under a key; None if there is nothing."""
    from zarr.core.buffer import default_buffer_prototype

    content = store.get_sync(key) if answers_at_once(store) else wait(store.get(key, default_buffer_prototype()))
    return None if content is None else content.to_bytes()


def most_at_once(nbytes: int, most: int) -> int:
    """Return how many objects of some bytes are in memory at the same time: at least one."""
    return min(max(COPIED // max(nbytes, 1), 1), most)


def copy_objects(
    source: zarr.Group, target: zarr.Group, keys: Iterable[tuple[str, str]], nbytes: int | None = None
) -> None:
    """Copy what lies below a group into another one as it is, as far as it is there.

    Parameters
    ----------
    source, target
        The groups.
    keys
        Of each object the key there, and here.
    nbytes
        How large one is at most, so that no more of them are in memory than that allows; None where nobody knows: then
        one is copied after the other.
    """
    from zarr.core.buffer import default_buffer_prototype

    prototype = default_buffer_prototype()

    async def one(old: str, new: str) -> None:
        content = await source.store.get((source.store_path / old).path, prototype)
        if content is not None:
            await target.store.set((target.store_path / new).path, content)

    async def several(batch: Sequence[tuple[str, str]]) -> None:
        await asyncio.gather(*(one(old, new) for old, new in batch))

    for batch in itertools.batched(keys, 1 if nbytes is None else most_at_once(nbytes, AT_ONCE)):
        wait(several(batch))


def get_documents(store: Any, keys: Sequence[str]) -> list[bytes | None]:
    """Return what is kept under each of some keys; a store far away gives all of it in the time of one."""
    if answers_at_once(store):
        return [get_document(store, key) for key in keys]
    from zarr.core.buffer import default_buffer_prototype

    prototype = default_buffer_prototype()

    async def asked() -> list[Any]:
        return await asyncio.gather(*(store.get(key, prototype) for key in keys))

    return [None if content is None else content.to_bytes() for content in wait(asked())]


def names_below(store: Any, path: str) -> list[str]:
    """Return the names of all that lies in a store below a path."""

    async def listed() -> list[str]:
        return [name.strip("/") async for name in store.list_dir(path)]

    return wait(listed())


def update_attributes(group: zarr.Group, attributes: Mapping[str, Any]) -> None:
    """Add attributes to those of a group."""
    put_attributes(group, {**group.attrs, **attributes})


def created_like(
    array: zarr.Array[Any], group: zarr.Group, name: str, shape: tuple[int, ...], chunks: tuple[int, ...]
) -> zarr.Array[Any] | None:
    """Create an array in a group, where nothing is yet, that differs from another by its shape and chunks alone.

    None for an array with shards, too.
    """
    store: Any = group.store
    if array.shards is not None or not answers_at_once(store):
        return None
    try:
        changes: dict[str, Any] = {"shape": shape, "chunks": chunks}
        if array.metadata.zarr_format == 3:
            grid = {"name": "regular", "configuration": {"chunk_shape": chunks}}
            changes = {"shape": shape, "chunk_grid": grid}
        metadata = replace(array.metadata, **changes)
        documents = _documents(metadata)
        place = _place(store, f"{group.path}/{name}")
        made: Any = zarr.AsyncArray(metadata, place, array.async_array.config)
    except CHANGED:
        return None
    _write(place, documents)
    return zarr.Array(made)


def _place(store: Any, path: str) -> Any:
    """Return a place in a store; a path that may leave it is an error."""
    path = path.strip("/")
    if path and ({"", ".", ".."} & set(path.split("/")) or "\\" in path):
        raise ValueError(path)
    return zarr.storage.StorePath(store, path)


def _documents(metadata: Any) -> dict[str, Any]:
    from zarr.core.buffer import default_buffer_prototype

    documents: dict[str, Any] = metadata.to_buffer_dict(default_buffer_prototype())
    return documents


def _write(place: Any, documents: Mapping[str, Any]) -> None:
    for name, document in documents.items():
        place.store.set_sync((place / name).path, document)


def _put(place: Any, document: Any) -> None:
    """Write a document, without an event loop where that is possible."""
    if answers_at_once(place.store):
        place.store.set_sync(place.path, document)
    else:
        wait(place.store.set(place.path, document))


def _read(place: Any, name: str) -> dict[str, Any] | None:
    """Read a JSON object; None if it is not there."""
    content = place.store.get_sync((place / name).path)
    if content is None:
        return None
    document = json.loads(content.to_bytes())
    if not isinstance(document, dict):
        raise TypeError(name)
    return document
