"""Names, colours and windows of channels, kept as coordinates along the channel dimension.

The dimension coordinate holds the labels; beside it stand `COLOR`, `ACTIVE`, `WINDOW`, `EXTRA` and, where the
dimension coordinate holds something else than text, `LABEL`. Selecting and reordering keep them true, and so does
joining: `xarray.concat` wants the same coordinates on every side, so that they are there even where they say nothing.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from xomezarr.colors import COLORS, hex_color, rgba
from xomezarr.coords import infer_axis_type
from xomezarr.errors import ChannelError, DtypeError, MissingDependencyError, OmeZarrError, collecting, raise_all
from xomezarr.model import Channel, Window

__all__ = [
    "ACTIVE",
    "COLOR",
    "COLORS",
    "EXTRA",
    "LABEL",
    "RGB",
    "WINDOW",
    "Channels",
    "assign_channels",
    "called",
    "channel_coordinates",
    "channel_dim",
    "complete",
    "coordinates",
    "default_window",
    "describe_channels",
    "hex_color",
    "rgb_channels",
    "rgba",
    "with_colors",
]

LABEL = "channel_label"
COLOR = "channel_color"
ACTIVE = "channel_active"
WINDOW: Mapping[str, str] = {bound: f"channel_window_{bound}" for bound in ("min", "max", "start", "end")}
EXTRA = "channel_extra"
"""Holds what other tools say of a channel, as the text of a JSON object; ``""`` where they say nothing."""

type Channels = Sequence[Channel | Mapping[str, Any] | str] | NDArray[Any] | pd.Index | xr.DataArray
"""One entry for each channel, as `assign_channels` takes them."""

PALETTES: Mapping[int, tuple[str, ...]] = {
    1: ("FFFFFF",),
    2: ("00FF00", "FF00FF"),
    3: ("00FFFF", "FF00FF", "FFFF00"),
}
"""Colours for images of few channels: sums of two stay apart for colour-blind eyes."""

PALETTE = ("00FFFF", "FF00FF", "FFFF00", "FF0000", "00FF00", "0000FF")
"""Colours for more channels, repeated as needed."""

RGB = tuple((name, COLORS[name]) for name in ("red", "green", "blue"))
"""Labels and colours of the channels of a colour image."""

PERCENTILES = (0.5, 99.8)
"""Shown range of a channel whose window was not given: keeps hot pixels and the dark edge out."""

_SOME_WINDOW = '{"window": (0, 1)}'

_SOME_EXTRA = '{"extra": {"family": "linear"}}'

_KEYS = ("label", "color", "window", "active", "extra")
"""Of a channel that is given as a dict: the fields of `Channel`."""


def channel_dim(da: xr.DataArray, axes: Mapping[str, str] | None = None) -> str | None:
    """Return the array's channel dimension, or None."""
    return next((str(dim) for dim in da.dims if infer_axis_type(da, str(dim), axes or {}) == "channel"), None)


def channel_coordinates(dims: Iterable[str]) -> set[str]:
    """Return the names of the coordinates that OME metadata of channels fill, given all dimensions."""
    from xomezarr.coords import AXIS_TYPES

    names = {dim for dim in dims if AXIS_TYPES.get(dim.lower()) == "channel"}
    return {*names, LABEL, COLOR, ACTIVE, *WINDOW.values(), EXTRA}


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
        If a colour is none, a window is not made of finite numbers or lacks its start or end, or what other tools say
        is no JSON object.

    Notes
    -----
    A coordinate without dimensions counts for every channel: `xarray.DataArray.expand_dims` leaves those of a single
    channel so, and `xarray.concat` those that are the same on every side. Where a window has no ``min`` and ``max``,
    they are those of the dtype if it holds integers, else ``start`` and ``end``. A window that runs
    backwards, as some tools write them, is taken as it is.
    """
    dim = dim or channel_dim(da)
    if dim is None:
        return None
    labels = _along(da, dim, LABEL)
    if labels is None:
        labels = _along(da, dim, dim)
    colors, active, extras = (_along(da, dim, name) for name in (COLOR, ACTIVE, EXTRA))
    bounds = {bound: _along(da, dim, name) for bound, name in WINDOW.items()}
    faults: list[OmeZarrError] = []
    channels = []
    for index in range(da.sizes[dim]):
        label = _text(labels, index)
        if colors is not None and colors.dtype == object and _is_number(colors[index]):
            # `reindex(fill_value=0)` fills in all coordinates, those of channels too
            channels.append(Channel(label))
            continue
        where = f"channel {index} of dimension {dim!r}"
        said = {bound: values[index] for bound, values in bounds.items() if values is not None}
        color, window, extra = _text(colors, index), None, dict[str, Any]()
        with _of(where, faults):
            color = None if color is None else hex_color(color)
        with _of(where, faults):
            window = _window(said, da.dtype)
        with _of(where, faults):
            extra, of_window = _unpacked(_text(extras, index))
            window = window and dataclasses.replace(window, extra=of_window)
        shown = None if active is None or pd.isna(active[index]) else bool(active[index])
        channels.append(Channel(label, color, window, shown, extra))
    raise_all(faults, "the channels cannot be used")
    return tuple(channels)


def assign_channels(
    da: xr.DataArray,
    channels: Channels | None = None,
    dim: str | None = None,
    *,
    rgb: bool = False,
) -> xr.DataArray:
    """Return a copy with names, colours and windows as coordinates along the channel dimension.

    Parameters
    ----------
    da
        With a channel dimension.
    channels
        One for each index: a label, or a dict of ``label``, ``color``, ``window`` (``(start, end)``, a `Window`, or a
        dict of ``start``, ``end`` and perhaps ``min``, ``max``), ``active`` and ``extra`` (keys of other tools, kept as
        they are), or a `Channel`. Labels alone may be an array or an index. What is left out is chosen when the image
        is written. Colours are what `hex_color` takes: ``"#rrggbb"``, a name of CSS or of matplotlib, or
        numbers; ``"green"`` is pure green, ``00FF00``, as microscopes show it. With `rgb`, channels may be left out.
    dim
        The channel dimension; left out, it is found.
    rgb
        The three channels of a uint8 image are red, green and blue, shown from 0 to 255, but for what `channels` says.

    Raises
    ------
    ChannelError
        If there is no channel dimension, or `dim` is none, the number differs from its size, or a value is unusable.
    DtypeError
        If the image is not uint8, and `rgb` is asked for.
    MissingDependencyError
        If only matplotlib knows a colour, and it is not installed.

    Examples
    --------
    >>> da = xr.DataArray(np.zeros((2, 4, 4)), dims=("c", "y", "x"))
    >>> assign_channels(da, ["DAPI", {"label": "GFP", "color": "green"}]).channel_color.values
    array(['', '00FF00'], dtype='<U6')
    >>> photograph = xr.DataArray(np.zeros((4, 4, 3), "uint8"), dims=("y", "x", "c"))
    >>> assign_channels(photograph, rgb=True).c.values
    array(['red', 'green', 'blue'], dtype='<U5')
    """
    dim = _asked_dim(da, dim, rgb=rgb)
    if rgb:
        _check_rgb(da, dim)
    if channels is None and rgb:
        channels = [Channel()] * len(RGB)
    entries = _entries(channels)
    if entries is None:
        raise ChannelError(
            f"channels is {channels!r}; give a list with one entry for each channel: {_example(da.sizes[dim])}"
        )
    if len(entries) != da.sizes[dim]:
        raise ChannelError(
            f"{len(entries)} channels are given for dimension {dim!r} of size {da.sizes[dim]}; "
            f"give one for each index: {_example(da.sizes[dim])}"
        )
    faults: list[OmeZarrError] = []
    parsed: list[Channel] = []
    for index, entry in enumerate(entries):
        with _of(f"channels[{index}]", faults):
            parsed.append(_parse(entry))
    raise_all(faults, "the channels cannot be assigned")
    if rgb:
        parsed = [_filled(own, primary) for own, primary in zip(parsed, rgb_channels(da.dtype), strict=True)]
    # `coords.get` would make up a range for a dimension without a coordinate
    new = coordinates(parsed, dim, da.coords[dim] if dim in da.coords else None)
    # names stay where the channels say none, wherever they stand; the rest is said anew
    stale = channel_coordinates([]) - ({LABEL} if dim not in new and LABEL not in new else set())
    return da.drop_vars([name for name in stale if name in da.coords]).assign_coords(new)


def rgb_channels(dtype: np.dtype[Any], count: int = len(RGB)) -> tuple[Channel, ...]:
    """Return red, green and blue, and alpha as a fourth one.

    Photographs of 8 bits are shown as they are, others by what their pixels span.

    >>> [(channel.label, channel.color) for channel in rgb_channels(np.dtype("uint8"), 4)][1:]
    [('green', '00FF00'), ('blue', '0000FF'), ('alpha', None)]
    """
    window = Window(0.0, 255.0, 0.0, 255.0) if dtype == np.uint8 else None
    return (*(Channel(label, color, window) for label, color in RGB), Channel("alpha"))[:count]


def _asked_dim(da: xr.DataArray, dim: str | None, *, rgb: bool) -> str:
    """Return the dimension that is to hold channels; one that lies in space or time cannot."""
    if dim is None:
        dim = channel_dim(da)
        if dim is None:
            raise ChannelError.mended(
                f"the array has no channel dimension{' for rgb=True' if rgb else ''}; its dimensions are "
                f"{tuple(da.dims)}",
                python="rename the one that holds channels to 'c', or add one: expand_dims('c')",
                command=f"call the one that holds channels c, such as --dims {_with_channels(da)}, or leave "
                f"{'--rgb' if rgb else '--channels'} out",
            )
        return dim
    kind = infer_axis_type(da, dim, {}) if dim in da.dims else None
    if dim not in da.dims or kind in ("space", "time"):
        told = "is none of the array" if kind is None else f"is one of {kind}"
        known = channel_dim(da)
        cure = "leave dim out" if known is not None else "give the one that holds channels, or add one"
        raise ChannelError(
            f"dim={dim!r} {told}, whose dimensions are {tuple(da.dims)}; {cure}: "
            + ("assign_channels([…])" if known is not None else "expand_dims('c')")
        )
    return dim


def _with_channels(da: xr.DataArray) -> str:
    """Return names of as many dimensions, of which one is of channels, for an example."""
    return f"c{'tzyx'[-(da.ndim - 1) :]}" if 1 < da.ndim < 6 else "cyx"


def _entries(channels: Any) -> list[Any] | None:
    """Return what is given of each channel; None for what has no order, or is text."""
    if isinstance(channels, Sequence) and not isinstance(channels, str | bytes):
        return list(channels)
    if hasattr(channels, "__array__") and np.ndim(channels) == 1:
        values: list[Any] = np.asarray(channels).tolist()
        return values
    return None


def _check_rgb(da: xr.DataArray, dim: str) -> None:
    """Raise where channels cannot be red, green and blue: what is not uint8 has no range that says what is white."""
    size = da.sizes[dim]
    faults: list[OmeZarrError] = []
    with collecting(faults):
        if size != len(RGB):
            cure = f"isel({dim}=slice(3))" if size > len(RGB) else f"leave rgb out: {_example(size)}"
            raise ChannelError(f"rgb=True is for {len(RGB)} channels, and dimension {dim!r} is of size {size}; {cure}")
    with collecting(faults):
        if da.dtype != np.uint8:
            raise DtypeError(
                f"rgb=True is for uint8, which is shown from 0 to 255, and the array is of dtype {da.dtype}; convert "
                "it, or leave rgb out, and the windows come from the pixels: "
                f"assign_channels({[label for label, _ in RGB]})"
            )
    raise_all(faults, "the channels cannot be red, green and blue")


def _filled(channel: Channel, other: Channel) -> Channel:
    """Take over from another channel what this one does not say."""
    return dataclasses.replace(
        channel,
        label=other.label if channel.label is None else channel.label,
        color=channel.color or other.color,
        window=channel.window or other.window,
    )


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
        None if no channel says anything, and no labels if none has one; all others, as two arrays can be joined only if
        both have them. What a channel does not say is ``""``, NaN, or that it is active.
    """
    if all(channel == Channel() for channel in channels):
        return {}
    result: dict[str, xr.Variable] = {}
    if any(channel.label is not None for channel in channels):
        labels = xr.Variable(dim, np.array([channel.label or "" for channel in channels], dtype=np.str_))
        if existing is None or existing.dtype.kind in "OUST":
            result[dim] = labels if existing is None else xr.Variable(dim, labels.values, dict(existing.attrs))
        else:
            result[LABEL] = labels
    result[COLOR] = xr.Variable(dim, np.array([channel.color or "" for channel in channels], dtype="<U6"))
    result[ACTIVE] = xr.Variable(dim, np.array([channel.active is not False for channel in channels]))
    for bound, name in WINDOW.items():
        values = [np.nan if c.window is None else float(getattr(c.window, bound)) for c in channels]
        result[name] = xr.Variable(dim, np.array(values))
    result[EXTRA] = xr.Variable(dim, np.array([_packed(channel) for channel in channels], dtype=np.str_))
    return result


def complete(
    channels: Sequence[Channel], coarsest: Sequence[NDArray[Any]] | NDArray[Any], dtype: np.dtype[Any]
) -> tuple[Channel, ...]:
    """Fill in what the channels do not say: colours by their number, windows from the coarsest level.

    Parameters
    ----------
    channels
        One for each of `coarsest`.
    coarsest
        Pixels of the coarsest level, channel by channel; those of a channel that has a window are not looked at.
    dtype
        Of the image. Integers may hold its whole range, floats what the coarsest level has.
    """
    return tuple(
        dataclasses.replace(
            channel,
            label=channel.label if channel.label is not None else f"channel {index}",
            window=channel.window or default_window(coarsest[index], dtype),
            active=channel.active is not False,
        )
        for index, channel in enumerate(with_colors(channels))
    )


def called(channel: Channel, number: int) -> str:
    """Return the name of a channel; of one that has none, by its number in the order of the image.

    >>> called(Channel("DAPI"), 0), called(Channel(), 1)
    ('DAPI', 'channel 1')
    """
    return channel.label or f"channel {number}"


def with_colors(channels: Sequence[Channel]) -> tuple[Channel, ...]:
    """Fill in the colours that the channels do not say, by their number.

    >>> [channel.color for channel in with_colors([Channel("DAPI"), Channel("GFP", "00FF00")])]
    ['FF00FF', '00FF00']
    """
    rgb = len(channels) == 3 and tuple((c.label or "").lower() for c in channels) == tuple(name for name, _ in RGB)
    palette = tuple(color for _, color in RGB) if rgb else PALETTES.get(len(channels), PALETTE)
    colors = _distinct([channel.color for channel in channels], palette)
    return tuple(dataclasses.replace(channel, color=color) for channel, color in zip(channels, colors, strict=True))


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
    low, high = _whole_range(dtype) or (float(finite.min()), float(finite.max()))
    start, end = _percentiles(finite)
    if not start < end:
        start, end = (float(finite.min()), float(finite.max()))
    if not start < end:  # one value only: viewers divide by the width
        width = max(1.0, abs(start) * 1e-3)
        highest = float(np.finfo(np.float64).max) if dtype.kind == "f" else high
        start, end = (start, start + width) if start + width <= highest else (start - width, start)
    return Window(min(low, start), max(high, end), start, end)


def _percentiles(values: NDArray[Any]) -> list[float]:
    """Return `PERCENTILES` of pixels as `numpy.percentile` does, which makes float64 of all of them before.

    >>> _percentiles(np.arange(1001, dtype="u2"))
    [5.0, 998.0]
    """
    places = [(values.size - 1) * percent / 100 for percent in PERCENTILES]
    ends = [(math.floor(place), math.ceil(place)) for place in places]
    ordered = np.partition(values, sorted({index for pair in ends for index in pair}), axis=None)
    # of halves, whose differences do not overflow
    pairs = [(float(ordered[low]) / 2, float(ordered[high]) / 2) for low, high in ends]
    return [2 * (low + (high - low) * (place % 1)) for (low, high), place in zip(pairs, places, strict=True)]


@contextmanager
def _of(where: str, faults: list[OmeZarrError]) -> Iterator[None]:
    """Collect what is at fault with a channel, and say with which."""
    try:
        yield
    except MissingDependencyError as error:
        faults.append(MissingDependencyError(f"{where}: {error}"))
    except OmeZarrError as error:
        faults.append(ChannelError(f"{where}: {error}"))


def _parse(entry: Channel | Mapping[str, Any] | str) -> Channel:
    if isinstance(entry, str):
        return Channel(str(entry))
    if isinstance(entry, Channel):
        entry = {key: getattr(entry, key) for key in _KEYS}
    if not isinstance(entry, Mapping):
        raise ChannelError(f'{entry!r} is neither a label nor a dict; give a label: "DAPI"')
    unknown = set(entry) - set(_KEYS)
    if unknown:
        raise ChannelError(
            f"the key {min(map(str, unknown))!r} is not known; the keys are {', '.join(_KEYS[:-1])} and {_KEYS[-1]}: "
            '{"label": "DAPI"}'
        )
    label, color, active = (entry.get(key) for key in ("label", "color", "active"))
    if label is not None and not isinstance(label, str):
        raise ChannelError(f'the label {label!r} is not text: {{"label": "{label}"}}')
    if active is not None and not isinstance(active, bool | np.bool_):
        raise ChannelError(f'active is {active!r}, and neither True nor False: {{"active": True}}')
    return Channel(
        label,
        None if color is None else hex_color(color),
        _parse_window(entry.get("window")),
        None if active is None else bool(active),
        _parse_extra(entry.get("extra"), _KEYS[:-1]),
    )


def _parse_window(window: Any) -> Window | None:
    """Read a window; bounds that are left out are NaN, as in the coordinates, and follow the dtype later."""
    if window is None:
        return None
    extra: Mapping[str, Any] = {}
    low: Any
    high: Any
    if isinstance(window, Window):
        extra = _parse_extra(window.extra, tuple(WINDOW))
        start, end = window.start, window.end
        low, high = (None if pd.isna(bound) else bound for bound in (window.min, window.max))
    elif isinstance(window, Mapping):
        if not {"start", "end"} <= set(window) <= set(WINDOW):
            raise ChannelError(
                f'the window {dict(window)!r} needs start and end, and may have min and max: {{"start": 0, "end": 1}}'
            )
        start, end = window["start"], window["end"]
        low, high = window.get("min"), window.get("max")
    else:
        try:
            start, end = window
        except (TypeError, ValueError):
            raise ChannelError(f"the window {window!r} is not a pair of numbers: {_SOME_WINDOW}") from None
        low = high = None
    checked = _finite_window(start if low is None else low, end if high is None else high, start, end)
    if not (checked.start <= checked.end and checked.min <= checked.max):
        raise _unusable(checked)
    return dataclasses.replace(
        checked,
        min=np.nan if low is None else checked.min,
        max=np.nan if high is None else checked.max,
        extra=extra,
    )


def _parse_extra(extra: Any, known: Sequence[str]) -> Mapping[str, Any]:
    """Check keys of other tools, which JSON has to give back as they are."""
    if extra is None:
        return {}
    try:
        same = isinstance(extra, Mapping) and json.loads(json.dumps(dict(extra), allow_nan=False)) == extra
    except (TypeError, ValueError, RecursionError):
        same = False
    if not same:
        raise ChannelError(
            f"extra is {extra!r}, and no dict of what JSON gives back as it is: text, numbers, lists and dicts: "
            f"{_SOME_EXTRA}"
        )
    if own := [key for key in known if key in extra]:
        raise ChannelError(f"extra has the key {own[0]!r}, which has a place of its own; take it out: {_SOME_EXTRA}")
    return dict(extra)


def _packed(channel: Channel) -> str:
    """Return the keys of other tools as text: those of the window in an object of their own, as in OME-Zarr."""
    extra = dict(channel.extra)
    if channel.window is not None and channel.window.extra:
        extra["window"] = dict(channel.window.extra)
    return json.dumps(extra, ensure_ascii=False) if extra else ""


def _unpacked(text: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read what `_packed` makes: the keys of a channel, and those of its window."""
    if text is None:
        return {}, {}
    try:
        extra = json.loads(text)
    except ValueError:
        extra = None
    of_window = extra.pop("window", {}) if isinstance(extra, dict) else None
    if not isinstance(extra, dict) or not isinstance(of_window, dict):
        raise ChannelError(
            f"the coordinate {EXTRA!r} holds {text!r}, and no JSON object; give the keys of other tools again: "
            f"assign_channels([{_SOME_EXTRA}, …]), or leave them out: drop_vars({EXTRA!r})"
        )
    return extra, of_window


def _along(da: xr.DataArray, dim: str, name: str) -> NDArray[Any] | None:
    """Return the values of a coordinate if it runs along the channel dimension alone, or along none."""
    if name not in da.coords or da.coords[name].dims not in ((dim,), ()):
        return None
    return np.broadcast_to(da.coords[name].values, da.sizes[dim])


def _text(values: NDArray[Any] | None, index: int) -> str | None:
    """Return an entry as text; None where it says nothing: empty, None, or the NaN that `reindex` fills in."""
    value = None if values is None else values[index]
    if isinstance(value, bytes):
        value = value.decode()
    return None if pd.isna(value) or value == "" else str(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not np.isnan(value)


def _example(count: int) -> str:
    return f"assign_channels({[f'channel {index}' for index in range(count)]})"


def _window(bounds: Mapping[str, Any], dtype: np.dtype[Any]) -> Window | None:
    """Read a channel's window off the coordinates; None where they say nothing of it."""
    said = {bound: value for bound, value in bounds.items() if not pd.isna(value)}
    if not said:
        return None
    missing = [bound for bound in ("start", "end") if bound not in said]
    if missing:
        given = " and ".join(f"{bound} {value}" for bound, value in said.items())
        raise ChannelError(f"the window has {given}, and no {' and no '.join(missing)}; give both: {_SOME_WINDOW}")
    start, end = said["start"], said["end"]
    checked = _finite_window(said.get("min", start), said.get("max", end), start, end)
    whole = window_between(checked.start, checked.end, dtype)
    return dataclasses.replace(whole, **{bound: getattr(checked, bound) for bound in ("min", "max") if bound in said})


def window_between(start: float, end: float, dtype: np.dtype[Any]) -> Window:
    """Return a window of which only the ends are known: integers may be all that their dtype holds.

    >>> window_between(5, 90, np.dtype("uint8"))
    Window(min=0.0, max=255.0, start=5, end=90)
    """
    low, high = _whole_range(dtype) or (start, end)
    return Window(min(low, start, end), max(high, start, end), start, end)


def _whole_range(dtype: np.dtype[Any]) -> tuple[float, float] | None:
    """Return the lowest and the highest value of a dtype; None where windows cannot span them, as with floats."""
    if dtype.kind == "b":
        return 0.0, 1.0
    return (float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)) if dtype.kind in "iu" else None


def _finite_window(low: Any, high: Any, start: Any, end: Any) -> Window:
    try:
        window = Window(float(low), float(high), float(start), float(end))
    except (TypeError, ValueError):
        raise ChannelError(f"the window {(low, high, start, end)!r} is not made of numbers: {_SOME_WINDOW}") from None
    if not np.isfinite([window.min, window.max, window.start, window.end]).all():
        raise _unusable(window)
    return window


def _unusable(window: Window) -> ChannelError:
    return ChannelError(
        f"the window runs from {window.start:g} to {window.end:g}, within {window.min:g} to {window.max:g}; "
        f"give finite numbers, the first of each pair no larger than the second: {_SOME_WINDOW}"
    )
