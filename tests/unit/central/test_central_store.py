"""The database file, the read models' bounds and checkpoints, and ranges in many pieces."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from central_sync.api.server import is_proxy
from central_sync.services.data import seen
from central_sync.services.data.accounting import MAX_NAMED
from central_sync.services.data.ingest import Receipt, Upload, send_interval, verify_all
from central_sync.services.data.latest import Key
from central_sync.services.data.readmodel import Arrival, Checkpoint, ReadModel, SeenKey
from central_sync.settings import Settings
from central_sync.store import database, ingest, rows, schemas
from central_sync.store.errors import CannotOpen
from central_sync.store.ingest import Memory
from central_sync.store.schemas import SchemaCache
from edge_agent.wire.batch import Batch
from edge_agent.wire.schema import Schema
from edge_agent.wire.upload import BatchItem
from tests.unit.central.edge import T0, Edge, uint16_schema


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(database.connect(database.prepare(tmp_path))) as opened:
        yield opened


def test_a_commit_survives_a_power_cut_by_setting(connection: sqlite3.Connection) -> None:
    def pragma(name: str) -> Any:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]

    full, incremental = 2, 2
    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == full
    assert pragma("page_size") == 4096
    assert pragma("foreign_keys") == 1
    assert pragma("auto_vacuum") == incremental


def test_preparing_twice_changes_nothing(tmp_path: Path) -> None:
    path = database.prepare(tmp_path)
    with closing(database.connect(path)) as opened:
        before = opened.execute("SELECT * FROM meta ORDER BY key").fetchall()
    database.prepare(tmp_path)
    with closing(database.connect(path)) as opened:
        assert opened.execute("SELECT * FROM meta ORDER BY key").fetchall() == before


def test_a_database_of_a_newer_build_is_left_alone(tmp_path: Path) -> None:
    with closing(database.connect(database.prepare(tmp_path))) as opened:
        database.write_meta(opened, "version", 9_999)
    with pytest.raises(CannotOpen, match="9999"):
        database.prepare(tmp_path)


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    path = database.prepare(tmp_path)
    refused = pytest.raises(sqlite3.OperationalError, match="readonly")
    with closing(database.connect(path, read_only=True)) as opened, refused:
        opened.execute("DELETE FROM meta")


def _send(connection: sqlite3.Connection, memory: Memory, edge: Edge, items: list[BatchItem]) -> Receipt:
    batches, rejected = verify_all(items)
    assert not rejected
    with database.transaction(connection):
        return ingest.ingest(connection, memory, Upload(edge.device, edge.head(), batches, T0)).receipt


def test_an_epoch_in_a_thousand_pieces_is_asked_for_piece_by_piece(connection: sqlite3.Connection) -> None:
    edge, memory = Edge(), Memory(0, SchemaCache())
    with database.transaction(connection):
        schemas.add_schema(connection, edge.device, edge.schema, T0)
    last = 2 * MAX_NAMED + 200
    items = [edge.make(seq=seq) for seq in range(2, last + 1, 2)]
    edge.floor = edge.next = last + 1
    receipt = _send(connection, memory, edge, items)
    assert receipt.resend == [(seq, seq) for seq in range(1, 2 * MAX_NAMED, 2)]
    missing = [edge.make(seq=seq) for seq in range(1, last, 2)]
    assert _send(connection, memory, edge, missing).resend == []
    assert rows.received(connection, 1) == [(1, last)]


class Source:
    """What the read models find on disk: the checkpoints they made."""

    def __init__(self, *known: Schema) -> None:
        self.known = {schema.hash: schema for schema in known}
        self.saved = Checkpoint(0)
        self.loads = 0

    def schema(self, name: str) -> Schema | None:
        return self.known.get(name)

    def load_slot(self, device_no: int, schema: str) -> bytes | None:
        self.loads += 1
        return self.saved.slots.get((device_no, schema))

    def load_seen(self, key: SeenKey) -> seen.Pairs:
        return [list(pair) for pair in self.saved.frames.get(key, [])]

    def save(self, model: ReadModel) -> None:
        made = model.checkpoint()
        self.saved.slots |= made.slots
        self.saved.frames |= made.frames
        self.saved.arrival = made.arrival
        model.settled()


def _arrival(edge: Edge, number: int, device_no: int, values: list[int]) -> Arrival:
    item = edge.make(values)
    return Arrival(number, device_no, 0, 1, 1, item.seq, Batch.open(item.body, item.codec, item.raw_bytes))


def _value(model: ReadModel, device_no: int, schema: Schema) -> Any:
    item = model.slots(device_no, [schema.hash])[schema.hash].item(0)
    assert item is not None
    return item["value"]


def test_what_is_over_the_bounds_is_forgotten_and_found_again() -> None:
    schema = uint16_schema()
    source = Source(schema)
    model = ReadModel(source, 0, {}, max_tags=6, max_groups=2)
    edges = {device_no: Edge(schema=schema) for device_no in range(5)}
    for device_no, edge in edges.items():
        model.apply(_arrival(edge, device_no + 1, device_no, [10, 10, 10]))
    assert len([n for n in edges if model.slots(n, [schema.hash])]) == 5
    source.save(model)
    assert [n for n in edges if model.slots(n, [schema.hash])] == [3, 4]
    repeated = Edge(schema=schema, next=2)
    model.apply(_arrival(repeated, 6, 0, [20, 20, 20]))
    assert _value(model, 0, schema) == 2.0
    assert model.duplicates() == {0: 1}


def test_what_comes_while_a_checkpoint_is_saved_is_in_the_next_one() -> None:
    schema = uint16_schema()
    source, edge = Source(schema), Edge(schema=schema)
    model = ReadModel(source, 0, {})
    model.apply(_arrival(edge, 1, 1, [10, 10, 10]))
    first = model.checkpoint()
    model.apply(_arrival(edge, 2, 1, [20, 20, 20]))
    model.settled()
    second = model.checkpoint()
    assert (first.arrival, second.arrival) == (1, 2)
    assert first.slots.keys() == second.slots.keys()
    assert list(second.frames.values()) == [[[1, 2]]]


def test_a_checkpoint_that_was_not_saved_is_held_again() -> None:
    schema = uint16_schema()
    model = ReadModel(Source(schema), 0, {})
    model.apply(_arrival(Edge(schema=schema), 1, 1, [10, 10, 10]))
    assert model.checkpoint().slots.keys() == model.checkpoint().slots.keys() == {(1, schema.hash)}
    model.settled()
    assert model.checkpoint().slots == {}


def test_only_what_moved_is_published() -> None:
    schema = uint16_schema()
    edge = Edge(schema=schema)
    model = ReadModel(Source(schema), 0, {})
    model.apply(_arrival(edge, 1, 1, [10, 10, 10]))
    (slot,) = model.take_changes()[1]
    assert slot.published < slot.key == Key(0, 1, 1, 1, 1)
    assert model.take_changes() == {}


def test_a_loaded_centre_asks_for_fewer_uploads() -> None:
    asked = [send_interval(load) for load in (0.0, 0.4, 0.6, 0.9)]
    assert asked == [None, None, 5.0, 15.0]


@pytest.mark.parametrize(
    ("remote", "let_in"),
    [
        ("192.0.2.1", True),
        ("192.0.2.17", False),
        ("::ffff:192.0.2.1", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("fe80::1%eth0", False),
        (None, False),
    ],
)
def test_behind_a_proxy_nobody_else_is_answered(remote: str | None, let_in: bool) -> None:
    network = Settings(behind_proxy="192.0.2.0/28").proxies
    assert network is not None
    assert is_proxy(remote, network) is let_in
