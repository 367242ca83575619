"""The names of tags in an older system, and where each is now."""

from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import Field

from central_sync.api.answers import model
from central_sync.api.bodies import read_body
from central_sync.api.config_jobs import KEY
from central_sync.api.configs import author
from central_sync.api.parameters import Cursor
from central_sync.api.route import Answer, Body, Call, NoQuery, Query, Route
from central_sync.services.access.roles import Scope
from central_sync.services.configs.v1_mappings import MappingBody, V1Mapping, V1MappingPage
from central_sync.services.documents import parse_model

MAPPING: Final = Body("application/json", 64 << 10, "The mapping, whole.", MappingBody)


class MappingsQuery(Query):
    device: str | None = Field(None, max_length=51, description="Only this device's.")
    v1_name: str | None = Field(None, max_length=200, description="Only this name.")
    resolve: bool = Field(False, description="With the latest value of each.")
    limit: Annotated[int, Field(ge=1, le=500)] = 100
    cursor: Cursor | None = None


def _mapping(call: Call[Any]) -> str:
    return call.request.match_info["mapping"]


async def mappings(call: Call[MappingsQuery]) -> web.Response:
    query = call.query
    found = await call.services.v1_mappings.page(
        call.who, query.device, query.v1_name, query.cursor, query.limit, resolve=query.resolve
    )
    return model(found)


async def create(call: Call[NoQuery]) -> web.Response:
    body = await read_body(call.request, MAPPING)
    wanted = parse_model(body, MappingBody)
    return model(await call.services.v1_mappings.create(wanted, call.who, author(call), call.once(body)), 201)


async def replace(call: Call[NoQuery]) -> web.Response:
    wanted = parse_model(await read_body(call.request, MAPPING), MappingBody)
    return model(await call.services.v1_mappings.replace(_mapping(call), wanted, call.who, author(call)))


async def delete(call: Call[NoQuery]) -> web.Response:
    await call.services.v1_mappings.delete(_mapping(call), call.who, author(call))
    return web.Response(status=204)


async def export(call: Call[NoQuery]) -> web.Response:
    text = await call.services.v1_mappings.export(call.who)
    return web.Response(text=text, content_type="text/csv", charset="utf-8")


_UNKNOWN: Final = {404: "unknown_mapping, unknown_device"}
_PATH: Final = "/api/fleet/v1-mappings"

ROUTES: Final[list[Route[Any]]] = [
    Route(
        "GET", _PATH, "v1_mappings", Scope.VIEWER, "mappings",
        "Names of an older system by name, with the latest values where they are asked for",
        mappings, MappingsQuery, {200: Answer("A page.", V1MappingPage)},
        errors={400: "bad_query, bad_cursor"},
    ),
    Route(
        "GET", f"{_PATH}/export", "export_v1_mappings", Scope.VIEWER, "mappings", "All of them as a table",
        export, NoQuery, {200: Answer("v1_name, device, connection, tag, note.", None, "text/csv")},
    ),
    Route(
        "POST", _PATH, "create_v1_mapping", Scope.ENGINEER, "mappings", "Say where a tag is now",
        create, NoQuery, {201: Answer("The mapping.", V1Mapping)}, MAPPING, headers=KEY,
        errors={
            400: "bad_body, bad_key, bad_device_id", 404: "unknown_device",
            409: "name_taken, too_many_mappings, key_reused", 413: "too_large",
        },
    ),
    Route(
        "PUT", f"{_PATH}/{{mapping}}", "replace_v1_mapping", Scope.ENGINEER, "mappings", "Change a mapping",
        replace, NoQuery, {200: Answer("The mapping.", V1Mapping)}, MAPPING,
        errors={400: "bad_body, bad_device_id", **_UNKNOWN, 409: "name_taken", 413: "too_large"},
    ),
    Route(
        "DELETE", f"{_PATH}/{{mapping}}", "delete_v1_mapping", Scope.ENGINEER, "mappings",
        "Delete a mapping", delete, NoQuery, {204: Answer("It is gone.")}, errors=_UNKNOWN,
    ),
]  # fmt: skip
