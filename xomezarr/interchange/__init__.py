"""Images to and from the objects of other libraries: each says where pixels lie in its own way, and none moves them.

They are one family. ``to_…(image, name=, labels=, coordinate_system=, as_labels=)`` gives the other library's object:
that of a single array for an array, of all levels for a tree. ``from_…(source, name=, labels=, coordinate_system=,
units=, dims=)`` gives a tree, as `open_datatree` does, with labels where the other object holds some. Each has those of
the parameters that mean something to its library. Nothing is read on the way. The packages are no dependencies: they
are imported where their objects are made, and there alone.
"""

from xomezarr.interchange.multiscale_spatial_image import from_multiscale_spatial_image, to_multiscale_spatial_image
from xomezarr.interchange.napari import from_napari, to_napari
from xomezarr.interchange.ngff_zarr import from_ngff_zarr, to_ngff_zarr
from xomezarr.interchange.spatialdata import from_spatialdata, to_spatialdata

__all__ = [
    "from_multiscale_spatial_image",
    "from_napari",
    "from_ngff_zarr",
    "from_spatialdata",
    "to_multiscale_spatial_image",
    "to_napari",
    "to_ngff_zarr",
    "to_spatialdata",
]
