# /// script
# requires-python = ">=3.12"
# dependencies = ["ngff-zarr[validate]==0.50.0"]
# ///
"""ngff-zarr: the multiscales that ``from_ome_zarr`` builds, its validation included."""

import ngff_zarr
import numpy as np
import telling


def read(store):
    multiscales = ngff_zarr.from_ome_zarr(store, validate=True)
    first = multiscales.images[0]
    axes = multiscales.metadata.axes
    omero = multiscales.metadata.omero
    return telling.image(
        [telling.level(np.asarray(image.data), image.scale, image.translation) for image in multiscales.images],
        [telling.axis(axis.name, axis.type, axis.unit) for axis in axes],
        None if omero is None else [channel.label for channel in omero.channels],
        first.name,
    )


telling.run("ngff-zarr", image=read)
