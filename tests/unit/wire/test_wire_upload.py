"""The body of an upload, and the head's JSON."""

import struct
import time

import pytest
from pydantic import ValidationError

from edge_agent.wire.errors import WireError
from edge_agent.wire.messages import Head, Heartbeat, UploadAnswer
from edge_agent.wire.upload import ITEM_BYTES, MAGIC, BatchItem, decode_upload, encode_upload

HEAD = Head(epoch="e", no=3, run="r", boot="b", floor=1, next=9, held=[(2, 4), (8, 8)], now=1_767_225_600_000)
ITEM = BatchItem(7, 1, 1, 400, 20, 1_767_225_600_000, 1_767_225_601_000, b"h" * 16, b"body")


def body(head: bytes, items: bytes = b"") -> bytes:
    return struct.pack("<4sI", MAGIC, len(head)) + head + items


def item(seq: int = 7, nbytes: int = 4, t0: int = 1, t1: int = 2) -> bytes:
    return struct.pack("<QBBHIIIqq16s", seq, 1, 1, 0, nbytes, 400, 20, t0, t1, b"h" * 16) + b"body"


def test_the_bytes_are_those_of_the_specification() -> None:
    head = HEAD.model_dump_json().encode()
    sent = encode_upload(HEAD, [ITEM])
    assert sent == body(head, item(t0=1_767_225_600_000, t1=1_767_225_601_000))
    assert len(sent) == 8 + len(head) + ITEM_BYTES + 4
    assert ITEM_BYTES == 56


def test_several_batches_come_back_as_views_of_the_body() -> None:
    second = BatchItem(8, 2, 0, 4, 0, 5, 5, b"i" * 16, b"")
    head, items = decode_upload(encode_upload(HEAD, [ITEM, second]))
    assert head == HEAD
    assert items == [ITEM, second]
    assert isinstance(items[0].body, memoryview)


GOOD_HEAD = HEAD.model_dump_json().encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "too short"),
        (b"HFB1\x00\x00\x00", "too short"),
        (b"HFB2" + body(GOOD_HEAD, item())[4:], "does not begin"),
        (b"HFB1\xff\xff\xff\xff{}", "does not begin"),
        (body(b""), "head is not valid"),
        (body(b"{}", item()), "head is not valid"),
        (body(b"[" * 100_000, item()), "head is not valid"),
        (body(GOOD_HEAD), "holds no batch"),
        (body(GOOD_HEAD, item()[:-1]), "cut short"),
        (body(GOOD_HEAD, item()[: ITEM_BYTES - 1]), "cut short"),
        (body(GOOD_HEAD, item(nbytes=(1 << 32) - 1)), "cut short"),
        (body(GOOD_HEAD, item(seq=0)), "not a batch number"),
        (body(GOOD_HEAD, item(seq=1 << 40)), "not a batch number"),
        (body(GOOD_HEAD, item(t0=-1)), "times out of range"),
        (body(GOOD_HEAD, item(t0=3)), "times out of range"),
        (body(GOOD_HEAD, item(t1=1 << 62)), "times out of range"),
        (body(GOOD_HEAD, item() + b"\x00"), "cut short"),
    ],
)
def test_what_is_no_upload(data: bytes, message: str) -> None:
    with pytest.raises(WireError, match=message):
        decode_upload(data)


def test_a_head_full_of_errors_costs_one() -> None:
    pairs = b",".join([b"[]"] * 300_000)
    start = time.thread_time()
    with pytest.raises(WireError, match="held"):
        decode_upload(body(GOOD_HEAD.replace(b"[[2,4],[8,8]]", b"[" + pairs + b"]"), item()))
    assert time.thread_time() - start < 1


@pytest.mark.parametrize(
    "changes", [{"term": -1}, {"term": 1 << 62}, {"no": 1 << 64}, {"epoch": ""}, {"held": [[1]]}]
)
def test_a_head_out_of_bounds(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Head.model_validate({**HEAD.model_dump(), **changes})


def test_a_later_peer_may_say_more() -> None:
    assert Head.model_validate({**HEAD.model_dump(), "mood": "good"}) == HEAD


def test_an_answer_that_names_no_centre_is_from_none() -> None:
    with pytest.raises(ValidationError):
        UploadAnswer.model_validate_json(b'{"epoch": "e", "acked": [[1, 2]]}')


def test_a_report_holds_no_nan() -> None:
    fields = b'"now": 1, "version": "1", "protocol": 1, "run": "r", "boot": "b", "machine": "m"'
    assert Heartbeat.model_validate_json(b'{%s, "uptime_seconds": 1.5}' % fields).uptime_seconds == 1.5
    for number in (b"NaN", b"Infinity"):
        with pytest.raises(ValidationError, match="finite"):
            Heartbeat.model_validate_json(b'{%s, "uptime_seconds": %s}' % (fields, number))
