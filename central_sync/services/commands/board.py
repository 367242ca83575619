"""What waits for each device, in memory: looked up by every heartbeat, and waited for by long polls.

A read model of the database, rebuilt at the start and changed after each commit, in the order of commits.
Nobody asks the database whether there is something: a device that waits is woken by its own future.
All of it belongs to the event loop but `note`, which the writer's thread calls.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from central_sync.services.commands.views import CommandView
from central_sync.services.errors import Busy
from central_sync.services.live import Hub

MAX_HELD: Final = 60_000
# What was answered is repeated to a waiting device so much later: its answer may have been lost.
REPEAT_SECONDS: Final = 5.0
EVENT: Final = "command"


@dataclass(frozen=True, slots=True)
class Change:
    """A command after a commit. waits: for the device to be told something. view: for the live stream."""

    device: str
    command: str
    waits: bool
    due_at: int | None = None
    view: CommandView | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """next_due: the earliest deadline of all, where the transaction looked for it (`is_whole`)."""

    items: tuple[Change, ...]
    next_due: int | None = None
    is_whole: bool = False


@dataclass(eq=False, slots=True)
class Holder:
    """One held request. over: a newer one came, or the centre stops."""

    future: "asyncio.Future[None]"
    over: bool = False

    def wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)

    def arm(self) -> None:
        """What comes from now on ends the next `wait`."""
        if self.future.done() and not self.over:
            self.future = asyncio.get_running_loop().create_future()

    async def wait(self, seconds: float) -> None:
        await asyncio.wait((self.future,), timeout=seconds)


@dataclass(slots=True)
class _Said:
    what: frozenset[str] = frozenset()
    time: float = 0.0


@dataclass
class CommandBoard:
    hub: Hub
    max_held: int = MAX_HELD
    next_due: int | None = None
    _waiting: dict[str, set[str]] = field(default_factory=dict)
    _polls: dict[str, Holder] = field(default_factory=dict)
    _followers: dict[str, set[Holder]] = field(default_factory=dict)
    _said: dict[str, _Said] = field(default_factory=dict)
    _held: int = 0
    _closed: bool = False
    _loop: asyncio.AbstractEventLoop | None = None

    @property
    def held(self) -> int:
        """Requests that wait."""
        return self._held

    def start(self, waiting: Iterable[tuple[str, str]], next_due: int | None) -> None:
        """waiting: device and command."""
        self._loop = asyncio.get_running_loop()
        for device, command in waiting:
            self._waiting.setdefault(device, set()).add(command)
        self.next_due = next_due

    def close(self) -> None:
        """Ends every held request."""
        self._closed = True
        followers = [holder for held in self._followers.values() for holder in held]
        for holder in (*self._polls.values(), *followers):
            holder.over = True
            holder.wake()

    def waiting(self, device: str) -> int:
        """How many commands the device is to be told something about."""
        return len(self._waiting.get(device, ()))

    # --- after a commit -----------------------------------------------------------------------------

    def note(self, changes: Changes) -> None:
        """From the writer's thread."""
        assert self._loop is not None, "the board is started first"
        self._loop.call_soon_threadsafe(self.apply, changes)

    def apply(self, changes: Changes) -> None:
        if changes.is_whole:
            self.next_due = changes.next_due
        for change in changes.items:
            self._apply(change)

    def _apply(self, change: Change) -> None:
        self._count(change)
        if change.due_at is not None and (self.next_due is None or change.due_at < self.next_due):
            self.next_due = change.due_at
        if change.waits and change.device in self._polls:
            self._polls[change.device].wake()
        for follower in self._followers.get(change.command, ()):
            follower.wake()
        if change.view is not None and self.hub.wants(EVENT, change.device):
            self.hub.publish(EVENT, change.view.model_dump(mode="json"), change.device)

    def _count(self, change: Change) -> None:
        held = self._waiting.get(change.device)
        if change.waits:
            if held is None:
                held = self._waiting[change.device] = set()
            held.add(change.command)
        elif held is not None:
            held.discard(change.command)
            if not held:
                del self._waiting[change.device]
                self._said.pop(change.device, None)

    # --- held requests ------------------------------------------------------------------------------

    @contextmanager
    def polling(self, device: str) -> Iterator[Holder]:
        """A device's request for as long as the block lasts; an older one is over. Raises Busy."""
        with self._holding() as holder:
            older = self._polls.get(device)
            if older is not None:
                older.over = True
                older.wake()
            self._polls[device] = holder
            try:
                yield holder
            finally:
                if self._polls.get(device) is holder:
                    del self._polls[device]

    @contextmanager
    def following(self, command: str) -> Iterator[Holder]:
        """Somebody who waits for a command to change. Raises Busy."""
        with self._holding() as holder:
            self._followers.setdefault(command, set()).add(holder)
            try:
                yield holder
            finally:
                self._followers[command].discard(holder)
                if not self._followers[command]:
                    del self._followers[command]

    @contextmanager
    def _holding(self) -> Iterator[Holder]:
        if self._closed or self._held >= self.max_held:
            raise Busy("too_many_waiting", f"at most {self.max_held} requests wait here; ask again", 10.0)
        self._held += 1
        try:
            yield Holder(asyncio.get_running_loop().create_future())
        finally:
            self._held -= 1

    def pause(self, device: str, what: frozenset[str], time: float) -> float | None:
        """How long to wait before saying this to the device; None: until there is something else."""
        if not what:
            return None
        said = self._said.get(device)
        if said is None or not what <= said.what:
            return 0.0
        return max(0.0, said.time + REPEAT_SECONDS - time)

    def say(self, device: str, what: frozenset[str], time: float) -> None:
        if what and device in self._waiting:
            self._said[device] = _Said(what, time)
