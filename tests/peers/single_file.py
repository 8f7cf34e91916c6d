# /// script
# requires-python = ">=3.12"
# dependencies = ["ngff-zarr==0.50.0", "tensorstore==0.1.86", "zarr>=3.1"]
# ///
"""ngff-zarr, tensorstore and zarr read a single file, and ngff-zarr writes one."""

import json
import sys
from pathlib import Path

import ngff_zarr
import numpy as np
import tensorstore
import zarr

READ, WRITTEN = map(Path, sys.argv[1:])


def by_tensorstore(path):
    inside = {"driver": "zip", "path": f"{path}/", "base": {"driver": "file", "path": str(READ)}}
    return tensorstore.open({"driver": "zarr3", "kvstore": inside}, read=True).result().read().result()


with zarr.storage.ZipStore(READ, mode="r") as store:
    zarr_levels = [array[...] for _, array in sorted(zarr.open_group(store, mode="r").arrays())]
multiscales = ngff_zarr.from_ome_zarr(str(READ), validate=False)
told = {
    "zarr": zarr_levels,
    "ngff-zarr": [np.asarray(level.data) for level in multiscales.images],
    "tensorstore": [by_tensorstore(str(index)) for index in range(len(zarr_levels))],
}
first = multiscales.images[0]
print(
    json.dumps(
        {
            "levels": {library: [level.tolist() for level in levels] for library, levels in told.items()},
            "scale": first.scale,
            "translation": first.translation,
        }
    )
)
image = ngff_zarr.to_ngff_image(told["zarr"][0], dims=first.dims, scale=first.scale, translation=first.translation)
ngff_zarr.to_ome_zarr(str(WRITTEN), ngff_zarr.to_multiscales(image, scale_factors=[]), version="0.5")
