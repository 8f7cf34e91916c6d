"""Progress on long work: a callable that is told of each tile. Only this module knows rich."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from typing import TextIO

from xomezarr.engine import OnTile
from xomezarr.errors import OmeZarrError
from xomezarr.plan import readable_bytes
from xomezarr.store import StoreArgument

__all__ = ["OnTile", "progress_of", "rich_progress"]

SECONDS_BETWEEN_LINES = 10.0
"""A log gets six lines a minute: enough to see that work goes on, and none for work that is soon done."""

MUCH_BYTES = 256 * 2**20
"""Of so much a log says at once that it is begun: it may take a while until something is done."""


type Progress = Callable[[int], AbstractContextManager[OnTile | None]]
"""Called with the decoded bytes of all levels when work begins; yields what is told of each part, if anything is."""


def progress_of(asked: bool | OnTile | None, store: StoreArgument) -> Progress:
    """Return how the user is told of a write.

    Parameters
    ----------
    asked
        True for a bar, or what is told of each part.
    store
        What is written, as the bar names it.

    Raises
    ------
    OmeZarrError
        If it is something else.
    """
    if asked is None or asked is False:
        return lambda total: nullcontext()
    if asked is True:
        return lambda total: rich_progress(total, f"writing {store}")
    if not callable(asked):
        raise OmeZarrError(f"progress={asked!r} is neither True nor callable; give progress=True for a bar")
    told: Callable[[int], None] = asked
    return lambda total: nullcontext(told)


@contextmanager
def rich_progress(total_bytes: int, description: str, *, file: TextIO | None = None) -> Iterator[OnTile]:
    """Show how far some work has come.

    On a terminal a bar, which goes away with the work; elsewhere a line now and then, without control
    characters; nothing where rich is not installed.

    Parameters
    ----------
    total_bytes
        Bytes of all tiles, decoded.
    description
        What is being done, in a few words.
    file
        Where to show it; left out, standard error.

    Yields
    ------
    OnTile
        Safe to call from several threads.

    Examples
    --------
    >>> import io
    >>> log = io.StringIO()
    >>> with rich_progress(200, "writing", file=log) as on_tile:
    ...     on_tile(100)
    >>> log.getvalue()
    ''
    """
    stream = sys.stderr if file is None else file
    if find_spec("rich") is None:
        yield lambda nbytes: None
    elif stream.isatty() and os.environ.get("TERM") != "dumb":
        with _bar(total_bytes, description, stream) as on_tile:
            yield on_tile
    else:
        yield _lines(total_bytes, description, stream)


def line(done: int, total: int, seconds: float) -> str:
    """Say how far some work has come: bytes that are done, their rate, and how long the others will take.

    >>> line(3 * 2**20, 12 * 2**20, 2.0), line(0, 100, 0.0)
    ('25 %, 3.0 MiB of 12.0 MiB, 1.5 MiB/s, 6 s left', '0 %, 0 B of 100 B')
    """
    told = f"{100 * done // max(total, 1)} %, {readable_bytes(done)} of {readable_bytes(total)}"
    if done <= 0 or seconds <= 0:
        return told
    left = seconds * max(total - done, 0) / done
    return f"{told}, {readable_bytes(done / seconds)}/s, {readable_seconds(left)} left"


def readable_seconds(seconds: float) -> str:
    """Write a length of time for people.

    >>> readable_seconds(6.4), readable_seconds(125), readable_seconds(7300)
    ('6 s', '2 min 5 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def _bar(total_bytes: int, description: str, stream: TextIO) -> Iterator[OnTile]:
    """Draw a bar with the bytes done, their rate, and the time that is left."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=stream), transient=True) as progress:
        task = progress.add_task(description, total=total_bytes)
        yield lambda nbytes: progress.advance(task, nbytes)


def _lines(total_bytes: int, description: str, stream: TextIO) -> OnTile:
    """Write a plain line each `SECONDS_BETWEEN_LINES`, and of `MUCH_BYTES` one at once."""
    if total_bytes >= MUCH_BYTES:
        print(f"{description}: begun, {readable_bytes(total_bytes)}", file=stream, flush=True)
    lock = threading.Lock()
    done, began = 0, time.monotonic()
    last = began

    def on_tile(nbytes: int) -> None:
        nonlocal done, last
        with lock:
            done += nbytes
            now = time.monotonic()
            if now - last < SECONDS_BETWEEN_LINES:
                return
            last = now
            told = line(done, total_bytes, now - began)
            print(f"{description}: {told}", file=stream, flush=True)

    return on_tile
