"""Desired configs in the database. The newest version is also on the device's row, for cheap hints."""

import sqlite3

from central_sync.services.configs import ConfigRow, Precondition, make_row, same_sections
from central_sync.services.errors import NotFound, PreconditionFailed
from central_sync.store import rows


def config(connection: sqlite3.Connection, device: str) -> ConfigRow | None:
    row = connection.execute(
        "SELECT version, etag, body, author, config.created FROM config JOIN device ON device.no = device_no "
        "WHERE device.id = ? ORDER BY version DESC LIMIT 1",
        (device,),
    ).fetchone()
    return ConfigRow(*row) if row else None


def put_config(
    connection: sqlite3.Connection,
    device: str,
    sections: bytes,
    condition: Precondition,
    author: str,
    now: int,
) -> tuple[ConfigRow, bool]:
    device_no = rows.device_number(connection, device)
    if device_no is None:
        raise NotFound("unknown_device", f"there is no device {device}: make a token for it first")
    current = config(connection, device)
    if not condition.holds(current.etag if current else None):
        raise PreconditionFailed(
            "stale", "the config was changed since it was read", etag=current.etag if current else None
        )
    if current is not None and same_sections(current, sections):
        return current, False
    new = make_row(current.version + 1 if current else 1, sections, author, now)
    connection.execute(
        "INSERT INTO config (device_no, version, etag, body, author, created) VALUES (?, ?, ?, ?, ?, ?)",
        (device_no, new.version, new.etag, new.body, author, now),
    )
    connection.execute(
        "UPDATE device SET config_version = ?, config_etag = ? WHERE no = ?",
        (new.version, new.etag, device_no),
    )
    rows.add_event(
        connection, device_no, now, "config_changed", f"version {new.version} by {author}",
        {"version": new.version, "etag": new.etag},
    )  # fmt: skip
    return new, True
