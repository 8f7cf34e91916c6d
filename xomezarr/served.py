"""A web server on this machine alone, for what is shown in a browser: one store and the files of a viewer, to be read.

Whoever knows the address may read, and nobody else: it holds a token that cannot be guessed, the server listens on the
loopback interface, and answers no name but that of this machine, so that a page from elsewhere that gives its own
name this machine's address (DNS rebinding) gets nothing.
"""

from __future__ import annotations

import re
import secrets
import socket
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol, Self
from urllib.parse import unquote, urlsplit

from xomezarr.direct import wait
from xomezarr.errors import UNREADABLE_MEMBER, OmeZarrError, StoreExistsError
from xomezarr.lazy import zarr
from xomezarr.links import check_inside
from xomezarr.presence import root_of
from xomezarr.store import member_path

__all__ = ["Documents", "Events", "GroupObjects", "Objects", "Server", "Span", "asked_span"]

LOOPBACK = "127.0.0.1"
"""Where the server listens: no other machine reaches it."""

NAMES = frozenset({LOOPBACK, "localhost", "[::1]"})
"""Names under which a browser may ask; behind the port of a tunnel or a container too."""

IDLE_SECONDS = 30.0
"""A connection over which nothing is asked for so long is closed."""

EVENT_SECONDS = 5.0
"""How often is tried whether somebody still waits for events."""

TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
"""By how names end: those of `mimetypes` are what the machine says, and workers do not start with a wrong one."""

HEADERS: Mapping[str, str] = {
    "Accept-Ranges": "bytes",
    # the store may be written to while it is seen
    "Cache-Control": "no-cache",
    # the address is a secret, and no other page is to embed what is under it
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
"""Of each answer."""

ALLOWED = "GET, HEAD, OPTIONS"


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes from `start` up to, but not with, `stop`."""

    start: int
    stop: int


class Objects(Protocol):
    """What is served: bytes by key, such as ``0/c/0/0``; what is not there has no size."""

    def size(self, key: str) -> int | None:
        """Return how many bytes there are under a key; None where there is nothing."""
        ...

    def read(self, key: str, span: Span | None) -> bytes | None:
        """Return them, or some of them; None where there is nothing."""
        ...


@dataclass(frozen=True)
class Documents:
    """Objects in memory, or files by their paths."""

    held: Mapping[str, bytes | Path]

    def size(self, key: str) -> int | None:
        """Return how many bytes there are under a key; None where there is nothing."""
        held = self.held.get(key)
        return held.stat().st_size if isinstance(held, Path) else None if held is None else len(held)

    def read(self, key: str, span: Span | None) -> bytes | None:
        """Return them, or some of them; None where there is nothing."""
        held = self.held.get(key)
        if held is None:
            return None
        found = held.read_bytes() if isinstance(held, Path) else held
        return found if span is None else found[span.start : span.stop]


@dataclass(frozen=True)
class Events:
    """A stream of one event that stays open: a page that waits for others does not call for them again and again."""

    event: bytes


@dataclass(frozen=True)
class GroupObjects:
    """All that lies below a Zarr group of any store, read as Zarr reads it; what links lead to elsewhere is not.

    Parameters
    ----------
    group
        The group.
    instead
        Objects that stand for those under the same keys.
    """

    group: zarr.Group
    instead: Documents

    def size(self, key: str) -> int | None:
        """Return how many bytes there are under a key; None where there is nothing."""
        if key in self.instead.held:
            return self.instead.size(key)
        if not self._is_served(key):
            return None
        with suppress(FileNotFoundError, KeyError):
            return wait(self.group.store.getsize(member_path(self.group, key)))
        return None

    def read(self, key: str, span: Span | None) -> bytes | None:
        """Return them, or some of them; None where there is nothing."""
        if key in self.instead.held:
            return self.instead.read(key, span)
        if not self._is_served(key):
            return None
        from zarr.abc.store import RangeByteRequest
        from zarr.core.buffer import default_buffer_prototype

        asked = None if span is None else RangeByteRequest(span.start, span.stop)
        place = member_path(self.group, key)
        found = wait(self.group.store.get(place, prototype=default_buffer_prototype(), byte_range=asked))
        return None if found is None else found.to_bytes()

    def _is_served(self, key: str) -> bool:
        """Whether what a key of a local folder names is a file, and no link leads out of the group to it."""
        folder = root_of(self.group.store)
        if folder is None:
            return True
        root = folder / self.group.path
        try:
            check_inside(root, key)
            found = (root / key).is_file()
        except (StoreExistsError, OSError, ValueError):
            return False
        if not found and not root.is_dir():
            raise FileNotFoundError(f"{str(root)!r} is gone")
        return found


def asked_span(header: str, size: int) -> Span | None:
    """Return which of so many bytes a header ``Range`` asks for; None where it asks for all of them.

    Several ranges at once may be answered by all of it, as may what is no range (RFC 9110, 14.2).

    Raises
    ------
    IndexError
        If none of the bytes that it asks for are there.

    Examples
    --------
    >>> asked_span("bytes=2-5", 10), asked_span("bytes=-3", 10), asked_span("bytes=8-99", 10)
    (Span(start=2, stop=6), Span(start=7, stop=10), Span(start=8, stop=10))
    """
    found = re.fullmatch(r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", header)
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        start, stop = max(size - int(found[2]), 0), size
    else:
        start, stop = int(found[1]), min(int(found[2]) + 1, size) if found[2] else size
        if found[2] and int(found[2]) < start:
            return None
    if start >= stop:
        raise IndexError(f"none of the bytes {header!r} are among {size}")
    return Span(start, stop)


def _key(path: str) -> str | None:
    """Return the key that a path leads to; None where it could lead anywhere else than down.

    >>> _key("/store/0/c/0%200"), _key("/store/../../etc"), _key("/store/%2e%2e/x")
    ('store/0/c/0 0', None, None)
    """
    parts = unquote(path).split("/")[1:]
    down = all(part not in ("", ".", "..") and not set(part) & {"\\", "\0"} for part in parts[:-1])
    return "/".join(parts) if down and parts[-1] not in (".", "..") and not set(parts[-1]) & {"\\", "\0"} else None


class Server:
    """Serves objects under an address until it is closed, or the process ends.

    Parameters
    ----------
    port
        Of the loopback interface; 0 for one that is free.

    Attributes
    ----------
    address
        What all keys follow, with the token: ``"http://127.0.0.1:40123/6Y…/"``.
    objects
        What is served, by the first name of a key; ``""`` for what lies directly under the address.
    """

    def __init__(self, port: int = 0) -> None:
        self.objects: dict[str, Objects | Events] = {}
        self._token = secrets.token_urlsafe(24)
        try:
            self._http = _Http((LOOPBACK, port), _handler(self._answer))
        except (OSError, OverflowError) as error:
            raise OmeZarrError(f"nothing can be served at port {port}: {error}; give another one, port=0 say") from None
        self.address = f"http://{LOOPBACK}:{self._http.server_port}/{self._token}/"
        threading.Thread(target=self._http.serve_forever, name="xomezarr view", daemon=True).start()

    def close(self) -> None:
        """Serve nothing any more, over connections that are open either."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, path: str) -> tuple[Objects | Events, str] | None:
        """Return what is asked for by a path, and its key; None where the token is not ours, or the path no key."""
        token, _, rest = path.removeprefix("/").partition("/")
        key = _key(f"/{rest}")
        if not secrets.compare_digest(token.encode(), self._token.encode()) or key is None:
            return None
        first, _, inside = key.partition("/")
        if first in self.objects and inside:
            return self.objects[first], inside
        return (self.objects[""], key or "index.html") if "" in self.objects else None


class _Http(ThreadingHTTPServer):
    """A server that closes its connections too."""

    daemon_threads = True
    request_queue_size = 128
    """Connections that wait to be taken: browsers, and what looks for servers, open some dozens at once."""

    def __init__(self, *given: Any) -> None:
        self.connections: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._closing = threading.Lock()
        self._closed = False
        super().__init__(*given)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.connections.add(connection)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a browser that leaves in the middle of an answer is no fault."""

    def close(self) -> None:
        with self._closing:
            if self._closed:
                return
            self._closed = True
        self.shutdown()
        self.server_close()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _handler(answer: Callable[[str], tuple[Objects | Events, str] | None]) -> type[BaseHTTPRequestHandler]:
    """Make a class that answers requests by what a path asks for."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version, sys_version = "xomezarr", ""
        timeout = IDLE_SECONDS

        def do_GET(self) -> None:
            self._send(body=True)

        def do_HEAD(self) -> None:
            self._send(body=False)

        def do_OPTIONS(self) -> None:
            if self._is_of_this_machine():
                self._head(HTTPStatus.NO_CONTENT, 0, {"Allow": ALLOWED})

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: the address is a secret."""

        def _is_of_this_machine(self) -> bool:
            name = re.sub(r":\d*$", "", self.headers.get("Host", ""))
            if name.lower() in NAMES:
                return True
            self._head(HTTPStatus.FORBIDDEN, 0)
            return False

        def _send(self, *, body: bool) -> None:
            if not self._is_of_this_machine():
                return None
            found = answer(urlsplit(self.path).path)
            if found is None:
                return self._head(HTTPStatus.NOT_FOUND, 0)
            objects, key = found
            if isinstance(objects, Events):
                return self._stream(objects.event, body=body)
            # what lies in a store is data, and no page or script, whatever it is called
            known = TYPES if isinstance(objects, Documents) else {".json": TYPES[".json"]}
            headers = {"Content-Type": known.get(Path(key).suffix, "application/octet-stream")}
            asked = self.headers.get("Range")
            try:
                if asked is None and body:
                    whole = objects.read(key, None)
                    if whole is None:
                        return self._head(HTTPStatus.NOT_FOUND, 0)
                    self._head(HTTPStatus.OK, len(whole), headers)
                    return self._write(whole)
                size = objects.size(key)
                if size is None:
                    return self._head(HTTPStatus.NOT_FOUND, 0)
                try:
                    span = asked_span(asked or "", size)
                except IndexError:
                    told = {"Content-Range": f"bytes */{size}"}
                    return self._head(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, 0, told)
                if span is not None:
                    headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
                content = objects.read(key, span) if body else b""
            except (*UNREADABLE_MEMBER, RuntimeError):
                # what a store cannot give now is not what is not there, which stands for the fill value
                return self._head(HTTPStatus.BAD_GATEWAY, 0)
            length = size if span is None else span.stop - span.start
            if content is None or (body and len(content) != length):  # it was replaced in this moment
                return self._head(HTTPStatus.BAD_GATEWAY, 0)
            self._head(HTTPStatus.OK if span is None else HTTPStatus.PARTIAL_CONTENT, length, headers)
            return self._write(content)

        def _stream(self, event: bytes, *, body: bool) -> None:
            self.close_connection = True
            self.send_response(HTTPStatus.OK)
            for name, value in {**HEADERS, "Content-Type": "text/event-stream", "Connection": "close"}.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(OSError):  # the page is closed, or the server
                said = b"data: " + event + b"\n\n"
                while body:
                    self.wfile.write(said)
                    time.sleep(EVENT_SECONDS)
                    said = b":\n\n"

        def _head(self, status: HTTPStatus, length: int, headers: Mapping[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {**HEADERS, **(headers or {}), "Content-Length": str(length)}.items():
                self.send_header(name, value)
            self.end_headers()

        def _write(self, content: bytes) -> None:
            with suppress(ConnectionError):  # nobody waits for it any more
                self.wfile.write(content)

    return Handler
