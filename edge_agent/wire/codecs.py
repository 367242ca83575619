"""Compression of batch bodies. The codec's number travels beside the body.

zstd at level 1 wherever zstandard has a wheel, deflate elsewhere. Both decoders are given the raw size
beforehand and stop there: a body cannot unpack to more than it announced. Each body is one zstd frame;
frames are never concatenated, because a decoder returns the first alone without a word.
"""

import zlib
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from edge_agent.wire.errors import TooLarge, UnknownCodec, WireError

try:
    import zstandard
except ImportError:  # 32-bit ARM has no wheel
    zstandard = None  # type: ignore[assignment]

ZSTD_LEVEL: Final = 1
DEFLATE_LEVEL: Final = 6
# A smaller block costs more than its own statistics save.
MIN_BLOCK_BYTES: Final = 128


class Codec(IntEnum):
    NONE = 0
    ZSTD = 1
    DEFLATE = 2


def preferred() -> Codec:
    return Codec.DEFLATE if zstandard is None else Codec.ZSTD


def compress(codec: Codec, data: bytes) -> bytes:
    if codec is Codec.ZSTD:
        # A compressor is not safe to share between threads, and making one costs 1 µs.
        return zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_content_size=True).compress(data)
    if codec is Codec.DEFLATE:
        return zlib.compress(data, DEFLATE_LEVEL)
    return data


def compress_chunks(codec: Codec, chunks: Sequence[bytes]) -> bytes:
    """The same as `compress` of the joined chunks: one body, which `decompress` unpacks as a whole.

    Chunks of different nature (a header, each plane of bytes) become blocks of their own, with their own
    statistics: planes of constant, of nearly constant and of random bytes do not spoil each other's
    codes. That is a tenth smaller than one block, and faster, because random blocks are stored.
    """
    if codec is not Codec.ZSTD:
        return compress(codec, b"".join(chunks))
    packer = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj(size=sum(map(len, chunks)))
    result: list[bytes] = []
    waiting = 0
    for chunk in chunks:
        result.append(packer.compress(chunk))
        waiting += len(chunk)
        if waiting >= MIN_BLOCK_BYTES:
            result.append(packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
            waiting = 0
    result.append(packer.flush())
    return b"".join(result)


def decompress(codec: int, data: bytes | memoryview, raw_size: int) -> bytes:
    """Unpacks exactly `raw_size` bytes.

    Raises UnknownCodec, TooLarge where the body holds more than it announced, WireError where it is
    damaged or holds less.
    """
    if codec == Codec.ZSTD and zstandard is not None:
        result = _zstd(data, raw_size)
    elif codec == Codec.DEFLATE:
        result = _deflate(data, raw_size)
    elif codec == Codec.NONE:
        result = bytes(data)
    else:
        raise UnknownCodec(f"codec {codec} is not known to this build")
    if len(result) != raw_size:
        kind = TooLarge if len(result) > raw_size else WireError
        raise kind(f"the body unpacks to {len(result)} bytes and announced {raw_size}")
    return result


def _zstd(data: bytes | memoryview, raw_size: int) -> bytes:
    try:
        declared = zstandard.frame_content_size(data)
        if declared != raw_size:
            raise TooLarge(f"the zstd frame holds {declared} bytes and {raw_size} were announced")
        return zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise WireError(f"the body is not one whole zstd frame: {error}") from error


def _deflate(data: bytes | memoryview, raw_size: int) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        result = unpacker.decompress(data, raw_size + 1)
    except zlib.error as error:
        raise WireError(f"the body is not deflate: {error}") from error
    if len(result) <= raw_size and not unpacker.eof:
        raise WireError("the deflate body is cut short")
    if unpacker.unused_data:
        raise WireError("bytes follow the deflate body")
    return result
