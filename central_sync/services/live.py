"""Live events for the page: one hub, a bounded queue for each listener. Who cannot follow is cut off."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import orjson
import structlog

from central_sync.services.errors import Busy

logger = structlog.get_logger()

MAX_LISTENERS: Final = 200
# Of one person or program: nobody takes them all.
MAX_OF_ONE: Final = 50
QUEUE_EVENTS: Final = 256
QUEUE_BYTES: Final = 4 << 20
VALUES: Final = "values"
# Label limits in order; empty: of those who see all devices.
Audience = tuple[tuple[str, str], ...]


@dataclass(eq=False, slots=True)
class Listener:
    """One open stream. None from the queue: the stream ends.

    `device` limits it to one device's events, `values` its values to one device's; None: no limit. `audience`
    are the label limits of who listens, and `seen` the devices that he sees by them; None: all. `owner`: who
    it counts for.
    """

    device: str | None = None
    values: str | None = None
    audience: Audience = ()
    seen: frozenset[str] | None = None
    owner: str = ""
    queue: "asyncio.Queue[bytes | None]" = field(default_factory=lambda: asyncio.Queue(QUEUE_EVENTS))
    size_bytes: int = 0
    ended: bool = False
    _hurry: Callable[[], None] | None = None

    def wants(self, event: str, device: str | None, audience: Audience = ()) -> bool:
        """`device` None: the event is for all of an audience."""
        if device is None:
            return audience == self.audience
        if self.seen is not None and device not in self.seen:
            return False
        limits = (self.device, self.values) if event == VALUES else (self.device,)
        return all(limit in (None, device) for limit in limits)

    def put(self, message: bytes) -> bool:
        """False where the queue is full, by number or by bytes."""
        if self.queue.full() or self.size_bytes + len(message) > QUEUE_BYTES:
            return False
        self.size_bytes += len(message)
        self.queue.put_nowait(message)
        return True

    async def take(self) -> bytes | None:
        message = await self.queue.get()
        self.size_bytes -= len(message or b"")
        return message

    def end(self) -> None:
        """What waits is dropped."""
        while not self.queue.empty():
            self.queue.get_nowait()
        self.size_bytes, self.ended = 0, True
        self.queue.put_nowait(None)
        if self._hurry is not None:
            self._hurry()

    @contextmanager
    def when_ended(self, hurry: Callable[[], None]) -> Iterator[None]:
        """Calls `hurry` if the stream is ended within the block."""
        self._hurry = hurry
        try:
            yield
        finally:
            self._hurry = None


class Hub:
    """Used in the event loop alone."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._closed = False

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def wanted(self) -> frozenset[str] | None:
        """The devices whose values anybody wants; None: all of them."""
        devices = {listener.device or listener.values for listener in self._listeners}
        return None if None in devices else frozenset(device for device in devices if device)

    def audiences(self) -> set[Audience]:
        return {listener.audience for listener in self._listeners}

    def subscribe(
        self,
        device: str | None = None,
        values: str | None = None,
        audience: Audience = (),
        seen: frozenset[str] | None = None,
        owner: str = "",
    ) -> Listener:
        """Raises Busy where there are too many listeners, of all or of this owner, or the centre stops."""
        if self._closed or len(self._listeners) >= MAX_LISTENERS:
            raise Busy("too_many_streams", f"at most {MAX_LISTENERS} streams are served", 5.0)
        if owner and sum(each.owner == owner for each in self._listeners) >= MAX_OF_ONE:
            raise Busy("too_many_streams", f"at most {MAX_OF_ONE} streams of one are served: end some", 5.0)
        listener = Listener(device, values, audience, seen, owner)
        self._listeners.add(listener)
        return listener

    def unsubscribe(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    def wants(self, event: str, device: str) -> bool:
        """Whether anybody would get it: making an event may cost more than what it tells of."""
        return any(listener.wants(event, device) for listener in self._listeners)

    def publish(self, event: str, data: object, device: str | None = None, audience: Audience = ()) -> None:
        """Hands an event to all who want it and may. `device` None: to the audience, as a rule those who see
        all devices.

        Never raises: what was stored must be answered, whoever listens.
        """
        wanting = [listener for listener in self._listeners if listener.wants(event, device, audience)]
        if not wanting:
            return
        try:
            message = b"event: %s\ndata: %s\n\n" % (event.encode(), orjson.dumps(data))
        except orjson.JSONEncodeError as error:
            logger.warning("live event left out", event_name=event, device=device, error=str(error))
            return
        for listener in wanting:
            if not listener.put(message):
                self._listeners.discard(listener)
                listener.end()

    def close(self) -> None:
        """Ends all streams."""
        self._closed = True
        for listener in self._listeners:
            listener.end()
        self._listeners.clear()
