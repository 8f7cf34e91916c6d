"""Compare xomezarr with the other libraries that write and open OME-Zarr.

    uv run --no-sync python benchmarks/run.py                  everything: an hour or more, 25 GB of disk
    uv run --no-sync python benchmarks/run.py --quick          small images, once: two minutes
    uv run --no-sync python benchmarks/run.py --workloads W2 --modes same --contenders xomezarr ome-zarr --rounds 3
    uv run --no-sync python benchmarks/run.py --report         the tables and plots of docs/performance.md, from results

Every run makes what is missing (input, environments), measures, appends one line of JSON a measurement to the results,
and prints medians. Contenders take turns (A B C A B C …), so that what else the machine does falls on all alike; each
measurement is a process of its own in an environment of its own, where a small image is written before the clock
starts. What was written is checked in the first round, its shapes in all rounds, and then deleted. A report takes the
last campaign of each table: give trials a file of their own (`--results`). Linux only.

The modules: `workloads` (what is written), `data` (its pixels), `contenders` and `writers` (who writes, and each
library's natural call), `bound` (the same work with no library), `environments`, `one` and `measure` (one
measurement), `check` (is it right), `latency` (opening), `report` (tables and plots).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import data
import environments
import latency
import numpy as np
import report
import zarr
from check import check_pixels, check_shapes
from contenders import CONTENDERS, Contender
from environments import NotAvailableError
from workloads import QUICK, WORKLOADS, Workload, select

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "xomezarr-benchmarks"
MODES = ("same", "default")
ROUNDS = 3
PATHS = re.compile(r"(/[\w.+-]+){2,}")
SAME_ONLY = ("W3-1", "W3-2", "W3-4", "W3-8")
"""Workloads that are about growth: what defaults cost is told by the others."""

type Record = dict[str, Any]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Compare xomezarr with the other libraries that write and open OME-Zarr."
    )
    parser.add_argument(
        "--workloads", nargs="+", metavar="W", help=f"of {', '.join(WORKLOADS)}; W3 stands for its four"
    )
    parser.add_argument(
        "--contenders", nargs="+", choices=CONTENDERS, metavar="NAME", help=f"of {', '.join(CONTENDERS)}"
    )
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES, help="same chunks and codec, or defaults")
    parser.add_argument("--rounds", type=int, help=f"default {ROUNDS}; 1 with --quick")
    parser.add_argument("--quick", action="store_true", help="small images")
    parser.add_argument("--latency", choices=("with", "only", "without"), default="with", help="the times of opening")
    parser.add_argument(
        "--check", choices=("first", "every", "shapes"), default="first", help="rounds to check pixels in"
    )
    parser.add_argument("--timeout", type=float, default=900, help="seconds for one measurement")
    parser.add_argument("--data", type=Path, default=CACHE / "data", help="folder of the input")
    parser.add_argument("--environments", type=Path, default=CACHE / "environments", help="folder of the environments")
    parser.add_argument("--scratch", type=Path, default=CACHE / "scratch", help="folder in which images are written")
    parser.add_argument(
        "--results", type=Path, default=CACHE / "results.jsonl", help="file that results are appended to"
    )
    parser.add_argument("--prepare", action="store_true", help="make input and environments, and stop")
    parser.add_argument("--report", action="store_true", help="make the tables and plots of the docs, and stop")
    return parser.parse_args()


class Campaign:
    """One call of this program.

    Parameters
    ----------
    options
        Of the command.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.size = "quick" if options.quick else "full"
        self.rounds = options.rounds or (1 if options.quick else ROUNDS)
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self.scratch = options.scratch / f"{os.getpid()}"
        self.pythons: dict[str, Path] = {}
        self.records: list[Record] = []
        if options.latency == "only":
            self.workloads: list[str] = []
        elif options.workloads:
            self.workloads = select(options.workloads)
        else:
            self.workloads = list(QUICK if options.quick else WORKLOADS)

    def run(self) -> None:
        self.prepare()
        if self.options.prepare:
            return
        self.scratch.mkdir(parents=True)
        try:
            for name in self.workloads:
                for mode in self.modes(name):
                    self.compare(name, mode)
            if self.options.latency != "without":
                self.open()
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)
        print(report.text(self.records))

    def modes(self, workload: str) -> list[str]:
        """Defaults are measured where they say something new, and in quick trials on one workload only."""
        skipped = ("default",) if workload in SAME_ONLY or (self.options.quick and workload != "W2") else ()
        return [mode for mode in self.options.modes if mode not in skipped]

    def contenders(self, workload: str, mode: str) -> dict[str, Contender]:
        return {
            name: contender
            for name, contender in self.chosen().items()
            if contender.takes(workload, mode) and contender.environment in self.pythons
        }

    def chosen(self) -> dict[str, Contender]:
        """Those that were named, else all; in quick trials, those that start quickly."""
        named = self.options.contenders
        return {
            name: contender
            for name, contender in CONTENDERS.items()
            if (name in named if named else contender.quick or not self.options.quick)
        }

    def prepare(self) -> None:
        """Make what is needed and missing: environments and input."""
        needed = [contender.environment for contender in self.chosen().values()] if self.workloads else []
        if self.options.latency != "without":
            needed += ["xomezarr", *(opener.environment for opener in self.openers().values())]
        for name in dict.fromkeys(needed):
            say(f"environment {name}")
            try:
                self.pythons[name] = environments.prepare(self.options.environments, name)
            except NotAvailableError as error:
                say(f"  left out: {error}")
        for name in self.workloads:
            for size in ("warm", self.size):
                say(f"input {name} ({size})")
                data.make(self.options.data, name, size)

    # --- Writing -------------------------------------------------------------------------------------------------

    def compare(self, name: str, mode: str) -> None:
        for number in range(self.rounds):
            for key in self.contenders(name, mode):
                record = {"kind": "write", "workload": name, "mode": mode, "contender": key, "round": number}
                self.keep(record | self.measure_and_check(name, mode, key, number))

    def measure_and_check(self, name: str, mode: str, key: str, number: int) -> Record:
        """Write, check and delete; return what it cost, or the `error`."""
        entry, store = CONTENDERS[key], self.scratch / f"{key}.zarr"
        arguments = [name, self.size, key, mode, str(self.options.data), str(store)]
        os.sync()  # what others wrote is not to be written out in our time
        try:
            result = self.child(entry.environment, "one.py", *arguments)
            if "error" not in result:
                result["check"] = self.check(name, entry, store, pixels=self.checks_pixels(number))
        except (KeyError, ValueError, TypeError, AttributeError, FileNotFoundError, zarr.errors.BaseZarrError) as error:
            result["check"] = {"error": last_line(f"{type(error).__name__}: {error}")}
        finally:
            for written in self.scratch.iterdir():
                shutil.rmtree(written)
        return result

    def checks_pixels(self, number: int) -> bool:
        return self.options.check == "every" or (self.options.check == "first" and number == 0)

    def check(self, name: str, entry: Contender, store: Path, *, pixels: bool) -> Record:
        workload = WORKLOADS[name][self.size]
        stores = [store / str(i) for i in range(workload.images)] if workload.images > 1 else [store]
        found = check_shapes(stores, workload)
        if pixels and found["shapes"]:
            found |= check_pixels(stores, workload, self.source(name, workload), entry.added)
        found["ok"] = verdict(found, exact=entry.exact)
        return found

    def source(self, name: str, workload: Workload) -> Any:
        path = data.location(self.options.data, workload, self.size)
        return np.load(path, mmap_mode="r") if workload.source == "numpy" else zarr.open_array(path / "image", mode="r")

    # --- Opening -------------------------------------------------------------------------------------------------

    def openers(self) -> dict[str, latency.Opener]:
        """Those of the chosen contenders, and zarr-python alone."""
        return {name: opener for name, opener in latency.OPENERS.items() if name in (*self.chosen(), "zarr")}

    def open(self) -> None:
        folder = self.scratch / "images"
        written = self.child("xomezarr", "latency.py", "write", str(folder), answers=False)
        if "error" in written:
            self.keep({"kind": "open", "contender": "xomezarr", "round": 0} | written)
            return
        for number in range(self.rounds):
            for key, opener in self.openers().items():
                if opener.environment in self.pythons:
                    result = self.child(opener.environment, "latency.py", key, str(folder))
                    self.keep({"kind": "open", "contender": key, "round": number} | result)

    # --- Both ----------------------------------------------------------------------------------------------------

    def child(self, environment: str, script: str, *arguments: str, answers: bool = True) -> Record:
        """Run a script in an environment, and return what it printed, or its `error`."""
        command = [str(self.pythons[environment]), str(HERE / script), *arguments]
        options: dict[str, Any] = {"cwd": self.scratch, "env": environments.isolated(), "timeout": self.options.timeout}
        try:
            done = subprocess.run(command, capture_output=True, text=True, **options)
        except subprocess.TimeoutExpired:
            return {"error": f"took longer than {self.options.timeout:g} s"}
        if done.returncode:
            return {"error": last_line(done.stderr) or f"exit status {done.returncode}"}
        return json.loads(done.stdout.splitlines()[-1]) if answers else {}

    def keep(self, record: Record) -> None:
        record |= {"size": self.size, "campaign": self.started, "machine": machine()}
        self.records.append(record)
        self.options.results.parent.mkdir(parents=True, exist_ok=True)
        with self.options.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        say(report.line(record))


def verdict(found: Record, *, exact: bool) -> bool:
    """Tell whether a check found nothing wrong; what was not looked at is not wrong."""
    wanted = ("shapes", "level0", "exact") if exact else ("shapes", "level0", "near")
    return all(found.get(key, True) for key in wanted)


def last_line(text: str) -> str:
    """Return the line that names the error, without the paths of this machine."""
    lines = text.strip().splitlines()
    return PATHS.sub("…", lines[-1].strip())[:300] if lines else ""


def machine() -> Record:
    """Say what this runs on, without naming it."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    return {
        "cpu": names[0].partition(":")[2].strip() if names else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory.split()[1]) / 2**20),
        "python": platform.python_version(),
    }


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    # who ends this program ends what it started, and leaves no images behind
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    chosen = parse()
    if chosen.report:
        report.write(chosen.results, HERE.parent / "docs", "quick" if chosen.quick else "full")
    else:
        Campaign(chosen).run()
