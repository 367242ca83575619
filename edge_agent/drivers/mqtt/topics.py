"""Topics and topic filters: which are valid, and which filter takes which topic. Pure.

Source: MQTT 5.0, 4.7; the rules of 3.1.1 are the same. A filter that begins with a wildcard takes no topic
that begins with `$` (4.7.2).
"""

from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

MAX_TOPIC_BYTES: Final = 65_535
_SHARED: Final = "$share/"

T = TypeVar("T")


def check_filter(text: str) -> str:
    """The filter, if a broker can be asked for it. Raises ValueError."""
    _check_text(text)
    if text.startswith(_SHARED):
        raise ValueError("a shared subscription leaves each message to one of its members: name the topic")
    levels = text.split("/")
    for place, level in enumerate(levels):
        if "#" in level and (level != "#" or place != len(levels) - 1):
            raise ValueError(f"{text!r}: # stands alone, as the last level")
        if "+" in level and level != "+":
            raise ValueError(f"{text!r}: + stands alone in its level")
    return text


def _check_text(text: str) -> None:
    if not text:
        raise ValueError("a topic has at least one character")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{text!r} has characters that UTF-8 cannot hold") from None
    if size > MAX_TOPIC_BYTES:
        raise ValueError(f"a topic has at most {MAX_TOPIC_BYTES} bytes, this one {size}")
    if "\0" in text:
        raise ValueError(f"{text!r}: there is a NUL in it")


def has_wildcard(text: str) -> bool:
    return any(level in ("+", "#") for level in text.split("/"))


class Filters(Generic[T]):
    """Values by topic filter, found by topic in the time that the topic's levels take."""

    def __init__(self, entries: Iterable[tuple[str, T]] = ()) -> None:
        self._root: _Level[T] = _Level()
        for text, value in entries:
            self.add(text, value)

    def add(self, text: str, value: T) -> None:
        level = self._root
        for name in text.split("/"):
            level = level.below.setdefault(name, _Level())
        level.values.append(value)

    def of(self, topic: str) -> Iterator[T]:
        """The values of all filters that take this topic."""
        names = topic.split("/")
        waiting: list[tuple[_Level[T], int]] = [(self._root, 0)]
        while waiting:
            level, place = waiting.pop()
            wild = place > 0 or not topic.startswith("$")
            if wild and (rest := level.below.get("#")) is not None:
                yield from rest.values
            if place == len(names):
                yield from level.values
                continue
            if (exact := level.below.get(names[place])) is not None and names[place] not in ("+", "#"):
                waiting.append((exact, place + 1))
            if wild and (any_one := level.below.get("+")) is not None:
                waiting.append((any_one, place + 1))


class _Level(Generic[T]):
    __slots__ = ("below", "values")

    def __init__(self) -> None:
        self.below: dict[str, _Level[T]] = {}
        self.values: list[T] = []
