"""Live first, the backlog oldest first and within its rate, and nothing that waits for ever."""

import time

import pytest
from structlog.testing import capture_logs

from edge_agent.uplink.errors import BodyTooLarge, Unreachable
from edge_agent.wire.messages import Head
from edge_agent.wire.upload import MAX_BODY_BYTES, BatchItem
from tests.unit.pipeline.plant import Plant, group
from tests.unit.uplink.fakes import Line


async def test_new_batches_go_out_at_once_and_in_order() -> None:
    line = Line()
    async with line.running():
        for _ in range(5):
            await line.outbox.commit()
            await line.clock.advance(1)
    assert line.centre.seqs() == [1, 2, 3, 4, 5]
    assert [post.at - 1000 for post in line.centre.posts] == pytest.approx([0, 1, 2, 3, 4], abs=0.01)
    report = line.uploader.report()
    assert (report.state, report.backlog_batches, report.delivered_batches) == ("ok", 0, 5)
    assert (report.delivered_bytes, report.delivered_samples) == (500, 5)


async def test_the_delay_is_that_of_the_newest_batch_and_not_of_the_backlog() -> None:
    line = Line()
    line.centre.away = True
    async with line.running():
        assert line.uploader.report().delay_ms is None
        await line.outbox.commit(20)
        await line.clock.advance(60)
        await line.outbox.commit()
        began = line.uploader.counts.newest
        line.centre.away = False
        await line.clock.advance(10)
    report = line.uploader.report()
    assert (began, line.uploader.counts.newest) == ((0, 0), (1, 21))
    assert line.centre.seqs()[-1] == 20, "the oldest came last"
    assert report.delay_ms is not None
    assert report.delay_ms <= 3_000


async def test_at_a_start_with_a_backlog_the_newest_comes_first_and_then_the_oldest() -> None:
    line = Line()
    await line.outbox.commit(20)
    async with line.running():
        await line.clock.advance(5)
    assert line.centre.seqs() == [20, *range(1, 20)]


@pytest.mark.parametrize("away", [1.0, 4.0, 60.0, 3600.0])
async def test_after_an_outage_the_newest_is_sent_first_within_one_knock(away: float) -> None:
    line = Line()
    async with line.running():
        await line.outbox.commit()
        await line.clock.advance(1)
        line.centre.away = True
        for _ in range(10):
            await line.outbox.commit()
            await line.clock.advance(away / 10)
        line.centre.away = False
        newest = (await line.outbox.commit())[0]
        returned = line.clock.monotonic()
        await line.clock.advance(3.5)
        assert line.centre.seqs()[1] == newest
        first = next(post for post in line.centre.posts if post.at >= returned)
        assert first.seqs == [newest]
        assert first.at - returned <= 3.0
        assert line.centre.seqs()[2:] == list(range(2, newest))
    assert line.left == 0


async def test_tb_1640_the_sender_heals_itself_without_a_new_commit() -> None:
    """The plant stands still: nothing new comes that could wake anybody."""
    line = Line()
    await line.outbox.commit(50)
    line.centre.away = True
    async with line.running():
        await line.clock.advance(3600)
        line.centre.away = False
        await line.clock.advance(10)
    assert line.left == 0


async def test_a_backlog_post_that_fails_while_nothing_new_is_made_is_sent_again() -> None:
    line = Line()
    await line.outbox.commit(50)

    def once(head: Head, items: list[BatchItem]) -> Unreachable | None:
        return Unreachable("500") if len(line.centre.posts) == 2 else None

    line.centre.rule = once
    async with line.running():
        await line.clock.advance(10)
    assert len(line.centre.posts[1].seqs) > 1
    assert line.left == 0


async def test_a_batch_that_was_in_flight_when_the_centre_went_is_not_forgotten() -> None:
    line = Line()
    async with line.running():
        await line.outbox.commit()
        await line.clock.advance(1)
        line.centre.seconds = lambda nbytes: 1.0
        line.centre.away = True
        await line.outbox.commit()
        await line.clock.advance(0.5)
        await line.outbox.commit()
        await line.clock.advance(1)
        line.centre.away = False
        await line.clock.advance(10)
    assert line.centre.seqs() == [1, 3, 2]


async def test_knocking_costs_one_small_post_in_three_seconds() -> None:
    line = Line()
    await line.outbox.commit(1000)
    line.centre.away = True
    async with line.running():
        await line.clock.advance(600)
        posts = line.centre.posts
        assert {len(post.seqs) for post in posts} == {1}
        assert 200 <= len(posts) <= 260


async def test_a_knock_that_took_long_to_fail_is_followed_by_the_next_at_once() -> None:
    line = Line()
    await line.outbox.commit()
    line.centre.away = True
    line.centre.seconds = lambda nbytes: 10.0
    async with line.running():
        await line.clock.advance(101)
        assert len(line.centre.posts) == 11


async def test_a_live_lane_that_is_five_seconds_behind_moves_to_the_newest() -> None:
    line = Line(rate=1 << 30)
    async with line.running():
        await line.outbox.commit()
        await line.clock.advance(1)
        line.centre.seconds = lambda nbytes: 7.0
        await line.outbox.commit()
        for _ in range(6):
            await line.clock.advance(1)
            await line.outbox.commit()
        line.centre.seconds = lambda nbytes: 0.01
        await line.clock.advance(1.5)
        # 2 was under way for 7 s; 3 … 8 waited meanwhile and the first of them for more than 5 s.
        after = line.centre.posts[2:]
        assert after[0].seqs == [8]
        await line.clock.advance(1)
    assert line.left == 0
    assert sorted(line.centre.seqs()) == list(range(1, 9))


async def test_losses_and_events_do_not_wait_for_the_backlog() -> None:
    line = Line(rate=1024)
    await line.outbox.commit(100, 2000)
    (urgent,) = await line.outbox.commit(1, urgent=True)
    await line.outbox.commit(100, 2000)
    async with line.running():
        await line.clock.advance(0.1)
        assert urgent in line.centre.seqs()
        # The newest is first nevertheless.
        assert line.centre.seqs()[0] == 201


async def test_batches_that_both_lanes_want_are_in_flight_once() -> None:
    """FakeCentre fails on a name that is in two POSTs at a time; here every name is wanted by both lanes."""
    line = Line(rate=1 << 30)
    await line.outbox.commit(500, 1000, urgent=True)
    line.centre.seconds = lambda nbytes: 0.5
    async with line.running():
        await line.clock.advance(20)
    assert line.left == 0
    assert sum(len(post.seqs) for post in line.centre.posts) == 500


async def test_the_backlog_keeps_to_its_rate() -> None:
    line = Line(rate=100_000)
    await line.outbox.commit(2000, 10_000)
    async with line.running():
        await line.clock.advance(5)
        begin = len(line.centre.stored)
        await line.clock.advance(60)
        rate = (len(line.centre.stored) - begin) * 10_000 / 60
        assert 80_000 < rate < 120_000


async def test_a_low_rate_still_gets_a_tenth_of_the_bytes() -> None:
    line = Line(rate=1024)
    await line.outbox.commit(3000, 10_000)
    async with line.running():
        for _ in range(100):
            await line.outbox.commit(1, 100_000)
            await line.clock.advance(1)
        live = sum(len(body) for body in line.centre.stored.values() if len(body) == 100_000)
        backlog = sum(len(body) for body in line.centre.stored.values() if len(body) == 10_000)
        assert live == 100 * 100_000
        assert backlog >= 0.08 * (live + backlog)


async def test_posts_of_the_backlog_grow_while_quick_and_shrink_when_slow() -> None:
    line = Line(rate=1 << 30)
    await line.outbox.commit(4000, 10_000)
    # A link of 200 kB/s: 2 s are 400 kB.
    line.centre.seconds = lambda nbytes: nbytes / 200_000
    async with line.running():
        await line.clock.advance(120)
        sizes = [post.nbytes for post in line.centre.posts[1:]]
        assert sizes[0] < 70_000
        assert max(sizes) <= 500_000
        assert min(sizes[10:]) > 100_000
        line.centre.seconds = lambda nbytes: nbytes / 20_000
        await line.clock.advance(60)
        assert line.centre.posts[-1].nbytes < 70_000


async def test_posts_are_as_large_as_before_after_a_failure() -> None:
    line = Line(rate=1 << 30)
    await line.outbox.commit(4000, 10_000)
    line.centre.rule = lambda head, items: (
        Unreachable("500") if 10 <= len(line.centre.posts) < 13 and len(items) > 1 else None
    )
    async with line.running():
        await line.clock.advance(60)
    assert line.left == 0
    assert line.uploader.counts.failed_posts > 0
    assert max(post.nbytes for post in line.centre.posts[13:]) > 900_000


async def test_no_post_is_larger_than_the_limit_though_batches_are_tiny() -> None:
    """56 bytes of each batch's head count as well."""
    line = Line(rate=1 << 30)
    await line.outbox.commit(60_000, 40)
    async with line.running():
        await line.clock.advance(20)
    assert line.left == 0
    sizes = [post.nbytes for post in line.centre.posts]
    assert MAX_BODY_BYTES * 0.9 < max(sizes) <= MAX_BODY_BYTES


async def test_uploads_are_split_to_fit_the_messages_of_a_broker() -> None:
    line = Line(rate=1 << 30, most_bytes=16 << 10)
    await line.outbox.commit(200, 1_000)
    async with line.running():
        await line.clock.advance(20)
    assert line.left == 0
    sizes = [post.nbytes for post in line.centre.posts]
    assert 12 << 10 < max(sizes) <= 16 << 10


async def test_both_lanes_get_through_while_the_other_is_busy() -> None:
    line = Line(rate=1 << 30)
    await line.outbox.commit(5000, 10_000)
    line.centre.seconds = lambda nbytes: 1.5
    async with line.running():
        for _ in range(20):
            await line.outbox.commit(1, 100)
            await line.clock.advance(1.5)
        live = [seq for seq in line.centre.seqs() if seq > 5000]
        assert live == sorted(live)
        assert len(live) >= 18
        assert len(line.centre.seqs()) > 100


async def test_old_epochs_are_delivered_oldest_first() -> None:
    line = Line()
    await line.outbox.commit(3)
    await line.outbox.rename(1, [(1, 1 << 40)])
    line.outbox.epochs[1].settled = [(2, 2)]
    await line.outbox.commit(2)
    async with line.running():
        await line.clock.advance(5)
    order = [(epoch, seq) for epoch, seq in line.centre.stored]
    assert order == [("epoch-2", 5), ("epoch-1", 1), ("epoch-1", 3), *(("epoch-2", n) for n in (1, 2, 3, 4))]


async def test_only_an_old_epoch_is_left_and_the_plant_stands_still() -> None:
    line = Line()
    await line.outbox.commit(30)
    await line.outbox.rename(1, [(1, 1 << 40)])
    line.outbox.epochs[1].settled = []
    line.outbox.epochs[2].settled = [(1, 30)]
    line.centre.away = True
    async with line.running():
        await line.clock.advance(60)
        line.centre.away = False
        await line.clock.advance(10)
    assert line.left == 0


async def test_what_the_centre_lost_is_sent_again_by_an_idle_agent() -> None:
    line = Line()
    async with line.running():
        for _ in range(10):
            await line.outbox.commit()
            await line.clock.advance(1)
        line.centre.stored.clear()
        line.centre.rule = lambda head, items: (
            line.centre.ack(head, items, resend=[(1, 10)]) if items[0].seq == 11 else None
        )
        await line.outbox.commit()
        await line.clock.advance(5)
    assert sorted(line.centre.seqs()) == list(range(1, 12))


async def test_a_resend_of_what_this_very_answer_acknowledges_is_ignored() -> None:
    line = Line()
    line.centre.rule = lambda head, items: line.centre.ack(head, items, resend=[(1, 1 << 40)])
    async with line.running():
        await line.outbox.commit()
        await line.clock.advance(5)
        assert len(line.centre.posts) == 1
    assert line.outbox.resent == [(2, 1 << 40)]


async def test_a_batch_that_cannot_be_read_keeps_nothing_back_and_makes_no_hot_loop() -> None:
    line = Line()
    line.outbox.unreadable = {3, 5}
    async with line.running():
        await line.outbox.commit(4)
        await line.clock.advance(2)
        await line.outbox.commit()
        await line.clock.advance(2)
        assert line.centre.seqs() == [4, 1, 2]
        assert await line.looks_in(600) < 100
        line.outbox.unreadable.clear()
        await line.clock.advance(61)
    assert line.left == 0


async def test_the_send_interval_that_the_centre_asks_for_holds_for_both_lanes() -> None:
    line = Line(rate=1 << 30)
    line.centre.extra = {"send_interval": 10.0}
    await line.outbox.commit(500, 10_000)
    async with line.running():
        for _ in range(60):
            await line.clock.advance(1)
            await line.outbox.commit()
        live = [post for post in line.centre.posts if max(post.seqs) > 500 and min(post.seqs) > 500]
        assert 5 <= len(live) <= 8
        assert len(line.centre.posts) <= 15
        line.uploader.pace(None)
        line.centre.extra = {}
        await line.clock.advance(30)
    assert line.left == 0


async def test_a_knock_does_not_wait_for_the_send_interval() -> None:
    line = Line()
    line.centre.extra = {"send_interval": 60.0}
    async with line.running():
        await line.outbox.commit()
        await line.clock.advance(61)
        line.centre.away = True
        await line.outbox.commit()
        await line.clock.advance(10)
        line.centre.away = False
        await line.clock.advance(4)
        assert line.centre.seqs() == [1, 2]


async def test_the_hints_of_every_answer_are_passed_on() -> None:
    line = Line()
    line.centre.extra = {"config_etag": "abc", "scripts_etag": "def"}
    async with line.running():
        await line.outbox.commit()
        await line.clock.advance(1)
    assert (line.hints, line.script_hints) == (["abc"], ["def"])


async def test_tb_1678_an_idle_uploader_does_nothing_at_all() -> None:
    line = Line()
    async with line.running():
        await line.outbox.commit(10)
        await line.clock.advance(10)
        posts = len(line.centre.posts)
        assert await line.looks_in(86_400) == 0
        assert len(line.centre.posts) == posts


@pytest.mark.parametrize("seconds", [0.0, 0.005, 5.0])
async def test_both_lanes_stop_cleanly_wherever_they_are(seconds: float) -> None:
    """`running` cancels them and the fixture of every test looks for leftover tasks."""
    line = Line()
    await line.outbox.commit(100, 10_000)
    line.centre.seconds = lambda nbytes: 60.0 if seconds == 5.0 and len(line.centre.posts) > 1 else 0.01
    async with line.running():
        await line.clock.advance(seconds)
    # Nothing stays in flight: they can be run again, as a supervisor does.
    line.centre.seconds = lambda nbytes: 0.01
    async with line.running():
        await line.clock.advance(5)
    assert line.left == 0


async def test_six_hundred_thousand_held_batches_cost_no_more_a_post_than_six_thousand() -> None:
    """Ranges are coalesced: what a POST costs beside its own batches does not grow with the backlog."""
    costs = []
    for count in (6_000, 600_000):
        line = Line(rate=1 << 30)
        await line.outbox.commit(count, 8)

        def small_posts(head: Head, items: list[BatchItem]) -> BodyTooLarge | None:
            return BodyTooLarge("413", 4000) if len(items) > 100 else None

        line.centre.rule = small_posts
        async with line.running():
            await line.clock.advance(0.2)
            begin, posts = time.process_time(), len(line.centre.posts)
            await line.clock.advance(1)
            costs.append((time.process_time() - begin) / (len(line.centre.posts) - posts))
    assert costs[1] < 10 * costs[0]


async def test_tb_1446_a_long_outage_is_two_log_lines() -> None:
    line = Line()
    with capture_logs() as lines:
        async with line.running():
            await line.outbox.commit()
            await line.clock.advance(1)
            line.centre.away = True
            for _ in range(60):
                await line.outbox.commit()
                await line.clock.advance(60)
            line.centre.away = False
            await line.clock.advance(30)
    assert [line["event"] for line in lines] == [
        "the centre does not take data",
        "the centre takes data again",
    ]
    assert lines[1]["outage_seconds"] > 3500


async def test_tb_2132_polling_keeps_its_rhythm_whatever_the_uplink_suffers() -> None:
    line = Line()
    plant = Plant([group("g", "100ms")], clock=line.clock)
    line.centre.seconds = lambda nbytes: 1e9
    async with line.running(), plant.running():
        for _ in range(60):
            await line.outbox.commit(10)
            await line.clock.advance(1)
        assert len(plant.driver.reads) == 601
        assert plant.poller.report().overruns == 0
        assert len(line.centre.posts) == 1
