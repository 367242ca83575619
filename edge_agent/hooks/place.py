"""A worker process and the hooks that live in it: begun, taught, and begun again when it is gone.

What takes long (a process, compiling, the schemas of large groups) happens beside the flushes, so that
nobody waits for it longer than he wants to.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import structlog

from edge_agent.contracts.clock import Clock
from edge_agent.hooks.errors import ScriptRefused, WorkerGone
from edge_agent.hooks.hook import Hook
from edge_agent.hooks.layers import lacking
from edge_agent.hooks.link import Link, Worker
from edge_agent.hooks.runner import Failure, Runner
from edge_agent.runtime.backoff import Backoff
from edge_agent.runtime.logging import OutageLog
from edge_agent.wire.schema import Schema

logger = structlog.stdlib.get_logger(__name__)

Start = Callable[[], Awaitable[Worker]]

# A process that cannot be started, or that ends while scripts are compiled, is tried again after these.
_FIRST_SECONDS: Final = 0.2
_MOST_SECONDS: Final = 30.0


class Place:
    """One process. Its own task runs as long as there is something to do, and `close` ends it."""

    def __init__(
        self, hooks: Sequence[Hook], start: Start, clock: Clock, require: Collection[str],
        on_failure: Callable[[Hook], None],
    ) -> None:  # fmt: skip
        """on_failure: what becomes of a hook that ended its worker while it was compiled."""
        self.hooks = list(hooks)
        self.layers: dict[str, str] = {}
        self._start = start
        self._clock = clock
        self._require = require
        self._on_failure = on_failure
        self._outages = OutageLog(logger, clock)
        self._backoff = Backoff(_FIRST_SECONDS, _MOST_SECONDS, jitter=0)
        self._worker: Worker | None = None
        self._link: Link | None = None
        self._to_study: dict[tuple[str, str], tuple[Hook, Schema]] = {}
        self._calls = 0
        self._free = asyncio.Event()
        self._free.set()
        self._task: asyncio.Future[None] | None = None
        self._retry_at = 0.0
        self._is_beginning = False
        self._closed = False

    @property
    def is_alive(self) -> bool:
        return self._worker is not None and self._worker.fault is None

    @property
    def is_ready(self) -> bool:
        """Whether it can be asked, or taught: its process has compiled what it was given."""
        return self.is_alive and not self._is_beginning

    # --- the process -----------------------------------------------------------------------------

    async def begin(self, seconds: float) -> None:
        """Returns when there is a process that has compiled its hooks, or cannot, or after so long: then it
        goes on beside the flushes. Raises nothing: what cannot run says so itself."""
        self._task = asyncio.ensure_future(self._work(anew=True))
        await asyncio.wait([self._task], timeout=seconds)

    async def _begin(self) -> None:
        if self._worker is not None:
            worker, self._worker = self._worker, None
            await worker.close()
        try:
            worker = await self._start()
        except WorkerGone as gone:
            self._later(str(gone))
            return
        self._worker = worker
        self.layers = dict(worker.layers)
        if missing := lacking(worker.layers, self._require):
            said = "; ".join(f"{layer}: {why}" for layer, why in missing.items())
            for hook in self.hooks:
                hook.blocked = f"hooks.require names what is not on here ({said})"
            return
        for hook in self.hooks:
            hook.blocked = ""
        self._link = Link(worker)
        await self._load_absent(self._link)

    def _absent(self) -> list[Hook]:
        """Those that may run here and are not loaded in this process: off when it began, or new."""
        now, link = self._clock.monotonic(), self._link
        return [
            hook
            for hook in self.hooks
            if hook.refused is None and not hook.blocked and hook.breaker.allows(now)
            if hook.runner is None or hook.runner.link is not link
        ]

    async def _load_absent(self, link: Link) -> None:
        for hook in self._absent():
            await self._load(hook, link)
            if not self.is_alive:
                self._later(f"{hook.name} ended it")
                return

    async def _load(self, hook: Hook, link: Link) -> None:
        runner = Runner(hook.script, link, self._clock)
        try:
            outputs = await runner.load(hook.outputs)
        except ScriptRefused as refused:
            hook.cannot(str(refused), refused.line)
        except WorkerGone as gone:
            hook.killed(Failure(type(gone).__name__, str(gone)))
            self._on_failure(hook)
        else:
            hook.loaded(runner, outputs)
            self.study((hook, derived.source) for derived in outputs.all_derived)

    def _later(self, why: str) -> None:
        for hook in self.hooks:
            hook.runner, hook.awaited = None, f"no worker: {why}"
        self._retry_at = self._clock.monotonic() + self._backoff.next()
        self._outages.down("worker", "hooks have no worker", hooks=self._names, error=why[:500])

    # --- what it does beside the flushes -----------------------------------------------------------

    def mend(self) -> None:
        """Begins another process where this one is gone, and tries again to load what was off."""
        if self._closed or (self._task is not None and not self._task.done()):
            return
        if not self.is_alive:
            if self._clock.monotonic() >= self._retry_at and self._has_work():
                self._task = asyncio.ensure_future(self._work(anew=True))
        elif self._to_study or self._absent():
            self._task = asyncio.ensure_future(self._work(anew=False))

    def _has_work(self) -> bool:
        now = self._clock.monotonic()
        return any(hook.refused is None and hook.breaker.allows(now) for hook in self.hooks)

    async def _work(self, *, anew: bool) -> None:
        if anew:
            self._is_beginning = True
            try:
                await self._begin()
            finally:
                self._is_beginning = False
        elif self._link is not None and self._absent():
            # The others go on: nobody ends a process that they live in.
            await self._free.wait()
            await self._load_absent(self._link)
        await self._study_all()
        if self.is_alive and not self._to_study:
            self._backoff.reset()
            self._outages.back("worker", "hooks have a worker again", hooks=self._names)

    @property
    def _names(self) -> list[str]:
        return [hook.name for hook in self.hooks]

    def study(self, wanted: Iterable[tuple[Hook, Schema]]) -> None:
        """Hooks will be given frames of these schemas. `mend` sees to it."""
        for hook, schema in wanted:
            self._to_study[hook.name, schema.hash] = (hook, schema)

    @contextmanager
    def calling(self) -> Iterator[None]:
        """While a flush asks the worker, it is taught nothing: that would take the time of the call."""
        self._calls += 1
        self._free.clear()
        try:
            yield
        finally:
            self._calls -= 1
            if not self._calls:
                self._free.set()

    async def studied(self, seconds: float) -> None:
        """Returns when there is nothing more to learn, or after so long."""
        self.mend()
        if self._task is not None and not self._task.done() and seconds > 0:
            await asyncio.wait([self._task], timeout=seconds)

    def cut(self) -> None:
        """Nobody waits any longer for what it does now."""
        if self._task is not None:
            self._task.cancel()
        if self._calls and self._worker is not None:
            self._worker.kill()

    async def _study_all(self) -> None:
        while self._to_study:
            await self._free.wait()
            if not self.is_alive:
                return
            key = next(iter(self._to_study))
            hook, schema = self._to_study[key]
            try:
                await self._study(hook, schema)
            except WorkerGone as gone:
                self._later(f"it ended over {schema.connection}.{schema.group}: {gone}")
                return
            self._to_study.pop(key, None)

    async def _study(self, hook: Hook, schema: Schema) -> None:
        runner, outputs = hook.runner, hook.outputs
        if runner is None or outputs is None:
            return
        if not hook.script.hook_type.has_frames:
            await runner.learn(schema)
            return
        try:
            quick = outputs.is_quick(schema)
            derived = outputs.derive(schema) if quick else await asyncio.to_thread(outputs.derive, schema)
        except ScriptRefused as refused:
            hook.told(Failure("ScriptRefused", str(refused)))
            return
        await runner.prepare(derived)

    async def close(self) -> None:
        self._closed = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._worker is not None:
            await self._worker.close()
