"""Whole numbers in few bytes: LEB128 for unsigned ones of up to 64 bits, zigzag for signed ones."""

from collections.abc import Sequence
from typing import Final

from edge_agent.wire.errors import WireError

MAX: Final = (1 << 64) - 1
_LAST_SHIFT: Final = 63


def encode(numbers: Sequence[int]) -> bytes:
    """Unsigned numbers, one after the other. Raises WireError where one is not in 0…2^64−1."""
    result: list[int] = []
    for number in numbers:
        if 0 <= number <= 0x7F:
            result.append(number)
            continue
        if not 0 <= number <= MAX:
            raise WireError("a number is not in the range of 64 bits")
        rest = number
        while rest > 0x7F:
            result.append(rest & 0x7F | 0x80)
            rest >>= 7
        result.append(rest)
    return bytes(result)


def zigzag(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1


def unzigzag(number: int) -> int:
    return number >> 1 if number & 1 == 0 else -((number + 1) >> 1)


def decode(data: bytes) -> list[int]:
    """All numbers in `data`. Raises WireError where the last one is cut short or one exceeds 64 bits."""
    if data.isascii():
        return list(data)
    result: list[int] = []
    number = shift = 0
    for byte in data:
        if byte > 0x7F:
            number |= (byte & 0x7F) << shift
            shift += 7
            if shift > _LAST_SHIFT:
                raise WireError("a number has more than 64 bits")
        elif shift:
            if shift == _LAST_SHIFT and byte > 1:
                raise WireError("a number has more than 64 bits")
            result.append(number | byte << shift)
            number = shift = 0
        else:
            result.append(byte)
    if shift:
        raise WireError("a number is cut short")
    return result
