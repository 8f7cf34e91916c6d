"""Folders of images become plates: what names say, what is missing, what is stacked of real TIFFs."""

from __future__ import annotations

import json
import re
import resource
from collections.abc import Iterator, Mapping
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

import xomezarr
from xomezarr import cli
from xomezarr.cli import main
from xomezarr.errors import (
    ChannelError,
    CollectionWarning,
    CoordinateError,
    MultipleErrors,
    OmeZarrError,
    PatternError,
    StoreNotFoundError,
    UnitError,
)
from xomezarr.folder import open_images, scan
from xomezarr.naming import FIELDS, Pattern
from xomezarr.readers import filearray

PATTERN = "{row}{column}_s{field}_{channel}.tif"
CHANNELS = ("DAPI", "GFP")


def pixels(name: str, shape: tuple[int, ...] = (16, 24)) -> np.ndarray:
    """Return pixels that no other name has."""
    return np.random.default_rng([*name.encode()]).integers(0, 2**16, shape, dtype="u2")


def write(folder: Path, name: str, array: np.ndarray | None = None, **options: Any) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels(name) if array is None else array, photometric="minisblack", **options)


def names(rows: str = "AB", columns: tuple[int, ...] = (2, 10), fields: tuple[int, ...] = (1, 2)) -> list[str]:
    return [f"{r}{c:02d}_s{f}_{ch}.tif" for r, c, f, ch in product(rows, columns, fields, CHANNELS)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "images"
    for name in names():
        write(place, name)
    return place


# --- names -----------------------------------------------------------------------


def test_files_come_to_their_wells_and_are_stacked_by_channel(folder: Path) -> None:
    found = scan(folder, PATTERN)
    assert (found.rows, found.columns, found.fields) == (("A", "B"), ("2", "10"), ("1", "2"))
    assert found.stacked == {"channel": CHANNELS}
    wells = open_images(found, scale={"y": 0.5, "x": 0.5}, units="um")
    assert list(wells) == [("A", "2"), ("A", "10"), ("B", "2"), ("B", "10")]
    for (row, column), fields in wells.items():
        assert list(fields) == ["1", "2"]
        for field, image in fields.items():
            assert image.dims == ("c", "y", "x")
            assert list(image.c.values) == list(CHANNELS)
            assert image.omezarr.scale == {"c": 1, "y": 0.5, "x": 0.5}
            for channel in CHANNELS:
                expected = pixels(f"{row}{int(column):02d}_s{field}_{channel}.tif")
                np.testing.assert_array_equal(image.sel(c=channel), expected)


def test_nothing_is_read_before_it_is_asked_for(folder: Path) -> None:
    image = open_images(scan(folder, PATTERN))["A", "2"]["1"]
    (folder / "A02_s1_GFP.tif").unlink()
    np.testing.assert_array_equal(image.sel(c="DAPI"), pixels("A02_s1_DAPI.tif"))
    with pytest.raises(FileNotFoundError):
        image.sel(c="GFP").load()


def test_a_file_of_many_pixels_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for channel in CHANNELS:
        stack = pixels(channel, (6, 32, 32))
        tifffile.imwrite(tmp_path / f"A1_{channel}.tif", stack, photometric="minisblack", compression="zlib")
    monkeypatch.setattr("xomezarr.folder.LARGEST_BLOCK", 2**12)
    image = open_images(scan(tmp_path, "{well}_{channel}.tif"), dims="zyx")["A", "1"]["0"]
    assert image.chunksizes["z"] == (1,) * 6
    for channel in CHANNELS:
        np.testing.assert_array_equal(image.sel(c=channel), pixels(channel, (6, 32, 32)))


def test_more_files_are_read_than_may_be_open(tmp_path: Path) -> None:
    for column in range(1, 61):
        write(tmp_path, f"A{column}.tif", np.full((8, 8), column, "u1"), compression="zlib", rowsperstrip=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wells = open_images(scan(tmp_path, "{well}.tif"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filearray, "MOST_OPEN", len(filearray.OPEN) + 8)
        resource.setrlimit(resource.RLIMIT_NOFILE, (len([*Path("/dev/fd").iterdir()]) + 20, hard))
        try:
            for _ in range(2):
                means = [float(wells["A", str(column)]["0"].mean()) for column in range(1, 61)]
                assert means == list(range(1, 61))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_time_channel_and_planes_are_stacked_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for t, channel, z in product(range(1, 11), CHANNELS, (0, 5)):
        write(tmp_path, f"C3/T{t}/f1_{channel}_z{z:03d}_x.tif")
    found = scan(tmp_path, "{well}/T{t}/f{field}_{channel}_z{z}_{}.tif")
    image = open_images(found, scale={"z": 2.0, "t": 30.0}, units={"z": "um", "t": "s"})["C", "3"]["1"]
    assert dict(image.sizes) == {"t": 10, "c": 2, "z": 2, "y": 16, "x": 24}
    assert image.omezarr.units["t"] == "s"
    for (index, t), channel, (plane, z) in product(enumerate(range(1, 11)), CHANNELS, enumerate((0, 5))):
        expected = pixels(f"C3/T{t}/f1_{channel}_z{z:03d}_x.tif")
        np.testing.assert_array_equal(image.isel(t=index, z=plane).sel(c=channel), expected)


def test_a_single_file_for_each_image_stays_as_it_is(tmp_path: Path) -> None:
    stack = pixels("stack", (3, 2, 8, 8))
    metadata = {"axes": "ZCYX", "Channel": {"Name": list(CHANNELS)}, "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
    tifffile.imwrite(tmp_path / "B07.ome.tif", stack, ome=True, photometric="minisblack", metadata=metadata)
    wells = open_images(scan(tmp_path, "{well}.ome.tif"))
    image = wells["B", "7"]["0"]
    assert image.chunks is None
    assert list(image.c.values) == list(CHANNELS)
    assert image.omezarr.scale["x"] == 0.25
    np.testing.assert_array_equal(image.transpose("z", "c", "y", "x"), stack)


def test_dimensions_that_files_have_with_one_pixel_are_those_of_the_names(tmp_path: Path) -> None:
    for channel in CHANNELS:
        metadata = {"axes": "CYX", "Channel": {"Name": ["only"]}}
        path = tmp_path / f"A1_{channel}.ome.tif"
        tifffile.imwrite(path, pixels(channel)[None], ome=True, photometric="minisblack", metadata=metadata)
    image = open_images(scan(tmp_path, "{well}_{channel}.ome.tif"))["A", "1"]["0"]
    assert dict(image.sizes) == {"c": 2, "y": 16, "x": 24}
    assert list(image.c.values) == list(CHANNELS)


def test_runs_that_number_their_fields_alike_have_fields_of_their_own(tmp_path: Path) -> None:
    for run, field in product((1, 2), (1, 2)):
        write(tmp_path, f"run{run}/A1_{field}.tif")
    wells = open_images(scan(tmp_path, "run{acquisition}/{well}_{field}.tif"))
    assert {field: int(image.acquisition) for field, image in wells["A", "1"].items()} == {
        "a1f1": 1,
        "a1f2": 1,
        "a2f1": 2,
        "a2f2": 2,
    }
    np.testing.assert_array_equal(wells["A", "1"]["a2f1"], pixels("run2/A1_1.tif"))


def test_runs_that_number_their_fields_on_keep_the_numbers(tmp_path: Path) -> None:
    for run, field in ((1, 1), (2, 2)):
        write(tmp_path, f"run{run}/A1_{field}.tif")
    wells = open_images(scan(tmp_path, "run{acquisition}/{well}_{field}.tif"))
    assert {field: int(image.acquisition) for field, image in wells["A", "1"].items()} == {"1": 1, "2": 2}


def test_folders_below_are_looked_into_only_where_the_pattern_says_so(folder: Path) -> None:
    write(folder, "older/A02_s1_DAPI.tif")
    assert len(scan(folder, PATTERN).images) == 8
    write(folder, "plate/A02.tif")
    with pytest.warns(CollectionWarning, match=r"17 of 18 files .* the first of them 'A02_s1_DAPI.tif'"):
        assert len(scan(folder, "plate/{well}.tif").images) == 1


def test_a_field_named_twice_is_the_same_text(tmp_path: Path) -> None:
    write(tmp_path, "B02/B02_1.tif")
    write(tmp_path, "B02/B03_1.tif")
    with pytest.warns(CollectionWarning, match="B02/B03_1.tif"):
        found = scan(tmp_path, "{well}/{well}_{field}.tif")
    assert [(image.row, image.column) for image in found.images] == [("B", "2")]


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[A-Z]{1,2}", fullmatch=True), st.integers(1, 48), st.integers(0, 99), st.integers(0, 999)
        ),
        min_size=1,
        max_size=6,
        unique=True,
    ),
    st.integers(1, 4),
)
def test_what_is_written_into_names_is_read_from_them(places: list[tuple[str, int, int, int]], width: int) -> None:
    pattern = Pattern.of("{row}{column}_f{field}-{*}ch{channel}_z{z}.tif")
    for row, column, field, z in places:
        reading = pattern.read(f"{row}{column:0{width}d}_f{field:0{width}d}-noise-chGFP 2_z{z:0{width}d}.tif")
        assert reading is not None
        said = reading.said
        assert (said["row"], int(said["column"]), int(said["field"]), int(said["z"])) == (row, column, field, z)
        assert said["channel"] == "GFP 2"


@given(
    st.lists(st.tuples(*[st.integers(0, 999)] * 4), min_size=1, max_size=4),
    st.permutations(["row", "column", "field", "z"]),
    st.lists(st.integers(3, 5), min_size=4, max_size=4),
    st.integers(0, 4),
)
def test_numbers_side_by_side_are_told_apart_by_their_widths(
    drawn: list[tuple[int, ...]], fields: list[str], widths: list[int], open_one: int
) -> None:
    """One of them may go without, as it has what is left."""
    bare = open_one if open_one < 4 else None
    said = [f"{{{f}}}" if i == bare else f"{{{f}:{w}}}" for i, (f, w) in enumerate(zip(fields, widths, strict=True))]
    pattern = Pattern.of("".join(said) + "_{:2}.tif")
    for numbers in drawn:
        name = "".join(f"{number:0{width}}" for number, width in zip(numbers, widths, strict=True))
        reading = pattern.read(f"{name}_xy.tif")
        assert reading is not None
        assert [int(reading.spelled(field)) for field in fields] == list(numbers)
        assert pattern.read(f"{name}_xyz.tif") is None


TEXTS = {
    "row": ["A", "AB", "1", "12"],
    "column": ["1", "12", "03"],
    "well": ["A1", "AB12", "B03"],
    "field": ["1", "12", "a", "a1", "1a", "s2"],
    "z": ["1", "12"],
    "t": ["3", "45"],
    "acquisition": ["1", "23"],
    "channel": ["DAPI", "1", "w1", "a_b", "GFP-2", "_"],
    "": ["", "x", "x1", "7", "_q"],
}
SHAPES = {
    "row": "[A-Za-z]+|[0-9]+",
    "well": "[A-Za-z]+[0-9]+",
    "field": "[A-Za-z0-9]+",
    "channel": "[^/]+",
    "": "[^/]*",
}
"""What fields may hold; those that are not named are numbers."""

PLACES = ["row", "column"], ["column", "row"], ["well"]


@st.composite
def patterns_and_names(draw: st.DrawFn) -> tuple[list[tuple[str, str, str]], str, dict[str, str]]:
    """Return literals, fields and widths, and a name that is made of them with what it says."""
    others = ["field", "z", "t", "channel", "acquisition", "", "", "well again"]
    fields = [*draw(st.sampled_from(PLACES)), *draw(st.lists(st.sampled_from(others), max_size=3, unique=True))]
    fields = draw(st.permutations(fields))
    fields = [
        "well" if field == "well again" else field for field in fields if field != "well again" or "well" in fields
    ]
    literal = st.sampled_from(["", "", "_", "-", "s", "1", ".", "_s"])
    parts, name, said = [], "", dict[str, str]()
    for field in fields:
        between, width = draw(literal), draw(st.sampled_from(["", "", "", "2"])) if field != "well" else ""
        options = [text for text in TEXTS[field] if not width or len(text) == 2]
        text = said.get(field) if field else None
        text = draw(st.sampled_from(options)) if text is None else text
        name += between + text
        parts.append((between, field, width))
        if field:
            said[field] = text
    return parts, f"{name}.tif", said


def shapes(parts: list[tuple[str, str, str]]) -> Iterator[str]:
    """Yield what each field may hold; what does not matter takes no digits from a number beside it."""
    numbers = [
        field not in {"row", "field", "channel", ""} and not width and field not in {one for _, one, _ in parts[:index]}
        for index, (_, field, width) in enumerate(parts)
    ]
    touches = [not between for between, _, _ in parts]
    for index, (_, field, width) in enumerate(parts):
        shape = SHAPES.get(field, "[0-9]+")
        if not field and not width:
            if index and touches[index] and numbers[index - 1]:
                shape = f"(?![0-9]){shape}"
            if index + 1 < len(parts) and touches[index + 1] and numbers[index + 1] and parts[index + 1][1] != "well":
                shape = f"{shape}(?<![0-9])"
        yield shape


def split(
    parts: list[tuple[str, str, str]], held: list[str], name: str, said: dict[str, str]
) -> Iterator[dict[str, str]]:
    """Yield what a name says, by all ways to take it apart into what fields may hold."""
    if not parts:
        if name == ".tif":
            yield said
        return
    between, field, width = parts[0]
    if not name.startswith(between):
        return
    left = name.removeprefix(between)
    for end in range(len(left) + 1):
        text = left[:end]
        if not re.fullmatch(held[0], text) or (width and end != int(width)):
            continue
        if field and said.get(field, text) != text:
            continue
        yield from split(parts[1:], held[1:], left[end:], {**said, field: text} if field else said)


@settings(max_examples=1500)
@given(patterns_and_names())
def test_a_name_is_read_as_it_was_made_or_not_at_all(
    drawn: tuple[list[tuple[str, str, str]], str, dict[str, str]],
) -> None:
    parts, name, said = drawn
    text = "".join(f"{between}{{{field}{width and ':'}{width}}}" for between, field, width in parts) + ".tif"
    ways = {tuple(sorted(way.items())) for way in split(parts, [*shapes(parts)], name, {})}
    pattern = Pattern.of(text)
    if len(ways) > 1:
        with pytest.raises(PatternError, match=r"; say (how wide {\w*} is|{row}{column:2} instead of {well})"):
            pattern.read(name)
        return
    reading = pattern.read(name)
    assert ways == ({tuple(sorted(reading.said.items()))} if reading else set()), text
    if not any(not field and not width for _, field, width in parts):
        assert reading is not None, text
        assert reading.said == said, text


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        # ImageXpress, with the thumbnails' or the files' identifiers behind
        ("{}_{well}_s{field}_w{channel:1}{}.tif", "Screen 3_B02_s4_w1A9F-77.tif", ("B", "02", "4", "1")),
        # CellVoyager
        (
            "{}_{well}_T{t}F{field:3}L{acquisition}A{}Z{z}C{channel}.tif",
            "AS_09125_F12_T0001F003L01A02Z05C02.tif",
            ("F", "12", "003", "02"),
        ),
        # Opera Phenix, Operetta
        (
            "r{row:2}c{column:2}f{field}p{z}-ch{channel}sk{t}fk{}fl{}.tiff",
            "r02c11f07p01-ch3sk1fk1fl1.tiff",
            ("02", "11", "07", "3"),
        ),
        # INCell
        (
            "{row} - {column}(fld {field} wv {channel} - {}).tif",
            "C - 04(fld 2 wv UV - DAPI).tif",
            ("C", "04", "2", "UV"),
        ),
        # ScanR
        (
            "{well}--W{}--P{field}--Z{z}--T{t}--{channel}.tif",
            "B07--W00019--P00002--Z00000--T00000--Cy3.tif",
            ("B", "07", "00002", "Cy3"),
        ),
        # Leica Matrix
        (
            "image--L{}--S{}--U{row:2}--V{column:2}--J{}--X{field:2}--Y{}--T{t}--Z{z}--C{channel}.tif",
            "image--L0--S0--U01--V02--J8--X03--Y01--T0000--Z00--C01.tif",
            ("01", "02", "03", "01"),
        ),
        # the Broad Bioimage Benchmark Collection
        ("{}_{row}{column}_w{channel}_{}.tif", "IXMtest_A01_w2_B6D1-4F.tif", None),
        ("{}_{row}{column:2}_s{field}_w{channel:1}{}.tif", "cdp2bioactives_a01_s1_w1d7f.tif", ("a", "01", "1", "1")),
    ],
)
def test_names_of_microscopes(pattern: str, name: str, found: tuple[str, ...] | None) -> None:
    reading = Pattern.of(pattern).read(name)
    assert reading is not None
    said = reading.said
    if well := said.pop("well", ""):
        said |= {"row": well.rstrip("0123456789"), "column": well.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")}
    if found is not None:
        assert tuple(said[field] for field in ("row", "column", "field", "channel")) == found


# --- faults ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        ("{well}{}.tif", "A01_DAPI.tif", {"well": "A01"}),
        ("{well}_{}{z}.tif", "A01_plane12.tif", {"well": "A01", "z": "12"}),
        ("{well}_{channel:4}{}.tif", "A01_DAPI_x.tif", {"well": "A01", "channel": "DAPI"}),
        ("{}{row:1}{column}_{}.tif", "dayB7_x.tif", {"row": "B", "column": "7"}),
        ("{well}{}{}_{z}.tif", "A01_x_3.tif", {"well": "A01", "z": "3"}),
        ("{well}{}5.tif", "A155.tif", {"well": "A15"}),
        ("{well}{}{:2}.tif", "A0112.tif", {"well": "A01"}),
    ],
)
def test_numbers_beside_what_does_not_matter_are_taken_whole(pattern: str, name: str, found: dict[str, str]) -> None:
    reading = Pattern.of(pattern).read(name)
    assert reading is not None
    assert reading.said == found


@pytest.mark.parametrize(
    ("pattern", "name", "part"),
    [
        ("{well}{field}.tif", "A011.tif", r"as well 'A0', field '11'; or as well 'A01', field '1'; .*{row}{column:2}"),
        (
            "{row}{column}{field}.tif",
            "A123.tif",
            r"as column '1', field '23'; .* how wide {column} is, such as {column:2}",
        ),
        ("{row}{column:2}{field}{z}.tif", "A12345.tif", r"as field '3', z '45'; or .*{field:2}"),
        ("{well}_{z}{t:2}{channel}.tif", "A1_12345.tif", r"as z '1', t '23', channel '45'; or .*{z:2}"),
        ("{row}{field}_{column}.tif", "ABC_1.tif", r"as row 'A', field 'BC'; or .*{row:2}"),
        ("{row}{column}.tif", "001012.tif", r"as row '0', column '01012'; or .*{row:2}"),
        ("{well}_{channel}{}.tif", "A1_DAPI.tif", r"as channel 'D'; or as channel 'DA'; .*{channel:2}"),
        ("{well}_{}{channel}.tif", "A1_DAPI.tif", r"as channel 'DAPI'; or .*{channel:2}"),
        ("{}{field}_{well}.tif", "ab_A1.tif", r"as field 'ab'; or as field 'b'; .*{field:2}"),
        ("{}{well}.tif", "plateA1.tif", r"as well 'plateA1'; or as well 'lateA1'; .*{row}{column:2}"),
        ("{row}{}_{column}.tif", "AB_1.tif", r"as row 'A'; or as row 'AB'; .*{row:2}"),
        (
            "{}_{well}_{channel}.tif",
            "a_B03_c_B04_x.tif",
            r"as well 'B03', channel 'c_B04_x'; or as well 'B04', channel 'x'",
        ),
        ("{row}_{channel}_{column}_{z}_{}.tif", "A_1_2_3_4_5.tif", r"in two ways"),
        # what does not matter is nothing, and a digit may belong to what is before it and behind it
        (
            "{well}{}{field}.tif",
            "A11a.tif",
            r"as well 'A1', field '1a'; or as well 'A11', field 'a'; .*{row}{column:2}",
        ),
        ("{well}{}{z}.tif", "A011.tif", r"as well 'A0', z '11'; or as well 'A01', z '1'; .*{z:2}"),
        # all that differ have a width, and what does not matter has none
        (
            "{}_{row:1}{column:2}_{}.tif",
            "P_A01_B02_x.tif",
            r"row 'B', column '02'; say how wide {} is, such as {:2} for",
        ),
    ],
)
def test_c7_a_name_that_can_be_read_in_two_ways_is_an_error(tmp_path: Path, pattern: str, name: str, part: str) -> None:
    (tmp_path / name).touch()
    (tmp_path / "others.txt").touch()
    with pytest.raises(PatternError, match=part):
        scan(tmp_path, pattern)


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        ("{row}{col}.tif", r"'{col}', which is not known; the fields are {well}, {row}"),
        ("s{field}.tif", r"does not say which well"),
        ("{row}_{channel}.tif", r"does not say which well"),
        ("{well}/r{row}c{column}.tif", r"has {well}, row and column in one, and {row} and {column} too.*keep"),
        ("{well}_{column}.tif", r"has {well}, .* and {column} too"),
        ("{row}{column.tif", r"a brace of the pattern"),
        ("{row}column}.tif", r"a brace of the pattern"),
        ("{row}{column:0}.tif", r"'{column:0}', whose width is no number of characters; .*{column:2}"),
        ("{row}{column:2d}.tif", r"'{column:2d}', whose width"),
        ("{well:3}.tif", r"gives a width to {well}.*{row}{column:3}"),
        ("{row}-{column}.tif", r"no file in .* there are 16 files, the first of them 'A02_s1_DAPI.tif': give"),
        ("{well}_s{field}_{channel}.TIF", r"there are 16 files, .*, and \.tif is not \.TIF: give a pattern"),
    ],
)
def test_c7_a_pattern_that_cannot_be_used_says_why(folder: Path, pattern: str, part: str) -> None:
    with pytest.raises((PatternError, MultipleErrors), match=part):
        scan(folder, pattern)


def test_rows_that_are_numbers_have_a_width(tmp_path: Path) -> None:
    for row, column in product((1, 2), (1, 12)):
        write(tmp_path, f"{row:03}{column:03}_a.tif")
    with pytest.raises(PatternError, match=r"in two ways: as row '0', .* such as {row:2}"):
        scan(tmp_path, "{row}{column}_{channel}.tif")
    found = scan(tmp_path, "{row:3}{column:3}_{channel}.tif")
    assert (found.rows, found.columns) == (("1", "2"), ("1", "12"))


def test_c7_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="there is no folder"):
        scan(tmp_path / "nowhere", PATTERN)


def test_files_that_are_named_otherwise_are_counted_and_the_first_is_named(folder: Path) -> None:
    (folder / "notes.txt").write_text("")
    (folder / "Thumbs.db").write_text("")
    (folder / ".DS_Store").write_text("")
    with pytest.warns(CollectionWarning, match=r"2 of 18 files .* the first of them 'Thumbs.db'"):
        assert len(scan(folder, PATTERN).images) == 8


def test_c7_a_file_that_is_missing_is_named(folder: Path) -> None:
    (folder / "B10_s1_GFP.tif").unlink()
    with pytest.raises(OmeZarrError, match=r'"B10_s1_GFP.tif" \(well B10, field 1, channel GFP\) is missing'):
        scan(folder, PATTERN)
    (folder / "B10_s2_DAPI.tif").unlink()
    with pytest.raises(OmeZarrError, match=r'"B10_s1_GFP.tif" .* and 1 more are missing'):
        scan(folder, PATTERN)


def test_c7_a_plane_that_no_image_has_is_missing_too(tmp_path: Path) -> None:
    for z in (1, 2, 4):
        write(tmp_path, f"A1_z{z:02d}.tif")
    with pytest.raises(OmeZarrError, match=r'"A1_z03.tif" \(well A1, field 0, z 03\) is missing'):
        scan(tmp_path, "{well}_z{z}.tif")


def test_every_second_plane_is_no_gap(tmp_path: Path) -> None:
    for z in (1, 3, 5):
        write(tmp_path, f"A1_z{z:02d}.tif")
    assert open_images(scan(tmp_path, "{well}_z{z}.tif"))["A", "1"]["0"].sizes["z"] == 3


def test_c7_two_files_for_one_place(folder: Path) -> None:
    write(folder, "A2_s1_DAPI.tif")
    with pytest.raises(OmeZarrError, match=r'"A02_s1_DAPI.tif" and "A2_s1_DAPI.tif" have the same place'):
        scan(folder, PATTERN)


def test_c7_shapes_and_dtypes_that_differ_name_the_files(folder: Path) -> None:
    write(folder, "A02_s1_GFP.tif", np.zeros((16, 20), "u2"))
    write(folder, "B02_s2_GFP.tif", np.zeros((16, 24), "u1"))
    with pytest.raises(MultipleErrors) as caught:
        open_images(scan(folder, PATTERN))
    assert '"A02_s1_GFP.tif" has the shape y 16 × x 20 and uint16, and "A02_s1_DAPI.tif"' in str(caught.value)
    assert '"B02_s2_GFP.tif" has the shape y 16 × x 24 and uint8' in str(caught.value)


def test_c7_files_with_channels_of_their_own_are_not_stacked_by_channel(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "A1_x.ome.tif", np.zeros((2, 8, 8), "u1"), photometric="minisblack", metadata={"axes": "CYX"}
    )
    with pytest.raises(OmeZarrError, match=r"holds 2 along 'c' by itself, and the pattern has {channel}; put {} in"):
        open_images(scan(tmp_path, "{well}_{channel}.ome.tif"))
    image = open_images(scan(tmp_path, "{well}_{}.ome.tif"))["A", "1"]["0"]
    assert image.sizes["c"] == 2


NAMES = ["DAPI", "x"]
PLANE = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}


def write_planes(place: Path, well: str, *said: Mapping[str, Any]) -> None:
    for number, metadata in enumerate(said, 1):
        path = place / f"{well}_z{number}.ome.tif"
        named = {"axes": "CYX", "Channel": {"Name": NAMES}, **PLANE, **metadata}
        tifffile.imwrite(path, pixels(path.name, (2, 8, 12)), metadata=named, photometric="minisblack")


@pytest.mark.parametrize(
    ("other", "error", "told", "given"),
    [
        (
            {"PhysicalSizeX": 0.7},
            CoordinateError,
            r"other pixel sizes \({'y': 0.5, 'x': 0.7}\) than \"A1_z1.ome.tif\", .* \({'y': 0.5, 'x': 0.5}\); "
            r".*, or say which count: scale={'y': 0.5, 'x': 0.5}$",
            {"scale": {"y": 0.25, "x": 0.25}},
        ),
        (
            {"PhysicalSizeXUnit": "nm", "PhysicalSizeYUnit": "nm"},
            UnitError,
            r"other units \({'y': 'nm', 'x': 'nm'}\) than .* which count: units={'y': 'µm', 'x': 'µm'}$",
            {"units": "nm"},
        ),
        (
            {"Channel": {"Name": ["GFP", "x"]}},
            ChannelError,
            r"other channels \({'c': \['GFP', 'x'\]}\) than .* which count: channels=\['DAPI', 'x'\]$",
            {"channels": ["GFP", "y"]},
        ),
        (
            {"Channel": {}},
            ChannelError,
            r"other channels \(none\) than .* channels=\['DAPI', 'x'\]$",
            {"channels": ["GFP", "y"]},
        ),
    ],
)
def test_c7_files_of_an_image_that_say_otherwise_of_it_are_refused_unless_it_is_said(
    tmp_path: Path, other: Any, error: Any, told: str, given: Any
) -> None:
    write_planes(tmp_path, "A1", {}, other)
    found = scan(tmp_path, "{well}_z{z}.ome.tif")
    with pytest.raises(error, match=f'"A1_z2.ome.tif" has {told}'):
        open_images(found)
    image = open_images(found, **given)["A", "1"]["0"]
    said = {"scale": {"y": 0.5, "x": 0.5}, "units": "µm", "channels": NAMES} | given
    assert {dim: image.omezarr.scale[dim] for dim in "yx"} == said["scale"]
    assert {image.y.attrs["units"], image.x.attrs["units"]} == {said["units"]}
    assert list(image.c.values) == said["channels"]


def test_what_differs_less_than_a_pixel_can_tell_is_the_same(tmp_path: Path) -> None:
    write_planes(tmp_path, "A1", {}, {"PhysicalSizeX": 0.5000001, "PhysicalSizeXUnit": "micrometer"})
    assert open_images(scan(tmp_path, "{well}_z{z}.ome.tif"))["A", "1"]["0"].omezarr.scale["x"] == 0.5


def test_images_of_a_plate_may_differ_and_files_by_channel_are_called_by_their_names(tmp_path: Path) -> None:
    for well, size in (("A1", 0.5), ("A2", 0.7)):
        for channel in CHANNELS:
            metadata = {"axes": "CYX", "Channel": {"Name": [f"of {channel}"]}, "PhysicalSizeX": size}
            path = tmp_path / f"{well}_{channel}.ome.tif"
            tifffile.imwrite(path, pixels(channel)[None], metadata=metadata, photometric="minisblack")
    wells = open_images(scan(tmp_path, "{well}_{channel}.ome.tif"))
    assert [wells["A", column]["0"].omezarr.scale["x"] for column in "12"] == [0.5, 0.7]
    assert list(wells["A", "1"]["0"].c.values) == list(CHANNELS)


def test_c7_what_is_wrong_with_all_images_is_told_of_some(tmp_path: Path) -> None:
    for column in range(1, 9):
        write_planes(tmp_path, f"A{column}", {}, {"PhysicalSizeX": 0.7, "Channel": {"Name": ["a", "b"]}})
    with pytest.raises(MultipleErrors) as caught:
        open_images(scan(tmp_path, "{well}_z{z}.ome.tif"))
    assert [type(fault) for fault in caught.value.exceptions] == [CoordinateError, ChannelError] * 5 + [OmeZarrError]
    assert "11. 6 more faults such as these, of other images" in str(caught.value)


def test_channels_that_are_called_alike_are_told(folder: Path) -> None:
    with pytest.warns(CollectionWarning, match="channels has 'n' more than once"):
        wells = open_images(scan(folder, PATTERN), channels=["n", "n"])
    assert list(wells["A", "2"]["1"].c.values) == ["n", "n"]


def test_one_is_one(tmp_path: Path) -> None:
    write(tmp_path, "A1.tif")
    told = "1 file makes 1 image of a plate of 1 row × 1 column, 1 well with images"
    assert told in str(scan(tmp_path, "{well}.tif"))


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        (
            "{well}_z{z}.ome.tif",
            "call what sets them apart {field} or {t} or {acquisition}, or give each image one file",
        ),
        ("{well}_{channel}_t{t}.ome.tif", "call what sets them apart {field} or {acquisition}, or give each"),
        ("{acquisition}/{well}f{field}t{t}_z{z}.ome.tif", ": give each image one file"),
    ],
)
def test_c7_what_stands_for_a_field_that_several_files_hold_by_themselves_is_said_truly(
    tmp_path: Path, pattern: str, told: str
) -> None:
    for number in (1, 2):
        said = {"well": "A1", "z": number, "t": 1, "channel": "ab"[number - 1], "acquisition": 0, "field": 1}
        path = tmp_path / pattern.format(**said)
        path.parent.mkdir(exist_ok=True)
        stack = pixels(path.name, (2, 3, 8, 8))
        tifffile.imwrite(path, stack, metadata={"axes": "CZYX"}, photometric="minisblack")
    with pytest.raises(OmeZarrError, match=rf"by itself, .*2 such files cannot be one image: .*{re.escape(told[2:])}"):
        open_images(scan(tmp_path, pattern))
    if "{z}" in pattern and "{field}" not in pattern:
        for cure in re.findall(r"{\w+}", told):
            wells = open_images(scan(tmp_path, pattern.replace("{z}", cure)))
            found = [image.sizes["z"] for image in wells["A", "1"].values()]
            assert found == [3] * (1 if cure == "{t}" else 2)


# --- the command -----------------------------------------------------------------


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Take what the command would write."""
    calls: list[tuple[Any, ...]] = []

    class Plate:
        @staticmethod
        def write_plate(wells: Any, store: Any, **options: Any) -> None:
            calls.append((wells, store, options))

    monkeypatch.setattr(cli, "import_module", lambda name: {"xomezarr": Plate}[name])
    return calls


def test_the_command_hands_over_images_and_options(folder: Path, tmp_path: Path, written: Any, capsys: Any) -> None:
    dst = str(tmp_path / "plate.ome.zarr")
    options = (
        "--name screen --overwrite --scale y=0.5,x=0.25 --units um --channels nuclei,actin --method nearest --levels 2 "
        "--factors 2 --version 0.5 --chunks y=8,x=8 --boundary trim --shards auto --max-memory 1GiB --workers 1"
    )
    assert main(["plate", str(folder), dst, "--pattern", PATTERN, *options.split()]) == 0
    ((wells, store, said),) = written
    assert store == dst
    assert said == {
        "name": "screen",
        "mode": "w",
        "resume": False,
        "progress": True,
        "method": "nearest",
        "layout": "ome",
        "levels": 2,
        "factors": 2,
        "version": "0.5",
        "chunks": {"y": 8, "x": 8},
        "boundary": "trim",
        "shards": "auto",
        "max_memory": "1GiB",
        "workers": 1,
    }
    image = wells["B", "10"]["2"]
    assert list(image.c.values) == ["nuclei", "actin"]
    assert image.omezarr.scale == {"c": 1, "y": 0.5, "x": 0.25}
    told = capsys.readouterr().out
    assert "16 files make 8 images of a plate of 2 rows × 2 columns" in told
    assert "channels: nuclei, actin" in told


def test_a_dry_run_says_what_would_be_made_and_opens_nothing(folder: Path, written: Any, capsys: Any) -> None:
    for path in folder.iterdir():
        path.write_bytes(b"")
    asked = ["plate", str(folder), "plate.ome.zarr", "--pattern", PATTERN, "--dry-run"]
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert "rows: A, B\ncolumns: 2, 10\nfields: 1, 2\nchannels: DAPI, GFP\nit would be written to plate" in said
    assert main([*asked, "--channels", "nuclei,actin"]) == 0
    assert "channels: nuclei, actin\nit would" in capsys.readouterr().out
    assert main([*asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "store": "plate.ome.zarr",
        "folder": str(folder),
        "rows": ["A", "B"],
        "columns": ["2", "10"],
        "wells": 4,
        "fields": ["1", "2"],
        "acquisitions": [],
        "channels": ["DAPI", "GFP"],
        "images": 8,
        "files": 16,
    }
    assert not written


@pytest.mark.parametrize(
    ("pattern", "code", "part"),
    [
        ("{rows}{column}.tif", 2, "(on the command line: --pattern)"),
        ("{row}-{column}.tif", 2, "(on the command line: --pattern)"),
        ("{well}_{row}.tif", 2, "(on the command line: --pattern)"),
        ("{row}{column}_{}_{channel}.tif", 1, "have the same place"),
    ],
)
def test_c7_exit_codes(folder: Path, written: Any, capsys: Any, pattern: str, code: int, part: str) -> None:
    assert main(["plate", str(folder), "plate.ome.zarr", "--pattern", pattern]) == code
    said = capsys.readouterr().err
    assert said.startswith("xomezarr: ")
    assert said.count("\n") == 1
    assert part in said
    assert not written


def test_the_fields_are_those_that_the_help_names() -> None:
    for field in FIELDS:
        assert f"{{{field}}}" in (cli.plate.__doc__ or "")


def test_the_pattern_of_the_help_can_be_copied(folder: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["plate", "--help"]) == 0
    shown = re.search(r'named: "([^"]*)"', capsys.readouterr().out)
    assert shown is not None
    assert len(scan(folder, shown[1]).images) == len(scan(folder, PATTERN).images)


def test_the_plate_that_is_written_holds_what_the_files_do(folder: Path, tmp_path: Path) -> None:
    if "write_plate" not in xomezarr.__all__:
        pytest.skip("plates are not written yet")
    dst = tmp_path / "plate.ome.zarr"
    assert main(["plate", str(folder), str(dst), "--pattern", PATTERN, "--scale", "y=0.5,x=0.5", "--units", "um"]) == 0
    # all is there: nothing is left to do
    assert main(["plate", str(folder), str(dst), "--pattern", PATTERN]) == 1
    again = ["--scale", "y=0.5,x=0.5", "--units", "um", "--resume"]
    before = {path: path.stat().st_mtime_ns for path in dst.rglob("*") if path.is_file()}
    assert main(["plate", str(folder), str(dst), "--pattern", PATTERN, *again]) == 0
    assert {path: path.stat().st_mtime_ns for path in dst.rglob("*") if path.is_file()} == before
    tree = import_module("xomezarr").open_plate(dst, check=True)
    for row, column, field, (index, channel) in product("AB", (2, 10), (1, 2), enumerate(CHANNELS)):
        image = tree[f"{row}/{column}/{field}"].omezarr.level(0)
        np.testing.assert_array_equal(image.isel(c=index), pixels(f"{row}{column:02d}_s{field}_{channel}.tif"))


def test_slices_that_lie_somewhere_in_depth_are_stacked_as_their_names_say(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    for number in range(3):
        place = np.diag([0.5, 0.5, 1.0, 1.0])
        place[2, 3] = 9.0  # of all of them
        slice_ = nibabel.Nifti1Image(np.full((6, 7), number, "int16"), place)
        nibabel.save(slice_, tmp_path / f"A1_z{number}.nii")
    image = open_images(scan(tmp_path, "{well}_z{z}.nii"), scale={"z": 2.0})["A", "1"]["0"]
    assert dict(image.sizes) == {"z": 3, "y": 7, "x": 6}
    assert image.z.values.tolist() == [0, 2, 4]
    assert image[:, 0, 0].values.tolist() == [0, 1, 2]
