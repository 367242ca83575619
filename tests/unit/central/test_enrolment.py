"""Enrolment at the centre: what a token grants, who waits, who is turned away, and how credentials end."""

import asyncio
import base64
import hashlib
import json
import secrets
from typing import Any

import orjson
import pytest

from central_sync.services.enrolment.provision import credential_id
from tests.unit.central.conftest import Answer, House, OpenHouse
from tests.unit.central.edge import Edge

PROVISION = "/api/fleet/provision"


class Box:
    """A device with its own key."""

    def __init__(self, machine: str = "machine-a", **said: Any) -> None:
        self.secret = secrets.token_urlsafe(32)
        self.machine = machine
        self.said = said

    @property
    def key(self) -> str:
        return hashlib.sha256(self.secret.encode()).hexdigest()

    async def ask(self, house: House, **said: Any) -> Answer:
        body = {"key": self.key, "machine": self.machine, **self.said, **said}
        return await house.ask("POST", PROVISION, None, orjson.dumps(body))

    async def use(self, house: House, device: str, credential: str | None = None) -> int:
        """The status of a request with its credential."""
        name = credential or credential_id(bytes.fromhex(self.key))
        house.tokens["box"] = f"hf_{name}_{self.secret}"
        return (await house.ask("GET", f"/api/fleet/edge/{device}/config", "box")).status


async def prepare(house: House, **body: Any) -> Any:
    answer = await house.ask("POST", f"{PROVISION}/pre-register", "admin", orjson.dumps(body))
    assert answer.status == 201, answer.body
    return answer.json


def claims(token: str) -> Any:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


async def test_a_token_enrols_its_device_once(open_house: OpenHouse) -> None:
    async with open_house() as house:
        made = await prepare(house, device_id="press-1", zone="hall-2", labels={"site": "north"})
        first, second = Box(token=made["token"]), Box("machine-b", token=made["token"])

        answer = await first.ask(house)
        late = await second.ask(house)

        assert answer.status == 200
        assert answer.json["device_id"] == "press-1"
        assert answer.json["credential"] == credential_id(bytes.fromhex(first.key))
        assert await first.use(house, "press-1") == 404, "authenticated; there is no config yet"
        assert (late.status, late.json["code"]) == (409, "token_used")
        device = await house.get("/api/fleet/devices/press-1")
        assert device["device_id"] == "press-1"


async def test_a_lost_answer_burns_no_token(open_house: OpenHouse) -> None:
    async with open_house() as house:
        made = await prepare(house, device_id="press-1")
        box = Box(token=made["token"])

        answers = [await box.ask(house) for _ in range(3)]

        assert [answer.status for answer in answers] == [200, 200, 200]
        assert len({answer.body for answer in answers}) == 1
        [listed] = (await house.get(f"{PROVISION}/pre-registered", "admin"))["items"]
        assert (listed["used"], listed["state"]) == (1, "used")


async def test_of_two_racing_requests_with_one_token_one_wins(open_house: OpenHouse) -> None:
    async with open_house() as house:
        made = await prepare(house, labels={"site": "north"})
        boxes = [Box(f"machine-{n}", token=made["token"], device_id=f"box-{n}") for n in range(8)]

        answers = await asyncio.gather(*(box.ask(house) for box in boxes))

        assert sorted(answer.status for answer in answers) == [200, *[409] * 7]


async def test_a_token_for_a_zone_enrols_as_many_as_it_says(open_house: OpenHouse) -> None:
    async with open_house() as house:
        made = await prepare(house, zone="hall-2", uses=2)
        answers = [
            await Box(f"machine-{n}", token=made["token"], device_id=f"box-{n}").ask(house) for n in range(3)
        ]
        unnamed = await Box("machine-9", token=(await prepare(house))["token"]).ask(house)

        assert [answer.status for answer in answers] == [200, 200, 409]
        assert (unnamed.status, unnamed.json["code"]) == (400, "no_device_id")


async def test_an_expired_token_is_gone_and_a_revoked_one_refused(open_house: OpenHouse) -> None:
    async with open_house() as house:
        old = await prepare(house, device_id="press-1", valid_seconds=60)
        revoked = await prepare(house, device_id="press-2")
        ended = await house.ask("DELETE", f"{PROVISION}/pre-registered/{revoked['id']}")
        house.clock.advance(61)

        late = await Box(token=old["token"]).ask(house)
        refused = await Box(token=revoked["token"]).ask(house)

        assert ended.json["state"] == "revoked"
        assert (late.status, late.json["code"]) == (410, "token_expired")
        assert (refused.status, refused.json["code"]) == (403, "token_revoked")


async def test_a_forged_or_foreign_token_is_unknown(open_house: OpenHouse) -> None:
    async with open_house() as house:
        made = await prepare(house, device_id="press-1")
        head, body, signature = made["token"].split(".")
        none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
        for token in (f"{head}.{body}.{signature[:-4]}AAAA", f"{none}.{body}.", "nonsense", "a.b.c"):
            answer = await Box(token=token).ask(house)
            assert (answer.status, answer.json["code"]) == (404, "unknown_token"), token


async def test_a_token_says_where_and_carries_no_secret_of_the_centre(open_house: OpenHouse) -> None:
    async with open_house(enrolment={"url": "https://central.example.com"}) as house:
        made = await prepare(house, device_id="press-1", zone="hall-2")
        said = claims(made["token"])
        listed = await house.ask("GET", f"{PROVISION}/pre-registered")

        assert (said["url"], said["device"], said["zone"]) == (
            "https://central.example.com", "press-1", "hall-2",
        )  # fmt: skip
        assert said["jti"] == made["id"]
        assert made["token"].encode() not in listed.body
        assert made["token"].encode() not in (house.data / "central.db").read_bytes()


async def test_a_repeated_pre_registration_gets_its_token_again(open_house: OpenHouse) -> None:
    async with open_house() as house:
        body = orjson.dumps({"device_id": "press-1"})
        path = f"{PROVISION}/pre-register"
        answers = [await house.ask("POST", path, "admin", body, Idempotency_Key="k1") for _ in range(2)]

        assert answers[0].body == answers[1].body
        assert (await Box(token=answers[1].json["token"]).ask(house)).status == 200


async def test_hardware_that_does_not_fit_is_turned_away(open_house: OpenHouse) -> None:
    async with open_house() as house:
        made = await prepare(house, device_id="press-1", serial="SN-1")

        other = await Box(token=made["token"], serial="SN-2").ask(house)
        fitting = await Box(token=made["token"], serial="SN-1").ask(house)

        assert (other.status, other.json["code"]) == (409, "other_hardware")
        assert fitting.status == 200


async def test_a_key_is_one_machines(open_house: OpenHouse) -> None:
    async with open_house() as house:
        made = await prepare(house, device_id="press-1")
        box = Box(token=made["token"])
        await box.ask(house)

        answer = await box.ask(house, machine="machine-b")

        assert (answer.status, answer.json["code"]) == (409, "key_used")


async def test_an_id_that_is_taken_goes_to_no_other_machine_by_a_zones_token(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await Box(token=(await prepare(house, device_id="press-1"))["token"]).ask(house)
        zone = (await prepare(house, zone="hall-2", uses=5))["token"]

        stranger = await Box("machine-b", token=zone, device_id="press-1").ask(house)
        same = await Box(token=zone, device_id="press-1").ask(house)
        by_hand = await Box("machine-c", token=zone, device_id="dev-1").ask(house)

        assert (stranger.status, stranger.json["code"]) == (409, "device_taken")
        assert same.status == 200, "the same machine goes on as the same device"
        assert by_hand.status == 409, "a device with a token made by hand is taken too"


async def test_a_zones_token_takes_and_moves_no_device_that_was_placed_elsewhere(
    open_house: OpenHouse,
) -> None:
    """It moved them into its own site: into the sight of others, with the config that waited for them."""
    async with open_house() as house:
        body = orjson.dumps({"device_id": "press-1", "labels": {"site": "south"}})
        assert (await house.ask("POST", "/api/fleet/devices/register", "admin", body)).status == 201
        token = (await prepare(house, labels={"site": "north"}, uses=9))["token"]

        stranger = await Box(token=token, device_id="press-1").ask(house)
        assert (stranger.status, stranger.json["code"]) == (409, "device_taken")

        assert (await Box(token=token, device_id="press-2").ask(house)).status == 200
        path, moved = "/api/fleet/devices/press-2", orjson.dumps({"labels": {"site": "south"}})
        assert (await house.ask("PATCH", path, "admin", moved)).status == 200
        assert (await Box(token=token, device_id="press-2").ask(house)).status == 200, "the same machine"
        assert (await house.get(f"{path}/registry", "admin"))["labels"] == {"site": "south"}


async def test_new_hardware_takes_over_by_a_token_that_names_the_device(open_house: OpenHouse) -> None:
    async with open_house() as house:
        old, new = Box(), Box("machine-b")
        await old.ask(house, token=(await prepare(house, device_id="press-1"))["token"])
        assert await old.use(house, "press-1") == 404
        answer = await new.ask(house, token=(await prepare(house, device_id="press-1"))["token"])

        assert answer.status == 200
        assert await old.use(house, "press-1") == 404, "good until the new one is used"
        assert await new.use(house, "press-1") == 404
        assert await old.use(house, "press-1") == 401
        events = (await house.get("/api/fleet/devices/press-1/events"))["items"]
        assert events[0]["data"]["before"] == "machine-a"


async def test_strangers_are_unknown_unless_they_may_wait(open_house: OpenHouse) -> None:
    async with open_house() as house:
        answer = await Box(device_id="press-1").ask(house)
        assert (answer.status, answer.json["code"]) == (404, "unknown_device")
        await prepare(house, device_id="press-1", serial="SN-1")
        waits = await Box(device_id="press-1").ask(house)
        assert (waits.status, waits.json["state"]) == (202, "pending")


async def test_a_serial_enrols_without_a_token_only_where_that_was_said(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await prepare(house, device_id="press-1", serial="SN-1", without_token=True)

        other = await Box(device_id="press-1", serial="SN-9").ask(house)
        fitting = await Box(device_id="press-1", serial="SN-1").ask(house)

        assert other.status == 202
        assert fitting.status == 200


async def test_an_operator_accepts_and_rejects_who_waits(open_house: OpenHouse) -> None:
    async with open_house(enrolment={"pending": True}) as house:
        good, bad = Box(device_id="press-1"), Box("machine-b", device_id="press-2")
        first = await good.ask(house)
        house.clock.advance(1)
        await bad.ask(house)
        waiting = await house.get(f"{PROVISION}/pending", "admin")
        accepted = await house.ask("POST", f"{PROVISION}/{first.json['request']}/accept", "admin", b"{}")
        rejected = await house.ask(
            "POST",
            f"{PROVISION}/{credential_id(bytes.fromhex(bad.key))}/reject",
            "admin",
            b'{"reason": "not ours"}',
        )

        assert [item["device_id"] for item in waiting["items"]] == ["press-1", "press-2"]
        assert waiting["items"][0]["id"] == good.key[:12]
        assert accepted.json["device_id"] == "press-1"
        assert rejected.status == 200
        assert (await good.ask(house)).status == 200
        assert await good.use(house, "press-1") == 404
        refused = await bad.ask(house)
        assert (refused.status, refused.json["code"]) == (403, "rejected")
        assert "not ours" in refused.json["detail"]
        assert (await house.get(f"{PROVISION}/pending", "admin"))["items"] == []


async def test_those_who_wait_are_bounded_and_expire(open_house: OpenHouse) -> None:
    async with open_house(enrolment={"pending": True, "max_pending": 2, "pending_life": "1m"}) as house:
        answers = [await Box(f"m-{n}", device_id=f"box-{n}").ask(house) for n in range(3)]
        house.clock.advance(61)
        later = await Box("m-9", device_id="box-9").ask(house)

        assert [answer.status for answer in answers] == [202, 202, 503]
        assert "Retry-After" in answers[2].headers
        assert later.status == 202


async def test_devices_that_ask_too_often_are_held_back(open_house: OpenHouse) -> None:
    async with open_house() as house:
        statuses = [(await Box(device_id="x").ask(house)).status for _ in range(130)]

        assert statuses[0] == 404
        assert statuses[-1] == 429
        house.clock.advance(60)
        assert (await Box(device_id="x").ask(house)).status == 404


async def renew(house: House, device: str, box: Box, new: Box) -> Answer:
    house.tokens["renewing"] = f"hf_{credential_id(bytes.fromhex(box.key))}_{box.secret}"
    body = orjson.dumps({"key": new.key})
    return await house.ask("POST", f"/api/fleet/edge/{device}/credentials", "renewing", body)


async def enrolled(house: House, device: str = "press-1") -> Box:
    box = Box()
    answer = await box.ask(house, token=(await prepare(house, device_id=device))["token"])
    assert answer.status == 200, answer.body
    return box


async def test_a_renewed_credential_ends_the_old_one_when_it_is_used(open_house: OpenHouse) -> None:
    async with open_house() as house:
        old, new = await enrolled(house), Box()
        answers = [await renew(house, "press-1", old, new) for _ in range(2)]

        assert [answer.status for answer in answers] == [200, 200]
        assert answers[0].body == answers[1].body
        assert await old.use(house, "press-1") == 404
        listed = await house.get("/api/fleet/devices/press-1/credentials", "operator")
        assert {item["id"]: item["state"] for item in listed["items"]} == {
            old.key[:12]: "replaced", new.key[:12]: "new",
        }  # fmt: skip
        assert await new.use(house, "press-1") == 404
        assert await old.use(house, "press-1") == 401
        assert await new.use(house, "press-1") == 404


async def test_an_old_credential_lasts_a_day_beside_one_that_is_not_used(open_house: OpenHouse) -> None:
    async with open_house() as house:
        old, new = await enrolled(house), Box()
        await renew(house, "press-1", old, new)

        house.clock.advance(86_399)
        assert await old.use(house, "press-1") == 404
        house.clock.advance(2)
        assert await old.use(house, "press-1") == 401
        assert await new.use(house, "press-1") == 404, "its id is known without the answer, by its key"


async def test_a_second_renewal_takes_the_place_of_the_first(open_house: OpenHouse) -> None:
    async with open_house() as house:
        old, lost, new = await enrolled(house), Box(), Box()
        await renew(house, "press-1", old, lost)
        await renew(house, "press-1", old, new)

        assert await lost.use(house, "press-1") == 401
        assert await new.use(house, "press-1") == 404


async def test_a_device_that_renews_without_end_does_not_fill_the_audit_trail(open_house: OpenHouse) -> None:
    async with open_house() as house:
        box = await enrolled(house)
        answers = [await renew(house, "press-1", box, Box()) for _ in range(20)]
        taken = [answer.status for answer in answers].count(200)
        assert 2 <= taken <= 5
        assert (answers[-1].status, answers[-1].json["code"]) == (429, "rate_limited")
        house.clock.advance(float(answers[-1].headers["Retry-After"]))
        assert (await renew(house, "press-1", box, Box())).status == 200


async def test_a_credential_ends_with_its_life(open_house: OpenHouse) -> None:
    async with open_house(enrolment={"credential_life": "1h"}) as house:
        box = await enrolled(house)
        assert await box.use(house, "press-1") == 404
        house.clock.advance(3_601)
        assert await box.use(house, "press-1") == 401


async def test_a_revoked_credential_fails_on_the_next_request(open_house: OpenHouse) -> None:
    async with open_house() as house:
        box = await enrolled(house)
        assert await box.use(house, "press-1") == 404
        path = f"/api/fleet/devices/press-1/credentials/{box.key[:12]}"

        assert (await house.ask("DELETE", path)).json["revoked"] == [box.key[:12]]
        assert await box.use(house, "press-1") == 401
        assert (await house.ask("DELETE", path)).json["revoked"] == []
        again = await box.ask(house)
        assert (again.status, again.json["code"]) == (403, "key_revoked")


async def test_all_of_a_devices_credentials_are_revoked_at_once(open_house: OpenHouse) -> None:
    async with open_house() as house:
        box, new = await enrolled(house), Box()
        await renew(house, "press-1", box, new)

        answer = await house.ask("DELETE", "/api/fleet/devices/press-1/credentials")

        assert sorted(answer.json["revoked"]) == sorted([box.key[:12], new.key[:12]])
        assert await box.use(house, "press-1") == 401
        assert await new.use(house, "press-1") == 401


async def test_the_same_machine_re_enrols_as_the_same_device(open_house: OpenHouse) -> None:
    """Its history goes on."""
    async with open_house(enrolment={"pending": True}) as house:
        box = await enrolled(house, "dev-1")
        house.tokens["dev-1"] = f"hf_{box.key[:12]}_{box.secret}"
        await house.beat(Edge("dev-1"))
        await house.ask("DELETE", "/api/fleet/devices/dev-1/credentials")
        fresh = Box(device_id="dev-1")

        waits = await fresh.ask(house)
        [item] = (await house.get(f"{PROVISION}/pending", "admin"))["items"]
        await house.ask("POST", f"{PROVISION}/{waits.json['request']}/accept", "admin", b"{}")

        assert waits.status == 202
        assert (item["known_device"], item["same_machine"]) == (True, True)
        assert (await fresh.ask(house)).json["device_id"] == "dev-1"
        assert await fresh.use(house, "dev-1") == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"key": "x", "machine": "m"}',
        b'{"key": "' + b"0" * 64 + b'", "machine": ""}',
        b'{"key": "' + b"0" * 64 + b'", "machine": "a\\u0000b"}',
        b'{"key": "' + b"0" * 64 + b'", "machine": "\\ud800"}',
        b'{"key": "' + b"0" * 64 + b'", "machine": "m", "device_id": "UPPER"}',
        b'{"key": "' + b"0" * 64 + b'", "machine": "m", "more": 1}',
    ],
)
async def test_a_bad_request_is_refused_with_its_place(open_house: OpenHouse, body: bytes) -> None:
    async with open_house() as house:
        answer = await house.ask("POST", PROVISION, None, body)
        assert (answer.status, answer.json["code"]) == (400, "bad_body")


async def test_every_step_is_in_the_audit_trail_without_secrets(open_house: OpenHouse) -> None:
    async with open_house() as house:
        old, new = await enrolled(house), Box()
        await renew(house, "press-1", old, new)
        await new.use(house, "press-1")
        await house.ask("DELETE", f"/api/fleet/devices/press-1/credentials/{new.key[:12]}")

        found = await house.get("/api/fleet/audit-logs?limit=50", "admin")

        actions = [item["action"] for item in found["items"]]
        for action in (
            "enrolment.prepare",
            "device.enrol",
            "credential.renew",
            "credential.replace",
            "credential.revoke",
        ):
            assert action in actions
        text = orjson.dumps(found).decode()
        assert old.secret not in text
        assert old.key not in text


async def test_two_machines_with_one_credential_are_named_and_degrade_the_device(
    open_house: OpenHouse,
) -> None:
    """Both are told apart by machine; the problem says how to part them, and goes once they are."""
    async with open_house() as house:
        edge = Edge()
        for run, machine in (("r1", "box-a"), ("r2", "box-b"), ("r1", "box-a"), ("r1", "box-a")):
            house.clock.advance(5)
            await house.beat(edge, run=run, machine=machine)

        device = await house.get("/api/fleet/devices/dev-1")
        [event] = [
            item
            for item in (await house.get("/api/fleet/devices/dev-1/events"))["items"]
            if item["code"] == "identity_conflict"
        ]
        assert device["state"] == "degraded"
        assert "machine box-a at 127.0.0.1 and machine box-b at 127.0.0.1" in device["problems"][0]
        assert "edge-agent enroll --again" in device["problems"][0]
        assert sorted(event["data"]["machines"]) == ["box-a", "box-b"]
        assert event["data"]["addresses"] == ["127.0.0.1", "127.0.0.1"]
        assert event["data"]["since"] == event["time"]

        house.clock.advance(601)
        await house.beat(edge, run="r1", machine="box-a")
        device = await house.get("/api/fleet/devices/dev-1")
        assert (device["state"], device["problems"]) == ("online", [])
