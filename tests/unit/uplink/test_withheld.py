from edge_agent.uplink.suspects import MOST, RETRY_MAX_SECONDS, RETRY_SECONDS, Suspects
from edge_agent.uplink.withheld import BLOCKED_SECONDS, PUT_OFF_SECONDS, Withheld
from edge_agent.wire.upload import BatchItem


def items(*seqs: int) -> list[BatchItem]:
    return [BatchItem(seq, 1, 1, 1, 1, 0, 0, bytes(16), b"x") for seq in seqs]


# --- suspects ------------------------------------------------------------------------------------


def test_three_strikes_each_after_another_batch_passed() -> None:
    suspects = Suspects()
    assert not suspects.refused(1, 7, 0)
    suspects.passed()
    assert not suspects.refused(1, 7, 10)
    suspects.passed()
    assert suspects.refused(1, 7, 20)


def test_refusals_do_not_count_while_nothing_passes() -> None:
    suspects = Suspects()
    assert not any(suspects.refused(1, 7, now) for now in range(1000))
    suspects.passed()
    assert not suspects.refused(1, 7, 2000)


def test_a_suspect_is_tried_again_after_a_while_and_ever_more_rarely_where_that_says_nothing() -> None:
    suspects = Suspects()
    suspects.refused(1, 7, 0)
    assert suspects.take_due(RETRY_SECONDS - 0.1) is None
    now, waits = 0.0, []
    for _ in range(9):
        due = suspects.next_due()
        assert due is not None
        waits.append(due - now)
        now = due
        assert suspects.take_due(now) == (1, 7)
        assert suspects.take_due(now) is None, "it is on its way"
        suspects.refused(1, 7, now)
    assert waits == [10, 20, 40, 80, 160, 320, 640, 900, 900]
    assert waits[-1] == RETRY_MAX_SECONDS


def test_there_are_never_more_suspects_than_a_bad_centre_can_make() -> None:
    suspects = Suspects()
    for seq in range(1, 10_000):
        assert not suspects.refused(1, seq, 0)
    assert suspects.of_epoch(1) == [(1, MOST)]
    suspects.clear(1, 5)
    assert suspects.of_epoch(1) == [(1, 4), (6, MOST)]


def test_a_renamed_epoch_has_no_suspects() -> None:
    suspects = Suspects()
    suspects.refused(1, 7, 0)
    suspects.refused(2, 8, 0)
    suspects.forget(1)
    assert (suspects.of_epoch(1), suspects.of_epoch(2)) == ([], [(8, 8)])


# --- all of it -------------------------------------------------------------------------------------


def test_a_name_is_claimed_by_one_post_only() -> None:
    withheld = Withheld()
    first = withheld.claim(1, items(1, 2, 3))
    second = withheld.claim(1, items(3, 4))
    assert [[item.seq for item in claimed] for claimed in (first, second)] == [[1, 2, 3], [4]]
    assert [item.seq for item in withheld.claim(2, items(3))] == [3]
    assert withheld.excluded(1, 0) == [(1, 4)]
    withheld.release(1, first)
    assert withheld.excluded(1, 0) == [(4, 4)]
    withheld.release(1, second)
    assert withheld.excluded(1, 0) == []


def test_what_is_blocked_comes_back_together_after_a_quarter_of_an_hour() -> None:
    withheld = Withheld()
    withheld.block(1, 5, 100.0)
    withheld.block(1, 9, 500.0)
    assert (withheld.is_blocked, withheld.excluded(1, 999.0)) == (True, [(5, 5), (9, 9)])
    assert withheld.next_return() == 100.0 + BLOCKED_SECONDS
    assert (withheld.excluded(1, 1000.0), withheld.is_blocked) == ([], False)
    assert withheld.next_return() is None


def test_what_was_put_off_comes_back_after_a_minute_and_blocks_nothing() -> None:
    withheld = Withheld()
    withheld.put_off(1, [(1, 100_000)], 0.0)
    assert withheld.excluded(1, PUT_OFF_SECONDS - 1) == [(1, 100_000)]
    assert not withheld.is_blocked
    assert withheld.excluded(1, PUT_OFF_SECONDS) == []


def test_a_renamed_epoch_has_nothing_withheld() -> None:
    withheld = Withheld()
    withheld.block(1, 5, 0)
    withheld.put_off(1, [(6, 6)], 0)
    withheld.suspects.refused(1, 7, 0)
    withheld.conflict(1, [(8, 9)])
    withheld.forget(1)
    assert withheld.excluded(1, 0) == []
    assert withheld.epochs_in_conflict == []
    assert not withheld.is_blocked
    assert withheld.next_return() is None
