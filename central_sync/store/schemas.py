"""Schemas: stored once under their hash, parsed ones kept in memory within a bound."""

import sqlite3
import threading
from collections import OrderedDict
from typing import Final

from central_sync.services.errors import Conflict
from central_sync.store import rows
from edge_agent.wire.schema import Schema

MAX_TAGS_KEPT: Final = 1_000_000
# Schemas one device may bring: a config change makes one a group.
MAX_PER_DEVICE: Final = 20_000


class SchemaCache:
    """Least recently used ones go first. For any thread but the event loop's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Schema] = OrderedDict()
        self._tags = 0

    def get(self, connection: sqlite3.Connection, name: str) -> Schema | None:
        with self._lock:
            schema = self._known.get(name)
            if schema is not None:
                self._known.move_to_end(name)
                return schema
        row = connection.execute("SELECT body FROM schema WHERE hash = ?", (name,)).fetchone()
        return self._keep(name, Schema.from_bytes(row[0])) if row else None

    def _keep(self, name: str, schema: Schema) -> Schema:
        with self._lock:
            if name not in self._known:
                self._known[name] = schema
                self._tags += len(schema.tags)
            while self._tags > MAX_TAGS_KEPT and len(self._known) > 1:
                _, gone = self._known.popitem(last=False)
                self._tags -= len(gone.tags)
            return schema


def add_schema(connection: sqlite3.Connection, device: str, schema: Schema, now: int) -> bool:
    """Whether the schema was new. Raises Conflict where the device has brought too many."""
    device_no = rows.require_device(connection, device, now)
    sql = "SELECT count(*) FROM device_schema WHERE device_no = ?"
    if connection.execute(sql, (device_no,)).fetchone()[0] >= MAX_PER_DEVICE:
        raise Conflict("too_many_schemas", f"a device brings at most {MAX_PER_DEVICE} schemas")
    sql = "INSERT INTO schema (hash, body) VALUES (?, ?) ON CONFLICT DO NOTHING"
    new = connection.execute(sql, (schema.hash, schema.canonical)).rowcount > 0
    connection.execute(
        "INSERT INTO device_schema (device_no, schema_no) SELECT ?, no FROM schema WHERE hash = ? "
        "ON CONFLICT DO NOTHING",
        (device_no, schema.hash),
    )
    return new
