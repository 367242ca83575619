"""Devices' credentials: renewed by the device, listed and revoked by operators."""

from typing import Final

from aiohttp import web

from central_sync.api.answers import model
from central_sync.api.bodies import read_model
from central_sync.api.route import Answer, Body, Call, NoQuery, Route
from central_sync.services.access.roles import Scope
from central_sync.services.enrolment.views import CredentialList, CredentialsRevoked, NewKey, Renewed

NEW_KEY: Final = Body("application/json", 4 << 10, "The new key.", NewKey)


async def renew(call: Call[NoQuery]) -> web.Response:
    body = await read_model(call.request, NEW_KEY, NewKey)
    return model(await call.services.credentials.renew(call.device, call.who.id, body.key, call.actor))


async def listed(call: Call[NoQuery]) -> web.Response:
    return model(await call.services.credentials.listed(call.device))


async def revoke_all(call: Call[NoQuery]) -> web.Response:
    return model(await call.services.credentials.revoke(call.device, None, call.actor))


async def revoke(call: Call[NoQuery]) -> web.Response:
    name = call.request.match_info["credential"]
    return model(await call.services.credentials.revoke(call.device, name, call.actor))


_UNKNOWN: Final = {404: "unknown_device"}

ROUTES: Final[list[Route[NoQuery]]] = [
    Route(
        "POST", "/api/fleet/edge/{id}/credentials", "renew_credential", Scope.DEVICE, "agents",
        "Renew the credential that asks: the old one ends when the new one is used",
        renew, NoQuery, {200: Answer("The new one; the same again for the same key.", Renewed)}, NEW_KEY,
        errors={
            400: "bad_body",
            403: "key_revoked: make a new key",
            409: "key_used, key_taken: make a new key",
            410: "key_expired: make a new key",
            413: "too_large: `max` bytes are taken",
        },
    ),
    Route(
        "GET", "/api/fleet/devices/{id}/credentials", "credentials", Scope.OPERATOR, "devices",
        "A device's credentials, newest first, without their secrets",
        listed, NoQuery, {200: Answer("All that are kept.", CredentialList)}, errors=_UNKNOWN,
    ),
    Route(
        "DELETE", "/api/fleet/devices/{id}/credentials", "revoke_credentials", Scope.ENGINEER, "devices",
        "Revoke all credentials of a device; acts on the next request",
        revoke_all, NoQuery, {200: Answer("Those that were good.", CredentialsRevoked)}, errors=_UNKNOWN,
    ),
    Route(
        "DELETE", "/api/fleet/devices/{id}/credentials/{credential}", "revoke_credential", Scope.ENGINEER,
        "devices", "Revoke one credential of a device; acts on the next request",
        revoke, NoQuery, {200: Answer("It, unless it was revoked before.", CredentialsRevoked)},
        errors={404: "unknown_device, unknown_credential"},
    ),
]  # fmt: skip
