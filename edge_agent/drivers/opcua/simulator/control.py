"""Orders to a running simulator, one JSON object a line (simulating/control.py).

`{"freeze": true}` (present connections) · `{"drop": true}` · `{"silent": true}` (no answers to Publish) ·
`{"deaf": true}` (no answers at all) · `{"latency_ms": 20}` · `{"restart": true}` (sessions are lost) ·
`{"clear": true}` · `{"stats": true}`. Each answer has the counters.
"""

import dataclasses
from typing import Any

from edge_agent.drivers.opcua.simulator.server import Faults, Simulator
from edge_agent.drivers.simulating.control import switch_connections


async def obey(simulator: Simulator, order: Any) -> dict[str, Any]:
    faults = simulator.faults
    if order.get("clear"):
        simulator.faults = faults = Faults(simulator.config.latency_seconds)
    if "latency_ms" in order:
        faults.latency_seconds = float(order["latency_ms"]) / 1000
    if "silent" in order:
        faults.silent = bool(order["silent"])
    if "deaf" in order:
        faults.deaf = bool(order["deaf"])
    switch_connections(simulator, order)
    if order.get("restart"):
        await simulator.stop()
        await simulator.start()
    return dataclasses.asdict(simulator.counters) | {"open": len(simulator.protocols)}
