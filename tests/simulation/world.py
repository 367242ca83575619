"""Device, network and centre in one process, and everything that can befall them. Driven from outside.

Each method that changes something says so in the log, runs until that is done, and judges. `seed` decides
everything that nobody chooses: the same seed and the same calls give the same log.
"""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar

import structlog

from central_sync.services.views import DeviceStats, GapView
from edge_agent.wire import ranges
from edge_agent.wire.messages import LossReason, UploadAnswer
from edge_agent.wire.upload import decode_upload
from tests.simulation.centre import CentreMachine
from tests.simulation.judge import Judge, Violated
from tests.simulation.link import GOOD, KINDS, Link
from tests.simulation.loop import VirtualLoop
from tests.simulation.machine import SCHEMAS, EdgeMachine

T = TypeVar("T")

# Within this of the centre's return its newest value is there: a knock is due every 3 s.
LIVE_SECONDS: Final = 5.0
# What was put off comes back after 1 minute, what the centre could not take after 15.
DRAIN_SECONDS: Final = 30.0
DRAIN_TURNS: Final = 80


class World:
    def __init__(self, seed: int, directory: Path, log: Callable[[str], None]) -> None:
        structlog.configure(logger_factory=structlog.testing.CapturingLoggerFactory())
        self._urandom = os.urandom
        os.urandom = Random(seed).randbytes  # names that product code draws
        self.random = Random(seed + 1)
        self._log = log
        self._directory = directory
        self._loop = VirtualLoop()
        self._epochs: dict[str, str] = {}
        self._background: list[asyncio.Future[None]] = []
        self._broken = ""
        self._returned_ms: int | None = None
        self.tails_allowed = False
        self.centre = CentreMachine(self._loop, directory)
        self.link = Link(Random(seed + 2), lambda: self.centre.life, self._spawn, self._seen)
        self.edge = EdgeMachine(self._loop, directory, Random(seed + 3), self.link)
        self.judge = Judge(self.edge.appended)
        self._run(self.centre.start())
        self._run(self.edge.start())
        self.note("begun")

    def close(self) -> None:
        """Ends everything, whatever has failed."""
        self._run(self.edge.kill())
        self.centre.close()
        for each in self._background:
            each.cancel()
        self._run(asyncio.sleep(0))
        self._loop.close()
        os.urandom = self._urandom
        structlog.reset_defaults()

    # --- how it runs -------------------------------------------------------------------------------------

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    def _spawn(self, work: Awaitable[None]) -> None:
        self._background = [each for each in self._background if not each.done()]
        self._background.append(asyncio.ensure_future(work))

    def note(self, text: str) -> None:
        self._log(f"{self._loop.time():11.3f} {text}")

    def _seen(self, path: str, body: bytes, outcome: str, answer: bytes) -> None:
        if path != "/data":
            self.note(f"{path.split('/')[1]} {outcome}")
            return
        head, items = decode_upload(body)
        label = self._epochs.setdefault(head.epoch, f"e{len(self._epochs) + 1}")
        seqs = ranges.of_numbers(item.seq for item in items)
        self.note(f"data {label} {seqs} floor {head.floor} next {head.next}: {outcome}")
        if outcome.startswith("200") and self._returned_ms is not None and head.now >= self._returned_ms:
            self._returned_ms = None
            if head.held and items[-1].seq < head.held[-1][1] - 2:
                self._broken = f"the first after the return is {items[-1].seq}, and {head.held} are held"
        if " 200" in f" {outcome}":
            self.judge.answered(UploadAnswer.model_validate_json(answer))
        self._broken = self._broken or self.judge.promise(head, self.edge.database, self.centre.database)

    def pass_time(self, seconds: float) -> None:
        """Goes on for so long; who dies meanwhile is started again, and then it is judged."""
        self._run(asyncio.sleep(seconds))
        self.note("time passes")
        self.revive()
        self.check()

    def revive(self) -> None:
        if self.edge.is_dead:
            self.note("the agent has died")
            self._run(self.edge.bury())
            self._start_agent(cut=False)
        if self.centre.life is None:
            self._run(self.centre.start())
            self.note("the centre is up")

    def check(self, *, final: bool = False) -> None:
        self._loop.settle()
        if self._broken:
            raise Violated(self._broken)
        life = self.edge.life
        assert life is not None
        self.judge.check(
            self.edge.database,
            self.centre.database,
            life.outbox.heads(),
            life.store.memory.frame_count,
            in_doubt=life.store._in_doubt is not None,
            final=final,
        )

    # --- the network -------------------------------------------------------------------------------------

    def set_weather(self, kind: str) -> None:
        self.note(f"the network is {kind}")
        self.link.weather = KINDS[kind]

    def outage(self, seconds: float) -> None:
        """The centre cannot be reached; when it can, the newest value is there first."""
        self.note("the network is cut")
        self.link.cut()
        self.pass_time(seconds)
        self.set_weather("good")
        self.revive()
        self._returned_ms = self.edge.clock.wall_ms()
        life = self.edge.life
        assert life is not None
        head = life.outbox.heads()[-1]
        self.pass_time(LIVE_SECONDS)
        self._returned_ms = None
        there = self.judge.centre(self.centre.database)
        if self.edge.life is life and head.held and head.held[-1][1] == head.next - 1:
            told = ranges.union(there.received.get(head.epoch, []), there.lost.get(head.epoch, []))
            if not ranges.contains(told, head.next - 1):
                raise Violated(
                    f"the newest batch, {head.next - 1}, is not there {LIVE_SECONDS} s after the return"
                )

    # --- the agent ---------------------------------------------------------------------------------------

    def _start_agent(self, *, cut: bool, trap: tuple[int, bool] | None = None) -> None:
        while True:
            try:
                lost = self._run(self.edge.start(trap))
            except asyncio.CancelledError:
                self.note("the agent died over its start")
                self._run(self.edge.bury())
                trap = None
            else:
                break
        self.note(f"the agent runs, lost: {[str(reason) for reason in lost]}")
        if cut and LossReason.UNCLEAN_STOP not in lost:
            raise Violated("a power cut left no record of what was in memory")
        if not cut and lost:
            raise Violated(f"a kill alone lost something: {lost}")

    def kill_agent(self, trap: tuple[int, bool] | None = None) -> None:
        """trap: the next start dies as well, at that call of the writer's thread."""
        self.note("kill the agent")
        self._run(self.edge.kill())
        self._start_agent(cut=False, trap=trap)
        self.check()

    def trap_agent(self, calls: int, *, made: bool) -> None:
        """It will die at a call of the writer's thread: before it, or behind its commit."""
        if self.edge.life is not None:
            self.note(f"the agent dies {'behind' if made else 'before'} commit {calls} from now")
            self.edge.life.disk.trap = (calls, made)

    def _stop_agent(self) -> bool:
        """In order, unless it dies over it."""
        try:
            self._run(self.edge.stop())
        except asyncio.CancelledError:
            self.note("the agent died over its stop")
            self._run(self.edge.bury())
            return False
        return True

    def stop_agent(self, *, reboot: bool) -> None:
        self.note("stop the agent")
        ended = self._stop_agent()
        if reboot and ended:
            self.edge.lose_tmpfs()
        self._start_agent(cut=False)
        self.check()

    def cut_power(self, *, lying: bool) -> None:
        """lying: of the commits that the disk had confirmed since a copy was taken, none is there."""
        self._run(self.edge.kill())
        if lying and self.edge.copies:
            self.tails_allowed = True
            self.judge.copy_comes_back(self.edge.database)
            self.edge.put_back(self.edge.copies[-1])
        self.edge.lose_tmpfs()
        frames = self.judge.excuse(self.edge.database, self.centre.database)
        self.note(f"power cut, {frames} frames gone{', the disk has lied' if lying else ''}")
        self._start_agent(cut=True)
        self.check()

    def lose_database(self) -> None:
        self._run(self.edge.kill())
        self.edge.lose_database()
        self.edge.lose_tmpfs()
        self.tails_allowed = True
        frames = self.judge.excuse(self.edge.database, self.centre.database)
        self.note(f"the agent's database is gone, and {frames} frames with it")
        self._start_agent(cut=False)
        self.check()

    def put_old_database_back(self) -> None:
        """Somebody copies a file: the same boot goes on with names that were given out already."""
        if not self.edge.copies:
            return
        self._stop_agent()
        self.judge.names_may_be_reused(self.edge.database)
        # To these names an answer is true no longer.
        self.link.answers.clear()
        self.edge.put_back(self.edge.copies[-1])
        self.tails_allowed = True
        frames = self.judge.excuse(self.edge.database, self.centre.database)
        self.note(f"an old database is put back, {frames} frames gone")
        self._run(self.edge.start())
        self.check()

    def copy_disk(self) -> None:
        self.note("a copy of the agent's disk")
        self.edge.copy_disk()

    def disk_fails(self, seconds: float, *, landing: bool = False) -> None:
        """landing: what is said to have failed is on the disk."""
        self.note(f"commits fail for {seconds} s{', it is said' if landing else ''}")
        if self.edge.life is not None:
            disk = self.edge.life.disk
            slow, disk.slow_seconds, disk.failing = disk.slow_seconds, 1.0, True
            disk.landing = landing
            self._run(asyncio.sleep(seconds))
            disk.slow_seconds, disk.failing = slow, False
        self.revive()
        self.check()

    def disk_is(self, slow_seconds: float) -> None:
        self.note(f"a commit takes up to {slow_seconds} s")
        if self.edge.life is not None:
            self.edge.life.disk.slow_seconds = slow_seconds

    def step_clock(self, milliseconds: int) -> None:
        self.note(f"the device's clock steps by {milliseconds} ms")
        self.edge.clock.offset_ms += milliseconds

    def change_config(self, which: tuple[int, ...]) -> None:
        self.note(f"groups {which}")
        self.edge.schemas = [SCHEMAS[index] for index in which]

    # --- the centre --------------------------------------------------------------------------------------

    def kill_centre(self, down_seconds: float) -> None:
        self.note("kill the centre")
        self.centre.kill()
        self.pass_time(down_seconds)

    def stop_centre(self, down_seconds: float) -> None:
        self.note("stop the centre")
        self._run(self.centre.stop())
        self.pass_time(down_seconds)

    def back_up_centre(self) -> None:
        self.note("back the centre up")
        self.centre.back_up()

    def restore_centre(self) -> None:
        self.centre.kill()
        restored = self.centre.restore()
        self.note("the centre is restored from its backup" if restored else "there is no backup")
        self._regress()

    def wipe_centre(self) -> None:
        self.note("the centre is wiped")
        self.centre.kill()
        self.centre.wipe()
        self._regress()

    def _regress(self) -> None:
        self.judge.regressed = True
        if self.tails_allowed:
            # What both have lost is gone.
            self.judge.excuse(self.edge.database, self.centre.database)
        self._run(self.centre.start())
        self.check()

    # --- the end -----------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Everything heals: then nothing may be owed."""
        self.link.weather = GOOD
        self.revive()
        self.edge.polling = False
        life = self.edge.life
        assert life is not None
        life.disk.trap, life.disk.slow_seconds = None, 0.01
        quiet = 0
        for _ in range(DRAIN_TURNS):
            self._run(asyncio.sleep(DRAIN_SECONDS))
            owed = [head for head in life.outbox.heads() if head.held or head.floor != head.next]
            stats = self._run(self.centre.account())
            settled = not owed and not life.store.memory.frame_count and not self._gaps(stats)
            # The centre learns of the last floors with a heartbeat, and may lack what lies below them.
            quiet = quiet + 1 if settled else 0
            if quiet == 2:
                break
        else:
            held = [(head.floor, head.next, head.held) for head in owed]
            in_memory = life.store.memory.frame_count
            raise Violated(f"never done: held {held}, in memory {in_memory}, missing {self._gaps(stats)}")
        self.check(final=True)
        stats = self._run(self.centre.account())
        self.note(f"{stats.batches} batches, {stats.samples} samples, lost {stats.lost_samples}")
        if self._gaps(stats) or (stats.pending and not self.tails_allowed):
            raise Violated(f"gaps {self._gaps(stats)}, pending {stats.pending}")
        if stats.lost and not self.judge.regressed and not self.tails_allowed:
            raise Violated(f"{stats.lost} batches were lost, and nothing has happened that explains it")
        if stats.duplicates and not self.judge.may_count_twice:
            raise Violated(f"the centre counts {stats.duplicates} duplicates")

    def _gaps(self, stats: DeviceStats) -> list[GapView]:
        """Those that nothing explains: an edge that lost its disk cannot bring what it has not."""
        assert self.edge.life is not None
        if not self.tails_allowed:
            return list(stats.gaps)
        following = {head.epoch: head.next for head in self.edge.life.outbox.heads()}
        return [gap for gap in stats.gaps if gap.name != "tail" and gap.from_ < following.get(gap.epoch, 0)]

    def remove_files(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)
