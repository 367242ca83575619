"""Sparkplug B: values byte by byte, and what births, holes and deaths do to tags."""

import struct
import zlib
from typing import Any

import pytest

from edge_agent.contracts.driver import Reading
from edge_agent.drivers.mqtt.errors import BadPayload
from edge_agent.drivers.mqtt.inbox import Inbox, Message
from edge_agent.drivers.mqtt.metric import Edge, parse_address, parse_topic
from edge_agent.drivers.mqtt.node import Node
from edge_agent.drivers.mqtt.plan import plan
from edge_agent.drivers.mqtt.settings import MqttConnection
from edge_agent.drivers.mqtt.sparkplug import (
    MAX_DEPTH,
    MAX_ELEMENTS,
    MAX_FIELDS,
    MAX_INFLATED_BYTES,
    decode,
    encode_rebirth,
    value_of,
)
from edge_agent.wire.quality import Quality
from edge_agent.wire.values import read_value

INT, LONG, FLOAT, DOUBLE, BOOLEAN, STRING, BYTES, DATASET, TEMPLATE = range(10, 19)


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def number(tag: int, value: int) -> bytes:
    return varint(tag * 8) + varint(value)


def octets(tag: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return varint(tag * 8 + 2) + varint(len(data)) + data


def metric(
    name: str = "", alias: int | None = None, type_: int | None = 3, value: bytes = b"", **more: int
) -> bytes:
    """An Int32 unless told otherwise; value: the encoded field."""
    facts = {"timestamp": 3, "historical": 5, "null": 7}
    return octets(
        2,
        (octets(1, name) if name else b"")
        + (b"" if alias is None else number(2, alias))
        + b"".join(number(facts[key], each) for key, each in more.items())
        + (b"" if type_ is None else number(4, type_))
        + value,
    )


def payload(*metrics: bytes, seq: int | None = 0, at: int = 5000) -> bytes:
    return number(1, at) + b"".join(metrics) + (b"" if seq is None else number(3, seq))


BD_SEQ = metric("bdSeq", None, 8, number(LONG, 4))


# Sparkplug 3.0.0, 6.4.16 and 6.4.17; arrays are little-endian, truth values begin with the highest bit.
@pytest.mark.parametrize(
    ("datatype", "kind", "raw", "value"),
    [
        (1, INT, 0xFFFFFFFB, -5), (1, INT, 0xFB, -5), (1, INT, 127, 127), (2, INT, 0xFFFF, -1),
        (1, INT, (1 << 64) - 5, -5), (3, INT, 0x80000000, -(2**31)), (4, LONG, (1 << 64) - 1, -1),
        (5, INT, 255, 255), (7, LONG, 4_000_000_000, 4_000_000_000), (7, INT, 4_000_000_000, 4_000_000_000),
        (8, LONG, (1 << 64) - 1, (1 << 64) - 1), (13, LONG, 1_795_269_600_123, 1_795_269_600_123),
        (9, FLOAT, 1.5, 1.5), (10, DOUBLE, -2.5, -2.5), (11, BOOLEAN, True, True), (12, STRING, "ä", "ä"),
        (17, BYTES, b"\0\xff", "AP8="),
        (22, BYTES, b"\xe9\x7b", [-23, 123]), (23, BYTES, b"\x30\x8a\xff\x7f", [-30160, 32767]),
        (24, BYTES, struct.pack("<2i", -1, 315338746), [-1, 315338746]),
        (26, BYTES, b"\x17\xfa", [23, 250]), (27, BYTES, b"\x1e\0", [30]), (28, BYTES, b"\x34\0\0\0", [52]),
        (25, BYTES, struct.pack("<q", -4), [-4]), (29, BYTES, struct.pack("<Q", 2**63), [2**63]),
        (30, BYTES, struct.pack("<2f", 1.25, -2.0), [1.25, -2.0]),
        (31, BYTES, struct.pack("<d", 12.5), [12.5]),
        (32, BYTES, b"\x0c\0\0\0\x34\xd0", [False, False, True, True, False, True, False, False, True, True,
                                            False, True]),
        (33, BYTES, b"ABC\0hello\0", ["ABC", "hello"]), (33, BYTES, b"", []),
        (34, BYTES, struct.pack("<q", 1_795_269_600_123), [1_795_269_600_123]),
    ],
)  # fmt: skip
def test_values_of_each_type(datatype: int, kind: int, raw: Any, value: Any) -> None:
    assert value_of(datatype, kind, raw) == value


@pytest.mark.parametrize(
    ("datatype", "kind", "raw"),
    [
        (1, INT, 0x1FF), (1, INT, 128 << 8), (5, INT, 256), (6, INT, 65536), (9, INT, 1), (11, INT, 1),
        (12, BYTES, b"x"), (3, STRING, "1"), (0, INT, 1), (99, BYTES, b""), (23, BYTES, b"\0\0\0"),
        (32, BYTES, b"\x0c\0\0\0\x34"), (32, BYTES, b"\xff\xff\xff\xff"), (32, BYTES, b""),
        (33, BYTES, b"AB"), (33, BYTES, b"\xff\0"),
    ],
)  # fmt: skip
def test_values_of_no_sense(datatype: int, kind: int, raw: Any) -> None:
    with pytest.raises(BadPayload):
        value_of(datatype, kind, raw)


@pytest.mark.parametrize(
    "data",
    [
        b"\x08", b"\x08\xff", b"\x12\x05\x0a", b"\x00\x00", b"\x0b", b"\x08" + b"\xff" * 10, b"\x0a\x00",
        b"\x10\x01", b"\x12\x03\x0a\x01\xff",
    ],
)  # fmt: skip
def test_framing_of_no_sense(data: bytes) -> None:
    with pytest.raises(BadPayload):
        decode(data)


def test_templates_end_at_a_depth() -> None:
    inner = octets(2, octets(1, "leaf") + number(4, 3) + number(INT, 1))
    for _ in range(MAX_DEPTH + 1):
        inner = octets(2, octets(1, "t") + number(4, 19) + octets(TEMPLATE, inner))
    found = decode(inner).metrics[0]
    with pytest.raises(BadPayload, match="deep"):
        found.value(19)


@pytest.mark.parametrize("wbits", [15, 31])
def test_a_compressed_payload_is_what_is_in_it(wbits: int) -> None:
    inner = payload(metric("m", None, 3, number(INT, 7)), seq=None)
    compressor = zlib.compressobj(wbits=wbits)
    body = compressor.compress(inner) + compressor.flush()
    outer = number(3, 9) + octets(4, "SPBV1.0_COMPRESSED") + octets(5, body)
    found = decode(outer)
    assert (found.seq, found.timestamp, found.metrics[0].value(3)) == (9, 5000, 7)
    for bad in (body[:-5], b"nonsense", b""):
        with pytest.raises(BadPayload):
            decode(octets(4, "SPBV1.0_COMPRESSED") + octets(5, bad))


def test_a_payload_that_unpacks_without_end_is_refused() -> None:
    body = zlib.compress(bytes(MAX_INFLATED_BYTES + 1))
    with pytest.raises(BadPayload, match="too large"):
        decode(octets(4, "SPBV1.0_COMPRESSED") + octets(5, body))


def compressed(inner: bytes) -> bytes:
    return octets(4, "SPBV1.0_COMPRESSED") + octets(5, zlib.compress(inner))


@pytest.mark.parametrize("inner", [b"\x18\x01", octets(2, b""), octets(2, octets(9, b"")), octets(9, b"")])
def test_a_payload_of_fields_without_end_is_refused_before_it_costs_the_loop_seconds(inner: bytes) -> None:
    """4,000 bytes were two million fields, and 15 s of a loop in which nothing was polled."""
    bomb = compressed(inner * (MAX_INFLATED_BYTES // len(inner)))
    assert len(bomb) < 25_000
    with pytest.raises(BadPayload, match="fields"):
        decode(bomb)


@pytest.mark.parametrize(
    "value", [octets(DATASET, octets(3, b"\1" * MAX_FIELDS)), octets(TEMPLATE, octets(7, b"") * MAX_FIELDS)]
)
def test_what_is_in_a_value_counts_among_the_fields_of_its_payload(value: bytes) -> None:
    found = decode(octets(2, octets(1, "m") + value)).metrics[0]
    with pytest.raises(BadPayload, match="fields"):
        found.value(0)


@pytest.mark.parametrize(
    ("datatype", "raw"),
    [
        (22, bytes(MAX_ELEMENTS + 1)), (33, bytes(MAX_ELEMENTS + 1)),
        (32, struct.pack("<I", 8 * (MAX_ELEMENTS + 1)) + bytes(MAX_ELEMENTS + 1)),
    ],
)  # fmt: skip
def test_an_array_ends_at_a_size(datatype: int, raw: bytes) -> None:
    with pytest.raises(BadPayload, match="array of"):
        value_of(datatype, BYTES, raw)


def test_births_of_devices_that_nobody_asked_for_are_numbered_and_not_kept() -> None:
    node = Node(["press1"])
    topic = parse_topic("spBv1.0/plant/DBIRTH/edge1/stranger")
    assert topic is not None
    for seq in range(300):
        data = payload(metric("m", 1, 3, number(INT, 7)), seq=seq % 256)
        outcome = node.take(topic._replace(device=f"stranger{seq}"), decode(data), data)
        assert (outcome.updates, outcome.doubt) == ([], "")
    assert not node._births


def test_a_rebirth_request_is_what_the_specification_says() -> None:
    found = decode(encode_rebirth(1234))
    assert found.timestamp == 1234
    (only,) = found.metrics
    assert (only.name, only.datatype, only.value(11)) == ("Node Control/Rebirth", 11, True)


def test_names() -> None:
    assert parse_address("g/e/d:a/b:c") == (Edge("g", "e"), "d", "a/b:c")
    assert parse_topic("spBv1.0/g/DDATA/e/d") == (Edge("g", "e"), "DDATA", "d")
    assert parse_topic("spBv1.0/STATE/host") is None
    assert parse_topic("spAv1.0/g/DDATA/e/d") is None


class Plant:
    """A group of two metrics of a device and one of its node."""

    def __init__(self) -> None:
        tags = [
            {"name": "rpm", "metric": "g/e/d:rpm", "type": "int32"},
            {"name": "other", "metric": "g/e/d:other", "type": "int32"},
            {"name": "load", "metric": "g/e:load", "type": "int32"},
        ]
        settings = MqttConnection.model_validate(
            {
                "name": "b", "driver": "mqtt", "transport": {"host": "h"},
                "groups": [{"name": "g", "interval": "1s", "tags": tags}],
            }
        )  # fmt: skip
        self.plan = plan(settings, settings.groups[0])
        self.inbox = Inbox(self.plan, 100_000)
        self.inbox.subscribed(0.0)
        self.reading = Reading(b"")
        self.seq = -1

    def send(
        self, kind: str, *metrics: bytes, seq: int | None = None, at: int = 5000, retained: bool = False
    ) -> None:
        self.seq = (0 if kind == "NBIRTH" else self.seq + 1) if seq is None else seq
        device = "/d" if kind.startswith("D") else ""
        data = payload(*metrics, seq=None if kind == "NDEATH" else self.seq % 256, at=at)
        self.inbox.put(Message(f"spBv1.0/g/{kind}/e{device}", data, retained), 0.0)

    def birth(self) -> None:
        self.send("NBIRTH", BD_SEQ, metric("load", 1, 3, number(INT, 10)))
        self.send("DBIRTH", metric("rpm", 2, 3, number(INT, 20)), metric("other", 3, 3, number(INT, 30)))

    def take(self) -> list[tuple[str, Any, str]]:
        self.reading = self.inbox.take(0.0)
        found: list[tuple[str, Any, str]] = []
        schema = self.plan.schema
        for part in self.reading.news or ():
            marks = {run.first + n: run for run in part.quality for n in range(run.count)}
            for index, tag in enumerate(schema.tags):
                if part.tags[index]:
                    mark = marks.get(index)
                    is_null = mark is not None and mark.null
                    value = None if is_null else read_value(tag, part.row[schema.edges[index] :][:4])
                    found.append((tag.name, value, (Quality.GOOD if mark is None else mark.quality).label))
        return found

    @property
    def doubt(self) -> str:
        return (self.reading.errors or {}).get("g/e", "")


@pytest.fixture
def born() -> Plant:
    plant = Plant()
    plant.birth()
    plant.take()
    return plant


def test_births_give_names_to_aliases() -> None:
    plant = Plant()
    assert plant.inbox.unborn == {Edge("g", "e")}
    plant.birth()
    came = plant.take()
    assert [each for each in came if each[1] is not None] == [
        ("load", 10, "good"), ("rpm", 20, "good"), ("other", 30, "good"),
    ]  # fmt: skip
    assert plant.inbox.unborn == set()
    plant.send("DDATA", metric("", 2, None, number(INT, 21)))
    plant.send("NDATA", metric("", 1, None, number(INT, 11)))
    assert plant.take() == [("rpm", 21, "good"), ("load", 11, "good")]


def test_an_alias_without_a_birth_is_no_value_and_asks_for_one() -> None:
    plant = Plant()
    plant.send("DDATA", metric("", 2, None, number(INT, 21)), seq=7)
    assert plant.take() == []
    assert "no birth says" in plant.doubt
    assert plant.inbox.unborn == {Edge("g", "e")}


def test_a_name_with_its_type_needs_no_birth() -> None:
    plant = Plant()
    plant.send("DDATA", metric("rpm", None, 3, number(INT, 0xFFFFFFFF)), seq=7)
    assert plant.take() == [("rpm", -1, "good")]


def test_the_sequence_goes_round(born: Plant) -> None:
    for n in range(600):
        born.send("DDATA", metric("", 2, None, number(INT, n)))
    assert [value for _, value, _ in born.take()] == list(range(600))


def test_a_hole_in_the_sequence_makes_all_stale_and_aliases_mean_nothing_until_the_next_birth(
    born: Plant,
) -> None:
    born.send("DDATA", metric("", 2, None, number(INT, 1)), seq=born.seq + 2)
    assert sorted(born.take()) == [("load", None, "stale"), ("other", None, "stale"), ("rpm", None, "stale")]
    assert "from 1 to 3" in born.doubt
    assert born.inbox.unborn == {Edge("g", "e")}
    born.send("DDATA", metric("", 2, None, number(INT, 2)))
    assert born.take() == []
    born.birth()
    assert ("rpm", 20, "good") in born.take()
    assert born.inbox.unborn == set()
    assert not born.doubt


def test_the_same_message_twice_is_no_hole(born: Plant) -> None:
    data = metric("", 2, None, number(INT, 5))
    born.send("DDATA", data)
    born.send("DDATA", data, seq=born.seq)
    assert born.take() == [("rpm", 5, "good")]


def test_the_death_of_a_device_leaves_its_node(born: Plant) -> None:
    born.send("DDEATH")
    assert born.take() == [("rpm", None, "bad_comm"), ("other", None, "bad_comm")]
    born.send("NDATA", metric("", 1, None, number(INT, 12)))
    assert born.take() == [("load", 12, "good")]


def test_the_death_of_a_node_ends_all_of_it_and_a_death_of_an_earlier_link_nothing(born: Plant) -> None:
    born.send("NDEATH", metric("bdSeq", None, 8, number(LONG, 3)))
    assert born.take() == []
    born.send("NDEATH", BD_SEQ)
    assert sorted(born.take()) == [
        ("load", None, "bad_comm"), ("other", None, "bad_comm"), ("rpm", None, "bad_comm"),
    ]  # fmt: skip


def test_a_birth_that_is_told_again_ends_no_device_and_one_of_a_new_life_does(born: Plant) -> None:
    born.send("NBIRTH", BD_SEQ, metric("load", 1, 3, number(INT, 11)))
    assert born.take() == [("load", 11, "good")]
    born.send("NBIRTH", metric("bdSeq", None, 8, number(LONG, 5)), metric("load", 1, 3, number(INT, 12)))
    assert sorted(born.take()) == [
        ("load", 12, "good"),
        ("other", None, "bad_comm"),
        ("rpm", None, "bad_comm"),
    ]


def test_what_a_birth_does_not_name_is_bad_config_alone(born: Plant) -> None:
    born.send("DBIRTH", metric("rpm", 2, 3, number(INT, 20)))
    assert ("other", None, "bad_config") in born.take()
    assert "names no metric 'other'" in (born.reading.errors or {})["other"]


def test_the_past_never_overwrites_the_present(born: Plant) -> None:
    born.send("DDATA", metric("", 2, None, number(INT, 7), timestamp=1000, historical=1))
    assert born.take() == [("rpm", 7, "good"), ("rpm", 20, "good")]
    plant = Plant()
    plant.send("DDATA", metric("rpm", None, 3, number(INT, 7), timestamp=1000, historical=1), seq=9)
    assert plant.take() == [("rpm", 7, "good"), ("rpm", None, "stale")]


def test_a_null_and_a_value_of_no_sense_are_bad_alone(born: Plant) -> None:
    born.send("DDATA", metric("", 2, None, b"", null=1), metric("", 3, None, octets(STRING, "x")))
    assert sorted(born.take()) == [("other", None, "bad_value"), ("rpm", None, "bad_value")]


@pytest.mark.parametrize(
    ("code", "shown"),
    [(192, (5, "good")), (64, (5, "uncertain")), (0, (None, "bad_device")), (500, (5, "stale"))],
)
def test_the_property_quality(born: Plant, code: int, shown: tuple[int | None, str]) -> None:
    properties = octets(9, octets(1, "Quality") + octets(2, number(1, 3) + number(3, code)))
    born.send("DDATA", metric("", 2, None, properties + number(INT, 5)))
    assert born.take() == [("rpm", *shown)]


def test_a_payload_that_cannot_be_read_counts_as_a_hole(born: Plant) -> None:
    born.inbox.put(Message("spBv1.0/g/DDATA/e/d", b"\xff"), 0.0)
    assert sorted(each[2] for each in born.take()) == ["stale"] * 3


def test_retained_payloads_and_commands_count_for_nothing(born: Plant) -> None:
    born.send("DDATA", metric("", 2, None, number(INT, 5)), seq=77, retained=True)
    born.inbox.put(Message("spBv1.0/g/NCMD/e", encode_rebirth(1)), 0.0)
    born.inbox.put(Message("spBv1.0/g/DCMD/e/d", b"\xff"), 0.0)
    assert born.take() == []


def test_a_new_link_knows_no_alias(born: Plant) -> None:
    born.inbox.ended()
    born.inbox.subscribed(1.0)
    born.send("DDATA", metric("", 2, None, number(INT, 5)))
    assert born.take() == []
    assert born.inbox.unborn == {Edge("g", "e")}
