"""The table of answers in docs/specs/batch-v1.md, row by row."""

from collections.abc import Collection
from itertools import pairwise

import pytest

from edge_agent.uplink.errors import (
    BodyTooLarge,
    Invalid,
    Refused,
    RetryAfter,
    SeqConflict,
    Unreachable,
    UplinkFault,
)
from edge_agent.wire import ranges
from edge_agent.wire.messages import Head, UploadAnswer
from edge_agent.wire.ranges import Ranges
from edge_agent.wire.upload import BatchItem
from tests.unit.uplink.fakes import Line, Rule


def refusing(line: Line, bad: Collection[int], fault: type[UplinkFault] = Invalid) -> Rule:
    """Refuses every POST with one of these seqs in it."""

    def rule(head: Head, items: list[BatchItem]) -> UplinkFault | None:
        hit = head.epoch == "epoch-1" and any(item.seq in bad for item in items)
        if not hit:
            return None
        return BodyTooLarge("413", None) if fault is BodyTooLarge else fault("400: bad")

    return rule


async def feed(line: Line, seconds: int) -> None:
    """A batch a second."""
    for _ in range(seconds):
        await line.outbox.commit()
        await line.clock.advance(1)


# --- 200 -----------------------------------------------------------------------------------------


async def test_only_what_is_acknowledged_counts_as_delivered_and_the_rest_comes_again() -> None:
    line = Line()
    line.centre.rule = lambda head, items: line.centre.ack(head, items[: (len(items) + 1) // 2])
    await line.outbox.commit(100)
    async with line.running():
        await line.clock.advance(10)
    assert line.left == 0
    assert line.uploader.counts.delivered_batches == 100


async def test_an_acknowledgement_of_what_was_never_sent_is_ignored() -> None:
    line = Line()
    line.centre.rule = lambda head, items: line.centre.ack(head, items).model_copy(
        update={"acked": [(0, (1 << 62) - 1)]}
    )
    async with line.running():
        await line.outbox.commit(10)
        await line.clock.advance(0.005)
        await line.outbox.commit(5)
        await line.clock.advance(0.006)
        # 10 was sent and is acknowledged; the others were not.
        assert line.outbox.epochs[1].settled == [(10, 10)]
        await line.clock.advance(5)
    assert sorted(line.centre.seqs()) == list(range(1, 16))


async def test_an_answer_for_another_epoch_is_not_from_this_centre() -> None:
    line = Line()
    line.centre.rule = lambda head, items: line.centre.ack(head, items).model_copy(update={"epoch": "x"})
    async with line.running():
        await feed(line, 10)
        assert line.state == "unreachable"
        assert "another epoch" in line.uploader.report().detail
    assert line.left == 10


async def test_an_answer_that_acknowledges_nothing_for_no_reason_is_no_hot_loop() -> None:
    line = Line()
    line.centre.rule = lambda head, items: line.centre.answer(head)
    async with line.running():
        await feed(line, 60)
        assert len(line.centre.posts) < 40
    assert line.left == 60


async def test_a_centre_with_another_id_is_told_once_and_used() -> None:
    line = Line()
    async with line.running():
        await feed(line, 2)
        line.centre.extra = {"centre": "two"}
        await feed(line, 3)
        line.centre.extra = {"centre": "one"}
        await feed(line, 3)
    assert line.codes == ["centre_changed"]
    assert line.left == 0


# --- need_schemas ----------------------------------------------------------------------------------


def needing(line: Line, name: str, bad: Collection[int]) -> Rule:
    """Leaves batches unacknowledged until their schema has come."""

    def rule(head: Head, items: list[BatchItem]) -> UploadAnswer | None:
        if name in line.centre.schemas and line.centre.schema_fault is None:
            return None
        good = [item for item in items if item.seq not in bad]
        needed = [name] if len(good) < len(items) else []
        return line.centre.ack(head, good, need_schemas=needed)

    return rule


async def test_a_schema_that_the_centre_lacks_is_brought_once_and_the_batches_follow_at_once() -> None:
    line = Line()
    line.outbox.schemas["ab" * 32] = b"{}"
    line.centre.rule = needing(line, "ab" * 32, range(1, 100))
    await line.outbox.commit(20)
    async with line.running():
        await line.clock.advance(1)
    assert line.centre.schemas == ["ab" * 32]
    assert line.left == 0
    assert line.uploader.counts.failed_posts == 0


async def test_a_centre_that_keeps_asking_for_a_schema_blocks_that_batch_alone_and_loses_nothing() -> None:
    line = Line()
    line.outbox.schemas["s"] = b"{}"

    def rule(head: Head, items: list[BatchItem]) -> UploadAnswer:
        good = [item for item in items if item.seq != 3]
        return line.centre.ack(head, good, need_schemas=["s"] if len(good) < len(items) else [])

    line.centre.rule = rule
    async with line.running():
        await feed(line, 60)
        assert line.outbox.epochs[1].held == [(3, 3)]
        assert line.state == "blocked"
        assert "batch 3" in line.uploader.report().detail
        assert line.codes == ["upload_blocked"]
        assert len(line.centre.schemas) < 5
        assert len(line.centre.posts) < 80
    assert line.outbox.rejected == []


@pytest.mark.parametrize("fault", [Invalid("400"), BodyTooLarge("413", 5), SeqConflict("409: too many")])
async def test_a_schema_that_the_centre_does_not_take_blocks_and_neither_renames_nor_loses(
    fault: UplinkFault,
) -> None:
    line = Line()
    line.outbox.schemas["s"] = b"{}"
    line.centre.schema_fault = fault
    line.centre.rule = needing(line, "s", [3])
    async with line.running():
        await feed(line, 30)
        assert line.state == "blocked"
    assert line.outbox.epochs[1].held == [(3, 3)]
    assert (line.outbox.rejected, line.outbox.renamed) == ([], [])


async def test_a_batch_whose_schema_nobody_knows_any_more_becomes_a_loss_and_keeps_nothing_back() -> None:
    line = Line()
    line.centre.rule = needing(line, "gone", [3])
    async with line.running():
        await feed(line, 60)
    assert [(seq, why[:30]) for _, seq, why in line.outbox.rejected] == [
        (3, "the centre asks for a schema t")
    ]
    assert line.left == 0


async def test_an_outage_in_the_middle_of_bringing_a_schema_is_an_outage_like_any_other() -> None:
    line = Line()
    line.outbox.schemas["s"] = b"{}"
    line.centre.schema_fault = Unreachable("reset")
    line.centre.rule = needing(line, "s", range(100))
    async with line.running():
        await feed(line, 10)
        assert line.state == "unreachable"
        line.centre.schema_fault = None
        await line.clock.advance(10)
    assert line.left == 0


# --- 400 -----------------------------------------------------------------------------------------


async def test_a_bad_batch_is_found_by_halving_tried_three_times_and_given_up_while_others_pass() -> None:
    line = Line()
    await line.outbox.commit(100)
    line.centre.rule = refusing(line, [37])
    async with line.running():
        await feed(line, 5)
        assert line.left == 1
        assert line.state == "ok"
        assert line.outbox.rejected == []
        await feed(line, 60)
    assert [(no, seq) for no, seq, _ in line.outbox.rejected] == [(1, 37)]
    alone = [post.at for post in line.centre.posts if post.seqs == [37]]
    assert len(alone) == 3
    assert all(later - earlier >= 10 for earlier, later in pairwise(alone))
    assert line.left == 0


async def test_a_bad_batch_is_not_given_up_while_nothing_else_passes() -> None:
    line = Line()
    await line.outbox.commit(1)
    line.centre.rule = refusing(line, [1])
    async with line.running():
        await line.clock.advance(7200)
        assert line.outbox.rejected == []
        assert line.left == 1
        # Tried ever more rarely, and never forgotten.
        assert 5 < len(line.centre.posts) < 40
        line.centre.rule = lambda head, items: None
        await line.clock.advance(901)
    assert line.left == 0


async def test_the_newest_batch_being_bad_does_not_keep_the_others_back() -> None:
    line = Line()
    await line.outbox.commit(10)
    line.centre.rule = refusing(line, [10])
    async with line.running():
        await line.clock.advance(5)
        assert line.outbox.epochs[1].held == [(10, 10)]
        assert line.state == "ok"


async def test_a_centre_that_refuses_everything_gets_one_post_a_knock_and_nothing_is_lost() -> None:
    """A proxy that answers 400 to all, a version that does not match: no storm, no loss, no dead end."""
    line = Line(rate=1 << 30)
    await line.outbox.commit(5000)
    line.centre.rule = lambda head, items: Invalid("400: bad request")
    async with line.running():
        await feed(line, 600)
        assert line.outbox.rejected == []
        assert len(line.centre.posts) < 600
        assert line.state == "unreachable"
        line.centre.rule = lambda head, items: None
        await feed(line, 1000)
    assert line.left == 0
    assert line.outbox.rejected == []


async def test_a_batch_that_the_answer_names_as_rejected_gets_its_strikes_too() -> None:
    line = Line()

    def rule(head: Head, items: list[BatchItem]) -> UploadAnswer:
        good = [item for item in items if item.seq != 2]
        bad = [{"seq": item.seq, "code": "malformed", "message": "no"} for item in items if item.seq == 2]
        return line.centre.ack(head, good, rejected=[*bad, {"seq": 999, "code": "malformed"}])

    line.centre.rule = rule
    async with line.running():
        await feed(line, 60)
    assert line.outbox.rejected == [(1, 2, "malformed no")]
    assert line.left == 0


async def test_a_centre_that_rejects_every_batch_by_name_is_no_hot_loop_and_no_loss() -> None:
    line = Line(rate=1 << 30)

    def rule(head: Head, items: list[BatchItem]) -> UploadAnswer:
        rejected = [{"seq": item.seq, "code": "unknown_codec"} for item in items]
        return line.centre.answer(head, rejected=rejected)

    line.centre.rule = rule
    await line.outbox.commit(1000)
    async with line.running():
        await feed(line, 300)
        assert len(line.centre.posts) < 400
        line.centre.rule = lambda head, items: None
        await feed(line, 1000)
    assert (line.outbox.rejected, line.left) == ([], 0)


# --- 401, 403, 404 ---------------------------------------------------------------------------------


async def test_fleet_47650_a_refusal_backs_off_from_30_s_to_15_min_and_keeps_everything() -> None:
    line = Line()
    line.centre.rule = lambda head, items: Refused("401: unknown token", 401)
    async with line.running():
        for _ in range(400):
            await line.outbox.commit()
            await line.clock.advance(10)
        at = [post.at for post in line.centre.posts]
        gaps = [later - earlier for earlier, later in pairwise(at)]
        assert 24 <= gaps[0] <= 31
        assert all(later > 1.2 * earlier for earlier, later in pairwise(gaps[:5]))
        assert 720 <= gaps[-1] <= 901
        assert line.state == "refused"
        assert line.uploader.report().detail == "401: unknown token"
        line.centre.rule = lambda head, items: None
        await line.clock.advance(901)
        await line.clock.advance(10)
        assert line.state == "ok"
    assert line.left == 0


# --- 409 -----------------------------------------------------------------------------------------


def taken(head: Head, items: list[BatchItem], *seqs: int) -> SeqConflict | None:
    """What a centre says that has other content under these names of the first epoch."""
    found = ranges.intersect(ranges.of_numbers(item.seq for item in items), ranges.of_numbers(seqs))
    return SeqConflict("409", head.epoch, found) if found and head.epoch == "epoch-1" else None


async def test_a_conflict_renames_what_conflicts_and_goes_on_at_once() -> None:
    line = Line()
    async with line.running():
        await feed(line, 3)
        line.centre.rule = lambda head, items: taken(head, items, 4, 5, 6)
        await feed(line, 3)
    assert line.outbox.renamed == [(1, [(4, 4)])]
    assert line.codes == ["seq_conflict"]
    assert line.centre.seqs(1) == [1, 2, 3]
    assert line.centre.seqs(2) == [1, 2, 3]
    assert len(set(line.centre.order)) == 6
    assert line.left == 0


async def test_what_the_centre_has_already_keeps_its_name_through_a_conflict() -> None:
    """An older copy of the database was put back: up to 20 the centre has the same, up to 40 something else,
    and 45 passed before. Renamed as well they would be there twice."""
    line = Line(rate=1 << 30)
    line.centre.away = True
    async with line.running():
        await line.outbox.commit(50, 1000)
        bodies = line.outbox.epochs[1].bodies
        for seq in [*range(1, 21), 45]:
            line.centre.stored["epoch-1", seq] = bodies[seq]
            line.centre.order.append(bodies[seq])
        line.centre.rule = lambda head, items: taken(head, items, *range(21, 41), 50)
        await line.clock.advance(5)
        line.centre.away = False
        await line.clock.advance(5)
        await line.outbox.commit(3, 1000)
        await line.clock.advance(20)
    assert line.outbox.renamed == [(1, [(50, 50)]), (1, [(21, 40)])]
    assert line.left == 0
    assert len(line.centre.order) == len(set(line.centre.order)) == 53
    assert sorted(line.centre.seqs(1)) == [*range(1, 21), *range(41, 50)]


async def test_live_batches_pass_while_the_names_of_the_old_epoch_are_sorted_out() -> None:
    line = Line(rate=2000)
    line.centre.away = True
    async with line.running():
        await line.outbox.commit(100, 1000)
        line.centre.rule = lambda head, items: taken(head, items, *range(51, 101))
        await line.clock.advance(5)
        line.centre.away = False
        for _ in range(20):
            epoch_no, [seq] = line.outbox.current_epoch, await line.outbox.commit()
            await line.clock.advance(4)
            assert (f"epoch-{epoch_no}", seq) in line.centre.stored
        await line.clock.advance(60)
    assert len(line.outbox.renamed) == 2
    assert line.left == 0


@pytest.mark.parametrize(("epoch", "seqs"), [("epoch-7", [(1, 9)]), ("epoch-1", [(7, 9)]), ("", [])])
async def test_a_conflict_over_names_that_were_not_sent_renames_nothing(epoch: str, seqs: Ranges) -> None:
    line = Line()
    line.centre.rule = lambda head, items: SeqConflict("409", epoch, seqs)
    async with line.running():
        await feed(line, 3)
        assert line.state == "unreachable"
        line.centre.rule = lambda head, items: None
        await line.clock.advance(10)
    assert (line.left, line.outbox.renamed) == (0, [])


async def test_names_change_only_when_no_other_post_uses_them() -> None:
    """The other lane's POST may be stored under the old names: renamed as well it would be there twice."""
    line = Line(rate=1 << 30)
    async with line.running():
        await line.outbox.commit()
        await line.clock.advance(1)
        line.centre.away = True
        for _ in range(50):
            await line.outbox.commit(1, 1000)
        await line.clock.advance(10)
        line.centre.away = False
        line.centre.seconds = lambda nbytes: 2.0 if nbytes > 5000 else 0.01
        while line.centre.in_flight < 5:
            await line.clock.advance(0.1)
        # The backlog is under way for 2 s; the live lane meets a conflict meanwhile.
        line.centre.rule = lambda head, items: taken(head, items, 52)
        await line.outbox.commit()
        await line.clock.advance(0.5)
        assert line.outbox.renamed == []
        await line.clock.advance(20)
        assert line.outbox.renamed == [(1, [(52, 52)])]
    assert line.left == 0
    assert len(line.centre.order) == len(set(line.centre.order)) == 52


async def test_conflicts_of_both_lanes_are_few_renames() -> None:
    line = Line(rate=1 << 30)
    async with line.running():
        await line.outbox.commit()
        await line.clock.advance(1)
        line.centre.away = True
        for _ in range(50):
            await line.outbox.commit(1, 1000)
        await line.clock.advance(10)
        line.centre.away = False
        line.centre.rule = lambda head, items: (
            taken(head, items, *range(2, 80)) if len(line.centre.stored) > 1 else None
        )
        line.centre.seconds = lambda nbytes: 1.0
        for _ in range(20):
            await line.outbox.commit()
            await line.clock.advance(0.5)
        line.centre.seconds = lambda nbytes: 0.01
        await line.clock.advance(20)
    # The one that live data met, and the rest of the epoch when all of it had its answer.
    assert len(line.outbox.renamed) == 2
    assert line.left == 0


async def test_a_centre_that_finds_conflicts_everywhere_does_not_make_epoch_after_epoch() -> None:
    line = Line()
    line.centre.rule = lambda head, items: SeqConflict("409: always", head.epoch, [(1, 1 << 40)])
    async with line.running():
        await feed(line, 300)
        assert len(line.outbox.renamed) == 1
        assert line.state == "refused"
        line.centre.rule = lambda head, items: None
        await line.clock.advance(901)
        await line.clock.advance(10)
    assert line.left == 0


# --- 413 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("says", [True, False])
async def test_a_limit_on_posts_makes_posts_smaller_and_nothing_waits(says: bool) -> None:
    line = Line(rate=1 << 30)
    await line.outbox.commit(500, 10_000)

    def rule(head: Head, items: list[BatchItem]) -> UplinkFault | None:
        if line.centre.posts[-1].nbytes > 100_000:
            return BodyTooLarge("413", 100_000 if says else None)
        return None

    line.centre.rule = rule
    async with line.running():
        await line.clock.advance(60)
        refused = sum(post.nbytes > 100_000 for post in line.centre.posts)
        assert refused <= (2 if says else 5)
    assert line.left == 0
    assert line.state == "ok"


async def test_a_batch_that_is_too_large_alone_blocks_with_an_alert_while_everything_else_flows() -> None:
    line = Line()
    await line.outbox.commit(100)
    line.centre.rule = refusing(line, [37], BodyTooLarge)
    async with line.running():
        await feed(line, 60)
        assert line.outbox.epochs[1].held == [(37, 37)]
        assert line.state == "blocked"
        assert "batch 37" in line.uploader.report().detail
        assert line.codes == ["upload_blocked"]
        assert sum(post.seqs == [37] for post in line.centre.posts) == 1
        # An outage in between does not hide it.
        line.centre.away = True
        await feed(line, 10)
        assert line.state == "unreachable"
        line.centre.away = False
        await feed(line, 10)
        assert line.state == "blocked"
        # The limit was raised: within a quarter of an hour it goes too.
        line.centre.rule = lambda head, items: None
        await feed(line, 900)
        assert line.state == "ok"
    assert (line.left, line.outbox.rejected) == (0, [])


async def test_many_that_are_too_large_alone_keep_nobody_back() -> None:
    """What was stored for another way: no message of this one carries it."""
    line = Line(rate=1 << 30)
    await line.outbox.commit(300)

    def rule(head: Head, items: list[BatchItem]) -> UplinkFault | None:
        fits = all(item.seq >= 300 for item in items)
        return None if fits else BodyTooLarge("too large for a message", 90, is_own=True)

    line.centre.rule = rule
    async with line.running():
        for _ in range(30):
            [seq] = await line.outbox.commit()
            await line.clock.advance(1)
            assert not ranges.contains(line.outbox.epochs[1].held, seq), line.uploader.report().detail
        assert line.state == "blocked"


async def test_a_proxy_that_takes_nothing_at_all_gets_one_post_a_knock() -> None:
    line = Line(rate=1 << 30)
    await line.outbox.commit(3000)
    line.centre.rule = lambda head, items: BodyTooLarge("413", 10)
    async with line.running():
        await line.clock.advance(600)
        assert len(line.centre.posts) < 300
        line.centre.rule = lambda head, items: None
        await line.clock.advance(901)
        await line.clock.advance(60)
    assert line.left == 0


async def test_a_blocked_batch_costs_no_cpu() -> None:
    line = Line()
    await line.outbox.commit(1)
    line.centre.rule = refusing(line, [1], BodyTooLarge)
    async with line.running():
        await line.clock.advance(5)
        assert await line.looks_in(890) < 10


async def test_a_suspect_batch_costs_no_cpu() -> None:
    line = Line()
    line.centre.rule = refusing(line, [1])
    async with line.running():
        await line.outbox.commit(2)
        await line.clock.advance(5)
        assert await line.looks_in(3600) < 150


# --- 429, 503, 5xx, garbage, time-outs ---------------------------------------------------------------


async def test_retry_after_is_kept_to_with_jitter_by_both_lanes() -> None:
    pauses: list[float] = []
    for seed in range(5):
        line = Line(seed=seed)
        await line.outbox.commit(100)
        line.centre.rule = lambda head, items: RetryAfter("503", 20.0)
        async with line.running():
            await line.clock.advance(100)
        at = [post.at for post in line.centre.posts]
        pauses += [later - earlier for earlier, later in pairwise(at)]
    assert all(20 <= pause <= 30.1 for pause in pauses)
    assert max(pauses) - min(pauses) > 3


async def test_a_retry_after_of_nothing_is_no_invitation_to_a_storm() -> None:
    line = Line()
    await line.outbox.commit(100)
    line.centre.rule = lambda head, items: RetryAfter("429", 0.0)
    async with line.running():
        await line.clock.advance(60)
        assert len(line.centre.posts) < 40


async def test_server_errors_bring_the_same_bytes_again() -> None:
    line = Line()
    bodies: list[bytes] = []

    def rule(head: Head, items: list[BatchItem]) -> UplinkFault | None:
        bodies.extend(bytes(item.body) for item in items)
        return Unreachable("502: Bad Gateway") if len(bodies) < 4 else None

    line.centre.rule = rule
    async with line.running():
        await line.outbox.commit()
        await line.clock.advance(20)
    assert len(bodies) == 4
    assert len(set(bodies)) == 1
    assert line.left == 0


async def test_thingsboard_8712_a_batch_on_which_the_centre_fails_keeps_no_others_back() -> None:
    """500 is no refusal: the batch is never given up, but what stands behind it passes."""
    line = Line()
    line.centre.away = True
    async with line.running():
        await line.outbox.commit(200)
        await line.clock.advance(10)
        line.centre.away = False
        line.centre.rule = lambda head, items: (
            Unreachable("500") if any(item.seq == 5 for item in items) else None
        )
        await feed(line, 60)
        assert line.outbox.epochs[1].held == [(5, 5)]
        assert line.outbox.rejected == []
        await feed(line, 120)
        assert line.outbox.epochs[1].held == [(5, 5)]
        line.centre.rule = lambda head, items: None
        await feed(line, 61)
    assert line.left == 0


async def test_every_fault_is_forgotten_as_soon_as_the_centre_is_well() -> None:
    faults: list[UplinkFault] = [
        Unreachable("x"), RetryAfter("x", 1.0), Invalid("x"), BodyTooLarge("x", None), Refused("x", 403),
        SeqConflict("x"),
    ]  # fmt: skip
    line = Line()
    turn = 0

    def rule(head: Head, items: list[BatchItem]) -> UplinkFault | None:
        nonlocal turn
        turn += 1
        return faults[turn % len(faults)] if turn < 45 else None

    line.centre.rule = rule
    async with line.running():
        for _ in range(300):
            await line.outbox.commit()
            await line.clock.advance(30)
        assert turn > 45
        await line.clock.advance(1000)
        assert line.state == "ok"
    lost = len(line.outbox.rejected)
    assert line.left == 0
    assert len(set(line.centre.order)) == 300 - lost
    assert ranges.size(line.outbox.epochs[line.outbox.current_epoch].held) == 0
