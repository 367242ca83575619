"""The page's listener and its routes, over a real loopback socket and a fake `Inspection`."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import structlog

from edge_agent.contracts.errors import ConfigError
from edge_agent.contracts.inspection import (
    LogPage,
    NoTrend,
    RetryLater,
    TrendPiece,
    TrendQuery,
    ValuePage,
    ValueQuery,
)
from edge_agent.contracts.status import AgentStatus, LatestValue
from edge_agent.runtime.clock import SystemClock
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.web.assets import FILES
from edge_agent.web.page import RETRY_SECONDS, PageServer
from edge_agent.web.routes import PAGE_ROUTES

TREND = "/api/trend?connection=press1&group=fast&tag=t&start=0&end=60000&bucket_ms=100"


@dataclass
class FakeInspection:
    """An agent with 1,000 tags that notes what it is asked."""

    shown: AgentStatus
    asked: list[Any] = field(default_factory=list)
    refuse: Exception | None = None
    value: Any = 1.5
    busy: asyncio.Event | None = None

    def status(self) -> AgentStatus:
        return self.shown

    async def values(self, query: ValueQuery) -> ValuePage:
        self.asked.append(query)
        item = LatestValue(
            connection="press1", group="fast", tag="온도", value=self.value, quality="good", time=5
        )
        return ValuePage(total=1_000, items=[item])

    async def trend(self, query: TrendQuery) -> TrendPiece:
        self.asked.append(query)
        if self.refuse is not None:
            raise self.refuse
        return TrendPiece(
            start=query.start, bucket_ms=query.bucket_ms, unit="°C",
            points=[(0, 1.0, 1.0, 2.0, 2.0, 2, 0, False)], head=("r", 1), tail=("r", 2),
            begins=True, ends=True, batches=1, next=None,
        )  # fmt: skip

    async def config_text(self, *, whole: bool = False) -> AsyncIterator[str]:
        self.asked.append(whole)
        if self.refuse is not None:
            raise self.refuse
        for piece in ("agent:\n", '  id: press-shop-01\ncentral: {token: "***"}\n'):
            yield piece

    def log(self, after: int, level: str, limit: int) -> LogPage:
        self.asked.append((after, level, limit))
        return LogPage(lines=[{"id": 8, "event": "started"}], next=8)


@pytest.fixture
def inspection(ill: AgentStatus) -> FakeInspection:
    return FakeInspection(ill)


async def opened(server: PageServer) -> str:
    async with asyncio.timeout(5):
        while server.report().state != "open":
            await asyncio.sleep(0.01)
    return f"http://{server.report().address}"


@pytest.fixture
async def page(inspection: FakeInspection) -> AsyncIterator[aiohttp.ClientSession]:
    server = PageServer(inspection, "127.0.0.1:0", SystemClock())
    task = asyncio.create_task(server.run())
    async with aiohttp.ClientSession(await opened(server)) as session:
        yield session
    task.cancel()
    await asyncio.wait([task])


async def test_every_file_and_route_answers_and_guards_itself(page: aiohttp.ClientSession) -> None:
    paths = ["/", *(f"/{name}" for name in FILES if name != "index.html"), TREND]
    paths += [route.path for route in PAGE_ROUTES if route.path != "/api/trend"]
    for path in (*paths, "/nothing"):
        async with page.get(path) as response:
            assert response.status == (404 if path == "/nothing" else 200), path
            policy = response.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'self';")
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_nothing_can_be_changed(page: aiohttp.ClientSession, method: str) -> None:
    for path in ("/", *(route.path for route in PAGE_ROUTES), "/reload"):
        async with page.request(method, path) as response:
            assert response.status in (404, 405), path


async def test_a_name_that_was_made_to_point_here_is_refused(page: aiohttp.ClientSession) -> None:
    for path in ("/", "/api/overview", "/api/config.yaml"):
        async with page.get(path, headers={"Host": "evil.example:8470"}) as response:
            assert response.status == 421
            assert "press-shop" not in await response.text()


async def test_another_sites_page_is_refused_and_a_link_to_here_is_not(page: aiohttp.ClientSession) -> None:
    for path, status in (("/", 200), ("/api/overview", 403), ("/app.js", 403)):
        async with page.get(path, headers={"Sec-Fetch-Site": "cross-site"}) as response:
            assert response.status == status


async def test_what_the_browser_has_is_not_sent_again(page: aiohttp.ClientSession) -> None:
    for path in ("/", "/app.js", "/api/values", "/api/config", "/api/log", TREND):
        async with page.get(path) as response:
            etag = response.headers["ETag"]
            assert await response.read()
        async with page.get(path, headers={"If-None-Match": f'"other", {etag}'}) as response:
            assert (response.status, await response.read()) == (304, b"")
        async with page.get(path, headers={"If-None-Match": '"other"'}) as response:
            assert response.status == 200


async def test_files_are_compressed_for_those_who_can(page: aiohttp.ClientSession) -> None:
    async with page.get("/app.js", headers={"Accept-Encoding": "identity"}) as response:
        plain = await response.read()
        assert "Content-Encoding" not in response.headers
        url = response.url
    async with (
        aiohttp.ClientSession(auto_decompress=False) as raw,
        raw.get(url, headers={"Accept-Encoding": "br, gzip"}) as response,
    ):
        packed = await response.read()
        assert response.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed) == plain
    assert len(packed) < len(plain) / 2


async def test_the_overview_has_what_is_wrong_with_its_facts(
    page: aiohttp.ClientSession, ill: AgentStatus
) -> None:
    async with page.get("/api/overview") as response:
        overview = await response.json()
    assert AgentStatus.model_validate(overview["status"]) == ill
    assert overview["state"] == "degraded"
    codes = {finding["code"] for finding in overview["findings"]}
    assert "connection" in codes
    assert all(finding["code"] and finding["text"] for finding in overview["findings"])


async def test_a_page_of_values_is_asked_for_as_it_is_shown(
    page: aiohttp.ClientSession, inspection: FakeInspection
) -> None:
    async with page.get("/api/values?connection=press1&q=온도&offset=200&limit=50") as response:
        found = await response.json()
    assert (found["total"], found["items"][0]["tag"]) == (1_000, "온도")
    async with page.get("/api/values") as response:
        assert response.status == 200
    assert inspection.asked == [ValueQuery("press1", "온도", 200, 50), ValueQuery(None, "", 0, 100)]


async def test_whole_numbers_that_a_browser_would_round_are_texts(
    page: aiohttp.ClientSession, inspection: FakeInspection
) -> None:
    inspection.value = [1 << 53, -(1 << 53), (1 << 53) - 1, True, 1.5, {"n": (1 << 64) - 1}]
    async with page.get("/api/values") as response:
        (item,) = (await response.json())["items"]
    big = "9007199254740992"
    assert item["value"] == [big, f"-{big}", (1 << 53) - 1, True, 1.5, {"n": "18446744073709551615"}]


@pytest.mark.parametrize(
    "path",
    ["/api/values?limit=501", "/api/values?offset=-1", "/api/values?limit=x", "/api/values?offset=1e9",
     f"/api/values?offset={'9' * 30}", f"/api/values?offset={'0' * 30}1",
     f"/api/log?after={'9' * 5_000}", "/api/log?limit=0", "/api/log?level=all",
     "/api/log?after=²", "/api/trend",
     TREND.replace("&tag=t", ""), TREND.replace("bucket_ms=100", "bucket_ms=0"),
     TREND.replace("bucket_ms=100", "bucket_ms=29"), TREND.replace("end=60000", "end=0")],
)  # fmt: skip
async def test_a_question_out_of_bounds_is_refused(
    page: aiohttp.ClientSession, inspection: FakeInspection, path: str
) -> None:
    async with page.get(path) as response:
        assert response.status == 400
        assert response.content_type == "application/problem+json"
    assert inspection.asked == []


async def test_a_trend_is_asked_for_in_pieces(
    page: aiohttp.ClientSession, inspection: FakeInspection
) -> None:
    async with page.get(f"{TREND}&before=77") as response:
        piece = await response.json()
    assert inspection.asked == [TrendQuery("press1", "fast", "t", 0, 60_000, 100, 77)]
    assert (piece["unit"], piece["points"]) == ("°C", [[0, 1.0, 1.0, 2.0, 2.0, 2, 0, False]])


@pytest.mark.parametrize(("why", "status"), [(NoTrend("is no number"), 404), (RetryLater("busy"), 503)])
async def test_why_there_is_no_trend_is_said(
    page: aiohttp.ClientSession, inspection: FakeInspection, why: Exception, status: int
) -> None:
    inspection.refuse = why
    async with page.get(TREND) as response:
        assert (response.status, (await response.json())["detail"]) == (status, str(why))


async def test_the_config_is_shown_in_part_and_downloaded_in_whole(
    page: aiohttp.ClientSession, inspection: FakeInspection
) -> None:
    async with page.get("/api/config") as response:
        shown = await response.json()
    async with page.get("/api/config.yaml") as response:
        whole = await response.text()
        assert "attachment" in response.headers["Content-Disposition"]
        assert response.headers["Cache-Control"] == "no-store"
    assert whole == shown["text"] == 'agent:\n  id: press-shop-01\ncentral: {token: "***"}\n'
    assert inspection.asked == [False, True]


@pytest.mark.parametrize(("why", "status"), [(ConfigError("a bug"), 500), (RetryLater("busy"), 503)])
async def test_a_download_that_cannot_begin_is_a_problem(
    page: aiohttp.ClientSession, inspection: FakeInspection, why: Exception, status: int
) -> None:
    inspection.refuse = why
    async with page.get("/api/config.yaml") as response:
        assert (response.status, response.content_type) == (status, "application/problem+json")
        assert "Content-Disposition" not in response.headers


async def test_the_log_goes_on_where_it_ended(
    page: aiohttp.ClientSession, inspection: FakeInspection
) -> None:
    async with page.get("/api/log?after=7&level=warning&limit=20") as response:
        assert await response.json() == {"lines": [{"id": 8, "event": "started"}], "next": 8}
    assert inspection.asked == [(7, "warning", 20)]


async def test_a_taken_port_is_one_line_and_is_tried_again(inspection: FakeInspection) -> None:
    clock = ManualClock()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        server = PageServer(inspection, address, clock)
        with structlog.testing.capture_logs() as lines:
            task = asyncio.create_task(server.run())
            for _ in range(3):
                await clock.advance(RETRY_SECONDS)
            report = server.report()
            assert (report.state, report.address) == ("taken", address)
            assert "Address already in use" in report.detail
            assert [line["log_level"] for line in lines] == ["warning"]
            other.close()
            await clock.advance(RETRY_SECONDS)
            url = await opened(server)
            async with aiohttp.ClientSession(url) as session, session.get("/") as response:
                assert response.status == 200
            assert [line["event"] for line in lines][1:] == ["the local page is open"]
            task.cancel()
            await asyncio.wait([task])
    assert server.report().state != "open"


async def test_a_stop_closes_the_port_under_a_waiting_browser(inspection: FakeInspection) -> None:
    server = PageServer(inspection, "127.0.0.1:0", SystemClock())
    task = asyncio.create_task(server.run())
    url = await opened(server)
    async with aiohttp.ClientSession(url) as session, session.get("/"):
        task.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait([task])
    async with aiohttp.ClientSession(url) as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get("/")


@pytest.mark.parametrize("listen", ["0.0.0.0:8470", "192.0.2.1:8470", "8470"])
def test_only_loopback_is_listened_on(inspection: FakeInspection, listen: str) -> None:
    with pytest.raises(ConfigError):
        PageServer(inspection, listen, SystemClock())
