"""Damaged pages: what can be read is taken over under its own name, the rest is accounted for."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.buffer.ledger import batch_id
from edge_agent.buffer.pages import PAGE_BYTES
from edge_agent.buffer.quarantine import Stage
from edge_agent.wire import ranges
from edge_agent.wire.batch import content_hash
from edge_agent.wire.messages import LossReason
from tests.unit.buffer.damage import (
    BATCHES,
    FAST,
    assert_accounted,
    drained,
    events,
    filled,
    flip,
    kept,
    leaf_of,
    losses_in,
    root,
)
from tests.unit.buffer.life import ALL_BYTES, WHOLE, Agent, Life

# --- where the damage is ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "damage"),
    [
        ("header", lambda path: flip(path, 0, 100)),
        ("page 1", lambda path: flip(path, 0, PAGE_BYTES)),
        ("schema of the tables", lambda path: flip(path, PAGE_BYTES - 800, 700)),
        ("root of the batches", lambda path: flip(path, (root(path, "batch") - 1) * PAGE_BYTES, 200)),
        ("page count", lambda path: flip(path, 28, 4)),
        ("application id", lambda path: flip(path, 68, 4)),
    ],
)
async def test_a_damaged_structure_costs_no_batch(
    life: Life, what: str, damage: Callable[[Path], None]
) -> None:
    await filled(life, delivered=10)
    await asyncio.to_thread(damage, life.database)
    agent = await life.start()
    stored, lost = await assert_accounted(life)
    assert (len(stored), lost) == (BATCHES, set())
    assert agent.held()[1] == [(11, BATCHES)]
    [note] = await kept(life)
    assert note.stage is Stage.SALVAGED
    assert note.why
    [event] = events(await life.contents())
    assert event["code"] == "buffer_salvaged"
    assert event["data"] == {"quarantine": [note.name], "batches": BATCHES, "unreadable": 0}
    await agent.stop()


async def test_a_damaged_leaf_costs_its_batches_alone_and_each_is_recorded(life: Life) -> None:
    await filled(life, wide=False)
    number = await asyncio.to_thread(leaf_of, life.database, batch_id(1, BATCHES // 2))
    await asyncio.to_thread(flip, life.database, (number - 1) * PAGE_BYTES, PAGE_BYTES)
    agent = await damaged_while_running(life)
    stored, lost = await assert_accounted(life)
    assert lost
    assert stored
    [loss] = (await life.contents()).losses
    assert loss.max == 4 * len(lost)
    assert agent.held()[1] == ranges.of_numbers(stored)
    await agent.stop()


async def damaged_while_running(life: Life) -> Agent:
    """A start, and whoever meets the damage first: the account of the start, or a reader."""
    agent = await life.start()
    await agent.store.flush()
    # It does not raise: a page must not end the upload.
    await agent.outbox.fetch(1, WHOLE, ALL_BYTES)
    await agent.store.flush()
    assert len(await kept(life)) == 1
    return agent


# --- while running -----------------------------------------------------------------------------------------


async def test_a_flipped_bit_in_a_body_is_never_sent(life: Life) -> None:
    await filled(life, wide=False)
    [(body,)] = await life.sql("SELECT body FROM batch WHERE id = ?", (batch_id(1, 7),))
    data = await asyncio.to_thread(life.database.read_bytes)
    # Also where the page was before it was divided.
    places = [at for at in range(len(data)) if data.startswith(body, at)]
    for place in places:
        await asyncio.to_thread(flip, life.database, place + len(body) // 2)
    agent = await life.start()
    items = await agent.outbox.fetch(1, WHOLE, ALL_BYTES)
    assert 7 not in {item.seq for item in items}
    assert await kept(life) == []
    held = agent.held()[1]
    assert not ranges.contains(held, 7)
    [record] = await agent.outbox.fetch(1, [(held[-1][1], held[-1][1])], ALL_BYTES)
    [loss] = losses_in(record.body)
    assert (loss.reason, loss.seqs, loss.exact, loss.max) == (LossReason.UNREADABLE, [(7, 7)], False, 4)
    assert agent.store.report().pending_samples == 4 * (BATCHES - 1)
    await agent.stop()


@pytest.mark.parametrize("seed", range(16))
async def test_wherever_a_page_is_damaged_each_batch_arrives_as_it_was_or_is_a_loss(
    life: Life, seed: int
) -> None:
    await filled(life)
    contents = await life.contents()
    before = {each.seq: each.hash for each in contents.batches}
    epoch = contents.epochs[1]
    choice = random.Random(seed)
    size = (await asyncio.to_thread(life.database.stat)).st_size
    page = seed % 5 if seed < 5 else choice.randrange(size // PAGE_BYTES)
    length = choice.choice([1, 8, 300, PAGE_BYTES])
    start = page * PAGE_BYTES + choice.randrange(PAGE_BYTES - length + 1)
    await asyncio.to_thread(flip, life.database, start, length)
    agent = await life.start()
    await agent.store.flush()
    sent = await drained(agent)
    lost = {
        seq
        for body in sent.values()
        for loss in losses_in(body)
        if loss.epoch == epoch
        for lo, hi in loss.seqs
        for seq in range(lo, hi + 1)
    }
    arrived = {seq for no, seq in sent if no == 1}
    assert all(content_hash(sent[1, seq]) == before[seq] for seq in arrived & before.keys())
    assert arrived | lost >= set(range(1, BATCHES + 1))
    assert not arrived & lost & before.keys()
    assert len(lost) < BATCHES // 2
    await agent.commit(FAST, BATCHES + 1)
    await agent.stop()
