"""The table of downsampling methods, and who may use which."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from xomezarr.downsample.filters import check_range, filtered, laplacian
from xomezarr.downsample.functions import of_callable
from xomezarr.downsample.means import local_mean
from xomezarr.downsample.method import Method, Smoothing, centre
from xomezarr.downsample.modes import mode
from xomezarr.downsample.ranks import maximum, median, minimum
from xomezarr.downsample.samples import first, lower_middle, nearest
from xomezarr.errors import DtypeError, MethodError

__all__ = [
    "FIRST",
    "METHODS",
    "MethodLike",
    "check_dtype",
    "check_values",
    "default_method",
    "get_method",
    "is_sampled",
    "resolve_skipna",
]


type MethodLike = str | Method | Callable[..., Any]
"""A name in `METHODS`, a row of one's own, or a function ``f(blocks, axis)`` that reduces blocks."""


def third(factor: int) -> float:
    """Width of the Gaussian of pyramids: a third of a block."""
    return factor / 3


def centre_width(factor: int) -> float:
    """Width of the Gaussian against aliasing: half of what a block has beyond one pixel, which is its centre too."""
    return centre(factor)


def no_width(factor: int) -> float:
    """No smoothing."""
    return 0.0


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        method.name: method
        for method in [
            Method(
                "local_mean",
                "exact mean of the full-resolution pixels that a pixel covers, rounded once",
                local_mean,
                skipna=None,
                default_for="iufc",
                carries="sums and counts of level-0 pixels",
            ),
            Method(
                "nearest",
                "the pixel at index (f - 1) // 2 of each block of f pixels",
                nearest,
                sample=lower_middle,
                sampled=True,
                keeps_values=True,
            ),
            Method(
                "gaussian",
                "the level above smoothed by a Gaussian of a third of the factor, at the centre of each block",
                filtered,
                smoothing=Smoothing(third, "reflect"),
                skipna=None,
            ),
            Method(
                "laplacian",
                "a level of the gaussian pyramid, less the same level smoothed once more",
                laplacian,
                smoothing=Smoothing(third, "reflect"),
                skipna=None,
                kinds="fc",
                carries="the gaussian pyramid in float64",
            ),
            Method(
                "zoom",
                "linear interpolation of the level above at the centre of each block, without smoothing",
                filtered,
                smoothing=Smoothing(no_width, "mirror"),
                skipna=None,
            ),
            Method(
                "resize",
                "linear interpolation at the centre of each block, after a Gaussian of (f - 1) / 2 against aliasing",
                filtered,
                smoothing=Smoothing(centre_width, "mirror"),
                skipna=None,
            ),
            Method(
                "mode",
                "the most frequent value of each block of the level above",
                mode,
                keeps_values=True,
                skipna=True,
                default_for="b",
            ),
            Method("median", "the median of each block of the level above", median, kinds="biuf", skipna=None),
            Method(
                "min",
                "the smallest of the full-resolution pixels that a pixel covers",
                minimum,
                kinds="biuf",
                keeps_values=True,
                skipna=None,
                carries="the smallest values of level-0 pixels",
            ),
            Method(
                "max",
                "the largest of the full-resolution pixels that a pixel covers",
                maximum,
                kinds="biuf",
                keeps_values=True,
                skipna=None,
                carries="the largest values of level-0 pixels",
            ),
        ]
    }
)
"""The downsampling methods, by name."""

FIRST = replace(
    METHODS["nearest"],
    description="the first pixel of each block",
    kernel=partial(nearest, sample=first),
    sample=first,
    arguments={"sample": "first"},
)
"""``nearest`` for labels of images whose levels lie on the first pixel of each block, as stride slicing makes them."""

SYNONYMS: Mapping[str, str] = MappingProxyType(
    {
        "average": "local_mean",
        "mean": "local_mean",
        "bin_shrink": "local_mean",
        "nn": "nearest",
        "nearest_neighbor": "nearest",
        "nearest_neighbour": "nearest",
        "linear": "resize",
        "bilinear": "resize",
        "majority": "mode",
        "subsample": "nearest",
        "stride": "nearest",
        "decimate": "nearest",
        "minimum": "min",
        "maximum": "max",
    }
)
"""What other libraries call the methods: understood in order to say the name here, and never taken."""


def get_method(method: MethodLike) -> Method:
    """Return the row of a method.

    Parameters
    ----------
    method
        A name in `METHODS`, a row of one's own, or a function ``f(blocks, axis)`` that reduces blocks as in
        `xarray.DataArray.coarsen`.

    Raises
    ------
    MethodError
        If there is none.

    Examples
    --------
    >>> get_method("gaussian").sample(2)
    0.5
    >>> get_method(np.ptp).name
    'numpy.ptp'
    """
    if isinstance(method, Method):
        _check_row(method)
        return method
    if callable(method):
        return of_callable(method)
    if isinstance(method, str) and method in METHODS:
        return METHODS[method]
    asked = str(method).lower().replace("-", "_").replace(" ", "_")
    close = difflib.get_close_matches(asked, [*SYNONYMS, *METHODS], n=3, cutoff=0.6)
    meant = list(dict.fromkeys(SYNONYMS.get(word, word) for word in ([asked] if asked in SYNONYMS else close)))
    guess = f"did you mean {' or '.join(f'method={name!r}' for name in meant[:2])}?"
    guess = guess if meant else 'give method="local_mean", say'
    raise MethodError(f"there is no downsampling method {method!r}, only {', '.join(METHODS)}; {guess}")


def _check_row(method: Method) -> None:
    """Raise where a row that somebody brought cannot be one."""
    if not isinstance(method.name, str) or not method.name:
        raise MethodError(f'the name of a method is {method.name!r}; give it one, such as Method("spread", …)')
    if method.name in METHODS and method != METHODS[method.name]:
        raise MethodError(
            f"a method of one's own is called {method.name!r}, by which readers would know the method of that name "
            f'here; give it another: Method("my_{method.name}", …)'
        )
    if not callable(method.kernel):
        raise MethodError(
            f"the kernel of method {method.name!r} is {method.kernel!r}; give a function that returns a Kernel, "
            "such as functools.partial(reducing, function=np.ptp)"
        )
    for factor in (2, 3, 4):
        place = method.sample(factor)
        if not 0 <= place <= factor - 1:
            raise MethodError(
                f"method {method.name!r} puts the sample of a block of {factor} pixels at index {place}, outside of "
                f"it; give sample=lambda f: (f - 1) / 2, say"
            )


def is_sampled(name: str | None) -> bool:
    """Whether a method takes a pixel of each block as it is; not, where nobody knows the method."""
    return name is not None and name in METHODS and METHODS[name].sampled


def default_method(dtype: DTypeLike) -> Method:
    """Return the method that an image of this dtype gets when the user names none."""
    kind = np.dtype(dtype).kind
    # dtypes that no method takes are told so later
    return next((method for method in METHODS.values() if kind in method.default_for), METHODS["local_mean"])


def check_dtype(dtype: DTypeLike, method: Method) -> None:
    """Check that pixels of a dtype can be downsampled, in any byte order.

    Raises
    ------
    DtypeError
        If `dtype` is not bool, an integer, float16, float32, float64, complex64 or complex128, or not for this method.
    """
    try:
        known = np.dtype(dtype)
    except TypeError:
        raise DtypeError(f"dtype {dtype!r} is not one of numpy's; convert it: astype('float64')") from None
    if known.kind == "V" and known.names:
        raise DtypeError(
            f"dtype {known} is structured, and a pixel is one number; "
            f"take one field and say what it is: array[{known.names[0]!r}].astype('float64')"
        )
    size = known.itemsize // 2 if known.kind == "c" else known.itemsize
    if known.kind not in "biufc" or size > 8:
        cure = {"m": "int64", "M": "int64", "f": "float64", "c": "complex128"}.get(known.kind, "float64")
        raise DtypeError(f"pixels of dtype {known} cannot be downsampled; convert them: astype({cure!r})")
    if known.kind not in method.kinds:
        if known.kind == "c":
            raise DtypeError(
                f"method {method.name!r} puts values in order, and complex numbers have none; "
                "take their magnitude: np.abs(da)"
            )
        wide = "float32" if known.itemsize <= 2 else "float64"
        raise DtypeError(
            f"method {method.name!r} does not take dtype {known}, which cannot hold its results; "
            f"convert the pixels: astype({wide!r})"
        )


def resolve_skipna(skipna: bool | None, method: Method) -> bool:
    """Return whether a method leaves NaN out: what is asked, else what the method always does, else True.

    Raises
    ------
    MethodError
        If `skipna` is neither None, True nor False, or is not what the method always does.
    """
    if skipna is None:
        return method.skipna is not False
    if not isinstance(skipna, bool | np.bool_):
        raise MethodError(f"skipna={skipna!r} is neither True nor False; leave it out to skip NaN")
    if method.skipna is not None and bool(skipna) != method.skipna:
        always = "always" if method.skipna else "never"
        raise MethodError(
            f"method {method.name!r} {always} leaves NaN out, and skipna={skipna!r} asks otherwise; leave it out"
        )
    return bool(skipna)


def check_values(pixels: Any, method: Method) -> None:
    """Check the pixels of an array in memory, where a method cannot take every value of their dtype.

    Raises
    ------
    DtypeError
        If a 64-bit integer is beyond what the method computes with.
    """
    if not method.exact_integers and isinstance(pixels, np.ndarray) and pixels.dtype.str[1:] in ("i8", "u8"):
        check_range(pixels)
