"""Writing: what is on disk, from every kind of source, checked before the first byte (C3, C4, C5, C7, C8)."""

from __future__ import annotations

import json
import math
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import dask
import dask.array
import fsspec
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.local import LocalFileSystem
from numcodecs import JSON, LZMA, AsType, BitRound, Blosc, Delta, FixedScaleOffset, PackBits, Quantize, VLenUTF8, Zlib
from stores import files
from xarray.backends.common import BackendArray
from xarray.core import indexing
from zarr.codecs import Crc32cCodec, GzipCodec, ZstdCodec
from zarr.storage import FsspecStore

import xomezarr
from xomezarr import errors, open_image, tiling
from xomezarr.cli import main
from xomezarr.write import WINDOW_PIXELS, sampled, with_windows

VERSIONS = ["0.4", "0.5"]


def cells(shape: tuple[int, ...] = (2, 5, 61, 73), dtype: str = "uint16", seed: int = 0) -> xr.DataArray:
    rng = np.random.default_rng(seed)
    dims = ("t", "c", "z", "y", "x")[-len(shape) :] if len(shape) != 4 else ("c", "z", "y", "x")
    da = xr.DataArray(rng.poisson(100, shape).astype(dtype), dims=dims, name="cells")
    scale = {dim: {"z": 2.0}.get(dim, 0.325) for dim in dims if dim in "zyx"}
    return da.omezarr.assign_grid(scale=scale, units="um")


def attributes(root: Path, version: str) -> dict[str, Any]:
    if version == "0.4":
        return json.loads((root / ".zattrs").read_text())  # type: ignore[no-any-return]
    return json.loads((root / "zarr.json").read_text())["attributes"]["ome"]  # type: ignore[no-any-return]


def test_0_4_is_zarr_2_with_nested_keys_and_named_dimensions(tmp_path: Path) -> None:
    root = tmp_path / "cells.ome.zarr"
    cells().omezarr.to_zarr(root, levels=2, chunks={"y": 32, "x": 32})
    array = json.loads((root / "1" / ".zarray").read_text())
    assert array["zarr_format"] == 2
    assert array["dimension_separator"] == "/"
    assert array["fill_value"] is None
    assert json.loads((root / "1" / ".zattrs").read_text())["_ARRAY_DIMENSIONS"] == ["c", "z", "y", "x"]
    assert (root / "0" / "1" / "0" / "1" / "2").is_file()
    multiscale = attributes(root, "0.4")["multiscales"][0]
    assert multiscale["version"] == "0.4"
    assert multiscale["name"] == "cells"
    assert multiscale["type"] == "local_mean"
    assert multiscale["metadata"]["kwargs"]["factors"] == [{"c": 1, "z": 1, "y": 2, "x": 2}]


def test_0_5_is_zarr_3_with_dimension_names(tmp_path: Path) -> None:
    root = tmp_path / "cells.ome.zarr"
    cells().omezarr.to_zarr(root, levels=2, version="0.5")
    array = json.loads((root / "1" / "zarr.json").read_text())
    assert array["zarr_format"] == 3
    assert array["dimension_names"] == ["c", "z", "y", "x"]
    assert attributes(root, "0.5")["version"] == "0.5"


@pytest.mark.parametrize("version", VERSIONS)
def test_c1_short_decimals_stay_short_in_the_json(tmp_path: Path, version: str) -> None:
    cells().omezarr.to_zarr(tmp_path / "a.zarr", levels=3, version=version)
    multiscale = attributes(tmp_path / "a.zarr", version)["multiscales"][0]
    said = [dataset["coordinateTransformations"] for dataset in multiscale["datasets"]]
    assert [transforms[0]["scale"][-1] for transforms in said] == [0.325, 0.65, 1.3]
    assert [transforms[1]["translation"][-1] for transforms in said] == [0.0, 0.1625, 0.325 * 1.5]
    assert multiscale["axes"][-1] == {"name": "x", "type": "space", "unit": "micrometer"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint32", "int64", "uint64", "float16", "float32", "f8"])
def test_c3_every_level_on_disk_is_the_mean_of_level_0(tmp_path: Path, version: str, dtype: str) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 2 if dtype == "bool" else 120, (24, 40)).astype(dtype)
    da = xr.DataArray(pixels, dims=("y", "x"))
    tree = da.omezarr.to_zarr(tmp_path / "a.zarr", method="local_mean", levels=4, factors=2, version=version)
    levels = tree.omezarr.levels
    for index, level in enumerate(levels):
        factor = 2**index
        blocks = pixels.reshape(24 // factor, factor, 40 // factor, factor).astype("f8")
        mean = blocks.mean((1, 3))
        expected = mean if np.dtype(dtype).kind == "f" else np.rint(mean)
        assert level.dtype == dtype
        np.testing.assert_array_equal(level.values, expected.astype(dtype))


def test_c3_photon_counts_do_not_fade(tmp_path: Path) -> None:
    counts = xr.DataArray(np.random.default_rng(2).poisson(3, (256, 256)).astype("u2"), dims=("y", "x"))
    levels = counts.omezarr.to_zarr(tmp_path / "a.zarr", levels=5).omezarr.levels
    for level in levels:
        assert abs(float(level.mean()) - float(counts.mean())) < 0.06


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("method", ["local_mean", "nearest"])
def test_c4_the_same_bytes_from_every_source(tmp_path: Path, version: str, method: str) -> None:
    da = cells((3, 61, 73), "float32") * np.float32(1.1)
    options: dict[str, Any] = {"version": version, "levels": 3, "factors": 2, "chunks": {"y": 16, "x": 32}}
    options |= {"method": method, "name": "same"}
    da.to_dataset(name="v").to_zarr(tmp_path / "source.zarr")
    da.to_dataset(name="v").to_netcdf(tmp_path / "source.nc", engine="scipy")
    on_disk = np.memmap(tmp_path / "raw", dtype="f4", mode="w+", shape=da.shape)
    on_disk[:] = da.values
    sources = {
        "numpy": da,
        "fortran": da.copy(data=np.asfortranarray(da.values)),
        "small chunks": da.chunk(z=1, y=7, x=5),
        "one chunk": da.chunk(),
        "uneven chunks": da.chunk(z=(2, 1), y=(1, 40, 20), x=(73,)),
        "transposed": da.transpose("x", "z", "y").chunk(x=9),
        "memory-mapped": da.copy(data=on_disk),
        "lazily opened Zarr": xr.open_zarr(tmp_path / "source.zarr", chunks=None)["v"],
        "Zarr through dask": xr.open_zarr(tmp_path / "source.zarr")["v"],
        "netCDF": xr.open_dataset(tmp_path / "source.nc", engine="scipy")["v"],
    }
    written = {}
    for name, source in sources.items():
        source.omezarr.to_zarr(tmp_path / name, **options)
        written[name] = {path: data for path, data in files(tmp_path / name).items() if path[0].isdigit()}
    for name in sources:
        assert written[name] == written["numpy"], name
    with dask.config.set(scheduler="synchronous"):
        sources["small chunks"].omezarr.to_zarr(tmp_path / "synchronous", **options)
    assert {p: d for p, d in files(tmp_path / "synchronous").items() if p[0].isdigit()} == written["numpy"]


def test_c5_odd_images_are_covered(tmp_path: Path) -> None:
    da = xr.DataArray(np.full((203, 101), 7, "uint8"), dims=("y", "x"))
    levels = da.omezarr.to_zarr(tmp_path / "a.zarr", levels=5).omezarr.levels
    assert [level.shape for level in levels] == [(203, 101), (102, 51), (51, 26), (26, 13), (13, 7)]
    assert all((level == 7).all() for level in levels)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_written_is_what_pyramid_computes(tmp_path: Path, version: str) -> None:
    da = cells()
    written = da.omezarr.to_zarr(tmp_path / "a.zarr", levels=3, version=version)
    for mine, computed in zip(written.omezarr.levels, da.omezarr.pyramid(levels=3).omezarr.levels, strict=True):
        xr.testing.assert_identical(mine, computed)


def test_each_block_of_a_dask_source_is_computed_once(tmp_path: Path) -> None:
    lock, seen = threading.Lock(), []

    def block(pixels: np.ndarray, block_info: Any = None) -> np.ndarray:
        with lock:
            seen.append(tuple(block_info[0]["chunk-location"]))
        return pixels + 1

    lazy = dask.array.zeros((64, 64), chunks=16, dtype="u1").map_blocks(block, dtype="u1", meta=np.empty((0, 0), "u1"))
    xr.DataArray(lazy, dims=("y", "x")).omezarr.to_zarr(tmp_path / "a.zarr", levels=4)
    assert sorted(seen) == sorted(np.ndindex(4, 4))


def test_numpy_input_is_not_copied(tmp_path: Path) -> None:
    pixels = np.zeros((256, 1024, 1024), "uint8")
    pixels += 1
    da = xr.DataArray(pixels, dims=("z", "y", "x"))
    with dask.config.set(scheduler="synchronous"):
        tracemalloc.start()
        da.omezarr.to_zarr(tmp_path / "a.zarr", levels=3)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 0.75 * pixels.nbytes  # and no more for larger images


def test_compute_false_leaves_nothing_on_disk_until_it_is_computed(tmp_path: Path) -> None:
    store = tmp_path / "later.ome.zarr"
    delayed = cells().omezarr.to_zarr(store, levels=2, compute=False)
    assert list(tmp_path.iterdir()) == []
    tree = delayed.compute()
    xr.testing.assert_identical(tree.omezarr.level(0), cells())


def test_progress_is_told_of_every_byte(tmp_path: Path) -> None:
    told: list[int] = []
    plan = cells().omezarr.plan(tmp_path / "a.zarr", levels=3)
    cells().omezarr.to_zarr(tmp_path / "a.zarr", levels=3, progress=told.append)
    assert sum(told) == plan.nbytes


def test_windows_are_those_of_the_data_not_of_a_guess(tmp_path: Path) -> None:
    gfp = {"label": "GFP", "window": (10, 4000), "color": "#00ff00"}
    da = cells((2, 4, 64, 64)).omezarr.assign_channels(["DAPI", gfp])
    tree = da.omezarr.to_zarr(tmp_path / "a.zarr", levels=3)
    dapi, green = tree.omezarr.channels
    coarsest = tree.omezarr.levels[-1].isel(c=0)
    assert (dapi.window.min, dapi.window.max) == (0, 65535)
    assert float(coarsest.min()) <= dapi.window.start < dapi.window.end <= float(coarsest.max())
    assert (green.window.start, green.window.end) == (10, 4000)
    assert (green.label, green.color) == ("GFP", "00FF00")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("compressors", [None, "auto"])
def test_codecs_of_the_users_choice(tmp_path: Path, version: str, compressors: Any) -> None:
    tree = cells().omezarr.to_zarr(tmp_path / "a.zarr", version=version, compressors=compressors)
    array = zarr.open_array(tmp_path / "a.zarr" / "0", mode="r")
    assert len(array.compressors) == (0 if compressors is None else 1)
    np.testing.assert_array_equal(tree.omezarr.level(0), cells())


LOSSLESS = [
    ("0.4", "uint16", Blosc()),
    ("0.4", "uint16", Delta("u2")),
    ("0.4", "bool", PackBits()),
    ("0.4", ">i2", {"id": "zstd", "level": 1}),
    ("0.4", "float32", LZMA()),
    ("0.5", "float64", [ZstdCodec(), Crc32cCodec()]),
    ("0.5", "complex64", GzipCodec()),
    ("0.5", "uint8", []),
]
LOSSY = [
    ("0.4", "uint16", PackBits(), "change pixels of uint16, .* without losses, such as compressors=numcodecs.Zstd"),
    ("0.4", "uint16", AsType("u1", "u2"), r"written: .* round\(\) or astype\(\)"),
    ("0.4", "float32", Quantize(2, "f4"), "change pixels of float32"),
    ("0.4", "float32", BitRound(3), "change pixels of float32"),
    ("0.4", "float64", FixedScaleOffset(0, 100, "f8", "i2"), "change pixels of float64"),
    ("0.4", "uint16", JSON(), "cannot keep pixels of uint16 .* give another codec"),
    ("0.4", "uint16", Zlib(level=99), r"cannot keep pixels of uint16 \(Bad compression level\)"),
    ("0.4", "uint16", VLenUTF8(), "cannot keep pixels of uint16"),
]


@pytest.mark.parametrize(("version", "dtype", "codec"), LOSSLESS, ids=str)
def test_c3_codecs_that_keep_pixels_are_taken(tmp_path: Path, version: str, dtype: str, codec: Any) -> None:
    da = cells((30, 40), dtype)
    tree = da.omezarr.to_zarr(tmp_path / "a.zarr", version=version, levels=2, method="nearest", compressors=codec)
    np.testing.assert_array_equal(tree.omezarr.level(0), da)


@pytest.mark.parametrize(("version", "dtype", "codec", "told"), LOSSY, ids=str)
@pytest.mark.parametrize("place", ["local", "delayed", "memory"])
def test_c3_codecs_that_lose_pixels_are_refused_before_the_first_byte(
    tmp_path: Path, version: str, dtype: str, codec: Any, told: str, place: str
) -> None:
    store: Any = zarr.storage.MemoryStore() if place == "memory" else tmp_path / "a.zarr"
    da, options = cells((30, 40), dtype), {"version": version, "levels": 1, "compressors": codec}
    with pytest.raises(errors.CodecError, match=f"(?s){told}"):
        da.omezarr.to_zarr(store, compute=place != "delayed", **options)
    assert list(tmp_path.iterdir()) == []
    assert place != "memory" or not store._store_dict


def test_c3_codecs_are_tried_on_labels_too(tmp_path: Path) -> None:
    da = cells((30, 40))
    with pytest.raises(errors.CodecError, match="change pixels of uint16"):
        (da > 90).omezarr.to_zarr(tmp_path / "a.zarr", labels={"nuclei": da}, levels=1, compressors=PackBits())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("asked", [0, 1, "yes", [], np.nan, np.array([True, False])], ids=str)
def test_c7_whether_empty_chunks_are_written_is_true_or_false(tmp_path: Path, asked: Any) -> None:
    for version in VERSIONS:
        with pytest.raises(errors.ChunkError, match="is neither True nor False; leave it out"):
            cells().omezarr.to_zarr(tmp_path / "a.zarr", version=version, write_empty_chunks=asked)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("chunks", [{"y": 16}, (1, 2, 16, 16), [1, 2, 1000, -1], {"x": -1, "c": 2}, {"z": np.int64(3)}])
def test_chunks_are_taken_as_given_and_clipped(tmp_path: Path, chunks: Any) -> None:
    da = cells()
    da.omezarr.to_zarr(tmp_path / "a.zarr", chunks=chunks, levels=2)
    asked = dict(chunks) if isinstance(chunks, dict) else dict(zip(da.dims, chunks, strict=True))
    for index, level in enumerate(da.omezarr.pyramid(levels=2).omezarr.levels):
        stored = dict(zip(da.dims, zarr.open_array(tmp_path / f"a.zarr/{index}", mode="r").chunks, strict=True))
        for dim, chunk in asked.items():
            assert stored[dim] == (level.sizes[dim] if chunk == -1 else min(chunk, level.sizes[dim]))


@pytest.mark.parametrize("chunks", [64, (1, 2), {"q": 3}, {"y": 0}, {"y": 2.5}, (1, 1, -5, 1)])
def test_c7_chunks_that_cannot_be(tmp_path: Path, chunks: Any) -> None:
    with pytest.raises(errors.ChunkError):
        cells().omezarr.to_zarr(tmp_path / "a.zarr", chunks=chunks)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("image", "options", "error"),
    [
        (cells(), {"version": "0.3"}, errors.VersionError),
        (cells(), {"version": "1.0"}, errors.VersionError),
        (cells(), {"version": 0.4}, errors.VersionError),
        (cells(), {"mode": "a"}, errors.OmeZarrError),
        (cells(), {"method": "average"}, errors.MethodError),
        (cells(), {"name": 5}, errors.OmeZarrError),
        (cells(), {"irregular": "ignore"}, errors.CoordinateError),
        (cells(), {"progress": 3}, errors.OmeZarrError),
        (cells().assign_attrs(bad={1, 2}), {}, errors.AttributeEncodingError),
        (cells().astype(object), {}, errors.DtypeError),
        (cells().astype("longdouble"), {}, errors.DtypeError),
        (cells().isel(z=0, y=0), {}, errors.AxisError),
        (cells().isel(x=slice(0, 0)), {}, errors.EmptyDimensionError),
        (cells().isel(x=slice(None, None, -1)), {}, errors.DescendingCoordinateError),
        (cells().rename(z="a", c="b"), {}, errors.AxisError),
    ],
)
def test_c7_bad_input_is_refused_before_the_first_byte(
    tmp_path: Path, image: xr.DataArray, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        image.omezarr.to_zarr(tmp_path / "new" / "a.zarr", **options)
    assert list(tmp_path.iterdir()) == []


def test_c7_faults_of_every_kind_are_told_in_one_message(tmp_path: Path) -> None:
    da = cells().assign_coords(x=np.arange(73.0) ** 2).assign_attrs(bad=object())
    with pytest.raises(errors.MultipleErrors) as caught:
        da.omezarr.to_zarr(tmp_path / "a.zarr", version="9", method="average", mode="x", chunks={"q": 1})
    for part in ("'x' is irregular at index", "version", "average", "mode", "attrs['bad']"):
        assert part in str(caught.value)


def test_warnings_point_at_the_users_own_line(tmp_path: Path) -> None:
    da = cells().isel(z=[0])
    del da.z.attrs["scale"]
    with pytest.warns(errors.PixelSizeWarning, match="assign_grid") as caught:
        da.omezarr.to_zarr(tmp_path / "a.zarr")
    assert caught[0].filename == __file__


def test_the_image_takes_the_name_of_the_array_or_else_of_the_store(tmp_path: Path) -> None:
    unnamed = cells().rename(None)
    unnamed.omezarr.to_zarr(tmp_path / "liver.ome.zarr")
    assert attributes(tmp_path / "liver.ome.zarr", "0.4")["multiscales"][0]["name"] == "liver"
    assert xr.open_dataarray(tmp_path / "liver.ome.zarr", engine="omezarr").name is None
    tree = unnamed.omezarr.to_zarr(tmp_path / "b.zarr", name="kidney")
    assert tree.omezarr.name == "kidney"


@pytest.mark.parametrize("version", VERSIONS)
def test_stores_in_memory_and_behind_urls(version: str) -> None:
    store = zarr.storage.MemoryStore()
    tree = cells().omezarr.to_zarr(store, version=version, levels=2)
    xr.testing.assert_identical(tree.omezarr.level(0), cells())
    with pytest.raises(FileExistsError):
        cells().omezarr.to_zarr(store, version=version)
    url = f"memory://test-{version}.ome.zarr"
    cells().omezarr.to_zarr(url, version=version, levels=2)
    xr.testing.assert_identical(xr.open_dataarray(url, engine="omezarr"), cells())
    assert zarr.open_group(url, mode="r", use_consolidated=True).metadata.consolidated_metadata is not None


@pytest.mark.parametrize("version", VERSIONS)
def test_a_tree_is_written_as_it_stands_with_the_metadata_of_other_tools(tmp_path: Path, version: str) -> None:
    cells().omezarr.to_zarr(tmp_path / "a.zarr", version=version, levels=3)
    group = zarr.open_group(tmp_path / "a.zarr", mode="a")
    attrs = group.attrs.asdict()
    ours = attrs if version == "0.4" else attrs["ome"]
    ours["multiscales"][0]["flavour"] = "vanilla"
    group.attrs.update(attrs | {"lab": {"freezer": 7}})
    tree = xr.open_datatree(tmp_path / "a.zarr", engine="omezarr")
    again = tree.omezarr.to_zarr(tmp_path / "b.zarr")
    assert again.omezarr.version == version
    for first, second in zip(tree.omezarr.levels, again.omezarr.levels, strict=True):
        xr.testing.assert_identical(first, second)
    assert again.attrs["lab"] == {"freezer": 7}
    assert again.omezarr.metadata == tree.omezarr.metadata
    other = "0.5" if version == "0.4" else "0.4"
    changed = tree.omezarr.to_zarr(tmp_path / "c.zarr", version=other)
    assert changed.omezarr.version == other
    assert changed.omezarr.metadata.multiscale == tree.omezarr.metadata.multiscale
    assert xomezarr.validate(tmp_path / "c.zarr").valid


def test_a_plan_prints_what_will_be_written() -> None:
    text = str(cells().omezarr.plan("cells.ome.zarr", levels=2))
    for part in ("'cells'", "2×5×61×73", "2×5×31×37", "0.65", "0.1625", "µm", "local_mean"):
        assert part in text
    assert not Path("cells.ome.zarr").exists()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_store_elsewhere_is_replaced_by_what_certainly_lies_in_another_place(tmp_path: Path, chunked: bool) -> None:
    """Of pixels that are not in memory: those of this machine's files, and of other places in the same file system."""
    url = f"memory://{tmp_path.name}-{chunked}"
    np.save(tmp_path / "cells.npy", cells().values)
    cells().omezarr.to_zarr(tmp_path / "cells.zarr", levels=2)
    cells().omezarr.to_zarr(f"{url}/a/cells.zarr", levels=2)
    images: list[Any] = [
        xr.open_dataarray(tmp_path / "cells.zarr", engine="omezarr"),
        xr.open_dataarray(tmp_path / "cells.zarr", engine="omezarr").isel(x=slice(None, None, 2)),
        open_image(tmp_path / "cells.npy", dims="czyx"),
        xr.open_dataarray(f"{url}/a/cells.zarr", engine="omezarr"),
    ]
    for image in images:
        opened = image.chunk() if chunked else image
        for store in (f"{url}/b.zarr", f"{url}/a/cells"):
            (cells() * 0).omezarr.to_zarr(store, mode="w", levels=1)
            xr.testing.assert_equal(opened.omezarr.to_zarr(store, mode="w").omezarr.level(0), image)
    (cells() * 0).omezarr.to_zarr(f"{url}/b.zarr", mode="w", levels=1)
    tree = xr.open_datatree(tmp_path / "cells.zarr", engine="omezarr")
    xr.testing.assert_equal(tree.omezarr.to_zarr(f"{url}/b.zarr", mode="w").omezarr.level(1), tree.omezarr.level(1))
    # around it, and in it
    image = xr.open_dataarray(f"{url}/a/cells.zarr", engine="omezarr")
    for store in (url, f"{url}/a", f"{url}/a/cells.zarr", f"{url}/a/cells.zarr/0"):
        with pytest.raises(errors.OmeZarrError):
            image.omezarr.to_zarr(store, mode="w")
    xr.testing.assert_identical(image.load(), cells())


class Cached:
    """An array whose pixels are somewhere else than in an attribute that arrays in memory may have."""

    def __init__(self, place: str) -> None:
        self.array = np.zeros(cells().shape, cells().dtype)
        self.place, self.shape, self.dtype, self.ndim = place, self.array.shape, self.array.dtype, self.array.ndim

    def __getitem__(self, key: Any) -> Any:
        return xr.open_dataarray(self.place, engine="omezarr").values[key]


class Placed(Cached):
    """An array whose `origin` is something else than where it is read from."""

    origin = "memory://another"

    def __init__(self, place: str) -> None:
        super().__init__(place)
        del self.array


def test_one_place_by_several_names_is_not_replaced_while_it_is_read_from(tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}/named/cells.zarr"
    cells().omezarr.to_zarr(url, levels=1)
    read = xr.open_dataarray(url, engine="omezarr")
    memory = AsyncFileSystemWrapper(fsspec.filesystem("memory"))
    slashes = FsspecStore(memory, path=f"/{tmp_path.name}/named/")
    lazily = xr.DataArray(dask.array.from_array(Cached(url)), coords=read.coords, dims=read.dims)
    cases: list[tuple[Any, Any]] = [
        (read, zarr.storage.StorePath(slashes, "cells.zarr")),
        (read, f"memory:///{tmp_path.name}/named/cells.zarr/"),
        (read, FsspecStore(memory, path=f"/{tmp_path.name}/named/cells.zarr/")),
        (lazily, url),
        (xr.DataArray(dask.array.from_array(Placed(url)), coords=read.coords, dims=read.dims), url),
    ]
    # a folder, as another file system has it
    cells().omezarr.to_zarr(tmp_path / "a.zarr", levels=1)
    (tmp_path / "link.zarr").symlink_to(tmp_path / "a.zarr")
    local = AsyncFileSystemWrapper(LocalFileSystem())
    stored = xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr")
    opened = xr.open_dataarray(FsspecStore(local, path=str(tmp_path / "link.zarr")), engine="omezarr")  # type: ignore
    cases += [(image, FsspecStore(local, path=str(tmp_path / "a.zarr"))) for image in (stored, opened)]
    for image, store in cases:
        with pytest.raises(errors.StoreExistsError, match="may come from there"):
            image.omezarr.to_zarr(store, mode="w")
    for place in (url, tmp_path / "a.zarr"):
        xr.testing.assert_identical(xr.open_dataarray(place, engine="omezarr"), cells())


def test_a_store_in_a_file_system_with_folders_is_replaced(tmp_path: Path) -> None:
    store = FsspecStore(AsyncFileSystemWrapper(LocalFileSystem(auto_mkdir=True)), path=str(tmp_path / "a.zarr"))
    for value in (1, 2):
        image = xr.full_like(cells(), value)
        for version in ("0.5", "0.4"):
            xomezarr.write_plate({("A", 1): [image]}, store, version=version, mode="w", levels=1)
            assert (xomezarr.open_plate(store, check=True)["A/1/0"].omezarr.level(0) == value).all()


def test_a_zip_file_that_zarr_would_empty_is_not_taken_for_a_free_place(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zarr.storage.ZipStore(path, mode="w") as store:
        cells().omezarr.to_zarr(store, levels=1)
    read = xr.open_dataarray(zarr.storage.ZipStore(path, mode="r"), engine="omezarr")  # type: ignore[arg-type]
    before, told = path.read_bytes(), r"a\.zip exists already, .* empties it"
    calls: list[Any] = [
        lambda store: read.omezarr.to_zarr(store),
        lambda store: read.omezarr.to_zarr(store, mode="w"),
        lambda store: cells().omezarr.to_zarr(store, mode="w", version="9"),
        lambda store: read.omezarr.to_plate(store, row="A", column=1),
        lambda store: (read > 0).omezarr.to_labels(store, "bright"),
        lambda store: xomezarr.write_collection({"0": read}, store, mode="w"),
        lambda store: xomezarr.validate(store),
        lambda store: xr.open_dataarray(store, engine="omezarr"),
    ]
    for call in calls:
        with pytest.raises(errors.StoreExistsError, match=told):
            call(zarr.storage.ZipStore(path, mode="w"))
        assert path.read_bytes() == before


def test_a_store_elsewhere_is_not_replaced_while_it_is_read_from() -> None:
    store = zarr.storage.MemoryStore()
    cells().omezarr.to_zarr(store, levels=2)
    opened = xr.open_dataarray(store, engine="omezarr")  # type: ignore[arg-type]
    tree = xr.open_datatree(store, engine="omezarr")  # type: ignore[arg-type]
    for image in (opened, opened.chunk(), tree):
        with pytest.raises(errors.StoreExistsError, match="load"):
            image.omezarr.to_zarr(store, mode="w")
    tree["0/image"].load()
    with pytest.raises(errors.StoreExistsError, match="load"):  # the other levels are there still
        tree.omezarr.to_zarr(store, mode="w")
    assert tree.omezarr.level(1).mean() > 0
    again = opened.load().omezarr.to_zarr(store, mode="w")
    xr.testing.assert_identical(again.omezarr.level(0), cells())


@pytest.mark.filterwarnings("ignore::xomezarr.errors.OtherImagesWarning")
def test_a_store_elsewhere_is_not_replaced_while_its_labels_are_read_from() -> None:
    store = zarr.storage.MemoryStore()
    nuclei = xr.ones_like(cells(), "uint8")
    cells().omezarr.to_zarr(store, levels=2, labels={"nuclei": nuclei})
    tree: Any = xr.open_datatree(store, engine="omezarr")  # type: ignore[arg-type]
    for level in ("0", "1"):
        tree[f"{level}/image"].load()
    for of_labels in (tree, tree.omezarr.labels["nuclei"]):
        with pytest.raises(errors.StoreExistsError, match="load"):
            of_labels.omezarr.to_zarr(store, mode="w")
    with pytest.raises(errors.StoreExistsError, match="load"):
        cells().omezarr.to_zarr(store, mode="w", labels={"nuclei": tree.omezarr.labels["nuclei"].omezarr.level(0)})
    again: Any = tree.load().omezarr.to_zarr(store, mode="w")
    xr.testing.assert_equal(again.omezarr.labels["nuclei"].omezarr.level(0), nuclei.rename("nuclei"))


@pytest.mark.parametrize(
    ("image", "options", "error"),
    [
        (cells().rename(z="image"), {"axes": {"image": "space"}}, errors.CoordinateError),
        (cells().rename(z="a/b"), {"axes": {"a/b": "space"}}, errors.OmeZarrError),
        (cells(), {"storage_options": {"anon": True}}, errors.OmeZarrError),
        (cells(), {"storage_options": 3}, errors.OmeZarrError),
        (cells(), {"compressors": "no such codec"}, errors.CodecError),
        (cells(), {"compressors": [1], "version": "0.5"}, errors.CodecError),
        (cells(), {"compressors": zarr.codecs.ZstdCodec()}, errors.CodecError),
        (cells().assign_coords(z=pd.date_range("2024", periods=5, tz="UTC")), {}, errors.OmeZarrError),
    ],
)
def test_c7_what_nobody_could_read_or_would_look_at_is_refused_before_the_first_byte(
    tmp_path: Path, image: xr.DataArray, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        image.omezarr.to_zarr(tmp_path / "a.zarr", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_level_of_another_image_is_not_replaced(tmp_path: Path, version: str) -> None:
    cells().omezarr.to_zarr(tmp_path / "a.zarr", version=version)
    before = files(tmp_path)
    with pytest.raises(errors.StoreExistsError, match="array of the store"):
        cells(seed=1).omezarr.to_zarr(tmp_path / "a.zarr" / "0", mode="w")
    assert files(tmp_path) == before


class CountingArray(BackendArray):
    """A lazily opened array of stored chunks that counts how often each chunk is read."""

    def __init__(self, pixels: np.ndarray, chunks: tuple[int, ...]) -> None:
        self.pixels, self.chunks = pixels, chunks
        self.shape, self.dtype = pixels.shape, pixels.dtype
        self.lock = (
            threading.Lock()
        )  # dask cannot hash it: the same array has another name each time that it is wrapped
        self.reads = np.zeros([-(-n // chunk) for n, chunk in zip(pixels.shape, chunks, strict=True)], int)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self.read)

    def read(self, key: tuple[Any, ...]) -> Any:
        with self.lock:
            self.reads[tuple(slice(k.start // c, -(-k.stop // c)) for k, c in zip(key, self.chunks, strict=True))] += 1
        return self.pixels[key]


@pytest.mark.parametrize("order", ["zyx", "xzy"])
@pytest.mark.parametrize("stored", [(1, 64, 64), (16, 32, 8)])
def test_c9_each_chunk_of_a_lazily_opened_source_is_read_once(
    tmp_path: Path, order: str, stored: tuple[int, ...]
) -> None:
    dims = ("z", "y", "x")
    source = CountingArray(cells((48, 64, 80)).values, stored)
    variable = xr.Variable(dims, indexing.LazilyIndexedArray(source))
    da = xr.DataArray(variable)
    da.encoding["preferred_chunks"] = dict(zip(dims, stored, strict=True))
    tree = da.transpose(*order).omezarr.to_zarr(tmp_path / "a.zarr", levels=3, chunks={"z": 16, "y": 32, "x": 32})
    np.testing.assert_array_equal(source.reads, 1)
    np.testing.assert_array_equal(tree.omezarr.level(0).transpose(*dims), source.pixels)
    assert not isinstance(da.variable._data, dask.array.Array)
    level0 = da.omezarr.pyramid(levels=2).omezarr.level(0)
    assert not hasattr(level0.variable._data, "dask")  # what is not written is the array itself
    np.testing.assert_array_equal(source.reads, 1)


@pytest.mark.parametrize("method", ["local_mean", "nearest"])
@pytest.mark.parametrize("source_chunks", [(1, 96, 96), (40, 5, 96), (7, 50, 33), (64, 96, 96)])
def test_c4_no_task_writes_more_than_its_share_and_the_bytes_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, source_chunks: tuple[int, ...]
) -> None:
    da = cells((64, 96, 96))
    options: dict[str, Any] = {"levels": 3, "method": method, "name": "same"}
    options |= {"factors": 2, "chunks": {"z": 16, "y": 16, "x": 16}}
    da.omezarr.to_zarr(tmp_path / "whole", **options)
    share = 4 * 16**3 * 2
    monkeypatch.setattr(tiling, "TASK_BYTES", share)
    told: list[int] = []
    da.chunk(dict(zip("zyx", source_chunks, strict=True))).omezarr.to_zarr(
        tmp_path / "parts", progress=told.append, **options
    )
    assert max(told) <= share
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


@pytest.mark.parametrize("shape", [(1,), (64, 64), (40, 60, 50), (100_000,), (3, 1000, 1, 700), (11, 13, 17, 19)])
def test_windows_come_from_few_pixels_spread_over_the_level(monkeypatch: pytest.MonkeyPatch, shape: Any) -> None:
    monkeypatch.setattr("xomezarr.write.WINDOW_PIXELS", 4096)
    picked = sampled(shape)
    count = int(np.prod([len(indices) for indices in picked]))
    assert min(4096, np.prod(shape)) / 2 ** len(shape) / 2 <= count <= 4096
    if np.prod(shape) <= 4096:
        assert tuple(map(len, picked)) == shape
    for size, indices in zip(shape, picked, strict=True):
        assert (np.diff(indices) > 0).all()
        assert 0 <= indices[0] <= indices[-1] < size
        assert abs(indices.mean() - (size - 1) / 2) <= 1  # as much from one side as from the other


def test_c4_windows_of_large_levels_do_not_depend_on_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xomezarr.write.WINDOW_PIXELS", 1000)
    monkeypatch.setattr("xomezarr.write.WINDOW_BATCH", 2500)
    da = cells((5, 12, 61, 73), "float32").omezarr.assign_channels([{"window": (1, 2)}, *"bcde"])
    found = []
    for number, chunks in enumerate([{"c": 5}, {"y": 7, "x": 9}, {"c": 1, "z": 1, "y": -1, "x": -1}]):
        tree = da.chunk(z=5).omezarr.to_zarr(tmp_path / str(number), levels=1, chunks=chunks)
        found.append([channel.window for channel in tree.omezarr.channels])
    assert found[0] == found[1] == found[2]
    assert found[0][0].end == 2
    for index in range(1, 5):
        start, end = np.percentile(da.isel(c=index), (0.5, 99.8))
        assert abs(found[0][index].start - start) < 6
        assert abs(found[0][index].end - end) < 12


def test_windows_cost_no_more_memory_than_their_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 99, (2, 48, 1024, 1024), dtype="u1")
    da = xr.DataArray(pixels, dims=("c", "z", "y", "x"))
    root = tmp_path / "a.zarr"
    da.omezarr.to_zarr(root, levels=1)
    plan = da.omezarr.plan(root, levels=1, mode="w")
    coarsest = zarr.open_array(root / "0", mode="r")
    tracemalloc.start()
    completed = with_windows(plan, coarsest)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # as float64, a few times over, and the chunks that they are taken from; all pixels are 100 MB
    assert peak < 36 * WINDOW_PIXELS + 4 * math.prod(coarsest.chunks)
    assert completed.image.channels is not None
    assert all(channel.window is not None and channel.window.end >= 97 for channel in completed.image.channels)


def test_the_tree_that_is_returned_can_be_changed_like_any_other(tmp_path: Path) -> None:
    tree = cells().omezarr.to_zarr(tmp_path / "a.zarr", levels=2)
    tree["1/image"][0, 0] = 7
    assert (tree["1/image"][0, 0] == 7).all()
    assert not (tree["1/image"][1] == 7).all()


def test_the_window_of_an_image_of_one_value_is_within_its_dtype(tmp_path: Path) -> None:
    largest = np.iinfo("u8").max
    da = xr.DataArray(np.full((1, 8, 8), largest, "u8"), dims=("c", "y", "x"))
    window = da.omezarr.to_zarr(tmp_path / "a.zarr").omezarr.channels[0].window
    assert 0 <= window.min <= window.start < window.end <= window.max == float(largest)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("store", ["folder", "memory"])
def test_coarser_arrays_are_those_that_zarr_would_create(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, store: str
) -> None:
    da = cells((3, 40, 50), "float32").rename(z="c")
    options: dict[str, Any] = {"levels": 3, "version": version, "chunks": {"c": 1, "y": 16, "x": 32}, "name": "same"}

    def documents(name: str) -> dict[str, bytes]:
        target: Any = tmp_path / name if store == "folder" else zarr.storage.MemoryStore()
        da.omezarr.to_zarr(target, **options)
        if store == "folder":
            return files(target)
        return {key: value.to_bytes() for key, value in target._store_dict.items()}

    quickly = documents("quickly")
    monkeypatch.setattr("xomezarr.write.created_like", lambda *_: None)
    assert documents("slowly") == quickly
    assert len(quickly) > 20


def test_an_array_that_dask_has_named_takes_the_name_of_its_store(tmp_path: Path) -> None:
    da = xr.DataArray(dask.array.zeros((8, 8), dtype="u1"), dims=("y", "x"))
    assert str(da.name).startswith("zeros")
    tree = da.omezarr.to_zarr(tmp_path / "cells.ome.zarr")
    assert tree.attrs["multiscales"][0]["name"] == "cells"
    assert tree.omezarr.name == da.name
    assert da.rename("mine").omezarr.plan(tmp_path / "b").image.multiscale.name == "mine"
    again = da.omezarr.pyramid().omezarr.to_zarr(tmp_path / "nuclei.ome.zarr")
    assert again.attrs["multiscales"][0]["name"] == "nuclei"


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_channels_that_are_joined_have_windows(tmp_path: Path, factor: int) -> None:
    da = cells((5, 8, 8)).rename(z="c").drop_vars("c", errors="ignore")
    da = da.copy(data=(np.arange(5)[:, None, None] * 100 + da.values % 10).astype("u2"))
    tree = da.omezarr.to_zarr(tmp_path / "a", factors={"c": factor, "x": 2}, levels=2, method="max")
    coarse = tree.omezarr.level(1)
    for index, channel in enumerate(tree.omezarr.channels):
        assert channel.window.end == pytest.approx(float(coarse[index // factor].max()), abs=1)


def test_filters_of_the_other_byte_order_are_made_beside_level_0(tmp_path: Path) -> None:
    da = cells((20, 30, 40)).astype(">u2")
    da.omezarr.to_zarr(tmp_path / "a.zarr", version="0.5", levels=1)
    for method in ("median", "gaussian", "local_mean"):
        assert main(["scale", str(tmp_path / "a.zarr"), "--in-place", "--method", method, "--max-layer", "2"]) == 0
        found = xr.open_datatree(tmp_path / "a.zarr", engine="omezarr").omezarr.levels
        wanted = da.omezarr.pyramid(method=method, levels=3).omezarr.levels
        for got, expected in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(got.values, expected.values)
            assert got.dtype == da.dtype
