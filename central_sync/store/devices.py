"""Questions about devices: accounts, latest values, events. Lists and totals: listing.py."""

import sqlite3
from collections.abc import Sequence
from typing import Any

import orjson

from central_sync.services.data import accounting, latest
from central_sync.services.data.latest import Key, Slot
from central_sync.services.data.readmodel import ReadModel
from central_sync.services.devices.health import DeviceState
from central_sync.services.devices.inventory import DeviceFilter
from central_sync.services.devices.service import DeviceAccount, DeviceRow, EpochRow
from central_sync.services.views import EventView
from central_sync.store import listing, rows
from central_sync.store.schemas import SchemaCache
from edge_agent.wire.quality import Quality
from edge_agent.wire.scripts import HOOKS_CONNECTION


def account(connection: sqlite3.Connection, device: str) -> DeviceAccount | None:
    row = rows.find_device(connection, device)
    return None if row is None else _account(connection, row)


def accounts(connection: sqlite3.Connection, wanted: DeviceFilter) -> list[DeviceAccount]:
    return [_account(connection, row) for row in listing.devices(connection, wanted)]


def _account(connection: sqlite3.Connection, row: DeviceRow) -> DeviceAccount:
    return DeviceAccount(row, _epochs(connection, row.no), _lost(connection, row.no))


def _epochs(connection: sqlite3.Connection, device_no: int) -> list[EpochRow]:
    sql = (
        "SELECT no, id, ordinal, floor, next, closed, run FROM epoch WHERE device_no = ? ORDER BY ordinal, no"
    )
    result: list[EpochRow] = []
    for no, name, ordinal, *state in connection.execute(sql, (device_no,)).fetchall():
        head = rows.head_state((state[0], state[1], state[2], state[3]))
        whole = accounting.account(head, rows.received(connection, no), rows.lost(connection, no))
        result.append(EpochRow(name, ordinal, head, whole))
    return result


def _lost(connection: sqlite3.Connection, device_no: int) -> dict[str, int]:
    sql = "SELECT reason, samples FROM loss_total WHERE device_no = ? AND samples > 0 ORDER BY reason"
    return dict(connection.execute(sql, (device_no,)).fetchall())


def events(
    connection: sqlite3.Connection, device: str, before: int | None, limit: int
) -> list[EventView] | None:
    device_no = rows.device_number(connection, device)
    if device_no is None:
        return None
    sql = (
        "SELECT no, time, code, message, connection, data FROM event "
        "WHERE device_no = ? AND no < ? ORDER BY no DESC LIMIT ?"
    )
    before = (1 << 62) if before is None else before
    return [
        EventView(id=no, time=time, code=code, message=text, connection=source, data=orjson.loads(data))
        for no, time, code, text, source, data in connection.execute(sql, (device_no, before, limit))
    ]


def slots(
    connection: sqlite3.Connection, model: ReadModel, schemas: SchemaCache, device_no: int
) -> list[list[Slot]]:
    """Of each (connection, group) its schemas, the one that spoke last first: its tags are the group's."""
    sql = (
        "SELECT schema.hash FROM device_schema JOIN schema ON schema.no = schema_no "
        "WHERE device_no = ? AND used = 1"
    )
    names = [row[0] for row in connection.execute(sql, (device_no,))]
    held = model.slots(device_no, names)
    groups: dict[tuple[str, str], list[Slot]] = {}
    for name in names:
        slot = held.get(name) or _saved(connection, schemas, device_no, name)
        if slot is None:
            continue
        groups.setdefault((slot.schema.connection, slot.schema.group), []).append(slot)
    return [sorted(groups[place], key=lambda slot: slot.key, reverse=True) for place in sorted(groups)]


def _saved(connection: sqlite3.Connection, schemas: SchemaCache, device_no: int, name: str) -> Slot | None:
    sql = "SELECT body FROM latest WHERE device_no = ? AND schema = ?"
    row = connection.execute(sql, (device_no, name)).fetchone()
    schema = schemas.get(connection, name) if row else None
    return latest.load(schema, row[0]) if schema else None


def latest_items(
    found: list[list[Slot]], connection: str | None, after: Sequence[str | int] | None, limit: int
) -> list[dict[str, Any]]:
    """Items behind the key `after`, ordered by connection, group and tag; only these are decoded."""
    items: list[dict[str, Any]] = []
    for slot, *others in found:
        place = (slot.schema.connection, slot.schema.group)
        if connection not in (None, place[0]) or (after and place < (after[0], after[1])):
            continue
        for name, index in sorted((slot.schema.tags[index].name, index) for index in slot.tags()):
            if after and (*place, name) <= tuple(after):
                continue
            item = _newest_item(slot, index, others)
            if item is not None:
                items.append(item)
            if len(items) == limit:
                return items
    return items


def _newest_item(slot: Slot, index: int, others: Sequence[Slot]) -> dict[str, Any] | None:
    """A group whose hook fails now and then speaks in two schemas by turns, and partial frames of the one
    leave values of the other in force."""
    if slot.base is not None and not slot.newer:
        return slot.item(index)
    best, at, found = slot, index, slot.find(index)
    for other in others:
        place = other.schema.index(slot.schema.tags[index].name)
        theirs = None if place is None else other.find(place)
        if place is not None and theirs is not None and (found is None or theirs[0] > found[0]):
            best, at, found = other, place, theirs
    return best.item(at)


def live_connections(connection: sqlite3.Connection, device_no: int) -> frozenset[str] | None:
    """The connections whose values can be current: none of an offline device; None: it never reported."""
    sql = "SELECT state, heartbeat FROM device WHERE no = ?"
    state, beat = connection.execute(sql, (device_no,)).fetchone()
    if beat is None:
        return None
    if state == DeviceState.OFFLINE:
        return frozenset()
    report = orjson.loads(beat)
    computed = [HOOKS_CONNECTION] if report.get("hooks") else []
    return frozenset([entry["name"] for entry in report["connections"]] + computed)


def mark_stale(items: list[dict[str, Any]], live: frozenset[str] | None) -> list[dict[str, Any]]:
    """What nobody renews any more is not good, however it was when it came."""
    for item in items:
        if live is not None and item["connection"] not in live:
            item["quality"] = Quality.STALE.label
    return items


def changed_items(found: list[Slot], limit: int) -> list[dict[str, Any]]:
    """Items that moved since they were last published."""
    items: list[dict[str, Any]] = []
    for slot in found:
        for index in _moved(slot):
            item = slot.item(index)
            if item is not None:
                items.append(item)
            if len(items) == limit:
                return items
    return items


def _moved(slot: Slot) -> list[int]:
    if slot.base_key > slot.published:
        return slot.tags()
    return [index for index, (key, _) in slot.newer.items() if _later(key, slot.published)]


def _later(key: Key, published: Key) -> bool:
    return key > published
