"""What a subscription's messages become: changes once and in order, and losses told."""

import struct
from typing import Any

import pytest

from edge_agent.contracts.driver import Reading
from edge_agent.drivers.opcua.binary import Opaque
from edge_agent.drivers.opcua.inbox import Inbox, following
from edge_agent.drivers.opcua.messages import Change, Notification
from edge_agent.drivers.opcua.plan import plan
from edge_agent.drivers.opcua.quality import mark_of, overflowed
from edge_agent.drivers.opcua.settings import OpcUaConnection
from edge_agent.drivers.opcua.structures import Definition, Field, Kind, plain
from edge_agent.wire.quality import Quality, QualityRun, SourceRun

OVERFLOW = 0x480


def an_inbox(*types: str, queue_size: int = 10) -> Inbox:
    tags = [{"name": f"t{i}", "address": f"ns=2;i={i}", "type": type_} for i, type_ in enumerate(types)]
    group = {"name": "g", "interval": "1s", "queue_size": queue_size, "tags": tags}
    values: Any = {"name": "c", "transport": {"url": "opc.tcp://127.0.0.1"}, "groups": [group]}
    connection = OpcUaConnection.model_validate(values)
    made = Inbox(plan(connection, connection.groups[0]))
    made.begin()
    return made


def message(sequence: int, *changes: Change) -> Notification:
    return Notification(1, sequence, keepalive=not changes, changes=list(changes))


def values(reading: Reading) -> list[float]:
    return [struct.unpack("<d", part.row)[0] for part in reading.news or ()]


def test_changes_come_in_order_with_source_times_and_status() -> None:
    inbox = an_inbox("float64")
    assert inbox.take_message(message(1, Change(0, 1.5, 0, 1000), Change(0, 2.5, 0x40900000, 2000)))
    reading = inbox.take({})
    assert values(reading) == [1.5, 2.5]
    first, second = reading.news or ()
    assert (first.quality, first.source) == ((), (SourceRun(0, 1, 1000),))
    assert second.quality == (QualityRun(0, 1, Quality.UNCERTAIN, False, 0x40900000),)
    assert not inbox.take({}).news


def test_a_message_that_comes_again_is_passed_over_and_acknowledged_again() -> None:
    inbox = an_inbox("float64")
    for _ in range(2):
        assert inbox.take_message(message(1, Change(0, 1.0, 0, None)))
    reading = inbox.take({})
    assert values(reading) == [1.0]
    assert reading.lost == ()


def test_missing_messages_are_told_with_their_numbers() -> None:
    inbox = an_inbox("float64")
    inbox.take_message(message(1, Change(0, 1.0, 0, None)))
    inbox.take_message(message(4, Change(0, 4.0, 0, None)))
    reading = inbox.take({})
    assert values(reading) == [1.0, 4.0]
    assert reading.lost == ("messages 2 to 3 of the server (2) did not come",)


def test_a_keepalive_that_is_ahead_tells_of_a_missing_message() -> None:
    inbox = an_inbox("float64")
    assert not inbox.take_message(message(1))
    assert inbox.take({}).lost == ()
    inbox.take_message(message(3))
    reading = inbox.take({})
    assert reading.alive
    assert reading.lost == ("messages 1 to 2 of the server (2) did not come",)


def test_messages_beyond_all_measure_are_told_as_lost_and_not_held() -> None:
    inbox = an_inbox("json")
    for sequence in range(1, 7):
        inbox.take_message(Notification(1, sequence, 8 << 20, False, changes=[Change(0, "x", 0, None)]))
    assert inbox.gap
    reading = inbox.take({})
    assert len(reading.news or ()) == 4
    assert reading.lost[0] == "message 5 of the server: more came than could be taken"
    inbox.take_message(Notification(1, 7, 8 << 20, False, changes=[Change(0, "x", 0, None)]))
    assert inbox.take({}).lost == ()


def test_the_number_behind_the_last_is_one() -> None:
    assert following(0xFFFFFFFF) == 1
    inbox = an_inbox("float64")
    inbox.next_sequence = 0xFFFFFFFF
    inbox.take_message(message(0xFFFFFFFF, Change(0, 1.0, 0, None)))
    inbox.take_message(message(1, Change(0, 2.0, 0, None)))
    assert inbox.take({}).lost == ()


def test_an_overflow_at_the_server_is_told_by_tag_and_bound() -> None:
    inbox = an_inbox("float64", queue_size=3)
    inbox.take_message(message(1, Change(0, 7.0, OVERFLOW, 5000)))
    reading = inbox.take({})
    assert reading.lost == ("changes of t0 before source time 5000 ms: the server's queue of 3 was full",)
    assert values(reading) == [7.0]
    assert overflowed(OVERFLOW)
    assert not overflowed(0x80)


def test_good_without_a_value_is_null_and_good_and_bad_with_one_is_null() -> None:
    inbox = an_inbox("float64", "float64")
    inbox.take_message(message(1, Change(0, None, 0, None), Change(1, 3.0, 0x808C0000, None)))
    part = (inbox.take({}).news or ())[0]
    assert part.quality == (
        QualityRun(0, 1, Quality.GOOD, True, 0),
        QualityRun(1, 1, Quality.BAD_DEVICE, True, 0x808C0000),
    )


@pytest.mark.parametrize(
    ("status", "quality"),
    [
        (0x80340000, Quality.BAD_CONFIG),
        (0x80350000, Quality.BAD_CONFIG),
        (0x801F0000, Quality.BAD_CONFIG),
        (0x80310000, Quality.BAD_COMM),
        (0x808A0000, Quality.BAD_COMM),
        (0x803C0000, Quality.BAD_VALUE),
        (0x808B0000, Quality.BAD_DEVICE),
        (0xC0000000, Quality.BAD_DEVICE),
        (0x40A40000, Quality.UNCERTAIN),
        (0x00960000, Quality.GOOD),
    ],
)
def test_status_codes_become_qualities_and_stay_beside_them(status: int, quality: Quality) -> None:
    mark = mark_of(status, empty=False)
    assert mark is not None
    assert (mark.quality, mark.status) == (quality, status)
    assert mark.null == (status >> 31 == 1)


def test_a_refused_item_is_bad_alone_and_told_once() -> None:
    inbox = an_inbox("float64", "float64")
    for _ in range(2):
        inbox.refuse(1, 0x80340000)
    inbox.take_message(message(1, Change(0, 1.0, 0, None)))
    assert inbox.complete
    reading = inbox.take({})
    assert [part.quality for part in reading.news or ()] == [
        (QualityRun(1, 1, Quality.BAD_CONFIG, True, 0x80340000),)
    ]
    assert reading.errors == {"ns=2;i=1": "BadNodeIdUnknown (0x80340000)"}


def test_what_is_taken_up_again_is_told_again_with_the_times_of_then() -> None:
    inbox = an_inbox("float64")
    inbox.take_message(message(1, Change(0, 1.0, 0, 1000)))
    inbox.take({})
    inbox.restate()
    part = (inbox.take({}).news or ())[0]
    assert part.source == (SourceRun(0, 1, 1000),)


def test_changes_of_one_tag_stay_in_order_while_a_structure_waits() -> None:
    inbox = an_inbox("json")
    inbox.take_message(message(1, Change(0, Opaque("i=9", b"\1"), 0, None, True), Change(0, 5, 0, None)))
    assert inbox.unread
    reading = inbox.take({"i=9": Definition(Kind.PLAIN, (Field("on", 1),))})
    assert [part.text for part in reading.news or ()] == [({"on": True},), (5,)]


def test_handles_that_nobody_asked_for_are_passed_over() -> None:
    inbox = an_inbox("float64")
    inbox.take_message(message(1, Change(77, 1.0, 0, None), Change(0, 2.0, 0, None)))
    assert values(inbox.take({})) == [2.0]


DEFINITIONS = {
    "i=1": Definition(Kind.PLAIN, (Field("x", 11), Field("names", 12, 1), Field("inner", "i=2"))),
    "i=2": Definition(Kind.OPTIONAL, (Field("a", 1, 0, True), Field("b", 4, 0, True), Field("c", 3))),
    "i=3": Definition(Kind.UNION, (Field("number", 6), Field("text", 12))),
    "i=4": Definition(Kind.PLAIN, (Field("matrix", 3, 2),)),
    "i=5": Definition(Kind.PLAIN, (Field("whole", 22),)),
    "i=6": Definition(Kind.PLAIN, ()),
    "i=7": Definition(Kind.PLAIN, tuple(Field(f"f{n}", "i=6") for n in range(1_000))),
    "i=8": Definition(Kind.PLAIN, tuple(Field(f"f{n}", "i=7") for n in range(1_000))),
    "i=9": Definition(Kind.PLAIN, tuple(Field(f"f{n}", "i=6", 1) for n in range(1_000))),
}


@pytest.mark.parametrize(
    ("type_id", "body", "expected"),
    [
        ("i=1", struct.pack("<di", 1.5, 1) + struct.pack("<i", 1) + b"n" + struct.pack("<IhB", 2, -7, 9),
         {"x": 1.5, "names": ["n"], "inner": {"b": -7, "c": 9}}),
        ("i=3", struct.pack("<Ii", 1, 42), {"number": 42}),
        ("i=3", struct.pack("<I", 0), {}),
        ("i=4", struct.pack("<3i4B", 2, 2, 2, 1, 2, 3, 4), {"matrix": [[1, 2], [3, 4]]}),
        ("i=5", b"\x00\x03\x01" + struct.pack("<iIi", 8, 1, 5), {"whole": {"number": 5}}),
        ("i=3", struct.pack("<I", 9), {"type_id": "i=3", "body": "CQAAAA=="}),
        ("i=6", b"", {}),
        # Few bytes that would be a thousand million objects.
        ("i=8", b"", {"type_id": "i=8", "body": ""}),
        ("i=9", b"\1\0\0\0", {"type_id": "i=9", "body": "AQAAAA=="}),
        ("i=99", b"\1", {"type_id": "i=99", "body": "AQ=="}),
    ],
)  # fmt: skip
def test_structures_are_objects_of_their_fields_or_stay_what_they_are(
    type_id: str, body: bytes, expected: Any
) -> None:
    assert plain([Opaque(type_id, body)], DEFINITIONS) == [expected]
