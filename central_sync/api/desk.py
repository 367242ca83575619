"""The agents' side of commands: fetching them, reporting, bringing files (docs/specs/commands-v1.md)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import Field

from central_sync.api.answers import model
from central_sync.api.bodies import read_model
from central_sync.api.route import Answer, Body, Call, NoQuery, Query, Route
from central_sync.services.access.roles import Scope
from central_sync.services.commands.views import ArtifactStored
from central_sync.services.errors import Busy, Invalid, TooLarge, UnsupportedMedia
from edge_agent.wire.commands import (
    MAX_ARTIFACT_BYTES,
    MAX_WAIT_SECONDS,
    CommandOffers,
    CommandReport,
)

REPORT: Final = Body("application/json", 1 << 20, "What became of it.", CommandReport)
ARTIFACT: Final = Body("application/octet-stream", MAX_ARTIFACT_BYTES, "The file's bytes.")
# 32 MiB over a slow link, and no longer.
FILE_SECONDS: Final = 600.0
_BLOCK: Final = 256 << 10


class OffersQuery(Query):
    wait: Annotated[float, Field(ge=0, le=MAX_WAIT_SECONDS, allow_inf_nan=False)] = Field(
        0.0, description="Seconds to wait until there is something."
    )


class ArtifactQuery(Query):
    name: str = Field("artifact", min_length=1, max_length=200, description="What to call it.")


async def offers(call: Call[OffersQuery]) -> web.Response:
    found = await call.services.desk.offers(call.device, call.query.wait)
    if call.query.wait:
        await call.services.gate.require_unchanged(call.request, call.who)
    return model(found)


async def report(call: Call[NoQuery]) -> web.Response:
    said = await read_model(call.request, REPORT, CommandReport)
    await call.services.desk.report(call.device, call.request.match_info["command"], said)
    return web.Response(status=204)


async def put_artifact(call: Call[ArtifactQuery]) -> web.Response:
    command = call.request.match_info["command"]
    _check(call.request)
    try:
        async with asyncio.timeout(FILE_SECONDS):
            stored, new = await call.services.desk.receive(
                call.device, command, call.query.name, _blocks(call.request)
            )
    except TimeoutError as error:
        raise Busy("too_slow", f"the file did not come within {FILE_SECONDS:.0f} s") from error
    return model(stored, 201 if new else 200)


def _check(request: web.Request) -> None:
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMedia("content_encoding", "send the file as it is, without Content-Encoding")
    if request.content_type != ARTIFACT.content_type:
        raise UnsupportedMedia("content_type", f"send {ARTIFACT.content_type}")
    if (request.content_length or 0) > ARTIFACT.limit:
        raise TooLarge("too_large", f"a file may hold {ARTIFACT.limit} bytes", max=ARTIFACT.limit)


async def _blocks(request: web.Request) -> AsyncIterator[bytes]:
    try:
        async for block in request.content.iter_chunked(_BLOCK):
            yield block
    except web.RequestPayloadError as error:
        raise Invalid("bad_body", "the body ended early") from error


_ONE: Final = {404: "unknown_command: this device has no such command; the agent forgets it"}

ROUTES: Final[list[Route[Any]]] = [
    Route(
        "GET", "/api/fleet/edge/{id}/commands", "offers", Scope.DEVICE, "agents",
        "What the device is to run, and what it is to stop",
        offers, OffersQuery, {200: Answer("Both may be empty.", CommandOffers)},
        errors={503: "too_many_waiting: come back after Retry-After, or ask without `wait`"},
    ),
    Route(
        "POST", "/api/fleet/edge/{id}/commands/{command}/report", "report_command", Scope.DEVICE, "agents",
        "What became of a command; answered after the centre's commit",
        report, NoQuery, {204: Answer("Stored, or discarded as known or older.")}, REPORT,
        errors={**_ONE, 400: "bad_body, bad_report"},
    ),
    Route(
        "PUT", "/api/fleet/edge/{id}/commands/{command}/artifact", "put_artifact", Scope.DEVICE, "agents",
        "Bring the file of a command, before its final report",
        put_artifact, ArtifactQuery,
        {201: Answer("Stored.", ArtifactStored), 200: Answer("It was here already.", ArtifactStored)},
        ARTIFACT,
        errors={
            **_ONE,
            400: "bad_body, bad_query",
            409: "ended, artifact_quota: give up on the file",
            413: "too_large: `max` bytes are taken",
            503: "busy, storage, too_slow: come back after Retry-After",
        },
    ),
]  # fmt: skip
