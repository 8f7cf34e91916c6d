# /// script
# requires-python = ">=3.12"
# dependencies = ["ome-zarr==0.21.0"]
# ///
"""ome-zarr-py: what its Reader yields for an image."""

import telling
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader


def read(store):
    location = parse_url(store, mode="r")
    assert location is not None, f"ome-zarr-py finds no store at {store}"
    nodes = list(Reader(location)())
    assert nodes, f"ome-zarr-py finds no image in {store}"
    metadata = nodes[0].metadata
    names = [axis["name"] for axis in metadata["axes"]]
    levels = []
    for pixels, transforms in zip(nodes[0].data, metadata["coordinateTransformations"], strict=True):
        by_type = {transform["type"]: transform for transform in transforms}
        scale = by_type["scale"]["scale"]
        translation = by_type["translation"]["translation"] if "translation" in by_type else [0.0] * len(names)
        levels.append(
            telling.level(
                pixels.compute(),
                dict(zip(names, scale, strict=True)),
                dict(zip(names, translation, strict=True)),
            )
        )
    axes = [telling.axis(axis["name"], axis.get("type"), axis.get("unit")) for axis in metadata["axes"]]
    return telling.image(levels, axes, metadata.get("channel_names"), metadata["name"])


telling.run("ome-zarr", read)
