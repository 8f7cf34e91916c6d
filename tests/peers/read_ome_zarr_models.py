# /// script
# requires-python = ">=3.12"
# dependencies = ["ome-zarr-models==1.8.1"]
# ///
"""ome-zarr-models: ``open_ome_zarr`` validates the metadata, and the arrays against them.

What it cannot validate as one thing it tries as another; so labels are read by their own models, which say what is
wrong.
"""

import ome_zarr_models
import telling
import zarr
from ome_zarr_models import v04, v05

MODELS = {2: v04, 3: v05}
"""By the version of Zarr."""


def image(group, attributes):
    multiscale = attributes.multiscales[0]
    names = [axis.name for axis in multiscale.axes]
    # 0.5 has no field for omero: there it stays the plain mapping that the store holds
    omero = getattr(attributes, "omero", None)
    rendering = omero.model_dump() if hasattr(omero, "model_dump") else omero
    return telling.image(
        [
            telling.placed(
                group[dataset.path][...],
                names,
                {part.type: getattr(part, part.type) for part in dataset.coordinateTransformations},
            )
            for dataset in multiscale.datasets
        ],
        [telling.axis(axis.name, axis.type, axis.unit) for axis in multiscale.axes],
        None if rendering is None else [channel["label"] for channel in rendering["channels"]],
        multiscale.name,
    )


def label(group):
    attributes = MODELS[group.metadata.zarr_format].ImageLabel.from_zarr(group).ome_attributes
    told = attributes.image_label
    return telling.label(
        image(group, attributes),
        {color.label_value: color.rgba for color in told.colors or ()},
        {row.label_value: row.model_extra for row in told.properties or ()},
        told.source.image,
    )


def labels(group):
    found = MODELS[group.metadata.zarr_format].Image.from_zarr(group).labels
    names = [] if found is None else found.ome_attributes.labels
    return telling.labels({name: label(group[f"labels/{name}"]) for name in names})


def fields(group):
    """Return the fields of a well by name."""
    models = MODELS[group.metadata.zarr_format]
    return {
        field.path: telling.field(
            image(group[field.path], models.Image.from_zarr(group[field.path]).ome_attributes),
            labels(group[field.path]),
            field.acquisition,
        )
        for field in models.Well.from_zarr(group).ome_attributes.well.images
    }


def read_image(store):
    group = zarr.open_group(store, mode="r")
    return image(group, ome_zarr_models.open_ome_zarr(group).ome_attributes)


def read_labels(store):
    return labels(zarr.open_group(store, mode="r"))


def read_plate(store):
    group = zarr.open_group(store, mode="r")
    plate = ome_zarr_models.open_ome_zarr(group).ome_attributes.plate
    return telling.plate(plate.model_dump(by_alias=True), {well.path: fields(group[well.path]) for well in plate.wells})


telling.run("ome-zarr-models", image=read_image, labels=read_labels, plate=read_plate)
