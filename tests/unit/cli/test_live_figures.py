"""Figures of the live view, its keys, and how it finds out that the agent went away."""

from dataclasses import replace
from typing import Any

import pytest

from edge_agent.cli.live.figures import Quantile, Snapshot, chosen, figures, quantile
from edge_agent.cli.live.view import View, press, window
from edge_agent.cli.live.watch import Watch, ask, notice
from edge_agent.contracts.errors import NotConnected
from edge_agent.contracts.status import AgentStatus, LatenessReport

NOW_MS = 1_767_237_121_500
NAMES = ["a", "b", "c", "d"]


def later(status: AgentStatus, seconds: float, samples: int, delivered: int = 0) -> AgentStatus:
    """The same agent after that time, with so many more samples read, framed, stored and delivered."""
    account = status.accounting[0]
    return status.model_copy(
        update={
            "uptime_seconds": status.uptime_seconds + seconds,
            "accounting": [
                account.model_copy(
                    update={"read": account.read + samples, "framed": account.framed + samples}
                ),
                *status.accounting[1:],
            ],
            "connections": [
                status.connections[0].model_copy(update={"samples": status.connections[0].samples + samples}),
                *status.connections[1:],
            ],
            "stored_samples": status.stored_samples + samples,
            "sinks": [
                sink.model_copy(update={"delivered_samples": sink.delivered_samples + delivered})
                for sink in status.sinks
            ],
        }
    )


def test_rates_are_differences_over_the_agents_own_time(well: AgentStatus) -> None:
    shown = figures([Snapshot(well), Snapshot(later(well, 4, 1000, 800))], NOW_MS)
    assert (shown.rates.read, shown.rates.framed, shown.rates.suppressed) == (250, 250, 0)
    assert (shown.rates.stored, shown.rates.acknowledged) == (250, 200)
    assert shown.connections[0].rate == 250


def test_one_snapshot_or_two_runs_give_no_rate(well: AgentStatus) -> None:
    assert figures([Snapshot(well)], NOW_MS).rates.read is None
    other = later(well, 4, 1000).model_copy(update={"run": "another"})
    assert figures([Snapshot(well), Snapshot(other)], NOW_MS).rates.read is None


def test_without_a_sink_nothing_can_be_acknowledged(well: AgentStatus) -> None:
    alone = well.model_copy(update={"sinks": []})
    shown = figures([Snapshot(alone), Snapshot(later(alone, 1, 10))], NOW_MS)
    assert (shown.rates.acknowledged, shown.backlog.trend) == (None, "none")


@pytest.mark.parametrize(
    ("delivered", "trend", "seconds"), [(1_001_000, "shrinking", 54.0), (500, "growing", None)]
)
def test_a_backlog_is_caught_up_at_the_rate_at_which_it_shrinks(
    ill: AgentStatus, delivered: int, trend: str, seconds: float | None
) -> None:
    backlog = figures([Snapshot(ill), Snapshot(later(ill, 10, 1000, delivered))], NOW_MS).backlog
    assert (backlog.trend, backlog.catch_up_seconds) == (trend, seconds)
    assert backlog.samples == 5_400_000


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ([0, 0, 0], 0.5, None),
        ([10, 0, 0], 0.99, Quantile(1)),
        ([98, 2, 0], 0.5, Quantile(1)),
        ([98, 2, 0], 0.99, Quantile(2)),
        ([0, 0, 1], 0.5, Quantile(2, above=True)),
    ],
)
def test_a_quantile_is_the_bound_that_holds_its_share(
    counts: list[int], share: float, expected: Quantile | None
) -> None:
    assert quantile([1, 2], counts, share) == expected


def test_lateness_is_that_of_the_interval_and_not_of_the_whole_run(well: AgentStatus) -> None:
    old = well.model_copy(update={"lateness": LatenessReport(bounds_ms=[1, 10], counts=[0, 0, 50])})
    new = later(old, 1, 10).model_copy(
        update={"lateness": LatenessReport(bounds_ms=[1, 10], counts=[9, 1, 50])}
    )
    found = figures([Snapshot(old), Snapshot(new)], NOW_MS).lateness
    assert (found.p50, found.p99) == (Quantile(1), Quantile(10))


def test_ill_connections_come_first_and_orders_are_those_of_the_names(ill: AgentStatus) -> None:
    lines = figures([Snapshot(ill)], NOW_MS).connections
    healthy = replace(lines[0], name="aaa", ill=False, rate=5.0, errors=0, overruns=0, request_ms=None)
    every = [healthy, *lines]
    assert [line.name for line in chosen(every, "ill", "")][-1] == "aaa"
    assert chosen(every, "name", "")[0].name == "aaa"
    assert chosen(every, "rate", "")[0].name == "aaa"
    assert chosen(every, "errors", "")[0].name == "press1"
    assert [line.name for line in chosen(every, "name", "한글")] == [lines[1].name]


def test_the_marked_connection_stays_marked_while_rows_change_places() -> None:
    view = press(press(View(), "down", NAMES, 0, 3), "down", NAMES, 0, 3)
    assert view.selected == "c"
    reordered = ["c", "a", "b", "d"]
    assert press(view, "down", reordered, 0, 3).selected == "a"
    assert press(view, "enter", reordered, 0, 3).opened == "c"
    assert press(view, "enter", ["x", "y"], 0, 3).opened == "x", "it is not there any more"


@pytest.mark.parametrize(
    ("key", "selected"),
    [("up", "a"), ("end", "d"), ("pagedown", "d"), ("home", "a"), ("pageup", "a")],
)
def test_moving_stops_at_the_ends(key: str, selected: str) -> None:
    assert press(View(selected="b"), key, NAMES, 0, 3).selected == selected


def test_values_scroll_by_rows_and_pages_as_far_as_there_are_some() -> None:
    view = View(opened="a")
    for key, first in (("down", 1), ("pagedown", 11), ("end", 90), ("down", 90), ("home", 0), ("up", 0)):
        view = press(view, key, [], 100, 10)
        assert view.first == first
    assert press(view, "end", [], 3, 10).first == 0


def test_a_filter_is_typed_and_taken_back() -> None:
    view = View(opened="a", first=5)
    for key in ("/", "q", "온", "backspace", "1"):
        view = press(view, key, [], 9, 3)
    assert (view.filter, view.typing, view.first, view.done) == ("q1", True, 0, False)
    view = press(view, "enter", [], 9, 3)
    assert (view.filter, view.typing) == ("q1", False)
    view = press(view, "esc", [], 9, 3)
    assert (view.filter, view.opened) == ("", "a")
    assert press(view, "esc", [], 9, 3).opened is None
    assert press(View(typing=True, filter="x"), "esc", [], 9, 3) == View()
    assert press(View(typing=True, filter="x" * 60), "x", [], 9, 3).filter == "x" * 60


def test_the_other_keys() -> None:
    assert press(View(), "q", [], 0, 1).done
    assert press(View(), "p", [], 0, 1).paused
    assert press(View(), "?", [], 0, 1).help
    assert not press(View(help=True), "x", [], 0, 1).help
    assert press(View(help=True), "q", [], 0, 1).done
    assert press(View(), "s", [], 0, 1).order == "name"
    assert press(View(order="overruns"), "s", [], 0, 1).order == "ill"
    assert press(View(), "enter", [], 0, 1) == press(View(), "f1", [], 0, 1) == View()


@pytest.mark.parametrize(
    ("index", "count", "page", "rows"),
    [(0, 10, 4, [0, 1, 2, 3]), (5, 10, 4, [3, 4, 5, 6]), (9, 10, 4, [6, 7, 8, 9]), (1, 2, 4, [0, 1])],
)
def test_a_window_holds_the_marked_row(index: int, count: int, page: int, rows: list[int]) -> None:
    assert list(window(index, count, page)) == rows


def test_an_agent_that_goes_away_and_comes_back_is_noticed(well: AgentStatus) -> None:
    watch = Watch()
    for seconds in range(9):
        watch.took(Snapshot(later(well, seconds, 0)))
    assert len(watch.history) == 6
    watch.failed("no agent is running")
    assert notice(watch.trouble, watch.restarts, 9).endswith("no agent is running")
    assert len(watch.history) == 6, "the last figures stay on the screen"
    watch.took(Snapshot(well.model_copy(update={"run": "another", "uptime_seconds": 2.0})))
    assert (len(watch.history), watch.trouble) == (1, "")
    assert notice(watch.trouble, watch.restarts, 2.0) == "the agent has restarted, 2.0s ago"
    assert notice(watch.trouble, watch.restarts, 60.0) == ""


def test_values_are_asked_for_where_somebody_looks(app: Any) -> None:
    client = app.local_client("s")
    assert ask(client, None).values == ()
    ask(client, "press1")
    assert app.asked[-1] == "press1"
    app.error = NotConnected("gone")
    with pytest.raises(NotConnected):
        ask(client, None)
