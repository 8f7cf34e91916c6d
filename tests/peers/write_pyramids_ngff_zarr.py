# /// script
# requires-python = ">=3.12"
# dependencies = ["ngff-zarr[dask-image]==0.50.0"]
# ///
"""ngff-zarr writes each array of a folder, name.npy, as a pyramid by several methods: method-name.zarr."""

import sys
from pathlib import Path

import dask.array as da
import numpy as np
from ngff_zarr import Methods, to_multiscales, to_ngff_image, to_ngff_zarr

FOLDER = Path(sys.argv[1])
CASES = {
    "gaussian": (Methods.DASK_IMAGE_GAUSSIAN, [2, 4]),
    "nearest": (Methods.DASK_IMAGE_NEAREST, [4]),
    "shrink": (Methods.ITKWASM_BIN_SHRINK, [2, 4]),
    "uneven": (Methods.DASK_IMAGE_GAUSSIAN, [2, 3]),
}

for file in sorted(FOLDER.glob("*.npy")):
    image = da.from_array(np.load(file), 512)
    placed = to_ngff_image(image, dims=["y", "x"], scale={"y": 0.5, "x": 0.25})
    for name, (method, factors) in CASES.items():
        multiscales = to_multiscales(placed, scale_factors=factors, method=method)
        to_ngff_zarr(str(FOLDER / f"{name}-{file.stem}.zarr"), multiscales, version="0.5")
