"""The bytes of an answer: bounded before and after decompression. Pure; fed with what comes from the link."""

import zlib
from typing import Final

ENCODINGS: Final = "gzip, deflate"
_STEP: Final = 64 << 10


class Unreadable(Exception):
    """The answer is not what can be read. The message is for people."""


class Body:
    """Collects an answer, of which at most `most` bytes are kept, decompressed. Raises Unreadable."""

    def __init__(self, content_encoding: str, most: int) -> None:
        self._most = most
        self._kept = bytearray()
        self._unpack = _unpacker(content_encoding)

    def feed(self, data: bytes) -> None:
        if self._unpack is None:
            self._keep(data)
            return
        rest = data
        while rest and not self._unpack.eof:
            try:
                self._keep(self._unpack.decompress(rest, _STEP))
            except zlib.error as error:
                raise Unreadable(f"its compression is broken: {error}") from None
            rest = self._unpack.unconsumed_tail

    def whole(self) -> bytes:
        """Raises Unreadable where the compressed answer was cut short."""
        if self._unpack is not None and (self._kept or self._unpack.unconsumed_tail):
            while not self._unpack.eof:
                more = self._unpack.decompress(self._unpack.unconsumed_tail, _STEP)
                if not more:
                    raise Unreadable("its compression is cut short")
                self._keep(more)
        return bytes(self._kept)

    def _keep(self, data: bytes) -> None:
        if len(self._kept) + len(data) > self._most:
            raise Unreadable(f"it is longer than {self._most} bytes (transport.max_body)")
        self._kept += data


def _unpacker(encoding: str) -> "zlib._Decompress | None":
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return zlib.decompressobj(16 + zlib.MAX_WBITS)
        case "deflate":
            return zlib.decompressobj()
        case other:
            # Several, one within the other, are how a few bytes become gigabytes.
            raise Unreadable(f"its encoding {other[:100]!r} was not asked for")
