"""Agent and centre killed with SIGKILL in turn under load: nothing lost, nothing twice, every value right.

Real processes: a simulator, a centre, an agent. Right before each kill of the agent the test notes what
the agent had framed: from then on all of it must arrive. The default lasts half a minute;
`make crash FOR=300` is the long form. DESIGN §3, invariants 2, 3 and 4; thingsboard-gateway#2157.
"""

import os
from pathlib import Path

import pytest

from tests.crash.rig import Rig

SECONDS = float(os.environ.get("HOLDFAST_CRASH_SECONDS", "30"))
KILL_EVERY_SECONDS = 10.0 if SECONDS >= 60 else 6.0
CONNECTIONS, TAGS = 10, 1000


@pytest.mark.timeout(SECONDS + 120)
async def test_kills_of_agent_and_centre_in_turn_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    async with Rig(tmp_path, CONNECTIONS, TAGS) as rig:
        await rig.start_centre()
        await rig.start_agent()
        promised = await rig.run_with_kills(SECONDS, KILL_EVERY_SECONDS)
        await rig.agent.stop()
        account = await rig.settled()
    found = await rig.judged()
    print(f"\n{found.summary()}\n{account}")
    assert (account.gaps, account.duplicates, account.lost, account.pending) == (0, 0, 0, 0)
    assert (found.wrong_rows, found.bad_frames, found.doubled) == (0, 0, 0)
    assert found.holes() == []
    assert found.read == found.suppressed + found.framed
    assert found.framed == account.samples
    assert {run for run in promised if found.samples.get(run, 0) < promised[run]} == set()
    # Starts cost seconds where the machine is busy: this only says that there was a load to speak of.
    assert found.framed >= 0.4 * SECONDS * CONNECTIONS * TAGS
