"""What one subscription has brought and nobody has taken yet. Pure.

Messages are numbered by the server (Part 4, 5.14.1): one that comes again is passed over; one that is missing
is told as lost, and `gap` says that the newest values of some tags may have been in it. The newest change of
each tag is kept, to be told again where an outage was told of all tags and the server then went on with the
same subscription.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from edge_agent.contracts.driver import Reading
from edge_agent.drivers.opcua.errors import status_text
from edge_agent.drivers.opcua.messages import Change, Notification
from edge_agent.drivers.opcua.plan import OpcUaPlan
from edge_agent.drivers.opcua.quality import mark_of, overflowed
from edge_agent.drivers.opcua.structures import Definitions, plain
from edge_agent.drivers.packing import ChangeLog

_LEAST_KEPT: Final = 10_000
_MOST_KEPT: Final = 1_000_000
_LAST_SEQUENCE: Final = (1 << 32) - 1
_MOST_ERRORS: Final = 100
# As sent, of all that nobody has taken yet.
_MOST_BYTES: Final = 32 << 20


class Moment(NamedTuple):
    """mono: seconds; wall_text: for people."""

    mono: float
    wall_text: str


def following(sequence: int) -> int:
    """The number behind this one: 0 is none (Part 4, 7.9)."""
    return 1 if sequence >= _LAST_SEQUENCE else sequence + 1


class Inbox:
    """One plan's. `handles` of changes are the places of tags in its schema."""

    def __init__(self, plan: OpcUaPlan) -> None:
        self._plan = plan
        tags = plan.schema.tag_count
        most = min(max(_LEAST_KEPT, 2 * tags * plan.queue_size), _MOST_KEPT)
        self._most = most
        self._log = ChangeLog(plan.schema, most)
        self._newest: list[Change | None] = [None] * tags
        self._waiting: list[Change] = []  # for the definitions of structures
        self._waiting_tags: set[int] = set()
        self._bytes = 0
        self._missing = 0  # tags of which nothing came since the subscription was made
        self._came = bytearray(tags)
        self.bad: dict[int, int] = {}
        self.next_sequence = 1
        self.gap = False
        self.ended: int | None = None

    def begin(self) -> None:
        """A subscription was made anew: values of all tags follow."""
        self.next_sequence, self.gap, self.ended = 1, False, None
        self._came = bytearray(len(self._came))
        self._missing = len(self._came)
        self.bad.clear()

    @property
    def complete(self) -> bool:
        return self._missing <= 0

    def take_message(self, found: Notification) -> bool:
        """Whether it is to be acknowledged."""
        if found.keepalive:
            if self._is_ahead(found.sequence):
                self._lose_messages(found.sequence)
            self._log.keepalive()
            return False
        if found.ended is not None:
            self.ended = found.ended
            return False
        if found.sequence != self.next_sequence:
            if not self._is_ahead(found.sequence):
                return True  # it came before
            self._lose_messages(found.sequence)
        self.next_sequence = following(found.sequence)
        self._log.keepalive()
        self._bytes += found.size_bytes
        if self._bytes > _MOST_BYTES:
            self.gap = True
            self.lose(f"message {found.sequence} of the server: more came than could be taken")
            return True
        for change in found.changes:
            self._take(change)
        return True

    def _is_ahead(self, sequence: int) -> bool:
        return 0 < (sequence - self.next_sequence) & _LAST_SEQUENCE < 1 << 31

    def _lose_messages(self, sequence: int) -> None:
        count = (sequence - self.next_sequence) & _LAST_SEQUENCE
        # Of a server that does not begin with 1 nothing is missing.
        self.gap = self.gap or self.next_sequence != 1
        self._log.lose(
            f"messages {self.next_sequence} to {sequence - 1} of the server ({count}) did not come"
        )
        self.next_sequence = sequence

    def _take(self, change: Change) -> None:
        tag, value, status, source_ms, opaque = change
        if tag >= len(self._newest):
            return  # an item that nobody asked for
        if not self._came[tag]:
            self._came[tag] = 1
            self._missing -= 1
        self._newest[tag] = change
        if status and overflowed(status):
            self._tell_overflow(change)
        if opaque or tag in self._waiting_tags:
            self._wait(change)
            return
        mark = None if not status and value is not None else mark_of(status, empty=value is None)
        self._log.put(tag, value, source_ms, mark)

    def _wait(self, change: Change) -> None:
        self._waiting.append(change)
        self._waiting_tags.add(change.handle)
        if len(self._waiting) > self._most:
            del self._waiting[0]
            self.lose("a structure: more came than could be taken")

    def _tell_overflow(self, change: Change) -> None:
        name = self._plan.schema.tags[change.handle].name
        since = f" before source time {change.source_ms} ms" if change.source_ms is not None else ""
        self.lose(f"changes of {name}{since}: the server's queue of {self._plan.queue_size} was full")

    def refuse(self, tag: int, status: int) -> None:
        """The server has no such item."""
        if not self._came[tag]:
            self._came[tag] = 1
            self._missing -= 1
        if self.bad.get(tag) != status:
            self._log.put(tag, None, None, mark_of(status, empty=True))
        self._newest[tag] = Change(tag, None, status, None)
        self.bad[tag] = status

    def accept(self, tag: int) -> None:
        """The server has the item now that it refused before."""
        self.bad.pop(tag, None)

    def lose(self, text: str) -> None:
        self._log.lose(text)

    def restate(self) -> None:
        """What each tag had before an outage, as the server stands by it: with the source times of then."""
        for change in self._newest:
            if change is not None:
                self._again(change)

    def _again(self, change: Change) -> None:
        if change.opaque:
            self._wait(change)
        else:
            mark = mark_of(change.status, empty=change.value is None)
            self._log.put(change.handle, change.value, change.source_ms, mark)

    @property
    def unread(self) -> Sequence[Any]:
        """Values with structures, for which definitions may have to be asked."""
        return [change.value for change in self._waiting]

    def take(self, definitions: Definitions) -> Reading:
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        self._waiting_tags.clear()
        for change in waiting:
            value = plain(change.value, definitions)
            mark = mark_of(change.status, empty=value is None)
            self._log.put(change.handle, value, change.source_ms, mark)
        return self._log.take(self.errors())

    def errors(self) -> dict[str, str] | None:
        some = list(self.bad.items())[:_MOST_ERRORS]
        return {str(self._plan.items[tag].address): status_text(status) for tag, status in some} or None
