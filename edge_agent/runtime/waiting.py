"""Waiting for one of several things, on the injected clock."""

import asyncio

from edge_agent.contracts.clock import Clock


async def wait_for_event(event: asyncio.Event, seconds: float, clock: Clock) -> bool:
    """Returns when the event is set or the time is over, whichever is first. True: the event is set."""
    if event.is_set() or seconds <= 0:
        return event.is_set()
    waiter = asyncio.ensure_future(event.wait())
    sleeper = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((waiter, sleeper), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiter.cancel()
        sleeper.cancel()
        await asyncio.gather(waiter, sleeper, return_exceptions=True)
    return event.is_set()
