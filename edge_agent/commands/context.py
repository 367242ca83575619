"""What a handler gets: its command, a way to tell of its progress, and what it may do to the agent."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge_agent.contracts.clock import Clock
from edge_agent.contracts.status import ReloadResult
from edge_agent.contracts.writing import WriteOrder, WriteReport
from edge_agent.wire.command_types import ArtifactRef, TagReading
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.messages import ConfigReport, HooksReport


@dataclass(frozen=True, slots=True)
class LogText:
    """Log lines, secrets masked, the oldest first. truncated: some that were asked for are gone."""

    text: bytes
    lines: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class Pending:
    """What the buffer holds for the centre. stored_samples: committed in this run."""

    batches: int
    samples: int
    stored_samples: int


class Device(Protocol):
    """The agent, as far as commands reach. `app.commands` implements it. Raises Failed where it fails."""

    @property
    def run(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def uptime_seconds(self) -> float: ...

    def restart_problem(self) -> str:
        """Why nothing would start the agent again; empty: something would."""
        ...

    def restart(self) -> None:
        """Begins the ordered stop, and returns."""
        ...

    @property
    def config(self) -> ConfigReport:
        """What became of the centre's newest config, and the hash of what runs."""
        ...

    async def fetch_config(self) -> None:
        """Asks the centre for its config, with the ETag, and takes a new one to its end."""
        ...

    async def reload(self) -> ReloadResult:
        """The local file."""
        ...

    @property
    def manages_scripts(self) -> bool:
        """Whether the centre may send scripts at all."""
        ...

    @property
    def hooks(self) -> HooksReport:
        """The scripts that run, and what became of the centre's."""
        ...

    async def fetch_scripts(self) -> None:
        """Asks the centre for its scripts, with the ETag, and takes a new set to its end."""
        ...

    async def log_lines(self, lines: int, since_ms: int | None, level: str) -> LogText: ...

    async def read_tags(self, names: Sequence[str], seconds: float) -> list[TagReading]:
        """Waits so long for values that were read after the call."""
        ...

    def write_problem(self, tag: str, value: JsonValue) -> tuple[str, str] | None:
        """Code and text of why this may not be written now; None: it would be tried."""
        ...

    async def write_tag(self, order: WriteOrder, seconds: float) -> WriteReport:
        """Writes once, journalled. What was begun goes on to its end where this is cancelled."""
        ...

    async def rebuild(self, connection: str) -> bool:
        """Ends one connection and builds it anew. False: there is none of this name that is polled."""
        ...

    def connection_state(self, connection: str) -> tuple[str, str]:
        """Its state and its error."""
        ...

    def doctor(self, checks: Sequence[str] | None) -> list[str]:
        """The arguments of the child that examines this machine. None: all checks."""
        ...

    def bundle(self, out: Path, *, doctor: bool) -> list[str]:
        """The arguments of the child that writes a support bundle there."""
        ...

    def scratch(self) -> Path:
        """A directory for files that are sent and removed. Made where it is missing; blocks."""
        ...

    def set_log_level(self, level: str, seconds: float | None) -> str:
        """The level before. None: until the next start."""
        ...

    async def flush(self) -> None: ...

    def pending(self) -> Pending: ...

    async def until_delivered(self) -> None:
        """Returns when the centre has all that was stored at the call."""
        ...

    async def upload(self, command: str, name: str, data: bytes) -> ArtifactRef:
        """Sends a file to the centre, and tries until it has it."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """One run of one command. deadline: when it is cut off (monotonic seconds). by: who ordered it."""

    id: str
    device: Device
    clock: Clock
    deadline: float = math.inf
    step: Callable[[int, int, str], None] = lambda *_: None
    say: Callable[[str], None] = lambda _: None
    by: str = ""

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.deadline - self.clock.monotonic())
