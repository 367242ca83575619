"""The checkpoint of every day: once a day, in a file and in the log, and good enough to verify with."""

import asyncio
from pathlib import Path
from typing import Any

import structlog

from central_sync.app import auditing
from central_sync.services.audit.chain import Place, Statement
from central_sync.services.audit.entries import Actor, Entry
from central_sync.store.audit import record
from central_sync.store.statements import CheckpointFile
from central_sync.store.trail import SqliteTrail
from central_sync.workers.statements import DailyCheckpoints
from tests.unit.central.conftest import FakeClock, House, OpenHouse

DAY = 86_400


class Memory:
    """A file that is none."""

    def __init__(self) -> None:
        self.kept: list[int] = []

    def newest(self) -> Statement | None:
        if not self.kept:
            return None
        return Statement(kind="checkpoint", centre="c", no=1, hash="0" * 64, time=self.kept[-1], key="k")

    def keep(self, place: Place, now: int) -> Statement:
        self.kept.append(now)
        found = self.newest()
        assert found is not None
        return found


class Trail:
    async def last_place(self) -> Place:
        return Place(1, bytes(32))


async def test_one_is_made_a_day_and_none_in_between() -> None:
    clock, file = FakeClock(), Memory()
    worker = DailyCheckpoints(Trail(), file, clock)
    for _ in range(49):
        await worker.look()
        clock.set_wall(3_600)
    first = file.kept[0]
    assert file.kept == [first, first + DAY * 1000, first + 2 * DAY * 1000]


async def test_a_clock_that_was_set_back_puts_none_off() -> None:
    clock, file = FakeClock(), Memory()
    worker = DailyCheckpoints(Trail(), file, clock)
    await worker.look()
    clock.set_wall(-400 * DAY)
    await worker.look()
    assert len(file.kept) == 2


def daily(house: House) -> DailyCheckpoints:
    store = house.centre.store
    return DailyCheckpoints(SqliteTrail(store), CheckpointFile(house.data, house.centre.centre), house.clock)


async def change(house: House) -> None:
    kim, entry = Actor("user", "1"), Entry("device.patch", "device", "dev-1")
    await house.centre.store.write(lambda connection: record(connection, kim, 5, entry))


async def test_its_file_and_its_log_line_verify_the_trail(open_house: OpenHouse) -> None:
    with structlog.testing.capture_logs() as lines:
        async with open_house() as house:
            for _ in range(3):
                await change(house)
                await daily(house).look()
                house.clock.set_wall(DAY)
    file = house.data / "audit-checkpoints.jsonl"
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(file.read_text().splitlines()) == 3
    said = [line for line in lines if line["event"] == "audit checkpoint"]
    assert len(said) == 3
    shipped = house.data.parent / "shipped.jsonl"
    fields = Statement.model_fields
    statement = Statement(**{name: said[-1][name] for name in fields})
    shipped.write_text(statement.line())
    verdict = await asyncio.to_thread(verify, house.data, file, shipped)
    assert (verdict.wrong, verdict.unchecked) == (None, 0)


def verify(data: Path, *checkpoints: Path) -> Any:
    return auditing.verify_audit(data, auditing.AuditQuestion(checkpoints), lambda done, total: None)


async def test_a_line_that_was_cut_by_a_power_failure_gives_way_to_a_new_one(open_house: OpenHouse) -> None:
    async with open_house() as house:
        file = house.data / "audit-checkpoints.jsonl"
        await asyncio.to_thread(file.write_text, '{"kind": "checkp')
        await change(house)
        await daily(house).look()
        assert len((await asyncio.to_thread(file.read_text)).splitlines()) == 1
        assert (await asyncio.to_thread(verify, house.data, file)).wrong is None
