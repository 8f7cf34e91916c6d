"""No legal store is rejected: stores drawn from all that the texts allow are valid, and open."""

from __future__ import annotations

import json
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from test_spec import json_values

import xomezarr
from xomezarr.errors import MetadataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WRITTEN = ("0.4", "0.5", "0.6")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
axis_names = st.sampled_from(["row", "col", "x", "y", "z", "Z", "t", "c", "λ", "a b", "z/y", "", "scale"]) | texts
unknown = st.dictionaries(st.sampled_from(["x-a", "@id", "longName", "discrete", "µ"]), json_values, max_size=2)
paths = st.sampled_from(["0", "1", "s2", "deep/er/3", "deep/er/4", "with space/5", "µ/6", ".7", "scale0/image"])


@st.composite
def axes(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw axes in their order: time, channels, a type of its own or none, and two or three of space."""
    kinds = [
        *draw(st.sampled_from([[], ["time"]])),
        *draw(st.sampled_from([[], ["channel"], ["tau"], [None]])),
        *draw(st.sampled_from([["space"] * 2, ["space"] * 3])),
    ]
    names = draw(st.lists(axis_names, min_size=len(kinds), max_size=len(kinds), unique=True))
    units = st.none() | st.sampled_from(["micrometer", "second", "parsec", "furlong", ""])
    told = []
    for name, kind in zip(names, kinds, strict=True):
        known = {"name": name, "type": kind, "unit": draw(units)}
        told.append({**draw(unknown), **{key: value for key, value in known.items() if value is not None}})
    return told


@st.composite
def levels(draw: st.DrawFn, count: int) -> list[tuple[str, list[int], list[float], list[float] | None]]:
    """Draw path, sizes, scale and translation of each level."""
    sizes = draw(st.lists(st.integers(1, 7), min_size=count, max_size=count))
    scale = draw(st.lists(st.sampled_from([1e-9, 0.1, 0.325, 1, 7.5, 1e6]), min_size=count, max_size=count))
    halved = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    found = []
    for path in draw(st.lists(paths, min_size=1, max_size=3, unique=True)):
        moved = draw(st.none() | st.lists(st.integers(-9, 9) | st.floats(-1e3, 1e3), min_size=count, max_size=count))
        found.append((path, list(sizes), list(scale), moved))
        steps = [2 if half and size > 1 else 1 for half, size in zip(halved, sizes, strict=True)]
        sizes = [-(-size // step) for size, step in zip(sizes, steps, strict=True)]
        scale = [value * step for value, step in zip(scale, steps, strict=True)]
    return found


Stored = tuple[str, list[int], list[str], str]
"""Path, shape, dimension names and dtype of an array."""


@st.composite
def stores(draw: st.DrawFn, version: str) -> tuple[dict[str, Any], list[Stored]]:
    """Draw the attributes of a group, and the arrays in it."""
    multiscales, arrays = [], {}
    for number in range(draw(st.integers(1, 2))):
        told = draw(axes())
        system = draw(st.sampled_from(["physical", "world", "µ", " "]))
        datasets = []
        for path, shape, scale, moved in draw(levels(len(told))):
            place = f"{number}-{path}" if number else path  # several share no array
            arrays[place] = (
                place,
                shape,
                [axis["name"] for axis in told],
                draw(st.sampled_from(["u1", "i8", "f4", "?"])),
            )
            steps: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
            steps += [{"type": "translation", "translation": moved}] if moved is not None else []
            if version == "0.6":
                made = {"type": "sequence", "transformations": steps} if len(steps) > 1 else steps[0]
                steps = [{**made, "input": {"path": place}, "output": {"name": system}}]
            datasets.append({**draw(unknown), "path": place, "coordinateTransformations": steps})
        named = {"coordinateSystems": [{"name": system, "axes": told}]} if version == "0.6" else {"axes": told}
        name = draw(st.none() | texts)
        said = {"name": name} if name is not None else {}
        multiscales.append({**draw(unknown), **said, **named, "datasets": datasets})
    metadata: dict[str, Any] = {**draw(unknown), "multiscales": multiscales}
    if draw(st.booleans()):
        window = {"min": 0, "max": 1.5, "start": 0, "end": 1, **draw(unknown)}
        channels = draw(st.integers(0, 2))
        metadata["omero"] = {"channels": [{**draw(unknown), "color": "ff00FF", "window": window}] * channels}
    beside = draw(unknown)
    return {**beside, **metadata} if version == "0.4" else {**beside, "ome": {**metadata, "version": version}}, [
        *arrays.values()
    ]


def write(
    folder: Path, version: str, attrs: Mapping[str, Any], arrays: Sequence[tuple[str, list[int], list[str], str]]
) -> None:
    zarr_format: Any = 2 if version == "0.4" else 3
    group = zarr.create_group(folder, zarr_format=zarr_format, attributes=json.loads(json.dumps(attrs)))
    for path, shape, names, dtype in arrays:
        options: Any = {"dimension_names": names}
        if version == "0.4":
            options = {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
        group.create_array(path, shape=tuple(shape), dtype=dtype, **options)[...] = np.ones(shape, dtype)


@pytest.mark.parametrize("version", WRITTEN)
@settings(max_examples=40)
@given(st.data())
def test_no_legal_store_is_rejected(version: str, data: st.DataObject) -> None:
    attrs, arrays = data.draw(stores(version))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write(Path(folder) / "a.zarr", version, attrs, arrays)
        report = xomezarr.validate(Path(folder) / "a.zarr")
        assert report.version == version
        assert not report.errors, report
        (first, *_) = attrs.get("ome", attrs)["multiscales"]
        by_path = {path: (shape, names) for path, shape, names, _ in arrays}
        _, dims = by_path[first["datasets"][0]["path"]]
        if any("/" in dim or dim == "image" for dim in dims):  # which xarray's trees cannot hold
            with pytest.raises(MetadataError, match="rename the axis"):
                xr.open_datatree(Path(folder) / "a.zarr", engine="omezarr")
            return
        tree = xr.open_datatree(Path(folder) / "a.zarr", engine="omezarr")
        for level, dataset in zip(tree.omezarr.levels, first["datasets"], strict=True):
            assert (list(level.shape), list(level.dims)) == by_path[dataset["path"]]
            assert (level.to_numpy() == 1).all()
        xr.open_dataarray(Path(folder) / "a.zarr", engine="omezarr")
