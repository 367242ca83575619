"""The live view as text: golden screens, and that nothing ever leaves the terminal."""

from pathlib import Path

import pytest

from edge_agent.cli.live.figures import Figures, Snapshot, figures
from edge_agent.cli.live.grid import Row
from edge_agent.cli.live.screen import render
from edge_agent.cli.live.view import View
from edge_agent.cli.text import width
from edge_agent.contracts.status import AgentStatus, LatenessReport, LatestValue
from tests.unit.cli.test_live_figures import later

GOLDEN = Path(__file__).parents[2] / "golden" / "top"
NOW_MS = 1_767_237_121_500


def value(tag: str, shown: object, quality: str = "good", unit: str = "", age_ms: int = 400) -> LatestValue:
    return LatestValue(
        connection="press1",
        group="fast",
        tag=tag,
        value=shown,
        quality=quality,
        time=NOW_MS - age_ms,
        unit=unit,
    )


VALUES = [
    value("oil_temp", 81.4, unit="°C"),
    value("온도01", -7, unit="도"),
    value("프레스 압력", 12_345_678, "uncertain", "kPa", 61_000),
    value("recipe", "한글\x1b[2J"),
    value("lost", None, "bad_device"),
    *(value(f"zone{number:02}", number) for number in range(1, 30)),
]


@pytest.fixture
def shown(ill: AgentStatus) -> Figures:
    old = ill.model_copy(update={"lateness": LatenessReport(bounds_ms=[1, 2, 5], counts=[0, 0, 0, 0])})
    new = later(old, 10, 12_340, 999_990).model_copy(
        update={"lateness": LatenessReport(bounds_ms=[1, 2, 5], counts=[90, 5, 0, 5])}
    )
    return figures([Snapshot(old), Snapshot(new, VALUES)], NOW_MS)


def lines(rows: list[Row]) -> list[str]:
    return ["".join(part.text for part in row).rstrip() for row in rows]


@pytest.mark.parametrize(
    ("name", "view", "columns", "height", "notice"),
    [
        ("connections-120x24", View(), 120, 24, ""),
        ("connections-80x24", View(order="name", paused=True), 80, 24, ""),
        ("connections-40x14", View(selected="press1"), 40, 14, ""),
        ("restarted-80x20", View(), 80, 20, "the agent has restarted, 2.0s ago"),
        ("values-80x24", View(opened="press1", first=1), 80, 24, ""),
        ("filter-80x20", View(opened="press1", filter="온", typing=True), 80, 20, ""),
        ("help-80x24", View(help=True), 80, 24, ""),
        ("once-120", View(), 120, None, ""),
    ],
)
def test_screens(
    shown: Figures, name: str, view: View, columns: int, height: int | None, notice: str
) -> None:
    screen = render(shown, view, columns, height, notice)
    text = "\n".join(lines(screen.rows)) + "\n"
    assert text == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("view", [View(), View(opened="press1"), View(help=True), View(opened="gone")])
def test_no_line_is_wider_and_no_screen_is_higher_than_the_terminal(shown: Figures, view: View) -> None:
    for columns in (1, 2, 7, 20, 39, 40, 79, 80, 200):
        for height in (1, 2, 3, 5, 8, 24, 60):
            screen = render(shown, view, columns, height, "a notice that is longer than a line may be")
            assert len(screen.rows) == height
            assert max(width(line) for line in lines(screen.rows)) <= columns


def test_columns_after_korean_names_begin_at_one_place(shown: Figures) -> None:
    screen = render(shown, View(opened="press1"), 80, 24)
    found = [line for line in lines(screen.rows) if " fast" in line]
    assert len(found) > 5
    assert len({width(line[: line.index("fast")]) for line in found}) == 1


def test_control_characters_never_reach_the_terminal(shown: Figures) -> None:
    for view in (View(), View(opened="press1")):
        assert all(line.isprintable() for line in lines(render(shown, view, 120, 40).rows))
