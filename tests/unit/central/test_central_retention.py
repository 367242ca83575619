"""Retention: what is too old goes in short parts, nothing else does, and what was received stays known."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from central_sync.app import auditing
from central_sync.services.audit.chain import Signer
from central_sync.services.audit.entries import Actor, Entry
from central_sync.services.errors import Busy
from central_sync.services.retention import Ages, InvariantBroken, Slice
from central_sync.store.audit import record
from central_sync.store.retention import BUDGET_SECONDS, SqliteRetention
from central_sync.store.statements import AuditKey
from central_sync.workers.retention import Retention
from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.edge import T0, Edge

HOUR = 3_600
DAY = 24 * HOUR


class QuickClock:
    """Nobody waits; counts the pauses."""

    def __init__(self, wall_ms: int = T0) -> None:
        self.wall = wall_ms
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return 0.0

    def wall_ms(self) -> int:
        return self.wall

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)


class NoCommands:
    async def forget(self, before: int, limit: int) -> int:
        return 0


async def sweep(house: House, **ages: float | None) -> dict[str, int]:
    """What is older than `ages` goes now, by the house's clock."""
    chosen = Ages(**{"heartbeats": None, "commands": None, **ages})

    def signer() -> Signer:
        return AuditKey(house.data)

    store = house.centre.store
    room = SqliteRetention(store, signer)
    worker = Retention(room, NoCommands(), chosen, lambda: 0.0, QuickClock(house.clock.wall_ms()))
    return await worker.sweep()


async def upload(house: House, edge: Edge, count: int) -> list[Any]:
    items = [edge.make([edge.n, 2, 3]) for _ in range(count)]
    answer = (await house.post(edge, edge.upload(*items))).json
    assert answer["acked"] == [[items[0].seq, items[-1].seq]]
    return items


async def count(house: House, table: str) -> int:
    found: int = await house.centre.store.read(
        lambda c: c.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    )
    return found


# --- samples -------------------------------------------------------------------------------------------


async def test_old_batches_go_and_stay_known(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        old = await upload(house, edge, 600)
        house.clock.set_wall(2 * DAY)
        await upload(house, edge, 3)
        await house.centre.store.checkpoint()
        assert await sweep(house, samples=DAY) == {"samples": 600}
        assert (await count(house, "batch"), await count(house, "batch_schema")) == (3, 3)
        stats = await house.stats()
        assert (stats["gaps"], stats["pending"], stats["duplicates"], stats["batches"]) == ([], 0, 0, 603)
        # The agent, restored from nowhere, brings some of them again: they are here, and are not stored.
        again = (await house.post(edge, edge.upload(*old[:3]))).json
        assert (again["acked"], await count(house, "batch")) == ([[1, 3]], 3)
        assert (await house.beat(edge, heads=[edge.head(floor=edge.next)]))["resend"] == []
        path = f"/api/fleet/devices/dev-1/tags/t0/timeseries?from=0&to={T0 + 10**9}"
        assert len((await house.get(path))["points"]) == 3


async def test_what_was_declared_lost_and_came_is_not_lost_again_when_its_batches_are_gone(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        items = [edge.make([edge.n, 2, 3]) for _ in range(4)]
        connections = [{"name": "press1", "group": "fast", "run": edge.run, "samples": 12}]
        await house.post(edge, edge.upload(edge.losing([(1, 4)], connections=connections)))
        assert (await house.stats())["lost_samples"] == {"quota": 12}
        await house.post(edge, edge.upload(*items[:2]))
        assert (await house.stats())["lost_samples"] == {"quota": 6}
        house.clock.set_wall(2 * DAY)
        await house.centre.store.checkpoint()
        assert await sweep(house, samples=DAY) == {"samples": 3}
        await house.post(edge, edge.upload(items[2]))
        assert (await house.stats())["lost_samples"] == {"quota": 3}
        await house.post(edge, edge.upload(items[3]))
        assert (await house.stats())["lost_samples"] == {}


async def test_the_newest_values_stay_when_all_batches_are_gone(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        await upload(house, edge, 5)
        await house.centre.store.checkpoint()
        before = await house.get("/api/fleet/devices/dev-1/latest-values")
        house.clock.set_wall(2 * DAY)
        assert await sweep(house, samples=DAY) == {"samples": 5}
        assert await house.get("/api/fleet/devices/dev-1/latest-values") == before
        assert before["items"]
    async with open_house() as house:
        assert await house.get("/api/fleet/devices/dev-1/latest-values") == before
        edge.floor = edge.next
        await upload(house, edge, 1)
        stats = await house.stats()
        assert (stats["gaps"], stats["duplicates"], stats["batches"]) == ([], 0, 6)
        newest = await house.get("/api/fleet/devices/dev-1/latest-values")
        assert newest["items"][0]["value"] == 0.5


async def test_what_the_read_models_have_not_saved_stays(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        await upload(house, edge, 2)
        await house.centre.store.checkpoint()
        await upload(house, edge, 2)
        house.clock.set_wall(2 * DAY)
        assert await sweep(house, samples=DAY) == {"samples": 2}
        assert await count(house, "batch") == 2


async def test_a_clock_that_was_ahead_for_a_while_keeps_nothing_for_ever(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        house.clock.set_wall(1_000 * DAY)
        await upload(house, edge, 1)
        house.clock.set_wall(-1_000 * DAY)
        await upload(house, edge, 2)
        house.clock.set_wall(2 * DAY)
        await upload(house, edge, 1)
        await house.centre.store.checkpoint()
        assert await sweep(house, samples=DAY) == {"samples": 2}


async def test_nothing_is_deleted_unless_it_is_asked_for(open_house: OpenHouse) -> None:
    ages = Ages()
    assert (ages.samples, ages.events, ages.audit) == (None, None, None)
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        await upload(house, edge, 3)
        await house.beat(edge)
        await house.centre.store.checkpoint()
        house.clock.set_wall(4_000 * DAY)
        assert await sweep(house) == {}
        assert (await count(house, "batch"), await count(house, "event") > 0) == (3, True)


async def test_free_pages_go_back_to_the_file_system(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        await house.put_schema(edge)
        await upload(house, edge, 2)
        await house.centre.store.write(lambda c: c.execute("CREATE TABLE ballast (body BLOB)"))
        sql = "INSERT INTO ballast VALUES (zeroblob(20000000))"
        await house.centre.store.write(lambda c: c.execute(sql))
        await house.centre.store.write(lambda c: c.execute("DROP TABLE ballast"))
        await house.centre.store.checkpoint()
        pages = "SELECT page_count FROM pragma_page_count()"
        before = await house.centre.store.read(lambda c: c.execute(pages).fetchone()[0])
        house.clock.set_wall(2 * DAY)
        await sweep(house, samples=DAY)
        after = await house.centre.store.read(lambda c: c.execute(pages).fetchone()[0])
        assert before - after > 2_000
        assert (await house.get("/api/fleet/data/stats"))["devices"]


async def test_uploads_wait_for_no_more_than_a_part(open_house: OpenHouse) -> None:
    """Deleting thousands of batches beside uploads: each part keeps the writer for milliseconds."""
    async with open_house() as house:
        edge, other = Edge(), Edge(device="dev-2", epoch="epoch-x")
        await house.put_schema(edge)
        await house.put_schema(other)
        for _ in range(10):
            await upload(house, edge, 300)
        await house.centre.store.checkpoint()
        house.clock.set_wall(2 * DAY)
        sweeping = asyncio.ensure_future(sweep(house, samples=DAY))
        waits = []
        while not sweeping.done():
            began = time.monotonic()
            await upload(house, other, 1)
            waits.append(time.monotonic() - began)
        assert (await sweeping)["samples"] == 3_000
        assert len(waits) >= 5
        assert sorted(waits)[len(waits) // 2] < BUDGET_SECONDS + 0.1


# --- events, heartbeats, commands ----------------------------------------------------------------------


async def test_old_events_and_heartbeats_go(open_house: OpenHouse) -> None:
    async with open_house() as house:
        edge = Edge()
        for _ in range(3):
            await house.beat(edge)
            house.clock.set_wall(60)
        old = await count(house, "event")
        house.clock.set_wall(2 * HOUR)
        await house.beat(edge)
        # The last ones say nothing new, and are written before somebody reads.
        await house.centre.store.settle()
        # Heartbeats go by whole hours.
        assert await sweep(house, events=HOUR, heartbeats=HOUR) == {"events": old, "heartbeats": 1}
        assert await count(house, "heartbeat_hour") == 1
        shown = (await house.get("/api/fleet/devices/dev-1/events"))["items"]
        kept = await house.centre.store.read(
            lambda c: c.execute("SELECT events FROM device WHERE id = 'dev-1'").fetchone()[0]
        )
        assert len(shown) == kept == await count(house, "event")


async def test_ended_commands_are_forgotten_part_by_part() -> None:
    asked: list[tuple[int, int]] = []

    class Commands:
        left = 45

        async def forget(self, before: int, limit: int) -> int:
            asked.append((before, limit))
            gone = min(self.left, limit)
            self.left -= gone
            return gone

    worker = Retention(
        NothingElse(), Commands(), Ages(heartbeats=None, commands=DAY), lambda: 0.0, QuickClock()
    )
    assert await worker.sweep() == {"commands": 45}
    assert asked == [(T0 - DAY * 1000, 20)] * 3


class NothingElse:
    """A store that is asked for nothing."""

    async def samples(self, before: int, now: int, cursor: int) -> Slice:
        raise AssertionError

    async def events(self, before: int, cursor: int) -> Slice:
        raise AssertionError

    async def heartbeats(self, before: int, cursor: int) -> Slice:
        raise AssertionError

    async def audit(self, before: int, now: int) -> Slice:
        raise AssertionError

    async def vacuum(self) -> bool:
        raise AssertionError


class Hurried(NothingElse):
    """A store whose writer has no room at first."""

    def __init__(self) -> None:
        self.calls = 0

    async def events(self, before: int, cursor: int) -> Slice:
        self.calls += 1
        if self.calls == 1:
            raise Busy("busy", "the centre cannot take more now")
        return Slice(1, None)


async def test_a_writer_without_room_is_asked_again_and_a_loaded_one_is_left_alone() -> None:
    loads = [0.9, 0.9, 0.0, 0.0]
    clock = QuickClock()
    store = Hurried()
    worker = Retention(
        store, NoCommands(), Ages(events=DAY, heartbeats=None, commands=None), lambda: loads.pop(0), clock
    )
    assert await worker.sweep() == {"events": 1}
    assert store.calls == 2
    assert clock.pauses.count(1.0) == 3


class Full(Hurried):
    async def events(self, before: int, cursor: int) -> Slice:
        self.calls += 1
        raise Busy("storage", "the centre's storage failed; nothing was stored")


async def test_a_writer_that_never_has_room_is_given_up_until_the_next_time() -> None:
    store = Full()
    ages = Ages(events=DAY, heartbeats=None, commands=None)
    worker = Retention(store, NoCommands(), ages, lambda: 0.0, QuickClock())
    assert await worker.sweep() == {"events": 0}
    assert store.calls == 5


# --- the audit trail -----------------------------------------------------------------------------------


async def write_entries(house: House, number: int, afresh: bool = False) -> None:
    def work(connection: Any) -> None:
        if afresh:
            # What making the house's tokens left.
            connection.execute("DELETE FROM audit")
        for index in range(number):
            entry = Entry("device.patch", "device", f"dev-{index}")
            record(connection, Actor("user", "1"), house.clock.wall_ms(), entry)

    await house.centre.store.write(work)


def verify(data: Path, *checkpoints: Path) -> Any:
    return auditing.verify_audit(data, auditing.AuditQuestion(checkpoints), lambda done, total: None)


async def test_an_anchor_stands_for_the_entries_that_are_gone(open_house: OpenHouse, tmp_path: Path) -> None:
    async with open_house() as house:
        await write_entries(house, 1_200, afresh=True)
        kept = tmp_path / "kept.jsonl"
        statement = await asyncio.to_thread(auditing.make_checkpoint, house.data)
        await asyncio.to_thread(kept.write_text, statement.line())
        house.clock.set_wall(2 * DAY)
        await write_entries(house, 5)
        assert await sweep(house, audit=DAY) == {"audit": 1_200}
        verdict = await asyncio.to_thread(verify, house.data)
        # Those that were kept, and one for each of the three parts.
        assert (verdict.wrong, verdict.entries) == (None, 8)
        # The checkpoint of the last one that is gone is the anchor itself.
        verdict = await asyncio.to_thread(verify, house.data, kept)
        assert (verdict.wrong, verdict.unchecked) == (None, 0)
        newest = (await house.get("/api/fleet/audit-logs?limit=1", "admin"))["items"][0]
        assert (newest["action"], newest["actor"]["id"], newest["no"]) == ("audit.prune", "retention", 1_208)
        house.clock.set_wall(2 * DAY)
        assert (await sweep(house, audit=DAY))["audit"] == 7
        assert (await asyncio.to_thread(verify, house.data)).wrong is None


async def test_the_trail_goes_on_where_all_of_it_is_old(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await write_entries(house, 3, afresh=True)
        house.clock.set_wall(9 * DAY)
        await sweep(house, audit=DAY)
        await write_entries(house, 1)
        numbers = [item["no"] for item in (await house.get("/api/fleet/audit-logs", "admin"))["items"]]
        assert numbers == [5, 4, 3]


@pytest.mark.parametrize(
    ("tampering", "code"),
    [
        ("UPDATE audit_anchor SET statement = replace(statement, '\"no\":2', '\"no\":1')", "anchor"),
        ("DELETE FROM audit_anchor", "missing"),
        ("DELETE FROM audit WHERE no = (SELECT min(no) FROM audit)", "missing"),
    ],
)
async def test_what_is_done_to_anchor_or_entries_after_pruning_is_found(
    open_house: OpenHouse, tampering: str, code: str
) -> None:
    async with open_house() as house:
        await write_entries(house, 3, afresh=True)
        house.clock.set_wall(9 * DAY)
        await sweep(house, audit=DAY)
        await house.centre.store.write(lambda c: c.execute(tampering))
        assert (await asyncio.to_thread(verify, house.data)).wrong.code == code


async def test_a_trail_that_was_tampered_with_is_not_tidied_away(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await write_entries(house, 5, afresh=True)
        await house.centre.store.write(lambda c: c.execute("DROP TRIGGER audit_is_kept"))
        change = "UPDATE audit SET hash = zeroblob(32) WHERE no = 2"
        await house.centre.store.write(lambda c: c.execute(change))
        house.clock.set_wall(9 * DAY)
        assert await sweep(house, audit=DAY) == {"audit": 0}
        assert await count(house, "audit") == 5
        room = SqliteRetention(house.centre.store, lambda: AuditKey(house.data))
        with pytest.raises(InvariantBroken, match="entry 2"):
            await room.audit(house.clock.wall_ms(), house.clock.wall_ms())
