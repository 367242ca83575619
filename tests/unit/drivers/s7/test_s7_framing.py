"""Which answer belongs to which job."""

import pytest

from edge_agent.drivers.links import Garbage
from edge_agent.drivers.s7 import messages
from edge_agent.drivers.s7.framing import Framing

JOB = messages.setup_request(0, 480)


def answer(reference: int) -> bytes:
    return messages.envelope(b"\x32\x03\0\0" + reference.to_bytes(2) + bytes(6))


def confirmed(jobs: int = 4) -> Framing:
    framing = Framing()
    framing.confirmed, framing.jobs = True, jobs
    return framing


def asked(framing: Framing) -> int:
    """The reference of a new job."""
    return int.from_bytes(framing.request(JOB)[11:13])


def test_a_late_answer_ends_its_open_job_and_is_no_answer_to_the_next() -> None:
    framing = confirmed(jobs=1)
    first = asked(framing)
    assert framing.abandon()
    assert framing.open_jobs == {first}
    assert framing.receive(answer(first)) is None  # while nothing is awaited
    assert framing.open_jobs == set()
    second = asked(framing)
    assert framing.receive(answer(first)) is None
    assert framing.receive(answer(second)) == answer(second)[7:]
    assert framing.receive(answer(second)) is None


def test_a_job_that_was_answered_is_not_left_open() -> None:
    framing = confirmed(jobs=1)
    framing.receive(answer(asked(framing)))
    framing.abandon()
    assert not framing.is_full


def test_references_go_round_without_those_of_open_jobs() -> None:
    framing = confirmed()
    first = asked(framing)
    framing.abandon()
    seen = [asked(framing) for _ in range(0xFFFF)]
    assert first not in seen
    assert 0 not in seen
    assert seen[-1] == seen[0]


def test_an_answer_in_two_pieces_is_whole_with_the_second() -> None:
    framing = confirmed()
    whole = answer(asked(framing))
    assert framing.receive(whole[:9]) is None
    assert not framing.untouched
    assert framing.receive(whole[9:]) == whole[7:]


def test_an_s7_message_before_the_confirmation_is_garbage() -> None:
    framing = Framing()
    framing.request(messages.connect_request(b"\1\0", b"\1\2"))
    with pytest.raises(Garbage, match="confirmed"):
        framing.receive(answer(1))
