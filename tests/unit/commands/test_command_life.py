"""What a start makes of each journalled command, and when one is too late."""

from dataclasses import replace

import pytest

from edge_agent.commands.entry import Entry, Moment
from edge_agent.commands.life import MOST_ATTEMPTS, SPARE_SECONDS, Then, at_start, is_late, seconds_left
from edge_agent.wire.command_types import CommandType, NoParams
from edge_agent.wire.commands import CommandOffer, CommandState
from edge_agent.wire.messages import Message

TAKEN = Moment(1_000.0, 5_000_000, "boot-1", "run-1")
AGAIN = CommandType("again", NoParams, Message, 10.0)
ONCE = CommandType("once", NoParams, Message, 10.0, idempotent=False)


def entry(state: CommandState = CommandState.DELIVERED, kind: str = "again", attempts: int = 1) -> Entry:
    offer = CommandOffer(id="c", type=kind, created=1, start_seconds=60.0, timeout_seconds=10.0)
    made = Entry.of(offer, TAKEN)
    if state is CommandState.RUNNING:
        made.state, made.run, made.started_ms, made.attempts = state, "run-1", TAKEN.wall_ms, attempts
    return made


def after(seconds: float, boot: str = "boot-1", run: str = "run-2", wall: float | None = None) -> Moment:
    step = seconds if wall is None else wall
    return Moment(TAKEN.monotonic + seconds, TAKEN.wall_ms + round(step * 1_000), boot, run)


@pytest.mark.parametrize(
    ("now", "late"),
    [
        (after(59.9), False),
        (after(60.0), True),
        # The wall clock says nothing within a boot.
        (after(1.0, wall=9_999.0), False),
        (after(61.0, wall=-9_999.0), True),
        # Behind another boot there is nothing else, and before the time at which it came it knows nothing.
        (replace(after(-900.0, "boot-2"), wall_ms=TAKEN.wall_ms + 59_000), False),
        (replace(after(-900.0, "boot-2"), wall_ms=TAKEN.wall_ms + 60_000), True),
        (replace(after(-900.0, "boot-2"), wall_ms=TAKEN.wall_ms - 1), True),
    ],
)
def test_what_is_too_late_to_start(now: Moment, *, late: bool) -> None:
    assert is_late(entry(), now) is late
    assert (seconds_left(entry(), now) > 0) is not late
    then, outcome = at_start(entry(), AGAIN, now, "1")
    assert (then, outcome and outcome.state) == ((Then.END, "expired") if late else (Then.WAIT, None))


@pytest.mark.parametrize(
    ("kind", "attempts", "now", "then", "state"),
    [
        (AGAIN, 1, after(5.0), Then.AGAIN, None),
        (ONCE, 1, after(5.0), Then.END, "unknown"),
        (None, 1, after(5.0), Then.END, "unknown"),
        (AGAIN, MOST_ATTEMPTS, after(5.0), Then.END, "unknown"),
        # It had begun: the time to start it counts no more, but nobody expects it for ever.
        (AGAIN, 1, after(10.0 + SPARE_SECONDS), Then.AGAIN, None),
        (AGAIN, 1, after(11.0 + SPARE_SECONDS), Then.END, "unknown"),
        (AGAIN, 1, after(5.0, wall=-5.0), Then.END, "unknown"),
    ],
)
def test_what_becomes_of_one_that_was_running(
    kind: CommandType | None, attempts: int, now: Moment, then: Then, state: str | None
) -> None:
    found, outcome = at_start(entry(CommandState.RUNNING, attempts=attempts), kind, now, "1")
    assert (found, outcome and outcome.state) == (then, state)


def test_a_restart_is_judged_by_the_run_that_follows_and_by_no_other() -> None:
    restart = entry(CommandState.RUNNING, "restart_agent")
    _, outcome = at_start(restart, ONCE, after(5.0, "boot-2"), "1.0")
    assert outcome is not None
    assert outcome.result == {"run_before": "run-1", "run": "run-2", "version": "1.0"}
    _, outcome = at_start(restart, ONCE, after(5.0, run="run-1"), "1.0")
    assert outcome is not None
    assert outcome.state == "unknown"
