"""Two agents with one identity, as after a disk was copied: who they are, where, and since when."""

import sqlite3
from datetime import UTC, datetime

from central_sync.services.devices import health
from central_sync.store import rows
from edge_agent.wire.messages import Heartbeat


def new_run(
    connection: sqlite3.Connection,
    device_no: int,
    device: str,
    message: Heartbeat,
    address: str,
    returned: bool,
    now: int,
) -> None:
    """Another run reports than before. returned: it had reported before that one. Call it while the row
    still has the run before it."""
    sql = "SELECT run, heartbeat, address, conflict_since, conflict_at FROM device WHERE no = ?"
    run, stored, before, since, at = connection.execute(sql, (device_no,)).fetchone()
    if returned:
        machine = Heartbeat.model_validate_json(stored).machine if stored else ""
        if since is None or not health.in_conflict(at, now):
            since = now
        text = _text(device, (machine, before), (message.machine, address), since)
        data: dict[str, object] = {
            "runs": [run, message.run],
            "machine": message.machine,
            "machines": [machine, message.machine],
            "addresses": [before, address],
            "since": since,
        }
        rows.add_event(
            connection, device_no, now, "identity_conflict", text, data, quiet_ms=health.CONFLICT_QUIET_MS
        )
        sql = "UPDATE device SET conflict = ?, conflict_since = ?, conflict_at = ? WHERE no = ?"
        connection.execute(sql, (text, since, now, device_no))
    connection.execute("UPDATE device SET address = ? WHERE no = ?", (address, device_no))


def _text(device: str, first: tuple[str, str], second: tuple[str, str], since: int) -> str:
    when = datetime.fromtimestamp(since / 1000, UTC)
    names = sorted({_name(*first), _name(*second)})
    who = " and ".join(names) if len(names) > 1 else f"{names[0]}, twice,"
    return (
        f"two agents report as {device}: {who} alternate since {when:%Y-%m-%d %H:%M:%S}Z; give one of them "
        "another agent.id and enrol it with `edge-agent enroll --again`"
    )


def _name(machine: str, address: str) -> str:
    return f"machine {machine[:32]}{' at ' + address if address else ''}"
