"""Where the levels of an image lie of which the store tells nothing but their sizes, as up to OME-Zarr 0.3.

Pixels of level 0 are counted: they lie at 0, 1, 2, …, and no unit is known. A pixel of a coarser level stands for a
block of them and lies at its centre, so that all levels cover the same. By which whole factors the levels came about is
told by their sizes: 101 pixels become 50 or 51 by no other factor than 2, while 5 become 2 by 2, 3 and 4. Then what the
other dimensions and levels tell decides, if it fits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from xomezarr.errors import MetadataError
from xomezarr.lazy import zarr
from xomezarr.model import Image, Level
from xomezarr.store import open_array

__all__ = ["place", "place_in", "possible_factors"]

type Sizes = Mapping[str, int]


def place(image: Image, sizes: Sequence[Sizes]) -> tuple[Image, tuple[str, ...]]:
    """Place the levels of an image by their sizes.

    Parameters
    ----------
    image
        What the metadata say. Where they say where levels lie it is returned as it is.
    sizes
        Pixels of each level, finest first, by axis name.

    Returns
    -------
    Image
        With the first multiscale alone, if it had to be placed: of no other the sizes are known.
    tuple of str
        What could not be told for sure.

    Examples
    --------
    >>> from xomezarr.model import Axis, Multiscale
    >>> levels = tuple(Level(path, {"x": 1.0}, {"x": 0.0}) for path in "01")
    >>> unplaced = Image((Multiscale("cells", (Axis("x", "space"),), levels, placed=False),))
    >>> found, doubts = place(unplaced, [{"x": 101}, {"x": 50}])
    >>> found.multiscale.levels[1].scale, found.multiscale.levels[1].translation, doubts
    ({'x': 2.0}, {'x': 0.5}, ())
    """
    multiscale = image.multiscale
    if multiscale.placed:
        return image, ()
    steps = _steps(sizes)
    levels = [multiscale.levels[0]]
    factors = dict.fromkeys(multiscale.dims, 1.0)
    for level, step in zip(multiscale.levels[1:], steps, strict=True):
        factors = {dim: factor * step[dim].factor for dim, factor in factors.items()}
        levels.append(_at(level, factors))
    doubts = tuple(
        f"level {number} has {step.coarse} pixels along {dim!r}, and the one before it {step.fine}: {step.told}"
        for number, of_level in enumerate(steps, 1)
        for dim, step in of_level.items()
        if not step.known
    )
    return replace(image, multiscales=(replace(multiscale, levels=tuple(levels), placed=True),)), doubts


def place_in(group: zarr.Group, image: Image) -> Image:
    """Place the levels of an image whose arrays are in a group, as `place` does.

    Raises
    ------
    MetadataError
        If an array does not have the dimensions that the metadata say.
    """
    if image.multiscale.placed:
        return image
    dims = image.multiscale.dims
    sizes = []
    for level in image.multiscale.levels:
        shape = open_array(group, level.path).shape
        if len(shape) != len(dims):
            raise MetadataError(
                f"{level.path!r} of {str(group.store_path)!r} has {len(shape)} dimensions, and the image has the axes "
                f"{dims}; xomezarr.validate(store) lists all that is wrong"
            )
        sizes.append(dict(zip(dims, shape, strict=True)))
    return place(image, sizes)[0]


def _at(level: Level, factors: Mapping[str, float]) -> Level:
    """Put a level where the centres of its blocks are."""
    return replace(level, scale=dict(factors), translation={dim: (factor - 1) / 2 for dim, factor in factors.items()})


# -- factors -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Step:
    """How a dimension shrinks from one level to the next: by which factor, and whether that is known."""

    fine: int
    coarse: int
    factor: float
    known: bool = True

    @property
    def told(self) -> str:
        if self.factor.is_integer():
            possible = possible_factors(self.fine, self.coarse)
            return f"by a factor from {possible[0]} to {possible[-1]}, of which {self.factor:g} is taken"
        return f"by no whole factor, so that {self.factor:.6g}, the ratio of the two, is taken"


def possible_factors(fine: int, coarse: int) -> range:
    """Return the whole factors by which a size becomes another one, rounded up or down.

    >>> possible_factors(101, 50), possible_factors(5, 2), possible_factors(1000, 300), possible_factors(7, 7)
    (range(2, 3), range(2, 5), range(4, 4), range(1, 2))
    """
    if fine == coarse:
        return range(1, 2)
    # fine // factor == coarse from the first number on, -(-fine // factor) == coarse up to before the second
    return range(fine // (coarse + 1) + 1, (fine - 1) // (coarse - 1) + 1 if coarse > 1 else fine + 1)


def _steps(sizes: Sequence[Sizes]) -> list[dict[str, _Step]]:
    """Return by which factors each level comes from the one before it."""
    steps = [{dim: _alone(fine[dim], coarse[dim]) for dim in fine} for fine, coarse in pairwise(sizes)]
    for number, step in enumerate(steps):
        # the longest first, as its size tells most
        for dim in sorted(step, key=lambda dim: -step[dim].fine):
            one = step[dim]
            possible = possible_factors(one.fine, one.coarse)
            # a block that is larger than what is left of an image makes one pixel too
            larger = one.fine if one.coarse == 1 else math.inf
            agreeing = (
                factor for factor in _known_elsewhere(steps, number, dim) if factor in possible or factor > larger
            )
            if not one.known and (factor := next(agreeing, None)) is not None:
                step[dim] = replace(one, factor=factor, known=True)
    return steps


def _alone(fine: int, coarse: int) -> _Step:
    """Return what two sizes tell by themselves: one factor, or of several that which is nearest to their ratio."""
    possible = possible_factors(fine, coarse)
    ratio = fine / coarse if coarse and fine else 1.0
    factor = min(possible, key=lambda factor: abs(factor - ratio), default=ratio)
    return _Step(fine, coarse, float(factor), known=len(possible) == 1)


def _known_elsewhere(steps: Sequence[Mapping[str, _Step]], number: int, dim: str) -> Iterator[float]:
    """Yield the factors above 1 that are known: of other dimensions in the same step, then of this one in others."""
    near = sorted((other for other in range(len(steps)) if other != number), key=lambda other: abs(other - number))
    same_step = sorted(steps[number].values(), key=lambda step: -step.fine)
    for step in (*same_step, *(steps[other][dim] for other in near)):
        if step.known and step.factor > 1:
            yield step.factor
