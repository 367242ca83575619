"""The live view as rows of styled text, for any width and height. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge_agent.cli import figures
from edge_agent.cli.live import summary
from edge_agent.cli.live.figures import Figures, Line, chosen, chosen_values
from edge_agent.cli.live.grid import Column, Row, cut, grid, paragraph
from edge_agent.cli.live.view import View, window
from edge_agent.cli.read import quality_style, show
from edge_agent.cli.text import Styled, printable, shortened
from edge_agent.contracts.status import LatestValue

_LEAST_ROWS: Final = 4
_VALUE_COLUMNS: Final = 40
_HELP: Final = (
    "arrows, PgUp PgDn, Home End   move",
    "Enter   the values of the marked connection",
    "Esc     back; clears the filter first",
    "/       show only what has this text in its name or state",
    "s       sort: ill first, name, rate, request, errors, overruns",
    "p       pause, go on",
    "q       end",
)
_CONNECTIONS: Final = (
    Column("connection", least=12),
    Column("state"),
    Column("for", 3, right=True),
    Column("units", 4, right=True),
    Column("samples/s", 1, right=True),
    Column("request", 2, right=True),
    Column("errors", 1, right=True),
    Column("overruns", 5, right=True),
    Column("what is wrong", 6, least=16),
)
_VALUES: Final = (
    Column("tag", least=12), Column("value", right=True, least=8), Column("unit", 1), Column("quality"),
    Column("age", 2, right=True), Column("group", 3),
)  # fmt: skip
_STATES: Final = {"connected": "good", "connecting": "warn", "stopped": "dim"}


@dataclass(frozen=True, slots=True)
class Screen:
    """names, count, page: what the keys move over, as `view.press` takes them."""

    rows: list[Row]
    names: list[str]
    count: int
    page: int


def render(shown: Figures, view: View, columns: int, height: int | None = None, notice: str = "") -> Screen:
    """height: lines of the terminal; None: as many as it takes. notice: a line below the head."""
    names = [line.name for line in chosen(shown.connections, view.order, view.filter)]
    values = chosen_values([value for value in shown.values if value.connection == view.opened], view.filter)
    count = len(names) if view.opened is None else len(values)
    top = _top(shown, columns, height, notice)
    # The table has a title and a head; the last two lines tell what is wrong, and the keys.
    page = max(1, count if height is None else height - len(top) - 4)
    if view.help:
        body = [[Styled(line, "")] for line in _HELP]
    elif view.opened is None:
        body = _connections(shown, view, names, columns, page)
    else:
        body = _values(values, view, shown, columns, page)
    rows = [*top, [_title(view, count)], *body]
    if height is not None:
        below = [_wrong(shown, view, names), [_keys(view)]][-height:]
        rows = rows[: height - len(below)]
        rows += [[] for _ in range(height - len(below) - len(rows))] + below
    return Screen([cut(row, columns) for row in rows], names, count, page)


def _top(shown: Figures, columns: int, height: int | None, notice: str) -> list[Row]:
    """On a small terminal the summary gives way from its end, so that the table keeps some rows."""
    top = paragraph("", summary.head(shown), columns)
    if notice:
        top.append([Styled(shortened(printable(notice), columns), "warn")])
    for label, items in summary.summary(shown):
        top += paragraph(label, items, columns)
    return top if height is None else top[: max(1, height - 4 - _LEAST_ROWS)]


def _title(view: View, count: int) -> Styled:
    if view.help:
        return Styled("keys", "bold")
    if view.opened is not None:
        text = f"{printable(view.opened)}: {figures.plural(count, 'value')}"
    else:
        text = f"{figures.plural(count, 'connection')}, sorted by {view.order}"
    if view.filter or view.typing:
        text += f", with {printable(view.filter)!r}"
    return Styled(f"{text}{', paused' if view.paused else ''}", "bold")


def _keys(view: View) -> Styled:
    if view.typing:
        return Styled(f"/{printable(view.filter)}_", "bold")
    if view.opened is not None:
        return Styled("q end  Esc back  / filter  p pause  ? help", "dim")
    return Styled("q end  Enter values  / filter  s sort  p pause  ? help", "dim")


def _wrong(shown: Figures, view: View, names: Sequence[str]) -> Row:
    """The whole error of the marked connection: a narrow table has no room for it."""
    marked = view.opened or (view.selected if view.selected in names else next(iter(names), None))
    line = next((line for line in shown.connections if line.name == marked), None)
    if line is None or not line.error or view.help:
        return []
    return [Styled(f"{line.name}: ", "bold"), Styled(printable(line.error), "bad")]


def _connections(shown: Figures, view: View, names: Sequence[str], columns: int, page: int) -> list[Row]:
    lines = chosen(shown.connections, view.order, view.filter)
    if not lines:
        return [[Styled("no connection has that" if view.filter else "no connections are configured", "")]]
    index = names.index(view.selected) if view.selected in names else 0
    visible = window(index, len(lines), page)
    rows = grid(_CONNECTIONS, [_connection(lines[place], shown.time) for place in visible], columns)
    marked = visible.index(index) + 1
    rows[marked] = [Styled(part.text, "marked") for part in rows[marked]]
    return rows


def _connection(line: Line, now_ms: int) -> list[Styled]:
    return [
        Styled(line.name, ""),
        Styled(line.state, "bad" if line.ill else _STATES.get(line.state, "bad")),
        Styled(figures.age(line.since, now_ms), ""),
        Styled(f"{line.units_answering}/{line.units}", "bad" if line.units_answering < line.units else ""),
        Styled(summary.rate(line.rate), ""),
        Styled(figures.NONE if line.request_ms is None else f"{line.request_ms:.1f}ms", ""),
        Styled(f"{line.errors:,}", "warn" if line.errors else ""),
        Styled(f"{line.overruns:,}", "warn" if line.overruns else ""),
        Styled(line.error, "bad"),
    ]


def _values(values: Sequence[LatestValue], view: View, shown: Figures, columns: int, page: int) -> list[Row]:
    if not values:
        return [[Styled(_why_no_value(view, shown), "")]]
    first = max(0, min(view.first, len(values) - page))
    return grid(_VALUES, [_value(value, shown.time) for value in values[first : first + page]], columns)


def _why_no_value(view: View, shown: Figures) -> str:
    if all(line.name != view.opened for line in shown.connections):
        return "the agent has no such connection any more"
    return "no value has that" if view.filter else "no value was read yet"


def _value(value: LatestValue, now_ms: int) -> list[Styled]:
    return [
        Styled(value.tag, ""),
        Styled(shortened(printable(show(value.value)), _VALUE_COLUMNS), ""),
        Styled(value.unit, ""),
        Styled(value.quality, quality_style(value.quality)),
        Styled(figures.age(value.time, now_ms), ""),
        Styled(value.group, "dim"),
    ]
