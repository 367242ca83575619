"""Real HTTP on loopback with centres, proxies and portals that misbehave."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from edge_agent.config.models import CentralSettings
from edge_agent.uplink.client import (
    SLOWEST_BYTES_A_SECOND,
    CentreClient,
    opaque_tag,
    retry_seconds,
)
from edge_agent.uplink.errors import (
    BodyTooLarge,
    Invalid,
    NotAccepted,
    Refused,
    RetryAfter,
    SeqConflict,
    Unreachable,
    Unusable,
    UplinkFault,
)
from edge_agent.uplink.http import _open_socket
from edge_agent.uplink.transport import MAX_ANSWER_BYTES
from edge_agent.wire.messages import Heartbeat
from edge_agent.wire.upload import CONTENT_TYPE, decode_upload
from tests.unit.uplink.web import TOKEN, Web, json, raw_server, says, upload_body

CERTIFICATE = Path(__file__).parents[2] / "golden" / "tls" / "localhost.cert.pem"
GOOD = {"centre": "c", "epoch": "e", "acked": [[1, 1]]}


@pytest.fixture
async def server() -> AsyncIterator[Web]:
    made = Web()
    async with made.serving():
        yield made


@pytest.fixture
async def client(server: Web) -> AsyncIterator[CentreClient]:
    async with server.client() as made:
        yield made


async def test_an_upload_is_one_post_of_the_bytes_as_they_are(server: Web, client: CentreClient) -> None:
    server.handler = says(lambda: json({**GOOD, "a field of a newer centre": 1}))
    answer = await client.upload(upload_body(1, 2))
    assert answer.acked == [(1, 1)]
    ((method, path, headers, body),) = server.requests
    assert (method, path) == ("POST", "/api/fleet/edge/press-01/data")
    assert headers["Content-Type"] == CONTENT_TYPE
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert "Content-Encoding" not in headers
    assert body == upload_body(1, 2)
    assert len(decode_upload(body)[1]) == 2


# --- 200 that is none -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            b"<html><body>Welcome to the hotel. Please accept our terms.</body></html>", id="portal"
        ),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x00\xff\xfe garbage", id="garbage"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"acked": [[1, 1]]}', id="no centre and no epoch"),
        pytest.param(b'{"centre": "c", "acked": [[1, 1]]}', id="no epoch"),
        pytest.param(b'{"centre": "", "epoch": "e", "acked": []}', id="an empty centre"),
        pytest.param(b'{"centre": "c", "epoch": "e"}', id="no acks"),
        pytest.param(b'{"centre": "c", "epoch": "e", "acked": [[1, -5]]}', id="negative numbers"),
        pytest.param(b'{"centre": "c", "epoch": "e", "acked": [[1, 1]]', id="cut short"),
        pytest.param(b"[" * 100_000, id="deeply nested"),
    ],
)
async def test_a_200_without_the_centre_s_answer_acknowledges_nothing(
    server: Web, client: CentreClient, body: bytes
) -> None:
    server.handler = says(lambda: web.Response(body=body))
    with pytest.raises(Unreachable, match="not the centre's"):
        await client.upload(upload_body())


@pytest.mark.parametrize("status", [201, 202, 204, 206, 304])
async def test_another_status_of_success_acknowledges_nothing(
    server: Web, client: CentreClient, status: int
) -> None:
    server.handler = says(lambda: web.Response(status=status))
    with pytest.raises(Unreachable):
        await client.upload(upload_body())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_and_the_token_goes_nowhere_else(
    server: Web, client: CentreClient, status: int
) -> None:
    server.handler = says(lambda: web.Response(status=status, headers={"Location": "/elsewhere"}))
    with pytest.raises(Unreachable, match="sent elsewhere, to /elsewhere"):
        await client.upload(upload_body())
    assert len(server.requests) == 1


async def test_an_answer_of_more_than_8_mib_is_not_read_to_its_end(server: Web, client: CentreClient) -> None:
    written = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(1 << 16))
            written += 1 << 16

    server.handler = endless
    with pytest.raises(Unreachable, match="more than"):
        await client.upload(upload_body())
    assert written < MAX_ANSWER_BYTES + (16 << 20)


async def test_an_answer_that_unpacks_to_more_than_8_mib_is_refused(
    server: Web, client: CentreClient
) -> None:
    bomb = gzip.compress(bytes(64 << 20))
    assert len(bomb) < 100_000
    server.handler = says(lambda: web.Response(body=bomb, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(Unreachable, match="more than"):
        await client.upload(upload_body())


async def test_cookies_of_a_portal_are_not_carried_around(server: Web) -> None:
    server.handler = says(lambda: web.Response(headers={"Set-Cookie": "session=1"}))
    # A name, because cookies of bare addresses are dropped in any case.
    async with server.client(url=f"http://localhost:{server.port}") as client:
        for _ in range(2):
            with pytest.raises(Unreachable):
                await client.upload(upload_body())
    assert len(server.requests) == 2
    assert all("Cookie" not in headers for _, _, headers, _ in server.requests)


# --- other answers -----------------------------------------------------------------------------------


async def test_a_conflict_says_which_names_it_is_about(server: Web, client: CentreClient) -> None:
    names = {"epoch": "e1", "conflicts": [[2, 3], [7, 7]]}
    for body, found in (
        ({"code": "seq_conflict", **names}, ("e1", [(2, 3), (7, 7)])),
        ({"code": "seq_conflict"}, ("", [])),
        ({**names, "conflicts": "all"}, ("", [])),
    ):
        server.handler = says(partial(json, body, 409))
        with pytest.raises(SeqConflict) as caught:
            await client.upload(b"x")
        assert (caught.value.epoch, caught.value.conflicts) == found


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (400, Invalid), (401, NotAccepted), (403, NotAccepted), (404, Refused), (405, Unusable),
        (409, SeqConflict), (411, Unusable), (415, Unusable), (418, Unusable), (429, RetryAfter),
        (500, Unusable), (502, Unusable), (503, RetryAfter), (504, Unusable), (599, Unusable),
    ],
)  # fmt: skip
async def test_each_status_asks_for_what_the_table_says(
    server: Web, client: CentreClient, status: int, fault: type[UplinkFault]
) -> None:
    server.handler = says(lambda: json({"detail": "because\nof this", "code": "x"}, status))
    with pytest.raises(fault) as caught:
        await client.upload(upload_body())
    assert type(caught.value) is fault
    assert str(caught.value).startswith(f"{status}: because")
    if isinstance(caught.value, Refused):
        assert caught.value.status == status


@pytest.mark.parametrize(
    ("document", "limit"),
    [({"max": 5000}, 5000), ({}, None), ({"max": "5000"}, None), ({"max": -1}, None), ({"max": True}, None)],
)
async def test_413_names_the_limit_or_not(
    server: Web, client: CentreClient, document: dict[str, object], limit: int | None
) -> None:
    server.handler = says(lambda: json(document, 413))
    with pytest.raises(BodyTooLarge) as caught:
        await client.upload(upload_body())
    assert caught.value.max_bytes == limit


async def test_a_proxy_s_413_is_plain_html(server: Web, client: CentreClient) -> None:
    html = "<html>\n<h1>413 Request Entity Too Large</h1>"
    server.handler = says(lambda: web.Response(status=413, text=html))
    with pytest.raises(BodyTooLarge, match="413: <html> <h1>413 Request") as caught:
        await client.upload(upload_body())
    assert caught.value.max_bytes is None


async def test_retry_after_is_read_from_429_and_503(server: Web, client: CentreClient) -> None:
    for status in (429, 503):
        response = {"Retry-After": "17"}
        server.handler = says(lambda s=status, h=response: web.Response(status=s, headers=h))  # type: ignore[misc]
        with pytest.raises(RetryAfter) as caught:
            await client.upload(upload_body())
        assert caught.value.delay_seconds == 17


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 5), ("30", 30), ("0", 0.1), ("-5", 0.1), ("1e9", 900), ("inf", 900), ("nan", 5),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 5), ("", 5),
    ],
)  # fmt: skip
def test_retry_after_is_bounded_whatever_it_says(header: str | None, seconds: float) -> None:
    assert retry_seconds(header) == seconds


# --- links -------------------------------------------------------------------------------------------


async def test_nobody_listens() -> None:
    server = Web()
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        server.port = taken.getsockname()[1]
        async with server.client() as client:
            with pytest.raises(Unreachable, match="Connect"):
                await client.upload(upload_body())


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="closes at once"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", id="closes in mid-answer"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, id="endless headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nnot gzip", id="wrong encoding"),
        pytest.param(b"HTTP/1.1 999999 ?\r\n\r\n", id="no status"),
    ],
)
async def test_what_is_no_http_answer_is_no_answer(said: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()

    server = Web()
    async with raw_server(answer) as server.port, server.client() as client:
        with pytest.raises(Unreachable):
            await client.upload(upload_body())


async def test_a_server_that_says_nothing_is_given_up(server: Web) -> None:
    server.handler = server.silent
    async with server.client(request_seconds=0.1) as client:
        with pytest.raises(Unreachable, match="no answer in time"):
            await client.upload(upload_body())


async def test_an_answer_that_trickles_is_given_up(server: Web) -> None:
    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    server.handler = trickle
    async with server.client(request_seconds=0.1) as client:
        with pytest.raises(Unreachable, match="no answer in time"):
            await client.upload(upload_body())


async def test_a_large_upload_has_the_time_that_a_slow_link_needs(server: Web) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.3)
        return json(GOOD)

    server.handler = slow
    async with server.client(request_seconds=0.1) as client:
        with pytest.raises(Unreachable):
            await client.upload(upload_body())
        big = upload_body() + bytes(SLOWEST_BYTES_A_SECOND)
        assert (await client.upload(big)).centre == "c"


async def test_a_request_can_be_cancelled_and_leaves_nothing_behind(
    server: Web, client: CentreClient
) -> None:
    server.handler = server.silent
    task = asyncio.create_task(client.upload(upload_body()))
    async with asyncio.timeout(10):
        while not server.requests:
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    server.handler = says(lambda: json(GOOD))
    assert (await client.upload(upload_body())).centre == "c"


async def test_iotedge_6971_after_a_restart_of_the_centre_the_next_request_works(server: Web) -> None:
    """Kept-alive connections died with it."""
    other = Web()
    other.handler = says(lambda: json(GOOD))
    async with other.serving(), other.client() as client:
        await client.upload(upload_body())
    async with other.client() as client:
        async with other.serving():
            await client.upload(upload_body())
        with pytest.raises(Unreachable):
            await client.upload(upload_body())
        async with other.serving():
            await client.upload(upload_body())


# --- the other routes --------------------------------------------------------------------------------


async def test_a_schema_is_put_under_its_name(server: Web, client: CentreClient) -> None:
    for status in (200, 201, 204):
        server.handler = says(lambda s=status: web.Response(status=s))  # type: ignore[misc]
        await client.put_schema("ab" * 32, b'{"canonical":true}')
    method, path, headers, body = server.requests[0]
    assert (method, path) == ("PUT", f"/api/fleet/edge/press-01/schemas/{'ab' * 32}")
    assert (headers["Content-Type"], body) == ("application/json", b'{"canonical":true}')
    server.handler = says(lambda: web.Response(status=304))
    with pytest.raises(Unreachable):
        await client.put_schema("ab" * 32, b"{}")


async def test_a_heartbeat_is_json_and_so_is_its_answer(server: Web, client: CentreClient) -> None:
    beat = Heartbeat(now=1, version="1", protocol=1, run="r", boot="b", machine="m", uptime_seconds=2)
    server.handler = says(lambda: json({"centre": "c", "now": 5, "config_etag": "v1"}))
    answer = await client.heartbeat(beat)
    assert (answer.now, answer.config_etag) == (5, "v1")
    assert Heartbeat.model_validate_json(server.requests[0][3]) == beat
    server.handler = says(lambda: web.Response(text="<html>"))
    with pytest.raises(Unreachable):
        await client.heartbeat(beat)


async def test_the_config_is_asked_for_by_its_tag(server: Web, client: CentreClient) -> None:
    envelope = {"version": 3, "sections": {"connections": []}}
    server.handler = says(lambda: json(envelope, headers={"ETag": '"v3"'}))
    found = await client.config(None)
    assert found is not None
    assert (orjson.loads(found.body), found.etag) == (envelope, "v3")
    server.handler = says(lambda: web.Response(status=304))
    # Tags that an earlier version kept have quotes already.
    for known in ("v3", '"v3"'):
        assert await client.config(known) is None
    asked = [headers.get("If-None-Match") for _, _, headers, _ in server.requests]
    assert asked == [None, '"v3"', '"v3"']


async def test_a_device_without_a_config_keeps_what_it_has(server: Web, client: CentreClient) -> None:
    server.handler = says(lambda: json({"code": "no_config"}, 404))
    assert await client.config(None) is None
    server.handler = says(lambda: json({}, 403))
    with pytest.raises(Refused):
        await client.config(None)


async def test_scripts_are_asked_for_as_configs_are(server: Web, client: CentreClient) -> None:
    server.handler = says(lambda: json({"scripts": []}, headers={"ETag": '"s1"'}))
    found = await client.scripts(None)
    assert found is not None
    assert (orjson.loads(found.body), found.etag) == ({"scripts": []}, "s1")
    server.handler = says(lambda: web.Response(status=304))
    assert await client.scripts("s1") is None
    asked = [(method, path, headers.get("If-None-Match")) for method, path, headers, _ in server.requests]
    path = "/api/fleet/edge/press-01/scripts"
    assert asked == [("GET", path, None), ("GET", path, '"s1"')]
    server.handler = says(lambda: json({"code": "not_found"}, 404))
    assert await client.scripts("s1") is None


@pytest.mark.parametrize("headers", [{}, {"ETag": '"v1"'}])
async def test_a_config_without_a_tag_or_a_shape_is_none(
    server: Web, client: CentreClient, headers: dict[str, str]
) -> None:
    body = [] if headers else {"version": 1, "sections": {}}
    server.handler = says(lambda: json(body, headers=headers))
    with pytest.raises(Unreachable):
        await client.config(None)


def test_a_tag_is_what_stands_between_the_quotes() -> None:
    assert [opaque_tag(tag) for tag in ('"a"', 'W/"a"', "a", None)] == ["a", "a", "a", None]


async def test_without_its_ca_file_the_centre_is_unreachable_until_it_is_there(
    server: Web, tmp_path: Path
) -> None:
    server.handler = says(lambda: json({"version": 1, "sections": {}}, headers={"ETag": '"a"'}))
    ca_file = tmp_path / "late.pem"
    async with server.client(ca_file=str(ca_file)) as client:
        with pytest.raises(Unreachable, match=r"central\.ca_file: .*late\.pem: No such file"):
            await client.config(None)
        ca_file.write_bytes(CERTIFICATE.read_bytes())
        assert await client.config(None) is not None


async def test_connections_that_are_given_up_while_a_name_is_looked_up_end_no_lane(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The resolver of a dead network hangs; a lane that meets a CancelledError is gone for good."""
    asked, answer = asyncio.Event(), asyncio.Event()

    async def hangs(*_: object, **__: object) -> list[object]:
        asked.set()
        await answer.wait()
        raise socket.gaierror("no such name")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", hangs)
    async with Web().client(url="http://centre.invalid") as client:
        request = asyncio.create_task(client.upload(b"x"))
        await asyncio.wait_for(asked.wait(), 10)
        await client.renew()
        with pytest.raises(Unreachable):
            await asyncio.wait_for(request, 10)
        asked.clear()
        request = asyncio.create_task(client.upload(b"x"))
        await asyncio.wait_for(asked.wait(), 10)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
    answer.set()


def test_a_link_that_dies_while_an_answer_is_awaited_is_noticed_in_seconds() -> None:
    """Nothing of ours is unacknowledged then: without probes the kernel would never look."""
    here = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 0))
    with closing(_open_socket(here)) as opened:
        tcp = socket.IPPROTO_TCP
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert opened.getsockopt(tcp, socket.TCP_KEEPIDLE) <= 5
        assert opened.getsockopt(tcp, socket.TCP_KEEPINTVL) <= 5
        assert opened.getsockopt(tcp, socket.TCP_USER_TIMEOUT) <= 10_000


async def test_a_request_of_a_credential_that_was_replaced_meanwhile_is_made_again(
    server: Web, tmp_path: Path
) -> None:
    shown = ["old", "new", "new"]
    told: list[str] = []

    class Judge:
        def good(self, bearer: str) -> None:
            told.append(f"good {bearer}")

        def bad(self, bearer: str | None, detail: str) -> None:
            told.append(f"bad {bearer}")

    async def answer(request: web.Request) -> web.StreamResponse:
        is_new = request.headers["Authorization"] == "Bearer new"
        return web.Response(status=404 if is_new else 401)

    server.handler = answer
    settings = CentralSettings(url=f"http://127.0.0.1:{server.port}")
    client = CentreClient(settings, "dev", tmp_path, token=lambda: shown.pop(0), judge=Judge())
    try:
        assert await client.config(None) is None
    finally:
        await client.close()
    assert len(server.requests) == 2
    assert not any(text.startswith("bad") for text in told)
