"""What the other libraries are asked to read, and what was meant by it: nothing but NumPy and arithmetic."""

from __future__ import annotations

import itertools
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import xomezarr

TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
FILE_ORDER = "tczyx"


# --- What is written ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """One kind of image: how it is made, and the cumulative factors of its levels."""

    sizes: Mapping[str, int]
    dtype: str
    scale: Mapping[str, float]
    translation: Mapping[str, float]
    units: Mapping[str, str]
    factors: Sequence[Mapping[str, int]]
    channels: Sequence[str] | None = None
    method: str = "local_mean"
    layout: str = "ome"
    seed: int = 20

    @property
    def dims(self) -> list[str]:
        """Dimensions in the order of the file."""
        return sorted(self.sizes, key=FILE_ORDER.index)

    def pixels(self) -> xr.DataArray:
        """Return pixels without a grid: quarters, whose sums float64 holds exactly, over most of the dtype's range."""
        shape = tuple(self.sizes.values())
        noise = np.random.default_rng(self.seed).integers(0, 240, shape)
        values = noise / 4 if np.dtype(self.dtype).kind == "f" else noise * (np.iinfo(self.dtype).max // 255)
        coords = {} if self.channels is None else {"c": list(self.channels)}
        return xr.DataArray(values.astype(self.dtype), dims=tuple(self.sizes), coords=coords, name="cells")

    def image(self) -> xr.DataArray:
        """Return the image as a user would build it."""
        placed: xr.DataArray = self.pixels().omezarr.assign_grid(
            scale=dict(self.scale), translation=dict(self.translation), units=dict(self.units)
        )
        return placed

    def write(self, path: Path, version: str, **options: Any) -> None:
        """Write the image with all its levels."""
        options |= {"method": self.method, "layout": self.layout, "levels": len(self.factors)}
        self.image().omezarr.to_zarr(path, version=version, **options)


KINDS = {
    "tczyx": Kind(
        sizes={"t": 2, "c": 3, "z": 5, "y": 40, "x": 36},
        dtype="uint16",
        scale={"t": 30.0, "z": 2.0, "y": 0.5, "x": 0.5},
        translation={"t": 0.0, "z": -4.0, "y": 10.25, "x": 1000.0},
        units={"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"},
        # z is four times as coarse as y and x, and catches up only after two steps
        factors=({}, {"y": 2, "x": 2}, {"y": 4, "x": 4}),
        channels=("DAPI", "GFP", "phase contrast µ"),
    ),
    "odd zyx": Kind(
        sizes={"z": 7, "y": 33, "x": 21},
        dtype="float32",
        scale={"z": 0.65, "y": 0.65, "x": 0.65},
        translation={"z": 0.0, "y": 0.0, "x": 0.0},
        units={"z": "nanometer", "y": "nanometer", "x": "nanometer"},
        factors=({}, {"z": 2, "y": 2, "x": 2}, {"z": 4, "y": 4, "x": 4}),
    ),
    "odd yx": Kind(
        sizes={"y": 37, "x": 51},
        dtype="uint8",
        scale={"y": 0.325, "x": 0.325},
        translation={"y": -12.5, "x": 0.1},
        units={"y": "micrometer", "x": "micrometer"},
        factors=({}, {"y": 2, "x": 2}, {"y": 4, "x": 4}),
    ),
    "xyc": Kind(
        sizes={"x": 17, "y": 16, "c": 2},
        dtype="int16",
        scale={"y": 0.25, "x": 0.25},
        translation={"y": 0.0, "x": 3.0},
        units={"y": "micrometer", "x": "micrometer"},
        factors=({}, {"y": 2, "x": 2}, {"y": 4, "x": 4}),
        channels=("red", "green"),
    ),
    "sampled yx": Kind(
        sizes={"y": 30, "x": 19},
        dtype="uint16",
        scale={"y": 2.0, "x": 2.0},
        translation={"y": 0.0, "x": 5.0},
        units={"y": "micrometer", "x": "micrometer"},
        factors=({}, {"y": 2, "x": 2}, {"y": 4, "x": 4}),
        method="nearest",
    ),
}
KINDS["nested tczyx"] = replace(KINDS["tczyx"], layout="xarray")
"""``xyc`` is in the user's order: the file holds ``cyx``. The sizes of ``tczyx`` differ, so that no swap can hide."""


@dataclass(frozen=True)
class Marks:
    """One image of labels: how it is made.

    ``colors`` hold for each label value a colour as users give it and the red, green, blue and opacity that it means;
    ``rows`` the properties. Those with ``later`` are added to the image, the others written with it.
    """

    dims: str
    dtype: str
    values: Sequence[int]
    colors: Mapping[int, tuple[Any, tuple[int, int, int, int]]] = field(default_factory=dict)
    rows: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    later: bool = False

    def pixels(self, kind: Kind) -> np.ndarray[Any, Any]:
        """Return objects of up to three pixels a side, whose edges make ties in blocks of two."""
        sizes = [kind.sizes[d] for d in self.dims]
        chosen = np.random.default_rng(kind.seed).choice(np.asarray(self.values, self.dtype), sizes)
        for dim, size in enumerate(sizes):
            chosen = chosen.take(np.arange(size) // 3, dim)
        return chosen

    def labels(self, kind: Kind) -> xomezarr.Labels:
        """Return the labels as a user would build them."""
        return xomezarr.Labels(
            xr.DataArray(self.pixels(kind), dims=tuple(self.dims)),
            colors={value: given for value, (given, _) in self.colors.items()} or None,
            properties=pd.DataFrame(list(self.rows.values()), index=list(self.rows)) if self.rows else None,
        )


@dataclass(frozen=True)
class Labelled:
    """An image and its labels by name."""

    image: Kind
    labels: Mapping[str, Marks]

    def write(self, path: Path, version: str) -> None:
        """Write the image with its labels, and add those that come later."""
        made = {name: marks.labels(self.image) for name, marks in self.labels.items()}
        together = {name: made[name] for name, marks in self.labels.items() if not marks.later}
        self.image.write(path, version, labels=together or None)
        for name, marks in self.labels.items():
            if marks.later:
                labels = made[name]
                labels.image.omezarr.to_labels(path, name, colors=labels.colors, properties=labels.properties)


LARGE = (2**53 + 1, 2**64 - 1)
"""Label values that float64 does not hold."""

LABELLED = {
    "tczyx": Labelled(
        KINDS["tczyx"],
        {
            "nuclei": Marks(
                "tzyx",
                "uint16",
                (0, 1, 2, 3, 65535),
                {1: ("red", (255, 0, 0, 255)), 2: ("#00ff0080", (0, 255, 0, 128)), 65535: ((1, 2, 3), (1, 2, 3, 255))},
                {
                    1: {"kind": "mitotic", "area": 12.5, "sisters": 2, "checked": True},
                    2: {"kind": "µ-nucleus", "sisters": 0, "checked": False},
                    65535: {"area": 1e-3, "sisters": 1, "checked": True},
                },
            ),
            "membranes": Marks("zyx", "uint8", (0, 7, 8), later=True),
        },
    ),
    "odd zyx": Labelled(
        KINDS["odd zyx"],
        {
            "signed": Marks(
                "zyx", "int32", (-3, 0, 1, 2), {-3: ("blue", (0, 0, 255, 255)), 1: ("lime", (0, 255, 0, 255))}
            ),
            "mask": Marks("zyx", "bool", (0, 1), rows={1: {"kind": "foreground"}}, later=True),
        },
    ),
    "large yx": Labelled(
        KINDS["odd yx"],
        {
            "zones": Marks(
                "yx",
                "uint64",
                (0, 1, *LARGE),
                {LARGE[0]: ("cyan", (0, 255, 255, 255)), LARGE[1]: ("#ff8800", (255, 136, 0, 255))},
                {LARGE[0]: {"area": 1.5}, LARGE[1]: {"area": 2.5}},
            ),
        },
    ),
    "sampled yx": Labelled(
        KINDS["sampled yx"],
        {"spots": Marks("yx", "int16", (0, 1, 2)), "grains": Marks("yx", "uint8", (0, 9), later=True)},
    ),
    "apart yx": Labelled(
        KINDS["odd yx"],
        {"parts": Marks("yx", "uint32", (0, 1, 2), {1: ("red", (255, 0, 0, 255))}, {2: {"kind": "unpainted"}})},
    ),
}
LABELLED["nested tczyx"] = Labelled(
    KINDS["nested tczyx"],
    {"nuclei": Marks("tzyx", "uint16", (0, 1, 2, 3, 65535)), "membranes": Marks("zyx", "uint8", (0, 7, 8), later=True)},
)
"""In ``apart yx``, one label has a colour and another one properties."""


@dataclass(frozen=True)
class Seen(Labelled):
    """A field of a well: an image, its labels, and the run that took it."""

    labels: Mapping[str, Marks] = field(default_factory=dict)
    acquisition: int | None = None

    def together(self) -> xr.DataArray | xr.Dataset:
        """Return what users give for a field to a plate that is written at once."""
        da = self.image.image()
        if self.acquisition is not None:
            da = da.assign_coords(acquisition=self.acquisition)
        labels = {name: marks.labels(self.image).image for name, marks in self.labels.items()}
        return xr.Dataset({"image": da, **labels}) if labels else da

    def add(self, path: Path, place: str, **options: Any) -> None:
        """Add the field to a plate."""
        labels = {name: marks.labels(self.image) for name, marks in self.labels.items()}
        options |= dict(zip(("row", "column", "field"), place.split("/"), strict=True))
        options |= {"acquisition": self.acquisition, "labels": labels or None}
        self.image.image().omezarr.to_plate(path, levels=len(self.image.factors), **options)


@dataclass(frozen=True)
class Plated:
    """A plate: its fields by their paths, in the order in which they are written."""

    rows: Sequence[str]
    columns: Sequence[str]
    fields: Mapping[str, Seen]
    name: str | None = None
    acquisitions: Mapping[int, Mapping[str, Any]] | None = None

    def write(self, path: Path, version: str) -> None:
        """Write a plate that has a name at once, and another field by field."""
        if self.name is None:
            for place, seen in self.fields.items():
                seen.add(path, place, version=version)
            return
        wells: dict[tuple[str, str], dict[str, Any]] = {}
        for place, seen in self.fields.items():
            row, column, name = place.split("/")
            wells.setdefault((row, column), {})[name] = seen.together()
        levels = {len(seen.image.factors) for seen in self.fields.values()}
        xomezarr.write_plate(
            wells,
            path,
            name=self.name,
            rows=self.rows,
            columns=self.columns,
            acquisitions=self.acquisitions,
            version=version,
            levels=levels.pop(),
        )


def well_field(number: int, **changes: Any) -> Kind:
    """Return one field of many: each has its own pixels and its place on the plate."""
    kind = Kind(
        sizes={"c": 2, "y": 21, "x": 18},
        dtype="uint16",
        scale={"y": 0.5, "x": 0.5},
        translation={"y": 100.0 * number, "x": -25.5 * number},
        units={"y": "micrometer", "x": "micrometer"},
        factors=({}, {"y": 2, "x": 2}),
        channels=("DAPI", "GFP"),
        seed=number,
    )
    return replace(kind, **changes)


def stack(number: int) -> Kind:
    """Return a field without channels, in depth."""
    return well_field(
        number,
        sizes={"z": 4, "y": 12, "x": 13},
        dtype="uint8",
        scale={"z": 1.5, "y": 0.5, "x": 0.5},
        units=dict.fromkeys("zyx", "micrometer"),
        channels=None,
    )


PLATED = {
    "two runs": Plated(
        rows=("A", "B"),
        columns=("1", "2", "3"),
        fields={
            "A/1/0": Seen(well_field(1), {"nuclei": Marks("yx", "uint16", (0, 1, 2))}, acquisition=3),
            "A/1/1": Seen(well_field(2), acquisition=7),
            "A/1/2": Seen(well_field(3), acquisition=7),
            "A/3/0": Seen(well_field(4), acquisition=3),
            "A/3/1": Seen(well_field(5), {"nuclei": Marks("yx", "uint16", (0, 5))}, acquisition=7),
            "B/2/0": Seen(well_field(6), acquisition=3),
        },
        name="dose response µ",
        acquisitions={
            3: {"name": "before", "description": "without the drug", "start_time": 1700000000, "end_time": 1700003600},
            7: {"name": "after"},
        },
    ),
    "added": Plated(
        rows=("A", "B", "AA"),
        columns=("2", "10"),
        fields={
            "B/10/1": Seen(stack(11)),
            "AA/2/0": Seen(stack(12)),
            "A/2/0": Seen(stack(13), {"cells 2": Marks("zyx", "uint32", (0, 1, 2), rows={2: {"kind": "dividing"}})}),
            "B/10/0": Seen(stack(14)),
        },
    ),
}
"""Both have wells without images. In ``added``, rows, columns and fields do not come in the order of plates."""

WRITTEN: Mapping[str, Mapping[str, Kind | Labelled | Plated]] = {"image": KINDS, "labels": LABELLED, "plate": PLATED}
"""All that is written, by what it is."""

VERSIONS = ("0.4", "0.5", "0.6")


# --- What is meant -----------------------------------------------------------------------------------------------


def block_mean(array: np.ndarray[Any, Any], factors: Sequence[int]) -> np.ndarray[Any, Any]:
    """Return the exact mean of blocks, edge blocks over the pixels that they have, rounded once, half to even."""
    total = array.astype("float64" if array.dtype.kind == "f" else "int64")
    count = np.ones(array.shape, "int64")
    for dim, factor in enumerate(factors):
        starts = np.arange(0, array.shape[dim], factor)
        total, count = (np.add.reduceat(a, starts, axis=dim) for a in (total, count))
    if array.dtype.kind == "f":
        return (total / count).astype(array.dtype)
    floor, rest = np.divmod(total, count)
    up = (2 * rest > count) | ((2 * rest == count) & (floor % 2 == 1))
    return np.asarray(floor + up).astype(array.dtype)


def sample(array: np.ndarray[Any, Any], steps: Sequence[int]) -> np.ndarray[Any, Any]:
    """Return of each block the pixel before its middle."""
    return array[
        tuple(slice(min((step - 1) // 2, size - 1), None, step) for step, size in zip(steps, array.shape, strict=True))
    ]


def most_frequent(array: np.ndarray[Any, Any], steps: Sequence[int]) -> np.ndarray[Any, Any]:
    """Return of each block the most frequent value; of several, the one that comes first from the preferred corner.

    Along each axis blocks of even index are read from their last pixel, those of odd index from their first.
    """
    reduced = np.empty([-(-size // step) for size, step in zip(array.shape, steps, strict=True)], array.dtype)
    for block in np.ndindex(reduced.shape):
        lines = []
        for index, step, size in zip(block, steps, array.shape, strict=True):
            line = range(index * step, min((index + 1) * step, size))
            lines.append(line if index % 2 else line[::-1])
        ((value, _),) = Counter(array[place] for place in itertools.product(*lines)).most_common(1)
        reduced[block] = value
    return reduced


def arrays(
    pixels: np.ndarray[Any, Any], dims: Sequence[str], kind: Kind, labels: bool = False
) -> list[np.ndarray[Any, Any]]:
    """Return the pixels of all levels: means of level 0, else each made of the one above."""
    made = [pixels]
    for before, after in itertools.pairwise(kind.factors):
        if kind.method == "local_mean" and not labels:
            made.append(block_mean(pixels, [after.get(d, 1) for d in dims]))
        else:
            steps = [after.get(d, 1) // before.get(d, 1) for d in dims]
            made.append((sample if kind.method == "nearest" else most_frequent)(made[-1], steps))
    return made


def levels(made: Sequence[np.ndarray[Any, Any]], dims: Sequence[str], kind: Kind) -> list[dict[str, Any]]:
    """Return what is to be told of all levels of an image of a kind, or of its labels."""
    told = []
    before = dict.fromkeys(dims, 1)
    shift = dict.fromkeys(dims, 0.0)  # in pixels of level 0
    for array, factors in zip(made, kind.factors, strict=True):
        factor = {d: factors.get(d, 1) for d in dims}
        for d in dims:
            step = factor[d] // before[d]
            shift[d] += before[d] * ((step - 1) // 2 if kind.method == "nearest" else (step - 1) / 2)
        scale = {d: kind.scale.get(d, 1.0) for d in dims}
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        told.append(
            {
                "shape": list(array.shape),
                "dtype": array.dtype.name,
                "scale": {d: scale[d] * factor[d] for d in dims},
                "translation": {d: kind.translation.get(d, 0.0) + scale[d] * shift[d] for d in dims},
                "checksum": zlib.crc32(little.tobytes()),
            }
        )
        before = factor
    return told


def image(kind: Kind) -> dict[str, Any]:
    """Return what a library that tells everything should tell of an image of this kind."""
    dims = kind.dims
    pixels = kind.pixels().transpose(*dims).to_numpy()
    return {
        "levels": levels(arrays(pixels, dims, kind), dims, kind),
        "axes": axes(dims, kind),
        "channels": None if kind.channels is None else list(kind.channels),
        "name": "cells",
        "complaints": [],
    }


def axes(dims: Sequence[str], kind: Kind) -> list[dict[str, str | None]]:
    return [{"name": d, "type": TYPES[d], "unit": kind.units.get(d)} for d in dims]


def label(marks: Marks, kind: Kind, name: str) -> dict[str, Any]:
    """Return what should be told of one image of labels; files hold integers for bool."""
    pixels = marks.pixels(kind)
    stored = pixels.astype("uint8") if pixels.dtype == bool else pixels
    return {
        "levels": levels(arrays(stored, marks.dims, kind, labels=True), marks.dims, kind),
        "axes": axes(marks.dims, kind),
        "channels": None,
        "name": name,
        "complaints": [],
        "colors": {str(value): list(rgba) for value, (_, rgba) in marks.colors.items()},
        "properties": {str(value): dict(row) for value, row in marks.rows.items()},
        "source": "../../",
    }


def labels(labelled: Labelled) -> dict[str, Any]:
    """Return what should be told of all labels of an image, those first that were written with it."""
    names = sorted(labelled.labels, key=lambda name: labelled.labels[name].later)
    return {
        "names": names,
        "labels": {name: label(labelled.labels[name], labelled.image, name) for name in names},
        "complaints": [],
    }


def plate(plated: Plated, path: Path) -> dict[str, Any]:
    """Return what should be told of a plate that is in a store."""
    wells: dict[str, dict[str, Any]] = {}
    for place, seen in plated.fields.items():
        row, column, name = place.split("/")
        indices = {"row": plated.rows.index(row), "column": plated.columns.index(column)}
        well = wells.setdefault(f"{row}/{column}", {**indices, "fields": {}})
        told = image(seen.image)
        if plated.name is not None and seen.labels:
            told["name"] = place  # the variable of the Dataset that was given is called so because it is the image
        well["fields"][name] = {"image": told, "labels": labels(seen), "acquisition": seen.acquisition}
    taken = [[told["acquisition"] for told in well["fields"].values()] for well in wells.values()]
    return {
        "name": path.name.removesuffix(".ome.zarr") if plated.name is None else plated.name,
        "rows": list(plated.rows),
        "columns": list(plated.columns),
        "field_count": max(map(len, taken)),
        "acquisitions": plated.acquisitions
        and [
            {
                "id": number,
                "name": known["name"],
                "description": known.get("description"),
                "maximumfieldcount": max(runs.count(number) for runs in taken),
                "starttime": known.get("start_time"),
                "endtime": known.get("end_time"),
            }
            for number, known in plated.acquisitions.items()
        ],
        "wells": wells,
        "complaints": [],
    }
