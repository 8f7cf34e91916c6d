"""Stores that are broken, or made to do harm: an error of ours, soon, in little memory, and nothing else is touched."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from fuzzing import USES, Templates, use
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import files

import xomezarr
from xomezarr.errors import ArchiveError, MetadataError, OmeZarrError, StoreExistsError

VERSIONS = ("0.4", "0.5")

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="pipes, devices and links are those of Unix"),
    pytest.mark.filterwarnings("ignore::xomezarr.errors.OmeZarrWarning"),
]


def image() -> xr.DataArray:
    pixels = np.random.default_rng(0).poisson(9, (2, 16, 20)).astype("u2")
    return xr.DataArray(pixels, dims=("c", "y", "x"), name="cells").omezarr.assign_grid(scale={"y": 0.5, "x": 0.5})


def labels() -> xr.DataArray:
    return (image().isel(c=0, drop=True) > 9).astype("u2")


def written(path: Path, version: str) -> Path:
    image().omezarr.to_zarr(path, version=version, levels=2, chunks={"y": 8, "x": 8}, labels={"nuclei": labels()})
    return path


def document(group: Path, kind: str = "attributes") -> Path:
    """Return a document of a group or an array."""
    new = group / "zarr.json"
    return new if new.exists() else group / {"attributes": ".zattrs", "group": ".zgroup", "array": ".zarray"}[kind]


def chunk(path: Path) -> Path:
    return path / ("0/0/1/1" if (path / ".zgroup").exists() else "0/c/0/1/1")


def open_all(path: Path) -> None:
    """Use a store in every way that reads; whatever is raised is ours, or the system's."""
    for how in USES:
        use(path, how)


# --- any documents ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    return Templates(tmp_path_factory.mktemp("templates"))


@settings(max_examples=25, derandomize=True)
@given(data=st.data())
def test_any_document_may_say_anything(templates: Templates, data: st.DataObject) -> None:
    """Fuzzing: `fuzzing.py` tries many more."""
    with templates.spoiled(data.draw) as path:
        open_all(path)


def test_templates_are_read_in_all_ways(templates: Templates) -> None:
    """What is spoiled is right before, or nothing would be found."""
    told = {(name, how): use(path, how) for name, path in templates.paths.items() for how in USES}
    readers = {"open_datatree", "validate", "validate pixels", "info", "upgrade"}
    assert {told[name, how] for name in templates.paths for how in readers} == {"right"}
    assert {told[name, how] for name in ("image-0.4", "image-0.5", "shards", "xarray") for how in USES} == {
        "right",
        "NotOmeZarrError",  # no plate
    }


ODD: Mapping[str, Callable[[bytes], bytes]] = {
    "a byte order mark": lambda content: b"\xef\xbb\xbf" + content,
    "UTF-16": lambda content: content.decode().encode("utf-16"),
    "UTF-32": lambda content: content.decode().encode("utf-32"),
    "half": lambda content: content[: len(content) // 2],
    "bytes": lambda content: bytes(range(256)),
    "deep": lambda content: b"[" * 10**5 + b"]" * 10**5,
    "large": lambda content: content.rstrip()[:-1] + b', "x": "' + b"x" * 20_000_000 + b'"}',
    "long numbers": lambda content: content.rstrip()[:-1] + b', "x": ' + b"1" * 5000 + b"}",
    "a key twice": lambda content: content.rstrip()[:-1] + b', "ome": {}, "multiscales": []}',
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("version", VERSIONS)
def test_documents_are_no_json_or_odd_json(version: str, odd: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.zarr", version)
    file = document(path)
    file.write_bytes(ODD[odd](file.read_bytes()))
    open_all(path)


# --- shapes and chunks -----------------------------------------------------------------------------------------------


def said_of_array(path: Path, shape: Any = None, chunks: Any = None) -> None:
    """Change what level 0 says of itself."""
    import json

    file = document(path / "0", "array")
    said = json.loads(file.read_text())
    if shape is not None:
        said["shape"] = shape
    if chunks is not None and "chunks" in said:
        said["chunks"] = chunks
    elif chunks is not None:
        said["chunk_grid"]["configuration"]["chunk_shape"] = chunks
    file.write_text(json.dumps(said))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [2**40, 2**62, 2**63, 10**40])
def test_a_dimension_that_no_coordinates_fit_is_refused(version: str, size: int, tmp_path: Path) -> None:
    path = written(tmp_path / "a.zarr", version)
    said_of_array(path, shape=[2, size, 2])
    with pytest.raises(MetadataError, match=rf"a\.zarr/0' is \(2, {size}, 2\)"):
        xr.open_datatree(path, engine="omezarr")
    assert "98" in {one.rule for one in xomezarr.validate(path, grids=True, chunks=True).errors}
    open_all(path)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "shape", [[2, 0, 2], [0, 0, 0], [2, -1, 2], [2, 1.5, 2], [2, "2", 2], [2] * 40, [], "222", {"a": 1}, [[2], 2, 2]]
)
def test_shapes_that_are_none_are_told(version: str, shape: Any, tmp_path: Path) -> None:
    path = written(tmp_path / "a.zarr", version)
    said_of_array(path, shape=shape)
    assert not xomezarr.validate(path, grids=True, chunks=True).valid or 0 in shape
    open_all(path)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_level_of_billions_of_chunks_is_opened_and_read_like_any_other(version: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.zarr", version)
    said_of_array(path, shape=[2, 10**6, 10**6])
    level = xr.open_datatree(path, engine="omezarr").omezarr.level(0)
    assert level.shape == (2, 10**6, 10**6)
    np.testing.assert_array_equal(level[:, :8, :8], image()[:, :8, :8])
    assert {one.rule for one in xomezarr.validate(path, grids=True, chunks=True)} >= {"97", "116"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("chunks", [[1, 2**40, 2**40], [1, 2**62, 2**62], [1, 2**80, 1], [1, 1, 1], [0, 8, 8], None])
def test_chunks_of_any_size_are_told(version: str, chunks: Any, tmp_path: Path) -> None:
    path = written(tmp_path / "a.zarr", version)
    said_of_array(path, chunks=chunks or "none")
    with pytest.raises(OmeZarrError):
        xr.open_datatree(path, engine="omezarr").omezarr.level(0).load()
    assert not xomezarr.validate(path, chunks=True).valid
    open_all(path)


@pytest.mark.parametrize("what", ["scale", "translation"])
@pytest.mark.parametrize(
    "number", ["1e400", "NaN", "0", "-1", "1e308", "5e-324", "1" * 400, "null", '"1"', "[]", "true"]
)
def test_positions_may_be_any_number(what: str, number: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.zarr", "0.4")
    import json

    file = document(path)
    said = json.loads(file.read_text())
    for one in said["multiscales"][0]["datasets"][0]["coordinateTransformations"]:
        if one["type"] == what:
            one[what][-1] = "@"
    file.write_text(json.dumps(said).replace('"@"', number))
    open_all(path)
    with suppress(OmeZarrError):
        labels().omezarr.to_labels(path, "others")
    with suppress(OmeZarrError):
        xr.open_datatree(path, engine="omezarr").omezarr.to_zarr(tmp_path / "b.zarr")


# --- what stands in a folder under the name of a file ----------------------------------------------------------------


def pipe(file: Path) -> None:
    os.mkfifo(file)


def endless(file: Path) -> None:
    file.symlink_to("/dev/zero")


def listening(file: Path) -> None:
    here = Path.cwd()
    os.chdir(file.parent)  # names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(file.name)
    finally:
        os.chdir(here)


def huge(file: Path) -> None:
    with file.open("wb") as one:
        one.truncate(10**13)


def circle(file: Path) -> None:
    file.symlink_to(file)


THINGS = (pipe, endless, listening, huge, circle, Path.mkdir)

PLACES: Mapping[str, Callable[[Path], Path]] = {
    "group": lambda path: document(path, "group"),
    "attributes": document,
    "array": lambda path: document(path / "0", "array"),
    "chunk": chunk,
    "labels": lambda path: document(path / "labels"),
    "array of labels": lambda path: document(path / "labels/nuclei/0", "array"),
}


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Fail where something waits for ever, as who opens a pipe does."""
    import signal

    def fail(*args: Any) -> None:
        raise AssertionError(f"nothing came in {seconds} s")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: thing.__name__)
def test_what_is_no_file_is_not_read(version: str, thing: Callable[[Path], None], tmp_path: Path) -> None:
    for name, place in PLACES.items():
        path = written(tmp_path / f"{name}.zarr", version)
        file = place(path)
        file.unlink()
        with suppress(OSError):  # a file system that holds no such file
            thing(file)
            with within(60):
                open_all(path)
                with suppress(OmeZarrError, OSError):
                    xomezarr.convert(path, tmp_path / "copy.zarr", mode="w")
                with suppress(OmeZarrError, OSError):
                    image().omezarr.to_zarr(path, mode="w")


def test_a_pipe_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.zarr", "0.5")
    file = chunk(path)
    file.unlink()
    pipe(file)
    with within(60), pytest.raises(OmeZarrError, match=r"'.*/0/c/0/1/1' is no file, but a pipe"):
        xr.open_dataarray(path, engine="omezarr").load()
    (found,) = xomezarr.validate(path, chunks=True).errors
    assert "is no file" in found.message


# --- links that lead out ---------------------------------------------------------------------------------------------


CHANGES: Mapping[str, Callable[[Path], object]] = {
    "to_labels": lambda path: labels().omezarr.to_labels(path, "others"),
    "to_labels over others": lambda path: labels().omezarr.to_labels(path, "nuclei", mode="w"),
    "delete_labels": lambda path: xomezarr.delete_labels(path, "nuclei"),
    "region": lambda path: (xr.open_dataarray(path, engine="omezarr")[:, :8, :8].load() * 0).omezarr.to_zarr(
        path, region="auto"
    ),
    "upgrade": lambda path: xomezarr.upgrade(path),
    "overwrite": lambda path: image().omezarr.to_zarr(path, mode="w"),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("change", CHANGES)
def test_what_links_lead_to_is_read_and_not_changed(version: str, change: str, tmp_path: Path) -> None:
    other = written(tmp_path / "other.zarr", version)
    before = files(other)
    for name in ("labels", "labels/nuclei", "labels/nuclei/0", "0", "1", "chunk", "document"):
        path = written(tmp_path / f"{name.replace('/', '-')}.zarr", version)
        if name in ("chunk", "document"):
            of = chunk if name == "chunk" else document
            file = of(path)
            file.unlink()
            file.symlink_to(of(other))
        else:
            shutil.rmtree(path / name)
            (path / name).symlink_to(other / name)
        xr.testing.assert_identical(
            xr.open_dataarray(path, engine="omezarr"), xr.open_dataarray(other, engine="omezarr")
        )
        with suppress(OmeZarrError):
            CHANGES[change](path)
        assert files(other) == before, name


@pytest.mark.parametrize("change", ["to_labels", "delete_labels", "region"])
def test_a_link_that_leads_out_is_named(change: str, tmp_path: Path) -> None:
    other = written(tmp_path / "other.zarr", "0.4")
    name = "0" if change == "region" else "labels"
    path = written(tmp_path / "a.zarr", "0.4")
    shutil.rmtree(path / name)
    (path / name).symlink_to(other / name)
    with pytest.raises(StoreExistsError, match=f"'{name}' of .*a link leads out of the store") as caught:
        CHANGES[change](path)
    assert str(other / name) in str(caught.value)


def test_links_within_a_store_are_written_through(tmp_path: Path) -> None:
    path = written(tmp_path / "a.zarr", "0.4")
    (path / "0").rename(path / "pixels")
    (path / "0").symlink_to("pixels")
    CHANGES["region"](path)
    assert not xr.open_dataarray(path, engine="omezarr")[:, :8, :8].any()


# --- paths -----------------------------------------------------------------------------------------------------------

OUT = ("..", "../other.zarr/0", "/", "0/../../other.zarr/0", "a\\..\\..", "C:/0", "\0", ".", "", "s3://bucket/0")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("out", OUT)
def test_no_path_leads_out(version: str, out: str, tmp_path: Path) -> None:
    import json

    other = written(tmp_path / "other.zarr", version)
    before = files(other)
    for name in ("", "labels"):
        path = written(tmp_path / "a.zarr", version)
        file = document(path / name)
        said = json.loads(file.read_text())
        attrs = said if version == "0.4" else said["attributes"]["ome"]
        if name:
            attrs["labels"] = [out]
        else:
            attrs["multiscales"][0]["datasets"][0]["path"] = out
        file.write_text(json.dumps(said))
        assert not xomezarr.validate(path).valid
        open_all(path)
        for change in CHANGES.values():
            with suppress(OmeZarrError):
                change(path)
        assert files(other) == before
        shutil.rmtree(path)


# --- single files ----------------------------------------------------------------------------------------------------


def packed(path: Path, content: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, one in content.items():
            archive.writestr(name, one)
    return path


@pytest.fixture
def entries(tmp_path: Path) -> dict[str, bytes]:
    image().omezarr.to_zarr(tmp_path / "whole.ozx", levels=1)
    with zipfile.ZipFile(tmp_path / "whole.ozx") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("name", ["zarr.json", "0/zarr.json", "0/c/0/0/0"])
def test_an_entry_that_swells_is_not_read(
    compression: int, name: str, entries: dict[str, bytes], tmp_path: Path
) -> None:
    assert name in entries
    path = packed(tmp_path / "a.ozx", {**entries, name: bytes(2**27)}, compression)
    with pytest.raises(ArchiveError, match=f"at '{name}': .* bytes there are to become {2**27}"):
        xr.open_dataarray(path, engine="omezarr").load()
    open_all(path)


@pytest.mark.parametrize("field", [20, 24, 42], ids=["compressed size", "size", "offset"])
@pytest.mark.parametrize("value", [0, 1, 2**31 - 1, 2**32 - 16])
@pytest.mark.parametrize("name", ["zarr.json", "0/c/0/0/0"])
def test_the_directory_may_lie(field: int, value: int, name: str, entries: dict[str, bytes], tmp_path: Path) -> None:
    path = packed(tmp_path / "a.ozx", entries)
    content = bytearray(path.read_bytes())
    at = content.index(name.encode(), content.index(b"PK\1\2")) - 46
    if struct.unpack_from("<I", content, at + field) == (value,):
        pytest.skip("that is where it is")
    struct.pack_into("<I", content, at + field, value)
    path.write_bytes(content)
    with pytest.raises(OmeZarrError):
        xr.open_dataarray(path, engine="omezarr").load()
    open_all(path)


def test_bytes_of_a_single_file_may_be_any(entries: dict[str, bytes], tmp_path: Path) -> None:
    path = packed(tmp_path / "a.ozx", entries)
    good, rng = path.read_bytes(), np.random.default_rng(0)
    begin = good.index(b"PK\1\2")
    for _ in range(30):
        content = bytearray(good)
        for where in rng.integers(begin if rng.random() < 0.7 else 0, len(good), rng.integers(1, 5)):
            content[where] = rng.integers(256)
        path.write_bytes(content)
        open_all(path)


@pytest.mark.parametrize("thing", [pipe, endless, huge], ids=lambda thing: thing.__name__)
def test_what_is_no_single_file_is_not_read(thing: Callable[[Path], None], tmp_path: Path) -> None:
    thing(tmp_path / "a.ozx")
    with within(60):
        open_all(tmp_path / "a.ozx")
