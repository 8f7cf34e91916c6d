"""Whether the stored arrays that pixels are read from are there as they were: zarr takes what is missing for empty.

They are found wherever a lazy array holds them: in xarray's wrappers, in dask's tasks, in functions.
"""

from __future__ import annotations

import operator
import os
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, partial
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from xarray.core import indexing

from xomezarr.errors import OmeZarrError
from xomezarr.lazy import zarr

__all__ = ["Folder", "Presence", "arrays_behind", "check_all", "check_there", "presences", "reopened"]

LOOKS = 16
"""Arrays that are looked at together: each costs the server of an object store some milliseconds."""

STRANGERS = 2
"""How many objects of unknown classes may hold each other around an array, for it to be found."""


class Presence:
    """That a stored array is there as it was when this was made.

    Which folder a local array is in counts too: another array of the same metadata in its place is not the same.

    Parameters
    ----------
    array
        The array.
    folder
        Where it was opened, if that is known; else what is there now.
    """

    def __init__(self, array: zarr.Array[Any], folder: Folder | None = None) -> None:
        self._array = reopened(array)
        self._folder = folder or Folder.of(self._array)

    def __reduce__(self) -> Any:
        return (Presence, (self._array, self._folder))

    @property
    def array(self) -> zarr.Array[Any]:
        """The array, as it is read."""
        return self._array

    def check(self) -> None:
        """Make sure of it.

        Raises
        ------
        OmeZarrError
            If the array is not there, or is another one.
        """
        check_there(self._array)
        self.check_folder()

    def check_folder(self) -> None:
        """Make sure that the array lies in the folder in which it was opened; nothing else is looked at.

        After pixels were read this tells whether they were its own: chunks are found by their paths.

        Raises
        ------
        OmeZarrError
            If it does not.
        """
        if self._folder is not None and not self._folder.is_there():
            raise _not_there(self._array, ANOTHER if self._folder.path.exists() else "nothing is there any more")


ANOTHER = "another array is there"


def check_there(array: zarr.Array[Any], *, longer: bool = False) -> None:
    """Make sure that an array is there, and chunked and encoded as when it was opened; it may have grown.

    Parameters
    ----------
    array
        The array.
    longer
        Whether it may be longer than what is there, as one that is to be.

    Raises
    ------
    OmeZarrError
        If it is not.
    """
    store = array.store
    mode: Literal["r", "r+"] = "r" if store.read_only else "r+"
    told = ANOTHER
    try:
        found = zarr.open_array(store, path=array.path, mode=mode, zarr_format=array.metadata.zarr_format)
        if _kind(found) == _kind(array) and (longer or all(map(operator.ge, found.shape, array.shape))):
            return
    except Exception as error:
        told = str(error)
    # not while the other is handled: zarr's errors cannot be sent from one process to another
    raise _not_there(array, told)


def check_all(found: Iterable[Presence]) -> None:
    """Check several; an error is that of the first which is at fault."""
    found = list(found)
    if len(found) < 2:
        for one in found:
            one.check()
        return
    with ThreadPoolExecutor(min(len(found), LOOKS)) as pool:
        for _ in pool.map(Presence.check, found):
            pass


def presences(data: Any) -> tuple[Presence, ...]:
    """Return those of all arrays that `arrays_behind` finds: as they were opened, where that is known."""
    found, arrays = _found(data)
    known = {id(one.array) for one in found}
    return (*found, *(Presence(array) for array in arrays if id(array) not in known))


def _not_there(array: zarr.Array[Any], told: str) -> OmeZarrError:
    return OmeZarrError(f"{str(array.store_path)!r} is not there as it was when it was opened ({told}); open it again")


def _kind(array: zarr.Array[Any]) -> dict[str, Any]:
    """Return all that metadata say of how chunks are kept."""
    return {key: value for key, value in array.metadata.to_dict().items() if key not in ("attributes", "shape")}


def reopened(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """Return a local array by its whole path, to be read at once, by any process, from wherever that works.

    ``dask.array.from_zarr`` opens paths by a file system that answers by an event loop alone, and the root of a local
    store may be relative to this process's folder.
    """
    store = array.store
    if type(store) is zarr.storage.FsspecStore and _is_local_by_fsspec(store):
        root = os.fspath(store.path)
    elif type(store) is zarr.storage.LocalStore and not store.root.is_absolute():
        root = os.fspath(store.root.absolute())
    else:
        return array
    from xomezarr.files import Files  # it derives a class from one of zarr's, which is loaded late

    place = zarr.storage.StorePath(Files(root, read_only=True), array.path)
    opened: Any = zarr.AsyncArray(array.metadata, place, array.async_array.config)
    return zarr.Array(opened)


# --- which folder ----------------------------------------------------------------------------------------------------


class Folder:
    """A folder, told from any other that is ever at its place.

    Numbers of files alone do not tell: ext4 gives those of a folder that was deleted to the next one that is made. Nor
    are they of use where it is not told when a folder was made: there they may be made up, and not kept for long
    (FUSE).

    On another machine, to which it was sent, the folder that is there then counts: it may number files otherwise.
    """

    def __init__(self, path: Path, mark: tuple[int, ...]) -> None:
        self.path, self._mark = path, mark

    @classmethod
    def at(cls, path: Path) -> Folder | None:
        """Return the one at a path; None where there is none, or nothing tells it from others."""
        mark = _mark(path)
        return None if mark is None else cls(path, mark)

    @classmethod
    def of(cls, node: zarr.Array[Any] | zarr.Group) -> Folder | None:
        """Return the one in which an array or a group lies; None where there is none, or nothing tells it."""
        root = root_of(node.store)
        return None if root is None else cls.at(root / node.path)

    def is_there(self) -> bool:
        """Whether it is what is at its path."""
        return _mark(self.path) == self._mark

    def __reduce__(self) -> Any:
        return (_sent, (self.path, self._mark, _machine()))


def _sent(path: Path, mark: tuple[int, ...], machine: str) -> Folder | None:
    return Folder(path, mark) if machine == _machine() else Folder.at(path)


def root_of(store: Any) -> Path | None:
    """Return the folder of this machine that a store is, by whatever it is reached; None if it is none."""
    while isinstance(store, zarr.storage.WrapperStore):
        store = getattr(store, "_store", None)
    if isinstance(store, zarr.storage.LocalStore):
        return store.root.absolute()
    if isinstance(store, zarr.storage.ObjectStore) and type(store.store).__name__ == "LocalStore":
        prefix = getattr(store.store, "prefix", None)
        return None if prefix is None else Path(prefix).absolute()
    return Path(store.path).absolute() if _is_local_by_fsspec(store) else None


def _is_local_by_fsspec(store: Any) -> bool:
    """Whether a store is a folder of this machine that fsspec reads; zarr wraps what answers at once."""
    if not isinstance(store, zarr.storage.FsspecStore):
        return False
    return type(getattr(store.fs, "sync_fs", store.fs)).__name__ == "LocalFileSystem"


def _mark(path: Path) -> tuple[int, ...] | None:
    """Return what tells the folder at a path from all others; None where there is none, or nothing does."""
    try:
        found = path.stat()
    except OSError:
        return None
    made = _made(path, found)
    return (found.st_dev, found.st_ino, made) if made else None


def _made(place: Path, found: os.stat_result) -> int:
    """Return when a folder was made, in nanoseconds; 0 where the system does not tell."""
    # macOS and Windows
    made = int(getattr(found, "st_birthtime_ns", 0) or getattr(found, "st_birthtime", 0) * 10**9)
    call = None if made else _statx()
    return made if call is None else call(os.fsencode(place))


@cache
def _machine() -> str:
    from xomezarr import stage  # it derives a class from one of zarr's, which is loaded late

    return stage.boot()


@cache
def _statx() -> Callable[[bytes], int] | None:
    """Return the call of Linux that tells when something was made, which Python does not have yet."""
    import ctypes

    try:
        statx = ctypes.CDLL(None).statx
    except (OSError, AttributeError):  # a C library without it
        return None
    here, wanted, size, of_mask, of_seconds, of_nanoseconds = -100, 0x800, 256, 0, 80, 88  # AT_FDCWD, STATX_BTIME
    statx.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p]

    def made(path: bytes) -> int:
        answer = ctypes.create_string_buffer(size)
        if statx(here, path, 0, wanted, answer) != 0:
            return 0

        def number(start: int, length: int) -> int:
            return int.from_bytes(answer.raw[start : start + length], sys.byteorder)

        told = number(of_mask, 4) & wanted
        return number(of_seconds, 8) * 10**9 + number(of_nanoseconds, 4) if told else 0

    return made


# --- where arrays are held -------------------------------------------------------------------------------------------


def arrays_behind(data: Any) -> list[zarr.Array[Any]]:
    """Return the stored arrays that an array's pixels may be read from; none is read, and no graph is made for it.

    Parameters
    ----------
    data
        NumPy, dask, or what xarray makes of lazily opened arrays.
    """
    return _found(data)[1]


def _found(data: Any) -> tuple[list[Presence], list[zarr.Array[Any]]]:
    """Return what is known of the stored arrays behind an array, and these."""
    found: dict[int, Any] = {}
    near: Iterable[Any] = [data]
    for _ in range(STRANGERS + 1):
        strangers = _search(near, found)
        near = chain.from_iterable(map(_inside, strangers))
    known = [one for one in found.values() if isinstance(one, Presence)]
    arrays = (one for one in found.values() if not isinstance(one, Presence))
    return known, [array if isinstance(array, zarr.Array) else zarr.Array(array) for array in arrays]


def _search(near: Iterable[Any], found: dict[int, Any]) -> list[Any]:
    """Find arrays among objects, and all that these hold; return the objects of unknown classes that are met.

    What is known of where an array was opened is found too.

    All of one class are asked at once: there may be millions of tasks.
    """
    strangers: list[Any] = []
    queue = _by_class(near)
    for _ in range(DEPTH):
        parts: list[Any] = []
        for kind, held in queue.items():
            ask = _asked(kind)
            if ask is _arrays:
                found |= {id(array): array for array in held}
            elif ask is _strangers:
                strangers += held
            elif ask is not None:
                parts += ask(held)
        queue = _by_class(parts)
    return strangers


DEPTH = 64
"""Objects that hold each other at most, lest they do so in a circle; a graph takes about ten."""


def _by_class(parts: Iterable[Any]) -> dict[type, Iterable[Any]]:
    """Return the objects that may hold arrays, those that many others may hold once each."""
    parts = parts if isinstance(parts, list) else list(parts)
    queue: dict[type, Iterable[Any]] = {}
    for kind in set(map(type, parts)):
        if (ask := _asked(kind)) is not None:
            held = [part for part in parts if type(part) is kind]
            queue[kind] = held if ask in PLENTIFUL else {id(part): part for part in held}.values()
    return queue


def _inside(stranger: Any) -> list[Any]:
    """Return the values of an object's own attributes; nothing is computed for it."""
    kept = list(getattr(stranger, "__dict__", {}).values())
    return kept + [getattr(stranger, name) for name in _slots(type(stranger)) if hasattr(stranger, name)]


def _slots(kind: type) -> list[str]:
    """Return the attributes that objects of a class have without a dict."""
    own = (vars(base).get("__slots__", ()) for base in kind.__mro__)
    names = chain.from_iterable([slots] if isinstance(slots, str) else slots for slots in own)
    return [name for name in names if name not in ("__dict__", "__weakref__")]


type Ask = Callable[[Iterable[Any]], Iterable[Any]]
"""Returns what objects of one class hold."""


@cache
def _asked(kind: type) -> Ask | None:
    """Return how to ask objects of a class what they hold; None where they hold no array that others read from."""
    if issubclass(kind, zarr.Array | zarr.AsyncArray | Presence):
        return _arrays
    packages = {str(base.__module__).partition(".")[0] for base in kind.__mro__}
    rows = {**_of_dask(), **HOLDERS} if "dask" in packages else HOLDERS
    for of, ask in rows.items():
        if issubclass(kind, of):
            return ask
    return _strangers if (kind.__dictoffset__ or _slots(kind)) and not packages & CLOSED else None


CLOSED = frozenset({"asyncio", "concurrent", "distributed", "fsspec", "logging", "pandas", "threading", "zarr"})
"""Packages of whose objects no array is read."""


def _arrays(held: Iterable[Any]) -> Iterable[Any]:
    return ()


def _strangers(held: Iterable[Any]) -> Iterable[Any]:
    return ()


def _attributes(*names: str) -> Ask:
    """Return a function that returns attributes of objects, as far as these have them."""

    def ask(held: Iterable[Any]) -> Iterator[Any]:
        for one in held:
            for name in names:
                with suppress(Exception):  # a variable of a function may have no value yet
                    yield getattr(one, name)

    return ask


def _values(held: Iterable[Any]) -> Iterable[Any]:
    # other threads may add to them meanwhile
    return chain.from_iterable(list(one.values()) for one in held)


def _of_tuples(held: Iterable[Any]) -> Iterable[Any]:
    return chain.from_iterable(held)


def _of_tasks(held: Iterable[Any]) -> Iterable[Any]:
    of_function, of_arguments, of_names = map(attrgetter, ("func", "args", "kwargs"))
    functions = {id(function): function for function in map(of_function, held)}
    return chain(functions.values(), chain.from_iterable(map(of_arguments, held)), filter(len, map(of_names, held)))


PLENTIFUL = (_of_tuples, _of_tasks)
"""What is asked of those of which there may be millions, each held by one other."""


HOLDERS: Mapping[type, Ask | None] = {
    np.ndarray: None,
    type: None,
    types.ModuleType: None,
    indexing.ExplicitlyIndexed: _attributes("array", "_array", "presence", "__dict__"),
    indexing.ImplicitToExplicitIndexingAdapter: _attributes("array"),
    xr.DataArray: _attributes("_variable"),
    xr.Dataset: _attributes("_variables"),
    xr.Variable: _attributes("_data"),
    partial: _attributes("func", "args", "keywords"),
    types.FunctionType: _attributes("__closure__", "__defaults__", "__kwdefaults__"),
    types.CellType: _attributes("cell_contents"),
    types.MethodType: _attributes("__self__"),
    dict: _values,
    tuple: _of_tuples,
    **dict.fromkeys((list, set, frozenset), chain.from_iterable),
}
"""How to ask objects what they hold, by their class; None for those that hold nothing of interest."""


@cache
def _of_dask() -> Mapping[type, Ask | None]:
    """Return more rows; those that come first count. Layers of a graph are asked, and not made into their tasks."""
    import dask.array
    from dask.blockwise import Blockwise, BlockwiseDepDict
    from dask.delayed import Delayed
    from dask.highlevelgraph import HighLevelGraph, Layer

    rows: dict[type, Ask | None] = {
        dask.array.Array: _attributes("dask"),
        Delayed: _attributes("dask"),
        HighLevelGraph: _attributes("layers"),
        Blockwise: _attributes("indices", "task", "io_deps"),
        BlockwiseDepDict: _attributes("mapping"),
        Layer: _attributes("__dict__"),
    }
    with suppress(ImportError):  # where dask has other tasks, these are searched like any object
        from dask._task_spec import Alias, DataNode, Task, TaskRef

        rows |= {Alias: None, TaskRef: None, DataNode: _attributes("value"), Task: _of_tasks}
    return rows
