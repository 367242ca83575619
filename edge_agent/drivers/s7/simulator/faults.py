"""Faults on demand: what a simulated CPU does wrong, to which requests, and how often."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from edge_agent.drivers.simulating import faults as simulating


class FaultKind(StrEnum):
    """error: an error of the whole message (`code`; 0x8104 is «PUT/GET is off»). item: a return code for the
    ranges that it concerns (0x0A: no such block, or an optimised one). lost_reply: it is carried out, and
    not answered. wrong_reference, wrong_length, repeat, truncate, garbage: what becomes of the reply. cut,
    cut_within: the connection ends before or within it."""

    SILENCE = "silence"
    DELAY = "delay"
    ERROR = "error"
    ITEM = "item"
    LOST_REPLY = "lost_reply"
    WRONG_REFERENCE = "wrong_reference"
    WRONG_LENGTH = "wrong_length"
    REPEAT = "repeat"
    TRUNCATE = "truncate"
    GARBAGE = "garbage"
    CUT = "cut"
    CUT_WITHIN = "cut_within"


@dataclass(frozen=True, slots=True)
class Fault:
    """seconds: of a delay. area, db, start, end: an item's ranges that touch these bytes; empty, None: all.
    writes: only requests to write. times: requests that it hits before it ends; None: it stays."""

    kind: FaultKind
    seconds: float = 0.0
    code: int = 0x0A
    area: str = ""
    db: int | None = None
    start: int = 0
    end: int = 65_536
    writes: bool = False
    times: int | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Fault":
        """From JSON. Raises ValueError, TypeError or KeyError."""
        known = dict(values)
        return cls(kind=FaultKind(known.pop("kind")), **known)

    def concerns(self, asked: bool) -> bool:
        """asked: the job writes. Items are judged by `item_code`."""
        return self.kind is not FaultKind.ITEM and (asked or not self.writes)

    def touches(self, area: str, db: int, start: int, end: int) -> bool:
        if (self.area and area != self.area) or (self.db is not None and db != self.db):
            return False
        return start < self.end and end > self.start


class Faults(simulating.Faults[FaultKind, bool, Fault]):
    """The faults in force. Jobs are judged by whether they write; items have faults of their own."""

    @property
    def silent(self) -> bool:
        return any(fault.kind is FaultKind.SILENCE for fault in self.active.values())

    def item_code(self, area: str, db: int, start: int, end: int, *, writes: bool) -> int | None:
        """The return code that a range gets instead of data; None: it is served."""
        for fault in self.active.values():
            if fault.kind is not FaultKind.ITEM or (fault.writes and not writes):
                continue
            if fault.touches(area, db, start, end):
                return fault.code
        return None
