"""How layers of napari look: the colours, windows and names of channels, and the colours of labels."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

from xomezarr.channels import hex_color
from xomezarr.errors import InterchangeError, InterchangeWarning, OmeZarrError, warn
from xomezarr.model import Channel, Window

__all__ = ["channel_of", "label_colors", "of_channel"]

OF_EACH = ("name", "colormap", "contrast_limits", "visible")
"""Options that a layer with a channel axis has one by one."""


def of_channel(key: str, value: Any, number: int, count: int) -> Any:
    """Return an option of one of several channels.

    Raises
    ------
    InterchangeError
        If it is said one by one, and not of each.
    """
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if key not in OF_EACH or not isinstance(value, list | tuple):
        return value
    if key == "contrast_limits" and len(value) == 2 and all(isinstance(part, Real) for part in value):
        return value  # one pair, of all channels
    if len(value) != count:
        raise InterchangeError(
            f"the option {key!r} of the layer is said of {len(value)} channels, and it has {count}; say it of each: "
            f"{key}=[{', '.join('…' for _ in range(count))}]"
        )
    return value[number]


def channel_of(options: Mapping[str, Any]) -> Channel:
    """Return what a layer says of a channel."""
    name, limits = options.get("name"), options.get("contrast_limits")
    window = None
    if limits is not None:
        start, end = (float(value) for value in limits)
        # what windows lie within follows the dtype
        window = Window(np.nan, np.nan, start, end)
    visible = options.get("visible")
    return Channel(
        name if isinstance(name, str) else None,
        _color(options.get("colormap"), name),
        window,
        None if visible is None else bool(visible),
    )


def _color(colormap: Any, name: Any) -> str | None:
    """Return the colour that a colormap leads to from black; None, with a warning, where it is another."""
    if colormap is None:
        return None
    if isinstance(colormap, str):
        if colormap.lower() in ("gray", "grey"):
            return "FFFFFF"
        try:
            return hex_color(colormap)
        except OmeZarrError:
            _tell_no_color(colormap, name)
            return None
    said = colormap if isinstance(colormap, Mapping) else vars(colormap)
    colors = np.asarray(said.get("colors", getattr(colormap, "colors", ())), dtype=float)
    if colors.ndim == 2 and len(colors) == 2 and not colors[0][:3].any():
        return "".join(f"{round(255 * part):02X}" for part in colors[1][:3])
    _tell_no_color(str(said.get("name", getattr(colormap, "name", colormap))), name)
    return None


def _tell_no_color(colormap: str, name: Any) -> None:
    warn(
        f"the colormap {colormap!r} of the layer {name!r} is no colour, which is what channels have, and is left out; "
        "give one: assign_channels([{'label': …, 'color': 'green'}])",
        InterchangeWarning,
    )


def label_colors(options: Mapping[str, Any]) -> dict[int, Any]:
    """Return the colours of labels that are said one by one."""
    given = options.get("colormap")
    listed = getattr(given, "color_dict", given)
    if not isinstance(listed, Mapping) or ("colors" in listed and "name" in listed):
        listed = listed.get("color_dict", {}) if isinstance(listed, Mapping) else {}
    found = {}
    for value, color in listed.items():
        if value is not None and int(value) != 0:
            found[int(value)] = color if isinstance(color, str) else tuple(float(part) for part in color)
    return found
