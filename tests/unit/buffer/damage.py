"""Buffers that are damaged on purpose, and what is asked of every start behind that."""

import asyncio
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import zstandard

from edge_agent.buffer import pages, quarantine
from edge_agent.buffer.errors import BufferFault
from edge_agent.wire import ranges
from edge_agent.wire.batch import Batch, Kind, content_hash
from edge_agent.wire.messages import Loss, LossReason
from tests.unit.buffer.life import Agent, Contents, Life, schema

FAST = schema()
# Rows that do not fit a page, so that there are overflow pages.
WIDE = schema(group="wide", tags=6000)
BATCHES = 60


async def kept(life: Life) -> list[quarantine.Quarantined]:
    return await asyncio.to_thread(quarantine.listed, life.database)


def flip(path: Path, offset: int, length: int = 1) -> None:
    data = bytearray(path.read_bytes())
    for place in range(offset, offset + length):
        data[place] ^= 0x55
    path.write_bytes(data)


async def filled(life: Life, *, delivered: int = 0, wide: bool = True, kill: bool = False) -> Agent:
    """A stopped agent's database of BATCHES batches of one frame; the first `delivered` were delivered."""
    agent = await life.start()
    for n in range(1, BATCHES + 1):
        await agent.commit(WIDE if wide and n % 5 == 0 else FAST, n)
    if delivered:
        agent.outbox.acknowledge(agent.outbox.current_epoch, [(1, delivered)])
        await agent.store.flush(settle=True)
    await (agent.kill() if kill else agent.stop())
    return agent


def events(contents: Contents) -> list[dict[str, Any]]:
    return [event for stored in contents.batches for event in stored.batch.records(Kind.EVENT)]


def leaf_of(path: Path, key: int) -> int:
    """Number of the page that a batch stands on."""
    with pages.View(path, path, []) as view:
        free = view.free_pages()
        for number in range(1, view.page_count + 1):
            if number not in free and any(cell.rowid == key for cell in view.cells(number)):
                return number
    raise AssertionError("it is nowhere")


def root(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    return int(page)


async def assert_accounted(life: Life, epoch_no: int = 1) -> tuple[set[int], set[int]]:
    """Every name of the old epoch is stored as it was or covered by a loss. Returns (stored, lost) seqs."""
    contents = await life.contents()
    stored = {each.seq for each in contents.batches if each.epoch_no == epoch_no}
    lost = {
        seq
        for loss in contents.losses
        if loss.epoch == contents.epochs[epoch_no]
        for lo, hi in loss.seqs
        for seq in range(lo, hi + 1)
    }
    assert all(loss.reason is LossReason.UNREADABLE and not loss.exact for loss in contents.losses)
    assert not stored & lost
    assert stored | lost == set(range(1, BATCHES + 1))
    assert contents.why[-1] == "salvage"
    # Under its own name: batch n has frame n, by construction.
    for each in contents.batches:
        if each.epoch_no == epoch_no:
            [(numbers, _)] = each.batch.contents().values()
            assert numbers == [(each.seq, each.seq)]
    assert await life.sql("PRAGMA integrity_check") == [("ok",)]
    return stored, lost


async def drained(agent: Agent) -> dict[tuple[int, int], bytes]:
    """Everything that can be fetched, acknowledged as a centre would: bodies by name."""
    sent: dict[tuple[int, int], bytes] = {}
    for _ in range(400):
        held = agent.held()
        if not held:
            return sent
        no = min(held)
        items = await agent.outbox.fetch(no, held[no], 20_000)
        await agent.store.flush()
        with suppress(BufferFault):
            for name in (FAST.hash, WIDE.hash):
                assert await agent.outbox.schema(name) in (None, FAST.canonical, WIDE.canonical)
        for item in items:
            assert content_hash(item.body) == item.hash
            assert (no, item.seq) not in sent
            sent[no, item.seq] = bytes(item.body)
        agent.outbox.acknowledge(no, ranges.of_numbers(item.seq for item in items))
    raise AssertionError("it never ends")


def losses_in(body: bytes | memoryview) -> list[Loss]:
    """The loss records of a batch that was packed with zstd."""
    raw = zstandard.ZstdDecompressor().decompress(body)
    return [Loss.model_validate(record) for record in Batch.open(raw, 0, len(raw)).records(Kind.LOSS)]
