"""Configs: what devices are to have, what they had, what differs, and whether it would be taken."""

from typing import Any, Final, Literal

from aiohttp import web
from pydantic import Field

from central_sync.api.answers import model
from central_sync.api.bodies import precondition, read_body
from central_sync.api.parameters import PageQuery, version_in
from central_sync.api.route import Answer, Body, Call, NoQuery, Query, Route
from central_sync.services.access.roles import Scope
from central_sync.services.configs.service import MAX_CONFIG_BYTES, MAX_NOTE, Author, TagPlace
from central_sync.services.configs.views import (
    ConfigChecked,
    ConfigDiff,
    ConfigStatus,
    ConfigVersionDetail,
    ConfigVersionPage,
    ConfigWritten,
)

CONFIG: Final = Body(
    "application/json",
    MAX_CONFIG_BYTES,
    'The managed sections, whole: `{"connections": [...]}`.',
    {"type": "object", "additionalProperties": True, "example": {"connections": []}},
)
TAGS: Final = Body(
    "text/csv", MAX_CONFIG_BYTES,
    "A tag list in any dialect that agents include: a column a setting, or a Kepware export.",
)  # fmt: skip


class NoteQuery(Query):
    note: str = Field("", max_length=MAX_NOTE, description="Why; shown with the version.")


class DiffQuery(Query):
    start: int | None = Field(
        None, ge=0, lt=1 << 62, alias="from",
        description="The version before `to` by default; 0: nothing.",
    )  # fmt: skip
    to: int | None = Field(None, ge=0, lt=1 << 62, description="The desired version by default.")


class TagsQuery(Query):
    group: str = Field(min_length=1, max_length=51, description="The group that the tags go into.")
    interval: str | None = Field(
        None, max_length=20, description="Of the group, such as 1s; needed where it is new."
    )
    mode: Literal["merge", "replace"] = Field(
        "merge",
        description="merge: tags take the place of their namesakes; replace: the group has these alone.",
    )
    encoding: str | None = Field(
        None, max_length=40, pattern="^[A-Za-z0-9_-]+$",
        description="Of the text, such as cp949; recognised by default.",
    )  # fmt: skip
    note: str = Field("", max_length=MAX_NOTE)
    dry_run: bool = Field(False, description="Judge, and change nothing.")


def author(call: Call[Any]) -> Author:
    return Author(call.author, call.actor)


def written(stored: ConfigWritten) -> web.Response:
    return model(stored, 201 if stored.created else 200, {"ETag": f'"{stored.etag}"'})


async def put_config(call: Call[NoteQuery]) -> web.Response:
    condition = precondition(call.request)
    body = await read_body(call.request, CONFIG)
    note = call.query.note
    return written(await call.services.configs.put(call.device, body, condition, author(call), note))


async def rollback(call: Call[NoteQuery]) -> web.Response:
    version, condition = version_in(call, call.device), precondition(call.request)
    once = call.once(call.query.note.encode())
    stored = await call.services.configs.rollback(
        call.device, version, condition, author(call), call.query.note, once
    )
    return written(stored)


async def versions(call: Call[PageQuery]) -> web.Response:
    return model(await call.services.configs.page(call.device, call.query.cursor, call.query.limit))


async def version(call: Call[NoQuery]) -> web.Response:
    return model(await call.services.configs.version(call.device, version_in(call, call.device)))


async def config_diff(call: Call[DiffQuery]) -> web.Response:
    return model(await call.services.configs.diff(call.device, call.query.start, call.query.to))


async def config_state(call: Call[NoQuery]) -> web.Response:
    return model(await call.services.configs.status(call.device))


async def validate(call: Call[NoQuery]) -> web.Response:
    return model(await call.services.configs.check(await read_body(call.request, CONFIG)))


async def import_tags(call: Call[TagsQuery]) -> web.Response:
    query = call.query
    body = await read_body(call.request, TAGS)
    place = TagPlace(
        call.request.match_info["connection"], query.group, query.interval, query.encoding,
        query.mode == "replace", query.dry_run,
    )  # fmt: skip
    once = call.once(call.request.query_string.encode() + b"\n" + body)
    return written(
        await call.services.configs.import_tags(call.device, body, place, author(call), query.note, once)
    )


UNCHECKED: Final = "no_checker, checker_busy, checker_failed: nothing was stored; come back after Retry-After"
_WRITTEN: Final = {
    201: Answer("A new version.", ConfigWritten),
    200: Answer("They were wanted already.", ConfigWritten),
}
_MATCH: Final = {"If-Match": "The ETag that was read; 412 where it is not the newest."}
BAD_CONFIG: Final = "bad_config: `problems` has the path and message of each"
_VERSION: Final = {404: "unknown_device, unknown_version"}

ROUTES: Final[list[Route[Any]]] = [
    Route(
        "PUT", "/api/fleet/edge/{id}/config", "put_config", Scope.ENGINEER, "configs",
        "Want these config sections on a device, once the agent's own rules take them",
        put_config, NoteQuery, _WRITTEN, CONFIG, headers=_MATCH,
        errors={
            400: f"bad_query, bad_etag, {BAD_CONFIG}", 404: "unknown_device", 412: "stale",
            413: "too_large", 503: UNCHECKED,
        },
    ),
    Route(
        "GET", "/api/fleet/devices/{id}/config/versions", "config_versions", Scope.VIEWER, "configs",
        "The versions of a device's config, newest first, and what became of each as far as it was reported",
        versions, PageQuery, {200: Answer("A page.", ConfigVersionPage)},
        errors={400: "bad_query, bad_cursor", 404: "unknown_device"},
    ),
    Route(
        "GET", "/api/fleet/devices/{id}/config/versions/{version}", "config_version", Scope.VIEWER,
        "configs", "One version with its sections",
        version, NoQuery, {200: Answer("The version.", ConfigVersionDetail)}, errors=_VERSION,
    ),
    Route(
        "GET", "/api/fleet/devices/{id}/config/diff", "config_diff", Scope.VIEWER, "configs",
        "What differs between two versions, by connection, group and tag",
        config_diff, DiffQuery, {200: Answer("The differences.", ConfigDiff)},
        errors={400: "bad_query", 404: "unknown_device, unknown_version, no_config"},
    ),
    Route(
        "POST", "/api/fleet/devices/{id}/config/rollback/{version}", "config_rollback", Scope.ENGINEER,
        "configs", "Want the sections of an earlier version again: a higher version with the old content",
        rollback, NoteQuery, _WRITTEN,
        headers={**_MATCH, "Idempotency-Key": "Makes a repeat answer as the first did."},
        errors={
            400: f"bad_query, bad_etag, bad_key, {BAD_CONFIG}", **_VERSION, 409: "key_reused",
            412: "stale", 503: UNCHECKED,
        },
    ),
    Route(
        "GET", "/api/fleet/devices/{id}/config/state", "config_state", Scope.VIEWER, "configs",
        "What is desired of a device, what it has applied, and what it reported, apart",
        config_state, NoQuery, {200: Answer("The three.", ConfigStatus)}, errors={404: "unknown_device"},
    ),
    Route(
        "POST", "/api/fleet/devices/{id}/connections/{connection}/tags/import", "import_tags",
        Scope.ENGINEER, "configs", "Put the tags of a CSV list into a group of a device's connection",
        import_tags, TagsQuery,
        {
            201: Answer("A new version.", ConfigWritten),
            200: Answer("It has these tags already, or it was a dry run.", ConfigWritten),
        },
        TAGS, headers={"Idempotency-Key": "Makes a repeat answer as the first did."},
        errors={
            400: f"bad_query, bad_key, unknown_group, bad_tags (`problems` has line and message); "
            f"{BAD_CONFIG}",
            404: "unknown_device, no_config, unknown_connection", 409: "key_reused", 412: "stale",
            413: "too_large", 503: UNCHECKED,
        },
    ),
    Route(
        "POST", "/api/fleet/configs/validate", "validate_config", Scope.ENGINEER, "configs",
        "Say whether agents would take these sections, and change nothing",
        validate, NoQuery, {200: Answer("What the agent's rules say.", ConfigChecked)}, CONFIG,
        errors={
            400: "bad_config: it is no JSON object", 413: "too_large", 503: UNCHECKED,
        },
    ),
]  # fmt: skip
