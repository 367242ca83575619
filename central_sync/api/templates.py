"""Tag templates, and their use on connections."""

from typing import Any, Final

from aiohttp import web
from pydantic import Field

from central_sync.api.answers import model
from central_sync.api.bodies import parse_document, precondition, read_body
from central_sync.api.config_jobs import KEY
from central_sync.api.configs import BAD_CONFIG, UNCHECKED, author, written
from central_sync.api.parameters import Cursor, Limit
from central_sync.api.route import Answer, Body, Call, NoQuery, Query, Route
from central_sync.services.access.roles import Scope, require_unlimited
from central_sync.services.configs.jobs import ConfigJob
from central_sync.services.configs.service import MAX_CONFIG_BYTES
from central_sync.services.configs.templates import (
    BulkUse,
    TemplateBody,
    TemplatePage,
    TemplateUse,
    TemplateView,
)
from central_sync.services.configs.views import ConfigWritten

TEMPLATE: Final = Body("application/json", MAX_CONFIG_BYTES, "The template, whole.", TemplateBody)
USE: Final = Body("application/json", 1 << 20, "Values for its parameters.", TemplateUse)
BULK: Final = Body("application/json", MAX_CONFIG_BYTES, "Which connections, and their values.", BulkUse)


class TemplatesQuery(Query):
    company: str | None = Field(None, max_length=100)
    equipment_type: str | None = Field(None, max_length=100)
    protocol: str | None = Field(None, max_length=100)
    limit: Limit = 100
    cursor: Cursor | None = None


def _template(call: Call[Any]) -> str:
    return call.request.match_info["template"]


def _tagged(view: TemplateView, status: int = 200) -> web.Response:
    return model(view, status, {"ETag": f'"{view.etag}"'})


async def templates(call: Call[TemplatesQuery]) -> web.Response:
    query = call.query
    found = await call.services.templates.page(
        query.company, query.equipment_type, query.protocol, query.cursor, query.limit
    )
    return model(found)


async def create(call: Call[NoQuery]) -> web.Response:
    body = await read_body(call.request, TEMPLATE)
    wanted = await parse_document(body, TemplateBody)
    return _tagged(await call.services.templates.create(wanted, author(call), call.once(body)), 201)


async def template(call: Call[NoQuery]) -> web.Response:
    return _tagged(await call.services.templates.get(_template(call)))


async def replace(call: Call[NoQuery]) -> web.Response:
    # Others apply it to devices that a limited engineer does not see.
    require_unlimited(call.who)
    condition = precondition(call.request)
    wanted = await parse_document(await read_body(call.request, TEMPLATE), TemplateBody)
    return _tagged(await call.services.templates.replace(_template(call), wanted, condition, author(call)))


async def delete(call: Call[NoQuery]) -> web.Response:
    require_unlimited(call.who)
    await call.services.templates.delete(_template(call), author(call))
    return web.Response(status=204)


async def apply(call: Call[NoQuery]) -> web.Response:
    body = await read_body(call.request, USE)
    use = await parse_document(body, TemplateUse)
    where = call.request.match_info["connection"]
    stored = await call.services.templates.apply(
        _template(call), where, use, call.who, author(call), call.once(body)
    )
    return written(stored)


async def apply_to_many(call: Call[NoQuery]) -> web.Response:
    body = await read_body(call.request, BULK)
    use = await parse_document(body, BulkUse)
    job = await call.services.templates.apply_to_many(
        _template(call), use, call.who, author(call), call.once(body)
    )
    return model(job, 202)


_UNKNOWN: Final = {404: "unknown_template"}
_PATH: Final = "/api/fleet/tag-templates"

_LIMITED: Final = {403: "limited: others use it on devices that you do not see"}

ROUTES: Final[list[Route[Any]]] = [
    Route(
        "GET", _PATH, "tag_templates", Scope.VIEWER, "templates", "Tag templates",
        templates, TemplatesQuery, {200: Answer("A page.", TemplatePage)},
        errors={400: "bad_query, bad_cursor"},
    ),
    Route(
        "POST", _PATH, "create_tag_template", Scope.ENGINEER, "templates",
        "Make a template of groups of tags",
        create, NoQuery, {201: Answer("The template.", TemplateView)}, TEMPLATE, headers=KEY,
        errors={
            400: "bad_body, bad_key, bad_template", 409: "name_taken, too_many_templates, key_reused",
            413: "too_large",
        },
    ),
    Route(
        "GET", f"{_PATH}/{{template}}", "tag_template", Scope.VIEWER, "templates", "One template",
        template, NoQuery, {200: Answer("The template.", TemplateView)}, errors=_UNKNOWN,
    ),
    Route(
        "PUT", f"{_PATH}/{{template}}", "replace_tag_template", Scope.ENGINEER, "templates",
        "Change a template; connections that it was used on keep what they have",
        replace, NoQuery, {200: Answer("Its next version.", TemplateView)}, TEMPLATE,
        headers={"If-Match": "The ETag that was read; 412 where it is not the newest."},
        errors={
            400: "bad_body, bad_etag, bad_template", **_LIMITED, **_UNKNOWN, 409: "name_taken", 412: "stale",
            413: "too_large",
        },
    ),
    Route(
        "DELETE", f"{_PATH}/{{template}}", "delete_tag_template", Scope.ENGINEER, "templates",
        "Delete a template; connections that it was used on keep what they have",
        delete, NoQuery, {204: Answer("It is gone.")}, errors={**_LIMITED, **_UNKNOWN},
    ),
    Route(
        "POST", f"{_PATH}/{{template}}/apply/{{connection}}", "apply_tag_template", Scope.ENGINEER,
        "templates", "Put a template's groups on a connection (`device:connection`): a new config version",
        apply, NoQuery,
        {
            201: Answer("A new version.", ConfigWritten),
            200: Answer("The connection has these groups already.", ConfigWritten),
        },
        USE, headers=KEY,
        errors={
            400: f"bad_body, bad_key, bad_connection, bad_device_id, bad_parameters, other_protocol, "
            f"{BAD_CONFIG}",
            404: "unknown_template, unknown_device, no_config, unknown_connection", 409: "key_reused",
            412: "stale", 413: "too_large", 503: UNCHECKED,
        },
    ),
    Route(
        "POST", f"{_PATH}/{{template}}/apply", "apply_tag_template_to_many", Scope.ENGINEER, "templates",
        "Put a template's groups on many connections, with values for each: a job with a result a device",
        apply_to_many, NoQuery, {202: Answer("The job; ask for its progress.", ConfigJob)}, BULK, headers=KEY,
        errors={
            400: "bad_body, bad_key, bad_csv, bad_connection, bad_device_id, bad_selector, no_targets, "
            "too_many_targets",
            404: "unknown_template, unknown_device", 409: "key_reused, too_many_jobs", 413: "too_large",
        },
    ),
]  # fmt: skip
