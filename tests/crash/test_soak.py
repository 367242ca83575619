"""A long time over a link that breaks at random: memory and file handles stay flat, and nothing is lost.

`make soak FOR=3600 SEED=…` is the long form, and the only one that can say anything about memory: in CI's
half minute a process is still warming up, so that the short form checks the mechanics, the account, and
that no handle leaks.
"""

import os
from pathlib import Path

import pytest

from tests.crash.soak import Sample, Series, soak

SECONDS = float(os.environ.get("HOLDFAST_SOAK_SECONDS", "10"))
SEED = int(os.environ.get("SEED", str(int.from_bytes(os.urandom(3), "big"))))
OUT = os.environ.get("HOLDFAST_SOAK_OUT")
EVERY_SECONDS = 10.0 if SECONDS >= 600 else 1.0
LONG_SECONDS = 3600
MOST_MIB_AN_HOUR = 1.0
# A connection to each PLC and the pool of eight to the centre, and as many that are being replaced.
MOST_CONNECTIONS = 2 * (4 + 8)


@pytest.mark.timeout(SECONDS + 240)
async def test_memory_and_handles_stay_flat_over_a_link_that_breaks(tmp_path: Path) -> None:
    print(f"\nseed {SEED}")
    found = await soak(tmp_path, SECONDS, EVERY_SECONDS, SEED, Path(OUT) if OUT else tmp_path / "soak.jsonl")
    print(f"agent: {found.agent.summary()}\ncentre: {found.centre.summary()}\n{found.judgement.summary()}")
    seed = f"seed {SEED}"
    assert (found.gaps, found.duplicates, found.pending) == (0, 0, 0), seed
    judged = found.judgement
    assert (judged.wrong_rows, judged.doubled, judged.losses) == (0, 0, []), seed
    assert (judged.holes(), judged.uncovered()) == ([], []), seed
    assert judged.framed > 0.5 * SECONDS * 2 * 1000
    for series in (found.agent, found.centre):
        first, last, most = series.handles
        assert last <= first + (0 if SECONDS >= LONG_SECONDS else MOST_CONNECTIONS), seed
        assert most <= first + MOST_CONNECTIONS, seed
    if SECONDS >= LONG_SECONDS:
        assert found.agent.slope_mib_an_hour <= MOST_MIB_AN_HOUR, seed
        cached = max(0.0, found.centre.database_mib_an_hour)
        assert found.centre.slope_mib_an_hour <= MOST_MIB_AN_HOUR + cached, seed


def _series(handles: list[int], anonymous_mib: list[float]) -> Series:
    every = 60.0
    return Series(
        [
            Sample("agent", every * at, 0, 0, round(mib * (1 << 20)), count, 0)
            for at, (count, mib) in enumerate(zip(handles, anonymous_mib, strict=True))
        ],
        "agent",
    )


def test_a_leak_shows_in_the_slope_and_noise_and_the_warm_up_do_not() -> None:
    warm_up = [20.0 + at for at in range(16)]
    noise = [0.3 * (at % 3) for at in range(48)]
    flat = _series([30] * 64, warm_up + [40 + each for each in noise])
    leaking = _series([30] * 64, warm_up + [40 + each + 2 * at / 60 for at, each in enumerate(noise)])
    assert abs(flat.slope_mib_an_hour) < 0.2
    assert 1.8 < leaking.slope_mib_an_hour < 2.2


def test_a_leaked_handle_shows_in_the_fewest_and_connections_that_come_and_go_do_not() -> None:
    coming_and_going = _series([30 + at % 4 for at in range(64)], [40.0] * 64)
    leaking = _series([30 + at % 4 + at // 8 for at in range(64)], [40.0] * 64)
    assert coming_and_going.handles[:2] == (30, 30)
    assert leaking.handles[1] > leaking.handles[0] + 2
