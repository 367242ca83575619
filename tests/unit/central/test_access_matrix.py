"""Every route × everybody who may ask × his own and a foreign device, generated from the route table.

What must come out is computed here from a route's scope, area and path alone. A route that is added is
covered without a word in this file; one that forgets its scope fails.
"""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson
import pytest
from aiohttp import web

from central_sync.api.route import Call, NoQuery, Route
from central_sync.api.server import ROUTES
from central_sync.services.access.roles import RANK, Role, Scope
from central_sync.services.access.tokens import TokenRow, digest, mint
from central_sync.services.audit.entries import Actor
from central_sync.services.people.sessions import SessionRow, UserRow
from central_sync.store import rows, sessions, tokens, users
from tests.unit.central.conftest import FakeClock, Foundation, House, house_on

OWN: Final = "own-1"
FOREIGN: Final = "foreign-9"
LIMITS: Final = {"site": "north"}
LEAST: Final = {
    Scope.DEVICE_OR_VIEWER: Role.VIEWER,
    Scope.VIEWER: Role.VIEWER,
    Scope.OPERATOR: Role.OPERATOR,
    Scope.ENGINEER: Role.ENGINEER,
    Scope.ADMIN: Role.ADMIN,
}
# Path parameters that must look like something; all others name nothing that there is.
PLACES: Final = {"hash": "0" * 64, "version": "1"}
GENERIC: Final = {"role", "area", "other_device", "device_token", "device_only"}
CLI: Final = Actor("cli", "test")
# How long an answer may wait for something to happen: who shall be let in, and waits so long, was. A refusal
# waits for nothing, and gets the time of a busy machine.
PATIENCE_SECONDS: Final = 3.0
REFUSAL_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Asker:
    """Somebody who asks, and what is known of him. ended: whether his token is expired or revoked."""

    name: str
    role: Role | None = None
    device: str | None = None
    limited: bool = False
    area: bool = True
    ended: bool = False
    known: bool = True
    cookie: bool = False
    origin: bool = True
    headers: dict[str, str] = field(default_factory=dict)


ASKERS: Final = [
    Asker("nobody", known=False),
    Asker("own device", device=OWN),
    Asker("foreign device", device=FOREIGN),
    *(Asker(role, role) for role in Role),
    *(Asker(f"limited {role}", role, limited=True) for role in Role),
    Asker("wrong area", Role.ADMIN, area=False),
    Asker("expired", Role.ADMIN, ended=True),
    Asker("revoked", Role.ADMIN, ended=True),
    Asker("expired device", device=OWN, ended=True),
    Asker("session", Role.ADMIN, cookie=True),
    Asker("session without Origin", Role.ADMIN, cookie=True, origin=False),
    Asker("limited session", Role.ADMIN, limited=True, cookie=True),
]


# --- what the rules say -------------------------------------------------------------------------------------


def expected(route: Route[Any], asker: Asker, device: str) -> int:
    """The status of a refusal; 200: it is let in."""
    if route.scope is Scope.PUBLIC:
        return 200
    if not asker.known or asker.ended:
        return 401
    if asker.cookie and not asker.origin and route.method != "GET":
        return 403
    if asker.device is not None:
        is_own = "{id}" in route.path and asker.device == device
        return 200 if is_own and route.scope in (Scope.DEVICE, Scope.DEVICE_OR_VIEWER) else 403
    return _of_role(route, asker, device)


def _of_role(route: Route[Any], asker: Asker, device: str) -> int:
    least = LEAST.get(route.scope)
    if least is None or asker.role is None or RANK[asker.role] < RANK[least] or not asker.area:
        return 403
    if asker.limited and "{id}" in route.path and device == FOREIGN:
        return 404
    return 200


# --- who asks, and what there is ----------------------------------------------------------------------------


async def settle(house: House) -> list[Asker]:
    """Two devices, one within the limits, things that belong to each, and everybody's credentials."""
    now = house.clock.wall_ms()

    def work(connection: Any) -> list[Asker]:
        for device in (OWN, FOREIGN):
            rows.require_device(connection, device, now)
        sql = "INSERT INTO device_label SELECT no, ?, ?, 1 FROM device WHERE id = ?"
        for key, value in LIMITS.items():
            connection.execute(sql, (key, value, OWN))
        return [replace(asker, headers=_credential(connection, house, asker, now)) for asker in ASKERS]

    askers = await house.centre.store.write(work)
    await _seed(house)
    return askers


def _credential(connection: Any, house: House, asker: Asker, now: int) -> dict[str, str]:
    limits = LIMITS if asker.limited else {}
    if not asker.known:
        return {}
    if asker.cookie:
        origin = {"Origin": house.centre.url} if asker.origin else {}
        return {"Cookie": f"__Host-holdfast={_session(connection, asker, limits, now)}", **origin}
    areas = None if asker.area else frozenset({"elsewhere:read"})
    text, row = mint(asker.role, asker.device, now - 10, labels=limits, areas=areas)
    if asker.ended:
        row = _ended(row, asker, now)
    tokens.insert_token(connection, row, CLI)
    return {"Authorization": f"Bearer {text}"}


def _ended(row: TokenRow, asker: Asker, now: int) -> TokenRow:
    return replace(row, revoked=now) if asker.name == "revoked" else replace(row, expires=now)


def _session(connection: Any, asker: Asker, limits: dict[str, str], now: int) -> str:
    number = f"{len(users.users(connection, None, 100)):012x}"
    user = UserRow(number, f"user-{number}", "", asker.role or Role.VIEWER, limits, None, now)
    users.insert_user(connection, user, CLI)
    row = SessionRow(number, digest("A" * 43), number, now, now + 60_000, now, None, "", "")
    assert sessions.begin_session(connection, user, row, None)
    return f"hs_{number}_{'A' * 43}"


async def _seed(house: House) -> None:
    """What lists could show of the foreign device."""
    for method, path, body in (
        ("POST", "/api/fleet/commands", {"type": "ping", "targets": {"devices": [FOREIGN]}}),
        ("PATCH", f"/api/fleet/devices/{FOREIGN}", {"name": f"name of {FOREIGN}"}),
        ("POST", "/api/fleet/provision/pre-register", {"device_id": f"{FOREIGN}-b"}),
        ("PUT", f"/api/fleet/edge/{FOREIGN}/config", {"connections": []}),
    ):
        answer = await house.ask(method, path, "admin", orjson.dumps(body))
        assert answer.status < 300, (path, answer.body)
    script = {"name": "oil", "hook_type": "transform", "source": "def transform(frame):\n    pass\n"}
    made = await house.ask("POST", "/api/fleet/scripts", "admin", orjson.dumps(script))
    for device in (OWN, FOREIGN):
        path = f"/api/fleet/scripts/{made.json['id']}/assignment"
        wanted = orjson.dumps({"devices": [device], "mode": "add"})
        assert (await house.ask("PUT", path, "admin", wanted)).status == 200


# --- asking -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Heard:
    status: int
    body: bytes
    code: str = ""


async def ask(house: House, route: Route[Any], asker: Asker, device: str) -> Heard:
    """With a body and parameters that are as small as can be."""
    place = {**PLACES, "id": device}
    path = re.sub(r"\{(\w+)\}", lambda match: place.get(match[1], "none-such"), route.path)
    needed = [item.alias or name for name, item in route.query.model_fields.items() if item.is_required()]
    headers = dict(asker.headers)
    may_wait = expected(route, asker, device) == 200
    if route.body is not None:
        headers["Content-Type"] = route.body.content_type
    body = b"{}" if route.body is not None else None
    request = house.session.request(
        route.method, house.url(path), params=dict.fromkeys(needed, "x"), data=body, headers=headers,
        timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS if may_wait else REFUSAL_SECONDS),
    )  # fmt: skip
    try:
        async with request as response:
            if response.content_type == "text/event-stream":
                return Heard(response.status, b"")
            content = await response.read()
            code = (
                orjson.loads(content)["code"] if response.content_type == "application/problem+json" else ""
            )
            return Heard(response.status, content, code)
    except TimeoutError:
        if not may_wait:
            raise
        return Heard(200, b"")


def judge(route: Route[Any], asker: Asker, device: str, heard: Heard) -> str:
    """What is wrong; empty: nothing."""
    wanted = expected(route, asker, device)
    if wanted == 200:
        return _judge_let_in(route, asker, device, heard)
    if heard.status != wanted:
        return f"{heard.status} {heard.code} instead of {wanted}"
    if wanted == 404 and heard.code != "unknown_device":
        return f"404 {heard.code} tells that the device is there"
    return "" if heard.code else "a refusal without a problem document"


def _judge_let_in(route: Route[Any], asker: Asker, device: str, heard: Heard) -> str:
    own_codes = set(re.findall(r"[a-z_]+", route.errors.get(heard.status, ""))) - GENERIC
    if heard.status in (401, 403) and heard.code not in own_codes:
        return f"{heard.status} {heard.code} instead of being let in"
    if heard.status == 405 or (heard.status >= 500 and heard.code not in own_codes):
        return f"{heard.status} {heard.code}"
    if heard.code == "unknown_device":
        return f"{device} is there and in sight"
    if asker.limited:
        if "limited" in route.errors.get(403, "") and heard.status < 300:
            return f"{heard.status} although this concerns all devices"
        if device == OWN and FOREIGN.encode() in heard.body:
            return "shows a foreign device"
    return ""


@dataclass(frozen=True)
class Furnished:
    """A centre's data with everybody and everything in it. Who comes with a cookie names the centre that he
    asks: `askers` takes its address."""

    foundation: Foundation
    _askers: list[Asker]

    def askers(self, url: str) -> list[Asker]:
        return [
            replace(asker, headers={**asker.headers, "Origin": url}) if "Origin" in asker.headers else asker
            for asker in self._askers
        ]


@pytest.fixture(scope="module")
def furnished(foundation: Foundation, tmp_path_factory: pytest.TempPathFactory) -> Furnished:
    data = tmp_path_factory.mktemp("furnished") / "data"

    async def furnish() -> list[Asker]:
        async with house_on(foundation, data, FakeClock()) as house:
            return await settle(house)

    return Furnished(Foundation(data, foundation.tokens), asyncio.run(furnish()))


async def holes(furnished: Furnished, data: Path, route: Route[Any]) -> list[str]:
    """Where a running centre differs from what `route` says."""
    async with house_on(furnished.foundation, data, FakeClock()) as house:
        return await _holes(house, route, furnished.askers(house.centre.url))


async def _holes(house: House, route: Route[Any], askers: list[Asker]) -> list[str]:
    """Refusals are tried first: who is let in may change what there is."""
    devices = (OWN, FOREIGN) if "{id}" in route.path else (OWN,)
    cases = [(asker, device) for asker in askers for device in devices]
    cases.sort(key=lambda case: expected(route, *case) == 200)
    found: list[str] = []
    for asker, device in cases:
        wrong = judge(route, asker, device, await ask(house, route, asker, device))
        if wrong:
            found.append(f"{route.method} {route.path}: {asker.name} about {device}: {wrong}")
    return found


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
async def test_everybody_gets_what_the_route_says_and_nothing_else(
    furnished: Furnished, tmp_path: Path, route: Route[Any]
) -> None:
    assert await holes(furnished, tmp_path / "data", route) == []


async def test_who_is_not_limited_does_see_the_foreign_device(furnished: Furnished, tmp_path: Path) -> None:
    """Or its absence in limited lists would prove nothing."""
    async with house_on(furnished.foundation, tmp_path / "data", FakeClock()) as house:
        for path in (
            "/api/fleet/devices",
            "/api/fleet/commands",
            "/api/fleet/provision/pre-registered",
            "/api/fleet/scripts",
        ):
            answer = await house.ask("GET", path, "admin")
            assert FOREIGN.encode() in answer.body, path


# --- the matrix can fail ------------------------------------------------------------------------------------


def _named(name: str) -> Route[Any]:
    return next(route for route in ROUTES if route.name == name)


@contextmanager
def forgotten(route: Route[Any], **changes: Any) -> Iterator[None]:
    """The table holds a route that forgot something; who judges knows what it should be."""
    place = ROUTES.index(route)
    ROUTES[place] = replace(route, **changes)
    try:
        yield
    finally:
        ROUTES[place] = route


async def _leak(_call: Call[NoQuery]) -> web.Response:
    await asyncio.sleep(0)
    return web.json_response({"items": [FOREIGN], "next": None})


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("revoke_credentials", {"scope": Scope.PUBLIC}),
        ("put_config", {"scope": Scope.VIEWER}),
        ("users", {"scope": Scope.ENGINEER}),
        ("device", {"scope": Scope.DEVICE_OR_VIEWER}),
        ("heartbeat", {"scope": Scope.DEVICE_OR_VIEWER}),
        ("device", {"scope": Scope.OPERATOR}),
        ("device", {"tag": "elsewhere"}),
        ("devices", {"handler": _leak}),
        ("users", {"handler": _leak, "query": NoQuery}),
    ],
)
async def test_a_route_that_forgets_whom_it_is_for_is_found(
    furnished: Furnished, tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    route = _named(name)
    with forgotten(route, **changes):
        assert await holes(furnished, tmp_path / "data", route)
