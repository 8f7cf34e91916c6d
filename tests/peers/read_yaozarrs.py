# /// script
# requires-python = ">=3.12"
# dependencies = ["yaozarrs[io]==0.3.4", "zarr>=3.1"]
# ///
"""yaozarrs: ``validate`` (its warnings are complaints), then its models and arrays."""

import warnings

import telling
import yaozarrs


def read(store):
    group = yaozarrs.open_group(store)
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        group.validate()
    metadata = group.ome_metadata()
    multiscale = metadata.multiscales[0]
    names = [axis.name for axis in multiscale.axes]
    levels = []
    for dataset in multiscale.datasets:
        by_type = {transform.type: transform for transform in dataset.coordinateTransformations}
        levels.append(
            telling.level(
                group[dataset.path].to_zarr_python()[...],
                dict(zip(names, by_type["scale"].scale, strict=True)),
                dict(zip(names, by_type["translation"].translation, strict=True)),
            )
        )
    return telling.image(
        levels,
        [telling.axis(axis.name, axis.type, axis.unit) for axis in multiscale.axes],
        None if metadata.omero is None else [channel.label for channel in metadata.omero.channels],
        multiscale.name,
        [warning.message for warning in complaints],
    )


telling.run("yaozarrs", read)
