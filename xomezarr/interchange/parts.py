"""What other libraries take of an image, and the images and trees that are made of what they hold.

The libraries differ in where they say that pixels lie. Each module turns that into grids, or grids into that; all that
is the same for all of them is here.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr import spec
from xomezarr.channels import channel_coordinates
from xomezarr.coords import Dimension, assign_grid, dequantify
from xomezarr.errors import (
    AxisError,
    InterchangeError,
    InterchangeWarning,
    IrregularCoordinateError,
    MissingDependencyError,
    OmeZarrError,
    raise_all,
    warn,
)
from xomezarr.grid import Grid
from xomezarr.indexes import kept_of, skews_of
from xomezarr.indexes import systems_of as matrices_of
from xomezarr.labels import LABELED, Labels, check_label_dtype, described
from xomezarr.model import Channel, Image, LabelImage, Level, Multiscale
from xomezarr.planning import describe_levels, is_token, rendering, stored_metadata
from xomezarr.pyramid import attach, to_tree
from xomezarr.systems import assign_affine
from xomezarr.tree import labels as labels_of
from xomezarr.tree import levels as levels_of

__all__ = [
    "Affine",
    "Given",
    "affines",
    "aligned",
    "as_labels",
    "askew",
    "beside",
    "check_names",
    "check_regular",
    "dates",
    "given",
    "image_tree",
    "imported",
    "in_order",
    "is_straight",
    "label_tree",
    "lazy_pixels",
    "on_grid",
    "only",
    "placed",
    "relative",
    "scale_name",
    "scales",
    "tell_lost",
]

type Affine = NDArray[np.float64]
"""Shape (n, n + 1): from n coordinates to n others, the last column added."""

NEAR = 1e-9
"""Parts of a pixel, and of what a matrix has off its diagonal, that are but the rounding of a product."""

ROUNDING = 4
"""Units in the last place by which sums of three numbers may be off."""

DOING = "the image cannot be given to another library"

SCALE = "scale"
"""What the nodes of levels begin with in trees of other libraries; their number follows."""

NAMES: Mapping[str, str] = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
"""The dimensions that images of most libraries have, in the order of the file, and their types."""


@dataclass(frozen=True)
class Given:
    """An image, or labels, as it is given to another library.

    Parameters
    ----------
    levels
        Finest first.
    dimensions
        For each level, by name in the order of the file.
    channels
        What is said of each; empty where there are none.
    label
        What makes it one of labels; None for an image.
    labels
        Those of the image, by name.
    """

    levels: tuple[xr.DataArray, ...]
    dimensions: tuple[Mapping[str, Dimension], ...]
    channels: tuple[Channel, ...] = ()
    label: LabelImage | None = None
    labels: Mapping[str, Given] = field(default_factory=dict)

    @property
    def base(self) -> xr.DataArray:
        """Level 0."""
        return self.levels[0]

    @property
    def name(self) -> str | None:
        """Name of the image; None where it has none."""
        return None if self.base.name is None or is_token(self.base) else str(self.base.name)

    @property
    def channel(self) -> str | None:
        """The channel dimension."""
        return next((name for name, one in self.dimensions[0].items() if one.axis.type == "channel"), None)

    @property
    def spatial(self) -> tuple[str, ...]:
        """The dimensions of space, in the order of the file."""
        return tuple(name for name, one in self.dimensions[0].items() if one.axis.type == "space")

    @property
    def units(self) -> dict[str, str]:
        """The units of dimensions that have one, by their OME names."""
        return {name: one.axis.unit for name, one in self.dimensions[0].items() if one.axis.unit}

    @property
    def spelled(self) -> dict[str, str]:
        """The same as the image has them."""
        held = {name: self.base.coords[name].attrs.get("units") for name in self.units if name in self.base.coords}
        return {name: str(held.get(name) or unit) for name, unit in self.units.items()}

    @property
    def orientations(self) -> dict[str, str]:
        """Which way dimensions run through a body, of those that say it."""
        return {name: of.axis.orientation for name, of in self.dimensions[0].items() if of.axis.orientation is not None}

    def grids(self, level: int = 0) -> dict[str, Grid]:
        """Return where the pixels of a level lie, by dimension in the order of the file."""
        return {name: one.grid for name, one in self.dimensions[level].items()}


def given(image: Any, *, name: str | None = None, labels: bool = True, as_labels: bool | None = None) -> Given:
    """Return an array, or the tree of an image or of labels, as it is given to another library; nothing is read.

    Irregular coordinates have their mean step; `check_regular` refuses them.

    Parameters
    ----------
    image
        DataArray or DataTree.
    name
        What it is called there; left out, its own name.
    labels
        Whether the labels of a tree are given too.
    as_labels
        Whether an array is one of labels; left out, it is if it was read as one. A tree says that itself.

    Raises
    ------
    InterchangeError
        If ``as_labels`` says otherwise than a tree.
    OmeZarrError
        If it is neither, or its dimensions and coordinates do not make an image.
    """
    one = _found(image, labels=labels, as_labels=as_labels)
    if as_labels is not None and as_labels != (one.label is not None):
        raise InterchangeError(
            f"as_labels={as_labels} is for arrays, and the tree is one of {'an image' if as_labels else 'labels'}; "
            f"give a level of it: level(0).omezarr.to_…(as_labels={as_labels})"
        )
    return one if name is None else replace(one, levels=tuple(level.rename(name) for level in one.levels))


def _found(image: Any, *, labels: bool, as_labels: bool | None) -> Given:
    if isinstance(image, xr.DataArray):
        da = dequantify(image)
        label = LabelImage() if (da.encoding.get(LABELED) if as_labels is None else as_labels) else None
        dimensions = describe_levels([da], None, None, None, "keep", [], DOING)
        return _given([da], dimensions, () if label else rendering(da, None), label, {})
    if not isinstance(image, xr.DataTree):
        raise OmeZarrError(
            f"{type(image).__name__} is neither a DataArray nor a DataTree; make one: "
            "xr.DataArray(image, dims=('y', 'x'))"
        )
    levels = [dequantify(level) for level in levels_of(image)]
    known = stored_metadata(image)
    multiscale = known.multiscale if known is not None else None
    method = multiscale.type if multiscale is not None else image.encoding.get("method")
    dimensions = describe_levels(levels, multiscale, method, None, "keep", [], DOING)
    if known is not None and known.label is not None:
        return _given(levels, dimensions, (), known.label, {})
    own = {name: _as_label(given(node)) for name, node in (labels_of(image) if labels else {}).items()}
    return _given(levels, dimensions, rendering(levels[0], known), None, own)


def _given(
    levels: Sequence[xr.DataArray],
    dimensions: Sequence[Sequence[Dimension]],
    channels: tuple[Channel, ...],
    label: LabelImage | None,
    labels: Mapping[str, Given],
) -> Given:
    by_name = tuple({one.name: one for one in of_level} for of_level in dimensions)
    return Given(tuple(levels), by_name, channels, label, labels)


def _as_label(one: Given) -> Given:
    return one if one.label is not None else Given(one.levels, one.dimensions, (), LabelImage())


def check_names(one: Given, allowed: Mapping[str, str], library: str) -> None:
    """Refuse dimensions that another library has no name for.

    Parameters
    ----------
    one
        The image.
    allowed
        The names that it has, each with the type of its axis.
    library
        What it is called.

    Raises
    ------
    AxisError
        If there are such dimensions; the message names the call that mends it.
    """
    unfit = {name: one.axis.type for name, one in one.dimensions[0].items() if allowed.get(name) != one.axis.type}
    fitting: dict[str, str] = {}
    for kind in {*unfit.values()}:
        names = [name for name, own in unfit.items() if own == kind]
        free = [name for name, own in allowed.items() if own == kind and name not in one.dimensions[0]]
        # of z, y and x, two are y and x
        fitting |= dict(zip(names, free[-len(names) :], strict=False))
    faults: list[OmeZarrError] = []
    for name, kind in unfit.items():
        cure = f"rename it: rename({{{name!r}: {fitting[name]!r}}})" if name in fitting else f"take one: isel({name}=0)"
        faults.append(
            AxisError(
                f"{library} has no place for dimension {name!r}, of {kind}; its dimensions are "
                f"{', '.join(allowed)}: {cure}"
            )
        )
    raise_all(faults, f"the image cannot be given to {library}")


def check_regular(one: Given, library: str, *, types: Collection[str] = ("space", "time")) -> None:
    """Refuse irregular coordinates, where another library places pixels by a scale and a translation.

    Parameters
    ----------
    one
        The image.
    library
        What the other one is called.
    types
        Of the axes that it places so.

    Raises
    ------
    IrregularCoordinateError
        If there are some.
    """
    faults: list[OmeZarrError] = [
        IrregularCoordinateError(
            f"the coordinate {name!r} is irregular, and {library} places pixels by a scale and a translation; give it "
            f"a regular grid, such as that of its mean step: assign_grid(scale={{{name!r}: "
            f"{dimension.grid.scale:.6g}}})"
        )
        for name, dimension in one.dimensions[0].items()
        if not dimension.regular and dimension.axis.type in types
    ]
    raise_all(faults, f"the image cannot be given to {library}")


def lazy_pixels(level: xr.DataArray) -> Any:
    """Return the pixels of a level as a dask array, in the chunks of the store that it was opened from; none is read.

    Pixels in memory are one array still, in chunks of dask's choice.
    """
    data = level.variable._data
    if hasattr(data, "dask"):
        return data
    preferred: Mapping[str, int] = level.encoding.get("preferred_chunks", {})
    chunks: Any = {str(dim): preferred.get(str(dim), size) for dim, size in level.sizes.items()}
    return level.variable.chunk(chunks if preferred else "auto").data


def in_order(level: xr.DataArray, dims: Sequence[str]) -> xr.DataArray:
    """Return a level with lazy pixels, in an order of its dimensions."""
    lazy = level.copy(data=lazy_pixels(level))
    return lazy if level.dims == tuple(dims) else lazy.transpose(*dims)


def imported(package: str, made: str) -> Any:
    """Return an optional package, or say how to install it.

    Parameters
    ----------
    package
        As it is imported.
    made
        What is made with it.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        name = package.partition(".")[0].replace("_", "-")
        raise MissingDependencyError(
            f"{name}, of which {made} is made, is not installed ({error}); install it: pip install {name}"
        ) from None


def relative(one: Given, level: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return how a level lies to level 0: its spacing and the place of its pixel 0, in pixels of level 0.

    Both are made whole, or half, where rounding alone stands between.
    """
    base = one.grids()
    factors, firsts = {}, {}
    for name, grid in one.grids(level).items():
        factors[name] = _near(grid.scale / base[name].scale)
        firsts[name] = _near(base[name].index(grid.translation))
    return factors, firsts


def _near(value: float) -> float:
    half = round(2 * value) / 2
    return half if abs(value - half) <= NEAR * max(1.0, abs(value)) else value


def affines(one: Given) -> tuple[dict[str, Affine], list[str]]:
    """Return the systems in which an image lies askew, by name: what leads there from its dimensions of space.

    Returns
    -------
    affines : dict
        Matrices whose rows and columns are those of `Given.spatial`.
    others : list of str
        Names of systems that have other axes than these.
    """
    if not skews_of(one.base):
        return {}, []
    axes = [dimension.axis for dimension in one.dimensions[0].values()]
    columns = [*(list(one.dimensions[0]).index(name) for name in one.spatial), -1]
    found, others = {}, []
    for system, matrix in matrices_of(one.base, axes, one.grids()):
        names = [axis.name for axis in system.axes]
        if set(names) != set(one.dimensions[0]):
            others.append(system.name)
            continue
        rows = [names.index(name) for name in one.spatial]
        found[system.name] = np.asarray(matrix[np.ix_(rows, columns)], dtype=np.float64)
    return found, others


def beside(one: Given) -> list[str]:
    """Return what an image has that libraries of bare arrays have no place for: coordinates beside those of axes."""
    channels = channel_coordinates(map(str, one.base.dims))
    found = [
        str(name)
        for name in one.base.coords
        if name not in one.base.dims and name not in channels and name not in kept_of(one.base)
    ]
    return [f"the coordinates {', '.join(map(repr, found))}"] if found else []


def dates(one: Given) -> list[str]:
    """Return what becomes of times that are no numbers, in libraries that have but these: dates, and durations."""
    told = {
        "datetime": "the dates of {!r}, which become seconds since the first",
        "timedelta": "the timedelta64 of {!r}, which become seconds",
    }
    return [told[of.kind].format(name) for name, of in one.dimensions[0].items() if of.regular and of.kind in told]


def tell_lost(library: str, lost: Sequence[str], cure: str) -> None:
    """Warn once of all that another library has no place for.

    Parameters
    ----------
    library
        What it is called.
    lost
        What it does not hold; nothing is said where this is empty.
    cure
        The call that keeps it.
    """
    if lost:
        warn(f"{library} has no place for {'; '.join(lost)}; {cure}", InterchangeWarning)


# --- and back ----------------------------------------------------------------------------------------------


def scale_name(level: int) -> str:
    """Return what the node of a level is called."""
    return f"{SCALE}{level}"


def scales(tree: Any) -> list[xr.DataTree]:
    """Return the nodes of levels that hold pixels, by their numbers, whatever else is there; none if one is missing."""
    if not isinstance(tree, xr.DataTree):
        return []
    held = {name: node for name, node in tree.children.items() if len(node.data_vars)}
    known = [name for name in held if name.removeprefix(SCALE).isdecimal() and name.startswith(SCALE)]
    wanted = [scale_name(number) for number in range(len(known))]
    return [held[name] for name in wanted] if {*wanted} == {*known} else []


def on_grid(scale: float, translation: float, size: int) -> Grid:
    """Return the grid that is meant where a translation is the sum of others: that of the fewest digits nearby.

    >>> on_grid(0.325, (-20 - 0.325 / 2) + 0.325 / 2, 4)
    Grid(scale=0.325, translation=-20.0, size=4)
    """
    noise = ROUNDING * float(np.spacing(max(abs(translation), scale)))
    shorter = (float(f"{translation:.{digits}g}") for digits in range(1, 17))
    return Grid(scale, next((value for value in shorter if abs(value - translation) <= noise), translation), size)


def aligned(grid: Grid, base: Grid) -> Grid:
    """Return the grid of a level to the last bit as pyramids have it, where it is one of whole blocks of another.

    >>> aligned(Grid(0.65, -19.837499999999999, 2), Grid(0.325, -20.0, 4))
    Grid(scale=0.65, translation=-19.8375, size=2)
    """
    factor, first = _near(grid.scale / base.scale), _near(base.index(grid.translation))
    if (2 * factor) % 1 or (2 * first) % 1:
        return grid
    return Grid(base.scale * factor, base.position(first) if first else base.translation, grid.size)


def placed(
    data: Any,
    dims: Sequence[str],
    grids: Mapping[str, Grid],
    *,
    units: Mapping[str, str] | None = None,
    name: str | None = None,
) -> xr.DataArray:
    """Return an array with the coordinates of pixel centres that its grids give.

    Parameters
    ----------
    data
        Pixels; lazy ones stay so.
    dims
        Names of the dimensions.
    grids
        Of the dimensions that have one.
    units
        By dimension, of those that have one.
    name
        Of the image.
    """
    # renamed, as an array without a name has that of its dask array
    bare = xr.DataArray(data, dims=tuple(dims)).rename(name)
    return assign_grid(
        bare,
        scale={dim: grid.scale for dim, grid in grids.items()},
        translation={dim: grid.translation for dim, grid in grids.items()},
        units={dim: unit for dim, unit in (units or {}).items() if unit and dim in grids},
    )


def as_labels(level: xr.DataArray) -> xr.DataArray:
    """Mark an array as one of labels, as those that are read from a store are: no values are made of its own."""
    marked = level.copy(deep=False)
    marked.encoding[LABELED] = True
    return marked


def image_tree(levels: Sequence[xr.DataArray], labels: Mapping[str, xr.DataTree] | None = None) -> xr.DataTree:
    """Return the tree of an image, as `open_datatree` gives it.

    Parameters
    ----------
    levels
        Finest first.
    labels
        Trees of labels, by name.

    Raises
    ------
    InterchangeError
        If they are no levels of one image.
    """
    tree = to_tree(_of_one_image(levels))
    if labels:
        group = xr.DataTree()
        attach(group, labels)
        attach(tree, {"labels": group})
    return tree


def _of_one_image(levels: Sequence[xr.DataArray]) -> list[xr.DataArray]:
    """Return levels with their dimensions in one order."""
    base, found = levels[0], [levels[0]]
    for index, level in enumerate(levels[1:], 1):
        faults = [
            (set(level.dims) != set(base.dims), f"has the dimensions {', '.join(map(str, level.dims))}"),
            (level.dtype != base.dtype, f"has pixels of {level.dtype}"),
            *((size > found[-1].sizes.get(dim, size), f"is larger along {dim!r}") for dim, size in level.sizes.items()),
            *((_unit(level, dim) != _unit(base, dim), f"has another unit along {dim!r}") for dim in level.dims),
            *((_is_elsewhere(level, base, dim), f"lies elsewhere along {dim!r}") for dim in level.dims),
        ]
        if wrong := next((what for is_so, what in faults if is_so), None):
            raise InterchangeError(
                f"level {index} {wrong}, so that it is none of the image of level {index - 1}, whose dimensions are "
                f"{', '.join(f'{dim} ({size})' for dim, size in found[-1].sizes.items())} and whose pixels are "
                f"{base.dtype}; give levels of one image, the finest first"
            )
        found.append(level.transpose(*base.dims))
    return found


def _unit(level: xr.DataArray, dim: Hashable) -> Any:
    return level.coords[dim].attrs.get("units") if dim in level.coords else None


def _is_elsewhere(level: xr.DataArray, base: xr.DataArray, dim: Hashable) -> bool:
    """Whether a level begins or ends more than two of its pixels from where the finest does; one may be trimmed."""
    if dim not in level.coords or dim not in base.coords or not level.sizes[dim] or not base.sizes[dim]:
        return False
    own, other = level.coords[dim].values, base.coords[dim].values
    if own.dtype.kind not in "iuf" or other.dtype.kind not in "iuf":
        return False
    span = abs(float(other[-1]) - float(other[0]))
    # one pixel stands for all that there is, or for more
    alone = max(span + _spacing_of(base, dim), _spacing_of(level, dim))
    pixel = abs(float(own[-1]) - float(own[0])) / (len(own) - 1) if len(own) > 1 else alone
    return any(abs(float(own[end]) - float(other[end])) > 2 * pixel for end in (0, -1))


def _spacing_of(level: xr.DataArray, dim: Hashable) -> float:
    return float(level.coords[dim].attrs.get("scale", 1.0))


def label_tree(levels: Sequence[xr.DataArray], name: str, colors: Mapping[int, Any] | None = None) -> xr.DataTree:
    """Return the tree of labels, as it stands below that of their image.

    Parameters
    ----------
    levels
        Finest first.
    name
        Of the labels.
    colors
        By label value, as in `Labels`.

    Raises
    ------
    InterchangeError
        If they are no levels of one image, or cannot have that name.
    """
    levels = _of_one_image(levels)
    check_label_dtype(levels[0].dtype, name)
    if name in levels[0].dims or name in levels[0].coords:
        raise InterchangeError(
            f"labels cannot be named {name!r}, as one of their dimensions or coordinates is; rename them there, "
            "such as to 'nuclei'"
        )
    named = [as_labels(level.rename(name)) for level in levels]
    return to_tree(named, attrs=_label_attrs(named, name, colors), variable=name)


def _label_attrs(levels: Sequence[xr.DataArray], name: str, colors: Mapping[int, Any] | None) -> dict[str, Any]:
    """Return the attributes that the group of labels would have in a store."""
    dimensions = describe_levels(levels, None, None, None, "raise", [], "the labels cannot be taken over")
    stated = tuple(
        Level(
            str(index),
            {one.name: one.grid.scale for one in of_level},
            {one.name: one.grid.translation for one in of_level},
        )
        for index, of_level in enumerate(dimensions)
    )
    multiscale = Multiscale(name, tuple(one.axis for one in dimensions[0]), stated)
    return spec.dump(Image((multiscale,), label=described(Labels(levels[0], colors or None))), "0.4")


def only(found: Sequence[str], what: str, where: str, argument: str) -> str:
    """Return the only one of several names, or say how one is chosen.

    Raises
    ------
    InterchangeError
        If there are none or several.
    """
    if len(found) == 1:
        return found[0]
    if not found:
        raise InterchangeError(f"{where} has no {what}; give one that has")
    raise InterchangeError(
        f"{where} has several {what}s: {', '.join(map(repr, found))}; choose one: {argument}={found[0]!r}"
    )


def askew(
    level: xr.DataArray,
    matrix: Affine,
    system: str,
    dims: Sequence[str],
    units: Mapping[str, str] | None = None,
) -> xr.DataArray:
    """Return a level that lies askew in a system; its units are those of the dimensions where none are given."""
    return assign_affine(level, matrix, system=system, dims=dims, units=units)


def is_straight(linear: NDArray[np.float64]) -> bool:
    """Whether a square matrix scales each axis by itself, and mirrors none: what grids say."""
    off = linear - np.diag(np.diag(linear))
    return bool((np.abs(off) <= NEAR * np.abs(linear).max()).all() and (np.diag(linear) > 0).all())
