"""What files of images are, by the ends of their names: of those that have one, no folder of Zarr is called so."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping

__all__ = [
    "FILE_NAMES",
    "FILE_SUFFIXES",
    "MAY_BE_PACKED",
    "PACKED",
    "ends_in",
    "how_to_convert",
    "kind_of_file",
    "own_store",
]

PACKED = ".gz"
"""What names of files end in that gzip has packed."""

NUMPY = (".npy",)
TIFF = (".tif", ".tiff")
OME_TIFF = (".ome.tif", ".ome.tiff")
OTHER_TIFF = (".lsm", ".svs", ".qptiff", ".scn", ".flex")
NIFTI = (".nii",)
ANALYZE = (".hdr", ".img")
MRC = (".mrc", ".mrcs", ".map", ".ccp4", ".st", ".rec", ".ali")
PNG = (".png", ".apng")
JPEG = (".jpg", ".jpeg")
GIF = (".gif",)
WEBP = (".webp",)
BMP = (".bmp",)

FILE_SUFFIXES: Mapping[str, str] = {
    **dict.fromkeys(OME_TIFF, "an OME-TIFF"),
    **dict.fromkeys((*TIFF, *OTHER_TIFF), "a TIFF"),
    **dict.fromkeys(NUMPY, "an array of NumPy"),
    **dict.fromkeys(NIFTI, "an image of NIfTI"),
    **dict.fromkeys(ANALYZE, "an image of Analyze or NIfTI"),
    **dict.fromkeys(MRC, "an image of MRC"),
    **dict.fromkeys(PNG, "a PNG"),
    **dict.fromkeys(JPEG, "a JPEG"),
    **dict.fromkeys(GIF, "a GIF"),
    **dict.fromkeys(WEBP, "a WebP"),
    **dict.fromkeys(BMP, "a BMP"),
    **dict.fromkeys((".czi", ".zvi"), "an image of Zeiss"),
    ".nd2": "an image of Nikon",
    ".lif": "an image of Leica",
    **dict.fromkeys((".dv", ".r3d"), "an image of DeltaVision"),
    **dict.fromkeys((".vsi", ".oib", ".oif", ".oir"), "an image of Olympus"),
    ".ims": "an image of Imaris",
    ".sldy": "an image of SlideBook",
    ".emd": "an image of an electron microscope",
    ".imzml": "an image of mass spectrometry",
    ".mp4": "a film",
}
"""Kinds of files that `open_image` reads, with BioIO where that is needed, by what their names end in."""

MAY_BE_PACKED = (*NIFTI, *ANALYZE, *MRC)
"""Those that are read where gzip has packed them too."""


def ends_in(suffixes: Iterable[str]) -> re.Pattern[str]:
    """Return what finds the longest of these endings of a name, in whatever case."""
    return re.compile(f"({'|'.join(map(re.escape, sorted(suffixes, key=len, reverse=True)))})$", re.IGNORECASE)


FILE_NAMES = ends_in((*FILE_SUFFIXES, *(suffix + PACKED for suffix in MAY_BE_PACKED)))
"""What names of files end in."""


def kind_of_file(name: str) -> str | None:
    """Return what a file is, by its name; None where that says nothing.

    >>> kind_of_file("Cells.OME.TIF"), kind_of_file("brain.nii.gz"), kind_of_file("cells.ome.zarr")
    ('an OME-TIFF', 'an image of NIfTI', None)
    """
    found = FILE_NAMES.search(name)
    return found and FILE_SUFFIXES[found[0].lower().removesuffix(PACKED)]


def own_store(path: str) -> str:
    """Return what the store is called that is made of a file.

    >>> own_store("data/cells.ome.tif"), own_store("data/cells.xyz"), own_store("cells")
    ('data/cells.ome.zarr', 'data/cells.ome.zarr', 'cells.ome.zarr')
    """
    found = FILE_NAMES.search(path) or re.search(r"(?<=[^/\\])\.[^./\\]*$", path)
    return f"{path[: found.start()] if found else path}.ome.zarr"


def how_to_convert(path: str) -> tuple[str, str]:
    """Return the calls that make an image of a file: of Python, and of the command line.

    >>> how_to_convert("my cells.tif")
    ("xomezarr.convert('my cells.tif', 'my cells.ome.zarr')", "xomezarr convert 'my cells.tif' 'my cells.ome.zarr'")
    """
    store = own_store(path)
    return f"xomezarr.convert({path!r}, {store!r})", f"xomezarr convert {shlex.quote(path)} {shlex.quote(store)}"
