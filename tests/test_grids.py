"""Pyramids against their own pixels: no alarm on what we write, and every fault that is put into the metadata."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import skimage.data
import xarray as xr
import zarr
from asking import SCRIPTS, TIME_LIMIT, uv
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from test_rules import OF_PIXELS
from zarr.storage import MemoryStore

import xomezarr
from xomezarr import spec
from xomezarr.downsample import METHODS
from xomezarr.drift import Piece, Relation, measure
from xomezarr.errors import OmeZarrError
from xomezarr.validate import grids

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

RNG = np.random.default_rng(5)
NOISE = RNG.normal(size=(151, 131))
Y, X = np.indices(NOISE.shape).astype(float)


def smooth(sigma: float) -> NDArray[np.float64]:
    return np.asarray(ndimage.gaussian_filter(NOISE, sigma), np.float64)


def as_uint8(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.asarray((values - values.min()) / np.ptp(values) * 255, np.uint8)


def with_holes() -> NDArray[np.float32]:
    image = smooth(1.5).astype("f4")
    image[NOISE > 1.9] = math.nan
    image[40:80, 30:90] = math.nan
    return image


def with_object(place: tuple[slice, slice], value: Any) -> NDArray[np.uint8]:
    image = np.zeros(NOISE.shape, np.uint8)
    image[place] = value
    return image


TEXTURED = {
    "noise": NOISE.astype("f4"),
    "smooth": smooth(3),
    "smooth bytes": as_uint8(smooth(2)),
    "saturated": as_uint8(np.clip(smooth(2) * 8, -0.5, 0.5)),
    "holes": with_holes(),
    "camera": skimage.data.camera()[100:303, 100:301],
    "cell": skimage.data.cell()[300:503, 200:401],
    "coins": skimage.data.coins()[:203, :201],
    "text": skimage.data.text(),
}
"""Images whose pixels tell where they lie."""

TREACHEROUS = {
    "two values": smooth(3) > 0.03,
    "few photons": RNG.poisson(0.7, NOISE.shape).astype("u1"),
    "cartoon": np.kron(RNG.integers(0, 255, (19, 17)), np.ones((8, 8), int))[:151, :131].astype("u1"),
    "cells of two": np.kron(RNG.integers(0, 255, (76, 66)), np.ones((2, 2), int))[:151, :131].astype("u1"),
    "ramp": (3 * X + Y).astype("f4"),
    "ramp bytes": as_uint8(X + 0.2 * Y),
    "sawtooth": ((X % 16) * 9 + Y % 11).astype("u1"),
    "sawtooth between pixels": X % 5.3 - Y % 7.7,
    "sines": np.sin(X * 2 * np.pi / 8) * np.cos(Y * 2 * np.pi / 6),
    "stripes": (100 * ((X - 1) // 4 % 2) + 0 * Y).astype("u1"),
    "checks": ((X // 3 + Y // 5) % 2).astype("u1"),
    "one square": with_object((slice(50, 101), slice(51, 94)), 200),
    "object at the border": with_object((slice(3, 14), slice(2, 15)), 200),
    "textured object": with_object((slice(90, 111), slice(60, 83)), as_uint8(NOISE[:21, :23])),
    "edge": with_object((slice(51, None), slice(None)), 200),
    "disc": (np.hypot(Y - 70, X - 60) < 50).astype("u1") * 100,
    "labels": ndimage.label(smooth(3) > 0.05)[0].astype("i4"),
    "constant": np.ones(NOISE.shape, "u2"),
    "tiny": NOISE[:19, :23],
    "thin": NOISE[:7],
}
"""Images that tell little, or that methods which are no means shift to one side."""

IMAGES: dict[str, NDArray[Any]] = {**TEXTURED, **TREACHEROUS}
FACTORS: Sequence[tuple[Any, int]] = ((2, 3), (3, 2), ({"y": 1, "x": 4}, 2))
"""With how many levels there are."""

MADE = [
    (2, 2, METHODS),
    (3, 2, ("mode", "min", "gaussian")),
    (4, 2, ("resize",)),
    ({"y": 1, "x": 4}, 2, ("nearest", "max", "local_mean")),
]
"""Factors, levels, and the methods that are tried with them."""


def image_of(pixels: NDArray[Any], dims: str = "yx") -> xr.DataArray:
    coords = {
        dim: xr.Variable(dim, 3 + 0.5 * np.arange(size), {"units": "um"})
        for dim, size in zip(dims, pixels.shape, strict=True)
        if dim in "zyx"
    }
    return xr.DataArray(pixels, dims=list(dims), coords=coords)


def judged(store: Any) -> dict[str, list[str]]:
    """Return what is found of grids: the message of each finding by its rule and level."""
    found: dict[str, list[str]] = {}
    for one in xomezarr.validate(store, grids=True):
        if one.rule in OF_PIXELS:
            found.setdefault(f"{one.rule} {one.location}", []).append(one.message)
    return found


def displaced(store: Any, by: Callable[[int, str], tuple[float, float]], group: str = "") -> None:
    """Change the metadata of an image of 0.4: scale and translation of each level by a factor and an addition."""
    opened = zarr.open_group(store, path=group, mode="r+", use_consolidated=False)
    attrs = json.loads(json.dumps(opened.attrs.asdict()))
    names = [axis["name"] for axis in attrs["multiscales"][0]["axes"]]
    for index, dataset in enumerate(attrs["multiscales"][0]["datasets"]):
        scale, translation = dataset["coordinateTransformations"]
        for axis, name in enumerate(names):
            factor, more = by(index, name)
            scale["scale"][axis] *= factor
            translation["translation"][axis] += more
    opened.attrs.put(attrs)


# --- no alarms -------------------------------------------------------------------------------------------------------


@pytest.mark.sweep(2)
@pytest.mark.parametrize("name", IMAGES)
def test_no_fault_is_found_in_what_xomezarr_writes(name: str) -> None:
    image, tried = image_of(IMAGES[name]), 0
    for factors, levels, methods in MADE:
        for method in methods:
            try:
                tree = image.omezarr.pyramid(method=method, factors=factors, levels=levels)
            except OmeZarrError:  # a method that does not take the dtype, a step that shrinks nothing
                continue
            tree.omezarr.to_zarr(store := MemoryStore())
            alarms = [key for key in judged(store) if not key.startswith("113")]
            assert not alarms, (method, factors)
            tried += 1
    assert tried > 10


@pytest.mark.sweep(2)
@pytest.mark.parametrize("method", ["mode", "nearest", "min", "max"])
@pytest.mark.parametrize("name", ["labels", "two values", "cartoon", "one square", "textured object", "disc"])
def test_no_fault_is_found_in_labels(name: str, method: str) -> None:
    image = image_of(smooth(2))
    for factors, levels in FACTORS:
        # labels lie where their image does
        made = "nearest" if method == "nearest" else "local_mean"
        image.omezarr.to_zarr(store := MemoryStore(), method=made, factors=factors, levels=levels)
        labels = image_of(np.asarray(IMAGES[name], "i4"))
        labels.omezarr.to_labels(store, "cells", method=method)
        assert not [key for key in judged(store) if not key.startswith("113")], factors


def test_three_dimensions_channels_and_times_are_judged_where_something_is_to_be_seen() -> None:
    pixels = np.zeros((2, 2, 41, 60, 57), "u2")
    pixels[1, 0] = as_uint8(np.asarray(ndimage.gaussian_filter(RNG.normal(size=(41, 60, 57)), 1)))
    image_of(pixels, "tczyx").omezarr.to_zarr(store := MemoryStore(), factors={"z": 2, "y": 2, "x": 2}, levels=2)
    assert judged(store) == {}
    displaced(store, lambda index, dim: (1, 0.25 * index * (dim == "z")))
    assert list(judged(store)) == ["110 1"]


# --- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.sweep(3)
@pytest.mark.parametrize("method", ["local_mean", "nearest", "gaussian", "resize", "zoom", "median"])
@pytest.mark.parametrize(
    ("name", "factor"),
    [("noise", 2), ("holes", 2), *((name, f) for name in ("smooth", "camera", "cell") for f in (2, 3, 4))],
)
def test_half_a_pixel_is_found_and_the_cure_is_the_true_translation(name: str, factor: int, method: str) -> None:
    image_of(IMAGES[name]).omezarr.to_zarr(store := MemoryStore(), method=method, factors=factor, levels=2)
    (true,) = [
        level.translation["y"] for level in spec.parse(zarr.open_group(store).attrs.asdict()).multiscale.levels[1:]
    ]
    assert not [key for key in judged(store) if not key.startswith("113")]
    displaced(store, lambda index, dim: (1, -0.25 * index * (dim == "y")))
    (found,) = [one for one in xomezarr.validate(store, grids=True) if one.rule == "110"]
    assert found.location == "1"
    told = re.fullmatch(
        r"along 'y', its pixels lie (.+) pixels of level 0 \((.+) micrometer\) behind .*", found.message
    )
    assert told is not None
    assert [float(number) for number in told.groups()] == pytest.approx([0.5, 0.25], abs=0.03)
    assert float(found.cure.rpartition(" ")[2]) == pytest.approx(true, abs=0.015)
    displaced(store, lambda index, dim: (1, index * (dim == "y") * (float(found.cure.split()[-1]) - true + 0.25)))
    assert not [key for key in judged(store) if not key.startswith("113")]


def test_a_scale_that_is_the_ratio_of_the_shapes_is_found_with_the_true_one() -> None:
    image = image_of(np.random.default_rng(2).normal(size=(203, 409)))
    image.omezarr.to_zarr(store := MemoryStore(), boundary="trim", factors=2, levels=5)
    sizes = [zarr.open_array(store, path=str(level)).shape[0] for level in range(5)]
    assert sizes == [203, 101, 50, 25, 12]
    displaced(store, lambda k, dim: (203 / sizes[k] / 2**k, (203 / sizes[k] - 2**k) / 4) if dim == "y" else (1, 0))
    found = [one for one in xomezarr.validate(store, grids=True).warnings if one.rule in OF_PIXELS]
    assert [(one.rule, one.location) for one in found] == [("111", str(level)) for level in range(1, 5)]
    assert [float(one.cure.rpartition(" ")[2]) for one in found] == [1, 2, 4, 8]
    last = (203 / 12 - 16) * 11.5
    assert f"the last one lies {last:.3g} pixels of level 0 ({last / 2:.3g} micrometer) before" in found[-1].message


def test_a_level_with_the_factor_of_another_is_found() -> None:
    image_of(IMAGES["camera"]).omezarr.to_zarr(store := MemoryStore(), factors=2, levels=3)
    displaced(store, lambda index, dim: (0.75, 0) if index == 2 else (1, 0))
    found = judged(store)
    assert list(found) == ["111 2"]
    assert all("are 4 pixels of level 0 apart, and its scale says 3" in message for message in found["111 2"])


def exchanged(store: MemoryStore, change: Callable[[NDArray[Any]], NDArray[Any]], path: str = "1") -> None:
    """Change the pixels of a level."""
    array = zarr.open_array(store, path=path, mode="r+")
    array[...] = change(np.asarray(array[...]))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda level: level[::-1], "mirrored along 'y'"),
        (lambda level: level[:, ::-1], "mirrored along 'x'"),
        (lambda level: level[::-1, ::-1], "mirrored along 'y' and 'x'"),
        (lambda level: level.T, "with 'y' and 'x' exchanged"),
        (lambda level: np.rot90(level), "with 'y' and 'x' exchanged mirrored along 'y'"),
        (lambda level: 0 * level, "all its pixels are 0"),
    ],
)
@pytest.mark.parametrize("name", ["noise", "smooth bytes", "camera", "cell"])
def test_a_level_that_does_not_show_the_one_before_it_is_found(
    name: str, change: Callable[[NDArray[Any]], NDArray[Any]], told: str
) -> None:
    pixels = np.asarray(IMAGES[name])[:131, :131]
    pixels = pixels - pixels.min() + 1
    image_of(pixels).omezarr.to_zarr(store := MemoryStore(), levels=2)
    assert judged(store) == {}
    exchanged(store, change)
    (message,) = judged(store)["114 1"]
    assert told in message.replace(",", "")
    assert len(judged(store)) == 1


def test_a_level_that_is_mirrored_in_three_dimensions_is_found() -> None:
    pixels = as_uint8(np.asarray(ndimage.gaussian_filter(RNG.normal(size=(40, 90, 80)), 1)))
    image_of(pixels, "zyx").omezarr.to_zarr(store := MemoryStore(), levels=2, factors=2)
    exchanged(store, lambda level: level[::-1])
    assert judged(store) == {"114 1": ["its pixels are those of '0' mirrored along 'z'"]}


@pytest.mark.parametrize("by", [-20, 13])
def test_a_level_that_is_far_from_where_it_is_looked_for_is_measured(by: int) -> None:
    image_of(IMAGES["camera"]).omezarr.to_zarr(store := MemoryStore(), levels=2)
    exchanged(store, lambda level: np.roll(level, by, 0))
    (message,) = judged(store)["110 1"]
    told = f"along 'y', its pixels lie {2 * abs(by)} pixels of level 0 ({abs(by)} micrometer)"
    assert message.startswith(f"{told} {'before' if by > 0 else 'behind'}")


def test_a_level_beside_the_image_is_measured_and_its_metadata_alone_tell_it() -> None:
    image_of(IMAGES["camera"]).omezarr.to_zarr(store := MemoryStore(), levels=2)
    displaced(store, lambda index, dim: (1, 500 * index * (dim == "y")))
    (message,) = judged(store)["110 1"]
    assert message.startswith("along 'y', its pixels lie 1000 pixels of level 0 (500 micrometer) before")
    (told,) = [one.message for one in xomezarr.validate(store)]
    assert told == "by its translation, dimension 'y' begins 1000 pixels of '0' behind that"


def test_of_levels_that_show_nothing_of_the_image_a_note_says_so() -> None:
    image_of(IMAGES["camera"]).omezarr.to_zarr(store := MemoryStore(), levels=2)
    exchanged(store, lambda level: RNG.permutation(level.ravel()).reshape(level.shape))
    (note,) = xomezarr.validate(store, grids=True)
    assert note.rule == "113"
    assert note.message.endswith("its pixels are no means of those of the level before")
    assert note.cure.startswith("look whether they show the same")


def test_stacks_of_few_planes_are_measured_along_all_dimensions() -> None:
    pixels = as_uint8(np.asarray(ndimage.gaussian_filter(RNG.normal(size=(8, 120, 110)), 1)))
    image_of(pixels, "zyx").omezarr.to_zarr(store := MemoryStore(), factors=2, levels=2)
    assert judged(store) == {}
    displaced(store, lambda index, dim: (1, -0.25 * index))
    assert [message.split(" (")[0] for message in judged(store)["110 1"]] == [
        f"along {dim!r}, its pixels lie 0.5 pixels of level 0" for dim in "zyx"
    ]


@settings(max_examples=20)
@given(
    st.sampled_from([2, 3, 4]),
    st.floats(-1.5, 1.5),
    st.floats(-1.5, 1.5),
    st.sampled_from(["nearest", "mean", "gaussian"]),
)
def test_any_offset_is_measured_for_any_kernel(factor: int, y: float, x: float, kernel: str) -> None:
    fine = smooth(1)
    sample = (factor - 1) // 2
    made = {
        "nearest": (fine[sample::factor, sample::factor], sample),
        "mean": (fine[: 150 // factor * factor, : 130 // factor * factor], (factor - 1) / 2),
        "gaussian": (np.asarray(ndimage.gaussian_filter(fine, factor / 4))[::factor, ::factor], 0),
    }
    coarse, offset = made[kernel]
    if kernel == "mean":
        coarse = coarse.reshape(150 // factor, factor, 130 // factor, factor).mean((1, 3))
    stated = [Relation(factor, offset + y), Relation(factor, offset + x)]
    found = measure([Piece(fine, coarse, (0, 0), (0, 0))], stated, list(zip(fine.shape, coarse.shape, strict=True)))
    for one in found:
        assert one.relation is not None
        assert one.relation.scale == pytest.approx(factor, abs=1e-3)
        assert one.relation.offset == pytest.approx(offset, abs=0.05)


# --- labels ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def labelled() -> MemoryStore:
    image = image_of(smooth(1))
    image.omezarr.to_zarr(store := MemoryStore(), method="nearest", factors=2, levels=3)
    image_of(IMAGES["labels"]).omezarr.to_labels(store, "cells", method="nearest")
    return store


def test_labels_beside_their_image_are_found(labelled: MemoryStore) -> None:
    assert not [key for key in judged(labelled) if not key.startswith("113")]
    displaced(labelled, lambda index, dim: (1, 0.25 if dim == "y" else 0), "labels/cells")
    (message,) = judged(labelled)["112 labels/cells: 0"]
    assert message.startswith("along 'y', the metadata put these labels 0.5 pixels behind")


def test_labels_that_leave_their_own_finer_levels_are_found(labelled: MemoryStore) -> None:
    displaced(labelled, lambda index, dim: (1, 0.25 * (index > 0)), "labels/cells")
    assert "112 labels/cells: 1" in judged(labelled)
    assert not [key for key in judged(labelled) if key.startswith(("110", "111"))]


@pytest.mark.parametrize(
    "change",
    [
        lambda level: level + 50 * (level > 0),
        lambda level: np.roll(level, 7, 1),
        lambda level: (level + np.roll(level, 1, 0)) // 2,
    ],
)
def test_labels_that_the_finer_level_does_not_have_there_are_found(
    labelled: MemoryStore, change: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    exchanged(labelled, change, "labels/cells/1")
    assert [message.partition(":")[0] for message in judged(labelled)["115 labels/cells: 1"]] == [
        "it has labels where '0' does not have them"
    ]


# --- what is not judged ----------------------------------------------------------------------------------------------


def test_what_cannot_be_judged_is_a_note_that_leaves_the_store_valid() -> None:
    image_of(IMAGES["constant"]).omezarr.to_zarr(store := MemoryStore(), levels=3)
    report = xomezarr.validate(store, grids=True, strict=True)
    assert report.valid
    (note,) = report.notes
    assert (note.rule, note.severity, note.location) == ("113", "note", "0")
    assert "'y' of '1', 'x' of '1', 'y' of '2', 'x' of '2' lies is not known: its pixels are constant" in note.message
    assert "(0 errors, 0 warnings, 1 note)" in str(report)
    assert report.to_dict()["findings"][0]["severity"] == "note"


def test_c9_pixels_are_read_only_where_grids_are_asked_for(tmp_path: Path) -> None:
    image_of(IMAGES["camera"]).omezarr.to_zarr(tmp_path / "a.zarr", levels=2, version="0.5")
    (chunk,) = [path for path in (tmp_path / "a.zarr" / "1" / "c").rglob("*") if path.is_file()]
    chunk.write_bytes(b"no chunk")
    assert not xomezarr.validate(tmp_path / "a.zarr").findings
    (error,) = xomezarr.validate(tmp_path / "a.zarr", grids=True)
    assert (error.rule, error.severity, error.location) == ("98", "error", "1")
    assert "cannot be decoded" in error.message


def test_chunks_that_cannot_be_decoded_are_told_of_once_and_of_the_level_that_has_them(tmp_path: Path) -> None:
    image_of(IMAGES["camera"]).omezarr.to_zarr(tmp_path / "a.zarr", levels=3, version="0.5")
    (chunk,) = [path for path in (tmp_path / "a.zarr" / "0" / "c").rglob("*") if path.is_file()]
    chunk.write_bytes(b"no chunk")
    assert [(one.rule, one.location) for one in xomezarr.validate(tmp_path / "a.zarr", grids=True)] == [("98", "0")]


@pytest.mark.parametrize("scale", [0.0, float("nan"), -2.0])
def test_scales_that_are_none_are_told_by_their_rule_alone(tmp_path: Path, scale: float) -> None:
    image_of(IMAGES["camera"]).omezarr.to_zarr(tmp_path / "a.zarr", levels=2)
    document = json.loads((tmp_path / "a.zarr" / ".zattrs").read_text())
    document["multiscales"][0]["datasets"][1]["coordinateTransformations"][0]["scale"][0] = scale
    (tmp_path / "a.zarr" / ".zattrs").write_text(json.dumps(document))
    found = xomezarr.validate(tmp_path / "a.zarr", grids=True)
    assert "91" in {one.rule for one in found}
    assert not {"110", "111", "113"} & {one.rule for one in found}


@pytest.mark.parametrize("factor", [1.0, 1.04])
def test_a_level_of_which_nothing_is_known_makes_no_fault_of_the_next(tmp_path: Path, factor: float) -> None:
    """Noise: level 1 is told, level 2 not, and level 2 is right."""
    noise = np.random.default_rng(0).integers(0, 60000, (64, 64)).astype("u2")
    image_of(noise).omezarr.to_zarr(tmp_path / "a.zarr", levels=4)
    document = json.loads((tmp_path / "a.zarr" / ".zattrs").read_text())
    scale, translation = document["multiscales"][0]["datasets"][1]["coordinateTransformations"]
    scale["scale"][1] *= factor
    translation["translation"][1] += 2.0 * (factor == 1)
    document.pop("xomezarr")
    (tmp_path / "a.zarr" / ".zattrs").write_text(json.dumps(document))
    found = [one.location for one in xomezarr.validate(tmp_path / "a.zarr", grids=True) if one.rule in ("110", "111")]
    assert set(found) <= {"1"}
    assert found or factor != 1


def test_plates_single_files_and_urls_are_judged(tmp_path: Path) -> None:
    tree = image_of(IMAGES["camera"]).omezarr.pyramid(levels=2)
    y = tree["1"]["y"]
    tree["1"] = tree["1"].to_dataset().assign_coords(y=y.copy(data=y.values + 0.25))
    tree.omezarr.to_zarr(tmp_path / "a.ozx", shards="auto")
    xomezarr.write_plate({("A", "1"): [tree]}, tmp_path / "plate.zarr")
    tree.omezarr.to_zarr(tmp_path / "a.zarr")
    assert list(judged(tmp_path / "a.ozx")) == ["110 1"]
    assert list(judged(tmp_path / "plate.zarr")) == ["110 A/1/0: 1"]
    assert list(judged(f"local://{tmp_path / 'a.zarr'}")) == ["110 1"]


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_every_version_is_judged(version: str) -> None:
    tree = image_of(IMAGES["camera"]).omezarr.pyramid(levels=2)
    y = tree["1"]["y"]
    tree["1"] = tree["1"].to_dataset().assign_coords(y=y.copy(data=y.values + 0.25))
    tree.omezarr.to_zarr(store := MemoryStore(), version=version)
    assert list(judged(store)) == ["110 1"]


def test_of_a_large_image_a_few_chunks_are_read_and_a_shift_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texture = as_uint8(np.asarray(ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(512, 512)), 1.5)))
    image = image_of(np.tile(texture, (12, 12)))
    image.omezarr.to_zarr(tmp_path / "a.zarr", chunks={"y": 256, "x": 256}, factors=2, levels=3)
    displaced(tmp_path / "a.zarr", lambda index, dim: (1, 0.25 * index * (dim == "y")))
    monkeypatch.setattr(grids, "WHOLE", 2**18)
    read = []
    take = grids._Pick.read
    monkeypatch.setattr(grids._Pick, "read", lambda *args: read.append(take(*args)) or read[-1])
    assert [key for key in judged(tmp_path / "a.zarr") if not key.startswith("113")] == ["110 1", "110 2"]
    assert sum(pixels.size for pixels in read) < 0.05 * image.size


# --- what other libraries wrote --------------------------------------------------------------------------------------

WRITTEN_BY = {
    "ome_zarr": {
        "nearest": {"110 s1", "110 s2", "110 s3", "110 s4", "111 s4"},
        "local_mean": {"111 s1", "111 s2", "111 s3", "111 s4"},
        "resize": {"111 s1", "111 s2", "111 s4"},
        "zoom": {"111 s1"},
        "means": {"110 s1", "110 s2"},
    },
    "ngff_zarr": {
        "gaussian": {"110 scale1/image", "110 scale2/image"},
        "nearest": {"110 scale1/image"},
        "shrink": set(),
        "uneven": {"110 scale1/image", "111 scale2/image"},
    },
}
"""For each library and method what is found at least; of one that writes none of these faults, that nothing is."""


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder in which a library wrote pyramids of a texture, and of ramps along both dimensions."""
    folders: dict[str, Path] = {}

    def write(library: str) -> Path:
        if library not in folders:
            folder = folders[library] = tmp_path_factory.mktemp(library)
            rng = np.random.default_rng(0)
            texture = sum(ndimage.gaussian_filter(rng.normal(size=(203, 1001)), s) * s for s in (0.7, 2, 5))
            np.save(folder / "texture.npy", ((texture - texture.min()) / np.ptp(texture) * 60000).astype("u2"))
            for name, ramp in zip("yx", np.indices(texture.shape), strict=True):
                np.save(folder / f"{name}.npy", ramp.astype("f4"))
            script = SCRIPTS / f"write_pyramids_{library}.py"
            command = [uv(), "run", "--no-project", "--python", sys.executable, "--script", str(script), str(folder)]
            left_out = {"VIRTUAL_ENV", "PYTHONPATH", "UV_RESOLUTION"}
            environment = {key: value for key, value in os.environ.items() if key not in left_out}
            answer = subprocess.run(
                command, capture_output=True, text=True, timeout=TIME_LIMIT, env=environment, stdin=subprocess.DEVNULL
            )
            assert answer.returncode == 0, answer.stderr[-6000:]
        return folders[library]

    return write


def true_places(folder: Path, method: str) -> Mapping[tuple[str, str], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return, by path and dimension, where pixels lie in pixels of level 0: by the values of a ramp, and as stated."""
    found = {}
    for axis, dim in enumerate("yx"):
        group = zarr.open_group(folder / f"{method}-{dim}.zarr", mode="r")
        first, *others = spec.parse(group.attrs.asdict()).multiscale.levels
        for level in others:
            array = group[level.path]
            assert isinstance(array, zarr.Array)
            values = np.median(np.asarray(array[...], float), axis=1 - axis)
            stated = level.translation[dim] + level.scale[dim] * np.arange(len(values)) - first.translation[dim]
            found[level.path, dim] = (values, stated / first.scale[dim])
    return found


@pytest.mark.peers
@pytest.mark.xdist_group("peers")
@pytest.mark.parametrize(
    ("library", "method"), [(library, method) for library, methods in WRITTEN_BY.items() for method in methods]
)
def test_faults_of_other_libraries_are_found_and_as_large_as_ramps_tell(
    library: str, method: str, written: Callable[[str], Path]
) -> None:
    folder = written(library)
    found = [one for one in xomezarr.validate(folder / f"{method}-texture.zarr", grids=True) if one.rule in OF_PIXELS]
    faults = {f"{one.rule} {one.location}" for one in found if one.severity == "warning"}
    assert WRITTEN_BY[library][method] <= faults
    assert WRITTEN_BY[library][method] or not faults
    if method in ("resize", "zoom"):
        return  # their places jump at the chunks: what is found is the line through them
    true = true_places(folder, method)
    for one in found:
        values, stated = true[one.location, one.message.split("'")[1]]
        off = stated - values
        inner = slice(1, -1)  # filters see the border twice
        if one.rule == "110":
            told = float(one.message.partition(" lie ")[2].split()[0])
            assert told == pytest.approx(abs(2 * off[1] - off[2]), abs=0.06)
        elif one.rule == "111":
            told = float(one.message.partition(" lies ")[2].split()[0])
            assert told == pytest.approx(abs(off[inner][-1] * 2 - off[inner][-2]), rel=0.01, abs=0.06)
