"""Switches faults of a running simulator: one JSON object a line, in on a loopback port, one back.

`{"freeze": true}` (present connections) · `{"drop": true}` · `{"silent": true}` (no answers to Publish) ·
`{"deaf": true}` (no answers at all) · `{"latency_ms": 20}` · `{"restart": true}` (sessions are lost) ·
`{"clear": true}` · `{"stats": true}`. Each answer has the counters.
"""

import asyncio
import dataclasses
from typing import Any, Final

import orjson

from edge_agent.drivers.opcua.simulator.server import Faults, Simulator

_LINE_BYTES: Final = 1 << 16


async def obey(simulator: Simulator, line: bytes) -> dict[str, Any]:
    """Does what one line says. The answer has `error` where it cannot be done."""
    try:
        order = orjson.loads(line)
        _switch(simulator, order)
        if order.get("restart"):
            await simulator.stop()
            await simulator.start()
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return dataclasses.asdict(simulator.counters) | {"open": len(simulator.protocols)}


def _switch(simulator: Simulator, order: dict[str, Any]) -> None:
    faults = simulator.faults
    if order.get("clear"):
        simulator.faults = faults = Faults(simulator.config.latency_seconds)
    if "latency_ms" in order:
        faults.latency_seconds = float(order["latency_ms"]) / 1000
    if "silent" in order:
        faults.silent = bool(order["silent"])
    if "deaf" in order:
        faults.deaf = bool(order["deaf"])
    if order.get("freeze"):
        simulator.freeze_connections()
    if order.get("drop"):
        simulator.drop_connections()


async def serve_control(simulator: Simulator, port: int) -> asyncio.Server:
    """Listens on loopback; 0 for any port. The caller closes it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(orjson.dumps(await obey(simulator, line)) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # gone, or a line without end
        finally:
            writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", port, limit=_LINE_BYTES)
