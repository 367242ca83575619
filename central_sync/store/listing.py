"""Lists of devices and figures over them, in whoever's sight.

A page is chosen first, by numbers and from indexes that hold no heartbeat, and only its rows are read: what
a page costs does not grow with the fleet, but for filters that match few, which are looked for in an index.
"""

import heapq
import sqlite3
from collections.abc import Mapping
from typing import Any, Final

from central_sync.services.access.selectors import Part, Selector, Test
from central_sync.services.devices.health import DeviceState
from central_sync.services.devices.inventory import DeviceFilter, Sort, Totals
from central_sync.services.devices.service import DeviceRow
from central_sync.store import rows
from central_sync.store.targets import limits_sql, part_sql

# Behind every time and every number.
_LAST: Final = 1 << 62
_UPPER_TO_LOWER: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_HAS_TEXT: Final = (
    "(instr(id, ?) OR instr(lower(name), ?) OR EXISTS (SELECT 1 FROM device_label AS label "
    "WHERE label.device_no = device.no AND (instr(lower(label.value), ?) OR instr(lower(label.key), ?))))"
)


def devices(connection: sqlite3.Connection, wanted: DeviceFilter) -> list[DeviceRow]:
    chosen = numbers(connection, wanted)
    found: dict[int, DeviceRow] = {}
    for start in range(0, len(chosen), 500):
        part = chosen[start : start + 500]
        sql = f"SELECT {rows.DEVICE_COLUMNS} FROM device WHERE no IN ({', '.join('?' * len(part))})"  # noqa: S608
        for row in connection.execute(sql, part):
            device = rows.device_row(row)
            found[device.no] = device
    return [found[number] for number in chosen]


def numbers(connection: sqlite3.Connection, wanted: DeviceFilter) -> list[int]:
    """The page, in order."""
    condition, values = condition_sql(wanted)
    if wanted.sort in (Sort.LAST_SEEN, Sort.LAST_SEEN_DOWN):
        return _by_last_seen(connection, wanted, condition, values)
    columns = "id" if wanted.sort is Sort.ID else "state, id"
    after = wanted.after or ("",) * len(columns.split(", "))
    sql = (
        f"SELECT no FROM device WHERE {condition} AND ({columns}) > ({', '.join('?' * len(after))}) "  # noqa: S608
        f"ORDER BY {columns} LIMIT ?"
    )
    return [row[0] for row in connection.execute(sql, (*values, *after, wanted.limit))]


def condition_sql(wanted: DeviceFilter) -> tuple[str, list[Any]]:
    """A condition on the table `device` and its parameters, but for the place in the order."""
    sight, values = limits_sql(wanted.limits)
    conditions = [f"decommissioned IS {'NOT NULL' if wanted.decommissioned else 'NULL'}", sight]
    arguments: list[Any] = [*values]
    if wanted.state is not None:
        conditions.append("state = ?")
        arguments.append(wanted.state)
    if wanted.device is not None:
        conditions.append("id = ?")
        arguments.append(wanted.device)
    for part in _parts(wanted):
        sql, values = part_sql(part)
        conditions.append(sql)
        arguments += values
    if wanted.text:
        conditions.append(_HAS_TEXT)
        arguments += [wanted.text.translate(_UPPER_TO_LOWER)] * 4
    return " AND ".join(conditions), arguments


def _parts(wanted: DeviceFilter) -> list[Part]:
    parts = list((wanted.selector or Selector()).parts)
    if wanted.label is not None:
        key, value = wanted.label
        parts.append(Part(key, Test.EXISTS) if value is None else Part(key, Test.IN, (value,)))
    return parts


def _by_last_seen(
    connection: sqlite3.Connection, wanted: DeviceFilter, condition: str, values: list[Any]
) -> list[int]:
    """Merged from the states, of which each has its devices in this order in the index `device_state`."""
    down = wanted.sort is Sort.LAST_SEEN_DOWN
    sign, order = ("<", "DESC") if down else (">", "ASC")
    seen, number = wanted.after or ((_LAST, _LAST) if down else (-1, -1))
    found: list[tuple[int, int]] = []
    for state in DeviceState:
        if wanted.state not in (None, state):
            continue
        place, after = f"(last_seen, no) {sign} (?, ?)", [seen, number]
        if state is DeviceState.NEVER_SEEN:
            # Their `last_seen` is null, and counts as 0.
            first = number if seen == 0 else -1 if (seen == -1) else _LAST
            place, after = f"last_seen IS NULL AND no {sign} ?", [first]
        sql = (
            "SELECT coalesce(last_seen, 0), no FROM device INDEXED BY device_state "  # noqa: S608
            f"WHERE state = ? AND {place} AND {condition} ORDER BY last_seen {order}, no {order} LIMIT ?"
        )
        found += connection.execute(sql, (state, *after, *values, wanted.limit)).fetchall()
    pick = heapq.nlargest if down else heapq.nsmallest
    return [number for _, number in pick(wanted.limit, found)]


def sees(connection: sqlite3.Connection, device: str, limits: Mapping[str, str]) -> bool:
    sight, values = limits_sql(limits)
    sql = f"SELECT 1 FROM device WHERE id = ? AND {sight}"  # noqa: S608
    return connection.execute(sql, (device, *values)).fetchone() is not None


def seen_devices(connection: sqlite3.Connection, limits: Mapping[str, str]) -> dict[int, str]:
    """All devices of a sight: ids by number."""
    sight, values = limits_sql(limits)
    return dict(connection.execute(f"SELECT no, id FROM device WHERE {sight}", values).fetchall())  # noqa: S608


def label_changes(connection: sqlite3.Connection) -> int:
    """Grows whenever a label changes that limits look at."""
    return int(connection.execute("SELECT count FROM label_change").fetchone()[0])


def totals(connection: sqlite3.Connection, limits: Mapping[str, str]) -> Totals:
    sight, values = limits_sql(limits)
    sql = f"SELECT state, count(*) FROM device WHERE decommissioned IS NULL AND {sight} GROUP BY state"  # noqa: S608
    states = dict(connection.execute(sql, values).fetchall())
    sql = f"SELECT count(*) FROM device WHERE decommissioned IS NOT NULL AND {sight}"  # noqa: S608
    (gone,) = connection.execute(sql, values).fetchone()
    sql = f"SELECT total(batches), total(samples), total(redelivered) FROM device WHERE {sight}"  # noqa: S608
    batches, samples, redelivered = connection.execute(sql, values).fetchone()
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    arrival = connection.execute("SELECT coalesce(max(arrival), 0) FROM batch").fetchone()[0]
    return Totals(states, gone, int(batches), int(samples), int(redelivered), pages * 4096, arrival)
