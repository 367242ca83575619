"""What grows with time or with a request is bounded: the series of heartbeats, the events of a device, and
the work of choosing devices."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from central_sync.services.access.roles import Identity, Role
from central_sync.services.access.targets import MAX_TARGETS, Targets, TargetService, Wanted
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


class _Chosen(list[str]):
    """Counts how often it is walked through."""

    walks = 0

    def __iter__(self) -> Iterator[str]:
        self.walks += 1
        return super().__iter__()


async def test_naming_every_device_does_not_hold_up_the_centre() -> None:
    """The found ones were put into a set for each one that was named: seconds in the event loop."""
    names = [f"dev-{number}" for number in range(MAX_TARGETS)]
    found = _Chosen(names)

    class Store:
        async def targets(self, wanted: Wanted) -> list[str]:
            return found

    service = TargetService(Store())
    assert await service.resolve(Targets(devices=names), Identity("t", Role.OPERATOR)) == names
    assert found.walks < 10
