# /// script
# requires-python = ">=3.12"
# dependencies = ["ome-zarr==0.21.0"]
# ///
"""ome-zarr-py: the nodes that its Reader yields for an image: the image, its group of labels, and each of these."""

import os

import telling
from ome_zarr.io import parse_url
from ome_zarr.reader import Label, Labels, Reader


def nodes(store):
    location = parse_url(store, mode="r")
    assert location is not None, f"ome-zarr-py finds no store at {store}"
    found = list(Reader(location)())
    assert found, f"ome-zarr-py finds no image in {store}"
    return found


def image(node):
    metadata = node.metadata
    names = [axis["name"] for axis in metadata["axes"]]
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


def read_image(store):
    return image(nodes(store)[0])


def read_labels(store):
    found = nodes(store)
    (names,) = (node.load(Labels).lookup("labels", None) for node in found if node.load(Labels))
    by_name = {node.zarr.basename(): node for node in found if node.load(Label)}
    assert set(by_name) == set(names), f"ome-zarr-py lists the labels {names} and yields {list(by_name)}"
    return telling.labels({name: label(by_name[name], f"{store}/labels/{name}") for name in names})


telling.run("ome-zarr", image=read_image, labels=read_labels)
