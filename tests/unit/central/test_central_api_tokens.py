"""API tokens: no more rights than their maker has, an end that counts at once; and rate limits."""

import asyncio
from typing import Any

import orjson
import pytest

from central_sync import app
from central_sync.app import people
from central_sync.services.access.ratelimit import BURST_SECONDS, MAX_BUCKETS, RateLimit, subject
from central_sync.services.clock import Clock
from tests.unit.central.conftest import Answer, FakeClock, House, OpenHouse
from tests.unit.central.edge import Edge

PATH = "/api/fleet/tokens"


async def make(house: House, who: str, **rights: Any) -> Answer:
    body = orjson.dumps({"name": "report", "role": "viewer", **rights})
    return await house.ask("POST", PATH, who, body)


async def use(house: House, secret: str, path: str = "/api/fleet/stats", method: str = "GET") -> Answer:
    house.tokens["it"] = secret
    return await house.ask(method, path, "it")


async def made_token(house: House, **rights: Any) -> str:
    answer = await make(house, "admin", **rights)
    assert answer.status == 201, answer.body
    secret: str = answer.json["secret"]
    return secret


async def test_a_revoked_token_fails_on_the_next_request(open_house: OpenHouse) -> None:
    async with open_house() as house:
        secret = await made_token(house)
        assert (await use(house, secret)).status == 200
        token = secret.split("_")[1]
        assert (await house.ask("DELETE", f"{PATH}/{token}", "admin")).status == 204
        refused = await use(house, secret)
        assert (refused.status, refused.json["code"]) == (401, "bad_token")


async def test_a_token_that_another_process_revokes_fails_on_the_next_request(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await house.get("/api/fleet/stats", "operator")
        token_id = house.tokens["operator"].split("_")[1]
        assert await asyncio.to_thread(app.revoke_token, house.data, token_id)
        assert (await house.ask("GET", "/api/fleet/stats", "operator")).status == 401


async def test_known_tokens_cost_no_look_at_the_database(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await house.get("/api/fleet/me", "viewer")
        database = house.centre.store

        def rename(name: str, new: str) -> Any:
            return lambda connection: connection.execute(f"ALTER TABLE {name} RENAME TO {new}")

        await database.write(rename("token", "token_away"))
        await house.get("/api/fleet/me", "viewer")
        await database.write(rename("token_away", "token"))


async def test_an_expired_token_is_refused_the_moment_it_expires(open_house: OpenHouse) -> None:
    async with open_house() as house:
        secret = await made_token(house, expires=house.clock.wall_ms() + 60_000)
        house.clock.advance(59)
        assert (await use(house, secret)).status == 200
        house.clock.advance(1)
        refused = await use(house, secret)
        assert (refused.status, refused.json["code"]) == (401, "expired")


async def test_areas_limit_a_token_to_parts_of_the_api(open_house: OpenHouse) -> None:
    async with open_house() as house:
        secret = await made_token(house, areas=["devices:read"], role="admin")
        assert (await use(house, secret, "/api/fleet/devices")).status == 200
        for path in ("/api/fleet/stats", "/api/fleet/users", PATH):
            refused = await use(house, secret, path)
            assert (refused.status, refused.json["code"]) == (403, "area"), path


@pytest.mark.parametrize(
    ("rights", "status", "code"),
    [
        ({"expires": 1}, 400, "bad_expiry"),
        ({"areas": ["device:read"]}, 400, "bad_area"),
        ({"labels": {"a b": "c"}}, 400, "bad_body"),
        ({"role": "root"}, 400, "bad_body"),
        ({"name": ""}, 400, "bad_body"),
        ({"colour": "red"}, 400, "bad_body"),
        ({"expires": 1 << 60}, 400, "bad_body"),
    ],
)
async def test_a_token_that_makes_no_sense_is_refused(
    open_house: OpenHouse, rights: dict[str, Any], status: int, code: str
) -> None:
    async with open_house() as house:
        answer = await make(house, "admin", **rights)
        assert (answer.status, answer.json["code"]) == (status, code)


async def test_nobody_gives_more_than_he_has(open_house: OpenHouse) -> None:
    async with open_house() as house:
        limited = {"role": "admin", "labels": {"site": "north"}, "areas": ["tokens:write", "tokens:read"]}
        house.tokens["limited"] = await made_token(house, **limited)
        within: dict[str, Any] = {"labels": {"site": "north", "line": "1"}, "areas": ["tokens:read"]}
        assert (await make(house, "limited", **within)).status == 201
        for rights, code in (
            ({**within, "labels": {}}, "beyond_labels"),
            ({**within, "labels": {"site": "south"}}, "beyond_labels"),
            ({**within, "areas": None}, "beyond_areas"),
            ({**within, "areas": ["values:read"]}, "beyond_areas"),
        ):
            answer = await make(house, "limited", **rights)
            assert (answer.status, answer.json["code"]) == (403, code), rights
        answer = await make(house, "operator")
        assert (answer.status, answer.json["code"]) == (403, "not_a_person")


async def test_a_token_makes_none_that_outlives_it(open_house: OpenHouse) -> None:
    async with open_house() as house:
        end = house.clock.wall_ms() + 60_000
        house.tokens["short"] = await made_token(house, role="admin", expires=end)
        for later in ({}, {"expires": end + 1}):
            refused = await make(house, "short", **later)
            assert (refused.status, refused.json["code"]) == (403, "beyond_expiry")
        assert (await make(house, "short", expires=end)).status == 201


async def test_a_limited_admin_neither_sees_nor_revokes_tokens_of_others(open_house: OpenHouse) -> None:
    async with open_house() as house:
        house.tokens["limited"] = await made_token(house, role="admin", labels={"site": "north"})
        assert (await house.get(PATH, "limited"))["items"] == []
        other = house.tokens["viewer"].split("_")[1]
        assert (await house.ask("DELETE", f"{PATH}/{other}", "limited")).status == 404
        assert len((await house.get(PATH, "admin"))["items"]) == 4


async def test_devices_credentials_are_no_api_tokens(open_house: OpenHouse) -> None:
    async with open_house() as house:
        device = house.tokens["dev-1"].split("_")[1]
        assert (await house.ask("DELETE", f"{PATH}/{device}", "admin")).status == 404
        await house.beat(Edge(device="dev-1"))
        assert device not in [entry["id"] for entry in (await house.get(PATH, "admin"))["items"]]


async def test_a_repeated_request_makes_one_token_and_shows_its_secret_once(open_house: OpenHouse) -> None:
    async with open_house() as house:
        body = b'{"name": "report", "role": "viewer"}'
        first, again = [await house.ask("POST", PATH, "admin", body, Idempotency_Key="k") for _ in range(2)]
        assert again.json == {"token": first.json["token"], "secret": None}
        stored = b"".join([path.read_bytes() for path in house.data.iterdir()])
        assert first.json["secret"].split("_", 2)[2].encode() not in stored
        assert (await use(house, first.json["secret"])).status == 200


async def test_nobody_has_more_than_a_thousand_tokens(open_house: OpenHouse) -> None:
    async with open_house() as house:
        sql = "INSERT INTO token (id, digest, role, created) VALUES (?, x'', 'viewer', 0)"
        filling = [(f"filling-{number}",) for number in range(1_000)]
        await house.centre.store.write(lambda connection: connection.executemany(sql, filling))
        answer = await make(house, "admin")
        assert (answer.status, answer.json["code"]) == (409, "too_many_tokens")


async def test_tokens_come_in_pages_and_say_roughly_when_they_were_used(open_house: OpenHouse) -> None:
    async with open_house() as house:
        first = await house.get(f"{PATH}?limit=2", "admin")
        rest = await house.get(f"{PATH}?limit=2&cursor={first['next']}", "admin")
        ids = [entry["id"] for entry in first["items"] + rest["items"]]
        assert ids == sorted(ids, key=ids.index)
        assert len(set(ids)) == 3
        assert rest["next"] is None
        admin = house.tokens["admin"].split("_")[1]
        async with asyncio.timeout(20):
            while not await _used(house, admin):
                house.clock.advance(60)
                await asyncio.sleep(0.02)


async def _used(house: House, token: str) -> bool:
    found = (await house.get(PATH, "admin"))["items"]
    return any(entry["id"] == token and entry["last_used"] for entry in found)


async def test_the_audit_trail_names_tokens_and_never_their_secrets(open_house: OpenHouse) -> None:
    async with open_house() as house:
        secret = await made_token(house)
        await house.ask("DELETE", f"{PATH}/{secret.split('_')[1]}", "admin")
        await asyncio.to_thread(people.create_limited_token, house.data, "viewer", "x", {}, None, None)
        answer = await house.ask("GET", "/api/fleet/audit-logs?limit=1000", "admin")
        told = [entry["action"] for entry in answer.json["items"]]
        assert told.count("token.revoke") == 1
        assert "token.create" in told
        assert secret.split("_", 2)[2] not in answer.body.decode()


# --- rate limits --------------------------------------------------------------------------------------------


async def test_who_asks_too_often_is_told_when_to_come_back(open_house: OpenHouse) -> None:
    rates = {"people": 0.2, "devices": 0.2, "addresses": 0.2}
    async with open_house(rate_limits=rates) as house:
        for _ in range(int(0.2 * BURST_SECONDS)):
            await house.get("/api/fleet/me", "viewer")
        refused = await house.ask("GET", "/api/fleet/me", "viewer")
        assert (refused.status, refused.json["code"]) == (429, "rate_limited")
        assert refused.headers["Retry-After"] == "5"
        await house.get("/api/fleet/me", "admin")
        await house.beat(Edge(device="dev-1"))
        house.clock.advance(5)
        await house.get("/api/fleet/me", "viewer")


async def test_a_flood_of_bad_tokens_harms_no_good_one_at_the_same_address(open_house: OpenHouse) -> None:
    rates = {"addresses": 0.2}
    async with open_house(rate_limits=rates) as house:
        await house.get("/api/fleet/me", "viewer")
        house.tokens["bad"] = "hf_000000000000_" + "A" * 43
        found = [(await house.ask("GET", "/api/fleet/me", "bad")).status for _ in range(6)]
        assert found == [401] * 4 + [429] * 2
        await house.get("/api/fleet/me", "viewer")


def test_a_rate_limit_is_bounded_in_memory() -> None:
    clock: Clock = FakeClock()
    limit = RateLimit(1.0, clock)
    for number in range(MAX_BUCKETS + 1_000):
        assert limit.take(str(number)) == 0.0
    assert len(limit) == MAX_BUCKETS


def test_an_ipv6_client_is_its_network() -> None:
    assert subject("2001:db8::1") == subject("2001:db8::ffff:2") != subject("2001:db8:0:1::1")
    assert subject("::ffff:192.0.2.1") == subject("192.0.2.1")
