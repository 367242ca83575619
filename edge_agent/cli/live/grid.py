"""Tables and paragraphs of styled text that fit a width. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from edge_agent.cli.text import Palette, Styled, printable, shortened, width

Row: TypeAlias = list[Styled]

LABEL_COLUMNS: Final = 9
_GAP: Final = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """rank: columns of the highest rank are left out first where there is too little room; 0: never.

    least: where it is set the column is shortened to as little as that before it is left out.
    """

    head: str
    rank: int = 0
    right: bool = False
    least: int | None = None


def paragraph(label: str, items: Sequence[Styled], columns: int) -> list[Row]:
    """`label  item  item …`, with what does not fit on lines of its own below."""
    indent = LABEL_COLUMNS + 1 if columns >= 40 else 0
    rows: list[Row] = [[Styled(f"{label:<{LABEL_COLUMNS}} ", "bold")]] if label else [[]]
    left = columns - (LABEL_COLUMNS + 1 if label else 0)
    fresh = True
    for item in items:
        cell = Styled(printable(item.text), item.style)
        gap = "" if fresh else _GAP
        if not fresh and width(cell.text) + len(gap) > left:
            rows.append([Styled(" " * indent, "")])
            left, gap = columns - indent, ""
        cell = Styled(shortened(cell.text, max(1, left - len(gap))), cell.style)
        rows[-1] += [Styled(gap, ""), cell]
        left -= width(cell.text) + len(gap)
        fresh = False
    return rows


def grid(heads: Sequence[Column], rows: Iterable[Sequence[Styled]], columns: int) -> list[Row]:
    """Aligned rows, the heads first. Where there is too little room, columns are shortened and left out."""
    cells = [[Styled(column.head, "dim") for column in heads]]
    cells += [[Styled(printable(cell.text), cell.style) for cell in row] for row in rows]
    widths = [max(width(row[place].text) for row in cells) for place in range(len(heads))]
    kept = _kept(heads, widths, columns)
    over = _needed(widths, kept) - columns
    for place in reversed(kept):
        least = heads[place].least
        if over > 0 and least is not None and widths[place] > least:
            less = min(over, widths[place] - least)
            widths[place] -= less
            over -= less
    chosen = [heads[place] for place in kept]
    rooms = [widths[place] for place in kept]
    return [_aligned([row[place] for place in kept], chosen, rooms) for row in cells]


def _kept(heads: Sequence[Column], widths: Sequence[int], columns: int) -> list[int]:
    """Which columns fit, each at its least."""
    leasts = [
        own if column.least is None else min(own, column.least)
        for own, column in zip(widths, heads, strict=True)
    ]
    kept = list(range(len(heads)))
    while _needed(leasts, kept) > columns:
        last = max(kept, key=lambda place: (heads[place].rank, place))
        if heads[last].rank == 0:
            break
        kept.remove(last)
    return kept


def _needed(widths: Sequence[int], kept: Sequence[int]) -> int:
    return sum(widths[place] for place in kept) + len(_GAP) * (len(kept) - 1)


def _aligned(cells: Sequence[Styled], heads: Sequence[Column], widths: Sequence[int]) -> Row:
    row: Row = []
    for cell, column, room in zip(cells, heads, widths, strict=True):
        text = shortened(cell.text, room)
        space = Styled(" " * (room - width(text)), "")
        if row:
            row.append(Styled(_GAP, ""))
        row += [space, Styled(text, cell.style)] if column.right else [Styled(text, cell.style), space]
    return row


def cut(row: Row, columns: int) -> Row:
    """The row, no wider than `columns`."""
    found: Row = []
    for part in row:
        if columns <= 0:
            break
        found.append(Styled(shortened(part.text, columns), part.style))
        columns -= width(found[-1].text)
    return found


def painted(rows: Iterable[Row], palette: Palette) -> list[str]:
    """As lines for a stream."""
    return [_line(row, palette) for row in rows]


def _line(row: Row, palette: Palette) -> str:
    visible = list(row)
    while visible and not visible[-1].text.strip():
        visible.pop()
    return "".join(palette.paint(part.text, _CODES.get(part.style, part.style)) for part in visible)


# A stream has no marked row.
_CODES: Final = {"marked": ""}
