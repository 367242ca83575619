"""What the centre's database says about the samples that came: when they were read, and when they arrived.

The batches are opened here; no counter of agent or centre is believed.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from bench.fit import lateness_ms
from edge_agent.wire.batch import Batch
from edge_agent.wire.frame import Frame
from edge_agent.wire.schema import Schema

Span: TypeAlias = tuple[int, int]  # [from, to) in UTC milliseconds


@dataclass(frozen=True, slots=True)
class Arrived:
    """A frame, its connection, and when the centre took the upload that it came with (UTC milliseconds)."""

    connection: str
    frame: Frame
    arrived_ms: int


def frames(database: Path, since_ms: int = 0, until_ms: int = 1 << 62) -> Iterator[Arrived]:
    """All frames read in [since_ms, until_ms), in the order of their arrival."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        schemas = {
            name: Schema.from_bytes(bytes(body)) for name, body in db.execute("SELECT hash, body FROM schema")
        }
        sql = "SELECT codec, raw, body, arrived FROM batch WHERE t1 >= ? AND t0 < ? ORDER BY arrival"
        for codec, raw, body, arrived in db.execute(sql, (since_ms, until_ms)):
            batch = Batch.open(body, codec, raw)
            for index, entry in enumerate(batch.sections):
                if entry["k"] != "frames":
                    continue
                schema = schemas[entry["s"]]
                for frame in batch.frames(index, schema):
                    if since_ms <= frame.wall_ms < until_ms:
                        yield Arrived(schema.connection, frame, arrived)


def delays_ms(database: Path, since_ms: int, until_ms: int) -> list[float]:
    """From the end of a read to the centre, for each frame."""
    return [each.arrived_ms - each.frame.wall_ms for each in frames(database, since_ms, until_ms)]


def cycle_lateness_ms(
    database: Path, interval: float, spans: list[Span], without: frozenset[str] = frozenset()
) -> list[list[float]]:
    """How late cycles ended, for each of the spans (UTC milliseconds), over all connections but `without`.

    The punctual moment of a group is its earliest of all spans together: see `lateness_ms`.
    """
    groups: dict[str, list[tuple[int, int]]] = {}
    for each in frames(database, min(start for start, _ in spans), max(end for _, end in spans)):
        if each.connection not in without:
            groups.setdefault(each.connection, []).append((each.frame.mono_ns, each.frame.wall_ms))
    found: list[list[float]] = [[] for _ in spans]
    for cycles in groups.values():
        late = lateness_ms([mono for mono, _ in cycles], round(interval * 1e9))
        for (_, wall), value in zip(cycles, late, strict=True):
            for index, (start, end) in enumerate(spans):
                if start <= wall < end:
                    found[index].append(value)
    return found
