"""Power cuts: of the agent's disk, and of the centre's. What was committed is there; what was not is told.

The disk is `loop_disk.LoopDisk`. The machine comes back with another boot id, an empty runtime directory,
and the image as it was when the process was stopped. `make crash N=1000 SEED=…` cuts 100 times.
DESIGN §3, invariants 2 and 4.
"""

import asyncio
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from random import Random

import aiohttp
import pytest

from edge_agent.buffer import segments
from edge_agent.wire.messages import Loss, LossReason
from edge_agent.wire.ranges import intersect
from tests.crash.fault_proxy import HEALTHY, Fault, Mode
from tests.crash.judge import Judgement, broken_promises
from tests.crash.loop_disk import JOURNALS, LoopDisk, stop
from tests.crash.rig import DEVICE, Rig, Setup, until
from tests.crash.senders import Sender, missing, senders_of, start, stored_batches, until_killed

pytestmark = pytest.mark.root
CUTS = int(os.environ.get("N", "50")) // 10
MODES = JOURNALS if CUTS >= 10 else JOURNALS[:1]
SEED = int(os.environ.get("SEED", str(int.from_bytes(os.urandom(3), "big"))))
CONNECTIONS, TAGS = 3, 100
DEVICES = 4


@dataclass(frozen=True)
class Cut:
    """What one run of the agent had when the power went.

    stored: samples that it had committed, as it said right before. ring: (schema, n, samples) of the frames
    that stood in the runtime directory, all that were not committed among them.
    """

    run: str
    stored: int
    framed: int
    ring: tuple[tuple[str, int, int], ...]

    def lost(self, found: Judgement) -> int:
        """Samples of frames that the centre never got."""
        return sum(
            samples
            for schema, n, samples in self.ring
            if not intersect(found.numbers.get((self.run, found.connections[schema]), []), [(n, n)])
        )


def test_a_copy_of_the_image_has_what_was_synced_and_not_what_was_only_written() -> None:
    with LoopDisk() as disk:
        synced, written, grown = (disk.path / name for name in ("synced", "written", "grown"))
        for path in (synced, written, grown):
            path.write_bytes(b"before")
        os.sync()
        for path, begin in ((synced, 0), (written, 0), (grown, 6)):
            with path.open("rb+") as file:
                file.seek(begin)
                file.write(b"behind")
                file.flush()
                if path == synced:
                    os.fsync(file.fileno())
        disk.cut_to(disk.copy())
        assert (synced.read_bytes(), written.read_bytes(), grown.read_bytes()) == (
            b"behind", b"before", b"before",
        )  # fmt: skip


@pytest.mark.timeout(60 + 15 * CUTS)
@pytest.mark.parametrize("journal", MODES)
async def test_a_cut_of_the_agents_disk_takes_no_commit_and_hides_no_loss(
    tmp_path: Path, journal: str
) -> None:
    random = Random(SEED)
    with LoopDisk(journal=journal) as disk:
        setup = Setup(proxied=True, agent_data=disk.path, buffer={"flush_interval": "200ms"})
        async with Rig(tmp_path, CONNECTIONS, TAGS, "50ms", setup) as rig:
            await rig.start_centre()
            cuts = [await _cut(rig, disk, random, tmp_path / "boot") for _ in range(-(-CUTS // len(MODES)))]
            await rig.to_centre.set(HEALTHY)
            _boot(rig, tmp_path / "boot", random)
            await rig.start_agent()
            account = await rig.drained()
            await rig.agent.stop()
            broken = await asyncio.to_thread(broken_promises, rig.edge_database, rig.central_database)
        found = await rig.judged()
    lost = [cut.lost(found) for cut in cuts]
    print(f"\nseed {SEED}\n{found.summary()}\n{account}\nsamples lost by each cut: {lost}")
    said = f"seed {SEED}"
    assert broken == [], said
    assert [why for cut in cuts if (why := _takes_a_commit(cut, found))] == [], said
    assert [why for cut in cuts if (why := _hides_a_loss(cut, found))] == [], said
    assert (account.gaps, account.duplicates, account.pending) == (0, 0, 0), said
    assert (found.wrong_rows, found.bad_frames, found.doubled) == (0, 0, 0), said
    assert (found.holes(), found.uncovered(), found.twice_told()) == ([], [], []), said
    assert {loss.reason for loss in found.losses} == {LossReason.UNCLEAN_STOP}, said
    # Else the cuts took nothing, and this proved nothing.
    assert sum(lost) > 0, said
    assert all(cut.stored > 0 for cut in cuts), said


def _boot(rig: Rig, file: Path, random: Random) -> str:
    """The next agent starts after another boot. Returns its id as the agent writes it."""
    boot = uuid.UUID(int=random.getrandbits(128), version=4)
    file.write_text(f"{boot}\n")
    rig.make_agent("tests.crash.other_boot", str(file))
    return boot.hex


async def _cut(rig: Rig, disk: LoopDisk, random: Random, file: Path) -> Cut:
    boot = _boot(rig, file, random)
    # Every other time the centre is away, so that a cut meets a backlog too.
    await rig.to_centre.set(Fault(Mode.REFUSE) if random.random() < 0.5 else HEALTHY)
    await rig.start_agent()

    async def committing() -> bool:
        return await rig.agent_answers() and (await rig.status()).stored_samples > 0

    await until(committing, 30)
    await asyncio.sleep(random.uniform(0.0, 1.0))
    status = await rig.status()
    await asyncio.to_thread(stop, rig.agent.pid)
    copy = await asyncio.to_thread(disk.copy)
    ring = await asyncio.to_thread(segments.find, rig.runtime, DEVICE, boot, "")
    await rig.agent.kill()
    await asyncio.to_thread(disk.cut_to, copy)
    rig.clear_runtime()
    names = {entry.connection: entry for entry in status.accounting}
    assert len(names) == CONNECTIONS
    return Cut(
        status.run,
        status.stored_samples,
        sum(entry.framed for entry in status.accounting),
        tuple(
            (each.schema_hash, each.frame.n, each.frame.samples) for each in ring.frames.get(status.run, [])
        ),
    )


def _takes_a_commit(cut: Cut, found: Judgement) -> str:
    there = sum(samples for (run, _), samples in found.samples.items() if run == cut.run)
    return f"run {cut.run}: {there} of {cut.stored} committed samples" if there < cut.stored else ""


def _hides_a_loss(cut: Cut, found: Judgement) -> str:
    """The record of a run's end bounds what is really missing: all that was framed and did not arrive."""
    there = sum(samples for (run, _), samples in found.samples.items() if run == cut.run)
    missing_samples = max(cut.lost(found), cut.framed - there)
    records: list[Loss] = [loss for loss in found.losses if cut.run in loss.detail]
    bounds = [loss.max for loss in records if not loss.exact]
    if bounds and all(bound is not None and bound >= missing_samples for bound in bounds):
        return ""
    return f"run {cut.run}: {missing_samples} samples are missing, and its records bound them by {bounds}"


@pytest.mark.timeout(60 + 10 * CUTS)
async def test_a_cut_of_the_centres_disk_takes_nothing_that_was_acknowledged() -> None:
    random = Random(SEED)
    with LoopDisk() as disk:
        data = disk.path / "central"
        senders = await senders_of(data, DEVICES)
        for number in range(CUTS):
            await _cut_centre(disk, data, senders, random)
            stored = await asyncio.to_thread(stored_batches, data)
            lost = missing(senders, stored)
            assert lost == [], (
                f"acknowledged and not stored: {len(lost)}, {lost[:5]}; cut {number}, seed {SEED}"
            )
        print(f"\nseed {SEED}: {sum(len(sender.acked) for sender in senders)} batches acknowledged")


async def _cut_centre(disk: LoopDisk, data: Path, senders: list[Sender], random: Random) -> None:
    """Lets the senders work for a while, cuts, and comes back with the disk as it was."""
    process, url = await start(data)
    goal = sum(len(sender.acked) for sender in senders) + random.randint(5, 80)
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for sender in senders:
            group.create_task(until_killed(sender, session, url))
        while (count := sum(len(sender.acked) for sender in senders)) < goal:
            await asyncio.sleep(0.001)
        await asyncio.to_thread(stop, process.pid)
        copy = await asyncio.to_thread(disk.copy)
        # Answers that had left before it was stopped count too: they are read to the last.
        seen = -1
        while seen != (count := sum(len(sender.acked) for sender in senders)):
            seen = count
            await asyncio.sleep(0.05)
        process.kill()
        await process.wait()
    await asyncio.to_thread(disk.cut_to, copy)
