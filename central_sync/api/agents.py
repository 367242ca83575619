"""The agents' resources: uploads, schemas, heartbeats, configs."""

from typing import Final

from aiohttp import web

from central_sync.api.answers import json
from central_sync.api.bodies import matches, read_body
from central_sync.api.route import Answer, Body, Call, NoQuery, Route
from central_sync.services.access.roles import Scope
from edge_agent.wire.messages import ConfigEnvelope, Heartbeat, HeartbeatAnswer, UploadAnswer
from edge_agent.wire.schema import MAX_SCHEMA_BYTES
from edge_agent.wire.scripts import ScriptSet
from edge_agent.wire.upload import CONTENT_TYPE, MAX_BODY_BYTES

UPLOAD: Final = Body(CONTENT_TYPE, MAX_BODY_BYTES, "One head and 1…N batches (docs/specs/batch-v1.md).")
SCHEMA: Final = Body("application/json", MAX_SCHEMA_BYTES, "The schema's canonical JSON, byte for byte.")
HEARTBEAT: Final = Body("application/json", 8 << 20, "The agent's report.", Heartbeat)


async def upload(call: Call[NoQuery]) -> web.Response:
    answer = await call.services.ingest.upload(call.device, await read_body(call.request, UPLOAD))
    return json(answer.model_dump_json())


async def put_schema(call: Call[NoQuery]) -> web.Response:
    body = await read_body(call.request, SCHEMA)
    name = call.request.match_info["hash"]
    new = await call.services.ingest.put_schema(call.device, name, body)
    return web.Response(status=201 if new else 204)


async def heartbeat(call: Call[NoQuery]) -> web.Response:
    body = await read_body(call.request, HEARTBEAT)
    answer = await call.services.devices.heartbeat(call.device, body, call.request.remote or "")
    return json(answer.model_dump_json())


async def get_config(call: Call[NoQuery]) -> web.Response:
    known = await call.services.configs.etag(call.device)
    if known is not None and matches(call.request, known):
        return web.Response(status=304, headers={"ETag": f'"{known}"'})
    row = await call.services.configs.get(call.device)
    headers = {"ETag": f'"{row.etag}"'}
    return web.Response(body=row.body, content_type="application/json", headers=headers)


async def get_scripts(call: Call[NoQuery]) -> web.Response:
    known = await call.services.scripts.etag(call.device)
    if known is not None and matches(call.request, known):
        return web.Response(status=304, headers={"ETag": f'"{known}"'})
    found = await call.services.scripts.served(call.device)
    headers = {"ETag": f'"{found.etag}"'}
    if matches(call.request, found.etag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=found.body, content_type="application/json", headers=headers)


def _config_route(path: str, name: str, note: str) -> Route[NoQuery]:
    return Route(
        "GET",
        path,
        name,
        Scope.DEVICE_OR_VIEWER,
        "agents",
        f"The config the centre wants on a device{note}",
        get_config,
        NoQuery,
        {200: Answer("The envelope, canonical JSON.", ConfigEnvelope), 304: Answer("It is still the same.")},
        headers={"If-None-Match": "The ETag of the version at hand."},
        errors={404: "no_config: the centre wants nothing; the agent keeps what it has"},
    )


ROUTES: Final[list[Route[NoQuery]]] = [
    Route(
        "POST",
        "/api/fleet/edge/{id}/data",
        "upload",
        Scope.DEVICE,
        "agents",
        "Hand over batches; answered after the centre's commit",
        upload,
        NoQuery,
        {200: Answer("What was stored. Only `acked` counts as delivered; partial is normal.", UploadAnswer)},
        UPLOAD,
        errors={
            400: "bad_upload: the body is no upload",
            409: "seq_conflict: the names in `conflicts` are stored with other content; nothing was stored",
            413: "too_large: `max` bytes are taken",
            503: "busy, storage: nothing was stored; come back after Retry-After",
        },
    ),
    Route(
        "PUT",
        "/api/fleet/edge/{id}/schemas/{hash}",
        "put_schema",
        Scope.DEVICE,
        "agents",
        "Bring a schema that the centre asked for",
        put_schema,
        NoQuery,
        {201: Answer("Stored."), 204: Answer("It was here already.")},
        SCHEMA,
        errors={
            400: "bad_schema, hash_mismatch",
            409: "too_many_schemas",
            413: "too_large: `max` bytes are taken",
        },
    ),
    Route(
        "POST",
        "/api/fleet/edge/{id}/heartbeat",
        "heartbeat",
        Scope.DEVICE,
        "agents",
        "Report; every 30 s, and when something changes",
        heartbeat,
        NoQuery,
        {200: Answer("The centre's time and hints.", HeartbeatAnswer)},
        HEARTBEAT,
        errors={400: "bad_heartbeat", 413: "too_large: `max` bytes are taken"},
    ),
    Route(
        "GET",
        "/api/fleet/edge/{id}/scripts",
        "get_scripts",
        Scope.DEVICE_OR_VIEWER,
        "agents",
        "The scripts that a device is to run, in this order",
        get_scripts,
        NoQuery,
        {200: Answer("The set, canonical JSON.", ScriptSet), 304: Answer("It is still the same.")},
        headers={"If-None-Match": "The ETag of the set at hand."},
        errors={404: "no_scripts: the device never had any; the agent keeps what it has"},
    ),
    _config_route("/api/fleet/edge/{id}/config", "get_config", ""),
    _config_route("/api/fleet/v1/edges/{id}/config", "get_config_v1", " (alias)"),
]
