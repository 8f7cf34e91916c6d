# /// script
# requires-python = ">=3.12"
# dependencies = ["bioio-ome-zarr==3.8.1"]
# ///
"""bioio-ome-zarr: its Reader. It writes dimensions in capitals, and knows scales but no translations."""

import telling
from bioio_ome_zarr import Reader


def read(store):
    reader = Reader(store)
    levels = []
    for index in reader.resolution_levels:
        reader.set_resolution_level(index)
        scale = {dim.lower(): getattr(reader.scale, dim) for dim in reader.dims.order}
        levels.append(telling.level(reader.data, scale))
    properties = reader.dimension_properties
    axes = [
        telling.axis(dim.lower(), getattr(properties, dim).type, getattr(properties, dim).unit)
        for dim in reader.dims.order
    ]
    return telling.image(levels, axes, reader.channel_names, reader.scenes[0])


telling.run("bioio-ome-zarr", image=read)
