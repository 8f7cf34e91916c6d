"""What of an image's levels changes with a part of level 0, and the tiles that make just that.

A pixel of a coarser level changes if one of those that it is made of does. To make it again, those around the part are
needed too, as far as they belong to the same blocks, or to what a filter sees: they are read as they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from xomezarr.downsample import Recipe
from xomezarr.tiling import Pass

__all__ = ["Box", "affected", "is_aligned", "parts_of"]

type Box = tuple[slice, ...]
"""Pixels of a level along each axis, in file order."""


def affected(recipe: Recipe | None, shapes: Sequence[tuple[int, ...]], region: Box) -> tuple[Box, ...]:
    """Return the pixels of each level that change with a region of level 0.

    Parameters
    ----------
    recipe
        How levels are made of each other; None for level 0 alone.
    shapes
        Of the levels.
    region
        Of level 0.

    Returns
    -------
    tuple
        A box for each level, which is empty where only trimmed pixels change.
    """
    if recipe is None:
        return (region,)
    return tuple(
        box if not level or recipe.kernel.of_pixels else _wider(box, shapes[level], _finishing(recipe, level))
        for level, box in enumerate(_changed(recipe, shapes, region))
    )


def _changed(recipe: Recipe, shapes: Sequence[tuple[int, ...]], region: Box) -> list[Box]:
    """Return the pixels of each level of which the carry changes, which the next level is made of."""
    found = [region]
    for step, (fine, coarse) in zip(recipe.steps, itertools.pairwise(shapes), strict=True):
        wider = _wider(found[-1], fine, [recipe.kernel.halo(factor) for factor in step])
        found.append(_blocks_of(wider, step, coarse))
    return found


def _blocks_of(box: Box, step: Sequence[int], shape: Sequence[int]) -> Box:
    """Return the pixels of the next level, of a shape, that are made of some of a box; trimmed ones are in no block."""
    return tuple(
        slice(min(part.start // factor, n), min(-(-part.stop // factor), n))
        for part, factor, n in zip(box, step, shape, strict=True)
    )


def parts_of(
    passes: Sequence[Pass],
    recipe: Recipe | None,
    shapes: Sequence[tuple[int, ...]],
    region: Box,
    *,
    keeps_carries: bool,
) -> tuple[Pass, ...]:
    """Return the walks that make what changes with a region.

    Parameters
    ----------
    passes
        Those that make the whole image.
    recipe, shapes, region
        As in `affected`.
    keeps_carries
        Whether levels are made of carries that nobody has kept, so that these are made anew from level 0 on.
    """
    if recipe is None:
        return tuple(replace(walk, tiling=walk.tiling.within([region])) for walk in passes)
    boxes = affected(recipe, shapes, region)
    own = [_not_empty(box, shape) for box, shape in zip(boxes, shapes, strict=True)]
    needed = _of_carries(recipe, shapes, boxes) if keeps_carries else own
    found = []
    for walk in passes:
        made = [needed[level] for level in walk.levels] if len(walk.levels) > 1 else [own[walk.first]]
        for at, level in enumerate(walk.levels[:-1]):
            # more pixels are finished anew than carries change: what comes of those has its place too
            made[at + 1] = _both(made[at + 1], _blocks_of(boxes[level], recipe.steps[level], shapes[level + 1]))
        for level in reversed(walk.levels[:-1]):
            at = level - walk.first
            made[at] = _whole_blocks(made[at + 1], shapes[level], recipe.steps[level], boxes[level])
        found.append(replace(walk, tiling=walk.tiling.within(made)))
    return tuple(found)


def _of_carries(recipe: Recipe, shapes: Sequence[tuple[int, ...]], boxes: Sequence[Box]) -> list[Box]:
    """Return the pixels of each level of which the carry is needed, for its own pixels and those of coarser ones."""
    needed: list[Box] = []
    for level in reversed(range(len(shapes))):
        own = _not_empty(boxes[level], shapes[level])
        if level:
            own = _wider(own, shapes[level], _finishing(recipe, level))
        if needed:
            step = recipe.steps[level]
            blocks = _whole_blocks(needed[-1], shapes[level], step, own)
            own = _wider(blocks, shapes[level], [recipe.kernel.halo(factor) for factor in step])
        needed.append(own)
    return needed[::-1]


def _finishing(recipe: Recipe, level: int) -> list[int]:
    """Return how far beyond a pixel of a level its carry is seen when it is finished."""
    return [recipe.kernel.finish_halo(factor) for factor in recipe.steps[level - 1]]


def _wider(box: Box, shape: Sequence[int], halo: Sequence[int]) -> Box:
    return tuple(
        slice(max(part.start - more, 0), min(part.stop + more, n))
        for part, more, n in zip(box, halo, shape, strict=True)
    )


def _both(one: Box, other: Box) -> Box:
    """Return the smallest box that holds two, of which the other may be empty."""
    return tuple(
        slice(min(a.start, b.start), max(a.stop, b.stop)) if b.start < b.stop else a
        for a, b in zip(one, other, strict=True)
    )


def _not_empty(box: Box, shape: Sequence[int]) -> Box:
    """Return a box with the last pixels at least, under whose tile trimmed pixels come."""
    return tuple(
        part if part.start < part.stop else slice(min(part.start, n - 1), min(part.start, n - 1) + 1)
        for part, n in zip(box, shape, strict=True)
    )


def _whole_blocks(coarse: Box, shape: Sequence[int], step: Sequence[int], box: Box) -> Box:
    """Return the pixels that those of the next level are made of, and a box of pixels that change."""
    return tuple(
        slice(min(below.start * factor, part.start), max(min(below.stop * factor, n), part.stop))
        for below, factor, part, n in zip(coarse, step, box, shape, strict=True)
    )


def is_aligned(
    units: Sequence[tuple[int, ...]],
    recipe: Recipe | None,
    shapes: Sequence[tuple[int, ...]],
    region: Box,
    *,
    growing: int | None = None,
) -> bool:
    """Whether nobody who writes other pixels writes, or reads, the chunks that a region changes.

    Parameters
    ----------
    units
        Chunks, or shards, of the levels.
    recipe, shapes, region
        As in `affected`.
    growing
        The axis along which others append to the image, if they do.
    """
    cut = {axis for axis, (part, n) in enumerate(zip(region, shapes[0], strict=True)) if part != slice(0, n)}
    steps = () if recipe is None else recipe.steps
    if recipe is not None:
        kernel = recipe.kernel
        if any(kernel.halo(step[axis]) or kernel.finish_halo(step[axis]) for step in steps for axis in cut):
            return False
    joined = [1] * len(region)
    for level, box in enumerate(affected(recipe, shapes, region)):
        if level:
            joined = [pixels * factor for pixels, factor in zip(joined, steps[level - 1], strict=True)]
        for axis in cut if growing is None else cut | {growing}:
            part, ends = region[axis], region[axis].stop == shapes[0][axis] and axis != growing
            if part.start % joined[axis] or (part.stop % joined[axis] and not ends):
                return False  # a pixel of the level is made of others too
            unit = units[level][axis]
            if box[axis].start % unit or (box[axis].stop % unit and not ends):
                return False
    return True
