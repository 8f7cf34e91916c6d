"""Names, colours and windows of channels, kept as coordinates along the channel dimension.

The dimension coordinate holds the labels; beside it stand `COLOR`, `ACTIVE`, `WINDOW` and, where the
dimension coordinate holds something else than text, `LABEL`. Selecting and reordering keep them true.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr.coords import infer_axis_type
from xomezarr.errors import ChannelError, OmeZarrError, raise_all
from xomezarr.model import Channel, Window

__all__ = [
    "ACTIVE",
    "COLOR",
    "LABEL",
    "WINDOW",
    "assign_channels",
    "channel_coordinates",
    "channel_dim",
    "complete",
    "coordinates",
    "describe_channels",
    "hex_color",
]

LABEL = "channel_label"
COLOR = "channel_color"
ACTIVE = "channel_active"
WINDOW: Mapping[str, str] = {bound: f"channel_window_{bound}" for bound in ("min", "max", "start", "end")}

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
"""Colours that may be given by name."""

PALETTES: Mapping[int, tuple[str, ...]] = {
    1: ("FFFFFF",),
    2: ("00FF00", "FF00FF"),
    3: ("00FFFF", "FF00FF", "FFFF00"),
}
"""Colours for images of few channels: sums of two stay apart for colour-blind eyes."""

PALETTE = ("00FFFF", "FF00FF", "FFFF00", "FF0000", "00FF00", "0000FF")
"""Colours for more channels, repeated as needed."""

RGB = (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))

PERCENTILES = (0.5, 99.8)
"""Shown range of a channel whose window was not given: keeps hot pixels and the dark edge out."""

_HEX = re.compile(r"#?([0-9A-Fa-f]{6})")


def channel_dim(da: xr.DataArray, axes: Mapping[str, str] | None = None) -> str | None:
    """Return the array's channel dimension, or None."""
    return next((str(dim) for dim in da.dims if infer_axis_type(da, str(dim), axes or {}) == "channel"), None)


def channel_coordinates(dims: Iterable[str]) -> set[str]:
    """Return the names of the coordinates that OME metadata of channels fill, given all dimensions."""
    from xomezarr.coords import AXIS_TYPES

    names = {dim for dim in dims if AXIS_TYPES.get(dim.lower()) == "channel"}
    return {*names, LABEL, COLOR, ACTIVE, *WINDOW.values()}


def describe_channels(da: xr.DataArray, dim: str | None = None) -> tuple[Channel, ...] | None:
    """Read the channels off the coordinates along the channel dimension.

    Parameters
    ----------
    da
        Any array.
    dim
        Its channel dimension; left out, it is found.

    Returns
    -------
    tuple of Channel or None
        One for each index, with None for whatever the coordinates do not say; None without a channel dimension.

    Raises
    ------
    ChannelError
        If a colour is not six hexadecimal digits, or a window is not made of finite ascending numbers.
    """
    dim = dim or channel_dim(da)
    if dim is None:
        return None
    size = da.sizes[dim]
    labels = _along(da, dim, LABEL)
    if labels is None:
        labels = _along(da, dim, dim)
    colors, active = _along(da, dim, COLOR), _along(da, dim, ACTIVE)
    bounds = {bound: _along(da, dim, name) for bound, name in WINDOW.items()}
    faults: list[OmeZarrError] = []
    channels = []
    for index in range(size):
        color = _text(colors, index)
        if color is not None:
            try:
                color = hex_color(color)
            except ChannelError as error:
                faults.append(ChannelError(f"channel {index} of dimension {dim!r}: {error}"))
        try:
            window = _window(bounds, index)
        except ChannelError as error:
            faults.append(ChannelError(f"channel {index} of dimension {dim!r}: {error}"))
            window = None
        channels.append(Channel(_text(labels, index), color, window, None if active is None else bool(active[index])))
    raise_all(faults, "the channels cannot be used")
    return tuple(channels)


def assign_channels(
    da: xr.DataArray, channels: Sequence[Channel | Mapping[str, Any] | str], dim: str | None = None
) -> xr.DataArray:
    """Return a copy with names, colours and windows as coordinates along the channel dimension.

    Parameters
    ----------
    da
        With a channel dimension.
    channels
        One for each index: a label, or a dict of ``label``, ``color`` (``"#rrggbb"`` or a name of `COLORS`),
        ``window`` (``(start, end)`` or a dict of ``min``, ``max``, ``start``, ``end``) and ``active``, or a `Channel`.
        What is left out is chosen when the image is written.
    dim
        The channel dimension; left out, it is found.

    Raises
    ------
    ChannelError
        If there is no channel dimension, the number differs from its size, or a value is unusable.

    Examples
    --------
    >>> da = xr.DataArray(np.zeros((2, 4, 4)), dims=("c", "y", "x"))
    >>> assign_channels(da, ["DAPI", {"label": "GFP", "color": "green"}]).channel_color.values
    array(['', '00FF00'], dtype='<U6')
    """
    dim = dim or channel_dim(da)
    if dim is None or dim not in da.dims:
        raise ChannelError(
            f"the array has no channel dimension; its dimensions are {tuple(da.dims)}: "
            "rename the one that holds channels to 'c', or add one: expand_dims('c')"
        )
    if isinstance(channels, str | bytes) or not isinstance(channels, Sequence):
        raise ChannelError(
            f"channels is {channels!r}; give a list with one entry for each channel: {_example(da.sizes[dim])}"
        )
    if len(channels) != da.sizes[dim]:
        raise ChannelError(
            f"{len(channels)} channels are given for dimension {dim!r} of size {da.sizes[dim]}; "
            f"give one for each index: {_example(da.sizes[dim])}"
        )
    faults: list[OmeZarrError] = []
    parsed: list[Channel] = []
    for index, entry in enumerate(channels):
        try:
            parsed.append(_parse(entry))
        except ChannelError as error:
            faults.append(ChannelError(f"channels[{index}]: {error}"))
    raise_all(faults, "the channels cannot be assigned")
    # `coords.get` would make up a range for a dimension without a coordinate
    new = coordinates(parsed, dim, da.coords[dim] if dim in da.coords else None)
    # names stay where the channels say none, wherever they stand; the rest is said anew
    stale = channel_coordinates([]) - ({LABEL} if dim not in new and LABEL not in new else set())
    return da.drop_vars([name for name in stale if name in da.coords]).assign_coords(new)


def coordinates(channels: Sequence[Channel], dim: str, existing: xr.DataArray | None = None) -> dict[str, xr.Variable]:
    """Make the coordinates along a channel dimension that say the same as these channels.

    Parameters
    ----------
    channels
        One for each index.
    dim
        Name of the dimension.
    existing
        Its present coordinate, which stays if it holds something else than text.

    Returns
    -------
    dict of str to xarray.Variable
        Only those that at least one channel says something of.
    """
    result: dict[str, xr.Variable] = {}
    if any(channel.label is not None for channel in channels):
        labels = xr.Variable(dim, np.array([channel.label or "" for channel in channels], dtype=np.str_))
        if existing is None or existing.dtype.kind in "OUST":
            result[dim] = labels if existing is None else xr.Variable(dim, labels.values, dict(existing.attrs))
        else:
            result[LABEL] = labels
    if any(channel.color is not None for channel in channels):
        result[COLOR] = xr.Variable(dim, np.array([channel.color or "" for channel in channels], dtype="<U6"))
    if any(channel.active is not None for channel in channels):
        result[ACTIVE] = xr.Variable(dim, np.array([channel.active is not False for channel in channels]))
    if any(channel.window is not None for channel in channels):
        for bound, name in WINDOW.items():
            values = [np.nan if c.window is None else float(getattr(c.window, bound)) for c in channels]
            result[name] = xr.Variable(dim, np.array(values))
    return result


def complete(channels: Sequence[Channel], coarsest: NDArray[Any], dtype: np.dtype[Any]) -> tuple[Channel, ...]:
    """Fill in what the channels do not say: colours by their number, windows from the coarsest level.

    Parameters
    ----------
    channels
        One for each index of the first dimension of `coarsest`.
    coarsest
        Pixels of the coarsest level, channels first, shape ``(c, …)``.
    dtype
        Of the image. Integers may hold its whole range, floats what the coarsest level has.
    """
    rgb = len(channels) == 3 and tuple((c.label or "").lower() for c in channels) == tuple(name for name, _ in RGB)
    palette = tuple(color for _, color in RGB) if rgb else PALETTES.get(len(channels), PALETTE)
    colors = _distinct([channel.color for channel in channels], palette)
    return tuple(
        dataclasses.replace(
            channel,
            label=channel.label if channel.label is not None else f"channel {index}",
            color=colors[index],
            window=channel.window or default_window(coarsest[index], dtype),
            active=channel.active is not False,
        )
        for index, channel in enumerate(channels)
    )


def _distinct(given: Sequence[str | None], palette: Sequence[str]) -> list[str]:
    """Choose a colour for each channel that has none: its own of the palette, unless another channel has that."""
    taken = set(given)
    chosen = []
    for index, color in enumerate(given):
        own = palette[index % len(palette)]
        made = color or next((c for c in (own, *palette, *PALETTE) if c not in taken), own)
        taken.add(made)
        chosen.append(made)
    return chosen


def default_window(pixels: NDArray[Any], dtype: np.dtype[Any]) -> Window:
    """Return the window of a channel whose window was not given, from some of its pixels."""
    finite = pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels.ravel()
    if pixels.dtype.kind == "c" or finite.size == 0:
        return Window(0.0, 1.0, 0.0, 1.0)
    if dtype.kind == "b":
        return Window(0.0, 1.0, 0.0, 1.0)
    if dtype.kind in "iu":
        low, high = float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    else:
        low, high = float(finite.min()), float(finite.max())
    start, end = (float(value) for value in np.percentile(finite.astype(np.float64), PERCENTILES))
    if not start < end:
        start, end = (float(finite.min()), float(finite.max()))
    if not start < end:  # one value only: viewers divide by the width
        width = max(1.0, abs(start) * 1e-3)
        start, end = (start, start + width) if dtype.kind == "f" or start + width <= high else (start - width, start)
    return Window(min(low, start), max(high, end), start, end)


def hex_color(color: str) -> str:
    """Return a colour as six upper-case hexadecimal digits.

    >>> hex_color("#ff00aa"), hex_color("magenta")
    ('FF00AA', 'FF00FF')

    Raises
    ------
    ChannelError
        If it is neither ``"#rrggbb"`` nor a name of `COLORS`.
    """
    match = _HEX.fullmatch(color)
    if match:
        return match[1].upper()
    if color.lower() in COLORS:
        return COLORS[color.lower()]
    raise ChannelError(
        f'the colour {color!r} is not known; give "#rrggbb" or one of {", ".join(COLORS)}: {{"color": "#00FF00"}}'
    )


def _parse(entry: Channel | Mapping[str, Any] | str) -> Channel:
    if isinstance(entry, Channel):
        color = None if entry.color is None else hex_color(entry.color)
        return dataclasses.replace(entry, color=color)
    if isinstance(entry, str):
        return Channel(str(entry))
    if not isinstance(entry, Mapping):
        raise ChannelError(f'{entry!r} is neither a label nor a dict; give a label: "DAPI"')
    unknown = set(entry) - {"label", "color", "window", "active"}
    if unknown:
        raise ChannelError(
            f"the key {min(map(str, unknown))!r} is not known; the keys are label, color, window and active: "
            '{"label": "DAPI"}'
        )
    label, color, active = (entry.get(key) for key in ("label", "color", "active"))
    if label is not None and not isinstance(label, str):
        raise ChannelError(f'the label {label!r} is not text: {{"label": "{label}"}}')
    if color is not None and not isinstance(color, str):
        raise ChannelError(f'the colour {color!r} is not text: {{"color": "#00FF00"}}')
    if active is not None and not isinstance(active, bool | np.bool_):
        raise ChannelError(f'active is {active!r}, and neither True nor False: {{"active": True}}')
    return Channel(
        label,
        None if color is None else hex_color(color),
        _parse_window(entry.get("window")),
        None if active is None else bool(active),
    )


def _parse_window(window: Any) -> Window | None:
    if window is None:
        return None
    if isinstance(window, Mapping):
        if not {"start", "end"} <= set(window) <= set(WINDOW):
            raise ChannelError(
                f'the window {dict(window)!r} needs start and end, and may have min and max: {{"start": 0, "end": 1}}'
            )
        start, end = window["start"], window["end"]
        return _checked_window(window.get("min", start), window.get("max", end), start, end)
    try:
        start, end = window
    except (TypeError, ValueError):
        raise ChannelError(f'the window {window!r} is not a pair of numbers: {{"window": (0, 1)}}') from None
    return _checked_window(start, end, start, end)


def _along(da: xr.DataArray, dim: str, name: str) -> NDArray[Any] | None:
    """Return the values of a coordinate if it runs along the channel dimension alone."""
    if name not in da.coords or da.coords[name].dims != (dim,):
        return None
    values: NDArray[Any] = da.coords[name].values
    return values


def _text(values: NDArray[Any] | None, index: int) -> str | None:
    """Return an entry as text; None where it says nothing: empty, None, or the NaN that `reindex` fills in."""
    value = None if values is None else values[index]
    if isinstance(value, bytes):
        value = value.decode()
    return None if value is None or value == "" or value != value else str(value)


def _example(count: int) -> str:
    return f"assign_channels({[f'channel {index}' for index in range(count)]})"


def _window(bounds: Mapping[str, NDArray[Any] | None], index: int) -> Window | None:
    values = {bound: float(array[index]) for bound, array in bounds.items() if array is not None}
    values = {bound: value for bound, value in values.items() if not np.isnan(value)}
    if "start" not in values or "end" not in values:
        return None
    start, end = values["start"], values["end"]
    return _checked_window(values.get("min", start), values.get("max", end), start, end)


def _checked_window(low: Any, high: Any, start: Any, end: Any) -> Window:
    try:
        window = Window(float(low), float(high), float(start), float(end))
    except (TypeError, ValueError):
        raise ChannelError(
            f'the window {(low, high, start, end)!r} is not made of numbers: {{"window": (0, 1)}}'
        ) from None
    if not (np.isfinite([window.min, window.max, window.start, window.end]).all() and window.start <= window.end):
        raise ChannelError(
            f"the window runs from {start} to {end}, within {low} to {high}; "
            'give finite numbers, the first no larger than the second: {"window": (0, 1)}'
        )
    return window
