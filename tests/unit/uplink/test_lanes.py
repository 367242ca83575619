import pytest

from edge_agent.uplink import lanes
from edge_agent.uplink.lanes import PostSize, Share, TokenBucket
from edge_agent.wire.messages import Head
from edge_agent.wire.upload import MAX_BODY_BYTES, BatchItem, encode_upload


def items(*sizes: int) -> list[BatchItem]:
    return [BatchItem(seq, 1, 1, size, 1, 0, 0, bytes(16), bytes(size)) for seq, size in enumerate(sizes, 1)]


def head(ranges: int = 0) -> Head:
    far = (1 << 40) - 1
    return Head(
        epoch="e" * 32, no=99, run="r" * 16, boot="b" * 36, floor=far, next=far, held=[(far, far)] * ranges,
        now=1_800_000_000_000, sync=False,
    )  # fmt: skip


def test_live_takes_what_is_at_or_above_the_cursor_and_what_is_urgent() -> None:
    held = [(1, 10), (20, 30)]
    assert lanes.live(held, 25, [], []) == [(25, 30)]
    assert lanes.live(held, 25, [(3, 3), (15, 15)], []) == [(3, 3), (25, 30)]
    assert lanes.live(held, 25, [(3, 3)], [(3, 3), (26, 28)]) == [(25, 25), (29, 30)]


def test_the_backlog_takes_what_is_below_the_cursor() -> None:
    assert lanes.backlog([(1, 10), (20, 30)], 25, [(2, 9)]) == [(1, 1), (10, 10), (20, 24)]
    assert lanes.backlog([(1, 10)], 1, []) == []


@pytest.mark.parametrize("ranges", [0, 300])
def test_what_fits_really_fits_with_heads_and_all(ranges: int) -> None:
    for size in (1, 100, 30_000):
        chosen = lanes.fitting(items(*[size] * 5000), head(ranges), 200_000)
        assert 1 < len(chosen) < 5000
        assert 150_000 < len(encode_upload(head(ranges), chosen)) <= 200_000


def test_at_least_one_batch_goes_however_large_it_is() -> None:
    assert [item.seq for item in lanes.fitting(items(9000, 1), head(), 4000)] == [1]
    assert lanes.fitting([], head(), 4000) == []


def test_posts_grow_while_full_ones_are_quick_and_halve_when_slow() -> None:
    size = PostSize()
    assert size.backlog(0) == lanes.MIN_POST_BYTES
    size.note(100, 0.1)
    assert size.backlog(0) == lanes.MIN_POST_BYTES, "a POST that was not full says nothing"
    for _ in range(20):
        size.note(size.backlog(0), 0.1)
    assert size.backlog(0) == MAX_BODY_BYTES
    size.note(size.backlog(0), 1.5)
    assert size.backlog(0) == MAX_BODY_BYTES
    size.note(0, 30.0)
    assert size.backlog(0) == MAX_BODY_BYTES // 2
    for _ in range(20):
        size.note(0, 30.0)
    assert size.backlog(0) == lanes.MIN_POST_BYTES


def test_a_limit_holds_for_a_quarter_of_an_hour() -> None:
    size = PostSize()
    size.limit(100_000, 500_000, 0)
    assert size.most(899) == 100_000
    assert size.most(900) == MAX_BODY_BYTES


@pytest.mark.parametrize(
    ("says", "refused", "limit"),
    [(None, 500_000, 250_000), (10**12, 500_000, 250_000), (1, 500_000, 1024), (None, 10, 1024)],
)
def test_a_limit_that_makes_no_sense_still_ends_somewhere(says: int | None, refused: int, limit: int) -> None:
    size = PostSize()
    size.limit(says, refused, 0)
    assert size.most(0) == limit
    assert size.backlog(0) == min(limit, lanes.MIN_POST_BYTES)


def test_a_second_limit_never_raises_the_first() -> None:
    size = PostSize()
    size.limit(1000_0, 500_000, 0)
    size.limit(None, 500_000, 1)
    assert size.most(2) == 10_000


def test_the_bucket_lets_a_second_s_worth_go_and_then_waits_for_what_was_spent() -> None:
    bucket = TokenBucket(1000.0)
    assert bucket.delay(100.0) == 0
    bucket.spend(3000, 100.0)
    assert bucket.delay(100.0) == pytest.approx(2.0)
    assert bucket.delay(101.0) == pytest.approx(1.0)
    assert bucket.delay(102.0) == 0
    bucket.spend(1000, 10_000.0)
    assert bucket.delay(10_000.0) == 0
    bucket.spend(1, 10_000.0)
    assert bucket.delay(10_000.0) > 0


def test_the_share_forgets_the_distant_past() -> None:
    share = Share()
    share.note(100 << 20, live=True)
    short = [share.backlog_is_short]
    for _ in range(20):
        share.note(1 << 20, live=False)
    short.append(share.backlog_is_short)
    assert short == [True, False]
