"""An agent beside a simulated peer, watched once it polls: what the figures of single drivers share."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from bench.figures.reference import lateness_between, overruns, upper_bound
from bench.plant import SETTLE_SECONDS
from bench.processes import Usage, watch
from edge_agent.contracts.errors import NotConnected
from edge_agent.contracts.status import AgentStatus
from edge_agent.demo.children import Child
from edge_agent.web.client import LocalClient
from tests.crash.rig import until

_START_SECONDS: Final = 180


def document(runtime: Path, connections: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The agent's config."""
    return {
        "agent": {"id": "bench", "runtime_dir": str(runtime), "page_listen": None},
        "buffer": {"path": "buffer.db", "flush_interval": "1s"},
        "connections": list(connections),
    }


def all_framed(connections: int) -> Callable[[AgentStatus], bool]:
    return lambda status: (
        len(status.accounting) == connections and all(entry.framed for entry in status.accounting)
    )


async def observe(
    agent: Child, peer: Child, runtime: Path, seconds: float, ready: Callable[[AgentStatus], bool]
) -> tuple[Usage, float, dict[str, Any]]:
    """What the agent took, samples stored a second, and what else to tell. ready: watching may begin."""
    client = LocalClient(runtime / "agent.sock", timeout_seconds=60)

    async def status() -> AgentStatus:
        return await asyncio.to_thread(client.status)

    async def is_ready() -> bool:
        with contextlib.suppress(NotConnected):
            return ready(await status())
        return False

    await until(is_ready, _START_SECONDS)
    await asyncio.sleep(SETTLE_SECONDS)
    loop = asyncio.get_running_loop()
    first, begin = await status(), loop.time()
    usage = await watch({"agent": agent.pid, "peer": peer.pid}, seconds)
    last, took = await status(), loop.time() - begin
    return (
        usage["agent"],
        (last.stored_samples - first.stored_samples) / took,
        {
            "lost_samples": last.lost_samples,
            "overruns": overruns(last) - overruns(first),
            "lateness_p99_ms": upper_bound(lateness_between(first, last), 0.99),
            "agent_pss_mib": usage["agent"].pss_mib,
            "peer_cpu_percent": usage["peer"].cpu_percent,
        },
    )
