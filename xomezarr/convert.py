"""Open image files lazily, with the pixel sizes and channel names that they hold, and convert them to OME-Zarr."""

from __future__ import annotations

import os
import re
import shlex
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr import archive, holders, spec
from xomezarr.bioio import open_by_bioio
from xomezarr.channels import RGB, Channels, assign_channels
from xomezarr.coords import assign_grid, infer_axis_type
from xomezarr.errors import (
    UNREADABLE_MEMBER,
    ArchiveError,
    AxisError,
    LabelError,
    LabelWarning,
    MetadataError,
    NotOmeZarrError,
    OmeZarrError,
    OmeZarrWarning,
    StoreExistsError,
    StoreNotFoundError,
    raise_all,
    warn,
)
from xomezarr.filearray import (
    PLACED,
    REVERSED,
    FileArray,
    chunks_in_memory_order,
    dimensions,
    lazy_image,
    nothing_to_close,
)
from xomezarr.indexes import Skew, skews_of
from xomezarr.labels import Labels
from xomezarr.lazy import zarr
from xomezarr.model import LabelImage
from xomezarr.mrc import open_mrc
from xomezarr.nifti import open_nifti
from xomezarr.photos import open_photo
from xomezarr.pixels import Pixels
from xomezarr.plan import Plan
from xomezarr.planning import Target, chosen_version, known_options, plan_array, plan_label_image, stored_metadata
from xomezarr.raw import GZIP, opened_bytes
from xomezarr.read import open_tree
from xomezarr.sidecar import PROPERTIES
from xomezarr.source import file_behind
from xomezarr.store import arrays_in, check_array, open_group, opened_store, overlap, resolve
from xomezarr.systems import held_by
from xomezarr.tiff import open_tiff
from xomezarr.tree import levels
from xomezarr.write import write_plan

__all__ = ["convert", "open_image"]

KNOWN_FILES = (
    "NumPy (.npy), TIFF and OME-TIFF (.tif, .tiff), NIfTI and Analyze (.nii, .nii.gz, .hdr and .img), MRC (.mrc, "
    ".mrc.gz), PNG, JPEG, GIF, WebP and BMP, Zarr and OME-Zarr (.zarr, folder or URL)"
)
"""What is read without BioIO."""

# --- opening -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Opened:
    """An image that has been opened, lazily; whoever opened it closes it.

    Parameters
    ----------
    image
        As `open_image` returns it.
    tree
        Level 0 of the OME-Zarr image that it is, and of its labels; None of any other.
    """

    image: xr.DataArray
    tree: Any = None

    @property
    def label(self) -> LabelImage | None:
        """What an image of labels says of these; None of any other."""
        known = None if self.tree is None else stored_metadata(self.tree)
        return None if known is None else known.label

    @property
    def labels(self) -> dict[str, Labels]:
        """The labels of an OME-Zarr image, which go along with it, by as short names as tell them apart."""
        found = {} if self.tree is None else self.tree.omezarr.labels
        names = Counter(path.rpartition("/")[2] for path in found)
        return {
            name if names[name := path.rpartition("/")[2]] == 1 else path: _with_metadata(node)
            for path, node in found.items()
        }

    def close(self) -> None:
        """Close the store, or the file; what is read from it later opens it again."""
        if self.tree is not None:
            self.tree.close()
        if (file := file_behind(self.image.variable._data)) is not None:
            file.close()

    def renamed(self, dims: str | Sequence[str] | None, path: str) -> Opened:
        """Give the image's dimensions the names that the user gives them."""
        return self if dims is None else replace(self, image=_renamed(self.image, dims, path))


def open_image(
    path: str | os.PathLike[str],
    *,
    dims: str | Sequence[str] | None = None,
    series: int | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """Open an image lazily: metadata are read, pixels are not.

    Parameters
    ----------
    path
        A file or a folder, or the URL of a Zarr store:

        - ``.npy``, memory-mapped;
        - Zarr: an array, a group with one array, one variable that xarray has written, or level 0 of an OME-Zarr image;
        - TIFF, OME-TIFF and ImageJ's TIFF, whose chunks are read one by one; of a pyramid, the finest level;
        - NIfTI and Analyze, by nibabel, memory-mapped; those that gzip has packed are unpacked into a temporary file
          when they are first read;
        - MRC and CCP4 maps, in the same way;
        - PNG, JPEG, GIF, WebP and BMP, decoded as a whole, or frame by frame;
        - anything else that `BioIO <https://bioio-devs.github.io>`_ reads, where it is installed.
    dims
        Names of the dimensions in the order of the array, the slowest first: ``"zyx"`` or ``["time", "y", "x"]``.
        Needed where the file does not name them and has other than two.
    series
        Index of the image in a TIFF that holds several, or of the scene that BioIO reads.
    storage_options
        For fsspec, where `path` is a URL.

    Returns
    -------
    xarray.DataArray
        Of the file's dtype, in native byte order; it can be pickled, and read from several threads. Values that NIfTI
        scales are float64, as in nibabel. Pixel sizes become coordinates of pixel centres that start at 0, with the
        unit as the file spells it; stage positions are left out, as files differ on what point of a plane they mean.
        Of NIfTI and MRC they lie where the file says: along axes of the world, ascending, where those of the array
        run along them either way, else beside their sizes in a coordinate system; see `assign_affine`. Channel names
        become the coordinate of the channel dimension, colours the coordinate ``channel_color`` along it.

    Raises
    ------
    StoreNotFoundError
        If nothing is at `path`.
    MissingDependencyError
        If what reads the file is not installed: tifffile or a codec, nibabel, BioIO or its reader.
    AxisError
        If the file does not say what its dimensions are.
    DtypeError
        If its pixels are none of an image that can be written.
    OmeZarrError
        If the file is of no known type, or damaged.
    """
    opened = open_source(path, dims=dims, series=series, storage_options=storage_options, labels=False)
    opened.image.set_close(opened.close)
    return opened.image


def open_source(
    path: str | os.PathLike[str],
    *,
    dims: str | Sequence[str] | None = None,
    series: int | None = None,
    storage_options: Mapping[str, Any] | None = None,
    labels: bool = True,
) -> Opened:
    """Open an image as `open_image` does, and with it what an OME-Zarr image holds besides, unless without its labels.

    Parameters are those of `open_image`.
    """
    location = os.fspath(path)
    if "://" in location and not location.startswith("file:"):
        _check_series(series, location)
        return _open_zarr(location, dims, storage_options, labels=labels)
    local = Path(str(resolve(location)))  # absolute: copies may be read by processes that stand elsewhere
    if archive.leads_into(local) is not None:
        _check_series(series, str(local))
        return _open_zarr(str(local), dims, storage_options, labels=labels)
    if not local.exists():
        python = 'check the path: open_image("path/to/image.tif")'
        raise StoreNotFoundError.mended(f'nothing is at "{local}"', python=python, command="check the path")
    if local.is_dir():
        _check_series(series, str(local))
        return _open_zarr(str(local), dims, storage_options, labels=labels)
    if not local.is_file():
        raise OmeZarrError(f'"{local}" is neither a file nor a folder, and is not read; give the path of one')
    opener = _opener(str(local))
    if opener is None:
        opener = partial(open_by_bioio, known=KNOWN_FILES)
    elif opener is not open_tiff:
        _check_series(series, str(local))
    return Opened(opener(str(local), dims, series))


def _check_series(series: int | None, path: str) -> None:
    """Refuse to choose among images where there is one."""
    if series not in (None, 0):
        raise OmeZarrError(f'"{path}" holds one image, and series={series} is none of it; leave series out')


def convert(
    src: str | os.PathLike[str],
    dst: Any,
    *,
    dims: str | Sequence[str] | None = None,
    series: int | None = None,
    scale: Mapping[str, float] | None = None,
    units: Mapping[str, str] | str | None = None,
    channels: Channels | None = None,
    rgb: bool = False,
    labels: Mapping[str, Any] | None = None,
    src_storage_options: Mapping[str, Any] | None = None,
    progress: Callable[[int], None] | bool | None = None,
    **options: Any,
) -> xr.DataTree:
    """Convert an image file to OME-Zarr.

    Labels that are in OME-Zarr stay labels: their method keeps values, and colours and properties go along.

    Parameters
    ----------
    src, dims, series
        See `open_image`.
    dst
        Store to write.
    scale, units
        Pixel sizes and units that are to count instead of the file's; see `assign_grid`.
    channels
        Names and colours that are to count instead of the file's; see `assign_channels`.
    rgb
        The three channels are red, green and blue, whatever the file says. Files of colour images say so themselves.
    labels
        Label images by name: files, whose pixels are those of the image whatever they say of their own place, or what
        `to_zarr` takes. Those of NIfTI are in the order of the image's voxels, wherever axes run backward. Those of an
        OME-Zarr image go along with it.
    src_storage_options
        For a source that is a URL, as fsspec takes them; `storage_options` are those of `dst`.
    progress
        Called with the bytes of each tile; or whether to show progress.
    **options
        See `to_zarr`.

    Returns
    -------
    xarray.DataTree
        The written store, opened lazily.
    """
    compute = options.pop("compute", True)
    with plan_conversion(
        src,
        dst,
        dims=dims,
        series=series,
        scale=scale,
        units=units,
        channels=channels,
        rgb=rgb,
        labels=labels,
        src_storage_options=src_storage_options,
        **options,
    ) as (plan, pixels):
        tree: xr.DataTree = write_plan(plan, pixels, progress=progress, compute=compute)
    return tree


@contextmanager
def plan_conversion(
    src: str | os.PathLike[str],
    dst: Any,
    *,
    name: str | None = None,
    labels: Mapping[str, Any] | None = None,
    dims: str | Sequence[str] | None = None,
    series: int | None = None,
    scale: Mapping[str, float] | None = None,
    units: Mapping[str, str] | str | None = None,
    channels: Channels | None = None,
    rgb: bool = False,
    src_storage_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Iterator[tuple[Plan, Pixels]]:
    """Work out what `convert` writes, of which pixels, which are open until the block ends.

    Parameters are those of `convert`.
    """
    import xomezarr  # noqa: F401 - registers the accessor

    if not isinstance(src, str | os.PathLike):
        raise OmeZarrError(
            f"a source of type {type(src).__name__} is no path or URL; of a store of Zarr write what is opened: "
            'xr.open_datatree(src, engine="omezarr").omezarr.to_zarr(dst)'
        )
    _refuse_same_place(src, dst)
    _refuse_file_name(dst)
    with ExitStack() as opened:
        source = open_source(src, dims=dims, series=series, storage_options=src_storage_options)
        opened.enter_context(closing(source))
        version = chosen_version(dst, options.get("version"))
        image, brought = held_by(version, source.image)
        _warn_of_systems(source, src, brought)
        if scale or units:
            image = assign_grid(image, scale=scale, units=units)
        if rgb or (channels is not None and len(channels)):
            image = assign_channels(image, channels, rgb=rgb)
        faults: list[OmeZarrError] = []
        resume = {"resume": options.pop("resume", False)}
        known_options(Target.split(options)[1], "convert", faults)
        raise_all(faults, "the image cannot be converted")
        if source.label is None:
            along = _labels_of_source(source, image, src, version)
            for label, given in (labels or {}).items():
                along[label] = given
                if isinstance(given, str | os.PathLike):
                    _refuse_same_place(given, dst)
                    file = _open_label(given, image)
                    opened.enter_context(closing(file))
                    along[label] = _on_pixels_of(image, source.image, file, given, label)
            yield plan_array(image, dst, name=name, labels=along, **resume, **options)
            return
        if labels:
            raise LabelError(
                f'"{os.fspath(src)}" holds labels, and labels are those of an image; convert the image with them: '
                f"convert(image, dst, labels={{{str(image.name)!r}: {os.fspath(src)!r}}})"
            )
        properties = source.tree.encoding.get(PROPERTIES)
        yield plan_label_image(image, source.label, dst, name=name, properties=properties, **resume, **options)


def _warn_of_systems(source: Opened, src: str | os.PathLike[str], brought: Collection[str]) -> None:
    """Say that coordinate systems of an image stay behind, but for those that it brings along."""
    if source.tree is None and (left := [skew.system.name for skew in skews_of(source.image)]) and not brought:
        warn(
            f'"{os.fspath(src)}" lies askew in the coordinate system {", ".join(map(repr, left))}, which OME-Zarr has '
            'from 0.6 on; where it lies there is left out: give version="0.6" to keep it',
            OmeZarrWarning,
        )
    known = None if source.tree is None else stored_metadata(source.tree)
    if known is not None and (others := [name for name in known.multiscale.other_systems if name not in brought]):
        warn(
            f'"{os.fspath(src)}" has the coordinate systems {", ".join(map(repr, others))}, '
            "which are not converted; write the image as it stands to keep them: "
            f'xr.open_datatree({os.fspath(src)!r}, engine="omezarr").omezarr.to_zarr(…)',
            OmeZarrWarning,
        )


def _with_metadata(node: Any) -> Labels:
    """Return labels that are in a store, with their colours and properties."""
    properties = node.omezarr.properties
    return Labels(node.omezarr.level(0), node.omezarr.colors or None, properties if len(properties) else None)


def _labels_of_source(source: Opened, image: xr.DataArray, src: str | os.PathLike[str], version: str) -> dict[str, Any]:
    """Return the labels that go along with an image; those that do not lie on its dimensions are left out."""
    found = source.labels
    if lost := [name for name, labels in found.items() if not {*labels.image.dims} <= {*image.dims}]:
        warn(
            f'"{os.fspath(src)}" has labels ({", ".join(lost)}), whose dimensions are not called as those of the image '
            "now are; they are left out: convert them with the names that the image has",
            LabelWarning,
        )
    kept = {name: labels for name, labels in found.items() if name not in lost}
    return {name: replace(labels, image=held_by(version, labels.image)[0]) for name, labels in kept.items()}


def _open_label(path: str | os.PathLike[str], image: xr.DataArray) -> Opened:
    """Open a label image; where its file does not name its dimensions, they are some of those of the image.

    Raises
    ------
    AxisError
        If they cannot be told.
    """
    try:
        return open_source(path, labels=False)
    except AxisError as error:
        return _open_as(path, image, error)


def _on_pixels_of(
    image: xr.DataArray, file: xr.DataArray, opened: Opened, path: str | os.PathLike[str], name: str
) -> Any:
    """Return a label image on the pixels of its image: as its store says, where that says so, else on all of them.

    Parameters
    ----------
    image, file
        The image as it is written, and as it was opened.
    opened, path, name
        The labels, of whose dimensions the image has all.
    """
    if opened.label is not None:
        return _with_metadata(opened.tree)
    found = opened.image
    if "c" in found.coords and found["c"].values.tolist()[:3] == [label for label, _ in RGB]:
        numbers = f"xr.DataArray(np.asarray(PIL.Image.open({os.fspath(path)!r})), dims=('y', 'x'))"
        raise LabelError(
            f'"{os.fspath(path)}" holds colours, and labels are one number for each pixel; of a palette, give the '
            f"numbers: labels={{{name!r}: {numbers}}}"
        )
    if REVERSED in file.encoding or REVERSED in found.encoding:
        found = _in_order_of(file, found)
    if _elsewhere(file, opened.image):
        warn(
            f'"{os.fspath(path)}" says that it lies elsewhere than the image; the labels {name!r} are taken to lie on '
            "its pixels all the same",
            LabelWarning,
        )
        return _without_place(found)
    told = {dim: found[dim].values for dim in found.dims if dim in found.coords and dim in image.coords}
    others = [
        dim
        for dim, values in told.items()
        if values.dtype.kind in "iuf" and values.shape == image[dim].shape and not _alike(values, image[dim].values)
    ]
    if others:
        warn(
            f'"{os.fspath(path)}" has other pixel sizes along {", ".join(map(str, others))} than the image; the labels '
            f"{name!r} are taken to lie on its pixels all the same",
            LabelWarning,
        )
    return _without_place(found)


def _without_place(labels: xr.DataArray) -> xr.DataArray:
    return held_by("0.5", labels)[0].drop_vars([dim for dim in labels.dims if dim in labels.coords])


def _alike(values: NDArray[Any], others: NDArray[Any]) -> bool:
    """Whether pixels are as far from each other, wherever the first lies."""
    return bool(np.allclose(values - values[:1], others - others[:1]))


def _elsewhere(image: xr.DataArray, labels: xr.DataArray) -> bool:
    """Whether the files of an image and of labels say that they lie at different places, where both say it."""
    if not (image.encoding.get(PLACED) and labels.encoding.get(PLACED)):
        return False
    own, theirs = skews_of(labels), skews_of(image)
    if own or theirs:
        return len(own) != len(theirs) or not all(map(Skew.same, own, theirs))
    shared = [dim for dim in labels.dims if dim in labels.coords and dim in image.coords]
    return any(
        labels[dim].shape == image[dim].shape
        and labels[dim].dtype.kind in "iuf"
        and not np.allclose(labels[dim].values, image[dim].values)
        for dim in shared
    )


def _in_order_of(image: xr.DataArray, labels: xr.DataArray) -> xr.DataArray:
    """Return labels with their pixels in the order of an image, one of which was put in order by where it lies.

    Where both say where they lie, both were; else their files are taken to have pixels in one order.
    """
    if REVERSED in image.encoding and REVERSED in labels.encoding:
        return labels
    own, theirs = (
        [str(dim) for dim in one.dims if infer_axis_type(one, str(dim), {}) == "space"] for one in (labels, image)
    )
    if len(own) == len(theirs):
        labels = labels.drop_vars([dim for dim in own if dim in labels.coords]) if own != theirs else labels
        reverse = [theirs[own.index(dim)] for dim in labels.encoding.get(REVERSED, ())]
        labels = labels.rename({old: new for old, new in zip(own, theirs, strict=True) if old != new})
    else:
        reverse = [*labels.encoding.get(REVERSED, ())]
    turned = ({*reverse} ^ {*image.encoding.get(REVERSED, ())}) & {*labels.dims}
    # the pixels, whose coordinates say how large they are
    sizes = {dim: labels[dim] for dim in turned if dim in labels.coords}
    return labels.isel({dim: slice(None, None, -1) for dim in turned}).assign_coords(sizes)


def _open_as(path: str | os.PathLike[str], image: xr.DataArray, error: AxisError) -> Opened:
    """Open a file that does not name its dimensions, which are some of those of an image.

    Those are taken that its sizes allow; of other sizes, whose error is the writer's, the first that are as many.
    """
    others = [dim for dim in image.dims if infer_axis_type(image, str(dim), {}) in ("channel", "time")]
    as_many: Opened | None = None
    for dropped in ([], others[1:], others[:1], others):
        dims = [str(dim) for dim in image.dims if dim not in dropped]
        try:
            found = open_source(path, dims=dims, labels=False)
        except AxisError:
            continue
        if all(found.image.sizes[dim] in (1, image.sizes[dim]) for dim in dims):
            return found
        as_many = as_many or found
    if as_many is not None:
        return as_many
    stem = Path(path).name.partition(".")[0]
    raise LabelError.mended(
        f'"{os.fspath(path)}" does not name its dimensions, and they are other in number than those of the image '
        f"({', '.join(map(str, image.dims))}), with or without channels and times",
        python=f"give the labels by theirs: labels={{…: open_image({os.fspath(path)!r}, dims=…)}}",
        command="convert it first, and give what is written: "
        f"xomezarr convert {shlex.quote(os.fspath(path))} {shlex.quote(f'{stem}.ome.zarr')} --dims zyx --method mode",
    ) from error


def _refuse_file_name(dst: Any) -> None:
    """Refuse to make a folder that is called as an image file is."""
    if isinstance(dst, str | os.PathLike) and (named := FILE_NAMES.search(os.fspath(dst))) is not None:
        store = f"{os.fspath(dst)[: named.start()]}.ome.zarr"
        raise OmeZarrError(
            f'"{os.fspath(dst)}" is the name of a file, and OME-Zarr is a folder; call it "{store}", or write the '
            "file: xomezarr.export(image, path)"
        )


FILE_NAMES = re.compile(r"(\.ome)?\.(tiff?|png|jpe?g|gif|npy|nii|nii\.gz|mrc)$", re.IGNORECASE)


def _refuse_same_place(src: str | os.PathLike[str], dst: Any) -> None:
    """Raise where writing would destroy what is being read."""
    if not isinstance(dst, str | os.PathLike) or "://" in os.fspath(src) or "://" in os.fspath(dst):
        return
    if overlap(src, dst):
        raise StoreExistsError(
            f'"{dst}" is the image that is being read, or in it; write to another path: convert(src, "new.ome.zarr")'
        )


# --- NumPy --------------------------------------------------------------------


def _open_npy(path: str, dims: str | Sequence[str] | None, series: int | None) -> xr.DataArray:
    opener = partial(_map_npy, path)
    pixels, _ = opener()
    array = FileArray(opener, pixels.shape, pixels.dtype, path)
    chunks = chunks_in_memory_order(pixels)
    return lazy_image(
        array, dimensions(dims, pixels.shape, path, None), name=Path(path).stem, chunks=chunks, mapped=True
    )


def _map_npy(path: str) -> tuple[NDArray[Any], Callable[[], None]]:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False), nothing_to_close
    except OSError:
        raise
    except Exception as error:  # whatever its parser meets
        raise OmeZarrError(f'"{path}" cannot be memory-mapped ({error}); write it again with numpy.save') from error


# --- Zarr --------------------------------------------------------------------


def _open_zarr(
    path: str, dims: str | Sequence[str] | None, storage_options: Mapping[str, Any] | None, *, labels: bool
) -> Opened:
    options = None if storage_options is None else dict(storage_options)
    try:
        tree = open_tree(path, storage_options=options, cache=True, labels=labels, finest=True)
    except ArchiveError:
        raise
    except (NotOmeZarrError, StoreNotFoundError) as error:
        return Opened(_open_plain_zarr(path, dims, options, error))
    return Opened(levels(tree)[0], tree).renamed(dims, path)


def _open_plain_zarr(
    path: str, dims: str | Sequence[str] | None, options: dict[str, Any] | None, no_image: OmeZarrError
) -> xr.DataArray:
    """Open what is in Zarr and no OME-Zarr image, as `no_image` says."""
    try:
        node = zarr.open(_zarr_store(path, options), mode="r")
    except (FileNotFoundError, zarr.errors.BaseZarrError) as error:
        check_array(path)
        raise StoreNotFoundError(
            f'"{path}" holds no Zarr array or group, and open_image knows {KNOWN_FILES}; give the path of one of these'
        ) from error
    except UNREADABLE_MEMBER:
        check_array(path)
        # which says what is wrong; metadata that are gathered are not asked
        node = open_group(path, storage_options=options)
    if isinstance(node, zarr.Array):
        return _open_zarr_array(path, "", node, dims, options)
    if (holder := holders.called(node)) is not None:
        whole = holders.copying(node, path)
        raise NotOmeZarrError(
            f'"{path}" is {holder}, not an image; {"" if whole is None else f"copy all of it: {whole}; or "}'
            f'give the path of one: "{path.rstrip("/")}/{holders.first_image(node)}"'
        )
    if spec.is_ome(node.attrs.asdict()):
        raise no_image
    arrays = arrays_in(node)
    if arrays and all(_zarr_dimensions(array) is not None for array in arrays.values()):
        return _renamed(_open_xarray(path, node, arrays, options), dims, path)
    if len(arrays) != 1:
        raise OmeZarrError(
            f'"{path}" is a Zarr group with {len(arrays)} arrays ({", ".join(sorted(arrays)) or "none"}) '
            "and without the metadata of an OME-Zarr image; "
            f'open one of them: open_image("{path}/{min(arrays, default="array")}")'
        )
    ((name, array),) = arrays.items()
    return _open_zarr_array(path, name, array, dims, options)


def _open_zarr_array(
    path: str, name: str, array: zarr.Array[Any], dims: str | Sequence[str] | None, options: dict[str, Any] | None
) -> xr.DataArray:
    attrs = {key: value for key, value in array.attrs.items() if key != "_ARRAY_DIMENSIONS"}
    return lazy_image(
        FileArray(partial(_open_zarr_pixels, path, name, options), array.shape, array.dtype, path),
        dimensions(dims, array.shape, path, _zarr_dimensions(array)),
        name=name or re.sub(r"(\.ome)?\.zarr$", "", path.rstrip("/").rpartition("/")[2]),
        chunks=array.shards or array.chunks,
        attrs=attrs,
    )


def _open_zarr_pixels(
    path: str, name: str, options: dict[str, Any] | None
) -> tuple[zarr.Array[Any], Callable[[], None]]:
    return zarr.open_array(_zarr_store(path, options), path=name, mode="r"), nothing_to_close


def _zarr_store(path: str, options: dict[str, Any] | None) -> Any:
    """Return what zarr opens a path or URL by, one in a zip file too."""
    target = resolve(path)
    if isinstance(target, Path) or archive.leads_into(target) is not None:
        return archive.opened(target, options)
    return opened_store(target, options, read_only=True)


def _zarr_dimensions(array: zarr.Array[Any]) -> tuple[str, ...] | None:
    """Return an array's dimension names by Zarr v3, or by xarray's convention in v2; None if it has none."""
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    return tuple(map(str, names)) if isinstance(names, list | tuple) and None not in names else None


def _open_xarray(
    path: str, group: zarr.Group, arrays: Mapping[str, zarr.Array[Any]], options: dict[str, Any] | None
) -> xr.DataArray:
    """Open what xarray has written, by its conventions for scales, dates and missing values."""
    consolidated = group.metadata.consolidated_metadata is not None
    # xarray takes the fill value of Zarr v2 for missing data, and 0 is what other writers put there
    decode = not any(map(_zero_is_only_fill, arrays.values()))
    store = _zarr_store(path, options)
    try:
        dataset = xr.open_zarr(store, chunks=None, consolidated=consolidated, mask_and_scale=decode)
    except (OmeZarrError, OSError):
        raise
    except Exception as error:  # whatever its decoders raise
        raise MetadataError(
            f'"{path}" cannot be opened by xarray, by whose conventions its arrays name their dimensions ({error}); '
            f'open one of them: open_image("{path}/{min(arrays)}")'
        ) from error
    names = sorted(map(str, dataset.data_vars))
    if len(names) != 1:
        raise OmeZarrError(
            f'"{path}" holds {len(names)} variables ({", ".join(names) or "none"}), and an image is one; '
            f'choose it: xr.open_zarr("{path}")[{names[0] if names else "name"!r}].omezarr.to_zarr(…)'
        )
    image: xr.DataArray = dataset[names[0]]
    if not decode:
        image.attrs.pop("_FillValue", None)
    return image


def _zero_is_only_fill(array: zarr.Array[Any]) -> bool:
    """Whether an array of integers has the fill value 0 of Zarr v2, and is not packed by CF's conventions."""
    return (
        array.metadata.zarr_format == 2
        and array.dtype.kind in "iu"
        and array.fill_value == 0
        and not {"scale_factor", "add_offset"} & set(array.attrs)
    )


def _renamed(image: xr.DataArray, dims: str | Sequence[str] | None, path: str) -> xr.DataArray:
    if dims is None:
        return image
    new = dimensions(dims, image.shape, path, None)
    return image.rename({old: name for old, name in zip(image.dims, new, strict=True) if old != name})


# --- kinds of files ----------------------------------------------------------

Opener = Callable[[str, str | Sequence[str] | None, int | None], xr.DataArray]
"""Takes a path, names of dimensions and the number of an image."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Files that begin alike.

    Parameters
    ----------
    offset, magic
        Which bytes say it.
    opener
        What opens them.
    packed
        Whether it opens what gzip has packed too.
    """

    offset: int
    magic: bytes
    opener: Opener
    packed: bool = False


KINDS = (
    Kind(0, b"\x93NUMPY", _open_npy),
    # little- or big-endian, with 32- or 64-bit offsets
    *(Kind(0, magic, open_tiff) for magic in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    *(Kind(0, magic, open_photo) for magic in (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")),
    Kind(8, b"WEBP", open_photo),
    *(Kind(344, magic, open_nifti, packed=True) for magic in (b"n+1\0", b"ni1\0")),
    *(Kind(4, magic, open_nifti, packed=True) for magic in (b"n+2\0", b"ni2\0")),
    *(Kind(208, magic, open_mrc, packed=True) for magic in (b"MAP ", b"MAP\0")),
)
"""What files are, by their bytes."""

BY_SUFFIX: Mapping[str, Opener] = {
    **dict.fromkeys((".img", ".hdr"), open_nifti),  # the pixels of NIfTI and Analyze, and the headers of the latter
    **dict.fromkeys((".mrc", ".mrcs", ".map", ".st", ".rec", ".ali"), open_mrc),  # from before 2000
    ".bmp": open_photo,
}
"""What files are whose bytes do not say it."""

HEAD = 352
"""Bytes by which files are told apart: as many as the header of NIfTI-1 has."""


def _opener(path: str) -> Opener | None:
    """Return what opens a file; None if nothing here does."""
    with Path(path).open("rb") as file:
        head = file.read(HEAD)
    packed = head.startswith(GZIP)
    if packed:
        try:
            with opened_bytes(path) as contents:
                head = contents.read(HEAD)
        except (EOFError, OSError, zlib.error) as error:
            raise OmeZarrError(f'"{path}" is cut off, or damaged ({error}); copy the file again') from error
    for kind in KINDS:
        if head.startswith(kind.magic, kind.offset):
            if packed and not kind.packed:
                raise OmeZarrError(f'"{path}" is packed by gzip, and only NIfTI and MRC are read so; unpack it: gunzip')
            return kind.opener
    return BY_SUFFIX.get(Path(path.removesuffix(".gz")).suffix.lower())
