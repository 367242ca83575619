"""Trying a script before devices get it: the agent's own `hook test`, asked through a `Tester`.

The centre runs nothing of a script itself: a child does, in the agent's sandbox, within bounds of time,
memory and number. Where no child can do it (a library or a layer of the sandbox is missing) that is said, and
scripts can be kept all the same: devices judge them again.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Protocol

from pydantic import Field, ValidationError, model_validator

from central_sync.services.access.roles import Identity
from central_sync.services.access.sight import Sight
from central_sync.services.access.tokens import check_device_id
from central_sync.services.errors import Busy, Invalid, NotFound
from central_sync.services.scripts.service import script_of
from central_sync.services.scripts.store import ScriptStore
from central_sync.services.scripts.views import Asked, ScriptBody
from central_sync.services.views import View
from edge_agent.wire.dry_run import (
    MAX_CALLS,
    MAX_FRAMES,
    MAX_REQUEST_BYTES,
    DryFrame,
    DryRun,
    DryRunAnswer,
)
from edge_agent.wire.scripts import HookPoint, Script

MAX_SECONDS: Final = 10.0
MAX_REPEAT: Final = 100
USUAL_LAST: Final = 20
# Code of Busy where scripts cannot be run here at all.
NO_SANDBOX: Final = "no_sandbox"
TESTER_BUSY: Final = "tester_busy"
TESTER_FAILED: Final = "tester_failed"
MAX_RUNNING: Final = 16
# Of one person or token: nobody waits long for what somebody else tries.
MAX_OF_ONE: Final = 2
_CHECK_SECONDS: Final = 5.0


class SavedScript(Asked):
    script: str = Field(max_length=64, examples=["sc-0123456789abcdef"])
    version: int | None = Field(None, ge=1, lt=1 << 62, description="The current one by default.")


class DeviceData(Asked):
    """What a device sent last."""

    device: str = Field(max_length=51, examples=["press-shop-01"])
    groups: list[Annotated[str, Field(min_length=1, max_length=300)]] | None = Field(
        None,
        max_length=1_000,
        description="CONNECTION.GROUP, `*` for any text; default: the script's, and all for a script that is "
        "not given frames.",
    )
    last: int = Field(USUAL_LAST, ge=1, le=MAX_FRAMES, description="So many frames, the newest.")


class DryRunBody(Asked):
    """A script, given or saved, and what to run it on: frames, or what a device sent last."""

    script: ScriptBody | None = None
    saved: SavedScript | None = None
    data: DeviceData | None = None
    schemas: list[dict[str, Any]] = Field(
        default=[], max_length=1_000, description="Of the groups of `frames`; without one, types follow from "
        "the values.", examples=[[]],
    )  # fmt: skip
    frames: list[DryFrame] = Field(
        default=[], max_length=MAX_FRAMES, description="Oldest first; values in engineering units."
    )
    calls: list[dict[str, Any]] = Field(
        default=[], max_length=MAX_CALLS, description="Of on_connect, on_alert, on_schedule: what happened.",
        examples=[[]],
    )  # fmt: skip
    state: dict[str, Any] = Field(default={}, max_length=1_000, examples=[{}])
    repeat: int = Field(1, ge=1, le=MAX_REPEAT, description="Run all of it so often, for the times.")
    seconds: float = Field(5.0, gt=0, le=MAX_SECONDS, description="Most that all of it may take.")

    @model_validator(mode="after")
    def _one_of_each(self) -> "DryRunBody":
        if (self.script is None) == (self.saved is None):
            raise ValueError("give one of script and saved")
        if self.data is not None and self.frames:
            raise ValueError("frames and data exclude each other")
        return self


class DryRunInput(View):
    """What the script was run on. made_by: hooks that made these values already, as their schemas say: what
    they replace is not there any more as it was read."""

    device: str | None = None
    frames: int
    start: int | None = Field(None, description="Time of the first.")
    end: int | None = None
    made_by: list[str] = Field(default=[])


class DryRunResult(DryRunAnswer):
    input: DryRunInput


@dataclass(frozen=True, slots=True)
class Recent:
    """Frames of a device, oldest first, with the schemas of their groups. hooks: marks that these name."""

    frames: list[DryFrame]
    schemas: list[dict[str, Any]]
    hooks: list[str]


class RecentFrames(Protocol):
    async def recent(self, device: str, groups: Sequence[str], last: int, *, computed: bool) -> Recent | None:
        """computed: with frames of tags that hooks computed. None: no such device."""
        ...


class Tester(Protocol):
    async def ask(self, request: bytes, seconds: float) -> bytes:
        """A `DryRunAnswer`. Raises Invalid where the request is none, and Busy: no answer was to be had, with
        the code `no_sandbox` where there never will be one."""
        ...


class DryRunService:
    def __init__(self, tester: Tester, scripts: ScriptStore, recent: RecentFrames, sight: Sight) -> None:
        self._tester = tester
        self._scripts = scripts
        self._recent = recent
        self._sight = sight
        self._running: Counter[str] = Counter()
        self._reading = asyncio.Semaphore(1)

    async def run(self, body: DryRunBody, who: Identity) -> DryRunResult:
        """Raises Invalid, NotFound, Busy."""
        owner = who.user or who.id
        if self._running[owner] >= MAX_OF_ONE:
            raise Busy(TESTER_BUSY, f"you are trying {MAX_OF_ONE} scripts already", 5.0)
        if self._running.total() >= MAX_RUNNING:
            raise Busy(TESTER_BUSY, "too many scripts are being tried", 5.0)
        self._running[owner] += 1
        try:
            return await self._run(body, who)
        finally:
            self._running -= Counter([owner])

    async def _run(self, body: DryRunBody, who: Identity) -> DryRunResult:
        script = await self._script(body, who)
        given, schemas, hooks, device = body.frames, body.schemas, list[str](), None
        if body.data is not None:
            device = check_device_id(body.data.device)
            found = await self._data(body.data, script, who)
            given, schemas, hooks = found.frames, found.schemas, found.hooks
        # Its parts are read already, and the child reads them again.
        request = DryRun.model_construct(
            script=script, schemas=schemas, frames=given, calls=body.calls, state=body.state,
            repeat=body.repeat, seconds=body.seconds,
        )  # fmt: skip
        answer = await self._ask(request)
        times = [frame.time for frame in given]
        told = DryRunInput(
            device=device, frames=len(given), start=min(times, default=None), end=max(times, default=None),
            made_by=hooks,
        )  # fmt: skip
        return DryRunResult(**dict(answer), input=told)

    async def check(self, script: Script) -> list[str]:
        """Whether it can run at all; warnings. Raises Invalid (`bad_script`) with the line if it cannot."""
        try:
            answer = await self._ask(
                DryRun(script=script, schemas=[], frames=[], calls=[], seconds=_CHECK_SECONDS)
            )
        except Busy as busy:
            return [f"it was not tried: {busy.detail}"]
        error = answer.error
        if answer.ok or error is None:
            return []
        where = "" if error.line is None else f"line {error.line}: "
        problem = {"line": error.line, "type": error.type, "message": error.message, "source": error.source}
        raise Invalid("bad_script", f"{where}{error.message}", problems=[problem])

    async def _ask(self, request: DryRun) -> DryRunAnswer:
        body = request.model_dump_json().encode()
        if len(body) > MAX_REQUEST_BYTES:
            raise Invalid("bad_body", f"script and samples have more than {MAX_REQUEST_BYTES} bytes")
        answer = await self._tester.ask(body, request.seconds)
        try:
            return await asyncio.to_thread(DryRunAnswer.model_validate_json, answer)
        except ValidationError as error:
            raise Busy(TESTER_FAILED, "what the agent answered is no answer", 5.0) from error

    async def _script(self, body: DryRunBody, who: Identity) -> Script:
        if body.script is not None:
            return script_of(body.script)
        assert body.saved is not None, "the model says so"
        name, version = body.saved.script, body.saved.version
        if version is None:
            return (await self._scripts.get(name, who.labels)).script
        return (await self._scripts.version(name, version, who.labels)).script

    async def _data(self, data: DeviceData, script: Script, who: Identity) -> Recent:
        await self._sight.require(who, data.device)
        groups = data.groups or (script.groups if script.hook_type.has_frames else ["*"])
        # Computed tags come behind all hooks but the last ones.
        computed = script.hook_type is HookPoint.BEFORE_FORWARD
        async with self._reading:
            found = await self._recent.recent(data.device, groups, data.last, computed=computed)
        if found is None:
            raise NotFound("unknown_device", f"there is no device {data.device}")
        if not found.frames:
            named = ", ".join(groups)[:200]
            raise NotFound("no_data", f"{data.device} has sent no frames of {named}")
        return found
