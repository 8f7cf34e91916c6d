"""Chunk arithmetic: default chunks of 1 to 4 MiB, and the user's own checked (C7)."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xomezarr.chunking import chunk_shape, default_chunks, fits
from xomezarr.errors import ChunkError

ITEMSIZES = st.sampled_from([1, 2, 4, 8, 16])


@given(st.lists(st.integers(1, 20_000), min_size=2, max_size=3), ITEMSIZES)
def test_default_chunks_hold_one_to_four_mebibytes_or_the_whole_plane(spatial: list[int], itemsize: int) -> None:
    dims = ["z", "y", "x"][-len(spatial) :]
    sizes = {"t": 7, "c": 3} | dict(zip(dims, spatial, strict=True))
    chunks = default_chunks(sizes, itemsize, dims)
    assert list(chunks) == list(sizes)
    assert chunks["t"] == chunks["c"] == 1
    assert all(1 <= chunks[dim] <= sizes[dim] for dim in dims)
    nbytes = math.prod(chunks.values()) * itemsize
    assert nbytes <= 4 * 2**20
    # smaller only where the image is: whole in every dimension
    assert nbytes >= 2**20 or all(chunks[dim] == sizes[dim] for dim in dims)


@given(st.lists(st.integers(1, 20_000), min_size=2, max_size=3), ITEMSIZES)
def test_default_chunks_are_square_or_cubic_where_they_cut(spatial: list[int], itemsize: int) -> None:
    sizes = {f"d{index}": size for index, size in enumerate(spatial)}
    chunks = default_chunks(sizes, itemsize, list(sizes))
    cut = {chunks[dim] for dim in sizes if chunks[dim] < sizes[dim]}
    assert len(cut) <= 1
    assert all(edge & (edge - 1) == 0 for edge in cut)


def test_default_chunks_of_usual_images() -> None:
    assert default_chunks({"c": 2, "y": 4096, "x": 4096}, 2, ["y", "x"]) == {"c": 1, "y": 1024, "x": 1024}
    assert default_chunks({"z": 512, "y": 512, "x": 512}, 2, ["z", "y", "x"]) == {"z": 128, "y": 128, "x": 128}
    assert default_chunks({"y": 40, "x": 30}, 1, ["y", "x"]) == {"y": 40, "x": 30}
    assert default_chunks({"y": 1, "x": 30}, 1, ["x"]) == {"y": 1, "x": 30}


DEFAULT = {"c": 1, "y": 256, "x": 256}


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ({}, DEFAULT),
        ({"y": 64}, {"c": 1, "y": 64, "x": 256}),
        ({"c": -1}, {"c": -1, "y": 256, "x": 256}),
        ((10, 20, 3), {"c": 3, "y": 10, "x": 20}),
        ([10, 20, -1], {"c": -1, "y": 10, "x": 20}),
    ],
)
def test_chunks_by_dimension_or_in_the_order_of_the_array(chunks: Any, expected: dict[str, int]) -> None:
    found = chunk_shape(chunks, ("y", "x", "c"), DEFAULT)
    assert found == expected
    assert list(found) == list(DEFAULT)


@pytest.mark.parametrize(
    ("chunks", "part"),
    [
        (64, "chunks=64 does not say of which"),
        ("auto", "chunks='auto' does not say"),
        (None, "chunks=None"),
        ({"z": 3}, "names dimension 'z'"),
        ((1, 2), "2 numbers for the 3 dimensions"),
        ({"y": 0}, "chunks['y'] is 0"),
        ({"y": -2}, "chunks['y'] is -2"),
        ({"y": 2.5}, "chunks['y'] is 2.5"),
        ({"y": True}, "chunks['y'] is True"),
        ({"y": "auto"}, "chunks['y'] is 'auto'"),
        ({"y": None}, "chunks['y'] is None"),
    ],
)
def test_c7_chunks_that_cannot_be_name_some_that_can(chunks: Any, part: str) -> None:
    with pytest.raises(ChunkError) as caught:
        chunk_shape(chunks, ("y", "x", "c"), DEFAULT)
    assert part in str(caught.value)
    cure = str(caught.value).rsplit("chunks=", 1)[1]
    assert chunk_shape(eval(cure), ("y", "x", "c"), DEFAULT) == DEFAULT


def test_fits() -> None:
    assert fits({"y": 10, "x": 99}, {"y": 10, "x": 5}, ["y"])
    assert not fits({"y": 10, "x": 99}, {"y": 10, "x": 5}, ["y", "x"])
