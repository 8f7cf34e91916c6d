"""OME-Zarr 0.1 to 0.3, which are read: hand-made stores, and those that ome-zarr-py wrote when these were new.

What they say follows their published texts, https://ngff.openmicroscopy.org/0.1/ and so on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from asking import SCRIPTS, TIME_LIMIT, uv
from hypothesis import assume, given
from hypothesis import strategies as st
from stores import files
from xarray.testing import assert_identical

import xomezarr
from xomezarr import cli, spec
from xomezarr.description import description_of
from xomezarr.errors import (
    MetadataError,
    PlacementWarning,
    PlateWarning,
    VersionError,
)
from xomezarr.extents import place, possible_factors
from xomezarr.model import Axis, Image, Level, Multiscale

EARLY = ("0.1", "0.2", "0.3")
SEPARATORS = {"0.1": ".", "0.2": "/", "0.3": "/"}
DIMS = ("t", "c", "z", "y", "x")
SHAPES = ((2, 2, 5, 101, 64), (2, 2, 5, 50, 32), (2, 2, 5, 25, 16))
OMERO = {
    "id": 1,
    "channels": [
        {"label": "DAPI", "color": "0000FF", "window": {"min": 0, "max": 255, "start": 0, "end": 99}, "active": True},
        {"label": "GFP", "color": "00FF00", "window": {"min": 0, "max": 255, "start": 0, "end": 50}, "active": True},
    ],
    "rdefs": {"model": "color"},
}


def metadata(version: str, *, named: bool = True, dims: Sequence[str] = DIMS, count: int = 3) -> dict[str, Any]:
    """Return a multiscale as the text of the version shows it."""
    return {
        **({"version": version} if named else {}),
        "name": "example",
        "datasets": [{"path": str(index)} for index in range(count)],
        **({"axes": list(dims)} if version == "0.3" else {}),
        "type": "gaussian",
        "metadata": {"method": "skimage.transform.pyramid_gaussian"},
    }


def pixels(shape: tuple[int, ...], seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 200, shape).astype("uint8")


def write(
    store: Any,
    version: str,
    *,
    path: str = "",
    shapes: Sequence[tuple[int, ...]] = SHAPES,
    dims: Sequence[str] = DIMS,
    named: bool = True,
    omero: bool = True,
    attrs: Mapping[str, Any] | None = None,
) -> zarr.Group:
    """Write an image of a version."""
    group = zarr.create_group(store, path=path, zarr_format=2)
    for index, shape in enumerate(shapes):
        keys = {"name": "v2", "separator": SEPARATORS[version]}
        chunks = tuple(min(size, 32) for size in shape)
        array = group.create_array(str(index), shape=shape, dtype="u1", chunks=chunks, chunk_key_encoding=keys)
        array[...] = pixels(shape, index)
    group.attrs.update(
        {
            "multiscales": [metadata(version, named=named, dims=dims, count=len(shapes))],
            **({"omero": {"version": version, **OMERO}} if omero else {}),
            **({"_ARRAY_DIMENSIONS": list(dims)} if version == "0.3" else {}),
            **(attrs or {}),
        }
    )
    return group


def write_labels(store: Any, version: str, name: str = "cells", **extra: Any) -> None:
    shapes = [(2, 1, *shape[2:]) for shape in SHAPES]
    label = {"version": version, "colors": [{"label-value": 1, "rgba": [255, 0, 0, 128]}]}
    if version != "0.1":
        label["properties"] = [{"label-value": 1, "class": "foo"}]
    zarr.create_group(store, path="labels", zarr_format=2, attributes={"labels": [name]})
    write(store, version, path=f"labels/{name}", shapes=shapes, omero=False, attrs={"image-label": {**label, **extra}})


def write_plate(store: Any, version: str, *, above: str = "", acquisitions: bool = False) -> None:
    """Write a plate, with a group above its rows if asked, as the text shows it."""
    wells = [f"{above}{well}" for well in ("A/1", "B/2")]
    plate = {
        "version": version,
        "name": "test",
        "rows": [{"name": "A"}, {"name": "B"}],
        "columns": [{"name": "1"}, {"name": "2"}],
        "wells": [{"path": well} for well in wells],
        "field_count": 1,
        **({"acquisitions": [{"id": 1, "name": "first", "maximumfieldcount": 1}]} if acquisitions else {}),
    }
    zarr.create_group(store, zarr_format=2, attributes={"plate": plate})
    for well in wells:
        images = [{"path": "0", **({"acquisition": 1} if acquisitions else {})}]
        root = zarr.open_group(store, mode="r+")
        root.require_group(well).attrs["well"] = (
            {"images": images} if well == wells[0] else {"version": version, "images": images}
        )
        write(store, version, path=f"{well}/0")


# -- images ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("version", EARLY)
def test_images_open_in_pixels_of_level_0(version: str, named: bool, tmp_path: Path) -> None:
    write(tmp_path / "a.zarr", version, named=named, omero=named)
    with xr.open_datatree(tmp_path / "a.zarr", engine="omezarr") as tree:
        # without a version, 0.1 and 0.2 are the same
        assert tree.omezarr.version == (version if named or version != "0.1" else "0.2")
        assert tree.omezarr.axes == tuple(Axis(dim, {"t": "time", "c": "channel"}.get(dim, "space")) for dim in DIMS)
        for index, (level, shape) in enumerate(zip(tree.omezarr.levels, SHAPES, strict=True)):
            assert (level.name, level.dims, level.shape) == ("example", DIMS, shape)
            np.testing.assert_array_equal(level, pixels(shape, index))
            factor = 2**index
            for dim in DIMS[2:]:
                # a pixel lies in the middle of those of level 0 that it stands for
                step = factor if dim != "z" else 1
                places = [np.mean(range(step * i, step * i + step)) for i in range(level.sizes[dim])]
                np.testing.assert_array_equal(level[dim], places)
                assert level[dim].attrs == {"scale": step}
        if named:
            assert [channel.label for channel in tree.omezarr.channels] == ["DAPI", "GFP"]
            np.testing.assert_array_equal(tree.omezarr.level(1)["c"], ["DAPI", "GFP"])
            assert tree.omezarr.metadata.omero == {"id": 1, "rdefs": {"model": "color"}}


@pytest.mark.parametrize("version", EARLY)
@pytest.mark.parametrize("level", [0, 1, 2])
def test_single_levels_are_those_of_the_tree(version: str, level: int, tmp_path: Path) -> None:
    write(tmp_path / "a.zarr", version)
    with xr.open_datatree(tmp_path / "a.zarr", engine="omezarr") as tree:
        assert_identical(
            xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr", level=level).load(),
            tree.omezarr.level(level).load(),
        )


@pytest.mark.parametrize("dims", ["yx", "zyx", "cyx", "tyx", "tczyx"])
def test_axes_of_0_3_are_those_that_it_names(dims: str, tmp_path: Path) -> None:
    shapes = [tuple(shape[DIMS.index(dim)] for dim in dims) for shape in SHAPES]
    write(tmp_path / "a.zarr", "0.3", shapes=shapes, dims=dims, omero=False)
    assert list(xomezarr.validate(tmp_path / "a.zarr", strict=True)) == []
    with xr.open_dataset(tmp_path / "a.zarr", engine="omezarr", level=1) as level:
        assert level["image"].dims == tuple(dims)
        assert level["y"].values[:2].tolist() == [0.5, 2.5]


@pytest.mark.parametrize("version", EARLY)
def test_a_tree_says_in_0_4_what_is_known(version: str, tmp_path: Path) -> None:
    write(tmp_path / "a.zarr", version, attrs={"mine": 1})
    write_labels(tmp_path / "a.zarr", version)
    with xr.open_datatree(tmp_path / "a.zarr", engine="omezarr") as tree:
        assert not [found for found in spec.findings(tree.attrs) if found.severity == "error"]
        assert (spec.detect(tree.attrs), tree.attrs["mine"]) == ("0.4", 1)
        # cropped, and written anew, everything is where it was
        cropped = tree.omezarr.sel(x=slice(8, 40), y=slice(16, 80), c="GFP")
        assert cropped.omezarr.metadata.multiscale.levels[2].translation["x"] == 9.5
        assert cropped.omezarr.version == version
        written = tree.omezarr.to_zarr(tmp_path / "b.zarr")
        assert written.omezarr.version == "0.4"
        assert xomezarr.validate(tmp_path / "b.zarr").valid
        for old, new in zip(tree.omezarr.levels, written.omezarr.levels, strict=True):
            assert_identical(old.load(), new.load())
        assert written.omezarr.labels["cells"].omezarr.colors == {1: "#ff000080"}
        assert written.attrs["mine"] == 1


@pytest.mark.parametrize("version", EARLY)
def test_labels_lie_on_their_image(version: str, tmp_path: Path) -> None:
    write(tmp_path / "a.zarr", version)
    write_labels(tmp_path / "a.zarr", version, source={"image": "../../"})
    with xr.open_datatree(tmp_path / "a.zarr", engine="omezarr") as tree:
        labels = tree.omezarr.labels["cells"]
        assert labels.omezarr.version == version
        assert labels.omezarr.colors == {1: "#ff000080"}
        assert list(labels.omezarr.properties.columns) == ([] if version == "0.1" else ["class"])
        for own, theirs in zip(labels.omezarr.levels, tree.omezarr.levels, strict=True):
            for dim in ("t", "z", "y", "x"):
                np.testing.assert_array_equal(own[dim], theirs[dim])
    assert list(xomezarr.validate(tmp_path / "a.zarr", strict=True)) == []


# -- by which factors --------------------------------------------------------------------------------------


@given(st.integers(1, 300), st.integers(1, 300))
def test_possible_factors_are_all_that_there_are(fine: int, coarse: int) -> None:
    found = [factor for factor in range(1, fine + 1) if coarse in (fine // factor, -(-fine // factor))]
    assume(fine >= coarse)
    assert list(possible_factors(fine, coarse)) == (found if fine > coarse else [1])


@given(
    st.data(),
    st.dictionaries(st.sampled_from("zyx"), st.integers(1, 400), min_size=1),
    st.lists(st.integers(2, 4), min_size=1, max_size=3),
    st.sampled_from(["pad", "trim"]),
)
def test_factors_are_told_by_sizes(
    data: st.DataObject, sizes: dict[str, int], factors: list[int], boundary: str
) -> None:
    """Of an image that shrinks by whole factors, each level lies where its blocks do, if one dimension is long."""
    sizes |= {"y": data.draw(st.integers(2000, 3000))}
    shrinking = {dim for dim in sizes if dim == "y" or data.draw(st.booleans())}
    every, products = [sizes], [dict.fromkeys(sizes, 1)]
    for factor in factors:
        steps = {dim: factor if dim in shrinking and every[-1][dim] > 1 else 1 for dim in sizes}
        every.append(
            {dim: max(-(-n // steps[dim]) if boundary == "pad" else n // steps[dim], 1) for dim, n in every[-1].items()}
        )
        products.append({dim: products[-1][dim] * steps[dim] for dim in sizes})
    found, doubts = place(unplaced(tuple(sizes), len(every)), every)
    assert doubts == ()
    for level, product in zip(found.multiscale.levels, products, strict=True):
        for dim in shrinking:
            if every[0][dim] > 100 or dim == "y":
                assert level.scale[dim] == product[dim]
                assert level.translation[dim] == np.mean(range(product[dim]))


def unplaced(dims: tuple[str, ...], count: int) -> Image:
    axes = tuple(Axis(dim, "space") for dim in dims)
    levels = tuple(Level(str(index), dict.fromkeys(dims, 1.0), dict.fromkeys(dims, 0.0)) for index in range(count))
    return Image((Multiscale(None, axes, levels, placed=False),))


@pytest.mark.parametrize(
    ("sizes", "scales", "doubts"),
    [
        # 5 becomes 2 by 2, 3 and 4: the other dimension, or another level, decides
        ([{"z": 5, "x": 512}, {"z": 2, "x": 256}], [{"z": 2, "x": 2}], []),
        ([{"x": 5}, {"x": 2}, {"x": 1}], [{"x": 2}, {"x": 4}], []),
        ([{"x": 81}, {"x": 27}, {"x": 9}, {"x": 3}, {"x": 1}], [{"x": 3}, {"x": 9}, {"x": 27}, {"x": 81}], []),
        # z shrinks less than the others, and by what only it tells
        ([{"z": 100, "x": 512}, {"z": 50, "x": 128}], [{"z": 2, "x": 4}], []),
        ([{"z": 3, "x": 512}, {"z": 1, "x": 256}], [{"z": 2, "x": 2}], []),
        # a block of 4 is larger than what there is along z
        ([{"z": 3, "x": 512}, {"z": 1, "x": 128}], [{"z": 4, "x": 4}], []),
        ([{"x": 5}, {"x": 2}], [{"x": 2}], ["a factor from 2 to 4, of which 2 is taken"]),
        ([{"x": 7}, {"x": 1}], [{"x": 7}], ["a factor from 4 to 7, of which 7 is taken"]),
        ([{"x": 1000}, {"x": 300}], [{"x": 1000 / 300}], ["by no whole factor, so that 3.33333, the ratio"]),
        ([{"x": 100}, {"x": 200}], [{"x": 0.5}], ["by no whole factor"]),
    ],
)
def test_what_sizes_do_not_tell_alone(
    sizes: list[dict[str, int]], scales: list[dict[str, float]], doubts: list[str]
) -> None:
    found, told = place(unplaced(tuple(sizes[0]), len(sizes)), sizes)
    assert [dict(level.scale) for level in found.multiscale.levels[1:]] == scales
    assert len(told) == len(doubts)
    for one, part in zip(told, doubts, strict=True):
        assert part in one
        assert "along 'x'" in one
    # all levels cover the same, whatever the factor
    for level, of_level in zip(found.multiscale.levels, sizes, strict=True):
        for dim in of_level:
            assert level.translation[dim] - level.scale[dim] / 2 == -0.5


def test_levels_whose_factor_is_not_known_are_told(tmp_path: Path) -> None:
    write(tmp_path / "a.zarr", "0.3", shapes=[(100, 100), (30, 50)], dims="yx", omero=False)
    with pytest.warns(PlacementWarning, match=r"level 1 has 30 pixels along 'y'.*by no whole factor.*to_zarr") as told:
        tree = xr.open_datatree(tmp_path / "a.zarr", engine="omezarr")
    assert len(told) == 1
    assert tree.omezarr.level(1)["x"].values[0] == 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error", PlacementWarning)
        # of level 0 there is no doubt
        level = xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr")
        assert level["y"].values[:2].tolist() == [0, 1]
        write(tmp_path / "b.zarr", "0.3", shapes=[(100, 100), (50, 50)], dims="yx", omero=False)
        xr.open_datatree(tmp_path / "b.zarr", engine="omezarr").close()


def test_an_image_that_is_placed_stays_as_it_is() -> None:
    image = Image((Multiscale(None, (Axis("x"),), (Level("0", {"x": 2.0}, {"x": 1.0}),)),))
    assert place(image, [{"x": 3}]) == (image, ())


def test_transformations_that_the_version_does_not_have_are_told(tmp_path: Path) -> None:
    group = write(tmp_path / "a.zarr", "0.3", shapes=[(100, 100)], dims="yx", omero=False)
    multiscale = metadata("0.3", dims="yx", count=1)
    multiscale["datasets"][0]["coordinateTransformations"] = [{"type": "scale", "scale": [0.5, 0.5]}]
    group.attrs["multiscales"] = [multiscale]
    with pytest.warns(PlacementWarning, match=r"coordinateTransformations are there all the same.*assign_grid"):
        found = xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr")
    assert found["x"].attrs == {"scale": 1.0}


@pytest.mark.parametrize("version", EARLY)
def test_c7_arrays_of_other_dimensions_are_named(version: str, tmp_path: Path) -> None:
    write(tmp_path / "a.zarr", version, shapes=[(5, 50, 50)], omero=False)
    with pytest.raises(
        MetadataError, match=rf"level 0 .* has 3 dimensions, and the image 5 axes .* OME-Zarr {version}"
    ):
        xr.open_datatree(tmp_path / "a.zarr", engine="omezarr")
    assert [found.rule for found in xomezarr.validate(tmp_path / "a.zarr")] == ["13"]


# -- they are not written ----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", EARLY)
def test_c7_nothing_is_written_in_them(version: str, tmp_path: Path) -> None:
    da = xr.DataArray(pixels((20, 20)), dims=("y", "x"))
    with pytest.raises(VersionError, match=rf"'{version}' is read, and not written.*give version='0.4'"):
        da.omezarr.to_zarr(tmp_path / "b.zarr", version=version)
    with pytest.raises(VersionError, match=rf"'{version}'"):
        xomezarr.write_plate({("A", "1"): [da]}, tmp_path / "b.zarr", version=version)
    assert not list(tmp_path.iterdir())


def in_place(path: Path) -> dict[str, Callable[[], Any]]:
    """Return the ways to change a store of an image where it is."""
    labels = xr.DataArray(pixels(SHAPES[0][3:]), dims=("y", "x"))
    labels = labels.expand_dims(z=5)
    return {
        "to_labels": lambda: labels.omezarr.to_labels(path, "others"),
        "delete_labels": lambda: xomezarr.delete_labels(path, "cells"),
        "scale": lambda: scale(str(path), "--in-place"),
    }


def scale(*arguments: str) -> None:
    from xomezarr.scale import plan_scaling

    place, *options = arguments
    with plan_scaling(place, in_place="--in-place" in options):
        pass


@pytest.mark.parametrize("way", ["to_labels", "delete_labels", "scale"])
@pytest.mark.parametrize("version", EARLY)
def test_c7_stores_are_not_changed_where_they_are(version: str, way: str, tmp_path: Path) -> None:
    write(tmp_path / "a.zarr", version)
    write_labels(tmp_path / "a.zarr", version)
    before = files(tmp_path)
    with pytest.raises(VersionError, match=rf"is of OME-Zarr {version}, which xomezarr reads and does not write; .*"):
        in_place(tmp_path / "a.zarr")[way]()
    assert files(tmp_path) == before


def test_metadata_in_the_other_format_of_zarr_are_told_before_something_is_added(tmp_path: Path) -> None:
    """0.4 is kept in Zarr v2; what is added to it in v3 would be found by nobody."""
    image = xr.DataArray(pixels(SHAPES[0][2:]), dims=("z", "y", "x"))
    image.omezarr.to_zarr(tmp_path / "a.zarr", version="0.5")
    group = zarr.open_group(tmp_path / "a.zarr")
    said: Any = group.attrs.asdict()
    group.attrs.put({"multiscales": [{**said["ome"]["multiscales"][0], "version": "0.4"}]})
    with pytest.raises(VersionError, match=r"in Zarr v2, and it is Zarr v3; .* upgrade .* --version 0\.5"):
        image.omezarr.to_labels(tmp_path / "a.zarr", "cells")
    xomezarr.upgrade(tmp_path / "a.zarr", version="0.5")
    image.omezarr.to_labels(tmp_path / "a.zarr", "cells")
    assert xomezarr.validate(tmp_path / "a.zarr").valid


@pytest.mark.parametrize("version", EARLY)
def test_the_cure_makes_a_store_that_can_be_changed(
    version: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "a.zarr", version)
    labels = xr.DataArray(pixels(SHAPES[0][2:]), dims=("z", "y", "x"))
    with pytest.raises(VersionError) as caught:
        labels.omezarr.to_labels(tmp_path / "a.zarr", "cells")
    command = str(caught.value).rpartition(": ")[2].split()
    assert command[0] == "xomezarr"
    assert cli.main(command[1:]) == 0
    capsys.readouterr()
    labels.omezarr.to_labels(tmp_path / "a.zarr", "cells")
    assert xomezarr.validate(tmp_path / "a.zarr").valid
    with xr.open_datatree(tmp_path / "a.zarr", engine="omezarr") as new:
        assert new.omezarr.version == "0.4"
        np.testing.assert_array_equal(new.omezarr.level(0), pixels(SHAPES[0]))
        assert [channel.label for channel in new.omezarr.channels] == ["DAPI", "GFP"]


@pytest.mark.parametrize("version", EARLY)
def test_scale_elsewhere_writes_0_4(version: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a.zarr", version)
    assert cli.main(["scale", str(tmp_path / "a.zarr"), str(tmp_path / "b.ome.zarr")]) == 0
    capsys.readouterr()
    with xr.open_datatree(tmp_path / "b.ome.zarr", engine="omezarr") as new:
        assert new.omezarr.version == "0.4"
        np.testing.assert_array_equal(new.omezarr.level(0), pixels(SHAPES[0]))


@pytest.mark.parametrize("version", EARLY)
def test_info_tells_the_version_of_the_store(version: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a.zarr", version)
    write_labels(tmp_path / "a.zarr", version)
    assert cli.main(["info", str(tmp_path / "a.zarr"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["version"], told["labels"]["cells"]["version"]) == (version, version)
    assert [level["scale"][3:] for level in told["levels"]] == [[1, 1], [2, 2], [4, 4]]
    assert [level["translation"][3:] for level in told["levels"]] == [[0, 0], [0.5, 0.5], [1.5, 1.5]]


# -- plates and collections --------------------------------------------------------------------------------


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("above", ["", "2020-10-10/"])
@pytest.mark.parametrize("version", EARLY)
def test_plates_open(version: str, above: str, check: bool, tmp_path: Path) -> None:
    write_plate(tmp_path / "a.zarr", version, above=above, acquisitions=bool(above))
    tree = xomezarr.open_plate(tmp_path / "a.zarr", check=check)
    for path, row, column in (("A/1", "A", "1"), ("B/2", "B", "2")):
        image = tree[f"{above}{path}/0"]
        level = image.omezarr.level(1)
        assert image.omezarr.version == version
        assert (level["row"].item(), level["column"].item(), level["field"].item()) == (row, column, 0)
        np.testing.assert_array_equal(level, pixels(SHAPES[1], 1))
        assert level["y"].values[:2].tolist() == [0.5, 2.5]
    stack = tree.omezarr.stack(level=1)
    assert stack.sizes["row"] == stack.sizes["column"] == 2
    np.testing.assert_array_equal(stack.isel(row=1, column=1, field=0), pixels(SHAPES[1], 1))
    assert not [found for found in xomezarr.validate(tmp_path / "a.zarr", strict=True) if found.rule != "70"]
    assert {found.location for found in xomezarr.validate(tmp_path / "a.zarr")} == set()


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("above", ["", "2020-10-10/"])
@pytest.mark.parametrize("version", EARLY)
def test_plates_are_written_whole_in_0_4(version: str, above: str, check: bool, tmp_path: Path) -> None:
    write_plate(tmp_path / "a.zarr", version, above=above, acquisitions=bool(above))
    tree: Any = xomezarr.open_plate(tmp_path / "a.zarr", check=check)
    told = pytest.warns(PlateWarning, match=f"'{above}A/1' is 'A/1'") if above else nullcontext()
    with told:
        tree.omezarr.to_zarr(tmp_path / "b.zarr")
    written: Any = xomezarr.open_plate(tmp_path / "b.zarr", check=check)
    assert written.omezarr.version == "0.4"
    for well in ("A/1", "B/2"):
        before, after = tree[f"{above}{well}/0"].omezarr, written[f"{well}/0"].omezarr
        assert [channel.label for channel in after.channels] == ["DAPI", "GFP"]
        for index in range(len(SHAPES)):
            xr.testing.assert_identical(after.level(index), before.level(index))
    assert {found.rule for found in xomezarr.validate(tmp_path / "b.zarr", strict=True)} == {"11"}  # no units


def test_wells_in_lines_that_the_plate_does_not_list(tmp_path: Path) -> None:
    """As in an official example of 0.1, whose wells are A/3 of a plate with the column 1 alone."""
    write_plate(tmp_path / "a.zarr", "0.1")
    group = zarr.open_group(tmp_path / "a.zarr", mode="r+")
    group.attrs["plate"] = {**group.attrs["plate"], "columns": [{"name": "1"}]}
    with pytest.warns(PlateWarning, match="the column '2', which it does not list"):
        tree = xomezarr.open_plate(tmp_path / "a.zarr")
    assert tree["B/2/0"].omezarr.level(0)["column"].item() == "2"
    assert xomezarr.validate(tmp_path / "a.zarr").valid


@pytest.mark.parametrize("version", EARLY)
def test_c7_nothing_is_added_to_plates(version: str, tmp_path: Path) -> None:
    write_plate(tmp_path / "a.zarr", version)
    before = files(tmp_path)
    da = xr.DataArray(pixels((20, 20)), dims=("y", "x"))
    for asked in ({}, {"version": "0.4"}):
        with pytest.raises(VersionError, match=rf"is of OME-Zarr {version}.* xomezarr upgrade .* --version 0\.4"):
            da.omezarr.to_plate(tmp_path / "a.zarr", row="A", column="2", **asked)
    assert files(tmp_path) == before


XML = """<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0"
DimensionOrder="XYZCT" Type="uint8" SizeX="64" SizeY="101" SizeZ="5" SizeC="2" SizeT="2" PhysicalSizeX="0.25"
PhysicalSizeXUnit="µm" PhysicalSizeY="0.5" PhysicalSizeYUnit="µm"><MetadataOnly/></Pixels></Image></OME>"""


@pytest.mark.parametrize("version", EARLY)
def test_collections_give_pixels_their_size(version: str, tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_group(path, zarr_format=2, attributes={"bioformats2raw.layout": 3})
    zarr.create_group(path, path="OME", zarr_format=2, attributes={"series": ["0"]})
    (path / "OME/METADATA.ome.xml").write_text(XML)
    write(path, version, path="0")
    tree: Any = xomezarr.open_collection(path)
    for opened in (tree["0"], xr.open_datatree(path / "0", engine="omezarr")):
        level = opened.omezarr.level(1)
        assert level["x"].values[:2].tolist() == [0.125, 0.625]
        assert level["y"].values[:2].tolist() == [0.25, 1.25]
        assert level["z"].values[:2].tolist() == [0, 1]
        assert level["x"].attrs == {"units": "micrometer", "scale": 0.5}
    assert xomezarr.validate(path).valid
    assert description_of(str(path))["version"] == version
    written = tree.omezarr.to_zarr(tmp_path / "b.zarr")
    assert written.omezarr.version == "0.4"
    for index in range(len(SHAPES)):
        xr.testing.assert_identical(written["0"].omezarr.level(index), tree["0"].omezarr.level(index))
    assert (tmp_path / "b.zarr/OME/METADATA.ome.xml").read_text() == XML


# -- validation --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", EARLY)
def test_a_flawless_image_has_no_findings(version: str, tmp_path: Path) -> None:
    write(tmp_path / "a.zarr", version)
    report = xomezarr.validate(tmp_path / "a.zarr", strict=True)
    assert (list(report), report.version) == ([], version)


def broken(version: str) -> Iterator[tuple[str, str, str, Callable[[zarr.Group], Any]]]:
    """Yield rule, severity, place, and what breaks that rule alone."""

    def multiscale(**changes: Any) -> Callable[[zarr.Group], Any]:
        def change(group: zarr.Group) -> None:
            changed = {**metadata(version), **changes}
            group.attrs["multiscales"] = [{key: value for key, value in changed.items() if value is not None}]

        return change

    yield "22", "error", "multiscales[0].datasets", multiscale(datasets=[])
    yield "23", "error", "multiscales[0].datasets[0].path", multiscale(datasets=[{}, {"path": "1"}, {"path": "2"}])
    yield "92", "error", "multiscales[0].datasets[0].path", multiscale(datasets=[{"path": "../0"}])
    yield "34", "warning", "multiscales[0]", multiscale(name=None)
    yield "36", "warning", "multiscales[0]", multiscale(type=None)
    yield "37", "warning", "multiscales[0]", multiscale(metadata=None)
    yield "24", "error", "0", multiscale(datasets=[{"path": "1"}, {"path": "0"}])
    yield "98", "error", "2", lambda group: group.__delitem__("2")
    yield (
        "46",
        "warning",
        "omero.channels",
        lambda group: group.attrs.update(omero={**OMERO, "channels": OMERO["channels"][:1]}),
    )
    if version == "0.3":
        yield "14", "error", "multiscales[0]", multiscale(axes=None)
        yield "35", "warning", "multiscales[0]", multiscale(version=None)
        yield "8", "error", "multiscales[0].axes[1].name", multiscale(axes=["t", "t", "z", "y", "x"])
        yield "0.3a", "error", "multiscales[0].axes[0]", multiscale(axes=["u", "c", "z", "y", "x"])
        yield "0.3a", "error", "multiscales[0].axes[0]", multiscale(axes=[{"name": "t"}, "c", "z", "y", "x"])
        yield "0.3b", "error", "multiscales[0].axes", multiscale(axes=["c", "t", "z", "y", "x"])
        yield "13", "error", "0", multiscale(axes=["z", "y", "x"])
        yield "0.3c", "warning", "_ARRAY_DIMENSIONS", lambda group: group.attrs.__delitem__("_ARRAY_DIMENSIONS")
        yield "0.3c", "error", "_ARRAY_DIMENSIONS", lambda group: group.attrs.update(_ARRAY_DIMENSIONS=["x"])
    if version == "0.2":
        yield "35", "warning", "multiscales[0]", multiscale(version=None)
    if version != "0.3":
        yield "0.3a", "warning", "multiscales[0].axes", multiscale(axes=["z", "y", "x"])


CASES = [(version, *case) for version in EARLY for case in broken(version)]


@pytest.mark.parametrize(("version", "rule", "severity", "where", "change"), CASES)
def test_each_rule_is_broken(
    version: str, rule: str, severity: str, where: str, change: Callable[[zarr.Group], Any], tmp_path: Path
) -> None:
    change(write(tmp_path / "a.zarr", version))
    found = [(one.rule, one.severity, one.location) for one in xomezarr.validate(tmp_path / "a.zarr")]
    assert (rule, severity, where) in found
    assert {one for one, _, _ in found} <= {rule, "0.3c"}


@pytest.mark.parametrize("version", EARLY)
def test_chunks_lie_as_the_version_has_them(version: str, tmp_path: Path) -> None:
    write(tmp_path / "a.zarr", version)
    path = tmp_path / "a.zarr/0/.zarray"
    other = "." if SEPARATORS[version] == "/" else "/"
    path.write_text(
        path.read_text().replace(f'"dimension_separator": "{SEPARATORS[version]}"', f'"dimension_separator": "{other}"')
    )
    (finding,) = xomezarr.validate(tmp_path / "a.zarr")
    assert (finding.rule, finding.severity, finding.location) == ("2", "warning", "0")
    assert f'"{SEPARATORS[version]}"' in finding.cure


@pytest.mark.parametrize("version", EARLY)
def test_zarr_v3_is_told(version: str, tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "a.zarr", zarr_format=3, attributes={"multiscales": [metadata(version)]})
    assert "1" in {found.rule for found in xomezarr.validate(tmp_path / "a.zarr")}


@pytest.mark.parametrize("version", EARLY)
def test_groups_of_several_early_versions_are_told(version: str, tmp_path: Path) -> None:
    write(tmp_path / "a.zarr", version)
    other = "0.2" if version == "0.1" else "0.1"
    write_labels(tmp_path / "a.zarr", version)
    label = zarr.open_group(tmp_path / "a.zarr/labels/cells", mode="r+")
    label.attrs["image-label"] = {**label.attrs["image-label"], "version": other}
    (finding,) = xomezarr.validate(tmp_path / "a.zarr")
    assert (finding.rule, finding.location) == ("59", "labels/cells: image-label.version")


@pytest.mark.parametrize("kind", ["plate", "well"])
@pytest.mark.parametrize("version", EARLY)
def test_what_plates_of_0_4_must_say_early_ones_need_not(kind: str, version: str) -> None:
    """The texts up to 0.3 know no indices, and let names and paths be anything."""
    plate = {
        "version": version,
        "rows": [{"name": "row 1"}],
        "columns": [{"name": "col-1"}],
        "wells": [{"path": "run/row 1/col-1"}],
    }
    attrs = {"plate": {"plate": plate}, "well": {"well": {"images": [{"path": "0"}]}}}[kind]
    assert spec.findings(attrs, strict=True, version=version) == []
    if kind == "plate":
        (well,) = spec.parse_plate(attrs).wells
        assert (well.row_index, well.column_index) == (0, 0)
        assert [one.rule for one in spec.findings({"plate": {**plate, "wells": [{}]}})] == ["75"]
        assert [one.rule for one in spec.findings({"plate": {**plate, "rows": []}})] == ["72"]
        new = {one.rule for one in spec.findings({"plate": {**plate, "version": "0.4"}})}
        assert {"67", "76"} <= new


# -- ome-zarr-py of that time ------------------------------------------------------------------------------


@pytest.mark.peers
@pytest.mark.xdist_group("peers")
def test_stores_of_ome_zarr_py_are_read(tmp_path: Path) -> None:
    """Version 0.9 of it was the last that ran with the Zarr of that time."""
    script = SCRIPTS / "write_ome_zarr_early.py"
    command = [uv(), "run", "--no-project", "--python", sys.executable, "--script", str(script), str(tmp_path)]
    environment = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "PYTHONPATH", "UV_RESOLUTION"}}
    answer = subprocess.run(
        command, capture_output=True, text=True, timeout=TIME_LIMIT, env=environment, stdin=subprocess.DEVNULL
    )
    assert answer.returncode == 0, answer.stderr[-6000:]
    for version in EARLY:
        report = xomezarr.validate(tmp_path / f"{version}.zarr")
        assert (report.valid, report.version) == (True, version)
        assert {finding.rule for finding in report} <= {"36", "37", "0.3c"}
        with xr.open_datatree(tmp_path / f"{version}.zarr", engine="omezarr") as tree:
            for index, level in enumerate(tree.omezarr.levels):
                np.testing.assert_array_equal(level, np.load(tmp_path / f"{version}-{index}.npy"))
                np.testing.assert_array_equal(level["x"], (np.arange(level.sizes["x"]) + 0.5) * 2**index - 0.5)
            labels = tree.omezarr.labels["cells"]
            assert labels.omezarr.level(0).dtype == np.uint8
            assert len(labels.omezarr.levels) == len(tree.omezarr.levels)
        plate = xomezarr.open_plate(tmp_path / f"{version}-plate.zarr")
        assert plate["B/2/0"].omezarr.level(0)["row"].item() == "B"
        assert xomezarr.validate(tmp_path / f"{version}-plate.zarr").valid


def test_a_version_without_its_quotation_marks_is_told_with_them(tmp_path: Path) -> None:
    da: Any = xr.DataArray(np.zeros((4, 4), "u1"), dims=("y", "x"))
    with pytest.raises(VersionError, match=r"does not know OME-Zarr 0\.5; .*give version='0\.5'"):
        da.omezarr.to_zarr(tmp_path / "a.ome.zarr", version=0.5)
