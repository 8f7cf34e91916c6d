"""Chunk arithmetic: plain numbers in, plain numbers out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from xomezarr.errors import ChunkError

__all__ = ["SHARD_BYTES", "TARGET_BYTES", "chunk_shape", "default_chunks", "fits", "shard_shape"]

TARGET_BYTES = 2 * 2**20
"""Decoded bytes that a default chunk aims at.

A viewer fetches a screen in a dozen requests of this size, a disk or an object store spends more time
on the bytes than on the request, and powers of two keep the result between 1 and 4 MiB.
"""

SHARD_BYTES = 32 * 2**20
"""Decoded bytes that an automatic shard aims at.

Sixteen chunks in one file or object: a terabyte makes tens of thousands of them rather than a million. A writer holds
whole shards of each level, so that larger ones cost memory.
"""


def default_chunks(sizes: Mapping[str, int], itemsize: int, shrinking: Sequence[str]) -> dict[str, int]:
    """Choose chunks of about `TARGET_BYTES`: square or cubic in the dimensions that shrink, 1 elsewhere.

    Parameters
    ----------
    sizes
        Of level 0, by dimension.
    itemsize
        Bytes of one pixel.
    shrinking
        Dimensions that shrink at some step. A dimension smaller than the edge is taken whole, and the others
        make up for it.

    Examples
    --------
    >>> default_chunks({"c": 2, "y": 4096, "x": 4096}, 2, ["y", "x"])
    {'c': 1, 'y': 1024, 'x': 1024}
    >>> default_chunks({"z": 5, "y": 4096, "x": 4096}, 2, ["z", "y", "x"])
    {'z': 5, 'y': 512, 'x': 512}
    """
    chunks = dict.fromkeys(sizes, 1)
    open_dims = sorted(shrinking, key=lambda dim: sizes[dim])
    pixels = TARGET_BYTES / itemsize
    while open_dims:
        edge = _edge(pixels, len(open_dims))
        dim = open_dims[0]
        if sizes[dim] > edge:
            return chunks | dict.fromkeys(open_dims, edge)
        chunks[dim] = max(sizes[dim], 1)
        pixels /= chunks[dim]
        open_dims.pop(0)
    return chunks


def _edge(pixels: float, ndim: int) -> int:
    """Return the power of two whose `ndim`-th power is nearest to `pixels` by ratio, the smaller of two."""
    exponent = math.log2(max(pixels, 1)) / ndim
    return int(2 ** math.ceil(exponent - 0.5))


def chunk_shape(
    chunks: Mapping[str, int] | Sequence[int] | int,
    order: Sequence[str],
    default: Mapping[str, int],
    name: str = "chunks",
) -> dict[str, int]:
    """Turn the user's `chunks`, or `shards`, into a number for each dimension.

    Parameters
    ----------
    chunks
        By dimension (others keep the default; -1 is the whole dimension), or one for each dimension in the
        array's order.
    order
        The array's dimensions, in its own order.
    default
        What dimensions get that `chunks` leaves out.
    name
        What the messages call them.

    Raises
    ------
    ChunkError
        If a dimension is unknown, the numbers are too few or many, or one is not a positive integer.
    """
    example = f"{name}={dict(default)}"
    if not isinstance(chunks, Mapping | Sequence) or isinstance(chunks, str | bytes):
        raise ChunkError(f"{name}={chunks!r} does not say of which dimensions; give numbers by dimension: {example}")
    if isinstance(chunks, Mapping):
        unknown = [dim for dim in chunks if dim not in order]
        if unknown:
            raise ChunkError(
                f"{name} names dimension {unknown[0]!r}, which the array lacks; "
                f"its dimensions are {tuple(order)}: {example}"
            )
        asked = dict(chunks)
    elif len(chunks) == len(order):
        asked = dict(zip(order, chunks, strict=True))
    else:
        raise ChunkError(
            f"{name}={tuple(chunks)} has {len(chunks)} numbers for the {len(order)} dimensions {tuple(order)}; "
            f"give one for each, or by dimension: {example}"
        )
    for dim, chunk in asked.items():
        if isinstance(chunk, bool) or not hasattr(chunk, "__index__") or (chunk < 1 and chunk != -1):
            raise ChunkError(
                f"{name}[{dim!r}] is {chunk!r}; give a number of pixels of at least 1, or -1 for the whole dimension: "
                f"{name}={{{dim!r}: {default[dim]}}}"
            )
    return {dim: int(asked.get(dim, default[dim])) for dim in default}


def fits(sizes: Mapping[str, int], chunks: Mapping[str, int], dims: Sequence[str]) -> bool:
    """Whether a level is no larger than one chunk along these dimensions."""
    return all(sizes[dim] <= chunks[dim] for dim in dims)


def shard_shape(
    shards: Mapping[str, int] | Sequence[int] | str,
    order: Sequence[str],
    chunks: Mapping[str, int],
    sizes: Mapping[str, int],
    itemsize: int,
) -> dict[str, int]:
    """Turn the user's `shards` into a multiple of the chunk for each dimension.

    Parameters
    ----------
    shards
        ``"auto"``: about `SHARD_BYTES`, grown from the chunk by doubling, the dimension with the fewest chunks first;
        else as `chunks` of `chunk_shape`.
    order
        The array's dimensions, in its own order.
    chunks, sizes
        By dimension.
    itemsize
        Bytes of a pixel.

    Raises
    ------
    ChunkError
        If `shards` is not understood, or is no multiple of the chunks.

    Examples
    --------
    >>> shard_shape("auto", "yx", {"y": 1024, "x": 1024}, {"y": 9000, "x": 9000}, 2)
    {'y': 4096, 'x': 4096}
    """
    if isinstance(shards, str):
        if shards != "auto":
            raise ChunkError(f'shards={shards!r} is not known; give shards="auto", or numbers by dimension')
        return _automatic_shards(chunks, sizes, itemsize)
    asked = chunk_shape(shards, order, chunks, "shards")
    # a chunk is cut to the image, and then holds whatever the shard was to hold
    asked = {dim: -1 if shard >= sizes[dim] and chunks[dim] >= sizes[dim] else shard for dim, shard in asked.items()}
    for dim, shard in asked.items():
        if shard != -1 and shard % chunks[dim]:
            raise ChunkError(
                f"shards[{dim!r}] is {shard}, no multiple of the chunk, {chunks[dim]}; "
                f"give shards={{{dim!r}: {-(-shard // chunks[dim]) * chunks[dim]}}}, say"
            )
    return {dim: covering(sizes[dim], chunks[dim]) if shard == -1 else shard for dim, shard in asked.items()}


def _automatic_shards(chunks: Mapping[str, int], sizes: Mapping[str, int], itemsize: int) -> dict[str, int]:
    shards = dict(chunks)
    while math.prod(shards.values()) * itemsize * 2 <= SHARD_BYTES:
        able = [dim for dim in shards if shards[dim] < sizes[dim]]
        # planes of their own share a shard only once they are whole
        growing = [dim for dim in able if chunks[dim] > 1] or able
        if not growing:
            break
        dim = min(growing, key=lambda dim: shards[dim] // chunks[dim])
        shards[dim] *= 2
    return {dim: min(shards[dim], covering(sizes[dim], chunks[dim])) for dim in shards}


def covering(size: int, chunk: int) -> int:
    """Return the multiple of a chunk that covers a dimension.

    >>> covering(100, 64)
    128
    """
    return -(-size // chunk) * chunk
