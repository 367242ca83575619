"""What the generator of a fleet sends is what agents send, and it believes no answer."""

import orjson
import pytest

from bench.agents import Agent, buffer_of, schema_of
from bench.fleet import Kind, Plan, content_length, fault
from edge_agent.wire.messages import Heartbeat
from edge_agent.wire.upload import decode_upload

ETAG = "e" * 32
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 7"


def agent(samples: bool = False) -> Agent:
    made = Agent(7, "dev-7", "hf_" + "0" * 12 + "_" + "a" * 43, ETAG)
    made.edge = buffer_of(7, "dev-7", schema_of(200)) if samples else None
    return made


def body_of(request: bytes) -> bytes:
    head, _, body = request.partition(b"\r\n\r\n")
    assert content_length(head) == len(body)
    return body


def test_heartbeats_are_whole_and_say_nothing_new_but_figures() -> None:
    sent = agent()
    first, second = (Heartbeat.model_validate_json(body_of(sent.heartbeat())) for _ in range(2))
    assert len(first.connections) == 3
    assert first.uptime_seconds < second.uptime_seconds
    assert first.heads[0].epoch == second.heads[0].epoch
    assert "%" not in first.model_dump_json()


def test_an_upload_has_one_batch_of_so_many_samples() -> None:
    head, items = decode_upload(body_of(agent(samples=True).upload(list(range(200)))))
    assert [(item.seq, item.samples) for item in items] == [(1, 200)]
    assert head.next == 2


def answer(**changes: object) -> bytes:
    return orjson.dumps({"centre": "c", "now": 1, "resend": [], "config_etag": ETAG} | changes)


def test_a_right_answer_is_no_fault() -> None:
    assert fault(Kind.HEARTBEAT, agent(), False, HEAD, answer()) is None
    unchanged = f'HTTP/1.1 304 Not Modified\r\nETag: "{ETAG}"'.encode()
    assert fault(Kind.POLL, agent(), False, unchanged, b"") is None


@pytest.mark.parametrize("changes", [{"centre": ""}, {"resend": [{}]}, {"config_etag": "other"}, {"now": 0}])
def test_a_heartbeats_answer_that_is_wrong_in_one_thing_is_told(changes: dict[str, object]) -> None:
    assert fault(Kind.HEARTBEAT, agent(), False, HEAD, answer(**changes)) is not None


@pytest.mark.parametrize(
    ("whole", "head", "body"),
    [
        (False, b'HTTP/1.1 200 OK\r\nETag: "%b"' % ETAG.encode(), b"dev-7"),
        (False, b"HTTP/1.1 304 Not Modified", b""),
        (True, b'HTTP/1.1 304 Not Modified\r\nETag: "%b"' % ETAG.encode(), b""),
        (True, b'HTTP/1.1 200 OK\r\nETag: "%b"' % ETAG.encode(), b"dev-8"),
    ],
)
def test_a_polls_answer_that_is_wrong_in_one_thing_is_told(whole: bool, head: bytes, body: bytes) -> None:
    assert fault(Kind.POLL, agent(), whole, head, body) is not None


def test_a_plans_rate_is_that_of_agents_whose_intervals_are_cut_at_random() -> None:
    assert round(Plan().rate(50_000)) == 2_632
