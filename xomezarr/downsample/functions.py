"""Methods that users bring: functions that reduce blocks, as `xarray.DataArray.coarsen` takes them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xomezarr.downsample.method import Kernel, Method, chained
from xomezarr.downsample.sections import Section, block_shape, tiles
from xomezarr.errors import DtypeError, MethodError

__all__ = ["of_callable", "reducing"]

TILE_BYTES = 4 * 2**20
"""Pixels that a function is given at once: enough that its own cost for a call does not show."""


EXAMPLE = "give one that reduces blocks, such as method=lambda blocks, axis: blocks.max(axis=axis)"


def of_callable(function: Callable[..., Any]) -> Method:
    """Return the row of a function ``f(blocks, axis)``."""
    full, arguments = _described(function)
    return Method(
        full,
        f"{full} of each block of the level above",
        partial(reducing, function=function),
        source=full,
        arguments=arguments,
    )


def _described(function: Callable[..., Any]) -> tuple[str, dict[str, Any]]:
    """Return the full name of a function, and the arguments that `functools.partial` gave it, for people."""
    arguments: dict[str, Any] = {}
    while isinstance(function, functools.partial):
        arguments = {**function.keywords, **arguments}
        function = function.func
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    module = getattr(function, "__module__", None) or type(function).__module__
    owner = getattr(function, "__self__", None)
    if isinstance(owner, np.ufunc):  # whose methods do not say whose they are
        module, name = "numpy", f"{owner.__name__}.{function.__name__}"
    plain = (bool, int, float, str, type(None))
    return f"{module}.{name}", {
        key: value if isinstance(value, plain) else repr(value) for key, value in arguments.items()
    }


def reducing(dtype: np.dtype[Any], skipna: bool, pixels: int, *, function: Callable[..., Any]) -> Kernel:
    """Return the kernel that reduces each block of the level above by a function.

    Parameters
    ----------
    dtype, skipna, pixels
        As every kernel takes them; `skipna` and `pixels` play no part.
    function
        ``function(blocks, axis=axes)`` with an array of one dimension more than the image; the first counts the
        blocks, `axes` are those dimensions of a block that shrink. It returns one value for each block, in the shape
        that NumPy's own reductions give: ``(blocks, 1, …)`` with a 1 for each dimension that does not shrink. The value
        may depend on that block alone; integers are made of floats by rounding half to even. It is given a copy.

    Raises
    ------
    MethodError
        When it is computed, if the function fails, or its result has another shape.
    DtypeError
        When it is computed, if the dtype cannot hold a value.
    """
    return chained(partial(_reduced, function=function), dtype)


def _reduced(block: NDArray[Any], sections: Sequence[Section], *, function: Callable[..., Any]) -> NDArray[Any]:
    axes = tuple(1 + axis for axis, section in enumerate(sections) if section.factor > 1)
    if not axes:
        return block.copy()
    level = np.empty(block_shape(sections), block.dtype)
    for target, source, parts in tiles(sections, TILE_BYTES // block.itemsize, equal=True):
        counts = block_shape(parts)
        sizes = [(part.stop - part.start) // count for part, count in zip(parts, counts, strict=True)]
        split = [n for pair in zip(counts, sizes, strict=True) for n in pair]
        ndim = len(parts)
        gathered = block[source].reshape(split).transpose(*range(0, 2 * ndim, 2), *range(1, 2 * ndim, 2))
        # each block lies by itself in memory, so that what stands beside it cannot change the order of a sum;
        # and in a copy, so that a function may sort in place
        blocks = np.array(gathered, order="C").reshape(-1, *sizes)
        try:
            result = function(blocks, axis=axes)
        except Exception as error:
            raise MethodError(
                f"method {_name(function)} failed with {type(error).__name__}: {error}; it was called as "
                f"f(blocks, axis={axes}) with blocks of shape {blocks.shape}: {EXAMPLE}"
            ) from error
        if np.ma.isMaskedArray(result):
            raise MethodError(
                f"method {_name(function)} returned a masked array, and a file has no mask; "
                "give what is masked a value: filled(np.nan)"
            )
        result = np.asarray(result)
        expected = (len(blocks), *[1] * (ndim - len(axes)))
        if result.shape != expected:
            raise MethodError(
                f"method {_name(function)} made {result.shape} of blocks {blocks.shape} along axis={axes}, not "
                f"{expected}: {EXAMPLE}"
            )
        level[target] = _held(result, block.dtype, function).reshape(counts)
    return level


def _held(result: NDArray[Any], dtype: np.dtype[Any], function: Callable[..., Any]) -> NDArray[Any]:
    """Convert to the dtype of level 0, or name the value that it cannot hold."""
    if result.dtype.kind not in "biufc":
        raise MethodError(f"method {_name(function)} made values of dtype {result.dtype}, not numbers: {EXAMPLE}")
    if result.dtype == dtype:
        return result
    if result.dtype.kind == "c" and dtype.kind != "c":
        raise _cannot_hold(result.ravel()[0], dtype, function)
    if dtype.kind in "biu":
        rounded = np.rint(result) if result.dtype.kind == "f" else result
        low, high = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
        # a float beside the largest 64-bit integers is compared as the number that it is
        wrong = ~((rounded >= low) & (rounded < float(high) + 1 if rounded.dtype.kind == "f" else rounded <= high))
    else:
        with np.errstate(over="ignore"):
            rounded = result.astype(dtype)
        wrong = np.isinf(rounded) & ~np.isinf(result)
    if wrong.any():
        raise _cannot_hold(result[wrong].ravel()[0], dtype, function)
    return rounded.astype(dtype)


def _cannot_hold(value: Any, dtype: np.dtype[Any], function: Callable[..., Any]) -> DtypeError:
    return DtypeError(
        f"method {_name(function)} made {value}, for example, which pixels of dtype {dtype} cannot hold; "
        f"convert the image first: astype({np.result_type(np.asarray(value).dtype, dtype).name!r})"
    )


def _name(function: Callable[..., Any]) -> str:
    return repr(_described(function)[0])
