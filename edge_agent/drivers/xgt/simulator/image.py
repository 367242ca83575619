"""What a simulated PLC holds: a pure function of area, word and tick, under what was written.

A tick is `floor(wall_ms / tick_ms)`, so a sample's time stamp is enough to verify its value. Word n of an
area holds (31 n + 7 tick + 1009 a) mod 65536, where a is the area's place in AREAS; the contact of timer or
counter n is closed where (tick + n) mod 3 is 0.
"""

from typing import Final

AREAS: Final = "PMKFTCLNDUZRIQW"
# Words of each area: some CPU's, nobody's in particular.
WORDS: Final = {
    "P": 2048, "M": 2048, "K": 2048, "F": 2048, "T": 2048, "C": 2048, "L": 11_264, "N": 21_504, "D": 32_768,
    "U": 4096, "Z": 128, "R": 32_768, "I": 4096, "Q": 4096, "W": 65_536,
}  # fmt: skip
_MASTER_K: Final = "PMKFTCLNDUZR"
_IEC: Final = "IQMRWFKLNU"
CPUS: Final = {0xA0: _MASTER_K, 0xA4: _IEC, 0xA8: _IEC, 0xB0: _MASTER_K, 0xB4: _IEC}


def word(area: str, number: int, tick: int) -> int:
    return (31 * number + 7 * tick + 1009 * AREAS.index(area)) % 65_536


def contact(number: int, tick: int) -> bool:
    return (tick + number) % 3 == 0


class Image:
    """The bytes of one PLC. Answers are kept for the tick: many connections that ask alike cost one."""

    def __init__(self) -> None:
        self._written: dict[tuple[str, int], int] = {}
        self._kept: dict[tuple[str, int, int], bytes] = {}
        self._tick = -1

    def read(self, area: str, start: int, count: int, tick: int) -> bytes:
        """`count` bytes from byte `start` on."""
        if tick != self._tick:
            self._tick = tick
            self._kept.clear()
        key = (area, start, count)
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = self._made(area, start, count, tick)
        return found

    def bit(self, area: str, number: int, tick: int) -> bool:
        return bool(self.read(area, number // 8, 1, tick)[0] >> number % 8 & 1)

    def write(self, area: str, start: int, data: bytes) -> None:
        self._kept.clear()
        for offset, value in enumerate(data):
            self._written[area, start + offset] = value

    def write_bit(self, area: str, number: int, on: bool, tick: int) -> None:
        before = self.read(area, number // 8, 1, tick)[0]
        mask = 1 << number % 8
        self.write(area, number // 8, bytes((before | mask if on else before & ~mask & 0xFF,)))

    def _made(self, area: str, start: int, count: int, tick: int) -> bytes:
        first = start // 2
        words = (word(area, number, tick) for number in range(first, (start + count + 1) // 2))
        data = bytearray(b"".join(value.to_bytes(2, "little") for value in words))
        data = data[start - 2 * first :][:count]
        if self._written:
            for offset in range(count):
                data[offset] = self._written.get((area, start + offset), data[offset])
        return bytes(data)
