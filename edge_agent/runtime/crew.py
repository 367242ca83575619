"""The supervised parts of one process, in one TaskGroup.

A part that gives up must not cancel its siblings: what is in memory is to be committed first, and the
process then ends in order. So the first such failure is handed to whoever owns that order.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from edge_agent.contracts.clock import Clock
from edge_agent.runtime.backoff import Backoff
from edge_agent.runtime.errors import EssentialFailed
from edge_agent.runtime.progress import Progress
from edge_agent.runtime.supervise import Components, Role, supervise

FIRST_SECONDS: Final = 1.0
MAX_SECONDS: Final = 30.0


class Crew:
    """Starts and ends parts. gave_up: gets what ends the process; called at most once a part."""

    def __init__(
        self,
        root: asyncio.TaskGroup,
        clock: Clock,
        components: Components,
        progress: Progress,
        gave_up: Callable[[EssentialFailed], None],
    ) -> None:
        self.clock = clock
        self._root = root
        self._components = components
        self._progress = progress
        self._gave_up = gave_up
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(
        self,
        name: str,
        factory: Callable[[], Awaitable[None]],
        role: Role | None = None,
        *,
        max_seconds: float = MAX_SECONDS,
    ) -> "asyncio.Task[None]":
        """A part that runs until it returns, gives up or is cancelled; its pulse is watched meanwhile.

        max_seconds: the longest pause before it runs again, as long as its breaker is closed.
        """
        role = role or Role()
        backoff = Backoff(FIRST_SECONDS, max_seconds)
        task = self._root.create_task(self._run(name, factory, role, backoff), name=name)
        self._tasks[name] = task
        return task

    async def _run(
        self, name: str, factory: Callable[[], Awaitable[None]], role: Role, backoff: Backoff
    ) -> None:
        if role.pulse is not None:
            self._progress.watch(name, role.pulse, role.quiet_seconds, together=role.together)
        try:
            await supervise(
                name, factory, clock=self.clock, backoff=backoff, registry=self._components, role=role
            )
        except EssentialFailed as error:
            self._gave_up(error)
        finally:
            if role.pulse is not None:
                self._progress.forget(name, role.pulse)
            if self._tasks.get(name) is asyncio.current_task():
                del self._tasks[name]

    @property
    def left(self) -> list[str]:
        """The parts whose tasks have not ended."""
        return [name for name, task in self._tasks.items() if not task.done()]

    async def end(self, names: Iterable[str] | None = None) -> None:
        """Cancels these parts, or all, and waits for them."""
        wanted = self._tasks if names is None else {name for name in names if name in self._tasks}
        tasks = [self._tasks[name] for name in wanted]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
