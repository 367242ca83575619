"""Workers of hooks, and their agent, killed and frozen at random moments: every frame once and in order.

What a frame is says the frame itself (`hook_judge`): as the hook made it, or as it was polled and marked
`bad_hook`. What the hook counts in its state has no hole and no repeat over all of it.
"""

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from random import Random

import psutil
import pytest

from tests.crash.forms import size, some
from tests.crash.hook_judge import Run, Verdict, judge
from tests.crash.hooked_site import FLUSH_MS, SICK, HookedSite, counted, script, send, workers
from tests.crash.rig import until
from tests.crash.watched import Watched

SEED = int(os.environ.get("SEED", str(int.from_bytes(os.urandom(3), "big"))))
LIVES = min(int(os.environ.get("N", "2")), 20)
KILLS_A_LIFE = size(40, 5)


def _life(directory: Path, number: int, arguments: Sequence[str]) -> Watched:
    """One of several agents that run one after the other: each tells a service manager of its own."""
    place = directory / f"life-{number}"
    place.mkdir()
    return Watched(place, arguments)


async def _stopped(site: HookedSite, agent: Watched) -> dict[Run, int]:
    """Ends an agent in order; what it had promised right before."""
    promised = await asyncio.to_thread(site.promises)
    agent.send(signal.SIGTERM)
    assert (await agent.ended())[0] == 0
    return promised


def _assert_whole(verdict: Verdict, promised: dict[Run, int], said: str = "") -> None:
    wrong = [*verdict.wrong, *verdict.short(promised)]
    assert wrong == [], f"hooks lost, doubled or spoiled something: {wrong[:5]} of {len(wrong)}; {said}"


@pytest.mark.timeout(60 + LIVES * KILLS_A_LIFE)
async def test_kills_of_workers_and_of_their_agent_lose_nothing_and_hook_nothing_twice(
    tmp_path: Path, plc: int
) -> None:
    random = Random(SEED)
    print(f"\nseed {SEED}")
    site = HookedSite(tmp_path, plc, ["plc", "other"], [counted("plc"), counted("other")])
    promised: dict[Run, int] = {}
    kills = 0
    for life in range(LIVES):
        async with _life(tmp_path, life, site.arguments) as agent:
            await agent.ready()
            for _ in range(KILLS_A_LIFE):
                await asyncio.sleep(random.uniform(0, 2 * FLUSH_MS / 1000))
                for pid in workers(agent.process.pid):
                    if random.random() < 0.5:
                        send(pid, random.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP]))
                        kills += 1
            if life < LIVES - 1:
                promised |= await asyncio.to_thread(site.promises)
                agent.process.kill()
                await agent.ended()
            else:
                promised |= await _stopped(site, agent)
    verdict = await asyncio.to_thread(judge, site.database)
    site.clear()
    print(f"{kills} kills of workers; {dict(verdict.met)}")
    _assert_whole(verdict, promised, f"seed {SEED}")
    assert kills > 0
    for connection in ("plc", "other"):
        assert verdict.met[f"{connection} hooked"] > LIVES
    assert verdict.met["plc marked"] + verdict.met["other marked"] > 0


# Where the agent dies: (what, when, how often it happens at most before that).
POINTS = (
    ("edge_agent.hooks.process:WorkerProcess.call", "before", 20),
    ("edge_agent.hooks.process:WorkerProcess.call", "after", 20),
    ("INSERT INTO batch", "after", 9),
    ("DELETE FROM state", "after", 9),
    ("INSERT INTO state", "after", 9),
    ("COMMIT", "before", 9),
    ("COMMIT", "after", 9),
)


@pytest.mark.timeout(30 * len(POINTS))
async def test_wherever_the_agent_dies_a_state_is_kept_with_its_batch_and_only_with_it(
    tmp_path: Path, plc: int
) -> None:
    random = Random(SEED)
    site = HookedSite(tmp_path, plc, ["plc"], [counted("plc")])
    for life, (what, when, most) in enumerate(some(POINTS, 2, random)):
        trap = ["tests.crash.trap", what, when, str(random.randint(1, most)), *site.arguments]
        async with _life(tmp_path, life, trap) as agent:
            code, _ = await agent.ended(30)
            assert code == -9, f"{when} {what}: ended with {code}, and not in its trap; seed {SEED}"
    async with Watched(tmp_path, site.arguments) as agent:
        await agent.ready()

        async def hooks_again() -> bool:
            verdict = await asyncio.to_thread(judge, site.database)
            return verdict.met["plc hooked"] > before

        before = (await asyncio.to_thread(judge, site.database)).met["plc hooked"]
        await until(hooks_again, 20)
        promised = await _stopped(site, agent)
    verdict = await asyncio.to_thread(judge, site.database)
    site.clear()
    _assert_whole(verdict, promised, f"seed {SEED}")


@pytest.mark.alone
@pytest.mark.timeout(size(900, 60))
async def test_scripts_that_hang_hoard_and_print_cost_a_healthy_one_and_the_daemon_nothing(
    tmp_path: Path, plc: int
) -> None:
    scripts = [*(script(name, source) for name, source in SICK.items()), counted("well")]
    site = HookedSite(tmp_path, plc, [*SICK, "well"], scripts)

    def kills() -> int:
        hooks = site.status().hooks
        assert hooks is not None
        return min(hook.kills for hook in hooks.hooks if hook.name in SICK)

    async def killed(often: int) -> None:
        async def enough() -> bool:
            return await asyncio.to_thread(kills) >= often

        await until(enough, 10 + 3 * often)

    async with Watched(tmp_path, site.arguments) as agent:
        await agent.ready()
        daemon = psutil.Process(agent.process.pid)
        await killed(2)
        before, late = daemon.memory_full_info().uss, (await asyncio.to_thread(site.status)).lateness
        await killed(size(200, 4))
        grown = daemon.memory_full_info().uss - before
        status = await asyncio.to_thread(site.status)
        await _stopped(site, agent)
    verdict = await asyncio.to_thread(judge, site.database)
    site.clear()
    assert status.hooks is not None
    (well,) = (hook for hook in status.hooks.hooks if hook.name == "well")
    counts = [new - old for new, old in zip(status.lateness.counts, late.counts, strict=True)]
    print(f"{grown >> 10} KiB grown; cycles by lateness {counts}, bounds {status.lateness.bounds_ms}")
    assert (well.failures, well.kills, well.bad_samples) == (0, 0, 0)
    assert verdict.met["well marked"] == 0
    assert verdict.met["well hooked"] > 10
    assert grown < 3 << 20
    # A poll that waited for a hook would be late in each flush with a hang: one cycle out of twelve.
    assert sum(counts[6:]) < 0.05 * sum(counts)
