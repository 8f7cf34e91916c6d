# /// script
# requires-python = ">=3.12"
# dependencies = ["bioio==3.6.0", "bioio-czi==3.0.1", "bioio-dv==1.2.0", "pylibCZIrw", "mrc"]
# ///
"""BioIO, as xomezarr asks it: CZI files, written by the library of their maker, and DeltaVision are converted."""

import json
import sys
from pathlib import Path

import mrc
import numpy as np
from pylibCZIrw import czi

import xomezarr
from xomezarr import open_image
from xomezarr.errors import OmeZarrError

FOLDER = Path(sys.argv[1])


def told(call):
    """Return the error that is raised, by its type."""
    try:
        call()
    except OmeZarrError as error:
        return [type(error).__name__, str(error)]
    return None


rng = np.random.default_rng(0)
cells = rng.integers(0, 60000, (2, 3, 64, 80)).astype("uint16")
with czi.create_czi(str(FOLDER / "cells.czi")) as document:
    for channel, z in np.ndindex(cells.shape[:2]):
        document.write(cells[channel, z, ..., None], plane={"C": channel, "Z": z, "T": 0})
    np.save(FOLDER / "cells.npy", cells)
    names = {0: "DAPI", 1: "GFP"}
    document.write_metadata("cells", channel_names=names, scale_x=0.325e-6, scale_y=0.325e-6, scale_z=2e-6)
with czi.create_czi(str(FOLDER / "photo.czi")) as document:
    photo = rng.integers(0, 255, (32, 40, 3)).astype("uint8")
    document.write(photo, plane={"C": 0, "Z": 0, "T": 0})
    np.save(FOLDER / "photo.npy", photo[..., ::-1])  # the library's order is blue, green, red
mrc.imsave(str(FOLDER / "cells.dv"), cells, metadata={"dx": 0.325, "dy": 0.325, "dz": 2.0})
for name in ("damaged.czi", "a.nd2", "b.unknown"):
    (FOLDER / name).write_bytes((FOLDER / "cells.czi").read_bytes()[:1500] if name == "damaged.czi" else b"no image")

for version in ("0.4", "0.5"):
    xomezarr.convert(FOLDER / "cells.czi", FOLDER / f"cells-{version}.ome.zarr", version=version)
xomezarr.convert(FOLDER / "photo.czi", FOLDER / "photo.ome.zarr")
xomezarr.convert(FOLDER / "cells.dv", FOLDER / "dv.ome.zarr")
renamed = open_image(FOLDER / "cells.czi", dims=("channel", "plane", "row", "column"))
errors = {name: told(lambda name=name: open_image(FOLDER / name)) for name in ("damaged.czi", "a.nd2", "b.unknown")}
errors["series"] = told(lambda: open_image(FOLDER / "cells.czi", series=2))
print(json.dumps({"errors": errors, "renamed": renamed.dims}))
