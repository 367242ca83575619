"""What a page of devices costs does not grow with the fleet: counted in steps of SQLite's machine."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from central_sync.services.access.selectors import parse
from central_sync.services.devices.health import DeviceState
from central_sync.services.devices.inventory import DeviceFilter, Sort
from central_sync.store import listing
from central_sync.store.database import connect, prepare, transaction
from tests.unit.central.edge import T0, Edge

FEW, MANY = 200, 20_000
STATES = ("online", "degraded", "offline", "never_seen")


def _fill(directory: Path, count: int) -> sqlite3.Connection:
    """Devices in all states, a tenth of them in the north; every one with a heartbeat."""
    path = prepare(directory)
    connection = connect(path)
    body = Edge().heartbeat()
    with transaction(connection):
        connection.executemany(
            "INSERT INTO device (no, id, created, state, state_since, last_seen, heartbeat) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    number, f"dev-{number:06}", T0, STATES[number % 4], T0,
                    None if number % 4 == 3 else T0 + number * 7919 % count, body,
                )
                for number in range(1, count + 1)
            ),
        )  # fmt: skip
        connection.executemany(
            "INSERT INTO device_label VALUES (?, 'site', ?, 1)",
            ((number, "north" if number % 10 == 0 else "south") for number in range(1, count + 1)),
        )
    return connection


@pytest.fixture(scope="module")
def fleets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[sqlite3.Connection, ...]]:
    with contextlib.ExitStack() as stack:
        yield tuple(
            stack.enter_context(contextlib.closing(_fill(tmp_path_factory.mktemp("fleet"), count)))
            for count in (FEW, MANY)
        )


def _cost(connection: sqlite3.Connection, wanted: DeviceFilter) -> int:
    """Hundreds of virtual machine steps that a page takes."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_progress_handler(count, 100)
    try:
        assert len(listing.devices(connection, wanted)) == wanted.limit
    finally:
        connection.set_progress_handler(None, 0)
    return steps


@pytest.mark.parametrize(
    "wanted",
    [
        DeviceFilter(limit=20),
        DeviceFilter(limit=20, after=("dev-000100",)),
        DeviceFilter(limit=20, state=DeviceState.OFFLINE),
        DeviceFilter(limit=20, sort=Sort.STATE),
        DeviceFilter(limit=20, sort=Sort.STATE, after=("offline", "dev-000050")),
        DeviceFilter(limit=20, sort=Sort.LAST_SEEN),
        DeviceFilter(limit=20, sort=Sort.LAST_SEEN_DOWN),
        DeviceFilter(limit=20, selector=parse("site=south")),
        DeviceFilter({"site": "south"}, limit=20),
        DeviceFilter(limit=20, text="DEV-0001"),
    ],
    ids=[
        "first",
        "later",
        "state",
        "by-state",
        "by-state-later",
        "oldest",
        "newest",
        "selector",
        "sight",
        "search",
    ],
)
def test_a_page_of_20_000_devices_costs_what_one_of_200_does(
    fleets: tuple[sqlite3.Connection, ...], wanted: DeviceFilter
) -> None:
    few, many = (_cost(connection, wanted) for connection in fleets)
    assert many <= 2 * few + 5, (few, many)


def test_no_heartbeat_is_read_outside_the_page(fleets: tuple[sqlite3.Connection, ...]) -> None:
    connection = fleets[1]
    with transaction(connection):
        connection.execute("UPDATE device SET heartbeat = x'00' WHERE no > 20")
    assert len(listing.devices(connection, DeviceFilter(limit=20))) == 20
