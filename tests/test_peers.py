"""The other libraries as judges: each reads what we write, and tells what we meant.

The images are written with `xomezarr`; what is meant is computed with nothing but NumPy and arithmetic.
"""

from __future__ import annotations

from typing import Any

import meant
import pytest
from asking import (
    SCRIPTS,
    Peers,
    Silence,
    no_axes,
    no_axis_types,
    no_channel_axis,
    no_channels,
    no_name,
    no_scale,
    no_scale_past_level_0,
    no_translation,
    no_units,
    read_by,
    rounded,
    told_by,
)
from meant import KINDS, VERSIONS

pytestmark = [pytest.mark.peers, pytest.mark.xdist_group("peers")]


def dimensionless_channels(image: dict[str, Any]) -> None:
    for axis in image["axes"]:
        if axis["name"] == "c":
            axis["unit"] = "dimensionless"


EVERY = VERSIONS
SILENCES: dict[str, tuple[Silence, ...]] = {
    "ome_zarr": tuple(
        (forget, ("0.6",), "it knows no coordinate systems, and takes the axes to be those of old")
        for forget in (no_scale, no_translation, no_axes)
    ),
    "ngff_zarr": (),
    "yaozarrs": (),
    "ome_zarr_models": (),
    "iohub": (),
    "bioio_ome_zarr": (
        (no_translation, EVERY, "its Scale has no counterpart for translations"),
        (dimensionless_channels, EVERY, "it gives the channel axis, which has no unit, the unit dimensionless"),
    ),
    "napari_ome_zarr": (
        (no_channel_axis, EVERY, "a layer stands for one channel, so the axis is gone"),
        (no_scale_past_level_0, EVERY, "napari derives the coarser levels' scale from the ratio of shapes"),
        (no_translation, EVERY, "the reader passes none on to napari"),
        (no_axis_types, EVERY, "napari's axes have labels and units only"),
    ),
    "ome_zarr_js": ((no_translation, EVERY, "it tells scales alone"),),
    "tensorstore": (
        (no_scale, EVERY, "it reads arrays and knows no OME metadata"),
        (no_translation, EVERY, "it reads arrays and knows no OME metadata"),
        (no_axes, ("0.4",), "Zarr v2 has no dimension names"),
        (no_axis_types, ("0.5", "0.6"), "dimension names are all that Zarr v3 tells of axes"),
        (no_units, ("0.5", "0.6"), "dimension names are all that Zarr v3 tells of axes"),
        (no_channels, EVERY, "it reads arrays and knows no OME metadata"),
        (no_name, EVERY, "it reads arrays and knows no OME metadata"),
    ),
}
"""For each library what it does not tell, in which versions of the format, and why. Everything else is compared."""


REFUSED = {("iohub", "nested tczyx"): "'ImageArray' has no attribute '_MEMBER_TYPE'"}
"""What a library does not open, with what it says: the specification lets a level's path lead into a group."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("library", "version"), [(library, version) for library in SILENCES for version in read_by(library, "image")]
)
def test_library_reads_what_we_meant(library: str, version: str, kind: str, peers: Peers) -> None:
    told = peers(library, "image", kind, version)
    if (library, kind) in REFUSED:
        assert REFUSED[library, kind] in told.get("error", "")
        return
    assert "error" not in told, f"{told['library']} {told['version']} cannot read the store:\n{told['error']}"
    assert rounded(told["image"]) == rounded(told_by(SILENCES[library], version, meant.image(KINDS[kind])))


def test_every_script_is_asked() -> None:
    assert {f"read_{library}.py" for library in SILENCES} == {path.name for path in SCRIPTS.glob("read_*.py")}
