"""Documents become values, marks and times; what cannot be read is said of its own tag alone."""

import gzip
import json
import math
import zlib
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from edge_agent.drivers.http.address import Format
from edge_agent.drivers.http.body import Body, Unreadable
from edge_agent.drivers.http.documents import ABSENT, NO_NUMBER, NO_VALUE, take, time_ms
from edge_agent.drivers.http.plan import Want
from edge_agent.wire.schema import ValueType

F = ValueType.FLOAT64


def wants(*addresses: str, type_: ValueType = F, time: str | None = None) -> list[Want]:
    return [Want(place, address, type_, time) for place, address in enumerate(addresses)]


def test_numbers_quoted_numbers_nulls_and_what_is_not_there() -> None:
    found = take(
        Format.JSON,
        b'{"a": 1.5, "b": "2.50", "c": null, "d": "cold"}',
        wants("/a", "/b", "/c", "/d", "/e"),
    )
    assert found.values == {0: 1.5, 1: 2.5}
    assert found.marks == {2: NO_VALUE, 3: NO_NUMBER, 4: ABSENT}
    assert set(found.errors) == {"/c", "/d", "/e"}


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a":', b"[" * 5000, b'{"a": NaN}', b"\xff"])
def test_what_is_no_json_is_said_of_the_document(body: bytes) -> None:
    with pytest.raises(Unreadable, match="no JSON"):
        take(Format.JSON, body, wants("/a"))


def test_a_truth_value_in_words() -> None:
    found = take(
        Format.JSON, b'["on", "false", true, "maybe"]', wants("/0", "/1", "/2", "/3", type_=ValueType.BOOL)
    )
    assert found.values == {0: True, 1: False, 2: True}
    assert found.marks == {3: NO_NUMBER}


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        ("2026-01-02T03:04:05Z", 1767323045000), ("2026-01-02T03:04:05.250+09:00", 1767290645250),
        ("2026-01-02 03:04:05", 1767323045000), (1767323045, 1767323045000), (1767323045.5, 1767323045500),
        (1767323045250, 1767323045250), ("1767323045", 1767323045000),
    ],
)  # fmt: skip
def test_times_as_devices_write_them(value: object, ms: int) -> None:
    assert time_ms(value) == ms


@pytest.mark.parametrize("value", ["soon", True, None, [], -5, 1e300, math.inf, "9" * 90, {}])
def test_what_is_no_time(value: object) -> None:
    with pytest.raises(ValueError, match="is no time"):
        time_ms(value)


def test_a_bad_time_leaves_the_value_and_is_told() -> None:
    found = take(Format.JSON, b'{"v": 1, "at": "soon"}', wants("/v", time="/at"))
    assert (found.values, found.times, found.marks) == ({0: 1}, {}, {})
    assert "time /at" in found.errors


EXPOSITION = b"""# HELP temp_celsius The room's.
# TYPE temp_celsius gauge
temp_celsius{room="a",note="x } \\"y\\""} 21.5
temp_celsius{room="b"} NaN 1767323045250
temp_celsius_max 30
requests_total 1.5e+03 1767323045999
broken{room="b 7
"""


def test_samples_of_prometheus() -> None:
    found = take(
        Format.PROMETHEUS,
        EXPOSITION,
        wants(
            'temp_celsius{room="a"}', 'temp_celsius{room="b"}', "requests_total", "temp", 'broken{room="b"}'
        ),
    )
    assert found.values[0] == 21.5
    assert math.isnan(found.values[1])
    assert found.values[2] == 1500
    assert found.times == {1: 1767323045250, 2: 1767323045999}
    assert found.marks == {3: ABSENT, 4: ABSENT}


def test_what_prometheus_own_library_writes() -> None:
    registry = CollectorRegistry()
    Gauge("temp", "The room's.", ["room"], registry=registry).labels('a "quoted" \\ one,\n}').set(-21.25)
    Counter("served", "Requests.", registry=registry).inc(12345678)
    Gauge("nothing", "Not a number.", registry=registry).set(math.nan)
    text = generate_latest(registry)
    quoted = r'temp{room="a \"quoted\" \\ one,\n}"}'
    found = take(Format.PROMETHEUS, text, wants(quoted, "served_total", "nothing", "served_created"))
    assert found.values[0] == -21.25
    assert found.values[1] == 12345678
    assert math.isnan(found.values[2])
    assert found.values[3] > 1.7e9


# As a Shelly Plus Plug S answers /rpc/Switch.GetStatus?id=0.
SHELLY: dict[str, Any] = {
    "id": 0, "source": "init", "output": True, "apower": 8.9, "voltage": 237.5, "current": 0.043, "pf": 0.87,
    "freq": 50.0,
    "aenergy": {"total": 6.532, "by_minute": [45.199, 47.141, 88.397], "minute_ts": 1626935779},
    "ret_aenergy": {"total": 0.5, "by_minute": [1.0, 2.0, 3.0], "minute_ts": 1626935779},
    "temperature": {"tC": 23.4, "tF": 74.1}, "errors": ["overtemp"],
}  # fmt: skip


def test_the_readings_of_a_shelly_by_the_exporters_names() -> None:
    names = ["power_total_watts", "power_switch_output", "energy_minute_2_mwh", "temperature_celsius"]
    names += ["errors_count", "error_overtemp", "error_overpower", "energy_returned_total_wh"]
    found = take(Format.SHELLY, json.dumps(SHELLY).encode(), wants(*names))
    assert list(found.values.values()) == [8.9, True, 88.397, 23.4, 1, 1, 0, 0.5]
    assert not found.marks
    through_rpc = take(Format.SHELLY, json.dumps({"id": 1, "result": SHELLY}).encode(), wants(*names))
    assert through_rpc.values == found.values


def test_a_shelly_without_errors_says_zero_and_one_without_a_meter_says_so() -> None:
    found = take(Format.SHELLY, b'{"id": 0, "output": false}', wants("errors_count", "power_total_watts"))
    assert found.values == {0: 0}
    assert found.marks == {1: ABSENT}


def test_another_answer_is_no_shelly() -> None:
    with pytest.raises(Unreadable, match="not the status of a switch"):
        take(
            Format.SHELLY,
            b'{"code": 404, "message": "No handler for Switch.GetStatus"}',
            wants("errors_count"),
        )


# --- bodies ---------------------------------------------------------------------------------------


def gathered(encoding: str, data: bytes, most: int = 1 << 20, step: int = 7) -> bytes:
    body = Body(encoding, most)
    for start in range(0, len(data), step):
        body.feed(data[start : start + step])
    return body.whole()


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("", bytes), ("identity", bytes), ("gzip", gzip.compress), ("deflate", zlib.compress)],
)
def test_bodies_in_pieces(encoding: str, packed: Any) -> None:
    text = b'{"a": 1}' * 50_000
    assert gathered(encoding, packed(text), 1 << 20, 1000) == text


def test_a_bomb_is_counted_as_it_unfolds() -> None:
    bomb = gzip.compress(bytes(200 << 20), 9)
    body = Body("gzip", 1 << 20)
    with pytest.raises(Unreadable, match="longer than 1048576 bytes"):
        body.feed(bomb)


def test_a_long_body_ends_where_it_is_too_long() -> None:
    with pytest.raises(Unreadable, match="longer than 10 bytes"):
        gathered("", b"x" * 11, 10)


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "zstd"])
def test_encodings_that_nobody_asked_for_are_refused(encoding: str) -> None:
    with pytest.raises(Unreadable, match="was not asked for"):
        Body(encoding, 10)


def test_broken_and_cut_compression() -> None:
    with pytest.raises(Unreadable, match="broken"):
        gathered("gzip", b"not gzip at all")
    with pytest.raises(Unreadable, match="cut short"):
        gathered("gzip", gzip.compress(b"x" * 1000 + bytes(range(256)))[:-20])
