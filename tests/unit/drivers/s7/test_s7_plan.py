"""Which requests serve which tags, and the row that their replies make."""

from typing import Any

import pytest

from edge_agent.contracts.errors import ConfigError
from edge_agent.drivers.s7 import SPEC
from edge_agent.drivers.s7.plan import S7Plan, plan
from edge_agent.drivers.s7.settings import S7Connection
from edge_agent.wire.values import read_value


def planned(tags: list[dict[str, Any]], **more: Any) -> S7Plan:
    named = [{"name": each["address"], **each} for each in tags]
    connection = S7Connection.model_validate(
        {
            "name": "cpu", "driver": "s7", "transport": {"host": "plc"}, **more,
            "groups": [{"name": "g", "interval": "1s", "tags": named}],
        }
    )  # fmt: skip
    return plan(connection, connection.groups[0])


_T = list[dict[str, Any]]


def words(count: int, step: int = 2) -> list[dict[str, Any]]:
    return [{"address": f"DB1.DBW{step * index}"} for index in range(count)]


def texts(made: S7Plan) -> list[str]:
    return [request.text for request in made.requests]


def test_neighbours_are_one_range_and_the_reply_is_the_row() -> None:
    made = planned(words(100))
    assert texts(made) == ["DB1.DBB0..199"]
    assert made.requests[0].sent_bytes == 31
    assert made.requests[0].received_bytes == 25 + 200
    assert made.planned.program.cut.values is None
    payload = bytes(range(200))
    assert made.planned.program.row(payload) == (payload, ())


def test_ranges_are_joined_over_gaps_up_to_the_limit() -> None:
    tags = [{"address": "DB1.DBW0"}, {"address": "DB1.DBW34"}, {"address": "DB1.DBW69"}]
    assert texts(planned(tags)) == ["DB1.DBB0..35, DB1.DBB69..70"]
    assert texts(planned(tags, max_gap=0)) == ["DB1.DBB0..1, DB1.DBB34..35, DB1.DBB69..70"]


def test_a_request_has_twenty_ranges_at_most() -> None:
    made = planned(words(30, step=100), pdu=960)
    assert [text.count("DB1") for text in texts(made)] == [20, 10]


@pytest.mark.parametrize("pdu", [240, 480, 960])
def test_messages_fit_the_pdu(pdu: int) -> None:
    made = planned(words(500) + [{"address": f"DB2.DBD{8 * index}:REAL"} for index in range(100)], pdu=pdu)
    for request in made.requests:
        assert max(request.sent_bytes, request.received_bytes) <= pdu + 7


def test_a_plan_is_laid_out_anew_for_another_pdu() -> None:
    made = planned(words(500))
    assert len(made.planned.requests) == 3
    assert made.layout(480) is made.planned
    assert len(made.layout(240).requests) == 5
    assert made.layout(240).program.payload_bytes == 1000


def test_each_kind_of_area_has_requests_of_its_own_words() -> None:
    tags = [
        {"address": "T5"}, {"address": "T6"}, {"address": "C3"}, {"address": "MW0"}, {"address": "E0.1"},
        {"address": "CPU:STATE"}, {"address": "QB4"}, {"address": "DB2.DBW0"}, {"address": "DB1.DBW0"},
    ]  # fmt: skip
    made = planned(tags)
    assert texts(made) == ["DB1.DBB0..1, DB2.DBB0..1, MB0..1, IB0, QB4, T5..6, C3", "CPU:STATE"]


def test_bits_bytes_and_arrays_of_both_stand_as_the_schema_has_them() -> None:
    tags: _T = [
        {"address": "DB1.DBX0.0"}, {"address": "DB1.DBB1"}, {"address": "DB1.DBX2.1", "count": 10},
        {"address": "DB1.DBB4", "count": 3}, {"address": "DB1.DBW8:S5TIME"}, {"address": "DB1.DBX0.7"},
        {"address": "DB1.DBB7:SINT"},
    ]  # fmt: skip
    made = planned(tags)
    payload = bytes.fromhex("81 07 fe 01 0a0b0c ff 1125")
    row, bad = made.planned.program.row(payload)
    assert bad == ()
    schema = made.schema
    found = {
        tag.name: read_value(tag, row[schema.edges[index] : schema.edges[index + 1]])
        for index, tag in enumerate(schema.tags)
    }
    assert found == {
        "DB1.DBX0.0": True, "DB1.DBB1": 7, "DB1.DBX2.1": [True] * 8 + [False] * 2, "DB1.DBB4": [10, 11, 12],
        "DB1.DBW8:S5TIME": 12_500, "DB1.DBX0.7": True, "DB1.DBB7:SINT": -1,
    }  # fmt: skip


def test_bytes_that_are_no_number_are_told_and_leave_zeros() -> None:
    made = planned([{"address": "DB1.DBW0:COUNTER"}, {"address": "DB1.DBW2:COUNTER"}])
    assert made.planned.program.row(bytes.fromhex("ffff0042")) == (bytes.fromhex("0000002a"), (0,))


def test_an_array_longer_than_a_message_is_cut_between_its_elements() -> None:
    made = planned([{"address": "DB1.DBB0:LREAL", "count": 100}])
    assert texts(made) == ["DB1.DBB0..455", "DB1.DBB456..799"]
    assert "may be of two moments" in made.notes[0]
    payload = bytes(number % 251 for number in range(800))
    assert made.planned.program.row(payload) == (payload, ())


def test_a_text_longer_than_a_message_is_read_in_two() -> None:
    made = planned([{"address": "DB1.DBB0:STRING[254]"}], pdu=240)
    assert texts(made) == ["DB1.DBB0..221", "DB1.DBB222..255"]
    payload = bytes((254, 250)) + b"x" * 254
    assert made.planned.program.text(payload) == (["x" * 250], ())


def test_german_mnemonics_are_noted() -> None:
    assert planned([{"address": "EW4"}]).notes == ("EW4: EW4 means IB4:WORD (German mnemonics)",)


def test_units_of_times_are_told_unless_they_are_scaled() -> None:
    tags: _T = [{"address": "DB1.DBD0:TIME"}, {"address": "DB1.DBD4:TIME", "scale": 0.001, "unit": "s"}]
    assert [tag.unit for tag in planned(tags).schema.tags] == ["ms", "s"]


def test_two_tags_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two tags"):
        planned([{"name": "a", "address": "MW0"}, {"name": "a", "address": "MW2"}])


@pytest.mark.parametrize(
    ("address", "more", "said"),
    [
        ("IB0", {}, "not written"),
        ("T5", {}, "not written"),
        ("CPU:STATE", {}, "not written"),
        ("DB1.DBB0:DTL", {}, "not written"),
        ("DB1.DBX0.0", {"count": 2}, "one bit"),
        ("DB1.DBW0", {"count": 300}, "do not fit"),
    ],
)
def test_what_can_never_be_written(address: str, more: dict[str, Any], said: str) -> None:
    group = {"name": "g", "interval": "1s", "tags": [{"name": "x", "address": address, **more}]}
    connection = S7Connection.model_validate(
        {"name": "cpu", "driver": "s7", "transport": {"host": "plc"}, "groups": [group]}
    )
    assert SPEC.target is not None
    with pytest.raises(ConfigError, match=said):
        SPEC.target(connection, connection.groups[0], connection.groups[0].tags[0])
