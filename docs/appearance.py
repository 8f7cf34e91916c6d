"""What the page on seeing images shows, made anew whenever the site is built: a figure, and representations."""

from __future__ import annotations

import tempfile
from pathlib import Path

import gallery
import matplotlib.pyplot as plt
import xarray as xr

import xomezarr

SPACING = {"z": 0.29, "y": 0.26, "x": 0.26}
"""Micrometres between the nuclei's voxels."""


def nuclei() -> xr.Dataset:
    """Return real nuclei with their labels, 3-D."""
    image = xr.DataArray(gallery.sample("nuclei.tif"), dims=("z", "y", "x"), name="nuclei")
    image = image.omezarr.assign_grid(scale=SPACING, units="um").expand_dims("c")
    image = image.omezarr.assign_channels([{"label": "DAPI", "color": "#30a0ff"}])
    objects = xr.DataArray(gallery.sample("nuclei_label.tif").astype("uint16"), dims=("z", "y", "x"))
    return xr.Dataset({"nuclei": image, "objects": objects.assign_coords(image.isel(c=0, drop=True).coords)})


def make(folder: Path) -> None:
    """Write a figure, and representations as HTML and as text, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        ds = nuclei()
        tree = ds.omezarr.to_zarr(f"{place}/nuclei.ome.zarr", image="nuclei", levels=3)
        figure, axes = plt.subplots(figsize=(4.6, 4.2), layout="constrained")
        tree.omezarr.plot(ax=axes)
        gallery.save(figure, folder / "plot.png")
        field = ds["nuclei"].isel(z=30, drop=True)
        wells = [("A", 1), ("A", 2), ("B", 2), ("C", 4), ("D", 6)]
        plate = xomezarr.write_plate({well: [field, field] for well in wells}, f"{place}/screen.ome.zarr")
        for name, seen in (("image", tree), ("plate", plate)):
            for suffix, said in (("html", seen.omezarr._repr_html_()), ("txt", repr(seen.omezarr))):
                (folder / f"{name}.{suffix}").write_text(said.replace(f"{place}/", ""), encoding="utf-8")
