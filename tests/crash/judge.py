"""The judge of what arrived: decodes every batch in the centre's database, and believes no counter.

Values are checked against the simulator's formula for a holding register, written here once more:
`(7 k + 31 address) mod 65536` at tick k. What is missing must stand in a loss record that arrived: a
frame by its number, a batch by its seq. A record is void for batches that did arrive, as when the answer to
a POST was lost and the batches had to make room afterwards (docs/specs/batch-v1.md, 8).
"""

import contextlib
import sqlite3
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge_agent.wire.batch import Batch, Kind
from edge_agent.wire.messages import Loss
from edge_agent.wire.ranges import Ranges, intersect, size, subtract, union
from edge_agent.wire.schema import Schema

TICK_MS: Final = 1000
# A frame of 1,000 registers is eight requests: each block may see another tick than the last one.
BLOCK: Final = 125
TOLERANCE_TICKS: Final = 3
STEP, SLOPE, MODULUS = 7, 31, 1 << 16
SEQ_BITS: Final = 40

Run = tuple[str, str]  # (run of the agent, connection); the rig has one group a connection


@dataclass
class Judgement:
    """What the centre really has."""

    batches: int = 0
    frames: int = 0
    framed: int = 0
    read: int = 0
    suppressed: int = 0
    bad_frames: int = 0
    wrong_rows: int = 0
    doubled: int = 0
    samples: dict[Run, int] = field(default_factory=dict)
    numbers: dict[Run, Ranges] = field(default_factory=dict)
    received: dict[str, Ranges] = field(default_factory=dict)  # seqs by epoch
    announced: dict[str, int] = field(default_factory=dict)  # the highest `next` by epoch
    losses: list[Loss] = field(default_factory=list)
    contents: dict[tuple[str, int], dict[Run, tuple[Ranges, int]]] = field(default_factory=dict)
    connections: dict[str, str] = field(default_factory=dict)  # by the hash of their group's schema

    def holes(self) -> list[str]:
        """Frame numbers that are missing below the last one of their run and connection, and in no record."""
        lost = self.lost_numbers()
        everything = {run: union(self.numbers.get(run, []), lost.get(run, [])) for run in self._runs(lost)}
        return [
            f"{run}: {missing}"
            for run, numbers in everything.items()
            if (missing := subtract([(1, numbers[-1][1])], numbers))
        ]

    def uncovered(self) -> list[str]:
        """Seqs that the agent announced, that did not arrive and that no record names."""
        found: list[str] = []
        for epoch, following in self.announced.items():
            there = self.received.get(epoch, [])
            for loss in self.losses:
                if loss.epoch == epoch:
                    there = union(there, loss.seqs)
            if missing := subtract([(1, following - 1)], there):
                found.append(f"{epoch}: {missing}")
        return found

    def lost_numbers(self) -> dict[Run, Ranges]:
        """By run and connection, the frames that records name."""
        found: dict[Run, Ranges] = {}
        for loss in self.losses:
            for part in loss.connections:
                found[part.run, part.name] = union(found.get((part.run, part.name), []), part.n)
        for run, (numbers, _) in self._void().items():
            found[run] = subtract(found.get(run, []), numbers)
        return found

    def _void(self) -> dict[Run, tuple[Ranges, int]]:
        """Frames and samples of batches that arrived although a record names them."""
        found: dict[Run, tuple[Ranges, int]] = {}
        for loss in self.losses:
            for lo, hi in intersect(loss.seqs, self.received.get(loss.epoch, [])):
                for seq in range(lo, hi + 1):
                    for run, (numbers, samples) in self.contents.get((loss.epoch, seq), {}).items():
                        before, count = found.get(run, ([], 0))
                        found[run] = union(before, numbers), count + samples
        return found

    def twice_told(self) -> list[str]:
        """Frames that arrived and that a record calls lost."""
        lost = self.lost_numbers()
        both = {run: intersect(numbers, lost.get(run, [])) for run, numbers in self.numbers.items()}
        return [f"{run}: {numbers}" for run, numbers in both.items() if numbers]

    def lost_samples(self) -> dict[Run, int]:
        """Counted by exact records."""
        found: dict[Run, int] = {}
        for loss in self.losses:
            for part in loss.connections:
                key = part.run, part.name
                found[key] = found.get(key, 0) + part.samples
        for run, (_, samples) in self._void().items():
            found[run] = found.get(run, 0) - samples
        return found

    def short(self, promised: dict[Run, int]) -> dict[Run, str]:
        """Where less arrived, and was told of as lost, than was promised."""
        lost = self.lost_samples()
        there = {run: self.samples.get(run, 0) + lost.get(run, 0) for run in promised}
        return {run: f"{there[run]} of {least}" for run, least in promised.items() if there[run] < least}

    def _runs(self, lost: dict[Run, Ranges]) -> Iterable[Run]:
        return [run for run in {**self.numbers, **lost} if self.numbers.get(run) or lost.get(run)]

    def summary(self) -> str:
        return (
            f"{self.batches} batches, {self.frames} frames, {self.framed} samples of {len(self.numbers)} "
            f"(run, connection); wrong {self.wrong_rows}, bad {self.bad_frames}, doubled {self.doubled}, "
            f"loss records {len(self.losses)}"
        )


def judge(database: Path, tags: int, tolerance_ticks: int = TOLERANCE_TICKS) -> Judgement:
    """Decodes every batch that the centre stores, of one device.

    tolerance_ticks: how much older than its frame a block of values may be.
    """
    found = Judgement()
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        schemas = {
            name: Schema.from_bytes(bytes(body)) for name, body in db.execute("SELECT hash, body FROM schema")
        }
        found.connections = {name: schema.connection for name, schema in schemas.items()}
        found.announced = dict(db.execute("SELECT id, next FROM epoch"))
        sql = (
            "SELECT epoch.id, seq, codec, raw, body FROM batch JOIN epoch ON epoch.no = epoch_no "
            "ORDER BY arrival"
        )
        for epoch, seq, codec, raw, body in db.execute(sql):
            found.batches += 1
            found.received[epoch] = union(found.received.get(epoch, []), [(seq, seq)])
            batch = Batch.open(body, codec, raw)
            found.losses.extend(Loss.model_validate(record) for record in batch.records(Kind.LOSS))
            for index, entry in enumerate(batch.sections):
                if entry["k"] == "frames":
                    there = found.contents.setdefault((epoch, seq), {})
                    _judge_section(found, there, batch, index, schemas[entry["s"]], tags, tolerance_ticks)
    return found


def _judge_section(
    found: Judgement,
    there: dict[Run, tuple[Ranges, int]],
    batch: Batch,
    index: int,
    schema: Schema,
    tags: int,
    ticks: int,
) -> None:
    run = (batch.origin.run, schema.connection)
    # Rows are in schema order, which for equal types is that of the config: t0, t1, …
    assert [tag.name for tag in schema.tags] == [f"t{number}" for number in range(tags)]
    for frame in batch.frames(index, schema):
        known = found.numbers.get(run, [])
        found.numbers[run] = union(known, [(frame.n, frame.n)])
        if size(found.numbers[run]) == size(known):
            found.doubled += 1
        numbers, samples = there.get(run, ([], 0))
        there[run] = union(numbers, [(frame.n, frame.n)]), samples + frame.samples
        found.frames += 1
        found.framed += frame.samples
        found.read += frame.read
        found.suppressed += frame.suppressed
        found.samples[run] = found.samples.get(run, 0) + frame.samples
        if frame.quality:
            found.bad_frames += 1
        elif not row_is_right(frame.row, frame.wall_ms, ticks):
            found.wrong_rows += 1


def row_is_right(row: bytes, wall_ms: int, tolerance_ticks: int = TOLERANCE_TICKS) -> bool:
    """Whether each block of the row is the formula's at some tick at or shortly before the frame's time."""
    values = array("H", row)
    values.byteswap()
    newest = wall_ms // TICK_MS
    for start in range(0, len(values), BLOCK):
        block = values[start : start + BLOCK]
        ticks = range(newest - tolerance_ticks, newest + 1)
        if not any(block == expected_block(start, len(block), tick) for tick in ticks):
            return False
    return True


def expected_block(start: int, count: int, tick: int) -> "array[int]":
    return array("H", ((STEP * tick + SLOPE * (start + at)) % MODULUS for at in range(count)))


def broken_promises(edge_database: Path, central_database: Path) -> list[str]:
    """What the agent's database calls delivered and the centre does not have with that content.

    Loss records and names alone count as little as counters do: hashes of stored bodies are compared.
    """
    found: list[str] = []
    with (
        contextlib.closing(sqlite3.connect(f"file:{edge_database}?mode=ro", uri=True)) as edge,
        contextlib.closing(sqlite3.connect(f"file:{central_database}?mode=ro", uri=True)) as centre,
    ):
        epochs = dict(edge.execute("SELECT no, id FROM epoch"))
        sql = "SELECT epoch.id, seq, hash FROM batch JOIN epoch ON epoch.no = epoch_no"
        there = {(epoch, seq): bytes(digest) for epoch, seq, digest in centre.execute(sql)}
        for lo, hi in edge.execute("SELECT lo, hi FROM delivered"):
            for key, digest in edge.execute("SELECT id, hash FROM batch WHERE id BETWEEN ? AND ?", (lo, hi)):
                name = epochs[key >> SEQ_BITS], key & (1 << SEQ_BITS) - 1
                if there.get(name) != bytes(digest):
                    found.append(f"{name} is delivered here and {'other' if name in there else 'not'} there")
    return found
