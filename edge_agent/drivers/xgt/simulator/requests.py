"""What a request asks for, and every reason to refuse it. Pure; nothing is taken that the manuals forbid."""

import re
from dataclasses import dataclass
from typing import Final

from edge_agent.drivers.xgt.simulator.image import CPUS, WORDS

HEADER: Final = 20
_COMPANIES: Final = (b"LSIS-XGT\0\0", b"LGIS-GLOFA")
_LETTERS: Final = {0: "X", 1: "B", 2: "W", 3: "D", 4: "L", 0x14: "B"}
SIZES: Final = {"X": 1, "B": 1, "W": 2, "D": 4, "L": 8}
_NAME: Final = re.compile(r"%([A-Z])([XBWDL])([0-9]+)(?:\.?([0-9A-F]))?")
_HEX_AREAS: Final = "PMKFL"
_MOST_NAME, _MOST_BLOCKS, _MOST_BYTES = 16, 16, 1400
TOO_MANY, BAD_TYPE, BAD_AREA, BAD_ADDRESS, TOO_LONG = 1, 2, 3, 4, 5
BAD_COMPANY, BAD_LENGTH, BAD_CHECKSUM, BAD_COMMAND = 0x75, 0x76, 0x77, 0x78


class Refusal(Exception):
    """The PLC answers with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"0x{code:02X}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Variable:
    """start: first byte, or of a bit or contact its number. size: bytes in a request or reply."""

    area: str
    letter: str
    start: int
    size: int

    @property
    def is_contact(self) -> bool:
        return self.letter == "X" and self.area in "TC"

    @property
    def span(self) -> tuple[str, int, int]:
        """The bytes that it touches. A contact's number counts as its byte."""
        if self.letter == "X":
            byte = self.start if self.is_contact else self.start // 8
            return self.area, byte, byte
        return self.area, self.start, self.start + self.size - 1


@dataclass(frozen=True, slots=True)
class Order:
    """command: 0x54 read, 0x58 write, 0xB0 status. values: to write, one for each variable."""

    command: int
    kind: int
    variables: tuple[Variable, ...] = ()
    values: tuple[bytes, ...] = ()


def check_header(frame: bytes, series: int) -> None:
    """Raises Refusal. A frame's CPU byte may be 0."""
    if frame[:10] not in _COMPANIES or frame[13] != 0x33 or frame[12] not in (0, series):
        raise Refusal(BAD_COMPANY)
    if frame[19] and frame[19] != sum(frame[:19]) % 256:
        raise Refusal(BAD_CHECKSUM)


def understand(body: bytes, series: int, *, hex_bits: bool) -> Order:
    """Raises Refusal."""
    if len(body) < 6:
        raise Refusal(BAD_LENGTH)
    command, kind = body[0] | body[1] << 8, body[2] | body[3] << 8
    if command == 0xB0:
        if len(body) != 6:
            raise Refusal(BAD_LENGTH)
        return Order(command, kind)
    if command not in (0x54, 0x58):
        raise Refusal(BAD_COMMAND)
    if kind not in _LETTERS:
        raise Refusal(BAD_TYPE)
    rest = _Bytes(body[6:])
    blocks = rest.number()
    if not 1 <= blocks <= (1 if kind == 0x14 else _MOST_BLOCKS):
        raise Refusal(TOO_MANY)
    names = [rest.take(rest.number()) for _ in range(blocks)]
    if kind == 0x14:
        return _continuous(command, names[0], rest, series)
    variables = tuple(_variable(name, _LETTERS[kind], series, hex_bits) for name in names)
    values: tuple[bytes, ...] = ()
    if command == 0x58:
        values = tuple(rest.take(rest.number()) for _ in range(blocks))
        if any(len(value) != variable.size for value, variable in zip(values, variables, strict=True)):
            raise Refusal(BAD_LENGTH)
    rest.end()
    return Order(command, kind, variables, values)


def _continuous(command: int, name: bytes, rest: "_Bytes", series: int) -> Order:
    count = rest.number()
    if not 1 <= count <= _MOST_BYTES:
        raise Refusal(TOO_LONG)
    first = _variable(name, "B", series, hex_bits=False)
    variable = Variable(first.area, "B", first.start, count)
    if first.start + count > 2 * WORDS[first.area]:
        raise Refusal(BAD_ADDRESS)
    values = (rest.take(count),) if command == 0x58 else ()
    rest.end()
    return Order(command, 0x14, (variable,), values)


def _variable(name: bytes, letter: str, series: int, hex_bits: bool) -> Variable:
    if not 0 < len(name) <= _MOST_NAME:
        raise Refusal(BAD_LENGTH)
    match = _NAME.fullmatch(name.decode("latin-1"))
    if match is None:
        raise Refusal(BAD_ADDRESS)
    area, found, digits, last = match.groups()
    if found != letter:
        raise Refusal(BAD_TYPE)
    if area not in CPUS[series]:
        raise Refusal(BAD_AREA)
    number = _number(area, letter, digits, last, hex_bits)
    if letter == "X":
        limit = WORDS[area] * (1 if area in "TC" else 16)
        start, size = number, 1
    else:
        size = SIZES[letter]
        start, limit = number * size, 2 * WORDS[area] - size + 1
    if start >= limit:
        raise Refusal(BAD_ADDRESS)
    return Variable(area, letter, start, size)


def _number(area: str, letter: str, digits: str, last: str | None, hex_bits: bool) -> int:
    """The pattern leaves a decimal last digit with the others, unless a point stands before it."""
    if letter == "X" and hex_bits and area not in "TC":
        if area in _HEX_AREAS:
            text = digits + (last or "")
            return 16 * int(text[:-1] or "0") + int(text[-1], 16)
        if last is not None:
            return 16 * int(digits) + int(last, 16)
    if last is not None:
        raise Refusal(BAD_ADDRESS)
    return int(digits)


class _Bytes:
    """What is left of a body. Too little or too much is a wrong length."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def number(self) -> int:
        data = self.take(2)
        return data[0] | data[1] << 8

    def take(self, count: int) -> bytes:
        if len(self._data) < count:
            raise Refusal(BAD_LENGTH)
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def end(self) -> None:
        if self._data:
            raise Refusal(BAD_LENGTH)
