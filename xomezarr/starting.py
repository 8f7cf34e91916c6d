"""The first moments of the program: Ctrl-C ends it in one line while its modules are still imported.

They take a second or more, on a network drive ten, and what an import leaves of Ctrl-C is a long traceback. Only the
program does so, and not a process that imports xomezarr, whose handlers are its own.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

__all__ = ["INTERRUPTED", "imported", "importing", "is_program"]

INTERRUPTED = 130
"""Exit code: 128 + SIGINT, as shells do."""


def is_program(argv: Sequence[str], original: Sequence[str]) -> bool:
    """Whether a process is the program: the script that an installer makes, or ``python -m xomezarr``.

    Parameters
    ----------
    argv, original
        As `sys` has them: while ``-m`` looks for its module, the first of `argv` is ``-m`` itself.

    Examples
    --------
    >>> is_program(["/usr/bin/xomezarr", "info"], [])
    True
    >>> is_program(["-m", "info"], ["python", "-m", "xomezarr", "info"])
    True
    >>> is_program(["-m", "tests"], ["python", "-m", "pytest", "tests"])
    False
    """
    first = argv[0] if argv else ""
    if first == "-m":
        words = list(original)
        return ("-m" in words and words[words.index("-m") + 1 :][:1] == ["xomezarr"]) or "-mxomezarr" in words
    name = os.path.basename(first)  # noqa: PTH119 - pathlib itself takes time
    return name.removesuffix(".exe") in ("xomezarr", "xomezarr-script.py")


def importing() -> None:
    """Let Ctrl-C end the program in one line from now on, until `imported`; nothing where Python does not obey it."""
    if is_program(sys.argv, sys.orig_argv) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def imported() -> None:
    """Let Ctrl-C be a `KeyboardInterrupt` again, which `cli.main` takes."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(_: int, __: FrameType | None) -> None:
    """End at once: nothing has been begun, and what an exception becomes is for each import to choose."""
    os.write(2, b"xomezarr: interrupted; nothing was begun\n")
    os._exit(INTERRUPTED)
