"""What pages show of a browser's window, taken anew whenever the site is built."""

from __future__ import annotations

import os
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from PIL import Image, ImageDraw

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

import appearance
from browser import Browser, chromium

WIDTH, HEIGHT = 1200, 700
REQUIRED = "XOMEZARR_CHROMIUM"
"""Environment variable: ``required`` where a build without Chromium is to fail, as in the tests."""

SECONDS = 60.0
SETTLED_SECONDS = 1.5
"""For which nothing changes any more: all chunks have come."""


def make(folder: Path) -> None:
    """Write ``view.png`` into a folder: nuclei with their labels in Neuroglancer."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        tree = appearance.nuclei().omezarr.to_zarr(f"{place}/nuclei.ome.zarr", image="nuclei", levels=3)
        if chromium() is None:
            if os.environ.get(REQUIRED) == "required":
                raise RuntimeError(f"Chromium is not installed, and {REQUIRED}=required; apt-get install chromium")
            picture = _told("Built where there is no Chromium, so that no picture of the viewer could be taken.")
        else:
            picture = _seen(tree, Path(place, "profile"))
    picture.quantize(256).save(folder / "view.png")


def _seen(tree: xr.DataTree, profile: Path) -> Image.Image:
    """Return what a browser shows of an image, once it does not change any more."""
    with tree.omezarr.view(open_browser=False) as shown, Browser(profile, width=WIDTH, height=HEIGHT) as browser:
        browser.open(shown.url)
        last: NDArray[np.uint8] | None = None
        since, end = time.monotonic(), time.monotonic() + SECONDS

        def is_settled(now: NDArray[np.uint8]) -> bool:
            nonlocal last, since
            if last is None or not np.array_equal(last, now):
                last, since = now, time.monotonic()
            return time.monotonic() - since > SETTLED_SECONDS and bool((now.max(axis=-1) > 100).mean() > 0.02)

        picture = browser.drawn(is_settled, end - time.monotonic())
    return Image.fromarray(picture)


def _told(text: str) -> Image.Image:
    picture = Image.new("RGB", (WIDTH, HEIGHT // 4), "black")
    ImageDraw.Draw(picture).text((20, 20), "\n".join(textwrap.wrap(text, 90)), fill="white")
    return picture
