"""Which devices have which scripts, and the ETag of what each is served, kept on the device's row for hints.

Both are worked out anew for devices in `script_stale`: a change of a script puts its devices there, triggers
those whose labels or service change. A change settles some at once, the worker the rest
(workers/scripts.py): 50,000 devices at once would hold up every upload.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from central_sync.services.access.selectors import Part, Test, parse
from central_sync.services.scripts.sets import ServedScripts, served
from central_sync.store import rows
from central_sync.store.targets import limits_sql, part_sql
from edge_agent.wire.scripts import MAX_SCRIPTS

# Devices that are settled in the transaction of a change, and in one of the worker's.
AT_ONCE: Final = 200
_TOO_MANY_QUIET_MS: Final = 86_400_000
_SERVED: Final = (
    "SELECT body, script.version, signatures FROM script_device AS held "
    "JOIN script ON script.no = held.script_no JOIN script_version AS version "
    "ON version.script_no = script.no AND version.version = script.version "
    "WHERE held.device_no = ? AND enabled ORDER BY position, name LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """Who gets a script, as its row says; devices that are named stand in `script_target`."""

    no: int
    scope: Mapping[str, str]
    labels: Mapping[str, str]
    selector: str | None
    deleted: bool = False


def rule(connection: sqlite3.Connection, script_no: int) -> Rule:
    sql = "SELECT no, scope, labels, selector, deleted FROM script WHERE no = ?"
    return _rule(connection.execute(sql, (script_no,)).fetchone())


def _rule(row: tuple[Any, ...]) -> Rule:
    no, scope, labels, selector, deleted = row
    return Rule(no, orjson.loads(scope), orjson.loads(labels), selector, deleted is not None)


def condition(wanted: Rule, named: Iterable[str] | None = None) -> tuple[str, list[Any]]:
    """A condition on the table `device`: who gets the script. named: device ids instead of those in
    `script_target`, for what is not stored."""
    if wanted.deleted:
        return "0", []
    if named is None:
        ways = ["EXISTS (SELECT 1 FROM script_target AS t WHERE t.script_no = ? AND t.device_no = device.no)"]
        arguments: list[Any] = [wanted.no]
    else:
        ways, arguments = ["id IN (SELECT value FROM json_each(?))"], [orjson.dumps(list(named)).decode()]
    if wanted.labels:
        _add(ways, arguments, [Part(key, Test.IN, (value,)) for key, value in wanted.labels.items()])
    if wanted.selector is not None:
        _add(ways, arguments, parse(wanted.selector).parts)
    sight, limits = limits_sql(wanted.scope)
    sql = f"decommissioned IS NULL AND ({' OR '.join(ways)}) AND {sight}"
    return sql, [*arguments, *limits]


def _add(ways: list[str], arguments: list[Any], parts: Iterable[Part]) -> None:
    found = [part_sql(part) for part in parts]
    ways.append("(" + (" AND ".join(sql for sql, _ in found) or "1") + ")")
    arguments += [value for _, values in found for value in values]


def mark_stale(connection: sqlite3.Connection, script_no: int) -> None:
    """Whoever has the script, and whoever is to have it."""
    sql, values = condition(rule(connection, script_no))
    connection.execute(
        f"INSERT OR IGNORE INTO script_stale SELECT no FROM device WHERE {sql}",  # noqa: S608
        values,
    )
    connection.execute(
        "INSERT OR IGNORE INTO script_stale SELECT device_no FROM script_device WHERE script_no = ?",
        (script_no,),
    )


def is_stale(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM script_stale LIMIT 1").fetchone() is not None


def settle(connection: sqlite3.Connection, now: int, limit: int = AT_ONCE) -> int:
    """Works out at most `limit` devices; how many it were."""
    sql = "SELECT device_no FROM script_stale LIMIT ?"
    numbers = [row[0] for row in connection.execute(sql, (limit,))]
    if numbers:
        _work_out(connection, numbers, now)
    return len(numbers)


def settle_device(connection: sqlite3.Connection, device_no: int, now: int) -> None:
    """This one alone: whoever changed its labels has no time for others."""
    sql = "SELECT 1 FROM script_stale WHERE device_no = ?"
    if connection.execute(sql, (device_no,)).fetchone():
        _work_out(connection, [device_no], now)


def _work_out(connection: sqlite3.Connection, numbers: list[int], now: int) -> None:
    holders = ", ".join("?" * len(numbers))
    sql = "SELECT no, scope, labels, selector, deleted FROM script WHERE deleted IS NULL"
    wanted: set[tuple[int, int]] = set()
    for each in [_rule(row) for row in connection.execute(sql)]:
        sql, values = condition(each)
        found = connection.execute(
            f"SELECT no FROM device WHERE no IN ({holders}) AND {sql}",  # noqa: S608
            (*numbers, *values),
        )
        wanted.update((row[0], each.no) for row in found)
    sql = f"SELECT device_no, script_no FROM script_device WHERE device_no IN ({holders})"  # noqa: S608
    held = set(connection.execute(sql, numbers).fetchall())
    connection.executemany(
        "DELETE FROM script_device WHERE device_no = ? AND script_no = ?", sorted(held - wanted)
    )
    connection.executemany("INSERT INTO script_device VALUES (?, ?)", sorted(wanted - held))
    _write_etags(connection, numbers, {device for device, _ in held | wanted}, now)
    connection.execute(f"DELETE FROM script_stale WHERE device_no IN ({holders})", numbers)  # noqa: S608


def _write_etags(connection: sqlite3.Connection, numbers: list[int], having: set[int], now: int) -> None:
    """Devices with the same scripts have the same ETag, which is worked out once."""
    known: dict[tuple[int, ...], tuple[str, int]] = {}
    order = (
        "SELECT script_no FROM script_device JOIN script ON script.no = script_no "
        "WHERE device_no = ? AND enabled ORDER BY position, name"
    )
    for number in numbers:
        if number not in having:
            continue
        scripts = tuple(row[0] for row in connection.execute(order, (number,)))
        if scripts not in known:
            set_ = _served(connection, number)
            known[scripts] = (set_.etag, set_.count)
        etag, count = known[scripts]
        changed = connection.execute(
            "UPDATE device SET scripts_etag = ? WHERE no = ? AND scripts_etag IS NOT ?",
            (etag, number, etag),
        ).rowcount
        if changed:
            text = f"scripts of the centre that it is to run: {count}"
            note: dict[str, object] = {"etag": etag, "scripts": count}
            rows.add_event(connection, number, now, "scripts_changed", text, note)
        if len(scripts) > count:
            text = f"{len(scripts)} scripts are meant for it: it gets the first {count}"
            data: dict[str, object] = {"scripts": len(scripts)}
            rows.add_event(
                connection, number, now, "too_many_scripts", text, data, quiet_ms=_TOO_MANY_QUIET_MS
            )


def _served(connection: sqlite3.Connection, device_no: int) -> ServedScripts:
    return served(connection.execute(_SERVED, (device_no, MAX_SCRIPTS)))


def served_to(connection: sqlite3.Connection, device: str) -> ServedScripts | None:
    """None: there is no such device, or it never had a script."""
    row = connection.execute("SELECT no, scripts_etag FROM device WHERE id = ?", (device,)).fetchone()
    return None if row is None or row[1] is None else _served(connection, row[0])


def etag(connection: sqlite3.Connection, device: str) -> str | None:
    row = connection.execute("SELECT scripts_etag FROM device WHERE id = ?", (device,)).fetchone()
    return row[0] if row else None
