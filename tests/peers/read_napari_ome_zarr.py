# /// script
# requires-python = ">=3.12"
# dependencies = ["napari-ome-zarr==0.11.0"]
# ///
"""napari-ome-zarr: the layers that napari would show.

The reader takes its colormaps from napari, which it therefore depends on; no Qt is needed for that.
A layer has the scale of level 0 only, no translation, and stands for one channel. Layers of a plate are mosaics of the
first fields of all wells.
"""

import numpy as np
import telling
import zarr
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


def labels(found):
    return telling.labels({properties["name"]: label(data, properties) for data, properties in found})


def tiles(found, rows, columns, row, column):
    """Return the layers of one well, or those of its labels: tiles of mosaics. Without images they are black."""

    def tile(mosaic):
        height, width = mosaic.shape[-2] // rows, mosaic.shape[-1] // columns
        return np.asarray(mosaic[..., row * height : (row + 1) * height, column * width : (column + 1) * width])

    cut = [([tile(level) for level in data], properties) for data, properties in found]
    return [(data, properties) for data, properties in cut if data[0].any()]


def read_image(store):
    return image(layers(store, "image"))


def read_labels(store):
    return labels(layers(store, "labels"))


def read_plate(store):
    # layers do not say how many tiles they show
    attributes = zarr.open_group(store, mode="r").attrs
    definition = attributes.get("ome", attributes)["plate"]
    rows, columns = len(definition["rows"]), len(definition["columns"])
    images, masks = layers(store, "image"), layers(store, "labels")
    wells = {}
    for row, column in np.ndindex(rows, columns):
        if channels := tiles(images, rows, columns, row, column):
            field = telling.field(image(channels), labels(tiles(masks, rows, columns, row, column)))
            wells[f"{row}/{column}"] = {"row": row, "column": column, "fields": {"first": field}}
    nothing = dict.fromkeys(("name", "rows", "columns", "field_count", "acquisitions"))
    return {**nothing, "wells": wells, "complaints": []}


telling.run("napari-ome-zarr", image=read_image, labels=read_labels, plate=read_plate)
