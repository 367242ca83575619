"""kill -9 of a buffer at every point of a commit and at any moment: no frame is lost, none comes twice.

CI runs a short form; `N=10000 pytest tests/crash/test_agent_buffer_kill.py` is a release's.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.agent_buffer_lives import BIRTHS, POINTS
from tests.crash.trap import ANY_MOMENT

ROOT = Path(__file__).parents[2]
LIVES = int(os.environ.get("N", "108"))


@pytest.mark.timeout(60 if LIVES <= 108 else 0)
def test_no_kill_loses_a_frame_or_stores_one_twice(tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    lives = subprocess.run(
        [sys.executable, "-m", "tests.crash.agent_buffer_lives", str(LIVES), str(seed), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert lives.returncode == 0, f"seed {seed}: {lives.stderr[-4000:]}"
    counted = json.loads(lives.stdout.splitlines()[-1])  # before it, what the buffer logs where a disk fails
    print(counted)
    # The traps are where the code goes: each point was reached, and most lives ended there.
    points = {f"{what} {when}" for what, when, _ in (*BIRTHS, *POINTS)}
    assert counted["killed"].keys() >= {*points, ANY_MOMENT}
    assert counted["frames"] > 20 * LIVES
    assert counted["counted"] > 2 * LIVES
