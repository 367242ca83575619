"""Topics, properties and bodies of docs/specs/mqtt-v1.md."""

import re
import zlib

import pytest

from edge_agent.wire import mqtt
from edge_agent.wire.errors import TooLarge, WireError
from edge_agent.wire.mqtt import Address, Channel


@pytest.mark.parametrize("prefix", ["holdfast", "vexplor", "plant-7/line.2"])
@pytest.mark.parametrize("channel", list(Channel))
def test_a_topic_is_read_as_it_was_made(prefix: str, channel: Channel) -> None:
    made = mqtt.topic(prefix, "press-01", channel)
    assert mqtt.parse_topic(prefix, made) == Address("press-01", channel)


def test_with_the_prefix_vexplor_the_topics_are_those_of_fleet_management() -> None:
    assert mqtt.topic("vexplor", "box-1", Channel.PLC_STATUS) == "vexplor/devices/box-1/plc-status"
    assert mqtt.topic("vexplor", "box-1", Channel.RESPONSES) == "vexplor/devices/box-1/responses"


@pytest.mark.parametrize(
    "topic",
    [
        "", "holdfast", "holdfast/devices/a", "holdfast/devices/a/", "holdfast/devices//data",
        "holdfast/devices/a/data/", "holdfast/devices/a/b/data", "holdfast/devices/A/data",
        "holdfast/devices/-a/data", "holdfast/devices/a-/data", "holdfast/devices/a/unknown",
        "xholdfast/devices/a/data", "other/devices/a/data", "holdfast/devices/a\n/data",
        "holdfast/devices/+/data", "holdfast/devices/#", "$share/g/holdfast/devices/a/data",
        f"holdfast/devices/{'a' * 52}/data", "holdfast/devices/é/data",
        "x/holdfast/devices/a/data", "holdfast/devices/holdfast/devices/a/data",
    ],
)  # fmt: skip
def test_what_is_no_devices_topic_names_no_device(topic: str) -> None:
    assert mqtt.parse_topic("holdfast", topic) is None


@pytest.mark.parametrize("prefix", ["", "/", "a/", "/a", "a//b", "+", "a/#", "$SYS", "a b", "a\n", "ä"])
def test_a_prefix_has_no_wildcards_and_is_none_of_the_brokers(prefix: str) -> None:
    assert not re.fullmatch(mqtt.PREFIX_PATTERN, prefix)


def test_the_centre_shares_each_of_its_subscriptions_within_its_group() -> None:
    found = mqtt.subscriptions("p", "g")
    assert found == [f"$share/g/p/devices/+/{channel}" for channel in mqtt.UP]
    assert not set(mqtt.UP) & set(mqtt.DOWN)


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param([("a", "1"), ("a", "2")], id="a name twice"),
        pytest.param([(str(n), "") for n in range(17)], id="too many"),
        pytest.param([("a", "x" * 2_048)], id="too long"),
    ],
)
def test_properties_that_mean_two_things_or_fill_memory_are_refused(
    pairs: list[tuple[str, str]],
) -> None:
    with pytest.raises(WireError):
        mqtt.properties(pairs)


def test_no_properties_are_none() -> None:
    assert mqtt.properties(None) == {}


@pytest.mark.parametrize("size", [0, 1, 1_024, 1_025, 300_000])
def test_a_body_is_unpacked_as_it_was_packed_and_a_long_one_is_smaller_on_the_way(size: int) -> None:
    body = (b'{"tag": "pressure"}' * (size // 10 + 1))[:size]
    payload, said = mqtt.pack(body)
    assert mqtt.unpack(payload, said, size) == body
    assert (len(payload) < len(body)) is (size > 1_024)


def test_a_body_that_unpacks_to_more_than_its_bound_is_not_unpacked_further() -> None:
    payload, said = mqtt.pack(bytes(50_000_000))
    with pytest.raises(TooLarge):
        mqtt.unpack(payload, said, 1_000)


def test_a_body_over_its_bound_as_it_is_is_refused() -> None:
    with pytest.raises(TooLarge):
        mqtt.unpack(b"12345", {}, 4)


@pytest.mark.parametrize(
    ("payload", "encoding"),
    [
        pytest.param(b"{}", "gzip", id="another encoding"),
        pytest.param(b"{}", "deflate", id="not deflated"),
        pytest.param(zlib.compress(b"{}")[:-1], "deflate", id="cut"),
        pytest.param(zlib.compress(b"{}") + b"x", "deflate", id="something behind"),
    ],
)
def test_what_is_no_whole_body_is_refused(payload: bytes, encoding: str) -> None:
    with pytest.raises(WireError):
        mqtt.unpack(payload, {mqtt.ENCODING: encoding}, 100)
