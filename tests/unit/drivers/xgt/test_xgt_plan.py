"""Which requests serve which tags."""

import pickle

import pytest

from edge_agent.contracts.errors import ConfigError
from tests.unit.drivers.xgt.xgt_connections import planned, requests


def test_neighbours_and_small_gaps_share_a_block() -> None:
    assert requests("%DW100", "%DW101", "%DW130") == ["%DB200, 62 bytes"]


def test_words_that_stand_alone_are_read_by_name_sixteen_at_a_time() -> None:
    tags = [f"%DW{1000 * number}" for number in range(20)]
    assert requests(*tags) == [
        "%DW0, %DW1000, %DW2000, %DW3000 and 12 more",
        "%DW16000, %DW17000, %DW18000, %DW19000",
    ]
    assert len(requests(*tags, max_names=1)) == 20


def test_names_of_several_areas_share_a_request() -> None:
    assert requests("%DW0", "%MW5", "M900.3", {"name": "f", "address": "%DW900", "type": "float32"}) == [
        "%DW0, %DW900, %DW901, %MW5 and 1 more"
    ]


def test_a_run_alone_stays_a_block() -> None:
    assert requests("%DW7") == ["%DB14, 2 bytes"]
    assert requests(*[f"%DW{number}" for number in range(20)], "%DW5000") == [
        "%DB0, 40 bytes",
        "%DB10000, 2 bytes",
    ]


def test_a_block_holds_at_most_1400_bytes_and_cuts_no_value() -> None:
    tags = [
        {"name": f"t{number}", "address": f"%DW{2 * number + 1}", "type": "uint32"} for number in range(400)
    ]
    assert requests(*tags) == ["%DB2, 1400 bytes", "%DB1402, 200 bytes"]
    assert requests(*tags[:4], max_bytes=8, max_names=1) == ["%DB2, 8 bytes", "%DB10, 8 bytes"]


def test_a_value_that_no_request_may_hold_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_bytes is 8"):
        planned({"name": "t", "address": "%DW0", "count": 5}, max_bytes=8)


def test_contacts_are_read_by_name_apart_from_values() -> None:
    assert requests("%TX5", "%TW5", "%CX5") == ["%TB10, 2 bytes", "%CX5, %TX5"]


def test_bits_and_their_word_are_read_once() -> None:
    plan = planned("%MX2764", "M172.D", "%MW172", "%MB345")
    assert [request.text for request in plan.requests] == ["%MB344, 2 bytes"]
    assert plan.requests[0].tags == 4
    row = plan.cut.row(b"\x34\x12")
    by_name = {tag.name: row[plan.schema.edges[at]] for at, tag in enumerate(plan.schema.tags)}
    assert (by_name["%MX2764"], by_name["M172.D"], by_name["%MB345"]) == (1, 0, 0x12)


def test_bits_stand_behind_bytes_wherever_they_are() -> None:
    """Both take one byte of the row; a contact of C came before a byte of M once, and took its place."""
    plan = planned("%CX0", "%MB0", "M0.8", "%MB1")
    assert [tag.name for tag in plan.schema.tags] == ["%MB0", "%MB1", "%CX0", "M0.8"]
    assert plan.cut.row(b"\x34\x01" + b"\x01") == b"\x34\x01\x01\x01"
    assert plan.cut.row(b"\x34\x12" + b"\x01") == b"\x34\x12\x01\x00"


def test_state_and_flags_take_one_request() -> None:
    assert requests("status:state", "status:version", "status:error", "D5") == [
        "%DB10, 2 bytes",
        "PLC status",
    ]


def test_a_plan_says_the_bytes_of_its_frames() -> None:
    """XGL-EFMTB manual 8.2: 20 bytes of header; D100 as a block of two bytes."""
    (request,) = planned("D100").requests
    assert (request.sent_bytes, request.received_bytes) == (20 + 18, 20 + 12 + 2)
    (names,) = planned("D100", "D9000").requests
    assert (names.sent_bytes, names.received_bytes) == (20 + 8 + 8 + 9, 20 + 10 + 4 + 4)


def test_what_numbers_mean_is_noted_where_they_count_no_words() -> None:
    assert planned("%DD50", "%MX2764", "%DW1", "D1.3", "%TX1").notes == (
        "%DD50: %DD50 means %DW100", "%MX2764: %MX2764 means M172.C",
    )  # fmt: skip
    assert planned("%MX172C", series="xgb-mk").notes == ("%MX172C: %MX172C means M172.C",)


def test_two_tags_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="same name"):
        planned({"name": "t", "address": "D1"}, {"name": "t", "address": "D2"})


def test_a_pickled_plan_reads_the_same() -> None:
    made = planned("D1", "D2.3", "%TX1", "status:state")
    copy = pickle.loads(pickle.dumps(made))
    assert [block.body for block in copy.blocks] == [block.body for block in made.blocks]
    assert copy.notes == ()
