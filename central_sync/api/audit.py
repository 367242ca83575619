"""The audit trail for admins: lists, figures, and an export as JSON lines."""

import asyncio
from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import Field

from central_sync.api.answers import model
from central_sync.api.route import Answer, Call, Query, Route
from central_sync.services.access.roles import Scope
from central_sync.services.audit.trail import AuditFilter, AuditPage, AuditStats

# How long a client may leave its end of a full connection unread.
WRITE_SECONDS: Final = 20.0
Text = Annotated[str, Field(min_length=1, max_length=200)]
Time = Annotated[int, Field(ge=0, lt=1 << 53)]


class FilterQuery(Query):
    actor: Text | None = Field(
        None, description="Who: `kind:id`.", examples=["user:7f3a91c2", "system:retention"]
    )
    action: Text | None = Field(None, description="What was done.", examples=["device.patch"])
    entity: Text | None = Field(None, description="To what kind of thing.", examples=["device"])
    name: Text | None = Field(None, description="To which one.", examples=["press-1"])
    device: str | None = Field(None, max_length=51, description="Only what concerns this device.")
    start: Time | None = Field(None, alias="from", description="UTC milliseconds, inclusive.")
    to: Time | None = Field(None, description="UTC milliseconds, inclusive.")

    @property
    def wanted(self) -> AuditFilter:
        return AuditFilter(self.actor, self.action, self.entity, self.name, self.device, self.start, self.to)


class ListQuery(FilterQuery):
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    cursor: Annotated[str, Field(max_length=2_000, description="`next` of the page before.")] | None = None


class SpanQuery(Query):
    start: Time | None = Field(
        None, alias="from", description="UTC milliseconds, inclusive; 30 days before `to` by default."
    )
    to: Time | None = Field(None, description="UTC milliseconds, inclusive; now by default.")


async def audit_logs(call: Call[ListQuery]) -> web.Response:
    query = call.query
    return model(await call.services.trail.page(call.who, query.wanted, query.cursor, query.limit))


async def audit_stats(call: Call[SpanQuery]) -> web.Response:
    return model(await call.services.trail.stats(call.who, call.query.start, call.query.to))


async def audit_export(call: Call[FilterQuery]) -> web.StreamResponse:
    parts = call.services.trail.export(call.who, call.query.wanted)
    # What is refused is refused before the answer begins.
    first = await anext(parts, b"")
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    response.headers["Content-Disposition"] = 'attachment; filename="audit.jsonl"'
    await response.prepare(call.request)
    try:
        await _send(response, first)
        async for part in parts:
            await _send(response, part)
        await response.write_eof()
    except TimeoutError:
        # Cut off in the middle: the client sees that the answer is not whole.
        if call.request.transport is not None:
            call.request.transport.abort()
    return response


async def _send(response: web.StreamResponse, part: bytes) -> None:
    """Raises TimeoutError where the client does not read."""
    async with asyncio.timeout(WRITE_SECONDS):
        await response.write(part)


_LIMITED: Final = {403: "limited: the trail concerns all devices, and you may see some of them only"}

ROUTES: Final[list[Route[Any]]] = [
    Route(
        "GET", "/api/fleet/audit-logs", "audit_logs", Scope.ADMIN, "audit",
        "Who did what to which, from where, before and after; newest first",
        audit_logs, ListQuery, {200: Answer("A page.", AuditPage)},
        errors={400: "bad_query, bad_cursor", **_LIMITED},
    ),
    Route(
        "GET", "/api/fleet/audit-logs/stats", "audit_stats", Scope.ADMIN, "audit",
        "How many changes there were, by action, actor and kind of thing",
        audit_stats, SpanQuery, {200: Answer("The figures.", AuditStats)},
        errors={400: "bad_query, bad_span", **_LIMITED},
    ),
    Route(
        "GET", "/api/fleet/audit-logs/export", "audit_export", Scope.ADMIN, "audit",
        "The same entries as JSON lines, one after the other, however many",
        audit_export, FilterQuery,
        {200: Answer("One entry a line, newest first.", None, "application/x-ndjson")},
        errors=_LIMITED,
    ),
]  # fmt: skip
