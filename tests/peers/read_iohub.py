# /// script
# requires-python = ">=3.12"
# dependencies = ["iohub==0.3.11"]
# ///
"""iohub: its Positions, their labels, and its Plates. Metadata that it cannot read it logs, and goes on without."""

import telling
from iohub import open_ome_zarr


def image(node, channels=None):
    multiscale = node.metadata.multiscales[0]
    names = [axis.name for axis in multiscale.axes]
    return telling.image(
        [
            telling.placed(
                node[dataset.path].numpy(),
                names,
                {part.type: getattr(part, part.type) for part in dataset.coordinate_transformations},
            )
            for dataset in multiscale.datasets
        ],
        [telling.axis(axis.name, axis.type, getattr(axis, "unit", None)) for axis in multiscale.axes],
        channels,
        multiscale.name,
    )


def channels(position):
    return None if position.metadata.omero is None else position.channel_names


def label(node):
    if not hasattr(node, "metadata"):
        arrays = [telling.level(node[name].numpy()) for name in node.array_keys()]
        return telling.label(telling.image(arrays))
    told = node.metadata.image_label
    return telling.label(
        image(node),
        {color.label_value: color.rgba for color in told.colors},
        {row["label-value"]: {k: v for k, v in row.items() if k != "label-value"} for row in told.properties},
        told.source["image"],
    )


def labels(position):
    return telling.labels({name: label(node) for name, node in position.labels()})


def fields(well):
    """Return the fields of a well by name."""
    runs = {image.path: image.acquisition for image in well.metadata.images}
    return {
        name: telling.field(image(position, channels(position)), labels(position), runs[name])
        for name, position in well.positions()
    }


def read_image(store):
    with open_ome_zarr(store, mode="r") as position:
        return image(position, channels(position))


def read_labels(store):
    with open_ome_zarr(store, mode="r") as position:
        return labels(position)


def read_plate(store):
    with open_ome_zarr(store, mode="r") as plate:
        return telling.plate(
            plate.metadata.model_dump(by_alias=True), {path: fields(well) for path, well in plate.wells()}
        )


telling.run("iohub", image=read_image, labels=read_labels, plate=read_plate)
