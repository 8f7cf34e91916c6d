"""The code of the pages on methods and migration, run as it stands in an empty folder; and what they must speak of."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

import xomezarr
from xomezarr.cli import main
from xomezarr.downsample import METHODS

DOCS = Path(__file__).resolve().parents[1] / "docs"


PIXELS = xr.DataArray(np.arange(2000 * 1500).reshape(2000, 1500).astype("uint16"), dims=("y", "x"), name="cells")
NAMES = {
    "coordinate-systems.md": {"xr": xr, "da": PIXELS},
    "layouts.md": {"xr": xr, "da": PIXELS},
    "upgrade.md": {"xomezarr": xomezarr, "da": PIXELS},
    "labels.md": {"xr": xr, "da": PIXELS, "nuclei": PIXELS // 1000 % 7},
    "single-file.md": {"xr": xr, "xomezarr": xomezarr, "da": PIXELS, "nuclei": PIXELS // 1000 % 7},
    "regions.md": {"da": PIXELS.omezarr.assign_grid(scale={"y": 0.5, "x": 0.5}, units="um")},
    "plates.md": {"xr": xr, "xomezarr": xomezarr, "field0": PIXELS[:90, :80], "field1": PIXELS[-90:, -80:]},
}
"""What pages take for given."""


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of code of a page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    ("page", "stores"),
    [
        ("methods.md", ["cells.ome.zarr", "photons.ome.zarr", "spread.ome.zarr"]),
        ("collections.md", ["embryo.ome.zarr", "two-views.ome.zarr"]),
        ("migration.md", ["cells.ome.zarr", "levels.ome.zarr"]),
        ("layouts.md", ["cells.ome.zarr"]),
        ("labels.md", ["both.ome.zarr", "cells.ome.zarr", "copy.ome.zarr"]),
        ("regions.md", ["known.ome.zarr", "movie.ome.zarr", "slide.ome.zarr"]),
        ("plates.md", ["part.ome.zarr", "screen.ome.zarr"]),
        ("single-file.md", ["cells.ome.zarr", "cells.ozx", "copy.ome.zarr", "screen.ozx"]),
        ("coordinate-systems.md", ["turned.ome.zarr"]),
        ("upgrade.md", ["cells.ome.zarr", "copy.ome.zarr"]),
        ("convert.md", ["cells.ome.zarr", "part.ome.zarr", "turned.ome.zarr"]),
        ("scenes.md", ["atlas.ome.zarr", "pair.ome.zarr", "tiles.ome.zarr"]),
    ],
)
def test_the_pages_run(page: str, stores: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = dict(NAMES.get(page, {}))
    for block in blocks(page, "python"):
        exec(block, names)
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix in (".zarr", ".ozx")) == stores
    for store in stores:
        assert xomezarr.validate(store).valid


def test_the_shell_command_of_the_migration_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = blocks("migration.md", "sh")
    (line,) = (line for line in block.splitlines() if line.startswith("xomezarr"))
    monkeypatch.chdir(tmp_path)
    pixels = np.arange(8 * 64 * 64, dtype="uint16").reshape(8, 64, 64)
    zarr.create_array("stack.zarr", data=pixels, chunks=(8, 32, 32), attributes={"stain": "DAPI"})
    assert main(shlex.split(line)[1:]) == 0
    levels = xr.open_datatree("out.ome.zarr", engine="omezarr").omezarr.levels
    assert [level.shape for level in levels] == [(8, 64, 64), (4, 32, 32), (2, 16, 16), (1, 8, 8), (1, 4, 4)]
    means = pixels.reshape(4, 2, 32, 2, 32, 2).mean(axis=(1, 3, 5))
    np.testing.assert_array_equal(levels[1], np.rint(means))
    assert zarr.open_group("out.ome.zarr", mode="r").attrs["stain"] == "DAPI"


def test_each_method_has_a_line_and_a_section() -> None:
    text = (DOCS / "methods.md").read_text(encoding="utf-8")
    choice, _, sections = text.partition("## The methods\n")
    assert re.findall(r"^### `(\w+)`$", sections, flags=re.MULTILINE) == list(METHODS)
    for name in METHODS:
        assert f"`{name}`" in choice
        assert f"_generated/{name}.md" in sections
