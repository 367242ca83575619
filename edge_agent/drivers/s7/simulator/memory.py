"""What a simulated CPU's memory holds: a pure function of the address and the tick, until somebody writes.

A tick is `floor(wall_ms / tick_ms)`. The word at an even byte address a of an area is, modulo 65536,
`7 k + 31 (a / 2) + 101 db + 4099 c`, where k is the tick and c the area's code (DB 0x84, M 0x83, I 0x81,
Q 0x82); high byte first. Timer n holds the S5TIME of `(k + n) % 1000` in steps of 100 ms, counter n the BCD
number `(3 k + n) % 1000`. Fixed bytes lie over the formula, and what was written lies over both.
"""

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

AREAS: Final = {"DB": 0x84, "M": 0x83, "I": 0x81, "Q": 0x82, "T": 0x1D, "C": 0x1C}
NAMES: Final = {code: name for name, code in AREAS.items()}
_SPACE: Final = 65_536
_INVERSE_OF_31: Final = pow(31, -1, _SPACE)
# A message holds fewer bytes than this.
_LONGEST: Final = 65_536


def word(area: str, db: int, address: int, k: int) -> int:
    """The word at an even byte address."""
    return (7 * k + 31 * (address // 2) + 101 * db + 4099 * AREAS[area]) % _SPACE


def timer(number: int, k: int) -> bytes:
    return (0x1000 | int(str((k + number) % 1000), 16)).to_bytes(2)


def counter(number: int, k: int) -> bytes:
    return int(str((3 * k + number) % 1000), 16).to_bytes(2)


@dataclass(frozen=True, slots=True)
class Fixed:
    """Bytes that do not move: `{"area": "DB", "db": 1, "start": 10, "hex": "41200000"}`."""

    area: str
    db: int
    start: int
    data: bytes

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From JSON. Raises ValueError, TypeError or KeyError."""
        area = values["area"]
        if area not in AREAS:
            raise ValueError(f"{area!r} is no area")
        return cls(area, int(values.get("db", 0)), int(values["start"]), bytes.fromhex(values["hex"]))


class Memory:
    """blocks: the data blocks that exist, with their bytes; None: every one, of 65,536 bytes."""

    def __init__(self, blocks: Mapping[int, int] | None = None, fixed: Iterable[Fixed] = ()) -> None:
        self._blocks = blocks
        words = array("H", (31 * number & 0xFFFF for number in range(_SPACE + _LONGEST)))
        words.byteswap()
        self._table = words.tobytes()
        self._laid: dict[tuple[str, int], dict[int, int]] = {}
        for each in fixed:
            self.write(each.area, each.db, each.start, each.data)

    def size(self, area: str, db: int) -> int | None:
        """In bytes, timers or counters; None where there is no such block."""
        if area != "DB" or self._blocks is None:
            return _SPACE
        return self._blocks.get(db)

    def read(self, area: str, db: int, start: int, count: int, k: int) -> bytes:
        """count: bytes, or timers or counters of two bytes."""
        if area in ("T", "C"):
            form = timer if area == "T" else counter
            return b"".join(form(number, k) for number in range(start, start + count))
        shift = (7 * k + 101 * db + 4099 * AREAS[area]) * _INVERSE_OF_31
        first = 2 * ((start // 2 + shift) % _SPACE) + start % 2
        data = self._table[first : first + count]
        laid = self._laid.get((area, db))
        if not laid:
            return data
        changed = bytearray(data)
        for at in range(start, start + count):
            if at in laid:
                changed[at - start] = laid[at]
        return bytes(changed)

    def write(self, area: str, db: int, start: int, data: bytes) -> None:
        laid = self._laid.setdefault((area, db), {})
        laid.update({start + index: byte for index, byte in enumerate(data)})

    def write_bit(self, area: str, db: int, start: int, bit: int, k: int, *, on: bool) -> None:
        byte = self.read(area, db, start, 1, k)[0]
        self.write(area, db, start, bytes((byte | 1 << bit if on else byte & ~(1 << bit),)))
