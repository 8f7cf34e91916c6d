"""Channels as coordinates along their dimension: they stay true when the user selects and reorders (C6, C7)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from xomezarr.channels import (
    ACTIVE,
    COLOR,
    COLORS,
    LABEL,
    WINDOW,
    assign_channels,
    channel_coordinates,
    channel_dim,
    complete,
    coordinates,
    default_window,
    describe_channels,
    hex_color,
)
from xomezarr.errors import ChannelError, MultipleErrors
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
    Channel("GFP", "00FF00", Window(10.0, 200.0, 10.0, 200.0), False),
    Channel("mCherry", "FF0000", Window(0.0, 4095.0, 100.0, 900.0), True),
)


def test_c6_channels_are_coordinates_along_their_dimension() -> None:
    da = assign_channels(image(), THREE)
    assert describe_channels(da) == THREE_READ
    assert da.c.values.tolist() == ["DAPI", "GFP", "mCherry"]
    assert {COLOR, ACTIVE, *WINDOW.values()} <= set(da.coords)
    assert all(da.coords[name].dims == ("c",) for name in channel_coordinates(["c"]) if name in da.coords)


def test_c6_selecting_reordering_and_joining_keep_channels_true() -> None:
    da = assign_channels(image(), THREE)
    assert describe_channels(da.isel(c=[2, 0])) == (THREE_READ[2], THREE_READ[0])
    assert describe_channels(da.sel(c=["GFP"])) == (THREE_READ[1],)
    assert describe_channels(da.sortby("c", ascending=False)) == THREE_READ[::-1]
    assert describe_channels(xr.concat([da.isel(c=[1]), da.isel(c=[2, 0])], "c")) == (
        THREE_READ[1],
        THREE_READ[2],
        THREE_READ[0],
    )
    assert describe_channels(da.transpose("x", "c", "y")) == THREE_READ
    assert describe_channels((da * 2).astype(float)) == THREE_READ
    assert describe_channels(da.isel(c=0)) is None


def test_c6_what_reindexing_leaves_unsaid_is_unsaid() -> None:
    da = assign_channels(image(), THREE).reindex(c=["GFP", "Cy5"])
    found = describe_channels(da)
    assert found is not None
    assert found[0] == THREE_READ[1]
    assert (found[1].label, found[1].color, found[1].window) == ("Cy5", None, None)


def test_assign_channels_leaves_the_original() -> None:
    da = assign_channels(image(), THREE)
    before = da.copy(deep=True)
    again = assign_channels(da, ["a", "b", "c"])
    xr.testing.assert_identical(da, before)
    assert describe_channels(again) == (Channel("a"), Channel("b"), Channel("c"))
    assert set(again.coords) == {"c"}


def test_assign_channels_keeps_names_where_none_are_given() -> None:
    colours: list[Any] = [{"color": "red"}, {"color": "green"}, {"color": "blue"}]
    named = assign_channels(assign_channels(image(), ["a", "b", "c"]), colours)
    assert describe_channels(named) == (Channel("a", "FF0000"), Channel("b", "00FF00"), Channel("c", "0000FF"))
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


def test_coordinates_say_only_what_channels_say() -> None:
    assert coordinates([Channel(), Channel()], "c") == {}
    assert set(coordinates([Channel("a"), Channel()], "c")) == {"c"}
    windows = coordinates([Channel(window=Window(0, 9, 1, 8)), Channel()], "c")
    assert set(windows) == set(WINDOW.values())
    assert np.isnan(windows[WINDOW["start"]].values[1])


@pytest.mark.parametrize(("name", "color"), [*COLORS.items(), ("#12abEF", "12ABEF"), ("12abef", "12ABEF")])
def test_colours(name: str, color: str) -> None:
    assert hex_color(name) == hex_color(name.upper()) == color


@pytest.mark.parametrize(
    ("entry", "part"),
    [
        ({"color": "mauve"}, "'mauve' is not known"),
        ({"color": "#ff"}, "'#ff' is not known"),
        ({"color": "FF0000\n"}, "is not known"),
        ({"color": 0xFF0000}, "is not text"),
        (Channel("a", "mauve"), "'mauve' is not known"),
        ({"colour": "red"}, "the key 'colour' is not known"),
        ({"label": 5}, "the label 5 is not text"),
        ({"active": "yes"}, "active is 'yes'"),
        ({"window": 5}, "5 is not a pair"),
        ({"window": (1, 2, 3)}, "is not a pair"),
        ({"window": (5, 1)}, "runs from 5 to 1"),
        ({"window": (0, np.inf)}, "runs from 0 to inf"),
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
    assert describe_channels(assign_channels(plain.expand_dims("c"), ["a"])) == (Channel("a"),)


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
