"""The centre's scripts at this device: judged by the local file's rules, tried, kept on disk, reported.

A centre chooses scripts and decides nothing about them: whether any is taken at all (`remote.manage`), who
must have signed it (`hooks.require_signature`), how many there may be and which names are free follow from
the local file alone, each time again: what is kept on disk has no other standing than what comes. A set runs
whole or not at all. One that cannot run changes nothing, and is not tried again until its content differs or
the local file does (decision 0042).
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import orjson
import structlog
from pydantic import ValidationError

from edge_agent import __version__
from edge_agent.config.last_good import Applied, Failure, LastGood
from edge_agent.config.scripts import lacking_library, name_taken, schedule_fault, zone_fault
from edge_agent.contracts.clock import Clock
from edge_agent.contracts.errors import ConfigError, Unavailable
from edge_agent.wire.messages import HooksReport
from edge_agent.wire.scripts import (
    MAX_PATTERNS,
    MAX_SCRIPTS,
    MAX_SOURCE_BYTES,
    HookPoint,
    Script,
    ScriptSet,
    pattern_fault,
)

logger = structlog.stdlib.get_logger(__name__)

# What was not the set's fault is tried again after this.
RETRY_SECONDS: Final = 900.0
NOT_MANAGED: Final = "the centre has scripts for this device, and remote.manage here does not have hooks"
_TOLD: Final = 20


@dataclass(frozen=True, slots=True)
class Rules:
    """What the local file says of the centre's scripts.

    managed: whether there may be any. keys: by name; where there are some, one of them must have signed each
    script. names, workers: of local scripts. has_hooks_connection: one has the name of computed tags.
    """

    managed: bool = False
    keys: Mapping[str, str] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    workers: frozenset[str] = frozenset()
    has_hooks_connection: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """What a set comes to under the rules. problem: why none of it runs, a line each. shadowed: names in it
    that local scripts have, which run instead. content: its hash, under which it is kept or quarantined."""

    content: str
    scripts: tuple[Script, ...] = ()
    shadowed: tuple[str, ...] = ()
    problem: str = ""


# Why a script is not to be trusted, by keys; empty: one of them signed it. `hooks.signing` knows.
Verify = Callable[[Script, Mapping[str, str]], str]
# Runs these of the centre beside the local ones, instead of those that run. Raises ConfigError where one can
# never run, Unavailable where it cannot be known now: nothing has changed then.
Replace = Callable[[Sequence[Script]], Awaitable[None]]


class Judge(Protocol):
    """`judge` with its `Verify`, wherever that is done."""

    async def __call__(self, body: bytes, rules: Rules, *, is_known: bool) -> Judged:
        """is_known: it was judged before, and did no harm. Raises ConfigError where it cannot be judged."""
        ...


def judge(body: bytes, rules: Rules, verify: Verify) -> Judged:
    """What a centre sent (`ScriptSet`, JSON) under these rules. Nothing of it is compiled here."""
    try:
        sent = ScriptSet.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        text = f"what the centre sent is no set of scripts: {place}: {first['msg']}"
        return Judged(_hash([hashlib.sha256(body).hexdigest()]), problem=text)
    signed = [[script.sha256, *sorted(s.signature for s in script.signatures)] for script in sent.scripts]
    content = _hash(signed)
    problems = [*_problems_of_set(sent, rules)]
    for script in sent.scripts:
        problems += [f"{script.name}: {why}" for why in _problems(script, rules)]
        if rules.keys and (why := verify(script, rules.keys)):
            problems.append(why)
    if problems:
        more = [f"and {len(problems) - _TOLD} more"] if len(problems) > _TOLD else []
        return Judged(content, problem="\n".join([*problems[:_TOLD], *more]))
    own = tuple(script for script in sent.scripts if script.name not in rules.names)
    shadowed = tuple(script.name for script in sent.scripts if script.name in rules.names)
    return Judged(content, own, shadowed)


def _hash(content: object) -> str:
    """With the version of the agent: another one may be able to run what this one cannot."""
    return hashlib.sha256(orjson.dumps([__version__, content])).hexdigest()


def _problems_of_set(sent: ScriptSet, rules: Rules) -> Iterator[str]:
    if not sent.scripts:
        return
    if lacking := lacking_library():
        yield lacking
    if rules.has_hooks_connection:
        yield name_taken()
    names = [script.name for script in sent.scripts]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{name} is there twice"
    patterns = sum(len(script.groups) for script in sent.scripts)
    if patterns > MAX_PATTERNS:
        yield f"{patterns} patterns in groups of all scripts; a device compares {MAX_PATTERNS} at most"
    count = len(rules.names.union(names))
    if count > MAX_SCRIPTS:
        yield f"{count} scripts, with the local ones; a device runs {MAX_SCRIPTS} at most"


def _problems(script: Script, rules: Rules) -> Iterator[str]:
    """What the section `hooks` would be refused for as well, and what would make it look like a local one."""
    if not script.version:
        yield "has no version"
    if len(script.source.encode()) > MAX_SOURCE_BYTES:
        yield f"is longer than {MAX_SOURCE_BYTES >> 10} KiB"
    if not all(text.isprintable() for text in (*script.groups, script.worker)):
        yield "has control characters in its settings"
    if why := pattern_fault(script.groups):
        yield why
    if (script.hook_type is HookPoint.ON_SCHEDULE) != bool(script.schedule):
        yield "a schedule belongs to on_schedule, and that needs one"
    elif why := schedule_fault(script.schedule):
        yield why
    if why := zone_fault(script.timezone):
        yield why
    if script.keep_raw and not script.hook_type.has_frames:
        yield "keep_raw: only transform and before_forward replace tags"
    if script.worker in rules.workers:
        # Within a process nothing keeps one script from changing what another one sees.
        yield f"the worker {script.worker} is that of local scripts: another name, or none"


class ScriptKeeper:
    """Knows which scripts of the centre run and why; changes them one set at a time."""

    def __init__(
        self, last_good: LastGood, rules: Callable[[], Rules], judge: Judge, replace: Replace, clock: Clock
    ) -> None:
        """rules: of the local file that runs."""
        self._last_good = last_good
        self._rules = rules
        self._judge = judge
        self._replace = replace
        self._clock = clock
        self._lock = asyncio.Lock()
        self._retry_at: float | None = None
        self._is_offered = False
        self.running: tuple[Script, ...] = ()
        self._report = HooksReport()

    @property
    def is_wanted(self) -> bool:
        """Whether the centre may send any."""
        return self._rules().managed

    @property
    def known_etag(self) -> str | None:
        """Of the newest set that was looked at, whatever became of it. None once it is to be asked for
        again."""
        if self._retry_at is not None and self._clock.monotonic() >= self._retry_at:
            return None
        return self._report.etag

    def offered(self, etag: str | None) -> None:
        """The centre hints at a set. Where the local file allows none, that is worth telling."""
        self._is_offered = etag is not None

    def told(self, report: HooksReport) -> HooksReport:
        """With what became of the centre's scripts."""
        own = self._report
        if self._is_offered and not self.is_wanted:
            own = HooksReport(message=NOT_MANAGED)
        return report.model_copy(update={"etag": own.etag, "state": own.state, "message": own.message})

    async def start(self) -> None:
        """Chooses what to boot with: what is kept, as far as the rules of today have it. Needs no network."""
        if warning := await asyncio.to_thread(self._last_good.load):
            logger.warning(warning)
        judged = await self._judged_again()
        if warning and self.is_wanted:
            # Until the centre sends them again, and whoever relies on one of them is to know.
            self._say("rejected", None, warning)
        self.running = judged.scripts
        if judged.problem:
            logger.warning("the kept scripts of the centre do not run", error=judged.problem)

    async def take(self, body: bytes, etag: str) -> None:
        """Runs a new set, or goes on with the one before. Never raises for a bad one. body: as it came."""
        async with self._lock:
            if etag == self.known_etag:
                return  # the poll and a command asked at the same time
            self._retry_at = None
            try:
                judged = await self._judge(body, self._rules(), is_known=False)
            except ConfigError as error:
                self._refuse_for_now(etag, str(error))
                return
            failure = self._last_good.failure(judged.content)
            if failure is not None:
                self._say("rejected", etag, failure.message)
            elif judged.problem:
                self._refuse(etag, judged.problem)
            else:
                await self._try(judged, body, etag)

    async def look_again(self) -> list[str]:
        """The local file has changed: what is kept is judged anew, and what was refused may be tried. What
        does not run any more for that, and why, in lines for people."""
        async with self._lock:
            try:
                await asyncio.to_thread(self._last_good.release)
            except OSError as error:
                logger.warning("what was refused stays refused", error=str(error))
            was_refused = self._report.state == "rejected"
            judged = await self._judged_again()
            if judged.scripts != self.running:
                await self._fall_back(judged)
            if was_refused and self._report.state != "none":
                self._retry_at = self._clock.monotonic()
            refused = self._report.message if self._report.state == "rejected" else ""
            return [f"of the centre's scripts none runs: {line}" for line in refused.splitlines()]

    async def _judged_again(self) -> Judged:
        """What is kept, by the rules of today. Reports it."""
        applied = self._last_good.applied
        rules = self._rules()
        if applied is None or not rules.managed:
            self._report = HooksReport()
            return Judged("")
        try:
            judged = await self._judge(self._last_good.body, rules, is_known=True)
        except ConfigError as error:
            judged = Judged(applied.content, problem=str(error))
        if judged.problem:
            self._say("rejected", None, judged.problem)
        else:
            self._say("applied", applied.etag, _said(judged))
        return judged

    async def _fall_back(self, judged: Judged) -> None:
        """To what the rules leave. Where that cannot run, nothing of the centre's does."""
        try:
            await self._replace(judged.scripts)
            self.running = judged.scripts
        except (ConfigError, Unavailable) as error:
            self._refuse(None, str(error))
            await self._replace(())
            self.running = ()

    async def _try(self, judged: Judged, body: bytes, etag: str) -> None:
        before = self.running
        try:
            await self._replace(judged.scripts)
        except Unavailable as error:
            self._refuse_for_now(etag, str(error))
            return
        except ConfigError as error:
            self._refuse(etag, str(error))
            await self._quarantine(judged.content, str(error))
            return
        try:
            # In a thread: it waits for the disk, which polling must not.
            applied = Applied(etag=etag, content=judged.content)
            await asyncio.to_thread(self._last_good.save, applied, body)
        except OSError as error:
            message = f"they cannot be kept on disk: {error}"
            try:
                # What runs must be what runs after a restart.
                await self._replace(before)
            except (ConfigError, Unavailable) as fault:
                self.running = judged.scripts
                message += f"; they run until the next start, since those of before do not: {fault}"
            self._refuse_for_now(etag, message)
            return
        self.running = judged.scripts
        self._say("applied", etag, _said(judged))
        marks = [script.mark for script in judged.scripts]
        logger.info("scripts of the centre applied", scripts=marks, shadowed=list(judged.shadowed))

    async def _quarantine(self, content: str, message: str) -> None:
        try:
            failure = Failure(code="invalid", message=message[:20_000])
            await asyncio.to_thread(self._last_good.quarantine, content, failure)
        except OSError as error:
            # The ETag keeps it from being asked for again until the next start.
            logger.warning("what was refused cannot be noted on disk", error=str(error))

    def _refuse(self, etag: str | None, message: str) -> None:
        self._say("rejected", etag, message)
        logger.warning("scripts of the centre not taken", error=message[:2_000])

    def _refuse_for_now(self, etag: str, message: str) -> None:
        """For no fault of the set's."""
        self._refuse(etag, message)
        self._retry_at = self._clock.monotonic() + RETRY_SECONDS

    def _say(self, state: str, etag: str | None, message: str) -> None:
        self._report = HooksReport(etag=etag, state=state, message=message[:20_000])


def _said(judged: Judged) -> str:
    names = ", ".join(judged.shadowed)
    return f"the local scripts of the same names run instead of: {names}" if names else ""
