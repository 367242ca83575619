"""Samples of a buffer's file as people read them, one after the other, in bounded memory."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory

from edge_agent.buffer import salvage
from edge_agent.buffer.survey import Damaged, Row, Schemas, batches, connect
from edge_agent.contracts.stored import SampleQuery, StoredSample
from edge_agent.wire.batch import Batch, content_hash
from edge_agent.wire.errors import WireError
from edge_agent.wire.frame import Frame, JsonValue, selection
from edge_agent.wire.quality import Quality
from edge_agent.wire.schema import Schema
from edge_agent.wire.values import read_value


def samples(path: Path, query: SampleQuery) -> Iterator[StoredSample | str]:
    """Samples in the order of their batches; a text for each batch that cannot be read.

    Raises Unavailable, ConfigError, and Damaged where the damage shows half way.
    """
    try:
        db = connect(path)
    except Damaged as error:
        yield f"{path}: {error.what}: what can be read of it follows"
        yield from salvaged(path, query)
        return
    with closing(db):
        try:
            yield from _samples(db, query)
        except sqlite3.DatabaseError as error:
            raise Damaged(path, str(error)) from error


def salvaged(path: Path, query: SampleQuery) -> Iterator[StoredSample | str]:
    """The samples of a damaged file, which does not change: its batches are taken over into a temporary
    one, as a start of the agent would. Raises OSError, sqlite3.Error."""
    with (
        TemporaryDirectory(prefix="holdfast-export-") as directory,
        closing(salvage.extract(path, Path(directory) / "salvaged.db")) as db,
    ):
        yield from _samples(db, query)


def _samples(db: sqlite3.Connection, query: SampleQuery) -> Iterator[StoredSample | str]:
    where, parameters = _span(query)
    schemas, places = Schemas(db), _Places(query)
    for row in batches(db, where=where, parameters=parameters):
        yield from _batch(row, schemas, places, query)


def _span(query: SampleQuery) -> tuple[str, tuple[int, ...]]:
    parts, parameters = ["1"], []
    if query.start is not None:
        parts.append("t1 >= ?")
        parameters.append(query.start)
    if query.end is not None:
        parts.append("t0 < ?")
        parameters.append(query.end)
    return " AND ".join(parts), tuple(parameters)


class _Places:
    """Which tags of a schema are asked for, worked out once for each."""

    def __init__(self, query: SampleQuery) -> None:
        self._query = query
        self._known: dict[str, Sequence[int]] = {}

    def of(self, schema: Schema) -> Sequence[int]:
        places = self._known.get(schema.hash)
        if places is None:
            query = self._query
            places = []
            if query.connection in (None, schema.connection):
                places = [
                    index
                    for index, tag in enumerate(schema.tags)
                    if not query.tags or any(fnmatchcase(tag.name, pattern) for pattern in query.tags)
                ]
            self._known[schema.hash] = places
        return places


def _batch(row: Row, schemas: Schemas, places: _Places, query: SampleQuery) -> Iterator[StoredSample | str]:
    name = f"batch {row.id & (1 << 40) - 1} of epoch {row.id >> 40}"
    if content_hash(row.body) != row.hash:
        yield f"{name}: left out, its body is not what was stored"
        return
    try:
        batch = Batch.open(row.body, row.codec, row.raw)
        for index, entry in enumerate(batch.sections):
            schema = schemas.get(entry["s"]) if entry["k"] == "frames" else None
            if schema is None:
                if entry["k"] == "frames":
                    yield f"{name}: left out, its schema is missing or damaged"
                continue
            wanted = places.of(schema)
            if not wanted:
                continue
            for frame in batch.frames(index, schema):
                if (query.start is None or frame.wall_ms >= query.start) and (
                    query.end is None or frame.wall_ms < query.end
                ):
                    yield from _frame(batch.origin.run, schema, frame, wanted)
    except WireError as error:
        yield f"{name}: left out, cannot be decoded: {error}"


def _frame(run: str, schema: Schema, frame: Frame, wanted: Sequence[int]) -> Iterator[StoredSample]:
    present = selection(frame.present, schema.tag_count)
    qualities = {
        index: (each.quality, each.null)
        for each in frame.quality
        for index in range(each.first, each.first + each.count)
    }
    sources = {
        index: each.time_ms for each in frame.source for index in range(each.first, each.first + each.count)
    }
    for index in wanted:
        if not present[index]:
            continue
        tag = schema.tags[index]
        quality, null = qualities.get(index, (Quality.GOOD, False))
        yield StoredSample(
            frame.wall_ms, sources.get(index), schema.connection, schema.group, schema.unit_id,
            tag.name, None if null else _value(schema, frame, index), tag.unit, quality.label, run, frame.n,
        )  # fmt: skip


def _value(schema: Schema, frame: Frame, index: int) -> JsonValue:
    if index >= schema.fixed_tags:
        return None if frame.text is None else frame.text[index - schema.fixed_tags]
    data = frame.row[schema.edges[index] : schema.edges[index + 1]]
    return read_value(schema.tags[index], data) if data else None
