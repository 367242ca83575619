"""Choosing devices by their labels, in the form that Kubernetes made common. Pure.

`site=north, line in (a, b), !retired, spare != yes, company` - all parts must hold. `key` asks for the label,
`!key` for its absence; `!=` and `notin` hold where the label is absent too.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from central_sync.services.errors import Invalid

MAX_PARTS: Final = 20
_KEY: Final = r"[^\s=!,()]{1,100}"
_VALUE: Final = r"[^\s=!,()]{0,200}"
_PART: Final = re.compile(
    rf"\s*(?:(?P<absent>!)\s*(?P<gone>{_KEY})"
    rf"|(?P<set>{_KEY})\s+(?P<word>in|notin)\s*\((?P<values>[^()]*)\)"
    rf"|(?P<key>{_KEY})\s*(?:(?P<sign>==|=|!=)\s*(?P<value>{_VALUE}))?)\s*(?:,|$)"
)


class Test(StrEnum):
    IN = "in"
    NOT_IN = "notin"
    EXISTS = "exists"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Part:
    key: str
    test: Test
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.test:
            case Test.IN:
                return value in self.values
            case Test.NOT_IN:
                return value not in self.values
            case Test.EXISTS:
                return value is not None
            case Test.ABSENT:
                return value is None


@dataclass(frozen=True, slots=True)
class Selector:
    parts: tuple[Part, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(part.holds(labels) for part in self.parts)


def parse(text: str) -> Selector:
    """Raises Invalid (`bad_selector`) with the place. An empty text is refused: it would be everybody."""
    parts: list[Part] = []
    at = 0
    while at < len(text):
        match = _PART.match(text, at)
        if match is None or len(parts) >= MAX_PARTS:
            raise Invalid("bad_selector", f"not understood from column {at + 1}: {text[at : at + 40]!r}")
        parts.append(_part(match))
        at = match.end()
    if not parts:
        raise Invalid("bad_selector", "an empty selector would choose every device: say `*` for that")
    return Selector(()) if parts == [Part("*", Test.EXISTS)] else Selector(tuple(parts))


def _part(match: re.Match[str]) -> Part:
    if match["absent"]:
        return Part(match["gone"], Test.ABSENT)
    if match["set"]:
        values = tuple(value.strip() for value in match["values"].split(","))
        return Part(match["set"], Test.IN if match["word"] == "in" else Test.NOT_IN, values)
    if match["sign"]:
        return Part(match["key"], Test.NOT_IN if match["sign"] == "!=" else Test.IN, (match["value"],))
    return Part(match["key"], Test.EXISTS)
