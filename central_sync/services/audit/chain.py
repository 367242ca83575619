"""Judging the audit trail: is every entry the one that was written, in its place, and is none missing. Pure.

The chain alone shows what was changed, taken out, put in between or moved. Who can write the database can
also compute all later hashes anew, or cut the end off: that is found by a checkpoint, a signed statement of
number and hash that was kept elsewhere. Where old entries were removed by retention an anchor, signed in the
same way, stands for them.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from central_sync.services.audit.entries import GENESIS, link
from central_sync.services.errors import Invalid

_PURPOSE: Final = b"holdfast audit statement 1\n"


class Statement(BaseModel):
    """At `time` the entry `no` had this hash. `kind`: a checkpoint, or the anchor that stands for what
    retention removed. Everything but the signature is signed."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    kind: str = Field(pattern="^(checkpoint|anchor)$")
    centre: str = Field(max_length=100)
    no: int = Field(ge=0, lt=1 << 63)
    hash: str = Field(pattern="^[0-9a-f]{64}$")
    time: int = Field(ge=0, lt=1 << 63)
    key: str = Field(max_length=100, description="Public key, Ed25519, base64url.")
    signature: str = Field("", max_length=200)

    def signed_bytes(self) -> bytes:
        fields = self.model_dump(exclude={"signature"})
        return _PURPOSE + orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)

    def line(self) -> str:
        """One line of JSON, as it is kept."""
        return orjson.dumps(self.model_dump()).decode()


class Signer(Protocol):
    """The centre's own key."""

    @property
    def public(self) -> str: ...

    def sign(self, message: bytes) -> bytes: ...


# Whether a signature (raw) of a message is one of the key (base64url).
Verifies = Callable[[str, bytes, bytes], bool]


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Raises ValueError."""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def sign(signer: Signer, kind: str, centre: str, no: int, digest: bytes, now: int) -> Statement:
    plain = Statement(kind=kind, centre=centre, no=no, hash=digest.hex(), time=now, key=signer.public)
    return plain.model_copy(update={"signature": encode(signer.sign(plain.signed_bytes()))})


def read_statements(text: str, source: str) -> list[Statement]:
    """One a line. Raises Invalid with the line."""
    found: list[Statement] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(Statement.model_validate_json(line))
        except ValidationError as error:
            raise Invalid("bad_checkpoint", f"{source}:{number}: this is no checkpoint") from error
    return found


@dataclass(frozen=True, slots=True)
class Stored:
    """One row of the trail: its columns, which lists are filtered by, and the entry that the hash covers."""

    no: int
    time: int
    action: str
    entity: str
    name: str
    device: str | None
    actor: str
    entry: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Wrong:
    """The first thing that is wrong. no: of the entry that it was found at."""

    no: int
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Place:
    """How far the walk is: the last good entry."""

    no: int = 0
    hash: bytes = GENESIS


@dataclass(frozen=True, slots=True)
class Verdict:
    """entries: how many were walked; last: the last good one; unchecked: statements about entries that are
    not kept any more."""

    entries: int
    last: Place
    wrong: Wrong | None = None
    unchecked: int = 0


class Walk:
    """Takes the rows in the order of their numbers, part by part. `check_statement` found no fault with
    `statements`."""

    def __init__(self, place: Place, statements: Sequence[Statement] = ()) -> None:
        self.place = place
        self.entries = 0
        self.wrong: Wrong | None = None
        self._unchecked = sum(1 for statement in statements if statement.no < place.no)
        self._known: dict[int, set[str]] = {}
        for statement in statements:
            if statement.no >= place.no:
                self._known.setdefault(statement.no, set()).add(statement.hash)
        self._contradict(place)

    def take(self, rows: Iterable[Stored]) -> bool:
        """False: something is wrong, and the walk is over."""
        for row in rows:
            self.wrong = self.wrong or _judge(self.place, row)
            if self.wrong is not None:
                return False
            self.place = Place(row.no, row.hash)
            self.entries += 1
            if row.no in self._known and self._contradict(self.place):
                return False
        return self.wrong is None

    def verdict(self) -> Verdict:
        """After the last row."""
        newest = max(self._known, default=0)
        if self.wrong is None and newest > self.place.no:
            self.wrong = Wrong(
                self.place.no + 1,
                "truncated",
                f"a checkpoint knows entry {newest}, and the trail ends at {self.place.no}",
            )
        return Verdict(self.entries, self.place, self.wrong, self._unchecked)

    def _contradict(self, place: Place) -> bool:
        known = self._known.get(place.no)
        if known is None or known == {place.hash.hex()}:
            return False
        detail = (
            f"the checkpoint of entry {place.no} names another hash: this entry or one before it was changed"
        )
        self.wrong = Wrong(place.no, "rewritten", f"{detail}, and all hashes since were made anew")
        return True


def _judge(last: Place, row: Stored) -> Wrong | None:
    expected = last.no + 1
    inner = _inner(row.entry)
    if row.no > expected:
        until = f" to {row.no - 1}" if row.no - 1 > expected else ""
        return Wrong(expected, "missing", f"entry {expected}{until} is missing")
    if inner.get("no") != row.no:
        detail = f"in the place of entry {row.no} stands one that says it is {inner.get('no')}"
        return Wrong(row.no, "moved", f"{detail}: moved, or put in")
    if link(last.hash, row.entry) != row.hash:
        detail = "it, its hash, or the one before it together with its hash was changed or put in"
        return Wrong(row.no, "changed", f"entry {row.no} does not follow from the one before: {detail}")
    differing = [name for name, value in _columns(inner).items() if getattr(row, name) != value]
    if differing:
        return Wrong(
            row.no, "column", f"entry {row.no}: {', '.join(differing)} does not say what the entry says"
        )
    return None


def _inner(entry: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(entry)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _columns(inner: dict[str, Any]) -> dict[str, Any]:
    actor = inner.get("actor") or {}
    plain = {name: inner.get(name) for name in ("time", "action", "entity", "name", "device")}
    return plain | {"actor": f"{actor.get('kind')}:{actor.get('id')}"}


def check_statement(
    statement: Statement, centre: str, keys: frozenset[str], verifies: Verifies
) -> str | None:
    """What is wrong with a statement itself; None: nothing. keys: that are trusted."""
    if statement.centre != centre:
        return f"it is of centre {statement.centre}, and this one is {centre}"
    if statement.key not in keys:
        return "it is signed with another key than this centre's: name the key with --key if you trust it"
    try:
        good = verifies(statement.key, decode(statement.signature), statement.signed_bytes())
    except ValueError:
        good = False
    return None if good else "its signature is wrong"


def start_of(statement: Statement) -> Place:
    return Place(statement.no, bytes.fromhex(statement.hash))


def forgotten(verdict: Verdict, before: int) -> Verdict:
    """The same with the number of statements that were left out before the walk."""
    return replace(verdict, unchecked=verdict.unchecked + before)
