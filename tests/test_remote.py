"""Images on other machines: a real S3 server, web servers, and what networks do to both."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from s3 import (
    CUT,
    CUT_BODY,
    DENIED,
    INTERNAL,
    SLOW_DOWN,
    UNAUTHORIZED,
    Bucket,
    Fault,
    Request,
    at_random,
    files_served,
    proxy,
    where,
)
from stores import check_same_trees, files

import xomezarr
from xomezarr import remote
from xomezarr.cli import main
from xomezarr.errors import OtherImagesWarning, StoreAccessError

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
@pytest.mark.parametrize("seed", range(3))
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


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("by", ["s3fs", "obstore", "http", "store of fsspec", "workers"])
@pytest.mark.parametrize("fault", [INTERNAL, SLOW_DOWN, DENIED, UNAUTHORIZED, CUT, CUT_BODY], ids=str)
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
