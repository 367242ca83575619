"""What the checks look at: a config, as far as it is valid, and the agent that runs with it, if one does."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from edge_agent.config.models import CentralSettings, ConnectionSettings, Document
from edge_agent.config.scripts import LocalScript
from edge_agent.contracts.status import AgentStatus, SinkReport
from edge_agent.doctor.resolving import Resolver


@dataclass(frozen=True)
class Site:
    """problems: why there is no document. warnings: what works and is unwise. exposed: warnings about
    secrets that others can read. unusable: warnings about files that it names and nobody can read.
    secrets: values that stand in the document. scripts: of the section `hooks`. running: the agent's own
    status; running_fault: why an agent that seems to run does not give it."""

    config: Path
    environ: Mapping[str, str]
    document: Document | None = None
    files: tuple[Path, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unusable: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    scripts: tuple[LocalScript, ...] = ()
    running: AgentStatus | None = None
    running_fault: str = ""
    resolver: Resolver = field(default_factory=Resolver)

    @property
    def directory(self) -> Path:
        """What relative paths in the document are relative to."""
        return self.config.absolute().parent

    @property
    def valid(self) -> Document:
        """For checks that run only where the config is valid."""
        assert self.document is not None, "the check needs `config`"
        return self.document

    @property
    def database(self) -> Path:
        return self.directory / self.valid.buffer.path

    @property
    def central(self) -> CentralSettings | None:
        return None if self.document is None else self.document.central

    @property
    def connections(self) -> list[ConnectionSettings]:
        return [each for each in self.valid.connections if each.enabled]

    @property
    def sink(self) -> SinkReport | None:
        """How the running agent's uploads to the centre are."""
        reports = () if self.running is None else self.running.sinks
        return next((report for report in reports if report.name == "central"), None)


def host_of(connection: ConnectionSettings) -> str | None:
    """The host that a connection's transport names; None for a serial port."""
    host = getattr(getattr(connection, "transport", None), "host", None)
    return str(host) if host else None


def serial_port_of(connection: ConnectionSettings) -> str | None:
    """The path of a connection's serial port; None for any other transport."""
    port = getattr(getattr(connection, "transport", None), "port", None)
    return port if isinstance(port, str) and host_of(connection) is None else None


def first_hop(central: CentralSettings) -> str:
    """The host that this machine has to find: the proxy's, where there is one."""
    return urlsplit(central.proxy or central.url).hostname or ""
