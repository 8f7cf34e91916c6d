"""Leave the thread of a cluster's worker to other tasks while one waits, which may be for what they do."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["step_aside", "waited_for", "waiting"]


class _Aside(threading.local):
    """Whether a thread has left its place, and in how many blocks it is that end with its coming back."""

    is_so = False
    blocks = 0


_ASIDE = _Aside()


@contextmanager
def waiting() -> Iterator[None]:
    """Let a thread come back when the block ends, or the outermost of several, if it has stepped aside meanwhile.

    It waits until another task ends, which may take long: locks are to be given back before.
    """
    _ASIDE.blocks += 1
    try:
        yield
    finally:
        _ASIDE.blocks -= 1
        if _ASIDE.is_so and not _ASIDE.blocks:
            _ASIDE.is_so = False
            from distributed import rejoin

            with suppress(RuntimeError):  # of a worker that is being closed
                rejoin()  # type: ignore[no-untyped-call]


def step_aside() -> None:
    """Leave the thread to other tasks of ``dask.distributed``, where this is one of them, until `waiting` is over."""
    if _ASIDE.is_so or not _ASIDE.blocks or "distributed" not in sys.modules:
        return
    from distributed import secede
    from distributed.threadpoolexecutor import thread_state
    from distributed.worker import thread_state as worker_state  # type: ignore[attr-defined]

    if not getattr(thread_state, "proceed", False):  # this is none, or has left by itself
        return
    if getattr(worker_state, "actor", False):  # whose methods come one after the other
        return
    with suppress(ValueError, KeyError, AttributeError, RuntimeError):  # the cluster is none of this task's, or closes
        secede()  # type: ignore[no-untyped-call]
    _ASIDE.is_so = not thread_state.proceed


@contextmanager
def waited_for(lock: threading.Lock) -> Iterator[None]:
    """Hold a lock of this process, which another task may hold."""
    with waiting():
        taken = lock.acquire(blocking=False)
        try:
            if not taken:
                step_aside()
                taken = lock.acquire()
            yield
        finally:
            if taken:
                lock.release()
