"""The audit trail's entries: who did what to which, from where, what was before and what is after.

Each entry's hash covers the hash before it, so that nothing can be changed, taken out or put in between
without every later hash being wrong. An entry is written in the transaction of the change it tells of:
neither exists without the other. Secrets never go into one; whoever makes an entry leaves them out.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import orjson

GENESIS: Final = bytes(32)
# What before and after may take together in one entry; longer ones are told by their hash and size.
MAX_STATE_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something. kind: user, token, device, cli, system. address: where the request came from."""

    kind: str
    id: str
    name: str = ""
    address: str = ""

    @property
    def text(self) -> str:
        """The form that lists are filtered by: `user:7f3a`, `system:retention`."""
        return f"{self.kind}:{self.id}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One change. action: `device.patch`; entity and name: what was changed; device: where it concerns one;
    before and after: JSON of what it was and became, without secrets."""

    action: str
    entity: str
    name: str
    device: str | None = None
    before: Any = None
    after: Any = None


def canonical(entry: Entry, actor: Actor, no: int, time: int) -> bytes:
    """What the hash covers and the trail keeps: canonical JSON of the whole entry."""
    return orjson.dumps(
        {
            "no": no,
            "time": time,
            "actor": {"kind": actor.kind, "id": actor.id, "name": actor.name, "address": actor.address},
            "action": entry.action,
            "entity": entry.entity,
            "name": entry.name,
            "device": entry.device,
            "before": _bounded(entry.before),
            "after": _bounded(entry.after),
        },
        option=orjson.OPT_SORT_KEYS,
    )


def link(previous: bytes, entry: bytes) -> bytes:
    """An entry's hash."""
    return hashlib.sha256(previous + entry).digest()


def _bounded(state: Any) -> Any:
    if state is None:
        return None
    body = orjson.dumps(state, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    if len(body) <= MAX_STATE_BYTES // 2:
        return state
    return {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}
