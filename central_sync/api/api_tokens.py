"""API tokens for programs: made, listed, revoked."""

from typing import Any, Final

from aiohttp import web

from central_sync.api.answers import model
from central_sync.api.bodies import read_body
from central_sync.api.parameters import PageQuery
from central_sync.api.route import Answer, Body, Call, NoQuery, Route
from central_sync.services.access.roles import Scope
from central_sync.services.documents import parse_model
from central_sync.services.people.views import NewToken, TokenCreated, TokenPage

TOKEN: Final = Body("application/json", 65_536, "The new token's rights.", NewToken)
# What tokens can be limited to: `areas` of all routes.
AREAS: Final = web.AppKey("areas", frozenset[str])


async def tokens(call: Call[PageQuery]) -> web.Response:
    return model(await call.services.api_tokens.page(call.who, call.query.cursor, call.query.limit))


async def create_token(call: Call[NoQuery]) -> web.Response:
    body = await read_body(call.request, TOKEN)
    wanted = parse_model(body, NewToken)
    areas = call.request.app[AREAS]
    made = await call.services.api_tokens.create(call.who, wanted, areas, call.actor, call.once(body))
    return model(made, 201)


async def revoke_token(call: Call[NoQuery]) -> web.Response:
    await call.services.api_tokens.revoke(call.who, call.request.match_info["token"], call.actor)
    return web.Response(status=204)


ROUTES: Final[list[Route[Any]]] = [
    Route(
        "GET", "/api/fleet/tokens", "tokens", Scope.VIEWER, "tokens",
        "One's API tokens, without their secrets; all of them for an admin who sees all devices",
        tokens, PageQuery, {200: Answer("A page, oldest first.", TokenPage)},
        errors={400: "bad_query, bad_cursor"},
    ),
    Route(
        "POST", "/api/fleet/tokens", "create_token", Scope.VIEWER, "tokens",
        "Make an API token with no more rights than one's own",
        create_token, NoQuery, {201: Answer("The token and its secret, shown once.", TokenCreated)}, TOKEN,
        headers={"Idempotency-Key": "The same key makes one token; its repeat has no secret."},
        errors={
            400: "bad_expiry, bad_area, bad_key",
            403: "not_a_person, beyond_role, beyond_labels, beyond_areas, beyond_expiry",
            409: "key_reused, too_many_tokens",
        },
    ),
    Route(
        "DELETE", "/api/fleet/tokens/{token}", "revoke_token", Scope.VIEWER, "tokens",
        "Revoke an API token; acts on the next request",
        revoke_token, NoQuery, {204: Answer("Revoked, or was already.")}, errors={404: "unknown_token"},
    ),
]  # fmt: skip
