"""The Modbus simulator as a peer of the contract suite."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_agent.wire.frame import JsonValue
from tests.contract.peers.contract import Peer, WriteTarget

_WRITTEN = 3000


class ModbusPeer:
    """The Modbus simulator; values do not move, because its clock stands still."""

    driver = "modbus"
    timeout_seconds = 0.1
    subscribes = False
    source_times = False

    def __init__(self, framing: str, line: str = "") -> None:
        from edge_agent.drivers.modbus.simulator.server import Simulator, SimulatorConfig

        self.connects = framing in ("tcp", "rtu_over_tcp")
        self.address = line or "127.0.0.1"
        self._framing = framing
        self._line = line
        self._simulator = Simulator(
            SimulatorConfig(framing=framing, serial=line, wall_ms=lambda: 0, writable=True)
        )
        self.write_target: WriteTarget | None = WriteTarget(
            {"name": "out", "interval": "1s", "tags": [{"name": "set", "address": f"holding:{_WRITTEN}"}]},
            (1234, 4321),
        )

    async def start(self) -> None:
        await self._simulator.start()

    async def stop(self) -> None:
        await self._simulator.stop()

    def settings(self) -> dict[str, Any]:
        port = self._simulator.ports[0] if self._simulator.ports else 1
        timeout = f"{self.timeout_seconds * 1000:g}ms"
        transport: dict[str, Any] = {"type": self._framing, "timeout": timeout}
        if self._framing == "serial":
            transport |= {"port": self._line, "baud": 1_000_000}
        else:
            transport |= {"host": "127.0.0.1", "port": port}
        return {"name": "plc", "driver": self.driver, "transport": transport}

    def groups(self) -> list[dict[str, Any]]:
        # Two requests for the first group: more than 125 registers.
        return [_registers("one", range(200)), _registers("two", range(1000, 1125))]

    def bad_group(self) -> dict[str, Any]:
        from edge_agent.drivers.modbus.simulator.faults import Fault, FaultKind

        self._simulator.faults.add(Fault(FaultKind.EXCEPTION, code=2, area="holding", ranges=((2001, 2001),)))
        return _registers("bad", range(2000, 2003))

    def be_silent(self) -> None:
        from edge_agent.drivers.modbus.simulator.faults import Fault, FaultKind

        self._simulator.faults.add(Fault(FaultKind.SILENCE))

    def answer_again(self) -> None:
        self._simulator.faults.clear()

    def be_late_once(self) -> None:
        from edge_agent.drivers.modbus.simulator.faults import Fault, FaultKind

        self._simulator.faults.add(Fault(FaultKind.DELAY, seconds=1.5 * self.timeout_seconds, times=1))

    def freeze_connections(self) -> None:
        self._simulator.freeze_connections()

    def refuse_writes(self) -> None:
        from edge_agent.drivers.modbus.simulator.faults import Fault, FaultKind

        here = ((_WRITTEN, _WRITTEN),)
        self._simulator.faults.add(
            Fault(FaultKind.EXCEPTION, code=3, area="holding", ranges=here, writes=True)
        )

    def lose_write_reply(self) -> None:
        from edge_agent.drivers.modbus.simulator.faults import Fault, FaultKind

        self._simulator.faults.add(Fault(FaultKind.LOST_REPLY, writes=True, times=1))

    def kill_subscriptions(self) -> None:
        raise AssertionError("Modbus has no subscriptions")

    def change(self, values: Sequence[JsonValue]) -> None:
        raise AssertionError("Modbus sends nothing by itself")

    def requests(self) -> int:
        return self._simulator.counters.requests

    def writes(self) -> int:
        return self._simulator.counters.write_requests

    def written(self) -> JsonValue:
        return self._simulator.held("holding", _WRITTEN)

    def source_ms(self, group: int) -> int | None:
        return None

    def row(self, group: int) -> bytes:
        addresses = (range(200), range(1000, 1125))[group]
        return b"".join((31 * address & 0xFFFF).to_bytes(2) for address in addresses)


def _registers(name: str, addresses: range) -> dict[str, Any]:
    tags = [{"name": f"t{number}", "address": f"holding:{number}"} for number in addresses]
    return {"name": name, "interval": "1s", "tags": tags}


PEERS: dict[str, Callable[[Path], Peer]] = {
    "modbus-tcp": lambda _: ModbusPeer("tcp"),
    "modbus-rtu-over-tcp": lambda _: ModbusPeer("rtu_over_tcp"),
    "modbus-udp": lambda _: ModbusPeer("udp"),
    "modbus-serial": lambda directory: ModbusPeer("serial", str(directory / "line")),
}
