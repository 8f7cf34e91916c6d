"""What pages show of a browser's window, taken anew whenever the site is built."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from PIL import Image

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))  # where the browser is driven from

import appearance
from browser import Browser, chromium

WIDTH, HEIGHT = 1200, 700
SHOWN = """\
![Nuclei in Neuroglancer: sections and where they lie, labels in their colours, a scale bar](_generated/view.png)

*Nuclei with their labels: sections along the three axes, and where these lie in space.*
"""
"""The picture, as the page has it."""

MISSED = """\
:::{warning}
This page was built where there is no Chromium, so that the picture of the viewer is missing: install it by
`apt-get install chromium`, and build the site again.
:::
"""
"""What stands there where no picture could be taken."""

SECONDS = 60.0
SETTLED_SECONDS = 1.5
"""For which nothing changes any more: all chunks have come."""


def make(folder: Path) -> None:
    """Write ``view.md`` into a folder, with a picture of nuclei and their labels in Neuroglancer beside it.

    Raises
    ------
    FileNotFoundError
        If there is no Chromium, and ``XOMEZARR_CHROMIUM=required``; else the page warns of that.
    """
    folder.mkdir(parents=True, exist_ok=True)
    there = chromium() is not None
    (folder / "view.md").write_text(SHOWN if there else MISSED, encoding="utf-8")
    if not there:
        (folder / "view.png").unlink(missing_ok=True)
        return
    with tempfile.TemporaryDirectory() as place:
        tree = appearance.nuclei().omezarr.to_zarr(f"{place}/nuclei.ome.zarr", image="nuclei", levels=3)
        _seen(tree, Path(place, "profile")).quantize(256).save(folder / "view.png")


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
