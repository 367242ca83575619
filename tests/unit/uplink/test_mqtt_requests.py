"""How the client's exchanges become MQTT requests, and answers replies."""

import pytest

from edge_agent.uplink.errors import Unusable
from edge_agent.uplink.mqtt_requests import (
    LONGEST_WAIT_SECONDS,
    Request,
    metrics,
    plc_status,
    reply_of,
    request_of,
)
from edge_agent.wire import mqtt
from edge_agent.wire.messages import ConnectionReport, Heartbeat
from edge_agent.wire.mqtt import Channel, What

BEAT = Heartbeat(now=1, version="1", protocol=1, run="r", boot="b", machine="m", uptime_seconds=2.0)


@pytest.mark.parametrize(
    ("method", "path", "channel", "said"),
    [
        ("POST", "/data", Channel.DATA, {}),
        ("POST", "/heartbeat", Channel.STATUS, {}),
        ("PUT", f"/schemas/{'a' * 64}", Channel.SCHEMAS, {"name": "a" * 64}),
        ("GET", "/config", Channel.REQUESTS, {"what": "config"}),
        ("GET", "/scripts", Channel.REQUESTS, {"what": "scripts"}),
        ("POST", "/commands/c-1/report", Channel.RESPONSES, {"what": "report", "command": "c-1"}),
        (
            "PUT", "/commands/c-1/artifact?name=a%20b.tar", Channel.RESPONSES,
            {"what": "artifact", "command": "c-1", "name": "a b.tar"},
        ),
    ],
)  # fmt: skip
def test_each_exchange_has_its_topic(method: str, path: str, channel: Channel, said: dict[str, str]) -> None:
    found = request_of(method, path, None)
    assert (found.channel, found.properties, found.wait_seconds) == (channel, said, 0.0)


def test_documents_are_asked_for_by_the_tag_without_its_quotes() -> None:
    assert request_of("GET", "/config", '"abc"').properties == {"what": "config", "etag": "abc"}
    assert request_of("GET", "/scripts", '"abc"').properties == {"what": "scripts", "etag": "abc"}


@pytest.mark.parametrize(("asked", "held"), [("0", 0.0), ("10", 10.0), ("50", LONGEST_WAIT_SECONDS)])
def test_a_poll_is_held_no_longer_than_a_lost_centre_may_be_missed(asked: str, held: float) -> None:
    found = request_of("GET", f"/commands?wait={asked}", None)
    assert found.properties == {"what": What.COMMANDS, "wait": f"{held:g}"}
    assert found.wait_seconds == held


def test_batches_are_compressed_already() -> None:
    assert request_of("POST", "/data", None) == Request(Channel.DATA, is_text=False)


@pytest.mark.parametrize("path", ["/credential", "", "/api/fleet/provision"])
def test_what_goes_over_http_alone_says_so(path: str) -> None:
    with pytest.raises(Unusable, match="HTTP alone"):
        request_of("POST", path, None)


def test_an_answer_is_read_with_all_that_stands_beside_it() -> None:
    payload, packed = mqtt.pack(b"{}" * 4_000)
    said = {"status": "503", "retry-after": "7", "etag": "e", **packed}
    found = reply_of(payload, list(said.items()))
    assert (found.status, found.retry_after, found.etag, found.body) == (503, "7", "e", b"{}" * 4_000)


@pytest.mark.parametrize(
    "pairs",
    [
        None,
        [("status", "fine")],
        [("status", "200"), ("status", "404")],
        [("status", "200"), ("encoding", "deflate")],
    ],
)
def test_what_is_no_answer_of_the_centres_counts_as_none(pairs: list[tuple[str, str]] | None) -> None:
    with pytest.raises(Unusable):
        reply_of(b"{}", pairs)


def test_the_connections_are_told_of_exactly_when_one_of_them_changes() -> None:
    one = ConnectionReport(name="press", driver="modbus", state="connected", samples=1, latency_ms=1.0)
    busier = one.model_copy(update={"samples": 2, "latency_ms": 3.0})
    down = one.model_copy(update={"state": "down", "error": "refused"})
    said = [plc_status(BEAT.model_copy(update={"connections": [each], "now": n})) for n, each in
            enumerate((one, busier, down))]  # fmt: skip
    assert said[0] == said[1] != said[2]


def test_metrics_hold_figures_and_no_identity() -> None:
    assert b'"uptime_seconds":2.0' in metrics(BEAT)
    assert b"machine" not in metrics(BEAT)
