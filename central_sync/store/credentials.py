"""Device credentials in the database: made, replaced, listed, revoked. Each is a row of `token`."""

import sqlite3

from central_sync.services.audit.entries import Actor, Entry
from central_sync.services.database import Database
from central_sync.services.enrolment.credentials import CredentialRow, Renewal
from central_sync.services.enrolment.provision import OVERLAP_MS, Ask, Held, check_held, credential_id
from central_sync.services.errors import Conflict, NotFound
from central_sync.store import rows
from central_sync.store.audit import record

_HELD = (
    "SELECT token.id, digest, token.device, machine, expires, revoked FROM token "
    "LEFT JOIN credential ON credential.id = token.id WHERE token.id = ?"
)
_LISTED = (
    "SELECT token.id, created, expires, revoked, successor, machine, serial, way, address, "
    "(SELECT old.id FROM token AS old WHERE old.successor = token.id AND old.revoked IS NULL) "
    "FROM token LEFT JOIN credential ON credential.id = token.id "
    "WHERE token.device = ? ORDER BY created DESC, token.id LIMIT ?"
)
# Rows of ended credentials that are kept of a device.
KEPT_PER_DEVICE = 20


def held(connection: sqlite3.Connection, token_id: str) -> Held | None:
    """A device's credential of this id."""
    row = connection.execute(_HELD, (token_id,)).fetchone()
    return Held(*row) if row is not None and row[2] is not None else None


def add(
    connection: sqlite3.Connection,
    device: str,
    ask: Ask,
    way: str,
    address: str,
    now: int,
    expires: int,
    instead_of: str | None = None,
) -> str:
    """A new credential of a device. `instead_of`, or all that the device has, end once this one is used, and
    after a day anyway. Raises Conflict."""
    new = credential_id(ask.digest)
    taken = connection.execute("SELECT 1 FROM token WHERE id = ?", (new,)).fetchone()
    if taken is not None:
        raise Conflict("key_taken", "make another key and ask again: the id of this one is taken")
    live = "device = ? AND (? IS NULL OR id = ?) AND revoked IS NULL AND (expires IS NULL OR expires > ?)"
    which = (device, instead_of, instead_of, now)
    # One that waits to be used and never was is of no use to anybody once there is another.
    connection.execute(
        f"UPDATE token SET revoked = ? WHERE revoked IS NULL AND id IN "  # noqa: S608
        f"(SELECT successor FROM token WHERE {live})",
        (now, *which),
    )
    connection.execute(
        f"UPDATE token SET successor = ?, expires = min(coalesce(expires, ?), ?) WHERE {live}",  # noqa: S608
        (new, now + OVERLAP_MS, now + OVERLAP_MS, *which),
    )
    connection.execute(
        "INSERT INTO token (id, digest, device, created, expires) VALUES (?, ?, ?, ?, ?)",
        (new, ask.digest, device, now, expires),
    )
    connection.execute(
        "INSERT INTO credential (id, device, machine, serial, way, address) VALUES (?, ?, ?, ?, ?, ?)",
        (new, device, ask.machine, ask.serial, way, address[:100]),
    )
    _forget_ended(connection, device)
    return new


def _forget_ended(connection: sqlite3.Connection, device: str) -> None:
    ended = "device = ? AND revoked IS NOT NULL ORDER BY created DESC LIMIT -1 OFFSET ?"
    sql = f"SELECT id FROM token WHERE {ended}"  # noqa: S608
    for (old,) in connection.execute(sql, (device, KEPT_PER_DEVICE)).fetchall():
        connection.execute("DELETE FROM credential WHERE id = ?", (old,))
        connection.execute("DELETE FROM token WHERE id = ?", (old,))


def renew(connection: sqlite3.Connection, wanted: Renewal, actor: Actor, now: int) -> tuple[str, int]:
    """The successor's id and end. Asking again with the same key gets the same."""
    new = credential_id(wanted.digest)
    old = held(connection, wanted.credential)
    machine = old.machine if old is not None and old.machine is not None else ""
    ask = Ask(wanted.digest, machine, None, wanted.device)
    known = held(connection, new)
    if known is not None:
        check_held(known, ask, now)
        return known.id, known.expires or now
    add(connection, wanted.device, ask, "renewed", actor.address, now, wanted.expires, wanted.credential)
    entry = Entry(
        "credential.renew", "credential", new, wanted.device,
        {"credential": wanted.credential}, {"credential": new, "expires": wanted.expires},
    )  # fmt: skip
    record(connection, actor, now, entry)
    return new, wanted.expires


def confirm(connection: sqlite3.Connection, token_id: str, device: str, now: int) -> list[str]:
    """A credential is used for the first time: what it follows is revoked. The ids of those."""
    sql = "SELECT id FROM token WHERE successor = ? AND revoked IS NULL"
    old = [row[0] for row in connection.execute(sql, (token_id,)).fetchall()]
    if old:
        connection.execute(
            "UPDATE token SET revoked = ? WHERE successor = ? AND revoked IS NULL", (now, token_id)
        )
        entry = Entry("credential.replace", "credential", token_id, device, {"credentials": old}, None)
        record(connection, Actor("device", device, token_id), now, entry)
    return old


def listed(connection: sqlite3.Connection, device: str) -> list[CredentialRow]:
    """Newest first. Raises NotFound."""
    if rows.device_number(connection, device) is None:
        raise NotFound("unknown_device", f"there is no device {device}")
    return [CredentialRow(*row) for row in connection.execute(_LISTED, (device, 1_000)).fetchall()]


def revoke(
    connection: sqlite3.Connection, device: str, credential: str | None, actor: Actor, now: int
) -> list[str]:
    """One of a device's credentials, or all of them; the ids of those that were not revoked yet."""
    if rows.device_number(connection, device) is None:
        raise NotFound("unknown_device", f"there is no device {device}")
    sql = "SELECT id, revoked FROM token WHERE device = ? AND (? IS NULL OR id = ?)"
    found = connection.execute(sql, (device, credential, credential)).fetchall()
    if credential is not None and not found:
        raise NotFound("unknown_credential", f"{device} has no credential {credential}")
    live = [row[0] for row in found if row[1] is None]
    for token_id in live:
        connection.execute("UPDATE token SET revoked = ? WHERE id = ?", (now, token_id))
        record(connection, actor, now, Entry("credential.revoke", "credential", token_id, device))
    return live


class SqliteCredentials:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def renew(self, wanted: Renewal, actor: Actor, now: int) -> tuple[str, int]:
        return await self._database.write(lambda connection: renew(connection, wanted, actor, now))

    async def confirm(self, token_id: str, device: str, now: int) -> list[str]:
        return await self._database.write(lambda connection: confirm(connection, token_id, device, now))

    async def listed(self, device: str) -> list[CredentialRow]:
        return await self._database.read(lambda connection: listed(connection, device))

    async def revoke(self, device: str, credential: str | None, actor: Actor, now: int) -> list[str]:
        return await self._database.write(
            lambda connection: revoke(connection, device, credential, actor, now)
        )
