"""The other libraries as judges: each reads what we write, and tells what we meant.

Every library runs in an environment of its own, which uv makes from the script's inline metadata (and keeps in
its cache). A store is written once, and each library reads all stores in one process. The images are written with
`xomezarr`; what is meant is computed here with nothing but NumPy and arithmetic.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xomezarr  # noqa: F401 - registers the accessor

pytestmark = [pytest.mark.peers, pytest.mark.xdist_group("peers")]

SCRIPTS = Path(__file__).parent / "peers"
TIME_LIMIT = 600
"""Seconds for one script on all stores: seconds of reading, and minutes where an environment is first downloaded."""

TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
FILE_ORDER = "tczyx"


# --- What is written ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """One kind of image: how it is made, and the cumulative factors of its levels."""

    sizes: Mapping[str, int]
    dtype: str
    scale: Mapping[str, float]
    translation: Mapping[str, float]
    units: Mapping[str, str]
    factors: Sequence[Mapping[str, int]]
    channels: Sequence[str] | None = None

    def pixels(self) -> xr.DataArray:
        """Return pixels without a grid: quarters, whose sums float64 holds exactly, over most of the dtype's range."""
        shape = tuple(self.sizes.values())
        noise = np.random.default_rng(20).integers(0, 240, shape)
        values = noise / 4 if np.dtype(self.dtype).kind == "f" else noise * (np.iinfo(self.dtype).max // 255)
        coords = {} if self.channels is None else {"c": list(self.channels)}
        return xr.DataArray(values.astype(self.dtype), dims=tuple(self.sizes), coords=coords, name="cells")

    def image(self) -> xr.DataArray:
        """Return the image as a user would build it."""
        placed: xr.DataArray = self.pixels().omezarr.assign_grid(
            scale=dict(self.scale), translation=dict(self.translation), units=dict(self.units)
        )
        return placed


KINDS = {
    "tczyx": Kind(
        sizes={"t": 2, "c": 3, "z": 5, "y": 40, "x": 36},
        dtype="uint16",
        scale={"t": 30.0, "z": 2.0, "y": 0.5, "x": 0.5},
        translation={"t": 0.0, "z": -4.0, "y": 10.25, "x": 1000.0},
        units={"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"},
        # z is four times as coarse as y and x, and catches up only after two steps
        factors=({}, {"y": 2, "x": 2}, {"y": 4, "x": 4}),
        channels=("DAPI", "GFP", "phase contrast µ"),
    ),
    "odd zyx": Kind(
        sizes={"z": 7, "y": 33, "x": 21},
        dtype="float32",
        scale={"z": 0.65, "y": 0.65, "x": 0.65},
        translation={"z": 0.0, "y": 0.0, "x": 0.0},
        units={"z": "nanometer", "y": "nanometer", "x": "nanometer"},
        factors=({}, {"z": 2, "y": 2, "x": 2}, {"z": 4, "y": 4, "x": 4}),
    ),
    "odd yx": Kind(
        sizes={"y": 37, "x": 51},
        dtype="uint8",
        scale={"y": 0.325, "x": 0.325},
        translation={"y": -12.5, "x": 0.1},
        units={"y": "micrometer", "x": "micrometer"},
        factors=({}, {"y": 2, "x": 2}, {"y": 4, "x": 4}),
    ),
    "xyc": Kind(
        sizes={"x": 17, "y": 16, "c": 2},
        dtype="int16",
        scale={"y": 0.25, "x": 0.25},
        translation={"y": 0.0, "x": 3.0},
        units={"y": "micrometer", "x": "micrometer"},
        factors=({}, {"y": 2, "x": 2}, {"y": 4, "x": 4}),
        channels=("red", "green"),
    ),
}
"""``xyc`` is in the user's order: the file holds ``cyx``. The sizes of ``tczyx`` differ, so that no swap can hide."""

VERSIONS = ("0.4", "0.5")


# --- What is meant -----------------------------------------------------------------------------------------------


def block_mean(array: np.ndarray[Any, Any], factors: Sequence[int]) -> np.ndarray[Any, Any]:
    """Return the exact mean of blocks, edge blocks over the pixels that they have, rounded once, half to even."""
    total = array.astype("float64" if array.dtype.kind == "f" else "int64")
    count = np.ones(array.shape, "int64")
    for dim, factor in enumerate(factors):
        starts = np.arange(0, array.shape[dim], factor)
        total, count = (np.add.reduceat(a, starts, axis=dim) for a in (total, count))
    if array.dtype.kind == "f":
        return (total / count).astype(array.dtype)
    floor, rest = np.divmod(total, count)
    up = (2 * rest > count) | ((2 * rest == count) & (floor % 2 == 1))
    return np.asarray(floor + up).astype(array.dtype)


def meant(kind: Kind) -> dict[str, Any]:
    """Return what a library that tells everything should tell of a store of this kind."""
    dims = sorted(kind.sizes, key=FILE_ORDER.index)
    pixels = kind.pixels().transpose(*dims).to_numpy()
    levels = []
    for factors in kind.factors:
        factor = {d: factors.get(d, 1) for d in dims}
        scale = {d: kind.scale.get(d, 1.0) for d in dims}
        reduced = block_mean(pixels, list(factor.values()))
        little = np.ascontiguousarray(reduced, dtype=reduced.dtype.newbyteorder("<"))
        levels.append(
            {
                "shape": list(reduced.shape),
                "dtype": kind.dtype,
                "scale": {d: scale[d] * factor[d] for d in dims},
                "translation": {d: kind.translation.get(d, 0.0) + scale[d] * (factor[d] - 1) / 2 for d in dims},
                "checksum": zlib.crc32(little.tobytes()),
            }
        )
    return {
        "levels": levels,
        "axes": [{"name": d, "type": TYPES[d], "unit": kind.units.get(d)} for d in dims],
        "channels": None if kind.channels is None else list(kind.channels),
        "name": "cells",
        "complaints": [],
    }


# --- What a library does not tell --------------------------------------------------------------------------------


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


def dimensionless_channels(image: dict[str, Any]) -> None:
    for axis in image["axes"]:
        if axis["name"] == "c":
            axis["unit"] = "dimensionless"


Silence = tuple[Callable[[dict[str, Any]], None], tuple[str, ...], str]

EVERY = VERSIONS
SILENCES: dict[str, tuple[Silence, ...]] = {
    "ome_zarr": (),
    "ngff_zarr": (),
    "yaozarrs": (),
    "ome_zarr_models": (),
    "bioio_ome_zarr": (
        (no_translation, EVERY, "its Scale has no counterpart for translations"),
        (dimensionless_channels, EVERY, "it gives the channel axis, which has no unit, the unit dimensionless"),
    ),
    "napari_ome_zarr": (
        (no_channel_axis, EVERY, "a layer stands for one channel, so the axis is gone"),
        (no_scale_past_level_0, EVERY, "napari derives the coarser levels' scale from the ratio of shapes"),
        (no_translation, EVERY, "the reader passes none on to napari"),
        (no_axis_types, EVERY, "napari's axes have labels and units only"),
    ),
    "tensorstore": (
        (no_scale, EVERY, "it reads arrays and knows no OME metadata"),
        (no_translation, EVERY, "it reads arrays and knows no OME metadata"),
        (no_axes, ("0.4",), "Zarr v2 has no dimension names"),
        (no_axis_types, ("0.5",), "dimension names are all that Zarr v3 tells of axes"),
        (no_units, ("0.5",), "dimension names are all that Zarr v3 tells of axes"),
        (no_channels, EVERY, "it reads arrays and knows no OME metadata"),
        (no_name, EVERY, "it reads arrays and knows no OME metadata"),
    ),
}
"""For each library what it does not tell, in which versions of the format, and why. Everything else is compared."""


def told_by(library: str, version: str, image: Mapping[str, Any]) -> dict[str, Any]:
    """Return `image` without what the library does not tell."""
    remains = copy.deepcopy(dict(image))
    for forget, versions, _ in SILENCES[library]:
        if version in versions:
            forget(remains)
    return remains


def rounded(image: Mapping[str, Any]) -> dict[str, Any]:
    """Return `image` with grids to 12 significant digits: the last bits depend on the order of the arithmetic."""
    result = copy.deepcopy(dict(image))
    for level in result["levels"]:
        for part in ("scale", "translation"):
            level[part] = level[part] and {d: float(f"{value:.12g}") for d, value in level[part].items()}
    return result


# --- Asking ------------------------------------------------------------------------------------------------------


def uv() -> str:
    """Return the path of uv: the one that runs these tests, else the one on the path."""
    found = os.environ.get("UV") or shutil.which("uv")
    if found is None:
        pytest.fail("the peers need uv: run 'python3 -m pip install uv', or leave them out with -m 'not peers'")
    return found


def ask(library: str, stores: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Run the library's script on `stores` and return what it told of each."""
    script = SCRIPTS / f"read_{library}.py"
    command = [uv(), "run", "--no-project", "--python", sys.executable, "--script", str(script), *map(str, stores)]
    # settings for the environment that runs the tests must not reach the one that uv makes here
    environment = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "PYTHONPATH", "UV_RESOLUTION"}}
    answer = subprocess.run(
        command, capture_output=True, text=True, timeout=TIME_LIMIT, env=environment, stdin=subprocess.DEVNULL
    )
    if answer.returncode:
        pytest.fail(f"{script.name} ended with {answer.returncode}; its standard error ends:\n{answer.stderr[-6000:]}")
    return {told["store"]: told for told in map(json.loads, answer.stdout.splitlines())}


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """Write one store for each kind of image and version of the format."""
    folder = tmp_path_factory.mktemp("peers")
    written = {}
    for name, kind in KINDS.items():
        for version in VERSIONS:
            path = folder / f"{name.replace(' ', '-')}-{version}.ome.zarr"
            kind.image().omezarr.to_zarr(path, method="local_mean", version=version, levels=len(kind.factors))
            written[name, version] = path
    return written


@pytest.fixture(scope="session")
def answers(stores: dict[tuple[str, str], Path]) -> Callable[[str], dict[str, dict[str, Any]]]:
    """Return a function that asks a library about all stores, once."""
    asked: dict[str, dict[str, dict[str, Any]]] = {}

    def answer(library: str) -> dict[str, dict[str, Any]]:
        if library not in asked:
            asked[library] = ask(library, list(stores.values()))
        return asked[library]

    return answer


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("library", SILENCES)
def test_library_reads_what_we_meant(
    library: str,
    version: str,
    kind: str,
    stores: dict[tuple[str, str], Path],
    answers: Callable[[str], dict[str, dict[str, Any]]],
) -> None:
    told = answers(library)[str(stores[kind, version])]
    assert "error" not in told, f"{told['library']} {told['version']} cannot read the store:\n{told['error']}"
    assert rounded(told["image"]) == rounded(told_by(library, version, meant(KINDS[kind])))


def test_every_script_is_asked() -> None:
    assert {f"read_{library}.py" for library in SILENCES} == {path.name for path in SCRIPTS.glob("read_*.py")}
