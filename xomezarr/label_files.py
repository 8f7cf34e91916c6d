"""Labels that are given as files: opened, and put on the pixels of their image."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xomezarr.channels import RGB
from xomezarr.coords import infer_axis_type
from xomezarr.errors import AxisError, LabelError, LabelWarning, warn
from xomezarr.indexes import Skew, skews_of
from xomezarr.readers import Opened, open_source
from xomezarr.readers.filearray import PLACED, REVERSED, with_singles
from xomezarr.systems import held_by

__all__ = ["on_pixels_of", "open_label"]


def open_label(path: str | os.PathLike[str], image: xr.DataArray) -> Opened:
    """Open a label image; where its file does not name its dimensions, they are some of those of the image.

    Raises
    ------
    AxisError
        If they cannot be told.
    """
    try:
        return open_source(path, labels=False)
    except AxisError as error:
        return _open_as(path, image, error)


def on_pixels_of(
    image: xr.DataArray, file: xr.DataArray, opened: Opened, path: str | os.PathLike[str], name: str
) -> Any:
    """Return a label image on the pixels of its image: as its store says, where that says so, else on all of them.

    Parameters
    ----------
    image, file
        The image as it is written, and as it was opened.
    opened, path, name
        The labels, of whose dimensions the image has all.
    """
    if opened.label is not None:
        return opened.as_labels()
    found = _of_dimensions(image, opened.image)
    if "c" in found.coords and found["c"].values.tolist()[:3] == [label for label, _ in RGB]:
        numbers = f"xr.DataArray(np.asarray(PIL.Image.open({os.fspath(path)!r})), dims=('y', 'x'))"
        raise LabelError(
            f'"{os.fspath(path)}" holds colours, and labels are one number for each pixel; of a palette, give the '
            f"numbers: labels={{{name!r}: {numbers}}}"
        )
    if REVERSED in file.encoding or REVERSED in found.encoding:
        found = _in_order_of(file, found)
    if _elsewhere(file, opened.image):
        warn(
            f'"{os.fspath(path)}" says that it lies elsewhere than the image; the labels {name!r} are taken to lie on '
            "its pixels all the same",
            LabelWarning,
        )
        return _without_place(found, image)
    told = {dim: found[dim].values for dim in found.dims if dim in found.coords and dim in image.coords}
    others = [
        dim
        for dim, values in told.items()
        if values.dtype.kind in "iuf" and values.shape == image[dim].shape and not _alike(values, image[dim].values)
    ]
    if others:
        warn(
            f'"{os.fspath(path)}" has other pixel sizes along {", ".join(map(str, others))} than the image; the labels '
            f"{name!r} are taken to lie on its pixels all the same",
            LabelWarning,
        )
    return _without_place(found, image)


def _of_dimensions(image: xr.DataArray, labels: xr.DataArray) -> xr.DataArray:
    """Return labels with those dimensions of one index that their image has in space, and without those that it lacks.

    Files of single sections and channels have such dimensions, or have not.
    """
    beyond = [dim for dim, size in labels.sizes.items() if size == 1 and dim not in image.dims]
    lacking = [
        str(dim)
        for dim, size in image.sizes.items()
        if size == 1 and dim not in labels.dims and infer_axis_type(image, str(dim), {}) == "space"
    ]
    return with_singles(labels.isel(dict.fromkeys(beyond, 0), drop=True) if beyond else labels, lacking)


def _without_place(labels: xr.DataArray, image: xr.DataArray) -> xr.DataArray:
    """Return labels without what says where they lie, which the image says."""
    flat = [name for name, coord in labels.coords.items() if not coord.dims and name in {*image.dims, *image.coords}]
    return held_by("0.5", labels)[0].drop_vars([*flat, *(dim for dim in labels.dims if dim in labels.coords)])


def _alike(values: NDArray[Any], others: NDArray[Any]) -> bool:
    """Whether pixels are as far from each other, wherever the first lies."""
    return bool(np.allclose(values - values[:1], others - others[:1]))


def _elsewhere(image: xr.DataArray, labels: xr.DataArray) -> bool:
    """Whether the files of an image and of labels say that they lie at different places, where both say it."""
    if not (image.encoding.get(PLACED) and labels.encoding.get(PLACED)):
        return False
    own, theirs = skews_of(labels), skews_of(image)
    if own or theirs:
        return len(own) != len(theirs) or not all(map(Skew.same, own, theirs))
    # along its dimensions, and of a slice in depth
    shared = [name for name, coord in labels.coords.items() if coord.dims in ((), (name,)) and name in image.coords]
    return any(
        labels[name].shape == image[name].shape
        and labels[name].dtype.kind in "iuf"
        and not np.allclose(labels[name].values, image[name].values)
        for name in shared
    )


def _in_order_of(image: xr.DataArray, labels: xr.DataArray) -> xr.DataArray:
    """Return labels with their pixels in the order of an image, one of which was put in order by where it lies.

    Where both say where they lie, both were; else their files are taken to have pixels in one order.
    """
    if REVERSED in image.encoding and REVERSED in labels.encoding:
        return labels
    own, theirs = (
        [str(dim) for dim in one.dims if infer_axis_type(one, str(dim), {}) == "space"] for one in (labels, image)
    )
    if len(own) == len(theirs):
        labels = labels.drop_vars([dim for dim in own if dim in labels.coords]) if own != theirs else labels
        reverse = [theirs[own.index(dim)] for dim in labels.encoding.get(REVERSED, ())]
        labels = labels.rename({old: new for old, new in zip(own, theirs, strict=True) if old != new})
    else:
        reverse = [*labels.encoding.get(REVERSED, ())]
    turned = ({*reverse} ^ {*image.encoding.get(REVERSED, ())}) & {*labels.dims}
    # the pixels, whose coordinates say how large they are
    sizes = {dim: labels[dim] for dim in turned if dim in labels.coords}
    return labels.isel({dim: slice(None, None, -1) for dim in turned}).assign_coords(sizes)


def _open_as(path: str | os.PathLike[str], image: xr.DataArray, error: AxisError) -> Opened:
    """Open a file that does not name its dimensions, which are some of those of an image.

    Those are taken that its sizes allow; of other sizes, whose error is the writer's, the first that are as many.
    """
    others = [dim for dim in image.dims if infer_axis_type(image, str(dim), {}) in ("channel", "time")]
    as_many: Opened | None = None
    single = [dim for dim, size in image.sizes.items() if size == 1]
    for dropped in ([], others[1:], others[:1], others, single, [*others, *single]):
        dims = [str(dim) for dim in image.dims if dim not in dropped]
        try:
            found = open_source(path, dims=dims, labels=False)
        except AxisError:
            continue
        if all(found.image.sizes[dim] in (1, image.sizes[dim]) for dim in dims):
            return found
        as_many = as_many or found
    if as_many is not None:
        return as_many
    stem = Path(path).name.partition(".")[0]
    raise LabelError.mended(
        f'"{os.fspath(path)}" does not name its dimensions, and they are other in number than those of the image '
        f"({', '.join(map(str, image.dims))}), with or without channels and times",
        python=f"give the labels by theirs: labels={{…: open_image({os.fspath(path)!r}, dims=…)}}",
        command="convert it first, and give what is written: "
        f"xomezarr convert {shlex.quote(os.fspath(path))} {shlex.quote(f'{stem}.ome.zarr')} --dims zyx --method mode",
    ) from error
