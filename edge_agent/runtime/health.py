"""What is wrong with the agent, from its status alone: pure, for the command line, the page and /healthz."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from edge_agent.contracts.status import AgentStatus
from edge_agent.wire.messages import ConfigState, ConnectionReport

# Of groups: their last values do not count any more.
QUIET_STATES: Final = ("stale", "silent")
# Of hooks: their samples go on as bad_hook.
ILL_HOOK_STATES: Final = ("off", "refused")


class Severity(StrEnum):
    """ERROR: data is lost, late or not collected. WARNING: it may come to that."""

    ERROR = "error"
    WARNING = "warning"


_PART_TROUBLES: Final = {
    "stopped": ("part_stopped", "gave up"),
    "waiting": ("part_waiting", "failed and will run again"),
    "broken": ("part_broken", "keeps failing and is tried every few minutes"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `since`: UTC milliseconds, where that is known.

    subject: what it concerns, in the words of the config (`connection press1`, `buffer`).
    code, facts: the same for whoever says it in another language.
    """

    severity: Severity
    subject: str
    text: str
    since: int | None = None
    code: str = field(default="", compare=False)
    facts: Mapping[str, str | int] = field(default_factory=dict, compare=False)


def findings(status: AgentStatus) -> list[Finding]:
    """Everything that keeps the device from being plainly `online`, errors first."""
    found = [
        *_components(status),
        *(finding for report in status.connections for finding in _connection(report)),
        *_buffer(status),
        *_sinks(status),
        *_hooks(status),
        *_config(status),
        *_clock(status),
    ]
    return sorted(found, key=lambda finding: finding.severity is not Severity.ERROR)


def device_state(status: AgentStatus) -> str:
    """`online` or `degraded`, in the centre's words."""
    return "degraded" if findings(status) else "online"


def is_alive(status: AgentStatus) -> bool:
    """Whether restarting the agent would not help: no part of it has given up."""
    return not any(part.state == "stopped" and part.error for part in status.components)


def _components(status: AgentStatus) -> Iterator[Finding]:
    for part in status.components:
        code, text = _PART_TROUBLES.get(part.state, ("", ""))
        if code and (part.error or part.state != "stopped"):
            facts = {"name": part.name, "why": part.error}
            where = f"part {part.name}"
            yield Finding(Severity.ERROR, where, f"{text}: {part.error}", part.since, code, facts)


def _connection(report: ConnectionReport) -> Iterator[Finding]:
    subject = f"connection {report.name}"
    if report.state not in ("connected", "stopped"):
        why = report.error or next((unit.error for unit in report.units if unit.error), "")
        reason = f": {why}" if why else ""
        facts = {"name": report.name, "state": report.state, "why": why}
        text = f"{report.state}{reason}"
        yield Finding(Severity.ERROR, subject, text, report.since or None, "connection", facts)
        return
    for unit in report.units:
        if unit.error:
            name = subject if unit.unit_id is None else f"{subject}, unit {unit.unit_id}"
            number = "" if unit.unit_id is None else unit.unit_id
            yield Finding(
                Severity.ERROR, name, f"{unit.state}: {unit.error}", None, "unit",
                {"name": report.name, "unit": number, "state": unit.state, "why": unit.error},
            )  # fmt: skip
    failing = {unit.unit_id for unit in report.units if unit.error}
    for group in report.groups:
        if group.state in QUIET_STATES and group.unit_id not in failing:
            yield Finding(
                Severity.ERROR, f"{subject}, group {group.name}", f"{group.state}: no data", group.last_data,
                "group", {"name": report.name, "group": group.name, "state": group.state},
            )  # fmt: skip


def _buffer(status: AgentStatus) -> Iterator[Finding]:
    if status.lost_samples:
        text = f"{status.lost_samples:,} samples were lost"
        yield Finding(Severity.ERROR, "losses", text, None, "losses", {"samples": status.lost_samples})
    buffer = status.buffer
    if buffer.error:
        text = f"cannot be written, samples are kept in memory: {buffer.error}"
        facts = {"why": buffer.error}
        yield Finding(Severity.ERROR, "buffer", text, buffer.since, "buffer_failing", facts)
    elif buffer.state == "full":
        text = "is full: see docs/operations.md, When the disk is full"
        yield Finding(Severity.ERROR, "buffer", text, buffer.since, "buffer_full")
    if buffer.quota_bytes and buffer.pending_bytes * 2 > buffer.quota_bytes:
        percent = round(100 * buffer.pending_bytes / buffer.quota_bytes)
        yield Finding(
            Severity.WARNING, "buffer", f"{percent} % of its quota wait to be sent", buffer.oldest_pending,
            "buffer", {"percent": percent},
        )  # fmt: skip


def _sinks(status: AgentStatus) -> Iterator[Finding]:
    for sink in status.sinks:
        if sink.state not in ("ok", "off"):
            detail = f": {sink.detail}" if sink.detail else ""
            severity = Severity.WARNING if sink.state == "unreachable" else Severity.ERROR
            yield Finding(
                severity, f"sink {sink.name}", f"{sink.state}{detail}", sink.last_success,
                "sink", {"name": sink.name, "state": sink.state, "why": sink.detail},
            )  # fmt: skip


def _hooks(status: AgentStatus) -> Iterator[Finding]:
    """A layer that the kernel lacks is no finding: whoever needs it says so in `hooks.require`."""
    hooks = status.hooks
    if hooks is None:
        return
    for report in hooks.hooks:
        if report.state in ILL_HOOK_STATES:
            line = "" if report.line is None else f"line {report.line}: "
            facts: dict[str, str | int] = {
                "name": report.name, "state": report.state, "why": f"{line}{report.error}",
            }  # fmt: skip
            text = f"{report.state}: {line}{report.error}"
            since = report.since or None
            yield Finding(Severity.ERROR, f"hook {report.name}", text, since, "hook", facts)
        elif report.state == "starting" and report.error:
            facts = {"name": report.name, "state": report.state, "why": report.error}
            text = f"starting: {report.error}"
            yield Finding(Severity.WARNING, f"hook {report.name}", text, report.since or None, "hook", facts)
    if hooks.state == "rejected":
        text = f"the centre's scripts are rejected: {hooks.message}"
        yield Finding(Severity.WARNING, "hooks", text, None, "hooks_rejected", {"why": hooks.message})


def _config(status: AgentStatus) -> Iterator[Finding]:
    config = status.config
    if config.state in (ConfigState.REJECTED, ConfigState.ROLLED_BACK):
        seen = "" if config.seen_version is None else f" version {config.seen_version}"
        text = f"the centre's{seen} is {config.state.replace('_', ' ')}: {config.message or config.code}"
        facts: dict[str, str | int] = {
            "version": "" if config.seen_version is None else config.seen_version,
            "state": str(config.state),
            "why": config.message or config.code,
        }
        yield Finding(Severity.WARNING, "config", text, None, "config", facts)
    elif config.state is ConfigState.APPLIED_WITH_WARNINGS:
        why = config.message or config.code
        yield Finding(
            Severity.WARNING, "config", f"applied with warnings: {why}", None, "config_warnings", {"why": why}
        )


def _clock(status: AgentStatus) -> Iterator[Finding]:
    if status.clock.sync is False:
        text = "not synchronised: time stamps may be wrong"
        yield Finding(Severity.WARNING, "clock", text, None, "clock")
