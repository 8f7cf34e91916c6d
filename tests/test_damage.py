"""Chunks that are damaged, missing or hostile: whoever reads them is told which, and no pixel is made up."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import pickle
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from numcodecs import BZ2, LZ4, LZMA, Blosc, GZip, Zlib, Zstd
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec
from zarr.storage import FsspecStore, MemoryStore

import xomezarr
from xomezarr.chunks import touched
from xomezarr.cli import main
from xomezarr.errors import DamagedChunkError, OmeZarrError
from xomezarr.guards import guarded
from xomezarr.report import Finding

type Spoil = Callable[[bytes], bytes]


def image(seed: int = 0) -> xr.DataArray:
    """Return noise that no codec makes smaller, so that what Blosc reads behind a chunk is pixels."""
    pixels = np.random.default_rng(seed).integers(0, 2**16, (48, 64)).astype("u2")
    return xr.DataArray(pixels, dims=("y", "x"), name="noise").omezarr.assign_grid(scale={"y": 0.5, "x": 0.5})


CODECS: Mapping[str, tuple[str, Any, Any]] = {
    "v2 blosc": ("0.4", Blosc(), None),
    "v2 zstd": ("0.4", Zstd(), None),
    "v2 gzip": ("0.4", GZip(), None),
    "v2 none": ("0.4", None, None),
    "v3 blosc": ("0.5", [BloscCodec()], None),
    "v3 zstd": ("0.5", [ZstdCodec()], None),
    "v3 gzip": ("0.5", [GzipCodec()], None),
    "v3 none": ("0.5", None, None),
    "v3 checksum": ("0.5", [ZstdCodec(), Crc32cCodec()], None),
    "shards": ("0.5", [ZstdCodec()], {"y": 32, "x": 32}),
    "shards of blosc": ("0.5", [BloscCodec()], {"y": 32, "x": 32}),
}

SPOILED: Mapping[str, Spoil] = {
    "half": lambda content: content[: len(content) // 2],
    "a byte short": lambda content: content[:-1],
    "nothing": lambda content: b"",
    "a few bytes": lambda content: content[:3],
    "garbage": lambda content: np.random.default_rng(1).bytes(len(content)),
    "too long": lambda content: content + b"\1" * 100,
}


def written(path: Path, codec: str) -> Path:
    """Write an image; return a chunk of its level 0, or a shard."""
    version, compressors, shards = CODECS[codec]
    image().omezarr.to_zarr(
        path, version=version, levels=2, chunks={"y": 16, "x": 16}, shards=shards, compressors=compressors
    )
    return path / ("0/1/1" if version == "0.4" else "0/c/1/1" if shards is None else "0/c/0/0")


def read_async(path: Path) -> Any:
    return asyncio.run(xr.open_dataset(path, engine="omezarr").load_async())


READS: Mapping[str, Callable[[Path], Any]] = {
    "lazily": lambda path: xr.open_datatree(path, engine="omezarr").omezarr.level(0).values,
    "a part": lambda path: xr.open_dataarray(path, engine="omezarr").isel(y=slice(20, 30), x=slice(60, 15, -1)).values,
    "rows": lambda path: xr.open_dataarray(path, engine="omezarr").isel(y=[3, 40, 20]).values,
    "points": lambda path: (
        xr.open_dataarray(path, engine="omezarr")
        .isel(y=xr.DataArray([3, -28], dims="p"), x=xr.DataArray([2, 20], dims="p"))
        .values
    ),
    "dask": lambda path: xr.open_dataarray(path, engine="omezarr", chunks={}).sum().compute(),
    "load_async": read_async,
    "transposed": lambda path: xr.open_dataarray(path, engine="omezarr").transpose("x", "y")[20:40, 20].values,
    "to_zarr": lambda path: xr.open_dataarray(path, engine="omezarr").omezarr.to_zarr(path.with_name("b.zarr")),
    "to_zarr by dask": lambda path: (xr.open_dataarray(path, engine="omezarr", chunks={}) + 1).omezarr.to_zarr(
        path.with_name("c.zarr")
    ),
    "convert": lambda path: xomezarr.convert(path, path.with_name("d.zarr")),
}


@pytest.mark.parametrize("codec", CODECS)
def test_a_damaged_chunk_is_named_by_whoever_reads_it(codec: str, tmp_path: Path) -> None:
    chunk = written(tmp_path / "a.zarr", codec)
    good = chunk.read_bytes()
    # of a chunk that is not compressed nobody knows; what stands behind the end of these is not read
    fine = {"v2 none": {"garbage"}, "v3 none": {"garbage"}, "v2 blosc": {"too long"}, "v3 blosc": {"too long"}}
    if version("zarr") < "3.2":  # which takes empty shards for such without chunks
        fine |= {"shards": {"nothing"}, "shards of blosc": {"nothing"}}
    place = "chunk (1, 1) of" if CODECS[codec][2] is None else "shard (0, 0) of"
    for what, spoil in SPOILED.items():
        chunk.write_bytes(spoil(good))
        if what in fine.get(codec, ()):
            continue
        for how, read in READS.items():
            with pytest.raises(DamagedChunkError, match="cannot be decoded") as caught:
                read(tmp_path / "a.zarr")
            message = str(caught.value)
            assert place in message, (what, how, message)
            assert "a.zarr/0'" in message
            assert message.endswith("copy the store again, or write the image anew")


@pytest.mark.skipif(version("zarr") < "3.2", reason="zarr 3.1 takes chunks that lie nowhere for missing ones")
@pytest.mark.parametrize(
    "lies", [(2**62, 100), (2**63, 2**63), (2**64 - 2, 2**64 - 2), (2**64 - 1, 5), (0, 0), (100, 2**62), (100, 10**12)]
)
def test_the_index_of_a_shard_may_lie(lies: tuple[int, int], tmp_path: Path) -> None:
    """It tells where a chunk lies, and how many bytes it has, which nobody sets aside."""
    image().omezarr.to_zarr(
        tmp_path / "a.zarr", version="0.5", levels=2, chunks={"y": 16, "x": 16}, shards={"y": 32, "x": 32}
    )
    for document in tmp_path.glob("a.zarr/*/zarr.json"):
        said = json.loads(document.read_text())
        said["codecs"][0]["configuration"]["index_codecs"].pop()
        document.write_text(json.dumps(said))
    for shard in tmp_path.glob("a.zarr/*/c/*/*"):
        shard.write_bytes(shard.read_bytes()[:-4])  # without its checksum
    assert xomezarr.validate(tmp_path / "a.zarr", chunks=True).valid
    shard = tmp_path / "a.zarr/0/c/0/0"
    shard.write_bytes(shard.read_bytes()[:-16] + struct.pack("<QQ", *lies))
    for read in READS.values():
        with pytest.raises(DamagedChunkError, match=r"shard \(0, 0\) of"):
            read(tmp_path / "a.zarr")


@pytest.mark.parametrize("codec", ["v2 blosc", "v3 blosc"])
def test_blosc_makes_no_pixels_of_what_lies_behind_a_chunk(codec: str, tmp_path: Path) -> None:
    chunk = written(tmp_path / "a.zarr", codec)
    good = chunk.read_bytes()
    for bytes_less in (1, 2, 16, 100, len(good) - 17):
        chunk.write_bytes(good[:-bytes_less])
        with pytest.raises(DamagedChunkError, match=f"{len(good) - bytes_less} of its {len(good)} bytes"):
            xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr").load()


def test_a_chunk_of_a_store_that_answers_by_an_event_loop_is_named_too(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    chunk = written(tmp_path / "a.zarr", "v3 zstd")
    chunk.write_bytes(b"nothing")
    store = FsspecStore.from_url(f"local://{tmp_path}/a.zarr", read_only=True)
    da = xr.open_dataarray(store, engine="omezarr")
    with pytest.raises(DamagedChunkError, match=r"chunk \(1, 1\) of"):
        da.load()
    with pytest.raises(DamagedChunkError, match=r"chunk \(1, 1\) of"):
        da.omezarr.to_zarr(tmp_path / "b.zarr")


def test_what_is_no_damage_is_told_as_it_is(tmp_path: Path) -> None:
    chunk = written(tmp_path / "a.zarr", "v3 zstd")
    da = xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr")
    with pytest.raises(IndexError):
        da.isel(y=99).load()
    chunk.unlink()
    chunk.symlink_to(chunk)
    with pytest.raises(OSError, match="symbolic") as caught:
        da.load()
    assert not isinstance(caught.value, OmeZarrError)


def test_other_chunks_of_a_damaged_image_are_read(tmp_path: Path) -> None:
    chunk = written(tmp_path / "a.zarr", "v2 blosc")
    chunk.write_bytes(b"")
    found = xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr")
    np.testing.assert_array_equal(found[:16], image()[:16])


def test_a_missing_chunk_is_the_fill_value(tmp_path: Path) -> None:
    written(tmp_path / "a.zarr", "v2 blosc").unlink()
    found = xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr")
    assert not found[16:32, 16:32].any()
    np.testing.assert_array_equal(found[:16], image()[:16])


@pytest.mark.parametrize(
    ("key", "pointwise", "wanted"),
    [
        ((slice(0, 8), 3), False, {(0, 0), (1, 0)}),
        ((slice(9, None, -5), slice(0, 0)), False, set()),
        ((np.array([0, 9, -1]), slice(4, 5)), False, {(0, 1), (2, 1)}),
        ((np.array([0, -1]), np.array([9, 0])), True, {(0, 2), (2, 0)}),
        ((np.array([[0], [9]]), np.array([[0, 5]])), True, {(0, 0), (0, 1), (2, 0), (2, 1)}),
    ],
)
def test_chunks_that_a_key_touches(key: Any, pointwise: bool, wanted: set[tuple[int, ...]]) -> None:
    assert {*touched(key, (10, 10), (4, 4), pointwise=pointwise)} == wanted


# --- guards ----------------------------------------------------------------------------------------------------------

KINDS: Mapping[str, dict[str, Any]] = {
    **{
        f"v2 {codec.codec_id}": {"zarr_format": 2, "compressors": codec}
        for codec in (Blosc(), Zstd(), GZip(), Zlib(), BZ2(), LZMA(), LZ4())
    },
    "v2 none": {"zarr_format": 2, "compressors": None},
    "v2 filter": {"zarr_format": 2, "compressors": Blosc(), "filters": [LZ4()]},
    "v3": {},
    "v3 blosc": {"compressors": [BloscCodec()]},
    "v3 checksum before": {"compressors": [Crc32cCodec(), GzipCodec(), Crc32cCodec()]},
    "v3 two": {"compressors": [BloscCodec(), ZstdCodec()]},
    "shards": {"shards": (32, 32)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_guard_changes_neither_bytes_nor_pixels_nor_metadata(kind: str, tmp_path: Path) -> None:
    pixels = np.arange(64 * 64, dtype="u2").reshape(64, 64) % 700
    stores = MemoryStore(), MemoryStore()
    plain, behind = (
        zarr.create_array(store, shape=(64, 64), chunks=(16, 16), dtype="u2", **KINDS[kind]) for store in stores
    )
    array = guarded(behind)
    assert guarded(array) is array
    assert array.metadata == plain.metadata
    plain[:], array[:] = pixels, pixels
    contents = [{key: content.to_bytes() for key, content in store._store_dict.items()} for store in stores]
    assert contents[0] == contents[1]
    np.testing.assert_array_equal(array[:], pixels)
    np.testing.assert_array_equal(array[5:50:3, 7], pixels[5:50:3, 7])


def test_a_guarded_array_goes_to_other_processes(tmp_path: Path) -> None:
    array = guarded(zarr.create_array(tmp_path / "a", shape=(8,), chunks=(4,), dtype="u2"))
    array[:] = 7
    chunk = tmp_path / "a/c/0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    sent = pickle.loads(pickle.dumps(array))
    assert (sent[4:] == 7).all()
    assert guarded(sent) is sent


def zstd_without_size(content: bytes, runs: int) -> bytes:
    """Return a frame of zstd that does not say what it holds: runs of 2¹⁷ bytes, one byte each."""
    block = (2**17 << 3 | 1 << 1).to_bytes(3, "little") + content
    return b"\x28\xb5\x2f\xfd\x00\x58" + block * (runs - 1) + (2**17 << 3 | 3).to_bytes(3, "little") + content


HELD = 2**28
"""Bytes that a chunk of 2 KiB holds once it is decompressed."""

BOMBS: Mapping[str, Callable[[], tuple[str, Any, bytes]]] = {
    "v2 blosc": lambda: ("0.4", Blosc(), Blosc().encode(bytes(HELD))),
    "v2 zstd": lambda: ("0.4", Zstd(), Zstd().encode(bytes(HELD))),
    "v2 zstd without a size": lambda: ("0.4", Zstd(), zstd_without_size(b"\0", HELD // 2**17)),
    "v2 gzip": lambda: ("0.4", GZip(), gzip.compress(bytes(HELD), 9)),
    "v2 gzip that lies": lambda: ("0.4", GZip(), gzip.compress(bytes(HELD), 9)[:-4] + struct.pack("<I", 2048)),
    "v2 zlib": lambda: ("0.4", Zlib(), zlib.compress(bytes(HELD), 9)),
    "v2 lz4": lambda: ("0.4", LZ4(), LZ4().encode(bytes(HELD))),
    "v3 blosc": lambda: ("0.5", [BloscCodec()], Blosc().encode(bytes(HELD))),
    "v3 zstd": lambda: ("0.5", [ZstdCodec()], Zstd().encode(bytes(HELD))),
    "v3 gzip": lambda: ("0.5", [GzipCodec()], gzip.compress(bytes(HELD), 9)),
}

READ = """
import resource, sys, xarray as xr, xomezarr
from xomezarr.errors import DamagedChunkError
da = xr.open_dataarray(sys.argv[1], engine="omezarr")
da[:16, :16].load()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for read in (da.load, lambda: da.omezarr.to_zarr(sys.argv[2])):
    try:
        read()
    except DamagedChunkError as error:
        print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts kibibytes on Linux alone")
@pytest.mark.parametrize("kind", BOMBS)
def test_a_chunk_that_holds_a_hundred_thousand_times_its_pixels_is_refused_before_it_is_decompressed(
    kind: str, tmp_path: Path
) -> None:
    version, compressors, bomb = BOMBS[kind]()
    path = tmp_path / "a.zarr"
    image().omezarr.to_zarr(path, version=version, levels=1, chunks={"y": 32, "x": 32}, compressors=compressors)
    (path / ("0/1/1" if version == "0.4" else "0/c/1/1")).write_bytes(bomb)
    run = [sys.executable, "-c", READ, path, tmp_path / "b.zarr"]
    answer = subprocess.run(run, capture_output=True, text=True, timeout=300)
    assert not answer.returncode, answer.stderr
    *messages, megabytes = answer.stdout.splitlines()
    assert len(messages) == 2
    for message in messages:
        assert "chunk (1, 1) of" in message
        assert "hold" in message
    assert int(megabytes) < 100


def test_pickled_chunks_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    written(path, "v2 blosc")
    document = path / "0/.zarray"
    document.write_text(document.read_text().replace('"filters": null', '"filters": [{"id": "pickle", "protocol": 5}]'))
    with pytest.raises(OmeZarrError, match="pickle"):
        xr.open_dataarray(path, engine="omezarr").load()


# --- validate --------------------------------------------------------------------------------------------------------


def of_chunks(store: Any) -> list[Finding]:
    """Return what is found of chunks."""
    return [one for one in xomezarr.validate(store, chunks=True) if one.rule in ("98", "116", "117")]


@pytest.mark.parametrize("codec", ["v2 blosc", "v3 zstd", "shards"])
def test_validate_reads_every_chunk_where_that_is_asked_for(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    chunk = written(path, codec)
    assert not of_chunks(path)
    chunk.write_bytes(chunk.read_bytes()[:-1])
    assert xomezarr.validate(path).valid
    report = xomezarr.validate(path, chunks=True)
    (found,) = report.errors
    assert (found.rule, found.location) == ("98", "0")
    assert "(1, 1) of" in found.message or "(0, 0) of" in found.message
    assert "copy the store again" in found.cure
    chunk.unlink()
    (found,) = of_chunks(path)
    total = 4 if codec == "shards" else 12
    what = "shards" if codec == "shards" else "chunks"
    assert (found.rule, found.severity, found.location) == ("116", "note", "0")
    assert found.message == f"1 of {total} {what} are not there, and read as the fill value 0"


def test_validate_counts_what_it_does_not_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.zarr"
    written(path, "v3 zstd")
    chunks = sorted((path / "0/c").rglob("*"))
    for chunk in chunks:
        if chunk.is_file():
            chunk.write_bytes(b"?")
    found = xomezarr.validate(path, chunks=True).errors
    assert len(found) == 6
    assert [one.message.partition(" of ")[0] for one in found[:5]] == [f"chunk {i}" for i in np.ndindex(3, 4)][:5]
    assert found[5].message == "7 more chunks cannot be decoded"
    assert main(["validate", str(path), "--chunks"]) == 1
    assert "chunk (0, 0) of" in capsys.readouterr().out
    assert not xr.open_datatree(path, engine="omezarr").omezarr.validate(chunks=True)


def test_validate_finds_damaged_labels_and_what_lies_beyond_an_array(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    written(path, "v2 blosc")
    (image() > 5).astype("u1").omezarr.to_labels(path, "cells")
    (path / "labels/cells/0/0/0").write_bytes(b"")
    (path / "0/3").mkdir()
    (path / "0/3/0").write_bytes(b"")
    (path / "0/notes.txt").write_text("not a chunk")
    found = {one.rule: one for one in of_chunks(path)}
    assert found["98"].location == "labels/cells: 0"
    assert (found["117"].severity, found["117"].location) == ("warning", "0")
    assert found["117"].message == "1 chunks lie beyond its shape (48, 64), such as '3/0'"
    assert found.keys() == {"98", "117"}


def test_validate_asks_for_each_chunk_where_a_store_does_not_list(tmp_path: Path) -> None:
    class Unlisted(MemoryStore):
        def list_prefix(self, prefix: str) -> Any:
            raise NotImplementedError

    written = MemoryStore()
    image().omezarr.to_zarr(written, version="0.5", levels=1, chunks={"y": 16, "x": 16})
    store = Unlisted(written._store_dict)
    assert not of_chunks(store)
    del store._store_dict["0/c/0/0"]
    (found,) = of_chunks(store)
    assert found.message == "1 of 12 chunks are not there, and read as the fill value 0"


def test_validate_finds_its_way_through_an_array_of_any_size(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    written(path, "v2 blosc")
    document = path / "0/.zarray"
    document.write_text(document.read_text().replace("48", str(10**7)).replace("64", str(10**7)))
    found = of_chunks(path)
    assert [one.message.partition(" are")[0] for one in found] == [f"{625000**2 - 12} of {625000**2} chunks"]


def test_links_that_lead_around_are_not_followed_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    chunk = written(path, "v2 blosc")
    os.symlink(path / "0", chunk.parent / "7")  # noqa: PTH211
    assert {one.rule for one in of_chunks(path)} <= {"117"}
