"""What becomes of a journalled command at a start of the agent, and when one is too late. Pure.

A command that was not started waits again, unless its time is over. One that was running is run again only
if its type is idempotent, and not for ever; else nobody knows how it ended, and it says so. A restart is
judged by the run that follows it.
"""

from enum import StrEnum
from typing import Final

from pydantic import JsonValue

from edge_agent.commands.entry import Entry, Moment, Outcome
from edge_agent.wire.command_types import CommandType
from edge_agent.wire.commands import CommandOffer, CommandState

RESTART: Final = "restart_agent"
NOT_KNOWN: Final = "not_known"
NEVER_OFFERED: Final = "never_offered"
# One that brings the agent down each time is not tried for ever.
MOST_ATTEMPTS: Final = 3
# As long after its time the centre calls a command unknown; nobody expects it to run after that.
SPARE_SECONDS: Final = 300.0


class Then(StrEnum):
    WAIT = "wait"  # as if it had just been taken
    AGAIN = "again"  # it runs once more
    END = "end"


def at_start(
    entry: Entry, kind: CommandType | None, now: Moment, version: str
) -> tuple[Then, Outcome | None]:
    """kind: None where this version knows the type no more. The outcome where it ends."""
    if entry.state is not CommandState.RUNNING:
        if is_late(entry, now):
            return Then.END, expired()
        return Then.WAIT, None
    if entry.offer.type == RESTART and entry.run != now.run:
        result: dict[str, JsonValue] = {"run_before": entry.run, "run": now.run, "version": version}
        return Then.END, Outcome(CommandState.SUCCEEDED, result=result)
    if kind is None or not kind.idempotent:
        return Then.END, _unknown("interrupted", "the agent ended in the middle of it")
    if entry.attempts >= MOST_ATTEMPTS:
        return Then.END, _unknown(
            "interrupted", f"the agent ended in the middle of it {entry.attempts} times"
        )
    elapsed = (now.wall_ms - entry.started_ms) / 1_000
    if not 0 <= elapsed <= entry.offer.timeout_seconds + SPARE_SECONDS:
        return Then.END, _unknown("interrupted", "the agent ended in the middle of it, and was back too late")
    return Then.AGAIN, None


def is_late(entry: Entry, now: Moment) -> bool:
    """Whether it may not be started any more. After another boot the wall clock has to do; where that is
    before the time at which the command came, nobody knows, and an order too old is worse than one less."""
    if entry.boot == now.boot:
        return now.monotonic >= entry.start_by
    taken_ms = entry.start_by_ms - round(entry.offer.start_seconds * 1_000)
    return not taken_ms <= now.wall_ms < entry.start_by_ms


def seconds_left(entry: Entry, now: Moment) -> float:
    """How long it may still wait for its start."""
    if is_late(entry, now):
        return 0.0
    if entry.boot == now.boot:
        return entry.start_by - now.monotonic
    return (entry.start_by_ms - now.wall_ms) / 1_000


def expired() -> Outcome:
    return Outcome(CommandState.EXPIRED, "expired", "it was not started in time")


def journal_lost() -> Outcome:
    """Of a command that came with the first answers after the journal was damaged: it may have run."""
    return _unknown("journal_lost", "the device's journal of commands was damaged: it may have run before")


def never_came(command: str, now: Moment) -> Entry:
    """What is to be stopped and is not in the journal: noted, so that a late offer of it is not run."""
    offer = CommandOffer(id=command, type=NEVER_OFFERED, created=0, start_seconds=0.0, timeout_seconds=0.0)
    outcome = Outcome(CommandState.CANCELLED, NOT_KNOWN, "the device's journal does not have it")
    return Entry.of(offer, now, outcome)


def _unknown(code: str, message: str) -> Outcome:
    return Outcome(CommandState.UNKNOWN, code, message)
