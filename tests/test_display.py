"""What stands for images in a shell and in a notebook: true, whole, harmless, and never dear."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import xarray as xr
from dask import delayed
from PIL import Image

import xomezarr
from xomezarr import display, open_image, pictures

VOID = {"img", "br", "hr", "meta"}


def cells(size: int = 64, name: str = "cells") -> xr.DataArray:
    values = np.random.default_rng(0).integers(0, 1000, (2, 4, size, size), "uint16")
    da: Any = xr.DataArray(values, dims=("c", "z", "y", "x"), name=name)
    da = da.omezarr.assign_grid(scale={"z": 2.0, "y": 0.325, "x": 0.325}, units="um")
    return da.omezarr.assign_channels(["DAPI", {"label": "GFP", "color": "green", "window": (10, 500)}])  # type: ignore[no-any-return]


class Page(HTMLParser):
    """Checks that elements are closed, and gathers text and tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self.images: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(str(dict(attrs)["src"]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text.append(data)

    @property
    def shown(self) -> str:
        return " ".join(self.text)

    def picture(self) -> Any:
        (url,) = self.images
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))


def test_a_tree_says_what_it_holds(tmp_path: Path) -> None:
    labels = (cells().isel(c=0, drop=True) > 500).astype("u1")
    tree: Any = cells().omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=2, labels={"nuclei": labels}, version="0.5")
    text, page = repr(tree.omezarr), Page(tree.omezarr._repr_html_())
    for told in ("2 × 4 × 64 × 64", "0.325", "DAPI", "10 to 500", "nuclei", "OME-Zarr 0.5", "a.ome.zarr", "x (µm)"):
        assert told in text
        assert told in page.shown
    assert "00FF00" in text
    assert "background:#00FF00" in tree.omezarr._repr_html_()
    np.testing.assert_array_equal(page.picture(), tree.omezarr.thumbnail(max_size=display.PICTURE_SIZE))


def test_an_array_says_what_it_would_be() -> None:
    da: Any = cells()
    assert "in memory, 1 level" in repr(da.omezarr)
    assert "in memory" in Page(da.omezarr._repr_html_()).shown
    pyramid: Any = da.omezarr.pyramid(levels=2)
    assert re.search(r"(?m)^1 +2 × 4 × 32 × 32 .* 0.65, 0.65", repr(pyramid.omezarr))
    assert Page(pyramid.omezarr._repr_html_()).images


def test_a_plate_is_shown_as_a_map(tmp_path: Path) -> None:
    da = cells(16).isel(c=0, z=0, drop=True)
    plate: Any = xomezarr.write_plate({("A", 1): [da, da], ("C", 12): [da]}, tmp_path / "p.ome.zarr")
    html = plate.omezarr._repr_html_()
    page = Page(html)
    assert "2 wells, 3 images" in page.shown
    assert html.count('class="xomezarr-well"') == 2
    assert page.tags.count("td") == 4
    assert re.search(r"(?m)^A +2 +\.$", repr(plate.omezarr))


def test_collections_and_scenes_list_their_images(tmp_path: Path) -> None:
    da: Any = cells(16)
    collection: Any = xomezarr.write_collection({"one": da, "two": da}, tmp_path / "c.ome.zarr")
    scene: Any = xomezarr.write_scene(
        {"left": da, "right": da}, tmp_path / "s.ome.zarr", transforms={"right": {"x": 9.0}}
    )
    for tree, names in ((collection, ("one", "two")), (scene, ("left", "right"))):
        for name in names:
            assert name in repr(tree.omezarr)
            assert name in Page(tree.omezarr._repr_html_()).shown


def test_names_are_text_and_no_html(tmp_path: Path) -> None:
    evil = '<script>alert("1")</script>'
    da: Any = cells(16, evil)
    da = da.omezarr.assign_channels([evil, "b"])
    tree: Any = da.omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=1)
    for seen in (da, tree):
        page = Page(seen.omezarr._repr_html_())
        assert "script" not in page.tags
        assert evil in page.shown


@pytest.mark.parametrize(
    "image",
    [
        xr.DataTree(),
        xr.DataTree.from_dict({"/0": xr.Dataset({"a": ("x", [1, 2])})}),
        xr.DataArray(3.0),
        xr.DataArray(np.zeros(4), dims="t"),
        xr.DataArray(np.zeros((2, 3)), dims=("a", "b")),
        xr.DataArray(np.zeros((0, 3)), dims=("y", "x")),
        xr.DataArray(np.zeros((2, 3)), dims=("y", "x"), coords={"x": [5, 1, 2]}),
        xr.DataArray(np.full((2, 3), np.nan), dims=("y", "x")),
        xr.DataArray(np.array([["a", "b"]]), dims=("y", "x")),
    ],
)
def test_anything_has_a_representation(image: Any) -> None:
    assert repr(image.omezarr).startswith("<xomezarr")
    Page(image.omezarr._repr_html_())


def test_a_colour_is_a_colour_and_no_style() -> None:
    assert display._swatch("000;background-image:url(http://127.0.0.1/)") == ""
    assert "#00ff0080" in display._swatch("#00ff0080")


def refuse(*_: Any, **__: Any) -> Any:
    raise AssertionError("a picture was drawn")


def test_nothing_is_asked_of_a_server_nor_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "memory://display/a.ome.zarr"
    tree: Any = cells().omezarr.to_zarr(url, levels=2)
    monkeypatch.setattr(pictures, "thumbnail", refuse)
    assert "read only when asked for" in Page(tree.omezarr._repr_html_()).shown
    lazy: Any = cells().copy(data=dask.array.from_delayed(delayed(refuse)(), (2, 4, 64, 64), "uint16"))
    assert "read only when asked for" in Page(lazy.omezarr._repr_html_()).shown


def test_only_what_is_cheap_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A level whose chunks are planes is; one of which each chunk is the whole is not."""
    da: Any = xr.DataArray(np.zeros((8, 64, 64), "u1"), dims=("z", "y", "x"))
    planes: Any = da.omezarr.to_zarr(tmp_path / "planes.ome.zarr", levels=1, chunks={"z": 1, "y": 64, "x": 64})
    whole: Any = da.omezarr.to_zarr(tmp_path / "whole.ome.zarr", levels=1, chunks={"z": 8, "y": 64, "x": 64})
    monkeypatch.setattr(display, "CHEAP_BYTES", 64 * 64)
    assert Page(planes.omezarr._repr_html_()).images
    assert "so much is read only when asked for" in Page(whole.omezarr._repr_html_()).shown


def test_what_was_read_before_lies_here(tmp_path: Path) -> None:
    tree: Any = cells().omezarr.to_zarr(tmp_path / "cells.ome.zarr", levels=2)
    for level in tree.omezarr.levels:
        assert level.values.size
    picture, note = display.glimpse(tree.omezarr.levels, tree.omezarr.channels)
    assert picture is not None
    assert note == ""


def test_a_damaged_chunk_is_told_in_the_place_of_the_picture(tmp_path: Path) -> None:
    tree: Any = cells(16).omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=1)
    for chunk in (tmp_path / "a.ome.zarr/0").rglob("*"):
        if chunk.is_file() and not chunk.name.startswith("."):
            chunk.write_bytes(b"no chunk")
    page = Page(tree.omezarr._repr_html_())
    assert not page.images
    assert "no picture: " in page.shown


def test_where_the_pixels_are_is_said(tmp_path: Path) -> None:
    da: Any = xr.DataArray(np.zeros((64, 64), "u1"), dims=("y", "x"))
    tree: Any = da.omezarr.to_zarr(tmp_path / "a.ome.zarr", version="0.5", chunks=[8, 8], shards=[32, 32], levels=1)
    np.save(tmp_path / "a.npy", da.values)
    for seen, held in (
        (da, "in memory"),
        (da.chunk(), "computed when asked for"),
        (da.chunk() + 1, "computed when asked for"),
        (tree.omezarr.level(0), "opened lazily"),
        (tree.omezarr.level(0)[:9].chunk(), "opened lazily"),
        (open_image(tmp_path / "a.npy"), "opened lazily"),
        (da.omezarr.pyramid(levels=2), "in memory"),
        (da.chunk().omezarr.pyramid(levels=2), "computed when asked for"),
    ):
        assert f", {held}, " in repr(seen.omezarr)
        assert f" · {held}" in seen.omezarr._repr_html_()
    assert "32 × 32" in repr(tree.omezarr)
    assert "<td>32 × 32</td>" in tree.omezarr._repr_html_()


def test_a_name_makes_no_lines_of_its_own_and_no_terminal_obeys_it() -> None:
    da: Any = xr.DataArray(np.zeros((8, 8), "u1"), dims=("y", "x"), name="x\x1b[2J\nfake: line")
    said = repr(da.omezarr)
    assert "\x1b" not in said
    assert "\nfake" not in said
    assert "fake: line" in said
