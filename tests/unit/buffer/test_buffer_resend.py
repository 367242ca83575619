"""A centre that asks again and again for the same costs neither records nor commits."""

import pytest

from edge_agent.buffer.ledger import Ledger, WrittenOff
from edge_agent.wire.messages import LossReason
from tests.unit.buffer.life import WHOLE, Agent, Life, schema

FAST = schema()


async def delivered(life: Life, batches: int, *, gone: tuple[int, ...] = ()) -> Agent:
    """An agent whose batches are all acknowledged, and some of them not retained any more."""
    agent = await life.start()
    for n in range(1, batches + 1):
        await agent.commit(FAST, n)
    agent.outbox.acknowledge(1, [(1, batches)])
    await agent.store.flush(settle=True)
    if gone:
        await life.sql("DELETE FROM batch WHERE id & 0xffff = ?", *[(seq,) for seq in gone])
    return agent


async def test_what_is_retained_is_held_again_without_a_write(life: Life) -> None:
    agent = await delivered(life, 4)
    before = await life.sql("SELECT lo, hi FROM delivered")
    for _ in range(5):
        await agent.outbox.resend(1, [(2, 3)])
    assert agent.held() == {1: [(2, 3)]}
    assert await life.sql("SELECT lo, hi FROM delivered") == before
    await agent.kill()
    again = await life.start()
    # The dead process noted nothing, so the centre asks once more and gets it.
    await again.outbox.resend(1, [(2, 3)])
    assert again.held() == {1: [(2, 3)]}
    assert again.store.report().pending_batches == 2
    assert again.store.report().pending_samples == 8
    await again.stop()


async def test_a_centre_that_asks_again_after_the_record_arrived_gets_no_second_one(life: Life) -> None:
    agent = await delivered(life, 4, gone=(1, 2))
    for _ in range(5):
        await agent.outbox.resend(1, [(1, 2)])
        agent.outbox.acknowledge(1, WHOLE)
    [loss] = (await life.contents()).losses
    assert (loss.reason, loss.seqs) == (LossReason.CENTRE_FORGOT, [(1, 2)])
    assert agent.outbox.head(1).floor == 6
    await agent.stop()


async def test_a_centre_that_lost_the_record_too_gets_the_record_again(life: Life) -> None:
    agent = await delivered(life, 4, gone=(1, 2))
    await agent.outbox.resend(1, [(1, 2)])
    agent.outbox.acknowledge(1, WHOLE)
    await agent.outbox.resend(1, [(1, 5)])
    assert agent.held() == {1: [(3, 6)]}
    agent.outbox.acknowledge(1, WHOLE)
    assert agent.outbox.head(1).floor == 7
    await agent.stop()


@pytest.mark.parametrize("retained", [True, False])
async def test_a_centre_from_before_the_record_of_new_names_learns_of_them_by_that_record_or_another(
    life: Life, retained: bool
) -> None:
    """The record lies in another epoch than the names: the centre asks for each in its own."""
    first = await life.start()
    for n in (1, 2):
        await first.commit(FAST, n)
    await first.kill()
    agent = await life.start()
    [old] = agent.outbox.heads()
    await agent.outbox.rename(old.no, [(2, 2)])
    new = agent.outbox.current_epoch
    for no in (old.no, new):
        agent.outbox.acknowledge(no, WHOLE)
    await agent.store.flush(settle=True)
    if not retained:
        await life.sql("DELETE FROM batch")
    lacking = {old.no: [(2, 2)], new: [(1, 2)]}
    for no, seqs in lacking.items():
        await agent.outbox.resend(no, seqs)
    if retained:
        assert agent.held() == {new: [(1, 2)]}
        told = {(loss.reason, loss.epoch, *loss.seqs) for loss in (await life.contents()).losses}
        assert told == {(LossReason.RENAMED, old.epoch, (2, 2))}
    else:
        await agent.outbox.resend(old.no, [(2, 2)])
        assert agent.held() == {new: [(3, 4)]}
        told = {(loss.reason, loss.epoch, *loss.seqs) for loss in (await life.contents()).losses}
        centre_forgot = LossReason.CENTRE_FORGOT
        epochs = {head.no: head.epoch for head in agent.outbox.heads()}
        assert told == {(centre_forgot, epochs[new], (1, 2)), (centre_forgot, old.epoch, (2, 2))}
    await agent.stop()


def test_what_a_record_names_is_told_unless_the_record_was_lost_itself() -> None:
    ledger = Ledger()
    ledger._told.append(WrittenOff(1, [(1, 2)], 3, 9))
    assert ledger.told(1, [(1, 5)]) == [(1, 2)]
    assert ledger.told(3, [(1, 9)]) == []
    ledger.written_off.append(WrittenOff(3, [(9, 9)], 4, 1))
    assert ledger.told(1, [(1, 5)]) == []
