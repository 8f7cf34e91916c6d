"""Compressed chunks are looked at before they are decoded, and not beyond what a chunk may hold.

numcodecs believes what a chunk says of itself. Of one that was cut off, Blosc makes pixels of what lies behind it in
memory, which nobody notices; and a few kilobytes may decompress to more than there is memory. So arrays that are read
here decode by the same codecs, each in a guard: it knows how many bytes a chunk of the array holds.
"""

from __future__ import annotations

import asyncio
import bz2
import copy
import lzma
import math
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec, ZstdCodec

from xomezarr.errors import CodecError
from xomezarr.lazy import zarr
from xomezarr.resources import machine_memory

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer

__all__ = ["guarded"]

KINDS: Mapping[type, str] = {BloscCodec: "blosc", ZstdCodec: "zstd", GzipCodec: "gzip"}
"""What numcodecs calls the codecs that are zarr's own."""

UNSAFE = "pickle"
"""A codec that runs whatever the store says; newer versions of zarr and numcodecs refuse it as well."""

CHECKSUM = 4
"""Bytes that a checksum before a compressor adds."""

MAGIC = b"\x28\xb5\x2f\xfd"
"""What a frame of zstd begins with."""

ROOM = 64 * 2**20
"""Bytes that a frame may hold that does not say how many, however small its chunk is."""


def guarded(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """Return an array that refuses chunks that are cut off, or hold more than a chunk; what it says of itself stays.

    Raises
    ------
    CodecError
        If decoding it would run what the store says.
    """
    inner = array.async_array
    try:
        pipeline: Any = inner.codec_pipeline
        codecs = tuple(pipeline)
        made = tuple(_guarded(codecs, inner.metadata))
        if all(one is other for one, other in zip(made, codecs, strict=True)):
            return array
        seen, spec = copy.copy(inner), _spec(inner)
        chain = type(pipeline).from_codecs(made)
        try:
            chain = chain.evolve_from_array_spec(spec)
        except ValueError:  # of zarr 3.1, which looks twice at what can be looked at once
            evolved = tuple(codec.evolve_from_array_spec(array_spec=spec) for codec in made)
            chain = type(pipeline).from_codecs(evolved)
        # the pipeline is no part of the metadata, by which codecs are told, compared and written
        object.__setattr__(seen, "codec_pipeline", chain)
    except (ImportError, AttributeError, TypeError, NotImplementedError):
        return array  # pipelines of others, such as zarrs, decode by codecs of their own
    return zarr.Array(seen)


def _spec(inner: Any) -> ArraySpec:
    """Return what a chunk, or shard, of an array is, as zarr's codecs are told of it."""
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import default_buffer_prototype

    metadata = inner.metadata
    return ArraySpec(
        shape=tuple(metadata.chunks if metadata.zarr_format == 2 else metadata.chunk_grid.chunk_shape),
        dtype=metadata.dtype,
        fill_value=metadata.fill_value,
        config=inner.config,
        prototype=default_buffer_prototype(),
    )


def _guarded(codecs: tuple[Any, ...], metadata: Any) -> Iterator[Any]:
    """Yield the codecs of an array with each compressor in a guard."""
    if metadata.zarr_format == 2:
        (codec,) = codecs
        for one in (codec.compressor, *(codec.filters or ())):
            _check_safe(getattr(one, "codec_id", None))
        if codec.compressor is None or isinstance(codec.compressor, _GuardedV2):
            yield codec
            return
        dtype = metadata.dtype.to_native_dtype()
        # filters may change how many bytes there are
        known = None if codec.filters or dtype.hasobject else math.prod(metadata.chunks) * dtype.itemsize
        yield replace(codec, compressor=_GuardedV2(codec.compressor, known))
        return
    yield from _guarded_v3(codecs)


def _guarded_v3(codecs: tuple[Any, ...]) -> Iterator[Any]:
    more: int | None = None  # bytes beside those of the pixels; None where nobody knows
    for codec in codecs:
        kind = _kind(codec)
        _check_safe(kind)
        if isinstance(codec, ShardingCodec):
            inner = tuple(_guarded_v3(codec.codecs))
            changed = any(one is not other for one, other in zip(inner, codec.codecs, strict=True))
            yield _sharding(codec, inner) if changed else codec
        elif isinstance(codec, BytesBytesCodec) and kind in (*HEADERS, *STREAMS):
            yield _Guard(codec, str(kind), more)
        else:
            yield codec
        if isinstance(codec, BytesCodec):
            more = 0
        elif more is not None:
            more = more + CHECKSUM if isinstance(codec, Crc32cCodec) else None


def _sharding(codec: ShardingCodec, inner: tuple[Any, ...]) -> ShardingCodec:
    return ShardingCodec(
        chunk_shape=codec.chunk_shape,
        codecs=inner,
        index_codecs=codec.index_codecs,
        index_location=codec.index_location,
    )


def _kind(codec: Any) -> str | None:
    """Return what numcodecs calls a codec of Zarr v3; None for one that is not among its own."""
    if type(codec) in KINDS:
        return KINDS[type(codec)]
    name = getattr(codec, "codec_name", None)
    return name.removeprefix("numcodecs.") if isinstance(name, str) else None


def _check_safe(kind: Any) -> None:
    if kind == UNSAFE:
        raise CodecError(
            f"its chunks are encoded by {UNSAFE!r}, which runs whatever they say, and are not read; if you trust them, "
            "read the array with zarr, and write what it holds: xr.DataArray(…).omezarr.to_zarr(…)"
        )


# --- what a chunk says of itself -------------------------------------------------------------------------------------


def _blosc(content: memoryview, known: int | None) -> None:
    if len(content) < 16:
        raise ValueError(f"it has {len(content)} bytes, and Blosc's header alone has 16")
    holds, _, own = struct.unpack_from("<III", content, 4)
    if own > len(content):
        raise ValueError(f"it has {len(content)} of its {own} bytes")
    _check_known(holds, known)


def _lz4(content: memoryview, known: int | None) -> None:
    if len(content) < 4:
        raise ValueError(f"it has {len(content)} bytes, and its length alone has 4")
    _check_known(struct.unpack_from("<I", content)[0], known)


def _zstd(content: memoryview, known: int | None) -> None:
    """Check a frame by its header, and one that does not say what it holds by those of its blocks (RFC 8878)."""
    if len(content) < 6 or bytes(content[:4]) != MAGIC:
        return  # which zstd itself tells
    flags = content[4]
    single = flags >> 5 & 1
    at = 5 + (1 - single) + (0, 1, 2, 4)[flags & 3]
    size = (single, 2, 4, 8)[flags >> 6]
    if size:
        _check_known(int.from_bytes(content[at : at + size], "little") + (256 if size == 2 else 0), known)
    elif known is not None and (most := _most_in_blocks(content, at)) > max(16 * known, ROOM):
        raise ValueError(f"it may hold {most} bytes, and a chunk holds {known}")


def _most_in_blocks(content: memoryview, at: int) -> int:
    """Return how many bytes the blocks of a frame of zstd hold at most."""
    most = 0
    while at + 3 <= len(content):
        header = int.from_bytes(content[at : at + 3], "little")
        size, kind = header >> 3, header >> 1 & 3
        most += size if kind < 2 else 2**17
        at += 3 + (1 if kind == 1 else size)
        if header & 1 or kind == 3:
            break
    return most


def _check_known(holds: int, known: int | None) -> None:
    if known is not None and holds != known:
        raise ValueError(f"it holds {holds} bytes, and a chunk holds {known}")


HEADERS: Mapping[str, Callable[[memoryview, int | None], None]] = {"blosc": _blosc, "zstd": _zstd, "lz4": _lz4}
"""Codecs whose chunks say how many bytes they hold."""

STREAMS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "gzip": lambda config: zlib.decompressobj(31),
    "zlib": lambda config: zlib.decompressobj(),
    "bz2": lambda config: bz2.BZ2Decompressor(),
    "lzma": lambda config: lzma.LZMADecompressor(config.get("format", lzma.FORMAT_XZ), filters=config.get("filters")),
}
"""Codecs whose chunks do not, or not before their end: what decompresses one, by how the codec is configured."""


def _decompressed(kind: str, config: Mapping[str, Any], content: memoryview, known: int) -> bytes:
    """Decompress a stream, and no more of it than a chunk holds."""
    found, rest = bytearray(), bytes(content)
    while rest:
        stream = STREAMS[kind](config)
        found += stream.decompress(rest, known + 1 - len(found))
        if len(found) > known:
            raise ValueError(f"it holds more than the {known} bytes of a chunk")
        if not stream.eof:
            raise EOFError(f"it ends too early, after {len(found)} of {known} bytes")
        # files of gzip may be joined, and padded
        rest = stream.unused_data.lstrip(b"\0") if kind == "gzip" else b""
    _check_known(len(found), known)
    return bytes(found)


def _decoded(kind: str, config: Mapping[str, Any], content: Any, known: int | None) -> bytes | None:
    """Check a chunk; return what it holds where that was needed to check it."""
    if known is not None and known > machine_memory():
        raise ValueError(f"it holds {known} bytes, which is more than this machine has memory")
    seen = memoryview(content).cast("B")
    if kind in HEADERS:
        HEADERS[kind](seen, known)
        return None
    return _decompressed(kind, config, seen, known) if known is not None else None


# --- guards ----------------------------------------------------------------------------------------------------------


class _GuardedV2:
    """A compressor of numcodecs, as zarr calls it for Zarr v2."""

    def __init__(self, codec: Any, known: int | None) -> None:
        self.codec, self.codec_id, self.known = codec, codec.codec_id, known

    def encode(self, content: Any) -> Any:
        """Compress a chunk."""
        return self.codec.encode(content)

    def decode(self, content: Any, out: Any = None) -> Any:
        """Decompress a chunk, once it was looked at."""
        if self.codec_id in HEADERS or self.codec_id in STREAMS:
            config = self.codec.get_config() if self.codec_id in STREAMS else {}
            found = _decoded(self.codec_id, config, content, self.known)
            if found is not None:
                return found
        return self.codec.decode(content)


@dataclass(frozen=True)
class _Guard(BytesBytesCodec):
    """A compressor of Zarr v3.

    Parameters
    ----------
    codec
        The compressor.
    kind
        What numcodecs calls it.
    more
        Bytes that a chunk has, beside those of its pixels, before it is compressed; None where nobody knows.
    """

    codec: Any
    kind: str
    more: int | None

    is_fixed_size = False

    @property
    def _sync_capable(self) -> bool:
        """Whether zarr may call it without an event loop."""
        return hasattr(self.codec, "_decode_sync") and getattr(self.codec, "_sync_capable", True)

    def to_dict(self) -> dict[str, Any]:
        """Return what the metadata of an array say of the compressor."""
        found: dict[str, Any] = self.codec.to_dict()
        return found

    def evolve_from_array_spec(self, array_spec: ArraySpec) -> _Guard:
        """Return it as it is for arrays of one kind."""
        return replace(self, codec=self.codec.evolve_from_array_spec(array_spec))

    def resolve_metadata(self, chunk_spec: ArraySpec) -> ArraySpec:
        """Return what codecs after it are told."""
        found: ArraySpec = self.codec.resolve_metadata(chunk_spec)
        return found

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Return how many bytes it makes of some, where it always makes as many."""
        found: int = self.codec.compute_encoded_size(input_byte_length, chunk_spec)
        return found

    def _checked(self, content: Buffer, chunk_spec: ArraySpec) -> Buffer | None:
        known = None
        with suppress(AttributeError, TypeError):  # text has no length of its own
            dtype: Any = chunk_spec.dtype
            known = None if self.more is None else math.prod(chunk_spec.shape) * dtype.item_size + self.more
        config = getattr(self.codec, "codec_config", {})
        found = _decoded(self.kind, config, content.as_numpy_array(), known)
        return None if found is None else chunk_spec.prototype.buffer.from_bytes(found)

    def _decode_sync(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        found = self._checked(chunk_data, chunk_spec)
        if found is None:
            found = self.codec._decode_sync(chunk_data, chunk_spec)
        return found

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        found = await asyncio.to_thread(self._checked, chunk_data, chunk_spec)
        if found is None:
            found = await self.codec._decode_single(chunk_data, chunk_spec)
        return found

    def _encode_sync(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer | None:
        found: Buffer | None = self.codec._encode_sync(chunk_data, chunk_spec)
        return found

    async def _encode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer | None:
        found: Buffer | None = await self.codec._encode_single(chunk_data, chunk_spec)
        return found
