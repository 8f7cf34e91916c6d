"""The accessors ``omezarr`` of DataArray, Dataset and DataTree; each method is also a plain function."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from xomezarr import channels as channels_module
from xomezarr import (
    coords,
    display,
    figures,
    interchange,
    labelling,
    pictures,
    planning,
    plating,
    spec,
    stacking,
    systems,
    tree,
)
from xomezarr import pyramid as pyramid_module
from xomezarr.appending import AppendDim, write
from xomezarr.channels import Channels
from xomezarr.collection import write_collection_tree
from xomezarr.coords import Irregular
from xomezarr.downsample import MethodLike
from xomezarr.errors import LabelError, LevelError, OmeZarrError, PlateWarning, warn
from xomezarr.grid import Boundary
from xomezarr.labels import Labels, colors_of, properties_of
from xomezarr.members import Whole
from xomezarr.model import Acquisition, Axis, Channel, Image
from xomezarr.plan import COMPRESSORS, Plan, Shards
from xomezarr.progress import OnTile
from xomezarr.pyramid import Factors, own_attrs
from xomezarr.regions import Region
from xomezarr.report import Report
from xomezarr.scenes import SceneView, scene_of, write_scene_tree
from xomezarr.sidecar import PROPERTIES
from xomezarr.store import StoreArgument
from xomezarr.transforms import Transform
from xomezarr.write import write_tree

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

__all__ = [
    "OmeZarrArrayAccessor",
    "OmeZarrDatasetAccessor",
    "OmeZarrTreeAccessor",
    "plot",
    "thumbnail",
    "to_plate",
    "to_zarr",
]


def to_zarr(image: xr.DataArray | xr.Dataset | xr.DataTree, store: StoreArgument, **options: Any) -> Any:
    """Write an array as a pyramid, a Dataset as an image with its labels, or a tree as it stands.

    Parameters
    ----------
    image
        The image.
    store, **options
        Those of `to_zarr` of `OmeZarrArrayAccessor`, `OmeZarrDatasetAccessor` or `OmeZarrTreeAccessor`.

    Returns
    -------
    xarray.DataTree or dask.delayed.Delayed
        The written store, opened lazily.
    """
    return (image if isinstance(image, xr.Dataset) else _checked(image)).omezarr.to_zarr(store, **options)


def to_plate(image: xr.DataArray | xr.Dataset, store: StoreArgument, **options: Any) -> Any:
    """Add an image to a plate; a Dataset is an image with its labels.

    Parameters
    ----------
    image
        The image.
    store, **options
        Those of `to_plate` of `OmeZarrArrayAccessor`, or of `OmeZarrDatasetAccessor`.

    Returns
    -------
    xarray.DataTree or dask.delayed.Delayed
        The image, opened lazily.
    """
    return (image if isinstance(image, xr.Dataset) else _checked(image, "DataArray")).omezarr.to_plate(store, **options)


def thumbnail(image: xr.DataArray | xr.DataTree, *, max_size: int = 256) -> NDArray[np.uint8]:
    """Return a small RGB picture of an image, channels composited.

    Parameters
    ----------
    image
        An array, or a tree of levels, of which the coarsest that suffices is read.
    max_size
        Pixels of the picture's longer side.

    Returns
    -------
    numpy.ndarray
        uint8, shape (height, width, 3).
    """
    picture: NDArray[np.uint8] = _checked(image).omezarr.thumbnail(max_size=max_size)
    return picture


def plot(image: xr.DataArray | xr.DataTree, **options: Any) -> AxesImage:
    """Draw an image in physical coordinates, with its labels and a scale bar.

    Parameters
    ----------
    image
        An array, or a tree of levels, of which the coarsest that suffices is read.
    **options
        Those of `plot` of `OmeZarrArrayAccessor`, or of `OmeZarrTreeAccessor`.

    Returns
    -------
    matplotlib.image.AxesImage
    """
    drawn: AxesImage = _checked(image).omezarr.plot(**options)
    return drawn


def _checked(image: object, wanted: str = "DataTree") -> Any:
    if isinstance(image, xr.DataArray) or (wanted == "DataTree" and isinstance(image, xr.DataTree)):
        return image
    what = "neither a DataArray nor a DataTree" if wanted == "DataTree" else "no DataArray"
    raise OmeZarrError(f"{type(image).__name__} is {what}; make one: xr.DataArray(image, dims=('y', 'x'))")


@xr.register_dataarray_accessor("omezarr")
class OmeZarrArrayAccessor:
    """OME-Zarr on a DataArray.

    Everything is derived from the dimension coordinates at the moment of the call.
    """

    def __init__(self, da: xr.DataArray) -> None:
        self._da = da

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Name, type and unit of each axis, in the order of the file: time, channel, space."""
        return coords.axes_of(coords.dequantify(self._da))

    @property
    def scale(self) -> dict[str, float]:
        """Distance of neighbouring pixel centres, by dimension."""
        return {dimension.name: dimension.grid.scale for dimension in self._described()}

    @property
    def translation(self) -> dict[str, float]:
        """Position of the centre of pixel 0, by dimension."""
        return {dimension.name: dimension.grid.translation for dimension in self._described()}

    @property
    def units(self) -> dict[str, str | None]:
        """Unit of each dimension as its coordinate spells it; None where it has none."""
        da = coords.dequantify(self._da)
        return {str(dim): da[dim].attrs.get("units") if dim in da.coords else None for dim in da.dims}

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Label, colour and window of each channel, as far as the coordinates say; empty without channels."""
        return channels_module.describe_channels(self._da) or ()

    def assign_grid(
        self,
        *,
        scale: Mapping[str, float] | None = None,
        translation: Mapping[str, float] | None = None,
        units: Mapping[str, str] | str | None = None,
    ) -> xr.DataArray:
        """Return a copy with regular coordinates; see `coords.assign_grid`.

        Parameters
        ----------
        scale, translation
            By dimension.
        units
            By dimension; one string serves all dimensions of space.

        Examples
        --------
        >>> da = xr.DataArray(np.zeros((2, 3)), dims=("y", "x"))
        >>> da.omezarr.assign_grid(scale={"y": 0.5, "x": 0.5}, units="um").omezarr.scale
        {'y': 0.5, 'x': 0.5}
        """
        return coords.assign_grid(self._da, scale=scale, translation=translation, units=units)

    def assign_affine(
        self,
        matrix: ArrayLike | Transform,
        *,
        system: str = "world",
        dims: Sequence[str] | None = None,
        axes: Sequence[str] | None = None,
        units: Mapping[str, str] | str | None = None,
    ) -> xr.DataArray:
        """Return a copy that lies askew in a coordinate system; see `systems.assign_affine`.

        Parameters
        ----------
        matrix
            Shape (axes, dims + 1), from where a pixel lies along `dims` to the axes; the last column is added.
        system
            Name of the coordinate system.
        dims
            Left out, those of space in the order of the file.
        axes
            Names of the axes; left out, those of `dims`.
        units
            By axis; one string serves all.

        Examples
        --------
        >>> da = xr.DataArray(np.zeros((2, 3)), dims=("y", "x"))
        >>> da.omezarr.assign_affine([[1, 0.5, 0], [0, 1, 0]], units="um").world_y.values
        array([[0. , 0.5, 1. ],
               [1. , 1.5, 2. ]])
        """
        return systems.assign_affine(self._da, matrix, system=system, dims=dims, axes=axes, units=units)

    def to_units(self, units: Mapping[str, str] | str) -> xr.DataArray:
        """Return a copy whose coordinates are converted to other units; see `coords.to_units`.

        Parameters
        ----------
        units
            By dimension; one string serves all dimensions of space.
        """
        return coords.to_units(self._da, units)

    def assign_channels(
        self,
        channels: Channels | None = None,
        dim: str | None = None,
        *,
        rgb: bool = False,
    ) -> xr.DataArray:
        """Return a copy with names, colours and windows of its channels; see `channels.assign_channels`.

        Parameters
        ----------
        channels
            One for each index: a label, or a dict of ``label``, ``color``, ``window``, ``active`` and ``extra``.
        dim
            The channel dimension; left out, it is found.
        rgb
            The three channels of a uint8 image are red, green and blue; `channels` may be left out then.

        Examples
        --------
        >>> da = xr.DataArray(np.zeros((2, 4, 4)), dims=("c", "y", "x"))
        >>> [channel.label for channel in da.omezarr.assign_channels(["DAPI", "GFP"]).omezarr.channels]
        ['DAPI', 'GFP']
        """
        return channels_module.assign_channels(self._da, channels, dim, rgb=rgb)

    def pyramid(
        self,
        *,
        method: MethodLike | None = None,
        factors: Factors | None = None,
        levels: int | None = None,
        boundary: Boundary = "pad",
        skipna: bool | None = None,
        axes: Mapping[str, str] | None = None,
    ) -> xr.DataTree:
        """Make a lazy multi-resolution pyramid; nothing is computed or written. See `pyramid.pyramid`."""
        return pyramid_module.pyramid(
            self._da, method=method, factors=factors, levels=levels, boundary=boundary, skipna=skipna, axes=axes
        )

    def plan(self, store: StoreArgument, **options: Any) -> Plan:
        """Work out what `to_zarr` would write with the same arguments; print the result to see it."""
        return planning.plan(self._da, store, **options)

    def to_zarr(
        self,
        store: StoreArgument,
        *,
        method: MethodLike | None = None,
        factors: Factors | None = None,
        levels: int | None = None,
        boundary: Boundary = "pad",
        skipna: bool | None = None,
        version: str | None = None,
        layout: str | None = None,
        mode: str = "w-",
        chunks: Mapping[str, int] | Sequence[int] | None = None,
        shards: Shards = None,
        compressors: Any = COMPRESSORS,
        write_empty_chunks: bool | None = None,
        axes: Mapping[str, str] | None = None,
        name: str | None = None,
        labels: Mapping[str, xr.DataArray | Labels] | None = None,
        irregular: Irregular = "raise",
        storage_options: Mapping[str, Any] | None = None,
        max_memory: int | str | None = None,
        workers: int | None = None,
        region: Region | None = None,
        append_dim: AppendDim | None = None,
        lock: bool = True,
        resume: bool = False,
        progress: bool | OnTile | None = None,
        compute: bool = True,
    ) -> Any:
        """Write the image as OME-Zarr, with a pyramid.

        Everything is checked before the first byte is written. A local store appears whole or not at all.

        Parameters
        ----------
        store
            A path, a URL that fsspec knows, or a store of zarr or obstore. A path that ends in ``.ozx`` is a single
            file, which is made on this machine. Other zip files are stores of zarr, and no paths:
            ``zarr.storage.ZipStore("cells.ome.zarr.zip", mode="w")``, to be closed when all is written.
        method
            How coarser levels are made: ``"local_mean"`` (default; exact means of level 0, rounded once),
            ``"nearest"``, ``"mode"`` (for labels; default for bool, and for labels as they were read from a store),
            ``"median"``, ``"min"``, ``"max"``, ``"gaussian"``, ``"resize"``, ``"zoom"``, ``"laplacian"``, or a
            function ``f(blocks, axis)`` that reduces blocks as in `xarray.DataArray.coarsen`.
        factors
            Step from one level to the next: an int for all dimensions of space, a dict by dimension, or a list of
            either. Left out, each step halves the dimensions of space whose spacing is less than √2 × the finest.
        levels
            Number of levels, level 0 included; left out, it stops when a level fits in one chunk.
        boundary
            ``"pad"`` keeps blocks that the edge cuts, ``"trim"`` drops them.
        skipna
            Whether NaN is left out; left out, it is. An error where the method always does otherwise.
        version
            ``"0.4"`` (Zarr v2), ``"0.5"`` or ``"0.6"`` (Zarr v3). Left out, ``"0.4"``; ``"0.5"`` for a single file.
        layout
            ``"ome"`` (default): each level is an array, ``"0"``, ``"1"``, …; ``"xarray"``: each is a group that holds
            its coordinates too, ``"0/image"``, ``"0/y"``, ``"0/x"``, …, so that `xarray.open_datatree` opens the store
            without xomezarr. Either is an ordinary image to readers of OME-Zarr.
        mode
            ``"w-"``: an error if the store exists; ``"w"``: replace it.
        chunks
            By dimension, or one number for each dimension in the array's order; clipped to each level's shape. Left
            out, 1 to 4 MiB decoded.
        shards
            For Zarr v3: ``"auto"`` for files of about 32 MiB that hold several chunks each, or pixels as for
            `chunks`, multiples of these. Left out, each chunk is a file; a single file, whose entries are read one and
            all to open it, has ``"auto"``, and where it is to have none the shape of the chunks.
        compressors
            As `zarr.create_array` takes them; left out, Blosc with zstd, measured on real images. None for none. Codecs
            with losses are refused: what is read is what was written. Round the pixels themselves instead.
        write_empty_chunks
            Whether chunks of zeros are written too; left out, not in Zarr v3.
        axes
            Axis types of dimensions whose name and coordinate do not tell, such as ``{"row": "space"}``.
        name
            Name of the image; left out, that of the array, else that of the store.
        labels
            Label images on the pixels of the image, by name: arrays of integers or bool, or `Labels`, with colours and
            properties. `to_labels` adds them later.
        irregular
            ``"keep"`` writes irregular coordinates by index with their mean step, and keeps the true ones beside.
        storage_options
            For URLs, as fsspec takes them.
        max_memory
            Bytes, or a text such as ``"2 GiB"``, that the write may take; left out, a quarter of the machine's memory.
            Most writes take some tens of MiB: `plan` tells. What dask needs to compute a block comes on top.
        workers
            Threads; left out, one for each core. A cluster has its own, and tiles are chosen for so many.
        region
            Writes the array into a part of the image that is there, and what is made of it into every level:
            ``"auto"`` where its coordinates are the same, or by dimension slices of level-0 pixels,
            ``{"y": slice(0, 256), "x": "auto"}``; dimensions that are left out are whole. The store decides about all
            that is not a matter of this part: only `method` (of stores of other tools), `labels`, `storage_options`,
            `max_memory`, `workers`, `lock`, `progress` and `compute` can be given with it.
        append_dim
            Makes the image that is there longer along a dimension, ``"t"`` say, by the array: one time point or
            more, whose coordinates go on where the others end. With no image there, it is written, so that a loop
            needs one call for all; the first one decides about all that is not a matter of what is appended. Readers
            see whole time points only. ``{"t": 500}`` makes room for so many at once. Labels along it are given with
            each call; `irregular` keeps times that are not regular.
        lock
            False writes a region that shares chunks with the pixels around it without a lock, as in an object store,
            which has none: no other process may write these meanwhile.
        resume
            True goes on with a write that was interrupted: by Ctrl-C, a full disk, a killed process, a lost cluster.
            The result is the same to the byte. With nothing to go on with, all is written; with a whole store at that
            place, and `mode` ``"w-"``, nothing is; with `append_dim`, the array is appended to it.
        progress
            True for a progress bar, or a callable that is told the bytes of each part written.
        compute
            False returns a `dask.delayed.Delayed`; nothing is on disk before it is computed.

        Returns
        -------
        xarray.DataTree or dask.delayed.Delayed
            The written store, opened lazily.

        Raises
        ------
        OmeZarrError
            Of the type that names the cause; independent faults are raised together.
        StoreExistsError
            If something is at that place already.
        RegionError, CoordinateError
            If the array is no part of the image at that place.
        ResumeError
            If what is to be gone on with is the write of another image, or still goes on.

        Examples
        --------
        >>> import tempfile
        >>> da = xr.DataArray(np.ones((64, 64), "uint8"), dims=("y", "x"), name="square")
        >>> tree = da.omezarr.to_zarr(tempfile.mkdtemp() + "/square.ome.zarr", levels=2)
        >>> [level.shape for level in tree.omezarr.levels]
        [(64, 64), (32, 32)]
        """
        return write(
            self._da,
            store,
            region=region,
            append_dim=append_dim,
            lock=lock,
            progress=progress,
            compute=compute,
            method=method,
            factors=factors,
            levels=levels,
            boundary=boundary,
            skipna=skipna,
            version=version,
            layout=layout,
            mode=mode,
            chunks=chunks,
            shards=shards,
            compressors=compressors,
            write_empty_chunks=write_empty_chunks,
            axes=axes,
            name=name,
            labels=labels,
            irregular=irregular,
            storage_options=storage_options,
            max_memory=max_memory,
            workers=workers,
            resume=resume,
        )

    def to_labels(
        self,
        image_store: StoreArgument,
        name: str,
        *,
        colors: Mapping[Any, Any] | str | None = None,
        properties: Any = None,
        method: MethodLike | None = None,
        mode: str = "w-",
        progress: bool | OnTile | None = None,
        **options: Any,
    ) -> Any:
        """Add the array as a label image to an image in a store, which is not touched; see `labelling.to_labels`.

        Parameters
        ----------
        image_store
            Path, URL or store of the image.
        name
            What the labels are called.
        colors
            By label value, or the name of a colormap of matplotlib; left out, viewers choose.
        properties
            A `pandas.DataFrame`, a dict of columns or a Dataset with a row for each label.
        method
            ``"mode"``, ``"nearest"``, ``"min"`` or ``"max"``; left out, the one whose pixels lie where the image's do.
        mode
            ``"w-"``: an error if the labels exist; ``"w"``: replace them.
        progress
            True for a progress bar, or a callable that is told the bytes of each part written.
        **options
            ``chunks``, ``shards``, ``compressors``, ``write_empty_chunks``, ``storage_options``, ``max_memory``,
            ``workers`` and ``compute``, as in `to_zarr`.

        Returns
        -------
        xarray.DataTree or dask.delayed.Delayed
            The labels, opened lazily.

        Examples
        --------
        >>> import tempfile
        >>> store = tempfile.mkdtemp() + "/spots.ome.zarr"
        >>> image = xr.DataArray(np.eye(64, dtype="uint8"), dims=("y", "x"), name="spots")
        >>> _ = image.omezarr.to_zarr(store, levels=2)
        >>> labels = (image > 0).astype("uint16")
        >>> tree = labels.omezarr.to_labels(store, "diagonal", colors={1: "red"})
        >>> tree.omezarr.colors
        {1: '#ff0000ff'}
        """
        return labelling.to_labels(
            self._da,
            image_store,
            name,
            colors=colors,
            properties=properties,
            method=method,
            mode=mode,
            progress=progress,
            **options,
        )

    def to_plate(
        self,
        store: StoreArgument,
        *,
        row: Any = None,
        column: Any = None,
        field: Any = None,
        acquisition: int | Acquisition | None = None,
        name: str | None = None,
        version: str | None = None,
        mode: str = "w-",
        progress: bool | OnTile | None = None,
        **options: Any,
    ) -> Any:
        """Add the image to a plate, which is made if there is none; see `plating.to_plate`.

        Several processes may do so at once in a local folder; elsewhere, one at a time.

        Parameters
        ----------
        store
            Path, URL or store of the plate.
        row, column, field
            Names: letters and digits, or numbers. Left out, what scalar coordinates of these names say; `field` is
            else 0.
        acquisition
            Id of the run that took the image, or an `Acquisition`; left out, what the coordinate says.
        name
            Of the plate, if it is new; left out, that of the store.
        version
            Left out, that of the plate; ``"0.4"`` for a new one.
        mode
            ``"w-"``: an error if the field exists; ``"w"``: replace it, and nothing else.
        progress
            True for a progress bar, or a callable that is told the bytes of each part written.
        **options
            As in `to_zarr`.

        Returns
        -------
        xarray.DataTree or dask.delayed.Delayed
            The image, opened lazily.

        Examples
        --------
        >>> import tempfile
        >>> store = tempfile.mkdtemp() + "/plate.ome.zarr"
        >>> cells = xr.DataArray(np.ones((64, 64), "uint8"), dims=("y", "x"), name="cells")
        >>> for column in (1, 2, 12):
        ...     _ = cells.omezarr.to_plate(store, row="A", column=column, levels=1)
        >>> import xomezarr
        >>> list(xomezarr.open_plate(store)["A"])
        ['1', '2', '12']
        """
        return plating.to_plate(
            self._da,
            store,
            row=row,
            column=column,
            field=field,
            acquisition=acquisition,
            name=name,
            version=version,
            mode=mode,
            progress=progress,
            **options,
        )

    def plot(
        self,
        *,
        ax: Axes | None = None,
        labels: Mapping[str, xr.DataArray] | None = None,
        scale_bar: bool = True,
        legend: bool = True,
    ) -> AxesImage:
        """Draw the array: channels added up in their colours, in physical coordinates, with a scale bar.

        Of a stack the middle plane is drawn, of a time series the first image; the title says where that is.

        Parameters
        ----------
        ax
            Axes of matplotlib; left out, the current ones.
        labels
            Label images by name, drawn as outlines; each lies where its coordinates say, or on the pixels of the
            array if it has none.
        scale_bar
            Whether a bar shows a round length, in real units.
        legend
            Whether channels that have names are named.

        Returns
        -------
        matplotlib.image.AxesImage
            Its ``axes`` are those that it is drawn in.

        Raises
        ------
        MissingDependencyError
            If matplotlib or matplotlib-scalebar is not installed.

        Examples
        --------
        >>> da = xr.DataArray(np.eye(64), dims=("y", "x")).omezarr.assign_grid(scale={"y": 0.5, "x": 0.5}, units="um")
        >>> da.omezarr.plot().axes.get_xlabel()
        'x [µm]'
        """
        outlined = {name: figures.Outlined([of], {}) for name, of in (labels or {}).items()}
        drawn = [coords.dequantify(self._da)]
        return figures.draw(drawn, self.channels, outlined, ax=ax, scale_bar=scale_bar, legend=legend)

    def to_spatialdata(
        self, *, name: str | None = None, coordinate_system: str | None = None, as_labels: bool | None = None
    ) -> Any:
        """Return an element of spatialdata; see `interchange.spatialdata.to_spatialdata`."""
        return interchange.to_spatialdata(self._da, name=name, coordinate_system=coordinate_system, as_labels=as_labels)

    def to_multiscale_spatial_image(self, *, name: str | None = None, as_labels: bool | None = None) -> xr.DataTree:
        """Return a tree of multiscale-spatial-image; see `interchange.to_multiscale_spatial_image`."""
        return interchange.to_multiscale_spatial_image(self._da, name=name, as_labels=as_labels)

    def to_ngff_zarr(self, *, name: str | None = None, as_labels: bool | None = None) -> Any:
        """Return an NgffImage of ngff-zarr; see `interchange.to_ngff_zarr`."""
        return interchange.to_ngff_zarr(self._da, name=name, as_labels=as_labels)

    def to_napari(
        self, *, name: str | None = None, coordinate_system: str | None = None, as_labels: bool | None = None
    ) -> list[tuple[Any, dict[str, Any], str]]:
        """Return layers of napari as data, options and kind; see `interchange.to_napari`."""
        return interchange.to_napari(self._da, name=name, coordinate_system=coordinate_system, as_labels=as_labels)

    def __repr__(self) -> str:
        """Say what the array would be as an image."""
        return display.represented(lambda: display.described_array(self._da))

    def _repr_html_(self) -> str:
        """Say so in a notebook, with a picture where that is cheap (`display.glimpse`)."""
        return display.page(
            lambda: display.described_array(self._da), lambda: ([coords.dequantify(self._da)], self.channels)
        )

    def thumbnail(self, *, max_size: int = 256) -> NDArray[np.uint8]:
        """Return a small RGB picture of the array, channels composited; shape (height, width, 3)."""
        return pictures.thumbnail([coords.dequantify(self._da)], self.channels, max_size=max_size)

    def _described(self) -> tuple[coords.Dimension, ...]:
        da = coords.dequantify(self._da)
        by_name = {dimension.name: dimension for dimension in coords.describe(da)}
        return tuple(by_name[str(dim)] for dim in da.dims)


@xr.register_dataset_accessor("omezarr")
class OmeZarrDatasetAccessor:
    """OME-Zarr on a Dataset that holds an image and its labels."""

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds

    def to_zarr(
        self,
        store: StoreArgument,
        *,
        image: str | None = None,
        colors: Mapping[str, Any] | None = None,
        properties: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Write an image variable together with its labels, which are the other variables.

        Attributes of the Dataset become those of the store, and of the tree that is opened from it.

        Parameters
        ----------
        store
            As in `OmeZarrArrayAccessor.to_zarr`.
        image
            Which variable is the image; left out, ``"image"``, else the only one that is not of integers or bool.
        colors, properties
            Those of labels, by the names of their variables; see `Labels`.
        **options
            Those of `OmeZarrArrayAccessor.to_zarr`, for the image.

        Returns
        -------
        xarray.DataTree or dask.delayed.Delayed
            The written store, opened lazily.

        Raises
        ------
        LabelError
            If it cannot be told which variable is the image.

        Examples
        --------
        >>> import tempfile
        >>> spots = xr.DataArray(np.eye(64), dims=("y", "x"), name="spots")
        >>> ds = xr.Dataset({"spots": spots, "diagonal": spots > 0})
        >>> tree = ds.omezarr.to_zarr(tempfile.mkdtemp() + "/spots.ome.zarr", levels=2)
        >>> list(tree.omezarr.labels)
        ['diagonal']
        """
        if "labels" in options:
            raise OmeZarrError("labels are the other variables of the Dataset; add them there: ds.assign(nuclei=…)")
        da, labels = labelling.parted(self._ds, image, colors or {}, properties or {})
        return write(da, store, labels=labels, extra=own_attrs(self._ds), **options)

    def to_plate(
        self,
        store: StoreArgument,
        *,
        image: str | None = None,
        colors: Mapping[str, Any] | None = None,
        properties: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Add an image variable together with its labels to a plate.

        Parameters
        ----------
        store, image, colors, properties
            As in `to_zarr`, the store being that of the plate.
        **options
            Those of `OmeZarrArrayAccessor.to_plate`.

        Returns
        -------
        xarray.DataTree or dask.delayed.Delayed
            The image, opened lazily.
        """
        da, labels = labelling.parted(self._ds, image, colors or {}, properties or {})
        return da.omezarr.to_plate(store, labels=labels, extra=own_attrs(self._ds), **options)


_WRITERS: Mapping[str, Callable[..., Any]] = {
    "plate": plating.write_plate_tree,
    "bioformats2raw.layout": write_collection_tree,
    "scene": write_scene_tree,
}
"""What writes a tree of several images, by what its attributes describe. 84 (MUST): a plate comes first."""


def _writer_of(dt: xr.DataTree) -> Callable[..., Any] | None:
    """Return what writes a tree of several images; None where it is that of one.

    Raises
    ------
    LevelError
        If it is a part of such a tree, which no store holds by itself.
    """
    attrs = planning.group_attrs(dt)
    kinds, finest = spec.kinds(attrs), dt.children.get("0")
    is_image = spec.is_image(attrs) or (finest is not None and tree.variable_of(finest.dataset) is not None)
    write = None if is_image else next((write for kind, write in _WRITERS.items() if kind in kinds), None)
    if is_image or write is not None or not (paths := tree.images(dt)):
        return write
    held = f"{len(paths)} images" if len(paths) > 1 else "an image"
    if "well" in kinds:
        well = tuple(dt.path.split("/")[-2:])
        told, alone = "is a well", f"a plate of this well alone: xomezarr.write_plate({{{well}: tree}}, store)"
    else:
        told = "is neither an image nor a plate nor a collection"
        alone = f"one image: tree[{paths[0]!r}].omezarr.to_zarr(…)"
    whole = "write the whole that it is of, tree.root.omezarr.to_zarr(…)"
    if dt.parent is None:  # calls that make all nodes anew, as match() and prune(), forget what these say
        whole = "take it from what was opened by calls that keep what its nodes say, tree.filter(…) or del tree[…]"
    raise LevelError(f"the tree {told}, and holds {held}; {whole}, or {alone}")


@xr.register_datatree_accessor("omezarr")
class OmeZarrTreeAccessor:
    """OME-Zarr on a DataTree whose children ``"0"``, ``"1"``, … are the levels of an image."""

    def __init__(self, dt: xr.DataTree) -> None:
        self._tree = dt

    @property
    def levels(self) -> tuple[xr.DataArray, ...]:
        """The resolution levels, finest first, each with the image's own name."""
        return tree.levels(self._tree)

    def level(self, index: int) -> xr.DataArray:
        """Return one resolution level; 0 is the finest, -1 the coarsest."""
        return tree.level(self._tree, index)

    def at(self, *, scale: Mapping[str, float] | None = None, max_bytes: int | str | None = None) -> xr.DataArray:
        """Choose a level: the coarsest at least as fine as `scale`, or the finest that fits; see `tree.at`."""
        return tree.at(self._tree, scale=scale, max_bytes=max_bytes)

    def sel(
        self, indexers: Mapping[Hashable, Any] | None = None, *, method: str | None = None, **indexers_kwargs: Any
    ) -> xr.DataTree:
        """Crop all levels to the same physical box, widened to whole pixels of the coarsest; see `tree.sel`."""
        return tree.sel(self._tree, indexers, method=method, **indexers_kwargs)

    def isel(self, indexers: Mapping[Hashable, Any] | None = None, **indexers_kwargs: Any) -> xr.DataTree:
        """Crop all levels to the same box of level-0 pixels; see `tree.isel`."""
        return tree.isel(self._tree, indexers, **indexers_kwargs)

    @property
    def coordinate_systems(self) -> systems.CoordinateSystems:
        """The coordinate systems by name, in the order of the store; `intrinsic` names that in which the levels lie."""
        return tree.systems_of(self._tree)

    def in_system(self, name: str) -> xr.DataTree:
        """See the image as it lies in another of its coordinate systems; see `tree.in_system`."""
        return tree.in_system(self._tree, name)

    def transform(self, system: str, *, source: str | None = None, level: int | None = None) -> Transform:
        """Return what leads to a coordinate system: a function of points that has an inverse.

        Parameters
        ----------
        system
            Where it leads to.
        source
            The coordinate system that it leads from; left out, that in which the levels lie.
        level
            A level from whose pixels it leads instead, by their indices in the order of `axes`.

        Raises
        ------
        CoordinateSystemError
            If there is no such system or level, nothing leads there, or two ways do and lead to different places.
        """
        return tree.transform(self._tree, system, source=source, level=level)

    def stack(self, level: int = 0, *, fill_value: Any = None, acquisition: int | None = None) -> xr.DataArray:
        """See one level of all images of a plate as one lazy array (row, column, field, …); see `stacking.stack`."""
        return stacking.stack(self._tree, level, fill_value=fill_value, acquisition=acquisition)

    def overview(self, *, field: int | str = 0, max_size: int = 1024) -> NDArray[np.uint8]:
        """Return a picture of a plate from above, shape (height, width, 3); see `stacking.overview`."""
        return stacking.overview(self._tree, field=field, max_size=max_size)

    @property
    def labels(self) -> dict[str, xr.DataTree]:
        """The labels of the image by name, each a tree of levels like the image's own."""
        return tree.labels(self._tree)

    @property
    def properties(self) -> pd.DataFrame:
        """What is known of each label of a label image: a row for each, by label value."""
        return properties_of(tree.label_metadata(self._tree), self._tree.encoding.get(PROPERTIES))

    @property
    def colors(self) -> dict[int, str]:
        """The colours of a label image as ``"#rrggbbaa"``, by label value; empty where viewers are to choose."""
        return colors_of(tree.label_metadata(self._tree))

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Name, type and unit of each axis, in the order of the file."""
        metadata = self.metadata
        known = {axis.name: axis for axis in metadata.multiscale.axes} if metadata is not None else {}
        base = self.levels[0]
        if known.keys() >= set(base.dims):
            return tuple(axis for axis in known.values() if axis.name in base.dims)
        return coords.axes_of(base)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Label, colour and window of each channel: what the coordinates say, else what the store says."""
        return planning.rendering(self.levels[0], self.metadata)

    @property
    def version(self) -> str | None:
        """Version of OME-Zarr that the tree was read from; None for a tree that was not."""
        return planning.version_of(self._tree)

    @property
    def metadata(self) -> Image | None:
        """What the store that the tree was read from says of the image; None for a tree that was not."""
        return planning.stored_metadata(self._tree)

    @property
    def scene(self) -> SceneView:
        """How the images of a scene lie to each other; see `scenes.SceneView`."""
        return scene_of(self._tree)

    @property
    def name(self) -> Any:
        """Name of the image."""
        return self.levels[0].name

    def to_zarr(
        self,
        store: StoreArgument,
        *,
        version: str | None = None,
        layout: str | None = None,
        mode: str = "w-",
        chunks: Mapping[str, int] | Sequence[int] | None = None,
        shards: Shards = None,
        compressors: Any = COMPRESSORS,
        write_empty_chunks: bool | None = None,
        axes: Mapping[str, str] | None = None,
        name: str | None = None,
        irregular: Irregular = "raise",
        storage_options: Mapping[str, Any] | None = None,
        max_memory: int | str | None = None,
        workers: int | None = None,
        resume: bool = False,
        progress: bool | OnTile | None = None,
        compute: bool = True,
    ) -> Any:
        """Write the levels as they stand, and those of labels; no pixel is computed anew.

        The tree of a plate, a collection or a scene is written with all images that it holds; see
        `plating.write_plate_tree`, `collection.write_collection_tree` and `scenes.write_scene_tree`.

        Parameters are those of `OmeZarrArrayAccessor.to_zarr`; `version` and `layout` left out are those that the tree,
        or each of its images, was read from, else 0.4 and ``"ome"``. `name` is that of the image, or of the plate.
        Metadata of other tools are kept.

        Raises
        ------
        LevelError
            If the tree is a part of a plate or a collection, and no image; or holds what has no place in the store.
        OmeZarrError
            If something of it cannot be written; independent faults are raised together.

        Examples
        --------
        >>> import tempfile
        >>> import xomezarr
        >>> folder = tempfile.mkdtemp()
        >>> cells = xr.DataArray(np.ones((64, 64), "uint8"), dims=("y", "x"), name="cells")
        >>> plate = xomezarr.write_plate({("A", 1): [cells], ("B", 2): [cells]}, folder + "/plate.ome.zarr")
        >>> del plate["A"]
        >>> copy = plate.omezarr.to_zarr(folder + "/copy.ome.zarr", version="0.5")
        >>> list(copy), copy.omezarr.version, copy["B/2/0"].omezarr.name
        (['B'], '0.5', 'cells')
        """
        options = {
            "progress": progress,
            "compute": compute,
            "version": version,
            "layout": layout,
            "mode": mode,
            "chunks": chunks,
            "shards": shards,
            "compressors": compressors,
            "write_empty_chunks": write_empty_chunks,
            "axes": axes,
            "irregular": irregular,
            "storage_options": storage_options,
            "max_memory": max_memory,
            "workers": workers,
        }
        if (write := _writer_of(self._tree)) is not None:
            of_one = {"name": name} if name is not None else {}
            return write(self._tree, store, **options, **of_one, **({"resume": resume} if resume else {}))
        image = Whole.of_tree(self._tree)
        if image.unread:
            warn(image.unread, PlateWarning)
        return write_tree(image.tree, image.levels, store, labels=image.labels, name=name, resume=resume, **options)

    def to_spatialdata(
        self, *, name: str | None = None, labels: bool = True, coordinate_system: str | None = None
    ) -> Any:
        """Return a SpatialData that holds the image and its labels; see `interchange.spatialdata.to_spatialdata`."""
        return interchange.to_spatialdata(self._tree, name=name, labels=labels, coordinate_system=coordinate_system)

    def to_multiscale_spatial_image(self, *, name: str | None = None, labels: bool = True) -> xr.DataTree:
        """Return a tree of multiscale-spatial-image; see `interchange.to_multiscale_spatial_image`."""
        return interchange.to_multiscale_spatial_image(self._tree, name=name, labels=labels)

    def to_ngff_zarr(self, *, name: str | None = None, labels: bool = True) -> Any:
        """Return Multiscales of ngff-zarr; see `interchange.to_ngff_zarr`."""
        return interchange.to_ngff_zarr(self._tree, name=name, labels=labels)

    def to_napari(
        self, *, name: str | None = None, labels: bool = True, coordinate_system: str | None = None
    ) -> list[tuple[Any, dict[str, Any], str]]:
        """Return layers of napari as data, options and kind; see `interchange.to_napari`."""
        return interchange.to_napari(self._tree, name=name, labels=labels, coordinate_system=coordinate_system)

    def validate(self, *, strict: bool = False, grids: bool = False, chunks: bool = False) -> Report:
        """Validate the store that the tree was opened from; see `validate.validate`."""
        from xomezarr.validate import validate

        source = self._tree.encoding.get("source")
        if source is None:
            raise OmeZarrError("the tree does not know its store; call xomezarr.validate(store)")
        return validate(source, strict=strict, grids=grids, chunks=chunks)

    def plot(
        self,
        *,
        ax: Axes | None = None,
        labels: bool | str | Sequence[str] = True,
        scale_bar: bool = True,
        legend: bool = True,
        field: int | str = 0,
    ) -> AxesImage:
        """Draw the image: channels in their colours and windows, in physical coordinates, with a scale bar and labels.

        The coarsest level is read that has a pixel for each of the screen's, so that this takes no longer for a large
        image than for a small one. Of a stack the middle plane is drawn, of a time series the first image; the title
        says where that is, and `sel` takes others: ``tree.omezarr.sel(z=[4.2], method="nearest").omezarr.plot()``.
        A label image is drawn in the colours of its labels, a plate from above, as `overview` does.

        Parameters
        ----------
        ax
            Axes of matplotlib; left out, the current ones.
        labels
            Which labels are drawn as outlines: all, none, or those of some names.
        scale_bar
            Whether a bar shows a round length, in real units.
        legend
            Whether channels that have names are named.
        field
            Of a plate, which field of each well is drawn. Its labels are not drawn, nor a bar.

        Returns
        -------
        matplotlib.image.AxesImage
            Its ``axes`` are those that it is drawn in.

        Raises
        ------
        LabelError
            If there are no labels of a name.
        MissingDependencyError
            If matplotlib or matplotlib-scalebar is not installed.
        """
        if stacking.is_plate(self._tree):
            return figures.draw_plate(
                lambda size: stacking.from_above(self._tree, field=field, max_size=size), ax=ax, legend=legend
            )
        there = self.labels
        names = list(there) if labels is True else [labels] if isinstance(labels, str) else list(labels or ())
        if unknown := [name for name in names if name not in there]:
            raise LabelError(f"the image has no labels {unknown[0]!r}, but {list(there)}; give labels=False for none")
        outlined = {name: figures.Outlined(tree.levels(there[name]), there[name].omezarr.colors) for name in names}
        return figures.draw(
            self.levels, pictures.looks_of(self._tree), outlined, ax=ax, scale_bar=scale_bar, legend=legend
        )

    def __repr__(self) -> str:
        """Say what the tree holds: levels, axes, channels, labels; or the wells of a plate."""
        return display.represented(lambda: display.described_tree(self._tree))

    def _repr_html_(self) -> str:
        """Say so in a notebook, with a picture where that is cheap (`display.glimpse`)."""
        return display.page(
            lambda: display.described_tree(self._tree), lambda: (self.levels, pictures.looks_of(self._tree))
        )

    def thumbnail(self, *, max_size: int = 256) -> NDArray[np.uint8]:
        """Return a small RGB picture from the coarsest level that suffices; shape (height, width, 3)."""
        return pictures.thumbnail(self.levels, pictures.looks_of(self._tree), max_size=max_size)

    def view(
        self,
        *,
        labels: bool = True,
        viewer: str = "neuroglancer",
        open_browser: bool | None = None,
        port: int = 0,
    ) -> Any:
        """Show the image in Neuroglancer, in the browser or inside the cell of a notebook, or in napari.

        It is shown as it is stored: all of it, whatever was cropped, computed or assigned since. See `viewer.view`.

        Parameters
        ----------
        labels
            Whether its labels are shown too.
        viewer
            ``"neuroglancer"`` or ``"napari"``.
        open_browser
            Whether a browser is opened; left out, it is, but in a notebook.
        port
            Of this machine, at which it is served; 0 for one that is free.

        Returns
        -------
        viewer.View or napari.Viewer
            The first serves until the process ends, or its `close` is called.
        """
        from xomezarr.viewer import view

        return view(self._tree, labels=labels, viewer=viewer, open_browser=open_browser, port=port)
