"""The Modbus simulator as a peer of the contract suite."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_agent.wire.frame import JsonValue
from tests.contract.peers.contract import Peer, WriteTarget
from tests.contract.peers.polled import PolledPeer

_WRITTEN = 3000


class ModbusPeer(PolledPeer):
    """The Modbus simulator; values do not move, because its clock stands still."""

    driver = "modbus"

    def __init__(self, framing: str, line: str = "") -> None:
        from edge_agent.drivers.modbus.simulator.faults import Fault
        from edge_agent.drivers.modbus.simulator.server import Simulator, SimulatorConfig

        self.connects = framing in ("tcp", "rtu_over_tcp")
        self.address = line or "127.0.0.1"
        self._framing = framing
        self._line = line
        super().__init__(
            Simulator(SimulatorConfig(framing=framing, serial=line, wall_ms=lambda: 0, writable=True)),
            Fault.of,
        )
        self.write_target: WriteTarget | None = WriteTarget(
            {"name": "out", "interval": "1s", "tags": [{"name": "set", "address": f"holding:{_WRITTEN}"}]},
            (1234, 4321),
        )

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
        self.fail("exception", code=2, area="holding", ranges=((2001, 2001),))
        return _registers("bad", range(2000, 2003))

    def refuse_writes(self) -> None:
        here = ((_WRITTEN, _WRITTEN),)
        self.fail("exception", code=3, area="holding", ranges=here, writes=True)

    def written(self) -> JsonValue:
        held: int | None = self._simulator.held("holding", _WRITTEN)
        return held

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
