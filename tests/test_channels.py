"""Channels as coordinates along their dimension: they stay true when the user selects and reorders (C6, C7)."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st

from xomezarr import spec
from xomezarr.channels import (
    ACTIVE,
    COLOR,
    EXTRA,
    LABEL,
    WINDOW,
    assign_channels,
    channel_coordinates,
    channel_dim,
    complete,
    coordinates,
    default_window,
    describe_channels,
    rgb_channels,
)
from xomezarr.cli import main
from xomezarr.errors import ChannelError, DtypeError, MetadataChangedWarning, MissingDependencyError, MultipleErrors
from xomezarr.model import Channel, Window


def image(size: int = 3, **coords: Any) -> xr.DataArray:
    return xr.DataArray(np.zeros((size, 4, 4), "u2"), dims=("c", "y", "x"), coords=coords)


THREE: list[Any] = [
    "DAPI",
    {"label": "GFP", "color": "green", "window": (10, 200), "active": False},
    Channel("mCherry", "#ff0000", Window(0.0, 4095.0, 100.0, 900.0)),
]

THREE_READ = (
    Channel("DAPI", None, None, True),
    Channel("GFP", "00FF00", Window(0.0, 65535.0, 10.0, 200.0), False),
    Channel("mCherry", "FF0000", Window(0.0, 4095.0, 100.0, 900.0), True),
)


def test_c6_channels_are_coordinates_along_their_dimension() -> None:
    da = assign_channels(image(), THREE)
    assert describe_channels(da) == THREE_READ
    assert da.c.values.tolist() == ["DAPI", "GFP", "mCherry"]
    assert {COLOR, ACTIVE, *WINDOW.values()} <= set(da.coords)
    assert all(da.coords[name].dims == ("c",) for name in channel_coordinates(["c"]) if name in da.coords)


def test_c6_what_reindexing_leaves_unsaid_is_unsaid() -> None:
    da = assign_channels(image(), THREE)
    for filled in (da.reindex(c=["GFP", "Cy5"]), da.reindex(c=["GFP", "Cy5"], fill_value=0)):
        assert describe_channels(filled.fillna(0).astype(da.dtype)) == (THREE_READ[1], Channel("Cy5"))


def test_assign_channels_leaves_the_original() -> None:
    da = assign_channels(image(), THREE)
    before = da.copy(deep=True)
    again = assign_channels(da, ["a", "b", "c"])
    xr.testing.assert_identical(da, before)
    assert describe_channels(again) == tuple(Channel(label, active=True) for label in "abc")


def test_assign_channels_keeps_names_where_none_are_given() -> None:
    colours: list[Any] = [{"color": "red"}, {"color": "green"}, {"color": "blue"}]
    named = assign_channels(assign_channels(image(), ["a", "b", "c"]), colours)
    said = [(channel.label, channel.color) for channel in describe_channels(named) or ()]
    assert said == [("a", "FF0000"), ("b", "00FF00"), ("c", "0000FF")]
    by_wavelength = assign_channels(image(c=[405, 488, 561]), ["a", "b", "c"])
    assert [c.label for c in describe_channels(assign_channels(by_wavelength, colours)) or ()] == ["a", "b", "c"]


def test_c6_numbers_along_the_channels_stay_and_name_them_until_labels_do() -> None:
    da = image(c=("c", [405, 488, 561], {"units": "nm"}))
    assert [channel.label for channel in describe_channels(da) or ()] == ["405", "488", "561"]
    named = assign_channels(da, ["DAPI", "GFP", "RFP"])
    assert named.c.values.tolist() == [405, 488, 561]
    assert named.c.attrs == {"units": "nm"}
    assert named[LABEL].attrs == {}
    assert [channel.label for channel in describe_channels(named) or ()] == ["DAPI", "GFP", "RFP"]


@pytest.mark.parametrize(
    "names", [np.array(["a", "b", "c"]), np.array(["a", "b", "c"], object), np.array([b"a", b"b", b"c"])]
)
def test_labels_of_every_kind_of_text(names: Any) -> None:
    assert [channel.label for channel in describe_channels(image(c=names)) or ()] == ["a", "b", "c"]


def test_the_channel_dimension_is_found_by_name_content_or_request() -> None:
    assert channel_dim(image()) == "c"
    assert channel_dim(xr.DataArray(np.zeros((2, 2)), dims=("y", "x"))) is None
    stain = xr.DataArray(np.zeros((2, 2)), dims=("stain", "x"), coords={"stain": ["a", "b"]})
    assert channel_dim(stain) == "stain"
    plain = stain.drop_vars("stain")
    assert channel_dim(plain) is None
    assert channel_dim(plain, {"stain": "channel"}) == "stain"
    assert [c.label for c in describe_channels(assign_channels(plain, ["u", "v"], "stain"), "stain") or ()] == [
        "u",
        "v",
    ]
    assert describe_channels(plain) is None


def test_coordinates_say_what_channels_say_and_where_they_say_nothing() -> None:
    assert coordinates([Channel(), Channel()], "c") == {}
    all_but_labels = {COLOR, ACTIVE, *WINDOW.values(), EXTRA}
    named = coordinates([Channel("a"), Channel()], "c")
    assert set(named) == {"c", *all_but_labels}
    assert named[COLOR].values.tolist() == ["", ""]
    windows = coordinates([Channel(window=Window(0, 9, 1, 8)), Channel()], "c")
    assert set(windows) == all_but_labels
    assert np.isnan(windows[WINDOW["start"]].values[1])


@pytest.mark.parametrize(
    ("entry", "part"),
    [
        ({"color": "mauve"}, "'mauve' is not known"),
        ({"color": "#ff"}, "'#ff' is not known"),
        ({"color": "FF0000\n"}, "is not known"),
        ({"color": 0xFF0000}, "16711680 is neither text nor numbers"),
        ({"color": (0, 256, 0)}, "integers run from 0 to 255"),
        ({"color": "#ff000080"}, 'opacity, and channels of OME-Zarr have none; leave it out: "#FF0000"'),
        (Channel("a", "mauve"), "'mauve' is not known"),
        ({"colour": "red"}, "the key 'colour' is not known"),
        ({"label": 5}, "the label 5 is not text"),
        ({"active": "yes"}, "active is 'yes'"),
        ({"window": 5}, "5 is not a pair"),
        ({"window": (1, 2, 3)}, "is not a pair"),
        ({"window": (5, 1)}, "runs from 5 to 1"),
        ({"window": (0, np.inf)}, "runs from 0 to inf"),
        ({"window": {"min": 100, "max": 0, "start": 0, "end": 1}}, "within 100 to 0"),
        (Channel("a", window=Window(0, 9, 5, 1)), "runs from 5 to 1"),
        ({"window": Window(0, 9, 1, 5, {"min": 3})}, "the key 'min', which has a place of its own"),
        (Channel("a", extra={"at": np.int64(5)}), "no dict of what JSON gives back"),
        ({"extra": {"at": (1, 2)}}, "no dict of what JSON gives back"),
        ({"extra": {"window": {}}}, "the key 'window', which has a place of its own"),
        ({"window": ("a", "b")}, "not made of numbers"),
        ({"window": {"start": 0}}, "needs start and end"),
        ({"window": {"start": 0, "end": 1, "mid": 2}}, "needs start and end"),
        (5, "5 is neither a label nor a dict"),
    ],
)
def test_c7_each_channel_at_fault_is_named(entry: Any, part: str) -> None:
    with pytest.raises(ChannelError) as caught:
        assign_channels(image(), ["a", entry, "c"])
    assert str(caught.value).startswith("channels[1]: ")
    assert part in str(caught.value)


def test_c7_all_channels_at_fault_are_told_together() -> None:
    with pytest.raises(MultipleErrors, match=r"(?s)channels\[0\].*mauve.*channels\[2\].*puce"):
        assign_channels(image(), [{"color": "mauve"}, "b", {"color": "puce"}])
    with pytest.raises(MultipleErrors, match=r"(?s)channel 1 of dimension 'c'.*puce.*channel 1 .*from 9 to inf"):
        describe_channels(
            image().assign_coords(
                {
                    COLOR: ("c", ["", "puce", ""]),
                    WINDOW["start"]: ("c", [np.nan, 9, 0]),
                    WINDOW["end"]: ("c", [np.nan, np.inf, 1]),
                }
            )
        )
    for bound, missing in (("start", "no end"), ("end", "no start"), ("max", "no start and no end")):
        with pytest.raises(
            ChannelError, match=rf"channel 2 of dimension 'c': the window has {bound} 7.0, and {missing};"
        ):
            describe_channels(image().assign_coords({WINDOW[bound]: ("c", [np.nan, np.nan, 7])}))
    spoiled = assign_channels(image(), THREE).assign_coords({COLOR: ("c", ["mauve", "", "00FF00"])})
    with pytest.raises(ChannelError, match=r"channel 0 of dimension 'c'.*mauve"):
        describe_channels(spoiled)


def test_c7_the_call_that_fixes_it_does() -> None:
    for wrong in (["a"], "abc", 5):
        with pytest.raises(ChannelError) as caught:
            assign_channels(image(), wrong)  # type: ignore[arg-type]
        cure = str(caught.value).rsplit(": ", 1)[1]
        assert len(eval(f"da.omezarr.{cure}", {"da": image()}).omezarr.channels) == 3
    plain = xr.DataArray(np.zeros((2, 2)), dims=("y", "x"))
    with pytest.raises(ChannelError, match=r"expand_dims\('c'\)$"):
        assign_channels(plain, ["a"])
    for dim, told in (("q", "is none of the array"), ("y", "is one of space")):
        with pytest.raises(ChannelError, match=rf"dim='{dim}' {told}.*leave dim out: assign_channels\(\[…\]\)$"):
            assign_channels(image(), ["a", "b", "c"], dim)
        with pytest.raises(ChannelError, match=rf"dim='{dim}' {told}.*expand_dims\('c'\)$"):
            assign_channels(plain, ["a", "b"], dim)
    assert describe_channels(assign_channels(plain.expand_dims("c"), ["a"])) == (Channel("a", active=True),)


@pytest.mark.parametrize("names", [np.array(list("abc")), pd.Index(list("abc")), image(c=list("abc")).c, tuple("abc")])
def test_names_are_taken_from_whatever_holds_them_in_order(names: Any) -> None:
    assert [channel.label for channel in describe_channels(assign_channels(image(), names)) or ()] == list("abc")
    for wrong in ({"a", "b", "c"}, {"a": 1, "b": 2, "c": 3}, np.zeros((3, 2)), np.array("abc")):
        with pytest.raises(ChannelError, match="give a list with one entry for each channel"):
            assign_channels(image(), wrong)  # type: ignore[arg-type]


def test_a_window_is_a_pair_a_dict_or_a_window() -> None:
    whole = Window(0.0, 9.0, 1.0, 5.0, {"note": [1]})
    entries: list[Any] = [{"window": whole}, {"window": (1, 5)}, Channel(window=Window(np.nan, np.nan, 1, 5))]
    of_dtype = Window(0.0, 65535.0, 1.0, 5.0)
    found = [channel.window for channel in describe_channels(assign_channels(image(), entries)) or ()]
    assert found == [whole, of_dtype, of_dtype]


# --- what xarray does with channels, and what is written then ----------------------


def shown(path: Path) -> list[tuple[Any, ...]]:
    """Label, colour, shown range and activity of each channel, as the JSON in the file has them."""
    attrs = dict(zarr.open_group(path, mode="r").attrs)
    omero = attrs.get("ome", attrs)["omero"]
    return [
        (c["label"], c["color"], (c["window"]["start"], c["window"]["end"]), c["active"]) for c in omero["channels"]
    ]


def written(da: xr.DataArray, path: Path, version: str = "0.4") -> list[tuple[Any, ...]]:
    """Write an image without any warning, see that it comes back, and return what the file says of its channels."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tree = da.omezarr.to_zarr(path, version=version, levels=1)
        back = xr.open_dataarray(path, engine="omezarr")
    xr.testing.assert_identical(back.drop_attrs(), da.drop_attrs())
    assert tree.omezarr.validate().valid
    return shown(path)


PIXELS = np.arange(4 * 6 * 5, dtype="u2").reshape(4, 6, 5)
"""Channel k holds 30 k to 30 k + 29, so that a window tells whose pixels it was made of."""

FOUR = (
    Channel("DAPI", "0000FF", Window(0, 4095, 3, 300), True),
    Channel("GFP", "00FF00", Window(0, 4095, 5, 500), False),
    Channel("Cy3", "FFA500", Window(0, 4095, 7, 700), True),
    Channel("Cy5", "FF0000", Window(0, 4095, 11, 1100), False),
)


def stained(kind: str = "text") -> xr.DataArray:
    coords = {"numbers": {"c": [405, 488, 561, 640]}, "text": {}}[kind]
    da = xr.DataArray(PIXELS, dims=("c", "y", "x"), coords=coords, name="stained")
    return assign_channels(da.omezarr.assign_grid(scale={"y": 0.5, "x": 0.5}, units="um"), FOUR)


def said(channels: Any) -> list[tuple[Any, ...]]:
    return [(c.label, c.color, (c.window.start, c.window.end), c.active) for c in channels]


FOLLOW: dict[str, tuple[Callable[[xr.DataArray], xr.DataArray], list[int]]] = {
    "sel": (lambda da: da.sel(c=da.c[[2, 0]]), [2, 0]),
    "sel one, kept": (lambda da: da.sel(c=da.c[[1]]), [1]),
    "isel": (lambda da: da.isel(c=[3, 1]), [3, 1]),
    "isel twice the same": (lambda da: da.isel(c=[1, 1, 0]), [1, 1, 0]),
    "slice backwards": (lambda da: da.isel(c=slice(None, None, -1)), [3, 2, 1, 0]),
    "sortby": (lambda da: da.sortby(COLOR), [0, 1, 3, 2]),
    "mask": (lambda da: da[np.array([True, False, False, True])], [0, 3]),
    "mask by a coordinate": (lambda da: da.isel(c=da[ACTIVE].values), [0, 2]),
    "drop by where": (lambda da: da.where(da[COLOR] != "00FF00", drop=True).astype("u2"), [0, 2, 3]),
    "drop_isel": (lambda da: da.drop_isel(c=[0]), [1, 2, 3]),
    "roll": (lambda da: da.roll(c=1, roll_coords=True), [3, 0, 1, 2]),
    "transpose": (lambda da: da.isel(c=[2, 1]).transpose("x", "c", "y"), [2, 1]),
    "channels last": (lambda da: da.transpose(..., "c"), [0, 1, 2, 3]),
    "arithmetic": (lambda da: (da * 2 + 1).astype("f4"), [0, 1, 2, 3]),
    "arithmetic between channels": (lambda da: da.isel(c=[2, 1]) - da.isel(c=0, drop=True), [2, 1]),
    "groupby": (lambda da: da.groupby("x").map(lambda column: column * 2), [0, 1, 2, 3]),
    "concat": (lambda da: xr.concat([da.isel(c=[3]), da.isel(c=[0, 1])], "c"), [3, 0, 1]),
    "concat along x": (lambda da: xr.concat([da.isel(x=slice(2)), da.isel(x=slice(2, None))], "x"), [0, 1, 2, 3]),
    "combine_nested": (lambda da: xr.combine_nested([da.isel(c=[i]) for i in (2, 3, 1)], "c"), [2, 3, 1]),
    "squeeze and expand_dims": (lambda da: da.isel(c=[2]).squeeze("c").expand_dims("c"), [2]),
    "isel one and expand_dims": (lambda da: da.isel(c=1).expand_dims("c", axis=2), [1]),
    "stack of single channels": (
        lambda da: xr.concat([da.isel(c=i) for i in (1, 3, 0)], "c", coords="different", compat="equals"),
        [1, 3, 0],
    ),
    "concat of one and several": (
        lambda da: xr.concat(
            [da.isel(c=2).expand_dims("c"), da.isel(c=[0, 3])], "c", coords="different", compat="equals"
        ),
        [2, 0, 3],
    ),
    "chunk": (lambda da: da.chunk(c=1).isel(c=[1, 0]), [1, 0]),
    "crop": (lambda da: da.isel(x=slice(1, 4), y=slice(None, None, 2)), [0, 1, 2, 3]),
    "rename": (lambda da: da.rename(c="channel").isel(channel=[3, 2]), [3, 2]),
}


@pytest.mark.parametrize("kind", ["text", "numbers"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("how", FOLLOW)
def test_c6_what_is_written_of_channels_follows_the_array(tmp_path: Path, how: str, version: str, kind: str) -> None:
    change, order = FOLLOW[how]
    da = change(stained(kind))
    expected = said(FOUR[index] for index in order)
    assert said(da.omezarr.channels) == expected
    assert written(da, tmp_path / "a.zarr", version) == expected


@given(st.data())
def test_c6_channels_go_with_their_pixels(data: st.DataObject) -> None:
    texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=4)
    bounds = st.integers(-5, 5).map(float)
    windows = st.tuples(bounds, bounds).map(sorted).map(lambda w: Window(w[0] - 1, w[1] + 1, w[0], w[1]))
    channel = st.builds(
        Channel,
        texts,
        st.none() | st.sampled_from(["FF0000", "00FF00", "123456"]),
        st.none() | windows,
        st.booleans(),
    )
    channels = data.draw(st.lists(channel, min_size=1, max_size=5, unique_by=lambda c: c.label))
    size = len(channels)
    da = assign_channels(xr.DataArray(np.zeros((size, 2, 2)), dims=("c", "y", "x")), channels)
    assert describe_channels(da) == tuple(channels)
    order = data.draw(st.lists(st.integers(0, size - 1), min_size=1))
    assert describe_channels(da.isel(c=order)) == tuple(channels[index] for index in order)
    assert describe_channels(da.sel(c=[channels[index].label for index in order])) == describe_channels(
        da.isel(c=order)
    )
    mask = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
    assert describe_channels(da[np.array(mask)]) == tuple(c for c, kept in zip(channels, mask, strict=True) if kept)
    cut = data.draw(st.integers(0, size))
    halves = [da.isel(c=slice(cut, None)), da.isel(c=slice(cut))]
    assert describe_channels(xr.concat(halves, "c")) == (*channels[cut:], *channels[:cut])
    one = data.draw(st.integers(0, size - 1))
    assert describe_channels(da.isel(c=one).expand_dims("c")) == (channels[one],)
    assert describe_channels(da.isel(c=one)) is None


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("reverse", [False, True])
def test_c6_images_of_which_one_says_less_can_be_joined(tmp_path: Path, version: str, reverse: bool) -> None:
    rich = stained().isel(c=[0, 1])
    poor = assign_channels(stained().isel(c=[2, 3]).reset_coords(drop=True), ["Cy3", "Cy5"])
    parts = [poor, rich] if reverse else [rich, poor]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        joined = xr.concat(parts, "c")
    found = {
        label: (color, window, active) for label, color, window, active in written(joined, tmp_path / "a", version)
    }
    assert list(found) == [label for part in parts for label in part.c.values]
    assert [found[c.label] for c in FOUR[:2]] == [row[1:] for row in said(FOUR[:2])]
    # what is not said comes from the pixels of that very channel, and from colours that are still free
    for label, pixels in (("Cy3", PIXELS[2]), ("Cy5", PIXELS[3])):
        color, window, active = found[label]
        assert window == pytest.approx(tuple(np.percentile(pixels, (0.5, 99.8))))
        assert active
        assert color not in (FOUR[0].color, FOUR[1].color)
    assert len({color for color, *_ in found.values()}) == 4


def test_c6_an_image_from_a_file_can_be_joined_with_one_that_has_names_only(tmp_path: Path) -> None:
    stained().isel(c=[0]).omezarr.to_zarr(tmp_path / "a.zarr")
    group = zarr.open_group(tmp_path / "a.zarr")
    del group.attrs["xomezarr"]  # as another tool writes it
    opened = xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr").drop_attrs()
    named = assign_channels(stained().isel(c=[1]).reset_coords(drop=True), ["GFP"]).drop_attrs()
    joined = xr.concat([opened, named], "c")
    first, second = written(joined, tmp_path / "b.zarr")
    assert first == said(FOUR)[0]
    assert second[0] == "GFP"


NOTHING: dict[str, Callable[[xr.DataArray], xr.DataArray]] = {
    "reindex": lambda da: da.reindex(c=["GFP", "new"]),
    "reindex with 0": lambda da: da.reindex(c=["GFP", "new"], fill_value=0),
    "reindex the pixels with 0": lambda da: da.reindex(c=["GFP", "new"], fill_value={da.name: 0}),
    "outer join": lambda da: xr.align(da.sel(c=["GFP"]), da.sel(c=["DAPI"]).assign_coords(c=["new"]), join="outer")[0],
    "None": lambda da: da.isel(c=[1, 2]).assign_coords(
        {
            "c": ["GFP", "new"],
            COLOR: ("c", np.array(["00FF00", None], object)),
            ACTIVE: ("c", np.array([False, None], object)),
            **{name: ("c", [*da[name].values[1:2], np.nan]) for name in WINDOW.values()},
        }
    ),
}


@pytest.mark.parametrize("fill", NOTHING)
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_c6_channels_that_say_nothing_are_written_as_if_new(tmp_path: Path, version: str, fill: str) -> None:
    kept, new = written(NOTHING[fill](stained()), tmp_path / "a.zarr", version)
    assert kept == said(FOUR)[1]
    assert (new[0], new[3]) == ("new", True)
    assert new[1] != kept[1]
    assert new[2][0] < new[2][1]


def test_c6_what_one_coordinate_leaves_unsaid_another_may_say() -> None:
    da = stained().assign_coords({COLOR: ("c", np.array([np.nan, None, "", "FF0000"], object))})
    da = da.assign_coords({ACTIVE: ("c", np.array([np.nan, None, True, False], object))})
    expected = [replace(c, color=None, active=active) for c, active in zip(FOUR, (None, None, True), strict=False)]
    assert describe_channels(da) == (*expected, FOUR[3])


VARIABLE_WIDTH = np.array(["a", "b"], np.dtypes.StringDType())

KNOWS_VARIABLE_WIDTH = xr.Variable("c", VARIABLE_WIDTH).identical(xr.Variable("c", VARIABLE_WIDTH.copy()))
"""Whether xarray can tell that text of variable width is the same; it could not, nor join it, at first."""


@pytest.mark.skipif(not KNOWS_VARIABLE_WIDTH, reason="this xarray does not join text of pandas")
def test_c6_single_images_are_joined_under_names_of_pandas(tmp_path: Path) -> None:
    plain = xr.DataArray(PIXELS, dims=("c", "y", "x"))
    joined = xr.concat([plain[0], plain[2]], pd.Index(["DAPI", "Cy3"], name="c"))
    assert [row[0] for row in written(joined, tmp_path / "a.zarr")] == ["DAPI", "Cy3"]


def test_c6_what_is_the_same_for_all_counts_for_all(tmp_path: Path) -> None:
    one, other = (stained().isel(c=index) for index in (0, 2))
    same = {COLOR: "123456", ACTIVE: False, **{name: 5.0 + index for index, name in enumerate(WINDOW.values())}}
    joined = xr.concat([one.assign_coords(same), other.assign_coords(same)], "c", coords="different", compat="equals")
    assert joined[COLOR].dims == ()
    assert written(joined, tmp_path / "a.zarr") == [
        ("DAPI", "123456", (7.0, 8.0), False),
        ("Cy3", "123456", (7.0, 8.0), False),
    ]


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        ([405, 488], ["405", "488"]),
        ([0.25, 0.75], ["0.25", "0.75"]),
        (np.array([True, False]), ["True", "False"]),
        (np.array([b"a", b"b"]), ["a", "b"]),
        pytest.param(
            VARIABLE_WIDTH,
            ["a", "b"],
            marks=pytest.mark.skipif(not KNOWS_VARIABLE_WIDTH, reason="this xarray does not compare such text"),
        ),
        (pd.Index(["a", "b"], dtype="str"), ["a", "b"]),
        (None, ["channel 0", "channel 1"]),
    ],
)
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_channels_are_called_as_their_coordinate_says(
    tmp_path: Path, version: str, names: Any, labels: list[str]
) -> None:
    da = xr.DataArray(PIXELS[:2], dims=("c", "y", "x"), coords={} if names is None else {"c": names})
    assert [row[0] for row in written(da, tmp_path / "a.zarr", version)] == labels


def test_squeezed_channels_are_no_axis_and_come_back(tmp_path: Path) -> None:
    da = stained().isel(c=1)
    da.omezarr.to_zarr(tmp_path / "a.zarr")
    assert "omero" not in zarr.open_group(tmp_path / "a.zarr").attrs
    back = xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr")
    assert said(back.expand_dims("c").omezarr.channels) == [said(FOUR)[1]]


# --- red, green and blue -----------------------------------------------------------


@pytest.mark.parametrize("dims", [("y", "x", "c"), ("c", "y", "x"), ("z", "y", "x", "channel")])
def test_rgb_names_colours_and_shows_as_it_is(tmp_path: Path, dims: tuple[str, ...]) -> None:
    size = {"c": 3, "channel": 3, "z": 2, "y": 8, "x": 9}
    da = xr.DataArray(np.full([size[dim] for dim in dims], 9, "u1"), dims=dims).omezarr.assign_channels(rgb=True)
    assert written(da, tmp_path / "a.zarr") == [
        ("red", "FF0000", (0, 255), True),
        ("green", "00FF00", (0, 255), True),
        ("blue", "0000FF", (0, 255), True),
    ]


def test_rgb_fills_in_what_the_channels_leave_out() -> None:
    da = xr.DataArray(np.zeros((4, 4, 3), "u1"), dims=("y", "x", "c"))
    da = assign_channels(da, ["R", {"color": "lime", "window": (0, 99)}, {"active": False}], rgb=True)
    assert describe_channels(da) == (
        Channel("R", "FF0000", Window(0, 255, 0, 255), True),
        Channel("green", "00FF00", Window(0, 255, 0, 99), True),
        Channel("blue", "0000FF", Window(0, 255, 0, 255), False),
    )


def test_rgb_of_other_dtypes_is_named_and_coloured_but_not_stretched() -> None:
    assert {channel.window for channel in rgb_channels(np.dtype("uint16"))} == {None}
    assert [replace(channel, window=None) for channel in rgb_channels(np.dtype("uint8"))] == [
        *rgb_channels(np.dtype("uint16"))
    ]


def test_c7_what_is_not_rgb_says_what_to_do() -> None:
    sizes = {"c": 3, "y": 4, "x": 4}
    wide = xr.DataArray(np.zeros((3, 4, 4), "u2"), dims=sizes)
    with pytest.raises(DtypeError, match=r"uint8.*of dtype uint16") as caught:
        wide.omezarr.assign_channels(rgb=True)
    named = eval(f"da.omezarr.{str(caught.value).rsplit(': ', 1)[1]}", {"da": wide})
    completed = complete(named.omezarr.channels, wide.values, wide.dtype)
    assert [channel.color for channel in completed] == ["FF0000", "00FF00", "0000FF"]
    four = xr.DataArray(np.zeros((4, 4, 4), "u1"), dims=sizes)
    with pytest.raises(ChannelError, match=r"'c' is of size 4; isel\(c=slice\(3\)\)$") as size_error:
        four.omezarr.assign_channels(rgb=True)
    cut = eval(f"da.{str(size_error.value).rsplit('; ', 1)[1]}", {"da": four})
    assert len(cut.omezarr.assign_channels(rgb=True).omezarr.channels) == 3
    with pytest.raises(ChannelError, match=r"size 2; leave rgb out: assign_channels\(\['channel 0', 'channel 1'\]\)$"):
        four.isel(c=[0, 1]).omezarr.assign_channels(rgb=True)
    with pytest.raises(MultipleErrors, match=r"(?s)'c' is of size 4.*uint16"):
        xr.DataArray(np.zeros((4, 4, 4), "u2"), dims=sizes).omezarr.assign_channels(rgb=True)
    with pytest.raises(ChannelError, match=r"no channel dimension for rgb=True; .*expand_dims\('c'\)$"):
        xr.DataArray(np.zeros((3, 4), "u1"), dims=("y", "x")).omezarr.assign_channels(rgb=True)
    with pytest.raises(ChannelError, match="channels is None; give a list"):
        four.omezarr.assign_channels()


def test_the_command_converts_rgb(tmp_path: Path, capsys: Any) -> None:
    np.save(tmp_path / "a.npy", np.arange(4 * 5 * 3, dtype="u1").reshape(4, 5, 3))
    np.save(tmp_path / "wide.npy", np.zeros((4, 5, 3), "u2"))
    source, wide, target = (str(tmp_path / name) for name in ("a.npy", "wide.npy", "a.ome.zarr"))
    assert main(["convert", source, target, "--dims", "yxc", "--rgb", "--json"]) == 0
    channels = json.loads(capsys.readouterr().out)["channels"]
    assert [(c["label"], c["color"], c["window"]["end"]) for c in channels] == [
        ("red", "FF0000", 255),
        ("green", "00FF00", 255),
        ("blue", "0000FF", 255),
    ]
    for arguments, options in [
        ([wide, "--dims", "yxc"], "--channels or --rgb"),
        ([source, "--dims", "cyx"], "--channels or --rgb"),
        ([source, "--dims", "zyx"], "--channels or --rgb"),
    ]:
        assert main(["convert", arguments[0], str(tmp_path / "b.zarr"), *arguments[1:], "--rgb"]) == 2
        said = capsys.readouterr().err
        assert all(option in said for option in options.split(" or "))
        assert not (tmp_path / "b.zarr").exists()


# --- colours -----------------------------------------------------------------------


def test_colours_of_channels_are_what_hex_color_takes() -> None:
    colours: list[Any] = ["tab:blue", "#0f8", (1.0, 0.5, 0.0), np.array([1, 2, 3]), "rebeccapurple"]
    channels = describe_channels(assign_channels(image(5), [{"color": color} for color in colours]))
    assert [c.color for c in channels or ()] == ["1F77B4", "00FF88", "FF8000", "010203", "663399"]
    by_hand = image(2).assign_coords({COLOR: ("c", ["tab:blue", "green"])})
    assert [c.color for c in describe_channels(by_hand) or ()] == ["1F77B4", "00FF00"]


def test_c7_a_missing_matplotlib_is_told_with_the_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.colors", None)
    with pytest.raises(MissingDependencyError, match=r"^channels\[2\]: .*'tab:blue'.*xomezarr\[view\]"):
        assign_channels(image(), ["a", "b", {"color": "tab:blue"}])


# --- what is filled in when nobody said it -----------------------------------------


def test_complete_fills_in_only_what_is_missing() -> None:
    given = Channel("GFP", "123456", Window(0.0, 9.0, 1.0, 8.0), False)
    pixels = np.arange(200, dtype="u1").reshape(2, 100)
    kept, filled = complete([given, Channel()], pixels, np.dtype("u1"))
    assert kept == given
    assert (filled.label, filled.color, filled.active) == ("channel 1", "FF00FF", True)


def test_complete_chooses_colours_that_differ() -> None:
    for count in range(1, 7):
        channels = complete([Channel()] * count, np.zeros((count, 1), "u1"), np.dtype("u1"))
        assert len({channel.color for channel in channels}) == count
    assert complete([Channel()], np.zeros((1, 1)), np.dtype(float))[0].color == "FFFFFF"


def test_complete_shows_red_green_and_blue_as_they_are_called() -> None:
    named = [Channel("Red"), Channel("green"), Channel("blue")]
    channels = complete(named, np.zeros((3, 1), "u1"), np.dtype("u1"))
    assert [channel.color for channel in channels] == ["FF0000", "00FF00", "0000FF"]


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.arange(1001, dtype="u2"), Window(0, 65535, 5, 998)),
        (np.arange(201, dtype="u1"), Window(0, 255, 1, 199.6)),
        (np.arange(-100, 101, dtype="i1"), Window(-128, 127, -99, 99.6)),
        (np.linspace(0, 1, 1001), Window(0, 1, 0.005, 0.998)),
        (np.r_[np.nan, np.linspace(0, 1, 1001), np.inf, -np.inf], Window(0, 1, 0.005, 0.998)),
        (np.full(9, np.nan), Window(0, 1, 0, 1)),
        (np.zeros(0), Window(0, 1, 0, 1)),
        (np.array([False, True]), Window(0, 1, 0, 1)),
        (np.ones(4, complex), Window(0, 1, 0, 1)),
        (np.full(9, 7, "u2"), Window(0, 65535, 7, 8)),
        (np.full(9, 255, "u1"), Window(0, 255, 254, 255)),
        (np.full(9, -2.5), Window(-2.5, -1.5, -2.5, -1.5)),
        (np.full(9, 1e300), Window(1e300, 1.001e300, 1e300, 1.001e300)),
        (np.full(9, 1.797e308), Window(1.795203e308, 1.797e308, 1.795203e308, 1.797e308)),
        (np.r_[-1.7e308, np.full(150, 1.7e308)], Window(-1.7e308, 1.7e308, 0.85e308, 1.7e308)),
        (np.r_[np.zeros(9999, "u2"), np.uint16(50)], Window(0, 65535, 0, 50)),
    ],
)
def test_default_windows(pixels: Any, expected: Window) -> None:
    found = default_window(pixels, pixels.dtype)
    assert [found.min, found.max, found.start, found.end] == pytest.approx(
        [expected.min, expected.max, expected.start, expected.end]
    )
    assert found.min <= found.start < found.end <= found.max


def test_default_windows_do_not_end_at_510() -> None:
    # what ome-zarr-py's windows for uint16 come to
    assert default_window(np.arange(60_000, dtype="u2"), np.dtype("u2")).end > 59_000


def test_colours_that_are_chosen_differ_from_those_that_are_given() -> None:
    da = xr.DataArray(np.zeros((2, 4, 4)), dims=("c", "y", "x"))
    channels = describe_channels(assign_channels(da, ["DAPI", {"label": "GFP", "color": "green"}]))
    assert channels is not None
    assert [channel.color for channel in complete(channels, da.values, da.dtype)] == ["FF00FF", "00FF00"]


@pytest.mark.parametrize(
    ("dtype", "window", "expected"),
    [
        ("u1", (5, 9), Window(0, 255, 5, 9)),
        ("u1", (5, 900), Window(0, 900, 5, 900)),
        ("i2", (-5, 9), Window(-32768, 32767, -5, 9)),
        ("u2", {"start": 5, "end": 9, "max": 4095}, Window(0, 4095, 5, 9)),
        ("u2", {"start": 5, "end": 9, "min": 2}, Window(2, 65535, 5, 9)),
        ("f4", (0.25, 9), Window(0.25, 9, 0.25, 9)),
        ("f8", {"start": 5, "end": 9, "min": 2}, Window(2, 9, 5, 9)),
        ("?", (0, 1), Window(0, 1, 0, 1)),
    ],
)
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_window_without_bounds_has_those_of_the_dtype(
    tmp_path: Path, version: str, dtype: str, window: Any, expected: Window
) -> None:
    da = xr.DataArray(np.zeros((2, 4, 4), dtype), dims=("c", "y", "x"))
    da = assign_channels(da, [{"label": "a", "window": window}, "b"])
    written(da, tmp_path / "a.zarr", version)
    first, second = spec.parse(dict(zarr.open_group(tmp_path / "a.zarr").attrs)).channels or ()
    assert first.window == expected
    assert second.window is not None
    assert second.window.start < second.window.end


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_windows_of_constant_and_empty_channels_have_a_width(tmp_path: Path, version: str) -> None:
    values = np.stack([np.full((8, 8), np.nan), np.full((8, 8), 7.0), np.linspace(0, 1, 64).reshape(8, 8)])
    values[2, 0, 0] = np.nan
    da = xr.DataArray(values, dims=("c", "y", "x"))
    nothing, constant, ramp = (row[2] for row in written(da, tmp_path / "a.zarr", version))
    assert nothing == (0, 1)
    assert constant == (7, 8)
    assert ramp == pytest.approx(tuple(np.nanpercentile(values[2], (0.5, 99.8))))
    for value in (0, 255):
        flat = xr.DataArray(np.full((1, 8, 8), value, "u1"), dims=("c", "y", "x"))
        ((_, _, (start, end), _),) = written(flat, tmp_path / f"{value}.zarr", version)
        assert 0 <= start < end <= 255


# --- channels that share a name ----------------------------------------------------


@pytest.mark.parametrize("names", [["GFP", "DAPI", "GFP"], ["D", "D", "D"], ["a", "b", "a"]])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_c6_channels_of_one_name_are_not_taken_for_each_other(tmp_path: Path, version: str, names: list[str]) -> None:
    da = assign_channels(xr.DataArray(PIXELS[:3], dims=("c", "y", "x"), name="cycles"), names)
    tree = da.omezarr.to_zarr(tmp_path / "a.zarr", version=version, levels=1)
    stored = shown(tmp_path / "a.zarr")
    assert len({window for _, _, window, _ in stored}) == len({color for _, color, _, _ in stored}) == 3
    assert said(tree.omezarr.channels) == stored
    assert said(tree.omezarr.to_zarr(tmp_path / "b.zarr").omezarr.channels) == stored
    for order in ([2, 1, 0], [2, 0], [1]):
        cropped = tree.omezarr.isel(c=order)
        assert said(cropped.omezarr.channels) == [stored[index] for index in order]


def test_c6_a_name_that_does_not_tell_which_channel_it_is_tells_nothing(tmp_path: Path) -> None:
    """The tree is cropped past the accessor, so that its attributes still have all channels in the old order."""
    da = assign_channels(xr.DataArray(PIXELS, dims=("c", "y", "x"), name="cycles"), ["GFP", "DAPI", "GFP", "Cy5"])
    tree = da.omezarr.to_zarr(tmp_path / "a.zarr", levels=1)
    stored = tree.omezarr.channels
    unsaid = Channel("GFP", active=True)
    assert tree.isel(c=[2, 1, 3]).omezarr.channels == (unsaid, stored[1], stored[3])
    assert tree.isel(c=[1, 1, 3]).omezarr.channels == (*2 * [Channel("DAPI", active=True)], stored[3])


# --- what other tools say of channels ----------------------------------------------


OF_OTHERS = (
    Channel(
        "DAPI", "0000FF", Window(0, 4095, 3, 300, {"note": "dim"}), True, {"emissionWave": 461, "family": "linear"}
    ),
    Channel("GFP", "00FF00", Window(0, 4095, 5, 500), True, {"lut": {"name": "µ", "steps": [0, 0.5, None]}}),
    Channel("Cy3", "FFA500", Window(0, 4095, 7, 700), True),
)


def of_others() -> xr.DataArray:
    return assign_channels(xr.DataArray(PIXELS[:3], dims=("c", "y", "x"), name="stained"), OF_OTHERS)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_c6_what_other_tools_say_of_channels_goes_with_them(tmp_path: Path, version: str) -> None:
    da = of_others()
    assert describe_channels(da) == OF_OTHERS
    tree = da.omezarr.to_zarr(tmp_path / "a.zarr", version=version, levels=1)
    assert tree.omezarr.metadata.channels == OF_OTHERS
    opened = xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr")
    xr.testing.assert_identical(opened, da)
    order = [2, 0]
    expected = tuple(OF_OTHERS[index] for index in order)
    assert opened.isel(c=order).omezarr.to_zarr(tmp_path / "b.zarr", levels=1).omezarr.metadata.channels == expected
    assert tree.omezarr.isel(c=order).omezarr.to_zarr(tmp_path / "c.zarr").omezarr.metadata.channels == expected
    plain = assign_channels(da.isel(c=[0]).reset_coords(drop=True), ["Cy5"])
    joined = xr.concat([opened, plain], "c").omezarr.to_zarr(tmp_path / "d.zarr", levels=1).omezarr.metadata.channels
    assert joined[:3] == OF_OTHERS
    assert (joined[3].label, joined[3].extra) == ("Cy5", {})


@pytest.mark.parametrize("bare", [False, True])
def test_c6_what_another_tool_changes_beside_channels_counts(tmp_path: Path, bare: bool) -> None:
    of_others().omezarr.to_zarr(tmp_path / "a.zarr", levels=1)
    attrs = json.loads((tmp_path / "a.zarr/.zattrs").read_text())
    attrs["omero"]["channels"][0] |= {"emissionWave": 470}
    attrs["omero"]["channels"][1]["window"] |= {"note": 1}
    if bare:
        del attrs["xomezarr"]
    (tmp_path / "a.zarr/.zattrs").write_text(json.dumps(attrs))
    with warnings.catch_warnings() if bare else pytest.warns(MetadataChangedWarning, match="the channels are others"):
        first, second, third = xr.open_dataarray(tmp_path / "a.zarr", engine="omezarr").omezarr.channels
    assert first == replace(OF_OTHERS[0], extra={**OF_OTHERS[0].extra, "emissionWave": 470})
    assert second.window.extra == {"note": 1}
    assert third == OF_OTHERS[2]


def test_c6_what_other_tools_say_of_a_window_stays_where_the_array_has_channels_of_its_own(tmp_path: Path) -> None:
    """An array whose coordinates say no more than its windows: what stands beside them is the store's."""
    da = xr.DataArray(PIXELS[:1], dims=("c", "y", "x"), name="stained")
    da = da.assign_coords({WINDOW["start"]: ("c", [3.0]), WINDOW["end"]: ("c", [30.0])})
    da.omezarr.to_zarr(tmp_path / "a.zarr", levels=1)
    attrs = json.loads((tmp_path / "a.zarr/.zattrs").read_text())
    attrs["omero"]["channels"][0]["window"]["note"] = 1
    (tmp_path / "a.zarr/.zattrs").write_text(json.dumps(attrs))
    again = xr.open_datatree(tmp_path / "a.zarr", engine="omezarr").omezarr.to_zarr(tmp_path / "b.zarr")
    assert again.omezarr.metadata.channels[0].window.extra == {"note": 1}


def test_c7_text_that_is_no_json_object_is_named() -> None:
    for text in ("{", "[1]", '{"window": 5}'):
        with pytest.raises(ChannelError, match=rf"channel 0 of dimension 'c': .*'{EXTRA}' holds .*drop_vars"):
            describe_channels(of_others().assign_coords({EXTRA: ("c", [text, "", ""])}))


def foreign(path: Path, version: str, **said: Any) -> Path:
    """Write an image whose first channel says something in another tool's way."""
    da = xr.DataArray(PIXELS[:2], dims=("c", "y", "x"), name="stained")
    da = da.omezarr.assign_grid(scale={"y": 0.5, "x": 0.5}, units="um")
    da.omezarr.to_zarr(path, version=version, levels=1)
    group = zarr.open_group(path)
    attrs = dict(group.attrs)
    del attrs["xomezarr"]
    channel = attrs.get("ome", attrs)["omero"]["channels"][0]
    for key, value in said.items():
        channel[key] = {**channel[key], **value} if isinstance(value, dict) else value
    group.attrs.put(attrs)
    return path


def used(path: Path) -> tuple[Channel, ...]:
    """Do with an image what needs its channels, and return them."""
    tree = xr.open_datatree(path, engine="omezarr")
    tree.omezarr.thumbnail()
    assert main(["info", str(path)]) == 0
    again = tree.omezarr.to_zarr(path.with_name("again.zarr"))
    level = xr.open_dataarray(path, engine="omezarr")
    assert level.omezarr.channels == tree.omezarr.channels == again.omezarr.channels
    level.omezarr.to_zarr(path.with_name("level.zarr"), levels=1)
    channels: tuple[Channel, ...] = tree.omezarr.channels
    return channels


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(
    ("color", "read"),
    [("#FF8000", "FF8000"), ("FF800040", "FF8000"), ("#FF8000FF", "FF8000"), ("#f80", "FF8800"), ("#f804", "FF8800")],
)
def test_c6_a_colour_of_another_tool_is_the_colour_that_it_says(
    tmp_path: Path, version: str, color: str, read: str
) -> None:
    path = foreign(tmp_path / "a.zarr", version, color=color)
    assert [repr(color) in finding.message for finding in spec.findings(dict(zarr.open_group(path).attrs))] == [True]
    assert used(path)[0].color == read


@pytest.mark.parametrize("color", ["orange-ish", "", "FF", "FF800", "FF80000", "#FF80000"])
def test_c6_what_is_no_colour_is_left_out_and_named_as_it_is(tmp_path: Path, color: str) -> None:
    path = foreign(tmp_path / "a.zarr", "0.4", color=color)
    (finding,) = spec.findings(dict(zarr.open_group(path).attrs))
    assert (finding.rule, finding.message) == ("42", f"the color is {color!r}")
    assert xr.open_dataarray(path, engine="omezarr")[COLOR].values.tolist() == ["", "FF00FF"]
    tree = xr.open_datatree(path, engine="omezarr")
    tree.omezarr.thumbnail()
    assert shown(Path(tree.omezarr.to_zarr(tmp_path / "b.zarr").encoding["source"]))[0][1] == "00FF00"


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("window", [{"start": 9, "end": 1}, {"min": 100, "max": 0}])
def test_c6_a_window_that_runs_backwards_is_read_as_it_is_and_told(
    tmp_path: Path, version: str, window: dict[str, int]
) -> None:
    path = foreign(tmp_path / "a.zarr", version, window=window)
    (finding,) = spec.findings(dict(zarr.open_group(path).attrs))
    assert (finding.rule, finding.severity) == ("100", "warning")
    assert all(f"{bound} {value}" in finding.message for bound, value in window.items())
    read = used(path)[0].window
    assert read is not None
    assert {bound: getattr(read, bound) for bound in window} == window


def test_c6_a_window_of_numbers_that_are_not_finite_is_left_out(tmp_path: Path) -> None:
    path = foreign(tmp_path / "a.zarr", "0.4", window={"max": float("inf")})
    (finding,) = spec.findings(dict(zarr.open_group(path).attrs))
    assert (finding.rule, finding.message) == ("44", "it is the number inf")
    opened = xr.open_dataarray(path, engine="omezarr")
    assert np.isnan(opened[WINDOW["start"]].values[0])
    assert opened.omezarr.to_zarr(tmp_path / "b.zarr", levels=1).omezarr.channels[0].window is not None
