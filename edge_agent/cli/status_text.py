"""The status page as text: what is wrong comes first. Pure."""

from collections.abc import Iterator, Mapping
from typing import Final

from edge_agent.cli import figures
from edge_agent.cli.figures import plural
from edge_agent.cli.text import Cell, Palette, Styled, printable, shortened, table
from edge_agent.contracts.status import AgentStatus
from edge_agent.runtime.health import (
    ILL_HOOK_STATES,
    QUIET_STATES,
    Finding,
    Severity,
    device_state,
    findings,
)
from edge_agent.wire.messages import ConnectionReport, GroupReport, HookReport, UnitReport

_MOST_ROWS: Final = 12
_TEXT_COLUMNS: Final = 90
_IDENTITY_COLUMNS: Final = 40
_HEAD: Final = ("connection", "driver", "address", "state", "for", "latency", "samples", "overruns")
_RIGHT: Final = frozenset(("for", "latency", "samples", "overruns"))
_STATES: Final = {"connected": "good", "connecting": "warn", "stopped": "dim"}


def render(status: AgentStatus, now_ms: int, palette: Palette, *, everything: bool = False) -> list[str]:
    """now_ms: the wall time that ages are reckoned from. everything: no row is left out."""
    state = device_state(status)
    style = "good" if state == "online" else "bad"
    lines = [
        f"{palette.paint(printable(status.device), 'bold')} is {palette.paint(state, style)}",
        printable(
            f"holdfast {status.version}, pid {status.pid}, up {figures.span(status.uptime_seconds)}, "
            f"config {status.config_path}"
        ),
    ]
    most = None if everything else _MOST_ROWS
    lines += _findings(findings(status), now_ms, palette, most)
    lines += ["", *_connections(status.connections, now_ms, palette, most), ""]
    rows = [
        *_buffer(status, now_ms),
        *_sinks(status, now_ms),
        *_commands(status, now_ms),
        *_hooks(status, now_ms, most),
        *_rest(status),
    ]
    room = max(len(name) for name, _ in rows)
    lines += [f"{palette.paint(f'{name:<{room}}', 'bold')}  {printable(text)}" for name, text in rows]
    return lines


def _findings(found: list[Finding], now_ms: int, palette: Palette, most: int | None) -> list[str]:
    if not found:
        return []
    rows: list[list[Cell]] = [
        [
            Styled(finding.severity, "bad" if finding.severity is Severity.ERROR else "warn"),
            finding.subject,
            figures.age(finding.since, now_ms),
            shortened(printable(finding.text), _TEXT_COLUMNS),
        ]
        for finding in found[:most]
    ]
    lines = ["", *table(("wrong", "where", "for", "what"), rows, {"for"}, palette)]
    return [*lines, *_more(len(found) - len(rows))]


def _connections(
    reports: list[ConnectionReport], now_ms: int, palette: Palette, most: int | None
) -> list[str]:
    if not reports:
        return ["no connections are configured"]
    ordered = sorted(reports, key=lambda report: report.state == "connected")
    rows: list[list[Cell]] = []
    for report in ordered[:most]:
        rows.append(
            [
                report.name,
                report.driver,
                report.address,
                Styled(report.state, _STATES.get(report.state, "bad")),
                figures.age(report.since, now_ms),
                figures.NONE if report.latency_ms is None else f"{report.latency_ms:.1f}ms",
                f"{report.samples:,}",
                f"{report.overruns:,}",
            ]
        )
        rows += _units(report.units, identities=most is None or len(reports) <= most // 2)
        rows += _groups(report.groups, now_ms, everything=most is None)
    lines = table(_HEAD, rows, _RIGHT, palette)
    return [*lines, *_more(len(reports) - len(ordered[:most]))]


def _units(units: list[UnitReport], *, identities: bool) -> Iterator[list[Cell]]:
    """A line for each unit, where a connection has several or one is in trouble.

    identities: there is room for a line of a single unit that said who it is, too.
    """
    worth = any(unit.error or (identities and _identity(unit)) for unit in units)
    if len(units) < 2 and not worth:
        return
    for unit in units:
        name = "" if unit.unit_id is None else f" {unit.unit_id}"
        cycles = f"{unit.good_cycles:,} good, {unit.bad_cycles:,} bad cycles"
        state = Styled(unit.state, "bad" if unit.error else "")
        yield [f"  unit{name}", _identity(unit), cycles, state, "", "", "", ""]


def _groups(groups: list[GroupReport], now_ms: int, *, everything: bool) -> Iterator[list[Cell]]:
    """A line for each group that brings nothing; for each at all, where there is room for everything."""
    for group in groups:
        ill = group.state in ("late", *QUIET_STATES)
        if ill or everything:
            last = (
                "no data yet"
                if group.last_data is None
                else f"data {figures.age(group.last_data, now_ms)} ago"
            )
            state = Styled(group.state, "bad" if ill else "")
            yield [f"  group {group.name}", "", last, state, "", "", "", ""]


def _identity(unit: UnitReport) -> str:
    """Vendor, product and revision, where the unit says them."""
    said = " ".join(part for part in (unit.vendor, unit.product, unit.revision) if part)
    return shortened(printable(said), _IDENTITY_COLUMNS)


def _more(count: int) -> list[str]:
    return [f"… and {count:,} more; see them with --all"] if count > 0 else []


def _buffer(status: AgentStatus, now_ms: int) -> Iterator[tuple[str, str]]:
    buffer = status.buffer
    wait = "nothing waits"
    if buffer.pending_batches:
        oldest = figures.age(buffer.oldest_pending, now_ms)
        wait = (
            f"{plural(buffer.pending_batches, 'batch')} wait ({plural(buffer.pending_samples, 'sample')}, "
            f"{figures.size(buffer.pending_bytes)}, oldest {oldest} ago)"
        )
    used = f"{figures.size(buffer.size_bytes)} of {figures.size(buffer.quota_bytes)} used"
    yield "buffer", f"{wait}; {used}"
    if buffer.uncommitted_frames:
        age = figures.span(buffer.uncommitted_age_seconds)
        yield "", f"{plural(buffer.uncommitted_frames, 'frame')} not yet committed, oldest {age}"


def _sinks(status: AgentStatus, now_ms: int) -> Iterator[tuple[str, str]]:
    for sink in status.sinks:
        last = f", last success {figures.age(sink.last_success, now_ms)} ago" if sink.last_success else ""
        detail = f" ({sink.detail})" if sink.detail else ""
        yield (
            f"sink {printable(sink.name)}",
            f"{sink.state}{detail}{last}; {plural(sink.backlog_batches, 'batch')} behind, "
            f"{sink.delivered_batches:,} delivered ({figures.size(sink.delivered_bytes)})",
        )


def _commands(status: AgentStatus, now_ms: int) -> Iterator[tuple[str, str]]:
    """What the centre ordered and has not ended."""
    for command in status.commands[:_MOST_ROWS]:
        since = f" for {figures.age(command.since, now_ms)}" if command.since else ""
        step = f", step {command.step} of {command.steps}" if command.steps else ""
        by = f", by {command.by}" if command.by else ""
        text = f"{command.type}: {command.state}{since}{step}{by}"
        yield "command", shortened(printable(text), _TEXT_COLUMNS)


def _hooks(status: AgentStatus, now_ms: int, most: int | None) -> Iterator[tuple[str, str]]:
    """The ill ones first, and the layers of the sandbox that they run in."""
    if status.hooks is None:
        return
    ordered = sorted(status.hooks.hooks, key=lambda report: report.state not in ILL_HOOK_STATES)
    for report in ordered[:most]:
        yield "hook", hook_line(report, now_ms)
        if most is None and report.prints.strip():
            last = report.prints.rstrip().splitlines()[-1]
            yield "", shortened(printable(f"{report.name} printed: {last}"), _TEXT_COLUMNS)
    if more := len(ordered) - len(ordered[:most]):
        yield "", f"and {plural(more, 'hook')} more; see them with --all"
    if status.hooks.state != "none":
        said = f": {status.hooks.message}" if status.hooks.message else ""
        yield (
            "scripts",
            shortened(printable(f"those of the centre are {status.hooks.state}{said}"), _TEXT_COLUMNS),
        )
    elif status.hooks.message:
        yield "scripts", shortened(printable(status.hooks.message), _TEXT_COLUMNS)
    if status.hooks.layers:
        yield "sandbox", layers_line(status.hooks.layers)


def hook_line(report: HookReport, now_ms: int) -> str:
    """`oil-fahrenheit running: transform, 1,234 calls, 2 failures, 0.2 ms each`."""
    parts = [report.hook_type, plural(report.calls, "call")]
    if report.failures:
        parts.append(plural(report.failures, "failure"))
    if report.kills:
        parts.append(f"{report.kills:,} killed")
    if report.bad_samples:
        parts.append(f"{plural(report.bad_samples, 'sample')} bad_hook")
    if report.p50_ms is not None:
        parts.append(f"{report.p50_ms:.1f} ms each")
    if report.next_try:
        parts.append(f"tried again in {figures.span(max(0, report.next_try - now_ms) / 1_000)}")
    return f"{printable(report.name)} {report.state}: {', '.join(parts)}"


def layers_line(layers: Mapping[str, str]) -> str:
    """`rlimits, seccomp; without landlock (the kernel is older than 5.13)`."""
    on = [name for name, state in layers.items() if state == "on"]
    off = [f"{name} ({why})" for name, why in layers.items() if why != "on"]
    parts = [", ".join(on), f"without {', '.join(off)}" if off else ""]
    return printable("; ".join(filter(None, parts))) or "not begun"


def _rest(status: AgentStatus) -> Iterator[tuple[str, str]]:
    config = status.config
    runs = "" if config.applied_version is None else f"; version {config.applied_version} of the centre runs"
    yield "config", f"{config.state.replace('_', ' ')}{runs}"
    yield "losses", f"{plural(status.lost_samples, 'sample')} lost" if status.lost_samples else "none"
    host = status.host
    yield (
        "host",
        f"CPU {figures.percent(host.cpu_percent)}, memory {figures.size(host.memory_bytes)} of "
        f"{figures.size(host.memory_total_bytes)}, disk {figures.size(host.disk_free_bytes)} free",
    )
    yield (
        "agent",
        f"CPU {figures.percent(host.process_cpu_percent)} of a core, memory "
        f"{figures.size(host.process_memory_bytes)}",
    )
    sync = {True: "synchronised", False: "not synchronised", None: "not known whether synchronised"}
    yield "clock", sync[status.clock.sync]
    if status.page is not None:
        address = f"http://{status.page.address}/"
        yield "page", address if status.page.state == "open" else f"{address} is {status.page.state}"
    running = sum(part.state == "running" for part in status.components)
    restarts = sum(part.restarts for part in status.components)
    yield "parts", f"{running} of {len(status.components)} running, {plural(restarts, 'restart')}"
