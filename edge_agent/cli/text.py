"""Text on a terminal: widths, tables, colours. Pure.

Names and values come from PLCs and files: control characters in them are shown as escapes, so that no
value can move the cursor, and a Korean name takes the two columns that it really has.
"""

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

_CODES: Final = {"bad": "31", "warn": "33", "good": "32", "dim": "2", "bold": "1"}
_UNSEEN: Final = ("Mn", "Me", "Cf")


class Styled(NamedTuple):
    """A cell with a style: bad, warn, good, dim or bold."""

    text: str
    style: str


Cell: TypeAlias = str | Styled


@dataclass(frozen=True, slots=True)
class Palette:
    """Paints text, or leaves it as it is where colours are off."""

    enabled: bool

    def paint(self, text: str, style: str) -> str:
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self.enabled and style else text


def printable(text: str) -> str:
    """The text with control characters, line separators and lone surrogates as escapes."""
    return "".join(
        char if char.isprintable() or unicodedata.category(char) in ("Cf", "Zs", "Co") else _escape(char)
        for char in text
    )


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()


def width(text: str) -> int:
    """Columns that a printable text takes on a terminal (UAX #11: wide and full-width take two)."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def _columns(char: str) -> int:
    if unicodedata.category(char) in _UNSEEN:
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def shortened(text: str, columns: int) -> str:
    """The text, cut to at most `columns` with an ellipsis."""
    taken = end = 0
    for index, char in enumerate(text, 1):
        taken += _columns(char)
        if taken < columns:
            end = index  # so far there is room for an ellipsis behind it
        elif taken > columns:
            return f"{text[:end]}…"
    return text


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    right: Collection[str] = (),
    palette: Palette = Palette(False),
    indent: str = "",
) -> list[str]:
    """Aligned lines, the head first. `right`: the columns, by their head, that are aligned right."""
    cells = [[_styled(cell) for cell in row] for row in (head, *rows)]
    widths = [max(width(row[place].text) for row in cells) for place in range(len(head))]
    lines = []
    for number, row in enumerate(cells):
        parts = []
        for name, room, cell in zip(head, widths, row, strict=True):
            gap = " " * (room - width(cell.text))
            painted = palette.paint(cell.text, cell.style if number else "bold")
            parts.append(f"{gap}{painted}" if name in right else f"{painted}{gap}")
        lines.append((indent + "  ".join(parts)).rstrip())
    return lines


def _styled(cell: Cell) -> Styled:
    text, style = cell if isinstance(cell, Styled) else (cell, "")
    return Styled(printable(text), style)
