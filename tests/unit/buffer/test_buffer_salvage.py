"""Damaged databases at a start: quarantined, what can be read is taken over, the rest accounted for."""

import asyncio
import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import zstandard

from edge_agent.buffer import opening, pages, quarantine
from edge_agent.buffer.errors import BufferFault, NewerDatabase, NotABuffer
from edge_agent.buffer.ledger import batch_id
from edge_agent.buffer.pages import PAGE_BYTES, WAL_FRAME_BYTES, WAL_HEAD
from edge_agent.buffer.quarantine import Stage
from edge_agent.wire import ranges
from edge_agent.wire.batch import Batch, Kind, content_hash
from edge_agent.wire.messages import Loss, LossReason
from tests.unit.buffer.life import ALL_BYTES, WHOLE, Agent, Contents, Life, schema

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
    with suppress(BufferFault):
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


async def drained(agent: Agent) -> dict[tuple[int, int], bytes]:
    """Everything that can be fetched, acknowledged as a centre would: bodies by name."""
    sent: dict[tuple[int, int], bytes] = {}
    for _ in range(400):
        held = agent.held()
        if not held:
            return sent
        no = min(held)
        try:
            items = await agent.outbox.fetch(no, held[no], 20_000)
            for name in (FAST.hash, WIDE.hash):
                assert await agent.outbox.schema(name) in (None, FAST.canonical, WIDE.canonical)
        except BufferFault:
            await agent.store.flush()
            continue
        for item in items:
            assert content_hash(item.body) == item.hash
            assert (no, item.seq) not in sent
            sent[no, item.seq] = item.body
        agent.outbox.acknowledge(no, ranges.of_numbers(item.seq for item in items))
    raise AssertionError("it never ends")


def losses_in(body: bytes) -> list[Loss]:
    raw = zstandard.ZstdDecompressor().decompress(body)
    return [Loss.model_validate(record) for record in Batch.open(raw, 0, len(raw)).records(Kind.LOSS)]


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


# --- the log -----------------------------------------------------------------------------------------------


async def killed_with_a_log(life: Life, damage: Callable[[Path], None]) -> Agent:
    """A start after a kill, in the same boot, with a log that was damaged meanwhile."""
    agent = await life.start()
    log = life.database.with_name("buffer.db-wal")
    for n in range(1, 21):
        await agent.commit(FAST, n)
    # What the last connection does when it is closed is not done by a process that is killed.
    saved = {path: await asyncio.to_thread(path.read_bytes) for path in (life.database, log)}
    await agent.kill()
    for path, data in saved.items():
        await asyncio.to_thread(path.write_bytes, data)
    await asyncio.to_thread(damage, log)
    return await life.start()


async def test_a_log_that_is_whole_is_taken_as_it_is(life: Life) -> None:
    agent = await killed_with_a_log(life, lambda path: None)
    assert await kept(life) == []
    assert len((await life.contents()).frames()) == 20
    assert (await life.contents()).why == ["new database"]
    await agent.stop()


@pytest.mark.parametrize("where", ["header", "frame head", "page"])
async def test_commits_behind_a_flipped_bit_of_the_log_are_taken_over(life: Life, where: str) -> None:
    """SQLite ends the log there without a word, and would give the names of what is behind it again."""
    middle = 30
    offset = {
        "header": 17,
        "frame head": WAL_HEAD.size + middle * WAL_FRAME_BYTES + 16,
        "page": WAL_HEAD.size + middle * WAL_FRAME_BYTES + 2_000,
    }[where]
    agent = await killed_with_a_log(life, lambda path: flip(path, offset))
    contents = await life.contents()
    lost = {seq for loss in contents.losses for lo, hi in loss.seqs for seq in range(lo, hi + 1)}
    stored = {each.seq for each in contents.batches if each.epoch_no == 1}
    assert stored | lost == set(range(1, 21))
    assert len(lost) <= 1
    assert set(contents.frames().values()) == {1}
    assert contents.why == ["new database", "salvage"]
    [note] = await kept(life)
    assert (note.stage, note.log_only) == (Stage.SALVAGED, True)
    await agent.stop()


async def test_a_log_that_was_cut_off_gives_what_is_in_front_of_the_cut(life: Life) -> None:
    cut = WAL_HEAD.size + 40 * WAL_FRAME_BYTES + 1_000
    agent = await killed_with_a_log(life, lambda path: os.truncate(path, cut))
    frames = (await life.contents()).frames()
    assert 5 < len(frames) < 20
    assert sorted(n for _, _, _, n in frames) == list(range(1, len(frames) + 1))
    assert await kept(life) == []
    await agent.stop()


async def test_a_log_whose_database_is_empty_is_salvaged_and_not_deleted(life: Life) -> None:
    agent = await killed_with_a_log(life, lambda log: os.truncate(log.with_name("buffer.db"), 0))
    contents = await life.contents()
    assert {each.seq for each in contents.batches if each.epoch_no == 1} == set(range(1, 21))
    assert contents.why == ["new database", "salvage"]
    await agent.stop()


# --- gone, or none of ours ---------------------------------------------------------------------------


@pytest.mark.parametrize("empty", [False, True])
async def test_a_lost_database_is_begun_anew_and_an_event_says_so(life: Life, empty: bool) -> None:
    await filled(life, wide=False)
    await asyncio.to_thread(life.database.unlink)
    if empty:
        await asyncio.to_thread(life.database.touch)
    agent = await life.start()
    contents = await life.contents()
    assert [event["code"] for event in events(contents)] == ["buffer_lost"]
    assert contents.why == ["new database"]
    await agent.commit(FAST, 1)
    await agent.stop()
    agent = await life.start()
    assert len(events(await life.contents())) == 1
    await agent.stop()


async def test_a_first_start_is_no_loss(life: Life) -> None:
    agent = await life.start()
    assert events(await life.contents()) == []
    await agent.stop()


def files(directory: Path) -> dict[str, bytes]:
    # The ballast and the runtime directory are no part of a database.
    return {path.name: path.read_bytes() for path in directory.glob("buffer.db*") if path.is_file()}


async def test_no_byte_of_a_newer_database_changes(life: Life) -> None:
    agent = await life.start()
    await agent.commit(FAST, 1)
    await agent.store._writer._connection.run(lambda db: db.execute("PRAGMA user_version=99").fetchall())
    before = await asyncio.to_thread(files, life.directory)
    assert len(before["buffer.db-wal"]) > WAL_HEAD.size
    await agent.kill()
    for name, data in before.items():
        await asyncio.to_thread((life.directory / name).write_bytes, data)
    with pytest.raises(NewerDatabase, match="newer version"):
        await life.start()
    after = await asyncio.to_thread(files, life.directory)
    del before["buffer.db-shm"], after["buffer.db-shm"]
    assert after == before


@pytest.mark.parametrize(
    "content", [b"somebody's notes\n" * 1000, os.urandom(50_000), b"%PDF-1.7\n" + b"x" * 9000]
)
async def test_a_file_that_was_never_ours_is_refused_and_stays(life: Life, content: bytes) -> None:
    await asyncio.to_thread(life.database.write_bytes, content)
    with pytest.raises(NotABuffer):
        await life.start()
    assert await asyncio.to_thread(life.database.read_bytes) == content
    assert await kept(life) == []


@pytest.mark.parametrize("sound", [True, False])
async def test_another_programs_database_is_refused_and_stays(life: Life, sound: bool) -> None:
    await life.sql("CREATE TABLE notes(text)")
    await life.sql("INSERT INTO notes VALUES('mine')")
    if not sound:
        await asyncio.to_thread(flip, life.database, 110, 300)
    before = await asyncio.to_thread(life.database.read_bytes)
    with pytest.raises(NotABuffer):
        await life.start()
    assert await asyncio.to_thread(life.database.read_bytes) == before
    assert await kept(life) == []


@pytest.mark.parametrize("content", [bytes(20_000), os.urandom(20_000)])
async def test_garbage_in_place_of_what_was_ours_does_not_stop_the_start(life: Life, content: bytes) -> None:
    """telegraf#18528: a damaged file stopped the start. Here it is moved aside, and kept."""
    await filled(life, wide=False)
    await asyncio.to_thread(life.database.write_bytes, content)
    agent = await life.start()
    [note] = await kept(life)
    assert await asyncio.to_thread(note.database.read_bytes) == content
    assert [event["code"] for event in events(await life.contents())] == ["buffer_salvaged"]
    await agent.commit(FAST, 1)
    await agent.stop()


# --- dying half way, and keeping within bounds --------------------------------------------------------


@pytest.mark.parametrize("until", ["noted", "log moved", "moved", "copied in part", "copied"])
async def test_a_salvage_that_dies_is_gone_on_with(life: Life, until: str) -> None:
    await filled(life, delivered=10)
    await asyncio.to_thread(flip, life.database, 0, 100)
    await asyncio.to_thread(_salvage_until, life, until)
    agent = await life.start()
    stored, lost = await assert_accounted(life)
    assert (len(stored), lost) == (BATCHES, set())
    assert agent.held()[1] == [(11, BATCHES)]
    assert [note.stage for note in await kept(life)] == [Stage.SALVAGED]
    await agent.stop()
    agent = await life.start()
    assert len(events(await life.contents())) == 1
    await agent.stop()


def _salvage_until(life: Life, until: str) -> None:
    """What a start that was killed there has left."""
    aside = quarantine._begin(life.database, "damaged", Stage.MOVING, log_only=False)
    if until == "noted":
        return
    if until == "log moved":
        log = life.database.with_name("buffer.db-wal")
        log.write_bytes(b"")
        log.rename(aside.log)
        return
    quarantine._move(life.database, aside)
    if until == "moved":
        return
    opening.open_writer(life.database, 1 << 30).close()
    if until == "copied in part":
        with closing(sqlite3.connect(life.database)) as db:
            db.execute("DELETE FROM batch WHERE id % 3 = 0")
            db.execute("DELETE FROM state")
            db.commit()


async def test_quarantine_keeps_within_a_quarter_of_the_quota_and_the_unsalvaged(life: Life) -> None:
    await filled(life)
    for _ in range(3):
        await asyncio.to_thread(flip, life.database, 0, 100)
        agent = await life.start()
        await agent.stop()
    names = [note.name for note in await kept(life)]
    assert len(names) == 3
    taken = await asyncio.to_thread(quarantine.quarantine_bytes, life.database)
    assert taken >= 3 * 200_000
    oldest = (await kept(life))[0]
    await asyncio.to_thread(quarantine.note, oldest, Stage.KEPT)
    await asyncio.to_thread(quarantine.trim, life.database, 4 * (taken * 3 // 4))
    assert [note.name for note in await kept(life)] == [names[0], names[2]]
    await asyncio.to_thread(quarantine.trim, life.database, 0)
    assert [note.name for note in await kept(life)] == [names[0]]


async def test_what_was_delivered_is_not_sent_again_after_a_salvage(life: Life) -> None:
    """telegraf#16500: after a restart the whole backlog went out once more."""
    await filled(life, delivered=40)
    await asyncio.to_thread(flip, life.database, 0, 100)
    agent = await life.start()
    sent = await drained(agent)
    assert {seq for no, seq in sent if no == 1} == set(range(41, BATCHES + 1))
    await agent.stop()
