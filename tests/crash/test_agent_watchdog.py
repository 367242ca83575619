"""The watchdog is fed while poller, writer and uploader make progress, and by nothing else.

Real processes with a real NOTIFY_SOCKET. What must stand still is made to in a copy of the package, in
which parts may be quiet for seconds and not for minutes.
"""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.crash.watched import BLOCK, TRIGGERED, Site, Watched, edited

WATCHDOG_SECONDS = 3.0
# What a loaded machine may add to a feed's rhythm of one second.
RHYTHM_SECONDS = 2.5

_SOON = {
    ("edge_agent/app/watchdog.py", "WRITER_SECONDS: Final = 60.0"): "WRITER_SECONDS: Final = 2.0",
    ("edge_agent/app/connections.py", "QUIET_SECONDS: Final = 60.0"): "QUIET_SECONDS: Final = 2.0",
    ("edge_agent/runtime/supervise.py", "quiet_seconds: float = 60.0"): "quiet_seconds: float = 2.0",
    ("edge_agent/uplink/uploader.py", "TURN_SECONDS: Final = 600.0"): "TURN_SECONDS: Final = 2.0",
    ("edge_agent/uplink/uploader.py", "IDLE_SECONDS: Final = 30.0"): "IDLE_SECONDS: Final = 1.0",
}
_HANG_THREAD = {
    ("edge_agent/buffer/file.py", '    db.execute("BEGIN IMMEDIATE")\n'): f"""\
    if {TRIGGERED}:
        {BLOCK}
    db.execute("BEGIN IMMEDIATE")
"""
}
_BLOCK_LOOP = {
    ("edge_agent/app/clockwatch.py", "            await self._clock.sleep(LOOK_SECONDS)\n"): f"""\
            await self._clock.sleep(0.1)
            if {TRIGGERED}:
                {BLOCK}
"""
}
_STICK_LANE = {
    ("edge_agent/uplink/uploader.py", "            await self._reach.until_knock()\n"): f"""\
            if {TRIGGERED}:
                import asyncio
                await asyncio.Event().wait()
            await self._reach.until_knock()
"""
}
# No call of the driver, which would be interrupted, but the loop round it.
_STICK_POLLERS = {
    ("edge_agent/pipeline/poller.py", "                except NotConnected as error:\n"): f"""\
                except NotConnected as error:
                    if {TRIGGERED}:
                        await asyncio.Event().wait()
"""
}


@pytest.fixture
def site(tmp_path: Path, plc: int) -> Iterator[Site]:
    """An agent whose centre is away: its lanes knock."""
    place = Site(tmp_path, plc, central={"url": "http://127.0.0.1:9", "token": "none"})
    yield place
    place.clear()


def _gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


async def _seconds_fed(agent: Watched, seconds: float) -> list[float]:
    since = time.monotonic()
    await asyncio.sleep(seconds)
    return agent.times("WATCHDOG=1", since)


async def test_it_is_fed_in_rhythm_with_plc_and_centre_away(tmp_path: Path) -> None:
    """An outage is no stall: whoever tries again makes progress."""
    site = Site(tmp_path, 9, central={"url": "http://127.0.0.1:9", "token": "none"})
    soon = edited(tmp_path / "package", _SOON)
    async with Watched(tmp_path, site.arguments, watchdog_seconds=WATCHDOG_SECONDS, package=soon) as agent:
        await agent.ready()
        fed = await _seconds_fed(agent, 12)
        assert len(fed) >= 6
        assert max(_gaps(fed)) < RHYTHM_SECONDS
        assert agent.times("STATUS=1 connection, 1 down; buffer 0 %; central unreachable")
    site.clear()


@pytest.mark.parametrize(
    ("fault", "names"),
    [
        (_HANG_THREAD, ["writer"]),
        (_STICK_LANE, ["upload live"]),
    ],
    ids=["a commit hangs in its thread", "a lane is stuck"],
)
async def test_it_is_not_fed_once_a_part_stands_still_and_says_which(
    tmp_path: Path, site: Site, fault: dict[tuple[str, str], str], names: list[str]
) -> None:
    faulty = edited(tmp_path / "package", _SOON | fault)
    async with Watched(tmp_path, site.arguments, watchdog_seconds=WATCHDOG_SECONDS, package=faulty) as agent:
        await agent.ready()
        assert len(await _seconds_fed(agent, 6)) >= 3, "before anything hangs"
        agent.trigger.touch()
        await agent.until(
            lambda: agent.logged("a part makes no progress: the watchdog is not fed"),
            what="the line about the stall",
        )
        assert await _seconds_fed(agent, 2 * WATCHDOG_SECONDS) == []
        lines = agent.logged("a part makes no progress: the watchdog is not fed")
        assert [line["component"] for line in lines] == names
        assert agent.times(f"STATUS=no progress: {names[0]}")


async def test_it_is_not_fed_once_all_connections_stand_still(tmp_path: Path) -> None:
    """Nobody answers at the port, so that the loop turns; then it does not."""
    site = Site(tmp_path, 9)
    faulty = edited(tmp_path / "package", _SOON | _STICK_POLLERS)
    async with Watched(tmp_path, site.arguments, watchdog_seconds=WATCHDOG_SECONDS, package=faulty) as agent:
        await agent.ready()
        assert len(await _seconds_fed(agent, 6)) >= 3, "before anything hangs"
        agent.trigger.touch()
        await agent.until(lambda: agent.times("STATUS=no progress: connection plc"), what="the stall")
        assert await _seconds_fed(agent, 2 * WATCHDOG_SECONDS) == []
    site.clear()


async def test_it_is_not_fed_while_the_event_loop_is_blocked(tmp_path: Path, site: Site) -> None:
    blocked = edited(tmp_path / "package", _BLOCK_LOOP)
    async with Watched(tmp_path, site.arguments, watchdog_seconds=WATCHDOG_SECONDS, package=blocked) as agent:
        await agent.ready()
        assert await _seconds_fed(agent, 4)
        agent.trigger.touch()
        await asyncio.sleep(1)
        assert await _seconds_fed(agent, 2 * WATCHDOG_SECONDS) == []


async def test_a_process_that_was_frozen_feeds_again_at_once(tmp_path: Path, site: Site) -> None:
    """SIGSTOP for longer than every part may be quiet; the machine's sleep looks the same from inside."""
    soon = edited(tmp_path / "package", _SOON)
    async with Watched(tmp_path, site.arguments, watchdog_seconds=WATCHDOG_SECONDS, package=soon) as agent:
        await agent.ready()
        assert await _seconds_fed(agent, 4)
        os.kill(agent.process.pid, signal.SIGSTOP)
        await asyncio.sleep(0.5)
        assert await _seconds_fed(agent, 10) == []
        os.kill(agent.process.pid, signal.SIGCONT)
        fed = await _seconds_fed(agent, 8)
        assert len(fed) >= 4
        assert max(_gaps(fed)) < RHYTHM_SECONDS
        assert not agent.logged("a part makes no progress: the watchdog is not fed")


async def test_a_long_start_asks_for_more_time_until_it_is_ready(tmp_path: Path, site: Site) -> None:
    slow = edited(
        tmp_path / "package",
        {
            ("edge_agent/buffer/store.py", "        self._ring.open(self.identity.device)\n"): """\
        self._ring.open(self.identity.device)
        await asyncio.to_thread(lambda: __import__("time").sleep(8))
"""
        },
    )
    async with Watched(tmp_path, site.arguments, watchdog_seconds=WATCHDOG_SECONDS, package=slow) as agent:
        await agent.ready()
        (ready,) = agent.times("READY=1")
        asked = agent.times("EXTEND_TIMEOUT_USEC=20000000")
        assert len(asked) >= 2
        assert max(asked) < ready
        await agent.until(lambda: len(agent.times("WATCHDOG=1", ready)) >= 3)
        assert len(agent.times("EXTEND_TIMEOUT_USEC=")) == len(asked), "it is ready, and asks no more"
