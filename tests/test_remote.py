"""Images on other machines: a real S3 server, web servers, and what networks do to both."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import nursery
import pytest
import xarray as xr
import zarr
from s3 import (
    CUT,
    CUT_BODY,
    CUT_UPLOAD,
    DENIED,
    INTERNAL,
    NOT_DELETED,
    SECRET,
    SILENT,
    UNAUTHORIZED,
    Bucket,
    Fault,
    Proxy,
    Request,
    at_random,
    files_served,
    proxy,
    where,
)
from stores import check_same_trees, files

import xomezarr
from xomezarr import journal, remote
from xomezarr.cli import main
from xomezarr.errors import IncompleteStoreError, OmeZarrError, OtherImagesWarning, StoreAccessError, StoreNotFoundError

# one server for all
pytestmark = pytest.mark.xdist_group("s3")

PIXELS = np.random.default_rng(0).integers(1, 2**16, (4, 64, 64), "u2")

CHUNKS = {"z": 1, "y": 32, "x": 32}

BACK_ENDS = pytest.mark.parametrize("by", ["s3fs", "obstore"])


def image(pixels: Any = PIXELS) -> xr.DataArray:
    da = xr.DataArray(pixels, dims=("z", "y", "x"), name="cells", attrs={"made by": "a test"})
    return da.omezarr.assign_grid(scale={"z": 2.0, "y": 0.5, "x": 0.5}, units="um")


def nuclei() -> xr.DataArray:
    return (image() > 2**15).astype("uint8")


def without_gathered(found: dict[str, bytes]) -> dict[str, bytes]:
    """Return objects without the metadata that are gathered in object stores, and not in folders."""
    left = {key: content for key, content in found.items() if key != ".zmetadata"}
    for key in [key for key in left if key.rpartition("/")[2] == "zarr.json"]:
        document = json.loads(left[key])
        document.pop("consolidated_metadata", None)
        left[key] = json.dumps(document, sort_keys=True).encode()
    return left


def few_attempts(bucket: Bucket, by: str) -> tuple[Any, dict[str, Any]]:
    """Return how the image of a bucket is reached by back ends that try little again by themselves."""
    once = {"config_kwargs": {"retries": {"max_attempts": 0}}}
    if by == "obstore":
        return bucket.obstore("cells.ome.zarr", retry_config={"max_retries": 0}), {}
    if by == "http":
        return f"{bucket.proxy.url}/{bucket.name}/cells.ome.zarr", {}
    if by == "store of fsspec":
        options = bucket.options(**once)
        return zarr.storage.FsspecStore.from_url(bucket.url("cells.ome.zarr"), storage_options=options), {}
    return bucket.url("cells.ome.zarr"), {"storage_options": bucket.options(**once)}


# --- S3 --------------------------------------------------------------------------------------------------------------


@pytest.mark.sweep(2)
@BACK_ENDS
@pytest.mark.parametrize(
    "options",
    [
        {"version": "0.4"},
        {"version": "0.5", "labels": True},
        {"version": "0.6", "labels": True, "method": "gaussian"},
        {"version": "0.5", "shards": {"z": 2, "y": 64, "x": 64}},
        {"version": "0.5", "layout": "xarray"},
        {"version": "0.4", "method": "laplacian", "levels": 2},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_an_image_is_the_same_as_in_a_folder(tmp_path: Path, bucket: Bucket, by: str, options: dict[str, Any]) -> None:
    da = image(PIXELS.astype("float32")) if options.get("method") == "laplacian" else image()
    options = {"chunks": CHUNKS, "levels": 3, **options}
    if options.pop("labels", False):
        options["labels"] = {"nuclei": nuclei()}
    store, reached = bucket.place("cells.ome.zarr", by)
    written = da.omezarr.to_zarr(store, **options, **reached)
    folder = da.omezarr.to_zarr(tmp_path / "cells.ome.zarr", name="cells", **options)
    in_bucket, in_folder = bucket.objects("cells.ome.zarr"), files(tmp_path / "cells.ome.zarr")
    if "layout" not in options and by == "s3fs":
        assert without_gathered(in_bucket) == without_gathered(in_folder)
    assert in_bucket.keys() - {".zmetadata"} == in_folder.keys() - {".zmetadata"}
    check_same_trees(written, folder, attrs=False)
    check_same_trees(xr.open_datatree(store, engine="omezarr", **reached), folder, attrs=False)
    assert xr.open_dataarray(store, engine="omezarr", chunks={}, **reached).compute().equals(da)
    assert xomezarr.validate(store, **reached).valid


@BACK_ENDS
def test_an_image_is_replaced(bucket: Bucket, by: str) -> None:
    store, reached = bucket.place("cells.ome.zarr", by)
    image().omezarr.to_zarr(store, chunks=CHUNKS, levels=3, labels={"nuclei": nuclei()}, **reached)
    with pytest.raises(FileExistsError, match="exists already"):
        image().omezarr.to_zarr(store, **reached)
    small = image(PIXELS[:2, :32, :32])
    other, of_other = bucket.place("other.ome.zarr", by)
    small.omezarr.to_zarr(other, version="0.5", name="a", **of_other)
    with pytest.warns(OtherImagesWarning, match="nuclei"):
        small.omezarr.to_zarr(store, version="0.5", name="a", mode="w", **reached)
    assert bucket.objects("cells.ome.zarr") == bucket.objects("other.ome.zarr")


def test_nothing_is_listed_where_something_is_read(bucket: Bucket) -> None:
    store, reached = bucket.place("cells.ome.zarr", "s3fs")
    image().omezarr.to_zarr(store, chunks=CHUNKS, levels=3, labels={"nuclei": nuclei()}, **reached)
    xomezarr.write_plate({("A", 1): [image()]}, bucket.url("plate.ome.zarr"), **reached)
    for version in ("0.4", "0.5"):
        plain, _ = bucket.place(f"{version}.zarr", "s3fs")
        image().omezarr.to_zarr(plain, version=version, levels=2, **reached)
    for by in ("s3fs", "obstore"):
        bucket.proxy.log.clear()
        store, reached = bucket.place("cells.ome.zarr", by)
        tree = xr.open_datatree(store, engine="omezarr", **reached)
        assert tree.omezarr.level(0).equals(image())
        assert tree.omezarr.labels["nuclei"].omezarr.level(0).equals(nuclei())
        for version in ("0.4", "0.5"):
            plain, options = bucket.place(f"{version}.zarr", by)
            assert xr.open_dataarray(plain, engine="omezarr", **options).equals(image())
        plate, options = bucket.place("plate.ome.zarr", by)
        assert (xomezarr.open_plate(plate, **options)["A/1/0"].omezarr.level(0).values == PIXELS).all()
        assert bucket.proxy.log
        assert bucket.proxy.lists == []
        # each chunk is asked for once
        chunks = [request.path for request in bucket.proxy.log if request.path.rpartition("/")[2].isdecimal()]
        assert len(chunks) == len(set(chunks))


@BACK_ENDS
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_who_may_read_objects_alone_reads_images(bucket: Bucket, by: str, version: str) -> None:
    """S3 refuses then, too, what is not there: the documents of the other format, and labels."""
    store, reached = bucket.place("cells.ome.zarr", by)
    image().omezarr.to_zarr(store, chunks=CHUNKS, levels=3, version=version, **reached)
    store, reached = bucket.place("cells.ome.zarr", by)
    bucket.proxy.hides = True
    tree = xr.open_datatree(store, engine="omezarr", **reached)
    assert tree.omezarr.level(0).equals(image())
    assert xomezarr.validate(store, **reached).valid
    absent, options = bucket.place("absent.ome.zarr", by)
    with pytest.raises(StoreAccessError, match=r"absent\.ome\.zarr.* refuses .*credentials"):
        xr.open_datatree(absent, engine="omezarr", **options)
    with pytest.raises(StoreAccessError, match="refuses"):
        image().omezarr.to_zarr(absent, **options)


# --- faults ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask again soon."""
    monkeypatch.setattr(remote, "FIRST_PAUSE", 0.01)


@pytest.mark.usefixtures("_hasty")
@BACK_ENDS
@pytest.mark.parametrize("seed", range(2))
def test_what_fails_for_a_moment_is_tried_again(bucket: Bucket, by: str, seed: int) -> None:
    store, reached = bucket.place("cells.ome.zarr", by)
    options: dict[str, Any] = {"chunks": CHUNKS, "levels": 3, "version": "0.5", "labels": {"nuclei": nuclei()}}
    image().omezarr.to_zarr(store, **options, **reached)
    bucket.proxy.faults = at_random(0.1, seed)
    again, reached = bucket.place("again.ome.zarr", by)
    image().omezarr.to_zarr(again, name="cells", **options, **reached)
    tree = xr.open_datatree(again, engine="omezarr", **reached)
    assert tree.omezarr.level(0).equals(image())
    assert tree.omezarr.labels["nuclei"].omezarr.level(0).equals(nuclei())
    with pytest.warns(OtherImagesWarning):
        image().omezarr.to_zarr(again, name="cells", mode="w", levels=2, **reached)
    bucket.proxy.faults = None
    check_same_trees(
        xr.open_datatree(again, engine="omezarr", **reached),
        image().omezarr.to_zarr(bucket.place("third.ome.zarr", by)[0], name="cells", levels=2, **reached),
    )


def of_chunk(request: Request) -> bool:
    return bool(re.search(r"/0/c/\d+/\d+/\d+$|/0/\d+/\d+/\d+$", request.path))


@pytest.mark.sweep(2)
@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize(
    ("by", "fault"),
    [
        *itertools.product(("s3fs", "obstore", "http"), (INTERNAL, DENIED, UNAUTHORIZED, CUT, CUT_BODY)),
        ("store of fsspec", INTERNAL),
        ("workers", DENIED),
    ],
    ids=str,
)
@pytest.mark.parametrize("shards", [None, {"z": 2, "y": 64, "x": 64}], ids=["chunks", "shards"])
def test_a_chunk_that_cannot_be_had_is_no_chunk_of_zeros(
    tmp_path: Path, bucket: Bucket, by: str, fault: Fault, shards: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "ATTEMPTS", 2)
    for_all = {"storage_options": bucket.options(s3_additional_kwargs={"ACL": "public-read"})}
    whole = bucket.url("cells.ome.zarr")
    image().omezarr.to_zarr(whole, chunks=CHUNKS, levels=2, version="0.5", shards=shards, **for_all)
    store, reached = few_attempts(bucket, by)
    da = xr.open_dataarray(store, engine="omezarr", chunks={} if by == "workers" else None, **reached)
    failing = "0/c/0/0/0" if shards else "0/c/1/0/1"
    bucket.proxy.faults = where(lambda request: request.path.endswith(failing), fault)
    told = "refuses" if fault in (DENIED, UNAUTHORIZED) else "cannot read"
    with pytest.raises(StoreAccessError, match=rf"{told}.*") as caught:
        da.load() if by != "workers" else da.compute(scheduler="threads")
    assert "cells.ome.zarr" in str(caught.value)
    assert f"/{failing}'" in str(caught.value)
    with pytest.raises(StoreAccessError, match=told):
        da.omezarr.to_zarr(tmp_path / "copy.ome.zarr")
    assert not (tmp_path / "copy.ome.zarr").exists()
    bucket.proxy.faults = None
    assert da.equals(image())


@pytest.mark.usefixtures("_hasty", "_small_units")
@BACK_ENDS
def test_a_write_that_fails_for_good_is_gone_on_with(bucket: Bucket, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "ATTEMPTS", 2)
    options = {"chunks": CHUNKS, "levels": 3, "version": "0.5", "name": "cells"}
    whole, reached = bucket.place("whole", by)
    image().omezarr.to_zarr(whole, **options, **reached)
    store, reached = few_attempts(bucket, by)
    bucket.proxy.faults = where(lambda request: request.method == "PUT" and "0/c/2/0/1" in request.path, CUT_UPLOAD)
    with pytest.raises(StoreAccessError, match=r"cannot write .*0/c/2/0/1' 2 times.*resume=True") as caught:
        image().omezarr.to_zarr(store, workers=1, **options, **reached)
    assert "tiles are made; go on with resume=True" in "".join(caught.value.__notes__)
    with pytest.raises(IncompleteStoreError, match=r"of \d+ tiles are made; finish it with resume=True"):
        xr.open_datatree(store, engine="omezarr", **reached)
    bucket.proxy.faults = None
    bucket.proxy.log.clear()
    image().omezarr.to_zarr(store, resume=True, **options, **reached)
    assert bucket.objects("cells.ome.zarr") == bucket.objects("whole")
    written = [request.path for request in bucket.proxy.log if request.method == "PUT" and of_chunk(request)]
    assert 0 < len(written) < 16


def test_what_is_not_deleted_is_told(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 answers for all keys at once, and s3fs does not look at what it says of each."""
    monkeypatch.setattr(remote, "ATTEMPTS", 2)
    store, reached = bucket.place("cells.ome.zarr", "s3fs")
    image().omezarr.to_zarr(store, chunks=CHUNKS, **reached)
    bucket.proxy.faults = where(lambda request: request.method == "POST" and "delete" in request.query, NOT_DELETED)
    with pytest.raises(StoreAccessError, match=r"cannot delete .* not all of it is gone"):
        image().omezarr.to_zarr(store, mode="w", **reached)
    bucket.proxy.faults = None
    with pytest.raises(IncompleteStoreError):
        xr.open_datatree(store, engine="omezarr", **reached)
    image().omezarr.to_zarr(store, mode="w", **reached)


@pytest.mark.usefixtures("_hasty")
@BACK_ENDS
def test_who_is_not_let_in_is_told(bucket: Bucket, by: str) -> None:
    store, reached = bucket.place("cells.ome.zarr", by)
    image().omezarr.to_zarr(store, **reached)
    before = bucket.objects("cells.ome.zarr")
    store, reached = bucket.place("cells.ome.zarr", by)
    bucket.proxy.faults = lambda _: DENIED
    calls = [
        lambda: xr.open_datatree(store, engine="omezarr", **reached),
        lambda: image().omezarr.to_zarr(store, **reached),
        lambda: image().omezarr.to_zarr(store, mode="w", **reached),
        lambda: image().omezarr.to_zarr(store, resume=True, **reached),
        lambda: xomezarr.upgrade(store, **reached),
        lambda: xomezarr.validate(store, **reached),
    ]
    for call in calls:
        with pytest.raises(StoreAccessError, match=r"cannot read .*refuses.*credentials") as caught:
            call()
        assert caught.value.refused
        assert caught.value.__suppress_context__
        assert SECRET not in str(caught.value)
    # who may read, and not write
    bucket.proxy.faults = where(lambda request: request.method not in ("GET", "HEAD"), DENIED)
    for call in (calls[2], calls[4]):
        with pytest.raises(StoreAccessError, match=r"cannot write .*refuses.*credentials"):
            call()
    assert bucket.objects("cells.ome.zarr") == before


def test_servers_and_buckets_that_are_not_there(bucket: Bucket) -> None:
    options = bucket.options()
    with pytest.raises(StoreNotFoundError, match=r"there is nothing at 's3://no-such-bucket/a.zarr'"):
        xr.open_datatree("s3://no-such-bucket/a.zarr", engine="omezarr", storage_options=options)
    with pytest.raises(StoreAccessError, match="no such bucket"):
        image().omezarr.to_zarr("s3://no-such-bucket/a.zarr", storage_options=options)
    nobody = {"config_kwargs": {"retries": {"max_attempts": 0}}, "endpoint_url": "http://127.0.0.1:9"}
    for store, given in (("http://127.0.0.1:9/a.zarr", {}), (bucket.url("a.zarr"), bucket.options(**nobody))):
        begun = time.monotonic()
        with pytest.raises(StoreAccessError, match=r"cannot read .*onnect.*check the URL"):
            xr.open_datatree(store, engine="omezarr", storage_options=given)
        assert time.monotonic() - begun < 20


@pytest.mark.parametrize(
    "given",
    [{"endpont_url": "x"}, {"client_kwargs": {"foo": 1}}, {"endpoint_url": "nowhere"}, {"client_kwargs": 3}],
    ids=str,
)
def test_options_that_are_not_known(bucket: Bucket, given: dict[str, Any]) -> None:
    for call in (xr.open_datatree, image().omezarr.to_zarr):
        options = {"engine": "omezarr"} if call is xr.open_datatree else {}
        with pytest.raises(OmeZarrError, match=r"cannot be opened with these storage_options .*S3FileSystem"):
            call(bucket.url("a.zarr"), storage_options=bucket.options(**given), **options)
    if "client_kwargs" not in given and "endpoint_url" not in given:
        with pytest.raises(OmeZarrError, match=r"storage_options .*endpont_url.*HTTPFileSystem"):
            xr.open_datatree(f"{bucket.proxy.url}/a.zarr", engine="omezarr", storage_options=given)


@pytest.mark.parametrize("by", ["s3fs", "obstore", "http"])
def test_nobody_waits_for_a_server_that_says_nothing(bucket: Bucket, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PATIENCE", 2.0)
    image().omezarr.to_zarr(bucket.url("cells.ome.zarr"), storage_options=bucket.options())
    store, reached = few_attempts(bucket, by)
    if by == "http":
        monkeypatch.setattr(remote, "SILENT_SECONDS", 1.0)
        reached = {"storage_options": {"client_kwargs": {"headers": {"X-Test": "1"}}}}
    elif by == "obstore":
        client = {"allow_http": True, "timeout": "1s"}
        store = bucket.obstore("cells.ome.zarr", client_options=client, retry_config={"max_retries": 1})
    else:
        reached["storage_options"]["config_kwargs"]["read_timeout"] = 1
    bucket.proxy.faults = lambda _: SILENT
    begun = time.monotonic()
    with pytest.raises(StoreAccessError, match="cannot read"):
        xr.open_datatree(store, engine="omezarr", **reached)
    assert time.monotonic() - begun < 60


# --- writers that end before their time ------------------------------------------------------------------------------

WRITER = """
import json, sys
import numpy as np, xarray as xr
import xomezarr
from xomezarr import journal, tiling

journal.UNIT_BYTES, journal.SMALL_CARRY, tiling.LEAF_BYTES = 2**12, 0, 2**10
pixels = np.random.default_rng(0).integers(1, 2**16, (4, 64, 64), "u2")
da = xr.DataArray(pixels, dims=("z", "y", "x"), name="cells", attrs={"made by": "a test"})
da = da.omezarr.assign_grid(scale={"z": 2.0, "y": 0.5, "x": 0.5}, units="um")
options = json.loads(sys.argv[1])
da.omezarr.to_zarr(labels={"nuclei": (da > 2**15).astype("uint8")}, workers=2, **options)
"""


@pytest.fixture
def _small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "UNIT_BYTES", 2**12)
    monkeypatch.setattr(journal, "SMALL_CARRY", 0)
    monkeypatch.setattr("xomezarr.tiling.LEAF_BYTES", 2**10)


def killed_at(bucket: Bucket, number: int, options: dict[str, Any]) -> bool:
    """Write in a process that is killed when it writes or deletes for so many times; return whether it was."""
    process = nursery.run(WRITER, json.dumps(options))
    changes = itertools.count()

    def kill(request: Request) -> Fault | None:
        if request.method in ("PUT", "POST", "DELETE") and next(changes) == number:
            process.kill()
            return CUT  # it is not known whether what it asked is done
        return None

    bucket.proxy.faults = kill
    _, said = process.communicate(timeout=120)
    bucket.proxy.faults = None
    assert process.returncode in (0, -signal.SIGKILL), said
    return process.returncode != 0


@pytest.mark.usefixtures("_small_units")
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize(("version", "mode"), [("0.4", "w-"), ("0.5", "w")])
def test_a_killed_writer_is_gone_on_with(bucket: Bucket, version: str, mode: str) -> None:
    options = {"chunks": CHUNKS, "levels": 3, "version": version, "name": "cells", "storage_options": bucket.options()}
    labels = {"nuclei": nuclei()}
    image().omezarr.to_zarr(bucket.url("whole"), labels=labels, **options)
    whole = bucket.objects("whole")
    for number in (0, 2, 50, 110):
        store = bucket.url(f"{number}")
        if mode == "w":
            image(PIXELS[::-1]).omezarr.to_zarr(store, **options)
        was_killed = killed_at(bucket, number, {"store": store, "mode": mode, **options})
        found = bucket.objects(f"{number}")
        try:
            tree = xr.open_datatree(store, engine="omezarr", storage_options=bucket.options())
        except StoreNotFoundError:
            assert was_killed
            assert not found
        except IncompleteStoreError:
            assert was_killed
        else:
            # the old image before the first change, the new one after the last
            old = mode == "w" and number == 0
            assert old or number > 60 or not was_killed
            assert (tree.omezarr.level(0).values == (PIXELS[::-1] if old else PIXELS)).all()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OtherImagesWarning)
            image().omezarr.to_zarr(store, labels=labels, mode=mode, resume=True, **options)
        assert bucket.objects(f"{number}") == whole


# --- what others see meanwhile ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("old", [None, "0.4", "0.5"])
def test_what_a_reader_sees_of_a_write(bucket: Bucket, old: str | None) -> None:
    """The old image, then one that is incomplete, then the new one, where the image is opened anew; never a mixture.

    Each object that is written or deleted is held up until the image was looked at.
    """
    store, reached = bucket.place("cells.ome.zarr", "s3fs")
    if old is not None:
        image(PIXELS[::-1]).omezarr.to_zarr(store, chunks=CHUNKS, levels=2, version=old, **reached)
    seen: list[str] = []
    direct = replace(bucket, proxy=Proxy(bucket.server, url=bucket.server))

    def look() -> str:
        try:
            tree = xr.open_datatree(direct.obstore("cells.ome.zarr"), engine="omezarr")
            first, last = (level.values for level in tree.omezarr.levels)
        except StoreNotFoundError:
            return "nothing"
        except IncompleteStoreError:
            return "incomplete"
        for name, pixels in (("old", PIXELS[::-1]), ("new", PIXELS)):
            if (first == pixels).all():
                assert (last == image(pixels).omezarr.pyramid(levels=2).omezarr.level(1).values).all()
                return name
        return "a mixture"

    looking = threading.Lock()

    def held_up(request: Request) -> None:
        if request.method in ("PUT", "POST", "DELETE"):
            with looking:
                seen.append(look())

    bucket.proxy.faults = held_up
    mode = "w-" if old is None else "w"
    image().omezarr.to_zarr(store, chunks=CHUNKS, levels=2, version="0.5", mode=mode, workers=1, **reached)
    bucket.proxy.faults = None
    seen.append(look())
    assert [key for key, _ in itertools.groupby(seen)] == ["nothing" if old is None else "old", "incomplete", "new"]


@BACK_ENDS
def test_who_holds_an_image_that_is_replaced(bucket: Bucket, by: str) -> None:
    """Each chunk that is read is the one that is there, of whichever image; this is said in the documentation."""
    store, reached = bucket.place("cells.ome.zarr", by)
    image(PIXELS[::-1]).omezarr.to_zarr(store, chunks=CHUNKS, levels=1, **reached)
    held = xr.open_dataarray(store, engine="omezarr", **reached)
    first = held[0].load()
    image().omezarr.to_zarr(store, chunks=CHUNKS, levels=1, mode="w", **reached)
    assert (first.values == PIXELS[3]).all()
    assert (held[1].values == PIXELS[1]).all()


# --- the command line ------------------------------------------------------------------------------------------------


def test_the_command_line_takes_the_environment(
    tmp_path: Path,
    bucket: Bucket,
    s3_of_environment: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    s3_of_environment(bucket.proxy.url)
    np.save(tmp_path / "cells.npy", PIXELS)
    store, raw = bucket.url("cells.ome.zarr"), bucket.url("raw.ome.zarr")
    assert main(["convert", str(tmp_path / "cells.npy"), store, "--dims", "zyx"]) == 0
    assert main(["info", store]) == 0
    assert main(["validate", store]) == 0
    assert main(["scale", store, raw, "zyx", "--max-layer", "2"]) == 0
    assert main(["upgrade", store]) == 0
    assert main(["convert", store, str(tmp_path / "back.ome.zarr")]) == 0
    capsys.readouterr()
    assert (xr.open_dataarray(tmp_path / "back.ome.zarr", engine="omezarr").values == PIXELS).all()
    tree = xr.open_datatree(store, engine="omezarr")
    assert tree.omezarr.level(0).shape == PIXELS.shape
    assert len(xr.open_datatree(raw, engine="omezarr").omezarr.levels) == 3
    # and any option, by names that fsspec has
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    of_fsspec = {f"FSSPEC_S3_{name.upper()}": value for name, value in bucket.options().items()}
    answer = subprocess.run(
        [sys.executable, "-m", "xomezarr", "info", store],
        env=os.environ | of_fsspec,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert answer.returncode == 0, answer.stderr
    s3_of_environment(bucket.proxy.url)
    bucket.proxy.faults = lambda _: DENIED
    assert main(["info", store]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "refuses" in said


# --- web servers -----------------------------------------------------------------------------------------------------


def test_images_of_web_servers(tmp_path: Path) -> None:
    da = image()
    for version in ("0.4", "0.5"):
        folder = tmp_path / version
        da.omezarr.to_zarr(
            folder / "cells.ome.zarr", chunks=CHUNKS, levels=3, version=version, labels={"nuclei": nuclei()}
        )
        xomezarr.write_plate({("A", 1): [da], ("B", 2): [da]}, folder / "plate.ome.zarr", version=version)
        with files_served(folder) as server, proxy(server) as between:
            url = f"{between.url}/cells.ome.zarr"
            check_same_trees(
                xr.open_datatree(url, engine="omezarr"),
                xr.open_datatree(folder / "cells.ome.zarr", engine="omezarr"),
                attrs=False,
            )
            assert xr.open_dataarray(url, engine="omezarr", chunks={}).compute().equals(da)
            plate = xomezarr.open_plate(f"{between.url}/plate.ome.zarr")
            assert (plate["B/2/0"].omezarr.level(0).values == PIXELS).all()
            assert xomezarr.validate(url).valid
            asked = {request.path.rpartition("/")[2] for request in between.log}
            assert "" not in asked  # as which names are listed
            with pytest.raises(StoreNotFoundError, match="there is nothing at"):
                xr.open_datatree(f"{between.url}/absent.ome.zarr", engine="omezarr")
            between.faults = at_random(0.1, 0)
            copy = folder / "copy.ome.zarr"
            xomezarr.convert(url, copy)
            assert xr.open_dataarray(copy, engine="omezarr").equals(da)


def test_a_web_server_that_gives_no_ranges(tmp_path: Path) -> None:
    shards = {"z": 2, "y": 64, "x": 64}
    image().omezarr.to_zarr(tmp_path / "cells.ome.zarr", chunks=CHUNKS, shards=shards, version="0.5")
    with files_served(tmp_path) as url:
        held = xr.open_dataarray(f"{url}/cells.ome.zarr", engine="omezarr")
        with pytest.raises(StoreAccessError, match=r"0/c/0/0/0' cannot be read in parts.*gives ranges"):
            held[0, :32, :32].load()


# --- Icechunk --------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
def test_sessions_of_icechunk(tmp_path: Path) -> None:
    """What is written is there for all at once, when it is committed."""
    icechunk = pytest.importorskip("icechunk")
    repository = icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path / "repository")))
    options: dict[str, Any] = {"chunks": CHUNKS, "levels": 3, "version": "0.5"}

    def committed() -> xr.DataTree:
        return xr.open_datatree(repository.readonly_session("main").store, engine="omezarr")

    session = repository.writable_session("main")
    image().omezarr.to_zarr(session.store, labels={"nuclei": nuclei()}, **options)
    with pytest.raises(StoreNotFoundError):
        committed()
    session.commit("cells")
    assert committed().omezarr.level(0).equals(image())
    assert committed().omezarr.labels["nuclei"].omezarr.level(0).equals(nuclei())
    assert xomezarr.validate(repository.readonly_session("main").store).valid

    session = repository.writable_session("main")
    with pytest.raises(FileExistsError, match="exists already"):
        image().omezarr.to_zarr(session.store, **options)
    with pytest.warns(OtherImagesWarning, match="nuclei"):
        image(PIXELS[::-1]).omezarr.to_zarr(session.store, mode="w", **options)
    assert committed().omezarr.level(0).equals(image())
    session.commit("others")
    assert committed().omezarr.level(0).equals(image(PIXELS[::-1]))

    session = repository.writable_session("main")
    with pytest.raises(OmeZarrError, match=r'Zarr v3 alone; give version="0\.5"'):
        image().omezarr.to_zarr(session.store, mode="w", version="0.4")
    with pytest.raises(OmeZarrError, match="Icechunk takes nothing else"):
        xomezarr.write_collection({"a": image()}, session.store, mode="w", version="0.5")
    session = repository.writable_session("main")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OtherImagesWarning)
        xomezarr.write_plate({("A", 1): [image(PIXELS + 1)]}, session.store, mode="w", version="0.5")
    assert (xomezarr.open_plate(session.store)["A/1/0"].omezarr.level(0).values == PIXELS + 1).all()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OtherImagesWarning)
        image().omezarr.to_zarr(session.store, mode="w", layout="xarray", version="0.5")
    assert xr.open_dataarray(session.store, engine="omezarr").equals(image())

    # what is interrupted is marked in its session, and is written anew, there or in another one
    session = repository.writable_session("main")
    told = itertools.count()

    def stop(_: int) -> None:
        if next(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        image().omezarr.to_zarr(session.store, mode="w", workers=1, progress=stop, **options)
    with pytest.raises(IncompleteStoreError, match='write it again with mode="w"'):
        xr.open_datatree(session.store, engine="omezarr")
    image().omezarr.to_zarr(session.store, mode="w", resume=True, **options)
    session.commit("cells again")
    assert committed().omezarr.level(0).equals(image())


# --- seen ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["s3fs", "obstore", "http"])
def test_a_remote_image_is_viewed_and_nothing_is_asked_to_represent_it(bucket: Bucket, by: str) -> None:
    store = bucket.url("cells.ome.zarr")
    reached: dict[str, Any] = {"storage_options": bucket.options(s3_additional_kwargs={"ACL": "public-read"})}
    image().omezarr.to_zarr(store, chunks=CHUNKS, levels=2, version="0.5", labels={"nuclei": nuclei()}, **reached)
    stored = bucket.objects("cells.ome.zarr")
    if by == "http":
        store, reached = f"{bucket.proxy.url}/{bucket.name}/cells.ome.zarr", {}
    elif by == "obstore":
        store, reached = bucket.place("cells.ome.zarr", by)
    tree: Any = xr.open_datatree(store, engine="omezarr", **reached)
    asked = len(bucket.proxy.log)
    assert "64" in repr(tree.omezarr)
    assert "no picture: what lies elsewhere" in tree.omezarr._repr_html_()
    assert len(bucket.proxy.log) == asked
    with xomezarr.view(store, open_browser=False, **reached) as shown:
        served = f"{shown.url.partition('/v/')[0]}/store"
        for key in ("0/zarr.json", "0/c/1/0/1", "labels/nuclei/1/c/0/0/0"):
            with urllib.request.urlopen(f"{served}/{key}", timeout=20) as answer:
                assert answer.read() == stored[key]
            part = urllib.request.Request(f"{served}/{key}", headers={"Range": "bytes=3-9"})
            with urllib.request.urlopen(part, timeout=20) as answer:
                assert (answer.status, answer.read()) == (206, stored[key][3:10])
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{served}/0/c/9/9/9", timeout=20)
