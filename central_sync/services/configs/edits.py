"""What can be done to a device's sections: replace them, put connections, groups or tags, patch. Pure.

An edit takes the sections as they are and gives new ones; what it was given stays untouched. Whether agents
take the result is judged elsewhere.
"""

import copy
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from central_sync.services.errors import Invalid, NotFound

Sections = dict[str, Any]
MAX_PATCH_DEPTH: Final = 32


def merge_connections(sections: Sections, given: Sections) -> Sections:
    """The given connections take the place of those with their names, others are added; other sections
    that are given are replaced whole. Raises Invalid."""
    wanted = given.get("connections", [])
    if not isinstance(wanted, list) or not all(_name(item) for item in wanted):
        raise Invalid("bad_config", "connections: needs a list, and each connection a name")
    merged = {**sections, **{key: value for key, value in given.items() if key != "connections"}}
    if "connections" in given or "connections" in sections:
        merged["connections"] = _put(_connections(sections), wanted)
    return merged


def patch_connections(sections: Sections, patch: Mapping[str, Any]) -> Sections:
    """A JSON merge patch (RFC 7396) for each connection by its name; null takes the connection away.
    Raises NotFound for a connection that would have to be there."""
    left = {str(_name(item)): item for item in _connections(sections)}
    for name, change in patch.items():
        if change is None:
            if name not in left:
                raise NotFound("unknown_connection", f"the config has no connection {name}")
            del left[name]
        else:
            left[name] = {**_merged(left.get(name, {}), change, 0), "name": name}
    return {**sections, "connections": list(left.values())}


def chosen(sections: Sections, pattern: str, driver: str) -> list[str]:
    """The connections that a pattern (`press*`) names and whose driver is this one; "": any. Raises
    NotFound where there is none."""
    found = [
        str(_name(item))
        for item in _connections(sections)
        if fnmatchcase(str(_name(item)), pattern) and driver in ("", item.get("driver"))
    ]
    if not found:
        kind = f"{driver} connection" if driver else "connection"
        raise NotFound("unknown_connection", f"the config has no {kind} called {pattern}")
    return found


def put_groups(
    sections: Sections, connection: str, groups: list[Any], driver: str, *, replace: bool
) -> Sections:
    """Groups take the place of those with their names, others are added. replace: the connection has these
    alone. Raises NotFound, Invalid where the connection has another driver."""
    found = _find(sections, connection)
    if driver and found.get("driver") != driver:
        text = f"{connection} is a connection of {found.get('driver')}, and this is for {driver}"
        raise Invalid("other_protocol", text)
    kept = [] if replace else _list(found.get("groups"))
    return _with(sections, {**found, "groups": _put(kept, groups)})


def put_tags(
    sections: Sections, connection: str, group: str, tags: list[Any], interval: str | None, *, replace: bool
) -> Sections:
    """Tags take the place of those with their names in the group, others are added. replace: the group has
    these alone. interval: of a group that is new. Raises NotFound, Invalid."""
    found = _find(sections, connection)
    groups = _list(found.get("groups"))
    old = next((each for each in groups if _name(each) == group), None)
    if old is None and interval is None:
        text = f"{connection} has no group {group}: give its interval, such as 1s, to make one"
        raise Invalid("unknown_group", text)
    base = {"name": group, "interval": interval, "tags": []} if old is None else dict(old)
    if interval is not None:
        base["interval"] = interval
    base["tags"] = _put([] if replace else _list(base.get("tags")), tags)
    return _with(sections, {**found, "groups": _put(groups, [base])})


def _find(sections: Sections, connection: str) -> dict[str, Any]:
    for item in _connections(sections):
        if _name(item) == connection:
            return dict(item)
    raise NotFound("unknown_connection", f"the config has no connection {connection}")


def _with(sections: Sections, connection: dict[str, Any]) -> Sections:
    return {**sections, "connections": _put(_connections(sections), [connection])}


def _connections(sections: Sections) -> list[Any]:
    return _list(sections.get("connections"))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _put(old: Iterable[Any], new: Iterable[Any]) -> list[Any]:
    """New items in the places of their namesakes, the others behind them."""
    replacing = {_name(item): item for item in new}
    kept = [replacing.pop(_name(item), item) if _name(item) is not None else item for item in old]
    return copy.deepcopy([*kept, *(item for item in new if _name(item) in replacing)])


def _name(item: Any) -> str | None:
    name = item.get("name") if isinstance(item, dict) else None
    return name if isinstance(name, str) else None


def _merged(old: Any, patch: Any, depth: int) -> Any:
    if not isinstance(patch, dict):
        if depth == 0:
            raise Invalid("bad_patch", "the patch of a connection is an object, or null to take it away")
        return patch
    if depth > MAX_PATCH_DEPTH:
        raise Invalid("bad_patch", f"nested deeper than {MAX_PATCH_DEPTH} levels")
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value, depth + 1)
    return merged
