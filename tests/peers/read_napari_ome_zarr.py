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


def layers(store, kind):
    """Return data and properties of all layers of one kind."""
    reader = napari_get_reader(store)
    assert reader is not None, f"napari-ome-zarr has no reader for {store}"
    return [(data, properties) for data, properties, told in reader(store) if told == kind]


def levels(arrays, properties):
    scale = dict(zip(properties["axis_labels"], properties["scale"], strict=True))
    return [telling.level(pixels, None if index else scale) for index, pixels in enumerate(arrays)]


def axes(properties):
    return [
        telling.axis(dim, None, unit) for dim, unit in zip(properties["axis_labels"], properties["units"], strict=True)
    ]


def image(channels):
    """Return the image of which each layer is a channel."""
    first = channels[0][1]
    titles = [properties["name"] for _, properties in channels]
    with_channels = all(": " in title for title in titles)
    arrays = [[np.asarray(level) for level in data] for data, _ in channels]
    if with_channels:
        channel_axis = 1 if "t" in first["axis_labels"] else 0
        arrays = [np.stack(level, axis=channel_axis) for level in zip(*arrays, strict=True)]
    else:
        arrays = arrays[0]
    return telling.image(
        levels(arrays, first),
        axes(first),
        [title.split(": ", 1)[1] for title in titles] if with_channels else None,
        titles[0].split(": ", 1)[0],
    )


def label(data, properties):
    shown = telling.image(levels(map(np.asarray, data), properties), axes(properties), None, properties["name"])
    colors = properties.get("colormap", {})
    table = properties.get("features")
    rows = {} if table is None else table.set_index("label_value").to_dict("index")
    return telling.label(
        shown,
        {value: [round(255 * part) for part in color] for value, color in colors.items()},
        # of a label that lacks a property, the cell is NaN
        {value: {name: cell for name, cell in row.items() if cell == cell} for value, row in rows.items()},
    )


def read_image(store):
    return image(layers(store, "image"))


def read_labels(store):
    found = layers(store, "labels")
    return telling.labels({properties["name"]: label(data, properties) for data, properties in found})


telling.run("napari-ome-zarr", image=read_image, labels=read_labels)
