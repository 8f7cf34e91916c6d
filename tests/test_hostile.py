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
from fuzzing import DOCUMENTS, OBEYED, STORES, USES, Templates, use
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import files

import xomezarr
from xomezarr.cli import TRACEBACK, main
from xomezarr.errors import ArchiveError, CodecError, MetadataError, OmeZarrError, StoreExistsError
from xomezarr.stage import LOCK, PIXELS

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
    "numbers that are none": lambda content: content.rstrip()[:-1] + b', "x": [NaN, Infinity, -Infinity]}',
    "other gathered documents": lambda content: (
        content.rstrip()[:-1] + b', "consolidated_metadata": {"kind": "inline", "metadata": {"0": {"shape": [1]}}}}'
    ),
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


SAID: Mapping[str, tuple[str, dict[str, Any]]] = {
    "a long fill value": ("0.4", {"fill_value": "x" * 10**6}),
    "pixels of a gigabyte": ("0.4", {"dtype": "|S1000000000"}),
    "text": ("0.4", {"dtype": "|O", "filters": [{"id": "vlen-utf8"}]}),
    "objects in JSON": ("0.4", {"dtype": "|O", "filters": [{"id": "json2"}]}),
    "a codec that nobody knows": ("0.4", {"compressor": {"id": "evil"}}),
    "a codec whose name is a list": ("0.4", {"compressor": {"id": ["blosc"]}}),
    "a codec without a name": ("0.4", {"compressor": {}}),
    "a filter to objects": ("0.4", {"filters": [{"id": "astype", "encode_dtype": "|O", "decode_dtype": "<u2"}]}),
    "a separator that leads up": ("0.4", {"dimension_separator": "/../"}),
    "a separator that is a list": ("0.4", {"dimension_separator": ["/"]}),
    "storage transformers": ("0.5", {"storage_transformers": [{"name": "evil"}]}),
    "an extension that must be understood": ("0.5", {"evil": {"name": "evil"}}),
    "another codec that nobody knows": ("0.5", {"codecs": [{"name": "evil"}]}),
    "keys that lead up": (
        "0.5",
        {"chunk_key_encoding": {"name": "default", "configuration": {"separator": "/../"}}},
    ),
    "text of gigabytes": (
        "0.5",
        {"data_type": {"name": "fixed_length_utf32", "configuration": {"length_bytes": 4 * 10**9}}, "fill_value": ""},
    ),
    "a fill value of many digits": ("0.5", {"fill_value": 10**400}),
}


@pytest.mark.parametrize("what", SAID)
def test_an_array_may_say_anything_of_itself(what: str, tmp_path: Path) -> None:
    import json

    version, said = SAID[what]
    path = written(tmp_path / "a.zarr", version)
    file = document(path / "0", "array")
    file.write_text(json.dumps(json.loads(file.read_text()) | said))
    with pytest.raises(OmeZarrError, match=r"a\.zarr"):
        xr.open_dataarray(path, engine="omezarr").load()
    open_all(path)


class Unpickled:
    """What leaves a trace where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.trace),))


@pytest.mark.parametrize(
    "said",
    [
        {"compressor": {"id": "pickle"}},
        {"compressor": None, "filters": [{"id": "pickle", "protocol": 5}]},
        {"dtype": "|O", "compressor": None, "filters": [{"id": "pickle"}]},
    ],
)
def test_nothing_is_unpickled(said: dict[str, Any], tmp_path: Path) -> None:
    import json
    import pickle

    path = written(tmp_path / "a.zarr", "0.4")
    file = document(path / "0", "array")
    file.write_text(json.dumps(json.loads(file.read_text()) | said))
    for one in (path / "0").rglob("*"):
        if one.is_file() and not one.name.startswith("."):
            one.write_bytes(pickle.dumps(Unpickled(tmp_path / "trace")))
    with pytest.raises((CodecError, MetadataError), match=r"pickle|dtype"):
        xr.open_dataarray(path, engine="omezarr").load()
    open_all(path)
    with suppress(OmeZarrError):
        xomezarr.convert(path / "0", tmp_path / "b.zarr")
    assert not (tmp_path / "trace").exists()


def test_coordinates_that_no_level_has_are_not_read(tmp_path: Path) -> None:
    """xarray makes an index of each, with all its values in memory."""
    import json

    path = tmp_path / "a.zarr"
    image().omezarr.to_zarr(path, version="0.5", levels=1, layout="xarray")
    said = json.loads((path / "0/x/zarr.json").read_text())
    said |= {"shape": [2**31], "dimension_names": ["q"]}
    (path / "0/q").mkdir()
    (path / "0/q/zarr.json").write_text(json.dumps(said))
    with within(30):
        told = xomezarr.validate(path)
    assert f"'0/q' has {2**31} values" in str(told)


@pytest.mark.parametrize(
    "dtype",
    [
        "S2000000000",
        "<U500000000",
        [],
        {},
        "O",
        "V8",
        "category",
        "int64[pyarrow]",
        "datetime64[ns, ../../x]",
        [["a", "O"]],
    ],
)
@pytest.mark.parametrize("where", ["dtype", "columns"])
def test_a_table_may_be_kept_as_anything(where: str, dtype: Any, tmp_path: Path) -> None:
    import json

    path = tmp_path / "a.zarr"
    STORES["image-0.5"](path)
    file = path / "labels/nuclei/zarr.json"
    said = json.loads(file.read_text())
    said["attributes"]["xomezarr"]["properties"][where] = dtype if where == "dtype" else {"area": dtype}
    file.write_text(json.dumps(said))
    with within(5):
        table = xr.open_datatree(path, engine="omezarr")["labels/nuclei"].omezarr.properties
    assert {int(value): dict(row) for value, row in table.iterrows()} == {1: {"area": 3.5}}


@pytest.mark.parametrize(
    ("store", "place", "keys", "value"),
    [
        ("image-0.4", "0/.zarray", ["compressor", "shuffle"], [[]]),
        ("image-0.4", "labels/nuclei/0/.zarray", ["dtype"], None),
        ("image-0.5", "labels/zarr.json", ["attributes", "ome", "version"], [[]]),
        ("image-0.5", "zarr.json", ["node_type"], None),
        ("image-0.5", "labels/nuclei/zarr.json", ["node_type"], None),
    ],
)
@pytest.mark.parametrize("version", ["0.4", "0.6"])
def test_what_the_fuzzer_found_of_upgrade(
    store: str, place: str, keys: list[str], value: Any, version: str, tmp_path: Path
) -> None:
    """None takes the value away."""
    import json

    path = tmp_path / "a.zarr"
    STORES[store](path)
    said = json.loads((path / place).read_text())
    node = said
    for key in keys[:-1]:
        node = node[key]
    if value is None:
        del node[keys[-1]]
    else:
        node[keys[-1]] = value
    (path / place).write_text(json.dumps(said))
    for dst in (None, tmp_path / "b.zarr"):
        with suppress(OmeZarrError):
            xomezarr.upgrade(path, dst, version=version, dry_run=True)
    open_all(path)


@pytest.mark.parametrize("kind", ["labels", "plate", "well", "series"])
@pytest.mark.parametrize("version", VERSIONS)
def test_what_lists_itself_has_an_end(version: str, kind: str, tmp_path: Path) -> None:
    import json

    path = written(tmp_path / "a.zarr", version)
    file = document(path / ("labels" if kind == "labels" else ""))
    said = json.loads(file.read_text())
    attrs = said if version == "0.4" else said["attributes"]["ome"]
    selves = [".", "", "..", "./", "labels/..", "../labels", "nuclei/../nuclei", "nuclei", "nuclei"]
    well = {"path": ".", "rowIndex": 0, "columnIndex": 0}
    attrs |= {
        "labels": {"labels": selves},
        "plate": {"plate": {"rows": [{"name": "."}], "columns": [{"name": ".."}], "wells": [well] * 3}},
        "well": {"well": {"images": [{"path": one} for one in selves]}},
        "series": {"bioformats2raw.layout": 3, "series": selves},
    }[kind]
    file.write_text(json.dumps(said))
    with within(60):
        open_all(path)
    assert not xomezarr.validate(path).valid


def test_the_command_shows_nothing_that_a_terminal_obeys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    path = written(tmp_path / "a.zarr", "0.4")
    file = document(path)
    said = json.loads(file.read_text())
    evil = "\x1b]0;evil\x07\r\u202e"
    said["multiscales"][0] |= {"name": evil, "type": evil}
    said["multiscales"][0]["axes"][1]["unit"] = evil
    said["omero"] = {"channels": [{"label": evil, "color": evil}] * 2}
    file.write_text(json.dumps(said))
    for words in (["info", str(path)], ["validate", str(path)], ["info", str(path / evil)]):
        main(words)
        out, err = capsys.readouterr()
        assert not OBEYED.search(out + err), words
    main(["info", str(path)])
    assert "\\x1b]0;evil\\x07" in capsys.readouterr().out


# --- documents that are none, by the commands ------------------------------------------------------------------------


@pytest.mark.sweep(2)
@pytest.mark.parametrize("bad", [b"", b"[]", b"{}", b"[" * 10**5, b'{"zarr_format": 3, "node_type": "array"}'])
@pytest.mark.parametrize("store", ["image-0.4", "image-0.5", "collection", "xarray", "plain"])
def test_a_document_that_is_none_is_told_by_every_command(
    store: str, bad: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says of errors that are not ours how to see where they arose: there are none."""
    path = tmp_path / "a.zarr"
    if store == "plain":
        xr.Dataset({"a": (("y", "x"), np.ones((4, 5))), "x": np.arange(5.0)}).to_zarr(path, zarr_format=2)
    else:
        STORES[store](path)
    for file in sorted(one for one in path.rglob("*") if one.name in {*DOCUMENTS, ".zmetadata"}):
        good = file.read_bytes()
        file.write_bytes(bad)
        for words in (
            ["info", str(path)],
            ["validate", str(path)],
            ["scale", str(path), str(tmp_path / "b.zarr"), "--dry-run"],
            ["convert", str(path), str(tmp_path / "c.zarr"), "--dry-run"],
            ["upgrade", str(path), "--dry-run"],
        ):
            assert main(words) in (0, 1), words
            told = "".join(capsys.readouterr())
            assert TRACEBACK not in told, (words, file, told)
        with suppress(OmeZarrError):
            image().omezarr.to_zarr(path, resume=True)
        file.write_bytes(good)


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
    "append": lambda path: image().omezarr.to_zarr(path, append_dim="c"),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("change", CHANGES)
def test_what_links_lead_to_is_read_and_not_changed(version: str, change: str, tmp_path: Path) -> None:
    other = written(tmp_path / "other.zarr", version)
    before = files(other)
    within = ("0/0", "0/0/1") if version == "0.4" else ("0/c", "0/c/0")
    for name in ("labels", "labels/nuclei", "labels/nuclei/0", "0", "1", *within, "chunk", "document"):
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


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ("to_labels", "labels"),
        ("to_labels over others", "labels/nuclei"),
        ("delete_labels", "labels"),
        ("region", "0"),
        ("region", "0/0/0"),
        ("append", "1"),
    ],
)
def test_a_link_that_leads_out_is_named(change: str, name: str, tmp_path: Path) -> None:
    other = written(tmp_path / "other.zarr", "0.4")
    path = written(tmp_path / "a.zarr", "0.4")
    shutil.rmtree(path / name)
    (path / name).symlink_to(other / name)
    with pytest.raises(StoreExistsError, match=f"'{name}' of .*a link leads out of the store") as caught:
        CHANGES[change](path)
    assert str(other / name) in str(caught.value)


def test_a_field_that_is_a_link_is_not_replaced(tmp_path: Path) -> None:
    other = written(tmp_path / "other.zarr", "0.4")
    before = files(other)
    plate = tmp_path / "plate.zarr"
    xomezarr.write_plate({("A", 1): [image()]}, plate)
    shutil.rmtree(plate / "A/1/0")
    (plate / "A/1/0").symlink_to(other)
    with pytest.raises(StoreExistsError, match=r"'A/1/0' of .*a link leads out of the store"):
        image().omezarr.to_plate(plate, row="A", column=1, field=0, mode="w")
    assert files(other) == before


def test_a_lock_that_is_a_link_makes_no_file_elsewhere(tmp_path: Path) -> None:
    path = written(tmp_path / "a.zarr", "0.4")
    for name in (LOCK, PIXELS):
        (path / name).symlink_to(tmp_path / "made")
    CHANGES["to_labels"](path)
    image().omezarr.to_zarr(path, mode="w")
    assert not (tmp_path / "made").exists()
    assert not [*path.glob(f"{LOCK}*")]


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


@pytest.mark.parametrize("name", ["../x", "/x", "C:\\x", "a/../../x", "0\\..\\..\\x", "", "zarr.json/x", "x" * 60000])
def test_names_of_entries_lead_nowhere(name: str, entries: dict[str, bytes], tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    path = packed(folder / "a.ozx", {**entries, name: b"{}"})
    xr.testing.assert_identical(
        xr.open_dataarray(path, engine="omezarr"), xr.open_dataarray(tmp_path / "whole.ozx", engine="omezarr")
    )
    open_all(path)
    assert [one.name for one in folder.iterdir()] == ["a.ozx"]
    with suppress(OSError):  # names that no file may have
        xomezarr.upgrade(path, tmp_path / "out" / "b.zarr")
    assert {one.name for one in tmp_path.iterdir()} == {"in", "out", "whole.ozx"}


def test_an_entry_stands_where_the_directory_says(entries: dict[str, bytes], tmp_path: Path) -> None:
    """Of a shard ranges are read, which no checksum covers: those of another would be pixels."""
    path = packed(tmp_path / "a.ozx", entries)
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\1\2")
    while (at := content.find(b"PK\1\2", at)) >= 0:
        struct.pack_into("<I", content, at + 42, 0)
        at += 46
    path.write_bytes(content)
    with pytest.raises(OmeZarrError, match=r"is damaged at '0/zarr.json' .*there is 'zarr.json'"):
        xr.open_dataarray(path, engine="omezarr")


def spoiled_zip(path: Path, begin: bytes, at: int, form: str, value: int) -> None:
    """Change a field of every record of a kind."""
    content, where = bytearray(path.read_bytes()), 0
    while (where := content.find(begin, where)) >= 0:
        struct.pack_into(form, content, where + at, value)
        where += 4
    path.write_bytes(content)


ZIPPED: Mapping[str, tuple[bytes, int, str, int]] = {
    "encrypted": (b"PK\1\2", 8, "<H", 1),
    "strongly encrypted": (b"PK\1\2", 8, "<H", 0x41),
    **{f"method {number}": (b"PK\1\2", 10, "<H", number) for number in (1, 8, 9, 12, 14, 93, 99)},
    "no directory": (b"PK\5\6", 16, "<L", 0),
    "a directory of no bytes": (b"PK\5\6", 12, "<L", 0),
    "a directory of 4 GB": (b"PK\5\6", 12, "<L", 2**32 - 1),
    "a comment that is cut off": (b"PK\5\6", 20, "<H", 2**16 - 1),
}


@pytest.mark.parametrize("how", ZIPPED)
def test_zip_files_of_other_kinds_are_told(how: str, entries: dict[str, bytes], tmp_path: Path) -> None:
    path = packed(tmp_path / "a.ozx", entries)
    spoiled_zip(path, *ZIPPED[how])
    with pytest.raises(ArchiveError, match=r"a\.ozx"):
        xr.open_dataarray(path, engine="omezarr").load()
    open_all(path)


def test_odd_zip_files_are_read_or_told(entries: dict[str, bytes], tmp_path: Path) -> None:
    path = packed(tmp_path / "a.ozx", entries)
    whole = path.read_bytes()
    end = whole.rindex(b"PK\5\6")
    zip64 = struct.pack("<4sLQL", b"PK\6\7", 0, 2**63 - 1, 1)
    path.write_bytes(whole[:end] + zip64 + whole[end:])
    with pytest.raises(ArchiveError):
        xr.open_dataarray(path, engine="omezarr")
    packed(path, {"inner.ozx": whole})
    with pytest.raises(OmeZarrError):
        xr.open_dataarray(path, engine="omezarr")
    open_all(path)
    with zipfile.ZipFile(packed(path, entries), "a") as archive:
        archive.comment = b"x" * (2**16 - 1)
    assert xr.open_dataarray(path, engine="omezarr").shape == (2, 16, 20)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(packed(path, entries), "a") as archive:
        archive.writestr("zarr.json", entries["zarr.json"])
    assert "127" in {one.rule for one in xomezarr.validate(path)}
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
