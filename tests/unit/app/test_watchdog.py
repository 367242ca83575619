import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from edge_agent.app.watchdog import Watchdog, status_line
from edge_agent.contracts.status import SinkReport
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.runtime.notify import Notifier
from edge_agent.runtime.progress import Pulse
from edge_agent.wire.messages import BufferReport


class Systemd:
    """The other end of NOTIFY_SOCKET, and a watchdog of 30 s that talks to it."""

    def __init__(self, directory: Path) -> None:
        self.clock = ManualClock()
        self.line = "3 connections"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(str(directory / "notify"))
        self.notifier = Notifier(str(directory / "notify"))
        self.watchdog = Watchdog(self.notifier, 30.0, self.clock, lambda: self.line)

    def heard(self) -> list[str]:
        found: list[str] = []
        while True:
            try:
                found.append(self.socket.recv(1_000).decode())
            except BlockingIOError:
                return found

    async def after(self, seconds: float) -> list[str]:
        await self.clock.advance(seconds)
        return self.heard()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    peer = Systemd(tmp_path)
    yield peer
    peer.notifier.close()
    peer.socket.close()


async def _end(task: asyncio.Future[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_watchdog_is_fed_every_third_of_its_time(systemd: Systemd) -> None:
    feeding = asyncio.ensure_future(systemd.watchdog.run())
    assert await systemd.after(0) == ["WATCHDOG=1"]
    assert (await systemd.after(60)).count("WATCHDOG=1") == 6
    await _end(feeding)


async def test_a_stalled_part_starves_it_and_is_named_once(systemd: Systemd) -> None:
    pulse = Pulse()
    systemd.watchdog.watch("writer", pulse, 60)
    feeding = asyncio.ensure_future(systemd.watchdog.run())
    with structlog.testing.capture_logs() as lines:
        assert (await systemd.after(60)).count("WATCHDOG=1") == 7
        heard = await systemd.after(300)
        assert heard == ["STATUS=no progress: writer"]
        pulse.beat()
        assert await systemd.after(10) == ["WATCHDOG=1", "STATUS=3 connections"]
    assert [(line["event"], line["component"]) for line in lines] == [
        ("a part makes no progress: the watchdog is not fed", "writer"),
        ("a part makes progress again", "writer"),
    ]
    await _end(feeding)


async def test_the_status_line_is_told_when_it_changes(systemd: Systemd) -> None:
    feeding = asyncio.ensure_future(systemd.watchdog.run())
    assert (await systemd.after(30)).count("STATUS=3 connections") == 1
    systemd.line = "3 connections, 1 down"
    assert (await systemd.after(30)).count("STATUS=3 connections, 1 down") == 1
    await _end(feeding)


async def test_a_long_start_asks_for_time_again_and_again_and_not_for_ever(systemd: Systemd) -> None:
    starting = asyncio.ensure_future(systemd.watchdog.during_start())
    assert await systemd.after(19) == ["EXTEND_TIMEOUT_USEC=20000000"] * 4
    await systemd.after(1_800)
    assert starting.done()
    assert await systemd.after(3_600) == []


def test_the_line_says_what_matters() -> None:
    sinks = [SinkReport(name="central", state="ok")]
    buffer = BufferReport(pending_bytes=4, quota_bytes=100)
    assert (
        status_line([True] * 9 + [False] * 3, buffer, sinks)
        == "12 connections, 3 down; buffer 4 %; central ok"
    )
    assert status_line([True], BufferReport(), []) == "1 connection"
