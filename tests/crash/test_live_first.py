"""After an outage of the centre the newest value is there first, and the backlog follows complete.

The default outage lasts 8 s; HOLDFAST_OUTAGE_SECONDS=600 is the long form. Spec «Live first».
"""

import os
import time
from pathlib import Path

import pytest

from tests.crash.rig import Rig, until

OUTAGE_SECONDS = float(os.environ.get("HOLDFAST_OUTAGE_SECONDS", "8"))
FRESH_MS = 3000


@pytest.mark.timeout(OUTAGE_SECONDS + 200)
async def test_the_newest_value_is_there_within_5_s_of_the_centres_return(tmp_path: Path) -> None:
    async with Rig(tmp_path, connections=2, tags=100) as rig:
        await rig.start_centre()
        await rig.start_agent()

        async def something_arrived() -> bool:
            return (await rig.api.account()).samples > 0

        await until(something_arrived, 30)
        await rig.centre.kill()
        begin = time.monotonic()

        async def outage_is_over() -> bool:
            return time.monotonic() - begin >= OUTAGE_SECONDS

        await until(outage_is_over, OUTAGE_SECONDS + 5)
        await rig.start_centre()

        async def newest_is_there() -> bool:
            now = time.time_ns() // 1_000_000
            points = await rig.api.points("plc00", "t0", now - FRESH_MS, now)
            return any(quality == "good" for _, _, quality in points)

        waited = await until(newest_is_there, 5.0)
        await rig.agent.stop()
        account = await rig.settled(120)
    found = await rig.judged()
    print(f"\nnewest after {waited:.2f} s; {found.summary()}")
    assert (account.gaps, account.duplicates, account.lost, account.pending) == (0, 0, 0, 0)
    assert found.holes() == []
    assert (found.wrong_rows, found.bad_frames, found.doubled) == (0, 0, 0)
    assert found.framed >= 0.9 * OUTAGE_SECONDS * 2 * 100
