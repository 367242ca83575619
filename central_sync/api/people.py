"""People: logging in and out, themselves, their sessions and passwords, and who there is."""

from typing import Any, Final

from aiohttp import web

from central_sync.api.answers import model
from central_sync.api.authentication import clear_cookie, set_cookie
from central_sync.api.bodies import read_body, read_model
from central_sync.api.parameters import PageQuery
from central_sync.api.route import Answer, Body, Call, NoQuery, Route
from central_sync.services.access.roles import Identity, Scope
from central_sync.services.documents import parse_model
from central_sync.services.people.views import (
    LoginBody,
    Me,
    NewUser,
    PasswordBody,
    SessionPage,
    SetupBody,
    SetupLink,
    UserCreated,
    UserPage,
    UserPatch,
    UserView,
)

_LIMIT: Final = 16_384
LOGIN: Final = Body("application/json", _LIMIT, "Login and password.", LoginBody)
SETUP: Final = Body("application/json", _LIMIT, "The link's token and a password.", SetupBody)
PASSWORD: Final = Body("application/json", _LIMIT, "The password now, and the new one.", PasswordBody)
USER: Final = Body("application/json", _LIMIT, "The new user.", NewUser)
PATCH: Final = Body("application/json", _LIMIT, "What changes.", UserPatch)


def _me(identity: Identity) -> Me:
    assert identity.role is not None, "devices are not asked who they are"
    is_person = identity.session is not None
    return Me(
        kind="user" if is_person else "token",
        id=identity.id,
        login=identity.name if is_person else None,
        name=identity.name,
        role=identity.role,
        labels=dict(identity.labels),
        areas=None if identity.areas is None else sorted(identity.areas),
        session=identity.session,
    )


def _welcome(call: Call[NoQuery], cookie: str, identity: Identity) -> web.Response:
    response = model(_me(identity))
    set_cookie(response, cookie, call.services.sessions.lifetime_ms / 1000)
    return response


def _agent(call: Call[NoQuery]) -> str:
    return call.request.headers.get("User-Agent", "")


async def login(call: Call[NoQuery]) -> web.Response:
    body = await read_model(call.request, LOGIN, LoginBody)
    cookie, identity = await call.services.sessions.login(body, call.actor.address, _agent(call))
    return _welcome(call, cookie, identity)


async def set_up(call: Call[NoQuery]) -> web.Response:
    body = await read_model(call.request, SETUP, SetupBody)
    cookie, identity = await call.services.sessions.set_up(body, call.actor.address, _agent(call))
    return _welcome(call, cookie, identity)


async def logout(call: Call[NoQuery]) -> web.Response:
    await call.services.sessions.logout(call.who, call.actor)
    response = web.Response(status=204)
    clear_cookie(response)
    return response


async def me(call: Call[NoQuery]) -> web.Response:
    return model(_me(call.who))


async def change_password(call: Call[NoQuery]) -> web.Response:
    body = await read_model(call.request, PASSWORD, PasswordBody)
    await call.services.sessions.change_password(call.who, body, call.actor)
    return web.Response(status=204)


async def sessions(call: Call[NoQuery]) -> web.Response:
    return model(await call.services.sessions.own(call.who))


async def end_session(call: Call[NoQuery]) -> web.Response:
    await call.services.sessions.end(call.who, call.request.match_info["session"], call.actor)
    return web.Response(status=204)


async def users(call: Call[PageQuery]) -> web.Response:
    return model(await call.services.users.page(call.who, call.query.cursor, call.query.limit))


async def create_user(call: Call[NoQuery]) -> web.Response:
    body = await read_body(call.request, USER)
    wanted = parse_model(body, NewUser)
    return model(await call.services.users.create(call.who, wanted, call.actor, call.once(body)), 201)


async def user(call: Call[NoQuery]) -> web.Response:
    return model(await call.services.users.get(call.who, call.request.match_info["user"]))


async def patch_user(call: Call[NoQuery]) -> web.Response:
    patch = await read_model(call.request, PATCH, UserPatch)
    return model(
        await call.services.users.patch(call.who, call.request.match_info["user"], patch, call.actor)
    )


async def create_link(call: Call[NoQuery]) -> web.Response:
    found = await call.services.users.link(call.who, call.request.match_info["user"], call.actor)
    return model(found, 201)


_LOGGED_IN: Final = "Who logged in; the cookie `__Host-holdfast` is the session."
_TRIED: Final = {
    429: "rate_limited; locked_out: too many failed logins; busy_logins: come back after Retry-After",
    503: "no_argon2: the extra `central` is not installed",
}
_SESSION: Final = {403: "no_session: this needs a login, a token is no session"}
_PERSON: Final = {403: "not_a_person: the token belongs to nobody"}
_LIMITED: Final = {403: "limited: you may see some devices only"}
_UNKNOWN: Final = {404: "unknown_user"}

ROUTES: Final[list[Route[Any]]] = [
    Route(
        "POST", "/api/fleet/login", "login", Scope.PUBLIC, "people", "Log in with a password",
        login, NoQuery, {200: Answer(_LOGGED_IN, Me)}, LOGIN,
        errors={401: "bad_login", 403: "origin: a page of another site sends it", **_TRIED},
    ),
    Route(
        "POST", "/api/fleet/setup", "set_up", Scope.PUBLIC, "people",
        "Use a one-time link: make the first admin, or set one's password",
        set_up, NoQuery, {200: Answer(_LOGGED_IN, Me)}, SETUP,
        errors={
            400: "bad_link, bad_login, weak_password", 403: "origin: a page of another site sends it",
            409: "login_taken", **_TRIED,
        },
    ),
    Route(
        "POST", "/api/fleet/logout", "logout", Scope.VIEWER, "people", "End the session that asks",
        logout, NoQuery, {204: Answer("Logged out.")}, errors={404: "unknown_session", **_SESSION},
    ),
    Route(
        "GET", "/api/fleet/me", "me", Scope.VIEWER, "people", "Who asks, and what he may do",
        me, NoQuery, {200: Answer("A person or a token.", Me)},
    ),
    Route(
        "POST", "/api/fleet/me/password", "change_password", Scope.VIEWER, "people",
        "Change one's password; all other sessions end",
        change_password, NoQuery, {204: Answer("Changed.")}, PASSWORD,
        errors={400: "weak_password", 401: "bad_login", **_SESSION, **_TRIED},
    ),
    Route(
        "GET", "/api/fleet/me/sessions", "sessions", Scope.VIEWER, "people",
        "Where one is logged in, newest first; 50 at most",
        sessions, NoQuery, {200: Answer("All of them.", SessionPage)}, errors=_PERSON,
    ),
    Route(
        "DELETE", "/api/fleet/me/sessions/{session}", "end_session", Scope.VIEWER, "people",
        "End one of one's sessions",
        end_session, NoQuery, {204: Answer("It ended.")}, errors={404: "unknown_session", **_PERSON},
    ),
    Route(
        "GET", "/api/fleet/users", "users", Scope.ADMIN, "people", "Who there is, by login",
        users, PageQuery, {200: Answer("A page.", UserPage)},
        errors={400: "bad_query, bad_cursor", **_LIMITED},
    ),
    Route(
        "POST", "/api/fleet/users", "create_user", Scope.ADMIN, "people",
        "Make a user, and a one-time link for him to set his password",
        create_user, NoQuery, {201: Answer("The user and the link.", UserCreated)}, USER,
        headers={"Idempotency-Key": "The same key makes one user; its repeat has no link."},
        errors={400: "bad_key", 409: "login_taken, key_reused", **_LIMITED},
    ),
    Route(
        "GET", "/api/fleet/users/{user}", "user", Scope.ADMIN, "people", "One user",
        user, NoQuery, {200: Answer("The user.", UserView)}, errors={**_UNKNOWN, **_LIMITED},
    ),
    Route(
        "PATCH", "/api/fleet/users/{user}", "patch_user", Scope.ADMIN, "people",
        "Change name, role or limits, disable or enable; acts on the next request, on his tokens too",
        patch_user, NoQuery, {200: Answer("The user as he is now.", UserView)}, PATCH,
        errors={409: "last_admin: nobody would be left to manage people", **_UNKNOWN, **_LIMITED},
    ),
    Route(
        "POST", "/api/fleet/users/{user}/setup-link", "create_setup_link", Scope.ADMIN, "people",
        "A one-time link for a user to set his password; older ones end",
        create_link, NoQuery, {201: Answer("The link, shown this once.", SetupLink)},
        errors={**_UNKNOWN, **_LIMITED},
    ),
]  # fmt: skip
