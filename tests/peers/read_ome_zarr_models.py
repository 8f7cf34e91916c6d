# /// script
# requires-python = ">=3.12"
# dependencies = ["ome-zarr-models==1.8.1"]
# ///
"""ome-zarr-models: ``open_ome_zarr`` validates the metadata, and the arrays against them."""

import ome_zarr_models
import telling
import zarr


def read(store):
    group = zarr.open_group(store, mode="r")
    attributes = ome_zarr_models.open_ome_zarr(group).ome_attributes
    multiscale = attributes.multiscales[0]
    names = [axis.name for axis in multiscale.axes]
    levels = []
    for dataset in multiscale.datasets:
        by_type = {transform.type: transform for transform in dataset.coordinateTransformations}
        levels.append(
            telling.level(
                group[dataset.path][...],
                dict(zip(names, by_type["scale"].scale, strict=True)),
                dict(zip(names, by_type["translation"].translation, strict=True)),
            )
        )
    # 0.5 has no field for omero: there it stays the plain mapping that the store holds
    omero = getattr(attributes, "omero", None)
    rendering = omero.model_dump() if hasattr(omero, "model_dump") else omero
    channels = None if rendering is None else [channel["label"] for channel in rendering["channels"]]
    return telling.image(
        levels,
        [telling.axis(axis.name, axis.type, axis.unit) for axis in multiscale.axes],
        channels,
        multiscale.name,
    )


telling.run("ome-zarr-models", read)
