# /// script
# requires-python = ">=3.11"
# dependencies = ["ome-zarr==0.9.0", "zarr<3", "setuptools"]
# ///
"""ome-zarr-py writes an image with labels, and a plate, in each version up to 0.3."""

import sys
from pathlib import Path

import numpy as np
import zarr
from ome_zarr.format import FormatV01, FormatV02, FormatV03
from ome_zarr.writer import write_image, write_labels, write_plate_metadata, write_well_metadata

FOLDER = Path(sys.argv[1])


def group(path, fmt):
    separator = "." if fmt.version == "0.1" else "/"
    return zarr.group(zarr.storage.FSStore(str(path), mode="w", dimension_separator=separator), overwrite=True)


for fmt in (FormatV01(), FormatV02(), FormatV03()):
    pixels = np.random.default_rng(0).integers(0, 99, (1, 2, 3, 101, 64)).astype("u2")
    axes = list("tczyx") if fmt.version == "0.3" else None
    image = group(FOLDER / f"{fmt.version}.zarr", fmt)
    write_image(pixels, image, fmt=fmt, axes=axes)
    write_labels((pixels[:, :1] % 5).astype("u1"), image, name="cells", fmt=fmt, axes=axes)
    for index in range(5):
        np.save(FOLDER / f"{fmt.version}-{index}.npy", image[str(index)][...])
    plate = group(FOLDER / f"{fmt.version}-plate.zarr", fmt)
    write_plate_metadata(plate, ["A", "B"], ["1", "2"], ["A/1", "B/2"], fmt=fmt)
    for well in ("A/1", "B/2"):
        place = plate.require_group(well)
        write_well_metadata(place, ["0"], fmt=fmt)
        write_image(pixels, place.require_group("0"), fmt=fmt, axes=axes)
