"""How much of its time each group and each line needs, and what follows from that. Pure.

The wire's time is the driver's `bus_seconds`. What the PLC and the network take for an answer nobody knows
before it was measured; until then it is assumed, and called an estimate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from edge_agent.cli import figures
from edge_agent.cli.context import GroupPlan

# A PLC serves its network once in a scan, which is about this long.
ASSUMED_ANSWER_SECONDS: Final = 0.01
TIGHT_PERCENT: Final = 20.0

# How long one real round took, by (connection, group).
Measured: TypeAlias = Mapping[tuple[str, str], float]


@dataclass(frozen=True, slots=True)
class GroupLoad:
    """One group's cycle. measured_seconds: of one real round, where that was timed."""

    plan: GroupPlan
    measured_seconds: float | None = None

    @property
    def name(self) -> str:
        return f"{self.plan.connection}.{self.plan.group}"

    @property
    def expected_seconds(self) -> float:
        """What a cycle takes: as measured, else the wire's time and an assumed answer for each request."""
        if self.measured_seconds is not None:
            return self.measured_seconds
        return self.plan.bus_seconds + ASSUMED_ANSWER_SECONDS * len(self.plan.requests)

    @property
    def bus_share(self) -> float:
        return self.plan.bus_seconds / self.plan.interval_seconds

    @property
    def share(self) -> float:
        """Of the interval; over 1 it cannot be kept."""
        return self.expected_seconds / self.plan.interval_seconds

    @property
    def headroom_percent(self) -> float:
        return 100 * (1 - self.share)


@dataclass(slots=True)
class LineLoad:
    """All groups, units and connections on one transport: they take turns."""

    line: str
    transport: str
    loads: list[GroupLoad] = field(default_factory=list)

    @property
    def connections(self) -> list[str]:
        return sorted({load.plan.connection for load in self.loads})

    @property
    def units(self) -> int:
        return len({load.plan.unit_id for load in self.loads})

    @property
    def requests_per_second(self) -> float:
        return sum(len(load.plan.requests) / load.plan.interval_seconds for load in self.loads)

    @property
    def bytes_per_second(self) -> float:
        return sum(load.plan.bytes / load.plan.interval_seconds for load in self.loads)

    @property
    def bus_share(self) -> float:
        return sum(load.bus_share for load in self.loads)

    @property
    def share(self) -> float:
        return sum(load.share for load in self.loads)


@dataclass(frozen=True, slots=True)
class Verdict:
    """errors: what the wire's physics forbid. warnings: what an estimate or a measurement speaks against."""

    groups: list[GroupLoad]
    lines: list[LineLoad]
    errors: list[str]
    warnings: list[str]


def judge(plans: Sequence[GroupPlan], measured: Measured | None = None) -> Verdict:
    known = measured or {}
    loads = [GroupLoad(plan, known.get((plan.connection, plan.group))) for plan in plans]
    lines: dict[str, LineLoad] = {}
    for load in loads:
        plan = load.plan
        lines.setdefault(plan.line, LineLoad(plan.line, plan.transport)).loads.append(load)
    verdict = Verdict(loads, list(lines.values()), [], [])
    for load in loads:
        _judge_group(load, verdict)
    for line in lines.values():
        _judge_line(line, verdict)
    return verdict


def _judge_group(load: GroupLoad, verdict: Verdict) -> None:
    interval = figures.interval(load.plan.interval_seconds)
    if load.bus_share > 1:
        need = figures.milliseconds(load.plan.bus_seconds)
        verdict.errors.append(
            f"{load.name}: cannot be polled every {interval}: the wire alone takes {need} ms; poll less often"
        )
    elif load.share > 1:
        need = figures.milliseconds(load.expected_seconds)
        verdict.warnings.append(
            f"{load.name}: one cycle takes {need} ms {_source(load)}, more than its {interval}; "
            "poll less often"
        )
    elif load.headroom_percent < TIGHT_PERCENT:
        left = figures.percent(load.headroom_percent)
        verdict.warnings.append(f"{load.name}: only {left} of {interval} is left {_source(load)}")


def _source(load: GroupLoad) -> str:
    return "by estimate" if load.measured_seconds is None else "as measured"


def _judge_line(line: LineLoad, verdict: Verdict) -> None:
    if len(line.loads) == 1:
        return
    if line.bus_share > 1:
        verdict.errors.append(
            f"line {line.line}: its groups together take {100 * line.bus_share:.0f} % of the time on the "
            "wire alone; poll less often"
        )
    elif line.share > 1:
        verdict.warnings.append(
            f"line {line.line}: its groups together take {100 * line.share:.0f} % of the time; "
            "poll less often"
        )


def bar(share: float, columns: int = 10) -> str:
    """`####......`; `######!!!!` marks what is over. In ASCII: every terminal and log shows it alike."""
    if share > 1:
        over = min(columns, max(1, round(columns * (share - 1) / share)))
        return "#" * (columns - over) + "!" * over
    full = round(share * columns)
    if share > 0:
        full = max(1, full)
    return "#" * full + "." * (columns - full)
