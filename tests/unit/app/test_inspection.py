"""What the local page sees of an agent: no secret in any of it, and not too much at once."""

import asyncio
import json
import logging
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_agent.app.compiled import Compiled, compile_file
from edge_agent.app.inspection import MAX_WAITING, Inspector
from edge_agent.contracts.inspection import NoTrend, RetryLater, TrendQuery, ValueQuery
from edge_agent.contracts.status import AgentStatus
from edge_agent.runtime.logging import LogRing
from edge_agent.wire.schema import Schema

TOKEN, PASSWORD, PROXY = "hf_0123456789abcdef", "correct horse", "battery-staple"
QUERY = TrendQuery("press1", "fast", "t00", 0, 1, 1)


class NoConnections:
    """As a `ConnectionSet` in which nothing runs."""

    def schemas(self) -> list[Schema]:
        return []

    def latest_of(self, schema: Schema, wanted: Any) -> list[Any]:
        raise AssertionError("there is nothing to read")


def no_connections() -> Any:
    return NoConnections()


def no_status() -> AgentStatus:
    raise AssertionError("nobody asks for it here")


@pytest.fixture
def running(tmp_path: Path) -> Compiled:
    path = tmp_path / "edge-agent.yaml"
    path.write_text(
        f"""
agent: {{id: press-shop-01}}
central: {{url: http://127.0.0.1:1, token: {TOKEN}, proxy: "http://me:{PROXY}@127.0.0.1:2"}}
secrets: {{plc: {PASSWORD}}}
connections:
  - name: press1
    driver: modbus
    transport: {{host: 127.0.0.1, port: 1}}
    groups: [{{name: fast, interval: 1s, tags: [{{name: "t[00..29]", address: "holding:0..29", unit: 도}}]}}]
"""
    )
    return compile_file(path)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "buffer.db")) as db:
        db.execute("CREATE TABLE schema(hash TEXT PRIMARY KEY, body BLOB NOT NULL)")
    return tmp_path / "buffer.db"


@pytest.fixture
def ring() -> LogRing:
    ring = LogRing()
    ring.setFormatter(logging.Formatter('{"event": "%(message)s", "level": "info"}'))
    return ring


@pytest.fixture
def inspector(running: Compiled, database: Path, ring: LogRing) -> Inspector:
    return Inspector(no_status, no_connections(), lambda: running, database, ring)


@pytest.mark.parametrize("whole", [False, True])
async def test_the_config_is_yaml_without_a_secret(inspector: Inspector, whole: bool) -> None:
    text = "".join([piece async for piece in inspector.config_text(whole=whole)])
    assert not any(secret in text for secret in (TOKEN, PASSWORD, PROXY))
    document = yaml.safe_load(text)
    assert document["agent"]["id"] == "press-shop-01"
    assert document["central"]["token"] == document["secrets"]["plc"] == "***"
    tags = document["connections"][0]["groups"][0]["tags"]
    assert tags[1] == {"name": "t01", "address": "holding:1", "unit": "도"}
    assert len(tags) == (30 if whole else 20)
    assert ("10 tags more" in text) is not whole


def test_a_secret_that_was_logged_all_the_same_is_not_shown(inspector: Inspector, ring: LogRing) -> None:
    for text in (f"token {TOKEN} refused", "http://me:word@host is away", "plain"):
        ring.handle(logging.LogRecord("test", logging.INFO, "", 0, text, None, None))
    page = inspector.log(0, "info", 10)
    assert [line["event"] for line in page.lines] == ["token *** refused", "http://***@host is away", "plain"]
    assert page.next == 3


def test_a_secret_is_found_however_json_writes_it(running: Compiled, database: Path, ring: LogRing) -> None:
    quoted = 'say "\\friend'
    wordy = replace(running, secrets=frozenset({quoted, "271828", "id", "1"}))
    shown = Inspector(no_status, no_connections(), lambda: wordy, database, ring)
    ring.setFormatter(logging.Formatter("%(message)s"))
    line = {
        "event": f"sent {quoted}",
        "rest": [quoted, 271828, 1, True, {"id": "id"}],
        "far": "http://u:p@ss@host/",
    }
    ring.handle(logging.LogRecord("test", logging.INFO, "", 0, json.dumps(line), None, None))
    (found,) = shown.log(0, "info", 10).lines
    assert found == {
        "id": 1,
        "event": "sent ***",
        "rest": ["***", "***", 1, True, {"id": "***"}],
        "far": "http://***@host/",
    }


async def test_trends_wait_for_one_another_and_not_too_many(inspector: Inspector) -> None:
    asked = [asyncio.ensure_future(inspector.trend(QUERY)) for _ in range(MAX_WAITING + 3)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in found].count(NoTrend) == MAX_WAITING + 1
    assert [type(each) for each in found].count(RetryLater) == 2
    with pytest.raises(NoTrend):
        await inspector.trend(QUERY)


async def test_downloads_wait_for_one_another_and_not_too_many(inspector: Inspector) -> None:
    async def download() -> str:
        return "".join([piece async for piece in inspector.config_text(whole=True)])

    asked = [asyncio.ensure_future(download()) for _ in range(MAX_WAITING + 3)]
    done, waiting = await asyncio.wait(asked, return_when=asyncio.FIRST_EXCEPTION)
    assert [type(each.exception()) for each in done if each.exception()] == [RetryLater] * 2
    for each in waiting:
        each.cancel()
    await asyncio.wait(asked)
    assert "press-shop-01" in await download()


async def test_nothing_runs_and_nothing_is_shown(inspector: Inspector) -> None:
    assert (await inspector.values(ValueQuery())).total == 0
