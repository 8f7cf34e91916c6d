"""Stores on other machines: what fails for a moment is tried again, and what fails for good is told by its name.

fsspec tries nothing again over HTTP, botocore not what ends in the middle of an answer, and obstore neither that nor
what it deletes. Here all are asked again, a few times and for a minute; nothing is asked that may not be asked twice.

What is not there and what cannot be had are two things: only the first is a chunk of the fill value.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest

from xomezarr.errors import OmeZarrError, StoreAccessError
from xomezarr.lazy import zarr

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

__all__ = ["RemoteStore", "defaults", "inside", "opened", "patient", "refusal"]

ATTEMPTS = 5
"""How often something is asked at most."""

PATIENCE = 60.0
"""Seconds after which nothing is asked again: what takes longer to fail was tried again by its back end, or nobody
answers at all."""

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 8.0
"""Seconds before something is asked again: twice as many each time, and by chance up to half of them less."""

CONNECT_SECONDS, SILENT_SECONDS = 10.0, 30.0
"""Seconds that a web server may take to be reached, and to say anything; aiohttp allows five minutes for all of it."""

MAY_PASS = frozenset({408, 425, 429, 500, 502, 503, 504, 509, 520, 521, 522, 523, 524})
"""What servers answer that may answer otherwise the next time."""

REFUSED = (401, 403)
"""What servers answer who do not let somebody in. Some do so, too, where nothing is and names are not to be listed."""

OF_NODES = frozenset({"zarr.json", ".zgroup", ".zattrs", ".zarray", ".zmetadata"})
"""Of a group or an array some of these are there, and others never."""

CONNECTIONS = frozenset(
    {
        "ConnectionError",  # of Python and of botocore
        "ClientConnectionError",  # of aiohttp, as the next
        "ClientPayloadError",
        "HTTPClientError",  # of botocore, as the next
        "ResponseStreamingError",
        "IncompleteReadError",  # of asyncio
        "IncompleteRead",  # of http.client and urllib3
        "TimeoutError",
        "FSTimeoutError",  # of fsspec
    }
)
"""Names of what is raised where a connection ends or nobody answers, and of what is derived from it."""

FIRST_ASKED = ("read", "list", "look for")
"""What a file system of fsspec is opened by: not before then does it tell what is wrong with its options."""

UNREACHED = frozenset({"EndpointConnectionError", "ConnectTimeoutError", "ClientConnectorError"})
"""Names of what is raised where there is no connection at all."""


# --- the store -------------------------------------------------------------------------------------------------------


class RemoteStore(zarr.storage.WrapperStore[Store]):
    """A store of fsspec or obstore on other machines, which is asked patiently.

    Parameters
    ----------
    store
        The store.
    own
        Whether its file system was opened here, so that nobody else uses it.
    refusals
        What was told of documents that may not be read, by key. In a store that is only read they count as missing.
    """

    def __init__(self, store: Store, *, own: bool = False, refusals: dict[str, StoreAccessError] | None = None) -> None:
        super().__init__(store)
        self.own = own
        self._answered = False
        self.refusals = {} if refusals is None else refusals
        # s3fs tries what botocore has tried five times five times more, and twice so where something is read: of a
        # server that is silent it would be an hour until anybody is told
        if own and _is_s3(store):
            _file_system(store).retries = 1

    def __reduce__(self) -> Any:
        return (partial(RemoteStore, own=self.own), (self._store,))

    def _with_store(self, store: Store) -> Self:
        return type(self)(store, own=self.own, refusals=self.refusals)

    def __str__(self) -> str:
        return self.place()

    def __repr__(self) -> str:
        return f"<RemoteStore({self.place()})>"

    def place(self, key: str = "") -> str:
        """Return where a key is, as messages show it."""
        if not isinstance(self._store, zarr.storage.FsspecStore):
            return f"{self._store}/{key}".rstrip("/")
        path = f"{self._store.path.rstrip('/')}/{key}".rstrip("/")
        return path if "://" in path else str(_file_system(self._store).unstrip_protocol(path))

    # --- what is asked

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Read an object, or a part of it; None where there is none."""
        asked = byte_range
        if asked is None and _is_s3(self._store):
            # s3fs asks first how large an object is, and where there is none by a list whether it is a folder
            asked = OffsetByteRequest(0)
        try:
            found = await self._patiently("read", key, partial(self._store.get, key, prototype, asked))
        except StoreAccessError as error:
            if not (error.refused and self.read_only and key.rpartition("/")[2] in OF_NODES):
                raise
            self.refusals[key] = error
            return None
        if found is not None and (most := _most(byte_range)) is not None and len(found) > most:
            raise StoreAccessError(
                f"{self.place(key)!r} cannot be read in parts: its server sends all of it, whatever is asked for; use "
                "a server that gives ranges of bytes, or download the store"
            )
        return found

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Read parts of several objects."""
        return list(await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges)))

    def get_ranges(self, key: str, byte_ranges: Sequence[ByteRequest | None], **options: Any) -> Any:
        """Read parts of an object; it asks `get`, as the next two ask one by one."""
        return Store.get_ranges(self, key, byte_ranges, **options)

    def _get_many(self, requests: Any) -> Any:
        return Store._get_many(self, requests)

    async def _set_many(self, values: Iterable[tuple[str, Buffer]]) -> None:
        await Store._set_many(self, values)

    async def exists(self, key: str) -> bool:
        """Whether there is an object."""
        self._forget()
        return await self._patiently("look for", key, partial(self._store.exists, key))

    async def getsize(self, key: str) -> int:
        """Return the bytes of an object."""
        return await self._patiently("look for", key, partial(self._store.getsize, key))

    async def is_empty(self, prefix: str) -> bool:
        """Whether there is nothing below a prefix."""
        return await self._patiently("list", prefix, partial(self._store.is_empty, prefix))

    async def set(self, key: str, value: Buffer) -> None:
        """Write an object."""
        await self._patiently("write", key, partial(self._store.set, key, value))

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write an object where there is none."""
        await self._patiently("write", key, partial(self._store.set_if_not_exists, key, value))

    async def delete(self, key: str) -> None:
        """Delete an object, if there is one."""
        await self._patiently("delete", key, partial(self._store.delete, key))

    async def delete_dir(self, prefix: str) -> None:
        """Delete all below a prefix; if something stays, which s3fs does not tell, that is an error."""

        async def deleted() -> None:
            self._forget()
            await self._store.delete_dir(prefix)
            if not await self._store.is_empty(prefix):
                raise LeftError("not all of it is gone")

        await self._patiently("delete", prefix, deleted)

    def list(self) -> AsyncIterator[str]:
        """Yield all keys."""
        return self._listed("", self._store.list)

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield the keys below a prefix."""
        return self._listed(prefix, partial(self._store.list_prefix, prefix))

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names below a prefix."""
        return self._listed(prefix, partial(self._store.list_dir, prefix))

    async def _listed(self, prefix: str, names: Callable[[], AsyncIterator[str]]) -> AsyncIterator[str]:
        """Yield names once all of them are known: some would come twice where it is asked again."""

        async def all_names() -> Sequence[str]:
            return [name async for name in names()]

        self._forget()
        for name in await self._patiently("list", prefix, all_names):
            yield name

    def _forget(self) -> None:
        """Forget what the file system has listed: other processes may have written meanwhile."""
        if isinstance(self._store, zarr.storage.FsspecStore):
            self._store.fs.invalidate_cache()

    # --- how it is asked

    async def _patiently[T](self, doing: str, key: str, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask, and ask again where that may help.

        Parameters
        ----------
        doing, key
            What is asked for, for messages.

        Raises
        ------
        StoreAccessError
            If it cannot be had. What is not there, where something is read, is no such error.
        """
        begun, attempt = time.monotonic(), 1
        while True:
            try:
                found = await ask()
                self._answered = True
                return found
            except (TypeError, AttributeError, ValueError) as error:
                if isinstance(error.__context__, GeneratorExit):  # nobody waits for it any more
                    raise error.__context__ from None
                if self._answered or not self.own or doing not in FIRST_ASKED:
                    raise
                raise OmeZarrError(
                    f"{self.place()!r} cannot be opened with these storage_options ({_told(error)}); give those that "
                    f"{type(_file_system(self._store)).__name__} takes"
                ) from None
            except Exception as error:
                no_place = doing == "write" or "NoSuchBucket" in _names(error)
                if not _is_of_access(error) or (isinstance(error, FileNotFoundError) and not no_place):
                    raise
                spent = time.monotonic() - begun
                if attempt == ATTEMPTS or spent > PATIENCE or not self._may_pass(error):
                    raise self._failed(doing, key, error, attempt, spent) from None
            pause = min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            attempt += 1

    def _may_pass(self, error: Exception) -> bool:
        """Whether it is of use to ask again: who has never been reached will hardly be there in a minute."""
        return may_pass(error) and (self._answered or not _names(error) & UNREACHED)

    def _failed(self, doing: str, key: str, error: Exception, attempts: int, spent: float) -> StoreAccessError:
        what, refused = f"cannot {doing} {self.place(key)!r}", is_refused(error)
        if isinstance(error, FileNotFoundError):
            return StoreAccessError(f"{what}: there is no such bucket ({_told(error)}); check its name, or make it")
        if refused:
            return StoreAccessError(
                f"{what}: the server refuses ({_told(error)}); give credentials that may do so, by storage_options or "
                "the environment; some servers refuse, too, where nothing is and names may not be listed",
                refused=True,
            )
        tried = f" {attempts} times in {spent:.0f} s" if attempts > 1 else f" in {spent:.0f} s" if spent > 1 else ""
        cure = "check the URL, and storage_options"
        if self._may_pass(error):
            cure = "try again later; an image that was being written goes on with resume=True"
        return StoreAccessError(f"{what}{tried}: {_told(error)}; {cure}")


def opened(url: str, storage_options: Mapping[str, Any] | None, *, read_only: bool) -> RemoteStore:
    """Open a URL of another machine; what is there is not asked."""
    given = storage_options or {}
    options = {**defaults(url), **given}
    if "client_kwargs" in given and isinstance(given["client_kwargs"], Mapping):
        options["client_kwargs"] = {**defaults(url).get("client_kwargs", {}), **given["client_kwargs"]}
    return RemoteStore(zarr.storage.FsspecStore.from_url(url, storage_options=options, read_only=read_only), own=True)


def patient(store: Store) -> Store:
    """Return a store of zarr as one that is patient, if it is of fsspec or obstore on other machines; else as it is."""
    of_fsspec = type(store) is zarr.storage.FsspecStore and type(_file_system(store)).__name__ not in OF_THIS_MACHINE
    of_obstore = type(store) is zarr.storage.ObjectStore and type(store.store).__name__ not in OF_THIS_MACHINE
    return RemoteStore(store) if of_fsspec or of_obstore else store


OF_THIS_MACHINE = frozenset({"LocalFileSystem", "MemoryFileSystem", "LocalStore", "MemoryStore"})
"""Classes of fsspec and obstore that ask no other machine."""


def defaults(url: str) -> dict[str, Any]:
    """Return the options of fsspec that a URL has where they are not given: a file system apart from those of others.

    >>> defaults("s3://bucket/cells.zarr")
    {'use_listings_cache': False}
    """
    options: dict[str, Any] = {"use_listings_cache": False}
    if url.startswith(("http://", "https://")):
        from aiohttp import ClientTimeout

        timeout = ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENT_SECONDS)
        options["client_kwargs"] = {"timeout": timeout}
    return options


def inside(store: Store) -> Store:
    """Return the store that a patient one asks; any other as it is."""
    return store._store if isinstance(store, RemoteStore) else store


def refusal(store: Any, path: str) -> StoreAccessError | None:
    """Return what was told of a document of a group or an array that may not be read; None if nothing was."""
    known = store.refusals if isinstance(store, RemoteStore) else {}
    return next((error for key, error in known.items() if key.rpartition("/")[0] == path.strip("/")), None)


def _file_system(store: Any) -> Any:
    """Return the file system of a store of fsspec; the one inside, where zarr has wrapped it."""
    return getattr(store.fs, "sync_fs", store.fs)


def _is_s3(store: Store) -> bool:
    return isinstance(store, zarr.storage.FsspecStore) and type(store.fs).__name__ == "S3FileSystem"


def _most(byte_range: ByteRequest | None) -> int | None:
    """Return how many bytes a request is answered by at most; None where that is not known."""
    if isinstance(byte_range, RangeByteRequest):
        return byte_range.end - byte_range.start
    return byte_range.suffix if isinstance(byte_range, SuffixByteRequest) else None


# --- what goes wrong -------------------------------------------------------------------------------------------------


class LeftError(OSError):
    """Not all was deleted."""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was made of."""
    found: BaseException | None = error
    for _ in range(8):
        if found is None:
            return
        yield found
        found = found.__cause__ or found.__context__


def _names(error: BaseException) -> set[str]:
    return {kind.__name__ for one in _causes(error) for kind in type(one).__mro__}


def _status(error: BaseException) -> int | None:
    """Return what a server has answered, as far as an error of a back end tells."""
    for one in _causes(error):
        response = getattr(one, "response", None)
        if isinstance(response, Mapping):  # of botocore
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return status if isinstance(status, int) else None
        for name in ("status", "status_code", "code"):  # of aiohttp, of Azure, of gcsfs
            if isinstance(found := getattr(one, name, None), int):
                return found
    return None


def _is_of_access(error: Exception) -> bool:
    """Whether an error is one of reaching a server, and not of the program."""
    packages = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return isinstance(error, OSError) or bool(packages & OF_BACK_ENDS) or bool(_names(error) & CONNECTIONS)


OF_BACK_ENDS = frozenset({"aiohttp", "botocore", "aiobotocore", "obstore", "azure", "gcsfs", "google", "fsspec"})
"""Packages whose errors are those of reaching a server."""


def may_pass(error: Exception) -> bool:
    """Whether what failed may go well the next time."""
    # first, as what aiohttp raises where an answer is cut off is made of an error with the status 400
    if isinstance(error, LeftError) or {kind.__name__ for kind in type(error).__mro__} & CONNECTIONS:
        return True
    status = _status(error)
    if status is not None:
        return status in MAY_PASS
    if type(error).__module__.startswith("obstore"):
        # it tries again itself, and says how often; its errors have no type that tells more
        return "HTTP error" in _told(error) and " retries" not in _told(error)
    return not is_refused(error) and bool(_names(error) & CONNECTIONS)


def is_refused(error: Exception) -> bool:
    """Whether a server does not let somebody in."""
    names = {"PermissionError", "PermissionDeniedError", "UnauthenticatedError", "NoCredentialsError"}
    told = str(error) if type(error).__module__.startswith("obstore") else ""
    return _status(error) in REFUSED or bool(_names(error) & names) or "403 Forbidden" in told


def _told(error: BaseException) -> str:
    """Say in one line what a back end says."""
    text = " ".join(str(error).partition("Debug source:")[0].split()) or type(error).__name__
    return text if len(text) < LONG_TEXT else f"{text[:LONG_TEXT]}…"


LONG_TEXT = 300
