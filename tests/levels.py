"""What the tests of downsampling share."""

from __future__ import annotations

import dask
import numpy as np

from xomezarr.downsample import METHODS, downsample, get_method


def takes(method, dtype):
    return np.dtype(dtype).kind in method.kinds


def compute(data, dims, steps, method=METHODS["local_mean"], **options):
    """Compute the levels in this thread, which keeps the many small cases quick."""
    with dask.config.set(scheduler="synchronous"):
        return list(dask.compute(*downsample(data, dims, steps, get_method(method), **options)))


def bits(array):
    array = np.asarray(array)
    return array.shape, array.dtype.str, np.ascontiguousarray(array).tobytes()
