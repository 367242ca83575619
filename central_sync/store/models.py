"""The read models' checkpoint: loading, saving, and replaying what arrived since."""

import sqlite3
from collections.abc import Callable, Iterator

import orjson
import structlog

from central_sync.services.data import seen
from central_sync.services.data.readmodel import Arrival, Checkpoint, SeenKey
from central_sync.store.database import read_meta, write_meta
from central_sync.store.schemas import SchemaCache
from edge_agent.wire.batch import Batch
from edge_agent.wire.errors import WireError
from edge_agent.wire.schema import Schema

logger = structlog.get_logger()


class SqliteModelSource:
    """Reads for the models, on whatever connection the writer's thread has at the moment."""

    def __init__(self, connection: Callable[[], sqlite3.Connection], schemas: SchemaCache) -> None:
        self._connection = connection
        self._schemas = schemas

    def schema(self, name: str) -> Schema | None:
        return self._schemas.get(self._connection(), name)

    def load_slot(self, device_no: int, schema: str) -> bytes | None:
        sql = "SELECT body FROM latest WHERE device_no = ? AND schema = ?"
        row = self._connection().execute(sql, (device_no, schema)).fetchone()
        return row[0] if row else None

    def load_seen(self, key: SeenKey) -> seen.Pairs:
        sql = "SELECT ranges FROM seen WHERE device_no = ? AND run = ? AND connection = ? AND grp = ?"
        row = self._connection().execute(sql, key).fetchone()
        return orjson.loads(row[0]) if row else []


def load_duplicates(connection: sqlite3.Connection) -> dict[int, int]:
    return dict(connection.execute("SELECT device_no, frames FROM duplicate").fetchall())


def checkpoint_arrival(connection: sqlite3.Connection) -> int:
    return int(read_meta(connection, "checkpoint") or 0)


def last_arrival(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT max(arrival) FROM batch").fetchone()
    return max(row[0] or 0, checkpoint_arrival(connection))


def save(connection: sqlite3.Connection, checkpoint: Checkpoint) -> None:
    connection.executemany(
        "INSERT INTO latest (device_no, schema, body) VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET body = excluded.body",
        [(device_no, name, body) for (device_no, name), body in checkpoint.slots.items()],
    )
    connection.executemany(
        "INSERT INTO seen (device_no, run, connection, grp, ranges) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET ranges = excluded.ranges",
        [(*key, orjson.dumps(pairs)) for key, pairs in checkpoint.frames.items()],
    )
    connection.executemany(
        "INSERT INTO duplicate (device_no, frames) VALUES (?, ?) "
        "ON CONFLICT DO UPDATE SET frames = excluded.frames",
        list(checkpoint.duplicates.items()),
    )
    write_meta(connection, "checkpoint", checkpoint.arrival)


def arrivals_after(connection: sqlite3.Connection, arrival: int) -> Iterator[Arrival]:
    """The batches that the last checkpoint does not include, in their order."""
    sql = (
        "SELECT arrival, batch.device_no, term, ordinal, epoch.no, seq, codec, raw, body "
        "FROM batch JOIN epoch ON epoch.no = epoch_no WHERE arrival > ? ORDER BY arrival"
    )
    for number, device_no, term, ordinal, opened, seq, codec, raw, body in connection.execute(
        sql, (arrival,)
    ):
        try:
            batch = Batch.open(body, codec, raw)
        except WireError as error:
            # It was whole when it was taken: the disk has changed it. The ranges still name it.
            logger.error("stored batch is damaged", arrival=number, seq=seq, error=str(error))
            continue
        yield Arrival(number, device_no, term, ordinal, opened, seq, batch)
