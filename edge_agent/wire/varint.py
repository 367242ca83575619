"""Whole numbers in few bytes: LEB128, zigzag for signed ones."""

from collections.abc import Iterable

from edge_agent.wire.errors import WireError


def encode(numbers: Iterable[int]) -> bytes:
    """Unsigned numbers, one after the other."""
    result = bytearray()
    for number in numbers:
        while number > 0x7F:
            result.append(number & 0x7F | 0x80)
            number >>= 7
        result.append(number)
    return bytes(result)


def zigzag(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1


def unzigzag(number: int) -> int:
    return number >> 1 if number & 1 == 0 else -((number + 1) >> 1)


def decode(data: bytes) -> list[int]:
    """All numbers in `data`. Raises WireError where the last one is cut short or one exceeds 64 bits."""
    result: list[int] = []
    number = shift = 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
            if shift > 63:
                raise WireError("a number has more than 64 bits")
        else:
            result.append(number)
            number = shift = 0
    if shift:
        raise WireError("a number is cut short")
    return result
