"""Processes that begin at once: forked off one that has loaded what writers need, and that has no thread.

To start an interpreter that loads all of it takes seconds, and many tests stop a process after some hundredths.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from subprocess import TimeoutExpired
from types import TracebackType
from typing import Any, Self

__all__ = ["NURSERY", "Child", "run"]

HOW = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"

NURSERY: Any = multiprocessing.get_context(HOW)
NURSERY.set_forkserver_preload(
    ["xomezarr.write", "xarray.backends.zarr", "dask.array", "pandas", "s3fs", "skimage.measure", "zarr.storage"]
)


class Child:
    """A process that does something; used as `subprocess.Popen` is, with what it says as text.

    Parameters
    ----------
    do
        A function of a module.
    arguments
        What it takes.
    """

    def __init__(self, do: Callable[..., None], *arguments: Any) -> None:
        (out, of_out), (said, of_said) = NURSERY.Pipe(duplex=False), NURSERY.Pipe(duplex=False)
        self._process = NURSERY.Process(target=_begin, args=(of_out, of_said, do, *arguments))
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid
        self.stdout, self.stderr = (os.fdopen(os.dup(one.fileno())) for one in (out, said))
        for one in (out, of_out, said, of_said):
            one.close()

    @property
    def returncode(self) -> int | None:
        """Its exit status, or the negative number of the signal that has ended it; None while it goes on."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it goes on still."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises
        ------
        TimeoutExpired
            If that does not come.
        """
        self._process.join(timeout)
        if self.returncode is None:
            assert timeout is not None
            raise TimeoutExpired("a child", timeout)
        return self.returncode

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """Return what it says until its end, for which `wait` waits; where that does not come it is killed."""
        with ThreadPoolExecutor(2) as pool:
            both = [pool.submit(one.read) for one in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            except BaseException:
                self.kill()
                raise
        out, said = (one.result() for one in both)
        return out, said

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Wait for its end; it is ended where something fails."""
        if kind is not None:
            self.kill()
        self._process.join()
        self.stdout.close()
        self.stderr.close()


def run(code: str, *arguments: Any) -> Child:
    """Run a program; its arguments are texts."""
    return Child(_execute, code, *map(str, arguments))


def _begin(out: Connection, said: Connection, do: Callable[..., None], *arguments: Any) -> None:
    for one, stream in ((out, sys.stdout), (said, sys.stderr)):
        os.dup2(one.fileno(), stream.fileno())
        one.close()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    do(*arguments)


def _execute(code: str, *arguments: str) -> None:
    sys.argv[1:] = arguments
    exec(compile(code, "<child>", "exec"), {"__name__": "__main__"})
