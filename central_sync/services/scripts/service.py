"""Scripts at the centre: versions that are never changed, who gets them, and what is served to a device.

A version is the canonical form of a script (`edge_agent.wire.scripts`), stored as those bytes: its digest and
its signatures are made over them. A rollback is a higher version. The centre passes signatures on and makes
none. Who is limited to some devices makes scripts for those alone (`scope`), and changes no others.
"""

import asyncio
from typing import Final, Protocol
from uuid import uuid4

from pydantic import ValidationError

from central_sync.services.access.roles import Identity
from central_sync.services.access.selectors import parse
from central_sync.services.access.tokens import check_device_id
from central_sync.services.clock import Clock
from central_sync.services.configs.service import Author, Precondition
from central_sync.services.database import Once
from central_sync.services.errors import Invalid, NotFound
from central_sync.services.pages import decode_cursor, encode_cursor
from central_sync.services.scripts.diff import diff
from central_sync.services.scripts.sets import ServedScripts
from central_sync.services.scripts.store import (
    DeviceState,
    Edit,
    NewScript,
    Reassignment,
    ScriptFilter,
    ScriptStore,
)
from central_sync.services.scripts.views import (
    Assignment,
    AssignmentBody,
    AssignmentChanged,
    DeviceScripts,
    ReportedScripts,
    ScriptBody,
    ScriptDetail,
    ScriptDevicePage,
    ScriptDiff,
    ScriptPage,
    ScriptPatch,
    ScriptVersionDetail,
    ScriptVersionPage,
    ScriptWritten,
)
from edge_agent.wire.messages import HookReport, HooksReport
from edge_agent.wire.scripts import MAX_SOURCE_BYTES, HookPoint, Script, Signature, pattern_fault

_APPLIED: Final = "applied"


class ScriptCheck(Protocol):
    async def check(self, script: Script) -> list[str]:
        """Warnings: that nobody could say, for one. Raises Invalid (`bad_script`) where it can never run."""
        ...


class ScriptService:
    def __init__(self, store: ScriptStore, clock: Clock, checks: ScriptCheck) -> None:
        self._store = store
        self._clock = clock
        self._checks = checks

    # --- changes ------------------------------------------------------------------------------------

    async def create(
        self, body: ScriptBody, who: Identity, author: Author, once: Once | None
    ) -> ScriptWritten:
        """Raises Invalid, Conflict."""
        content = script_of(body)
        warnings = await self._checks.check(content)
        new = NewScript(
            f"sc-{uuid4().hex[:16]}", content, who.labels, body.description or "", author,
            self._clock.wall_ms(), body.note, once=once,
        )  # fmt: skip
        return (await self._store.create(new)).model_copy(update={"warnings": warnings})

    async def replace(
        self, script: str, body: ScriptBody, who: Identity, author: Author, condition: Precondition
    ) -> ScriptWritten:
        """A version more, unless it says the same. Raises Invalid, NotFound, Forbidden,
        PreconditionFailed."""
        content, patch = script_of(body), ScriptPatch(description=body.description)
        await self._store.get(script, who.labels)
        warnings = await self._checks.check(content)
        written = await self._edit(
            script, "script.put", who, author, condition, content=content, note=body.note, patch=patch
        )
        return written.model_copy(update={"warnings": warnings})

    async def patch(
        self, script: str, wanted: ScriptPatch, who: Identity, author: Author, condition: Precondition
    ) -> ScriptWritten:
        return await self._edit(script, "script.patch", who, author, condition, patch=wanted)

    async def sign(
        self,
        script: str,
        version: int,
        signatures: list[Signature],
        who: Identity,
        author: Author,
        condition: Precondition,
    ) -> ScriptWritten:
        """Signatures of a version that is there already; checked by devices, not here."""
        signed = (version, signatures)
        return await self._edit(script, "script.sign", who, author, condition, signed=signed)

    async def rollback(
        self,
        script: str,
        version: int,
        who: Identity,
        author: Author,
        condition: Precondition,
        note: str,
        once: Once | None,
    ) -> ScriptWritten:
        """The old content, with its signatures, under a higher version."""
        text = note or f"back to version {version}"
        return await self._edit(
            script, "script.rollback", who, author, condition, back_to=version, note=text, once=once
        )

    async def delete(self, script: str, who: Identity, author: Author, condition: Precondition) -> None:
        """Its versions stay readable: records of devices name them."""
        await self._edit(script, "script.delete", who, author, condition, delete=True)

    async def _edit(
        self,
        script: str,
        action: str,
        who: Identity,
        author: Author,
        condition: Precondition,
        *,
        content: Script | None = None,
        note: str = "",
        back_to: int | None = None,
        signed: tuple[int, list[Signature]] | None = None,
        patch: ScriptPatch | None = None,
        delete: bool = False,
        once: Once | None = None,
    ) -> ScriptWritten:
        now = self._clock.wall_ms()
        return await self._store.edit(
            Edit(
                script, action, who.labels, author, now, condition, content, note, back_to, signed, patch,
                delete, once,
            )
        )  # fmt: skip

    async def assign(
        self,
        script: str,
        wanted: AssignmentBody,
        who: Identity,
        author: Author,
        condition: Precondition,
        dry_run: bool,
    ) -> AssignmentChanged:
        """Who gets it from now on; dry_run: who would. Raises Invalid, NotFound, Forbidden,
        PreconditionFailed."""
        for device in wanted.devices:
            check_device_id(device)
        if wanted.selector is not None:
            parse(wanted.selector)
        now = self._clock.wall_ms()
        return await self._store.assign(
            Reassignment(script, wanted, who.labels, author, now, condition, dry_run)
        )

    # --- questions ----------------------------------------------------------------------------------

    async def get(self, script: str, who: Identity) -> ScriptDetail:
        return await self._store.get(script, who.labels)

    async def page(
        self,
        who: Identity,
        hook_type: HookPoint | None,
        mark: str | None,
        deleted: bool,
        cursor: str | None,
        limit: int,
    ) -> ScriptPage:
        key = decode_cursor(cursor, str)
        after = str(key[0]) if key else ""
        found = await self._store.page(ScriptFilter(who.labels, hook_type, mark, deleted, after, limit + 1))
        more = encode_cursor([found[limit - 1].id]) if len(found) > limit else None
        return ScriptPage(items=found[:limit], next=more)

    async def versions(self, script: str, who: Identity, cursor: str | None, limit: int) -> ScriptVersionPage:
        key = decode_cursor(cursor, int)
        below = int(key[0]) if key else None
        found = await self._store.versions(script, who.labels, below, limit + 1)
        more = encode_cursor([found[limit - 1].version]) if len(found) > limit else None
        return ScriptVersionPage(items=found[:limit], next=more)

    async def version(self, script: str, version: int, who: Identity) -> ScriptVersionDetail:
        return await self._store.version(script, version, who.labels)

    async def diff(self, script: str, start: int | None, end: int | None, who: Identity) -> ScriptDiff:
        """end: absent, the current version. start: absent, the one before `end`."""
        if end is None:
            end = (await self._store.get(script, who.labels)).version
        after = await self._store.version(script, end, who.labels)
        if start is None:
            before = await self._store.versions(script, who.labels, end, 1)
            start = before[0].version if before else 0
        old = (await self._store.version(script, start, who.labels)).script if start else None
        return await asyncio.to_thread(diff, old, after.script, (start, end))

    async def devices(self, script: str, who: Identity, cursor: str | None, limit: int) -> ScriptDevicePage:
        key = decode_cursor(cursor, str)
        after = str(key[0]) if key else ""
        found = await self._store.devices(script, who.labels, after, limit + 1)
        more = encode_cursor([found[limit - 1].device_id]) if len(found) > limit else None
        return ScriptDevicePage(items=found[:limit], next=more)

    async def of_device(self, device: str) -> DeviceScripts:
        return device_view(device, await self._store.device_state(device))

    # --- for agents ---------------------------------------------------------------------------------

    async def etag(self, device: str) -> str | None:
        return await self._store.etag(device)

    async def served(self, device: str) -> ServedScripts:
        """Raises NotFound where the device never had a script; the agent keeps what it has."""
        found = await self._store.served(device)
        if found is None:
            raise no_scripts(device)
        return found


def no_scripts(device: str) -> NotFound:
    return NotFound("no_scripts", f"the centre has no scripts for {device}")


def script_of(body: ScriptBody) -> Script:
    """Raises Invalid (`bad_script`) for what no agent would take."""
    fields = body.model_dump(exclude={"description", "note", "version"})
    if len(body.source.encode("utf-8", "surrogatepass")) > MAX_SOURCE_BYTES:
        raise Invalid("bad_script", f"source: has more than {MAX_SOURCE_BYTES} bytes")
    if (body.hook_type is HookPoint.ON_SCHEDULE) != bool(body.schedule):
        raise Invalid("bad_script", "schedule: belongs to hook type on_schedule, and that needs one")
    if body.keep_raw and not body.hook_type.has_frames:
        raise Invalid("bad_script", "keep_raw: only transform and before_forward replace tags")
    if not all(text.isprintable() for text in body.groups):
        raise Invalid("bad_script", "groups: has characters that cannot be printed")
    if why := pattern_fault(body.groups):
        raise Invalid("bad_script", why)
    keys = [each.key for each in body.signatures]
    if len(set(keys)) < len(keys):
        raise Invalid("bad_script", "signatures: one for each key")
    try:
        return Script.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Invalid("bad_script", f"{place}: {first['msg']}") from error


def device_view(device: str, state: DeviceState) -> DeviceScripts:
    """Desired and reported, side by side."""
    report = state.report
    hooks = report.hooks if report else []
    by_name = {hook.name: hook for hook in hooks if hook.origin == "centre"}
    desired = [
        script.model_copy(update={"reported": by_name.get(script.name)})
        for script, enabled in state.scripts
        if enabled
    ]
    reported = report and ReportedScripts(
        etag=report.etag, state=report.state, message=report.message, layers=report.layers, time=state.time
    )
    return DeviceScripts(
        device_id=device, etag=state.etag, desired=desired,
        disabled=[script.name for script, enabled in state.scripts if not enabled],
        reported=reported, hooks=hooks, in_sync=is_in_sync(state.etag, report),
    )  # fmt: skip


def is_in_sync(etag: str | None, report: HooksReport | None) -> bool:
    if etag is None:
        return True
    # Proxies that compress put something behind it.
    return report is not None and report.state == _APPLIED and (report.etag or "").startswith(etag)


def runs(report: HookReport | None, version: int, sha256: str) -> bool:
    """Whether a device's hook is this version of a script."""
    return report is not None and report.version == version and report.sha256 == sha256


def assigned(before: Assignment, wanted: AssignmentBody) -> Assignment:
    """What an assignment becomes."""
    if wanted.mode == "replace":
        return Assignment(devices=wanted.devices, labels=wanted.labels, selector=wanted.selector)
    if wanted.mode == "add":
        named = list(dict.fromkeys([*before.devices, *wanted.devices]))
    else:
        gone = set(wanted.devices)
        named = [device for device in before.devices if device not in gone]
    labels, selector = wanted.labels or before.labels, wanted.selector or before.selector
    if wanted.mode == "remove":
        labels = {} if wanted.labels and wanted.labels == before.labels else before.labels
        selector = None if wanted.selector and wanted.selector == before.selector else before.selector
    return Assignment(devices=named, labels=labels, selector=selector)
