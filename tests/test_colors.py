"""Colours by name, digits and numbers; matplotlib judges, whose names they are."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import matplotlib.colors
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xomezarr.colors import COLORS, hex_color, rgba
from xomezarr.errors import ColorError, MissingDependencyError

NAMES = matplotlib.colors.get_named_colors_mapping()
BYTE = st.integers(0, 255)


def judged(color: Any) -> tuple[int, ...]:
    return tuple(bytes.fromhex(matplotlib.colors.to_hex(color, keep_alpha=True)[1:]))


def test_every_name_that_matplotlib_knows_means_the_same_but_green() -> None:
    assert len(NAMES) > 1000
    assert {name for name in NAMES if rgba(name) != judged(name)} == {"green"}
    assert {name for name, digits in COLORS.items() if judged(name) != (*bytes.fromhex(digits), 255)} == {"green"}
    assert rgba("green") == (0, 255, 0, 255)


@pytest.mark.parametrize("name", ["C0", "C1", "C12", "none", "tab:grey", "xkcd:blue with a hint of purple"])
def test_matplotlib_is_asked_for_what_it_alone_knows(name: str) -> None:
    assert rgba(name) == judged(name)


@pytest.mark.parametrize("name", [*COLORS, "rebeccapurple", "DarkGreen"])
def test_names_in_any_case(name: str) -> None:
    assert rgba(name) == rgba(name.upper()) == rgba(name.lower())


@given(st.tuples(BYTE, BYTE, BYTE, BYTE))
def test_digits_and_integers_say_the_same(color: tuple[int, int, int, int]) -> None:
    digits = bytes(color).hex()
    assert rgba(f"#{digits}") == rgba(f"#{digits.upper()}") == rgba(color) == color
    assert rgba(f"#{digits[:6]}") == rgba(digits[:6]) == rgba(color[:3]) == (*color[:3], 255)
    short = "".join(digits[::2])
    assert rgba(f"#{short}") == judged(f"#{short}")
    assert rgba(f"#{short[:3]}") == judged(f"#{short[:3]}")
    assert bytes.fromhex(hex_color(color[:3])) == bytes(color[:3])


@given(st.lists(st.floats(0, 1), min_size=3, max_size=4))
def test_fractions_are_rounded_as_matplotlib_does(color: list[float]) -> None:
    assert rgba(tuple(color)) == rgba(color) == rgba(np.array(color)) == judged(color)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "uint16", "float32", "float64"])
def test_numpy_is_taken_by_its_dtype(dtype: str) -> None:
    assert rgba(np.array([0, 1, 1], dtype)) == ((0, 1, 1, 255) if dtype[0] in "iu" else (0, 255, 255, 255))
    assert rgba(tuple(np.array([0, 1, 1], dtype))) == rgba(np.array([0, 1, 1], dtype))


def test_one_float_makes_them_all_fractions() -> None:
    assert rgba((1, 0.0, 0)) == (255, 0, 0, 255)
    assert rgba((1, 0, 0)) == (1, 0, 0, 255)
    assert hex_color(matplotlib.colormaps["viridis"](0.0)) == matplotlib.colors.to_hex("#440154")[1:].upper()


@pytest.mark.parametrize(
    ("color", "part"),
    [
        ("mauve", "'mauve' is not known"),
        ("", "'' is not known"),
        ("#ff", "'#ff' is not known"),
        ("#ggg", "is not known"),
        ("#fffff", "is not known"),
        ("FF0000\n", "is not known"),
        ("FF0000FF", "is not known"),
        ("0.5", "is not known"),
        ("rgb(1, 2, 3)", "is not known"),
        ("xkcd:no such colour", "is not known"),
        ("tab:lemon", "is not known"),
        ("c0", "is not known"),
        (5, "neither text nor numbers"),
        (None, "neither text nor numbers"),
        (b"red", "neither text nor numbers"),
        (np.uint8(5), "neither text nor numbers"),
        ((1, 2), "three or four numbers"),
        ((1, 2, 3, 4, 5), "three or four numbers"),
        (np.zeros((3, 3)), "three or four numbers"),
        ((True, False, True), "three or four numbers"),
        (("1", "2", "3"), "three or four numbers"),
        ((0, 0, 256), "integers run from 0 to 255"),
        ((-1, 0, 0), "integers run from 0 to 255"),
        ((0.0, 0.0, 255), "one is a float run from 0 to 1"),
        ((np.nan, 0, 0), "one is a float run from 0 to 1"),
        (np.array([0.0, 1.5, 0.0]), "one is a float run from 0 to 1"),
    ],
)
def test_c7_what_is_no_colour_is_named_with_a_cure(color: Any, part: str) -> None:
    for read in (rgba, hex_color):
        with pytest.raises(ColorError) as caught:
            read(color)
        assert part in str(caught.value)
        cure = str(caught.value).rsplit(": ", 1)[1]
        assert rgba(eval(cure)) == (0, 255, 0, 255)


@pytest.mark.parametrize("color", ["#ff000080", "#FF0000ff", "#f008", (255, 0, 0, 128), (1.0, 0.0, 0.0, 0.5)])
def test_c7_channels_have_no_opacity(color: Any) -> None:
    with pytest.raises(ColorError, match=r'have none; leave it out: "#FF0000"$'):
        hex_color(color)


def test_a_tuple_that_says_opaque_is_a_colour_of_a_channel() -> None:
    assert hex_color((255, 0, 0, 255)) == hex_color((1.0, 0.0, 0.0, 1.0)) == "FF0000"


def test_without_matplotlib_the_names_of_css_remain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.colors", None)
    for name, digits in matplotlib.colors.CSS4_COLORS.items():
        assert name == "green" or hex_color(name) == digits[1:].upper()
    for name in ("tab:blue", "xkcd:teal", "r", "C0"):
        with pytest.raises(MissingDependencyError, match=rf"'{name}'.*pip install \"xomezarr\[view\]\"$"):
            rgba(name)
    with pytest.raises(ColorError, match="not known"):
        rgba("mauve")


def test_c9_colours_load_nothing_that_they_do_not_need() -> None:
    code = """
import json, sys
from xomezarr.colors import rgba
told = [[name in sys.modules for name in ("PIL", "matplotlib")]]
for color in ("#123", "green", (1, 2, 3), "teal", "tab:blue"):
    rgba(color)
    told.append([name in sys.modules for name in ("PIL", "matplotlib")])
print(json.dumps(told))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(answer.stdout) == [[False, False]] * 4 + [[True, False], [True, True]]
