"""What an entry of the allow-list of writes was made for, and whether the tag is still that. Pure.

A centre that manages `connections` can make another point of a name: another host, station, address, type or
scale. So where it may, an entry holds a pin, and a tag that does not have it is not written. A pin names the
essentials for people, and ends in a hash over all settings of the connection, group and tag that differ from
their defaults, but for those in `_HARMLESS` and secrets. A setting that a driver gains is thus pinned too.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import orjson
from pydantic import BaseModel

from edge_agent.config.base import Settings
from edge_agent.config.models import ConnectionSettings, Document, GroupSettings, TagSettings
from edge_agent.config.secrecy import is_secret_key
from edge_agent.config.writes import WriteAllowance
from edge_agent.wire.schema import ValueType

# What changes neither where a write goes nor what it means there.
_HARMLESS: Final = frozenset({"name", "enabled", "interval", "liveness", "deadband", "unit", "description"})
_LEFT_OUT: Final = _HARMLESS | {"groups", "tags"}
_HASH_DIGITS: Final = 16


Place = tuple[ConnectionSettings, GroupSettings, TagSettings]


def places(document: Document) -> Mapping[str, Place]:
    """Where the tags of the allow-list stand, by name; those that stand nowhere are missing."""
    wanted: dict[str, set[str]] = {}
    for entry in document.writes.allow:
        name, _, tag = entry.tag.partition(".")
        wanted.setdefault(name, set()).add(tag)
    return {
        f"{connection.name}.{tag.name}": (connection, group, tag)
        for connection in document.connections
        if connection.name in wanted
        for group in getattr(connection, "groups", ())
        for tag in getattr(group, "tags", ())
        if tag.name in wanted[connection.name]
    }


def pin_of(connection: ConnectionSettings, group: GroupSettings, tag: TagSettings) -> str:
    transport = getattr(connection, "transport", None)
    unit = group.unit_id if group.unit_id is not None else getattr(transport, "unit_id", None)
    parts = [connection.driver, _far_end(transport)]
    parts += [] if unit is None else [f"unit {unit}"]
    address = getattr(tag, "address", None) or getattr(tag, "node", None)
    parts += [] if address is None else [str(address)]
    count = getattr(tag, "count", 1)
    parts += [f"{tag.type}" + (f"[{count}]" if count != 1 else "")]
    parts += [f"x {tag.scale:g} + {tag.offset:g}", f"#{_hash(connection, group, tag)}"]
    return " ".join(part for part in parts if part)


def _far_end(transport: Any) -> str:
    for name in ("url", "endpoint"):
        if getattr(transport, name, None):
            return str(getattr(transport, name))
    host, port = getattr(transport, "host", None), getattr(transport, "port", None)
    if host is None:
        return "" if port is None else str(port)
    return str(host) if port is None else f"{host}:{port}"


def _hash(*settings: Settings) -> str:
    said = [_relevant(each, _LEFT_OUT) for each in settings]
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()[:_HASH_DIGITS]


def _relevant(value: Any, left_out: frozenset[str] = frozenset({"timeout"})) -> Any:
    """A model with the name of its class: members of a union differ in their defaults alone."""
    if isinstance(value, BaseModel):
        said = {
            name: _relevant(getattr(value, name))
            for name, field in type(value).model_fields.items()
            if name not in left_out
            and not is_secret_key(name)
            and getattr(value, name) != field.get_default(call_default_factory=True)
        }
        return {"class": type(value).__name__, **said}
    if isinstance(value, dict):
        return {str(key): _relevant(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_relevant(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def refusal(entry: WriteAllowance, place: Place | None, *, must_pin: bool) -> str:
    """Why a tag is not written, as things stand; empty: it may be. place: where it stands now."""
    if place is None:
        return f"there is no tag {entry.tag}"
    now = pin_of(*place)
    if entry.pin is None and not must_pin:
        return bounds_problem(entry, place[2])
    if entry.pin is None:
        return f"the centre may change what {entry.tag} is, so this needs pin: {now!r}"
    if entry.pin != now:
        return f"{entry.tag} is not what it was pinned to ({entry.pin}) any more, but {now}"
    return bounds_problem(entry, place[2])


def bounds_problem(entry: WriteAllowance, tag: TagSettings) -> str:
    """What of the bounds does not fit the tag's type; empty: nothing."""
    if tag.type is ValueType.JSON:
        return "a structure cannot be written"
    if tag.type in (ValueType.STRING, ValueType.BOOL):
        return f"a {tag.type} has no min and max" if entry.min is not None else ""
    if entry.min is None and entry.values is None:
        return "a number needs its bounds: min and max, or values"
    return ""


def must_pin(document: Document) -> bool:
    return "connections" in document.remote.manage
