"""Groups that hold images: what is written into one without its list is told how to get on it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

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
    with pytest.warns(OtherImagesWarning, match=r"lies in a collection of images.*write_collection\(\{…, 'b': da\}"):
        picture(9).omezarr.to_zarr(stores / "many.zarr/b", levels=1)


@pytest.mark.parametrize(
    "place", ["plate.zarr/A/1/0", "labelled.zarr/labels/nuclei", "many.zarr/a", "plate.zarr/A/1/0/notes/b", "c.zarr"]
)
def test_what_is_listed_already_or_by_nobody_is_written_without_a_word(stores: Path, place: str) -> None:
    picture(9).omezarr.to_zarr(stores / place, levels=1, mode="w")
    assert (xr.open_dataarray(stores / place, engine="omezarr") == 9).all()
