# /// script
# requires-python = ">=3.12"
# dependencies = ["ome-zarr==0.21.0"]
# ///
"""ome-zarr-py writes each array of a folder, name.npy, as a pyramid by each of its methods: method-name.zarr."""

import sys
from pathlib import Path

import dask.array as da
import numpy as np
import zarr
from ome_zarr.scale import Methods
from ome_zarr.writer import write_image, write_multiscale

FOLDER = Path(sys.argv[1])
CHUNKS = {"nearest": 1024, "local_mean": 1024, "resize": 33, "zoom": 33}

for file in sorted(FOLDER.glob("*.npy")):
    image = np.load(file)
    for method, chunks in CHUNKS.items():
        group = zarr.open_group(FOLDER / f"{method}-{file.stem}.zarr", mode="w")
        lazy = da.from_array(image, chunks)
        write_image(lazy, group, method=Methods[method.upper()], axes="yx", scale={"y": 0.5, "x": 0.25})
    # levels by means, whose positions nobody gives
    rows, columns = (size // 4 * 4 for size in image.shape)
    levels = [image[:rows, :columns].astype("f4")]
    for _ in range(2):
        levels.append(levels[-1].reshape(levels[-1].shape[0] // 2, 2, -1, 2).mean((1, 3)))
    places = [[{"type": "scale", "scale": [0.5 * 2**k, 0.25 * 2**k]}] for k in range(3)]
    group = zarr.open_group(FOLDER / f"means-{file.stem}.zarr", mode="w")
    write_multiscale(levels, group, axes="yx", coordinate_transformations=places)
