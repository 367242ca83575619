"""The centre's own supervision: workers that fail, the stop in steps, the judge that feeds the watchdog."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from central_sync.exit_codes import ExitCode
from central_sync.notify import Notifier, watchdog_seconds
from central_sync.stopping import Stopping
from central_sync.workers.supervise import pause_seconds
from central_sync.workers.watchdog import Watchdog
from edge_agent.contracts.exit_codes import ExitCode as AgentExitCode
from tests.unit.central.conftest import FakeClock


class Systemd:
    """The other end of NOTIFY_SOCKET, and a watchdog of 30 s that talks to it."""

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(str(directory / "notify"))
        self.notifier = Notifier(str(directory / "notify"))
        self.watchdog = Watchdog(self.notifier, 30.0, self.clock)

    def fed(self, writing: int | None, seconds: float) -> int:
        """How often it is fed within so many seconds of turns, with the writer at this group of jobs."""
        count = 0
        for _ in range(int(seconds // 10)):
            self.clock.advance(10)
            self.watchdog.turn(writing)
            count += self.heard().count("WATCHDOG=1")
        return count

    def heard(self) -> list[str]:
        found: list[str] = []
        while True:
            try:
                found.append(self.socket.recv(1_000).decode())
            except BlockingIOError:
                return found


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    peer = Systemd(tmp_path)
    with peer.notifier:
        yield peer
    peer.socket.close()


def test_an_idle_writer_is_well(systemd: Systemd) -> None:
    assert systemd.fed(None, 3_600) == 360


def test_a_writer_that_hangs_starves_the_watchdog_until_it_goes_on(systemd: Systemd) -> None:
    with structlog.testing.capture_logs() as lines:
        assert systemd.fed(7, 70) == 7
        assert systemd.fed(7, 600) == 0
        assert systemd.fed(8, 70) == 7
    assert [line["event"] for line in lines] == [
        "the writer makes no progress: the watchdog is not fed",
        "the writer makes progress again",
    ]


def test_a_machine_that_slept_within_a_commit_has_not_stalled(systemd: Systemd) -> None:
    assert systemd.fed(7, 20) == 2
    systemd.clock.advance(600)
    assert systemd.fed(7, 20) == 2


def test_a_worker_is_never_given_up_and_is_tried_rarely_in_the_end() -> None:
    assert [pause_seconds(failures) for failures in (1, 2, 3, 4, 5, 6, 500)] == [1, 2, 4, 8, 300, 300, 300]


async def test_a_step_that_hangs_is_cut_off_by_name_and_the_next_one_runs() -> None:
    stopping, done = Stopping(), list[str]()

    async def hang() -> None:
        await asyncio.Event().wait()

    async def finish() -> None:
        done.append("database")

    stopping.note()
    stopping.note()
    with structlog.testing.capture_logs() as lines:
        await stopping.step("requests", hang, 60, 0)
        await stopping.step("database", finish, 60, 0.5)
    assert done == ["database"]
    assert stopping.has_left
    assert [(line["event"], line["step"]) for line in lines] == [
        ("a step of the stop was cut off", "requests"),
        ("a step of the stop is done", "database"),
    ]


async def test_a_step_that_fails_is_named_and_raises_nothing() -> None:
    async def fail() -> None:
        raise OSError("no space")

    with structlog.testing.capture_logs() as lines:
        await Stopping().step("database", fail, 60, 1)
    assert (lines[0]["event"], lines[0]["step"]) == ("a step of the stop failed", "database")


def test_both_programs_have_the_same_exit_codes() -> None:
    assert {code.name: int(code) for code in ExitCode} == {code.name: int(code) for code in AgentExitCode}


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_systemd_says_whether_it_watches(environ: dict[str, str], seconds: float | None) -> None:
    assert watchdog_seconds(environ) == seconds
