"""The life of a command at the centre: who may move what to where (docs/specs/commands-v1.md). Pure.

Two parties move a command. The device reports what it does; the centre decides about what it never handed
out, and guesses `unknown` where nothing final was heard. Moves go to the right alone; a guess gives way to
what the device says.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from edge_agent.wire.commands import FINAL, CommandState

# After the longest that a command may take, the device has so long to say how it ended.
PATIENCE_MS: Final = 300_000
CANCEL_MS: Final = 120_000
# The code of an agent that was told to cancel what is not in its journal.
NOT_KNOWN: Final = "not_known"
_RANK: Final = {
    CommandState.QUEUED: 0,
    CommandState.DELIVERED: 1,
    CommandState.ACCEPTED: 2,
    CommandState.RUNNING: 3,
    **dict.fromkeys(FINAL, 4),
}


class Waiting(IntEnum):
    """What the device is still to be told of a command."""

    NOTHING = 0
    OFFER = 1
    CANCEL = 2


@dataclass(frozen=True, slots=True)
class Life:
    """heard: what the device reported last, in its newest report `no`. offered: it may be on the device.
    late: the time to start is over. cancel: somebody asked to stop it."""

    state: CommandState = CommandState.QUEUED
    heard: CommandState | None = None
    no: int = 0
    offered: bool = False
    late: bool = False
    cancel: bool = False

    @property
    def is_guess(self) -> bool:
        """`unknown`, said by the centre."""
        return self.state is CommandState.UNKNOWN and self.heard not in FINAL

    @property
    def has_ended(self) -> bool:
        """For good: nothing replaces this state."""
        return self.state in FINAL and not self.is_guess

    @property
    def waiting(self) -> Waiting:
        if self.has_ended:
            return Waiting.NOTHING
        if self.cancel:
            return Waiting.CANCEL
        if self.state is CommandState.QUEUED and not self.late:
            return Waiting.OFFER
        return Waiting.NOTHING


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of the centre's command clock. running: when that was reported last."""

    start_by: int
    timeout_ms: int
    running: int | None = None
    cancel: int | None = None


def reported(life: Life, state: CommandState, no: int, code: str = "") -> Life | None:
    """After a report of the device; None: it is discarded, being a repeat, older, or to the left."""
    if life.has_ended or state is CommandState.QUEUED:
        return None
    if code == NOT_KNOWN and state is CommandState.CANCELLED:
        ended = CommandState.CANCELLED if life.heard is None else CommandState.UNKNOWN
        return replace(life, state=ended, heard=ended, no=max(life.no, no), offered=True)
    # A disk that lost what it had confirmed, or an image, makes an agent count anew: an end is an end.
    is_older = no <= life.no and state not in FINAL
    if is_older or (life.heard is not None and _RANK[state] < _RANK[life.heard]):
        return None
    return replace(life, state=state, heard=state, no=max(life.no, no), offered=True)


def offered(life: Life) -> Life:
    return replace(life, offered=True)


def cancelled(life: Life) -> Life | None:
    """After somebody asked to stop it; None: nothing changes. What has ended is not for this function."""
    if life.has_ended or life.cancel:
        return None
    if life.state is CommandState.QUEUED and not life.offered:
        return replace(life, state=CommandState.CANCELLED, cancel=True)
    return replace(life, cancel=True)


def overdue(life: Life) -> Life | None:
    """After `due` has passed; None: nothing changes."""
    if life.state in FINAL:
        return None
    if life.state is CommandState.QUEUED and not life.late and not life.cancel:
        return replace(life, late=True, state=life.state if life.offered else CommandState.EXPIRED)
    return replace(life, state=CommandState.UNKNOWN, late=True)


def due(life: Life, times: Times) -> int | None:
    """When the centre has to decide; None: never again."""
    if life.state in FINAL:
        return None
    if life.state is CommandState.QUEUED and not life.late and not life.cancel:
        return times.start_by
    began = times.running if times.running is not None else times.start_by
    patience = began + times.timeout_ms + PATIENCE_MS
    return patience if times.cancel is None else min(patience, times.cancel + CANCEL_MS)


def why_unknown(before: Life) -> tuple[str, str]:
    """Code and text of the centre's guess."""
    if before.cancel:
        return "cancel_unanswered", "the device did not answer that it is to be cancelled"
    if before.heard is None:
        return "not_acknowledged", "it was offered to the device, which never acknowledged it"
    return "not_heard", f"nothing was heard after {before.heard}"
