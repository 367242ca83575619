"""Faults on demand: what a simulated station does wrong, to whom, and how often."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from edge_agent.drivers.simulating import faults as simulating


class FaultKind(StrEnum):
    """`missing`: only the addresses in `ranges` exist; the `cut` kinds close the connection at once,
    after the reply, or within it. `lost_reply`: what is asked is done, and nothing comes back. The others
    say what happens to the reply."""

    SILENCE = "silence"
    DELAY = "delay"
    EXCEPTION = "exception"
    MISSING = "missing"
    WRONG_TRANSACTION = "wrong_transaction"
    WRONG_UNIT = "wrong_unit"
    WRONG_FUNCTION = "wrong_function"
    WRONG_LENGTH = "wrong_length"
    REPEAT = "repeat"
    TRUNCATE = "truncate"
    LOST_REPLY = "lost_reply"
    CUT = "cut"
    CUT_AFTER = "cut_after"
    CUT_WITHIN = "cut_within"


class Asked(NamedTuple):
    """A request, as faults judge it. last: the last of its addresses. writes: it asks to write."""

    port: int
    unit: int
    area: str
    first: int
    last: int
    writes: bool


@dataclass(frozen=True, slots=True)
class Fault:
    """seconds: of a delay. code: of an exception. units, ports: whom it concerns (indexes of ports);
    empty: all. area, ranges: inclusive addresses, which `missing` spares and an exception hits where it
    has some. writes: true: it hits requests to write alone. times: requests that it hits before it ends;
    None: it stays."""

    kind: FaultKind
    seconds: float = 0.0
    code: int = 2
    units: frozenset[int] = frozenset()
    ports: frozenset[int] = frozenset()
    area: str = ""
    ranges: tuple[tuple[int, int], ...] = ()
    writes: bool = False
    times: int | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Fault":
        """From JSON. Raises ValueError, TypeError or KeyError."""
        known = dict(values)
        return cls(
            kind=FaultKind(known.pop("kind")),
            units=frozenset(int(unit) for unit in known.pop("units", ())),
            ports=frozenset(int(port) for port in known.pop("ports", ())),
            ranges=tuple((int(low), int(high)) for low, high in known.pop("ranges", ())),
            **known,
        )

    def concerns(self, asked: Asked) -> bool:
        if (self.units and asked.unit not in self.units) or (self.ports and asked.port not in self.ports):
            return False
        if (self.area and asked.area != self.area) or (self.writes and not asked.writes):
            return False
        if self.kind is FaultKind.MISSING:
            return not _covered(self.ranges, asked.first, asked.last)
        return not self.ranges or any(low <= asked.last and high >= asked.first for low, high in self.ranges)


def _covered(ranges: Iterable[tuple[int, int]], first: int, last: int) -> bool:
    for low, high in sorted(ranges):
        if low <= first <= high:
            first = high + 1
        if first > last:
            return True
    return False


class Faults(simulating.Faults[FaultKind, Asked, Fault]):
    """The faults in force."""
