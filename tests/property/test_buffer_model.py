"""The buffer against a model of everything that was ever put into it and a sink that checks each promise.

Any order of appending, committing, delivering, refusing, forgetting, renaming, killing, cutting the power
and stopping. `N=1000 pytest tests/property/test_buffer_model.py` runs as many examples instead of a few.
"""

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge_agent.buffer.errors import NotStored
from edge_agent.wire import ranges
from edge_agent.wire.batch import Kind
from edge_agent.wire.messages import Head, Loss, LossReason
from edge_agent.wire.ranges import Ranges
from tests.unit.buffer.life import ALL_BYTES, Agent, Contents, Life, StoredBatch, frame, schema

T = TypeVar("T")
Name = tuple[str, int]  # (epoch id, seq)
FrameName = tuple[str, str, str, int]  # (run, connection, group, n)

SCHEMAS = [
    schema("press1", "fast"),
    schema("press1", "slow", tags=9),
    # The same group with other tags: numbers go on through a change of config.
    schema("press1", "slow", tags=2),
    schema("oven", "zones", tags=40),
]
BY_HASH = {described.hash: described for described in SCHEMAS}


class Sink:
    """What a centre knows: which names it has, and which it was told are lost."""

    def __init__(self) -> None:
        self.received: dict[str, Ranges] = {}
        self.lost: dict[str, Ranges] = {}
        self.records: dict[Name, list[Loss]] = {}

    def take(self, epoch: str, stored: StoredBatch) -> None:
        self.records[epoch, stored.seq] = stored.losses
        self.received[epoch] = ranges.union(self.received.get(epoch, []), [(stored.seq, stored.seq)])
        for loss in stored.losses:
            if loss.epoch:
                self.lost[loss.epoch] = ranges.union(self.lost.get(loss.epoch, []), loss.seqs)

    def forget(self, epoch: str, seqs: Ranges) -> None:
        """A loss goes with all records that told of it: a centre has both from one transaction."""
        self.records = {
            (record_epoch, record_seq): losses
            for (record_epoch, record_seq), losses in self.records.items()
            if record_epoch != epoch or not ranges.contains(seqs, record_seq)
        }
        kept: Ranges = []
        for losses in self.records.values():
            for loss in losses:
                kept = ranges.union(kept, loss.seqs if loss.epoch == epoch else [])
        self.received[epoch] = ranges.subtract(self.received.get(epoch, []), seqs)
        self.lost[epoch] = ranges.subtract(self.lost.get(epoch, []), ranges.subtract(seqs, kept))

    def settled(self, epoch: str) -> Ranges:
        return ranges.union(self.received.get(epoch, []), self.lost.get(epoch, []))


class BufferModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="buffer-model-"))
        self.runner = asyncio.Runner()
        self.life = Life(self.directory)
        self.sink = Sink()
        self.numbers: Counter[tuple[str, str, str]] = Counter()
        self.appended: dict[FrameName, tuple[int, int]] = {}  # read and suppressed samples
        self.cut: set[FrameName] = set()
        self.archive: dict[FrameName, tuple[int, int]] = {}  # frames of batches that were pruned
        self.hashes: dict[Name, bytes] = {}
        self.known: dict[Name, StoredBatch] = {}
        self.renamed: set[Name] = set()  # or never written by a disk that said so
        self.written: dict[Path, bytes] = {}
        self.agent: Agent

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize(retain=st.sampled_from([0.0, 3600.0]), quota=st.sampled_from([1 << 20, 2 << 30]))
    def begin(self, retain: float, quota: int) -> None:
        self.settings: dict[str, Any] = {"retain_seconds": retain, "max_bytes": quota}
        self.start()

    def start(self) -> None:
        self.agent = self.run(self.life.start(**self.settings))
        self.ask_again()

    def ask_again(self) -> None:
        """What is held again is noted with the next acknowledgements: until then the sink repeats it."""
        for head in self.agent.outbox.heads():
            settled = self.agent.store.state.ledger.epochs[head.no].settled
            missing = ranges.subtract(settled, self.sink.settled(head.epoch))
            self.run(self.agent.outbox.resend(head.no, missing))

    def teardown(self) -> None:
        try:
            if hasattr(self, "agent"):
                self.drain()
                # Stopping may prune all that was delivered.
                self.all_is_well()
                self.run(self.agent.stop())
                contents = Contents(self.life.database)
                self.names_are_unique_and_nothing_unsettled_goes(contents)
                everything = {**in_database(contents), **self.archive}
                assert everything == {
                    name: counts for name, counts in self.appended.items() if name not in self.cut
                }
        finally:
            self.runner.close()
            shutil.rmtree(self.directory)

    def drain(self) -> None:
        """A sink that takes everything ends with nothing owed: no floor is stuck."""
        self.run(self.agent.store.flush())
        while heads := [head for head in self.agent.outbox.heads() if head.held]:
            stored = {(each.epoch_no, each.seq): each for each in Contents(self.life.database).batches}
            for head in heads:
                items = self.run(self.agent.outbox.fetch(head.no, head.held, ALL_BYTES))
                assert items
                for item in items:
                    self.sink.take(head.epoch, stored[head.no, item.seq])
                self.agent.outbox.acknowledge(head.no, ranges.of_numbers(item.seq for item in items))
        assert all(head.floor == head.next for head in self.agent.outbox.heads())
        report = self.agent.store.report()
        assert (report.pending_batches, report.pending_bytes, report.pending_samples) == (0, 0, 0)

    # --- what the agent does -----------------------------------------------------------------------

    @rule(which=st.integers(0, len(SCHEMAS) - 1), count=st.integers(1, 5), suppressed=st.integers(0, 3))
    def append(self, which: int, count: int, suppressed: int) -> None:
        described = SCHEMAS[which]
        group = (self.agent.run, described.connection, described.group)
        for _ in range(count):
            self.numbers[group] += 1
            n = self.numbers[group]
            self.run(self.agent.put(described, n, suppressed=suppressed))
            made = frame(n, len(described.tags), suppressed=suppressed)
            self.appended[*group, n] = (made.read, made.suppressed)

    @rule()
    def note(self) -> None:
        self.agent.store.record(Kind.EVENT, {"time": 0, "code": "noted", "message": ""})

    @rule(settle=st.booleans())
    def flush(self, settle: bool) -> None:
        self.run(self.agent.store.flush(settle=settle))
        assert self.agent.store.memory.frame_count == 0

    @rule(which=st.integers(0, len(SCHEMAS) - 1), killed=st.booleans(), settle=st.booleans())
    def fail_to_flush(self, which: int, killed: bool, settle: bool) -> None:
        """The store opens the file afresh before it writes again."""
        self.append(which, 1, 0)
        before = self.agent.store.memory.frame_count
        self.run(self.agent.store._writer.write(lambda db: db.execute("PRAGMA query_only=ON").fetchall()))
        with pytest.raises(NotStored):
            self.run(self.agent.store.flush(settle=settle))
        assert self.agent.store.memory.frame_count == before
        if killed:
            self.kill()
        else:
            self.flush(settle)
            self.ask_again()

    @rule(seconds=st.sampled_from([1, 100, 10_000]))
    def wait(self, seconds: int) -> None:
        self.run(self.life.clock.advance(seconds))

    # --- what the sink does ------------------------------------------------------------------------

    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """One POST of some held batches; the sink takes some; of its answer some arrives."""
        heads = [head for head in self.agent.outbox.heads() if head.held]
        if not heads:
            return
        head = data.draw(st.sampled_from(heads))
        held = self.agent.outbox.held(head.no)
        wanted = ranges.intersect(held, [data.draw(span(held))])
        items = self.run(self.agent.outbox.fetch(head.no, wanted, data.draw(st.sampled_from([1, ALL_BYTES]))))
        assert items
        stored = {(each.epoch_no, each.seq): each for each in Contents(self.life.database).batches}
        taken = [item for item in items if data.draw(st.integers(0, 9)) < 8]
        for item in taken:
            assert item.hash == stored[head.no, item.seq].hash
            self.sink.take(head.epoch, stored[head.no, item.seq])
        acked = ranges.of_numbers(item.seq for item in taken if data.draw(st.integers(0, 9)) < 8)
        assert self.agent.outbox.acknowledge(head.no, acked) == ranges.size(acked)

    @rule(data=st.data())
    def reject(self, data: st.DataObject) -> None:
        heads = [head for head in self.agent.outbox.heads() if head.held]
        if not heads:
            return
        head = data.draw(st.sampled_from(heads))
        lo, _ = data.draw(span(self.agent.outbox.held(head.no)))
        self.run(self.agent.outbox.reject(head.no, lo, "refused"))
        assert not ranges.contains(self.agent.outbox.held(head.no), lo)

    @rule(data=st.data(), aged=st.booleans())
    def forget(self, data: st.DataObject, aged: bool) -> None:
        """The sink is restored from a backup and asks for what it lacks; aged: retention is over."""
        if aged:
            self.deliver(data)
            self.wait(10_000)
            self.flush(settle=True)
        heads = [head for head in self.agent.outbox.heads() if self.sink.received.get(head.epoch)]
        if not heads:
            return
        head = data.draw(st.sampled_from(heads))
        self.all_is_well()
        self.restore_the_sink(head, [data.draw(span(self.sink.received[head.epoch]))])

    def restore_the_sink(self, head: Head, forgotten: Ranges) -> None:
        self.sink.forget(head.epoch, forgotten)
        missing = ranges.subtract([(1, head.floor - 1)], self.sink.settled(head.epoch))
        # What was acknowledged above the floor is asked for too, so that the model stays simple.
        missing = ranges.union(missing, forgotten)
        self.run(self.agent.outbox.resend(head.no, missing))

    @rule(data=st.data())
    def conflict(self, data: st.DataObject) -> None:
        head = data.draw(st.sampled_from(self.agent.outbox.heads()))
        held = self.agent.outbox.held(head.no)
        taken = ranges.intersect(held, [data.draw(span(held))]) if held else []
        fresh = self.agent.store.state.ledger.epochs[head.no].begun_here
        self.run(self.agent.outbox.rename(head.no, taken))
        if not fresh:
            self.renamed |= {(head.epoch, seq) for lo, hi in taken for seq in range(lo, hi + 1)}
            assert not ranges.intersect(self.agent.outbox.held(head.no), taken)

    # --- how it ends, and begins again ----------------------------------------------------------------

    @rule()
    def kill(self) -> None:
        self.run(self.agent.kill())
        self.start()

    @rule(which=st.integers(0, len(SCHEMAS) - 1), released=st.booleans())
    def kill_behind_the_commit(self, which: int, released: bool) -> None:
        """Before the ring's segments were removed, or (released) before the last of them was."""
        self.append(which, 2, 0)
        segments = {path: path.read_bytes() for path in self.life.segments()}
        self.run(self.agent.store.flush())
        self.run(self.agent.kill())
        self.restore(segments, released)

    @rule(which=st.integers(0, len(SCHEMAS) - 1))
    def kill_behind_the_commit_of_the_start(self, which: int) -> None:
        self.append(which, 2, 0)
        self.run(self.agent.kill())
        segments = {path: path.read_bytes() for path in self.life.segments()}
        self.start()
        self.run(self.agent.kill())
        self.restore(segments, True)

    def restore(self, segments: dict[Path, bytes], released: bool) -> None:
        if not released:
            self.life.lose_runtime()
        for path, data in segments.items():
            path.write_bytes(data)
        self.start()

    @rule()
    def look_away(self) -> None:
        """What the disk really wrote; it will lie about all that follows."""
        paths = [path for path in self.directory.glob("buffer.db*") if path.suffix != ".db-shm"]
        self.written = {path: path.read_bytes() for path in paths}

    @rule(lying=st.booleans())
    def cut_the_power(self, lying: bool) -> None:
        """lying: the disk had confirmed commits that it did not make, and names with them."""
        if lying:
            self.append(0, 1, 0)
            self.flush(settle=False)
            self.all_is_well()
        self.run(self.agent.kill())
        if lying and self.written:
            for path in self.directory.glob("buffer.db*"):
                path.unlink()
            for path, data in self.written.items():
                path.write_bytes(data)
        self.life.reboot()
        contents = Contents(self.life.database)
        left = {(contents.epochs[each.epoch_no], each.seq) for each in contents.batches}
        for name, stored in self.known.items():
            if name not in left and ranges.contains(self.sink.received.get(name[0], []), name[1]):
                self.archive.update(frames_of(stored))
            if name not in left:
                self.renamed.add(name)
        there = in_database(contents)
        self.cut |= {name for name in self.appended if name not in there and name not in self.archive}
        self.start()
        assert [loss.reason for loss in self.agent.store.recovered_losses] == [LossReason.UNCLEAN_STOP]
        self.append(0, 1, 1)
        self.flush(settle=False)

    @rule(reboot=st.booleans(), other_machine=st.booleans())
    def stop(self, reboot: bool, other_machine: bool) -> None:
        self.run(self.agent.stop())
        if reboot:
            self.life.reboot()
        if other_machine:
            self.life.machine += "x"
        self.start()
        assert self.agent.store.recovered_losses == []

    # --- what must hold ----------------------------------------------------------------------------

    @invariant()
    @precondition(lambda self: hasattr(self, "agent"))
    def all_is_well(self) -> None:
        contents = Contents(self.life.database)
        self.names_are_unique_and_nothing_unsettled_goes(contents)
        self.every_frame_is_in_one_place(contents)
        self.the_heads_keep_their_promise(contents)
        self.the_sums_equal_a_recount(contents)

    def names_are_unique_and_nothing_unsettled_goes(self, contents: Contents) -> None:
        now: dict[Name, StoredBatch] = {}
        for stored in contents.batches:
            name = (contents.epochs[stored.epoch_no], stored.seq)
            now[name] = stored
            assert self.hashes.setdefault(name, stored.hash) == stored.hash, f"{name} names two batches"
        for name, stored in self.known.items():
            if name not in now and name not in self.renamed:
                assert ranges.contains(self.sink.settled(name[0]), name[1]), f"{name} was not delivered"
                self.archive.update(frames_of(stored))
        # An older copy of the disk has the old names again.
        self.renamed -= now.keys()
        self.known = now

    def every_frame_is_in_one_place(self, contents: Contents) -> None:
        stored = in_database(contents)
        assert not stored.keys() & self.cut
        waiting = len(self.appended) - len(self.cut) - len({**self.archive, **stored})
        assert waiting == self.agent.store.memory.frame_count

    def the_heads_keep_their_promise(self, contents: Contents) -> None:
        announced = [head.no for head in self.agent.outbox.heads()]
        assert announced[-1] == max(contents.epochs)
        assert announced == sorted(announced)
        told: dict[str, Ranges] = {}
        for stored in contents.batches:
            if ranges.contains(self.agent.outbox.held(stored.epoch_no), stored.seq):
                for loss in stored.losses:
                    told[loss.epoch] = ranges.union(told.get(loss.epoch, []), loss.seqs)
        for head in self.agent.outbox.heads():
            settled = self.sink.settled(head.epoch)
            below = ranges.subtract([(1, head.floor - 1)], settled)
            assert below == [], f"below the floor, and neither received nor lost: {below}"
            accounted = ranges.union(ranges.union(settled, head.held), told.get(head.epoch, []))
            assert ranges.subtract([(1, head.next - 1)], accounted) == []
            assert ranges.subtract(head.held, [(1, head.next - 1)]) == []
            rows = {each.seq for each in contents.batches if each.epoch_no == head.no}
            assert {seq for lo, hi in head.held for seq in range(lo, hi + 1)} <= rows
            assert all(seq < head.next for seq in rows)

    def the_sums_equal_a_recount(self, contents: Contents) -> None:
        held = self.agent.held()
        pending = [
            each for each in contents.batches if ranges.contains(held.get(each.epoch_no, []), each.seq)
        ]
        report = self.agent.store.report()
        assert self.agent.store.state.totals.stored_bytes == sum(each.nbytes for each in contents.batches)
        assert report.pending_batches == len(pending)
        assert report.pending_bytes == sum(each.nbytes for each in pending)
        assert report.pending_samples == sum(each.samples for each in pending)
        urgent = {
            each.seq
            for each in pending
            if each.epoch_no == self.agent.outbox.current_epoch and each.batch.kind & (Kind.LOSS | Kind.EVENT)
        }
        assert {seq for lo, hi in self.agent.outbox.urgent() for seq in range(lo, hi + 1)} == urgent


def span(held: Ranges) -> st.SearchStrategy[tuple[int, int]]:
    """A range that begins at one of the numbers."""
    numbers = [seq for lo, hi in held for seq in range(lo, hi + 1)]
    return st.tuples(st.sampled_from(numbers), st.integers(0, 8)).map(
        lambda pair: (pair[0], pair[0] + pair[1])
    )


def in_database(contents: Contents) -> dict[FrameName, tuple[int, int]]:
    """Read and suppressed samples of every stored frame."""
    found: dict[FrameName, tuple[int, int]] = {}
    for stored in contents.batches:
        frames = frames_of(stored)
        assert not found.keys() & frames.keys(), "a frame is stored twice"
        found.update(frames)
    return found


def frames_of(stored: StoredBatch) -> dict[FrameName, tuple[int, int]]:
    found: dict[FrameName, tuple[int, int]] = {}
    for index, entry in enumerate(stored.batch.sections):
        if entry["k"] == "frames":
            described = BY_HASH[entry["s"]]
            for each in stored.batch.frames(index, described):
                name = (stored.batch.origin.run, described.connection, described.group, each.n)
                assert name not in found, f"{name} is twice in a batch"
                found[name] = (each.read, each.suppressed)
    return found


@settings(max_examples=1, database=None, deadline=None)
@given(data=st.data())
def test_names_that_an_older_copy_of_the_disk_has_again_are_followed_like_any_others(
    data: st.DataObject,
) -> None:
    """They were renamed away once; then they are held, delivered and pruned."""
    model = BufferModel()
    try:
        model.begin(retain=0.0, quota=1 << 20)
        model.append(0, 1, 0)
        model.flush(settle=False)
        model.kill()
        model.look_away()
        held = model.agent.held()
        model.conflict(data)
        model.all_is_well()
        model.cut_the_power(lying=True)
        model.all_is_well()
        assert model.agent.held().items() >= held.items()
    finally:
        model.teardown()


def test_a_restored_sink_that_has_a_record_has_the_losses_that_it_tells_of() -> None:
    """Both come with one transaction. The agent gives no second record where the first was delivered."""
    model = BufferModel()
    try:
        model.begin(retain=0.0, quota=2 << 30)
        for _ in range(2):
            model.append(0, 1, 0)
            model.flush(settle=False)
        model.kill()
        [old] = model.agent.outbox.heads()
        model.run(model.agent.outbox.rename(old.no, [(2, 2)]))
        model.renamed.add((old.epoch, 2))
        old, new = model.agent.outbox.heads()
        record = model.run(model.agent.outbox.fetch(new.no, [(2, 2)], ALL_BYTES))
        [stored] = [each for each in Contents(model.life.database).batches if each.losses]
        assert [stored.seq] == [item.seq for item in record]
        model.sink.take(new.epoch, stored)
        model.agent.outbox.acknowledge(new.no, [(2, 2)])
        model.all_is_well()
        model.restore_the_sink(old, [(2, 9)])
        model.all_is_well()
        assert model.agent.held() == {old.no: [(1, 1)], new.no: [(1, 1)]}
    finally:
        model.teardown()


TestBuffer = pytest.mark.timeout(0 if "N" in os.environ else 60)(BufferModel.TestCase)
TestBuffer.settings = settings(
    max_examples=int(os.environ.get("N", "30")),
    stateful_step_count=30,
    deadline=None,
    # Within a minute a failure is told as it was found; with N it is made as small as can be.
    phases=list(Phase) if "N" in os.environ else [Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
