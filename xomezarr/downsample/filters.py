"""``gaussian``, ``resize``, ``zoom`` and ``laplacian``: a level is smoothed, then sampled at the centre of each block.

Both are done along one axis after the other, and only where a sample is taken. What a sample is made of, and in which
order it is added up, depends on its place in the level alone: tiles and chunks do not show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xomezarr.downsample.blocks import within
from xomezarr.downsample.method import Kernel, Smoothing, chained
from xomezarr.downsample.sections import Section, block_shape, tiles
from xomezarr.errors import DtypeError

__all__ = ["LARGEST_INTEGER", "filtered", "laplacian"]

TILE_PIXELS = 2**18
"""Pixels that are filtered at once: as float64 2 MiB, unless that were too little beside the halo."""

LARGEST_INTEGER = 2**53
"""Up to here float64, in which filters compute, holds every integer."""


# --- one axis ----------------------------------------------------------------------------------------------------


def _edge(positions: NDArray[np.intp], size: int, edge: str) -> NDArray[np.intp]:
    """Return the pixels that stand for positions beyond the edge of a level.

    >>> _edge(np.arange(-3, 6), 3, "reflect"), _edge(np.arange(-3, 6), 3, "mirror")
    (array([2, 1, 0, 0, 1, 2, 2, 1, 0]), array([1, 2, 1, 0, 1, 2, 1, 0, 1]))
    """
    if edge == "reflect":
        folded = positions % (2 * size)
        return np.minimum(folded, 2 * size - 1 - folded)
    folded = positions % max(2 * size - 2, 1)
    return np.minimum(folded, np.abs(2 * size - 2 - folded))


def _span(pixels: NDArray[Any], axis: int, section: Section, first: int, last: int, edge: str) -> NDArray[Any]:
    """Return the pixels at positions ``first … last`` of the level along an axis, those beyond its edge included."""
    begin = section.read.start
    if first >= 0 and last < section.size:
        where: list[Any] = [slice(None)] * pixels.ndim
        where[axis] = slice(first - begin, last + 1 - begin)
        inside: NDArray[Any] = pixels[tuple(where)]
        return inside
    extended: NDArray[Any] = pixels.take(_edge(np.arange(first, last + 1), section.size, edge) - begin, axis=axis)
    return extended


def _convolved(
    pixels: NDArray[Any],
    axis: int,
    section: Section,
    smoothing: Smoothing,
    weights: NDArray[np.float64],
    samples: range,
    gap: int = 0,
    extreme: np.ufunc | None = None,
) -> NDArray[Any]:
    """Join what lies around each sample, the farthest first: a weighted sum, or an extreme that bounds it.

    Parameters
    ----------
    weights
        From the sample outwards, the same to both sides.
    samples
        Positions in the level.
    gap
        0 for samples on a pixel; 1 for those between a pixel and the next, which then weigh the same.
    """
    reach = len(weights) - 1
    span = _span(pixels, axis, section, samples[0] - reach, samples[-1] + gap + reach, smoothing.edge)

    def at(offset: int) -> NDArray[Any]:
        first = reach + offset
        where: list[Any] = [slice(None)] * span.ndim
        where[axis] = slice(first, first + samples[-1] - samples[0] + 1, samples.step)
        taken: NDArray[Any] = span[tuple(where)]
        return taken

    total: NDArray[Any] | None = None
    for distance in range(reach, -1, -1):
        term = at(-distance)
        if extreme is not None:
            term = extreme(term, at(gap + distance))
            total = term if total is None else extreme(total, term)
            continue
        # weighed before they are added: a sum of the largest numbers would overflow
        term = term * weights[distance]
        if gap or distance:
            term += at(gap + distance) * weights[distance]
        total = term if total is None else np.add(total, term, out=total)
    assert total is not None
    return total


def _sampled(
    pixels: NDArray[Any], axis: int, section: Section, smoothing: Smoothing, extreme: np.ufunc | None = None
) -> NDArray[Any]:
    """Smooth along an axis, and take the middle pixel of each block, or the mean of the two middle ones.

    Where the edge cuts the last block before its middle, the last pixel is taken.
    """
    factor = section.factor
    if factor == 1:
        return pixels
    lower, upper = (factor - 1) // 2, factor // 2
    samples = range(section.start + lower, section.start + lower + section.count * factor, factor)
    cut = samples[-1] + upper - lower >= section.size
    weights = smoothing.weights(factor)
    parts = []
    if len(samples) > cut:
        # of two middle pixels, what lies outside of the one is a pixel farther from the other
        around = (weights + np.append(weights[1:], 0.0)) / 2 if factor % 2 == 0 else weights
        inside = samples[: len(samples) - cut]
        parts.append(_convolved(pixels, axis, section, smoothing, around, inside, upper - lower, extreme))
    if cut:
        last = range(section.size - 1, section.size)
        parts.append(_convolved(pixels, axis, section, smoothing, weights, last, 0, extreme))
    return np.concatenate(parts, axis=axis) if len(parts) > 1 else parts[0]


def _smoothed(
    pixels: NDArray[Any], axis: int, section: Section, smoothing: Smoothing, extreme: np.ufunc | None = None
) -> NDArray[Any]:
    """Smooth along an axis, at every pixel, by the Gaussian of the factor that made the level."""
    if section.above == 1:
        return pixels
    every = range(section.start, section.stop)
    return _convolved(pixels, axis, section, smoothing, smoothing.weights(section.above), every, 0, extreme)


# --- all axes ----------------------------------------------------------------------------------------------------


def _filter(
    parts: Sequence[NDArray[Any]],
    sections: Sequence[Section],
    smoothing: Smoothing,
    run: Callable[..., NDArray[Any]],
    *,
    skipna: bool,
    bounded: bool,
) -> list[NDArray[np.float64]]:
    """Filter real and imaginary part, in float64; NaN has no weight, and the others make up for it.

    Parameters
    ----------
    parts
        One for real numbers, two for complex ones, of which both are missing where one is NaN.
    run
        `_sampled` or `_smoothed`.
    bounded
        Whether results are held between the lowest and the highest value that they are made of. Rounding can lead
        out of these only by the last bits of float64, which narrower dtypes do not have.
    """

    def along(component: NDArray[Any], extreme: np.ufunc | None = None) -> NDArray[Any]:
        for axis, section in enumerate(sections):
            component = run(component, axis, section, smoothing, extreme)
        return component

    values = [part.astype(np.float64) for part in parts]
    missing = np.logical_or.reduce([np.isnan(value) for value in values]) if skipna else None
    if missing is not None and not missing.any():
        missing = None
    results = []
    with np.errstate(all="ignore"):
        if missing is not None:
            weight, touched = along((~missing).astype(np.float64)), along(missing, np.logical_or)
        for value in values:
            # -0.0 is what changes no number when it is added, not even -0.0
            total = along(value if missing is None else np.where(missing, -0.0, value))
            if missing is not None:
                # what has no NaN in reach is the same whether or not there is one elsewhere
                total = np.where(touched, total / weight, total)
            if bounded:
                known = value if missing is None else np.where(missing, np.nan, value)
                # where NaN is not left out, the bounds know of it too
                least, most = (np.fmin, np.fmax) if skipna else (np.minimum, np.maximum)
                total = within(total, along(known, least), along(known, most))
            results.append(total)
    return results


def _parts(pixels: NDArray[Any]) -> list[NDArray[Any]]:
    return [pixels.real, pixels.imag] if pixels.dtype.kind == "c" else [pixels]


def _store(level: NDArray[Any], parts: Sequence[NDArray[np.float64]]) -> None:
    """Round to the dtype of a level, integers half to even."""
    with np.errstate(all="ignore"):
        if level.dtype.kind in "biu":
            level[...] = np.rint(parts[0])
            return
        for target, part in zip(_parts(level), parts, strict=True):
            # one NaN for all: sign and payload of a computed NaN depend on the order of the operands
            target[...] = np.where(np.isnan(part), np.nan, part)


def _is_double(dtype: np.dtype[Any]) -> bool:
    return dtype.itemsize == (16 if dtype.kind == "c" else 8)


# --- gaussian, resize and zoom -----------------------------------------------------------------------------------


def filtered(dtype: np.dtype[Any], skipna: bool, pixels: int, *, smoothing: Smoothing) -> Kernel:
    """Smooth the level above and sample it, in float64; round to the dtype.

    Raises
    ------
    DtypeError
        When it is computed, if a 64-bit integer is larger than float64 can hold.
    """
    reduce = partial(_filtered_pixels, smoothing=smoothing, skipna=skipna)
    return chained(reduce, dtype, halo=smoothing.radius)


def _filtered_pixels(
    block: NDArray[Any], sections: Sequence[Section], *, smoothing: Smoothing, skipna: bool
) -> NDArray[Any]:
    level = np.empty(block_shape(sections), block.dtype)
    bounded = _is_double(block.dtype)
    floating = block.dtype.kind in "fc"
    for target, source, parts in tiles(sections, TILE_PIXELS):
        pixels = block[source]
        if bounded and not floating:
            check_range(pixels)
        found = _filter(_parts(pixels), parts, smoothing, _sampled, skipna=skipna and floating, bounded=bounded)
        _store(level[target], found)
    return level


def check_range(pixels: NDArray[Any]) -> None:
    """Raise the error that names an integer which float64 cannot hold."""
    if pixels.size == 0:
        return
    for value in (int(pixels.max()), int(pixels.min())):
        if abs(value) > LARGEST_INTEGER:
            raise DtypeError(
                f"the pixel value {value} is beyond 2**53 and would be changed by a filter, which computes in float64; "
                'methods "local_mean", "nearest", "mode", "median", "min" and "max" are exact: method="local_mean"'
            )


# --- laplacian ---------------------------------------------------------------------------------------------------


def laplacian(dtype: np.dtype[Any], skipna: bool, pixels: int, *, smoothing: Smoothing) -> Kernel:
    """Take a level of the gaussian pyramid, less the same level smoothed once more.

    The gaussian pyramid is carried from level to level in float64.
    """
    options: dict[str, Any] = {"smoothing": smoothing, "skipna": skipna}
    return Kernel(
        partial(_gaussian_of_pixels, **options),
        partial(_gaussian, **options),
        partial(_difference, dtype=dtype, **options),
        2 if dtype.kind == "c" else 1,
        np.dtype(np.float64),
        halo=smoothing.radius,
        finish_halo=smoothing.radius,
    )


def _gaussian_of_pixels(
    pixels: NDArray[Any], sections: Sequence[Section], *, smoothing: Smoothing, skipna: bool
) -> NDArray[np.float64]:
    return _gaussian(_parts(pixels), sections, smoothing=smoothing, skipna=skipna)


def _gaussian(
    carry: Sequence[NDArray[Any]], sections: Sequence[Section], *, smoothing: Smoothing, skipna: bool
) -> NDArray[np.float64]:
    level = np.empty((len(carry), *block_shape(sections)))
    for target, source, parts in tiles(sections, TILE_PIXELS):
        found = _filter([part[source] for part in carry], parts, smoothing, _sampled, skipna=skipna, bounded=True)
        level[target] = found
    return level


def _difference(
    carry: NDArray[Any], sections: Sequence[Section], *, smoothing: Smoothing, skipna: bool, dtype: np.dtype[Any]
) -> NDArray[Any]:
    level = np.empty(block_shape(sections), dtype)
    for target, source, parts in tiles(sections, TILE_PIXELS):
        given = [part[source] for part in carry]
        smooth = _filter(given, parts, smoothing, _smoothed, skipna=skipna, bounded=True)
        inner = tuple(slice(part.start - part.read.start, part.stop - part.read.start) for part in parts)
        with np.errstate(all="ignore"):
            _store(level[target], [part[inner] - known for part, known in zip(given, smooth, strict=True)])
    return level
