"""What those meet who try it for the first time: mistakes are told with what was meant, work with what comes next."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import xarray as xr

import xomezarr
from xomezarr import errors, progress, suffixes
from xomezarr.cli import main
from xomezarr.readers import table


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user stands, with a TIFF."""
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("mine.tif", np.arange(64 * 48, dtype="u2").reshape(64, 48), resolution=(2, 2))
    return tmp_path


def image(units: str = "um") -> xr.DataArray:
    da: Any = xr.DataArray(np.zeros((2, 3, 16, 24), "u2"), dims=("z", "c", "y", "x"))
    made: xr.DataArray = da.omezarr.assign_grid(scale={"z": 2.0, "y": 0.5, "x": 0.5}, units=units)
    return made


# --- files in the place of stores ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "opening",
    [
        lambda path: xr.open_datatree(path, engine="omezarr"),
        lambda path: xr.open_dataset(path, engine="omezarr"),
        xomezarr.validate,
        xomezarr.open_plate,
        xomezarr.upgrade,
        xomezarr.view,
    ],
)
def test_a_file_in_the_place_of_a_store_is_told_what_it_is_and_how_it_is_converted(
    folder: Path, opening: Callable[[str], Any]
) -> None:
    with pytest.raises(errors.NotOmeZarrError) as caught:
        opening("mine.tif")
    told, _, call = str(caught.value).rpartition(": ")
    assert told == "'mine.tif' is a TIFF, not OME-Zarr; make an image of it"
    eval(call)
    assert xr.open_datatree("mine.ome.zarr", engine="omezarr").omezarr.level(0).shape == (64, 48)


@pytest.mark.parametrize("command", ["view", "validate", "upgrade", "scale"])
def test_a_command_that_takes_stores_says_how_a_file_is_converted(folder: Path, capsys: Any, command: str) -> None:
    words = [command, "mine.tif", *(["other.ome.zarr"] if command == "scale" else [])]
    assert main(words) == 1
    told, _, call = capsys.readouterr().err.strip().rpartition(": xomezarr ")
    assert "'mine.tif' is a TIFF, not OME-Zarr" in told
    assert main(call.split()) == 0
    assert main(["validate", "mine.ome.zarr"]) == 0


def test_pictures_and_exports_take_files_and_are_called_after_them(folder: Path) -> None:
    assert main(["thumbnail", "mine.tif"]) == main(["export", "mine.tif", "other.ome.tif"]) == 0
    assert {"mine.png", "other.ome.tif"} <= {file.name for file in folder.iterdir()}


def test_no_writer_makes_a_folder_that_is_called_as_a_file_is(folder: Path) -> None:
    da: Any = image()
    tree = da.omezarr.pyramid()
    for write in (
        lambda: da.omezarr.to_zarr("ex.tif"),
        lambda: da.omezarr.plan("ex.tif"),
        lambda: tree.omezarr.to_zarr("ex.tif"),
        lambda: xomezarr.write_plate({("A", 1): [da]}, "ex.tif"),
        lambda: xomezarr.write_collection({"a": da}, "ex.tif"),
        lambda: xomezarr.convert("mine.tif", "ex.tif"),
    ):
        with pytest.raises(errors.OmeZarrError, match=r"'ex\.tif' is the name of a file, a TIFF.* 'ex\.ome\.zarr'"):
            write()
    assert [file.name for file in folder.iterdir()] == ["mine.tif"]


def test_on_the_command_line_a_file_is_written_by_a_command(folder: Path, capsys: Any) -> None:
    np.save("a.npy", np.zeros((8, 8), "u1"))
    assert main(["convert", "a.npy", "out.tif"]) == 1
    assert capsys.readouterr().err.endswith("write the file: xomezarr export SRC out.tif\n")
    assert not Path("out.tif").exists()


def test_a_folder_that_is_called_as_a_file_already_may_be_replaced(folder: Path) -> None:
    xomezarr.to_zarr(image(), "ex.ome.zarr").close()
    (folder / "ex.ome.zarr").rename("ex.tif")
    with xomezarr.to_zarr(image() + 1, "ex.tif", mode="w") as tree:
        assert (tree.omezarr.level(0) == 1).all()


def test_names_of_files_are_those_that_the_readers_read() -> None:
    readers = (*table.READERS, table.BY_BIOIO)
    assert {suffix for reader in readers for suffix in reader.suffixes} == {*suffixes.FILE_SUFFIXES}
    assert {suffix for reader in readers if reader.gzip for suffix in reader.suffixes} == {*suffixes.MAY_BE_PACKED}


def test_a_place_where_nothing_is_says_where_it_was_looked_for_and_what_is_called_alike(folder: Path) -> None:
    xomezarr.to_zarr(image(), "embryo.ome.zarr").close()
    with pytest.raises(errors.StoreNotFoundError) as caught:
        xr.open_datatree("embrio.ome.zarr", engine="omezarr")
    assert str(folder) in str(caught.value)
    assert str(caught.value).endswith(f"did you mean {str(folder / 'embryo.ome.zarr')!r}?")
    with pytest.raises(errors.StoreNotFoundError, match=r"has no 'nowhere'; check the path$"):
        xr.open_datatree("nowhere/brain.ome.zarr", engine="omezarr")


# --- plates ----------------------------------------------------------------------------------------------------------


def test_rows_and_columns_that_changed_places_are_told_and_names_of_ones_own_stay_possible(folder: Path) -> None:
    da = image()
    with pytest.warns(errors.PlateWarning, match=r"give wells by row and column, \('A', 1\), not \(1, 'A'\)"):
        xomezarr.write_plate({(1, "A"): [da], (2, "B"): [da]}, "swapped.ome.zarr")
    xomezarr.write_plate({(1, "A"): [da]}, "meant.ome.zarr", rows=[1], columns=["A"])
    xomezarr.write_plate({(1, 1): [da]}, "numbers.ome.zarr")
    xomezarr.write_plate({("A", "B"): [da]}, "letters.ome.zarr")


def test_a_plate_of_files_without_units_says_so(folder: Path, capsys: Any) -> None:
    (folder / "films").mkdir()
    tifffile.imwrite("films/A1_s0.tif", np.zeros((32, 32), "u2"))
    words = ["plate", "films", "plate.ome.zarr", "--pattern", "{row}{column}_s{field}.tif"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "no unit along y, x: sizes are in pixels of level 0; to say how large pixels are: --scale" in said.err
    assert said.out.endswith("see it: xomezarr thumbnail plate.ome.zarr\n")
    assert main(["thumbnail", "plate.ome.zarr"]) == 0
    assert main([*words, "--overwrite", "--scale", "y=0.5,x=0.5", "--units", "um", "--json"]) == 0
    said = capsys.readouterr()
    assert "no unit" not in said.err
    assert json.loads(said.out[said.out.index("{") :])["images"] == 1


# --- units -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "told"), [("micrn", "not known; did you mean 'micrometer'"), ("kg", "no length"), ("s", "no length")]
)
def test_a_unit_that_is_likely_meant_otherwise_is_told_once_for_all_dimensions(
    folder: Path, unit: str, told: str
) -> None:
    del folder
    with pytest.warns(errors.UnitWarning, match=f"is {told}") as caught:
        image(unit)
    assert len(caught) == 1
    assert "{'z': 'micrometer', 'y': 'micrometer', 'x': 'micrometer'}" in str(caught[0].message)


def test_writing_tells_of_a_unit_once_for_all_dimensions(folder: Path) -> None:
    del folder
    da = image().omezarr.assign_grid(units={"z": "furlong", "y": "pixel", "x": "pixel"})
    with pytest.warns(errors.UnitWarning) as caught:
        da.omezarr.to_zarr("units.ome.zarr")
    said = {str(warning.message).partition(",")[0] for warning in caught}
    assert len(said) == len(caught) == 2


@pytest.mark.parametrize("unit", ["microns", "\u03bcm", "\u00b5m", "micrometre", "um"])
def test_spellings_of_a_unit_are_written_by_its_name(folder: Path, unit: str) -> None:
    xomezarr.to_zarr(image(unit), "units.ome.zarr").close()
    attrs = json.loads((folder / "units.ome.zarr/.zattrs").read_text())
    assert {axis.get("unit") for axis in attrs["multiscales"][0]["axes"]} == {None, "micrometer"}


# --- what is said ----------------------------------------------------------------------------------------------------


def test_another_order_than_the_arrays_is_told(folder: Path, capsys: Any) -> None:
    del folder
    xomezarr.to_zarr(image(), "one.ome.zarr").close()
    xomezarr.to_zarr(image().transpose("c", "z", "y", "x"), "other.ome.zarr").close()
    assert main(["info", "one.ome.zarr"]) == 0
    assert "this is the file's order, the array has z, c, y, x" in capsys.readouterr().out
    tree = xr.open_datatree("one.ome.zarr", engine="omezarr")
    assert "the array has z, c, y, x" in tree.omezarr._repr_html_()
    assert main(["info", "other.ome.zarr"]) == 0
    assert "order" not in capsys.readouterr().out


def test_what_is_converted_says_how_it_is_seen_unless_a_program_reads_that(folder: Path, capsys: Any) -> None:
    del folder
    assert main(["convert", "mine.tif", "my cells.ome.zarr"]) == 0
    assert capsys.readouterr().out.endswith("see it: xomezarr view 'my cells.ome.zarr'\n")
    assert main(["scale", "my cells.ome.zarr", "new.ome.zarr"]) == 0
    assert capsys.readouterr().out.endswith("see it: xomezarr view new.ome.zarr\n")
    assert main(["convert", "mine.tif", "a.ome.zarr", "--json"]) == main(["convert", "mine.tif", "b.ome.zarr", "-q"])
    assert "see it" not in capsys.readouterr().out


def test_a_log_says_at_once_that_much_work_is_begun() -> None:
    log = io.StringIO()
    with progress.rich_progress(3 * 2**30, "writing", file=log):
        assert log.getvalue() == "writing: begun, 3.0 GiB\n"
    little = io.StringIO()
    with progress.rich_progress(2**20, "writing", file=little):
        pass
    assert little.getvalue() == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("shwo mine.tif", "did you mean xomezarr view?"),
        ("converrt a b", 'Did you mean "convert"?'),
        ("convert mine.tif", "give it, as in xomezarr convert cells.ome.tif cells.ome.zarr;"),
        ("export mine.tif x.jpg", "a JPEG, which is not written, and a PNG is the nearest; give x.png;"),
        ("convert mine.tif a.zarr --units um,um", "--units 'um,um' names several; give one, or by dimension"),
        ("convert mine.tif a.zarr --levels -1", "--levels -1 is not an integer of at least 1"),
        ("thumbnail mine.tif a.png --size 0", "max_size=0 is no number of pixels"),
        ("thumbnail two.ome.zarr a.png", "holds 2 images; give the path of one of them: 'STORE/v 0'"),
        ("info two.ome.zarr --series 1", "holds one image, and --series 1 is none of it"),
        ("info two.ome.zarr --dims zyx", "names its dimensions itself; leave --dims zyx out"),
        ("info loop.ome.zarr", "is a link to 'loop.ome.zarr', where nothing is"),
    ],
)
def test_a_call_at_fault_says_what_was_meant(folder: Path, capsys: Any, words: str, told: str) -> None:
    xomezarr.write_collection({"v 0": image(), "v 1": image()}, folder / "two.ome.zarr")
    (folder / "loop.ome.zarr").symlink_to("loop.ome.zarr")
    before = sorted(folder.iterdir())
    assert main(words.split()) in (1, 2)
    assert sorted(folder.iterdir()) == before
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("call", "kind", "told"),
    [
        (lambda da, tree: tree.omezarr.sel(X=0), errors.AxisError, r"did you mean sel\(x=…\)\?$"),
        (lambda da, tree: tree.omezarr.isel(X=0), errors.AxisError, r"did you mean isel\(x=…\)\?$"),
        (lambda da, tree: tree.omezarr.level("0"), errors.LevelError, r"'0' is no number of a level.* level\(0\)$"),
        (lambda da, tree: tree.omezarr.level(9), errors.LevelError, r"no level 9; the image has 1: level\(0\)$"),
        (lambda da, tree: da.omezarr.to_zarr("a.zarr", mode="a"), errors.OmeZarrError, r"append_dim=.*region="),
        (lambda da, tree: da.omezarr.pyramid(method="maen"), errors.MethodError, "'local_mean' or method='median'"),
        (lambda da, tree: da.omezarr.pyramid(method="nn"), errors.MethodError, "did you mean method='nearest'"),
        (lambda da, tree: xomezarr.export(da, "x.jpg"), errors.OmeZarrError, r"PNG .*export\(image, 'x\.png'\)$"),
    ],
)
def test_errors_end_with_what_was_meant(
    folder: Path, call: Callable[[Any, Any], Any], kind: type[Exception], told: str
) -> None:
    del folder
    da: Any = image()
    with pytest.raises(kind, match=told):
        call(da, da.omezarr.pyramid(levels=1))


def test_names_of_channels_are_read_whatever_their_colours() -> None:
    mpl: Any = pytest.importorskip("matplotlib")
    mpl.use("agg")
    plt: Any = pytest.importorskip("matplotlib.pyplot")
    channels: Any = [{"label": "DAPI", "color": "blue"}, "GFP", "red"]
    da: Any = image().omezarr.assign_channels(channels)
    legend = da.omezarr.plot(ax=plt.figure().gca(), scale_bar=False).axes.get_legend()
    for text in legend.get_texts():
        light, dark = (np.mean(mpl.colors.to_rgb(color)) for color in (text.get_color(), legend.get_frame().get_fc()))
        assert light - dark > 0.9
    assert mpl.colors.to_hex(legend.get_patches()[0].get_facecolor()) == "#0000ff"
    plt.close("all")
