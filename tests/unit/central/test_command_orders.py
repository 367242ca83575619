"""Ordering, looking, cancelling: what people may do with commands, and what is written down."""

import orjson
import pytest

from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.edge import T0
from tests.unit.central.hands import (
    Hands,
    cancel,
    command,
    give_token,
    label,
    meet,
    order,
    pass_time,
    post_order,
    show,
    state,
)

BOTH = {"devices": ["dev-1", "dev-2"]}


async def _audit(house: House) -> list[tuple[str, str | None, dict[str, object]]]:
    """Action, device and what is after, of what concerns commands."""
    rows = await house.centre.store.read(
        lambda connection: connection.execute(
            "SELECT action, device, entry FROM audit WHERE entity IN ('order', 'command') ORDER BY no"
        ).fetchall()
    )
    return [(action, device, orjson.loads(entry)["after"]) for action, device, entry in rows]


async def test_the_types_are_listed_with_who_may_send_them(open_house: OpenHouse) -> None:
    async with open_house() as house:
        items = {item["type"]: item for item in (await house.get("/api/fleet/commands/types"))["items"]}
        assert len(items) == 12
        assert (items["write_tag"]["role"], items["write_tag"]["dangerous"]) == ("engineer", True)
        assert items["read_tags"]["params_schema"]["properties"]["tags"]["maxItems"] == 200


@pytest.mark.parametrize(
    ("kind", "params", "seconds"), [("ping", {}, 3_600), ("write_tag", {"tag": "plc.set", "value": 1}, 60)]
)
async def test_a_write_that_nobody_fetches_expires_soon_and_all_else_within_an_hour(
    open_house: OpenHouse, kind: str, params: dict[str, object], seconds: int
) -> None:
    async with open_house() as house:
        await meet(house)
        await give_token(house, "kim", "engineer")
        made = await order(house, kind, "kim", params=params)
        shown = await show(house, made["commands"][0]["id"])
        assert shown["expires"] - shown["created"] == 1_000 * seconds


async def test_an_order_is_one_command_a_device(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        made = await order(house, targets=BOTH, note="is anybody there?", expires_seconds=60)
        assert (made["order"]["total"], made["order"]["states"]) == (2, {"queued": 2})
        assert {item["device_id"] for item in made["commands"]} == {"dev-1", "dev-2"}
        shown = await show(house, made["commands"][0]["id"])
        assert (shown["note"], shown["expires"] - shown["created"]) == ("is anybody there?", 60_000)
        assert [(step["state"], step["by"]) for step in shown["history"]] == [("queued", shown["author"])]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"type": "dance"}, 400, "unknown_type"),
        ({"type": "read_tags"}, 400, "bad_params"),
        ({"params": {"loud": 1}}, 400, "bad_params"),
        ({"timeout_seconds": 61}, 400, "bad_timeout"),
        ({"expires_seconds": 0}, 400, "bad_body"),
        ({"colour": "red"}, 400, "bad_body"),
        ({"targets": {}}, 400, "no_targets"),
        ({"targets": {"devices": ["DEV"]}}, 400, "bad_device_id"),
        ({"targets": {"selector": "a in"}}, 400, "bad_selector"),
        ({"targets": {"devices": ["dev-1", "dev-9"]}}, 404, "unknown_device"),
        ({"type": "write_tag", "params": {"tag": "press1.speed", "value": 1}}, 403, "role"),
    ],
)
async def test_an_order_that_is_not_right_makes_nothing(
    open_house: OpenHouse, body: dict[str, object], status: int, code: str
) -> None:
    async with open_house() as house:
        await meet(house)
        answer = await post_order(house, **{"kind": body.pop("type", "ping"), **body})  # type: ignore[arg-type]
        assert (answer.status, answer.json["code"]) == (status, code)
        assert (await house.get("/api/fleet/commands"))["items"] == []
        assert await _audit(house) == []


async def test_a_viewer_orders_and_cancels_nothing(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known = await command(house)
        assert (await post_order(house, who="viewer")).status == 403
        assert (await cancel(house, known, "viewer")).status == 403


async def test_an_order_sent_twice_with_one_key_is_one_order(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        first, second = [await post_order(house, key="k1") for _ in range(2)]
        assert first.json == second.json
        assert len(await Hands(house).offered()) == 1
        other = await post_order(house, key="k1", note="another request")
        assert (other.status, other.json["code"]) == (409, "key_reused")


async def test_a_device_with_a_full_queue_refuses_the_whole_order(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        for _ in range(100):
            await order(house)
        refused = await post_order(house, targets=BOTH)
        assert (refused.status, refused.json["code"], refused.json["devices"]) == (
            409,
            "queue_full",
            ["dev-1"],
        )
        assert house.centre.commands.board.waiting("dev-2") == 0
        one = (await house.get("/api/fleet/commands?limit=1"))["items"][0]["id"]
        assert (await cancel(house, one)).status == 200
        assert (await post_order(house, targets=BOTH)).status == 201


async def test_lists_are_filtered_and_paged_without_a_gap(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        made = [await command(house) for _ in range(3)]
        pair = await order(house, "reload_config", targets=BOTH)
        await cancel(house, made[1])

        async def ids(query: str) -> list[str]:
            return [item["id"] for item in (await house.get(f"/api/fleet/commands?{query}"))["items"]]

        assert await ids("device=dev-1&type=ping") == made[::-1]
        assert await ids("state=cancelled") == [made[1]]
        assert await ids("open=false") == [made[1]]
        assert len(await ids("open=true")) == 4
        assert len(await ids(f"order={pair['order']['id']}")) == 2
        assert await ids("author=nobody") == []
        created = pair["order"]["created"]
        assert len(await ids(f"from={created}&to={created}")) == 5
        assert await ids(f"to={created - 1}") == []
        found: list[str] = []
        cursor = ""
        while True:
            page = await house.get(f"/api/fleet/commands?limit=2{cursor}")
            found += [item["id"] for item in page["items"]]
            if page["next"] is None:
                break
            cursor = f"&cursor={page['next']}"
        assert len(found) == len(set(found)) == 5


async def test_who_is_limited_by_labels_sees_and_orders_for_his_devices_alone(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        await label(house, "dev-1", site="north")
        await label(house, "dev-2", site="south")
        await give_token(house, "north", "operator", site="north")
        pair = await order(house, targets=BOTH)
        mine, other = (
            next(item["id"] for item in pair["commands"] if item["device_id"] == device)
            for device in ("dev-1", "dev-2")
        )
        await Hands(house, "dev-2").report(other, "delivered", "running", log={"offset": 0, "text": "x"})
        assert (await house.get(f"/api/fleet/commands/{mine}", "north"))["id"] == mine
        for path in ("", "/log", "/artifact"):
            assert (await house.ask("GET", f"/api/fleet/commands/{other}{path}", "north")).status == 404
        assert (await cancel(house, other, "north")).status == 404
        assert [item["id"] for item in (await house.get("/api/fleet/commands", "north"))["items"]] == [mine]
        seen = await house.get(f"/api/fleet/orders/{pair['order']['id']}", "north")
        assert (seen["total"], seen["states"]) == (1, {"queued": 1})
        stopped = await house.ask("POST", f"/api/fleet/orders/{pair['order']['id']}/cancel", "north")
        assert (stopped.json["cancelled"], stopped.json["asked"]) == (1, 0)
        assert await state(house, other) == "running"
        foreign = await post_order(house, who="north", targets=BOTH)
        assert (foreign.status, foreign.json["devices"]) == (404, ["dev-2"])
        everything = await order(house, who="north", targets={"selector": "*"})
        assert [item["device_id"] for item in everything["commands"]] == ["dev-1"]


async def test_the_audit_trail_holds_each_value_that_was_to_be_written(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        await give_token(house, "engineer", "engineer")
        params = {"tag": "press1.speed", "value": 41.5}
        await order(house, "write_tag", "engineer", params=params, targets=BOTH, note="as agreed")
        whole, *each = await _audit(house)
        assert (whole[0], whole[2]["params"], whole[2]["note"]) == ("command.order", params, "as agreed")
        assert [(action, device, after["params"]) for action, device, after in each] == [
            ("command.send", "dev-1", params),
            ("command.send", "dev-2", params),
        ]


async def test_ordering_and_cancelling_are_audited_and_refusals_are_not(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known = await command(house)
        await cancel(house, known)
        await cancel(house, known)
        assert [(action, device) for action, device, _ in await _audit(house)] == [
            ("command.order", "dev-1"),
            ("command.cancel", "dev-1"),
        ]


async def test_an_order_is_cancelled_command_by_command(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        pair = await order(house, targets=BOTH)
        hands = Hands(house)
        (mine,) = await hands.offered()
        await hands.report(mine, "delivered")
        path = f"/api/fleet/orders/{pair['order']['id']}/cancel"
        first = (await house.ask("POST", path, "operator")).json
        assert (first["cancelled"], first["asked"], first["ended"]) == (1, 1, 0)
        again = (await house.ask("POST", path, "operator")).json
        assert (again["cancelled"], again["asked"], again["ended"]) == (0, 1, 1)
        assert again["order"]["states"] == {"cancelled": 1, "delivered": 1}
        await hands.report(mine, "cancelled")
        assert (await house.get(f"/api/fleet/orders/{pair['order']['id']}"))["finished"]


@pytest.mark.parametrize(
    "path",
    [
        "commands/cmd-0000000000000000",
        "commands/x",
        "commands/%00",
        "commands/cmd-0000000000000000/log",
        "commands/cmd-0000000000000000/artifact",
        "orders/ord-0000000000000000",
        "orders/%F0%9F%92%A9",
    ],
)
async def test_what_does_not_exist_is_404(open_house: OpenHouse, path: str) -> None:
    async with open_house() as house:
        assert (await house.ask("GET", f"/api/fleet/{path}")).status == 404


async def test_old_commands_are_forgotten_with_all_that_is_theirs(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        hands, service = Hands(house), house.centre.commands.service
        old = await command(house)
        await hands.report(old, "delivered", "running", log={"offset": 0, "text": "bye"})
        assert (await hands.put(old, b"file")).status == 201
        await hands.report(old, "succeeded")
        silent = await command(house)
        await hands.offers()
        await cancel(house, silent)
        await pass_time(house, 121)
        board = house.centre.commands.board
        assert (await state(house, silent), board.waiting("dev-1")) == ("unknown", 1)
        young = await command(house)
        now = house.clock.wall_ms()
        assert await service.forget(T0) == 0
        assert await service.forget(now + 1) == 2
        assert board.waiting("dev-1") == 1
        assert (await house.ask("GET", f"/api/fleet/commands/{old}")).status == 404
        assert not list((house.data / "artifacts").iterdir())
        assert await state(house, young) == "queued"
