"""The newest frames of a file, as a hook is tried on them."""

import asyncio

import pytest

from edge_agent.buffer import recorded
from edge_agent.buffer.ledger import batch_id
from edge_agent.buffer.recorded import Recorded
from edge_agent.contracts.errors import Unavailable
from edge_agent.wire.schema import Schema
from tests.unit.buffer.life import Life, frame, schema

FAST, SLOW = schema(), schema("press2")


async def newest(life: Life, count: int, *names: str) -> Recorded:
    def wanted(one: Schema) -> bool:
        return not names or one.connection in names

    return await asyncio.to_thread(recorded.newest, life.database, wanted, count)


async def test_the_newest_frames_come_oldest_first_as_they_were_committed(life: Life) -> None:
    agent = await life.start()
    for n in range(1, 41):  # more batches than are read at a time
        await agent.commit(FAST, n)
        if n % 10 == 0:
            await agent.commit(SLOW, n // 10)
    found = await newest(life, 5)
    assert [(one.connection, each.n) for one, each in found.frames] == [
        ("press1", 37), ("press1", 38), ("press1", 39), ("press1", 40), ("press2", 4),
    ]  # fmt: skip
    assert found.frames[3] == (FAST, frame(40))
    rare = await newest(life, 3, "press2")
    assert [each.n for _, each in rare.frames] == [2, 3, 4]
    assert len((await newest(life, 1_000)).frames) == 44
    await agent.stop()
    assert await newest(life, 5) == found


async def test_frames_of_one_batch_are_in_the_order_of_their_reads(life: Life) -> None:
    agent = await life.start()
    await agent.put(SLOW, 2)
    await agent.put(FAST, 1, 3)
    await agent.store.flush()
    await agent.stop()
    found = await newest(life, 10)
    assert [(one.connection, each.n) for one, each in found.frames] == [
        ("press1", 1), ("press2", 2), ("press1", 3),
    ]  # fmt: skip


async def test_a_damaged_batch_is_left_out_and_said(life: Life) -> None:
    agent = await life.start()
    for n in (1, 2, 3):
        await agent.commit(FAST, n)
    await agent.stop()
    await life.sql("UPDATE batch SET body = x'00' WHERE id = ?", (batch_id(1, 2),))
    found = await newest(life, 10)
    assert [each.n for _, each in found.frames] == [1, 3]
    assert found.left_out == ["batch 2 of epoch 1: left out: its body is not what was stored"]


async def test_a_file_that_is_not_there_is_said(life: Life) -> None:
    with pytest.raises(Unavailable, match="there is no such file"):
        await newest(life, 1)
