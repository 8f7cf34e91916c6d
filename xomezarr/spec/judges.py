"""The models of ome-zarr-models, by what a group holds; loaded late."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["MODELS", "model"]

MODELS = {
    "multiscales": ("image", "ImageAttrs"),
    "image-label": ("image_label", "ImageLabelAttrs"),
    "labels": ("labels", "LabelsAttrs"),
    "plate": ("hcs", "HCSAttrs"),
    "well": ("well", "WellAttrs"),
    "bioformats2raw.layout": ("bioformats2raw", "BioFormats2RawAttrs"),
    "scene": ("scene", "BaseSceneAttrs"),
}
"""Module and class, by the key of the metadata; there is none for series. The versions name them alike."""


def model(package: str, kind: str) -> Any:
    """Return the model by which ome-zarr-models judges the metadata of a kind, in the package of a version."""
    module, name = MODELS[kind]
    return getattr(import_module(f"ome_zarr_models.{package}.{module}"), name)
