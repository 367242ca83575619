"""Scripts: the hooks that devices get from the centre, their versions, and who gets them."""

from typing import Any, Final

from aiohttp import web
from pydantic import Field

from central_sync.api.answers import model
from central_sync.api.bodies import parse_document, precondition, read_body
from central_sync.api.config_jobs import KEY
from central_sync.api.configs import NoteQuery, author
from central_sync.api.parameters import Cursor, Limit, PageQuery, version_in
from central_sync.api.route import Answer, Body, Call, NoQuery, Query, Route
from central_sync.services.access.roles import Scope
from central_sync.services.errors import Invalid
from central_sync.services.scripts.dry_run import DryRunBody, DryRunResult
from central_sync.services.scripts.hook_types import HookTypes, hook_types
from central_sync.services.scripts.views import (
    AssignmentBody,
    AssignmentChanged,
    DeviceScripts,
    ScriptBody,
    ScriptDetail,
    ScriptDevicePage,
    ScriptDiff,
    ScriptPage,
    ScriptPatch,
    ScriptVersionDetail,
    ScriptVersionPage,
    ScriptView,
    ScriptWritten,
    SignaturesBody,
)
from edge_agent.wire.scripts import HookPoint

SCRIPT: Final = Body("application/json", 1 << 20, "The script, whole.", ScriptBody)
PATCH: Final = Body("application/json", 64 << 10, "What is to be different.", ScriptPatch)
SIGNATURES: Final = Body("application/json", 64 << 10, "All of them.", SignaturesBody)
ASSIGNMENT: Final = Body("application/json", 2 << 20, "Which devices.", AssignmentBody)
DRY_RUN: Final = Body("application/json", 2 << 20, "A script and samples.", DryRunBody)
# In the body of a dry run. A parser holds up everybody else while it makes these.
_MAX_NESTED: Final = 50_000


class ScriptsQuery(Query):
    hook_type: HookPoint | None = None
    mark: str | None = Field(
        None, max_length=120, pattern=r"^[a-z0-9-]{1,51}@[0-9a-f]{1,64}$",
        description="NAME@DIGEST as records have it: the script of which a version has this digest.",
        examples=["oil-fahrenheit@0123456789abcdef"],
    )  # fmt: skip
    deleted: bool = Field(False, description="Those that were deleted, instead of the others.")
    limit: Limit = 100
    cursor: Cursor | None = None


class DiffQuery(Query):
    start: int | None = Field(
        None, ge=0, lt=1 << 62, alias="from",
        description="The version before `to` by default; 0: nothing.",
    )  # fmt: skip
    to: int | None = Field(None, ge=1, lt=1 << 62, description="The current version by default.")


class AssignQuery(Query):
    dry_run: bool = Field(False, description="Say which devices would get or lose it, and change nothing.")


def _script(call: Call[Any]) -> str:
    return call.request.match_info["script"]


def _tagged(view: ScriptView, status: int = 200) -> web.Response:
    return model(view, status, {"ETag": f'"{view.etag}"'})


def _written(stored: ScriptWritten) -> web.Response:
    return _tagged(stored, 201 if stored.created_version else 200)


async def types(_call: Call[NoQuery]) -> web.Response:
    return model(hook_types())


async def scripts(call: Call[ScriptsQuery]) -> web.Response:
    query = call.query
    found = await call.services.scripts.page(
        call.who, query.hook_type, query.mark, query.deleted, query.cursor, query.limit
    )
    return model(found)


async def create(call: Call[NoQuery]) -> web.Response:
    body = await read_body(call.request, SCRIPT)
    wanted = await parse_document(body, ScriptBody)
    made = await call.services.scripts.create(wanted, call.who, author(call), call.once(body))
    return _written(made)


async def script(call: Call[NoQuery]) -> web.Response:
    return _tagged(await call.services.scripts.get(_script(call), call.who))


async def replace(call: Call[NoQuery]) -> web.Response:
    condition = precondition(call.request)
    wanted = await parse_document(await read_body(call.request, SCRIPT), ScriptBody)
    return _written(
        await call.services.scripts.replace(_script(call), wanted, call.who, author(call), condition)
    )


async def patch(call: Call[NoQuery]) -> web.Response:
    condition = precondition(call.request)
    wanted = await parse_document(await read_body(call.request, PATCH), ScriptPatch)
    return _tagged(
        await call.services.scripts.patch(_script(call), wanted, call.who, author(call), condition)
    )


async def delete(call: Call[NoQuery]) -> web.Response:
    await call.services.scripts.delete(_script(call), call.who, author(call), precondition(call.request))
    return web.Response(status=204)


async def versions(call: Call[PageQuery]) -> web.Response:
    query = call.query
    return model(await call.services.scripts.versions(_script(call), call.who, query.cursor, query.limit))


async def version(call: Call[NoQuery]) -> web.Response:
    return model(await call.services.scripts.version(_script(call), version_in(call, "the script"), call.who))


async def sign(call: Call[NoQuery]) -> web.Response:
    condition = precondition(call.request)
    wanted = await parse_document(await read_body(call.request, SIGNATURES), SignaturesBody)
    stored = await call.services.scripts.sign(
        _script(call), version_in(call, "the script"), wanted.signatures, call.who, author(call), condition
    )
    return _tagged(stored)


async def script_diff(call: Call[DiffQuery]) -> web.Response:
    query = call.query
    return model(await call.services.scripts.diff(_script(call), query.start, query.to, call.who))


async def rollback(call: Call[NoteQuery]) -> web.Response:
    note, condition = call.query.note, precondition(call.request)
    version, once = version_in(call, "the script"), call.once(note.encode())
    stored = await call.services.scripts.rollback(
        _script(call), version, call.who, author(call), condition, note, once
    )
    return _written(stored)


async def assign(call: Call[AssignQuery]) -> web.Response:
    condition = precondition(call.request)
    wanted = await parse_document(await read_body(call.request, ASSIGNMENT), AssignmentBody)
    found = await call.services.scripts.assign(
        _script(call), wanted, call.who, author(call), condition, call.query.dry_run
    )
    return model(found, 200, {"ETag": f'"{found.etag}"'})


async def script_devices(call: Call[PageQuery]) -> web.Response:
    query = call.query
    return model(await call.services.scripts.devices(_script(call), call.who, query.cursor, query.limit))


async def dry_run(call: Call[NoQuery]) -> web.Response:
    sent = await read_body(call.request, DRY_RUN)
    if sent.count(b"[") + sent.count(b"{") > _MAX_NESTED:
        raise Invalid("bad_body", f"more than {_MAX_NESTED} arrays and objects")
    body = await parse_document(sent, DryRunBody)
    return model(await call.services.dry_runs.run(body, call.who))


async def device_scripts(call: Call[NoQuery]) -> web.Response:
    return model(await call.services.scripts.of_device(call.device))


_PATH: Final = "/api/fleet/scripts"
_ONE: Final = f"{_PATH}/{{script}}"
_MATCH: Final = {"If-Match": "The ETag that was read; 412 where it is not the newest."}
_UNKNOWN: Final = {404: "unknown_script"}
_UNKNOWN_VERSION: Final = {404: "unknown_script, unknown_version"}
_UNTRIED: Final = (
    "no_sandbox: no script can be run at this centre (the extra `hooks` is missing, or a layer of "
    "its sandbox); "
    "no_tester, tester_busy, tester_failed: come back after Retry-After"
)
_LIMITED: Final = {403: "limited: devices have it, or may get it, that you do not see"}
_CHANGED: Final = {
    201: Answer("A new version.", ScriptWritten),
    200: Answer("It is this one already.", ScriptWritten),
}

ROUTES: Final[list[Route[Any]]] = [
    Route(
        "GET", _PATH, "scripts", Scope.VIEWER, "scripts",
        "Scripts that devices in your sight have, or that were made within your limits",
        scripts, ScriptsQuery, {200: Answer("A page.", ScriptPage)}, errors={400: "bad_query, bad_cursor"},
    ),
    Route(
        "POST", _PATH, "create_script", Scope.ENGINEER, "scripts",
        "Make a script; no device gets it before it is assigned",
        create, NoQuery, {201: Answer("Its first version.", ScriptWritten)}, SCRIPT, headers=KEY,
        errors={
            400: "bad_body, bad_key, bad_script",
            409: "name_taken, too_many_scripts, worker_taken, key_reused", 413: "too_large",
        },
    ),
    Route(
        "GET", f"{_PATH}/hook-types", "hook_types", Scope.VIEWER, "scripts",
        "The types of hooks: when each is run, on what, and an example",
        types, NoQuery, {200: Answer("All of them.", HookTypes)},
    ),
    Route(
        "POST", f"{_PATH}/dry-run", "dry_run_script", Scope.ENGINEER, "scripts",
        "Run a script on given frames, or on what a device sent last, in the agent's sandbox at the centre",
        dry_run, NoQuery, {200: Answer("What it did; `ok` says whether all went well.", DryRunResult)},
        DRY_RUN,
        errors={
            400: "bad_body, bad_script, bad_device_id",
            404: "unknown_script, unknown_version, unknown_device, no_data", 413: "too_large", 503: _UNTRIED,
        },
    ),
    Route(
        "GET", _ONE, "script", Scope.VIEWER, "scripts", "One script with its source",
        script, NoQuery, {200: Answer("The script.", ScriptDetail)}, errors=_UNKNOWN,
    ),
    Route(
        "PUT", _ONE, "replace_script", Scope.ENGINEER, "scripts",
        "Make the next version of a script; its devices get it",
        replace, NoQuery, _CHANGED, SCRIPT, headers=_MATCH,
        errors={
            400: "bad_body, bad_etag, bad_script, other_name", **_LIMITED, **_UNKNOWN, 409: "worker_taken",
            412: "stale", 413: "too_large",
        },
    ),
    Route(
        "PATCH", _ONE, "patch_script", Scope.ENGINEER, "scripts",
        "Switch a script on or off, or change its place or description",
        patch, NoQuery, {200: Answer("The script.", ScriptWritten)}, PATCH, headers=_MATCH,
        errors={400: "bad_body, bad_etag", **_LIMITED, **_UNKNOWN, 412: "stale", 413: "too_large"},
    ),
    Route(
        "DELETE", _ONE, "delete_script", Scope.ENGINEER, "scripts",
        "Delete a script: its devices lose it, its versions stay readable",
        delete, NoQuery, {204: Answer("It is deleted.")}, headers=_MATCH,
        errors={400: "bad_etag", **_LIMITED, **_UNKNOWN, 412: "stale"},
    ),
    Route(
        "GET", f"{_ONE}/versions", "script_versions", Scope.VIEWER, "scripts",
        "The versions of a script, newest first",
        versions, PageQuery, {200: Answer("A page.", ScriptVersionPage)},
        errors={400: "bad_query, bad_cursor", **_UNKNOWN},
    ),
    Route(
        "GET", f"{_ONE}/versions/{{version}}", "script_version", Scope.VIEWER, "scripts",
        "One version with its source, as devices get it",
        version, NoQuery, {200: Answer("The version.", ScriptVersionDetail)}, errors=_UNKNOWN_VERSION,
    ),
    Route(
        "PUT", f"{_ONE}/versions/{{version}}/signatures", "sign_script", Scope.ENGINEER, "scripts",
        "Keep signatures of a version, made offline; devices check them",
        sign, NoQuery, {200: Answer("The script.", ScriptWritten)}, SIGNATURES, headers=_MATCH,
        errors={
            400: "bad_body, bad_etag, bad_script", **_LIMITED, **_UNKNOWN_VERSION, 412: "stale",
            413: "too_large",
        },
    ),
    Route(
        "GET", f"{_ONE}/diff", "script_diff", Scope.VIEWER, "scripts",
        "What differs between two versions: settings, and the source by lines",
        script_diff, DiffQuery, {200: Answer("The differences.", ScriptDiff)},
        errors={400: "bad_query", **_UNKNOWN_VERSION},
    ),
    Route(
        "POST", f"{_ONE}/rollback/{{version}}", "script_rollback", Scope.ENGINEER, "scripts",
        "Give devices an earlier version again: a higher version with the old content and its signatures",
        rollback, NoteQuery, _CHANGED, headers={**_MATCH, **KEY},
        errors={
            400: "bad_query, bad_etag, bad_key", **_LIMITED, **_UNKNOWN_VERSION,
            409: "worker_taken, key_reused", 412: "stale",
        },
    ),
    Route(
        "PUT", f"{_ONE}/assignment", "assign_script", Scope.ENGINEER, "scripts",
        "Say who gets a script: devices by id, by labels, by a selector; or only see who would",
        assign, AssignQuery, {200: Answer("Who gets it.", AssignmentChanged)}, ASSIGNMENT, headers=_MATCH,
        errors={
            400: "bad_query, bad_body, bad_etag, bad_selector, bad_device_id", **_LIMITED,
            404: "unknown_script, unknown_device", 412: "stale", 413: "too_large",
        },
    ),
    Route(
        "GET", f"{_ONE}/devices", "script_devices", Scope.VIEWER, "scripts",
        "The devices in your sight that are to have a script, and what each reports of it",
        script_devices, PageQuery, {200: Answer("A page.", ScriptDevicePage)},
        errors={400: "bad_query, bad_cursor", **_UNKNOWN},
    ),
    Route(
        "GET", "/api/fleet/devices/{id}/scripts", "device_scripts", Scope.VIEWER, "scripts",
        "The scripts that a device is to have, and what it reported, apart",
        device_scripts, NoQuery, {200: Answer("Both.", DeviceScripts)}, errors={404: "unknown_device"},
    ),
]  # fmt: skip
