"""A device's newest frames as people write them, for scripts to be tried on."""

import heapq
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson
import structlog

from central_sync.services.data import samples
from central_sync.services.scripts.dry_run import Recent
from central_sync.store import history, rows
from central_sync.store.schemas import SchemaCache
from edge_agent.wire.batch import Batch
from edge_agent.wire.dry_run import DryFrame
from edge_agent.wire.errors import WireError
from edge_agent.wire.frame import Frame
from edge_agent.wire.quality import Quality
from edge_agent.wire.schema import Schema
from edge_agent.wire.scripts import HOOKS_CONNECTION, covers

logger = structlog.get_logger()

# Values of all frames together: what is asked of a child stays below its bound.
MAX_VALUES: Final = 100_000
_MAX_BATCHES: Final = 200


def recent(
    connection: sqlite3.Connection,
    schemas: SchemaCache,
    device: str,
    groups: Sequence[str],
    last: int,
    computed: bool,
) -> Recent | None:
    """At most `last` frames of the groups that the patterns name, oldest first; None: no such device."""
    device_no = rows.device_number(connection, device)
    if device_no is None:
        return None
    wanted = {
        schema.hash: schema
        for schema in history.device_schemas(connection, schemas, device_no)
        if covers(groups, schema.connection, schema.group)
        and (computed or schema.connection != HOOKS_CONNECTION)
    }
    chosen: dict[tuple[str, str], Schema] = {}
    found: list[tuple[Schema, Frame]] = []
    values = 0
    for name, row in _batches(connection, device_no, list(wanted)):
        schema = wanted[name]
        # Frames of one group are read by one schema: its newest.
        if chosen.setdefault((schema.connection, schema.group), schema) is not schema:
            continue
        frames = _frames(row, schema)
        found += [(schema, frame) for frame in frames]
        values += len(frames) * len(schema.tags)
        if len(found) >= last * len(chosen) or values > MAX_VALUES:
            break
    found = sorted(found, key=lambda each: each[1].wall_ms)[-last:]
    while sum(len(schema.tags) for schema, _ in found) > MAX_VALUES:
        found.pop(0)
    used = {schema.hash: schema for schema, _ in found}.values()
    return Recent(
        [_dry(schema, frame) for schema, frame in found],
        [orjson.loads(schema.canonical) for schema in used],
        sorted({mark for schema in used for mark in schema.hooks}),
    )


def _batches(
    connection: sqlite3.Connection, device_no: int, names: list[str]
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """The newest batches with frames of these schemas, the latest first, with the schema that is meant."""
    index = (
        "SELECT t1, arrival FROM batch_schema WHERE device_no = ? "
        "AND schema_no = (SELECT no FROM schema WHERE hash = ?) ORDER BY t1 DESC, arrival DESC LIMIT ?"
    )
    found = [
        [(t1, arrival, name) for t1, arrival in connection.execute(index, (device_no, name, _MAX_BATCHES))]
        for name in names
    ]
    sql = "SELECT codec, raw, body FROM batch WHERE arrival = ?"
    for _, arrival, name in heapq.merge(*found, reverse=True):
        row = connection.execute(sql, (arrival,)).fetchone()
        if row is not None:
            yield name, row


def _frames(row: tuple[int, int, bytes], schema: Schema) -> list[Frame]:
    codec, raw, body = row
    try:
        batch = Batch.open(body, codec, raw)
        return [
            frame
            for section, entry in enumerate(batch.sections)
            if entry.get("s") == schema.hash
            for frame in batch.frames(section, schema)
        ]
    except (WireError, IndexError) as error:
        logger.warning("batch not readable", error=str(error))
        return []


def _dry(schema: Schema, frame: Frame) -> DryFrame:
    values: dict[str, Any] = {}
    quality: dict[str, str] = {}
    for index in samples.present_tags(frame, len(schema.tags)):
        sample = samples.sample(schema, frame, index)
        name = schema.tags[index].name
        values[name] = samples.value(schema, index, sample)
        if sample.quality is not Quality.GOOD:
            quality[name] = sample.quality.label
    return DryFrame(
        connection=schema.connection, group=schema.group, time=frame.wall_ms, values=values, quality=quality
    )
