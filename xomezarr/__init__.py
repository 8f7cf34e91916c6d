"""Between xarray and OME-Zarr: exact, lossless, fast at any size.

>>> import numpy as np, xarray as xr, xomezarr
>>> da = xr.DataArray(np.zeros((4, 6)), dims=("y", "x")).omezarr.assign_grid(scale={"y": 0.5, "x": 0.5}, units="um")
>>> da.omezarr.scale
{'y': 0.5, 'x': 0.5}
"""

from xomezarr import starting

starting.importing()

# ruff: noqa: E402 - whoever interrupts the imports below is to be told in one line
from importlib import import_module
from importlib.metadata import version as _version
from types import ModuleType

from xomezarr import errors
from xomezarr.accessor import (
    OmeZarrArrayAccessor,
    OmeZarrDatasetAccessor,
    OmeZarrTreeAccessor,
    plot,
    thumbnail,
    to_plate,
    to_zarr,
)
from xomezarr.channels import assign_channels
from xomezarr.collection import open_collection, write_collection
from xomezarr.convert import convert
from xomezarr.coords import assign_grid, to_units
from xomezarr.errors import OmeZarrError, OmeZarrWarning
from xomezarr.export import export
from xomezarr.grid import Grid
from xomezarr.interchange import (
    from_multiscale_spatial_image,
    from_napari,
    from_ngff_zarr,
    from_spatialdata,
    to_multiscale_spatial_image,
    to_napari,
    to_ngff_zarr,
    to_spatialdata,
)
from xomezarr.labelling import delete_labels, to_labels
from xomezarr.labels import Labels
from xomezarr.model import Acquisition, Axis, Channel, Image, Level, Multiscale, Window
from xomezarr.plan import Plan
from xomezarr.planning import plan
from xomezarr.plate import open_plate
from xomezarr.plating import write_plate
from xomezarr.pyramid import pyramid
from xomezarr.readers import open_image
from xomezarr.report import Finding, Report
from xomezarr.scenes import open_scene, write_scene
from xomezarr.stacking import overview, stack
from xomezarr.systems import assign_affine
from xomezarr.tree import at, isel, labels, level, levels, sel
from xomezarr.upgrade import upgrade
from xomezarr.upgrading import Upgrade
from xomezarr.validate import validate
from xomezarr.viewer import view

__version__ = _version("xomezarr")

__all__ = [
    "Acquisition",
    "Axis",
    "Channel",
    "Finding",
    "Grid",
    "Image",
    "Labels",
    "Level",
    "Multiscale",
    "OmeZarrArrayAccessor",
    "OmeZarrDatasetAccessor",
    "OmeZarrError",
    "OmeZarrTreeAccessor",
    "OmeZarrWarning",
    "Plan",
    "Report",
    "Upgrade",
    "Window",
    "assign_affine",
    "assign_channels",
    "assign_grid",
    "at",
    "convert",
    "delete_labels",
    "errors",
    "export",
    "from_multiscale_spatial_image",
    "from_napari",
    "from_ngff_zarr",
    "from_spatialdata",
    "isel",
    "labels",
    "level",
    "levels",
    "open_collection",
    "open_image",
    "open_plate",
    "open_scene",
    "overview",
    "plan",
    "plot",
    "pyramid",
    "sel",
    "stack",
    "thumbnail",
    "to_labels",
    "to_multiscale_spatial_image",
    "to_napari",
    "to_ngff_zarr",
    "to_plate",
    "to_spatialdata",
    "to_units",
    "to_zarr",
    "upgrade",
    "validate",
    "view",
    "write_collection",
    "write_plate",
    "write_scene",
]


def __getattr__(name: str) -> ModuleType:
    """Load the assertions for tests when they are first asked for."""
    if name == "testing":
        return import_module("xomezarr.testing")
    raise AttributeError(f"module 'xomezarr' has no attribute {name!r}")
