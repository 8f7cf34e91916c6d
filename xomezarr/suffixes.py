"""What files of images are, by the ends of their names: of those that have one, no folder of Zarr is called so."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

__all__ = ["FILE_NAMES", "FILE_SUFFIXES", "how_to_convert", "kind_of_file", "own_store"]

PACKED = ".gz"

FILE_SUFFIXES: Mapping[str, str] = {
    **dict.fromkeys((".ome.tif", ".ome.tiff"), "an OME-TIFF"),
    **dict.fromkeys((".tif", ".tiff", ".lsm", ".svs", ".qptiff", ".scn", ".flex"), "a TIFF"),
    ".npy": "an array of NumPy",
    ".nii": "an image of NIfTI",
    **dict.fromkeys((".hdr", ".img"), "an image of Analyze or NIfTI"),
    **dict.fromkeys((".mrc", ".mrcs", ".map", ".ccp4", ".st", ".rec", ".ali"), "an image of MRC"),
    **dict.fromkeys((".png", ".apng"), "a PNG"),
    **dict.fromkeys((".jpg", ".jpeg"), "a JPEG"),
    ".gif": "a GIF",
    ".webp": "a WebP",
    ".bmp": "a BMP",
    ".czi": "an image of Zeiss",
    ".zvi": "an image of Zeiss",
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

MAY_BE_PACKED = (".nii", ".hdr", ".img", ".mrc", ".mrcs", ".map", ".ccp4", ".st", ".rec", ".ali")
"""Those that are read where gzip has packed them too."""

_LONGEST_FIRST = sorted(FILE_SUFFIXES, key=len, reverse=True)

FILE_NAMES = re.compile(
    f"({'|'.join(map(re.escape, _LONGEST_FIRST))})$|({'|'.join(map(re.escape, MAY_BE_PACKED))}){re.escape(PACKED)}$",
    re.IGNORECASE,
)
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
