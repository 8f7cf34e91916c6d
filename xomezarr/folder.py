"""A folder of image files whose names say where on a plate each belongs, opened as the images of a plate.

`scan` looks at names alone; `open_images` opens what it found.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import xarray as xr

from xomezarr.channels import LABEL, assign_channels, channel_coordinates, channel_dim
from xomezarr.coords import assign_grid, infer_axis_type, states_spacing
from xomezarr.errors import (
    ChannelError,
    CollectionWarning,
    CoordinateError,
    OmeZarrError,
    PatternError,
    StoreNotFoundError,
    UnitError,
    collecting,
    first_of_each,
    raise_all,
    warn,
)
from xomezarr.grid import REGULAR_WITHIN
from xomezarr.model import Channel
from xomezarr.naming import Pattern, Reading
from xomezarr.readers import open_image
from xomezarr.units import same_unit

__all__ = ["Folder", "Found", "Pattern", "PlateImage", "open_images", "scan"]


STACKED = ("t", "channel", "z")
"""Fields whose files become one image, in the order of its dimensions."""

DIMENSIONS: Mapping[str, str] = {"t": "t", "channel": "c", "z": "z"}
"""The dimension that each is stacked along."""

APART = ("field", "t", "acquisition")
"""Fields that may tell files apart of which each is an image with planes and channels."""

LARGEST_BLOCK = 2**25
"""Bytes of a file that are read at once: a plane of 4096 × 4096 pixels of 16 bits."""

Place = tuple[str, str, str]
"""The files of an image by ``t``, ``channel`` and ``z``, as they are spelled in the names; empty where none is said."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file whose name matches.

    Parameters
    ----------
    path
        Of the file.
    reading
        Of its name, below the folder.
    """

    path: Path
    reading: Reading

    @property
    def name(self) -> str:
        """Its name below the folder."""
        return self.reading.name

    def spelled(self, field: str) -> str:
        """Return what stands in the name for a field; empty where the pattern does not have it."""
        return self.reading.spelled(field)


@dataclass(frozen=True, slots=True)
class PlateImage:
    """The files of an image.

    Parameters
    ----------
    row, column, field
        Where on the plate it belongs.
    acquisition
        The run that took it; None where the names do not say.
    files
        By what is stacked of them.
    """

    row: str
    column: str
    field: str
    acquisition: int | None
    files: Mapping[Place, Found]

    def __str__(self) -> str:
        return f"well {self.row}{self.column}, field {self.field}"


@dataclass(frozen=True, slots=True)
class Folder:
    """The images of a plate as the names of files tell them.

    Parameters
    ----------
    path
        Of the folder.
    pattern
        By which they are named.
    images
        By row, column and field; in order.
    stacked
        What files are stacked along, by field of the pattern: its values in order.
    """

    path: Path
    pattern: Pattern
    images: tuple[PlateImage, ...]
    stacked: Mapping[str, tuple[str, ...]]

    @property
    def rows(self) -> tuple[str, ...]:
        """Rows that have wells."""
        return _in_order({image.row for image in self.images})

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that have wells."""
        return _in_order({image.column for image in self.images})

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields that some well has."""
        return _in_order({image.field for image in self.images})

    def to_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "folder": str(self.path),
            "rows": list(self.rows),
            "columns": list(self.columns),
            "wells": len({(image.row, image.column) for image in self.images}),
            "fields": list(self.fields),
            "acquisitions": sorted({image.acquisition for image in self.images if image.acquisition is not None}),
            **{f"{name}s" if name == "channel" else name: list(values) for name, values in self.stacked.items()},
            "images": len(self.images),
            "files": sum(len(image.files) for image in self.images),
        }

    def __str__(self) -> str:
        said = self.to_dict()
        rows, columns = _counted(len(said["rows"]), "row"), _counted(len(said["columns"]), "column")
        files, images = _counted(said["files"], "file"), _counted(said["images"], "image")
        lines = [
            f"{self.path}: {files} {'makes' if said['files'] == 1 else 'make'} {images} of a plate of {rows} × "
            f"{columns}, {_counted(said['wells'], 'well')} with images",
            f"rows: {', '.join(said['rows'])}",
            f"columns: {', '.join(said['columns'])}",
            f"fields: {', '.join(said['fields'])}",
        ]
        if said["acquisitions"]:
            lines.append(f"acquisitions: {', '.join(map(str, said['acquisitions']))}")
        for name, values in self.stacked.items():
            lines.append(f"{'channels' if name == 'channel' else name}: {', '.join(values)}")
        return "\n".join(lines)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


# -- names -------------------------------------------------------------------------------------------------


def scan(folder: str | os.PathLike[str], pattern: str) -> Folder:
    """Find the images of a plate in a folder by the names of its files; none is opened.

    Parameters
    ----------
    folder
        With the files; where the pattern holds a ``/``, they lie in folders below it.
    pattern
        How they are named below the folder: ``{row}`` and ``{column}``, or both as ``{well}``; ``{field}``,
        ``{channel}``, ``{z}``, ``{t}`` and ``{acquisition}`` as far as they are said; ``{}`` for what does not matter.
        ``{column:2}`` is as many characters wide, which tells it from digits beside it; ``{}`` takes no digits from
        a number beside it. Zeros before numbers are left out. A name that can be read in two ways is an error.

    Raises
    ------
    PatternError
        If the pattern cannot be used, no file is named so, or one can be read in two ways.
    StoreNotFoundError
        If there is no such folder.
    OmeZarrError
        If files are missing among those that make an image, or several have the same place.

    Warns
    -----
    CollectionWarning
        If there are files that are named otherwise.
    """
    read = Pattern.of(pattern)
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise StoreNotFoundError(f'there is no folder "{place}"; give the one that holds the images')
    found: list[Found] = []
    others: list[str] = []
    for path in _files(place, below="/" in pattern):
        name = path.relative_to(place).as_posix()
        reading = read.read(name)
        if reading is None:
            others.append(name)
        else:
            found.append(Found(path, reading))
    if not found:
        seen = f"{len(others)} files, the first of them {others[0]!r}" if others else "no files"
        ending, other = Path(pattern).suffix, Path(others[0] if others else "").suffix
        if other != ending and other.lower() == ending.lower():
            seen += f", and {other} is not {ending}"
        raise PatternError(f'no file in "{place}" is named {pattern!r}; there are {seen}: give a pattern that matches')
    if others:
        warn(
            f'{len(others)} of {len(others) + len(found)} files in "{place}" are not named {pattern!r} and are left '
            f"out, the first of them {others[0]!r}",
            CollectionWarning,
        )
    return _sorted(place, read, found)


def _files(folder: Path, *, below: bool) -> Iterator[Path]:
    """Yield the files in a folder in order, hidden ones aside; with those in the folders below it, if asked."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if below:
                yield from _files(path, below=True)
        else:
            yield path


def _sorted(place: Path, pattern: Pattern, found: Sequence[Found]) -> Folder:
    """Put files together that make an image, and make sure that each image has all of them."""
    faults: list[OmeZarrError] = []
    grouped: dict[tuple[str, str, str, int | None], dict[Place, Found]] = {}
    for file in found:
        row, column = _well(file)
        run = int(file.spelled("acquisition")) if "acquisition" in pattern.fields else None
        files = grouped.setdefault((row, column, _plain(file.spelled("field")) or "0", run), {})
        place_of = _plain(file.spelled("t")), file.spelled("channel"), _plain(file.spelled("z"))
        if (other := files.setdefault(place_of, file)) is not file:
            faults.append(
                OmeZarrError(
                    f'"{other.path.relative_to(place)}" and "{file.path.relative_to(place)}" have the same place on '
                    "the plate; say in the pattern what sets them apart"
                )
            )
    raise_all(faults[:1], "the files do not make a plate")
    stacked = {
        field: _values(field, {key[index] for files in grouped.values() for key in files})
        for index, field in enumerate(STACKED)
        if field in pattern.fields
    }
    # runs that number their fields alike: each field of a well has a name of its own
    alike = len({(row, column, field) for row, column, field, _ in grouped}) < len(grouped)
    images = tuple(
        PlateImage(row, column, f"a{run}f{field}" if alike else field, run, files)
        for (row, column, field, run), files in grouped.items()
    )
    images = tuple(
        sorted(images, key=lambda image: [_natural(part) for part in (image.row, image.column, image.field)])
    )
    _check_whole(images, stacked)
    return Folder(place, pattern, images, stacked)


def _well(file: Found) -> tuple[str, str]:
    """Return the names of a row and a column.

    >>> _well(Found(Path("b"), Pattern.of("{well}.tif").read("AA07.tif")))
    ('AA', '7')
    """
    if well := file.spelled("well"):
        row = well.rstrip("0123456789")
        return row, _plain(well.removeprefix(row))
    return _plain(file.spelled("row")), _plain(file.spelled("column"))


def _plain(text: str) -> str:
    """Return a number without the zeros before it, and any other text as it is."""
    return str(int(text)) if text.isdecimal() else text


def _natural(text: str) -> tuple[int, list[tuple[int, str]], str]:
    """Return the key by which names sort as people do: numbers by value, rows A to Z before AA.

    >>> sorted(["AA", "B"], key=_natural), sorted(["day 10", "day 9"], key=_natural)
    (['B', 'AA'], ['day 9', 'day 10'])
    """
    parts = [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in re.findall(r"\d+|\D+", text)]
    return len(text) if text.isalpha() and len(text) <= 2 else 0, parts, text


def _in_order(values: set[str]) -> tuple[str, ...]:
    return tuple(sorted(values, key=_natural))


def _values(field: str, found: set[str]) -> tuple[str, ...]:
    """Return the values of what files are stacked along: planes and times are evenly spaced, whether found or not."""
    if field == "channel":
        return _in_order(found)
    numbers = sorted(map(int, found))
    step = math.gcd(*(later - earlier for earlier, later in pairwise(numbers))) or 1
    return tuple(map(str, range(numbers[0], numbers[-1] + 1, step)))


def _check_whole(images: Sequence[PlateImage], stacked: Mapping[str, tuple[str, ...]]) -> None:
    """Make sure that all images have the same channels, planes and times."""
    wanted = list(product(*(stacked.get(field, ("",)) for field in STACKED)))
    spelled = {
        (field, key[index]): file.spelled(field)
        for image in images
        for key, file in image.files.items()
        for index, field in enumerate(STACKED)
    }
    missing = [
        (image, key) for image in images if len(image.files) < len(wanted) for key in wanted if key not in image.files
    ]
    if not missing:
        return
    image, key = missing[0]
    beside = next(iter(image.files.values()))
    said = {
        field: spelled.get((field, value), value.zfill(len(beside.spelled(field))))
        for field, value in zip(STACKED, key, strict=True)
        if field in stacked
    }
    of = ", ".join(f"{field} {value}" for field, value in said.items())
    others = f", and {len(missing) - 1} more are" if len(missing) > 1 else " is"
    raise OmeZarrError(
        f'"{beside.reading.renamed(said)}" ({image}, {of}){others} missing, and images have one file for each of '
        f"{' × '.join(f'{len(values)} {field}' for field, values in stacked.items())}; put in what is missing, or take "
        "out what others have more"
    )


# -- images ------------------------------------------------------------------------------------------------


def open_images(
    folder: Folder,
    *,
    dims: str | Sequence[str] | None = None,
    scale: Mapping[str, float] | None = None,
    units: Mapping[str, str] | str | None = None,
    channels: Sequence[Channel | Mapping[str, Any] | str] | None = None,
) -> dict[tuple[str, str], dict[str, xr.DataArray]]:
    """Open the images that were found, lazily: of each file the metadata are read.

    Files of one image are stacked along ``t``, ``c`` and ``z``; its channels are called as the names say.

    Parameters
    ----------
    folder
        What `scan` has found.
    dims
        Names of the dimensions of each file, as `open_image` takes them.
    scale, units
        Pixel sizes and units that are to count instead of the files'; see `assign_grid`.
    channels
        Names and colours that are to count instead of those in the names; see `assign_channels`.

    Returns
    -------
    dict
        By row and column, then by field: arrays, with the scalar coordinate ``acquisition`` where the names say it.

    Raises
    ------
    OmeZarrError
        If a file cannot be opened, or its shape or dtype is another than that of others of its image; told together.
    CoordinateError, UnitError, ChannelError
        If the files of an image say that it has other pixel sizes, units or channels, and none is given.

    Warns
    -----
    CollectionWarning
        If a name of `channels` is there twice.
    """
    faults: list[OmeZarrError] = []
    wells: dict[tuple[str, str], dict[str, xr.DataArray]] = {}
    asked = _Asked(scale, units, channels)
    asked.tell()
    for image in folder.images:
        with collecting(faults):
            array = asked.of(_stack(image, folder, dims, asked))
            if image.acquisition is not None:
                array = array.assign_coords(acquisition=image.acquisition)
            wells.setdefault((image.row, image.column), {})[image.field] = array
    raise_all(first_of_each(faults), "the files cannot be put on a plate")
    return wells


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to count instead of what the files say; see `open_images`."""

    scale: Mapping[str, float] | None
    units: Mapping[str, str] | str | None
    channels: Sequence[Channel | Mapping[str, Any] | str] | None

    def of(self, array: xr.DataArray) -> xr.DataArray:
        """Return an image of which it is said."""
        if self.scale or self.units:
            array = assign_grid(array, scale=self.scale, units=self.units)
        return assign_channels(array, self.channels) if self.channels else array

    def tell(self) -> None:
        """Warn of names that do not tell channels apart."""
        names = [entry for entry in self.channels or () if isinstance(entry, str)]
        if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
            warn(
                f"channels has {', '.join(map(repr, twice))} more than once, which does not tell channels apart; give "
                "each a name of its own",
                CollectionWarning,
            )

    def left(self, said: _Said, array: xr.DataArray) -> dict[str, Any]:
        """Return what a file is asked for: what is not given."""
        given: Any = {"scale": self.scale, "units": self.units, "channels": self.channels}.get(said.option)
        found = said.read(array)
        if isinstance(given, str):  # a unit of all dimensions of space
            return {dim: value for dim, value in found.items() if infer_axis_type(array, dim, {}) != "space"}
        if isinstance(given, Mapping):
            return {dim: value for dim, value in found.items() if dim not in given}
        return {} if given else {**found}


def _stack(image: PlateImage, folder: Folder, dims: str | Sequence[str] | None, asked: _Asked) -> xr.DataArray:
    """Open the files of an image, and stack them."""
    dimensions = {field: DIMENSIONS[field] for field in folder.stacked}
    opened = {key: _single(open_image(file.path, dims=dims), file, folder) for key, file in image.files.items()}
    _check_alike([(opened[key], image.files[key]) for key in sorted(opened)], asked)
    first = opened[min(opened)]
    name = f"{image.row}{image.column} {image.field}"
    if not folder.stacked:
        return first.rename(name)
    stacked = _along(list(dimensions), (), {key: _in_blocks(array) for key, array in opened.items()}, folder)
    if "channel" in folder.stacked:
        stacked = assign_channels(stacked, folder.stacked["channel"])
    return stacked.rename(name)


@dataclass(frozen=True, slots=True)
class _Said:
    """Something that a file says of its pixels, and that is said of an image once.

    Parameters
    ----------
    what
        Its name.
    option
        That of `open_images` which says it instead; empty where there is none.
    error
        Raised where files differ.
    read
        Returns it by dimension, where the file says it.
    same
        Whether two values are the same, along so many pixels.
    """

    what: str
    option: str
    error: type[OmeZarrError]
    read: Callable[[xr.DataArray], Mapping[str, Any]]
    same: Callable[[Any, Any, int], bool]

    def differ(self, own: Mapping[str, Any], other: Mapping[str, Any], sizes: Mapping[Hashable, int]) -> bool:
        """Whether two files differ in it."""
        return own.keys() != other.keys() or not all(self.same(own[dim], other[dim], sizes[dim]) for dim in own)


def _spacings(array: xr.DataArray) -> dict[str, float]:
    """Return the distances of neighbouring pixels."""
    coords = _numbers(array)
    return {
        dim: float(coord[-1] - coord[0]) / (coord.size - 1) if coord.size > 1 else float(coord.attrs["scale"])
        for dim, coord in coords.items()
        if coord.size > 1 or ("scale" in coord.attrs and states_spacing(coord.attrs))
    }


def _starts(array: xr.DataArray) -> dict[str, float]:
    """Return where pixel 0 lies, in pixels."""
    return {dim: float(_numbers(array)[dim][0]) / spacing for dim, spacing in _spacings(array).items() if spacing}


def _numbers(array: xr.DataArray) -> dict[str, xr.DataArray]:
    """Return the coordinates of dimensions that are numbers."""
    coords = {str(dim): array.coords[dim] for dim in array.dims if dim in array.coords and dim != channel_dim(array)}
    return {dim: coord for dim, coord in coords.items() if coord.dtype.kind in "iuf"}


def _units(array: xr.DataArray) -> dict[str, str]:
    return {dim: str(coord.attrs["units"]) for dim, coord in _numbers(array).items() if "units" in coord.attrs}


def _channels(array: xr.DataArray) -> dict[str, list[Any]]:
    """Return the names of channels."""
    dim = channel_dim(array)
    named = next((array.coords[name] for name in (LABEL, dim) if dim and name in array.coords), None)
    return {} if dim is None or named is None or named.dims != (dim,) else {dim: named.values.tolist()}


def _near(one: float, other: float, size: int) -> bool:
    """Whether two pixel sizes are the same, as far as the coordinates of a grid may be off."""
    return abs(one - other) * size <= REGULAR_WITHIN * abs(other)


SAID = (
    _Said("pixel sizes", "scale", CoordinateError, _spacings, _near),
    _Said("units", "units", UnitError, _units, lambda one, other, _: same_unit(one, other)),
    _Said("channels", "channels", ChannelError, _channels, lambda one, other, _: one == other),
    _Said("positions", "", CoordinateError, _starts, lambda one, other, _: abs(one - other) <= REGULAR_WITHIN),
)
"""What the files of an image are to agree in."""


def _check_alike(files: Sequence[tuple[xr.DataArray, Found]], asked: _Asked) -> None:
    """Make sure that the files of an image can be stacked, and that what the first says of it is what all say.

    Raises
    ------
    OmeZarrError
        If not; of each kind of difference the first is told.
    """
    (first, file), *others = files
    said = {one.what: asked.left(one, first) for one in SAID}
    found: dict[str, OmeZarrError] = {}
    for array, other in others:
        if (array.sizes, array.dtype) != (first.sizes, first.dtype):
            raise OmeZarrError(
                f'"{other.name}" has the shape {_shape(array)} and {array.dtype}, and '
                f'"{file.name}", of the same image, {_shape(first)} and {first.dtype}; write the files alike'
            )
        for one in SAID:
            own, of_first = asked.left(one, array), said[one.what]
            if one.what not in found and one.differ(own, of_first, first.sizes):
                cure = f", or say which count: {one.option}={_given(one.option, own | of_first)}" if one.option else ""
                found[one.what] = one.error(
                    f'"{other.name}" has other {one.what} ({own or "none"}) than "{file.name}", of the '
                    f"same image ({of_first or 'none'}); write the files alike{cure}"
                )
    raise_all(found.values(), "the files of an image do not say the same of it")


def _given(option: str, values: Mapping[str, Any]) -> Any:
    """Return what is to be given for an option; channels have one dimension."""
    return next(iter(values.values())) if option == "channels" else values


def _in_blocks(array: xr.DataArray) -> xr.DataArray:
    """Return the pixels of a file as dask reads them: all at once, or where they are many as they lie in the file."""
    if array.nbytes <= LARGEST_BLOCK:
        return array.chunk()
    preferred: Mapping[str, int] = array.encoding.get("preferred_chunks", {})
    return array.chunk({dim: size for dim, size in preferred.items() if dim in array.dims})


def _single(array: xr.DataArray, file: Found, folder: Folder) -> xr.DataArray:
    """Return the pixels of a file without the dimensions that files are stacked along, in which it has one pixel."""
    dimensions = {field: DIMENSIONS[field] for field in folder.stacked}
    for field, dim in dimensions.items():
        if array.sizes.get(dim, 1) > 1:
            raise OmeZarrError(
                f'"{file.name}" holds {array.sizes[dim]} along {dim!r} by itself, and the pattern has '
                f"{{{field}}}; {_instead(field, folder)}"
            )
    dropped = array.isel({dim: 0 for dim in dimensions.values() if dim in array.dims}, drop=True)
    # where single files lie along them, too
    dropped = dropped.drop_vars([dim for dim in dimensions.values() if dim in dropped.coords])
    if "c" in dimensions.values():
        dropped = dropped.drop_vars([name for name in channel_coordinates(["c"]) if name in dropped.coords])
    return dropped


def _instead(field: str, folder: Folder) -> str:
    """Say what is to stand in a pattern instead of a field that files hold by themselves."""
    number = len(folder.stacked[field])
    if number == 1:
        return "put {} in its place"
    free = [f"{{{other}}}" for other in APART if other not in folder.pattern.fields]
    named = f"call what sets them apart {' or '.join(free)}, or " if free else ""
    return f"{number} such files cannot be one image: {named}give each image one file"


def _along(
    fields: Sequence[str], chosen: tuple[str, ...], arrays: Mapping[Place, xr.DataArray], folder: Folder
) -> xr.DataArray:
    """Stack along what is left to be stacked along, the outermost first."""
    if len(chosen) == len(STACKED):
        return arrays[chosen]  # type: ignore[index]
    field = STACKED[len(chosen)]
    if field not in fields:
        return _along(fields, (*chosen, ""), arrays, folder)
    parts = [_along(fields, (*chosen, value), arrays, folder) for value in folder.stacked[field]]
    # the files of an image have the same pixels: the coordinates of the first are those of all
    return xr.concat(
        parts, DIMENSIONS[field], coords="minimal", compat="override", join="override", combine_attrs="override"
    )


def _shape(array: xr.DataArray) -> str:
    return " × ".join(f"{dim} {size}" for dim, size in array.sizes.items())
