"""Histories of device, network and centre by seed: every frame is accounted for, and a seed replays.

CI runs a few new seeds each time; `N=1000 SEED=1 pytest tests/crash/test_simulation.py` is the long
form (SEED: the first one). A failure prints the command that replays it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.forms import LONG

ROOT = Path(__file__).parents[2]
SEEDS = int(os.environ.get("N", "3"))
FIRST = int(os.environ.get("SEED") or int.from_bytes(os.urandom(3), "big"))
REPLAYED = (3, 11) if LONG else (3,)


def _simulate(
    *arguments: object, seeds: int = 1, hash_seed: str = "random"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "N": str(seeds), "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(120 if SEEDS <= 4 else 0)
def test_whatever_befalls_them_every_frame_is_accounted_for() -> None:
    ended = _simulate(FIRST, seeds=SEEDS)
    assert ended.returncode == 0, ended.stderr[-4000:]
    assert ended.stdout.count(": ok") == SEEDS or SEEDS == 1
    print(f"seeds {FIRST} to {FIRST + SEEDS - 1}")


@pytest.mark.parametrize("seed", REPLAYED)
def test_a_seed_tells_the_same_history_in_every_process(seed: int) -> None:
    one, other = (_simulate(seed, 15, hash_seed=hash_seed) for hash_seed in ("1", "2"))
    assert one.returncode == 0, one.stderr[-4000:]
    assert one.stdout == other.stdout
    assert one.stdout.count("\n") > 50
    assert one.stdout != _simulate(seed + 1, 15).stdout
