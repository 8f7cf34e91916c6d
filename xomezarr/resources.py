"""What a write may use: memory and threads, as the user asks for them, or as the machine has them."""

from __future__ import annotations

import operator
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from xomezarr.errors import ResourceError

__all__ = ["Resources", "bytes_asked", "machine_memory"]

FALLBACK_MEMORY = 4 * 2**30
"""Where the system does not tell: the smallest machine that somebody looks at images on."""

CONTROL_GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
"""Where Linux tells of the limits that containers and jobs of a queue are under."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What a write may use of the machine.

    Parameters
    ----------
    max_memory
        Bytes; a quarter of those of the machine where nobody says. Most writes need a hundredth of them: it is what
        they may take to read chunks once that do not fit those of the file.
    workers
        Threads; one for each core where nobody says.
    """

    max_memory: int = sys.maxsize
    workers: int = 1

    @classmethod
    def asked(cls, max_memory: int | str | None, workers: int | None) -> Resources:
        """Check what the user asks for, and choose the rest.

        Raises
        ------
        ResourceError
            If either is no positive number.
        """
        if workers is not None and (isinstance(workers, bool) or not hasattr(workers, "__index__") or workers < 1):
            raise ResourceError(f"workers={workers!r} is not a number of at least 1; leave it out for one a core")
        return cls(_bytes(max_memory), default_workers() if workers is None else int(workers))


def _bytes(max_memory: int | str | None) -> int:
    if max_memory is None:
        return machine_memory() // 4
    try:
        return bytes_asked(max_memory)
    except ValueError:
        raise ResourceError(
            f'max_memory={max_memory!r} is no amount of memory; give bytes, or a text such as max_memory="2 GiB"'
        ) from None


def bytes_asked(asked: object) -> int:
    """Return how many bytes are asked for, at least 1: a number, or a text with a unit.

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> bytes_asked(1000), bytes_asked("2 KiB"), bytes_asked("0.5kB")
    (1000, 2048, 500)
    """
    from dask.utils import parse_bytes

    try:
        if isinstance(asked, bool) or (isinstance(asked, str) and not any(map(str.isdigit, asked))):
            raise ValueError
        found = int(parse_bytes(operator.index(asked) if hasattr(asked, "__index__") else asked))  # type: ignore[arg-type]
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise ValueError(f"{asked!r} is no amount of memory") from None
    if found < 1:
        raise ValueError(f"{asked!r} is no amount of memory")
    return found


@cache
def machine_memory() -> int:
    """Return the bytes of memory of this machine, or of the container or job that the process is in."""
    found = [FALLBACK_MEMORY]
    with suppress(AttributeError, ValueError, OSError):  # not every system tells
        found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    return min([*found, *_limits()])


def _limits() -> Iterator[int]:
    """Yield the bytes of memory that the control groups of this process allow, and those around them."""
    try:
        groups = [line.split(":", 2) for line in OWN_GROUPS.read_text().splitlines()]
    except OSError:
        return
    for _, controllers, path in groups:
        root, name = CONTROL_GROUPS, "memory.max"
        if controllers:  # version 1 has a tree for each kind of resource
            root, name = CONTROL_GROUPS / "memory", "memory.limit_in_bytes"
        if not controllers or "memory" in controllers.split(","):
            group = root / path.lstrip("/")
            for folder in (group, *group.parents):
                with suppress(OSError, ValueError):  # a container does not see the groups around it, nor "max" a number
                    yield int((folder / name).read_text())


def default_workers() -> int:
    """Return the number of threads that dask would use: as it is configured, else one for each core."""
    import dask
    from dask.system import CPU_COUNT

    return int(dask.config.get("num_workers", None) or CPU_COUNT)
