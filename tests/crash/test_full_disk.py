"""A disk that is full, that fails, that goes read-only and that vanishes, under a real agent with load.

The agent lives and polls, its status says what is wrong, what could not be kept is in exact loss records,
and all heals without a hand when the disk is back: polled = stored + lost, to the sample. The centre is
away meanwhile, so that nothing can be delivered to make room.
"""

import asyncio
import contextlib
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from edge_agent.contracts.status import AgentStatus
from tests.crash.fault_proxy import HEALTHY, Fault, Mode
from tests.crash.judge import Judgement, Run
from tests.crash.loop_disk import LoopDisk
from tests.crash.rig import Rig, Setup, until

pytestmark = pytest.mark.root
CONNECTIONS, TAGS = 4, 1000
WELL, FULL, FAILING = "ok", "full", "failing"
FULL_MIB = 4


@contextlib.contextmanager
def small_tmpfs(directory: Path) -> Iterator[Path]:
    directory.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={FULL_MIB}m,mode=0700", "tmpfs", directory], check=True
    )
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


def fill(foreign: Path, most_bytes: int = FULL_MIB << 20) -> None:
    """A file of somebody else's grows by so much, or by all that is left."""
    with contextlib.suppress(OSError), foreign.open("ab", buffering=0) as file:
        for _ in range(most_bytes >> 12):
            file.write(bytes(4096))


def _state(rig: Rig, *states: str) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        return (await rig.status()).buffer.state in states

    return is_so


async def _polls_on(rig: Rig, interval_seconds: float, seconds: float) -> AgentStatus:
    """Watches for so long that the agent reads on in time; its status at the end."""
    before = await rig.status()
    await asyncio.sleep(seconds)
    after = await rig.status()
    for old, new in zip(before.accounting, after.accounting, strict=True):
        assert new.read - old.read >= 0.5 * TAGS * seconds / interval_seconds, "polling stood still"
    return after


def _promised(status: AgentStatus) -> dict[Run, int]:
    return {(status.run, entry.connection): entry.framed for entry in status.accounting}


def assert_all_is_told(found: Judgement, status: AgentStatus) -> None:
    """Every frame that was made is at the centre or in one exact record, and none is in both."""
    assert found.doubled == 0
    assert (found.holes(), found.uncovered(), found.twice_told()) == ([], [], [])
    assert [loss for loss in found.losses if not loss.exact] == []
    assert found.short(_promised(status)) == {}
    lost_numbers, lost = found.lost_numbers(), found.lost_samples()
    for run in _promised(status):
        last = max(pairs[-1][1] for pairs in (found.numbers[run], lost_numbers.get(run, [])) if pairs)
        assert found.samples[run] + lost.get(run, 0) == last * TAGS


@pytest.mark.timeout(180)
@pytest.mark.parametrize("on_full", ["drop_oldest", "drop_newest"])
async def test_a_full_disk_of_4_mib_loses_what_it_must_and_tells_every_sample(
    tmp_path: Path, on_full: str
) -> None:
    buffer = {"flush_interval": "200ms", "on_full": on_full, "min_free_bytes": "0MiB"}
    with small_tmpfs(tmp_path / "disk") as disk:
        foreign = disk / "foreign"
        setup = Setup(proxied=True, noise=True, agent_data=disk, buffer=buffer)
        async with Rig(tmp_path, CONNECTIONS, TAGS, "100ms", setup) as rig:
            await asyncio.to_thread(fill, foreign, (FULL_MIB << 20) * 5 // 8)
            await rig.start_centre()
            await rig.start_agent()
            await until(rig.fresh_value, 30)
            await rig.to_centre.set(Fault(Mode.REFUSE))
            await until(_state(rig, FULL, FAILING), 60)
            await asyncio.to_thread(fill, foreign)
            full = await _polls_on(rig, 0.1, 3.0)
            assert full.buffer.state != WELL
            foreign.unlink()

            async def commits_again() -> bool:
                buffer = (await rig.status()).buffer
                return not buffer.error and buffer.uncommitted_age_seconds < 2 and buffer.commits > 0

            waited = await until(commits_again, 15)
            await rig.to_centre.set(HEALTHY)
            await rig.drained()
            status = await _polls_on(rig, 0.1, 1.0)
            account = await rig.finished()
        found = await rig.judged()
    lost = sum(found.lost_samples().values())
    print(f"\n{on_full}: {full.buffer.state}, {full.buffer.error}; back after {waited:.1f} s; lost {lost}")
    print(f"{found.summary()}\n{account}")
    assert (account.gaps, account.duplicates) == (0, 0)
    assert lost > 0, "nothing was lost: the disk was not full under this load"
    assert_all_is_told(found, status)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("fault", ["eio", "vanished"])
async def test_a_disk_that_fails_and_comes_back_loses_nothing(tmp_path: Path, fault: str) -> None:
    """Frames wait in memory meanwhile. eio: the device ends early, until ext4 gives up and is read-only."""
    with LoopDisk(size_mib=16, journal_mib=1) as disk:
        data = disk.path / "data"
        data.mkdir()
        setup = Setup(
            proxied=True, agent_data=data, buffer={"flush_interval": "200ms", "min_free_bytes": "0MiB"}
        )
        async with Rig(tmp_path, CONNECTIONS, TAGS, "500ms", setup) as rig:
            await rig.start_centre()
            await rig.start_agent()
            await until(rig.fresh_value, 30)
            await rig.to_centre.set(Fault(Mode.REFUSE))
            if fault == "eio":
                disk.limit(1 << 20)
            else:
                disk.vanish()
            await until(_state(rig, FAILING), 30)
            bad = await _polls_on(rig, 0.5, 2.0)
            assert bad.buffer.state == FAILING
            assert bad.buffer.error
            assert bad.buffer.uncommitted_frames > 0
            if fault == "eio":
                disk.limit(0)
                disk.vanish()
                await asyncio.to_thread(disk.come_back_repaired)
            else:
                await asyncio.to_thread(disk.come_back)
            waited = await until(_state(rig, WELL), 30)
            await rig.to_centre.set(HEALTHY)
            await rig.drained()
            status = await rig.status()
            account = await rig.finished()
        found = await rig.judged()
    print(f"\n{fault}: {bad.buffer.error}; back after {waited:.1f} s\n{found.summary()}\n{account}")
    assert (account.gaps, account.duplicates, account.lost) == (0, 0, 0)
    assert found.losses == []
    assert found.wrong_rows == 0
    assert_all_is_told(found, status)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", ["full", "read-only", "read-only and empty"])
async def test_an_agent_that_starts_on_a_disk_that_takes_nothing_collects_at_once(
    tmp_path: Path, fault: str
) -> None:
    """A crash loop on a full disk would be the end of all data. What was polled arrives when the disk heals;
    on one that somebody else filled to the last byte the ballast makes room for it at once."""
    with small_tmpfs(tmp_path / "disk") as disk:
        setup = Setup(agent_data=disk, buffer={"flush_interval": "200ms", "min_free_bytes": "0MiB"})
        async with Rig(tmp_path, CONNECTIONS, 100, "500ms", setup) as rig:
            await rig.start_centre()
            if fault != "read-only and empty":
                await rig.start_agent()
                await until(rig.fresh_value, 30)
                await rig.agent.stop()
            if fault == "full":
                await asyncio.to_thread(fill, disk / "foreign")
            else:
                await asyncio.to_thread(_remount, disk, "ro")
            await rig.start_agent()
            await until(rig.agent_answers, 30)
            await until(_state(rig, WELL if fault == "full" else FAILING), 10)
            await until(_reads(rig), 10)
            if fault == "full":
                (disk / "foreign").unlink()
            else:
                await asyncio.to_thread(_remount, disk, "rw")
            await until(_state(rig, WELL), 30)
            account = await rig.finished()
        found = await rig.judged()
    assert (account.gaps, account.duplicates, account.lost) == (0, 0, 0)
    assert found.losses == []


def _remount(directory: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", directory], check=True)


def _reads(rig: Rig) -> Callable[[], Awaitable[bool]]:
    async def reads() -> bool:
        return all(entry.read > 0 for entry in (await rig.status()).accounting)

    return reads
