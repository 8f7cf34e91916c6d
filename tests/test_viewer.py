"""Images in viewers: what is served and to whom, what Neuroglancer is told, and what it draws in Chromium."""

from __future__ import annotations

import gc
import http.client
import json
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import obstore.store
import pytest
import xarray as xr
import zarr
from browser import Browser, Picture, chromium

from xomezarr.channels import PERCENTILES
from xomezarr.errors import DtypeError, MissingDependencyError, OmeZarrError
from xomezarr.interchange.napari import layers_of, uneven
from xomezarr.interchange.parts import given
from xomezarr.pictures import completed, composite
from xomezarr.served import Documents, Server
from xomezarr.viewer import View, _controls, view

GRID: dict[str, Any] = {"scale": {"y": 0.5, "x": 0.25}, "translation": {"y": 100, "x": -20}, "units": "micrometer"}
WIDTH, HEIGHT = 1000, 700
BLOB = 3


def cells() -> xr.DataArray:
    """Return three channels of which none looks like another, nor like itself mirrored."""
    y, x = np.mgrid[:200, :300]
    blob = 1000 * np.exp(-((x - 80) ** 2 + (y - 60) ** 2) / 800) + 500 * (x > 250)
    other = 800 * np.exp(-((x - 180) ** 2 + (y - 140) ** 2) / 1500)
    squares = 600 * ((x // 20 + y // 20) % 2)
    pixels = np.stack([blob, other, squares]).astype("uint16")
    image: Any = xr.DataArray(pixels, dims=("c", "y", "x"), name="cells")
    looks = [("DAPI", "0000FF", (0, 1000)), ("GFP", "00FF00", (100, 700)), ("RFP", "FF0000", (0, 1200))]
    channels = [{"label": label, "color": color, "window": window} for label, color, window in looks]
    return image.omezarr.assign_grid(**GRID).omezarr.assign_channels(channels)


def nuclei(dtype: str = "int64") -> xr.DataArray:
    y, x = np.mgrid[:200, :300]
    blob = ((x - 150) ** 2 + (y - 100) ** 2 < 1600).astype(dtype) * np.dtype(dtype).type(BLOB)
    image: Any = xr.DataArray(blob, dims=("y", "x"))
    return image.omezarr.assign_grid(**GRID)


def written(store: Path, *, labels: str = "", **options: Any) -> xr.DataTree:
    """Write the cells, and labels of a dtype."""
    image: Any = cells()
    tree: xr.DataTree = image.omezarr.to_zarr(store, **options)
    if labels:
        found: Any = nuclei(labels)
        found.omezarr.to_labels(store, "nuclei", colors={BLOB: "#FFFF00"})
        tree = xr.open_datatree(store, engine="omezarr")
    return tree


# --- what it is told -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "window", "shown", "whole"),
    [
        ("uint8", (5, 90), [5, 90], [0, 255]),
        ("uint8", (-5, 400), [0, 255], [0, 255]),
        ("int16", (-5, 90), [-5, 90], [-(2**15), 2**15 - 1]),
        ("bool", (0, 1), [0, 1], [0, 1]),
        ("int64", (5, 90), ["5", "90"], ["0", str(2**63 - 1)]),
        # of the unsigned number that stands in its order
        ("int64", (-5, 90), [str(2**63 - 5), str(2**63 + 90)], ["0", str(2**64 - 1)]),
        ("uint64", (0, 90), ["0", "90"], ["0", str(2**64 - 1)]),
        ("uint16", (7, 7), [7, 8], [0, 2**16 - 1]),
        ("float32", (-0.5, 0.25), [-0.5, 0.25], [-0.5, 0.25]),
    ],
)
def test_windows_are_within_what_the_pixels_can_be(
    dtype: str, window: tuple[float, float], shown: list[Any], whole: list[Any]
) -> None:
    da: Any = xr.DataArray(np.zeros((1, 4, 4), dtype), dims=("c", "y", "x"))
    (channel,) = da.omezarr.assign_channels([{"label": "a", "window": window}]).omezarr.channels
    assert _controls(channel, da.dtype)[1] == {"range": shown, "window": whole}


# --- the server ------------------------------------------------------------------------------------------------------


@pytest.fixture
def page(tmp_path: Path) -> Iterator[View]:
    """Serve an image that has labels."""
    written(tmp_path / "cells.ome.zarr", labels="int64", version="0.5")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "cells.ome.zarr" / "out").symlink_to(tmp_path / "secret")
    with view(tmp_path / "cells.ome.zarr", open_browser=False) as shown:
        yield shown


def below(page: View) -> str:
    """Return the path that all keys follow."""
    return urlsplit(page.url).path.split("/v/")[0]


def asked(page: View, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, http.client.HTTPResponse]:
    host = urlsplit(page.url)
    connection = http.client.HTTPConnection(str(host.hostname), int(host.port or 0), timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer
    finally:
        connection.close()


def test_the_page_and_the_store_are_served(page: View, tmp_path: Path) -> None:
    assert asked(page, urlsplit(page.url).path)[1].startswith(b"<!doctype html>")
    state = json.loads(asked(page, f"{below(page)}/state.json")[1])
    assert state == json.loads(json.dumps(page.state))
    document = (tmp_path / "cells.ome.zarr" / "0" / "zarr.json").read_bytes()
    status, content, answer = asked(page, f"{below(page)}/store/0/zarr.json")
    assert (status, content, answer.headers["Content-Type"]) == (200, document, "application/json")


def test_many_connections_at_once_wait_for_nobody(page: View) -> None:
    """Browsers, and what looks for servers, open some dozens and say nothing."""
    place = urlsplit(page.url)
    with ExitStack() as idle:
        for _ in range(100):
            idle.enter_context(socket.create_connection((place.hostname or "", place.port or 0), timeout=1))
        assert asked(page, place.path)[0] == 200


def test_a_store_that_is_gone_is_no_black_image(page: View, tmp_path: Path) -> None:
    """What is not there stands for the fill value; of a store that is not there nothing is known."""
    shutil.rmtree(tmp_path / "cells.ome.zarr")
    assert asked(page, f"{below(page)}/store/0/c/0/0/0")[0] == 502


@pytest.mark.parametrize("by", ["path", "fsspec", "obstore", "wrapper"])
def test_no_link_leads_out_by_whatever_a_folder_is_reached(tmp_path: Path, page: View, by: str) -> None:
    folder = tmp_path / "cells.ome.zarr"
    stores: dict[str, Callable[[], Any]] = {
        "path": lambda: folder,
        "fsspec": lambda: zarr.storage.FsspecStore.from_url(folder.as_uri(), read_only=True),
        "obstore": lambda: zarr.storage.ObjectStore(obstore.store.LocalStore(str(folder)), read_only=True),
        "wrapper": lambda: zarr.storage.WrapperStore(zarr.storage.LocalStore(folder, read_only=True)),
    }
    with view(stores[by](), open_browser=False) as shown:
        assert asked(shown, f"{below(shown)}/store/0/zarr.json")[0] == 200
        assert asked(shown, f"{below(shown)}/store/out")[0] == 404


def test_ranges_and_heads(page: View, tmp_path: Path) -> None:
    path = f"{below(page)}/store/0/zarr.json"
    document = (tmp_path / "cells.ome.zarr" / "0" / "zarr.json").read_bytes()
    status, content, answer = asked(page, path, Range="bytes=2-5")
    assert (status, content) == (206, document[2:6])
    assert answer.headers["Content-Range"] == f"bytes 2-5/{len(document)}"
    assert asked(page, path, Range="bytes=-4")[:2] == (206, document[-4:])
    assert asked(page, path, Range=f"bytes={len(document)}-")[0] == 416
    assert asked(page, path, Range=f"bytes={'9' * 5000}-")[0] == 200
    status, content, answer = asked(page, path, "HEAD")
    assert (status, content, int(answer.headers["Content-Length"])) == (200, b"", len(document))
    assert asked(page, path, "POST")[0] == 501


@pytest.mark.parametrize(
    "path",
    ["/", "/store/0/zarr.json", "/wrong/store/0/zarr.json"],
    ids=["nothing", "no token", "wrong token"],
)
def test_nothing_without_the_token(page: View, path: str) -> None:
    assert asked(page, path)[:2] == (404, b"")


@pytest.mark.parametrize(
    "key",
    ["store/../../secret", "store/%2e%2e/secret", "store/..%2fsecret", "store//secret", "store/out", "store/no", "no"],
)
def test_nothing_but_the_store(page: View, key: str) -> None:
    assert asked(page, f"{below(page)}/{key}")[:2] == (404, b"")


def test_no_name_but_that_of_this_machine(page: View) -> None:
    path = f"{below(page)}/state.json"
    assert asked(page, path, Host="evil.example:80")[:2] == (403, b"")
    assert asked(page, path, Host="localhost:1")[0] == 200
    assert urlsplit(page.url).hostname == "127.0.0.1"


def test_nothing_after_it_is_closed(page: View) -> None:
    page.close()
    page.close()
    with pytest.raises(ConnectionError):
        asked(page, f"{below(page)}/state.json")


def descriptors_of(path: Path) -> list[str]:
    """Return the descriptors of this process that are of a file, which may be open more than once."""
    gc.collect()
    found = []
    for one in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found += [one.name] * (one.resolve() == path.resolve())
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the system does not tell what is open")
@pytest.mark.parametrize("given", ["path", "tree", "loaded"])
def test_the_store_is_closed_with_what_opened_it(tmp_path: Path, given: str) -> None:
    place = tmp_path / "cells.ozx"
    written(place, version="0.5").close()
    assert not descriptors_of(place)
    tree: Any = xr.open_datatree(place, engine="omezarr")
    if given == "loaded":
        tree.load()
    shown = view(place, open_browser=False) if given == "path" else tree.omezarr.view(open_browser=False)
    assert descriptors_of(place)
    document = f"{shown.url.partition('/v/')[0]}/store/zarr.json"
    with urllib.request.urlopen(document) as answer:
        assert json.load(answer)["zarr_format"] == 3
    tree.close()
    shown.close()
    assert not descriptors_of(place)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the system does not tell what is open")
def test_the_store_is_closed_where_it_cannot_be_shown(tmp_path: Path) -> None:
    place = tmp_path / "cells.ozx"
    da = xr.DataArray(np.zeros((8, 8)), dims=("y", "x"), name="a").omezarr.assign_grid(units="um")
    da.omezarr.to_zarr(place, version="0.5").close()
    with pytest.raises(DtypeError, match="float64"):
        view(place, open_browser=False)
    assert not descriptors_of(place)


def test_a_port_that_is_taken_is_named() -> None:
    with Server() as server:
        server.objects[""] = Documents({"a": b"a"})
        with pytest.raises(OmeZarrError, match=r"port \d+: .*port=0"):
            Server(int(urlsplit(server.address).port or 0))


# --- what it is told -------------------------------------------------------------------------------------------------


def test_the_state_says_channels_windows_and_units(page: View) -> None:
    assert page.state["dimensions"] == {"x": [pytest.approx(2.5e-7), "m"], "y": [pytest.approx(5e-7), "m"]}
    assert page.state["position"] == [-80 + 149.5, 200 + 99.5]
    first, *_, last = page.state["layers"]
    assert [layer["name"] for layer in page.state["layers"]] == ["DAPI", "GFP", "RFP", "nuclei"]
    assert first["shaderControls"]["color"] == "#0000FF"
    assert first["shaderControls"]["normalized"]["range"] == [0, 1000]
    assert (last["type"], last["segmentColors"]) == ("segmentation", {str(BLOB): "#ffff00"})


def test_labels_are_left_out_where_asked(tmp_path: Path) -> None:
    tree: Any = written(tmp_path / "cells.ome.zarr", labels="int64")
    with tree.omezarr.view(labels=False, open_browser=False) as shown:
        assert [layer["type"] for layer in shown.state["layers"]] == ["image"] * 3
        assert shown.url in shown._repr_html_()


def test_errors_name_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "cells.ome.zarr")
    with pytest.raises(OmeZarrError, match="viewer='neuroglancer'"):
        view(tmp_path / "cells.ome.zarr", viewer="fiji")
    pyramid: Any = cells().omezarr.pyramid()
    with pytest.raises(OmeZarrError, match=r"to_zarr\(…\)"):
        pyramid.omezarr.view(open_browser=False)
    monkeypatch.setattr("xomezarr.viewer.find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match=r'pip install "xomezarr\[view\]"'):
        view(tmp_path / "cells.ome.zarr")
    with pytest.raises(MissingDependencyError, match="napari"):
        view(tmp_path / "cells.ome.zarr", viewer="napari")


def test_what_napari_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = written(tmp_path / "cells.ome.zarr", labels="int64")
    added: list[tuple[str, Any, dict[str, Any]]] = []

    class Viewer:
        """Stands for napari's window, which no machine without a screen opens."""

        def __getattr__(self, name: str) -> Any:
            return lambda data, **options: added.append((name, data, options))

    napari = ModuleType("napari")
    napari.Viewer = Viewer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "napari", napari)
    monkeypatch.setattr("xomezarr.viewer.find_spec", lambda _: True)
    view(tree, viewer="napari")
    (kind, data, options), (of_labels, pixels, said) = added
    assert (kind, data.shape, options["channel_axis"]) == ("add_image", (3, 200, 300), 0)
    assert options["name"] == ["DAPI", "GFP", "RFP"]
    assert options["contrast_limits"][0] == [0, 1000]
    assert (options["scale"], options["translate"]) == ([0.5, 0.25], [100, -20])
    assert options["units"] == ["micrometer"] * 2
    assert (of_labels, said["name"], pixels.shape) == ("add_labels", "nuclei", (200, 300))


def test_view_shows_irregular_images_by_their_mean_step(tmp_path: Path) -> None:
    image: Any = cells().isel(c=0, drop=True).expand_dims(t=[0.0, 1.0, 5.0])
    one = given(image)
    assert uneven(one) == ["the irregular coordinate 't', and places pixels by its mean step, 2.5"]
    ((_, options, _),) = layers_of(one, ())
    assert options["scale"][0] == 2.5


def test_windows_of_napari_are_those_of_our_pictures(tmp_path: Path) -> None:
    """Where the store says none, they are chosen by the coarsest level."""
    image: Any = cells().drop_vars([name for name in cells().coords if str(name).startswith("channel_window")])
    tree: Any = image.omezarr.pyramid(levels=2)
    one = given(tree)
    ((_, options, _),) = layers_of(one, completed([one.levels[-1]], one.channels))
    low, high = np.percentile(tree.omezarr.level(1).isel(c=0), PERCENTILES)
    assert options["contrast_limits"][0] == pytest.approx([low, high])


def test_a_browser_that_is_required_is_missed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("XOMEZARR_CHROMIUM", raising=False)
    assert chromium() is None
    monkeypatch.setenv("XOMEZARR_CHROMIUM", "required")
    with pytest.raises(FileNotFoundError, match="apt-get install chromium"):
        chromium()


# --- what it draws ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if chromium() is None:
        pytest.skip("Chromium is not installed; apt-get install chromium")
    with Browser(tmp_path_factory.mktemp("chromium"), width=WIDTH, height=HEIGHT) as found:
        yield found


def expected(shown: View, middle: tuple[float, float], picture: Picture) -> Picture:
    """Return our own composite where the page is to show it, black around it."""
    micrometres = shown.state["crossSectionScale"] * GRID["scale"]["x"]
    rows, columns = np.arange(picture.shape[0]) + 0.5, np.arange(picture.shape[1]) + 0.5
    # the image is 100 µm high and 75 µm wide, and its middle that of the panel
    y = np.floor(((rows - middle[0]) * micrometres + 50) / GRID["scale"]["y"]).astype(int)
    x = np.floor(((columns - middle[1]) * micrometres + 37.5) / GRID["scale"]["x"]).astype(int)
    ours = composite(cells(), cells().omezarr.channels)
    if any(layer["type"] == "segmentation" for layer in shown.state["layers"]):
        is_blob = nuclei().values == BLOB
        ours[is_blob] = ours[is_blob] * 0.5 + np.array([255, 255, 0]) * 0.5  # Neuroglancer's own opacity
    found = np.zeros_like(picture)
    inside = np.ix_((y >= 0) & (y < 200), (x >= 0) & (x < 300))
    found[inside] = ours[np.ix_(y[(y >= 0) & (y < 200)], x[(x >= 0) & (x < 300)])]
    return found


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cells.ome.zarr", {"version": "0.4"}),
        ("cells.ome.zarr", {"version": "0.5"}),
        # three levels that are equally large: Neuroglancer draws as far as the largest reaches
        ("cells.ome.zarr", {"version": "0.5", "chunks": {"y": 100, "x": 100}, "shards": {"y": 200, "x": 200}}),
        ("cells.ome.zarr", {"version": "0.6"}),
        ("cells.ozx", {"version": "0.5"}),
        ("cells.ome.zarr", {"version": "0.4", "labels": "int64"}),
        ("cells.ome.zarr", {"version": "0.4", "labels": "uint64"}),
        ("cells.ome.zarr", {"version": "0.5", "labels": "int64"}),
    ],
    ids=["0.4", "0.5", "shards", "0.6", "ozx", "0.4 labels", "0.4 uint64 labels", "0.5 labels"],
)
def test_the_page_draws_our_composite(browser: Browser, tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    tree: Any = written(tmp_path / name, **options)
    with tree.omezarr.view(open_browser=False) as shown:
        browser.open(shown.url)
        assert_drawn(browser, shown)
        ours = (shown.url.split("/v/")[0], "data:", "blob:")
        asked_for = [url for url in browser.requested() if not url.endswith("/favicon.ico")]
        assert asked_for
        assert [url for url in asked_for if not url.startswith(ours)] == []


def test_what_a_notebook_shows_is_the_page(browser: Browser, tmp_path: Path) -> None:
    """As a frame in a page of another origin, which is what a cell of a notebook is."""
    tree: Any = written(tmp_path / "cells.ome.zarr", version="0.5")
    with tree.omezarr.view(open_browser=False) as shown, Server() as notebook:
        cell = f"<!doctype html><title>notebook</title><body>{shown._repr_html_()}</body>"
        notebook.objects[""] = Documents({"index.html": cell.encode()})
        browser.open(f"{notebook.address}index.html")
        ours = composite(cells(), cells().omezarr.channels).reshape(-1, 3).mean(axis=0)

        def is_drawn(picture: Picture) -> bool:
            """Whether the frame is in our colours where the image fills it from top to bottom."""
            seen = picture[80:590, 300:700].reshape(-1, 3).mean(axis=0)
            return bool((np.abs(seen - ours) < 0.25 * ours).all())

        assert is_drawn(browser.drawn(is_drawn, 30)), browser.said()


@pytest.mark.parametrize(
    ("dtype", "values", "window", "version"),
    [
        ("uint8", (0, 50, 100, 200), (-100, 300), "0.5"),
        ("int16", (-50, 0, 50, 100), (-100, 100), "0.5"),
        ("int64", (0, 50, 100, 200), (-100, 300), "0.5"),
        ("int64", (-40, 20, 80, -1), (-50, 90), "0.5"),
        ("int64", (-40, 20, 80, 0), (-50, 90), "0.4"),
        ("int64", (-40, 20, 80, -1), (0, 90), "0.4"),
        ("int64", (-(2**62), 20, 2**62, -1), (-(2**62), 2**62), "0.5"),
        ("uint64", (0, 50, 100, 200), (0, 200), "0.5"),
        ("uint64", (0, 50, 100, 200), (0, 200), "0.4"),
        ("bool", (0, 1, 1, 0), (0, 2), "0.5"),
        ("uint16", (7, 6, 7, 8), (7, 7), "0.5"),
        ("float32", (1e-7, 3e-7, 5e-7, 9e-7), (0, 1e-6), "0.5"),
    ],
)
def test_pixels_are_as_bright_as_in_our_composite(
    browser: Browser, tmp_path: Path, dtype: str, values: tuple[float, ...], window: tuple[float, float], version: str
) -> None:
    """Of a stack of three planes the middle one is shown."""
    plane = np.repeat(np.repeat(np.array([values], dtype), 100, 0), 100, 1)
    da: Any = xr.DataArray(np.stack([plane[:, ::-1], plane, plane[:, ::-1]])[np.newaxis], dims=("c", "z", "y", "x"))
    da = da.omezarr.assign_grid(scale={"z": 1, "y": 1, "x": 1}, units="um")
    da = da.omezarr.assign_channels([{"label": "a", "color": "white", "window": window}])
    ours = composite(da, da.omezarr.channels)[50, 50::100, 0].tolist()
    tree = da.omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=1, version=version)

    def seen(picture: Picture) -> list[int]:
        """Return the brightness in the middle of the four parts, by the widest row of the panel at the top left."""
        place = browser.evaluate(
            "(() => { const p = document.querySelector('.neuroglancer-rendered-data-panel');"
            " if (!p || !window.viewer) return null; viewer.showScaleBar.value = false;"
            " viewer.showDefaultAnnotations.value = false; const r = p.getBoundingClientRect();"
            " return [r.left, r.top, r.width, r.height]; })()"
        )
        if place is None:
            return []
        left, top, width, height = place
        part = shown.state["crossSectionScale"]  # micrometres in a pixel of the screen
        across = [round(left + width / 2 + offset / part) for offset in (-150, -50, 50, 150)]
        return [int(picture[round(top + height / 2), column, 0]) for column in across]

    def is_drawn(picture: Picture) -> bool:
        return len(seen(picture)) == 4 and bool(np.allclose(seen(picture), ours, atol=3))

    with tree.omezarr.view(open_browser=False) as shown:
        browser.open(shown.url)
        picture = browser.drawn(is_drawn, 30)
        assert seen(picture) == pytest.approx(ours, abs=3), browser.said()


def assert_drawn(browser: Browser, shown: View) -> None:
    """Assert that the page becomes our composite, at its place and size."""
    similar: list[float] = []

    def is_drawn(picture: Picture) -> bool:
        place = browser.evaluate(
            "(() => { const p = document.querySelector('.neuroglancer-rendered-data-panel');"
            " if (!p || !window.viewer) return null; viewer.showScaleBar.value = false;"
            " viewer.showDefaultAnnotations.value = false;"
            " const r = p.getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; })()"
        )
        if place is None or picture.shape[:2] != (HEIGHT, WIDTH):
            return False
        left, top, width, height = place
        ours = expected(shown, (top + height / 2, left + width / 2), picture)
        # without what names the axes, and buttons, at its top
        seen = (slice(int(top) + 35, HEIGHT - 5), slice(110, WIDTH - 60))
        pairs = zip(ours[seen].reshape(-1, 3).T, picture[seen].reshape(-1, 3).T, strict=True)
        similar[:] = [float(np.corrcoef(one, other)[0, 1]) for one, other in pairs]
        bright = [np.argwhere(one[seen].max(axis=-1) > 40) for one in (ours, picture)]
        if any(len(one) == 0 for one in bright):
            return False
        here, there = (np.concatenate([one.min(axis=0), one.max(axis=0)]) for one in bright)
        return min(similar) > 0.95 and bool(np.abs(here - there).max() <= 2)

    with np.errstate(invalid="ignore"):
        picture = browser.drawn(lambda one: bool(one[60:].any()) and is_drawn(one), 30)
        assert is_drawn(picture), (similar, browser.said())


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    written(tmp_path / "cells.ome.zarr")
    command = [sys.executable, "-m", "xomezarr", "view", str(tmp_path / "cells.ome.zarr"), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            with urllib.request.urlopen(url.partition("#")[0], timeout=10) as answer:
                assert answer.read().startswith(b"<!doctype html>")
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=20) == ("", "")
        finally:
            process.kill()
    assert process.returncode == 0
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=5)


def test_the_command_says_what_is_wrong_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from xomezarr.cli import main

    assert main(["view", str(tmp_path / "no.ome.zarr"), "--no-browser"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
