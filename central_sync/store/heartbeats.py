"""One heartbeat in the database: the newest, the series, the heads, the state.

Quiet ones come late and many at a time (services/devices/roll.py): they change nothing but figures.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import orjson

from central_sync.services.data.accounting import MAX_NAMED, HeadState
from central_sync.services.devices import health
from central_sync.services.devices.health import DeviceState
from central_sync.services.devices.roll import Entry, Waiting, figures
from central_sync.services.devices.service import DeviceRow, Heard
from central_sync.services.devices.standing import standing
from central_sync.store import clones, epochs, rows, script_sets, series
from edge_agent.wire.messages import Head, Heartbeat, Resend

# How long changes of state are kept.
STATES_MS: Final = 400 * 86_400_000
_TEXT: Final = {
    DeviceState.ONLINE: "is online",
    DeviceState.DEGRADED: "is degraded",
    DeviceState.OFFLINE: "is offline",
}


def heartbeat(
    connection: sqlite3.Connection,
    device: str,
    message: Heartbeat,
    now: int,
    earlier: Waiting | None = None,
    body: bytes | None = None,
    address: str = "",
) -> Heard:
    """earlier: quiet ones before it that are not written. body: the message as it came, from `address`.
    Raises Forbidden for a device that is out of service."""
    device_no = rows.serving_device(connection, device, now)
    sql = (
        "SELECT state, run, past_runs, lost_samples, last_loss, last_seen, conflict_at FROM device "
        "WHERE no = ?"
    )
    found = connection.execute(sql, (device_no,)).fetchone()
    state, run, past, known_lost, last_loss, last_seen, conflict_at = found
    if last_seen is None:
        # What it said before was deleted.
        earlier = None
    elif earlier is not None:
        last_seen = max(last_seen, earlier.seen)
    past_runs, returned = health.follow_run(run, orjson.loads(past), message.run)
    if run != message.run:
        clones.new_run(connection, device_no, device, message, address, returned, now)
    is_double = returned or health.in_conflict(conflict_at, now)
    lost_now = max(0, rows.whole(message.lost_samples) or 0)
    if lost_now > (known_lost if run == message.run else 0):
        last_loss = now
    resend = _apply_heads(connection, device_no, message.heads)
    if message.heads:
        gone = epochs.close_others(connection, device_no, {head.epoch for head in message.heads}, now)
        if gone or run != message.run:
            epochs.outrank(connection, device_no, [head.epoch for head in message.heads])
        # Of two agents with one identity each ends the other's epochs, again and again.
        if gone and not returned:
            _note_lost_database(connection, device_no, gone, last_seen, now)
    offset = message.now - now
    connection.execute(
        "UPDATE device SET heartbeat = ?, last_seen = ?, clock_offset = ?, run = ?, past_runs = ?, "
        "lost_samples = ?, last_loss = ?, interval_seconds = ?, standing = ? WHERE no = ?",
        (
            body or message.model_dump_json().encode(), now, offset, message.run,
            orjson.dumps(past_runs).decode(), lost_now, last_loss, message.interval_seconds,
            # What is asked for again is asked for until it is here.
            None if resend else standing(message), device_no,
        ),
    )  # fmt: skip
    keep_labels(connection, device_no, message.labels)
    script_sets.settle_device(connection, device_no, now)
    points = [*(earlier.points if earlier else []), figures(message, now)]
    series.append(connection, device_no, points, message.version)
    new = DeviceState.DEGRADED if is_double else health.state_of(message, last_loss, now)
    move(connection, device_no, device, DeviceState(state), new, now)
    row = rows.find_device(connection, device)
    assert row is not None
    return Heard(row, resend)


def _note_lost_database(
    connection: sqlite3.Connection, device_no: int, gone: dict[str, HeadState], last_seen: int, now: int
) -> None:
    """The epoch that the device wrote to at its last heartbeat is not in its database any more.

    An epoch that ends in order is named for a while beside the one that follows it.
    """
    (stored,) = connection.execute("SELECT heartbeat FROM device WHERE no = ?", (device_no,)).fetchone()
    heads = Heartbeat.model_validate_json(stored).heads if stored else []
    if not heads or heads[-1].epoch not in gone:
        return
    name, first = heads[-1].epoch, gone[heads[-1].epoch].next
    rows.add_event(
        connection,
        device_no,
        now,
        "tail_unknown",
        f"the device's database is another one: what epoch {name} had from batch {first} on is not known",
        {"epoch": name, "from": first, "since": last_seen},
    )


def _apply_heads(connection: sqlite3.Connection, device_no: int, heads: list[Head]) -> list[Resend]:
    """What is missing of what they promise, at most `MAX_NAMED` ranges; the next heartbeat names the rest.

    Uploads ask for their own epoch alone; a centre that was restored lacks batches of others too.
    """
    found: list[Resend] = []
    left = MAX_NAMED
    for head in heads:
        epoch = epochs.apply_head(connection, device_no, head)
        epochs.save(connection, epoch)
        missing = epochs.to_resend(connection, epoch)[:left]
        if missing:
            left -= len(missing)
            found.append(Resend(epoch=head.epoch, seqs=missing))
    return found


def move(
    connection: sqlite3.Connection,
    device_no: int,
    device: str,
    old: DeviceState,
    new: DeviceState,
    now: int,
) -> None:
    """Changes a device's state, with an event; nothing where it is the same."""
    if old is new:
        return
    connection.execute("UPDATE device SET state = ?, state_since = ? WHERE no = ?", (new, now, device_no))
    message = f"{device} {_TEXT.get(new, 'was never seen')}"
    rows.add_event(connection, device_no, now, f"device_{new}", message, {"was": old})
    note_state(connection, device_no, new, now)


def note_state(connection: sqlite3.Connection, device_no: int, state: str, now: int) -> None:
    """A line in the history of a device's states. What the state was at the horizon stays known."""
    sql = "INSERT INTO device_state_change (device_no, time, state) VALUES (?, ?, ?)"
    connection.execute(sql, (device_no, now, state))
    connection.execute(
        "DELETE FROM device_state_change WHERE device_no = ? AND time < (SELECT max(time) "
        "FROM device_state_change WHERE device_no = ? AND time < ?)",
        (device_no, device_no, now - STATES_MS),
    )


def keep_labels(connection: sqlite3.Connection, device_no: int, reported: dict[str, str]) -> None:
    """The labels that a device reports, where the registry has none of that key."""
    sql = "SELECT key, value, registry FROM device_label WHERE device_no = ?"
    rows_held = connection.execute(sql, (device_no,)).fetchall()
    known = {key: value for key, value, registry in rows_held if not registry}
    wanted = {**reported}
    for key, _, registry in rows_held:
        if registry:
            wanted.pop(key, None)
    if known == wanted:
        return
    connection.execute("DELETE FROM device_label WHERE device_no = ? AND registry = 0", (device_no,))
    connection.executemany(
        "INSERT INTO device_label VALUES (?, ?, ?, 0)",
        [(device_no, key, value) for key, value in wanted.items()],
    )


def reported_labels(connection: sqlite3.Connection, device_no: int) -> dict[str, str]:
    """The labels of a device's newest heartbeat."""
    row = connection.execute("SELECT heartbeat FROM device WHERE no = ?", (device_no,)).fetchone()
    return orjson.loads(row[0]).get("labels", {}) if row and row[0] else {}


def awake(connection: sqlite3.Connection) -> list[tuple[str, float | None]]:
    sql = "SELECT id, interval_seconds FROM device WHERE state IN ('online', 'degraded')"
    return connection.execute(sql).fetchall()


def silence(
    connection: sqlite3.Connection, devices: list[str], is_overdue: Callable[[str], bool], now: int
) -> list[DeviceRow]:
    """Marks those that are still overdue as offline, and returns them."""
    quiet: list[DeviceRow] = []
    for device in devices:
        row = rows.find_device(connection, device)
        if row is None or row.state not in (DeviceState.ONLINE, DeviceState.DEGRADED):
            continue
        if is_overdue(device):
            move(connection, row.no, device, row.state, DeviceState.OFFLINE, now)
            quiet.append(rows.find_device(connection, device) or row)
    return quiet


def write_quiet(connection: sqlite3.Connection, waiting: list[Waiting]) -> None:
    """Quiet heartbeats that were kept: the newest of each device on its row, all in the series. Nothing of
    those whose data was deleted meanwhile, or is being deleted."""
    sql = (
        "UPDATE device SET heartbeat = ?, last_seen = ?, clock_offset = ? "
        "WHERE no = ? AND heartbeat IS NOT NULL AND purging IS NULL"
    )
    for each in waiting:
        if connection.execute(sql, (each.body, each.seen, each.offset, each.no)).rowcount:
            series.append(connection, each.no, each.points, each.version)


def entry(heard: Heard, message: Heartbeat) -> Entry | None:
    """What the roll remembers of a device after a heartbeat; None: the next is looked at again."""
    row = heard.device
    if heard.resend:
        return None
    kept = replace(row, heartbeat=None)
    return Entry(row.no, standing(message), row.state, row.last_loss, row.config_etag, row.scripts_etag, kept)


def entries(connection: sqlite3.Connection, limit: int) -> list[tuple[str, Entry]]:
    """Of the devices whose next heartbeat may be quiet."""
    sql = (
        "SELECT id, no, standing, state, last_loss, config_etag, scripts_etag FROM device "
        "WHERE standing IS NOT NULL "
        "AND state IN ('online', 'degraded') AND decommissioned IS NULL LIMIT ?"
    )
    return [
        (device, Entry(no, known, DeviceState(state), last_loss, etag, scripts))
        for device, no, known, state, last_loss, etag, scripts in connection.execute(sql, (limit,))
    ]


# What an entry of the roll is made of, and what stands on rows of others that it depends on.
_FORGET: Final = """
CREATE TEMP TRIGGER device_moves AFTER UPDATE OF
    state, config_etag, scripts_etag, last_loss, decommissioned, purging, name, standing, config_version
    ON main.device
    WHEN OLD.standing IS NOT NULL BEGIN SELECT roll_forget(NEW.id); END;
CREATE TEMP TRIGGER label_added AFTER INSERT ON main.device_label BEGIN
    SELECT roll_forget((SELECT id FROM main.device WHERE no = NEW.device_no)); END;
CREATE TEMP TRIGGER label_moves AFTER UPDATE ON main.device_label BEGIN
    SELECT roll_forget((SELECT id FROM main.device WHERE no = NEW.device_no)); END;
CREATE TEMP TRIGGER label_goes AFTER DELETE ON main.device_label BEGIN
    SELECT roll_forget((SELECT id FROM main.device WHERE no = OLD.device_no)); END;
"""


def watch(connection: sqlite3.Connection, forget: Callable[[str], None]) -> None:
    """Calls `forget` with the id of each device of which something changes on this connection that an entry
    of the roll is made of, whoever changes it and before the commit."""
    connection.create_function("roll_forget", 1, forget)
    connection.executescript(_FORGET)
