"""Faults on demand: what a simulated PLC does wrong, with what, and how often."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from edge_agent.drivers.simulating import faults as simulating


class FaultKind(StrEnum):
    """`refuse` answers with `code`; `lost_reply` does what is asked and says nothing; the `cut` kinds close
    the connection at once, after the reply, or within it. The others say what happens to the reply."""

    SILENCE = "silence"
    DELAY = "delay"
    REFUSE = "refuse"
    LOST_REPLY = "lost_reply"
    WRONG_INVOKE_ID = "wrong_invoke_id"
    WRONG_COMMAND = "wrong_command"
    WRONG_SIZE = "wrong_size"
    WRONG_COMPANY = "wrong_company"
    WRONG_CHECKSUM = "wrong_checksum"
    REPEAT = "repeat"
    TRUNCATE = "truncate"
    CUT = "cut"
    CUT_AFTER = "cut_after"
    CUT_WITHIN = "cut_within"


class Asked(NamedTuple):
    """A request, as faults judge it. spans: area, first and last byte of each variable."""

    spans: tuple[tuple[str, int, int], ...]
    writes: bool


@dataclass(frozen=True, slots=True)
class Fault:
    """seconds: of a delay. code: of a refusal. area, ranges: inclusive bytes; a request that touches one is
    hit; empty: all. writes: requests to write alone. times: requests that it hits before it ends; None: it
    stays."""

    kind: FaultKind
    seconds: float = 0.0
    code: int = 4
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
            ranges=tuple((int(low), int(high)) for low, high in known.pop("ranges", ())),
            **known,
        )

    def concerns(self, asked: Asked) -> bool:
        if self.writes and not asked.writes:
            return False
        if not self.area and not self.ranges:
            return True
        return any(
            (not self.area or area == self.area)
            and (not self.ranges or any(low <= last and high >= first for low, high in self.ranges))
            for area, first, last in asked.spans
        )


class Faults(simulating.Faults[FaultKind, Asked, Fault]):
    """The faults in force."""
