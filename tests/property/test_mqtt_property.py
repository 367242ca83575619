"""MQTT topics, pointers and Sparkplug payloads against naive readers."""

import re
import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.drivers.mqtt.errors import BadPayload
from edge_agent.drivers.mqtt.pointer import parse_pointer, resolve
from edge_agent.drivers.mqtt.protobuf import BYTES, VARINT, Budget, encoded, fields, key, varint
from edge_agent.drivers.mqtt.sparkplug import decode, value_of
from edge_agent.drivers.mqtt.topics import Filters, check_filter

LEVELS = st.sampled_from(["", "a", "b", "$x", "longer"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=5).map("/".join)
FILTERS = st.builds(
    lambda levels, tail: "/".join([*levels, *tail]),
    st.lists(st.one_of(LEVELS, st.just("+")), max_size=4),
    st.sampled_from([["#"], ["a"], ["+"], [""]]),
)


def _naive(text: str, topic: str) -> bool:
    """MQTT 5.0, 4.7, as a regular expression."""
    if text[0:1] in ("+", "#") and topic.startswith("$"):
        return False
    parts = []
    for place, level in enumerate(text.split("/")):
        slash = "/" if place else ""
        if level == "#":
            parts.append("(/.*)?" if place else ".*")
        else:
            parts.append(slash + ("[^/]*" if level == "+" else re.escape(level)))
    return re.fullmatch("".join(parts), topic, re.DOTALL) is not None


@given(st.lists(FILTERS, max_size=8, unique=True), TOPICS)
def test_filters_take_what_the_specification_says(filters: list[str], topic: str) -> None:
    for text in filters:
        assert check_filter(text or "x")
    found = Filters((text, text) for text in filters if text)
    assert sorted(found.of(topic)) == sorted(text for text in filters if text and _naive(text, topic))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=20,
)


def _paths(document: Any, so_far: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    found = [(so_far, document)]
    if isinstance(document, dict):
        for name, inner in document.items():
            found += _paths(inner, (*so_far, name))
    elif isinstance(document, list):
        for place, inner in enumerate(document):
            found += _paths(inner, (*so_far, str(place)))
    return found


@given(JSON)
def test_each_place_of_a_document_has_its_pointer(document: Any) -> None:
    for steps, wanted in _paths(document):
        text = "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
        assert parse_pointer(text) == steps
        assert resolve(document, steps) is wanted


@given(st.integers(0, (1 << 64) - 1), st.binary(max_size=3))
def test_numbers_come_back(number: int, before: bytes) -> None:
    assert varint(before + encoded(number) + b"\xff", len(before)) == (number, len(before + encoded(number)))


@given(
    st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 1 << 63) | st.binary(max_size=200)), max_size=10)
)
def test_fields_come_back_in_order(written: list[tuple[int, int | bytes]]) -> None:
    data = b"".join(
        key(tag, VARINT) + encoded(value) if isinstance(value, int)
        else key(tag, BYTES) + encoded(len(value)) + value
        for tag, value in written
    )  # fmt: skip
    assert [
        (each.tag, each.number if each.wire_type == VARINT else each.data)
        for each in fields(data, Budget(1000))
    ] == written


@given(st.binary(max_size=300))
def test_any_bytes_are_a_payload_or_bad(data: bytes) -> None:
    try:
        found = decode(data)
    except BadPayload:
        return
    for metric in found.metrics:
        for datatype in range(36):
            try:
                metric.value(datatype)
            except BadPayload:
                continue


WIDTHS = {1: 8, 2: 16, 3: 32, 4: 64}


@given(
    st.sampled_from(list(WIDTHS)), st.integers(-(1 << 63), (1 << 63) - 1), st.sampled_from([8, 16, 32, 64])
)
def test_signed_numbers_of_any_encoder_s_width(datatype: int, value: int, written_bits: int) -> None:
    """A negative number is written in the type's own width, in 32 or in 64 bits."""
    bits = WIDTHS[datatype]
    number = value >> 64 - bits
    width = max(bits, written_bits)
    if width not in (bits, 32, 64):
        return
    assert value_of(datatype, 11, number & (1 << width) - 1) == number


@given(st.lists(st.floats(width=32, allow_nan=False)))
def test_arrays_of_floats(values: list[float]) -> None:
    assert value_of(30, 16, struct.pack(f"<{len(values)}f", *values)) == values
