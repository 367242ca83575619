"""What was written into simulated stations: it stands over the formulas from then on.

Sources: Modbus Application Protocol V1.1b3, 6.5 (5), 6.6 (6), 6.11 (15), 6.12 (16) and 6.16 (22).
"""

from typing import Final, NamedTuple

WRITES: Final = {5: "coil", 6: "holding", 15: "coil", 16: "holding", 22: "holding"}
_ILLEGAL_ADDRESS, _ILLEGAL_VALUE = 2, 3
_COIL_VALUES: Final = {b"\xff\x00": 1, b"\0\0": 0}
_SPACE: Final = 65_536


class Bad(Exception):
    """The station says no."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Written(NamedTuple):
    """A request to write: values from `start`, or for function 22 an AND and an OR mask."""

    area: str
    start: int
    values: tuple[int, ...]
    masks: tuple[int, int] | None = None


class Memory:
    """By port, unit and area."""

    def __init__(self) -> None:
        self._held: dict[tuple[int, int, str], dict[int, int]] = {}

    def store(self, port: int, unit: int, order: Written, before: int) -> None:
        """before: what the first address holds now, for masks."""
        held = self._held.setdefault((port, unit, order.area), {})
        if order.masks is not None:
            keep, put = order.masks
            held[order.start] = (before & keep) | (put & ~keep & 0xFFFF)
            return
        for index, value in enumerate(order.values):
            held[order.start + index] = value

    def held(self, port: int, unit: int, area: str, address: int) -> int | None:
        return self._held.get((port, unit, area), {}).get(address)

    def over(self, port: int, unit: int, area: str, start: int, count: int, data: bytes) -> bytes:
        """A reply's data with what was written over it."""
        held = self._held.get((port, unit, area))
        if not held:
            return data
        wide = area in ("holding", "input")
        changed = bytearray(data)
        for index in range(count):
            value = held.get(start + index)
            if value is None:
                continue
            if wide:
                changed[2 * index : 2 * index + 2] = value.to_bytes(2)
            else:
                mask = 1 << index % 8
                changed[index // 8] = changed[index // 8] & ~mask | (mask if value else 0)
        return bytes(changed)


def written(pdu: bytes) -> Written:
    """What a request to write asks for. Raises Bad."""
    function, area = pdu[0], WRITES[pdu[0]]
    if len(pdu) < 5:
        raise Bad(_ILLEGAL_VALUE)
    start, second = int.from_bytes(pdu[1:3]), int.from_bytes(pdu[3:5])
    if function == 5:
        if len(pdu) != 5 or pdu[3:5] not in _COIL_VALUES:
            raise Bad(_ILLEGAL_VALUE)
        return Written(area, start, (_COIL_VALUES[pdu[3:5]],))
    if function == 6:
        if len(pdu) != 5:
            raise Bad(_ILLEGAL_VALUE)
        return Written(area, start, (second,))
    if function == 22:
        if len(pdu) != 7:
            raise Bad(_ILLEGAL_VALUE)
        return Written(area, start, (), (second, int.from_bytes(pdu[5:7])))
    return Written(area, start, _several(pdu, second, bits=function == 15))


def _several(pdu: bytes, count: int, *, bits: bool) -> tuple[int, ...]:
    most, size = (1968, (count + 7) // 8) if bits else (123, 2 * count)
    if not 1 <= count <= most or len(pdu) != 6 + size or pdu[5] != size:
        raise Bad(_ILLEGAL_VALUE)
    if int.from_bytes(pdu[1:3]) + count > _SPACE:
        raise Bad(_ILLEGAL_ADDRESS)
    data = pdu[6:]
    if bits:
        return tuple(data[index // 8] >> index % 8 & 1 for index in range(count))
    return tuple(int.from_bytes(data[at : at + 2]) for at in range(0, size, 2))
