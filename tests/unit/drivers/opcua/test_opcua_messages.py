"""Answers of servers, encoded by the library, and values on their way to a server."""

from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua import ua as library
from asyncua.ua.ua_binary import struct_to_binary

from edge_agent.contracts.errors import WriteRefused
from edge_agent.drivers.opcua import messages
from edge_agent.drivers.opcua.binary import Garbled
from edge_agent.drivers.opcua.messages import Change
from edge_agent.drivers.opcua.writing import held_type, variant_of

ua: Any = library
_TYPE = ua.VariantType
_MOMENT = datetime(2026, 3, 4, 5, 6, 7, 890_000, UTC)
_NONE = (-1).to_bytes(4, "little", signed=True)  # an array of nothing
_MS = round(_MOMENT.timestamp() * 1000)
_NUMBERS = [
    (True, _TYPE.Boolean), (-5, _TYPE.SByte), (250, _TYPE.Byte), (-300, _TYPE.Int16), (60_000, _TYPE.UInt16),
    (-70_000, _TYPE.Int32), (4_000_000_000, _TYPE.UInt32), (-(1 << 60), _TYPE.Int64), (1 << 63, _TYPE.UInt64),
    (-1.5, _TYPE.Float), (1e-300, _TYPE.Double),
]  # fmt: skip


def published(changes: list[Any], sequence: int = 7) -> bytes:
    response = ua.PublishResponse()
    data = [ua.DataChangeNotification(changes)] if changes else []
    message = ua.NotificationMessage(sequence, _MOMENT, data)
    response.Parameters = ua.PublishResult(3, [6, 7], True, message)
    encoded: bytes = struct_to_binary(response)
    return encoded


@pytest.mark.parametrize("status", [None, 0x40900000])
@pytest.mark.parametrize("source", [None, _MOMENT])
@pytest.mark.parametrize("server", [None, _MOMENT])
@pytest.mark.parametrize("pico", [None, 9])
def test_numbers_are_read_alike_with_and_without_status_and_times(
    status: int | None, source: datetime | None, server: datetime | None, pico: int | None
) -> None:
    changes = [
        ua.MonitoredItemNotification(
            handle,
            ua.DataValue(
                ua.Variant(value, type_), None if status is None else ua.StatusCode(status), source, server,
                pico if source else None,
            ),
        )
        for handle, (value, type_) in enumerate(_NUMBERS)
    ]  # fmt: skip
    _, found = messages.read_publish(published(changes))
    assert found is not None
    assert (found.subscription, found.sequence, found.keepalive, found.more) == (3, 7, False, True)
    assert found.changes == [
        Change(handle, value, status or 0, _MS if source else None)
        for handle, (value, _) in enumerate(_NUMBERS)
    ]


def test_other_values_stand_between_numbers() -> None:
    values = [
        ua.Variant(1.5),
        ua.Variant("text"),
        ua.Variant([1, 2], _TYPE.Int16),
        ua.Variant(ua.Range(0, 1)),
    ]
    changes = [
        ua.MonitoredItemNotification(i, ua.DataValue(each)) for i, each in enumerate([*values, *values])
    ]
    _, found = messages.read_publish(published(changes))
    assert found is not None
    assert [change.handle for change in found.changes] == list(range(8))
    assert [change.value for change in found.changes][:3] == [1.5, "text", [1, 2]]
    assert [change.opaque for change in found.changes] == [False, False, False, True] * 2


def test_a_keepalive_has_no_notification() -> None:
    _, found = messages.read_publish(published([], sequence=8))
    assert found is not None
    assert found.keepalive
    assert found.sequence == 8


def test_the_end_of_a_subscription_is_told_with_its_status() -> None:
    response = ua.PublishResponse()
    ended = ua.StatusChangeNotification(ua.StatusCode(0x800A0000))
    response.Parameters = ua.PublishResult(3, [], False, ua.NotificationMessage(1, _MOMENT, [ended]))
    _, found = messages.read_publish(struct_to_binary(response))
    assert found is not None
    assert found.ended == 0x800A0000


def test_every_shortened_message_is_refused() -> None:
    changes = [
        ua.MonitoredItemNotification(i, ua.DataValue(ua.Variant(value, type_), ua.StatusCode(1), _MOMENT))
        for i, (value, type_) in enumerate(_NUMBERS)
    ]
    whole = published(changes)
    for end in range(len(whole) - 20):
        with pytest.raises(Garbled):
            messages.read_publish(whole[:end])


def test_what_a_read_brings_keeps_its_order() -> None:
    response = ua.ReadResponse()
    response.Results = [
        ua.DataValue(ua.Variant(1.5), ua.StatusCode(0), _MOMENT),
        ua.DataValue(StatusCode=ua.StatusCode(0x80340000)),
    ]
    status, found, opaque = messages.read_values(struct_to_binary(response))
    assert (status, opaque) == (0, False)
    assert [(each.value, each.status, each.source_ms) for each in found] == [
        (1.5, 0, _MS),
        (None, 0x80340000, None),
    ]


def test_the_type_that_a_node_holds_is_that_of_its_value() -> None:
    response = ua.ReadResponse()
    response.Results = [ua.DataValue(ua.Variant([1], _TYPE.UInt16))]
    assert held_type(struct_to_binary(response)) == 5
    response.Results = [ua.DataValue(StatusCode=ua.StatusCode(0x803A0000))]
    assert held_type(struct_to_binary(response)) is None


@pytest.mark.parametrize(
    ("type_", "value", "written"),
    [
        (1, True, True),
        (4, 7.0, 7),
        (9, (1 << 64) - 1, (1 << 64) - 1),
        (10, 1, 1.0),
        (12, "Öl", "Öl"),
        (13, "2026-03-04T05:06:07.890Z", _MOMENT),
        (15, "AP8=", b"\x00\xff"),
        (17, "ns=2;s=x", ua.NodeId("x", 2)),
        (20, "2:Name", ua.QualifiedName("Name", 2)),
        (21, {"locale": "de", "text": "Druck"}, ua.LocalizedText("Druck", "de")),
        (6, [1, 2], [1, 2]),
    ],
)
def test_values_go_out_as_the_type_of_the_node(type_: int, value: Any, written: Any) -> None:
    made = variant_of(type_, value)
    assert made.Value == written
    assert int(made.VariantType) == type_


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (1, 1), (4, 40_000), (4, 1.5), (4, True), (4, "1"), (5, -1), (10, "1.5"), (10, True), (12, 5),
        (13, "x"), (13, "2026-03-04T05:06:07"), (14, "x"), (15, "%"), (21, {"locale": "de"}), (22, {}),
        (24, 1), (4, None), (6, [1, "a"]), (11, [[1.0]]),
    ],
)  # fmt: skip
def test_a_value_that_is_none_of_the_nodes_type_is_refused_before_it_is_sent(type_: int, value: Any) -> None:
    with pytest.raises(WriteRefused, match="cannot be written"):
        variant_of(type_, value)


@pytest.mark.parametrize("interval", [float("nan"), float("inf"), 1e300])
def test_a_publishing_interval_that_never_ends_is_refused(interval: float) -> None:
    """Nobody would ever notice that the subscription has died."""
    response = ua.CreateSubscriptionResponse()
    response.Parameters = ua.CreateSubscriptionResult(1, interval, 3, 10)
    with pytest.raises(Garbled):
        messages.read_created(struct_to_binary(response))


def test_more_values_than_anybody_asks_for_are_not_read_one_by_one() -> None:
    """A byte each on the wire, an object each here: seconds of the whole agent."""
    empty = struct_to_binary(ua.ReadResponse())
    assert messages.read_values(empty)[:2] == (0, [])
    header = empty[: -2 * len(_NONE)]
    with pytest.raises(Garbled, match="500000"):
        messages.read_values(header + (1_000_000).to_bytes(4, "little") + bytes(1_000_000))
