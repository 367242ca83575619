"""Putting a config on many devices: a job with a result for each, that survives a restart of the centre.

Each device's new version and its result are one transaction: a job that was cut off goes on with the devices
that have no result, and none gets a version twice. Jobs take turns, so that a small one does not wait for a
large one. What a device's config is edited from is its newest at that moment.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal, Protocol
from uuid import uuid4

import structlog
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from central_sync.services.access.roles import Identity
from central_sync.services.access.targets import Targets, TargetService
from central_sync.services.clock import Clock
from central_sync.services.configs.checking import CHECKER_FAILED, CheckService, refuse
from central_sync.services.configs.service import MAX_NOTE, Author, Change, ConfigRow, Precondition, canonical
from central_sync.services.configs.views import ConfigProblem
from central_sync.services.configs.work import Edit, Merge, Patch, Replace, Work, edited
from central_sync.services.database import Once
from central_sync.services.errors import Busy, Invalid, NotFound, PreconditionFailed, Refusal
from central_sync.services.pages import decode_cursor, encode_cursor
from central_sync.services.views import View

logger = structlog.get_logger()

# Of one job at a turn.
TURN: Final = 16
MAX_TRIES: Final = 5
# Checks of one document that may end without a verdict.
MAX_FAILED: Final = 2
_PAUSE_SECONDS: Final = 1.0


class ApplyTemplate(BaseModel):
    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    template: str = Field(max_length=64, description="Id of the tag template.")
    connections: str = Field(
        "*", min_length=1, max_length=200, description="Which of each device's connections: a name or a "
        "pattern; of those, the ones with the template's driver.", examples=["press*"],
    )  # fmt: skip
    parameters: dict[str, JsonValue] = Field(default={}, max_length=100)
    replace: bool = Field(False, description="The connections keep none of their other groups.")


class ApplyRequest(BaseModel):
    """Exactly one of sections, patch and template."""

    model_config = ConfigDict(
        defer_build=True, frozen=True, extra="forbid",
        json_schema_extra={"example": {
            "targets": {"selector": "line=a"}, "mode": "merge_connections",
            "sections": {"connections": []}, "note": "two more presses", "dry_run": True,
        }},
    )  # fmt: skip

    targets: Targets
    sections: dict[str, JsonValue] | None = Field(None, description="What the devices are to have.")
    patch: dict[str, JsonValue] | None = Field(
        None, max_length=1_000, examples=[{"press1": {"transport": {"timeout": "5s"}}, "old": None}],
        description="A JSON merge patch for each connection by its name; null takes the connection away.",
    )  # fmt: skip
    template: ApplyTemplate | None = Field(None, description="Tags from a template.")
    mode: Literal["replace", "merge_connections"] = Field(
        "replace", description="What `sections` do: replace all that is there, or put connections by name."
    )
    note: str = Field("", max_length=MAX_NOTE)
    dry_run: bool = Field(False, description="Judge every device's config and change none.")


class ResultState(StrEnum):
    WAITING = "waiting"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


class ConfigJob(View):
    id: str
    kind: str = Field(description="replace, merge_connections, patch or template.")
    note: str
    dry_run: bool
    author: str
    created: int
    finished: int | None = Field(None, description="null: devices wait.")
    total: int = Field(description="Devices in your sight.")
    waiting: int
    changed: int = Field(description="Got a new version; of a dry run: would get one.")
    unchanged: int
    refused: int


class ConfigJobPage(View):
    items: list[ConfigJob]
    next: str | None = None


class ConfigJobDevice(View):
    device_id: str
    state: ResultState
    version: int | None = Field(None, description="The new version.")
    time: int | None = None
    code: str = Field("", description="Why it was refused.")
    detail: str = ""
    problems: list[ConfigProblem] = Field(default=[])


class ConfigJobDevicePage(View):
    items: list[ConfigJobDevice]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class NewJob:
    id: str
    edit: Edit
    author: Author
    note: str
    dry_run: bool
    now: int
    devices: Mapping[str, Work | None]
    once: Once | None = None


@dataclass(frozen=True, slots=True)
class RunningJob:
    no: int
    id: str
    edit: Edit
    author: Author
    note: str
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Result:
    """change: the new version to write with it; absent: there is none to write."""

    state: ResultState
    time: int
    code: str = ""
    detail: str = ""
    problems: list[ConfigProblem] = field(default_factory=list)
    change: Change | None = None


class JobStore(Protocol):
    async def create(self, job: NewJob) -> ConfigJob: ...

    async def running(self) -> list[RunningJob]: ...

    async def waiting(self, job_no: int, limit: int) -> list[tuple[str, Work | None]]: ...

    async def settle(self, job_no: int, device: str, result: Result) -> None:
        """Raises NotFound, PreconditionFailed: then nothing is written."""
        ...

    async def finish(self, job: RunningJob, now: int) -> None: ...

    async def page(
        self, limits: Mapping[str, str], below: int | None, limit: int
    ) -> list[tuple[int, ConfigJob]]:
        """Newest first, with their numbers; those with a device in sight."""
        ...

    async def get(self, job: str, limits: Mapping[str, str]) -> ConfigJob | None: ...

    async def devices(
        self, job: str, limits: Mapping[str, str], state: ResultState | None, after: str, limit: int
    ) -> list[ConfigJobDevice]: ...


class CurrentConfigs(Protocol):
    async def config(self, device: str) -> ConfigRow | None: ...


class ConfigJobService:
    def __init__(
        self,
        store: JobStore,
        configs: CurrentConfigs,
        checks: CheckService,
        targets: TargetService,
        clock: Clock,
    ) -> None:
        self._store = store
        self._configs = configs
        self._checks = checks
        self._targets = targets
        self._clock = clock
        self._wanted = asyncio.Event()

    # --- what is asked for --------------------------------------------------------------------------

    async def apply(
        self, request: ApplyRequest, edit: Edit | None, identity: Identity, author: Author, once: Once | None
    ) -> ConfigJob:
        """edit: the template's, where the request names one. Raises Invalid, NotFound, Busy."""
        given = [each for each in (request.sections, request.patch, request.template) if each is not None]
        if len(given) != 1:
            raise Invalid("bad_body", "give exactly one of sections, patch and template")
        if request.sections is not None:
            edit = await self._sections(request.sections, request.mode)
        elif request.patch is not None:
            edit = Patch(connections=request.patch)
            edited(edit, None, {"connections": [{"name": name} for name in request.patch]})
        assert edit is not None, "whoever calls looks the template up"
        devices = await self._targets.resolve(request.targets, identity)
        return await self.start(edit, dict.fromkeys(devices), author, request.note, request.dry_run, once)

    async def _sections(self, sections: dict[str, JsonValue], mode: str) -> Edit:
        """What can be refused at once is."""
        if mode == "replace":
            await self._checks.require(canonical(sections))
            return Replace(sections=sections)
        edit = Merge(sections=sections)
        edited(edit, None, {})
        return edit

    async def start(
        self,
        edit: Edit,
        devices: Mapping[str, Work | None],
        author: Author,
        note: str,
        dry_run: bool,
        once: Once | None,
    ) -> ConfigJob:
        now = self._clock.wall_ms()
        job = NewJob(f"cj-{uuid4().hex[:16]}", edit, author, note, dry_run, now, devices, once)
        created = await self._store.create(job)
        self._wanted.set()
        return created

    async def page(self, identity: Identity, cursor: str | None, limit: int) -> ConfigJobPage:
        key = decode_cursor(cursor, int)
        found = await self._store.page(identity.labels, int(key[0]) if key else None, limit + 1)
        more = encode_cursor([found[limit - 1][0]]) if len(found) > limit else None
        return ConfigJobPage(items=[job for _, job in found[:limit]], next=more)

    async def get(self, job: str, identity: Identity) -> ConfigJob:
        found = await self._store.get(job, identity.labels)
        if found is None:
            raise NotFound("unknown_job", f"there is no job {job[:64]}")
        return found

    async def devices(
        self, job: str, identity: Identity, state: ResultState | None, cursor: str | None, limit: int
    ) -> ConfigJobDevicePage:
        await self.get(job, identity)
        key = decode_cursor(cursor, str)
        after = str(key[0]) if key else ""
        found = await self._store.devices(job, identity.labels, state, after, limit + 1)
        more = encode_cursor([found[limit - 1].device_id]) if len(found) > limit else None
        return ConfigJobDevicePage(items=found[:limit], next=more)

    # --- doing it -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Never returns. Begins with what an earlier run of the centre left."""
        while True:
            self._wanted.clear()
            if await self._turn():
                continue
            await self._wanted.wait()

    async def _turn(self) -> bool:
        """Some devices of each job. Whether there is more to do."""
        jobs = await self._store.running()
        for job in jobs:
            waiting = await self._store.waiting(job.no, TURN)
            if not waiting:
                await self._store.finish(job, self._clock.wall_ms())
                continue
            try:
                async with asyncio.TaskGroup() as group:
                    for device, work in waiting:
                        group.create_task(self._settle(job, device, work))
            except* Busy as group_error:
                reason = group_error.exceptions[0]
                logger.warning("a config job has to wait", job=job.id, reason=str(reason))
                await self._clock.sleep(_PAUSE_SECONDS)
        return bool(jobs)

    async def _settle(self, job: RunningJob, device: str, work: Work | None) -> None:
        """One device's result, with its new version. Raises Busy: it stays waiting."""
        failed = 0
        for _ in range(MAX_TRIES):
            try:
                result = await self._result(job, device, work)
                await self._store.settle(job.no, device, result)
            except PreconditionFailed:
                continue  # somebody else changed it: edit what is there now
            except NotFound as refusal:
                await self._store.settle(job.no, device, self._refused(refusal))
            except Busy as failure:
                failed += 1
                if failure.code != CHECKER_FAILED:
                    raise
                if failed < MAX_FAILED:
                    continue
                # What no check gets through would hold up all jobs for ever.
                await self._store.settle(job.no, device, self._refused(failure))
            return
        raise Busy("contended", f"the config of {device} is changed by others all the time")

    async def _result(self, job: RunningJob, device: str, work: Work | None) -> Result:
        now = self._clock.wall_ms()
        current = await self._configs.config(device)
        try:
            before = {} if current is None else current.sections
            sections = canonical(edited(job.edit, work, before))
            if current is not None and sections == canonical(before):
                return Result(ResultState.UNCHANGED, now)
            refuse(await self._checks.check(sections))
        except (Invalid, NotFound) as refusal:
            return self._refused(refusal)
        if job.dry_run:
            return Result(ResultState.CHANGED, now)
        condition = Precondition(none_match=("*",)) if current is None else Precondition((current.etag,))
        source = "template" if job.edit.kind == "template" else "apply"
        change = Change(device, sections, job.author, now, condition, job.note, source)
        return Result(ResultState.CHANGED, now, change=change)

    def _refused(self, refusal: Refusal) -> Result:
        problems = [ConfigProblem(**each) for each in refusal.extra.get("problems", [])]
        return Result(ResultState.REFUSED, self._clock.wall_ms(), refusal.code, refusal.detail, problems)
