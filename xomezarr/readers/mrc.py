"""MRC and CCP4 maps: volumes of electron microscopy, by the 2014 standard and as IMOD writes them.

The header has 1024 bytes (Cheng et al. 2015, doi:10.1016/j.jsb.2015.04.002); ``imodStamp`` and ``imodFlags`` are those
of https://bio3d.colorado.edu/imod/doc/mrc_format.txt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xomezarr.channels import assign_channels, rgb_channels
from xomezarr.coords import assign_grid
from xomezarr.errors import AxisError, DtypeError, OmeZarrError, OmeZarrWarning, warn
from xomezarr.readers.filearray import PLACED, FileArray, chunks_in_memory_order, dimensions, lazy_image, with_place
from xomezarr.readers.raw import Raw, opened_bytes, shortest

__all__ = ["open_mrc"]

HEADER_SIZE = 1024

FIELDS: Mapping[str, tuple[str, int]] = {
    "size": ("3i4", 0),
    "mode": ("i4", 12),
    "start": ("3i4", 16),
    "intervals": ("3i4", 28),
    "cell": ("3f4", 40),
    "angles": ("3f4", 52),
    "axes": ("3i4", 64),
    "space_group": ("i4", 88),
    "extended": ("i4", 92),
    "version": ("i4", 108),
    "imod_stamp": ("i4", 152),
    "imod_flags": ("i4", 156),
    "origin": ("3f4", 196),
    "labels": ("i4", 220),
    "label": ("10S80", 224),
}
"""What is read of the header: format and offset. The size, the start and the axes are those of columns, rows and
sections; the intervals, the cell and the origin those of x, y and z."""

STAMPS: Mapping[bytes, str] = {b"\x44\x44": "<", b"\x44\x41": "<", b"\x11\x11": ">"}
"""Byte order by the machine stamp at byte 212; if it is none of these, or the header makes no sense then, the other."""

DTYPES: Mapping[int, str] = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2", 16: "u1"}
"""By mode; 16 is IMOD's, of red, green and blue samples."""

REFUSED: Mapping[int, str] = {
    3: "the Fourier transform of an image (complex integers, mode 3); transform it back and write that as mode 2",
    4: "the Fourier transform of an image (complex numbers, mode 4); transform it back and write that as mode 2",
    101: "pixels of 4 bits (mode 101); write them as mode 0 or 6: newstack -mode 6 in.mrc out.mrc",
}
"""Modes that cannot be read, and what to do instead."""

RGB_MODE = 16
IMOD_STAMP = 1146047817
SIGNED, ORIGIN_OF_THE_STANDARD, HALF_BYTES = 1, 4, 16
"""IMOD's flags: bytes are signed; the origin has the standard's sign; a byte holds two pixels."""

VOLUME = 1
"""The space group of a volume; higher ones are those of crystals."""

VOLUMES = 401
"""From here on it is a row of volumes, of 400 less."""

UNIT = "angstrom"


def open_mrc(path: str, dims: str | Sequence[str] | None, series: int | None) -> xr.DataArray:
    """Open a map, a volume or a stack of images; see `opening.open_image`."""
    header = _header(path)
    raw = _raw(header, path)
    raw.check()
    named = dimensions(dims, raw.shape, path, None if dims is not None else _names(header, raw.shape, path))
    image = lazy_image(
        FileArray(raw, raw.shape, raw.dtype, path),
        named,
        chunks=chunks_in_memory_order(np.broadcast_to(np.zeros((), raw.dtype), raw.shape)),
        attrs={"description": "\n".join(header.labels)} if header.labels else None,
        mapped=True,
    )
    image = _placed(image, header, named[:-1] if header.rgb else named, path)
    return assign_channels(image, rgb_channels(raw.dtype), dim=named[-1]) if header.rgb else image


# --- the header --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Header:
    """What the header says.

    Parameters
    ----------
    byteorder
        ``"<"`` or ``">"``.
    values
        By the names of `FIELDS`.
    """

    byteorder: str
    values: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    @property
    def axes(self) -> tuple[int, int, int]:
        """Along which of x, y and z (0, 1, 2) columns, rows and sections follow each other."""
        axes = tuple(int(axis) - 1 for axis in self["axes"])
        return axes if sorted(axes) == [0, 1, 2] else (0, 1, 2)  # type: ignore[return-value]

    def step(self, axis: int) -> float | None:
        """Return how far pixels are apart along x, y or z, in ångström; None where it does not say it."""
        cell, intervals = shortest(self["cell"][axis]), int(self["intervals"][axis])
        return _tidy(cell / intervals) if np.isfinite(cell) and cell > 0 and intervals > 0 else None

    def first(self, axis: int, step: float) -> float:
        """Return where the first pixel lies: at the origin, or, if that is zero, where the map starts in its cell."""
        origin = [shortest(value) for value in self["origin"]]
        if not any(origin) or not all(map(np.isfinite, origin)):
            return _tidy(int(self["start"][self.axes.index(axis)]) * step)
        # IMOD's own sign is the other, until it began to say that it is the standard's, or wrote the standard's version
        is_inverted = self.by_imod and not self.flag(ORIGIN_OF_THE_STANDARD) and int(self["version"]) <= 0
        return -origin[axis] + 0.0 if is_inverted else origin[axis]

    @property
    def by_imod(self) -> bool:
        """Whether the flags are said."""
        return int(self["imod_stamp"]) == IMOD_STAMP

    def flag(self, bit: int) -> bool:
        """Whether IMOD has set a flag."""
        return self.by_imod and bool(int(self["imod_flags"]) & bit)

    @property
    def rgb(self) -> bool:
        """Whether pixels are colours."""
        return int(self["mode"]) == RGB_MODE

    @property
    def labels(self) -> list[str]:
        """The lines of text."""
        count = max(int(self["labels"]), 0)
        lines = [bytes(line).decode("utf-8", "replace").strip("\0 ") for line in self["label"][:count]]
        return [line for line in lines if line]

    @property
    def sensible(self) -> bool:
        """Whether it can be that of a map, as it cannot in the wrong byte order."""
        known = int(self["mode"]) in {*DTYPES, *REFUSED}
        axes = all(0 <= abs(int(axis)) <= 3 for axis in self["axes"])
        return known and axes and all(size > 0 for size in self["size"]) and int(self["extended"]) >= 0


def _header(path: str) -> _Header:
    with opened_bytes(path) as file:
        data = file.read(HEADER_SIZE)
    if len(data) < HEADER_SIZE:
        raise OmeZarrError(f'"{path}" is cut off: it ends within the header of an MRC file; copy the file again')
    stamped = STAMPS.get(data[212:214])
    headers = [_parsed(data, order) for order in dict.fromkeys((stamped or "<", "<", ">"))]
    found = next((header for header in headers if header.sensible), None)
    if found is None:
        told = headers[0]
        raise OmeZarrError(
            f'"{path}" has no header of an MRC file: it says mode {int(told["mode"])}, size '
            f"{told['size'].tolist()}, axes {told['axes'].tolist()}; write the file again"
        )
    return found


def _parsed(data: bytes, byteorder: str) -> _Header:
    formats, offsets = zip(*FIELDS.values(), strict=True)
    dtype = np.dtype({"names": [*FIELDS], "formats": formats, "offsets": offsets, "itemsize": HEADER_SIZE})
    record = np.frombuffer(data, dtype.newbyteorder(byteorder))[0]  # type: ignore[arg-type]
    return _Header(byteorder, {name: record[name] for name in FIELDS})


def _raw(header: _Header, path: str) -> Raw:
    """Return where the pixels lie."""
    mode = int(header["mode"])
    refused = REFUSED[101] if header.flag(HALF_BYTES) and mode == 0 else REFUSED.get(mode)
    if refused is not None:
        raise DtypeError(f'"{path}" holds {refused}')
    dtype = np.dtype(DTYPES[mode]).newbyteorder(header.byteorder)  # type: ignore[arg-type]
    if mode == 0 and header.by_imod and not header.flag(SIGNED):
        dtype = np.dtype(np.uint8)
    columns, rows, sections = map(int, header["size"])
    shape: tuple[int, ...] = (sections, rows, columns)
    group, each = int(header["space_group"]), int(header["intervals"][2])
    if group >= VOLUMES and 0 < each <= sections and not sections % each:
        shape = (sections // each, each, rows, columns)
    elif sections == 1 and group == 0:
        shape = (rows, columns)
    return Raw(path, dtype, HEADER_SIZE + int(header["extended"]), (*shape, 3) if header.rgb else shape)


# --- what it says of the pixels ----------------------------------------------


def _names(header: _Header, shape: tuple[int, ...], path: str) -> tuple[str, ...]:
    """Return the dimensions, slowest first.

    Raises
    ------
    AxisError
        Where the sections do not make a volume: the file does not say whether they are particles, times or tilts.
    """
    space = tuple("xyz"[axis] for axis in header.axes[::-1])
    samples = ("c",) if header.rgb else ()
    planes = len(shape) - len(samples)
    what = None
    if planes == 4:
        what = f"{shape[0]} volumes"
    elif planes == 3 and header["space_group"] == 0 and header["intervals"][2] == 1:
        what = f"a stack of {shape[0]} images"
    if what is not None:
        guess = "t" + "".join((*space, *samples)[1 if planes == 3 else 0 :])
        raise AxisError(
            f'"{path}" holds {what}, of shape {shape}, and does not say what sets them apart; name the dimensions in '
            f"the file's order, such as for a movie: open_image(path, dims={guess!r})"
        )
    return (*space[3 - planes :], *samples)


def _placed(image: xr.DataArray, header: _Header, named: Sequence[str], path: str) -> xr.DataArray:
    """Put pixels at their places, in ångström, as far as the header says them.

    Parameters
    ----------
    named
        The dimensions without samples; the last three are sections, rows and columns.
    """
    _warn_of_axes(header, path)
    is_stack = header["space_group"] == 0 and header["intervals"][2] == 1 and header["size"][2] > 1
    lying = dict(zip(named[::-1], header.axes, strict=False))
    if is_stack:
        lying.pop(named[0])
    steps = {dim: header.step(axis) for dim, axis in lying.items()}
    scale = {dim: step for dim, step in steps.items() if step is not None}
    first = {dim: header.first(lying[dim], step) for dim, step in scale.items()}
    _warn_of_sizes(header, {dim: lying[dim] for dim, step in steps.items() if step is None}, path)
    beside = header.axes[2]  # of sections, where the image is one, or a stack
    beside_first = 0.0 if beside in lying.values() else header.first(beside, header.step(beside) or 0.0)
    is_placed = any((*first.values(), beside_first))
    if scale:
        _warn_of_angles(header, path)
        image = assign_grid(image, scale=scale, translation=first, units=dict.fromkeys(scale, UNIT))
    if is_placed and beside not in lying.values():
        image = with_place(image, "xyz"[beside], beside_first, path, unit=UNIT)
    if scale and is_placed:
        image.encoding[PLACED] = True
    return image


def _warn_of_axes(header: _Header, path: str) -> None:
    """Say what is taken where the header does not say along which axes pixels follow each other; zeros say nothing."""
    said = [int(axis) for axis in header["axes"]]
    if any(said) and sorted(said) != [1, 2, 3]:
        warn(
            f'"{path}" says that columns, rows and sections run along the axes {", ".join(map(str, said))}, and not '
            "along 1, 2 and 3 in some order; they are taken to run along x, y and z: if they do not, name the "
            "dimensions in the file's order: dims=…",
            OmeZarrWarning,
        )


def _warn_of_sizes(header: _Header, lying: Mapping[str, int], path: str) -> None:
    """Say what is left out where the header says sizes that are none, or places without sizes; zeros say nothing."""
    wrong = {
        dim: f"{dim} = {header['cell'][axis]:g} Å in {int(header['intervals'][axis])} intervals"
        for dim, axis in lying.items()
        if header["cell"][axis] != 0
    }
    if not np.isfinite(header["origin"]).all():
        warn(
            f'"{path}" has an origin that is none ({", ".join(f"{value:g}" for value in header["origin"])}), and is '
            "taken to lie where its cell begins; give its place: "
            "open_image(path).omezarr.assign_grid(translation={'x': …})",
            OmeZarrWarning,
        )
    if wrong:
        dims = ", ".join(wrong)
        warn(
            f'"{path}" has a cell whose sizes are none ({", ".join(wrong.values())}); pixel sizes and places along '
            f"{dims} are left out, and 1.0 is written: give them: scale={{{next(iter(wrong))!r}: …}}",
            OmeZarrWarning,
        )
    placed = {dim: place for dim, axis in lying.items() if dim not in wrong and (place := header.first(axis, 0.0))}
    if placed:
        warn(
            f'"{path}" lies at {", ".join(f"{dim} = {place:g} Å" for dim, place in placed.items())}, and does not say '
            "how large its pixels are; the place is left out: give both: "
            f"open_image(path).omezarr.assign_grid(scale={{…}}, translation={placed})",
            OmeZarrWarning,
        )


def _warn_of_angles(header: _Header, path: str) -> None:
    angles = [float(angle) for angle in header["angles"]]
    if any(angle not in (0.0, 90.0) for angle in angles) and all(map(np.isfinite, angles)):
        warn(
            f'"{path}" is of a cell with the angles {", ".join(f"{angle:g}°" for angle in angles)}; its axes are taken '
            "to be at right angles, and as long as it says: say where it lies by assign_affine(…, system='cell')",
            OmeZarrWarning,
        )


def _tidy(value: float) -> float:
    """Return a quotient of numbers in single precision as short as that precision allows.

    >>> _tidy(float(np.float32(332.8)) / 256)
    1.3
    """
    short = float(f"{value:.7g}")
    return short if abs(short - value) <= abs(value) * np.finfo(np.float32).eps else value
