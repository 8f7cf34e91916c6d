"""Ask other libraries, each in an environment of its own, what they read in our stores.

uv makes the environment from the script's inline metadata, and keeps it in its cache. Each store is written once, and
each library reads all of them in one process, as it is importing that takes its time.
"""

from __future__ import annotations

import copy
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from meant import VERSIONS, WRITTEN

SCRIPTS = Path(__file__).parent / "peers"
OUT_OF_REACH = 75
"""How a script ends whose library cannot be had here, as `telling` has it."""
TIME_LIMIT = 600
"""Seconds for one script on all stores: seconds of reading, and minutes where an environment is first downloaded."""

READ = {
    "0.6": {
        "image": ("ome_zarr", "ngff_zarr", "ome_zarr_models", "tensorstore", "ome_zarr_js"),
        "labels": ("ome_zarr_models",),
        "plate": ("ome_zarr_models",),
    }
}
"""Which libraries read what, in versions that not all of them read."""


def read_by(library: str, what: str) -> list[str]:
    """Return the versions in which a library is asked of a kind of store."""
    return [version for version in VERSIONS if library in READ.get(version, {}).get(what, (library,))]


Silence = tuple[Callable[[dict[str, Any]], None], tuple[str, ...], str]
"""What takes out of the meant what a library does not tell, in which versions of the format, and why."""


def uv() -> str:
    """Return the path of uv: the one that runs these tests, else the one on the path."""
    found = os.environ.get("UV") or shutil.which("uv")
    if found is None:
        pytest.fail("the peers need uv: run 'python3 -m pip install uv', or leave them out with -m 'not peers'")
    return found


def run_script(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script in the environment that it asks for; skip the test where that cannot be had."""
    command = [uv(), "run", "--no-project", "--python", sys.executable, "--script", str(script), *arguments]
    # settings for the environment that runs the tests must not reach the one that uv makes here
    environment = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "PYTHONPATH", "UV_RESOLUTION"}}
    answer = subprocess.run(
        command, capture_output=True, text=True, timeout=TIME_LIMIT, env=environment, stdin=subprocess.DEVNULL
    )
    if answer.returncode == OUT_OF_REACH:
        pytest.skip(answer.stderr.strip())
    return answer


def failure(script: str, answer: subprocess.CompletedProcess[str]) -> str:
    """Say how a script ended."""
    end = (answer.stdout + answer.stderr)[-6000:]
    return f"{script} ended with {answer.returncode}; what it said ends:\n{end}"


class Peers:
    """What each library tells of all that is written; asked once, when it is first wanted."""

    def __init__(self, folder: Path) -> None:
        self.stores: dict[tuple[str, str, str], Path] = {}
        self.told: dict[str, dict[str, dict[str, Any]]] = {}
        for what, kinds in WRITTEN.items():
            (folder / what).mkdir()
            for (name, kind), version in itertools.product(kinds.items(), VERSIONS):
                path = folder / what / f"{name.replace(' ', '-')}-{version}.ome.zarr"
                kind.write(path, version)
                self.stores[what, name, version] = path

    def __call__(self, library: str, what: str, name: str, version: str) -> dict[str, Any]:
        """Return what the library tells of one store."""
        if library not in self.told:
            self.told[library] = self.ask(library)
        return self.told[library][str(self.stores[what, name, version])]

    def ask(self, library: str) -> dict[str, dict[str, Any]]:
        """Run the library's script on all stores."""
        stores = [
            f"{what}={path}" for (what, _, version), path in self.stores.items() if version in read_by(library, what)
        ]
        answer = run_script(SCRIPTS / f"read_{library}.py", *stores)
        if answer.returncode:
            pytest.fail(failure(f"read_{library}.py", answer))
        return {told["store"]: told for told in map(json.loads, answer.stdout.splitlines())}


def told_by(silences: Sequence[Silence], version: str, meant: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is meant without what a library does not tell."""
    remains = copy.deepcopy(dict(meant))
    for forget, versions, _ in silences:
        if version in versions:
            forget(remains)
    return remains


def parts(told: Any) -> Iterator[dict[str, Any]]:
    """Yield all objects in what was told."""
    if isinstance(told, dict):
        yield told
    for part in told.values() if isinstance(told, dict) else told if isinstance(told, list) else ():
        yield from parts(part)


def rounded(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was told, grids to 12 significant digits: the last bits depend on the order of the arithmetic."""
    result = copy.deepcopy(dict(told))
    for part in parts(result):
        for grid in ("scale", "translation"):
            if isinstance(part.get(grid), dict):
                part[grid] = {d: float(f"{value:.12g}") for d, value in part[grid].items()}
    return result


# --- What a library does not tell of an image ------------------------------------------------------------------------


def no_scale(image: dict[str, Any]) -> None:
    for level in image["levels"]:
        level["scale"] = None


def no_scale_past_level_0(image: dict[str, Any]) -> None:
    for level in image["levels"][1:]:
        level["scale"] = None


def no_translation(image: dict[str, Any]) -> None:
    for level in image["levels"]:
        level["translation"] = None


def no_axes(image: dict[str, Any]) -> None:
    image["axes"] = None


def no_axis_types(image: dict[str, Any]) -> None:
    for axis in image["axes"] or []:
        axis["type"] = None


def no_units(image: dict[str, Any]) -> None:
    for axis in image["axes"] or []:
        axis["unit"] = None


def no_channel_axis(image: dict[str, Any]) -> None:
    image["axes"] = [axis for axis in image["axes"] if axis["name"] != "c"]
    for level in image["levels"]:
        level["scale"] = {d: v for d, v in level["scale"].items() if d != "c"}


def no_channels(image: dict[str, Any]) -> None:
    image["channels"] = None


def no_name(image: dict[str, Any]) -> None:
    image["name"] = None


# --- What a library does not tell of an image of labels --------------------------------------------------------------


def no_cells(label: dict[str, Any]) -> None:
    label["properties"] = {value: {} for value in label["properties"]}


def no_source(label: dict[str, Any]) -> None:
    label["source"] = None
