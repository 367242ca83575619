"""The bytes of a tick, shared by all ports and units of a simulator.

The default registers are linear in address and tick, so the registers of every tick are one table read
from another place. Answers are kept for the tick: many stations that are asked alike cost one answer.
"""

from array import array
from collections.abc import Sequence
from typing import Final

from edge_agent.drivers.modbus.simulator.signals import Signal, default_signal, encode, expected

AREAS: Final = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
_SPACE: Final = 65_536
_LONGEST: Final = 125
_KEPT_ANSWERS: Final = 4096
_INVERSE_OF_31: Final = pow(31, -1, _SPACE)
_INVERSE_OF_17: Final = pow(17, -1, _SPACE)


def _table(step: int) -> bytes:
    values = array("H", (step * number & 0xFFFF for number in range(_SPACE + _LONGEST)))
    values.byteswap()
    return values.tobytes()


class Image:
    """What stations hold. `read` is called with a tick that may only grow, for speed."""

    def __init__(self, signals: Sequence[Signal]) -> None:
        self._signals = {area: [s for s in signals if s.area == area] for area in AREAS.values()}
        self._tables = {"holding": _table(31), "input": _table(17)}
        self._tick = -1
        self._answers: dict[tuple[int, int, int], bytes] = {}

    def read(self, function: int, start: int, count: int, k: int) -> bytes:
        """The data of a reply to a read function: registers, or packed bits."""
        if k != self._tick:
            self._tick = k
            self._answers.clear()
        key = (function, start, count)
        answer = self._answers.get(key)
        if answer is None:
            if len(self._answers) >= _KEPT_ANSWERS:
                self._answers.clear()
            area = AREAS[function]
            build = self._bits if function < 3 else self._registers
            answer = self._answers[key] = build(area, start, count, k)
        return answer

    def _registers(self, area: str, start: int, count: int, k: int) -> bytes:
        shift = k * 7 * _INVERSE_OF_31 if area == "holding" else (k * 13 + 4711) * _INVERSE_OF_17
        first = 2 * ((start + shift) % _SPACE)
        data = bytearray(self._tables[area][first : first + 2 * count])
        for signal in self._signals[area]:
            if signal.address < start + count and signal.end > start:
                _overlay(data, encode(signal, k), 2 * (signal.address - start))
        return bytes(data)

    def _bits(self, area: str, start: int, count: int, k: int) -> bytes:
        bits = [bool(expected(default_signal(area, start + index), k)) for index in range(count)]
        for signal in self._signals[area]:
            if signal.address < start + count and signal.end > start:
                value = expected(signal, k)
                for index, bit in enumerate(value if isinstance(value, list) else [value]):
                    if 0 <= signal.address + index - start < count:
                        bits[signal.address + index - start] = bool(bit)
        number = sum(1 << index for index, bit in enumerate(bits) if bit)
        return number.to_bytes((count + 7) // 8, "little")


def _overlay(data: bytearray, piece: bytes, at: int) -> None:
    """Writes the part of `piece` that falls into `data`; `at` may lie before it."""
    if at < 0:
        piece, at = piece[-at:], 0
    piece = piece[: len(data) - at]
    data[at : at + len(piece)] = piece
