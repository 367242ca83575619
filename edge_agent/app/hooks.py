"""The scripts that run: the local file's first, then the centre's; compiled in the sandbox before they are
taken, changed as a whole, and ended after the last flush.

An agent without scripts imports nothing of the room `hooks` and asks nobody at a flush.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from edge_agent.app.compiled import Compiled
from edge_agent.app.hook_trial import compile_local, compile_sent
from edge_agent.buffer.errors import NotStored
from edge_agent.config.scripts import LocalScript, name_taken
from edge_agent.contracts.clock import Clock
from edge_agent.contracts.errors import ConfigError
from edge_agent.contracts.hooks import FrameHooks, HookStage, LinkChange
from edge_agent.contracts.status import LatestValue
from edge_agent.wire.messages import HooksReport
from edge_agent.wire.schema import Schema
from edge_agent.wire.scripts import HOOKS_CONNECTION, OnFailure, Script, covers

if TYPE_CHECKING:
    from edge_agent.app.hook_sources import Sources
# Of a flush interval: what one call may take where its script does not say.
CALL_SHARE: Final = 0.25
# What the scripts that go may take for their last frames.
FLUSH_SECONDS: Final = 4.0

Links = Callable[[], Sequence[LinkChange]]
Polled = Callable[[], Sequence[Schema]]


class HookedStore(Protocol):
    """What of the buffer is needed here. `buffer.store.Store` implements it."""

    hooks: FrameHooks | None
    hook_seconds: float

    @property
    def hook_states(self) -> Mapping[str, bytes]: ...
    async def flush(self) -> None: ...
    def keep_failing(self, patterns: Mapping[str, bool]) -> None: ...


def _types() -> "tuple[Callable[[Clock, Sources, Mapping[str, bytes]], HookStage], type[Sources]]":
    from edge_agent.app.hook_sources import Sources
    from edge_agent.hooks.stage import Stage

    return Stage, Sources


class HookRoom:
    """One change at a time. `told` completes a report with what became of the centre's scripts."""

    def __init__(self, store: HookedStore, clock: Clock, flush_seconds: float, types: Any = _types) -> None:
        """types: what a stage and its sources are made with, called once there are scripts."""
        self._store = store
        self._types = types
        self._links: Links = list
        self._polled: Polled = list
        self._clock = clock
        self._call_seconds = CALL_SHARE * flush_seconds
        self._lock = asyncio.Lock()
        self._stage: HookStage | None = None
        self._sources: Sources | None = None
        self._local: tuple[LocalScript, ...] = ()
        self._sent: tuple[Script, ...] = ()
        self._require: tuple[str, ...] = ()
        self._closed = False
        self.told: Callable[[HooksReport], HooksReport] = _as_it_is

    # --- what runs -------------------------------------------------------------------------------

    async def boot(
        self, wanted: Compiled, links: Links, sent: Sequence[Script] = (), polled: Polled = list
    ) -> None:
        """Begins with the local scripts and those kept of the centre. One that cannot run is reported, and
        nobody waits long for it. links: all of them, as they are. polled: all groups."""
        async with self._lock:
            self._links, self._polled = links, polled
            await self._run(wanted.hooks, sent, wanted.head.hooks.require)

    def check_names(self, connections: Collection[str]) -> None:
        """Raises ConfigError where one has the name of computed tags. Of local scripts the load says so."""
        if self._sent and HOOKS_CONNECTION in connections:
            raise ConfigError(f"connections[{HOOKS_CONNECTION}].name: {name_taken()}")

    async def check(self, wanted: Compiled) -> None:
        """Compiles what is new or differs. Changes nothing. Raises ConfigErrors with file and line,
        Unavailable where that cannot be known now."""
        known = {local.script.sha256 for local in self._local}
        require = wanted.head.hooks.require
        again = tuple(require) != self._require
        fresh = [each for each in wanted.hooks if again or each.script.sha256 not in known]
        await compile_local(fresh, require)

    async def take(self, wanted: Compiled) -> None:
        """Runs what the local file has by now, beside the centre's."""
        async with self._lock:
            await self._run(wanted.hooks, self._sent, wanted.head.hooks.require)

    async def replace_sent(self, sent: Sequence[Script]) -> None:
        """Runs these of the centre instead of those that run, beside the local ones. Raises ConfigError
        where one can never run, Unavailable where that cannot be known now; nothing has changed then."""
        async with self._lock:
            known = {script.sha256 for script in self._sent}
            fresh = [script for script in sent if script.sha256 not in known]
            await compile_sent(fresh, self._require)
            await self._run(self._local, sent, self._require)

    async def _run(
        self, local: Sequence[LocalScript], sent: Sequence[Script], require: Collection[str]
    ) -> None:
        own = {each.script.name for each in local}
        # Whoever judged the centre's may have known other local ones.
        self._sent = tuple(script for script in sent if script.name not in own)
        self._local, self._require = tuple(local), tuple(require)
        scripts = [each.script for each in self._local] + list(self._sent)
        if self._closed or (not scripts and self._stage is None):
            return
        stage, sources = self._stage, self._sources
        if self._store.hooks is not None:
            await self._flush()
        if stage is None or sources is None:
            stage, sources = self._stage, self._sources = await self._made()
        # A start must know of frames in the ring whichever set they were to go through.
        self._store.keep_failing(_joined(stage.failed(), failing(scripts)))
        sources.serve(scripts)
        await stage.replace(scripts, self._require, self._call_seconds)
        self._store.hooks = stage if scripts else None
        self._store.keep_failing(stage.failed())

    async def _flush(self) -> None:
        """What was read before goes through the scripts that ran then; not where the disk fails, and not for
        as long as a script that hangs could make somebody wait who wants it gone."""
        usual, self._store.hook_seconds = self._store.hook_seconds, FLUSH_SECONDS
        try:
            with suppress(NotStored):
                await self._store.flush()
        finally:
            if self._store.hook_seconds == FLUSH_SECONDS:  # else a stop has begun, which leaves less
                self._store.hook_seconds = usual

    async def _made(self) -> "tuple[HookStage, Sources]":
        stage_type, sources_type = await asyncio.to_thread(self._types)
        sources = sources_type(self._links, self._clock, self._polled)
        return stage_type(self._clock, sources, self._store.hook_states), sources

    def hurry(self, seconds: float) -> None:
        """The agent stops: a flush, the one that runs too, gives scripts no more than this."""
        self._store.hook_seconds = seconds
        if self._stage is not None:
            self._stage.hurry(seconds)

    async def close(self) -> None:
        """After the last flush: no process of a hook is left."""
        self._closed = True
        if self._stage is not None:
            await self._stage.close()

    # --- what is seen of them --------------------------------------------------------------------

    def report(self) -> HooksReport | None:
        """None where there never was a script and none may come."""
        own = HooksReport() if self._stage is None else self._stage.report()
        report = self.told(own)
        return None if self._stage is None and report == HooksReport() else report

    @property
    def _runs(self) -> HookStage | None:
        """None where no script runs."""
        return self._stage if self._store.hooks is not None else None

    def adjusted(self) -> Mapping[str, tuple[int, int]]:
        return {} if self._stage is None else self._stage.adjusted()

    def schemas(self) -> list[Schema]:
        return [] if self._runs is None else self._runs.schemas()

    def latest_of(self, schema: Schema, wanted: Iterable[int]) -> list[LatestValue]:
        return [] if self._runs is None else self._runs.latest_of(schema, wanted)

    def withholds(self, connection: str, groups: Iterable[str]) -> bool:
        """Whether a script keeps back something of one of these groups."""
        patterns = {} if self._runs is None else self._runs.failed()
        withheld = [pattern for pattern, is_withheld in patterns.items() if is_withheld]
        return any(covers(withheld, connection, group) for group in groups)

    def quality_before(self, connection: str, group: str) -> str:
        """Of values that scripts may change or keep back, until they have made something of the group's
        frames. Empty: none has a say in them."""
        if self._runs is None or not covers(self._runs.failed(), connection, group):
            return ""
        asked = [
            script.name
            for script in (*(each.script for each in self._local), *self._sent)
            if script.hook_type.has_frames and covers(script.groups, connection, group)
        ]
        running = {report.name for report in self._runs.report().hooks if report.state == "running"}
        return "stale" if running.issuperset(asked) else "bad_hook"


def failing(scripts: Sequence[Script]) -> dict[str, bool]:
    """Patterns of the groups that scripts change or may keep back; True: withheld where one fails."""
    found: dict[str, bool] = {}
    for script in scripts:
        if script.hook_type.has_frames:
            withheld = script.on_failure is OnFailure.WITHHOLD
            found = _joined(found, dict.fromkeys(script.groups, withheld))
    return found


def _joined(one: Mapping[str, bool], other: Mapping[str, bool]) -> dict[str, bool]:
    return {pattern: one.get(pattern, False) or other.get(pattern, False) for pattern in {**one, **other}}


def _as_it_is(report: HooksReport) -> HooksReport:
    return report
