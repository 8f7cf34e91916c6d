"""Stores that are brought to another version: what is read of them stays the same, and chunks stay where they are."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from nursery import run
from stores import check_same_trees, group_attributes
from test_conformance import cases, example_cases, load_example, text_rule
from test_joining import Moments
from test_nested import cells, plainly
from test_versions import XML, write, write_labels
from test_versions import write_plate as write_early_plate
from zarr.storage import MemoryStore

import xomezarr
from xomezarr import direct, documents, spec, upgrade
from xomezarr.cli import main
from xomezarr.errors import (
    ArchiveError,
    AxisError,
    CodecError,
    DtypeError,
    IncompleteStoreError,
    LabelError,
    MetadataError,
    MultipleErrors,
    NotOmeZarrError,
    OmeZarrError,
    OmeZarrWarning,
    StoreExistsError,
    StoreNotFoundError,
    VersionError,
)
from xomezarr.hierarchy import walk

DOCUMENTS = {".zattrs", ".zgroup", ".zarray", ".zmetadata", "zarr.json"}


def pixels(seed: int = 0, **sizes: int) -> xr.DataArray:
    sizes = sizes or {"c": 2, "y": 40, "x": 51}
    data = np.random.default_rng(seed).integers(0, 999, tuple(sizes.values())).astype("u2")
    grid = {"scale": {"y": 0.5, "x": 0.25}, "translation": {"y": 0.1}, "units": "um"}
    return xr.DataArray(data, dims=tuple(sizes), name="cells").omezarr.assign_grid(**grid)  # type: ignore[no-any-return]


def nuclei() -> xr.DataArray:
    return (pixels(1, y=40, x=51) > 500).astype("u1").rename("nuclei")


# -- stores of every kind -------------------------------------------------------------------------------------


def image(path: Path, version: str, **options: Any) -> None:
    labels = {"nuclei": xomezarr.Labels(nuclei(), colors={1: "red"})}
    channels = pixels().omezarr.assign_channels(["DAPI", "GFP"])
    channels.omezarr.to_zarr(path, version=version, levels=3, chunks={"y": 16, "x": 16}, labels=labels, **options)


def nested(path: Path, version: str) -> None:
    cells().omezarr.to_zarr(path, version=version, layout="xarray", levels=2, chunks={"y": 8, "x": 8}, irregular="keep")


def irregular(path: Path, version: str) -> None:
    da = pixels(2, t=300, y=8, x=8).assign_coords(t=np.random.default_rng(1).random(300).cumsum())
    da.omezarr.to_zarr(path, version=version, levels=2, irregular="keep")


def plate(path: Path, version: str) -> None:
    wells = {("A", 1): {"0": pixels(1), "1": pixels(2)}, ("B", 12): {"0": pixels(3)}}
    xomezarr.write_plate(wells, path, version=version, levels=2, acquisitions=None)


def collection(path: Path, version: str) -> None:
    xomezarr.write_collection({"0": pixels(1), "1": pixels(2)}, path, version=version, levels=2)


def well(path: Path, version: str) -> None:
    plate(path.with_name("plate"), version)
    shutil.move(path.with_name("plate") / "A/1", path)


def labels(path: Path, version: str) -> None:
    image(path.with_name("image"), version)
    shutil.move(path.with_name("image") / "labels", path)


def early_image(path: Path, version: str) -> None:
    write(path, version)
    write_labels(path, version)


def early_collection(path: Path, version: str) -> None:
    zarr.create_group(path, zarr_format=2, attributes={"bioformats2raw.layout": 3})
    zarr.create_group(path, path="OME", zarr_format=2, attributes={"series": ["0"]})
    (path / "OME/METADATA.ome.xml").write_text(XML)
    write(path, version, path="0")


LATE: dict[str, Callable[[Path, str], None]] = {
    "image": image,
    "nested": nested,
    "irregular": irregular,
    "plate": plate,
    "collection": collection,
    "well": well,
    "labels": labels,
}
EARLY: dict[str, Callable[[Path, str], None]] = {
    "early image": early_image,
    "early plate": lambda path, version: write_early_plate(path, version, acquisitions=True),
    "early collection": early_collection,
}
MADE = [
    *((kind, version) for kind in LATE for version in spec.VERSIONS),
    *((kind, version) for kind in EARLY for version in ("0.1", "0.2", "0.3")),
]
PAIRS = [(*made, after) for made in MADE for after in spec.VERSIONS]
IN_PLACE = [pair for pair in PAIRS if (pair[1], pair[2]) not in {("0.5", "0.4"), ("0.6", "0.4")}]


def make(kind: str, path: Path, version: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (LATE | EARLY)[kind](path, version)


def opened(kind: str, path: Any) -> Any:
    """Return all that is read of a store, loaded; of what has no image at its root, the images."""
    if kind == "labels":
        return {"nuclei": xr.open_datatree(path, engine="omezarr", group="nuclei").load()}
    if kind == "well":
        return {name: xr.open_datatree(path, engine="omezarr", group=name).load() for name in "01"}
    return {"": xr.open_datatree(path, engine="omezarr").load()}


def check_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, tree in one.items():
        check_same_trees(tree, other[name], attrs=False)
        assert {key for key in tree.attrs if key not in spec.KEYS} == {
            key for key in other[name].attrs if key not in spec.KEYS
        }


def chunks(path: Path) -> dict[str, Any]:
    """Return of each file that is no document what it holds, which file it is, and when it was written."""
    files = [file for file in path.rglob("*") if file.is_file() and file.name not in DOCUMENTS]
    return {
        str(file.relative_to(path)): (
            hashlib.sha256(file.read_bytes()).digest(),
            file.stat().st_ino,
            file.stat().st_mtime_ns,
        )
        for file in files
    }


def contents(path: Path) -> dict[str, Any]:
    """Return all files; documents as JSON, as zarr may write them in another way."""
    return {
        str(file.relative_to(path)): json.loads(file.read_text()) if file.name in DOCUMENTS else file.read_bytes()
        for file in path.rglob("*")
        if file.is_file()
    }


# -- what stays the same --------------------------------------------------------------------------------------


@pytest.mark.sweep(2)
@pytest.mark.parametrize(("kind", "before", "after"), IN_PLACE)
def test_in_place_all_is_read_as_before_and_no_chunk_is_touched(
    kind: str, before: str, after: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.ome.zarr"
    make(kind, path, before)
    read, files, found = opened(kind, path), chunks(path), xomezarr.validate(path)
    done = upgrade(path, version=after)
    assert chunks(path) == files
    assert xomezarr.validate(path).valid == found.valid
    assert xomezarr.validate(path).version == after
    check_same(read, opened(kind, path))
    documents_there = {file.name for file in path.rglob("*") if file.name in DOCUMENTS}
    formats = {2: {".zattrs", ".zgroup", ".zarray", ".zmetadata"}, 3: {"zarr.json"}}
    assert documents_there <= formats[spec.zarr_format(after)]
    assert bool(done.steps) == (before != after)
    left = contents(path)
    assert not upgrade(path, version=after).steps
    assert contents(path) == left


@pytest.mark.sweep(2)
@pytest.mark.parametrize(("kind", "before", "after"), PAIRS)
def test_a_copy_is_read_as_the_store_which_stays_as_it_is(kind: str, before: str, after: str, tmp_path: Path) -> None:
    path, copy = tmp_path / "a.ome.zarr", tmp_path / "b.ome.zarr"
    make(kind, path, before)
    files = contents(path)
    done = upgrade(path, copy, version=after)
    assert contents(path) == files
    assert xomezarr.validate(copy).valid
    assert xomezarr.validate(copy).version == after
    check_same(opened(kind, path), opened(kind, copy))
    assert bool(done.streamed) == (spec.zarr_format(before) > spec.zarr_format(after))
    if before == after:
        assert {key: value for key, value in contents(copy).items() if key != ".zmetadata"} == {
            key: value for key, value in files.items() if key != ".zmetadata"
        }


@pytest.mark.parametrize("version", ["0.1", "0.2", "0.3"])
def test_what_early_versions_leave_unsaid_is_said_as_it_is_read(version: str, tmp_path: Path) -> None:
    early_image(tmp_path / "a.zarr", version)
    before: Any = xr.open_datatree(tmp_path / "a.zarr", engine="omezarr").load()
    upgrade(tmp_path / "a.zarr", version="0.4")
    after: Any = xr.open_datatree(tmp_path / "a.zarr", engine="omezarr")
    check_same_trees(before, after)
    assert json.loads((tmp_path / "a.zarr/.zattrs").read_text())["multiscales"][0]["version"] == "0.4"


@pytest.mark.parametrize(("before", "after"), [("0.4", "0.5"), ("0.4", "0.6"), ("0.5", "0.6"), ("0.6", "0.5")])
def test_plain_xarray_opens_nested_layouts_as_before(before: str, after: str, tmp_path: Path) -> None:
    nested(tmp_path / "a.zarr", before)
    read = plainly(tmp_path / "a.zarr").load()
    upgrade(tmp_path / "a.zarr", version=after)
    check_same_trees(read, plainly(tmp_path / "a.zarr"), attrs=False)


@pytest.mark.parametrize("before", ["0.4", "0.5", "0.6"])
def test_plain_xarray_opens_copies_of_nested_layouts_as_before(before: str, tmp_path: Path) -> None:
    da = cells().assign_coords(exposure=0.5, note="fixed")
    da.omezarr.to_zarr(tmp_path / "a.zarr", version=before, layout="xarray", levels=2, irregular="keep")
    read = plainly(tmp_path / "a.zarr").load()
    for after in spec.VERSIONS:
        upgrade(tmp_path / "a.zarr", tmp_path / after, version=after)
        check_same_trees(read, plainly(tmp_path / after), attrs=False)


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize(("before", "after"), [("0.4", "0.5"), ("0.4", "0.4"), ("0.5", "0.4"), ("0.5", "0.6")])
def test_missing_values_of_arrays_that_xarray_wrote_are_missing_afterwards(
    before: str, after: str, in_place: bool, tmp_path: Path
) -> None:
    kinds = {"f": np.array([1, -1, np.nan, 4], "f4"), "i": np.array([1, -9999, 3, 4]), "inf": np.array([1.5, np.inf])}
    tables = xr.Dataset(
        {name: xr.Variable(name, values, {"unit": "m"}) for name, values in kinds.items()}
        | {"flag": ("flag", [True, False]), "one": 3.5, "text": ("flag", ["a", ""])}
    )
    encoding = {"f": {"_FillValue": -1.0}, "i": {"_FillValue": -9999}, "inf": {"_FillValue": np.inf}}
    pixels().omezarr.to_zarr(path := tmp_path / "a.zarr", version=before, levels=1)
    zarr_format: Any = spec.zarr_format(before)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # text is not of the core of v3
        tables.drop_indexes(["f", "i", "inf", "flag"]).to_zarr(
            path / "tables", zarr_format=zarr_format, encoding=encoding, consolidated=False
        )
    read = xr.open_zarr(path / "tables", consolidated=False).load()
    assert read["i"].isnull().sum() == 1
    new = path if in_place and (before, after) != ("0.5", "0.4") else tmp_path / "b.zarr"
    upgrade(path, None if new == path else new, version=after)
    xr.testing.assert_identical(read, xr.open_zarr(new / "tables", consolidated=False).load())


@pytest.mark.parametrize("group", ["", "labels"])
@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize(
    ("before", "after"), [("0.4", "0.5"), ("0.5", "0.6"), ("0.6", "0.5"), ("0.3", "0.4"), ("0.5", "0.4")]
)
def test_gathered_metadata_are_gathered_anew(
    before: str, after: str, in_place: bool, group: str, tmp_path: Path
) -> None:
    make("early image" if before == "0.3" else "image", path := tmp_path / "a.zarr", before)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(path / group)
    new = path if in_place and (before, after) != ("0.5", "0.4") else tmp_path / "b.zarr"
    upgrade(path, None if new == path else new, version=after)
    zarr_format: Any = spec.zarr_format(after)
    root = zarr.open_consolidated(new / group, zarr_format=zarr_format)
    members = {place: member.metadata.to_dict() for place, member in root.members(max_depth=None)}
    plain = zarr.open_group(new / group, mode="r", use_consolidated=False)
    found = {place: member.metadata.to_dict() for place, member in plain.members(max_depth=None)}
    assert members.keys() == found.keys()
    assert all(one.get("attributes") == found[place].get("attributes") for place, one in members.items())
    assert all(one == found[place] for place, one in members.items() if "shape" in one)
    where = [str(file.parent.relative_to(new)) for file in new.rglob(".zmetadata")]
    assert where == ([group or "."] if zarr_format == 2 else [])
    gathered = [file for file in new.rglob("zarr.json") if "consolidated_metadata" in json.loads(file.read_text())]
    assert gathered == ([new / group / "zarr.json"] if zarr_format == 3 else [])


def test_a_version_that_was_under_way_gets_its_name(tmp_path: Path) -> None:
    image(path := tmp_path / "a.zarr", "0.6")
    wanted = contents(path)
    for file in path.rglob("zarr.json"):
        file.write_text(file.read_text().replace('"version": "0.6"', '"version": "0.6rc0"'))
    assert contents(path) != wanted
    upgrade(path, version="0.6")
    assert contents(path) == wanted


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize(("before", "after"), [("0.5", "0.6"), ("0.6", "0.5"), ("0.5", "0.5"), ("0.5", "0.4")])
def test_a_list_of_labels_without_a_version_is_of_that_of_the_store(
    before: str, after: str, in_place: bool, tmp_path: Path
) -> None:
    image(path := tmp_path / "a.zarr", before)
    labels: Any = zarr.open_group(path / "labels", mode="r+")
    labels.attrs["ome"] = {"labels": ["nuclei"]}  # as ome-zarr-py 0.21 writes it
    read = opened("image", path)
    new = path if in_place and after != "0.4" else tmp_path / "b.zarr"
    upgrade(path, None if new == path else new, version=after)
    check_same(read, opened("image", new))
    attrs = zarr.open_group(new / "labels", mode="r").attrs.asdict()
    named = {} if before == after else {"version": after}
    assert attrs == ({"labels": ["nuclei"]} if after == "0.4" else {"ome": {**named, "labels": ["nuclei"]}})


def test_a_store_that_was_upgraded_in_place_is_a_store_as_any_other(tmp_path: Path) -> None:
    pixels().omezarr.to_zarr(path := tmp_path / "a.zarr", levels=2, chunks={"y": 16, "x": 16})
    upgrade(path)
    assert main(["scale", str(path), "--in-place", "--method", "nearest", "--downscale", "y=2,x=2"]) == 0
    nuclei().omezarr.to_labels(path, "nuclei")
    tree: Any = xr.open_datatree(path, engine="omezarr")
    np.testing.assert_array_equal(tree.omezarr.level(1), pixels()[:, ::2, ::2])
    assert xomezarr.validate(path).valid
    check_same_trees(tree, tree.omezarr.to_zarr(tmp_path / "b.zarr"), attrs=False)


# -- what other tools have there ------------------------------------------------------------------------------


def with_others(path: Path) -> None:
    """Write an image of 0.4, and beside it what other tools may have put there."""
    image(path, "0.4")
    root: Any = zarr.open_group(path, mode="r+", zarr_format=2)
    root.attrs.update({"theirs": {"a": [1, None, 2.5]}, "multiscales": [{**root.attrs["multiscales"][0], "mine": 1}]})
    root["0"].attrs["gain"] = 3
    table: Any = root.create_group("tables", attributes={"labels": ["not ours"], "kind": "regions"})
    names = table.create_array("names", shape=(3,), chunks=(2,), dtype="str", attributes={"_ARRAY_DIMENSIONS": ["row"]})
    names[...] = np.array(["a", "µ", ""], object)
    table.create_array("big", shape=(4,), dtype=">f8", fill_value=np.nan, compressors=numcodecs.Zlib())[:2] = [1, 2]
    (path / "notes/deep").mkdir(parents=True)
    (path / "notes/deep/readme.txt").write_text("hello")
    (path / ".DS_Store").write_text("x")


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("in_place", [True, False])
def test_zlib_that_not_all_readers_of_v3_know_is_told(dry_run: bool, in_place: bool, tmp_path: Path) -> None:
    with_others(path := tmp_path / "a.zarr")
    with pytest.warns(OmeZarrWarning, match=r"'tables/big'.*numcodecs\.zlib.*to_zarr"):
        upgrade(path, None if in_place else tmp_path / "b.zarr", dry_run=dry_run)
    with warnings.catch_warnings():
        warnings.simplefilter("error", OmeZarrWarning)
        upgrade(path if in_place else tmp_path / "a.zarr", tmp_path / "c.zarr", version="0.4", dry_run=True)


@pytest.mark.filterwarnings("ignore:.*numcodecs.zlib")
@pytest.mark.parametrize("in_place", [True, False])
def test_what_other_tools_have_there_survives(in_place: bool, tmp_path: Path) -> None:
    with_others(path := tmp_path / "a.zarr")
    source: Any = zarr.open_group(path, mode="r", zarr_format=2)
    values = {name: source[f"tables/{name}"][...] for name in ("names", "big")}
    new = path if in_place else tmp_path / "b.zarr"
    upgrade(path, None if in_place else new, version="0.5")
    root: Any = zarr.open_group(new, mode="r", zarr_format=3)
    assert root.attrs["theirs"] == {"a": [1, None, 2.5]}
    assert root.attrs["ome"]["multiscales"][0]["mine"] == 1
    assert dict(root["0"].attrs) == {"gain": 3}
    assert dict(root["tables"].attrs) == {"labels": ["not ours"], "kind": "regions"}
    for name, expected in values.items():
        np.testing.assert_array_equal(root[f"tables/{name}"][...], expected)
    assert root["tables/names"].metadata.dimension_names == ("row",)
    assert (new / "notes/deep/readme.txt").read_text() == "hello"
    assert (new / ".DS_Store").exists()


@pytest.mark.filterwarnings("ignore:.*numcodecs.zlib")
def test_another_version_and_back_gives_the_same_attributes(tmp_path: Path) -> None:
    with_others(tmp_path / "a.zarr")
    before = group_attributes(tmp_path / "a.zarr")
    upgrade(tmp_path / "a.zarr", tmp_path / "b.zarr", version="0.5")
    upgrade(tmp_path / "b.zarr", tmp_path / "c.zarr", version="0.4")
    assert group_attributes(tmp_path / "c.zarr") == before


EXAMPLES = ("bf2raw", "ome", "multiscales_strict", "plate_strict", "well_strict")


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize(("version", "path"), example_cases(*EXAMPLES))
def test_official_examples_are_valid_in_every_version(version: str, path: Path) -> None:
    attrs = load_example(path)
    for after in spec.VERSIONS:
        made = spec.restated(attrs, after)
        assert spec.detect(made) == after
        assert not [found for found in spec.findings(made) if found.severity == "error"]
        assert spec.kinds(made) == spec.kinds(attrs)
        if spec.zarr_format(version) == 2 and after == "0.5":
            assert spec.restated(made, "0.4") == attrs


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize(("version", "kind", "strict", "suite", "case"), cases("image", "plate", "well"))
def test_official_cases_are_as_valid_as_before(
    version: str, kind: str, strict: bool, suite: str, case: dict[str, Any]
) -> None:
    attrs = case["data"]
    rules = {found.rule for found in spec.findings(attrs) if found.severity == "error"}
    for after in spec.VERSIONS:
        try:
            made = spec.restated(attrs, after)
        except OmeZarrError:
            assert rules or not case["valid"] or text_rule(version, kind, f"{suite}::{case['formerly']}")
            continue
        assert {found.rule for found in spec.findings(made) if found.severity == "error"} <= rules


# -- arrays ---------------------------------------------------------------------------------------------------

COMPRESSORS = [
    None,
    numcodecs.Blosc("zstd", 2, numcodecs.Blosc.BITSHUFFLE),
    numcodecs.Blosc("lz4", 5, numcodecs.Blosc.AUTOSHUFFLE),
    numcodecs.Blosc("zlib", 1, numcodecs.Blosc.NOSHUFFLE, blocksize=256),
    numcodecs.GZip(3),
    numcodecs.Zlib(2),
    numcodecs.Zstd(4),
]


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    """Draw arrays of Zarr v2, some chunks of which are not there, in memory."""
    dtype = np.dtype(
        draw(st.sampled_from(["u1", "<u2", ">u2", "<i4", "<f4", ">f8", "<f2", "?", "<c8", "<M8[ns]", "<U3", "|S4"]))
    )
    shape = tuple(draw(st.lists(st.integers(1, 7), max_size=3)))
    size = tuple(draw(st.integers(1, length + 1)) for length in shape)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    values = rng.integers(0, 100, shape).astype(dtype.str if dtype.kind != "M" else "i8").astype(dtype)
    fill = draw(st.sampled_from([None, dtype.type(0) if dtype.kind not in "MUS" else None, values.ravel()[0]]))
    array = zarr.create_array(
        MemoryStore(),
        shape=shape,
        chunks=size,
        dtype=dtype,
        fill_value=fill,
        compressors=draw(st.sampled_from(COMPRESSORS)),
        order=draw(st.sampled_from("CF")),
        zarr_format=2,
        chunk_key_encoding={"name": "v2", "separator": draw(st.sampled_from("./"))},
    )
    if draw(st.booleans()):
        array[...] = values
    elif shape:
        array[: size[0]] = values[: size[0]]
    return array


def document_of(array: Any, name: str = ".zarray") -> dict[str, Any]:
    store = array.store
    found: dict[str, Any] = json.loads(store._store_dict[name].to_bytes())
    return found


@settings(max_examples=150)
@given(arrays(), st.booleans())
def test_zarr_v3_reads_the_chunks_of_v2_bit_for_bit(array: Any, nested_keys: bool) -> None:
    before = document_of(array)
    (made,) = documents.array_document(before, {}, 3, nested=nested_keys).values()
    objects = dict(array.store._store_dict)
    old, new = documents.chunk_key(before), documents.chunk_key(made)
    for place in np.ndindex(*(-(-n // size) for n, size in zip(array.shape, array.chunks, strict=True))):
        if (chunk := objects.pop(old(place), None)) is not None:
            objects[new(place)] = chunk
    objects["zarr.json"] = zarr.core.buffer.default_buffer_prototype().buffer.from_bytes(documents.encoded(made))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = zarr.open_array(MemoryStore(objects), mode="r", zarr_format=3)
        values: Any = found[...]
    # in memory, numbers of v3 have the byte order of the machine
    native = np.asarray(array[...]).astype(found.dtype)
    assert np.asarray(values, found.dtype).tobytes() == native.tobytes()
    assert (found.shape, found.chunks) == (array.shape, array.chunks)


@settings(max_examples=40)
@given(
    st.sampled_from(["u1", "<u2", "<i8", "<f4", "<f8", "?", "<c16"]),
    st.booleans(),
    st.sampled_from([0, 1]),
    st.integers(0, 99),
)
def test_copies_in_zarr_v2_hold_the_same_bits(dtype: str, sharded: bool, fill: int, seed: int) -> None:
    data = np.random.default_rng(seed).integers(0, 3, (9, 13)).astype(dtype)
    if data.dtype.kind in "fc":
        data *= -1  # there are zeros below zero
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image(source := Path(folder, "a.zarr"), "0.5")
        group = zarr.open_group(source, mode="r+")
        shards = (4, 8) if sharded else None
        made = group.create_array("theirs", shape=(9, 13), chunks=(4, 4), shards=shards, dtype=dtype, fill_value=fill)
        made[:5] = data[:5]
        upgrade(source, Path(folder, "b.zarr"), version="0.4")
        found: Any = zarr.open_array(Path(folder, "b.zarr"), path="theirs", mode="r", zarr_format=2)
        assert found[...].tobytes() == np.asarray(made[...]).tobytes()
        assert found.chunks == (4, 4)


# -- a process that is killed ---------------------------------------------------------------------------------


@pytest.mark.sweep(2)
@pytest.mark.skipif(sys.platform == "win32", reason="files that are open cannot be moved there")
@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("image", "0.4", "0.5"),
        ("image", "0.5", "0.6"),
        ("plate", "0.4", "0.6"),
        ("early image", "0.2", "0.4"),
        ("nested", "0.4", "0.5"),
        ("nested", "0.6", "0.5"),
    ],
)
def test_c8_whenever_the_process_is_killed_the_store_is_whole_and_the_same_call_finishes(
    kind: str, before: str, after: str, tmp_path: Path
) -> None:
    path, copies = tmp_path / "a.zarr", tmp_path / "moments"
    make(kind, path, before)
    read = opened(kind, path)
    plain = plainly(path).load() if kind == "nested" else None
    with Moments(path, copies) as moments:
        upgrade(path, version=after)
    wanted = contents(path)
    versions = set()
    for moment in moments.found.values():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zarr tells where documents of both formats are
            check_same(read, opened(kind, moment))
            if kind == "nested":
                check_same_trees(plain, xr.open_datatree(moment, engine="zarr"), attrs=False)
            versions.add(spec.detect(xomezarr.store.open_group(moment).attrs.asdict()))
            upgrade(moment, version=after)
        left = {key: value for key, value in contents(moment).items() if not key.endswith((".partial", ".lock"))}
        assert left == wanted
    assert versions == {before, after}
    assert len(moments.found) > 3


KILLED = """
import os, sys
from xomezarr import upgrade, direct
left = int(sys.argv[2])
module = sys.modules["xomezarr.upgrade"]
put = module.put_document
def counting(*given):
    global left
    left -= 1
    if left < 0:
        os._exit(9)
    put(*given)
module.put_document = counting
upgrade(sys.argv[1], version="0.5")
"""


def test_c8_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    image(path, "0.4")
    read = opened("image", path)
    for written in (0, 4):
        with run(KILLED, path, written) as done:
            _, said = done.communicate()
        assert done.returncode == 9, said
        check_same(read, opened("image", path))
    upgrade(path)
    check_same(read, opened("image", path))
    assert not {file.name for file in path.rglob("*")} & {".zgroup", ".zarray", ".zattrs", ".xomezarr.lock"}


@pytest.mark.parametrize("names", [("**/*",), ("zarr.json",)])
def test_documents_of_another_store_are_not_deleted(names: tuple[str, ...], tmp_path: Path) -> None:
    image(path := tmp_path / "a.zarr", "0.4")
    collection(other := tmp_path / "b.zarr", "0.5")
    for file in (file for name in names for file in other.glob(name) if file.is_file()):
        (path / file.relative_to(other)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, path / file.relative_to(other))
    refused(path, OmeZarrError, "group '/'", "remove", "'zarr.json'", "'.zgroup' and '.zattrs'", version="0.5")


def test_documents_that_were_changed_since_an_upgrade_was_killed_are_not_deleted(tmp_path: Path) -> None:
    image(path := tmp_path / "a.zarr", "0.4")
    upgrade(path, copy := tmp_path / "b.zarr", version="0.5")
    shutil.copy(copy / "labels/zarr.json", path / "labels/zarr.json")
    assert len(upgrade(path, dry_run=True).steps) > 1
    zarr.open_group(path / "labels", mode="r+", zarr_format=2).attrs["mine"] = 1
    refused(path, MetadataError, "group 'labels'", "'zarr.json'", "remove")


@pytest.mark.filterwarnings("ignore:Both zarr.json")
@pytest.mark.parametrize("whole", [True, False])
def test_writers_leave_what_is_between_two_versions_to_the_upgrade(
    whole: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image(path := tmp_path / "a.zarr", "0.4")
    plate(of_wells := tmp_path / "p.zarr", "0.4")
    for store, group in ((path, "labels"), (of_wells, "A/1")):
        upgrade(store, copy := tmp_path / "copy.zarr", version="0.6", mode="w")
        for document in (copy if whole else copy / group).rglob("zarr.json"):
            shutil.copy(document, store / document.relative_to(copy))
    writers: list[tuple[Path, Callable[[], Any]]] = [
        (path, lambda: nuclei().omezarr.to_labels(path, "cells")),
        (path, lambda: nuclei().omezarr.to_labels(path, "nuclei", mode="w")),
        (path, lambda: xomezarr.delete_labels(path, "nuclei")),
        (of_wells, lambda: pixels().omezarr.to_plate(of_wells, row="A", column=1, field="7")),
    ]
    for store, write_part in writers:
        before = contents(store)
        with pytest.raises(IncompleteStoreError, match=r"xomezarr upgrade .* --version 0\.6"):
            write_part()
        assert contents(store) == before
    if whole:
        before = contents(path)
        assert main(["scale", str(path), "--in-place", "--method", "nearest"]) == 1
        assert re.search(r"xomezarr upgrade .* --version 0\.6", capsys.readouterr().err)
        assert contents(path) == before
    else:
        pixels().omezarr.to_plate(of_wells, row="B", column=12, field="7")


# -- what is refused ------------------------------------------------------------------------------------------


def refused(path: Path, error: type[Exception], *words: str, **options: Any) -> str:
    """Make sure that an upgrade is refused, with words, and that nothing is changed; return the message."""
    before = contents(path) if path.is_dir() else path.read_bytes() if path.exists() else None
    with pytest.raises(error) as raised:
        upgrade(path, **options)
    assert (contents(path) if path.is_dir() else path.read_bytes() if path.exists() else None) == before
    for word in words:
        assert word in str(raised.value), str(raised.value)
    return str(raised.value)


def array_of(path: Path, name: str = "theirs", **options: Any) -> zarr.Array[Any]:
    image(path, "0.4")
    group = zarr.open_group(path, mode="r+", zarr_format=2)
    return group.create_array(name, shape=(5,), chunks=(2,), **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "u2", "compressors": numcodecs.LZMA()}, "compressor 'lzma'"),
        ({"dtype": "u2", "compressors": numcodecs.BZ2()}, "compressor 'bz2'"),
        ({"dtype": "f8", "filters": [numcodecs.FixedScaleOffset(0, 10, "f8", "u1")]}, "filter 'fixedscaleoffset'"),
        ({"dtype": "i4", "filters": [numcodecs.Delta("i4")]}, "filter 'delta'"),
    ],
)
def test_chunks_that_v3_cannot_read_are_refused_in_place_and_streamed_into_a_copy(
    options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.zarr"
    array = array_of(path, **options)
    array[:3] = np.arange(3) / 4
    refused(path, CodecError, words, "'theirs'", "DST", version="0.5")
    done = upgrade(path, tmp_path / "b.zarr", version="0.5")
    assert done.streamed == ("theirs",)
    found: Any = zarr.open_array(tmp_path / "b.zarr", path="theirs", mode="r", zarr_format=3)
    np.testing.assert_array_equal(found[...], zarr.open_array(path, path="theirs", mode="r", zarr_format=2)[...])


@pytest.mark.parametrize(
    "change",
    [
        {"dimension_separator": "-"},
        {"fill_value": -1},
        {"fill_value": "NaN"},
        {"dtype": "=u1"},
        {"dtype": "no type"},
        {"zarr_format": 3},
        {"shape": 5},
        {"compressor": {"id": "jpegxl"}},
    ],
)
@pytest.mark.parametrize("in_place", [True, False])
def test_arrays_that_zarr_does_not_read_are_refused_by_name(
    change: dict[str, Any], in_place: bool, tmp_path: Path
) -> None:
    image(path := tmp_path / "a.zarr", "0.4")
    array = path / "labels/nuclei/1/.zarray"
    array.write_text(json.dumps({**json.loads(array.read_text()), **change}))
    refused(
        path, MetadataError, "'labels/nuclei/1", "mend", version="0.5", dst=None if in_place else tmp_path / "b.zarr"
    )
    assert not (tmp_path / "b.zarr").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"chunk_grid": None},
        {"chunk_grid": "regular"},
        {"chunk_grid": {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": [[20], [26]]}}},
        {"attributes": [1]},
        {"shape": None},
    ],
)
def test_arrays_of_v3_that_zarr_does_not_read_are_refused_by_name(change: dict[str, Any], tmp_path: Path) -> None:
    image(path := tmp_path / "a.zarr", "0.5")
    array = path / "labels/nuclei/1/zarr.json"
    changed = {**json.loads(array.read_text()), **change}
    array.write_text(json.dumps({key: value for key, value in changed.items() if value is not None}))
    refused(path, MetadataError, "'labels/nuclei/1", "", version="0.4", dst=tmp_path / "b.zarr")
    assert not (tmp_path / "b.zarr").exists()


def test_arrays_without_pixels_or_attributes_are_copied_as_others(tmp_path: Path) -> None:
    array_of(path := tmp_path / "a.zarr", dtype="u2", compressors=numcodecs.LZMA())
    document = json.loads((path / "theirs/.zarray").read_text())
    (path / "theirs/.zarray").write_text(json.dumps({**document, "shape": [0], "chunks": [0]}))
    upgrade(path, tmp_path / "b.zarr", version="0.5")
    array = tmp_path / "b.zarr/theirs/zarr.json"
    array.write_text(json.dumps({**json.loads(array.read_text()), "attributes": None}))
    upgrade(tmp_path / "b.zarr", tmp_path / "c.zarr", version="0.4")
    assert zarr.open_array(tmp_path / "c.zarr/theirs", mode="r", zarr_format=2).shape == (0,)


def test_chunks_that_cannot_be_decoded_are_named(tmp_path: Path) -> None:
    array_of(path := tmp_path / "a.zarr", dtype="u2", compressors=numcodecs.LZMA())[:3] = 1
    next(file for file in (path / "theirs").iterdir() if not file.name.startswith(".")).write_bytes(b"broken")
    refused(path, OmeZarrError, "a.zarr/theirs", "cannot be decoded", version="0.5", dst=tmp_path / "b.zarr")
    assert not (tmp_path / "b.zarr").exists()


def test_arrays_that_zarr_does_not_know_stay_where_the_format_stays(tmp_path: Path) -> None:
    image(path := tmp_path / "a.zarr", "0.5")
    zarr.open_group(path, mode="r+").create_array("aux/w", shape=(40,), chunks=(7,), dtype="u2")[:] = np.arange(40)
    document = json.loads((path / "aux/w/zarr.json").read_text())
    for change in (
        {"data_type": "bfloat16"},
        {"chunk_key_encoding": {"name": "ours"}},
        {"chunk_grid": {"name": "ours"}},
    ):
        (path / "aux/w/zarr.json").write_text(json.dumps({**document, **change}))
        upgrade(path, copy := tmp_path / "b.zarr", version="0.5", mode="w")
        assert contents(copy) == contents(path)
        before = contents(path / "aux")
        upgrade(path, version="0.6")
        upgrade(path, version="0.5")
        assert contents(path / "aux") == before
        refused(path, MetadataError, "array 'aux/w'", version="0.4", dst=tmp_path / "c.zarr")


@pytest.mark.parametrize("after", ["0.4", "0.5"])
def test_files_of_others_in_the_folder_of_an_array_are_copied(after: str, tmp_path: Path) -> None:
    image(path := tmp_path / "a.zarr", "0.4")
    files = {"0/README.txt", "1/thumbs/0.png", "labels/nuclei/0/.hidden", "0/0/notes.txt"}
    cut_off = {f"{begin}.{'0a' * 16}.partial" for begin in ("0/.zarray", "0/0/0/1", "1/0.0", "1/c", "zarr")}
    for name in files | cut_off:
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text(name)
    assert set(upgrade(path, copy := tmp_path / "b.zarr", version=after).files) == files
    assert not [*copy.rglob("*.partial")]
    assert all((copy / name).read_text() == name for name in files)


@pytest.mark.parametrize("dtype", [[("a", "i4"), ("b", "f4")], "|V5"])
def test_data_types_that_v3_has_not_are_refused_anywhere(dtype: Any, tmp_path: Path) -> None:
    array_of(tmp_path / "a.zarr", dtype=np.dtype(dtype))
    for dst in (None, tmp_path / "b.zarr"):
        refused(tmp_path / "a.zarr", DtypeError, "'theirs'", "data type", "remove the array", dst=dst, version="0.5")
    assert not (tmp_path / "b.zarr").exists()


def test_all_faults_are_told_together(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    array_of(path, dtype="u2", compressors=numcodecs.LZMA())
    group = zarr.open_group(path, mode="r+", zarr_format=2)
    group.create_array("other", shape=(5,), dtype="|V3")
    group.create_array("again", shape=(5,), dtype="u1", compressors=numcodecs.LZMA())
    group.attrs["ome"] = {"mine": 1}
    refused(path, MultipleErrors, "3 reasons", "'lzma'", "1 other node", "'|V3'", "two versions", version="0.5")


@pytest.mark.parametrize("version", ["0.5", "0.6"])
def test_v3_does_not_become_v2_in_place(version: str, tmp_path: Path) -> None:
    image(tmp_path / "a.zarr", version)
    refused(tmp_path / "a.zarr", CodecError, "Zarr v2", "DST", version="0.4")


@pytest.mark.parametrize("after", ["0.5", "0.4"])
def test_systems_that_a_version_cannot_hold_are_refused(after: str, tmp_path: Path) -> None:
    da: Any = pixels(y=8, x=8)
    turned = da.omezarr.assign_affine([[1, 0.5, 0], [0, 1, 3]], system="stage")
    turned.omezarr.to_zarr(tmp_path / "a.zarr", version="0.6", levels=1)
    told = refused(tmp_path / "a.zarr", MetadataError, "'stage'", version=after, dst=tmp_path / "b.zarr")
    (name,) = re.findall(r"coordinate_system='(\w+)'\)\.omezarr\.to_zarr", told)
    alone: Any = xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr", coordinate_system=name)
    alone.omezarr.to_zarr(tmp_path / "b.zarr", version=after, levels=1)


def test_scenes_are_of_0_6_alone(tmp_path: Path) -> None:
    path, copy = tmp_path / "a.zarr", tmp_path / "b.zarr"
    xomezarr.write_scene({"a": pixels(1), "b": pixels(2)}, path, transforms={"b": {"x": 12.0}}, levels=2)
    refused(path, VersionError, "scenes", "group '/'", version="0.5")
    upgrade(path, copy, version="0.6")
    assert contents(copy) == contents(path)
    check_same_trees(xr.open_datatree(path, engine="omezarr"), xr.open_datatree(copy, engine="omezarr"))


def test_labels_of_0_5_are_integers(tmp_path: Path) -> None:
    image(path := tmp_path / "a.zarr", "0.4")
    document = json.loads((path / "labels/nuclei/0/.zarray").read_text())
    (path / "labels/nuclei/0/.zarray").write_text(json.dumps({**document, "dtype": "<f4"}))
    refused(path, LabelError, "labels are integers", "to_labels", version="0.5")


def test_rules_that_came_later_are_told(tmp_path: Path) -> None:
    write_early_plate(path := tmp_path / "a.zarr", "0.3")
    attrs = json.loads((path / ".zattrs").read_text())
    attrs["plate"]["rows"] = [{"name": "A"}, {"name": "B"}, {"name": "no row!"}]
    (path / ".zattrs").write_text(json.dumps(attrs))
    assert xomezarr.validate(path).valid
    refused(path, MetadataError, "rule 67", "group '/'", version="0.4")


@pytest.mark.parametrize("before", ["0.4", "0.5"])
@pytest.mark.parametrize("of_level", [True, False])
def test_unknown_keys_of_transformations_are_refused_before_0_6(before: str, of_level: bool, tmp_path: Path) -> None:
    image(path := tmp_path / "a.zarr", before)
    document = path / (".zattrs" if before == "0.4" else "zarr.json")
    told = json.loads(document.read_text())
    multiscale = (told if before == "0.4" else told["attributes"]["ome"])["multiscales"][0]
    multiscale.setdefault("coordinateTransformations", [{"type": "scale", "scale": [1.0] * 3}])
    transformations = (multiscale["datasets"][1] if of_level else multiscale)["coordinateTransformations"]
    transformations[0]["calibrated"] = "2026-01-01"
    document.write_text(json.dumps(told))
    refused(path, MetadataError, "'calibrated'", "group '/'", "remove", version="0.6")
    upgrade(path, tmp_path / "b.zarr", version="0.5")
    assert "calibrated" in (tmp_path / "b.zarr/zarr.json").read_text()


@pytest.mark.parametrize("version", ["0.7", "0.1", "0.3", "1", ["0.5"], None])
def test_versions_that_are_not_written_are_refused(version: Any, tmp_path: Path) -> None:
    image(tmp_path / "a.zarr", "0.4")
    refused(tmp_path / "a.zarr", VersionError, str(version), version=version)


def test_a_store_of_a_version_that_is_not_known_is_refused(tmp_path: Path) -> None:
    image(path := tmp_path / "a.zarr", "0.5")
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"]["ome"]["version"] = "0.9"
    (path / "zarr.json").write_text(json.dumps(document))
    refused(path, VersionError, "0.9", version="0.6")


def test_a_part_of_a_store_is_refused_in_place_and_copied(tmp_path: Path) -> None:
    plate(path := tmp_path / "a.zarr", "0.4")
    with pytest.raises(VersionError, match=r"part of the store 'file://[^']*a\.zarr'"):
        upgrade(path / "A/1/0", version="0.5")
    for document in (path / "A").glob(".z*"):  # groups of rows need not be there
        document.unlink()
    with pytest.raises(VersionError, match="part of the store"):
        upgrade(path / "A/1", version="0.5")
    upgrade(path / "A/1/0", tmp_path / "b.zarr", version="0.5")
    assert xomezarr.validate(tmp_path / "b.zarr").valid


def test_what_is_wrong_with_a_store_does_not_keep_it_from_being_copied(tmp_path: Path) -> None:
    image(path := tmp_path / "a.zarr", "0.5")
    document = json.loads((path / "zarr.json").read_text())
    del document["attributes"]["ome"]["multiscales"][0]["datasets"]
    (path / "zarr.json").write_text(json.dumps(document))
    upgrade(path, tmp_path / "b.zarr", version="0.5")
    assert contents(tmp_path / "b.zarr") == contents(path)
    refused(path, MetadataError, "there are no datasets", "group '/'", version="0.6")


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
@pytest.mark.parametrize("name", ["0", "labels", "labels/nuclei"])
def test_what_links_lead_to_out_of_the_store_is_copied_and_not_changed(name: str, tmp_path: Path) -> None:
    image(path := tmp_path / "a.zarr", "0.4")
    image(other := tmp_path / "b.zarr", "0.4")
    shutil.rmtree(path / name)
    (path / name).symlink_to(other / name)
    before = contents(other)
    refused(path, StoreExistsError, repr(name), "link", "DST", version="0.5")
    assert contents(other) == before
    assert not upgrade(path, version="0.4").steps
    upgrade(path, copy := tmp_path / "c.zarr", version="0.5")
    check_same(opened("image", other), opened("image", copy))


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_that_lead_back_are_refused(tmp_path: Path) -> None:
    image(path := tmp_path / "a.zarr", "0.4")
    for target in ("..", "."):
        (path / "labels/up").symlink_to(target)
        with pytest.raises(MetadataError, match=r"'labels/up'.*remove the link"):
            upgrade(path, tmp_path / "b.zarr")
        (path / "labels/up").unlink()


def test_what_is_being_written_is_refused(tmp_path: Path) -> None:
    from xomezarr import stage

    image(path := tmp_path / "a.zarr", "0.4")
    making = stage.beside(path / "labels/cells", "partial")
    making.mkdir()
    refused(path, IncompleteStoreError, "is being written", version="0.5")
    making.rmdir()
    group = zarr.open_group(path, path="labels/nuclei", mode="r+", zarr_format=2)
    group.attrs.put(xomezarr.store.withhold(group.attrs.asdict()))
    refused(path, IncompleteStoreError, "'labels/nuclei'", "interrupted", version="0.5")


def test_what_a_killed_writer_has_left_is_finished_or_passed_over(tmp_path: Path) -> None:
    image(path := tmp_path / "a.zarr", "0.4")
    named = "import sys, pathlib; from xomezarr import stage; print(stage.beside(pathlib.Path(sys.argv[1]), 'partial'))"
    command = [sys.executable, "-c", named, str(path / "labels/nuclei")]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    for name in ("partial", "old"):
        (left := Path(child.stdout.strip()).with_suffix(f".{name}")).mkdir()
    (path / "labels/nuclei").rename(left.with_suffix(".new"))
    upgrade(path, tmp_path / "b.zarr", version="0.5")
    assert sorted(file.name for file in (tmp_path / "b.zarr/labels").iterdir()) == ["nuclei", "zarr.json"]
    upgrade(path, version="0.5")
    assert xomezarr.validate(path).valid


def test_what_is_at_dst_stays_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    image(path := tmp_path / "a.zarr", "0.4")
    image(other := tmp_path / "b.zarr", "0.4")
    before = contents(other)
    refused(path, StoreExistsError, 'mode="w"', dst=other)
    assert contents(other) == before
    upgrade(path, other, mode="w")
    assert xomezarr.validate(other).version == "0.5"
    refused(path, StoreExistsError, "leave DST out", dst=path / "inner.zarr")
    refused(path, StoreExistsError, "leave DST out", dst=path, mode="w")


def test_a_copy_in_the_place_of_what_a_group_lists_is_of_its_version(tmp_path: Path) -> None:
    image(path := tmp_path / "a.zarr", "0.5")
    plate(of_wells := tmp_path / "p.zarr", "0.4")
    field, label = of_wells / "A/1/0", path / "labels/nuclei"
    for version in ("0.5", "0.6"):
        refused(path, VersionError, "a well", "version='0.4'", dst=field, mode="w", version=version)
    for version in ("0.4", "0.6"):
        refused(of_wells / "A/1/0", VersionError, "labels", "version='0.5'", dst=label, mode="w", version=version)
    upgrade(path, field, mode="w", version="0.4")
    assert xomezarr.validate(of_wells).valid
    xomezarr.write_scene({"a": pixels(), "b": pixels()}, scene := tmp_path / "s.zarr", levels=1)
    pixels().omezarr.to_units({"y": "nm", "x": "nm"}).omezarr.to_zarr(other := tmp_path / "o.zarr", levels=1)
    refused(other, AxisError, "of the scene", dst=scene / "a", mode="w", version="0.6")


def test_what_is_no_store_of_ome_zarr_is_refused(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "a.zarr")
    refused(tmp_path / "a.zarr", NotOmeZarrError, "without OME metadata")
    refused(tmp_path / "b.zarr", StoreNotFoundError, "nothing at")


def test_stores_that_are_read_only_are_refused_in_place(tmp_path: Path) -> None:
    image(tmp_path / "a.zarr", "0.4")
    store = zarr.storage.LocalStore(tmp_path / "a.zarr", read_only=True)
    with pytest.raises((StoreExistsError, OSError, ValueError), match=r"read.only|opened for reading|DST"):
        upgrade(store)
    assert xomezarr.validate(tmp_path / "a.zarr").version == "0.4"


# -- other places ---------------------------------------------------------------------------------------------


def test_single_files_are_written_and_read_and_not_changed(tmp_path: Path) -> None:
    plate(path := tmp_path / "a.zarr", "0.4")
    upgrade(path, tmp_path / "b.ozx")
    refused(tmp_path / "b.ozx", ArchiveError, "single file", "DST", "new.ozx", "version='0.6'", version="0.6")
    refused(tmp_path / "b.ozx", ArchiveError, "single file", "DST", "new.ome.zarr", version="0.4")
    refused(path, VersionError, "single file", dst=tmp_path / "c.ozx", version="0.4")
    upgrade(tmp_path / "b.ozx", tmp_path / "c.zarr", version="0.6")
    for place, version in ((tmp_path / "b.ozx", "0.5"), (tmp_path / "c.zarr", "0.6")):
        assert xomezarr.validate(place).valid
        assert xomezarr.validate(place).version == version
        check_same(opened("plate", path), opened("plate", place))


def test_stores_in_memory_and_urls_are_changed_and_copied(tmp_path: Path) -> None:
    store = MemoryStore()
    image(store, "0.4")  # type: ignore[arg-type]
    read = opened("image", store)
    url = f"memory://upgrade/{tmp_path.name}.zarr"
    upgrade(store, url, version="0.6")
    assert upgrade(url, version="0.5").before == "0.6"
    upgrade(store, version="0.5")
    for place in (store, url):
        check_same(read, opened("image", place))
        assert xomezarr.validate(place).version == "0.5"
    assert not [key for key in store._store_dict if key.endswith((".zattrs", ".zgroup", ".zarray", ".zmetadata"))]


def test_walking_reads_no_chunk(tmp_path: Path) -> None:
    image(path := tmp_path / "a.zarr", "0.4")
    for file in chunks(path):
        (path / file).write_bytes(b"broken")
    found = walk(zarr.open_group(path, mode="r", zarr_format=2))
    assert [node.path for node in found.nodes if node.is_array] == [
        *"012",
        *(f"labels/nuclei/{level}" for level in range(3)),
    ]
    assert found.files == ()


class WithFolders(MemoryStore):
    """Says, as object stores do, that folders exist too; knows what was listed."""

    listed: ClassVar[list[str]] = []  # zarr makes others of it

    async def exists(self, key: str) -> bool:
        return any(name == key or name.startswith(f"{key}/") for name in self._store_dict)

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        self.listed.append(prefix.strip("/"))
        async for name in super().list_dir(prefix):
            yield name


def test_walking_lists_no_chunk() -> None:
    image(store := WithFolders(), "0.4")  # type: ignore[arg-type]
    store._store_dict["notes/a.txt"] = store._store_dict[".zgroup"]
    store.listed.clear()
    found = walk(zarr.open_group(store, mode="r", zarr_format=2))
    assert found.files == ("notes/a.txt",)
    assert {*store.listed} == {"", "labels", "labels/nuclei", "notes", "notes/a.txt"}


# -- the command ----------------------------------------------------------------------------------------------


def test_the_command_upgrades_in_place_and_into_a_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image(path := tmp_path / "a.zarr", "0.4")
    before = contents(path)
    assert main(["upgrade", str(path), "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert contents(path) == before
    assert main(["upgrade", str(path), str(tmp_path / "b.zarr"), "--version", "0.6"]) == 0
    assert "copied to" in capsys.readouterr().out
    assert main(["upgrade", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == told
    assert (told["before"], told["version"], told["groups"], len(told["arrays_kept"])) == ("0.4", "0.5", 3, 6)
    assert sorted(told["documents_written"]) == sorted(key for key in contents(path) if key.endswith("zarr.json"))
    assert sorted(told["documents_deleted"]) == sorted(key for key in before if Path(key).name in DOCUMENTS)
    assert main(["upgrade", str(path)]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_the_command_says_who_is_at_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image(path := tmp_path / "a.zarr", "0.5")
    assert main(["upgrade", str(path), "--version", "0.3"]) == 2
    assert main(["upgrade", str(path), "--overwrite"]) == 2
    assert main(["upgrade", str(path), "--version", "0.4"]) == 1
    assert main(["upgrade", str(tmp_path / "none.zarr")]) == 1
    assert main(["upgrade", str(path), str(path)]) == 1
    assert all(line.startswith("xomezarr: ") for line in capsys.readouterr().err.splitlines())


def test_a_version_that_the_store_does_not_name_is_no_fault_of_the_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels().omezarr.to_zarr(path := tmp_path / "a.zarr", version="0.5", levels=1)
    group = zarr.open_group(path, mode="r+")
    group.attrs["ome"] = {key: value for key, value in group.attrs["ome"].items() if key != "version"}
    assert main(["upgrade", str(path), "--version", "0.6"]) == 1
    assert "--version" not in capsys.readouterr().err


def test_paths_of_any_kind_are_taken(tmp_path: Path) -> None:
    image(tmp_path / "a.zarr", "0.4")
    assert upgrade(os.fspath(tmp_path / "a.zarr"), dry_run=True).store == os.fspath(tmp_path / "a.zarr")


def test_an_image_in_a_group_of_others_is_refused_with_the_cure(tmp_path: Path) -> None:
    root = zarr.create_group(tmp_path / "a.zarr", zarr_format=2)
    assert root.metadata.zarr_format == 2
    image = xr.DataArray(np.zeros((8, 8), "u1"), dims=("y", "x")).omezarr.assign_grid(scale={"y": 1.0, "x": 1.0})
    image.omezarr.to_zarr(tmp_path / "a.zarr" / "image")
    with pytest.raises(VersionError, match=r"lies in the Zarr group .*a\.zarr', which is no OME-Zarr, .*; give a DST$"):
        xomezarr.upgrade(tmp_path / "a.zarr" / "image")
    xomezarr.upgrade(tmp_path / "a.zarr" / "image", tmp_path / "b.zarr")
    assert xr.open_dataarray(tmp_path / "b.zarr", engine="omezarr").equals(image)


class Slow(MemoryStore):
    """Knows how many bytes it was asked for at the same time at most, and how often for what is not there."""

    under_way = most = missing = 0

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        content = await super().get(key, *args, **kwargs)
        size = 0 if content is None else len(content)
        self.missing += content is None
        self.under_way += size
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0.001)
        self.under_way -= size
        return content


@pytest.mark.parametrize("after", ["0.5", "0.6"])
def test_a_copy_has_no_more_than_some_bytes_in_memory(after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "COPIED", 5000)
    image = pixels(y=256, x=256)
    image.omezarr.to_zarr(store := Slow(), version="0.5", levels=1, chunks={"y": 32, "x": 32}, compressors=None)
    upgrade(store, copy := MemoryStore(), version=after)
    assert 2048 < store.most <= 5000
    np.testing.assert_array_equal(xr.open_dataarray(copy, engine="omezarr"), image)


def test_only_chunks_that_are_there_are_asked_for() -> None:
    pixels(y=64, x=64).omezarr.to_zarr(store := Slow(), levels=1, chunks={"y": 32, "x": 32})
    document = json.loads(store._store_dict["0/.zarray"].to_bytes())
    large = {**document, "shape": [10**15, 64]}  # as of a time series that has just begun
    store._store_dict["0/.zarray"] = store._store_dict[".zgroup"].from_bytes(json.dumps(large).encode())
    store.missing = 0
    upgrade(store, copy := MemoryStore(), version="0.5")
    assert store.missing < 20
    assert sorted(key for key in copy._store_dict if key.startswith("0/c/")) == [
        f"0/c/{y}/{x}" for y in "01" for x in "01"
    ]


def test_chunks_of_zeros_are_written_where_arrays_have_no_fill_value(tmp_path: Path) -> None:
    image = xr.DataArray(np.zeros((64, 64), "u2"), dims=("y", "x")).omezarr.assign_grid(scale={"y": 1.0, "x": 1.0})
    options: Any = {"levels": 1, "chunks": {"y": 16, "x": 16}}
    image.omezarr.to_zarr(tmp_path / "a.zarr", version="0.5", **options)
    image.omezarr.to_zarr(tmp_path / "b.zarr", version="0.4", **options)
    xomezarr.upgrade(tmp_path / "a.zarr", tmp_path / "c.zarr", version="0.4")
    made, wanted = (
        {str(path.relative_to(tmp_path / name)) for path in (tmp_path / name / "0").rglob("*")} - {"0/.zattrs"}
        for name in ("c.zarr", "b.zarr")
    )
    assert made == wanted
    assert json.loads((tmp_path / "c.zarr/0/.zarray").read_text())["fill_value"] is None
