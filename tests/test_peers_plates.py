"""The other libraries as judges of plates: each reads those that we write, and tells what we meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import meant
import pytest
from asking import (
    Peers,
    Silence,
    no_axis_types,
    no_cells,
    no_channel_axis,
    no_scale_past_level_0,
    no_source,
    no_translation,
    read_by,
    rounded,
    told_by,
)
from meant import PLATED, VERSIONS

pytestmark = [pytest.mark.peers, pytest.mark.xdist_group("peers")]


def each_label(forget: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """Return what forgets the same of all images of labels."""

    def forget_each(plate: dict[str, Any]) -> None:
        for well in plate["wells"].values():
            for field in well["fields"].values():
                for label in field["labels"]["labels"].values():
                    forget(label)

    return forget_each


def each(forget: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """Return what forgets the same of the images of all fields, and of their labels."""

    def forget_each(plate: dict[str, Any]) -> None:
        for well in plate["wells"].values():
            for field in well["fields"].values():
                forget(field["image"])
        each_label(forget)(plate)

    return forget_each


def no_definition(plate: dict[str, Any]) -> None:
    plate.update(name=None, rows=None, columns=None, field_count=None, acquisitions=None)


def first_fields(plate: dict[str, Any]) -> None:
    for well in plate["wells"].values():
        first = well["fields"]["0"]
        first["acquisition"] = None
        well["fields"] = {"first": first}


def wells_by_place(plate: dict[str, Any]) -> None:
    plate["wells"] = {f"{well['row']}/{well['column']}": well for well in plate["wells"].values()}


def names_of_the_first(plate: dict[str, Any]) -> None:
    names = {path: well["fields"]["0"]["image"]["name"] for path, well in plate["wells"].items()}
    for well in plate["wells"].values():
        well["fields"]["0"]["image"]["name"] = names[min(names)]


EVERY = VERSIONS
SILENCES: dict[str, tuple[Silence, ...]] = {
    "ome_zarr": (),
    "yaozarrs": (
        (each_label(no_cells), EVERY, "its models keep of a label's properties nothing but the label's value"),
    ),
    "ome_zarr_models": (),
    "napari_ome_zarr": (
        (names_of_the_first, EVERY, "it takes what it says of all images from the first well's"),
        (no_definition, EVERY, "layers are mosaics, and know nothing of plates"),
        (wells_by_place, EVERY, "layers are mosaics, and know nothing of plates"),
        (first_fields, EVERY, "it shows the first field of each well"),
        (each(no_channel_axis), EVERY, "a layer stands for one channel, so the axis is gone"),
        (each(no_scale_past_level_0), EVERY, "napari derives the coarser levels' scale from the ratio of shapes"),
        (each(no_translation), EVERY, "the reader passes none on to napari"),
        (each(no_axis_types), EVERY, "napari's axes have labels and units only"),
        (each_label(no_source), EVERY, "a layer knows no other one"),
    ),
    "iohub": (),
}
"""For each library what it does not tell, in which versions of the format, and why. Everything else is compared."""


@pytest.mark.parametrize("kind", PLATED)
@pytest.mark.parametrize(
    ("library", "version"), [(library, version) for library in SILENCES for version in read_by(library, "plate")]
)
def test_library_reads_the_plate_that_we_meant(library: str, version: str, kind: str, peers: Peers) -> None:
    told = peers(library, "plate", kind, version)
    assert "error" not in told, f"{told['library']} {told['version']} cannot read the store:\n{told['error']}"
    assert rounded(told["plate"]) == rounded(
        told_by(SILENCES[library], version, meant.plate(PLATED[kind], Path(told["store"])))
    )
