"""The operators' side of commands: types, orders, what became of them, their output and files."""

from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import Field

from central_sync.api.answers import model
from central_sync.api.bodies import read_body
from central_sync.api.parameters import Cursor, Limit, Time
from central_sync.api.route import Answer, Body, Call, NoQuery, Query, Route
from central_sync.services.access.roles import Scope
from central_sync.services.commands.service import Asker
from central_sync.services.commands.store import CommandFilter
from central_sync.services.commands.views import (
    CommandDetail,
    CommandPage,
    CommandTypes,
    LogView,
    OrderCancelled,
    OrderCreated,
    OrderRequest,
    OrderView,
)
from central_sync.services.documents import parse_model
from edge_agent.wire.commands import MAX_WAIT_SECONDS, CommandState

ORDER: Final = Body("application/json", 1 << 20, "What to do, and for which devices.", OrderRequest)
Wait = Annotated[float, Field(ge=0, le=MAX_WAIT_SECONDS, allow_inf_nan=False)]


class CommandsQuery(Query):
    device: str | None = Field(None, max_length=51, description="Only this device's.")
    type: str | None = Field(None, max_length=64, description="Only of this type.")
    state: CommandState | None = Field(None, description="Only in this state.")
    open: bool | None = Field(None, description="Only those that are not, or are, in a final state.")
    order: str | None = Field(None, max_length=64, description="Only of this order.")
    author: str | None = Field(None, max_length=200, description="Only by this author.")
    start: Time | None = Field(None, alias="from", description="Created then or later; UTC milliseconds.")
    to: Time | None = Field(None, description="Created then or before; UTC milliseconds.")
    limit: Limit = 100
    cursor: Cursor | None = None


class LogQuery(Query):
    offset: Annotated[int, Field(ge=0, lt=1 << 31)] = Field(0, description="First byte wanted.")
    wait: Wait = Field(0.0, description="Seconds to wait for text that is not there yet.")


def _asker(call: Call[Any]) -> Asker:
    return Asker(call.who, call.author, call.actor)


async def types(call: Call[NoQuery]) -> web.Response:
    return model(call.services.commands.types())


async def order(call: Call[NoQuery]) -> web.Response:
    body = await read_body(call.request, ORDER)
    request = parse_model(body, OrderRequest)
    return model(await call.services.commands.order(_asker(call), request, call.once(body)), 201)


async def commands(call: Call[CommandsQuery]) -> web.Response:
    asked = call.query
    wanted = CommandFilter(
        limits=call.who.labels,
        device=asked.device,
        type=asked.type,
        state=asked.state,
        open=asked.open,
        order=asked.order,
        author=asked.author,
        start=asked.start,
        end=asked.to,
        limit=asked.limit,
    )
    return model(await call.services.commands.page(wanted, asked.cursor))


async def command(call: Call[NoQuery]) -> web.Response:
    return model(await call.services.commands.get(call.who, _command(call)))


async def log(call: Call[LogQuery]) -> web.Response:
    query = call.query
    found = await call.services.commands.log(call.who, _command(call), query.offset, query.wait)
    if query.wait:
        await call.services.gate.require_unchanged(call.request, call.who)
    return model(found)


async def artifact(call: Call[NoQuery]) -> web.StreamResponse:
    found, blocks = await call.services.commands.artifact(call.who, _command(call))
    response = web.StreamResponse(
        headers={"Content-Type": "application/octet-stream", "Content-Length": str(found.size_bytes)}
    )
    # Of the device's choosing: what a header or a file system could misread is left out.
    name = "".join(
        letter if (letter.isascii() and letter.isalnum()) or letter in "._-" else "_" for letter in found.name
    )
    response.headers["Content-Disposition"] = f'attachment; filename="{name or "artifact"}"'
    response.headers["ETag"] = f'"{found.sha256}"'
    await response.prepare(call.request)
    async for block in blocks:
        await response.write(block)
    await response.write_eof()
    return response


async def cancel(call: Call[NoQuery]) -> web.Response:
    return model(await call.services.commands.cancel(_asker(call), _command(call)))


async def show_order(call: Call[NoQuery]) -> web.Response:
    return model(await call.services.commands.show_order(call.who, call.request.match_info["order"]))


async def cancel_order(call: Call[NoQuery]) -> web.Response:
    return model(await call.services.commands.cancel_order(_asker(call), call.request.match_info["order"]))


def _command(call: Call[Any]) -> str:
    return call.request.match_info["command"]


_ONE: Final = {404: "unknown_command: there is none, or it is not for these eyes"}
_ORDER: Final = {404: "unknown_order: there is none, or it is not for these eyes"}

ROUTES: Final[list[Route[Any]]] = [
    Route(
        "GET", "/api/fleet/commands/types", "command_types", Scope.VIEWER, "commands",
        "The types of commands, with their parameters and results as JSON Schemas",
        types, NoQuery, {200: Answer("All of them.", CommandTypes)},
    ),
    Route(
        "POST", "/api/fleet/commands", "order_commands", Scope.OPERATOR, "commands",
        "Order a command for one device or many: all get it, or none",
        order, NoQuery, {201: Answer("The order and its first commands.", OrderCreated)},
        ORDER,
        headers={"Idempotency-Key": "With the same key the same order is answered, and nothing runs twice."},
        errors={
            400: "bad_body, unknown_type, bad_params, bad_timeout, no_targets, too_many_targets, "
            "bad_selector, bad_device_id, bad_key",
            403: "role: the type needs a higher one",
            404: "unknown_device: `devices` names them",
            409: "queue_full: `devices` have too many open commands; key_reused",
        },
    ),
    Route(
        "GET", "/api/fleet/commands", "commands", Scope.VIEWER, "commands", "Commands, newest first",
        commands, CommandsQuery, {200: Answer("A page.", CommandPage)}, errors={400: "bad_query, bad_cursor"},
    ),
    Route(
        "GET", "/api/fleet/commands/{command}", "command", Scope.VIEWER, "commands",
        "One command with its history and its result",
        command, NoQuery, {200: Answer("The command.", CommandDetail)}, errors=_ONE,
    ),
    Route(
        "GET", "/api/fleet/commands/{command}/log", "command_log", Scope.VIEWER, "commands",
        "What a command put out so far; with `wait` what it puts out next",
        log, LogQuery, {200: Answer("Text from `offset` on.", LogView)},
        errors={
            **_ONE, 403: "rights_changed: while this waited; ask again",
            503: "too_many_waiting: come back after Retry-After",
        },
    ),
    Route(
        "GET", "/api/fleet/commands/{command}/artifact", "command_artifact", Scope.VIEWER, "commands",
        "The file that a command brought",
        artifact, NoQuery, {200: Answer("The file.", None, "application/octet-stream")},
        errors={404: "unknown_command, no_artifact"},
    ),
    Route(
        "POST", "/api/fleet/commands/{command}/cancel", "cancel_command", Scope.OPERATOR, "commands",
        "Cancel a command: at once where it was never offered, else its device is asked to stop it",
        cancel, NoQuery, {200: Answer("As it stands now.", CommandDetail)},
        errors={**_ONE, 409: "ended: it has ended, and not by cancelling"},
    ),
    Route(
        "GET", "/api/fleet/orders/{order}", "command_order", Scope.VIEWER, "commands",
        "An order, and how many of its commands are in which state",
        show_order, NoQuery, {200: Answer("The order.", OrderView)}, errors=_ORDER,
    ),
    Route(
        "POST", "/api/fleet/orders/{order}/cancel", "cancel_order", Scope.OPERATOR, "commands",
        "Cancel whatever of an order has not ended",
        cancel_order, NoQuery, {200: Answer("What became of its commands.", OrderCancelled)}, errors=_ORDER,
    ),
]  # fmt: skip
