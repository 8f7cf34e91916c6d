"""What a call costs: wall time, CPU time of all threads, and memory. Linux only; imports the standard library alone."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""Tells the kernel to begin its record of the peak anew (see proc_pid_clear_refs(5))."""


def measure(call: Callable[[], object]) -> dict[str, float]:
    """Call, and return seconds and mebibytes.

    `peak_mb` is the most that the process held in memory during the call; `above_mb` is how much of that came with it.
    """
    CLEAR_REFS.write_text(RESET_PEAK)
    before, cpu, start = _memory("VmRSS"), _cpu(), time.perf_counter()
    call()
    wall = time.perf_counter() - start
    peak = _memory("VmHWM")
    return {
        "wall": round(wall, 4),
        "cpu": round(_cpu() - cpu, 3),
        "peak_mb": round(peak, 1),
        "above_mb": round(peak - before, 1),
    }


def _memory(field: str) -> float:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def size_on_disk(store: Path) -> dict[str, float]:
    """Return the number of files under a folder, and their megabytes (10⁶)."""
    files = [Path(folder, name) for folder, _, names in os.walk(store) for name in names]
    return {"files": len(files), "disk_mb": round(sum(file.stat().st_size for file in files) / 1e6, 2)}
