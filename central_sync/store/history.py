"""History from the batches themselves: those that hold the tag's schema and meet the span are opened.

An index knows the schemas and times of each batch, and the longest batch of a device bounds where the
reading must begin. Newest first, so that a limit ends the reading early; at most `MAX_BATCHES` are
opened, and none once the time is up.
"""

import functools
import heapq
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import structlog

from central_sync.services.data import samples
from central_sync.services.data.history import Point, Series, SeriesQuery
from central_sync.store import clocks, rows
from central_sync.store.schemas import SchemaCache
from edge_agent.wire.batch import Batch
from edge_agent.wire.errors import WireError
from edge_agent.wire.schema import Schema

logger = structlog.get_logger()

MAX_BATCHES: Final = 20_000
# The newest points are kept sorted out once this many times the limit were found.
_SLACK: Final = 4


def device_schemas(connection: sqlite3.Connection, schemas: SchemaCache, device_no: int) -> Iterator[Schema]:
    sql = (
        "SELECT schema.hash FROM device_schema JOIN schema ON schema.no = schema_no "
        "WHERE device_no = ? AND used = 1"
    )
    for (name,) in connection.execute(sql, (device_no,)).fetchall():
        schema = schemas.get(connection, name)
        if schema is not None:
            yield schema


def tag_connections(
    connection: sqlite3.Connection, schemas: SchemaCache, device: str, tag: str
) -> list[str] | None:
    device_no = rows.device_number(connection, device)
    if device_no is None:
        return None
    found = device_schemas(connection, schemas, device_no)
    return sorted({schema.connection for schema in found if schema.index(tag) is not None})


@dataclass(slots=True)
class _Found:
    """A point with the order of its origin: (epoch number, epoch, seq, frame)."""

    order: tuple[int, int, int, int]
    point: Point
    corrected: int | None


def series(
    connection: sqlite3.Connection, schemas: SchemaCache, query: SeriesQuery, expired: Callable[[], bool]
) -> Series:
    """What was found until `expired` says that the time is up."""
    device_no = rows.device_number(connection, query.device)
    if device_no is None:
        return Series([], False, "")
    wanted = {
        schema.hash: (schema, index)
        for schema in device_schemas(connection, schemas, device_no)
        if schema.connection == query.connection and (index := schema.index(query.tag)) is not None
    }
    found: list[_Found] = []
    truncated = False
    horizon = query.start

    @functools.cache
    def known(boot: str) -> list[clocks.Reading]:
        return clocks.readings(connection, device_no, boot)

    for count, row in enumerate(_batches(connection, device_no, list(wanted), query)):
        t1 = row[6]
        if t1 < horizon or count == MAX_BATCHES or expired():
            truncated = True
            break
        found += _points(row, wanted, query, known)
        if len(found) > query.limit * _SLACK:
            found = _newest(found, query.limit)
            horizon, truncated = found[0].point[0], True
    if len(found) > query.limit:
        found, truncated = _newest(found, query.limit), True
    units = [schema.tags[index].unit for schema, index in wanted.values()]
    found.sort(key=_by_time)
    corrected = [entry.corrected for entry in found]
    unit = units[-1] if units else ""
    points = [entry.point for entry in found]
    return Series(points, truncated, unit, corrected if any(corrected) else ())


def _by_time(entry: _Found) -> tuple[int, tuple[int, int, int, int]]:
    return entry.point[0], entry.order


def _newest(found: list[_Found], limit: int) -> list[_Found]:
    return sorted(found, key=_by_time)[-limit:]


def _batches(
    connection: sqlite3.Connection, device_no: int, wanted: list[str], query: SeriesQuery
) -> Iterator[tuple[int, int, int, int, int, bytes, int]]:
    """Batches with frames of these schemas that meet the span, latest end first, each once."""
    longest = connection.execute("SELECT longest_span FROM device WHERE no = ?", (device_no,)).fetchone()[0]
    last = min(query.end + longest, (1 << 63) - 1)
    index = (
        "SELECT t1, arrival FROM batch_schema WHERE device_no = ? "
        "AND schema_no = (SELECT no FROM schema WHERE hash = ?) AND t1 BETWEEN ? AND ? AND t0 <= ? "
        "ORDER BY t1 DESC, arrival DESC"
    )
    found = (connection.execute(index, (device_no, name, query.start, last, query.end)) for name in wanted)
    sql = (
        "SELECT epoch.ordinal, epoch.no, seq, codec, raw, body, t1 "
        "FROM batch JOIN epoch ON epoch.no = epoch_no WHERE arrival = ?"
    )
    before: int | None = None
    for _, arrival in heapq.merge(*found, reverse=True):
        if arrival != before:
            yield connection.execute(sql, (arrival,)).fetchone()
        before = arrival


def _points(
    row: tuple[int, int, int, int, int, bytes, int],
    wanted: dict[str, tuple[Schema, int]],
    query: SeriesQuery,
    known_readings: Callable[[str], list[clocks.Reading]],
) -> list[_Found]:
    ordinal, opened, seq, codec, raw, body, _ = row
    result: list[_Found] = []
    try:
        batch = Batch.open(body, codec, raw)
        readings = known_readings(batch.origin.boot)
        for section, entry in enumerate(batch.sections):
            known = wanted.get(entry.get("s", ""))
            if known is None:
                continue
            schema, index = known
            for frame, sample in samples.tag_samples(schema, batch.frames(section, schema), index):
                if query.start <= frame.wall_ms <= query.end:
                    value = samples.value(schema, index, sample)
                    point = (frame.wall_ms, value, sample.quality.label)
                    corrected = clocks.corrected(readings, frame.mono_ns, frame.wall_ms)
                    result.append(_Found((ordinal, opened, seq, frame.n), point, corrected))
    except (WireError, IndexError) as error:
        logger.warning("batch not readable", device=query.device, seq=seq, error=str(error))
    return result
