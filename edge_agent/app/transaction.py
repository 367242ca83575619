"""Configs as transactions: validate, dry-run, apply the smallest diff, watch, keep or go back.

Two sources, one way: the local file (`edge-agent reload`, SIGHUP) and the centre's document over it. A
config that is not valid changes nothing and is reported with its place. One of the centre's that made an
unchanged connection worse, or that cost the contact with the centre, is taken back and quarantined by its
content; a new connection that does not answer is no reason for that.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import structlog

from edge_agent.app.compiled import Compiled, Sent, compile_file, compile_sent
from edge_agent.app.connections import NOTHING, ConnectionSet
from edge_agent.config import diff as diffs
from edge_agent.config.child import call_in_child
from edge_agent.config.diff import Diff
from edge_agent.config.errors import ChildFailed
from edge_agent.config.last_good import Applied, Failure, LastGood
from edge_agent.config.models import CentralSettings
from edge_agent.contracts.clock import Clock
from edge_agent.contracts.errors import ConfigError, Unavailable
from edge_agent.contracts.status import ReloadResult
from edge_agent.wire.messages import ConfigReport, ConfigState

logger = structlog.stdlib.get_logger(__name__)

WATCH_SECONDS: Final = 10.0
# A centre that restarts just now is no reason to go back; one that stays away is.
CENTRE_GRACE_SECONDS: Final = 60.0
MOVED_SECONDS: Final = 20.0
# A config that seemed to cost the contact with the centre may have been innocent: it is tried again.
RETRY_SECONDS: Final = 900.0
_LOOK_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class CentreMove:
    """How the section `central` of a centre's document takes effect. probe: whether a centre answers there;
    empty: yes, else why not. move: from now on everything goes there."""

    probe: Callable[[CentralSettings], Awaitable[str]]
    move: Callable[[CentralSettings], Awaitable[None]]


class HookSwitch(Protocol):
    """How the local file's scripts take effect. `app.hooks.HookRoom` implements it."""

    def check_names(self, connections: Collection[str]) -> None:
        """Raises ConfigError where one has a name that computed tags have."""
        ...

    async def check(self, wanted: Compiled) -> None:
        """Raises ConfigError for a script that can never run, Unavailable where that cannot be known now.
        Changes nothing."""
        ...

    async def take(self, wanted: Compiled) -> None:
        """From now on these run. Never raises."""
        ...


async def _stay(_: CentralSettings) -> None: ...


async def _answers(_: CentralSettings) -> str:
    return ""


class ConfigKeeper:
    """Knows which config runs and why; changes it one transaction at a time."""

    def __init__(
        self,
        path: Path,
        local: Compiled,
        last_good: LastGood,
        clock: Clock,
        centre_answers: Callable[[], bool],
        watch_seconds: float = WATCH_SECONDS,
        grace_seconds: float = CENTRE_GRACE_SECONDS,
        centre: CentreMove = CentreMove(_answers, _stay),
        hooks: HookSwitch | None = None,
    ) -> None:
        self._path = path
        self._local = local
        self._last_good = last_good
        self._clock = clock
        self._centre_answers = centre_answers
        self._centre = centre
        self._hooks = hooks
        self._watch_seconds = watch_seconds
        self._grace_seconds = grace_seconds
        self._retry_at: float | None = None
        self._lock = asyncio.Lock()
        self._connections: ConnectionSet | None = None
        self.running = local
        self.report = ConfigReport(running_hash=local.outline.digest)

    @property
    def known_etag(self) -> str | None:
        """Of the newest config of the centre that was looked at, whatever became of it. None once it is to
        be asked for again."""
        if self._retry_at is not None and self._clock.monotonic() >= self._retry_at:
            return None
        return self.report.etag

    async def start(self) -> None:
        """Chooses what to boot with: the last good one of the centre over the local file, else the file."""
        warning = self._last_good.load()
        if warning:
            logger.warning(warning)
        warnings: list[str] = []
        try:
            self.running = await self._with_centre(self._local, warnings)
        except ChildFailed as error:
            logger.warning("the kept config of the centre is read without a child process", reason=str(error))
            # Nothing polls yet: it may take this process's time and memory.
            self.running = await self._with_centre(self._local, warnings, compile_=_compile_here)
        self.report = self.report.model_copy(update={"running_hash": self.running.outline.digest})
        for warning in warnings:
            logger.warning(warning)

    async def boot(self, connections: ConnectionSet) -> None:
        """Starts the connections. Raises ConfigError."""
        self._connections = connections
        await connections.switch(await connections.prepare(self.running, self.running.names), [])

    async def rebuild(self, name: str) -> bool:
        """Ends one connection that runs and builds it anew. False: none of this name does. Raises
        ConfigError once the agent is stopping."""
        async with self._lock:
            assert self._connections is not None, "boot comes first"
            names = [name] if name in self.running.names else []
            prepared = await self._connections.prepare(self.running, names)
            if prepared.pollers:
                await self._connections.switch(prepared, names)
            return bool(prepared.pollers)

    # --- the local file --------------------------------------------------------------------------

    async def reload(self) -> ReloadResult:
        """Reads the local file again and applies what changed. Raises nothing: the result says it."""
        async with self._lock:
            warnings: list[str] = []
            try:
                local = await call_in_child(compile_file, (self._path,), str(self._path))
                wanted = await self._with_centre(local, warnings)
                difference = await self._apply(wanted)
            except (ConfigError, Unavailable, OSError) as error:
                logger.warning("reload refused", error=str(error))
                return ReloadResult(applied=False, problems=str(error).splitlines())
            self._local = local
            await self._try_refused_again(warnings)
            if wanted is local:
                self._own_file_alone()
            self.report = self.report.model_copy(update={"running_hash": wanted.outline.digest})
            warnings += local.warnings
            warnings += [f"{name} takes effect with the next start" for name in _later(difference)]
            logger.info("reloaded", added=difference.added, removed=difference.removed,
                        changed=difference.changed, hooks=difference.hooks)  # fmt: skip
            return ReloadResult(
                applied=True,
                added=list(difference.added),
                removed=list(difference.removed),
                changed=list(difference.changed),
                unchanged=list(difference.unchanged),
                hooks=list(difference.hooks),
                warnings=warnings,
            )

    async def _with_centre(
        self, local: Compiled, warnings: list[str], compile_: "_Compile | None" = None
    ) -> Compiled:
        """The local config with the kept one of the centre over it: the local file decides. Raises
        ChildFailed, which says nothing about either."""
        applied = self._last_good.applied
        if applied is None or not local.head.remote.manage:
            return local
        try:
            sent = await (compile_ or _compile_in_child)(local, self._last_good.body, frozenset())
            problem = sent.problem
        except ChildFailed:
            raise
        except ConfigError as error:
            sent, problem = None, str(error)
        if sent is None or sent.compiled is None:
            warnings.append(f"the kept config of the centre does not fit this file: {problem}")
            self._say(ConfigState.REJECTED, applied.version, None, "invalid", problem)
            return local
        if self.report.applied_version is None:
            self._say(ConfigState.APPLIED, applied.version, applied.etag, applied_version=applied.version)
        return sent.compiled

    def _own_file_alone(self) -> None:
        """Nothing of the centre runs. What it wants is looked at again, so that it is said why."""
        if self.report.state in (ConfigState.APPLIED, ConfigState.APPLIED_WITH_WARNINGS):
            self.report = ConfigReport(seen_version=self.report.seen_version)
        self.report = self.report.model_copy(update={"applied_version": None})

    async def _try_refused_again(self, warnings: list[str]) -> None:
        """What the centre sent and was refused may work with the new local file."""
        try:
            await asyncio.to_thread(self._last_good.release)
        except OSError as error:
            warnings.append(f"what was refused stays refused: {error}")
            return
        if self.report.state in (ConfigState.REJECTED, ConfigState.ROLLED_BACK):
            self._retry_at = self._clock.monotonic()

    # --- the centre's document -------------------------------------------------------------------

    async def take(self, body: bytes, etag: str) -> None:
        """Applies a config of the centre, watches it, keeps it or goes back. Never raises for a bad one.

        body: the envelope as it came. It is looked into by a child process alone.
        """
        async with self._lock:
            self._retry_at = None
            try:
                sent = await _compile_in_child(self._local, body, self._last_good.known_bad)
            except ConfigError as error:
                self._say(ConfigState.REJECTED, self.report.seen_version, etag, "unreadable", str(error))
                self._retry_at = self._clock.monotonic() + RETRY_SECONDS
                return
            failure = self._last_good.failure(sent.content)
            if failure is not None:
                self._say(ConfigState.REJECTED, sent.version, etag, failure.code, failure.message)
            elif sent.compiled is None:
                await self._refuse(sent, etag, ConfigState.REJECTED, "invalid", sent.problem)
            else:
                await self._try(sent, sent.compiled, body, etag)

    async def _try(self, sent: Sent, wanted: Compiled, body: bytes, etag: str) -> None:
        before = self.running
        healthy = self._healthy()
        reachable = self._centre_answers()
        moved = wanted.head.central if wanted.head.central != before.head.central else None
        if moved is not None and (why := await self._centre.probe(moved)):
            text = f"no working connection with the centre that it names: {why}"
            await self._refuse(sent, etag, ConfigState.REJECTED, "unreachable", text)
            return
        try:
            difference = await self._apply(wanted)
        except ConfigError as error:
            await self._refuse(sent, etag, ConfigState.REJECTED, "invalid", str(error))
            return
        if moved is not None:
            await self._centre.move(moved)
        applied = Applied(version=sent.version, etag=etag, content=sent.content)
        code, why = await self._judge(applied, body, difference, healthy, moved, reachable)
        if code:
            await self._apply(before)
            if moved is not None and before.head.central is not None:
                await self._centre.move(before.head.central)
            await self._refuse(sent, etag, ConfigState.ROLLED_BACK, code, why)
            return
        silent = self._silent(difference)
        state = ConfigState.APPLIED_WITH_WARNINGS if silent else ConfigState.APPLIED
        text = f"no answer yet from {', '.join(silent)}" if silent else ""
        self._say(state, sent.version, etag, "", text, applied_version=sent.version)
        logger.info("config of the centre applied", version=sent.version, state=str(state))

    async def _judge(
        self,
        applied: Applied,
        body: bytes,
        difference: Diff,
        healthy: dict[str, bool],
        moved: CentralSettings | None,
        reachable: bool,
    ) -> tuple[str, str]:
        """Watches what was applied, and makes it the last good one. Else the code and the reason. moved:
        where the centre is from now on, if that is another place."""
        watched = {name for name in difference.unchanged if healthy.get(name)}
        await self._clock.sleep(self._watch_seconds)
        if self._worse(watched):
            # One look may have met a hiccup: it must still be so after as long again.
            await self._clock.sleep(self._watch_seconds)
        worse = self._worse(watched)
        if worse:
            return "worse", f"unchanged connections got worse: {', '.join(worse)}"
        if reachable and not await self._centre_comes_back(moved):
            return "unreachable", "the centre became unreachable"
        try:
            # In a thread: it waits for the disk, which polling must not.
            await asyncio.to_thread(self._last_good.save, applied, body)
        except OSError as error:
            return "not_stored", f"it cannot be kept on disk: {error}"
        return "", ""

    def _worse(self, watched: set[str]) -> list[str]:
        now = self._healthy()
        return sorted(name for name in watched if not now.get(name, False))

    async def _centre_comes_back(self, moved: CentralSettings | None) -> bool:
        # A centre that answered elsewhere a moment ago is gone back to soon.
        grace_seconds = self._grace_seconds if moved is None else min(MOVED_SECONDS, self._grace_seconds)
        until = self._clock.monotonic() + grace_seconds
        # What uploads say may be older than the move.
        while not self._centre_answers() or (moved is not None and await self._centre.probe(moved)):
            if self._clock.monotonic() >= until:
                return False
            await self._clock.sleep(_LOOK_SECONDS)
        return True

    async def _apply(self, wanted: Compiled) -> Diff:
        """Swaps the connections and scripts that differ. Raises ConfigError, and Unavailable, before anything
        is touched."""
        assert self._connections is not None, "boot comes first"
        difference = diffs.diff(self.running.outline, wanted.outline)
        if self._hooks is not None:
            self._hooks.check_names(wanted.names)
        prepared = await self._connections.prepare(wanted, [*difference.added, *difference.changed])
        gone = [*difference.removed, *difference.changed]
        if self._hooks is not None and (difference.hooks or "hooks" in difference.sections):
            await self._hooks.check(wanted)
            # What is polled no more goes through the hooks that it had, and what is new through its own.
            await self._connections.switch(NOTHING, gone)
            await self._hooks.take(wanted)
            gone = []
        await self._connections.switch(prepared, gone)
        self.running = wanted
        return difference

    def _healthy(self) -> dict[str, bool]:
        return {} if self._connections is None else self._connections.healthy()

    def _silent(self, difference: Diff) -> list[str]:
        now = self._healthy()
        return [name for name in (*difference.added, *difference.changed) if not now.get(name, True)]

    async def _refuse(self, sent: Sent, etag: str, state: ConfigState, code: str, message: str) -> None:
        """Reports what became of a config. Its content is not tried again, unless the reason may pass."""
        self._say(state, sent.version, etag, code, message)
        logger.warning("config of the centre not kept", version=sent.version, state=str(state),
                       error=message)  # fmt: skip
        if code in ("unreachable", "not_stored"):
            self._retry_at = self._clock.monotonic() + RETRY_SECONDS
            return
        try:
            failure = Failure(version=sent.version, code=code, message=message)
            await asyncio.to_thread(self._last_good.quarantine, sent.content, failure)
        except OSError as error:
            # The ETag keeps it from being asked for again until the next start.
            logger.warning("what was refused cannot be noted on disk", error=str(error))

    def _say(
        self,
        state: ConfigState,
        seen: int | None,
        etag: str | None,
        code: str = "",
        message: str = "",
        applied_version: int | None = None,
    ) -> None:
        self.report = ConfigReport(
            state=state,
            seen_version=seen,
            applied_version=self.report.applied_version if applied_version is None else applied_version,
            etag=etag,
            code=code,
            message=message[:20_000],
            running_hash=self.running.outline.digest,
        )


_Compile = Callable[[Compiled, bytes, frozenset[str]], Awaitable[Sent]]


async def _compile_in_child(local: Compiled, body: bytes, known_bad: frozenset[str]) -> Sent:
    return await call_in_child(compile_sent, (local.local, body, known_bad), "centre config")


async def _compile_here(local: Compiled, body: bytes, known_bad: frozenset[str]) -> Sent:
    return await asyncio.to_thread(compile_sent, local.local, body, known_bad)


def _later(difference: Diff) -> list[str]:
    """Sections and settings that a running agent does not take up."""
    whole = [name for name in difference.sections if name in ("agent", "central", "buffer", "commands")]
    return [*whole, *(name for name in difference.needs_restart if name.split(".")[0] not in whole)]
