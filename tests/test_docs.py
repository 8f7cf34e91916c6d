"""The pages: their code, run as it stands in an empty folder; what they must speak of; what they name is there."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import xarray as xr
import zarr

import xomezarr
from xomezarr.cli import main
from xomezarr.downsample import METHODS
from xomezarr.readers import table

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))


PIXELS = xr.DataArray(np.arange(2000 * 1500).reshape(2000, 1500).astype("uint16"), dims=("y", "x"), name="cells")
NAMES = {
    "pictures.md": {"xr": xr, "da": PIXELS.expand_dims("t").expand_dims("z", 1)},
    "coordinate-systems.md": {"xr": xr, "da": PIXELS},
    "layouts.md": {"xr": xr, "da": PIXELS},
    "upgrade.md": {"xomezarr": xomezarr, "da": PIXELS},
    "interchange.md": {"xr": xr, "xomezarr": xomezarr},
    "labels.md": {"xr": xr, "da": PIXELS, "nuclei": PIXELS // 1000 % 7},
    "single-file.md": {"xr": xr, "xomezarr": xomezarr, "da": PIXELS, "nuclei": PIXELS // 1000 % 7},
    "regions.md": {"da": PIXELS.omezarr.assign_grid(scale={"y": 0.5, "x": 0.5}, units="um")},
    "plates.md": {"xr": xr, "xomezarr": xomezarr, "field0": PIXELS[:90, :80], "field1": PIXELS[-90:, -80:]},
}
"""What pages take for given."""


OPENED = {"interchange.md": "cells.ome.zarr"}
"""Stores that pages take for given."""

SHOWN = {
    "interchange.md": "needs the other libraries: tests/peers/interchange_*.py make such calls",
    "index.md": "what it looks like: the tour has all of it",
    "migration.md": "calls of ome-zarr-py, as they were before",
    "remote.md": "servers and credentials of others: tests/test_remote.py makes such calls",
    "view.md": "opens a browser: tests/test_viewer.py makes such calls",
}
"""Pages with code that is shown alone, in blocks of ``py`` instead of ``python``, and why."""

RUN_ELSEWHERE = {
    "howto.md": "below, with its commands",
    "pictures.md": "below, with figures",
    "tour.md": "below, and when the site is built",
    "contracts.md": "below, and when the site is built",
}


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of code of a page; the cells of one that is run when the site is built are blocks too."""
    text = (DOCS / page).read_text(encoding="utf-8")
    begins = rf"^```(?:{language}|\{{code-cell\}} {language})\n(?::[^\n]*\n)*"
    return re.findall(rf"{begins}(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


RUN = pytest.mark.parametrize(
    ("page", "stores"),
    PAGES_RUN := [
        ("errors.md", []),
        ("methods.md", ["cells.ome.zarr", "photons.ome.zarr", "spread.ome.zarr"]),
        ("collections.md", ["embryo.ome.zarr", "two-views.ome.zarr"]),
        ("migration.md", ["cells.ome.zarr", "levels.ome.zarr"]),
        ("layouts.md", ["cells.ome.zarr"]),
        ("interchange.md", ["cells.ome.zarr", "copy.ome.zarr"]),
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


@RUN
def test_the_pages_run(page: str, stores: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = dict(NAMES.get(page, {}))
    if page in OPENED:
        PIXELS.omezarr.to_zarr(OPENED[page])
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


# --- all pages -------------------------------------------------------------------------------------------------------


def test_all_code_is_run_or_says_why_not() -> None:
    run = {page for page, _ in PAGES_RUN} | set(RUN_ELSEWHERE)
    assert {page for page in PAGES if blocks(page, "python")} == run
    assert {page for page in PAGES if blocks(page, "py")} == set(SHOWN)


@pytest.mark.parametrize("page", ["tour.md", "contracts.md"])
def test_the_pages_that_are_run_when_the_site_is_built_run(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    with xr.set_options():  # what a page sets ends with it
        for block in blocks(page, "python"):
            exec(compile(block, page, "exec"), names)
    plt.close("all")
    written = list(tmp_path.glob("*.ome.zarr"))
    assert len(written) >= 3
    assert all(xomezarr.validate(store, grids=True).valid for store in written)
    if page == "tour.md":
        for block in blocks(page, "sh"):
            assert [main(shlex.split(line)[1:]) for line in block.splitlines()] == [0, 0]
        assert xr.open_dataarray("from-shell.ome.zarr", engine="omezarr").omezarr.scale["x"] == 8.5


def test_the_page_on_pictures_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    monkeypatch.chdir(tmp_path)
    image = xr.DataArray(PIXELS.values.reshape(10, 200, 1500), dims=("z", "y", "x")).omezarr.assign_grid(units="um")
    image.omezarr.to_zarr("nuclei.ome.zarr", labels={"objects": image // 20_000})
    xomezarr.write_plate({("A", 1): [image, image], ("B", 2): [image, image]}, "screen.ome.zarr")
    names = {"xr": xr, "xomezarr": xomezarr, "da": image.expand_dims(t=[0.0]), "axes": plt.subplots(1, 2)[1]}
    for block in blocks("pictures.md", "python"):
        exec(block, names)
    assert names["axes"][1].images
    plt.close("all")


@pytest.mark.xdist_group("s3")
def test_every_task_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3_url: str, s3_of_environment: Callable[[str], None]
) -> None:
    from s3 import make_bucket

    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    make_bucket(s3_url, "bucket")
    s3_of_environment(s3_url)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    da = xr.DataArray(PIXELS.values[:160, :160].reshape(2, 80, 160) % 50, dims=("c", "y", "x"), name="cells")
    da = da.omezarr.assign_grid(scale={"y": 0.325, "x": 0.325}, units="um").omezarr.assign_channels(["DAPI", "GFP"])
    da.omezarr.to_zarr("cells.ome.zarr")
    xomezarr.export(da, "stack.tif")
    for channel in ("DAPI", "GFP"):
        for name in ("A1_s0", "B12_s3"):
            xomezarr.export(da.sel(c=channel, drop=True), f"images/{name}_{channel}.tif")

    text = (DOCS / "howto.md").read_text(encoding="utf-8")
    tasks = re.findall(r"^```(python|sh)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    assert len(tasks) > 35
    names: dict[str, Any] = {"da": da}
    for language, block in tasks:
        if language == "sh":
            assert main(shlex.split(block)[1:]) == 0, block
        else:
            exec(block, names)
    plt.close("all")

    opened = xr.open_datatree("screen.ome.zarr", engine="omezarr")
    assert [well for row in opened.children.values() for well in row.children] == ["1", "12"]
    assert names["movie"].sizes["t"] == xr.open_dataarray("movie.ome.zarr", engine="omezarr").sizes["t"] == 3
    assert xr.open_dataarray("growing.ome.zarr", engine="omezarr").t.values.tolist() == [0.0, 5.0]
    assert names["part"].x.values.min() >= 5
    np.testing.assert_array_equal(names["away"], da)
    assert xr.open_datatree("cells.ome.zarr", engine="omezarr").omezarr.version == "0.5"
    for store in sorted(tmp_path.glob("*.o*z*")):
        assert xomezarr.validate(store).valid, store


# --- what pages name is there ----------------------------------------------------------------------------------------


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the module that makes the reference."""
    pytest.importorskip("cyclopts")
    monkeypatch.syspath_prepend(DOCS)
    return importlib.import_module("reference")


def test_all_that_is_public_is_in_the_reference() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    listed = {line.strip() for line in text.splitlines() if line.startswith("   ") and ":" not in line}
    accessors = {
        "DataArray": xomezarr.OmeZarrArrayAccessor,
        "Dataset": xomezarr.OmeZarrDatasetAccessor,
        "DataTree": xomezarr.OmeZarrTreeAccessor,
    }
    public = set(xomezarr.__all__) - {kind.__name__ for kind in accessors.values()}
    public -= {"errors", "OmeZarrError", "OmeZarrWarning"}  # on a page of their own
    public |= {
        f"{kind}.omezarr.{name}" for kind, accessor in accessors.items() for name in vars(accessor) if name[0] != "_"
    }
    modules = {"transforms", "downsample", "testing", "backend.OmeZarrBackendEntrypoint"}
    assert listed == public | modules


def test_all_errors_are_in_the_reference(reference: ModuleType) -> None:
    def below(kind: type) -> Iterator[type]:
        yield kind
        for derived in kind.__subclasses__():
            yield from below(derived)

    ours = {*below(xomezarr.errors.OmeZarrError), *below(xomezarr.errors.OmeZarrWarning)}
    named = re.findall(r"autoexception:: (\w+)", reference.of_errors())
    assert {kind.__name__ for kind in ours if kind.__module__ == "xomezarr.errors"} <= set(named)
    assert len(named) == len(set(named))


def test_all_readers_are_on_the_page_on_conversion(reference: ModuleType) -> None:
    assert "```{include} _generated/readers.md\n" in (DOCS / "convert.md").read_text(encoding="utf-8")
    lines = reference.readers().splitlines()
    for reader in (*table.READERS, table.BY_BIOIO):
        (line,) = (line for line in lines if line.startswith(f"| {reader.name}, "))
        assert re.findall(r"`(\.\w[\w.]*)`", line.split("|")[1]) == [*reader.suffixes]
        assert line.count("|") == 4


def test_all_commands_are_in_the_reference(reference: ModuleType) -> None:
    text = reference.commands()
    commands = re.findall(r"^## xomezarr (\w+)$", text, flags=re.MULTILINE)
    known = [name for name in ast.literal_eval(json.dumps(list(reference.build_app()))) if not name.startswith("-")]
    assert sorted(commands) == sorted(known)
    assert "--resume" in text


def test_a_notebook_that_shows_nothing_is_noticed(
    reference: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notebooks").mkdir()
    cells = [{"cell_type": "code", "source": ["1 + 1"], "outputs": []}]
    (tmp_path / "notebooks" / "empty.ipynb").write_text(json.dumps({"cells": cells}))
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    with pytest.raises(ValueError, match=r"empty\.ipynb has no outputs"):
        reference.bring_notebooks(tmp_path / "brought")


def test_a_piece_of_metadata_that_is_not_where_the_page_says_is_noticed(reference: ModuleType, tmp_path: Path) -> None:
    metadata = reference.metadata
    metadata.image().omezarr.to_zarr(tmp_path / "embryo.ome.zarr", version="0.5")
    names = metadata.names_of(tmp_path / "embryo.ome.zarr")
    row = metadata.Row("a colour", "da.channel_color[0]", "0033FF")
    place = metadata.found(row, tmp_path / "embryo.ome.zarr", names, own=False)
    assert place == "ome.omero.channels[0].color"
    for wrong, said in (
        (metadata.Row("a colour", "da.channel_color[0]", "00FF00"), "was to be"),
        (metadata.Row("a colour", "da.channel_color[0]", "0033FF", "0033FE"), "is nowhere"),
    ):
        with pytest.raises(ValueError, match=said):
            metadata.found(wrong, tmp_path / "embryo.ome.zarr", names, own=False)


def test_a_value_that_stands_at_several_places_is_noticed(reference: ModuleType, tmp_path: Path) -> None:
    metadata, store = reference.metadata, tmp_path / "embryo.ome.zarr"
    metadata.image().omezarr.to_zarr(store, version="0.5")
    names = metadata.names_of(store)
    with pytest.raises(ValueError, match="at several places"):
        metadata.found(metadata.Row("a type", "da.dims[-1]", "x", "space"), store, names, own=False)
    told = metadata.found(metadata.Row("a type", "da.dims[-1]", "x", "space", at=r"axes\[3\]"), store, names, own=False)
    assert told == "ome.multiscales[0].axes[3].type"


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("def test_c1_a(): pass", True),
        ("@pytest.mark.skipif(sys.platform == 'win32', reason='')\ndef test_c1_a(): pass", True),
        ("@pytest.mark.parametrize('a', [pytest.param(1, marks=pytest.mark.skip), 2])\ndef test_c1_a(a): pass", True),
        ("def test_c1_a():\n    if other:\n        pytest.skip('')\n", True),
        ("@pytest.mark.skip\ndef test_c1_a(): pass", False),
        ("@pytest.mark.skip(reason='')\ndef test_c1_a(): pass", False),
        ("@pytest.mark.skipif(True, reason='')\ndef test_c1_a(): pass", False),
        ("@pytest.mark.xfail\ndef test_c1_a(): pass", False),
        ("def test_c1_a():\n    'why'\n    pytest.skip('')\n", False),
        ("pytestmark = pytest.mark.skip\ndef test_c1_a(): pass", False),
        ("pytest.skip('', allow_module_level=True)\ndef test_c1_a(): pass", False),
        ("def test_c1_b(): pass", False),
    ],
)
def test_proofs_that_are_never_run_are_noticed(
    reference: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, counts: bool
) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text(text)
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    page = "## C1 Coordinates\n| what | `tests/test_a.py::test_c1_a` |\n"
    if counts:
        reference.check_proofs(page)
        return
    with pytest.raises(ValueError, match=r"names tests/test_a\.py::test_c1_a: there is no such test, or it is always"):
        reference.check_proofs(page)


def test_a_contract_without_a_proof_is_noticed(
    reference: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tests").mkdir()
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    with pytest.raises(ValueError, match="no test of C1 is run"):
        reference.check_proofs("## C1 Coordinates\n")


def test_pages_with_parts_that_are_made_say_so() -> None:
    """Who reads them as files, as repositories show them, sees no such part."""
    making = re.compile(r"^(?:```\{\w+\} |:file: |!\[.*\]\()_generated/", re.MULTILINE)
    pages = {page for page in PAGES if making.search((DOCS / page).read_text(encoding="utf-8"))}
    assert {"cli.md", "pictures.md", "view.md"} <= pages
    for page in pages:
        text = (DOCS / page).read_text(encoding="utf-8")
        assert re.search(r'^# .*\n\n<p class="as-file"><i>.*made when the site is built', text, re.MULTILINE), page


def test_a_page_without_its_picture_of_the_browser_warns_of_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib.pyplot")
    monkeypatch.syspath_prepend(DOCS)
    screenshots = importlib.import_module("screenshots")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("XOMEZARR_CHROMIUM", raising=False)
    screenshots.make(tmp_path / "made")
    assert (tmp_path / "made" / "view.md").read_text().startswith(":::{warning}")
    assert not (tmp_path / "made" / "view.png").exists()
    monkeypatch.setenv("XOMEZARR_CHROMIUM", "required")
    with pytest.raises(FileNotFoundError, match="XOMEZARR_CHROMIUM=required"):
        screenshots.make(tmp_path / "made")


def test_the_proofs_of_the_contracts_are_there(reference: ModuleType) -> None:
    text = (DOCS / "contracts.md").read_text(encoding="utf-8")
    known = {(f"tests/{file.name}", name) for file, name in reference.tests()}
    sections = re.split(r"^## (C\d) ", text, flags=re.MULTILINE)[1:]
    of_contracts = dict(zip(sections[::2], sections[1::2], strict=True))
    assert list(of_contracts) == [f"C{number}" for number in range(1, 10)]
    assert set(reference.proofs()) == set(of_contracts)
    for contract, section in of_contracts.items():
        named = re.findall(r"`(tests/\w+\.py)::(\w+)`", section)
        assert len(named) >= 3, contract
        assert set(named) <= known, contract
        assert f"_generated/proofs-{contract.lower()}.md" in section
        assert "{code-cell}" in section


def test_the_comparison_tells_what_the_tests_know_of_others() -> None:
    silences = importlib.import_module("test_peers").SILENCES
    text = (DOCS / "comparison.md").read_text(encoding="utf-8")
    for library, of_library in silences.items():
        assert library.replace("_", "-").replace("-js", ".js") in text
        for _, _, why in of_library:
            assert why in text, (library, why)


def test_the_comparison_says_what_the_tables_say() -> None:
    text = (DOCS / "performance-tables.inc").read_text(encoding="utf-8")
    sections = re.split(r"^## (.*)$", text, flags=re.MULTILINE)[1:]
    tables = {
        title: {row[1].strip(): row[2:-1] for row in (line.split("|") for line in body.splitlines()) if len(row) > 3}
        for title, body in zip(sections[::2], sections[1::2], strict=True)
    }
    others = ("ome-zarr-py", "ngff-zarr", "multiscale-spatial-image", "ome-zarr-pyramid", "bioio-ome-zarr")
    told = (DOCS / "comparison.md").read_text(encoding="utf-8")
    for title, rows in tables.items():
        if re.match(r"W\d", title) and "growth" not in title:
            seconds = {name: float(rows[name][0]) for name in ("xomezarr", *others) if name in rows}
            assert len(seconds) >= 4, title
            if title.startswith("W5") or "defaults" in title:
                assert f"{rows['ome-zarr-pyramid'][0].strip()} s against {rows['xomezarr'][0].strip()} s" in told
                assert min(seconds, key=lambda name: seconds[name]) == "ome-zarr-pyramid", title
            else:
                assert min(seconds, key=lambda name: seconds[name]) == "xomezarr", title
    opening = tables["Opening an image of five levels"]
    for row in ("ngff-zarr: `from_ngff_zarr`", "zarr-python: group and arrays", "xomezarr: `xr.open_datatree`"):
        assert f"{opening[row][0].strip()} ms" in told


LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NAMED = re.compile(r"`((?:benchmarks|tests|notebooks|docs)/[\w./-]+\.\w+)(?:::\w+)?`")
TEXTS = ["README.md", *(f"docs/{page}" for page in PAGES)]


@pytest.mark.parametrize("text", TEXTS)
def test_links_lead_somewhere(text: str) -> None:
    """Sphinx looks after sections and pages of the site; here are the files, and the form of what is elsewhere."""
    written = (ROOT / text).read_text(encoding="utf-8")
    for target in LINK.findall(written):
        place = urlsplit(target)
        if place.scheme:
            assert place.scheme == "https", target
            assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", place.netloc), target
        elif place.path and not place.path.startswith("_generated/"):
            assert (ROOT / text).parent.joinpath(place.path).exists(), target
    for named in NAMED.findall(written):
        assert (ROOT / named).exists(), named


def test_sections_that_the_readme_links_to_are_there() -> None:
    written = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in LINK.findall(written):
        path, _, section = target.partition("#")
        if section and not urlsplit(target).scheme:
            titles = re.findall(r"^#+ (.*)$", (ROOT / path).read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert section in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}, target
