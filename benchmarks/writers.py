"""Each library's natural call, for one image; a function is called in the environment of its library.

All take the image (an array of NumPy, or the path of a group that holds the Zarr array `image`), the path of the store
that is to be written, the workload, and whether chunks, codec, format and method are to be the `same` for all, or else
what the library does when it is told nothing but the levels. None gives the library more threads or less than it takes
by itself, unless an option says so.
"""

from __future__ import annotations

import inspect
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from data import CODEC
from numpy.typing import NDArray
from workloads import Workload

type Image = Path | NDArray[np.uint16]


def as_dask(image: Image, chunks: tuple[int, ...] | str = "auto", *, computed: bool = False) -> Any:
    """Return a dask array: what it loads, or (`computed`) one more than that, which no reader can see through."""
    import dask.array as da

    if isinstance(image, Path):
        lazy = da.from_zarr(str(image), component="image")
        return lazy + np.uint16(1) if computed else lazy
    return da.from_array(image, chunks=chunks)


def codec_of_zarr() -> Any:
    from zarr.codecs import BloscCodec

    return BloscCodec(**CODEC)


def cumulative(workload: Workload) -> list[dict[str, int]]:
    """The factors of each coarser level from level 0."""
    return [{dim: f**level for dim, f in workload.space.items()} for level in range(1, workload.levels)]


def xomezarr(
    image: Image,
    store: Path,
    workload: Workload,
    same: bool,
    *,
    source: str = "dask",
    workers: int | None = None,
    method: str | None = None,
) -> None:
    import dask
    import xarray as xr

    import xomezarr  # noqa: F401 - registers the accessor

    if isinstance(image, Path) and source == "lazy":
        da = xr.open_zarr(image, chunks=None)["image"]
    elif isinstance(image, Path):
        da = xr.DataArray(as_dask(image, computed=source == "computed"), dims=tuple(workload.dims), name="image")
    else:
        da = xr.DataArray(image, dims=tuple(workload.dims), name="image")
    options: dict[str, Any] = {"levels": workload.levels, "factors": workload.factors, "method": method}
    if same:
        options |= {"chunks": workload.chunks, "compressors": codec_of_zarr(), "version": "0.5"}
    limited: Any = nullcontext()
    if workers is not None:
        limited = dask.config.set(num_workers=workers)
        if "workers" in inspect.signature(da.omezarr.to_zarr).parameters:
            options["workers"] = workers
    with limited:
        da.omezarr.to_zarr(store, **options)


def ome_zarr(image: Image, store: Path, workload: Workload, same: bool, *, source: str = "dask") -> None:
    from ome_zarr.format import FormatV05
    from ome_zarr.scale import Methods
    from ome_zarr.writer import write_image

    options: dict[str, Any] = {}
    if same:
        options = {
            "method": Methods.LOCAL_MEAN,
            "fmt": FormatV05(),
            "storage_options": {"chunks": workload.chunks_of(0), "compressors": [codec_of_zarr()]},
        }
    # it makes a dask array of whatever it is given, and takes as long
    data = as_dask(image, workload.chunks_of(0) if same else "auto", computed=source == "computed")
    write_image(data, str(store), axes=list(workload.dims), scale_factors=cumulative(workload), **options)


def ngff_zarr(image: Image, store: Path, workload: Workload, same: bool, *, source: str = "dask") -> None:
    import ngff_zarr as nz

    data = as_dask(image, computed=source == "computed") if isinstance(image, Path) else image
    ngff_image = nz.to_ngff_image(data, dims=list(workload.dims), scale=dict.fromkeys(workload.space, 1.0))
    of_levels: dict[str, Any] = {}
    of_store: dict[str, Any] = {}
    if same:
        chunks = dict(zip(workload.dims, workload.chunks_of(0), strict=True))
        of_levels = {"method": nz.Methods.DASK_BIN_SHRINK, "chunks": chunks}
        of_store = {"version": "0.5", "compressors": [codec_of_zarr().to_dict()]}
    multiscales = nz.to_multiscales(ngff_image, scale_factors=cumulative(workload), **of_levels)
    nz.to_ngff_zarr(str(store), multiscales, **of_store)


def multiscale_spatial_image(image: Image, store: Path, workload: Workload, same: bool) -> None:
    import multiscale_spatial_image as msi
    from spatial_image import to_spatial_image

    data = as_dask(image, workload.chunks_of(0))
    spatial = to_spatial_image(data, dims=list(workload.dims), name="image")
    if not same:
        msi.to_multiscale(spatial, cumulative(workload)).msi.to_zarr(str(store))
        return
    chunks = dict(zip(workload.dims, workload.chunks_of(0), strict=True))
    tree = msi.to_multiscale(spatial, cumulative(workload), chunks=chunks)
    for level, node in enumerate(tree.children.values()):
        node["image"].encoding = {"compressors": (codec_of_zarr(),), "chunks": workload.chunks_of(level)}
    tree.msi.to_zarr(str(store), zarr_format=3)


def ome_zarr_pyramid(image: Image, store: Path, workload: Workload, same: bool) -> None:
    import zarr
    from ome_zarr_pyramid import Pyramid, io

    if isinstance(image, Path):
        data = zarr.open_array(image / "image", mode="r")
    else:
        # an array of NumPy takes it 20 times as long and, at full size, more memory than there is
        data = zarr.create_array({}, data=image, chunks=workload.chunks_of(0), compressors=None)
    scales = [[1.0] * len(workload.dims)]
    pyramid = Pyramid().from_arrays([data], axis_order=workload.dims, scales=scales, version="0.5", name="image")
    of_levels: dict[str, Any] = {}
    of_store: dict[str, Any] = {}
    if same:
        of_levels = {"downscale_method": "mean"}
        codec = {"cname": CODEC["cname"], "clevel": CODEC["clevel"], "shuffle": 1}
        of_store = {"chunk_shape": workload.chunks_of(0), "compressor": "blosc", "compressor_params": codec}
    pyramid = pyramid.downscale(n_layers=workload.levels, scale_factor=workload.step, **of_levels)
    io.write_pyramid(pyramid, str(store), overwrite=True, **of_store)


def bioio_ome_zarr(image: Image, store: Path, workload: Workload, same: bool) -> None:
    """It takes one pixel of each block: it has no mean."""
    from bioio_ome_zarr.writers import OMEZarrWriter

    types = {"t": "time", "c": "channel"}
    options = {"chunk_shape": workload.chunks_of(0), "compressor": codec_of_zarr(), "zarr_format": 3} if same else {}
    writer = OMEZarrWriter(
        str(store),
        workload.level_shapes,
        "uint16",
        axes_names=list(workload.dims),
        axes_types=[types.get(dim, "space") for dim in workload.dims],
        **options,
    )
    writer.write_full_volume(as_dask(image) if isinstance(image, Path) else image)


def spatialdata(image: Image, store: Path, workload: Workload, same: bool) -> None:
    """Images of two dimensions, and a channel that it asks for; its factors are those from level to level."""
    from spatialdata import SpatialData
    from spatialdata.models import Image2DModel

    factors = [workload.step[-1]] * (workload.levels - 1)
    model = Image2DModel.parse(as_dask(image)[None], dims=("c", "y", "x"), scale_factors=factors)
    SpatialData(images={"image": model}).write(store)


def iohub(image: Image, store: Path, workload: Workload, same: bool) -> None:
    """Images have the five dimensions; level 0 is stored in the chunks of the source, and the others are made of it."""
    from iohub import open_ome_zarr

    data = as_dask(image)[None, None, None]
    with open_ome_zarr(str(store), layout="fov", mode="w", channel_names=["image"]) as position:
        position.create_image("0", data.compute(), chunks=data.chunksize)
        position.compute_pyramid(workload.levels, dims=set(workload.space))


def tensorstore(image: Image, store: Path, workload: Workload, same: bool) -> None:
    """Its own arrays and means, level by level; it writes no OME metadata."""
    import tensorstore as ts

    def zarr3(path: Path, **options: Any) -> Any:
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
        return ts.open(spec, **options).result()

    finer = zarr3(image / "image", read=True) if isinstance(image, Path) else ts.array(image)
    for level, shape in enumerate(workload.level_shapes):
        options: dict[str, Any] = {}
        if same:
            codec = {"name": "blosc", "configuration": dict(CODEC)}
            options = {
                "chunk_layout": ts.ChunkLayout(chunk_shape=workload.chunks_of(level)),
                "codec": ts.CodecSpec({"driver": "zarr3", "codecs": [codec]}),
            }
        target = zarr3(store / str(level), create=True, dtype=ts.uint16, shape=shape, fill_value=0, **options)
        target.write(ts.downsample(finer, workload.step, "mean") if level else finer).result()
        finer = target


def bound(image: Image, store: Path, workload: Workload, same: bool, *, workers: int = 2) -> None:
    import bound

    bound.write(image, store, workload, same, workers)
