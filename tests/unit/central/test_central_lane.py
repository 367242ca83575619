"""The short way for heartbeats that say nothing new and polls of the same config gives the answers of the
long way, to nobody else; nothing that an agent relies on is answered before it is on the disk."""

import asyncio
import contextlib
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from central_sync import app
from central_sync.services.devices.presence import Presence
from central_sync.services.devices.roll import MAX_POINTS, STEP_MS, Roll, Waiting, figures
from central_sync.services.devices.service import DeviceService
from central_sync.services.live import Hub
from edge_agent.wire.messages import ConnectionReport, Heartbeat
from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.edge import Edge
from tests.unit.central.fake_agent import TAKES_ALL, fake_agent
from tests.unit.central.test_scripts import assign, make, served

BEAT = "/api/fleet/edge/dev-1/heartbeat"
POLL = "/api/fleet/edge/dev-1/config"
SCRIPTS_POLL = "/api/fleet/edge/dev-1/scripts"
PUT = "/api/fleet/edge/dev-1/config"


SECOND = (
    b'{"connections":[{"name":"press1","driver":"modbus","transport":{"type":"tcp","host":"192.0.2.1"},'
    b'"groups":[{"name":"fast","interval":"1s","tags":[{"name":"t","address":"holding:1","type":"uint16"}]}]}]}'
)


async def send(house: House, *parts: bytes) -> bytes:
    """Everything that comes back on one connection until it is quiet for a moment."""
    reader, writer = await asyncio.open_connection(house.centre.host, house.centre.port)
    got = b""
    for part in parts:
        writer.write(part)
        await writer.drain()
        got += await whole_answer(reader)
    writer.close()
    return got


async def whole_answer(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
        length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return head + (await reader.readexactly(int(length[0].split(b":")[1])) if length else b"")


def request(house: House, line: str, body: bytes = b"", who: str = "dev-1", *extra: str) -> bytes:
    lines = [f"{line} HTTP/1.1", "Host: centre", f"Authorization: Bearer {house.tokens[who]}", *extra]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def parsed(answer: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    headers = dict(line.lower().split(b": ", 1) for line in lines)
    assert len(headers.pop(b"x-request-id")) > 8
    headers.pop(b"date")
    return status, headers, re.sub(rb',"request_id":"[^"]*"|"request_id":"[^"]*",', b"", body)


def is_short(answer: bytes) -> bool:
    """Whether it came the short way, which writes the date last."""
    return answer.partition(b"\r\n\r\n")[0].split(b"\r\n")[-1].startswith(b"Date:")


async def settled(house: House) -> Edge:
    """A device of which all is known: its heartbeat came, and its credential was read."""
    edge = Edge()
    await house.beat(edge)
    return edge


async def stored(house: House) -> Any:
    """What is on the disk, past the centre."""
    return await asyncio.to_thread(_stored, house)


def _stored(house: House) -> Any:
    with contextlib.closing(sqlite3.connect(house.data / "central.db")) as db:
        return db.execute("SELECT last_seen, state FROM device WHERE id = 'dev-1'").fetchone()


async def both_ways(house: House, line: str, body: bytes = b"", *extra: str) -> bytes:
    """The short way's answer, after a look whether the long way says the same."""
    short = await send(house, request(house, line, body, "dev-1", *extra))
    long = await send(house, request(house, line, body, "dev-1", *extra, "X-Trace: 1"))
    assert is_short(short), short
    assert not is_short(long), long
    for one, other in zip(parsed(short), parsed(long), strict=True):
        assert one == other
    return short


async def test_a_heartbeat_with_nothing_new_is_answered_as_the_long_way_does(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = await settled(house)
        answer = await both_ways(house, f"POST {BEAT}", edge.heartbeat(uptime_seconds=9.0))
        assert answer.startswith(b"HTTP/1.1 200 OK")


async def test_a_poll_of_the_same_config_is_304_either_way_and_a_new_one_is_sent(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        edge = await settled(house)
        first = await house.ask("PUT", PUT, "admin", b'{"connections":[]}')
        assert first.status in (200, 201), first.body
        await house.beat(edge)
        known = f"If-None-Match: {(await house.ask('GET', POLL, 'dev-1')).headers['ETag']}"
        assert (await both_ways(house, f"GET {POLL}", b"", known)).startswith(b"HTTP/1.1 304")
        second = await house.ask("PUT", PUT, "admin", SECOND)
        assert second.status in (200, 201), second.body
        answer = await send(house, request(house, f"GET {POLL}", b"", "dev-1", known))
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"press1" in answer


async def test_a_device_without_a_config_gets_the_same_404_either_way(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await settled(house)
        assert b"no_config" in await both_ways(house, f"GET {POLL}")


async def test_a_poll_of_the_same_scripts_is_304_either_way_and_new_ones_are_sent(
    open_house: OpenHouse, tmp_path: Path
) -> None:
    async with open_house(agent_command=fake_agent(tmp_path, TAKES_ALL)) as house:
        edge = await settled(house)
        assert b"no_scripts" in await both_ways(house, f"GET {SCRIPTS_POLL}")
        script = await make(house)
        await assign(house, script, devices=["dev-1"])
        await house.beat(edge)
        known = f"If-None-Match: {(await served(house)).headers['ETag']}"
        assert (await both_ways(house, f"GET {SCRIPTS_POLL}", b"", known)).startswith(b"HTTP/1.1 304")
        await assign(house, script, devices=[])
        answer = await send(house, request(house, f"GET {SCRIPTS_POLL}", b"", "dev-1", known))
        assert answer.startswith(b"HTTP/1.1 200")
        assert b'{"scripts":[]}' in answer
        # One does not stand for the other.
        await house.beat(edge)
        assert b"no_config" in await both_ways(house, f"GET {POLL}", b"", known)


@pytest.mark.parametrize("who", ["dev-2", "admin"])
async def test_the_short_way_is_for_the_devices_own_credential(open_house: OpenHouse, who: str) -> None:
    async with open_house() as house:
        edge = await settled(house)
        await house.beat(Edge("dev-2", epoch="epoch-2"))
        answer = await send(house, request(house, f"POST {BEAT}", edge.heartbeat(), who))
        assert answer.startswith(b"HTTP/1.1 403")


async def test_a_credential_that_was_revoked_meanwhile_is_refused(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = await settled(house)
        beat = request(house, f"POST {BEAT}", edge.heartbeat())
        assert is_short(await send(house, beat))
        token = house.tokens["dev-1"].split("_")[1]
        assert await asyncio.to_thread(app.revoke_token, house.data, token)
        assert (await send(house, beat)).startswith(b"HTTP/1.1 401")


async def test_one_connection_takes_both_ways_in_turn_and_requests_that_come_together(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        edge = await settled(house)
        beat = request(house, f"POST {BEAT}", edge.heartbeat())
        health = b"GET /api/fleet/health HTTP/1.1\r\nHost: centre\r\n\r\n"
        assert (await send(house, beat, beat, health, beat)).count(b"HTTP/1.1 200") == 4
        reader, writer = await asyncio.open_connection(house.centre.host, house.centre.port)
        writer.write(beat + beat)
        assert (await whole_answer(reader)).startswith(b"HTTP/1.1 200")
        assert (await whole_answer(reader)).startswith(b"HTTP/1.1 200")
        writer.close()


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length: 1",
        b"Transfer-Encoding: chunked",
        b"Connection: close",
        b"X-Any: a",
        b"Accept: a\nX: b",
        b" folded",
        b"Accept : a",
        b"Content-Encoding: gzip",
        b"Expect: 100-continue",
    ],
)
async def test_what_is_not_plain_never_goes_the_short_way(open_house: OpenHouse, line: bytes) -> None:
    async with open_house() as house:
        edge = await settled(house)
        whole = request(house, f"POST {BEAT}", edge.heartbeat())
        odd = whole.replace(b"Host: centre\r\n", b"Host: centre\r\n" + line + b"\r\n")
        assert not is_short(await send(house, odd))


async def test_a_heartbeat_that_comes_in_pieces_is_read(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = await settled(house)
        whole = request(house, f"POST {BEAT}", edge.heartbeat())
        reader, writer = await asyncio.open_connection(house.centre.host, house.centre.port)
        for part in (whole[:10], whole[10:-20], whole[-20:]):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        assert (await whole_answer(reader)).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_quiet_heartbeats_are_shown_at_once_and_on_the_disk_after_a_stop(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = await settled(house)
        before = (await stored(house))[0]
        house.clock.advance(30)
        assert is_short(await send(house, request(house, f"POST {BEAT}", edge.heartbeat())))
        assert (await stored(house))[0] == before
        assert (await house.get("/api/fleet/devices/dev-1"))["last_seen"] == before + 30_000
        assert (await stored(house))[0] == before + 30_000
        house.clock.advance(30)
        assert is_short(await send(house, request(house, f"POST {BEAT}", edge.heartbeat())))
    assert (await stored(house))[0] == before + 60_000


async def test_quiet_heartbeats_are_written_after_a_while(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = await settled(house)
        beat = request(house, f"POST {BEAT}", edge.heartbeat())
        before = (await stored(house))[0]
        for _ in range(11):
            house.clock.advance(30)
            assert is_short(await send(house, beat))
        async with asyncio.timeout(10):
            while (await stored(house))[0] == before:
                house.clock.advance(1)
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("change", ["heads", "connection", "labels", "lost", "run"])
async def test_what_is_new_is_on_the_disk_before_it_is_answered(open_house: OpenHouse, change: str) -> None:
    async with open_house() as house:
        edge = await settled(house)
        before = (await stored(house))[0]
        house.clock.advance(5)
        changes: dict[str, Any] = {
            "heads": {"heads": [edge.head(next=9)]},
            "connection": {"connections": [ConnectionReport(name="a", driver="modbus", state="down")]},
            "labels": {"labels": {"line": "b"}},
            "lost": {"lost_samples": 3},
            "run": {"run": "run-b"},
        }
        beat = request(house, f"POST {BEAT}", edge.heartbeat(**changes[change]))
        assert not is_short(await send(house, beat))
        assert await stored(house) == (
            before + 5_000,
            "degraded" if change in ("connection", "lost") else "online",
        )


async def test_a_device_that_was_silent_is_online_again_with_the_same_heartbeat(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        edge = await settled(house)
        house.clock.advance(200)
        await house.centre.offline.look()
        assert (await stored(house))[1] == "offline"
        assert not is_short(await send(house, request(house, f"POST {BEAT}", edge.heartbeat())))
        assert (await stored(house))[1] == "online"


async def test_nobody_is_quiet_while_it_is_called_offline(open_house: OpenHouse) -> None:
    """Its heartbeat in that very moment is stored behind the change, and brings it back."""
    async with open_house() as house:
        edge = await settled(house)
        store = house.centre.store
        known: list[object] = []

        def is_overdue(device: str) -> bool:
            known.append(store.roll.get(device))
            return False

        assert store.roll.get("dev-1") is not None
        await store.silence(["dev-1"], is_overdue, house.clock.wall_ms())
        assert known == [None]

        class CalledOffline(Presence):
            def heard(self, device: str, interval_seconds: float | None) -> None:
                store.roll.forget(device)

        await house.beat(edge)
        for presence, is_quiet in ((Presence, True), (CalledOffline, False)):
            service = DeviceService(store, Hub(), house.clock, presence(house.clock, 30.0), None)
            assert (service.quiet("dev-1", edge.heartbeat()) is not None) == is_quiet


def test_what_cannot_be_written_for_long_takes_no_more_memory() -> None:
    waiting = Waiting(1, 0.0)
    beat = Heartbeat.model_validate_json(Edge().heartbeat())
    for step in range(3 * MAX_POINTS):
        waiting.add(figures(beat, step * STEP_MS))
    assert len(waiting.points) == MAX_POINTS
    assert waiting.points[-1].at == (3 * MAX_POINTS - 1) * STEP_MS
    roll = Roll()
    roll.wait("dev-1", 1, 0.0).add(figures(beat, 3 * MAX_POINTS * STEP_MS))
    roll.give_back([("dev-1", waiting)])
    ((_, kept),) = roll.take_older(0.0, 10)
    assert len(kept.points) == MAX_POINTS
    assert kept.points[-1].at == 3 * MAX_POINTS * STEP_MS


async def test_after_a_restart_the_first_heartbeat_may_be_quiet(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = await settled(house)
    async with open_house() as house:
        # The long way reads the credential; the heartbeat itself is quiet.
        before = (await stored(house))[0]
        house.clock.advance(30)
        await house.beat(edge)
        assert (await stored(house))[0] == before
        assert is_short(await send(house, request(house, f"POST {BEAT}", edge.heartbeat())))


async def test_quiet_heartbeats_are_live_events(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = await settled(house)
        listener = house.centre.hub.subscribe()
        house.clock.advance(30)
        assert is_short(
            await send(house, request(house, f"POST {BEAT}", edge.heartbeat(uptime_seconds=77.0)))
        )
        message = await listener.take()
        assert message is not None
        assert message.startswith(b"event: heartbeat")
        assert b'"uptime_seconds":77.0' in message
        house.centre.hub.unsubscribe(listener)
