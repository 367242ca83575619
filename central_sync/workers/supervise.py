"""Keeps a worker running: it starts again after a pause that grows, and is never given up.

One line when it fails first, one where it keeps failing and is tried rarely, one when it is back.
"""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

import structlog

from central_sync.services.clock import Clock

logger = structlog.get_logger()

FIRST_PAUSE_SECONDS: Final = 1.0
LAST_PAUSE_SECONDS: Final = 60.0
HEALTHY_SECONDS: Final = 60.0
MAX_FAILURES: Final = 5
BROKEN_SECONDS: Final = 300.0
_JITTER: Final = 0.2


async def supervise(
    name: str, run: Callable[[], Awaitable[None]], clock: Clock, random: Random | None = None
) -> None:
    """Never returns; ends by cancellation alone. A run of HEALTHY_SECONDS ends an outage."""
    draw = random or Random()
    failures = 0
    log = logger.bind(worker=name)
    while True:
        started = clock.monotonic()
        error = "it returned"
        try:
            await run()
        except Exception as failure:  # noqa: BLE001 - the supervisor is the place for it
            error = repr(failure)
        if failures and clock.monotonic() - started >= HEALTHY_SECONDS:
            log.info("worker was back", failures=failures)
            failures = 0
        failures += 1
        if failures == 1:
            log.error("worker failed and will run again", error=error)
        elif failures == MAX_FAILURES:
            log.error("worker keeps failing and is tried rarely", error=error)
        await clock.sleep(pause_seconds(failures) * (1 - _JITTER * draw.random()))


def pause_seconds(failures: int) -> float:
    """After so many failures in a row, without jitter."""
    if failures >= MAX_FAILURES:
        return BROKEN_SECONDS
    return min(FIRST_PAUSE_SECONDS * 2.0 ** (failures - 1), LAST_PAUSE_SECONDS)
