"""Damaged logs, files that are gone or none of ours, and salvages that die half way."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edge_agent.buffer import file, opening, quarantine, salvage
from edge_agent.buffer.errors import NewerDatabase, NotABuffer
from edge_agent.buffer.pages import WAL_FRAME_BYTES, WAL_HEAD
from edge_agent.buffer.quarantine import Stage
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
)
from tests.unit.buffer.life import Agent, Life

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
    await life.sql("PRAGMA user_version=99")
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
    "content",
    [b"somebody's notes\n" * 1000, os.urandom(50_000), b"%PDF-1.7\n" + b"x" * 9000],
    ids=["notes", "noise", "pdf"],
)
async def test_a_file_that_was_never_ours_is_refused_and_stays(life: Life, content: bytes) -> None:
    await asyncio.to_thread(life.database.write_bytes, content)
    with pytest.raises(NotABuffer):
        await life.start()
    assert await asyncio.to_thread(life.database.read_bytes) == content
    assert await kept(life) == []


async def test_a_directory_in_place_of_the_file_is_refused_and_no_failing_disk(life: Life) -> None:
    """Nothing that waits in memory would ever be stored."""
    life.database.mkdir()
    with pytest.raises(NotABuffer, match=r"is a directory: set buffer\.path"):
        await life.start()


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


@pytest.mark.parametrize("content", [bytes(20_000), os.urandom(20_000)], ids=["zeros", "noise"])
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


async def test_a_start_does_not_wait_for_a_large_salvage_and_keeps_frames_in_memory(life: Life) -> None:
    await filled(life, wide=False)
    await asyncio.to_thread(life.database.write_bytes, os.urandom(17 << 20))
    agent = await life.start()
    assert agent.store.openings == 0
    await agent.put(FAST, 1)
    assert agent.store.memory.frame_count == 1
    await agent.store.flush()
    assert agent.store.openings == 1
    contents = await life.contents()
    assert sum(contents.frames().values()) == 1
    assert "buffer_salvaged" in {event["code"] for event in events(contents)}
    await agent.stop()


async def test_where_the_disk_cannot_hold_both_what_was_to_be_sent_comes_first(life: Life) -> None:
    """Delivered batches are left out; the agent goes on and does not wait for room that never comes."""
    await filled(life, delivered=40)
    await asyncio.to_thread(_salvage_with_room, life, [1 << 30, 0])
    agent = await life.start()
    contents = await life.contents()
    assert [each.seq for each in contents.batches if each.epoch_no == 1] == list(range(41, BATCHES + 1))
    assert contents.losses == []
    assert "buffer_salvaged" in {event["code"] for event in events(contents)}
    await agent.commit(FAST, BATCHES + 1)
    await agent.stop()


async def test_what_a_full_disk_cannot_take_over_is_accounted_for(life: Life) -> None:
    await filled(life, delivered=40)
    await asyncio.to_thread(_salvage_with_room, life, [0])
    agent = await life.start()
    [loss] = (await life.contents()).losses
    assert (loss.reason, loss.seqs) == (LossReason.UNREADABLE, [(41, BATCHES)])
    assert "no room" in loss.detail
    await agent.stop()


def _salvage_with_room(life: Life, free: list[int]) -> None:
    quarantine.set_aside(life.database, "damaged")
    db, _ = file.connect_writer(life.database, 1 << 30)
    answers = iter(free)
    with closing(db):
        salvage.take_over(db, life.database, lost=False, file_system=lambda _: (1 << 30, next(answers)))
