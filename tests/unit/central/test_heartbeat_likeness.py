"""A heartbeat that is taken for like one that was read has its standing and its figures; whatever else
differs in it, it is read."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central_sync.services.devices.likeness import (
    COMPILE_SECONDS,
    FIGURES,
    MAX_BYTES,
    MAX_OUTLINES,
    Likenesses,
    beat_of,
)
from central_sync.services.devices.service import read_heartbeat
from central_sync.services.devices.standing import standing
from edge_agent.wire.messages import (
    BufferReport,
    ClockReport,
    ConnectionReport,
    Head,
    Heartbeat,
    HookReport,
    HooksReport,
    HostReport,
    UnitReport,
)

_WHOLE = st.integers(0, 10**15)
_FLOAT = st.floats(0, 1e12, allow_nan=False).map(lambda value: round(value, 6))
# What in a body can be taken for a figure's key.
_TRAPS = st.sampled_from(
    ['"now":1,', '{"now":1}', '\\"now\\":5', "é\u2028", "plain", "", ',"uptime_seconds":2']
)


@st.composite
def _beats(draw: st.DrawFn, text: str = "press") -> Heartbeat:
    """Heartbeats of one standing for one text."""
    units = [
        UnitReport(
            unit_id=1, state="answering", good_cycles=draw(_WHOLE), bad_cycles=draw(_WHOLE), vendor=text
        )
    ]
    return Heartbeat(
        now=draw(_WHOLE), version="1", protocol=1, run="r", boot="b", machine=text,
        uptime_seconds=draw(_FLOAT), interval_seconds=30.0,
        host=HostReport(cpu_percent=draw(st.none() | _FLOAT), memory_bytes=draw(st.none() | _WHOLE),
                        disk_free_bytes=draw(_WHOLE)),
        clock=ClockReport(sync=True, offset_ms=draw(st.none() | _FLOAT.map(lambda value: -value))),
        buffer=BufferReport(pending_batches=draw(_WHOLE), pending_bytes=draw(_WHOLE), quota_bytes=1 << 30,
                            commits=draw(_WHOLE)),
        connections_ok=1, connections_total=1,
        connections=[ConnectionReport(name=text, driver="modbus", state="connected", units=units,
                                      latency_ms=draw(st.none() | _FLOAT), samples=draw(_WHOLE))],
        heads=[Head(epoch="e", no=1, run="r", boot="b", floor=1, next=1, now=draw(_WHOLE))],
        labels={"site": text}, read_samples=draw(_WHOLE),
    )  # fmt: skip


def _body(message: Heartbeat) -> bytes:
    return message.model_dump_json().encode()


@given(data=st.data(), text=_TRAPS)
def test_other_figures_are_read_out_as_the_model_reads_them(data: st.DataObject, text: str) -> None:
    first, second = data.draw(_beats(text)), data.draw(_beats(text))
    assert standing(first) == standing(second)
    known = Likenesses()
    like = known.learn(_body(first), first, 0.0)
    assert like is not None
    assert known.read(like, _body(second)) == beat_of(second)


_FIRST = Heartbeat(
    now=5, version="1", protocol=1, run="r", boot="b", machine="m", uptime_seconds=1.5, interval_seconds=30.0,
    buffer=BufferReport(quota_bytes=9, pending_bytes=3),
    connections=[ConnectionReport(name="p", driver="modbus", state="connected", since=4)],
    heads=[Head(epoch="e", no=1, run="r", boot="b", floor=1, next=2, held=[(1, 1)], now=7)],
    labels={"site": "north"},
    hooks=HooksReport(
        hooks=[HookReport(name="h", hook_type="transform", state="running", version=8, sha256="ab", since=6)],
        layers={"seccomp": "on"}, etag="t", state="applied",
    ),
)  # fmt: skip


@given(data=st.data())
def test_whatever_is_taken_for_alike_is_valid_and_of_the_same_standing(data: st.DataObject) -> None:
    """Any piece of the body in place of any other."""
    body = _body(_FIRST)
    known = Likenesses()
    like = known.learn(body, _FIRST, 0.0)
    assert like is not None
    begin = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(begin, min(len(body), begin + 8)))
    piece = data.draw(
        st.sampled_from([b"0", b"7", b"-1", b"01", b"1e9", b"null", b"\0", b'"', b",", b"9" * 19, b""])
    )
    changed = body[:begin] + piece + body[end:]
    beat = known.read(like, changed)
    if beat is not None:
        message = read_heartbeat(changed)
        assert (standing(message), beat_of(message)) == (standing(_FIRST), beat)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"now":5', b'"now":-5'),
        (b'"now":5', b'"now":05'),
        (b'"now":5', b'"now":null'),
        (b'"now":5', b'"now":9999999999999999999'),
        (b'"uptime_seconds":1.5', b'"uptime_seconds":1e999'),
        (b'"uptime_seconds":1.5', b'"uptime_seconds":null'),
        (b'"run":"r"', b'"run":"s"'),
        (b'"next":2', b'"next":3'),
        (b'"since":4', b'"since":5'),
        (b'"quota_bytes":9', b'"quota_bytes":8'),
        (b'"state":"connected"', b'"state":"down"'),
        (b'"north"', b'"south"'),
        (b'"version":"1"', b'"version":"2"'),
        (b'"error":""', b'"error":"x"'),
        (b'"state":"running"', b'"state":"off"'),
        (b'"version":8', b'"version":9'),
        (b'"sha256":"ab"', b'"sha256":"cd"'),
        (b'"since":6', b'"since":7'),
        (b'"seccomp":"on"', b'"seccomp":"no"'),
        (b'"etag":"t"', b'"etag":"u"'),
        (b'{"now"', b' {"now"'),
    ],
)
def test_what_is_no_figure_or_no_valid_one_is_not_alike(old: bytes, new: bytes) -> None:
    body = _body(_FIRST)
    known = Likenesses()
    like = known.learn(body, _FIRST, 0.0)
    assert like is not None
    assert known.read(like, body) == beat_of(_FIRST)
    changed = body.replace(old, new, 1)
    assert changed != body
    assert known.read(like, changed) is None


def test_no_figure_has_a_part_in_the_standing() -> None:
    """Wherever a figure's key occurs in a heartbeat, its value may be another."""
    body = _body(_FIRST)
    for key in FIGURES:
        changed, count = re.subn(rb'"%b":(?:null|[0-9.]+)' % key, b'"%b":3' % key, body)
        assert count or key in (b"good_cycles", b"bad_cycles"), key
        assert standing(read_heartbeat(changed)) == standing(_FIRST), key


def test_devices_of_one_kind_share_an_outline_and_are_still_told_apart() -> None:
    known = Likenesses()
    one = known.learn(_body(_FIRST), _FIRST, 0.0)
    other = _FIRST.model_copy(update={"run": "other", "machine": "n"})
    two = known.learn(_body(other), other, 0.0)
    assert one is not None
    assert two is not None
    assert one.outline == two.outline
    assert known.read(one, _body(other)) is None
    assert known.read(two, _body(other)) == beat_of(other)


def test_outlines_are_learned_seldom_and_the_oldest_go() -> None:
    known = Likenesses()
    first = known.learn(_body(_FIRST), _FIRST, 0.0)
    assert first is not None
    for number in range(1, MAX_OUTLINES + 1):
        other = _FIRST.model_copy(update={"labels": {f"k{number}": "x"}})
        early = known.learn(_body(other), other, number * COMPILE_SECONDS - 0.1)
        assert early is None
        assert known.learn(_body(other), other, number * COMPILE_SECONDS) is not None
    assert known.read(first, _body(_FIRST)) is None


def test_a_long_heartbeat_is_always_read() -> None:
    long = _FIRST.model_copy(update={"labels": {"k": "x" * MAX_BYTES}})
    assert Likenesses().learn(_body(long), long, 0.0) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"uptime_seconds":1.5', b'"uptime_seconds":1.125899906842630e+15'),
        (b'"uptime_seconds":1.5', b'"uptim\\u0065_seconds":1.5'),
        (b'"labels":{', b'"labels":{"now":"x",'),
    ],
)
def test_figures_in_another_spelling_are_always_read(old: bytes, new: bytes) -> None:
    """What another device has in that place would be taken for the first one's."""
    body = _body(_FIRST).replace(old, new)
    assert Likenesses().learn(body, read_heartbeat(body), 0.0) is None
