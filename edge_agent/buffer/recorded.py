"""The newest frames of a buffer's file as they were committed, for whoever runs something on them again."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from edge_agent.buffer.survey import Damaged, Row, Schemas, connect
from edge_agent.wire.batch import Batch, content_hash
from edge_agent.wire.errors import WireError
from edge_agent.wire.frame import Frame
from edge_agent.wire.schema import Schema

_CHUNK: Final = 16


class Recorded(NamedTuple):
    """frames: oldest first. left_out: a text for each batch on the way that cannot be read."""

    frames: list[tuple[Schema, Frame]]
    left_out: list[str]


def newest(path: Path, wanted: Callable[[Schema], bool], count: int) -> Recorded:
    """The newest `count` frames of the groups that are wanted. Reads from the end, no more than it takes.

    Raises Unavailable, ConfigError, Damaged.
    """
    found: list[tuple[Schema, Frame]] = []
    left_out: list[str] = []
    with closing(connect(path)) as db:
        schemas = Schemas(db)
        try:
            for row in _backwards(db):
                try:
                    older = _frames(row, schemas, wanted)
                except WireError as error:
                    left_out.append(
                        f"batch {row.id & (1 << 40) - 1} of epoch {row.id >> 40}: left out: {error}"
                    )
                    continue
                found = older + found
                if len(found) >= count:
                    break
        except sqlite3.DatabaseError as error:
            raise Damaged(path, str(error)) from error
    return Recorded(found[-count:], left_out)


def _backwards(db: sqlite3.Connection) -> Iterator[Row]:
    before = (1 << 63) - 1
    while True:
        rows = db.execute(
            "SELECT id, kind, codec, raw, samples, t0, t1, hash, body FROM batch"
            " WHERE id < ? ORDER BY id DESC LIMIT ?",
            (before, _CHUNK),
        ).fetchall()
        yield from map(Row._make, rows)
        if not rows:
            return
        before = rows[-1][0]


def _frames(row: Row, schemas: Schemas, wanted: Callable[[Schema], bool]) -> list[tuple[Schema, Frame]]:
    """Those of one batch, in the order of their reads. Raises WireError."""
    if content_hash(row.body) != row.hash:
        raise WireError("its body is not what was stored")
    batch = Batch.open(row.body, row.codec, row.raw)
    found = []
    for index, entry in enumerate(batch.sections):
        if entry["k"] != "frames":
            continue
        schema = schemas.get(entry["s"])
        if schema is None:
            raise WireError("its schema is missing or damaged")
        if wanted(schema):
            found += [(schema, frame) for frame in batch.frames(index, schema)]
    return sorted(found, key=lambda each: each[1].mono_ns)
