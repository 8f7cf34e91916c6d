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
from ome_zarr_models import v04, v05, v06

MODELS = {None: v04, "0.5": v05, "0.6": v06}
"""By the version that a group names for all its metadata."""


def models(group):
    return MODELS[group.attrs.get("ome", {}).get("version")]


def steps(dataset):
    """Return the numbers of the transformations of a level by type; from 0.6 on they stand in a sequence."""
    given = dataset.coordinateTransformations
    parts = [step for part in given for step in getattr(part, "transformations", [part])]
    return {part.type: getattr(part, part.type) for part in parts}


def image(group, attributes):
    multiscale = attributes.multiscales[0]
    axes = multiscale.intrinsic_coordinate_system.axes if hasattr(multiscale, "coordinateSystems") else multiscale.axes
    names = [axis.name for axis in axes]
    # from 0.5 on there is no field for omero: there it stays the plain mapping that the store holds
    omero = getattr(attributes, "omero", None)
    rendering = omero.model_dump() if hasattr(omero, "model_dump") else omero
    return telling.image(
        [
            telling.placed(
                group[dataset.path][...],
                names,
                steps(dataset),
            )
            for dataset in multiscale.datasets
        ],
        [telling.axis(axis.name, axis.type, axis.unit) for axis in axes],
        None if rendering is None else [channel["label"] for channel in rendering["channels"]],
        multiscale.name,
    )


def label(group):
    attributes = models(group).ImageLabel.from_zarr(group).ome_attributes
    told = attributes.image_label
    return telling.label(
        image(group, attributes),
        {color.label_value: color.rgba for color in told.colors or ()},
        {row.label_value: row.model_extra for row in told.properties or ()},
        told.source.image,
    )


def labels(group):
    found = models(group).Image.from_zarr(group).labels
    names = [] if found is None else found.ome_attributes.labels
    return telling.labels({name: label(group[f"labels/{name}"]) for name in names})


def fields(group):
    """Return the fields of a well by name."""
    known = models(group)
    return {
        field.path: telling.field(
            image(group[field.path], known.Image.from_zarr(group[field.path]).ome_attributes),
            labels(group[field.path]),
            field.acquisition,
        )
        for field in known.Well.from_zarr(group).ome_attributes.well.images
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
