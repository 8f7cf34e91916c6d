"""What rotates, shears or leads a layer of napari on: as matrices, whatever it is said by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xomezarr.errors import TransformError
from xomezarr.interchange.parts import Affine

__all__ = ["affine_of", "turning_of"]


def turning_of(options: Mapping[str, Any], count: int) -> NDArray[np.float64] | None:
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


def affine_of(given: Any, count: int) -> Affine | None:
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
