"""Open images lazily, with the pixel sizes and channel names that they hold."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any

import xarray as xr

from xomezarr import archive
from xomezarr.errors import ArchiveError, AxisError, NotOmeZarrError, OmeZarrError, StoreNotFoundError, raise_all
from xomezarr.labels import Labels
from xomezarr.model import LabelImage
from xomezarr.planning import stored_metadata
from xomezarr.read import open_tree
from xomezarr.readers.filearray import renamed
from xomezarr.readers.plain_zarr import open_plain_zarr
from xomezarr.readers.table import FILE_NAMES, KNOWN_FILES, one_image, reader_of
from xomezarr.source import file_behind
from xomezarr.store import resolve
from xomezarr.tree import levels

__all__ = ["Opened", "open_image", "open_source"]


@dataclass(frozen=True, slots=True)
class Opened:
    """An image that has been opened, lazily; whoever opened it closes it.

    Parameters
    ----------
    image
        As `open_image` returns it.
    of_image
        Whether it is a level of an OME-Zarr image: where its coordinates are irregular, that was asked for.
    tree
        Level 0 of the OME-Zarr image that it is, and of its labels; None of any other, and of a level by itself.
    """

    image: xr.DataArray
    of_image: bool = False
    tree: Any = None

    @property
    def label(self) -> LabelImage | None:
        """What an image of labels says of these; None of any other."""
        known = None if self.tree is None else stored_metadata(self.tree)
        return None if known is None else known.label

    def as_labels(self) -> Labels:
        """Return an image of labels with their colours and properties."""
        return _with_metadata(self.tree)

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
        return self if dims is None else replace(self, image=renamed(self.image, dims, path))


def _with_metadata(node: Any) -> Labels:
    """Return labels that are in a store, with their colours and properties."""
    properties = node.omezarr.properties
    return Labels(node.omezarr.level(0), node.omezarr.colors or None, properties if len(properties) else None)


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
        - TIFF, OME-TIFF and those of ImageJ, Micro-Manager, Zeiss (LSM) and Aperio (SVS), whose chunks are read one by
          one; of a pyramid, the finest level;
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
        run along them either way, else beside their sizes in a coordinate system; see `assign_affine`. Where a slice
        lies in depth, or a volume in time, is a scalar coordinate. Channel names become the coordinate of the channel
        dimension, colours the coordinate ``channel_color`` along it.

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
    _check_choice(path, dims, series)
    location = os.fspath(path)
    if "://" in location and not location.startswith("file:"):
        _refuse_url_of_file(location)
        return _open_zarr(location, dims, series, storage_options, labels=labels)
    local = Path(str(resolve(location)))  # absolute: copies may be read by processes that stand elsewhere
    in_archive = archive.leads_into(local) is not None
    if not in_archive and not local.exists():
        python = 'check the path: open_image("path/to/image.tif")'
        raise StoreNotFoundError.mended(f'nothing is at "{local}"', python=python, command="check the path")
    if in_archive or local.is_dir():
        return _open_zarr(str(local), dims, series, storage_options, labels=labels)
    if not local.is_file():
        raise OmeZarrError(f'"{local}" is neither a file nor a folder, and is not read; give the path of one')
    return Opened(reader_of(str(local)).open(str(local), dims, series))


def _check_choice(path: object, dims: object, series: object) -> None:
    """Refuse what cannot be a path, names of dimensions, or the number of an image."""
    faults: list[OmeZarrError] = []
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        faults.append(OmeZarrError(f'{path!r} is no path or URL; give one as text: open_image("path/to/image.tif")'))
    named = dims is None or (isinstance(dims, Sequence) and all(isinstance(dim, str) for dim in dims))
    if not named:
        faults.append(
            AxisError(f'dims={dims!r} are no names of dimensions; give them in the file\'s order: dims="zyx"')
        )
    if series is not None and (isinstance(series, bool) or not isinstance(series, Integral)):
        number = int(series) if isinstance(series, str) and series.strip().isdecimal() else 0
        faults.append(OmeZarrError(f"series={series!r} is no number of an image; give one, from 0 on: series={number}"))
    raise_all(faults, "the image cannot be opened")


def _refuse_url_of_file(url: str) -> None:
    """Refuse the URL of a file that is no store of Zarr."""
    path = url.partition("?")[0].partition("#")[0]
    if "::" not in url and FILE_NAMES.search(path):
        name = path.rpartition("/")[2]
        raise OmeZarrError(
            f'"{url}" is the URL of a file, and files are read from the disks of this machine, of URLs only Zarr; '
            f"fetch it first: {_fetching(url, name)}; then give its path: open_image({name!r}). "
            f"If it is a store of Zarr, end it so: open_image({url + '/'!r})"
        )


def _fetching(url: str, name: str) -> str:
    """Return the call that brings a file here."""
    scheme = url.partition("://")[0]
    if scheme in ("http", "https", "ftp"):
        return f"urllib.request.urlretrieve({url!r}, {name!r})"
    return f"fsspec.filesystem({scheme!r}).get({url!r}, {name!r})"


def _open_zarr(
    path: str,
    dims: str | Sequence[str] | None,
    series: int | None,
    storage_options: Mapping[str, Any] | None,
    *,
    labels: bool,
) -> Opened:
    if series not in (None, 0):
        raise one_image(path, series)
    options = None if storage_options is None else dict(storage_options)
    try:
        tree = open_tree(path, storage_options=options, cache=True, labels=labels, finest=True)
    except ArchiveError:
        raise
    except (NotOmeZarrError, StoreNotFoundError) as error:
        return Opened(*open_plain_zarr(path, dims, options, error, known=KNOWN_FILES))
    return Opened(levels(tree)[0], of_image=True, tree=tree).renamed(dims, path)
