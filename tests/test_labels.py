"""Label images: on the pixels of their image, with its levels; added, replaced and taken away without touching it."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import nursery
import pandas as pd
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.storage import MemoryStore

import xomezarr
from xomezarr import errors, read, spec
from xomezarr.testing import assert_identical

VERSIONS = spec.VERSIONS


def image(*sizes: int, dims: str = "yx", **options: Any) -> xr.DataArray:
    """Return an image on a grid that is not trivial."""
    values = np.random.default_rng(1).integers(0, 200, sizes or (37, 50)).astype("uint16")
    da = xr.DataArray(values, dims=tuple(dims), name="cells")
    space = [dim for dim in dims if dim in "zyx"]
    return da.omezarr.assign_grid(
        scale={dim: 0.325 * (1 + 2 * (dim == "z")) for dim in space},
        translation=dict.fromkeys(space, 7.3),
        units="um",
        **options,
    )


def labels(*sizes: int, dims: str = "yx", dtype: Any = "uint32", most: int = 20) -> xr.DataArray:
    values = np.random.default_rng(2).integers(0, most, sizes or (37, 50))
    # objects of some pixels rather than noise
    for axis in range(values.ndim):
        values = values.take(np.arange(values.shape[axis]) // 4 * 4, axis)
    return xr.DataArray(values.astype(dtype), dims=tuple(dims))


def files(folder: Path, *, but: str = "labels") -> dict[str, str]:
    """Return a digest of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] != but
    }


def same_places(one: xr.DataArray, other: xr.DataArray) -> None:
    """Assert that the dimensions which two arrays share have the very same coordinates."""
    for dim in set(one.dims) & set(other.dims):
        xr.testing.assert_identical(one[dim].variable, other[dim].variable)


# --- round trip ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", ">i4"]
)
def test_c6_labels_come_back_as_they_were(tmp_path: Path, version: str, dtype: str) -> None:
    da = labels(dtype=dtype).assign_attrs(made_by="somebody")
    image().omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=3, version=version, labels={"nuclei": da})
    tree = xr.open_datatree(tmp_path / "a.ome.zarr", engine="omezarr")
    same_places(tree.omezarr.level(0), tree["labels/nuclei"].omezarr.level(0))
    expected = da.rename("nuclei").assign_coords({dim: tree.omezarr.level(0)[dim].variable for dim in "yx"})
    assert_identical(tree["labels/nuclei"].omezarr.level(0), expected)
    # labels should have colours, which nobody asked for here
    assert {finding.rule for finding in xomezarr.validate(tmp_path / "a.ome.zarr")} == {"53"}
    with zarr.open_group(tmp_path / "a.ome.zarr", mode="r").store as store:
        stored = zarr.open_array(store, path="labels/nuclei/0", mode="r")
    assert stored.dtype.kind in "iu"  # rule 0.5e: masks too


@pytest.mark.parametrize("version", VERSIONS)
def test_c3_the_largest_labels_are_exact(tmp_path: Path, version: str) -> None:
    da = labels(dtype="uint64")
    da = da.where(da != 3, 2**64 - 1).where(da != 4, 2**53 + 1).astype("uint64")
    assert (da == 2**64 - 1).any()
    tree = image().omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=4, version=version, labels={"nuclei": da})
    known = set(np.unique(da))
    for level in tree["labels/nuclei"].omezarr.levels:
        assert set(np.unique(level)) <= known
    assert 2**64 - 1 in tree["labels/nuclei"].omezarr.level(1)


@pytest.mark.parametrize("form", ["index", "column", "dict", "no properties"])
def test_c3_the_largest_labels_are_exact_in_colours_and_properties(tmp_path: Path, form: str) -> None:
    # as numpy and pandas join them to values below 2**63, floats would be made of them
    values = [2**64 - 1, 1, 2**63 + 5, 2**53 + 1, 7]
    da = labels(dtype="uint64", most=5)
    da = da.copy(data=np.array(values, "uint64")[da.values.astype(int)])
    image().omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=2)
    table = pd.DataFrame({"size": range(5)}, index=pd.Index(values, name="label"))
    properties = {"index": table, "column": table.reset_index(), "dict": {"label": values, "size": [*range(5)]}}.get(
        form
    )
    tree = da.omezarr.to_labels(tmp_path / "a.ome.zarr", "nuclei", colors="tab20", properties=properties)
    assert list(tree.omezarr.colors) == sorted(values)
    assert [color["label-value"] for color in told(tmp_path / "a.ome.zarr")["colors"]] == sorted(values)
    if properties is not None:
        pd.testing.assert_frame_equal(tree.omezarr.properties, table)


IMAGES: dict[str, tuple[xr.DataArray, dict[str, Any]]] = {
    "odd": (image(), {"levels": 4}),
    "by three": (image(), {"factors": 3, "levels": 3}),
    "trimmed": (image(), {"levels": 3, "boundary": "trim"}),
    "two factors": (image(), {"factors": [{"y": 2}, {"x": 3, "y": 2}]}),
    "gaussian": (image(), {"method": "gaussian", "levels": 3}),
    "median by four": (image(), {"method": "median", "factors": 4, "levels": 2}),
    "nearest": (image(), {"method": "nearest", "levels": 3}),
    "nearest by five": (image(), {"method": "nearest", "factors": 5, "levels": 2}),
    "one level": (image(), {"levels": 1}),
    "z later": (image(6, 37, 50, dims="zyx"), {"levels": 4}),
    "no coordinates": (image().drop_vars(["y", "x"]), {"levels": 3}),
    "turned": (image(50, 37, 3, dims="xyc"), {"levels": 3}),
    "to a pixel": (image(5, 3), {"levels": 4}),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", IMAGES)
def test_c2_labels_lie_on_the_levels_of_their_image(tmp_path: Path, name: str, version: str) -> None:
    da, options = IMAGES[name]
    spatial = [dim for dim in da.dims if dim != "c"]
    own = labels(*(da.sizes[dim] for dim in spatial), dims="".join(map(str, spatial)))
    together = da.omezarr.to_zarr(tmp_path / "a.ome.zarr", version=version, labels={"nuclei": own}, **options)
    da.omezarr.to_zarr(tmp_path / "b.ome.zarr", version=version, **options)
    later = own.omezarr.to_labels(tmp_path / "b.ome.zarr", "nuclei")
    method = together.omezarr.metadata.multiscale.type
    said = together.omezarr.metadata.multiscale.metadata["kwargs"]["factors"]
    steps = [{dim: factor for dim, factor in step.items() if dim in own.dims} for step in said]
    expected = own.omezarr.pyramid(
        method="nearest" if method == "nearest" else "mode",
        boundary=options.get("boundary", "pad"),
        **{"factors": steps} if steps else {"levels": 1},
    )
    for index, level in enumerate(together.omezarr.levels):
        for tree in (together["labels/nuclei"], later):
            made = tree.omezarr.level(index)
            same_places(level, made)
            assert made.dims == own.dims
            np.testing.assert_array_equal(made.values, expected[f"{index}/image"].values)
    assert files(tmp_path / "a.ome.zarr") == files(tmp_path / "b.ome.zarr")


def test_a_level_and_its_labels_make_one_dataset(tmp_path: Path) -> None:
    tree = image().omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=3, labels={"nuclei": labels(), "mask": labels() > 5})
    for index in range(3):
        parts = [tree.omezarr.level(index), *(node.omezarr.level(index) for node in tree.omezarr.labels.values())]
        merged = xr.merge([part.to_dataset() for part in parts], join="exact")
        assert set(merged.data_vars) == {"cells", "nuclei", "mask"}
        means = merged.cells.groupby(merged.nuclei).mean()
        values, inverse = np.unique(parts[1].values, return_inverse=True)
        sums = np.bincount(inverse.ravel(), weights=parts[0].values.ravel())
        np.testing.assert_allclose(means.values, sums / np.bincount(inverse.ravel()))
        np.testing.assert_array_equal(means.nuclei.values, values)
        assert int(merged.cells.where(merged.mask).count()) == int(parts[2].sum())


@pytest.mark.parametrize("colors", [None, "tab20"])
def test_an_image_without_a_name_and_labels_without_one_make_one_dataset(tmp_path: Path, colors: str | None) -> None:
    store = tmp_path / "a.ome.zarr"
    image().rename(None).omezarr.to_zarr(store, levels=2)
    labels().omezarr.to_labels(store, "nuclei", colors=colors)
    for group in ("", "labels/nuclei"):  # another tool has written both
        opened = zarr.open_group(store, path=group, mode="r+")
        attrs = {key: value for key, value in opened.attrs.asdict().items() if key != "xomezarr"}
        attrs["multiscales"][0].pop("name")
        opened.attrs.put(attrs)
    tree = xr.open_datatree(store, engine="omezarr")
    assert tree.omezarr.level(1).name is None
    assert tree["labels/nuclei"].omezarr.level(1).name == "nuclei"
    merged = xr.merge([tree["1"].to_dataset(), tree["labels/nuclei/1"].to_dataset()], join="exact")
    assert set(merged.data_vars) == {"image", "nuclei"}
    assert xr.open_dataarray(store, engine="omezarr", group="labels/nuclei").name == "nuclei"


COORDINATES: dict[str, Callable[[xr.DataArray], xr.DataArray]] = {
    "dates": lambda da: da.assign_coords(t=pd.date_range("2020-01-01", periods=3, freq="7min")),
    "irregular dates": lambda da: da.assign_coords(t=pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-05"])),
    "durations": lambda da: da.assign_coords(t=pd.to_timedelta([0, 1.5, 3], unit="s")),
    "irregular z": lambda da: da.assign_coords(z=("z", [0, 1, 2.5, 7], {"units": "um", "long_name": "depth"})),
    "irregular x": lambda da: da.assign_coords(x=("x", np.cumsum(np.linspace(0.1, 1, 50)), {"units": "um"})),
    "channels": lambda da: da.omezarr.assign_channels(["DAPI", "GFP"]),
    "more along t": lambda da: da.assign_coords(exposure=("t", [1.0, 2, 3]), stage=("t", ["a", "b", "c"])),
    "more along y and x": lambda da: da.assign_coords(
        depth=(("y", "x"), np.random.default_rng(5).random((37, 50))), column=("x", np.arange(50))
    ),
    "scalars": lambda da: da.assign_coords(place="slide 7", when=np.datetime64("2020-01-01")),
    "float32": lambda da: da.assign_coords(x=("x", (np.arange(50) * 0.325).astype("f4"), {"units": "um", "a": [1]})),
    "integers": lambda da: da.assign_coords(x=("x", np.arange(50) * 2), y=("y", np.arange(37, dtype="u2") * 2)),
    "units as they are spelt": lambda da: da.assign_coords(
        x=da.x.assign_attrs(units="µm", axis="X"), y=da.y.assign_attrs(units="micron", note="n")
    ),
    "single pixels": lambda da: da.isel(z=[2], t=[0]).assign_coords(t=("t", [5.0], {"units": "s", "scale": 2.0})),
    "no coordinates": lambda da: da.drop_vars(["z", "y", "x"]),
    "none along x": lambda da: da.drop_vars("x"),
    "turned": lambda da: da.transpose("x", "y", "z", "c", "t"),
}
"""Images of many kinds of coordinates."""


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("kind", COORDINATES)
def test_labels_have_the_very_coordinates_of_their_image(tmp_path: Path, kind: str, *, bare: bool) -> None:
    da = COORDINATES[kind](image(3, 2, 4, 37, 50, dims="tczyx"))
    own = (da.isel(c=0, drop=True) % 5).astype("uint16")
    own = own.drop_vars(list(own.coords)) if bare else own
    store = tmp_path / "a.ome.zarr"
    da.omezarr.to_zarr(store, levels=3, irregular="keep", labels={"nuclei": own})
    own.omezarr.to_labels(store, "later")
    tree = xr.open_datatree(store, engine="omezarr")
    for index in range(3):
        level, *both = (node.omezarr.level(index) for node in (tree, *tree.omezarr.labels.values()))
        for made in both:
            for dim in made.dims:
                assert (dim in made.coords) == (dim in level.coords)
                if dim in level.coords:
                    xr.testing.assert_identical(made[dim].variable, level[dim].variable)
        parts = [part.to_dataset() for part in (level, *both)]
        merged = xr.merge(parts, join="exact", compat="identical")
        assert merged.sizes == level.sizes
        where = merged.cells.where(merged.nuclei == 1)
        assert int(where.count()) == int((both[0] == 1).sum()) * 2


def test_labels_that_were_made_from_a_channel_are_labels_of_all(tmp_path: Path) -> None:
    da = image(2, 37, 50, dims="cyx").omezarr.assign_channels(["DAPI", "GFP"]).assign_coords(place="slide 7")
    own = (da.sel(c="DAPI") > 100).assign_coords(made="by hand")
    assert "c" in own.coords
    tree = da.omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=2, labels={"nuclei": own})
    level = tree["labels/nuclei"].omezarr.level(0)
    assert set(level.coords) == {"y", "x", "place", "made"}
    merged = xr.merge([tree.omezarr.level(0), level])
    assert merged.nuclei.dims == ("y", "x")
    assert da.sel(c="GFP").groupby(level).mean().sizes == {"nuclei": 2}


def test_one_level_of_labels_opens_by_itself(tmp_path: Path) -> None:
    image().omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=3, labels={"nuclei": labels()})
    ds = xr.open_dataset(tmp_path / "a.ome.zarr", engine="omezarr", group="labels/nuclei", level=1)
    assert list(ds.data_vars) == ["nuclei"]
    da = xr.open_dataarray(tmp_path / "a.ome.zarr", engine="omezarr", group="labels/nuclei")
    assert da.name == "nuclei"
    np.testing.assert_array_equal(da, labels())
    inside = xr.open_datatree(tmp_path / "a.ome.zarr" / "labels" / "nuclei", engine="omezarr")
    np.testing.assert_array_equal(inside["0/nuclei"], labels())
    assert inside.omezarr.level(2).name == "nuclei"


# --- what lies elsewhere -------------------------------------------------------------------------------------


def test_labels_without_some_dimensions_and_with_single_pixels(tmp_path: Path) -> None:
    da = image(2, 3, 4, 20, 30, dims="tczyx")
    flat = labels(4, 20, 30, dims="zyx")
    given = {
        "still": flat,
        "moving": flat.expand_dims(t=2),
        "one time": flat.expand_dims("t"),
        "one channel": flat.expand_dims("c"),
        "plane": flat.isel(z=slice(1, 2)),
    }
    tree = da.omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=3, labels=given)
    assert xomezarr.validate(tmp_path / "a.ome.zarr").valid
    for name, own in given.items():
        for index, level in enumerate(tree.omezarr.levels):
            made = tree[f"labels/{name}"].omezarr.level(index)
            assert made.dims == own.dims
            for dim in made.dims:
                assert made.sizes[dim] in (1, level.sizes[dim])
                if made.sizes[dim] == da.sizes[dim]:
                    xr.testing.assert_identical(made[dim].variable, level[dim].variable)


def test_one_pixel_stands_for_all_of_the_image(tmp_path: Path) -> None:
    da = image(6, 37, 50, dims="zyx")
    given = {"whole": labels().expand_dims("z"), "plane": labels().expand_dims(z=da.z[2:3].values)}
    tree = da.omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=3, labels=given)
    whole, plane = (tree[f"labels/{name}"].omezarr.level(1) for name in given)
    edges = da.z[0] - 0.975 / 2, da.z[-1] + 0.975 / 2
    np.testing.assert_allclose([whole.z[0] - whole.z.scale / 2, whole.z[0] + whole.z.scale / 2], edges)
    assert whole.z.attrs["units"] == "um"
    assert float(plane.z[0]) == float(da.z[2])
    assert plane.z.attrs["scale"] == pytest.approx(0.975)


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "floats": (labels().astype("float32"), errors.DtypeError, r"float32.*astype"),
    "another size": (labels(37, 49), errors.LabelError, r"49 pixels along 'x', and the image has 50"),
    "larger": (labels(40, 50), errors.LabelError, r"40 pixels along 'y', and the image has 37.*isel"),
    "no x": (labels().isel(x=0), errors.LabelError, r"lack the dimension 'x'.*expand_dims"),
    "another dimension": (labels().expand_dims("z"), errors.LabelError, r"dimension 'z', which the image lacks"),
    "other names": (
        labels().rename(y="row", x="col"),
        errors.LabelError,
        r"rename\({'row': 'y', 'col': 'x'}\)",
    ),
    "no array": (labels().values, errors.LabelError, r"'nuclei'\] is a ndarray.*DataArray"),
    "elsewhere": (
        labels().assign_coords(x=image().x + 1.0),
        errors.LabelError,
        r"coordinate 'x' .* is 8.3 at index 0, and that of the image 7.3.*drop_vars\('x'\)",
    ),
    "one pixel elsewhere": (
        labels().assign_coords(x=image().x.values + 0.3 * (np.arange(50) == 17)),
        errors.LabelError,
        r"at index 17",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_c7_what_does_not_lie_on_the_image_is_refused(tmp_path: Path, case: str) -> None:
    given, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        image().omezarr.to_zarr(tmp_path / "a.ome.zarr", labels={"nuclei": given})
    assert not (tmp_path / "a.ome.zarr").exists()
    image().omezarr.to_zarr(tmp_path / "a.ome.zarr")
    before = files(tmp_path / "a.ome.zarr", but="")
    with pytest.raises(kind, match=message):
        xomezarr.to_labels(given, tmp_path / "a.ome.zarr", "nuclei")
    assert files(tmp_path / "a.ome.zarr", but="") == before


def test_c7_independent_faults_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(errors.MultipleErrors) as caught:
        image().omezarr.to_zarr(
            tmp_path / "a.ome.zarr",
            chunks={"q": 3},
            labels={"a/b": labels(), "floats": labels() / 2, "small": labels(3, 4), "x": labels()},
        )
    for told in ("'q'", "'a/b'", "float64"):
        assert told in str(caught.value)
    with pytest.raises(errors.MultipleErrors) as caught:
        image().omezarr.to_zarr(tmp_path / "a.ome.zarr", labels={"small": labels(3, 4), "x": labels()})
    for told in ("along 'y'", "along 'x'", "named 'x'"):
        assert told in str(caught.value)


@pytest.mark.parametrize(
    "name", ["", "a/b", "..", "a:b", "a::b", "zarr.json", ".hidden", "a\nb", "a\\b", "n" * 300, 3, None]
)
def test_c7_names_that_are_none_are_refused(tmp_path: Path, name: Any) -> None:
    image().omezarr.to_zarr(tmp_path / "a.ome.zarr")
    with pytest.raises(errors.LabelError, match="cannot be named"):
        xomezarr.to_labels(labels(), tmp_path / "a.ome.zarr", name)
    assert not (tmp_path / "a.ome.zarr" / "labels").exists()


@pytest.mark.parametrize("name", ["x", "image", "cells", "place"])
def test_c7_labels_do_not_take_the_name_of_something_else(tmp_path: Path, name: str) -> None:
    da = image().assign_coords(place="slide 7")
    with pytest.raises(errors.LabelError, match=f"cannot be named '{name}'"):
        da.omezarr.to_zarr(tmp_path / "a.ome.zarr", labels={name: labels()})
    da.omezarr.to_zarr(tmp_path / "a.ome.zarr")
    with pytest.raises(errors.LabelError, match=f"cannot be named '{name}'"):
        labels().omezarr.to_labels(tmp_path / "a.ome.zarr", name)


def test_coordinates_in_other_units_and_rounded_are_the_same_place(tmp_path: Path) -> None:
    da = image()
    own = labels().assign_coords({dim: da[dim] for dim in "yx"}).omezarr.to_units({"y": "nm", "x": "nm"})
    rounded = labels().assign_coords({dim: da[dim].astype("float32") for dim in "yx"})
    tree = da.omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=2, labels={"nm": own, "rounded": rounded})
    for node in tree.omezarr.labels.values():
        for index in range(2):
            same_places(tree.omezarr.level(index), node.omezarr.level(index))


@pytest.mark.parametrize(
    ("options", "method", "allowed"),
    [
        ({"levels": 2}, "nearest", False),
        ({"levels": 2}, "min", True),
        ({"levels": 2}, "local_mean", False),
        ({"levels": 2, "factors": 3}, "nearest", True),
        ({"levels": 2, "method": "nearest"}, "mode", False),
        ({"levels": 2, "method": "nearest", "factors": 3}, "mode", True),
    ],
)
def test_a_method_whose_pixels_lie_elsewhere_is_refused(
    tmp_path: Path, options: dict[str, Any], method: str, allowed: bool
) -> None:
    image().omezarr.to_zarr(tmp_path / "a.ome.zarr", **options)
    if allowed:
        tree = labels().omezarr.to_labels(tmp_path / "a.ome.zarr", "nuclei", method=method)
        assert tree.omezarr.metadata.multiscale.type == method
        return
    with pytest.raises(errors.MethodError, match=r"method="):
        labels().omezarr.to_labels(tmp_path / "a.ome.zarr", "nuclei", method=method)


# --- images of other tools -----------------------------------------------------------------------------------


def foreign(
    place: Path,
    levels: list[np.ndarray],
    transforms: list[tuple[list[float], list[float] | None]],
    version: str = "0.4",
) -> None:
    """Write an image as other tools do, with nothing of ours."""
    group = zarr.create_group(place, zarr_format=2 if version == "0.4" else 3)
    datasets = []
    for index, (pixels, (scale, translation)) in enumerate(zip(levels, transforms, strict=True)):
        names = {} if version == "0.4" else {"dimension_names": ["y", "x"]}
        keys = {"name": "v2" if version == "0.4" else "default", "separator": "/"}
        group.create_array(str(index), data=pixels, chunk_key_encoding=keys, **names)
        made = [{"type": "scale", "scale": scale}]
        if translation is not None:
            made.append({"type": "translation", "translation": translation})
        datasets.append({"path": str(index), "coordinateTransformations": made})
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    multiscale = {"version": version, "axes": axes, "datasets": datasets, "name": "theirs"}
    group.attrs.update(
        {"multiscales": [multiscale]}
        if version == "0.4"
        else {"ome": {"version": version, "multiscales": [multiscale]}}
    )


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_images_of_strided_levels_get_labels_on_the_first_pixel_of_each_block(tmp_path: Path, version: str) -> None:
    pixels = image().values
    levels = [pixels[:: 2**k, :: 2**k] for k in range(3)]
    foreign(tmp_path / "a.zarr", levels, [([0.5 * 2**k] * 2, None) for k in range(3)], version)
    own = labels()
    tree = own.omezarr.to_labels(tmp_path / "a.zarr", "nuclei")
    theirs = xr.open_datatree(tmp_path / "a.zarr", engine="omezarr")
    for k in range(3):
        np.testing.assert_array_equal(tree.omezarr.level(k).values, own.values[:: 2**k, :: 2**k])
        same_places(theirs.omezarr.level(k), tree.omezarr.level(k))
    assert xomezarr.validate(tmp_path / "a.zarr").errors == ()


def test_images_of_floor_sizes_get_labels_of_the_same_sizes(tmp_path: Path) -> None:
    sizes = [(37, 50), (18, 25), (9, 12)]
    transforms = [([2.0**k] * 2, [(2.0**k - 1) / 2] * 2) for k in range(3)]
    foreign(tmp_path / "a.zarr", [np.zeros(size, "u1") for size in sizes], transforms)
    tree = labels().omezarr.to_labels(tmp_path / "a.zarr", "nuclei")
    assert [level.shape for level in tree.omezarr.levels] == sizes
    expected = labels().omezarr.pyramid(method="mode", factors=2, levels=3, boundary="trim")
    np.testing.assert_array_equal(tree.omezarr.level(2).values, expected["2/image"].values)


def test_images_whose_levels_lie_nowhere_exact_are_told_and_labels_are_true(tmp_path: Path) -> None:
    """ome-zarr-py's scales are ratios of shapes: 37 / 18 where two pixels make one."""
    sizes = [(37, 50), (18, 25)]
    foreign(tmp_path / "a.zarr", [np.zeros(size, "u1") for size in sizes], [([1.0, 1.0], None), ([37 / 18, 2.0], None)])
    with pytest.warns(errors.LabelWarning, match="level 1 of the image"):
        tree = labels().omezarr.to_labels(tmp_path / "a.zarr", "nuclei")
    assert [level.shape for level in tree.omezarr.levels] == sizes
    np.testing.assert_allclose(tree.omezarr.level(1).y, np.arange(18) * 2 + 0.5)


def test_images_whose_sizes_no_factor_makes_are_refused(tmp_path: Path) -> None:
    sizes = [(37, 50), (30, 40)]
    foreign(tmp_path / "a.zarr", [np.zeros(size, "u1") for size in sizes], [([1.0, 1.0], None), ([1.25, 1.25], None)])
    with pytest.raises(errors.LabelError, match=r"no whole factors make level 1 .*write the image anew"):
        labels().omezarr.to_labels(tmp_path / "a.zarr", "nuclei")


@given(
    sizes=st.tuples(*[st.integers(1, 40)] * 2),
    factors=st.lists(st.tuples(*[st.integers(1, 4)] * 2).filter(lambda step: max(step) > 1), min_size=1, max_size=3),
    boundary=st.sampled_from(["pad", "trim"]),
    method=st.sampled_from(["local_mean", "nearest", "gaussian"]),
)
def test_labels_find_the_steps_of_any_image(
    sizes: tuple[int, int], factors: list[tuple[int, int]], boundary: Any, method: str
) -> None:
    steps = [dict(zip("yx", step, strict=True)) for step in factors]
    store = MemoryStore()
    try:
        da = image(*sizes)
        tree = da.omezarr.to_zarr(store, factors=steps, boundary=boundary, method=method)
    except errors.FactorError:  # nothing is left to shrink
        return
    own = labels(*sizes)
    made = own.omezarr.to_labels(store, "nuclei")
    row = made.omezarr.metadata.multiscale.type
    assert row == ("nearest" if method == "nearest" else "mode")
    expected = own.omezarr.pyramid(method=row, factors=steps, boundary=boundary)
    for index, level in enumerate(tree.omezarr.levels):
        same_places(level, made.omezarr.level(index))
        np.testing.assert_array_equal(made.omezarr.level(index).values, expected[f"{index}/image"].values)


# --- colours and properties ----------------------------------------------------------------------------------


def told(place: Path, name: str = "nuclei") -> dict[str, Any]:
    attrs = zarr.open_group(place, path=f"labels/{name}", mode="r").attrs.asdict()
    found: dict[str, Any] = attrs.get("ome", attrs)["image-label"]
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_nobody_gets_colours_that_were_not_asked_for(tmp_path: Path, version: str) -> None:
    image().omezarr.to_zarr(tmp_path / "a.ome.zarr", version=version, labels={"nuclei": labels()})
    assert told(tmp_path / "a.ome.zarr").keys() - {"version"} == {"source"}
    assert told(tmp_path / "a.ome.zarr")["source"] == {"image": "../../"}
    assert xr.open_datatree(tmp_path / "a.ome.zarr", engine="omezarr")["labels/nuclei"].omezarr.colors == {}


@pytest.mark.parametrize("version", VERSIONS)
def test_colours_by_label_value(tmp_path: Path, version: str) -> None:
    image().omezarr.to_zarr(tmp_path / "a.ome.zarr", version=version)
    given = {1: "red", 2: "#00ff0080", np.uint8(3): (0, 0, 255), 0: (0, 0, 0, 0)}
    tree = labels().omezarr.to_labels(tmp_path / "a.ome.zarr", "nuclei", colors=given)
    assert tree.omezarr.colors == {1: "#ff0000ff", 2: "#00ff0080", 3: "#0000ffff", 0: "#00000000"}
    assert told(tmp_path / "a.ome.zarr")["colors"][1] == {"label-value": 2, "rgba": [0, 255, 0, 128]}
    again = labels().omezarr.to_labels(tmp_path / "a.ome.zarr", "again", colors=tree.omezarr.colors)
    assert again.omezarr.colors == tree.omezarr.colors


@pytest.mark.parametrize("colormap", ["tab10", "viridis"])
def test_colours_of_a_colormap_go_to_the_labels_that_there_are(tmp_path: Path, colormap: str) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    tree = image().omezarr.to_zarr(
        tmp_path / "a.ome.zarr", levels=3, labels={"nuclei": xomezarr.Labels(labels(), colors=colormap)}
    )
    values = [value for value in np.unique(labels()) if value]
    colors = tree["labels/nuclei"].omezarr.colors
    assert list(colors) == values  # all of level 0, ascending, and not the background
    first = "#" + bytes(matplotlib.colormaps[colormap](0, bytes=True)).hex()
    assert colors[values[0]] == first
    if colormap == "tab10":
        assert colors[values[10]] == first
        assert len({*colors.values()}) == 10


def test_colours_of_a_colormap_go_to_the_labels_of_the_properties(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    image().omezarr.to_zarr(tmp_path / "a.ome.zarr")
    table = pd.DataFrame({"area": [1, 2]}, index=[3, 500])
    tree = labels().omezarr.to_labels(tmp_path / "a.ome.zarr", "nuclei", colors="tab10", properties=table)
    assert list(tree.omezarr.colors) == [3, 500]


def test_a_colormap_for_too_many_labels_is_told(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    many = xr.DataArray(np.arange(300 * 300).reshape(300, 300), dims=("y", "x"))
    image(300, 300).omezarr.to_zarr(tmp_path / "a.ome.zarr")
    with pytest.warns(errors.LabelWarning, match="more than 65536"):
        tree = many.omezarr.to_labels(tmp_path / "a.ome.zarr", "nuclei", colors="tab10")
    assert tree.omezarr.colors == {}


@pytest.mark.parametrize(
    ("colors", "message"),
    [
        ({0: "red"}, "background"),
        ({-1: "red"}, "label -1, and pixels of uint32 are 0 to"),
        ({1.5: "red"}, r"1\.5.*whole numbers"),
        ({True: "red"}, "whole numbers"),
        ({1: "reddish"}, r"colors\[1\].*reddish"),
        ({1: "red", 2: "#12345"}, r"colors\[2\]"),
        (["red"], "by label value"),
        ("no such map", "no colormap 'no such map'"),
    ],
)
def test_c7_colours_that_are_none_are_refused(tmp_path: Path, colors: Any, message: str) -> None:
    pytest.importorskip("matplotlib")
    image().omezarr.to_zarr(tmp_path / "a.ome.zarr")
    with pytest.raises(errors.OmeZarrError, match=message):
        labels().omezarr.to_labels(tmp_path / "a.ome.zarr", "nuclei", colors=colors)
    assert not (tmp_path / "a.ome.zarr" / "labels").exists()


TABLE = pd.DataFrame(
    {
        "area": np.array([4, 5, 6], "uint16"),
        "mean": np.array([0.1, np.nan, 0.3], "float32"),
        "kind": ["round", None, "long"],
        "alive": [True, False, True],
        "track": pd.array([1, None, 3], dtype="Int64"),
    },
    index=pd.Index([1, 2, 7], name="label"),
)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("form", ["index", "column", "dict", "Dataset"])
def test_c6_properties_come_back_as_they_were(tmp_path: Path, version: str, form: str) -> None:
    table: Any = TABLE
    if form == "column":
        table = TABLE.reset_index()
    elif form == "dict":  # as regionprops_table gives them
        table = {name: column.to_numpy() for name, column in TABLE.drop(columns="track").reset_index().items()}
    elif form == "Dataset":
        table = TABLE.drop(columns="track").to_xarray()
    labelled = xomezarr.Labels(labels(), properties=table)
    image().omezarr.to_zarr(tmp_path / "a.ome.zarr", version=version, labels={"nuclei": labelled})
    tree = xr.open_datatree(tmp_path / "a.ome.zarr", engine="omezarr")
    expected = TABLE if form in ("index", "column") else TABLE.drop(columns="track")
    pd.testing.assert_frame_equal(tree["labels/nuclei"].omezarr.properties, expected, check_column_type=False)
    rows = told(tmp_path / "a.ome.zarr")["properties"]
    assert rows[0]["label-value"] == 1
    assert rows[0]["area"] == 4
    assert rows[1].keys() == {"label-value", "area", "alive"}  # what is missing is left out


def test_c6_properties_of_odd_dtypes_come_back_as_they_were(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "large": pd.array([2**53 + 1, None, 3], dtype="Int64"),
            "larger": pd.array([2**64 - 1, None, 3], dtype="UInt64"),
            "grade": pd.Categorical(["b", None, "a"], categories=["b", "a", "unused"], ordered=True),
            "class": [30, 10, 20],
            "label": ["x", "y", "z"],
        },
        index=pd.Index([5, 2, 9], name=("a", 1), dtype="uint16"),
    )
    labelled = xomezarr.Labels(labels(), properties=table)
    tree = image().omezarr.to_zarr(tmp_path / "a.ome.zarr", labels={"nuclei": labelled})
    pd.testing.assert_frame_equal(tree["labels/nuclei"].omezarr.properties, table, check_column_type=False)


CHOSEN: dict[str, Callable[[pd.DataFrame], Any]] = {
    "all": lambda table: table,
    "filtered": lambda table: table[table.area > 50],
    "queried": lambda table: table.query("kind != 'b'"),
    "sorted": lambda table: table.sort_values("area", ascending=False),
    "dropped": lambda table: table.drop(1),
    "shuffled": lambda table: table.sample(frac=1, random_state=1),
    "reversed": lambda table: table[::-1],
    "counted from 1": lambda table: table.set_axis(range(1, 5)),
    "twice the same": lambda table: pd.concat([table[:2], table[2:].reset_index(drop=True)]),
    "none left": lambda table: table[table.area > 1000],
    "a dict of its columns": lambda table: dict(table[table.area > 50].items()),
    "by name": lambda table: table.sort_values("area").set_index("label"),
    "a Dataset of rows": lambda table: xr.Dataset({name: ("row", column) for name, column in table[1:].items()}),
    "a Dataset of labels": lambda table: table[1:].set_index("label").to_xarray(),
    "floats": lambda table: table.astype({"label": float})[2:],
}
"""How the rows of a table of labels 30, 10, 20 and 40 come to be others than at first."""


@pytest.mark.parametrize("name", ["label", "label_value", "label-value"])
@pytest.mark.parametrize("chosen", CHOSEN)
def test_properties_are_those_of_the_labels_that_a_column_names_whatever_rows_are_left(
    tmp_path: Path, chosen: str, name: str
) -> None:
    table = pd.DataFrame({"label": [30, 10, 20, 40], "area": [10, 400, 300, 20], "kind": ["a", "b", "c", "d"]})
    of_label = table.set_index("label")["area"]
    given = CHOSEN[chosen](table)
    if isinstance(given, pd.DataFrame):
        given = given.rename(columns={"label": name}).rename_axis(index=given.index.name and name)
    expected = given if isinstance(given, pd.DataFrame) else pd.DataFrame(dict(given))
    labelled = xomezarr.Labels(labels(most=50), properties=given)
    image().omezarr.to_zarr(tmp_path / "a.ome.zarr", labels={"nuclei": labelled})
    found = xr.open_datatree(tmp_path / "a.ome.zarr", engine="omezarr")["labels/nuclei"].omezarr.properties
    assert len(found) == len(expected)
    for label, area in found["area"].items():
        assert area == of_label[label]


def test_properties_beside_a_column_of_text_are_those_of_the_index(tmp_path: Path) -> None:
    table = pd.DataFrame({"label": ["x", "y"], "area": [1, 2]}, index=pd.Index([7, 3], name="label"))
    labelled = xomezarr.Labels(labels(), properties=table)
    tree = image().omezarr.to_zarr(tmp_path / "a.ome.zarr", labels={"nuclei": labelled})
    found = tree["labels/nuclei"].omezarr.properties
    pd.testing.assert_frame_equal(found, table, check_column_type=False)
    # and what was read is written as it is
    again = labels().omezarr.to_labels(tmp_path / "a.ome.zarr", "again", properties=found)
    pd.testing.assert_frame_equal(again.omezarr.properties, table, check_column_type=False)


def test_properties_of_other_tools_are_a_table(tmp_path: Path) -> None:
    image().omezarr.to_zarr(tmp_path / "a.ome.zarr", labels={"nuclei": labels()})
    group = zarr.open_group(tmp_path / "a.ome.zarr", path="labels/nuclei", mode="r+")
    rows = [{"label-value": 2, "class": "a"}, {"label-value": 1, "class": "b", "size": 3}]
    group.attrs["image-label"] = {**group.attrs["image-label"], "properties": rows}
    table = xr.open_datatree(tmp_path / "a.ome.zarr", engine="omezarr")["labels/nuclei"].omezarr.properties
    assert table.index.tolist() == [2, 1]
    assert table["class"].tolist() == ["a", "b"]
    assert np.isnan(table["size"][2])


@pytest.mark.parametrize("asked", ["axes", "channels", "colors", "metadata", "properties"])
def test_metadata_are_read_once_for_what_is_asked(tmp_path: Path, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # those of many labels take long
    tree = image().omezarr.to_zarr(tmp_path / "a.ome.zarr", labels={"nuclei": labels()})["labels/nuclei"]
    reading = spec.parse
    read: list[Any] = []
    monkeypatch.setattr(spec, "parse", lambda attrs: read.append(attrs) or reading(attrs))  # type: ignore[func-returns-value]
    getattr(tree.omezarr, asked)
    assert len(read) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_numbers_of_other_tools_are_what_they_say(tmp_path: Path, version: str) -> None:
    da = labels()
    store = tmp_path / "a.ome.zarr"
    image().omezarr.to_zarr(store, version=version, labels={"nuclei": da})
    colors: list[Any] = [
        {"label-value": 1.0, "rgba": [255.0, 0.0, 0, 255]},
        {"label-value": 2, "rgba": [0.5, 0, 0, 1], "theirs": "x"},
        {"label-value": 2.5, "rgba": [0, 0, 0, 0]},
        {"label-value": 3},
    ]
    rows: list[Any] = [{"label-value": 1.0, "area": 3.0}, {"label-value": 7, "area": None}, {"label-value": "x"}]
    group = zarr.open_group(store, path="labels/nuclei", mode="r+")
    attrs = group.attrs.asdict()
    spec.ome_part(attrs)["image-label"].update({"colors": colors, "properties": rows})
    group.attrs.put(attrs)
    tree = xr.open_datatree(store, engine="omezarr")
    assert tree["labels/nuclei"].omezarr.colors == {1: "#ff0000ff"}
    table = tree["labels/nuclei"].omezarr.properties
    assert table.index.tolist() == [1, 7]
    assert table["area"].tolist()[0] == 3
    # what cannot be read is written again as it stood, after the rest
    again = spec.ome_part(spec.dump(tree["labels/nuclei"].omezarr.metadata, version))["image-label"]
    assert again["colors"] == [colors[0], colors[1], colors[3], colors[2]]
    assert again["properties"] == rows


@pytest.mark.filterwarnings("error")
def test_properties_that_another_tool_has_changed_are_what_it_says(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "whole": np.array([1, 2, 3], "int64"),
            "short": np.array([1, 2, 3], "float32"),
            "alive": [True, False, True],
            "kind": pd.Categorical(["a", "b", "a"]),
            "large": pd.array([1, 2, None], dtype="Int64"),
            "same": np.array([1, 2, 3], "uint8"),
        },
        index=pd.Index([1.0, 2.0, 3.0], name="label"),
    )
    store = tmp_path / "a.ome.zarr"
    image().omezarr.to_zarr(store, labels={"nuclei": xomezarr.Labels(labels(dtype="uint64"), properties=table)})
    changed: dict[str, list[Any]] = {
        "whole": [1.5, 2, 3],
        "short": [0.1, 2, 3],
        "alive": [2, False, True],
        "kind": ["a", "new", "b"],
        "large": [2**64 - 1, None, 2],
        "mixed": [2**53 + 1, 0.5, 1],
        "nested": [[1, 2], {"a": 1}, None],
    }
    values = [2**53 + 1, 2, 3]
    group = zarr.open_group(store, path="labels/nuclei", mode="r+")
    known = group.attrs["image-label"]
    rows = [
        row | {"label-value": value} | {column: cells[place] for column, cells in changed.items()}
        for place, (value, row) in enumerate(zip(values, known["properties"], strict=True))  # type: ignore[index, call-overload]
    ]
    group.attrs["image-label"] = {**known, "properties": rows}  # type: ignore[dict-item]
    found = xr.open_datatree(store, engine="omezarr")["labels/nuclei"].omezarr.properties
    assert found.index.tolist() == values
    for column, cells in changed.items():
        for cell, made in zip(cells, found[column].tolist(), strict=True):
            assert made == cell if cell is not None else np.all(pd.isna(made))
    assert found["same"].dtype == "uint8"


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        (pd.DataFrame({"a": [1, 2]}, index=[1, 1]), "label 1 twice"),
        (pd.DataFrame({"a": [1]}, index=["x"]), "'x'.*whole numbers"),
        (pd.DataFrame({"a": [np.inf]}, index=[1]), r"'a'\] of label 1 is inf"),
        (pd.DataFrame({"a": [object()]}, index=[1]), r"'a'\] of label 1.*astype"),
        (pd.DataFrame({"a": [pd.Timestamp("2020")]}, index=[1]), r"'a'\] of label 1.*Timestamp"),
        (pd.DataFrame({3: [1]}, index=[1]), "column 3"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"], index=[1]), r"columns of one name among \('a', 'a'\)"),
        (pd.DataFrame([[1, 2]], columns=["label", "label"]), "columns of one name"),
        (
            pd.DataFrame({"label": [3, 4]}, index=pd.Index([1, 2], name="area")),
            "'area' and a column 'label'.*rename_axis",
        ),
        (pd.DataFrame({"label": [3, 4]}, index=["a", "b"]), r"\['a', 'b'\] and a column 'label'.*rename_axis"),
        (pd.DataFrame({"label": [3, 4]}, index=[0.5, 1]), "and a column 'label'.*reset_index"),
        (pd.DataFrame({"label": [3, 4]}, index=pd.MultiIndex.from_product([[1], [2, 3]])), "and a column 'label'"),
        (pd.DataFrame({"label": ["a", "b"]}, index=[1, 2]), "'label' that holds no label values.*rename_axis"),
        (pd.DataFrame({"label": [True, False]}), "'label' that holds no label values"),
        (pd.DataFrame({"label": [1.5, 2]}, index=[4, 2]), "'label' of properties names the label 1.5"),
        (pd.DataFrame({"label": [1, None]}), "'label' of properties names the label nan"),
        (pd.DataFrame({"label-value": ["a"]}, index=pd.Index([3], name="label")), "a column 'label-value'.*rename"),
        (pd.DataFrame({"label-value": ["a"]}, index=pd.Index([3], name="id")), "a column 'label-value'.*rename"),
        (xr.Dataset({"label": ("id", [3])}, {"id": [1]}), "'id' and a column 'label'"),
        (xr.Dataset({"area": ("label", [3])}), "nothing says of which label.*coordinate 'label'"),
        ({"area": [1, 2]}, "nothing says of which label"),
        (pd.DataFrame({"area": [1, 2]}), "nothing says of which label.*set_index"),
        (pd.DataFrame({"a": [pd.Timestamp("2020")] * 9, "b": [1j] * 9}, index=range(1, 10)), "for 2 reasons"),
        (pd.DataFrame({"a": [1]}, index=[2**40]), f"label {2**40}, and pixels of uint32"),
        ({"label": [1], "area": [1, 2]}, "one length"),
        ([1, 2], "DataFrame"),
        (xr.Dataset({"a": (("i", "j"), np.zeros((2, 2)))}), "one is needed"),
    ],
)
def test_c7_properties_that_are_no_table_are_refused(tmp_path: Path, properties: Any, message: str) -> None:
    with pytest.raises(errors.OmeZarrError, match=message):
        image().omezarr.to_zarr(
            tmp_path / "a.ome.zarr", labels={"nuclei": xomezarr.Labels(labels(), properties=properties)}
        )
    assert not (tmp_path / "a.ome.zarr").exists()


# --- adding, replacing, taking away --------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_labels_come_and_go_and_the_image_is_not_touched(tmp_path: Path, version: str) -> None:
    place = tmp_path / "a.ome.zarr"
    image().omezarr.to_zarr(place, levels=3, version=version)
    before = files(place)

    def listed() -> list[str]:
        names = list(xr.open_datatree(place, engine="omezarr").omezarr.labels)
        assert sorted(names) == sorted(path.name for path in (place / "labels").iterdir() if path.is_dir())
        assert xomezarr.validate(place).valid
        assert files(place) == before
        return names

    labels().omezarr.to_labels(place, "first")
    assert listed() == ["first"]
    (labels() > 3).omezarr.to_labels(place, "second")
    assert listed() == ["first", "second"]
    with pytest.raises(errors.StoreExistsError, match="first"):
        labels().omezarr.to_labels(place, "first")
    other = labels().astype("uint8") + 1
    tree = other.omezarr.to_labels(place, "first", mode="w")
    np.testing.assert_array_equal(tree.omezarr.level(0), other)
    assert listed() == ["first", "second"]
    xomezarr.delete_labels(place, "first")
    assert listed() == ["second"]
    with pytest.raises(errors.StoreNotFoundError, match=r"no labels 'first'.*'second'"):
        xomezarr.delete_labels(place, "first")
    xomezarr.delete_labels(place, "second")
    assert listed() == []


@pytest.mark.parametrize("version", VERSIONS)
def test_labels_in_stores_that_are_no_folder(version: str) -> None:
    for store in (MemoryStore(), f"memory://labels-{version}-{time.time_ns()}.ome.zarr"):
        image().omezarr.to_zarr(store, levels=2, version=version, labels={"first": labels()})
        labels().omezarr.to_labels(store, "second")
        tree = xr.open_datatree(store, engine="omezarr")
        assert list(tree.omezarr.labels) == ["first", "second"]
        for node in tree.omezarr.labels.values():
            np.testing.assert_array_equal(node.omezarr.level(0), labels())
            same_places(tree.omezarr.level(1), node.omezarr.level(1))
        with pytest.raises(errors.StoreExistsError):
            labels().omezarr.to_labels(store, "second")
        labels().omezarr.to_labels(store, "second", mode="w")
        xomezarr.delete_labels(store, "first")
        assert list(xr.open_datatree(store, engine="omezarr").omezarr.labels) == ["second"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_store_object_of_a_folder_is_that_folder(tmp_path: Path, version: str) -> None:
    store = zarr.storage.LocalStore(tmp_path / "a.ome.zarr")
    image().omezarr.to_zarr(store, version=version)
    labels().omezarr.to_labels(store, "nuclei")
    before = files(tmp_path / "a.ome.zarr", but="")
    with pytest.raises(BrokenError):
        (labels() + 1).omezarr.to_labels(store, "nuclei", mode="w", progress=breaking(0))
    assert files(tmp_path / "a.ome.zarr", but="") == before


@pytest.mark.parametrize("version", VERSIONS)
def test_consolidated_metadata_that_are_there_are_kept_true(tmp_path: Path, version: str) -> None:
    place = tmp_path / "a.ome.zarr"
    image().omezarr.to_zarr(place, version=version)
    zarr.consolidate_metadata(place)
    labels().omezarr.to_labels(place, "nuclei")
    assert "labels/nuclei/0" in zarr.open_group(place, mode="r", use_consolidated=True)
    xomezarr.delete_labels(place, "nuclei")
    assert "labels/nuclei/0" not in zarr.open_group(place, mode="r", use_consolidated=True)


def test_c8_labels_whose_writer_was_killed_before_they_were_listed_are_none(tmp_path: Path) -> None:
    place = tmp_path / "a.ome.zarr"
    image().omezarr.to_zarr(place)
    for first in (True, False):  # without a group of labels, and with one
        labels().omezarr.to_labels(place, "nuclei")
        if first:
            for document in (".zgroup", ".zattrs"):
                (place / "labels" / document).unlink()
        else:
            rewrite(place / "labels", lambda attrs: {"labels": []})
        assert list(xr.open_datatree(place, engine="omezarr").omezarr.labels) == []
        with pytest.raises(errors.StoreExistsError, match='mode="w"'):
            (labels() + 1).omezarr.to_labels(place, "nuclei")
        tree = (labels() + 1).omezarr.to_labels(place, "nuclei", mode="w")
        np.testing.assert_array_equal(tree.omezarr.level(0), labels() + 1)
        assert list(xr.open_datatree(place, engine="omezarr").omezarr.labels) == ["nuclei"]
        rewrite(place / "labels", lambda attrs: {"labels": []})
        xomezarr.delete_labels(place, "nuclei")
        assert not (place / "labels" / "nuclei").exists()


def test_c8_of_two_that_add_the_same_labels_one_is_told(tmp_path: Path) -> None:
    place = tmp_path / "a.ome.zarr"
    image().omezarr.to_zarr(place)
    first, second = ((labels() + add).omezarr.to_labels(place, "nuclei", compute=False) for add in range(2))
    first.compute()
    with pytest.raises(errors.StoreExistsError):
        second.compute()
    found = xr.open_datatree(place, engine="omezarr")["labels/nuclei"].omezarr.level(0)
    np.testing.assert_array_equal(found, labels())


def test_c8_nobody_deletes_labels_between_their_coming_and_their_being_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xomezarr import joining

    place = tmp_path / "a.ome.zarr"
    image().omezarr.to_zarr(place)
    labels().omezarr.to_labels(place, "nuclei")
    say, deleting = joining._Steps.say, []

    def slow(*args: Any) -> Any:
        monkeypatch.setattr(joining._Steps, "say", say)
        deleting.append(threading.Thread(target=xomezarr.delete_labels, args=(place, "nuclei")))
        deleting[0].start()
        time.sleep(0.5)
        assert (place / "labels" / "nuclei").exists()
        return say(*args)

    monkeypatch.setattr(joining._Steps, "say", slow)
    with contextlib.suppress(errors.StoreNotFoundError):  # opening may come after the deleting
        labels().omezarr.to_labels(place, "nuclei", mode="w")
    deleting[0].join()
    assert not (place / "labels" / "nuclei").exists()
    assert list(xr.open_datatree(place, engine="omezarr").omezarr.labels) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_consolidated_metadata_above_an_image_are_kept_true(version: str) -> None:
    store = MemoryStore()
    zarr.create_group(store, zarr_format=2 if version == "0.4" else 3)
    image().omezarr.to_zarr(zarr.storage.StorePath(store, "a"), version=version)
    zarr.consolidate_metadata(store)
    labels().omezarr.to_labels(zarr.storage.StorePath(store, "a"), "nuclei")
    assert "a/labels/nuclei/0" in zarr.open_group(store, mode="r", use_consolidated=True)


def test_progress_of_the_function_is_that_of_the_accessor(tmp_path: Path) -> None:
    image().omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=2)
    told: list[int] = []
    tree = xomezarr.to_labels(labels(), tmp_path / "a.ome.zarr", "nuclei", progress=told.append)
    assert sum(told) == sum(level.nbytes for level in tree.omezarr.levels)
    xomezarr.to_labels(labels(), tmp_path / "a.ome.zarr", "other", progress=True)
    with pytest.raises(errors.OmeZarrError, match="progress"):
        xomezarr.to_labels(labels(), tmp_path / "a.ome.zarr", "third", progress=3)


def test_labels_are_not_added_to_another_image_than_they_were_planned_for(tmp_path: Path) -> None:
    place = tmp_path / "a.ome.zarr"
    image().omezarr.to_zarr(place)
    later = labels().omezarr.to_labels(place, "nuclei", compute=False)
    image(37, 40).omezarr.to_zarr(place, mode="w")
    with pytest.raises(errors.LabelError, match="has changed since"):
        later.compute()
    assert not (place / "labels").exists()


def test_what_a_link_of_labels_points_to_stays(tmp_path: Path) -> None:
    place = tmp_path / "a.ome.zarr"
    image().omezarr.to_zarr(place, labels={"real": labels()})
    (place / "labels" / "real").rename(tmp_path / "elsewhere")
    (place / "labels" / "real").symlink_to(tmp_path / "elsewhere")
    xomezarr.delete_labels(place, "real")
    assert {path.name for path in (place / "labels").iterdir()} == {".zgroup", ".zattrs"}
    assert not (place / "labels" / "real").exists()
    assert (tmp_path / "elsewhere" / ".zgroup").exists()


def test_labels_in_a_zip_file_cannot_be_taken_away(tmp_path: Path) -> None:
    with zarr.storage.ZipStore(tmp_path / "a.zip", mode="w") as store:
        image().omezarr.to_zarr(store, labels={"nuclei": labels()})
    with zarr.storage.ZipStore(tmp_path / "a.zip", mode="a") as store:
        with pytest.raises(errors.StoreExistsError, match=r"nothing in .* can be deleted"):
            xomezarr.delete_labels(store, "nuclei")
        assert list(xr.open_datatree(store, engine="omezarr").omezarr.labels) == ["nuclei"]


def test_labels_of_a_store_in_memory_are_none_until_they_are_whole_again() -> None:
    store = MemoryStore()
    image().omezarr.to_zarr(store, labels={"nuclei": labels(), "other": labels()})
    with pytest.raises(BrokenError):
        labels().omezarr.to_labels(store, "nuclei", mode="w", progress=breaking(0))
    assert list(xr.open_datatree(store, engine="omezarr").omezarr.labels) == ["other"]
    labels().omezarr.to_labels(store, "nuclei", mode="w")
    assert sorted(xr.open_datatree(store, engine="omezarr").omezarr.labels) == ["nuclei", "other"]


class BrokenError(Exception):
    pass


def breaking(after: int) -> Any:
    count = itertools.count()

    def on_tile(nbytes: int) -> None:
        if next(count) >= after:
            raise BrokenError

    return on_tile


@pytest.mark.parametrize("mode", ["w-", "w"])
@pytest.mark.parametrize("kept", [False, True])
def test_c8_a_failure_leaves_what_was_there(tmp_path: Path, mode: str, kept: bool) -> None:
    place = tmp_path / "a.ome.zarr"
    image().omezarr.to_zarr(place, levels=3)
    if kept:
        labels().omezarr.to_labels(place, "kept")
    if mode == "w" and kept:
        labels().omezarr.to_labels(place, "nuclei")
    before = files(place, but="")
    for after in range(3):
        with pytest.raises(BrokenError):
            (labels() + 1).omezarr.to_labels(place, "nuclei", mode=mode, progress=breaking(after), chunks={"y": 9})
        assert files(place, but="") == before
        assert list(place.rglob(".*.partial")) == []


def test_c8_a_failure_in_labels_leaves_no_image(tmp_path: Path) -> None:
    def lose(block: Any) -> Any:
        raise BrokenError

    lost = dask.array.zeros((37, 50), chunks=10, dtype="u1").map_blocks(lose, dtype="u1", meta=np.empty((0, 0), "u1"))
    with pytest.raises(BrokenError):
        image().omezarr.to_zarr(tmp_path / "a.ome.zarr", labels={"nuclei": xr.DataArray(lost, dims=("y", "x"))})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["dask", "lazy", "mask"])
def test_c4_labels_from_every_source(tmp_path: Path, kind: str) -> None:
    own = labels() > 4 if kind == "mask" else labels()
    given = own.chunk(y=7, x=11)
    if kind == "lazy":
        own.to_dataset(name="l").to_zarr(tmp_path / "raw.zarr")
        given = xr.open_zarr(tmp_path / "raw.zarr", chunks=None)["l"]
    tree = image().omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=3, labels={"nuclei": given})
    expected = image().omezarr.to_zarr(tmp_path / "b.ome.zarr", levels=3, labels={"nuclei": own})
    for one, other in zip(tree["labels/nuclei"].omezarr.levels, expected["labels/nuclei"].omezarr.levels, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == own.dtype


def test_labels_that_are_computed_later(tmp_path: Path) -> None:
    image().omezarr.to_zarr(tmp_path / "a.ome.zarr")
    later = labels().omezarr.to_labels(tmp_path / "a.ome.zarr", "nuclei", compute=False)
    assert not (tmp_path / "a.ome.zarr" / "labels").exists()
    tree = later.compute()
    np.testing.assert_array_equal(tree.omezarr.level(0), labels())
    assert list(xr.open_datatree(tmp_path / "a.ome.zarr", engine="omezarr").omezarr.labels) == ["nuclei"]


def test_replacing_an_image_says_which_labels_are_lost(tmp_path: Path) -> None:
    given = {"old": labels(), "both": labels()}
    image().omezarr.to_zarr(tmp_path / "a.ome.zarr", labels=given)
    with pytest.warns(errors.OtherImagesWarning, match=r"has labels \(old\)"):
        image().omezarr.to_zarr(tmp_path / "a.ome.zarr", mode="w", labels={"both": labels()})
    assert list(xr.open_datatree(tmp_path / "a.ome.zarr", engine="omezarr").omezarr.labels) == ["both"]


def test_in_the_place_of_labels_nothing_else_is_written(tmp_path: Path) -> None:
    store = tmp_path / "a.ome.zarr"
    image().omezarr.to_zarr(store, labels={"nuclei": xomezarr.Labels(labels(), {1: "red"})})
    before = files(store)
    with pytest.raises(errors.LabelError, match=r'labels.omezarr.to_labels\(".*a.ome.zarr", \'nuclei\', mode="w"\)'):
        labels().omezarr.to_zarr(store / "labels" / "nuclei", mode="w")
    assert files(store) == before
    tree = xr.open_datatree(store / "labels" / "nuclei", engine="omezarr").load()
    tree.omezarr.to_zarr(store / "labels" / "nuclei", mode="w")
    assert files(store) == before


@pytest.mark.filterwarnings("ignore::xomezarr.errors.OtherImagesWarning")
def test_labels_of_an_image_that_is_replaced_while_it_is_opened_are_not_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "a.ome.zarr"
    image().omezarr.to_zarr(store, labels={"nuclei": labels()})
    open_member, looked = read.open_member, []

    def late(group: zarr.Group, path: str, **options: Any) -> zarr.Group:
        if not looked:
            looked.append(path)
            image().omezarr.to_zarr(store, mode="w")
        return open_member(group, path, **options)

    monkeypatch.setattr(read, "open_member", late)
    tree = xr.open_datatree(store, engine="omezarr")
    assert looked == ["nuclei"]
    assert not tree.omezarr.labels
    assert (tree["0"].image == image()).all()


def add(place: str, name: str) -> None:
    labels().omezarr.to_labels(place, name)


def test_several_processes_add_labels_at_once(tmp_path: Path) -> None:
    image().omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=2)
    names = [f"labels {number}" for number in range(6)]
    with nursery.NURSERY.Pool(3) as pool:
        pool.starmap(add, [(str(tmp_path / "a.ome.zarr"), name) for name in names])
    tree = xr.open_datatree(tmp_path / "a.ome.zarr", engine="omezarr")
    assert sorted(tree.omezarr.labels) == names
    assert list((tmp_path / "a.ome.zarr").rglob("*.lock")) == []


WRITER = """
import sys, numpy as np, xarray as xr, xomezarr
values = np.arange(64 * 64, dtype="uint32").reshape(64, 64) + int(sys.argv[2])
print("ready", flush=True)
for _ in range(1000):
    xr.DataArray(values, dims=("y", "x")).omezarr.to_labels(sys.argv[1], "nuclei", mode="w", chunks={"y": 8, "x": 8})
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_c8_a_killed_writer_leaves_the_old_labels_or_the_new_ones(tmp_path: Path) -> None:
    place = tmp_path / "a.ome.zarr"
    image(64, 64).omezarr.to_zarr(place, levels=2)
    before = files(place)
    wait = np.random.default_rng(3)
    for number in range(8):
        with nursery.run(textwrap.dedent(WRITER), place, number) as process:
            process.stdout.readline()
            time.sleep(wait.uniform(0, 0.3))
            process.kill()
        assert files(place) == before
        tree = xr.open_datatree(place, engine="omezarr")
        for node in tree.omezarr.labels.values():
            first = int(node.omezarr.level(0)[0, 0])
            np.testing.assert_array_equal(node.omezarr.level(0).values.ravel(), np.arange(64 * 64) + first)
    tree = labels(64, 64).omezarr.to_labels(place, "nuclei", mode="w")
    np.testing.assert_array_equal(tree.omezarr.level(0), labels(64, 64))
    left = [path.name for path in (place / "labels").iterdir() if path.is_dir()]
    assert left == ["nuclei"]
    assert xomezarr.validate(place).valid


# --- trees and Datasets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_a_tree_is_written_with_its_labels(tmp_path: Path, version: str) -> None:
    given = {
        "nuclei": xomezarr.Labels(labels(), colors={1: "red"}, properties=TABLE),
        "mask": labels() > 3,
    }
    tree = image().omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=3, version="0.4", labels=given)
    tree.omezarr.to_zarr(tmp_path / "b.ome.zarr", version=version)
    copy = xr.open_datatree(tmp_path / "b.ome.zarr", engine="omezarr")
    assert copy.omezarr.version == copy["labels/mask"].omezarr.version == version
    assert list(copy.omezarr.labels) == ["nuclei", "mask"]
    for name, node in tree.omezarr.labels.items():
        for one, other in zip(node.omezarr.levels, copy[f"labels/{name}"].omezarr.levels, strict=True):
            xr.testing.assert_identical(one, other)
            assert one.dtype == other.dtype
    assert copy["labels/nuclei"].omezarr.colors == {1: "#ff0000ff"}
    pd.testing.assert_frame_equal(copy["labels/nuclei"].omezarr.properties, TABLE, check_column_type=False)
    assert xomezarr.validate(tmp_path / "b.ome.zarr").valid


def test_a_crop_takes_the_labels_along(tmp_path: Path) -> None:
    da = image(2, 37, 50, dims="cyx").assign_coords(c=["DAPI", "GFP"])
    tree = da.omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=3, labels={"nuclei": labels()})
    for cut in (tree.omezarr.sel(x=slice(9, 15), c="GFP"), tree.omezarr.isel(x=slice(8, 20), y=slice(4, 30))):
        for index in range(3):
            same_places(cut.omezarr.level(index), cut["labels/nuclei"].omezarr.level(index))
            assert cut["labels/nuclei"].omezarr.level(index).sizes["x"] == cut.omezarr.level(index).sizes["x"]
        cut.omezarr.to_zarr(tmp_path / "b.ome.zarr", mode="w")
        again = xr.open_datatree(tmp_path / "b.ome.zarr", engine="omezarr")
        for index in range(3):
            same_places(again.omezarr.level(index), again["labels/nuclei"].omezarr.level(index))
            xr.testing.assert_allclose(
                again["labels/nuclei"].omezarr.level(index), cut["labels/nuclei"].omezarr.level(index)
            )


def test_a_dataset_is_an_image_with_its_labels(tmp_path: Path) -> None:
    spots = image().astype("float32").rename("spots")
    ds = xr.Dataset({"nuclei": labels().assign_coords(spots.coords), "spots": spots, "mask": spots > 100})
    tree = ds.omezarr.to_zarr(
        tmp_path / "a.ome.zarr", levels=2, colors={"mask": {1: "lime"}}, properties={"nuclei": TABLE}
    )
    assert tree.omezarr.name == "spots"
    assert list(tree.omezarr.labels) == ["nuclei", "mask"]
    assert tree["labels/mask"].omezarr.colors == {1: "#00ff00ff"}
    assert len(tree["labels/nuclei"].omezarr.properties) == 3
    both = xr.merge([tree.omezarr.level(1), tree["labels/nuclei"].omezarr.level(1)])
    both.omezarr.to_zarr(tmp_path / "b.ome.zarr", image="spots")
    assert xomezarr.to_zarr(both, tmp_path / "c.ome.zarr").omezarr.name == "spots"


def test_c6_attributes_of_a_dataset_are_those_of_the_store(tmp_path: Path) -> None:
    attrs = {"microscope": "confocal", "settings": {"gain": [1, 2.5]}}
    ds = xr.Dataset({"spots": image().astype("f4"), "nuclei": labels()}, attrs=attrs)
    tree = ds.omezarr.to_zarr(tmp_path / "a.ome.zarr", version="0.5")
    assert attrs.items() <= tree.attrs.items()
    tree.omezarr.to_zarr(tmp_path / "b.ome.zarr", version="0.4")
    assert attrs.items() <= xr.open_datatree(tmp_path / "b.ome.zarr", engine="omezarr").attrs.items()
    for key, value in (("when", np.datetime64("2020")), ("omero", {}), ("xomezarr", 1), (3, "x")):
        with pytest.raises(errors.AttributeEncodingError, match="attrs"):
            ds.assign_attrs({key: value}).omezarr.to_zarr(tmp_path / "c.ome.zarr")
    assert not (tmp_path / "c.ome.zarr").exists()


@pytest.mark.parametrize(
    ("ds", "options", "message"),
    [
        (xr.Dataset({"image": labels(), "b": labels()}), {"labels": {}}, "the other variables"),
        (xr.Dataset({"image": labels(), "b": labels()}), {"colors": "tab20"}, r"say of which labels"),
        (xr.Dataset({"image": labels(), 3: labels()}), {}, "cannot be named 3"),
        (xr.Dataset({"a": labels(), "b": labels()}), {}, r"which is the image among .*\['a', 'b'\].*image='a'"),
        (xr.Dataset({"a": labels(), "b": labels()}), {"image": "c"}, r"image='c' is none of"),
        (xr.Dataset({"a": labels(), "image": labels()}), {"colors": {"b": {}}}, "colors are given for 'b'"),
        (xr.Dataset(), {}, "which is the image"),
    ],
)
def test_c7_a_dataset_that_does_not_tell(tmp_path: Path, ds: xr.Dataset, options: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.OmeZarrError, match=message):
        ds.omezarr.to_zarr(tmp_path / "a.ome.zarr", **options)


# --- what other tools do to labels ---------------------------------------------------------------------------


def rewrite(group: Path, change: Any) -> None:
    path = group / ".zattrs"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def test_labels_that_cannot_be_opened_are_told_and_the_image_opens(tmp_path: Path) -> None:
    place = tmp_path / "a.ome.zarr"
    image().omezarr.to_zarr(place, labels={"nuclei": labels(), "broken": labels()})
    rewrite(place / "labels", lambda attrs: {"labels": ["../../b", "gone", "broken", "nuclei", 3]})
    rewrite(place / "labels" / "broken", lambda attrs: {**attrs, "multiscales": []})
    with pytest.warns(errors.LabelWarning) as caught:
        tree = xr.open_datatree(place, engine="omezarr")
    messages = "\n".join(str(warning.message) for warning in caught)
    for name in ("../../b", "gone", "broken"):
        assert name in messages
    assert list(tree.omezarr.labels) == ["nuclei"]
    tree.omezarr.level(0).load()
    (place / "labels" / ".zattrs").write_text("{")
    with pytest.warns(errors.LabelWarning, match="cannot be read"):
        tree = xr.open_datatree(place, engine="omezarr")
    assert tree.omezarr.labels == {}


def test_labels_of_deeper_paths_are_read(tmp_path: Path) -> None:
    place = tmp_path / "a.ome.zarr"
    image().omezarr.to_zarr(place, labels={"nuclei": labels()})
    (place / "labels" / "by hand").mkdir()
    (place / "labels" / "by hand" / ".zgroup").write_text('{"zarr_format": 2}')
    (place / "labels" / "nuclei").rename(place / "labels" / "by hand" / "first")
    rewrite(place / "labels", lambda attrs: {"labels": ["by hand/first"]})
    tree = xr.open_datatree(place, engine="omezarr")
    assert list(tree.omezarr.labels) == ["by hand/first"]
    np.testing.assert_array_equal(tree["labels/by hand/first/0/first"], labels())
    tree.omezarr.to_zarr(tmp_path / "b.ome.zarr")
    copy = xr.open_datatree(tmp_path / "b.ome.zarr", engine="omezarr")
    np.testing.assert_array_equal(copy["labels/by hand/first/0/first"], labels())
    xomezarr.convert(tmp_path / "b.ome.zarr", tmp_path / "c.ome.zarr")
    assert list(xr.open_datatree(tmp_path / "c.ome.zarr", engine="omezarr").omezarr.labels) == ["first"]
    xomezarr.delete_labels(place, "by hand/first")
    assert xr.open_datatree(place, engine="omezarr").omezarr.labels == {}


def test_labels_of_any_name_are_variables_of_that_name(tmp_path: Path) -> None:
    place = tmp_path / "a.ome.zarr"
    image().omezarr.to_zarr(place, labels={"nuclei.zarr": labels(), "other": labels()})
    tree = xr.open_datatree(place, engine="omezarr")
    np.testing.assert_array_equal(tree["labels/nuclei.zarr/0/nuclei.zarr"], labels())
    tree = xr.open_datatree(place, engine="omezarr", drop_variables=["other", "y"])
    assert list(tree.omezarr.labels) == ["nuclei.zarr"]
    (place / "labels" / "other").rename(place / "labels" / "x")  # which is a dimension's
    rewrite(place / "labels", lambda attrs: {"labels": ["nuclei.zarr", "x"]})
    tree = xr.open_datatree(place, engine="omezarr")
    np.testing.assert_array_equal(tree["labels/x/0/image"], labels())
    assert list(tree.omezarr.labels) == ["nuclei.zarr", "x"]


def test_unknown_keys_of_other_tools_survive(tmp_path: Path) -> None:
    place = tmp_path / "a.ome.zarr"
    image().omezarr.to_zarr(place, labels={"nuclei": labels()})
    rewrite(place / "labels", lambda attrs: {**attrs, "theirs": 1})
    rewrite(
        place / "labels" / "nuclei",
        lambda attrs: {**attrs, "image-label": {**attrs["image-label"], "theirs": {"a": 2}}},
    )
    labels().omezarr.to_labels(place, "second")
    assert zarr.open_group(place / "labels", mode="r").attrs["theirs"] == 1
    tree = xr.open_datatree(place, engine="omezarr")
    tree.omezarr.to_zarr(tmp_path / "b.ome.zarr", version="0.5")
    assert told(tmp_path / "b.ome.zarr")["theirs"] == {"a": 2}
    assert zarr.open_group(tmp_path / "b.ome.zarr" / "labels", mode="r").attrs["theirs"] == 1


def test_what_is_no_label_image_says_so(tmp_path: Path) -> None:
    tree = image().omezarr.to_zarr(tmp_path / "a.ome.zarr", labels={"nuclei": labels()})
    for attribute in ("colors", "properties"):
        with pytest.raises(errors.LabelError, match=r"take tree\['labels/nuclei'\]"):
            getattr(tree.omezarr, attribute)
    with pytest.raises(errors.LabelError, match="holds labels"):
        labels().omezarr.to_labels(tmp_path / "a.ome.zarr" / "labels" / "nuclei", "inner")
    with pytest.raises(errors.StoreNotFoundError):
        labels().omezarr.to_labels(tmp_path / "nothing.ome.zarr", "nuclei")


def test_the_plan_tells_of_labels(tmp_path: Path) -> None:
    plan = image().omezarr.plan(tmp_path / "a.ome.zarr", levels=2, labels={"nuclei": labels()})
    assert "labels 'nuclei', method mode: 2 levels" in str(plan)
    assert plan.to_dict()["labels"]["nuclei"]["levels"][1]["shape"] == [19, 25]
    assert plan.nbytes == sum(level.nbytes for one in (plan, plan.labels["nuclei"]) for level in one.levels)
    ids = [tile.id for tile in plan.tiles]
    assert len(ids) == len({*ids}) == plan.tile_count
    written = []
    image().omezarr.to_zarr(tmp_path / "a.ome.zarr", levels=2, labels={"nuclei": labels()}, progress=written.append)
    assert sum(written) == plan.nbytes
    assert spec.is_image(zarr.open_group(tmp_path / "a.ome.zarr", path="labels/nuclei", mode="r").attrs.asdict())


def test_a_list_that_another_tool_has_put_into_a_column_is_read_as_it_is(tmp_path: Path) -> None:
    place = tmp_path / "a.ome.zarr"
    image().omezarr.to_zarr(place)
    labels().omezarr.to_labels(place, "nuclei", properties=pd.DataFrame({"n": [7]}, index=[1]))
    document = place / "labels" / "nuclei" / ".zattrs"
    attrs = json.loads(document.read_text())
    attrs["image-label"]["properties"][0]["n"] = [1, 2]
    document.write_text(json.dumps(attrs))
    tree = xr.open_datatree(place, engine="omezarr")
    assert tree["labels/nuclei"].omezarr.properties["n"].tolist() == [[1, 2]]


def test_labels_of_which_the_store_says_nothing_have_no_colours_and_no_properties(tmp_path: Path) -> None:
    place = tmp_path / "a.ome.zarr"
    image().omezarr.to_zarr(place, labels={"nuclei": labels()})
    document = place / "labels" / "nuclei" / ".zattrs"
    attrs = json.loads(document.read_text())
    del attrs["image-label"]
    document.write_text(json.dumps(attrs))
    tree = xr.open_datatree(place, engine="omezarr")["labels/nuclei"]
    assert tree.omezarr.colors == {}
    assert tree.omezarr.properties.shape == (0, 0)
    with pytest.raises(errors.LabelError, match="no labels that were read"):
        _ = xr.open_datatree(place, engine="omezarr").omezarr.colors


@pytest.mark.parametrize("name", ["nuclei/0", "nuclei/", "0", "nuclei/0/0"])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_nothing_but_labels_is_taken_away(tmp_path: Path, name: str, elsewhere: bool) -> None:
    place: Any = MemoryStore() if elsewhere else tmp_path / "a.ome.zarr"
    image().omezarr.to_zarr(place, labels={"nuclei": labels()})
    with pytest.raises(errors.StoreNotFoundError, match=r"it has 'nuclei'"):
        xomezarr.delete_labels(place, name)
    found = xr.open_datatree(place, engine="omezarr")["labels/nuclei"].omezarr.level(0)
    np.testing.assert_array_equal(found, labels())


@pytest.mark.parametrize("text", ["[1]", "{bad", '{"labels": "a"}', '{"labels": null}', '{"labels": [1]}'])
def test_c6_a_list_of_labels_that_cannot_be_read_is_not_written_over(tmp_path: Path, text: str) -> None:
    place = tmp_path / "a.ome.zarr"
    image().omezarr.to_zarr(place, labels={"nuclei": labels()})
    (place / "labels" / ".zattrs").write_text(text)
    before = sorted(place.rglob("*"))
    with pytest.raises(errors.MetadataError, match=r"labels.*(cannot be read|rule 47)"):
        labels().omezarr.to_labels(place, "other")
    with pytest.raises(errors.MetadataError, match=r"labels.*(cannot be read|rule 47)"):
        xomezarr.delete_labels(place, "nuclei")
    assert sorted(place.rglob("*")) == before
    assert (place / "labels" / ".zattrs").read_text() == text


@pytest.mark.parametrize("version", VERSIONS)
def test_labels_that_are_written_as_an_image_get_no_values_of_their_own(tmp_path: Path, version: str) -> None:
    scattered = labels().copy(data=np.random.default_rng(0).integers(0, 5, labels().shape).astype("u2") * 100)
    image().omezarr.to_zarr(tmp_path / "a.zarr", labels={"nuclei": scattered}, version=version)
    level = xr.open_datatree(tmp_path / "a.zarr", engine="omezarr")["labels/nuclei"].omezarr.level(0)
    opened = xr.open_dataarray(tmp_path / "a.zarr" / "labels" / "nuclei", engine="omezarr")
    for number, da in enumerate((level, level.load(), level.isel(x=slice(2, None)), opened, level.chunk(16))):
        tree = da.omezarr.to_zarr(tmp_path / f"{number}.zarr", levels=3)
        for coarser in tree.omezarr.levels[1:]:
            assert set(np.unique(coarser)) <= set(np.unique(da)), number
        assert set(np.unique(da.omezarr.pyramid(levels=3).omezarr.level(2))) <= set(np.unique(da))
        asked = da.omezarr.pyramid(levels=2, method="local_mean").omezarr.level(1)
        assert set(np.unique(asked)) - set(np.unique(da)), number


def test_names_that_differ_by_case_alone_are_one_folder_on_some_systems(tmp_path: Path) -> None:
    da = xr.DataArray(np.zeros((4, 4), "uint16"), dims=("y", "x"))
    with pytest.raises(errors.LabelError, match="'Nuclei' and 'nuclei' differ by upper and lower case alone"):
        da.omezarr.to_zarr(tmp_path / "a.zarr", labels={"Nuclei": da, "nuclei": da})
    assert not (tmp_path / "a.zarr").exists()
    da.omezarr.to_zarr(tmp_path / "a.zarr", labels={"Nuclei": da}, levels=1)
    with pytest.raises(errors.LabelError, match="'Nuclei' and 'nuclei' differ by upper and lower case alone"):
        da.omezarr.to_labels(tmp_path / "a.zarr", "nuclei")
    assert [path.name for path in (tmp_path / "a.zarr/labels").iterdir() if path.is_dir()] == ["Nuclei"]


def test_labels_of_another_dtype_are_named(tmp_path: Path) -> None:
    da = xr.DataArray(np.zeros((4, 4), "uint16"), dims=("y", "x"))
    with pytest.raises(errors.DtypeError, match="the pixels of 'bad' are float32"):
        da.omezarr.to_zarr(tmp_path / "a.zarr", labels={"good": da, "bad": da.astype("float32")})


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_c7_labels_of_a_tree_that_are_no_integers_any_more_are_refused(tmp_path: Path, version: str) -> None:
    da = image(16, 16)
    da.omezarr.to_zarr(tmp_path / "a.zarr", version=version, levels=1, labels={"nuclei": xr.ones_like(da, "uint16")})
    tree: Any = xr.open_datatree(tmp_path / "a.zarr", engine="omezarr")
    changed: Any = tree.map_over_datasets(lambda ds: ds.where(ds > 0) if ds.data_vars else ds)
    told = r"labels are integers or bool, and the pixels of 'nuclei' are float32; convert them first"
    writes: list[Callable[[], Any]] = [
        lambda: changed.omezarr.to_zarr(tmp_path / "b.zarr"),
        lambda: changed["labels/nuclei"].omezarr.to_zarr(tmp_path / "b.zarr"),
        lambda: xomezarr.write_collection({"0": changed}, tmp_path / "b.zarr"),
        lambda: xomezarr.write_plate({("A", 1): [changed]}, tmp_path / "b.zarr"),
    ]
    for write in writes:
        with pytest.raises(errors.DtypeError, match=told):
            write()
    assert not (tmp_path / "b.zarr").exists()


def test_c7_names_of_labels_that_a_file_system_takes_for_one_are_refused(tmp_path: Path) -> None:
    for one, other in (("nuclei", "Nuclei"), ("caf\u00e9", "cafe\u0301"), ("stra\u00dfe", "STRASSE")):
        with pytest.raises(errors.LabelError, match="which not all file systems tell apart"):
            image().omezarr.to_zarr(tmp_path / "a.zarr", labels={one: labels(), other: labels()})
    for name in ("nuclei ", " nuclei"):
        with pytest.raises(errors.LabelError, match="no space at either end"):
            image().omezarr.to_zarr(tmp_path / "a.zarr", labels={name: labels()})
    with pytest.raises(errors.LabelError, match=r"has no variables; .*xr.Dataset"):
        xr.Dataset().omezarr.to_zarr(tmp_path / "a.zarr")
    with pytest.raises(errors.ChunkError) as raised:
        image().omezarr.to_zarr(tmp_path / "a.zarr", labels={"n": labels()}, shards={"y": 8, "x": 8})
    assert "auto" not in str(raised.value)
    assert not (tmp_path / "a.zarr").exists()
