"""An environment for each library, made by uv and kept.

A library that is there already is left as it is, so that figures of one report come from one version; remove the
folder to get newer ones. The checkout is installed anew each time, as users get it (not in place), so that what is
measured does not change while it runs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.13", "3.12")
"""In order of preference: the first for which a library can be installed."""

REQUIREMENTS: Mapping[str, tuple[str, ...]] = {
    "xomezarr": (str(ROOT),),
    "ome-zarr": ("ome-zarr",),
    # from_zarr of dask, which makes its input, wants zarr, which it does not bring itself
    "ngff-zarr": ("ngff-zarr[dask-image]", "zarr"),
    # its default method is ITK's
    "multiscale-spatial-image": ("multiscale-spatial-image[itk]",),
    "ome-zarr-pyramid": ("ome-zarr-pyramid",),
    "bioio-ome-zarr": ("bioio-ome-zarr",),
    "spatialdata": ("spatialdata",),
    "iohub": ("iohub",),
    "tensorstore": ("tensorstore", "numpy"),
    "bound": ("numpy", "numcodecs", "numba"),
}


class NotAvailableError(Exception):
    """A library that cannot be installed here, and why."""


def python_of(folder: Path, name: str) -> Path:
    return folder / name / "bin" / "python"


def prepare(folder: Path, name: str) -> Path:
    """Make an environment unless it is there; return its Python."""
    python, wanted = python_of(folder, name), REQUIREMENTS[name]
    ours = name == "xomezarr"
    done = folder / name / "installed.txt"
    if done.exists() and done.read_text() == "\n".join(wanted) and not ours:
        return python
    options = ["--reinstall-package", "xomezarr"] if ours else []
    for version in PYTHONS:
        try:
            if not python.exists():
                _uv("venv", "--quiet", "--clear", "--python", version, str(folder / name))
            _uv("pip", "install", "--quiet", "--python", str(python), *options, *wanted)
        except subprocess.CalledProcessError as error:
            reason = (error.stderr.strip() or str(error)).splitlines()[-1]
            shutil.rmtree(folder / name, ignore_errors=True)
        else:
            done.write_text("\n".join(wanted))
            return python
    raise NotAvailableError(reason)


def isolated() -> dict[str, str]:
    """Return the variables of this process without those by which another Python would find its packages."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def _uv(*arguments: str) -> None:
    program = os.environ.get("UV") or shutil.which("uv")
    command = [program] if program else [sys.executable, "-m", "uv"]
    # from the checkout: a version manager may know uv only there
    subprocess.run([*command, *arguments], check=True, capture_output=True, text=True, cwd=ROOT, env=isolated())
