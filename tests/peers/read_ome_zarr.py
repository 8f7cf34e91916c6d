# /// script
# requires-python = ">=3.12"
# dependencies = ["ome-zarr==0.21.0"]
# ///
"""ome-zarr-py: the nodes that its Reader yields for an image: the image, its group of labels, and each of these.

Of a plate it yields one node, a mosaic of the first fields of all wells, and of a well a mosaic of its fields.
"""

import math
import os

import numpy as np
import telling
from ome_zarr.io import parse_url
from ome_zarr.reader import Label, Labels, Reader, Well


def nodes(store):
    location = parse_url(store, mode="r")
    assert location is not None, f"ome-zarr-py finds no store at {store}"
    found = list(Reader(location)())
    assert found, f"ome-zarr-py finds no image in {store}"
    return found


def image(node):
    metadata = node.metadata
    names = [axis["name"] for axis in metadata["axes"]]
    if any("output" in part for transforms in metadata["coordinateTransformations"] for part in transforms):
        # it knows no coordinate systems, and takes the axes to be those of old
        arrays = [telling.level(pixels.compute()) for pixels in node.data]
        return telling.image(arrays, None, metadata.get("channel_names"), metadata["name"])
    return telling.image(
        [
            telling.placed(pixels.compute(), names, {part["type"]: part[part["type"]] for part in transforms})
            for pixels, transforms in zip(node.data, metadata["coordinateTransformations"], strict=True)
        ],
        [telling.axis(axis["name"], axis.get("type"), axis.get("unit")) for axis in metadata["axes"]],
        metadata.get("channel_names"),
        metadata["name"],
    )


def label(node, place):
    metadata = node.metadata
    return telling.label(
        image(node),
        {value: [round(255 * part) for part in color] for value, color in metadata["color"].items()},
        metadata.get("properties", {}),
        source(place),
    )


def source(place):
    """Return the path to the image that the reader shows together with labels when these are what it is asked for."""
    (found,) = (node for node in nodes(place) if not (node.load(Label) or node.load(Labels)))
    return os.path.relpath(found.zarr.path, place) + "/"


def labels(found, store):
    names = next((node.load(Labels).lookup("labels", None) for node in found if node.load(Labels)), [])
    by_name = {node.zarr.basename(): node for node in found if node.load(Label)}
    assert set(by_name) == set(names), f"ome-zarr-py lists the labels {names} and yields {list(by_name)}"
    return telling.labels({name: label(by_name[name], f"{store}/labels/{name}") for name in names})


def tile(mosaic, shape, row, column):
    """Return one image of a mosaic in which all have one shape."""
    height, width = shape[-2:]
    return mosaic[..., row * height : (row + 1) * height, column * width : (column + 1) * width]


def fields(store, well):
    """Return the fields of a well by name, and the nodes that show them, in order; the well shows them in a mosaic."""
    (node,) = nodes(f"{store}/{well}")
    images = node.load(Well).well_data["images"]
    found = {entry["path"]: nodes(f"{store}/{well}/{entry['path']}") for entry in images}
    width = math.ceil(math.sqrt(len(images)))
    for index, shown in enumerate(found.values()):
        same(node, shown[0], *divmod(index, width))
    told = {
        entry["path"]: telling.field(
            image(found[entry["path"]][0]),
            labels(found[entry["path"]], f"{store}/{well}/{entry['path']}"),
            entry.get("acquisition"),
        )
        for entry in images
    }
    return told, [shown[0] for shown in found.values()]


def same(mosaic, node, row, column):
    """Make sure that a mosaic shows an image in one of its tiles."""
    for all_of_them, one in zip(mosaic.data, node.data, strict=True):
        shown = tile(all_of_them, one.shape, row, column)
        assert np.array_equal(shown, one), f"{mosaic} shows other pixels than {node} in row {row}, column {column}"


def read_image(store):
    return image(nodes(store)[0])


def read_labels(store):
    return labels(nodes(store), store)


def read_plate(store):
    (node,) = nodes(store)
    definition = node.metadata["metadata"]["plate"]
    wells = {}
    for well in definition["wells"]:
        wells[well["path"]], shown = fields(store, well["path"])
        same(node, shown[0], well["rowIndex"], well["columnIndex"])
    return telling.plate(definition, wells)


telling.run("ome-zarr", image=read_image, labels=read_labels, plate=read_plate)
