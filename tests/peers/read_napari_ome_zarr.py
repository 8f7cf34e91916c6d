# /// script
# requires-python = ">=3.12"
# dependencies = ["napari-ome-zarr==0.11.0"]
# ///
"""napari-ome-zarr: the layers that napari would show.

The reader takes its colormaps from napari, which it therefore depends on; no Qt is needed for that.
A layer has the scale of level 0 only, no translation, and stands for one channel.
"""

import numpy as np
import telling
from napari_ome_zarr import napari_get_reader


def read(store):
    reader = napari_get_reader(store)
    assert reader is not None, f"napari-ome-zarr has no reader for {store}"
    layers = reader(store)
    assert all(kind == "image" for _, _, kind in layers), "napari-ome-zarr reads other layers than images"
    first = layers[0][1]
    dims = list(first["axis_labels"])
    titles = [properties["name"] for _, properties, _ in layers]
    with_channels = all(": " in title for title in titles)
    channel_axis = 1 if "t" in dims else 0
    levels = []
    for index in range(len(layers[0][0])):
        channels = [np.asarray(data[index]) for data, _, _ in layers]
        pixels = np.stack(channels, axis=channel_axis) if with_channels else channels[0]
        levels.append(telling.level(pixels, dict(zip(dims, first["scale"], strict=True)) if index == 0 else None))
    return telling.image(
        levels,
        [telling.axis(d, None, unit) for d, unit in zip(dims, first["units"], strict=True)],
        [title.split(": ", 1)[1] for title in titles] if with_channels else None,
        titles[0].split(": ", 1)[0],
    )


telling.run("napari-ome-zarr", read)
