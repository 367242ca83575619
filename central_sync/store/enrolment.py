"""Enrolment in the database: what was prepared, who asks, and the credentials that come of it."""

import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from central_sync.services.audit.entries import Actor, Entry
from central_sync.services.database import Database, Once
from central_sync.services.enrolment.provision import (
    Ask,
    Grant,
    Held,
    Known,
    Prepared,
    Wait,
    by_token,
    check_held,
    credential_id,
    labels_of,
    wanted_device,
    without_token,
)
from central_sync.services.enrolment.service import (
    Accepted,
    Asked,
    NewPreRegistration,
    PreRegistrationRow,
    RequestRow,
    Verdict,
)
from central_sync.services.enrolment.tokens import digest as token_digest
from central_sync.services.enrolment.views import PreRegistered
from central_sync.services.errors import Busy, Conflict, Forbidden, NotFound
from central_sync.store import credentials, rows
from central_sync.store.audit import record
from central_sync.store.idempotency import answer_once
from central_sync.store.targets import registry_labels

# What has ended is shown for so long.
KEPT_MS: Final = 30 * 86_400_000
MAX_PREPARED: Final = 100_000
_PREPARED = "id, device, serial, without_token, uses, used, expires, revoked, labels, limits"
_ROW = f"{_PREPARED}, zone, note, author, created"
_REQUEST = "id, digest, device, machine, serial, facts, address, state, reason, created, asked, expires"


def signing_key(connection: sqlite3.Connection, now: int) -> bytes:
    """Made at first use."""
    row = connection.execute("SELECT secret FROM enrolment_key").fetchone()
    if row is not None:
        return bytes(row[0])
    secret = secrets.token_bytes(32)
    connection.execute("INSERT INTO enrolment_key (no, secret, created) VALUES (1, ?, ?)", (secret, now))
    return secret


def _prepared(row: tuple[Any, ...]) -> Prepared:
    """From the columns `_PREPARED`."""
    *plain, labels, limits = row
    plain[3] = bool(plain[3])
    return replace(Prepared(*plain), labels=orjson.loads(labels), limits=orjson.loads(limits))


def _pre_row(row: tuple[Any, ...]) -> PreRegistrationRow:
    """From the columns `_ROW`."""
    return PreRegistrationRow(_prepared(row[:10]), *row[10:])


# --- pre-registrations ------------------------------------------------------------------------------------


def pre_register(
    connection: sqlite3.Connection, new: NewPreRegistration, key: Once | None, actor: Actor, now: int
) -> PreRegistered:
    """With its token, which is made anew for a repeated request: it is kept nowhere."""
    secret = signing_key(connection, now)
    answer = answer_once(
        connection, key, PreRegistered, now, lambda: _pre_register(connection, new, secret, actor, now)
    )
    return answer.model_copy(update={"token": new.sign(answer, secret)})


def _pre_register(
    connection: sqlite3.Connection, new: NewPreRegistration, secret: bytes, actor: Actor, now: int
) -> PreRegistered:
    row, wanted = new.row, new.row.prepared
    connection.execute("DELETE FROM pre_registration WHERE expires < ?", (now - KEPT_MS,))
    (count,) = connection.execute("SELECT count(*) FROM pre_registration").fetchone()
    if count >= MAX_PREPARED:
        raise Conflict("too_many", f"there are {count} pre-registrations: delete some")
    if wanted.device is not None:
        labels = registry_labels(connection, wanted.device)
        if labels is not None and any(labels.get(key) != value for key, value in wanted.limits.items()):
            raise NotFound("unknown_device", f"there is no device {wanted.device}")
    digest = token_digest(new.sign(new.answer, secret))
    connection.execute(
        f"INSERT INTO pre_registration (digest, {_ROW}) VALUES (?, {', '.join('?' * 14)})",  # noqa: S608
        (
            digest, wanted.id, wanted.device, wanted.serial, wanted.without_token, wanted.uses, 0,
            wanted.expires, None, _json(wanted.labels), _json(wanted.limits), row.zone, row.note, row.author,
            now,
        ),
    )  # fmt: skip
    shown = new.answer.model_dump(mode="json", exclude={"token"})
    entry = Entry("enrolment.prepare", "pre_registration", wanted.id, wanted.device, None, shown)
    record(connection, actor, now, entry)
    return new.answer


def _json(labels: Mapping[str, str]) -> str:
    return orjson.dumps(dict(labels), option=orjson.OPT_SORT_KEYS).decode()


def pre_registered(
    connection: sqlite3.Connection, after: tuple[int, str] | None, limits: Mapping[str, str], limit: int
) -> list[PreRegistrationRow]:
    """Newest first, behind (created, id)."""
    created, name = after or (1 << 62, "")
    sql = (
        f"SELECT {_ROW} FROM pre_registration WHERE created < ? OR (created = ? AND id > ?) "  # noqa: S608
        "ORDER BY created DESC, id"
    )
    found: list[PreRegistrationRow] = []
    for raw in connection.execute(sql, (created, created, name)):
        row = _pre_row(raw)
        if _is_seen(row, limits):
            found.append(row)
        if len(found) == limit:
            break
    return found


def _is_seen(row: PreRegistrationRow, limits: Mapping[str, str]) -> bool:
    return all(row.prepared.labels.get(key) == value for key, value in limits.items())


def end_pre_registration(
    connection: sqlite3.Connection, name: str, limits: Mapping[str, str], actor: Actor, now: int
) -> PreRegistrationRow:
    """Its token enrols nobody any more; what it enrolled stays. Raises NotFound."""
    sql = f"SELECT {_ROW} FROM pre_registration WHERE id = ?"  # noqa: S608
    found = connection.execute(sql, (name,)).fetchone()
    row = _pre_row(found) if found else None
    if row is None or not _is_seen(row, limits):
        raise NotFound("unknown_pre_registration", f"there is no pre-registration {name}")
    if row.prepared.revoked is None:
        connection.execute("UPDATE pre_registration SET revoked = ? WHERE id = ?", (now, name))
        record(
            connection, actor, now, Entry("enrolment.revoke", "pre_registration", name, row.prepared.device)
        )
    return _pre_row(connection.execute(sql, (name,)).fetchone())


# --- provisioning -----------------------------------------------------------------------------------------


def provision(connection: sqlite3.Connection, asked: Asked, now: int) -> Verdict:
    """One request of a device, decided and carried out. Raises Refusal."""
    ask = asked.ask
    held = credentials.held(connection, credential_id(ask.digest))
    if held is not None:
        check_held(held, ask, now)
        return _accepted(connection, held)
    if ask.token is not None:
        prepared = _find(connection, "id = ? AND digest = ?", (ask.token, asked.token_digest))
        known = _known(connection, wanted_device(ask, prepared))
        grant: Grant | Wait = by_token(prepared, ask, known, now)
    else:
        prepared, known = _open_for(connection, ask, now), _known(connection, ask.device)
        grant = without_token(ask, prepared, known, now, asked.pending)
    if isinstance(grant, Wait):
        return _wait(connection, asked, now)
    assert prepared is not None, "what is granted was prepared"
    connection.execute("UPDATE pre_registration SET used = used + 1 WHERE id = ?", (prepared.id,))
    actor = Actor("device", grant.device, prepared.id, asked.address)
    return _grant(connection, grant, asked, labels_of(prepared, known), actor, now)


def _find(connection: sqlite3.Connection, where: str, values: tuple[Any, ...]) -> Prepared | None:
    sql = f"SELECT {_PREPARED} FROM pre_registration WHERE {where}"  # noqa: S608
    row = connection.execute(sql, values).fetchone()
    return _prepared(row) if row else None


def _open_for(connection: sqlite3.Connection, ask: Ask, now: int) -> Prepared | None:
    """What was prepared for the device by name; before others what this hardware fits without a token."""
    if ask.device is None:
        return None
    where = (
        "device = ? AND revoked IS NULL AND expires > ? AND used < uses ORDER BY "
        "(without_token = 1 AND serial IN (?, ?)) DESC, created LIMIT 1"
    )
    return _find(connection, where, (ask.device, now, ask.serial, ask.machine))


def _known(connection: sqlite3.Connection, device: str | None) -> Known | None:
    if device is None:
        return None
    sql = (
        "SELECT last_seen IS NOT NULL OR EXISTS (SELECT 1 FROM token WHERE token.device = device.id), "
        "decommissioned IS NOT NULL, "
        "(SELECT machine FROM credential JOIN token USING (id) WHERE credential.device = device.id "
        "ORDER BY created DESC LIMIT 1) FROM device WHERE id = ?"
    )
    row = connection.execute(sql, (device,)).fetchone()
    if row is None:
        return None
    return Known(device, row[2], bool(row[0]), bool(row[1]), registry_labels(connection, device) or {})


def _grant(
    connection: sqlite3.Connection,
    grant: Grant,
    asked: Asked,
    labels: Mapping[str, str],
    actor: Actor,
    now: int,
) -> Verdict:
    ask = asked.ask
    device_no = rows.require_device(connection, grant.device, now)
    for key, value in labels.items():
        connection.execute(
            "INSERT INTO device_label (device_no, key, value, registry) VALUES (?, ?, ?, 1) "
            "ON CONFLICT DO UPDATE SET value = excluded.value, registry = 1",
            (device_no, key, value),
        )
    before = _known(connection, grant.device)
    new = credentials.add(connection, grant.device, ask, grant.way, asked.address, now, asked.expires)
    text = f"enrolled on machine {ask.machine}"
    data: dict[str, object] = {"machine": ask.machine, "credential": new, "address": asked.address}
    if before is not None and before.machine not in (None, ask.machine):
        text += f", before on {before.machine}"
        data["before"] = before.machine
    rows.add_event(connection, device_no, now, "enrolled", text, data)
    after = {**data, "way": grant.way, "labels": dict(labels), "expires": asked.expires}
    record(connection, actor, now, Entry("device.enrol", "device", grant.device, grant.device, None, after))
    held = credentials.held(connection, new)
    assert held is not None, "it was made in this transaction"
    return _accepted(connection, held)


def _accepted(connection: sqlite3.Connection, held: Held) -> Accepted:
    sql = "SELECT config_etag FROM device WHERE id = ?"
    row = connection.execute(sql, (held.device,)).fetchone()
    return Accepted(held.device, held.id, held.expires or (1 << 53), row[0] if row else None)


# --- those who wait ---------------------------------------------------------------------------------------


def _wait(connection: sqlite3.Connection, asked: Asked, now: int) -> Verdict:
    ask = asked.ask
    name = credential_id(ask.digest)
    connection.execute("DELETE FROM enrolment_request WHERE expires <= ?", (now,))
    sql = "SELECT digest, machine, state, reason FROM enrolment_request WHERE id = ?"
    row = connection.execute(sql, (name,)).fetchone()
    if row is None:
        sql = "SELECT count(*) FROM enrolment_request WHERE state = 'pending'"
        if connection.execute(sql).fetchone()[0] >= asked.max_pending:
            raise Busy("too_many_pending", "too many devices wait to be accepted: ask later", 300.0)
        connection.execute(
            f"INSERT INTO enrolment_request ({_REQUEST}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (
                name, ask.digest, ask.device, ask.machine, ask.serial, asked.facts, asked.address[:100],
                "pending", "", now, now, now + asked.pending_ms,
            ),
        )  # fmt: skip
        return name
    digest, machine, state, reason = row
    if digest != ask.digest or machine != ask.machine:
        raise Conflict("key_used", "this key is another machine's: make a new one on each machine")
    if state == "rejected":
        raise Forbidden("rejected", f"an operator rejected this device{': ' + reason if reason else ''}")
    connection.execute("UPDATE enrolment_request SET asked = ? WHERE id = ?", (now, name))
    return name


def _request(connection: sqlite3.Connection, row: tuple[Any, ...]) -> RequestRow:
    known = _known(connection, row[2])
    same = known is not None and known.machine == row[3]
    return replace(RequestRow(*row), known_device=known is not None, same_machine=same)


def requests(
    connection: sqlite3.Connection, after: tuple[int, str] | None, now: int, limit: int
) -> list[RequestRow]:
    """Those that wait, oldest first, behind (created, id)."""
    sql = (
        f"SELECT {_REQUEST} FROM enrolment_request WHERE state = 'pending' AND expires > ? "  # noqa: S608
        "AND (created, id) > (?, ?) ORDER BY created, id LIMIT ?"
    )
    created, name = after or (0, "")
    found = connection.execute(sql, (now, created, name, limit)).fetchall()
    return [_request(connection, row) for row in found]


def _waiting(connection: sqlite3.Connection, name: str, now: int) -> RequestRow:
    sql = f"SELECT {_REQUEST} FROM enrolment_request WHERE id = ? AND expires > ?"  # noqa: S608
    row = connection.execute(sql, (name, now)).fetchone()
    if row is None:
        raise NotFound("unknown_request", f"nobody waits under {name}: it may have expired")
    return _request(connection, row)


def accept(
    connection: sqlite3.Connection, name: str, device: str | None, labels: Mapping[str, str], asked: Asked,
    actor: Actor, now: int,
) -> str:  # fmt: skip
    """The device that it becomes. asked: the centre's settings; its `ask` is what waits. Raises NotFound,
    Conflict."""
    held = credentials.held(connection, name)
    if held is not None:
        return held.device
    row = _waiting(connection, name, now)
    wanted = device or row.device
    if wanted is None:
        raise Conflict("no_device_id", "the device named no id: say which it shall be with device_id")
    known = _known(connection, wanted)
    if known is not None and known.decommissioned:
        raise Conflict("decommissioned", f"{wanted} is decommissioned")
    if row.device is not None and row.device != wanted:
        raise Conflict("other_device", f"the device asked to be {row.device}, not {wanted}")
    ask = Ask(row.digest, row.machine, row.serial, wanted)
    granted = Asked(
        ask, b"", row.address, "", asked.expires, asked.pending, asked.max_pending, asked.pending_ms
    )
    _grant(connection, Grant(wanted, "accepted"), granted, labels, actor, now)
    connection.execute("DELETE FROM enrolment_request WHERE id = ?", (name,))
    return wanted


def reject(connection: sqlite3.Connection, name: str, reason: str, actor: Actor, now: int) -> RequestRow:
    """Raises NotFound."""
    row = _waiting(connection, name, now)
    sql = "UPDATE enrolment_request SET state = 'rejected', reason = ? WHERE id = ?"
    connection.execute(sql, (reason, name))
    after = {"machine": row.machine, "address": row.address, "reason": reason}
    record(
        connection, actor, now, Entry("enrolment.reject", "enrolment_request", name, row.device, None, after)
    )
    return row


class SqliteEnrolment:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def signing_key(self, now: int) -> bytes:
        return await self._database.write(lambda connection: signing_key(connection, now))

    async def pre_register(
        self, new: NewPreRegistration, key: Once | None, actor: Actor, now: int
    ) -> PreRegistered:
        return await self._database.write(lambda connection: pre_register(connection, new, key, actor, now))

    async def pre_registered(
        self, after: tuple[int, str] | None, limits: Mapping[str, str], limit: int
    ) -> list[PreRegistrationRow]:
        return await self._database.read(lambda connection: pre_registered(connection, after, limits, limit))

    async def end_pre_registration(
        self, name: str, limits: Mapping[str, str], actor: Actor, now: int
    ) -> PreRegistrationRow:
        return await self._database.write(
            lambda connection: end_pre_registration(connection, name, limits, actor, now)
        )

    async def provision(self, asked: Asked, now: int) -> Verdict:
        return await self._database.write(lambda connection: provision(connection, asked, now))

    async def requests(self, after: tuple[int, str] | None, now: int, limit: int) -> list[RequestRow]:
        return await self._database.read(lambda connection: requests(connection, after, now, limit))

    async def accept(
        self, name: str, device: str | None, labels: Mapping[str, str], asked: Asked, actor: Actor, now: int
    ) -> str:
        return await self._database.write(
            lambda connection: accept(connection, name, device, labels, asked, actor, now)
        )

    async def reject(self, name: str, reason: str, actor: Actor, now: int) -> RequestRow:
        return await self._database.write(lambda connection: reject(connection, name, reason, actor, now))
