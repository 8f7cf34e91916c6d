"""Groups that hold images: what is written into one without its list is told how to get on it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

import xomezarr
from xomezarr.errors import OtherImagesWarning


def picture(value: int) -> Any:
    return xr.DataArray(np.full((8, 8), value, "uint8"), dims=("y", "x"))


@pytest.fixture(params=["0.4", "0.5", "0.6"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A plate, an image with labels and one without, and a collection."""
    options = {"version": request.param, "levels": 1}
    xomezarr.write_plate({("A", "1"): [picture(1)]}, tmp_path / "plate.zarr", **options)
    picture(2).omezarr.to_zarr(tmp_path / "labelled.zarr", labels={"nuclei": picture(3)}, **options)
    picture(2).omezarr.to_zarr(tmp_path / "bare.zarr", **options)
    xomezarr.write_collection({"a": picture(4)}, tmp_path / "many.zarr", **options)
    return tmp_path


@pytest.mark.parametrize(
    ("place", "holder"),
    [
        ("plate.zarr/A/1/5", "a well"),
        ("plate.zarr/A/3/0", "a plate"),
        ("plate.zarr/B/1/0", "a plate"),
        ("labelled.zarr/labels/cells", "a group of labels"),
        ("bare.zarr/labels/cells", "a group of labels"),
    ],
)
def test_an_image_that_no_list_names_is_told_of_the_call_that_lists_it(stores: Path, place: str, holder: str) -> None:
    da = picture(9)
    with pytest.warns(OtherImagesWarning, match=f"lies in {holder}.* will not find it") as caught:
        plan = da.omezarr.plan(stores / place)
    assert plan.store == stores / place
    call = str(caught[0].message).rpartition("so that they do: ")[2]
    eval(call, {"da": da})
    # it is there, and can be found from above
    assert (xr.open_dataarray(stores / place, engine="omezarr") == 9).all()
    above = place.partition("/")[0]
    tree: Any = xr.open_datatree(stores / above, engine="omezarr")
    assert tree[place.partition("/")[2]].children
    assert xomezarr.validate(stores / above).valid


def test_an_image_of_a_collection_is_told_that_it_is_no_series(stores: Path) -> None:
    with pytest.warns(OtherImagesWarning, match="lies in a collection of images.* will not find it") as caught:
        picture(9).omezarr.plan(stores / "many.zarr/b")
    exec(str(caught[0].message).rpartition("so that they do: ")[2], {"da": picture(9), "xomezarr": xomezarr})
    tree = xomezarr.open_collection(stores / "many.zarr")
    assert {name: int(tree[name].omezarr.level(0).max()) for name in tree.children} == {"a": 4, "b": 9}


@pytest.mark.parametrize("place", ["plate.zarr/overview.ome.zarr", "plate.zarr/A/2", "labelled.zarr/labels/a/b"])
def test_where_no_list_can_name_an_image_another_place_is_named(stores: Path, place: str) -> None:
    with pytest.warns(OtherImagesWarning, match="will not find it; write it beside that$"):
        picture(9).omezarr.plan(stores / place)


def test_labels_of_what_is_no_image_are_nobodys(tmp_path: Path) -> None:
    """Such as the folders of SpatialData."""
    zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2).create_group("labels")
    picture(9).omezarr.to_zarr(tmp_path / "a.zarr/labels/b", levels=1)
    picture(9).omezarr.to_zarr(tmp_path / "a.zarr/labels/c", levels=1)


def test_each_image_among_labels_that_are_not_listed_is_told_of_it(stores: Path) -> None:
    for name in ("a", "b"):
        with pytest.warns(OtherImagesWarning, match=f"to_labels.*'{name}'"):
            picture(9).omezarr.to_zarr(stores / "bare.zarr/labels" / name, levels=1)


@pytest.mark.parametrize("place", ["plate.zarr/A/1/0", "many.zarr/a", "plate.zarr/A/1/0/notes/b", "c.zarr"])
def test_what_is_listed_already_or_by_nobody_is_written_without_a_word(stores: Path, place: str) -> None:
    picture(9).omezarr.to_zarr(stores / place, levels=1, mode="w")
    assert (xr.open_dataarray(stores / place, engine="omezarr") == 9).all()
