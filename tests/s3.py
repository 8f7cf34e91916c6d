"""A real S3 server in a process of its own, and a proxy before any server, which does what networks and servers do.

The proxy notes each request, and may answer by itself, late, in part or never.
"""

from __future__ import annotations

import http.client
import os
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

STARTS = 60.0
"""Seconds that a server may take to start: its imports, on a busy machine."""

KEY, SECRET = "key", "secret"
"""Credentials, which the server does not look at."""


# --- the server ------------------------------------------------------------------------------------------------------


@contextmanager
def s3_server(log: Path) -> Iterator[str]:
    """Run moto's S3 server in a process of its own; its URL is given."""
    for _ in range(3):  # another process may have taken the port meanwhile
        port = _free_port()
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        environment = os.environ | {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
        with log.open("ab") as said:
            process = subprocess.Popen(command, stdout=said, stderr=said, env=environment)
        url = f"http://127.0.0.1:{port}"
        try:
            if _answers(url, process):
                yield url
                return
        finally:
            process.kill()
            process.wait(10)
    raise RuntimeError(f"no S3 server can be started: {log.read_text()[-2000:]}")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    end = time.monotonic() + STARTS
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError):
            urllib.request.urlopen(url, timeout=5).close()
            return True
        time.sleep(0.1)
    return False


def make_bucket(url: str, name: str) -> None:
    """Make a bucket."""
    urllib.request.urlopen(urllib.request.Request(f"{url}/{name}", method="PUT"), timeout=30).close()


def _client(url: str) -> Any:
    import boto3

    return boto3.client(
        "s3", endpoint_url=url, aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name="us-east-1"
    )


def objects(url: str, bucket: str, below: str = "") -> dict[str, bytes]:
    """Return all that a bucket holds below a prefix, by the keys without it."""
    client = _client(url)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=below)
    keys = [one["Key"] for page in pages for one in page.get("Contents", ())]
    return {key.removeprefix(below): client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


# --- the proxy -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked.

    Parameters
    ----------
    number
        How many came before it.
    method, path, query
        As HTTP has them; the path without escapes.
    """

    number: int
    method: str
    path: str
    query: str

    @property
    def lists(self) -> bool:
        """Whether it asks for the names of objects, rather than for one."""
        asked = parse_qs(self.query, keep_blank_values=True)
        return self.method == "GET" and bool(asked.keys() & {"list-type", "prefix", "delimiter"})


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with a request.

    Parameters
    ----------
    status
        The answer's; 0 for that of the server.
    code
        What S3 calls it.
    body
        What the answer says; left out, what S3 says of an error.
    cut
        When the connection ends: ``"before"`` the server has heard of it, ``"upload"`` in the middle of what is sent,
        ``"after"`` the server has done it, but before it is told, or ``"body"`` in the middle of the answer's body.
    wait
        Seconds before anything is answered.
    silent
        Whether nothing ever is.
    """

    status: int = 0
    code: str = ""
    body: str = ""
    cut: str = ""
    wait: float = 0.0
    silent: bool = False


INTERNAL, SLOW_DOWN = Fault(500, "InternalError"), Fault(503, "SlowDown")
DENIED, UNAUTHORIZED = Fault(403, "AccessDenied"), Fault(401, "Unauthorized")
CUT, CUT_UPLOAD, CUT_AFTER, CUT_BODY = (Fault(cut=when) for when in ("before", "upload", "after", "body"))
SILENT = Fault(silent=True)
NOT_DELETED = Fault(
    200,
    body="<DeleteResult><Error><Key>a</Key><Code>InternalError</Code><Message>no</Message></Error></DeleteResult>",
)
TRANSIENT = (INTERNAL, SLOW_DOWN, CUT, CUT_UPLOAD, CUT_AFTER, CUT_BODY, Fault(wait=0.2))

type Faults = Callable[[Request], Fault | None]


def at_random(rate: float, seed: int, kinds: Sequence[Fault] = TRANSIENT) -> Faults:
    """Return what lets a part of all requests fail, the same ones for the same order of requests."""
    chosen = random.Random(seed)
    lock = threading.Lock()

    def fault(request: Request) -> Fault | None:
        with lock:
            return chosen.choice(kinds) if chosen.random() < rate else None

    return fault


def where(asked: Callable[[Request], bool], fault: Fault, times: int | None = None) -> Faults:
    """Return what lets requests of a kind fail: the first ones; without a number, all."""
    left = [times]
    lock = threading.Lock()

    def found(request: Request) -> Fault | None:
        with lock:
            if not asked(request) or left[0] == 0:
                return None
            if left[0] is not None:
                left[0] -= 1
            return fault

    return found


@dataclass
class Proxy:
    """What stands between a client and a server.

    Parameters
    ----------
    upstream
        URL of the server.
    faults
        Tells of each request what goes wrong with it.
    hides
        Whether all that is not there is refused, and nothing listed: as S3 does for who may read objects alone.
    log
        The requests, in the order in which they came.
    """

    upstream: str
    faults: Faults | None = None
    hides: bool = False
    log: list[Request] = field(default_factory=list)
    url: str = ""
    closed: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self, method: str, target: str) -> tuple[Request, Fault | None]:
        """Note a request; return it, and what goes wrong with it."""
        parts = urlsplit(target)
        with self.lock:
            request = Request(len(self.log), method, unquote(parts.path), parts.query)
            self.log.append(request)
        if self.hides and request.lists:
            return request, DENIED
        return request, None if self.faults is None else self.faults(request)

    @property
    def lists(self) -> list[Request]:
        """Return the requests for names of objects."""
        return [request for request in self.log if request.lists]


@contextmanager
def proxy(upstream: str) -> Iterator[Proxy]:
    """Put a proxy before a server."""
    made = Proxy(upstream)

    class Handler(_Handler):
        between = made

    server = _Server(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.closed.set()
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that go away."""


class _Handler(BaseHTTPRequestHandler):
    """Hands requests on."""

    protocol_version = "HTTP/1.1"
    between: Proxy

    def log_message(self, *_: Any) -> None:
        pass

    def _serve(self) -> None:
        request, fault = self.between.next(self.command, self.path)
        fault = fault or Fault()
        if fault.silent:
            self.between.closed.wait()
            return self._cut()
        if fault.wait:
            self.between.closed.wait(fault.wait)
        length = int(self.headers.get("Content-Length") or 0)
        if fault.cut == "before":
            return self._cut()
        if fault.cut == "upload" and length:
            self.rfile.read(length // 2)
            return self._cut()
        body = self.rfile.read(length) if length else None
        if fault.status:
            return self._refuse(request, fault)
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            raise NotImplementedError("requests in pieces of unknown number")
        status, headers, content = self._asked(body)
        if fault.cut == "after":
            return self._cut()
        if status == 404 and self.between.hides:
            return self._refuse(request, DENIED)
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "keep-alive"):
                self.send_header(name, value)
        told = {name.lower(): value for name, value in headers}.get("content-length")
        self.send_header("Content-Length", told if self.command == "HEAD" and told else str(len(content)))
        self.end_headers()
        if fault.cut == "body" and content:
            self.wfile.write(content[: len(content) // 2])
            return self._cut()
        self.wfile.write(content)
        return None

    def _asked(self, body: bytes | None) -> tuple[int, list[tuple[str, str]], bytes]:
        """Ask the server."""
        place = urlsplit(self.between.upstream)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect"):
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _refuse(self, request: Request, fault: Fault) -> None:
        told = f"<Error><Code>{fault.code}</Code><Message>{fault.code} by a test</Message></Error>"
        content = (fault.body or told).encode()
        self.send_response_only(fault.status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if request.method != "HEAD":
            self.wfile.write(content)

    def _cut(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)


for _method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
    setattr(_Handler, f"do_{_method}", _Handler._serve)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of a server, and the proxy by which clients come to it.

    Parameters
    ----------
    server
        URL of the server itself.
    name
        Of the bucket.
    proxy
        The proxy.
    """

    server: str
    name: str
    proxy: Proxy

    def url(self, path: str) -> str:
        """Return where something is."""
        return f"s3://{self.name}/{path}"

    def options(self, **more: Any) -> dict[str, Any]:
        """Return the options of s3fs."""
        return {"key": KEY, "secret": SECRET, "endpoint_url": self.proxy.url, **more}

    def obstore(self, path: str, **more: Any) -> Any:
        """Return a store of obstore."""
        from obstore.store import S3Store

        options: dict[str, Any] = {"virtual_hosted_style_request": False, "client_options": {"allow_http": True}}
        options |= more
        known = {"access_key_id": KEY, "secret_access_key": SECRET, "region": "us-east-1"}
        return S3Store(self.name, prefix=path, endpoint=self.proxy.url, **known, **options)

    def place(self, path: str, by: str) -> tuple[Any, dict[str, Any]]:
        """Return a store, and the options that come with it: a URL of ``"s3fs"``, or a store of ``"obstore"``."""
        if by == "obstore":
            return self.obstore(path), {}
        return self.url(path), {"storage_options": self.options()}

    def objects(self, path: str) -> dict[str, bytes]:
        """Return all objects below a path, by their keys below it; no fault is met."""
        return objects(self.server, self.name, f"{path}/")

    def clear(self) -> None:
        """Delete all objects; no fault is met."""
        client = _client(self.server)
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=self.name):
            for one in page.get("Contents", ()):
                client.delete_object(Bucket=self.name, Key=one["Key"])


# --- folders over HTTP -----------------------------------------------------------------------------------------------


@contextmanager
def files_served(folder: Path) -> Iterator[str]:
    """Serve the files of a folder as web servers do, but for its lists of names; the URL is given."""

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, *_: Any) -> None:
            pass

        def list_directory(self, path: Any) -> None:
            self.send_error(403)

    server = _Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
