"""The reading side: what is sent, what an answer changes, and that every loss has its record."""

import asyncio

import pytest

from edge_agent.buffer.ledger import batch_id
from edge_agent.contracts.outbox import Outbox
from edge_agent.wire.batch import Kind, content_hash
from edge_agent.wire.messages import LossReason
from tests.unit.buffer.life import ALL_BYTES, WHOLE, Agent, Life, schema

FAST = schema()


async def filled(life: Life, batches: int, **settings: float) -> Agent:
    agent = await life.start(**settings)  # type: ignore[arg-type]
    for n in range(1, batches + 1):
        await agent.commit(FAST, n)
    return agent


async def sent(agent: Agent, epoch_no: int) -> list[int]:
    """Seqs of an epoch that a sink would get now."""
    return [item.seq for item in await agent.outbox.fetch(epoch_no, agent.outbox.held(epoch_no), ALL_BYTES)]


async def delete(life: Life, epoch_no: int, *seqs: int) -> None:
    await life.sql("DELETE FROM batch WHERE id = ?", *[(batch_id(epoch_no, seq),) for seq in seqs])


async def test_it_is_the_contract(life: Life) -> None:
    agent = await life.start()
    outbox: Outbox = agent.outbox
    assert outbox.current_epoch == 1
    await agent.stop()


# --- fetching --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restarted", [False, True], ids=["from memory", "from disk"])
async def test_the_same_bytes_come_every_time_up_to_the_limit(life: Life, restarted: bool) -> None:
    agent = await filled(life, 6)
    if restarted:
        await agent.stop()
        agent = await life.start()
    stored = (await life.contents()).batches
    whole = await agent.outbox.fetch(1, WHOLE, ALL_BYTES)
    if restarted:
        assert [(item.seq, item.hash) for item in whole] == [(each.seq, each.hash) for each in stored]
    first = await agent.outbox.fetch(1, [(2, 3), (5, 6)], ALL_BYTES)
    assert [item.seq for item in first] == [2, 3, 5, 6]
    assert all(content_hash(bytes(item.body)) == item.hash for item in first)
    size = len(first[0].body)
    assert [item.seq for item in await agent.outbox.fetch(1, [(2, 3), (5, 6)], 1)] == [2]
    assert [item.seq for item in await agent.outbox.fetch(1, [(2, 6)], 2 * size + 1)] == [2, 3]
    await agent.stop()


async def test_recent_batches_have_a_time(life: Life) -> None:
    agent = await filled(life, 1)
    at = life.clock.monotonic()
    await life.clock.advance(5)
    await agent.commit(FAST, 2)
    assert agent.outbox.committed_at(1, 1) == at
    assert agent.outbox.committed_at(1, 2) == at + 5
    assert agent.outbox.committed_at(1, 3) is None
    await agent.stop()


async def test_a_batch_that_is_not_there_any_more_is_left_out_and_becomes_a_loss(life: Life) -> None:
    agent = await filled(life, 5)
    await agent.stop()
    await delete(life, 1, 2, 3)
    agent = await life.start()
    assert [item.seq for item in await agent.outbox.fetch(1, [(1, 5)], ALL_BYTES)] == [1, 4, 5]
    assert agent.held() == {1: [(1, 1), (4, 6)]}
    [loss] = (await life.contents()).losses
    assert (loss.reason, loss.seqs, loss.exact) == (LossReason.UNREADABLE, [(2, 3)], False)
    assert loss.epoch == (await life.contents()).epochs[1]
    agent.outbox.acknowledge(1, WHOLE)
    assert agent.outbox.head(1).floor == 7
    await agent.stop()


async def test_where_nothing_is_left_of_what_was_wanted_a_lane_does_not_spin(life: Life) -> None:
    agent = await filled(life, 3)
    await agent.stop()
    await delete(life, 1, 1, 2)
    agent = await life.start()
    assert await agent.outbox.fetch(1, [(1, 2)], ALL_BYTES) == []
    assert agent.held() == {1: [(3, 4)]}
    await agent.stop()


async def test_what_was_delivered_or_renamed_meanwhile_is_no_loss(life: Life) -> None:
    agent = await filled(life, 3, retain_seconds=0)
    agent.outbox.acknowledge(1, [(1, 2)])
    await life.clock.advance(3600)
    await agent.store.flush(settle=True)
    agent.store.state.recent.clear()
    assert await agent.outbox.fetch(1, [(1, 2)], ALL_BYTES) == []
    assert await agent.outbox.fetch(9, [(1, 2)], ALL_BYTES) == []
    assert (await life.contents()).losses == []
    await agent.stop()


# --- waiting ---------------------------------------------------------------------------------------------


async def test_a_lane_wakes_for_new_batches_and_for_what_is_asked_for_again(life: Life) -> None:
    agent = await filled(life, 2)
    agent.outbox.acknowledge(1, WHOLE)
    seen = await agent.outbox.wait_for_commit(-1)
    waiting = asyncio.create_task(agent.outbox.wait_for_commit(seen))
    await asyncio.sleep(0)
    await agent.outbox.resend(1, [(1, 1)])
    seen = await waiting
    waiting = asyncio.create_task(agent.outbox.wait_for_commit(seen))
    await asyncio.sleep(0)
    await agent.commit(FAST, 3)
    await waiting
    await agent.stop()


# --- rejected --------------------------------------------------------------------------------------------


async def test_a_rejected_batch_is_an_exact_loss_in_the_same_commit(life: Life) -> None:
    agent = await life.start()
    await agent.put(FAST, 1, 2, suppressed=3)
    await agent.put(schema(group="slow", tags=2), 7)
    await agent.store.flush()
    await agent.commit(FAST, 3)
    await agent.outbox.fetch(1, [(1, 1)], ALL_BYTES)
    await agent.outbox.reject(1, 1, "hash_mismatch")
    assert agent.held() == {1: [(2, 3)]}
    assert agent.outbox.urgent() == [(3, 3)]
    [loss] = (await life.contents()).losses
    assert (loss.reason, loss.seqs, loss.exact, loss.detail) == (
        LossReason.REJECTED, [(1, 1)], True, "hash_mismatch",
    )  # fmt: skip
    assert {(each.group, each.run, *each.n, each.samples) for each in loss.connections} == {
        ("fast", "r001", (1, 2), 8),
        ("slow", "r001", (7, 7), 2),
    }
    assert agent.outbox.head(1).floor == 1
    await agent.kill()
    agent = await life.start()
    assert agent.held() == {1: [(2, 3)]}
    assert agent.store.report().pending_samples == 4
    agent.outbox.acknowledge(1, [(2, 3)])
    assert agent.outbox.head(1).floor == 4
    # Kept aside: it is still there to be looked at.
    assert [stored.seq for stored in (await life.contents()).batches] == [1, 2, 3]
    await agent.stop()


async def test_rejecting_twice_or_what_is_delivered_does_nothing(life: Life) -> None:
    agent = await filled(life, 2)
    await agent.outbox.reject(1, 1, "bad")
    await agent.outbox.reject(1, 1, "bad")
    agent.outbox.acknowledge(1, [(2, 2)])
    await agent.outbox.reject(1, 2, "bad")
    assert len((await life.contents()).losses) == 1
    await agent.stop()


async def test_a_batch_that_cannot_be_opened_is_a_bounded_loss(life: Life) -> None:
    agent = await filled(life, 2)
    await agent.stop()
    await life.sql("UPDATE batch SET body = x'00ff' WHERE id = ?", (batch_id(1, 1),))
    agent = await life.start()
    await agent.outbox.reject(1, 1, "hash_mismatch")
    [item] = await agent.outbox.fetch(1, [(3, 3)], ALL_BYTES)
    assert item.kind == Kind.LOSS
    await agent.stop()
    await delete(life, 1, 1)
    [loss] = (await life.contents()).losses
    assert (loss.exact, loss.max, loss.connections) == (False, 4, [])


async def test_a_rejected_record_lives_on_in_the_next_and_the_floor_is_not_stuck(life: Life) -> None:
    agent = await filled(life, 2)
    await agent.outbox.reject(1, 1, "bad")
    await agent.outbox.reject(1, 3, "worse")
    assert agent.held() == {1: [(2, 2), (4, 4)]}
    newest = (await life.contents()).batches[-1]
    assert [(loss.reason, loss.seqs) for loss in newest.losses] == [
        (LossReason.REJECTED, [(3, 3)]),
        (LossReason.REJECTED, [(1, 1)]),
    ]
    agent.outbox.acknowledge(1, [(2, 2)])
    assert agent.outbox.head(1).floor == 1
    agent.outbox.acknowledge(1, [(4, 4)])
    assert agent.outbox.head(1).floor == 5
    await agent.kill()
    agent = await life.start()
    agent.outbox.acknowledge(1, [(2, 2), (4, 4)])
    assert agent.outbox.head(1).floor == 5
    await agent.stop()


async def test_a_record_that_vanished_is_written_again(life: Life) -> None:
    agent = await filled(life, 1)
    await agent.outbox.reject(1, 1, "bad")
    await agent.stop()
    await delete(life, 1, 2)
    agent = await life.start()
    # The newest row is gone, its name is not given away again.
    await agent.commit(FAST, 2)
    assert await sent(agent, 1) == [3]
    losses = (await life.contents()).batches[-1].losses
    assert sorted((loss.reason, loss.seqs) for loss in losses) == [
        (LossReason.UNREADABLE, [(1, 1)]),
        (LossReason.UNREADABLE, [(2, 2)]),
    ]
    agent.outbox.acknowledge(1, [(3, 4)])
    assert agent.outbox.head(1).floor == 5
    await agent.stop()


# --- asked for again ----------------------------------------------------------------------------------------


async def test_what_the_centre_forgot_is_sent_again_where_it_is_retained(life: Life) -> None:
    agent = await filled(life, 4)
    await agent.outbox.fetch(1, WHOLE, ALL_BYTES)
    agent.outbox.acknowledge(1, [(1, 4)])
    await agent.outbox.resend(1, [(2, 3), (9, 9)])
    assert agent.held() == {1: [(2, 3)]}
    assert agent.outbox.head(1).floor == 2
    assert await sent(agent, 1) == [2, 3]
    assert agent.store.report().pending_samples == 8
    assert (await life.contents()).losses == []
    agent.outbox.acknowledge(1, [(2, 3)])
    assert agent.store.report().pending_bytes == 0
    await agent.stop()


async def test_a_loss_record_that_the_centre_forgot_is_urgent_again(life: Life) -> None:
    agent = await filled(life, 2)
    await agent.outbox.reject(1, 1, "bad")
    agent.outbox.acknowledge(1, WHOLE)
    assert agent.outbox.urgent() == []
    await agent.outbox.resend(1, [(2, 3)])
    assert agent.outbox.urgent() == [(3, 3)]
    await agent.stop()


async def test_what_is_not_retained_becomes_one_loss_however_often_it_is_asked_for(life: Life) -> None:
    agent = await filled(life, 4, retain_seconds=0)
    agent.outbox.acknowledge(1, [(1, 4)])
    await life.clock.advance(3600)
    await agent.store.flush(settle=True)
    for _ in range(3):
        await agent.outbox.resend(1, [(1, 4)])
    [loss] = (await life.contents()).losses
    assert (loss.reason, loss.seqs) == (LossReason.CENTRE_FORGOT, [(1, 3)])
    assert agent.held() == {1: [(4, 5)]}
    # The promise: what is below the floor was acknowledged, or its loss was.
    assert agent.outbox.head(1).floor == 1
    agent.outbox.acknowledge(1, [(4, 5)])
    assert agent.outbox.head(1).floor == 6
    await agent.stop()


async def test_asking_for_what_was_never_acknowledged_or_named_does_nothing(life: Life) -> None:
    agent = await filled(life, 2)
    await agent.outbox.resend(1, [(1, 50)])
    await agent.outbox.resend(7, [(1, 2)])
    assert agent.held() == {1: [(1, 2)]}
    assert (await life.contents()).losses == []
    await agent.stop()


async def test_a_resend_does_not_race_with_a_prune(life: Life) -> None:
    agent = await filled(life, 6, retain_seconds=0)
    agent.outbox.acknowledge(1, [(1, 6)])
    await life.clock.advance(3600)
    await asyncio.gather(agent.store.flush(settle=True), agent.outbox.resend(1, [(1, 6)]))
    held = agent.outbox.held(1)
    stored = {each.seq for each in (await life.contents()).batches}
    assert {seq for lo, hi in held for seq in range(lo, hi + 1)} <= stored
    await agent.stop()


# --- renamed ---------------------------------------------------------------------------------------------


async def test_names_that_were_taken_are_given_up_and_the_batches_go_on(life: Life) -> None:
    agent = await filled(life, 5)
    agent.outbox.acknowledge(1, [(2, 2)])
    await agent.stop()
    agent = await life.start()
    before = {each.seq: each.hash for each in (await life.contents()).batches}
    await agent.outbox.rename(1, WHOLE)
    contents = await life.contents()
    assert contents.why == ["new database", "seq_conflict"]
    assert agent.outbox.current_epoch == 2
    moved = [each for each in contents.batches if each.epoch_no == 2]
    assert [each.hash for each in moved[:4]] == [before[seq] for seq in (1, 3, 4, 5)]
    [loss] = contents.losses
    assert (loss.reason, loss.epoch, loss.seqs, loss.exact) == (
        LossReason.RENAMED, contents.epochs[1], [(1, 1), (3, 5)], True,
    )  # fmt: skip
    assert agent.held() == {2: [(1, 5)]}
    assert agent.outbox.urgent() == [(5, 5)]
    assert [head.no for head in agent.outbox.heads()] == [1, 2]
    assert agent.outbox.head(1).floor == 1
    await agent.kill()
    agent = await life.start()
    assert agent.store.report().pending_samples == 16
    await agent.commit(FAST, 6)
    assert await sent(agent, 2) == [1, 2, 3, 4, 5, 6]
    agent.outbox.acknowledge(2, [(5, 5)])
    assert agent.outbox.head(1).floor == 6
    # The old epoch is announced as done as long as the database names it.
    assert [(head.no, head.floor == head.next) for head in agent.outbox.heads()] == [(1, True), (2, False)]
    await agent.stop()


async def test_names_that_are_free_stay_as_they_are(life: Life) -> None:
    """The centre may have them: its answer is lost, or an older copy of the database was put back."""
    agent = await filled(life, 6)
    await agent.stop()
    agent = await life.start()
    await agent.outbox.rename(1, [(2, 3), (6, 9)])
    assert agent.held() == {1: [(1, 1), (4, 5)], 2: [(1, 4)]}
    [loss] = (await life.contents()).losses
    assert (loss.reason, loss.seqs) == (LossReason.RENAMED, [(2, 3), (6, 6)])
    agent.outbox.acknowledge(1, [(1, 1), (4, 5)])
    assert agent.outbox.head(1).floor == 2
    agent.outbox.acknowledge(2, [(1, 4)])
    assert agent.outbox.head(1).floor == 7
    await agent.stop()


async def test_a_loss_record_keeps_its_meaning_under_its_new_name(life: Life) -> None:
    agent = await filled(life, 3)
    await agent.outbox.reject(1, 2, "bad")
    await agent.stop()
    agent = await life.start()
    await agent.outbox.rename(1, WHOLE)
    # 1, 3 and the record 4 moved to 2/1, 2/2 and 2/3; 2/4 says so.
    agent.outbox.acknowledge(2, [(4, 4)])
    assert agent.outbox.head(1).floor == 2
    agent.outbox.acknowledge(2, [(3, 3)])
    assert agent.outbox.head(1).floor == 5
    await agent.stop()


async def test_a_late_acknowledgement_of_an_old_name_does_not_drop_the_new_one(life: Life) -> None:
    agent = await filled(life, 2)
    await agent.outbox.fetch(1, WHOLE, ALL_BYTES)
    await agent.stop()
    agent = await life.start()
    await agent.outbox.fetch(1, WHOLE, ALL_BYTES)
    renaming = asyncio.create_task(agent.outbox.rename(1, WHOLE))
    while not agent.store.state.frozen[1]:
        await asyncio.sleep(0)
    assert agent.outbox.acknowledge(1, [(1, 1)]) == 0
    await renaming
    assert agent.outbox.acknowledge(1, [(2, 2)]) == 0
    assert agent.held() == {2: [(1, 3)]}
    assert agent.store.report().pending_samples == 8
    await agent.stop()


async def test_a_centre_that_objects_to_fresh_names_cannot_wear_out_the_disk(life: Life) -> None:
    agent = await filled(life, 2)
    await agent.outbox.rename(1, WHOLE)
    assert agent.outbox.current_epoch == 1
    await agent.stop()
    agent = await life.start()
    await agent.outbox.rename(1, WHOLE)
    for _ in range(3):
        await agent.outbox.rename(2, WHOLE)
        await agent.outbox.rename(1, WHOLE)
    assert agent.outbox.current_epoch == 2
    assert agent.held() == {2: [(1, 3)]}
    await agent.stop()


# --- errors ----------------------------------------------------------------------------------------------


async def test_an_amendment_that_cannot_be_committed_changes_nothing(life: Life) -> None:
    agent = await filled(life, 3)
    await agent.stop()
    agent = await life.start()
    agent.outbox.acknowledge(1, [(1, 1)])
    before = agent.outbox.head(1)
    await agent.store._writer.write(lambda db: db.execute("PRAGMA query_only=ON").fetchone())
    for change in (
        agent.outbox.reject(1, 2, "bad"),
        agent.outbox.rename(1, WHOLE),
        agent.outbox.resend(1, [(1, 1)]),
    ):
        with pytest.raises(Exception, match="readonly"):
            await change
    assert agent.outbox.head(1) == before
    assert agent.outbox.acknowledge(1, [(2, 2)]) == 1
    await agent.store._writer.write(lambda db: db.execute("PRAGMA query_only=OFF").fetchone())
    await agent.stop()
