"""Compression: what comes back, and what is refused."""

import random
import zlib
from array import array

import pytest
import zstandard

from edge_agent.wire import codecs
from edge_agent.wire.codecs import Codec
from edge_agent.wire.errors import TooLarge, UnknownCodec, WireError

RANDOM = random.Random(1)
CHUNKS = [b"head", bytes(1000), RANDOM.randbytes(1000), b"", b"\x01\x02" * 300, b"x"]
WHOLE = b"".join(CHUNKS)


@pytest.mark.parametrize("codec", Codec)
@pytest.mark.parametrize("as_view", [False, True])
def test_what_goes_in_comes_out(codec: Codec, as_view: bool) -> None:
    for body in (codecs.compress(codec, WHOLE), codecs.compress_chunks(codec, CHUNKS)):
        data = memoryview(body) if as_view else body
        assert codecs.decompress(codec, data, len(WHOLE)) == WHOLE


@pytest.mark.parametrize("codec", Codec)
def test_nothing_is_a_body_too(codec: Codec) -> None:
    assert codecs.decompress(codec, codecs.compress(codec, b""), 0) == b""
    assert codecs.decompress(codec, codecs.compress_chunks(codec, []), 0) == b""


def test_chunks_make_one_zstd_frame_that_any_reader_unpacks() -> None:
    body = codecs.compress_chunks(Codec.ZSTD, CHUNKS)
    assert zstandard.frame_content_size(body) == len(WHOLE)
    assert zstandard.ZstdDecompressor().decompress(body, allow_extra_data=False) == WHOLE


def test_planes_of_different_nature_do_not_spoil_each_other() -> None:
    values = array("f", [round(RANDOM.uniform(0, 100), 2) for _ in range(2000)]).tobytes()
    planes = [values[place::4] for place in range(4)]
    apart = codecs.compress_chunks(Codec.ZSTD, planes)
    assert len(apart) < 0.95 * len(codecs.compress(Codec.ZSTD, b"".join(planes)))


@pytest.mark.parametrize("codec", Codec)
def test_a_body_that_is_not_as_long_as_announced(codec: Codec) -> None:
    body = codecs.compress(codec, WHOLE)
    with pytest.raises(TooLarge):
        codecs.decompress(codec, body, len(WHOLE) - 1)
    with pytest.raises(WireError):
        codecs.decompress(codec, body, len(WHOLE) + 1)


@pytest.mark.parametrize("codec", [Codec.ZSTD, Codec.DEFLATE])
def test_a_body_that_is_cut_or_followed_by_more(codec: Codec) -> None:
    body = codecs.compress(codec, WHOLE)
    for damaged in (body[:-1], body[: len(body) // 2], b"", body + b"\x00", body + body):
        with pytest.raises(WireError):
            codecs.decompress(codec, damaged, len(WHOLE))


def test_a_zstd_frame_that_hides_its_size_is_refused() -> None:
    body = zstandard.ZstdCompressor(write_content_size=False).compress(WHOLE)
    with pytest.raises(WireError):
        codecs.decompress(Codec.ZSTD, body, len(WHOLE))


def test_deflate_is_zlib_at_any_level() -> None:
    assert codecs.decompress(Codec.DEFLATE, zlib.compress(WHOLE, 1), len(WHOLE)) == WHOLE


@pytest.mark.parametrize("codec", [3, 255, -1])
def test_a_later_codec_is_not_guessed_at(codec: int) -> None:
    with pytest.raises(UnknownCodec):
        codecs.decompress(codec, b"", 0)
