"""Keeps a loop running: what it raises is logged, and it starts again after a pause that grows."""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from central_sync.services.clock import Clock

logger = structlog.get_logger()

FIRST_PAUSE_SECONDS: Final = 1.0
LAST_PAUSE_SECONDS: Final = 60.0


async def supervise(name: str, run: Callable[[], Awaitable[None]], clock: Clock) -> None:
    """Never returns; ends by cancellation alone."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        started = clock.monotonic()
        try:
            await run()
        except Exception as error:  # noqa: BLE001 - the supervisor is the place for it
            logger.error("worker failed", worker=name, error=repr(error))
        if clock.monotonic() - started > LAST_PAUSE_SECONDS:
            pause = FIRST_PAUSE_SECONDS
        await clock.sleep(pause)
        pause = min(2 * pause, LAST_PAUSE_SECONDS)
