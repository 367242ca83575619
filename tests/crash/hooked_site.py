"""An agent with hooks for the crash tests, its workers, and what is done to them."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from edge_agent.contracts.errors import NotConnected
from edge_agent.contracts.status import AgentStatus
from edge_agent.web.client import LocalClient
from tests.crash.hook_judge import COUNTED, TAGS, Run
from tests.crash.watched import Site

INTERVAL_MS: Final = 100
# Half of it is the hooks', a quarter one call's: room for a machine on which other tests run.
FLUSH_MS: Final = 400

# What a script does in one flush out of three, so that its breaker never sees three failures in a row.
_SICK: Final = """
OUTPUTS = {{"never": "float64"}}

def transform(frame):
    kept = []
    while frame.time % {every} < {interval}:
        try:
            {what}
        except Exception:
            pass
"""
SICK: Final = {
    name: _SICK.format(what=what, every=3 * FLUSH_MS, interval=INTERVAL_MS)
    for name, what in {
        "hangs": "pass",
        "hoards": "kept.append([0.5] * 100_000)",
        "prints": "print('x' * 100_000)",
    }.items()
}


def script(name: str, source: str = COUNTED, **more: Any) -> dict[str, Any]:
    """One of the section; on all groups of the connection of its name where nothing else is said."""
    return {"name": name, "point": "transform", "groups": [f"{name}.*"], "source": source, **more}


def counted(name: str, **more: Any) -> dict[str, Any]:
    return script(name, keep_raw=True, **more)


class HookedSite(Site):
    """Connections of the same PLC, all with the tags that the judge knows, and these scripts."""

    def __init__(
        self,
        directory: Path,
        plc_port: int,
        connections: Sequence[str],
        scripts: Sequence[Mapping[str, Any]],
        **hooks: Any,
    ) -> None:
        """hooks: settings of that section beside its scripts."""
        self.log = directory / "program.log"
        tags = [{"name": f"t[0..{TAGS - 1}]", "address": f"holding:0..{TAGS - 1}", "type": "uint16"}]
        super().__init__(
            directory,
            plc_port,
            buffer={"path": str(directory / "buffer.db"), "flush_interval": f"{FLUSH_MS}ms"},
            connections=[
                {
                    "name": name,
                    "driver": "modbus",
                    "transport": {"type": "tcp", "host": "127.0.0.1", "port": plc_port},
                    "groups": [{"name": "all", "interval": f"{INTERVAL_MS}ms", "tags": tags}],
                }
                for name in connections
            ],
            hooks={**hooks, "scripts": [dict(each) for each in scripts]},
        )

    def status(self) -> AgentStatus:
        """Raises NotConnected while the agent does not answer."""
        return LocalClient(self.runtime / "agent.sock").status()

    def promises(self) -> dict[Run, int]:
        """Frames that the agent says it has read, by group; none where it does not answer."""
        with contextlib.suppress(NotConnected):
            status = self.status()
            return {(status.run, each.name, "all"): each.samples // TAGS for each in status.connections}
        return {}


def workers(agent: int) -> list[int]:
    """Processes that an agent has begun to run hooks in."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(agent).children():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if "edge_agent.hooks.worker" in child.cmdline():
                    found.append(child.pid)
    return found


def send(pid: int, number: int) -> None:
    """A signal, to a process that may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
