"""Levels of a tree: found, chosen, and cropped together (contracts C1, C2, C9)."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xomezarr
from xomezarr import errors
from xomezarr.planning import plan_tree
from xomezarr.tree import images


def tree(sizes: dict[str, int], factors: Any = 2, levels: int | None = 3, method: str = "local_mean") -> xr.DataTree:
    pixels = dask.array.arange(int(np.prod(list(sizes.values()))), chunks=1000).reshape(tuple(sizes.values()))
    da = xr.DataArray(pixels, dims=tuple(sizes), name="cells")
    da = da.omezarr.assign_grid(scale={d: 0.5 for d in sizes if d in "yx"}, translation={"x": 100.0}, units="um")
    if "c" in sizes:
        da = da.assign_coords(c=[f"channel {i}" for i in range(sizes["c"])])
    return da.omezarr.pyramid(factors=factors, levels=levels, method=method)


def edges(level: xr.DataArray, dim: str) -> tuple[float, float]:
    scale = level[dim].attrs["scale"]
    return float(level[dim][0]) - scale / 2, float(level[dim][-1]) + scale / 2


@settings(max_examples=25)
@given(data=st.data())
def test_c2_all_levels_show_the_same_physical_box(data: st.DataObject) -> None:
    size = data.draw(st.integers(16, 70))
    factors = data.draw(st.lists(st.integers(2, 3), min_size=1, max_size=3))
    whole = tree({"y": 8, "x": size}, [{"x": factor} for factor in factors], None)
    first = data.draw(st.integers(0, size - 1))
    last = data.draw(st.integers(first, size - 1))
    x = whole.omezarr.level(0).x
    box = whole.omezarr.sel(x=slice(float(x[first]), float(x[last])))
    levels, all_levels = box.omezarr.levels, whole.omezarr.levels
    total = int(np.prod(factors))
    start, stop = first // total * total, min(-(-(last + 1) // total) * total, size)
    assert levels[0].identical(all_levels[0].isel(x=slice(start, stop)))
    for level, uncropped in zip(levels, all_levels, strict=True):
        # nothing is interpolated or moved: each pixel is one of the uncropped level, at its own place
        assert level.identical(uncropped.sel(x=level.x))
        low, high = edges(level, "x")
        assert low <= edges(levels[0], "x")[0] + 1e-9
        assert high >= edges(levels[0], "x")[1] - 1e-9
        assert edges(levels[0], "x")[0] - low < 1e-9
    if any(level.sizes["x"] == 1 for level in levels[:-1]):
        return  # a single pixel shrinks no further
    again = box.omezarr.level(0).omezarr.pyramid(factors=[{"x": factor} for factor in factors])
    for level, anew in zip(levels, again.omezarr.levels, strict=True):
        np.testing.assert_array_equal(level, anew)
        np.testing.assert_allclose(level.x, anew.x)


def test_channels_are_picked_by_name_in_every_level() -> None:
    picked = tree({"c": 3, "y": 16, "x": 16}).omezarr.sel(c="channel 1")
    assert [level.shape for level in picked.omezarr.levels] == [(16, 16), (8, 8), (4, 4)]
    listed = tree({"c": 3, "y": 16, "x": 16}).omezarr.sel(c=["channel 2", "channel 0"])
    assert [list(level.c.values) for level in listed.omezarr.levels] == [["channel 2", "channel 0"]] * 3


def test_one_position_picks_the_pixel_of_each_level_that_contains_it() -> None:
    whole = tree({"z": 16, "y": 16, "x": 16})
    cut = whole.omezarr.isel(z=11)
    assert [float(level.z) for level in cut.omezarr.levels] == [11.0, 10.5, 9.5]
    near = whole.omezarr.sel(x=102.6, method="nearest")
    assert float(near.omezarr.level(0).x) == 102.5


def test_isel_counts_pixels_of_level_0() -> None:
    whole = tree({"y": 64, "x": 64})
    cropped = whole.omezarr.isel(x=slice(10, 21), y=slice(-8, None))
    assert [level.shape for level in cropped.omezarr.levels] == [(8, 16), (4, 8), (2, 4)]
    assert float(cropped.omezarr.level(0).x[0]) == 104.0


def test_a_cropped_tree_is_written_with_its_own_position(tmp_path: Path) -> None:
    box = tree({"y": 64, "x": 64}).omezarr.isel(x=slice(16, 32))
    opened = box.omezarr.to_zarr(tmp_path / "box.ome.zarr").omezarr.levels
    for level, written in zip(box.omezarr.levels, opened, strict=True):
        xr.testing.assert_identical(level.compute(), written.compute())
    assert opened[0].omezarr.translation == {"y": 0.0, "x": 108.0}


def test_c9_cropping_computes_nothing() -> None:
    def never(block: Any) -> Any:
        raise AssertionError("computed")

    lazy = dask.array.zeros((64, 64), chunks=16).map_blocks(never, dtype="f8", meta=np.empty((0, 0)))
    whole = xr.DataArray(lazy, dims=("y", "x")).omezarr.pyramid(levels=3)
    assert whole.omezarr.isel(x=slice(0, 8)).omezarr.level(0).shape == (64, 8)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda t: t.sel(x=slice(500, 600)), "nothing lies"),
        (lambda t: t.sel(x=slice(500, 600)), r"'x': it runs from 100.0 to 131.5 µm; .*sel\(x=slice\(100.0, 131.5\)\)"),
        (
            lambda t: t.sel(x=slice(105, 101)),
            r"slice\(105, 101\) along dimension 'x', which ascends: it runs from 100.0 to 131.5 µm; .*"
            r"sel\(x=slice\(101, 105\)\)",
        ),
        (lambda t: t.sel(x="DAPI"), r"'x' has no coordinate 'DAPI'; it runs from 100.0 to 131.5 µm"),
        (lambda t: t.sel(x=100.1), "nearest"),
        (lambda t: t.isel(x=slice(5, 1)), r"slice\(5, 1, None\): dimension 'x' has the indices 0 … 63"),
        (lambda t: t.at(max_bytes="1 KiB"), r"at most 1.0 KiB: the coarsest, 2, has 2.0 KiB; take it, level\(-1\)"),
        (lambda t: t.at(max_bytes="much"), 'at\\(max_bytes="256 MiB"\\)'),
        (lambda t: t.sel(q=3), "'q'"),
        (lambda t: t.isel(x=99), "99"),
        (lambda t: t.isel(x=[1, 5]), "slice"),
        (lambda t: t.isel(x=slice(0, 8, 2)), "slice"),
        (lambda t: t.level(7), "has 3"),
        (lambda t: t.level(-4), "has 3"),
        (lambda t: t.at(), "at\\(scale"),
        (lambda t: t.at(scale={"q": 1}), "'q'"),
        (lambda t: t.at(scale={"x": 0}), "positive"),
        (lambda t: t.at(max_bytes=10), "coarsest"),
    ],
)
def test_c7_what_cannot_be_selected(call: Any, says: str) -> None:
    with pytest.raises((errors.AxisError, errors.LevelError), match=says):
        call(tree({"y": 64, "x": 64}).omezarr)


def test_a_tree_without_levels_says_how_to_get_one() -> None:
    with pytest.raises(errors.LevelError, match="open_datatree"):
        xr.DataTree().omezarr.levels  # noqa: B018


@pytest.mark.parametrize("call", [lambda t: t.levels, lambda t: t.level(0), lambda t: t.thumbnail()])
def test_c7_a_tree_of_images_names_one_of_them(call: Any) -> None:
    image = tree({"y": 64, "x": 64})
    labelled = tree({"y": 64, "x": 64})
    labelled["labels/nuclei"] = image.copy()
    plate = xr.DataTree.from_dict({"/B/10/3": None})
    plate["B/10/3"], plate["B/11/0"] = labelled, image
    for below, many, path in (
        ("/", "2 images", "B/10/3"),
        ("B", "2 images", "10/3"),
        ("B/10", "an image", "3"),
        ("B/11", "an image", "0"),
    ):
        node = plate[below]
        with pytest.raises(errors.LevelError, match=f"holds {many}; take one of them") as raised:
            call(node.omezarr)
        assert str(raised.value).endswith(f"tree[{path!r}]")
        assert len(node[path].omezarr.levels) == 3


def test_c7_a_channel_that_there_is_not_is_told_with_those_that_are() -> None:
    image = tree({"c": 3, "y": 16, "x": 16}).omezarr
    for asked in ("DAPI", ["channel 1", "DAPI"]):
        with pytest.raises(errors.LevelError) as raised:
            image.sel(c=asked, method="nearest")
        assert str(raised.value) == (
            "dimension 'c' has no 'DAPI'; it has 'channel 0', 'channel 1', 'channel 2': sel(c='channel 0')"
        )


def test_channels_of_one_name_are_kept_and_told_apart_by_their_index(tmp_path: Path) -> None:
    """As of cyclic staining, where each round has its DAPI: the format has no rule against them."""
    da = xr.DataArray(np.arange(3 * 64).reshape(3, 8, 8), dims=("c", "y", "x"), name="cells")
    da = da.omezarr.assign_grid(units="um").omezarr.assign_channels(["DAPI", "GFP", "DAPI"])
    image: Any = da.omezarr.to_zarr(tmp_path / "cells.ome.zarr").omezarr
    assert [channel.label for channel in image.channels] == ["DAPI", "GFP", "DAPI"]
    xr.testing.assert_equal(image.level(0).drop_attrs(), da.drop_attrs())
    assert image.sel(c="GFP").omezarr.level(0).identical(image.level(0).isel(c=1))
    for asked in ("DAPI", ["GFP", "DAPI"]):
        with pytest.raises(errors.LevelError, match=r"'DAPI' at the indices 0, 2; say which: isel\(c=0\)"):
            image.sel(c=asked)
    assert image.isel(c=2).omezarr.level(0).identical(image.level(0).isel(c=2))


def test_where_no_level_is_as_fine_as_asked_a_warning_names_the_finest() -> None:
    whole = tree({"y": 64, "x": 64})
    with pytest.warns(errors.OmeZarrWarning, match=r"has a scale of 0.5 µm along 'x'.*at\(scale=\{'x': 0.5\}\)"):
        finest = whole.omezarr.at(scale={"x": 0.1})
    assert finest.identical(whole.omezarr.level(0))


@pytest.mark.parametrize(("asked", "level"), [(0.5, 0), (0.99, 0), (1.0, 1), (1.9, 1), (2.0, 2), (99.0, 2)])
def test_at_takes_the_coarsest_level_that_is_fine_enough(asked: float, level: int) -> None:
    whole = tree({"y": 64, "x": 64})
    assert whole.omezarr.at(scale={"x": asked}).identical(whole.omezarr.level(level))


def test_at_takes_the_finest_level_that_fits() -> None:
    whole = tree({"y": 64, "x": 64})
    assert whole.omezarr.at(max_bytes="8 KiB").identical(whole.omezarr.level(1))
    for index, level in enumerate(whole.omezarr.levels):
        assert whole.omezarr.at(max_bytes=level.nbytes).identical(whole.omezarr.level(index))
    assert whole.omezarr.at(scale={"x": 0.5}, max_bytes=whole.omezarr.level(1).nbytes).shape == (32, 32)


def test_levels_have_the_name_of_the_image_and_none_for_one_without() -> None:
    assert [level.name for level in tree({"y": 16, "x": 16}).omezarr.levels] == ["cells"] * 3
    unnamed = xr.DataArray(np.zeros((16, 16)), dims=("y", "x")).omezarr.pyramid(levels=2)
    assert [level.name for level in unnamed.omezarr.levels] == [None, None]


def test_levels_go_beyond_ten(tmp_path: Path) -> None:
    long = xr.DataArray(dask.array.zeros((4, 4096), dtype="u1", chunks=4096), dims=("y", "x"))
    levels = long.omezarr.to_zarr(tmp_path / "a.zarr", factors={"x": 2}, levels=12).omezarr.levels
    assert [level.sizes["x"] for level in levels] == [4096 >> index for index in range(12)]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_c1_a_cropped_tree_does_not_claim_to_be_the_store(tmp_path: Path, version: str) -> None:
    tree({"c": 2, "y": 64, "x": 64}).omezarr.to_zarr(tmp_path / "a.zarr", version=version)
    opened = xr.open_datatree(tmp_path / "a.zarr", engine="omezarr")
    box = opened.omezarr.sel(x=slice(110, 120), c=["channel 1"])
    first = box.omezarr.metadata.multiscale.levels[0]
    assert first.translation["x"] == float(box.omezarr.level(0).x[0]) == 110.0
    assert [channel.label for channel in box.omezarr.metadata.channels] == ["channel 1"]
    assert [axis.name for axis in opened.omezarr.sel(c="channel 0").omezarr.axes] == ["y", "x"]
    with pytest.raises(errors.OmeZarrError, match="does not know its store"):
        box.omezarr.validate()
    again = box.omezarr.to_zarr(tmp_path / "b.zarr")
    assert again.omezarr.metadata.multiscale == box.omezarr.metadata.multiscale


# --- a tree is written as its array would be ---------------------------------------------------------------------


def random_array(rng: np.random.Generator, *, irregular: bool = False) -> xr.DataArray:
    """Make a small array with dates, and with scales and origins that are no round numbers."""
    sizes = {"t": int(rng.integers(3, 9)), "z": int(rng.integers(4, 10)), "y": 9, "x": int(rng.integers(6, 20))}
    coords: dict[str, Any] = {}
    for dim in "zyx":
        scale, origin = float(rng.choice([0.1, 0.325, 2.025, 1 / 3, rng.uniform(0.1, 5)])), float(rng.normal() * 100)
        coords[dim] = (dim, origin + scale * np.arange(sizes[dim]), {"units": "micrometer", "scale": scale})
    start = np.datetime64("2024-01-01", "ns") + np.timedelta64(int(rng.integers(0, 10**12)), "ns")
    step = np.timedelta64(int(rng.choice([10**9, 1_500_000_000, 333_333_333])), "ns")
    coords["t"] = ("t", start + step * np.arange(sizes["t"]), {"scale": float(step / np.timedelta64(1, "s"))})
    if irregular:
        coords["z"] = ("z", np.cumsum(rng.uniform(1.0, 3.0, sizes["z"])), {"units": "micrometer"})
        gaps = rng.integers(10**9, 10**10, sizes["t"]).astype("m8[ns]")
        coords["t"] = ("t", start + np.cumsum(gaps))
    return xr.DataArray(rng.random(tuple(sizes.values())).astype("f4"), coords, tuple(sizes), "cells")


def said_of(path: Path) -> dict[str, Any]:
    """Return all that a store says but how its pixels were made."""
    attrs = json.loads((path / ".zattrs").read_text())
    for multiscale in attrs["multiscales"]:
        multiscale.pop("type", None)
        multiscale.pop("metadata", None)
    return attrs


def assert_same_stores(one: Path, other: Path) -> None:
    assert said_of(one) == said_of(other)
    levels, others = (xr.open_datatree(path, engine="omezarr").omezarr.levels for path in (one, other))
    for level, same in zip(levels, others, strict=True):
        xr.testing.assert_identical(level.compute(), same.compute())


STEPS: dict[str, Any] = {
    "2": {"factors": 2, "levels": 3},
    "3": {"factors": 3},
    "dates": {"factors": {"t": 2}, "levels": 3},
    "mixed": {"factors": [{"t": 2, "x": 3}, {"t": 3, "z": 2, "x": 2}, {"y": 2}]},
    "single pixels": {"factors": {"t": 4, "z": 3}, "levels": 3},
    "default": {"levels": 3},
}


@pytest.mark.parametrize("method", ["local_mean", "nearest"])
@pytest.mark.parametrize("boundary", ["pad", "trim"])
@pytest.mark.parametrize("steps", STEPS)
def test_c2_a_tree_is_written_as_its_array(tmp_path: Path, steps: str, boundary: str, method: str) -> None:
    options = {"method": method, "boundary": boundary} | STEPS[steps]
    for seed in range(2):
        da = random_array(np.random.default_rng(seed))
        array, tree, again = (tmp_path / f"{name}{seed}.ome.zarr" for name in ("array", "tree", "again"))
        da.omezarr.to_zarr(array, **options)
        written = da.omezarr.pyramid(**options).omezarr.to_zarr(tree)
        written.omezarr.to_zarr(again)
        assert_same_stores(array, tree)
        assert_same_stores(tree, again)


@pytest.mark.parametrize("method", ["local_mean", "nearest"])
@pytest.mark.parametrize("boundary", ["pad", "trim"])
@pytest.mark.parametrize("steps", STEPS)
def test_c2_irregular_levels_keep_their_blocks(tmp_path: Path, steps: str, boundary: str, method: str) -> None:
    options = {"method": method, "boundary": boundary, "irregular": "keep"} | STEPS[steps]
    for seed in range(2):
        da = random_array(np.random.default_rng(seed), irregular=True)
        array, again = tmp_path / f"array{seed}.ome.zarr", tmp_path / f"again{seed}.ome.zarr"
        da.omezarr.to_zarr(array, **options).omezarr.to_zarr(again, irregular="keep")
        assert_same_stores(array, again)


def test_c2_dates_of_coarser_levels_count_from_those_of_level_0(tmp_path: Path) -> None:
    t = np.datetime64("2024-01-01T00:00:00", "s") + 2 * np.arange(6)
    da = xr.DataArray(np.zeros((6, 4, 4)), {"t": t}, ("t", "y", "x"))
    tree = da.omezarr.pyramid(factors={"t": 2}, levels=2)
    level = tree.omezarr.to_zarr(tmp_path / "a.ome.zarr").omezarr.level(1)
    assert (level.t.values - t[0]).astype("m8[s]").astype(int).tolist() == [1, 5, 9]
    assert tree.omezarr.to_zarr(tmp_path / "b.ome.zarr").omezarr.metadata.multiscale.levels[1].translation["t"] == 1.0
    foreign = {index: tree[str(index)].to_dataset() for index in range(2)}  # blocks of no whole number of pixels
    foreign[1] = foreign[1].assign_coords(t=t[0] + np.array([500, 5800, 11100], "m8[ms]"))
    opened = xr.DataTree.from_dict({f"/{i}": ds for i, ds in foreign.items()}).omezarr.to_zarr(tmp_path / "c.ome.zarr")
    assert ((opened.omezarr.level(1).t.values - t[0]) / np.timedelta64(1, "ms")).tolist() == [500, 5800, 11100]


def test_c2_levels_that_are_no_blocks_of_level_0_keep_their_own_grid(tmp_path: Path) -> None:
    levels = {f"/{i}": xr.Dataset({"image": (("y", "x"), np.zeros((n, n)))}) for i, n in enumerate((10, 7))}
    own = np.arange(7) * 1.45 + 0.2
    levels["/1"] = levels["/1"].assign_coords(y=own, x=own)
    opened = xr.DataTree.from_dict(levels).omezarr.to_zarr(tmp_path / "a.ome.zarr").omezarr
    assert opened.metadata.multiscale.levels[1].scale == {"y": 1.45, "x": 1.45}
    np.testing.assert_array_equal(opened.level(1).x, own)


def test_c7_a_pixel_without_a_size_is_told_once(tmp_path: Path) -> None:
    da = xr.DataArray(np.zeros((1, 16, 16)), {"z": [3.0]}, ("z", "y", "x"))
    with pytest.warns(errors.PixelSizeWarning):
        tree = da.omezarr.pyramid(factors=2, levels=3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tree.omezarr.to_zarr(tmp_path / "a.ome.zarr")
    assert [warning.category for warning in caught] == [errors.PixelSizeWarning]


def test_c7_levels_of_other_dimensions_are_named(tmp_path: Path) -> None:
    levels = {"/0": xr.Dataset({"image": (("y", "x"), np.zeros((4, 4)))}), "/1": xr.Dataset()}
    levels["/1"]["image"] = (("z", "y", "x"), np.zeros((1, 2, 2)))
    with pytest.raises(errors.AxisError, match=r"level 1: its dimensions are .*'z'.*expand_dims"):
        xr.DataTree.from_dict(levels).omezarr.to_zarr(tmp_path / "a.ome.zarr")


@pytest.mark.parametrize("factors", [None, 2, {"z": 2}, {"y": 2, "x": 2}, {"t": 2}])
def test_default_chunks_of_a_tree_are_those_of_its_array(tmp_path: Path, factors: Any) -> None:
    da = xr.DataArray(dask.array.zeros((4, 40, 400, 400), dtype="u1"), dims=("t", "z", "y", "x"))
    planned = da.omezarr.plan(tmp_path / "a.ome.zarr", factors=factors, levels=2)
    tree = da.omezarr.pyramid(factors=factors, levels=2)
    made, _ = plan_tree(tree, tree.omezarr.levels, tmp_path / "b.ome.zarr")
    assert [level.chunks for level in made.levels] == [level.chunks for level in planned.levels]


def put(image: xr.DataTree, what: str) -> None:
    """Put something into an image's tree that has no place in the store."""
    match what:
        case "variable of a level":
            image["0"]["extra"] = image["0"]["image"] * 2
        case "coordinate of no pixels":
            image["1"].coords["far"] = ("far", [1, 2])
        case "attribute of a level":
            image["1"].attrs["theirs"] = 1
        case "attribute of a level of labels":
            image["labels/nuclei/1"].attrs["theirs"] = 1
        case "coordinate of the image":
            image.coords["stage"] = 3.0
        case "table":
            image["tables/counts"] = xr.Dataset({"counts": ("n", [1, 2])})
        case "image":
            image["extra"] = image["labels/nuclei"].copy()
        case "attribute between":
            image["labels/deep/er"] = image["labels/nuclei"].copy()
            image["labels/deep"].attrs["theirs"] = 1
        case "table among labels":
            image["labels/table"] = xr.Dataset({"counts": ("n", [1, 2])})
        case "below a level":
            image["0/counts"] = xr.Dataset(attrs={"theirs": 1})


PUT = {
    "variable of a level": r"the node '0' has the variables 'extra' beside its pixels",
    "coordinate of no pixels": r"the node '1' has the variables 'far' beside its pixels",
    "attribute of a level": r"the node '1' has the attributes 'theirs' beside its pixels",
    "attribute of a level of labels": r"the node 'labels/nuclei/1' has the attributes 'theirs' beside its pixels",
    "coordinate of the image": r"the image has the variables 'stage' beside its levels",
    "table": r"the node 'tables' belongs to no level and to no labels",
    "image": r"the node 'extra' belongs to no level and to no labels",
    "attribute between": r"the node 'labels/deep' has the attributes 'theirs'",
    "table among labels": r"the node 'labels/table' belongs to no level and to no labels",
    "below a level": r"the node '0/counts' belongs to no level and to no labels",
}


def labelled(store: Path, version: str) -> xr.DataTree:
    da = tree({"y": 16, "x": 16}, levels=2).omezarr.level(0)
    ds = xr.Dataset({"image": da, "nuclei": (da > 9).astype("uint16")}, attrs={"theirs": 1})
    return ds.omezarr.to_zarr(store, levels=2, version=version)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("what", PUT)
def test_c6_what_an_image_has_no_place_for_is_an_error_whose_cure_helps(
    tmp_path: Path, version: str, what: str
) -> None:
    image, copy = labelled(tmp_path / "image.zarr", version), tmp_path / "copy.zarr"
    image["labels"].attrs["listed by"] = "them"
    put(image, what)
    for write in (image.omezarr.to_zarr, lambda store: xomezarr.write_plate({("A", 1): [image]}, store)):
        with pytest.raises(errors.LevelError, match=PUT[what]) as raised:
            write(copy)
        assert not copy.exists()
    exec(str(raised.value).split("; take ")[1].split(": ", 1)[1], {"image": image})
    written = image.omezarr.to_zarr(copy)
    assert written.attrs["theirs"] == 1
    assert written["labels"].attrs["listed by"] == "them"


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_c6_attributes_of_a_tree_that_was_made_are_kept(tmp_path: Path, version: str) -> None:
    made = tree({"y": 16, "x": 16}, levels=2)
    made.attrs = {"theirs": {"a": [1]}}
    assert made.omezarr.to_zarr(tmp_path / "made.zarr", version=version).attrs["theirs"] == {"a": [1]}
    made.attrs["when"] = np.datetime64("2026-01-01")
    with pytest.raises(errors.AttributeEncodingError, match="attrs\\['when'\\]"):
        made.omezarr.to_zarr(tmp_path / "other.zarr", version=version)


def test_an_image_holds_no_images_and_its_labels_are_none(tmp_path: Path) -> None:
    image = labelled(tmp_path / "image.zarr", "0.4")
    assert images(image) == []
    assert images(xr.DataTree(children={"one": image})) == ["one"]
    assert images(image["labels"]) == ["nuclei"]


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_c6_the_levels_of_a_cropped_tree_lie_where_they_did_to_the_last_bit(
    tmp_path: Path, version: str, data: st.DataObject
) -> None:
    """And so do labels that are added to it, so that a level and its labels can be merged."""
    scale = {dim: data.draw(st.sampled_from([0.1, 0.107, 0.325, 1 / 3])) for dim in "yx"}
    start = {dim: data.draw(st.sampled_from([0.0, -3.7, 1e4 / 3])) for dim in "yx"}
    da = xr.DataArray(np.arange(90 * 300, dtype="uint16").reshape(90, 300), dims=("y", "x"), name="cells")
    whole: Any = da.omezarr.assign_grid(scale=scale, translation=start, units="um").omezarr.pyramid(levels=3)
    first = {dim: data.draw(st.integers(0, 20)) for dim in "yx"}
    box = whole.omezarr.isel({dim: slice(4 * n, None) for dim, n in first.items()})
    store = tmp_path / f"{len(list(tmp_path.iterdir()))}.zarr"
    written = box.omezarr.to_zarr(store, version=version)
    for one, other in zip(box.omezarr.levels, written.omezarr.levels, strict=True):
        for dim in "yx":
            np.testing.assert_array_equal(one[dim].values, other[dim].values)
    (box.omezarr.level(0) > 9).astype("uint8").omezarr.to_labels(store, "bright")
    again: Any = xr.open_datatree(store, engine="omezarr")
    for level, labels in zip(again.omezarr.levels, again["labels/bright"].omezarr.levels, strict=True):
        assert xr.merge([level, labels], join="exact")["bright"].equals(labels)
    assert xomezarr.validate(store).valid


def test_levels_that_another_tool_has_moved_lie_where_it_says(tmp_path: Path) -> None:
    da = xr.DataArray(np.zeros((4, 1200), "uint8"), dims=("y", "x")).omezarr.assign_grid(scale={"y": 1, "x": 0.107})
    whole: Any = da.omezarr.pyramid(levels=3)
    whole.omezarr.isel(x=slice(404, None)).omezarr.to_zarr(tmp_path / "a.zarr")
    attrs = zarr.open_group(tmp_path / "a.zarr").attrs.asdict()
    assert any(attrs["xomezarr"]["levels"])  # of more values than the attribute holds, beside it
    moved = attrs["multiscales"][0]["datasets"][1]["coordinateTransformations"]
    moved[1]["translation"][1] = 7.0
    zarr.open_group(tmp_path / "a.zarr").attrs.update(attrs)
    with pytest.warns(errors.MetadataChangedWarning, match="the translation of 'x' at level 1 is 7.0"):
        again: Any = xr.open_datatree(tmp_path / "a.zarr", engine="omezarr")
    assert again.omezarr.level(1).x[0] == 7.0
    # that of another level stays
    kept = whole.omezarr.isel(x=slice(404, None)).omezarr.level(2).x.values
    np.testing.assert_array_equal(again.omezarr.level(2).x.values, kept)
    del attrs["multiscales"][0]["datasets"][2]
    zarr.open_group(tmp_path / "a.zarr").attrs.update(attrs)
    with pytest.warns(errors.MetadataChangedWarning, match="the number of levels is 2, and was 3"):
        again = xr.open_datatree(tmp_path / "a.zarr", engine="omezarr")
    assert len(again.omezarr.levels) == 2


@pytest.mark.parametrize(
    "broken", [None, 3, "abc", [None], [{"x": {}}], [{"q": {"size": 1, "dtype": "<f8", "values": [1]}}]]
)
def test_what_is_kept_of_levels_and_broken_costs_nothing_but_itself(tmp_path: Path, broken: Any) -> None:
    da = xr.DataArray(np.zeros((4, 1200), "uint8"), dims=("y", "x"), name="cells", attrs={"gain": 2})
    whole: Any = da.omezarr.assign_grid(scale={"y": 1, "x": 0.107}).omezarr.pyramid(levels=3)
    whole.omezarr.isel(x=slice(404, None)).omezarr.to_zarr(tmp_path / "a.zarr")
    group = zarr.open_group(tmp_path / "a.zarr")
    kept: Any = group.attrs["xomezarr"]
    kept["levels"] = broken
    group.attrs["xomezarr"] = kept
    with pytest.warns(errors.MetadataChangedWarning, match="levels"):
        tree: Any = xr.open_datatree(tmp_path / "a.zarr", engine="omezarr")
    assert tree.omezarr.level(0).attrs["gain"] == 2
    np.testing.assert_allclose(tree.omezarr.level(1).x, whole.omezarr.isel(x=slice(404, None)).omezarr.level(1).x)


def test_crops_of_an_irregular_image_are_written_down_to_one_pixel(tmp_path: Path) -> None:
    """Whatever its attribute `scale` says, which is not the spacing."""
    places = np.cumsum(np.random.default_rng(0).random(16) + 0.1)
    da: Any = xr.DataArray(np.arange(256, dtype="uint8").reshape(16, 16), dims=("y", "x"))
    da = da.omezarr.assign_grid(scale={"y": 0.5}, units="um").assign_coords(
        x=("x", places, {"scale": 0.5, "units": "um"})
    )
    da.omezarr.to_zarr(tmp_path / "a.zarr", levels=4, irregular="keep")
    whole: Any = xr.open_datatree(tmp_path / "a.zarr", engine="omezarr")
    for start in range(0, 16, 3):
        for stop in range(start + 1, 17, 2):
            cut = whole.omezarr.isel(x=slice(start, stop))
            written = cut.omezarr.to_zarr(tmp_path / "b.zarr", mode="w", irregular="keep")
            for one, other in zip(cut.omezarr.levels, written.omezarr.levels, strict=True):
                np.testing.assert_array_equal(one.x.values, other.x.values)


def test_names_are_no_indices() -> None:
    da = xr.DataArray(np.zeros((2, 8, 8), "u1"), dims=("c", "y", "x")).omezarr.assign_channels(["A", "B"])
    with pytest.raises(
        errors.LevelError, match=r"'A' is no number: dimension 'c' has .* is selected by it: sel\(c='A'\)"
    ):
        da.omezarr.pyramid(levels=2).omezarr.isel(c="A")
