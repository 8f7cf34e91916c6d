"""Images as layers of napari, and back.

A layer has one scale and one translation, those of level 0, and lies where these put the centres of pixels. napari puts
coarser levels by the ratio of shapes; where they really lie stands in the layer's ``metadata``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr.channels import RGB, assign_channels, hex_color, with_colors
from xomezarr.errors import (
    CoordinateSystemError,
    InterchangeError,
    InterchangeWarning,
    OmeZarrError,
    PlacementWarning,
    TransformError,
    warn,
)
from xomezarr.extents import place
from xomezarr.grid import Grid
from xomezarr.interchange.parts import (
    Affine,
    Given,
    affines,
    as_labels,
    askew,
    beside,
    given,
    image_tree,
    is_straight,
    label_tree,
    lazy_pixels,
    placed,
    relative,
    tell_lost,
)
from xomezarr.labels import colors_of
from xomezarr.model import Axis, Channel, Image, Level, Multiscale, Window
from xomezarr.units import axis_type, same_unit

__all__ = ["from_napari", "layers_of", "to_napari", "uneven"]

type LayerTuple = tuple[Any, dict[str, Any], str]
"""Data, options of `Viewer.add_image` or `add_labels`, and ``"image"`` or ``"labels"``."""

OWN = "xomezarr"
"""Key of the metadata of a layer under which stands what napari has no place for."""

DIMS = ("t", "z", "y", "x")
"""What dimensions are called that have no names: the last of these."""

TIMES = ("t", "time")
"""What dimensions of time are called."""

PIXEL = "pixel"
"""The unit of what has none."""


def to_napari(
    image: xr.DataArray | xr.DataTree, *, labels: bool = True, coordinate_system: str | None = None
) -> list[LayerTuple]:
    """Return what napari shows of an image: layer data tuples, as its plugins give them. napari is not needed.

    Each is added to a viewer by ``getattr(viewer, f"add_{kind}")(data, **options)``.

    Parameters
    ----------
    image
        An array, or a tree with its levels.
    labels
        Whether the labels of a tree come along.
    coordinate_system
        A system in which the image lies askew, in which napari is to show it; left out, that of its dimensions.

    Returns
    -------
    list of tuple
        Data, options and kind; of an image with channels, ``channel_axis`` makes a layer of each. Lazy; nothing is
        read: where no windows are said, napari chooses.

    Raises
    ------
    CoordinateSystemError
        If the image does not lie askew in a system of that name, or its axes are not those of the image.

    Warns
    -----
    InterchangeWarning
        Where coordinates are irregular or dates, and napari places pixels by their mean step, or in seconds; and of
        further coordinates, for which it has no place.

    Examples
    --------
    >>> da = xr.DataArray(np.zeros((4, 6)), dims=("y", "x"), name="cells")
    >>> ((data, options, kind),) = to_napari(da.omezarr.assign_grid(scale={"y": 0.5, "x": 0.5}, units="um"))
    >>> kind, options["name"], options["scale"], options["units"]
    ('image', 'cells', [0.5, 0.5], ['micrometer', 'micrometer'])
    """
    one = given(image, labels=labels)
    tell_lost("napari", [*beside(one), *uneven(one)], "the image itself still has it")
    return layers_of(one, one.channels, coordinate_system)


def layers_of(one: Given, channels: Sequence[Channel], coordinate_system: str | None = None) -> list[LayerTuple]:
    """Return the layers of an image whose channels look as is said.

    Parameters
    ----------
    one
        The image.
    channels
        One for each; where none has a window, napari chooses.
    coordinate_system
        As in `to_napari`.
    """
    if one.label is not None:
        return [_label_layer(one, one.name or "labels", one, coordinate_system)]
    of_labels = [_label_layer(part, name, one, coordinate_system) for name, part in one.labels.items()]
    return [_image_layer(one, channels, coordinate_system), *of_labels]


def uneven(one: Given) -> list[str]:
    """Return what of an image's coordinates napari has no place for, as it knows but a scale and a translation."""
    lost = []
    for name, dimension in one.dimensions[0].items():
        if not dimension.regular:
            step = f"{dimension.grid.scale:.6g}"
            lost.append(f"the irregular coordinate {name!r}, and places pixels by its mean step, {step}")
        elif dimension.kind == "datetime":
            lost.append(f"the dates of {name!r}, which become seconds since the first")
    return lost


def _image_layer(one: Given, channels: Sequence[Channel], system: str | None) -> LayerTuple:
    shown = with_colors(channels or [Channel()])
    of_each: dict[str, Any] = {
        "name": [channel.label or f"channel {index}" for index, channel in enumerate(shown)],
        "colormap": [f"#{channel.color}" for channel in shown],
        "visible": [channel.active is not False for channel in shown],
        "blending": "additive",
    }
    windows = [channel.window for channel in shown]
    if any(windows):
        of_each["contrast_limits"] = [window and [window.start, window.end] for window in windows]
    if one.channel is None:
        of_each = {key: value if isinstance(value, str) else value[0] for key, value in of_each.items()}
        of_each["name"] = shown[0].label or one.name or "image"
    else:
        of_each["channel_axis"] = one.base.dims.index(one.channel)
    return _data(one), {**_placed(one, one, system), **of_each}, "image"


def _label_layer(one: Given, name: str, image: Given, system: str | None) -> LayerTuple:
    options = {**_placed(one, image, system), "name": name}
    if one.label is not None and (colors := colors_of(one.label)):
        # of None are all others
        options["colormap"] = {0: "transparent", **colors, None: "gray"}
    return _data(one), options, "labels"


def _data(one: Given) -> Any:
    pixels = [lazy_pixels(level) for level in one.levels]
    return pixels if len(pixels) > 1 else pixels[0]


def _placed(one: Given, image: Given, system: str | None) -> dict[str, Any]:
    """Return where the pixels of level 0 lie, as napari takes it: by dimension, without that of the channels.

    In a system in which labels are not said to lie themselves they lie as their image does.
    """
    dims = [str(dim) for dim in one.base.dims if dim != one.channel]
    grids = one.grids()
    levels = []
    for index in range(1, len(one.levels)):
        factors, firsts = relative(one, index)
        levels.append({"factors": [factors[dim] for dim in dims], "firsts": [firsts[dim] for dim in dims]})
    own = {
        "dims": [str(dim) for dim in one.base.dims],
        "name": one.name,
        "levels": levels,
        "units": one.spelled,
        "attrs": dict(one.base.attrs),
    }
    leading = {}
    if system is not None:
        own["system"] = system
        leading["affine"] = _leading(one if system in affines(one)[0] else image, system, dims)
    return {
        "scale": [grids[dim].scale for dim in dims],
        "translate": [grids[dim].translation for dim in dims],
        "units": [_known(one.units.get(dim)) for dim in dims],
        "axis_labels": dims,
        "multiscale": len(one.levels) > 1,
        "metadata": {OWN: own},
        **leading,
    }


def _known(unit: str | None) -> str:
    """Return a unit under a name that napari, which asks pint, knows."""
    return unit if unit is not None and axis_type(unit) is not None else PIXEL


def _leading(one: Given, system: str, dims: Sequence[str]) -> NDArray[np.float64]:
    """Return what leads to a system as napari takes it: square, over all dimensions of a layer."""
    found, others = affines(one)
    if system not in found:
        where = ", ".join(map(repr, found)) or "none"
        why = "has other axes than the image" if system in others else "is none in which the image lies askew"
        raise CoordinateSystemError(
            f"the coordinate system {system!r} {why}, and napari shows it in those that have its axes: {where}; see it "
            f"there first, tree.omezarr.in_system({system!r}), or leave coordinate_system out"
        )
    matrix = np.eye(len(dims) + 1)
    places = [dims.index(dim) for dim in one.spatial]
    matrix[np.ix_(places, [*places, -1])] = found[system]
    return matrix


# --- and back ----------------------------------------------------------------------------------------------


def from_napari(layers: Any, *, dims: Sequence[str] | None = None) -> xr.DataArray | xr.DataTree:
    """Return layers of napari as an image, with labels if there are some among them.

    Parameters
    ----------
    layers
        A layer, a layer data tuple ``(data, options, kind)``, or several of either, such as ``viewer.layers``: image
        layers on the same pixels are the channels of one image.
    dims
        Names of the dimensions of a layer; left out, its axis labels, else the last of t, z, y and x.

    Returns
    -------
    xarray.DataArray or xarray.DataTree
        An array for one image, or labels, of a single scale; else a tree. Lazy.

    Raises
    ------
    InterchangeError
        If there are layers of other kinds, images on different pixels, or several that cannot be told apart.
    TransformError
        If a layer is rotated by angles in more than two dimensions, and is none of napari's own that knows its matrix.

    Warns
    -----
    InterchangeWarning
        Of colormaps that are no single colour.
    PlacementWarning
        Of levels that were not made here, where their sizes do not tell for sure where they lie.

    Notes
    -----
    Where a layer is rotated, sheared, mirrored or has an affine, its levels lie where its scale puts them, and have
    what napari calls the world as coordinates beside these (`assign_affine`). Levels lie where the tuple says that was
    made here; of others where blocks do whose factors their sizes tell.

    Examples
    --------
    >>> layer = (np.zeros((2, 4, 6)), {"channel_axis": 0, "name": ["DAPI", "GFP"], "scale": [0.5, 0.5]}, "image")
    >>> da = from_napari(layer)
    >>> da.dims, da.c.values.tolist(), da.omezarr.scale["x"]
    (('c', 'y', 'x'), ['DAPI', 'GFP'], 0.5)
    """
    found = [_Layer.of(one, dims) for one in _listed(layers)]
    images = [layer for layer in found if layer.kind == "image"]
    labels = [layer for layer in found if layer.kind == "labels"]
    if not images and not labels:
        raise InterchangeError("there are no layers; give some, such as from_napari(viewer.layers)")
    if not images:
        if len(labels) > 1:
            raise InterchangeError(
                f"there are {len(labels)} layers of labels and no image; take one: from_napari(layers[0])"
            )
        levels = labels[0].levels()
        if not labels[0].many:
            return as_labels(levels[0])
        return label_tree(levels, labels[0].name or "labels", labels[0].colors())
    levels = _joined(images)
    if not labels and not images[0].many:
        return levels[0]
    return image_tree(levels, {name: label_tree(one.levels(), name, one.colors()) for name, one in _by_name(labels)})


def _by_name(labels: Iterable[_Layer]) -> list[tuple[str, _Layer]]:
    named = [(layer.name or "labels", layer) for layer in labels]
    names = [name for name, _ in named]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InterchangeError(
            f"two layers of labels are called {twice[0]!r}; rename one: layer.name = {twice[0] + ' 2'!r}"
        )
    return named


def _listed(layers: Any) -> list[Any]:
    """Return layers as a list: a tuple of data, options and kind is one."""
    if hasattr(layers, "as_layer_data_tuple") or _is_tuple(layers):
        return [layers]
    try:
        return [*layers]
    except TypeError:
        raise InterchangeError(
            f"{type(layers).__name__} is no layer of napari; give one, or a tuple of data, options and kind: "
            'from_napari((data, {"scale": [0.5, 0.5]}, "image"))'
        ) from None


def _is_tuple(layer: Any) -> bool:
    return isinstance(layer, tuple) and 1 < len(layer) < 4 and isinstance(layer[1], Mapping)


@dataclass(frozen=True)
class _Layer:
    """A layer, or what it is made of.

    Parameters
    ----------
    data
        Of each level, finest first.
    options
        As napari's layers take them.
    kind
        ``"image"`` or ``"labels"``.
    many
        Whether it is of several scales.
    dims
        Of the data.
    channel
        That of channels or colours.
    """

    data: tuple[Any, ...]
    options: Mapping[str, Any]
    kind: str
    many: bool
    dims: tuple[str, ...]
    channel: str | None = None

    @classmethod
    def of(cls, layer: Any, dims: Sequence[str] | None) -> _Layer:
        """Return a layer of napari, or a tuple, as one."""
        parts = layer.as_layer_data_tuple() if hasattr(layer, "as_layer_data_tuple") else layer
        if not _is_tuple(parts):
            raise InterchangeError(
                f"{type(layer).__name__} is no layer of napari; give one, or a tuple of data, options and kind: "
                'from_napari((data, {"scale": [0.5, 0.5]}, "image"))'
            )
        data, options, *kinds = parts
        kind = str(kinds[0]).lower() if kinds else "image"
        if kind not in ("image", "labels"):
            raise InterchangeError(
                f"a layer of {kind} holds no pixels of an image; leave it out: "
                "from_napari([layer for layer in viewer.layers if layer._type_string in ('image', 'labels')])"
            )
        many = options.get("multiscale")
        if many is None:
            many = isinstance(data, list | tuple)
        levels = tuple(data) if many else (data,)
        axis, rgb = options.get("channel_axis"), kind == "image" and bool(options.get("rgb"))
        bare = _names(levels[0].ndim - (axis is not None) - rgb, options, dims)
        if axis is None and not rgb:
            return cls(levels, options, kind, bool(many), bare)
        channel, _ = _channel_place(_own(options), bare)
        place = len(bare) if rgb else axis % levels[0].ndim
        return cls(levels, options, kind, bool(many), (*bare[:place], channel, *bare[place:]), channel)

    @property
    def own(self) -> Mapping[str, Any]:
        """What was kept in its metadata when it was made here."""
        return _own(self.options)

    @property
    def name(self) -> str | None:
        """Of the layer; None where there is none, or several."""
        name = self.options.get("name")
        return name if isinstance(name, str) and name else None

    @property
    def bare(self) -> tuple[str, ...]:
        """The dimensions that a layer lies along."""
        return tuple(dim for dim in self.dims if dim != self.channel)

    def levels(self) -> list[xr.DataArray]:
        """Return its levels with their coordinates."""
        grids, leading = self._place()
        relative = [dict.fromkeys(self.bare, (1.0, 0.0)), *(self._of_levels() if len(self.data) > 1 else ())]
        units = {dim: unit for dim, unit in zip(self.bare, self._units(), strict=True) if unit}
        made = []
        for index, data in enumerate(self.data):
            own = _grids(relative[index], grids, dict(zip(self.dims, data.shape, strict=True)))
            level = placed(data, self.dims, own, units=units, name=self.own.get("name") or self.name)
            level.attrs = dict(self.own.get("attrs", {}))
            if leading is not None:
                space = [dim for dim in self.bare if dim not in TIMES]
                level = askew(level, self._of_space(leading, space), str(self.own.get("system", "world")), space)
            made.append(level)
        return made

    def _of_space(self, matrix: Affine, space: Sequence[str]) -> Affine:
        """Return the part of a matrix that leads from space to space, if it does nothing else."""
        rows = [self.bare.index(dim) for dim in space]
        others = [number for number in range(len(self.bare)) if number not in rows]
        rest = np.eye(len(self.bare), len(self.bare) + 1)
        if (matrix[others] != rest[others]).any() or matrix[np.ix_(rows, others)].any():
            raise CoordinateSystemError(
                f"the layer {self.name!r} is turned in time as well as in space, and an image lies askew in space "
                "alone; give it another transformation: layer.affine = …"
            )
        return matrix[np.ix_(rows, [*rows, -1])]

    def _units(self) -> list[str | None]:
        given = self.options.get("units")
        listed = [given] * len(self.bare) if given is None or isinstance(given, str) else [*given]
        named = [None if unit is None or str(unit) == PIXEL else str(unit) for unit in listed]
        before = self.own.get("units", {})
        spelled = [before.get(dim) for dim in self.bare]
        return [own if unit is None or same_unit(own, unit) else unit for own, unit in zip(spelled, named, strict=True)]

    def _place(self) -> tuple[dict[str, tuple[float, float]], Affine | None]:
        """Return scale and translation by dimension, and what leads on from there, if something does."""
        count = len(self.bare)
        scale = self._vector("scale", 1.0)
        translate = self._vector("translate", 0.0)
        turning = _turning(self.options, count)
        further = _affine(self.options.get("affine"), count)
        plain = {dim: (scale[n], translate[n]) for n, dim in enumerate(self.bare)}
        if turning is None and (scale > 0).all():
            if further is None:
                return plain, None
            if is_straight(further[:, :-1]) and self.own.get("system") is None:
                both = {
                    dim: (scale[n] * further[n, n], translate[n] * further[n, n] + further[n, -1])
                    for n, dim in enumerate(self.bare)
                }
                return both, None
            return self._moved_in_time(plain, further)
        # turned about where the data begin, and moved afterwards
        linear = np.diag(np.sign(scale)) if turning is None else turning @ np.diag(np.sign(scale))
        matrix = np.column_stack([linear, translate])
        if further is not None:
            matrix = np.column_stack(
                [further[:, :-1] @ matrix[:, :-1], further[:, :-1] @ matrix[:, -1] + further[:, -1]]
            )
        if is_straight(matrix[:, :-1]):
            return {dim: (abs(scale[n]) * matrix[n, n], float(matrix[n, -1])) for n, dim in enumerate(self.bare)}, None
        return self._moved_in_time({dim: (abs(scale[n]), 0.0) for n, dim in enumerate(self.bare)}, matrix)

    def _moved_in_time(
        self, place: dict[str, tuple[float, float]], matrix: Affine
    ) -> tuple[dict[str, tuple[float, float]], Affine]:
        """Return the same, with what a matrix adds to time said by the grid."""
        matrix = matrix.copy()
        for number, dim in enumerate(self.bare):
            if dim in TIMES:
                scale, translation = place[dim]
                place = {**place, dim: (scale, translation + float(matrix[number, -1]))}
                matrix[number, -1] = 0.0
        return place, matrix

    def _vector(self, option: str, default: float) -> NDArray[np.float64]:
        """Return what is said by dimension; napari takes what is missing to be of the first dimensions."""
        given = self.options.get(option)
        said = [] if given is None else [float(value) for value in np.atleast_1d(np.asarray(given, dtype=float))]
        count = len(self.bare)
        return np.array([*[default] * (count - len(said)), *said][-count:])

    def _of_levels(self) -> list[dict[str, tuple[float, float]]]:
        """Return the spacing of each coarser level and the place of its pixel 0, in pixels of level 0."""
        known = self.own.get("levels", [])
        if len(known) == len(self.data) - 1 and all(len(one["factors"]) == len(self.bare) for one in known):
            return [dict(zip(self.bare, zip(one["factors"], one["firsts"], strict=True), strict=True)) for one in known]
        counted = Level("", dict.fromkeys(self.bare, 1.0), dict.fromkeys(self.bare, 0.0))
        axes = tuple(Axis(dim) for dim in self.bare)
        unplaced = Multiscale(self.name, axes, (counted,) * len(self.data), placed=False)
        sizes = [dict(zip(self.dims, data.shape, strict=True)) for data in self.data]
        image, doubts = place(Image((unplaced,)), [{dim: of[dim] for dim in self.bare} for of in sizes])
        if doubts:
            warn(
                f"the layer {self.name!r} does not say where its coarser levels lie, and not all of their sizes tell "
                f"it: {'; '.join(doubts)}. Level 0 is not in question: write it anew to have levels that are not "
                "either: tree.omezarr.level(0).omezarr.to_zarr(…)",
                PlacementWarning,
            )
        return [
            {dim: (level.scale[dim], level.translation[dim]) for dim in self.bare}
            for level in image.multiscale.levels[1:]
        ]

    def colors(self) -> dict[int, Any]:
        """Return the colours of labels that are said one by one."""
        given = self.options.get("colormap")
        listed = getattr(given, "color_dict", given)
        if not isinstance(listed, Mapping) or ("colors" in listed and "name" in listed):
            listed = listed.get("color_dict", {}) if isinstance(listed, Mapping) else {}
        found = {}
        for value, color in listed.items():
            if value is not None and int(value) != 0:
                found[int(value)] = color if isinstance(color, str) else tuple(float(part) for part in color)
        return found


def _grids(
    relative: Mapping[str, tuple[float, float]], base: Mapping[str, tuple[float, float]], sizes: Mapping[str, int]
) -> dict[str, Grid]:
    """Return where the pixels of a level lie: by its spacing and the place of its pixel 0 in pixels of level 0."""
    made = {}
    for dim, (scale, translation) in base.items():
        (factor, first), grid = relative[dim], Grid(float(scale), float(translation), sizes[dim])
        made[dim] = Grid(grid.scale * factor, grid.position(first) if first else grid.translation, grid.size)
    return made


def _own(options: Mapping[str, Any]) -> Mapping[str, Any]:
    found = (options.get("metadata") or {}).get(OWN)
    return found if isinstance(found, Mapping) else {}


def _names(count: int, options: Mapping[str, Any], asked: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the dimensions that a layer lies along: those asked for, its labels, or the usual ones."""
    said = [str(label) for label in options.get("axis_labels") or ()]
    # napari's own labels count from the last: "-2", "-1"
    named = len(said) == count and all(label and not label.lstrip("-").isdecimal() for label in said)
    names = [*asked] if asked is not None else said if named else [*DIMS[-count:]]
    if len(names) != count or len(set(names)) != count:
        raise InterchangeError(
            f"the layer has {count} dimensions, which cannot be called {tuple(names)}; name each: "
            f"from_napari(…, dims={['channel', *DIMS][-count:]})"
        )
    return tuple(names)


def _channel_place(own: Mapping[str, Any], bare: Sequence[str]) -> tuple[str, int]:
    """Return what the dimension of channels was called, and where it stood; else as in files, before space."""
    known = [str(dim) for dim in own.get("dims", [])]
    others = [dim for dim in known if dim not in bare]
    if len(others) == 1 and len(known) == len(bare) + 1:
        return others[0], known.index(others[0])
    return "c", 1 if bare[0] in TIMES else 0


def _turning(options: Mapping[str, Any], count: int) -> NDArray[np.float64] | None:
    """Return what rotates and shears a layer, before it is moved; None where nothing does."""
    rotate, shear = options.get("rotate"), options.get("shear")
    turned = np.eye(count)
    if rotate is not None:
        turned = _rotation(rotate, count)
    if shear is not None:
        given = np.asarray(shear, dtype=float)
        if given.ndim == 2:
            by = given
        else:
            by = np.eye(count)
            upper = np.triu_indices(count, k=1)
            by[upper] = given if given.size == len(upper[0]) else np.resize(given, len(upper[0]))
        turned = turned @ by
    return None if (turned == np.eye(count)).all() else turned


def _rotation(given: Any, count: int) -> NDArray[np.float64]:
    angles = np.asarray(given, dtype=float)
    matrix = np.eye(count)
    if angles.ndim == 2:
        matrix[-len(angles) :, -len(angles) :] = angles
    elif angles.size == 1:
        (radians,) = np.radians(angles.ravel())
        matrix[-2:, -2:] = [[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]]
    else:
        raise TransformError(
            f"rotate={given!r} are angles about several axes; give the matrix instead, or the layer itself: "
            "from_napari(napari.layers.Layer.create(data, options, kind))"
        )
    return matrix


def _affine(given: Any, count: int) -> Affine | None:
    """Return what a layer's affine does, after all else; None where it does nothing."""
    if given is None:
        return None
    matrix = np.asarray(getattr(given, "affine_matrix", given), dtype=float)
    if matrix.shape == (count + 1, count + 1):
        matrix = matrix[:-1]
    if matrix.shape == (count, count):
        matrix = np.column_stack([matrix, np.zeros(count)])
    if matrix.shape != (count, count + 1):
        raise TransformError(
            f"affine is of shape {matrix.shape}, and the layer has {count} dimensions; give one of shape "
            f"{(count + 1, count + 1)}"
        )
    return None if (matrix == np.eye(count, count + 1)).all() else matrix


# --- channels ----------------------------------------------------------------------------------------------


def _joined(images: Sequence[_Layer]) -> list[xr.DataArray]:
    """Return the levels of one image, of which several layers are the channels."""
    first = images[0]
    if len(images) == 1 and first.channel is not None:
        return _with_channels(first)
    if len(images) == 1 and len(first.own.get("dims", [])) <= len(first.bare):
        return first.levels()
    for layer in images[1:]:
        if layer.channel is not None or first.channel is not None:
            raise InterchangeError(
                f"the layer {(layer if layer.channel else first).name!r} has several channels or colours, and is an "
                "image of its own; give each by itself: from_napari(layer)"
            )
        if [data.shape for data in layer.data] != [data.shape for data in first.data] or not _alike(layer, first):
            raise InterchangeError(
                f"the layers {first.name!r} and {layer.name!r} do not lie on the same pixels; give those of one image: "
                "from_napari([layer, …])"
            )
        if [data.dtype for data in layer.data] != [data.dtype for data in first.data]:
            kinds = f"{first.data[0].dtype} and {layer.data[0].dtype}"
            raise InterchangeError(
                f"the layers {first.name!r} and {layer.name!r} have pixels of {kinds}, and the channels of an image "
                "are of one kind; convert one: layer.data = layer.data.astype(…)"
            )
    import dask.array

    channel, place = _channel_place(first.own, first.bare)
    stacks = tuple(
        dask.array.stack([dask.array.asarray(data) for data in of_level], axis=place)
        for of_level in zip(*(layer.data for layer in images), strict=True)
    )
    dims = (*first.bare[:place], channel, *first.bare[place:])
    whole = replace(first, data=stacks, dims=dims, channel=channel, options={**first.options, "name": None})
    channels = [_channel(layer.options) for layer in images]
    return [assign_channels(level, channels, channel) for level in whole.levels()]


def _alike(one: _Layer, other: _Layer) -> bool:
    """Whether two layers lie in one place."""
    (grids, leading), (others, further) = one._place(), other._place()
    same = leading is None if further is None else leading is not None and bool((leading == further).all())
    return same and grids == others and one.bare == other.bare and one._units() == other._units()


def _with_channels(layer: _Layer) -> list[xr.DataArray]:
    """Return levels of a layer that has several channels, or colours."""
    levels, dim = layer.levels(), str(layer.channel)
    count = levels[0].sizes[dim]
    if not layer.options.get("rgb"):
        options = [
            {key: _nth(key, value, number, count) for key, value in layer.options.items()} for number in range(count)
        ]
        return [assign_channels(level, [*map(_channel, options)], dim) for level in levels]
    if levels[0].dtype == np.uint8 and count == len(RGB):
        return [assign_channels(level, dim=dim, rgb=True) for level in levels]
    named = [*(Channel(label, color) for label, color in RGB), Channel("alpha")][:count]
    return [assign_channels(level, named, dim) for level in levels]


OF_EACH = ("name", "colormap", "contrast_limits", "visible")
"""Options that a layer with a channel axis has one by one."""


def _nth(key: str, value: Any, number: int, count: int) -> Any:
    """Return an option of one of several channels."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if key not in OF_EACH or not isinstance(value, list | tuple) or len(value) != count:
        return value
    pair = key == "contrast_limits" and count == 2 and not isinstance(value[0], list | tuple | np.ndarray | None)
    return value if pair else value[number]


def _channel(options: Mapping[str, Any]) -> Channel:
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
