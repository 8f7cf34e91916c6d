"""The table of readers: how files are told apart, what opens them, and all that is said of them elsewhere."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import xarray as xr

from xomezarr import suffixes
from xomezarr.errors import OmeZarrError
from xomezarr.readers import bioio
from xomezarr.readers.mrc import open_mrc
from xomezarr.readers.nifti import open_nifti
from xomezarr.readers.npy import open_npy
from xomezarr.readers.photos import open_photo
from xomezarr.readers.raw import GZIP, opened_bytes
from xomezarr.readers.tiff import open_tiff
from xomezarr.suffixes import FILE_NAMES, PACKED, ends_in

__all__ = ["BY_BIOIO", "FILE_NAMES", "KNOWN_FILES", "READERS", "Opener", "Reader", "one_image", "reader_of"]

Opener = Callable[[str, str | Sequence[str] | None, int | None], xr.DataArray]
"""Takes a path, names of dimensions and the number of an image."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Files of a kind, and what opens them.

    Parameters
    ----------
    name
        What people call them.
    suffixes
        What their names end in, the usual one first.
    opener
        What opens one; a name that it leaves out is that of the file.
    magic
        By which bytes they are known, and at what offset: one of these.
    unmarked
        Whether there are some whose bytes do not say what they are, and whose name does.
    gzip
        Whether those are read that gzip has packed.
    series
        Whether one may hold several images.
    needs
        What has to be installed.
    how
        How pixels are read.
    """

    name: str
    suffixes: tuple[str, ...]
    opener: Opener
    magic: tuple[tuple[int, bytes], ...] = ()
    unmarked: bool = False
    gzip: bool = False
    series: bool = False
    needs: str = ""
    how: str = ""

    def begins(self, head: bytes) -> bool:
        """Whether a file that begins so is one of these."""
        return any(head.startswith(magic, offset) for offset, magic in self.magic)

    def ending(self, path: str) -> str | None:
        """Return what of a file's name says that it is one of these; None where nothing does.

        >>> [TIFF.ending(name) for name in ("cells.OME.TIF", "cells.czi")], NIFTI.ending("brain.nii.gz")
        (['.OME.TIF', None], '.nii.gz')
        """
        packed = [suffix + PACKED for suffix in self.suffixes] if self.gzip else []
        found = ends_in((*self.suffixes, *packed)).search(path)
        return found and found[0]

    def open(self, path: str, dims: str | Sequence[str] | None, series: int | None) -> xr.DataArray:
        """Open a file; see `opening.open_image`."""
        if not self.series and series not in (None, 0):
            raise one_image(path, series)
        image = self.opener(path, dims, series)
        if image.name is not None:
            return image
        name = Path(path).name
        ending = FILE_NAMES.search(name)
        return image.rename(name[: ending.start()] if ending and ending.start() else Path(name).stem)

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(self.suffixes)}{f', also {PACKED}' if self.gzip else ''})"


def one_image(path: str, series: int | None) -> OmeZarrError:
    """Return the error of a choice among images where there is one."""
    return OmeZarrError(f'"{path}" holds one image, and series={series} is none of it; leave series out')


# --- the table ---------------------------------------------------------------

MAPPED, UNPACKED = "memory-mapped", "memory-mapped; what gzip has packed, unpacked on disk first"
AT_ONCE, BY_FRAMES = "whole", "whole; moving ones frame by frame"
IO = "`xomezarr[io]`"
DEEP = f"colours of 16 bits, {IO}"

TIFF = Reader(
    "TIFF, OME-TIFF and ImageJ",
    (*suffixes.TIFF, *suffixes.OME_TIFF, *suffixes.OTHER_TIFF),
    open_tiff,
    # little- or big-endian, with 32- or 64-bit offsets
    ((0, b"II*\0"), (0, b"MM\0*"), (0, b"II+\0"), (0, b"MM\0+")),
    series=True,
    needs=f"`xomezarr[cli]`; compressed, {IO}",
    how="memory-mapped, or by tiles and strips; of a pyramid, the finest level",
)
NIFTI = Reader(
    "NIfTI",
    suffixes.NIFTI,
    open_nifti,
    ((344, b"n+1\0"), (344, b"ni1\0"), (4, b"n+2\0"), (4, b"ni2\0")),
    gzip=True,
    needs=f"{IO} (nibabel)",
    how=UNPACKED,
)

READERS = (
    Reader("NumPy", suffixes.NUMPY, open_npy, ((0, b"\x93NUMPY"),), how=MAPPED),
    TIFF,
    NIFTI,
    Reader(
        "Analyze and NIfTI of two files",
        suffixes.ANALYZE,
        open_nifti,
        unmarked=True,
        gzip=True,
        needs=f"{IO} (nibabel)",
        how=UNPACKED,
    ),
    Reader(
        "MRC and CCP4 maps",
        suffixes.MRC,
        open_mrc,
        ((208, b"MAP "), (208, b"MAP\0")),
        unmarked=True,  # from before 2000
        gzip=True,
        how=UNPACKED,
    ),
    Reader("PNG", suffixes.PNG, open_photo, ((0, b"\x89PNG\r\n"),), needs=DEEP, how=BY_FRAMES),
    Reader("JPEG", suffixes.JPEG, open_photo, ((0, b"\xff\xd8\xff"),), how=AT_ONCE),
    Reader("GIF", suffixes.GIF, open_photo, ((0, b"GIF87a"), (0, b"GIF89a")), how=BY_FRAMES),
    Reader("WebP", suffixes.WEBP, open_photo, ((8, b"WEBP"),), how=BY_FRAMES),
    Reader("BMP", suffixes.BMP, open_photo, unmarked=True, how=AT_ONCE),  # two letters, which texts begin with too
)
"""What is read without BioIO."""

KNOWN_FILES = f"{'; '.join(map(str, READERS))}; Zarr and OME-Zarr (.zarr, .ozx, folder or URL)"

BY_BIOIO = Reader(
    "CZI, ND2, LIF, DeltaVision and others",
    tuple(bioio.PACKAGES),
    partial(bioio.open_by_bioio, known=KNOWN_FILES),
    series=True,
    needs="BioIO and its reader",
    how="by planes, as BioIO has them",
)
"""What reads all other files."""

PREVIEWS = ends_in((".vsi",))
"""Names of files that are TIFFs of previews, and whose image lies in a folder beside them."""

OTHER_PACKERS: Mapping[bytes, tuple[str, str]] = {
    b"BZh": ("bzip2", "bunzip2 --keep"),
    b"\xfd7zXZ\0": ("xz", "unxz --keep"),
    b"\x28\xb5\x2f\xfd": ("Zstandard", "unzstd"),
}
"""What else packs files, by how these begin, and what unpacks them."""

HEAD = 352
"""Bytes by which files are told apart: as many as the header of NIfTI-1 has."""


def reader_of(path: str) -> Reader:
    """Return what reads a file: by how it begins, else by its name; what nothing here reads, BioIO may.

    Raises
    ------
    OmeZarrError
        If it is empty, damaged, or packed by what is not read.
    """
    with Path(path).open("rb") as file:
        head = file.read(HEAD)
    if not head:
        raise OmeZarrError(f'"{path}" is empty: it has no byte; copy the file again, or see whether writing it ended')
    for magic, (packer, unpacking) in OTHER_PACKERS.items():
        if head.startswith(magic):
            raise _packed(path, f"is packed by {packer}, and packed files are read that gzip has packed", unpacking)
    packed = head.startswith(GZIP)
    if packed:
        try:
            with opened_bytes(path) as contents:
                head = contents.read(HEAD)
        except (EOFError, OSError, zlib.error) as error:
            raise OmeZarrError(f'"{path}" is cut off, or damaged ({error}); copy the file again') from error
    by_bytes = (reader for reader in READERS if reader.begins(head) and not PREVIEWS.search(path))
    by_name = (reader for reader in READERS if reader.unmarked and reader.ending(path))
    found = next(by_bytes, None) or next(by_name, BY_BIOIO)
    if packed and not found.gzip and found is not BY_BIOIO:
        names = "; ".join(reader.name for reader in READERS if reader.gzip)
        raise _packed(path, f"is packed by gzip, and only these are read so: {names}", "gunzip --keep")
    named = next((reader for reader in READERS if reader.ending(path)), None)
    if found is BY_BIOIO and named is not None:
        raise OmeZarrError(
            f'"{path}" is called as {named.name} is, and does not begin so; copy it again if it is damaged, or give '
            "it the name of what it is"
        )
    return found


def _packed(path: str, why: str, unpacking: str) -> OmeZarrError:
    return OmeZarrError(f'"{path}" {why}; unpack it, and give the path of what comes out: {unpacking} "{path}"')
