"""What the live view shows, from snapshots of the agent's status. Pure.

Counts become rates by the difference of two snapshots over the agent's own monotonic time, so neither a
step of a clock nor a slow terminal bends them. Without a second snapshot of the same run a rate is None.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from edge_agent.contracts.status import AgentStatus, LatenessReport, LatestValue, SinkReport
from edge_agent.runtime.health import QUIET_STATES, device_state
from edge_agent.wire.messages import ConnectionReport, HookReport

# The wait for the newest batch is no backlog: one is being sent, one being written.
_USUAL_BATCHES: Final = 2


@dataclass(frozen=True, slots=True)
class Snapshot:
    """values: the newest of one connection, where somebody looks at it."""

    status: AgentStatus
    values: Sequence[LatestValue] = ()


@dataclass(frozen=True, slots=True)
class Rates:
    """Samples a second: read = suppressed + framed; framed ones are stored, stored ones acknowledged."""

    read: float | None
    suppressed: float | None
    framed: float | None
    stored: float | None
    acknowledged: float | None


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of counts by upper bound: at most `ms`, or more than `ms` where that is the last bound."""

    ms: float
    above: bool = False


@dataclass(frozen=True, slots=True)
class Lateness:
    p50: Quantile | None
    p99: Quantile | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits. trend: none, shrinking, growing. catch_up_seconds: at the present rate, while shrinking."""

    batches: int
    samples: int
    size_bytes: int
    quota_bytes: int
    pending_bytes: int
    oldest: int | None
    trend: str
    catch_up_seconds: float | None


@dataclass(frozen=True, slots=True)
class Line:
    """One connection. errors: cycles in this run that a unit did not answer or refused. ill: needs a look."""

    name: str
    driver: str
    address: str
    state: str
    since: int
    ill: bool
    units: int
    units_answering: int
    rate: float | None
    request_ms: float | None
    errors: int
    overruns: int
    error: str


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything on the screen; `--json` prints exactly this. Times are UTC milliseconds."""

    time: int
    device: str
    state: str
    version: str
    run: str
    uptime_seconds: float
    clock_sync: bool | None
    clock_offset_ms: float | None
    cpu_percent: float | None
    memory_bytes: int | None
    rates: Rates
    lateness: Lateness
    delay_ms: int | None
    backlog: Backlog
    sinks: list[SinkReport]
    lost_samples: int
    connections: list[Line]
    values: list[LatestValue]
    hooks: list[HookReport]


def figures(history: Sequence[Snapshot], now_ms: int) -> Figures:
    """history: of one run, the oldest first, at least one; rates are between its ends."""
    newest = history[-1]
    status, old = newest.status, history[0].status
    rates = _rates(old, status)
    return Figures(
        time=now_ms,
        device=status.device,
        state=device_state(status),
        version=status.version,
        run=status.run,
        uptime_seconds=status.uptime_seconds,
        clock_sync=status.clock.sync,
        clock_offset_ms=status.clock.offset_ms,
        cpu_percent=status.host.process_cpu_percent,
        memory_bytes=status.host.process_memory_bytes,
        rates=rates,
        lateness=_lateness(old.lateness, status.lateness),
        delay_ms=next((sink.delay_ms for sink in status.sinks if sink.delay_ms is not None), None),
        backlog=_backlog(status, rates),
        sinks=status.sinks,
        lost_samples=status.lost_samples,
        connections=_lines(old, status),
        values=list(newest.values),
        hooks=[] if status.hooks is None else list(status.hooks.hooks),
    )


def _rate(old: AgentStatus, new: AgentStatus, count: Callable[[AgentStatus], int]) -> float | None:
    seconds = new.uptime_seconds - old.uptime_seconds
    if old.run != new.run or seconds <= 0:
        return None
    return round(max(0, count(new) - count(old)) / seconds, 3)


def _rates(old: AgentStatus, new: AgentStatus) -> Rates:
    return Rates(
        read=_rate(old, new, lambda status: sum(entry.read for entry in status.accounting)),
        suppressed=_rate(old, new, lambda status: sum(entry.suppressed for entry in status.accounting)),
        framed=_rate(old, new, lambda status: sum(entry.framed for entry in status.accounting)),
        stored=_rate(old, new, lambda status: status.stored_samples),
        acknowledged=_rate(old, new, _acknowledged) if new.sinks else None,
    )


def _acknowledged(status: AgentStatus) -> int:
    return sum(sink.delivered_samples for sink in status.sinks)


def _lateness(old: LatenessReport, new: LatenessReport) -> Lateness:
    """Of the cycles between the two, or of all so far where there is one snapshot alone."""
    counts = new.counts
    if old is not new and old.bounds_ms == new.bounds_ms:
        counts = [after - before for before, after in zip(old.counts, new.counts, strict=True)]
    return Lateness(quantile(new.bounds_ms, counts, 0.5), quantile(new.bounds_ms, counts, 0.99))


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> Quantile | None:
    """The least bound that holds `share` of what was counted; None where nothing was."""
    total, seen = sum(counts), 0
    if total <= 0 or not bounds:
        return None
    for bound, count in zip(bounds, counts, strict=False):
        seen += count
        if seen >= share * total:
            return Quantile(bound)
    return Quantile(bounds[-1], above=True)


def _backlog(status: AgentStatus, rates: Rates) -> Backlog:
    buffer = status.buffer
    trend, seconds = "none", None
    if status.sinks and buffer.pending_batches > _USUAL_BATCHES:
        gained = (rates.acknowledged or 0.0) - (rates.stored or 0.0)
        trend = "shrinking" if gained > 0 else "growing"
        seconds = round(buffer.pending_samples / gained, 1) if gained > 0 else None
    return Backlog(
        batches=buffer.pending_batches,
        samples=buffer.pending_samples,
        size_bytes=buffer.size_bytes,
        quota_bytes=buffer.quota_bytes,
        pending_bytes=buffer.pending_bytes,
        oldest=buffer.oldest_pending,
        trend=trend,
        catch_up_seconds=seconds,
    )


def _lines(old: AgentStatus, new: AgentStatus) -> list[Line]:
    before = {report.name: report for report in old.connections}
    seconds = new.uptime_seconds - old.uptime_seconds
    return [_line(before.get(report.name), report, seconds) for report in new.connections]


def _line(old: ConnectionReport | None, new: ConnectionReport, seconds: float) -> Line:
    rate = None
    if old is not None and seconds > 0:
        rate = round(max(0, new.samples - old.samples) / seconds, 3)
    failing = [unit for unit in new.units if unit.error]
    quiet = [f"group {group.name} is {group.state}" for group in new.groups if group.state in QUIET_STATES]
    error = new.error or next((unit.error for unit in failing), "") or next(iter(quiet), "")
    return Line(
        name=new.name,
        driver=new.driver,
        address=new.address,
        state=new.state,
        since=new.since,
        ill=new.state not in ("connected", "stopped") or bool(failing or quiet),
        units=len(new.units),
        units_answering=len(new.units) - len(failing) if new.state == "connected" else 0,
        rate=rate,
        request_ms=new.latency_ms,
        errors=sum(unit.bad_cycles for unit in new.units),
        overruns=new.overruns,
        error=error,
    )


Key: TypeAlias = Callable[[Line], tuple[float, str]]

# Each order's first row is what one looks for with it.
ORDERS: Final[dict[str, Key]] = {
    "ill": lambda line: (0 if line.ill else 1, ""),
    "name": lambda line: (0, line.name),
    "rate": lambda line: (-(line.rate or 0.0), line.name),
    "request": lambda line: (-(line.request_ms or 0.0), line.name),
    "errors": lambda line: (-line.errors, line.name),
    "overruns": lambda line: (-line.overruns, line.name),
}


def chosen(lines: Sequence[Line], order: str, text: str) -> list[Line]:
    """The connections that a filter leaves, in an order of `ORDERS`."""
    wanted = text.casefold()
    found = [line for line in lines if wanted in f"{line.name} {line.state} {line.address}".casefold()]
    return sorted(found, key=ORDERS[order])


def chosen_values(values: Sequence[LatestValue], text: str) -> list[LatestValue]:
    wanted = text.casefold()
    return [value for value in values if wanted in f"{value.tag} {value.quality}".casefold()]
