"""Answers of HTTP servers: compressed bodies, JSON, text, Prometheus' format, a Shelly's; addresses."""

import contextlib
import gzip
import zlib
from collections.abc import Sequence
from typing import Final

from edge_agent.drivers.http.address import Absent, Format, check_address, find_text
from edge_agent.drivers.http.body import Body, Unreadable
from edge_agent.drivers.http.documents import take, time_ms
from edge_agent.drivers.http.plan import Want
from edge_agent.drivers.packing import Packer
from edge_agent.wire.schema import Schema, TagSchema, ValueType

_MOST: Final = 4_096
_TYPES: Final = (
    ValueType.FLOAT64, ValueType.INT16, ValueType.UINT64, ValueType.BOOL, ValueType.STRING, ValueType.JSON,
)  # fmt: skip
_ADDRESSES: Final = {
    Format.JSON: ("/a", "/a/0", "/b~1c", "", "/n", "/d/0/e"),
    Format.TEXT: ("temp={} C", "temp={}", "{}", "<{}>", "p: {}", "={};"),
    Format.PROMETHEUS: ("a", 'a{b="c"}', "a_total", "up", 'up{job="x"}', "n"),
    Format.SHELLY: (
        "power_total_watts", "power_switch_output", "errors_count", "error_overtemp", "energy_total_wh",
        "energy_minute_2_mwh",
    ),
}  # fmt: skip
_FORMATS: Final = tuple(_ADDRESSES)
_ENCODINGS: Final = ("", "gzip", "deflate", "br")

SEEDS: Final[Sequence[bytes]] = (
    b'\x00{"a": [1.5, "2"], "b/c": true, "n": null, "d": [{"e": {}}], "t": "2026-01-02T03:04:05Z"}',
    b'\x00{"a": -1e308, "t": 1767323045}',
    b"\x01temp=71.5 C\n<3> p: 4;\n",
    b'\x02# TYPE a gauge\na{b="c",d="\\"}"} 1.5e3 1767323045250\na_total NaN\nup{job="x"} +Inf\n',
    b'\x03{"output": 1, "apower": 8.9, "aenergy": {"total": 6.5, "by_minute": [1]}, "errors": ["overtemp"]}',
    b"\x40" + gzip.compress(b'{"a": 1}' * 9),
    b"\x80" + zlib.compress(b'{"a": 1}' * 9),
    b'\x04a{b="c"}', b"\x04/a~1b/0", b"\x05 2026-01-02 03:04:05+09:00",
)  # fmt: skip


def target(data: bytes) -> None:
    """The first byte says what the rest is, and how it is compressed."""
    if not data:
        return
    kind, rest = data[0] & 0x3F, data[1:]
    if kind % 6 == 4:
        _address(rest.decode("utf-8", "replace"))
    elif kind % 6 == 5:
        _time(rest)
    else:
        _answer(_FORMATS[kind % 6], _ENCODINGS[data[0] >> 6], rest)


def _answer(format_: Format, encoding: str, data: bytes) -> None:
    addresses = _ADDRESSES[format_]
    schema = Schema.of("c", "g", None, [TagSchema(str(type_), type_) for type_ in _TYPES])
    time = "/t" if format_ is Format.JSON else None
    wants = [
        Want(place, address, tag.type, time)
        for place, (address, tag) in enumerate(zip(addresses, schema.tags, strict=True))
    ]
    try:
        body = Body(encoding, _MOST)
        body.feed(data[: len(data) // 2])
        body.feed(data[len(data) // 2 :])
        whole = body.whole()
        assert len(whole) <= _MOST
        found = take(format_, whole, wants)
    except Unreadable:
        return
    assert not set(found.values) & set(found.marks)
    assert set(found.values) | set(found.marks) == set(range(len(wants)))
    values = [found.values.get(place) for place in range(len(wants))]
    reading = Packer(schema).reading(
        values, found.marks, [found.times.get(each) for each in range(len(wants))]
    )
    assert len(reading.row) in (0, schema.row_bytes)


def _address(text: str) -> None:
    for format_ in Format:
        try:
            check_address(format_, text)
        except ValueError:
            continue
        if format_ is Format.TEXT:
            with contextlib.suppress(Absent):
                find_text(text * 2, text)


def _time(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert 0 <= time_ms(data.decode("utf-8", "replace")) < 1 << 53
