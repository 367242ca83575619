"""What `edge-agent buffer` reads of a file: sums, soundness, samples; while the agent runs and after."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from edge_agent.buffer import export, survey, verify
from edge_agent.buffer.ledger import batch_id
from edge_agent.contracts.errors import ConfigError, Unavailable
from edge_agent.contracts.stored import Fault, SampleQuery, StoredSample
from edge_agent.wire.frame import Frame
from edge_agent.wire.quality import Quality, QualityRun, SourceRun
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from tests.unit.buffer.life import Life, frame, schema

FAST = schema()
AT = frame(1).wall_ms
EVERYTHING = SampleQuery()


def silent(done: int, total: int) -> None:
    return


async def stats(life: Life, path: Path | None = None) -> dict[str, Any]:
    return await asyncio.to_thread(survey.stats, path or life.database, 1 << 30, silent)


async def faults(life: Life) -> list[Fault]:
    return await asyncio.to_thread(lambda: list(verify.verify(life.database, silent)))


async def samples(life: Life, query: SampleQuery = EVERYTHING) -> list[StoredSample | str]:
    return await asyncio.to_thread(lambda: list(export.samples(life.database, query)))


async def test_the_sums_of_a_running_agent_are_exact(life: Life) -> None:
    agent = await life.start()
    for n in (1, 2, 3, 4):
        await agent.put(FAST, n, suppressed=2)
        await agent.store.flush()
    await agent.outbox.fetch(1, [(3, 3)], 1)
    await agent.outbox.reject(1, 3, "hash_mismatch")
    agent.outbox.acknowledge(1, [(1, 2)])
    await agent.store.flush(settle=True)
    found = await stats(life)
    assert found["sums"] == [
        {"run": "r001", "connection": "press1", "read": 24, "suppressed": 8, "framed": 16, "held": 4,
         "delivered": 8, "lost": 4},
    ]  # fmt: skip
    assert found["batches"] == {"held": 2, "delivered": 2, "written_off": 1, "all": 5}
    assert found["samples"] == {"held": 4, "delivered": 8, "written_off": 4}
    assert found["losses"] == [{"reason": "rejected", "records": 1, "samples": 4, "at_most": 0}]
    assert [(each["next"], each["held"], each["floor"]) for each in found["epochs"]] == [(6, 2, 3)]
    assert found["bytes"]["all"] == sum(size for name, size in found["bytes"].items() if name != "all")
    assert found["bytes"]["wal"] > 0
    assert found["oldest_held"] == frame(4).wall_ms
    assert await faults(life) == []
    await agent.stop()


async def test_looking_changes_no_byte_and_leaves_nothing_behind(life: Life) -> None:
    agent = await life.start()
    await agent.commit(FAST, 1, 2)
    await agent.stop()
    before = await asyncio.to_thread(life.database.read_bytes)
    files = await asyncio.to_thread(lambda: sorted(life.directory.glob("buffer.db*")))
    await stats(life)
    assert await faults(life) == []
    assert len(await samples(life)) == 8
    assert await asyncio.to_thread(life.database.read_bytes) == before
    assert await asyncio.to_thread(lambda: sorted(life.directory.glob("buffer.db*"))) == files


async def test_verify_finds_what_is_wrong_with_a_batch(life: Life) -> None:
    agent = await life.start()
    for n in (1, 2, 3):
        await agent.commit(FAST, n)
    await agent.commit(FAST, 5)
    await agent.commit(FAST, 5)
    await agent.stop()
    await life.sql("UPDATE batch SET body = x'00' WHERE id = ?", (batch_id(1, 1),))
    await life.sql("UPDATE batch SET samples = 9 WHERE id = ?", (batch_id(1, 2),))
    found = {fault.where: fault.what for fault in await faults(life)}
    assert found["batch 1 of epoch 1"] == "its body is not what was stored"
    assert found["batch 2 of epoch 1"] == "its row counts other samples than its body"
    assert found["batch 5 of epoch 1"].endswith("are stored twice")
    assert found["before batch 4"].startswith("frames 4 of press1.fast in run r001 are missing")
    assert len(found) == 4


async def test_verify_finds_batches_and_schemas_that_are_gone(life: Life) -> None:
    agent = await life.start()
    for n in (1, 2, 3):
        await agent.commit(FAST, n)
    await agent.stop()
    await life.sql("DELETE FROM batch WHERE id = ?", (batch_id(1, 2),))
    assert [(each.what, each.where) for each in await faults(life)] == [
        ("batches 2 are to be sent and are not there", "epoch 1")
    ]
    await life.sql("DELETE FROM schema")
    assert any("schema" in each.what for each in await faults(life))


async def test_verify_finds_damaged_pages_and_files(life: Life) -> None:
    agent = await life.start()
    for n in range(1, 100):
        await agent.commit(FAST, n)
    await agent.stop()
    data = bytearray(await asyncio.to_thread(life.database.read_bytes))
    data[4 * 4096 : 4 * 4096 + 300] = bytes(300)
    await asyncio.to_thread(life.database.write_bytes, data)
    [first, *_] = await faults(life)
    assert first.where == str(life.database)
    assert "restart the agent" in first.remedy
    data[:100] = bytes(100)
    await asyncio.to_thread(life.database.write_bytes, data)
    assert [each.what for each in await faults(life)] == ["file is not a database"]
    with pytest.raises(Unavailable, match="restart the agent"):
        await stats(life)
    found = await samples(life)
    assert isinstance(found[0], str)
    assert len(found) == 1 + 4 * 99
    assert await asyncio.to_thread(life.database.read_bytes) == data


async def test_what_is_no_buffer_or_not_there_is_said(life: Life) -> None:
    with pytest.raises(Unavailable, match="no such file"):
        await stats(life)
    await life.sql("CREATE TABLE notes(text)")
    with pytest.raises(ConfigError, match="not an agent's buffer"):
        await stats(life)


async def test_samples_have_engineering_values_quality_and_both_times(life: Life) -> None:
    described = Schema.of(
        "프레스1", "fast", 7,
        [
            TagSchema("온도", ValueType.UINT16, scale=0.1, unit="°C"),
            TagSchema("pair", ValueType.INT16, count=2),
            TagSchema("name", ValueType.STRING),
        ],
    )  # fmt: skip
    place = {tag.name: index for index, tag in enumerate(described.tags)}
    row = bytearray(described.row_bytes)
    edges = described.edges
    row[edges[place["온도"]] : edges[place["온도"]] + 2] = (215).to_bytes(2, "little")
    row[edges[place["pair"]] : edges[place["pair"]] + 4] = b"\x01\x00\xff\xff"
    agent = await life.start()
    await agent.store.announce([described])
    source = (SourceRun(place["온도"], 1, AT - 5),)
    bad = (QualityRun(place["온도"], 1, Quality.BAD_COMM),)
    agent.store.append(described, Frame(1, 1, AT, bytes(row), 3, text=("압출",), source=source))
    agent.store.append(described, Frame(2, 2, AT + 1000, bytes(row), 3, text=("압출",), quality=bad))
    await agent.store.flush()
    found = [each for each in await samples(life) if isinstance(each, StoredSample)]
    assert {(each.n, each.tag): each.value for each in found} == {
        (1, "온도"): 21.5, (1, "pair"): [1, -1], (1, "name"): "압출",
        (2, "온도"): None, (2, "pair"): [1, -1], (2, "name"): "압출",
    }  # fmt: skip
    first = next(each for each in found if each.tag == "온도")
    assert first == StoredSample(AT, AT - 5, "프레스1", "fast", 7, "온도", 21.5, "°C", "good", "r001", 1)
    assert [each.quality for each in found if each.tag == "온도"] == ["good", "bad_comm"]
    later = await samples(life, SampleQuery(start=AT + 1, tags=("온*",)))
    assert [(each.n, each.tag) for each in later if isinstance(each, StoredSample)] == [(2, "온도")]
    assert await samples(life, SampleQuery(connection="press2")) == []
    assert await samples(life, SampleQuery(end=AT)) == []
    await agent.stop()
