"""Live events for the page: one hub, a bounded queue for each listener. Who cannot follow is cut off."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import orjson

from central_sync.services.errors import Busy

MAX_LISTENERS: Final = 200
QUEUE_EVENTS: Final = 256


@dataclass(eq=False, slots=True)
class Listener:
    """One open stream. `device` limits it to one device; None from the queue: the stream ends."""

    device: str | None
    queue: "asyncio.Queue[bytes | None]" = field(default_factory=lambda: asyncio.Queue(QUEUE_EVENTS))

    def end(self) -> None:
        while self.queue.full():
            self.queue.get_nowait()
        self.queue.put_nowait(None)


class Hub:
    """Used in the event loop alone."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._closed = False

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def wanted(self) -> frozenset[str] | None:
        """The devices that anybody listens to; None: all of them."""
        devices = {listener.device for listener in self._listeners}
        return None if None in devices else frozenset(device for device in devices if device)

    def subscribe(self, device: str | None) -> Listener:
        """Raises Busy where there are too many listeners, or the centre stops."""
        if self._closed or len(self._listeners) >= MAX_LISTENERS:
            raise Busy("too_many_streams", f"at most {MAX_LISTENERS} streams are served", 5.0)
        listener = Listener(device)
        self._listeners.add(listener)
        return listener

    def unsubscribe(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    def publish(self, event: str, data: object, device: str | None = None) -> None:
        """Hands an event to all who want it. `device` None concerns everybody."""
        wanting = [x for x in self._listeners if device is None or x.device in (None, device)]
        if not wanting:
            return
        message = b"event: %s\ndata: %s\n\n" % (event.encode(), orjson.dumps(data))
        for listener in wanting:
            if listener.queue.full():
                self._listeners.discard(listener)
                listener.end()
            else:
                listener.queue.put_nowait(message)

    def close(self) -> None:
        """Ends all streams."""
        self._closed = True
        for listener in self._listeners:
            listener.end()
        self._listeners.clear()
