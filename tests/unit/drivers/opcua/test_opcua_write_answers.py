"""What an answer to a write says of it: done, refused, or that nobody knows."""

import pytest

from edge_agent.contracts.errors import WriteRefused, WriteUnknown
from edge_agent.drivers.opcua.errors import Fault
from edge_agent.drivers.opcua.writing import check, failure


def test_a_good_answer_about_one_node() -> None:
    check(0, [0])
    check(0, [0x002E0000])  # GoodCompletesAsynchronously: reading back tells


@pytest.mark.parametrize("results", [[], [0, 0], [0x40000000]])
def test_an_answer_that_says_neither_yes_nor_no_is_no_yes(results: list[int]) -> None:
    with pytest.raises(WriteUnknown):
        check(0, results)


@pytest.mark.parametrize(("status", "results"), [(0x803B0000, []), (0, [0x803B0000]), (0x803B0000, [0])])
def test_a_bad_status_of_the_service_or_the_node(status: int, results: list[int]) -> None:
    with pytest.raises(Fault, match="BadNotWritable"):
        check(status, results)


def test_a_server_that_lost_its_own_device_does_not_know_what_became_of_it() -> None:
    assert failure(0x800A0000) is WriteUnknown  # BadTimeout
    assert failure(0x80050000) is WriteUnknown  # BadCommunicationError
    assert failure(0x803B0000) is WriteRefused  # BadNotWritable
    assert failure(0x80740000) is WriteRefused  # BadTypeMismatch
