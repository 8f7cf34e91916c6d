"""Colours by name, by hexadecimal digits and by numbers: one vocabulary for channels and labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xomezarr.errors import ColorError, MissingDependencyError

__all__ = ["COLORS", "hex_color", "rgba", "stored_color"]

COLORS: Mapping[str, str] = {
    "red": "FF0000",
    "green": "00FF00",
    "blue": "0000FF",
    "cyan": "00FFFF",
    "magenta": "FF00FF",
    "yellow": "FFFF00",
    "orange": "FFA500",
    "white": "FFFFFF",
    "gray": "808080",
    "grey": "808080",
}
"""Names that mean what they mean at a microscope: "green" is the pure one, where CSS and matplotlib have 008000."""

_HEX = re.compile(r"#[0-9A-Fa-f]{3,4}|#?[0-9A-Fa-f]{6}|#[0-9A-Fa-f]{8}")

_OF_MATPLOTLIB = re.compile(r"[bgrcmykw]|C[0-9]+|none|(tab|xkcd):.+", re.DOTALL)
"""Names that matplotlib knows and CSS does not; by their form, so that others need not load it."""


def rgba(color: str | Sequence[float] | NDArray[Any]) -> tuple[int, int, int, int]:
    """Return a colour as red, green, blue and opacity, each from 0 to 255.

    Parameters
    ----------
    color
        A name of `COLORS`, else one of CSS, else one that matplotlib knows (``"tab:blue"``, ``"xkcd:teal"``, ``"r"``,
        ``"C0"``); ``"#rgb"``, ``"#rgba"``, ``"#rrggbb"``, ``"#rrggbbaa"`` or ``"rrggbb"``; or three or four numbers,
        integers from 0 to 255, or, if there is a float among them, as matplotlib has them, from 0 to 1.

    Returns
    -------
    tuple of int
        Opacity 255 where the colour says none.

    Raises
    ------
    ColorError
        If it is none of these.
    MissingDependencyError
        If only matplotlib knows the name, and it is not installed.

    Examples
    --------
    >>> rgba("rebeccapurple"), rgba("#0f08"), rgba((1.0, 0.5, 0.0))
    ((102, 51, 153, 255), (0, 255, 0, 136), (255, 128, 0, 255))
    """
    made = _named(color) if isinstance(color, str) else _numbered(color)
    red, green, blue, opacity = (*made, 255)[:4]
    return red, green, blue, opacity


def hex_color(color: str | Sequence[float] | NDArray[Any]) -> str:
    """Return a colour as six upper-case hexadecimal digits, as channels have it.

    Parameters
    ----------
    color
        See `rgba`; a fourth number that says fully opaque is left out.

    Raises
    ------
    ColorError
        If it is no colour, or has an opacity.
    MissingDependencyError
        If only matplotlib knows the name, and it is not installed.

    Examples
    --------
    >>> hex_color("#ff00aa"), hex_color("green"), hex_color("darkgreen")
    ('FF00AA', '00FF00', '006400')
    """
    *visible, opacity = rgba(color)
    digits = "".join(f"{value:02X}" for value in visible)
    if opacity < 255 or (isinstance(color, str) and len(color) in (5, 9) and _HEX.fullmatch(color)):
        raise ColorError(
            f'the colour {color!r} has an opacity, and channels of OME-Zarr have none; leave it out: "#{digits}"'
        )
    return digits


def stored_color(text: str) -> str | None:
    """Return the six hexadecimal digits of a colour in a store, whose writer may have put them in a way of its own.

    A ``#`` before them is left out, and so is an opacity after them, as channels have none; what is no colour by digits
    is None.

    >>> [stored_color(text) for text in ("00ff00", "#FF0000", "FF000080", "#0f0", "red")]
    ['00ff00', 'FF0000', 'FF0000', '00ff00', None]
    """
    digits = text.removeprefix("#")
    if digits != text and re.fullmatch(r"[0-9A-Fa-f]{3,4}", digits):
        digits = "".join(2 * digit for digit in digits)
    return digits[:6] if re.fullmatch(r"[0-9A-Fa-f]{6}([0-9A-Fa-f]{2})?", digits) else None


def _named(color: str) -> tuple[int, ...]:
    """Read text: digits, or a name."""
    digits = COLORS.get(color.lower(), color)
    if _HEX.fullmatch(digits):
        digits = digits.removeprefix("#")
        if len(digits) < 6:
            digits = "".join(2 * digit for digit in digits)
        return tuple(bytes.fromhex(digits))
    # pillow takes a while to load, and most colours are given by one of the ways above
    from PIL import ImageColor

    if color.lower() in ImageColor.colormap:
        return ImageColor.getrgb(color)
    if _OF_MATPLOTLIB.fullmatch(color):
        return _of_matplotlib(color)
    raise _unknown(color)


def _of_matplotlib(name: str) -> tuple[int, ...]:
    try:
        from matplotlib.colors import to_rgba
    except ImportError:
        raise MissingDependencyError(
            f'the colour {name!r} is one of matplotlib\'s, which is not installed; give "#rrggbb", or install it: '
            'pip install "xomezarr[view]"'
        ) from None
    try:
        return _bytes(to_rgba(name))
    except ValueError:
        raise _unknown(name) from None


def _numbered(color: Any) -> tuple[int, ...]:
    """Read three or four numbers."""
    numbers = color.tolist() if isinstance(color, np.ndarray) else color
    if not isinstance(numbers, Sequence) or isinstance(numbers, bytes):
        raise ColorError(f'the colour {color!r} is neither text nor numbers; give a name or "#rrggbb": "#00FF00"')
    if len(numbers) not in (3, 4) or not all(_is_number(value) for value in numbers):
        raise ColorError(f"the colour {color!r} is not made of three or four numbers; give so many: (0, 255, 0)")
    fractions = any(isinstance(value, float | np.floating) for value in numbers)
    # not the other way round: NaN is out of every range
    if not all(0 <= value <= (1 if fractions else 255) for value in numbers):
        given, cure = ("0 to 1", "(0.0, 1.0, 0.0)") if fractions else ("0 to 255", "(0, 255, 0)")
        kind = "numbers of which one is a float" if fractions else "integers"
        raise ColorError(f"the colour {color!r} is out of range; {kind} run from {given}: {cure}")
    return _bytes(numbers) if fractions else tuple(int(value) for value in numbers)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _bytes(fractions: Sequence[float]) -> tuple[int, ...]:
    return tuple(round(float(value) * 255) for value in fractions)


def _unknown(color: str) -> ColorError:
    return ColorError(
        f'the colour {color!r} is not known; give "#rrggbb", or a name of CSS or of matplotlib, such as '
        f'{", ".join(COLORS)}: "#00FF00"'
    )
