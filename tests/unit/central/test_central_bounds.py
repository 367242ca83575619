"""What grows with time is bounded: the series of heartbeats, the events of a device."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from central_sync.store import database, heartbeats, rows
from edge_agent.wire.messages import Heartbeat
from tests.unit.central.edge import T0, Edge


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Any]:
    with closing(database.connect(database.prepare(tmp_path))) as opened, database.transaction(opened):
        yield opened


def test_heartbeats_are_kept_two_a_minute(connection: Any) -> None:
    message = Heartbeat.model_validate_json(Edge().heartbeat())
    for second in range(0, 2 * 86_400, 20):
        heartbeats.heartbeat(connection, "dev-1", message, T0 + second * 1000)
    times = [row[0] for row in connection.execute("SELECT arrived FROM heartbeat ORDER BY arrived")]
    assert len(times) == 2 * 2 * 60 * 24
    assert len(set(times)) == len(times)


def test_the_newest_events_of_a_device_are_kept(connection: Any) -> None:
    numbers = {device: rows.require_device(connection, device, T0) for device in ("dev-1", "dev-2")}
    rows.add_event(connection, numbers["dev-2"], T0, "one", "stays")
    for number in range(rows.MAX_EVENTS * 2):
        rows.add_event(connection, numbers["dev-1"], T0 + number, "many", str(number))
    sql = "SELECT count(*), max(time) FROM event WHERE device_no = ?"
    count, newest = connection.execute(sql, (numbers["dev-1"],)).fetchone()
    assert rows.MAX_EVENTS <= count < rows.MAX_EVENTS + 500
    assert newest == T0 + rows.MAX_EVENTS * 2 - 1
    assert connection.execute(sql, (numbers["dev-2"],)).fetchone()[0] == 1
