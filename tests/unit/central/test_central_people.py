"""People: one-time links, logging in, sessions, who may be locked out, and what admins may do to them."""

import asyncio
import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from multidict import CIMultiDict

from central_sync.app import people
from central_sync.services.access.roles import Role
from central_sync.services.audit.entries import Actor
from central_sync.services.people.passwords import Cost, Passwords, hash_password
from central_sync.services.people.sessions import SessionRow, UserRow
from central_sync.store import sessions, users
from central_sync.store.database import connect, prepare, transaction
from tests.unit.central.conftest import Answer, House, OpenHouse
from tests.unit.central.edge import T0

PASSWORD = "four quiet rivers run"
OTHER = "nine loud storms pass"


async def send(
    house: House, method: str, path: str, body: Any = None, cookie: str | None = None, **headers: str
) -> Answer:
    """As a page of the centre does, with a session's cookie or without."""
    headers.setdefault("Origin", house.centre.url)
    if cookie is not None:
        headers["Cookie"] = f"__Host-holdfast={cookie}"
    content = None if body is None else orjson.dumps(body)
    return await house.ask(method, path, None, content, **headers)


def cookie_of(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    text: str = answer.headers["Set-Cookie"]
    assert text.startswith("__Host-holdfast=hs_")
    assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} <= set(text.split("; "))
    return text.partition("=")[2].partition(";")[0]


async def add_user(
    house: House, login: str, role: str, labels: Mapping[str, str] | None = None, password: str = PASSWORD
) -> str:
    made = await asyncio.to_thread(
        people.create_user, house.data, login, "", role, dict(labels or {}), password
    )
    return made.id


async def log_in(house: House, login: str, password: str = PASSWORD, **headers: str) -> str:
    body = {"login": login, "password": password}
    return cookie_of(await send(house, "POST", "/api/fleet/login", body, **headers))


async def status(house: House, cookie: str, path: str = "/api/fleet/me") -> int:
    return (await send(house, "GET", path, cookie=cookie)).status


async def try_password(house: House, login: str, password: str, **headers: str) -> Answer:
    body = {"login": login, "password": password}
    return await send(house, "POST", "/api/fleet/login", body, **headers)


async def actions(house: House) -> list[str]:
    page = await house.get("/api/fleet/audit-logs?limit=1000", "admin")
    return [entry["action"] for entry in page["items"]]


async def link_token(house: House, login: str | None = None) -> str:
    link = await asyncio.to_thread(people.setup_link, house.data, login, house.centre.url, house.clock)
    assert link.url.startswith(f"{house.centre.url}/setup#")
    return link.url.partition("#")[2]


# --- the first admin ----------------------------------------------------------------------------------------


async def test_the_link_makes_the_first_admin_once_and_logs_him_in(open_house: OpenHouse) -> None:
    async with open_house() as house:
        token = await link_token(house)
        body = {"token": token, "login": "kim", "name": "Kim Min", "password": PASSWORD}
        cookie = cookie_of(await send(house, "POST", "/api/fleet/setup", body))
        me = (await send(house, "GET", "/api/fleet/me", cookie=cookie)).json
        assert (me["kind"], me["login"], me["role"]) == ("user", "kim", "admin")
        again = await send(house, "POST", "/api/fleet/setup", {**body, "login": "lee"})
        assert (again.status, again.json["code"]) == (400, "bad_link")
        assert {"user.create", "login"} <= set(await actions(house))


async def test_a_new_link_for_the_first_admin_ends_the_one_before(open_house: OpenHouse) -> None:
    async with open_house() as house:
        old, new = await link_token(house), await link_token(house)
        body = {"login": "kim", "password": PASSWORD}
        assert (await send(house, "POST", "/api/fleet/setup", {"token": old, **body})).status == 400
        assert (await send(house, "POST", "/api/fleet/setup", {"token": new, **body})).status == 200


async def test_a_link_expires_after_a_day(open_house: OpenHouse) -> None:
    async with open_house() as house:
        admin = await add_user(house, "root-user", "admin")
        made = await house.ask("POST", f"/api/fleet/users/{admin}/setup-link")
        assert made.json["expires"] == house.clock.wall_ms() + 86_400_000
        house.clock.advance(86_400)
        body = {"token": made.json["path"].partition("#")[2], "password": OTHER}
        answer = await send(house, "POST", "/api/fleet/setup", body)
        assert (answer.status, answer.json["code"]) == (400, "bad_link")


async def test_a_users_link_sets_his_password_and_ends_his_sessions(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await add_user(house, "kim", "viewer")
        before = await log_in(house, "kim")
        body = {"token": await link_token(house, "kim"), "password": OTHER}
        after = cookie_of(await send(house, "POST", "/api/fleet/setup", body))
        assert (await status(house, before), await status(house, after)) == (401, 200)
        assert (await try_password(house, "kim", PASSWORD)).status == 401


async def test_without_argon2_logging_in_says_what_to_install(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "argon2", None)
    async with open_house() as house:
        link = {"token": await link_token(house), "login": "kim", "password": PASSWORD}
        for answer in (
            await send(house, "POST", "/api/fleet/setup", link),
            await try_password(house, "kim", PASSWORD),
        ):
            assert (answer.status, answer.json["code"]) == (503, "no_argon2")
            assert "pip install 'holdfast[central]'" in answer.json["detail"]


async def test_weak_passwords_are_refused_with_what_to_do(open_house: OpenHouse) -> None:
    async with open_house() as house:
        token = await link_token(house)
        for password in ("short", "aaaaaaaaaaaa", "my kimchi pot", "the nim-mik way"):
            body = {"token": token, "login": "kimmin", "name": "Kim", "password": password}
            answer = await send(house, "POST", "/api/fleet/setup", body)
            if password != "the nim-mik way":
                assert (answer.status, answer.json["code"]) == (400, "weak_password"), password
                assert password not in answer.body.decode()


# --- sessions -----------------------------------------------------------------------------------------------


async def test_logging_out_ends_the_session_at_once_and_takes_the_cookie_away(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await add_user(house, "kim", "viewer")
        cookie = await log_in(house, "kim")
        answer = await send(house, "POST", "/api/fleet/logout", cookie=cookie)
        assert answer.status == 204
        assert "Max-Age=0" in answer.headers["Set-Cookie"]
        assert await status(house, cookie) == 401


async def test_the_cookie_is_kept_hashed_alone(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await add_user(house, "kim", "viewer")
        secret = (await log_in(house, "kim")).split("_", 2)[2]
        token = await link_token(house, "kim")
        assert len(secret) == 43
        stored = b"".join([path.read_bytes() for path in house.data.iterdir()])
        assert secret.encode() not in stored
        assert token.encode() not in stored
        assert PASSWORD.encode() not in stored


async def test_a_session_changes_nothing_for_a_page_of_another_site(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await add_user(house, "kim", "admin")
        cookie = f"__Host-holdfast={await log_in(house, 'kim')}"
        path = "/api/fleet/users"
        own = house.centre.url
        for headers in (
            {},
            {"Origin": "https://evil.example.com"},
            {"Origin": "null"},
            {"Origin": own.replace("http:", "https:")},
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site"},
            {"Origin": "https://evil.example.com", "Sec_Fetch_Site": "same-origin"},
        ):
            answer = await house.ask("POST", path, None, b"{}", Cookie=cookie, **headers)
            assert (answer.status, answer.json["code"]) == (403, "origin"), headers
        for headers in ({"Origin": own}, {"Sec_Fetch_Site": "same-origin"}):
            assert (await house.ask("POST", path, None, b"{}", Cookie=cookie, **headers)).status == 400
        assert (await house.ask("GET", path, None, Cookie=cookie)).status == 200
        assert (await house.ask("POST", path, "admin", b"{}", Cookie=cookie)).status == 400


async def test_nobody_is_logged_in_by_a_page_of_another_site(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await add_user(house, "kim", "viewer")
        answer = await try_password(house, "kim", PASSWORD, Origin="https://evil.example.com")
        assert (answer.status, answer.json["code"]) == (403, "origin")


async def test_behind_a_proxy_the_origin_is_the_one_that_browsers_see(open_house: OpenHouse) -> None:
    async with open_house(behind_proxy="192.0.2.0/28") as house:
        await add_user(house, "kim", "viewer")
        seen = {"X_Forwarded_Host": "fleet.example.com", "X_Forwarded_For": "203.0.113.9, 192.0.2.3"}
        cookie = await log_in(house, "kim", Origin="https://fleet.example.com", **seen)
        listed = await send(house, "GET", "/api/fleet/me/sessions", cookie=cookie)
        assert [entry["address"] for entry in listed.json["items"]] == ["203.0.113.9"]
        wrong = await send(house, "POST", "/api/fleet/logout", cookie=cookie, **seen)
        assert wrong.status == 403
        right = {**seen, "Origin": "https://fleet.example.com"}
        assert (await send(house, "POST", "/api/fleet/logout", cookie=cookie, **right)).status == 204


async def test_the_line_that_a_proxy_adds_counts_and_not_the_clients_own(open_house: OpenHouse) -> None:
    """HAProxy's `option forwardfor` adds a header line: the client's own stands before it."""
    async with open_house(behind_proxy="192.0.2.0/28") as house:
        await add_user(house, "kim", "viewer")
        headers = CIMultiDict({"Content-Type": "application/json", "Origin": "https://fleet.example.com"})
        for name in ("192.0.2.99", "203.0.113.9"):
            headers.add("X-Forwarded-For", name)
        for name in ("evil.example.com", "fleet.example.com"):
            headers.add("X-Forwarded-Host", name)
        body = orjson.dumps({"login": "kim", "password": PASSWORD})
        async with house.session.post(house.url("/api/fleet/login"), data=body, headers=headers) as answer:
            assert answer.status == 200
            cookie = answer.headers["Set-Cookie"].partition("=")[2].partition(";")[0]
        listed = await send(house, "GET", "/api/fleet/me/sessions", cookie=cookie)
        assert [entry["address"] for entry in listed.json["items"]] == ["203.0.113.9"]


async def test_without_a_proxy_nobody_says_where_he_comes_from(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await add_user(house, "kim", "viewer")
        cookie = await log_in(house, "kim", X_Forwarded_For="203.0.113.9")
        listed = await send(house, "GET", "/api/fleet/me/sessions", cookie=cookie)
        assert [entry["address"] for entry in listed.json["items"]] == ["127.0.0.1"]


async def test_a_session_ends_without_use_and_after_its_life(open_house: OpenHouse) -> None:
    async with open_house(sessions={"idle": "10m", "lifetime": "1h"}) as house:
        await add_user(house, "kim", "viewer")
        idle, used = await log_in(house, "kim"), await log_in(house, "kim")
        for _ in range(5):
            house.clock.advance(595)
            assert await status(house, used) == 200
        assert await status(house, idle) == 401
        house.clock.advance(595)
        assert await status(house, used) == 200
        house.clock.advance(30)
        assert await status(house, used) == 401


async def test_a_restart_keeps_sessions_and_when_they_were_used(open_house: OpenHouse) -> None:
    async with open_house(sessions={"idle": "20m", "lifetime": "2h"}) as house:
        await add_user(house, "kim", "viewer")
        cookie = await log_in(house, "kim")
        house.clock.advance(900)
        used = house.clock.wall_ms()
        assert await status(house, cookie) == 200
        async with asyncio.timeout(10):
            while (await last_used(house, cookie)) != used:
                house.clock.advance(1)
                await asyncio.sleep(0.01)
    async with open_house(sessions={"idle": "20m", "lifetime": "2h"}) as house:
        house.clock.advance((used - house.clock.wall_ms()) / 1000 + 1_190)
        assert await status(house, cookie) == 200


async def last_used(house: House, cookie: str) -> int:
    sql = "SELECT last_used FROM session WHERE id = ?"
    session = cookie.split("_")[1]
    row = await house.centre.store.quick(lambda connection: connection.execute(sql, (session,)).fetchone())
    return int(row[0])


async def test_one_sees_and_ends_ones_own_sessions_alone(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await add_user(house, "kim", "viewer")
        await add_user(house, "lee", "viewer")
        first, second, lees = [await log_in(house, login) for login in ("kim", "kim", "lee")]
        listed = (await send(house, "GET", "/api/fleet/me/sessions", cookie=first)).json["items"]
        ids = [cookie.split("_")[1] for cookie in (first, second, lees)]
        assert {entry["id"]: entry["current"] for entry in listed} == {ids[0]: True, ids[1]: False}
        path = "/api/fleet/me/sessions/"
        assert (await send(house, "DELETE", path + ids[2], cookie=first)).status == 404
        assert (await send(house, "DELETE", path + ids[1], cookie=first)).status == 204
        assert [await status(house, cookie) for cookie in (first, second, lees)] == [200, 401, 200]


async def test_a_changed_password_ends_all_other_sessions(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await add_user(house, "kim", "viewer")
        here, there = await log_in(house, "kim"), await log_in(house, "kim")
        path = "/api/fleet/me/password"
        wrong = await send(house, "POST", path, {"current": "not this one", "new": OTHER}, cookie=here)
        assert (wrong.status, wrong.json["code"]) == (401, "bad_login")
        good = await send(house, "POST", path, {"current": PASSWORD, "new": OTHER}, cookie=here)
        assert good.status == 204
        assert (await status(house, here), await status(house, there)) == (200, 401)
        assert (await try_password(house, "kim", PASSWORD)).status == 401
        await log_in(house, "kim", OTHER)


async def test_a_token_is_no_session(open_house: OpenHouse) -> None:
    async with open_house() as house:
        for method, path, body in (
            ("POST", "/api/fleet/logout", None),
            ("POST", "/api/fleet/me/password", b'{"current": "x", "new": "y"}'),
        ):
            answer = await house.ask(method, path, "admin", body)
            assert answer.status in (400, 403), path
        me = await house.get("/api/fleet/me", "viewer")
        assert (me["kind"], me["role"], me["session"]) == ("token", "viewer", None)


# --- what admins do -----------------------------------------------------------------------------------------


async def test_a_disabled_user_is_out_on_the_next_request_his_tokens_too(open_house: OpenHouse) -> None:
    async with open_house() as house:
        user = await add_user(house, "kim", "operator")
        cookie = await log_in(house, "kim")
        body = {"name": "report", "role": "viewer"}
        made = await send(house, "POST", "/api/fleet/tokens", body, cookie=cookie)
        house.tokens["his"] = made.json["secret"]
        assert (await house.ask("GET", "/api/fleet/stats", "his")).status == 200
        patch = b'{"disabled": true}'
        assert (await house.ask("PATCH", f"/api/fleet/users/{user}", "admin", patch)).status == 200
        assert await status(house, cookie) == 401
        assert (await house.ask("GET", "/api/fleet/stats", "his")).status == 401
        assert (await try_password(house, "kim", PASSWORD)).status == 401
        await asyncio.to_thread(people.patch_user, house.data, "kim", disabled=False)
        assert (await house.ask("GET", "/api/fleet/stats", "his")).status == 200
        assert await status(house, cookie) == 401


async def test_what_the_command_line_takes_away_is_gone_on_the_next_request(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await add_user(house, "kim", "admin")
        await add_user(house, "lee", "admin")
        cookie = await log_in(house, "kim")
        assert await status(house, cookie, "/api/fleet/users") == 200
        await asyncio.to_thread(people.patch_user, house.data, "kim", role="viewer")
        assert await status(house, cookie, "/api/fleet/users") == 403
        await asyncio.to_thread(people.set_password, house.data, "kim", OTHER)
        assert await status(house, cookie) == 401


async def test_the_last_admin_can_neither_be_disabled_nor_lose_his_role(open_house: OpenHouse) -> None:
    async with open_house() as house:
        user = await add_user(house, "kim", "admin")
        await add_user(house, "lee", "admin", {"site": "north"})
        path = f"/api/fleet/users/{user}"
        for patch in (b'{"disabled": true}', b'{"role": "viewer"}', b'{"labels": {"site": "north"}}'):
            answer = await house.ask("PATCH", path, "admin", patch)
            assert (answer.status, answer.json["code"]) == (409, "last_admin")
        await add_user(house, "min", "admin")
        assert (await house.ask("PATCH", path, "admin", b'{"role": "viewer"}')).status == 200


async def test_a_user_made_over_the_api_gets_a_link_that_a_repeat_does_not_show(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        body = b'{"login": "kim", "role": "engineer", "labels": {"site": "north"}}'
        made, again = [
            await house.ask("POST", "/api/fleet/users", "admin", body, Idempotency_Key="k") for _ in range(2)
        ]
        assert (made.status, again.status) == (201, 201)
        assert again.json == {"user": made.json["user"], "link": None}
        token = made.json["link"]["path"].partition("#")[2]
        cookie = cookie_of(
            await send(house, "POST", "/api/fleet/setup", {"token": token, "password": PASSWORD})
        )
        me = (await send(house, "GET", "/api/fleet/me", cookie=cookie)).json
        assert (me["role"], me["labels"]) == ("engineer", {"site": "north"})
        listed = await house.get("/api/fleet/users", "admin")
        assert [entry["has_password"] for entry in listed["items"]] == [True]
        taken = await house.ask("POST", "/api/fleet/users", "admin", body)
        assert (taken.status, taken.json["code"]) == (409, "login_taken")


# --- lock-out -----------------------------------------------------------------------------------------------


async def test_an_account_is_held_up_after_failures_for_longer_each_time(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await add_user(house, "kim", "admin")
        for _ in range(5):
            assert (await try_password(house, "kim", OTHER)).status == 401
        held = await try_password(house, "kim", PASSWORD)
        assert (held.status, held.json["code"], held.headers["Retry-After"]) == (429, "locked_out", "30")
        house.clock.advance(30)
        assert (await try_password(house, "kim", OTHER)).status == 401
        held = await try_password(house, "kim", PASSWORD)
        assert (held.status, held.headers["Retry-After"]) == (429, "60")
    async with open_house() as house:
        assert (await try_password(house, "kim", PASSWORD)).status == 429, "a restart cleared it"
        house.clock.advance(60)
        await log_in(house, "kim")
        assert {"login.failed", "login.locked"} <= set(await actions(house))


async def test_guessing_elsewhere_does_not_lock_out_where_one_was_logged_in(open_house: OpenHouse) -> None:
    async with open_house(behind_proxy="192.0.2.0/28") as house:
        await add_user(house, "kim", "admin")
        home, away = {"X_Forwarded_For": "203.0.113.9"}, {"X_Forwarded_For": "198.51.100.7"}
        origin = {"Origin": house.centre.url.replace("http:", "https:")}
        await log_in(house, "kim", **home, **origin)
        for _ in range(5):
            await try_password(house, "kim", OTHER, **away, **origin)
        assert (await try_password(house, "kim", PASSWORD, **away, **origin)).status == 429
        await log_in(house, "kim", **home, **origin)


async def test_unknown_logins_are_answered_as_known_ones_are(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await add_user(house, "kim", "viewer")
        answers = {
            login: [await try_password(house, login, OTHER) for _ in range(6)] for login in ("kim", "nobody")
        }
        known, unknown = (
            [(a.status, {**a.json, "request_id": ""}) for a in found] for found in answers.values()
        )
        assert known == unknown


async def test_the_command_line_ends_a_lock_out(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await add_user(house, "kim", "admin")
        for _ in range(6):
            await try_password(house, "kim", OTHER)
        await asyncio.to_thread(people.set_password, house.data, "kim", OTHER)
        await log_in(house, "kim", OTHER)


def test_right_passwords_hold_up_nobody_at_a_shared_address(tmp_path: Path) -> None:
    """Each login counted as a failure of its address: an office behind one address was locked out."""
    address, user = "203.0.113.9", UserRow("u1", "kim", "", Role.ADMIN, {}, "hash", T0)
    with contextlib.closing(connect(prepare(tmp_path))) as connection, transaction(connection):
        users.insert_user(connection, user, Actor("cli", "test"))
        for number in range(40):
            attempt = sessions.begin_attempt(connection, "kim", address, T0 + number)
            assert attempt.wait == 0, number
            name = f"s{number}"
            row = SessionRow(name, b"", "u1", T0 + number, T0 + 10**9, T0, None, address, "")
            assert sessions.begin_session(connection, user, row, None)
        waits = [sessions.begin_attempt(connection, f"n{n}", address, T0 + 100).wait for n in range(21)]
        assert waits[:20] == [0.0] * 20
        assert waits[20] > 0, "wrong ones are counted as before"


# --- hashing ------------------------------------------------------------------------------------------------


async def test_a_password_of_another_cost_is_hashed_anew() -> None:
    passwords = Passwords(Cost(2, 64, 1))
    try:
        old = await asyncio.to_thread(hash_password, PASSWORD, Cost(1, 64, 1))
        good, new = await passwords.verify(old, PASSWORD)
        assert good
        assert new is not None
        assert await passwords.verify(new, PASSWORD) == (True, None)
        assert await passwords.verify(new, OTHER) == (False, None)
        assert await passwords.verify(None, PASSWORD) == (False, None)
    finally:
        passwords.stop()


async def test_a_login_holds_up_no_other_request(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await add_user(house, "kim", "viewer")
        logins = [asyncio.ensure_future(try_password(house, "kim", PASSWORD)) for _ in range(4)]
        served = 0
        # Fewer than an address may ask at once, however long the hashes take.
        while served < 500 and not all(login.done() for login in logins):
            await house.get("/api/fleet/health", None)
            served += 1
        assert served > 10
        assert {(await login).status for login in logins} == {200}
