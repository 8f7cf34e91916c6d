"""The other libraries as judges of labels: each reads those that we write, and tells what we meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import meant
import pytest
from asking import (
    Peers,
    Silence,
    no_axis_types,
    no_cells,
    no_scale_past_level_0,
    no_source,
    no_translation,
    read_by,
    rounded,
    told_by,
)
from meant import LABELLED, VERSIONS

pytestmark = [pytest.mark.peers, pytest.mark.xdist_group("peers")]


def each(forget: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """Return what forgets the same of each image of labels."""

    def forget_each(labels: dict[str, Any]) -> None:
        for label in labels["labels"].values():
            forget(label)

    return forget_each


def colors_of_floats(label: dict[str, Any]) -> None:
    label["colors"] = {str(int(float(int(value)))): rgba for value, rgba in label["colors"].items()}


def transparent_background(label: dict[str, Any]) -> None:
    if label["colors"]:
        label["colors"].setdefault("0", [0, 0, 0, 0])


def nothing_where_labels_differ(label: dict[str, Any]) -> None:
    if label["colors"] and label["properties"] and set(label["colors"]) != set(label["properties"]):
        label.update(colors={}, properties={})


def only_arrays_where_there_are_colors(label: dict[str, Any]) -> None:
    if label["colors"]:
        label.update(axes=None, name=None, colors=None, properties=None, source=None)
        for level in label["levels"]:
            level.update(scale=None, translation=None)


def alphabetical(labels: dict[str, Any]) -> None:
    labels["names"].sort()


EVERY = VERSIONS
SILENCES: dict[str, tuple[Silence, ...]] = {
    "ome_zarr": (),
    "yaozarrs": (
        (each(no_cells), EVERY, "its models keep of a label's properties nothing but the label's value"),
        (each(colors_of_floats), EVERY, "its models hold the label values of colours as floats"),
    ),
    "ome_zarr_models": (),
    "napari_ome_zarr": (
        (each(no_scale_past_level_0), EVERY, "napari derives the coarser levels' scale from the ratio of shapes"),
        (each(no_translation), EVERY, "the reader passes none on to napari"),
        (each(no_axis_types), EVERY, "napari's axes have labels and units only"),
        (each(no_source), EVERY, "a layer knows no other one"),
        (
            each(nothing_where_labels_differ),
            EVERY,
            "it reads by ome-zarr-models, and goes on without what that refuses: see REFUSED",
        ),
        (each(transparent_background), EVERY, "it adds a colour for the background, where there are others"),
    ),
    "iohub": (
        (alphabetical, EVERY, "it lists the groups that there are"),
        (
            each(only_arrays_where_there_are_colors),
            EVERY,
            "it takes an opacity from 0 to 1, where the specification has 0 to 255, and goes on without metadata",
        ),
    ),
}
"""For each library what it does not tell, in which versions of the format, and why. Everything else is compared."""

REFUSED = {
    **{
        ("ome_zarr_models", "apart yx", version): "Inconsistent `label_value` attributes in `colors` and `properties`"
        for version in EVERY
    },
    **{("ome_zarr_models", "nested tczyx", version): "KeyError: '0/nuclei'" for version in ("0.5", "0.6")},
}
"""What a library does not open, with what it says.

The specification lets any label have a colour or properties, and the path of a level lead into a group.
"""


@pytest.mark.parametrize("kind", LABELLED)
@pytest.mark.parametrize(
    ("library", "version"), [(library, version) for library in SILENCES for version in read_by(library, "labels")]
)
def test_library_reads_the_labels_that_we_meant(library: str, version: str, kind: str, peers: Peers) -> None:
    told = peers(library, "labels", kind, version)
    if (library, kind, version) in REFUSED:
        assert REFUSED[library, kind, version] in told.get("error", "")
        return
    assert "error" not in told, f"{told['library']} {told['version']} cannot read the store:\n{told['error']}"
    assert rounded(told["labels"]) == rounded(told_by(SILENCES[library], version, meant.labels(LABELLED[kind])))
