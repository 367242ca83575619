"""The account of epochs: what is held, where the floor is, what a loss record settles."""

from edge_agent.buffer.ledger import Epoch, Ledger, WrittenOff, follow


def ledger(*lengths: int) -> Ledger:
    """Epochs 1, 2, … with so many batches each."""
    result = Ledger()
    for no, length in enumerate(lengths, 1):
        result.epochs[no] = Epoch(no, f"e{no}", length + 1, "b", "m")
    return result


def test_what_was_never_acknowledged_is_held_and_keeps_the_floor_down() -> None:
    book = ledger(10)
    assert book.settle(1, [(3, 5), (9, 9)]) == [(3, 5), (9, 9)]
    assert book.held(1) == [(1, 2), (6, 8), (10, 10)]
    assert book.floor(1) == 1
    book.settle(1, [(1, 2)])
    assert book.floor(1) == 6


def test_repeats_and_seqs_that_do_not_exist_are_no_news() -> None:
    book = ledger(3)
    assert book.settle(1, [(0, 99)]) == [(1, 3)]
    assert book.settle(1, [(1, 3)]) == []
    assert book.settle(7, [(1, 3)]) == []
    assert book.epochs[1].settled == [(1, 3)]


def test_a_loss_lifts_the_floor_only_when_its_record_is_delivered() -> None:
    book = ledger(5)
    book.settle(1, [(1, 1), (3, 4)])
    book.written_off = [WrittenOff(1, [(2, 2)], 1, 5)]
    assert book.held(1) == [(5, 5)]
    assert book.floor(1) == 2
    assert book.settle(1, [(5, 5)]) == [(5, 5)]
    assert book.floor(1) == 6
    assert book.written_off == []


def test_a_record_may_be_in_another_epoch_than_what_it_writes_off() -> None:
    book = ledger(4, 1)
    book.written_off = [WrittenOff(1, [(1, 4)], 2, 1)]
    assert book.open_epochs() == [1, 2]
    book.settle(2, [(1, 1)])
    assert book.floor(1) == 5
    assert book.open_epochs() == [2]


def test_a_late_acknowledgement_of_what_was_written_off_is_no_delivery() -> None:
    book = ledger(3)
    book.written_off = [WrittenOff(1, [(1, 2)], 1, 3)]
    assert book.settle(1, [(1, 1)]) == []
    assert book.floor(1) == 2


def test_records_are_followed_to_their_new_names() -> None:
    entries = [WrittenOff(1, [(2, 2)], 1, 5), WrittenOff(1, [(3, 3)], 1, 6)]
    moved = follow(entries, {(1, 5): (2, 1)})
    assert [(entry.record_epoch, entry.record_seq) for entry in moved] == [(2, 1), (1, 6)]
    assert [entry.seqs for entry in moved] == [[(2, 2)], [(3, 3)]]


def test_the_current_epoch_is_announced_last_and_always() -> None:
    book = ledger(2, 2, 0)
    assert book.open_epochs() == [1, 2, 3]
    book.settle(1, [(1, 2)])
    assert book.open_epochs() == [2, 3]


def test_only_epochs_that_nothing_needs_any_more_are_forgotten() -> None:
    book = ledger(2, 2, 2, 2, 0)
    for no in (1, 2, 3):
        book.settle(no, [(1, 2)])
    book.written_off = [WrittenOff(4, [(1, 1)], 3, 2)]
    assert book.forget(stored=[2]) == [1]
    assert sorted(book.epochs) == [2, 3, 4, 5]
