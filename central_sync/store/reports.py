"""The newest heartbeats of many devices, unread: services take from them what they need."""

import sqlite3
from collections.abc import Mapping
from typing import Final

from central_sync.services.data.accounting import account
from central_sync.services.database import Database
from central_sync.services.devices.figures import Owed
from central_sync.services.devices.health import DeviceState
from central_sync.services.devices.inventory import DeviceFilter
from central_sync.services.devices.topology import Report
from central_sync.store import listing, rows
from central_sync.store.targets import limits_sql
from edge_agent.wire.ranges import size

_COLUMNS: Final = (
    "no, id, name, state, state_since, last_seen, heartbeat, "
    "(SELECT json_group_object(key, value) FROM device_label WHERE device_no = no)"
)


def reports(connection: sqlite3.Connection, wanted: DeviceFilter) -> list[Report]:
    found: list[Report] = []
    sql = f"SELECT {_COLUMNS} FROM device WHERE no = ?"  # noqa: S608
    for number in listing.numbers(connection, wanted):
        no, name, title, state, *rest = connection.execute(sql, (number,)).fetchone()
        found.append(Report(no, name, title, DeviceState(state), *rest))
    return found


def owed(connection: sqlite3.Connection, limits: Mapping[str, str]) -> Owed:
    """Counted by the database; only epochs with losses, which may lie over what was received, in Python."""
    sight, values = limits_sql(limits)
    below = "sum(CASE WHEN lo < floor THEN min(hi, floor - 1) - lo + 1 ELSE 0 END)"
    sql = (
        f"SELECT epoch.no, floor, next, closed, epoch.run, has_lost, coalesce(sum(hi - lo + 1), 0), "  # noqa: S608
        f"coalesce({below}, 0) FROM device JOIN epoch ON epoch.device_no = device.no "
        "LEFT JOIN received ON epoch_no = epoch.no "
        f"WHERE decommissioned IS NULL AND {sight} GROUP BY epoch.no"
    )
    pending = gaps = lost = 0
    for no, floor, next_, closed, run, has_lost, settled, settled_below in connection.execute(sql, values):
        if has_lost:
            head = rows.head_state((floor, next_, closed, run))
            found = account(head, rows.received(connection, no), rows.lost(connection, no))
            pending += size(found.pending)
            gaps += size(found.gaps) + size(found.tail)
            lost += size(found.lost)
            continue
        missing_below = floor - 1 - settled_below
        missing_above = next_ - 1 - settled - missing_below
        gaps += missing_below + (missing_above if closed else 0)
        pending += 0 if closed else missing_above
    return Owed(pending, gaps, lost)


class SqliteReports:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def reports(self, wanted: DeviceFilter) -> list[Report]:
        return await self._database.read(lambda connection: reports(connection, wanted))

    async def owed(self, limits: Mapping[str, str]) -> Owed:
        return await self._database.read(lambda connection: owed(connection, limits))
