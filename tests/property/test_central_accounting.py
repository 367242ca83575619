"""The centre's accounts against the plainest model: sets of numbers.

Uploads, repeats, losses, heads and heartbeats come in any order; after each step the store says the
same as the model, and what is stored is what was acknowledged.
"""

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from central_sync.services.data import seen
from central_sync.services.data.accounting import HeadState, account
from central_sync.services.data.ingest import Receipt, Upload, verify_all
from central_sync.store import database, devices, heartbeats, ingest, rows, schemas
from central_sync.store.ingest import Memory
from central_sync.store.schemas import SchemaCache
from edge_agent.wire import ranges
from edge_agent.wire.messages import Head, Heartbeat
from edge_agent.wire.upload import BatchItem
from tests.unit.central.edge import T0, Edge

MOST = 14
NUMBERS = range(1, MOST + 1)


@contextmanager
def _store() -> Iterator[tuple[Any, Memory]]:
    with (
        tempfile.TemporaryDirectory() as directory,
        closing(database.connect(database.prepare(Path(directory)))) as connection,
    ):
        connection.execute("PRAGMA synchronous = OFF")
        yield connection, Memory(0, SchemaCache())


def _numbers(pairs: Any) -> set[int]:
    return {number for lo, hi in pairs for number in range(lo, hi + 1)}


@dataclass
class Model:
    """What a person would note on paper."""

    received: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    floor: int = 1
    next: int = 1
    closed: bool = False
    known: bool = False
    redelivered: int = 0

    def head(self, floor: int, next_: int) -> None:
        self.known = True
        if next_ >= self.next:
            self.floor, self.next, self.closed = max(self.floor, min(floor, next_)), next_, False

    def take(self, seqs: list[int]) -> None:
        for seq in seqs:
            self.redelivered += seq in self.received
            self.received.add(seq)
            self.next = max(self.next, seq + 1)

    def lose(self, seqs: set[int]) -> None:
        self.known = True
        self.lost |= seqs
        self.next = max([self.next, *(seq + 1 for seq in seqs)])

    @property
    def missing(self) -> set[int]:
        return set(range(1, self.next)) - self.received - self.lost


Step = tuple[str, list[int], int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["upload", "upload", "upload", "lose", "beat", "leave"]),
        st.lists(st.integers(1, MOST), min_size=1, max_size=5),
        st.integers(1, MOST + 1),
        st.integers(1, MOST + 1),
    ),
    max_size=14,
)


class Run:
    """Drives the store and the model alike. Losses travel in a second epoch, whose numbers are not judged."""

    def __init__(self, connection: Any, memory: Memory) -> None:
        self.connection = connection
        self.memory = memory
        self.edge = Edge()
        self.model = Model()
        self.batches: dict[int, BatchItem] = {seq: self.edge.make(seq=seq) for seq in NUMBERS}
        self.teller = Edge(epoch="epoch-b", no=2)
        with database.transaction(connection):
            schemas.add_schema(connection, "dev-1", self.edge.schema, T0)

    def step(self, step: Step) -> None:
        kind, seqs, floor, next_ = step
        head = self.edge.head(floor=floor, next=next_)
        if kind == "upload":
            self._upload(head, seqs)
        elif kind == "lose":
            pairs = ranges.of_numbers(seqs)
            self._send(self.teller.head(), [self._losing(pairs)])
            self.model.lose(set(seqs))
        elif kind == "beat":
            self._beat([head, self.teller.head()])
            self.model.head(floor, next_)
        else:
            self._beat([self.teller.head()])
            # What nobody has named yet cannot end.
            self.model.closed = self.model.known

    def _losing(self, pairs: ranges.Ranges) -> BatchItem:
        """A record that names all samples of its batches; each batch has three."""
        part = {"name": "press1", "group": "fast", "run": "run-a", "samples": 3 * ranges.size(pairs)}
        return self.teller.losing(pairs, epoch="epoch-a", connections=[part])

    def _upload(self, head: Head, seqs: list[int]) -> None:
        receipt = self._send(head, [self.batches[seq] for seq in seqs])
        self.model.head(head.floor, head.next)
        self.model.take(seqs)
        assert _numbers(receipt.acked) == set(seqs)
        below = {seq for seq in self.model.missing if seq < self.model.floor}
        assert _numbers(receipt.resend) == below

    def _send(self, head: Head, items: list[BatchItem]) -> Receipt:
        batches, rejected = verify_all(items)
        assert not rejected
        with database.transaction(self.connection):
            stored = ingest.ingest(self.connection, self.memory, Upload("dev-1", head, batches, T0))
        return stored.receipt

    def _beat(self, heads: list[Head]) -> None:
        message = Heartbeat(
            now=T0, version="1", protocol=1, run="run-a", boot="b", machine="m", uptime_seconds=1, heads=heads
        )
        with database.transaction(self.connection):
            heartbeats.heartbeat(self.connection, "dev-1", message, T0)

    def check(self) -> None:
        found = devices.account(self.connection, "dev-1")
        assert found is not None
        epoch = next((row for row in found.epochs if row.id == "epoch-a"), None)
        if epoch is None:
            assert not self.model.received
            return
        model, whole = self.model, epoch.account
        low = {seq for seq in model.missing if seq < model.floor}
        high = model.missing - low
        assert (epoch.head.floor, epoch.head.next, epoch.head.closed) == (
            model.floor,
            model.next,
            model.closed,
        )
        assert _numbers(whole.gaps) == low
        assert _numbers(whole.pending) == (set() if model.closed else high)
        assert _numbers(whole.tail) == (high if model.closed else set())
        assert _numbers(whole.lost) == model.lost - model.received
        assert whole.complete_through == min(model.missing, default=model.next) - 1
        assert found.lost_samples.get("quota", 0) == 3 * len(model.lost - model.received)
        assert found.device.redelivered == model.redelivered
        number = self.connection.execute("SELECT no FROM epoch WHERE id = 'epoch-a'").fetchone()[0]
        kept = {
            row[0] for row in self.connection.execute("SELECT seq FROM batch WHERE epoch_no = ?", (number,))
        }
        assert kept == model.received
        here = rows.received(self.connection, number)
        assert here == ranges.of_numbers(model.received)
        lost = rows.lost(self.connection, number)
        assert sum(ranges.size([pair]) for pair in lost) == ranges.size(ranges.coalesce(lost))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_the_store_says_what_the_model_says(steps: list[Step]) -> None:
    with _store() as (connection, memory):
        run = Run(connection, memory)
        for step in steps:
            run.step(step)
            run.check()


@given(
    received=st.sets(st.integers(1, 30)), lost=st.sets(st.integers(1, 30)),
    floor=st.integers(1, 31), next_=st.integers(1, 31), closed=st.booleans(),
)  # fmt: skip
def test_an_account_fills_the_whole_epoch_and_overlaps_nowhere(
    received: set[int], lost: set[int], floor: int, next_: int, closed: bool
) -> None:
    head = HeadState(floor, next_, closed)
    found = account(head, ranges.of_numbers(received), ranges.of_numbers(lost))
    parts = [_numbers(part) for part in (found.pending, found.gaps, found.tail, found.lost)]
    parts.append({seq for seq in received if seq < next_})
    assert set().union(*parts) == set(range(1, next_))
    assert sum(len(part) for part in parts) == next_ - 1


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 8)), max_size=40))
def test_frames_seen_are_a_set_and_overlaps_are_counted(additions: list[tuple[int, int]]) -> None:
    pairs: seen.Pairs = []
    known: set[int] = set()
    for lo, more in additions:
        numbers = set(range(lo, lo + more + 1))
        assert seen.add(pairs, lo, lo + more) == len(known & numbers)
        known |= numbers
        assert pairs == [list(pair) for pair in ranges.of_numbers(known)]
