"""What differs between two documents' sections: by connection, group and tag. Pure.

Takes time by the documents' size alone: a text diff of 20,000 tags would take minutes.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

import orjson

from central_sync.services.configs.views import (
    ConfigDiff,
    ConnectionChange,
    ConnectionsDiff,
    GroupChange,
    GroupsDiff,
    NamedChange,
    TagsDiff,
    ValueChange,
)

Sections = Mapping[str, Any]
_T = TypeVar("_T")
_LONGEST: Final = 200
# Stands for a key that is not there; null is a value.
_ABSENT: Final = object()


def diff(before: Sections, after: Sections, versions: tuple[int, int]) -> ConfigDiff:
    """versions: the numbers of both, for the answer."""
    lines: list[str] = []
    rest = [{key: value for key, value in each.items() if key != "connections"} for each in (before, after)]
    sections = list(_values(rest[0], rest[1], "", lines))
    connections = _connections(before.get("connections"), after.get("connections"), lines)
    found = ConfigDiff.model_validate({"from": versions[0], "to": versions[1]})
    return found.model_copy(
        update={"sections": sections, "connections": connections, "text": "\n".join(lines)}
    )


def names(before: Sections, after: Sections) -> dict[str, list[str]]:
    """The names of connections that came, went and changed, and of other sections that changed."""
    old, new = _named(before.get("connections")), _named(after.get("connections"))
    others = {key for each in (before, after) for key in each if key != "connections"}
    return {
        "added": [name for name in new if name not in old],
        "removed": [name for name in old if name not in new],
        "changed": [name for name in new if name in old and old[name] != new[name]],
        "sections": sorted(key for key in others if before.get(key) != after.get(key)),
    }


def _connections(before: Any, after: Any, lines: list[str]) -> ConnectionsDiff:
    def changed(name: str, old: Any, new: Any) -> ConnectionChange:
        at = f"connections[{name}]"
        values = list(_values(_without(old, "groups"), _without(new, "groups"), at, lines))
        groups = _groups(_inner(old, "groups"), _inner(new, "groups"), at, lines)
        return ConnectionChange(name=name, changes=values, groups=groups)

    added, removed, both = _compare(before, after, "connections", lines, changed)
    return ConnectionsDiff(added=added, removed=removed, changed=both)


def _groups(before: Any, after: Any, at: str, lines: list[str]) -> GroupsDiff:
    def changed(name: str, old: Any, new: Any) -> GroupChange:
        inner = f"{at}.groups[{name}]"
        values = list(_values(_without(old, "tags"), _without(new, "tags"), inner, lines))
        tags = _tags(_inner(old, "tags"), _inner(new, "tags"), inner, lines)
        return GroupChange(name=name, changes=values, tags=tags)

    added, removed, both = _compare(before, after, f"{at}.groups", lines, changed)
    return GroupsDiff(added=added, removed=removed, changed=both)


def _tags(before: Any, after: Any, at: str, lines: list[str]) -> TagsDiff:
    def changed(name: str, old: Any, new: Any) -> NamedChange:
        return NamedChange(name=name, changes=list(_values(old, new, f"{at}.tags[{name}]", lines)))

    added, removed, both = _compare(before, after, f"{at}.tags", lines, changed)
    return TagsDiff(added=added, removed=removed, changed=both)


def _compare(
    before: Any, after: Any, at: str, lines: list[str], changed: Callable[[str, Any, Any], _T]
) -> tuple[list[str], list[str], list[_T]]:
    old, new = _named(before), _named(after)
    added = [name for name in new if name not in old]
    removed = [name for name in old if name not in new]
    lines += [f"- {at}[{name}]" for name in removed]
    lines += [f"+ {at}[{name}]" for name in added]
    both = [changed(name, old[name], new[name]) for name in new if name in old and old[name] != new[name]]
    return added, removed, both


def _named(items: Any) -> dict[str, Any]:
    """A list's items by their names; by their numbers where they have none."""
    if not isinstance(items, list):
        return {}
    return {
        str(item["name"]) if isinstance(item, dict) and "name" in item else str(index): item
        for index, item in enumerate(items)
    }


def _inner(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _without(value: Any, key: str) -> Any:
    return {name: each for name, each in value.items() if name != key} if isinstance(value, dict) else value


def _values(before: Any, after: Any, at: str, lines: list[str], path: str = "") -> Iterator[ValueChange]:
    if before == after and type(before) is type(after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            inner = f"{path}.{key}" if path else key
            yield from _values(before.get(key, _ABSENT), after.get(key, _ABSENT), at, lines, inner)
        return
    place = ".".join(part for part in (at, path) if part)
    old, new = (None if each is _ABSENT else each for each in (before, after))
    if before is _ABSENT:
        lines.append(f"+ {place}: {_text(new)}")
    elif after is _ABSENT:
        lines.append(f"- {place}: {_text(old)}")
    else:
        lines.append(f"~ {place}: {_text(old)} → {_text(new)}")
    yield ValueChange(path=path, before=old, after=new)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
