"""Moves of a command: what a report, a cancelling or a passed deadline makes of the stored row. Pure.

The store reads a row, asks one of these functions in its transaction, and writes the move: so that rules
are here, and no two moves of a command overlap.
"""

from dataclasses import dataclass, replace

from central_sync.services.commands import life as life_rules
from central_sync.services.commands.life import Life, Times
from edge_agent.wire.commands import FINAL, MAX_LOG_BYTES, CommandReport, CommandState

DEVICE = "device"
CENTRE = "centre"


@dataclass(frozen=True, slots=True)
class Now:
    """at_ms: the command clock; wall: UTC milliseconds."""

    at_ms: int
    wall: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A command as the rules need it. no: its row."""

    no: int
    id: str
    device: str
    type: str
    life: Life
    times: Times


@dataclass(frozen=True, slots=True)
class Progress:
    step: int = 0
    steps: int = 0
    message: str = ""
    code: str = ""
    result: bytes | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """What becomes of a row. by: None where the state stays, so that the history says nothing of it.
    progress: None leaves it. log: text and the byte that it begins at."""

    life: Life
    times: Times
    by: str | None = None
    progress: Progress | None = None
    device_time: int | None = None
    log: tuple[int, bytes] | None = None
    cancelled_by: str | None = None

    @property
    def has_ended(self) -> bool:
        return self.life.state in FINAL

    @property
    def due_at(self) -> int | None:
        return life_rules.due(self.life, self.times)


def report(row: Stored, said: CommandReport, result: bytes | None, now: Now) -> Move | None:
    """None: nothing of it is kept. `result`: its JSON."""
    log = log_part(said)
    life = life_rules.reported(row.life, said.state, said.no, said.code)
    if life is None:
        return None if log is None else Move(row.life, row.times, log=log)
    times = row.times
    if life.state is CommandState.RUNNING:
        times = replace(times, running=now.at_ms)
    kept = result if life.state in FINAL else None
    progress = Progress(said.step, said.steps, said.message, said.code, kept)
    by = DEVICE if life.state is not row.life.state or row.life.is_guess else None
    return Move(life, times, by, progress, said.time, log)


def log_part(said: CommandReport) -> tuple[int, bytes] | None:
    """What is kept of a report's output: nothing beyond MAX_LOG_BYTES."""
    if said.log is None or said.log.offset >= MAX_LOG_BYTES:
        return None
    text = said.log.text.encode()[: MAX_LOG_BYTES - said.log.offset]
    return (said.log.offset, text) if text else None


def cancel(row: Stored, author: str, now: Now) -> Move | None:
    """None: it has ended, or is being cancelled already."""
    life = life_rules.cancelled(row.life)
    if life is None:
        return None
    by = author if life.state is not row.life.state else None
    return Move(life, replace(row.times, cancel=now.at_ms), by, cancelled_by=author)


def overdue(row: Stored) -> Move | None:
    life = life_rules.overdue(row.life)
    if life is None:
        return None
    if life.state is row.life.state:
        return Move(life, row.times)
    if life.state is CommandState.EXPIRED:
        return Move(life, row.times, CENTRE, Progress(message="the device did not fetch it in time"))
    code, message = life_rules.why_unknown(row.life)
    return Move(life, row.times, CENTRE, Progress(code=code, message=message))


def offer(row: Stored) -> Move | None:
    """None: it is not to be offered any more."""
    if row.life.waiting is not life_rules.Waiting.OFFER:
        return None
    return Move(life_rules.offered(row.life), row.times)
