"""The live stream: server-sent events from the hub to one client.

A stream ends when the client goes, falls behind or reads nothing, when what he may see changes or his token
is revoked, and when the centre stops. A client that reads nothing holds up neither its own end nor the
centre's.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from typing import Final

from aiohttp import web
from pydantic import Field

from central_sync.api.route import Call, Query
from central_sync.services.errors import Refusal
from central_sync.services.live import Listener

# A stream says something at least this often,
KEEPALIVE_SECONDS: Final = 15.0
# and looks this often whether who asked may still do so.
TOKEN_SECONDS: Final = 2.0
# How long a client may leave its end of a full connection unread.
WRITE_SECONDS: Final = 10.0
# The same once the stream is ending.
LAST_WRITE_SECONDS: Final = 0.5


class StreamQuery(Query):
    device: str | None = Field(None, max_length=51, description="Only events of this device.")
    values: str | None = Field(None, max_length=51, description="Values of this device only.")


async def stream(call: Call[StreamQuery]) -> web.StreamResponse:
    changes = await call.services.inventory.label_changes()
    seen = await call.services.inventory.seen_devices(call.who.labels)
    audience = tuple(sorted(call.who.labels.items()))
    owner = call.who.user or call.who.id
    listener = call.services.hub.subscribe(call.query.device, call.query.values, audience, seen, owner)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    try:
        await response.prepare(call.request)
        await _write(listener, response.write(b"retry: 2000\n\n"))
        async for message in _messages(call, listener, changes):
            await _write(listener, response.write(message))
        await _write(listener, response.write_eof())
    except TimeoutError:
        if call.request.transport is not None:
            call.request.transport.abort()
    except (ConnectionError, Refusal):
        pass
    finally:
        call.services.hub.unsubscribe(listener)
    return response


async def _write(listener: Listener, written: Awaitable[None]) -> None:
    """Raises TimeoutError where the client does not read; an end that comes meanwhile cuts the wait."""
    seconds = LAST_WRITE_SECONDS if listener.ended else WRITE_SECONDS
    deadline = asyncio.timeout(seconds)

    def hurry() -> None:
        if not deadline.expired():
            deadline.reschedule(asyncio.get_running_loop().time() + LAST_WRITE_SECONDS)

    async with deadline:
        with listener.when_ended(hurry):
            await written


async def _messages(call: Call[StreamQuery], listener: Listener, changes: int) -> AsyncIterator[bytes]:
    """What the stream says. Raises a Refusal where his rights changed, however much there is to say.
    changes: of labels, when it was asked what the listener sees."""
    time = asyncio.get_running_loop().time
    check_at, speak_at = time() + TOKEN_SECONDS, time() + KEEPALIVE_SECONDS
    while True:
        message: bytes | None = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(min(check_at, speak_at)):
                message = await listener.take()
        if message is None:
            return
        if time() >= check_at:
            await call.services.gate.require_unchanged(call.request, call.who)
            changes = await _look_again(call, listener, changes)
            check_at = time() + TOKEN_SECONDS
        if not message and time() >= speak_at:
            message = b": still here\n\n"
        if message:
            yield message
            speak_at = time() + KEEPALIVE_SECONDS


async def _look_again(call: Call[StreamQuery], listener: Listener, known: int) -> int:
    """What a limited listener sees, where labels changed since; returns the number of changes."""
    if listener.seen is None:
        return known
    changes = await call.services.inventory.label_changes()
    if changes != known:
        listener.seen = await call.services.inventory.seen_devices(call.who.labels)
    return changes
