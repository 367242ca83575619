"""The messages about commands between agent and centre (docs/specs/commands-v1.md).

At least once, both ways: the centre offers a command until the agent has acknowledged it, the agent repeats
a report until the centre has. A command's id makes the offers one command, a report's `no` the reports one
report. Times are UTC milliseconds of the centre's clock; what the agent waits for is given as a duration.
"""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, JsonValue

from edge_agent.wire.messages import Message, Name, Number, Text

MAX_RESULT_BYTES: Final = 256 << 10
MAX_LOG_BYTES: Final = 256 << 10
MAX_LOG_PART_BYTES: Final = 16 << 10
MAX_ARTIFACT_BYTES: Final = 32 << 20
MAX_OFFERED: Final = 20
MAX_WAIT_SECONDS: Final = 60.0


class CommandState(StrEnum):
    """queued: the device has not acknowledged it. delivered: it is on the device's disk. accepted: the device
    will run it. unknown: nobody knows how it ended; it is never run again by itself."""

    QUEUED = "queued"
    DELIVERED = "delivered"
    ACCEPTED = "accepted"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


FINAL: Final = frozenset(
    {
        CommandState.SUCCEEDED,
        CommandState.FAILED,
        CommandState.TIMED_OUT,
        CommandState.EXPIRED,
        CommandState.CANCELLED,
        CommandState.REJECTED,
        CommandState.UNKNOWN,
    }
)


class CommandOffer(Message):
    """A command for this device. Start it within `start_seconds` of this answer, or report it as expired;
    stop it after `timeout_seconds` of running."""

    id: Name
    type: Name
    params: dict[str, JsonValue] = Field(default_factory=dict)
    created: Number
    start_seconds: float
    timeout_seconds: float
    by: Text = ""


class CommandOffers(Message):
    """Answer to `GET …/commands?wait=SECONDS`, which waits until there is something or the time is over.

    `cancel` names commands that were acknowledged by the device and are to be stopped; each is named until
    the device reports a final state of it.
    """

    commands: list[CommandOffer] = Field(default_factory=list, max_length=MAX_OFFERED)
    cancel: list[Name] = Field(default_factory=list, max_length=1_000)


class LogPart(Message):
    """Output of a running command: text that begins at `offset`, counted in bytes of UTF-8."""

    offset: Number
    text: Annotated[str, Field(max_length=MAX_LOG_PART_BYTES)]


class CommandReport(Message):
    """What became of a command, in `POST …/commands/{command}/report`; 204 once it is stored.

    no: 1, 2, … within one command, from the agent's journal: a repeat is discarded, and so is whatever is
    older than the newest. steps: how many there are, step: the one that runs, from 1.
    """

    no: Annotated[int, Field(ge=1, lt=1 << 31)]
    state: CommandState
    time: Number
    step: Number = 0
    steps: Number = 0
    message: Text = ""
    code: Annotated[str, Field(max_length=64)] = ""
    result: JsonValue = None
    log: LogPart | None = None
