"""The composition root: builds every part of the agent and connects them; what the commands call.

Names are imported where they are used: `edge-agent check` must not pay for the uplink.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from edge_agent.app.offline import (
    GroupPlan,
    local_client,
    plans,
    probe,
    read_once,
    running_agent,
    runtime_socket,
    simulator_command,
    simulators,
    tag_names,
)
from edge_agent.app.settings import load_config, settings_of
from edge_agent.config.load import Loaded

__all__ = [
    "GroupPlan",
    "generate_docs",
    "load_config",
    "local_client",
    "measure",
    "plans",
    "probe",
    "read_once",
    "run_agent",
    "running_agent",
    "runtime_socket",
    "simulator_command",
    "simulators",
    "starter_text",
    "tag_names",
]


def run_agent(path: Path) -> int:
    """Runs the agent until a signal ends it; the exit code."""
    from edge_agent.app.agent import run_agent as run

    return run(path)


async def measure(loaded: Loaded, warn: Callable[[str], None]) -> Mapping[tuple[str, str], float]:
    """Times one real round of every group, by (connection, group)."""
    from edge_agent.app.measure import measure as run

    return await run(loaded, warn)


def starter_text(*, device: str, host: str, port: int, unit_id: int, central: str | None) -> str:
    """A commented config to begin with."""
    from edge_agent.config.starter import starter

    return starter(device=device, host=host, port=port, unit_id=unit_id, central=central)


def generate_docs() -> Mapping[str, str]:
    """Sample files and reference pages by their path in the repository."""
    from edge_agent.config.reference import generate
    from edge_agent.drivers import registry
    from edge_agent.web.reference import api_page, metrics_page

    return {
        **generate(settings_of, registry.names()),
        "docs/reference/metrics.md": metrics_page(),
        "docs/reference/local-api.md": api_page(),
    }
