"""The HTTP driver against servers that refuse, lead astray, trickle, lie about sizes or are others."""

import asyncio
import base64
import gzip
import hashlib
import re
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_agent.contracts.driver import Reading
from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.http.client import HttpDriver
from edge_agent.drivers.http.plan import plan
from edge_agent.drivers.http.settings import HttpConnection
from edge_agent.wire.quality import Quality, whole

TLS = Path(__file__).parents[1] / "golden" / "tls"
Say = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Answers each request as the test says, and keeps their heads."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self.heads: list[bytes] = []
        self.links = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.links += 1
        try:
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                await self._say(self.heads[-1], writer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(say: Say, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[Server, int]]:
    made = Server(say)
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await made.serve(reader, writer)
        except asyncio.CancelledError:
            pass  # the end of the test
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    try:
        yield made, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def answer(body: bytes = b'{"v": 1.5}', status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def saying(*answers: bytes) -> Say:
    """One after the other; the last one again and again."""
    left = list(answers)

    async def say(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop(0) if len(left) > 1 else left[0])

    return say


@pytest.fixture
async def drivers() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def connected(stack: AsyncExitStack, port: int, **transport: Any) -> Callable[[], Awaitable[Reading]]:
    """The driver of one tag, `/v` at `/doc`; returns what reads it, connecting again as the pipeline does."""
    settings = HttpConnection.model_validate(
        {
            "name": "c",
            "transport": {"url": f"http://127.0.0.1:{port}", "timeout": "300ms", **transport},
            "groups": [
                {"name": "g", "interval": "1s", "path": "/doc", "tags": [{"name": "v", "address": "/v"}]}
            ],
        }
    )
    driver = HttpDriver(settings)
    stack.push_async_callback(driver.close)
    planned = plan(settings, settings.groups[0])
    await driver.connect()
    return lambda: driver.read(planned)


@pytest.mark.parametrize(
    ("status", "quality", "says"),
    [
        ("404 Not Found", Quality.BAD_CONFIG, "no such path"),
        ("401 Unauthorized", Quality.BAD_CONFIG, "username, password and token"),
        ("403 Forbidden", Quality.BAD_CONFIG, "may not read"),
        ("405 Method Not Allowed", Quality.BAD_CONFIG, "does not answer GET"),
        ("429 Too Many Requests", Quality.BAD_DEVICE, "too often"),
        ("500 Internal Server Error", Quality.BAD_DEVICE, "500"),
        ("503 Service Unavailable", Quality.BAD_DEVICE, "503"),
        ("206 Partial Content", Quality.BAD_DEVICE, "206"),
    ],
)
async def test_a_status_says_what_the_tags_are_and_the_link_stays(
    drivers: AsyncExitStack, status: str, quality: Quality, says: str
) -> None:
    async with serving(saying(answer(b"no", status), answer())) as (server, port):
        read = await connected(drivers, port)
        reading = await read()
        assert reading.quality == whole(1, quality)
        assert says in str(reading.errors)
        assert not (await read()).quality
        assert len(server.heads) == 2


async def test_redirects_on_the_same_server_are_followed_and_their_number_is_bounded(
    drivers: AsyncExitStack,
) -> None:
    there = answer(b"", "302 Found", "Location: /elsewhere?x=1")
    async with serving(saying(there, answer())) as (server, port):
        assert not (await (await connected(drivers, port))()).quality
        assert server.heads[1].startswith(b"GET /elsewhere?x=1 ")
    async with serving(saying(there)) as (server, port):
        reading = await (await connected(drivers, port))()
        assert reading.quality == whole(1, Quality.BAD_CONFIG)
        assert len(server.heads) == 4


@pytest.mark.parametrize("to", ["http://127.0.0.1:{}/doc", "//127.0.0.1:{}/doc", "http://u@127.0.0.1:{}/"])
async def test_no_secret_follows_a_redirect_to_another_server(drivers: AsyncExitStack, to: str) -> None:
    async with serving(saying(answer())) as (other, other_port):
        away = answer(b"", "307 Temporary Redirect", f"Location: {to.format(other_port)}")
        async with serving(saying(away)) as (_, port):
            read = await connected(drivers, port, token="hush", secret_headers={"X-Key": "quiet"})
            reading = await read()
    assert other.heads == []
    assert reading.quality == whole(1, Quality.BAD_CONFIG)
    assert "put it in url" in str(reading.errors)
    assert "hush" not in str(reading.errors)


async def test_who_asks_is_told_in_every_request(drivers: AsyncExitStack) -> None:
    async with serving(saying(answer())) as (server, port):
        await (await connected(drivers, port, token="abc", secret_headers={"X-Key": "k"}))()
        await (await connected(drivers, port, username="réader", password="p:w"))()
    assert b"Authorization: Bearer abc\r\n" in server.heads[0]
    assert b"X-Key: k\r\n" in server.heads[0]
    basic = base64.b64encode("réader:p:w".encode())
    assert b"Authorization: Basic " + basic + b"\r\n" in server.heads[1]


async def test_a_digest_as_shelly_devices_want_it(drivers: AsyncExitStack) -> None:
    """RFC 7616 with SHA-256; the password itself never travels."""
    want = 'Digest qop="auth", realm="shellyplus1-a1b2", nonce="60dc59c6", algorithm=SHA-256'

    def sha(*parts: str) -> str:
        return hashlib.sha256(":".join(parts).encode()).hexdigest()

    async def ask(head: bytes, writer: asyncio.StreamWriter) -> None:
        told = dict(re.findall(r'(\w+)="?([^",\r]+)"?', head.decode().partition("Authorization: Digest ")[2]))
        right = told and told["response"] == sha(
            sha("admin", "shellyplus1-a1b2", "hush"), "60dc59c6", told["nc"], told["cnonce"], "auth",
            sha("GET", "/doc"),
        )  # fmt: skip
        writer.write(answer() if right else answer(b"", "401 Unauthorized", f"WWW-Authenticate: {want}"))

    async with serving(ask) as (server, port):
        read = await connected(drivers, port, username="admin", password="hush", authentication="digest")
        for _ in range(3):
            assert not (await read()).quality
        assert len(server.heads) == 4  # one challenge
        assert not any(b"hush" in head or b"Basic" in head for head in server.heads)
        wrong = await connected(drivers, port, username="admin", password="loud", authentication="digest")
        reading = await wrong()
    assert reading.quality == whole(1, Quality.BAD_CONFIG)
    assert "loud" not in str(reading.errors)


async def test_a_document_that_trickles_is_one_that_does_not_come(drivers: AsyncExitStack) -> None:
    async def trickle(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serving(trickle) as (_, port):
        read = await connected(drivers, port)
        reading = await read()
        assert reading.unanswered
        assert reading.quality == whole(1, Quality.BAD_COMM)
        with pytest.raises(NotConnected):
            await read()


async def test_a_bomb_costs_no_more_than_the_bound(drivers: AsyncExitStack) -> None:
    bomb = answer(gzip.compress(bytes(16 << 20), 1), "200 OK", "Content-Encoding: gzip")
    good = answer(gzip.compress(b'{"v": 2.5}'), "200 OK", "Content-Encoding: gzip")
    async with serving(saying(bomb, good)) as (_, port):
        read = await connected(drivers, port, timeout="5s")
        reading = await read()
        assert reading.quality == whole(1, Quality.BAD_DEVICE)
        assert "max_body" in str(reading.errors)
        assert struct.unpack("<d", (await read()).row) == (2.5,)


async def test_a_body_without_a_length_or_an_end_is_bounded(drivers: AsyncExitStack) -> None:
    async def flood(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"9" * 4096)
            await writer.drain()

    async with serving(flood) as (_, port):
        reading = await (await connected(drivers, port, timeout="5s", max_body="64KiB"))()
        assert "max_body" in str(reading.errors)


@pytest.mark.parametrize(
    "broken",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00\x01\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    ],
)  # fmt: skip
async def test_what_is_no_answer_breaks_the_link_and_is_told(drivers: AsyncExitStack, broken: bytes) -> None:
    async def cut(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(broken)
        await writer.drain()
        writer.close()

    async with serving(cut) as (_, port):
        read = await connected(drivers, port)
        with pytest.raises(NotConnected, match=r"127\.0\.0\.1"):
            await read()


async def test_a_server_that_closes_after_each_answer_is_read_on(drivers: AsyncExitStack) -> None:
    async def once(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer())
        await writer.drain()
        writer.close()

    async with serving(once) as (server, port):
        read = await connected(drivers, port)
        for _ in range(5):
            assert not (await read()).quality
        assert server.links == 5


async def test_one_link_is_kept(drivers: AsyncExitStack) -> None:
    async with serving(saying(answer())) as (server, port):
        read = await connected(drivers, port)
        for _ in range(5):
            assert not (await read()).quality
        assert server.links == 1


def context(name: str) -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(TLS / f"{name}.cert.pem", TLS / "localhost.key.pem")
    return made


async def test_tls_with_a_certificate_that_is_trusted(drivers: AsyncExitStack) -> None:
    async with serving(saying(answer()), context("localhost")) as (_, port):
        read = await connected(
            drivers,
            port,
            url=f"https://localhost:{port}",
            ca_file=str(TLS / "localhost.cert.pem"),
            timeout="5s",
        )
        assert not (await read()).quality


@pytest.mark.parametrize("more", [{}, {"ca_file": str(TLS / "other-name.cert.pem")}])
async def test_a_server_that_is_not_trusted_learns_nothing(
    drivers: AsyncExitStack, more: dict[str, str]
) -> None:
    async with serving(saying(answer()), context("localhost")) as (server, port):
        read = await connected(
            drivers, port, url=f"https://localhost:{port}", token="t", timeout="5s", **more
        )
        with pytest.raises(NotConnected, match="not trusted"):
            await read()
        assert server.heads == []
        unjudged = await connected(
            drivers, port, url=f"https://localhost:{port}", verify="none", timeout="5s"
        )
        assert not (await unjudged()).quality


async def test_a_ca_file_that_is_not_there_is_named(drivers: AsyncExitStack) -> None:
    with pytest.raises(NotConnected, match=r"/nowhere/ca\.pem"):
        await connected(drivers, 1, url="https://localhost:1", ca_file="/nowhere/ca.pem")


async def test_proxies_of_the_environment_are_not_used(
    drivers: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with serving(saying(answer())) as (_, port):
        assert not (await (await connected(drivers, port))()).quality
