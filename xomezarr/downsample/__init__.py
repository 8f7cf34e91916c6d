"""The methods that make one resolution level from the level above.

A method is a row of `METHODS`. Its kernel is plain numpy: it starts a carry from pixels, steps the carry
from level to level, and finishes a level from it. What a carry holds (sums and counts, say) is the kernel's
own business, so that a coarse level is as exact as if it had been computed from level 0. `downsample`
runs kernels over dask arrays and computes nothing.

>>> import numpy as np
>>> level1, level2 = downsample(np.arange(8, dtype="uint16"), ["x"], [{"x": 2}, {"x": 2}], get_method("local_mean"))
>>> level1.compute(), level2.compute()
(array([0, 2, 4, 6], dtype=uint16), array([2, 6], dtype=uint16))

`method` and `sections` hold the values (`Method`, `Kernel`, `Section`), `table` the rows, `levels` the lazy arrays and
`sources` how they are read; the arithmetic lies in `means`, `samples`, `ranks`, `modes`, `filters` and `functions`.
"""

from xomezarr.downsample.functions import reducing
from xomezarr.downsample.levels import Recipe, as_promised, check_result, downsample, recipe
from xomezarr.downsample.method import Kernel, Method, Smoothing
from xomezarr.downsample.sections import Origin, Section, block_shape, origins, tiles
from xomezarr.downsample.sources import lazy_blocks
from xomezarr.downsample.table import (
    FIRST,
    METHODS,
    MethodLike,
    check_dtype,
    check_values,
    default_method,
    get_method,
    is_sampled,
    resolve_skipna,
)

__all__ = [
    "FIRST",
    "METHODS",
    "Kernel",
    "Method",
    "MethodLike",
    "Origin",
    "Recipe",
    "Section",
    "Smoothing",
    "as_promised",
    "block_shape",
    "check_dtype",
    "check_result",
    "check_values",
    "default_method",
    "downsample",
    "get_method",
    "is_sampled",
    "lazy_blocks",
    "origins",
    "recipe",
    "reducing",
    "resolve_skipna",
    "tiles",
]
