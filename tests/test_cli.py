"""The command line as users run it: exit codes, one line for an error, JSON for programs, pictures."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import imageio.v3
import numpy as np
import pytest
import skimage.data
import tifffile
import xarray as xr
import zarr

import xomezarr
from xomezarr import cli, progress
from xomezarr.cli import main
from xomezarr.errors import ChunkError
from xomezarr.progress import rich_progress


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An OME-TIFF with pixel sizes and channel names."""
    path = tmp_path / "cells.ome.tif"
    pixels = np.arange(2 * 3 * 64 * 96, dtype=np.uint16).reshape(2, 3, 64, 96)
    metadata = {
        "axes": "CZYX",
        "Name": "cells",
        "PhysicalSizeX": 0.5,
        "PhysicalSizeY": 0.5,
        "PhysicalSizeZ": 2.0,
        "Channel": {"Name": ["DAPI", "GFP"], "Color": [65535, 16711935]},
    }
    tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", metadata=metadata)
    return path


@pytest.fixture
def store(image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    path = tmp_path / "cells.ome.zarr"
    assert main(["convert", str(image), str(path), "--levels", "3"]) == 0
    capsys.readouterr()
    return path


def run(arguments: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the program in a process of its own."""
    command = [sys.executable, "-m", "xomezarr", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)


def one_line(text: str) -> bool:
    return text.startswith("xomezarr: ") and text.count("\n") == 1 and text.endswith("\n")


# --- convert, info, validate -------------------------------------------------


def test_convert_keeps_pixel_sizes_channels_and_name(image: Path, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "out.ome.zarr"
    assert main(["convert", str(image), str(path), "--levels", "2", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["name"], said["version"], said["method"]) == ("cells", "0.4", "local_mean")
    assert [axis["name"] for axis in said["axes"]] == ["c", "z", "y", "x"]
    assert [axis["unit"] for axis in said["axes"]] == [None, "micrometer", "micrometer", "micrometer"]
    assert [level["scale"] for level in said["levels"]] == [[1, 2, 0.5, 0.5], [1, 2, 1, 1]]
    assert said["levels"][1]["translation"] == [0, 0, 0.25, 0.25]
    assert [(channel["label"], channel["color"]) for channel in said["channels"]] == [
        ("DAPI", "0000FF"),
        ("GFP", "00FF00"),
    ]
    tree = xr.open_datatree(path, engine="omezarr")
    np.testing.assert_array_equal(tree.omezarr.level(0).values, tifffile.imread(image))


def test_convert_honours_every_option(tmp_path: Path, capsys: Any) -> None:
    np.save(tmp_path / "a.npy", np.arange(2 * 9 * 50 * 41, dtype=np.uint8).reshape(2, 9, 50, 41))
    options = (
        "--method nearest --levels 2 --factors z=1,y=2,x=4 --version 0.5 --chunks 1,3,16,8 --name embryo "
        "--boundary trim --scale z=2,y=0.5,x=0.25 --units um --dims czyx --channels DAPI,GFP --json"
    )
    assert main(["convert", str(tmp_path / "a.npy"), str(tmp_path / "a.zarr"), *options.split()]) == 0
    said = json.loads(capsys.readouterr().out)
    first, second = said["levels"]
    assert (said["version"], said["name"], said["method"], len(said["levels"])) == ("0.5", "embryo", "nearest", 2)
    assert first["scale"] == [1, 2, 0.5, 0.25]
    assert second["scale"] == [1, 2, 1, 1]
    assert second["shape"] == [2, 9, 25, 10]
    assert first["chunks"] == [1, 3, 16, 8]
    assert [channel["label"] for channel in said["channels"]] == ["DAPI", "GFP"]
    assert [axis["unit"] for axis in said["axes"]] == [None, "micrometer", "micrometer", "micrometer"]
    assert zarr.open_group(tmp_path / "a.zarr", mode="r").metadata.zarr_format == 3


@pytest.mark.parametrize("command", ["convert", "scale"])
def test_a_dry_run_says_what_is_written_then_and_writes_nothing(tmp_path: Path, capsys: Any, command: str) -> None:
    source, path = tmp_path / "raw.zarr", tmp_path / "out.ome.zarr"
    zarr.create_array(source, data=np.arange(50 * 200 * 100, dtype="u2").reshape(50, 200, 100), chunks=(8, 64, 64))
    names = ["--dims" if command == "convert" else "--axes", "zyx"]
    asked = [command, str(source), str(path), *names, "--version", "0.5", "--chunks", "z=64,y=32,x=32"]
    asked += ["--shards", "128,64,64", "--workers", "1", "--max-memory", "200MB"]
    assert main([*asked, "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert main([*asked, "--dry-run", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert not path.exists()
    assert main([*asked, "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert {key: planned[key] for key in ("name", "version", "method", "axes", "levels")} == {
        key: written[key] for key in ("name", "version", "method", "axes", "levels")
    }
    assert planned["levels"][0]["shards"] == [50, 64, 64]
    assert planned["workers"] == 1
    assert planned["memory"] <= 200e6
    assert f"{planned['tiles']} tiles" in text
    assert "1 worker," in text


def test_a_dry_run_in_place_says_where_the_levels_come(store: Path, capsys: Any) -> None:
    before = sorted(store.rglob("*"))
    assert main(["scale", str(store), "--in-place", "--max-layer", "1", "--dry-run", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert [level["path"] for level in planned["levels"]] == ["0", "3"]
    assert planned["store"] == str(store)
    assert sorted(store.rglob("*")) == before


def test_convert_takes_units_and_chunks_by_dimension(tmp_path: Path, capsys: Any) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 32, 32), np.uint8))
    options = ["--dims", "time,y,x", "--units", "time=s,y=um,x=nm", "--scale", "time=3", "--chunks", "y=16,x=16"]
    assert main(["convert", str(tmp_path / "a.npy"), str(tmp_path / "a.zarr"), *options, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [(axis["name"], axis["unit"]) for axis in said["axes"]] == [
        ("time", "second"),
        ("y", "micrometer"),
        ("x", "nanometer"),
    ]
    assert said["levels"][0]["scale"] == [3, 1, 1]
    assert said["levels"][0]["chunks"][1:] == [16, 16]


def test_series_chooses_the_image(tmp_path: Path, capsys: Any) -> None:
    with tifffile.TiffWriter(tmp_path / "two.ome.tif", ome=True) as tiff:
        for name, size in (("first", 8), ("second", 12)):
            tiff.write(np.zeros((size, size), np.uint8), metadata={"axes": "YX", "Name": name})
    source, target = str(tmp_path / "two.ome.tif"), str(tmp_path / "a.zarr")
    assert main(["convert", source, target, "--series", "1", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["name"], said["levels"][0]["shape"]) == ("second", [12, 12])


def test_info_says_what_json_says(store: Path, capsys: Any) -> None:
    assert main(["info", str(store), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert main(["info", str(store)]) == 0
    text = capsys.readouterr().out
    assert "OME-Zarr 0.4" in text
    assert "DAPI" in text
    assert "z (µm)" in text
    for level in said["levels"]:
        assert " × ".join(map(str, level["shape"])) in text
        assert level["bytes"] == np.prod(level["shape"]) * 2
        assert np.dtype(level["dtype"]) == np.uint16
    assert "\x1b" not in text


def test_json_holds_nothing_that_a_terminal_obeys(tmp_path: Path, capsys: Any) -> None:
    name = "DAPI\x1b[2J \x9b31m \u202e µ 核"
    da = xr.DataArray(np.zeros((1, 4, 4), "u1"), dims=("c", "y", "x")).omezarr.assign_channels([name])
    da.omezarr.to_zarr(tmp_path / "a.ome.zarr")
    assert main(["info", str(tmp_path / "a.ome.zarr"), "--json"]) == 0
    text = capsys.readouterr().out
    assert json.loads(text)["channels"][0]["label"] == name
    assert all(one.isprintable() or one == "\n" for one in text)
    assert "µ 核" in text


def test_validate_is_0_for_what_we_write_and_1_for_what_breaks_a_rule(store: Path, capsys: Any) -> None:
    assert main(["validate", str(store)]) == 0
    assert "valid" in capsys.readouterr().out
    group = zarr.open_group(store, mode="r+", use_consolidated=False)
    multiscales: Any = group.attrs["multiscales"]
    multiscales[0]["axes"][1]["name"] = "y"
    group.attrs["multiscales"] = multiscales
    assert main(["validate", str(store), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert not said["valid"]
    assert any(finding["severity"] == "error" and "y" in finding["message"] for finding in said["findings"])


# --- demo --------------------------------------------------------------------


def test_demo_writes_a_pyramid_and_a_picture_and_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    assert "4 levels" in capsys.readouterr().out
    tree = xr.open_datatree("cell.ome.zarr", engine="omezarr")
    level = tree.omezarr.level(0)
    np.testing.assert_array_equal(level.values[0], skimage.data.cell())
    assert level.y.values[1] == 0.107
    assert [channel.label for channel in tree.omezarr.channels] == ["quantitative phase"]
    picture = imageio.v3.imread("cell.png")
    assert picture.shape == (660, 4 * 550 + 3 * cli.GAP, 3)
    panels = [picture[:, i * (550 + cli.GAP) :][:, :550, 0].astype(float) for i in range(4)]
    for panel in panels[1:]:
        assert np.corrcoef(panels[0].ravel(), panel.ravel())[0, 1] > 0.95, "all levels show the same place"

    before = (tmp_path / "cell.ome.zarr" / "0" / ".zarray").stat().st_mtime_ns
    (tmp_path / "cell.png").unlink()
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    assert "exists already, and is left as it is" in out
    assert "--overwrite" in out
    assert (tmp_path / "cell.ome.zarr" / "0" / ".zarray").stat().st_mtime_ns == before
    assert (tmp_path / "cell.png").exists()
    assert main(["demo", "--overwrite"]) == 0
    assert (tmp_path / "cell.ome.zarr" / "0" / ".zarray").stat().st_mtime_ns > before


def test_demo_leaves_alone_what_is_no_image(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    for options in ([], ["--overwrite"]):
        assert main(["demo", str(tmp_path / "mine"), *options]) == 1
        assert one_line(capsys.readouterr().err)
        assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


# --- C7: exit codes and errors -----------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["convert"], "SRC"),
        (["convert", "a.npy"], "DST"),
        (["convert", "a.npy", "b", "--bogus"], "--bogus"),
        (["convert", "a.npy", "b", "--version", "0.3"], "0.3"),
        (["convert", "a.npy", "b", "--levels", "many"], "many"),
        (["convert", "a.npy", "b", "--workers", "2.5"], "'2.5' is no whole number"),
        (["scale", "a.npy", "b", "--max-layer", "1.0"], "'1.0' is no whole number"),
        (["convert", "a.npy", "b", "--scale", "0.5"], "--scale z=2,y=0.5,x=0.5"),
        (["convert", "a.npy", "b", "--scale", "x=1,x=2"], "each dimension once"),
        (["convert", "a.npy", "b", "--scale", "x=wide"], "x=wide"),
        (["convert", "a.npy", "b", "--factors", "half"], "--factors z=1,y=2,x=2"),
        (["convert", "a.npy", "b", "--chunks", "big"], "--chunks y=256,x=256"),
        (["info"], "STORE"),
        (["inform"], "inform"),
        (["validate", "a", "b"], "b"),
        (["scale"], "SRC"),
        (["scale", "a.npy"], "DST"),
        (["scale", "a.npy", "b", "zyx", "--axes", "zyx"], "zyx"),
        (["scale", "a.npy", "b", "zyx", "--downscale", "half"], "--downscale z=1,y=2,x=2"),
    ],
)
def test_c7_a_call_at_fault_is_2_and_one_line(
    arguments: list[str], says: str, capsys: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.zeros((8, 8)))
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert one_line(captured.err), captured.err
    assert says in captured.err
    assert captured.out == ""
    assert os.listdir(tmp_path) == ["a.npy"]  # noqa: PTH208


@pytest.mark.parametrize(
    "options", [["--method", "magic"], ["--factors", "0"], ["--factors", "q=2"], ["--levels", "0"], ["--chunks", "0,8"]]
)
def test_c7_options_that_cannot_be_are_2_and_write_nothing(options: list[str], tmp_path: Path, capsys: Any) -> None:
    np.save(tmp_path / "a.npy", np.zeros((8, 8)))
    assert main(["convert", str(tmp_path / "a.npy"), str(tmp_path / "b.zarr"), *options]) == 2
    assert one_line(capsys.readouterr().err)
    assert not (tmp_path / "b.zarr").exists()


def test_c7_data_or_store_at_fault_is_1_and_one_line(store: Path, tmp_path: Path, capsys: Any) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 8, 8)))
    (tmp_path / "bad.tif").write_bytes(b"II*\0garbage")
    (tmp_path / "file.txt").write_text("text")
    target = str(tmp_path / "new.zarr")
    cases = [
        (["convert", "absent.tif", target], "nothing is at"),
        (["convert", str(tmp_path / "a.npy"), target], "--dims"),
        (["convert", str(tmp_path / "bad.tif"), target], "bad.tif"),
        (["convert", str(tmp_path / "file.txt"), target], "OME-TIFF"),
        (["convert", str(tmp_path / "a.npy"), str(store), "--dims", "zyx"], "--overwrite"),
        (["info", str(tmp_path / "absent")], "absent"),
        (["info", str(tmp_path / "file.txt")], "file.txt"),
        (["validate", str(tmp_path / "absent")], "absent"),
    ]
    for arguments, says in cases:
        assert main(arguments) == 1, arguments
        captured = capsys.readouterr()
        assert one_line(captured.err), captured.err
        assert says in captured.err
        assert captured.out == ""
    assert not Path(target).exists()


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--dims", "yx"], ["--dims"]),
        (["--dims", "abx"], ["--dims"]),
        (["--dims", "cyx", "--channels", "one"], ["--channels"]),
        (["--dims", "zyx", "--channels", "one,two,three"], ["--channels"]),
        (["--dims", "zyx", "--scale", "q=1"], ["--scale", "--units"]),
        (["--dims", "zyx", "--scale", "x=0"], ["--scale"]),
        (["--dims", "zyx", "--units", "q=um"], ["--scale", "--units"]),
        (["--dims", "zyx", "--units", "t=s"], ["--scale", "--units"]),
        (["--dims", "zyx", "--factors", "1"], ["--factors", "--levels"]),
        (["--dims", "zyx", "--method", "magic"], ["--method"]),
        (["--dims", "zyx", "--chunks", "8"], ["--chunks"]),
        (["--dims", "abx", "--factors", "0"], ["--dims", "--factors"]),
    ],
)
def test_c7_an_option_that_is_at_fault_is_named_and_the_code_is_2(
    options: list[str], names: list[str], tmp_path: Path, capsys: Any
) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 8, 8)))
    assert main(["convert", str(tmp_path / "a.npy"), str(tmp_path / "b.zarr"), *options]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert all(name in last for name in names), last
    assert not re.search(r"\b(dims|channels|scale|factors|levels|method|chunks)=", last), last
    assert not (tmp_path / "b.zarr").exists()


def test_c7_an_option_that_would_mend_what_the_file_lacks_is_named_and_the_code_is_1(
    store: Path, tmp_path: Path, capsys: Any
) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 8, 8)))
    for target, options, name in [
        (tmp_path / "b.zarr", [], "--dims"),
        (tmp_path / "b.zarr", ["--scale", "x=2"], "--dims"),
        (store, ["--dims", "zyx"], "--overwrite"),
    ]:
        assert main(["convert", str(tmp_path / "a.npy"), str(target), *options]) == 1
        assert name in capsys.readouterr().err


# A command, and what mends it as it is to be said: in words of the command line.
CURED = {
    "convert stack.npy new.zarr": r"order: --dims zyx$",
    "convert image.npy image.zarr": r"or --overwrite to replace it$",
    "convert image.npy new.zarr --chunks 3": r"^xomezarr: --chunks 3 has 1 numbers .*: --chunks y=32,x=48$",
    "convert image.npy new.zarr --max-memory 1KB": r"give --max-memory '9 MiB', or",
    "convert image.npy new.zarr --shards auto": r"^xomezarr: --shards auto need .* with --version 0.5",
    "convert stack.npy new.zarr --dims zyx --channels A": r"^xomezarr: the array has no channel dimension.*--dims cyx",
    "convert image.npy new.zarr --labels stack.npy": r"xomezarr convert stack.npy stack.ome.zarr --dims zyx",
    "convert image.npy new.zarr --labels none.tif": r"none.tif\"; check the path$",
    "scale image.zarr new.zarr zyx": r"order: --axes yx$",
    "view image.zarr --port -3": r"^xomezarr: --port -3 is none.*; see xomezarr view --help$",
    "thumbnail image.zarr /proc/a.png": r"give another path: '/proc/a.png'$",
    "convert image.npy new.zarr --scale q=2": r"leave 'q' out, or name the dimensions in their order \(on",
    "view stack.npy": r"of it: xomezarr convert stack.npy stack.ome.zarr$",
    "validate stack.npy": r"of it: xomezarr convert stack.npy stack.ome.zarr$",
    # there is no option for it, and Python's cure stays
    "convert image.npy new.zarr --labels floats.npy": r"astype\('int32'\)$",
}


@pytest.mark.parametrize("command", CURED)
def test_c7_what_mends_a_command_is_said_in_its_own_words(
    command: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("image.npy", np.zeros((32, 48)))
    np.save("floats.npy", np.zeros((32, 48)))
    np.save("stack.npy", np.zeros((3, 32, 48), "u1"))
    assert main(["convert", "image.npy", "image.zarr", "--quiet"]) == 0
    assert main(shlex.split(command)) in (1, 2)
    said = capsys.readouterr().err
    assert one_line(said)
    assert re.search(CURED[command], said.rstrip("\n")), said
    assert not Path("new.zarr").exists()


def test_c7_no_option_is_named_that_does_not_help(store: Path, capsys: Any) -> None:
    assert main(["convert", str(store), str(store), "--overwrite"]) == 1
    assert "--overwrite" not in capsys.readouterr().err
    assert main(["info", str(store / "absent")]) == 1
    assert "on the command line" not in capsys.readouterr().err


def test_c7_several_faults_stand_in_one_line(tmp_path: Path, capsys: Any) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 8, 8)))
    assert main(["convert", str(tmp_path / "a.npy"), str(tmp_path / "b.zarr"), "--dims", "abyx"]) == 2
    err = capsys.readouterr().err
    assert one_line(err)
    assert "'a'" in err
    assert "'b'" in err


def test_an_unexpected_error_is_one_line_and_shows_its_place_on_request(
    store: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("the disk\nis on fire")

    monkeypatch.setattr(cli, "description_of", broken)
    monkeypatch.delenv(cli.TRACEBACK, raising=False)
    assert main(["info", str(store)]) == 1
    err = capsys.readouterr().err
    assert one_line(err)
    assert "RuntimeError: the disk is on fire" in err
    monkeypatch.setenv(cli.TRACEBACK, "1")
    assert main(["info", str(store)]) == 1
    assert "in broken" in capsys.readouterr().err


def test_who_wants_to_be_told_little_is(image: Path, tmp_path: Path, capsys: Any) -> None:
    place = tmp_path / "quiet.ome.zarr"
    assert main(["convert", str(image), str(place), "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["info", str(place), "--quiet"]) == 0
    assert "DAPI" in capsys.readouterr().out  # which is what was asked for
    assert main(["scale", str(place), str(tmp_path / "b.ome.zarr"), "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "image"
    assert main(["convert", str(image), str(place), "-q"]) == 1
    assert one_line(capsys.readouterr().err)
    assert main(["upgrade", str(place), "--dry-run", "-q"]) == 0
    assert "nothing was written" in capsys.readouterr().out
    assert main(["upgrade", str(place), "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_who_wants_to_be_told_more_is(store: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("on fire")

    monkeypatch.setattr(cli, "description_of", broken)
    monkeypatch.delenv(cli.TRACEBACK, raising=False)
    assert main(["info", str(store), "-v"]) == 1
    assert "in broken" in capsys.readouterr().err
    assert main(["info", str(store)]) == 1
    assert "in broken" not in capsys.readouterr().err


def test_warnings_are_one_line_without_a_traceback(tmp_path: Path, capsys: Any) -> None:
    np.save(tmp_path / "a.npy", np.zeros((8, 8)))
    source, target = str(tmp_path / "a.npy"), str(tmp_path / "b.zarr")
    assert main(["convert", source, target, "--units", "furlong"]) == 0
    err = capsys.readouterr().err.splitlines()
    assert [line for line in err if "furlong" in line]
    assert all(line.startswith("xomezarr: warning: ") for line in err)


def test_without_cyclopts_one_line_names_the_extra(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "App", None)
    assert main(["--version"]) == 1
    err = capsys.readouterr().err
    assert one_line(err)
    assert 'pip install "xomezarr[cli]"' in err


def test_the_module_imports_without_cyclopts() -> None:
    code = "import sys; sys.modules['cyclopts'] = None; from xomezarr.cli import main; sys.exit(main(['info', 'x']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert 'pip install "xomezarr[cli]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_version_and_help(capsys: Any) -> None:
    assert main(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"xomezarr {version('xomezarr')}" == f"xomezarr {xomezarr.__version__}"
    assert f"zarr {zarr.__version__}" in lines
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for told in ("convert", "export", "--install-completion", "--quiet", "xomezarr info cells.ome.zarr"):
        assert told in out
    assert main(["convert", "--help"]) == 0
    out = capsys.readouterr().out
    for option in (
        "method",
        "levels",
        "factors",
        "version",
        "overwrite",
        "chunks",
        "name",
        "boundary",
        "scale",
        "units",
    ):
        assert f"--{option}" in out
    assert main(["scale", "--help"]) == 0
    out = capsys.readouterr().out
    for option in ("axes", "method", "downscale", "max-layer", "labeled", "copy-metadata", "in-place", "overwrite"):
        assert f"--{option}" in out


# --- as a process ------------------------------------------------------------


def test_a_process_exits_with_the_code_and_no_colours_in_a_pipe(store: Path, tmp_path: Path) -> None:
    assert run(["info", store]).returncode == 0
    assert run(["info", tmp_path / "absent"]).returncode == 1
    bad = run(["info"], env={**os.environ, "NO_COLOR": "1"})
    assert bad.returncode == 2
    assert "Traceback" not in bad.stderr
    helped = run(["--help"], env={**os.environ, "NO_COLOR": "1"})
    assert "\x1b" not in helped.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break otherwise there")
def test_a_broken_pipe_is_quiet(store: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "xomezarr", "info", str(store), "--json"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    os.close(writer)
    assert done.returncode == 0
    assert done.stderr == ""


def test_ctrl_c_is_one_line_and_130(store: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "description_of", interrupt)
    assert main(["info", str(store)]) == 130
    assert one_line(capsys.readouterr().err)


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ there")
def test_c8_ctrl_c_while_writing_leaves_no_store_that_looks_whole(tmp_path: Path) -> None:
    source, target = tmp_path / "big.npy", tmp_path / "big.ome.zarr"
    np.lib.format.open_memmap(source, mode="w+", dtype=np.uint16, shape=(1024, 1024, 1024)).flush()
    # a method that takes its time, on enough pixels that a stalled test process still comes before the end
    options = ["--dims", "zyx", "--method", "median"]
    command = [sys.executable, "-m", "xomezarr", "convert", str(source), str(target), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not [path for path in tmp_path.rglob("*") if path.name in (".zarray", "zarr.json")]:
            assert time.monotonic() < deadline
            assert process.poll() is None, "it was done before it could be interrupted"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    begun, told = err.splitlines(keepends=True)
    assert "begun" in begun
    assert one_line(told), err
    assert out == ""
    assert not target.exists() or main(["info", str(target)]) == 1


def test_ctrl_c_while_a_text_is_run_as_code_is_130_too(tmp_path: Path) -> None:
    """As dataclasses are made when modules are loaded: ``python -m`` then ends by the signal, whoever has caught it."""
    (tmp_path / "early.py").write_text(
        "import sys\nfrom xomezarr import cli\n"
        "cli.description_of = lambda *_, **__: exec('raise KeyboardInterrupt')\n"
        "sys.exit(cli.main(['info', 'a.zarr']))\n"
    )
    paths = [str(tmp_path), str(Path(cli.__file__).parents[1])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run([sys.executable, "-m", "early"], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 130
    assert one_line(done.stderr)


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ there")
@pytest.mark.parametrize("program", ["script", "module"])
def test_ctrl_c_while_modules_are_imported_is_one_line_and_130(tmp_path: Path, program: str) -> None:
    """xarray takes its time here, and says when it has begun."""
    begun = tmp_path / "begun"
    (tmp_path / "xarray.py").write_text(f"import time\nopen({str(begun)!r}, 'w').close()\ntime.sleep(60)\n")
    script = tmp_path / "xomezarr"  # as installers write it
    script.write_text("import sys\nfrom xomezarr.cli import main\nsys.exit(main())\n")
    paths = [str(tmp_path), str(Path(cli.__file__).parents[1])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    words = [str(script)] if program == "script" else ["-m", "xomezarr"]
    command = [sys.executable, *words, "info", "a.zarr"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        deadline = time.monotonic() + 60
        while not begun.exists():
            assert time.monotonic() < deadline
            assert process.poll() is None, process.stderr
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err == "xomezarr: interrupted; nothing was begun\n"


def test_importing_the_library_leaves_ctrl_c_to_whoever_imports_it() -> None:
    code = "import signal\nbefore = signal.getsignal(signal.SIGINT)\nimport xomezarr.cli\n"
    code += "assert signal.getsignal(signal.SIGINT) is before"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


INTERRUPTED_AT = {
    "nothing is kept, and the same command starts anew": ["convert", "{image}", "{tmp}/new.ome.zarr"],
    "is as it was, or as it was to be": ["convert", "{image}", "{store}", "--overwrite"],
    "{store} may be incomplete: xomezarr info {store} tells": ["upgrade", "{store}"],
    "memory://new.ome.zarr may be incomplete": ["convert", "{image}", "memory://new.ome.zarr"],
    "interrupted\n": ["validate", "{store}"],
    "{image} is as it was\n": ["export", "{store}", "{image}", "--overwrite"],
    "starts anew\n": ["thumbnail", "{store}", "{tmp}/new.png"],
}
"""What Ctrl-C is told to leave before anything is kept, by where it comes."""


@pytest.mark.parametrize("told", INTERRUPTED_AT)
def test_ctrl_c_before_anything_is_kept_says_what_is_there(
    told: str, image: Path, store: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    for name in ("convert_image", "upgrade_store", "validate_store", "export_image", "save_png", "kind_of"):
        monkeypatch.setattr(cli, name, interrupt)
    places = {"image": image, "store": store, "tmp": tmp_path}
    assert main([word.format(**places) for word in INTERRUPTED_AT[told]]) == 130
    said = capsys.readouterr().err
    assert one_line(said)
    assert told.format(**places) in said
    assert "resume" not in said


# --- progress ----------------------------------------------------------------


def test_progress_in_a_log_is_plain_lines_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with rich_progress(400, "writing a.zarr", file=log) as on_tile:
        threads = [threading.Thread(target=on_tile, args=(100,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = log.getvalue().splitlines()
    assert len(lines) == 4
    assert re.fullmatch(r"writing a.zarr: 100 %, 400 B of 400 B, [\d.]+ [KMGT]?i?B/s, 0 s left", lines[-1])
    assert "\x1b" not in log.getvalue()
    assert "\r" not in log.getvalue()


def test_short_work_says_nothing_in_a_log() -> None:
    log = io.StringIO()
    with rich_progress(100, "writing", file=log) as on_tile:
        on_tile(100)
    assert log.getvalue() == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_a_bar_and_a_dumb_one_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    with rich_progress(100, "writing a.zarr", file=terminal) as on_tile:
        on_tile(50)
    assert "writing a.zarr" in terminal.getvalue()
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    dumb = Terminal()
    with rich_progress(100, "writing", file=dumb) as on_tile:
        on_tile(50)
    assert dumb.getvalue().startswith("writing: 50 %, 50 B of 100 B, ")


def test_without_rich_there_is_no_progress_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "find_spec", lambda name: None)
    terminal = Terminal()
    with rich_progress(100, "writing", file=terminal) as on_tile:
        on_tile(50)
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("command", ["convert", "scale"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_c7_an_array_that_zarr_refuses_is_named_with_the_reason(
    tmp_path: Path, capsys: Any, command: str, zarr_format: Any
) -> None:
    zarr.create_array(tmp_path / "raw.zarr", data=np.zeros((8, 8), "u2"), zarr_format=zarr_format)
    document = tmp_path / "raw.zarr" / ("zarr.json" if zarr_format == 3 else ".zarray")
    document.write_text(document.read_text().replace('"shape"', '"shapes"'))
    assert main([command, str(tmp_path / "raw.zarr"), str(tmp_path / "out.zarr")]) == 1
    said = capsys.readouterr().err
    assert one_line(said)
    assert "raw.zarr' cannot be read" in said
    assert "shape" in said.partition("cannot be read")[2]
    assert not (tmp_path / "out.zarr").exists()


# --- labels, plates, collections ---------------------------------------------


def small_image() -> xr.DataArray:
    pixels = np.arange(2 * 40 * 60, dtype="uint16").reshape(2, 40, 60)
    da = xr.DataArray(pixels, dims=("c", "y", "x"), name="cells", coords={"c": ["DAPI", "GFP"]})
    made: xr.DataArray = da.omezarr.assign_grid(scale={"y": 0.5, "x": 0.5}, units="um")
    return made


def test_convert_takes_labels_along(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    labels = (np.arange(40 * 60).reshape(40, 60) // 100).astype("int32")
    tifffile.imwrite("cells.ome.tif", small_image().values, metadata={"axes": "CYX", "PhysicalSizeX": 0.5})
    tifffile.imwrite("nuclei.tif", labels)
    np.save("mask.npy", labels > 3)
    asked = ["cells.ome.tif", "a.ome.zarr", "--levels", "2", "--labels", "nuclei.tif", "--labels", "fore=mask.npy"]
    assert main(["convert", *asked, "--dry-run"]) == 0
    assert "labels 'fore', method mode: 2 levels" in capsys.readouterr().out
    assert not Path("a.ome.zarr").exists()
    assert main(["convert", *asked]) == 0
    tree = xr.open_datatree("a.ome.zarr", engine="omezarr")
    np.testing.assert_array_equal(tree["labels/nuclei"].omezarr.level(0), labels)
    np.testing.assert_array_equal(tree["labels/fore"].omezarr.level(0), labels > 3)
    # and from there, with colours
    (tree["labels/nuclei"].omezarr.level(0)).omezarr.to_labels("a.ome.zarr", "nuclei", colors={1: "red"}, mode="w")
    capsys.readouterr()
    assert main(["convert", "a.ome.zarr", "b.ome.zarr", "--dry-run"]) == 0
    assert "labels 'nuclei', method mode" in capsys.readouterr().out
    assert main(["convert", "a.ome.zarr", "b.ome.zarr", "--version", "0.5", "--factors", "3"]) == 0
    copy = xr.open_datatree("b.ome.zarr", engine="omezarr")
    assert copy["labels/nuclei"].omezarr.colors == {1: "#ff0000ff"}
    np.testing.assert_array_equal(copy["labels/fore"].omezarr.level(0), labels > 3)
    assert main(["convert", "cells.ome.tif", "c.ome.zarr", "--labels", "x=a.ome.zarr/labels/nuclei"]) == 1
    assert main(["convert", "cells.ome.tif", "c.ome.zarr", "--labels", "again=a.ome.zarr/labels/nuclei"]) == 0
    assert xr.open_datatree("c.ome.zarr", engine="omezarr")["labels/again"].omezarr.colors == {1: "#ff0000ff"}


def test_a_file_of_labels_may_have_any_name(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    image, labels = (xr.DataArray(np.full((8, 8), value, "u1"), dims=("y", "x")) for value in (9, 3))
    np.save("a=b.npy", labels.values)
    image.omezarr.to_zarr("a.zarr")
    assert main(["convert", "a.zarr", "b.zarr", "--labels", "a=b.npy"]) == 0
    assert list(xr.open_datatree("b.zarr", engine="omezarr").omezarr.labels) == ["a=b"]
    assert main(["convert", "a.zarr", "c.zarr", "--labels", "c=a=b.npy"]) == 0
    assert list(xr.open_datatree("c.zarr", engine="omezarr").omezarr.labels) == ["c"]
    capsys.readouterr()
    assert main(["convert", "--help"]) == 0
    assert "--labels FILE " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 8, 7), "the labels 'nuclei' have 7 pixels along 'x', and the image has 8; put them among its pixels"),
        ((8, 7), "the labels 'nuclei' have 7 pixels along 'x', and the image has 8"),
        ((2, 3, 8, 8), "does not name its dimensions, and they are other in number than those of the image (c, y, x)"),
    ],
)
def test_c7_labels_of_another_size_are_told_of_it(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], message: str
) -> None:
    """No option is named that is not for them: ``--dims`` are those of the image."""
    monkeypatch.chdir(tmp_path)
    np.save("cells.npy", np.zeros((3, 8, 8), "u2"))
    np.save("nuclei.npy", np.zeros(shape, "u1"))
    assert main(["convert", "cells.npy", "out.zarr", "--dims", "cyx", "--labels", "nuclei.npy"]) == 1
    told = capsys.readouterr().err
    assert message in told
    assert "(on the command line" not in told
    assert not Path("out.zarr").exists()


def test_c7_labels_that_are_broken_say_so(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    labels = xr.DataArray(np.full((8, 8), 3, "u1"), dims=("y", "x"))
    labels.omezarr.to_zarr("a.zarr", labels={"nuclei": labels})
    np.save("cells.npy", labels.values)
    Path("a.zarr/labels/nuclei/.zattrs").write_text("{")
    assert main(["convert", "cells.npy", "b.zarr", "--labels", "a.zarr/labels/nuclei"]) == 1
    message = capsys.readouterr().err
    assert re.search(r"^xomezarr: the metadata of '.*a.zarr/labels/nuclei' are not JSON .*; mend .zattrs", message)
    assert not Path("b.zarr").exists()
    assert main(["convert", "a.zarr", "b.zarr"]) == 0
    assert re.search(r"warning: the labels '.*a.zarr/labels/nuclei' cannot be opened, .* left", capsys.readouterr().err)


@pytest.mark.parametrize("labels", [["nuclei="], ["=a.tif"], ["a.tif", "a=b.tif"]])
def test_labels_that_cannot_be_read_are_a_fault_of_the_call(labels: list[str], tmp_path: Path, capsys: Any) -> None:
    options = [word for text in labels for word in ("--labels", text)]
    assert main(["convert", "a.tif", str(tmp_path / "a.ome.zarr"), *options]) == 2
    assert "--labels nuclei=nuclei.tif" in capsys.readouterr().err


def test_info_of_labels_plates_and_collections(tmp_path: Path, capsys: Any) -> None:
    da = small_image()
    labels = xomezarr.Labels(da.isel(c=0, drop=True) // 100, {1: "red"}, {"label": [1, 2], "area": [3, 4]})
    da.omezarr.to_zarr(tmp_path / "image.ome.zarr", labels={"nuclei": labels})
    images = {("A", 1): [da, da], ("B", 3): [da.assign_coords(acquisition=7)]}
    images = {well: [one.assign_coords(acquisition=7) for one in fields] for well, fields in images.items()}
    xomezarr.write_plate(images, tmp_path / "plate.ome.zarr", name="mine", columns=range(1, 4))
    xomezarr.write_collection({"left": da, "right": da.assign_coords(x=da.x + 30)}, tmp_path / "both.ome.zarr")

    def told(name: str) -> tuple[str, dict[str, Any]]:
        assert main(["info", str(tmp_path / name)]) == 0
        text = capsys.readouterr().out
        assert main(["info", str(tmp_path / name), "--json"]) == 0
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return text, document

    text, document = told("image.ome.zarr")
    assert re.search(r"nuclei +40 × 60 +1 +uint16 +mode +1 +area of 2 labels", text)
    assert document["labels"]["nuclei"]["colors"] == {"1": "#ff0000ff"}
    text, document = told("image.ome.zarr/labels/nuclei")
    assert "area of 2 labels" in text
    assert document["kind"] == "labels"
    text, document = told("plate.ome.zarr")
    assert "plate mine, OME-Zarr 0.4, 2 rows (A, B) × 3 columns (1, 2, 3), 2 wells, 3 images" in text
    assert re.search(r"^A +2 +\. +\.$", text, re.MULTILINE)
    assert re.search(r"^B +\. +\. +1$", text, re.MULTILINE)
    assert document["wells"] == {"A/1": ["0", "1"], "B/3": ["0"]}
    assert document["acquisitions"] == [{"id": 7, "name": "7"}]
    assert document["first_image"]["levels"][0]["shape"] == [2, 40, 60]
    text, document = told("both.ome.zarr")
    assert re.search(r"^right .*0, 0, 30", text, re.MULTILINE)
    assert list(document["images"]) == ["left", "right"]


def test_c7_what_mends_shards_in_zarr_v2_is_true_of_labels_too(tmp_path: Path) -> None:
    """Labels have the version of their image, and no option of their own for it."""
    small_image().omezarr.to_zarr(tmp_path / "a.zarr")
    labels: Any = xr.DataArray(np.ones((40, 60), "uint8"), dims=("y", "x"))
    for call in (
        lambda: small_image().omezarr.to_zarr(tmp_path / "b.zarr", shards="auto"),
        lambda: labels.omezarr.to_labels(tmp_path / "a.zarr", "nuclei", shards="auto"),
    ):
        with pytest.raises(
            ChunkError, match=r"leave shards out, or write images with version=\"0.5\": labels have the"
        ):
            call()


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_info_of_a_plate_and_of_all_that_it_holds(tmp_path: Path, capsys: Any, version: str) -> None:
    da = xr.DataArray(np.arange(64, dtype="uint16").reshape(8, 8), dims=("y", "x"))
    ds = xr.Dataset({"image": da, "nuclei": (da > 9).astype("uint8")})
    store = tmp_path / "plate.zarr"
    xomezarr.write_plate({("A", 1): [ds, da]}, store, version=version)

    def told(path: str) -> tuple[str, Any]:
        assert main(["info", str(store / path)]) == 0
        text = capsys.readouterr().out
        assert main(["info", str(store / path), "--json"]) == 0
        return text, json.loads(capsys.readouterr().out)

    for path, kind in (("", "plate"), ("A/1", "well")):
        text, found = told(path)
        assert (found["kind"], found["version"]) == (kind, version)
        assert list(found["first_image"]["labels"]) == ["nuclei"]
        assert "nuclei  8 × 8" in text
    assert [field["path"] for field in found["fields"]] == ["0", "1"]
    text, found = told("A/1/0/labels")
    assert "1 label image" in text
    assert found["labels"]["nuclei"]["levels"][0]["shape"] == [8, 8]


def test_c7_a_group_that_is_no_image_names_one_that_is_below_it(tmp_path: Path) -> None:
    da = xr.DataArray(np.zeros((8, 8), "uint16"), dims=("y", "x"))
    xomezarr.write_plate({("B", 2): {"7": xr.Dataset({"image": da, "nuclei": da})}}, tmp_path / "plate.zarr")
    for path, below in (("B/2", "7"), ("B/2/7/labels", "nuclei")):
        with pytest.raises(
            xomezarr.errors.NotOmeZarrError, match=f"open the group of an image, such as that at '{below}' below it$"
        ):
            xr.open_datatree(tmp_path / "plate.zarr" / path, engine="omezarr")
        assert xr.open_dataarray(tmp_path / "plate.zarr" / path / below, engine="omezarr").shape == (8, 8)


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
@pytest.mark.parametrize("group", ["A/1", "A/1/0/labels"])
def test_info_of_a_group_of_which_nothing_opens_is_an_error(
    tmp_path: Path, capsys: Any, version: str, group: str
) -> None:
    da = xr.DataArray(np.arange(64, dtype="uint16").reshape(8, 8), dims=("y", "x"))
    ds = xr.Dataset({"image": da, "nuclei": (da > 9).astype("uint8"), "cells": (da > 3).astype("uint8")})
    store = tmp_path / "plate.zarr"
    xomezarr.write_plate({("A", 1): [ds, ds]}, store, version=version)
    names = ("0", "1") if group == "A/1" else ("nuclei", "cells")
    shutil.rmtree(store / group / names[0])
    assert main(["info", str(store / group)]) == 0
    assert f"'{names[0]}' of" in capsys.readouterr().err
    shutil.rmtree(store / group / names[1])
    assert main(["info", str(store / group)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert all(f"'{name}' of" in told.err for name in names)
    assert "xomezarr.validate(" in told.err or "xomezarr validate" in told.err
    assert "Traceback" not in told.err


def test_info_describes_files_and_plain_zarr_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the image that `convert` makes of them."""
    monkeypatch.chdir(tmp_path)
    sizes = {"axes": "ZYX", "spacing": 2, "unit": "um"}
    tifffile.imwrite("a.tif", np.zeros((3, 20, 30), "u2"), imagej=True, metadata=sizes, resolution=(4, 4))
    np.save("b.npy", np.zeros((3, 4, 5)))
    zarr.create_array("c.zarr", data=np.zeros((4, 5), "u1"))
    xr.Dataset({"v": (("y", "x"), np.zeros((3, 4)))}).to_zarr("d.zarr", zarr_format=2)
    for call in (["a.tif"], ["b.npy", "--dims", "tyx"], ["c.zarr"], ["d.zarr"]):
        assert main(["info", *call, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert main(["convert", *call, f"{call[0]}.ome.zarr"]) == 0
        capsys.readouterr()
        assert main(["info", f"{call[0]}.ome.zarr", "--json"]) == 0
        made = json.loads(capsys.readouterr().out)
        assert (told["kind"], told["store"], told["version"]) == ("file", call[0], None)
        assert told["axes"] == made["axes"]
        for key in ("shape", "dtype", "scale", "translation"):
            assert told["levels"][0][key] == made["levels"][0][key]
    assert main(["info", "a.tif"]) == 0
    assert "a.tif: a, not in OME-Zarr, 1 level" in capsys.readouterr().out
    (tmp_path / "e.txt").write_text("no image")
    (tmp_path / "f").mkdir()
    for call, wrong in (
        (["b.npy"], "--dims"),
        (["e.txt"], "begins as no file that can be read"),
        (["f"], "is not a Zarr group"),
        (["a.tif", "--series", "3"], "--series 3 is none of them; give --series 0"),
    ):
        assert main(["info", *call]) in (1, 2)
        assert wrong in capsys.readouterr().err


def test_a_command_that_there_is_not_is_told_with_the_one_that_is_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inof", "a.zarr"]) == 2
    assert capsys.readouterr().err == 'xomezarr: Unknown command "inof". Did you mean "info"?; see xomezarr --help\n'


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_process_without_its_streams_does_its_work(tmp_path: Path, closed: str) -> None:
    np.save(tmp_path / "a.npy", np.zeros((9, 9), "u1"))
    python = f"{sys.executable} -m xomezarr"
    command = f"{python} convert a.npy a.ome.zarr {closed} && {python} info a.ome.zarr {closed}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert xr.open_dataarray(tmp_path / "a.ome.zarr", engine="omezarr").shape == (9, 9)


def test_a_port_that_is_none_is_told(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["view", str(store), "--port", "80000"]) == 2
    assert "--port 80000 is none; give one from 0" in capsys.readouterr().err


CALLS = [call for command, calls in cli.EXAMPLES.items() if command for call in calls]


WITHOUT_UTF8 = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.skipif(sys.platform == "win32", reason="names of files are text there")
@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, WITHOUT_UTF8])
def test_what_a_terminal_has_no_character_for_is_spelled_otherwise(
    image: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    place = tmp_path / "zwölf µ" / "cells.ome.zarr"
    place.parent.mkdir()
    assert main(["convert", str(image), str(place), "--name", "zwölf µ", "--quiet"]) == 0
    command = [sys.executable, "-m", "xomezarr", "info", str(place)]
    whole = os.environ | environment
    text = subprocess.run(command, capture_output=True, check=True, env=whole, timeout=60).stdout
    assert b"2 x 3 x 64 x 96" in text
    assert b"z (um), y (um), x (um)" in text
    told = json.loads(subprocess.run([*command, "--json"], capture_output=True, check=True, env=whole).stdout)
    assert told["name"] == "zwölf µ"
    assert [axis["unit"] for axis in told["axes"]] == [None, *["micrometer"] * 3]


def test_an_image_without_units_says_so_and_how_to_give_them(tmp_path: Path, capsys: Any) -> None:
    np.save(tmp_path / "plain.npy", np.zeros((8, 12), "u2"))
    source, target = str(tmp_path / "plain.npy"), str(tmp_path / "plain.ome.zarr")
    assert main(["convert", source, target, "--json"]) == 0
    said = capsys.readouterr()
    json.loads(said.out)
    assert one_line(said.err)
    assert said.err.endswith(
        "no unit along y, x: sizes are in pixels of level 0; to say how large pixels are: "
        "--scale y=0.65,x=0.65 --units um\n"
    )
    tree = xr.open_datatree(target, engine="omezarr")
    for told in (tree.omezarr._repr_html_(), repr(tree.omezarr), repr(tree.omezarr.level(0).omezarr)):
        assert "x (no unit)" in told
        assert "no unit along y, x: sizes are in pixels of level 0" in told
    assert main(["info", target]) == 0
    assert "no unit along y, x: sizes are in pixels of level 0" in capsys.readouterr().out
    assert main(["convert", source, target, "--overwrite", "--quiet"]) == 0
    assert main(["convert", source, target, "--overwrite", "--scale", "y=0.65,x=0.65", "--units", "um"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "no unit" not in said.out
    assert "axes: y (µm), x (µm)" in said.out


def test_the_demo_says_what_to_try_next_and_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "my first cell.ome.zarr"]) == 0
    *_, info, view, python = capsys.readouterr().out.splitlines()
    assert main(shlex.split(info, comments=True)[1:]) == 0
    assert shlex.split(view, comments=True) == ["xomezarr", "view", "my first cell.ome.zarr"]
    words = shlex.split(python)
    assert words[:2] == ["python", "-ic"]
    done = subprocess.run([sys.executable, "-c", words[2]], capture_output=True, text=True, check=True, timeout=120)
    assert "quantitative phase" in done.stdout
    capsys.readouterr()
    assert main(["demo", "my first cell.ome.zarr", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_every_command_teaches_by_example(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for command, calls in cli.EXAMPLES.items():
        assert main([command, "--help"] if command else ["--help"]) == 0
        said = capsys.readouterr().out
        assert [call for call in calls if call not in said] == []


@pytest.mark.parametrize("call", CALLS)
def test_the_examples_of_help_run(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    da: Any = xr.DataArray(
        np.arange(2 * 6 * 80 * 80).reshape(2, 6, 80, 80).astype("u2") % 99, dims=("c", "z", "y", "x")
    )
    da = da.omezarr.assign_grid(scale={"z": 2, "y": 0.5, "x": 0.5}, units="um").omezarr.assign_channels(["DAPI", "GFP"])
    plane = da.isel(c=0, drop=True)
    words = shlex.split(call)
    if words[1] in ("convert", "info"):
        xomezarr.export(da, "cells.ome.tif")
    tifffile.imwrite("nuclei.tif", (plane.values > 50).astype("u1"), metadata={"axes": "ZYX"})
    np.save("stack.npy", plane.values)
    for name in ("raw", "labels"):
        zarr.create_array(f"{name}.zarr", data=plane.values)
    Path("images").mkdir()
    for well in ("A1", "B2"):
        for channel in ("DAPI", "GFP"):
            tifffile.imwrite(f"images/{well}_s0_{channel}.tif", plane.values[0])
    if words[1] not in ("convert", "demo"):
        da.omezarr.to_zarr("cells.ome.zarr", levels=2)
    if words[1] == "thumbnail":
        xomezarr.write_plate({("A", 1): [da]}, "screen.ome.zarr")
    if words[1] == "view":
        monkeypatch.setattr(cli.view_image.__globals__["View"], "wait", lambda view: view.close())
        monkeypatch.setattr("webbrowser.open", lambda url: True)
    before = {path.name for path in Path().iterdir()}
    assert main(words[1:]) == 0, capsys.readouterr().err
    made = {path.name for path in Path().iterdir()} - before
    named = {word for word in words[2:] if re.search(r"\.(zarr|tif|png)$", word)}
    assert made <= named | {"cells.png", "cell.png", "cell.ome.zarr", "other.png"}
