"""A layer of napari, or the tuple that makes one: its pixels, and where they lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr.errors import CoordinateSystemError, DtypeError, InterchangeError, PlacementWarning, warn
from xomezarr.extents import place
from xomezarr.grid import Grid
from xomezarr.interchange.napari.turning import affine_of, turning_of
from xomezarr.interchange.parts import Affine, askew, is_straight, placed
from xomezarr.model import Axis, Image, Level, Multiscale
from xomezarr.units import same_unit

__all__ = ["OWN", "PIXEL", "Layer", "channel_place", "is_tuple"]

OWN = "xomezarr"
"""Key of the metadata of a layer under which stands what napari has no place for."""

DIMS = ("t", "z", "y", "x")
"""What dimensions are called that have no names: the last of these."""

TIMES = ("t", "time")
"""What dimensions of time are called."""

PIXEL = "pixel"
"""The unit of what has none."""

NUMBERS = "biuf"
"""Kinds of dtypes that pixels have."""


def is_tuple(layer: Any) -> bool:
    """Whether it is one layer: a tuple of data, options and perhaps their kind."""
    return isinstance(layer, tuple) and 1 < len(layer) < 4 and isinstance(layer[1], Mapping)


@dataclass(frozen=True)
class Layer:
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
    def of(cls, layer: Any, dims: Sequence[str] | None) -> Layer:
        """Return a layer of napari, or a tuple, as one."""
        parts = layer.as_layer_data_tuple() if hasattr(layer, "as_layer_data_tuple") else layer
        if not is_tuple(parts):
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
        _check(levels, axis, options)
        bare = _names(levels[0].ndim - (axis is not None) - rgb, options, dims)
        if axis is None and not rgb:
            return cls(levels, options, kind, bool(many), bare)
        channel, _ = channel_place(_own(options), bare)
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
    def called(self) -> str | None:
        """What the image is called: as it was here, unless the layer was renamed since."""
        if "name" not in self.own or (self.name is not None and self.name != self.own.get("layer", self.name)):
            return self.name
        name = self.own["name"]
        return None if name is None else str(name)

    @property
    def bare(self) -> tuple[str, ...]:
        """The dimensions that a layer lies along."""
        return tuple(dim for dim in self.dims if dim != self.channel)

    def levels(self) -> list[xr.DataArray]:
        """Return its levels with their coordinates."""
        grids, leading = self.place()
        relative = [dict.fromkeys(self.bare, (1.0, 0.0)), *(self._of_levels() if len(self.data) > 1 else ())]
        units = {dim: unit for dim, unit in zip(self.bare, self.units(), strict=True) if unit}
        made = []
        for index, data in enumerate(self.data):
            own = _grids(relative[index], grids, dict(zip(self.dims, data.shape, strict=True)))
            level = placed(data, self.dims, own, units=units, name=self.called)
            level.attrs = dict(self.own.get("attrs", {}))
            for dim, orientation in self.own.get("orientations", {}).items():
                if dim in own:
                    level.coords[dim].attrs["orientation"] = orientation
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

    def units(self) -> list[str | None]:
        """Return the units of its dimensions, as they were spelled where they are still the same."""
        given = self.options.get("units")
        listed = [given] * len(self.bare) if given is None or isinstance(given, str) else [*given]
        if len(listed) != len(self.bare):
            raise InterchangeError(
                f"the layer {self.name!r} has {len(listed)} units, and the dimensions {', '.join(self.bare)}; say one "
                f"of each: units={['micrometer'] * len(self.bare)}"
            )
        named = [None if unit is None or str(unit) == PIXEL else str(unit) for unit in listed]
        before = self.own.get("units", {})
        spelled = [before.get(dim) for dim in self.bare]
        return [own if unit is None or same_unit(own, unit) else unit for own, unit in zip(spelled, named, strict=True)]

    def place(self) -> tuple[dict[str, tuple[float, float]], Affine | None]:
        """Return scale and translation by dimension, and what leads on from there, if something does."""
        count = len(self.bare)
        scale = self._vector("scale", 1.0)
        translate = self._vector("translate", 0.0)
        turning = turning_of(self.options, count)
        further = affine_of(self.options.get("affine"), count)
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
        if len(said) > count:
            raise InterchangeError(
                f"the layer {self.name!r} has {len(said)} numbers in {option}, and the dimensions "
                f"{', '.join(self.bare)}; say one of each: {option}={said[-count:]}"
            )
        return np.array([default] * (count - len(said)) + said)

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


def _check(levels: Sequence[Any], axis: Any, options: Mapping[str, Any]) -> None:
    """Refuse what are no pixels of one image, and a dimension of channels, or colours, that they have not."""
    name = options.get("name")
    if not levels or any(not hasattr(data, "ndim") or not hasattr(data, "shape") for data in levels):
        raise InterchangeError(
            f"the layer {name!r} has no array of pixels; give one, or a list of one for each level: "
            'from_napari((np.zeros((4, 6)), {"scale": [0.5, 0.5]}, "image"))'
        )
    if any(np.dtype(data.dtype).kind not in NUMBERS for data in levels):
        raise DtypeError(
            f"the pixels of the layer {name!r} are {levels[0].dtype}, and those of images are numbers; convert them: "
            "layer.data = layer.data.astype('float32')"
        )
    count = levels[0].ndim
    if any(data.ndim != count for data in levels):
        raise InterchangeError(
            f"the levels of the layer {name!r} have {' and '.join(str(data.ndim) for data in levels)} dimensions; give "
            "levels of one image, the finest first"
        )
    if options.get("rgb") and levels[0].shape[-1] not in (3, 4):
        raise InterchangeError(
            f"the layer {name!r} is one of colours, and its last dimension, of {levels[0].shape[-1]}, is none of red, "
            "green, blue and alpha; say that it is not: rgb=False"
        )
    if axis is not None and options.get("rgb"):
        raise InterchangeError(
            f"the layer {name!r} has channels, and in each red, green and blue, and an image has one dimension of "
            'these; give one of its channels: from_napari((data[0], {"rgb": True}, "image"))'
        )
    if axis is not None and not (isinstance(axis, Integral) and -count <= int(axis) < count):
        raise InterchangeError(
            f"channel_axis={axis!r} is none of the {count} dimensions of the layer {name!r}, whose shape is "
            f"{tuple(levels[0].shape)}; give one of them: channel_axis=0"
        )


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
        guess = [*(f"axis{number}" for number in range(count - len(DIMS))), *DIMS][-count:]
        raise InterchangeError(
            f"the layer has {count} dimensions, which cannot be called {tuple(names)}; name each: "
            f"from_napari(…, dims={guess})"
        )
    return tuple(names)


def channel_place(own: Mapping[str, Any], bare: Sequence[str]) -> tuple[str, int]:
    """Return what the dimension of channels was called, and where it stood; else as in files, before space."""
    known = [str(dim) for dim in own.get("dims", [])]
    others = [dim for dim in known if dim not in bare]
    if len(others) == 1 and len(known) == len(bare) + 1:
        return others[0], known.index(others[0])
    return "c", 1 if bare[0] in TIMES else 0
