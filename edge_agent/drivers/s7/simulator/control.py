"""Switches faults of a running simulator: one JSON object a line, in on a loopback port, one back.

`{"add": {"kind": "item", "db": 7, "code": 10}}` → `{"fault": 1, …}` · `{"remove": 1}` · `{"clear": true}` ·
`{"freeze": true}` · `{"drop": true}` · `{"state": 4}` (stop; 8: run). Each answer has the counters.
"""

import asyncio
import dataclasses
from typing import Any, Final

import orjson

from edge_agent.drivers.s7.simulator.faults import Fault
from edge_agent.drivers.s7.simulator.server import Simulator

_LINE_BYTES: Final = 1 << 20


def obey(simulator: Simulator, line: bytes) -> dict[str, Any]:
    """Does what one line says. The answer has `error` where it cannot be done."""
    try:
        order = orjson.loads(line)
        answer: dict[str, Any] = {}
        if "add" in order:
            answer["fault"] = simulator.faults.add(Fault.of(order["add"]))
        if "remove" in order:
            simulator.faults.remove(int(order["remove"]))
        if "state" in order:
            simulator.cpu.state = int(order["state"]) & 0x0F
        if order.get("clear"):
            simulator.faults.clear()
        if order.get("freeze"):
            simulator.freeze_connections()
        if order.get("drop"):
            simulator.drop_connections()
        return answer | dataclasses.asdict(simulator.counters) | {"open": simulator.connections}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


async def serve_control(simulator: Simulator, port: int) -> asyncio.Server:
    """Listens on loopback; 0 for any port. The caller closes it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(orjson.dumps(obey(simulator, line)) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # gone, or a line without end
        finally:
            writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", port, limit=_LINE_BYTES)
