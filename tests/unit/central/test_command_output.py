"""What commands put out: log text by its offset, followed as it comes; files; live events."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

import orjson
import pytest

from edge_agent.wire.commands import MAX_LOG_BYTES
from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.hands import Hands, command, meet, order, show


async def _log(house: House, known: str, query: str = "") -> tuple[int, str, int, bool]:
    found = await house.get(f"/api/fleet/commands/{known}/log{query}")
    return found["offset"], found["text"], found["next"], found["complete"]


async def test_output_is_read_from_any_offset_and_repeats_are_one_text(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known, hands = await command(house), Hands(house)
        await hands.report(known, "running", log={"offset": 0, "text": "héllo "})
        await hands.report(known, "running", log={"offset": 3, "text": "llo wörld"})
        await hands.report(known, "running", log={"offset": 3, "text": "llo"})
        assert await _log(house, known) == (0, "héllo wörld", 13, False)
        assert await _log(house, known, "?offset=7") == (7, "wörld", 13, False)
        assert await _log(house, known, "?offset=13") == (13, "", 13, False)
        await hands.report(known, "succeeded")
        assert await _log(house, known, "?offset=13") == (13, "", 13, True)
        assert (await show(house, known))["log_bytes"] == 13


async def test_output_that_overlaps_takes_no_more_room_than_its_text(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known, hands = await command(house), Hands(house)
        text = "0123456789" * 30
        for offset in (*range(0, 60, 3), 250, 1):
            await hands.report(known, "running", log={"offset": offset, "text": text[offset : offset + 100]})
        await hands.report(known, "succeeded", log={"offset": 0, "text": text})
        assert await _log(house, known) == (0, text, 300, True)
        sum_of = "SELECT sum(length(text)) FROM command_log"
        kept = await house.centre.store.read(lambda connection: connection.execute(sum_of).fetchone())
        assert kept == (300,)


async def test_missing_output_is_waited_for_until_the_end_and_then_jumped_over(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known, hands = await command(house), Hands(house)
        await hands.report(known, "running", log={"offset": 100, "text": "behind"})
        assert await _log(house, known) == (0, "", 0, False)
        await hands.report(known, "failed")
        assert await _log(house, known) == (100, "behind", 106, True)


async def test_long_output_comes_in_pages_that_split_no_character_and_is_bounded(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        await meet(house)
        known, hands = await command(house), Hands(house)
        part = "한" * 4_096 + "."
        whole = part * 30
        size = len(part.encode())
        for number in range(30):
            await hands.report(known, "running", log={"offset": number * size, "text": part})
        await hands.report(known, "succeeded")
        text, offset, complete = "", 0, False
        while not complete:
            _, more, offset, complete = await _log(house, known, f"?offset={offset}")
            text += more
        assert text.encode()[: MAX_LOG_BYTES - 3] == whole.encode()[: MAX_LOG_BYTES - 3]
        assert (await show(house, known))["log_bytes"] == MAX_LOG_BYTES


async def test_who_follows_reads_text_as_it_comes_and_the_end(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known, hands = await command(house), Hands(house)

        async def follow(offset: int) -> tuple[int, str, int, bool]:
            return await _log(house, known, f"?offset={offset}&wait=60")

        async def waiting() -> None:
            async with asyncio.timeout(10):
                while not house.centre.commands.board.held:
                    await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            first = group.create_task(follow(0))
            await waiting()
            await hands.report(known, "delivered")
            await hands.report(known, "running", log={"offset": 0, "text": "one"})
        assert first.result() == (0, "one", 3, False)
        async with asyncio.TaskGroup() as group:
            last = group.create_task(follow(3))
            await waiting()
            await hands.report(known, "succeeded")
        assert last.result() == (3, "", 3, True)


async def test_a_file_is_stored_whole_once_and_replaced_while_the_command_runs(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known, hands = await command(house, kind="collect_logs"), Hands(house)
        first = await hands.put(known, b"first", "a%0D%0A%22b.log")
        assert (first.status, first.json["sha256"]) == (201, hashlib.sha256(b"first").hexdigest())
        assert (await hands.put(known, b"first")).status == 200
        assert (await hands.put(known, b"second", "agent.log")).status == 201
        await hands.report(known, "delivered", "succeeded")
        assert (await hands.put(known, b"second")).status == 200
        late = await hands.put(known, b"third")
        assert (late.status, late.json["code"]) == (409, "ended")
        answer = await house.ask("GET", f"/api/fleet/commands/{known}/artifact", "viewer")
        assert (answer.body, answer.headers["Content-Type"]) == (b"second", "application/octet-stream")
        assert answer.headers["Content-Disposition"] == 'attachment; filename="agent.log"'
        shown = (await show(house, known))["artifact"]
        assert (shown["name"], shown["size_bytes"]) == ("agent.log", 6)
        assert len(list((house.data / "artifacts").iterdir())) == 1


async def test_files_that_come_at_once_for_one_command_leave_the_one_that_is_kept(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        await meet(house)
        known, hands = await command(house, kind="collect_logs"), Hands(house)
        desk = house.centre.commands.desk
        begun, go_on = asyncio.Semaphore(0), asyncio.Event()

        async def blocks(content: bytes) -> AsyncIterator[bytes]:
            begun.release()
            await go_on.wait()
            yield content

        async with asyncio.TaskGroup() as group:
            for content in (b"one", b"two"):
                group.create_task(desk.receive("dev-1", known, "a", blocks(content)))
            await begun.acquire()
            await begun.acquire()
            third = await hands.put(known, b"three")
            go_on.set()
        assert (third.status, third.json["code"]) == (503, "busy")
        assert len(list((house.data / "artifacts").iterdir())) == 1
        assert (await house.ask("GET", f"/api/fleet/commands/{known}/artifact", "viewer")).body in (
            b"one",
            b"two",
        )


async def test_a_file_that_the_disk_lost_is_no_artifact(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known, hands = await command(house, kind="collect_logs"), Hands(house)
        await hands.put(known, b"first")
        for path in (house.data / "artifacts").iterdir():
            path.unlink()
        answer = await house.ask("GET", f"/api/fleet/commands/{known}/artifact", "viewer")
        assert (answer.status, answer.json["code"]) == (404, "no_artifact")


async def test_a_files_name_cannot_break_the_header(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known, hands = await command(house, kind="collect_logs"), Hands(house)
        await hands.put(known, b"x", "..%2F%0D%0A%22b%00.log")
        answer = await house.ask("GET", f"/api/fleet/commands/{known}/artifact", "viewer")
        assert answer.headers["Content-Disposition"] == 'attachment; filename="..____b_.log"'


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Content_Type": "text/plain"}, 415), ({"Content_Encoding": "gzip"}, 415)],
)
async def test_a_file_in_another_form_is_refused(
    open_house: OpenHouse, headers: dict[str, str], status: int
) -> None:
    async with open_house() as house:
        await meet(house)
        known = await command(house)
        path = f"/api/fleet/edge/dev-1/commands/{known}/artifact"
        sent = {"Content_Type": "application/octet-stream", **headers}
        answer = await house.ask("PUT", path, "dev-1", b"x", **sent)
        assert answer.status == status


async def test_a_file_beyond_the_limit_leaves_nothing(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known = await command(house)
        path = f"{house.centre.url}/api/fleet/edge/dev-1/commands/{known}/artifact"
        headers = {
            "Authorization": f"Bearer {house.tokens['dev-1']}",
            "Content-Type": "application/octet-stream",
        }

        async def blocks() -> AsyncIterator[bytes]:
            for _ in range(33):
                yield bytes(1 << 20)

        async with house.session.put(path, data=blocks(), headers=headers) as response:
            assert response.status == 413
        assert (await show(house, known))["artifact"] is None
        assert not list((house.data / "artifacts").iterdir())


async def test_a_disk_that_refuses_files_is_busy_and_no_hindrance_to_a_start(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known = await command(house)
        folder = house.data / "artifacts"
        await asyncio.to_thread(folder.write_text, "no directory")
        refused = await Hands(house).put(known, b"x")
        assert (refused.status, refused.json["code"], refused.headers["Retry-After"]) == (
            503,
            "storage",
            "30",
        )
    async with open_house() as house:
        assert (await show(house, known))["state"] == "queued"


async def test_files_have_a_quota(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        known, other = await command(house), await command(house)
        desk = house.centre.commands.desk
        desk.quota_bytes = 10
        hands = Hands(house)
        assert (await hands.put(known, bytes(8))).status == 201
        refused = await hands.put(other, bytes(3))
        assert (refused.status, refused.json["code"]) == (409, "artifact_quota")
        assert len(list((house.data / "artifacts").iterdir())) == 1
        assert (await hands.put(known, bytes(10))).status == 201


async def test_commands_are_live_events_of_their_device(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        listener = house.centre.hub.subscribe("dev-1")
        pair = await order(house, targets={"devices": ["dev-1", "dev-2"]})
        known = next(item["id"] for item in pair["commands"] if item["device_id"] == "dev-1")
        await Hands(house).report(known, "delivered")
        states = []
        for _ in range(2):
            async with asyncio.timeout(10):
                message = await listener.take() or b""
            name, data = message.decode().strip().split("\n")
            assert name == "event: command"
            view = orjson.loads(data.removeprefix("data: "))
            assert (view["id"], view["device_id"]) == (known, "dev-1")
            states.append(view["state"])
        assert states == ["queued", "delivered"]
        assert listener.queue.empty()
