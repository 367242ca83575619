"""The agent's stop order: intake, pipeline, commit, last upload, close; each under a bound of its own.

Together they take some 15 s at most, and under 2 s from a second signal on. Whatever hangs before it, the
commit runs.
"""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from edge_agent.app.connections import ConnectionSet
from edge_agent.app.hooks import HookRoom
from edge_agent.buffer.outbox import StoredOutbox
from edge_agent.buffer.store import Store
from edge_agent.contracts.clock import Clock
from edge_agent.runtime.crew import Crew
from edge_agent.runtime.errors import EssentialFailed
from edge_agent.runtime.stopping import Ended, Stage, StopSignals, run_stages
from edge_agent.runtime.waiting import wait_for_event

if TYPE_CHECKING:
    from edge_agent.app.centre import CentreLink
    from edge_agent.web.server import LocalServer

logger = structlog.stdlib.get_logger(__name__)

LAST_UPLOAD_SECONDS: Final = 5.0
# Of the intake's: of the flush that runs when the stop begins, for which a reload may wait. Then of the
# commit's, and of one in a hurry or after it. However long a flush interval is, what hooks do not come to is
# committed as it was read.
INTAKE_HOOK_SECONDS: Final = 0.7
HOOK_SECONDS: Final = 1.5
HURRIED_HOOK_SECONDS: Final = 0.1
WRITER: Final = "writer"
# What brings configs: nothing may start connections any more.
_INTAKE: Final = ("config", "reload", "liveness")
_LOOK_SECONDS: Final = 0.05
_SPARE_SECONDS: Final = 0.5


@dataclass(slots=True)
class Ending:
    """Ends what runs. has_store: the buffer is open. Whatever the start did not come to is None."""

    crew: Crew
    signals: StopSignals
    clock: Clock
    store: Store
    outbox: StoredOutbox
    hooks: HookRoom
    has_store: bool = False
    connections: ConnectionSet | None = None
    link: "CentreLink | None" = None
    server: "LocalServer | None" = None
    failure: EssentialFailed | None = None

    def gave_up(self, failure: EssentialFailed) -> None:
        """A part without which there is no use has failed: what is in memory is committed, and no more."""
        if self.failure is None:
            self.failure = failure
        self.signals.wanted.set()

    async def run(self) -> list[Ended]:
        stages = [
            Stage("intake", 1.0, 0.1, self._intake),
            Stage("pipeline", 2.0, 0.3, self._pipeline),
            Stage("commit", 4.0, 0.6, self._commit),
            Stage("last upload", LAST_UPLOAD_SECONDS + _SPARE_SECONDS, 0.0, self._last_upload),
            Stage("parts", 1.5, 0.2, self._parts),
            Stage("close", 1.5, 0.3, self._close),
        ]
        return await run_stages(stages, self.signals.hurry, self.clock)

    @property
    def _writer_is_broken(self) -> bool:
        return self.failure is not None and self.failure.part == WRITER

    async def _intake(self) -> None:
        self.hooks.hurry(INTAKE_HOOK_SECONDS)
        # A config that is being judged is neither kept nor refused.
        if self.connections is not None:
            self.connections.refuse_more()
        await self.crew.end(_INTAKE)

    async def _pipeline(self) -> None:
        if self.connections is not None:
            await self.connections.stop_all()

    async def _commit(self) -> None:
        self.hooks.hurry(HURRIED_HOOK_SECONDS if self.signals.hurry.is_set() else HOOK_SECONDS)
        in_a_hurry = asyncio.ensure_future(self._hurry_hooks())
        try:
            if self.has_store and not self._writer_is_broken:
                await self.store.flush(settle=True)
        finally:
            in_a_hurry.cancel()

    async def _hurry_hooks(self) -> None:
        await self.signals.hurry.wait()
        self.hooks.hurry(HURRIED_HOOK_SECONDS)

    async def _last_upload(self) -> None:
        """Waits until the centre has everything, does not answer, or has had its time. A process that has
        failed does not wait: the next one sends."""
        deadline = self.clock.monotonic() + LAST_UPLOAD_SECONDS
        while (
            self.failure is None
            and self.link is not None
            and self.link.answers
            and self.outbox.held(self.outbox.current_epoch)
            and self.clock.monotonic() < deadline
            and not await wait_for_event(self.signals.hurry, _LOOK_SECONDS, self.clock)
        ):
            continue

    async def _parts(self) -> None:
        await self.crew.end()
        if self.server is not None:
            await self.server.stop()
        if self.link is not None:
            await self.link.close()

    async def _close(self) -> None:
        await self.outbox.close()
        self.hooks.hurry(HURRIED_HOOK_SECONDS)
        if self.has_store:
            await (self.store.abandon() if self._writer_is_broken else self.store.close())
        # The last flush may have been this one.
        await self.hooks.close()
