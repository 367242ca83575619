"""Inputs from seeds, for where no coverage leads the way. Pure: the same numbers make the same inputs."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final

LONGEST_BYTES: Final = 65_536
_MOST_STEPS: Final = 6
_ODD_BYTES: Final = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF)
_ODD_NUMBERS: Final = (0, 1, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)

_Step = Callable[[random.Random, bytearray, Sequence[bytes]], None]


def mutations(seeds: Sequence[bytes], numbers: random.Random) -> Iterator[bytes]:
    """Each seed as it is, then mutated ones without end. Nothing is longer than LONGEST_BYTES."""
    yield from seeds
    while True:
        data = bytearray(numbers.choice(seeds))
        for _ in range(numbers.randint(1, _MOST_STEPS)):
            numbers.choice(_STEPS)(numbers, data, seeds)
        yield bytes(data[:LONGEST_BYTES])


def _span(numbers: random.Random, data: bytearray) -> slice:
    start = numbers.randint(0, len(data))
    return slice(start, min(len(data), start + numbers.randint(1, 8)))


def _flip(numbers: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    if data:
        data[numbers.randrange(len(data))] ^= 1 << numbers.randrange(8)


def _odd_byte(numbers: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    if data:
        data[numbers.randrange(len(data))] = numbers.choice(_ODD_BYTES)


def _odd_number(numbers: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    """Lengths and counts stand in two or four bytes, in either order."""
    size = numbers.choice((2, 4))
    if len(data) >= size:
        start = numbers.randint(0, len(data) - size)
        number = numbers.choice(_ODD_NUMBERS) & (1 << 8 * size) - 1
        data[start : start + size] = number.to_bytes(size, numbers.choice(("big", "little")))


def _near_number(numbers: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    if data:
        at = numbers.randrange(len(data))
        data[at] = (data[at] + numbers.randint(-4, 4)) & 0xFF


def _insert(numbers: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    at = numbers.randint(0, len(data))
    data[at:at] = numbers.randbytes(numbers.randint(1, 8))


def _delete(numbers: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    del data[_span(numbers, data)]


def _truncate(numbers: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    del data[numbers.randint(0, len(data)) :]


def _repeat(numbers: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    span = _span(numbers, data)
    data[span] = data[span] * numbers.choice((2, 3, 64))


def _splice(numbers: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    other = numbers.choice(seeds)
    data[numbers.randint(0, len(data)) :] = other[numbers.randint(0, len(other)) :]


_STEPS: Final[Sequence[_Step]] = (
    _flip, _odd_byte, _odd_number, _near_number, _insert, _delete, _truncate, _repeat, _splice,
)  # fmt: skip
