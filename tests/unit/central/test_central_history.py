"""Series beside everything else: which batches are opened, how many at once, how long, who waits."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from central_sync.services.data.history import MAX_AT_ONCE, MAX_WAITING, HistoryService, Series, SeriesQuery
from central_sync.services.errors import Busy
from central_sync.store import database, history
from central_sync.store.schemas import SchemaCache
from edge_agent.wire.batch import FramesPart
from tests.unit.central.conftest import House, OpenHouse
from tests.unit.central.edge import T0, Edge, frame, uint16_schema


class SlowHistory:
    """A store whose series end when they may."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.running = 0
        self.most = 0

    async def tag_connections(self, device: str, tag: str) -> list[str] | None:
        return ["press1"]

    async def series(self, query: SeriesQuery) -> Series:
        self.running += 1
        self.most = max(self.most, self.running)
        await self.go.wait()
        self.running -= 1
        return Series([], False, "")


async def test_series_take_turns_and_too_many_are_sent_away() -> None:
    store = SlowHistory()
    service = HistoryService(store)
    async with asyncio.TaskGroup() as group:
        for _ in range(MAX_AT_ONCE + MAX_WAITING):
            group.create_task(service.series("dev-1", "t0", None, (0, 1), 10))
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await service.series("dev-1", "t0", None, (0, 1), 10)
        store.go.set()
    assert store.most == MAX_AT_ONCE
    await service.series("dev-1", "t0", None, (0, 1), 10)


async def test_no_request_waits_for_lists_and_series_to_know_its_token(open_house: OpenHouse) -> None:
    async with open_house() as house, asyncio.TaskGroup() as group:
        go = threading.Event()

        def hold(_: Any) -> None:
            go.wait(30)

        store = house.centre.store
        for pool in (store._readers, store._past):
            for _ in range(12):
                group.create_task(pool.run(hold))
        async with asyncio.timeout(10):
            await house.beat(Edge())
            await house.ask("GET", "/api/fleet/edge/dev-1/config", "dev-1")
        go.set()


async def _two_groups(house: House) -> None:
    """One batch of the tag wanted, many of another group."""
    slow, fast = Edge(schema=uint16_schema(group="slow")), Edge(schema=uint16_schema(connection="press2"))
    await house.put_schema(slow)
    await house.put_schema(fast)
    edge = Edge()
    items = [edge.seal([FramesPart(fast.schema, [frame(n, [n, n, n])])]) for n in range(1, 30)]
    items.insert(15, edge.seal([FramesPart(slow.schema, [frame(1, [7, 7, 7])])]))
    await house.post(edge, edge.upload(*items))


def _ask(house: House, expired: Callable[[], bool]) -> Series:
    query = SeriesQuery("dev-1", "press1", "t0", T0 - 10**6, T0 + 10**6, 100)
    with closing(database.connect(house.data / database.DATABASE_NAME, read_only=True)) as connection:
        return history.series(connection, SchemaCache(), query, expired)


async def test_only_batches_that_hold_the_tag_are_opened(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await _two_groups(house)
        opened: list[None] = []

        def count() -> bool:
            opened.append(None)
            return False

        found = await asyncio.to_thread(_ask, house, count)
        assert [point[1] for point in found.points] == [0.7]
        assert len(opened) == 1


async def test_a_series_whose_time_is_up_says_that_there_is_more(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await _two_groups(house)
        found = await asyncio.to_thread(_ask, house, lambda: True)
        assert (found.points, found.truncated) == ([], True)


async def test_a_batch_with_two_schemas_of_one_tag_is_read_once(open_house: OpenHouse) -> None:
    async with open_house() as house:
        old, new = Edge(), Edge(schema=uint16_schema(tags=4))
        await house.put_schema(old)
        await house.put_schema(new)
        parts = [
            FramesPart(old.schema, [frame(1, [1, 1, 1])]), FramesPart(new.schema, [frame(2, [2, 2, 2, 2])]),
        ]  # fmt: skip
        await house.post(old, old.upload(old.seal(parts)))
        found = await asyncio.to_thread(_ask, house, lambda: False)
        assert [point[1] for point in found.points] == [0.1, 0.2]
