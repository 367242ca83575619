"""Starts: after a kill, a power cut, a clean stop, in a copied, damaged or foreign place."""

import asyncio
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from edge_agent.buffer.errors import NewerDatabase, NotABuffer, OtherDevice
from edge_agent.buffer.ledger import batch_id
from edge_agent.contracts.errors import ConfigError, InvariantBroken
from edge_agent.runtime.errors import InUse
from edge_agent.wire.batch import FramesPart, Origin, encode
from edge_agent.wire.frame import Frame
from edge_agent.wire.messages import LossReason
from tests.unit.buffer.life import ALL_BYTES, WHOLE, Life, frame, schema

FAST = schema()


def each_once(run: str, *numbers: int, group: str = "fast") -> dict[tuple[str, str, str, int], int]:
    return {(run, "press1", group, n): 1 for n in numbers}


# --- killed --------------------------------------------------------------------------------------------


async def test_a_killed_process_loses_nothing(life: Life) -> None:
    agent = await life.start()
    await agent.commit(FAST, 1, 2, 3)
    await agent.put(FAST, 4, 5)
    await agent.kill()
    agent = await life.start()
    assert agent.store.recovered_frames == 2
    assert agent.store.recovered_losses == []
    assert (await life.contents()).frames() == each_once("r001", 1, 2, 3, 4, 5)
    assert {stored.batch.origin.run for stored in (await life.contents()).batches} == {"r001"}
    await agent.stop()


async def test_frames_whose_commit_was_the_last_thing_are_not_stored_twice(life: Life) -> None:
    agent = await life.start()
    slow = schema(group="slow")
    await agent.commit(FAST, 1)
    await agent.put(FAST, 2, 3)
    await agent.put(slow, 1)
    saved = {path: path.read_bytes() for path in life.segments()}
    await agent.store.flush()
    await agent.put(FAST, 4)
    await agent.kill()
    for path in life.segments():
        path.unlink()
    for path, data in saved.items():
        path.write_bytes(data)
    agent = await life.start()
    assert agent.store.recovered_frames == 0
    assert (await life.contents()).frames() == each_once("r001", 1, 2, 3) | each_once("r001", 1, group="slow")
    await agent.stop()


async def test_a_commit_of_many_batches_is_told_from_what_came_after_it(life: Life) -> None:
    agent = await life.start()
    noise = random.Random(3)
    groups = [schema(group=f"g{index}", tags=1000) for index in range(6)]
    await agent.commit(FAST, 1)
    await agent.store.announce(groups)
    for described in groups:
        for n in range(1, 401):
            agent.store.append(described, Frame(n, n, n, noise.randbytes(2000), 1000))
    saved = {path: path.read_bytes() for path in life.segments()}
    await agent.store.flush()
    batches = len((await life.contents()).batches)
    assert batches > 8
    await agent.put(groups[0], 401)
    await agent.kill()
    for path, data in saved.items():
        path.write_bytes(data)
    newest = max(life.segments())
    newest.unlink()
    agent = await life.start()
    assert agent.store.recovered_frames == 0
    assert set((await life.contents()).frames().values()) == {1}
    await agent.stop()


async def test_a_start_that_was_killed_behind_its_commit_is_not_repeated(life: Life) -> None:
    agent = await life.start()
    await agent.commit(FAST, 1)
    await agent.put(FAST, 2)
    await agent.kill()
    saved = {path: path.read_bytes() for path in life.segments()}
    for _ in range(3):
        agent = await life.start()
        await agent.kill()
        for path, data in saved.items():
            path.write_bytes(data)
    agent = await life.start()
    await agent.stop()
    contents = await life.contents()
    assert contents.frames() == each_once("r001", 1, 2)
    assert contents.losses == []


async def test_frames_of_several_killed_runs_keep_their_runs(life: Life) -> None:
    agent = await life.start()
    await agent.put(FAST, 1)
    await agent.kill()
    first = {path: path.read_bytes() for path in life.segments()}
    agent = await life.start(has_sink=True)
    await agent.put(FAST, 1)
    await agent.kill()
    for path, data in first.items():
        path.write_bytes(data)
    agent = await life.start()
    assert (await life.contents()).frames() == each_once("r001", 1) | each_once("r002", 1)
    await agent.stop()


async def test_a_restart_in_the_same_boot_goes_on_in_its_epoch(life: Life) -> None:
    agent = await life.start()
    await agent.commit(FAST, 1)
    await agent.kill()
    agent = await life.start()
    await agent.commit(FAST, 1)
    assert agent.outbox.current_epoch == 1
    assert [stored.seq for stored in (await life.contents()).batches] == [1, 2]
    await agent.stop()


async def test_a_kill_without_the_runtime_directory_is_a_loss(life: Life) -> None:
    agent = await life.start()
    await agent.commit(FAST, *range(1, 61))
    await agent.put(FAST, 61)
    await agent.kill()
    life.lose_runtime()
    await life.clock.advance(70)
    agent = await life.start()
    [loss] = agent.store.recovered_losses
    assert (loss.reason, loss.exact) == (LossReason.UNCLEAN_STOP, False)
    assert "r001" in loss.detail
    assert "runtime directory" in loss.detail
    assert loss.t0 == frame(60).wall_ms
    assert loss.max is not None
    assert loss.max >= 4
    assert [each.reason for each in (await life.contents()).losses] == [LossReason.UNCLEAN_STOP]
    await agent.kill()
    agent = await life.start()
    assert agent.store.recovered_losses == []
    await agent.stop()


async def test_a_kill_with_a_ring_that_was_full_is_a_loss_and_the_rest_is_kept(life: Life) -> None:
    agent = await life.start(ring_bytes=1000)
    await agent.put(FAST, *range(1, 21))
    await agent.kill()
    agent = await life.start()
    assert 0 < agent.store.recovered_frames < 20
    [loss] = agent.store.recovered_losses
    assert loss.reason is LossReason.UNCLEAN_STOP
    assert "full" in loss.detail
    await agent.stop()


async def test_a_damaged_ring_is_a_loss_and_no_obstacle(life: Life) -> None:
    agent = await life.start()
    await agent.put(FAST, 1, 2, 3)
    await agent.kill()
    [path] = life.segments()
    data = bytearray(path.read_bytes())
    data[-10] ^= 0xFF
    path.write_bytes(data)
    agent = await life.start()
    assert (await life.contents()).frames() == each_once("r001", 1, 2)
    assert [loss.reason for loss in agent.store.recovered_losses] == [LossReason.UNCLEAN_STOP]
    await agent.stop()
    agent = await life.start()
    assert agent.store.recovered_losses == []
    await agent.stop()


async def test_frames_of_a_schema_that_nobody_knows_are_counted_as_lost(life: Life) -> None:
    agent = await life.start()
    await agent.commit(FAST, 1)
    await agent.put(FAST, 2, 3)
    await agent.kill()
    life.database.unlink()
    for path in life.directory.glob("buffer.db-*"):
        path.unlink()
    agent = await life.start()
    [loss] = agent.store.recovered_losses
    assert (loss.reason, loss.exact, loss.max) == (LossReason.UNREADABLE, False, 8)
    assert agent.store.recovered_frames == 0
    await agent.stop()


async def test_a_lost_database_still_gets_what_the_ring_has_whole(life: Life) -> None:
    agent = await life.start()
    await agent.put(FAST, 1, 2)
    await agent.kill()
    for path in life.directory.glob("buffer.db*"):
        path.unlink()
    agent = await life.start()
    assert (await life.contents()).frames() == each_once("r001", 1, 2)
    assert agent.store.recovered_losses == []
    await agent.stop()


async def test_frames_that_were_dropped_leave_no_doubt_behind(life: Life) -> None:
    """What memory dropped was never in the ring; its record went with the commit."""
    agent = await life.start()
    agent.store.memory._max_bytes = 2_000
    await agent.put(FAST, *range(1, 11))
    await agent.store.flush()
    await agent.kill()
    agent = await life.start()
    contents = await life.contents()
    [loss] = contents.losses
    lost = [n for lo, hi in loss.connections[0].n for n in range(lo, hi + 1)]
    kept = [n for _, _, _, n in contents.frames()]
    assert sorted(kept + lost) == list(range(1, 11))
    assert loss.connections[0].samples == 4 * len(lost)
    await agent.stop()


# --- stopped in order, or by the mains -----------------------------------------------------------------


async def test_a_clean_stop_leaves_nothing_to_recover(life: Life) -> None:
    agent = await life.start()
    await agent.put(FAST, 1)
    await agent.stop()
    assert life.segments() == []
    life.reboot()
    agent = await life.start()
    assert agent.store.recovered_frames == 0
    assert agent.store.recovered_losses == []
    assert (await life.contents()).frames() == each_once("r001", 1)
    await agent.stop()


@pytest.mark.parametrize("keeps_runtime", [False, True])
async def test_a_power_cut_is_one_bounded_loss_and_a_new_epoch(life: Life, keeps_runtime: bool) -> None:
    agent = await life.start()
    for n in range(1, 11):
        await agent.commit(FAST, n)
    await agent.put(FAST, 11)
    await agent.kill()
    life.reboot(keeps_runtime=keeps_runtime)
    await life.clock.advance(30)
    agent = await life.start()
    [loss] = agent.store.recovered_losses
    assert (loss.reason, loss.exact) == (LossReason.UNCLEAN_STOP, False)
    assert loss.t0 == frame(10).wall_ms
    assert loss.t1 == life.clock.wall_ms()
    assert "since its last commit" in loss.detail
    # Ten frames in nine seconds, for the twenty until the start.
    assert loss.max is not None
    assert 80 <= loss.max <= 100
    contents = await life.contents()
    assert contents.why == ["new database", "boot changed"]
    assert contents.frames() == each_once("r001", *range(1, 11))
    assert [stored.epoch_no for stored in contents.batches if stored.losses] == [2]
    assert agent.outbox.urgent() == [(1, 1)]
    assert agent.held() == {1: [(1, 10)], 2: [(1, 1)]}
    assert all(path.name.startswith("ring-b002") for path in life.segments())
    await agent.stop()


async def test_a_power_cut_before_the_first_commit_is_a_loss_too(life: Life) -> None:
    agent = await life.start()
    started = life.clock.wall_ms()
    await agent.kill()
    life.reboot()
    agent = await life.start()
    [loss] = agent.store.recovered_losses
    assert (loss.reason, loss.exact, loss.max, loss.t0) == (LossReason.UNCLEAN_STOP, False, None, started)
    await agent.stop()


async def test_another_devices_buffer_is_refused_and_left_as_it_is(life: Life) -> None:
    agent = await life.start()
    await agent.commit(FAST, 1, 2)
    await agent.stop()
    life.device = "press-shop-02"
    with pytest.raises(OtherDevice, match=r"'press-shop-01'.*'press-shop-02'"):
        await life.start()
    life.device = "press-shop-01"
    agent = await life.start()
    assert agent.outbox.held(agent.outbox.current_epoch) == [(1, 1)]
    await agent.stop()


async def test_a_file_that_is_no_database_is_refused_in_one_line(life: Life) -> None:
    life.database.write_bytes(b"not a database, but somebody's notes\n" * 100)
    with pytest.raises(NotABuffer, match="move it away"):
        await life.start()


async def test_a_lost_database_does_not_give_epoch_numbers_again(life: Life) -> None:
    """The centre orders epochs by their numbers: a number below an old one's would freeze every value."""
    agent = await life.start()
    await agent.commit(FAST, 1)
    before = agent.store.state.ledger.current.no
    await agent.stop()
    for path in life.directory.glob("buffer.db*"):
        path.unlink()
    await life.clock.advance(3600)
    agent = await life.start()
    assert agent.store.state.ledger.current.no > before
    await agent.stop()


async def test_a_clock_in_the_far_future_leaves_numbers_for_the_epochs_to_come(life: Life) -> None:
    life.clock.step_wall(10**15)
    for _ in range(3):
        agent = await life.start()
        assert agent.store.state.ledger.current.no < 1 << 23
        await agent.commit(FAST, 1)
        await agent.stop()
        life.reboot()


async def test_delivered_epochs_are_announced_as_long_as_they_are_retained(life: Life) -> None:
    """A centre that was restored from a backup asks for them only where it is told of them."""
    agent = await life.start()
    await agent.commit(FAST, 1)
    old = agent.store.state.ledger.current.no
    agent.outbox.acknowledge(old, [(1, 1)])
    await agent.stop()
    life.reboot()
    agent = await life.start()
    announced = {head.no: head for head in agent.outbox.heads()}
    assert (announced[old].floor, announced[old].next, announced[old].held) == (2, 2, [])
    await agent.outbox.resend(old, [(1, 1)])
    assert agent.outbox.held(old) == [(1, 1)]
    await agent.stop()


async def test_epochs_from_before_there_was_a_centre_are_not_announced(life: Life) -> None:
    agent = await life.start(has_sink=False)
    await agent.commit(FAST, 1)
    local = agent.store.state.ledger.current.no
    await agent.stop()
    agent = await life.start()
    assert local not in {head.no for head in agent.outbox.heads()}
    await agent.stop()
    life.reboot()
    agent = await life.start()
    assert local not in {head.no for head in agent.outbox.heads()}
    await agent.stop()


async def test_another_machine_gets_another_epoch(life: Life) -> None:
    agent = await life.start()
    await agent.commit(FAST, 1)
    await agent.stop()
    life.machine = "m2"
    agent = await life.start()
    assert (await life.contents()).why == ["new database", "machine changed"]
    assert agent.outbox.current_epoch == 2
    assert [head.no for head in agent.outbox.heads()] == [1, 2]
    await agent.stop()


async def test_epochs_that_are_settled_and_pruned_vanish(life: Life) -> None:
    for _ in range(5):
        agent = await life.start(retain_seconds=0)
        await agent.commit(FAST, 1)
        for head in agent.outbox.heads():
            agent.outbox.acknowledge(head.no, WHOLE)
        await life.clock.advance(100)
        await agent.store.flush(settle=True)
        await agent.stop()
        life.reboot()
    agent = await life.start()
    contents = await life.contents()
    # The newest batch always stays, and its epoch with it; this start began the last one.
    assert sorted(contents.epochs) == [5, 6]
    assert [head.no for head in agent.outbox.heads()] == [5, 6]
    assert {lo >> 40 for (lo,) in await life.sql("SELECT lo FROM delivered")} == {5}
    await agent.stop()


async def test_an_epoch_with_anything_unsettled_stays(life: Life) -> None:
    agent = await life.start()
    await agent.commit(FAST, 1)
    await agent.stop()
    for _ in range(3):
        life.reboot()
        agent = await life.start()
        await agent.stop()
    agent = await life.start()
    assert agent.held() == {1: [(1, 1)]}
    assert sorted((await life.contents()).epochs) == [1, 4]
    await agent.stop()


# --- with and without a centre ----------------------------------------------------------------------------


async def test_without_a_sink_batches_are_kept_as_delivered_ones_are(life: Life) -> None:
    agent = await life.start(has_sink=False, retain_seconds=3600)
    for n in range(1, 6):
        await agent.commit(FAST, n)
    report = agent.store.report()
    assert (report.pending_batches, report.pending_bytes, report.oldest_pending) == (0, 0, None)
    assert report.size_bytes > 0
    await life.clock.advance(3700)
    await agent.store.flush(settle=True)
    assert [stored.seq for stored in (await life.contents()).batches] == [5]
    await agent.kill()
    agent = await life.start(has_sink=False)
    assert agent.store.report().pending_batches == 0
    await agent.stop()


async def test_a_centre_that_is_added_is_promised_only_what_comes_from_then_on(life: Life) -> None:
    agent = await life.start(has_sink=False)
    await agent.commit(FAST, 1)
    await agent.commit(FAST, 2)
    await agent.kill()
    agent = await life.start()
    assert agent.outbox.current_epoch == 2
    assert agent.held() == {}
    await agent.commit(FAST, 1)
    [head] = agent.outbox.heads()
    assert (head.no, head.floor, head.next, head.held) == (2, 1, 2, [(1, 1)])
    assert agent.store.report().pending_samples == 4
    await agent.stop()


async def test_what_waited_for_a_centre_still_waits_when_it_comes_back(life: Life) -> None:
    agent = await life.start()
    await agent.commit(FAST, 1)
    await agent.stop()
    agent = await life.start(has_sink=False, retain_seconds=0)
    await agent.commit(FAST, 1)
    await life.clock.advance(3600)
    await agent.store.flush(settle=True)
    await agent.stop()
    agent = await life.start()
    assert agent.held() == {1: [(1, 1)]}
    assert (await life.contents()).why == ["new database", "sink removed", "sink added"]
    assert len(await agent.outbox.fetch(1, [(1, 1)], ALL_BYTES)) == 1
    assert agent.store.report().pending_samples == 4
    await agent.stop()


# --- places that are not ours, or not what we think ---------------------------------------------------------


async def test_a_newer_database_is_not_touched(life: Life) -> None:
    agent = await life.start()
    await agent.stop()
    await life.sql("PRAGMA user_version=99")
    before = life.database.read_bytes()
    with pytest.raises(NewerDatabase, match="format 99") as caught:
        await life.start()
    assert isinstance(caught.value, ConfigError)
    assert life.database.read_bytes() == before
    assert life.segments() == []


async def test_the_database_of_another_program_is_not_touched(life: Life) -> None:
    await life.sql("CREATE TABLE batch(x)")
    before = life.database.read_bytes()
    with pytest.raises(NotABuffer):
        await life.start()
    assert life.database.read_bytes() == before


async def test_a_creation_that_died_in_the_middle_is_made_up_for(life: Life) -> None:
    life.database.touch()
    agent = await life.start()
    await agent.stop()
    assert await life.sql("PRAGMA auto_vacuum") == [(2,)]
    assert await life.sql("PRAGMA page_size") == [(4096,)]
    assert await life.sql("PRAGMA journal_mode") == [("wal",)]


async def test_two_agents_of_different_databases_do_not_share_a_runtime_directory(
    life: Life, tmp_path: Path
) -> None:
    agent = await life.start()
    await agent.put(FAST, 1)
    other = Life(tmp_path / "other", device="press-shop-02")
    other.directory.mkdir()
    (other.directory / "run").symlink_to(life.runtime, target_is_directory=True)
    with pytest.raises(InUse):
        await other.start()
    await agent.kill()
    # Alone it may start there, and takes nothing that is not its own.
    agent = await other.start()
    assert agent.store.recovered_frames == 0
    await agent.stop()
    agent = await life.start()
    assert (await life.contents()).frames() == each_once("r001", 1)
    await agent.stop()


async def test_names_that_memory_did_not_expect_end_the_process(life: Life) -> None:
    agent = await life.start()
    await agent.commit(FAST, 1)
    stray = encode(Origin("d", "x", "b"), [FramesPart(FAST, [frame(1)])], 0)
    await agent.store._writer.write(
        lambda db: (
            db.execute(
                "INSERT INTO batch VALUES(?, 1, ?, ?, 4, 0, 0, ?, ?)",
                (batch_id(1, 2), int(stray.codec), stray.raw_bytes, stray.hash, stray.body),
            ).rowcount
        )
    )
    await agent.put(FAST, 2)
    with pytest.raises(InvariantBroken):
        await agent.store.flush()
    await agent.kill()
    agent = await life.start()
    assert (await life.contents()).frames()["r001", "press1", "fast", 2] == 1
    await agent.stop()


async def test_the_files_are_private(life: Life) -> None:
    agent = await life.start()
    await agent.put(FAST, 1)
    files = [life.database, *life.segments()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    await agent.stop()


# --- fast ------------------------------------------------------------------------------------------------


async def test_a_start_does_not_read_a_long_backlog(life: Life) -> None:
    """600,000 pending batches: a week at one a second."""
    agent = await life.start()
    await agent.commit(FAST, 1)
    await agent.stop()
    await asyncio.to_thread(_fill, life.database, 600_000)
    agent = await life.start()
    await agent.put(FAST, 1)
    await agent.kill()
    backlog_bytes, before = life.database.stat().st_size, _bytes_read()
    agent = await life.start()
    read = _bytes_read() - before
    assert agent.store.recovered_frames == 1
    assert agent.store.report().pending_batches == 600_001
    assert read < backlog_bytes / 100
    await agent.stop()


def _bytes_read() -> int:
    """By this process so far, from files; from the page cache, too."""
    [line] = [each for each in Path("/proc/self/io").read_text().splitlines() if each.startswith("rchar:")]
    return int(line.split()[1])


def _fill(path: Path, count: int) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA synchronous=OFF")
        db.execute(
            "INSERT INTO batch"
            " WITH RECURSIVE seq(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM seq WHERE n < ?)"
            " SELECT ? + n, 1, 0, 100, 10, 0, 0, x'00', zeroblob(100) FROM seq",
            (count, batch_id(1, 0)),
        )
        db.execute("DELETE FROM state WHERE key = 'totals'")
        db.commit()
