# /// script
# requires-python = ">=3.12"
# dependencies = ["ngff-zarr[validate]==0.50.0"]
# ///
"""ngff-zarr: the scene that ``from_ome_zarr`` builds, told as JSON, and written anew into another store."""

import dataclasses
import json
import sys

import ngff_zarr

store, copy = sys.argv[1:]
scene = ngff_zarr.from_ome_zarr(store, kind="scene")
told = {
    "images": {path: list(image.images[0].data.shape) for path, image in scene.images.items()},
    "systems": [system.name for system in scene.coordinateSystems],
    "transformations": [dataclasses.asdict(transform) for transform in scene.coordinateTransformations],
}
scene.to_ome_zarr(copy)
print(json.dumps(told))
