"""``xomezarr scale``: every flag on real stores, what cannot be, and images in place that nothing breaks (C6 to C8)."""

from __future__ import annotations

import concurrent.futures
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from stores import files

import xomezarr
from xomezarr import errors, in_place, stage, write
from xomezarr.cli import main
from xomezarr.downsample import METHODS
from xomezarr.scale import Scaled, plan_scaling

FORMATS = {2: "0.4", 3: "0.5"}
KEEPING = [name for name, row in METHODS.items() if row.keeps_values]
SPACED = {"scale": {"z": 2.0, "y": 0.5, "x": 0.5}, "units": "um"}


def pixels(shape: tuple[int, ...] = (5, 37, 26), dtype: str = "uint16") -> Any:
    return np.random.default_rng(3).integers(0, 2 if dtype == "bool" else 200, shape).astype(dtype)


def image(data: Any = None, name: str | None = "cells") -> xr.DataArray:
    data = pixels() if data is None else data
    da = xr.DataArray(data, dims=("z", "y", "x"), name=name, attrs={"stain": "DAPI"})
    return da.omezarr.assign_grid(**SPACED)  # type: ignore[no-any-return]


def array(place: Path, data: Any = None, zarr_format: int = 2, **options: Any) -> Path:
    """Write a plain Zarr array: at the root, or in a group that exists."""
    data = pixels() if data is None else data
    nested = {"chunk_key_encoding": {"name": "v2", "separator": "/"}} if zarr_format == 2 else {}
    options = {"chunks": (2, 16, 16), "attributes": {"camera": "A"}, **nested} | options
    zarr.create_array(place, data=data, zarr_format=zarr_format, **options)  # type: ignore[arg-type]
    return place


def array_in_group(place: Path, zarr_format: int = 2, name: str = "0", **options: Any) -> Path:
    zarr.open_group(place, mode="a", zarr_format=zarr_format, attributes={"owner": "me"})  # type: ignore[arg-type]
    return array(place / name, zarr_format=zarr_format, **options)


def scale_image(*places: str | Path, **options: Any) -> Scaled:
    return plan_scaling(*places, **options).write()


def scale(*arguments: str | Path) -> int:
    return main(["scale", *map(str, arguments)])


def scaled(capsys: Any, *arguments: str | Path) -> Any:
    """Run the command, and return the levels of a store that is valid."""
    assert scale(*arguments) == 0, capsys.readouterr().err
    words = [str(word) for word in arguments]
    store = words[0].removesuffix("/0") if "--in-place" in words else words[1]
    assert xomezarr.validate(store).valid, xomezarr.validate(store)
    tree = xr.open_datatree(store, engine="omezarr")
    return tree.omezarr.levels


def said(capsys: Any) -> str:
    """Return the one line that is on standard error."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("xomezarr: ")
    assert captured.err.count("\n") == 1, captured.err
    return str(captured.err)


def assert_pyramid(found: Sequence[xr.DataArray], da: xr.DataArray, **options: Any) -> None:
    """Compare with what `pyramid` makes in memory, pixel by pixel and place by place."""
    expected = da.omezarr.pyramid(**options).omezarr.levels
    assert len(found) == len(expected)
    for level, wanted in zip(found, expected, strict=True):
        xr.testing.assert_equal(level.drop_vars([name for name in level.coords if name not in wanted.coords]), wanted)
        assert level.dtype == wanted.dtype


def dataset_paths(store: Path) -> list[str]:
    image = xr.open_datatree(store, engine="omezarr").omezarr.metadata
    return [level.path for level in image.multiscale.levels]


# --- what is read ------------------------------------------------------------


@pytest.mark.parametrize("zarr_format", FORMATS)
@pytest.mark.parametrize("axes", [["zyx"], ["--axes", "zyx"], ["z,y,x"]])
def test_a_root_array_with_axes(tmp_path: Path, capsys: Any, zarr_format: int, axes: list[str]) -> None:
    source = array(tmp_path / "raw.zarr", zarr_format=zarr_format)
    before = files(source)
    levels = scaled(capsys, source, tmp_path / "out.zarr", *axes)
    assert_pyramid(levels, xr.DataArray(pixels(), dims=("z", "y", "x")), levels=5)
    assert levels[0].name == "raw"
    assert files(source) == before


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_an_array_in_a_group_takes_its_name_from_the_new_store(tmp_path: Path, capsys: Any, zarr_format: int) -> None:
    source = array_in_group(tmp_path / "g.zarr", zarr_format)
    levels = scaled(capsys, source, tmp_path / "nuclei.ome.zarr", "zyx", "--max-layer", "1")
    assert_pyramid(levels, xr.DataArray(pixels(), dims=("z", "y", "x")), levels=2)
    assert levels[0].name == "nuclei"


def test_names_that_the_store_states_need_no_axes(tmp_path: Path, capsys: Any) -> None:
    two = array(tmp_path / "two.zarr", attributes={"_ARRAY_DIMENSIONS": ["x", "z", "y"]})
    three = array(tmp_path / "three.zarr", zarr_format=3, dimension_names=["x", "z", "y"])
    for index, source in enumerate([two, three]):
        levels = scaled(capsys, source, tmp_path / f"{index}.zarr", *[["--axes", "xzy"], []][index])
        assert_pyramid(levels, xr.DataArray(pixels(), dims=("x", "z", "y")), levels=5)


@pytest.mark.parametrize("version", FORMATS.values())
def test_an_image_keeps_axes_pixel_sizes_channels_and_version(tmp_path: Path, capsys: Any, version: str) -> None:
    da = xr.DataArray(pixels((2, 3, 40, 30)), dims=("c", "z", "y", "x"), name="embryo")
    da = da.omezarr.assign_grid(scale={"z": 2, "y": 0.25, "x": 0.25}, translation={"x": 7.0}, units="um")
    da = da.omezarr.assign_channels([{"label": "DAPI", "color": "#0000FF"}, "GFP"])
    da.omezarr.to_zarr(tmp_path / "a.zarr", levels=2, version=version)
    levels = scaled(capsys, tmp_path / "a.zarr", tmp_path / "b.zarr", "--max-layer", "3", "--method", "nearest")
    assert_pyramid(levels, da, method="nearest", levels=4)
    tree = xr.open_datatree(tmp_path / "b.zarr", engine="omezarr")
    assert (tree.omezarr.version, tree.omezarr.name) == (version, "embryo")
    assert [channel.label for channel in tree.omezarr.channels] == ["DAPI", "GFP"]
    assert tree.omezarr.channels[0].color == "0000FF"
    assert tree.omezarr.axes[-1].unit == "micrometer"
    xr.testing.assert_identical(
        xr.open_dataarray(tmp_path / "b.zarr", engine="omezarr").load(),
        xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr").load(),
    )


def test_a_level_of_an_image_lies_where_the_image_says(tmp_path: Path, capsys: Any) -> None:
    tree = image().omezarr.to_zarr(tmp_path / "a.zarr", levels=3)
    levels = scaled(capsys, tmp_path / "a.zarr" / "1", tmp_path / "b.zarr", "zyx", "--max-layer", "2")
    assert_pyramid(levels, tree.omezarr.level(1), levels=3)


def test_irregular_coordinates_that_an_image_keeps_stay_irregular(tmp_path: Path, capsys: Any) -> None:
    da = xr.DataArray(pixels((4, 32, 32)), dims=("t", "y", "x"), coords={"t": [0.0, 1.0, 5.0, 6.0]}, name="a")
    da.omezarr.to_zarr(tmp_path / "a.zarr", irregular="keep", levels=1)
    levels = scaled(capsys, tmp_path / "a.zarr", tmp_path / "b.zarr")
    np.testing.assert_array_equal(levels[0].t, da.t)
    np.testing.assert_array_equal(levels[-1].t, da.t)


def test_coordinates_that_xarray_wrote_are_not_lost(tmp_path: Path, capsys: Any) -> None:
    image().to_dataset(name="cells").to_zarr(tmp_path / "ds.zarr", zarr_format=2)
    for index, source in enumerate([tmp_path / "ds.zarr", tmp_path / "ds.zarr" / "cells"]):
        levels = scaled(capsys, source, tmp_path / f"{index}.zarr")
        assert_pyramid(levels, image(), levels=5)
    before = files(tmp_path / "ds.zarr")
    capsys.readouterr()
    assert scale(tmp_path / "ds.zarr" / "cells", "--in-place") == 1
    assert "leave out --in-place" in said(capsys)
    assert files(tmp_path / "ds.zarr") == before


def test_a_url(capsys: Any) -> None:
    name = f"memory://{os.urandom(4).hex()}"
    zarr.open_group(f"{name}/g.zarr", mode="w", zarr_format=3)
    zarr.create_array(f"{name}/g.zarr/0", data=pixels(), zarr_format=3)
    assert scale(f"{name}/g.zarr/0", f"{name}/out.zarr", "zyx", "--version", "0.5") == 0
    assert_pyramid(
        xr.open_datatree(f"{name}/out.zarr", engine="omezarr").omezarr.levels,
        xr.DataArray(pixels(), dims=("z", "y", "x")),
        levels=5,
    )
    for number in (2, 1):
        assert scale(f"{name}/g.zarr/0", "--axes", "zyx", "--in-place", "--max-layer", str(number)) == 0
        levels = xr.open_datatree(f"{name}/g.zarr", engine="omezarr").omezarr.levels
        assert_pyramid(levels, xr.DataArray(pixels(), dims=("z", "y", "x")), levels=number + 1)
        assert xomezarr.validate(f"{name}/g.zarr").valid
    assert set(zarr.open_group(f"{name}/g.zarr", mode="r", use_consolidated=False).array_keys()) == {"0", "3"}
    assert scale(f"{name}/g.zarr/0", f"{name}/g.zarr", "zyx", "--overwrite") == 1
    assert "being read" in capsys.readouterr().err


def test_a_server_that_lets_nobody_look_above_the_store(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kind of server refuses with an error of its own; those of aiohttp are no OSError."""
    from xomezarr import scale as module

    class RefusedError(Exception):
        pass

    real = module.open_group

    def refuse(store: Any, **options: Any) -> Any:
        if Path(store) == tmp_path:
            raise RefusedError(403)
        return real(store, **options)

    monkeypatch.setattr(module, "open_group", refuse)
    levels = scaled(capsys, array(tmp_path / "raw.zarr"), tmp_path / "out.zarr", "zyx")
    assert_pyramid(levels, xr.DataArray(pixels(), dims=("z", "y", "x")), levels=5)


def test_each_warning_is_given_once(tmp_path: Path, capsys: Any) -> None:
    source = array(tmp_path / "raw.zarr")
    assert scale(source, tmp_path / "out.zarr", "zyx", "--scale", "z=2,y=1,x=1", "--units", "furlong") == 0
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1, "of three dimensions"
    assert "'furlong'" in told[0]


# --- each flag ---------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_method(tmp_path: Path, capsys: Any, method: str) -> None:
    data = pixels(dtype="float32")
    source = array(tmp_path / "raw.zarr", data)
    levels = scaled(capsys, source, tmp_path / "out.zarr", "zyx", "--method", method, "--max-layer", "2")
    assert_pyramid(levels, xr.DataArray(data, dims=("z", "y", "x")), method=method, levels=3)


@pytest.mark.parametrize(
    ("given", "factors"), [("2", 2), ("3", 3), ("z=1,y=2,x=2", {"y": 2, "x": 2}), ("z=2,x=4", {"z": 2, "x": 4})]
)
def test_downscale(tmp_path: Path, capsys: Any, given: str, factors: Any) -> None:
    source = array(tmp_path / "raw.zarr")
    levels = scaled(capsys, source, tmp_path / "out.zarr", "zyx", "--downscale", given, "--max-layer", "2")
    assert_pyramid(levels, xr.DataArray(pixels(), dims=("z", "y", "x")), factors=factors, levels=3)


def test_without_downscale_the_finest_pixels_are_halved(tmp_path: Path, capsys: Any) -> None:
    image().omezarr.to_zarr(tmp_path / "a.zarr")
    levels = scaled(capsys, tmp_path / "a.zarr", tmp_path / "b.zarr")
    assert [level.sizes["z"] for level in levels] == [5, 5, 5, 3, 2]


@pytest.mark.parametrize(
    ("arguments", "sizes"),
    [
        ([], [26, 13, 7, 4, 2]),
        (["--max-layer", "0"], [26]),
        (["--max_layer", "2"], [26, 13, 7]),
        (["--max-layer", "99"], [26, 13, 7, 4, 2, 1, 1]),  # y still shrinks from 2 to 1
        (["--max-layer", "99", "--downscale", "x=2"], [26, 13, 7, 4, 2, 1]),
        (["--max-layer", "99", "--downscale", "z=2"], [26] * 4),
        (["--max-layer", "99", "--boundary", "trim", "--downscale", "x=2"], [26, 13, 6, 3, 1]),
    ],
)
def test_max_layer_counts_the_coarser_levels_and_stops_at_one_pixel(
    tmp_path: Path, capsys: Any, arguments: list[str], sizes: list[int]
) -> None:
    source = array(tmp_path / "raw.zarr")
    levels = scaled(capsys, source, tmp_path / "out.zarr", "zyx", *arguments)
    assert [level.sizes["x"] for level in levels] == sizes


def test_one_pixel_has_no_coarser_level(tmp_path: Path, capsys: Any) -> None:
    source = array(tmp_path / "raw.zarr", np.ones((3, 1, 1), "u1"), chunks=(1, 1, 1))
    for index, options in enumerate(([], ["--downscale", "2"])):
        levels = scaled(capsys, source, tmp_path / f"{index}.zarr", "--axes", "tyx", *options)
        assert len(levels) == 1


@pytest.mark.parametrize("dtype", ["uint64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("method", [None, *KEEPING])
def test_labeled_makes_no_value_that_level_0_does_not_have(
    tmp_path: Path, capsys: Any, dtype: str, method: str | None
) -> None:
    data = pixels(dtype=dtype)
    if dtype == "uint64":
        data += np.uint64(2**63)
    source = array(tmp_path / "raw.zarr", data)
    options = [] if method is None else ["--method", method]
    levels = scaled(capsys, source, tmp_path / "out.zarr", "zyx", "--labeled", *options)
    assert_pyramid(levels, xr.DataArray(data, dims=("z", "y", "x")), method=method or "mode", levels=5)
    for level in levels:
        assert level.dtype == dtype
        assert set(np.unique(level)) <= set(np.unique(data))


def test_labeled_refuses_methods_and_dtypes_before_writing(tmp_path: Path, capsys: Any) -> None:
    integers, floats = array(tmp_path / "i.zarr"), array(tmp_path / "f.zarr", pixels(dtype="float32"))
    for method in set(METHODS) - set(KEEPING):
        assert scale(integers, tmp_path / "out.zarr", "zyx", "--labeled", "--method", method) == 2
        message = said(capsys)
        assert all(name in message for name in [method, *KEEPING, "--method"])
    assert scale(floats, tmp_path / "out.zarr", "zyx", "--labeled") == 2
    assert "float32" in said(capsys)
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.parametrize("version", FORMATS.values())
def test_an_image_of_labels_is_not_averaged_in_silence(tmp_path: Path, capsys: Any, version: str) -> None:
    place = tmp_path / "nuclei.zarr"
    (image() % 3 * 100).omezarr.to_zarr(place, version=version, method="mode")
    attrs = zarr.open_group(place, mode="r+", use_consolidated=False).attrs
    ours = {"image-label": {"colors": []}}
    attrs.update({"ome": attrs["ome"] | ours} if version == "0.5" else ours)  # type: ignore[operator]
    for number, (options, warned) in enumerate(
        [([], False), (["--method", "gaussian"], True), (["--method", "nearest"], False), (["--labeled"], False)]
    ):
        assert scale(place, tmp_path / f"{number}.zarr", *options) == 0
        assert ("--labeled" in capsys.readouterr().err) == warned
        levels = xr.open_datatree(tmp_path / f"{number}.zarr", engine="omezarr").omezarr.levels
        assert bool(set(np.unique(levels[-1])) - set(np.unique(levels[0]))) == warned


@pytest.mark.parametrize("flag", ["--copy-metadata", "--copy_metadata"])
@pytest.mark.parametrize("version", FORMATS.values())
def test_copy_metadata_of_an_array(tmp_path: Path, capsys: Any, flag: str, version: str) -> None:
    attributes = {
        "camera": {"name": "A", "gain": [1, 2.5]},
        "_FillValue": 0,
        "_ARRAY_DIMENSIONS": ["z", "y", "x"],
        "multiscales": [{"evil": 1}],
        "omero": {"channels": "none"},
        "ome": {"version": "9"},
        "xomezarr": {"format": 7},
    }
    source = array(tmp_path / "raw.zarr", attributes=attributes)
    options = ["--version", version, flag]
    assert scale(source, tmp_path / "out.zarr", *options, "--json") == 0
    assert json.loads(capsys.readouterr().out)["copied_attributes"] == ["camera"]
    attrs = zarr.open_group(tmp_path / "out.zarr", mode="r").attrs.asdict()
    assert attrs["camera"] == attributes["camera"]
    assert set(attrs) == {"camera", "xomezarr", "ome"} if version == "0.5" else {"camera", "xomezarr", "multiscales"}
    assert xomezarr.validate(tmp_path / "out.zarr").valid
    assert_pyramid(
        xr.open_datatree(tmp_path / "out.zarr", engine="omezarr").omezarr.levels,
        xr.DataArray(pixels(), dims=("z", "y", "x")),
        levels=5,
    )
    assert scale(source, tmp_path / "plain.zarr", "--version", version) == 0
    assert "copied" not in capsys.readouterr().out
    assert "camera" not in zarr.open_group(tmp_path / "plain.zarr", mode="r").attrs
    assert scale(source, tmp_path / "told.zarr", flag) == 0
    assert "attributes copied: camera\n" in capsys.readouterr().out


@pytest.mark.parametrize("version", FORMATS.values())
def test_copy_metadata_of_an_image_takes_what_other_tools_wrote(tmp_path: Path, capsys: Any, version: str) -> None:
    da = image().assign_attrs(pair=(1, 2), exposure=0.5)
    da.omezarr.to_zarr(tmp_path / "a.zarr", version=version)
    group = zarr.open_group(tmp_path / "a.zarr", mode="r+", use_consolidated=False)
    group.update_attributes({"lab": {"id": 7}})
    levels = scaled(capsys, tmp_path / "a.zarr", tmp_path / "b.zarr", "--copy-metadata")
    attrs = zarr.open_group(tmp_path / "b.zarr", mode="r").attrs.asdict()
    assert (attrs["lab"], attrs["stain"], attrs["exposure"]) == ({"id": 7}, "DAPI", 0.5)
    assert "pair" not in attrs, "JSON has no tuples; it rides with the array"
    assert levels[0].attrs == da.attrs


def test_further_options(tmp_path: Path, capsys: Any) -> None:
    source = array(tmp_path / "raw.zarr")
    options = "--version 0.5 --chunks 1,8,16 --boundary trim --name embryo --scale z=2,y=0.5,x=0.25 --units um"
    assert scale(source, tmp_path / "out.zarr", "zyx", *options.split(), "--max-layer", "1", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["version"], told["name"], told["store"]) == ("0.5", "embryo", str(tmp_path / "out.zarr"))
    assert told["levels"][0]["chunks"] == [1, 8, 16]
    assert told["levels"][0]["scale"] == [2, 0.5, 0.25]
    assert told["levels"][1]["shape"] == [5, 37, 13], "x alone has the finest pixels"
    assert [axis["unit"] for axis in told["axes"]] == ["micrometer"] * 3
    assert "copied_attributes" not in told


def test_overwrite(tmp_path: Path, capsys: Any) -> None:
    source = array(tmp_path / "raw.zarr")
    target = tmp_path / "out.zarr"
    assert scale(source, target, "zyx", "--name", "first") == 0
    capsys.readouterr()
    assert scale(source, target, "zyx") == 1
    assert "--overwrite" in said(capsys)
    assert xr.open_dataarray(target, engine="omezarr").name == "first"
    assert scaled(capsys, source, target, "zyx", "--overwrite")[0].name == "raw"


# --- C7: what cannot be ------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--downscale", "0"], "--downscale"),
        (["--downscale", "1"], "--downscale"),
        (["--downscale=-2"], "--downscale"),
        (["--downscale", "2.5"], "--downscale z=1,y=2,x=2"),
        (["--downscale", "q=2"], "'q'"),
        (["--downscale", "y=0"], "'y'"),
        (["--downscale", "y=1,x=1"], "nothing shrinks"),
        (["--downscale", "1", "--max-layer", "0"], "--downscale"),
        (["--max-layer=-1"], "--max-layer"),
        (["--max-layer", "many"], "many"),
        (["--method", "magic"], "magic"),
        (["--chunks", "0,8,8"], "--chunks"),
        (["--scale", "q=1"], "--scale"),
        (["--scale", "x=0"], "--scale"),
        (["--units", "q=um"], "--units"),
        (["--version", "0.3"], "0.3"),
        (["--boundary", "wrap"], "wrap"),
        (["--bogus"], "--bogus"),
        (["--in-place"], "in place"),
    ],
)
def test_c7_a_flag_at_fault_is_2_and_writes_nothing(
    tmp_path: Path, capsys: Any, arguments: list[str], says: str
) -> None:
    source = array(tmp_path / "raw.zarr")
    before = files(tmp_path)
    assert scale(source, tmp_path / "out.zarr", "--axes", "zyx", *arguments) == 2
    assert says in said(capsys)
    assert files(tmp_path) == before


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_c7_axes_that_contradict_the_store_are_2(tmp_path: Path, capsys: Any, zarr_format: int) -> None:
    plain = array(tmp_path / "plain.zarr", zarr_format=zarr_format)
    names: Any = {"dimension_names": ["z", "y", "x"]} if zarr_format == 3 else {}
    names |= {"attributes": {"_ARRAY_DIMENSIONS": ["z", "y", "x"]} if zarr_format == 2 else {}}
    named = array(tmp_path / "named.zarr", zarr_format=zarr_format, **names)
    image().omezarr.to_zarr(tmp_path / "image.zarr", version=FORMATS[zarr_format])
    target = tmp_path / "out.zarr"
    for source, axes in [
        (plain, "yx"),
        (plain, "tzyx"),
        (plain, "zyy"),
        (plain, "aby"),
        (named, "xyz"),
        (named, "tyx"),
        (named, "yx"),
        (tmp_path / "image.zarr", "tyx"),
        (tmp_path / "image.zarr", "czyx"),
        (tmp_path / "image.zarr" / "0", "xyz"),
    ]:
        assert scale(source, target, axes) == 2, (source, axes)
        assert "--axes" in said(capsys)
    assert not target.exists()


def test_c7_data_or_store_at_fault_is_1(tmp_path: Path, capsys: Any) -> None:
    plain = array(tmp_path / "plain.zarr")
    np.save(tmp_path / "a.npy", pixels())
    zarr.open_group(tmp_path / "empty.zarr", mode="w")
    (tmp_path / "folder").mkdir()
    target = tmp_path / "out.zarr"
    for arguments, says in [
        ([plain, target], "--axes"),
        ([plain, target, "--scale", "z=2"], "--axes"),
        ([tmp_path / "absent.zarr", target, "zyx"], "absent.zarr"),
        ([tmp_path / "a.npy", target, "zyx"], "xomezarr convert"),
        ([tmp_path / "empty.zarr", target, "zyx"], "0 arrays"),
        ([tmp_path / "folder", target, "zyx"], "not a Zarr group"),
        ([plain, plain, "zyx", "--overwrite"], "being read"),
        ([plain, plain / "inside", "zyx"], "being read"),
        ([array_in_group(tmp_path / "g.zarr"), tmp_path / "g.zarr", "zyx", "--overwrite"], "being read"),
    ]:
        before = files(tmp_path)
        assert scale(*arguments) == 1, arguments
        assert says in said(capsys)
        assert files(tmp_path) == before
    assert not target.exists()


def test_c7_the_call_contradicts_itself(tmp_path: Path, capsys: Any) -> None:
    source = array_in_group(tmp_path / "g.zarr")
    array(tmp_path / "g.zarr" / "more" / "0")
    before = files(tmp_path)
    for arguments, says in [
        ([source], "--in-place"),
        ([source, "zyx", "--in-place"], "--axes zyx"),
        ([source, tmp_path / "elsewhere.zarr", "zyx", "--in-place"], "elsewhere.zarr"),
        ([source, "--axes", "zyx", "--in-place", "--overwrite"], "--overwrite"),
        ([source, "--axes", "zyx", "--in-place", "--version", "0.5"], "--version"),
        ([source, tmp_path, "--axes", "zyx", "--in-place"], str(tmp_path)),
    ]:
        assert scale(*arguments) == 2, arguments
        assert says in said(capsys)
    assert files(tmp_path) == before


def test_c7_independent_faults_are_told_together(tmp_path: Path) -> None:
    source = array(tmp_path / "raw.zarr", pixels(dtype="float32"))
    with pytest.raises(errors.MultipleErrors, match=r"(?s)labels are integers.*factors is 1"):
        scale_image(source, tmp_path / "out.zarr", axes="zyx", labeled=True, downscale=1)


def test_c8_pixels_that_cannot_be_read_leave_no_store(tmp_path: Path, capsys: Any) -> None:
    source = array(tmp_path / "raw.zarr")
    next(path for path in source.rglob("*") if path.name == "0" and path.is_file()).write_bytes(b"broken")
    assert scale(source, tmp_path / "out.zarr", "zyx") == 1
    said(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["raw.zarr"]


# --- in place ----------------------------------------------------------------


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_in_place_of_an_array_leaves_its_pixels_and_the_group_as_they_are(
    tmp_path: Path, capsys: Any, zarr_format: int
) -> None:
    source = array_in_group(tmp_path / "g.zarr", zarr_format)
    array_in_group(tmp_path / "g.zarr", zarr_format, name="2")
    before = files(tmp_path / "g.zarr")
    times = {path: path.stat().st_mtime_ns for path in source.rglob("*") if path.is_file()}
    options = ["--axes", "zyx", "--in-place", "--scale", "z=2,y=0.5,x=0.5", "--units", "um", "--copy-metadata"]
    levels = scaled(capsys, source, *options)
    assert_pyramid(levels, image(), levels=5)
    assert levels[0].name == "g"
    group = zarr.open_group(tmp_path / "g.zarr", mode="r")
    assert group.metadata.zarr_format == zarr_format
    assert (group.attrs["owner"], group.attrs["camera"]) == ("me", "A")
    assert dataset_paths(tmp_path / "g.zarr") == ["0", "3", "4", "5", "6"], "2 is another's"
    after = files(tmp_path / "g.zarr")
    names = {"0/zarr.json"} if zarr_format == 3 else set()  # where dimension_names had to be added
    changed = {name for name in before if after.get(name) != before[name]} - names
    assert changed == {"zarr.json" if zarr_format == 3 else ".zattrs"}
    assert {path for path, time in times.items() if path.stat().st_mtime_ns != time} <= {source / "zarr.json"}
    if zarr_format == 3:
        old, new = (json.loads(found["0/zarr.json"]) for found in (before, after))
        assert new == old | {"dimension_names": ["z", "y", "x"]}


@pytest.mark.parametrize("zarr_format", FORMATS)
@pytest.mark.parametrize("method", ["nearest", "mode"])
def test_in_place_of_an_image_replaces_its_other_levels(
    tmp_path: Path, capsys: Any, zarr_format: int, method: str
) -> None:
    place = tmp_path / "a.zarr"
    da = image().assign_coords(depth=("z", [f"slice {i}" for i in range(5)]))
    da = da.assign_coords(far=("x", np.arange(26.0) ** 2))
    da.omezarr.to_zarr(place, levels=3, version=FORMATS[zarr_format])
    pixels_before = files(place / "0")
    group = zarr.open_group(place, mode="r+", zarr_format=zarr_format, use_consolidated=False)  # type: ignore[arg-type]
    group.update_attributes({"lab": 7})
    for given, number, paths in [
        ([place], 1, ["0", "3"]),
        ([place, place], 2, ["0", "1", "2"]),
        ([place / "0", place], 3, ["0", "3", "4", "5"]),
        ([place], 0, ["0"]),
        ([place], 2, ["0", "1", "2"]),
    ]:
        levels = scaled(capsys, *given, "--in-place", "--method", method, "--max-layer", str(number))
        assert_pyramid(levels, da, method=method, levels=number + 1)
        assert dataset_paths(place) == paths
        assert sorted(path.name for path in place.iterdir() if path.name.isdigit()) == sorted(paths)
        assert not [path for path in place.iterdir() if "partial" in path.name]
    assert files(place / "0") == pixels_before
    assert zarr.open_group(place, mode="r").attrs["lab"] == 7
    found = xr.open_dataarray(place, engine="omezarr").load()
    wanted = da.copy()
    for dim in "zyx":
        wanted[dim].attrs["scale"] = found[dim].attrs["scale"]
    xr.testing.assert_identical(found, wanted)


def test_in_place_keeps_what_other_tools_wrote(tmp_path: Path, capsys: Any) -> None:
    place = tmp_path / "a.zarr"
    image().omezarr.to_zarr(place, levels=2)
    attrs = json.loads((place / ".zattrs").read_text())
    del attrs["xomezarr"]
    attrs["omero"] = {
        "rdefs": {"model": "color"},
        "channels": [{"color": "FF0000", "window": {"min": 0, "max": 9, "start": 1, "end": 3}}],
    }
    attrs["multiscales"][0] |= {"scanner": "S1"}
    attrs["multiscales"][0]["axes"][0]["note"] = "down"
    attrs["multiscales"][0]["datasets"][0]["checksum"] = "abc"
    other = json.loads(json.dumps(attrs["multiscales"][0])) | {
        "name": "second",
        "datasets": attrs["multiscales"][0]["datasets"][1:],
    }
    attrs["multiscales"].append(other)
    attrs["image-label"] = {"version": "0.4"}
    (place / ".zattrs").write_text(json.dumps(attrs))
    with pytest.warns(errors.OtherImagesWarning):
        scale_image(place, in_place=True, max_layer=1, labeled=True)
    after = json.loads((place / ".zattrs").read_text())
    first, second = after["multiscales"]
    assert second == other
    assert (first["scanner"], first["axes"][0]["note"], first["datasets"][0]["checksum"]) == ("S1", "down", "abc")
    assert after["omero"]["rdefs"] == attrs["omero"]["rdefs"]
    assert after["omero"]["channels"][0].items() >= attrs["omero"]["channels"][0].items()
    assert after["image-label"] == {"version": "0.4"}
    assert [found["path"] for found in first["datasets"]] == ["0", "2"]
    assert (place / "1").is_dir(), "the second image names it still"


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_in_place_keeps_long_coordinates(tmp_path: Path, capsys: Any, zarr_format: int) -> None:
    place = tmp_path / "a.zarr"
    da = xr.DataArray(pixels((300, 8, 8)), dims=("t", "y", "x"), name="a")
    stamps = np.datetime64("2026-01-01", "s") + (np.arange(300) ** 2).astype("m8[s]")
    da = da.assign_coords(stamp=("t", stamps), operator=("t", [f"person {i}" for i in range(300)]))
    da.omezarr.to_zarr(place, version=FORMATS[zarr_format])
    for number in (1, 2):
        scaled(capsys, place, "--in-place", "--max-layer", str(number))
        found = xr.open_dataarray(place, engine="omezarr")
        np.testing.assert_array_equal(found.stamp, stamps)
        np.testing.assert_array_equal(found.operator, da.operator)
        assert len([path for path in (place / "xomezarr").iterdir() if path.is_dir()]) == 2


def test_in_place_refuses_what_would_be_no_valid_image(tmp_path: Path, capsys: Any) -> None:
    flat = {"chunk_key_encoding": {"name": "v2", "separator": "."}}
    image().omezarr.to_zarr(tmp_path / "image.zarr", levels=2)
    array_in_group(tmp_path / "image.zarr", name="extra")
    cases: list[tuple[list[Any], str]] = [
        ([array(tmp_path / "root2.zarr"), "--axes", "zyx"], "no group around"),
        ([array(tmp_path / "root3.zarr", zarr_format=3), "--axes", "zyx"], "no group around"),
        ([array_in_group(tmp_path / "flat.zarr", **flat), "--axes", "zyx"], 'separated by "."'),
        ([array_in_group(tmp_path / "order.zarr"), "--axes", "xyz"], "('x', 'y', 'z')"),
        ([array_in_group(tmp_path / "order3.zarr", 3), "--axes", "zyc"], "('c', 'z', 'y')"),
        ([tmp_path / "image.zarr" / "extra", "--axes", "zyx"], "already"),
    ]
    for arguments, says in cases:
        before = files(tmp_path)
        assert scale(*arguments, "--in-place") in (1, 2)
        message = said(capsys)
        assert says in message, message
        assert files(tmp_path) == before
    assert scale(tmp_path / "image.zarr" / "1", "--in-place") == 2
    assert "level 1" in said(capsys)
    array_in_group(tmp_path / "plain.zarr", name="raw")
    assert scale(tmp_path / "plain.zarr", "--axes", "zyx", "--in-place") == 1
    assert "plain.zarr/raw" in said(capsys)


def test_in_place_warns_of_labels_that_no_longer_agree(tmp_path: Path, capsys: Any) -> None:
    place = tmp_path / "a b.zarr"
    image().omezarr.to_zarr(place, levels=3)
    with pytest.warns(errors.OtherImagesWarning, match=r"to_labels\(.*, 'nuclei'\)"):
        image((pixels() > 100).astype("u1")).omezarr.to_zarr(place / "labels" / "nuclei", levels=3, method="nearest")
    zarr.open_group(place / "labels", mode="a", zarr_format=2, attributes={"labels": ["nuclei"]})
    before = files(place / "labels")
    assert scale(place, "--in-place", "--max-layer", "2") == 0
    assert "nuclei" not in capsys.readouterr().err
    assert scale(place, "--in-place", "--max-layer", "1") == 0
    assert f"xomezarr scale '{place}/labels/nuclei' --in-place --labeled" in said_with_output(capsys)
    assert files(place / "labels") == before
    scaled(capsys, place / "labels" / "nuclei", "--in-place", "--labeled", "--max-layer", "1")
    assert scale(place, tmp_path / "copy.zarr") == 0
    assert "not copied" in said_with_output(capsys)


def test_labels_that_are_broken_or_deeper_are_told_too(tmp_path: Path) -> None:
    place = tmp_path / "a.zarr"
    image().omezarr.to_zarr(place, levels=2)
    labels = zarr.open_group(place / "labels", mode="w", zarr_format=2, attributes={"labels": ["deep/cells"]})
    labels.create_group("broken", attributes={"multiscales": 3})
    labels.create_group("deep/cells")
    with pytest.warns(errors.OtherImagesWarning, match=r"\(broken, deep, deep/cells\)"):
        scale_image(place, tmp_path / "b.zarr")


def said_with_output(capsys: Any) -> str:
    return str(capsys.readouterr().err)


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_in_place_keeps_consolidated_metadata_true(tmp_path: Path, capsys: Any, zarr_format: int) -> None:
    place = tmp_path / "store.zarr" / "a"
    zarr.open_group(tmp_path / "store.zarr", mode="w", zarr_format=zarr_format)  # type: ignore[arg-type]
    image().omezarr.to_zarr(place, levels=3, version=FORMATS[zarr_format])
    for root in (place, tmp_path / "store.zarr"):
        write.consolidate(zarr.open_group(root, mode="r+", use_consolidated=False), zarr_format)
    scaled(capsys, place, "--in-place", "--max-layer", "1")
    for root, path in ((place, ""), (tmp_path / "store.zarr", "a/")):
        group = zarr.open_group(root, mode="r", use_consolidated=True)
        found = group["a"] if path else group
        assert isinstance(found, zarr.Group)
        assert set(found.array_keys()) == {"0", "3"}
        told: Any = found.attrs["multiscales"] if zarr_format == 2 else found.attrs["ome"]["multiscales"]  # type: ignore
        assert [dataset["path"] for dataset in told[0]["datasets"]] == ["0", "3"]


# --- C8: in place, whatever happens ------------------------------------------


class Stop(BaseException):
    """What no cleanup expects."""


@pytest.mark.parametrize("zarr_format", FORMATS)
@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt(), Stop()])
@pytest.mark.parametrize("where", ["write_pixels", "create_coordinates", "with_windows", "name_dimensions", "move"])
def test_c8_a_failure_before_the_metadata_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zarr_format: int, where: str, error: BaseException
) -> None:
    place = tmp_path / "a.zarr"
    image().omezarr.to_zarr(place, levels=3, version=FORMATS[zarr_format])
    before = files(tmp_path)
    real, calls = getattr(in_place, where), 0

    def fail_afterwards(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        result = real(*arguments)
        if where != "move" or calls == 2:
            raise error
        return result

    monkeypatch.setattr(in_place, where, fail_afterwards)
    with pytest.raises(type(error)):
        scale_image(place, in_place=True, max_layer=2, method="nearest")
    assert calls
    left = {name for name in files(tmp_path) if name not in before}
    # the second of two moves was done before it failed
    assert all(name.startswith("a.zarr/4/") for name in left) if where == "move" else not left
    assert {name: data for name, data in files(tmp_path).items() if name in before} == before


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_c8_an_interruption_of_the_one_write_leaves_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zarr_format: int
) -> None:
    """The write may be done, though the caller is told that it was interrupted: no array may go."""
    place = tmp_path / "a.zarr"
    image().omezarr.to_zarr(place, levels=3, version=FORMATS[zarr_format])
    real = in_place.update_attributes

    def interrupted(group: Any, attributes: Any) -> Any:
        real(group, attributes)
        raise KeyboardInterrupt

    monkeypatch.setattr(in_place, "update_attributes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scale_image(place, in_place=True, max_layer=1, method="nearest")
    monkeypatch.undo()
    assert_pyramid(xr.open_datatree(place, engine="omezarr").omezarr.levels, image(), method="nearest", levels=2)
    assert (place / "1").is_dir()


def test_c8_who_comes_second_takes_nothing_of_the_first_away(monkeypatch: pytest.MonkeyPatch) -> None:
    place = "memory://second/a.zarr"
    image().omezarr.to_zarr(place, levels=1)
    real, inside = in_place.create_array, []

    def first_comes_another(*arguments: Any) -> Any:
        if not inside:
            inside.append(1)
            scale_image(place, in_place=True, max_layer=2, method="nearest")
        return real(*arguments)

    monkeypatch.setattr(in_place, "create_array", first_comes_another)
    with pytest.raises(errors.StoreExistsError, match=r"another process|changed"):
        scale_image(place, in_place=True, max_layer=2)
    monkeypatch.undo()
    assert xomezarr.validate(place).valid
    levels = xr.open_datatree(place, engine="omezarr").omezarr.levels
    assert_pyramid(levels, image(), method="nearest", levels=3)


@pytest.mark.filterwarnings("ignore::xomezarr.errors.MetadataChangedWarning")
def test_what_an_image_is_planned_to_become_is_not_done_to_another(tmp_path: Path) -> None:
    place = tmp_path / "a.zarr"
    image().omezarr.to_zarr(place, levels=1)
    planned = plan_scaling(place, in_place=True, max_layer=2)
    channels = [{"color": "FF0000", "active": True, "label": "dye"}]
    zarr.open_group(place, mode="r+").update_attributes({"omero": {"channels": channels}})
    with pytest.raises(errors.StoreExistsError, match="changed by another process; scale it again"):
        planned.write()
    assert len(xr.open_datatree(place, engine="omezarr").omezarr.levels) == 1
    assert zarr.open_group(place).attrs["omero"] == {"channels": channels}


def test_c8_in_a_folder_who_comes_second_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever changes the image too: another who scales it, who writes a part of it, who adds labels."""
    place, da = tmp_path / "a.zarr", image()
    da.omezarr.to_zarr(place, levels=1)
    corner = (da[..., :8, :8] + 1).astype(da.dtype)
    seconds = {
        "scale": lambda: scale_image(place, in_place=True, max_layer=2, method="nearest"),
        "region": lambda: corner.omezarr.to_zarr(place, region="auto"),
        "labels": lambda: (da > 100).omezarr.to_labels(place, "bright"),
        "replace": lambda: da.omezarr.to_zarr(place, levels=2, mode="w"),
    }
    real, ends = in_place.write_pixels, dict[str, Any]()

    def others_come(*arguments: Any) -> None:
        for name, second in seconds.items():
            ends[name] = pool.submit(second)
        assert not concurrent.futures.wait(ends.values(), timeout=0.5).done
        real(*arguments)

    monkeypatch.setattr(in_place, "write_pixels", others_come)
    with ThreadPoolExecutor(len(seconds)) as pool:
        scale_image(place, in_place=True, max_layer=2)
        monkeypatch.undo()
    for name, end in ends.items():
        if (error := end.exception()) is not None:
            assert isinstance(error, errors.OmeZarrError), name
            assert re.search("changed|replaced", str(error)), name
    assert ends["replace"].exception() is None
    assert xomezarr.validate(place).valid
    levels = xr.open_datatree(place, engine="omezarr").omezarr.levels
    assert_pyramid(levels, levels[0], method="local_mean", levels=len(levels))


def movie(count: int, first: int = 0) -> xr.DataArray:
    values = np.arange(first, first + count, dtype="u2")[:, None, None] + np.zeros((1, 16, 16), "u2")
    return xr.DataArray(values, dims=("t", "y", "x"), coords={"t": np.arange(first, first + count) * 5.0})


def test_in_place_room_is_not_shown_as_pixels(tmp_path: Path) -> None:
    place = tmp_path / "a.zarr"
    movie(2).omezarr.to_zarr(place, append_dim={"t": 4}, levels=2)
    before = files(place)
    with pytest.raises(errors.LevelError, match=r"has room for 4 pixels along 't', of which 2 are there"):
        scale_image(place, in_place=True, max_layer=2)
    assert files(place) == before
    movie(2, 2).omezarr.to_zarr(place, append_dim={"t": 4})
    scale_image(place, in_place=True, max_layer=2)
    tree = xr.open_datatree(place, engine="omezarr")
    assert [level.sizes["t"] for level in tree.omezarr.levels] == [4, 4, 4]


def test_c8_what_is_appended_meanwhile_has_all_levels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "a.zarr"
    movie(2).omezarr.to_zarr(place, append_dim="t", levels=2)
    ends: list[Any] = []
    planned, changing = threading.Event(), in_place.changing

    def noted(*given: Any, **options: Any) -> Any:
        planned.set()
        return changing(*given, **options)

    def scale_too(_: int) -> None:
        if not ends:
            ends.append(pool.submit(scale_image, place, in_place=True, max_layer=2))
            assert planned.wait(60)

    monkeypatch.setattr(in_place, "changing", noted)
    with ThreadPoolExecutor(1) as pool:
        movie(1, 2).omezarr.to_zarr(place, append_dim="t", progress=scale_too)
        with pytest.raises(errors.StoreExistsError, match="was changed by another process; scale it again"):
            ends[0].result(60)
    scale_image(place, in_place=True, max_layer=2)
    movie(1, 3).omezarr.to_zarr(place, append_dim="t")
    tree = xr.open_datatree(place, engine="omezarr")
    assert [level.sizes["t"] for level in tree.omezarr.levels] == [4, 4, 4]


def test_what_other_tools_write_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "a.zarr"
    image().omezarr.to_zarr(place, levels=2)
    real = in_place.write_pixels

    def and_somebody_else(*arguments: Any) -> None:
        real(*arguments)
        zarr.open_group(place, mode="r+").attrs["rendering"] = {"by": "another tool"}

    monkeypatch.setattr(in_place, "write_pixels", and_somebody_else)
    scale_image(place, in_place=True, max_layer=2)
    assert zarr.open_group(place, mode="r").attrs["rendering"] == {"by": "another tool"}


def test_c8_a_failing_write_of_the_metadata_leaves_the_old_image_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "a.zarr"
    image().omezarr.to_zarr(place, levels=2)
    before = files(tmp_path)

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(in_place, "update_attributes", full)
    with pytest.raises(OSError, match="No space left"):
        scale_image(place, in_place=True, max_layer=2)
    assert files(tmp_path) == before


def test_options_are_neither_ignored_nor_unknown(tmp_path: Path) -> None:
    place = tmp_path / "a.zarr"
    image().omezarr.to_zarr(place, levels=2)
    with pytest.raises(errors.LevelError, match="mode='w'"):
        scale_image(place, in_place=True, mode="w")
    with pytest.raises(TypeError, match="levels"):
        scale_image(place, tmp_path / "b.zarr", levels=2)  # type: ignore[call-arg]


def test_independent_faults_of_a_call_are_told_together(tmp_path: Path, capsys: Any) -> None:
    place = array(tmp_path / "a.zarr")
    call = (place, tmp_path / "b.zarr", "zyx", "--method", "foo", "--max-layer", "-1", "--downscale", "0")
    assert scale(*call) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in ("'foo'", "max_layer is -1", "factors is 0"))
    assert scale(place, tmp_path / "b.zarr", "zyx", "--name", "") == 2
    assert "--name" in capsys.readouterr().err
    assert not (tmp_path / "b.zarr").exists()


def test_packed_pixels_are_no_level_in_place(tmp_path: Path) -> None:
    place = array_in_group(tmp_path / "a.zarr")
    zarr.open_array(place, mode="r+").attrs["scale_factor"] = 0.5
    with pytest.raises(errors.DtypeError, match="scale_factor"):
        scale_image(place, axes="zyx", in_place=True)


def test_c8_an_old_level_that_cannot_be_removed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "a.zarr"
    image().omezarr.to_zarr(place, levels=2)

    def refuse(*arguments: Any) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr(in_place, "delete", refuse)
    with pytest.warns(errors.OmeZarrWarning, match="'1', which is not of the image, could not be removed"):
        scale_image(place, in_place=True, max_layer=1, method="nearest")
    assert_pyramid(xr.open_datatree(place, engine="omezarr").omezarr.levels, image(), method="nearest", levels=2)


def test_c8_nothing_but_arrays_of_the_old_image_is_deleted(tmp_path: Path) -> None:
    place = tmp_path / "a.zarr"
    image().omezarr.to_zarr(place, levels=2)
    array_in_group(tmp_path / "b.zarr", name="precious")
    (place / "labels" / "nuclei").mkdir(parents=True)
    (place / "labels" / "nuclei" / "note.txt").write_text("keep")
    (place / "elsewhere").symlink_to(tmp_path / "b.zarr", target_is_directory=True)
    attrs = json.loads((place / ".zattrs").read_text())
    attrs["xomezarr"]["coords"]["z"]["array"] = "xomezarr/../../b.zarr/precious"
    attrs["xomezarr"]["coords"]["y"]["array"] = "0"
    for path in (
        "../b.zarr/precious",
        "./../b.zarr/precious",
        "labels",
        "labels/nuclei",
        "elsewhere",
        "elsewhere/precious",
        "",
        "0/../0",
    ):
        attrs["multiscales"][0]["datasets"][1]["path"] = path
        (place / ".zattrs").write_text(json.dumps(attrs))
        before = files(tmp_path)
        with suppress(errors.OmeZarrError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scale_image(place, in_place=True, max_layer=1)
        assert before.keys() <= files(tmp_path).keys() | {"a.zarr/.zattrs"}


SNAPSHOTS = """
import os, shutil, sys, threading
import dask.array
from xomezarr.cli import main

place, work, *arguments = sys.argv[1:]
CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.truncate"}
lock, inside, count = threading.Lock(), threading.local(), 0

def keep_what_a_kill_would_leave(event, about):
    global count
    writes = event == "open" and isinstance(about[2], int) and about[2] & (os.O_WRONLY | os.O_RDWR)
    if not (event in CHANGES or writes) or getattr(inside, "copying", False):
        return
    inside.copying = True
    with lock:
        while True:
            try:
                shutil.copytree(place, os.path.join(work, str(count)))
                break
            except (OSError, shutil.Error):  # another thread has changed something meanwhile
                shutil.rmtree(os.path.join(work, str(count)), ignore_errors=True)
        count += 1
    inside.copying = False

sys.addaudithook(keep_what_a_kill_would_leave)
code = main(["scale", place, *arguments])
inside.copying = True
shutil.copytree(place, os.path.join(work, str(count)))
sys.exit(code)
"""


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_c8_killed_at_any_moment_the_old_image_or_the_new_one_is_whole(tmp_path: Path, zarr_format: int) -> None:
    """What is on disk before the first change of a file or folder, before the second, and so on to the end."""
    da = image(pixels((3, 20, 12)))
    place, work = tmp_path / "a.zarr", tmp_path / "work"
    da.omezarr.to_zarr(place, levels=3, version=FORMATS[zarr_format])
    write.consolidate(zarr.open_group(place, mode="r+", use_consolidated=False), zarr_format)
    level0 = files(place / "0")
    work.mkdir()
    options = ["--in-place", "--method", "nearest", "--max-layer", "1"]
    command = [sys.executable, "-c", SNAPSHOTS, str(place), str(work), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    states = []
    for moment in range(len(list(work.iterdir()))):
        left = work / str(moment)
        assert xomezarr.validate(left).valid
        levels = xr.open_datatree(left, engine="omezarr").omezarr.levels
        states.append("new" if len(levels) == 2 else "old")
        assert_pyramid(levels, da, **({"method": "nearest", "levels": 2} if states[-1] == "new" else {"levels": 3}))
        assert files(left / "0") == level0
        # readers that ask the consolidated metadata see one or the other too
        group = zarr.open_group(left, mode="r")
        attrs: Any = group.attrs.asdict() if zarr_format == 2 else group.attrs["ome"]
        for dataset in attrs["multiscales"][0]["datasets"]:
            stored: Any = group[dataset["path"]]
            assert np.asarray(stored[...]).any()
        if moment % 8 == 0:  # another try succeeds, whatever was left behind
            scale_image(left, in_place=True, max_layer=1, method="max")
            assert_pyramid(xr.open_datatree(left, engine="omezarr").omezarr.levels, da, method="max", levels=2)
    assert states == sorted(states, reverse=True), "old, and from one moment on new"
    assert set(states) == {"old", "new"}


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ there")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_c8_a_process_that_is_stopped_leaves_the_old_image(tmp_path: Path, number: int, code: int) -> None:
    place = tmp_path / "a.zarr"
    da = xr.DataArray(np.ones((64, 512, 512), "u2"), dims=("z", "y", "x"), name="a")
    da.omezarr.to_zarr(place, levels=2, chunks={"z": 8, "y": 64, "x": 64})
    before = files(place)
    command = [sys.executable, "-m", "xomezarr.cli", "scale", str(place), "--in-place", "--chunks", "1,16,16"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not list(place.rglob(".levels.*.partial/*/.zarray")):
            assert time.monotonic() < deadline
            assert process.poll() is None, "it was done before it could be stopped"
            time.sleep(0.01)
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert out == ""
    after = files(place)
    assert {name: data for name, data in after.items() if name in before} == before
    left = {name for name in after.keys() - before.keys() if not stage.is_lock(name)}  # which the next one takes
    assert all(name.startswith(".levels.") for name in left)
    if number == signal.SIGINT:
        assert after == before
    assert bool(list(place.glob(".levels.*"))) == (number == signal.SIGKILL)
    assert scale(place, "--in-place", "--method", "gaussian") == 0
    assert not list(place.glob(".*.partial"))  # the next run removes what the killed one has left


PYRAMIDS: dict[str, list[str]] = {
    "fewer levels": ["--max-layer", "1"],
    "no coarser level": ["--max-layer", "0"],
    "samples": ["--method", "nearest", "--max-layer", "2"],
    "means again": ["--max-layer", "2"],
    "other factors": ["--downscale", "z=1,y=3,x=2", "--max-layer", "2"],
    "trimmed": ["--boundary", "trim", "--max-layer", "2"],
    "all at once": ["--downscale", "3", "--boundary", "trim", "--method", "nearest", "--max-layer", "1"],
    "as many as there are": ["--max-layer", "9"],
}


@pytest.mark.parametrize("zarr_format", FORMATS)
@pytest.mark.parametrize("options", PYRAMIDS.values(), ids=PYRAMIDS)
def test_labels_and_their_image_are_scaled_apart_only_with_a_warning(
    tmp_path: Path, capsys: Any, options: list[str], zarr_format: int
) -> None:
    """The command that the warning ends with puts the labels on the image's levels, whichever of the two came first."""
    place = tmp_path / "a.zarr"
    labels = image((pixels() > 100).astype("u1"), None)
    kept = xomezarr.Labels(labels, {1: "red"}, {"label": [1], "area": [5.5]})
    image().omezarr.to_zarr(place, levels=3, version=FORMATS[zarr_format], labels={"nuclei": kept})

    def apart() -> bool:
        tree: Any = xr.open_datatree(place, engine="omezarr")
        own, theirs = tree["labels/nuclei"].omezarr.levels, tree.omezarr.levels
        return len(own) != len(theirs) or not all(
            level[dim].equals(other[dim]) for level, other in zip(own, theirs, strict=True) for dim in level.dims
        )

    for target in (place, place / "labels" / "nuclei"):
        flags = [*options, *([] if target == place or "--method" in options else ["--labeled"])]
        assert scale(target, "--in-place", *flags) == 0
        warned = said_with_output(capsys)
        assert bool(warned) == apart()
        if warned:
            command = warned.strip().splitlines()[-1].rpartition(": xomezarr ")[2].split()
            assert main(command) == 0
            assert said_with_output(capsys) == ""
            assert not apart()
    tree: Any = xr.open_datatree(place, engine="omezarr")
    assert tree.omezarr.validate().valid
    assert tree["labels/nuclei"].omezarr.colors == {1: "#ff0000ff"}


def test_labels_that_are_scaled_against_their_image_are_told(tmp_path: Path, capsys: Any) -> None:
    place = tmp_path / "a.zarr"
    image().omezarr.to_zarr(place, levels=3, labels={"nuclei": image((pixels() > 100).astype("u1"), None)})
    nuclei = place / "labels" / "nuclei"
    for options, told in (
        (["--max-layer", "4"], "at the coarsest, and the image has 3 levels, 5 × 10 × 7 at the coarsest"),
        (["--max-layer", "2", "--method", "nearest"], "pixel 0 of level 1 along 'y' is at 0, and that of the image at"),
    ):
        assert scale(nuclei, "--in-place", "--labeled", *options) == 0
        warned = said_with_output(capsys)
        assert told in warned
        assert main(warned.rpartition(": xomezarr ")[2].split()) == 0
        assert said_with_output(capsys) == ""


@pytest.mark.parametrize("version", FORMATS.values())
def test_labels_that_are_scaled_as_labels_stay_labels(tmp_path: Path, capsys: Any, version: str) -> None:
    kept = xomezarr.Labels(image((pixels() > 100).astype("u1"), None), {1: "red"}, {"label": [1], "area": [5.5]})
    image().omezarr.to_zarr(tmp_path / "a.zarr", levels=3, version=version, labels={"nuclei": kept})
    for number, options in enumerate((["--labeled"], ["--method", "nearest"])):
        scaled(capsys, tmp_path / "a.zarr" / "labels" / "nuclei", tmp_path / f"{number}.zarr", *options)
        tree: Any = xr.open_datatree(tmp_path / f"{number}.zarr", engine="omezarr")
        assert tree.omezarr.colors == {1: "#ff0000ff"}
        assert tree.omezarr.properties.to_dict("index") == {1: {"area": 5.5}}
        assert tree.omezarr.validate().valid


@pytest.mark.filterwarnings("ignore::xomezarr.errors.MetadataChangedWarning")
@pytest.mark.parametrize("what", ["replaced", "renamed"])
@pytest.mark.parametrize("zarr_format", FORMATS)
def test_c8_an_image_that_changes_before_its_levels_are_named_gets_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zarr_format: int, what: str
) -> None:
    place, version = tmp_path / "a.zarr", FORMATS[zarr_format]
    da = image(pixels((3, 20, 12)))
    da.omezarr.to_zarr(place, levels=1, version=version)
    alone, changed = in_place.alone, []

    def late(target: Any) -> Any:
        if not changed:
            changed.append(True)
            if what == "replaced":  # by a tool that knows no locks
                da.omezarr.to_zarr(tmp_path / "b.zarr", levels=1, version=version)
                place.rename(tmp_path / "old.zarr")
                (tmp_path / "b.zarr").rename(place)
            else:
                group = zarr.open_group(place, mode="r+")
                said = group.attrs.asdict()
                (said if version == "0.4" else said["ome"])["multiscales"][0]["name"] = "mine"
                group.attrs.put(said)
        return alone(target)

    monkeypatch.setattr(in_place, "alone", late)
    with pytest.raises(errors.StoreExistsError, match="by another process; scale it again"):
        scale_image(place, in_place=True, max_layer=1)
    assert xomezarr.validate(place).valid
    assert [path.name for path in place.iterdir() if path.is_dir()] == ["0"]
    scale_image(place, in_place=True, max_layer=1)
    assert len(xr.open_datatree(place, engine="omezarr").omezarr.levels) == 2
