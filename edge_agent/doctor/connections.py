"""Check `connections`: whether each PLC answers a real read of one tag of each of its units.

While an agent runs, its own view is told instead: many PLCs take a single client, and a serial port has one
user; a link of the doctor's would throw the agent's out.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from edge_agent.config.models import ConnectionSettings
from edge_agent.contracts.diagnosis import (
    Finding,
    Outcome,
    Verdict,
    failed,
    ok,
    skipped,
    unreachable,
    warning,
)
from edge_agent.contracts.figures import latency
from edge_agent.doctor.examination import Tell
from edge_agent.doctor.site import Site, host_of
from edge_agent.wire.messages import ConnectionReport, UnitReport

NAME: Final = "connections"
AT_ONCE: Final = 16
# One connection: its link, and a read of a tag of each unit.
EACH_SECONDS: Final = 20.0
_SHOWN: Final = 5
_LOOK: Final = "see whether it is on, its cable, its address in the config, and a firewall between"


@dataclass(frozen=True, slots=True)
class UnitAnswer:
    """What came of reading `tag`. fault: why it has no value, if it has none. silent: nothing came."""

    unit_id: int | None
    tag: str
    fault: str = ""
    silent: bool = False
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One connection that was asked. fault: why there is no link; then there are no units."""

    connect_seconds: float = 0.0
    fault: str = ""
    units: tuple[UnitAnswer, ...] = ()


class Asker(Protocol):
    """Asks PLCs, with their drivers. `app` brings one: this room knows no driver."""

    def line(self, connection: ConnectionSettings) -> str:
        """The transport, for people. What names the same one is asked in turn."""
        ...

    async def ask(self, connection: ConnectionSettings) -> Asked:
        """Opens a link, reads the first tag of each unit and closes it. Never raises."""
        ...


def judge_asked(line: str, asked: Asked, *, is_port: bool = False) -> list[Finding]:
    """is_port: the line is a serial port, which belongs to this machine."""
    if asked.fault and is_port:
        remedy = "see the check `rights`; one program at a time may have the port"
        return [failed(f"{line}: {asked.fault}", remedy)]
    if asked.fault:
        return [unreachable(f"{line}: {asked.fault}", _LOOK)]
    text = f"{line}: connected in {latency(asked.connect_seconds)}"
    if not asked.units:
        return [ok(f"{text}; no tag to read")]
    good = [unit for unit in asked.units if not unit.fault]
    found = [ok(text)]
    if good:
        slowest = max(unit.seconds for unit in good)
        units = "" if len(asked.units) == 1 else f" of {len(good)} units"
        found.append(ok(f"a tag{units} read in {latency(slowest)}"))
    found += [_judge_unit(unit) for unit in asked.units if unit.fault][:_SHOWN]
    return found


def _judge_unit(unit: UnitAnswer) -> Finding:
    who = "it" if unit.unit_id is None else f"unit {unit.unit_id}"
    if unit.silent:
        return unreachable(
            f"{who} does not answer: {unit.fault}", f"see whether {who} is on, and its unit_id"
        )
    return failed(f"{who} refuses {unit.tag}: {unit.fault}", "see the tag's address and type in the config")


def judge_status(report: ConnectionReport) -> list[Finding]:
    """A connection as the running agent sees it."""
    text = f"{report.address or report.driver}: {report.state}, says the running agent"
    if report.state == "down":
        return [unreachable(f"{text}: {report.error}", _LOOK)]
    if report.state == "stopped":
        return [failed(f"{text}: {report.error}", "see the agent's log; `edge-agent reload` starts it again")]
    if report.state == "connecting":
        return [warning(f"{text}: no read was answered yet", "look again in a few seconds")]
    found = [ok(text)]
    if report.latency_ms is not None:
        found.append(ok(f"a poll takes {report.latency_ms:.1f} ms"))
    ill = [unit for unit in report.units if unit.state != "answering"]
    return found + [_judge_unit_status(unit) for unit in ill[:_SHOWN]]


def _judge_unit_status(unit: UnitReport) -> Finding:
    who = "it" if unit.unit_id is None else f"unit {unit.unit_id}"
    if unit.state == "refusing":
        remedy = "see the addresses and types of its tags in the config"
        return failed(f"{who} refuses every tag: {unit.error}", remedy)
    return unreachable(f"{who} is {unit.state}: {unit.error}", f"see whether {who} is on, and its unit_id")


class Connections:
    """All connections, side by side."""

    name = NAME
    needs = ("config",)

    def __init__(self, asker: Asker, *, direct: bool = False, seconds: float = 120.0) -> None:
        """direct: ask the PLCs although an agent runs."""
        self.seconds = seconds
        self._asker = asker
        self._direct = direct

    async def run(self, site: Site, tell: Tell) -> None:
        if not site.connections:
            tell(Outcome(NAME, (ok("there is none"),)))
        elif site.running is not None and not self._direct:
            _tell_status(site, {report.name: report for report in site.running.connections}, tell)
        elif site.running_fault and not self._direct:
            text = f"an agent seems to run, and does not tell: {site.running_fault}"
            tell(Outcome(NAME, (warning(text, "run this as root or the agent's user, or with --direct"),)))
        else:
            await self._ask_all(site, tell)

    async def _ask_all(self, site: Site, tell: Tell) -> None:
        lines: dict[str, list[ConnectionSettings]] = {}
        for connection in site.connections:
            lines.setdefault(self._asker.line(connection), []).append(connection)
        turns = asyncio.Semaphore(AT_ONCE)
        deadline = time.monotonic() + self.seconds - 2

        async def ask_line(line: str, connections: Sequence[ConnectionSettings]) -> None:
            async with turns:
                for connection in connections:
                    began = time.monotonic()
                    seconds = min(EACH_SECONDS, deadline - began)
                    found = await self._ask(site, line, connection, seconds)
                    took = time.monotonic() - began
                    tell(Outcome(NAME, tuple(found), f"connection {connection.name}", took))

        await asyncio.gather(*(ask_line(line, connections) for line, connections in lines.items()))

    async def _ask(
        self, site: Site, line: str, connection: ConnectionSettings, seconds: float
    ) -> list[Finding]:
        if seconds <= 0:
            return [Finding(Verdict.WARNING, f"{line}: not asked: there was no time left")]
        host = host_of(connection)
        if host is not None:
            lookup = await site.resolver.resolve(host)
            if lookup.fault:
                return [skipped(f"{line}: not asked: its name leads nowhere ({lookup.fault})")]
        try:
            async with asyncio.timeout(seconds):
                return judge_asked(line, await self._asker.ask(connection), is_port=host is None)
        except TimeoutError:
            return [unreachable(f"{line}: not all of its units answered within {seconds:.0f} s", _LOOK)]


def _tell_status(site: Site, reports: dict[str, ConnectionReport], tell: Tell) -> None:
    for connection in site.connections:
        report = reports.get(connection.name)
        text = "the running agent has another config, without this connection"
        found = [warning(text, "`edge-agent reload`")] if report is None else judge_status(report)
        tell(Outcome(NAME, tuple(found), f"connection {connection.name}"))
