"""Write an image as other programs read it: a picture (PNG), a TIFF for ImageJ, or an OME-TIFF with its levels."""

from __future__ import annotations

import errno
import itertools
import math
import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr import accessor  # noqa: F401 - registers the accessor
from xomezarr.channels import ACTIVE, COLOR, EXTRA, LABEL, WINDOW, called, with_colors
from xomezarr.coords import dequantify, describe, infer_axis_type
from xomezarr.errors import (
    FULL,
    AxisError,
    DtypeError,
    EmptyDimensionError,
    LevelError,
    MissingDependencyError,
    OmeZarrError,
    OmeZarrWarning,
    StoreExistsError,
    UnitError,
    warn,
)
from xomezarr.model import Channel
from xomezarr.omexml import as_text
from xomezarr.pictures import Looks, composed, looks_of, shown_dims, step
from xomezarr.progress import OnTile, progress_of
from xomezarr.source import file_behind
from xomezarr.spec import others
from xomezarr.store import groups_around, overlap
from xomezarr.suffixes import kind_of_file
from xomezarr.units import convert

__all__ = ["check_place", "export", "kind_of", "put"]

TILE = 512
"""Pixels along the sides of the tiles of an OME-TIFF: what viewers of whole slides ask for at once."""

AT_ONCE = 128 * 2**20
"""Bytes of pixels that are read at once: some planes of a stack, whose chunks hold several, or some rows of tiles."""

MOST_PIXELS = 2**27
"""Of a picture: few programs show more."""

IMAGEJ_DTYPES = ("uint8", "uint16", "float32")
IMAGEJ_BYTES = 2**32 - 2**20
"""ImageJ reads pixels in one piece, from a file whose offsets have 32 bits."""

OME_DTYPES = (
    *("int8", "int16", "int32", "uint8", "uint16", "uint32"),
    *("float32", "float64", "complex64", "complex128"),
)
"""Types of pixels in OME-XML."""

OF_IMAGES = ("multiscales", "omero", "image-label")
"""Attributes of a group that say what is written as pixel sizes and channels."""

METRES_PER_INCH = 0.0254

PNG_COUNT, PNG_ERROR = 2**31 - 1, 1e-3
"""A PNG counts pixels along a metre, in whole numbers up to this one; sizes that these miss by more are left out."""

IMAGEJ_UNITS = ("um", "mm", "m", "km")
"""Units that ImageJ is told pixel sizes in; the first counts in which it holds them."""

TIFF_COUNT, TIFF_ERROR = 2**32 - 1, 1e-6
"""A TIFF says how many pixels lie along a unit by a fraction of two numbers up to this one, which may be so wrong."""


def export(
    image: xr.DataArray | xr.DataTree,
    path: str | os.PathLike[str],
    *,
    level: int = 0,
    mode: str = "w-",
    progress: bool | OnTile | None = None,
) -> Path:
    """Write an image to a file that other programs read; its name says what kind.

    ============================ =====================================================================
    ``.png``                     channels added up in their colours; the plane that `plot` shows
    ``.tif``, ``.tiff``          a hyperstack of ImageJ: all pixels, uint8, uint16 or float32, below 4 GiB
    ``.ome.tif``, ``.ome.tiff``  OME-TIFF: all pixels, in tiles, of any size, with those coarser levels
                                 that have as many planes, which are all of an image without depth
    ============================ =====================================================================

    Pixel sizes are written with all of them, names and colours of channels with TIFFs, windows with those of ImageJ.
    What a TIFF has no place for is told in a warning: labels, where the first pixel lies and when, times that are not
    regular, channels that are not shown at first, attributes and further coordinates. OME-Zarr keeps all of it. Of a
    TIFF `AT_ONCE` bytes are read at once.

    Parameters
    ----------
    image
        An array, or a tree of levels.
    path
        Of the file.
    level
        The finest level that is written, of a tree.
    mode
        ``"w-"``: an error if the file exists; ``"w"``: replace it.
    progress
        True for a progress bar, or a callable that is told the bytes of each part written.

    Returns
    -------
    pathlib.Path
        The file, which appears whole or not at all.

    Raises
    ------
    StoreExistsError
        If something is there, or what is read is; or if the path leads into a store of Zarr.
    DtypeError
        If the file has no such pixels.
    LevelError
        If the image has no such level, or is too large for the file.
    OmeZarrError
        If the name says no kind of file that is known.
    MissingDependencyError
        If tifffile is not installed.

    Examples
    --------
    >>> import tempfile
    >>> da = xr.DataArray(np.eye(64, dtype="uint8"), dims=("y", "x"))
    >>> export(da, tempfile.mkdtemp() + "/eye.png").name
    'eye.png'
    """
    target = Path(path)
    kind = kind_of(target)
    check_place(target, mode)
    given = _given(image, level, kind)
    _check_not_read(target, given.levels)
    with (
        progress_of(progress, target)(sum(one.nbytes for one in given.levels)) as on_tile,
        put(target, mode) as partial,
    ):
        kind.write(partial, given, on_tile or (lambda nbytes: None))
    return target


def check_place(target: Path, mode: str) -> None:
    """Make sure that a file may be written at a path.

    Raises
    ------
    StoreExistsError
        If something is there, and `mode` is not ``"w"``; or if it lies in a store of Zarr.
    OmeZarrError
        If there is no folder for it, or the mode is not known.
    """
    if mode not in ("w-", "w"):
        raise OmeZarrError(f'mode {mode!r} is not known; give mode="w-" to create a file or mode="w" to replace one')
    if target.is_dir():
        raise StoreExistsError(f"{str(target)!r} is a folder; give the path of a file")
    if mode == "w-" and (target.exists() or target.is_symlink()):
        raise StoreExistsError(f'{str(target)!r} exists already; give another path, or mode="w" to replace it')
    if not target.absolute().parent.is_dir():
        raise OmeZarrError(f"there is no folder {str(target.absolute().parent)!r}; make it, or give another path")
    if store := groups_around(target.resolve()):
        raise StoreExistsError(f"{str(target)!r} lies in {str(store[0])!r}, which is Zarr; give a path beside it")


def _check_not_read(target: Path, levels: Iterable[xr.DataArray]) -> None:
    """Refuse to put a file in the place of the one that is read, of which it may hold less."""
    for level in levels:
        file = file_behind(level.variable._data)
        if file is not None and overlap(file.origin, target):
            raise StoreExistsError(f"{str(target)!r} is the file that is being read; give another path")


@contextmanager
def put(target: Path, mode: str) -> Iterator[Path]:
    """Yield where a file is to be written, and put it in its place when it is whole; of a failure nothing is left.

    Raises
    ------
    StoreExistsError
        If something has come there meanwhile, and `mode` is not ``"w"``.
    OSError
        If the disk is full.
    """
    from xomezarr import stage  # it derives a class from one of zarr's, which is loaded late

    partial = stage.beside(target, "partial")
    try:
        yield partial
        if mode == "w-":
            stage.create(partial, target)
        else:
            partial.replace(target)
    except OSError as error:
        # tifffile says how much was written, and not why that is all
        if error.errno in FULL or re.fullmatch(r"\d+ requested and \d+ written", str(error)):
            told = (
                "the disk is full, or files may not be so large; nothing is left of it: make room, or write elsewhere"
            )
            raise OSError(error.errno or errno.ENOSPC, told, str(target)) from error
        if str(error.filename) == str(partial):  # a name that the user has never heard of
            told = f"{error.strerror}; nothing can be written there, give another path"
            raise OSError(error.errno, told, str(target)) from error
        raise
    finally:
        with suppress(OSError):
            partial.unlink()


@dataclass(frozen=True, slots=True)
class _Given:
    """What is exported.

    Parameters
    ----------
    levels
        Those that are written, finest first.
    looks
        As it is shown.
    labels
        Names of the labels that an image has.
    attrs
        Names of its attributes, and of those of its tree.
    """

    levels: Sequence[xr.DataArray]
    looks: Looks
    labels: Sequence[str]
    attrs: Sequence[str]

    @property
    def channels(self) -> Sequence[Channel]:
        """What is known of the channels; labels have none."""
        return () if isinstance(self.looks, Mapping) else self.looks


type _Write = Callable[[Path, _Given, OnTile], None]
type _Levels = Callable[[Sequence[xr.DataArray]], Sequence[xr.DataArray]]


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of file: how it is written, and which of some levels go into it."""

    write: _Write
    levels: _Levels


def kind_of(path: Path) -> _Kind:
    """Return what kind of file it is to be, by its name.

    Raises
    ------
    OmeZarrError
        If that says none that is known.
    """
    name = path.name.lower()
    for suffix, kind in _KINDS.items():
        if name.endswith(suffix) and name != suffix:
            return kind
    if kind_of_file(name) in PHOTOS:
        picture = str(path.with_suffix(".png"))
        raise OmeZarrError.mended(
            f"{str(path)!r} would be {kind_of_file(name)}, which is not written, and a PNG is the nearest",
            python=f"export(image, {picture!r})",
            command=f"give {shlex.quote(picture)}",
        )
    raise OmeZarrError(
        f"{str(path)!r} says no kind of file that is known; give one that ends in {', '.join(_KINDS)}, or write "
        "OME-Zarr: to_zarr(…)"
    )


PHOTOS = ("a JPEG", "a GIF", "a WebP", "a BMP")
"""Pictures, of which a PNG is the nearest that is written."""


def _given(image: xr.DataArray | xr.DataTree, level: int, kind: _Kind) -> _Given:
    """Return what goes into a file, from some level on."""
    seen: Any = image.omezarr
    of_tree = isinstance(image, xr.DataTree)
    found = list(seen.levels) if isinstance(image, xr.DataTree) else [dequantify(image)]
    if not -len(found) <= level < len(found):
        raise LevelError(f"level={level} is none of {len(found)} levels; give one from 0 to {len(found) - 1}")
    if none := [str(dim) for dim, size in found[0].sizes.items() if not size]:
        raise EmptyDimensionError(f"dimension {none[0]!r} has no pixels, and files have some; select others: sel(…)")
    taken = found[level:] if level >= 0 else found[len(found) + level :]
    of_store = others({str(key): value for key, value in image.attrs.items()}, *OF_IMAGES) if of_tree else {}
    attrs = dict.fromkeys(map(str, (*of_store, *taken[0].attrs)))
    looks = looks_of(image) if isinstance(image, xr.DataTree) else seen.channels
    return _Given(kind.levels(taken), looks, list(seen.labels) if of_tree else [], list(attrs))


# --- pictures --------------------------------------------------------------------------------------------------------


def _write_png(path: Path, given: _Given, on_tile: OnTile) -> None:
    from PIL import Image

    finest = given.levels[0]
    height, width = (finest.sizes[dim] for dim in shown_dims(finest))
    if height * width > MOST_PIXELS:
        raise LevelError(
            f"a picture of {height} × {width} pixels is more than most programs show; give a coarser level=…, or "
            'write an OME-TIFF: "image.ome.tif"'
        )
    rows, columns = (_spacing(finest, dim, "meter") for dim in shown_dims(finest))
    resolution = {}
    sides = zip(("rows", "columns"), shown_dims(finest), strict=True)
    lost = [f"that {what} lie along {dim!r}" for what, dim in _renamed(sides)]
    if rows and columns:
        if _is_counted(rows) and _is_counted(columns):
            resolution = {"dpi": (METRES_PER_INCH / columns, METRES_PER_INCH / rows)}
        else:
            lost.append(f"how large pixels of {rows:g} m × {columns:g} m are, as it counts those along a metre")
    if lost:
        warn(f"PNG does not say {'; '.join(lost)}. A TIFF does, and OME-Zarr: to_zarr(…)", OmeZarrWarning)
    with path.open("wb") as file:
        Image.fromarray(composed(finest, given.looks)[0]).save(file, "PNG", **resolution)
    on_tile(finest.nbytes)


def _is_counted(metres: float) -> bool:
    """Whether a PNG holds how large pixels are: so many along a metre.

    >>> [_is_counted(metres) for metres in (1e-10, 0.25e-6, 0.7, 10.0)]
    [False, True, False, False]
    """
    count = round(1 / metres)
    return 0 < count <= PNG_COUNT and abs(count * metres - 1) <= PNG_ERROR


def _spacing(image: xr.DataArray, dim: str, unit: str) -> float | None:
    """Return how far pixel centres are apart along a dimension, in a unit; None where that is not known."""
    if dim not in image.coords:
        return None
    try:
        (found,) = (one for one in describe(_alone(image, dim)) if one.name == dim)
        return found.grid.scale * convert(found.axis.unit, unit) if found.axis.unit else None
    except (OmeZarrError, UnitError):
        return None


def _alone(image: xr.DataArray, dim: str) -> xr.DataArray:
    """Return an image that is regular along all dimensions but one, where it is as it is."""
    rows, columns = shown_dims(image)
    kept = {dim, rows, columns}
    flat = image.isel({other: 0 for other in image.dims if other not in kept}, drop=True)
    flat = flat.drop_vars([other for other in kept - {dim} if other in flat.coords])
    return flat.isel({dim: slice(None, None, -1)}) if _runs_backward(flat.coords[dim]) else flat


def _runs_backward(coordinate: xr.DataArray) -> bool:
    """Whether a coordinate falls."""
    return coordinate.ndim == 1 and coordinate.size > 1 and bool(coordinate.values[-1] < coordinate.values[0])


# --- TIFF ------------------------------------------------------------------------------------------------------------

ORDERS = {"time": "T", "channel": "C", "space": "Z"}
"""Letters of tifffile for the dimensions that a picture does not show, by the type of their axis."""


@dataclass(frozen=True, slots=True)
class _Stack:
    """An image as TIFF has it: planes, in the order of three other dimensions.

    Parameters
    ----------
    image
        The image.
    dims
        Its dimensions by tifffile's letters; None for one that it does not have.
    """

    image: xr.DataArray
    dims: Mapping[str, str | None]

    @classmethod
    def of(cls, image: xr.DataArray, order: str) -> _Stack:
        """See an image as a stack of planes.

        Parameters
        ----------
        order
            Letters of the dimensions that come before those of a plane, such as ``"TZC"``.

        Raises
        ------
        AxisError
            If it has a dimension for which TIFF has no letter.
        """
        rows, columns = shown_dims(image)
        dims: dict[str, str | None] = dict.fromkeys(order)
        for dim in map(str, image.dims):
            if dim in (rows, columns):
                continue
            letter = ORDERS.get(infer_axis_type(image, dim, {}) or "channel", "C")
            if dims[letter] is not None:
                raise AxisError(
                    f"TIFF has no place for {dim!r} beside {dims[letter]!r}; select one: isel({dim}=0, drop=True)"
                )
            dims[letter] = dim
        return cls(image, dims | {"Y": rows, "X": columns})

    @property
    def axes(self) -> str:
        """The letters."""
        return "".join(self.dims)

    @property
    def shape(self) -> tuple[int, ...]:
        """By the letters; 1 for dimensions that the image does not have."""
        return tuple(1 if dim is None else self.image.sizes[dim] for dim in self.dims.values())

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels, in native byte order."""
        return np.dtype(self.image.dtype).newbyteorder("=")

    def bands(self, on_tile: OnTile, rows: int = 1) -> Iterator[NDArray[Any]]:
        """Yield one plane after the other, those that are larger than `AT_ONCE` in parts of a multiple of some rows."""
        *above, height, width = self.shape
        tall = max(AT_ONCE // (rows * width * self.dtype.itemsize), 1) * rows
        for block in self._blocks() if tall >= height else self._parts(above, tall):
            for one in block:
                # told before: who takes the last one asks for no other
                on_tile(one.nbytes)
                yield np.ascontiguousarray(one)

    def tiles(self, on_tile: OnTile) -> Iterator[NDArray[Any]]:
        """Yield the tiles of one plane after the other; those that the edge cuts are filled with zeros."""
        for band in self.bands(on_tile, TILE):
            yield from _tiles_of(band)

    def _parts(self, above: Sequence[int], tall: int) -> Iterator[NDArray[Any]]:
        """Read so many rows at once, of one plane after the other."""
        height = self.shape[-2]
        for place, top in itertools.product(itertools.product(*map(range, above)), range(0, height, tall)):
            yield self._read([slice(n, n + 1) for n in place], slice(top, min(top + tall, height)))

    def _blocks(self) -> Iterator[NDArray[Any]]:
        """Read as many planes at once as `AT_ONCE` allows, in their order, as chunks hold several."""
        *above, height, width = self.shape
        counts = at_once(above, AT_ONCE // max(height * width * self.dtype.itemsize, 1))
        for starts in itertools.product(*(range(0, n, count) for n, count in zip(above, counts, strict=True))):
            parts = zip(starts, counts, above, strict=True)
            yield self._read([slice(start, min(start + count, n)) for start, count, n in parts], slice(0, height))

    def _read(self, place: Sequence[slice], rows: slice) -> NDArray[Any]:
        """Read a block of planes, shape (planes, rows, columns)."""
        where = dict(zip(self.dims, [*place, rows, slice(None)], strict=True))
        named = {letter: dim for letter, dim in self.dims.items() if dim is not None}
        selected = {dim: where[letter] for letter, dim in named.items()}
        read: NDArray[Any] = self.image.isel(selected).transpose(*named.values()).values
        return read.astype(self.dtype, copy=False).reshape((-1, *read.shape[-2:]))


def at_once(sizes: Sequence[int], most: int) -> list[int]:
    """Return how many indices are taken at once along each axis, of at most so many places, and at least one.

    >>> at_once([5, 2, 10], 25), at_once([5, 2, 10], 4), at_once([5, 2, 10], 0)
    ([1, 2, 10], [1, 1, 4], [1, 1, 1])
    """
    steps: list[int] = []
    for size in reversed(sizes):
        steps.insert(0, min(size, max(most, 1)))
        most = most // size
    return steps


def _tiles_of(band: NDArray[Any]) -> Iterator[NDArray[Any]]:
    height, width = band.shape
    for top, left in itertools.product(range(0, height, TILE), range(0, width, TILE)):
        part = band[top : top + TILE, left : left + TILE]
        if part.shape == (TILE, TILE):
            yield np.ascontiguousarray(part)
        else:
            tile = np.zeros((TILE, TILE), band.dtype)
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile


SIZES: Mapping[str, str] = {"X": "um", "Y": "um", "Z": "um", "T": "s"}
"""Units in which pixel sizes are written, by tifffile's letters."""


def _sizes(stack: _Stack) -> dict[str, float]:
    """Return how far pixels are apart, by tifffile's letters, where that is known and not 0."""
    found = {}
    for letter, unit in SIZES.items():
        dim = stack.dims[letter]
        if dim is not None and stack.image.sizes[dim]:
            found[letter] = _spacing(stack.image, dim, unit)
    return {letter: size for letter, size in found.items() if size}


@dataclass(frozen=True, slots=True)
class _OfImageJ:
    """Pixel sizes as ImageJ has them: one unit for x, y and z, and none for some of them alone.

    Parameters
    ----------
    unit
        Of x, y and z.
    sizes
        By tifffile's letters; time is in seconds.
    resolution
        How many pixels lie along a unit, of x and of y, each as two numbers of a fraction; None where that is not said.
    why
        Others than those of time are left out, if they are.
    """

    unit: str
    sizes: Mapping[str, float]
    resolution: tuple[tuple[int, int], tuple[int, int]] | None
    why: str

    @classmethod
    def of(cls, sizes: Mapping[str, float]) -> _OfImageJ:
        """Choose the unit in which sizes, which are in micrometres and seconds, are held."""
        time = {letter: size for letter, size in sizes.items() if letter == "T"}
        if not sizes.keys() >= {"X", "Y"}:
            return cls("um", time, None, "as rows and columns do not both say so")
        for unit in IMAGEJ_UNITS:
            factor = convert(SIZES["X"], unit)
            found = {letter: size * factor for letter, size in sizes.items() if letter != "T"}
            across, down = (_count(found[letter]) for letter in "XY")
            if across is not None and down is not None:
                return cls(unit, found | time, (across, down), "")
        return cls("um", time, None, "which its fractions do not hold")


def _count(size: float) -> tuple[int, int] | None:
    """Return how many pixels of a size lie along its unit, as a fraction that a TIFF holds; None where it holds none.

    >>> _count(0.25), _count(1e-12), _count(5e9)
    ((4, 1), None, None)
    """
    below = min(size, 1 / size)
    found = Fraction(below).limit_denominator(TIFF_COUNT)
    if not abs(float(found) / below - 1) <= TIFF_ERROR:
        return None
    return (found.denominator, found.numerator) if size < 1 else (found.numerator, found.denominator)


def _tell(
    kind: str,
    stack: _Stack,
    given: _Given,
    known: Mapping[str, float],
    sizes: Mapping[str, float] | None = None,
    *,
    why: str = "",
    besides: Sequence[str] = (),
) -> None:
    """Warn of what a kind of file has no place for, but for how an image is shown.

    Parameters
    ----------
    kind
        Of file.
    stack, given
        What is written.
    known
        Pixel sizes that are known.
    sizes
        Those of them that the file has; None for all.
    why
        It has not the others.
    besides
        What else it does not say.
    """
    places = _lost_places(stack, known, known if sizes is None else sizes, why)
    lost = [*besides, *places, *_lost_besides(given)]
    if lost:
        warn(f"{kind} does not say {'; '.join(lost)}. OME-Zarr keeps all of it: to_zarr(…)", OmeZarrWarning)


def _renamed(dims: Iterable[tuple[str, str | None]]) -> Iterator[tuple[str, str]]:
    """Yield what a file calls dimensions, and they themselves, if their names begin otherwise.

    >>> [*_renamed([("T", "time"), ("C", "angle"), ("rows", "y"), ("columns", "z")])]
    [('C', 'angle'), ('columns', 'z')]
    """
    letters = {"rows": "Y", "columns": "X"}
    yield from ((what, dim) for what, dim in dims if dim is not None and dim[:1].upper() != letters.get(what, what))


def _lost_places(stack: _Stack, known: Mapping[str, float], sizes: Mapping[str, float], why: str) -> Iterator[str]:
    """Tell what is not written of where pixels lie, and when: of the sizes that are known, some are."""
    image = stack.image
    yield from (f"that its {letter} is {dim!r}" for letter, dim in _renamed(stack.dims.items()))
    for letter, dim in stack.dims.items():
        if letter not in SIZES or dim is None or dim not in image.coords or not image.sizes[dim]:
            continue
        coordinate = image.coords[dim]
        if letter not in known:
            yield f"the coordinates of {dim!r}, which are not regular, or have no unit that it knows"
        elif letter not in sizes:
            yield f"how far pixels are apart along {dim!r}, {why}"
        elif coordinate.dtype.kind in "mM":
            yield f"when it begins ({dim} = {coordinate.values[0]})"
        elif coordinate.dtype.kind in "iuf":
            first, last = (float(value) for value in coordinate.values[[0, -1]])
            if last < first:
                yield f"that {dim!r} runs backward ({first:g} to {last:g})"
            # files differ on what point of the first pixel lies at 0
            elif abs(first) > abs(step(coordinate)) / 2:
                what = "when it begins" if letter == "T" else "where the first pixel lies"
                yield f"{what} ({dim} = {first:g})"


def _lost_besides(given: _Given) -> Iterator[str]:
    """Tell what else is not written."""
    image = given.levels[0]
    if given.labels:
        yield f"what the labels are ({_quoted(given.labels)})"
    if given.attrs:
        yield f"the attributes {_quoted(given.attrs)}"
    if hidden := [called(channel, n) for n, channel in enumerate(given.channels) if channel.active is False]:
        yield f"which channels are not shown at first ({_quoted(hidden)})"
    of_channels = {LABEL, COLOR, ACTIVE, EXTRA, *WINDOW.values()}
    if others := [str(name) for name in image.coords if name not in image.dims and name not in of_channels]:
        yield f"the coordinates {_quoted(others)}"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def _writes_tiff() -> Any:
    try:
        import tifffile
    except ImportError:
        raise MissingDependencyError('TIFF is written by tifffile; install it: pip install "xomezarr[io]"') from None
    return tifffile


def _with_as_many_planes(levels: Sequence[xr.DataArray]) -> Sequence[xr.DataArray]:
    """Return the levels that have as many planes as the finest, of which TIFF has smaller copies, plane by plane."""
    planes = [_Stack.of(one, "TCZ").shape[:-2] for one in levels]
    return [one for one, count in zip(levels, planes, strict=True) if count == planes[0]]


def _write_ome_tiff(path: Path, given: _Given, on_tile: OnTile) -> None:
    """Write levels of as many planes."""
    tifffile = _writes_tiff()
    stacks = [_Stack.of(one, "TCZ") for one in given.levels]
    finest = stacks[0]
    if finest.dtype.name not in OME_DTYPES:
        raise DtypeError(
            f"OME-TIFF has no pixels of dtype {finest.dtype}, but {', '.join(OME_DTYPES)}; convert them: astype(…)"
        )
    sizes = _sizes(finest)
    metadata, changed = _ome_metadata(finest, given.channels, sizes)
    without = [f"the characters of {_quoted(changed)} that XML cannot hold"] if changed else []
    _tell("OME-TIFF", finest, given, sizes, besides=without)
    options = {"tile": (TILE, TILE), "compression": "zlib", "photometric": "minisblack"}
    whole = math.prod(finest.shape) * finest.dtype.itemsize
    with tifffile.TiffWriter(path, ome=True, bigtiff=2 * whole > IMAGEJ_BYTES) as file:
        for number, stack in enumerate(stacks):
            first = {"metadata": metadata, "subifds": len(stacks) - 1}
            file.write(
                stack.tiles(on_tile),
                shape=stack.shape,
                dtype=stack.dtype,
                **options,
                **(first if not number else {"subfiletype": 1, "metadata": None}),
            )


def _ome_metadata(
    stack: _Stack, channels: Sequence[Channel], sizes: Mapping[str, float]
) -> tuple[dict[str, Any], Sequence[str]]:
    """Return what tifffile writes as OME-XML, and the names of which that holds not all characters."""
    found: dict[str, Any] = {"axes": stack.axes}
    names = [] if stack.image.name is None else [str(stack.image.name)]
    if names:
        found["Name"] = _in_attribute(names[0])
    for letter in "XYZ":
        if letter in sizes:
            found |= {f"PhysicalSize{letter}": sizes[letter], f"PhysicalSize{letter}Unit": "µm"}
    if "T" in sizes:
        found |= {"TimeIncrement": sizes["T"], "TimeIncrementUnit": "s"}
    if channels and len(channels) == stack.shape[stack.axes.index("C")]:
        labels = [called(channel, n) for n, channel in enumerate(channels)]
        names += labels
        found["Channel"] = {"Name": [_in_attribute(label) for label in labels]}
        if any(channel.color for channel in channels):
            found["Channel"]["Color"] = [_ome_color(str(channel.color)) for channel in with_colors(channels)]
    return found, [name for name in names if _in_attribute(name) != name]


def _in_attribute(text: str) -> str:
    r"""Return a text as readers find it in an attribute of XML, where tabs and ends of lines are blanks.

    >>> _in_attribute("GFP\n\x1b")
    'GFP �'
    """
    return re.sub(r"[\t\n\r]", " ", as_text(text))


def _ome_color(color: str) -> int:
    """Return a colour as OME-XML writes it: red, green, blue and opacity as a signed number of 32 bits.

    >>> _ome_color("00FF00")
    16711935
    """
    return int.from_bytes([*bytes.fromhex(color[:6]), 255], "big", signed=True)


def _finest(levels: Sequence[xr.DataArray]) -> Sequence[xr.DataArray]:
    return levels[:1]


def _write_tiff(path: Path, given: _Given, on_tile: OnTile) -> None:
    """Write a level as a hyperstack of ImageJ."""
    tifffile = _writes_tiff()
    stack, channels = _Stack.of(given.levels[0], "TZC"), given.channels
    if stack.dtype.name not in IMAGEJ_DTYPES:
        raise DtypeError(
            f"ImageJ has no pixels of dtype {stack.dtype}, but {', '.join(IMAGEJ_DTYPES)}; convert them: astype(…), or "
            'write an OME-TIFF: "image.ome.tif"'
        )
    if (nbytes := math.prod(stack.shape) * stack.dtype.itemsize) > IMAGEJ_BYTES:
        raise LevelError(
            f"ImageJ reads no TIFF of {nbytes} bytes, which is more than 4 GiB; give a coarser level=…, or write an "
            'OME-TIFF: "image.ome.tif"'
        )
    known = _sizes(stack)
    said = _OfImageJ.of(known)
    sizes = said.sizes
    windows = [called(channel, n) for n, channel in enumerate(channels) if channel.window is not None]
    partly = [f"which values of {_quoted(windows)} are shown, as not all channels say so"]
    besides = partly if 0 < len(windows) < len(channels) else []
    _tell("ImageJ's TIFF", stack, given, known, sizes, why=said.why, besides=besides)
    # samples, of which a pixel has one, are named: left out, tifffile takes the columns of a narrow image for them
    metadata: dict[str, Any] = {"axes": f"{stack.axes}S"}
    if said.resolution is not None:
        metadata["unit"] = said.unit
    if "Z" in sizes:
        metadata["spacing"] = sizes["Z"]
    if "T" in sizes:
        metadata["finterval"] = sizes["T"]
    if len(channels) == stack.shape[stack.axes.index("C")] and channels:
        metadata |= _imagej_channels(channels, stack)
    # the file with room for the pixels, which are put there part by part: given to tifffile, a plane is there twice
    tifffile.imwrite(
        path,
        shape=(*stack.shape, 1),
        dtype=stack.dtype,
        byteorder=">",
        imagej=True,
        photometric="minisblack",
        metadata=metadata,
        resolution=said.resolution,
    )
    with tifffile.TiffFile(path) as made:
        start = made.pages[0].dataoffsets[0]
    with path.open("r+b") as file:
        file.seek(start)
        for band in stack.bands(on_tile):
            file.write(band.astype(stack.dtype.newbyteorder(">"), copy=False).data)


def _imagej_channels(channels: Sequence[Channel], stack: _Stack) -> dict[str, Any]:
    """Return the names of channels as labels of slices, their colours as lookup tables, and their windows.

    Where some have a name or a colour, the others are given one, as in OME-Zarr.
    """
    found: dict[str, Any] = {}
    if any(channel.label for channel in channels):
        others = math.prod(stack.shape[: stack.axes.index("C")])
        found["Labels"] = [called(channel, n) for n, channel in enumerate(channels)] * others
    if any(channel.color for channel in channels):
        ramp = np.arange(256)
        colors = [str(channel.color) for channel in with_colors(channels)]
        tables = [[ramp * part // 255 for part in bytes.fromhex(color)] for color in colors]
        found |= {"LUTs": [np.array(table, np.uint8) for table in tables], "mode": "composite"}
    windows = [channel.window for channel in channels if channel.window is not None]
    if len(windows) == len(channels):
        found["Ranges"] = tuple(end for window in windows for end in (window.start, window.end))
    return found


_KINDS: Mapping[str, _Kind] = {
    ".ome.tif": _Kind(_write_ome_tiff, _with_as_many_planes),
    ".ome.tiff": _Kind(_write_ome_tiff, _with_as_many_planes),
    ".tif": _Kind(_write_tiff, _finest),
    ".tiff": _Kind(_write_tiff, _finest),
    ".png": _Kind(_write_png, _finest),
}
"""By how names end; the first that fits counts."""
