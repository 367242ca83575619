"""What the services of commands ask of a store, and the values that pass between them."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from central_sync.services.audit.entries import Actor
from central_sync.services.commands.board import Changes
from central_sync.services.commands.moves import Move, Now, Stored
from central_sync.services.commands.views import (
    CommandDetail,
    CommandPage,
    LogView,
    OrderCreated,
    OrderView,
)
from central_sync.services.database import Once
from edge_agent.wire.commands import CommandState

Rule = Callable[[Stored], Move | None]
Limits = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Opened:
    """At the start: the command clock as saved, what `CommandBoard.start` takes, and the files that there
    are, by command and SHA-256."""

    clock: tuple[int, int] | None
    waiting: list[tuple[str, str]]
    next_due: int | None
    artifacts: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class NewOrder:
    """devices and ids of their commands, in order. each: an audit entry for every device."""

    id: str
    type: str
    params: Mapping[str, Any]
    targets: Mapping[str, Any]
    commands: Sequence[tuple[str, str]]
    author: str
    note: str
    expires_ms: int
    timeout_seconds: float
    each: bool
    max_open: int


@dataclass(frozen=True, slots=True)
class CommandFilter:
    """before: the number of the command behind which the page begins. Times are of creation, inclusive."""

    limits: Limits
    device: str | None = None
    type: str | None = None
    state: CommandState | None = None
    open: bool | None = None
    order: str | None = None
    author: str | None = None
    start: int | None = None
    end: int | None = None
    before: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class OfferRow:
    id: str
    type: str
    params: dict[str, Any]
    created: int
    start_by: int
    timeout_seconds: float
    author: str
    offered: bool


@dataclass(frozen=True, slots=True)
class CancelCounts:
    cancelled: int = 0
    asked: int = 0
    ended: int = 0
    last: int | None = None


@dataclass(frozen=True, slots=True)
class Artifact:
    name: str
    size_bytes: int
    sha256: str


class CommandStore(Protocol):
    """Every change is one transaction, with its history and, for people, its audit entry; the board is told
    after the commit. Raises Busy."""

    async def open(self) -> Opened: ...

    async def save_clock(self, reading: tuple[int, int]) -> None: ...

    async def create(
        self, order: NewOrder, key: Once | None, actor: Actor, now: Now, first: int
    ) -> OrderCreated:
        """With its first commands. Raises Conflict (`queue_full`, `key_reused`), NotFound."""
        ...

    async def report(self, device: str, command: str, rule: Rule, now: Now) -> None:
        """Raises NotFound where the device has no such command."""
        ...

    async def cancel(self, command: str, limits: Limits, rule: Rule, actor: Actor, now: Now) -> CommandDetail:
        """Raises NotFound; Conflict (`ended`) unless it was cancelled."""
        ...

    async def cancel_some(
        self, order: str, limits: Limits, after: int, rule: Rule, actor: Actor | None, now: Now
    ) -> CancelCounts:
        """Some of an order's commands, from the one behind row `after`; `last`: the last row, None at the
        end. actor: the audit entry is written with these. Raises NotFound."""
        ...

    async def overdue(self, rule: Rule, now: Now) -> None:
        """Moves some whose deadline has passed, and tells the board the next deadline."""
        ...

    async def offers(self, device: str) -> tuple[list[OfferRow], list[str]]:
        """What is to be offered, the oldest first, and what is to be cancelled."""
        ...

    async def mark_offered(self, device: str, commands: Sequence[str], rule: Rule, now: Now) -> set[str]:
        """Those of them that may be handed out, which the disk now says."""
        ...

    async def get(self, command: str, limits: Limits) -> CommandDetail | None: ...

    async def page(self, wanted: CommandFilter) -> CommandPage: ...

    async def order(self, order: str, limits: Limits) -> OrderView | None: ...

    async def log(self, command: str, limits: Limits, offset: int, size: int) -> LogView | None: ...

    async def artifact_of(self, command: str, device: str | None, limits: Limits) -> Artifact | None:
        """Raises NotFound where there is no such command."""
        ...

    async def add_artifact(
        self, device: str, command: str, artifact: Artifact, quota_bytes: int, now: Now
    ) -> tuple[bool, str | None]:
        """Whether it is new, and the SHA-256 of what it took the place of. Raises NotFound, Conflict
        (`ended`, `artifact_quota`)."""
        ...

    async def forget(self, before: int, limit: int) -> list[str]:
        """Deletes some commands that ended before this time, with all that is theirs; their ids."""
        ...


class ArtifactStore(Protocol):
    """Files that commands brought. Raises OSError."""

    async def receive(self, command: str, blocks: AsyncIterator[bytes]) -> tuple[int, str]:
        """Size and SHA-256 of what is now on the disk. Raises TooLarge."""
        ...

    def blocks(self, command: str, sha256: str) -> AsyncIterator[bytes]: ...

    async def keep_only(self, known: Collection[tuple[str, str]]) -> None: ...

    async def drop(self, command: str, sha256: str) -> None: ...

    async def remove(self, commands: Collection[str]) -> None: ...


Note = Callable[[Changes], None]
