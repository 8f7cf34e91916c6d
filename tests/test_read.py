"""C9 and the engine: what is claimed, what is read when, and how handmade stores are understood."""

from __future__ import annotations

import asyncio
import json
import pickle
import re
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zarr.storage import LocalStore, MemoryStore, WrapperStore, ZipStore

from xomezarr import direct
from xomezarr.backend import OmeZarrBackendEntrypoint
from xomezarr.chunks import Chunks
from xomezarr.direct import answers_at_once
from xomezarr.errors import (
    LevelError,
    MetadataChangedWarning,
    MetadataError,
    NotOmeZarrError,
    OmeZarrError,
    OtherImagesWarning,
    StoreNotFoundError,
    VersionError,
)

VERSIONS = ("0.4", "0.5")

guess = OmeZarrBackendEntrypoint().guess_can_open


def image() -> xr.DataArray:
    pixels = np.arange(2 * 40 * 48, dtype="u2").reshape(2, 40, 48)
    da = xr.DataArray(pixels, dims=("c", "y", "x"), coords={"c": ["DAPI", "GFP"]}, name="cells")
    return da.omezarr.assign_grid(scale={"y": 0.5, "x": 0.25}, translation={"x": 10.0}, units="um")


@pytest.fixture(params=VERSIONS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "cells.ome.zarr"
    image().omezarr.to_zarr(path, version=request.param, levels=5, chunks={"y": 16, "x": 16})
    return path


def handmade(
    store: Any,
    *,
    version: str = "0.4",
    axes: Any = ({"name": "y", "type": "space"}, {"name": "x", "type": "space"}),
    shape: tuple[int, ...] = (6, 8),
    datasets: list[dict[str, Any]] | None = None,
    omero: Any = None,
    **multiscale: Any,
) -> Any:
    """Write a store as another tool would, without our writer."""
    group = zarr.create_group(store, zarr_format=2 if version == "0.4" else 3)
    if datasets is None:
        datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [2.0] * len(shape)}]}]
    named = {"version": version} if version == "0.4" else {}
    metadata: dict[str, Any] = {"multiscales": [{**named, "axes": list(axes), "datasets": datasets, **multiscale}]}
    if omero is not None:
        metadata["omero"] = omero
    group.attrs.update(metadata if version == "0.4" else {"ome": {"version": version, **metadata}})
    for index in range(len(datasets)):
        size = tuple(max(extent >> index, 1) for extent in shape)
        fit = version != "0.4" and len(axes) == len(size)
        names = {"dimension_names": [axis["name"] for axis in axes]} if fit else {}
        array = group.create_array(str(index), shape=size, dtype="u1", **names)
        array[...] = np.arange(np.prod(size)).reshape(size)
    return store


class CountingStore(WrapperStore[Any]):
    """Remembers every key that is asked for."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.asked: list[str] = []

    def _with_store(self, store: Any) -> CountingStore:
        new = type(self)(store)
        new.asked = self.asked
        return new

    async def get(self, key: str, *args: Any, **options: Any) -> Any:
        self.asked.append(key)
        return await super().get(key, *args, **options)

    async def exists(self, key: str) -> bool:
        self.asked.append(key)
        return await super().exists(key)

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        self.asked.append(f"{prefix}/")
        async for key in super().list_dir(prefix):
            yield key


def is_metadata(key: str) -> bool:
    return key.rpartition("/")[2] in ("zarr.json", ".zgroup", ".zattrs", ".zarray", ".zmetadata")


# --- laziness ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [None, {}, "auto"])
def test_c9_opening_reads_metadata_only(store: Path, chunks: Any) -> None:
    counting = CountingStore(LocalStore(store, read_only=True))
    tree = xr.open_datatree(counting, engine="omezarr", chunks=chunks)
    assert len(tree.children) == 5
    repr(tree)
    tree.omezarr.levels[2].isel(x=slice(2, 5)).transpose()
    assert all(is_metadata(key) for key in counting.asked)
    tree["4/image"].load()
    assert any(not is_metadata(key) for key in counting.asked)


def test_c9_opening_asks_no_more_than_zarr_itself(store: Path) -> None:
    ours, bare = (CountingStore(LocalStore(store, read_only=True)) for _ in range(2))
    xr.open_datatree(ours, engine="omezarr")
    group = zarr.open_group(bare, mode="r", use_consolidated=False)
    for index in range(5):
        group[str(index)]
    assert "labels" not in group
    assert len(ours.asked) <= len(bare.asked)
    assert len(set(ours.asked)) == len(ours.asked)


def test_c9_opening_one_level_asks_for_two_arrays(store: Path) -> None:
    counting = CountingStore(LocalStore(store, read_only=True))
    xr.open_dataset(counting, engine="omezarr", level=3)
    assert {key.partition("/")[0] for key in counting.asked if "/" in key} == {"0", "3"}


def test_c9_opening_needs_no_dask(store: Path) -> None:
    """xarray itself imports dask.array wherever it is installed, so that its absence is the only proof."""
    code = f"""
import sys
sys.modules["dask"] = None
import xarray as xr
tree = xr.open_datatree({str(store)!r}, engine="omezarr")
assert tree["1/image"].isel(x=0).load().shape[0] == 2
assert xr.open_dataarray({str(store)!r}).load().shape == (2, 40, 48)
assert not [name for name in sys.modules if name.startswith("dask.")]
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stderr


def test_c9_long_auxiliary_coordinates_stay_where_they_are(tmp_path: Path) -> None:
    da = image().assign_coords(focus=(("y", "x"), np.random.default_rng(1).random((40, 48))))
    da.omezarr.to_zarr(tmp_path / "a.zarr")
    counting = CountingStore(LocalStore(tmp_path / "a.zarr", read_only=True))
    opened = xr.open_dataarray(counting, engine="omezarr")
    assert all(is_metadata(key) for key in counting.asked)
    np.testing.assert_array_equal(opened.focus.values, da.focus.values)


@pytest.mark.parametrize("chunks", [None, {}])
def test_c9_what_was_opened_can_be_pickled(store: Path, chunks: Any) -> None:
    tree = xr.open_datatree(store, engine="omezarr", chunks=chunks)
    xr.testing.assert_identical(pickle.loads(pickle.dumps(tree)), tree)
    da = xr.open_dataarray(store, engine="omezarr", chunks=chunks)
    again = pickle.loads(pickle.dumps(da))
    xr.testing.assert_identical(again, da)
    assert "scale" in again.x.attrs


def test_c9_loading_asynchronously(store: Path) -> None:
    ds = xr.open_dataset(store, engine="omezarr")
    loaded = asyncio.run(ds.isel(x=slice(3, 20)).load_async())
    np.testing.assert_array_equal(loaded["image"].values, image().isel(x=slice(3, 20)).values)


def test_c9_loading_other_byte_orders_and_packed_coordinates_asynchronously(tmp_path: Path) -> None:
    when = np.arange(300).astype("M8[s]")
    da = xr.DataArray(np.arange(600, dtype=">u2").reshape(300, 2), {"when": ("y", when)}, ("y", "x"))
    da.omezarr.to_zarr(tmp_path / "a.zarr", version="0.5", levels=1)
    opened = xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr")
    assert opened.dtype == np.dtype(">u2")
    loaded = asyncio.run(opened.isel(y=[5, 2]).load_async())
    assert loaded.dtype == np.dtype(">u2")
    np.testing.assert_array_equal(loaded.values, da.isel(y=[5, 2]).values)
    np.testing.assert_array_equal(loaded.when.values, when[[5, 2]])


INDEXERS: list[dict[str, Any]] = [
    {"c": 1},
    {"y": slice(3, 30, 4), "x": -1},
    {"x": slice(None, None, -3)},
    {"y": [7, 3, 3], "x": [0, 47]},
    {"c": xr.DataArray([0, 1, 1], dims="p"), "y": xr.DataArray([0, 39, 5], dims="p"), "x": slice(2, 4)},
    {"y": np.arange(40) % 3 == 0},
]


@pytest.mark.parametrize("indexer", INDEXERS)
def test_c9_lazy_indexing_is_numpys(store: Path, indexer: dict[str, Any]) -> None:
    opened = xr.open_dataarray(store, engine="omezarr")
    wanted = image().isel(indexer)
    np.testing.assert_array_equal(opened.isel(indexer).values, wanted.values)
    xr.testing.assert_equal(opened.isel(indexer), wanted)


def test_c9_a_tree_can_be_closed_and_the_users_store_stays_open(store: Path, tmp_path: Path) -> None:
    with xr.open_datatree(store, engine="omezarr") as tree:
        assert tree["0/image"].shape == (2, 40, 48)
    memory = MemoryStore()
    image().omezarr.to_zarr(memory)
    mine = CountingStore(memory)
    closed: list[bool] = []
    mine.close = lambda: closed.append(True)  # type: ignore[method-assign]
    xr.open_datatree(mine, engine="omezarr").close()
    xr.open_dataset(mine, engine="omezarr").close()
    assert not closed


# --- what the engine claims ----------------------------------------------------------------------------------


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Any]:
    """Everything that xarray may ask an engine about."""
    zarr.create_group(tmp_path / "v2.zarr", zarr_format=2).create_array("0", shape=(2,), dtype="u1")
    zarr.create_group(tmp_path / "v3.zarr", zarr_format=3).create_array("0", shape=(2,), dtype="u1")
    zarr.create_array(tmp_path / "array.zarr", shape=(2,), dtype="u1")
    other = zarr.create_group(tmp_path / "geo.zarr")
    other.attrs["multiscales"] = {"layout": []}
    (tmp_path / "file.zarr").write_text("no folder")
    (tmp_path / "a.nc").write_bytes(b"CDF\x01")
    (tmp_path / "empty.zarr").mkdir()
    names = ("v2.zarr", "v3.zarr", "array.zarr", "geo.zarr", "file.zarr", "a.nc", "empty.zarr", "nothing.zarr")
    return {
        **{name: tmp_path / name for name in names},
        "text": str(tmp_path / "v3.zarr"),
        "none": None,
        "bytes": b"CDF\x01",
        "number": 3,
        "memory": MemoryStore(),
        "local": LocalStore(tmp_path / "v2.zarr"),
        "http": "https://localhost:1/data.nc",
        "nowhere": "memory://nowhere/a.ome.zarr",
    }


def test_c9_the_engine_claims_nothing_but_images(places: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        claimed = [name for name, place in places.items() if guess(place)]
    assert claimed == []


def test_c9_plain_zarr_stays_with_its_own_engine(tmp_path: Path) -> None:
    xr.Dataset({"a": ("x", [1, 2])}).to_zarr(tmp_path / "plain.zarr", consolidated=False)
    assert "a" in xr.open_dataset(tmp_path / "plain.zarr", consolidated=False)


def remote(kind: str, path: Path) -> Any:
    if kind == "fsspec":
        return f"memory://{path.name}/cells.ome.zarr"
    if kind == "zip":
        if tuple(map(int, zarr.__version__.split(".")[:3])) < (3, 4, 2):
            pytest.skip("before zarr 3.4.2 a zip file cannot be read while it is written")
        return ZipStore(path / "cells.zip", mode="w")
    if kind.startswith("obstore"):
        obstore = pytest.importorskip("obstore")
        (path / "obstore").mkdir()
        return obstore.store.MemoryStore() if kind == "obstore memory" else obstore.store.LocalStore(path / "obstore")
    return {"memory": MemoryStore(), "local": LocalStore(path / "cells.zarr"), "url": (path / "a.zarr").as_uri()}[kind]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["fsspec", "zip", "obstore memory", "obstore local", "memory", "local", "url"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_c9_every_kind_of_store_is_written_claimed_and_opened(tmp_path: Path, kind: str, version: str) -> None:
    place = remote(kind, tmp_path)
    image().omezarr.to_zarr(place, version=version)
    assert guess(place)
    xr.testing.assert_identical(xr.open_dataarray(place, engine="omezarr").drop_attrs(), image().drop_attrs())
    assert xr.open_datatree(place, engine="omezarr").omezarr.version == version


@pytest.mark.parametrize("engine", [{}, {"engine": "omezarr"}])
def test_c9_the_three_ways_of_opening(store: Path, engine: dict[str, str]) -> None:
    da = xr.open_dataarray(store, **engine)
    xr.testing.assert_identical(da.drop_attrs(), image().drop_attrs())
    assert list(xr.open_dataset(store, **engine).data_vars) == ["image"]
    tree = xr.open_datatree(store, **engine)
    assert list(tree.children) == ["0", "1", "2", "3", "4"]
    assert tree.omezarr.level(0).name == "cells"
    groups = xr.open_groups(store, **engine)
    assert set(groups) == {"/", "/0", "/1", "/2", "/3", "/4"}


def test_c9_chunks_follow_the_file(store: Path) -> None:
    assert xr.open_dataarray(store, engine="omezarr", chunks={}).chunks == ((1, 1), (16, 16, 8), (16, 16, 16))
    assert xr.open_dataarray(store, engine="omezarr").chunks is None


def test_c9_levels_groups_and_coordinates_to_leave_out(tmp_path: Path) -> None:
    root = zarr.create_group(tmp_path / "many.zarr", zarr_format=3)
    root.create_group("well")
    image().omezarr.to_zarr(tmp_path / "many.zarr/well/field", version="0.5", levels=2)
    opened = xr.open_dataarray(tmp_path / "many.zarr", engine="omezarr", group="well/field", level=1)
    assert opened.shape == (2, 40, 24)
    assert opened.x.attrs["scale"] == 0.5
    tree = xr.open_datatree(tmp_path / "many.zarr", engine="omezarr", group="well/field", drop_variables="c")
    assert "c" not in tree["0"].coords
    assert tree.omezarr.validate().valid
    assert "x" not in xr.open_dataset(tmp_path / "many.zarr/well/field", engine="omezarr", drop_variables=["x"]).coords
    for opener in (xr.open_dataset, xr.open_datatree):
        with pytest.raises(OmeZarrError, match="'image', which is the image itself"):
            opener(tmp_path / "many.zarr/well/field", engine="omezarr", drop_variables="image")


@pytest.mark.parametrize("level", [5, -1, 1.5, "0", True])
def test_c9_a_level_that_is_not_there_is_named(store: Path, level: Any) -> None:
    with pytest.raises(LevelError, match=r"no level .*; the image has 5: give level=0 … 4"):
        xr.open_dataset(store, engine="omezarr", level=level)


# --- what others write ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_c2_transforms_of_group_and_dataset_compose(version: str) -> None:
    datasets = [
        {
            "path": str(index),
            "coordinateTransformations": [
                {"type": "scale", "scale": [0.5 * 2**index, 0.25 * 2**index]},
                {"type": "translation", "translation": [3.0, -1.0]},
            ],
        }
        for index in range(2)
    ]
    whole = [{"type": "scale", "scale": [10.0, 2.0]}, {"type": "translation", "translation": [1.0, 7.0]}]
    store = handmade(MemoryStore(), version=version, datasets=datasets, coordinateTransformations=whole)
    for level in range(2):
        opened = xr.open_dataarray(store, engine="omezarr", level=level)
        for dim, size, s, t, outer_s, outer_t in (("y", 6, 0.5, 3.0, 10.0, 1.0), ("x", 8, 0.25, -1.0, 2.0, 7.0)):
            index = np.arange(size >> level)
            np.testing.assert_allclose(opened[dim], outer_s * (s * 2**level * index + t) + outer_t, rtol=1e-15)
            assert opened[dim].attrs == {"scale": outer_s * s * 2**level}


AXES: dict[str, tuple[Any, tuple[int, ...]]] = {
    "row and col": (({"name": "row", "type": "space"}, {"name": "col", "type": "space"}), (6, 8)),
    "xy": (({"name": "x", "type": "space"}, {"name": "y", "type": "space"}), (6, 8)),
    "without types": (({"name": "a"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}), (2, 6, 8)),
    "custom": (
        ({"name": "q", "type": "angle"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}),
        (2, 6, 8),
    ),
    "with units": (({"name": "y", "type": "space", "unit": "parsec"}, {"name": "x", "type": "space"}), (6, 8)),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", AXES)
def test_c9_axes_as_others_name_them(version: str, case: str) -> None:
    axes, shape = AXES[case]
    opened = xr.open_dataarray(handmade(MemoryStore(), version=version, axes=axes, shape=shape), engine="omezarr")
    assert opened.dims == tuple(axis["name"] for axis in axes)
    for axis in axes:
        assert opened[axis["name"]].attrs == ({"units": axis["unit"]} if "unit" in axis else {}) | {"scale": 2.0}
    np.testing.assert_array_equal(opened.values.ravel(), np.arange(np.prod(shape)))


def test_c9_omero_that_does_not_fit_is_left_out() -> None:
    axes = ({"name": "c", "type": "channel"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"})
    window = {"min": 0, "max": 255, "start": 0, "end": 9}
    channels = [{"label": f"{index}", "color": "FF0000", "window": window} for index in range(3)]
    transform = [{"type": "scale", "scale": [1.0, 2.0, 2.0]}]
    datasets = [{"path": "0", "coordinateTransformations": transform}]
    args: dict[str, Any] = {"axes": axes, "datasets": datasets}
    fitting = handmade(MemoryStore(), shape=(3, 6, 8), omero={"channels": channels}, **args)
    assert xr.open_dataarray(fitting, engine="omezarr").c.values.tolist() == ["0", "1", "2"]
    other = handmade(MemoryStore(), shape=(2, 6, 8), omero={"channels": channels}, **args)
    assert "c" not in xr.open_dataarray(other, engine="omezarr").coords


def test_c9_stale_consolidated_metadata_mislead_nobody(tmp_path: Path) -> None:
    handmade(tmp_path / "a.zarr")
    zarr.consolidate_metadata(str(tmp_path / "a.zarr"))
    attrs = json.loads((tmp_path / "a.zarr/.zattrs").read_text())
    attrs["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] = [5.0, 5.0]
    (tmp_path / "a.zarr/.zattrs").write_text(json.dumps(attrs))
    assert xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr").x.attrs["scale"] == 5.0


# --- what cannot be opened -----------------------------------------------------------------------------------


def scaled(path: str) -> dict[str, Any]:
    return {"path": path, "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0]}]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (2, 6, 8), "datasets": [scaled("0")]}, r"level 0 .* has 3 dimensions, .* 2 axes \('y', 'x'\)"),
        (
            {"datasets": [scaled("0"), scaled("nowhere")]},
            "level 1 .* 'nowhere' .* no array; the store is incomplete",
        ),
        ({"datasets": [scaled("gone"), scaled("lost")]}, r"(?s)'gone'.*'lost'"),
        ({"datasets": [scaled("../other/0")]}, r"'\.\./other/0' does not lead to an array below"),
        ({"datasets": [scaled("/0")]}, "'/0' does not lead to an array below"),
        ({"datasets": [scaled("")]}, "'' does not lead to an array below"),
        ({"axes": ({"name": "a/b", "type": "space"}, {"name": "x", "type": "space"})}, "axis name 'a/b'"),
        ({"axes": ({"name": "image", "type": "space"}, {"name": "x", "type": "space"})}, "axis name 'image'"),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_c7_metadata_that_do_not_fit_the_arrays_are_named(version: str, options: dict[str, Any], message: str) -> None:
    store = handmade(MemoryStore(), version=version, **{"axes": AXES["xy"][0][::-1], **options})
    with pytest.raises(OmeZarrError, match=message) as caught:
        xr.open_datatree(store, engine="omezarr")
    faults = caught.value.exceptions if isinstance(caught.value, ExceptionGroup) else [caught.value]
    assert all(isinstance(fault, MetadataError) for fault in faults)


def test_c7_an_array_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    handmade(tmp_path / "a.zarr", version="0.5")
    path = tmp_path / "a.zarr/0/zarr.json"
    path.write_text(path.read_text().replace('"uint8"', '"uint7"'))
    with pytest.raises(MetadataError, match=r"level 0 .* cannot be opened: .*uint7"):
        xr.open_dataset(tmp_path / "a.zarr", engine="omezarr")


@pytest.mark.parametrize("version", ["0.0", "0.6.dev1", "0.7", "9"])
def test_c7_other_versions_are_claimed_and_refused_by_name(tmp_path: Path, version: str) -> None:
    old = version < "0.4"
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=2 if old else 3)
    multiscales = [{"datasets": [{"path": "0"}], "version": version}]
    ome = {"version": version, "multiscales": multiscales}
    group.attrs.update({"multiscales": multiscales} if old else {"ome": ome})
    assert guess(tmp_path / "a.zarr")
    with pytest.raises(VersionError, match=f"'{version}'.*reads 0.1, 0.2, 0.3, 0.4, 0.5 and 0.6"):
        xr.open_datatree(tmp_path / "a.zarr")


@pytest.mark.parametrize(
    ("attrs", "message"),
    [
        ({"ome": {"version": "0.5", "well": {}}}, "a well of a plate"),
        ({"ome": {"version": "0.5", "labels": ["a"]}}, "a list of label images"),
        ({"series": ["0"]}, "a list of series"),
        ({}, "no OME-Zarr metadata; open plain Zarr with xarray.open_zarr"),
    ],
)
def test_c7_groups_that_are_no_image_are_named(tmp_path: Path, attrs: dict[str, Any], message: str) -> None:
    zarr.create_group(tmp_path / "a.zarr", zarr_format=3 if "ome" in attrs else 2, attributes=attrs)
    assert not guess(tmp_path / "a.zarr")
    with pytest.raises(NotOmeZarrError, match=message):
        xr.open_datatree(tmp_path / "a.zarr", engine="omezarr")


def test_c7_places_where_nothing_is_are_named(places: dict[str, Any]) -> None:
    for name, error in {
        "nothing.zarr": StoreNotFoundError,
        "nowhere": StoreNotFoundError,
        "memory": StoreNotFoundError,
        "v3.zarr": NotOmeZarrError,
        "array.zarr": NotOmeZarrError,
        "file.zarr": NotOmeZarrError,
        "empty.zarr": NotOmeZarrError,
        "number": OmeZarrError,
    }.items():
        with pytest.raises(error):
            xr.open_datatree(places[name], engine="omezarr")
    with pytest.raises(FileNotFoundError, match=r"nothing\.zarr"):
        xr.open_dataset(places["nothing.zarr"], engine="omezarr")
    with pytest.raises(StoreNotFoundError, match="group 'b'"):
        xr.open_dataset(places["memory"], engine="omezarr", group="b")


def test_c7_metadata_that_are_not_json_are_named(tmp_path: Path) -> None:
    xr.DataArray(np.zeros((8, 8)), dims=("y", "x")).omezarr.to_zarr(tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / ".zattrs").write_text("{broken")
    with pytest.raises(MetadataError, match=r"not JSON.*mend"):
        xr.open_datatree(tmp_path / "a.zarr", engine="omezarr")


def test_channels_that_are_described_are_read_where_others_are_not(tmp_path: Path) -> None:
    xr.DataArray(np.zeros((2, 8, 8)), dims=("c", "y", "x")).omezarr.to_zarr(tmp_path / "a.zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="a")
    attrs = {key: value for key, value in group.attrs.asdict().items() if key != "xomezarr"}
    attrs["omero"]["channels"] = [attrs["omero"]["channels"][0] | {"label": "DAPI", "color": "0000FF"}]
    group.attrs.put(attrs)
    da = xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr")
    assert list(da.c.values) == ["DAPI", ""]
    assert list(da.channel_color.values) == ["0000FF", ""]


def test_a_second_multiscale_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    xr.DataArray(np.zeros((8, 8)), dims=("y", "x")).omezarr.to_zarr(tmp_path / "a.zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="a")
    first = group.attrs.asdict()["multiscales"][0]
    group.attrs["multiscales"] = [first, first | {"name": "other"}]
    with pytest.warns(OtherImagesWarning, match="'other'"):
        xr.open_datatree(tmp_path / "a.zarr", engine="omezarr")


@pytest.mark.parametrize("value", ["log", None, True, [1, 2]])
def test_c6_a_scale_that_is_no_spacing_is_the_users_own(tmp_path: Path, value: Any) -> None:
    x = xr.Variable("x", np.arange(8) * 0.5, {"scale": value, "units": "micrometer"})
    da = xr.DataArray(np.zeros((8, 8)), {"x": x}, ("y", "x"))
    tree = da.omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=4)
    xr.testing.assert_identical(tree.omezarr.level(0).compute(), da)
    again = tree.omezarr.to_zarr(tmp_path / "b.ome.zarr")
    xr.testing.assert_identical(again.omezarr.level(0).compute(), da)
    assert again.omezarr.level(3).x.attrs["scale"] == 4.0


def test_c1_a_scale_that_is_a_number_is_overwritten(tmp_path: Path) -> None:
    x = xr.Variable("x", np.arange(8) * 0.5, {"scale": 7.0})
    da = xr.DataArray(np.zeros((8, 8)), {"x": x}, ("y", "x"))
    assert da.omezarr.to_zarr(tmp_path / "a.ome.zarr").omezarr.level(0).x.attrs["scale"] == 0.5


@pytest.mark.parametrize("factor", [0.5, 2.0, 1000.0])
def test_c6_an_irregular_image_opens_after_another_tool_changed_a_level(tmp_path: Path, factor: float) -> None:
    da = xr.DataArray(np.zeros((9, 4, 4)), {"z": [0.0, 1, 3, 4, 6, 7, 8, 9, 10]}, ("z", "y", "x"))
    path = tmp_path / "a.ome.zarr"
    before = da.omezarr.to_zarr(path, factors={"z": 2}, levels=2, irregular="keep").omezarr.level(0).load()
    attrs = json.loads((path / ".zattrs").read_text())
    attrs["multiscales"][0]["datasets"][1]["coordinateTransformations"][0]["scale"][0] *= factor
    (path / ".zattrs").write_text(json.dumps(attrs))
    with pytest.warns(MetadataChangedWarning, match="scale of 'z' at level 1"):
        opened = xr.open_datatree(path, engine="omezarr").omezarr
    xr.testing.assert_identical(opened.level(0).load(), before)
    assert opened.level(1).sizes["z"] == opened.level(1).z.size == 5


ANSWERS = pytest.mark.skipif(not hasattr(LocalStore, "get_sync"), reason="this zarr answers by an event loop alone")


class Counted(LocalStore):
    """Derived as users derive: by the method that is documented."""

    asked = 0

    async def get(self, key: str, *args: Any, **options: Any) -> Any:
        type(self).asked += 1
        return await super().get(key, *args, **options)


@ANSWERS
def test_a_store_that_changes_one_way_of_asking_is_asked_in_that_way(store: Path) -> None:
    assert answers_at_once(LocalStore(store))
    assert answers_at_once(zarr.storage.MemoryStore())
    assert not answers_at_once(CountingStore(LocalStore(store)))
    assert not answers_at_once(WrapperStore(Counted(store)))
    xr.open_datatree(Counted(store, read_only=True), engine="omezarr")
    assert Counted.asked > 0
    asked = Counted.asked
    array = zarr.open_array(Counted(store, read_only=True), path="0")
    Chunks(array).read(tuple(map(slice, [0] * array.ndim, array.shape)))
    assert Counted.asked > asked + 1


KEYS = [slice(None), slice(1, 3), slice(None, None, -1), 1, [2, 0, 1], np.array([1, 1, 0]), slice(0, 0), slice(0, 9, 2)]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_an_image_in_any_order_is_read_and_indexed_as_it_was(tmp_path: Path, data: st.DataObject) -> None:
    order = st.permutations(("c", "z", "y", "x"))
    first, then, after = data.draw(order), data.draw(order), data.draw(order)
    pixels = np.random.default_rng(0).integers(0, 9999, (3, 4, 5, 6)).astype(data.draw(st.sampled_from(["<u2", ">u2"])))
    wanted = xr.DataArray(pixels, dims=("c", "z", "y", "x"), name="cells").transpose(*first)
    place, version = tmp_path / "a.zarr", data.draw(st.sampled_from(VERSIONS))
    wanted.omezarr.to_zarr(place, mode="w", version=version, levels=2, chunks={"c": 3, "z": 2, "y": 2, "x": 3})
    got = xr.open_dataarray(place, engine="omezarr").drop_vars(["z", "y", "x"], errors="ignore")
    assert got.dims == wanted.dims
    keys = {dim: data.draw(st.sampled_from(KEYS)) for dim in first}

    def changed(da: xr.DataArray) -> xr.DataArray:
        cut = da.transpose(*then).isel(keys)
        return cut.transpose(*(dim for dim in after if dim in cut.dims))

    points = {"y": xr.DataArray([0, 1, 3], dims="p"), "x": xr.DataArray([5, 1, 0], dims="p")}
    for change in (changed, lambda da: da.transpose(*then).isel(points).transpose(..., "p", "z")):
        one, other = change(got), change(wanted)
        assert one.dims == other.dims
        assert one.dtype == one.values.dtype == other.dtype
        np.testing.assert_array_equal(one.values, other.values)
        np.testing.assert_array_equal(asyncio.run(change(got.copy()).load_async()).values, other.values)


def test_an_image_whose_channels_come_last_is_read_chunk_by_chunk(tmp_path: Path, monkeypatch: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype="u1")
    da = xr.DataArray(pixels, dims=("y", "x", "c"))
    da.omezarr.to_zarr(tmp_path / "rgb.zarr", levels=2, chunks={"c": 1, "y": 64, "x": 64})
    monkeypatch.setattr(zarr.Array, "vindex", property(lambda self: pytest.fail("pixel by pixel")))
    got = xr.open_dataarray(tmp_path / "rgb.zarr", engine="omezarr")
    assert (got.T.values == pixels.T).all()
    assert (got.isel(x=slice(3, 70), y=5).values == pixels[5, 3:70]).all()


WRONG = ["null", "[1]", '"x"', "[" * 100_000, "\xff"]
WRONG_OBJECTS = ['{"node_type": "group", "zarr_format": 1}', '{"zarr_format": 3, "attributes": [1]}']


@pytest.mark.parametrize(
    ("name", "document"),
    [
        *((name, document) for name in ("zarr.json", ".zattrs", ".zgroup") for document in WRONG),
        *(("zarr.json", document) for document in WRONG_OBJECTS),
    ],
)
def test_c7_a_document_that_is_no_object_is_named(tmp_path: Path, name: str, document: str) -> None:
    if name == ".zattrs":
        (tmp_path / ".zgroup").write_text('{"zarr_format": 2}')
    (tmp_path / name).write_text(document, encoding="latin1")
    with pytest.raises(OmeZarrError, match=re.escape(str(tmp_path))):
        xr.open_datatree(tmp_path, engine="omezarr")


@ANSWERS
@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_opened_and_created_directly_is_what_zarr_opens_and_creates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    da = image()
    da.omezarr.to_zarr(tmp_path / "a.zarr", version=version, levels=3)
    group = direct.opened_group(tmp_path / "a.zarr")
    wanted = zarr.open_group(tmp_path / "a.zarr", mode="r", use_consolidated=False)
    assert group is not None
    assert (group, group.metadata, group.read_only) == (wanted, wanted.metadata, True)
    for path in ("0", "2"):
        array = direct.opened_array(group, path)
        assert array is not None
        assert (array, array.metadata, array.read_only) == (wanted[path], wanted[path].metadata, True)
    for name in ("..", "../a.zarr", "a/../0", "a\\0", "missing"):
        assert direct.opened_array(group, name) is None
        assert direct.opened_group(tmp_path / "a.zarr", name) is None
    # where zarr has changed, all is done by zarr
    for name in ("opened_group", "opened_array", "created_group", "created_like"):
        monkeypatch.setattr(direct, name, lambda *_: None)
    monkeypatch.setattr("xomezarr.write.created_like", lambda *_: None)
    monkeypatch.setattr("xomezarr.chunks.answers_at_once", lambda _: False)
    tree = da.omezarr.to_zarr(tmp_path / "b.zarr", version=version, levels=3)
    names = sorted(path.relative_to(tmp_path / "a.zarr") for path in (tmp_path / "a.zarr").rglob("*") if path.is_file())
    for name in names:
        one, other = ((tmp_path / store / name).read_bytes() for store in ("a.zarr", "b.zarr"))
        assert one == other or name.name in ("zarr.json", ".zarray", ".zattrs", ".zgroup")
        if one != other:
            assert json.loads(one) == json.loads(other.replace(b'"b"', b'"a"')) or b"multiscales" in one
    assert tree["2/image"].equals(xr.open_datatree(tmp_path / "a.zarr", engine="omezarr")["2/image"])
