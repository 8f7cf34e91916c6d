# /// script
# requires-python = ">=3.12"
# dependencies = ["yaozarrs[io]==0.3.4", "zarr>=3.1"]
# ///
"""yaozarrs: ``validate`` (its warnings are complaints), then its models and arrays.

Its models drop the keys that they do not know, so that properties of labels have no content.
"""

import warnings

import telling
import yaozarrs


def opened(store):
    """Return the group of a store and what the validator has to say of all that is in it."""
    group = yaozarrs.open_group(store)
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        group.validate()
    return group, [warning.message for warning in complaints]


def image(group, complaints=()):
    metadata = group.ome_metadata()
    multiscale = metadata.multiscales[0]
    names = [axis.name for axis in multiscale.axes]
    return telling.image(
        [
            telling.placed(
                group[dataset.path].to_zarr_python()[...],
                names,
                {part.type: getattr(part, part.type) for part in dataset.coordinateTransformations},
            )
            for dataset in multiscale.datasets
        ],
        [telling.axis(axis.name, axis.type, axis.unit) for axis in multiscale.axes],
        None if metadata.omero is None else [channel.label for channel in metadata.omero.channels],
        multiscale.name,
        complaints,
    )


def label(group):
    told = group.ome_metadata().image_label
    return telling.label(
        image(group),
        {int(color.label_value): color.rgba for color in told.colors or ()},
        {row.label_value: row.model_extra or {} for row in told.properties or ()},
        told.source.image,
    )


def labels(group):
    # the labels' own group says nothing of the version in 0.4
    version = "0.5" if "ome" in group.attrs else "0.4"
    names = group["labels"].ome_metadata(version=version).labels if "labels" in group else []
    return {name: label(group[f"labels/{name}"]) for name in names}


def fields(well):
    """Return the fields of a well by name."""
    return {
        field.path: telling.field(image(well[field.path]), telling.labels(labels(well[field.path])), field.acquisition)
        for field in well.ome_metadata().well.images
    }


def read_image(store):
    return image(*opened(store))


def read_labels(store):
    group, complaints = opened(store)
    return telling.labels(labels(group), complaints)


def read_plate(store):
    group, complaints = opened(store)
    plate = group.ome_metadata().plate
    return telling.plate(
        plate.model_dump(by_alias=True), {well.path: fields(group[well.path]) for well in plate.wells}, complaints
    )


telling.run("yaozarrs", image=read_image, labels=read_labels, plate=read_plate)
