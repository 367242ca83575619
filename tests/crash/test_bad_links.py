"""Links that break in every way a proxy can think of, and peers that freeze: polling is not disturbed, and
what was held back arrives whole once the link is well.

Between agent and centre each fault lasts a while under load, alone. The agent's own figures say whether a
cycle was late; the judge reads what arrived. `MODE=stall pytest …` runs one fault alone. Half a link to a
PLC: `tests/contract/test_modbus_faulty_replies.py` has the replies, this has the links.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from edge_agent.contracts.status import AgentStatus
from tests.crash.fault_proxy import HEALTHY, Fault, Mode
from tests.crash.rig import Rig, Setup, until
from tests.crash.soak import SLOW_TICKS

FAULTS = {
    "reset": Fault(Mode.RESET),
    "refuse": Fault(Mode.REFUSE),
    "stall": Fault(Mode.STALL),
    "lost_answer": Fault(Mode.LOST_ANSWER),
    "half_to_server": Fault(Mode.HALF_TO_SERVER),
    "half_to_client": Fault(Mode.HALF_TO_CLIENT),
    "delay": Fault(delay_seconds=0.3),
    "cap": Fault(bytes_a_second=3000),
}
FROZEN = "frozen"
ONLY = os.environ.get("MODE")
NAMES = [name for name in (*FAULTS, FROZEN) if ONLY in (None, name)]
# Faults in which nothing is acknowledged, however long they last.
DEAF = ("reset", "refuse", "stall", "lost_answer", "half_to_client", FROZEN)
pytestmark = pytest.mark.alone
BAD_SECONDS = float(os.environ.get("BAD_SECONDS", "1.6"))
LIVE_SECONDS = 5.0
# A cycle that begins this late was disturbed; schedulers of busy machines need some of it.
LATE_MS = 500.0
CONNECTIONS, TAGS, INTERVAL_SECONDS = 3, 200, 0.25
FRESH_MS = 1500  # younger than any fault lasts


def _rig(directory: Path) -> Rig:
    setup = Setup(proxied=True, buffer={"flush_interval": "250ms"})
    return Rig(directory, CONNECTIONS, TAGS, f"{1000 * INTERVAL_SECONDS:.0f}ms", setup)


@contextlib.asynccontextmanager
async def _fault(rig: Rig, name: str) -> AsyncIterator[None]:
    """To the centre, for as long as the block runs."""
    if name == FROZEN:
        os.kill(rig.centre.pid, signal.SIGSTOP)
    else:
        await rig.to_centre.set(FAULTS[name])
    try:
        yield
    finally:
        await rig.to_centre.set(HEALTHY)
        if name == FROZEN:
            os.kill(rig.centre.pid, signal.SIGCONT)


def _late(status: AgentStatus) -> int:
    bounds = [*status.lateness.bounds_ms, float("inf")]
    counts = zip(bounds, status.lateness.counts, strict=True)
    return sum(count for bound, count in counts if bound > LATE_MS)


def _read(status: AgentStatus) -> int:
    return sum(entry.read for entry in status.accounting)


def _overruns(status: AgentStatus) -> int:
    return sum(connection.overruns for connection in status.connections)


def _delivered(status: AgentStatus) -> int:
    return sum(sink.delivered_batches for sink in status.sinks)


async def _bear(rig: Rig, name: str) -> None:
    """The fault, and what must hold while it lasts and right after it."""
    async with _fault(rig, name):
        # What is under way when the fault begins may still be answered.
        await asyncio.sleep(0.3)
        before, began = await rig.status(), time.monotonic()
        await asyncio.sleep(BAD_SECONDS)
        during, took = await rig.status(), time.monotonic() - began
    least = CONNECTIONS * TAGS * (took - 1.0) / INTERVAL_SECONDS
    assert _read(during) - _read(before) >= least, f"{name}: polling stood still"
    assert _late(during) == _late(before), f"{name}: cycles began late"
    assert _overruns(during) == _overruns(before), f"{name}: cycles overran"
    if name in DEAF:
        assert _delivered(during) == _delivered(before), f"{name}: something got through, this proves nothing"
    waited = await until(partial(rig.fresh_value, within_ms=FRESH_MS), LIVE_SECONDS)
    print(f"{name}: live {waited:.1f} s after it")


@pytest.mark.timeout(120 + len(NAMES) * (3 * BAD_SECONDS + 10))
async def test_bad_links_to_the_centre_disturb_no_poll_and_lose_nothing(tmp_path: Path) -> None:
    async with _rig(tmp_path) as rig:
        await rig.start_centre()
        await rig.start_agent()
        await until(rig.fresh_value, 30)
        for name in NAMES:
            await _bear(rig, name)
        account = await rig.drained()
        await rig.agent.stop()
        lost_answers = rig.to_centre.lost_answers
    found = await rig.judged()
    print(f"{found.summary()}\n{account}")
    assert (account.gaps, account.duplicates, account.lost, account.pending) == (0, 0, 0, 0)
    assert (found.wrong_rows, found.bad_frames, found.doubled, found.losses) == (0, 0, 0, [])
    assert (found.holes(), found.uncovered()) == ([], [])
    if "lost_answer" in NAMES:
        assert lost_answers > 0
        assert account.redelivered > 0, "an answer was lost, and nothing was sent again"


@pytest.mark.timeout(120)
async def test_a_bad_link_to_one_plc_is_that_plcs_alone(tmp_path: Path) -> None:
    async with _rig(tmp_path) as rig:
        await rig.start_centre()
        await rig.start_agent()
        await until(rig.fresh_value, 30)
        sick, *well = rig.to_plcs
        before, began = await rig.status(), time.monotonic()
        for mode in (Mode.STALL, Mode.RESET, Mode.HALF_TO_SERVER, Mode.HALF_TO_CLIENT, Mode.LOST_ANSWER):
            await sick.set(Fault(mode))
            await asyncio.sleep(BAD_SECONDS / 2)
        during, took = await rig.status(), time.monotonic() - began
        for number in range(1, 1 + len(well)):
            read = [entry.read for each in (before, during) for entry in each.accounting[number : number + 1]]
            assert read[1] - read[0] >= (took - 1.0) / INTERVAL_SECONDS * TAGS
            assert during.connections[number].overruns == before.connections[number].overruns
        await sick.set(HEALTHY)

        async def well_again() -> bool:
            return await rig.fresh_value("plc00", 2000)

        waited = await until(well_again, 20)
        account = await rig.drained()
        await rig.agent.stop()
    found = await rig.judged(SLOW_TICKS)
    print(f"\nwell {waited:.1f} s after the link was; {found.summary()}")
    assert (account.gaps, account.duplicates, account.lost, account.pending) == (0, 0, 0, 0)
    assert (found.wrong_rows, found.doubled, found.losses, found.holes()) == (0, 0, [], [])
    assert found.bad_frames > 0, "a dead link gave no bad quality"
