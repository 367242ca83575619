"""Orders to a running simulator: one JSON object a line, in on a loopback port, one back.

`{"add": {"kind": "silence", "times": 5}}` → `{"fault": 1, …}` · `{"remove": 1}` · `{"clear": true}` ·
`{"freeze": true}` (present connections) · `{"drop": true}` · `{"stats": true}`. Each answer has the counters.
A simulator may know more orders.
"""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import orjson

from edge_agent.drivers.simulating.faults import Faults

_LINE_BYTES: Final = 1 << 20
# Does an order and returns the answer; raises ValueError, TypeError, KeyError, AttributeError or OSError.
Obey = Callable[[Any], Awaitable[dict[str, Any]]]


class Connected(Protocol):
    """A simulator with connections."""

    def drop_connections(self) -> None: ...
    def freeze_connections(self) -> None: ...


class Faulty(Connected, Protocol):
    """And with faults on demand."""

    @property
    def faults(self) -> Faults[Any, Any, Any]: ...
    @property
    def counters(self) -> Any: ...
    @property
    def connections(self) -> int: ...


def switch_connections(simulator: Connected, order: Mapping[str, Any]) -> None:
    if order.get("freeze"):
        simulator.freeze_connections()
    if order.get("drop"):
        simulator.drop_connections()


def switch(
    simulator: Faulty, fault: Callable[[Mapping[str, Any]], Any], order: Mapping[str, Any]
) -> dict[str, Any]:
    """Does what all simulators with faults know. fault: of JSON."""
    answer: dict[str, Any] = {}
    if "add" in order:
        answer["fault"] = simulator.faults.add(fault(order["add"]))
    if "remove" in order:
        simulator.faults.remove(int(order["remove"]))
    if order.get("clear"):
        simulator.faults.clear()
    switch_connections(simulator, order)
    return answer | dataclasses.asdict(simulator.counters) | {"open": simulator.connections}


async def answer_line(obey: Obey, line: bytes) -> dict[str, Any]:
    """Does what one line says. The answer has `error` where it cannot be done."""
    try:
        return await obey(orjson.loads(line))
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


async def serve_control(obey: Obey, port: int) -> asyncio.Server:
    """Listens on loopback; 0 for any port. The caller closes it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(orjson.dumps(await answer_line(obey, line)) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # gone, or a line without end
        finally:
            writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", port, limit=_LINE_BYTES)
