"""`zone[01..16]` with `holding:200..215`: one line of the document that stands for many tags. Pure."""

import re
from collections.abc import Sequence
from typing import Any, Final

from edge_agent.config.errors import Place, Problem
from edge_agent.config.tree import PlacedList, PlacedMap, copied, label
from edge_agent.wire.schema import MAX_TAGS

# In names a range needs brackets, so that `a..b` can be a name; in addresses it is bare.
_NAME_RANGE: Final = re.compile(r"(.*)\[([0-9]{1,9})\.\.([0-9]{1,9})\](.*)", re.DOTALL)
_LOOKS_LIKE_RANGE: Final = re.compile(r"\[[^\]]*\.\.[^\]]*\]")
_ADDRESS_RANGE: Final = re.compile(r"(.*?)([0-9]{1,18})\.\.([0-9]{1,18})(.*)", re.DOTALL)
STEP_FIELD: Final = "step"
MAX_EXPANDED: Final = 500_000


class RangeError(ValueError):
    """Refuse the range; `key` is the field whose value is wrong."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class Expander:
    """Expands the ranges of one document; bounded over all of it."""

    def __init__(self, place: Place) -> None:
        self._problems: list[Problem] = []
        self._place = place
        self._made = 0

    def connection(self, connection: dict[str, Any], path: str, has_step: bool) -> dict[str, Any]:
        """The connection with its ranges expanded: itself where it has none, else a copy.

        has_step: the driver's tags take `step`, the distance between two addresses of a range.
        """
        groups = connection.get("groups")
        if not isinstance(groups, list):
            return connection
        expanded = [
            self._group(group, f"{path}.groups[{label(group, index)}]", has_step)
            for index, group in enumerate(groups)
        ]
        if all(new is old for new, old in zip(expanded, groups, strict=True)):
            return connection
        return _with(connection, "groups", _like(groups, expanded, range(len(groups)), self._place))

    def take_problems(self) -> list[Problem]:
        """What was wrong since the last call."""
        found, self._problems = self._problems, []
        return found

    def _group(self, group: Any, path: str, has_step: bool) -> Any:
        tags = group.get("tags") if isinstance(group, dict) else None
        if not isinstance(tags, list):
            return group
        if has_step:
            self._refuse_step(tags, path)
        if not any(_has_range(tag) for tag in tags):
            return group
        result: list[Any] = []
        origins: list[int] = []
        for index, tag in enumerate(tags):
            made = self._tag(tag, f"{path}.tags[{label(tag, index)}]", has_step) if _has_range(tag) else [tag]
            result += made
            origins += [index] * len(made)
        return _with(group, "tags", _like(tags, result, origins, self._place))

    def _refuse_step(self, tags: list[Any], path: str) -> None:
        for index, tag in enumerate(tags):
            if isinstance(tag, dict) and STEP_FIELD in tag:
                inner = f"{path}.tags[{label(tag, index)}].{STEP_FIELD}"
                at = tag.where(STEP_FIELD) if isinstance(tag, PlacedMap) else None
                place = at[0] if at else self._place
                message = f"unknown key '{STEP_FIELD}': it follows from the range of addresses"
                self._problems.append(Problem(place, inner, message))

    def _tag(self, tag: dict[str, Any], path: str, has_step: bool) -> list[dict[str, Any]]:
        try:
            made = _expand_tag(tag, has_step)
            self._made += len(made)
            if self._made > MAX_EXPANDED:
                raise RangeError("name", f"the ranges of this document make more than {MAX_EXPANDED} tags")
        except RangeError as error:
            at = tag.where(error.key) if isinstance(tag, PlacedMap) else None
            place = at[1] if at else getattr(tag, "place", self._place)
            self._problems.append(Problem(place, f"{path}.{error.key}", str(error)))
            return []
        return made


def _has_range(tag: Any) -> bool:
    if not isinstance(tag, dict):
        return False
    name, address = tag.get("name"), tag.get("address")
    if isinstance(name, str) and ".." in name and _LOOKS_LIKE_RANGE.search(name):
        return True
    return isinstance(address, str) and ".." in address and _ADDRESS_RANGE.fullmatch(address) is not None


def _expand_tag(tag: dict[str, Any], has_step: bool) -> list[dict[str, Any]]:
    names = _names(tag.get("name"))
    if "address" in tag:
        addresses, step = _addresses(tag["address"], len(names))
    else:
        addresses, step = [], 0
    made: list[dict[str, Any]] = []
    for index, name in enumerate(names):
        one = copied(tag)
        one["name"] = name
        if addresses:
            one["address"] = addresses[index]
            if has_step:
                one[STEP_FIELD] = step
        made.append(one)
    return made


def _names(name: Any) -> list[str]:
    match = _NAME_RANGE.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        if isinstance(name, str) and _LOOKS_LIKE_RANGE.search(name):
            raise RangeError("name", f"'{name}' is not a range: write name[1..16] or name[01..16]")
        raise RangeError("address", "a range of addresses needs a range of names: name[1..16]")
    before, first, last, after = match.groups()
    if _LOOKS_LIKE_RANGE.search(before):
        raise RangeError("name", "a name has one range at most")
    count = int(last) - int(first) + 1
    if count < 1:
        raise RangeError("name", f"the range [{first}..{last}] runs backwards")
    if count > MAX_TAGS:
        raise RangeError("name", f"the range stands for {count} tags; the most is {MAX_TAGS}")
    width = len(first)
    return [f"{before}{number:0{width}}{after}" for number in range(int(first), int(last) + 1)]


def _addresses(address: Any, count: int) -> tuple[list[str], int]:
    """The address of each of `count` tags, and the distance between two."""
    match = _ADDRESS_RANGE.fullmatch(address) if isinstance(address, str) else None
    if match is None:
        example = f"{address}..{_last(address, count)}" if _last(address, count) else "holding:200..215"
        message = f"{count} tags need a range of addresses that holds them all, such as '{example}'"
        raise RangeError("address", message)
    before, first, last, after = match.groups()
    held = int(last) - int(first) + 1
    if held < 1:
        raise RangeError("address", f"the range {first}..{last} runs backwards")
    if held % count:
        message = f"{first}..{last} holds {held} addresses, which {count} tags cannot share evenly"
        raise RangeError("address", message)
    step, width = held // count, len(first)
    return [f"{before}{int(first) + index * step:0{width}}{after}" for index in range(count)], step


def _last(address: Any, count: int) -> str:
    digits = re.search(r"[0-9]{1,18}\Z", str(address))
    return str(int(digits[0]) + count - 1) if digits else ""


def _with(value: dict[str, Any], key: str, item: Any) -> dict[str, Any]:
    copy = copied(value)
    copy[key] = item
    return copy


def _like(old: list[Any], items: list[Any], origins: Sequence[int], place: Place) -> PlacedList:
    """`items` as a list that knows its places: item i was written where old[origins[i]] is."""
    new = PlacedList(getattr(old, "place", place))
    new.extend(items)
    new.at = [old.at[origin] if isinstance(old, PlacedList) else place for origin in origins]
    new.origins = origins
    return new
