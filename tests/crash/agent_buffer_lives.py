"""Many short lives of a buffer that all end with SIGKILL, and the account of every frame in them.

A chain is one directory: lives that are killed one after the other, then one that recovers and stops in
order, then the account. A life is a forked process that appends, commits, delivers and prunes at full
speed. It tells of each frame through a pipe after `append` has returned. It dies where its trap says
(before, in or behind a system call or an SQL statement), or whenever the parent pulls the trigger.

A hook without a worker counts the frames of one group in its state and writes the count into each. Where a
state is kept with the batch that it was made with, and only there, the counts that are stored go from 1
without a hole or a repeat through all lives; frames that no hook has seen are marked.

`python -m tests.crash.agent_buffer_lives LIVES SEED DIRECTORY` prints what was counted as JSON; exit
code 1 and the reason where a frame is missing, stored twice or known under two names.
"""

import asyncio
import contextlib
import json
import os
import select
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Final

from edge_agent.buffer.errors import NotStored
from edge_agent.buffer.outbox import StoredOutbox
from edge_agent.buffer.recovery import Identity
from edge_agent.buffer.ring import FrameRing
from edge_agent.buffer.settings import StoreSettings
from edge_agent.buffer.store import Store
from edge_agent.contracts.hooks import Frames, Hooked, Records
from edge_agent.model.failed import mark_failed
from edge_agent.runtime.clock import SystemClock
from edge_agent.wire import ranges
from edge_agent.wire.batch import Batch, Kind
from edge_agent.wire.frame import Frame
from edge_agent.wire.messages import Head
from edge_agent.wire.quality import Quality
from edge_agent.wire.ranges import Ranges
from edge_agent.wire.schema import Schema, TagSchema, ValueType
from tests.crash.trap import FAULTS, Trap
from tests.unit.buffer.life import ALL_BYTES, Contents, frame, schema

LIVES_A_CHAIN: Final = 12
STEPS_A_LIFE: Final = 120
# Of a life in which the disk fails: it is killed by nothing.
STEPS_UNKILLED: Final = 40
BOOT: Final = "b"
# (what, when, how often it happens in a life at most): what happens in the first life alone, and in each.
BIRTHS: Final = (("CREATE TABLE epoch", "after", 1), ("INSERT INTO epoch", "after", 1))
POINTS: Final = (
    ("BEGIN IMMEDIATE", "before", 30),
    ("BEGIN IMMEDIATE", "after", 30),
    ("INSERT OR IGNORE INTO run", "after", 2),
    ("INSERT INTO schema", "after", 5),
    ("INSERT INTO batch", "before", 30),
    ("INSERT INTO batch", "after", 30),
    ("DELETE FROM batch", "after", 5),
    ("DELETE FROM delivered", "after", 8),
    ("INSERT INTO state", "before", 30),
    ("INSERT INTO state", "after", 30),
    ("INSERT OR REPLACE INTO state", "after", 16),
    ("COMMIT", "before", 30),
    ("COMMIT", "after", 30),
    ("writev", "before", 300),
    ("writev", "torn", 300),
    ("writev", "after", 300),
    ("unlink", "before", 30),
    ("unlink", "after", 30),
    ("open", "after", 60),
)
# The disk fails there instead, and the life goes on.
FAILURES: Final = (
    ("INSERT INTO batch", "full", 30),
    ("INSERT INTO state", "failing", 30),
    ("COMMIT", "full", 30),
    ("COMMIT", "failing", 30),
    ("COMMIT", "unsure", 30),
)
SCHEMAS: Final = (
    schema("press1", "fast"),
    schema("press1", "slow", tags=9),
    schema("oven", "zones", tags=300),
)

HOOKED: Final = ("press1", "fast")
COUNTED: Final = Schema.of(
    *HOOKED, 1, [TagSchema("count", ValueType.UINT64), *SCHEMAS[0].tags], ("counting@0123456789abcdef",)
)

FrameName = tuple[str, str, str, int]  # (run, connection, group, n)
Name = tuple[str, int]  # (epoch id, seq)


class Broken(Exception):
    """The account does not add up."""


class Counting:
    """A hook as a flush sees them: `FrameHooks`."""

    def __init__(self, states: Mapping[str, bytes], random: Random) -> None:
        """states: looked at when they are needed; where the disk fails in a start, none is known before."""
        self._states = states
        self._known: int | None = None
        self._random = random

    async def apply(self, frames: Frames, records: Records, seconds: float) -> Hooked:
        if self._known is None:
            self._known = int(self._states.get("counting", b"0"))
        self._count = self._known
        made: Frames = {}
        for name, (described, group) in frames.items():
            if (described.connection, described.group) == HOOKED:
                for each in group:
                    self._see(made, described, each)
            else:
                made[name] = described, list(group)
        await asyncio.sleep(0)
        self._known = self._count
        state = {"counting": str(self._count).encode()}
        return Hooked(made, {kind: list(found) for kind, found in records.items()}, [COUNTED], state)

    def _see(self, made: Frames, described: Schema, each: Frame) -> None:
        if self._random.random() < 0.2:
            failed = mark_failed(each, described.tag_count, withhold=False)
            made.setdefault(described.hash, (described, []))[1].append(failed)
            return
        self._count += 1
        # Of a frame that comes a second time, too: the count tells.
        row = self._count.to_bytes(8, "little") + each.row[-SCHEMAS[0].row_bytes :]
        counted = replace(each, row=row, read=each.suppressed + COUNTED.tag_count)
        made.setdefault(COUNTED.hash, (COUNTED, []))[1].append(counted)

    async def expect(self, schemas: Sequence[Schema]) -> None:
        """It is always prepared."""

    def failed(self) -> Mapping[str, bool]:
        return {".".join(HOOKED): False}


# --- a life, in a process of its own -----------------------------------------------------------------------


@dataclass
class Life:
    """What the forked process does."""

    directory: Path
    run: str
    random: Random
    report: int
    steps: int
    numbers: Counter[tuple[str, str]] = field(default_factory=Counter)

    async def live(self) -> None:
        identity = Identity("press-shop-01", self.run, BOOT, "m")
        settings = StoreSettings(self.directory / "buffer.db", max_bytes=1 << 20, retain_seconds=0.02)
        ring = FrameRing(self.directory / "run", BOOT, self.run)
        store = Store(settings, identity, ring, SystemClock())
        store.keep_failing({".".join(HOOKED): False})
        await store.open(self.directory / "run")
        store.hooks = Counting(store.hook_states, self.random)
        outbox = StoredOutbox(store)
        for _ in range(self.steps):
            await self._step(store, outbox)
        await outbox.close()
        try:
            await store.close()
        except NotStored:
            return  # the next life finds the rest in the ring
        self._tell({"heads": [head.model_dump() for head in outbox.heads()]})

    def _tell(self, what: object) -> None:
        os.write(self.report, json.dumps(what).encode() + b"\n")

    async def _step(self, store: Store, outbox: StoredOutbox) -> None:
        flush = asyncio.create_task(store.flush(settle=self.random.random() < 0.2))
        for described in self.random.sample(SCHEMAS, self.random.randint(0, len(SCHEMAS))):
            await store.announce([described])
            for _ in range(self.random.randint(1, 4)):
                self.numbers[described.connection, described.group] += 1
                n = self.numbers[described.connection, described.group]
                store.append(described, frame(n, len(described.tags)))
                self._tell([self.run, described.connection, described.group, n])
            await asyncio.sleep(0)
        with contextlib.suppress(NotStored):
            await flush
        if self.random.random() < 0.5:
            await self._deliver(outbox)

    async def _deliver(self, outbox: StoredOutbox) -> None:
        head = self.random.choice(outbox.heads())
        held = outbox.held(head.no)
        if held:
            items = await outbox.fetch(head.no, held[: self.random.randint(1, 3)], ALL_BYTES)
            with (self.directory / "sink").open("ab", buffering=0) as sink:
                for item in items:
                    opened = Batch.open(item.body, item.codec, item.raw_bytes)
                    contents = [*_names(opened)], _counts(opened)
                    line = json.dumps([head.epoch, item.seq, item.hash.hex(), *contents])
                    sink.write(line.encode() + b"\n")
            taken = [item.seq for item in items if self.random.random() < 0.9]
            outbox.acknowledge(head.no, ranges.of_numbers(taken))


def _names(batch: Batch) -> Iterator[FrameName]:
    if batch.records(Kind.LOSS):
        raise Broken("a loss, where nothing was lost")
    described = {each.hash: each for each in (*SCHEMAS, COUNTED)}
    for name, (numbers, _) in batch.contents().items():
        for lo, hi in numbers:
            for n in range(lo, hi + 1):
                yield batch.origin.run, described[name].connection, described[name].group, n


def _counts(batch: Batch) -> list[int]:
    """What the hook wrote into its frames, in their order. Raises Broken where one went past it unmarked."""
    found: list[int] = []
    for index, entry in enumerate(batch.sections):
        if entry["k"] != "frames":
            continue
        if entry["s"] == COUNTED.hash:
            found += [int.from_bytes(each.row[:8], "little") for each in batch.frames(index, COUNTED)]
        elif entry["s"] == SCHEMAS[0].hash:
            for each in batch.frames(index, SCHEMAS[0]):
                if [run[:3] for run in each.quality] != [(0, SCHEMAS[0].tag_count, Quality.BAD_HOOK)]:
                    raise Broken(f"frame {each.n} of {HOOKED} is neither hooked nor marked: {each.quality}")
    return found


# --- the parent ---------------------------------------------------------------------------------------------


@dataclass
class Chain:
    """The lives in one directory, and what they told."""

    directory: Path
    random: Random
    runs: int = 0
    reported: set[FrameName] = field(default_factory=set)
    heads: list[Head] = field(default_factory=list)
    killed: Counter[str] = field(default_factory=Counter)
    counted: int = 0

    def one_life(self, trap: Trap, steps: int, seconds: float) -> None:
        """Forks a life and reads what it tells until it is over."""
        self.runs += 1
        seed = self.random.random()
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(ours)
            life = Life(self.directory, f"r{self.runs:03d}", Random(seed), theirs, steps)
            trap.spring()
            asyncio.run(life.live())
            os._exit(0)
        os.close(theirs)
        self._listen(ours, child, time.monotonic() + seconds)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            self.killed[f"{trap.what} {trap.when}".rstrip()] += 1
        elif status != 0:
            raise Broken(f"{trap}: a life ended with status {status}")
        else:
            self.killed["not at all"] += 1

    def _listen(self, pipe: int, child: int, deadline: float) -> None:
        told = bytearray()
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                os.kill(child, signal.SIGKILL)
            if left <= 0 or select.select([pipe], [], [], left)[0]:
                data = os.read(pipe, 1 << 16)
                if not data:
                    break
                told += data
        os.close(pipe)
        for line in bytes(told).split(b"\n")[:-1]:
            what = json.loads(line)
            if isinstance(what, dict):
                self.heads = [Head.model_validate(head) for head in what["heads"]]
            else:
                run, connection, group, n = what
                self.reported.add((run, connection, group, n))

    def account(self) -> int:
        """Every reported frame is under exactly one name, and the heads keep their promise."""
        names: dict[Name, tuple[str, tuple[FrameName, ...]]] = {}
        received: dict[str, Ranges] = {}
        counts: dict[Name, list[int]] = {}
        for line in (self.directory / "sink").open() if (self.directory / "sink").exists() else ():
            epoch, seq, digest, frames, counts[epoch, seq] = json.loads(line)
            self._name(names, (epoch, seq), digest, tuple(tuple(each) for each in frames))
            received[epoch] = ranges.union(received.get(epoch, []), [(seq, seq)])
        contents = Contents(self.directory / "buffer.db")
        for stored in contents.batches:
            name = (contents.epochs[stored.epoch_no], stored.seq)
            self._name(names, name, stored.hash.hex(), tuple(_names(stored.batch)))
            counts[name] = _counts(stored.batch)
        self._count(counts)
        found = Counter(each for _, frames in names.values() for each in frames)
        missing = self.reported - found.keys()
        twice = [each for each, times in found.items() if times > 1]
        if missing or twice:
            raise Broken(
                f"missing {sorted(missing)[:5]} of {len(missing)}, twice {twice[:5]} of {len(twice)}"
            )
        for head in self.heads:
            there = received.get(head.epoch, [])
            if ranges.subtract([(1, head.floor - 1)], there):
                raise Broken(f"the floor {head.floor} is above what was delivered")
            if ranges.subtract([(1, head.next - 1)], ranges.union(there, head.held)):
                raise Broken("a batch is neither held nor delivered")
        return len(found)

    def _count(self, counts: dict[Name, list[int]]) -> None:
        epochs = {epoch for epoch, _ in counts}
        if len(epochs) > 1:
            raise Broken(f"{len(epochs)} epochs of one boot of one machine")
        self.counted = sum(map(len, counts.values()))
        there = [count for name in sorted(counts) for count in counts[name]]
        for last, count in pairwise([0, *there]):
            if count != last + 1:
                raise Broken(f"the count of a hook is {count} after {last}: its state is not its batch's")

    @staticmethod
    def _name(
        names: dict[Name, tuple[str, tuple[FrameName, ...]]],
        name: Name,
        digest: str,
        frames: tuple[FrameName, ...],
    ) -> None:
        if names.setdefault(name, (digest, frames))[0] != digest:
            raise Broken(f"{name} names two batches")


def run(lives: int, seed: int, directory: Path) -> dict[str, object]:
    """Chains of lives. Raises Broken."""
    random = Random(seed)
    killed: Counter[str] = Counter()
    frames = counted = 0
    for first in range(0, lives, LIVES_A_CHAIN):
        place = directory / f"chain-{first}"
        (place / "run").mkdir(parents=True)
        chain = Chain(place, random)
        for index in range(first, min(first + LIVES_A_CHAIN, lives)):
            if index == first:
                trap = _trap(BIRTHS, first // LIVES_A_CHAIN, random)
            elif index % 3 == 0:
                trap = Trap()
            elif index % 6 == 1:
                trap = _trap(FAILURES, index // 6, random)
            else:
                trap = _trap(POINTS, index * 2 // 3, random)
            steps = STEPS_UNKILLED if trap.when in FAULTS else STEPS_A_LIFE
            chain.one_life(trap, steps, 60.0 if trap.count else 0.15 * random.random())
        chain.one_life(Trap(), 0, 60.0)
        frames += chain.account()
        counted += chain.counted
        killed += chain.killed
        shutil.rmtree(place)
    return {"lives": lives, "frames": frames, "counted": counted, "killed": dict(killed)}


def _trap(points: Sequence[tuple[str, str, int]], turn: int, random: Random) -> Trap:
    what, when, most = points[turn % len(points)]
    return Trap(what, when, random.randint(1, most))


def main() -> int:
    lives, seed, directory = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    try:
        print(json.dumps(run(lives, seed, directory)))
    except Broken as error:
        print(f"broken: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
