"""One journalled command as a value: what was ordered, how far it came, what is still to be said of it."""

from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from edge_agent.wire.commands import FINAL, CommandOffer, CommandReport, CommandState

# Of a command that the centre knows the end of, so much of the result is kept, in case it forgets.
KEPT_RESULT_BYTES: Final = 4_096


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, on all clocks. boot: the monotonic one counts within it. run: of this process."""

    monotonic: float
    wall_ms: int
    boot: str
    run: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended."""

    state: CommandState
    code: str = ""
    message: str = ""
    result: JsonValue = None


@dataclass(slots=True)
class Entry:
    """start_by: the last moment to start it, on the monotonic clock of `boot`; start_by_ms: about the same on
    the wall clock, for another boot. started_ms, run: when and in which process it was started last, and
    attempts how often. no: of the newest report. pending: that report, until it is acknowledged. log_end:
    bytes of output that reports have so far. log: output from `log_base` on that was left when it ended.
    """

    offer: CommandOffer
    state: CommandState
    boot: str
    start_by: float
    start_by_ms: int
    run: str = ""
    started_ms: int = 0
    attempts: int = 0
    no: int = 0
    pending: CommandReport | None = None
    outcome: Outcome | None = None
    log: str = ""
    log_base: int = 0
    log_end: int = 0

    @property
    def id(self) -> str:
        return self.offer.id

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    @classmethod
    def of(cls, offer: CommandOffer, now: Moment, outcome: Outcome | None = None) -> "Entry":
        """A new one; with `outcome` it ended before it began."""
        return cls(
            offer,
            CommandState.DELIVERED if outcome is None else outcome.state,
            now.boot,
            now.monotonic + offer.start_seconds,
            now.wall_ms + round(offer.start_seconds * 1_000),
            outcome=outcome,
        )
